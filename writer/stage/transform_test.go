package stage

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/arrowconv"
)

// Every transform, over every type it takes, gives what iceberg-go gives value by value.
func TestTransformsAgreeWithIceberg(t *testing.T) {
	types := []iceberg.Type{
		iceberg.PrimitiveTypes.Bool, iceberg.PrimitiveTypes.Int32, iceberg.PrimitiveTypes.Int64,
		iceberg.PrimitiveTypes.Float32, iceberg.PrimitiveTypes.Float64, iceberg.DecimalTypeOf(9, 2), iceberg.DecimalTypeOf(38, 3),
		iceberg.PrimitiveTypes.Date, iceberg.PrimitiveTypes.Time, iceberg.PrimitiveTypes.Timestamp, iceberg.PrimitiveTypes.TimestampTz,
		iceberg.PrimitiveTypes.TimestampNs, iceberg.PrimitiveTypes.TimestampTzNs,
		iceberg.PrimitiveTypes.String, iceberg.PrimitiveTypes.Binary, iceberg.FixedTypeOf(4), iceberg.PrimitiveTypes.UUID,
	}
	transforms := []iceberg.Transform{
		iceberg.IdentityTransform{},
		iceberg.VoidTransform{},
		iceberg.YearTransform{},
		iceberg.MonthTransform{},
		iceberg.DayTransform{},
		iceberg.HourTransform{},
		iceberg.BucketTransform{NumBuckets: 1},
		iceberg.BucketTransform{NumBuckets: 16},
		iceberg.BucketTransform{NumBuckets: 1000},
		iceberg.TruncateTransform{Width: 1},
		iceberg.TruncateTransform{Width: 10},
		iceberg.TruncateTransform{Width: 997},
	}
	for _, typ := range types {
		for _, tr := range transforms {
			if !tr.CanTransform(typ) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", typ, tr), func(t *testing.T) {
				schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "v", Type: typ})
				tf, err := newTransformer(schema, 1, tr)
				if err != nil {
					t.Fatal(err)
				}
				rapid.Check(t, func(t *rapid.T) { checkTransform(t, tf, schema, typ, tr) })
			})
		}
	}
}

func checkTransform(t *rapid.T, tf *transformer, schema *iceberg.Schema, typ iceberg.Type, tr iceberg.Transform) {
	as, err := arrowconv.ArrowSchema(schema)
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, as)
	n := rapid.IntRange(1, 5).Draw(t, "rows")
	var want []any
	for range n {
		lit := drawLiteral(t, b.Field(0), typ)
		if lit == nil {
			want = append(want, nil)
			continue
		}
		if out := tr.Apply(iceberg.Optional[iceberg.Literal]{Valid: true, Val: lit}); out.Valid {
			want = append(want, out.Val.Any())
		} else {
			want = append(want, nil)
		}
	}
	rec := b.NewRecordBatch()
	got := tf.apply(rec)
	for i := range n {
		var v any
		switch {
		case got.null != nil && got.null[i]:
		case tf.wide:
			v = tf.value(0, got.texts[i])
		default:
			v = tf.value(got.words[i], nil)
		}
		if !sameValue(v, want[i]) {
			t.Fatalf("%s of %s: got %T %v, want %T %v", tr, rec.Column(0).ValueStr(i), v, v, want[i], want[i])
		}
	}
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case []byte:
		b, ok := b.([]byte)
		return ok && bytes.Equal(a, b)
	case float32:
		b, ok := b.(float32)
		return ok && (a == b || a != a && b != b)
	case float64:
		b, ok := b.(float64)
		return ok && (a == b || a != a && b != b)
	case iceberg.Decimal:
		b, ok := b.(iceberg.Decimal)
		return ok && a == b
	}
	return a == b
}

// drawLiteral appends a value, or a null, to b and returns it as a literal.
func drawLiteral(t *rapid.T, b array.Builder, typ iceberg.Type) iceberg.Literal {
	if rapid.IntRange(0, 9).Draw(t, "null") == 0 {
		b.AppendNull()
		return nil
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		v := rapid.Bool().Draw(t, "v")
		b.Append(v)
		return iceberg.NewLiteral(v)
	case *array.Int32Builder:
		v := rapid.Int32().Draw(t, "v")
		b.Append(v)
		return iceberg.NewLiteral(v)
	case *array.Int64Builder:
		v := rapid.Int64().Draw(t, "v")
		b.Append(v)
		return iceberg.NewLiteral(v)
	case *array.Float32Builder:
		v := rapid.OneOf(rapid.Float32(), rapid.Just(float32(math.NaN()))).Draw(t, "v")
		b.Append(v)
		return iceberg.NewLiteral(v)
	case *array.Float64Builder:
		v := rapid.OneOf(rapid.Float64(), rapid.Just(math.NaN())).Draw(t, "v")
		b.Append(v)
		return iceberg.NewLiteral(v)
	case *array.Decimal128Builder:
		dt := typ.(iceberg.DecimalType)
		v := decimal128.FromI64(int64(rapid.Int32Range(-999_999_999, 999_999_999).Draw(t, "v")))
		if dt.Precision() > 18 {
			v = v.Mul(decimal128.FromI64(rapid.Int64().Draw(t, "times")))
		}
		b.Append(v)
		return iceberg.NewLiteral(iceberg.Decimal{Val: v, Scale: dt.Scale()})
	case *array.Date32Builder:
		v := rapid.Int32Range(-1_000_000, 3_000_000).Draw(t, "v")
		b.Append(arrow.Date32(v))
		return iceberg.NewLiteral(iceberg.Date(v))
	case *array.Time64Builder:
		v := rapid.Int64Range(0, microsPerDay-1).Draw(t, "v")
		b.Append(arrow.Time64(v))
		return iceberg.NewLiteral(iceberg.Time(v))
	case *array.TimestampBuilder:
		v := rapid.Int64Range(-1<<60, 1<<60).Draw(t, "v")
		switch typ.(type) {
		case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
			b.Append(arrow.Timestamp(v))
			return iceberg.NewLiteral(iceberg.TimestampNano(v))
		}
		v /= 10 // years that fit a time.Time
		b.Append(arrow.Timestamp(v))
		return iceberg.NewLiteral(iceberg.Timestamp(v))
	case *array.StringBuilder:
		v := rapid.String().Draw(t, "v")
		b.Append(v)
		return iceberg.NewLiteral(v)
	case *array.BinaryBuilder:
		v := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "v")
		b.Append(v)
		return iceberg.NewLiteral(v)
	case *array.FixedSizeBinaryBuilder:
		v := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v")
		b.Append(v)
		lit, err := iceberg.NewLiteral(v).To(typ)
		if err != nil {
			t.Fatal(err)
		}
		return lit
	case *extensions.UUIDBuilder:
		v := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v"))
		b.Append(v)
		return iceberg.NewLiteral(v)
	}
	panic(fmt.Sprintf("no literal for %T", b))
}

func TestFieldsInStructsArePartitionSources(t *testing.T) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "st", Type: &iceberg.StructType{FieldList: []iceberg.NestedField{
		{ID: 2, Name: "other", Type: iceberg.PrimitiveTypes.Int64}, {ID: 3, Name: "v", Type: iceberg.PrimitiveTypes.Int64},
	}}})
	tf, err := newTransformer(schema, 3, iceberg.IdentityTransform{})
	if err != nil {
		t.Fatal(err)
	}
	as, err := arrowconv.ArrowSchema(schema)
	if err != nil {
		t.Fatal(err)
	}
	vals := array.NewInt64Builder(memory.DefaultAllocator)
	vals.AppendValues([]int64{0, 10, 20, 30}, []bool{true, true, false, true})
	field := vals.NewArray()
	// Row 1 is a null struct whose field has a value all the same.
	st, err := array.NewStructArrayWithFieldsAndNulls([]arrow.Array{field, field},
		as.Field(0).Type.(*arrow.StructType).Fields(), memory.NewBufferBytes([]byte{0b1101}), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	rec := array.NewRecordBatch(as, []arrow.Array{st}, 4)
	v := tf.apply(rec)
	for i, want := range []any{int64(0), nil, nil, int64(30)} {
		var got any
		if !v.null[i] {
			got = v.words[i]
		}
		if got != want {
			t.Errorf("row %d: %v, want %v", i, got, want)
		}
	}
}
