package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/icewright/icewright/localstack/stack"
)

var rewrite = flag.Bool("rewrite", false, "write docs/benchmarks.md anew from its figures")

// The page says what the figures beside it say: neither is edited by hand, and no figure outlives its case.
func TestDocsBenchmarks(t *testing.T) {
	docs := filepath.Join("..", "docs")
	all, err := readResults(filepath.Join(docs, "benchmarks", "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	fresh := t.TempDir()
	if *rewrite {
		fresh = docs
	}
	if err := writeDocs(fresh, all); err != nil {
		t.Fatal(err)
	}
	names := []string{"benchmarks.md"}
	for _, r := range all {
		names = append(names, filepath.Join("benchmarks", r.Name+".svg"))
	}
	for _, name := range names {
		want, err := os.ReadFile(filepath.Join(fresh, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(docs, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/%s does not show docs/benchmarks/results.json (%v): run go run ./bench -render", name, err)
		}
	}
}

// Every case can be asked for by its name, its targets name its contestants, and its inputs have schemas.
func TestCases(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases {
		if seen[c.name] || !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(c.name) {
			t.Errorf("the name %q is odd, or comes twice", c.name)
		}
		seen[c.name] = true
		names := map[string]bool{"": true}
		for _, who := range c.contestants {
			names[who.name] = true
			input := ""
			switch j := who.job.(type) {
			case load:
				input = j.Input
			case bare:
				input = j.Input
			case duckdb:
				input = j.Input
			case python:
				input = j.Input
			}
			if input != "" {
				if _, err := schemaOf(input); err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
			}
		}
		if len(c.targets) == 0 {
			t.Errorf("%s: nothing to reach", c.name)
		}
		for _, target := range c.targets {
			if !names[target.peer] || (target.ratio > 0) != (target.peer != "") {
				t.Errorf("%s: a target against %q, which is no contestant", c.name, target.peer)
			}
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 9, 2}, 3}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.values, got, c.want)
		}
	}
}

// figures are two rounds of a case against DuckDB: ratios 0.5 and 0.7, so that their median, 0.6, is not the
// ratio of the medians.
func figures() result {
	return result{Name: "lineitem-1", Commit: "abc", When: "2026-01-01", Contestants: []measured{
		{ours, []measure{{Wall: 1, User: 2, Peak: 300 << 20, Rows: 100, In: 5e6, Out: 2e6, Files: 1}, {Wall: 2.1, Peak: 500 << 20, Rows: 100, In: 5e6, Out: 2e6}}},
		{duck, []measure{{Wall: 2, Rows: 100, Out: 1.9e6}, {Wall: 3, Rows: 100, Out: 1.9e6}}},
	}}
}

// A ratio is the median of the rounds' own. A target that is missed by a little is missed, and one is checked that nobody
// wrote down: the size of the output.
func TestVerdicts(t *testing.T) {
	c := benchmark{targets: []target{{peer: duck, ratio: 0.61, memory: 399}}}
	got := judge(c, figures())
	want := []verdict{
		{duck, "at most 0.61x", "0.60x", true},
		{"memory", "at most 399 MiB", "400 MiB", false},
		{"size of the smallest peer's output", "at most 1.05x", "1.05x", false},
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	}
	r := figures()
	for i := range r.Contestants[0].Rounds {
		r.Contestants[0].Rounds[i].Rows *= 5
	}
	c = benchmark{differ: true, targets: []target{{peer: duck, ratio: 0.1, perRow: true}}}
	if got := judge(c, r); len(got) != 1 || got[0].got != "0.12x" || got[0].reached {
		t.Errorf("per row: %+v", got)
	}
	c = benchmark{differ: true, targets: []target{{seconds: 1.5}, {seconds: 1.6}}}
	if got := judge(c, r); len(got) != 2 || got[0].reached || !got[1].reached {
		t.Errorf("seconds: %+v", got)
	}
}

// The page has the target table, the verdicts, and a section with a plot that is a picture; a case that was not run is left out.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	if err := writeDocs(dir, []result{figures(), {Name: "a case that is no more"}}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"| [lineitem CSV, 1 partition](#lineitem-1) | DuckDB | at most 0.85x | 0.60x | reached |",
		"| [lineitem CSV, 1 partition](#lineitem-1) | memory | at most 400 MiB | 400 MiB | reached |",
		"| icewright | 1.550 | 1.00 | 400 MiB | 65 | 3 | 2.0 | 1 |  |",
		"| DuckDB | 2.500 | 0.00 | 0 MiB | 40 |  | 1.9 |  | 0.60x (0.50 to 0.70) |",
		"![wall seconds](benchmarks/lineitem-1.svg)",
	} {
		if !strings.Contains(string(page), line+"\n") {
			t.Errorf("the page lacks %q:\n%s", line, page)
		}
	}
	if strings.Contains(string(page), "no more") || strings.Contains(string(page), "lineitem-84)") {
		t.Errorf("the page has a case that was not measured:\n%s", page)
	}
	svg, err := os.ReadFile(filepath.Join(dir, "benchmarks", "lineitem-1.svg"))
	if err != nil {
		t.Fatal(err)
	}
	bars := 0
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v:\n%s", err, svg)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "line" {
			bars++
		}
	}
	if bars != 2 {
		t.Errorf("%d bars for 2 contestants:\n%s", bars, svg)
	}
	again, err := readResults(filepath.Join(dir, "benchmarks", "results.json"))
	if err != nil || len(again) != 1 || again[0].Contestants[0].Rounds[1].Wall != 2.1 {
		t.Errorf("figures read back: %+v, %v", again, err)
	}
}

// Files whose ids overlap have rows in common, unless one changes them; and rows of days come in order.
func TestRows(t *testing.T) {
	dir := t.TempDir()
	digest := func(r rows) string {
		if err := os.MkdirAll(filepath.Join(dir, r.name()), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := r.write(filepath.Join(dir, r.name(), "rows.parquet")); err != nil {
			t.Fatal(err)
		}
		sum, err := digestBelow(t.Context(), filepath.Join(dir, r.name()), ordersSchema())
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	whole := digest(rows{Count: 90, New: 10, Above: 90})
	if got := digest(rows{Count: 100}); got != whole {
		t.Errorf("the rows 0 to 99 are %s, and %s in two parts", got, whole)
	}
	if got := digest(rows{Count: 100, Change: 1}); got == whole {
		t.Error("a change changes nothing")
	}
	if got := digest(rows{Count: 100, PerDay: 10}); got == whole {
		t.Error("rows of days come as others do")
	}
	if r := (rows{First: 1000, Count: 500, Every: 2, New: 300, Above: 4000, PerDay: 100}).scaled(0.01); r != (rows{First: 10, Count: 5, Every: 2, New: 3, Above: 40, PerDay: 1}) {
		t.Errorf("scaled: %+v", r)
	}
}

func TestUnknownNames(t *testing.T) {
	if _, err := choose("no-such-case"); err == nil || !strings.Contains(err.Error(), "-list") {
		t.Errorf("error %v", err)
	}
	if err := generate(io.Discard, "orders", 1); err == nil || !strings.Contains(err.Error(), "flat-events") {
		t.Errorf("error %v", err)
	}
}

// A case at a thousandth of its size, with nothing but Go: the program is built, runs in its own process, and what it
// wrote is read back. A contestant that wrote other rows ends the run.
func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	b := bench{log: io.Discard, rounds: 1, scale: 0.001, dir: dir, tools: &stack.Tools{Dir: dir, Log: io.Discard}}
	var err error
	if b.icewright, err = b.build(t.Context(), "icewright", "cmd/icewright"); err != nil {
		t.Fatal(err)
	}
	if b.self, err = b.build(t.Context(), "bench", "bench"); err != nil {
		t.Fatal(err)
	}
	c := benchmark{name: "smoke", contestants: []contestant{
		{ours, load{Input: "lineitem", Partition: "month(l_shipdate)"}},
		{"one partition", load{Input: "lineitem"}},
		{"bare", bare{Input: "lineitem", Partition: "month(l_shipdate)"}},
	}}
	res, err := b.measure(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range res.Contestants {
		if len(who.Rounds) != 1 || who.Rounds[0].Rows == 0 || who.Rounds[0].Peak == 0 || who.Rounds[0].Wall == 0 || who.Rounds[0].Out == 0 {
			t.Errorf("%s: %+v", who.Name, who.Rounds)
		}
	}
	c.contestants[1].job = load{Input: "lineitem", Copies: 2}
	if _, err := b.measure(t.Context(), c); err == nil || !strings.Contains(err.Error(), "other rows") {
		t.Errorf("a contestant wrote its rows twice: error %v", err)
	}
	// Such a case takes no others with it, and writes no figures.
	c.name = "lineitem-1"
	if err := b.runAll(t.Context(), []benchmark{c, {name: "version", contestants: []contestant{{ours, version{}}}}}); err == nil || !strings.Contains(err.Error(), "lineitem-1: ") {
		t.Errorf("error %v", err)
	}
	if all, err := readResults(filepath.Join(dir, "report-0.001", "benchmarks", "results.json")); err != nil || len(all) != 1 || all[0].Name != "version" {
		t.Errorf("figures %+v, %v", all, err)
	}
	merged := byKey{Base: tenMillion, Changes: changes, Args: byID, Unpruned: true}
	again := merged
	again.Rerun = true
	byKeys := benchmark{name: "merge", contestants: []contestant{{ours, merged}, {"again", again}}}
	if res, err = b.measure(t.Context(), byKeys); err != nil {
		t.Fatal(err)
	}
	for i, files := range []int{1, 0} {
		if m := res.Contestants[i].Rounds[0]; m.Rows != 100 || (m.Files > 0) != (files > 0) {
			t.Errorf("%s: %+v", res.Contestants[i].Name, m)
		}
	}
	m := benchmark{name: "memory", contestants: []contestant{
		{ours, inMemory{Writer: "stage"}}, {"WriteRecords", inMemory{Writer: "WriteRecords"}}, {"pqarrow", inMemory{Writer: "pqarrow"}},
	}}
	if _, err := b.measure(t.Context(), m); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "run-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
