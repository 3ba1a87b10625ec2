package writer

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go/table"
	"github.com/zeebo/xxh3"

	"github.com/icewright/icewright/writer/merge"
	"github.com/icewright/icewright/writer/slice"
	"github.com/icewright/icewright/writer/stage"
)

// A merge on read leaves the files whose rows change as they are, and hides these rows by delete files. What
// those say is by position in a data file, so it is right only for a base that has this very file with the very delete
// files that it was matched with. Every commit is pinned to the base that was matched, and a plan for another base
// hides rows anew: a file that a compaction took away in between is none of that plan's, and neither are its delete files.

// hide sees to it that m.result.Deletes hide the rows that go under p, and no others. It returns the delete
// files whose place they take.
func (m *merging) hide(ctx context.Context, tbl *table.Table, p *merge.Plan) ([]slice.LiveFile, error) {
	files := p.Rewrites()
	h := xxh3.New()
	for _, f := range files {
		_, _ = h.WriteString(f.Origin())
		_, _ = h.Write([]byte{0})
	}
	if mark := h.Sum64() | 1; mark != m.hidden {
		m.stale = append(m.stale, m.result.Deletes...)
		m.result.Deletes, m.hidden, m.replaced = nil, 0, nil
		if err := m.stageDeletes(ctx, tbl, p); err != nil {
			return nil, err
		}
		m.hidden = mark
	}
	// The entries are those of this base's manifests.
	var removed []slice.LiveFile
	for _, f := range files {
		if m.replaced[f.DataFile().FilePath()] {
			for _, old := range f.Supersedes() {
				removed = append(removed, old.LiveFile)
			}
		}
	}
	m.result.DeletesReplaced = len(removed)
	return removed, nil
}

// stageDeletes writes the delete files of p. A vector, and a position delete file where each data file has
// its own, holds the rows that were hidden before as well.
func (m *merging) stageDeletes(ctx context.Context, tbl *table.Table, p *merge.Plan) error {
	files := p.Rewrites()
	if len(files) == 0 {
		return nil
	}
	m.lap("plan")
	defer m.lap("rewrite")
	m.progress("rewrite")
	found, err := m.matcher.Doomed(ctx, tbl, p)
	if err != nil {
		return err
	}
	m.replaced = map[string]bool{}
	doomed := make([]stage.Doomed, len(found))
	var goes, places, hidden, want int64
	for i, d := range found {
		goes += int64(files[i].Changes())
		places += d.Rows.Cardinality()
		doomed[i] = stage.Doomed{LiveFile: d.LiveFile, Rows: d.Rows}
		if stage.Replaces(tbl.Metadata()) && (tbl.Metadata().Version() >= 3 || len(d.Supersedes()) > 0) {
			doomed[i].Rows = merge.Union(d.Rows, d.Dead)
			m.replaced[d.DataFile().FilePath()] = true
			if d.Dead != nil {
				want += d.Dead.Cardinality()
			}
		}
	}
	if m.result.Deletes, err = stage.Deletes(ctx, tbl, doomed, stage.Options{Workers: m.o.Workers}); err != nil {
		return err
	}
	for _, f := range m.result.Deletes {
		hidden += f.Count()
	}
	if want += goes; goes != places || hidden != want { // a row that goes is none that was dead
		return fmt.Errorf("%w: %d rows go, at %d places; %d rows to be hidden, and %d in the delete files", ErrUnaccounted, goes, places, want, hidden)
	}
	return nil
}
