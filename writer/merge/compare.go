package merge

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/live"
)

// How the rows of a file that were hit are compared with those of the input, once it is known which they are.

// sameRows tells whether a file, which all of its rows were looked for in, has nothing but rows of the input as they are, by
// the digest in its footer: one that an earlier run of the same input wrote. Then no other column has to be read.
func (r *reader) sameRows(ctx context.Context, all []found, sections []section, k *part) (bool, error) {
	in := r.in
	if len(sections) == 0 || len(in.layouts) != 1 || len(in.layouts[0].absent) > 0 || len(in.o.Ignore) > 0 || in.deletes != nil {
		return false, nil
	}
	file := sections[0].file
	var sum digest.Sum
	for _, f := range all {
		for _, h := range f.hits {
			d := k.digests[h.Input]
			sum = sum.Add(digest.Sum{Rows: 1, Hi: d.hi, Lo: d.lo})
		}
	}
	if sum.Rows == 0 || sum.Rows != file.DataFile().Count() || len(file.Deletes) > 0 {
		return false, nil
	}
	known, err := live.Digests(ctx, r.tbl, []*live.File{file})
	if err != nil {
		return false, err
	}
	theirs, ok := known[file]
	return ok && theirs == sum, nil
}

// compareHits says what becomes of the hits of a section. Of the other columns it reads what it takes: none where it does not
// matter what rows say, one where that tells of all hits (telling.go), or all.
func (r *reader) compareHits(ctx context.Context, f *found, s section, k *part) error {
	var open []*Hit
	for i := range f.hits {
		h := &f.hits[i]
		row := int(k.rows[h.Input])
		if len(r.all) == 0 || r.in.newer == nil && r.in.isDelete(row) {
			h.Outcome = r.in.outcome(row, true, false)
		} else {
			open = append(open, h)
		}
	}
	if len(open) == 0 {
		return nil
	}
	if column, ours := r.tells(ctx, s, open, k); column != nil {
		var err error
		if open, err = r.look(ctx, f, s, open, k, column, ours); err != nil {
			return err
		}
		r.telling.looked(len(open))
	}
	if len(open) == 0 {
		return nil
	}
	return r.compareWhole(ctx, f, s, open, k)
}

// compareWhole compares the rows of hits in all columns.
func (r *reader) compareWhole(ctx context.Context, f *found, s section, hits []*Hit, k *part) error {
	hashers := make([]*digest.Hasher, len(r.compare))
	for i, schema := range r.compare {
		var err error
		if hashers[i], err = digest.NewHasher(schema); err != nil {
			return err
		}
	}
	var sums [2][]uint64
	return r.eachWithHits(ctx, s, r.all, hits, func(rec arrow.RecordBatch, first int64, hits []*Hit) error {
		if err := r.compareBatch(rec, first, hits, k, hashers, &sums); err != nil {
			return err
		}
		return r.keepOld(f, rec, first, hits, k)
	})
}

// compareBatch settles the hits in rec, whose first row is row number first.
func (r *reader) compareBatch(rec arrow.RecordBatch, first int64, hits []*Hit, k *part, hashers []*digest.Hasher, sums *[2][]uint64) error {
	in := r.in
	theirs, err := r.agesOf(rec)
	if err != nil {
		return err
	}
	layouts := map[int]bool{}
	for _, h := range hits {
		layouts[in.layoutOf(int(k.rows[h.Input]))] = true
	}
	// Where few rows are hit, these are hashed, and not their neighbours.
	compared, few := rec, len(hits)*fewHits < int(rec.NumRows())
	if few {
		if compared, err = picked(rec, first, hits); err != nil {
			return err
		}
		defer compared.Release()
	}
	n := int(compared.NumRows())
	sums[0], sums[1] = sized(sums[0], n), sized(sums[1], n)
	for l := range layouts {
		hashers[l].Rows(compared, sums[0], sums[1])
		for i, h := range hits {
			mine, at := int(h.Input), int(h.Row-first)
			row := int(k.rows[mine])
			if in.layoutOf(row) != l {
				continue
			}
			if !few {
				i = at
			}
			same := k.digests[mine] == fingerprint{sums[0][i], sums[1][i]}
			h.Outcome = in.outcome(row, same, r.stale(k, mine, theirs, at))
		}
	}
	return nil
}

// fewHits is how many rows a batch has for each hit, from which on it is cheaper to pick them.
const fewHits = 32

// picked are the rows of rec that were hit.
func picked(rec arrow.RecordBatch, first int64, hits []*Hit) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, 0, rec.NumCols())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for _, c := range rec.Columns() {
		arr, err := gather([]arrow.Array{c}, len(hits), func(i int) (int, int) { return 0, int(hits[i].Row - first) })
		if err != nil {
			return nil, err
		}
		columns = append(columns, arr)
	}
	return array.NewRecordBatch(rec.Schema(), columns, int64(len(hits))), nil
}

// layoutOf is the number of the layout that a row of the input has.
func (in *Input) layoutOf(row int) int {
	if len(in.layouts) == 1 {
		return 0
	}
	return in.batches[in.batchOf(row)].layout
}

// agesOf says how new the rows of rec are; nil where that does not matter.
func (r *reader) agesOf(rec arrow.RecordBatch) (*ages, error) {
	if r.in.newer == nil {
		return nil, nil
	}
	a, err := r.in.newer.of(rec)
	return &a, err
}

// stale tells whether row mine of k is older than the row at place at of the table's.
func (r *reader) stale(k *part, mine int, theirs *ages, at int) bool {
	return theirs != nil && k.newer.compare(mine, theirs, at) < 0
}

// outcome is that of an input row that hit a row which says the same, or is newer.
func (in *Input) outcome(row int, same, stale bool) Outcome {
	switch {
	case stale:
		return Stale
	case in.isDelete(row):
		return Deleted
	case same:
		return Unchanged
	}
	return Updated
}

// keepOld adds the old values of the hits in rec that are Updated to f.
func (r *reader) keepOld(f *found, rec arrow.RecordBatch, first int64, hits []*Hit, k *part) error {
	if len(r.old) == 0 {
		return nil
	}
	var rows []int
	var of []int32
	for _, h := range hits {
		if h.Outcome == Updated {
			rows, of = append(rows, int(h.Row-first)), append(of, k.rows[h.Input])
		}
	}
	if len(rows) == 0 {
		return nil
	}
	var fields []arrow.Field
	var columns []arrow.Array
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for _, name := range r.old {
		column, _ := r.tbl.Schema().FindFieldByName(name)
		arr, err := columnOf(rec, column.ID, name)
		if err != nil {
			return err
		}
		picked, err := gather([]arrow.Array{arr}, len(rows), func(i int) (int, int) { return 0, rows[i] })
		if err != nil {
			return err
		}
		fields, columns = append(fields, arrow.Field{Name: name, Type: picked.DataType(), Nullable: true}), append(columns, picked)
	}
	f.old = append(f.old, array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(len(rows))))
	f.oldOf = append(f.oldOf, of)
	return nil
}

// gather makes an array of n values: value i is that at place index of array which, as from tells. Values of
// any type go; runs of neighbours go as one.
func gather(arrays []arrow.Array, n int, from func(i int) (which, index int)) (arrow.Array, error) {
	var parts []arrow.Array
	defer func() {
		for _, p := range parts {
			p.Release()
		}
	}()
	for i := 0; i < n; {
		which, start := from(i)
		end := start + 1
		for i++; i < n; i, end = i+1, end+1 {
			if w, at := from(i); w != which || at != end {
				break
			}
		}
		parts = append(parts, array.NewSlice(arrays[which], int64(start), int64(end)))
	}
	return array.Concatenate(parts, memory.DefaultAllocator)
}

// eachWithHits reads columns of a section, and gives the batches with some of hits to do; first is the number of their first row.
func (r *reader) eachWithHits(ctx context.Context, s section, columns []string, hits []*Hit, do func(rec arrow.RecordBatch, first int64, hits []*Hit) error) error {
	row := s.first
	for rec, err := range live.Rows(ctx, r.tbl, s.task, columns) {
		if err != nil {
			return err
		}
		end := 0
		for end < len(hits) && hits[end].Row < row+rec.NumRows() {
			end++
		}
		if end > 0 {
			err = do(rec, row, hits[:end])
		}
		hits = hits[end:]
		row += rec.NumRows()
		rec.Release()
		if err != nil {
			return err
		}
	}
	if len(hits) > 0 {
		return fmt.Errorf("%w: %d, after more of them", errRows, row-s.first)
	}
	return nil
}
