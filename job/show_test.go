package job

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/icewright/icewright/catalog"
)

// lake is a working directory with a table of people in two partitions.
func lake(t *testing.T) Target {
	t.Helper()
	dir := t.TempDir()
	in := filepath.Join(dir, "people.ndjson")
	err := os.WriteFile(in, []byte(`{"team":"a","id":1,"name":"Ann","tags":["x","y"],"home":{"zip":"100"}}
{"team":"a","id":2,"name":null,"tags":[],"home":null}
{"team":"a","id":3,"name":"","tags":["z"],"home":{"zip":null}}
{"team":"b","id":4,"name":"Dee","tags":null,"home":{"zip":"400"}}
{"team":"b","id":5,"name":"Eve","tags":["x"],"home":{"zip":"500"}}
`), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	target := Target{Catalog: catalog.Config{Dir: dir, Home: dir}, Table: "a.people"}
	if _, err := Load(t.Context(), Job{Sources: []string{in}, Table: target.Table, PartitionBy: "team", SortBy: "id", Catalog: target.Catalog}); err != nil {
		t.Fatal(err)
	}
	return target
}

// Whatever is asked for, and wherever the reader stops, every batch is released.
func TestShowReleasesEverything(t *testing.T) {
	target := lake(t)
	for _, c := range []struct {
		name  string
		query Query
		stop  int // batches to read before stopping, 0 for all
		want  int
	}{
		{"all", Query{}, 0, 5},
		{"limit", Query{Limit: 4}, 0, 4},
		{"limit 0 of a filter", Query{Filter: "id > 100"}, 0, 0},
		{"columns", Query{Columns: []string{"home", "id"}}, 0, 5},
		{"filter", Query{Filter: "id in (1, 3, 4)"}, 0, 3},
		{"filter on a column not shown", Query{Columns: []string{"name"}, Filter: "id >= 2 and team = 'a'"}, 0, 2},
		{"filter inside a struct", Query{Columns: []string{"name"}, Filter: "home.zip = '400'"}, 0, 1},
		{"filter and limit", Query{Filter: "id != 2", Limit: 2}, 0, 2},
		{"stop early", Query{}, 1, 3},
		{"stop a filter early", Query{Filter: "id != 2"}, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			arrowAllocator = mem
			defer func() {
				arrowAllocator = memory.DefaultAllocator
				mem.AssertSize(t, 0)
			}()
			rows, err := Show(context.Background(), target, c.query)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			n, batches := 0, 0
			for rec, err := range rows.All {
				if err != nil {
					t.Fatal(err)
				}
				if !rec.Schema().Equal(rows.Schema) {
					t.Errorf("a batch has schema %v, announced was %v", rec.Schema(), rows.Schema)
				}
				n += int(rec.NumRows())
				rec.Release()
				if batches++; batches == c.stop {
					break
				}
			}
			if n != c.want {
				t.Errorf("%d rows, want %d", n, c.want)
			}
		})
	}
}

// The history and the description of a table agree with what was loaded.
func TestHistoryAndDescribe(t *testing.T) {
	target := lake(t)
	entries, err := History(t.Context(), target)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	e := entries[0]
	if e.Engine != "icewright" || *e.RowsAdded != 5 || *e.RowsRemoved != 0 || *e.RowsTotal != 5 || strings.Join(e.Refs, ",") != "main" {
		t.Errorf("got %+v", e)
	}
	d, err := Describe(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if d.Rows != 5 || d.DataFiles != 2 || d.DeleteFiles != 0 || len(d.Partitions) != 2 || d.Partitions[0].Partition != "team=a" || d.Partitions[0].Rows != 3 {
		t.Errorf("got %+v", d)
	}
	if d.PartitionBy != "team" || d.SortBy == "" || *d.SnapshotID != e.SnapshotID {
		t.Errorf("got %+v", d)
	}
}

// Engines leave their names in the summary in ways of their own.
func TestEngine(t *testing.T) {
	for want, props := range map[string]map[string]string{
		"icewright":   {"icewright.attempt": "x", "engine-name": "y"},
		"spark 3.5.1": {"engine-name": "spark", "engine-version": "3.5.1", "spark.app.id": "local-1"},
		"spark":       {"spark.app.id": "local-1"},
		"trino":       {"trino_query_id": "2024"},
		"":            {"added-records": "1"},
	} {
		if got := engine(props); got != want {
			t.Errorf("%v: %q, want %q", props, got, want)
		}
	}
}
