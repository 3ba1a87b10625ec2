package catalog_test

import (
	"testing"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/catalog/catalogtest"
)

// opener opens catalogs of one configuration.
func opener(cfg catalog.Config) func(t testing.TB) *catalog.Catalog {
	return func(t testing.TB) *catalog.Catalog {
		t.Helper()
		c, err := catalog.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

func TestSuiteOnSQLite(t *testing.T) {
	catalogtest.Run(t, opener(catalog.Config{Dir: t.TempDir()}), catalogtest.Traits{Nested: true, Exact: true})
}
