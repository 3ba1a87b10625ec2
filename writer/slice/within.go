package slice

import "github.com/apache/iceberg-go"

// Range holds the values of a column from Lo to Hi, both inside, in the Go types that iceberg-go has for
// them (a string or []byte, an int64 for whatever is a number inside, an iceberg.Decimal).
type Range struct{ Lo, Hi any }

// Within is the condition that the column with an id, one of schema, has a value in one of ranges; nil where
// they cannot be compared with what files say of the column, which is then any file's to hold.
func Within(schema *iceberg.Schema, id int, ranges []Range) *Slice {
	return within(schema, id, ranges, false)
}

// WithinOrNull is the condition that the column has a value in one of ranges, or none; as Within.
func WithinOrNull(schema *iceberg.Schema, id int, ranges []Range) *Slice {
	return within(schema, id, ranges, true)
}

func within(schema *iceberg.Schema, id int, ranges []Range, null bool) *Slice {
	c := newNames(schema, nil).byID[id]
	if c == nil {
		return nil
	}
	l, ok := lineOf(c.typ)
	if !ok {
		return nil
	}
	var spans []span
	for _, r := range ranges {
		lo, lok := l.encode(r.Lo)
		hi, hok := l.encode(r.Hi)
		if !lok || !hok {
			return nil
		}
		spans = append(spans, l.from(lo).intersect(l.upTo(hi))...)
	}
	return newSlice(newLeaf(term{column: c, line: l}, unite(spans...), null))
}

// And is the condition that both hold. A nil one always does.
func (s *Slice) And(o *Slice) *Slice {
	switch {
	case s == nil:
		return o
	case o == nil:
		return s
	}
	return newSlice(join(and, s.root, o.root))
}
