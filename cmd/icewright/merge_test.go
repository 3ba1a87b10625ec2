package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/icewright/icewright/job"
)

// Eight processes merge into the same rows at the same time, each counting in a column of its own: the sum of all
// counters is what they counted, so no update was lost, whoever won which race, and whether a file was written anew or
// had rows hidden in it. (writer has the same with goroutines, on every format version.)
func TestEightProcessesMerge(t *testing.T) {
	const cow, mor = job.CopyOnWrite, job.MergeOnRead
	for _, c := range []struct {
		name, version string
		strategies    []job.Strategy // of the processes, in turn
	}{
		{"copy-on-write", "2", []job.Strategy{cow}},
		{"merge-on-read, position deletes", "2", []job.Strategy{mor}},
		{"both, position deletes", "2", []job.Strategy{cow, mor}},
		{"both, deletion vectors", "3", []job.Strategy{mor, cow, mor}},
	} {
		t.Run(c.name, func(t *testing.T) { eightMerge(t, c.version, c.strategies) })
	}
}

func eightMerge(t *testing.T, version string, strategies []job.Strategy) {
	const writers, keys = 8, 40
	b := newBench(t)
	columns := "columns: {id: long!"
	for w := range writers {
		columns += fmt.Sprintf(", c%d: long", w)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("schema.yaml", columns+"}\n")
	write("first.csv", "id\n0\n1\n2\n")
	b.ok("load", "first.csv", "--table", "a.t", "--mode", "merge", "--key", "id", "--schema", "schema.yaml", "--partition-by", "bucket(4, id)", "--format-version", version)
	var commands [][]string
	sum := 0
	for w := range writers {
		var text strings.Builder
		fmt.Fprintf(&text, "id,c%d\n", w)
		for id := range keys {
			if (id+w)%4 > 0 { // each key is in most inputs, and in no two the same
				fmt.Fprintf(&text, "%d,%d\n", id, w+1)
				sum += w + 1
			}
		}
		name := fmt.Sprintf("c%d.csv", w)
		write(name, text.String())
		commands = append(commands, []string{
			"load", name, "--table", "a.t", "--mode", "merge", "--key", "id", "--workers", "1",
			"--strategy", string(strategies[w%len(strategies)]),
		})
	}
	lost := 0
	hid := map[job.Strategy]int64{}
	var racing [][]string
	for _, command := range commands {
		racing = append(racing, append(slices.Clone(command), "--output", "json"))
	}
	for w, r := range b.race(racing...) {
		if r.Status != job.Published || r.RowsWritten != keys*3/4 || r.Strategy != strategies[w%len(strategies)] {
			t.Errorf("writer %d: %s by %s, %d rows written: %+v", w, r.Status, r.Strategy, r.RowsWritten, r.Error)
		}
		lost += r.Attempts - 1
		hid[r.Strategy] += r.PositionsDeleted
	}
	t.Logf("%d races were lost, %d positions were hidden", lost, hid[job.MergeOnRead])
	if hid[job.CopyOnWrite] > 0 || slices.Contains(strategies, job.MergeOnRead) && hid[job.MergeOnRead] == 0 {
		t.Errorf("hidden positions: %v", hid)
	}
	rows, err := csv.NewReader(strings.NewReader(b.ok("show", "a.t", "--output", "csv", "--limit", "1000"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		for _, cell := range row[1:] {
			n, _ := strconv.Atoi(cell)
			sum -= n
		}
	}
	if len(rows)-1 != keys || sum != 0 {
		t.Errorf("%d rows, and %d of what was counted is missing", len(rows)-1, sum)
	}
	for _, command := range commands {
		if out := b.ok(command...); !strings.HasPrefix(out, "unchanged") {
			t.Errorf("%s again: %s", command[1], out)
		}
	}
}

// Eight processes insert the same keys at the same time, with a window and without: each key is there once, and
// inserted by one of them.
func TestEightProcessesInsert(t *testing.T) {
	const writers, keys = 8, 40
	b := newBench(t)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("first.csv", "id,ts,who\n0,2024-01-01T00:00:00,first\n")
	b.ok("load", "first.csv", "--table", "a.t", "--mode", "insert", "--key", "id", "--partition-by", "bucket(4, id)")
	var commands, racing [][]string
	for w := range writers {
		var text strings.Builder
		text.WriteString("id,ts,who\n")
		for id := range keys {
			if (id+w)%4 > 0 { // each key is in most inputs
				fmt.Fprintf(&text, "%d,2024-01-01T00:00:0%d,%d\n", id, w, w)
			}
		}
		name := fmt.Sprintf("i%d.csv", w)
		write(name, text.String())
		command := []string{"load", name, "--table", "a.t", "--mode", "insert", "--key", "id", "--workers", "1"}
		if w%2 > 0 {
			command = append(command, "--window", "1h", "--event-time", "ts")
		}
		commands = append(commands, command)
		racing = append(racing, append(slices.Clone(command), "--output", "json"))
	}
	lost, inserted := 0, int64(1)
	for w, r := range b.race(racing...) {
		if r.Error != nil || r.RowsInserted+r.RowsUnchanged != keys*3/4 {
			t.Errorf("writer %d: %s, %d inserted, %d there: %+v", w, r.Status, r.RowsInserted, r.RowsUnchanged, r.Error)
		}
		lost += r.Attempts - 1
		inserted += r.RowsInserted
	}
	t.Logf("%d races were lost", lost)
	rows, err := csv.NewReader(strings.NewReader(b.ok("show", "a.t", "--output", "csv", "--limit", "1000"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, row := range rows[1:] {
		ids[row[0]] = true
	}
	if len(rows)-1 != keys || len(ids) != keys || inserted != keys {
		t.Errorf("%d rows with %d keys, and %d were inserted, want %d", len(rows)-1, len(ids), inserted, keys)
	}
	for _, command := range commands {
		if out := b.ok(command...); !strings.HasPrefix(out, "unchanged") {
			t.Errorf("%s again: %s", command[1], out)
		}
	}
}
