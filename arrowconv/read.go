package arrowconv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// Read converts the rows of in to batches of the Arrow schema ArrowSchema(schema): every column, in
// the table's order, rows in input order. Columns are matched by name (by position for CSV without a
// header): one that the input lacks is that of its path (Input.Constants) or else its write-default or else
// null where it is optional, and an error where it is required; one that the schema lacks is an error. The same input and options give the same batches, whatever
// Workers is.
//
// A batch belongs to the caller, who releases it. The sequence ends after its first error; errors
// about the input wrap ErrInput. Stopping early, or cancelling ctx, leaves no goroutine behind.
func Read(ctx context.Context, in Input, schema *iceberg.Schema, o Options) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		o := o.withDefaults()
		to, err := newTarget(schema)
		if err == nil {
			err = to.choose(o.Names)
		}
		if err == nil {
			err = to.stand(in, o)
		}
		if err == nil {
			in, o.Format, err = detect(in, o.Format)
		}
		if err != nil {
			yield(Batch{}, err)
			return
		}
		row, _ := o.Format.row()
		to.numbered(row.read(ctx, in, to, o), o.Alloc)(yield)
	}
}

// Infer returns the schema that docs/types.md gives the rows of in: ids from 1 in column order, every
// column optional. An input without any row or header is an error. Errors wrap ErrInput, save those of
// reading itself.
func Infer(ctx context.Context, in Input, o InferOptions) (*iceberg.Schema, error) {
	o.Options = o.withDefaults()
	in, format, err := detect(in, o.Format)
	if err != nil {
		return nil, err
	}
	o.Format = format
	row, _ := format.row()
	schema, err := row.infer(ctx, in, o)
	if err == nil {
		schema, err = o.choose(in, schema)
	}
	if err != nil || len(o.Variants) == 0 {
		return schema, err
	}
	return withVariants(schema, in, o.Variants)
}

// detect settles the format of in; what it reads to do so, the Input that it returns gives again.
func detect(in Input, format Format) (Input, Format, error) {
	if format != "" {
		if _, ok := format.row(); !ok {
			return in, "", fmt.Errorf("arrowconv: unknown format %q", string(format))
		}
		return in, format, nil
	}
	var head []byte
	if in.Reader != nil {
		r := bufio.NewReaderSize(in.Reader, 64<<10)
		b, err := r.Peek(8 << 10)
		if err != nil && !errors.Is(err, io.EOF) {
			return in, "", named(in.Name, err)
		}
		head, in.Reader = b, r
	} else if in.At != nil {
		head = make([]byte, 8<<10)
		n, err := in.At.ReadAt(head, 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return in, "", named(in.Name, err)
		}
		head = head[:n]
	}
	format, err := DetectFormat(in.Name, head)
	return in, format, err
}

// named puts an input's name before an error of reading it, unless the reader has done so.
func named(name string, err error) error {
	if strings.HasPrefix(err.Error(), name+": ") {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// ArrowSchema returns the Arrow schema of batches for an Iceberg schema: its columns in its order, each
// field, nested ones too, with its id under the metadata key PARQUET:field_id.
func ArrowSchema(schema *iceberg.Schema) (*arrow.Schema, error) {
	return table.SchemaToArrowSchema(schema, nil, true, false)
}

// target is what rows are converted to: an Iceberg schema, its Arrow twin, and the columns by name.
// It is not written to after newTarget and stand, and may be shared by goroutines.
type target struct {
	schema *iceberg.Schema
	arrow  *arrow.Schema
	fields []iceberg.NestedField
	index  map[string]int // of those that the input may have, by its names for them
	names  Names

	substitutes map[int]*substitute // what an input that lacks a column has in its stead
	ours        []string            // the source columns
	derived     []string            // columns that no input may have
	row         int                 // the source column of row numbers; -1 is none
}

func newTarget(schema *iceberg.Schema) (*target, error) {
	as, err := ArrowSchema(schema)
	if err == nil {
		err = checkDefaults(schema.Fields())
	}
	if err != nil {
		return nil, err
	}
	t := &target{schema: schema, arrow: as, fields: schema.Fields(), index: make(map[string]int), row: -1}
	for i, f := range t.fields {
		t.index[f.Name] = i
	}
	return t, nil
}

// What to do about a column that only the input has, or only the table.
const (
	addHint   = "say --evolve add to add the column to the table, or take it out of the input"
	relaxHint = "say --evolve relax to make it optional in the table"
)

// unknownColumn is the error for a column of the input that the table lacks.
func (t *target) unknownColumn(in Input, name string) error {
	if slices.Contains(t.ours, name) {
		return clash(in, name)
	}
	if slices.ContainsFunc(t.derived, func(d string) bool { return d == name || t.names.IgnoreCase && strings.EqualFold(d, name) }) {
		return Underivable(in.Name, name)
	}
	return inputErrorf(notThere(name, t.columnNames()), "%s: column %s is not in the table", in.Name, quoteShort(name))
}

// Underivable is the error for a column that is derived, and that the input has too.
func Underivable(input, name string) error {
	return inputErrorf("give the derived column another name, or leave the input's out with --columns",
		"%s: column %s is in the input, and --derive would compute one of that name", input, quoteShort(name))
}
