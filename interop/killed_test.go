//go:build interop

package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/icewright/icewright/internal/tally"
)

// heeding is the test binary of cmd/icewright. Where it is started under the name icewright it is the program, and
// heeds points (internal/fault).
type heeding struct{ path string }

func (heeding) Stop() error { return nil }

var heeds = server(func() (heeding, error) {
	dir := filepath.Join(world.dir, "heeding")
	h := heeding{filepath.Join(dir, "icewright")}
	build := exec.CommandContext(context.Background(), "go", "test", "-c", "-o", h.path, "../cmd/icewright")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return h, fmt.Errorf("build the tests of cmd/icewright: %w\n%s", err, out)
	}
	return h, nil
})

var passed = regexp.MustCompile(`(?m)^\s+--- PASS: TestKilledAtEveryPoint/(\S+)`)

// TestKilledAtEveryPoint is cmd/icewright's own, with its scenes, on a REST catalog and S3: a load is killed at every
// point that the source names, and a plain rerun makes the table what it is to be.
func TestKilledAtEveryPoint(t *testing.T) {
	y := tally.Of(t, "SIGKILL at every point that the source names, on a REST catalog and S3")
	l := backends[1].open(t)
	cfg := l.config(t)
	venue, err := json.Marshal(map[string]any{
		"URI": cfg.URI, "Warehouse": cfg.Warehouse, "Props": cfg.Props,
		// The server writes the table's metadata, and drops no table on the condition that it is empty.
		"Never": []string{"catalog: metadata file written", "catalog: table dropped"},
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), heeds(t).path, "-test.run", "^TestKilledAtEveryPoint$", "-test.v")
	cmd.Args[0] = "icewright.test"
	cmd.Dir = "../cmd/icewright"
	cmd.Env = append(os.Environ(), "POINTS_VENUE="+string(venue), "AWS_EC2_METADATA_DISABLED=true")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cases := passed.FindAllSubmatch(out, -1)
	if len(cases) < 30 {
		t.Errorf("only %d loads were killed:\n%s", len(cases), out)
	}
	for _, c := range cases {
		t.Run(string(c[1]), func(t *testing.T) {
			kept := []int{1, 2, 3, 5, 6, 8}
			if strings.Contains(t.Name(), "beside_another_run") {
				kept = append(kept, 4)
			}
			y.Survived(t, kept...)
		})
	}
}
