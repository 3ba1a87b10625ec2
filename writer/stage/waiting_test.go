package stage

import (
	"bytes"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/catalog"
)

// Partitions that grow alike do not all have a whole run in memory at the same time, and their runs are whole ones again once they
// are out of step.
func TestPartitionsThatGrowAlike(t *testing.T) {
	const partitions, runRows, perBatch, batches = 8, 2000, 800, 200 // batches of so many rows for each are not held back
	schema := schemaOf(iceberg.NestedField{Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true})
	w := newWorld(t, catalog.TableSpec{Schema: schema, PartitionBy: "truncate(1000000, id)"})
	var recs []arrow.RecordBatch
	for i := range batches {
		b := array.NewInt64Builder(w.alloc)
		for k := range perBatch {
			row := i*perBatch + k
			b.Append(int64(row%partitions*1_000_000 + row))
		}
		ids := b.NewArray()
		b.Release()
		recs = append(recs, array.NewRecordBatch(w.arrow, []arrow.Array{ids}, perBatch))
		ids.Release()
	}
	defer release(recs)

	peak := int64(0)
	res := w.stageWith(Options{Workers: 1}, func(s *staging) {
		s.plan.runRows, s.plan.leastRaw, s.plan.leastRun = runRows, 0, 0
		s.o.Progress = func(Progress) {
			peak = max(peak, s.router.waitingRows.Load())
			if s.router.waiting.Load() != 8*s.router.waitingRows.Load() {
				t.Errorf("%d rows of 8 bytes wait with %d bytes", s.router.waitingRows.Load(), s.router.waiting.Load())
			}
		}
	}, recs...)
	if most := int64(partitions*runRows*3/5 + perBatch); peak > most {
		t.Errorf("%d rows waited, want %d at most", peak, most)
	}
	runs := 0
	for i, f := range res.Files {
		pages := w.dataPages(res, i)
		if whole := int(f.Count()) / runRows; pages > whole*3/2 {
			t.Errorf("%s: %d runs, want about %d", f.Partition.Path, pages, whole)
		}
		runs += pages
	}
	if whole := perBatch * batches / runRows; runs > whole*5/4 {
		t.Errorf("%d runs, want about %d", runs, whole)
	}
}

// dataPages is how many pages the first column of file i has.
func (w *world) dataPages(res *Result, i int) int {
	w.Helper()
	_, content, _ := bytes.Cut(w.content(res)[i], []byte("\n"))
	r, err := file.NewParquetReader(bytes.NewReader(content))
	if err != nil {
		w.Fatal(err)
	}
	defer r.Close()
	pages := 0
	for g := range r.NumRowGroups() {
		read, err := r.RowGroup(g).GetColumnPageReader(0)
		if err != nil {
			w.Fatal(err)
		}
		for read.Next() {
			if _, ok := read.Page().(*file.DataPageV1); ok {
				pages++
			}
		}
		if err := read.Err(); err != nil {
			w.Fatal(err)
		}
	}
	return pages
}
