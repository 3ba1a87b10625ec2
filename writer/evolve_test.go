package writer_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/go-cmp/cmp"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/publish"
)

// with is the input's schema: that of the table, and one more column of long.
func with(base *table.Table, column string) *iceberg.Schema {
	return iceberg.NewSchema(0, append(slices.Clone(base.Schema().Fields()),
		iceberg.NestedField{ID: 1000, Name: column, Type: iceberg.PrimitiveTypes.Int64})...)
}

// evolving loads one row into region, with column 7, which the load adds if the table lacks it.
func evolving(t testing.TB, inner, cat publish.Catalog, region, column string, o writer.Options) (writer.Result, error) {
	t.Helper()
	base := current(t, inner)
	input := with(base, column)
	allow := catalog.Evolve{Add: true}
	if _, ok := base.Schema().FindFieldByName(column); ok {
		input = base.Schema()
	}
	o.Schema = allow.Compare(base.Metadata(), input, nil).Schema
	o.Evolve = func(tbl *table.Table) catalog.Drift { return allow.Compare(tbl.Metadata(), input, nil) }
	if o.Publish.Sleep == nil {
		o.Publish = quick()
	}
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	return writer.Load(t.Context(), cat, base, oneRow(t, mem, o.Schema, region, column), o)
}

func oneRow(t testing.TB, mem memory.Allocator, schema *iceberg.Schema, region, column string) iter.Seq2[arrowconv.Batch, error] {
	as, err := arrowconv.ArrowSchema(schema)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(arrowconv.Batch, error) bool) {
		b := array.NewRecordBuilder(mem, as)
		defer b.Release()
		for i, f := range as.Fields() {
			switch f.Name {
			case "region":
				b.Field(i).(*array.StringBuilder).Append(region)
			case "id", column:
				b.Field(i).(*array.Int64Builder).Append(7)
			default:
				b.Field(i).AppendNull()
			}
		}
		yield(arrowconv.Batch{RecordBatch: b.NewRecordBatch(), Source: "in", FirstRow: 1}, nil)
	}
}

// values are the rows as "region column=value", of the columns that are not null.
func values(t testing.TB, cat publish.Catalog) []string {
	t.Helper()
	_, recs, err := current(t, cat).Scan().ToArrowRecords(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for rec, err := range recs {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			line := rec.Column(1).ValueStr(i)
			for c := 3; c < int(rec.NumCols()); c++ {
				if rec.Column(c).IsValid(i) {
					line += fmt.Sprintf(" %s=%s", rec.ColumnName(c), rec.Column(c).ValueStr(i))
				}
			}
			out = append(out, line)
		}
		rec.Release()
	}
	slices.Sort(out)
	return out
}

func columnsOf(tbl *table.Table) string {
	var names []string
	for _, f := range tbl.Schema().Fields() {
		names = append(names, fmt.Sprintf("%s:%d", f.Name, f.ID))
	}
	return strings.Join(names, " ")
}

// The column and the rows come in one commit, whatever becomes of it on the way.
func TestEvolveLandsWithTheRows(t *testing.T) {
	for _, c := range []struct {
		faults string
		err    error
		litter int
	}{
		{faults: ""},
		{faults: "commit #1 lands, reply lost"},
		{faults: "commit #1 lands, answers 503"},
		{faults: "commit #1 is lost"},
		{faults: "commit #1 lands late"},
		{faults: "commit #1 answers 409"},
		{faults: "commit #1 answers 400", err: catalog.ErrRejected},
	} {
		for version := 1; version <= 3; version++ {
			t.Run(fmt.Sprintf("v%d %s", version, c.faults), func(t *testing.T) {
				inner := testcat.New(t)
				spec := catalog.TableSpec{Schema: schema, PartitionBy: "region", FormatVersion: version}
				if _, _, err := inner.CreateTable(t.Context(), ident, spec); err != nil {
					t.Fatal(err)
				}
				mustLoad(t, inner, writer.Options{}, row{1, "a", 1})
				before := current(t, inner).Schema().ID
				res, err := evolving(t, inner, fault.New(t, inner, c.faults), "b", "x", writer.Options{})
				if !errors.Is(err, c.err) {
					t.Fatal(err)
				}
				tbl := current(t, inner)
				wantLitter(t, inner, c.litter)
				if c.err != nil {
					if got := columnsOf(tbl); got != "id:1 region:2 amount:3" || tbl.Schema().ID != before || len(tbl.Schemas()) != 1 {
						t.Errorf("the schema changed: %s", got)
					}
					return
				}
				if got := columnsOf(tbl); got != "id:1 region:2 amount:3 x:4" {
					t.Errorf("columns %s", got)
				}
				if s := tbl.CurrentSnapshot(); *s.SchemaID != tbl.Schema().ID || tbl.Schema().ID == before {
					t.Errorf("snapshot of schema %d, the table is at %d, was at %d", *s.SchemaID, tbl.Schema().ID, before)
				}
				if diff := cmp.Diff([]catalog.SchemaChange{{Change: "add", Column: "x", To: "long"}}, res.SchemaChanges); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff([]string{"a", "b x=7"}, values(t, inner)); diff != "" {
					t.Error(diff)
				}
				// Again: nothing.
				if res, err = evolving(t, inner, inner, "b", "x", writer.Options{}); err != nil || res.Status != writer.Unchanged || len(res.SchemaChanges) > 0 {
					t.Errorf("again: %v %v %v", res.Status, res.SchemaChanges, err)
				}
			})
		}
	}
}

// A name mapping, which readers of files without field ids go by, gets the column in the same commit.
func TestEvolveKeepsTheNameMapping(t *testing.T) {
	const mapping = "schema.name-mapping.default"
	for was, want := range map[string]string{
		`[{"field-id":1,"names":["id"]},{"field-id":2,"names":["region"]}]`: `[{"names":["id"],"field-id":1},{"names":["region"],"field-id":2},{"names":["x"],"field-id":4}]`,
		"": "",
	} {
		inner := testcat.New(t)
		spec := catalog.TableSpec{Schema: schema, PartitionBy: "region", Props: iceberg.Properties{}}
		if was != "" {
			spec.Props[mapping] = was
		}
		if _, _, err := inner.CreateTable(t.Context(), ident, spec); err != nil {
			t.Fatal(err)
		}
		if _, err := evolving(t, inner, inner, "b", "x", writer.Options{}); err != nil {
			t.Fatal(err)
		}
		if got := current(t, inner).Properties()[mapping]; got != want {
			t.Errorf("the name mapping is %s, want %s", got, want)
		}
	}
}

// Two runs add the same column at the same time: there is one, with the rows of both.
func TestTwoRunsAddTheSameColumn(t *testing.T) {
	inner := newTable(t, "region")
	mustLoad(t, inner, writer.Options{}, row{1, "a", 1})
	cat := fault.New(t, inner, "")
	cat.Before = func(n int) {
		if n == 1 {
			if _, err := evolving(t, inner, inner, "c", "x", writer.Options{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	res, err := evolving(t, inner, cat, "b", "x", writer.Options{})
	if err != nil || len(res.SchemaChanges) > 0 || res.Attempts != 2 {
		t.Fatal(err, res.SchemaChanges, res.Attempts)
	}
	if got := columnsOf(current(t, inner)); got != "id:1 region:2 amount:3 x:4" {
		t.Errorf("columns %s", got)
	}
	if diff := cmp.Diff([]string{"a", "b x=7", "c x=7"}, values(t, inner)); diff != "" {
		t.Error(diff)
	}
	wantLitter(t, inner, 0)
}

// Two runs add different columns: the files of the second have the id of the first's column. They must
// not be published; the run ends as a conflict, and another try lands.
func TestTwoRunsAddDifferentColumns(t *testing.T) {
	inner := newTable(t, "region")
	cat := fault.New(t, inner, "")
	cat.Before = func(n int) {
		if n == 1 {
			if _, err := evolving(t, inner, inner, "c", "y", writer.Options{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err := evolving(t, inner, cat, "b", "x", writer.Options{})
	if !errors.Is(err, publish.ErrConflict) || !strings.Contains(err.Error(), `field id 4 for column x, which the table has for y by now`) {
		t.Fatal(err)
	}
	wantLitter(t, inner, 0)
	if diff := cmp.Diff([]string{"c y=7"}, values(t, inner)); diff != "" {
		t.Error(diff)
	}
	if _, err := evolving(t, inner, inner, "b", "x", writer.Options{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b x=7", "c y=7"}, values(t, inner)); diff != "" {
		t.Error(diff)
	}
}

// Somebody changes the schema alone, so that the branch is where it was.
func TestSchemaChangesWithoutASnapshot(t *testing.T) {
	alter := func(t *testing.T, cat *catalog.Catalog, change func(*table.UpdateSchema)) {
		t.Helper()
		txn := current(t, cat).NewTransaction()
		u := txn.UpdateSchema(true, false)
		change(u)
		if err := u.Commit(); err != nil {
			t.Fatal(err)
		}
		if _, err := txn.Commit(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	describe := func(u *table.UpdateSchema) {
		u.UpdateColumn([]string{"amount"}, table.ColumnUpdate{Doc: iceberg.Optional[string]{Val: "in cents", Valid: true}})
	}
	add := func(u *table.UpdateSchema) {
		u.AddColumn([]string{"y"}, iceberg.PrimitiveTypes.String, "", false, nil)
	}
	for _, c := range []struct {
		name   string
		faults string
		change func(*table.UpdateSchema)
		err    error
	}{
		{"in what is no matter, and the catalog says conflict: planned again", "commit #1 answers 409", describe, nil},
		{"in what is no matter, and the catalog looks at its requirements itself: planned again", "", describe, nil},
		{"by a column with the same id", "", add, publish.ErrConflict},
		{"by a column, and the answer was lost", "commit #1 is lost", add, publish.ErrConflict},
		// It might be undone, and the lost commit arrive after that.
		{"in what might be undone, and the answer was lost", "commit #1 is lost", describe, publish.ErrUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			inner := newTable(t, "region")
			cat := fault.New(t, inner, c.faults)
			cat.Before = func(n int) {
				if n == 1 {
					alter(t, inner, c.change)
				}
			}
			var mu sync.Mutex
			now := time.Now()
			o := writer.Options{Publish: publish.Options{
				Sleep: func(ctx context.Context, _ time.Duration) error {
					mu.Lock()
					defer mu.Unlock()
					now = now.Add(10 * time.Second)
					return ctx.Err()
				},
				Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now },
			}}
			_, err := evolving(t, inner, cat, "b", "x", o)
			if !errors.Is(err, c.err) {
				t.Fatalf("%v, want %v", err, c.err)
			}
			var want []string
			if c.err == nil {
				want = []string{"b x=7"}
			}
			if diff := cmp.Diff(want, values(t, inner)); diff != "" {
				t.Error(diff)
			}
			if !errors.Is(c.err, publish.ErrUnknown) {
				wantLitter(t, inner, 0)
			}
		})
	}
}
