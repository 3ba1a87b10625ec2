package slice

import (
	"cmp"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
)

// render writes a leaf as an expression. binds is the operator on top of the text: leaf for
// none, else and or or.
func (t term) render(s set, null bool) (text string, binds op) {
	name := t.String()
	var parts []string
	points, rest := t.points(s)
	exclusions, shorter := "", false
	if len(rest) > 0 {
		exclusions, shorter = t.excluded(s)
	}
	switch {
	case s.isEverything():
		return name + " is not null", leaf // an "or is null" would make it an always
	case len(s) == 0:
		return name + " is null", leaf
	case shorter && !null:
		return exclusions, opOf(and, strings.Contains(exclusions, " and "))
	case shorter:
		if strings.Contains(exclusions, " and ") {
			exclusions = "(" + exclusions + ")"
		}
		parts = []string{exclusions}
	default:
		if len(points) > 0 {
			parts = append(parts, t.anyOf("=", "in", points))
		}
		for _, p := range rest {
			text, both := t.renderSpan(p)
			if both && (len(rest) > 1 || len(points) > 0 || null) {
				text = "(" + text + ")"
			}
			parts = append(parts, text)
		}
		if len(parts) == 1 && !null {
			_, both := t.renderSpan(s[0])
			return parts[0], opOf(and, both && len(points) == 0)
		}
	}
	if null {
		parts = append(parts, name+" is null")
	}
	return strings.Join(parts, " or "), opOf(or, len(parts) > 1)
}

func opOf(o op, yes bool) op {
	if yes {
		return o
	}
	return leaf
}

// String is the term as an expression writes it.
func (t term) String() string {
	if t.buckets > 0 {
		return "bucket(" + strconv.Itoa(t.buckets) + ", " + t.column.name + ")"
	}
	return t.column.name
}

// excluded writes a set that lacks only single values and prefixes as what it lacks.
func (t term) excluded(s set) (string, bool) {
	if t.line.kind == kindBool {
		return "", false
	}
	points, rest := t.points(s.complement())
	var parts []string
	if len(points) > 0 {
		parts = append(parts, t.anyOf("!=", "not in", points))
	}
	for _, p := range rest {
		if !t.isPrefix(p) {
			return "", false
		}
		text, _ := t.renderSpan(p)
		parts = append(parts, "not "+text)
	}
	return strings.Join(parts, " and "), true
}

// points splits the single values off a set: up to three neighbours are a list, more a range.
func (t term) points(s set) (points []string, rest []span) {
	most := 3
	if k := t.line.kind; k == kindFloat || k == kindDouble || t.line.varying() {
		most = 1
	}
	for _, p := range s {
		v := cmp.Or(p.lo, t.line.least)
		run := []string{v}
		next, ok := t.line.next(v)
		for ok && (p.unbounded || next < p.hi) && len(run) <= most {
			run = append(run, next)
			next, ok = t.line.next(next)
		}
		if len(run) <= most {
			points = append(points, run...)
		} else {
			rest = append(rest, p)
		}
	}
	return points, rest
}

func (t term) anyOf(one, many string, values []string) string {
	if len(values) == 1 {
		return t.String() + " " + one + " " + t.line.literal(values[0])
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = t.line.literal(v)
	}
	return t.String() + " " + many + " (" + strings.Join(texts, ", ") + ")"
}

func (t term) isPrefix(p span) bool {
	if !t.line.varying() || p.lo == "" {
		return false
	}
	end, ok := t.line.afterPrefix(p.lo)
	return ok && !p.unbounded && p.hi == end
}

// renderSpan writes a span; both says that it has two ends, joined by "and".
func (t term) renderSpan(p span) (text string, both bool) {
	if t.isPrefix(p) {
		return "starts_with(" + t.String() + ", " + t.line.literal(p.lo) + ")", false
	}
	var ends []string
	if p.lo != "" {
		ends = append(ends, t.String()+" "+t.end(">=", ">", p.lo))
	}
	if !p.unbounded {
		ends = append(ends, t.String()+" "+t.end("<", "<=", p.hi))
	}
	return strings.Join(ends, " and "), len(ends) == 2
}

// end writes one end of a span: by the value e itself, or by the one before it where that is
// how people put it ("> 0.1", not ">= 0.10000000000000002").
func (t term) end(at, past, e string) string {
	text := at + " " + t.line.literal(e)
	switch t.line.kind {
	case kindString, kindBinary:
		if strings.HasSuffix(e, "\x00") {
			return past + " " + t.line.literal(e[:len(e)-1])
		}
	case kindFloat, kindDouble:
		if before := t.line.literal(encodeInt(decodeInt(e) - 1)); len(past+before)+1 < len(text) {
			return past + " " + before
		}
	}
	return text
}

// literal writes a value so that the parser reads it back, in any zone.
func (l line) literal(e string) string {
	stamp := func(t time.Time) string {
		text := t.UTC().Format("2006-01-02T15:04:05.999999999")
		switch l.typ.(type) {
		case iceberg.TimestampTzType, iceberg.TimestampTzNsType:
			text += "Z"
		}
		return quote(text)
	}
	switch l.kind {
	case kindInt:
		return strconv.FormatInt(decodeInt(e), 10)
	case kindBool:
		return strconv.FormatBool(decodeInt(e) == 1)
	case kindDate:
		return time.Unix(decodeInt(e)*86400, 0).UTC().Format(time.DateOnly)
	case kindTime:
		return quote(time.UnixMicro(decodeInt(e)).UTC().Format("15:04:05.999999"))
	case kindMicros:
		return stamp(time.UnixMicro(decodeInt(e)))
	case kindNanos:
		return stamp(time.Unix(0, decodeInt(e)))
	case kindFloat:
		return formatFloat(float64(float32OfKey(decodeInt(e))), 32)
	case kindDouble:
		return formatFloat(float64OfKey(decodeInt(e)), 64)
	case kindDecimal:
		return decodeDecimal(e).ToString(int32(l.typ.(iceberg.DecimalType).Scale()))
	case kindString:
		return quote(e)
	case kindUUID:
		return quote(uuid.UUID([]byte(e)).String())
	}
	return "x'" + hex.EncodeToString([]byte(e)) + "'"
}

func formatFloat(f float64, bits int) string {
	return strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(f, 'g', -1, bits), "+"))
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// quoteName writes a name, segment by segment, in double quotes where the lexer needs them.
func quoteName(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		bare := n != "" && !reserved[strings.ToLower(n)]
		for j, r := range n {
			bare = bare && (r == '_' || unicode.IsLetter(r) || j > 0 && unicode.IsDigit(r))
		}
		if out[i] = n; !bare {
			out[i] = `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
		}
	}
	return strings.Join(out, ".")
}
