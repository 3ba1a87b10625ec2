package stage

import (
	"context"
	"sync"
)

// fileTask is a data file to write. Its row groups are all there, or the rest comes on a stream.
type fileTask struct {
	part   *part
	index  int // among the partition's files
	groups []*rowGroup
	rest   *stream
}

// group returns row group i, nil where there are no more. It waits until it is there or ctx ends.
func (t *fileTask) group(ctx context.Context, i int) (*rowGroup, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if i == len(t.groups) && t.rest != nil {
		g, err := t.rest.take(ctx)
		if g == nil || err != nil {
			return nil, err
		}
		t.groups = append(t.groups, g)
	}
	if i == len(t.groups) {
		return nil, nil
	}
	return t.groups[i], nil
}

func (t *fileTask) rows() int64 {
	n := int64(0)
	for _, g := range t.groups {
		n += g.rows
	}
	return n
}

// stream carries row groups to a file that is being written. It holds any number: a store that is slow
// has them wait, in memory or in the spill file, and not the workers.
type stream struct {
	mu     sync.Mutex
	groups []*rowGroup
	closed bool
	wake   chan struct{}
}

func newStream() *stream { return &stream{wake: make(chan struct{}, 1)} }

// put adds g; nil says that there are no more.
func (s *stream) put(g *rowGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g == nil {
		s.closed = true
	} else {
		s.groups = append(s.groups, g)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *stream) take(ctx context.Context) (*rowGroup, error) {
	for {
		if g, closed := s.first(); g != nil || closed {
			return g, nil
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *stream) first() (g *rowGroup, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.groups) == 0 {
		return nil, s.closed
	}
	g, s.groups = s.groups[0], s.groups[1:]
	return g, false
}

// assembly collects the row groups of one partition, in order, and cuts them into files. One
// goroutine at a time touches it.
type assembly struct {
	groups []*rowGroup // of the file at hand, as long as nobody writes it
	rest   *stream     // to whoever writes the file at hand
	size   int64       // of the file at hand
	files  int
	target int64
}

// add takes a row group and returns the file that is complete without it.
func (a *assembly) add(p *part, g *rowGroup) []fileTask {
	var tasks []fileTask
	if a.size > 0 && (a.size >= a.target || a.size+g.size > a.target+a.target/10) {
		tasks = a.cut(p)
	}
	a.size += g.size
	if a.rest != nil {
		a.rest.put(g)
	} else {
		a.groups = append(a.groups, g)
	}
	return tasks
}

// cut ends the file at hand, and returns it where nobody writes it yet.
func (a *assembly) cut(p *part) []fileTask {
	var tasks []fileTask
	switch {
	case a.rest != nil:
		a.rest.put(nil)
		a.files++
	case len(a.groups) > 0:
		tasks = append(tasks, fileTask{part: p, index: a.files, groups: a.groups})
		a.files++
	}
	a.groups, a.rest, a.size = nil, nil, 0
	return tasks
}

// begin returns the file at hand to be written from now on, while its row groups come.
func (a *assembly) begin(p *part) fileTask {
	t := fileTask{part: p, index: a.files, groups: a.groups, rest: newStream()}
	a.groups, a.rest = nil, t.rest
	return t
}
