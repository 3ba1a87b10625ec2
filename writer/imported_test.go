package writer_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/go-cmp/cmp"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/stage"
)

// Files that were imported from Hive have no field ids, names that the name mapping knows, and lack the
// columns that they are partitioned by. What is carried over from them has all of it.
func TestImportedFilesAreCarriedOver(t *testing.T) {
	columns := []struct{ name, typ, value, logical string }{
		{"b", "boolean", "true", ""},
		{"i", "int", "-7", ""},
		{"l", "long", "5000000000", ""},
		{"f", "float", "1.5", ""},
		{"d", "double", "2.5", ""},
		{"dec", "decimal(9, 2)", "12.50", "decimal"},
		{"day", "date", "2024-02-29", "date"},
		{"tod", "time", "12:34:56.5", "time-micros"},
		{"ts", "timestamp", "2024-01-15 10:30:00", "timestamp-micros"},
		{"tz", "timestamptz", "2024-01-15T10:30:00Z", "timestamp-micros"},
		{"s", "string", "a/b", ""},
		{"u", "uuid", "f79c3e09-677c-4bbd-a479-3f349cb785e7", "uuid"},
		{"fx", "fixed[4]", "80cafe01", ""},
		{"bin", "binary", "cafe", ""},
		{"none", "string", "", ""},
	}
	spec := "columns:\n  id: long\n  name: string\n"
	csv := []string{"id,name", "1,one"}
	mapping := []string{`{"field-id":1,"names":["id","key"]}`, `{"field-id":2,"names":["title","name"]}`}
	var names []string
	for i, c := range columns {
		spec += "  " + c.name + ": \"" + c.typ + "\"\n"
		csv[0] += "," + c.name
		csv[1] += "," + c.value
		names = append(names, c.name)
		mapping = append(mapping, fmt.Sprintf(`{"field-id":%d,"names":[%q]}`, i+3, c.name))
	}
	parsed, err := arrowconv.ParseSchema("columns.yaml", []byte(spec))
	if err != nil {
		t.Fatal(err)
	}
	for version := 1; version <= 3; version++ {
		t.Run(fmt.Sprint("v", version), func(t *testing.T) {
			cat := testcat.New(t)
			_, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{
				Schema: parsed, PartitionBy: strings.Join(names, ", "), FormatVersion: version,
				Props: iceberg.Properties{"schema.name-mapping.default": "[" + strings.Join(mapping, ",") + "]"},
			})
			if err != nil {
				t.Fatal(err)
			}
			read := func(tbl *table.Table, csv string) func(func(arrowconv.Batch, error) bool) {
				return arrowconv.Read(t.Context(), arrowconv.Input{Name: "rows.csv", Reader: strings.NewReader(csv)}, tbl.Schema(), arrowconv.Options{Format: arrowconv.CSV})
			}
			tbl := current(t, cat)
			staged, err := stage.Stage(t.Context(), tbl, read(tbl, strings.Join(csv, "\n")), stage.Options{})
			if err != nil {
				t.Fatal(err)
			}
			logical := map[int]string{}
			for i, c := range columns {
				if spec := tbl.Spec(); c.logical != "" {
					logical[spec.Field(i).FieldID] = c.logical
				}
			}
			publishFile(t, cat, hiveFile(t, tbl, staged.Files[0].Partition.Values, logical))
			if err := stage.Remove(t.Context(), tbl, staged.Files); err != nil {
				t.Fatal(err)
			}

			repartition(t, cat, "bucket(1, id)") // v1 keeps voids of the others
			tbl = current(t, cat)
			slice := sliceOf(t, tbl.Schema(), "id = 2")
			res, err := writer.Load(t.Context(), cat, tbl, read(tbl, "id,name\n2,zwei\n"), writer.Options{Slice: slice, Publish: quick()})
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Plan.Rewrite) != 1 || res.Plan.RowsKept != 1 {
				t.Fatalf("%d files rewritten, %d rows kept", len(res.Plan.Rewrite), res.Plan.RowsKept)
			}
			// The row is what it would have been, had it been loaded.
			want, err := stage.Stage(t.Context(), current(t, cat), read(current(t, cat), strings.Join(csv, "\n")), stage.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want.Digest, res.Carried[0].Digest); d != "" {
				t.Errorf("the row carried over (-want +got):\n%s", d)
			}
			if err := stage.Remove(t.Context(), tbl, want.Files); err != nil {
				t.Fatal(err)
			}
			wantLitter(t, cat, 0)
		})
	}
}

// Rows of a file are lost or doubled somewhere if its manifest entry counts others than it has.
func TestMiscountedFilesAreNotRewritten(t *testing.T) {
	for _, c := range []struct {
		count  int64
		format iceberg.FileFormat
		want   string
	}{
		{3, iceberg.ParquetFile, "has 3 rows by its manifest entry, and 2 that live were read"},
		{1, iceberg.ParquetFile, "has 1 rows by its manifest entry, and 2 that live were read"},
		{2, iceberg.OrcFile, "its rows cannot be read: it is in the format ORC, and icewright reads Parquet"},
	} {
		t.Run(fmt.Sprint(c.count, " ", c.format), func(t *testing.T) {
			cat := testcat.New(t)
			_, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: schema, Props: iceberg.Properties{
				"schema.name-mapping.default": `[{"field-id":1,"names":["key"]},{"field-id":2,"names":["title"]}]`,
			}})
			if err != nil {
				t.Fatal(err)
			}
			tbl := current(t, cat)
			good := hiveFile(t, tbl, nil, nil)
			bad, err := iceberg.NewDataFileBuilder(tbl.Spec(), iceberg.EntryContentData, good.FilePath(), c.format, nil, nil, nil, c.count, good.FileSizeBytes())
			if err != nil {
				t.Fatal(err)
			}
			publishFile(t, cat, bad.Build())
			_, err = loadRows(t, cat, writer.Options{Slice: sliceOf(t, schema, "id = 2")}, row{2, "two", 2})
			var refused *plan.GuardError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), good.FilePath()) || refused.Hint() == "" {
				t.Errorf("error %v", err)
			}
			wantLitter(t, cat, 0)
		})
	}
}

// hiveFile writes rows 1 and 2 of columns "key" and "title" alone, without field ids.
func hiveFile(t *testing.T, tbl *table.Table, partition map[int]any, logical map[int]string) iceberg.DataFile {
	t.Helper()
	sc := arrow.NewSchema([]arrow.Field{
		{Name: "key", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "title", Type: arrow.BinaryTypes.String, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, sc)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{1, 2}, nil)
	b.Field(1).(*array.StringBuilder).AppendValues([]string{"one", "two"}, nil)
	rec := b.NewRecordBatch()
	defer rec.Release()
	var buf bytes.Buffer
	w, err := pqarrow.NewFileWriter(sc, &buf, nil, pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(rec); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	fsys, err := tbl.FS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	location := tbl.Location() + "/data/000000_0"
	if err := fsys.(iceio.WriteFileIO).WriteFile(location, buf.Bytes()); err != nil {
		t.Fatal(err)
	}
	df, err := iceberg.NewDataFileBuilder(tbl.Spec(), iceberg.EntryContentData, location, iceberg.ParquetFile, partition, logical, nil, 2, int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return df.Build()
}
