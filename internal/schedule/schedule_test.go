package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// history is what three actors of two steps each do, one of which adds a fourth.
func history(seed uint64) string {
	s := New(seed)
	for i := range 3 {
		s.Go(fmt.Sprint(i), func(a *Actor) {
			a.Turn("x")
			if i == 0 {
				s.Go("new", func(a *Actor) { a.Turn("x") })
			}
			a.Turn("y")
		})
	}
	if err := s.Run(); err != nil {
		return err.Error()
	}
	return strings.Join(s.Trace(), ", ")
}

func TestASeedIsOneHistory(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(600) {
		h := history(seed)
		if again := history(seed); again != h {
			t.Fatalf("seed %d:\n%s\nthen\n%s", seed, h, again)
		}
		if steps := strings.Split(h, ", "); len(steps) != 7 || slices.Index(steps, "1: x") > slices.Index(steps, "1: y") {
			t.Fatalf("seed %d: %s", seed, h)
		}
		seen[h]++
	}
	// There are 7!/(3*2*2) = 420.
	if len(seen) < 150 {
		t.Errorf("%d histories in 600 seeds", len(seen))
	}
}

func TestActorsThatNeverEndAreEnded(t *testing.T) {
	s := New(1)
	ended := false
	s.Go("loop", func(a *Actor) {
		defer func() { ended = true }()
		for {
			a.Turn("again")
		}
	})
	s.Go("dies", func(a *Actor) {
		a.Turn("once")
		a.Die()
		t.Error("a dead actor goes on")
	})
	if err := s.Run(); err == nil || !ended {
		t.Errorf("error %v, ended %v", err, ended)
	}
}
