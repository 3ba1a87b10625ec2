package arrowconv

import (
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
)

func inferBeside(t *testing.T, name, text string, beside *iceberg.Schema) *iceberg.Schema {
	t.Helper()
	s, err := Infer(t.Context(), Input{Name: name, Reader: strings.NewReader(text)}, InferOptions{Beside: beside})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What a column's values say, next to what the table has.
func TestInferBeside(t *testing.T) {
	for _, c := range []struct {
		was, format, values, want string
	}{
		{"int", "csv", "1 -2147483648 2147483647", "int"},
		{"int", "csv", "1 2147483648", "long"},
		{"int", "csv", "1 9223372036854775808", "decimal(19, 0)"},
		{"int", "csv", "1 x", "string"},
		{"long", "csv", "1 9223372036854775807", "long"},
		{"float", "csv", "1 0.5 NaN 1e38", "float"},
		{"float", "csv", "1 1e39", "double"},
		{"double", "csv", "1 1e39", "double"},
		{"decimal(5, 2)", "csv", "1 99.5", "decimal(5, 2)"},
		{"decimal(5, 2)", "csv", "1 12345.6", "decimal(7, 2)"},
		{"decimal(5, 2)", "csv", "1 1.234", "double"},
		{"date", "csv", "2024-01-01", "date"},
		{"date", "csv", "2024-01-01 2024-01-01T10:00:00", "timestamp"},
		{"timestamp", "csv", "2024-01-01", "timestamp"},
		{"timestamptz", "csv", "2024-01-01 2024-01-01T10:00:00", "timestamptz"},
		{"uuid", "csv", "x", "uuid"},
		{"time", "csv", "10:00", "time"},
		{"long", "csv", "", "unknown"},
		{"-", "csv", "", "unknown"},
		{"-", "csv", "1", "long"},
		{"-", "csv", "0.5", "double"},
		{"int", "ndjson", "3000000000", "long"},
		{"long", "ndjson", `"12" 12`, "long"},
		{"struct<a: int>", "ndjson", `{} {"a":1}`, "struct<a: int>"},
		{"struct<a: int>", "ndjson", `{}`, "struct<a: int>"},
		{"struct<a: int>", "ndjson", `{"a":3000000000,"b":true}`, "struct<a: long, b: boolean>"},
		{"list<int>", "ndjson", `[] [1]`, "list<int>"},
		{"list<int>", "ndjson", `[]`, "list<unknown>"},
		{"list<struct<a: float>>", "ndjson", `[{"a":1e300}]`, "list<struct<a: double>>"},
		{"map<string, int>", "ndjson", `{"x":1} {"y":3000000000}`, "map<string, long>"},
		{"map<string, int>", "ndjson", `[{"key":"x","value":1}]`, "map<string, int>"},
	} {
		beside := iceberg.NewSchema(0)
		if c.was != "-" {
			typ, err := ParseType(c.was)
			if err != nil {
				t.Fatal(err)
			}
			if beside, err = freshIDs([]iceberg.NestedField{{Name: "c", Type: typ}}); err != nil {
				t.Fatal(err)
			}
		}
		text := "c,d\n" + strings.ReplaceAll(c.values, " ", ",1\n") + ",1\n"
		if c.format == "ndjson" {
			text = `{"c":` + strings.ReplaceAll(c.values, " ", "}\n{\"c\":") + "}\n"
		}
		got := inferBeside(t, "in."+c.format, text, beside)
		if s := FormatType(got.Field(0).Type); s != c.want {
			t.Errorf("%s beside %s: %s, want %s", c.values, c.was, s, c.want)
		}
	}
}

// Inputs apart say what they would say as one.
func TestUnite(t *testing.T) {
	for _, c := range []struct {
		a, b, beside, want, err string
		text                    bool
	}{
		{a: "x: int", b: "x: long", want: "x: long"},
		{a: "x: long", b: "x: int, y: date", want: "x: long, y: date"},
		{a: "x: long", b: "x: double", want: "x: double"},
		{a: "x: float", b: "x: int", want: "x: double"},
		{a: "x: float", b: "x: double", want: "x: double"},
		{a: "x: decimal(5, 2)", b: "x: decimal(5, 4)", want: "x: decimal(7, 4)"},
		{a: "x: decimal(5, 2)", b: "x: long", want: "x: decimal(21, 2)"},
		{a: "x: decimal(38, 0)", b: "x: decimal(38, 38)", want: "x: double"},
		{a: "x: date", b: "x: timestamp", want: "x: timestamp"},
		{a: "x: date", b: "x: string", want: "x: string"},
		{a: "x: timestamptz", b: "x: timestamp", want: "x: string"},
		{a: "x: unknown", b: "x: list<int>", want: "x: list<int>"},
		{a: "x: list<int>", b: "x: unknown", want: "x: list<int>"},
		{a: "x: list<struct<a: int>>", b: "x: list<struct<b: int, a: long>>", want: "x: list<struct<a: long, b: int>>"},
		{a: "x: map<string, int>", b: "x: map<string, double>", want: "x: map<string, double>"},
		{a: "x: boolean", b: "x: long", text: true, want: "x: string"},
		{a: "x: boolean", b: "x: long", err: `b: column "x" is long, and boolean in an input before it: no type holds both`},
		{a: "x: struct<a: int>", b: "x: struct<a: list<int>>", err: `column "x.a" is list<int>, and int`},
		{a: "x: boolean", b: "x: long", beside: "x: long", want: "x: long"},
	} {
		parse := func(text string) *iceberg.Schema {
			typ, err := ParseType("struct<" + text + ">")
			if err != nil {
				t.Fatal(err)
			}
			s, err := freshIDs(typ.(*iceberg.StructType).FieldList)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		var beside *iceberg.Schema
		if c.beside != "" {
			beside = parse(c.beside)
		}
		got, err := Unite("b", parse(c.a), parse(c.b), beside, c.text)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s and %s: %v", c.a, c.b, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s and %s: %v", c.a, c.b, err)
			continue
		}
		if s := FormatType(&iceberg.StructType{FieldList: got.Fields()}); s != "struct<"+c.want+">" {
			t.Errorf("%s and %s: %s, want %s", c.a, c.b, s, c.want)
		}
		ids := map[int]bool{}
		index, err := iceberg.IndexByID(got)
		if err != nil {
			t.Fatal(err)
		}
		for id := range index {
			ids[id] = true
		}
		if n := strings.Count(FormatType(&iceberg.StructType{FieldList: got.Fields()}), ":"); len(ids) < n {
			t.Errorf("%s and %s: %d ids for %d fields", c.a, c.b, len(ids), n)
		}
	}
}
