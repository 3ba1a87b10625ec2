package stage

import (
	"encoding/binary"
	"math/bits"
)

// slots is a column seen from a Parquet leaf: an entry per level pair, in row order. Nobody changes slots
// once they are made: the kids of a struct share them.
type slots struct {
	n   int
	def []uint8
	// Outside of lists a slot is a row, and its value lies where the row does: valid has a bit for each that has one
	// as far as the path has come, and is nil where all have.
	valid []byte
	// In lists pos is where the value lies in the column at hand, or -1 where a null or an empty list above ends the path.
	rep []uint8
	pos []int32
}

// mostLevels is what a level of a slot may be.
const mostLevels = 255

// leafFunc receives each leaf with its column and slots, in Parquet's order. The slots are
// valid during the call.
type leafFunc func(l *leaf, c *column, s slots) error

// walker computes levels on the way from a column of the table down to its leaves. It keeps the memory of the
// slots, which end with the subtree that they were made for.
type walker struct {
	emit   leafFunc
	bytes  shelf[uint8]
	places shelf[int32]
}

// shelf lends slices; those that were lent last come back first.
type shelf[T any] struct {
	all  [][]T
	lent int
}

func (s *shelf[T]) take(n int) []T {
	if s.lent == len(s.all) {
		s.all = append(s.all, nil)
	}
	out := growTo(s.all[s.lent], n)
	s.all[s.lent] = out
	s.lent++
	return out
}

// rows walks n, a column of the table with n rows.
func (w *walker) rows(n *node, c *column, rows int, emit leafFunc) error {
	w.emit = emit
	s := slots{n: rows, def: w.bytes.take(rows)}
	clear(s.def)
	err := w.walk(n, c, s, 0)
	w.bytes.lent, w.places.lent = 0, 0
	return err
}

// walk goes on below the slots of n's parent. rep is the repetition level that n's own lists continue from.
func (w *walker) walk(n *node, c *column, s slots, rep uint8) error {
	lentBytes, lentPlaces := w.bytes.lent, w.places.lent
	defer func() { w.bytes.lent, w.places.lent = lentBytes, lentPlaces }()
	if n.optional {
		s = w.descend(c, s)
	}
	switch n.shape {
	case shapeStruct:
		for i, kid := range n.kids {
			if err := w.walk(kid, &c.kids[n.kidAt[i]], s, rep); err != nil {
				return err
			}
		}
		return nil
	case shapeList:
		return w.walk(n.kids[0], &c.kids[0], w.expand(c, s, rep+1), rep+1)
	case shapeMap:
		s = w.expand(c, s, rep+1)
		entries := &c.kids[0]
		for i, kid := range n.kids {
			if err := w.walk(kid, &entries.kids[i], s, rep+1); err != nil {
				return err
			}
		}
		return nil
	}
	return w.emit(n.leaf, c, s)
}

// descend enters an optional field: one level deeper where there is a value.
func (w *walker) descend(c *column, s slots) slots {
	def := w.bytes.take(s.n)
	switch {
	case s.rep == nil:
		if c.nulls > 0 {
			s.valid = w.both(s.valid, c.valid, s.n)
		}
		addBits(def, s.def, s.valid)
	case c.nulls == 0:
		for i, p := range s.pos {
			def[i] = s.def[i] + uint8(^p>>31&1)
		}
	default:
		pos := w.places.take(s.n)
		for i, p := range s.pos {
			at := max(p, 0)
			null := p>>31 | (int32(c.valid[at>>3]>>(at&7)&1) - 1) // -1 or 0
			def[i] = s.def[i] + uint8(null+1)
			pos[i] = p | null
		}
		s.pos = pos
	}
	s.def = def
	return s
}

// both is the bits that n rows have in a, nil for all, and in b.
func (w *walker) both(a, b []byte, n int) []byte {
	if a == nil {
		return b
	}
	out := w.bytes.take((n + 7) / 8)
	a, b = a[:len(out)], b[:len(out)]
	for i := range out {
		out[i] = a[i] & b[i]
	}
	return out
}

// spread has a byte of 1 for each bit of its index, the lowest first.
var spread = func() (t [256]uint64) {
	for b := range t {
		for k := range 8 {
			t[b] |= uint64(b>>k&1) << (8 * k)
		}
	}
	return t
}()

// addBits sets out to in, and 1 more where there is a bit; bitmap is nil where there is one everywhere.
func addBits(out, in []uint8, bitmap []byte) {
	in = in[:len(out)]
	i := 0
	if bitmap == nil {
		for ; i+8 <= len(out); i += 8 {
			binary.LittleEndian.PutUint64(out[i:], binary.LittleEndian.Uint64(in[i:])+eachByte)
		}
		for ; i < len(out); i++ {
			out[i] = in[i] + 1
		}
		return
	}
	for ; i+8 <= len(out); i += 8 {
		binary.LittleEndian.PutUint64(out[i:], binary.LittleEndian.Uint64(in[i:])+spread[bitmap[i>>3]])
	}
	for ; i < len(out); i++ {
		out[i] = in[i] + bitmap[i>>3]>>(i&7)&1
	}
}

const eachByte = 0x0101010101010101

// expand enters a list: a slot for every element, one for a list that has none.
func (w *walker) expand(c *column, s slots, rep uint8) slots {
	most := s.n + c.kids[0].n
	def, reps, pos := w.bytes.take(most), w.bytes.take(most), w.places.take(most)
	n := 0
	for i := range s.n {
		first, level := uint8(0), s.def[i]
		var from, to int32
		if s.rep == nil {
			if s.valid == nil || s.valid[i>>3]>>(i&7)&1 != 0 {
				from, to = c.offsets[i], c.offsets[i+1]
			}
		} else {
			first = s.rep[i]
			if p := s.pos[i]; p >= 0 {
				from, to = c.offsets[p], c.offsets[p+1]
			}
		}
		if from == to {
			def[n], reps[n], pos[n] = level, first, -1
			n++
			continue
		}
		for e := from; e < to; e++ {
			def[n], reps[n], pos[n] = level+1, first, e
			first = rep
			n++
		}
	}
	return slots{n: n, def: def[:n], rep: reps[:n], pos: pos[:n]}
}

// levels are those of a leaf with the slots s.
func (e *encoder) levels(c *column, s slots) levels {
	lv := levels{n: s.n, def: s.def, rep: s.rep}
	switch {
	case s.rep != nil:
		e.sel = growTo(e.sel, s.n)
		n := 0
		for _, p := range s.pos {
			e.sel[n] = p // the next goes over it where it is none
			n += int(^p >> 31 & 1)
		}
		e.sel = e.sel[:n]
		if n < c.n {
			lv.pos = e.sel
		}
	case s.valid != nil:
		e.sel = setBits(e.sel, s.valid, s.n)
		lv.valid, lv.pos = s.valid, e.sel
	}
	return lv
}

// setBits is the numbers of the bits among the first n that are set; sel is memory for them.
func setBits(sel []int32, bitmap []byte, n int) []int32 {
	sel = growTo(sel, n)
	k, i := 0, 0
	for ; i+64 <= n; i += 64 {
		word := binary.LittleEndian.Uint64(bitmap[i/8:])
		if word == ^uint64(0) {
			out := sel[k : k+64]
			for j := range out {
				out[j] = int32(i + j)
			}
			k += 64
			continue
		}
		for ; word != 0; word &= word - 1 {
			sel[k] = int32(i + bits.TrailingZeros64(word))
			k++
		}
	}
	for ; i < n; i++ {
		if bitmap[i>>3]>>(i&7)&1 != 0 {
			sel[k] = int32(i)
			k++
		}
	}
	return sel[:k]
}
