package arrowconv

import (
	"fmt"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
)

// Conversion turns arrays of one type into those of another, each value exactly or not at all: texts as
// those of a CSV file are read, other values as those of a Parquet file are. It is for one goroutine at a time.
type Conversion struct{ cast *columnCast }

// NewConversion plans the conversion of from to the type of field, whose name the rejects bear. zone is that of
// texts without one, nil is UTC, point their decimal mark. Whole numbers, decimals, booleans, dates and UUIDs become strings as docs/types.md spells
// them. An error, which wraps ErrInput, says that there is no such conversion.
func NewConversion(from iceberg.Type, field iceberg.NestedField, zone *time.Location, point byte) (*Conversion, error) {
	given, err := ArrowSchema(iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "from", Type: from}))
	if err != nil {
		return nil, err
	}
	if zone == nil {
		zone = time.UTC
	}
	id := field.ID
	if id == 0 {
		id = 1
	}
	to, err := ArrowSchema(iceberg.NewSchema(0, iceberg.NestedField{ID: id, Name: field.Name, Type: field.Type}))
	if err != nil {
		return nil, err
	}
	c := &columnCast{path: field.Name, field: field, dt: to.Field(0).Type}
	_, toText := field.Type.(iceberg.StringType)
	if _, text := from.(iceberg.StringType); text && !toText {
		parse, err := newTextParser(field.Type, zone, point)
		if err != nil {
			return nil, noConversion(from, field.Type)
		}
		c.convert = func(f frame, a arrow.Array) arrow.ArrayData { return c.parsed(f, a.(*array.String), parse) }
		return &Conversion{c}, nil
	}
	if toText {
		if spell := speller(from); spell != nil {
			c.convert = func(f frame, a arrow.Array) arrow.ArrayData { return spelt(f, a, spell) }
			return &Conversion{c}, nil
		}
		if !from.Equals(field.Type) {
			return nil, noConversion(from, field.Type)
		}
	}
	planner := &castPlanner{zone: zone}
	if c, err = planner.cast(given.Field(0).Type, field, c.dt, field.Name); err != nil {
		return nil, noConversion(from, field.Type)
	}
	return &Conversion{c}, nil
}

func noConversion(from, to iceberg.Type) error {
	return inputErrorf("", "%s cannot become %s", FormatType(from), FormatType(to))
}

// Run converts a, which is not retained. Rows whose value does not fit are in the rejects, their Row counted
// from 0, ascending; the result has no value to speak of there.
func (c *Conversion) Run(a arrow.Array, alloc memory.Allocator) (arrow.Array, []Reject) {
	return c.cast.run(a, alloc)
}

// parsed reads texts as values.
func (c *columnCast) parsed(f frame, a *array.String, parse textParser) arrow.ArrayData {
	b := array.NewBuilder(f.run.alloc, c.dt)
	defer b.Release()
	for i := range a.Len() {
		if a.IsNull(i) {
			b.AppendNull()
			continue
		}
		if why := parse([]byte(a.Value(i)), b); why != faultNone {
			c.fail(f, i, why, a.Value(i))
			b.AppendNull()
		}
	}
	return built(b)
}

// spelt makes texts of values.
func spelt(f frame, a arrow.Array, spell func(a arrow.Array, i int) string) arrow.ArrayData {
	b := array.NewStringBuilder(f.run.alloc)
	defer b.Release()
	for i := range a.Len() {
		if a.IsNull(i) {
			b.AppendNull()
		} else {
			b.Append(spell(a, i))
		}
	}
	return built(b)
}

// built is what a builder has built, for the caller to release.
func built(b array.Builder) arrow.ArrayData {
	a := b.NewArray()
	defer a.Release()
	data := a.Data()
	data.Retain()
	return data
}

// speller spells values of types that have one spelling; nil for the others.
func speller(t iceberg.Type) func(a arrow.Array, i int) string {
	switch t.(type) {
	case iceberg.BooleanType:
		return func(a arrow.Array, i int) string { return strconv.FormatBool(a.(*array.Boolean).Value(i)) }
	case iceberg.Int32Type:
		return func(a arrow.Array, i int) string { return strconv.Itoa(int(a.(*array.Int32).Value(i))) }
	case iceberg.Int64Type:
		return func(a arrow.Array, i int) string { return strconv.FormatInt(a.(*array.Int64).Value(i), 10) }
	case iceberg.DecimalType:
		return func(a arrow.Array, i int) string {
			return a.(*array.Decimal128).Value(i).ToString(a.DataType().(*arrow.Decimal128Type).Scale)
		}
	case iceberg.DateType:
		return func(a arrow.Array, i int) string {
			d := a.(*array.Date32).Value(i).ToTime()
			return fmt.Sprintf("%04d-%02d-%02d", d.Year(), d.Month(), d.Day())
		}
	case iceberg.UUIDType:
		return func(a arrow.Array, i int) string {
			switch u := a.(type) {
			case *extensions.UUIDArray:
				return u.Value(i).String()
			default:
				v := a.(*array.FixedSizeBinary).Value(i)
				return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
			}
		}
	}
	return nil
}
