package arrowconv

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
)

// One table of rows in every format: id, name, and a column that no table can have.
func namedInputs(t *testing.T) map[Format][]byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "ID", Type: arrow.PrimitiveTypes.Int64},
		{Name: "name", Type: arrow.BinaryTypes.String},
		{Name: "left out", Type: arrow.ListOf(arrow.PrimitiveTypes.Int64), Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{1, 2}, nil)
	b.Field(1).(*array.StringBuilder).AppendValues([]string{"Ann", "Bob"}, nil)
	b.Field(2).AppendNull()
	b.Field(2).AppendNull()
	rec := b.NewRecordBatch()
	defer rec.Release()

	var stream, pq bytes.Buffer
	w := ipc.NewWriter(&stream, ipc.WithSchema(schema))
	if err := w.Write(rec); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	tbl := array.NewTableFromRecords(schema, []arrow.RecordBatch{rec})
	defer tbl.Release()
	if err := pqarrow.WriteTable(tbl, &pq, 10, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps()); err != nil {
		t.Fatal(err)
	}
	return map[Format][]byte{
		CSV:     []byte("ID,name,left out\n1,Ann,\n2,Bob,\n"),
		NDJSON:  []byte("{\"ID\":1,\"name\":\"Ann\",\"left out\":[7,{}]}\n{\"name\":\"Bob\",\"ID\":2}\n"),
		Parquet: pq.Bytes(),
		Arrow:   stream.Bytes(),
	}
}

func TestNamesInEveryFormat(t *testing.T) {
	table := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "full name", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 2, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	)
	choice := []ColumnChoice{{Name: "id", From: "ID"}, {Name: "full name", From: "name"}}
	for format, text := range namedInputs(t) {
		read := func(n Names) (string, error) {
			var rows []string
			o := Options{Format: format, Names: n}
			for b, err := range Read(t.Context(), Input{Name: "in", Reader: bytes.NewReader(text), At: bytes.NewReader(text), Size: int64(len(text))}, table, o) {
				if err != nil {
					return "", err
				}
				for i := range int(b.NumRows()) {
					rows = append(rows, b.Column(0).ValueStr(i)+" "+b.Column(1).ValueStr(i))
				}
				b.Release()
			}
			return strings.Join(rows, ", "), nil
		}
		if got, err := read(Names{Columns: choice}); err != nil || got != "Ann 1, Bob 2" {
			t.Errorf("%s: %q %v", format, got, err)
		}
		lower := slices.Clone(choice)
		lower[0].From, lower[1].From = "Id", "NAME"
		if got, err := read(Names{Columns: lower, IgnoreCase: true}); err != nil || got != "Ann 1, Bob 2" {
			t.Errorf("%s, case ignored: %q %v", format, got, err)
		}
		if _, err := read(Names{Columns: lower}); err == nil {
			t.Errorf("%s: case is ignored though nobody asked", format)
		}
		if _, err := read(Names{}); err == nil || !strings.Contains(err.Error(), `column "ID" is not in the table`) {
			t.Errorf("%s: %v", format, err)
		}
		got, err := Infer(t.Context(), Input{Name: "in", Reader: bytes.NewReader(text), At: bytes.NewReader(text), Size: int64(len(text))},
			InferOptions{Options: Options{Format: format, Names: Names{Columns: choice}}})
		if err != nil || SchemaYAML(got) != "columns:\n  id: long\n  full name: string\n" {
			t.Errorf("%s: %v %v", format, got, err)
		}
	}
}
