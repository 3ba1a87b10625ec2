package catalog

import (
	"errors"
	"io"
	"io/fs"
	"sync"
)

const (
	// s3Tail is how much of a file's end is fetched at once: the footers of Parquet
	// files lie there, and reading one takes three small reads.
	s3Tail = 64 << 10
	// A file that is read from start to end is fetched in windows that grow between
	// these bounds, so that small files cost one request and big ones few.
	s3FirstWindow = 1 << 20
	s3LastWindow  = 8 << 20
)

// s3File reads one object. Read and Seek are for one goroutine, ReadAt for several.
type s3File struct {
	io   *s3IO
	name string
	info s3Info

	pos    int64
	ahead  int64 // size of the next window of Read
	mu     sync.Mutex
	window []byte // contents of the object from start on; never changed, only replaced
	start  int64
	closed bool
}

func (f *s3File) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *s3File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed, f.window = true, nil
	return nil
}

func (f *s3File) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += f.info.size
	default:
		return 0, &fs.PathError{Op: "seek", Path: f.name, Err: fs.ErrInvalid}
	}
	if offset < 0 {
		return 0, &fs.PathError{Op: "seek", Path: f.name, Err: fs.ErrInvalid}
	}
	f.pos = offset
	return offset, nil
}

func (f *s3File) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if f.pos >= f.info.size {
		return 0, io.EOF
	}
	n, err := f.fromWindow(p, f.pos)
	if err != nil {
		return 0, err
	}
	if n == 0 {
		f.ahead = min(max(2*f.ahead, s3FirstWindow), s3LastWindow)
		if err := f.fetch(f.pos, max(f.ahead, int64(len(p)))); err != nil {
			return 0, err
		}
		if n, err = f.fromWindow(p, f.pos); err != nil {
			return 0, err
		}
	}
	f.pos += int64(n)
	return n, nil
}

// ReadAt costs a request, unless the bytes are in the window: those of the last
// Read, or the end of the file.
func (f *s3File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrInvalid}
	}
	if len(p) == 0 {
		return 0, nil
	}
	if off >= f.info.size {
		return 0, io.EOF
	}
	var eof error
	if left := f.info.size - off; int64(len(p)) > left {
		p, eof = p[:left], io.EOF
	}
	n, err := f.fromWindow(p, off)
	if err != nil {
		return 0, err
	}
	if n == len(p) {
		return n, eof
	}
	if tail := max(0, f.info.size-s3Tail); off >= tail {
		if err := f.fetch(tail, s3Tail); err != nil {
			return 0, err
		}
		if n, err = f.fromWindow(p, off); n == len(p) || err != nil {
			return n, errors.Join(err, eof)
		}
	}
	if err := f.io.read(f.name, p, off); err != nil {
		return 0, err
	}
	return len(p), eof
}

// fromWindow copies what the window has from off on.
func (f *s3File) fromWindow(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrClosed}
	}
	if i := off - f.start; i >= 0 && i < int64(len(f.window)) {
		return copy(p, f.window[i:]), nil
	}
	return 0, nil
}

// fetch makes the size bytes from off on, or what there is of them, the window.
func (f *s3File) fetch(off, size int64) error {
	b := make([]byte, min(size, f.info.size-off))
	if err := f.io.read(f.name, b, off); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.window, f.start = b, off
	return nil
}
