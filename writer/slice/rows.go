package slice

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"sort"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/twmb/murmur3"
)

// Selection tells for every row of a batch whether it is inside a slice.
type Selection struct {
	words mask
	rows  int
}

// Select is the selection of a batch of n rows that inside tells of each.
func Select(n int, inside func(i int) bool) *Selection {
	s := &Selection{newMask(n), n}
	selectFunc(n, s.words, inside)
	return s
}

// Len is the number of rows of the batch.
func (s *Selection) Len() int { return s.rows }

// Inside tells whether row i is inside.
func (s *Selection) Inside(i int) bool { return s.words[i>>6]>>(i&63)&1 == 1 }

// Count is the number of rows inside.
func (s *Selection) Count() int {
	n := 0
	for _, w := range s.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// FirstOutside is the first row that is not inside; -1 if all are.
func (s *Selection) FirstOutside() int {
	for i, w := range s.words {
		if first := i<<6 + bits.TrailingZeros64(^w); w != math.MaxUint64 && first < s.rows {
			return first
		}
	}
	return -1
}

// AppendRows appends the indexes of the rows inside to rows, ascending.
func (s *Selection) AppendRows(rows []int32) []int32 {
	for i, w := range s.words {
		for ; w != 0; w &= w - 1 {
			rows = append(rows, int32(i<<6+bits.TrailingZeros64(w)))
		}
	}
	return rows
}

// Rows tells which rows of rec are inside; nil means all of them. rec needs the columns of the
// slice in the Arrow types of the table's schema, found by field id where its fields have ids,
// else by name. rec is not retained. The error, for a column that is missing or has another
// type, is a defect of the caller.
func (s *Slice) Rows(rec arrow.RecordBatch) (*Selection, error) {
	n := int(rec.NumRows())
	words, err := s.root.rows(rec, n)
	if err != nil {
		return nil, err
	}
	if sel := (&Selection{words, n}); sel.FirstOutside() >= 0 {
		return sel, nil
	}
	return nil, nil
}

// mask has a bit per row, the first in the lowest bit, none beyond the last row.
type mask []uint64

func newMask(rows int) mask { return make(mask, (rows+63)/64) }

func (m mask) fill(rows int) mask {
	for i := range m {
		m[i] = math.MaxUint64
	}
	if tail := rows & 63; tail != 0 {
		m[len(m)-1] = 1<<tail - 1
	}
	return m
}

func (n *node) rows(rec arrow.RecordBatch, rows int) (mask, error) {
	switch n.op {
	case never:
		return newMask(rows), nil
	case always:
		return newMask(rows).fill(rows), nil
	case leaf:
		return n.leafRows(rec, rows)
	}
	total, err := n.kids[0].rows(rec, rows)
	if err != nil {
		return nil, err
	}
	for _, k := range n.kids[1:] {
		m, err := k.rows(rec, rows)
		if err != nil {
			return nil, err
		}
		for i, w := range m {
			if n.op == and {
				total[i] &= w
			} else {
				total[i] |= w
			}
		}
	}
	return total, nil
}

func (n *node) leafRows(rec arrow.RecordBatch, rows int) (mask, error) {
	arr, valid, err := n.term.column.find(rec, rows)
	if err != nil {
		return nil, err
	}
	out := newMask(rows)
	switch {
	case n.set.isEverything():
		out.fill(rows)
	case len(n.set) > 0:
		if err := n.values(arr, out); err != nil {
			return nil, err
		}
	}
	if valid != nil {
		for i, v := range valid {
			out[i] &= v
			if n.null {
				out[i] |= ^v
			}
		}
		if tail := rows & 63; n.null && tail != 0 {
			out[len(out)-1] &= 1<<tail - 1
		}
	}
	return out, nil
}

// find gives the column's array, and a mask of the rows where neither it nor a struct around
// it is null; nil when no row has a null.
func (c *column) find(rec arrow.RecordBatch, rows int) (arrow.Array, mask, error) {
	fields, child := rec.Schema().Fields(), rec.Column
	var valid mask
	for depth := range c.ids {
		i := c.index(fields, depth)
		if i < 0 {
			return nil, nil, fmt.Errorf("slice: the batch has no column %s", c.name)
		}
		arr := child(i)
		valid = andValid(valid, arr, rows)
		if depth == len(c.ids)-1 {
			return arr, valid, nil
		}
		s, ok := arr.(*array.Struct)
		if !ok {
			return nil, nil, fmt.Errorf("slice: column %s: %s is not a struct", c.name, arr.DataType())
		}
		fields, child = s.DataType().(*arrow.StructType).Fields(), s.Field
	}
	panic("slice: a column without a path")
}

func (c *column) index(fields []arrow.Field, depth int) int {
	byName := -1
	for i, f := range fields {
		if text, ok := f.Metadata.GetValue("PARQUET:field_id"); ok {
			if id, err := strconv.Atoi(text); err == nil {
				if id == c.ids[depth] {
					return i
				}
				continue
			}
		}
		if f.Name == c.names[depth] {
			byName = i
		}
	}
	return byName
}

// andValid takes the nulls of arr away from valid, which it may change.
func andValid(valid mask, arr arrow.Array, rows int) mask {
	if arr.NullN() == 0 {
		return valid
	}
	own := newMask(rows)
	if bitmap := arr.NullBitmapBytes(); len(bitmap) > 0 {
		b := make([]byte, len(own)*8)
		bitutil.CopyBitmap(bitmap, arr.Data().Offset(), rows, b, 0)
		for i := range own {
			own[i] = binary.LittleEndian.Uint64(b[i*8:])
		}
	}
	for i := range valid {
		own[i] &= valid[i]
	}
	return own
}

// intRange and decimalRange hold the values from lo to hi, both inside.
type (
	intRange     struct{ lo, hi int64 }
	decimalRange struct{ lo, hi decimal128.Num }
)

// prepare derives what every batch and file needs of a leaf.
func (n *node) prepare() {
	n.outside = n.set.complement()
	l := n.term.line
	for _, p := range n.set {
		switch {
		case l.kind == kindDecimal && n.term.buckets == 0:
			r := decimalRange{decimal128.New(math.MinInt64, 0), decimal128.New(math.MaxInt64, math.MaxUint64)}
			if p.lo != "" {
				r.lo = decodeDecimal(p.lo)
			}
			if !p.unbounded {
				r.hi = decodeDecimal(p.hi).Sub(decimal128.FromU64(1))
			}
			n.decimals = append(n.decimals, r)
		case l.kind != 0 && l.kind.integral():
			r := intRange{math.MinInt64, math.MaxInt64}
			if p.lo != "" {
				r.lo = decodeInt(p.lo)
			}
			if !p.unbounded {
				r.hi = decodeInt(p.hi) - 1
			}
			n.ranges = append(n.ranges, r)
		}
	}
}

// values sets the bits of the values in the leaf's set. Those of nulls come out as they may.
func (n *node) values(arr arrow.Array, out mask) error {
	if ext, ok := arr.(array.ExtensionArray); ok {
		arr = ext.Storage()
	}
	if n.term.buckets > 0 {
		return n.buckets(arr, out)
	}
	k := n.term.line.kind
	switch arr := arr.(type) {
	case *array.Dictionary:
		return n.dictionary(arr, out)
	case *array.Boolean:
		if k == kindBool {
			selectFunc(arr.Len(), out, func(i int) bool {
				v := int64(0)
				if arr.Value(i) {
					v = 1
				}
				return inRanges(n.ranges, v)
			})
			return nil
		}
	case *array.Int32:
		if k == kindInt {
			selectInts(arr.Int32Values(), n.ranges, out)
			return nil
		}
	case *array.Int64:
		if k == kindInt {
			selectInts(arr.Int64Values(), n.ranges, out)
			return nil
		}
	case *array.Date32:
		if k == kindDate {
			selectInts(arr.Date32Values(), n.ranges, out)
			return nil
		}
	case *array.Time64:
		if k == kindTime && arr.DataType().(*arrow.Time64Type).Unit == arrow.Microsecond {
			selectInts(arr.Time64Values(), n.ranges, out)
			return nil
		}
	case *array.Timestamp:
		unit := arr.DataType().(*arrow.TimestampType).Unit
		if k == kindMicros && unit == arrow.Microsecond || k == kindNanos && unit == arrow.Nanosecond {
			selectInts(arr.TimestampValues(), n.ranges, out)
			return nil
		}
	case *array.Float32:
		if k == kindFloat {
			values := arr.Float32Values()
			selectFunc(len(values), out, func(i int) bool { return inRanges(n.ranges, float32Key(values[i])) })
			return nil
		}
	case *array.Float64:
		if k == kindDouble {
			values := arr.Float64Values()
			selectFunc(len(values), out, func(i int) bool { return inRanges(n.ranges, float64Key(values[i])) })
			return nil
		}
	case *array.Decimal128:
		if k == kindDecimal {
			values := arr.Values()
			selectFunc(len(values), out, func(i int) bool { return inDecimals(n.decimals, values[i]) })
			return nil
		}
	default:
		if text, ok := bytesOf(arr); ok && k >= kindString {
			selectFunc(arr.Len(), out, func(i int) bool { return inSpans(n.set, text(i)) })
			return nil
		}
	}
	return fmt.Errorf("slice: column %s is a %s and came as %s", n.term.column.name, n.term.column.typ, arr.DataType())
}

// dictionary looks at each distinct value once.
func (n *node) dictionary(arr *array.Dictionary, out mask) error {
	values := newMask(arr.Dictionary().Len())
	if err := n.values(arr.Dictionary(), values); err != nil {
		return err
	}
	selectFunc(arr.Len(), out, func(i int) bool {
		if arr.IsNull(i) {
			return false
		}
		v := arr.GetValueIndex(i)
		return values[v>>6]>>(v&63)&1 == 1
	})
	return nil
}

func (n *node) buckets(arr arrow.Array, out mask) error {
	var hash func(i int) uint32
	switch arr := arr.(type) {
	case *array.Int32:
		hash = func(i int) uint32 { return hashInt(int64(arr.Value(i))) }
	case *array.Int64:
		hash = func(i int) uint32 { return hashInt(arr.Value(i)) }
	case *array.Date32:
		hash = func(i int) uint32 { return hashInt(int64(arr.Value(i))) }
	case *array.Time64:
		hash = func(i int) uint32 { return hashInt(int64(arr.Value(i))) }
	case *array.Timestamp:
		hash = func(i int) uint32 { return hashInt(int64(arr.Value(i))) }
		if arr.DataType().(*arrow.TimestampType).Unit == arrow.Nanosecond {
			hash = func(i int) uint32 { return hashNanos(int64(arr.Value(i))) }
		}
	case *array.Decimal128:
		hash = func(i int) uint32 { return hashDecimal(arr.Value(i)) }
	case *array.Dictionary:
		return n.dictionary(arr, out)
	default:
		text, ok := bytesOf(arr)
		if !ok {
			return fmt.Errorf("slice: column %s is a %s and came as %s", n.term.column.name, n.term.column.typ, arr.DataType())
		}
		hash = func(i int) uint32 { return murmur3.StringSum32(text(i)) }
	}
	selectFunc(arr.Len(), out, func(i int) bool { return inRanges(n.ranges, bucketOf(hash(i), n.term.buckets)) })
	return nil
}

// bytesOf gives access to the values of an array of strings or bytes.
func bytesOf(arr arrow.Array) (func(i int) string, bool) {
	switch arr := arr.(type) {
	case *array.String:
		return arr.Value, true
	case *array.LargeString:
		return arr.Value, true
	case *array.Binary:
		return arr.ValueString, true
	case *array.LargeBinary:
		return arr.ValueString, true
	case *array.FixedSizeBinary:
		return func(i int) string { return string(arr.Value(i)) }, true
	}
	return nil, false
}

func selectFunc(n int, out mask, inside func(i int) bool) {
	for i := range n {
		if inside(i) {
			out[i>>6] |= 1 << (i & 63)
		}
	}
}

func selectInts[T ~int32 | ~int64](values []T, ranges []intRange, out mask) {
	if len(ranges) > 1 {
		selectFunc(len(values), out, func(i int) bool { return inRanges(ranges, int64(values[i])) })
		return
	}
	lo, width := ranges[0].lo, uint64(ranges[0].hi-ranges[0].lo)
	for i := range out {
		block := values[i*64 : min(i*64+64, len(values))]
		var w uint64
		for j, v := range block {
			// one unsigned comparison tells both ends, without a branch
			_, outside := bits.Sub64(width, uint64(int64(v)-lo), 0)
			w |= (outside ^ 1) << j
		}
		out[i] = w
	}
}

func inRanges(ranges []intRange, v int64) bool {
	if len(ranges) == 1 {
		return ranges[0].lo <= v && v <= ranges[0].hi
	}
	i := sort.Search(len(ranges), func(i int) bool { return v <= ranges[i].hi })
	return i < len(ranges) && ranges[i].lo <= v
}

func inDecimals(ranges []decimalRange, v decimal128.Num) bool {
	i := sort.Search(len(ranges), func(i int) bool { return v.LessEqual(ranges[i].hi) })
	return i < len(ranges) && ranges[i].lo.LessEqual(v)
}

func inSpans(s set, v string) bool {
	if len(s) == 1 {
		return s[0].lo <= v && (s[0].unbounded || v < s[0].hi)
	}
	return s.contains(v)
}
