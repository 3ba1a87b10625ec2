package plan

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/slice"
)

// Straddler is a live data file with rows of the slice and others. It goes; the others are carried
// over: written anew, under the table's current spec, and published in the same snapshot.
type Straddler struct {
	*live.File
	// Removed and Kept count its live rows: those of the slice, and the others.
	Removed, Kept int64
}

// Partitions tells which partitions rows lie in. It numbers them in order of first appearance.
type Partitions interface {
	// Of gives each row's partition. The result is valid until the next call.
	Of(rec arrow.RecordBatch) []int32
	Partition(number int) slice.Partition
}

// Looks remembers what was found in files, from one plan of a run to the next: all with one slice,
// the same staged files and the same options. The zero value is empty.
type Looks struct {
	mu   sync.Mutex
	seen map[string]look // by origin
}

// look is what a file was found to hold.
type look struct {
	inside, outside int64
	shares          []share
	sum             *digest.Sum // of the rows inside, under CompareRows
}

// share is the number of a file's rows of the slice that lie in one partition.
type share struct {
	home slice.Partition
	rows int64
}

// lookers bounds the files that are looked into at once. Each is read as a stream, batch by batch.
var lookers = runtime.GOMAXPROCS(0)

// settle finds out about the files whose manifest entries prove neither that they lie inside the
// slice nor that they lie outside. It reads their rows: just the columns that decide, unless the
// digests of the rows inside are wanted.
func (l *liveFiles) settle(ctx context.Context, tbl *table.Table, sc *scope, o Options) error {
	var open []*liveFile
	for _, f := range l.data {
		if f.cover == slice.Some {
			open = append(open, f)
		}
	}
	if len(open) == 0 {
		return nil
	}
	s, err := newSight(tbl, sc, o)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookers)
	for _, f := range open {
		g.Go(func() error {
			found, err := s.look(ctx, f)
			if err != nil {
				return err
			}
			f.inside, f.outside, f.shares, f.sum = found.inside, found.outside, found.shares, found.sum
			switch {
			case found.inside == 0:
				f.cover = slice.None
			case found.outside == 0:
				f.cover = slice.All
			}
			f.rows = found.inside
			return nil
		})
	}
	return g.Wait()
}

// sight looks into files.
type sight struct {
	tbl     *table.Table
	sc      *scope
	o       Options
	columns []string // top-level
	schema  *iceberg.Schema
}

func newSight(tbl *table.Table, sc *scope, o Options) (*sight, error) {
	s := &sight{tbl: tbl, sc: sc, o: o, schema: tbl.Schema(), columns: live.Columns(tbl.Schema())}
	if o.CompareRows {
		return s, nil
	}
	s.columns = catalog.ReadableColumns(tbl, s.schema, holding(s.schema, sc.deciding()))
	var err error
	s.schema, err = s.schema.Select(true, s.columns...)
	return s, err
}

// deciding are the field ids of the columns that tell whether a row is in the slice.
func (sc *scope) deciding() []int {
	if sc.declared != nil {
		return sc.declared.Columns()
	}
	var ids []int
	for _, f := range sc.spec.Fields() {
		ids = append(ids, f.SourceIDs...)
	}
	return ids
}

// holding are the top-level columns that are, or lie around, the fields with those ids.
func holding(schema *iceberg.Schema, ids []int) []string {
	var names []string
	for _, f := range schema.Fields() {
		if slices.ContainsFunc(ids, func(id int) bool {
			path, _ := schema.FindColumnName(id)
			return f.ID == id || strings.HasPrefix(path, f.Name+".")
		}) {
			names = append(names, f.Name)
		}
	}
	return names
}

func (s *sight) look(ctx context.Context, f *liveFile) (found look, err error) {
	origin := f.Origin()
	if known, ok := s.o.Looks.get(origin); ok {
		return known, nil
	}
	sieve, err := newSieve(s.sc, s.schema, s.o)
	if err != nil {
		return look{}, err
	}
	var hasher *digest.Hasher
	if s.o.CompareRows {
		found.sum = &digest.Sum{}
		if hasher, err = digest.NewHasher(s.schema); err != nil {
			return look{}, err
		}
	}
	for rec, err := range rowsOf(ctx, s.tbl, s.columns, f.straddler()) {
		if err != nil {
			return look{}, err
		}
		in, err := sieve.inside(rec)
		if err == nil {
			n := int64(in.Count())
			found.inside, found.outside = found.inside+n, found.outside+rec.NumRows()-n
			if hasher != nil {
				*found.sum = found.sum.Add(hasher.SumOf(rec, in.Inside))
			}
		}
		rec.Release()
		if err != nil {
			return look{}, err
		}
	}
	if live, least := found.inside+found.outside, f.LeastRows(); live > f.DataFile().Count() || live < least {
		return look{}, guard("see with another engine whether the table is intact", "live file %s has %d rows by its manifest entry, and %d that live were read",
			f.DataFile().FilePath(), f.DataFile().Count(), live)
	}
	if found.shares = sieve.shares(); s.sc.declared != nil && found.inside > 0 {
		found.shares = []share{{f.Partition, found.inside}}
	}
	s.o.Looks.put(origin, found)
	return found, nil
}

func (l *Looks) get(origin string) (look, bool) {
	if l == nil {
		return look{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	found, ok := l.seen[origin]
	return found, ok
}

func (l *Looks) put(origin string, found look) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[string]look{}
	}
	l.seen[origin] = found
}

// sieve tells the rows of the slice from others, and counts them by partition where the slice is
// the partitions of the staged files.
type sieve struct {
	sc         *scope
	partitions Partitions
	touched    []bool  // by number
	rows       []int64 // inside, by number
}

func newSieve(sc *scope, schema *iceberg.Schema, o Options) (*sieve, error) {
	s := &sieve{sc: sc}
	if sc.declared != nil {
		return s, nil
	}
	if o.Partitions == nil {
		return nil, errors.New("plan: Options.Partitions is missing, and files of other specs may hold rows of the slice")
	}
	var err error
	s.partitions, err = o.Partitions(schema, sc.spec)
	return s, err
}

// inside tells which rows of rec are in the slice.
func (s *sieve) inside(rec arrow.RecordBatch) (*slice.Selection, error) {
	n := int(rec.NumRows())
	if s.sc.declared != nil {
		sel, err := s.sc.declared.Rows(rec)
		if err != nil || sel != nil {
			return sel, err
		}
		return slice.Select(n, func(int) bool { return true }), nil
	}
	numbers := s.partitions.Of(rec)
	for i := range numbers {
		for int(numbers[i]) >= len(s.touched) {
			_, in := s.sc.touched[s.partitions.Partition(len(s.touched)).Key]
			s.touched, s.rows = append(s.touched, in), append(s.rows, 0)
		}
		s.rows[numbers[i]]++
	}
	return slice.Select(n, func(i int) bool { return s.touched[numbers[i]] }), nil
}

// shares are the rows inside, by partition.
func (s *sieve) shares() []share {
	var out []share
	for n, in := range s.touched {
		if in {
			out = append(out, share{s.sc.touched[s.partitions.Partition(n).Key], s.rows[n]})
		}
	}
	return out
}

// Rows yields the live rows of straddlers, those of the slice and the others, one file after the
// other, with the columns of tbl. Each batch is the loop body's to release.
func (p *Plan) Rows(ctx context.Context, tbl *table.Table, files ...Straddler) iter.Seq2[arrow.RecordBatch, error] {
	return rowsOf(ctx, tbl, live.Columns(tbl.Schema()), files...)
}

// Outside returns what tells the rows that are not in the slice, of batches with the columns of schema.
// It is for one goroutine.
func (p *Plan) Outside(schema *iceberg.Schema) (func(arrow.RecordBatch) (*slice.Selection, error), error) {
	s, err := newSieve(p.scope, schema, p.options)
	return func(rec arrow.RecordBatch) (*slice.Selection, error) {
		in, err := s.inside(rec)
		if err != nil {
			return nil, err
		}
		return slice.Select(in.Len(), func(i int) bool { return !in.Inside(i) }), nil
	}, err
}

// rowsOf reads one file after the other, so that no more than a batch of rows waits to be taken.
func rowsOf(ctx context.Context, tbl *table.Table, columns []string, files ...Straddler) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for _, f := range files {
			for rec, err := range live.Rows(ctx, tbl, f.Task(), columns) {
				if err != nil {
					yield(nil, refused(f.DataFile(), err))
					return
				}
				if !yield(rec, nil) {
					return
				}
			}
		}
	}
}
