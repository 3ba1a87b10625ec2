package catalog

import (
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// Between the look and the drop of DropIfEmpty another process may have published.
func TestDropExactSparesATableThatMoved(t *testing.T) {
	c, err := Open(t.Context(), Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ident := table.Identifier{"lake", "events"}
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	seen, _, err := c.CreateTable(t.Context(), ident, TableSpec{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	_, moved, err := c.CommitTable(t.Context(), ident, nil, []table.Update{table.NewSetPropertiesUpdate(iceberg.Properties{"a": "b"})})
	if err != nil {
		t.Fatal(err)
	}
	if dropped, err := c.exact.dropExact(t.Context(), ident, seen.MetadataLocation()); err != nil || dropped {
		t.Errorf("dropped %v, %v", dropped, err)
	}
	if dropped, err := c.exact.dropExact(t.Context(), ident, moved); err != nil || !dropped {
		t.Errorf("dropped %v, %v", dropped, err)
	}
}
