package arrowconv

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"
)

// Texts that an input has as a dictionary are passed on as one where Options.Dictionaries asks for it and nothing
// has to be done to a value: what is checked is each text of the dictionary, and that every place is in it.

// mostDictionary bounds the bytes of a dictionary that is passed on.
const mostDictionary = 64 << 10

// dictionary is a, a column of the input, as a dictionary of c's type; nil where it is to be converted value by value.
func (c *columnCast) dictionary(a arrow.Array) (arrow.Array, error) {
	d, ok := a.(*array.Dictionary)
	if !ok || d.Data().DataType().(*arrow.DictionaryType).IndexType.ID() != arrow.INT32 || c.field.Required && d.NullN() > 0 {
		return nil, nil
	}
	var offsets []int32
	var bytes []byte
	values, text := d.Dictionary(), false
	switch v := values.(type) {
	case *array.String:
		offsets, bytes, text = v.ValueOffsets(), v.ValueBytes(), true
	case *array.Binary:
		offsets, bytes = v.ValueOffsets(), v.ValueBytes()
	default:
		return nil, nil
	}
	switch c.field.Type.(type) {
	case iceberg.StringType:
	case iceberg.BinaryType:
		if text {
			return nil, nil
		}
	default:
		return nil, nil
	}
	n := values.Len()
	if n == 0 || values.NullN() > 0 || len(bytes) > mostDictionary {
		return nil, nil
	}
	for i, k := range d.Indices().(*array.Int32).Int32Values() {
		if uint(k) >= uint(n) && d.IsValid(i) {
			return nil, fmt.Errorf("a place in its dictionary is %d, of %d", k, n)
		}
	}
	if c.dt.ID() == arrow.STRING {
		for i := range n {
			if !utf8.Valid(bytes[offsets[i]-offsets[0] : offsets[i+1]-offsets[0]]) {
				return nil, nil // the conversion tells which rows have it
			}
		}
	}
	of := values.Data()
	as := array.NewData(c.dt, n, of.Buffers(), nil, 0, of.Offset())
	defer as.Release()
	data := d.Data()
	out := array.NewDataWithDictionary(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: c.dt}, d.Len(),
		data.Buffers(), d.NullN(), data.Offset(), as)
	defer out.Release()
	return array.MakeFromData(out), nil
}

// leastGroup is the rows of a row group from which on dictionaries are passed on: a batch of theirs ends with it.
const leastGroup = 16 << 10

// dictionaries are the leaves of a Parquet file that have few texts. Not every writer says where its dictionaries lie
// and which pages have places in them, but all say how large a column is: one that takes no more than places in a small
// dictionary do has hardly any value spelled out, which takes four bytes and the text. Where one has, the library adds
// it to the dictionary, so that the sizes bound this too.
func dictionaries(r *file.Reader) (leaves []int, err error) {
	meta := r.MetaData()
	groups := meta.NumRowGroups()
	if groups == 0 || groups > 1 && meta.NumRows/int64(groups) < leastGroup {
		return nil, nil
	}
	for i := range meta.Schema.NumColumns() {
		column := meta.Schema.Column(i)
		if column.PhysicalType() != parquet.Types.ByteArray || len(column.ColumnPath()) != 1 || column.MaxRepetitionLevel() > 0 {
			continue
		}
		few := true
		for g := 0; g < groups && few; g++ {
			group := meta.RowGroup(g)
			chunk, err := group.ColumnChunk(i)
			if err != nil {
				return nil, err
			}
			coded := func(e parquet.Encoding) bool {
				return e == parquet.Encodings.RLEDict || e == parquet.Encodings.PlainDict
			}
			few = slices.ContainsFunc(chunk.Encodings(), coded) && chunk.TotalUncompressedSize() <= mostDictionary+2*group.NumRows()
		}
		if few {
			leaves = append(leaves, i)
		}
	}
	return leaves, nil
}
