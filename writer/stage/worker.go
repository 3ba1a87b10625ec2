package stage

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/writer/digest"
)

// job is a segment on its way to a worker: rows of one partition in input order, the spilled
// ones first.
type job struct {
	part    *part
	segment int
	last    bool // of the partition
	spilled []extent
	cols    []column // nil where all is spilled, or nothing left
	rows    int
	size    int64
	held    int64 // of staging.inUse
}

// worker encodes segments.
type worker struct {
	*staging
	enc     *encoder
	sorter  *sorter
	hasher  *digest.Hasher
	schema  *arrow.Schema
	layouts []*layout
	buf     []byte
}

func newWorker(s *staging, set settings, as *arrow.Schema) (*worker, error) {
	schema, order := s.meta.CurrentSchema(), s.meta.SortOrder()
	w := &worker{staging: s, schema: as, enc: &encoder{set: set}}
	var err error
	if w.enc.zip, err = newCompressor(set.codec, set.level); err != nil {
		return nil, err
	}
	if w.layouts, err = layouts(as); err != nil {
		return nil, err
	}
	if w.enc.root, w.enc.nodes, w.enc.leaves, err = parquetSchema(schema); err != nil {
		return nil, err
	}
	if err := setMetricsModes(w.enc.leaves, s.meta.Properties(), sortedColumns(order)); err != nil {
		return nil, err
	}
	if w.sorter, err = newSorter(schema, order, as); err != nil {
		return nil, err
	}
	if w.hasher, err = digest.NewHasher(schema); err == nil {
		w.hasher.Canonical = !s.o.Carried // arrowconv's are
	}
	return w, err
}

func layouts(as *arrow.Schema) ([]*layout, error) {
	var ls []*layout
	for _, f := range as.Fields() {
		l, err := newLayout(f.Type)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", f.Name, err)
		}
		ls = append(ls, l)
	}
	return ls, nil
}

// run works until there are no more jobs. Files are written by goroutines of g, more of them
// than workers: a store that answers slowly is to cost time, not processors.
func (w *worker) run(ctx context.Context, g *errgroup.Group) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case j, ok := <-w.jobs:
			if !ok {
				return nil
			}
			if err := w.do(ctx, g, j); err != nil {
				return err
			}
		}
	}
}

func (w *worker) do(ctx context.Context, g *errgroup.Group, j *job) error {
	groups, err := w.encode(j)
	w.inUse.Release(j.held)
	w.flying.Add(-j.size)
	if err != nil {
		return err
	}
	for _, t := range j.part.out.add(j.part, j.segment, groups, j.last) {
		select {
		case w.open <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		g.Go(func() error {
			defer func() { <-w.open }()
			return w.write(ctx, t)
		})
	}
	return nil
}

// write writes a file and lets go of its row groups.
func (s *staging) write(ctx context.Context, t fileTask) error {
	f, err := s.files.write(ctx, t)
	if err != nil {
		return err
	}
	for _, g := range t.groups {
		s.encoded.Add(-g.inMemory())
		g.chunks = nil
	}
	s.report(func(p *Progress) {
		s.staged = append(s.staged, stagedFile{f, t.part.number, t.index})
		p.Files++
		p.BytesStaged += f.FileSizeBytes()
	})
	return nil
}

// encode turns a segment into row groups: one, or where the table is sorted as many as its
// rows make.
func (w *worker) encode(j *job) ([]*rowGroup, error) {
	if j.rows == 0 {
		return nil, nil
	}
	cols, err := w.load(j)
	if err != nil {
		return nil, err
	}
	j.cols = nil
	rec := arrowBatch(w.schema, cols, j.rows)
	sum := w.hasher.Sum(rec)
	rec.Release()
	var groups []*rowGroup
	if w.sorter == nil {
		g, err := w.enc.encode(cols, j.rows, nil)
		if err != nil {
			return nil, err
		}
		groups = append(groups, g)
	} else {
		perm := w.sorter.order(cols, j.rows)
		n := max(int((j.size+w.plan.segment-1)/w.plan.segment), (j.rows+w.plan.segRows-1)/w.plan.segRows)
		for i := range n {
			part := perm[j.rows*i/n : j.rows*(i+1)/n]
			if len(part) == 0 {
				continue
			}
			g, err := w.enc.encode(cols, len(part), part)
			if err != nil {
				return nil, err
			}
			groups = append(groups, g)
		}
	}
	groups[0].digest = sum
	for _, g := range groups {
		if err := w.hold(g, j.last); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// load returns the rows of a segment in memory.
func (w *worker) load(j *job) ([]column, error) {
	if len(j.spilled) == 0 {
		return j.cols, nil
	}
	cols := newColumns(w.layouts)
	for _, at := range j.spilled {
		w.buf = growTo(w.buf, int(at.size))
		if err := w.spill.read(at, w.buf); err != nil {
			return nil, err
		}
		b := w.buf
		for i := range cols {
			b = cols[i].restore(b)
		}
	}
	if j.cols != nil {
		rest := make([]int32, j.cols[0].n)
		for i := range rest {
			rest[i] = int32(i)
		}
		for i := range cols {
			d := j.cols[i].arrowData()
			cols[i].gather(d, 0, rest)
			d.Release()
		}
	}
	return cols, nil
}

// hold keeps an encoded row group until its file is written: in memory, or past the bound in
// the spill file. The last of a partition will be written at once.
func (w *worker) hold(g *rowGroup, last bool) error {
	if !last && w.encoded.Load()+g.size > w.plan.rowGroups {
		return g.spill(w.spill)
	}
	w.encoded.Add(g.size)
	return nil
}
