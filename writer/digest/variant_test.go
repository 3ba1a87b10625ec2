package digest

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/variant"
	"github.com/apache/iceberg-go"
)

// A variant's digest is that of its value: whoever wrote it, in whatever order of keys, shredded or not.
func TestVariantsHaveTheDigestOfTheirValue(t *testing.T) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "v", Type: iceberg.VariantType{}})
	h, err := NewHasher(schema)
	if err != nil {
		t.Fatal(err)
	}
	whole := extensions.NewDefaultVariantType()
	shredded := extensions.NewShreddedVariantType(arrow.StructOf(arrow.Field{Name: "b", Type: arrow.PrimitiveTypes.Int64}))
	sum := func(dt *extensions.VariantType, json string) Sum {
		t.Helper()
		b := extensions.NewVariantBuilder(memory.DefaultAllocator, dt)
		defer b.Release()
		if json == "" {
			b.AppendNull()
		} else {
			v, err := variant.ParseJSON(json, false)
			if err != nil {
				t.Fatal(err)
			}
			b.Append(v)
		}
		a := b.NewArray()
		defer a.Release()
		rec := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "v", Type: dt, Nullable: true}}, nil), []arrow.Array{a}, 1)
		defer rec.Release()
		return h.Sum(rec)
	}
	same := [][]string{
		{`{"a": [1, 2.50], "b": 7}`, `{"b": 7.0, "a": [1.0, 2.5]}`, `{"b":7,"a":[1,2.5]}`},
		{`null`, ``},
		{`"text"`, `"t\u0065xt"`},
		{`{"a": null}`},
		{`[]`},
		{`{}`},
		{`""`},
		{`0`},
		{`false`},
		{`[0]`},
		{`[[0]]`},
		{`[1, 2]`},
		{`[2, 1]`},
		{`{"b": 8, "a": [1, 2.5]}`},
		{`{"a": 1}`},
		{`{"b": 1}`},
		{`"1"`},
		{`1`},
	}
	seen := map[Sum]string{}
	for _, group := range same {
		first := sum(whole, group[0])
		if other, twice := seen[first]; twice {
			t.Errorf("%s has the digest of %s", group[0], other)
		}
		seen[first] = group[0]
		for _, json := range group {
			for _, dt := range []*extensions.VariantType{whole, shredded} {
				if got := sum(dt, json); got != first {
					t.Errorf("%s as %s has another digest than %s", json, dt.StorageType(), group[0])
				}
			}
		}
	}
}
