package stage

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer/digest"
)

// everyType has a column of each type that icewright writes, nested ones included.
func everyType() *iceberg.Schema {
	id := 100
	nested := func(name string, t iceberg.Type, required bool) iceberg.NestedField {
		id++
		return iceberg.NestedField{ID: id, Name: name, Type: t, Required: required}
	}
	point := &iceberg.StructType{FieldList: []iceberg.NestedField{
		nested("x", iceberg.PrimitiveTypes.Float64, true),
		nested("label", iceberg.PrimitiveTypes.String, false),
		nested("when", iceberg.PrimitiveTypes.TimestampTz, false),
	}}
	list := &iceberg.ListType{ElementID: 200, Element: iceberg.PrimitiveTypes.String}
	points := &iceberg.ListType{ElementID: 201, Element: &iceberg.StructType{FieldList: []iceberg.NestedField{
		nested("a", iceberg.PrimitiveTypes.Int32, false),
		nested("tags", &iceberg.ListType{ElementID: 202, Element: iceberg.PrimitiveTypes.Int64, ElementRequired: true}, false),
	}}, ElementRequired: true}
	attrs := &iceberg.MapType{KeyID: 203, KeyType: iceberg.PrimitiveTypes.String, ValueID: 204, ValueType: iceberg.DecimalTypeOf(12, 2)}
	var fields []iceberg.NestedField
	for i, f := range []iceberg.NestedField{
		{Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		{Name: "b", Type: iceberg.PrimitiveTypes.Bool},
		{Name: "i", Type: iceberg.PrimitiveTypes.Int32},
		{Name: "l", Type: iceberg.PrimitiveTypes.Int64},
		{Name: "f", Type: iceberg.PrimitiveTypes.Float32},
		{Name: "d", Type: iceberg.PrimitiveTypes.Float64},
		{Name: "dec9", Type: iceberg.DecimalTypeOf(9, 2)},
		{Name: "dec18", Type: iceberg.DecimalTypeOf(18, 4)},
		{Name: "dec38", Type: iceberg.DecimalTypeOf(38, 10)},
		{Name: "date", Type: iceberg.PrimitiveTypes.Date},
		{Name: "time", Type: iceberg.PrimitiveTypes.Time},
		{Name: "ts", Type: iceberg.PrimitiveTypes.Timestamp},
		{Name: "tz", Type: iceberg.PrimitiveTypes.TimestampTz},
		{Name: "s", Type: iceberg.PrimitiveTypes.String},
		{Name: "bin", Type: iceberg.PrimitiveTypes.Binary},
		{Name: "fix", Type: iceberg.FixedTypeOf(5)},
		{Name: "u", Type: iceberg.PrimitiveTypes.UUID},
		{Name: "point", Type: point},
		{Name: "names", Type: list},
		{Name: "points", Type: points},
		{Name: "attrs", Type: attrs},
	} {
		f.ID = i + 1
		fields = append(fields, f)
	}
	return iceberg.NewSchema(0, fields...)
}

func schemaOf(fields ...iceberg.NestedField) *iceberg.Schema {
	for i := range fields {
		fields[i].ID = i + 1
	}
	return iceberg.NewSchema(0, fields...)
}

// world is a table with the allocator that its batches come from.
type world struct {
	testing.TB
	cat   *catalog.Catalog
	tbl   *table.Table
	alloc *memory.CheckedAllocator
	arrow *arrow.Schema
}

func newWorld(t testing.TB, spec catalog.TableSpec) *world {
	t.Helper()
	w := &world{TB: t, cat: testcat.New(t), alloc: memory.NewCheckedAllocator(memory.DefaultAllocator)}
	var err error
	if w.tbl, _, err = w.cat.CreateTable(t.Context(), table.Identifier{"ns", "t"}, spec); err != nil {
		t.Fatal(err)
	}
	if w.arrow, err = arrowconv.ArrowSchema(w.tbl.Schema()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.alloc.AssertSize(t, 0) })
	return w
}

// random returns n rows of made-up values, some of them the awkward ones of their type.
func (w *world) random(rng *rand.Rand, n int) arrow.RecordBatch {
	b := array.NewRecordBuilder(w.alloc, w.arrow)
	defer b.Release()
	for i, f := range w.arrow.Fields() {
		for range n {
			appendRandom(rng, b.Field(i), f)
		}
	}
	return b.NewRecordBatch()
}

var (
	awkwardTexts = []string{"", "null", "a/b", "50%", "x=y", "zeile\nzwei", "größe", "日本", "😀 smile", "__HIVE_DEFAULT_PARTITION__", ".", "..", "a+b c"}
	awkwardReals = []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 1.5}
)

func appendRandom(rng *rand.Rand, b array.Builder, f arrow.Field) {
	if f.Nullable && rng.IntN(6) == 0 {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(rng.IntN(2) == 0)
	case *array.Int32Builder:
		b.Append(int32(rng.IntN(2000) - 1000))
	case *array.Int64Builder:
		b.Append(rng.Int64N(1<<40) - 1<<39)
	case *array.Float32Builder:
		b.Append(float32(real(rng)))
	case *array.Float64Builder:
		if f.Name == "x" { // in a struct: JSON, which the tests compare, has no NaN
			b.Append(rng.Float64())
			return
		}
		b.Append(real(rng))
	case *array.Decimal128Builder:
		t := f.Type.(*arrow.Decimal128Type)
		v := decimal128.New(rng.Int64(), rng.Uint64())
		if t.Precision <= 18 {
			v = decimal128.FromI64(rng.Int64())
		}
		_, v = v.Div(decimal128.GetScaleMultiplier(int(t.Precision) - rng.IntN(3)))
		b.Append(v)
	case *array.Date32Builder:
		b.Append(arrow.Date32(rng.IntN(3000) - 1000))
	case *array.Time64Builder:
		b.Append(arrow.Time64(rng.Int64N(microsPerDay)))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(rng.Int64N(400*microsPerDay) - 100*microsPerDay))
	case *array.StringBuilder:
		b.Append(text(rng))
	case *array.BinaryBuilder:
		b.Append([]byte(text(rng)))
	case *array.FixedSizeBinaryBuilder:
		v := make([]byte, f.Type.(*arrow.FixedSizeBinaryType).ByteWidth)
		for i := range v {
			v[i] = byte(rng.IntN(3) * 127)
		}
		b.Append(v)
	case *extensions.UUIDBuilder:
		b.Append(uuid.UUID{byte(rng.IntN(256)), 15: byte(rng.IntN(256))})
	case *array.StructBuilder:
		b.Append(true)
		for i, kid := range f.Type.(*arrow.StructType).Fields() {
			appendRandom(rng, b.FieldBuilder(i), kid)
		}
	case *array.MapBuilder:
		b.Append(true)
		mt := f.Type.(*arrow.MapType)
		for k := range rng.IntN(4) {
			b.KeyBuilder().(*array.StringBuilder).Append(fmt.Sprintf("key%d", k))
			appendRandom(rng, b.ItemBuilder(), mt.ItemField())
		}
	case *array.ListBuilder:
		b.Append(true)
		for range rng.IntN(4) {
			appendRandom(rng, b.ValueBuilder(), f.Type.(*arrow.ListType).ElemField())
		}
	default:
		panic(fmt.Sprintf("no random value for %T", b))
	}
}

func real(rng *rand.Rand) float64 {
	if rng.IntN(8) == 0 {
		return awkwardReals[rng.IntN(len(awkwardReals))]
	}
	return math.Round(rng.NormFloat64()*100) / 4
}

func text(rng *rand.Rand) string {
	switch rng.IntN(5) {
	case 0:
		return awkwardTexts[rng.IntN(len(awkwardTexts))]
	case 1:
		return strings.Repeat("ü", rng.IntN(40)) + fmt.Sprint(rng.IntN(1000))
	}
	return fmt.Sprintf("city-%d", rng.IntN(20))
}

// fromJSON reads rows given as JSON objects.
func (w *world) fromJSON(rows string) arrow.RecordBatch {
	w.Helper()
	rec, _, err := array.RecordFromJSON(w.alloc, w.arrow, strings.NewReader(rows))
	if err != nil {
		w.Fatal(err)
	}
	return rec
}

// batches yields recs as the batches of one source. It passes ownership, as a source does.
func batches(recs ...arrow.RecordBatch) iter.Seq2[arrowconv.Batch, error] {
	return func(yield func(arrowconv.Batch, error) bool) {
		row := int64(1)
		for _, r := range recs {
			r.Retain()
			b := arrowconv.Batch{RecordBatch: r, Source: "rows.csv", FirstRow: row}
			row += r.NumRows()
			if !yield(b, nil) {
				return
			}
		}
	}
}

func release(recs []arrow.RecordBatch) {
	for _, r := range recs {
		r.Release()
	}
}

// commit appends staged files by iceberg-go's own transaction, and returns the table.
func (w *world) commit(res *Result) *table.Table {
	w.Helper()
	files := make([]iceberg.DataFile, len(res.Files))
	for i, f := range res.Files {
		files[i] = f.DataFile
	}
	tx := w.tbl.NewTransaction()
	if err := tx.AddDataFiles(w.Context(), files, nil); err != nil {
		w.Fatal(err)
	}
	tbl, err := tx.Commit(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return tbl
}

// rows are the rows of recs as text, sorted.
func rows(recs ...arrow.RecordBatch) []string {
	var out []string
	for _, r := range recs {
		for i := range int(r.NumRows()) {
			var b strings.Builder
			for k, c := range r.Columns() {
				fmt.Fprintf(&b, "%s=%s|", r.ColumnName(k), show(c, i))
			}
			out = append(out, b.String())
		}
	}
	slices.Sort(out)
	return out
}

func show(c arrow.Array, i int) string {
	if c.IsNull(i) {
		return "NULL"
	}
	switch c := c.(type) {
	case *array.Float32:
		return fmt.Sprint(c.Value(i))
	case *array.Float64:
		return fmt.Sprint(c.Value(i))
	}
	return c.ValueStr(i)
}

// scan reads a table back with iceberg-go's scanner.
func (w *world) scan(tbl *table.Table) ([]string, digest.Sum) {
	w.Helper()
	_, seq, err := tbl.Scan().ToArrowRecords(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	h, err := digest.NewHasher(tbl.Schema())
	if err != nil {
		w.Fatal(err)
	}
	var out []string
	var sum digest.Sum
	for rec, err := range seq {
		if err != nil {
			w.Fatal(err)
		}
		out = append(out, rows(rec)...)
		sum = sum.Add(h.Sum(rec))
		rec.Release()
	}
	slices.Sort(out)
	return out, sum
}

func (w *world) stage(o Options, recs ...arrow.RecordBatch) *Result {
	w.Helper()
	res, err := Stage(w.Context(), w.tbl, batches(recs...), o)
	if err != nil {
		w.Fatal(err)
	}
	return res
}

// litter are the data files of the table that files does not list.
func (w *world) litter(res *Result) []string {
	known := map[string]bool{}
	if res != nil {
		for _, f := range res.Files {
			known[f.FilePath()] = true
		}
	}
	var out []string
	for _, f := range testcat.Files(w.tbl.Location()) {
		if strings.HasSuffix(f, ".parquet") && !known[f] {
			out = append(out, f)
		}
	}
	return out
}
