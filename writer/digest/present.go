package digest

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
)

// present walks over the values of an array that are not null, run by run: [from, to) after next. An array
// without nulls is one run, and nothing of it is looked at.
type present struct {
	from, to int
	n        int
	valid    []byte // nil where nothing is null
	offset   int    // of the first value's bit
}

func presentIn(a arrow.Array) present {
	p := present{n: a.Len()}
	if a.NullN() > 0 && len(a.NullBitmapBytes()) > 0 {
		p.valid, p.offset = a.NullBitmapBytes(), a.Data().Offset()
	}
	return p
}

func (p *present) next() bool {
	if p.valid == nil {
		p.from, p.to = p.to, p.n
	} else {
		p.from = p.find(p.to, 0)
		p.to = p.find(p.from, ^uint64(0))
	}
	return p.from < p.to
}

// find returns the first position at or after i whose bit is set, once xored with flip; n where there is none.
func (p *present) find(i int, flip uint64) int {
	for i < p.n {
		at := p.offset + i
		var word uint64
		have := 8
		if rest := p.valid[at/8:]; len(rest) >= 8 {
			word, have = binary.LittleEndian.Uint64(rest), 64
		} else {
			word = uint64(rest[0])
		}
		have -= at % 8
		if k := bits.TrailingZeros64((word ^ flip) >> (at % 8)); k < have {
			return min(i+k, p.n)
		}
		i += have
	}
	return p.n
}
