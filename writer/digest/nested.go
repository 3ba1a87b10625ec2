package digest

import (
	"fmt"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
)

func (h *Hasher) structure(s *seed, id int, a *array.Struct, hi, lo []uint64) {
	fhi, flo, done := h.borrow(a.Len())
	defer done()
	st := a.DataType().(*arrow.StructType)
	for k := range st.NumFields() {
		if child, ok := h.childID(id, st.Field(k)); ok {
			h.column(child, a.Field(k), fhi, flo)
		}
	}
	// Fields of a null struct may hold anything.
	for i := range hi {
		if a.IsValid(i) {
			add(&hi[i], &lo[i], fhi[i], flo[i])
			addWord(s, 1, &hi[i], &lo[i])
		}
	}
}

func (h *Hasher) childID(parent int, f arrow.Field) (int, bool) {
	if text, ok := f.Metadata.GetValue(fieldIDKey); ok {
		id, err := strconv.Atoi(text)
		_, known := h.byID[id]
		return id, err == nil && known
	}
	if st, ok := h.byID[parent].Type.(*iceberg.StructType); ok {
		for _, own := range st.FieldList {
			if own.Name == f.Name {
				return own.ID, true
			}
		}
	}
	return 0, false
}

func (h *Hasher) list(s *seed, id int, a array.ListLike, hi, lo []uint64) {
	lt, ok := h.byID[id].Type.(*iceberg.ListType)
	if !ok {
		panic(fmt.Errorf("%w: field %d is no list", ErrType, id))
	}
	first, ehi, elo, done := h.elements(lt.ElementID, a, a.ListValues())
	defer done()
	for i := range hi {
		if !a.IsValid(i) {
			continue
		}
		start, end := a.ValueOffsets(i)
		var shi, slo uint64
		addWord(s, uint64(end-start), &shi, &slo)
		for k := start - first; k < end-first; k++ {
			add(&shi, &slo, ehi[k], elo[k])
			shi, slo = finalise(shi, slo) // order matters: chained
		}
		add(&hi[i], &lo[i], shi, slo)
	}
}

func (h *Hasher) mapping(s *seed, id int, a *array.Map, hi, lo []uint64) {
	mt, ok := h.byID[id].Type.(*iceberg.MapType)
	if !ok {
		panic(fmt.Errorf("%w: field %d is no map", ErrType, id))
	}
	first, khi, klo, keysDone := h.elements(mt.KeyID, a, a.Keys())
	defer keysDone()
	_, vhi, vlo, valuesDone := h.elements(mt.ValueID, a, a.Items())
	defer valuesDone()
	for i := range hi {
		if !a.IsValid(i) {
			continue
		}
		start, end := a.ValueOffsets(i)
		var shi, slo uint64
		addWord(s, uint64(end-start), &shi, &slo)
		for k := start - first; k < end-first; k++ {
			ehi, elo := khi[k], klo[k]
			add(&ehi, &elo, vhi[k], vlo[k])
			ehi, elo = finalise(ehi, elo)
			add(&shi, &slo, ehi, elo) // order does not matter: summed
		}
		shi, slo = finalise(shi, slo)
		add(&hi[i], &lo[i], shi, slo)
	}
}

// elements returns the contributions of the elements that a's rows span, and the position of
// the first in values. done gives the scratch space back, last borrowed first.
func (h *Hasher) elements(id int, a array.ListLike, values arrow.Array) (first int64, hi, lo []uint64, done func()) {
	var end int64
	if n := a.Len(); n > 0 {
		first, _ = a.ValueOffsets(0)
		_, end = a.ValueOffsets(n - 1)
	}
	part := array.NewSlice(values, first, end)
	defer part.Release()
	hi, lo, done = h.borrow(part.Len())
	h.column(id, part, hi, lo)
	return first, hi, lo, done
}

// borrow returns zeroed scratch space from a stack.
func (h *Hasher) borrow(n int) (hi, lo []uint64, done func()) {
	var pair [2][]uint64
	if top := len(h.scratch) - 1; top >= 0 {
		pair, h.scratch = h.scratch[top], h.scratch[:top]
	}
	pair[0], pair[1] = resize(pair[0], n), resize(pair[1], n)
	clear(pair[0])
	clear(pair[1])
	return pair[0], pair[1], func() { h.scratch = append(h.scratch, pair) }
}

func resize(s []uint64, n int) []uint64 {
	if cap(s) < n {
		return make([]uint64, n)
	}
	return s[:n]
}
