package catalog

import (
	"fmt"
	"strings"

	"github.com/apache/iceberg-go/table"
)

// IdentifierError tells what is wrong with a table's name.
type IdentifierError struct{ Name, What string }

func (e *IdentifierError) Error() string { return fmt.Sprintf("table name %q: %s", e.Name, e.What) }

// Hint says how names are written.
func (e *IdentifierError) Hint() string {
	return `write namespace.table; a part with a dot in it goes in double quotes: lake."odd.name"`
}

func (e *IdentifierError) Unwrap() error { return ErrConfig }

// ParseIdentifier reads a table's name: a namespace of one or more parts and the
// table, separated by dots. A part in double quotes may hold dots; a quote inside
// is doubled.
func ParseIdentifier(s string) (table.Identifier, error) {
	bad := func(format string, a ...any) (table.Identifier, error) {
		return nil, &IdentifierError{s, fmt.Sprintf(format, a...)}
	}
	var id table.Identifier
	for rest := s; ; {
		var part string
		if strings.HasPrefix(rest, `"`) {
			var ok bool
			if part, rest, ok = cutQuoted(rest); !ok {
				return bad("a double quote is not closed")
			}
		} else {
			end := strings.IndexByte(rest, '.')
			if end < 0 {
				end = len(rest)
			}
			part, rest = rest[:end], rest[end:]
			if strings.Contains(part, `"`) {
				return bad("a double quote stands inside a part")
			}
		}
		switch {
		case part == "":
			return bad("part %d is empty", len(id)+1)
		case part == "." || part == "..":
			return bad("%q cannot be a part of a name", part)
		case strings.ContainsAny(part, "/\x00"):
			return bad("a part cannot hold a slash")
		case strings.ContainsFunc(part, func(r rune) bool { return r < ' ' || r == 0x7f }):
			return bad("a part cannot hold control characters")
		}
		id = append(id, part)
		if rest == "" {
			break
		}
		if rest[0] != '.' {
			return bad("after the quoted part comes %q instead of a dot", rest)
		}
		rest = rest[1:]
	}
	if len(id) < 2 {
		return bad("the namespace is missing")
	}
	return id, nil
}

// FormatIdentifier writes a name so that ParseIdentifier reads it back.
func FormatIdentifier(id table.Identifier) string {
	parts := make([]string, len(id))
	for i, p := range id {
		if strings.ContainsAny(p, `."`) {
			p = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
		}
		parts[i] = p
	}
	return strings.Join(parts, ".")
}

// cutQuoted takes a part in double quotes off the front of s.
func cutQuoted(s string) (part, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '"' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		return b.String(), s[i+1:], true
	}
	return "", "", false
}
