package catalog_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/apache/iceberg-go"
	icecatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
)

func TestClassifyIsIdempotentAndLeavesContextsAlone(t *testing.T) {
	if catalog.Classify(nil) != nil {
		t.Error("nil is an error")
	}
	for _, err := range []error{context.Canceled, fmt.Errorf("while loading: %w", context.DeadlineExceeded)} {
		if got := catalog.Classify(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
	plain := errors.New(`requirement failed: branch "main" has changed`)
	once := catalog.Classify(plain)
	if catalog.ClassOf(once) != catalog.ErrUnknownState || once.Error() != plain.Error() || !errors.Is(once, plain) {
		t.Errorf("%v is %v", once, catalog.ClassOf(once))
	}
	if again := catalog.Classify(fmt.Errorf("again: %w", once)); catalog.ClassOf(again) != catalog.ErrUnknownState {
		t.Errorf("%v is %v", again, catalog.ClassOf(again))
	}
	for err, want := range map[error]error{
		fmt.Errorf("x: %w", table.ErrCommitFailed):                                  catalog.ErrConflict,
		icecatalog.ErrNoSuchNamespace:                                               catalog.ErrNotFound,
		&fs.PathError{Op: "open", Path: "m.json", Err: fs.ErrNotExist}:              catalog.ErrRejected,
		&fs.PathError{Op: "write", Path: "m.json", Err: errors.New("disk is full")}: catalog.ErrTransient,
	} {
		if got := catalog.ClassOf(catalog.Classify(err)); got != want {
			t.Errorf("%v is %v, want %v", err, got, want)
		}
	}
}

func TestSQLiteErrorClasses(t *testing.T) {
	dir := t.TempDir()
	c := open(t, catalog.Config{URI: "sqlite:///lake/catalog.db?_pragma=busy_timeout(30)", Dir: dir})
	wantClass(t, "no namespace", load(t.Context(), c), catalog.ErrNotFound)
	wantClass(t, "commit to no table", commit(t.Context(), c), catalog.ErrNotFound)
	tbl := create(t, c, events, catalog.TableSpec{Schema: eventsSchema})

	// Somebody else holds the database for longer than we wait.
	db, err := sql.Open("sqlite", filepath.Join(dir, "lake", "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	files := len(walk(t, filepath.Join(dir, "lake", "warehouse")))
	wantClass(t, "busy", commit(t.Context(), c), catalog.ErrTransient)
	if n := len(walk(t, filepath.Join(dir, "lake", "warehouse"))); n != files {
		t.Errorf("a commit that did not happen left %d files", n-files)
	}
	if err := load(t.Context(), c); err != nil {
		t.Errorf("a reader waits for the writer: %v", err)
	}
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}

	// A stale base. The library says so in words only; the requirements say what it is.
	base := int64(42)
	_, _, err = c.CommitTable(t.Context(), events, []table.Requirement{table.AssertRefSnapshotID("main", &base)},
		[]table.Update{table.NewSetPropertiesUpdate(iceberg.Properties{"a": "b"})})
	wantClass(t, "stale base", err, catalog.ErrConflict)

	// The metadata file is gone: the table is broken, not missing.
	if err := os.Rename(tbl.MetadataLocation(), tbl.MetadataLocation()+".gone"); err != nil {
		t.Fatal(err)
	}
	wantClass(t, "no metadata file", load(t.Context(), c), catalog.ErrRejected)
	if err := os.WriteFile(tbl.MetadataLocation(), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantClass(t, "bad metadata file", load(t.Context(), c), catalog.ErrRejected)

	junk := filepath.Join(dir, "junk.db")
	if err := os.WriteFile(junk, []byte(strings.Repeat("not a database ", 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{"sqlite:///junk.db", "sqlite:///junk.db/below.db", "sqlite:////dev/null/x/y.db"} {
		if _, err := catalog.Open(t.Context(), catalog.Config{URI: uri, Dir: dir}); catalog.ClassOf(err) != catalog.ErrConfig {
			t.Errorf("%s: %v is %v", uri, err, catalog.ClassOf(err))
		}
	}
}

// Whoever loses a race hears of a conflict or of a stale base, and leaves no file.
func TestSQLiteRacingCommits(t *testing.T) {
	dir := t.TempDir()
	c := open(t, catalog.Config{Dir: dir})
	tbl := create(t, c, events, catalog.TableSpec{Schema: eventsSchema})
	var mu sync.Mutex
	var wg sync.WaitGroup
	landed, conflicts := 0, 0
	for i := range 8 {
		wg.Go(func() {
			for j := range 5 {
				_, _, err := c.CommitTable(t.Context(), events, nil, []table.Update{
					table.NewSetPropertiesUpdate(iceberg.Properties{fmt.Sprintf("k%d", i): fmt.Sprint(j)}),
				})
				mu.Lock()
				switch {
				case err == nil:
					landed++
				case errors.Is(err, catalog.ErrConflict):
					conflicts++
				default:
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if files := len(walk(t, filepath.Join(tbl.Location(), "metadata"))); files != 1+landed {
		t.Errorf("%d landed, %d conflicts, %d metadata files", landed, conflicts, files)
	}
	if conflicts == 0 {
		t.Log("no two commits met")
	}
}

func TestMemoryFilesAbort(t *testing.T) {
	c := testcat.New(t)
	tbl := create(t, c, events, catalog.TableSpec{Schema: eventsSchema})
	fsys, err := catalog.FS(t.Context(), tbl)
	if err != nil {
		t.Fatal(err)
	}
	name := tbl.Location() + "/data/a.parquet"
	w, err := fsys.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if err := catalog.Abort(fsys, name, w); err != nil {
		t.Fatal(err)
	}
	if got := testcat.Files(tbl.Location() + "/data"); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}
