package catalog_test

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/cockroachdb/datadriven"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
)

// wideSchema has a column of every kind that expressions care about.
var wideSchema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	iceberg.NestedField{ID: 2, Name: "code", Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 3, Name: "ts", Type: iceberg.PrimitiveTypes.TimestampTz},
	iceberg.NestedField{ID: 4, Name: "naive", Type: iceberg.PrimitiveTypes.Timestamp},
	iceberg.NestedField{ID: 5, Name: "d", Type: iceberg.PrimitiveTypes.Date},
	iceberg.NestedField{ID: 6, Name: "price", Type: iceberg.DecimalTypeOf(12, 2)},
	iceberg.NestedField{ID: 7, Name: "ratio", Type: iceberg.PrimitiveTypes.Float64},
	iceberg.NestedField{ID: 8, Name: "flag", Type: iceberg.PrimitiveTypes.Bool},
	iceberg.NestedField{ID: 9, Name: "odd, name", Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 10, Name: "a", Type: &iceberg.StructType{FieldList: []iceberg.NestedField{
		{ID: 11, Name: "b", Type: iceberg.PrimitiveTypes.Int32},
		{ID: 12, Name: "when", Type: iceberg.PrimitiveTypes.Date},
	}}},
	iceberg.NestedField{ID: 13, Name: "tags", Type: &iceberg.ListType{ElementID: 14, Element: iceberg.PrimitiveTypes.String}},
	iceberg.NestedField{ID: 15, Name: "departed_at", Type: iceberg.PrimitiveTypes.TimestampTz},
	iceberg.NestedField{ID: 16, Name: "d_year", Type: iceberg.PrimitiveTypes.Int32},
	iceberg.NestedField{ID: 17, Name: "16", Type: iceberg.PrimitiveTypes.Int32},
	iceberg.NestedField{ID: 18, Name: `q"q`, Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 19, Name: "größe", Type: iceberg.PrimitiveTypes.Int32},
	iceberg.NestedField{ID: 20, Name: "desc", Type: iceberg.PrimitiveTypes.Int32},
)

func TestExpressions(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			for expr := range strings.SplitSeq(d.Input, "\n") {
				fmt.Fprintf(&out, "%s\n", evaluate(d.Cmd, expr))
			}
			return out.String()
		})
	})
}

func evaluate(cmd, expr string) string {
	var err error
	switch cmd {
	case "partition-by":
		var spec iceberg.PartitionSpec
		if spec, err = catalog.ParsePartitionBy(expr, wideSchema); err == nil {
			var fields []string
			for _, f := range spec.Fields() {
				fields = append(fields, fmt.Sprintf("%d:%s=%s(%d)", f.FieldID, f.Name, f.Transform, f.SourceID()))
			}
			canonical := catalog.FormatSpec(spec, wideSchema)
			again, err := catalog.ParsePartitionBy(canonical, wideSchema)
			if err != nil || !again.Equals(spec) {
				return fmt.Sprintf("NOT READ BACK: %s: %v", canonical, err)
			}
			return fmt.Sprintf("%s | %s", canonical, strings.Join(fields, " "))
		}
	case "sort-by":
		var order table.SortOrder
		if order, err = catalog.ParseSortBy(expr, wideSchema); err == nil {
			var fields []string
			for _, f := range order.Fields() {
				fields = append(fields, f.String())
			}
			canonical := catalog.FormatSortOrder(order, wideSchema)
			again, err := catalog.ParseSortBy(canonical, wideSchema)
			if err != nil || !again.Equals(order) {
				return fmt.Sprintf("NOT READ BACK: %s: %v", canonical, err)
			}
			return fmt.Sprintf("%s | %s", canonical, strings.Join(fields, ", "))
		}
	case "identifier":
		var id table.Identifier
		if id, err = catalog.ParseIdentifier(expr); err == nil {
			return fmt.Sprintf("%q %s", id, catalog.FormatIdentifier(id))
		}
	}
	msg := "error: " + err.Error()
	var hint interface{ Hint() string }
	if errors.As(err, &hint) && hint.Hint() != "" {
		msg += " [" + hint.Hint() + "]"
	}
	if !errors.Is(err, catalog.ErrConfig) {
		msg += " NO ErrConfig"
	}
	return msg
}

func TestIdentifiersReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringOfN(rapid.RuneFrom([]rune(`ab. "é,()'%`)), 1, 6, -1).
			Filter(func(s string) bool { return s != "." && s != ".." })
		id := rapid.SliceOfN(part, 2, 4).Draw(t, "parts")
		got, err := catalog.ParseIdentifier(catalog.FormatIdentifier(id))
		if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", id) {
			t.Fatalf("%q became %q, %v", id, got, err)
		}
	})
}

// TestNoNameLeavesTheWarehouse: a name never makes a table's place one above or beside the warehouse.
func TestNoNameLeavesTheWarehouse(t *testing.T) {
	for _, name := range []string{`a."../../x"`, `"..".t`, `a.".."`, `"/etc".passwd`, `a."b/c"`, "a.\"\x00\"", "a.\"b\nc\"", `a."."`} {
		if id, err := catalog.ParseIdentifier(name); !errors.Is(err, catalog.ErrConfig) {
			t.Errorf("%s is taken as %q, %v", name, id, err)
		}
	}
	c := testcat.New(t)
	for i, name := range []string{`a."..\\x"`, `a."%2e%2e"`, `a."%2e%2e%2fx"`, `a."~"`, `"a b"."c?d#e"`, `a."..."`} {
		id, err := catalog.ParseIdentifier(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		location := create(t, c, id, catalog.TableSpec{Schema: wideSchema}).Location()
		below, ok := strings.CutPrefix(location, testcat.Warehouse(c)+"/")
		if unescaped, err := url.PathUnescape(below); !ok || err != nil || path.Clean("/"+unescaped) != "/"+unescaped || strings.Count(below, "/") != 1 {
			t.Errorf("%d: %s is at %s (%v)", i, name, location, err)
		}
	}
}

func FuzzExpressions(f *testing.F) {
	for _, s := range []string{"day(ts), bucket(16, id)", `"odd, name" desc nulls last`, "a.b", `"`, "bucket(", "truncate(,)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, cmd := range []string{"partition-by", "sort-by", "identifier"} {
			if got := evaluate(cmd, s); strings.HasPrefix(got, "NOT READ BACK") || strings.HasSuffix(got, "NO ErrConfig") {
				t.Errorf("%s %q: %s", cmd, s, got)
			}
		}
	})
}

func TestCreateTable(t *testing.T) {
	c := testcat.New(t)
	for version := range 4 {
		ident := table.Identifier{"deep", "down", fmt.Sprintf("t%d", version)}
		tbl := create(t, c, ident, catalog.TableSpec{
			Schema: wideSchema, PartitionBy: "day(ts), bucket(16, a.b), code", SortBy: "id desc nulls first",
			FormatVersion: version, Props: iceberg.Properties{"write.target-file-size-bytes": "1000"},
		})
		want := version
		if want == 0 {
			want = 2
		}
		if got := tbl.Metadata().Version(); got != want {
			t.Errorf("version %d, not %d", got, want)
		}
		for k, v := range map[string]string{"write.parquet.compression-codec": "zstd", "write.target-file-size-bytes": "1000", "format-version": ""} {
			if got := tbl.Properties()[k]; got != v {
				t.Errorf("%s is %q, not %q", k, got, v)
			}
		}
		if got := catalog.FormatSpec(tbl.Spec(), tbl.Schema()); got != "day(ts), bucket(16, a.b), code" {
			t.Errorf("spec %s", got)
		}
		if got := catalog.FormatSortOrder(tbl.SortOrder(), tbl.Schema()); got != "id desc nulls first" {
			t.Errorf("order %s", got)
		}
		if err := (catalog.TableSpec{PartitionBy: "days(ts),bucket(16,a.b),code", SortBy: "id desc nulls first", FormatVersion: want}).CheckAgainst(tbl); err != nil {
			t.Error(err)
		}
	}

	ident := table.Identifier{"deep", "down", "t1"}
	first, err := c.LoadTable(t.Context(), ident)
	if err != nil {
		t.Fatal(err)
	}
	files := len(testcat.Files(testcat.Warehouse(c)))
	again, created, err := c.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: eventsSchema})
	if err != nil || created || again.Metadata().TableUUID() != first.Metadata().TableUUID() {
		t.Errorf("created %v, %v", created, err)
	}
	if n := len(testcat.Files(testcat.Warehouse(c))); n != files {
		t.Errorf("%d files left by a table that was there", n-files)
	}

	for name, s := range map[string]catalog.TableSpec{
		"no schema":       {},
		"no such column":  {Schema: eventsSchema, PartitionBy: "day(tz)"},
		"no such order":   {Schema: eventsSchema, SortBy: "tz"},
		"no such version": {Schema: eventsSchema, FormatVersion: 4},
		"two versions":    {Schema: eventsSchema, FormatVersion: 2, Props: iceberg.Properties{"format-version": "1"}},
		"an odd place":    {Schema: eventsSchema, Location: "mem://x/a b"},
		"a type too new": {Schema: iceberg.NewSchema(0,
			iceberg.NestedField{ID: 1, Name: "n", Type: iceberg.TimestampNsType{}}), FormatVersion: 2},
	} {
		if _, _, err := c.CreateTable(t.Context(), table.Identifier{"lake", "bad"}, s); !errors.Is(err, catalog.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckAgainstShowsBoth(t *testing.T) {
	c := testcat.New(t)
	tbl := create(t, c, events, catalog.TableSpec{Schema: eventsSchema, PartitionBy: "month(ts)", SortBy: "id"})
	if err := (catalog.TableSpec{}).CheckAgainst(tbl); err != nil {
		t.Error(err)
	}
	err := catalog.TableSpec{
		Schema: iceberg.NewSchema(0,
			iceberg.NestedField{ID: 9, Name: "id", Type: iceberg.PrimitiveTypes.Int32},
			iceberg.NestedField{ID: 8, Name: "code", Type: iceberg.PrimitiveTypes.String},
			iceberg.NestedField{ID: 7, Name: "new one", Type: &iceberg.ListType{ElementID: 6, Element: iceberg.PrimitiveTypes.Date}},
		),
		PartitionBy: "day(ts)", SortBy: "ts desc", FormatVersion: 3, Location: "mem://elsewhere",
		Props: iceberg.Properties{"write.parquet.compression-codec": "zstd", "a": "b"},
	}.CheckAgainst(tbl)
	want := `table lake.events is not as asked for: column id: asked for int, the table has long!; ` +
		`column "new one": asked for list<date>, the table has none; ` +
		`partition by: asked for day(ts), the table has month(ts); sort by: asked for ts desc, the table has id; ` +
		`format version: asked for 3, the table has 2; location: asked for mem://elsewhere, the table has ` + tbl.Location() +
		`; property a: asked for b, the table has none`
	if !errors.Is(err, catalog.ErrConfig) || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
	if err := (catalog.TableSpec{PartitionBy: "day(tz)"}).CheckAgainst(tbl); !errors.Is(err, catalog.ErrConfig) {
		t.Error(err)
	}
}

func TestDropIfEmpty(t *testing.T) {
	dir := t.TempDir()
	c := open(t, catalog.Config{Dir: dir})
	drop := func(id uuid.UUID) bool {
		t.Helper()
		dropped, err := c.DropIfEmpty(t.Context(), events, id)
		if err != nil {
			t.Fatal(err)
		}
		return dropped
	}
	tbl := create(t, c, events, catalog.TableSpec{Schema: eventsSchema})
	if drop(uuid.New()) {
		t.Error("dropped somebody else's table")
	}
	if !drop(tbl.Metadata().TableUUID()) || len(walk(t, filepath.Join(dir, "lake", "warehouse"))) != 0 {
		t.Error("not dropped, or not cleanly")
	}
	if drop(tbl.Metadata().TableUUID()) {
		t.Error("dropped twice")
	}
	full := appendIDs(t, create(t, c, events, catalog.TableSpec{Schema: eventsSchema}), 1)
	if drop(full.Metadata().TableUUID()) {
		t.Error("dropped a table with a snapshot")
	}
}

func TestDropAndPurge(t *testing.T) {
	dir := t.TempDir()
	c := open(t, catalog.Config{Dir: dir})
	tbl := appendIDs(t, create(t, c, events, catalog.TableSpec{Schema: eventsSchema}), 3)
	inside := create(t, c, table.Identifier{"lake", "inside"}, catalog.TableSpec{Schema: eventsSchema, Location: tbl.Location() + "/data/inside"})
	if err := c.PurgeTable(t.Context(), events); !errors.Is(err, catalog.ErrRejected) || !strings.Contains(err.Error(), inside.MetadataLocation()) {
		t.Errorf("purging another table's files: %v", err)
	}
	if err := c.DropTable(t.Context(), inside.Identifier()); err != nil {
		t.Fatal(err)
	}
	kept := create(t, c, table.Identifier{"lake", "kept"}, catalog.TableSpec{Schema: eventsSchema, Props: iceberg.Properties{"gc.enabled": "false"}})
	if err := c.PurgeTable(t.Context(), kept.Identifier()); !errors.Is(err, catalog.ErrRejected) {
		t.Errorf("gc.enabled=false: %v", err)
	}
	if err := c.PurgeTable(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(tbl.Location()); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	wantClass(t, "purged", load(t.Context(), c), catalog.ErrNotFound)
	wantClass(t, "dropped twice", c.DropTable(t.Context(), events), catalog.ErrNotFound)
}
