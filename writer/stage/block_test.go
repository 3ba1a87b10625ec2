package stage

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/catalog"
)

// Columns of a block lie side by side in one piece of memory, and texts are copied a little further than they go: no value may
// end up in another's place, however long texts are against what was expected of them.
func TestBlocksKeepValuesApart(t *testing.T) {
	types := []arrow.DataType{arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String}
	rapid.Check(t, func(t *rapid.T) {
		fields := make([]arrow.Field, len(types))
		ls := make([]*layout, len(types))
		for i, typ := range types {
			fields[i] = arrow.Field{Name: "c", Type: typ, Nullable: true}
			var err error
			ls[i], err = newLayout(typ)
			if err != nil {
				t.Fatal(err)
			}
		}
		schema := arrow.NewSchema(fields, nil)
		pool := newBlocks(ls, 1<<20)
		var b *block
		var want []string
		for range rapid.IntRange(1, 4).Draw(t, "batches") {
			rec := blockBatch(t, schema)
			pool.expect(rec)
			if b == nil || b.n == b.room {
				b, want = pool.take(0), nil
			}
			rows := rapid.SliceOfNDistinct(rapid.Int32Range(0, int32(rec.NumRows())-1), 1, min(b.room-b.n, int(rec.NumRows())), rapid.ID).Draw(t, "rows")
			slices.Sort(rows)
			for i := range b.cols {
				d := rec.Column(i).Data()
				b.cols[i].gather(d, d.Offset(), rows)
			}
			b.n += len(rows)
			b.measure(pool.overhead)
			for _, r := range rows {
				want = append(want, rowText(rec, int(r)))
			}
			got := arrowBatch(schema, b.cols, b.n)
			for i := range want {
				if row := rowText(got, i); row != want[i] {
					t.Fatalf("row %d is %s, want %s", i, row, want[i])
				}
			}
			got.Release()
			rec.Release()
			held := int64(0)
			for i := range b.cols {
				held += b.cols[i].size()
			}
			if b.capacity < held {
				t.Fatalf("capacity %d, but %d bytes of values", b.capacity, held)
			}
		}
	})
}

func blockBatch(t *rapid.T, schema *arrow.Schema) arrow.RecordBatch {
	build := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer build.Release()
	for i, n := 0, rapid.IntRange(1, 90).Draw(t, "n"); i < n; i++ {
		for c := range schema.NumFields() {
			switch f := build.Field(c).(type) {
			case *array.StringBuilder:
				length := rapid.SampledFrom([]int{0, 1, 15, 16, 17, 47, 48, 49, 300}).Draw(t, "length")
				f.Append(strings.Repeat(string(rune('a'+(i+c)%26)), length))
			case *array.Int32Builder:
				f.Append(int32(i * 7919))
			case *array.Int64Builder:
				f.Append(int64(i) * 104729)
			}
		}
	}
	return build.NewRecordBatch()
}

func rowText(rec arrow.RecordBatch, i int) string {
	var out bytes.Buffer
	for _, c := range rec.Columns() {
		out.WriteString(c.ValueStr(i))
		out.WriteByte('|')
	}
	return out.String()
}

// Workers share the partitions of a batch, and one of them may get a single partition: the batch is not all that partition's.
func TestOnePartitionForAWorker(t *testing.T) {
	for workers := 1; workers <= 4; workers++ {
		w := newWorld(t, catalog.TableSpec{
			Schema:      schemaOf(iceberg.NestedField{Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true}),
			PartitionBy: "truncate(1000000, id)",
		})
		b := array.NewInt64Builder(w.alloc)
		for row := range 3 * 2 * rowsPerLane {
			b.Append(int64(row%3*1_000_000 + row))
		}
		ids := b.NewArray()
		b.Release()
		rec := array.NewRecordBatch(w.arrow, []arrow.Array{ids}, int64(ids.Len()))
		ids.Release()
		got, _ := w.scan(w.commit(w.stage(Options{Workers: workers}, rec)))
		if d := cmp.Diff(rows(rec), got); d != "" {
			t.Errorf("%d workers: rows differ (-in +scanned):\n%.2000s", workers, d)
		}
		rec.Release()
	}
}
