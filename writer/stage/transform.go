package stage

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/twmb/murmur3"
)

// values are the results of a transform over a batch, one per row: words for types that fit
// 64 bits, texts for the others. null marks rows without a result; nil where all have one.
type values struct {
	words []int64
	texts [][]byte
	null  []bool
}

// transformer computes one partition or sort field over whole batches. Its results are those
// of iceberg-go's Transform.Apply; they are in words where wide is false, else in texts.
// Decimals are texts of 16 bytes, big-endian two's complement.
type transformer struct {
	source    int // field id
	path      []int
	typ       iceberg.Type
	transform iceberg.Transform
	wide      bool
	result    iceberg.Type

	out  values
	pool []byte
}

func newTransformer(schema *iceberg.Schema, source int, tr iceberg.Transform) (*transformer, error) {
	f, ok := schema.FindFieldByID(source)
	if !ok {
		return nil, fmt.Errorf("%w: %s of field %d, which the schema lacks", ErrUnsupported, tr, source)
	}
	if !tr.CanTransform(f.Type) {
		return nil, fmt.Errorf("%w: %s of column %q, which is of type %s", ErrUnsupported, tr, f.Name, f.Type)
	}
	t := &transformer{source: source, typ: f.Type, transform: tr, result: tr.ResultType(f.Type)}
	switch tr.(type) {
	case iceberg.IdentityTransform, iceberg.BucketTransform, iceberg.TruncateTransform, iceberg.VoidTransform,
		iceberg.YearTransform, iceberg.MonthTransform, iceberg.DayTransform, iceberg.HourTransform:
	default:
		return nil, fmt.Errorf("%w: transform %s of column %q", ErrUnsupported, tr, f.Name)
	}
	if t.path = pathTo(schema.Fields(), source); t.path == nil {
		return nil, fmt.Errorf("%w: %s of column %q, which lies in a list or map", ErrUnsupported, tr, f.Name)
	}
	switch t.result.(type) {
	case iceberg.StringType, iceberg.BinaryType, iceberg.FixedType, iceberg.UUIDType, iceberg.DecimalType:
		t.wide = true
	}
	return t, nil
}

// pathTo is the position of a field in its schema and in each struct on the way down.
func pathTo(fields []iceberg.NestedField, id int) []int {
	for i, f := range fields {
		if f.ID == id {
			return []int{i}
		}
		if st, ok := f.Type.(*iceberg.StructType); ok {
			if p := pathTo(st.FieldList, id); p != nil {
				return append([]int{i}, p...)
			}
		}
	}
	return nil
}

// apply computes the field for every row of rec. The result is valid until the next call and
// may refer to rec's memory.
func (t *transformer) apply(rec arrow.RecordBatch) values {
	n := int(rec.NumRows())
	arr := rec.Column(t.path[0])
	t.out = values{words: t.out.words[:0], texts: t.out.texts[:0], null: t.out.null[:0]}
	t.markNulls(arr, n)
	for _, i := range t.path[1:] {
		arr = arr.(*array.Struct).Field(i)
		t.markNulls(arr, n)
	}
	if _, void := t.transform.(iceberg.VoidTransform); void {
		t.out.null = growTo(t.out.null, n)
		for i := range t.out.null {
			t.out.null[i] = true
		}
		t.out.words, t.out.texts = growTo(t.out.words, n), growTo(t.out.texts, n)
		return t.hidden()
	}
	t.load(arr, n)
	t.compute()
	return t.hidden()
}

// hidden hides unused slices, so that nil null means what values says.
func (t *transformer) hidden() values {
	v := t.out
	if len(v.null) == 0 {
		v.null = nil
	}
	return v
}

func (t *transformer) markNulls(arr arrow.Array, n int) {
	if arr.NullN() == 0 {
		return
	}
	if len(t.out.null) == 0 {
		t.out.null = growTo(t.out.null, n)
		clear(t.out.null)
	}
	for i := range n {
		if arr.IsNull(i) {
			t.out.null[i] = true
		}
	}
}

func growTo[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// load copies the source values to words, or points texts at them.
func (t *transformer) load(arr arrow.Array, n int) {
	if ext, ok := arr.(array.ExtensionArray); ok {
		arr = ext.Storage()
	}
	words := func() []int64 {
		t.out.words = growTo(t.out.words, n)
		return t.out.words
	}
	texts := func() [][]byte {
		t.out.texts = growTo(t.out.texts, n)
		return t.out.texts
	}
	switch a := arr.(type) {
	case *array.Boolean:
		for i, w := 0, words(); i < n; i++ {
			w[i] = 0
			if a.Value(i) {
				w[i] = 1
			}
		}
	case *array.Int32:
		widen(words(), a.Int32Values())
	case *array.Int64:
		widen(words(), a.Int64Values())
	case *array.Date32:
		widen(words(), a.Date32Values())
	case *array.Time64:
		widen(words(), a.Time64Values())
	case *array.Timestamp:
		widen(words(), a.TimestampValues())
	case *array.Float32:
		for i, w := 0, words(); i < n; i++ {
			w[i] = int64(math.Float32bits(a.Value(i)))
			if v := a.Value(i); v != v {
				w[i] = int64(math.Float32bits(float32(math.NaN())))
			}
		}
	case *array.Float64:
		for i, w := 0, words(); i < n; i++ {
			w[i] = int64(math.Float64bits(a.Value(i)))
			if v := a.Value(i); v != v {
				w[i] = int64(math.Float64bits(math.NaN()))
			}
		}
	case *array.Decimal128:
		t.pool = growTo(t.pool, 16*n)
		for i, w := 0, texts(); i < n; i++ {
			w[i] = t.pool[16*i : 16*i+16]
			putDecimal(w[i], a.Value(i))
		}
	case *array.Decimal64:
		t.pool = growTo(t.pool, 16*n)
		for i, w := 0, texts(); i < n; i++ {
			w[i] = t.pool[16*i : 16*i+16]
			putDecimal(w[i], decimal128.FromI64(int64(a.Value(i))))
		}
	case *array.String:
		off, data := a.ValueOffsets(), a.ValueBytes()
		for i, w := 0, texts(); i < n; i++ {
			w[i] = data[off[i]-off[0] : off[i+1]-off[0]]
		}
	case *array.Binary:
		off, data := a.ValueOffsets(), a.ValueBytes()
		for i, w := 0, texts(); i < n; i++ {
			w[i] = data[off[i]-off[0] : off[i+1]-off[0]]
		}
	case *array.FixedSizeBinary:
		for i, w := 0, texts(); i < n; i++ {
			w[i] = a.Value(i)
		}
	default:
		// A batch has the types of its schema, and newTransformer has seen those.
		panic(fmt.Sprintf("stage: transform of Arrow type %s", arr.DataType()))
	}
}

func widen[T ~int32 | ~int64](dst []int64, src []T) {
	for i, v := range src {
		dst[i] = int64(v)
	}
}

func putDecimal(dst []byte, v decimal128.Num) {
	binary.BigEndian.PutUint64(dst, uint64(v.HighBits()))
	binary.BigEndian.PutUint64(dst[8:], v.LowBits())
}

func getDecimal(src []byte) decimal128.Num {
	return decimal128.New(int64(binary.BigEndian.Uint64(src)), binary.BigEndian.Uint64(src[8:]))
}

const (
	microsPerHour = 3_600_000_000
	microsPerDay  = 24 * microsPerHour
)

// compute replaces the source values in out by the results.
func (t *transformer) compute() {
	w := t.out.words
	switch tr := t.transform.(type) {
	case iceberg.BucketTransform:
		t.bucket(int32(tr.NumBuckets))
	case iceberg.TruncateTransform:
		t.truncate(tr.Width)
	case iceberg.HourTransform:
		floorDiv(w, t.unitsPer(microsPerHour))
	case iceberg.DayTransform:
		t.toDays()
	case iceberg.MonthTransform:
		t.toDays()
		for i, d := range w {
			y, m := civil(d)
			w[i] = (y-1970)*12 + m - 1
		}
	case iceberg.YearTransform:
		t.toDays()
		for i, d := range w {
			y, _ := civil(d)
			w[i] = y - 1970
		}
	}
}

// unitsPer converts microseconds to the units of the source type.
func (t *transformer) unitsPer(micros int64) int64 {
	switch t.typ.(type) {
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return micros * 1000
	}
	return micros
}

func (t *transformer) toDays() {
	if _, date := t.typ.(iceberg.DateType); !date {
		floorDiv(t.out.words, t.unitsPer(microsPerDay))
	}
}

func floorDiv(w []int64, by int64) {
	for i, v := range w {
		q := v / by
		if v%by < 0 {
			q--
		}
		w[i] = q
	}
}

// civil returns the year and the month, from 1, of a day counted from 1970-01-01, in the
// proleptic Gregorian calendar. Years are counted from March 1st, in eras of 400 years, so
// that leap days come last.
func civil(day int64) (year, month int64) {
	const era = 146097
	day += 719468
	e := day / era
	if day%era < 0 {
		e--
	}
	doe := day - e*era
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	year, month = yoe+e*400, mp+3
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month
}

func (t *transformer) bucket(n int32) {
	out := t.out
	if len(out.texts) > 0 {
		_, decimal := t.typ.(iceberg.DecimalType)
		t.out.words = growTo(t.out.words, len(out.texts))
		for i, b := range out.texts {
			if decimal {
				b = minimalDecimal(b)
			}
			t.out.words[i] = int64(int32(murmur3.Sum32(b)&math.MaxInt32) % n)
		}
		t.out.texts = t.out.texts[:0]
		return
	}
	switch t.typ.(type) {
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		floorDiv(out.words, 1000) // hashed as microseconds
	}
	for i, v := range out.words {
		out.words[i] = int64(int32(murmur64(uint64(v))&math.MaxInt32) % n)
	}
}

// murmur64 is the 32-bit x86 murmur3 of the 8 little-endian bytes of v.
func murmur64(v uint64) uint32 {
	var h uint32
	for _, k := range [2]uint32{uint32(v), uint32(v >> 32)} {
		k = bits.RotateLeft32(k*0xcc9e2d51, 15) * 0x1b873593
		h = bits.RotateLeft32(h^k, 13)*5 + 0xe6546b64
	}
	h ^= 8
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

// minimalDecimal leaves out redundant leading sign bytes.
func minimalDecimal(b []byte) []byte {
	for len(b) > 1 && ((b[0] == 0 && b[1] < 0x80) || (b[0] == 0xff && b[1] >= 0x80)) {
		b = b[1:]
	}
	return b
}

func (t *transformer) truncate(width int) {
	switch t.typ.(type) {
	case iceberg.Int32Type:
		w := int32(width)
		for i, v := range t.out.words {
			x := int32(v)
			t.out.words[i] = int64(x - floorMod(x, w))
		}
	case iceberg.Int64Type:
		for i, v := range t.out.words {
			t.out.words[i] = v - floorMod(v, int64(width))
		}
	case iceberg.StringType:
		for i, b := range t.out.texts {
			t.out.texts[i] = prefix(b, width)
		}
	case iceberg.BinaryType:
		for i, b := range t.out.texts {
			t.out.texts[i] = b[:min(width, len(b))]
		}
	case iceberg.DecimalType:
		w := decimal128.FromI64(int64(width))
		for _, b := range t.out.texts {
			v := getDecimal(b)
			_, rem := v.Div(w)
			if rem.Sign() < 0 {
				rem = rem.Add(w)
			}
			putDecimal(b, v.Sub(rem))
		}
	}
}

func floorMod[T int32 | int64](v, w T) T {
	m := v % w
	if m < 0 {
		m += w
	}
	return m
}

// prefix is the first n code points of b.
func prefix(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	at := 0
	for range n {
		if at >= len(b) {
			return b
		}
		_, size := utf8.DecodeRune(b[at:])
		at += size
	}
	return b[:at]
}

// value is the result for one row as manifests hold it.
func (t *transformer) value(word int64, text []byte) any {
	switch typ := t.result.(type) {
	case iceberg.BooleanType:
		return word != 0
	case iceberg.Int32Type:
		return int32(word)
	case iceberg.Int64Type:
		return word
	case iceberg.Float32Type:
		return math.Float32frombits(uint32(word))
	case iceberg.Float64Type:
		return math.Float64frombits(uint64(word))
	case iceberg.DateType:
		return iceberg.Date(word)
	case iceberg.TimeType:
		return iceberg.Time(word)
	case iceberg.TimestampType, iceberg.TimestampTzType:
		return iceberg.Timestamp(word)
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return iceberg.TimestampNano(word)
	case iceberg.StringType:
		return string(text)
	case iceberg.BinaryType, iceberg.FixedType:
		return append([]byte{}, text...)
	case iceberg.UUIDType:
		return uuid.UUID(text)
	case iceberg.DecimalType:
		return iceberg.Decimal{Val: getDecimal(text), Scale: typ.Scale()}
	}
	return nil // void of a type that cannot be a partition value otherwise
}
