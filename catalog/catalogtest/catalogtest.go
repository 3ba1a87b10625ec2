// Package catalogtest is the one suite that every catalog runs: what this program
// needs of a catalog, whoever made it. Its cases use namespaces of their own and
// leave a few tables behind.
package catalogtest

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/icewright/icewright/catalog"
)

// Traits are what catalogs differ in.
type Traits struct {
	// Nested catalogs have namespaces in namespaces.
	Nested bool
	// Exact catalogs drop a table in one step with the check that nobody used it.
	Exact bool
	// FoldsCase catalogs keep names in small letters.
	FoldsCase bool
	// OneAtATime servers, stand-ins for the real thing, let racing commits pass: races are left out.
	OneAtATime bool
	// DropRemoves catalogs cannot forget a table without removing its files.
	DropRemoves bool
}

var schema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	iceberg.NestedField{ID: 2, Name: "day", Type: iceberg.PrimitiveTypes.Date},
)

var spec = catalog.TableSpec{Schema: schema, PartitionBy: "day", SortBy: "id", Props: iceberg.Properties{"owner": "tests"}}

// Run runs the suite. open opens the catalog under test anew, as another process
// would, and closes it when its test ends.
func Run(t *testing.T, open func(t testing.TB) *catalog.Catalog, traits Traits) {
	s := suite{open, traits, "suite_" + strings.ReplaceAll(uuid.NewString()[:8], "-", "")}
	t.Run("a table is made, found, listed and dropped", s.lives)
	if !traits.OneAtATime {
		t.Run("racers make one table", s.racersMakeOneTable)
		t.Run("racing commits land one after the other", s.racingCommits)
		t.Run("a commit that loses leaves no metadata", s.losersLeaveNothing)
	}
	t.Run("a stale base is no success", s.staleBase)
	t.Run("only a table that nobody used is taken back", s.dropIfEmpty)
	t.Run("what is not there is said to be not there", s.notFound)
	t.Run("names keep their case or are one", s.caseOfNames)
	t.Run("namespaces", s.namespaces)
}

type suite struct {
	open   func(testing.TB) *catalog.Catalog
	traits Traits
	prefix string
}

func (s suite) ident(name string) table.Identifier { return table.Identifier{s.prefix, name} }

func (s suite) create(t *testing.T, c *catalog.Catalog, name string) *table.Table {
	t.Helper()
	tbl, created, err := c.CreateTable(t.Context(), s.ident(name), spec)
	if err != nil || !created {
		t.Fatalf("create %s: created %v, %v", name, created, err)
	}
	return tbl
}

func (s suite) set(t *testing.T, c *catalog.Catalog, name, key, value string, reqs ...table.Requirement) error {
	t.Helper()
	_, _, err := c.CommitTable(t.Context(), s.ident(name), reqs, []table.Update{table.NewSetPropertiesUpdate(iceberg.Properties{key: value})})
	return err
}

func (s suite) lives(t *testing.T) {
	c, other := s.open(t), s.open(t)
	made := s.create(t, c, "lives")
	got, err := other.LoadTable(t.Context(), s.ident("lives"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Metadata().TableUUID() != made.Metadata().TableUUID() {
		t.Errorf("loaded %s, made %s", got.Metadata().TableUUID(), made.Metadata().TableUUID())
	}
	if err := (catalog.TableSpec{Schema: schema, PartitionBy: "day", SortBy: "id", Props: spec.Props}).CheckAgainst(got); err != nil {
		t.Error(err)
	}
	again, created, err := other.CreateTable(t.Context(), s.ident("lives"), spec)
	if err != nil || created || again.Metadata().TableUUID() != made.Metadata().TableUUID() {
		t.Errorf("made twice: created %v, %v", created, err)
	}
	if names := s.list(t, other); !slices.Contains(names, "lives") {
		t.Errorf("listed %q", names)
	}
	namespaces, err := other.ListNamespaces(t.Context(), nil)
	if err != nil || !slices.ContainsFunc(namespaces, func(ns table.Identifier) bool { return slices.Equal(ns, table.Identifier{s.prefix}) }) {
		t.Errorf("namespaces %q, %v", namespaces, err)
	}
	drop := c.DropTable
	if s.traits.DropRemoves {
		if err := c.DropTable(t.Context(), s.ident("lives")); catalog.ClassOf(err) != catalog.ErrRejected {
			t.Errorf("a drop that cannot keep the files: %v", err)
		}
		drop = c.PurgeTable
	}
	if err := drop(t.Context(), s.ident("lives")); err != nil {
		t.Fatal(err)
	}
	if _, err := other.LoadTable(t.Context(), s.ident("lives")); catalog.ClassOf(err) != catalog.ErrNotFound {
		t.Errorf("a dropped table: %v", err)
	}
	if names := s.list(t, other); slices.Contains(names, "lives") {
		t.Errorf("a dropped table is listed: %q", names)
	}
}

func (s suite) list(t *testing.T, c *catalog.Catalog) (names []string) {
	t.Helper()
	for id, err := range c.ListTables(t.Context(), table.Identifier{s.prefix}) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, id[len(id)-1])
	}
	return names
}

const racers = 8

func (s suite) racersMakeOneTable(t *testing.T) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	uuids, created := map[uuid.UUID]int{}, 0
	for range racers {
		c := s.open(t)
		wg.Go(func() {
			tbl, mine, err := c.CreateTable(t.Context(), s.ident("raced"), spec)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			uuids[tbl.Metadata().TableUUID()]++
			if mine {
				created++
			}
		})
	}
	wg.Wait()
	if len(uuids) != 1 || created != 1 {
		t.Errorf("%d made a table, and they see %v", created, uuids)
	}
}

// racingCommits: each racer adds properties of its own, and tries again as the class
// of the error says. All must be there in the end, whatever was said on the way.
func (s suite) racingCommits(t *testing.T) {
	const commits = 4
	s.create(t, s.open(t), "counted")
	var wg sync.WaitGroup
	var mu sync.Mutex
	said := map[error]int{}
	for i := range racers {
		c := s.open(t)
		wg.Go(func() {
			for j := range commits {
				key := fmt.Sprintf("k%d-%d", i, j)
				for try := 0; ; try++ {
					err := s.set(t, c, "counted", key, "here")
					mu.Lock()
					said[catalog.ClassOf(err)]++
					mu.Unlock()
					if err == nil {
						break
					}
					if class := catalog.ClassOf(err); try == 100 || class != catalog.ErrConflict && class != catalog.ErrTransient && class != catalog.ErrUnknownState {
						t.Errorf("%s: %v (%v)", key, err, class)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d commits: %v", racers*commits, said)
	tbl, err := s.open(t).LoadTable(t.Context(), s.ident("counted"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range racers {
		for j := range commits {
			if key := fmt.Sprintf("k%d-%d", i, j); tbl.Properties()[key] != "here" {
				t.Errorf("commit %s was acknowledged and is lost", key)
			}
		}
	}
}

func (s suite) staleBase(t *testing.T) {
	c := s.open(t)
	s.create(t, c, "stale")
	base := int64(42)
	err := s.set(t, c, "stale", "a", "b", table.AssertRefSnapshotID("main", &base))
	if class := catalog.ClassOf(err); class != catalog.ErrConflict {
		t.Errorf("%v is %v", err, class)
	}
	tbl, err := c.LoadTable(t.Context(), s.ident("stale"))
	if err != nil || tbl.Properties()["a"] != "" {
		t.Errorf("a commit on a stale base landed: %v", err)
	}
}

func (s suite) losersLeaveNothing(t *testing.T) {
	c := s.open(t)
	s.create(t, c, "tidy")
	var wg sync.WaitGroup
	var mu sync.Mutex
	landed, unsure := 0, 0
	for i := range racers {
		c := s.open(t)
		wg.Go(func() {
			err := s.set(t, c, "tidy", "by", fmt.Sprint(i))
			mu.Lock()
			defer mu.Unlock()
			switch class := catalog.ClassOf(err); {
			case err == nil:
				landed++
			case errors.Is(class, catalog.ErrUnknownState):
				unsure++
			}
		})
	}
	wg.Wait()
	if landed == 0 {
		t.Error("no commit landed")
	}
	tbl, err := c.LoadTable(t.Context(), s.ident("tidy"))
	if err != nil {
		t.Fatal(err)
	}
	files := metadataFiles(t, tbl)
	if n := len(files); n < 1+landed || n > 1+landed+unsure {
		t.Errorf("%d commits landed, %d are unsure, and there are %d metadata files: %q", landed, unsure, n, files)
	}
}

func (s suite) dropIfEmpty(t *testing.T) {
	c := s.open(t)
	empty, used := s.create(t, c, "empty"), s.create(t, c, "used")
	if dropped, err := c.DropIfEmpty(t.Context(), s.ident("empty"), uuid.New()); err != nil || dropped {
		t.Errorf("another table of the name: dropped %v, %v", dropped, err)
	}
	dropped, err := c.DropIfEmpty(t.Context(), s.ident("empty"), empty.Metadata().TableUUID())
	if err != nil || dropped != s.traits.Exact {
		t.Errorf("dropped %v, %v", dropped, err)
	}
	if _, err := c.LoadTable(t.Context(), s.ident("empty")); (catalog.ClassOf(err) == catalog.ErrNotFound) != s.traits.Exact {
		t.Errorf("after the drop: %v", err)
	}
	if err := publish(t, c, used); err != nil {
		t.Fatal(err)
	}
	if dropped, err := c.DropIfEmpty(t.Context(), s.ident("used"), used.Metadata().TableUUID()); err != nil || dropped {
		t.Errorf("a used table: dropped %v, %v", dropped, err)
	}
}

// publish adds a snapshot without rows.
func publish(t *testing.T, c *catalog.Catalog, tbl *table.Table) error {
	id := int64(1)
	seq := int64(1)
	snapshot := table.Snapshot{
		SnapshotID: id, SequenceNumber: seq, TimestampMs: tbl.Metadata().LastUpdatedMillis(),
		ManifestList: tbl.Location() + "/metadata/none.avro", Summary: &table.Summary{Operation: table.OpAppend},
		SchemaID: new(int),
	}
	_, _, err := c.CommitTable(t.Context(), tbl.Identifier(), []table.Requirement{table.AssertTableUUID(tbl.Metadata().TableUUID()), table.AssertRefSnapshotID("main", nil)},
		[]table.Update{table.NewAddSnapshotUpdate(&snapshot), table.NewSetSnapshotRefUpdate("main", id, table.BranchRef, -1, -1, -1)})
	return err
}

func (s suite) notFound(t *testing.T) {
	c := s.open(t)
	s.create(t, c, "found")
	for what, err := range map[string]error{
		"load":         ignore(c.LoadTable(t.Context(), s.ident("nothing"))),
		"no namespace": ignore(c.LoadTable(t.Context(), table.Identifier{s.prefix + "_none", "nothing"})),
		"drop":         c.DropTable(t.Context(), s.ident("nothing")),
	} {
		if catalog.ClassOf(err) != catalog.ErrNotFound {
			t.Errorf("%s: %v is %v", what, err, catalog.ClassOf(err))
		}
	}
	// Without a requirement a catalog may take the commit for a creation.
	if err := s.set(t, c, "nothing", "a", "b", table.AssertTableUUID(uuid.New())); err == nil {
		t.Error("a commit to no table succeeded")
	} else if class := catalog.ClassOf(err); class == nil {
		t.Errorf("commit to no table: %v has no class", err)
	}
}

func ignore(_ *table.Table, err error) error { return err }

func (s suite) caseOfNames(t *testing.T) {
	c := s.open(t)
	lower := s.create(t, c, "cased")
	upper, created, err := c.CreateTable(t.Context(), s.ident("CASED"), spec)
	if err != nil {
		t.Fatal(err)
	}
	if one := upper.Metadata().TableUUID() == lower.Metadata().TableUUID(); one != s.traits.FoldsCase || created == s.traits.FoldsCase {
		t.Errorf("cased and CASED are one table: %v, created %v", one, created)
	}
}

func (s suite) namespaces(t *testing.T) {
	c := s.open(t)
	ident := table.Identifier{s.prefix, "inner", "deep"}
	_, created, err := c.CreateTable(t.Context(), ident, spec)
	if !s.traits.Nested {
		if class := catalog.ClassOf(err); class != catalog.ErrRejected {
			t.Errorf("a namespace in a namespace: created %v, %v is %v", created, err, class)
		}
		return
	}
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	if _, err := c.LoadTable(t.Context(), ident); err != nil {
		t.Error(err)
	}
	if _, err := c.LoadTable(t.Context(), s.ident("deep")); catalog.ClassOf(err) != catalog.ErrNotFound {
		t.Errorf("the inner table in the outer namespace: %v", err)
	}
	inner, err := c.ListNamespaces(t.Context(), table.Identifier{s.prefix})
	if err != nil || !slices.ContainsFunc(inner, func(ns table.Identifier) bool { return slices.Equal(ns, table.Identifier{s.prefix, "inner"}) }) {
		t.Errorf("inner namespaces %q, %v", inner, err)
	}
}

// metadataFiles lists the metadata files in a table's folder.
func metadataFiles(t *testing.T, tbl *table.Table) (files []string) {
	t.Helper()
	fsys, err := catalog.FS(t.Context(), tbl)
	if err != nil {
		t.Fatal(err)
	}
	walker, ok := fsys.(iceio.ListableIO)
	if !ok {
		t.Fatalf("%T lists nothing", fsys)
	}
	if err := walker.WalkDir(tbl.Location()+"/metadata", func(name string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".metadata.json") {
			files = append(files, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}
