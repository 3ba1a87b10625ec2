package plan

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/digest"
)

// compare finds out which units hold the staged rows already.
func compare(ctx context.Context, tbl *table.Table, base *table.Snapshot, units []*unit, live *liveFiles, scan bool) error {
	var files []*liveFile
	for _, u := range units {
		if u.clean() && u.sameRows() {
			for _, p := range u.parts {
				files = append(files, p.live...)
			}
		}
	}
	dates := onceDates(tbl.Metadata())
	known, err := footers(ctx, tbl, files, dates)
	if err != nil {
		return err
	}
	for _, u := range units {
		var before, after digest.Sum
		told := u.clean() && u.sameRows()
		for _, p := range u.parts {
			sum, ok := digest.Sum{}, told
			for _, f := range p.live {
				s, has := known[f]
				sum, ok = sum.Add(s), ok && has
			}
			if ok || len(p.live) == 0 {
				p.Before = &sum
			} else {
				told = false
			}
			before, after = before.Add(sum), after.Add(p.After)
		}
		// iceberg-go v0.7.0 cannot scan dates as timestamps: such rows are replaced, unseen.
		if !told && scan && len(dates) == 0 && u.hasLive() && (u.sameRows() || !u.clean()) {
			if before, err = u.scan(ctx, tbl, base); err != nil {
				return err
			}
			told = true
		}
		u.equal = told && u.hasLive() && before == after
	}
	return nil
}

func (u *unit) hasLive() bool {
	for _, p := range u.parts {
		if len(p.live) > 0 {
			return true
		}
	}
	return false
}

// clean tells that no delete file may apply to the unit's live files.
func (u *unit) clean() bool {
	for _, p := range u.parts {
		for _, f := range p.live {
			if f.deleted {
				return false
			}
		}
	}
	return true
}

// sameRows tells whether the files count as many live rows as staged ones.
func (u *unit) sameRows() bool {
	var n int64
	for _, p := range u.parts {
		n += p.RowsBefore - p.RowsAfter
	}
	return n == 0
}

// footers reads the digests of files, those that have one.
func footers(ctx context.Context, tbl *table.Table, files []*liveFile, dates map[int]bool) (map[*liveFile]digest.Sum, error) {
	if len(files) == 0 {
		return nil, nil
	}
	fs, err := tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	defaults := defaulted(tbl.Schema())
	sums := make([]digest.Sum, len(files))
	has := make([]bool, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, f := range files {
		df := f.DataFile()
		if df.FileFormat() != iceberg.ParquetFile || !holds(df, defaults) {
			continue
		}
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			meta, err := footer(fs, df.FilePath(), df.FileSizeBytes())
			if err != nil {
				return fmt.Errorf("read the footer of %s: %w", df.FilePath(), err)
			}
			if meta == nil || holdsDates(meta, dates) {
				return nil
			}
			if v := meta.KeyValueMetadata().FindValue(digest.FooterKey); v != nil {
				sums[i], has[i] = digest.Parse(*v)
			}
			has[i] = has[i] && sums[i].Rows == df.Count()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	known := map[*liveFile]digest.Sum{}
	for i, f := range files {
		if has[i] {
			known[f] = sums[i]
		}
	}
	return known, nil
}

// defaulted are the columns that read as a value, not as null, in files that lack them. The
// digest in such a file's footer does not count them.
func defaulted(schema *iceberg.Schema) []int {
	var ids []int
	var visit func([]iceberg.NestedField)
	visit = func(fields []iceberg.NestedField) {
		for _, f := range fields {
			if f.InitialDefault != nil {
				ids = append(ids, f.ID)
			}
			if n, ok := f.Type.(iceberg.NestedType); ok {
				visit(n.Fields())
			}
		}
	}
	visit(schema.Fields())
	return ids
}

// holds tells whether the file has all of the columns, as far as its metrics tell.
func holds(df iceberg.DataFile, ids []int) bool {
	if len(ids) == 0 {
		return true
	}
	counts := df.ValueCounts()
	for _, id := range ids {
		if _, ok := counts[id]; !ok {
			return false
		}
	}
	return true
}

// footerGuess is how much of a file's end is read at once, in bytes: the footers of most files
// take one request.
const footerGuess = 64 << 10

// onceDates are the columns that were dates in a past schema of the table and are timestamps now. A digest
// counts a date by its days, and would take them for microseconds.
func onceDates(meta table.Metadata) map[int]bool {
	ids := map[int]bool{}
	for _, past := range meta.Schemas() {
		index, err := iceberg.IndexByID(past)
		if err != nil {
			continue
		}
		for id, f := range index {
			_, was := f.Type.(iceberg.DateType)
			now, ok := meta.CurrentSchema().FindFieldByID(id)
			if was && ok && !now.Type.Equals(f.Type) {
				ids[id] = true
			}
		}
	}
	return ids
}

// holdsDates tells whether a file has one of the columns, as dates.
func holdsDates(meta *metadata.FileMetaData, ids map[int]bool) bool {
	if len(ids) == 0 {
		return false
	}
	for i := range meta.Schema.NumColumns() {
		c := meta.Schema.Column(i)
		if ids[int(c.SchemaNode().FieldID())] && c.PhysicalType() == parquet.Types.Int32 {
			return true
		}
	}
	return false
}

// footer reads the footer of a Parquet file; nil when it is encrypted.
// Source: parquet.apache.org/docs/file-format: footer, its length in four bytes, "PAR1".
func footer(fs iceio.IO, path string, size int64) (_ *metadata.FileMetaData, err error) {
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

// scan reads the unit's live rows, deletes applied, and sets each part's digest.
func (u *unit) scan(ctx context.Context, tbl *table.Table, base *table.Snapshot) (total digest.Sum, err error) {
	if tbl, err = catalog.Readable(tbl); err != nil {
		return digest.Sum{}, err
	}
	var options []table.ScanOption
	if current := tbl.Metadata().CurrentSnapshot(); current == nil || current.SnapshotID != base.SnapshotID {
		options = append(options, table.WithSnapshotID(base.SnapshotID))
	}
	s := tbl.Scan(options...)
	defer func() { err = errors.Join(err, s.Close()) }()
	tasks, err := s.PlanFiles(ctx)
	if err != nil {
		return digest.Sum{}, fmt.Errorf("plan the scan of live rows: %w", err)
	}
	hasher, err := digest.NewHasher(tbl.Schema())
	if err != nil {
		return digest.Sum{}, err
	}
	for _, p := range u.parts {
		live := map[string]bool{}
		for _, f := range p.live {
			live[f.DataFile().FilePath()] = true
		}
		var mine []table.FileScanTask
		for _, t := range tasks {
			if live[t.File.FilePath()] {
				mine = append(mine, t)
			}
		}
		p.Before, p.RowsBefore = &digest.Sum{}, 0
		if len(mine) == 0 {
			continue
		}
		_, batches, err := s.ReadTasks(ctx, mine)
		if err != nil {
			return digest.Sum{}, fmt.Errorf("read the live rows of %s: %w", p.Partition.Partition.Path, err)
		}
		for rec, err := range batches {
			if err != nil {
				return digest.Sum{}, fmt.Errorf("read the live rows of %s: %w", p.Partition.Partition.Path, err)
			}
			*p.Before = p.Before.Add(hasher.Sum(rec))
			rec.Release()
		}
		p.RowsBefore = p.Before.Rows
		total = total.Add(*p.Before)
	}
	return total, nil
}
