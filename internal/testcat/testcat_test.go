package testcat

import (
	"errors"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
)

func TestCatalogsAreSeparateAndLeaveNothing(t *testing.T) {
	ident := table.Identifier{"lake", "events"}
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	var warehouse string
	t.Run("a", func(t *testing.T) {
		a, b := New(t), New(t)
		start := time.Now()
		if err := a.CreateNamespace(t.Context(), ident[:1], nil); err != nil {
			t.Fatal(err)
		}
		tbl, err := a.Catalog.CreateTable(t.Context(), ident, schema)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(tbl.MetadataLocation(), time.Since(start))
		if _, err := b.LoadTable(t.Context(), ident); !errors.Is(err, catalog.ErrNotFound) {
			t.Fatalf("the other catalog's table: %v", err)
		}
		warehouse = Warehouse(a)
		if n := len(Files(warehouse)); n != 1 {
			t.Fatalf("%d files", n)
		}
	})
	if got := Files(warehouse); len(got) > 0 {
		t.Fatalf("left behind: %q", got)
	}
}
