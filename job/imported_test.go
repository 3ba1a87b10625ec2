package job

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/publish"
)

// Files that were imported from Hive lack the column that they are partitioned by; what is shown has it, from
// the partition, beside files that have it themselves, and in the past as well.
func TestShowImportedFiles(t *testing.T) {
	target := lake(t)
	importFile(t, target, "imported", "c", 6, 7)
	importFile(t, target, "before", "Team A", 8)
	want := map[string]string{
		"":                                    "Team A 8 | a 1 | a 2 | a 3 | b 4 | b 5 | c 6 | c 7",
		"team = 'c'":                          "c 6 | c 7",
		"team != 'c' and team > 'Team A'":     "a 1 | a 2 | a 3 | b 4 | b 5",
		"team = 'Team A' or team is null":     "Team A 8",
		"id in (2, 6) and team in ('a', 'c')": "a 2 | c 6",
	}
	check := func(target Target) {
		t.Helper()
		for filter, want := range want {
			if got := shown(t, target, Query{Columns: []string{"team", "id"}, Filter: filter}); got != want {
				t.Errorf("%q shows %s, not %s", filter, got, want)
			}
		}
	}
	check(target)
	if got := shown(t, target, Query{Columns: []string{"team"}, Limit: 1}); got != "Team A" {
		t.Errorf("a limit shows %s", got)
	}

	// The schema of the past is not the current one.
	_, tbl, err := target.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	past := target
	past.Snapshot = strconv.FormatInt(tbl.CurrentSnapshot().SnapshotID, 10)
	cat, err := catalog.Open(t.Context(), target.Catalog)
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	tx := tbl.NewTransaction()
	if err := tx.UpdateSchema(true, false).AddColumn([]string{"later"}, iceberg.PrimitiveTypes.Int64, "", false, nil).Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(target)
	check(past)
}

// shown are the rows that q finds, their cells apart by a space.
func shown(t *testing.T, target Target, q Query) string {
	t.Helper()
	rows, err := Show(t.Context(), target, q)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rec, err := range rows.All {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			var cells []string
			for _, c := range rec.Columns() {
				cells = append(cells, c.ValueStr(i))
			}
			out = append(out, strings.Join(cells, " "))
		}
		rec.Release()
	}
	return strings.Join(out, " | ")
}

// importFile adds a data file to the partition of a team that has no column team, only ids.
func importFile(t *testing.T, target Target, name, team string, ids ...int64) {
	t.Helper()
	cat, err := catalog.Open(t.Context(), target.Catalog)
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	ident, err := catalog.ParseIdentifier(target.Table)
	if err != nil {
		t.Fatal(err)
	}
	tbl, err := cat.LoadTable(t.Context(), ident)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := tbl.Schema().FindFieldByName("id")
	meta := arrow.NewMetadata([]string{"PARQUET:field_id"}, []string{"2"})
	if id.ID != 2 {
		t.Fatalf("the id's field id is %d", id.ID)
	}
	sc := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true, Metadata: meta}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, sc)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues(ids, nil)
	rec := b.NewRecordBatch()
	defer rec.Release()
	var buf bytes.Buffer
	w, err := pqarrow.NewFileWriter(sc, &buf, nil, pqarrow.DefaultWriterProps())
	if err == nil {
		err = w.Write(rec)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	fsys, err := tbl.FS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	location := tbl.Location() + "/data/" + name + ".parquet"
	if err := fsys.(iceio.WriteFileIO).WriteFile(location, buf.Bytes()); err != nil {
		t.Fatal(err)
	}
	spec := tbl.Spec()
	df, err := iceberg.NewDataFileBuilder(spec, iceberg.EntryContentData, location, iceberg.ParquetFile,
		map[int]any{spec.Field(0).FieldID: team}, nil, nil, int64(len(ids)), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	a := publish.Attempt{
		ID: uuid.New(), Table: ident, Branch: table.MainBranch, Job: name, RunKey: name, Started: time.Now(), Base: tbl,
		Touches: func(iceberg.DataFile, iceberg.PartitionSpec, *iceberg.Schema) bool { return true },
	}
	if _, err := publish.Publish(t.Context(), cat, a, func(context.Context, *table.Table) (*publish.Change, error) {
		return &publish.Change{Operation: table.OpAppend, Add: []iceberg.DataFile{df.Build()}}, nil
	}, publish.Options{}); err != nil {
		t.Fatal(err)
	}
}
