package arrowconv

import (
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/nearest"
)

// ColumnChoice takes one column of the input for one of the table.
type ColumnChoice struct {
	// Name is the column's in the table, From is that in the input.
	Name, From string
}

// Names say which column of an input is which of the table: that of the same name, unless they say
// otherwise. They are about columns, not about the fields of structs.
type Names struct {
	// Columns are the columns to take; others of the input are left out. The default, nil, takes all.
	// Columns that come from elsewhere, paths say, are not among them, unless under other names.
	Columns []ColumnChoice
	// IgnoreCase takes a column for the one whose name differs in case only, if there is no other.
	IgnoreCase bool
}

// dropped is the place of a column that is left out.
const dropped = -1

// choose gives t's columns the names that the input has for them. Errors wrap ErrInput.
func (t *target) choose(n Names) error {
	t.names = n
	if n.Columns == nil {
		return nil
	}
	t.index = make(map[string]int, len(n.Columns))
	for _, c := range n.Columns {
		i := slices.IndexFunc(t.fields, func(f iceberg.NestedField) bool { return f.Name == c.Name })
		if i < 0 {
			return inputErrorf(notThere(c.Name, t.columnNames()), "--columns: column %s is not in the table", quoteShort(c.Name))
		}
		t.index[c.From] = i
	}
	return nil
}

// elsewhere is the place of a column that comes from elsewhere than the input's bytes: under the name that is
// chosen for it, or its own.
func (t *target) elsewhere(name string) (int, bool) {
	if i, ok := t.index[name]; ok {
		return i, true
	}
	i := slices.IndexFunc(t.fields, func(f iceberg.NestedField) bool { return f.Name == name })
	for _, c := range t.names.Columns {
		if c.Name == name {
			return 0, false // it is the input's, under another name
		}
	}
	return i, i >= 0
}

func (t *target) columnNames() []string {
	names := make([]string, len(t.fields))
	for i, f := range t.fields {
		names[i] = f.Name
	}
	return names
}

// notThere is the hint for a column that the table lacks.
func notThere(name string, names []string) string {
	if near := nearest.Name(name, names); near != "" {
		return "did you mean " + quoteShort(near) + "? Otherwise " + addHint
	}
	return addHint
}

// column is the place of an input's column in the table, or dropped.
func (t *target) column(in Input, name string) (int, error) {
	if i, ok := t.index[name]; ok {
		return i, nil
	}
	if t.names.IgnoreCase {
		var same []string
		for known := range t.index {
			if strings.EqualFold(known, name) {
				same = append(same, known)
			}
		}
		slices.Sort(same)
		switch len(same) {
		case 0:
		case 1:
			return t.index[same[0]], nil
		default:
			return 0, inputErrorf("leave --ignore-case out, or say --columns", "%s: column %s could be %s or %s",
				in.Name, quoteShort(name), quoteShort(same[0]), quoteShort(same[1]))
		}
	}
	if t.names.Columns != nil && !slices.Contains(t.ours, name) {
		return dropped, nil
	}
	return 0, t.unknownColumn(in, name)
}

// align finds the place of each of an input's columns, and what the input lacks. Two columns for one place
// are an error.
func (t *target) align(in Input, names []string) ([]int, error) {
	places := make([]int, len(names))
	given := make(map[int]int, len(names))
	for i, name := range names {
		at, err := t.column(in, name)
		if err != nil {
			return nil, err
		}
		if other, ok := given[at]; ok && at != dropped {
			return nil, inputErrorf("leave --ignore-case out, or take one of them with --columns", "%s: columns %s and %s are both %s of the table",
				in.Name, quoteShort(names[other]), quoteShort(name), quoteShort(t.fields[at].Name))
		}
		places[i], given[at] = at, i
	}
	for from, at := range t.index {
		_, ok := given[at]
		if s := t.substitutes[at]; t.names.Columns != nil && !ok && (s == nil || s.preset) {
			hint := ""
			if near := nearest.Name(from, names); near != "" {
				hint = "did you mean " + quoteShort(near) + "?"
			}
			return nil, inputErrorf(hint, "%s: column %s of --columns is not in the input", in.Name, quoteShort(from))
		}
	}
	for i := range t.fields {
		if _, ok := given[i]; !ok {
			if err := t.lacks(in, i); err != nil {
				return nil, err
			}
		}
	}
	return places, nil
}

// inTable is the name in a table for an input's column; ok is false where the column is left out. known are
// the table's, which decide how a name is written whose case is ignored; "" may be.
func (n Names) inTable(name string, known []iceberg.NestedField) (string, bool) {
	same := func(a, b string) bool { return a == b || n.IgnoreCase && strings.EqualFold(a, b) }
	if n.Columns != nil {
		for _, fits := range []func(a, b string) bool{func(a, b string) bool { return a == b }, same} {
			for _, c := range n.Columns {
				if fits(c.From, name) {
					return c.Name, true
				}
			}
		}
		return "", false
	}
	if !slices.ContainsFunc(known, func(f iceberg.NestedField) bool { return f.Name == name }) {
		for _, f := range known {
			if same(f.Name, name) {
				return f.Name, true
			}
		}
	}
	return name, true
}

// choose gives inferred columns the names of the table's, in the order of Columns, and leaves the others out.
func (o InferOptions) choose(in Input, schema *iceberg.Schema) (*iceberg.Schema, error) {
	if o.Columns == nil && !o.IgnoreCase {
		return schema, nil
	}
	var known []iceberg.NestedField
	if o.Beside != nil {
		known = o.Beside.Fields()
	}
	var fields []iceberg.NestedField
	froms := map[string]string{}
	for _, f := range schema.Fields() {
		from := f.Name
		var ok bool
		if f.Name, ok = o.inTable(from, known); !ok {
			continue
		}
		key := f.Name
		if o.IgnoreCase {
			key = strings.ToLower(key)
		}
		if other, twice := froms[key]; twice {
			return nil, inputErrorf("leave --ignore-case out, or take one of them with --columns", "%s: columns %s and %s are one if case is ignored",
				in.Name, quoteShort(other), quoteShort(from))
		}
		froms[key] = from
		fields = append(fields, f)
	}
	if len(fields) == 0 {
		return nil, inputErrorf("", "%s: none of the columns of --columns is in the input", in.Name)
	}
	if o.Columns != nil {
		place := func(f iceberg.NestedField) int {
			return slices.IndexFunc(o.Columns, func(c ColumnChoice) bool { return c.Name == f.Name })
		}
		slices.SortStableFunc(fields, func(a, b iceberg.NestedField) int { return place(a) - place(b) })
	}
	return freshIDs(fields)
}
