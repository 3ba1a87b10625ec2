package live

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/apache/iceberg-go/table/dv"
)

// Places are positions in a data file, from 0, dead rows counted.
type Places struct {
	// At are those of the live rows that were asked for, in their order.
	At []int64
	// Dead are those of rows that delete files hide; nil where there are no delete files.
	Dead *dv.RoaringPositionBitmap
}

// Places finds the positions of live rows, which are numbered as Rows yields them, in ascending order. Nothing is
// read where no delete file may apply, only the vector where that is all, and else columns of the file, whose
// positions are told by what row ids they would have in a file that begins with 0. tbl is the table with the schema under
// which columns are named; they must be readable (catalog.ReadableColumns).
func (f *File) Places(ctx context.Context, tbl *table.Table, rows []int64, columns []string) (Places, error) {
	if len(f.Deletes) == 0 {
		return Places{At: rows}, nil
	}
	task := f.Task()
	if len(task.DeletionVectorFiles) == 1 && len(task.EqualityDeleteFiles) == 0 {
		fs, err := tbl.FS(ctx)
		if err != nil {
			return Places{}, err
		}
		dead, err := dv.ReadDV(fs, task.DeletionVectorFiles[0])
		if err != nil {
			return Places{}, fmt.Errorf("read the deletion vector of %s: %w", f.DataFile().FilePath(), err)
		}
		return Places{At: among(rows, dead), Dead: dead}, nil
	}
	p := Places{Dead: dv.NewRoaringPositionBitmap()}
	number, next := int64(0), int64(0)
	err := f.positions(ctx, tbl, columns, func(pos int64) error {
		if pos < next {
			return fmt.Errorf("row %d of %s is at position %d, before the one ahead of it", number, f.DataFile().FilePath(), pos)
		}
		p.Dead.SetRange(uint64(next), uint64(pos))
		next = pos + 1
		if len(p.At) < len(rows) && rows[len(p.At)] == number {
			p.At = append(p.At, pos)
		}
		number++
		return nil
	})
	if err != nil {
		return Places{}, err
	}
	if end := f.DataFile().Count(); next < end {
		p.Dead.SetRange(uint64(next), uint64(end))
	}
	if len(p.At) != len(rows) {
		return Places{}, fmt.Errorf("%s has %d live rows, and row %d is one of those that were matched", f.DataFile().FilePath(), number, rows[len(p.At)])
	}
	return p, nil
}

// among are the positions of live rows where those of dead are all that is not live.
func among(rows []int64, dead *dv.RoaringPositionBitmap) []int64 {
	at := make([]int64, 0, len(rows))
	before := int64(0)
	for d := range dead.Positions() {
		for len(at) < len(rows) && rows[len(at)]+before < int64(d) {
			at = append(at, rows[len(at)]+before)
		}
		if len(at) == len(rows) {
			return at
		}
		before++
	}
	for len(at) < len(rows) {
		at = append(at, rows[len(at)]+before)
	}
	return at
}

// positions calls do with the position of each live row, in order.
func (f *File) positions(ctx context.Context, tbl *table.Table, columns []string, do func(int64) error) error {
	fs, err := tbl.FS(ctx)
	if err != nil {
		return err
	}
	task, zero := f.Task(), int64(0)
	task.FirstRowID = &zero
	stored := false // row ids, which are then not positions
	if f.DataFile().FileFormat() == iceberg.ParquetFile {
		meta, err := Footer(fs, f.DataFile().FilePath(), f.DataFile().FileSizeBytes())
		if err != nil {
			return fmt.Errorf("read the footer of %s: %w", f.DataFile().FilePath(), err)
		}
		for i := 0; meta != nil && i < meta.Schema.NumColumns(); i++ {
			stored = stored || meta.Schema.Column(i).SchemaNode().FieldID() == iceberg.RowIDFieldID
		}
	}
	if !stored {
		return eachRowID(ctx, tbl, task, columns, do)
	}
	return f.storedPositions(ctx, tbl, task, columns, do)
}

// storedPositions is positions for a file with row ids of its own, which tell its rows apart: its live rows are
// found among all of its rows.
func (f *File) storedPositions(ctx context.Context, tbl *table.Table, task table.FileScanTask, columns []string, do func(int64) error) error {
	if f.DataFile().FirstRowID() != nil {
		task.FirstRowID = f.DataFile().FirstRowID()
	}
	var lives []int64
	if err := eachRowID(ctx, tbl, task, columns, func(id int64) error {
		lives = append(lives, id)
		return nil
	}); err != nil {
		return err
	}
	task.DeleteFiles, task.DeletionVectorFiles, task.EqualityDeleteFiles = nil, nil, nil
	seen := dv.NewRoaringPositionBitmap()
	pos, next := int64(0), 0
	err := eachRowID(ctx, tbl, task, columns, func(id int64) error {
		if id < 0 || seen.Contains(uint64(id)) {
			return fmt.Errorf("%w: two of its rows have the row id %d", ErrUnreadable, id)
		}
		seen.Set(uint64(id))
		if next < len(lives) && lives[next] == id {
			next++
			if err := do(pos); err != nil {
				return err
			}
		}
		pos++
		return nil
	})
	if err == nil && next < len(lives) {
		err = fmt.Errorf("%w: %d of its live rows are not among its rows", ErrUnreadable, len(lives)-next)
	}
	return err
}

// numbered has row ids read of tables that have none of their own: they are made up while a file is read.
type numbered struct{ lineage }

func (numbered) Version() int { return 3 }

func eachRowID(ctx context.Context, tbl *table.Table, task table.FileScanTask, columns []string, do func(int64) error) error {
	tbl = table.New(tbl.Identifier(), numbered{lineage{tbl.Metadata()}}, tbl.MetadataLocation(), tbl.FS, nil)
	each := func(rec arrow.RecordBatch) error {
		defer rec.Release()
		at := rec.Schema().FieldIndices(iceberg.RowIDColumnName)
		if len(at) != 1 {
			return fmt.Errorf("%w: it was read without row ids", ErrUnreadable)
		}
		ids, ok := rec.Column(at[0]).(*array.Int64)
		if !ok || ids.NullN() > 0 {
			return fmt.Errorf("%w: rows of it have no row id", ErrUnreadable)
		}
		for _, id := range ids.Int64Values() {
			if err := do(id); err != nil {
				return err
			}
		}
		return nil
	}
	columns = append(append([]string{}, columns...), iceberg.RowIDColumnName)
	for rec, err := range Rows(ctx, tbl, task, columns) {
		if err != nil {
			return err
		}
		if err := each(rec); err != nil {
			return err
		}
	}
	return nil
}

// Supersedes are the delete files of f that a new one which hides Dead rows as well takes the place of: they are for f
// alone. Equality deletes are for all of a partition, always.
func (f *File) Supersedes() (old []*File) {
	for _, d := range f.Deletes {
		if d.DataFile().ContentType() == iceberg.EntryContentPosDeletes && d.Target == f.DataFile().FilePath() {
			old = append(old, d)
		}
	}
	return old
}
