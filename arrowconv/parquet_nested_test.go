package arrowconv

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// leafValues are what the pages of a column of int32 hold.
type leafValues struct {
	values     []int32
	defs, reps []int16
}

// parquetOfNode writes a file with one column, whose leaves hold these values.
func parquetOfNode(t *testing.T, node schema.Node, leaves ...leafValues) []byte {
	t.Helper()
	var out bytes.Buffer
	w := file.NewParquetWriter(&out, schema.MustGroup(schema.NewGroupNode("schema", parquet.Repetitions.Required, schema.FieldList{node}, -1)))
	group, err := w.AppendRowGroupChecked()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leaves {
		column, err := group.NextColumn()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := column.(*file.Int32ColumnChunkWriter).WriteBatch(l.values, l.defs, l.reps); err != nil {
			t.Fatal(err)
		}
		if err := column.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(group.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestParquetOldNesting: the spellings of lists and maps before there was one, by the backward compatibility rules
// of the format.
func TestParquetOldNesting(t *testing.T) {
	opt, req, rep := parquet.Repetitions.Optional, parquet.Repetitions.Required, parquet.Repetitions.Repeated
	leaf := func(name string, r parquet.Repetition) schema.Node { return schema.NewInt32Node(name, r, -1) }
	group := func(name string, r parquet.Repetition, fields ...schema.Node) schema.Node {
		return schema.MustGroup(schema.NewGroupNode(name, r, fields, -1))
	}
	marked := func(mark schema.ConvertedType, field schema.Node) schema.Node {
		return schema.MustGroup(schema.NewGroupNodeConverted("v", opt, schema.FieldList{field}, mark, -1))
	}
	list, maps, old := schema.ConvertedTypes.List, schema.ConvertedTypes.Map, schema.ConvertedTypes.MapKeyValue
	two := leafValues{[]int32{1, 2}, []int16{2, 2, 1, 0}, []int16{0, 1, 0, 0}} // [1,2], [], null
	pairs := []leafValues{two, {[]int32{7}, []int16{3, 2, 1, 0}, []int16{0, 1, 0, 0}}}
	for _, c := range []struct {
		name   string
		node   schema.Node
		leaves []leafValues
		to     string
		want   string
	}{
		{"a repeated field", leaf("v", rep), []leafValues{{[]int32{1, 2}, []int16{1, 1, 0}, []int16{0, 1, 0}}}, "list<int>", "[1,2] | []"},
		{"a repeated group", group("v", rep, leaf("x", req)), []leafValues{{[]int32{1, 2}, []int16{1, 1, 0}, []int16{0, 1, 0}}}, "list<struct<x: int>>", `[{"x":1},{"x":2}] | []`},
		{"two levels, of values", marked(list, leaf("element", rep)), []leafValues{two}, "list<int>", "[1,2] | [] | (null)"},
		{"two levels, of structs: array", marked(list, group("array", rep, leaf("x", req))), []leafValues{two}, "list<struct<x: int>>", `[{"x":1},{"x":2}] | [] | (null)`},
		{"two levels, of structs: _tuple", marked(list, group("v_tuple", rep, leaf("x", req))), []leafValues{two}, "list<struct<x: int>>", `[{"x":1},{"x":2}] | [] | (null)`},
		{"Hive's bag of array_element", marked(list, group("bag", rep, leaf("array_element", opt))), []leafValues{{[]int32{1}, []int16{3, 2, 1, 0}, []int16{0, 1, 0, 0}}}, "list<int>", "[1,null] | [] | (null)"},
		{"three levels", marked(list, group("list", rep, leaf("element", opt))), []leafValues{{[]int32{1}, []int16{3, 2, 1, 0}, []int16{0, 1, 0, 0}}}, "list<int>", "[1,null] | [] | (null)"},
		{"a map", marked(maps, group("key_value", rep, leaf("key", req), leaf("value", opt))), pairs, "map<int, int>", `[{"key":1,"value":7},{"key":2,"value":null}] | [] | (null)`},
		{"a map of old", marked(maps, group("map", rep, leaf("key", req), leaf("value", opt))), pairs, "map<int, int>", `[{"key":1,"value":7},{"key":2,"value":null}] | [] | (null)`},
		{"a map marked MAP_KEY_VALUE", marked(old, group("map", rep, leaf("key", req), leaf("value", opt))), pairs, "map<int, int>", `[{"key":1,"value":7},{"key":2,"value":null}] | [] | (null)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := parquetOfNode(t, c.node, c.leaves...)
			got, err := Infer(t.Context(), asFile(b), InferOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if s := FormatType(got.Field(0).Type); s != c.to {
				t.Errorf("inferred %s, want %s", s, c.to)
			}
			if got := valuesOf(t, asFile(b), c.to, Options{}); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestParquetHollow: a file without row groups has no rows, and one without columns has no schema.
func TestParquetHollow(t *testing.T) {
	b := parquetOf(t, arrow.NewSchema([]arrow.Field{field("v", arrow.PrimitiveTypes.Int64)}, nil), `[]`)
	if got := valuesOf(t, asFile(b), "long", Options{}); got != "" {
		t.Error(got)
	}
	var out bytes.Buffer
	w := file.NewParquetWriter(&out, schema.MustGroup(schema.NewGroupNode("schema", parquet.Repetitions.Required, schema.FieldList{}, -1)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Infer(t.Context(), asFile(out.Bytes()), InferOptions{}); err == nil || !strings.Contains(err.Error(), "in: the Parquet file has no columns") {
		t.Errorf("%v", err)
	}
	if got := valuesOf(t, asFile(out.Bytes()), "long", Options{}); got != "" {
		t.Error(got)
	}
}
