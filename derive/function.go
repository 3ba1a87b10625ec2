package derive

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
)

// Function is one that expressions may call.
type Function struct {
	Name string
	// Form shows how it is called, Text says what it gives: for the documents and for hints.
	Form, Text  string
	least, most int // arguments
	bind        func(b *binder, c call, args []node) (node, error)
}

const many = math.MaxInt

// Functions are all there are.
var Functions []Function

func init() { // they call one another by way of the table
	Functions = []Function{
		{"hash", "hash(a, b, …)", "a key of 32 hexadecimal digits, from values of any primitive types: the first half of a SHA-256. Null is a value; the result never is null.", 1, many, bindHash},
		{"date", "date(ts, 'Europe/Berlin')", "the day of a timestamptz in a time zone, which must be named; of a timestamp, which has none, without a zone.", 1, 2, bindDate},
		{"lower", "lower(text)", "the text in lower case, each character by itself (Unicode's simple mapping), in no language's way.", 1, 1, bindText("lower", strings.ToLower)},
		{"trim", "trim(text)", "the text without white space at its ends, Unicode's White_Space.", 1, 1, bindText("trim", strings.TrimSpace)},
		{"concat", "concat(a, b, …)", "the texts one after the other; null where one of them is.", 1, many, bindConcat},
		{"cast", "cast(a as decimal(12, 2))", "the value in another type, exactly: texts are read as CSV fields are, and a value that does not fit is a bad row.", 1, 1, bindCast},
		{"source_file", "source_file()", "the name of the file that the row is from.", 0, 0, bindSourceFile},
		{"source_row", "source_row()", "the number of the row in its file, from 1, a CSV header not counted.", 0, 0, bindSourceRow},
	}
}

// node is a bound expression: its type is known.
type node struct {
	typ   iceberg.Type
	text  *string // of a text literal
	array func(*rows) arrow.Array
}

func isText(t iceberg.Type) bool { _, ok := t.(iceberg.StringType); return ok }

func texts(name string, args []node) error {
	for _, a := range args {
		if !isText(a.typ) {
			return wrong("say cast(… as string)", "%s() takes texts, and one of its arguments is %s", name, arrowconv.FormatType(a.typ))
		}
	}
	return nil
}

func bindText(name string, f func(string) string) func(*binder, call, []node) (node, error) {
	return func(_ *binder, _ call, args []node) (node, error) {
		if err := texts(name, args); err != nil {
			return node{}, err
		}
		return node{typ: iceberg.PrimitiveTypes.String, array: func(r *rows) arrow.Array {
			in := args[0].array(r).(*array.String)
			defer in.Release()
			return r.strings(func(i int) (string, bool) {
				if in.IsNull(i) {
					return "", false
				}
				return f(in.Value(i)), true
			})
		}}, nil
	}
}

func bindConcat(_ *binder, _ call, args []node) (node, error) {
	if err := texts("concat", args); err != nil {
		return node{}, err
	}
	return node{typ: iceberg.PrimitiveTypes.String, array: func(r *rows) arrow.Array {
		in := r.all(args)
		defer release(in)
		var b strings.Builder
		return r.strings(func(i int) (string, bool) {
			b.Reset()
			for _, a := range in {
				if a.IsNull(i) {
					return "", false
				}
				b.WriteString(a.(*array.String).Value(i))
			}
			return b.String(), true
		})
	}}, nil
}

func bindCast(b *binder, c call, args []node) (node, error) {
	conv, err := arrowconv.NewConversion(args[0].typ, iceberg.NestedField{Name: b.column, Type: c.to}, b.texts.Zone, b.texts.point())
	if err != nil {
		return node{}, wrong("", "cast(): %v", err)
	}
	return node{typ: c.to, array: func(r *rows) arrow.Array {
		in := args[0].array(r)
		defer in.Release()
		return r.convert(conv, in)
	}}, nil
}

func bindSourceFile(*binder, call, []node) (node, error) {
	return node{typ: iceberg.PrimitiveTypes.String, array: func(r *rows) arrow.Array {
		return r.strings(func(int) (string, bool) { return r.batch.Source, true })
	}}, nil
}

func bindSourceRow(*binder, call, []node) (node, error) {
	return node{typ: iceberg.PrimitiveTypes.Int64, array: func(r *rows) arrow.Array {
		b := array.NewInt64Builder(r.alloc)
		defer b.Release()
		b.AppendValues(r.numbers(), nil)
		return b.NewArray()
	}}, nil
}

func bindDate(_ *binder, _ call, args []node) (node, error) {
	var zone *time.Location
	if len(args) == 2 {
		if args[1].text == nil {
			return node{}, wrong("write date(ts, 'Europe/Berlin')", "date(): the zone is a text in single quotes")
		}
		var err error
		if *args[1].text == "" || *args[1].text == "Local" {
			return node{}, wrong("use a name such as Europe/Berlin or UTC", "date(): unknown time zone %q", *args[1].text)
		}
		if zone, err = time.LoadLocation(*args[1].text); err != nil {
			return node{}, wrong("use a name such as Europe/Berlin or UTC", "date(): unknown time zone %q", *args[1].text)
		}
	}
	unit, zoned := int64(1e6), false
	switch args[0].typ.(type) {
	case iceberg.TimestampType:
	case iceberg.TimestampNsType:
		unit = 1e9
	case iceberg.TimestampTzType:
		zoned = true
	case iceberg.TimestampTzNsType:
		unit, zoned = 1e9, true
	case iceberg.StringType:
		return node{}, wrong("say date(cast(… as timestamptz), 'UTC'), or cast(… as date) where the text is a day", "date() takes a timestamp, and its argument is string")
	default:
		return node{}, wrong("", "date() takes a timestamp, and its argument is %s", arrowconv.FormatType(args[0].typ))
	}
	switch {
	case zoned && zone == nil:
		return node{}, wrong("write date(ts, 'Europe/Berlin'), or 'UTC'", "date(): a timestamptz has a day only in a time zone")
	case !zoned && zone != nil:
		return node{}, wrong("leave the zone out", "date(): a timestamp without a zone is a local time already")
	}
	return node{typ: iceberg.PrimitiveTypes.Date, array: func(r *rows) arrow.Array {
		in := args[0].array(r).(*array.Timestamp)
		defer in.Release()
		b := array.NewDate32Builder(r.alloc)
		defer b.Release()
		b.Reserve(in.Len())
		for i := range in.Len() {
			if in.IsNull(i) {
				b.AppendNull()
				continue
			}
			sec := floor(int64(in.Value(i)), unit)
			if zone != nil {
				_, offset := time.Unix(sec, 0).In(zone).Zone()
				sec += int64(offset)
			}
			b.Append(arrow.Date32(floor(sec, 86400)))
		}
		return b.NewArray()
	}}, nil
}

func floor(v, by int64) int64 {
	q := v / by
	if v%by < 0 {
		q--
	}
	return q
}

func bindHash(_ *binder, _ call, args []node) (node, error) {
	encoders := make([]func(arrow.Array, int, []byte) []byte, len(args))
	for n, a := range args {
		if encoders[n] = encoder(a.typ); encoders[n] == nil {
			return node{}, wrong("hash the columns that tell rows apart", "hash() takes values of primitive types, and one of its arguments is %s", arrowconv.FormatType(a.typ))
		}
	}
	return node{typ: iceberg.PrimitiveTypes.String, array: func(r *rows) arrow.Array {
		in := r.all(args)
		defer release(in)
		var buf []byte
		var digits [32]byte
		return r.strings(func(i int) (string, bool) {
			buf = buf[:0]
			for n, a := range in {
				if a.IsNull(i) {
					buf = append(buf, 'n', 0, 0, 0, 0)
					continue
				}
				at := len(buf)
				buf = encoders[n](a, i, append(buf, 0, 0, 0, 0, 0))
				buf[at] = tagOf(args[n].typ)
				binary.BigEndian.PutUint32(buf[at+1:], uint32(len(buf)-at-5))
			}
			sum := sha256.Sum256(buf)
			hex.Encode(digits[:], sum[:16])
			return string(digits[:]), true
		})
	}}, nil
}

// tagOf is the letter of a type in what is hashed. Types that Iceberg may widen into one another have one, so that
// a key outlives the change.
func tagOf(t iceberg.Type) byte {
	switch t.(type) {
	case iceberg.BooleanType:
		return 'b'
	case iceberg.Int32Type, iceberg.Int64Type:
		return 'i'
	case iceberg.Float32Type, iceberg.Float64Type:
		return 'f'
	case iceberg.DecimalType:
		return 'd'
	case iceberg.DateType:
		return 'D'
	case iceberg.TimeType:
		return 'T'
	case iceberg.TimestampType:
		return 't'
	case iceberg.TimestampTzType:
		return 'z'
	case iceberg.TimestampNsType:
		return 'u'
	case iceberg.TimestampTzNsType:
		return 'v'
	case iceberg.StringType:
		return 's'
	case iceberg.UUIDType:
		return 'U'
	}
	return 'x'
}

// encoder appends the bytes of a value, in the one form that docs/derive.md gives it; nil for nested types. It is
// not to change, ever: keys in tables are made of it.
func encoder(t iceberg.Type) func(a arrow.Array, i int, to []byte) []byte {
	whole := func(get func(a arrow.Array, i int) int64) func(arrow.Array, int, []byte) []byte {
		return func(a arrow.Array, i int, to []byte) []byte {
			return binary.BigEndian.AppendUint64(to, uint64(get(a, i)))
		}
	}
	double := func(get func(a arrow.Array, i int) float64) func(arrow.Array, int, []byte) []byte {
		return func(a arrow.Array, i int, to []byte) []byte {
			bits := uint64(0x7ff8000000000000)
			if v := get(a, i); v == v {
				bits = math.Float64bits(v)
			}
			return binary.BigEndian.AppendUint64(to, bits)
		}
	}
	switch t.(type) {
	case iceberg.BooleanType:
		return func(a arrow.Array, i int, to []byte) []byte {
			if a.(*array.Boolean).Value(i) {
				return append(to, 1)
			}
			return append(to, 0)
		}
	case iceberg.Int32Type:
		return whole(func(a arrow.Array, i int) int64 { return int64(a.(*array.Int32).Value(i)) })
	case iceberg.Int64Type:
		return whole(func(a arrow.Array, i int) int64 { return a.(*array.Int64).Value(i) })
	case iceberg.Float32Type:
		return double(func(a arrow.Array, i int) float64 { return float64(a.(*array.Float32).Value(i)) })
	case iceberg.Float64Type:
		return double(func(a arrow.Array, i int) float64 { return a.(*array.Float64).Value(i) })
	case iceberg.DecimalType:
		return func(a arrow.Array, i int, to []byte) []byte {
			d := a.(*array.Decimal128)
			v := d.Value(i)
			to = append(to, byte(d.DataType().(*arrow.Decimal128Type).Scale))
			to = binary.BigEndian.AppendUint64(to, uint64(v.HighBits()))
			return binary.BigEndian.AppendUint64(to, v.LowBits())
		}
	case iceberg.DateType:
		return whole(func(a arrow.Array, i int) int64 { return int64(a.(*array.Date32).Value(i)) })
	case iceberg.TimeType:
		return whole(func(a arrow.Array, i int) int64 { return int64(a.(*array.Time64).Value(i)) })
	case iceberg.TimestampType, iceberg.TimestampTzType, iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return whole(func(a arrow.Array, i int) int64 { return int64(a.(*array.Timestamp).Value(i)) })
	case iceberg.StringType:
		return func(a arrow.Array, i int, to []byte) []byte { return append(to, a.(*array.String).Value(i)...) }
	case iceberg.BinaryType:
		return func(a arrow.Array, i int, to []byte) []byte { return append(to, a.(*array.Binary).Value(i)...) }
	case iceberg.FixedType, iceberg.UUIDType:
		return func(a arrow.Array, i int, to []byte) []byte {
			if ext, ok := a.(array.ExtensionArray); ok {
				a = ext.Storage()
			}
			return append(to, a.(*array.FixedSizeBinary).Value(i)...)
		}
	}
	return nil
}
