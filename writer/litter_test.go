package writer_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/publish"
)

// unknowable is a load whose commit never arrives and whose catalog goes away: all of its files stay.
func unknowable(t *testing.T, cat publish.Catalog, rows ...row) {
	t.Helper()
	broken := fault.New(t, cat, "commit #1 is lost\nload #2 fails")
	o := quick()
	o.Patience = time.Nanosecond
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	_, err := writer.Load(t.Context(), broken, current(t, cat), batches(t, mem, 3, nil, rows...), writer.Options{Publish: o})
	if !errors.Is(err, publish.ErrUnknown) {
		t.Fatalf("%v, want an unknown outcome", err)
	}
}

func onDisk(t *testing.T, props map[string]string) *catalog.Catalog {
	t.Helper()
	cat, err := catalog.Open(t.Context(), catalog.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cat.Close() })
	if _, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: schema, PartitionBy: "region", Props: props}); err != nil {
		t.Fatal(err)
	}
	return cat
}

// TestLitter: what a lost run leaves is litter once it is old enough, to the last file and nothing
// else: not what snapshots hold or held, not what others wrote, not what another run may be about to
// publish.
func TestLitter(t *testing.T) {
	for name, props := range map[string]map[string]string{
		"plain":  nil,
		"hashed": {table.ObjectStoreEnabledKey: "true"},
		"hashed, without folders": {
			table.ObjectStoreEnabledKey: "true", table.WriteObjectStorePartitionedPathsKey: "false",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cat := onDisk(t, props)
			mustLoad(t, cat, writer.Options{}, row{1, "eu", 1}, row{2, "us", 2})
			mustLoad(t, cat, writer.Options{AllowShrink: true}, row{3, "eu", 3}) // the first file of eu is history now
			before := everyFile(t, cat)
			unknowable(t, cat, row{4, "eu", 4}, row{5, "asia", 5})
			left := without(everyFile(t, cat), before)
			if len(left) != 5 {
				t.Fatalf("a lost run of two partitions left %q, want two data files, two manifests and a list", left)
			}
			want := scan(t, cat)

			// A file that some other program staged, and one that a user put there.
			tbl := current(t, cat)
			for _, name := range []string{"data/00000-0-6a0b8a1e-94a4-4d3e-9a6b-0c7f0e5d2b11-00001.parquet", "metadata/6a0b8a1e-94a4-4d3e-9a6b-0c7f0e5d2b11-m0.avro", "data/notes.txt"} {
				fsys, err := catalog.FS(t.Context(), tbl)
				if err != nil {
					t.Fatal(err)
				}
				if err := fsys.WriteFile(tbl.Location()+"/"+name, []byte("x")); err != nil {
					t.Fatal(err)
				}
			}

			young, err := writer.FindLitter(t.Context(), cat, tbl, time.Now().Add(-writer.LitterAge))
			if err != nil || len(young.Files) != 0 || young.Young != len(left) {
				t.Errorf("a minute later: %+v, %v, want %d young files and no litter", young, err, len(left))
			}
			old, err := writer.FindLitter(t.Context(), cat, tbl, time.Now().Add(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, f := range old.Files {
				found = append(found, filepath.Base(f.Path))
				if f.Bytes == 0 || time.Since(f.Modified) > time.Hour {
					t.Errorf("%s: %d bytes, modified %s", f.Path, f.Bytes, f.Modified)
				}
			}
			slices.Sort(found)
			if !slices.Equal(found, left) || old.Young != 0 {
				t.Errorf("litter %q and %d young, want %q", found, old.Young, left)
			}
			if n, err := writer.RemoveLitter(t.Context(), tbl, old.Files); n != len(left) || err != nil {
				t.Errorf("removed %d, %v", n, err)
			}
			if rest := without(everyFile(t, cat), before); len(rest) != 3 {
				t.Errorf("left: %q, want the three files of others", rest)
			}
			if got := scan(t, cat); !slices.Equal(got, want) {
				t.Errorf("the table has %v, want %v", got, want)
			}
			mustLoad(t, cat, writer.Options{}, row{4, "eu", 4}, row{5, "asia", 5})
		})
	}
}

// TestLitterOfALiveRun: an attempt that staged its last file just now is live, and so are all of
// its files, however old the first.
func TestLitterOfALiveRun(t *testing.T) {
	cat := onDisk(t, nil)
	unknowable(t, cat, row{4, "eu", 4}, row{5, "asia", 5})
	tbl := current(t, cat)
	files := everyPath(t, cat)
	dataFile := files[slices.IndexFunc(files, func(f string) bool { return strings.Contains(f, "eu") })]
	age(t, dataFile, 48*time.Hour)
	litter, err := writer.FindLitter(t.Context(), cat, tbl, time.Now().Add(-24*time.Hour))
	if err != nil || len(litter.Files) != 0 {
		t.Errorf("%+v, %v: a run that staged asia a moment ago still needs eu", litter, err)
	}
}

// TestSharedFoldersAreNotSwept: below a data path outside the table other tables have files, too.
func TestSharedFoldersAreNotSwept(t *testing.T) {
	shared := "file://" + filepath.ToSlash(t.TempDir())
	cat := onDisk(t, map[string]string{table.WriteDataPathKey: shared})
	unknowable(t, cat, row{4, "eu", 4})
	litter, err := writer.FindLitter(t.Context(), cat, current(t, cat), time.Now().Add(time.Minute))
	if err != nil || !slices.Equal(litter.Elsewhere, []string{shared}) {
		t.Errorf("%+v, %v, want %s named", litter, err, shared)
	}
	for _, f := range litter.Files {
		if !strings.HasSuffix(f.Path, ".avro") {
			t.Errorf("%s is taken for litter", f.Path)
		}
	}
}

// vandal removes staged files when the table is loaded for the first plan.
type vandal struct {
	publish.Catalog
	t    *testing.T
	loot func(string) bool
}

func (v *vandal) LoadTable(ctx context.Context, id table.Identifier) (*table.Table, error) {
	tbl, err := v.Catalog.LoadTable(ctx, id)
	if err != nil || v.loot == nil {
		return tbl, err
	}
	for _, f := range testcat.Litter(v.t, tbl) {
		if v.loot(f) {
			fsys, err := tbl.FS(ctx)
			if err != nil {
				return nil, err
			}
			if err := fsys.(iceio.WriteFileIO).Remove(f); err != nil {
				return nil, err
			}
		}
	}
	v.loot = nil
	return tbl, nil
}

// TestStagedFilesThatWereRemoved: a run so old that its files may have been taken for litter looks
// for them before it publishes, and where one is gone it fails and may be run again.
func TestStagedFilesThatWereRemoved(t *testing.T) {
	cat := newTable(t, "region")
	mustLoad(t, cat, writer.Options{}, row{1, "eu", 1})
	want := scan(t, cat)
	o := quick()
	o.Now = func() time.Time { return time.Now().Add(writer.LitterAge) }
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	rows := func() []row { return []row{{2, "eu", 2}, {3, "us", 3}} }
	thief := &vandal{cat, t, func(f string) bool { return strings.Contains(f, "region=us") }}
	_, err := writer.Load(t.Context(), thief, current(t, cat), batches(t, mem, 3, nil, rows()...), writer.Options{Publish: o})
	if !errors.Is(err, publish.ErrConflict) || !strings.Contains(err.Error(), "region=us") {
		t.Errorf("%v, want a conflict that names the file", err)
	}
	if got := scan(t, cat); !slices.Equal(got, want) {
		t.Errorf("the table has %v, want %v", got, want)
	}
	if litter := testcat.Litter(t, current(t, cat)); len(litter) > 0 {
		t.Errorf("left behind: %q", litter)
	}
	if _, err := writer.Load(t.Context(), cat, current(t, cat), batches(t, mem, 3, nil, rows()...), writer.Options{Publish: o}); err != nil {
		t.Errorf("run again: %v", err)
	}
}

// sweeper removes litter of any age when a load has staged its files and looks at the table for its first plan.
type sweeper struct {
	publish.Catalog
	removed int
}

func (s *sweeper) LoadTable(ctx context.Context, id table.Identifier) (*table.Table, error) {
	tbl, err := s.Catalog.LoadTable(ctx, id)
	if err != nil || s.removed > 0 {
		return tbl, err
	}
	found, err := writer.FindLitter(ctx, s.Catalog, tbl, time.Now().Add(time.Minute))
	if err != nil {
		return nil, err
	}
	s.removed, err = writer.RemoveLitter(ctx, tbl, found.Files)
	return tbl, err
}

// TestLitterByAStaleList: a LIST that does not show yet what a live run has staged names none of it, so that the run
// publishes; what a dead one left is removed. A load asks for no list, so that no stale one can mislead it.
func TestLitterByAStaleList(t *testing.T) {
	cat := newTable(t, "region")
	mustLoad(t, cat, writer.Options{}, row{1, "eu", 1})
	unknowable(t, cat, row{4, "eu", 4}, row{5, "asia", 5})
	dead := testcat.Litter(t, current(t, cat))
	store := fault.Files(t, "list #1 to #2 is stale")
	testcat.Wrap(cat, store.Wrap)
	defer testcat.Wrap(cat, nil)
	s := &sweeper{Catalog: cat}
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	res, err := writer.Load(t.Context(), s, current(t, cat), batches(t, mem, 3, nil, row{2, "eu", 2}, row{3, "us", 3}), writer.Options{Publish: quick()})
	if err != nil || res.Status != writer.Published {
		t.Fatalf("%s, %v", res.Status, err)
	}
	if s.removed != len(dead) || len(dead) == 0 || store.Count("list") != 2 {
		t.Errorf("%d files removed by %d lists, of %d that the dead run left", s.removed, store.Count("list"), len(dead))
	}
	if got, want := scan(t, cat), sorted(row{2, "eu", 2}, row{3, "us", 3}); !slices.Equal(got, want) {
		t.Errorf("the table has %v, want %v", got, want)
	}
	if litter := testcat.Litter(t, current(t, cat)); len(litter) > 0 {
		t.Errorf("left behind: %q", litter)
	}
}

func everyPath(t *testing.T, cat *catalog.Catalog) (paths []string) {
	t.Helper()
	root := strings.TrimPrefix(current(t, cat).Location(), "file://")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, ".metadata.json") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func everyFile(t *testing.T, cat *catalog.Catalog) (names []string) {
	t.Helper()
	for _, p := range everyPath(t, cat) {
		names = append(names, filepath.Base(p))
	}
	slices.Sort(names)
	return names
}

func without(names, some []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(some, n) })
}

func age(t *testing.T, file string, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	if err := os.Chtimes(file, then, then); err != nil {
		t.Fatal(err)
	}
}
