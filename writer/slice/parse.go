package slice

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
)

// parser reads an expression by recursive descent and returns it in normal form at once: every
// method that reads a condition takes whether the condition is negated.
type parser struct {
	expr  string
	pos   int
	depth int
	names *names
	zone  *time.Location
}

// deepest is how far parentheses and nots may nest: a bound for the stack, far above use.
const deepest = 100

func (p *parser) fail(pos int, problem, advice string) *Error {
	return &Error{Expr: p.expr, Pos: pos, Problem: problem, Advice: advice}
}

func (p *parser) unknown(pos int, column string) *Error {
	err := p.fail(pos, fmt.Sprintf("the table has no column %s", column), p.names.advise(column))
	err.Column = column
	return err
}

// unexpected tells what stands at t, where something else is due.
func (p *parser) unexpected(t token, due string) *Error {
	if t.kind == tokenEnd {
		return p.fail(t.pos, due+" is missing", "")
	}
	advice := ""
	if t.kind == tokenWord && strings.HasPrefix(due, "and,") {
		advice = "values with spaces go in single quotes"
	}
	return p.fail(t.pos, fmt.Sprintf("%s is due here, not %s", due, p.expr[t.pos:t.end]), advice)
}

func (p *parser) peek() (token, *Error) { return p.lex(p.pos, false) }

// word reads the given keyword if it comes next.
func (p *parser) word(word string) (bool, *Error) {
	t, err := p.peek()
	if err != nil || t.kind != tokenWord || !strings.EqualFold(t.text, word) {
		return false, err
	}
	p.pos = t.end
	return true, nil
}

// symbol reads the given symbol if it comes next.
func (p *parser) symbol(s string) (bool, *Error) {
	t, err := p.peek()
	if err != nil || t.kind != tokenSymbol || t.text != s {
		return false, err
	}
	p.pos = t.end
	return true, nil
}

func (p *parser) demand(s string) *Error {
	ok, err := p.symbol(s)
	if err != nil || ok {
		return err
	}
	t, _ := p.peek()
	return p.unexpected(t, s)
}

// parse reads the whole expression.
func (p *parser) parse() (*node, error) {
	if !strings.ContainsFunc(p.expr, func(r rune) bool { return r != ' ' }) {
		return nil, p.fail(0, "a condition is missing", "for instance event_date=2024-01-15")
	}
	for i, r := range p.expr {
		if r == '\uFFFD' && !strings.HasPrefix(p.expr[i:], "\uFFFD") {
			return nil, p.fail(i, "the expression is not UTF-8", "")
		}
	}
	var parts []*node
	loose := -1 // where a part with an "or" of its own starts
	for {
		start := p.pos
		n, ors, err := p.disjunction(false)
		if err != nil {
			return nil, err
		}
		if ors && loose < 0 {
			loose = start
		}
		parts = append(parts, n)
		comma, err := p.symbol(",")
		if err != nil {
			return nil, err
		}
		if comma {
			continue
		}
		t, err := p.peek()
		switch {
		case err != nil:
			return nil, err
		case t.kind != tokenEnd:
			return nil, p.unexpected(t, "and, or or the end")
		case loose >= 0 && len(parts) > 1:
			return nil, p.fail(loose, "an or between commas could mean two things", "put parentheses around it")
		}
		return join(and, parts...), nil
	}
}

// disjunction also tells whether it has an "or".
func (p *parser) disjunction(not bool) (n *node, ors bool, err *Error) {
	o := or
	if not {
		o = and
	}
	var kids []*node
	for {
		k, err := p.conjunction(not)
		if err != nil {
			return nil, false, err
		}
		kids = append(kids, k)
		if more, err := p.word("or"); err != nil {
			return nil, false, err
		} else if !more {
			return join(o, kids...), len(kids) > 1, nil
		}
	}
}

func (p *parser) conjunction(not bool) (*node, *Error) {
	o := and
	if not {
		o = or
	}
	var kids []*node
	for {
		k, err := p.condition(not)
		if err != nil {
			return nil, err
		}
		kids = append(kids, k)
		if more, err := p.word("and"); err != nil {
			return nil, err
		} else if !more {
			return join(o, kids...), nil
		}
	}
}

func (p *parser) condition(not bool) (*node, *Error) {
	if p.depth++; p.depth > deepest {
		return nil, p.fail(p.pos, "the expression nests too deep", "")
	}
	defer func() { p.depth-- }()
	if negated, err := p.word("not"); err != nil {
		return nil, err
	} else if negated {
		return p.condition(!not)
	}
	if open, err := p.symbol("("); err != nil {
		return nil, err
	} else if open {
		n, _, err := p.disjunction(not)
		if err != nil {
			return nil, err
		}
		return n, p.demand(")")
	}
	start := p.pos
	if prefix, err := p.word("starts_with"); err != nil {
		return nil, err
	} else if prefix {
		if open, err := p.symbol("("); err != nil {
			return nil, err
		} else if open {
			return p.startsWith(not)
		}
		p.pos = start // a column of that name
	}
	return p.comparison(not)
}

func (p *parser) startsWith(not bool) (*node, *Error) {
	x, pos, err := p.operand()
	if err != nil {
		return nil, err
	}
	if err := p.demand(","); err != nil {
		return nil, err
	}
	l, err := p.lineFor(x, pos)
	if err != nil {
		return nil, err
	}
	if !l.varying() {
		return nil, p.fail(pos, fmt.Sprintf("%s is of type %s, which has no prefixes", x, x.column.kind()), "")
	}
	v, _, err := p.value(x, l)
	if err != nil {
		return nil, err
	}
	if err := p.demand(")"); err != nil {
		return nil, err
	}
	return p.leaf(x, l, l.prefixed(v), not, pos)
}

// operand reads a column, a partition field or a transform of a column, and gives its place.
func (p *parser) operand() (operand, int, *Error) {
	t, err := p.peek()
	if err != nil {
		return operand{}, 0, err
	}
	pos := t.pos
	if t.kind == tokenWord {
		if name := strings.TrimSuffix(strings.ToLower(t.text), "s"); transformNames[name] {
			if open, err := p.lex(t.end, false); err == nil && open.kind == tokenSymbol && open.text == "(" {
				p.pos = open.end
				x, err := p.transform(name, pos)
				return x, pos, err
			}
		}
	}
	full, err := p.name("a column")
	if err != nil {
		return operand{}, pos, err
	}
	if c := p.names.columns[full]; c != nil {
		return operand{column: c}, pos, nil
	}
	if x, ok := p.names.partitions[full]; ok {
		return x, pos, nil
	}
	return operand{}, pos, p.unknown(pos, full)
}

// name reads a name of one or more segments, joined by dots.
func (p *parser) name(due string) (string, *Error) {
	var segments []string
	for {
		t, err := p.peek()
		if err != nil {
			return "", err
		}
		if t.kind != tokenName && (t.kind != tokenWord || reserved[strings.ToLower(t.text)]) {
			return "", p.unexpected(t, due)
		}
		p.pos = t.end
		segments = append(segments, t.text)
		if dot, err := p.symbol("."); err != nil {
			return "", err
		} else if !dot {
			return strings.Join(segments, "."), nil
		}
	}
}

var transformNames = map[string]bool{"year": true, "month": true, "day": true, "hour": true, "bucket": true, "truncate": true}

// transform reads what follows "bucket(".
func (p *parser) transform(name string, pos int) (operand, *Error) {
	width := 0
	if name == "bucket" || name == "truncate" {
		t, err := p.peek()
		if err != nil {
			return operand{}, err
		}
		n, bad := strconv.ParseInt(t.text, 10, 32)
		if t.kind != tokenWord || bad != nil || n <= 0 {
			return operand{}, p.unexpected(t, "a positive number")
		}
		p.pos, width = t.end, int(n)
		if err := p.demand(","); err != nil {
			return operand{}, err
		}
	}
	at := p.pos
	inner, err := p.name("a column")
	if err != nil {
		return operand{}, err
	}
	c := p.names.columns[inner]
	if c == nil {
		return operand{}, p.unknown(at, inner)
	}
	if err := p.demand(")"); err != nil {
		return operand{}, err
	}
	transform := map[string]iceberg.Transform{
		"year": iceberg.YearTransform{}, "month": iceberg.MonthTransform{}, "day": iceberg.DayTransform{},
		"hour": iceberg.HourTransform{}, "bucket": iceberg.BucketTransform{NumBuckets: width},
		"truncate": iceberg.TruncateTransform{Width: width},
	}[name]
	if !transform.CanTransform(c.typ) {
		return operand{}, p.fail(pos, fmt.Sprintf("%s does not apply to %s, which is of type %s", name, inner, c.kind()), "")
	}
	return operand{c, transform}, nil
}

func (x operand) String() string {
	if x.transform == nil {
		return x.column.name
	}
	return fmt.Sprintf("%s of %s", x.transform, x.column.name)
}

// lineFor is the line of the values that x is compared with.
func (p *parser) lineFor(x operand, pos int) (line, *Error) {
	if x.transform == nil {
		if l, ok := lineOf(x.column.typ); ok {
			return l, nil
		}
		return line{}, p.fail(pos, fmt.Sprintf("%s is of type %s, which has no order", x, x.column.kind()), "is null and is not null apply")
	}
	if l, ok := resultLine(x.transform, x.column.typ); ok {
		return l, nil
	}
	return line{}, p.fail(pos, fmt.Sprintf("%s says nothing about a row", x), "use the column itself")
}

// leaf makes the condition that x is in s, a set on the line l.
func (p *parser) leaf(x operand, l line, s set, not bool, pos int) (*node, *Error) {
	if not {
		s = s.complement()
	}
	t := term{column: x.column, line: l}
	if b, ok := x.transform.(iceberg.BucketTransform); ok {
		t.buckets = b.NumBuckets
		return newLeaf(t, s, false), nil
	}
	if x.transform != nil {
		var ok bool
		if s, ok = preimage(x.transform, x.column.typ, s); !ok {
			return nil, p.fail(pos, fmt.Sprintf("%s says nothing about a row", x), "use the column itself")
		}
		t.line, _ = lineOf(x.column.typ)
	}
	return newLeaf(t, s, false), nil
}

// comparison reads an operand, an operator and its values.
func (p *parser) comparison(not bool) (*node, *Error) {
	x, pos, err := p.operand()
	if err != nil {
		return nil, err
	}
	t, err := p.peek()
	if err != nil {
		return nil, err
	}
	word := strings.ToLower(t.text)
	if t.kind == tokenWord && word == "is" {
		p.pos = t.end
		return p.isNull(x, not, pos)
	}
	isOperator := t.kind == tokenSymbol && strings.ContainsAny(t.text, "=<>") ||
		t.kind == tokenWord && (word == "not" || word == "in" || word == "like" || word == "between")
	if !isOperator {
		return nil, p.unexpected(t, "=, !=, <, <=, >, >=, in, between, like or is")
	}
	l, err := p.lineFor(x, pos)
	if err != nil {
		return nil, err
	}
	p.pos = t.end
	if word == "not" {
		not = !not
		if t, err = p.peek(); err != nil {
			return nil, err
		}
		word = strings.ToLower(t.text)
		if t.kind != tokenWord || word != "in" && word != "like" && word != "between" {
			return nil, p.unexpected(t, "in, like or between")
		}
		p.pos = t.end
	}
	ordered := word == "between" || strings.ContainsAny(word, "<>") && word != "<>"
	_, bucket := x.transform.(iceberg.BucketTransform)
	if ordered && (bucket || l.kind == kindBool) {
		return nil, p.fail(t.pos, fmt.Sprintf("%s has no order", x), "use =, != or in")
	}
	s, err := p.operation(x, l, word)
	if err != nil {
		return nil, err
	}
	return p.leaf(x, l, s, not, pos)
}

// operation reads the values that go with an operator and gives the set that they describe.
func (p *parser) operation(x operand, l line, operator string) (set, *Error) {
	switch operator {
	case "in":
		return p.list(x, l)
	case "like":
		return p.like(x, l)
	}
	v, _, err := p.value(x, l)
	if err != nil {
		return nil, err
	}
	switch operator {
	case "=", "==":
		return l.point(v), nil
	case "!=", "<>":
		return l.point(v).complement(), nil
	case "<":
		return l.below(v), nil
	case "<=":
		return l.upTo(v), nil
	case ">":
		return l.after(v), nil
	case ">=":
		return l.from(v), nil
	}
	if ok, err := p.word("and"); err != nil || !ok { // between
		t, _ := p.peek()
		return nil, p.unexpected(t, "and")
	}
	to, _, err := p.value(x, l)
	if err != nil {
		return nil, err
	}
	return l.from(v).intersect(l.upTo(to)), nil
}

func (p *parser) list(x operand, l line) (set, *Error) {
	if err := p.demand("("); err != nil {
		return nil, err
	}
	var spans []span
	for {
		v, _, err := p.value(x, l)
		if err != nil {
			return nil, err
		}
		spans = append(spans, l.point(v)...)
		if more, err := p.symbol(","); err != nil {
			return nil, err
		} else if !more {
			return unite(spans...), p.demand(")")
		}
	}
}

// like reads a pattern. Only a prefix is a range of values, so nothing else is taken.
func (p *parser) like(x operand, l line) (set, *Error) {
	t, err := p.lex(p.pos, true)
	if err != nil {
		return nil, err
	}
	if l.kind != kindString {
		return nil, p.fail(t.pos, fmt.Sprintf("%s is of type %s: like is for strings", x, x.column.kind()), "")
	}
	if t.kind != tokenString {
		return nil, p.unexpected(t, "a pattern in single quotes")
	}
	p.pos = t.end
	var prefix strings.Builder
	for i := 0; i < len(t.text); i++ {
		switch c := t.text[i]; {
		case c == '\\' && i+1 < len(t.text) && strings.IndexByte(`%_\`, t.text[i+1]) >= 0:
			i++
			prefix.WriteByte(t.text[i])
		case c == '%' && i == len(t.text)-1:
			return l.prefixed(prefix.String()), nil
		case c == '%' || c == '_':
			return nil, p.fail(t.pos, "only a prefix is a range: 'x%'", `a literal % or _ is \% or \_`)
		default:
			prefix.WriteByte(c)
		}
	}
	return l.point(prefix.String()), nil
}

// isNull reads what follows "is".
func (p *parser) isNull(x operand, not bool, pos int) (*node, *Error) {
	if negated, err := p.word("not"); err != nil {
		return nil, err
	} else if negated {
		not = !not
	}
	if null, err := p.word("null"); err != nil {
		return nil, err
	} else if !null {
		t, _ := p.peek()
		return nil, p.unexpected(t, "null")
	}
	if x.transform != nil {
		// Every transform but void is null exactly where its source is.
		if _, ok := resultLine(x.transform, x.column.typ); !ok {
			return nil, p.fail(pos, fmt.Sprintf("%s says nothing about a row", x), "use the column itself")
		}
	}
	l, _ := lineOf(x.column.typ)
	t := term{column: x.column, line: l}
	if not {
		return newLeaf(t, everything, false), nil
	}
	return newLeaf(t, nil, true), nil
}
