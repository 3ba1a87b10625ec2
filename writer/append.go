package writer

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/publish"
)

// An append adds rows under a run key, once on a branch. That it is once is seen to on every base: the planner
// looks the key up in the table that it plans against, and the commit is pinned to that head. So between the
// look and the commit nobody else can have published under the key, neither another process nor this one's own
// commit whose answer was lost.
//
// No fence: an append takes nothing away, so a zombie that lands late does what it would have done in time.

// Append says how rows are added.
type Append struct {
	// AllowDuplicates adds the rows whether or not they were added before. The default, false, adds them once
	// under a run key.
	AllowDuplicates bool
}

// planAppend is the publish.Planner of an append.
func (r *run) planAppend(ctx context.Context, base *table.Table) (*publish.Change, error) {
	evolved, drift, err := r.readyFor(ctx, base)
	if err != nil {
		return nil, err
	}
	p, err := plan.Append(ctx, evolved, r.o.Branch, r.result.Staged.Files)
	if err != nil {
		return nil, err
	}
	key := r.o.RunKey
	if r.o.Append.AllowDuplicates {
		key = ""
	}
	r.result.Already = nil
	found, err := publishedUnder(base.Metadata(), r.o.Branch, key, r.o.Attempt.String())
	if err != nil {
		return nil, err
	}
	mine := found != nil && found.attempt == r.o.Attempt.String()
	switch digest := r.result.Staged.Digest.String(); {
	case found != nil && !mine && found.digest != digest:
		return nil, &plan.GuardError{
			Reason: fmt.Sprintf("run key %q was used %s for other rows: their digest is %s, that of this input %s (snapshot %d)",
				key, found.at.UTC().Format(time.RFC3339), found.digest, digest, found.snapshot),
			Advice: "if these are other rows, give them another --run-key; if the input was corrected, remove the old rows first",
		}
	case found != nil && !mine:
		p.Add, p.Discard, p.RowsUnchanged, p.RowsWritten, p.Unchanged = nil, r.result.Staged.Files, p.RowsWritten, 0, true
		for i := range p.Partitions {
			p.Partitions[i].RowsAfter, p.Partitions[i].FilesAfter, p.Partitions[i].Changed = p.Partitions[i].RowsBefore, p.Partitions[i].FilesBefore, false
		}
	}
	r.result.Plan = p
	r.result.RowsWritten, r.result.RowsUnchanged = p.RowsWritten, p.RowsUnchanged
	r.result.SchemaChanges = nil
	if err := r.reconcile(); err != nil {
		return nil, err
	}
	if found != nil {
		r.result.Already = &found.snapshot
		if mine {
			r.landed = true
		}
		return nil, nil
	}
	if p.Unchanged {
		return nil, nil
	}
	r.result.SchemaChanges = drift.Changes
	r.progress("publish")
	keys, err := r.runKeysChange(base.Metadata())
	if err != nil {
		return nil, err
	}
	change := &publish.Change{Operation: table.OpAppend, Properties: keys}
	if r.o.Append.AllowDuplicates {
		change.Summary = iceberg.Properties{keyBlind: "true"}
	}
	if len(drift.Changes) > 0 {
		change.Schema = drift.Schema
	}
	for _, f := range p.Add {
		change.Add = append(change.Add, f.DataFile)
	}
	return change, nil
}
