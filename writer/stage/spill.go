package stage

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow/bitutil"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/point"
)

// spillFile holds what memory has no room for: raw partition buffers and encoded row groups.
// It is made on first use and has no name from then on where the system allows that, so that
// even a killed process leaves nothing behind. Safe for concurrent use.
type spillFile struct {
	dir  string
	once sync.Once
	file *os.File
	err  error
	end  atomic.Int64
}

// extent is a range of the spill file.
type extent struct{ off, size int64 }

func (s *spillFile) open() error {
	s.once.Do(func() {
		s.file, s.err = os.CreateTemp(s.dir, "icewright-spill-*")
		if s.err == nil {
			_ = os.Remove(s.file.Name()) // where this fails, close does it
		}
	})
	if s.err != nil {
		return spillError("make", s.err)
	}
	return nil
}

func (s *spillFile) write(b []byte) (extent, error) {
	if err := s.open(); err != nil {
		return extent{}, err
	}
	size := int64(len(b))
	at := extent{off: s.end.Add(size) - size, size: size}
	if _, err := s.file.WriteAt(b, at.off); err != nil {
		return extent{}, spillError("write", err)
	}
	point.Reach("stage: rows spilled")
	return at, nil
}

func (s *spillFile) read(at extent, b []byte) error {
	if _, err := s.file.ReadAt(b[:at.size], at.off); err != nil {
		return spillError("read", err)
	}
	return nil
}

// spillError is a failure of the spill file, which can be put elsewhere.
func spillError(verb string, err error) error {
	return &spillFailure{fmt.Errorf("%s spill file: %w", verb, catalog.StorageFailure(err))}
}

type spillFailure struct{ error }

func (e *spillFailure) Unwrap() error { return e.error }

// Hint names the flags.
func (*spillFailure) Hint() string {
	return "--spill-dir says where else there is room, and more --memory spills less; then run it again, nothing of this run is left"
}

func (s *spillFile) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if _, serr := os.Stat(s.file.Name()); serr == nil {
		if rerr := os.Remove(s.file.Name()); err == nil {
			err = rerr
		}
	}
	return err
}

// appendColumn writes c and its children: number of values and nulls, then each buffer after
// its length.
func appendColumn(b []byte, c *column) []byte {
	c.spellOut()
	b = binary.AppendUvarint(b, uint64(c.n))
	b = binary.AppendUvarint(b, uint64(c.nulls))
	for _, buf := range [][]byte{c.valid, bytesOf(c.offsets), c.data} {
		b = binary.AppendUvarint(b, uint64(len(buf)))
		b = append(b, buf...)
	}
	for i := range c.kids {
		b = appendColumn(b, &c.kids[i])
	}
	return b
}

// restore appends to c what appendColumn wrote to b, and returns the rest of b.
func (c *column) restore(b []byte) []byte {
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[n:]
		return v
	}
	n, nulls := int(next()), int(next())
	var bufs [3][]byte
	for i := range bufs {
		size := next()
		bufs[i], b = b[:size], b[size:]
	}
	c.spellOut()
	c.appendValid(bufs[0], n)
	if c.kind == kindBits {
		c.data = growBits(c.data, c.n+n)
		bitutil.CopyBitmap(bufs[2], 0, n, c.data, c.n)
	} else {
		at := len(c.data)
		if len(bufs[1]) > 4 {
			base := int32(at)
			if c.kind == kindList {
				base = int32(c.kids[0].n)
			}
			c.appendOffsets(bufs[1], base)
		}
		c.data = append(c.data, bufs[2]...)
	}
	c.n += n
	c.nulls += nulls
	for i := range c.kids {
		b = c.kids[i].restore(b)
	}
	return b
}

func (c *column) appendValid(bitmap []byte, n int) {
	switch {
	case len(bitmap) == 0 && c.valid == nil:
	case len(bitmap) == 0:
		c.valid = growBits(c.valid, c.n+n)
		bitutil.SetBitsTo(c.valid, int64(c.n), int64(n), true)
	default:
		c.beginNulls()
		c.valid = growBits(c.valid, c.n+n)
		bitutil.CopyBitmap(bitmap, 0, n, c.valid, c.n)
	}
}

// appendOffsets appends all but the first of the little-endian offsets in b, each plus base.
func (c *column) appendOffsets(b []byte, base int32) {
	out := c.growOffsets(len(b)/4 - 1)
	for i := range out {
		out[i] = base + int32(binary.LittleEndian.Uint32(b[4*(i+1):]))
	}
}
