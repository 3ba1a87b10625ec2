//go:build interop

package interop

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/icewright/icewright/internal/fault"
)

var signals = map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 143}

// TestLostAnswers: whatever becomes of the answer to a commit, the run has its effect
// once, says so, and leaves no files that nothing refers to.
func TestLostAnswers(t *testing.T) {
	r := newReader(t)
	cases := []struct {
		faults  string
		commits int
	}{
		{"commit #1 lands, reply lost", 1},
		{"commit #1 lands, answers 500", 1},
		{"commit #1 lands, answers 502", 1},
		{"commit #1 lands, answers 503", 1},
		{"commit #1 lands, answers 504", 1},
		{"commit #1 is lost", 2},
		{"commit #1 answers 502", 2},
		{"commit #1 to #2 answers 503", 3},
		{"commit #1 answers 502\ncommit #2 lands, reply lost", 2},
		// The first load is the one that the load begins with.
		{"commit #1 lands, reply lost\nload #3 to #5 answers 503", 1},
	}
	for _, backend := range restBackends {
		t.Run(backend.name, func(t *testing.T) {
			for _, c := range cases {
				t.Run(strings.ReplaceAll(c.faults, "\n", ", "), func(t *testing.T) {
					l, direct := backend.open(t), backend.open(t)
					table := l.table(t)
					args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date"}
					monday, tuesday := events("2024-01-15", 30, 1), events("2024-01-16", 30, 1)
					l.load(t, table, l.put(t, "before.csv", monday.and(tuesday).csv()), args...)
					stored := len(l.files(t, table))

					proxy := fault.Proxy(t, l.rest.URI, c.faults)
					through := *l
					through.pointTo(proxy.To(l.rest.URI))
					after := events("2024-01-16", 40, 2)
					got := through.load(t, table, l.put(t, "after.csv", after.csv()), args...)
					if got.Status != "published" || got.SnapshotID == nil {
						t.Errorf("the load says %+v", got)
					}
					if landed, sent := proxy.Landed(), proxy.Count("commit"); landed != 1 || sent != c.commits {
						t.Errorf("%d of %d commits landed, want 1 of %d", landed, sent, c.commits)
					}
					r.mustHold(t, direct, table, monday.and(after))
					r.mustTell(t, direct, table, 2)
					if more := len(l.files(t, table)) - stored; more != got.FilesAdded {
						t.Errorf("the load left %d more data files and says it added %d", more, got.FilesAdded)
					}
					if again := l.load(t, table, "after.csv", args...); again.Status != "unchanged" {
						t.Errorf("a rerun says %+v", again)
					}
				})
			}
		})
	}
}

// TestLostAnswerAndAnotherRun: the commit lands, its answer is lost, and another run
// publishes to another partition before anyone looks. Where the catalog keeps snapshots
// the attempt finds its own; where it shows the newest only, the table itself must tell.
func TestLostAnswerAndAnotherRun(t *testing.T) {
	r := newReader(t)
	for _, backend := range restBackends {
		t.Run(backend.name, func(t *testing.T) {
			l := backend.open(t)
			table := l.table(t)
			args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date"}
			monday, tuesday := events("2024-01-15", 30, 1), events("2024-01-16", 30, 1)
			l.load(t, table, l.put(t, "before.csv", monday.and(tuesday).csv()), args...)

			mine, theirs := events("2024-01-16", 40, 2), events("2024-01-15", 35, 2)
			l.put(t, "mine.csv", mine.csv())
			l.put(t, "theirs.csv", theirs.csv())
			proxy := fault.Proxy(t, l.rest.URI, "commit #1 lands, reply lost")
			proxy.Then = func(event string, nth int) {
				if event != "commit" || nth != 1 {
					return
				}
				if got := l.load(t, table, "theirs.csv", args...); got.Status != "published" {
					t.Errorf("the other run says %+v", got)
				}
			}
			through := *l
			through.pointTo(proxy.To(l.rest.URI))
			got := through.load(t, table, "mine.csv", args...)
			if got.Status != "published" && got.Status != "unchanged" {
				t.Errorf("the load says %+v", got)
			}
			if landed, sent := proxy.Landed(), proxy.Count("commit"); landed != 1 {
				t.Errorf("%d of %d commits landed, want one", landed, sent)
			}
			// Were the staged files taken for leftovers, the table would now be unreadable.
			r.mustHold(t, l, table, mine.and(theirs))
			r.mustDescribe(t, l, table)
			r.mustTell(t, l, table, 3)
		})
	}
}
