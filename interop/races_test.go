//go:build interop

package interop

import (
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/icewright/icewright/internal/tally"
)

// racer is one of many loads that start at once. Its rows carry its name, so that what it did shows.
type racer struct {
	name  string
	days  []string // with rows
	owned []string // what it swaps: these days; nil is the whole table
	args  []string
	field bool // it brings a column of its own

	process *process
	code    int
	receipt receipt
}

const (
	racerRows   = 5 // for each day
	racerSchema = "columns:\n  day: date!\n  run: string\n  n: long\n"
)

func (r *racer) csv() string {
	var b strings.Builder
	b.WriteString("day,run,n")
	if r.field {
		b.WriteString("," + r.name)
	}
	b.WriteString("\n")
	for _, day := range r.days {
		for n := range racerRows {
			fmt.Fprintf(&b, "%s,%s,%d", day, r.name, n)
			if r.field {
				fmt.Fprintf(&b, ",%d", n)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// swap is a snapshot: what it is, and what the table holds in it, rows by day and run.
type swap struct {
	ID        int64                     `json:"id"`
	Operation string                    `json:"operation"`
	Attempt   string                    `json:"attempt"`
	Contents  map[string]map[string]int `json:"contents"`
	Files     []string                  `json:"files"`
}

// race starts the racers at once and waits for them. Any ends well, or says that another was before it.
func race(t *testing.T, l *lake, table string, racers []*racer) {
	t.Helper()
	for _, r := range racers {
		l.put(t, r.name+".csv", r.csv())
	}
	schema := l.put(t, "racers.yaml", racerSchema)
	started := time.Now()
	for _, r := range racers {
		args := []string{"--partition-by", "day", "--run-key", r.name}
		if !r.field {
			args = append(args, "--schema", schema)
		}
		r.process = l.start(t, loadArgs(table, r.name+".csv", append(args, r.args...)...)...)
	}
	tries, most := 0, 0
	codes := map[int]int{}
	var wg sync.WaitGroup
	for _, r := range racers {
		wg.Go(func() { _ = r.process.Wait() })
	}
	wg.Wait()
	for _, r := range racers {
		r.code = r.process.ProcessState.ExitCode()
		codes[r.code]++
		switch r.code {
		case 0:
			r.receipt = r.process.receipt(t)
			tries += r.receipt.Attempts
			most = max(most, r.receipt.Attempts)
		case 5:
		default:
			t.Errorf("%s: exit code %d\n%s", r.name, r.code, &r.process.stderr)
		}
	}
	t.Logf("%d processes in %v: exit codes %v, %d plans for %d snapshots, %d at most for one", len(racers), time.Since(started).Round(time.Millisecond), codes, tries, codes[0], most)
}

// mustBeSerial fails the test unless every snapshot of the table holds what the loads make of it when they run
// one after the other, in the order of the snapshots; each that landed did so once, and nothing lies about.
func mustBeSerial(t *testing.T, l *lake, table string, racers []*racer) (compactions int) {
	t.Helper()
	var swaps []swap
	if err := newReader(t).ask("pyiceberg.swaps", l, table, nil, &swaps); err != nil {
		t.Fatal(err)
	}
	landed := map[string]int{}
	used := map[string]bool{}
	model := map[string]map[string]int{}
	for i, s := range swaps {
		for _, f := range s.Files {
			used[path.Base(f)] = true
		}
		landed[s.Attempt]++
		at := slices.IndexFunc(racers, func(r *racer) bool { return r.code == 0 && r.receipt.Attempt == s.Attempt })
		switch {
		case s.Operation == "replace":
			compactions++
		case at < 0:
			t.Errorf("snapshot %d is of attempt %q, which says nothing of it", i+1, s.Attempt)
		default:
			r := racers[at]
			model = maps.Clone(model)
			maps.DeleteFunc(model, func(day string, _ map[string]int) bool { return r.owned == nil || slices.Contains(r.owned, day) })
			for _, day := range r.days {
				model[day] = map[string]int{r.name: racerRows}
			}
		}
		if got, want := canonicalText(s.Contents), canonicalText(model); got != want {
			t.Errorf("snapshot %d, %s, holds\n%s\nthe model says\n%s", i+1, s.Operation, got, want)
		}
	}
	for _, r := range racers {
		if r.code == 0 && landed[r.receipt.Attempt] != 1 {
			t.Errorf("%s says %s and made %d snapshots", r.name, r.receipt.Status, landed[r.receipt.Attempt])
		}
	}
	for _, f := range l.files(t, table) {
		if !used[path.Base(f)] {
			t.Errorf("no snapshot refers to %s", f)
		}
	}
	return compactions
}

func day(n int) string { return time.Date(2024, 1, 1+n, 0, 0, 0, 0, time.UTC).Format(time.DateOnly) }

// TestRaces: many processes load one table at once, as they are started, without any setting. In the first round
// each has a day of its own, and all must land; in the second they are mixed, while Spark compacts the table.
func TestRaces(t *testing.T) {
	y := tally.Of(t, "16 to 31 others load at the same time, of its slice, of parts of it and of others, and Spark compacts the table")
	for _, c := range []struct {
		backend   int
		disjoint  int
		compactor string // the engine; "": none
	}{{0, 32, "spark"}, {1, 16, "spark"}, {2, 16, ""}, {3, 16, "spark"}} {
		backend := backends[c.backend]
		t.Run(backend.name, func(t *testing.T) {
			l := backend.open(t)
			table := l.table(t)
			var racers []*racer
			add := func(r *racer) {
				r.name = fmt.Sprintf("run%02d", len(racers))
				racers = append(racers, r)
			}
			for i := range c.disjoint {
				add(&racer{days: []string{day(i)}, owned: []string{day(i)}})
			}
			race(t, l, table, racers)
			for _, r := range racers {
				if r.code != 0 {
					t.Errorf("%s has a day of its own and did not land: exit code %d\n%s", r.name, r.code, &r.process.stderr)
				}
			}
			mustBeSerial(t, l, table, racers)

			first := len(racers)
			for i := range 8 { // disjoint
				add(&racer{days: []string{day(i)}, owned: []string{day(i)}})
			}
			for i := range 4 { // overlapping
				days := []string{day(10), day(11 + i%2)}
				add(&racer{days: days, owned: days})
			}
			for i := range 2 { // declared: the second day is emptied
				days := []string{day(12 + i), day(13 + i)}
				add(&racer{days: days[:1], owned: days, args: []string{"--slice", fmt.Sprintf("day in ('%s', '%s')", days[0], days[1])}})
			}
			for i := range 2 { // each with a new column
				days := []string{day(16 + i)}
				add(&racer{days: days, owned: days, field: true, args: []string{"--evolve", "add"}})
			}
			add(&racer{days: []string{day(1), day(20)}, args: []string{"--replace-table"}})
			stop, stopped, under := make(chan struct{}), make(chan struct{}), make(chan struct{})
			done, lost, why := 0, 0, error(nil)
			go func() {
				defer close(stopped)
				if c.compactor == "" {
					close(under)
				}
				for c.compactor != "" {
					_, err := l.sparkTry(t, c.compactor, table, "CALL `default`.system.rewrite_data_files(table => '{name}', options => map('rewrite-all', 'true', 'partial-progress.enabled', 'true'))")
					if err != nil {
						lost++ // to loads: it tells so, and has changed nothing
						why = err
					}
					if done++; done == 1 {
						close(under)
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			}()
			<-under // Spark takes its time to start
			race(t, l, table, racers[first:])
			close(stop)
			<-stopped
			compactions := mustBeSerial(t, l, table, racers)
			y.SurvivedTimes(t, len(racers), 1, 3, 4, 8)
			t.Logf("Spark compacted %d times, %d of which lost; %d snapshots are its own", done, lost, compactions)
			if c.compactor != "" && (done < 2 || done == lost) {
				t.Errorf("Spark compacted the table %d times, %d of which lost: %v", done, lost, why)
			}
		})
	}
}

// inLine leads to the lake's REST catalog by way of a proxy that holds the first commits to its tables until n have
// come, so that all of them are made for the same base, and then lets through one after the other.
func (l *lake) inLine(t testing.TB, n int) *lake {
	var mu, turn sync.Mutex
	came, all := 0, make(chan struct{})
	return l.passing(t, func(r *http.Request, pass func()) {
		if r.Method != http.MethodPost || !toTable.MatchString(r.URL.Path) {
			pass()
			return
		}
		mu.Lock()
		if came++; came == n {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all:
		case <-time.After(time.Minute):
			t.Errorf("of %d commits %d came", n, came)
		}
		turn.Lock()
		defer turn.Unlock()
		pass()
	})
}

// TestFirstLoadsRace: the first commits of loads are all made for a table without a snapshot, which not every
// catalog holds them to: Nessie 0.99 would take each of them for the first. What every load that says published
// has written is there.
func TestFirstLoadsRace(t *testing.T) {
	y := tally.Of(t, "15 other loads commit at the same time for a table on Nessie without a snapshot: made by one of them, or empty before")
	for _, made := range []bool{false, true} {
		name := "no table"
		if made {
			name = "an empty table"
		}
		t.Run(name, func(t *testing.T) {
			l := backends[2].open(t)
			table := l.table(t)
			if made {
				schema := l.put(t, "racers.yaml", racerSchema)
				if p := l.start(t, "table", "create", table, "--schema", schema, "--partition-by", "day"); p.end(t) != 0 {
					t.Fatal(&p.stderr)
				}
			}
			var racers []*racer
			for i := range 12 {
				racers = append(racers, &racer{name: fmt.Sprintf("run%02d", i), days: []string{day(i)}, owned: []string{day(i)}})
			}
			for i := range 4 { // of one slice
				days := []string{day(20), day(21 + i%2)}
				racers = append(racers, &racer{name: fmt.Sprintf("run%02d", 12+i), days: days, owned: days})
			}
			race(t, l.inLine(t, len(racers)), table, racers)
			tries := 0
			for _, r := range racers[:12] {
				tries += r.receipt.Attempts
				if r.code != 0 {
					t.Errorf("%s has a day of its own and did not land: exit code %d\n%s", r.name, r.code, &r.process.stderr)
				}
			}
			if tries < 12+11 {
				t.Errorf("%d plans: the loads did not meet", tries)
			}
			mustBeSerial(t, l, table, racers)
			y.SurvivedTimes(t, len(racers), 1, 3, 4, 8)
		})
	}
}
