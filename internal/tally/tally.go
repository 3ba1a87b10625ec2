// Package tally counts what the guarantees survived, for docs/guarantees.md. A case is one load that
// something was done to, a fault or a race, after which guarantees were found to hold. A test counts its
// cases, and at its end compares the counts with its row on the page, or with the test flag -rewrite
// (`make guarantees`) writes them there. A run of part of a test's cases compares nothing. Imported by
// tests only.
package tally

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/icewright/icewright/internal/gendoc"
)

// Page is the document that the counts are on.
const Page = "docs/guarantees.md"

// Tally is one test's count.
type Tally struct {
	test string // with its package's folder: writer.TestFaults
	what string

	mu    sync.Mutex
	cases map[string]bool // by name
	kept  map[int]int     // cases by guarantee
	total int
}

// Of begins the count of t, a test function's own t. what says for the page what befalls its loads. When
// t has ended, with all of its cases, the row is compared.
func Of(t *testing.T, what string) *Tally {
	t.Helper()
	_, file, _, _ := runtime.Caller(1)
	y := &Tally{test: folder(t, file) + "." + t.Name(), what: what, cases: map[string]bool{}, kept: map[int]int{}}
	if strings.Contains(t.Name(), "/") {
		t.Fatalf("tally: %s is no test function", t.Name())
	}
	t.Cleanup(func() {
		if whole() && !t.Failed() && !t.Skipped() {
			y.compare(t)
		}
	})
	return y
}

// Survived counts t as a case that keeps the guarantees, once it has ended well.
func (y *Tally) Survived(t testing.TB, guarantees ...int) {
	y.SurvivedTimes(t, 1, guarantees...)
}

// SurvivedTimes counts n cases, where one t sees many. Their number must be the same in every run.
func (y *Tally) SurvivedTimes(t testing.TB, n int, guarantees ...int) {
	t.Cleanup(func() {
		if t.Failed() || t.Skipped() {
			return
		}
		y.mu.Lock()
		defer y.mu.Unlock()
		if y.cases[t.Name()] { // a second round, with -count
			return
		}
		y.cases[t.Name()] = true
		y.total += n
		for _, g := range guarantees {
			y.kept[g] += n
		}
	})
}

// whole tells whether the run left no case of a test out.
func whole() bool {
	for _, name := range []string{"test.run", "test.skip", "test.short"} {
		f := flag.Lookup(name)
		if f == nil {
			continue
		}
		v := f.Value.String()
		if name == "test.run" && !strings.Contains(v, "/") || v == "" || v == "false" {
			continue
		}
		return false
	}
	return true
}

// compare holds the page to the count.
func (y *Tally) compare(t testing.TB) {
	t.Helper()
	page.Lock()
	defer page.Unlock()
	rows := survivals(t)
	i := slices.IndexFunc(rows, func(s survival) bool { return s.test == y.test })
	now := survival{test: y.test, what: y.what, cases: y.total, kept: y.kept}
	switch {
	case i >= 0 && rows[i].equal(now):
		return
	case !*gendoc.Rewrite && i < 0:
		t.Errorf("%s has no row on %s: run `make guarantees`", y.test, Page)
		return
	case !*gendoc.Rewrite:
		t.Errorf("%s says\n%v\nand this run\n%v\nrun `make guarantees`", Page, rows[i], now)
		return
	case i < 0:
		rows = append(rows, now)
	default:
		rows[i] = now
	}
	slices.SortFunc(rows, func(a, b survival) int { return strings.Compare(a.test, b.test) })
	write(t, rows)
}

// page is held while it is read and written. Packages write it one after the other: go test -p 1.
var page sync.Mutex

// survival is a row of the page: what one test has seen.
type survival struct {
	test, what string
	cases      int
	kept       map[int]int
}

func (s survival) equal(o survival) bool {
	return s.test == o.test && s.what == o.what && s.cases == o.cases && maps.Equal(s.nonzero(), o.nonzero())
}

func (s survival) nonzero() map[int]int {
	m := maps.Clone(s.kept)
	maps.DeleteFunc(m, func(_, n int) bool { return n == 0 })
	return m
}

func (s survival) cells() []string {
	row := []string{"`" + s.test + "`", s.what, strconv.Itoa(s.cases)}
	for _, g := range guarantees {
		n := ""
		if s.kept[g.number] > 0 {
			n = strconv.Itoa(s.kept[g.number])
		}
		row = append(row, n)
	}
	return row
}

func (s survival) String() string { return strings.Join(s.cells(), " | ") }

const (
	begin = "<!-- generated: survived -->\n"
	end   = "<!-- end -->"
)

// survivals reads the rows of the page.
func survivals(t testing.TB) []survival {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(gendoc.Root(t), filepath.FromSlash(Page)))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), begin)
	if !ok {
		t.Fatalf("%s has no line %s", Page, strings.TrimSpace(begin))
	}
	section, _, _ := strings.Cut(rest, end)
	var rows []survival
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3+len(guarantees) || !strings.Contains(cells[0], "`") {
			continue // heading
		}
		s := survival{test: strings.Trim(cells[0], " `"), what: strings.TrimSpace(cells[1]), kept: map[int]int{}}
		s.cases, _ = strconv.Atoi(strings.TrimSpace(cells[2]))
		for i, g := range guarantees {
			s.kept[g.number], _ = strconv.Atoi(strings.TrimSpace(cells[3+i]))
		}
		rows = append(rows, s)
	}
	return rows
}

// write puts both tables on the page anew.
func write(t testing.TB, rows []survival) {
	t.Helper()
	gendoc.Check(t, Page, "survived", survivedTable(rows))
	gendoc.Check(t, Page, "guarantees", guaranteeTable(rows))
}

func survivedTable(rows []survival) string {
	header := []string{"test", "what befalls a load", "cases"}
	for _, g := range guarantees {
		header = append(header, strconv.Itoa(g.number))
	}
	var cells [][]string
	for _, s := range rows {
		cells = append(cells, s.cells())
	}
	return gendoc.Table(header, cells...)
}

func guaranteeTable(rows []survival) string {
	var cells [][]string
	for _, g := range guarantees {
		n := 0
		for _, s := range rows {
			n += s.kept[g.number]
		}
		var proofs []string
		for _, p := range g.proofs {
			proofs = append(proofs, "`"+p+"`")
		}
		cells = append(cells, []string{strconv.Itoa(g.number), g.promise, g.kept, strings.Join(proofs, ", "), strconv.Itoa(n)})
	}
	return gendoc.Table([]string{"#", "guarantee", "how it is kept", "tests that prove it", "cases survived"}, cells...)
}

// folder is the package's folder of a source file, from the module's root.
func folder(t testing.TB, file string) string {
	t.Helper()
	if !filepath.IsAbs(file) { // -trimpath: module/folder/file
		return strings.TrimPrefix(filepath.ToSlash(filepath.Dir(file)), "github.com/icewright/icewright/")
	}
	rel, err := filepath.Rel(gendoc.Root(t), filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	return filepath.ToSlash(rel)
}
