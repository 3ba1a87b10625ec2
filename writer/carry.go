package writer

import (
	"context"
	"fmt"
	"iter"
	"path"
	"slices"
	"strconv"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/slice"
	"github.com/icewright/icewright/writer/stage"
)

// Files that straddle the slice go with the rows of it, and their other rows are carried over: read
// with all deletes applied, staged anew under the table's current spec, and published in the same
// snapshot. What was carried over is good only on a base that has the very data file with the very
// delete files that it was read from: a compaction in between, or a row deleted by somebody else, and
// it would undo their work. So every plan says anew what has to be carried over, and only what it
// agrees with is used again.

// carried are rows of some straddlers, staged anew.
type carried struct {
	origins []string // of the straddlers
	schema  *iceberg.Schema
	files   []slice.StagedFile
}

// carry sees to it that r.carried are the rows that p needs carried over to tbl, and no others.
func (r *run) carry(ctx context.Context, tbl *table.Table, p *plan.Plan) error {
	left := map[string]bool{}
	for _, s := range p.Rewrite {
		left[s.Origin()] = true
	}
	var good []carried
	for _, c := range r.carried {
		if !c.schema.Equals(tbl.Schema()) || slices.ContainsFunc(c.origins, func(o string) bool { return !left[o] }) {
			r.stale = append(r.stale, c.files...)
			continue
		}
		good = append(good, c)
		for _, o := range c.origins {
			delete(left, o)
		}
	}
	r.carried = good
	var fresh []plan.Straddler
	for _, s := range p.Rewrite {
		if left[s.Origin()] {
			fresh = append(fresh, s)
		}
	}
	if len(fresh) > 0 {
		c, err := r.rewrite(ctx, tbl, p, fresh)
		if err != nil {
			return err
		}
		r.carried = append(r.carried, c)
	}
	r.result.Carried = nil
	var rows int64
	for _, c := range r.carried {
		r.result.Carried = append(r.result.Carried, c.files...)
		for _, f := range c.files {
			rows += f.Count()
		}
	}
	if rows != p.RowsKept {
		return fmt.Errorf("%w: %d rows to be carried over, %d in their files", ErrUnaccounted, p.RowsKept, rows)
	}
	return nil
}

// rewrite reads straddlers and stages their rows outside the slice.
func (r *run) rewrite(ctx context.Context, tbl *table.Table, p *plan.Plan, files []plan.Straddler) (carried, error) {
	r.lap("plan")
	defer r.lap("rewrite")
	r.progress("rewrite")
	c := carried{schema: tbl.Schema()}
	traced := live.WithLineage(tbl)
	outside, err := p.Outside(traced.Schema())
	if err != nil {
		return carried{}, err
	}
	goes, err := newGone(traced.Schema())
	if err != nil {
		return carried{}, err
	}
	staged, err := stage.Stage(ctx, traced, rowsOf(ctx, traced, p, files), stage.Options{
		Only: goes.but(outside), Carried: true, Memory: r.o.Memory, SpillDir: r.o.SpillDir, Workers: r.o.Workers,
		Progress: func(p stage.Progress) {
			r.o.Progress(Progress{Stage: "rewrite", Rows: p.RowsRead, Bytes: p.BytesStaged, Partitions: int64(p.Partitions)})
		},
	})
	if err != nil {
		return carried{}, err
	}
	c.files = staged.Files
	var removed, kept int64
	var origins []*live.File
	for _, f := range files {
		origins = append(origins, f.File)
		c.origins = append(c.origins, f.Origin())
		removed, kept = removed+f.Removed, kept+f.Kept
	}
	if staged.RowsRead != removed+kept || staged.RowsStaged != kept {
		err = fmt.Errorf("%w: %d rows read of files that straddle the slice and %d carried over, not %d and %d",
			ErrUnaccounted, staged.RowsRead, staged.RowsStaged, removed+kept, kept)
	} else {
		err = goes.account(ctx, tbl, origins, staged.Digest)
	}
	if err != nil {
		r.stale = append(r.stale, staged.Files...)
		return carried{}, err
	}
	return c, nil
}

func rowsOf(ctx context.Context, tbl *table.Table, p *plan.Plan, files []plan.Straddler) iter.Seq2[arrowconv.Batch, error] {
	return func(yield func(arrowconv.Batch, error) bool) {
		for _, f := range files {
			first := int64(1)
			for rec, err := range p.Rows(ctx, tbl, f) {
				if err != nil {
					yield(arrowconv.Batch{}, err)
					return
				}
				b := arrowconv.Batch{RecordBatch: rec, Source: f.DataFile().FilePath(), FirstRow: first}
				first += rec.NumRows()
				if !yield(b, nil) {
					return
				}
			}
		}
	}
}

// Keys of the summary of a snapshot that carries rows over. The slice is there if it was declared.
const (
	keyRowsKept = "icewright.rows-kept"
	keySlice    = "icewright.slice"
)

// summary says what else to note in the snapshot of p.
func (r *run) summary(p *plan.Plan) iceberg.Properties {
	if len(p.Rewrite) == 0 {
		return iceberg.Properties{"replace-partitions": "true"}
	}
	s := iceberg.Properties{keyRowsKept: strconv.FormatInt(p.RowsKept, 10)}
	if r.o.Slice != nil {
		s[keySlice] = r.o.Slice.String()
	}
	return s
}

// spares tells that an entry of snapshot by, of another attempt of the job, says nothing against this
// one: where by carried rows over, they lie in new files though nobody changed them. By a declared slice
// the two slices are compared. Else the slice is the partitions that by has staged rows in, so their
// files alone count.
func (r *run) spares(by *table.Snapshot, e iceberg.ManifestEntry, schema *iceberg.Schema) bool {
	props := by.Summary.Properties
	if props[keyRowsKept] == "" {
		return false
	}
	if text, declared := props[keySlice]; declared {
		other, err := slice.Parse(text, schema, nil)
		return err == nil && r.result.Plan != nil && r.result.Plan.Apart(other)
	}
	return e.Status() == iceberg.EntryStatusDELETED || stage.IsCarried(path.Base(e.DataFile().FilePath()))
}

// allStaged are the files that the run wrote.
func (r *run) allStaged() []slice.StagedFile {
	files := slices.Concat(r.result.Staged.Files, r.result.Deletes, r.stale)
	for _, c := range r.carried {
		files = append(files, c.files...)
	}
	return files
}

// left are the files of a run that was published which are in none of its snapshots. A commit that was
// never answered may have landed out of sight; then nothing is known to be left.
func (r *run) left(o publish.Outcome) []slice.StagedFile {
	switch {
	case o.Unseen:
		return nil
	case r.result.Plan == nil:
		return r.stale
	}
	return slices.Concat(r.result.Plan.Discard, r.stale)
}
