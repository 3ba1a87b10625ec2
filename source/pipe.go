package source

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// pipe is an origin whose bytes come once: standard input, a named pipe, a shell's <(…). What an
// inference has read of it is kept and given again to the load that follows.
type pipe struct {
	name string
	path string    // opened at the first reading; "" for from
	from io.Reader // standard input
	pump *pump     // of a from that is no file

	mu    sync.Mutex
	file  *os.File // of path
	spill spool    // what was read while keeping
	keep  bool     // the reading under way is one that another will repeat
	spent bool     // a reading began that will not be repeated
}

// twice says that the next reading is for inference: what it reads is kept for another.
func (p *pipe) twice() {
	p.mu.Lock()
	p.keep = true
	p.mu.Unlock()
}

func (p *pipe) open(ctx context.Context) (io.ReadCloser, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spent {
		return nil, inputError(p.name, "can be read only once", "save it to a file first", nil)
	}
	if p.from == nil {
		file, err := os.Open(p.path)
		if err != nil {
			return nil, fileError(p.name, err)
		}
		p.file, p.from = file, file
	}
	r := &pipeReader{pipe: p, ctx: ctx, keep: p.keep}
	p.keep, p.spent = false, !p.keep
	file, ok := p.from.(*os.File)
	switch {
	case !ok:
		r.wait = p.pumping(ctx)
	case file.SetReadDeadline(time.Time{}) == nil:
		d := &deadlined{File: file, fired: make(chan struct{})}
		d.stop = context.AfterFunc(ctx, func() {
			_ = file.SetReadDeadline(time.Unix(1, 0))
			close(d.fired)
		})
		r.wait = d
	default:
		r.wait = p.polling(ctx, file)
	}
	return r, nil
}

func (p *pipe) pumping(ctx context.Context) io.ReadCloser {
	if p.pump == nil {
		p.pump = &pump{from: p.from}
	}
	return pumping{p.pump, ctx}
}

func (p *pipe) at(context.Context) (readerAt, error) { return nil, nil }
func (p *pipe) verify(context.Context) error         { return nil }

// pipeReader is one reading of a pipe: first what was kept, then what comes.
type pipeReader struct {
	pipe   *pipe
	ctx    context.Context
	wait   io.ReadCloser // the pipe itself; its reads end when ctx does
	keep   bool
	offset int64 // in what was kept
}

func (r *pipeReader) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	p := r.pipe
	if r.offset < p.spill.size {
		n, err := p.spill.readAt(b, r.offset)
		r.offset += int64(n)
		if err != nil {
			return n, &readError{p.name, nil, err}
		}
		return n, nil
	}
	if p.spill.end { // what was kept is all there is
		return 0, io.EOF
	}
	n, err := r.wait.Read(b)
	if r.keep {
		if err := p.spill.write(b[:n]); err != nil {
			return 0, &readError{p.name, nil, err}
		}
		r.offset += int64(n)
		p.spill.end = errors.Is(err, io.EOF)
	}
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = &readError{p.name, nil, err}
	}
	return n, err
}

func (r *pipeReader) Close() error {
	err := r.wait.Close()
	if !r.keep {
		err = errors.Join(err, r.pipe.spill.close())
		if r.pipe.file != nil {
			err = errors.Join(err, r.pipe.file.Close())
		}
	}
	return err
}

// pump makes the reads of any reader end with a context: a read runs in a goroutine of its own,
// which is left to itself when the context ends first. What it then still gets is the beginning of
// the next reading, so that nothing of a pipe is lost between inference and load.
type pump struct {
	from    io.Reader
	out     chan pumped
	pending bool // a read is under way
	buffer  []byte
	got     pumped
}

type pumped struct {
	bytes []byte
	err   error
}

const pumpBytes = 64 << 10

func (p *pump) read(ctx context.Context, b []byte) (int, error) {
	if len(p.got.bytes) == 0 && p.got.err == nil {
		if p.buffer == nil {
			p.buffer, p.out = make([]byte, pumpBytes), make(chan pumped, 1)
		}
		if !p.pending {
			p.pending = true
			go func() {
				n, err := p.from.Read(p.buffer)
				p.out <- pumped{p.buffer[:n], err}
			}()
		}
		select {
		case p.got = <-p.out:
			p.pending = false
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	n := copy(b, p.got.bytes)
	if p.got.bytes = p.got.bytes[n:]; len(p.got.bytes) > 0 {
		return n, nil
	}
	return n, p.got.err
}

// pumping is one reading through a pump.
type pumping struct {
	*pump
	ctx context.Context
}

func (p pumping) Read(b []byte) (int, error) { return p.read(p.ctx, b) }
func (p pumping) Close() error               { return nil }

// deadlined makes the reads of a file that takes deadlines end with a context.
type deadlined struct {
	*os.File
	stop  func() bool
	fired chan struct{} // closed when the deadline has been set
}

// Close leaves the file open, and without a deadline, for the reading after this one.
func (d *deadlined) Close() error {
	if d.stop() {
		return nil
	}
	<-d.fired
	return d.SetReadDeadline(time.Time{})
}
