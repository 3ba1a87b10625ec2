package stage

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// span is rows that are neighbours. Rows of a partition mostly are where the input came in the order of
// the partitions, with some rows late: then a piece is copied at once, and not row by row.
type span struct{ from, n int32 }

// spanRows is how many rows spans have, on the average, for that to pay.
const spanRows = 8

// spansOf appends idx to spans as such; false where that does not pay, or takes more spans than there is room for.
func spansOf(spans []span, idx []int32) ([]span, bool) {
	most := min(cap(spans), max(1, len(idx)/spanRows))
	for i := 0; i < len(idx); {
		if len(spans) == most {
			return nil, false
		}
		from := idx[i]
		n := 1
		for i+n < len(idx) && idx[i+n] == from+int32(n) {
			n++
		}
		spans = append(spans, span{from, int32(n)})
		i += n
	}
	return spans, true
}

// gatherSpans is gather of the n rows that spans has.
func (c *column) gatherSpans(d arrow.ArrayData, base int, spans []span, n int) {
	if n == 0 {
		return
	}
	bufs := d.Buffers()
	if c.kind != kindNull {
		c.gatherValidSpans(d, base, spans, n)
	}
	switch c.kind {
	case kindFixed:
		c.gatherFixedSpans(d, base, spans, n)
	case kindBits:
		c.data = growBits(c.data, c.n+n)
		at := c.n
		for _, s := range spans {
			copyBits(c.data, at, bufs[1].Bytes(), base+int(s.from), int(s.n))
			at += int(s.n)
		}
	case kindBytes:
		c.gatherByteSpans(bufs, base, spans, n)
	case kindList:
		c.gatherListSpans(d, base, spans, n)
	case kindStruct:
		for i, kid := range d.Children() {
			c.kids[i].gatherSpans(kid, base+kid.Offset(), spans, n)
		}
	}
	c.n += n
}

func (c *column) gatherValidSpans(d arrow.ArrayData, base int, spans []span, n int) {
	src := c.growValid(d, n)
	if src == nil {
		return
	}
	at := c.n
	for _, s := range spans {
		c.nulls += int(s.n) - copyBits(c.valid, at, src, base+int(s.from), int(s.n))
		at += int(s.n)
	}
}

func (c *column) gatherFixedSpans(d arrow.ArrayData, base int, spans []span, n int) {
	at := len(c.data)
	c.data = grow(c.data, n*c.width)
	src := d.Buffers()[1].Bytes()
	if c.narrow && d.DataType().ID() == arrow.DECIMAL128 {
		out, halves := castTo[uint64](c.data[at:]), castTo[uint64](src)[2*base:]
		for _, s := range spans {
			for i := range s.n {
				out[i] = halves[2*(s.from+i)]
			}
			out = out[s.n:]
		}
		return
	}
	for _, s := range spans {
		from := (base + int(s.from)) * c.width
		at += copy(c.data[at:], src[from:from+int(s.n)*c.width])
	}
}

func (c *column) gatherByteSpans(bufs []*memory.Buffer, base int, spans []span, n int) {
	c.spellOut()
	from := castTo[int32](bufs[1].Bytes())[base:]
	total := 0
	for _, s := range spans {
		total += int(from[s.from+s.n] - from[s.from])
	}
	at := len(c.data)
	c.data = grow(c.data, total)
	c.addOffsets(from, spans, n, int32(at))
	if total == 0 {
		return // there may be no bytes at all
	}
	src := bufs[2].Bytes()
	for _, s := range spans {
		at += copy(c.data[at:], src[from[s.from]:from[s.from+s.n]])
	}
}

func (c *column) gatherListSpans(d arrow.ArrayData, base int, spans []span, n int) {
	from := castTo[int32](d.Buffers()[1].Bytes())[base:]
	c.addOffsets(from, spans, n, int32(c.kids[0].n))
	elements := make([]span, 0, len(spans))
	total := int32(0)
	for _, s := range spans {
		if k := from[s.from+s.n] - from[s.from]; k > 0 {
			elements = append(elements, span{from[s.from], k})
			total += k
		}
	}
	kid := d.Children()[0]
	c.kids[0].gatherSpans(kid, kid.Offset(), elements, int(total))
}

// addOffsets adds the n offsets of spans, which are in from; at is where the first begins.
func (c *column) addOffsets(from []int32, spans []span, n int, at int32) {
	out := c.growOffsets(n)
	for _, s := range spans {
		shift := at - from[s.from]
		ends := from[s.from+1:][:s.n]
		for i, o := range ends {
			out[i] = o + shift
		}
		at = ends[s.n-1] + shift
		out = out[s.n:]
	}
}

// copyBits copies n bits to where there are zeros, and returns how many of them are ones.
func copyBits(dst []byte, at int, src []byte, from, n int) int {
	ones := 0
	for n > 0 {
		k := min(n, 56) // with up to seven before them they are within a word
		word := bitsAt(src, from) & (1<<k - 1)
		ones += bits.OnesCount64(word)
		word <<= at & 7
		if i := at >> 3; i+8 <= len(dst) {
			binary.LittleEndian.PutUint64(dst[i:], binary.LittleEndian.Uint64(dst[i:])|word)
		} else {
			for ; word != 0; i++ {
				dst[i] |= byte(word)
				word >>= 8
			}
		}
		at, from, n = at+k, from+k, n-k
	}
	return ones
}

// bitsAt is 57 bits of b or more from number at on, zeros past its end.
func bitsAt(b []byte, at int) uint64 {
	b = b[at>>3:]
	if len(b) >= 8 {
		return binary.LittleEndian.Uint64(b) >> (at & 7)
	}
	var word uint64
	for i, v := range b {
		word |= uint64(v) << (8 * i)
	}
	return word >> (at & 7)
}
