package job

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/nearest"
	"github.com/icewright/icewright/source"
)

// evolution is how a load's input and its table's schema come together. What the input has is found out
// before a row is staged; whether the table's required columns have nulls shows while rows go by. The
// rows are staged under a schema that has room for all of it, and published under the one that is needed.
type evolution struct {
	allow catalog.Evolve
	// input is what inference says of all sources; nil where only nulls matter.
	input *iceberg.Schema
	// schema is what rows are staged under; read is that, and after its columns those that are skipped.
	schema, read *iceberg.Schema
	skipped      []string // columns of the input that have no value, and are not in the table
	required     []requiredField
	nulls        map[int]bool // ids of required that were null in some row
}

// parseEvolve reads "add,widen,relax".
func parseEvolve(text string) (e catalog.Evolve, err error) {
	choices := map[string]*bool{catalog.ChangeAdd: &e.Add, catalog.ChangeWiden: &e.Widen, catalog.ChangeRelax: &e.Relax}
	for word := range strings.SplitSeq(text, ",") {
		word = strings.ToLower(strings.TrimSpace(word))
		if word == "" {
			continue
		}
		flag, ok := choices[word]
		if !ok {
			hint := "it is a list of add, widen and relax"
			if near := nearest.Name(word, []string{catalog.ChangeAdd, catalog.ChangeWiden, catalog.ChangeRelax}); near != "" {
				hint = "did you mean " + near + "?"
			}
			return e, usage(hint, "--evolve: unknown choice %q", word)
		}
		*flag = true
	}
	return e, nil
}

// evolution looks at the sources for what the table lacks; nil where the job evolves nothing.
func (j Job) evolution(ctx context.Context, s settings, tbl *table.Table, objects []source.Object) (*evolution, error) {
	if s.evolve == (catalog.Evolve{}) {
		return nil, nil
	}
	e := &evolution{allow: s.evolve, nulls: map[int]bool{}}
	if e.allow.Add || e.allow.Widen {
		o := j.inferOptions(s)
		o.Beside, o.FormatVersion = tbl.Schema(), tbl.Metadata().Version()
		o.AddConstants = len(s.paths.Names) > 0 // who names them means them
		var err error
		if e.input, err = j.inferAll(ctx, s, objects, o); errors.Is(err, arrowconv.ErrNoRows) {
			e.input, err = nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("schema of the input: %w", err)
		}
	}
	anything := func(int) bool { return true }
	e.schema = e.allow.Compare(tbl.Metadata(), e.input, anything).Schema
	e.read = e.schema
	if e.allow.Add && e.input != nil {
		e.skip()
	}
	if e.allow.Relax {
		e.required = requiredFields(tbl.Schema().Fields())
	}
	return e, nil
}

// skip makes room for columns without a value: they are read, so that a value that inference has not seen
// is an error, and left out.
func (e *evolution) skip() {
	fields := slices.Clone(e.schema.Fields())
	id := e.schema.HighestFieldID()
	for _, f := range e.input.Fields() {
		if _, ok := e.schema.FindFieldByName(f.Name); ok {
			continue
		}
		if _, none := f.Type.(iceberg.UnknownType); none {
			id++
			fields = append(fields, iceberg.NestedField{ID: id, Name: f.Name, Type: f.Type})
			e.skipped = append(e.skipped, f.Name)
		}
	}
	if len(e.skipped) > 0 {
		e.read = iceberg.NewSchemaWithIdentifiers(e.schema.ID, e.schema.IdentifierFieldIDs, fields...)
	}
}

// drift is the writer's question: what does base become with the rows that went by?
func (e *evolution) drift(base *table.Table) catalog.Drift {
	return e.allow.Compare(base.Metadata(), e.input, func(id int) bool { return e.nulls[id] })
}

// watch notes the nulls in required columns, and leaves out what is skipped.
func (e *evolution) watch(in iter.Seq2[arrowconv.Batch, error]) iter.Seq2[arrowconv.Batch, error] {
	return func(yield func(arrowconv.Batch, error) bool) {
		for b, err := range in {
			if err == nil {
				for _, f := range e.required {
					f.look(b.Columns(), visible, e.nulls)
				}
				if len(e.skipped) > 0 {
					b = e.without(b)
				}
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

// without leaves out the columns that are skipped; what comes after them stays.
func (e *evolution) without(b arrowconv.Batch) arrowconv.Batch {
	from := len(e.schema.Fields())
	to := from + len(e.skipped)
	fields, columns := slices.Clone(b.Schema().Fields()), slices.Clone(b.Columns())
	rec := array.NewRecordBatch(arrow.NewSchema(slices.Delete(fields, from, to), nil), slices.Delete(columns, from, to), b.NumRows())
	b.Release()
	b.RecordBatch = rec
	absent := b.Absent
	b.Absent = nil
	for _, c := range absent {
		switch {
		case c < from:
			b.Absent = append(b.Absent, c)
		case c >= to:
			b.Absent = append(b.Absent, c-len(e.skipped))
		}
	}
	return b
}

// explain adds to the error of a row what was in the way of a schema that has room for it.
func (e *evolution) explain(base *table.Table, err error) error {
	var row *arrowconv.RowError
	if !errors.As(err, &row) {
		return err
	}
	anything := func(int) bool { return true }
	for _, m := range e.allow.Compare(base.Metadata(), e.input, anything).Misfits {
		if m.Column == row.Column && m.Why != nil && row.Missing() == (m.Change == catalog.ChangeRelax) {
			hint := "correct the row, or say --rejects DIR to set such rows aside"
			return &Error{Class: err, Text: fmt.Sprintf("%v. The input's values would make the column %s: %v", err, m.To, m.Why), Advice: hint}
		}
	}
	return err
}

// requiredField is a field that is required, or has some below it.
type requiredField struct {
	at    int // among its siblings
	field iceberg.NestedField
	below []requiredField
}

// requiredFields finds them among fields; those of map keys, which cannot be otherwise, apart.
func requiredFields(fields []iceberg.NestedField) []requiredField {
	var out []requiredField
	for i, f := range fields {
		r := requiredField{at: i, field: f}
		switch t := f.Type.(type) {
		case *iceberg.StructType:
			r.below = requiredFields(t.FieldList)
		case *iceberg.ListType:
			r.below = requiredFields([]iceberg.NestedField{t.ElementField()})
		case *iceberg.MapType:
			r.below = requiredFields([]iceberg.NestedField{t.ValueField()})
		}
		if f.Required || len(r.below) > 0 {
			out = append(out, r)
		}
	}
	return out
}

func visible(int) bool { return true }

// look notes in nulls the ids of fields that are null where the value that they are part of is not.
func (r requiredField) look(siblings []arrow.Array, shown func(int) bool, nulls map[int]bool) {
	a := siblings[r.at]
	if r.field.Required && !nulls[r.field.ID] && a.NullN() > 0 {
		for i := range a.Len() {
			if a.IsNull(i) && shown(i) {
				nulls[r.field.ID] = true
				break
			}
		}
	}
	if len(r.below) == 0 {
		return
	}
	var children []arrow.Array
	inner := func(i int) bool { return a.IsValid(i) && shown(i) }
	switch a := a.(type) {
	case *array.Struct:
		for i := range a.NumField() {
			children = append(children, a.Field(i))
		}
	case *array.Map:
		children, inner = []arrow.Array{a.Items()}, spanned(a, inner)
	case array.ListLike:
		children, inner = []arrow.Array{a.ListValues()}, spanned(a, inner)
	default:
		return // of a type that has no such parts: null, in all rows
	}
	for _, b := range r.below {
		b.look(children, inner, nulls)
	}
}

// spanned tells which elements belong to a list that is shown.
func spanned(a array.ListLike, shown func(int) bool) func(int) bool {
	var in []bool
	for i := range a.Len() {
		from, to := a.ValueOffsets(i)
		for k := from; k < to; k++ {
			for int64(len(in)) <= k {
				in = append(in, false)
			}
			in[k] = shown(i)
		}
	}
	return func(k int) bool { return k < len(in) && in[k] }
}
