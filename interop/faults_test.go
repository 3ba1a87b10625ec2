//go:build interop

package interop

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/tally"
)

var signals = map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 143}

// TestFaultyServers: whatever the catalog and the object store do to a load, it has its effect once or ends
// with an error that asks for a rerun. That, a plain one, makes the table what it is to be, and nothing that
// nothing refers to is left.
func TestFaultyServers(t *testing.T) {
	y := tally.Of(t, "a faulty proxy before the catalog, and before the S3 server: answers lost, late, wrong and torn, writes and reads that fail, throttling, credentials that expire")
	borrow := readers(t)
	cases := []struct {
		catalog, s3 string // what the proxies do
		code        int    // how the load ends; 0: well
		commits     int    // that are sent; 0: no matter
		litter      int    // files that can't be removed
	}{
		{catalog: "commit #1 lands, reply lost", commits: 1},
		{catalog: "commit #1 lands, answers 500", commits: 1},
		{catalog: "commit #1 lands, answers 502", commits: 1},
		{catalog: "commit #1 lands, answers 503", commits: 1},
		{catalog: "commit #1 lands, answers 504", commits: 1},
		{catalog: "commit #1 lands, answers 409", commits: 1},
		{catalog: "commit #1 is torn", commits: 1},
		{catalog: "commit #1 is slow", commits: 1},
		{catalog: "commit #1 lands late"},
		{catalog: "commit #1 is lost", commits: 2},
		{catalog: "commit #1 answers 409", commits: 2},
		{catalog: "commit #1 answers 500", commits: 2},
		{catalog: "commit #1 answers 502", commits: 2},
		{catalog: "commit #1 answers 504", commits: 2},
		{catalog: "commit #1 to #2 answers 503", commits: 3},
		{catalog: "commit #2 lands, reply lost\ncommit #1 answers 502", commits: 2},
		// The first load is the one that the load begins with.
		{catalog: "load #3 to #5 answers 503\ncommit #1 lands, reply lost", commits: 1},
		{catalog: "load #1 answers 503", code: 5},
		{catalog: "load #1 fails", code: 5},

		{s3: "write #1 is torn"},
		{s3: "write #2 lands, reply lost"},
		{s3: "write #3 is slow"},
		{s3: "write #3 to #4 answers 503 SlowDown"},
		{s3: "write #1 on answers 503 SlowDown", code: 5},
		{s3: "write #4 on fails", code: 5},
		{s3: "read #1 is torn"},
		{s3: "read #1 to #2 answers 503 SlowDown"},
		{s3: "read #1 on answers 503 SlowDown", code: 5},
		{s3: "remove #1 on answers 403 AccessDenied", litter: 1},
		{s3: "credentials expire after 3 requests", code: 5, litter: 2}, // nor can they remove anything
		{s3: "write #2 is torn", catalog: "commit #1 lands, reply lost"},
	}
	for _, backend := range restBackends {
		t.Run(backend.name, func(t *testing.T) {
			// This starts the servers, before the cases compete for them.
			overrides := backend.open(t).rest.Name == "nessie"
			for _, c := range cases {
				if c.s3 != "" && overrides {
					continue // the catalog says which S3 server to ask, and that is not the proxy
				}
				t.Run(strings.ReplaceAll(strings.Trim(c.s3+"\n"+c.catalog, "\n"), "\n", ", "), func(t *testing.T) {
					r := borrow(t)
					l, direct := backend.open(t), backend.open(t)
					table := l.table(t)
					args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date"}
					sunday, monday, tuesday := events("2024-01-14", 20, 1), events("2024-01-15", 30, 1), events("2024-01-16", 30, 1)
					before := sunday.and(monday).and(tuesday)
					l.load(t, table, l.put(t, "before.csv", before.csv()), args...)
					stored := len(l.files(t, table))

					// Monday stays as it is: what was staged for it is removed.
					after := events("2024-01-16", 40, 2)
					l.put(t, "after.csv", monday.and(after).csv())
					proxy, store := fault.Proxy(t, l.rest.URI, c.catalog), fault.Proxy(t, l.s3.Endpoint, c.s3)
					through := *l
					through.pointToBoth(proxy.To(l.rest.URI), store.URL)
					// As many retries as ever, but shorter waits between them.
					through.flags = append(through.flags, "--catalog-prop", "s3.retry.max-wait-ms=500")
					p := through.start(t, loadArgs(table, "after.csv", append(args, "--no-vended-credentials")...)...)
					if code := p.end(t); code != c.code {
						t.Fatalf("exit code %d, want %d\n%s", code, c.code, &p.stderr)
					}
					if peak := p.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; peak > 1<<20+150<<10 {
						t.Errorf("the load took %d MiB", peak>>10)
					}
					landed, sent := proxy.Landed(), proxy.Count("commit")
					if c.code == 0 {
						if got := p.receipt(t); got.Status != "published" || got.SnapshotID == nil || got.RowsRead != got.RowsWritten+got.RowsUnchanged {
							t.Errorf("the load says %+v", got)
						}
						if landed != 1 || c.commits > 0 && sent != c.commits {
							t.Errorf("%d of %d commits landed, want 1 of %d", landed, sent, c.commits)
						}
					} else {
						if landed != 0 || !strings.Contains(p.stderr.String(), "hint: ") {
							t.Errorf("%d commits landed, and the error is %s", landed, &p.stderr)
						}
						r.mustHoldFor(t, "pyiceberg", direct, table, before)
					}
					if named := strings.Count(p.stderr.String(), ".parquet"); named < c.litter {
						t.Errorf("%d of %d files that stay are named: %s", named, c.litter, &p.stderr)
					}

					again := l.load(t, table, "after.csv", args...)
					if want := map[bool]string{true: "unchanged", false: "published"}[c.code == 0]; again.Status != want {
						t.Errorf("a rerun says %+v", again)
					}
					r.mustHold(t, direct, table, sunday.and(monday).and(after))
					r.mustTell(t, direct, table, 2)
					if more := len(l.files(t, table)) - stored; more != 1+c.litter {
						t.Errorf("there are %d more data files, want %d", more, 1+c.litter)
					}
					y.Survived(t, 1, 2, 3, 5, 6, 8, 9)
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
