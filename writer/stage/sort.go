package stage

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// sorter orders rows by a table's sort order: stable, nulls where the order
// puts them, NaN above every number.
type sorter struct {
	fields []sortField
	schema *arrow.Schema
}

type sortField struct {
	*transformer
	desc, nullsLast bool
}

// newSorter returns nil where the table has no sort order. Errors wrap ErrUnsupported.
func newSorter(schema *iceberg.Schema, order table.SortOrder, as *arrow.Schema) (*sorter, error) {
	s := &sorter{schema: as}
	for _, f := range order.Fields() {
		if len(f.SourceIDs) > 1 {
			return nil, fmt.Errorf("%w: sort field %s of several columns", ErrUnsupported, f.Transform)
		}
		t, err := newTransformer(schema, f.SourceID(), f.Transform)
		if err != nil {
			return nil, fmt.Errorf("sort order: %w", err)
		}
		s.fields = append(s.fields, sortField{t, f.Direction == table.SortDESC, f.NullOrder == table.NullsLast})
	}
	if len(s.fields) == 0 {
		return nil, nil
	}
	return s, nil
}

// sortedColumns are the columns whose own order the sort order keeps.
func sortedColumns(order table.SortOrder) map[int]bool {
	ids := map[int]bool{}
	for _, f := range order.Fields() {
		if f.Transform.PreservesOrder() && len(f.SourceIDs) == 1 {
			ids[f.SourceID()] = true
		}
	}
	return ids
}

// sortKey is a row with the first field in a form that compares fast: rank puts nulls first or
// last, key has the value's order, as far as 8 bytes tell.
type sortKey struct {
	rank uint8
	row  int32
	key  uint64
}

// sortCost is about the bytes that sorting takes for a row beside the row itself: a key, its
// place in the order, and a word of the field's value.
const sortCost = 40

// clone is s with scratch space of its own: what keyed returns is valid until its next call.
func (s *sorter) clone() *sorter {
	c := &sorter{schema: s.schema, fields: slices.Clone(s.fields)}
	for i, f := range s.fields {
		t := *f.transformer
		t.out, t.pool = values{}, nil
		c.fields[i].transformer = &t
	}
	return c
}

// sorted is rows with what they are compared by.
type sorted struct {
	keys []sortKey
	vals []values // by field
}

// keyed makes rec's rows comparable, in place of what it made before in out. They may refer to rec's memory.
func (s *sorter) keyed(rec arrow.RecordBatch, out *sorted) {
	out.vals = growTo(out.vals, len(s.fields))
	for i, f := range s.fields {
		out.vals[i] = f.ordered(rec)
	}
	out.keys = growTo(out.keys, int(rec.NumRows()))
	first := s.fields[0]
	for i := range out.keys {
		out.keys[i] = first.key(out.vals[0], int32(i))
	}
}

// compare compares the row of key a in ra with that of b in rb. It takes keys, not numbers, because most rows
// are told apart by them.
func (s *sorter) compare(ra *sorted, a sortKey, rb *sorted, b sortKey) int {
	if c := cmp.Compare(a.rank, b.rank); c != 0 {
		return c
	}
	if c := cmp.Compare(a.key, b.key); c != 0 {
		return c
	}
	for i, f := range s.fields {
		if c := f.compare(ra.vals[i], a.row, rb.vals[i], b.row); c != 0 {
			return c
		}
	}
	return 0
}

// order returns the rows of cols, n of them, in sorted order.
func (s *sorter) order(cols []column, n int) []int32 {
	rec := arrowBatch(s.schema, cols, n)
	defer rec.Release()
	var rows sorted
	s.keyed(rec, &rows)
	compare := func(a, b sortKey) int {
		if c := s.compare(&rows, a, &rows, b); c != 0 {
			return c
		}
		return cmp.Compare(a.row, b.row) // stable
	}
	if !slices.IsSortedFunc(rows.keys, compare) {
		slices.SortFunc(rows.keys, compare)
	}
	perm := make([]int32, n)
	for i, k := range rows.keys {
		perm[i] = k.row
	}
	return perm
}

// ordered is apply with words and texts turned into forms that compare as integers and bytes.
func (f sortField) ordered(rec arrow.RecordBatch) values {
	v := f.apply(rec)
	switch f.result.(type) {
	case iceberg.Float32Type:
		for i, w := range v.words {
			v.words[i] = realOrder(float64(math.Float32frombits(uint32(w))))
		}
	case iceberg.Float64Type:
		for i, w := range v.words {
			v.words[i] = realOrder(math.Float64frombits(uint64(w)))
		}
	case iceberg.DecimalType:
		for _, b := range v.texts {
			if len(b) > 0 {
				b[0] ^= 0x80 // its own copy; unsigned order
			}
		}
	}
	return v
}

// realOrder maps doubles to integers of the same order: -0.0 below 0.0, NaN above all.
func realOrder(r float64) int64 {
	if r != r {
		return math.MaxInt64
	}
	b := int64(math.Float64bits(r))
	return b ^ int64(uint64(b>>63)>>1)
}

func (f sortField) key(v values, row int32) sortKey {
	k := sortKey{rank: 1, row: row}
	switch {
	case v.null != nil && v.null[row]:
		if k.rank = 0; f.nullsLast {
			k.rank = 2
		}
		return k
	case f.wide:
		for i, b := range v.texts[row][:min(8, len(v.texts[row]))] {
			k.key |= uint64(b) << (56 - 8*i)
		}
	default:
		k.key = uint64(v.words[row]) ^ 1<<63
	}
	if f.desc {
		k.key = ^k.key
	}
	return k
}

func (f sortField) compare(va values, a int32, vb values, b int32) int {
	an, bn := va.null != nil && va.null[a], vb.null != nil && vb.null[b]
	if an || bn {
		if an == bn {
			return 0
		}
		if an == f.nullsLast {
			return 1
		}
		return -1
	}
	var c int
	if f.wide {
		c = bytes.Compare(va.texts[a], vb.texts[b])
	} else {
		c = cmp.Compare(va.words[a], vb.words[b])
	}
	if f.desc {
		return -c
	}
	return c
}
