package merge_test

import (
	"bytes"
	"flag"
	"fmt"
	"iter"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/merge"
)

var ident = table.Identifier{"a", "t"}

var schema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64},
	iceberg.NestedField{ID: 2, Name: "v", Type: iceberg.PrimitiveTypes.Int64},
)

func rowsOf(t testing.TB, values map[int64]int64) iter.Seq2[arrowconv.Batch, error] {
	as, err := arrowconv.ArrowSchema(schema)
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, as)
	defer b.Release()
	for id, v := range values {
		b.Field(0).(*array.Int64Builder).Append(id)
		b.Field(1).(*array.Int64Builder).Append(v)
	}
	rec := b.NewRecordBatch()
	return func(yield func(arrowconv.Batch, error) bool) {
		yield(arrowconv.Batch{RecordBatch: rec, Source: "in", FirstRow: 1}, nil)
	}
}

// A file of 1,000 rows in ten row groups, in the order of the key: merges read the row groups that are in reach of
// their keys, and the rows that they find there are the right ones.
func TestRowGroups(t *testing.T) {
	defer merge.RowGroupsOfAllFiles()()
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		_ = checks.Value.Set("20") // a table and its files take a while
		defer func() { _ = checks.Value.Set(checks.DefValue) }()
	}
	rapid.Check(t, func(rt *rapid.T) {
		version := rapid.IntRange(2, 3).Draw(rt, "version")
		cat := testcat.New(t)
		_, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{
			Schema: schema, SortBy: "id", FormatVersion: version,
			Props: iceberg.Properties{"write.parquet.row-group-limit": "100"},
		})
		if err != nil {
			rt.Fatal(err)
		}
		load := func(values map[int64]int64) writer.Result {
			tbl, err := cat.LoadTable(t.Context(), ident)
			if err != nil {
				rt.Fatal(err)
			}
			res, err := writer.Load(t.Context(), cat, tbl, rowsOf(t, values), writer.Options{Merge: &writer.Merge{Key: []string{"id"}}})
			if err != nil {
				rt.Fatal(err)
			}
			return res
		}
		model := map[int64]int64{}
		for i := range int64(1000) {
			model[2*i] = i
		}
		load(model)

		tbl, err := cat.LoadTable(t.Context(), ident)
		if err != nil {
			rt.Fatal(err)
		}
		files, err := live.Read(t.Context(), tbl, tbl.CurrentSnapshot(), nil)
		if err != nil {
			rt.Fatal(err)
		}
		groups, err := files.Data[0].RowGroups(t.Context(), tbl)
		if err != nil || len(groups) != 10 {
			rt.Fatalf("%d row groups, %v", len(groups), err)
		}
		for i, g := range groups {
			lower, upper := g.Facts.LowerBoundValues()[1], g.Facts.UpperBoundValues()[1]
			if g.First != int64(100*i) || g.Rows != 100 || !bytes.Equal(lower, long(200*i)) || !bytes.Equal(upper, long(200*i+198)) {
				rt.Fatalf("row group %d: from %d, %d rows, %v to %v", i, g.First, g.Rows, lower, upper)
			}
			rows := int64(0)
			for rec, err := range live.Rows(t.Context(), tbl, g.Task, []string{"id"}) {
				if err != nil {
					rt.Fatal(err)
				}
				if first := rec.Column(0).(*array.Int64).Value(0); rows == 0 && first != int64(200*i) {
					rt.Fatalf("row group %d begins with %d", i, first)
				}
				rows += rec.NumRows()
				rec.Release()
			}
			if rows != 100 {
				rt.Fatalf("row group %d: %d rows were read", i, rows)
			}
		}

		changes := map[int64]int64{}
		from := rapid.Int64Range(0, 1990).Draw(rt, "from")
		for range rapid.IntRange(1, 20).Draw(rt, "changes") {
			changes[rapid.Int64Range(from, from+60).Draw(rt, "id")] = -1
		}
		inserted := int64(0)
		for id, v := range changes {
			if _, ok := model[id]; !ok {
				inserted++
			}
			model[id] = v
		}
		res := load(changes)
		if res.RowsInserted != inserted || res.RowsUpdated != int64(len(changes))-inserted {
			rt.Fatalf("%d inserted, %d updated of %v", res.RowsInserted, res.RowsUpdated, changes)
		}
		if again := load(changes); again.Status != writer.Unchanged {
			rt.Fatalf("a rerun is %s", again.Status)
		}
		tbl, err = cat.LoadTable(t.Context(), ident)
		if err != nil {
			rt.Fatal(err)
		}
		_, recs, err := tbl.Scan().ToArrowRecords(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		got := map[int64]int64{}
		for rec, err := range recs {
			if err != nil {
				rt.Fatal(err)
			}
			for i, id := range rec.Column(0).(*array.Int64).Int64Values() {
				got[id] = rec.Column(1).(*array.Int64).Value(i)
			}
			rec.Release()
		}
		if fmt.Sprint(got) != fmt.Sprint(model) {
			rt.Fatalf("the table is %v, want %v", got, model)
		}
	})
}

func long(v int) []byte {
	b, _ := iceberg.Int64Literal(v).MarshalBinary()
	return b
}
