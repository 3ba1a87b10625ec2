package source

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packing is the compression of an object.
type packing string

const (
	plain   packing = ""
	gzipped packing = "gzip"
	zstded  packing = "zstd"
	bzipped packing = "bzip2"
)

// maxWindow is the most memory that a zstd stream may ask for: that of zstd --long=27, which is
// also what the zstd program itself accepts unasked.
const maxWindow = 128 << 20

// packingOf tells the compression by the magic bytes at the head of an object. What is compressed
// in another way is refused here, where it can be said in so many words.
func packingOf(object string, magic []byte) (packing, error) {
	has := func(prefix string) bool { return bytes.HasPrefix(magic, []byte(prefix)) }
	other := ""
	switch {
	case has("\x1f\x8b"):
		return gzipped, nil
	case has("\x28\xb5\x2f\xfd"), len(magic) > 3 && magic[0]&0xf0 == 0x50 && has(string(magic[0])+"\x2a\x4d\x18"):
		return zstded, nil // the second: a skippable frame, which parallel compressors begin with
	case has("\xfd7zXZ\x00"):
		other = "xz"
	case has("BZh") && len(magic) > 3 && (strings.HasPrefix("1AY&", string(magic[4:])) || strings.HasPrefix("\x17rE8", string(magic[4:]))):
		return bzipped, nil // the first block, or the end of nothing; either may be cut short
	case has("\x04\x22\x4d\x18"):
		other = "lz4"
	case has("PK\x03\x04"):
		other = "zip"
	}
	if other != "" {
		return plain, inputError(object, other+" is not a compression that can be read",
			"decompress it, or compress it with gzip, zstd or bzip2", nil)
	}
	return plain, nil
}

// unpacker decompresses an object and gives the decompressor's errors the object's name.
type unpacker struct {
	object  string
	packing packing
	from    *latch
	io.Reader
	close func()
}

// latch keeps the error of the stored bytes, which decompressors hide behind words of their own.
type latch struct {
	io.Reader
	err error
}

func (l *latch) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		l.err = err
	}
	return n, err
}

// unpack decompresses stored, which reads from the latch. A *bufio.Reader is what gzip is fast with.
func unpack(object string, p packing, from *latch, stored *bufio.Reader) (*unpacker, error) {
	u := &unpacker{object: object, packing: p, from: from, close: func() {}}
	switch p {
	case gzipped:
		z, err := gzip.NewReader(stored)
		if err != nil {
			return nil, u.explain(err)
		}
		u.Reader = z
	case bzipped: // any number of streams, one after another, as parallel compressors write them
		u.Reader = bzip2.NewReader(stored)
	default:
		// The decoder works ahead in goroutines of its own.
		z, err := zstd.NewReader(stored, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(2))
		if err != nil {
			return nil, u.explain(err)
		}
		u.Reader, u.close = z, z.Close
	}
	return u, nil
}

func (u *unpacker) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = u.explain(err)
	}
	return n, err
}

func (u *unpacker) explain(err error) error {
	switch {
	case u.from.err != nil:
		return u.from.err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return inputError(u.object, "the "+string(u.packing)+" stream ends in the middle", "fetch the file again: it is not complete", nil)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return inputError(u.object, "the zstd stream wants a window of more than 128 MiB", "compress it with zstd --long=27 or less", nil)
	}
	return inputError(u.object, "the "+string(u.packing)+" stream is corrupt", "", err)
}

// Close ends the decompressor's goroutines.
func (u *unpacker) Close() error {
	u.close()
	return nil
}

const (
	aheadBytes  = 256 << 10
	aheadChunks = 4
)

// ahead reads from another reader in a goroutine of its own, up to aheadChunks of aheadBytes in
// front of its reader, so that fetching and decompressing overlap parsing.
type ahead struct {
	full, free chan []byte
	rest       []byte // of the chunk in hand
	chunk      []byte
	err        error // why full was closed; read after it
	stop       context.CancelFunc
	done       chan struct{}
}

func newAhead(from io.Reader) *ahead {
	ctx, stop := context.WithCancel(context.Background())
	a := &ahead{full: make(chan []byte, aheadChunks), free: make(chan []byte, aheadChunks), stop: stop, done: make(chan struct{})}
	for range aheadChunks {
		a.free <- nil
	}
	go a.run(ctx, from)
	return a
}

func (a *ahead) run(ctx context.Context, from io.Reader) {
	defer close(a.done)
	defer close(a.full)
	for {
		var chunk []byte
		select {
		case chunk = <-a.free:
		case <-ctx.Done():
			return
		}
		if chunk == nil {
			chunk = make([]byte, aheadBytes)
		}
		n := 0
		for n < aheadBytes && a.err == nil && ctx.Err() == nil {
			var m int
			m, a.err = from.Read(chunk[n:aheadBytes])
			n += m
		}
		if n > 0 {
			a.full <- chunk[:n] // has room for every chunk there is
		}
		if a.err != nil {
			return
		}
	}
}

func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.chunk != nil {
			a.free <- a.chunk[:aheadBytes]
			a.chunk = nil
		}
		chunk, more := <-a.full
		if !more {
			if a.err == nil {
				return 0, io.ErrClosedPipe
			}
			return 0, a.err
		}
		a.chunk, a.rest = chunk, chunk
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// Close stops reading ahead and waits for the goroutine. What it reads from must not block for
// ever: the context of the bytes below is cancelled first.
func (a *ahead) Close() error {
	a.stop()
	<-a.done
	return nil
}
