//go:build interop

package interop

import (
	"fmt"
	"strconv"
	"testing"
)

// TestSpecEvolution: files of every column, under one partition spec, are cut by loads under another.
// What is carried over is what every reader saw before, and what the manifests say of the new files is
// true.
func TestSpecEvolution(t *testing.T) {
	borrow := readers(t)
	upTo10 := func(r row) bool { id, _ := strconv.Atoi(r[0].in); return id <= 10 }
	for i, c := range []struct {
		before, after, slice string
		inside               func(row) bool
	}{
		{"i", "b", "", func(r row) bool { return r[1].want == true }},
		{"month(tz)", "day(ts), s", "b = true", func(r row) bool { return r[1].want == true }},
		{"s", "bucket(4, id)", "id <= 10", upTo10},
		{"bucket(4, id)", "bucket(2, id)", "id <= 10", upTo10},
		{"", "truncate(2, s), hour(tz)", "id <= 10", upTo10},
		{"day(day)", "none", "id <= 10", upTo10},
	} {
		for _, version := range [][]int{{1, 2}, {2, 3}, {2}}[i%3] {
			t.Run(fmt.Sprintf("v%d %s to %s", version, c.before, c.after), func(t *testing.T) {
				r, l, table := borrow(t), sqliteLake(t), "interop.spec"
				first := wide(columns, 1, rowsOfWide, 0)
				fresh := wide(columns, 1, rowsOfWide, 3).where(c.inside)
				args := []string{"--schema", l.put(t, "schema.yaml", first.schema()), "--format-version", strconv.Itoa(version), "--replace-table"}
				if c.before != "" {
					args = append(args, "--partition-by", c.before)
				}
				l.load(t, table, l.put(t, "first.ndjson", first.ndjson()), args...)
				if status, _ := l.alter(t, table, "--partition-by", c.after); status != "altered" {
					t.Fatalf("the spec is %s", status)
				}
				l.put(t, "fresh.ndjson", fresh.ndjson())
				args = []string{"--allow-shrink"}
				if c.slice != "" {
					args = append(args, "--slice", c.slice)
				}
				got := l.load(t, table, "fresh.ndjson", args...)
				if got.Status != "published" || got.FilesRewritten == 0 || got.RowsKept == 0 || got.RowsWritten != len(fresh.rows) {
					t.Errorf("the load says %+v", got)
				}
				want := first.where(func(r row) bool { return !c.inside(r) }).and(fresh)
				r.mustHold(t, l, table, want)
				r.mustFilter(t, l, table, want.filters())
				r.mustDescribe(t, l, table)
				if again := l.load(t, table, "fresh.ndjson", args...); again.Status != "unchanged" || again.FilesRewritten != 0 {
					t.Errorf("the same load again says %+v", again)
				}
			})
		}
	}
}
