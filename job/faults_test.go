package job

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/tally"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
)

// csvOf is a file of n rows of partition x, which others of another version differ from.
func csvOf(t testing.TB, dir, version string, n int) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("p,n,v\n")
	for i := range n {
		fmt.Fprintf(&text, "x,%d,%s\n", i, version)
	}
	name := filepath.Join(dir, version+".csv")
	if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// What could not be removed is said, by a run that is good otherwise.
func TestLitterIsNamed(t *testing.T) {
	cat := testcat.New(t)
	dir := t.TempDir()
	var warned []string
	j := Job{
		Sources: []string{csvOf(t, dir, "a", 10)}, Table: "db.t", PartitionBy: "p", Catalog: testcat.Config(t, cat),
		Warn: func(text string) { warned = append(warned, text) },
	}
	if _, err := Load(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	testcat.Wrap(cat, fault.Files(t, "remove #1 on fails").Wrap)
	rec, err := Load(t.Context(), j)
	testcat.Wrap(cat, nil)
	if err != nil || rec.Status != Unchanged {
		t.Fatalf("%s, %v", rec.Status, err)
	}
	tbl, err := cat.LoadTable(t.Context(), table.Identifier{"db", "t"})
	if err != nil {
		t.Fatal(err)
	}
	litter := testcat.Litter(t, tbl)
	if len(litter) != 1 || len(warned) != 1 || !strings.Contains(warned[0], path.Base(litter[0])) || !strings.Contains(warned[0], "doctor db.t --litter") {
		t.Errorf("litter %q, warnings %q", litter, warned)
	}
}

// The clock of a machine is set while a load runs, or is wrong all the time, or was wrong when the table was
// last loaded. None of it shows in the table, but for what the clock said.
func TestClockJumps(t *testing.T) {
	y := tally.Of(t, "the clock jumps while it stages, plans or publishes, or was wrong all the time")
	const day = 24 * time.Hour
	for _, at := range []string{"start", "stage", "plan", "publish"} {
		for _, by := range []time.Duration{-time.Hour, time.Hour, -400 * day, 400 * day, -50 * 365 * day} {
			t.Run(fmt.Sprintf("by %v at %s", by, at), func(t *testing.T) {
				cat := testcat.New(t)
				where, dir := testcat.Config(t, cat), t.TempDir()
				load := func(version string, j Job) {
					t.Helper()
					j.Sources, j.Table, j.PartitionBy, j.Catalog = []string{csvOf(t, dir, version, 10)}, "db.t", "p", where
					rec, err := Load(t.Context(), j)
					if err != nil || rec.Status != Published {
						t.Fatalf("version %s: %s, %v", version, rec.Status, err)
					}
					if again, err := Load(t.Context(), j); err != nil || again.Status != Unchanged {
						t.Fatalf("version %s, run again: %s, %v", version, again.Status, err)
					}
				}
				load("a", Job{})
				var jump time.Duration
				j := Job{
					Now: func() time.Time { return time.Now().Add(jump) },
					Progress: func(p writer.Progress) {
						if p.Stage == at {
							jump = by
						}
					},
				}
				if at == "start" {
					jump = by
				}
				load("b", j)
				load("c", Job{}) // by a clock that is right again
				mustAgree(t, cat, 3)
				y.Survived(t, 1, 2, 3, 4, 5, 8)
			})
		}
	}
}

// mustAgree checks that the last load's rows are the table's, that there are n snapshots in order of time, one
// an attempt, and no litter.
func mustAgree(t *testing.T, cat *catalog.Catalog, n int) {
	t.Helper()
	tbl, err := cat.LoadTable(context.WithoutCancel(t.Context()), table.Identifier{"db", "t"})
	if err != nil {
		t.Fatal(err)
	}
	snapshots := tbl.Metadata().Snapshots()
	attempts := map[string]bool{}
	for i, s := range snapshots {
		attempts[s.Summary.Properties["icewright.attempt"]] = true
		if i > 0 && s.TimestampMs < snapshots[i-1].TimestampMs {
			t.Errorf("snapshot %d is of %d, the one before of %d", i, s.TimestampMs, snapshots[i-1].TimestampMs)
		}
	}
	if len(snapshots) != n || len(attempts) != n {
		t.Errorf("%d snapshots by %d attempts, want %d", len(snapshots), len(attempts), n)
	}
	_, recs, err := tbl.Scan().ToArrowRecords(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for rec, err := range recs {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			got[rec.Column(0).ValueStr(i)+rec.Column(2).ValueStr(i)]++
		}
		rec.Release()
	}
	if len(got) != 1 || got["xc"] != 10 {
		t.Errorf("the table has %v", got)
	}
	if l := testcat.Litter(t, tbl); len(l) > 0 {
		t.Errorf("litter: %v", l)
	}
}
