//go:build interop

package interop

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

func TestTwoProcesses(t *testing.T) {
	r := newReader(t)
	const rounds = 5
	for _, backend := range backends {
		t.Run(backend.name, func(t *testing.T) {
			t.Run("disjoint partitions", func(t *testing.T) {
				l := backend.open(t)
				table := l.table(t)
				args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date"}
				var monday, tuesday model
				for round := range rounds { // in the first, both find no table
					monday, tuesday = events("2024-01-15", 50, round+1), events("2024-01-16", 60, round+1)
					l.put(t, "monday.csv", monday.csv())
					l.put(t, "tuesday.csv", tuesday.csv())
					a := l.start(t, loadArgs(table, "monday.csv", args...)...)
					b := l.start(t, loadArgs(table, "tuesday.csv", args...)...)
					for _, p := range []*process{a, b} {
						if code := p.end(t); code != 0 {
							t.Errorf("round %d: exit code %d, want both to land\n%s", round, code, &p.stderr)
						} else if got := p.receipt(t); got.Status != "published" {
							t.Errorf("round %d: %+v", round, got)
						}
					}
					r.mustHoldFor(t, "pyiceberg", l, table, monday.and(tuesday))
				}
				r.mustHold(t, l, table, monday.and(tuesday))
				r.mustTell(t, l, table, 2*rounds)
			})

			t.Run("the same partition", func(t *testing.T) {
				l := backend.open(t)
				table := l.table(t)
				args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date"}
				other := events("2024-01-14", 10, 1)
				l.load(t, table, l.put(t, "other.csv", other.csv()), args...)
				published := 1
				for round := range rounds {
					mine, theirs := events("2024-01-15", 50, 2*round+1), events("2024-01-15", 70, 2*round+2)
					l.put(t, "mine.csv", mine.csv())
					l.put(t, "theirs.csv", theirs.csv())
					a := l.start(t, loadArgs(table, "mine.csv", args...)...)
					b := l.start(t, loadArgs(table, "theirs.csv", args...)...)
					landed := 0
					for _, p := range []*process{a, b} {
						switch code := p.end(t); {
						case code == 0 && p.receipt(t).Status == "published":
							landed++
						case code == 5: // fenced off by the later one
						default:
							t.Errorf("round %d: exit code %d, want 0 or 5\n%s", round, code, &p.stderr)
						}
					}
					if landed == 0 {
						t.Errorf("round %d: neither landed", round)
					}
					published += landed
					var got contents
					if err := r.ask("pyiceberg.read", l, table, nil, &got); err != nil {
						t.Fatal(err)
					}
					want := theirs.and(other)
					if len(got.Rows) == len(mine.rows)+len(other.rows) {
						want = mine.and(other)
					}
					r.mustHold(t, l, table, want)
				}
				r.mustTell(t, l, table, published)
			})
		})
	}
}

// bulk returns enough rows of one day for a load to take a while.
func bulk(day string, amount int) model { return events(day, 60_000, amount) }

func TestKilledAndRunAgain(t *testing.T) {
	r := newReader(t)
	const kills = 4 // at any moment; those at each named point are TestKilledAtEveryPoint's
	for _, backend := range backends {
		t.Run(backend.name, func(t *testing.T) {
			l := backend.open(t)
			table := l.table(t)
			args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date"}
			other := events("2024-01-14", 10, 1)
			l.load(t, table, l.put(t, "other.csv", other.csv()), args...)
			started := time.Now()
			l.load(t, table, l.put(t, "in.csv", bulk("2024-01-15", 0).csv()), args...)
			whole := time.Since(started)

			midway := 0
			for k := 0; k < kills || midway == 0 && k < 2*kills; k++ { // on a machine that got faster all may have come too late
				before, after := bulk("2024-01-15", k), bulk("2024-01-15", k+1)
				l.put(t, "in.csv", after.csv())
				snapshots := len(r.history(t, l, table))

				p := l.start(t, loadArgs(table, "in.csv", args...)...)
				if k < kills {
					time.Sleep(whole * time.Duration(k+1) / kills)
				}
				_ = p.Process.Kill() // too late where it is done, which is a point to test too
				if p.end(t) == -1 {
					midway++
				}
				var got contents
				if err := r.ask("pyiceberg.read", l, table, nil, &got); err != nil {
					t.Fatal(err)
				}
				if !holdsEither(got, before.and(other), after.and(other)) {
					t.Fatalf("killed after %d/%d of its time, the load left something that is neither before nor after", k+1, kills)
				}

				stored := len(l.files(t, table))
				started := time.Now()
				again := l.load(t, table, "in.csv", args...)
				whole = min(whole, time.Since(started)) // the machine has quieter moments
				if again.Status != "published" && again.Status != "unchanged" {
					t.Errorf("the rerun says %+v", again)
				}
				if more := len(l.files(t, table)) - stored; more != again.FilesAdded {
					t.Errorf("the rerun left %d more data files in storage and says it added %d", more, again.FilesAdded)
				}
				if err := r.ask("pyiceberg.read", l, table, nil, &got); err != nil {
					t.Fatal(err)
				}
				if !holdsEither(got, after.and(other)) {
					t.Fatalf("kill %d: the rerun did not load what it read", k)
				}
				if l.keepsSnapshots {
					if n := len(r.history(t, l, table)); n != snapshots+1 {
						t.Errorf("kill %d: a killed load and its rerun made %d snapshots, want one", k, n-snapshots)
					}
				}
			}
			t.Logf("%d of %d loads were killed on the way, a whole one takes %v", midway, kills, whole.Round(time.Millisecond))
			if midway == 0 {
				t.Error("no load was killed on the way")
			}
		})
	}
}

// holdsEither says whether the rows are exactly those of one of the models.
func holdsEither(got contents, models ...model) bool {
	var rows []string
	for _, row := range got.Rows {
		rows = append(rows, canonicalText(row))
	}
	slices.Sort(rows)
	return slices.ContainsFunc(models, func(m model) bool { return slices.Equal(rows, m.canonical()) })
}

// TestSignalledLoadsCleanUp: the load has files in storage and waits for more rows when the signal comes, so it
// is in the midst of staging however fast the machine is.
func TestSignalledLoadsCleanUp(t *testing.T) {
	r := newReader(t)
	text := events("2024-01-15", 300_000, 1).csv()
	for _, backend := range backends {
		for signal, code := range signals {
			t.Run(fmt.Sprintf("%s %v", backend.name, signal), func(t *testing.T) {
				l := backend.open(t)
				table := l.table(t)
				args := []string{
					"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date",
					"--table-prop", "write.target-file-size-bytes=1000", "--table-prop", "write.parquet.row-group-limit=20000",
				}
				other := events("2024-01-14", 10, 1)
				l.load(t, table, l.put(t, "other.csv", other.csv()), args...)
				stored := len(l.files(t, table))

				in, out, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				p := l.startWith(t, in, loadArgs(table, "-", append(args, "--format", "csv")...)...)
				in.Close()
				defer out.Close()
				go func() { _, _ = out.WriteString(text) }() // fails where the load ends sooner
				for deadline := time.Now().Add(time.Minute); len(l.files(t, table)) == stored; time.Sleep(5 * time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("the load stages no file\n%s", &p.stderr)
					}
				}
				p.signal(t, signal)
				if got := p.end(t); got != code {
					t.Errorf("exit code %d, want %d\n%s", got, code, &p.stderr)
				}
				r.mustHold(t, l, table, other)
				if left := len(l.files(t, table)) - stored; left != 0 {
					t.Errorf("%d data files are left behind", left)
				}
			})
		}
	}
}
