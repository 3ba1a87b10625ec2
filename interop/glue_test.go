//go:build interop

package interop

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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

// The life of a table in Glue: made, replaced day by day, unchanged, read by PyIceberg, listed, altered,
// dropped. moto does not look at versions of tables, so that races are not for it.
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
	run := func(code int, args ...string) string {
		t.Helper()
		p := l.start(t, args...)
		if got := p.end(t); got != code {
			t.Fatalf("icewright %s: exit code %d, want %d\n%s\n%s", strings.Join(args, " "), got, code, &p.stdout, &p.stderr)
		}
		return p.stdout.String()
	}
	table := l.table(t)
	l.put(t, "a.csv", events("2024-01-15", 20, 1).csv())
	l.put(t, "b.csv", events("2024-01-15", 20, 2).csv())
	l.put(t, "c.csv", events("2024-01-16", 5, 1).csv())
	schema := []string{"--partition-by", "event_date", "--schema", l.put(t, "schema.yaml", events("", 0, 0).schema())}
	for _, step := range []struct{ source, status string }{
		{"a.csv", "published"}, {"a.csv", "unchanged"}, {"c.csv", "published"}, {"b.csv", "published"}, {"b.csv", "unchanged"},
	} {
		if r := l.load(t, table, step.source, schema...); r.Status != step.status {
			t.Errorf("%s: %s, want %s", step.source, r.Status, step.status)
		}
	}
	r := newReader(t)
	r.mustHoldFor(t, "pyiceberg", l, table, events("2024-01-15", 20, 2).and(events("2024-01-16", 5, 1)))
	r.mustTell(t, l, table, 3)
	if rows := run(0, "show", table, "--output", "json", "--filter", "amount = 2.5"); strings.Count(rows, "\n") != 20 {
		t.Errorf("rows of the last load:\n%s", rows)
	}
	if rows := run(0, "show", table, "--output", "json"); strings.Count(rows, "\n") != 25 {
		t.Errorf("all rows:\n%s", rows)
	}
	if n := strings.Count(run(0, "history", table, "--output", "json"), "\n"); n != 3 {
		t.Errorf("%d snapshots, want 3", n)
	}
	if list := run(0, "table", "list"); !strings.Contains(list, table) {
		t.Errorf("not listed:\n%s", list)
	}
	run(0, "doctor", table)
	run(2, "show", table+"x")
	run(0, "table", "alter", table, "--add-column", "note string")
	run(0, "table", "drop", table, "--yes", "--purge")
	if left := l.files(t, table); len(left) > 0 {
		t.Errorf("files left after a purge: %q", left)
	}
	run(2, "show", table)
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
