package job

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
)

// alter commits a schema with other columns, or with more, as another engine would: metadata's JSON says it all.
func alter(t *testing.T, c catalog.Config, name string, more bool, columns string) {
	t.Helper()
	cat, err := catalog.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	ident := strings.Split(name, ".")
	tbl, err := cat.LoadTable(t.Context(), ident)
	if err != nil {
		t.Fatal(err)
	}
	var fields []iceberg.NestedField
	if err := json.Unmarshal([]byte(columns), &fields); err != nil {
		t.Fatal(err)
	}
	if more {
		fields = append(tbl.Schema().Fields(), fields...)
	}
	_, _, err = cat.CommitTable(t.Context(), ident, []table.Requirement{table.AssertTableUUID(tbl.Metadata().TableUUID())},
		[]table.Update{table.NewAddSchemaUpdate(iceberg.NewSchema(1, fields...)), table.NewSetCurrentSchemaUpdate(-1)})
	if err != nil {
		t.Fatal(err)
	}
}

// Files are written anew under another schema than they were written with, and the rows that stay are still those of the
// file by its digest, or the digest is known not to tell: whatever became wider, was renamed, came or went.
func TestRowsStayUnderAnotherSchema(t *testing.T) {
	const before = `[
		{"id": 1, "name": "id", "required": false, "type": "int"},
		{"id": 2, "name": "f", "required": false, "type": "float"},
		{"id": 3, "name": "d", "required": false, "type": "decimal(5, 2)"},
		{"id": 4, "name": "day", "required": false, "type": "date"},
		{"id": 5, "name": "went", "required": false, "type": "string"},
		{"id": 6, "name": "place", "required": false, "type": {"type": "struct", "fields": [
			{"id": 7, "name": "lat", "required": false, "type": "float"}, {"id": 8, "name": "old", "required": false, "type": "string"}]}},
		{"id": 9, "name": "list", "required": false, "type": {"type": "list", "element-id": 10, "element": "int", "element-required": false}},
		{"id": 11, "name": "map", "required": false, "type": {"type": "map", "key-id": 12, "key": "string", "value-id": 13, "value": "int", "value-required": false}},
		{"id": 14, "name": "n", "required": false, "type": "long"}]`
	change := func(from, to string) string { return strings.ReplaceAll(before, from, to) }
	for name, after := range map[string]string{
		"nothing":             before,
		"an int gets wider":   change(`"name": "id", "required": false, "type": "int"`, `"name": "id", "required": false, "type": "long"`),
		"a float":             change(`"name": "f", "required": false, "type": "float"`, `"name": "f", "required": false, "type": "double"`),
		"a decimal":           change(`decimal(5, 2)`, `decimal(30, 2)`),
		"a column is renamed": change(`"name": "day"`, `"name": "date"`),
		"a column goes":       change(`{"id": 5, "name": "went", "required": false, "type": "string"},`, ``),
		"a field goes":        change(`, {"id": 8, "name": "old", "required": false, "type": "string"}`, ``),
		"a field gets wider":  change(`"name": "lat", "required": false, "type": "float"`, `"name": "lat", "required": false, "type": "double"`),
		"a field comes":       change(`"name": "old", "required": false, "type": "string"}`, `"name": "old", "required": false, "type": "string"}, {"id": 20, "name": "new", "required": false, "type": "string"}`),
		"elements get wider":  change(`"element": "int"`, `"element": "long"`),
		"values get wider":    change(`"value": "int"`, `"value": "long"`),
		"columns move":        change(`"type": "long"}]`, `"type": "long"}, {"id": 20, "name": "new", "required": false, "type": "string"}]`),
		"a default comes":     change(`"type": "long"}]`, `"type": "long"}, {"id": 20, "name": "new", "required": false, "type": "int", "initial-default": 5}]`),
	} {
		for _, by := range []string{"", "day"} {
			t.Run(fmt.Sprintf("%s, by %q", name, by), func(t *testing.T) {
				dir := t.TempDir()
				config := catalog.Config{Dir: dir, Home: dir}
				load := func(text string, j Job) Receipt {
					t.Helper()
					source := filepath.Join(dir, "in.ndjson")
					if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
					j.Sources, j.Table, j.Catalog = []string{source}, "a.t", config
					r, err := Load(t.Context(), j)
					if err != nil {
						t.Fatal(err, Hint(err))
					}
					return r
				}
				var rows strings.Builder
				for i := range 6 {
					fmt.Fprintf(&rows, `{"id": %d, "f": -0.0, "d": 1.25, "day": "2024-01-15", "went": "w", "place": {"lat": 0.1, "old": "o"}, "list": [1, null, %d], "map": {"a": %d}, "n": %d}`+"\n", i, i, i, i)
				}
				rows.WriteString(`{"id": 6, "f": null, "day": "2024-01-15", "place": null, "list": [], "map": null}` + "\n")
				schema := filepath.Join(dir, "schema.json")
				if err := os.WriteFile(schema, []byte(`{"type": "struct", "fields": `+before+`}`), 0o644); err != nil {
					t.Fatal(err)
				}
				load(rows.String(), Job{Schema: schema, FormatVersion: 3, PartitionBy: by, ReplaceTable: true})
				alter(t, config, "a.t", false, after)
				if r := load(`{"id": 2, "n": 20}`, Job{Mode: "merge", Key: []string{"id"}}); r.RowsUpdated != 1 || r.FilesRewritten != 1 {
					t.Errorf("the merge says %+v", r)
				}
				if r := load(`{"id": 3, "n": 30}`, Job{Slice: "id = 3", AllowShrink: true}); r.RowsKept == 0 && r.FilesRewritten == 0 {
					t.Errorf("the slice says %+v", r)
				}
				if n, err := countRows(Target{Catalog: config, Table: "a.t"}); err != nil || n != 7 {
					t.Errorf("%d rows, %v", n, err)
				}
			})
		}
	}
}
