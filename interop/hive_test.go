//go:build interop && full

package interop

import (
	"context"
	"testing"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/catalog/catalogtest"
	"github.com/icewright/icewright/localstack/stack"
)

var hive = server(func() (*stack.Hive, error) {
	return stack.StartHive(context.Background(), world.tools, serverOptions("hive"))
})

// The suite has eight racers, whose locks Derby, with one mutex and locks of its own, takes minutes over. So here they go
// without, and only the metadata that an alteration expects keeps them apart: what depends on locks is in package catalog.
func TestHiveSuite(t *testing.T) {
	cfg := catalog.Config{URI: hive(t).URI, Warehouse: t.TempDir(), Dir: t.TempDir(), Props: iceberg.Properties{"iceberg.engine.hive.lock-enabled": "false"}}
	catalogtest.Run(t, func(t testing.TB) *catalog.Catalog { return openCatalog(t, cfg) }, catalogtest.Traits{FoldsCase: true})
}
