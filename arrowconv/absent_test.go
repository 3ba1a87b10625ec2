package arrowconv

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
)

// Who updates rows must know which columns an input says nothing of: their nulls and defaults are no values.
func TestAbsentColumns(t *testing.T) {
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "a", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 2, Name: "b", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 3, Name: "c", Type: iceberg.PrimitiveTypes.String, WriteDefault: "x"},
		iceberg.NestedField{ID: 4, Name: "dt", Type: iceberg.PrimitiveTypes.String},
	)
	for _, c := range []struct {
		format Format
		text   string
		want   string
	}{
		{CSV, "a,b,c,dt\n1,2,3,4\n", "[]"},
		{CSV, "b,a\n1,2\n", "[2]"},
		{NDJSON, `{"a":1,"b":"x","c":"x","dt":"x"}`, "[]"},
		{NDJSON, `{"a":1}` + "\n" + `{"a":1,"b":null}`, "[2]"},
		{NDJSON, `{"a":1,"c":"x","b":"y"}`, "[]"},
		{NDJSON, `{"a":1}` + "\n" + `{"a":1,"b":"x","c":"x","dt":"x"}`, "[]"},
		{JSON, `[{"a":1},{"a":2}]`, "[1 2]"},
	} {
		in := Input{Name: "in", Reader: strings.NewReader(c.text), Constants: []Constant{{Name: "dt", Text: "p"}}}
		for b, err := range Read(t.Context(), in, schema, Options{Format: c.format}) {
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(b.Absent); got != c.want {
				t.Errorf("%s: absent %s, want %s", c.text, got, c.want)
			}
			b.Release()
		}
	}
}
