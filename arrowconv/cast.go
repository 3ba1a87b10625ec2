package arrowconv

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/nearest"
)

// columnCast turns arrays of one column, or nested field, of a file into the table's. It is for one
// goroutine at a time.
type columnCast struct {
	path    string
	field   iceberg.NestedField
	dt      arrow.DataType
	convert func(frame, arrow.Array) arrow.ArrayData
}

// castRun is one array's conversion.
type castRun struct {
	alloc memory.Allocator
	bad   []Reject // Row is the index in the array
	seen  map[int]bool
}

// frame is the place of an array in the column that it is part of.
type frame struct {
	run *castRun
	up  func(int) int // index in the parent array; nil at the top
	// absent tells the values that nobody sees, because a parent is null; nil means none.
	absent func(int) bool
	parent *frame
}

func (f frame) row(i int) int {
	if f.parent == nil {
		return i
	}
	return f.parent.row(f.up(i))
}

func (f frame) hidden(i int) bool {
	if f.absent != nil && f.absent(i) {
		return true
	}
	return f.parent != nil && f.parent.hidden(f.up(i))
}

// run converts a column. Where values do not fit, their rows are in bad, and the result has no value
// to speak of there.
func (c *columnCast) run(a arrow.Array, alloc memory.Allocator) (arrow.Array, []Reject) {
	run := &castRun{alloc: alloc}
	data := c.apply(frame{run: run}, a)
	defer data.Release()
	slices.SortStableFunc(run.bad, func(a, b Reject) int { return int(a.Row - b.Row) })
	return array.MakeFromData(data), run.bad
}

// apply converts, and sees to it that what is required is there.
func (c *columnCast) apply(f frame, a arrow.Array) arrow.ArrayData {
	a = plain(a, f.run.alloc)
	defer a.Release()
	data := c.convert(f, a)
	if !c.field.Required || a.NullN() == 0 {
		return data
	}
	for i := range a.Len() {
		if a.IsNull(i) || a.DataType().ID() == arrow.NULL {
			c.fail(f, i, faultNull, "null")
		}
	}
	// Only hidden nulls are left, and they are blanks to a writer that expects none.
	defer data.Release()
	buffers := slices.Clone(data.Buffers())
	if len(buffers) > 0 {
		buffers[0] = nil
	}
	return array.NewData(c.dt, data.Len(), buffers, data.Children(), 0, data.Offset())
}

// fail makes a row a reject for the value at i, unless it is hidden or the row is one already.
func (c *columnCast) fail(f frame, i int, why fault, value string) {
	if f.hidden(i) {
		return
	}
	row := f.row(i)
	if f.run.seen[row] {
		return
	}
	if f.run.seen == nil {
		f.run.seen = make(map[int]bool)
	}
	f.run.seen[row] = true
	f.run.bad = append(f.run.bad, why.reject(int64(row), c.path, []byte(value), c.field.Type))
}

// castPlanner finds the conversion for every column of a file.
type castPlanner struct {
	name string // of the file
	zone *time.Location
}

// cast plans the conversion of from to field, whose Arrow type is dt.
func (p *castPlanner) cast(from arrow.DataType, field iceberg.NestedField, dt arrow.DataType, path string) (*columnCast, error) {
	c := &columnCast{path: path, field: field, dt: dt}
	given := from
	from = plainType(from)
	var err error
	switch t := field.Type.(type) {
	case *iceberg.StructType:
		if s, ok := from.(*arrow.StructType); ok {
			c.convert, err = p.structCast(c, s, t)
		}
	case *iceberg.ListType:
		if l, ok := from.(*arrow.ListType); ok {
			elem, ferr := p.cast(l.Elem(), t.ElementField(), dt.(*arrow.ListType).Elem(), path+".element")
			c.convert, err = c.list(elem), ferr
		}
	case *iceberg.MapType:
		if entries := mapEntries(from); entries != nil {
			c.convert, err = p.mapCast(c, entries, t)
		}
	case iceberg.VariantType:
		c.convert = p.variantCast(c, from)
	default:
		c.convert = p.primitive(c, from)
	}
	if err != nil {
		return nil, err
	}
	if from.ID() == arrow.NULL {
		c.convert = c.nulls
	}
	if c.convert == nil {
		return nil, inputErrorf("make the column a type that holds its values, or convert the file",
			"%s: column %s is %s in the file, which cannot become %s", p.name, quoteShort(path), arrowName(given), FormatType(field.Type))
	}
	return c, nil
}

// arrowName is a type of a file, for people: its Iceberg name where it has one.
func arrowName(t arrow.DataType) string {
	if it, err := icebergType(t, new(int), 3); err == nil {
		return FormatType(it)
	}
	return t.String()
}

func storageOf(t arrow.DataType) arrow.DataType {
	if ext, ok := t.(arrow.ExtensionType); ok {
		return ext.StorageType()
	}
	return t
}

// mapEntries is the type of a map's entries, also of one that is written as a list of them.
func mapEntries(t arrow.DataType) *arrow.StructType {
	switch t := t.(type) {
	case *arrow.MapType:
		return t.Elem().(*arrow.StructType)
	case *arrow.ListType:
		if s, ok := t.Elem().(*arrow.StructType); ok && s.NumFields() == 2 && s.Field(0).Name == "key" && s.Field(1).Name == "value" {
			return s
		}
	}
	return nil
}

func (c *columnCast) nulls(f frame, a arrow.Array) arrow.ArrayData {
	out := nullColumn(f.run.alloc, c.dt, a.Len())
	defer out.Release()
	out.Data().Retain()
	return out.Data()
}

// absent is a field of a that the file lacks.
func (c *columnCast) absent(f frame, a arrow.Array) arrow.ArrayData {
	s := newDefault(c.field, c.dt)
	if s == nil || s.value == nil {
		return c.nulls(f, a)
	}
	out := repeat(s.value, a.Len(), c.dt, f.run.alloc)
	defer out.Release()
	out.Data().Retain()
	return out.Data()
}

// same takes an array as it is, under the table's type.
func (c *columnCast) same(_ frame, a arrow.Array) arrow.ArrayData {
	d := a.Data()
	return array.NewData(c.dt, d.Len(), d.Buffers(), d.Children(), d.NullN(), d.Offset())
}

// validity is the validity bitmap of a, from bit 0 on; nil where all is valid.
func validity(a arrow.Array, alloc memory.Allocator) *memory.Buffer {
	if a.NullN() == 0 || len(a.NullBitmapBytes()) == 0 {
		return nil
	}
	b := memory.NewResizableBuffer(alloc)
	b.Resize(int(bitutil.BytesForBits(int64(a.Len()))))
	clear(b.Bytes())
	bitutil.CopyBitmap(a.NullBitmapBytes(), a.Data().Offset(), a.Len(), b.Bytes(), 0)
	return b
}

// build makes the data of c, as long and as valid as a, and takes over the buffers and the children.
func (c *columnCast) build(f frame, a arrow.Array, buffers []*memory.Buffer, children []arrow.ArrayData) arrow.ArrayData {
	valid := validity(a, f.run.alloc)
	nulls := a.NullN()
	if valid == nil {
		nulls = 0
	}
	buffers = append([]*memory.Buffer{valid}, buffers...)
	data := array.NewData(c.dt, a.Len(), buffers, children, nulls, 0)
	for _, b := range buffers {
		if b != nil {
			b.Release()
		}
	}
	for _, kid := range children {
		kid.Release()
	}
	return data
}

func (p *castPlanner) structCast(c *columnCast, from *arrow.StructType, to *iceberg.StructType) (func(frame, arrow.Array) arrow.ArrayData, error) {
	dt := c.dt.(*arrow.StructType)
	kids, place := make([]*columnCast, len(to.FieldList)), make([]int, len(to.FieldList))
	names := make([]string, len(to.FieldList))
	for i, field := range to.FieldList {
		names[i] = field.Name
		path := c.path + "." + field.Name
		at := slices.IndexFunc(from.Fields(), func(f arrow.Field) bool { return f.Name == field.Name })
		place[i] = at
		if at < 0 {
			if field.Required && field.WriteDefault == nil {
				return nil, inputErrorf("add the field to the input, or "+relaxHint,
					"%s: required column %s (%s) is missing", p.name, quoteShort(path), FormatType(field.Type))
			}
			kids[i] = &columnCast{path: path, field: field, dt: dt.Field(i).Type}
			continue
		}
		var err error
		if kids[i], err = p.cast(from.Field(at).Type, field, dt.Field(i).Type, path); err != nil {
			return nil, err
		}
	}
	for _, field := range from.Fields() {
		if !slices.Contains(names, field.Name) {
			hint := addHint
			if near := nearest.Name(field.Name, names); near != "" {
				hint = "did you mean " + quoteShort(near) + "? Otherwise " + hint
			}
			return nil, inputErrorf(hint, "%s: column %s is not in the table", p.name, quoteShort(c.path+"."+field.Name))
		}
	}
	return func(f frame, a arrow.Array) arrow.ArrayData {
		s := a.(*array.Struct)
		below := frame{run: f.run, parent: &f, up: func(i int) int { return i }}
		if s.NullN() > 0 {
			below.absent = s.IsNull
		}
		children := make([]arrow.ArrayData, len(kids))
		for i, kid := range kids {
			if place[i] < 0 {
				children[i] = kid.absent(below, a)
				continue
			}
			children[i] = kid.apply(below, s.Field(place[i]))
		}
		return c.build(f, a, nil, children)
	}, nil
}

// list converts lists of elem.
func (c *columnCast) list(elem *columnCast) func(frame, arrow.Array) arrow.ArrayData {
	return func(f frame, a arrow.Array) arrow.ArrayData {
		return c.lists(f, a, a.(*array.List).ListValues(), elem.apply)
	}
}

func (p *castPlanner) mapCast(c *columnCast, entries *arrow.StructType, to *iceberg.MapType) (func(frame, arrow.Array) arrow.ArrayData, error) {
	dt := c.dt.(*arrow.MapType).Elem().(*arrow.StructType)
	key, err := p.cast(entries.Field(0).Type, to.KeyField(), dt.Field(0).Type, c.path+".key")
	if err != nil {
		return nil, err
	}
	value, err := p.cast(entries.Field(1).Type, to.ValueField(), dt.Field(1).Type, c.path+".value")
	if err != nil {
		return nil, err
	}
	entry := &columnCast{path: c.path, dt: dt}
	convert := func(f frame, a arrow.Array) arrow.ArrayData {
		s := a.(*array.Struct)
		below := frame{run: f.run, parent: &f, up: func(i int) int { return i }}
		data := entry.build(f, a, nil, []arrow.ArrayData{key.apply(below, s.Field(0)), value.apply(below, s.Field(1))})
		return data
	}
	return func(f frame, a arrow.Array) arrow.ArrayData {
		return c.lists(f, a, a.(array.ListLike).ListValues(), convert)
	}, nil
}

// lists rebuilds the offsets of a over the values that they span, converted.
func (c *columnCast) lists(f frame, a arrow.Array, values arrow.Array, convert func(frame, arrow.Array) arrow.ArrayData) arrow.ArrayData {
	l := a.(array.ListLike)
	n := a.Len()
	buffer := memory.NewResizableBuffer(f.run.alloc)
	buffer.Resize(4 * (n + 1))
	offsets := arrow.Int32Traits.CastFromBytes(buffer.Bytes())
	var base, end int64
	if n > 0 {
		base, _ = l.ValueOffsets(0)
		_, end = l.ValueOffsets(n - 1)
	}
	for i := range n {
		from, _ := l.ValueOffsets(i)
		offsets[i] = int32(from - base)
	}
	offsets[n] = int32(end - base)
	span := array.NewSlice(values, base, end)
	defer span.Release()
	below := frame{run: f.run, parent: &f, up: func(j int) int {
		return sort.Search(n, func(i int) bool { return int(offsets[i+1]) > j })
	}}
	return c.build(f, a, []*memory.Buffer{buffer}, []arrow.ArrayData{convert(below, span)})
}

// text is the value at i as an error shows it.
func text(a arrow.Array, i int) string {
	switch a := a.(type) {
	case *array.Binary:
		return fmt.Sprintf("%x", a.Value(i))
	case *array.FixedSizeBinary:
		return fmt.Sprintf("%x", a.Value(i))
	case *array.Timestamp:
		t := a.DataType().(*arrow.TimestampType)
		layout := "2006-01-02T15:04:05.999999999"
		if t.TimeZone != "" {
			layout += "Z"
		}
		return a.Value(i).ToTime(t.Unit).UTC().Format(layout)
	case *array.Float64:
		return strconv.FormatFloat(a.Value(i), 'g', -1, 64)
	}
	return a.ValueStr(i)
}
