package merge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/writer/slice"
)

// reach is where the keys of an input lie: for each key column some ranges, all values of the input inside
// one of them, and the partitions that the key by itself determines. A file that is out of reach has no row
// with one of the keys.
type reach struct {
	columns []columnReach
}

// columnReach are the values of one key column. They are kept as they come, and brought down to a few
// ranges whenever there are many.
type columnReach struct {
	field   iceberg.NestedField
	numbers spans[int64]
	texts   spans[string]
	decimal spans[decimalKey]
	kind    reachKind
}

type reachKind uint8

const (
	reachNothing reachKind = iota // of a type without ranges
	reachNumbers
	reachTexts
	reachBytes
	reachDecimals
)

// decimalKey orders decimals.
type decimalKey struct {
	hi int64
	lo uint64
}

func newReach(k *keys) *reach {
	r := &reach{}
	for _, c := range k.columns {
		col := columnReach{field: c.NestedField}
		switch c.Type.(type) {
		case iceberg.Int32Type, iceberg.Int64Type, iceberg.DateType, iceberg.TimeType, iceberg.TimestampType, iceberg.TimestampTzType,
			iceberg.TimestampNsType, iceberg.TimestampTzNsType:
			col.kind = reachNumbers
		case iceberg.StringType:
			col.kind = reachTexts
		case iceberg.BinaryType, iceberg.FixedType:
			col.kind = reachBytes
		case iceberg.DecimalType:
			col.kind = reachDecimals
		}
		r.columns = append(r.columns, col)
	}
	return r
}

// add takes the keys of rec's rows in. rec has no null in a key.
func (r *reach) add(rec arrow.RecordBatch) error {
	for i := range r.columns {
		c := &r.columns[i]
		arr, err := columnOf(rec, c.field.ID, c.field.Name)
		if err != nil {
			return err
		}
		switch a := arr.(type) {
		case *array.Int32:
			addNumbers(c, a.Int32Values())
		case *array.Date32:
			addNumbers(c, a.Date32Values())
		case *array.Int64:
			addNumbers(c, a.Int64Values())
		case *array.Time64:
			addNumbers(c, a.Time64Values())
		case *array.Timestamp:
			addNumbers(c, a.TimestampValues())
		case *array.Decimal128:
			for _, v := range a.Values() {
				c.decimal.add(decimalKey{v.HighBits(), v.LowBits()}, compareDecimals)
			}
		case *array.String:
			for i := range a.Len() {
				c.texts.addText(a.Value(i))
			}
		case *array.Binary:
			for i := range a.Len() {
				c.texts.addText(a.ValueString(i))
			}
		case *array.FixedSizeBinary:
			for i := range a.Len() {
				c.texts.add(string(a.Value(i)), strings.Compare)
			}
		default:
			c.kind = reachNothing
		}
	}
	return nil
}

func addNumbers[T ~int32 | ~int64](c *columnReach, values []T) {
	for _, v := range values {
		c.numbers.add(int64(v), compareNumbers)
	}
}

func compareNumbers(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func compareDecimals(a, b decimalKey) int {
	if a.hi != b.hi {
		return compareNumbers(a.hi, b.hi)
	}
	switch {
	case a.lo < b.lo:
		return -1
	case a.lo > b.lo:
		return 1
	}
	return 0
}

const (
	// reachRanges is how many ranges of a column are told at most: enough to skip the files between
	// clusters of keys, few enough to be compared with every file's bounds.
	reachRanges = 1024
	// reachValues is how many values are kept until they are brought down to ranges.
	reachValues = 64 << 10
)

// spans are ranges, both ends inside, and values that are no range yet.
type spans[T any] struct {
	ranges [][2]T
	values []T
}

func (s *spans[T]) add(v T, compare func(a, b T) int) {
	if s.has(v, compare) {
		return
	}
	s.values = append(s.values, v)
	if len(s.values) >= reachValues {
		s.settle(compare)
	}
}

// has tells whether v is in one of the ranges. Once there are a thousand, most values are, and need not be sorted.
func (s *spans[T]) has(v T, compare func(a, b T) int) bool {
	lo, hi := 0, len(s.ranges) // the first that begins after v is from lo to hi
	for lo < hi {
		if mid := (lo + hi) / 2; compare(s.ranges[mid][0], v) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo > 0 && compare(v, s.ranges[lo-1][1]) <= 0
}

// addText adds a text whose bytes belong to a batch.
func (s *spans[T]) addText(v string) {
	if t, ok := any(s).(*spans[string]); ok && !t.has(v, strings.Compare) {
		t.add(strings.Clone(v), strings.Compare)
	}
}

// settle makes ranges of all values: neighbours in order share one, so many to each that there are few.
func (s *spans[T]) settle(compare func(a, b T) int) {
	for _, v := range s.values {
		s.ranges = append(s.ranges, [2]T{v, v})
	}
	s.values = s.values[:0]
	slices.SortFunc(s.ranges, func(a, b [2]T) int { return compare(a[0], b[0]) })
	each := (len(s.ranges) + reachRanges - 1) / reachRanges
	var out [][2]T
	for group := range slices.Chunk(s.ranges, max(1, each)) {
		r := group[0]
		for _, g := range group[1:] {
			if compare(g[1], r[1]) > 0 {
				r[1] = g[1]
			}
		}
		out = append(out, r)
	}
	s.ranges = out
}

// slice is the condition that a row is within reach of the columns' ranges; nil where they tell nothing.
func (r *reach) slice(schema *iceberg.Schema) *slice.Slice {
	var all *slice.Slice
	for i := range r.columns {
		c := &r.columns[i]
		var ranges []slice.Range
		switch c.kind {
		case reachNumbers:
			c.numbers.settle(compareNumbers)
			for _, s := range c.numbers.ranges {
				ranges = append(ranges, slice.Range{Lo: c.number(s[0]), Hi: c.number(s[1])})
			}
		case reachTexts:
			c.texts.settle(strings.Compare)
			for _, s := range c.texts.ranges {
				ranges = append(ranges, slice.Range{Lo: s[0], Hi: s[1]})
			}
		case reachBytes:
			c.texts.settle(strings.Compare)
			for _, s := range c.texts.ranges {
				ranges = append(ranges, slice.Range{Lo: []byte(s[0]), Hi: []byte(s[1])})
			}
		case reachDecimals:
			c.decimal.settle(compareDecimals)
			for _, s := range c.decimal.ranges {
				ranges = append(ranges, slice.Range{Lo: c.asDecimal(s[0]), Hi: c.asDecimal(s[1])})
			}
		default:
			continue
		}
		if len(ranges) > 0 {
			all = all.And(slice.Within(schema, c.field.ID, ranges))
		}
	}
	return all
}

func (c *columnReach) number(v int64) any {
	switch c.field.Type.(type) {
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return iceberg.TimestampNano(v)
	}
	return v
}

func (c *columnReach) asDecimal(v decimalKey) any {
	scale := c.field.Type.(iceberg.DecimalType).Scale()
	return iceberg.Decimal{Val: decimal128.New(v.hi, v.lo), Scale: scale}
}

// partitionReach is the condition that a row lies in the partitions that the keys of the input lie in, by
// those partition fields of any spec of a table whose sources are key columns; nil where there are none.
type partitionReach struct {
	fields []partitionField
}

type partitionField struct {
	spec  iceberg.PartitionSpec // of the one field
	seen  Partitions
	count int
}

// fieldPartitions is how many values of a partition field are told apart at most.
const fieldPartitions = 10_000

func newPartitionReach(schema *iceberg.Schema, specs []iceberg.PartitionSpec, k *keys, make func(*iceberg.Schema, iceberg.PartitionSpec) (Partitions, error)) *partitionReach {
	r := &partitionReach{}
	if make == nil {
		return r
	}
	done := map[string]bool{}
	for _, spec := range specs {
		for _, f := range spec.Fields() {
			if _, void := f.Transform.(iceberg.VoidTransform); void || len(f.SourceIDs) != 1 {
				continue
			}
			name := fmt.Sprint(f.SourceID(), f.Transform)
			if done[name] || !slices.ContainsFunc(k.columns, func(c keyColumn) bool { return c.ID == f.SourceID() }) {
				continue
			}
			done[name] = true
			one := iceberg.NewPartitionSpecID(spec.ID(), f)
			seen, err := make(schema, one)
			if err != nil {
				continue // a transform that nobody here knows tells nothing
			}
			r.fields = append(r.fields, partitionField{spec: one, seen: seen})
		}
	}
	return r
}

func (r *partitionReach) add(rec arrow.RecordBatch) {
	for i := range r.fields {
		f := &r.fields[i]
		if f.count > fieldPartitions {
			continue
		}
		for _, n := range f.seen.Of(rec) {
			f.count = max(f.count, int(n)+1)
		}
	}
}

func (r *partitionReach) slice(schema *iceberg.Schema) *slice.Slice {
	var all *slice.Slice
	for _, f := range r.fields {
		if f.count == 0 || f.count > fieldPartitions {
			continue
		}
		var partitions []slice.Partition
		for n := range f.count {
			partitions = append(partitions, f.seen.Partition(n))
		}
		all = all.And(slice.Hull(partitions, f.spec, schema))
	}
	return all
}
