package writer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/zeebo/xxh3"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/point"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/merge"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/slice"
	"github.com/icewright/icewright/writer/stage"
)

// A merge takes its input in before it knows what of it will be written: that depends on the rows that the
// table has under the same keys. So the order is another than that of a replace: read, then, in the
// publish loop, match, stage, commit. Where the branch moved, the matcher reads the files that are new
// since, and what was staged is used again if it is what the new plan writes:
//
//   - the rows that stay of files that are rewritten, as long as these files, with the same delete files,
//     are live and have the same hits;
//   - the delete files that hide rows of files that stay (mergeonread.go), on the same terms;
//   - the rows that come from the input, as long as every one of its rows has the outcome that it had.
//
// Every commit is pinned to the snapshot that the keys were matched with, so the outcome is what the merge
// would have done had it run alone, after the others: a serial order.

// Merge says how rows are matched by key. See merge.Options for the fields and their defaults.
type Merge struct {
	Key               []string
	LatestBy, IfNewer string
	DeleteWhen        *slice.Slice
	Ignore            []string
	// OnRead hides rows that change by delete files, and leaves their data files as they are. The default, false,
	// writes these files anew (copy on write).
	OnRead bool
	// History keeps versions, by copy on write whatever OnRead says; see merge.History. The default, nil, keeps the newest.
	History *merge.History
}

// MergeName names a merge that has no job file: by its table and key.
func MergeName(ident table.Identifier, key []string) string {
	return strings.Join(ident, ".") + " merge by " + strings.Join(key, ", ")
}

// Keys of the summary of a merge's snapshot.
const (
	keyRowsInserted = "icewright.rows-inserted"
	keyRowsUpdated  = "icewright.rows-updated"
	keyRowsDeleted  = "icewright.rows-deleted"
)

// merging is a run that merges.
type merging struct {
	*run
	input   *merge.Input
	matcher *merge.Matcher
	// staging is the table as the rows of the input are staged for it.
	staging *table.Table
	// written tells which plan the staged rows of the input are of; 0: none.
	written uint64
	// hidden tells for which files with hits the delete files are staged, 0: none; replaced are the data files, by path,
	// whose own delete files theirs take the place of.
	hidden   uint64
	replaced map[string]bool
}

func (r *run) merge(ctx context.Context, in iter.Seq2[arrowconv.Batch, error]) (Result, error) {
	m := &merging{run: r, staging: r.table}
	if err := m.take(ctx, in); err != nil {
		return r.result, err
	}
	defer func() {
		m.matcher.Close()
		_ = m.input.Close() // what it spilled has no name
	}()
	point.Reach("writer: input taken")
	if r.o.DryRun {
		return r.result, m.dryRun(ctx)
	}
	outcome, err := publish.Publish(ctx, r.cat, m.attempt(), m.planAgain, r.o.Publish)
	r.finish(outcome)
	return r.result, r.cleanUp(ctx, outcome, err)
}

// take reads the input. It is booked as the stage "stage", as reading is in other modes.
func (m *merging) take(ctx context.Context, in iter.Seq2[arrowconv.Batch, error]) (err error) {
	defer m.lap("stage")
	m.o.Progress(Progress{Stage: "stage"})
	if m.o.Schema != nil && !m.o.Schema.Equals(m.table.Schema()) {
		if m.staging, err = catalog.WithSchema(m.table, m.o.Schema); err != nil {
			return err
		}
	}
	if m.input, err = merge.NewInput(m.staging.Schema(), m.matching()); err != nil {
		return err
	}
	m.matcher = merge.NewMatcher(m.input)
	err = m.fill(ctx, in)
	if err != nil {
		m.matcher.Close()
		return errors.Join(err, m.input.Close())
	}
	return nil
}

func (m *merging) fill(ctx context.Context, in iter.Seq2[arrowconv.Batch, error]) error {
	for b, err := range in {
		if err == nil {
			if err = context.Cause(ctx); err != nil {
				b.Release()
			}
		}
		if err == nil {
			err = m.input.Add(b)
		}
		if err != nil {
			return err
		}
		m.o.Progress(Progress{Stage: "stage", Rows: m.input.Read, Bytes: m.input.Bytes})
	}
	res := &m.result
	res.RowsRead, res.BytesRead, res.RowsRejected = m.input.Read, m.input.Bytes, m.input.Rejected
	res.Staged.Digest = m.input.Digest
	return m.input.Seal()
}

// attempt is the run's. Two merges into one table are two runs, whichever lands first: both orders are
// right, and a later attempt of another run says nothing against this one. What is fenced off is a zombie
// of a named run: --run-key names it, and a later attempt under that name has published what this one
// would undo.
func (m *merging) attempt() publish.Attempt {
	a := m.run.attempt()
	a.Touches = func(iceberg.DataFile, iceberg.PartitionSpec, *iceberg.Schema) bool { return true }
	a.Spares = func(by *table.Snapshot, _ iceberg.ManifestEntry, _ *iceberg.Schema) bool {
		return m.o.RunKey == m.o.Job || by.Summary.Properties[publish.KeyRunKey] != m.o.RunKey
	}
	return a
}

func (m *merging) dryRun(ctx context.Context) error {
	fresh, err := m.cat.LoadTable(ctx, m.table.Identifier())
	if err != nil {
		return err
	}
	p, evolved, _, err := m.match(ctx, fresh)
	if err != nil {
		return err
	}
	if !p.Unchanged() {
		if err := m.tallyPlanned(evolved, p); err != nil {
			return err
		}
	}
	m.result.Status, m.result.Attempts, m.result.Base = Planned, 1, p.Base
	return nil
}

// match plans against base. Nothing is staged for it yet.
func (m *merging) match(ctx context.Context, base *table.Table) (*merge.Plan, *table.Table, catalog.Drift, error) {
	m.lap("publish")
	defer m.lap("plan")
	m.progress("plan")
	if was, is := m.table.Metadata().DefaultPartitionSpec(), base.Metadata().DefaultPartitionSpec(); was != is {
		return nil, nil, catalog.Drift{}, fmt.Errorf("%w: the partition spec of %s changed while the rows were read (spec %d, now %d)",
			publish.ErrConflict, strings.Join(base.Identifier(), "."), was, is)
	}
	evolved, drift, err := m.evolve(base)
	if err != nil {
		return nil, nil, drift, err
	}
	for _, f := range evolved.Schema().Fields() {
		if mine, ok := m.staging.Schema().FindFieldByID(f.ID); !ok || mine.Name != f.Name {
			return nil, nil, drift, fmt.Errorf("%w: column %q of %s changed while the rows were read", publish.ErrConflict, f.Name, strings.Join(base.Identifier(), "."))
		}
	}
	p, err := m.matcher.Match(ctx, evolved, live.Head(base.Metadata(), m.o.Branch))
	if err != nil {
		return nil, nil, drift, err
	}
	res := &m.result
	res.Matched = p
	res.FilesRead += p.Read
	res.RowsInserted, res.RowsUpdated, res.RowsDeleted = p.Counts[merge.Inserted], p.Counts[merge.Updated], p.Counts[merge.Deleted]
	res.RowsUnchanged, res.RowsStale, res.DuplicatesDropped = p.Counts[merge.Unchanged], p.Counts[merge.Stale], p.Counts[merge.Dropped]
	res.RowsWritten, res.RowsLate = res.RowsInserted+res.RowsUpdated, p.Late
	res.Partitions = nil
	res.SchemaChanges = nil // without a row to publish the schema stays as well
	if !p.Unchanged() {
		res.SchemaChanges = drift.Changes
	}
	return p, evolved, drift, m.reconcile()
}

// planAgain is the publish.Planner of a merge.
func (m *merging) planAgain(ctx context.Context, base *table.Table) (*publish.Change, error) {
	p, evolved, drift, err := m.match(ctx, base)
	if err != nil || p.Unchanged() {
		return nil, err
	}
	if err := m.present(ctx); err != nil {
		return nil, err
	}
	change := &publish.Change{Operation: table.OpOverwrite, Remove: p.Removed(), Summary: iceberg.Properties{}}
	if m.hides() {
		change.Remove, err = m.hide(ctx, evolved, p)
	} else {
		err = m.keep(ctx, evolved, p)
	}
	if err != nil {
		return nil, err
	}
	if err := m.write(ctx, evolved, p); err != nil {
		return nil, err
	}
	if err := m.tallyStaged(p); err != nil {
		return nil, err
	}
	m.progress("publish")
	if len(change.Remove) == 0 && len(m.result.Deletes) == 0 {
		change.Operation = table.OpAppend
	}
	for key, n := range map[string]int64{keyRowsInserted: m.result.RowsInserted, keyRowsUpdated: m.result.RowsUpdated, keyRowsDeleted: m.result.RowsDeleted} {
		if n > 0 {
			change.Summary[key] = strconv.FormatInt(n, 10)
		}
	}
	if len(drift.Changes) > 0 {
		change.Schema = drift.Schema
	}
	for _, f := range slices.Concat(m.result.Staged.Files, m.result.Carried, m.result.Deletes) {
		change.Add = append(change.Add, f.DataFile)
	}
	return change, nil
}

// keep sees to it that m.carried are the rows that stay of the files that p rewrites, and no others.
func (m *merging) keep(ctx context.Context, tbl *table.Table, p *merge.Plan) error {
	left := map[string]*merge.Match{}
	for _, f := range p.Rewrites() {
		left[f.Stamp()] = f
	}
	var good []carried
	for _, c := range m.carried {
		if !c.schema.Equals(tbl.Schema()) || slices.ContainsFunc(c.origins, func(o string) bool { return left[o] == nil }) {
			m.stale = append(m.stale, c.files...)
			continue
		}
		good = append(good, c)
		for _, o := range c.origins {
			delete(left, o)
		}
	}
	m.carried = good
	var fresh []*merge.Match
	for _, f := range p.Rewrites() {
		if left[f.Stamp()] != nil {
			fresh = append(fresh, f)
		}
	}
	if len(fresh) > 0 {
		c, err := m.rewriteMatches(ctx, tbl, fresh)
		if err != nil {
			return err
		}
		m.carried = append(m.carried, c)
	}
	m.result.Carried = nil
	for _, c := range m.carried {
		m.result.Carried = append(m.result.Carried, c.files...)
	}
	return nil
}

func (m *merging) rewriteMatches(ctx context.Context, tbl *table.Table, files []*merge.Match) (carried, error) {
	m.lap("plan")
	defer m.lap("rewrite")
	m.progress("rewrite")
	c := carried{schema: tbl.Schema()}
	changes, moves := int64(0), false
	var origins []*live.File
	for _, f := range files {
		c.origins, origins = append(c.origins, f.Stamp()), append(origins, f.File)
		changes, moves = changes+int64(f.Changes()), moves || f.Moves()
	}
	traced := live.WithLineage(tbl)
	goes, err := newGone(traced.Schema())
	if err != nil {
		return carried{}, err
	}
	s := merge.Survivors(ctx, traced, files)
	staged, err := stage.Stage(ctx, traced, s.Batches, stage.Options{
		Only: goes.but(s.Pick), Carried: true, Memory: m.memory(), SpillDir: m.o.SpillDir, Workers: m.o.Workers,
		Progress: func(p stage.Progress) {
			m.o.Progress(Progress{Stage: "rewrite", Rows: p.RowsRead, Bytes: p.BytesStaged, Partitions: int64(p.Partitions)})
		},
	})
	if err != nil {
		return carried{}, err
	}
	c.files = staged.Files
	switch {
	case staged.RowsFiltered != changes:
		err = fmt.Errorf("%w: %d rows to go of files that are rewritten, and %d went", ErrUnaccounted, changes, staged.RowsFiltered)
	case !moves: // rows of a history that get another end are others than before
		err = goes.account(ctx, tbl, origins, staged.Digest)
	}
	if err != nil {
		m.stale = append(m.stale, staged.Files...)
		return carried{}, err
	}
	return c, nil
}

// memory is what staging may use: all that the input does not.
func (m *merging) memory() int64 {
	all := m.o.Memory
	if all == 0 {
		all = 1 << 30
	}
	return max(all/4, all-m.input.Resident())
}

// write sees to it that m.result.Staged are the rows of the input that p inserts and updates.
func (m *merging) write(ctx context.Context, tbl *table.Table, p *merge.Plan) error {
	mark := m.mark(p)
	if mark == m.written {
		return nil
	}
	m.lap("plan")
	defer m.lap("stage")
	m.stale = append(m.stale, m.result.Staged.Files...)
	m.result.Staged.Files, m.result.Staged.RowsStaged, m.written = nil, 0, 0
	if p.Comes() > 0 {
		into := m.staging
		if m.result.RowsUpdated > 0 {
			into = live.WithLineage(into)
		}
		s, err := m.input.Written(p, into)
		if err != nil {
			return err
		}
		staged, err := stage.Stage(ctx, into, s.Batches, stage.Options{
			Only: s.Pick, Carried: m.input.Lacks() || p.Versions != nil, Memory: m.memory(), SpillDir: m.o.SpillDir, Workers: m.o.Workers,
		})
		if err != nil {
			return err
		}
		digest := m.result.Staged.Digest
		m.result.Staged = *staged
		m.result.Staged.Digest = digest
		if staged.RowsStaged != s.Rows {
			return fmt.Errorf("%w: %d rows to be written, and %d were staged", ErrUnaccounted, s.Rows, staged.RowsStaged)
		}
	}
	m.written = mark
	return nil
}

// mark tells apart plans that write other rows of the input: by the outcomes, and where updated rows keep
// something of the old ones, by the files that these are in.
func (m *merging) mark(p *merge.Plan) uint64 {
	h := xxh3.New()
	for _, o := range p.Outcomes {
		_, _ = h.Write([]byte{byte(o)})
	}
	p.Versions.Mark(h)
	if m.input.Lacks() || m.staging.Metadata().Version() >= 3 {
		for _, f := range p.Rewrites() {
			_, _ = h.WriteString(f.Origin())
		}
	}
	return h.Sum64() | 1
}
