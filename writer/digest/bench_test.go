package digest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
)

// BenchmarkColumn hashes one column of each type. ns/value is what a value costs with what is done once a row,
// which "nothing" shows alone. There are so many rows that a processor cannot learn the lengths of texts by heart.
func BenchmarkColumn(b *testing.B) {
	const rows = 1 << 16
	random := rand.New(rand.NewPCG(1, 2))
	number := func(int) int64 { return random.Int64N(1 << 24) }
	word := func(least, most int) func(int) string {
		return func(int) string {
			text := make([]byte, least+random.IntN(most-least+1))
			for i := range text {
				text[i] = 'a' + byte(random.IntN(26))
			}
			return string(text)
		}
	}
	text := func(of func(int) string) arrow.Array {
		a := array.NewStringBuilder(memory.DefaultAllocator)
		for i := range rows {
			a.Append(of(i))
		}
		return a.NewArray()
	}
	filled := func(build array.Builder, add func(i int)) arrow.Array {
		for i := range rows {
			add(i)
		}
		return build.NewArray()
	}
	i32 := array.NewInt32Builder(memory.DefaultAllocator)
	i64 := array.NewInt64Builder(memory.DefaultAllocator)
	f64 := array.NewFloat64Builder(memory.DefaultAllocator)
	flag := array.NewBooleanBuilder(memory.DefaultAllocator)
	date := array.NewDate32Builder(memory.DefaultAllocator)
	gaps := array.NewInt64Builder(memory.DefaultAllocator)
	d64 := array.NewDecimal64Builder(memory.DefaultAllocator, &arrow.Decimal64Type{Precision: 15, Scale: 2})
	d128 := array.NewDecimal128Builder(memory.DefaultAllocator, &arrow.Decimal128Type{Precision: 38, Scale: 2})
	codes := array.NewDictionaryBuilder(memory.DefaultAllocator, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}).(*array.BinaryDictionaryBuilder)
	modes := strings.Fields("AIR FOB MAIL RAIL SHIP TRUCK")
	decimal := iceberg.DecimalTypeOf(38, 2)
	for _, c := range []struct {
		name string
		typ  iceberg.Type
		arr  arrow.Array
	}{
		{"nothing", iceberg.PrimitiveTypes.Int32, array.NewNull(rows)},
		{"int32", iceberg.PrimitiveTypes.Int32, filled(i32, func(i int) { i32.Append(int32(number(i))) })},
		{"int64", iceberg.PrimitiveTypes.Int64, filled(i64, func(i int) { i64.Append(number(i)) })},
		{"int64 with nulls", iceberg.PrimitiveTypes.Int64, filled(gaps, func(i int) {
			if random.IntN(10) == 0 {
				gaps.AppendNull()
			} else {
				gaps.Append(number(i))
			}
		})},
		{"double", iceberg.PrimitiveTypes.Float64, filled(f64, func(i int) { f64.Append(random.NormFloat64()) })},
		{"boolean", iceberg.PrimitiveTypes.Bool, filled(flag, func(i int) { flag.Append(random.IntN(2) == 0) })},
		{"date", iceberg.PrimitiveTypes.Date, filled(date, func(i int) { date.Append(arrow.Date32(8000 + number(i)%2500)) })},
		{"decimal64", decimal, filled(d64, func(i int) { d64.AppendValueFromString(fmt.Sprintf("%d.%02d", number(i)-1<<23, i%100)) })},
		{"decimal128", decimal, filled(d128, func(i int) { d128.Append(decimal128.New(number(i)-1<<23, uint64(number(i)))) })},
		{"text 1-3", iceberg.PrimitiveTypes.String, text(word(1, 3))},
		{"text 4-8", iceberg.PrimitiveTypes.String, text(word(4, 8))},
		{"text 9-16", iceberg.PrimitiveTypes.String, text(word(9, 16))},
		{"text 17-32", iceberg.PrimitiveTypes.String, text(word(17, 32))},
		{"text 33-64", iceberg.PrimitiveTypes.String, text(word(33, 64))},
		{"text 1-30", iceberg.PrimitiveTypes.String, text(word(1, 30))},
		{"text 10-43", iceberg.PrimitiveTypes.String, text(word(10, 43))}, // comments of lineitem
		{"text in runs", iceberg.PrimitiveTypes.String, text(func(i int) string { return modes[i/300%6] })},
		{"text of four", iceberg.PrimitiveTypes.String, text(func(i int) string {
			return strings.Split("NONE,COLLECT COD,TAKE BACK RETURN,DELIVER IN PERSON", ",")[random.IntN(4)]
		})},
		{"text of six", iceberg.PrimitiveTypes.String, text(func(i int) string { return modes[random.IntN(6)] })},
		{"dictionary", iceberg.PrimitiveTypes.String, filled(codes, func(i int) { codes.AppendString(modes[random.IntN(6)]) })},
	} {
		b.Run(c.name, func(b *testing.B) {
			benchmark(b, iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "v", Type: c.typ}),
				array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "v", Type: c.arr.DataType(), Nullable: true}}, nil), []arrow.Array{c.arr}, rows))
		})
	}
	nested := func(name, format string, columns ...int) {
		var fields []iceberg.NestedField
		for _, k := range columns {
			fields = append(fields, testSchema().Field(k))
		}
		schema := iceberg.NewSchema(0, fields...)
		lines := make([]string, rows)
		for i := range lines {
			lines[i] = fmt.Sprintf(format, i, i%7)
		}
		b.Run(name, func(b *testing.B) { benchmark(b, schema, fromJSON(b, schema, lines...)) })
	}
	nested("struct", `{"st": {"x": %d, "y": "value %d"}}`, 11)
	nested("list", `{"li": [%d, %d, 3]}`, 12)
	nested("map", `{"ma": [{"key": "a", "value": %d}, {"key": "b", "value": %d}]}`, 13)
}

func benchmark(b *testing.B, schema *iceberg.Schema, rec arrow.RecordBatch) {
	h, err := NewHasher(schema)
	if err != nil {
		b.Fatal(err)
	}
	var parts []arrow.RecordBatch
	for from := int64(0); from < rec.NumRows(); from += 2048 { // as writer/stage does
		parts = append(parts, rec.NewSlice(from, from+2048))
	}
	for b.Loop() {
		for _, part := range parts {
			h.Sum(part)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rec.NumRows())/float64(b.N), "ns/value")
}
