package tally

import (
	"testing"

	"github.com/icewright/icewright/internal/gendoc"
)

// The page says what this package does, and claims nothing that no test exercises.
func TestDocsGuarantees(t *testing.T) {
	rows := survivals(t)
	var names []string
	for _, g := range guarantees {
		names = append(names, g.proofs...)
	}
	for _, s := range rows {
		names = append(names, s.test)
	}
	gendoc.Proofs(t, names...)
	write(t, rows)
}

// What write puts on the page is what survivals reads there.
func TestRowsAreReadAsWritten(t *testing.T) {
	rows := survivals(t)
	if len(rows) == 0 {
		t.Fatal("the page has no rows")
	}
	for _, s := range rows {
		if s.cases == 0 || len(s.nonzero()) == 0 {
			t.Errorf("row %v counts nothing", s)
		}
	}
	changed := rows[0]
	changed.kept = map[int]int{1: rows[0].kept[1] + 1}
	if changed.equal(rows[0]) {
		t.Error("a row with another count is equal")
	}
}

// A test's count is its cases that ended well, each once.
func TestSurvived(t *testing.T) {
	y := &Tally{cases: map[string]bool{}, kept: map[int]int{}}
	for range 2 { // as with -count=2
		t.Run("one", func(t *testing.T) { y.Survived(recorded{t, "one"}, 1, 3) })
	}
	t.Run("two", func(t *testing.T) { y.SurvivedTimes(recorded{t, "two"}, 10, 3) })
	t.Run("failed", func(t *testing.T) { y.Survived(failed{t}, 1) })
	if y.total != 11 || y.kept[1] != 1 || y.kept[3] != 11 {
		t.Errorf("%d cases, %v", y.total, y.kept)
	}
}

type recorded struct {
	testing.TB
	name string
}

func (r recorded) Name() string { return r.name }

type failed struct{ testing.TB }

func (failed) Failed() bool { return true }
