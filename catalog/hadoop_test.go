package catalog_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/catalog/catalogtest"
)

func TestSuiteOnHadoop(t *testing.T) {
	cfg := catalog.Config{Props: map[string]string{"type": "hadoop"}, Warehouse: "lake", Dir: t.TempDir()}
	catalogtest.Run(t, opener(cfg), catalogtest.Traits{Nested: true, DropRemoves: true})
}

func TestHadoopIsAFolder(t *testing.T) {
	dir := t.TempDir()
	cfg := catalog.Config{Props: map[string]string{"type": "hadoop"}, Warehouse: "lake", Dir: dir}
	reading := cfg
	reading.Existing = true
	if c, err := catalog.Open(t.Context(), reading); !errors.Is(err, catalog.ErrConfig) {
		t.Errorf("whoever only reads makes a catalog: %v, %v", c, err)
	}
	c := open(t, cfg)
	ident := table.Identifier{"ns", "events"}
	tbl := appendIDs(t, create(t, c, ident, catalog.TableSpec{Schema: eventsSchema}), 3)
	for _, name := range []string{"v1.metadata.json", "v2.metadata.json", "version-hint.text"} {
		if _, err := os.Stat(filepath.Join(dir, "lake", "ns", "events", "metadata", name)); err != nil {
			t.Error(err)
		}
	}
	if n := tbl.CurrentSnapshot().Summary.Properties["total-records"]; n != "3" {
		t.Errorf("%s rows", n)
	}
	if err := c.PurgeTable(t.Context(), ident); err != nil {
		t.Fatal(err)
	}
	if left := walk(t, filepath.Join(dir, "lake")); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

func TestHadoopIsForLocalFolders(t *testing.T) {
	for warehouse, want := range map[string]string{
		"":                      "none is given",
		"s3://bucket/lake":      "no atomic rename",
		"s3a://bucket/lake":     "no atomic rename",
		"hdfs://name/lake":      "cannot be at hdfs",
		"file://elsewhere/lake": "not this machine",
	} {
		c, err := catalog.Open(t.Context(), catalog.Config{Props: map[string]string{"type": "hadoop"}, Warehouse: warehouse, Dir: t.TempDir()})
		if !errors.Is(err, catalog.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v", warehouse, c, err)
		}
	}
}
