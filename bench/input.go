package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
)

// ordersSchema is the table of the benchmark: 12 columns, strings and numbers of low and of
// high cardinality.
func ordersSchema() *iceberg.Schema {
	fields := []iceberg.NestedField{
		{Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		{Name: "ordered_at", Type: iceberg.PrimitiveTypes.TimestampTz},
		{Name: "customer", Type: iceberg.PrimitiveTypes.Int64},
		{Name: "country", Type: iceberg.PrimitiveTypes.String},
		{Name: "city", Type: iceberg.PrimitiveTypes.String},
		{Name: "amount", Type: iceberg.DecimalTypeOf(12, 2)},
		{Name: "rate", Type: iceberg.PrimitiveTypes.Float64},
		{Name: "quantity", Type: iceberg.PrimitiveTypes.Int32},
		{Name: "paid", Type: iceberg.PrimitiveTypes.Bool},
		{Name: "due", Type: iceberg.PrimitiveTypes.Date},
		{Name: "status", Type: iceberg.PrimitiveTypes.String},
		{Name: "page", Type: iceberg.PrimitiveTypes.String},
	}
	for i := range fields {
		fields[i].ID = i + 1
	}
	return iceberg.NewSchema(0, fields...)
}

const microsPerDay = 86_400_000_000

// orders returns rows of ordersSchema in batches, their days shuffled; the same for the same
// arguments. Every hundredth row has no time, which makes one partition more than days.
func orders(rows, perBatch, days int) ([]arrow.RecordBatch, int64, error) {
	schema, err := arrowconv.ArrowSchema(ordersSchema())
	if err != nil {
		return nil, 0, err
	}
	rng := rand.New(rand.NewPCG(7, 11))
	var out []arrow.RecordBatch
	var size int64
	for done := 0; done < rows; {
		n := min(perBatch, rows-done)
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for i := range n {
			appendOrder(b, rng, int64(done+i), days)
		}
		rec := b.NewRecordBatch()
		b.Release()
		for _, c := range rec.Columns() {
			size += int64(c.Data().SizeInBytes())
		}
		out = append(out, rec)
		done += n
	}
	return out, size, nil
}

var statuses = []string{"open", "paid", "packed", "shipped", "delivered", "returned"}

func appendOrder(b *array.RecordBuilder, rng *rand.Rand, id int64, days int) {
	b.Field(0).(*array.Int64Builder).Append(id)
	day := rng.Int64N(int64(days))
	if id%100 == 99 {
		b.Field(1).AppendNull()
	} else {
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp((19_000+day)*microsPerDay + rng.Int64N(microsPerDay)))
	}
	b.Field(2).(*array.Int64Builder).Append(rng.Int64N(1_000_000))
	if rng.IntN(50) == 0 {
		b.Field(3).AppendNull()
	} else {
		b.Field(3).(*array.StringBuilder).Append(fmt.Sprintf("country-%02d", rng.IntN(60)))
	}
	b.Field(4).(*array.StringBuilder).Append(fmt.Sprintf("city of %d", rng.IntN(20_000)))
	b.Field(5).(*array.Decimal128Builder).Append(decimal128.FromI64(rng.Int64N(10_000_000)))
	b.Field(6).(*array.Float64Builder).Append(rng.Float64())
	b.Field(7).(*array.Int32Builder).Append(int32(rng.IntN(100)))
	b.Field(8).(*array.BooleanBuilder).Append(rng.IntN(4) != 0)
	b.Field(9).(*array.Date32Builder).Append(arrow.Date32(19_000 + day + rng.Int64N(30)))
	b.Field(10).(*array.StringBuilder).Append(statuses[rng.IntN(len(statuses))])
	b.Field(11).(*array.StringBuilder).Append(fmt.Sprintf("/shop/%d/item/%x", rng.IntN(500), rng.Uint32()))
}
