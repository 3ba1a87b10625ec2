package live

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
)

// ErrUnreadable says that a data file is in a format, or has columns, that cannot be read.
var ErrUnreadable = errors.New("its rows cannot be read")

// Task is the data file with what it takes to read its live rows.
func (f *File) Task() table.FileScanTask {
	seq := f.SequenceNum()
	t := table.FileScanTask{
		File: f.DataFile(), Length: f.DataFile().FileSizeBytes(),
		FirstRowID: f.DataFile().FirstRowID(), DataSequenceNumber: &seq,
	}
	for _, d := range f.Deletes {
		switch df := d.DataFile(); {
		case table.IsDeletionVector(df):
			t.DeletionVectorFiles = append(t.DeletionVectorFiles, df)
		case df.ContentType() == iceberg.EntryContentPosDeletes:
			t.DeleteFiles = append(t.DeleteFiles, df)
		default:
			t.EqualityDeleteFiles = append(t.EqualityDeleteFiles, df)
		}
	}
	if len(t.DeletionVectorFiles) > 0 {
		t.DeleteFiles = nil // the vector has their positions. Source: iceberg.apache.org/spec/#scan-planning
	}
	return t
}

// Rows yields the live rows of a task in the order of the file, with those columns of tbl, as a stream: no
// more than a few batches wait to be taken. Each batch is the loop body's to release. Errors wrap
// ErrUnreadable, and do not name the file, where the file is in the way, and not the storage.
func Rows(ctx context.Context, tbl *table.Table, task table.FileScanTask, columns []string) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		df := task.File
		if format := df.FileFormat(); format != iceberg.ParquetFile {
			yield(nil, fmt.Errorf("%w: it is in the format %s, and icewright reads Parquet", ErrUnreadable, format))
			return
		}
		tbl, err := catalog.ReadableFile(tbl, tbl.Schema(), df)
		if err != nil {
			yield(nil, err)
			return
		}
		scan := tbl.Scan(table.WithSelectedFields(columns...), table.WithMaxConcurrency(1))
		_, batches, err := scan.ReadTasks(ctx, []table.FileScanTask{task})
		if err != nil {
			yield(nil, unreadable(df, err))
			return
		}
		for rec, err := range batches {
			if err != nil {
				yield(nil, unreadable(df, err))
				return
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// Columns are the names of a schema's top-level columns.
func Columns(schema *iceberg.Schema) []string {
	var names []string
	for _, f := range schema.Fields() {
		names = append(names, f.Name)
	}
	return names
}

// WithLineage gives the tables that have row lineage its two columns: a row that moves to another
// file keeps its id and the sequence number of its last change.
// Source: iceberg.apache.org/spec/#row-lineage.
func WithLineage(tbl *table.Table) *table.Table {
	if tbl.Metadata().Version() < 3 {
		return tbl
	}
	return table.New(tbl.Identifier(), lineage{tbl.Metadata()}, tbl.MetadataLocation(), tbl.FS, nil)
}

type lineage struct{ table.Metadata }

func (m lineage) CurrentSchema() *iceberg.Schema {
	return iceberg.SchemaWithRowLineage(m.Metadata.CurrentSchema())
}

func unreadable(df iceberg.DataFile, err error) error {
	if errors.Is(err, iceberg.ErrResolve) {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return fmt.Errorf("read live file %s: %w", df.FilePath(), err)
}
