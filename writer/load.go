// Package writer turns a stream of batches into one published snapshot. A run goes through three
// rooms that don't know one another: stage writes data files, plan decides what publishing them
// would change, publish makes the change visible. Load is the way through them. The package
// knows nothing of formats or origins.
package writer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/point"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/slice"
	"github.com/icewright/icewright/writer/stage"
)

// Load writes the rows of in to the table and publishes them, replacing the slice they fall in, or with
// Options.Merge the rows that have their keys; with Options.Insert only those are added whose keys are not there; under Options.Append they are added, once.
// It takes over in's batches. tbl is the table as the caller saw it before it opened the input:
// what others publish from then on may fence this attempt. Errors wrap the sentinels of the
// rooms. After every error but publish.ErrUnknown, nothing of the run is left.
func Load(ctx context.Context, cat publish.Catalog, tbl *table.Table, in iter.Seq2[arrowconv.Batch, error], o Options) (Result, error) {
	r := newRun(cat, tbl, o)
	if o.Merge != nil || o.Insert != nil {
		return r.merge(ctx, in)
	}
	if err := r.stage(ctx, in); err != nil {
		return r.result, err
	}
	point.Reach("writer: all files staged")
	if o.DryRun {
		err := r.dryRun(ctx)
		return r.result, errors.Join(err, r.remove(ctx, r.allStaged()))
	}
	outcome, err := publish.Publish(ctx, cat, r.attempt(), r.planner(), o.Publish)
	r.finish(outcome)
	return r.result, r.cleanUp(ctx, outcome, err)
}

// run is one attempt on its way through the rooms.
type run struct {
	cat    publish.Catalog
	table  *table.Table
	o      Options
	result Result
	since  time.Time

	looks   plan.Looks
	carried []carried          // of the last plan
	landed  bool               // the last plan found that an earlier commit of this attempt went in
	stale   []slice.StagedFile // staged for an earlier plan, of no use to the last
}

func newRun(cat publish.Catalog, tbl *table.Table, o Options) *run {
	if o.Branch == "" {
		o.Branch = table.MainBranch
	}
	if o.Job == "" {
		switch {
		case o.Merge != nil:
			o.Job = MergeName(tbl.Identifier(), o.Merge.Key)
		case o.Insert != nil:
			o.Job = InsertName(tbl.Identifier(), o.Insert.Key)
		case o.Append != nil:
			o.Job = JobName(tbl.Identifier(), "append", nil)
		default:
			o.Job = JobName(tbl.Identifier(), "replace", o.Slice)
		}
	}
	if o.RunKey == "" && o.Append == nil {
		o.RunKey = o.Job
	}
	if o.Attempt == uuid.Nil {
		o.Attempt = uuid.Must(uuid.NewV7())
	}
	if o.Started.IsZero() {
		o.Started = time.Now()
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return &run{
		cat: cat, table: tbl, o: o, since: time.Now(),
		result: Result{
			Branch: o.Branch, Job: o.Job, RunKey: o.RunKey, Attempt: o.Attempt,
			Seconds: map[string]float64{"stage": 0, "plan": 0, "rewrite": 0, "publish": 0},
		},
	}
}

// JobName names a load that has no job file: by its table, mode and slice.
func JobName(ident table.Identifier, mode string, s *slice.Slice) string {
	name := strings.Join(ident, ".") + " " + mode
	if s != nil {
		name += " " + s.String()
	}
	return name
}

// lap books the time since the last lap to a stage of the run.
func (r *run) lap(stage string) {
	now := time.Now()
	r.result.Seconds[stage] += now.Sub(r.since).Seconds()
	r.since = now
}

func (r *run) stage(ctx context.Context, in iter.Seq2[arrowconv.Batch, error]) error {
	defer r.lap("stage")
	r.o.Progress(Progress{Stage: "stage"})
	o := stage.Options{
		Outside: r.o.Outside, Memory: r.o.Memory, SpillDir: r.o.SpillDir, Workers: r.o.Workers,
		Progress: func(p stage.Progress) {
			r.o.Progress(Progress{Stage: "stage", Rows: p.RowsRead, Bytes: p.BytesRead, Partitions: int64(p.Partitions)})
		},
	}
	if r.o.Slice != nil {
		o.Slice = r.o.Slice
	}
	tbl := r.table
	if r.o.Schema != nil && !r.o.Schema.Equals(tbl.Schema()) {
		var err error
		if tbl, err = catalog.WithSchema(tbl, r.o.Schema); err != nil {
			return err
		}
	}
	staged, err := stage.Stage(ctx, tbl, in, o)
	if err != nil {
		return err
	}
	r.result.Staged = *staged
	r.result.RowsRead, r.result.BytesRead = staged.RowsRead, staged.BytesRead
	r.result.RowsRejected, r.result.RowsFiltered = staged.RowsRejected, staged.RowsFiltered
	if r.o.RunKey == "" { // of an append: what it adds is its name
		r.o.RunKey = staged.Digest.String()
		r.result.RunKey = r.o.RunKey
	}
	return nil
}

// planner is the run's, with the time that it takes.
func (r *run) planner() publish.Planner {
	p := r.planAgain
	if r.o.Append != nil {
		p = r.planAppend
	}
	return func(ctx context.Context, base *table.Table) (*publish.Change, error) {
		r.lap("publish")
		defer r.lap("plan")
		r.progress("plan")
		return p(ctx, base)
	}
}

// readyFor sees that the staged files can be published on base, and returns it as it is to be with them.
func (r *run) readyFor(ctx context.Context, base *table.Table) (*table.Table, catalog.Drift, error) {
	if was, is := r.table.Metadata().DefaultPartitionSpec(), base.Metadata().DefaultPartitionSpec(); was != is {
		return nil, catalog.Drift{}, fmt.Errorf("%w: the partition spec of %s changed while the rows were staged (spec %d, now %d)",
			publish.ErrConflict, strings.Join(base.Identifier(), "."), was, is)
	}
	if err := r.present(ctx); err != nil {
		return nil, catalog.Drift{}, err
	}
	return r.evolve(base)
}

// planAgain is the publish.Planner of a replace.
func (r *run) planAgain(ctx context.Context, base *table.Table) (*publish.Change, error) {
	evolved, drift, err := r.readyFor(ctx, base)
	if err != nil {
		return nil, err
	}
	p, err := plan.Replace(ctx, evolved, r.result.Staged.Files, plan.Options{
		Branch: r.o.Branch, Slice: r.o.Slice, ReplaceTable: r.o.ReplaceTable, OnEmpty: r.o.OnEmpty,
		MaxShrink: r.o.MaxShrink, AllowShrink: r.o.AllowShrink, CompareRows: r.o.CompareRows,
		Partitions: func(schema *iceberg.Schema, spec iceberg.PartitionSpec) (plan.Partitions, error) {
			return stage.NewPartitions(schema, spec)
		},
		Looks: &r.looks,
	})
	if err != nil {
		return nil, err
	}
	r.result.Plan = p
	r.result.RowsWritten, r.result.RowsUnchanged = p.RowsWritten, p.RowsUnchanged
	// Without a row to publish the schema stays as well: a snapshot carries both or there is none.
	r.result.SchemaChanges = nil
	if err := r.reconcile(); err != nil {
		return nil, err
	}
	if err := r.carry(ctx, evolved, p); err != nil || p.Unchanged {
		return nil, err
	}
	r.result.SchemaChanges = drift.Changes
	r.progress("publish")
	change := &publish.Change{
		Operation: table.OpOverwrite,
		Remove:    p.Remove,
		Summary:   r.summary(p),
	}
	if len(drift.Changes) > 0 {
		change.Schema = drift.Schema
	}
	for _, f := range slices.Concat(p.Add, r.result.Carried) {
		change.Add = append(change.Add, f.DataFile)
	}
	return change, nil
}

// present looks for the staged files where the run is so old that they may have been taken for litter:
// a snapshot that refers to a missing file cannot be read.
func (r *run) present(ctx context.Context) error {
	now := time.Now
	if r.o.Publish.Now != nil {
		now = r.o.Publish.Now
	}
	if now().Sub(r.o.Started) < LitterAge {
		return nil
	}
	files := slices.Concat(r.result.Staged.Files, r.result.Carried, r.result.Deletes)
	gone, err := stage.Missing(ctx, r.table, files)
	if err != nil {
		return err
	}
	if len(gone) > 0 {
		return fmt.Errorf("%w: %d of %d staged files were removed before they could be published, %s for one: "+
			"something cleans up files that are younger than this run", publish.ErrConflict, len(gone), len(files), gone[0])
	}
	return nil
}

// evolve returns base as it is to be when the rows are in it. Rows that were staged for another schema
// than it has by then, because another run gave the same field id to something else, are a conflict: they
// have to be read again.
func (r *run) evolve(base *table.Table) (*table.Table, catalog.Drift, error) {
	if r.o.Evolve == nil {
		return base, catalog.Drift{}, nil
	}
	drift := r.o.Evolve(base)
	staged := r.o.Schema
	if staged == nil {
		staged = r.table.Schema()
	}
	if err := catalog.Fits(staged, drift.Schema, base.Metadata().Version()); err != nil {
		return nil, drift, fmt.Errorf("%w: %w", publish.ErrConflict, err)
	}
	if len(drift.Changes) == 0 {
		return base, drift, nil
	}
	evolved, err := catalog.WithSchema(base, drift.Schema)
	return evolved, drift, err
}

// reconcile refuses to publish where a row is unaccounted for. It can only fail by a defect, and
// is the last to see one.
func (r *run) reconcile() error {
	res := r.result
	var inFiles int64
	for _, f := range res.Staged.Files {
		inFiles += f.Count()
	}
	if res.RowsRead != res.RowsWritten+res.RowsUnchanged+res.RowsStale+res.RowsDeleted+res.RowsRejected+res.DuplicatesDropped+res.RowsFiltered ||
		inFiles != res.Staged.RowsStaged {
		return fmt.Errorf("%w: %d rows read, but %d written + %d unchanged + %d stale + %d deleted + %d rejected + %d duplicates + %d filtered (%d in the staged files)",
			ErrUnaccounted, res.RowsRead, res.RowsWritten, res.RowsUnchanged, res.RowsStale, res.RowsDeleted, res.RowsRejected,
			res.DuplicatesDropped, res.RowsFiltered, inFiles)
	}
	return nil
}

// ErrUnaccounted says that rows were lost or doubled on the way: a defect. Nothing was published.
var ErrUnaccounted = errors.New("rows unaccounted for")

func (r *run) progress(stage string) {
	r.o.Progress(Progress{
		Stage: stage, Rows: r.result.RowsRead, Bytes: r.result.BytesRead,
		Partitions: int64(len(touched(r.result.Staged.Files))),
	})
}

func (r *run) dryRun(ctx context.Context) error {
	fresh, err := r.cat.LoadTable(ctx, r.table.Identifier())
	if err != nil {
		return err
	}
	if _, err := r.planner()(ctx, fresh); err != nil {
		return err
	}
	r.result.Status, r.result.Attempts, r.result.Base = Planned, 1, r.result.Plan.Base
	return nil
}

func (r *run) attempt() publish.Attempt {
	return publish.Attempt{
		ID: r.o.Attempt, Table: r.table.Identifier(), Branch: r.o.Branch,
		Job: r.o.Job, RunKey: r.o.RunKey, Params: r.o.Params, Fingerprint: r.o.Fingerprint, Started: r.o.Started,
		Digest: r.result.Staged.Digest, Base: r.table, Touches: r.touches(), Spares: r.spares,
	}
}

// touches tells whether a file lies in the slice. The plan knows best; where a guard kept it from
// being made, a file of another spec may.
func (r *run) touches() func(iceberg.DataFile, iceberg.PartitionSpec, *iceberg.Schema) bool {
	parts := touched(r.result.Staged.Files)
	return func(f iceberg.DataFile, spec iceberg.PartitionSpec, schema *iceberg.Schema) bool {
		switch {
		case r.o.Append != nil:
			return false // it takes nothing away
		case r.result.Plan != nil:
			return r.result.Plan.Touches(f, spec, schema)
		case r.o.ReplaceTable:
			return true
		case r.o.Slice != nil:
			return r.o.Slice.File(f, spec, schema) != slice.None
		}
		return spec.ID() != r.table.Metadata().DefaultPartitionSpec() || parts[slice.PartitionOf(f, spec, schema).Key]
	}
}

func touched(files []slice.StagedFile) map[string]bool {
	parts := make(map[string]bool, len(files))
	for _, f := range files {
		parts[f.Partition.Key] = true
	}
	return parts
}

func (r *run) finish(o publish.Outcome) {
	r.lap("publish")
	r.result.Attempts, r.result.Base, r.result.Snapshot = o.Tries, o.Base, o.Snapshot
	r.result.Litter = append(r.result.Litter, o.Litter...)
	r.result.Status = Published
	switch {
	case o.Snapshot != nil || r.landed:
	case r.result.Already != nil:
		r.result.Status = AlreadyPublished
	default:
		r.result.Status = Unchanged
	}
}

// cleanUp removes the staged files that no snapshot took up. Where the commit state is unknown
// they stay, and the error names them.
func (r *run) cleanUp(ctx context.Context, o publish.Outcome, err error) error {
	files := r.allStaged()
	var unknown *publish.UnknownError
	switch {
	case errors.As(err, &unknown):
		for _, f := range files {
			unknown.DataFiles = append(unknown.DataFiles, f.FilePath())
		}
		return err
	case err == nil && r.result.Status == Published:
		files = r.left(o)
	}
	removed := r.remove(ctx, files)
	point.Reach("writer: unpublished files removed")
	if err == nil && removed != nil {
		// What the run was for is done: a file too many is for the receipt, not a failure.
		for _, f := range files {
			r.result.Litter = append(r.result.Litter, f.FilePath())
		}
		return nil
	}
	return errors.Join(err, removed)
}

// removeTimeout bounds the clean-up after an interrupt.
const removeTimeout = 30 * time.Second

func (r *run) remove(ctx context.Context, files []slice.StagedFile) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	if err := stage.Remove(ctx, r.table, files); err != nil {
		return fmt.Errorf("remove staged files: %w", err)
	}
	return nil
}
