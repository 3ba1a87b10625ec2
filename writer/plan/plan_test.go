package plan_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/cockroachdb/datadriven"
	"github.com/google/uuid"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/slice"
	"github.com/icewright/icewright/writer/stage"
)

var ident = table.Identifier{"db", "t"}

// bench is one table and what a story does to it.
type bench struct {
	testing.TB
	cat   *catalog.Catalog
	names map[string]string // files by location: d1, d2, … data, x1, … delete files, s1, … staged
	count map[string]int
}

// TestReplace: stories of tables and what a replace would do to them. Each plan is published
// too, where "publish" says so, and the rows read back.
//
//	table [version=N] [by=(…)]     columns, one a line
//	append [iceberg]               CSV; "iceberg": by iceberg-go's writer, without digests
//	delete column value            merge-on-read, by iceberg-go
//	eq-delete column               values, one a line
//	evolve                         "add column transform name", "remove name"
//	plan […]                       CSV to stage
func TestReplace(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		b := &bench{TB: t}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			b.TB = t
			switch d.Cmd {
			case "table":
				return b.create(d)
			case "append":
				return b.append(d)
			case "delete":
				return b.delete(d)
			case "eq-delete":
				return b.eqDelete(d)
			case "evolve":
				return b.evolve(d)
			case "plan":
				return b.plan(d)
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) create(d *datadriven.TestData) string {
	schema, err := arrowconv.ParseSchema("columns.yaml", []byte("columns:\n  "+strings.ReplaceAll(strings.TrimSpace(d.Input), "\n", "\n  ")))
	b.ok(err)
	spec := catalog.TableSpec{Schema: schema, Props: iceberg.Properties{"write.delete.mode": "merge-on-read"}}
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "version":
			spec.FormatVersion, err = strconv.Atoi(arg.Vals[0])
			b.ok(err)
		case "by":
			spec.PartitionBy = strings.Join(arg.Vals, ", ")
		}
	}
	b.cat, b.names, b.count = testcat.New(b), map[string]string{}, map[string]int{}
	_, _, err = b.cat.CreateTable(b.Context(), ident, spec)
	b.ok(err)
	return ""
}

func (b *bench) table() *table.Table {
	b.Helper()
	tbl, err := b.cat.LoadTable(b.Context(), ident)
	b.ok(err)
	return tbl
}

func (b *bench) commit(tx *table.Transaction) string {
	b.Helper()
	_, err := tx.Commit(b.Context())
	b.ok(err)
	return b.news()
}

// news names the files that were not there before, in the order of their partitions, so that
// names do not depend on who wrote them.
func (b *bench) news() string {
	tbl := b.table()
	fs, err := tbl.FS(b.Context())
	b.ok(err)
	manifests, err := tbl.CurrentSnapshot().Manifests(fs)
	b.ok(err)
	type found struct{ kind, text, key string }
	var all []found
	for _, m := range manifests {
		for e, err := range m.Entries(fs, true) {
			b.ok(err)
			df := e.DataFile()
			if b.names[key(df)] != "" {
				continue
			}
			kind := "x"
			if df.ContentType() == iceberg.EntryContentData {
				kind = "d"
			}
			spec := tbl.Metadata().PartitionSpecByID(int(df.SpecID()))
			text := fmt.Sprintf("%q, %d rows", slice.PartitionOf(df, *spec, tbl.Schema()).Path, df.Count())
			if ref := df.ReferencedDataFile(); ref != nil {
				text += " of " + b.names[*ref]
			}
			all = append(all, found{kind, text, key(df)})
		}
	}
	slices.SortStableFunc(all, func(a, b found) int { return strings.Compare(a.kind+a.text, b.kind+b.text) })
	var out strings.Builder
	for _, f := range all {
		b.count[f.kind]++
		b.names[f.key] = fmt.Sprint(f.kind, b.count[f.kind])
		fmt.Fprintf(&out, "%s: %s\n", b.names[f.key], f.text)
	}
	return out.String()
}

// key tells files apart: several deletion vectors share a Puffin file.
func key(df iceberg.DataFile) string {
	if o := df.ContentOffset(); o != nil {
		return fmt.Sprint(df.FilePath(), "@", *o)
	}
	return df.FilePath()
}

func (b *bench) read(schema *iceberg.Schema, csv string) iter.Seq2[arrowconv.Batch, error] {
	in := arrowconv.Input{Name: "rows.csv", Reader: strings.NewReader(csv)}
	return arrowconv.Read(b.Context(), in, schema, arrowconv.Options{Format: arrowconv.CSV})
}

func (b *bench) records(schema *iceberg.Schema, csv string) []arrow.RecordBatch {
	var out []arrow.RecordBatch
	for batch, err := range b.read(schema, csv) {
		b.ok(err)
		out = append(out, batch.RecordBatch)
	}
	return out
}

func (b *bench) stage(csv string) []slice.StagedFile {
	tbl := b.table()
	res, err := stage.Stage(b.Context(), tbl, b.read(tbl.Schema(), csv), stage.Options{})
	b.ok(err)
	return res.Files
}

func (b *bench) append(d *datadriven.TestData) string {
	tbl := b.table()
	if d.HasArg("iceberg") {
		tx := tbl.NewTransaction()
		recs := b.records(tbl.Schema(), d.Input)
		rdr, err := array.NewRecordReader(recs[0].Schema(), recs)
		b.ok(err)
		b.ok(tx.Append(b.Context(), rdr, nil))
		return b.commit(tx)
	}
	c := &publish.Change{Operation: table.OpAppend}
	for _, f := range b.stage(d.Input) {
		c.Add = append(c.Add, f.DataFile)
	}
	b.publish(tbl, c)
	return b.news()
}

func (b *bench) delete(d *datadriven.TestData) string {
	column, text := d.CmdArgs[0].Key, d.CmdArgs[1].Key
	tx := b.table().NewTransaction()
	var filter iceberg.BooleanExpression = iceberg.EqualTo(iceberg.Reference(column), text)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		filter = iceberg.EqualTo(iceberg.Reference(column), n)
	}
	b.ok(tx.Delete(b.Context(), filter, nil))
	return b.commit(tx)
}

func (b *bench) eqDelete(d *datadriven.TestData) string {
	b.eqDeleteRows(strings.SplitN(d.Input, "\n", 2)[0], d.Input)
	return b.news()
}

// eqDeleteRows deletes the rows that agree with one of csv in the columns.
func (b *bench) eqDeleteRows(columns, csv string) {
	tbl := b.table()
	var ids []int
	var fields []iceberg.NestedField
	for name := range strings.SplitSeq(columns, ",") {
		f, ok := tbl.Schema().FindFieldByName(name)
		if !ok {
			b.Fatalf("no column %s", name)
		}
		ids, fields = append(ids, f.ID), append(fields, f)
	}
	recs := b.records(iceberg.NewSchema(0, fields...), csv)
	tx := tbl.NewTransaction()
	b.ok(tx.CommitEqualityDeletes(b.Context(), ids, func(yield func(arrow.RecordBatch, error) bool) {
		for _, r := range recs {
			if !yield(r, nil) {
				return
			}
		}
	}, nil))
	_, err := tx.Commit(b.Context())
	b.ok(err)
}

// repartition gives the table the partition spec that by describes.
func (b *bench) repartition(by string) {
	tbl := b.table()
	spec, err := catalog.ParsePartitionBy(by, tbl.Schema())
	b.ok(err)
	tx := tbl.NewTransaction()
	update := tx.UpdateSpec(true)
	old := tbl.Spec()
	for _, f := range old.Fields() {
		update = update.RemoveField(f.Name)
	}
	for _, f := range spec.Fields() {
		name, _ := tbl.Schema().FindColumnName(f.SourceID())
		update = update.AddField(name, f.Transform, f.Name)
	}
	b.ok(update.Commit())
	_, err = tx.Commit(b.Context())
	b.ok(err)
}

func (b *bench) evolve(d *datadriven.TestData) string {
	tx := b.table().NewTransaction()
	update := tx.UpdateSpec(true)
	for line := range strings.Lines(d.Input) {
		switch w := strings.Fields(line); w[0] {
		case "add":
			tr, err := iceberg.ParseTransform(w[2])
			b.ok(err)
			update = update.AddField(w[1], tr, w[3])
		case "remove":
			update = update.RemoveField(w[1])
		}
	}
	b.ok(update.Commit())
	_, err := tx.Commit(b.Context())
	b.ok(err)
	tbl := b.table()
	spec := tbl.Spec()
	return fmt.Sprintf("spec %d: %s\n", spec.ID(), catalog.FormatSpec(spec, tbl.Schema()))
}

func (b *bench) plan(d *datadriven.TestData) string {
	tbl := b.table()
	o := plan.Options{Partitions: partitions}
	publishIt := false
	for _, arg := range d.CmdArgs {
		var err error
		switch arg.Key {
		case "slice":
			specs := append([]iceberg.PartitionSpec{tbl.Spec()}, tbl.Metadata().PartitionSpecs()...)
			o.Slice, err = slice.Parse(strings.Join(arg.Vals, ", "), tbl.Schema(), nil, specs...)
		case "replace-table":
			o.ReplaceTable = true
		case "on-empty":
			o.OnEmpty = map[string]plan.OnEmpty{"keep": plan.OnEmptyKeep, "clear": plan.OnEmptyClear}[arg.Vals[0]]
		case "allow-shrink":
			o.AllowShrink = true
		case "max-shrink":
			o.MaxShrink, err = strconv.ParseFloat(arg.Vals[0], 64)
		case "compare-rows":
			o.CompareRows = true
		case "publish":
			publishIt = true
		default:
			b.Fatalf("plan: unknown option %s", arg.Key)
		}
		b.ok(err)
	}
	staged := b.stage(d.Input)
	p, err := plan.Replace(b.Context(), tbl, staged, o)
	if err != nil {
		var g *plan.GuardError
		if !errors.As(err, &g) || !errors.Is(err, plan.ErrGuard) {
			b.Fatalf("%T: %v", err, err)
		}
		text := err.Error()
		for path, name := range b.names {
			text = strings.ReplaceAll(text, path, name)
		}
		return text + "\nhint: " + g.Hint() + "\n"
	}
	var out strings.Builder
	if p.Unchanged {
		fmt.Fprintln(&out, "unchanged")
	}
	fmt.Fprintf(&out, "written %d, unchanged %d, +%d -%d files\n", p.RowsWritten, p.RowsUnchanged, p.FilesAdded(), p.FilesRemoved())
	for _, part := range p.Partitions {
		changed, before := "stays", "digest unknown"
		if part.Changed {
			changed = "changes"
		}
		if part.Before != nil {
			before = "digest known"
		}
		fmt.Fprintf(&out, "%q: rows %d -> %d, files %d -> %d, %s, %s\n", part.Partition.Path, part.RowsBefore, part.RowsAfter,
			part.FilesBefore, part.FilesAfter, before, changed)
		if part.Changed == (part.Before != nil && *part.Before == part.After && part.FilesBefore > 0) {
			b.Errorf("%s: before %v, after %v, changed %v", part.Partition.Path, part.Before, part.After, part.Changed)
		}
	}
	var gone []string
	for _, f := range p.Remove {
		gone = append(gone, b.names[key(f.DataFile())])
	}
	slices.Sort(gone)
	if len(gone) > 0 {
		fmt.Fprintln(&out, "remove", strings.Join(gone, " "))
	}
	for _, f := range p.Rewrite {
		fmt.Fprintf(&out, "rewrite %s: %d rows go, %d stay\n", b.names[f.DataFile().FilePath()], f.Removed, f.Kept)
	}
	b.checkTouches(p, tbl)
	if len(p.Add)+len(p.Discard) != len(staged) {
		b.Errorf("%d added + %d discarded of %d staged files", len(p.Add), len(p.Discard), len(staged))
	}
	if publishIt {
		if !p.Unchanged {
			b.publish(tbl, b.change(tbl, p))
			b.news()
		}
		out.WriteString(b.rows())
	}
	return out.String()
}

func partitions(schema *iceberg.Schema, spec iceberg.PartitionSpec) (plan.Partitions, error) {
	return stage.NewPartitions(schema, spec)
}

// change is what p asks for, with the rows that it keeps carried over.
func (b *bench) change(tbl *table.Table, p *plan.Plan) *publish.Change {
	b.Helper()
	files := p.Add
	if len(p.Rewrite) > 0 {
		outside, err := p.Outside(tbl.Schema())
		b.ok(err)
		res, err := stage.Stage(b.Context(), tbl, func(yield func(arrowconv.Batch, error) bool) {
			for rec, err := range p.Rows(b.Context(), tbl, p.Rewrite...) {
				if !yield(arrowconv.Batch{RecordBatch: rec}, err) {
					return
				}
			}
		}, stage.Options{Only: outside, Carried: true})
		b.ok(err)
		if res.RowsStaged != p.RowsKept {
			b.Errorf("%d rows carried over, the plan says %d", res.RowsStaged, p.RowsKept)
		}
		files = slices.Concat(files, res.Files)
	}
	c := &publish.Change{Operation: table.OpOverwrite, Remove: p.Remove}
	for _, f := range files {
		c.Add = append(c.Add, f.DataFile)
	}
	return c
}

// checkTouches: every file that goes or comes is one that the fence would look at.
func (b *bench) checkTouches(p *plan.Plan, tbl *table.Table) {
	touches := func(df iceberg.DataFile) bool {
		return p.Touches(df, *tbl.Metadata().PartitionSpecByID(int(df.SpecID())), tbl.Schema())
	}
	for _, f := range p.Remove {
		if f.DataFile().ContentType() == iceberg.EntryContentData && !touches(f.DataFile()) {
			b.Errorf("the plan removes %s and does not touch it", b.names[key(f.DataFile())])
		}
	}
	for _, f := range slices.Concat(p.Add, p.Discard) {
		if !touches(f.DataFile) {
			b.Errorf("the plan adds %s and does not touch it", f.Partition.Path)
		}
	}
}

func (b *bench) publish(tbl *table.Table, c *publish.Change) {
	a := publish.Attempt{
		ID: uuid.New(), Table: ident, Branch: table.MainBranch, Job: "j", RunKey: "k", Started: time.Now(), Base: tbl,
		Touches: func(iceberg.DataFile, iceberg.PartitionSpec, *iceberg.Schema) bool { return true },
	}
	_, err := publish.Publish(b.Context(), b.cat, a, func(context.Context, *table.Table) (*publish.Change, error) { return c, nil }, publish.Options{})
	b.ok(err)
}

// rows are the table's rows as iceberg-go reads them, sorted.
func (b *bench) rows() string {
	tbl, err := b.table().Scan().ToArrowTable(b.Context())
	b.ok(err)
	defer tbl.Release()
	var lines []string
	tr := array.NewTableReader(tbl, 0)
	defer tr.Release()
	for tr.Next() {
		rec := tr.RecordBatch()
		for i := range int(rec.NumRows()) {
			var values []string
			for _, c := range rec.Columns() {
				values = append(values, c.ValueStr(i))
			}
			lines = append(lines, "  "+strings.Join(values, " | "))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}
