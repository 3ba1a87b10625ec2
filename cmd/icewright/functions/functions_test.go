package functions_test // not functions: with the imports of a test in it, it would no longer be the first

import (
	"math"
	"os"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/compute/exprs"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table/substrait"
	"github.com/substrait-io/substrait-go/v8/extensions"

	_ "github.com/icewright/icewright/cmd/icewright/functions"
)

// Nobody has read Substrait's own files: ours came first.
func TestOursCameFirst(t *testing.T) {
	all := extensions.GetDefaultCollectionWithNoError()
	const urn = extensions.SubstraitDefaultURNPrefix
	if all.URNLoaded(urn + "functions_datetime") {
		t.Error("Substrait's files were read before ours took their place")
	}
	files, err := os.ReadDir("extensions")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		name := f.Name()[:len(f.Name())-len(".yaml")]
		if !all.URNLoaded(urn + name) {
			t.Errorf("%s was not read", f.Name())
		}
	}
}

// types are those that a predicate can be about, with a value that fits.
var types = []struct {
	typ   iceberg.Type
	value iceberg.Literal
}{
	{iceberg.PrimitiveTypes.Bool, iceberg.NewLiteral(true)},
	{iceberg.PrimitiveTypes.Int32, iceberg.NewLiteral(int32(7))},
	{iceberg.PrimitiveTypes.Int64, iceberg.NewLiteral(int64(7))},
	{iceberg.PrimitiveTypes.Float32, iceberg.NewLiteral(float32(7))},
	{iceberg.PrimitiveTypes.Float64, iceberg.NewLiteral(7.0)},
	{iceberg.PrimitiveTypes.String, iceberg.NewLiteral("seven")},
	{iceberg.PrimitiveTypes.Date, iceberg.NewLiteral(iceberg.Date(7))},
	{iceberg.PrimitiveTypes.Time, iceberg.NewLiteral(iceberg.Time(7))},
	{iceberg.PrimitiveTypes.Timestamp, iceberg.NewLiteral(iceberg.Timestamp(7))},
	{iceberg.PrimitiveTypes.TimestampTz, iceberg.NewLiteral(iceberg.Timestamp(7))},
	{iceberg.PrimitiveTypes.Binary, iceberg.NewLiteral([]byte("seven"))},
	{iceberg.DecimalTypeOf(9, 2), iceberg.NewLiteral(iceberg.Decimal{Scale: 2})},
}

// predicates are all that iceberg-go has of a term and a value.
func predicates(of iceberg.Reference, typ iceberg.Type, value iceberg.Literal) map[string]iceberg.BooleanExpression {
	p := map[string]iceberg.BooleanExpression{
		"is null":     iceberg.IsNull(of),
		"is not null": iceberg.NotNull(of),
	}
	for name, op := range map[string]iceberg.Operation{
		"=": iceberg.OpEQ, "!=": iceberg.OpNEQ, "<": iceberg.OpLT, "<=": iceberg.OpLTEQ, ">": iceberg.OpGT, ">=": iceberg.OpGTEQ,
	} {
		p[name] = iceberg.LiteralPredicate(op, of, value)
	}
	switch typ.(type) {
	case iceberg.Float32Type, iceberg.Float64Type:
		p["is nan"], p["is not nan"] = iceberg.IsNaN(of), iceberg.NotNaN(of)
	case iceberg.StringType:
		p["starts with"], p["does not start with"] = iceberg.StartsWith(of, "se"), iceberg.NotStartsWith(of, "se")
		p["in"], p["not in"] = iceberg.IsIn(of, "six", "seven"), iceberg.NotIn(of, "six", "seven")
	case iceberg.Int64Type:
		p["in"], p["not in"] = iceberg.IsIn(of, int64(6), int64(7)), iceberg.NotIn(of, int64(6), int64(7))
	}
	return p
}

// The functions are all that iceberg-go's predicates need, for columns of every type.
func TestEveryPredicateIsThere(t *testing.T) {
	for _, c := range types {
		schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "x", Type: c.typ})
		var any, all iceberg.BooleanExpression = iceberg.AlwaysFalse{}, iceberg.AlwaysTrue{}
		ps := predicates("x", c.typ, c.value)
		for _, p := range ps {
			any, all = iceberg.NewOr(any, p), iceberg.NewAnd(all, iceberg.NewNot(p))
		}
		ps["any"], ps["all"] = any, all
		for name, p := range ps {
			bound, err := iceberg.BindExpr(schema, p, true)
			if err != nil {
				t.Fatalf("%s: %s: %v", c.typ, name, err)
			}
			if _, _, err := substrait.ConvertExpr(schema, bound, true); err != nil {
				t.Errorf("%s: %s: %v", c.typ, name, err)
			}
		}
	}
}

// row is a row of the table below.
type row []any

func (r row) Size() int        { return len(r) }
func (r row) Get(i int) any    { return r[i] }
func (r row) Set(i int, v any) { r[i] = v }

// What Arrow makes of them row by row is what the predicates say.
func TestPredicatesMatchRows(t *testing.T) {
	schema := iceberg.NewSchema(
		0,
		iceberg.NestedField{ID: 1, Name: "n", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 2, Name: "f", Type: iceberg.PrimitiveTypes.Float64},
		iceberg.NestedField{ID: 3, Name: "s", Type: iceberg.PrimitiveTypes.String},
	)
	as := arrow.NewSchema([]arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "f", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil)
	rows := []row{
		{int64(6), 6.5, "six"}, {int64(7), 7.0, "seven"}, {int64(8), math.NaN(), "eight"}, {nil, nil, nil}, {int64(-7), math.Inf(1), ""},
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, as)
	defer b.Release()
	for _, r := range rows {
		for i, v := range r {
			switch v := v.(type) {
			case nil:
				b.Field(i).AppendNull()
			case int64:
				b.Field(i).(*array.Int64Builder).Append(v)
			case float64:
				b.Field(i).(*array.Float64Builder).Append(v)
			case string:
				b.Field(i).(*array.StringBuilder).Append(v)
			}
		}
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	for _, f := range schema.Fields() {
		value := iceberg.NewLiteral(int64(7))
		switch f.Type.(type) {
		case iceberg.Float64Type:
			value = iceberg.NewLiteral(7.0)
		case iceberg.StringType:
			value = iceberg.NewLiteral("seven")
		}
		for name, p := range predicates(iceberg.Reference(f.Name), f.Type, value) {
			if name == "starts with" || name == "does not start with" {
				continue // arrow-go has no such kernel
			}
			bound, err := iceberg.BindExpr(schema, p, true)
			if err != nil {
				t.Fatal(err)
			}
			reg, e, err := substrait.ConvertExpr(schema, bound, true)
			if err != nil {
				t.Fatalf("%s %s: %v", f.Name, name, err)
			}
			ctx := exprs.WithExtensionIDSet(t.Context(), exprs.NewExtensionSetDefault(*reg))
			got, err := exprs.ExecuteScalarExpression(ctx, as, e, compute.NewDatumWithoutOwning(batch))
			if err != nil {
				t.Fatalf("%s %s: %v", f.Name, name, err)
			}
			verdicts := got.(*compute.ArrayDatum).MakeArray().(*array.Boolean)
			for i, r := range rows {
				if r[f.ID-1] == nil && name != "is null" && name != "is not null" {
					continue // SQL's null is no verdict
				}
				want := map[string]bool{}
				switch v := r[f.ID-1].(type) {
				case int64:
					want = map[string]bool{"=": v == 7, "!=": v != 7, "<": v < 7, "<=": v <= 7, ">": v > 7, ">=": v >= 7, "in": v == 6 || v == 7, "not in": v != 6 && v != 7}
				case float64:
					want = map[string]bool{"=": v == 7, "!=": v != 7, "<": v < 7, "<=": v <= 7, ">": v > 7, ">=": v >= 7, "is nan": v != v, "is not nan": v == v}
				case string:
					want = map[string]bool{
						"=": v == "seven", "!=": v != "seven", "<": v < "seven", "<=": v <= "seven", ">": v > "seven", ">=": v >= "seven",
						"in": v == "six" || v == "seven", "not in": v != "six" && v != "seven",
					}
				}
				want["is null"], want["is not null"] = r[f.ID-1] == nil, r[f.ID-1] != nil
				if w, ok := want[name]; !ok {
					t.Fatalf("%s %s: no such case", f.Name, name)
				} else if verdicts.Value(i) != w {
					t.Errorf("%v: %s %s %s: got %v, want %v", r, f.Name, name, value, verdicts.Value(i), w)
				}
			}
			got.Release()
		}
	}
}
