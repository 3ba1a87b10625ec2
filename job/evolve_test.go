package job

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
)

// evolving loads text as CSV into a.t.
func evolving(t *testing.T, where catalog.Config, text string, j Job) (Receipt, error) {
	t.Helper()
	j.Sources, j.Table, j.Catalog, j.Format = []string{"-"}, "a.t", where, arrowconv.CSV
	j.Stdin = strings.NewReader(text)
	return Load(t.Context(), j)
}

// The columns that a table is partitioned by get wider types: partitions from before are found by their
// values as those of the new type, keep their files, and are replaced, on every format version, also where
// their manifests are written anew.
func TestWidenPartitionSources(t *testing.T) {
	const (
		head = "num,f,p,v\n"
		old  = head + "1,0.5,1.25,1\n12,0.5,1.25,1\n"
		wide = head + "3000000000,1e300,12345.25,1\n"
		next = head + "1,0.5,1.25,2\n"
	)
	schema := t.TempDir() + "/s.yaml"
	write(t, schema, "columns:\n  num: int\n  f: float\n  p: decimal(5, 2)\n  v: long\n")
	for version := 1; version <= 3; version++ {
		for _, spec := range []string{"num", "f, num", "p, num", "truncate(10, num), truncate(10, p)", "bucket(50, num)", "bucket(50, p), num"} {
			t.Run(fmt.Sprintf("v%d %s", version, spec), func(t *testing.T) {
				dir := t.TempDir()
				where := catalog.Config{Dir: dir, Home: dir}
				step := func(text string, j Job, want Status, changes int) {
					t.Helper()
					rec, err := evolving(t, where, text, j)
					if err != nil || rec.Status != want || len(rec.SchemaChanges) != changes {
						t.Fatalf("%s, %v, %v; want %s and %d changes", rec.Status, rec.SchemaChanges, err, want, changes)
					}
				}
				first := Job{
					Schema: schema, PartitionBy: spec, FormatVersion: version,
					TableProps: iceberg.Properties{"commit.manifest.min-count-to-merge": "2"},
				}
				step(old, first, Published, 0)
				step(wide, Job{Evolve: "widen"}, Published, 3)
				step(old, Job{}, Unchanged, 0)
				step(next, Job{Slice: "num = 1"}, Published, 0)
				step(next, Job{Slice: "num = 1", Evolve: "add,widen,relax"}, Unchanged, 0)
				if n, err := countRows(Target{Catalog: where, Table: "a.t"}); err != nil || n != 3 {
					t.Errorf("%d rows, %v", n, err)
				}
			})
		}
	}
}

// What a load does without --evolve it does with it: empty input, rejects.
func TestEvolveLeavesTheRestAlone(t *testing.T) {
	dir := t.TempDir()
	where := catalog.Config{Dir: dir, Home: dir}
	if _, err := evolving(t, where, "day,n\n1,1\n", Job{PartitionBy: "day"}); err != nil {
		t.Fatal(err)
	}
	for _, empty := range []string{"", "day,n\n", "day,n,new\n"} {
		if _, err := evolving(t, where, empty, Job{Evolve: "add,widen,relax"}); err == nil {
			t.Errorf("%q: no guard", empty)
		}
		rec, err := evolving(t, where, empty, Job{Evolve: "add,widen,relax", OnEmpty: "keep"})
		if err != nil || rec.Status != Unchanged || len(rec.SchemaChanges) > 0 {
			t.Errorf("%q: %s %v %v", empty, rec.Status, rec.SchemaChanges, err)
		}
	}
	rec, err := evolving(t, where, "day,n,new\n2,x,1\n2,7,2\n", Job{Evolve: "add", Rejects: dir})
	if err != nil || rec.RowsRejected != 1 || rec.RowsWritten != 1 || len(rec.SchemaChanges) != 1 {
		t.Errorf("%+v %v", rec, err)
	}
	if _, err := evolving(t, where, "day,n,new\n2,x,1\n", Job{Evolve: "add,widen"}); !errors.Is(err, arrowconv.ErrInput) ||
		!strings.Contains(err.Error(), "long to string") {
		t.Errorf("a row that fits no type: %v", err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
