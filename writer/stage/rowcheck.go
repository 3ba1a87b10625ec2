package stage

import (
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/writer/slice"
)

// ErrOutside says that the input has a row outside the declared slice.
var ErrOutside = errors.New("row outside the slice")

// OutsideError names the first rows of the input that are outside the slice. It wraps ErrOutside.
type OutsideError struct {
	Source string
	// Rows are the first few, by their number in Source.
	Rows []int64
	// Slice is the expression that they do not satisfy.
	Slice string
}

// outsideShown is how many rows an OutsideError names.
const outsideShown = 3

func newOutsideError(b arrowconv.Batch, s *slice.Slice, sel *slice.Selection) *OutsideError {
	e := &OutsideError{Source: b.Source, Slice: s.String()}
	for i := 0; i < sel.Len() && len(e.Rows) < outsideShown; i++ {
		if !sel.Inside(i) {
			e.Rows = append(e.Rows, b.RowNumber(i))
		}
	}
	return e
}

func (e *OutsideError) Error() string {
	if len(e.Rows) == 1 {
		return fmt.Sprintf("%s: row %d is outside the slice %s", e.Source, e.Rows[0], e.Slice)
	}
	rows := make([]string, len(e.Rows))
	for i, r := range e.Rows {
		rows[i] = fmt.Sprint(r)
	}
	return fmt.Sprintf("%s: rows %s … are outside the slice %s", e.Source, strings.Join(rows, ", "), e.Slice)
}

// Unwrap makes errors.Is(err, ErrOutside) true.
func (e *OutsideError) Unwrap() error { return ErrOutside }

// Hint says what to do about it.
func (e *OutsideError) Hint() string {
	return "say --outside drop to leave such rows out, or correct --slice"
}

// NullError is a null in a required column. It wraps arrowconv.ErrInput.
type NullError struct {
	Source string
	Row    int64
	Column string
}

func (e *NullError) Error() string {
	return fmt.Sprintf("%s: row %d: column %q: null in a required column", e.Source, e.Row, e.Column)
}

// Unwrap makes errors.Is(err, arrowconv.ErrInput) true.
func (e *NullError) Unwrap() error { return arrowconv.ErrInput }

// Hint says what to do about it.
func (e *NullError) Hint() string {
	return "fill the value in, or say --evolve relax to make the column optional"
}

// requiredColumn is a column that is required itself or has required fields below.
type requiredColumn struct {
	at       int // among its siblings
	name     string
	required bool
	kids     []requiredColumn
}

func requiredColumns(schema *iceberg.Schema) []requiredColumn {
	return requiredIn(schema.Fields(), "")
}

func requiredIn(fields []iceberg.NestedField, prefix string) []requiredColumn {
	var out []requiredColumn
	for i, f := range fields {
		c := requiredColumn{at: i, name: prefix + f.Name, required: f.Required}
		if nested, ok := f.Type.(iceberg.NestedType); ok {
			c.kids = requiredIn(nested.Fields(), c.name+".")
		}
		if c.required || len(c.kids) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// check fails at the first row that lacks a required value.
func (c requiredColumn) check(b arrowconv.Batch) error {
	if row, name := c.firstNull(b.Column(c.at), nil); row >= 0 {
		return &NullError{Source: b.Source, Row: b.RowNumber(row), Column: name}
	}
	return nil
}

// firstNull returns the row of the first null where there must be none, -1 without one. rows
// has for each value of a the row that it is part of, -1 where a parent is null; nil means
// that value i is row i.
func (c requiredColumn) firstNull(a arrow.Array, rows []int) (int, string) {
	rowOf := func(i int) int {
		if rows == nil {
			return i
		}
		return rows[i]
	}
	if c.required && a.NullN() > 0 {
		for i := range a.Len() {
			if row := rowOf(i); row >= 0 && a.IsNull(i) {
				return row, c.name
			}
		}
	}
	if len(c.kids) == 0 {
		return -1, ""
	}
	var below []int
	if list, ok := a.(array.ListLike); ok {
		below = make([]int, childArray(a, 0).Len())
		for i := range below {
			below[i] = -1
		}
		for i := range a.Len() {
			if row := rowOf(i); row >= 0 && a.IsValid(i) {
				for k, end := list.ValueOffsets(i); k < end; k++ {
					below[k] = row
				}
			}
		}
	} else {
		below = make([]int, a.Len())
		for i := range below {
			if below[i] = rowOf(i); a.IsNull(i) {
				below[i] = -1
			}
		}
	}
	for _, kid := range c.kids {
		if row, name := kid.firstNull(childArray(a, kid.at), below); row >= 0 {
			return row, name
		}
	}
	return -1, ""
}
