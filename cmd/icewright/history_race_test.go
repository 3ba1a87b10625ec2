package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/icewright/icewright/job"
)

// chainLines are the rows of a history as `show --output csv` prints them, told from nothing but what happened to each key
// when: city "" is a delete. Times are texts that sort.
func chainLines(changes map[int]map[string]string) (lines []string) {
	for id, chain := range changes {
		live := false
		times := slices.Sorted(maps.Keys(chain))
		for i, at := range times {
			next := ""
			if i+1 < len(times) {
				next = times[i+1]
			}
			switch city := chain[at]; {
			case city != "":
				lines = append(lines, fmt.Sprintf("%d,%s,%s,%s,%t", id, city, at, next, next == ""))
			case !live:
				lines = append(lines, fmt.Sprintf("%d,,%s,%s,false", id, at, at))
			}
			live = chain[at] != ""
		}
	}
	slices.Sort(lines)
	return lines
}

// Eight processes bring changes of the same customers at the same time: times that lie between those of others, deletes,
// and changes that two of them bring. Whatever order they land in, the chains are those of the model, and no process
// has anything left to do afterwards. (writer has the same with goroutines, on every format version.)
func TestEightProcessesKeepHistory(t *testing.T) {
	const writers, keys, each = 8, 12, 4
	b := newBench(t)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	history := []string{"--mode", "merge", "--key", "id", "--history", "since,until,now", "--effective", "at", "--delete-when", "op = 'd'", "--workers", "1"}
	write("schema.yaml", "columns: {id: long!, city: string, since: timestamptz, until: timestamptz, now: boolean}\n")
	write("first.csv", "id,city,at,op\n0,first,2024-01-01T00:00:00Z,\n")
	b.ok(append([]string{"load", "first.csv", "--table", "a.t", "--schema", "schema.yaml", "--partition-by", "now"}, history...)...)
	model := map[int]map[string]string{0: {"2024-01-01T00:00:00Z": "first"}}
	var commands, racing [][]string
	for w := range writers {
		var text strings.Builder
		text.WriteString("id,city,at,op\n")
		for id := range keys {
			if model[id] == nil {
				model[id] = map[string]string{}
			}
			for n := range each {
				// Each writer has moments of its own between those of the others, and one that its neighbour has as well.
				of := w
				if n == 0 {
					of = w - w%2
				}
				at := fmt.Sprintf("2024-01-02T%02d:00:%02dZ", (n*5+of*7)%24, of)
				city := fmt.Sprintf("city%d", of)
				if (id+of+n)%5 == 0 {
					city = ""
				}
				model[id][at] = city
				op := ""
				if city == "" {
					op = "d"
				}
				fmt.Fprintf(&text, "%d,%s,%s,%s\n", id, city, at, op)
			}
		}
		name := fmt.Sprintf("w%d.csv", w)
		write(name, text.String())
		command := append([]string{"load", name, "--table", "a.t"}, history...)
		commands = append(commands, command)
		racing = append(racing, append(slices.Clone(command), "--output", "json"))
	}
	lost := 0
	for w, r := range b.race(racing...) {
		if r.Status != job.Published || r.RowsRead != keys*each {
			t.Errorf("writer %d: %s, %d rows read: %+v", w, r.Status, r.RowsRead, r.Error)
		}
		lost += r.Attempts - 1
	}
	t.Logf("%d races were lost", lost)
	table := func() []string {
		lines := strings.Split(strings.TrimSpace(b.ok("show", "a.t", "--output", "csv", "--limit", "1000")), "\n")[1:]
		slices.Sort(lines)
		return lines
	}
	want := chainLines(model)
	if got := table(); !slices.Equal(got, want) {
		t.Errorf("the table has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, command := range commands {
		if out := b.ok(command...); !strings.HasPrefix(out, "unchanged") {
			t.Errorf("%s again: %s", command[1], out)
		}
	}
}
