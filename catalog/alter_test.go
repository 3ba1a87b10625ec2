package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/apache/iceberg-go"
	icecatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
)

// plain writes a schema as people would: names, types, what is required.
func plain(fields []iceberg.NestedField) string {
	var out []string
	for _, f := range fields {
		text := f.Name + " " + f.Type.String()
		if s, ok := f.Type.(*iceberg.StructType); ok {
			text = f.Name + " {" + plain(s.FieldList) + "}"
		}
		if f.Required {
			text += "!"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func alterNow(t testing.TB, c *catalog.Catalog, ident table.Identifier, a catalog.Alteration) (*table.Table, *catalog.AlterPlan) {
	t.Helper()
	tbl, err := c.LoadTable(t.Context(), ident)
	if err != nil {
		t.Fatal(err)
	}
	p, err := catalog.PlanAlter(tbl, a)
	if err != nil {
		t.Fatal(err)
	}
	if tbl, err = c.AlterTable(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return tbl, p
}

func makeTable(t testing.TB, c *catalog.Catalog, name string, s catalog.TableSpec) *table.Table {
	t.Helper()
	tbl, _, err := c.CreateTable(t.Context(), table.Identifier{"a", name}, s)
	if err != nil {
		t.Fatal(err)
	}
	return tbl
}

// columns is the model of a schema: what a user sees of it, in order.
type columns []*column

type column struct {
	name, typ string
	required  bool
	id        int // as the table gave it
}

var widened = map[string]string{"int": "long", "float": "double", "decimal(9, 2)": "decimal(12, 2)"}

var modelTypes = map[string]iceberg.Type{
	"int": iceberg.PrimitiveTypes.Int32, "long": iceberg.PrimitiveTypes.Int64, "float": iceberg.PrimitiveTypes.Float32,
	"double": iceberg.PrimitiveTypes.Float64, "string": iceberg.PrimitiveTypes.String,
	"decimal(9, 2)": iceberg.DecimalTypeOf(9, 2), "decimal(12, 2)": iceberg.DecimalTypeOf(12, 2),
}

func (m columns) find(name string) int {
	return slices.IndexFunc(m, func(c *column) bool { return c.name == name })
}

func (m columns) byID(id int) *column {
	return m[slices.IndexFunc(m, func(c *column) bool { return c.id == id })]
}

func (m columns) text() string {
	var out []string
	for _, c := range m {
		text := c.name + " " + c.typ
		if c.required {
			text += "!"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// Whatever is asked of a schema, one thing after another: the table has the columns that a list
// would have, each under its id for ever, and asking again changes nothing.
func TestAlterSchemaModel(t *testing.T) {
	c := testcat.New(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		schema := iceberg.NewSchema(0,
			iceberg.NestedField{ID: 1, Name: "k", Type: iceberg.PrimitiveTypes.Int64, Required: true},
			iceberg.NestedField{ID: 2, Name: "s", Type: &iceberg.StructType{FieldList: []iceberg.NestedField{
				{ID: 3, Name: "x", Type: iceberg.PrimitiveTypes.Int32, Required: true},
			}}},
		)
		tbl := makeTable(t, c, fmt.Sprintf("t%d", n), catalog.TableSpec{Schema: schema})
		ident := tbl.Identifier()
		// Of the struct's columns and of those beside it; k and s stay.
		inner := columns{{name: "x", typ: "int", required: true, id: 3}}
		outer := columns{}
		used := map[int]bool{1: true, 2: true, 3: true}
		fresh := 0
		for range rapid.IntRange(1, 6).Draw(rt, "alters") {
			var a catalog.Alteration
			level, prefix := &outer, ""
			if rapid.Bool().Draw(rt, "inner") {
				level, prefix = &inner, "s."
			}
			next := make(columns, len(*level))
			for i, col := range *level {
				next[i] = &column{col.name, col.typ, col.required, col.id}
			}
			var kept []string
			free := rapid.Permutation(*level).Draw(rt, "columns")
			take := func() *column { // one that nothing else is asked of
				if len(free) == 0 {
					return nil
				}
				col := free[0]
				free = free[1:]
				return col
			}
			present := func() *column { // one that stays, renamed or not: it goes by its present name
				col := rapid.SampledFrom(append(columns{nil}, *level...)).Draw(rt, "column")
				if col == nil || slices.Contains(a.DropColumns, prefix+col.name) {
					return nil
				}
				kept = append(kept, col.name)
				return col
			}
			for range rapid.IntRange(1, 4).Draw(rt, "ops") {
				switch rapid.SampledFrom([]string{"add", "add", "drop", "rename", "widen", "relax"}).Draw(rt, "op") {
				case "add":
					fresh++
					col := &column{name: fmt.Sprintf("c%d", fresh), typ: rapid.SampledFrom(slices.Sorted(maps.Keys(modelTypes))).Draw(rt, "type")}
					add := catalog.NewColumn{Name: prefix + col.name, Type: modelTypes[col.typ]}
					if rapid.Bool().Draw(rt, "first") {
						add.Place = &catalog.Place{}
						next = slices.Insert(next, 0, col)
					} else {
						next = append(next, col)
					}
					a.AddColumns = append(a.AddColumns, add)
				case "drop":
					if len(*level)-len(a.DropColumns) < 2 {
						continue
					}
					if col := take(); col != nil && !slices.Contains(kept, col.name) {
						a.DropColumns = append(a.DropColumns, prefix+col.name)
						next = slices.Delete(next, next.find(col.name), next.find(col.name)+1)
					}
				case "rename":
					if col := take(); col != nil {
						fresh++
						to := fmt.Sprintf("r%d", fresh)
						a.RenameColumns = append(a.RenameColumns, catalog.Renaming{Column: prefix + col.name, To: to})
						next[next.find(col.name)].name = to
					}
				case "widen":
					if col := present(); col != nil && widened[col.typ] != "" {
						a.RetypeColumns = append(a.RetypeColumns, catalog.Retyping{Column: prefix + col.name, Type: modelTypes[widened[col.typ]]})
						next.byID(col.id).typ = widened[col.typ]
					}
				case "relax":
					if col := present(); col != nil {
						a.RelaxColumns = append(a.RelaxColumns, prefix+col.name)
						next.byID(col.id).required = false
					}
				}
			}
			// New columns that go first come in front in the order of asking: the last one leads.
			got, p := alterNow(t, c, ident, a)
			text := func(tbl *table.Table) string {
				var rest []iceberg.NestedField
				for _, f := range tbl.Schema().Fields() {
					if prefix != "" && f.Name == "s" {
						return plain(f.Type.(*iceberg.StructType).FieldList)
					}
					if f.Name != "k" && f.Name != "s" {
						rest = append(rest, f)
					}
				}
				return plain(rest)
			}
			if text(got) != next.text() {
				rt.Fatalf("%+v made\n%s, not\n%s (plan %+v)", a, text(got), next.text(), p.Changes)
			}
			for _, col := range next {
				f, ok := got.Schema().FindFieldByName(prefix + col.name)
				switch {
				case !ok:
					rt.Fatalf("no column %s in %s", prefix+col.name, got.Schema())
				case col.id == 0 && used[f.ID]:
					rt.Fatalf("column %s has the id %d of another one", col.name, f.ID)
				case col.id != 0 && col.id != f.ID:
					rt.Fatalf("column %s had id %d and has %d", col.name, col.id, f.ID)
				}
				col.id = f.ID
				used[f.ID] = true
			}
			*level = next
			if again, err := catalog.PlanAlter(got, a); err != nil || len(again.Changes) > 0 {
				rt.Fatalf("%+v a second time: %+v, %v", a, again, err)
			}
		}
	})
}

// Moves give the same order however often they are asked for.
func TestAlterMovesAgain(t *testing.T) {
	c := testcat.New(t)
	var fields []iceberg.NestedField
	names := []string{"a", "b", "c", "d", "e"}
	for i, name := range names {
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: name, Type: iceberg.PrimitiveTypes.Int32})
	}
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		tbl := makeTable(t, c, fmt.Sprintf("m%d", n), catalog.TableSpec{Schema: iceberg.NewSchema(0, fields...)})
		var a catalog.Alteration
		for _, name := range rapid.Permutation(names).Draw(rt, "moved")[:rapid.IntRange(1, 4).Draw(rt, "moves")] {
			after := rapid.SampledFrom(append([]string{""}, names...)).Filter(func(s string) bool { return s != name }).Draw(rt, "after")
			a.MoveColumns = append(a.MoveColumns, catalog.Move{Column: name, Place: catalog.Place{After: after}})
		}
		p, err := catalog.PlanAlter(tbl, a)
		if err != nil {
			if !strings.Contains(err.Error(), "circle") {
				rt.Fatal(err)
			}
			return
		}
		got, err := c.AlterTable(t.Context(), p)
		if err != nil {
			rt.Fatal(err)
		}
		if again, err := catalog.PlanAlter(got, a); err != nil || len(again.Changes) > 0 {
			rt.Fatalf("%+v a second time: %+v, %v", a.MoveColumns, again.Changes, err)
		}
		order := slices.IndexFunc[[]iceberg.NestedField]
		at := func(name string) int {
			return order(got.Schema().Fields(), func(f iceberg.NestedField) bool { return f.Name == name })
		}
		for _, m := range a.MoveColumns {
			if m.After != "" && at(m.Column) <= at(m.After) {
				rt.Fatalf("%s is not behind %s: %s", m.Column, m.After, plain(got.Schema().Fields()))
			}
		}
	})
}

// Partition specs come and go: rows are divided as was asked for last, a field has one id and one
// name for ever, and in version 1 fields keep their places.
func TestAlterSpecModel(t *testing.T) {
	terms := []string{"day(ts)", "hour(naive)", "bucket(4, id)", "bucket(8, id)", "truncate(2, code)", "code", "d", "a.b"}
	c := testcat.New(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		version := rapid.IntRange(1, 3).Draw(rt, "version")
		tbl := makeTable(t, c, fmt.Sprintf("p%d", n), catalog.TableSpec{Schema: wideSchema, FormatVersion: version, PartitionBy: "day(ts)"})
		meaning := map[int]string{} // of a partition field's id
		for range rapid.IntRange(1, 6).Draw(rt, "alters") {
			want := rapid.Permutation(terms).Draw(rt, "terms")[:rapid.IntRange(0, 3).Draw(rt, "fields")]
			if slices.Contains(want, "bucket(4, id)") && slices.Contains(want, "bucket(8, id)") {
				continue // in one spec they would have one name
			}
			expr := strings.Join(want, ", ")
			a := catalog.Alteration{PartitionBy: &expr}
			tbl, _ = alterNow(t, c, tbl.Identifier(), a)
			spec := tbl.Spec()
			text := catalog.FormatSpec(spec, tbl.Schema())
			if version > 1 && text != expr {
				rt.Fatalf("asked for %q, got %q", expr, text)
			}
			seen := map[string]bool{}
			for i, f := range spec.Fields() {
				if seen[f.Name] {
					rt.Fatalf("two fields are called %q: %s", f.Name, spec)
				}
				seen[f.Name] = true
				if version == 1 && f.FieldID != iceberg.PartitionDataIDStart+i {
					rt.Fatalf("field %d of a version 1 spec has id %d", i, f.FieldID)
				}
				if _, void := f.Transform.(iceberg.VoidTransform); void {
					continue
				}
				means := fmt.Sprintf("%s(%v)", f.Transform, f.SourceIDs)
				if old := meaning[f.FieldID]; old != "" && old != means {
					rt.Fatalf("partition field %d was %s and is %s", f.FieldID, old, means)
				}
				meaning[f.FieldID] = means
			}
			// In version 1 voids stand between; what divides the rows is what was asked for.
			if version == 1 {
				var live []string
				for _, f := range spec.Fields() {
					if _, void := f.Transform.(iceberg.VoidTransform); !void {
						one := iceberg.NewPartitionSpec(f)
						live = append(live, catalog.FormatSpec(one, tbl.Schema()))
					}
				}
				if slices.Sort(live); !slices.Equal(live, slices.Sorted(slices.Values(want))) {
					rt.Fatalf("asked for %q, got %q", want, live)
				}
			}
			if again, err := catalog.PlanAlter(tbl, a); err != nil || len(again.Changes) > 0 {
				rt.Fatalf("%q a second time: %+v, %v", expr, again, err)
			}
			if err := (catalog.TableSpec{PartitionBy: expr}).CheckAgainst(tbl); err != nil {
				rt.Fatalf("the table does not agree with what it was altered to: %v", err)
			}
		}
	})
}

// A column that an old partition spec uses is needed to read the files of that spec.
func TestAlterKeepsPartitionSources(t *testing.T) {
	c := testcat.New(t)
	tbl := makeTable(t, c, "t", catalog.TableSpec{Schema: wideSchema, PartitionBy: "day(ts)", SortBy: "code"})
	drop := func(name string, a catalog.Alteration) error {
		a.DropColumns = []string{name}
		_, err := catalog.PlanAlter(tbl, a)
		return err
	}
	text := ""
	for _, err := range []error{drop("ts", catalog.Alteration{}), drop("ts", catalog.Alteration{PartitionBy: &text}), drop("code", catalog.Alteration{})} {
		var refused *catalog.AlterError
		if !errors.As(err, &refused) {
			t.Errorf("got %v", err)
		}
	}
	if err := drop("code", catalog.Alteration{SortBy: &text}); err != nil {
		t.Error(err)
	}
}

// Properties and name mappings follow the columns that they name.
func TestAlterPropertiesFollowColumns(t *testing.T) {
	c := testcat.New(t)
	tbl := makeTable(t, c, "t", catalog.TableSpec{Schema: wideSchema, Props: iceberg.Properties{
		"write.metadata.metrics.column.code":              "full",
		"write.parquet.bloom-filter-enabled.column.ratio": "true",
		"schema.name-mapping.default":                     `[{"field-id":1,"names":["id"]},{"field-id":2,"names":["code"]},{"field-id":10,"names":["a"],"fields":[{"field-id":11,"names":["b"]}]}]`,
	}})
	tbl, _ = alterNow(t, c, tbl.Identifier(), catalog.Alteration{
		RenameColumns: []catalog.Renaming{{Column: "code", To: "label"}, {Column: "a.b", To: "n"}}, DropColumns: []string{"ratio"},
		AddColumns: []catalog.NewColumn{{Name: "extra", Type: iceberg.PrimitiveTypes.String}},
	})
	props := tbl.Properties()
	if props["write.metadata.metrics.column.label"] != "full" || props["write.metadata.metrics.column.code"] != "" {
		t.Errorf("metrics: %v", props)
	}
	if _, left := props["write.parquet.bloom-filter-enabled.column.ratio"]; left {
		t.Errorf("bloom filter: %v", props)
	}
	mapping := props["schema.name-mapping.default"]
	for _, want := range []string{`["code","label"]`, `["b","n"]`, `["extra"]`} {
		if !strings.Contains(mapping, want) {
			t.Errorf("the name mapping lacks %s: %s", want, mapping)
		}
	}
}

// Alterations at once: those that do not touch the same thing all get in, whoever comes first.
func TestAlterAtOnce(t *testing.T) {
	c := testcat.New(t)
	tbl := makeTable(t, c, "t", catalog.TableSpec{Schema: wideSchema})
	const writers = 6
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		p, err := catalog.PlanAlter(tbl, catalog.Alteration{AddColumns: []catalog.NewColumn{{Name: fmt.Sprintf("w%d", i), Type: iceberg.PrimitiveTypes.Int32}}})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { _, errs[i] = c.AlterTable(t.Context(), p) })
	}
	wg.Wait()
	after, err := c.LoadTable(t.Context(), tbl.Identifier())
	if err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for i, err := range errs {
		f, ok := after.Schema().FindFieldByName(fmt.Sprintf("w%d", i))
		if err != nil || !ok || ids[f.ID] {
			t.Errorf("writer %d: %v, column %v", i, err, f)
		}
		ids[f.ID] = true
	}
}

// An alteration that comes to something else by the time that it is committed is a conflict.
func TestAlterConflict(t *testing.T) {
	c := testcat.New(t)
	tbl := makeTable(t, c, "t", catalog.TableSpec{Schema: wideSchema, PartitionBy: "day(ts)"})
	mine, theirs := "day(ts), bucket(4, id)", "month(ts)"
	p, err := catalog.PlanAlter(tbl, catalog.Alteration{PartitionBy: &mine})
	if err != nil {
		t.Fatal(err)
	}
	after, _ := alterNow(t, c, tbl.Identifier(), catalog.Alteration{PartitionBy: &theirs})
	if _, err := c.AlterTable(t.Context(), p); !errors.Is(err, catalog.ErrConflict) {
		t.Fatalf("got %v", err)
	}
	now, err := c.LoadTable(t.Context(), tbl.Identifier())
	if err != nil || now.MetadataLocation() != after.MetadataLocation() {
		t.Errorf("the refused alteration left something: %v", err)
	}
	for _, name := range testcat.Files(now.Location()) {
		if strings.HasSuffix(name, ".metadata.json") && name != now.MetadataLocation() && name != tbl.MetadataLocation() {
			t.Errorf("litter: %s", name)
		}
	}
}

// deafCatalog carries commits out and loses the answers.
type deafCatalog struct {
	icecatalog.Catalog
	lose int
}

func (d *deafCatalog) CommitTable(ctx context.Context, id table.Identifier, reqs []table.Requirement, ups []table.Update) (table.Metadata, string, error) {
	meta, loc, err := d.Catalog.CommitTable(ctx, id, reqs, ups)
	if d.lose--; err == nil && d.lose >= 0 {
		return nil, "", errors.New("connection reset by peer")
	}
	return meta, loc, err
}

// A lost answer is looked up in the table: what was carried out is not carried out twice.
func TestAlterLostAnswer(t *testing.T) {
	c := testcat.New(t)
	tbl := makeTable(t, c, "t", catalog.TableSpec{Schema: wideSchema})
	deaf := *c
	deaf.Catalog = &deafCatalog{c.Catalog, 1}
	p, err := catalog.PlanAlter(tbl, catalog.Alteration{AddColumns: []catalog.NewColumn{{Name: "w", Type: iceberg.PrimitiveTypes.Int32}}})
	if err != nil {
		t.Fatal(err)
	}
	after, err := deaf.AlterTable(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(after.Metadata().Schemas()); n != 2 {
		t.Errorf("the table has %d schemas", n)
	}
}

// Servers of the older protocol want to be told the last column id: Nessie refuses a schema without.
func TestSchemaUpdatesSayTheLastColumn(t *testing.T) {
	c := testcat.New(t)
	tbl := makeTable(t, c, "t", catalog.TableSpec{Schema: wideSchema})
	fewer := iceberg.NewSchema(0, tbl.Schema().Fields()[:2]...)
	text, err := json.Marshal(catalog.SchemaUpdates(tbl.Metadata(), fewer))
	if err != nil || !strings.HasPrefix(string(text), `[{"action":"add-schema","schema":{`) || !strings.Contains(string(text), `"last-column-id":20}`) {
		t.Errorf("%s, %v", text, err)
	}
}

// Old metadata files go where the table asks for it, as with every commit.
func TestAlterRemovesOldMetadata(t *testing.T) {
	c := testcat.New(t)
	tbl := makeTable(t, c, "t", catalog.TableSpec{Schema: wideSchema, Props: iceberg.Properties{
		"write.metadata.delete-after-commit.enabled": "true", "write.metadata.previous-versions-max": "2",
	}})
	for i := range 6 {
		tbl, _ = alterNow(t, c, tbl.Identifier(), catalog.Alteration{SetProps: iceberg.Properties{"n": fmt.Sprint(i)}})
	}
	if files := testcat.Files(tbl.Location()); len(files) != 3 {
		t.Errorf("the table is %d files: %v", len(files), files)
	}
}
