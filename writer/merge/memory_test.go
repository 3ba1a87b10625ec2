package merge_test

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/merge"
)

// An input that is several times as large as its memory is kept within it, rows and keys, while it is taken in and while
// it is matched, part by part; and every row finds its own. What counts are the bytes that are held on to, not the heap:
// that has what was let go as well.
func TestKeysStayWithinMemory(t *testing.T) {
	const bound, batch, batches = 8 << 20, 10_000, 60 // 600,000 rows: 10 MB, and 45 MB of what is known of their keys
	for _, c := range []struct {
		name   string
		latest string
		twice  int64 // every row that many times
	}{{"each once", "", 1}, {"the newest of two", "v", 2}} {
		t.Run(c.name, func(t *testing.T) {
			cat := testcat.New(t)
			if _, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: schema}); err != nil {
				t.Fatal(err)
			}
			tbl, err := cat.LoadTable(t.Context(), ident)
			if err != nil {
				t.Fatal(err)
			}
			// The table has every third key, and a third of those with the value that the input has.
			old := map[int64]int64{}
			for id := int64(0); id < batch*batches/c.twice; id += 3 {
				old[id] = id % 9 / 3
			}
			if _, err := writer.Load(t.Context(), cat, tbl, rowsOf(t, old), writer.Options{ReplaceTable: true}); err != nil {
				t.Fatal(err)
			}
			if tbl, err = cat.LoadTable(t.Context(), ident); err != nil {
				t.Fatal(err)
			}

			in, err := merge.NewInput(schema, merge.Options{Key: []string{"id"}, LatestBy: c.latest, Memory: bound, SpillDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = in.Close() }()
			peak := int64(0)
			hold := func(what string) {
				t.Helper()
				held, each := in.Held()
				peak = max(peak, held)
				if rows := int64(in.Rows()); held > bound || each > 2*rows {
					t.Fatalf("%s %d rows: %d bytes are held, bound is %d; and %d bytes of all rows", what, rows, held, bound, each)
				}
			}
			for n := range int64(batches) {
				if err := in.Add(countingBatch(t, n*batch, batch, batch*batches/c.twice, c.twice)); err != nil {
					t.Fatal(err)
				}
				hold("after")
			}
			if err := in.Seal(); err != nil {
				t.Fatal(err)
			}
			hold("sealed with")
			rows, parts := 0, 0
			kept, _ := in.Held()
			if err := in.EachPart(func(n int, bytes int64) {
				rows, parts, peak = rows+n, parts+1, max(peak, kept+bytes)
				if kept+bytes > bound {
					t.Errorf("part %d has %d rows and takes %d bytes beside %d, bound is %d", parts, n, bytes, kept, bound)
				}
			}); err != nil {
				t.Fatal(err)
			}
			if rows != batch*batches || parts < 6 {
				t.Errorf("%d rows in %d parts", rows, parts)
			}
			m := merge.NewMatcher(in)
			defer m.Close()
			p, err := m.Match(t.Context(), tbl, tbl.CurrentSnapshot())
			if err != nil {
				t.Fatal(err)
			}
			all := batch * batches / c.twice
			got := fmt.Sprint(p.Counts[merge.Inserted], p.Counts[merge.Updated], p.Counts[merge.Unchanged], p.Counts[merge.Dropped])
			if want := fmt.Sprint(all-all/3, all/3-all/9, all/9, batch*batches-all); got != want {
				t.Errorf("inserted, updated, unchanged, dropped: %s, want %s", got, want)
			}
			t.Logf("%d parts, %d KiB at the peak", parts, peak>>10)
		})
	}
}

// countingBatch has rows from, from+1 and so on, whose keys are these numbers modulo keys: each comes several times. The
// last of a key has the value 2, which is what the table has of every third of its rows, and those before less.
func countingBatch(t *testing.T, from, n, keys, times int64) arrowconv.Batch {
	as, err := arrowconv.ArrowSchema(schema)
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, as)
	defer b.Release()
	for i := from; i < from+n; i++ {
		b.Field(0).(*array.Int64Builder).Append(i % keys)
		b.Field(1).(*array.Int64Builder).Append(3 - times + i/keys)
	}
	return arrowconv.Batch{RecordBatch: b.NewRecordBatch(), Source: "in", FirstRow: from + 1}
}
