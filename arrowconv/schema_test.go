package arrowconv

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// TestSchemaFiles runs testdata/schema: "parse" prints the schema of a file, with ids, and the YAML
// that it goes back to; "type" prints a type as we spell it.
func TestSchemaFiles(t *testing.T) {
	datadriven.Walk(t, "testdata/schema", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "type" {
				var b strings.Builder
				for _, line := range strings.Split(d.Input, "\n") {
					of, err := ParseType(line)
					if err != nil {
						b.WriteString(csvStoryError(err))
						continue
					}
					fmt.Fprintln(&b, FormatType(of))
				}
				return b.String()
			}
			s, err := ParseSchema("schema.yaml", []byte(d.Input))
			if err != nil {
				return csvStoryError(err)
			}
			var b strings.Builder
			for _, f := range s.Fields() {
				fmt.Fprintln(&b, f)
			}
			yaml := SchemaYAML(s)
			back, err := ParseSchema("back.yaml", []byte(yaml))
			if err != nil || SchemaYAML(back) != yaml {
				t.Errorf("%s\ndoes not read back: %v", yaml, err)
			}
			return b.String() + yaml
		})
	})
}

// anyType draws a type of at most the given depth, its nested fields without ids.
func anyType(r *rapid.T, depth int) iceberg.Type {
	kinds := 4
	if depth == 0 {
		kinds = 2
	}
	switch rapid.IntRange(0, kinds).Draw(r, "kind") {
	case 0:
		p := rapid.IntRange(1, 38).Draw(r, "precision")
		return iceberg.DecimalTypeOf(p, rapid.IntRange(0, p).Draw(r, "scale"))
	case 1:
		return iceberg.FixedTypeOf(rapid.IntRange(1, 100).Draw(r, "length"))
	case 2:
		return rapid.SampledFrom([]iceberg.Type{
			iceberg.PrimitiveTypes.Bool, iceberg.PrimitiveTypes.Int64, iceberg.PrimitiveTypes.TimestampTz,
			iceberg.PrimitiveTypes.UUID,
			iceberg.TimestampNsType{},
		}).Draw(r, "type")
	case 3:
		return &iceberg.ListType{Element: anyType(r, depth-1), ElementRequired: rapid.Bool().Draw(r, "required")}
	default:
		if rapid.Bool().Draw(r, "map") {
			return &iceberg.MapType{
				KeyType: anyType(r, depth-1), ValueType: anyType(r, depth-1), ValueRequired: rapid.Bool().Draw(r, "required"),
			}
		}
		s := &iceberg.StructType{}
		for _, name := range rapid.SliceOfNDistinct(anyName, 1, 3, rapid.ID).Draw(r, "names") {
			s.FieldList = append(s.FieldList, iceberg.NestedField{
				Name: name, Type: anyType(r, depth-1), Required: rapid.Bool().Draw(r, "required"),
			})
		}
		return s
	}
}

var anyName = rapid.OneOf(rapid.StringMatching(`[a-z_]{1,8}`), rapid.StringN(1, 8, 16),
	rapid.SampledFrom([]string{"a b", "null", "yes", "1", "a: b", "a<b", "#", `"`, "é", "-", "~", "a\nb", "x!", "0x1", ".5"}))

// TestSchemasReadBack: what SchemaYAML writes is the same schema, ids apart.
func TestSchemasReadBack(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var fields []iceberg.NestedField
		for _, name := range rapid.SliceOfNDistinct(anyName, 1, 4, rapid.ID).Draw(r, "names") {
			fields = append(fields, iceberg.NestedField{
				Name: name, Type: anyType(r, 2), Required: rapid.Bool().Draw(r, "required"),
			})
		}
		want, err := freshIDs(fields)
		if err != nil {
			r.Fatal(err)
		}
		text := SchemaYAML(want)
		got, err := ParseSchema("schema.yaml", []byte(text))
		if err != nil {
			r.Fatalf("%v\n%s", err, text)
		}
		if !got.Equals(want) {
			r.Fatalf("got %s\nwant %s\n%s", got, want, text)
		}
		// And through Iceberg's own JSON.
		js, err := json.Marshal(want)
		if err != nil {
			r.Fatal(err)
		}
		if got, err = ParseSchema("schema.json", js); err != nil || !got.Equals(want) {
			r.Fatalf("%v\n%s", err, js)
		}
	})
}

func FuzzParseType(f *testing.F) {
	for _, s := range []string{"int", "decimal(9, 2)", "struct<a: int!, \"b c\": list<map<string, long!>!>>", "fixed[4]", "list<list<"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		of, err := ParseType(text)
		if err != nil {
			return
		}
		again, err := ParseType(FormatType(of))
		if err != nil || !again.Equals(of) {
			t.Fatalf("%q is %s, which reads as %v, %v", text, FormatType(of), again, err)
		}
	})
}
