package catalog

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/internal/gendoc"
)

// The document's table has what the code allows, and every pair of types that is not in it is refused.
func TestDocsPromotions(t *testing.T) {
	var rows [][]string
	for _, p := range Promotions {
		if err := Promote(p.From, p.To, p.Version); err != nil {
			t.Errorf("%s to %s: %v", p.From, p.To, err)
		}
		since := "any"
		if p.Version > 1 {
			since = strconv.Itoa(p.Version) + " on"
			if err := Promote(p.From, p.To, p.Version-1); !errors.Is(err, ErrSchema) {
				t.Errorf("%s to %s under version %d: %v", p.From, p.To, p.Version-1, err)
			}
		}
		rows = append(rows, []string{"`" + p.From.String() + "`", "`" + p.To.String() + "`", since, p.Note})
	}
	gendoc.Check(t, "docs/schema.md", "promotions", gendoc.Table([]string{"from", "to", "format version", ""}, rows...))

	types := []iceberg.Type{
		iceberg.PrimitiveTypes.Bool, iceberg.PrimitiveTypes.Int32, iceberg.PrimitiveTypes.Int64, iceberg.PrimitiveTypes.Float32,
		iceberg.PrimitiveTypes.Float64, iceberg.PrimitiveTypes.Date, iceberg.PrimitiveTypes.Time, iceberg.PrimitiveTypes.Timestamp,
		iceberg.PrimitiveTypes.TimestampTz, iceberg.PrimitiveTypes.TimestampNs, iceberg.PrimitiveTypes.TimestampTzNs,
		iceberg.PrimitiveTypes.String, iceberg.PrimitiveTypes.Binary, iceberg.PrimitiveTypes.UUID, iceberg.FixedTypeOf(16),
		iceberg.DecimalTypeOf(10, 2), iceberg.DecimalTypeOf(12, 2), iceberg.DecimalTypeOf(12, 3),
		&iceberg.ListType{ElementID: 2, Element: iceberg.PrimitiveTypes.Int32},
	}
	for _, from := range types {
		for _, to := range types {
			listed := from.Equals(to)
			for _, p := range Promotions {
				listed = listed || p.From.Equals(from) && p.To.Equals(to)
			}
			err := Promote(from, to, 3)
			if listed != (err == nil) {
				t.Errorf("%s to %s: %v", from, to, err)
			}
			if err != nil && (!errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), typeText(from)+" to "+typeText(to))) {
				t.Errorf("%s to %s: the error names not both: %v", from, to, err)
			}
		}
	}
}

// What would move rows to another partition than their files is refused.
func TestPromotePartitionSource(t *testing.T) {
	date, ts := iceberg.PrimitiveTypes.Date, iceberg.PrimitiveTypes.Timestamp
	for _, tr := range []iceberg.Transform{iceberg.DayTransform{}, iceberg.MonthTransform{}, iceberg.YearTransform{}, iceberg.VoidTransform{}} {
		if err := Promote(date, ts, 3, tr); err != nil {
			t.Errorf("%s: %v", tr, err)
		}
	}
	for _, tr := range []iceberg.Transform{iceberg.IdentityTransform{}, iceberg.BucketTransform{NumBuckets: 4}} {
		if err := Promote(date, ts, 3, iceberg.DayTransform{}, tr); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), tr.String()) {
			t.Errorf("%s: %v", tr, err)
		}
		if err := Promote(iceberg.PrimitiveTypes.Int32, iceberg.PrimitiveTypes.Int64, 1, tr); err != nil {
			t.Errorf("int to long under %s: %v", tr, err)
		}
	}
	// The transforms that the checks above stand for really give the same values, or not.
	day, midnight := iceberg.DateLiteral(19737), iceberg.TimestampLiteral(19737*86400*1e6)
	for tr, same := range map[iceberg.Transform]bool{
		iceberg.DayTransform{}: true, iceberg.MonthTransform{}: true, iceberg.YearTransform{}: true, iceberg.BucketTransform{NumBuckets: 1 << 20}: false,
	} {
		a := tr.Apply(iceberg.Optional[iceberg.Literal]{Val: day, Valid: true})
		b := tr.Apply(iceberg.Optional[iceberg.Literal]{Val: midnight, Valid: true})
		if (a.Val.String() == b.Val.String()) != same {
			t.Errorf("%s: %s and %s", tr, a.Val, b.Val)
		}
	}
}
