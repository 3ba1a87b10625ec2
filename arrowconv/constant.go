package arrowconv

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
)

// Constant is a column that stands in an input's path and not in its bytes: the directory
// dt=2024-01-15 gives every row of the files below it that dt.
type Constant struct {
	Name string
	// Text is converted to the type of the column, as a CSV field without quotes is.
	Text string
	// Null says that the column is null, whatever Text is.
	Null bool
}

// SourceColumns are columns that say where a row comes from: the name of its input, a string, and its
// number in it from 1, a long. An input may have no columns of these names.
type SourceColumns struct {
	// File and Row are the columns' names. The default, "", adds none.
	File, Row string
}

// substitute is what a column of the target gets where the input, or the row of an input whose rows name
// their own columns, lacks it.
type substitute struct {
	field iceberg.NestedField
	text  string
	value []byte // as Arrow lays it out, a boolean as 0 or 1; nil is null
	fault fault  // why text is no value
	twice string // another text that the path has for the same column
	ours  bool   // a source column: the input may not have it
	// preset says that it is the column's default, which is about rows, and not about the input.
	preset bool
}

// stand gives the target the defaults of its columns, and the constants and the source columns of in. Constants that it has no column for
// are not looked at: a path has keys for many reasons.
func (t *target) stand(in Input, o Options) error {
	t.substitutes = make(map[int]*substitute)
	t.derived = o.Derived
	for i, f := range t.fields {
		if s := newDefault(f, t.arrow.Field(i).Type); s != nil {
			t.substitutes[i] = s
		}
	}
	for _, c := range in.Constants {
		i, ok := t.elsewhere(c.Name)
		if !ok {
			continue
		}
		s := &substitute{field: t.fields[i], text: c.Text}
		if other, ok := t.substitutes[i]; ok && !other.preset && other.text != c.Text {
			other.twice = c.Text
			continue
		}
		t.substitutes[i] = s
		if !c.Null {
			s.value, s.fault = oneValue(s.field.Type, t.arrow.Field(i).Type, c.Text, o)
		}
	}
	for _, c := range o.SourceColumns.fields() {
		i, ok := t.elsewhere(c.Name)
		if !ok {
			return inputErrorf("say --evolve add to add the column to the table, or leave --source-columns out",
				"column %s (%s) of --source-columns is not in the table", quoteShort(c.Name), FormatType(c.Type))
		}
		if f := t.fields[i]; !f.Type.Equals(c.Type) {
			return inputErrorf("name another column: --source-columns=FILE,ROW",
				"column %s of --source-columns must be %s, and is %s", quoteShort(c.Name), FormatType(c.Type), FormatType(f.Type))
		}
		maps.DeleteFunc(t.index, func(_ string, at int) bool { return at == i })
		t.ours = append(t.ours, c.Name)
		s := &substitute{field: t.fields[i], ours: true}
		if c.Name == o.SourceColumns.Row {
			t.row = i
		} else {
			s.value = []byte(in.Name)
		}
		t.substitutes[i] = s
	}
	return nil
}

// lacks says why an input cannot do without column i, or nil.
func (t *target) lacks(in Input, i int) error {
	s, f := t.substitutes[i], t.fields[i]
	if bad, ok := s.wrong(); ok {
		return inputErrorf("--path-columns none leaves the path aside",
			"%s: column %s: %s", in.Name, quoteShort(f.Name), bad.what())
	}
	switch {
	case !f.Required, s != nil && (s.ours || s.value != nil):
		return nil
	case s != nil:
		return inputErrorf(relaxHint,
			"%s: required column %s (%s) is null in the path", in.Name, quoteShort(f.Name), FormatType(f.Type))
	}
	return inputErrorf("add the column to the input, or "+relaxHint,
		"%s: required column %s (%s) is missing", in.Name, quoteShort(f.Name), FormatType(f.Type))
}

// wrong says why the path has no value for the column, if so; s may be nil.
func (s *substitute) wrong() (Reject, bool) {
	switch {
	case s == nil:
		return Reject{}, false
	case s.twice != "":
		return Reject{Column: s.field.Name, Reason: fmt.Sprintf("the path has two values for it, %s and %s", quoteShort(s.text), quoteShort(s.twice))}, true
	case s.fault != faultNone:
		r := s.fault.reject(0, s.field.Name, []byte(s.text), s.field.Type)
		if r.Reason != "" {
			r.Reason += ", "
		}
		r.Reason += "and the path says so"
		return r, true
	}
	return Reject{}, false
}

// lacking are the columns, among those that has does not tell of, that the input's path does not have
// either.
func (t *target) lacking(has func(i int) bool) (columns []int) {
	for i := range t.fields {
		if s := t.substitutes[i]; !has(i) && (s == nil || s.preset) {
			columns = append(columns, i)
		}
	}
	return columns
}

// absent makes column i, n rows of it, of an input that lacks it.
func (t *target) absent(i, n int, alloc memory.Allocator) arrow.Array {
	dt := t.arrow.Field(i).Type
	if s := t.substitutes[i]; s != nil && s.value != nil {
		return repeat(s.value, n, dt, alloc)
	}
	return array.MakeArrayOfNull(alloc, dt, n)
}

// byPosition gives the columns of an input of n columns without names: all of the table's, in its order,
// but for those that come from elsewhere. The path's are among them if n says so.
func (t *target) byPosition(n int) []int {
	var all, own []int
	for i := range t.fields {
		s := t.substitutes[i]
		if s == nil || s.preset {
			own = append(own, i)
		}
		if s == nil || !s.ours {
			all = append(all, i)
		}
	}
	if n == len(own) {
		return own
	}
	return all
}

// oneValue reads text as one value of a column.
func oneValue(typ iceberg.Type, dt arrow.DataType, text string, o Options) ([]byte, fault) {
	parse, err := newTextParser(typ, o.TimeZone, '.')
	if err != nil || isVariant(typ) {
		return nil, faultNested
	}
	b := array.NewBuilder(memory.NewGoAllocator(), dt) // nothing to release: the collector has it
	if f := parse([]byte(text), b); f != faultNone {
		return nil, f
	}
	a := b.NewArray()
	switch v := a.(type) {
	case *array.Boolean:
		if v.Value(0) {
			return []byte{1}, faultNone
		}
		return []byte{0}, faultNone
	case *array.String:
		return []byte(v.Value(0)), faultNone
	case *array.Binary:
		return append([]byte{}, v.Value(0)...), faultNone
	}
	return a.Data().Buffers()[1].Bytes()[:storageOf(dt).(arrow.FixedWidthDataType).Bytes()], faultNone
}

// repeat makes a column of n times one value.
func repeat(value []byte, n int, dt arrow.DataType, alloc memory.Allocator) arrow.Array {
	buffers := []*memory.Buffer{nil}
	add := func(size int) []byte {
		b := memory.NewResizableBuffer(alloc)
		b.Resize(size)
		buffers = append(buffers, b)
		return b.Bytes()
	}
	switch storage := storageOf(dt); storage.(type) {
	case *arrow.BooleanType:
		memory.Set(add((n+7)/8), -value[0])
	default:
		if _, ok := storage.(arrow.BinaryDataType); ok {
			offsets := arrow.Int32Traits.CastFromBytes(add((n + 1) * arrow.Int32SizeBytes))
			for i := range offsets {
				offsets[i] = int32(i * len(value))
			}
		}
		to := add(n * len(value))
		for done := copy(to, value); done > 0 && done < len(to); done *= 2 {
			copy(to[done:], to[:done])
		}
	}
	data := array.NewData(dt, n, buffers, nil, 0, 0)
	defer data.Release()
	for _, b := range buffers[1:] {
		b.Release()
	}
	return array.MakeFromData(data)
}

// numbered gives the batches of in their row numbers, as the source column for them has it.
func (t *target) numbered(in iter.Seq2[Batch, error], alloc memory.Allocator) iter.Seq2[Batch, error] {
	if t.row < 0 {
		return in
	}
	return func(yield func(Batch, error) bool) {
		for b, err := range in {
			if err == nil {
				b.RecordBatch = t.number(b, alloc)
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

func (t *target) number(b Batch, alloc memory.Allocator) arrow.RecordBatch {
	defer b.Release()
	numbers := array.NewInt64Builder(alloc)
	defer numbers.Release()
	numbers.Reserve(int(b.NumRows()))
	row, rejected := b.FirstRow, b.Rejected
	for range b.NumRows() {
		for len(rejected) > 0 && rejected[0] == row {
			row, rejected = row+1, rejected[1:]
		}
		numbers.UnsafeAppend(row)
		row++
	}
	column := numbers.NewArray()
	defer column.Release()
	columns := slices.Clone(b.Columns())
	columns[t.row] = column
	return array.NewRecordBatch(t.arrow, columns, b.NumRows())
}

// WithConstants returns schema, what inference found in the input in, with what rows get beside the columns
// of their inputs: the constants of all inputs, with the types that inference gives their texts, and then
// the source columns of o. They are optional. A constant that schema has is the input's own, and left alone;
// a source column that it has is an error that wraps ErrInput.
func WithConstants(schema *iceberg.Schema, in Input, inputs iter.Seq[[]Constant], o InferOptions) (*iceberg.Schema, error) {
	var fields []iceberg.NestedField
	seen := make(map[string]*evidence)
	for constants := range inputs {
		for _, c := range constants {
			if has(schema, c.Name) || o.SourceColumns.are(c.Name) {
				continue
			}
			e := seen[c.Name]
			if e == nil {
				e = &evidence{}
				seen[c.Name] = e
				fields = append(fields, iceberg.NestedField{Name: c.Name})
			}
			if !c.Null {
				e.addText([]byte(c.Text), '.')
			}
		}
	}
	for i, f := range fields {
		fields[i].Type = seen[f.Name].typ(&o)
	}
	for _, f := range o.SourceColumns.fields() {
		if has(schema, f.Name) {
			return nil, clash(in, f.Name)
		}
	}
	return WithSourceColumns(appended(schema, fields), o.SourceColumns)
}

// WithSourceColumns returns schema with the source columns that it lacks, optional ones.
func WithSourceColumns(schema *iceberg.Schema, c SourceColumns) (*iceberg.Schema, error) {
	fields := c.fields()
	if len(fields) == 2 && fields[0].Name == fields[1].Name {
		return nil, inputErrorf("", "the two source columns are both called %s", quoteShort(c.File))
	}
	return appended(schema, slices.DeleteFunc(fields, func(f iceberg.NestedField) bool { return has(schema, f.Name) })), nil
}

func (c SourceColumns) are(name string) bool { return name != "" && (name == c.File || name == c.Row) }

// fields are the source columns that are asked for.
func (c SourceColumns) fields() (fields []iceberg.NestedField) {
	if c.File != "" {
		fields = append(fields, iceberg.NestedField{Name: c.File, Type: iceberg.PrimitiveTypes.String})
	}
	if c.Row != "" {
		fields = append(fields, iceberg.NestedField{Name: c.Row, Type: iceberg.PrimitiveTypes.Int64})
	}
	return fields
}

func has(schema *iceberg.Schema, column string) bool {
	return slices.ContainsFunc(schema.Fields(), func(f iceberg.NestedField) bool { return f.Name == column })
}

// appended returns schema with more columns, of primitive types, and ids that are free.
func appended(schema *iceberg.Schema, columns []iceberg.NestedField) *iceberg.Schema {
	if len(columns) == 0 {
		return schema
	}
	last := schema.HighestFieldID()
	for i := range columns {
		last++
		columns[i].ID = last
	}
	return iceberg.NewSchemaWithIdentifiers(schema.ID, schema.IdentifierFieldIDs, append(slices.Clone(schema.Fields()), columns...)...)
}

// clash is the error of a source column that the input has too.
func clash(in Input, name string) error {
	return inputErrorf("choose other names: --source-columns=FILE,ROW",
		"%s: column %s is in the input, and --source-columns would add one of that name", in.Name, quoteShort(name))
}
