package merge

import (
	"context"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/digest"
)

// Two rows that differ in one column differ, whatever the others say. Where changes bring new values to a column, a time of change
// or an amount, that column alone tells of nearly every hit that its row changes, and the others, which are most of the bytes, need
// not be read. Which column that is, some of the hits show. Values are compared by hash: that two hashes differ proves that the
// values do, and where they are the same the hit is open, and its rows are compared whole. So a guess that is wrong costs a read, and no more.

// telling is the column that tells, once it is known. It is for any number of goroutines.
type telling struct {
	in *Input

	mu         sync.Mutex
	candidates []candidate
	rows       []int32 // of the input, whose hits were sampled
	settled    bool
	column     *iceberg.NestedField // nil: none tells, or it is not known yet
	hashes     []uint32             // of the column, by input row
	samples    int
	helped     int
	failed     int
}

// candidate is a column that may tell.
type candidate struct {
	iceberg.NestedField
	typ    arrow.DataType
	theirs []uint32 // hashes of rows that were hit, in the order of telling.rows
}

var (
	// fewest is how many hits are looked at at least before a column is trusted, and enough how many are at most.
	fewest, enough = 16, 512
	// share says that the hits in a sixteenth of a section's rows are looked at, and mostSamples in how many sections.
	share       int64 = 16
	mostSamples       = 64
)

// newTelling knows nothing yet but which columns may tell: those that every row of the input is compared by.
func newTelling(in *Input) *telling {
	t := &telling{in: in}
	for i, f := range in.schema.Fields() {
		_, primitive := f.Type.(iceberg.PrimitiveType)
		if primitive && !slices.Contains(in.o.Key, f.Name) && !slices.ContainsFunc(in.layouts, func(l layout) bool { _, ok := l.compared.FindFieldByID(f.ID); return !ok }) {
			t.candidates = append(t.candidates, candidate{NestedField: f, typ: in.arrow.Field(i).Type})
		}
	}
	t.settled = len(t.candidates) == 0
	return t
}

// tells is the column to read first of a section with hits, and the hashes that the input's rows have in it; nil where none
// is known to tell.
func (r *reader) tells(ctx context.Context, s section, hits []*Hit, k *part) (*iceberg.NestedField, []uint32) {
	t := r.telling
	if ids := t.begin(); ids != nil && len(s.file.Deletes) == 0 { // with deletes there is no telling where in the file a hit is
		end := s.first + min(s.most, max(1024, s.most/share), 1<<17)
		var some []*Hit
		for _, h := range hits {
			if h.Row >= end || len(some) == enough {
				break
			}
			// The first rows of the input, as many as are kept in memory, are enough to learn from.
			if t.in.batchOf(int(k.rows[h.Input])) < len(t.in.store.kept) {
				some = append(some, h)
			}
		}
		if len(some) > 0 {
			sample := s.file.Sample(ctx, r.tbl, s.group, some[len(some)-1].Row-s.first+1, ids)
			t.learn(sample, s, some, len(hits), k)
			for _, arr := range sample {
				arr.Release()
			}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.column == nil {
		return nil, nil
	}
	if f, ok := r.tbl.Schema().FindFieldByID(t.column.ID); !ok || f.Name != t.column.Name {
		return nil, nil
	}
	return t.column, t.hashes
}

// begin tells the columns to sample; nil where that is settled.
func (t *telling) begin() (ids []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.samples == mostSamples || len(t.in.store.kept) == 0 {
		t.settled = true
	}
	if t.settled {
		return nil
	}
	t.samples++
	for _, c := range t.candidates {
		ids = append(ids, c.ID)
	}
	return ids
}

// learn looks at hits among the first rows of a section, which sample has, by column; all is how many hits the section has.
//
// A column tells if none of the values that were hit is among those of the input. Had it fewer values than the square of what
// is sampled, one would likely be; and one that stays is.
func (t *telling) learn(sample map[int]arrow.Array, s section, hits []*Hit, all int, k *part) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(sample) == 0 { // of this file nothing is to be learned
		return
	}
	length := s.most
	t.candidates = slices.DeleteFunc(t.candidates, func(c candidate) bool {
		arr := sample[c.ID]
		if arr == nil || !arrow.TypeEqual(arr.DataType(), c.typ) {
			return true
		}
		length = min(length, int64(arr.Len()))
		return false
	})
	if t.settled || len(t.candidates) == 0 {
		t.settled = true
		return
	}
	var at []int
	for _, h := range hits {
		if h.Row-s.first < length {
			t.rows, at = append(t.rows, k.rows[h.Input]), append(at, int(h.Row-s.first))
		}
	}
	for i := range t.candidates {
		c := &t.candidates[i]
		theirs, err := hashesAt([]arrow.Array{sample[c.ID]}, c.NestedField, len(at), func(i int) (int, int) { return 0, at[i] })
		if err != nil {
			t.settled = true
			return
		}
		c.theirs = append(c.theirs, theirs...)
	}
	if n := len(t.rows); n < fewest || n < enough && n*n < fewest*all {
		return // more sections are to be seen
	}
	t.settled = true
	var best *iceberg.NestedField
	for i := range t.candidates {
		c := &t.candidates[i]
		if best != nil && s.cost(c.NestedField) >= s.cost(*best) {
			continue
		}
		ours, err := t.ours(c.NestedField)
		if err != nil {
			return
		}
		among := map[uint32]bool{}
		for _, h := range ours {
			among[h] = true
		}
		if !slices.ContainsFunc(c.theirs, func(h uint32) bool { return among[h] }) {
			best = &c.NestedField
		}
	}
	if best != nil && t.hash(*best) == nil {
		t.column = best
	}
	t.rows, t.candidates = nil, nil
}

// hash makes the hashes of a column of the input.
func (t *telling) hash(f iceberg.NestedField) error {
	t.hashes = make([]uint32, 0, t.in.Rows())
	for rec, err := range t.in.store.all() {
		if err != nil {
			return err
		}
		arr, err := columnOf(rec, f.ID, f.Name)
		if err == nil {
			var some []uint32
			some, err = hashesOf(f, arr)
			t.hashes = append(t.hashes, some...)
		}
		rec.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// ours are the hashes of the input's rows that were sampled.
func (t *telling) ours(f iceberg.NestedField) ([]uint32, error) {
	var arrays []arrow.Array
	for _, rec := range t.in.store.kept {
		arr, err := columnOf(rec, f.ID, f.Name)
		if err != nil {
			return nil, err
		}
		arrays = append(arrays, arr)
	}
	return hashesAt(arrays, f, len(t.rows), func(i int) (int, int) {
		row := int(t.rows[i])
		b := t.in.batchOf(row)
		return b, row - t.in.batches[b].first
	})
}

// hashesAt are the hashes of the n values that from tells the places of (gather).
func hashesAt(arrays []arrow.Array, f iceberg.NestedField, n int, from func(i int) (which, index int)) ([]uint32, error) {
	if n == 0 {
		return nil, nil
	}
	values, err := gather(arrays, n, from)
	if err != nil {
		return nil, err
	}
	defer values.Release()
	return hashesOf(f, values)
}

// looked notes how many hits of a section were open after a look at the column. A column that fails as often as it
// helps is given up.
func (t *telling) looked(open int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if open == 0 {
		t.helped++
		return
	}
	if t.failed++; t.failed > t.helped {
		t.column = nil
	}
}

// hashesOf are the hashes of the values of a column.
func hashesOf(f iceberg.NestedField, values arrow.Array) ([]uint32, error) {
	h, err := digest.NewHasher(iceberg.NewSchema(0, f))
	if err != nil {
		return nil, err
	}
	rec := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: f.Name, Type: values.DataType(), Nullable: true}}, nil), []arrow.Array{values}, int64(values.Len()))
	defer rec.Release()
	hi, lo := make([]uint64, values.Len()), make([]uint64, values.Len())
	h.Rows(rec, hi, lo)
	out := make([]uint32, len(lo))
	for i, v := range lo {
		out[i] = uint32(v)
	}
	return out, nil
}

// look reads of a section the column that tells, what says how new a row is, and the old values that updated rows keep; it settles
// hits, and returns those that are open.
func (r *reader) look(ctx context.Context, f *found, s section, hits []*Hit, k *part, column *iceberg.NestedField, ours []uint32) ([]*Hit, error) {
	names := slices.Clone(r.old)
	if !slices.Contains(names, column.Name) {
		names = append(names, column.Name)
	}
	if in := r.in; in.newer != nil && !slices.Contains(names, in.newer.Name) {
		names = append(names, in.newer.Name)
	}
	var open []*Hit
	err := r.eachWithHits(ctx, s, catalog.ReadableColumns(r.tbl, r.tbl.Schema(), names), hits, func(rec arrow.RecordBatch, first int64, hits []*Hit) error {
		theirs, err := r.agesOf(rec)
		if err != nil {
			return err
		}
		arr, err := columnOf(rec, column.ID, column.Name)
		if err != nil {
			return err
		}
		// Where few rows are hit, these are hashed, and not their neighbours.
		few := len(hits)*fewHits < arr.Len()
		var hashes []uint32
		if few {
			hashes, err = hashesAt([]arrow.Array{arr}, *column, len(hits), func(i int) (int, int) { return 0, int(hits[i].Row - first) })
		} else {
			hashes, err = hashesOf(*column, arr)
		}
		if err != nil {
			return err
		}
		var told []*Hit
		for i, h := range hits {
			mine, at := int(h.Input), int(h.Row-first)
			row := int(k.rows[mine])
			h.Outcome = r.in.outcome(row, false, r.stale(k, mine, theirs, at))
			if !few {
				i = at
			}
			if h.Outcome == Updated && hashes[i] == ours[row] {
				open = append(open, h)
			} else {
				told = append(told, h)
			}
		}
		return r.keepOld(f, rec, first, told, k)
	})
	return open, err
}
