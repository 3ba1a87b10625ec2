package stage

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

// levels are the levels of a leaf's slots, and where its values are.
type levels struct {
	n        int     // slots: rows where the leaf is in no list
	def, rep []uint8 // of a nested leaf; rep of one in lists
	valid    []byte  // outside of lists which slots have a value, a bit each; nil where all have
	pos      []int32 // of the values in the column, nil where they are all of it
}

// present is the number of values.
func (lv levels) present(c *column) int {
	if lv.pos != nil {
		return len(lv.pos)
	}
	return c.n
}

// presentIn is the number of values of slots from to to.
func (lv levels) presentIn(l *leaf, from, to int) int {
	switch {
	case lv.valid != nil:
		return bitutil.CountSetBits(lv.valid, from, to-from)
	case lv.rep != nil:
		return bytes.Count(lv.def[from:to], []byte{uint8(l.maxDef)})
	}
	return to - from
}

// end moves to to the next start of a row.
func (lv levels) end(to int) int {
	for lv.rep != nil && to < lv.n && lv.rep[to] != 0 {
		to++
	}
	return to
}

// rows is the number of rows that slots from to to are.
func (lv levels) rows(from, to int) int {
	if lv.rep == nil {
		return to - from
	}
	return bytes.Count(lv.rep[from:to], []byte{0})
}

// level appends levels up to most; version 1 of pages has their size before them.
func (e *encoder) level(b []byte, vals []uint8, most int, v2 bool) []byte {
	return sized(b, v2, func(b []byte) []byte { return appendLevels(b, vals, bits.Len(uint(most))) })
}

// defLevels appends the definition levels of slots from to to. A column of the table itself has but two,
// and its bitmap already is what packs them.
func (e *encoder) defLevels(b []byte, l *leaf, lv levels, from, to int, v2 bool) []byte {
	if lv.def != nil {
		return e.level(b, lv.def[from:to], int(l.maxDef), v2)
	}
	return sized(b, v2, func(b []byte) []byte {
		if lv.valid == nil {
			return appendRun(b, to-from, 1, 1)
		}
		groups := (to - from + 7) / 8
		b = binary.AppendUvarint(b, uint64(groups)<<1|1)
		b = append(b, lv.valid[from/8:from/8+groups]...)
		if rest := (to - from) % 8; rest != 0 {
			b[len(b)-1] &= 1<<rest - 1
		}
		return b
	})
}

func sized(b []byte, v2 bool, levels func([]byte) []byte) []byte {
	if v2 {
		return levels(b)
	}
	at := len(b)
	b = levels(append(b, 0, 0, 0, 0))
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}
