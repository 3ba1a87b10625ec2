package arrowconv

import (
	"slices"

	"github.com/apache/iceberg-go"
)

// typ is the type of a column that the table has as was; nil where there is none.
func (o InferOptions) typ(e *evidence, was iceberg.Type) iceberg.Type {
	if o.Beside == nil {
		return e.typ(&o)
	}
	return e.beside(was, &o)
}

// beside is the type that the table has for an input's column; nil where it has none.
func (o InferOptions) beside(name string) iceberg.Type {
	if o.Beside == nil {
		return nil
	}
	name, _ = o.inTable(name, o.Beside.Fields())
	return fieldType(&iceberg.StructType{FieldList: o.Beside.Fields()}, name)
}

// fieldType is the type of a field of a struct; nil where there is none.
func fieldType(t iceberg.Type, name string) iceberg.Type {
	if s, ok := t.(*iceberg.StructType); ok {
		for _, f := range s.FieldList {
			if f.Name == name {
				return f.Type
			}
		}
	}
	return nil
}

// Unite returns a schema for the rows of two inputs, from what Infer gave for each under the same options: the
// columns of a in its order, then those that only b has. Where the types of a column differ it takes the one
// that holds the values of both, as it would for one input with all rows. beside is InferOptions.Beside, text
// says that b is CSV or TSV, where everything is a string at the least. Errors name column and types, wrap
// ErrInput, and are about an input called name.
func Unite(name string, a, b, beside *iceberg.Schema, text bool) (*iceberg.Schema, error) {
	u := &union{name: name, text: text}
	var was iceberg.Type
	if beside != nil {
		was = &iceberg.StructType{FieldList: beside.Fields()}
	}
	fields, err := u.fields(a.Fields(), b.Fields(), was, "")
	if err != nil {
		return nil, err
	}
	return freshIDs(fields)
}

type union struct {
	name string
	text bool
	id   int
}

func (u *union) next() int {
	u.id++
	return u.id
}

func (u *union) fields(a, b []iceberg.NestedField, was iceberg.Type, path string) ([]iceberg.NestedField, error) {
	out := slices.Clone(a)
	for _, g := range b {
		i := slices.IndexFunc(out, func(f iceberg.NestedField) bool { return f.Name == g.Name })
		if i < 0 {
			out = append(out, g)
			continue
		}
		t, err := u.typ(out[i].Type, g.Type, fieldType(was, g.Name), path+g.Name)
		if err != nil {
			return nil, err
		}
		out[i].Type = t
	}
	for i := range out { // of the two schemas' ids some are the same
		out[i].ID = u.next()
	}
	return out, nil
}

func (u *union) typ(a, b, was iceberg.Type, path string) (iceberg.Type, error) {
	if _, none := a.(iceberg.UnknownType); none {
		return b, nil
	}
	if _, none := b.(iceberg.UnknownType); none {
		return a, nil
	}
	switch a := a.(type) {
	case *iceberg.StructType:
		if b, ok := b.(*iceberg.StructType); ok {
			fields, err := u.fields(a.FieldList, b.FieldList, was, path+".")
			return &iceberg.StructType{FieldList: fields}, err
		}
	case *iceberg.ListType:
		if b, ok := b.(*iceberg.ListType); ok {
			var of iceberg.Type
			if l, ok := was.(*iceberg.ListType); ok {
				of = l.Element
			}
			t, err := u.typ(a.Element, b.Element, of, path+".element")
			return &iceberg.ListType{ElementID: u.next(), Element: t}, err
		}
	case *iceberg.MapType:
		if b, ok := b.(*iceberg.MapType); ok {
			var key, value iceberg.Type
			if m, ok := was.(*iceberg.MapType); ok {
				key, value = m.KeyType, m.ValueType
			}
			k, err := u.typ(a.KeyType, b.KeyType, key, path+".key")
			if err != nil {
				return nil, err
			}
			v, err := u.typ(a.ValueType, b.ValueType, value, path+".value")
			return &iceberg.MapType{KeyID: u.next(), KeyType: k, ValueID: u.next(), ValueType: v}, err
		}
	default:
		if t := wider(a, b); t != nil {
			return t, nil
		}
		_, primitive := b.(iceberg.PrimitiveType)
		if u.text && primitive && was == nil {
			return iceberg.PrimitiveTypes.String, nil
		}
	}
	if was != nil {
		return was, nil // the load tells which rows it cannot hold
	}
	return nil, inputErrorf("make them one type, or name the column's type with --schema FILE",
		"%s: column %s is %s, and %s in an input before it: no type holds both", u.name, quoteShort(path), FormatType(b), FormatType(a))
}

// wider is the narrowest type that holds the values of both, of one family; nil where there is none.
func wider(a, b iceberg.Type) iceberg.Type {
	if a.Equals(b) {
		return a
	}
	ra, rb := rank(a), rank(b)
	switch {
	case ra == 0 || rb == 0:
		return nil
	case ra >= rankDate && rb >= rankDate:
		if max(ra, rb) == rankTimestamp {
			return iceberg.PrimitiveTypes.Timestamp
		}
		return iceberg.PrimitiveTypes.String
	case ra >= rankDate || rb >= rankDate:
		return nil
	case ra <= rankDecimal && rb <= rankDecimal && max(ra, rb) == rankDecimal:
		wa, sa := digitsOf(a)
		wb, sb := digitsOf(b)
		if p, s := max(wa, wb)+max(sa, sb), max(sa, sb); p <= 38 {
			return iceberg.DecimalTypeOf(p, s)
		}
		return iceberg.PrimitiveTypes.Float64
	case max(ra, rb) == rankFloat: // which holds not every int
		return iceberg.PrimitiveTypes.Float64
	case ra > rb:
		return a
	}
	return b
}

// The numeric types from narrow to wide, then what texts look like.
const (
	rankInt = iota + 1
	rankLong
	rankDecimal
	rankFloat
	rankDouble
	rankDate
	rankTimestamp
	rankString
)

func rank(t iceberg.Type) int {
	switch t.(type) {
	case iceberg.Int32Type:
		return rankInt
	case iceberg.Int64Type:
		return rankLong
	case iceberg.DecimalType:
		return rankDecimal
	case iceberg.Float32Type:
		return rankFloat
	case iceberg.Float64Type:
		return rankDouble
	case iceberg.DateType:
		return rankDate
	case iceberg.TimestampType:
		return rankTimestamp
	case iceberg.TimestampTzType, iceberg.StringType:
		return rankString
	}
	return 0
}

// digitsOf are the digits of a whole number or decimal, before and after the point.
func digitsOf(t iceberg.Type) (whole, scale int) {
	switch t := t.(type) {
	case iceberg.Int32Type:
		return 10, 0
	case iceberg.DecimalType:
		return t.Precision() - t.Scale(), t.Scale()
	}
	return 19, 0
}
