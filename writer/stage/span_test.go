package stage

import (
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/arrowconv"
)

// Rows that are copied by spans are those that are copied one by one, in whatever pieces, and from batches that begin
// within others.
func TestSpansAgreeWithRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := 0
		schema := iceberg.NewSchema(0,
			iceberg.NestedField{ID: 1000, Name: "c", Type: drawNested(t, 3, &ids)},
			iceberg.NestedField{ID: 1001, Name: "flag", Type: iceberg.PrimitiveTypes.Bool},
			iceberg.NestedField{ID: 1002, Name: "price", Type: iceberg.DecimalTypeOf(9, 2)},
			iceberg.NestedField{ID: 1003, Name: "id", Type: iceberg.PrimitiveTypes.UUID, Required: true})
		_, nodes, _, err := parquetSchema(schema)
		if err != nil {
			t.Fatal(err)
		}
		as, err := arrowconv.ArrowSchema(schema)
		if err != nil {
			t.Fatal(err)
		}
		const rows = 700
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		nulls := rapid.SampledFrom([]int{0, 2, 20, 500}).Draw(t, "nulls")
		b := array.NewRecordBuilder(memory.DefaultAllocator, as)
		defer b.Release()
		for range rows {
			for i, n := range nodes {
				appendNested(b.Field(i), n, rng, nulls)
			}
		}
		all := b.NewRecordBatch()
		defer all.Release()
		rec := all.NewSlice(int64(rng.IntN(100)), rows-int64(rng.IntN(100)))
		defer rec.Release()

		ls, err := layouts(as)
		if err != nil {
			t.Fatal(err)
		}
		bySpans, byRows := newColumns(ls), newColumns(ls)
		for range rapid.IntRange(1, 4).Draw(t, "pieces") {
			var idx []int32
			for at := rng.IntN(20); at < int(rec.NumRows()); at += 1 + rng.IntN(30) {
				for end := at + 1 + rng.IntN(60); at < min(end, int(rec.NumRows())); at++ {
					idx = append(idx, int32(at))
				}
			}
			spans, ok := spansOf(make([]span, 0, len(idx)), idx)
			if !ok {
				t.Fatal("spans of about thirty rows are too short")
			}
			for i := range ls {
				d := rec.Column(i).Data()
				bySpans[i].gatherSpans(d, d.Offset(), spans, len(idx))
				byRows[i].gather(d, d.Offset(), idx)
			}
		}
		for i := range ls {
			got, want := array.MakeFromData(bySpans[i].arrowData()), array.MakeFromData(byRows[i].arrowData())
			if !array.Equal(got, want) || bySpans[i].nulls != byRows[i].nulls || bySpans[i].size() != byRows[i].size() {
				t.Fatalf("%s:\n%.2000s, want\n%.2000s", as.Field(i), got, want)
			}
		}
	})
}
