package arrowconv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// jsonScanner reads the tokens of RFC 8259 from a buffer of lines. The buffer ends with a newline,
// which no token holds: a scan that stays within a line needs no other sign of the end.
type jsonScanner struct {
	b    []byte
	i    int // the next byte
	line int // where the row begins

	lines []int64 // of the input, where the rows of the buffer begin; nil where each is a line
	first int64   // of these, the row's; 0 where there are none

	text []byte  // a string with escapes, resolved
	bad  Reject  // why the row is not one
	stop rowStop // why the input as a whole is refused
}

// begin turns to another chunk.
func (p *jsonScanner) begin(ch jsonChunk) { p.b, p.i, p.lines, p.first = ch.text, 0, ch.lines, 0 }

// beginRow says that the row with this number in the chunk begins at p.i.
func (p *jsonScanner) beginRow(row int64) {
	if p.line = p.i; p.lines != nil {
		p.first = p.lines[row]
	}
}

// raw is the row as the input spells it, or nearly: CR before a line end is gone.
func (p *jsonScanner) raw(row []byte) []byte {
	if p.lines == nil {
		return bytes.Clone(bytes.TrimSuffix(row, []byte("\r")))
	}
	return bytes.ReplaceAll(row, []byte("\r"), []byte("\n"))
}

// where is p.i for people. Of a row that has lines its carriage returns are what is left of line ends.
func (p *jsonScanner) where() string {
	text := fmt.Sprintf("byte %d", p.i-p.line+1)
	if p.lines != nil {
		if more := bytes.Count(p.b[p.line:p.i], []byte("\r")); more > 0 {
			text += fmt.Sprintf(", on line %d", p.first+int64(more))
		}
	}
	return text
}

// endsWithin is what a row is told that is cut off.
const endsWithin = "it is not valid JSON: the row ends in the middle of a value"

// syntax makes the row a reject for a token that does not belong at p.i.
func (p *jsonScanner) syntax(what string) bool {
	if p.b[p.i] == '\n' {
		p.bad = Reject{Reason: endsWithin}
		return false
	}
	p.bad = Reject{Reason: fmt.Sprintf("it is not valid JSON at %s: %s", p.where(), what)}
	return false
}

// skipSpace moves to the next byte that is no space within the line, and returns it.
func (p *jsonScanner) skipSpace() byte {
	for {
		c := p.b[p.i]
		if c > ' ' || c != ' ' && c != '\t' && c != '\r' {
			return c
		}
		p.i++
	}
}

const (
	eachByte = 0x0101010101010101
	highBits = 0x8080808080808080
)

// str reads the string whose opening quote is at p.i. The result is part of the buffer, or of p.text.
func (p *jsonScanner) str() ([]byte, bool) {
	b, i := p.b, p.i+1
	start, escaped := i, false
	for {
		// Eight bytes at a time up to a quote, a backslash or a control character. In each of the three
		// masks the lowest mark is true; marks above it may be borrows of it.
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, slash := w^('"'*eachByte), w^('\\'*eachByte)
			m := ((quote-eachByte)&^quote | (slash-eachByte)&^slash | (w-0x20*eachByte)&^w) & highBits
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		for {
			c := b[i]
			if c == '"' {
				p.i = i + 1
				if escaped {
					return p.unescape(b[start:i])
				}
				return b[start:i], true
			}
			if c == '\\' {
				escaped = true
				if i++; b[i] >= 0x20 {
					i++
				}
				break
			}
			if c < 0x20 {
				p.i = i
				if c == '\n' {
					return nil, p.syntax("")
				}
				return nil, p.syntax("a control character must be escaped")
			}
			if i++; i+8 <= len(b) {
				break
			}
		}
	}
}

// unescape resolves the escapes of a string that was read up to p.i.
func (p *jsonScanner) unescape(s []byte) ([]byte, bool) {
	out := p.text[:0]
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			out = append(out, c)
			i++
			continue
		}
		i++
		switch s[i] {
		case '"', '\\', '/':
			out = append(out, s[i])
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hex4(s[i+1:])
			if r < 0 {
				return nil, p.escape(`\u wants four hexadecimal digits`)
			}
			i += 4
			if r >= 0xd800 && r < 0xe000 {
				// Half of a pair stands for no character, so there is no text that it could mean.
				low := rune(-1)
				if r < 0xdc00 && i+2 < len(s) && s[i+1] == '\\' && s[i+2] == 'u' {
					low = hex4(s[i+3:])
				}
				if low < 0xdc00 || low >= 0xe000 {
					return nil, p.escape("half of a surrogate pair")
				}
				r = (r-0xd800)<<10 + (low - 0xdc00) + 0x10000
				i += 6
			}
			out = utf8.AppendRune(out, r)
		default:
			return nil, p.escape(fmt.Sprintf(`\%c is no escape`, s[i]))
		}
		i++
	}
	p.text = out
	return out, true
}

func (p *jsonScanner) escape(what string) bool {
	p.bad = Reject{Reason: fmt.Sprintf("it is not valid JSON: the string before %s: %s", p.where(), what)}
	return false
}

// hex4 reads four hexadecimal digits, or gives -1.
func hex4(s []byte) rune {
	if len(s) < 4 {
		return -1
	}
	var r rune
	for _, c := range s[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// number reads the number at p.i to its text.
func (p *jsonScanner) number() (text []byte, ok bool) {
	b, i := p.b, p.i
	start := i
	if b[i] == '-' {
		i++
	}
	switch c := b[i]; {
	case c == '0':
		i++
	case c >= '1' && c <= '9':
		for b[i]-'0' <= 9 {
			i++
		}
	default:
		p.i = i
		return nil, p.syntax("a number wants a digit")
	}
	if b[i] == '.' {
		i++
		if b[i]-'0' > 9 {
			p.i = i
			return nil, p.syntax("a number wants a digit after its point")
		}
		for b[i]-'0' <= 9 {
			i++
		}
	}
	if b[i]|0x20 == 'e' {
		i++
		if b[i] == '+' || b[i] == '-' {
			i++
		}
		if b[i]-'0' > 9 {
			p.i = i
			return nil, p.syntax("a number wants a digit in its exponent")
		}
		for b[i]-'0' <= 9 {
			i++
		}
	}
	p.i = i
	return b[start:i], true
}

// word reads true, false or null at p.i.
func (p *jsonScanner) word(w string) bool {
	if len(p.b)-p.i > len(w) && string(p.b[p.i:p.i+len(w)]) == w {
		p.i += len(w)
		return true
	}
	return p.syntax("there is no such word")
}

// jsonKind names the kind of JSON value that begins with c, for people; "" where none does.
func jsonKind(c byte) string {
	switch {
	case c == '"':
		return "a string"
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == 't', c == 'f':
		return "a boolean"
	case c == 'n':
		return "null"
	case c == '-', c >= '0' && c <= '9':
		return "a number"
	}
	return ""
}

// maxDepth bounds the nesting of values that no schema bounds.
const maxDepth = 128

// skip reads any value at p.i, up to depth levels deep, with the whole grammar; its text is what p.i passes.
func (p *jsonScanner) skip(depth int) bool {
	c := p.b[p.i]
	switch c {
	case '"':
		_, ok := p.str()
		return ok
	case 't':
		return p.word("true")
	case 'f':
		return p.word("false")
	case 'n':
		return p.word("null")
	case '{', '[':
	default:
		if jsonKind(c) == "" {
			return p.syntax("a value was expected")
		}
		_, ok := p.number()
		return ok
	}
	if depth == 0 {
		p.bad = Reject{Reason: fmt.Sprintf("it is nested more than %d deep", maxDepth)}
		return false
	}
	closing := c + 2 // in ASCII, for both
	p.i++
	if p.skipSpace() == closing {
		p.i++
		return true
	}
	for {
		if c == '{' {
			if p.skipSpace() != '"' {
				return p.syntax("a key was expected")
			}
			if _, ok := p.str(); !ok || !p.colon() {
				return false
			}
		}
		p.skipSpace()
		if !p.skip(depth - 1) {
			return false
		}
		more, ok := p.next(closing)
		if !more {
			return ok
		}
	}
}

// colon reads the colon after a key and the space after it.
func (p *jsonScanner) colon() bool {
	if p.skipSpace() != ':' {
		return p.syntax("a colon was expected")
	}
	p.i++
	p.skipSpace()
	return true
}

// next reads what follows a member: a comma and the space after it, or the closing bracket.
func (p *jsonScanner) next(closing byte) (more, ok bool) {
	c := p.b[p.i]
	if c <= ' ' {
		c = p.skipSpace()
	}
	switch c {
	case ',':
		p.i++
		if p.b[p.i] <= ' ' {
			p.skipSpace()
		}
		return true, true
	case closing:
		p.i++
		return false, true
	}
	return false, p.syntax(fmt.Sprintf("a comma or %c was expected", closing))
}
