package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/icewright/icewright/internal/gendoc"
)

const (
	changesHeader = "customer_id,city,updated_at,op"
	tableHeader   = "customer_id,city,valid_from,valid_to,is_current"
)

// The examples of docs/history.md, as they stand. Each is loaded in three ways, and makes one table.
func TestHistoryExamples(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(gendoc.Root(t), "docs", "history.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, examples, found := strings.Cut(string(text), "\n## Examples\n")
	if !found {
		t.Fatal("docs/history.md has no examples")
	}
	b := newBench(t)
	schema := "columns: {customer_id: long, city: string, valid_from: date, valid_to: date, is_current: boolean}\n"
	if err := os.WriteFile(filepath.Join(b.dir, "schema.yaml"), []byte(schema), 0o644); err != nil {
		t.Fatal(err)
	}
	for n, example := range strings.Split(examples, "\n### ")[1:] {
		name, body, _ := strings.Cut(example, "\n")
		var loads [][]string // of lines
		var want []string
		for block := range strings.SplitSeq(strings.TrimSpace(body), "\n\n") {
			var lines []string
			for line := range strings.Lines(block) {
				lines = append(lines, strings.TrimSpace(line))
			}
			switch lines[0] {
			case changesHeader:
				loads = append(loads, lines[1:])
			case tableHeader:
				want = lines[1:]
			default:
				t.Fatalf("%s: a block that begins with %q", name, lines[0])
			}
		}
		if len(loads) < 2 || len(want) == 0 {
			t.Fatalf("%s: %d loads, and %d rows of the table", name, len(loads), len(want))
		}
		slices.Sort(want)
		backwards := slices.Clone(loads)
		slices.Reverse(backwards)
		for way, loads := range map[string][][]string{"in order": loads, "backwards": backwards, "at once": {slices.Concat(loads...)}} {
			t.Run(name+"/"+way, func(t *testing.T) {
				b := bench{t, b.dir}
				table := fmt.Sprintf("a.t%d_%d", n, len(way))
				for i, rows := range loads {
					if err := os.WriteFile(filepath.Join(b.dir, "in.csv"), []byte(changesHeader+"\n"+strings.Join(rows, "\n")+"\n"), 0o644); err != nil {
						t.Fatal(err)
					}
					args := []string{
						"load", "in.csv", "--table", table, "--mode", "merge", "--key", "customer_id", "--history", "valid_from,valid_to,is_current",
						"--effective", "updated_at", "--delete-when", "op = 'd'",
					}
					if i == 0 {
						args = append(args, "--schema", "schema.yaml")
					}
					b.ok(args...)
					if out := b.ok(args...); !strings.HasPrefix(out, "unchanged") {
						t.Errorf("again: %s", out)
					}
				}
				got := strings.Split(strings.TrimSpace(b.ok("show", table, "--output", "csv")), "\n")[1:]
				if slices.Sort(got); !slices.Equal(got, want) {
					t.Errorf("the table has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			})
		}
	}
}
