package merge_test

import (
	"fmt"
	"testing"

	iceio "github.com/apache/iceberg-go/io"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/merge"
)

// A merge that is run again reads the keys of the files that it wrote, and by the digest in their footers knows the rest: their other
// columns may be past reading. With one row that differs they have to be read, and then it shows.
func TestRunAgainReadsKeysAlone(t *testing.T) {
	defer merge.RowGroupsOfAllFiles()()
	cat, _ := ordersTable(t, 2)
	rows := make([]order, 2000)
	for i := range rows {
		rows[i] = order{int64(i), int64(uint32(i) * 2654435761 >> 8), "open", fmt.Sprintf("note %d", i), int32(i % 10)}
	}
	load := func() (writer.Result, error) {
		t.Helper()
		tbl, err := cat.LoadTable(t.Context(), ident)
		if err != nil {
			t.Fatal(err)
		}
		b := orderBatch(t, "in", 1, rows)
		in := func(yield func(arrowconv.Batch, error) bool) { yield(b, nil) }
		return writer.Load(t.Context(), cat, tbl, in, writer.Options{Merge: &writer.Merge{Key: []string{"id"}, IfNewer: "at"}})
	}
	if res, err := load(); err != nil || res.RowsInserted != 2000 {
		t.Fatalf("%d inserted, %v", res.RowsInserted, err)
	}
	tbl, files := liveFiles(t, cat)
	fs, err := tbl.FS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spoilt := 0
	for _, f := range files.Data {
		path := f.DataFile().FilePath()
		content, err := fs.(iceio.ReadFileIO).ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		content = append([]byte(nil), content...)
		meta, err := live.Footer(fs, path, int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		for g := range meta.NumRowGroups() {
			for c := 1; c < meta.Schema.NumColumns(); c++ { // all but the key
				chunk, err := meta.RowGroup(g).ColumnChunk(c)
				if err != nil {
					t.Fatal(err)
				}
				start := chunk.DataPageOffset()
				if chunk.HasDictionaryPage() {
					start = min(start, chunk.DictionaryPageOffset())
				}
				clear(content[start : start+chunk.TotalCompressedSize()])
				spoilt++
			}
		}
		if err := fs.(iceio.WriteFileIO).WriteFile(path, content); err != nil {
			t.Fatal(err)
		}
	}
	if spoilt < 4*20 {
		t.Fatalf("%d column chunks were spoilt", spoilt)
	}
	if res, err := load(); err != nil || res.Status != writer.Unchanged || res.RowsUnchanged != 2000 {
		t.Errorf("run again it is %s, %d rows unchanged, %v", res.Status, res.RowsUnchanged, err)
	}
	rows[7].amount++
	if res, err := load(); err == nil {
		t.Errorf("with a row that differs it is %s: the spoilt columns were not read", res.Status)
	}
}
