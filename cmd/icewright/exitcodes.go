package main

import (
	"context"
	"errors"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/job"
	"github.com/icewright/icewright/writer/merge"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/slice"
	"github.com/icewright/icewright/writer/stage"
)

// The exit codes. They are frozen: schedulers decide by them whether to try again.
const (
	exitOK          = 0
	exitFailure     = 1  // a defect in icewright, or a failure that no row below covers
	exitUsage       = 2  // usage or configuration: do not retry
	exitGuard       = 3  // a guard or a check refused: do not retry
	exitInput       = 4  // bad input, data or schema: do not retry
	exitConflict    = 5  // conflict, superseded, or a transient fault outlasted the retries: retry
	exitUnknown     = 6  // the commit state is unknown: retry, it is safe
	exitChanges     = 10 // asked for with --exit-code: there is something to change
	exitInterrupted = 128
)

// exitCodes is the one table of them; the first row that fits decides. An unknown outcome comes
// first, since its staged files are still there, whatever else went wrong.
var exitCodes = []struct {
	is   error
	code int
}{
	{publish.ErrUnknown, exitUnknown},
	{job.ErrUsage, exitUsage},
	{slice.ErrSlice, exitUsage},
	{plan.ErrGuard, exitGuard},
	{stage.ErrOutside, exitGuard},
	{merge.ErrColumn, exitUsage},
	{merge.ErrTable, exitGuard},
	{merge.ErrKey, exitInput},
	{job.ErrSchemaDiffers, exitChanges},
	{arrowconv.ErrInput, exitInput},
	{catalog.ErrSchema, exitInput},
	{publish.ErrSuperseded, exitConflict},
	{publish.ErrConflict, exitConflict},
	{catalog.ErrConflict, exitConflict},
	{catalog.ErrTransient, exitConflict},
	{catalog.ErrUnknownState, exitConflict}, // of a call that is safe to repeat; commits say publish.ErrUnknown
	{catalog.ErrConfig, exitUsage},
	{catalog.ErrRejected, exitUsage}, // no right, or not with this catalog: the same call will never succeed
	{catalog.ErrNotFound, exitUsage},
	{job.ErrUnwell, exitGuard}, // last: what made doctor say so has a code of its own, most of the time
}

// exitCode is what the process says about err. A signal outweighs what it made fail, but not an
// unknown outcome: that one left files behind.
func exitCode(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if i, ok := interruptedBy(ctx); ok && !errors.Is(err, publish.ErrUnknown) {
		return exitInterrupted + int(i.signal)
	}
	for _, row := range exitCodes {
		if errors.Is(err, row.is) {
			return row.code
		}
	}
	return exitFailure
}
