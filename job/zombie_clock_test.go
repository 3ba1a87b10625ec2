package job

import (
	"errors"
	"testing"
	"time"

	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/publish"
)

// A zombie wakes after its retry has published, on a machine with another clock. One whose clock is behind is
// fenced off. One whose clock is ahead of its retry's for longer than it stood still cannot be told from a load that
// started later, and wins: docs/design.md says so. Even then what the table holds is that of the one after the
// other, whole, and the retry run once more has its rows back.
func TestZombiesWithWrongClocks(t *testing.T) {
	for name, c := range map[string]struct {
		off  time.Duration
		wins bool
	}{
		"an hour behind":      {-time.Hour, false},
		"50 years behind":     {-50 * 365 * 24 * time.Hour, false},
		"right":               {0, false},
		"an hour ahead":       {time.Hour, true},
		"ahead, but not late": {time.Nanosecond, false}, // than its retry
	} {
		t.Run(name, func(t *testing.T) {
			cat := testcat.New(t)
			where, dir := testcat.Config(t, cat), t.TempDir()
			load := func(version string, j Job) (Receipt, error) {
				j.Sources, j.Table, j.PartitionBy, j.Catalog = []string{csvOf(t, dir, version, 10)}, "db.t", "p", where
				return Load(t.Context(), j)
			}
			mustLand := func(version string) {
				t.Helper()
				if rec, err := load(version, Job{}); err != nil || rec.Status != Published {
					t.Fatalf("version %s: %s, %v", version, rec.Status, err)
				}
			}
			mustLand("a")
			retried := false
			rec, err := load("b", Job{
				Now: func() time.Time { return time.Now().Add(c.off) },
				Progress: func(p writer.Progress) {
					if p.Stage == "plan" && !retried { // it stands still while all of this goes on
						retried = true
						mustLand("c")
					}
				},
			})
			switch {
			case !retried:
				t.Fatal("it was never stopped")
			case !c.wins:
				if !errors.Is(err, publish.ErrSuperseded) || rec.Status != Superseded {
					t.Errorf("the zombie is %s: %v", rec.Status, err)
				}
				mustAgree(t, cat, 2)
			default:
				if err != nil || rec.Status != Published {
					t.Errorf("the zombie is %s: %v", rec.Status, err)
				}
				mustLand("c") // its rows are gone, or it would be unchanged
				mustAgree(t, cat, 4)
			}
		})
	}
}
