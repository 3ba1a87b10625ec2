package merge_test

import (
	"bytes"
	"flag"
	"fmt"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/merge"
)

// addForeign adds a data file to a new table, as another writer makes it, with a row group for each record.
func addForeign(t testing.TB, spec catalog.TableSpec, recs []arrow.RecordBatch, spoil func([]byte), props ...parquet.WriterProperty) *catalog.Catalog {
	t.Helper()
	cat := testcat.New(t)
	tbl, _, err := cat.CreateTable(t.Context(), ident, spec)
	if err != nil {
		t.Fatal(err)
	}
	fsys, err := tbl.FS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w, err := pqarrow.NewFileWriter(recs[0].Schema(), &buf, parquet.NewWriterProperties(props...), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	for _, rec := range recs {
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
		rows += rec.NumRows()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if spoil != nil {
		spoil(buf.Bytes())
	}
	path := tbl.Location() + "/data/foreign.parquet"
	if err := fsys.(iceio.WriteFileIO).WriteFile(path, buf.Bytes()); err != nil {
		t.Fatal(err)
	}
	b, err := iceberg.NewDataFileBuilder(tbl.Spec(), iceberg.EntryContentData, path, iceberg.ParquetFile, nil, nil, nil, rows, int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	tx := tbl.NewTransaction()
	if err := tx.AddDataFiles(t.Context(), []iceberg.DataFile{b.Build()}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	return cat
}

// paged has pages that end after so many rows, or a multiple of them, once they have so many bytes: those of texts have fewer
// rows than those of numbers.
func paged(rows, bytes int64, index bool) []parquet.WriterProperty {
	return []parquet.WriterProperty{
		parquet.WithDictionaryDefault(false), parquet.WithBatchSize(rows), parquet.WithDataPageSize(bytes), parquet.WithPageIndexEnabled(index),
	}
}

// twoKeys has keys of an integer and a text.
var twoKeys = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "day", Type: iceberg.PrimitiveTypes.Date},
	iceberg.NestedField{ID: 2, Name: "name", Type: iceberg.PrimitiveTypes.String},
)

// twoKey is a key of twoKeys; "-" is a null name, and day -1 a null day.
type twoKey struct {
	day  int
	name string
}

func twoKeyBatch(t testing.TB, keys []twoKey) arrow.RecordBatch {
	as, err := arrowconv.ArrowSchema(twoKeys)
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, as)
	defer b.Release()
	for _, k := range keys {
		if k.day < 0 {
			b.Field(0).AppendNull()
		} else {
			b.Field(0).(*array.Date32Builder).Append(arrow.Date32(k.day - 5)) // on both sides of 0
		}
		if k.name == "-" {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.StringBuilder).Append(k.name)
		}
	}
	return b.NewRecordBatch()
}

func insertTwoKeys(t testing.TB, cat *catalog.Catalog, by []string, keys ...twoKey) writer.Result {
	t.Helper()
	tbl, err := cat.LoadTable(t.Context(), ident)
	if err != nil {
		t.Fatal(err)
	}
	rec := twoKeyBatch(t, keys)
	in := func(yield func(arrowconv.Batch, error) bool) {
		yield(arrowconv.Batch{RecordBatch: rec, Source: "in", FirstRow: 1}, nil)
	}
	res, err := writer.Load(t.Context(), cat, tbl, in, writer.Options{Insert: &writer.Insert{Key: by}, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Rows in the order of their keys, with gaps: what lies in a gap between two pages is within the bounds of the row group,
// and only the page index tells that it is not there. Keys of two columns have to be in pages with the same rows.
func TestPageIndexRulesOutRowGroups(t *testing.T) {
	defer merge.RowGroupsOfAllFiles()()
	var groups [2][]twoKey
	for g := range groups {
		for page := range 4 {
			for i := range 10 { // days 0-9, 20-29, … of one row group, names a0-a9, c0-c9, …
				groups[g] = append(groups[g], twoKey{80*g + 20*page + i, fmt.Sprintf("%c%d", 'a'+2*page, i)})
			}
		}
	}
	for _, c := range []struct {
		name    string
		by      []string
		key     twoKey
		there   bool
		out     int // row groups ruled out with the index
		without int // and without
	}{
		{"in a gap", []string{"day"}, twoKey{15, ""}, false, 1, 0},
		{"in a gap of texts", []string{"name"}, twoKey{0, "b5"}, false, 2, 0},
		{"before a page", []string{"day"}, twoKey{19, ""}, false, 1, 0},
		{"in a page", []string{"day"}, twoKey{20, ""}, true, 0, 0},
		{"at the end of a page", []string{"day"}, twoKey{29, ""}, true, 0, 0},
		{"in two pages of other rows", []string{"day", "name"}, twoKey{5, "c5"}, false, 1, 0},
		{"in pages of the same rows", []string{"day", "name"}, twoKey{25, "c5"}, true, 0, 0},
		{"nearly", []string{"name", "day"}, twoKey{25, "c6"}, false, 0, 0},
		{"empty", []string{"name"}, twoKey{0, ""}, false, 0, 0}, // bounds of row groups rule that out
	} {
		for index, want := range map[bool]int{true: c.out, false: c.without} {
			t.Run(fmt.Sprint(c.name, "/", index), func(t *testing.T) {
				cat := addForeign(t, catalog.TableSpec{Schema: twoKeys}, []arrow.RecordBatch{twoKeyBatch(t, groups[0]), twoKeyBatch(t, groups[1])}, nil, paged(10, 1, index)...)
				res := insertTwoKeys(t, cat, c.by, c.key)
				if there := res.RowsUnchanged == 1; there != c.there || res.Matched.RowGroupsRuledOut != want {
					t.Errorf("there: %t, %d row groups ruled out, want %t, %d", there, res.Matched.RowGroupsRuledOut, c.there, want)
				}
			})
		}
	}
}

// Whatever is in the pages, in whatever order, with nulls and pages of nothing but nulls, no key is missed.
func TestPageIndexLosesNoKey(t *testing.T) {
	defer merge.RowGroupsOfAllFiles()()
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		_ = checks.Value.Set("60") // a table and its file take a while
		defer func() { _ = checks.Value.Set(checks.DefValue) }()
	}
	ruledOut := 0
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.Custom(func(rt *rapid.T) twoKey {
			return twoKey{rapid.IntRange(-1, 12).Draw(rt, "day"), rapid.SampledFrom([]string{"-", "", "a", "aa", "b", "é", "\x00", "￿", "𝄞"}).Draw(rt, "name")}
		})
		var recs []arrow.RecordBatch
		var all []twoKey
		there := map[string]bool{} // by the columns of the key
		by := rapid.SampledFrom([][]string{{"day", "name"}, {"day"}, {"name"}, {"name", "day"}}).Draw(rt, "by")
		of := func(k twoKey) (id string, ok bool) {
			for _, name := range by {
				if name == "day" {
					id, ok = fmt.Sprint(id, k.day, "/"), k.day >= 0
				} else {
					id, ok = id+k.name+"/", k.name != "-"
				}
				if !ok {
					return id, false
				}
			}
			return id, true
		}
		for range rapid.IntRange(1, 3).Draw(rt, "row groups") {
			keys := rapid.SliceOfN(key, 1, 30).Draw(rt, "keys")
			if rapid.Bool().Draw(rt, "sorted") {
				slices.SortFunc(keys, func(a, b twoKey) int { return a.day - b.day })
			}
			for _, k := range keys {
				if id, ok := of(k); ok {
					there[id] = true
				}
			}
			recs, all = append(recs, twoKeyBatch(t, keys)), append(all, keys...)
		}
		cat := addForeign(t, catalog.TableSpec{Schema: twoKeys}, recs, nil, paged(rapid.Int64Range(1, 6).Draw(rt, "page"), rapid.Int64Range(1, 60).Draw(rt, "bytes"), true)...)
		var input []twoKey
		found, seen := int64(0), map[string]bool{}
		for _, k := range rapid.SliceOfN(rapid.OneOf(key, rapid.SampledFrom(all)), 1, 3).Draw(rt, "input") {
			if id, ok := of(k); ok && !seen[id] {
				seen[id] = true
				input = append(input, k)
				if there[id] {
					found++
				}
			}
		}
		if len(input) == 0 {
			return
		}
		res := insertTwoKeys(t, cat, by, input...)
		ruledOut += res.Matched.RowGroupsRuledOut
		if res.RowsUnchanged != found || res.RowsInserted != int64(len(input))-found {
			rt.Fatalf("%v by %v: %d there, %d inserted, want %d there", input, by, res.RowsUnchanged, res.RowsInserted, found)
		}
	})
	if ruledOut == 0 {
		t.Error("no row group was ruled out, so nothing was tried")
	}
}

// A page index that makes no sense is not gone by: the rows are looked at.
func TestSpoiltPageIndexIsIgnored(t *testing.T) {
	defer merge.RowGroupsOfAllFiles()()
	var keys []twoKey
	for i := range 40 {
		keys = append(keys, twoKey{i, "a"})
	}
	rec := twoKeyBatch(t, keys)
	for at := range 60 {
		cat := addForeign(t, catalog.TableSpec{Schema: twoKeys}, []arrow.RecordBatch{rec}, func(file []byte) {
			footer := len(file) - 8 - int(uint32(file[len(file)-8])|uint32(file[len(file)-7])<<8)
			file[footer-1-at] ^= 0x7f // from the end of the offset indexes on into what is before
		}, paged(10, 1, true)...)
		res := insertTwoKeys(t, cat, []string{"day", "name"}, twoKey{25, "a"}, twoKey{25, "b"})
		if res.RowsUnchanged+res.RowsInserted != 2 {
			t.Fatalf("byte %d: %d there, %d inserted", at, res.RowsUnchanged, res.RowsInserted)
		}
	}
}
