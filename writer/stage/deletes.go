package stage

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/apache/iceberg-go/table/dv"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/point"
	"github.com/icewright/icewright/writer/slice"
)

// Rows that are deleted where they are: in format version 2 by position delete files, from version 3 on by
// deletion vectors (vectors.go). Both are staged like data files, in their folders, and named like them.

// Doomed are rows of a live data file that are to be deleted, by their positions in it, from 0.
type Doomed struct {
	slice.LiveFile
	Rows *dv.RoaringPositionBitmap
}

// granularityKey says how many data files a position delete file may be for.
const granularityKey = "write.delete.granularity"

// Field ids of the columns of position delete files. Source: iceberg.apache.org/spec/#position-delete-files.
const (
	deletePathID = 2147483546
	deletePosID  = 2147483545
)

// CanDelete tells whether rows of tbl can be deleted without their data files being written anew. Errors wrap
// ErrUnsupported, or ErrProperty for what a property of the table asks for.
func CanDelete(meta table.Metadata) error {
	if meta.Version() < 2 {
		return fmt.Errorf("%w: rows of a table of format version 1 cannot be deleted in place, it knows no delete files", ErrUnsupported)
	}
	_, err := byFile(meta.Properties())
	return err
}

// byFile tells whether every data file gets a position delete file of its own. The default is Spark's: many small ones cost a
// reader less than one that it has to search for the rows of each of its files.
func byFile(props iceberg.Properties) (bool, error) {
	switch v := props.Get(granularityKey, "file"); v {
	case "file":
		return true, nil
	case "partition":
		return false, nil
	default:
		return false, fmt.Errorf("%w: %s is %q, not file or partition", ErrProperty, granularityKey, v)
	}
}

// Replaces tells whether what Deletes writes for a data file is to hold all that an older delete file for that data file
// alone has, which can then go: there is one vector for a data file, and one position delete file where each has
// its own.
func Replaces(meta table.Metadata) bool {
	file, err := byFile(meta.Properties())
	return meta.Version() >= 3 || file && err == nil
}

// Deletes writes the delete files of doomed rows: what format version and properties of tbl ask for. Each has the
// partition of the data files that it is for. The result is in the order of their partitions and paths, and on error nothing
// is left behind. Options.ID and Workers count.
func Deletes(ctx context.Context, tbl *table.Table, doomed []Doomed, o Options) (_ []slice.StagedFile, err error) {
	o, err = o.withDefaults()
	if err != nil {
		return nil, err
	}
	meta := tbl.Metadata()
	if err := CanDelete(meta); err != nil {
		return nil, err
	}
	fsys, err := tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	w := &deleteWriter{meta: meta, locations: newLocations(meta.Location(), meta.Properties()), o: o, begun: map[string]bool{}}
	var ok bool
	if w.fsys, ok = fsys.(iceio.WriteFileIO); !ok {
		return nil, table.ErrWriteIORequired
	}
	defer func() {
		if err != nil {
			clean := context.WithoutCancel(ctx)
			if fsys, ferr := tbl.FS(clean); ferr == nil {
				err = errors.Join(err, removeAll(clean, fsys, slices.Sorted(maps.Keys(w.begun))))
			}
		}
	}()
	doomed = slices.Clone(doomed)
	slices.SortFunc(doomed, func(a, b Doomed) int {
		return cmp.Or(cmp.Compare(a.Partition.Key, b.Partition.Key), cmp.Compare(a.DataFile().FilePath(), b.DataFile().FilePath()))
	})
	if meta.Version() >= 3 {
		return w.vectors(ctx, doomed)
	}
	if w.set, err = readSettings(deleteProperties(meta.Properties())); err != nil {
		return nil, err
	}
	own, err := byFile(meta.Properties())
	if err != nil {
		return nil, err
	}
	return w.positions(ctx, doomed, own)
}

// deleteProperties gives delete files the codec that is said to be theirs, and without one that of data files.
func deleteProperties(props iceberg.Properties) iceberg.Properties {
	const codec, level = "write.delete.parquet.compression-codec", "write.delete.parquet.compression-level"
	out := maps.Clone(props)
	if v, ok := props[codec]; ok {
		out[table.ParquetCompressionKey] = v
		delete(out, table.ParquetCompressionLevelKey)
	}
	if v, ok := props[level]; ok {
		out[table.ParquetCompressionLevelKey] = v
	}
	return out
}

// deleteWriter writes the delete files of one call of Deletes.
type deleteWriter struct {
	fsys      iceio.WriteFileIO
	meta      table.Metadata
	locations locations
	set       settings
	o         Options

	mu    sync.Mutex
	begun map[string]bool // locations, to be removed if staging fails
}

// begin gives a location to delete file n, in a partition's folder.
func (w *deleteWriter) begin(partition string, n int, kind string) string {
	location := w.locations.file(partition, deleteName(w.o.ID, n, kind))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun[location] = true
	return location
}

// positions writes position delete files: one for each data file, or one for all of a partition.
func (w *deleteWriter) positions(ctx context.Context, doomed []Doomed, own bool) ([]slice.StagedFile, error) {
	var groups [][]Doomed
	for _, d := range doomed {
		last := len(groups) - 1
		if own || last < 0 || groups[last][0].Partition.Key != d.Partition.Key {
			groups = append(groups, []Doomed{d})
			continue
		}
		groups[last] = append(groups[last], d)
	}
	staged := make([]slice.StagedFile, len(groups))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(w.o.Workers)
	for i, of := range groups {
		g.Go(func() (err error) {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			staged[i], err = w.positionFile(w.begin(of[0].Partition.Path, i, "parquet"), of)
			return err
		})
	}
	return staged, g.Wait()
}

// positionFile writes one position delete file, by path and position. Source: iceberg.apache.org/spec/#position-delete-files.
func (w *deleteWriter) positionFile(location string, of []Doomed) (slice.StagedFile, error) {
	out, err := w.fsys.Create(location)
	if err != nil {
		return slice.StagedFile{}, fmt.Errorf("stage %s: %w", location, catalog.StorageFailure(err))
	}
	point.Reach("stage: delete file begun")
	to := &counted{to: bufio.NewWriterSize(out, 64<<10)}
	splits, err := w.positionRows(to, of)
	if err == nil {
		err = to.to.Flush()
	}
	if err != nil {
		return slice.StagedFile{}, errors.Join(fmt.Errorf("stage %s: %w", location, catalog.StorageFailure(err)), catalog.Abort(w.fsys, location, out))
	}
	if err := out.Close(); err != nil {
		return slice.StagedFile{}, fmt.Errorf("stage %s: %w", location, catalog.StorageFailure(err))
	}
	point.Reach("stage: delete file written")
	rows, least, most := int64(0), ^uint64(0), uint64(0)
	for _, d := range of {
		rows += d.Rows.Cardinality()
		for pos := range d.Rows.Positions() {
			least, most = min(least, pos), max(most, pos)
		}
	}
	b, err := w.builder(location, iceberg.ParquetFile, of[0], rows, to.n)
	if err != nil {
		return slice.StagedFile{}, err
	}
	first, last := of[0].DataFile().FilePath(), of[len(of)-1].DataFile().FilePath()
	// The bounds of paths are whole: what is cut would not tell which data files have no rows here.
	b.LowerBoundValues(map[int][]byte{deletePathID: []byte(first), deletePosID: binary.LittleEndian.AppendUint64(nil, least)})
	b.UpperBoundValues(map[int][]byte{deletePathID: []byte(last), deletePosID: binary.LittleEndian.AppendUint64(nil, most)})
	b.ValueCounts(map[int]int64{deletePathID: rows, deletePosID: rows})
	b.NullValueCounts(map[int]int64{deletePathID: 0, deletePosID: 0})
	b.SplitOffsets(splits)
	if len(of) == 1 {
		b.ReferencedDataFile(first)
	}
	return slice.StagedFile{DataFile: b.Build(), Partition: of[0].Partition}, nil
}

// builder describes a delete file: its partition is that of the data files it is for.
func (w *deleteWriter) builder(location string, format iceberg.FileFormat, of Doomed, rows, size int64) (*iceberg.DataFileBuilder, error) {
	spec := w.meta.PartitionSpecByID(of.Partition.SpecID)
	if spec == nil {
		return nil, fmt.Errorf("stage %s: the table has no partition spec %d", location, of.Partition.SpecID)
	}
	b, err := iceberg.NewDataFileBuilder(*spec, iceberg.EntryContentPosDeletes, location, format, of.Partition.Values, nil, nil, rows, size)
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", location, err)
	}
	return b, nil
}

// deleteGroupRows are the rows of a position delete file's row group, and deleteBatch those that are handed over at once.
const (
	deleteGroupRows = 1 << 20
	deleteBatch     = 16 << 10
)

// positionRows writes the content of a position delete file, and tells where its row groups begin.
func (w *deleteWriter) positionRows(to io.Writer, of []Doomed) (splits []int64, err error) {
	doc, err := json.Marshal(iceberg.PositionalDeleteSchema)
	if err != nil {
		return nil, err
	}
	pathNode := pqschema.MustPrimitive(pqschema.NewPrimitiveNodeLogical("file_path", parquet.Repetitions.Required,
		pqschema.StringLogicalType{}, parquet.Types.ByteArray, -1, deletePathID))
	posNode := pqschema.MustPrimitive(pqschema.NewPrimitiveNode("pos", parquet.Repetitions.Required, parquet.Types.Int64, deletePosID, -1))
	root, err := pqschema.NewGroupNode("table", parquet.Repetitions.Required, pqschema.FieldList{pathNode, posNode}, -1)
	if err != nil {
		return nil, err
	}
	options := []parquet.WriterProperty{
		parquet.WithVersion(parquet.V2_LATEST), parquet.WithCreatedBy(createdBy), parquet.WithDataPageVersion(w.set.pageVersion),
		parquet.WithCompression(w.set.codec), parquet.WithCompressionLevel(w.set.level),
		parquet.WithDictionaryFor("pos", false), parquet.WithStats(true),
	}
	if !w.set.plain {
		options = append(options, parquet.WithEncodingFor("pos", parquet.Encodings.DeltaBinaryPacked))
	}
	pw := file.NewParquetWriter(to, root, file.WithWriterProps(parquet.NewWriterProperties(options...)))
	if err := errors.Join(pw.AppendKeyValueMetadata("delete-type", "position"), pw.AppendKeyValueMetadata(schemaKey, string(doc))); err != nil {
		return nil, err
	}
	var (
		group file.BufferedRowGroupWriter
		left  int
		paths []parquet.ByteArray
		poss  []int64
	)
	flush := func() error {
		if len(poss) == 0 {
			return nil
		}
		if group == nil {
			var err error
			if group, err = pw.AppendBufferedRowGroupChecked(); err != nil {
				return err
			}
			left = deleteGroupRows
		}
		path, err := group.Column(0)
		if err != nil {
			return err
		}
		pos, err := group.Column(1)
		if err != nil {
			return err
		}
		if _, err := path.(*file.ByteArrayColumnChunkWriter).WriteBatch(paths, nil, nil); err != nil {
			return err
		}
		if _, err := pos.(*file.Int64ColumnChunkWriter).WriteBatch(poss, nil, nil); err != nil {
			return err
		}
		left -= len(poss)
		paths, poss = paths[:0], poss[:0]
		if left <= 0 {
			err, group = group.Close(), nil
		}
		return err
	}
	for _, d := range of {
		path := parquet.ByteArray(d.DataFile().FilePath())
		for at := range d.Rows.Positions() {
			paths, poss = append(paths, path), append(poss, int64(at))
			if len(poss) == deleteBatch {
				if err := flush(); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	if err := pw.Close(); err != nil {
		return nil, err
	}
	meta, err := pw.FileMetadata()
	if err != nil {
		return nil, err
	}
	for i := range meta.NumRowGroups() {
		c, err := meta.RowGroup(i).ColumnChunk(0)
		if err != nil {
			return nil, err
		}
		start := c.DataPageOffset()
		if c.HasDictionaryPage() {
			start = min(start, c.DictionaryPageOffset())
		}
		splits = append(splits, start)
	}
	return splits, nil
}

// counted counts the bytes that go to a file.
type counted struct {
	to *bufio.Writer
	n  int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}
