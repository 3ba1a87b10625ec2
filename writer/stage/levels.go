package stage

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

// levels are the levels of a leaf's slots, and where its values are.
type levels struct {
	n        int     // slots: rows where the leaf is in no list
	def, rep []int16 // of a nested leaf
	valid    []byte  // of a column of the table itself, nil where it has no nulls
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
	case lv.def != nil:
		n := 0
		for _, d := range lv.def[from:to] {
			if d == l.maxDef {
				n++
			}
		}
		return n
	case lv.valid != nil:
		return bitutil.CountSetBits(lv.valid, from, to-from)
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
	n := 0
	for _, r := range lv.rep[from:to] {
		if r == 0 {
			n++
		}
	}
	return n
}

// level appends levels up to most; version 1 of pages has their size before them.
func (e *encoder) level(b []byte, vals []int16, most int, v2 bool) []byte {
	return sized(b, v2, func(b []byte) []byte { return appendHybrid(b, vals, bits.Len(uint(most))) })
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

// slots is a column seen from a Parquet leaf: an entry per level pair, in row order, with the
// position of its value in the column at hand, or -1 where a null or an empty list above ends
// the path.
type slots struct {
	def, rep []int16 // rep is nil outside lists
	pos      []int32
}

// leafFunc receives each leaf with its column and slots, in Parquet's order. The slots are
// valid during the call.
type leafFunc func(l *leaf, c *column, s slots) error

// rowSlots has one slot a row.
func rowSlots(n int) slots {
	s := slots{def: make([]int16, n), pos: make([]int32, n)}
	for i := range s.pos {
		s.pos[i] = int32(i)
	}
	return s
}

// walk computes levels on the way from n down to its leaves. rep is the repetition level that
// n's own lists continue from.
func (n *node) walk(c *column, s slots, rep int16, emit leafFunc) error {
	if n.optional {
		s = s.descend(c)
	}
	switch n.shape {
	case shapeStruct:
		for i, kid := range n.kids {
			if err := kid.walk(&c.kids[n.kidAt[i]], s.forKid(len(n.kids)), rep, emit); err != nil {
				return err
			}
		}
		return nil
	case shapeList:
		return n.kids[0].walk(&c.kids[0], s.expand(c, rep+1), rep+1, emit)
	case shapeMap:
		s = s.expand(c, rep+1)
		entries := &c.kids[0]
		for i, kid := range n.kids {
			if err := kid.walk(&entries.kids[i], s.forKid(2), rep+1, emit); err != nil {
				return err
			}
		}
		return nil
	}
	return emit(n.leaf, c, s)
}

// forKid gives a kid slots of its own, because descend changes them in place.
func (s slots) forKid(siblings int) slots {
	if siblings == 1 {
		return s
	}
	return slots{def: append([]int16(nil), s.def...), rep: s.rep, pos: append([]int32(nil), s.pos...)}
}

// descend enters an optional field: one level deeper where there is a value.
func (s slots) descend(c *column) slots {
	for i, p := range s.pos {
		switch {
		case p < 0:
		case c.valid == nil || bitutil.BitIsSet(c.valid, int(p)):
			s.def[i]++
		default:
			s.pos[i] = -1
		}
	}
	return s
}

// expand enters a list: a slot for every element, one for a list that has none.
func (s slots) expand(c *column, rep int16) slots {
	out := slots{
		def: make([]int16, 0, len(s.def)), rep: make([]int16, 0, len(s.def)), pos: make([]int32, 0, len(s.def)),
	}
	for i, p := range s.pos {
		first := int16(0)
		if s.rep != nil {
			first = s.rep[i]
		}
		if p < 0 || c.offsets[p] == c.offsets[p+1] {
			out.def, out.rep, out.pos = append(out.def, s.def[i]), append(out.rep, first), append(out.pos, -1)
			continue
		}
		for e := c.offsets[p]; e < c.offsets[p+1]; e++ {
			out.def, out.rep, out.pos = append(out.def, s.def[i]+1), append(out.rep, first), append(out.pos, e)
			first = rep
		}
	}
	return out
}
