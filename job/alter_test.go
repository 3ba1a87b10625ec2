package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/publish"
)

// lakeOf is a catalog of the test's own, on disk.
func lakeOf(t *testing.T) catalog.Config {
	dir := t.TempDir()
	return catalog.Config{URI: "sqlite:///" + dir + "/catalog.db", Warehouse: dir + "/warehouse", Dir: dir}
}

// meanwhile is an input during whose reading something else happens.
type meanwhile struct {
	text   io.Reader
	happen func()
}

func (m *meanwhile) Read(p []byte) (int, error) {
	if m.happen != nil {
		m.happen()
		m.happen = nil
	}
	return m.text.Read(p)
}

// A table is altered while a load stages its rows. A load that has divided them by another spec
// gives up and can be tried again; one that only knows the old schema lands, and what it wrote
// reads like any older file.
func TestAlterDuringLoad(t *testing.T) {
	for _, c := range []struct {
		name  string
		alter Alter
		want  error
		rows  string
	}{
		{"spec", Alter{PartitionBy: "bucket(4, id)"}, publish.ErrConflict, "1 1 |2 2 |"},
		{"widen", Alter{WidenColumn: []string{"n long"}}, nil, "1 1 |2 2 |3 3 |"},
		{"add", Alter{AddColumn: []string{"note string first"}}, nil, "(null) 1 1 |(null) 2 2 |(null) 3 3 |"},
		{"rename", Alter{RenameColumn: []string{"n=m"}}, nil, "1 1 |2 2 |3 3 |"},
		{"drop", Alter{DropColumn: []string{"n"}, Yes: true}, nil, "1 |2 |3 |"},
		{"version", Alter{FormatVersion: 3, Yes: true}, nil, "1 1 |2 2 |3 3 |"},
		{"sort", Alter{SortBy: "id"}, nil, "1 1 |2 2 |3 3 |"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cat := lakeOf(t)
			schema := filepath.Join(t.TempDir(), "schema.yaml")
			if err := os.WriteFile(schema, []byte("columns:\n  id: long\n  n: int\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			first := "id,n\n1,1\n2,2\n"
			load := func(in io.Reader) (Receipt, error) {
				return Load(t.Context(), Job{
					Schema: schema, Sources: []string{"-"}, Format: arrowconv.CSV, Stdin: in, Table: "a.t", Catalog: cat,
					ReplaceTable: true,
				})
			}
			if _, err := load(strings.NewReader(first)); err != nil {
				t.Fatal(err)
			}
			schema = "" // the table has it
			alter := func() {
				c.alter.Catalog, c.alter.Table = cat, "a.t"
				if done, err := AlterTable(context.WithoutCancel(t.Context()), c.alter); err != nil || done.Status != "altered" {
					t.Errorf("alter: %+v, %v", done, err)
				}
			}
			_, err := load(&meanwhile{strings.NewReader("id,n\n1,1\n2,2\n3,3\n"), alter})
			if !errors.Is(err, c.want) {
				t.Fatalf("the load said %v", err)
			}
			d, err := Describe(t.Context(), Target{Catalog: cat, Table: "a.t"})
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int64{true: 3, false: 2}[c.want == nil]; d.Rows != want {
				t.Errorf("the table has %d rows, not %d", d.Rows, want)
			}
			rows, err := Show(t.Context(), Target{Catalog: cat, Table: "a.t"}, Query{})
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			var text strings.Builder
			for rec, err := range rows.All {
				if err != nil {
					t.Fatal(err)
				}
				for i := range int(rec.NumRows()) {
					for c := range int(rec.NumCols()) {
						fmt.Fprint(&text, rec.Column(c).ValueStr(i), " ")
					}
					text.WriteByte('|')
				}
				rec.Release()
			}
			if text.String() != c.rows {
				t.Errorf("the table reads %q, not %q", text.String(), c.rows)
			}
		})
	}
}

// What would lose something is refused without --yes, and counted.
func TestAlterRefusesLoss(t *testing.T) {
	cat := lakeOf(t)
	if _, err := Load(t.Context(), Job{
		Sources: []string{"-"}, Format: arrowconv.CSV, Stdin: strings.NewReader("id,n\n1,\n2,2\n"), Table: "a.t", Catalog: cat, ReplaceTable: true,
	}); err != nil {
		t.Fatal(err)
	}
	before, err := Describe(t.Context(), Target{Catalog: cat, Table: "a.t"})
	if err != nil {
		t.Fatal(err)
	}
	done, err := AlterTable(t.Context(), Alter{Catalog: cat, Table: "a.t", DropColumn: []string{"n"}, AddColumn: []string{"m int"}})
	if !errors.Is(err, plan.ErrGuard) || done.Status != "refused" || len(done.Changes) != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	if loss := done.Changes[0].Loss; loss == nil || loss.Rows != 1 || loss.DataFiles != 1 || loss.Bytes == 0 {
		t.Errorf("the loss: %+v", loss)
	}
	after, err := Describe(t.Context(), Target{Catalog: cat, Table: "a.t"})
	if err != nil || after.Metadata != before.Metadata {
		t.Errorf("something changed: %v", err)
	}
}

// docs/tables.md lists exactly the fields that the commands print, in their order.
func TestTablesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/tables.md")
	if err != nil {
		t.Fatal(err)
	}
	for heading, form := range map[string]reflect.Type{
		"List": reflect.TypeFor[Listed](), "Describe": reflect.TypeFor[Description](), "Drop": reflect.TypeFor[Dropped](), "Alter": reflect.TypeFor[Altered](),
	} {
		_, chapter, _ := strings.Cut(string(text), "\n## "+heading+"\n")
		chapter, _, _ = strings.Cut(chapter, "\n## ")
		var got []string
		for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_0-9.\\[\\]]+)` \\|").FindAllStringSubmatch(chapter, -1) {
			got = append(got, m[1])
		}
		if want := fieldsOf(form, ""); !slices.Equal(got, want) {
			t.Errorf("docs/tables.md, %s, lists\n%v\nthe code has\n%v", heading, got, want)
		}
	}
}
