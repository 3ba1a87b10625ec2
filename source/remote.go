package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/icewright/icewright/catalog"
)

// remote is an object that is read by requests: one version of it, or an error.
type remote interface {
	// about gives the object's name, for errors, and its size, -1 where it is not known.
	about() (name string, size int64)
	// get asks for the bytes from offset on, length of them or, with 0, all. An answer of another
	// version of the object than the one that was resolved is an error.
	get(ctx context.Context, offset, length int64) (io.ReadCloser, error)
	// verify tells whether the object still is the one that was resolved.
	verify(ctx context.Context) error
}

// openRemote reads an object from the start.
func openRemote(ctx context.Context, o remote) (io.ReadCloser, error) {
	r := &remoteReader{object: o, ctx: ctx}
	if r.name, r.size = o.about(); r.size == 0 {
		return r, nil // a range of nothing cannot be asked for, and a body of nothing tells nothing
	}
	var err error
	r.body, err = o.get(ctx, 0, 0)
	return r, err
}

// resumes is how often in a row a broken body is taken up again without a byte gained; the waits
// before them add up to 6 s. Each request has been retried already when it fails.
const resumes = 5

// remoteReader streams an object. A body that breaks is taken up again where it broke.
type remoteReader struct {
	object remote
	name   string
	size   int64 // -1: the body's end is the object's
	ctx    context.Context
	body   io.ReadCloser // nil after a failure
	offset int64
	ended  bool
	failed int // times in a row
}

func (r *remoteReader) Read(p []byte) (int, error) {
	for {
		if r.ctx.Err() != nil {
			return 0, context.Cause(r.ctx)
		}
		if r.ended || r.offset == r.size {
			if err := r.object.verify(r.ctx); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		if r.body == nil {
			body, err := r.object.get(r.ctx, r.offset, 0)
			if err != nil {
				return 0, err
			}
			r.body = body
		}
		if r.size >= 0 {
			p = p[:min(int64(len(p)), r.size-r.offset)]
		}
		n, err := r.body.Read(p)
		r.offset += int64(n)
		if err != nil {
			_ = r.body.Close()
			r.body = nil
			r.ended = r.size < 0 && errors.Is(err, io.EOF)
		}
		if n > 0 || err == nil {
			r.failed = 0
			return n, nil
		}
		if r.ended {
			continue
		}
		if r.failed++; r.failed > resumes {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, &readError{r.name, catalog.ErrTransient, fmt.Errorf("after %s: %w", progress(r.offset, r.size), err)}
		}
		if err := pause(r.ctx, r.failed); err != nil {
			return 0, err
		}
	}
}

// progress is how far a reader came.
func progress(offset, size int64) string {
	if size < 0 {
		return fmt.Sprintf("%d bytes", offset)
	}
	return fmt.Sprintf("%d of %d bytes", offset, size)
}

func (r *remoteReader) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}

// pause waits 0.2 s, 0.4 s, 0.8 s, … before the given try.
func pause(ctx context.Context, try int) error { return wait(ctx, 100*time.Millisecond<<try) }

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
