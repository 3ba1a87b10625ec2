package live

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"
)

// Sample reads the first rows of a row group of a Parquet file: of the top-level columns with some field ids, by id, the arrays that the
// file has. No delete is applied, and no column gets the type that the table gives it. It is for guesses: a column that is not there
// or cannot be read is left out, and rows may be less than asked for. The arrays are the caller's to release.
func (f *File) Sample(ctx context.Context, tbl *table.Table, group int, rows int64, ids []int) map[int]arrow.Array {
	out := map[int]arrow.Array{}
	_ = guarded(func() error {
		in, err := f.open(ctx, tbl)
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		props := parquet.NewReaderProperties(memory.DefaultAllocator)
		props.BufferedStreamEnabled, props.BufferSize = true, 1<<20 // pages as they are needed, and not the whole row group
		parquetFile, err := file.NewParquetReader(in, file.WithReadProps(props))
		if err != nil {
			return err
		}
		reader, err := pqarrow.NewFileReader(parquetFile, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
		if err != nil {
			return err
		}
		var g errgroup.Group
		g.SetLimit(Readers)
		var mu sync.Mutex
		for i, field := range reader.Manifest.Fields {
			text, _ := field.Field.Metadata.GetValue("PARQUET:field_id")
			id, err := strconv.Atoi(text)
			if err != nil || !slices.Contains(ids, id) || !field.IsLeaf() {
				continue
			}
			g.Go(func() error {
				return guarded(func() error {
					column, err := reader.GetFieldReader(ctx, i, map[int]bool{field.ColIndex: true}, []int{group})
					if err != nil {
						return err
					}
					defer column.Release()
					chunked, err := column.NextBatch(rows)
					if err != nil {
						return err
					}
					defer chunked.Release()
					arr, err := array.Concatenate(chunked.Chunks(), memory.DefaultAllocator)
					if err == nil {
						mu.Lock()
						out[id] = arr
						mu.Unlock()
					}
					return err
				})
			})
		}
		return g.Wait()
	})
	return out
}

// guarded has a panic be an error: a footer or a page that makes no sense is for the reader of the rows to refuse.
func guarded(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return do()
}
