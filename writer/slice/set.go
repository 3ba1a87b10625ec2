package slice

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
)

// A condition on one column is a set of values, and every set is a few spans of an ordered
// line. All types share one line, that of byte strings: a value is encoded so that the order
// of the encodings is the order of the values. Then one short algebra (union, intersection,
// complement) serves every type, adjacent values join, equal conditions become equal sets,
// and what a partition value or a column bound says about a file is a set as well.

// span holds the encodings e with lo <= e, and e < hi unless unbounded.
type span struct {
	lo, hi    string
	unbounded bool
}

func (s span) empty() bool { return !s.unbounded && s.lo >= s.hi }

// set is a sorted list of non-empty spans that neither overlap nor touch.
type set []span

// everything holds every value that is not null, NaN included.
var everything = set{{unbounded: true}}

func (s set) isEverything() bool { return len(s) == 1 && s[0].lo == "" && s[0].unbounded }

func (s set) contains(e string) bool {
	i, found := slices.BinarySearchFunc(s, e, func(p span, e string) int { return strings.Compare(p.lo, e) })
	if found {
		return true
	}
	return i > 0 && (s[i-1].unbounded || e < s[i-1].hi)
}

// unite takes spans in any order.
func unite(spans ...span) set {
	spans = slices.DeleteFunc(slices.Clone(spans), span.empty)
	slices.SortFunc(spans, func(a, b span) int { return strings.Compare(a.lo, b.lo) })
	var out set
	for _, p := range spans {
		if n := len(out); n > 0 && (out[n-1].unbounded || p.lo <= out[n-1].hi) {
			if last := &out[n-1]; p.unbounded {
				last.hi, last.unbounded = "", true
			} else if !last.unbounded && p.hi > last.hi {
				last.hi = p.hi
			}
			continue
		}
		out = append(out, p)
	}
	return out
}

func (s set) union(o set) set { return unite(slices.Concat(s, o)...) }

func (s set) complement() set {
	var out set
	lo, open := "", true
	for _, p := range s {
		if gap := (span{lo: lo, hi: p.lo}); !gap.empty() {
			out = append(out, gap)
		}
		lo, open = p.hi, !p.unbounded
	}
	if open {
		out = append(out, span{lo: lo, unbounded: true})
	}
	return out
}

func (s set) intersect(o set) set {
	var out set
	for i, j := 0, 0; i < len(s) && j < len(o); {
		a, b := s[i], o[j]
		p := span{lo: max(a.lo, b.lo)}
		switch {
		case a.unbounded && b.unbounded:
			p.unbounded = true
		case a.unbounded:
			p.hi = b.hi
		case b.unbounded:
			p.hi = a.hi
		default:
			p.hi = min(a.hi, b.hi)
		}
		if !p.empty() {
			out = append(out, p)
		}
		if !a.unbounded && (b.unbounded || a.hi <= b.hi) {
			i++
		} else {
			j++
		}
	}
	return out
}

// overlaps tells whether s and o have a value in common.
func (s set) overlaps(o set) bool {
	for i, j := 0, 0; i < len(s) && j < len(o); {
		a, b := s[i], o[j]
		switch {
		case !a.unbounded && a.hi <= b.lo:
			i++
		case !b.unbounded && b.hi <= a.lo:
			j++
		default:
			return true
		}
	}
	return false
}

// line is the part of the line that the values of one type occupy.
type line struct {
	kind kind
	typ  iceberg.Type
	// least and greatest are the encodings of the first and the last value. Types of varying
	// length have neither.
	least, greatest string
}

type kind uint8

const (
	kindInt kind = iota + 1 // int, long, bucket numbers and the ordinals of time transforms
	kindBool
	kindDate
	kindTime
	kindMicros
	kindNanos
	kindFloat
	kindDouble
	kindDecimal
	kindString
	kindBinary
	kindFixed
	kindUUID
)

// integral tells the kinds whose encodings are those of an int64.
func (k kind) integral() bool { return k <= kindDouble }

// lineOf returns the line of a type; ok is false where its values have no order.
func lineOf(t iceberg.Type) (l line, ok bool) {
	ints := func(k kind, least, greatest int64) (line, bool) {
		return line{k, t, encodeInt(least), encodeInt(greatest)}, true
	}
	switch t := t.(type) {
	case iceberg.BooleanType:
		return ints(kindBool, 0, 1)
	case iceberg.Int32Type:
		return ints(kindInt, math.MinInt32, math.MaxInt32)
	case iceberg.Int64Type:
		return ints(kindInt, math.MinInt64, math.MaxInt64)
	case iceberg.DateType:
		return ints(kindDate, math.MinInt32, math.MaxInt32)
	case iceberg.TimeType:
		return ints(kindTime, 0, 24*3600*1e6-1)
	case iceberg.TimestampType, iceberg.TimestampTzType:
		return ints(kindMicros, math.MinInt64, math.MaxInt64)
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return ints(kindNanos, math.MinInt64, math.MaxInt64)
	case iceberg.Float32Type:
		return ints(kindFloat, float32Key(float32(math.Inf(-1))), float32Key(float32(math.NaN())))
	case iceberg.Float64Type:
		return ints(kindDouble, float64Key(math.Inf(-1)), float64Key(math.NaN()))
	case iceberg.DecimalType:
		limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Precision())), nil)
		greatest := decimal128.FromBigInt(limit.Sub(limit, big.NewInt(1)))
		return line{kindDecimal, t, encodeDecimal(greatest.Negate()), encodeDecimal(greatest)}, true
	case iceberg.StringType:
		return line{kind: kindString, typ: t}, true
	case iceberg.BinaryType:
		return line{kind: kindBinary, typ: t}, true
	case iceberg.FixedType:
		return line{kindFixed, t, strings.Repeat("\x00", t.Len()), strings.Repeat("\xff", t.Len())}, true
	case iceberg.UUIDType:
		return line{kindUUID, t, strings.Repeat("\x00", 16), strings.Repeat("\xff", 16)}, true
	}
	return line{}, false
}

func (l line) varying() bool { return l.kind == kindString || l.kind == kindBinary }

// from is the set of the values from lo on; below that of the values under hi.
func (l line) from(lo string) set {
	if !l.varying() && lo <= l.least {
		lo = ""
	}
	return set{{lo: lo, unbounded: true}}
}

func (l line) below(hi string) set { return l.from(hi).complement() }

// after and upTo are from and below with the value itself on the other side.
func (l line) after(v string) set {
	next, ok := l.next(v)
	if !ok {
		return nil
	}
	return l.from(next)
}

func (l line) upTo(v string) set { return l.after(v).complement() }

func (l line) point(v string) set { return l.from(v).intersect(l.upTo(v)) }

// next is the encoding right after v; ok is false after the last one.
func (l line) next(v string) (string, bool) {
	if l.varying() {
		return v + "\x00", true
	}
	if v >= l.greatest {
		return "", false
	}
	b := []byte(v)
	for i := len(b) - 1; ; i-- {
		if b[i]++; b[i] != 0 {
			return string(b), true
		}
	}
}

// prefixed is the set of the values that start with prefix. Strings are taken to be UTF-8.
func (l line) prefixed(prefix string) set {
	s := l.from(prefix)
	if end, ok := l.afterPrefix(prefix); ok {
		s = s.intersect(l.below(end))
	}
	return s
}

// afterPrefix is the least value above all that start with prefix; ok is false without one.
// For a string it is a string: code points in the order of UTF-8 are in the order of their
// numbers, so the last one that has a successor is replaced by it.
func (l line) afterPrefix(prefix string) (string, bool) {
	if l.kind != kindString {
		for i := len(prefix) - 1; i >= 0; i-- {
			if prefix[i] != 0xff {
				return prefix[:i] + string([]byte{prefix[i] + 1}), true
			}
		}
		return "", false
	}
	for prefix != "" {
		r, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		if r++; r == 0xd800 { // surrogates are no characters
			r = 0xe000
		}
		if r <= utf8.MaxRune {
			return prefix + string(r), true
		}
	}
	return "", false
}

// encodeInt keeps the order of integers: big endian, sign bit flipped.
func encodeInt(v int64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(v)^(1<<63))
	return string(b[:])
}

func decodeInt(e string) int64 {
	return int64(binary.BigEndian.Uint64([]byte(e)) ^ (1 << 63))
}

// float64Key numbers the doubles in their order. Both zeros have one number; every NaN has the
// one after positive infinity, so NaN is above all numbers and equal to itself.
func float64Key(f float64) int64 {
	if f != f {
		return int64(math.Float64bits(math.Inf(1))) + 1
	}
	if b := int64(math.Float64bits(f)); b < 0 {
		return -(b & math.MaxInt64)
	} else {
		return b
	}
}

func float32Key(f float32) int64 {
	if f != f {
		return int64(math.Float32bits(float32(math.Inf(1)))) + 1
	}
	if b := int32(math.Float32bits(f)); b < 0 {
		return -int64(b & math.MaxInt32)
	} else {
		return int64(b)
	}
}

func float64OfKey(k int64) float64 {
	if k < 0 {
		return -math.Float64frombits(uint64(-k))
	}
	return math.Float64frombits(uint64(k)) // the number after infinity is a NaN
}

func float32OfKey(k int64) float32 {
	if k < 0 {
		return -math.Float32frombits(uint32(-k))
	}
	return math.Float32frombits(uint32(k))
}

func encodeDecimal(v decimal128.Num) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(v.HighBits())^(1<<63))
	binary.BigEndian.PutUint64(b[8:], v.LowBits())
	return string(b[:])
}

func decodeDecimal(e string) decimal128.Num {
	b := []byte(e)
	return decimal128.New(int64(binary.BigEndian.Uint64(b[:8])^(1<<63)), binary.BigEndian.Uint64(b[8:]))
}

// holds tells whether e is the encoding of one of the line's values.
func (l line) holds(e string) bool { return l.varying() || l.least <= e && e <= l.greatest }

// encode gives the encoding of a partition value, whatever Go type a manifest reader gave it;
// ok is false for what the line cannot take, for instance a date in a column that is now a
// timestamp.
func (l line) encode(v any) (string, bool) {
	e, ok := l.encodeAny(v)
	return e, ok && l.holds(e)
}

func (l line) encodeAny(v any) (string, bool) {
	switch l.kind {
	case kindBool:
		if b, ok := v.(bool); ok {
			if b {
				return encodeInt(1), true
			}
			return encodeInt(0), true
		}
	case kindInt, kindDate:
		switch v := v.(type) {
		case int:
			return encodeInt(int64(v)), true
		case int32:
			return encodeInt(int64(v)), true
		case int64:
			return encodeInt(v), true
		case iceberg.Date:
			return encodeInt(int64(v)), true
		}
	case kindTime:
		switch v := v.(type) {
		case int64:
			return encodeInt(v), true
		case iceberg.Time:
			return encodeInt(int64(v)), true
		}
	case kindMicros:
		switch v := v.(type) {
		case int64:
			return encodeInt(v), true
		case iceberg.Timestamp:
			return encodeInt(int64(v)), true
		}
	case kindNanos:
		switch v := v.(type) {
		case int64:
			return encodeInt(v), true
		case iceberg.TimestampNano:
			return encodeInt(int64(v)), true
		}
	case kindFloat:
		if f, ok := v.(float32); ok {
			return encodeInt(float32Key(f)), true
		}
	case kindDouble:
		switch v := v.(type) {
		case float32: // the column was a float when the file was written
			return encodeInt(float64Key(float64(v))), true
		case float64:
			return encodeInt(float64Key(v)), true
		}
	case kindDecimal:
		scale := l.typ.(iceberg.DecimalType).Scale()
		switch v := v.(type) {
		case iceberg.Decimal:
			return encodeDecimal(v.Val), v.Scale == scale
		case iceberg.DecimalLiteral:
			return encodeDecimal(v.Val), v.Scale == scale
		}
	case kindString, kindBinary:
		switch v := v.(type) {
		case string:
			return v, true
		case []byte:
			return string(v), true
		}
	case kindFixed, kindUUID:
		switch v := v.(type) {
		case uuid.UUID:
			return string(v[:]), len(l.least) == len(v)
		case [16]byte:
			return string(v[:]), len(l.least) == len(v)
		case []byte:
			return string(v), len(l.least) == len(v)
		}
	}
	return "", false
}

// encodeBound gives the encoding of a column bound or a partition summary's bound in Iceberg's
// single-value serialization; ok is false for bytes that are none. A column that was widened
// (int to long, float to double) has narrow bounds in its old files.
// NaN is no bound, though old writers wrote it.
// Source: iceberg.apache.org/spec/#binary-single-value-serialization.
func (l line) encodeBound(b []byte) (string, bool) {
	e, ok := l.encodeBytes(b)
	if nan := l.kind == kindFloat || l.kind == kindDouble; nan && e == l.greatest {
		return "", false
	}
	return e, ok && l.holds(e)
}

func (l line) encodeBytes(b []byte) (string, bool) {
	switch l.kind {
	case kindBool:
		if len(b) == 1 {
			return encodeInt(int64(min(b[0], 1))), true
		}
	case kindDate:
		if len(b) == 4 {
			return encodeInt(int64(int32(binary.LittleEndian.Uint32(b)))), true
		}
	case kindInt:
		switch len(b) {
		case 4:
			return encodeInt(int64(int32(binary.LittleEndian.Uint32(b)))), true
		case 8:
			return encodeInt(int64(binary.LittleEndian.Uint64(b))), true
		}
	case kindTime, kindMicros, kindNanos:
		if len(b) == 8 {
			return encodeInt(int64(binary.LittleEndian.Uint64(b))), true
		}
	case kindFloat:
		if len(b) == 4 {
			return encodeInt(float32Key(math.Float32frombits(binary.LittleEndian.Uint32(b)))), true
		}
	case kindDouble:
		switch len(b) {
		case 4:
			return encodeInt(float64Key(float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))), true
		case 8:
			return encodeInt(float64Key(math.Float64frombits(binary.LittleEndian.Uint64(b)))), true
		}
	case kindDecimal:
		if len(b) > 0 && len(b) <= 16 {
			var full [16]byte
			if b[0] >= 0x80 {
				for i := range full {
					full[i] = 0xff
				}
			}
			copy(full[16-len(b):], b)
			return encodeDecimal(decimal128.New(int64(binary.BigEndian.Uint64(full[:8])), binary.BigEndian.Uint64(full[8:]))), true
		}
	case kindString, kindBinary:
		return string(b), true
	case kindFixed, kindUUID:
		if len(b) == len(l.least) {
			return string(b), true
		}
	}
	return "", false
}
