package job

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/source"
)

// InferSchema returns the schema that a new table would get from j's sources: the columns of all of them,
// in the types that hold the values of all. j's table is not looked at and need not be named; its catalog is
// only opened where it is named, for what it says of the storage.
//
// Errors wrap ErrUsage, arrowconv.ErrInput or one of package catalog's.
func InferSchema(ctx context.Context, j Job) (*iceberg.Schema, error) {
	if j.Table == "" {
		j.Table = "any.table"
	}
	s, err := j.check()
	if err != nil {
		return nil, err
	}
	props := j.Catalog.Props
	if j.Catalog.Name != "" || j.Catalog.URI != "" {
		j.Catalog.Existing = true
		cat, err := catalog.Open(ctx, j.Catalog)
		if err != nil {
			return nil, err
		}
		defer cat.Close()
		props = cat.Props
	}
	objects, err := j.resolve(ctx, s, props)
	if err != nil {
		return nil, err
	}
	return j.inferAll(ctx, s, objects, j.inferOptions(s))
}

// SchemaDiff says what a load would do to a table's schema.
type SchemaDiff struct {
	Table string `json:"table"`
	// Fits says that the load as it was asked for would take every row; else Columns say what is in its way.
	Fits bool `json:"fits"`
	// Columns are the table's in its order, nested ones that differ after the one they are in, and then those
	// that are new.
	Columns []ColumnDiff `json:"columns"`
}

// ColumnDiff is one column of a SchemaDiff.
type ColumnDiff struct {
	Column string      `json:"column"`
	State  ColumnState `json:"state"`
	// From and To are types, before and after; "!" is required.
	From string `json:"from"`
	To   string `json:"to"`
	// Evolve is the choice of --evolve that the load needs for it and was not given; mostly "".
	Evolve string `json:"evolve"`
	// Why says what is wrong with a refused column, with the first row at fault.
	Why string `json:"why"`
}

// ColumnState is what a load does to a column, in one word.
type ColumnState string

// The states.
const (
	ColumnSame    ColumnState = "same"
	ColumnAdded   ColumnState = "added"
	ColumnWidened ColumnState = "widened"
	ColumnRelaxed ColumnState = "relaxed"
	ColumnMissing ColumnState = "missing" // in the input: null, or its default
	ColumnRefused ColumnState = "refused" // no change that Iceberg allows has room for its values
)

// DiffSchema reads all rows of j's sources and says what loading them would do to the schema of j's table.
// It writes nothing. Rows that no schema makes fit are for a load's --rejects, and are refused columns here.
//
// Errors wrap ErrUsage, arrowconv.ErrInput or one of package catalog's.
func DiffSchema(ctx context.Context, j Job) (d SchemaDiff, err error) {
	given, err := j.check()
	if err != nil {
		return d, err
	}
	j.Evolve = "add,widen,relax"
	s, err := j.check()
	if err != nil {
		return d, err
	}
	j.Catalog.Existing = true
	cat, err := catalog.Open(ctx, j.Catalog)
	if err != nil {
		return d, err
	}
	defer cat.Close()
	tbl, err := cat.LoadTable(ctx, s.ident)
	if err != nil {
		return d, tableError(ctx, cat, j.Table, err)
	}
	objects, err := j.resolve(ctx, s, cat.Props)
	if err != nil {
		return d, err
	}
	e, err := j.evolution(ctx, s, tbl, objects)
	if err != nil {
		return d, err
	}

	refused := map[string]string{}
	var order []string
	o := s.convert
	o.Workers, o.SpillDir = j.Workers, j.SpillDir
	o.OnReject = func(r arrowconv.Reject) error {
		if _, ok := refused[r.Column]; !ok {
			refused[r.Column] = (&arrowconv.RowError{Reject: r}).Error()
			order = append(order, r.Column)
		}
		return nil
	}
	in, err := j.rows(ctx, s, objects, e.read, o)
	if err != nil {
		return d, err
	}
	for b, err := range e.watch(in) {
		if err != nil {
			return d, err
		}
		b.Release()
	}

	drift := e.drift(tbl)
	missing := map[string]bool{}
	if e.input != nil {
		for _, name := range drift.Missing {
			missing[name] = true
		}
	}
	changes := map[string][]ColumnDiff{} // by top-level column
	for _, c := range drift.Changes {
		diff := ColumnDiff{Column: c.Column, State: map[string]ColumnState{
			catalog.ChangeAdd: ColumnAdded, catalog.ChangeWiden: ColumnWidened, catalog.ChangeRelax: ColumnRelaxed,
		}[c.Change], From: c.From, To: c.To}
		if !allowed(given.evolve, c.Change) {
			diff.Evolve = c.Change
		}
		top, _ := topOf(c.Column, e.schema)
		changes[top] = append(changes[top], diff)
	}
	for _, column := range order {
		diff := ColumnDiff{Column: column, State: ColumnRefused, Why: refused[column]}
		for _, m := range drift.Misfits {
			if m.Column == column && m.Why != nil {
				diff.From, diff.To = m.From, m.To
				diff.Why += ": " + m.Why.Error()
			}
		}
		top, ok := topOf(column, e.schema)
		if !ok { // the row as a whole: not CSV or JSON as it should be
			top = ""
		}
		changes[top] = append(changes[top], diff)
	}

	d = SchemaDiff{Table: j.Table, Fits: true, Columns: append([]ColumnDiff{}, changes[""]...)}
	for _, f := range e.schema.Fields() {
		typ := arrowconv.FormatType(f.Type)
		if old, ok := tbl.Schema().FindFieldByID(f.ID); ok {
			if typ = arrowconv.FormatType(old.Type); old.Required {
				typ += "!"
			}
		}
		whole := slices.ContainsFunc(changes[f.Name], func(c ColumnDiff) bool { return c.Column == f.Name })
		switch {
		case whole:
		case missing[f.Name]:
			d.Columns = append(d.Columns, ColumnDiff{Column: f.Name, State: ColumnMissing, From: typ, To: typ})
		default:
			d.Columns = append(d.Columns, ColumnDiff{Column: f.Name, State: ColumnSame, From: typ, To: typ})
		}
		d.Columns = append(d.Columns, changes[f.Name]...)
	}
	for _, c := range d.Columns {
		d.Fits = d.Fits && c.Evolve == "" && c.State != ColumnRefused
	}
	return d, nil
}

func allowed(e catalog.Evolve, change string) bool {
	switch change {
	case catalog.ChangeAdd:
		return e.Add
	case catalog.ChangeWiden:
		return e.Widen
	}
	return e.Relax
}

// topOf is the column that a path begins with.
func topOf(path string, schema *iceberg.Schema) (string, bool) {
	for _, f := range schema.Fields() {
		if path == f.Name || strings.HasPrefix(path, f.Name+".") {
			return f.Name, true
		}
	}
	return path, false
}

// resolve finds what the sources stand for.
func (j Job) resolve(ctx context.Context, s settings, props iceberg.Properties) ([]source.Object, error) {
	return source.Resolve(ctx, j.Sources, source.Options{
		Props: j.sourceProps(props), Stdin: j.Stdin, SpillDir: j.SpillDir, PathColumns: s.paths, FilesFrom: j.FilesFrom,
	})
}

// sourceProps are the properties that sources in S3 are read with. How the catalog has its own files
// encrypted is not theirs: a store refuses a customer's key for an object that has none.
func (j Job) sourceProps(catalog iceberg.Properties) iceberg.Properties {
	if len(j.SourceProps) > 0 {
		return j.SourceProps
	}
	props := maps.Clone(catalog)
	maps.DeleteFunc(props, func(k, _ string) bool { return strings.Contains(k, ".sse.") })
	return props
}

// ErrSchemaDiffers is what the caller of DiffSchema says where it is to be told by an exit code.
var ErrSchemaDiffers = errors.New("the input does not fit the table's schema")

// Err is nil where the load fits, else an ErrSchemaDiffers.
func (d SchemaDiff) Err() error {
	if d.Fits {
		return nil
	}
	return fmt.Errorf("table %s: %w", d.Table, ErrSchemaDiffers)
}
