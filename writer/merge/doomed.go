package merge

import (
	"context"
	"errors"
	"sync"

	"github.com/apache/iceberg-go/table"
	"github.com/apache/iceberg-go/table/dv"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/writer/live"
)

// Doomed are the rows of a data file that go and can stay where they are, for a delete file to hide them.
type Doomed struct {
	*live.File
	// Rows are the positions of those that go, and Dead those that delete files hide already; nil is none.
	Rows, Dead *dv.RoaringPositionBitmap
}

// placed remembers the Doomed of a match, for as long as the match is remembered.
type placed struct {
	sync.Mutex
	doomed *Doomed
}

// Doomed finds the positions of the rows that go under p, file by file in the order of p.Rewrites. tbl is what was
// matched with. Errors wrap ErrTable where a file has no positions to be found.
func (m *Matcher) Doomed(ctx context.Context, tbl *table.Table, p *Plan) ([]Doomed, error) {
	r, err := m.newReader(tbl)
	if err != nil {
		return nil, err
	}
	files := p.Rewrites()
	out := make([]Doomed, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(m.in.o.Workers)
	for i, f := range files {
		g.Go(func() error {
			d, err := r.place(ctx, tbl, f)
			if err != nil {
				if errors.Is(err, context.Canceled) {
					return err
				}
				return r.named(f.File, err)
			}
			out[i] = Doomed{f.File, d.Rows, d.Dead}
			return nil
		})
	}
	return out, g.Wait()
}

func (r *reader) place(ctx context.Context, tbl *table.Table, m *Match) (*Doomed, error) {
	m.placed.Lock()
	defer m.placed.Unlock()
	if m.placed.doomed != nil {
		return m.placed.doomed, nil
	}
	var rows []int64
	for _, h := range m.Hits {
		if h.Outcome.Changes() {
			rows = append(rows, h.Row)
		}
	}
	places, err := m.Places(ctx, tbl, rows, r.keys)
	if err != nil {
		return nil, err
	}
	d := &Doomed{File: m.File, Rows: dv.NewRoaringPositionBitmap(), Dead: places.Dead}
	for _, at := range places.At {
		d.Rows.Set(uint64(at))
	}
	m.placed.doomed = d
	return d, nil
}

// Union is a with the positions of b, which may be nil. Neither changes.
func Union(a, b *dv.RoaringPositionBitmap) *dv.RoaringPositionBitmap {
	all := dv.NewRoaringPositionBitmap()
	all.Or(a)
	all.Or(b)
	return all
}
