package merge

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
)

// ordered is a column by which rows are older and newer. Nulls are older than any value, NaN is newer.
type ordered struct {
	iceberg.NestedField
	texts bool // its values are compared as bytes, not as numbers
}

// newOrdered resolves the column that flag names. Errors wrap ErrColumn.
func newOrdered(schema *iceberg.Schema, flag, name string) (*ordered, error) {
	f, err := column(schema, flag, name)
	if err != nil {
		return nil, err
	}
	o := &ordered{NestedField: f}
	switch f.Type.(type) {
	case iceberg.Int32Type, iceberg.Int64Type, iceberg.DateType, iceberg.TimeType, iceberg.TimestampType, iceberg.TimestampTzType,
		iceberg.TimestampNsType, iceberg.TimestampTzNsType, iceberg.Float32Type, iceberg.Float64Type:
	case iceberg.DecimalType, iceberg.StringType:
		o.texts = true
	default:
		return nil, fail(ErrColumn, "name a column of numbers, dates, times or texts", "%s: column %q is a %s, by which nothing is newer", flag, name, typeName(f.Type))
	}
	return o, nil
}

// ages are the values of an ordered column, row by row.
type ages struct {
	numbers []int64
	texts   []string
	null    []bool // nil where none is
}

func (a *ages) len() int { return max(len(a.numbers), len(a.texts)) }

// of gives the ages of rec's rows.
func (o *ordered) of(rec arrow.RecordBatch) (ages, error) {
	arr, err := columnOf(rec, o.ID, o.Name)
	if err != nil {
		return ages{}, err
	}
	return o.ofArray(arr)
}

func (o *ordered) ofArray(arr arrow.Array) (ages, error) {
	var a ages
	n := arr.Len()
	if arr.NullN() > 0 {
		a.null = make([]bool, n)
		for i := range n {
			a.null[i] = arr.IsNull(i)
		}
	}
	switch c := arr.(type) {
	case *array.Int32:
		a.numbers = widened(c.Int32Values())
	case *array.Int64:
		a.numbers = widened(c.Int64Values())
	case *array.Date32:
		a.numbers = widened(c.Date32Values())
	case *array.Time64:
		a.numbers = widened(c.Time64Values())
	case *array.Timestamp:
		a.numbers = widened(c.TimestampValues())
	case *array.Float32:
		a.numbers = make([]int64, n)
		for i, v := range c.Float32Values() {
			a.numbers[i] = floatOrder(float64(v))
		}
	case *array.Float64:
		a.numbers = make([]int64, n)
		for i, v := range c.Float64Values() {
			a.numbers[i] = floatOrder(v)
		}
	case *array.Decimal128:
		a.texts = make([]string, n)
		for i, v := range c.Values() {
			var b [16]byte
			binary.BigEndian.PutUint64(b[:], uint64(v.HighBits())^1<<63)
			binary.BigEndian.PutUint64(b[8:], v.LowBits())
			a.texts[i] = string(b[:])
		}
	case interface{ Value(int) string }:
		a.texts = make([]string, n)
		for i := range n {
			a.texts[i] = c.Value(i)
		}
	default:
		return ages{}, fmt.Errorf("merge: column %s came as %s", o.Name, arr.DataType())
	}
	return a, nil
}

func widened[T ~int32 | ~int64](values []T) []int64 {
	out := make([]int64, len(values))
	for i, v := range values {
		out[i] = int64(v)
	}
	return out
}

// floatOrder is a number in the order of floats, -0.0 and 0.0 alike.
func floatOrder(f float64) int64 {
	switch {
	case f != f:
		return math.MaxInt64
	case f == 0:
		return 0
	}
	b := int64(math.Float64bits(f))
	if b < 0 {
		b = math.MinInt64 - b
	}
	return b
}

// grow makes room for those of n more rows of the column o; nil: none.
func (a *ages) grow(n int, o *ordered) {
	switch {
	case o == nil:
	case o.texts:
		a.texts = slices.Grow(a.texts, n)
	default:
		a.numbers = slices.Grow(a.numbers, n)
	}
}

// append takes the ages of n more rows in. Texts are copied: they lie in a batch that may go.
func (a *ages) append(b ages) {
	had := a.len()
	a.numbers = append(a.numbers, b.numbers...)
	for _, t := range b.texts {
		a.texts = append(a.texts, string([]byte(t)))
	}
	if b.null == nil && a.null == nil {
		return
	}
	if a.null == nil {
		a.null = make([]bool, had, a.len())
	}
	if b.null == nil {
		b.null = make([]bool, b.len())
	}
	a.null = append(a.null, b.null...)
}

// compare orders row i of a and row j of b: less than 0 where i is the older.
func (a *ages) compare(i int, b *ages, j int) int {
	an, bn := a.null != nil && a.null[i], b.null != nil && b.null[j]
	switch {
	case an && bn:
		return 0
	case an:
		return -1
	case bn:
		return 1
	case a.texts != nil || b.texts != nil:
		return cmp.Compare(a.texts[i], b.texts[j])
	}
	return cmp.Compare(a.numbers[i], b.numbers[j])
}

// appendTo writes row i of a to a spilled row; nothing where there are no ages.
func (a *ages) appendTo(to []byte, i int) []byte {
	switch {
	case a.len() == 0:
		return to
	case a.null != nil && a.null[i]:
		return append(to, 0)
	}
	to = append(to, 1)
	if a.texts != nil {
		to = binary.AppendUvarint(to, uint64(len(a.texts[i])))
		return append(to, a.texts[i]...)
	}
	return binary.LittleEndian.AppendUint64(to, uint64(a.numbers[i]))
}

// readFrom appends what appendTo wrote of the column o; nil: nothing.
func (a *ages) readFrom(r *bufio.Reader, o *ordered) error {
	if o == nil {
		return nil
	}
	there, err := r.ReadByte()
	if err != nil {
		return err
	}
	one := ages{}
	if there == 0 {
		one.null = []bool{true}
	}
	switch {
	case o.texts && there == 0:
		one.texts = []string{""}
	case o.texts:
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return err
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(r, text); err != nil {
			return err
		}
		one.texts = []string{string(text)}
	case there == 0:
		one.numbers = []int64{0}
	default:
		var b [8]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return err
		}
		one.numbers = []int64{int64(binary.LittleEndian.Uint64(b[:]))}
	}
	a.append(one)
	return nil
}
