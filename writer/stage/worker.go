package stage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/writer/digest"
)

// worker encodes runs.
type worker struct {
	*staging
	enc     *encoder
	sorter  *sorter
	hasher  *digest.Hasher
	layouts []*layout
	schema  *arrow.Schema // of what is kept
	firsts  []int         // number of the first leaf of each column
	order   []int         // columns, those that take longest first
	buf     []byte
	chunker *chunker // of sorted tables
}

func newWorker(s *staging, set settings, as *arrow.Schema) (*worker, error) {
	schema, order := s.meta.CurrentSchema(), s.meta.SortOrder()
	w := &worker{staging: s, enc: &encoder{set: set}}
	var err error
	if w.enc.zip, err = newCompressor(set.codec, set.level); err != nil {
		return nil, err
	}
	if w.layouts, err = layouts(as); err != nil {
		return nil, err
	}
	w.schema = keptSchema(as, w.layouts)
	if w.enc.root, w.enc.nodes, w.enc.leaves, err = parquetSchema(schema); err != nil {
		return nil, err
	}
	if err := setMetricsModes(w.enc.leaves, s.meta.Properties(), sortedColumns(order)); err != nil {
		return nil, err
	}
	if err := setBloomModes(w.enc.leaves, s.meta.Properties()); err != nil {
		return nil, err
	}
	for i, at := 0, 0; i < len(w.enc.nodes); i++ {
		w.firsts = append(w.firsts, at)
		at += w.enc.nodes[i].leafCount()
		w.order = append(w.order, i)
	}
	slices.SortStableFunc(w.order, func(a, b int) int {
		return cmp.Compare(min(w.layouts[b].kind, kindStruct), min(w.layouts[a].kind, kindStruct))
	})
	if w.sorter, err = newSorter(schema, order, w.schema); err != nil {
		return nil, err
	}
	if w.sorter != nil {
		w.chunker = &chunker{spill: s.spill, cols: newColumns(w.layouts)}
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
		ls = append(ls, l.narrowed())
	}
	return ls, nil
}

// keptSchema is as with the types of ls.
func keptSchema(as *arrow.Schema, ls []*layout) *arrow.Schema {
	fields := as.Fields()
	for i, l := range ls {
		fields[i].Type = l.typ
	}
	return arrow.NewSchema(fields, nil)
}

// run works until there are no more runs. Files are written by goroutines of g, more of them
// than workers: a store that answers slowly is to cost time, not processors.
func (w *worker) run(ctx context.Context, g *errgroup.Group) error {
	for {
		r, begin, err := w.queue.take(ctx)
		if r == nil {
			return err
		}
		if begin {
			if err := w.begin(ctx, r); err != nil {
				return err
			}
			w.queue.prepared(r)
		}
		if err := w.work(ctx, g, r); err != nil {
			return err
		}
	}
}

// begin brings the rows of r together and says what is to be done with them: a task for each column, and
// one for the digest.
func (w *worker) begin(ctx context.Context, r *run) error {
	switch {
	case r.sorted != nil:
		return w.beginWindow(ctx, r)
	case w.sorter != nil:
		return w.beginSorting(ctx, r)
	case r.rows == 0:
		return nil
	}
	if err := w.load(r); err != nil {
		return err
	}
	w.beginEncoding(r)
	return nil
}

// beginEncoding says that the rows of r go on in the row group at hand.
func (w *worker) beginEncoding(r *run) {
	if r.part.open == nil {
		r.part.open = newRowGroup(w.enc.leaves, w.o.Bare)
	}
	r.group = r.part.open
	r.tasks = int32(len(w.enc.nodes) + 1)
	if r.sorted != nil && !r.last {
		r.tasks++
	}
	r.left.Store(r.tasks)
}

// work does tasks of r until all have been begun. Whoever ends the last one ends the run.
func (w *worker) work(ctx context.Context, g *errgroup.Group, r *run) error {
	if r.tasks == 0 {
		return w.end(ctx, g, r)
	}
	for {
		k := r.next.Add(1) - 1
		if k >= r.tasks {
			return nil
		}
		if err := w.task(ctx, r, int(k)); err != nil {
			return err
		}
		if r.left.Add(-1) == 0 {
			return w.end(ctx, g, r)
		}
	}
}

// task does task k of r, those that take longest first.
func (w *worker) task(ctx context.Context, r *run, k int) error {
	if r.perm != nil {
		return w.spillSorted(ctx, r, k)
	}
	if int(r.tasks) > len(w.order)+1 {
		if k == 0 {
			return w.windowAhead(r)
		}
		k--
	}
	if k == 0 {
		if !w.o.Bare {
			r.group.digest = r.group.digest.Add(w.digest(r))
		}
		return nil
	}
	if err := w.column(r, w.order[k-1]); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	return nil
}

// digestRows is how many rows are hashed at a time: their hashes stay in the nearest cache.
const digestRows = 2048

func (w *worker) digest(r *run) digest.Sum {
	rec := arrowBatch(w.schema, r.cols, r.rows)
	defer rec.Release()
	var sum digest.Sum
	for from := int64(0); from < rec.NumRows(); from += digestRows {
		part := rec.NewSlice(from, min(from+digestRows, rec.NumRows()))
		sum = sum.Add(w.hasher.Sum(part))
		part.Release()
	}
	return sum
}

// column encodes column number i of r.
func (w *worker) column(r *run, i int) error {
	node := w.enc.nodes[i]
	if node == nil {
		return nil
	}
	return w.enc.column(r.group, w.firsts[i], node, &r.cols[i], r.rows)
}

// end takes what r made to the partition's files.
func (w *worker) end(ctx context.Context, g *errgroup.Group, r *run) error {
	if r.perm != nil {
		w.endSpilling(r)
		return nil
	}
	w.drop(r)
	w.letFly(r)
	p := r.part
	if rg := r.group; rg != nil {
		rg.rows += int64(r.rows)
		rg.raw += r.size
		if err := w.hold(rg, r.last); err != nil {
			return err
		}
	}
	var done []*rowGroup
	if rg := p.open; rg != nil && (r.last || rg.raw >= w.plan.rowGroup || rg.rows+int64(w.plan.runRows) > int64(w.plan.segRows)) {
		done, p.open = append(done, rg), nil
	}
	var tasks []fileTask
	for _, rg := range done {
		w.enc.finish(rg)
		if err := w.enc.filters(rg, w.spill); err != nil {
			return err
		}
		if err := w.hold(rg, r.last); err != nil {
			return err
		}
		tasks = append(tasks, p.out.add(p, rg)...)
	}
	if r.last {
		tasks = append(tasks, p.out.cut(p)...)
	}
	var early []fileTask
	if len(p.out.groups) > 0 {
		select {
		case w.streams <- struct{}{}:
			early = append(early, p.out.begin(p))
		default: // it can wait until it is complete
		}
	}
	if r.ahead != nil {
		w.queue.put(r.ahead)
	}
	w.queue.done(r)
	for _, t := range early {
		g.Go(func() error {
			defer func() { <-w.streams }()
			return w.write(ctx, t)
		})
	}
	for _, t := range tasks {
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

// write writes a file.
func (s *staging) write(ctx context.Context, t fileTask) error {
	f, err := s.files.write(ctx, t)
	if err != nil {
		return err
	}
	s.report(func(p *Progress) {
		s.staged = append(s.staged, stagedFile{f, t.part.number, t.index})
		p.Files++
		p.BytesStaged += f.FileSizeBytes()
	})
	return nil
}

// load brings the rows of a run together in memory.
func (w *worker) load(r *run) error {
	if len(r.spilled) == 0 && len(r.blocks) == 1 && r.blocks[0].rec == nil {
		r.cols = r.blocks[0].cols // as they are
		return nil
	}
	r.cols = w.columns.take()
	for _, at := range r.spilled {
		w.buf = growTo(w.buf, int(at.size))
		if err := w.spill.read(at, w.buf); err != nil {
			return err
		}
		b := w.buf
		for len(b) > 0 {
			for i := range r.cols {
				b = r.cols[i].restore(b)
			}
		}
	}
	if w.sorter != nil { // they are a whole unit, which to grow into copies a few times over
		makeRoom(r.cols, r.blocks)
	}
	for _, b := range r.blocks {
		b.appendTo(r.cols)
		w.blocks.give(b)
	}
	r.blocks = nil
	return nil
}

// letFly lets other rows take r's place on the way.
func (w *worker) letFly(r *run) {
	w.inUse.Release(r.held)
	w.flying.Add(-r.held)
}

// drop gives the memory of r's rows back.
func (w *worker) drop(r *run) {
	if r.sorted != nil {
		w.columns.give(r.cols)
		r.cols = r.unsorted
	}
	switch {
	case len(r.blocks) > 0:
		w.blocks.give(r.blocks[0])
	case r.cols != nil:
		w.columns.give(r.cols)
	}
	r.blocks, r.cols = nil, nil
}

// hold keeps the pages of a row group until its file is written: in memory, or past the bound in
// the spill file. Where there can be none, an empty container has no directory for it, the bound is what memory allows. The last of a
// partition will be written at once.
func (w *worker) hold(g *rowGroup, last bool) error {
	size := g.inMemory()
	if after := w.encoded.Load() + size - g.counted; !last && after > w.plan.pages {
		switch err := g.spill(w.spill, &w.buf); {
		case err == nil:
			size = 0
		case after > w.plan.rowGroups:
			return err
		}
	}
	w.encoded.Add(size - g.counted)
	g.counted = size
	return nil
}

// columnSets are columns that runs are brought together in. Safe for concurrent use.
type columnSets struct {
	layouts []*layout
	mu      sync.Mutex
	free    [][]column
}

func (s *columnSets) take() []column {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free) - 1; n >= 0 {
		cols := s.free[n]
		s.free = s.free[:n]
		return cols
	}
	return newColumns(s.layouts)
}

func (s *columnSets) give(cols []column) {
	capacity := int64(0)
	for i := range cols {
		capacity += cols[i].capacity()
		cols[i].reset()
	}
	if capacity > keptColumns {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, cols)
}

// keptColumns is the size up to which columns are kept for the next run.
const keptColumns = 16 << 20
