package stage

import (
	"context"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
)

// A partition of a sorted table is one sequence of rows, however many there are. What the router has of it
// is sorted whenever it reaches sizes.sortUnit, and goes to the spill file as a sorted run. Once the input
// has ended its runs are merged, and the windows of the merge become pages, row groups and files as runs of an
// unsorted table do: files hold ascending ranges. A partition that is smaller is sorted in memory, and
// its rows come in the same windows. Where rows compare equal, those of the earlier run come first, which is the
// order of the input: so where runs end, and how many passes merge them, changes no byte.

// sortedRows gives rows in sorted order.
type sortedRows interface {
	// take appends the next n rows to cols, fewer where there are no more, and returns how many.
	take(cols []column, n int) (int, error)
	// more says whether there is another row.
	more() bool
}

// inMemory is rows and the order they are wanted in.
type inMemory struct {
	data []arrow.ArrayData
	perm []int32
}

func (s *inMemory) more() bool { return len(s.perm) > 0 }

func (s *inMemory) take(cols []column, n int) (int, error) {
	n = min(n, len(s.perm))
	for i := range cols {
		cols[i].gather(s.data[i], 0, s.perm[:n])
	}
	s.perm = s.perm[n:]
	return n, nil
}

// merge is sorted runs, merged by a tree of losers: each inner node has the cursor that lost there, and place 0
// the one that won overall.
type merge struct {
	cursors []*cursor // in the order of the input
	tree    []int32
	streak  int // turns that the winner has won one after the other
	turns   int // of the last take

	pieces []piece
	merged []picked
	beside []column // the pieces, one after the other
	perm   []int32
	rising []int32
	in     []byte
	plain  []byte
}

// piece is rows of a chunk that lie beside those of others, to be picked from: row i is at base+i.
type piece struct{ base int32 }

// picked is a row of the merge: of a piece, by its number in the chunk.
type picked struct{ piece, row int32 }

func newMerge(runs []sortedRun, s *sorter, ls []*layout, spill *spillFile) (*merge, error) {
	m := &merge{tree: make([]int32, len(runs)), beside: newColumns(ls)}
	for _, r := range runs {
		c := &cursor{sorter: s.clone(), spill: spill, rest: r.chunks, cols: newColumns(ls)}
		if err := c.next(&m.in, &m.plain); err != nil {
			return nil, err
		}
		m.cursors = append(m.cursors, c)
	}
	m.tree[0] = m.play(1)
	return m, nil
}

// play fills the tree below node, and returns who wins there.
func (m *merge) play(node int) int32 {
	k := len(m.cursors)
	if node >= k {
		return int32(node - k)
	}
	a, b := m.play(2*node), m.play(2*node+1)
	if m.beats(b, a) {
		a, b = b, a
	}
	m.tree[node] = b
	return a
}

// replay finds the winner after the one there was has moved on.
func (m *merge) replay() {
	w := m.tree[0]
	for node := (int(w) + len(m.cursors)) / 2; node > 0; node /= 2 {
		if m.beats(m.tree[node], w) {
			m.tree[node], w = w, m.tree[node]
		}
	}
	m.tree[0] = w
}

func (m *merge) beats(a, b int32) bool {
	switch x, y := m.cursors[a], m.cursors[b]; {
	case y.done():
		return !x.done()
	case x.done():
		return false
	default:
		return x.before(y, a < b)
	}
}

// second is who would win without the winner, nil where nobody is left.
func (m *merge) second() (c *cursor, number int32) {
	number = -1
	for node := (int(m.tree[0]) + len(m.cursors)) / 2; node > 0; node /= 2 {
		if number < 0 || m.beats(m.tree[node], number) {
			number = m.tree[node]
		}
	}
	if number < 0 || m.cursors[number].done() {
		return nil, number
	}
	return m.cursors[number], number
}

func (m *merge) more() bool { return !m.cursors[m.tree[0]].done() }

// longStreak is after how many rows of one run more of the same are looked for, all at once. Input that
// was in order, or nearly, is merged by chunks.
const longStreak = 4

func (m *merge) take(cols []column, n int) (int, error) {
	m.pieces, m.merged = m.pieces[:0], m.merged[:0]
	for i := range m.beside {
		m.beside[i].reset()
	}
	open := make([]int32, len(m.cursors)) // number of each cursor's piece, plus 1
	taken := 0
	for m.turns = 0; taken < n && m.more(); m.turns++ {
		w := m.tree[0]
		c := m.cursors[w]
		if open[w] == 0 {
			m.pieces = append(m.pieces, piece{})
			open[w] = int32(len(m.pieces))
			c.from = c.at
		}
		rows := 1
		if m.streak >= longStreak {
			rows = min(n-taken, m.ahead(w))
		}
		for range rows {
			m.merged = append(m.merged, picked{open[w] - 1, int32(c.at)})
			c.at++
		}
		taken += rows
		m.streak++
		if c.done() {
			m.lay(open[w]-1, c)
			open[w] = 0
			if err := c.next(&m.in, &m.plain); err != nil {
				return 0, err
			}
		}
		m.replay()
		if m.tree[0] != w {
			m.streak = 0
		}
	}
	for i, p := range open {
		if p > 0 {
			m.lay(p-1, m.cursors[i])
		}
	}
	m.perm = growTo(m.perm, taken)
	for i, p := range m.merged {
		m.perm[i] = m.pieces[p.piece].base + p.row
	}
	for i := range cols {
		d := m.beside[i].arrowData()
		cols[i].gather(d, 0, m.perm)
		d.Release()
	}
	return taken, nil
}

// ahead is how many rows of the winner's chunk come before any other row.
func (m *merge) ahead(w int32) int {
	c := m.cursors[w]
	left := len(c.rows.keys) - c.at
	o, number := m.second()
	if o == nil || c.rowBefore(c.at+left-1, o, w < number) {
		return left
	}
	return max(1, sort.Search(left, func(i int) bool { return !c.rowBefore(c.at+i, o, w < number) }))
}

// lay puts the rows of a piece, up to where c is, beside the others.
func (m *merge) lay(number int32, c *cursor) {
	for k := len(m.rising); k < c.at; k++ {
		m.rising = append(m.rising, int32(k))
	}
	m.pieces[number].base = int32(m.beside[0].n - c.from)
	for i := range m.beside {
		m.beside[i].gather(c.data[i], 0, m.rising[c.from:c.at])
	}
	c.from = c.at
}

// spillTasks is into how many tasks the spilling of a sorted run is cut, for several workers.
const spillTasks = 8

// beginSorting sorts the rows of r. They are spilled, unless they are all that the partition has.
func (w *worker) beginSorting(ctx context.Context, r *run) error {
	if r.rows > 0 {
		if err := w.load(r); err != nil {
			return err
		}
		perm := w.sorter.order(r.cols, r.rows)
		if !r.last || len(r.part.sorted) > 0 {
			r.perm = perm
			r.chunks = make([]sortedRun, min(spillTasks, r.rows))
			r.tasks = int32(len(r.chunks))
			r.left.Store(r.tasks)
			return nil
		}
		r.sorted = &inMemory{columnData(r.cols), perm}
		r.unsorted, r.cols = r.cols, nil
	}
	return w.beginWindow(ctx, r)
}

// beginWindow says what is to be done with the next rows of a partition in sorted order, which it makes
// unless they were made ahead.
func (w *worker) beginWindow(ctx context.Context, r *run) error {
	if r.sorted == nil && len(r.part.sorted) > 0 {
		runs, err := w.narrow(ctx, r.part.sorted)
		if err != nil {
			return err
		}
		if r.sorted, err = newMerge(runs, w.sorter, w.layouts, w.spill); err != nil {
			return err
		}
		r.part.sorted = nil
	}
	if r.sorted == nil {
		return nil // the partition has no rows left
	}
	if r.cols == nil {
		if err := w.window(r); err != nil {
			return err
		}
	}
	r.last = !r.sorted.more()
	w.beginEncoding(r)
	return nil
}

// window takes rows for r, as many as a run of an unsorted table has. What it looks at are sizes of rows in
// sorted order alone.
func (w *worker) window(r *run) error {
	r.cols, r.rows, r.size = w.columns.take(), 0, 0
	for n := 16; n > 0; {
		got, err := r.sorted.take(r.cols, n)
		if err != nil {
			return err
		}
		r.rows += got
		r.size = sizeOf(r.cols)
		if got < n || r.size >= w.plan.run-w.plan.run/16 {
			return nil
		}
		n = min(w.plan.runRows-r.rows, 15*r.rows)
		if r.size > 0 {
			n = min(n, int((w.plan.run-r.size)*int64(r.rows)/r.size))
		}
	}
	return nil
}

// windowAhead makes the next window while r is encoded.
func (w *worker) windowAhead(r *run) error {
	r.ahead = &run{part: r.part, sorted: r.sorted, unsorted: r.unsorted, blocks: r.blocks, held: r.held}
	r.blocks, r.unsorted, r.held = nil, nil, 0
	return w.window(r.ahead)
}

// spillSorted spills task k of a sorted run.
func (w *worker) spillSorted(ctx context.Context, r *run, k int) error {
	from, to := r.rows*k/len(r.chunks), r.rows*(k+1)/len(r.chunks)
	var err error
	r.chunks[k], err = w.chunker.write(ctx, &inMemory{columnData(r.cols), r.perm[from:to]}, w.plan.sortChunk)
	return err
}

// endSpilling takes a sorted run to its partition, whose runs are merged after the last.
func (w *worker) endSpilling(r *run) {
	var whole sortedRun
	for _, c := range r.chunks {
		whole.add(c)
	}
	r.part.sorted = append(r.part.sorted, whole)
	w.drop(r)
	if r.last {
		w.queue.put(&run{part: r.part, last: true, held: r.held})
	} else {
		w.letFly(r)
	}
	w.queue.done(r)
}

// narrow merges runs, neighbours with each other, until all that are left can be merged at once: a chunk of each
// in memory. Two can, however long their rows are.
func (w *worker) narrow(ctx context.Context, runs []sortedRun) ([]sortedRun, error) {
	need := func(runs []sortedRun) int64 {
		sum := int64(0)
		for _, r := range runs {
			sum += r.most
		}
		return sum
	}
	for len(runs) > 2 && need(runs) > w.plan.mergeRoom {
		var next []sortedRun
		for len(runs) > 0 && need(next)+need(runs) > w.plan.mergeRoom {
			n := min(2, len(runs))
			for n < len(runs) && need(runs[:n+1]) <= w.plan.mergeRoom {
				n++
			}
			one := runs[0]
			if n > 1 {
				m, err := newMerge(runs[:n], w.sorter, w.layouts, w.spill)
				if err != nil {
					return nil, err
				}
				if one, err = w.chunker.write(ctx, m, w.plan.sortChunk); err != nil {
					return nil, err
				}
			}
			next, runs = append(next, one), runs[n:]
		}
		runs = append(next, runs...)
	}
	return runs, nil
}
