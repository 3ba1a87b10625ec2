package testcat

import (
	"context"
	"path"
	"strings"
	"testing"

	"github.com/apache/iceberg-go/table"
)

// Litter returns the files at the table's location that none of its snapshots refers to, table
// metadata apart, sorted.
func Litter(t testing.TB, tbl *table.Table) []string {
	t.Helper()
	fsys, err := tbl.FS(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, s := range tbl.Metadata().Snapshots() {
		used[path.Base(s.ManifestList)] = true
		manifests, err := s.Manifests(fsys)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range manifests {
			used[path.Base(m.FilePath())] = true
			for e, err := range m.Entries(fsys, false) {
				if err != nil {
					t.Fatal(err)
				}
				used[path.Base(e.DataFile().FilePath())] = true
			}
		}
	}
	var litter []string
	for _, f := range Files(tbl.Location()) {
		if !strings.HasSuffix(f, ".metadata.json") && !used[path.Base(f)] {
			litter = append(litter, f)
		}
	}
	return litter
}
