package slice

import (
	"slices"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
)

// Slice is a condition on rows, parsed from an expression such as
//
//	event_date = 2024-01-15
//	ts >= '2024-01-15' and ts < '2024-01-16'
//	region in (eu-west, us-east), id_bucket = 3
//
// A row is inside when the condition is true for it, as in SQL: a comparison with a null is
// not true, and neither is its negation. Beyond SQL, NaN is a value: above all numbers and
// equal to itself, as Iceberg's Java evaluators, Spark and DuckDB order it, so that a float
// is always on one side of a bound. The two zeros are equal. Strings compare by code point,
// binary values and uuids byte by byte.
//
// A Slice is immutable; any number of goroutines may use it.
type Slice struct {
	root    *node
	columns map[int]*column
}

// Parse reads an expression over the columns of schema:
//
//	a = 1   a != 1   a <> 1   a < 1   a <= 1   a > 1   a >= 1   a between 1 and 5
//	a in (1, 2)   a not in (1, 2)   a is null   a is not null
//	s like 'x%' (a prefix, nothing else)   starts_with(s, 'x')
//	and   or   not   (…)   a = 1, b = x (the comma is an "and" between whole conditions)
//
// Names are bare, "quoted" where odd, and a.b inside structs. A literal has the type of its
// column: 12.50, true, 2024-01-15, '2024-01-15 10:00', x'00ff' for binary, or any bare word or
// 'quoted string' (' is doubled inside) for strings; what does not fit is
// refused, and only floats are rounded. A timestamp without
// an offset is in zone (nil: UTC) where the column is a timestamptz.
//
// A transform of a column stands where a column does: day(ts) = 2024-01-15, bucket(16, id) = 3,
// and so does the name of a partition field of specs, unless a column has that name; of two
// specs with one name the first counts, so the table's current spec should be first. Partition
// values are those that Iceberg shows: 2024, 2024-01, 2024-01-15 and 2024-01-15-10 for year,
// month, day and hour, always in UTC.
//
// Expressions that hold for no row, or for every row, are refused: both are slips.
// Errors are *Error and wrap ErrSlice.
func Parse(expr string, schema *iceberg.Schema, zone *time.Location, specs ...iceberg.PartitionSpec) (*Slice, error) {
	if zone == nil {
		zone = time.UTC
	}
	p := &parser{expr: expr, names: newNames(schema, specs), zone: zone}
	root, err := p.parse()
	if err != nil {
		return nil, err
	}
	switch root.op {
	case never:
		return nil, p.fail(0, "no row can be inside", "see whether the conditions exclude one another")
	case always:
		return nil, p.fail(0, "every row is inside", "to replace the whole table, say --replace-table and no --slice")
	}
	return newSlice(root), nil
}

func newSlice(root *node) *Slice {
	s := &Slice{root: root, columns: map[int]*column{}}
	root.walk(func(l *node) {
		s.columns[l.term.column.id] = l.term.column
		l.prepare()
	})
	return s
}

// String is the canonical form: equal conditions on single columns read the same, whatever
// their spelling, names of partition fields and zones are resolved, and Parse reads it back to
// the same Slice over the same schema.
func (s *Slice) String() string { return s.root.String() }

// Columns are the field ids of the columns that decide, ascending.
func (s *Slice) Columns() []int {
	ids := make([]int, 0, len(s.columns))
	for id := range s.columns {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Apart tells that no row is inside both slices, as far as their normal forms prove it.
func (s *Slice) Apart(o *Slice) bool { return join(and, s.root, o.root).op == never }

// column is a column of the table, or a field of a struct, that a condition is about.
type column struct {
	id   int
	name string // as an expression writes it, quoted where needed
	typ  iceberg.Type
	// ids and names lead from a top-level column down to this one.
	ids   []int
	names []string
}

// kind is the column's type, without what a nested one consists of.
func (c *column) kind() string {
	if _, nested := c.typ.(iceberg.NestedType); nested {
		return c.typ.Type()
	}
	return c.typ.String()
}

// term is what a leaf compares: a column, or the bucket of its value out of buckets.
type term struct {
	column  *column
	buckets int
	line    line // of the values compared; zero for types without an order
}

func (t term) same(o term) bool { return t.column.id == o.column.id && t.buckets == o.buckets }

func (t term) compare(o term) int {
	if t.column.id != o.column.id {
		return t.column.id - o.column.id
	}
	return t.buckets - o.buckets
}

// node is a condition in normal form. Negations have been pushed into the sets of the leaves,
// which SQL's logic allows because only leaves meet nulls: "is true" is then plain two-valued
// logic. An "and" or an "or" has two or more operands, none of its own kind, no constants, no
// two leaves on one term, in a canonical order.
type node struct {
	op   op
	kids []*node
	// of a leaf: a row is inside if the value is in set, or is null and null says so
	term term
	set  set
	null bool
	// prepared once: the rest of the line, and the set as ranges of what Arrow holds
	outside  set
	ranges   []intRange
	decimals []decimalRange
}

type op uint8

const (
	never op = iota
	always
	leaf
	and
	or
)

func newLeaf(t term, s set, null bool) *node {
	switch {
	case len(s) == 0 && !null:
		return &node{op: never}
	case s.isEverything() && null:
		return &node{op: always}
	}
	return &node{op: leaf, term: t, set: s, null: null}
}

// join is the conjunction or disjunction of kids, in normal form.
func join(o op, kids ...*node) *node {
	neutral, ruling := always, never
	if o == or {
		neutral, ruling = never, always
	}
	var flat []*node
	for _, k := range kids {
		if k.op == o {
			flat = append(flat, k.kids...)
		} else {
			flat = append(flat, k)
		}
	}
	var out []*node
	for _, k := range flat {
		if k.op == leaf {
			if i := slices.IndexFunc(out, func(n *node) bool { return n.op == leaf && n.term.same(k.term) }); i >= 0 {
				n := out[i]
				if o == and {
					k = newLeaf(n.term, n.set.intersect(k.set), n.null && k.null)
				} else {
					k = newLeaf(n.term, n.set.union(k.set), n.null || k.null)
				}
				out = slices.Delete(out, i, i+1)
			}
		}
		switch k.op {
		case ruling:
			return k
		case neutral:
		default:
			out = append(out, k)
		}
	}
	slices.SortStableFunc(out, (*node).compare)
	out = slices.CompactFunc(out, func(a, b *node) bool { return a.compare(b) == 0 })
	switch len(out) {
	case 0:
		return &node{op: neutral}
	case 1:
		return out[0]
	}
	return &node{op: o, kids: out}
}

// compare puts leaves first, by column, and the rest by how they read.
func (n *node) compare(o *node) int {
	switch {
	case n.op == leaf && o.op == leaf:
		return n.term.compare(o.term)
	case n.op == leaf:
		return -1
	case o.op == leaf:
		return 1
	}
	return strings.Compare(n.String(), o.String())
}

func (n *node) walk(f func(*node)) {
	if n.op == leaf {
		f(n)
	}
	for _, k := range n.kids {
		k.walk(f)
	}
}

func (n *node) String() string {
	switch n.op {
	case leaf:
		text, _ := n.term.render(n.set, n.null)
		return text
	case and, or:
		word := " and "
		if n.op == or {
			word = " or "
		}
		texts := make([]string, len(n.kids))
		for i, k := range n.kids {
			text, binds := k.String(), k.op
			if k.op == leaf {
				text, binds = k.term.render(k.set, k.null)
			}
			if binds != leaf && binds != n.op {
				text = "(" + text + ")"
			}
			texts[i] = text
		}
		return strings.Join(texts, word)
	}
	return n.op.word()
}

func (o op) word() string {
	if o == always {
		return "always"
	}
	return "never"
}
