package stage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/digest"
)

// Variants, in columns and in structs, come back whatever way they took: partitioned, sorted, spilled. The
// digest that staging adds up is that of a scan, and manifests count them without bounds.
func TestVariantsComeBack(t *testing.T) {
	schema := schemaOf(
		iceberg.NestedField{Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{Name: "v", Type: iceberg.VariantType{}},
		iceberg.NestedField{Name: "must", Type: iceberg.VariantType{}, Required: true},
		iceberg.NestedField{Name: "s", Type: &iceberg.StructType{FieldList: []iceberg.NestedField{
			{ID: 101, Name: "x", Type: iceberg.VariantType{}}, {ID: 102, Name: "n", Type: iceberg.PrimitiveTypes.Int32},
		}}},
		iceberg.NestedField{Name: "late", Type: iceberg.PrimitiveTypes.String},
	)
	var in strings.Builder
	nulls := 0
	for i := range 500 {
		fmt.Fprintf(&in, `{"id": %d, "late": "%d", "must": [%d]`, i, i%7, i)
		switch i % 5 {
		case 0:
			in.WriteString(`, "v": null`)
			nulls++
		case 1:
			fmt.Fprintf(&in, `, "v": {"n": %d, "text": "%s", "of %d": [1.5, null]}, "s": {"x": {"k": %d}}`, i*i, strings.Repeat("x", i%90), i, i)
		case 2:
			fmt.Fprintf(&in, `, "v": "%s", "s": null`, strings.Repeat("y", i%70))
		case 3:
			fmt.Fprintf(&in, `, "v": %d.25, "s": {"n": %d}`, i, i)
		default:
			nulls++
		}
		in.WriteString("}\n")
	}
	for name, spec := range map[string]catalog.TableSpec{
		"plain":       {},
		"partitioned": {PartitionBy: "late"},
		"sorted":      {PartitionBy: "truncate(3, id)", SortBy: "late desc, id"},
	} {
		t.Run(name, func(t *testing.T) {
			spec.Schema, spec.FormatVersion = schema, 3
			w := newWorld(t, spec)
			var recs []arrow.RecordBatch
			source := arrowconv.Input{Name: "in.ndjson", Reader: strings.NewReader(in.String())}
			for b, err := range arrowconv.Read(context.Background(), source, w.tbl.Schema(), arrowconv.Options{ChunkBytes: 8 << 10, Alloc: w.alloc}) {
				if err != nil {
					t.Fatal(err)
				}
				recs = append(recs, b.RecordBatch)
			}
			defer release(recs)
			want := rows(recs...)
			res := w.stage(Options{}, recs...)
			spilled := w.forceSpill(Options{Workers: 1}, recs...)
			if res.Digest != spilled.Digest {
				t.Errorf("digest %v, %v when all is spilled", res.Digest, spilled.Digest)
			}
			for _, res := range []*Result{res, spilled} {
				var counted, null, value int64
				for _, f := range res.Files {
					counted, null = counted+f.ValueCounts()[2], null+f.NullValueCounts()[2]
					if f.LowerBoundValues()[2] != nil || f.UpperBoundValues()[3] != nil || f.LowerBoundValues()[101] != nil {
						t.Error("a variant has bounds")
					}
					value += f.ColumnSizes()[3]
				}
				if counted != 500 || null != int64(nulls) || value == 0 {
					t.Errorf("%d values, %d nulls, %d bytes; want 500 and %d", counted, null, value, nulls)
				}
			}
			// iceberg-go's own transaction wants row ids that its manifest lists give, so none is used.
			var tasks []table.FileScanTask
			for _, f := range res.Files {
				tasks = append(tasks, table.FileScanTask{File: f.DataFile, Length: f.FileSizeBytes()})
			}
			_, seq, err := w.tbl.Scan().ReadTasks(t.Context(), tasks)
			if err != nil {
				t.Fatal(err)
			}
			h, err := digest.NewHasher(w.tbl.Schema())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			var sum digest.Sum
			for rec, err := range seq {
				if err != nil {
					t.Fatal(err)
				}
				got, sum = append(got, rows(rec)...), sum.Add(h.Sum(rec))
				rec.Release()
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%d rows come back, of %d, or other ones:\n%s\n%s", len(got), len(want), got[0], want[0])
			}
			if sum != res.Digest {
				t.Errorf("digest %v, a scan has %v", res.Digest, sum)
			}
		})
	}
}
