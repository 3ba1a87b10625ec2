package arrowconv

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
)

// rowsIn are the rows (1, x) and (2, y) of columns n and s, of which the file may lack s, in every format.
func rowsIn(t testing.TB, s bool) map[string]Input {
	t.Helper()
	csv, ndjson := "n\n1\n2\n", `{"n":1}`+"\n"+`{"n":2}`+"\n"
	schema, rows := arrow.NewSchema([]arrow.Field{field("n", arrow.PrimitiveTypes.Int64)}, nil), `[{"n":1},{"n":2}]`
	if s {
		csv, ndjson = "n,s\n1,x\n2,\n", `{"n":1,"s":"x"}`+"\n"+`{"n":2,"s":null}`+"\n"
		schema, rows = arrow.NewSchema(append(schema.Fields(), field("s", arrow.BinaryTypes.String)), nil), `[{"n":1,"s":"x"},{"n":2}]`
	}
	parquet := parquetOf(t, schema, rows)
	return map[string]Input{
		"csv": {Reader: strings.NewReader(csv)}, "ndjson": {Reader: strings.NewReader(ndjson)},
		"parquet": {At: bytes.NewReader(parquet), Size: int64(len(parquet))},
	}
}

// TestConstants: what an input's path says is a column of its rows in every format, where the input lacks
// it, by the rules of texts; and so is where a row comes from, where that is asked for.
func TestConstants(t *testing.T) {
	constant := func(name, text string) Constant { return Constant{Name: name, Text: text} }
	for _, c := range []struct {
		name, columns string
		constants     []Constant
		source        SourceColumns
		has           bool // the file has s
		want          string
	}{
		{
			name: "types", columns: "n long\nd date!\nb boolean\nu uuid\nq decimal(9, 2)\nf fixed[2]\nts timestamptz\nx binary",
			constants: []Constant{
				constant("d", "2024-01-15"), constant("b", "true"), constant("u", "00112233445566778899aabbccddeeff"),
				constant("q", "1.5"), constant("f", "cafe"), constant("ts", "2024-01-15T10:00:00Z"), constant("x", "00ff"),
			},
			want: "1: 1 | 2024-01-15 | true | 00112233-4455-6677-8899-aabbccddeeff | 1.5 | yv4= | 2024-01-15T10:00:00Z | AP8=\n" +
				"2: 2 | 2024-01-15 | true | 00112233-4455-6677-8899-aabbccddeeff | 1.5 | yv4= | 2024-01-15T10:00:00Z | AP8=\n",
		},
		{name: "not in the table", columns: "n long", constants: []Constant{constant("v", "1")}, want: "1: 1\n2: 2\n"},
		{name: "null", columns: "n long\ns string", constants: []Constant{{Name: "s", Null: true}}, want: "1: 1 | (null)\n2: 2 | (null)\n"},
		{name: "empty", columns: "n long\ns string!", constants: []Constant{constant("s", "")}, want: "1: 1 | \n2: 2 | \n"},
		{name: "the file has it", columns: "n long\ns string", has: true, constants: []Constant{constant("s", "path")}, want: "1: 1 | x\n2: 2 | (null)\n"},
		{
			name: "the file has it, and what the path says would not do", columns: "n long\ns string", has: true,
			constants: []Constant{constant("s", "\xff"), constant("s", "other")}, want: "1: 1 | x\n2: 2 | (null)\n",
		},
		{
			name: "source columns", columns: "source_row long!\nn long\nsource_file string!", source: SourceColumns{"source_file", "source_row"},
			want: "1: 1 | 1 | in\n2: 2 | 2 | in\n",
		},
		{name: "one source column", columns: "n long\nr long", source: SourceColumns{Row: "r"}, want: "1: 1 | 1\n2: 2 | 2\n"},
		{
			name: "a source column is not the path's", columns: "n long\nf string", source: SourceColumns{File: "f"},
			constants: []Constant{constant("f", "path")}, want: "1: 1 | in\n2: 2 | in\n",
		},
	} {
		for format, in := range rowsIn(t, c.has) {
			t.Run(c.name+"/"+format, func(t *testing.T) {
				alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
				defer alloc.AssertSize(t, 0)
				in.Name, in.Constants = "in", c.constants
				var got strings.Builder
				readAll(t, &got, in, columnsOf(t, c.columns), Options{Format: Format(format), SourceColumns: c.source, Alloc: alloc})
				if got.String() != c.want {
					t.Errorf("got\n%swant\n%s", got.String(), c.want)
				}
			})
		}
	}
}

// TestConstantErrors: what the path says and a column cannot hold ends the run, save where each row of
// JSON is for itself.
func TestConstantErrors(t *testing.T) {
	for _, c := range []struct {
		name, columns string
		constants     []Constant
		source        SourceColumns
		has           bool
		want          string
		ndjson        string // where it differs
	}{
		{
			name: "no such date", columns: "n long\nd date", constants: []Constant{{Name: "d", Text: "latest"}},
			want:   "error: in: column \"d\": cannot read \"latest\" as date: and the path says so\nhint: --path-columns none leaves the path aside\n",
			ndjson: "in: row 1: column \"d\": cannot read \"latest\" as date: and the path says so",
		},
		{
			name: "a struct", columns: "n long\nd struct<a: long>", constants: []Constant{{Name: "d", Text: "1"}},
			want:   "error: in: column \"d\": cannot read \"1\" as struct<a: long>: text has no nested values, and the path says so\n",
			ndjson: "in: row 1: column \"d\": cannot read \"1\"",
		},
		{
			name: "two values", columns: "n long\nd long", constants: []Constant{{Name: "d", Text: "1"}, {Name: "d", Text: "2"}},
			want:   "error: in: column \"d\": the path has two values for it, \"1\" and \"2\"\n",
			ndjson: "in: row 1: column \"d\": the path has two values for it, \"1\" and \"2\"",
		},
		{
			name: "null and required", columns: "n long\nd long!", constants: []Constant{{Name: "d", Null: true}},
			want:   "error: in: required column \"d\" (long) is null in the path\n",
			ndjson: "in: row 1: column \"d\": it is required, and the row has no such key",
		},
		{
			name: "mistyped", columns: "n long\ndt date!", constants: []Constant{{Name: "td", Text: "2024-01-15"}},
			want:   "error: in: required column \"dt\" (date) is missing\n",
			ndjson: "in: row 1: column \"dt\": it is required, and the row has no such key",
		},
		{
			name: "source column not in the table", columns: "n long", source: SourceColumns{File: "source_file"},
			want: "error: column \"source_file\" (string) of --source-columns is not in the table\n",
		},
		{
			name: "source column of another type", columns: "n long\nr string", source: SourceColumns{Row: "r"},
			want: "error: column \"r\" of --source-columns must be long, and is string\n",
		},
		{
			name: "source column in the file", columns: "n long\ns string", has: true, source: SourceColumns{File: "s"},
			want: "error: in: column \"s\" is in the input, and --source-columns would add one of that name\nhint: choose other names: --source-columns=FILE,ROW\n",
		},
	} {
		for format, in := range rowsIn(t, c.has) {
			t.Run(c.name+"/"+format, func(t *testing.T) {
				alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
				defer alloc.AssertSize(t, 0)
				in.Name, in.Constants = "in", c.constants
				want := c.want
				if format == "ndjson" && c.ndjson != "" {
					want = "error: " + c.ndjson
				}
				var got strings.Builder
				readAll(t, &got, in, columnsOf(t, c.columns), Options{Format: Format(format), SourceColumns: c.source, Alloc: alloc})
				if !strings.HasPrefix(got.String(), want) || strings.Contains(got.String(), "not ErrInput") {
					t.Errorf("got\n%swant\n%s", got.String(), want)
				}
			})
		}
	}
}

// TestConstantsByPosition: a file without names has the path's columns if it has as many as that makes.
func TestConstantsByPosition(t *testing.T) {
	for text, want := range map[string]string{
		"1,x\n2,y\n":          "1: NO | 1 | x | in\n2: NO | 2 | y | in\n",
		"SE,1,x\n,2,y\n":      "1: SE | 1 | x | in\n2: (null) | 2 | y | in\n",
		"SE,1,x,in\n,2,y,x\n": "error: in: row 1: 4 fields, want 3",
	} {
		in := Input{Name: "in", Reader: strings.NewReader(text), Constants: []Constant{{Name: "region", Text: "NO"}}}
		var got strings.Builder
		readAll(t, &got, in, columnsOf(t, "region string\nn long\ns string\nf string"),
			Options{Format: CSV, CSV: CSVOptions{NoHeader: true}, SourceColumns: SourceColumns{File: "f"}})
		if !strings.HasPrefix(got.String(), want) {
			t.Errorf("%q: got\n%swant\n%s", text, got.String(), want)
		}
	}
}

// TestSourceRows: rows keep their numbers when others are set aside, and whatever the size of the batches.
func TestSourceRows(t *testing.T) {
	text := "n\n1\nx\n2\nx\nx\n3\n"
	for _, chunk := range []int{1, 4, 1 << 20} {
		var got []int64
		o := Options{Format: CSV, ChunkBytes: chunk, SourceColumns: SourceColumns{Row: "r"}, OnReject: func(Reject) error { return nil }}
		for b, err := range Read(t.Context(), Input{Name: "in", Reader: strings.NewReader(text)}, columnsOf(t, "n long\nr long"), o) {
			if err != nil {
				t.Fatal(err)
			}
			for i := range int(b.NumRows()) {
				got = append(got, b.Column(1).(interface{ Value(int) int64 }).Value(i))
			}
			b.Release()
		}
		if !slices.Equal(got, []int64{1, 3, 6}) {
			t.Errorf("chunks of %d: rows %v", chunk, got)
		}
	}
}

// TestConstantsInSchemas: a new table gets the path's columns, with types that hold the texts of all paths.
func TestConstantsInSchemas(t *testing.T) {
	file := columnsOf(t, "n long\ntags list<string>")
	paths := [][]Constant{
		{{Name: "dt", Text: "2024-01-15"}, {Name: "year", Text: "2024"}, {Name: "n", Text: "x"}, {Name: "month", Text: "01"}},
		{{Name: "dt", Text: "2024-01-16"}, {Name: "year", Null: true}, {Name: "month", Text: "12"}},
		{{Name: "hour", Text: "7"}, {Name: "dt", Text: "2024-01-16T10:00"}, {Name: "none", Null: true}},
		nil,
	}
	o := InferOptions{Options: Options{SourceColumns: SourceColumns{"source_file", "source_row"}}}
	got, err := WithConstants(file, Input{Name: "in"}, slices.Values(paths), o)
	if err != nil {
		t.Fatal(err)
	}
	want := "columns:\n  \"n\": long\n  tags: list<string>\n  dt: timestamp\n  year: long\n  month: string\n  hour: long\n  none: string\n" +
		"  source_file: string\n  source_row: long\n"
	if text := SchemaYAML(got); text != want {
		t.Errorf("got\n%swant\n%s", text, want)
	}
	ids := map[int]bool{}
	for _, f := range got.Fields() {
		ids[f.ID] = true
	}
	list := got.Fields()[1].Type.(*iceberg.ListType)
	if len(ids) != 9 || ids[list.ElementID] {
		t.Errorf("ids are not unique: %v", got)
	}
	if _, err := WithConstants(columnsOf(t, "source_row long"), Input{Name: "in"}, slices.Values(paths), o); !errors.Is(err, ErrInput) {
		t.Errorf("a source column that the file has: %v", err)
	}
	if got, err := WithSourceColumns(columnsOf(t, "f string"), SourceColumns{"f", "r"}); err != nil || got.Fields()[1].Name != "r" || got.NumFields() != 2 {
		t.Errorf("a schema that has one of the two: %v, %v", got, err)
	}
	if same, err := WithConstants(file, Input{}, slices.Values(paths[3:]), InferOptions{}); same != file || err != nil {
		t.Errorf("without any: %v, %v", same, err)
	}
}
