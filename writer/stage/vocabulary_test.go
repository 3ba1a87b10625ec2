package stage

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/slice"
)

// texts is a table of texts, bytes and a number.
func texts() *iceberg.Schema {
	return schemaOf(
		iceberg.NestedField{Name: "id", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{Name: "s", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{Name: "bin", Type: iceberg.PrimitiveTypes.Binary},
		iceberg.NestedField{Name: "r", Type: iceberg.PrimitiveTypes.String, Required: true},
	)
}

// few makes n rows from row first on, with distinct different texts in a column.
func (w *world) few(rng *rand.Rand, first, n, distinct int) arrow.RecordBatch {
	b := array.NewRecordBuilder(w.alloc, w.arrow)
	defer b.Release()
	for i := range n {
		b.Field(0).(*array.Int64Builder).Append(int64(first + i))
		text := func(column int) string {
			k := rng.IntN(distinct)
			return fmt.Sprintf("%d %.*s%d", column, k%40, "a text that is longer than sixteen bytes and so on", k)
		}
		if rng.IntN(5) > 0 {
			b.Field(1).(*array.StringBuilder).Append(text(1))
		} else {
			b.Field(1).AppendNull()
		}
		if rng.IntN(7) > 0 {
			b.Field(2).(*array.BinaryBuilder).Append([]byte(text(2)))
		} else {
			b.Field(2).AppendNull()
		}
		if rng.IntN(9) > 0 {
			b.Field(3).(*array.StringBuilder).Append(text(3))
		} else {
			b.Field(3).(*array.StringBuilder).Append("")
		}
	}
	return b.NewRecordBatch()
}

// byDictionary is rec with the columns that coded picks as dictionaries: texts in any order, some of which no row has, and
// any place where there is a null.
func byDictionary(rng *rand.Rand, rec arrow.RecordBatch, coded func(column int) bool) arrow.RecordBatch {
	fields, cols := rec.Schema().Fields(), slices.Clone(rec.Columns())
	for i, c := range cols {
		values, ok := c.(array.BinaryLike)
		if !ok || !coded(i) {
			continue
		}
		var words []string
		for k := range c.Len() {
			words = append(words, c.ValueStr(k)+"!") // of no row
			if c.IsValid(k) {
				words = append(words, string(values.ValueBytes()[values.ValueOffset64(k)-values.ValueOffset64(0):values.ValueOffset64(k)-values.ValueOffset64(0)+int64(values.ValueLen(k))]))
			}
		}
		slices.Sort(words)
		words = slices.Compact(words)
		rng.Shuffle(len(words), func(a, b int) { words[a], words[b] = words[b], words[a] })
		place := map[string]int32{}
		all := array.NewBuilder(memory.DefaultAllocator, c.DataType())
		for k, word := range words {
			place[word] = int32(k)
			switch all := all.(type) {
			case *array.StringBuilder:
				all.Append(word)
			case *array.BinaryBuilder:
				all.Append([]byte(word))
			}
		}
		places := array.NewInt32Builder(memory.DefaultAllocator)
		raw := make([]int32, c.Len())
		valid := make([]bool, c.Len())
		for k := range c.Len() {
			if valid[k] = c.IsValid(k); !valid[k] {
				raw[k] = int32(rng.IntN(1000) - 10)
				continue
			}
			at := values.ValueOffset64(k) - values.ValueOffset64(0)
			raw[k] = place[string(values.ValueBytes()[at:at+int64(values.ValueLen(k))])]
		}
		places.AppendValues(raw, valid)
		dt := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: c.DataType()}
		fields[i].Type, cols[i] = dt, array.NewDictionaryArray(dt, places.NewInt32Array(), all.NewArray())
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), cols, rec.NumRows())
}

// Whether texts come as they are or by dictionary, the files have the same bytes: whatever the dictionaries,
// the partitions, the memory and what else looks at the values.
func TestTextsByDictionaryGiveTheSameBytes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		spec := catalog.TableSpec{Schema: texts(), Props: iceberg.Properties{}}
		spec.PartitionBy = rapid.SampledFrom([]string{"", "bucket(5, id)", "truncate(40, id)", "truncate(3, s)", "r"}).Draw(rt, "partition by")
		spec.SortBy = rapid.SampledFrom([]string{"", "", "", "s, id desc"}).Draw(rt, "sort by")
		if rapid.Bool().Draw(rt, "small row groups") {
			spec.Props[table.ParquetRowGroupLimitKey] = "150"
		}
		spec.Props[table.ParquetPageRowLimitKey] = "100"
		w := newWorld(t, spec)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		o := Options{Workers: rapid.IntRange(1, 3).Draw(rt, "workers")}
		if rapid.IntRange(0, 3).Draw(rt, "slice") == 0 {
			var err error
			if o.Slice, err = slice.Parse("id < 300", w.tbl.Schema(), nil, w.tbl.Spec()); err != nil {
				rt.Fatal(err)
			}
			o.Outside = OutsideDrop
		}
		var plain, coded []arrow.RecordBatch
		first := 0
		for range rapid.IntRange(1, 5).Draw(rt, "batches") {
			n := rapid.IntRange(1, 300).Draw(rt, "rows")
			rec := w.few(rng, first, n, rapid.SampledFrom([]int{1, 3, 50, 1000}).Draw(rt, "texts"))
			by := byDictionary(rng, rec, func(int) bool { return rng.IntN(4) > 0 })
			if cut := int64(rapid.IntRange(0, n-1).Draw(rt, "cut")); cut > 0 && rapid.Bool().Draw(rt, "slices") {
				plain, coded = append(plain, rec.NewSlice(0, cut)), append(coded, by.NewSlice(0, cut))
				plain, coded = append(plain, rec.NewSlice(cut, int64(n))), append(coded, by.NewSlice(cut, int64(n)))
				rec.Release()
				by.Release()
			} else {
				plain, coded = append(plain, rec), append(coded, by)
			}
			first += n
		}
		defer release(plain)
		defer release(coded)
		want := w.stage(o, plain...)
		spill := rapid.Bool().Draw(rt, "spill")
		var got *Result
		if spill {
			got = w.forceSpill(o, coded...)
		} else {
			got = w.stage(o, coded...)
		}
		if got.Digest != want.Digest {
			rt.Errorf("digest %s, of the texts themselves %s", got.Digest, want.Digest)
		}
		if g, f := w.content(got), w.content(want); !slices.EqualFunc(g, f, bytes.Equal) {
			rt.Errorf("%d files differ from the %d of the texts themselves", len(g), len(f))
		}
		for i := range min(len(got.Files), len(want.Files)) {
			g, f := got.Files[i], want.Files[i]
			stats := func(f slice.StagedFile) []any {
				return []any{f.LowerBoundValues(), f.UpperBoundValues(), f.ValueCounts(), f.NullValueCounts(), f.ColumnSizes(), f.Count(), f.Digest}
			}
			if d := cmp.Diff(stats(f), stats(g)); d != "" {
				rt.Errorf("file %d has other statistics (-texts +dictionaries):\n%s", i, d)
			}
		}
	})
}

// Many batches, each with other texts, end up with more of them than are numbered; and runs are of thousands of
// rows, so that the guess at whether a dictionary pays is made from a sample.
func TestManyTextsByDictionaryGiveTheSameBytes(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: texts(), PartitionBy: "truncate(30000, id)"})
	rng := rand.New(rand.NewPCG(7, 7))
	var plain, coded []arrow.RecordBatch
	for i, distinct := range []int{10, 40, 900, 1500, 6000, 30} {
		rec := w.few(rng, 9000*i, 9000, distinct)
		plain, coded = append(plain, rec), append(coded, byDictionary(rng, rec, func(int) bool { return true }))
	}
	defer release(plain)
	defer release(coded)
	want, got := w.stage(Options{}, plain...), w.stage(Options{}, coded...)
	if g, f := w.content(got), w.content(want); !slices.EqualFunc(g, f, bytes.Equal) || got.Digest != want.Digest {
		t.Errorf("%d files with digest %s; of the texts themselves %d with %s", len(g), got.Digest, len(f), want.Digest)
	}
}

// What is routed of such a column is its numbers: rows of a partition have four bytes each, whatever their texts.
func TestTextsAreRoutedByNumber(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: texts()})
	rng := rand.New(rand.NewPCG(8, 8))
	rec := w.few(rng, 0, 500, 20)
	defer rec.Release()
	by := byDictionary(rng, rec, func(int) bool { return true })
	defer by.Release()
	o, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStaging(w.Context(), w.tbl, o)
	if err != nil {
		t.Fatal(err)
	}
	cols := newColumns(s.router.layouts)
	numbered := s.router.numbered(by)
	defer numbered.Release()
	for i := range cols {
		d := numbered.Column(i).Data()
		cols[i].gather(d, d.Offset(), appendUpTo(nil, 300))
		cols[i].appendRange(d, d.Offset()+300, 200)
	}
	plain := newColumns(s.router.layouts)
	for i, c := range rec.Columns() {
		plain[i].appendRange(c.Data(), c.Data().Offset(), 500)
		if cols[i].size() != plain[i].size() {
			t.Errorf("column %d counts for %d bytes, its texts for %d", i, cols[i].size(), plain[i].size())
		}
		if i > 0 && (cols[i].words == nil || len(cols[i].data) > 0 || len(cols[i].offsets) != 500) {
			t.Errorf("column %d has %d bytes of texts", i, len(cols[i].data))
		}
	}
	h, err := digest.NewHasher(w.tbl.Schema())
	if err != nil {
		t.Fatal(err)
	}
	schema := keptSchema(w.arrow, s.router.layouts)
	if got, want := h.Sum(arrowBatch(schema, cols, 500)), h.Sum(rec); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

// A batch says which of its columns are dictionaries, and others than those of texts are refused.
func TestDictionariesOfOtherTypesAreRefused(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: schemaOf(iceberg.NestedField{Name: "n", Type: iceberg.PrimitiveTypes.Int64})})
	dt := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.PrimitiveTypes.Int64}
	b := array.NewDictionaryBuilder(memory.DefaultAllocator, dt).(*array.Int64DictionaryBuilder)
	if err := b.Append(7); err != nil {
		t.Fatal(err)
	}
	rec := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "n", Type: dt, Nullable: true}}, nil), []arrow.Array{b.NewArray()}, 1)
	if _, err := Stage(t.Context(), w.tbl, batches(rec), Options{}); err == nil {
		t.Error("no error")
	}
}
