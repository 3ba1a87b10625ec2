package stage

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/writer/slice"
)

// part is one partition while rows come in. One goroutine at a time touches it, save for partition,
// which is set before the first job, and out.
type part struct {
	number    int
	partition *slice.Partition
	out       *assembly

	// The segment at hand: first what was spilled of it, then cols.
	spilled     []extent
	spilledRows int
	spilledSize int64
	cols        []column // nil while there is no row
	rows        int
	size        int64
	capacity    int64

	segments int // handed to workers
}

// router takes batches apart into partitions, one batch at a time.
type router struct {
	*staging
	schema      *arrow.Schema
	layouts     []*layout
	required    []requiredColumn
	partitioner *partitioner
	parts       []*part
	buffers     atomic.Int64 // capacity of all parts' columns
	overhead    int64        // of a part that has columns, beside the buffers
	result      Result

	// scratch for one batch
	rows   []int32 // rows inside the slice
	counts []int32 // rows by partition, then where the partition's next row goes
	hit    []int32 // partitions that the batch has rows of
	order  []int32 // rows by partition
}

func newRouter(s *staging, as *arrow.Schema) (*router, error) {
	r := &router{staging: s, schema: as, required: requiredColumns(s.meta.CurrentSchema())}
	var err error
	if r.layouts, err = layouts(as); err != nil {
		return nil, err
	}
	r.overhead = int64(len(r.layouts)) * columnOverhead
	r.partitioner, err = newPartitioner(s.meta.CurrentSchema(), s.meta.PartitionSpec())
	return r, err
}

// columnOverhead is about what a column takes beside its buffers.
const columnOverhead = 128

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
		if want := r.schema.Field(i); f.Name != want.Name || !sameType(f.Type, want.Type) {
			return fmt.Errorf("stage: %s: column %d of the batch is %s %s, the table has %s %s", b.Source, i, f.Name, f.Type, want.Name, want.Type)
		}
	}
	return nil
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
	for i := range int32(b.NumRows()) {
		r.rows = append(r.rows, i)
	}
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

// route copies rows of a batch to their partitions.
func (r *router) route(ctx context.Context, b arrowconv.Batch, rows []int32) error {
	numbers := r.partitioner.number(b)
	for n := len(r.counts); n < len(r.partitioner.tuples); n++ {
		r.counts = append(r.counts, 0)
	}
	// A counting sort keeps the rows of a partition in input order.
	r.hit = r.hit[:0]
	for _, row := range rows {
		n := numbers[row]
		if r.counts[n] == 0 {
			r.hit = append(r.hit, n)
		}
		r.counts[n]++
	}
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
	if err := r.spread(ctx, b); err != nil {
		return err
	}
	return r.relieve()
}

// spread fills the partitions of a batch: in parallel where there are several and rows enough,
// because partitions share nothing and each still gets its rows in order.
func (r *router) spread(ctx context.Context, b arrowconv.Batch) error {
	step := r.stepRows(b)
	starts := make([]int32, len(r.hit)+1)
	for i, n := range r.hit {
		starts[i+1] = r.counts[n]
		r.counts[n] = 0
		r.part(int(n)) // made here, by one goroutine
	}
	fill := func(ctx context.Context, lo, hi int) error {
		for i := lo; i < hi; i++ {
			if err := r.fill(ctx, b, r.parts[r.hit[i]], r.order[starts[i]:starts[i+1]], step); err != nil {
				return err
			}
		}
		return nil
	}
	lanes := min(r.o.Workers, len(r.hit), len(r.order)/rowsPerLane)
	if lanes < 2 {
		return fill(ctx, 0, len(r.hit))
	}
	g, gctx := errgroup.WithContext(ctx)
	next := 0
	for lane := range lanes {
		lo := next
		for next < len(r.hit) && int(starts[next]) < len(r.order)*(lane+1)/lanes {
			next++
		}
		hi := next
		g.Go(func() error { return fill(gctx, lo, hi) })
	}
	return g.Wait()
}

// rowsPerLane is the least work worth a goroutine.
const rowsPerLane = 2048

// stepRows is how many rows to copy before looking whether the segment is full.
func (r *router) stepRows(b arrowconv.Batch) int {
	var size uint64
	for _, c := range b.Columns() {
		size += c.Data().SizeInBytes()
	}
	each := int64(size)/b.NumRows() + 1
	return int(max(1, min(r.plan.segment/8/each, 8192)))
}

// part returns the partition with the given number of the partitioner. Parts are made for
// partitions that have a row inside the slice alone.
func (r *router) part(n int) *part {
	for len(r.parts) <= n {
		r.parts = append(r.parts, nil)
	}
	if r.parts[n] == nil {
		r.parts[n] = &part{number: n, out: &assembly{
			done: map[int][]*rowGroup{}, last: -1, perFile: r.plan.sortUnit > 0, target: r.plan.file,
		}}
	}
	return r.parts[n]
}

func (r *router) fill(ctx context.Context, b arrowconv.Batch, p *part, rows []int32, step int) error {
	for len(rows) > 0 {
		if p.cols == nil {
			p.cols = newColumns(r.layouts)
			p.capacity = r.overhead
			r.buffers.Add(r.overhead)
		}
		limit := r.plan.segRows - p.spilledRows - p.rows
		if r.plan.sortUnit > 0 {
			limit = len(rows)
		}
		n := min(step, len(rows), limit)
		size, capacity := int64(0), r.overhead
		for i, col := range b.Columns() {
			c := &p.cols[i]
			d := col.Data()
			c.gather(d, d.Offset(), rows[:n])
			size += c.size()
			capacity += c.capacity()
		}
		rows = rows[n:]
		r.buffers.Add(capacity - p.capacity)
		p.rows, p.size, p.capacity = p.rows+n, size, capacity
		if r.full(p) {
			if err := r.submit(ctx, p, false); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *router) full(p *part) bool {
	if r.plan.sortUnit > 0 {
		return p.spilledSize+p.size+sortCost*int64(p.spilledRows+p.rows) >= r.plan.sortUnit
	}
	return p.spilledSize+p.size >= r.plan.segment || p.spilledRows+p.rows >= r.plan.segRows
}

// submit hands the segment at hand to the workers. It waits while too much is on its way.
func (r *router) submit(ctx context.Context, p *part, last bool) error {
	if p.partition == nil {
		partition := r.partitioner.partition(p.number)
		p.partition = &partition
	}
	j := &job{
		part: p, segment: p.segments, last: last,
		spilled: p.spilled, cols: p.cols,
		rows: p.spilledRows + p.rows, size: p.spilledSize + p.size,
	}
	j.held = min(j.size, r.plan.segments)
	if err := r.inUse.Acquire(ctx, j.held); err != nil {
		return context.Cause(ctx)
	}
	r.flying.Add(j.size)
	p.segments++
	r.buffers.Add(-p.capacity)
	p.spilled, p.spilledRows, p.spilledSize = nil, 0, 0
	p.cols, p.rows, p.size, p.capacity = nil, 0, 0, 0
	select {
	case r.jobs <- j:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// relieve spills the largest partition buffers when memory runs short.
func (r *router) relieve() error {
	over := r.buffers.Load() + r.flying.Load() + r.encoded.Load() - r.plan.tracked
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
		for i := range p.cols {
			buf = appendColumn(buf, &p.cols[i])
		}
		p.spilled = append(p.spilled, extent{int64(start), int64(len(buf) - start)})
		p.spilledRows += p.rows
		p.spilledSize += p.size
		r.buffers.Add(-p.capacity)
		p.cols, p.rows, p.size, p.capacity = nil, 0, 0, 0
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
	for _, p := range r.parts {
		if p == nil {
			continue
		}
		if err := r.submit(ctx, p, true); err != nil {
			return err
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
