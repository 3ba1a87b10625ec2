package slice

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// token is a piece of an expression: expr[pos:end].
type token struct {
	kind     tokenKind
	text     string // a word as written, a string without its quotes, a symbol
	pos, end int
}

type tokenKind uint8

const (
	tokenEnd    tokenKind = iota
	tokenWord             // bare
	tokenString           // 'single quotes'
	tokenName             // "double quotes"
	tokenSymbol           // = != <> < <= > >= ( ) , .
)

// reserved words start no condition and are no bare value.
var reserved = map[string]bool{
	"and": true, "or": true, "not": true, "in": true, "is": true, "null": true, "like": true,
	"between": true,
}

// lex reads one token from pos on. What ends a bare word depends on the place: where a value
// is due, "2024-01-15", "eu-west" and "a.b" are one word, while in a name only letters, digits,
// "_" and "$" are and dots join segments.
func (p *parser) lex(pos int, value bool) (token, *Error) {
	for pos < len(p.expr) {
		r, size := utf8.DecodeRuneInString(p.expr[pos:])
		if !unicode.IsSpace(r) {
			break
		}
		pos += size
	}
	if pos == len(p.expr) {
		return token{pos: pos, end: pos}, nil
	}
	rest := p.expr[pos:]
	switch c := rest[0]; c {
	case '\'', '"':
		return p.lexQuoted(pos, c)
	case '(', ')', ',':
		return token{tokenSymbol, rest[:1], pos, pos + 1}, nil
	case '=', '!', '<', '>':
		for _, s := range []string{"==", "!=", "<>", "<=", ">=", "=", "<", ">"} {
			if strings.HasPrefix(rest, s) {
				return token{tokenSymbol, s, pos, pos + len(s)}, nil
			}
		}
		return token{}, p.fail(pos, "unexpected "+quote(rest[:1]), "")
	}
	end := strings.IndexFunc(rest, func(r rune) bool {
		if value {
			return unicode.IsSpace(r) || strings.ContainsRune(`(),'"=!<>`, r)
		}
		return r != '_' && r != '$' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	switch {
	case end < 0:
		end = len(rest)
	case end == 0 && rest[0] == '.':
		return token{tokenSymbol, ".", pos, pos + 1}, nil
	case end == 0:
		r, _ := utf8.DecodeRuneInString(rest)
		return token{}, p.fail(pos, "unexpected "+quote(string(r)), `names with such characters go in double quotes: "odd-name"`)
	}
	return token{tokenWord, rest[:end], pos, pos + end}, nil
}

// lexQuoted reads a string in quotes, which are doubled inside.
func (p *parser) lexQuoted(pos int, q byte) (token, *Error) {
	kind := tokenString
	if q == '"' {
		kind = tokenName
	}
	var text strings.Builder
	for i := pos + 1; i < len(p.expr); i++ {
		if p.expr[i] == q {
			if i+1 == len(p.expr) || p.expr[i+1] != q {
				return token{kind, text.String(), pos, i + 1}, nil
			}
			i++
		}
		text.WriteByte(p.expr[i])
	}
	return token{}, p.fail(pos, "the quote that opens here is not closed", "a quote inside quotes is doubled")
}
