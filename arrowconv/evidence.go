package arrowconv

import (
	"bytes"

	"github.com/apache/iceberg-go"
)

// evidence is what the texts of one column show about its type. It is a set of kinds and two maxima,
// so pieces of a column may be looked at in any order and merged. docs/types.md has the rules.
type evidence struct {
	seen  kind
	whole int // most digits before the point of any number, leading zeros aside
	scale int // most digits after the point
}

// kind is a set of kinds of text.
type kind uint16

const (
	kindBool kind = 1 << iota
	kindLong
	kindBig     // integers beyond long
	kindPoint   // numbers with a fraction
	kindFloat   // numbers with an exponent, NaN and the infinities
	kindDate    // dates
	kindLocal   // timestamps without a zone
	kindInstant // timestamps with a zone
	kindString  // everything else
	kindComma   // numbers if a comma were the decimal point: strings, but worth a word

	// Two more say something about dates and timestamps: some have digits beyond the microsecond, some
	// lie where nanoseconds don't reach.
	kindFine
	kindFar
	// And two about numbers: some integers are beyond int, some numbers beyond float.
	kindWide
	kindHuge
)

// merge adds what another piece of the column shows.
func (e *evidence) merge(o evidence) {
	e.seen |= o.seen
	e.whole, e.scale = max(e.whole, o.whole), max(e.scale, o.scale)
}

// addText adds any text that is not null, taking numbers and booleans for what they look like.
func (e *evidence) addText(s []byte, point byte) {
	if e.seen&kindString != 0 {
		return // nothing can make it anything else
	}
	if len(s) == 0 {
		e.seen |= kindString
		return
	}
	switch c := s[0]; {
	case c >= '0' && c <= '9':
		if len(s) >= 10 && s[4] == '-' && s[7] == '-' {
			e.seen |= temporalKind(s)
			return
		}
		e.addNumber(s, point)
	case c == '-' || c == point:
		e.addNumber(s, point)
	default:
		e.seen |= wordKind(s)
	}
}

// addPlain does as addText for what most texts of columns of numbers and dates look like: up to 18 characters,
// an optional minus, digits, and perhaps a point and more digits; or a date. Anything else it leaves alone, and says so.
func (e *evidence) addPlain(s []byte, point byte) bool {
	if len(s) == 0 || len(s) > 18 {
		return false
	}
	if len(s) == 10 && s[4] == '-' {
		days, f := parseDate(s)
		if f == faultNone {
			e.seen |= kindDate | reach(int64(days)*secondsPerDay, 0)
		}
		return f == faultNone
	}
	neg := s[0] == '-'
	if neg {
		s = s[1:]
	}
	var v int64
	i := 0
	for ; i < len(s) && s[i]-'0' <= 9; i++ {
		v = v*10 + int64(s[i]-'0')
	}
	if i == 0 || i > 1 && s[0] == '0' {
		return false
	}
	if i == len(s) {
		if neg {
			v = -v
		}
		e.seen |= kindLong
		if v != int64(int32(v)) {
			e.seen |= kindWide
		}
	} else {
		if s[i] != point || i+1 == len(s) {
			return false
		}
		for _, c := range s[i+1:] {
			if c-'0' > 9 {
				return false
			}
		}
		e.seen |= kindPoint
		e.scale = max(e.scale, len(s)-i-1)
	}
	if s[0] != '0' {
		e.whole = max(e.whole, i)
	}
	return true
}

// addTemporal adds a text that can be a date or a timestamp or else a string: a string of JSON.
func (e *evidence) addTemporal(s []byte) {
	if e.seen&kindString == 0 {
		e.seen |= temporalKind(s)
	}
}

func temporalKind(s []byte) kind {
	if len(s) < 10 || s[0] == ' ' || s[len(s)-1] == ' ' || s[len(s)-1] == '\t' {
		return kindString
	}
	if len(s) == 10 {
		days, f := parseDate(s)
		if f == faultNone {
			return kindDate | reach(int64(days)*secondsPerDay, 0)
		}
		return kindString
	}
	m, f := parseMoment(s)
	if f != faultNone {
		return kindString
	}
	k := kindLocal
	if m.zoned {
		k = kindInstant
	}
	if m.nano%micros != 0 {
		k |= kindFine
	}
	return k | reach(m.sec-m.offset, m.nano)
}

// reach is kindFar for what nanoseconds don't reach.
func reach(sec, nano int64) kind {
	if inNanos(sec, nano) {
		return 0
	}
	return kindFar
}

func wordKind(s []byte) kind {
	switch string(s) {
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return kindBool
	case "NaN", "nan", "Infinity", "Inf", "inf", "+Infinity", "+Inf", "+inf":
		return kindFloat
	}
	return kindString
}

// addNumber adds the text of a number, as CSV and JSON spell them. Leading zeros make a string, as
// postal codes have them; so does a leading plus, as telephone numbers have it.
func (e *evidence) addNumber(s []byte, point byte) {
	if v, ok := shortInt(s); ok {
		digits := s
		if s[0] == '-' {
			digits = s[1:]
		}
		if digits[0] == '0' && len(digits) > 1 {
			e.seen |= kindString
			return
		}
		e.seen |= kindLong
		if v != int64(int32(v)) {
			e.seen |= kindWide
		}
		if len(digits) > e.whole && v != 0 {
			e.whole = len(digits)
		}
		return
	}
	e.addLongNumber(s, point)
}

func (e *evidence) addLongNumber(s []byte, point byte) {
	last := s[len(s)-1]
	n, f := scanNumber(s, point)
	if f != faultNone || s[0] == ' ' || last == ' ' || last == '\t' {
		switch string(s) {
		case "-Infinity", "-Inf", "-inf":
			e.seen |= kindFloat
		default:
			if point == '.' && commaNumber(s) {
				e.seen |= kindComma
			} else {
				e.seen |= kindString
			}
		}
		return
	}
	if len(n.whole) > 1 && n.whole[0] == '0' {
		e.seen |= kindString
		return
	}
	isInt := len(n.frac) == 0 && last != point
	if isInt {
		e.seen |= kindWide
	}
	if hasExponent(s) || len(n.whole) > 38 {
		if _, f := parseFloat32(s, point); f != faultNone {
			e.seen |= kindHuge
		}
	}
	switch {
	case hasExponent(s):
		e.seen |= kindFloat
		return
	case !isInt:
		e.seen |= kindPoint
		e.scale = max(e.scale, len(n.frac))
	default:
		if _, f := parseInt64(s, point); f == faultNone {
			e.seen |= kindLong
		} else {
			e.seen |= kindBig
		}
	}
	if len(n.whole) > 0 && n.whole[0] != '0' {
		e.whole = max(e.whole, len(n.whole))
	}
}

// commaNumber says whether s is a number with a decimal comma.
func commaNumber(s []byte) bool {
	_, f := scanNumber(s, ',')
	return f == faultNone && bytes.IndexByte(s, ',') >= 0
}

// commaNumbers says whether all that makes the column a string is that a comma is the decimal point.
func (e *evidence) commaNumbers() bool {
	return e.seen&kindComma != 0 && e.seen&^(kindComma|numbers|kindWide|kindHuge) == 0
}

func hasExponent(s []byte) bool {
	for _, c := range s {
		if c|0x20 == 'e' {
			return true
		}
	}
	return false
}

const (
	whole   = kindLong | kindBig
	numbers = whole | kindPoint | kindFloat
	// kindMarks are no kinds of their own.
	kindMarks = kindFine | kindFar | kindWide | kindHuge
)

// beside is what everything seen says about a column that the table has as was: was itself where all of it
// fits, or where texts of that type cannot be told from others by their looks; a wider type of its kind
// where that would do; else what typ says. Nothing seen says nothing: unknown.
func (e *evidence) beside(was iceberg.Type, o *InferOptions) iceberg.Type {
	seen := e.seen &^ kindMarks
	if seen == 0 {
		return iceberg.UnknownType{}
	}
	switch t := was.(type) {
	case iceberg.Int32Type:
		if seen == kindLong && e.seen&kindWide == 0 {
			return was
		}
	case iceberg.Float32Type:
		if seen&^numbers == 0 && e.seen&kindHuge == 0 {
			return was
		}
	case iceberg.Float64Type:
		if seen&^numbers == 0 {
			return was
		}
	case iceberg.DecimalType:
		if p := e.whole + t.Scale(); seen&^(whole|kindPoint) == 0 && e.scale <= t.Scale() && p <= 38 {
			return iceberg.DecimalTypeOf(max(p, t.Precision()), t.Scale())
		}
	case iceberg.TimestampType:
		if seen&^(kindDate|kindLocal) == 0 {
			return was
		}
	case iceberg.TimestampTzType:
		if seen&^(kindDate|kindLocal|kindInstant) == 0 {
			return was
		}
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType, iceberg.TimeType, iceberg.UUIDType, iceberg.FixedType, iceberg.BinaryType:
		return was
	}
	return e.typ(o)
}

// typ is the narrowest type, by docs/types.md, that holds everything seen without loss; string where
// nothing was. With o.Decimals, numbers with a fraction make a decimal rather than a double.
func (e *evidence) typ(o *InferOptions) iceberg.Type {
	fits := e.whole+e.scale <= 38
	fine := e.seen&kindFine != 0
	if fine && (o.FormatVersion < 3 || e.seen&kindFar != 0) {
		return iceberg.PrimitiveTypes.String
	}
	seen := e.seen &^ kindMarks
	switch {
	case seen == 0:
		return iceberg.PrimitiveTypes.String
	case seen == kindBool:
		return iceberg.PrimitiveTypes.Bool
	case seen == kindLong:
		return iceberg.PrimitiveTypes.Int64
	case seen&^whole == 0:
		if !fits {
			return iceberg.PrimitiveTypes.String
		}
		return iceberg.DecimalTypeOf(e.whole, 0)
	case seen&^(whole|kindPoint) == 0 && o.Decimals && fits:
		return iceberg.DecimalTypeOf(max(e.whole+e.scale, 1), e.scale)
	case seen&^numbers == 0:
		return iceberg.PrimitiveTypes.Float64
	case seen == kindDate:
		return iceberg.PrimitiveTypes.Date
	case seen&^(kindDate|kindLocal) == 0:
		if fine {
			return iceberg.PrimitiveTypes.TimestampNs
		}
		return iceberg.PrimitiveTypes.Timestamp
	case seen == kindInstant:
		if fine {
			return iceberg.PrimitiveTypes.TimestampTzNs
		}
		return iceberg.PrimitiveTypes.TimestampTz
	}
	return iceberg.PrimitiveTypes.String
}
