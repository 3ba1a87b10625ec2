package slice

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
)

// value reads a literal of the type of x and gives its encoding on the line l, and its place.
func (p *parser) value(x operand, l line) (string, int, *Error) {
	t, err := p.lex(p.pos, true)
	if err != nil {
		return "", 0, err
	}
	hexed := false
	switch lower := strings.ToLower(t.text); {
	case t.kind == tokenName:
		return "", 0, p.fail(t.pos, "a value is due here, not a name", "values go in single quotes")
	case t.kind != tokenWord && t.kind != tokenString:
		return "", 0, p.unexpected(t, "a value")
	case t.kind == tokenWord && lower == "null":
		return "", 0, p.fail(t.pos, "nothing compares with null", "say is null or is not null; for the string: 'null'")
	case t.kind == tokenWord && reserved[lower]:
		return "", 0, p.unexpected(t, "a value")
	case t.kind == tokenWord && (lower == "x" || lower == "date" || lower == "time" || lower == "timestamp"):
		// x'00ff', date '2024-01-15'
		s, err := p.lex(t.end, true)
		if err == nil && s.kind == tokenString && (lower != "x" || s.pos == t.end) {
			hexed = lower == "x"
			s.pos = t.pos
			t = s
		}
	}
	p.pos = t.end
	e, problem, advice := p.parseLiteral(x, l, t, hexed)
	if problem != "" {
		return "", 0, p.fail(t.pos, problem, advice)
	}
	return e, t.pos, nil
}

// parseLiteral gives the encoding of a literal, or what is wrong with it.
func (p *parser) parseLiteral(x operand, l line, t token, hexed bool) (e, problem, advice string) {
	text := t.text
	bad := fmt.Sprintf("%s is no %s", p.expr[t.pos:t.end], x.column.typ)
	if hexed && l.kind != kindBinary && l.kind != kindFixed && l.kind != kindUUID {
		return "", bad, ""
	}
	switch x.transform.(type) {
	case iceberg.YearTransform, iceberg.MonthTransform, iceberg.DayTransform, iceberg.HourTransform:
		n, form, ok := parseOrdinal(x.transform, text)
		if !ok {
			return "", fmt.Sprintf("%s is no %s", p.expr[t.pos:t.end], x.transform), "it reads " + form
		}
		return encodeInt(n), "", ""
	case iceberg.BucketTransform:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || !l.holds(encodeInt(n)) {
			return "", fmt.Sprintf("%s is no %s", p.expr[t.pos:t.end], x.transform),
				fmt.Sprintf("buckets are numbered from 0 to %d", decodeInt(l.greatest))
		}
		return encodeInt(n), "", ""
	}
	switch l.kind {
	case kindBool:
		switch strings.ToLower(text) {
		case "true":
			return encodeInt(1), "", ""
		case "false":
			return encodeInt(0), "", ""
		}
		return "", bad, "say true or false"
	case kindInt:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || !l.holds(encodeInt(n)) {
			return "", bad, fmt.Sprintf("whole numbers from %d to %d", decodeInt(l.least), decodeInt(l.greatest))
		}
		return encodeInt(n), "", ""
	case kindFloat:
		f, err := strconv.ParseFloat(text, 32)
		if err != nil {
			return "", bad, ""
		}
		return encodeInt(float32Key(float32(f))), "", ""
	case kindDouble:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return "", bad, ""
		}
		return encodeInt(float64Key(f)), "", ""
	case kindDecimal:
		if v, ok := parseDecimal(text, l.typ.(iceberg.DecimalType)); ok {
			return encodeDecimal(v), "", ""
		}
		return "", bad, ""
	case kindDate:
		d, rest, ok := cutDate(text)
		if !ok || rest != "" {
			return "", bad, "it reads 2024-01-15"
		}
		return encodeInt(d.days()), "", ""
	case kindTime:
		micros, rest, ok := cutClock(text)
		if !ok || rest != "" || micros%1000 != 0 {
			return "", bad, "it reads '10:15:30' or '10:15:30.123456'"
		}
		return encodeInt(micros / 1000), "", ""
	case kindMicros, kindNanos:
		return p.parseTimestamp(l, text, bad)
	case kindString:
		return text, "", ""
	case kindUUID:
		if u, err := uuid.Parse(text); err == nil && len(text) == 36 && !hexed {
			return string(u[:]), "", ""
		}
		return "", bad, "it reads 123e4567-e89b-12d3-a456-426614174000"
	}
	digits, prefixed := strings.CutPrefix(text, "0x")
	b, err := hex.DecodeString(digits)
	switch {
	case !hexed && (!prefixed || t.kind != tokenWord) || err != nil || hexed && prefixed:
		return "", bad, "it reads x'00ff'"
	case !l.holds(string(b)) || l.kind == kindFixed && len(b) != len(l.least):
		return "", bad, fmt.Sprintf("it has %d bytes", len(b))
	}
	return string(b), "", ""
}

func (p *parser) parseTimestamp(l line, text, bad string) (e, problem, advice string) {
	const form = "it reads 2024-01-15, '2024-01-15 10:15:30' or '2024-01-15T10:15:30.123456'"
	zoned := false
	switch l.typ.(type) {
	case iceberg.TimestampTzType, iceberg.TimestampTzNsType:
		zoned = true
	}
	d, rest, ok := cutDate(text)
	var nanos int64
	if ok && rest != "" {
		if rest[0] != 'T' && rest[0] != ' ' {
			return "", bad, form
		}
		nanos, rest, ok = cutClock(rest[1:])
	}
	if !ok {
		return "", bad, form
	}
	zone := time.UTC
	if rest != "" {
		offset, ok := parseOffset(rest)
		switch {
		case !ok:
			return "", bad, form
		case !zoned:
			return "", bad, "the column has no time zone: leave the offset away"
		}
		zone = time.FixedZone("", offset)
	} else if zoned {
		zone = p.zone
	}
	at := time.Date(d.year, d.month, d.day, 0, 0, 0, 0, zone)
	if nanos != 0 {
		at = time.Date(d.year, d.month, d.day, int(nanos/3600e9), int(nanos/60e9)%60, int(nanos/1e9)%60, int(nanos%1e9), zone)
	}
	unit := int64(1e9)
	if l.kind == kindMicros {
		if unit = 1e6; nanos%1000 != 0 {
			return "", bad, "the column has microseconds"
		}
	}
	if at.Unix() < math.MinInt64/unit+1 || at.Unix() > math.MaxInt64/unit-1 {
		return "", bad, "it is out of the column's range"
	}
	return encodeInt(at.Unix()*unit + int64(at.Nanosecond())/(1e9/unit)), "", ""
}

type date struct {
	year  int
	month time.Month
	day   int
}

// days counts from 1970-01-01.
func (d date) days() int64 {
	return time.Date(d.year, d.month, d.day, 0, 0, 0, 0, time.UTC).Unix() / 86400
}

// cutDate reads 2024-01-15 at the start of text; years have four to six digits and may be
// negative.
func cutDate(text string) (d date, rest string, ok bool) {
	year, rest, ok := cutYear(text)
	if !ok || len(rest) < 6 || rest[0] != '-' || rest[3] != '-' {
		return date{}, "", false
	}
	month, ok1 := number(rest[1:3])
	day, ok2 := number(rest[4:6])
	d = date{year, time.Month(month), day}
	if !ok1 || !ok2 || month < 1 || month > 12 || day < 1 || day > time.Date(year, d.month+1, 0, 0, 0, 0, 0, time.UTC).Day() {
		return date{}, "", false
	}
	return d, rest[6:], true
}

func cutYear(text string) (year int, rest string, ok bool) {
	digits, negative := strings.CutPrefix(text, "-")
	n := 0
	for n < len(digits) && digits[n] >= '0' && digits[n] <= '9' {
		n++
	}
	if n < 4 || n > 6 {
		return 0, "", false
	}
	year, _ = number(digits[:n])
	if negative {
		year = -year
	}
	return year, digits[n:], true
}

// number reads digits and nothing else.
func number(text string) (n int, ok bool) {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		n = n*10 + int(text[i]-'0')
	}
	return n, text != ""
}

// cutClock reads 10:15, 10:15:30 or 10:15:30.123456789 at the start of text, in nanoseconds.
func cutClock(text string) (nanos int64, rest string, ok bool) {
	if len(text) < 5 || text[2] != ':' {
		return 0, "", false
	}
	h, ok1 := number(text[:2])
	m, ok2 := number(text[3:5])
	s, ok3 := 0, true
	rest = text[5:]
	if strings.HasPrefix(rest, ":") {
		if len(rest) < 3 {
			return 0, "", false
		}
		s, ok3 = number(rest[1:3])
		rest = rest[3:]
		if strings.HasPrefix(rest, ".") {
			n := 1
			for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
				n++
			}
			if n == 1 || n > 10 {
				return 0, "", false
			}
			fraction, _ := number((rest[1:n] + "00000000")[:9])
			nanos, rest = int64(fraction), rest[n:]
		}
	}
	if !ok1 || !ok2 || !ok3 || h > 23 || m > 59 || s > 59 {
		return 0, "", false
	}
	return nanos + int64(h*3600+m*60+s)*1e9, rest, true
}

// parseOffset reads Z, +01, +0130 or +01:30, in seconds east of UTC.
func parseOffset(text string) (seconds int, ok bool) {
	if text == "Z" || text == "z" {
		return 0, true
	}
	if text[0] != '+' && text[0] != '-' {
		return 0, false
	}
	digits := strings.Replace(text[1:], ":", "", 1)
	if len(digits) != 2 && len(digits) != 4 || len(text) == 4 || len(text) == 6 && text[3] != ':' {
		return 0, false
	}
	h, ok1 := number(digits[:2])
	m, ok2 := number((digits + "00")[2:4])
	if !ok1 || !ok2 || h > 18 || m > 59 {
		return 0, false
	}
	if seconds = h*3600 + m*60; text[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// parseOrdinal reads a value of a time transform as partition paths show it; form is how.
func parseOrdinal(t iceberg.Transform, text string) (n int64, form string, ok bool) {
	switch t.(type) {
	case iceberg.YearTransform:
		year, rest, ok := cutYear(text)
		return int64(year - 1970), "2024", ok && rest == ""
	case iceberg.MonthTransform:
		d, rest, ok := cutDate(text + "-01")
		return int64(d.year-1970)*12 + int64(d.month) - 1, "2024-01", ok && rest == ""
	case iceberg.DayTransform:
		d, rest, ok := cutDate(text)
		return d.days(), "2024-01-15", ok && rest == ""
	}
	d, rest, ok := cutDate(text)
	if !ok || len(rest) != 3 || strings.IndexByte("-T ", rest[0]) < 0 {
		return 0, "2024-01-15-10", false
	}
	hour, ok := number(rest[1:])
	n = d.days()*24 + int64(hour)
	return n, "2024-01-15-10", ok && hour <= 23 && n == int64(int32(n))
}

// parseDecimal reads an exact number; digits beyond the scale must be zeros.
func parseDecimal(text string, t iceberg.DecimalType) (decimal128.Num, bool) {
	digits := strings.TrimPrefix(strings.TrimPrefix(text, "-"), "+")
	whole, fraction, _ := strings.Cut(digits, ".")
	if len(fraction) > t.Scale() {
		if strings.Trim(fraction[t.Scale():], "0") != "" {
			return decimal128.Num{}, false
		}
		fraction = fraction[:t.Scale()]
	}
	all := whole + fraction
	if len(text)-len(digits) > 1 || all == "" || len(all) > 100 || strings.Trim(all, "0123456789") != "" {
		return decimal128.Num{}, false
	}
	v, _ := new(big.Int).SetString(all+strings.Repeat("0", t.Scale()-len(fraction)), 10)
	if strings.HasPrefix(text, "-") {
		v.Neg(v)
	}
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.Precision())), nil)
	if v.CmpAbs(limit) >= 0 {
		return decimal128.Num{}, false
	}
	return decimal128.FromBigInt(v), true
}
