package source

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"

	"github.com/icewright/icewright/arrowconv"
)

// origin is where an object's stored bytes are.
type origin interface {
	// open gives the bytes from the start. Its Read returns an error instead of io.EOF when the
	// object is no longer the one that was resolved. Reads end when ctx does.
	open(ctx context.Context) (io.ReadCloser, error)
	// at gives random access to the bytes, or nil where the origin has none.
	at(ctx context.Context) (readerAt, error)
	// verify tells whether the object still is the one that was resolved.
	verify(ctx context.Context) error
}

type readerAt interface {
	io.ReaderAt
	io.Closer
}

// headBytes is how much of an object is looked at to tell its compression and its format.
const headBytes = 16 << 10

// storedBytes is how much is read of a file at once.
const storedBytes = 128 << 10

// Reader is an open object: an arrowconv.Input, and what it takes to give it back.
type Reader struct {
	arrowconv.Input
	// Format is the one that was asked for, or else what the name and the content tell.
	Format arrowconv.Format

	object Object
	close  []func() error
}

// Open opens the object for one reading from the start. Gzip and bzip2 (of any number of members) and zstd are
// decompressed, told by their first bytes and not by the name, in a goroutine of their own.
// What is not compressed, of a format that is read anywhere, is given as random access where the
// origin has it. format is what the object is known to be; "" detects it.
//
// Reads fail when ctx ends, also those that wait for standard input. A truncated or corrupt
// compressed stream, and an object that changed since Resolve, are errors that wrap
// arrowconv.ErrInput, in place of io.EOF. The caller closes the Reader; a pipe can be opened once.
func (o Object) Open(ctx context.Context, format arrowconv.Format) (*Reader, error) {
	ctx, cancel := context.WithCancel(ctx)
	r := &Reader{object: o, Format: format}
	r.close = append(r.close, func() error { cancel(); return nil })
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Reader) start(ctx context.Context) error {
	stored, err := r.object.origin.open(ctx)
	if err != nil {
		return err
	}
	r.close = append(r.close, stored.Close)
	from := &latch{Reader: stored}
	room := storedBytes
	if size := r.object.Size; size >= 0 && size < storedBytes {
		room = int(size) + 1 // the end is seen with the last byte
	}
	buffered := bufio.NewReaderSize(from, room)
	magic, err := buffered.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	packing, err := packingOf(r.object.Name, magic)
	if err != nil {
		return err
	}
	r.Input = arrowconv.Input{Name: r.object.Name, Size: -1, Constants: r.object.Constants}
	if packing == plain && r.Format == "" {
		r.Format = arrowconv.FormatMarked(magic)
	}
	if packing == plain && r.Format.Anywhere() {
		at, err := r.object.origin.at(ctx)
		if err != nil {
			return err
		}
		if at != nil {
			r.close = append(r.close, at.Close)
			r.At, r.Size = at, r.object.Size
			return nil
		}
	}
	body := io.Reader(buffered)
	if packing != plain {
		unpacked, err := unpack(r.object.Name, packing, from, buffered)
		if err != nil {
			return err
		}
		r.close = append(r.close, unpacked.Close)
		body = unpacked
	}
	if r.object.readAhead() || packing == gzipped || packing == bzipped {
		ahead := newAhead(body)
		r.close = append(r.close, ahead.Close)
		body = ahead
	}
	if r.Format == "" {
		head := bufio.NewReaderSize(body, headBytes)
		first, err := head.Peek(headBytes)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if r.Format, err = arrowconv.DetectFormat(cmp.Or(r.object.hint, r.object.Name), first); err != nil {
			return err
		}
		body = head
	}
	r.Reader = body
	return nil
}

// readAhead tells the origins whose bytes come slowly enough to be fetched beside the parsing.
func (o Object) readAhead() bool {
	_, slow := o.origin.(remote)
	return slow
}

// Verify tells whether the object still is what it was when it was resolved; the error wraps
// arrowconv.ErrInput. A reader that went through Reader to io.EOF knows already; one of random
// access asks when it is done.
func (r *Reader) Verify(ctx context.Context) error { return r.object.origin.verify(ctx) }

// Close ends all reading, waits for the goroutines of the Reader, and frees what it holds.
func (r *Reader) Close() error {
	var errs []error
	// The context goes first, so that no goroutine waits for a byte that nobody wants.
	if len(r.close) > 0 {
		errs = append(errs, r.close[0]())
		for i := len(r.close) - 1; i > 0; i-- {
			errs = append(errs, r.close[i]())
		}
	}
	r.close = nil
	return errors.Join(errs...)
}
