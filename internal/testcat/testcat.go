// Package testcat gives tests a catalog of their own: SQLite in memory, files in
// memory, nothing shared and nothing left behind. A commit takes some 10 ms.
package testcat

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"

	"github.com/icewright/icewright/catalog"
)

var count atomic.Int64

// New opens an empty catalog with the warehouse Warehouse(c), which the test owns.
// It is closed, and its files forgotten, when the test ends.
func New(t testing.TB) *catalog.Catalog {
	t.Helper()
	name := fmt.Sprintf("testcat-%d", count.Add(1))
	c, err := catalog.Open(t.Context(), configOf(name, t.TempDir()))
	if err != nil {
		t.Fatalf("open the test catalog: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close the test catalog: %v", err)
		}
		forget("mem://" + name + "/")
		setWrap(name, nil)
	})
	return c
}

func configOf(name, dir string) catalog.Config {
	return catalog.Config{
		// memdb is SQLite's own store in memory. Unlike :memory: it is shared by all
		// connections of the pool, and unlike a shared cache it locks like a file.
		URI:       "file:/" + name + "?vfs=memdb",
		Warehouse: "mem://" + name + "/warehouse",
		Props:     iceberg.Properties{"type": "sql"},
		Dir:       dir,
	}
}

// Config is how others open c, as long as the test runs.
func Config(t testing.TB, c *catalog.Catalog) catalog.Config { return configOf(host(c), t.TempDir()) }

func host(c *catalog.Catalog) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(Warehouse(c), "mem://"), "/")
	return name
}

// Warehouse returns the location under which c puts its tables.
func Warehouse(c *catalog.Catalog) string { return c.Props["warehouse"] }

// Wrap has all files of c go through what wrap makes of its storage, until it is called again; nil: as
// they are.
func Wrap(c *catalog.Catalog, wrap func(iceio.IO) iceio.IO) {
	setWrap(host(c), wrap)
}

// Files returns the locations of all files below a location, sorted: what a test
// compares with what the table refers to when it looks for litter.
func Files(location string) []string { return list(strings.TrimRight(location, "/") + "/") }
