//go:build interop && full

package interop

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/catalog/catalogtest"
	"github.com/icewright/icewright/localstack/stack"
)

var hive = server(func() (*stack.Hive, error) {
	return stack.StartHive(context.Background(), world.tools, serverOptions("hive"))
})

func hiveLake(t testing.TB) *lake {
	t.Helper()
	program, err := fullBuild()
	if err != nil {
		t.Fatal(err)
	}
	l := &lake{name: "hive", program: program, dir: t.TempDir(), newest: 3, keepsSnapshots: true}
	uri, warehouse := hive(t).URI, filepath.Join(l.dir, "lake")
	l.flags = []string{"--catalog-uri", uri, "--warehouse", warehouse, "--catalog-prop", "iceberg.engine.hive.lock-enabled=false"}
	l.catalog = map[string]string{"type": "hive", "uri": uri, "warehouse": warehouse}
	return l
}

// The life of a table in Hive's own metastore, by the program, as PyIceberg reads it there; then eight processes
// at once.
func TestHive(t *testing.T) {
	l := hiveLake(t)
	liveThrough(t, l)
	t.Run("races", func(t *testing.T) {
		table := l.table(t)
		var racers []*racer
		for i := range 4 {
			days := []string{day(i)}
			racers = append(racers, &racer{name: fmt.Sprintf("run%02d", i), days: days, owned: days})
		}
		for i := range 4 {
			days := []string{day(4), day(5 + i%2)}
			racers = append(racers, &racer{name: fmt.Sprintf("run%02d", 4+i), days: days, owned: days})
		}
		race(t, l, table, racers)
		for _, r := range racers[:4] {
			if r.code != 0 {
				t.Errorf("%s has a day of its own and did not land: exit code %d\n%s", r.name, r.code, &r.process.stderr)
			}
		}
		mustBeSerial(t, l, table, racers)
	})
}

// The suite has eight racers, whose locks Derby, with one mutex and locks of its own, takes minutes over. So here they go
// without, and only the metadata that an alteration expects keeps them apart: what depends on locks is in package catalog.
func TestHiveSuite(t *testing.T) {
	cfg := catalog.Config{URI: hive(t).URI, Warehouse: t.TempDir(), Dir: t.TempDir(), Props: iceberg.Properties{"iceberg.engine.hive.lock-enabled": "false"}}
	catalogtest.Run(t, func(t testing.TB) *catalog.Catalog { return openCatalog(t, cfg) }, catalogtest.Traits{FoldsCase: true})
}
