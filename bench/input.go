package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
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
			id := int64(done + i)
			day := rng.Int64N(int64(days))
			var at arrow.Timestamp
			timed := id%100 != 99
			if timed {
				at = arrow.Timestamp((19_000+day)*microsPerDay + rng.Int64N(microsPerDay))
			}
			appendOrder(b, rng, id, day, at, timed)
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

// rows is a Parquet file of ordersSchema's columns, all of them optional, that contestants load and merge. The row with an
// id is the same in every file with the same Change, so that files with ids in common have rows in common.
type rows struct {
	First, Count int64
	// Every is the distance of two ids. The default, 0, is 1.
	Every int64
	// New are further rows, with the ids that follow Above.
	New, Above int64
	// Change makes other rows of the same ids.
	Change uint64
	// PerDay has the rows come in the order of their times, this many each day. The default, 0, shuffles 30 days.
	PerDay int64
}

func (r rows) name() string {
	return fmt.Sprintf("rows-%d-%d-%d-%d-%d-%d-%d.parquet", r.First, r.Count, max(r.Every, 1), r.New, r.Above, r.Change, r.PerDay)
}

// scaled is a share of the rows, with the same relations between them.
func (r rows) scaled(by float64) rows {
	for _, n := range []*int64{&r.First, &r.Count, &r.New, &r.Above, &r.PerDay} {
		*n = int64(float64(*n) * by)
	}
	return r
}

func (r rows) id(i int64) int64 {
	if i < r.Count {
		return r.First + i*max(r.Every, 1)
	}
	return r.Above + i - r.Count
}

func (r rows) write(path string) error {
	fields := ordersSchema().Fields()
	for i := range fields {
		fields[i].Required = false
	}
	schema, err := arrowconv.ArrowSchema(iceberg.NewSchema(0, fields...))
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w, err := pqarrow.NewFileWriter(schema, f, parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd)), pqarrow.DefaultWriterProps())
	if err != nil {
		return errors.Join(err, f.Close())
	}
	seed := rand.NewPCG(0, 0)
	rng := rand.New(seed)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	const perBatch = 65_536
	for done := int64(0); done < r.Count+r.New; {
		n := min(perBatch, r.Count+r.New-done)
		for i := range n {
			id := r.id(done + i)
			seed.Seed(uint64(id), r.Change)
			day, within := rng.Int64N(30), rng.Int64N(microsPerDay)
			if r.PerDay > 0 {
				day, within = id/r.PerDay, id%r.PerDay*microsPerDay/r.PerDay
			}
			appendOrder(b, rng, id, day, arrow.Timestamp((19_000+day)*microsPerDay+within), true)
		}
		rec := b.NewRecordBatch()
		err := w.WriteBuffered(rec)
		rec.Release()
		if err != nil {
			return errors.Join(err, w.Close())
		}
		done += n
		if done/1_000_000 != (done-n)/1_000_000 {
			w.NewBufferedRowGroup() // of about a million rows
		}
	}
	return w.Close() // and the file with it
}

var statuses = []string{"open", "paid", "packed", "shipped", "delivered", "returned"}

// appendOrder appends a row of a day, and of a time where it has one.
func appendOrder(b *array.RecordBuilder, rng *rand.Rand, id, day int64, at arrow.Timestamp, timed bool) {
	b.Field(0).(*array.Int64Builder).Append(id)
	if timed {
		b.Field(1).(*array.TimestampBuilder).Append(at)
	} else {
		b.Field(1).AppendNull()
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
