//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// clustered are rows in Spark: a thousand ids in a row, and nothing from there to the next ten thousand; names that are as long as
// bounds are cut, and longer.
func clustered(count int) string {
	return fmt.Sprintf(`INSERT INTO {table} SELECT /*+ COALESCE(1) */ n div 1000 * 10000 + n %% 1000,
		concat(repeat('x', 80), lpad(cast(n div 1000 * 10000 + n %% 1000 AS string), 9, '0')), sha2(cast(n AS string), 512)
		FROM (SELECT id AS n FROM range(0, %d, 1, 1))`, count)
}

// Page indexes of Spark's Parquet and of PyArrow: a key that lies between pages is not looked for, and one that is in a page
// is found, also by a text whose bounds are cut. Without a page index the file is read.
func TestPageIndexes(t *testing.T) {
	const rows = 100_000 // some 7 MB: smaller files are read anyway
	r := newReader(t)
	l := sqliteLake(t)
	schema := l.put(t, "schema.yaml", "columns: {id: long, name: string, text: string}\n")
	for _, c := range []struct {
		name  string
		index bool
		write func(table string) error
	}{
		{"spark", true, func(table string) error { _, err := l.sparkTry(t, "spark", table, clustered(rows)); return err }},
		{"pyarrow", true, func(table string) error {
			return r.ask("pyiceberg.clusters", l, table, map[string]any{"count": rows, "index": true}, new(any))
		}},
		{"pyarrow without", false, func(table string) error {
			return r.ask("pyiceberg.clusters", l, table, map[string]any{"count": rows, "index": false}, new(any))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := "interop.paged_" + strings.ReplaceAll(c.name, " ", "_")
			l.icewright(t, "table", "create", table, "--schema", schema,
				"--table-prop", "write.parquet.page-row-limit=1000", "--table-prop", "write.parquet.page-size-bytes=1000")
			if err := c.write(table); err != nil {
				t.Fatal(err)
			}
			for _, look := range []struct {
				key   string
				row   string // as NDJSON
				there bool
				out   bool // the page index rules it out
			}{
				{"id", `{"id": 35000}`, false, true},
				{"id", `{"id": 30999}`, true, false},
				{"id", `{"id": 30000}`, true, false},
				{"name,id", `{"id": 30999, "name": "` + strings.Repeat("x", 80) + `000030999"}`, true, false},
				{"name", `{"name": "` + strings.Repeat("x", 80) + `000030000"}`, true, false},
			} {
				var got receipt
				if err := json.Unmarshal([]byte(l.icewright(t, "load", l.put(t, "key.ndjson", look.row+"\n"), "--table", table,
					"--mode", "insert", "--key", look.key, "--dry-run", "--output", "json")), &got); err != nil {
					t.Fatal(err)
				}
				out := look.out && c.index
				if there := got.RowsUnchanged == 1; there != look.there || got.FilesPruned+got.FilesRead != 1 || got.FilesPruned == 1 != out {
					t.Errorf("%s: there: %t, %d files pruned, %d read, want there: %t, pruned: %t", look.row, there, got.FilesPruned, got.FilesRead, look.there, out)
				}
			}
		})
	}
}
