package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/job"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/slice"
	"github.com/icewright/icewright/writer/stage"
)

// The codes are frozen: this test repeats them on purpose.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("whatever"), 1},
		{job.ErrUsage, 2},
		{slice.ErrSlice, 2},
		{catalog.ErrConfig, 2},
		{catalog.ErrNotFound, 2},
		{catalog.ErrRejected, 2},
		{plan.ErrGuard, 3},
		{stage.ErrOutside, 3},
		{arrowconv.ErrInput, 4},
		{publish.ErrSuperseded, 5},
		{publish.ErrConflict, 5},
		{catalog.ErrConflict, 5},
		{fmt.Errorf("%w: %w", publish.ErrConflict, catalog.ErrNotFound), 5},
		{catalog.ErrTransient, 5},
		{publish.ErrUnknown, 6},
		{errors.Join(publish.ErrUnknown, catalog.ErrTransient), 6},
	} {
		err := c.err
		if err != nil {
			err = fmt.Errorf("load a.b: %w", err)
		}
		if got := exitCode(t.Context(), err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(interruption{sig})
		if got := exitCode(ctx, fmt.Errorf("stage: %w", context.Canceled)); got != want {
			t.Errorf("%v: exit code %d, want %d", sig, got, want)
		}
		if got := exitCode(ctx, publish.ErrUnknown); got != 6 {
			t.Errorf("%v with an unknown outcome: exit code %d, want 6", sig, got)
		}
	}
}

// The document's table of exit codes is that of the code.
func TestExitCodesAreDocumented(t *testing.T) {
	for _, file := range []string{"../../docs/receipt.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		listed := map[int]bool{}
		for _, m := range regexp.MustCompile(`(?m)^\s*\| (\d+)(?:[,/] ?(\d+))? \|`).FindAllSubmatch(text, -1) {
			for _, code := range m[1:] {
				if n, err := strconv.Atoi(string(code)); err == nil {
					listed[n] = true
				}
			}
		}
		for _, row := range exitCodes {
			if !listed[row.code] {
				t.Errorf("%s does not list exit code %d", file, row.code)
			}
		}
		for _, code := range []int{exitOK, exitFailure, 130, 143} {
			if !listed[code] {
				t.Errorf("%s does not list exit code %d", file, code)
			}
		}
	}
}
