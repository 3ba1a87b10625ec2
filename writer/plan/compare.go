package plan

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

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
	known, err := footers(ctx, tbl, files)
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
		if !told && scan && u.hasLive() && (u.sameRows() || !u.clean()) {
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
func footers(ctx context.Context, tbl *table.Table, files []*liveFile) (map[*liveFile]digest.Sum, error) {
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
			text, err := footerValue(fs, df.FilePath(), df.FileSizeBytes(), digest.FooterKey)
			if err != nil {
				return fmt.Errorf("read the footer of %s: %w", df.FilePath(), err)
			}
			sums[i], has[i] = digest.Parse(text)
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

// footerValue reads a value from the key-value metadata of a Parquet file; "" when it has none
// or its footer is encrypted.
// Source: parquet.apache.org/docs/file-format: footer, its length in four bytes, "PAR1".
func footerValue(fs iceio.IO, path string, size int64, key string) (_ string, err error) {
	f, err := fs.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	tail := make([]byte, min(size, footerGuess))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if len(tail) < 12 {
		return "", fmt.Errorf("%d bytes are no Parquet file", size)
	}
	switch string(tail[len(tail)-4:]) {
	case "PAR1":
	case "PARE":
		return "", nil
	default:
		return "", errors.New("it does not end like a Parquet file")
	}
	length := int64(binary.LittleEndian.Uint32(tail[len(tail)-8:]))
	if length > size-12 {
		return "", fmt.Errorf("a footer of %d bytes in a file of %d", length, size)
	}
	footer := tail[:len(tail)-8]
	if missing := length - int64(len(footer)); missing > 0 {
		head := make([]byte, missing, length)
		if _, err := f.ReadAt(head, size-8-length); err != nil {
			return "", err
		}
		footer = append(head, footer...)
	}
	meta, err := metadata.NewFileMetaData(footer[int64(len(footer))-length:], nil)
	if err != nil {
		return "", err
	}
	if v := meta.KeyValueMetadata().FindValue(key); v != nil {
		return *v, nil
	}
	return "", nil
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
