package arrowconv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"golang.org/x/sync/errgroup"
)

// readParquet reads a Parquet file, its columns side by side, in batches of up to maxParquetRows rows
// and about 16 times ChunkBytes, whatever its row groups are.
//
// Columns are matched by name. The field ids that a file may carry are those of the table that it was
// written for, or mere positions; they say nothing about this one.
func readParquet(ctx context.Context, in Input, to *target, o Options) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		f, err := openParquet(in, o)
		if err == nil {
			defer f.close()
			err = f.plan(to)
		}
		if err == nil {
			err = f.start(ctx)
		}
		if err != nil {
			yield(Batch{}, err)
			return
		}
		unchanged := func(err error, _ int64) error { return err }
		emit(in, o, oneAhead(ctx, f.next, piece.drop), unchanged)(yield)
	}
}

const maxParquetRows = 64 << 10

// parquetFile is an open file, and how its columns become the table's.
type parquetFile struct {
	name    string
	opts    Options
	from    *latchAt
	spooled *os.File
	reader  *pqarrow.FileReader

	to      *target
	columns []parquetColumn // by column of the table
	left    int64           // rows
	rows    int64           // of a batch
	perRow  float64         // bytes of Parquet
}

// parquetColumn reads one column of the file.
type parquetColumn struct {
	source *pqarrow.ColumnReader // nil where the file lacks the column
	field  int                   // in the file
	cast   *parquetCast
}

// latchAt keeps the error of the bytes below, which the library wraps in its own words or panics with.
type latchAt struct {
	io.ReaderAt
	err chan error
}

func (l *latchAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := l.ReaderAt.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		select {
		case l.err <- err:
		default:
		}
	}
	return n, err
}

// openParquet opens the file that in holds, by way of a temporary one where in is a mere stream.
func openParquet(in Input, o Options) (f *parquetFile, err error) {
	f = &parquetFile{name: in.Name, opts: o}
	defer func() {
		if err != nil {
			f.close()
			f = nil
		}
	}()
	at, size := in.At, in.Size
	if at == nil {
		if at, size, err = f.spool(in); err != nil {
			return f, err
		}
	}
	f.from = &latchAt{at, make(chan error, 1)}
	if err := f.checkMagic(size); err != nil {
		return f, err
	}
	err = f.guard(func() error {
		props := parquet.NewReaderProperties(o.Alloc)
		props.BufferedStreamEnabled, props.BufferSize = true, 1<<20 // of each column, rather than the whole row group
		props.MaxCompressedPageSize, props.MaxUncompressedPageSize = 1<<30, 1<<30
		reader, err := file.NewParquetReader(io.NewSectionReader(f.from, 0, size), file.WithReadProps(props))
		if err != nil {
			return err
		}
		// What Arrow's own schema in the footer adds to Parquet's, dictionaries and large strings, is
		// another layout of the same values, and a corrupt one would have its reader ask for any memory.
		reader.MetaData().FileMetaData.KeyValueMetadata = nil
		// Not parallel: those goroutines are out of reach of a recover.
		f.reader, err = pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{}, o.Alloc)
		return err
	})
	return f, err
}

// spool copies a stream to a temporary file.
func (f *parquetFile) spool(in Input) (io.ReaderAt, int64, error) {
	tmp, err := os.CreateTemp(f.opts.SpillDir, "icewright-parquet-*")
	if err != nil {
		return nil, 0, fmt.Errorf("%s: spool: %w", f.name, err)
	}
	f.spooled = tmp
	_ = os.Remove(tmp.Name()) // where the system lets us: then nothing is left however we end
	size, err := io.Copy(tmp, in.Reader)
	return tmp, size, err
}

// checkMagic tells what is no Parquet file from what is a broken one.
func (f *parquetFile) checkMagic(size int64) error {
	var head, tail [4]byte
	if size >= 12 {
		if _, err := f.from.ReadAt(head[:], 0); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if _, err := f.from.ReadAt(tail[:], size-4); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	switch h, t := string(head[:]), string(tail[:]); {
	case t == "PARE" || h == "PARE":
		return f.encrypted()
	case h != "PAR1":
		return inputErrorf("", "%s: it is not a Parquet file", f.name)
	case t != "PAR1":
		return inputErrorf("fetch the file again: it is not complete", "%s: the Parquet file has no footer at its end", f.name)
	}
	return nil
}

func (f *parquetFile) encrypted() error {
	return inputErrorf("decrypt it first", "%s: the Parquet file is encrypted", f.name)
}

// guard runs what calls the library, and gives its errors and panics the file's name. Both mean that
// the file is corrupt, unless reading it failed.
func (f *parquetFile) guard(call func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
		if err == nil {
			return
		}
		select {
		case err = <-f.from.err:
			return
		default:
		}
		if !errors.Is(err, ErrInput) {
			err = inputErrorf("", "%s: the Parquet file cannot be read: %w", f.name, err)
		}
	}()
	return call()
}

func (f *parquetFile) close() {
	for _, c := range f.columns {
		if c.source != nil {
			c.source.Release()
		}
	}
	if f.spooled != nil {
		_ = f.spooled.Close()
		_ = os.Remove(f.spooled.Name())
	}
}

// fields are the file's columns.
func (f *parquetFile) fields() ([]arrow.Field, error) {
	var fields []arrow.Field
	for _, field := range f.reader.Manifest.Fields {
		if slices.ContainsFunc(fields, func(other arrow.Field) bool { return other.Name == field.Field.Name }) {
			return nil, inputErrorf("", "%s: column %s comes twice in the file", f.name, quoteShort(field.Field.Name))
		}
		fields = append(fields, *field.Field)
	}
	return fields, nil
}

// plan says which column of the file becomes which of the table, and how.
func (f *parquetFile) plan(to *target) error {
	fields, err := f.fields()
	if err != nil {
		return err
	}
	f.to = to
	f.columns = make([]parquetColumn, len(to.fields))
	for i := range f.columns {
		f.columns[i].field = -1
	}
	in := Input{Name: f.name}
	for i, field := range fields {
		at, ok := to.index[field.Name]
		if !ok {
			return to.unknownColumn(in, field.Name)
		}
		f.columns[at].field = i
		planner := &castPlanner{name: f.name, zone: f.opts.TimeZone}
		if f.columns[at].cast, err = planner.cast(field.Type, to.fields[at], to.arrow.Field(at).Type, field.Name); err != nil {
			return err
		}
	}
	for i, c := range f.columns {
		if c.field < 0 {
			if err := to.lacks(in, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// start opens the columns.
func (f *parquetFile) start(ctx context.Context) error {
	return f.guard(func() error {
		meta := f.reader.ParquetReader().MetaData()
		var groups []int
		stored := int64(0)
		for i := range meta.NumRowGroups() {
			group := meta.RowGroup(i)
			groups = append(groups, i)
			f.left += group.NumRows()
			stored += group.TotalByteSize()
		}
		if f.left != meta.NumRows {
			return fmt.Errorf("its footer says %d rows, and its row groups %d", meta.NumRows, f.left)
		}
		if f.left == 0 {
			return nil
		}
		f.perRow = max(float64(stored)/float64(f.left), 1)
		f.rows = max(1, min(maxParquetRows, int64(16*float64(f.opts.ChunkBytes)/f.perRow)))
		leaves := make(map[int]bool)
		for i := range meta.Schema.NumColumns() {
			leaves[i] = true
			// The library opens the leaves of nested columns in goroutines of its own, where a panic over
			// a corrupt footer cannot be caught. Here it can.
			pages, err := f.reader.ParquetReader().RowGroup(0).GetColumnPageReader(i)
			if err != nil {
				return err
			}
			if err := pages.Close(); err != nil {
				return err
			}
		}
		for i, c := range f.columns {
			if c.field < 0 {
				continue
			}
			source, err := f.reader.GetFieldReader(ctx, c.field, leaves, groups)
			if err != nil {
				return err
			}
			f.columns[i].source = source
		}
		return nil
	})
}

// next reads the next rows of every column, and converts them.
func (f *parquetFile) next() (piece, error) {
	if f.left == 0 {
		return piece{}, io.EOF
	}
	rows := min(f.rows, f.left)
	sources, results := make([]arrow.Array, len(f.columns)), make([]arrow.Array, len(f.columns))
	bad := make([][]Reject, len(f.columns))
	defer func() {
		for i := range sources {
			for _, a := range []arrow.Array{sources[i], results[i]} {
				if a != nil {
					a.Release()
				}
			}
		}
	}()
	var group errgroup.Group
	group.SetLimit(f.opts.Workers)
	for i, c := range f.columns {
		group.Go(func() error {
			return f.guard(func() (err error) {
				if c.source == nil {
					results[i] = f.to.absent(i, int(rows), f.opts.Alloc)
					return nil
				}
				if sources[i], err = f.read(c, rows); err != nil {
					return fmt.Errorf("column %s: %w", quoteShort(f.to.fields[i].Name), err)
				}
				results[i], bad[i] = c.cast.run(sources[i], f.opts.Alloc)
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		return piece{}, err
	}
	f.left -= rows
	p := piece{rows: rows, bytes: int64(float64(rows) * f.perRow), rejects: firstOfRow(bad)}
	for i, r := range p.rejects {
		p.rejects[i].Raw = f.rowJSON(sources, int(r.Row))
	}
	if len(p.rejects) > 0 && f.opts.OnReject == nil {
		return p, nil
	}
	err := f.guard(func() (err error) {
		p.rec, err = f.without(results, rows, p.rejects)
		return err
	})
	return p, err
}

// read gives the next rows of a column in one array.
func (f *parquetFile) read(c parquetColumn, rows int64) (arrow.Array, error) {
	chunked, err := c.source.NextBatch(rows)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	defer chunked.Release()
	if int64(chunked.Len()) != rows {
		return nil, fmt.Errorf("it has %d rows where %d were expected", chunked.Len(), rows)
	}
	if len(chunked.Chunks()) == 1 {
		a := chunked.Chunk(0)
		a.Retain()
		return a, nil
	}
	return array.Concatenate(chunked.Chunks(), f.opts.Alloc)
}

// firstOfRow gives for each bad row what its first column says.
func firstOfRow(columns [][]Reject) []Reject {
	all := slices.Concat(columns...)
	slices.SortStableFunc(all, func(a, b Reject) int { return int(a.Row - b.Row) })
	return slices.CompactFunc(all, func(a, b Reject) bool { return a.Row == b.Row })
}

// without makes a batch of the rows that are not rejected.
func (f *parquetFile) without(columns []arrow.Array, rows int64, rejects []Reject) (arrow.RecordBatch, error) {
	if len(rejects) == 0 {
		return array.NewRecordBatch(f.to.arrow, columns, rows), nil
	}
	kept := make([]arrow.Array, len(columns))
	defer func() {
		for _, a := range kept {
			if a != nil {
				a.Release()
			}
		}
	}()
	for i, column := range columns {
		var runs []arrow.Array
		from := int64(0)
		for _, r := range append(rejects, Reject{Row: rows}) {
			if r.Row > from {
				runs = append(runs, array.NewSlice(column, from, r.Row))
			}
			from = r.Row + 1
		}
		var err error
		if len(runs) == 0 {
			kept[i] = array.NewSlice(column, 0, 0)
		} else {
			kept[i], err = array.Concatenate(runs, f.opts.Alloc)
		}
		for _, run := range runs {
			run.Release()
		}
		if err != nil {
			return nil, err
		}
	}
	return array.NewRecordBatch(f.to.arrow, kept, rows-int64(len(rejects))), nil
}

// oneAhead yields what next gives, up to io.EOF, while the next one after it is in the making. drop
// disposes of a result that is not yielded. No goroutine outlives the sequence.
func oneAhead[R any](ctx context.Context, next func() (R, error), drop func(R)) iter.Seq2[R, error] {
	type result struct {
		value R
		err   error
	}
	return func(yield func(R, error) bool) {
		var none R
		ctx, cancel := context.WithCancel(ctx)
		results := make(chan result)
		go func() {
			defer close(results)
			for ctx.Err() == nil {
				var r result
				r.value, r.err = next()
				if errors.Is(r.err, io.EOF) && !errors.Is(r.err, ErrInput) {
					return
				}
				select {
				case results <- r:
				case <-ctx.Done():
					if r.err == nil {
						drop(r.value)
					}
					return
				}
				if r.err != nil {
					return
				}
			}
		}()
		defer func() {
			cancel()
			for r := range results {
				if r.err == nil {
					drop(r.value)
				}
			}
		}()
		for r := range results {
			if r.err != nil {
				yield(none, r.err)
				return
			}
			if !yield(r.value, nil) {
				return
			}
		}
		if ctx.Err() != nil {
			yield(none, context.Cause(ctx))
		}
	}
}
