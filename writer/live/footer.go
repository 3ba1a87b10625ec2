package live

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/writer/bloom"
)

// footerGuess is how much of a file's end is read at once, in bytes: the footers of most files
// take one request.
const footerGuess = 64 << 10

// Footer reads the footer of a Parquet file; nil when it is encrypted.
// Source: parquet.apache.org/docs/file-format: footer, its length in four bytes, "PAR1".
func Footer(fs iceio.IO, path string, size int64) (_ *metadata.FileMetaData, err error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	tail := make([]byte, min(size, footerGuess))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(tail) < 12 {
		return nil, fmt.Errorf("%d bytes are no Parquet file", size)
	}
	switch string(tail[len(tail)-4:]) {
	case "PAR1":
	case "PARE":
		return nil, nil
	default:
		return nil, errors.New("it does not end like a Parquet file")
	}
	length := int64(binary.LittleEndian.Uint32(tail[len(tail)-8:]))
	if length > size-12 {
		return nil, fmt.Errorf("a footer of %d bytes in a file of %d", length, size)
	}
	footer := tail[:len(tail)-8]
	if missing := length - int64(len(footer)); missing > 0 {
		head := make([]byte, missing, length)
		if _, err := f.ReadAt(head, size-8-length); err != nil {
			return nil, err
		}
		footer = append(head, footer...)
	}
	return metadata.NewFileMetaData(footer[int64(len(footer))-length:], nil)
}

// RowGroup is a row group of a data file: rows that can be read by themselves.
type RowGroup struct {
	// First is the row of the file that it begins with, from 0, and Rows is how many there are.
	First, Rows int64
	Task        table.FileScanTask
	// Facts are what its statistics say of columns, as a manifest entry does of a file.
	Facts iceberg.DataFile
	// Chunks are its columns that have a Bloom filter, by field id, where the table's type has the hashes of the file's.
	Chunks map[int]Chunk

	indexes map[int]index // the page index of its columns, by field id
	meta    *metadata.FileMetaData
	number  int // in the file
}

// Chunk is a column of a row group: its bytes in the file, and the place of its Bloom filter.
type Chunk struct {
	Bytes        int64
	FilterOffset int64
	FilterLength int64 // with its header; 0 where the file doesn't say
}

func (f *File) open(ctx context.Context, tbl *table.Table) (iceio.File, error) {
	fs, err := tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	return fs.Open(f.DataFile().FilePath())
}

// Filter reads the Bloom filter of a chunk; nil where it is of a kind that is not known.
func (f *File) Filter(ctx context.Context, tbl *table.Table, c Chunk) (_ *bloom.Filter, err error) {
	in, err := f.open(ctx, tbl)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	var b []byte
	for need := max(int(c.FilterLength), bloom.HeaderMost); len(b) < need; {
		if c.FilterOffset+int64(need) > f.DataFile().FileSizeBytes() {
			return nil, nil
		}
		more := make([]byte, need)
		n := copy(more, b)
		if _, err := in.ReadAt(more[n:], c.FilterOffset+int64(n)); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		b = more
		filter, wants, ok := bloom.Parse(b)
		if ok {
			return filter, nil
		}
		need = wants
	}
	return nil, nil
}

// RowGroups are the row groups of a Parquet file that no delete file applies to: then rows can be numbered
// without reading those before them. nil where they cannot be told apart, or there is only one, without a filter or a page index.
func (f *File) RowGroups(ctx context.Context, tbl *table.Table) ([]RowGroup, error) {
	df := f.DataFile()
	spec := tbl.Metadata().PartitionSpecByID(f.Partition.SpecID)
	if len(f.Deletes) > 0 || df.FileFormat() != iceberg.ParquetFile || spec == nil {
		return nil, nil
	}
	fs, err := tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	meta, err := Footer(fs, df.FilePath(), df.FileSizeBytes())
	if err != nil {
		return nil, fmt.Errorf("read the footer of %s: %w", df.FilePath(), err)
	}
	if meta == nil || meta.NumRowGroups() < 2 && !tellsMore(meta) {
		return nil, nil
	}
	starts := df.SplitOffsets() // the scanner goes by these where they are one for each
	if len(starts) != meta.NumRowGroups() {
		starts = nil
		for i := range meta.NumRowGroups() {
			c, err := meta.RowGroup(i).ColumnChunk(0)
			if err != nil {
				return nil, fmt.Errorf("read the footer of %s: %w", df.FilePath(), err)
			}
			start := c.DataPageOffset()
			if c.HasDictionaryPage() {
				start = min(start, c.DictionaryPageOffset())
			}
			starts = append(starts, start)
		}
	}
	whole := f.Task()
	var groups []RowGroup
	first := int64(0)
	for i, start := range starts {
		end := df.FileSizeBytes()
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		if start < 4 || end <= start {
			return nil, nil
		}
		g := meta.RowGroup(i)
		r := RowGroup{First: first, Rows: g.NumRows(), Task: whole, meta: meta, number: i}
		r.Task.Start, r.Task.Length = start, end-start
		first += r.Rows
		if r.Chunks, err = chunksOf(g, meta.Schema, tbl.Schema()); err != nil {
			return nil, fmt.Errorf("read the footer of %s: %w", df.FilePath(), err)
		}
		r.indexes = indexesOf(g, meta.Schema, tbl.Schema(), df.FileSizeBytes())
		if r.Facts, err = factsOf(df, g, meta.Schema, *spec, tbl.Schema()); err != nil {
			return nil, fmt.Errorf("read the footer of %s: %w", df.FilePath(), err)
		}
		groups = append(groups, r)
	}
	return groups, nil
}

// tellsMore tells whether a file has a Bloom filter or a page index.
func tellsMore(meta *metadata.FileMetaData) bool {
	for g := range meta.NumRowGroups() {
		for c := range meta.Schema.NumColumns() {
			if _, ok := meta.RowGroup(g).ColumnIndexLocation(c); ok {
				return true
			}
			if chunk, err := meta.RowGroup(g).ColumnChunk(c); err == nil && chunk.BloomFilterOffset() > 0 {
				return true
			}
		}
	}
	return false
}

// chunksOf are the columns of a row group that have a Bloom filter which values of the table can be looked up in.
func chunksOf(g *metadata.RowGroupMetaData, columns *schema.Schema, table *iceberg.Schema) (map[int]Chunk, error) {
	var out map[int]Chunk
	for i := range columns.NumColumns() {
		c := columns.Column(i)
		chunk, err := g.ColumnChunk(i)
		if err != nil {
			return nil, err
		}
		id := int(c.SchemaNode().FieldID())
		if typ, ok := table.FindTypeByID(id); !ok || chunk.BloomFilterOffset() <= 0 || !sameHash(typ, c) {
			continue
		}
		if out == nil {
			out = map[int]Chunk{}
		}
		out[id] = Chunk{chunk.TotalCompressedSize(), chunk.BloomFilterOffset(), int64(chunk.BloomFilterLength())}
	}
	return out, nil
}

// sameHash tells whether a value of type t is in a Parquet column the bytes that its Iceberg bound has: Bloom filters
// have the hashes of these.
func sameHash(t iceberg.Type, c *schema.Column) bool {
	switch t := t.(type) {
	case iceberg.Int64Type: // an int that became a long has the bytes of an int
		return c.PhysicalType() == parquet.Types.Int64
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return c.PhysicalType() == parquet.Types.Int64 && unitOf(c) == schema.TimeUnitNanos
	case iceberg.UUIDType:
		return c.PhysicalType() == parquet.Types.FixedLenByteArray && c.TypeLength() == 16
	case iceberg.FixedType:
		return c.PhysicalType() == parquet.Types.FixedLenByteArray && c.TypeLength() == t.Len()
	}
	return sameBytes(t, c)
}

// factsOf are the bounds of a row group's columns, of types whose statistics and bounds have the same bytes.
func factsOf(df iceberg.DataFile, g *metadata.RowGroupMetaData, columns *schema.Schema, spec iceberg.PartitionSpec, table *iceberg.Schema) (iceberg.DataFile, error) {
	lower, upper := map[int][]byte{}, map[int][]byte{}
	for i := range columns.NumColumns() {
		c := columns.Column(i)
		id := int(c.SchemaNode().FieldID())
		typ, ok := table.FindTypeByID(id)
		if !ok || !sameBytes(typ, c) {
			continue
		}
		chunk, err := g.ColumnChunk(i)
		if err != nil {
			return nil, err
		}
		if set, err := chunk.StatsSet(); err != nil || !set {
			continue
		}
		stats, err := chunk.Statistics()
		if err != nil || stats == nil || !stats.HasMinMax() {
			continue
		}
		lower[id], upper[id] = stats.EncodeMin(), stats.EncodeMax()
	}
	b, err := iceberg.NewDataFileBuilder(spec, iceberg.EntryContentData, df.FilePath(), iceberg.ParquetFile, df.Partition(), nil, nil, max(1, g.NumRows()), df.FileSizeBytes())
	if err != nil {
		return nil, err
	}
	return b.LowerBoundValues(lower).UpperBoundValues(upper).Build(), nil
}

// sameBytes tells whether a Parquet column's statistics are Iceberg's bounds of a field of type t, byte by byte.
// Source: iceberg.apache.org/spec/#binary-single-value-serialization.
func sameBytes(t iceberg.Type, c *schema.Column) bool {
	switch t.(type) {
	case iceberg.Int32Type, iceberg.DateType:
		return c.PhysicalType() == parquet.Types.Int32
	case iceberg.Int64Type:
		return c.PhysicalType() == parquet.Types.Int64 || c.PhysicalType() == parquet.Types.Int32
	case iceberg.TimeType, iceberg.TimestampType, iceberg.TimestampTzType:
		return c.PhysicalType() == parquet.Types.Int64 && unitOf(c) == schema.TimeUnitMicros
	case iceberg.StringType, iceberg.BinaryType:
		return c.PhysicalType() == parquet.Types.ByteArray
	}
	return false
}

func unitOf(c *schema.Column) schema.TimeUnitType {
	switch t := c.LogicalType().(type) {
	case schema.TimestampLogicalType:
		return t.TimeUnit()
	case *schema.TimestampLogicalType:
		return t.TimeUnit()
	case schema.TimeLogicalType:
		return t.TimeUnit()
	case *schema.TimeLogicalType:
		return t.TimeUnit()
	}
	return schema.TimeUnitUnknown
}
