package stage

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	pqschema "github.com/apache/arrow-go/v18/parquet/schema"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/point"
	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/slice"
)

// schemaKey is the footer entry in which Iceberg's Java writer keeps the schema.
const schemaKey = "iceberg.schema"

// fileWriter writes files of one table.
type fileWriter struct {
	fsys      iceio.WriteFileIO
	locations locations
	enc       *encoder // for its leaves; not its scratch
	parquet   *pqschema.Schema
	schema    *iceberg.Schema
	spec      iceberg.PartitionSpec
	sortOrder int
	schemaDoc string
	logical   map[int]string
	spill     *spillFile
	carried   bool
	bare      bool
	buffers   sync.Pool // of *bufio.Writer
	reads     sync.Pool // of *[]byte, what is read of the spill file at a time
	wrote     func(*rowGroup)

	id    uuid.UUID // of the call of Stage, in the names of its files
	mu    sync.Mutex
	begun map[string]bool // locations, to be removed if staging fails
}

func newFileWriter(fsys iceio.WriteFileIO, meta table.Metadata, enc *encoder, spill *spillFile, o Options) (*fileWriter, error) {
	doc, err := json.Marshal(meta.CurrentSchema())
	if err != nil {
		return nil, fmt.Errorf("stage: schema as JSON: %w", err)
	}
	w := &fileWriter{
		fsys: fsys, enc: enc, parquet: pqschema.NewSchema(enc.root), spill: spill, id: o.ID, carried: o.Carried, bare: o.Bare,
		locations: newLocations(meta.Location(), meta.Properties()),
		schema:    meta.CurrentSchema(), spec: meta.PartitionSpec(),
		schemaDoc: string(doc), logical: map[int]string{}, begun: map[string]bool{},
	}
	w.buffers.New = func() any { return bufio.NewWriterSize(nil, 256<<10) }
	w.reads.New = func() any { b := make([]byte, 256<<10); return &b }
	if order := meta.SortOrder(); order.Len() > 0 {
		w.sortOrder = order.OrderID()
	}
	for i := range w.spec.NumFields() {
		f := w.spec.Field(i)
		if src, ok := w.schema.FindFieldByID(f.SourceID()); ok {
			if name := avroLogical(f.Transform.ResultType(src.Type)); name != "" {
				w.logical[f.FieldID] = name
			}
		}
	}
	return w, nil
}

// avroLogical is the Avro logical type under which a manifest stores partition values.
func avroLogical(t iceberg.Type) string {
	switch t.(type) {
	case iceberg.DateType:
		return "date"
	case iceberg.TimeType:
		return "time-micros"
	case iceberg.TimestampType, iceberg.TimestampTzType:
		return "timestamp-micros"
	case iceberg.DecimalType:
		return "decimal"
	case iceberg.UUIDType:
		return "uuid"
	}
	return ""
}

// write writes one file from start to end. On error no file is left.
func (w *fileWriter) write(ctx context.Context, t fileTask) (slice.StagedFile, error) {
	if err := context.Cause(ctx); err != nil {
		return slice.StagedFile{}, err
	}
	w.mu.Lock()
	location := w.locations.file(t.part.partition.Path, dataName(t.index, w.carried, w.id, len(w.begun)))
	w.begun[location] = true
	w.mu.Unlock()

	out, err := w.fsys.Create(location)
	if err != nil {
		return slice.StagedFile{}, fmt.Errorf("stage %s: %w", location, catalog.StorageFailure(err))
	}
	point.Reach("stage: data file begun")
	size, sum, err := w.content(ctx, out, &t)
	if err != nil {
		return slice.StagedFile{}, errors.Join(fmt.Errorf("stage %s: %w", location, catalog.StorageFailure(err)), catalog.Abort(w.fsys, location, out))
	}
	if err := out.Close(); err != nil {
		return slice.StagedFile{}, fmt.Errorf("stage %s: %w", location, catalog.StorageFailure(err))
	}
	point.Reach("stage: data file written")
	df, err := w.dataFile(location, size, t)
	if err != nil {
		return slice.StagedFile{}, fmt.Errorf("stage %s: %w", location, catalog.StorageFailure(err))
	}
	return slice.StagedFile{DataFile: df, Partition: *t.part.partition, Digest: sum}, nil
}

// content writes the row groups one after the other as they come, and a footer for all of them. What is left in
// t.groups has no pages.
func (w *fileWriter) content(ctx context.Context, out io.Writer, t *fileTask) (size int64, sum digest.Sum, err error) {
	foot := newFooter(w.parquet, w.enc.leaves, w.enc.set)
	to := w.buffers.Get().(*bufio.Writer)
	defer w.buffers.Put(to)
	to.Reset(out)
	if _, err := to.WriteString(parquetMagic); err != nil {
		return 0, sum, err
	}
	var filters [][]byte // they come after all row groups
	for i := 0; ; i++ {
		g, err := t.group(ctx, i)
		if err != nil {
			return 0, sum, err
		}
		if g == nil {
			break
		}
		sum = sum.Add(g.digest)
		if err := w.copyGroup(to, g); err != nil {
			return 0, sum, err
		}
		if err := to.Flush(); err != nil {
			return 0, sum, err
		}
		point.Reach("stage: row group written")
		if err := foot.add(g); err != nil {
			return 0, sum, err
		}
		if filters, err = w.appendFilters(filters, g); err != nil {
			return 0, sum, err
		}
		w.wrote(g)
	}
	for i, filter := range filters {
		*foot.filters[i] = foot.at
		foot.at += int64(len(filter))
		if _, err := out.Write(filter); err != nil {
			return 0, sum, err
		}
	}
	entries := [][2]string{{schemaKey, w.schemaDoc}}
	if !w.bare {
		entries = append(entries, [2]string{digest.FooterKey, sum.String()})
	}
	tail, err := foot.finish(entries...)
	if err != nil {
		return 0, sum, err
	}
	if _, err := out.Write(tail); err != nil {
		return 0, sum, err
	}
	return foot.at + int64(len(tail)), sum, nil
}

func (w *fileWriter) copyGroup(to *bufio.Writer, g *rowGroup) error {
	buf := w.reads.Get().(*[]byte)
	defer w.reads.Put(buf)
	for i := range g.chunks {
		for _, b := range g.chunks[i].pages {
			if b.data != nil {
				if _, err := to.Write(b.data); err != nil {
					return err
				}
				continue
			}
			for done := int64(0); done < b.at.size; {
				n := min(int64(len(*buf)), b.at.size-done)
				if err := w.spill.read(extent{b.at.off + done, n}, *buf); err != nil {
					return err
				}
				if _, err := to.Write((*buf)[:n]); err != nil {
					return err
				}
				done += n
			}
		}
	}
	return nil
}

// dataFile is the manifest's description of a file.
func (w *fileWriter) dataFile(location string, size int64, t fileTask) (iceberg.DataFile, error) {
	b, err := iceberg.NewDataFileBuilder(w.spec, iceberg.EntryContentData, location, iceberg.ParquetFile,
		t.part.partition.Values, w.logical, nil, t.rows(), size)
	if err != nil {
		return nil, err
	}
	sizes, values, nulls, nans := map[int]int64{}, map[int]int64{}, map[int]int64{}, map[int]int64{}
	lowers, uppers := map[int][]byte{}, map[int][]byte{}
	for i, l := range w.enc.leaves {
		var s leafStats
		for _, g := range t.groups {
			s.merge(l, &g.chunks[i].stats)
		}
		sizes[l.id] += s.bytes
		if !l.mode.counted || w.bare {
			continue
		}
		values[l.id], nulls[l.id] = s.values, s.nulls
		if l.isReal() {
			nans[l.id] = s.nans
		}
		lower, upper := l.bounds(&s)
		if lower != nil {
			lowers[l.id] = lower
		}
		if upper != nil {
			uppers[l.id] = upper
		}
	}
	b.ColumnSizes(sizes).ValueCounts(values).NullValueCounts(nulls).NaNValueCounts(nans)
	b.LowerBoundValues(lowers).UpperBoundValues(uppers)
	splits := make([]int64, len(t.groups))
	at := int64(len(parquetMagic))
	for i, g := range t.groups {
		splits[i] = at
		at += g.size
	}
	b.SplitOffsets(splits)
	b.SortOrderID(w.sortOrder) // 0, for no order, too: Trino's $entries trips over files that say nothing
	return b.Build(), nil
}

// removeAll deletes files, those that are not there included. It goes on after an error.
func removeAll(ctx context.Context, fsys iceio.IO, locations []string) error {
	if len(locations) == 0 {
		return nil
	}
	if bulk, ok := fsys.(iceio.BulkRemovableIO); ok {
		_, err := bulk.DeleteFiles(ctx, locations)
		return err
	}
	var (
		mu   sync.Mutex
		errs []error
		g    errgroup.Group
	)
	g.SetLimit(16)
	for _, location := range locations {
		g.Go(func() error {
			if err := fsys.Remove(location); err != nil && !errors.Is(err, fs.ErrNotExist) {
				mu.Lock()
				errs = append(errs, fmt.Errorf("remove %s: %w", location, err))
				mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait()
	return errors.Join(errs...)
}
