package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/nearest"
	"github.com/icewright/icewright/writer/slice"
)

// Query says which rows and columns of a table Show reads.
type Query struct {
	// Columns in the order wanted. Default, nil: all, in table order.
	Columns []string
	// Filter is a slice expression. Default, "": every row.
	Filter string
	// TimeZone is the IANA name of the zone that Filter's timestamps without one are taken in. Default: UTC.
	TimeZone string
	// Limit is the most rows to read. Default, 0: all.
	Limit int64
}

// Rows are the rows that a query found. The caller closes them.
type Rows struct {
	// Schema has the columns in the order asked for.
	Schema *arrow.Schema
	// All yields the rows, partition by partition in the order of their paths, each batch to be
	// released by the loop's body. It can be ranged over once.
	All iter.Seq2[arrow.RecordBatch, error]

	cat *catalog.Catalog
}

// Close lets go of the catalog.
func (r *Rows) Close() error { return r.cat.Close() }

// Show reads rows of a table as the snapshot that t names has them. Nothing is read before the
// rows are ranged over. Errors wrap ErrUsage, slice.ErrSlice or one of package catalog's.
func Show(ctx context.Context, t Target, q Query) (_ *Rows, err error) {
	if q.Limit < 0 {
		return nil, usage("0 shows all rows", "--limit: %d is negative", q.Limit)
	}
	cat, tbl, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			cat.Close()
		}
	}()
	snap, err := t.snapshot(tbl)
	if err != nil {
		return nil, err
	}
	if tbl, err = catalog.Readable(tbl); err != nil {
		return nil, err
	}
	schema := tbl.Schema()
	past := t.past(tbl)
	if past && snap != nil && snap.SchemaID != nil { // time travel shows the columns of its time
		if s, ok := tbl.Schemas()[*snap.SchemaID]; ok {
			schema = s
		}
	}
	columns, err := pick(schema, q.Columns)
	if err != nil {
		return nil, err
	}
	var filter *slice.Slice
	if q.Filter != "" {
		zone, err := time.LoadLocation(q.TimeZone)
		if err != nil {
			return nil, usage("use a name such as Europe/Berlin or UTC", "--time-zone: unknown time zone %q", q.TimeZone)
		}
		if filter, err = slice.Parse(q.Filter, schema, zone, specs(tbl)...); err != nil {
			return nil, fmt.Errorf("--filter: %w", err)
		}
	}
	r := &Rows{cat: cat}
	if snap == nil {
		arrowSchema, err := table.SchemaToArrowSchema(schema, nil, true, false)
		if err != nil {
			return nil, err
		}
		r.Schema = project(arrowSchema, columns)
		r.All = func(func(arrow.RecordBatch, error) bool) {}
		return r, nil
	}
	options := []table.ScanOption{table.WithSelectedFields(catalog.ReadableColumns(tbl, schema, needed(schema, columns, filter))...)}
	if past {
		options = append(options, table.WithSnapshotID(snap.SnapshotID))
	}
	if q.Limit > 0 {
		// One file at a time: a look at a few rows is not to read a file per core.
		options = append(options, table.WithMaxConcurrency(1))
		if filter == nil {
			options = append(options, table.WithLimit(q.Limit))
		}
	}
	scanOf := func(tbl *table.Table) (*table.Scan, error) {
		scan := tbl.Scan(options...)
		if !past && t.Branch != "" { // which, unlike its snapshot, has the table's current columns
			return scan.UseRef(t.Branch)
		}
		return scan, nil
	}
	scan, err := scanOf(tbl)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.Table, err)
	}
	tasks, err := scan.PlanFiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.Table, catalog.Classify(err))
	}
	arrowSchema, batches, err := readInTurn(compute.WithAllocator(ctx, arrowAllocator), tbl, schema, scanOf, arrange(tasks, tbl, schema, filter))
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.Table, catalog.Classify(err))
	}
	r.Schema = project(arrowSchema, columns)
	r.All = rows(t.Table, batches, columns, filter, q.Limit)
	return r, nil
}

// pick checks the wanted columns' names; none means all.
func pick(schema *iceberg.Schema, wanted []string) ([]string, error) {
	var all []string
	for _, f := range schema.Fields() {
		all = append(all, f.Name)
	}
	if len(wanted) == 0 {
		return all, nil
	}
	for i, name := range wanted {
		if !slices.Contains(all, name) {
			hint := "the columns are " + strings.Join(all, ", ")
			if near := nearest.Name(name, all); near != "" {
				hint = fmt.Sprintf("did you mean %q? Otherwise %s", near, hint)
			}
			return nil, usage(hint, "--columns: there is no column %q", name)
		}
		if slices.Contains(wanted[:i], name) {
			return nil, usage("", "--columns: column %q is named twice", name)
		}
	}
	return wanted, nil
}

// needed are the columns to read: those wanted, and those that filter looks at.
func needed(schema *iceberg.Schema, wanted []string, filter *slice.Slice) []string {
	if filter == nil {
		return wanted
	}
	names := slices.Clone(wanted)
	for _, id := range filter.Columns() {
		path, _ := schema.FindColumnName(id)
		for _, f := range schema.Fields() { // of a field inside a struct, the whole struct
			if (f.Name == path || strings.HasPrefix(path, f.Name+".")) && !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
		}
	}
	return names
}

// arrange puts the files in the order of their partitions' paths, and leaves those out that
// cannot hold a row that filter lets through.
func arrange(tasks []table.FileScanTask, tbl *table.Table, schema *iceberg.Schema, filter *slice.Slice) []table.FileScanTask {
	type keyed struct {
		table.FileScanTask
		path string
	}
	var kept []keyed
	for _, task := range tasks {
		spec := tbl.Metadata().PartitionSpecByID(int(task.File.SpecID()))
		if spec == nil {
			kept = append(kept, keyed{task, ""})
			continue
		}
		if filter != nil && filter.File(task.File, *spec, schema) == slice.None {
			continue
		}
		kept = append(kept, keyed{task, slice.PartitionOf(task.File, *spec, schema).Path})
	}
	slices.SortStableFunc(kept, func(a, b keyed) int {
		return cmp.Or(strings.Compare(a.path, b.path), strings.Compare(a.File.FilePath(), b.File.FilePath()),
			cmp.Compare(a.Start, b.Start))
	})
	out := make([]table.FileScanTask, len(kept))
	for i, k := range kept {
		out[i] = k.FileScanTask
	}
	return out
}

// readInTurn reads the tasks in their order, as many at once as one scan can.
func readInTurn(ctx context.Context, tbl *table.Table, schema *iceberg.Schema, scanOf func(*table.Table) (*table.Scan, error),
	tasks []table.FileScanTask,
) (*arrow.Schema, iter.Seq2[arrow.RecordBatch, error], error) {
	alone := func(task table.FileScanTask) bool { return catalog.MayLackColumns(tbl, task.File) }
	read := func(tasks []table.FileScanTask) (*arrow.Schema, iter.Seq2[arrow.RecordBatch, error], error) {
		readable := tbl
		if len(tasks) == 1 && alone(tasks[0]) {
			var err error
			if readable, err = catalog.ReadableFile(tbl, schema, tasks[0].File); err != nil {
				return nil, nil, err
			}
		}
		scan, err := scanOf(readable)
		if err != nil {
			return nil, nil, err
		}
		return scan.ReadTasks(ctx, tasks)
	}
	if !slices.ContainsFunc(tasks, alone) {
		return read(tasks)
	}
	arrowSchema, _, err := read(nil)
	return arrowSchema, func(yield func(arrow.RecordBatch, error) bool) {
		for len(tasks) > 0 {
			n := slices.IndexFunc(tasks, alone)
			if n < 0 {
				n = len(tasks)
			}
			n = max(n, 1)
			_, batches, err := read(tasks[:n])
			if err != nil {
				yield(nil, err)
				return
			}
			tasks = tasks[n:]
			for rec, err := range batches {
				if !yield(rec, err) || err != nil {
					return
				}
			}
		}
	}, err
}

// rows projects, filters and limits what the scan reads.
func rows(name string, in iter.Seq2[arrow.RecordBatch, error], columns []string, filter *slice.Slice, limit int64) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		var n int64
		for rec, err := range in {
			if err != nil {
				if errors.Is(err, iceberg.ErrResolve) { // iceberg-go v0.7.0 reads no date as a timestamp
					err = &Error{Class: err, Text: err.Error(), Advice: "read the table with another engine, or load the partitions again that were written before the type changed"}
				}
				yield(nil, fmt.Errorf("table %s: %w", name, err))
				return
			}
			more := true
			for part, err := range inside(rec, filter) {
				if err != nil {
					yield(nil, fmt.Errorf("table %s: %w", name, err))
					more = false
					break
				}
				if limit > 0 && n+part.NumRows() > limit {
					part = part.NewSlice(0, limit-n)
				} else {
					part.Retain()
				}
				n += part.NumRows()
				out := projectBatch(part, columns)
				part.Release()
				if more = yield(out, nil) && (limit == 0 || n < limit); !more {
					break
				}
			}
			rec.Release()
			if !more {
				return
			}
		}
	}
}

// inside yields the runs of neighbouring rows of rec that filter lets through. They belong to
// rec: the loop's body retains what it keeps.
func inside(rec arrow.RecordBatch, filter *slice.Slice) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		if filter == nil {
			yield(rec, nil)
			return
		}
		in, err := filter.Rows(rec)
		if err != nil || in == nil {
			yield(rec, err)
			return
		}
		for row := 0; row < in.Len(); row++ {
			start := row
			for row < in.Len() && in.Inside(row) {
				row++
			}
			if row == start {
				continue
			}
			run := rec.NewSlice(int64(start), int64(row))
			ok := yield(run, nil)
			run.Release()
			if !ok {
				return
			}
		}
	}
}

func project(s *arrow.Schema, columns []string) *arrow.Schema {
	fields := make([]arrow.Field, len(columns))
	for i, name := range columns {
		found, _ := s.FieldsByName(name)
		fields[i] = found[0]
	}
	return arrow.NewSchema(fields, nil)
}

func projectBatch(rec arrow.RecordBatch, columns []string) arrow.RecordBatch {
	cols := make([]arrow.Array, len(columns))
	for i, name := range columns {
		cols[i] = rec.Column(rec.Schema().FieldIndices(name)[0])
	}
	return array.NewRecordBatch(project(rec.Schema(), columns), cols, rec.NumRows())
}
