package variant

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/google/uuid"
)

// AppendJSON appends a variant as JSON of which a Builder makes the same variant again, as far as JSON can
// say it: doubles and floats have an exponent, integers and decimals none; NaN, the infinities, dates, times,
// UUIDs and bytes (hexadecimal) are strings. Errors wrap ErrCorrupt.
func AppendJSON(dst, metadata, value []byte) ([]byte, error) {
	p := &jsonPrinter{dst: dst}
	err := Walk(metadata, value, p)
	return p.dst, err
}

// jsonPrinter prints what it visits.
type jsonPrinter struct {
	dst    []byte
	comma  bool // one is due before the next value or key
	closes []byte
}

func (p *jsonPrinter) next() {
	if p.comma {
		p.dst = append(p.dst, ',')
	}
	p.comma = true
}

func (p *jsonPrinter) Null() {
	p.next()
	p.dst = append(p.dst, "null"...)
}

func (p *jsonPrinter) Bool(v bool) {
	p.next()
	p.dst = strconv.AppendBool(p.dst, v)
}

func (p *jsonPrinter) Int(v int64) {
	p.next()
	p.dst = strconv.AppendInt(p.dst, v, 10)
}

func (p *jsonPrinter) Decimal(v decimal128.Num, scale int) {
	p.next()
	p.dst = append(p.dst, v.ToString(int32(scale))...)
}

func (p *jsonPrinter) Double(v float64) { p.real(v, 64) }

func (p *jsonPrinter) Float(v float32) { p.real(float64(v), 32) }

func (p *jsonPrinter) real(v float64, bits int) {
	p.next()
	switch {
	case math.IsNaN(v):
		p.dst = append(p.dst, `"NaN"`...)
	case math.IsInf(v, 1):
		p.dst = append(p.dst, `"Infinity"`...)
	case math.IsInf(v, -1):
		p.dst = append(p.dst, `"-Infinity"`...)
	default:
		p.dst = strconv.AppendFloat(p.dst, v, 'e', -1, bits)
	}
}

func (p *jsonPrinter) String(s []byte) {
	p.next()
	p.dst = AppendString(p.dst, s)
}

func (p *jsonPrinter) Key(key []byte) {
	p.next()
	p.dst = append(AppendString(p.dst, key), ':')
	p.comma = false
}

func (p *jsonPrinter) Begin(object bool) {
	p.next()
	p.comma = false
	if object {
		p.dst, p.closes = append(p.dst, '{'), append(p.closes, '}')
	} else {
		p.dst, p.closes = append(p.dst, '['), append(p.closes, ']')
	}
}

func (p *jsonPrinter) End() {
	last := len(p.closes) - 1
	p.dst, p.closes, p.comma = append(p.dst, p.closes[last]), p.closes[:last], true
}

func (p *jsonPrinter) Other(encoded []byte) {
	p.next()
	kind, b := encoded[0]>>2, encoded[1:]
	word := func() int64 { return int64(binary.LittleEndian.Uint64(b)) }
	p.dst = append(p.dst, '"')
	const local = "2006-01-02T15:04:05.999999999"
	switch kind {
	case primitiveDate:
		days := int64(int32(binary.LittleEndian.Uint32(b)))
		p.dst = time.Unix(days*24*60*60, 0).UTC().AppendFormat(p.dst, time.DateOnly)
	case primitiveTime:
		p.dst = time.UnixMicro(word()).UTC().AppendFormat(p.dst, "15:04:05.999999")
	case primitiveTimestamp:
		p.dst = time.UnixMicro(word()).UTC().AppendFormat(p.dst, local)
	case primitiveTimestampTz:
		p.dst = time.UnixMicro(word()).UTC().AppendFormat(p.dst, local+"Z")
	case primitiveTimestampNanos:
		p.dst = time.Unix(0, word()).UTC().AppendFormat(p.dst, local)
	case primitiveTimestampTzNanos:
		p.dst = time.Unix(0, word()).UTC().AppendFormat(p.dst, local+"Z")
	case primitiveUUID:
		p.dst = append(p.dst, uuid.UUID(b).String()...)
	default: // binary, whose length comes first
		p.dst = hex.AppendEncode(p.dst, b[4:])
	}
	p.dst = append(p.dst, '"')
}

// AppendString appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			dst = utf8.AppendRune(dst, r) // RuneError is U+FFFD
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}
