package stage

import "github.com/apache/arrow-go/v18/arrow/bitutil"

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
