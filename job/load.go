package job

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/source"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/slice"
)

// Load carries out one run of j: it opens the catalog, resolves the sources, loads the table or
// makes it, and has the writer stage, plan and publish the rows.
//
// The receipt is filled in as far as the run came, also with an error. A run that fails leaves
// the table as it was, and no table where there was none; where the outcome of the commit is
// not known (publish.ErrUnknown) nothing is removed. Cancelling ctx stops the run; Load returns
// once what it staged is gone.
//
// Errors wrap ErrUsage, arrowconv.ErrInput, slice.ErrSlice, plan.ErrGuard, stage.ErrOutside,
// publish.ErrSuperseded, publish.ErrConflict, publish.ErrUnknown or one of package catalog's.
func Load(ctx context.Context, j Job) (rec Receipt, err error) {
	started := j.now()
	if j.Attempt == uuid.Nil {
		j.Attempt = uuid.Must(uuid.NewV7())
	}
	rec = Receipt{
		Version: ReceiptVersion, Status: Failed, Table: j.Table, Mode: j.mode(), Branch: j.branch(),
		DuplicatesAllowed: j.AllowDuplicates, Slice: j.Slice, RunKey: j.RunKey, Attempt: j.Attempt.String(), Started: started.UTC(),
		Stages: map[string]float64{}, Partitions: []PartitionReceipt{}, SchemaChanges: []catalog.SchemaChange{},
	}
	defer func() {
		rec.Seconds = j.now().Sub(started).Seconds()
		if err != nil {
			rec.fail(err)
		}
	}()

	s, err := j.check()
	if err != nil {
		return rec, err
	}
	s.convert.Note = j.noteOnce()
	cat, err := catalog.Open(ctx, j.Catalog)
	if err != nil {
		return rec, err
	}
	defer func() {
		if cerr := cat.Close(); err == nil && cerr != nil {
			j.warn("closing the catalog: %v", cerr)
		}
	}()

	objects, err := j.resolve(ctx, s, cat.Props)
	if err != nil {
		return rec, err
	}
	rec.Sources = len(objects)

	tbl, created, err := j.openTable(ctx, cat, s, objects)
	if err != nil {
		return rec, err
	}
	rec.TableCreated = created
	defer func() {
		if created && err != nil && !errors.Is(err, publish.ErrUnknown) {
			// The context may be what ended the run; the clean-up is not to end with it.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
			defer cancel()
			dropped, derr := cat.DropIfEmpty(ctx, s.ident, tbl.Metadata().TableUUID())
			if rec.TableCreated = !dropped; dropped {
				return
			}
			// Another process may have filled it in the meantime: then it is nobody's litter.
			if left, lerr := cat.LoadTable(ctx, s.ident); lerr == nil && len(left.Metadata().Snapshots()) == 0 {
				j.warn("%s", leftEmpty(j.Table, derr))
			}
		}
	}()

	fingerprint := ""
	if j.TrustFingerprint {
		fingerprint = j.fingerprint(tbl, objects)
		if standing := j.standing(ctx, s, tbl, fingerprint); standing != nil && !created && !j.DryRun {
			rec.unread(tbl, standing)
			j.note(fmt.Sprintf("sources and options have the fingerprint of snapshot %d, and its slice is as it left it: nothing was read", standing.SnapshotID))
			return rec, nil
		}
	}

	var drift *evolution
	if !created {
		if drift, err = j.evolution(ctx, s, tbl, objects); err != nil {
			return rec, err
		}
	}
	schema := tbl.Schema()
	if drift != nil {
		schema = drift.schema
	}
	if err := j.checkPathColumns(s.paths, objects, schema); err != nil {
		return rec, err
	}

	var owned *slice.Slice
	if j.Slice != "" {
		if owned, err = slice.Parse(j.Slice, schema, s.zone, specs(tbl)...); err != nil {
			return rec, fmt.Errorf("--slice: %w", err)
		}
		rec.Slice = owned.String()
	}
	rec.Job = writer.JobName(tbl.Identifier(), string(j.mode()), owned)
	switch j.mode() {
	case Merge:
		rec.Job = writer.MergeName(tbl.Identifier(), s.key)
	case Insert:
		rec.Job = writer.InsertName(tbl.Identifier(), s.key)
	}
	if rec.RunKey == "" && j.mode() != Append { // whose rows name it
		rec.RunKey = rec.Job
	}

	read := schema
	if drift != nil {
		read = drift.read
	}
	var merged *writer.Merge
	if j.mode() == Merge {
		var own, extra []iceberg.NestedField
		if s.history != nil {
			if read, own, err = readFor(s.history, read); err != nil {
				return rec, err
			}
		}
		if merged, extra, err = j.merge(ctx, s, withFields(schema, own), withFields(read, own), objects); err != nil {
			return rec, err
		}
		if rec.Strategy, err = j.strategy(tbl); err != nil {
			return rec, err
		}
		merged.OnRead = rec.Strategy == MergeOnRead
		extra = append(own, extra...)
		read = withFields(read, extra)
		if s.convert.Columns != nil {
			for _, f := range extra {
				s.convert.Columns = append(s.convert.Columns, arrowconv.ColumnChoice{Name: f.Name, From: f.Name})
			}
		}
	}
	// Who looks at values wants them as they are.
	s.convert.Dictionaries = (j.mode() == Replace || j.mode() == Append) && owned == nil && len(s.derive) == 0 && tbl.SortOrder().Len() == 0
	in, bad, err := j.batches(ctx, s, objects, read, rec.Attempt)
	if err != nil {
		return rec, err
	}
	o := writer.Options{
		Branch: j.branch(), Merge: merged, Slice: owned, Outside: s.outside, ReplaceTable: j.ReplaceTable,
		OnEmpty: s.onEmpty, MaxShrink: s.maxShrink, AllowShrink: j.AllowShrink, CompareRows: j.CompareRows,
		Memory: j.Memory, SpillDir: j.SpillDir, Workers: j.Workers,
		Job: rec.Job, RunKey: rec.RunKey, Attempt: j.Attempt, Started: started, Fingerprint: fingerprint,
		DryRun: j.DryRun, Progress: j.Progress, Publish: publish.Options{Now: j.Now},
	}
	if j.mode() == Insert {
		o.Insert = &writer.Insert{Key: s.key, LatestBy: j.LatestBy, EventTime: j.EventTime, Window: s.window}
	}
	if j.mode() == Append {
		o.Append = &writer.Append{AllowDuplicates: j.AllowDuplicates}
	}
	if drift != nil {
		in, o.Schema, o.Evolve = drift.watch(in), schema, drift.drift
	}
	res, err := writer.Load(ctx, cat, tbl, in, o)
	rec.fill(res)
	if len(res.Litter) > 0 && err == nil {
		j.warn("not published, and could not be removed: %s (icewright doctor %s --litter finds them)", strings.Join(res.Litter, " "), j.Table)
	}
	if bad != nil {
		if cerr := bad.close(); cerr != nil && err == nil {
			j.warn("%v", cerr)
		}
		rec.RowsRejected, rec.RejectsFile = bad.count(), bad.filePath()
	}
	if err != nil && drift != nil {
		err = drift.explain(tbl, err)
	}
	if err != nil {
		return rec, fmt.Errorf("load %s: %w", j.Table, err)
	}
	rec.Status = Status(res.Status)
	return rec, nil
}

func leftEmpty(table string, err error) string {
	text := "the run made table " + table + " and leaves it, empty"
	if err != nil {
		text += ": " + err.Error()
	}
	return text
}

// cleanupTime bounds what a run does after it was told to stop.
const cleanupTime = 30 * time.Second

// openTable loads the table, or makes it from --schema or what the first source's rows tell;
// created says whether this run made it. Where the table exists, what the job says about its
// making must agree with it.
func (j Job) openTable(ctx context.Context, cat *catalog.Catalog, s settings, objects []source.Object) (tbl *table.Table, created bool, err error) {
	spec := j.tableSpec()
	if j.Schema != "" {
		text, err := os.ReadFile(j.Schema)
		if err != nil {
			return nil, false, usage("", "--schema: %v", err)
		}
		if spec.Schema, err = arrowconv.ParseSchema(filepath.Base(j.Schema), text); err != nil {
			return nil, false, fmt.Errorf("--schema %s: %w", j.Schema, err)
		}
		if spec.Schema, err = arrowconv.WithSourceColumns(spec.Schema, s.convert.SourceColumns); err != nil {
			return nil, false, err
		}
		if spec.Schema, err = j.withDerived(ctx, s, spec.Schema, objects); err != nil {
			return nil, false, err
		}
	}
	tbl, err = cat.LoadTable(ctx, s.ident)
	if err == nil {
		if err := spec.CheckAgainst(tbl); err != nil {
			return nil, false, err
		}
		return tbl, false, nil
	}
	if err = catalog.Classify(err); !errors.Is(err, catalog.ErrNotFound) {
		return nil, false, fmt.Errorf("table %s: %w", j.Table, err)
	}
	if j.DryRun {
		return nil, false, usage("run it without --dry-run: a first load replaces nothing",
			"--dry-run: table %s does not exist yet, there is nothing to compare with", j.Table)
	}
	if spec.Schema == nil {
		infer := j.inferFirst
		if s.evolve.Add || s.evolve.Widen { // as if the others came in a load of their own
			infer = j.inferAll
		}
		spec.Schema, err = infer(ctx, s, objects, j.inferOptions(s))
		if err != nil {
			return nil, false, fmt.Errorf("schema of %s: %w", j.Table, err)
		}
	}
	if spec.Schema, err = withHistory(s.history, spec.Schema); err != nil {
		return nil, false, err
	}
	tbl, created, err = cat.CreateTable(ctx, s.ident, j.withFilters(s, spec))
	if err != nil {
		return nil, false, err
	}
	if !created { // another process was first
		if err := spec.CheckAgainst(tbl); err != nil {
			return nil, false, err
		}
	}
	return tbl, created, nil
}

func (j Job) inferOptions(s settings) arrowconv.InferOptions {
	o := s.convert
	o.Workers, o.SpillDir = j.Workers, j.SpillDir
	if j.Rejects != "" { // the load that follows sets the same rows aside, and counts them
		o.OnReject = func(arrowconv.Reject) error { return nil }
	}
	return arrowconv.InferOptions{
		Options: o, Rows: j.InferRows, Decimals: j.Decimals, FormatVersion: j.formatVersion(), Variants: j.Variants,
	}
}

// batches are the rows of all sources in order, in the table's schema. Bad rows go to the
// returned rejects, which is nil where the job sets none aside.
func (j Job) batches(ctx context.Context, s settings, objects []source.Object, schema *iceberg.Schema, attempt string) (iter.Seq2[arrowconv.Batch, error], *rejects, error) {
	o := s.convert
	o.Workers, o.SpillDir = j.Workers, j.SpillDir
	if j.Rejects == "" {
		in, err := j.rows(ctx, s, objects, schema, o)
		return in, nil, err
	}
	bad, err := newRejects(j.Rejects, j.Table, attempt, s.maxRejects)
	if err != nil {
		return nil, nil, err
	}
	o.OnReject = bad.add
	in, err := j.rows(ctx, s, objects, schema, o)
	if err != nil {
		return nil, nil, err
	}
	return bad.checked(in), bad, nil
}

// specs are the table's partition specs, the current one first: a slice may name their fields.
func specs(tbl *table.Table) []iceberg.PartitionSpec {
	return append([]iceberg.PartitionSpec{tbl.Spec()}, tbl.Metadata().PartitionSpecs()...)
}

// fail notes why the run did not do what it was asked to.
func (r *Receipt) fail(err error) {
	switch {
	case errors.Is(err, publish.ErrSuperseded):
		r.Status = Superseded
	case errors.Is(err, publish.ErrUnknown):
		r.Status = Unknown
	default:
		r.Status = Failed
	}
	r.Error = &Failure{Message: err.Error(), Hint: Hint(err)}
}

// Hint is the advice that the outermost error of err's tree with one has to give. Without one, what may pass
// is worth another try; "" for the rest.
func Hint(err error) string {
	h := hint(err)
	if h == "" && (errors.Is(err, catalog.ErrTransient) || errors.Is(err, publish.ErrConflict)) {
		h = "it may pass: run it again"
	}
	return h
}

func hint(err error) string {
	for err != nil {
		if h, ok := err.(interface{ Hint() string }); ok && h.Hint() != "" {
			return h.Hint()
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			err = e.Unwrap()
		case interface{ Unwrap() []error }:
			for _, child := range e.Unwrap() {
				if h := hint(child); h != "" {
					return h
				}
			}
			return ""
		default:
			return ""
		}
	}
	return ""
}
