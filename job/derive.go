package job

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/derive"
	"github.com/icewright/icewright/source"
)

// checkDerive reads the expressions of --derive.
func (j Job) checkDerive(s *settings) (err error) {
	if s.derive, err = derive.Parse(j.Derive); err != nil {
		return usage(Hint(err), "--derive: %v", err)
	}
	s.convert.Derived = s.derive.Names()
	for _, name := range s.derive.Names() {
		if c := s.convert.SourceColumns; name == c.File || name == c.Row {
			return usage("give one of them another name", "--derive and --source-columns would both add column %q", name)
		}
		if slices.ContainsFunc(s.convert.Columns, func(c arrowconv.ColumnChoice) bool { return c.Name == name }) {
			return usage("give one of them another name", "--derive computes column %q, and --columns takes it from the input", name)
		}
	}
	return nil
}

// inferFirst is what the first source says of a table's schema, inferAll what all do; with the derived columns.
func (j Job) inferFirst(ctx context.Context, s settings, objects []source.Object, o arrowconv.InferOptions) (*iceberg.Schema, error) {
	schema, err := source.Infer(ctx, objects, o)
	if err != nil {
		return nil, err
	}
	return j.withDerived(ctx, s, schema, objects, o.Beside)
}

func (j Job) inferAll(ctx context.Context, s settings, objects []source.Object, o arrowconv.InferOptions) (*iceberg.Schema, error) {
	schema, err := source.InferAll(ctx, objects, o)
	if err != nil {
		return nil, err
	}
	return j.withDerived(ctx, s, schema, objects, o.Beside)
}

// withDerived is schema with the derived columns that it lacks. It is what an input has, or a file says. Where there is
// a table, beside, the types of its columns are those that expressions see, as it is them that rows will have.
func (j Job) withDerived(ctx context.Context, s settings, schema *iceberg.Schema, objects []source.Object, beside ...*iceberg.Schema) (*iceberg.Schema, error) {
	if len(s.derive) == 0 {
		return schema, nil
	}
	inferred := len(beside) > 0
	seen := schema
	if inferred {
		for _, name := range s.derive.Names() {
			if _, has := schema.FindFieldByName(name); has {
				return nil, arrowconv.Underivable("the input", name)
			}
		}
		if beside[0] != nil {
			fields := slices.Clone(beside[0].Fields())
			for _, f := range schema.Fields() {
				if _, known := beside[0].FindFieldByName(f.Name); !known {
					f.ID += beside[0].HighestFieldID()
					fields = append(fields, f)
				}
			}
			seen = iceberg.NewSchema(0, fields...)
		}
	}
	extra, err := j.arguments(ctx, s, seen, objects)
	if err != nil {
		return nil, err
	}
	fields, err := s.derive.Types(withFields(seen, extra), j.texts(s))
	if err != nil {
		return nil, derivation(err)
	}
	var lacks []iceberg.NestedField
	for _, f := range fields {
		if _, has := schema.FindFieldByName(f.Name); !has {
			f.ID = schema.HighestFieldID() + 1 + len(lacks)
			lacks = append(lacks, f)
		}
	}
	return withFields(schema, lacks), nil
}

// arguments are the columns that expressions name and schema lacks: they are read as texts, which are the same
// whatever else a file holds, and not written. The input must have them, as far as its first rows tell.
func (j Job) arguments(ctx context.Context, s settings, schema *iceberg.Schema, objects []source.Object) (extra []iceberg.NestedField, err error) {
	var input *iceberg.Schema
	for _, name := range s.derive.Arguments() {
		if slices.ContainsFunc(schema.Fields(), func(f iceberg.NestedField) bool { return f.Name == name }) {
			continue
		}
		if input == nil && len(objects) > 0 {
			o := j.inferOptions(s)
			o.Rows, o.Variants, o.Columns, o.Derived, o.Note = argumentRows, nil, nil, nil, nil
			o.Beside, o.AddConstants = j.withTexts(s, schema), true
			if input, err = source.Infer(ctx, objects, o); err != nil && !errors.Is(err, arrowconv.ErrNoRows) {
				return nil, err
			}
		}
		if input != nil {
			if f, has := input.FindFieldByName(name); !has {
				continue // Types and Bind say so, with the name that was meant
			} else if _, nested := f.Type.(iceberg.NestedType); nested {
				return nil, derivation(fmt.Errorf("column %q is %s, and no column of the table", name, arrowconv.FormatType(f.Type)))
			}
		}
		extra = append(extra, iceberg.NestedField{ID: schema.HighestFieldID() + 1 + len(extra), Name: name, Type: iceberg.PrimitiveTypes.String})
	}
	return extra, nil
}

// withTexts is schema with a column of texts for each that expressions name and schema lacks.
func (j Job) withTexts(s settings, schema *iceberg.Schema) *iceberg.Schema {
	var texts []iceberg.NestedField
	for _, name := range s.derive.Arguments() {
		if _, has := schema.FindFieldByName(name); !has {
			texts = append(texts, iceberg.NestedField{ID: schema.HighestFieldID() + 1 + len(texts), Name: name, Type: iceberg.PrimitiveTypes.String})
		}
	}
	return withFields(schema, texts)
}

// argumentRows is how many rows are looked at for a column that only --derive names.
const argumentRows = 1000

// derivation is an error of expressions in the face of an input and a table.
func derivation(err error) error {
	return &Error{Class: arrowconv.ErrInput, Text: "--derive: " + err.Error(), Advice: Hint(err)}
}

// rows are those of objects, with the columns of schema: what is derived is computed from what is read.
func (j Job) rows(ctx context.Context, s settings, objects []source.Object, schema *iceberg.Schema, o arrowconv.Options) (iter.Seq2[arrowconv.Batch, error], error) {
	if len(s.derive) == 0 {
		return source.Batches(ctx, objects, schema, o), nil
	}
	for _, name := range s.derive.Names() {
		if !slices.ContainsFunc(schema.Fields(), func(f iceberg.NestedField) bool { return f.Name == name }) {
			if s.evolve.Add { // it would be there, if the input had a row
				continue
			}
			return nil, derivation(&derive.Error{Text: fmt.Sprintf("column %q is not in the table", name), Advice: "say --evolve add to add the column to the table"})
		}
		for _, obj := range objects {
			if slices.ContainsFunc(obj.Constants, func(c arrowconv.Constant) bool { return c.Name == name }) {
				return nil, &Error{Class: arrowconv.ErrInput, Text: fmt.Sprintf("%s: its path has a column %q, and --derive would compute one of that name", obj.Name, name), Advice: "--path-columns none leaves the path aside"}
			}
		}
	}
	kept := slices.DeleteFunc(slices.Clone(schema.Fields()), func(f iceberg.NestedField) bool { return slices.Contains(s.derive.Names(), f.Name) })
	extra, err := j.arguments(ctx, s, iceberg.NewSchema(schema.ID, slices.Concat(kept, s.derived(schema))...), objects)
	if err != nil {
		return nil, err
	}
	for i := range extra {
		extra[i].ID = schema.HighestFieldID() + 1 + i
		if o.Columns != nil {
			o.Columns = append(slices.Clone(o.Columns), arrowconv.ColumnChoice{Name: extra[i].Name, From: extra[i].Name})
		}
	}
	read := iceberg.NewSchema(schema.ID, slices.Concat(kept, extra)...)
	program, err := s.derive.Bind(read, schema, j.texts(s), o.Alloc)
	if err != nil {
		return nil, derivation(err)
	}
	return program.Rows(source.Batches(ctx, objects, read, o), o.OnReject), nil
}

// texts is how expressions read texts.
func (j Job) texts(s settings) derive.Texts {
	return derive.Texts{Zone: s.zone, DecimalComma: j.DecimalComma}
}

// derived are the fields of schema that are derived.
func (s settings) derived(schema *iceberg.Schema) (fields []iceberg.NestedField) {
	for _, f := range schema.Fields() {
		if slices.Contains(s.derive.Names(), f.Name) {
			fields = append(fields, f)
		}
	}
	return fields
}
