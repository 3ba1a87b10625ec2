package arrowconv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"golang.org/x/sync/errgroup"
)

// recast is how the columns of an input whose values are typed become those of a table: matched by
// name, each value checked. It is for one goroutine at a time.
//
// The field ids that an input may carry are those of the table that it was written for, or mere
// positions; they say nothing about this one.
type recast struct {
	boundary
	to      *target
	opts    Options
	columns []recastColumn // by column of the table
}

type recastColumn struct {
	from int // column of the input; -1 where it lacks the column
	cast *columnCast
}

func newRecast(at boundary, fields []arrow.Field, to *target, o Options) (*recast, error) {
	if err := at.checkNames(fields); err != nil {
		return nil, err
	}
	r := &recast{boundary: at, to: to, opts: o, columns: make([]recastColumn, len(to.fields))}
	for i := range r.columns {
		r.columns[i].from = -1
	}
	in := Input{Name: at.name}
	names := make([]string, len(fields))
	for i, field := range fields {
		names[i] = field.Name
	}
	places, err := to.align(in, names)
	if err != nil {
		return nil, err
	}
	for from, field := range fields {
		i := places[from]
		if i == dropped {
			continue
		}
		planner := &castPlanner{name: at.name, zone: o.TimeZone}
		cast, err := planner.cast(field.Type, to.fields[i], to.arrow.Field(i).Type, to.fields[i].Name)
		if err != nil {
			return nil, err
		}
		r.columns[i] = recastColumn{from, cast}
	}
	return r, nil
}

// piece converts rows of the input. column gives its column number from; it is called once for each, on
// up to workers goroutines, and hands the array over.
func (r *recast) piece(rows int64, workers int, column func(from int) (arrow.Array, error)) (piece, error) {
	sources, results := make([]arrow.Array, len(r.columns)), make([]arrow.Array, len(r.columns))
	bad := make([][]Reject, len(r.columns))
	defer func() {
		for i := range sources {
			for _, a := range []arrow.Array{sources[i], results[i]} {
				if a != nil {
					a.Release()
				}
			}
		}
	}()
	var group errgroup.Group
	group.SetLimit(workers)
	for i, c := range r.columns {
		group.Go(func() error {
			return r.guard(func() (err error) {
				if c.from < 0 {
					results[i] = r.to.absent(i, int(rows), r.opts.Alloc)
					return nil
				}
				if sources[i], err = column(c.from); err != nil {
					return fmt.Errorf("column %s: %w", quoteShort(r.to.fields[i].Name), err)
				}
				if longValue(sources[i], r.opts.MaxRowBytes) {
					return inputErrorf("say --max-row-bytes with more, if it is meant", "%s: column %s: a value is longer than %d bytes",
						r.name, quoteShort(r.to.fields[i].Name), r.opts.MaxRowBytes)
				}
				if r.opts.Dictionaries {
					if results[i], err = c.cast.dictionary(sources[i]); err != nil || results[i] != nil {
						return err
					}
				}
				results[i], bad[i] = c.cast.run(sources[i], r.opts.Alloc)
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		return piece{}, err
	}
	p := piece{rows: rows, rejects: firstOfRow(bad), absent: r.to.lacking(func(i int) bool { return r.columns[i].from >= 0 })}
	err := r.guard(func() (err error) {
		for i, reject := range p.rejects {
			p.rejects[i].Raw = r.rowJSON(sources, int(reject.Row))
		}
		if len(p.rejects) == 0 || r.opts.OnReject != nil {
			p.rec, err = r.without(results, rows, p.rejects)
		}
		return err
	})
	return p, err
}

// firstOfRow gives for each bad row what its first column says.
func firstOfRow(columns [][]Reject) []Reject {
	all := slices.Concat(columns...)
	slices.SortStableFunc(all, func(a, b Reject) int { return int(a.Row - b.Row) })
	return slices.CompactFunc(all, func(a, b Reject) bool { return a.Row == b.Row })
}

// without makes a batch of the rows that are not rejected.
func (r *recast) without(columns []arrow.Array, rows int64, rejects []Reject) (arrow.RecordBatch, error) {
	schema := r.to.arrow
	if r.opts.Dictionaries {
		fields := schema.Fields()
		for i, c := range columns {
			fields[i].Type = c.DataType()
		}
		schema = arrow.NewSchema(fields, nil)
	}
	if len(rejects) == 0 {
		return array.NewRecordBatch(schema, columns, rows), nil
	}
	kept := make([]arrow.Array, len(columns))
	defer func() {
		for _, a := range kept {
			if a != nil {
				a.Release()
			}
		}
	}()
	for i, column := range columns {
		var runs []arrow.Array
		from := int64(0)
		for _, reject := range append(rejects, Reject{Row: rows}) {
			if reject.Row > from {
				runs = append(runs, array.NewSlice(column, from, reject.Row))
			}
			from = reject.Row + 1
		}
		var err error
		if len(runs) == 0 {
			kept[i] = array.NewSlice(column, 0, 0)
		} else {
			kept[i], err = array.Concatenate(runs, r.opts.Alloc)
		}
		for _, run := range runs {
			run.Release()
		}
		if err != nil {
			return nil, err
		}
	}
	return array.NewRecordBatch(schema, kept, rows-int64(len(rejects))), nil
}

// rowJSON is the row at i as JSON, the columns in the table's order, the values as the input has them.
func (r *recast) rowJSON(columns []arrow.Array, i int) []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	for c, a := range columns {
		if a == nil {
			continue
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		name, _ := json.Marshal(r.to.fields[c].Name)
		value, err := json.Marshal(a.GetOneForMarshal(i))
		if err != nil { // NaN and the infinities, which JSON lacks
			value, _ = json.Marshal(a.ValueStr(i))
		}
		out.Write(name)
		out.WriteByte(':')
		out.Write(value)
	}
	out.WriteByte('}')
	return out.Bytes()
}

// schemaOf is the schema for a table of the columns of an input.
func (b boundary) schemaOf(fields []arrow.Field, o InferOptions) (*iceberg.Schema, error) {
	if err := b.checkNames(fields); err != nil {
		return nil, err
	}
	if len(fields) == 0 {
		return nil, inputErrorf("", "%s: the %s has no columns", b.name, b.kind)
	}
	id := 0
	var out []iceberg.NestedField
	for _, c := range fields {
		if _, taken := o.inTable(c.Name, nil); !taken {
			continue
		}
		t, err := icebergType(c.Type, &id, o.FormatVersion)
		if err != nil {
			return nil, inputErrorf("name the columns' types with --schema FILE", "%s: column %s: %w", b.name, quoteShort(c.Name), err)
		}
		id++
		out = append(out, iceberg.NestedField{ID: id, Name: c.Name, Type: t})
	}
	return freshIDs(out)
}

func (b boundary) checkNames(fields []arrow.Field) error {
	seen := make(map[string]bool)
	for _, f := range fields {
		if seen[f.Name] {
			return inputErrorf("", "%s: column %s comes twice in the %s", b.name, quoteShort(f.Name), b.kind)
		}
		seen[f.Name] = true
	}
	return nil
}

// boundary is where code is called that trusts its bytes, be it a library's.
type boundary struct {
	name string // of the input
	kind string // what the input is: "Parquet file"
	// failed holds the first error of reading the bytes themselves, which a library wraps in words of
	// its own or panics with.
	failed chan error
}

func boundaryOf(in Input, kind string) boundary {
	return boundary{in.Name, kind, make(chan error, 1)}
}

// fail keeps an error of reading bytes.
func (b boundary) fail(err error) {
	select {
	case b.failed <- err:
	default:
	}
}

// guard gives the errors and the panics of call the input's name. Both mean that the input is corrupt,
// unless reading it failed.
func (b boundary) guard(call func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
		if err == nil {
			return
		}
		select {
		case err = <-b.failed:
			b.fail(err) // for the next who asks
			err = named(b.name, err)
			return
		default:
		}
		if known := (*inputError)(nil); errors.As(err, &known) {
			err = known // without the library's words around it
		} else if !errors.Is(err, ErrInput) && !errors.Is(err, context.Canceled) {
			err = inputErrorf("", "%s: the %s cannot be read: %w", b.name, b.kind, err)
		}
	}()
	return call()
}
