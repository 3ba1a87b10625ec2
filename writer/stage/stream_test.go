package stage

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
)

// A file's first row groups are on their way while the rows of its last are still being read.
func TestFilesBeginBeforeTheInputEnds(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType(), Props: iceberg.Properties{table.ParquetRowGroupSizeBytesKey: "60000"}})
	fsys, err := w.tbl.FS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{WriteFileIO: fsys.(iceio.WriteFileIO)}
	plain := w.tbl
	w.on(f)
	rec := w.random(rand.New(rand.NewPCG(1, 9)), 500)
	defer rec.Release()
	batches, patience := int64(0), time.Now().Add(20*time.Second)
	res, err := Stage(t.Context(), w.tbl, func(yield func(arrowconv.Batch, error) bool) {
		more := func() bool {
			rec.Retain()
			batches++
			return yield(arrowconv.Batch{RecordBatch: rec, Source: "rows", FirstRow: 1}, nil)
		}
		for f.writes.Load() < 3 && time.Now().Before(patience) {
			if !more() {
				return
			}
			time.Sleep(time.Millisecond)
		}
		if f.writes.Load() < 3 {
			t.Errorf("%d writes to %d files after %d batches", f.writes.Load(), f.creates.Load(), batches)
		}
		more()
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Files) != 1 || res.RowsStaged != 500*batches || len(res.Files[0].SplitOffsets()) < 3 {
		t.Errorf("%d rows in %d files, want %d in 1 with row groups of its own", res.RowsStaged, len(res.Files), 500*batches)
	}
	w.tbl = plain
	if _, sum := w.scan(w.commit(res)); sum != res.Digest {
		t.Errorf("digest of the scanned rows %s, staged %s", sum, res.Digest)
	}
}
