package stage

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"
	"github.com/apache/iceberg-go"
	"github.com/google/go-cmp/cmp"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/digest"
)

// looks are a column of values that one encoding suits.
type looks struct {
	name  string
	typ   iceberg.Type
	value func(rng *rand.Rand, i int) any
	want  parquet.Encoding // of 5000 rows
}

var shapes = []looks{
	{"sequence", iceberg.PrimitiveTypes.Int64, func(_ *rand.Rand, i int) any { return int64(i) * 3 }, parquet.Encodings.DeltaBinaryPacked},
	{"falling", iceberg.PrimitiveTypes.Int64, func(_ *rand.Rand, i int) any { return math.MaxInt64 - int64(i)<<20 }, parquet.Encodings.DeltaBinaryPacked},
	{"near", iceberg.PrimitiveTypes.Int64, func(rng *rand.Rand, _ int) any { return 1<<60 + rng.Int64N(1<<24) }, parquet.Encodings.DeltaBinaryPacked},
	{"any", iceberg.PrimitiveTypes.Int64, func(rng *rand.Rand, _ int) any { return int64(rng.Uint64()) }, parquet.Encodings.Plain},
	{"few", iceberg.PrimitiveTypes.Int64, func(rng *rand.Rand, _ int) any { return rng.Int64N(7) << 40 }, parquet.Encodings.RLEDict},
	{"one", iceberg.PrimitiveTypes.Int64, func(*rand.Rand, int) any { return int64(42) }, parquet.Encodings.DeltaBinaryPacked},
	{"extremes", iceberg.PrimitiveTypes.Int64, func(_ *rand.Rand, i int) any { return []int64{math.MinInt64, math.MaxInt64, 0, -1}[i%4] }, parquet.Encodings.RLEDict},
	{"runs", iceberg.PrimitiveTypes.Int64, func(_ *rand.Rand, i int) any { return int64(i/37%300) << 50 }, parquet.Encodings.RLEDict},
	{"int near", iceberg.PrimitiveTypes.Int32, func(rng *rand.Rand, _ int) any { return int32(rng.IntN(1 << 18)) }, parquet.Encodings.DeltaBinaryPacked},
	{"int any", iceberg.PrimitiveTypes.Int32, func(rng *rand.Rand, _ int) any { return int32(rng.Uint32()) }, parquet.Encodings.Plain},
	{"int wraps", iceberg.PrimitiveTypes.Int32, func(_ *rand.Rand, i int) any { return int32(i) * 2_000_000_011 / 4 * 4 }, parquet.Encodings.DeltaBinaryPacked},
	{"reals", iceberg.PrimitiveTypes.Float64, func(rng *rand.Rand, _ int) any { return rng.Float64() }, parquet.Encodings.ByteStreamSplit},
	{"prices", iceberg.PrimitiveTypes.Float64, func(rng *rand.Rand, _ int) any { return float64(rng.IntN(50)) / 100 }, parquet.Encodings.RLEDict},
	{"odd reals", iceberg.PrimitiveTypes.Float64, func(_ *rand.Rand, i int) any { return awkwardReals[i%len(awkwardReals)] }, parquet.Encodings.RLEDict},
	{"floats", iceberg.PrimitiveTypes.Float32, func(rng *rand.Rand, _ int) any { return rng.Float32() }, parquet.Encodings.ByteStreamSplit},
	{"texts", iceberg.PrimitiveTypes.String, func(rng *rand.Rand, i int) any {
		return strings.Repeat("ü", i%20) + fmt.Sprint(rng.Uint64())
	}, parquet.Encodings.DeltaLengthByteArray},
	{"words", iceberg.PrimitiveTypes.String, func(rng *rand.Rand, _ int) any { return awkwardTexts[rng.IntN(len(awkwardTexts))] }, parquet.Encodings.RLEDict},
	{"empty", iceberg.PrimitiveTypes.String, func(*rand.Rand, int) any { return "" }, parquet.Encodings.RLEDict},
	{"flag", iceberg.PrimitiveTypes.Bool, func(rng *rand.Rand, _ int) any { return rng.IntN(3) == 0 }, parquet.Encodings.Plain},
}

// shapesSchema has each shape three times: required, with nulls here and there, and in lists.
func shapesSchema() *iceberg.Schema {
	var fields []iceberg.NestedField
	for i, s := range shapes {
		fields = append(fields,
			iceberg.NestedField{Name: s.name, Type: s.typ, Required: true},
			iceberg.NestedField{Name: s.name + "?", Type: s.typ},
			iceberg.NestedField{Name: s.name + "*", Type: &iceberg.ListType{ElementID: 1000 + i, Element: s.typ}})
	}
	return schemaOf(fields...)
}

func (w *world) shapes(rng *rand.Rand, from, n int) arrow.RecordBatch {
	b := array.NewRecordBuilder(w.alloc, w.arrow)
	defer b.Release()
	for k, s := range shapes {
		for i := from; i < from+n; i++ {
			appendValue(b.Field(3*k), s.value(rng, i))
			if rng.IntN(5) == 0 || i/200%4 == 3 {
				b.Field(3*k + 1).AppendNull()
			} else {
				appendValue(b.Field(3*k+1), s.value(rng, i))
			}
			list := b.Field(3*k + 2).(*array.ListBuilder)
			if rng.IntN(6) == 0 {
				list.AppendNull()
				continue
			}
			list.Append(true)
			for range rng.IntN(3) {
				if rng.IntN(5) == 0 {
					list.ValueBuilder().AppendNull()
				} else {
					appendValue(list.ValueBuilder(), s.value(rng, i))
				}
			}
		}
	}
	return b.NewRecordBatch()
}

func appendValue(b array.Builder, v any) {
	switch b := b.(type) {
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.Int32Builder:
		b.Append(v.(int32))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *array.Float32Builder:
		b.Append(v.(float32))
	case *array.StringBuilder:
		b.Append(v.(string))
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	default:
		panic(fmt.Sprintf("no builder %T", b))
	}
}

// Whatever the values look like and however pages are cut, arrow-go reads back what was written, and the
// footer says of it what is so.
func TestEncodings(t *testing.T) {
	for _, rows := range []int{1, 2, 33, 64, 65, 128, 129, 130, 161, 1000, 5000} {
		for _, props := range []iceberg.Properties{
			{},
			{"write.parquet.page-version": "v2", "write.parquet.page-row-limit": "333"},
			{encodingsKey: "plain", "write.parquet.page-size-bytes": "3000"},
		} {
			w := newWorld(t, catalog.TableSpec{Schema: shapesSchema(), Props: props})
			rng := rand.New(rand.NewPCG(uint64(rows), 5))
			recs := []arrow.RecordBatch{w.shapes(rng, 0, rows-rows/3), w.shapes(rng, rows-rows/3, rows/3)}
			res := w.stage(Options{}, recs...)
			h, err := digest.NewHasher(w.tbl.Schema())
			if err != nil {
				t.Fatal(err)
			}
			in := h.Sum(recs[0]).Add(h.Sum(recs[1]))
			content := w.content(res)[0]
			if got, sum := w.scan(w.commit(res)); len(got) != rows || sum != in || res.Digest != in {
				t.Errorf("%d rows, %v: %d rows scanned with digest %s, staged with %s, want %s", rows, props, len(got), sum, res.Digest, in)
			}
			w.checkFooter(content[bytes.IndexByte(content, '\n')+1:], recs, props[encodingsKey] == "plain")
			release(recs)
		}
	}
}

func (w *world) checkFooter(content []byte, recs []arrow.RecordBatch, plain bool) {
	w.Helper()
	r, err := file.NewParquetReader(bytes.NewReader(content))
	if err != nil {
		w.Fatal(err)
	}
	defer r.Close()
	classic := []parquet.Encoding{parquet.Encodings.Plain, parquet.Encodings.RLE, parquet.Encodings.RLEDict}
	for k, s := range shapes {
		for leaf := 3 * k; leaf < 3*k+3; leaf++ {
			col, err := r.MetaData().RowGroup(0).ColumnChunk(leaf)
			if err != nil {
				w.Fatal(err)
			}
			for _, e := range col.Encodings() {
				if plain && !slices.Contains(classic, e) {
					w.Errorf("%s has encoding %s, although the table asks for plain ones", s.name, e)
				}
			}
			if leaf == 3*k && r.NumRows() == 5000 && !plain && !slices.Contains(col.Encodings(), s.want) {
				w.Errorf("%s has encodings %s, want %s", s.name, col.Encodings(), s.want)
			}
			if col.HasDictionaryPage() != slices.Contains(col.Encodings(), parquet.Encodings.RLEDict) {
				w.Errorf("%s: encodings are %s, dictionary page: %v", s.name, col.Encodings(), col.HasDictionaryPage())
			}
			stats, err := col.Statistics()
			if err != nil {
				w.Fatal(err)
			}
			if longs, ok := stats.(*metadata.Int64Statistics); ok && leaf < 3*k+2 {
				w.checkLongs(s.name, longs, recs, leaf)
			}
		}
	}
}

func (w *world) checkLongs(name string, got *metadata.Int64Statistics, recs []arrow.RecordBatch, column int) {
	w.Helper()
	lo, hi, nulls := int64(math.MaxInt64), int64(math.MinInt64), int64(0)
	for _, r := range recs {
		c := r.Column(column).(*array.Int64)
		for i := range c.Len() {
			if c.IsNull(i) {
				nulls++
			} else {
				lo, hi = min(lo, c.Value(i)), max(hi, c.Value(i))
			}
		}
	}
	if got.NullCount() != nulls || lo <= hi && (got.Min() != lo || got.Max() != hi) || got.HasMinMax() != (lo <= hi) {
		w.Errorf("%s: footer says %d to %d and %d nulls, want %d to %d and %d", name, got.Min(), got.Max(), got.NullCount(), lo, hi, nulls)
	}
}

// A dictionary that stops paying is kept for the pages that have it, and the pages after them go without.
func TestDictionaryThatStopsPaying(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: schemaOf(
		iceberg.NestedField{Name: "n", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{Name: "s", Type: iceberg.PrimitiveTypes.String},
	)})
	s := w.staging()
	e := s.workers[0].enc
	rng := rand.New(rand.NewPCG(1, 1))
	g := newRowGroup(e.leaves, false)
	var want []arrow.RecordBatch
	for run, distinct := range []int64{10, 20, 1 << 40, 5} {
		b := array.NewRecordBuilder(w.alloc, w.arrow)
		for range 3000 {
			v := rng.Int64N(distinct)
			b.Field(0).(*array.Int64Builder).Append(v << 20)
			b.Field(1).(*array.StringBuilder).Append(fmt.Sprint(v))
		}
		rec := b.NewRecordBatch()
		b.Release()
		want = append(want, rec)
		g.rows += 3000
		cols := newColumns(s.router.layouts)
		for i := range cols {
			cols[i].gather(rec.Column(i).Data(), 0, appendUpTo(nil, 3000))
			if err := e.column(g, i, e.nodes[i], &cols[i], 3000); err != nil {
				t.Fatal(err)
			}
		}
		for i, ch := range g.chunks {
			if coded := int32(min(run+1, 2)); ch.coded != coded || ch.direct != int32(run+1)-coded {
				t.Errorf("column %d after run %d: %d pages with the dictionary, %d without", i, run, ch.coded, ch.direct)
			}
		}
	}
	defer release(want)
	e.finish(g)
	w.checkRows(e, g, want)
}

// staging is one of the table's that has not begun.
func (w *world) staging() *staging {
	w.Helper()
	o, err := Options{Workers: 1}.withDefaults()
	if err != nil {
		w.Fatal(err)
	}
	s, err := newStaging(w.Context(), w.tbl, o)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// checkRows reads g as a file of its own.
func (w *world) checkRows(e *encoder, g *rowGroup, want []arrow.RecordBatch) {
	w.Helper()
	content := []byte(parquetMagic)
	for i := range g.chunks {
		for _, b := range g.chunks[i].pages {
			content = append(content, b.data...)
		}
	}
	f := newFooter(pqschema.NewSchema(e.root), e.leaves, e.set)
	if err := f.add(g); err != nil {
		w.Fatal(err)
	}
	tail, err := f.finish()
	if err != nil {
		w.Fatal(err)
	}
	read, err := pqarrow.ReadTable(w.Context(), bytes.NewReader(append(content, tail...)), nil, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		w.Fatal(err)
	}
	defer read.Release()
	var got []string
	tr := array.NewTableReader(read, -1)
	defer tr.Release()
	for tr.Next() {
		got = append(got, rows(tr.RecordBatch())...)
	}
	if d := cmp.Diff(rows(want...), got); d != "" {
		w.Errorf("rows differ (-in +read):\n%.2000s", d)
	}
}
