package merge

import (
	"context"
	"fmt"
	"iter"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/slice"
)

// Stream is a sequence of batches together with which of their rows are meant: pick is to be asked once for
// each batch, in order.
type Stream struct {
	Batches iter.Seq2[arrowconv.Batch, error]
	Pick    func(arrow.RecordBatch) (*slice.Selection, error)
	// Rows is how many rows are meant.
	Rows int64
}

// Survivors are the rows of files that are not to go, with the columns of tbl, which is live.WithLineage's.
func Survivors(ctx context.Context, tbl *table.Table, matches []*Match) Stream {
	var at []int64 // the rows that go of the file at hand
	var first int64
	s := Stream{
		Batches: func(yield func(arrowconv.Batch, error) bool) {
			for _, m := range matches {
				at, first = at[:0], 0
				for _, h := range m.Hits {
					if h.Outcome.Changes() {
						at = append(at, h.Row)
					}
				}
				row := int64(1)
				for rec, err := range live.Rows(ctx, tbl, m.Task(), live.Columns(tbl.Schema())) {
					if err != nil {
						yield(arrowconv.Batch{}, err)
						return
					}
					if len(m.moves) > 0 {
						whole, err := m.moved(rec, row-1)
						rec.Release()
						if err != nil {
							yield(arrowconv.Batch{}, err)
							return
						}
						rec = whole
					}
					b := arrowconv.Batch{RecordBatch: rec, Source: m.DataFile().FilePath(), FirstRow: row}
					row += rec.NumRows()
					if !yield(b, nil) {
						return
					}
				}
			}
		},
		Pick: func(rec arrow.RecordBatch) (*slice.Selection, error) {
			sel := slice.Select(int(rec.NumRows()), func(i int) bool {
				if len(at) > 0 && at[0] == first+int64(i) {
					at = at[1:]
					return false
				}
				return true
			})
			first += rec.NumRows()
			return sel, nil
		},
	}
	return s
}

// Written are the rows of the input that are inserted or updated under p, with the columns of tbl. Updated
// ones have the old values of the columns that the input lacks, and with row lineage the id of the row that
// they take the place of.
func (in *Input) Written(p *Plan, tbl *table.Table) (Stream, error) {
	as, err := arrowconv.ArrowSchema(tbl.Schema())
	if err != nil {
		return Stream{}, err
	}
	old := in.oldValues(p, tbl.Schema())
	if in.history != nil {
		return in.writtenVersions(p, func(rec arrow.RecordBatch, b batch) (arrow.RecordBatch, error) { return old.complete(rec, b, as) }), nil
	}
	at := 0
	return Stream{
		Rows: p.Comes(),
		Batches: func(yield func(arrowconv.Batch, error) bool) {
			n := 0
			for rec, err := range in.store.all() {
				if err != nil {
					yield(arrowconv.Batch{}, err)
					return
				}
				b := in.batches[n]
				n++
				whole, err := old.complete(rec, b, as)
				rec.Release()
				if err != nil {
					yield(arrowconv.Batch{}, err)
					return
				}
				out := b.origin
				out.RecordBatch, out.Bytes, out.Rejected = whole, 0, nil
				if !yield(out, nil) {
					return
				}
			}
		},
		Pick: func(rec arrow.RecordBatch) (*slice.Selection, error) {
			first := at
			at += int(rec.NumRows())
			return slice.Select(int(rec.NumRows()), func(i int) bool {
				o := p.Outcomes[first+i]
				return o == Inserted || o == Updated
			}), nil
		},
	}, nil
}

// oldValues are the old values of the rows that are updated.
type oldValues struct {
	in      *Input
	p       *Plan
	records []arrow.RecordBatch
	places  map[int32][2]int32 // by input row: which record, and the row in it
}

func (in *Input) oldValues(p *Plan, _ *iceberg.Schema) *oldValues {
	v := &oldValues{in: in, p: p}
	for _, m := range p.Matches {
		for n, rec := range m.old {
			if v.places == nil {
				v.places = make(map[int32][2]int32, p.Counts[Updated])
			}
			for row, of := range m.oldOf[n] {
				v.places[of] = [2]int32{int32(len(v.records)), int32(row)}
			}
			v.records = append(v.records, rec)
		}
	}
	return v
}

// complete gives a batch of the input the columns of as: those that it lacks, and those of row lineage.
func (v *oldValues) complete(rec arrow.RecordBatch, b batch, as *arrow.Schema) (arrow.RecordBatch, error) {
	lacks := map[string]bool{}
	for _, c := range v.in.layouts[b.layout].absent {
		lacks[v.in.schema.Field(c).Name] = true
	}
	if len(lacks) == 0 && as.NumFields() == int(rec.NumCols()) {
		rec.Retain()
		return rec, nil
	}
	n := int(rec.NumRows())
	columns := make([]arrow.Array, as.NumFields())
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i, f := range as.Fields() {
		var fresh arrow.Array
		if i < int(rec.NumCols()) {
			fresh = rec.Column(i)
			if !lacks[f.Name] {
				fresh.Retain()
				columns[i] = fresh
				continue
			}
			fresh.Retain()
		} else {
			fresh = array.MakeArrayOfNull(memory.DefaultAllocator, f.Type, n)
		}
		c, err := v.overlaid(fresh, f.Name, b, n)
		fresh.Release()
		if err != nil {
			return nil, err
		}
		columns[i] = c
	}
	return array.NewRecordBatch(as, columns, int64(n)), nil
}

// overlaid is fresh with the old values of a column in the rows that are updated.
func (v *oldValues) overlaid(fresh arrow.Array, name string, b batch, n int) (arrow.Array, error) {
	arrays := make([]arrow.Array, 0, len(v.records)+1)
	arrays = append(arrays, fresh)
	for _, rec := range v.records {
		at := rec.Schema().FieldIndices(name)
		if len(at) != 1 {
			if name == iceberg.LastUpdatedSequenceNumberColumnName {
				fresh.Retain() // the row changes with this snapshot
				return fresh, nil
			}
			return nil, fmt.Errorf("merge: the old rows have no column %s", name)
		}
		arrays = append(arrays, rec.Column(at[0]))
	}
	return gather(arrays, n, func(i int) (int, int) {
		if row := int32(b.first + i); v.p.Outcomes[row] == Updated {
			if at, ok := v.places[row]; ok {
				return int(at[0]) + 1, int(at[1])
			}
		}
		return 0, i
	})
}
