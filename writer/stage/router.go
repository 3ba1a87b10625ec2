package stage

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/writer/slice"
)

// part is one partition. The router touches what is in its first half, one worker at a time the second.
type part struct {
	number    int
	partition *slice.Partition // set before the first run is put

	// The run at hand: first what was spilled of it, then blocks.
	spilled     []extent
	spilledRows int
	spilledSize int64
	blocks      []*block
	rows        int // in blocks
	size        int64
	capacity    int64

	units int // of rows to sort, handed to the workers

	busy   bool // a worker has it: the queue's
	sorted []sortedRun
	open   *rowGroup
	out    *assembly
}

// total is the size of the run at hand.
func (p *part) total() int64 { return p.spilledSize + p.size }

// router takes batches apart into partitions, one batch at a time.
type router struct {
	*staging
	schema      *arrow.Schema
	layouts     []*layout
	required    []requiredColumn
	partitioner *partitioner
	words       []*vocabulary // by column; nil where texts are wanted as they are
	parts       []*part
	buffers     atomic.Int64 // capacity of all parts' blocks
	waiting     atomic.Int64 // size of all parts' runs at hand
	waitingRows atomic.Int64 // and the rows in them
	result      Result

	slab *slab

	// scratch for one batch
	rows   []int32 // rows inside the slice
	counts []int32 // rows by partition, then where the partition's next row goes
	hit    []int32 // partitions that the batch has rows of
	order  []int32 // rows by partition
	shares []share
}

func newRouter(s *staging, as *arrow.Schema) (*router, error) {
	r := &router{staging: s, schema: as, required: requiredColumns(s.meta.CurrentSchema())}
	var err error
	if r.layouts, err = layouts(as); err != nil {
		return nil, err
	}
	r.slab = newSlab(as, r.layouts)
	r.words = make([]*vocabulary, len(r.layouts))
	if s.plan.sortUnit == 0 && s.o.Slice == nil && s.o.Only == nil { // which look at values
		for i, l := range r.layouts {
			if l.kind == kindBytes && !slices.Contains(partitionSources(s.meta.PartitionSpec()), s.meta.CurrentSchema().Field(i).ID) {
				r.words[i] = &vocabulary{}
			}
		}
	}
	r.partitioner, err = newPartitioner(s.meta.CurrentSchema(), s.meta.PartitionSpec())
	return r, err
}

func partitionSources(spec iceberg.PartitionSpec) (ids []int) {
	for i := range spec.NumFields() {
		f := spec.Field(i)
		ids = append(ids, f.SourceID())
	}
	return ids
}

func (r *router) run(ctx context.Context, in iter.Seq2[arrowconv.Batch, error]) error {
	for b, err := range in {
		if err != nil {
			return err
		}
		err = r.batch(ctx, b)
		b.Release()
		if err != nil {
			return err
		}
	}
	return r.finish(ctx)
}

func (r *router) batch(ctx context.Context, b arrowconv.Batch) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	r.result.RowsRead += b.RowsRead()
	r.result.RowsRejected += int64(len(b.Rejected))
	r.result.BytesRead += b.Bytes
	if b.NumRows() > 0 {
		if err := r.checkTypes(b); err != nil {
			return err
		}
		if rec := r.numbered(b.RecordBatch); rec != nil {
			defer rec.Release()
			b.RecordBatch = rec
		}
		for _, c := range r.required {
			if err := c.check(b); err != nil {
				return err
			}
		}
		sel, err := r.inside(b)
		if err != nil {
			return err
		}
		if err := r.route(ctx, b, sel); err != nil {
			return err
		}
	}
	r.report(func(p *Progress) {
		p.RowsRead, p.BytesRead, p.Partitions = r.result.RowsRead, r.result.BytesRead, len(r.parts)
	})
	return nil
}

func (r *router) checkTypes(b arrowconv.Batch) error {
	fields := b.Schema().Fields()
	if len(fields) != len(r.layouts) {
		return fmt.Errorf("stage: %s: a batch of %d columns for a table of %d", b.Source, len(fields), len(r.layouts))
	}
	for i, f := range fields {
		if d, ok := f.Type.(*arrow.DictionaryType); ok && r.layouts[i].kind == kindBytes && d.IndexType.ID() == arrow.INT32 {
			f.Type = d.ValueType
		}
		if want := r.schema.Field(i); f.Name != want.Name || !sameType(f.Type, want.Type) {
			return fmt.Errorf("stage: %s: column %d of the batch is %s %s, the table has %s %s", b.Source, i, f.Name, f.Type, want.Name, want.Type)
		}
	}
	return nil
}

// numbered is rec with the texts that come as dictionaries numbered by the columns' vocabularies, or spelled out; nil
// where there are none.
func (r *router) numbered(rec arrow.RecordBatch) arrow.RecordBatch {
	var fields []arrow.Field
	var cols []arrow.Array
	for i, c := range rec.Columns() {
		a, ok := c.(*array.Dictionary)
		if !ok {
			continue
		}
		if cols == nil {
			fields, cols = rec.Schema().Fields(), slices.Clone(rec.Columns())
		}
		var out arrow.Array
		if v := r.words[i]; v != nil {
			out = v.number(a, r.layouts[i].typ)
		}
		if out == nil {
			out = spelled(a, r.layouts[i])
		}
		defer out.Release()
		fields[i].Type, cols[i] = out.DataType(), out
	}
	if cols == nil {
		return nil
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), cols, rec.NumRows())
}

// sameType compares what lies in memory: names and nullability of nested fields may differ.
func sameType(a, b arrow.DataType) bool {
	if a.ID() != b.ID() {
		return false
	}
	an, ok := a.(arrow.NestedType)
	if !ok {
		return arrow.TypeEqual(a, b)
	}
	af, bf := an.Fields(), b.(arrow.NestedType).Fields()
	return slices.EqualFunc(af, bf, func(x, y arrow.Field) bool { return sameType(x.Type, y.Type) })
}

// inside returns the rows to be staged, ascending.
func (r *router) inside(b arrowconv.Batch) ([]int32, error) {
	r.rows = r.rows[:0]
	if r.o.Slice != nil {
		sel, err := r.o.Slice.Rows(b)
		if err != nil {
			return nil, fmt.Errorf("stage: %s: %w", b.Source, err)
		}
		if sel != nil {
			if r.o.Outside == OutsideFail {
				return nil, newOutsideError(b, r.o.Slice, sel)
			}
			r.rows = sel.AppendRows(r.rows)
			r.result.RowsFiltered += b.NumRows() - int64(len(r.rows))
			return r.only(b, r.rows)
		}
	}
	r.rows = appendUpTo(r.rows, int(b.NumRows()))
	return r.only(b, r.rows)
}

func (r *router) only(b arrowconv.Batch, rows []int32) ([]int32, error) {
	if r.o.Only == nil {
		return rows, nil
	}
	sel, err := r.o.Only(b)
	if err != nil {
		return nil, fmt.Errorf("stage: %s: %w", b.Source, err)
	}
	if sel == nil {
		return rows, nil
	}
	picked := slices.DeleteFunc(rows, func(row int32) bool { return !sel.Inside(int(row)) })
	r.result.RowsFiltered += int64(len(rows) - len(picked))
	return picked, nil
}

// route copies rows of a batch to their partitions: at once, or where each gets few of them, together with
// those of other batches.
func (r *router) route(ctx context.Context, b arrowconv.Batch, rows []int32) error {
	numbers := r.partitioner.number(b)
	for n := len(r.counts); n < len(r.partitioner.tuples); n++ {
		r.counts = append(r.counts, 0)
	}
	if len(rows) < scattered*r.partitionsOf(numbers, rows) && batchSize(b) <= r.plan.slab {
		r.slab.add(b, rows, numbers)
		if r.slab.size() < r.plan.slab {
			return nil
		}
		return r.routeSlab(ctx)
	}
	if err := r.routeSlab(ctx); err != nil {
		return err
	}
	r.sort(numbers, rows)
	return r.spread(ctx, b, true)
}

// routeSlab routes the rows that wait in the slab, which came before all others.
func (r *router) routeSlab(ctx context.Context) error {
	if len(r.slab.numbers) == 0 {
		return nil
	}
	r.sort(r.slab.numbers, r.slab.rows())
	rec := r.slab.batch()
	err := r.spread(ctx, rec, false)
	rec.Release()
	r.slab.reset()
	return err
}

// partitionsOf is how many partitions the rows are of.
func (r *router) partitionsOf(numbers, rows []int32) int {
	r.tally(numbers, rows)
	for _, n := range r.hit {
		r.counts[n] = 0
	}
	return len(r.hit)
}

// tally sets hit, and the counts of those.
func (r *router) tally(numbers, rows []int32) {
	r.hit = r.hit[:0]
	for _, row := range rows {
		n := numbers[row]
		if r.counts[n] == 0 {
			r.hit = append(r.hit, n)
		}
		r.counts[n]++
	}
}

// sort sets order to rows by partition, and counts to where each partition's end. A counting sort keeps the rows of a
// partition in input order.
func (r *router) sort(numbers, rows []int32) {
	r.tally(numbers, rows)
	next := int32(0)
	for _, n := range r.hit {
		next, r.counts[n] = next+r.counts[n], next
	}
	r.order = growTo(r.order, len(rows))
	for _, row := range rows {
		n := numbers[row]
		r.order[r.counts[n]] = row
		r.counts[n]++
	}
}

// spread fills the partitions with the rows that are in order, and hands on what is full. Those of a batch that is
// all one partition's are kept, where keep allows that.
func (r *router) spread(ctx context.Context, b arrow.RecordBatch, keep bool) error {
	if err := r.fillAll(ctx, b, keep); err != nil {
		return err
	}
	if err := r.press(ctx); err != nil {
		return err
	}
	return r.relieve()
}

// fillAll fills the partitions of a batch: in parallel where there are several and rows enough,
// because partitions share nothing and each still gets its rows in order.
func (r *router) fillAll(ctx context.Context, b arrow.RecordBatch, keep bool) error {
	step := r.stepRows(b)
	r.blocks.expect(b)
	r.shares = r.shares[:0]
	at := int32(0)
	for _, n := range r.hit {
		end := r.counts[n]
		r.counts[n] = 0
		r.shares = append(r.shares, share{r.part(int(n)), r.order[at:end]}) // made here, by one goroutine
		at = end
	}
	lanes := min(r.o.Workers, len(r.hit), len(r.order)/rowsPerLane)
	if lanes < 2 {
		return r.fill(ctx, b, r.shares, step, keep)
	}
	g, gctx := errgroup.WithContext(ctx)
	next, rows := 0, 0
	for lane := range lanes {
		lo := next
		for next < len(r.shares) && rows < len(r.order)*(lane+1)/lanes {
			rows += len(r.shares[next].rows)
			next++
		}
		shares := r.shares[lo:next]
		g.Go(func() error { return r.fill(gctx, b, shares, step, keep) })
	}
	return g.Wait()
}

// share is what a partition gets of a batch.
type share struct {
	part *part
	rows []int32 // not copied yet
}

// rowsPerLane is the least work worth a goroutine.
const rowsPerLane = 2048

// stepRows is how many rows to copy before looking whether the run is full.
func (r *router) stepRows(b arrow.RecordBatch) int {
	each := batchSize(b)/b.NumRows() + 1
	return int(max(1, min(r.plan.run/8/each, 8192)))
}

// batchSize is the size of b, that of texts as if they were spelled out.
func batchSize(b arrow.RecordBatch) int64 {
	size := int64(0)
	for _, c := range b.Columns() {
		if d := c.Data(); isDictionary(d.DataType()) {
			size += textsSize(d)
		} else {
			size += int64(d.SizeInBytes())
		}
	}
	return size
}

// part returns the partition with the given number of the partitioner. Parts are made for
// partitions that have a row inside the slice alone.
func (r *router) part(n int) *part {
	for len(r.parts) <= n {
		r.parts = append(r.parts, nil)
	}
	if r.parts[n] == nil {
		r.parts[n] = &part{number: n, out: &assembly{target: r.plan.file}}
	}
	return r.parts[n]
}

// fill takes steps until nothing is left: each brings every partition some of its rows.
func (r *router) fill(ctx context.Context, b arrow.RecordBatch, shares []share, step int, keep bool) error {
	whole := keep && len(shares) == 1 && len(shares[0].rows) == int(b.NumRows())
	pours := make([]pour, 0, len(shares))
	for left := true; left; {
		left, pours = false, pours[:0]
		for i := range shares {
			s := &shares[i]
			n := min(step, len(s.rows))
			if r.plan.sortUnit == 0 {
				n = min(n, r.plan.runRows-s.part.spilledRows-s.part.rows)
			}
			if !whole || !r.keep(b, s.part, int(s.rows[0]), n) {
				pours = r.pour(pours, s.part, s.rows[:n])
			}
			s.rows = s.rows[n:]
			left = left || len(s.rows) > 0
		}
		r.copy(b, pours)
		for _, s := range shares {
			if r.full(s.part) { // asked after each step alone, which does not depend on blocks
				if err := r.submit(ctx, s.part, false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// keep makes n rows of b a block without copying them: all of b is p's.
func (r *router) keep(b arrow.RecordBatch, p *part, from, n int) bool {
	part := b.NewSlice(int64(from), int64(from+n))
	defer part.Release()
	kept := r.blocks.whole(part)
	if kept == nil {
		return false
	}
	p.blocks = append(p.blocks, kept)
	r.count(p, n, kept.size, kept.capacity)
	return true
}

// pour is rows on their way to a block.
type pour struct {
	part  *part
	to    *block
	rows  []int32
	spans []span // rows as such, where that pays
}

// pour finds blocks for rows of p.
func (r *router) pour(pours []pour, p *part, rows []int32) []pour {
	for len(rows) > 0 {
		var to *block
		if k := len(p.blocks) - 1; k >= 0 && p.blocks[k].n < p.blocks[k].room {
			to = p.blocks[k]
		} else {
			to = r.blocks.take(p.rows)
			p.blocks = append(p.blocks, to)
			r.count(p, 0, 0, to.capacity)
		}
		n := min(len(rows), to.room-to.n)
		to.n += n
		r.count(p, n, 0, 0)
		pours = append(pours, pour{part: p, to: to, rows: rows[:n]})
		rows = rows[n:]
	}
	return pours
}

// copy copies rows column by column: the values of one column, from which thousands of partitions take a few each, fit into
// a cache that a whole slab does not.
func (r *router) copy(b arrow.RecordBatch, pours []pour) {
	var room [mostBlock / spanRows]span
	for i := range pours {
		if spans, ok := spansOf(room[:0], pours[i].rows); ok {
			pours[i].spans = slices.Clone(spans)
		}
	}
	for i := range r.layouts {
		d := b.Column(i).Data()
		words := isDictionary(d.DataType())
		for _, p := range pours {
			if c := &p.to.cols[i]; p.spans != nil && !words {
				c.gatherSpans(d, d.Offset(), p.spans, len(p.rows))
			} else {
				c.gather(d, d.Offset(), p.rows)
			}
		}
	}
	for _, p := range pours {
		size, capacity := p.to.size, p.to.capacity
		p.to.measure(r.blocks.overhead)
		r.count(p.part, 0, p.to.size-size, p.to.capacity-capacity)
	}
}

// count books what the run at hand has grown by.
func (r *router) count(p *part, rows int, size, capacity int64) {
	p.rows += rows
	p.size += size
	p.capacity += capacity
	r.waiting.Add(size)
	r.waitingRows.Add(int64(rows))
	r.buffers.Add(capacity)
}

func (r *router) full(p *part) bool {
	if r.plan.sortUnit > 0 {
		return p.total()+sortCost*int64(p.spilledRows+p.rows) >= r.plan.sortUnit
	}
	return p.total() >= r.plan.run || p.spilledRows+p.rows >= r.plan.runRows
}

// submit hands the run at hand to the workers. It waits while too much is on its way.
func (r *router) submit(ctx context.Context, p *part, last bool) error {
	if p.partition == nil {
		partition := r.partitioner.partition(p.number)
		p.partition = &partition
	}
	j := &run{
		part: p, last: last, spilled: p.spilled, blocks: p.blocks,
		rows: p.spilledRows + p.rows, size: p.total(),
	}
	j.held = min(j.size, r.plan.flying)
	if last && p.units > 0 {
		j.held = max(j.held, r.plan.sortUnit) // to merge them all
	}
	if r.plan.sortUnit > 0 {
		p.units++
	}
	if err := r.inUse.Acquire(ctx, j.held); err != nil {
		return context.Cause(ctx)
	}
	r.flying.Add(j.held)
	r.buffers.Add(-p.capacity)
	r.waiting.Add(-j.size)
	r.waitingRows.Add(-int64(j.rows))
	p.spilled, p.spilledRows, p.spilledSize = nil, 0, 0
	p.blocks, p.rows, p.size, p.capacity = nil, 0, 0, 0
	r.queue.put(j)
	return nil
}

// press has the partitions with most rows encoded where there are too many to wait until each has a whole
// run, or where all of them would have one at once. It looks at rows alone, not at memory, and so what it does is the same whatever the timing.
func (r *router) press(ctx context.Context) error {
	raw := r.plan.mostWaiting(len(r.parts), r.waiting.Load(), r.waitingRows.Load())
	if r.plan.sortUnit > 0 || r.waiting.Load() <= raw {
		return nil
	}
	var held []*part
	for _, p := range r.parts {
		if p != nil && p.total() >= r.plan.leastRun {
			held = append(held, p)
		}
	}
	slices.SortStableFunc(held, func(a, b *part) int { return cmp.Compare(b.total(), a.total()) })
	for _, p := range held {
		if r.waiting.Load() <= raw*3/4 {
			break
		}
		if err := r.submit(ctx, p, false); err != nil {
			return err
		}
	}
	return nil
}

// relieve spills the largest partition buffers when memory runs short.
func (r *router) relieve() error {
	over := max(r.buffers.Load()+r.slab.capacity()+r.flying.Load()+r.encoded.Load()-r.plan.tracked, r.buffers.Load()-r.plan.blocks)
	if over <= 0 {
		return nil
	}
	// A quarter more than needed, so that it is not needed again at once.
	keep := r.buffers.Load() - over - r.plan.tracked/4
	var held []*part
	for _, p := range r.parts {
		if p != nil && p.rows > 0 {
			held = append(held, p)
		}
	}
	slices.SortStableFunc(held, func(a, b *part) int { return int(b.capacity - a.capacity) })
	var buf []byte
	var waiting []*part
	flush := func() error {
		if len(buf) == 0 {
			return nil
		}
		at, err := r.spill.write(buf)
		if err != nil {
			return err
		}
		for _, p := range waiting {
			last := &p.spilled[len(p.spilled)-1]
			last.off += at.off
		}
		buf, waiting = buf[:0], waiting[:0]
		return nil
	}
	for _, p := range held {
		if r.buffers.Load() <= keep {
			break
		}
		start := len(buf)
		for _, b := range p.blocks {
			buf = b.appendSpilled(buf, r.layouts)
			r.blocks.give(b)
		}
		p.spilled = append(p.spilled, extent{int64(start), int64(len(buf) - start)})
		p.spilledRows += p.rows
		p.spilledSize += p.size
		r.buffers.Add(-p.capacity)
		p.blocks, p.rows, p.size, p.capacity = nil, 0, 0, 0
		waiting = append(waiting, p)
		if len(buf) >= 1<<20 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// finish hands what is left of every partition to the workers.
func (r *router) finish(ctx context.Context) error {
	if err := r.routeSlab(ctx); err != nil {
		return err
	}
	for _, p := range r.parts {
		if p == nil {
			continue
		}
		if err := r.submit(ctx, p, true); err != nil {
			return err
		}
		if r.plan.sortUnit > 0 { // merging takes more than it gives back
			if err := r.relieve(); err != nil {
				return err
			}
		}
	}
	return nil
}

// childArray is the child of a struct, list or map.
func childArray(a arrow.Array, i int) arrow.Array {
	if ext, ok := a.(array.ExtensionArray); ok {
		a = ext.Storage()
	}
	switch a := a.(type) {
	case *array.Struct:
		return a.Field(i)
	case *array.Map:
		if i == 0 {
			return a.Keys()
		}
		return a.Items()
	case array.ListLike:
		return a.ListValues()
	}
	panic(fmt.Sprintf("stage: no children in Arrow type %s", a.DataType()))
}
