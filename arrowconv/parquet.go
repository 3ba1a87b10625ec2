package arrowconv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/arrow-go/v18/parquet/schema"
	"github.com/apache/iceberg-go"
)

// readParquet reads a Parquet file, its columns side by side, in batches of up to maxTypedRows rows
// and about 16 times ChunkBytes, whatever its row groups are.
func readParquet(ctx context.Context, in Input, to *target, o Options) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		f, err := openParquet(in, o)
		if err == nil {
			defer f.close()
			f.recast, err = newRecast(f.boundary, f.fields(), to, o)
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

// maxTypedRows is the most rows of a batch of an input whose columns are typed.
const maxTypedRows = 64 << 10

// inferParquet takes the schema from the file's footer; no row is read.
func inferParquet(_ context.Context, in Input, o InferOptions) (*iceberg.Schema, error) {
	o.Dictionaries = false // which are another layout of the same types
	f, err := openParquet(in, o.Options)
	if err != nil {
		return nil, err
	}
	defer f.close()
	return f.schemaOf(f.inferred(), o)
}

// parquetFile is an open file.
type parquetFile struct {
	boundary
	opts    Options
	from    *latchAt
	spooled *os.File
	reader  *pqarrow.FileReader

	recast  *recast
	columns []*pqarrow.ColumnReader // by column of the file
	left    int64                   // rows
	byGroup bool                    // a batch ends with its row group, whose dictionaries are its own
	groups  []int64                 // rows left of the row groups
	rows    int64                   // of a batch
	perRow  float64                 // bytes of Parquet
}

// latchAt keeps the errors of the bytes below.
type latchAt struct {
	io.ReaderAt
	boundary
}

func (l *latchAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := l.ReaderAt.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		l.fail(err)
	}
	return n, err
}

// openParquet opens the file that in holds, by way of a temporary one where in is a mere stream.
func openParquet(in Input, o Options) (f *parquetFile, err error) {
	f = &parquetFile{boundary: boundaryOf(in, "Parquet file"), opts: o}
	defer func() {
		if err != nil {
			f.close()
			f = nil
		}
	}()
	at, size := in.At, in.Size
	if at == nil {
		if f.spooled, size, err = spool(in, o); err != nil {
			return f, err
		}
		at = f.spooled
	}
	f.from = &latchAt{at, f.boundary}
	if err := f.checkMagic(size); err != nil {
		return f, err
	}
	err = f.guard(func() error {
		how := parquet.NewReaderProperties(o.Alloc)
		how.BufferedStreamEnabled, how.BufferSize = true, 1<<20 // of each column, rather than the whole row group
		how.MaxCompressedPageSize, how.MaxUncompressedPageSize = o.maxUnit(), o.maxUnit()
		reader, err := file.NewParquetReader(io.NewSectionReader(f.from, 0, size), file.WithReadProps(how))
		if err != nil {
			return err
		}
		if reader.MetaData().IsSetEncryptionAlgorithm() {
			return f.encrypted()
		}
		// What Arrow's own schema in the footer adds to Parquet's, dictionaries and large strings, is
		// another layout of the same values, and a corrupt one would have its reader ask for any memory.
		reader.MetaData().FileMetaData.KeyValueMetadata = nil
		// Not parallel: those goroutines are out of reach of a recover.
		props := pqarrow.ArrowReadProperties{}
		if o.Dictionaries {
			leaves, err := dictionaries(reader)
			if err != nil {
				return err
			}
			for _, leaf := range leaves {
				props.SetReadDict(leaf, true)
			}
			f.byGroup = len(leaves) > 0
		}
		f.reader, err = pqarrow.NewFileReader(reader, props, o.Alloc)
		return err
	})
	return f, err
}

// spool copies a stream to a temporary file, which unspool closes.
func spool(in Input, o Options) (*os.File, int64, error) {
	tmp, err := os.CreateTemp(o.SpillDir, "icewright-input-*")
	if err != nil {
		return nil, 0, fmt.Errorf("%s: spool: %w", in.Name, err)
	}
	_ = os.Remove(tmp.Name()) // where the system lets us: then nothing is left however we end
	size, err := io.Copy(tmp, in.Reader)
	if err != nil {
		unspool(tmp)
		return nil, 0, named(in.Name, err)
	}
	return tmp, size, nil
}

func unspool(tmp *os.File) {
	if tmp != nil {
		_ = tmp.Close()
		_ = os.Remove(tmp.Name())
	}
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

func (f *parquetFile) close() {
	for _, c := range f.columns {
		if c != nil {
			c.Release()
		}
	}
	unspool(f.spooled)
}

// fields are the file's columns.
func (f *parquetFile) fields() []arrow.Field {
	var fields []arrow.Field
	for _, field := range f.reader.Manifest.Fields {
		fields = append(fields, *field.Field)
	}
	return fields
}

// inferred are the columns as inference takes them: JSON and enums are texts, which the library gives as bytes.
func (f *parquetFile) inferred() []arrow.Field {
	var fields []arrow.Field
	for i := range f.reader.Manifest.Fields {
		fields = append(fields, f.asText(&f.reader.Manifest.Fields[i]))
	}
	return fields
}

func (f *parquetFile) asText(s *pqarrow.SchemaField) arrow.Field {
	out := *s.Field
	switch t := out.Type.(type) {
	case *arrow.BinaryType:
		switch f.reader.ParquetReader().MetaData().Schema.Column(s.ColIndex).LogicalType().(type) {
		case schema.JSONLogicalType, *schema.JSONLogicalType, schema.EnumLogicalType, *schema.EnumLogicalType:
			out.Type = arrow.BinaryTypes.String
		}
	case *arrow.StructType:
		var fields []arrow.Field
		for i := range s.Children {
			fields = append(fields, f.asText(&s.Children[i]))
		}
		if len(fields) == t.NumFields() {
			out.Type = arrow.StructOf(fields...)
		}
	case *arrow.ListType:
		if len(s.Children) == 1 {
			out.Type = arrow.ListOfField(f.asText(&s.Children[0]))
		}
	}
	return out
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
			f.groups = append(f.groups, group.NumRows())
			stored += group.TotalByteSize()
		}
		if f.left != meta.NumRows {
			return fmt.Errorf("its footer says %d rows, and its row groups %d", meta.NumRows, f.left)
		}
		if f.left == 0 {
			return nil
		}
		f.perRow = max(float64(stored)/float64(f.left), 1)
		f.rows = max(1, min(maxTypedRows, int64(16*float64(f.opts.ChunkBytes)/f.perRow)))
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
		f.columns = make([]*pqarrow.ColumnReader, len(f.reader.Manifest.Fields))
		for i := range f.columns {
			source, err := f.reader.GetFieldReader(ctx, i, leaves, groups)
			if err != nil {
				return err
			}
			f.columns[i] = source
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
	if f.byGroup {
		for f.groups[0] == 0 {
			f.groups = f.groups[1:]
		}
		rows = min(rows, f.groups[0])
		f.groups[0] -= rows
	}
	p, err := f.recast.piece(rows, f.opts.Workers, func(from int) (arrow.Array, error) {
		a, err := nextRows(f.columns[from], rows, f.opts.Alloc)
		if err != nil && strings.Contains(err.Error(), "exceeds configured limit") { // see maxUnit
			return nil, inputErrorf("say --max-row-bytes with more, if it is meant", "%s: column %s: a page has more than %d bytes",
				f.name, quoteShort(f.reader.Manifest.Fields[from].Field.Name), f.opts.maxUnit())
		}
		return a, err
	})
	f.left -= rows
	p.bytes = int64(float64(rows) * f.perRow)
	return p, err
}

// nextRows gives the next rows of a column in one array.
func nextRows(c *pqarrow.ColumnReader, rows int64, alloc memory.Allocator) (arrow.Array, error) {
	chunked, err := c.NextBatch(rows)
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF
	case err != nil:
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
	chunks := chunked.Chunks()
	if chunks[0].DataType().ID() == arrow.DICTIONARY { // each with a dictionary of its own
		texts := make([]arrow.Array, len(chunks))
		for i, chunk := range chunks {
			texts[i] = plain(chunk, alloc)
			defer texts[i].Release()
		}
		chunks = texts
	}
	return array.Concatenate(chunks, alloc)
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
