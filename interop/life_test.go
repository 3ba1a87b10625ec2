//go:build interop

package interop

import (
	"strings"
	"testing"
)

// liveThrough is the life of a table in a catalog: made, replaced day by day, unchanged, read by PyIceberg, listed,
// altered, dropped.
func liveThrough(t *testing.T, l *lake) {
	t.Helper()
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
