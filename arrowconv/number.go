package arrowconv

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"strconv"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// A number is [+-] digits [point digits] [e [+-] digits], with at least one digit before the
// exponent. It is accepted where its exact value fits the type, however it is spelt: 1e3 and 1000.0
// are longs. Floats round to the nearest, as they must.

// parseInt64 reads a long.
func parseInt64(s []byte, point byte) (int64, fault) {
	if v, ok := shortInt(s); ok {
		return v, faultNone
	}
	d, f := parseDecimal(s, 19, 0, point)
	switch {
	case f == faultFraction:
		return 0, faultSyntax
	case f != faultNone:
		return 0, f
	}
	v := int64(d.LowBits())
	if d.HighBits() != v>>63 {
		return 0, faultRange
	}
	return v, faultNone
}

// parseInt32 reads an int.
func parseInt32(s []byte, point byte) (int32, fault) {
	v, f := parseInt64(s, point)
	if f == faultNone && v != int64(int32(v)) {
		return 0, faultRange
	}
	return int32(v), f
}

// shortInt reads up to 18 digits with an optional minus, nothing else.
func shortInt(s []byte) (int64, bool) {
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	neg := s[0] == '-'
	if neg {
		if s = s[1:]; len(s) == 0 {
			return 0, false
		}
	}
	var v int64
	for _, c := range s {
		c -= '0'
		if c > 9 {
			return 0, false
		}
		v = v*10 + int64(c)
	}
	if neg {
		v = -v
	}
	return v, true
}

// eightDigits is the value of eight digits, the first in the lowest byte.
func eightDigits(w uint64) (int64, bool) {
	d := w - '0'*eachByte
	if (d|(w+(0x7f-'9')*eachByte))&highBits != 0 {
		return 0, false
	}
	d = d*10 + d>>8 // every other byte: two digits
	d = (d&0x000000ff000000ff*(100+1000000<<32) + d>>16&0x000000ff000000ff*(1+10000<<32)) >> 32
	return int64(d), true
}

// plainInt reads the text b[from:to] where it is one to eight digits, and eight bytes of b end there: without a loop, as
// the lengths of a column's numbers are hard to foresee.
func plainInt(b []byte, from, to int) (int64, bool) {
	n := to - from
	if uint(n-1) > 7 || to < 8 {
		return 0, false
	}
	w := binary.LittleEndian.Uint64(b[to-8 : to])
	text := ^uint64(0) << ((64 - 8*n) & 63)
	return eightDigits(w&text | '0'*eachByte&^text)
}

// maxPlainScale is the largest scale of plainDecimal.
const maxPlainScale = 7

// plainDecimal reads the text b[from:to] where it is up to eight digits with a point before the last scale of them; there
// are nine bytes of b before to. The value is unscaled.
func plainDecimal(b []byte, from, to, scale int, point byte) (int64, bool) {
	n := to - from
	if uint(n-2) > 7 || to < 9 || scale == 0 || n <= scale {
		return 0, false
	}
	w := binary.LittleEndian.Uint64(b[to-8 : to])
	frac := ^uint64(0) << ((64 - 8*scale) & 63)
	if byte(w>>((56-8*scale)&63)) != point {
		return 0, false
	}
	w = w&frac | (w<<8|uint64(b[to-9]))&^frac // the digits move up to where the point was
	text := ^uint64(0) << ((64 - 8*(n-1)) & 63)
	return eightDigits(w&text | '0'*eachByte&^text)
}

// parseDecimal reads a decimal(precision, scale) to its unscaled value. Fraction digits beyond the
// scale must be zeros.
func parseDecimal(s []byte, precision, scale int, point byte) (decimal128.Num, fault) {
	if precision <= 18 {
		if v, ok := shortDecimal(s, precision, scale, point); ok {
			return decimal128.FromI64(v), faultNone
		}
	}
	return longDecimal(s, precision, scale, point)
}

// shortDecimal reads what most decimals look like: at most 18 characters, an optional minus, a point
// with no more digits after it than the scale. precision is at most 18. Anything else is left to longDecimal.
func shortDecimal(s []byte, precision, scale int, point byte) (int64, bool) {
	if len(s) == 0 || len(s) > 18 {
		return 0, false
	}
	neg := s[0] == '-'
	if neg {
		s = s[1:]
	}
	var v uint64
	i := 0
	for ; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 {
			break
		}
		v = v*10 + uint64(c)
	}
	whole := i
	if i < len(s) {
		if s[i] != point {
			return 0, false
		}
		for i++; i < len(s); i++ {
			c := s[i] - '0'
			if c > 9 {
				return 0, false
			}
			v = v*10 + uint64(c)
		}
		i--
	}
	// i is the number of digits now.
	missing := scale - (i - whole)
	if i == 0 || missing < 0 || i+missing > 18 {
		return 0, false
	}
	v *= pow10[missing]
	if v >= pow10[precision] {
		return 0, false
	}
	if neg {
		return -int64(v), true
	}
	return int64(v), true
}

var pow10 = func() (p [20]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

// number is the anatomy of a number's text.
type number struct {
	neg         bool
	whole, frac []byte // the digits before and after the point
	exp         int    // clamped: its magnitude matters no more past maxExp
}

// maxExp is beyond any exponent that, with a row's worth of digits, could give a value in range.
const maxExp = 1 << 40

func scanNumber(s []byte, point byte) (n number, f fault) {
	s = trimSpace(s)
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		n.neg = s[0] == '-'
		s = s[1:]
	}
	i := digits(s)
	n.whole, s = s[:i], s[i:]
	if len(s) > 0 && s[0] == point {
		s = s[1:]
		i = digits(s)
		n.frac, s = s[:i], s[i:]
	}
	if len(n.whole)+len(n.frac) == 0 {
		return n, faultSyntax
	}
	if len(s) > 0 && s[0]|0x20 == 'e' {
		s = s[1:]
		neg := len(s) > 0 && s[0] == '-'
		if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
			s = s[1:]
		}
		if i = digits(s); i == 0 {
			return n, faultSyntax
		}
		for _, c := range s[:i] {
			n.exp = min(n.exp*10+int(c-'0'), maxExp)
		}
		if neg {
			n.exp = -n.exp
		}
		s = s[i:]
	}
	if len(s) > 0 {
		if point == ',' && s[0] == '.' {
			return n, faultComma
		}
		return n, faultSyntax
	}
	return n, faultNone
}

// digits is the length of the run of digits that s begins with.
func digits(s []byte) int {
	for i, c := range s {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(s)
}

// longDecimal is parseDecimal for every spelling and every precision.
func longDecimal(s []byte, precision, scale int, point byte) (decimal128.Num, fault) {
	n, f := scanNumber(s, point)
	if f != faultNone {
		return decimal128.Num{}, f
	}
	// The significant digits, as a range [lo, hi) of whole and frac in a row.
	lo, hi := 0, len(n.whole)+len(n.frac)
	at := func(i int) byte {
		if i < len(n.whole) {
			return n.whole[i]
		}
		return n.frac[i-len(n.whole)]
	}
	for lo < hi && at(lo) == '0' {
		lo++
	}
	for hi > lo && at(hi-1) == '0' {
		hi--
	}
	if lo == hi {
		return decimal128.Num{}, faultNone
	}
	// The value is those digits times 10^shift, in units of 10^-scale.
	shift := len(n.whole) + n.exp - hi + scale
	if hi-lo+shift > precision {
		return decimal128.Num{}, faultRange
	}
	if shift < 0 {
		return decimal128.Num{}, faultFraction
	}
	var high, low uint64
	for i := range hi - lo + shift {
		d := uint64(0)
		if lo+i < hi {
			d = uint64(at(lo+i) - '0')
		}
		carry, l := bits.Mul64(low, 10)
		high = high*10 + carry
		low, carry = bits.Add64(l, d, 0)
		high += carry
	}
	v := decimal128.New(int64(high), low)
	if n.neg {
		v = v.Negate()
	}
	return v, faultNone
}

// parseFloat64 reads a double: a number, or NaN, Inf or Infinity in any case with an optional sign.
func parseFloat64(s []byte, point byte) (float64, fault) {
	if v, ok := shortFloat(s, point); ok {
		return v, faultNone
	}
	return parseFloat(s, point, 64)
}

// parseFloat32 reads a float, rounding once, from the text.
func parseFloat32(s []byte, point byte) (float32, fault) {
	v, f := parseFloat(s, point, 32)
	return float32(v), f
}

// shortFloat reads up to 15 digits with a point among them, where one exact division rounds right.
func shortFloat(s []byte, point byte) (float64, bool) {
	if len(s) == 0 || len(s) > 16 {
		return 0, false
	}
	neg := s[0] == '-'
	if neg {
		s = s[1:]
	}
	var v int64
	frac := -1
	n := 0
	for i, c := range s {
		d := c - '0'
		if d > 9 {
			if c != point || frac >= 0 {
				return 0, false
			}
			frac = i
			continue
		}
		v = v*10 + int64(d)
		n++
	}
	if n == 0 || n > 15 {
		return 0, false
	}
	x := float64(v)
	if frac >= 0 {
		x /= exact10[len(s)-frac-1]
	}
	if neg {
		x = -x
	}
	return x, true
}

var exact10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

func parseFloat(s []byte, point byte, size int) (float64, fault) {
	s = trimSpace(s)
	if _, f := scanNumber(s, point); f != faultNone {
		word := s
		if len(word) > 0 && (word[0] == '-' || word[0] == '+') {
			word = word[1:]
		}
		switch lower := lowerWord(word); lower {
		case "nan":
			return math.NaN(), faultNone
		case "inf", "infinity":
			if s[0] == '-' {
				return math.Inf(-1), faultNone
			}
			return math.Inf(1), faultNone
		}
		return 0, f
	}
	if point != '.' {
		s = append([]byte(nil), s...)
		for i, c := range s {
			if c == point {
				s[i] = '.'
			}
		}
	}
	v, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(s), len(s)), size)
	if err != nil {
		if errors.Is(err, strconv.ErrRange) {
			return 0, faultRange
		}
		return 0, faultSyntax
	}
	return v, faultNone
}

// lowerWord is s in lower case where it is as short as the words for special floats, else "".
func lowerWord(s []byte) string {
	if len(s) > len("infinity") {
		return ""
	}
	var low [8]byte
	for i, c := range s {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		low[i] = c
	}
	return string(low[:len(s)])
}
