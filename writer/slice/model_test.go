package slice

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// The model: rows are Go values, a condition is a tree with SQL's three-valued logic, and a
// file is its rows with partition values and bounds as Iceberg defines them. None of it uses
// the sets that the package thinks in.

type sample struct {
	text  string // as an expression writes it
	value any    // nil: null
}

func micros(days, seconds, us int64) iceberg.Timestamp {
	return iceberg.Timestamp((days*86400+seconds)*1e6 + us)
}

// modelSchema and samples: few values per column, so that conditions often meet them.
var modelSchema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64},
	iceberg.NestedField{ID: 2, Name: "n", Type: iceberg.PrimitiveTypes.Int32},
	iceberg.NestedField{ID: 3, Name: "ok", Type: iceberg.PrimitiveTypes.Bool},
	iceberg.NestedField{ID: 4, Name: "f", Type: iceberg.PrimitiveTypes.Float32},
	iceberg.NestedField{ID: 5, Name: "d", Type: iceberg.PrimitiveTypes.Float64},
	iceberg.NestedField{ID: 6, Name: "amount", Type: iceberg.DecimalTypeOf(6, 2)},
	iceberg.NestedField{ID: 7, Name: "day", Type: iceberg.PrimitiveTypes.Date},
	iceberg.NestedField{ID: 8, Name: "at", Type: iceberg.PrimitiveTypes.Time},
	iceberg.NestedField{ID: 9, Name: "ts", Type: iceberg.PrimitiveTypes.Timestamp},
	iceberg.NestedField{ID: 10, Name: "tz", Type: iceberg.PrimitiveTypes.TimestampTz},
	iceberg.NestedField{ID: 11, Name: "ns", Type: iceberg.PrimitiveTypes.TimestampNs},
	iceberg.NestedField{ID: 12, Name: "s", Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 13, Name: "b", Type: iceberg.PrimitiveTypes.Binary},
	iceberg.NestedField{ID: 14, Name: "u", Type: iceberg.PrimitiveTypes.UUID},
	iceberg.NestedField{ID: 15, Name: "fx", Type: iceberg.FixedTypeOf(2)},
	iceberg.NestedField{ID: 16, Name: "geo", Type: &iceberg.StructType{FieldList: []iceberg.NestedField{
		{ID: 17, Name: "c", Type: iceberg.PrimitiveTypes.String},
	}}},
)

var samples = map[int][]sample{}

func init() {
	add := func(id int, text string, v any) { samples[id] = append(samples[id], sample{text, v}) }
	for _, v := range []int64{math.MinInt64, -11, -10, -1, 0, 1, 9, 10, 11, 20, math.MaxInt64} {
		add(1, fmt.Sprint(v), v)
	}
	for _, v := range []int32{math.MinInt32, -11, -10, -1, 0, 1, 9, 10, 11, 20, math.MaxInt32} {
		add(2, fmt.Sprint(v), v)
	}
	add(3, "true", true)
	add(3, "false", false)
	for _, v := range []float64{math.Inf(-1), -1.5, math.Copysign(0, -1), 0, 0.1, 2, math.Inf(1), math.NaN()} {
		add(4, fmt.Sprint(v), float32(v))
		add(5, fmt.Sprint(v), v)
	}
	for _, v := range []int64{-999999, -1234, -1, 0, 10, 1234, 1250, 999999} {
		dec := iceberg.Decimal{Val: decimal128.FromI64(v), Scale: 2}
		add(6, dec.String(), dec)
	}
	for _, v := range [][3]int{{1969, 12, 31}, {1970, 1, 1}, {2023, 12, 31}, {2024, 1, 15}, {2024, 1, 16}, {2024, 2, 1}} {
		text := fmt.Sprintf("%04d-%02d-%02d", v[0], v[1], v[2])
		d := iceberg.Date(time.Date(v[0], time.Month(v[1]), v[2], 0, 0, 0, 0, time.UTC).Unix() / 86400)
		add(7, text, d)
		for _, clock := range []struct {
			text   string
			s, rem int64
		}{{"00:00:00", 0, 0}, {"10:59:59.999999", 39599, 999999}} {
			stamp := micros(int64(d), clock.s, clock.rem)
			add(9, fmt.Sprintf("'%s %s'", text, clock.text), stamp)
			add(10, fmt.Sprintf("'%s %sZ'", text, clock.text), stamp)
			add(11, fmt.Sprintf("'%s %s'", text, clock.text), iceberg.TimestampNano(stamp*1000))
		}
		add(11, fmt.Sprintf("'%s 00:00:00.000000001'", text), iceberg.TimestampNano(micros(int64(d), 0, 0)*1000+1))
	}
	for _, v := range []int64{0, 1, 86399999999} {
		add(8, fmt.Sprintf("'%02d:%02d:%02d.%06d'", v/3600e6, v/60e6%60, v/1e6%60, v%1e6), iceberg.Time(v))
	}
	for _, v := range []string{"", "a", "ab", "abc", "abd", "abd\x00", "b", "null", "O'Neil", "ü", "über", "z\U0010ffff", "\U0010ffff", "\ud7ff", "\ue000"} {
		add(12, quote(v), v)
		add(17, quote(v), v)
	}
	for _, v := range []string{"", "\x00", "\x00\xff", "a", "\xff", "\xff\xff", "\xff\xffa"} {
		add(13, fmt.Sprintf("x'%x'", v), []byte(v))
	}
	for _, v := range []string{"00000000-0000-0000-0000-000000000000", "0190a0a0-0000-7000-8000-000000000001", "7fffffff-ffff-ffff-ffff-ffffffffffff", "80000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"} {
		add(14, v, uuid.MustParse(v))
	}
	for _, v := range []string{"\x00\x00", "\x00\x01", "\x7f\xff", "\xff\xff"} {
		add(15, fmt.Sprintf("x'%x'", v), []byte(v))
	}
}

// modelRow has values by field id; 16 tells whether the struct is there.
type modelRow map[int]any

func drawRow(t *rapid.T) modelRow {
	r := modelRow{}
	for _, id := range sampled() {
		s := samples[id]
		if i := rapid.IntRange(-1, len(s)-1).Draw(t, "value"); i >= 0 {
			r[id] = s[i].value
		}
	}
	if rapid.Bool().Draw(t, "geo") {
		r[16] = true
	} else {
		delete(r, 17)
	}
	return r
}

// order compares two values of one column.
func order(a, b any) int {
	switch a := a.(type) {
	case bool:
		return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) // false before true
	case int32:
		return cmp.Compare(a, b.(int32))
	case int64:
		return cmp.Compare(a, b.(int64))
	case iceberg.Date:
		return cmp.Compare(a, b.(iceberg.Date))
	case iceberg.Time:
		return cmp.Compare(a, b.(iceberg.Time))
	case iceberg.Timestamp:
		return cmp.Compare(a, b.(iceberg.Timestamp))
	case iceberg.TimestampNano:
		return cmp.Compare(a, b.(iceberg.TimestampNano))
	case float32:
		return orderFloat(float64(a), float64(b.(float32)))
	case float64:
		return orderFloat(a, b.(float64))
	case iceberg.Decimal:
		return a.Val.Cmp(b.(iceberg.Decimal).Val)
	case string:
		return cmp.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	case uuid.UUID:
		ub := b.(uuid.UUID)
		return bytes.Compare(a[:], ub[:])
	}
	panic(fmt.Sprintf("%T", a))
}

// orderFloat puts NaN last, where Go puts it first.
func orderFloat(a, b float64) int {
	switch {
	case math.IsNaN(a) && math.IsNaN(b):
		return 0
	case math.IsNaN(a):
		return 1
	case math.IsNaN(b):
		return -1
	}
	return cmp.Compare(a, b)
}

func isNaN(v any) bool {
	switch v := v.(type) {
	case float32:
		return v != v
	case float64:
		return v != v
	}
	return false
}

// sampled are the ids of samples, ascending.
func sampled() []int { return slices.Sorted(maps.Keys(samples)) }

// truth is SQL's: no, unknown, yes.
type truth int

const (
	no truth = iota
	unknown
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// condition is a text and what it means.
type condition struct {
	text string
	eval func(modelRow) truth
}

func drawCondition(t *rapid.T, depth int) condition {
	kind := rapid.IntRange(0, 6).Draw(t, "kind")
	if depth == 0 || kind > 2 {
		return drawLeaf(t)
	}
	a := drawCondition(t, depth-1)
	if kind == 0 {
		return condition{"not (" + a.text + ")", func(r modelRow) truth { return yes - a.eval(r) }}
	}
	b := drawCondition(t, depth-1)
	if kind == 1 {
		return condition{"(" + a.text + ") AND (" + b.text + ")", func(r modelRow) truth { return min(a.eval(r), b.eval(r)) }}
	}
	return condition{"(" + a.text + ") or (" + b.text + ")", func(r modelRow) truth { return max(a.eval(r), b.eval(r)) }}
}

var columnNames = func() map[int]string {
	names := map[int]string{17: "geo.c"}
	for _, f := range modelSchema.Fields() {
		names[f.ID] = f.Name
	}
	return names
}()

func drawColumn(t *rapid.T) int {
	return rapid.SampledFrom(sampled()).Draw(t, "column")
}

func drawLeaf(t *rapid.T) condition {
	id := drawColumn(t)
	name := columnNames[id]
	value := func(r modelRow) any { return r[id] }
	pool := samples[id]
	compare := order
	ordered := id != 3
	op := rapid.SampledFrom([]string{"=", "!=", "<", "<=", ">", ">=", "in", "not in", "between", "is null", "is not null", "starts_with", "transform"}).Draw(t, "op")
	if op == "transform" {
		transform, ok := drawTransform(t, id)
		if !ok {
			op = "="
		} else {
			name = transformText(transform, name)
			typ, _ := modelSchema.FindTypeByID(id)
			value = func(r modelRow) any {
				if wraps(transform, r[id]) { // the true result is below all numbers
					return least(r[id])
				}
				return transformed(transform, r[id])
			}
			pool = nil
			for _, s := range samples[id] {
				if v := transformed(transform, s.value); v != nil && !wraps(transform, s.value) {
					text := transform.ToHumanStrType(typ, v)
					switch v := v.(type) {
					case string:
						text = quote(text)
					case []byte:
						text = fmt.Sprintf("x'%x'", v)
					case iceberg.Decimal:
						text = v.String()
						if v.Val.Cmp(decimal128.FromI64(-999999)) < 0 {
							continue // truncated out of the column's range
						}
					}
					pool = append(pool, sample{text, v})
				}
			}
			_, bucket := transform.(iceberg.BucketTransform)
			ordered = ordered && !bucket
			op = rapid.SampledFrom([]string{"=", "!=", "<", "<=", ">", ">=", "in", "not in", "between"}).Draw(t, "op")
		}
	}
	if !ordered && strings.ContainsAny(op[:1], "<>b") {
		op = "!="
	}
	typ, _ := modelSchema.FindTypeByID(id)
	if l, _ := lineOf(typ); op == "starts_with" && !l.varying() {
		op = "is null"
	}
	pick := func() sample { return rapid.SampledFrom(pool).Draw(t, "literal") }
	known := func(text string, f func(v any) bool) condition {
		return condition{text, func(r modelRow) truth {
			v := value(r)
			if v == nil {
				return unknown
			}
			return truthOf(f(v))
		}}
	}
	switch op {
	case "is null":
		return condition{name + " is null", func(r modelRow) truth { return truthOf(value(r) == nil) }}
	case "is not null":
		return condition{name + " is not null", func(r modelRow) truth { return truthOf(value(r) != nil) }}
	case "in", "not in":
		var texts []string
		var values []any
		for range rapid.IntRange(1, 4).Draw(t, "n") {
			s := pick()
			texts, values = append(texts, s.text), append(values, s.value)
		}
		return known(name+" "+op+" ("+strings.Join(texts, ", ")+")", func(v any) bool {
			return slices.ContainsFunc(values, func(w any) bool { return compare(v, w) == 0 }) == (op == "in")
		})
	case "between":
		a, b := pick(), pick()
		return known(name+" between "+a.text+" and "+b.text, func(v any) bool { return compare(v, a.value) >= 0 && compare(v, b.value) <= 0 })
	case "starts_with":
		s := pick()
		return known("starts_with("+name+", "+s.text+")", func(v any) bool { return strings.HasPrefix(asString(v), asString(s.value)) })
	}
	s := pick()
	return known(name+op+s.text, func(v any) bool {
		c := compare(v, s.value)
		switch op {
		case "=":
			return c == 0
		case "!=":
			return c != 0
		case "<":
			return c < 0
		case "<=":
			return c <= 0
		case ">":
			return c > 0
		}
		return c >= 0
	})
}

func asString(v any) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return v.(string)
}

func drawTransform(t *rapid.T, id int) (iceberg.Transform, bool) {
	typ, _ := modelSchema.FindTypeByID(id)
	all := []iceberg.Transform{
		iceberg.YearTransform{},
		iceberg.MonthTransform{},
		iceberg.DayTransform{},
		iceberg.HourTransform{},
		iceberg.BucketTransform{NumBuckets: 4},
		iceberg.TruncateTransform{Width: 1},
		iceberg.TruncateTransform{Width: 2},
		iceberg.TruncateTransform{Width: 10},
	}
	all = slices.DeleteFunc(all, func(tr iceberg.Transform) bool { return !tr.CanTransform(typ) })
	if len(all) == 0 {
		return nil, false
	}
	return rapid.SampledFrom(all).Draw(t, "transform"), true
}

func transformText(tr iceberg.Transform, column string) string {
	switch tr := tr.(type) {
	case iceberg.BucketTransform:
		return fmt.Sprintf("bucket(%d, %s)", tr.NumBuckets, column)
	case iceberg.TruncateTransform:
		return fmt.Sprintf("truncate(%d, %s)", tr.Width, column)
	}
	return tr.String() + "(" + column + ")"
}

// transformed is what iceberg-go makes of a value.
func transformed(tr iceberg.Transform, v any) any {
	if v == nil {
		return nil
	}
	out := tr.Apply(iceberg.Optional[iceberg.Literal]{Valid: true, Val: literalOf(v)})
	if !out.Valid {
		return nil
	}
	if d, ok := out.Val.Any().(iceberg.DecimalLiteral); ok {
		return iceberg.Decimal(d)
	}
	return out.Val.Any()
}

// wraps tells whether truncating v overflows, which nobody can ask for.
func wraps(tr iceberg.Transform, v any) bool {
	if _, ok := tr.(iceberg.TruncateTransform); !ok {
		return false
	}
	switch v := v.(type) {
	case int32:
		return transformed(tr, v).(int32) > v
	case int64:
		return transformed(tr, v).(int64) > v
	}
	return false
}

func least(v any) any {
	if _, ok := v.(int32); ok {
		return int32(math.MinInt32)
	}
	return int64(math.MinInt64)
}

func literalOf(v any) iceberg.Literal {
	switch v := v.(type) {
	case bool:
		return iceberg.NewLiteral(v)
	case int32:
		return iceberg.NewLiteral(v)
	case int64:
		return iceberg.NewLiteral(v)
	case float32:
		return iceberg.NewLiteral(v)
	case float64:
		return iceberg.NewLiteral(v)
	case iceberg.Date:
		return iceberg.NewLiteral(v)
	case iceberg.Time:
		return iceberg.NewLiteral(v)
	case iceberg.Timestamp:
		return iceberg.NewLiteral(v)
	case iceberg.TimestampNano:
		return iceberg.NewLiteral(v)
	case iceberg.Decimal:
		return iceberg.NewLiteral(v)
	case string:
		return iceberg.NewLiteral(v)
	case []byte:
		return iceberg.NewLiteral(v)
	case uuid.UUID:
		return iceberg.NewLiteral(v)
	}
	panic(fmt.Sprintf("%T", v))
}

// record makes the Arrow batch of rows, sliced out of a longer one so that offsets matter.
func record(t interface{ Fatal(...any) }, mem memory.Allocator, rows []modelRow) arrow.RecordBatch {
	schema, err := table.SchemaToArrowSchema(modelSchema, nil, true, false)
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(mem, schema)
	defer b.Release()
	for _, r := range append([]modelRow{{}, {1: int64(5)}, {16: true}}, rows...) {
		for i, f := range modelSchema.Fields() {
			if f.ID == 16 {
				s := b.Field(i).(*array.StructBuilder)
				if s.Append(r[16] != nil); r[16] != nil {
					appendValue(s.FieldBuilder(0), r[17])
				}
				continue
			}
			appendValue(b.Field(i), r[f.ID])
		}
	}
	whole := b.NewRecordBatch()
	defer whole.Release()
	return whole.NewSlice(3, whole.NumRows())
}

func appendValue(b array.Builder, v any) {
	if v == nil {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.Int32Builder:
		b.Append(v.(int32))
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.Float32Builder:
		b.Append(v.(float32))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *array.Decimal128Builder:
		b.Append(v.(iceberg.Decimal).Val)
	case *array.Date32Builder:
		b.Append(arrow.Date32(v.(iceberg.Date)))
	case *array.Time64Builder:
		b.Append(arrow.Time64(v.(iceberg.Time)))
	case *array.TimestampBuilder:
		if ns, ok := v.(iceberg.TimestampNano); ok {
			b.Append(arrow.Timestamp(ns))
		} else {
			b.Append(arrow.Timestamp(v.(iceberg.Timestamp)))
		}
	case *array.StringBuilder:
		b.Append(v.(string))
	case *array.BinaryBuilder:
		b.Append(v.([]byte))
	case *array.FixedSizeBinaryBuilder:
		b.Append(v.([]byte))
	case *extensions.UUIDBuilder:
		b.Append(v.(uuid.UUID))
	default:
		panic(fmt.Sprintf("%T", b))
	}
}

// modelFile is a data file of rows that share a partition.
type modelFile struct {
	iceberg.DataFile
	rows         []modelRow
	partition    map[int]any
	lower, upper map[int][]byte
	nulls, nans  map[int]int64
}

func (f *modelFile) Count() int64                     { return int64(len(f.rows)) }
func (f *modelFile) Partition() map[int]any           { return f.partition }
func (f *modelFile) LowerBoundValues() map[int][]byte { return f.lower }
func (f *modelFile) UpperBoundValues() map[int][]byte { return f.upper }
func (f *modelFile) NullValueCounts() map[int]int64   { return f.nulls }
func (f *modelFile) NaNValueCounts() map[int]int64    { return f.nans }

func drawSpec(t *rapid.T) iceberg.PartitionSpec {
	var fields []iceberg.PartitionField
	for i := range rapid.IntRange(0, 2).Draw(t, "fields") {
		id := drawColumn(t)
		tr, ok := drawTransform(t, id)
		if k := rapid.IntRange(0, 5).Draw(t, "transform"); k == 0 {
			tr = iceberg.VoidTransform{}
		} else if k < 3 || !ok {
			tr = iceberg.IdentityTransform{}
		}
		fields = append(fields, field(1000+i, id, fmt.Sprintf("p%d", i), tr))
	}
	return iceberg.NewPartitionSpecID(1, fields...)
}

func partitionOf(spec iceberg.PartitionSpec, r modelRow) Partition {
	values := map[int]any{}
	for _, f := range spec.Fields() {
		if _, void := f.Transform.(iceberg.VoidTransform); void {
			values[f.FieldID] = nil
			continue
		}
		values[f.FieldID] = transformed(f.Transform, r[f.SourceID()])
	}
	return NewPartition(spec, modelSchema, values)
}

// drawFile gives rows their metrics, each column's drawn to be there, truncated, or missing.
func drawFile(t *rapid.T, p Partition, rows []modelRow) *modelFile {
	f := &modelFile{rows: rows, partition: p.Values, lower: map[int][]byte{}, upper: map[int][]byte{}, nulls: map[int]int64{}, nans: map[int]int64{}}
	for _, id := range sampled() {
		has := rapid.IntRange(0, 7).Draw(t, "metrics")
		var nulls, nans int64
		var lo, hi any
		for _, r := range rows {
			v := r[id]
			switch {
			case v == nil:
				nulls++
			case isNaN(v):
				nans++
			default:
				if lo == nil || order(v, lo) < 0 {
					lo = v
				}
				if hi == nil || order(v, hi) > 0 {
					hi = v
				}
			}
		}
		if has == 0 {
			continue
		}
		if has > 1 {
			f.nulls[id] = nulls
			if id == 4 || id == 5 {
				f.nans[id] = nans
			}
		}
		if has > 2 && lo != nil {
			width := 100
			if has == 7 {
				width = 1
			}
			f.lower[id] = bound(lo, width, false)
			f.upper[id] = bound(hi, width, true)
			if f.upper[id] == nil {
				delete(f.upper, id)
			}
		}
	}
	return f
}

// bound serializes a bound, cut to width characters; an upper one is then moved up.
func bound(v any, width int, upper bool) []byte {
	switch v := v.(type) {
	case string:
		head := []rune(v)
		if len(head) <= width {
			return []byte(v)
		}
		if head = head[:width]; upper {
			for len(head) > 0 {
				if r := head[len(head)-1] + 1; r <= utf8.MaxRune && utf8.ValidRune(r) {
					head[len(head)-1] = r
					break
				}
				head = head[:len(head)-1]
			}
			if len(head) == 0 {
				return nil
			}
		}
		return []byte(string(head))
	case []byte:
		if len(v) <= width {
			return v
		}
		head := slices.Clone(v[:width])
		if upper {
			for len(head) > 0 && head[len(head)-1] == 0xff {
				head = head[:len(head)-1]
			}
			if len(head) == 0 {
				return nil
			}
			head[len(head)-1]++
		}
		return head
	}
	b, err := literalOf(v).MarshalBinary()
	if err != nil {
		panic(err)
	}
	return b
}

// TestModel: a slice selects the rows that SQL would, before and after its canonical form; a
// file that it covers wholly has all rows inside, one that it does not cover has none, a
// manifest that it skips has no file with a row inside; and a partition is the condition that
// its rows, and no others, meet.
func TestModel(t *testing.T) {
	var proven [3]int
	skipped := 0
	rapid.Check(t, func(t *rapid.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		rows := rapid.SliceOfN(rapid.Custom(drawRow), 1, 80).Draw(t, "rows")
		if rapid.Bool().Draw(t, "alike") { // files of a few different rows are the provable ones
			for i := range rows {
				rows[i] = rows[i%2%len(rows)]
			}
		}
		rec := record(t, mem, rows)
		defer func() {
			rec.Release()
			mem.AssertSize(t, 0)
		}()
		spec := drawSpec(t)
		groups := map[string][]modelRow{}
		partitions := map[string]Partition{}
		for _, r := range rows {
			p := partitionOf(spec, r)
			groups[p.Key] = append(groups[p.Key], r)
			partitions[p.Key] = p
		}
		checkPartitions(t, mem, spec, groups, partitions)

		for range 8 {
			cond := drawCondition(t, 2)
			s, err := Parse(cond.text, modelSchema, nil)
			if err != nil {
				trivial(t, cond, rows, err)
				continue
			}
			sel, err := s.Rows(rec)
			if err != nil {
				t.Fatal(err)
			}
			count := 0
			for i, r := range rows {
				want := cond.eval(r) == yes
				if want {
					count++
				}
				if got := sel == nil || sel.Inside(i); got != want {
					t.Fatalf("%s (%s): row %v is inside: %v, want %v", cond.text, s, r, got, want)
				}
			}
			if (sel == nil) != (count == len(rows)) {
				t.Fatalf("%d of %d rows are inside and the selection is nil: %v", count, len(rows), sel == nil)
			}
			if sel != nil && (sel.Count() != count || len(sel.AppendRows(nil)) != count || sel.Inside(sel.FirstOutside())) {
				t.Fatalf("count %d, rows %v, first outside %d; want %d rows", sel.Count(), sel.AppendRows(nil), sel.FirstOutside(), count)
			}
			again, err := Parse(s.String(), modelSchema, nil)
			if err != nil || again.String() != s.String() {
				t.Fatalf("%s reads back as %v, %v", s, again, err)
			}
			held := false
			for _, key := range slices.Sorted(maps.Keys(groups)) {
				group := groups[key]
				f := drawFile(t, partitions[key], group)
				n := 0
				for _, r := range group {
					if cond.eval(r) == yes {
						n++
					}
				}
				held = held || n > 0
				c := s.File(f, spec, modelSchema)
				proven[c]++
				if c == All && n != len(group) || c == None && n != 0 {
					t.Fatalf("%s (%s): cover %s, but %d of %d rows are inside: %v; lower %v upper %v", cond.text, s, c, n, len(group), group, f.lower, f.upper)
				}
			}
			if !s.Manifest(manifest(spec, partitions), spec, modelSchema) {
				skipped++
				if held {
					t.Fatalf("%s (%s) skips a manifest that has rows", cond.text, s)
				}
			}
		}
	})
	t.Logf("files: %d covered, %d not covered, %d undecided; %d manifests skipped", proven[All], proven[None], proven[Some], skipped)
	if proven[All] == 0 || proven[None] == 0 || skipped == 0 {
		t.Error("nothing was proven")
	}
}

// trivial: only conditions that hold for all rows or none are refused.
func trivial(t *rapid.T, cond condition, rows []modelRow, err error) {
	e := err.(*Error)
	for _, r := range rows {
		switch got := cond.eval(r) == yes; {
		case e.Problem == "every row is inside" && got:
		case e.Problem == "no row can be inside" && !got:
		default:
			t.Fatalf("%s: %v, but row %v says %v", cond.text, err, r, got)
		}
	}
}

func checkPartitions(t *rapid.T, mem memory.Allocator, spec iceberg.PartitionSpec, groups map[string][]modelRow, partitions map[string]Partition) {
	m := manifest(spec, partitions)
	var all []Partition
	for key, p := range partitions {
		all = append(all, p)
		if !MayHold(m, p, spec, modelSchema) {
			t.Fatalf("partition %s is not found in its manifest", p.Path)
		}
		s, exact := OfPartition(p, spec, modelSchema)
		for other, group := range groups {
			rec := record(t, mem, group)
			sel, err := s.Rows(rec)
			rec.Release()
			if err != nil {
				t.Fatal(err)
			}
			if other == key && sel != nil {
				t.Fatalf("%s (%s): row %d of its own is outside: %v", p.Path, s, sel.FirstOutside(), group)
			}
			if other != key && exact && !zeros(groups[key], group) && (sel == nil || sel.Count() > 0) {
				t.Fatalf("%s (%s) holds rows of %s: %v", p.Path, s, partitions[other].Path, group)
			}
		}
	}
	hull := Hull(all, spec, modelSchema)
	for _, group := range groups {
		rec := record(t, mem, group)
		if sel, err := hull.Rows(rec); err != nil || sel != nil {
			t.Fatalf("%s leaves rows out, %v", hull, err)
		}
		rec.Release()
	}
}

// zeros tells whether rows differ by the sign of a zero, which partitions tell apart and
// conditions do not.
func zeros(a, b []modelRow) bool {
	zero := func(rows []modelRow) bool {
		for _, r := range rows {
			if f, ok := r[4].(float32); ok && f == 0 {
				return true
			}
			if f, ok := r[5].(float64); ok && f == 0 {
				return true
			}
		}
		return false
	}
	return zero(a) && zero(b)
}

// manifest lists the partitions, with summaries as iceberg-go writes them: null bounds for
// empty strings.
func manifest(spec iceberg.PartitionSpec, partitions map[string]Partition) iceberg.ManifestFile {
	var sums []iceberg.FieldSummary
	for _, f := range spec.Fields() {
		sum := iceberg.FieldSummary{ContainsNaN: new(bool)}
		var lo, hi any
		for _, p := range partitions {
			v := p.Values[f.FieldID]
			switch {
			case v == nil:
				sum.ContainsNull = true
			case isNaN(v):
				*sum.ContainsNaN = true
			default:
				if lo == nil || order(v, lo) < 0 {
					lo = v
				}
				if hi == nil || order(v, hi) > 0 {
					hi = v
				}
			}
		}
		if lo != nil {
			lower, _ := literalOf(lo).MarshalBinary()
			upper, _ := literalOf(hi).MarshalBinary()
			sum.LowerBound, sum.UpperBound = &lower, &upper
		}
		sums = append(sums, sum)
	}
	return iceberg.NewManifestFile(2, "m.avro", 1, int32(spec.ID()), 1).Partitions(sums).Build()
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"event_date=2024-01-15", "ts >= '2024-01-15' and ts < '2024-01-16'", "region in (a, 'b''c')", "not (n=1 or id is null)",
		"id_bucket=3, region like 'x%'", "\"odd name\" not in ('')", "u = 123e4567-e89b-12d3-a456-426614174000", "b > x'00ff'",
		"amount between -1.5 and 2", "d <= nan", "truncate(3, region) >= abc", "ts_year < 9999", "at <= 23:59:59.999999", "f > 1e-40",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, expr string) { readsBack(t, expr) })
}

// TestParseNoise: what FuzzParse checks, on sentences of the language's words in any order.
func TestParseNoise(t *testing.T) {
	words := []string{
		"n", "id", "region", "ts", "tz", "d", "f", "amount", "b", "u", "at", "event_date", "ok", "fx", "geo.country", "\"odd name\"", "id_bucket", "ts_day",
		"month(event_date)", "truncate(2, region)", "bucket(3, n)", "=", "!=", "<", ">=", "<>", "in", "not", "and", "or", "is", "null", "between", "like",
		"(", ")", ",", "starts_with(", "1", "-5", "2024-01-15", "'2024-01-15 10:00'", "'a''b'", "'x%'", "''", "x'00ff'", "true", "nan", "-inf", "1.25",
		"'\x00'", "'\u00fc'", "0x", "'", "\"", ".", "-0", "1e309", "99999999999999999999",
	}
	accepted := 0
	rapid.Check(t, func(rt *rapid.T) {
		var expr string
		for range 100 {
			expr = strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 1, 9).Draw(rt, "words"), " ")
			if readsBack(rt, expr) {
				accepted++
			}
		}
	})
	if accepted == 0 {
		t.Error("no sentence was accepted")
	}
}

// readsBack checks that a canonical form is canonical, and tells whether expr is an expression.
func readsBack(t interface{ Fatalf(string, ...any) }, expr string) bool {
	schema := wide()
	s, err := Parse(expr, schema, nil, wideSpec())
	if err != nil {
		_ = err.Error()
		return false
	}
	again, err := Parse(s.String(), schema, nil)
	if err != nil {
		t.Fatalf("%q: its canonical form: %v", expr, err)
	}
	if again.String() != s.String() {
		t.Fatalf("%q: its canonical form %q is read as %q", expr, s, again)
	}
	return true
}
