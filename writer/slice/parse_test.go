package slice

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/cockroachdb/datadriven"
)

// wide has a column of every type.
func wide() *iceberg.Schema {
	p := iceberg.PrimitiveTypes
	return iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: p.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "n", Type: p.Int32},
		iceberg.NestedField{ID: 3, Name: "ok", Type: p.Bool},
		iceberg.NestedField{ID: 4, Name: "f", Type: p.Float32},
		iceberg.NestedField{ID: 5, Name: "d", Type: p.Float64},
		iceberg.NestedField{ID: 6, Name: "amount", Type: iceberg.DecimalTypeOf(10, 2)},
		iceberg.NestedField{ID: 7, Name: "event_date", Type: p.Date},
		iceberg.NestedField{ID: 8, Name: "at", Type: p.Time},
		iceberg.NestedField{ID: 9, Name: "ts", Type: p.Timestamp},
		iceberg.NestedField{ID: 10, Name: "tz", Type: p.TimestampTz},
		iceberg.NestedField{ID: 11, Name: "ns", Type: p.TimestampNs},
		iceberg.NestedField{ID: 12, Name: "region", Type: p.String},
		iceberg.NestedField{ID: 13, Name: "u", Type: p.UUID},
		iceberg.NestedField{ID: 14, Name: "b", Type: p.Binary},
		iceberg.NestedField{ID: 15, Name: "fx", Type: iceberg.FixedTypeOf(2)},
		iceberg.NestedField{ID: 16, Name: "odd name", Type: p.String},
		iceberg.NestedField{ID: 17, Name: "in", Type: p.Int32},
		iceberg.NestedField{ID: 18, Name: "geo", Type: &iceberg.StructType{FieldList: []iceberg.NestedField{
			{ID: 19, Name: "country", Type: p.String},
			{ID: 20, Name: "x y", Type: p.Int32},
		}}},
		iceberg.NestedField{ID: 21, Name: "tags", Type: &iceberg.ListType{ElementID: 22, Element: p.String}},
		iceberg.NestedField{ID: 23, Name: "tzns", Type: p.TimestampTzNs},
	)
}

func field(id, source int, name string, t iceberg.Transform) iceberg.PartitionField {
	return iceberg.PartitionField{SourceIDs: []int{source}, FieldID: id, Name: name, Transform: t}
}

func wideSpec() iceberg.PartitionSpec {
	return iceberg.NewPartitionSpecID(3,
		field(1000, 9, "ts_day", iceberg.DayTransform{}),
		field(1001, 1, "id_bucket", iceberg.BucketTransform{NumBuckets: 16}),
		field(1002, 12, "region_trunc", iceberg.TruncateTransform{Width: 2}),
		field(1003, 10, "tz_hour", iceberg.HourTransform{}),
		field(1004, 7, "month", iceberg.MonthTransform{}),
		field(1005, 9, "ts_year", iceberg.YearTransform{}),
		field(1006, 2, "n_trunc", iceberg.TruncateTransform{Width: 10}),
		field(1007, 6, "amount_trunc", iceberg.TruncateTransform{Width: 50}),
		field(1008, 12, "gone", iceberg.VoidTransform{}),
		field(1009, 12, "id", iceberg.IdentityTransform{}), // hidden by the column
	)
}

// TestParse: what expressions mean, in the canonical form, and how mistakes are told.
func TestParse(t *testing.T) {
	datadriven.RunTest(t, "testdata/parse", func(t *testing.T, d *datadriven.TestData) string {
		zone := time.UTC
		if d.HasArg("zone") {
			var name string
			d.ScanArgs(t, "zone", &name)
			offset, err := time.ParseDuration(name)
			if err != nil {
				t.Fatal(err)
			}
			zone = time.FixedZone(name, int(offset.Seconds()))
		}
		var out strings.Builder
		for expr := range strings.Lines(d.Input) {
			expr = strings.TrimSuffix(expr, "\n")
			s, err := Parse(expr, wide(), zone, wideSpec())
			if err != nil {
				if !errors.Is(err, ErrSlice) {
					t.Errorf("%s: %v is no ErrSlice", expr, err)
				}
				var e *Error
				errors.As(err, &e)
				fmt.Fprintln(&out, err)
				if e.Hint() != "" {
					fmt.Fprintln(&out, "  hint: "+e.Hint())
				}
				continue
			}
			fmt.Fprintln(&out, s)
			again, err := Parse(s.String(), wide(), nil)
			if err != nil {
				t.Errorf("%s: its canonical form: %v", expr, err)
			} else if again.String() != s.String() {
				t.Errorf("%s: its canonical form %s is read as %s", expr, s, again)
			}
		}
		return out.String()
	})
}
