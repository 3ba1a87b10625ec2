package merge_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/merge"
)

// textKeys has ids that are texts, as those of events mostly are.
var textKeys = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 2, Name: "part", Type: iceberg.PrimitiveTypes.Int32},
)

func idBatch(as *arrow.Schema, ids []int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, as)
	defer b.Release()
	for _, id := range ids {
		b.Field(0).(*array.StringBuilder).Append(fmt.Sprintf("%016x", uint64(id)*0x9e3779b97f4a7c15))
		b.Field(1).(*array.Int32Builder).Append(int32(id % 5))
	}
	return b.NewRecordBatch()
}

// insertIDs inserts rows with keys made of ids.
func insertIDs(t testing.TB, cat *catalog.Catalog, ids ...int) writer.Result {
	t.Helper()
	as, err := arrowconv.ArrowSchema(textKeys)
	if err != nil {
		t.Fatal(err)
	}
	rec := idBatch(as, ids)
	tbl, err := cat.LoadTable(t.Context(), ident)
	if err != nil {
		t.Fatal(err)
	}
	in := func(yield func(arrowconv.Batch, error) bool) {
		yield(arrowconv.Batch{RecordBatch: rec, Source: "in", FirstRow: 1}, nil)
	}
	res, err := writer.Load(t.Context(), cat, tbl, in, writer.Options{Insert: &writer.Insert{Key: []string{"id", "part"}}})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Keys that lie all over have no bounds that rule out a row group. Bloom filters do: a few new keys are found to be new with
// few of the row groups read, and no key that is there is ever missed. Many keys are not looked up in filters.
func TestBloomFiltersRuleOutRowGroups(t *testing.T) {
	defer merge.RowGroupsOfAllFiles()()
	const rows, groups = 2000, 20
	for _, filters := range []bool{true, false} {
		t.Run(fmt.Sprint(filters), func(t *testing.T) {
			cat := testcat.New(t)
			props := iceberg.Properties{"write.parquet.row-group-limit": "100"}
			if filters {
				props["write.parquet.bloom-filter-enabled.column.id"] = "true"
				props["write.parquet.bloom-filter-enabled.column.part"] = "true"
			}
			if _, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: textKeys, Props: props}); err != nil {
				t.Fatal(err)
			}
			var ids []int
			for id := range rows {
				ids = append(ids, id)
			}
			rng := rand.New(rand.NewPCG(1, 7))
			rng.Shuffle(rows, func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
			insertIDs(t, cat, ids...)

			ruledOut := func(res writer.Result, atLeast, atMost int) {
				t.Helper()
				if !filters {
					atLeast, atMost = 0, 0
				}
				if got := res.Matched.RowGroupsRuledOut; got < atLeast || got > atMost {
					t.Errorf("%d row groups ruled out, want %d to %d", got, atLeast, atMost)
				}
			}
			res := insertIDs(t, cat, 77, 7777)
			if res.RowsUnchanged != 1 || res.RowsInserted != 1 {
				t.Errorf("%d there, %d inserted", res.RowsUnchanged, res.RowsInserted)
			}
			ruledOut(res, groups-5, groups-1)
			if filters { // a file with nothing to read in it counts as pruned
				res = insertIDs(t, cat, 1_000_001)
				ruledOut(res, groups-3, groups+1)
				if p := res.Matched; p.RowGroupsRuledOut == groups+1 && (p.Read != 0 || p.Pruned != 2) {
					t.Errorf("%d files read, %d pruned", p.Read, p.Pruned)
				}
			}
			// Every key that is there, a few at a time, and a new one with them.
			inserted := int64(0)
			for some := range slices.Chunk(ids[:400], 20) {
				res := insertIDs(t, cat, append(some, 100_000+some[0])...)
				if inserted += res.RowsInserted; res.RowsUnchanged != int64(len(some)) || res.RowsInserted != 1 {
					t.Fatalf("%v: %d there, %d inserted", some, res.RowsUnchanged, res.RowsInserted)
				}
			}
			res = insertIDs(t, cat, ids[:1000]...)
			if res.Status != writer.Unchanged {
				t.Errorf("the same again is %s", res.Status)
			}
			if p := res.Matched; p.RowGroupsRuledOut > p.Considered {
				t.Errorf("filters were asked for %d keys: %d row groups ruled out", 1000, p.RowGroupsRuledOut)
			}
		})
	}
}

// Filters that another writer made, Arrow's, rule out row groups as well, and lose no key.
func TestForeignBloomFilters(t *testing.T) {
	defer merge.RowGroupsOfAllFiles()()
	as, err := arrowconv.ArrowSchema(textKeys)
	if err != nil {
		t.Fatal(err)
	}
	ids := rand.New(rand.NewPCG(1, 9)).Perm(1000)
	var recs []arrow.RecordBatch
	for some := range slices.Chunk(ids, 100) {
		recs = append(recs, idBatch(as, some))
	}
	cat := addForeign(t, catalog.TableSpec{Schema: textKeys}, recs, nil,
		parquet.WithBloomFilterEnabledFor("id", true), parquet.WithBloomFilterNDVFor("id", 100), parquet.WithDictionaryDefault(false))
	for some := range slices.Chunk(ids[:200], 10) {
		if res := insertIDs(t, cat, some...); res.RowsUnchanged != 10 || res.RowsInserted != 0 {
			t.Fatalf("%v: %d there, %d inserted", some, res.RowsUnchanged, res.RowsInserted)
		}
	}
	if res := insertIDs(t, cat, 5000); res.RowsInserted != 1 || res.Matched.RowGroupsRuledOut < 8 {
		t.Errorf("%d inserted, %d row groups ruled out", res.RowsInserted, res.Matched.RowGroupsRuledOut)
	}
}
