package catalog

import (
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// ParseSortBy reads a sort order for schema: terms as in ParsePartitionBy, each
// with asc (the default) or desc and nulls first or nulls last after it. Without
// the latter nulls come first where the order ascends and last where it descends,
// as in Iceberg. "" gives the unsorted order. Errors are *ExprError.
func ParseSortBy(expr string, schema *iceberg.Schema) (table.SortOrder, error) {
	p := &exprParser{kind: "sort by", expr: expr, rest: expr, schema: schema}
	if p.skipSpace(); p.rest == "" {
		return table.UnsortedSortOrder, nil
	}
	var fields []table.SortField
	for {
		t, err := p.term()
		if err != nil {
			return table.SortOrder{}, err
		}
		if _, void := t.transform.(iceberg.VoidTransform); void {
			return table.SortOrder{}, p.fail("", "void orders nothing")
		}
		f := table.SortField{SourceIDs: []int{t.field.ID}, Transform: t.transform, Direction: table.SortASC, NullOrder: table.NullsFirst}
		if p.keyword("desc") {
			f.Direction, f.NullOrder = table.SortDESC, table.NullsLast
		} else {
			p.keyword("asc")
		}
		if p.keyword("nulls") {
			switch {
			case p.keyword("first"):
				f.NullOrder = table.NullsFirst
			case p.keyword("last"):
				f.NullOrder = table.NullsLast
			default:
				return table.SortOrder{}, p.fail("write nulls first or nulls last", "expected first or last %s", p.here())
			}
		}
		for _, g := range fields {
			if g.SourceID() == f.SourceID() && g.Transform.Equals(f.Transform) {
				return table.SortOrder{}, p.fail("", "%s is there twice", formatTerm(f.Transform, f.SourceID(), schema))
			}
		}
		fields = append(fields, f)
		if done, err := p.comma(); err != nil {
			return table.SortOrder{}, err
		} else if done {
			break
		}
	}
	order, err := table.NewSortOrder(table.InitialSortOrderID, fields)
	if err != nil {
		return order, p.fail("", "%v", err)
	}
	return order, nil
}

// keyword takes word off the front of the rest, in any case.
func (p *exprParser) keyword(word string) bool {
	p.skipSpace()
	if len(p.rest) < len(word) || !strings.EqualFold(p.rest[:len(word)], word) {
		return false
	}
	after := p.rest[len(word):]
	if after != "" && bareRune([]rune(after)[0]) {
		return false
	}
	p.rest = after
	return true
}

// FormatSortOrder writes an order so that ParseSortBy reads it back; "" when it is
// unsorted.
func FormatSortOrder(order table.SortOrder, schema *iceberg.Schema) string {
	var terms []string
	for _, f := range order.Fields() {
		s := formatTerm(f.Transform, f.SourceID(), schema)
		usual := table.NullsFirst
		if f.Direction == table.SortDESC {
			s, usual = s+" desc", table.NullsLast
		}
		if f.NullOrder != usual {
			s += " " + strings.ReplaceAll(string(f.NullOrder), "-", " ")
		}
		terms = append(terms, s)
	}
	return strings.Join(terms, ", ")
}
