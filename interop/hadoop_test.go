//go:build interop

package interop

import (
	"fmt"
	"strings"
	"testing"
)

// The life of a table in a Hadoop catalog in S3, for those who insist: made, unchanged, replaced,
// loaded by four at a time, listed, altered, dropped. The store heeds conditions, so that none of
// the four is lost.
func TestHadoopInS3(t *testing.T) {
	s3 := versitygw(t)
	l := &lake{name: "hadoop", dir: t.TempDir(), newest: 3, keepsSnapshots: true, s3: s3}
	l.flags = []string{"--catalog-prop", "type=hadoop", "--warehouse", "s3://" + s3.Bucket + "/hadoop"}
	for k, v := range s3.Properties() {
		l.flags = append(l.flags, "--catalog-prop", k+"="+v)
	}
	run := func(code int, args ...string) (stdout, stderr string) {
		t.Helper()
		p := l.start(t, args...)
		if got := p.end(t); got != code {
			t.Fatalf("icewright %s: exit code %d, want %d\n%s\n%s", strings.Join(args, " "), got, code, &p.stdout, &p.stderr)
		}
		return p.stdout.String(), p.stderr.String()
	}
	table := l.table(t)
	l.put(t, "a.csv", events("2024-01-15", 20, 1).csv())
	if _, said := run(2, loadArgs(table, "a.csv")...); !strings.Contains(said, "no atomic rename") || !strings.Contains(said, "allow-unsafe-commits=true") {
		t.Errorf("refused with\n%s", said)
	}

	l.flags = append(l.flags, "--catalog-prop", "allow-unsafe-commits=true")
	if _, said := run(0, loadArgs(table, "a.csv", "--partition-by", "event_date")...); !strings.Contains(said, "two commits can both be acknowledged") {
		t.Errorf("no warning in\n%s", said)
	}
	l.put(t, "b.csv", events("2024-01-15", 20, 2).csv())
	for _, step := range []struct{ source, status string }{{"a.csv", "unchanged"}, {"b.csv", "published"}, {"b.csv", "unchanged"}} {
		if r := l.load(t, table, step.source); r.Status != step.status {
			t.Errorf("%s: %s, want %s", step.source, r.Status, step.status)
		}
	}

	var loads []*process
	for day := range 4 {
		source := l.put(t, fmt.Sprintf("day%d.csv", day), events(fmt.Sprintf("2024-02-0%d", day+1), 5, 1).csv())
		loads = append(loads, l.start(t, loadArgs(table, source)...))
	}
	for _, p := range loads {
		if code := p.end(t); code != 0 {
			t.Errorf("exit code %d: %s", code, &p.stderr)
		}
	}
	if rows, _ := run(0, "show", table, "--output", "json"); strings.Count(rows, "\n") != 40 {
		t.Errorf("rows:\n%s", rows)
	}
	if snapshots, _ := run(0, "history", table, "--output", "json"); strings.Count(snapshots, "\n") != 6 {
		t.Errorf("snapshots:\n%s", snapshots)
	}
	if list, _ := run(0, "table", "list"); !strings.Contains(list, table) {
		t.Errorf("not listed:\n%s", list)
	}
	run(0, "table", "alter", table, "--add-column", "note string")
	if about, _ := run(0, "table", "describe", table); !strings.Contains(about, "note") {
		t.Errorf("not altered:\n%s", about)
	}
	if found, _ := run(0, "doctor", table); !strings.Contains(found, "two commits can both be acknowledged") || !strings.Contains(found, "If-None-Match is heeded") {
		t.Errorf("doctor:\n%s", found)
	}
	run(2, "show", table+"x")
	run(0, "table", "drop", table, "--yes", "--purge")
	for _, name := range l.everything(t) {
		if strings.HasPrefix(name, "/hadoop/interop/") && !strings.HasSuffix(name, "/interop/") {
			t.Errorf("left after a purge: %s", name)
		}
	}
	run(2, "show", table)
}
