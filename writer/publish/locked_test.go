package publish_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/publish"
)

// A process that stands still in the middle of its commit to SQLite keeps the lock, and nobody can take it away.
// Who comes after it waits, and lands once it is let go; or gives up when its patience ends, with a fault that may
// pass, and leaves nothing behind.
func TestLockedDatabase(t *testing.T) {
	for name, release := range map[string]bool{"let go": true, "for ever": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "catalog.db")
			cat, err := catalog.Open(t.Context(), catalog.Config{URI: "file:" + file + "?_pragma=busy_timeout(20)", Dir: dir, Home: dir})
			if err != nil {
				t.Fatal(err)
			}
			defer cat.Close()
			spec := catalog.TableSpec{Schema: schema, PartitionBy: "p"}
			if _, _, err := cat.CreateTable(t.Context(), ident, spec); err != nil {
				t.Fatal(err)
			}
			mustPublish(t, cat, "a/a1")
			before := metadataFiles(t, dir)

			db, err := sql.Open("sqlite", "file:"+file)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			zombie, err := db.Conn(t.Context())
			if err == nil {
				_, err = zombie.ExecContext(t.Context(), "BEGIN IMMEDIATE")
			}
			if err != nil {
				t.Fatal(err)
			}
			defer zombie.Close()
			waits, o := 0, quick()
			sleep := o.Sleep
			o.Sleep = func(ctx context.Context, d time.Duration) error {
				if waits++; release && waits == 3 {
					if _, err := zombie.ExecContext(ctx, "ROLLBACK"); err != nil {
						t.Error(err)
					}
				}
				return sleep(ctx, d)
			}
			out, err := publish.Publish(t.Context(), cat, attempt(load(t, cat), 1, "a/a2"), swap(t, "main", "a/a2"), o)
			want := []string{"a/a2"}
			if release {
				if err != nil || out.Snapshot == nil || out.Tries != 1 || waits != 3 {
					t.Errorf("%d tries, %d waits: %v", out.Tries, waits, err)
				}
			} else {
				want = []string{"a/a1"}
				if !errors.Is(err, catalog.ErrTransient) || errors.Is(err, publish.ErrUnknown) {
					t.Errorf("error %v, want one that may pass", err)
				}
				if d := cmp.Diff(before, metadataFiles(t, dir)); d != "" {
					t.Errorf("left behind (-before +after):\n%s", d)
				}
			}
			if d := cmp.Diff(want, live(t, load(t, cat), "main")); d != "" {
				t.Errorf("live files (-want +got):\n%s", d)
			}
		})
	}
}

// metadataFiles lists what the catalog and the table keep, but for the database.
func metadataFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(d.Name(), "catalog.db") {
			files = append(files, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}
