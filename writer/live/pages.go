package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// Page is what a page index says of a page of a column.
// Source: parquet.apache.org/docs/file-format/pageindex.
type Page struct {
	// First is the row that it begins with, End that of the next page: rows of the row group, from 0.
	First, End int64
	// Null says that it has nothing but nulls.
	Null bool
	// Lower and Upper are what its values lie between, in the bytes of bounds. Those of texts may be cut: a lower one to what
	// comes before the values, an upper one to what comes after them. nil where nothing is known.
	Lower, Upper []byte
}

// index is where the page index of a row group has a column.
type index struct {
	column int32 // of the file
	bytes  int64
}

// indexesOf are the columns of a row group with a page index, by field id, whose values are ordered as those of the table's type are.
func indexesOf(g *metadata.RowGroupMetaData, columns *schema.Schema, table *iceberg.Schema, size int64) map[int]index {
	var out map[int]index
	for i := range columns.NumColumns() {
		c := columns.Column(i)
		id := int(c.SchemaNode().FieldID())
		typ, ok := table.FindTypeByID(id)
		if !ok || !sameBytes(typ, c) || !sameOrder(c) || c.MaxRepetitionLevel() > 0 || c.MaxDefinitionLevel() > 1 {
			continue
		}
		bounds, ok := g.ColumnIndexLocation(i)
		places, both := g.OffsetIndexLocation(i)
		if !ok || !both || !within(bounds, size) || !within(places, size) {
			continue
		}
		if out == nil {
			out = map[int]index{}
		}
		out[id] = index{int32(i), int64(bounds.Length) + int64(places.Length)}
	}
	return out
}

func within(l metadata.IndexLocation, size int64) bool {
	return l.Offset > 0 && l.Length > 0 && l.Offset <= size-int64(l.Length)
}

// sameOrder tells whether a column has the order that Iceberg's values have: integers are signed, and texts go by their
// bytes. Other writers may have taken them for something else.
func sameOrder(c *schema.Column) bool {
	want := schema.SortSIGNED
	if c.PhysicalType() == parquet.Types.ByteArray {
		want = schema.SortUNSIGNED
	}
	return c.ColumnOrder() == parquet.ColumnOrders.TypeDefinedOrder && c.SortOrder() == want
}

// Indexed tells whether Pages tells something of a column, by its field id, and how many bytes it reads for that.
func (g *RowGroup) Indexed(id int) (bytes int64, ok bool) {
	at, ok := g.indexes[id]
	return at.bytes, ok
}

// Pages are the pages of columns of a row group that are Indexed, by field id, in the order of their rows. A column
// whose index makes no sense is left out.
func (f *File) Pages(ctx context.Context, tbl *table.Table, g RowGroup, ids []int) (_ map[int][]Page, err error) {
	in, err := f.open(ctx, tbl)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	var columns []int32
	for _, id := range ids {
		columns = append(columns, g.indexes[id].column)
	}
	slices.Sort(columns)
	r := metadata.PageIndexReader{Input: in, FileMetadata: g.meta, Props: parquet.NewReaderProperties(nil)}
	one := []int32{int32(g.number)}
	if err := r.WillNeed(one, columns, metadata.PageIndexSelection{ColumnIndex: true, OffsetIndex: true}); err != nil {
		return nil, unlessNonsense(err)
	}
	indexes, err := r.RowGroup(g.number)
	if err != nil || indexes == nil {
		return nil, unlessNonsense(err)
	}
	out := map[int][]Page{}
	for _, id := range ids {
		pages, err := pagesOf(indexes, int(g.indexes[id].column), g.Rows)
		if err := unlessNonsense(err); err != nil {
			return nil, err
		}
		if pages != nil {
			out[id] = pages
		}
	}
	return out, nil
}

// errNonsense says that a page index contradicts itself.
var errNonsense = errors.New("it is no page index")

// unlessNonsense is err where the storage is to blame, and not what it has: a file can be read without its page index.
func unlessNonsense(err error) error {
	for _, nonsense := range []error{errNonsense, arrow.ErrInvalid, arrow.ErrIndex, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, nonsense) {
			return nil
		}
	}
	return err
}

// pagesOf reads the pages of one column.
func pagesOf(r *metadata.RowGroupPageIndexReader, column int, rows int64) (_ []Page, err error) {
	defer func() { // arrow-go decodes bounds before it has looked at their lengths
		if wrong := recover(); wrong != nil {
			err = fmt.Errorf("%w: %v", errNonsense, wrong)
		}
	}()
	bounds, err := r.GetColumnIndex(column)
	if err != nil || bounds == nil {
		return nil, err
	}
	places, err := r.GetOffsetIndex(column)
	if err != nil || places == nil {
		return nil, err
	}
	nulls, lower, upper, at := bounds.GetNullPages(), bounds.GetMinValues(), bounds.GetMaxValues(), places.GetPageLocations()
	if len(at) == 0 || len(nulls) != len(at) || len(lower) != len(at) || len(upper) != len(at) || at[0].FirstRowIndex != 0 {
		return nil, errNonsense
	}
	pages := make([]Page, len(at))
	for i := range at {
		p := &pages[i]
		p.First, p.End, p.Null = at[i].FirstRowIndex, rows, nulls[i]
		if i+1 < len(at) {
			p.End = at[i+1].FirstRowIndex
		}
		if p.First >= p.End {
			return nil, errNonsense
		}
		if len(lower[i])+len(upper[i]) > 0 { // nothing at all may be an empty text, and it may be nothing
			p.Lower, p.Upper = noNil(lower[i]), noNil(upper[i])
		}
	}
	return pages, nil
}

func noNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
