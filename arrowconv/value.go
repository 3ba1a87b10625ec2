package arrowconv

import (
	"encoding/hex"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
)

// fault says why a text is not a value of a type. The zero value means that it is one.
type fault uint8

const (
	faultNone fault = iota
	faultSyntax
	faultRange
	faultFraction
	faultFine
	faultFineNano
	faultDate
	faultClock
	faultYear
	faultOffset
	faultZoned
	faultGap
	faultUTF8
	faultLength
	faultHex
	faultNull
	faultBool
	faultComma
	faultNested
	faultInexact
	faultMidnight
	faultJSON
	faultKeyTwice
	faultDeep
	faultLarge
	faultCorrupt
)

// reasons are what a Reject says; an empty one adds nothing to "cannot read … as …".
var reasons = [...]string{
	faultNone:     "",
	faultSyntax:   "",
	faultRange:    "out of range",
	faultFraction: "it has more fraction digits than the type",
	faultFine:     "it is finer than a microsecond",
	faultFineNano: "it is finer than a nanosecond",
	faultDate:     "there is no such date",
	faultClock:    "there is no such time of day",
	faultYear:     "years go from 0001 to 9999",
	faultOffset:   "offsets from UTC go to 18:00",
	faultZoned:    "it has a zone, and the column has none",
	faultGap:      "there is no such local time: the clocks were put forward over it",
	faultUTF8:     "it is not valid UTF-8",
	faultLength:   "it has the wrong length",
	faultHex:      "it is not hexadecimal",
	faultNull:     "null in a required column",
	faultBool:     "the words are true, t, yes, y, 1 and false, f, no, n, 0",
	faultComma:    "the decimal mark is a comma",
	faultNested:   "text has no nested values",
	faultInexact:  "the type has no value that is exactly it",
	faultMidnight: "it is not a midnight",
	faultJSON:     "it is not JSON",
	faultKeyTwice: "a key comes twice in an object",
	faultDeep:     "it is nested more than 128 deep",
	faultLarge:    "it is too large: a variant has up to 16 MiB",
	faultCorrupt:  "it is a corrupt variant",
}

func (f fault) String() string { return reasons[f] }

// textParser appends the value that text spells to b, the builder of the Arrow type of the column, or
// says why there is none and appends nothing. text is not retained. Null is for the caller to see.
// A parser may keep a cache: it is for one goroutine.
type textParser func(text []byte, b array.Builder) fault

// newTextParser returns the parser of texts for t, any Iceberg primitive; docs/types.md has the
// rules. zone is that of texts without one for timestamptz; point is the decimal mark, '.' or ','.
// The text of a variant is JSON. Nested types and the geometries have no text form: an error that wraps ErrInput.
func newTextParser(t iceberg.Type, zone *time.Location, point byte) (textParser, error) {
	switch t := t.(type) {
	case iceberg.BooleanType:
		return func(text []byte, b array.Builder) fault {
			v, f := parseBool(text)
			if f == faultNone {
				b.(*array.BooleanBuilder).Append(v)
			}
			return f
		}, nil
	case iceberg.Int32Type:
		return func(text []byte, b array.Builder) fault {
			v, f := parseInt32(text, point)
			if f == faultNone {
				b.(*array.Int32Builder).Append(v)
			}
			return f
		}, nil
	case iceberg.Int64Type:
		return func(text []byte, b array.Builder) fault {
			v, f := parseInt64(text, point)
			if f == faultNone {
				b.(*array.Int64Builder).Append(v)
			}
			return f
		}, nil
	case iceberg.Float32Type:
		return func(text []byte, b array.Builder) fault {
			v, f := parseFloat32(text, point)
			if f == faultNone {
				b.(*array.Float32Builder).Append(v)
			}
			return f
		}, nil
	case iceberg.Float64Type:
		return func(text []byte, b array.Builder) fault {
			v, f := parseFloat64(text, point)
			if f == faultNone {
				b.(*array.Float64Builder).Append(v)
			}
			return f
		}, nil
	case iceberg.DecimalType:
		p, s := t.Precision(), t.Scale()
		return func(text []byte, b array.Builder) fault {
			v, f := parseDecimal(text, p, s, point)
			if f == faultNone {
				b.(*array.Decimal128Builder).Append(v)
			}
			return f
		}, nil
	case iceberg.DateType:
		return func(text []byte, b array.Builder) fault {
			v, f := parseDate(text)
			if f == faultNone {
				b.(*array.Date32Builder).Append(arrow.Date32(v))
			}
			return f
		}, nil
	case iceberg.TimeType:
		return func(text []byte, b array.Builder) fault {
			v, f := parseTime(text)
			if f == faultNone {
				b.(*array.Time64Builder).Append(arrow.Time64(v))
			}
			return f
		}, nil
	case iceberg.TimestampType:
		return timestampParser(&instants{unit: micros}), nil
	case iceberg.TimestampTzType:
		return timestampParser(&instants{unit: micros, zoned: true, zone: zone}), nil
	case iceberg.TimestampNsType:
		return timestampParser(&instants{unit: nanos}), nil
	case iceberg.TimestampTzNsType:
		return timestampParser(&instants{unit: nanos, zoned: true, zone: zone}), nil
	case iceberg.StringType:
		return func(text []byte, b array.Builder) fault {
			if !utf8.Valid(text) {
				return faultUTF8
			}
			b.(*array.StringBuilder).BinaryBuilder.Append(text)
			return faultNone
		}, nil
	case iceberg.UUIDType:
		return func(text []byte, b array.Builder) fault {
			v, f := parseUUID(text)
			if f == faultNone {
				b.(*extensions.UUIDBuilder).AppendBytes(v)
			}
			return f
		}, nil
	case iceberg.FixedType:
		n := t.Len()
		var buf []byte
		return func(text []byte, b array.Builder) fault {
			var f fault
			if buf, f = appendHex(buf[:0], text); f != faultNone {
				return f
			}
			if len(buf) != n {
				return faultLength
			}
			b.(*array.FixedSizeBinaryBuilder).Append(buf)
			return faultNone
		}, nil
	case iceberg.BinaryType:
		var buf []byte
		return func(text []byte, b array.Builder) fault {
			var f fault
			if buf, f = appendHex(buf[:0], text); f != faultNone {
				return f
			}
			b.(*array.BinaryBuilder).Append(buf)
			return faultNone
		}, nil
	case iceberg.VariantType:
		return variantParser(), nil
	case iceberg.UnknownType:
		return func([]byte, array.Builder) fault { return faultSyntax }, nil
	}
	return nil, inputErrorf("load it from Parquet", "values of type %s cannot be read from text", FormatType(t))
}

func timestampParser(z *instants) textParser {
	return func(text []byte, b array.Builder) fault {
		v, f := z.parse(text)
		if f == faultNone {
			b.(*array.TimestampBuilder).Append(arrow.Timestamp(v))
		}
		return f
	}
}

// readsAs says whether text spells a value of the primitive type t, with UTC as the zone.
func readsAs(t iceberg.Type, text string, point byte) bool {
	parse, err := newTextParser(t, time.UTC, point)
	if err != nil {
		return false
	}
	as, err := ArrowSchema(iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "v", Type: t}))
	if err != nil {
		return false
	}
	b := array.NewBuilder(memory.DefaultAllocator, as.Field(0).Type)
	defer b.Release()
	return parse([]byte(text), b) == faultNone
}

// trimSpace drops the spaces and tabs around a text. They mean nothing around a value that is not
// a string, and some programs pad their columns.
func trimSpace(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// parseBool reads true, t, yes, y, 1 and false, f, no, n, 0, in any case.
func parseBool(s []byte) (bool, fault) {
	var low [5]byte
	if len(s) > len(low) {
		if s = trimSpace(s); len(s) > len(low) {
			return false, faultBool
		}
	}
	for i, c := range s {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		low[i] = c
	}
	switch string(low[:len(s)]) {
	case "true", "t", "yes", "y", "1":
		return true, faultNone
	case "false", "f", "no", "n", "0":
		return false, faultNone
	}
	if t := trimSpace(s); len(t) < len(s) {
		return parseBool(t)
	}
	return false, faultBool
}

// parseUUID reads 32 hexadecimal digits, with the dashes of RFC 9562 or without any.
func parseUUID(s []byte) (u [16]byte, f fault) {
	if s = trimSpace(s); len(s) == 36 {
		var digits [32]byte
		n := 0
		for i, c := range s {
			if i == 8 || i == 13 || i == 18 || i == 23 {
				if c != '-' {
					return u, faultSyntax
				}
				continue
			}
			digits[n] = c
			n++
		}
		if _, err := hex.Decode(u[:], digits[:]); err != nil {
			return u, faultHex
		}
		return u, faultNone
	}
	if len(s) != 32 {
		return u, faultLength
	}
	if _, err := hex.Decode(u[:], s); err != nil {
		return u, faultHex
	}
	return u, faultNone
}

// appendHex appends the bytes that the hexadecimal digits of s spell. A leading 0x, or \x as Postgres
// writes, is allowed. Base64 is not: "abcd" is both, and a guess would corrupt in silence.
func appendHex(dst, s []byte) ([]byte, fault) {
	s = trimSpace(s)
	if len(s) >= 2 && (s[0] == '0' || s[0] == '\\') && (s[1] == 'x' || s[0] == '0' && s[1] == 'X') {
		s = s[2:]
	}
	n := len(dst)
	dst = append(dst, make([]byte, hex.DecodedLen(len(s)))...)
	if _, err := hex.Decode(dst[n:], s); err != nil {
		return dst[:n], faultHex
	}
	return dst, faultNone
}

// reject is the Reject of a value of column f; row is relative to whatever the caller counts from.
func (f fault) reject(row int64, column string, value []byte, want iceberg.Type) Reject {
	return Reject{Row: row, Column: column, Value: string(value), Want: FormatType(want), Reason: f.String()}
}
