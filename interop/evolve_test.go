//go:build interop

package interop

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A table whose schema loads have changed is read by others: old files as the new types, added columns as
// null, and the past with the columns of its time.
func TestEvolvedTables(t *testing.T) {
	r := newReader(t)
	for _, backend := range backends[:2] {
		t.Run(backend.name, func(t *testing.T) {
			l := backend.open(t)
			table := l.table(t)
			schema := l.put(t, "schema.yaml", "columns:\n  day: date\n  num: int\n  f: float\n  price: decimal(5, 2)\n  name: string!\n")
			first := l.load(t, table, l.put(t, "one.csv", "day,num,f,price,name\n2024-01-01,7,0.5,1.25,a\n"),
				"--schema", schema, "--partition-by", "day, bucket(4, num)")
			l.load(t, table, l.put(t, "two.csv", "day,num,f,price,name,extra\n2024-01-02,3000000000,1e300,12345.60,,true\n"),
				"--evolve", "add,widen,relax")

			type contents struct {
				Columns []struct {
					Name     string `json:"name"`
					Type     string `json:"type"`
					Required bool   `json:"required"`
				} `json:"columns"`
				Rows [][]any `json:"rows"`
			}
			read := func(engine string, more map[string]any) (columns, rows []string) {
				var c contents
				if err := r.ask(engine+".read", l, table, more, &c); err != nil {
					t.Fatalf("%s: %v", engine, err)
				}
				for _, f := range c.Columns {
					mark := ""
					if f.Required {
						mark = "!"
					}
					columns = append(columns, f.Name+" "+f.Type+mark)
				}
				for _, row := range c.Rows {
					rows = append(rows, fmt.Sprint(row))
				}
				slices.Sort(rows)
				return columns, rows
			}
			columns, rows := read("pyiceberg", nil)
			if diff := cmp.Diff([]string{"day date", "num long", "f double", "price decimal(7, 2)", "name string", "extra boolean"}, columns); diff != "" {
				t.Error(diff)
			}
			both := []string{
				"[2024-01-01 7 3fe0000000000000 1.25 a <nil>]",
				"[2024-01-02 3000000000 7e37e43c8800759c 12345.60 <nil> true]",
			}
			if diff := cmp.Diff(both, rows); diff != "" {
				t.Errorf("pyiceberg: %s", diff)
			}
			if _, rows := read("duckdb", nil); cmp.Diff(both, rows) != "" {
				t.Errorf("duckdb: %s", cmp.Diff(both, rows))
			}

			columns, rows = read("pyiceberg", map[string]any{"snapshot": *first.SnapshotID})
			if diff := cmp.Diff([]string{"day date", "num int", "f float", "price decimal(5, 2)", "name string!"}, columns); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"[2024-01-01 7 3fe0000000000000 1.25 a]"}, rows); diff != "" {
				t.Errorf("before: %s", diff)
			}
		})
	}
}
