package digest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"pgregory.net/rapid"
)

// typesOfAll are the columns of everyType: each Arrow type that a column of an Iceberg type may have.
var typesOfAll = []struct {
	typ   iceberg.Type
	arrow arrow.DataType
	value func(r *rand.Rand) string
}{
	{iceberg.PrimitiveTypes.Bool, arrow.FixedWidthTypes.Boolean, func(r *rand.Rand) string { return fmt.Sprint(r.IntN(2) == 0) }},
	{iceberg.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int8, func(r *rand.Rand) string { return fmt.Sprint(r.IntN(256) - 128) }},
	{iceberg.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int16, func(r *rand.Rand) string { return fmt.Sprint(r.IntN(1<<16) - 1<<15) }},
	{iceberg.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int32, func(r *rand.Rand) string { return fmt.Sprint(int32(r.Uint32())) }},
	{iceberg.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int64, func(r *rand.Rand) string { return fmt.Sprint(int64(r.Uint64())) }},
	{iceberg.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float32, drawReal},
	{iceberg.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Float64, drawReal},
	{iceberg.PrimitiveTypes.Date, arrow.FixedWidthTypes.Date32, func(r *rand.Rand) string {
		return fmt.Sprintf("%04d-%02d-%02d", 1900+r.IntN(200), 1+r.IntN(12), 1+r.IntN(28))
	}},
	{iceberg.PrimitiveTypes.Time, arrow.FixedWidthTypes.Time64us, func(r *rand.Rand) string { return fmt.Sprintf("%02d:00:00.%06d", r.IntN(24), r.IntN(1000000)) }},
	{iceberg.PrimitiveTypes.Timestamp, &arrow.TimestampType{Unit: arrow.Microsecond}, func(r *rand.Rand) string {
		return fmt.Sprintf("%04d-01-01 00:00:00.%06d", 1900+r.IntN(200), r.IntN(1000000))
	}},
	{iceberg.DecimalTypeOf(9, 2), &arrow.Decimal32Type{Precision: 9, Scale: 2}, drawDecimal},
	{iceberg.DecimalTypeOf(9, 2), &arrow.Decimal64Type{Precision: 9, Scale: 2}, drawDecimal},
	{iceberg.DecimalTypeOf(9, 2), &arrow.Decimal128Type{Precision: 9, Scale: 2}, drawDecimal},
	{iceberg.DecimalTypeOf(38, 2), &arrow.Decimal128Type{Precision: 38, Scale: 2}, func(r *rand.Rand) string {
		return fmt.Sprintf("%d%018d.%02d", r.IntN(200)-100, r.Int64N(1e18), r.IntN(100))
	}},
	{iceberg.PrimitiveTypes.String, arrow.BinaryTypes.String, drawText},
	{iceberg.PrimitiveTypes.String, arrow.BinaryTypes.LargeString, drawText},
	{iceberg.PrimitiveTypes.String, arrow.BinaryTypes.StringView, drawText},
	{iceberg.PrimitiveTypes.String, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}, drawWord},
	{iceberg.PrimitiveTypes.String, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint8, ValueType: arrow.BinaryTypes.String}, drawWord},
	{iceberg.PrimitiveTypes.Binary, arrow.BinaryTypes.Binary, drawBytes},
	{iceberg.PrimitiveTypes.Binary, arrow.BinaryTypes.LargeBinary, drawBytes},
	{iceberg.FixedTypeOf(16), &arrow.FixedSizeBinaryType{ByteWidth: 16}, func(r *rand.Rand) string { return "MDEyMzQ1Njc4OWFiY2RlZg==" }},
	{&iceberg.ListType{ElementID: 101, Element: iceberg.PrimitiveTypes.Int64}, arrow.ListOf(arrow.PrimitiveTypes.Int64), func(r *rand.Rand) string {
		return []string{"[]", "[null]", fmt.Sprintf("[%d, null, %d]", r.Int32(), r.Int32()), "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"}[r.IntN(4)]
	}},
	{
		&iceberg.StructType{FieldList: []iceberg.NestedField{{ID: 102, Name: "x", Type: iceberg.PrimitiveTypes.Int32}, {ID: 103, Name: "y", Type: iceberg.PrimitiveTypes.String}}},
		arrow.StructOf(arrow.Field{Name: "x", Type: arrow.PrimitiveTypes.Int32, Nullable: true}, arrow.Field{Name: "y", Type: arrow.BinaryTypes.String, Nullable: true}),
		func(r *rand.Rand) string {
			return []string{`{}`, fmt.Sprintf(`{"x": %d}`, r.Int32()), fmt.Sprintf(`{"x": %d, "y": %q}`, r.Int32(), drawWord(r))}[r.IntN(3)]
		},
	},
	{
		&iceberg.MapType{KeyID: 104, KeyType: iceberg.PrimitiveTypes.String, ValueID: 105, ValueType: iceberg.PrimitiveTypes.Int64}, arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64),
		func(r *rand.Rand) string {
			return fmt.Sprintf(`[{"key": "a", "value": %d}, {"key": %q, "value": null}]`, r.Int32(), drawWord(r))
		},
	},
}

func drawReal(r *rand.Rand) string {
	return []string{"NaN", "-0", "0", "+Inf", fmt.Sprint(r.NormFloat64()), fmt.Sprint(r.Float32())}[r.IntN(6)]
}

func drawDecimal(r *rand.Rand) string {
	return fmt.Sprintf("%d.%02d", r.IntN(2000000)-1000000, r.IntN(100))
}

// drawText has a length of every class that XXH3 has a formula for, and of each class the ends.
func drawText(r *rand.Rand) string {
	most := []int{1, 4, 9, 17, 33, 65, 97, 129, 241, 600}[r.IntN(10)]
	text := make([]byte, r.IntN(most))
	for i := range text {
		text[i] = ' ' + byte(r.IntN(95))
	}
	return string(text)
}

func drawWord(r *rand.Rand) string { return strings.Fields("AIR FOB MAIL RAIL SHIP TRUCK")[r.IntN(6)] }

func drawBytes(r *rand.Rand) string { return "AAEC/w=="[:4*(1+r.IntN(2))] }

// everyType are n rows, a column of each type; one value in eight is null, and those of every third column
// lie in runs.
func everyType(t fataler, n int) (*iceberg.Schema, arrow.RecordBatch) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	var own []iceberg.NestedField
	var fields []arrow.Field
	var columns []arrow.Array
	for i, c := range typesOfAll {
		b := array.NewBuilder(memory.DefaultAllocator, c.arrow)
		for row := range n {
			if null := random.IntN(8) == 0; null && i%3 > 0 || i%3 == 0 && row/40%4 == 1 {
				b.AppendNull()
			} else if err := b.AppendValueFromString(c.value(random)); err != nil {
				t.Fatal(c.arrow, err)
			}
		}
		name := fmt.Sprintf("c%d", i)
		own = append(own, iceberg.NestedField{ID: i + 1, Name: name, Type: c.typ})
		fields = append(fields, arrow.Field{Name: name, Type: c.arrow, Nullable: true})
		columns = append(columns, b.NewArray())
	}
	return iceberg.NewSchema(0, own...), array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(n))
}

// bothWays runs test with the loops over eight rows at a time and without.
func bothWays(t *testing.T, test func()) {
	was := vectors
	defer func() { vectors = was }()
	for _, vectors = range []bool{false, was} {
		test()
	}
}

// Digests are stored: see TestGoldenDigests.
func TestGoldenDigestOfManyRowsOfAllTypes(t *testing.T) {
	schema, rec := everyType(t, 3000)
	bothWays(t, func() {
		const want = "1:c1d1271efdb4746cc3d93abd0354c11d:3000"
		if got := sumRec(t, schema, rec).String(); got != want {
			t.Errorf("vectors %v: digest %s, want %s", vectors, got, want)
		}
	})
}

// Rows are hashed column by column, many at a time; a row by itself is hashed by the shortest code there is.
func TestRowsTogetherHaveTheHashesOfRowsAlone(t *testing.T) {
	schema, rec := everyType(t, 1500)
	n := int(rec.NumRows())
	h, err := NewHasher(schema)
	if err != nil {
		t.Fatal(err)
	}
	alone := make([]Sum, n)
	for i := range alone {
		alone[i] = h.Sum(rec.NewSlice(int64(i), int64(i+1)))
	}
	was := vectors
	defer func() { vectors = was }()
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, n).Draw(t, "from")
		to := min(n, from+rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(0, n)).Draw(t, "rows"))
		vectors = was && rapid.Bool().Draw(t, "vectors")
		part := rec.NewSlice(int64(from), int64(to))
		hi, lo := make([]uint64, to-from), make([]uint64, to-from)
		h.Rows(part, hi, lo)
		var want Sum
		for i := from; i < to; i++ {
			if alone[i].Hi != hi[i-from] || alone[i].Lo != lo[i-from] {
				t.Fatalf("rows %d to %d: row %d has another hash than alone", from, to, i)
			}
			want = want.Add(alone[i])
		}
		if got := h.Sum(part); got != want {
			t.Fatalf("rows %d to %d: digest %s, want %s", from, to, got, want)
		}
	})
}
