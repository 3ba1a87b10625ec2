package catalog_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
)

var eventsSchema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	iceberg.NestedField{ID: 2, Name: "code", Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 3, Name: "ts", Type: iceberg.PrimitiveTypes.TimestampTz},
)

func open(t testing.TB, cfg catalog.Config) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func create(t *testing.T, c *catalog.Catalog, ident table.Identifier, s catalog.TableSpec) *table.Table {
	t.Helper()
	tbl, created, err := c.CreateTable(t.Context(), ident, s)
	if err != nil {
		t.Fatal(err)
	}
	if !created {
		t.Fatalf("%v was there already", ident)
	}
	return tbl
}

// appendIDs adds rows 0..n-1 to a table with an "id" column, with iceberg-go's own writer.
func appendIDs(t *testing.T, tbl *table.Table, n int64) *table.Table {
	t.Helper()
	sc, err := table.SchemaToArrowSchema(tbl.Schema(), nil, true, false)
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, sc)
	defer b.Release()
	for i := range n {
		b.Field(0).(*array.Int64Builder).Append(i)
		for f := 1; f < sc.NumFields(); f++ {
			b.Field(f).AppendNull()
		}
	}
	rec := b.NewRecordBatch()
	defer rec.Release()
	rows := array.NewTableFromRecords(sc, []arrow.RecordBatch{rec})
	defer rows.Release()
	out, err := tbl.AppendTable(t.Context(), rows, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDefaultIsMadeOnFirstUse(t *testing.T) {
	dir := t.TempDir()
	c := open(t, catalog.Config{Dir: dir})
	if c.Name != "default" || c.Type != "sql" {
		t.Errorf("name %q, type %q", c.Name, c.Type)
	}
	ident := table.Identifier{"lake", "events"}
	tbl := create(t, c, ident, catalog.TableSpec{Schema: eventsSchema})
	if want := filepath.Join(dir, "lake", "warehouse", "lake.db", "events"); tbl.Location() != want {
		t.Errorf("location %s, not %s", tbl.Location(), want)
	}
	if _, err := os.Stat(filepath.Join(dir, "lake", "catalog.db")); err != nil {
		t.Error(err)
	}
	appendIDs(t, tbl, 3)

	again := open(t, catalog.Config{Dir: dir})
	got, err := again.LoadTable(t.Context(), ident)
	if err != nil {
		t.Fatal(err)
	}
	if n := got.CurrentSnapshot().Summary.Properties["total-records"]; n != "3" {
		t.Errorf("%s rows", n)
	}
}

// A location cannot carry every name that a directory can have. Files must end up
// below the working directory all the same, and be found there.
func TestOddWorkingDirectories(t *testing.T) {
	for _, name := range []string{"plain", "my data", "jürgen", "100%", "a%20b", "a#b", "what?", "a+b", "[x]{y}", "it's", "a\\b", "a:b"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			c := open(t, catalog.Config{Dir: dir})
			ident := table.Identifier{"lake", "events"}
			tbl := appendIDs(t, create(t, c, ident, catalog.TableSpec{Schema: eventsSchema}), 3)
			found := walk(t, filepath.Join(dir, "lake", "warehouse", "lake.db", "events"))
			if len(found) < 5 { // data, manifest, list, two of metadata
				t.Errorf("files: %q", found)
			}
			outside, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "*"))
			if len(outside) != 1 {
				t.Errorf("files beside the working directory: %q", outside)
			}
			fsys, err := catalog.FS(t.Context(), tbl)
			if err != nil {
				t.Fatal(err)
			}
			if f, err := fsys.Open(tbl.MetadataLocation()); err != nil {
				t.Error(err)
			} else {
				f.Close()
			}
			checkPyIceberg(t, dir, "lake.events", 3)
		})
	}
}

func TestOddTableNames(t *testing.T) {
	dir := t.TempDir()
	c := open(t, catalog.Config{Dir: dir})
	for _, name := range []string{"odd name", "100%", "a%2Fb", "q?", "#1", "Ünï", "a+b", `q"q`, "dot.ted"} {
		ident := table.Identifier{"name space", name}
		tbl := appendIDs(t, create(t, c, ident, catalog.TableSpec{Schema: eventsSchema}), 2)
		if !strings.HasPrefix(tbl.MetadataLocation(), tbl.Location()+"/metadata/") {
			t.Errorf("%q: metadata at %s, table at %s", name, tbl.MetadataLocation(), tbl.Location())
		}
		if n := len(walk(t, tbl.Location())); n < 5 {
			t.Errorf("%q: %d files at %s", name, n, tbl.Location())
		}
		if _, err := c.LoadTable(t.Context(), ident); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func walk(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return files
}

// checkPyIceberg counts a table's rows from the working directory, as the README
// says. It needs a Python with pyiceberg[pyarrow,sql-sqlite].
func checkPyIceberg(t *testing.T, dir, name string, want int) {
	t.Helper()
	python := os.Getenv("ICEWRIGHT_PYTHON")
	if python == "" {
		return
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", `
import sys
from pyiceberg.catalog import load_catalog
c = load_catalog("default", type="sql", uri="sqlite:///lake/catalog.db")
t = c.load_table(sys.argv[1])
print(t.scan(row_filter="id >= 0").to_arrow().num_rows)
`, name)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != string(rune('0'+want)) {
		t.Errorf("PyIceberg: %v: %s", err, got)
	}
}

// TestMain lets the test start itself as another process.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CATALOG_TEST_RACER"); dir != "" {
		if err := race(dir); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// race makes the database, a nested namespace and a table, as fast as it can.
func race(dir string) error {
	ctx := context.Background()
	c, err := catalog.Open(ctx, catalog.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer c.Close()
	t, created, err := c.CreateTable(ctx, table.Identifier{"deep", "down", "events"}, catalog.TableSpec{Schema: eventsSchema})
	if err != nil {
		return err
	}
	if created {
		os.Stdout.WriteString("created ")
	}
	os.Stdout.WriteString(t.Metadata().TableUUID().String())
	return nil
}

func TestProcessesRaceForTheFirstTable(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		dir := t.TempDir()
		var mu sync.Mutex
		var wg sync.WaitGroup
		uuids, created := map[string]int{}, 0
		for range 6 {
			wg.Go(func() {
				cmd := exec.CommandContext(t.Context(), self)
				cmd.Env = append(os.Environ(), "CATALOG_TEST_RACER="+dir)
				var stderr strings.Builder
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("round %d: %v: %s", round, err, stderr.String())
					return
				}
				uuid, mine := strings.CutPrefix(string(out), "created ")
				uuids[uuid]++
				if mine {
					created++
				}
			})
		}
		wg.Wait()
		if len(uuids) != 1 || created != 1 {
			t.Errorf("round %d: %d processes made a table, and they see %v", round, created, uuids)
		}
		if files := walk(t, filepath.Join(dir, "lake", "warehouse")); len(files) != 1 {
			t.Errorf("round %d: the losers left metadata: %q", round, files)
		}
	}
}

func TestSQLiteURIs(t *testing.T) {
	dir := t.TempDir()
	for uri, file := range map[string]string{
		"sqlite:///x/a.db":                       "x/a.db",
		"sqlite:////" + dir[1:] + "/b.db":        "b.db",
		"file:c.db":                              "c.db",
		"file:d%20d.db":                          "d d.db",
		"file:" + dir + "/e.db":                  "e.db",
		"file://" + dir + "/f.db?_time_format=x": "",
	} {
		c, err := catalog.Open(t.Context(), catalog.Config{URI: uri, Dir: dir})
		if file == "" {
			if err == nil {
				c.Close()
				t.Errorf("%s: no error", uri)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		c.Close()
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{"sqlite://", "sqlite:///", "sqlite:x.db", "oracle://h/db", "file:"} {
		if c, err := catalog.Open(t.Context(), catalog.Config{URI: uri, Dir: dir}); !errors.Is(err, catalog.ErrConfig) {
			t.Errorf("%s: %v, %v", uri, c, err)
		}
	}
}
