package stage

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// run is rows of one partition on their way to pages: in input order, the spilled ones first.
type run struct {
	part    *part
	last    bool // of the partition
	spilled []extent
	blocks  []*block
	rows    int
	size    int64
	held    int64 // of staging.inUse

	// Once it is begun:
	cols  []column
	group *rowGroup // nil where there are no rows, or where they are not encoded yet
	tasks int32
	next  atomic.Int32 // task to begin
	left  atomic.Int32 // tasks not done
	ready bool

	// Of a sorted table:
	perm     []int32     // the order of rows, which are spilled in it
	chunks   []sortedRun // what was spilled, by task
	sorted   sortedRows  // where the rows come from, and after them the next ones
	unsorted []column    // what sorted has of rows in memory, kept up to the last
	ahead    *run        // the next rows, made while these are encoded
}

// queue has the runs that are to be encoded. Runs of one partition are encoded one after the other, since
// each goes on where the last one ended. Workers take runs of partitions that nobody works on; where there
// are none, they help with the columns of one that somebody works on. So two workers are busy with one partition, too.
type queue struct {
	mu      sync.Mutex
	wake    *sync.Cond
	waiting []*run
	begun   []*run
	closed  bool
}

func newQueue() *queue {
	q := &queue{}
	q.wake = sync.NewCond(&q.mu)
	return q
}

func (q *queue) put(r *run) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, r)
	q.wake.Broadcast()
}

// close says that no more will be put.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake.Broadcast()
}

// take returns a run to begin, or one to help with; nil where there is no more to do. It waits
// until there is one or ctx ends.
func (q *queue) take(ctx context.Context) (r *run, begin bool, err error) {
	stop := context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.wake.Broadcast()
	})
	defer stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, false, err
		}
		for i, r := range q.waiting {
			if !r.part.busy {
				r.part.busy = true
				q.waiting = slices.Delete(q.waiting, i, i+1)
				q.begun = append(q.begun, r)
				return r, true, nil
			}
		}
		for _, r := range q.begun {
			if r.ready && r.next.Load() < r.tasks {
				return r, false, nil
			}
		}
		if q.closed && len(q.waiting) == 0 && len(q.begun) == 0 { // what has begun may put more
			return nil, false, nil
		}
		q.wake.Wait()
	}
}

// prepared says that others may help with r.
func (q *queue) prepared(r *run) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r.ready = true
	q.wake.Broadcast()
}

// done says that r's partition may go on.
func (q *queue) done(r *run) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r.part.busy = false
	q.begun = slices.DeleteFunc(q.begun, func(b *run) bool { return b == r })
	q.wake.Broadcast()
}

// left returns the runs that were not done.
func (q *queue) left() []*run {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append(q.waiting, q.begun...)
}
