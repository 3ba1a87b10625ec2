package live

import (
	"context"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/writer/digest"
)

// Digests reads the digests of the rows of data files from their footers: of those that have one which counts what the rows are under
// the schema of tbl. Deletes are not applied.
func Digests(ctx context.Context, tbl *table.Table, files []*File) (map[*File]digest.Sum, error) {
	if len(files) == 0 {
		return nil, nil
	}
	fs, err := tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	columns, err := iceberg.IndexByID(tbl.Schema())
	if err != nil {
		return nil, err
	}
	defaults, dates := defaulted(tbl.Schema()), OnceDates(tbl.Metadata())
	sums := make([]digest.Sum, len(files))
	has := make([]bool, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(Readers)
	for i, f := range files {
		df := f.DataFile()
		if df.FileFormat() != iceberg.ParquetFile || !holds(df, defaults) {
			continue
		}
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			meta, err := Footer(fs, df.FilePath(), df.FileSizeBytes())
			if err != nil {
				return fmt.Errorf("read the footer of %s: %w", df.FilePath(), err)
			}
			if meta == nil || holdsDates(meta, dates) || holdsDropped(meta, columns) {
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
	known := map[*File]digest.Sum{}
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

// OnceDates are the columns that were dates in a past schema of the table and are timestamps now. A digest
// counts a date by its days, and would take them for microseconds.
func OnceDates(meta table.Metadata) map[int]bool {
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

// firstReserved is the least field id that no column of a table has: those above are for metadata columns, such
// as row ids, which a digest does not count.
// Source: iceberg.apache.org/spec/#reserved-field-ids.
const firstReserved = math.MaxInt32 - 200

// holdsDropped tells whether a file has values of columns that the table has no longer, as far as its footer
// tells. The digest in it counts them.
func holdsDropped(meta *metadata.FileMetaData, columns map[int]iceberg.NestedField) bool {
	for i := range meta.Schema.NumColumns() {
		node := meta.Schema.Column(i).SchemaNode()
		for node.FieldID() < 0 && node.Parent() != nil { // a part of a variant
			node = node.Parent()
		}
		id := int(node.FieldID())
		if _, ok := columns[id]; ok || id >= firstReserved {
			continue
		}
		if len(meta.Schema.Column(i).ColumnPath()) > 1 {
			return true // an empty list is a value
		}
		for g := range meta.NumRowGroups() {
			if !allNull(meta.RowGroup(g), i) {
				return true
			}
		}
	}
	return false
}

// allNull tells whether the footer says that a column has no value in a row group.
func allNull(g *metadata.RowGroupMetaData, column int) bool {
	chunk, err := g.ColumnChunk(column)
	if err != nil {
		return false
	}
	stats, err := chunk.Statistics()
	return err == nil && stats != nil && stats.HasNullCount() && stats.NullCount() == g.NumRows()
}
