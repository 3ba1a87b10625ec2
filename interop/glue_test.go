//go:build interop

package interop

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/catalog/catalogtest"
	"github.com/icewright/icewright/localstack/stack"
)

var moto = server(func() (*stack.S3, error) {
	return stack.StartMoto(context.Background(), world.tools, serverOptions("moto"), "requirements-glue.txt")
})

// fullBuild is the program with the heavy catalogs.
var fullBuild = sync.OnceValues(func() (string, error) {
	program := filepath.Join(world.dir, "icewright-full")
	build := exec.Command("go", "build", "-tags", "full", "-o", program, "../cmd/icewright")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", &exec.Error{Name: string(out), Err: err}
	}
	return program, nil
})

// The life of a table in Glue. moto does not look at versions of tables, so that races are not for it.
func TestGlue(t *testing.T) {
	program, err := fullBuild()
	if err != nil {
		t.Fatal(err)
	}
	s3 := moto(t)
	l := &lake{name: "glue", program: program, dir: t.TempDir(), newest: 3, keepsSnapshots: true, s3: s3}
	l.flags = []string{
		"--catalog-prop", "type=glue", "--catalog-prop", "glue.endpoint=" + s3.Endpoint, "--catalog-prop", "client.region=" + s3.Region,
		"--catalog-prop", "glue.access-key-id=" + s3.AccessKey, "--catalog-prop", "glue.secret-access-key=" + s3.SecretKey,
		"--warehouse", "s3://" + s3.Bucket + "/glue",
	}
	for k, v := range s3.Properties() {
		l.flags = append(l.flags, "--catalog-prop", k+"="+v)
	}
	l.catalog = map[string]string{
		"type": "glue", "glue.endpoint": s3.Endpoint, "client.region": s3.Region, "warehouse": "s3://" + s3.Bucket + "/glue",
		"glue.access-key-id": s3.AccessKey, "glue.secret-access-key": s3.SecretKey,
	}
	for k, v := range s3.Properties() {
		l.catalog[k] = v
	}
	liveThrough(t, l)
}

// What every catalog is asked, of Glue, but for races.
func TestGlueSuite(t *testing.T) {
	if !slices.Contains(catalog.Types(), "glue") {
		t.Fatal("the tests are built without the tag full: make interop sets it")
	}
	s3 := moto(t)
	cfg := catalog.Config{Warehouse: "s3://" + s3.Bucket + "/suite", Dir: t.TempDir(), Props: iceberg.Properties{
		"type": "glue", "glue.endpoint": s3.Endpoint, "glue.region": s3.Region, "glue.access-key-id": s3.AccessKey, "glue.secret-access-key": s3.SecretKey,
	}}
	for k, v := range s3.Properties() {
		cfg.Props[k] = v
	}
	catalogtest.Run(t, func(t testing.TB) *catalog.Catalog { return openCatalog(t, cfg) }, catalogtest.Traits{OneAtATime: true})
}
