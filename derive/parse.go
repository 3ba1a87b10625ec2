// Package derive computes columns from the rows of an input: order_sk=hash(order_id, line_no).
//
//   - A Column is the name of a column and the expression for it.
//   - An expression is a column, a literal, or a call of a function over expressions.
//   - A Program is a list of columns bound to a schema: types are known, and rows can be computed.
//
// What an expression gives depends on the row, on its input's name and on its number in it, and on nothing
// else: no clock, no chance, no order of work. So a rerun gives the same rows, which is what idempotent loads
// rest on. docs/derive.md has the functions.
package derive

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/nearest"
)

// Error says what is wrong with an expression.
type Error struct{ Text, Advice string }

func (e *Error) Error() string { return e.Text }

// Hint says what to do; it may be empty.
func (e *Error) Hint() string { return e.Advice }

func wrong(hint, format string, args ...any) error {
	return &Error{fmt.Sprintf(format, args...), hint}
}

// Column is a column that is computed.
type Column struct {
	Name string
	// Text is the expression as it was given.
	Text string
	expr expr
}

// List are the columns of a load, in the order in which they were given.
type List []Column

// Names are the names of the columns.
func (l List) Names() (names []string) {
	for _, c := range l {
		names = append(names, c.Name)
	}
	return names
}

// Arguments are the columns that the expressions name, each once, in order.
func (l List) Arguments() (names []string) {
	for _, c := range l {
		c.expr.columns(func(name string) {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		})
	}
	return names
}

// expr is what was written.
type expr interface{ columns(func(string)) }

type (
	column  struct{ name string }
	literal struct {
		typ   iceberg.Type
		value any // string, int64 or bool
	}
	call struct {
		fn   *Function
		args []expr
		to   iceberg.Type // of cast
	}
)

func (c column) columns(give func(string)) { give(c.name) }
func (literal) columns(func(string))       {}
func (c call) columns(give func(string)) {
	for _, a := range c.args {
		a.columns(give)
	}
}

const form = `write NAME=EXPRESSION: order_sk=hash(order_id, line_no); texts go in single quotes, odd column names in double quotes`

// Parse reads "NAME=EXPRESSION", one a text. Errors are *Error.
func Parse(texts []string) (List, error) {
	var list List
	for _, text := range texts {
		p := &parser{text: text}
		name, ok := p.name()
		if !ok || !p.take('=') {
			return nil, wrong(form, "%q does not begin with a column's name and =", text)
		}
		if slices.Contains(list.Names(), name) {
			return nil, wrong("", "column %q comes twice", name)
		}
		e, err := p.expr(0)
		if err == nil && p.rest() != "" {
			err = wrong(form, "%q is left over", p.rest())
		}
		if err != nil {
			bad := err.(*Error)
			return nil, &Error{name + ": " + bad.Text, bad.Advice}
		}
		list = append(list, Column{Name: name, Text: strings.TrimSpace(text[strings.IndexByte(text, '=')+1:]), expr: e})
	}
	for _, name := range list.Arguments() {
		if slices.Contains(list.Names(), name) {
			return nil, wrong("put the one expression into the other: calls may be nested", "column %q is derived itself, and no column can be derived from it", name)
		}
	}
	return list, nil
}

// maxDepth keeps a hostile expression from exhausting the stack.
const maxDepth = 100

type parser struct {
	text string
	at   int
}

func (p *parser) skip() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

func (p *parser) rest() string {
	p.skip()
	return p.text[p.at:]
}

func (p *parser) take(c byte) bool {
	if p.skip(); p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// name takes a column's or function's name: a word, or anything between double quotes, a quote in it doubled.
func (p *parser) name() (string, bool) {
	p.skip()
	if p.at < len(p.text) && p.text[p.at] == '"' {
		name, ok := p.quoted('"')
		return name, ok && name != ""
	}
	from := p.at
	for p.at < len(p.text) {
		r, n := utf8.DecodeRuneInString(p.text[p.at:])
		if !(r == '_' || unicode.IsLetter(r) || p.at > from && (unicode.IsDigit(r) || unicode.Is(unicode.M, r))) {
			break
		}
		p.at += n
	}
	return p.text[from:p.at], p.at > from
}

func (p *parser) quoted(quote byte) (string, bool) {
	var b strings.Builder
	for p.at++; p.at < len(p.text); p.at++ {
		if p.text[p.at] == quote {
			if p.at++; p.at >= len(p.text) || p.text[p.at] != quote {
				return b.String(), true
			}
		}
		b.WriteByte(p.text[p.at])
	}
	return "", false
}

func (p *parser) expr(depth int) (expr, error) {
	rest := p.rest()
	switch {
	case depth > maxDepth:
		return nil, wrong("", "calls are nested more than %d deep", maxDepth)
	case rest == "":
		return nil, wrong(form, "an expression is missing at the end")
	case rest[0] == '\'':
		text, ok := p.quoted('\'')
		if !ok {
			return nil, wrong("a single quote in a text is doubled: 'it''s'", "a text has no end: %s", rest)
		}
		return literal{iceberg.PrimitiveTypes.String, text}, nil
	case rest[0] == '-' || rest[0] >= '0' && rest[0] <= '9':
		from := p.at
		for p.at++; p.at < len(p.text) && strings.IndexByte("0123456789.eE_", p.text[p.at]) >= 0; p.at++ {
		}
		v, err := strconv.ParseInt(p.text[from:p.at], 10, 64)
		if err != nil {
			return nil, wrong("a number with a fraction is written cast('1.50' as decimal(3, 2))", "%s is no whole number of 64 bits", p.text[from:p.at])
		}
		return literal{iceberg.PrimitiveTypes.Int64, v}, nil
	}
	name, ok := p.name()
	if !ok {
		return nil, wrong(form, "an expression should come before %q", rest)
	}
	if rest[0] == '"' || !p.take('(') {
		if rest[0] != '"' && (name == "true" || name == "false") {
			return literal{iceberg.PrimitiveTypes.Bool, name == "true"}, nil
		}
		if rest[0] != '"' && name == "null" {
			return nil, wrong("a column that the input lacks is null by itself", "null has no type")
		}
		return column{name}, nil
	}
	fn, err := lookup(name)
	if err != nil {
		return nil, err
	}
	c := call{fn: fn}
	for !p.take(')') {
		if len(c.args) > 0 && !p.take(',') {
			return nil, wrong(fn.Form, "%s(): a comma or ) should come before %q", fn.Name, p.rest())
		}
		arg, err := p.expr(depth + 1)
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, arg)
		if fn.Name == "cast" {
			if c.to, err = p.castType(); err != nil {
				return nil, err
			}
		}
	}
	if n := len(c.args); n < fn.least || n > fn.most {
		return nil, wrong("write "+fn.Form, "%s() has %d arguments", fn.Name, n)
	}
	return c, nil
}

// castType takes "as TYPE", up to the parenthesis that ends the cast.
func (p *parser) castType() (iceberg.Type, error) {
	word, _ := p.name()
	from, depth := p.at, 0
	for ; p.at < len(p.text) && !(p.text[p.at] == ')' && depth == 0); p.at++ {
		switch p.text[p.at] {
		case '(':
			depth++
		case ')':
			depth--
		}
	}
	if !strings.EqualFold(word, "as") || p.at == len(p.text) {
		return nil, wrong("write cast(amount as decimal(12, 2))", "cast() names no type")
	}
	t, err := arrowconv.ParseType(strings.TrimSpace(p.text[from:p.at]))
	if err != nil {
		hint := ""
		if h, ok := err.(interface{ Hint() string }); ok {
			hint = h.Hint()
		}
		return nil, wrong(hint, "cast(): %v", err)
	}
	return t, nil
}

// fickle are functions of other systems whose results differ from run to run, and why.
var fickle = map[string]string{
	"now": "the clock", "current_timestamp": "the clock", "current_date": "the clock", "current_time": "the clock",
	"today": "the clock", "getdate": "the clock", "sysdate": "the clock", "localtimestamp": "the clock",
	"uuid": "chance", "gen_random_uuid": "chance", "newid": "chance", "random": "chance", "rand": "chance", "randn": "chance",
	"row_number": "the order of all rows", "rank": "the order of all rows", "nextval": "what ran before", "sequence": "what ran before",
	"monotonically_increasing_id": "how the work is cut up", "rowid": "how the work is cut up",
}

// instead is what to use in their place.
var instead = map[string]string{
	"the clock":             "take a time from the rows, or give one with the run: d='2024-01-15'; the table's snapshots have the time of the load",
	"chance":                "hash(COLUMNS) over the columns that tell rows apart gives a key that stays",
	"the order of all rows": "source_row() is the number of a row in its file, hash(COLUMNS) a key that stays",
}

func lookup(name string) (*Function, error) {
	low := strings.ToLower(name)
	var known []string
	for i := range Functions {
		if Functions[i].Name == low {
			return &Functions[i], nil
		}
		known = append(known, Functions[i].Name)
	}
	if why, ok := fickle[low]; ok {
		hint := instead[why]
		if hint == "" {
			hint = instead["chance"]
		}
		return nil, wrong(hint, "there is no %s(): it would give other values when the load is run again, as it depends on %s", low, why)
	}
	hint := "the functions are " + strings.Join(known, ", ")
	if near := nearest.Name(name, known); near != "" {
		hint = "did you mean " + near + "()?"
	}
	return nil, wrong(hint, "there is no function %s()", name)
}
