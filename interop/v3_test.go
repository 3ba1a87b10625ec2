//go:build interop

package interop

import (
	"slices"
	"strings"
	"testing"
)

// icewright runs a command to its end and returns what it printed.
func (l *lake) icewright(t testing.TB, args ...string) string {
	t.Helper()
	p := l.start(t, args...)
	if code := p.end(t); code != 0 {
		t.Fatalf("icewright %s: exit code %d\n%s", strings.Join(args, " "), code, &p.stderr)
	}
	return p.stdout.String()
}

// Spark reads our variants as the values that they are, and what Spark writes of the same JSON is the same
// to us: a load that compares rows publishes nothing. Defaults read alike in files older than their column.
func TestVersion3WithSpark(t *testing.T) {
	l := sqliteLake(t)
	table := l.table(t)
	l.put(t, "schema.yaml", "columns:\n  id: long!\n  v: variant\n  s: struct<n: int, x: variant>\n")
	const events = `{"id": 1, "v": {"b": 1.50, "a": [1, "x", null, true], "é": {"deep": {}}}, "s": {"n": 1, "x": [1, {"k": 2}]}}
{"id": 2, "v": "text"}
{"id": 3, "v": null, "s": {"n": 2}}
{"id": 4, "v": -12345678901234567890.5}
{"id": 5, "v": 1e3, "s": {"x": false}}
{"id": 6, "v": 9223372036854775807}
{"id": 7, "v": {"k": "0123456789012345678901234567890123456789012345678901234567890123456789"}}
`
	l.put(t, "events.ndjson", events)
	l.load(t, table, "events.ndjson", "--schema", "schema.yaml", "--format-version", "3", "--replace-table")

	mustBe(t, "Spark reads", l.spark(t, "spark", table,
		"SELECT id, to_json(v), schema_of_variant(v), v IS NULL, to_json(s.x) FROM {table} ORDER BY id").texts(),
		`1 {"a":[1,"x",null,true],"b":1.5,"é":{"deep":{}}} OBJECT<a: ARRAY<VARIANT>, b: DECIMAL(2,1), `+"`é`"+`: OBJECT<deep: OBJECT<>>> false [1,{"k":2}]`,
		`2 "text" STRING false NULL`,
		`3 NULL NULL true NULL`,
		`4 -12345678901234567890.5 DECIMAL(21,1) false NULL`,
		`5 1000.0 DOUBLE false false`,
		`6 9223372036854775807 BIGINT false NULL`,
		`7 {"k":"0123456789012345678901234567890123456789012345678901234567890123456789"} OBJECT<k: STRING> false NULL`)
	mustBe(t, "Spark finds", l.spark(t, "spark", table,
		"SELECT id FROM {table} WHERE variant_get(v, '$.b', 'decimal(9, 2)') = 1.50 OR v IS NULL ORDER BY id").texts(), "1", "3")

	// The same rows, written by Spark.
	l.spark(t, "spark", table, "DELETE FROM {table} WHERE true")
	l.spark(t, "spark", table, `INSERT INTO {table} SELECT id, parse_json(v), named_struct('n', n, 'x', parse_json(x)) FROM VALUES
		(1L, '{"é": {"deep": {}}, "a": [1, "x", null, true], "b": 1.5}', 1, '[1, {"k": 2}]'), (2L, '"text"', null, null),
		(3L, 'null', 2, null), (4L, '-12345678901234567890.50', null, null), (5L, '1e3', null, 'false'),
		(6L, '9223372036854775807', null, null),
		(7L, '{"k": "0123456789012345678901234567890123456789012345678901234567890123456789"}', null, null) AS t(id, v, n, x)`)
	shown := l.icewright(t, "show", table, "--output", "json", "--columns", "id,v", "--filter", "id in (1, 3, 4)")
	if want := `{"id":1,"v":{"a":[1,"x",null,true],"b":1.5,"é":{"deep":{}}}}
{"id":3,"v":null}
{"id":4,"v":-12345678901234567890.50}
`; shown != want {
		t.Errorf("of Spark's rows we show\n%s\nwant\n%s", shown, want)
	}
	// A struct of nulls is no null struct, so the rows are given as Spark has them.
	l.put(t, "same.ndjson", strings.NewReplacer(`"text"}`, `"text", "s": {}}`, `.5}`, `.5, "s": {}}`, `807}`, `807, "s": {}}`, `789"}}`, `789"}, "s": {}}`).Replace(events))
	if r := l.load(t, table, "same.ndjson", "--replace-table", "--compare-rows"); r.Status != "unchanged" {
		t.Errorf("the same rows as Spark's are %s, want unchanged", r.Status)
	}

	// A column that is newer than the files, with a default of every kind that metadata spells its own way.
	l.icewright(t, "table", "alter", table, "--add-column", "qty int default 7", "--add-column", "day date default '1969-12-31'",
		"--add-column", "price decimal(9, 2) default 1.5", "--add-column", "at timestamptz default '2024-01-15T10:00:00+02:00'")
	mustBe(t, "Spark reads the defaults", l.spark(t, "spark", table, "SELECT DISTINCT qty, day, price, at FROM {table}").texts(),
		"7 1969-12-31 1.50 1705305600000000us")
	shown = l.icewright(t, "show", table, "--output", "csv", "--columns", "qty,day,price,at", "--limit", "1")
	if want := "qty,day,price,at\n7,1969-12-31,1.50,2024-01-15T08:00:00Z\n"; shown != want {
		t.Errorf("we show the defaults as\n%s\nwant\n%s", shown, want)
	}
	if r := l.load(t, table, "same.ndjson", "--replace-table", "--compare-rows"); r.Status != "unchanged" {
		t.Errorf("rows without the new columns are %s, want unchanged", r.Status)
	}
}

// PyIceberg reads nanoseconds, before 1970 and at the edges too, and prunes by our bounds and partitions.
// (DuckDB 1.4.4 does not know the types, and Spark 4.0 cannot convert them.)
func TestNanosecondsWithPyIceberg(t *testing.T) {
	r := newReader(t)
	l := sqliteLake(t)
	table := l.table(t)
	l.put(t, "ticks.csv", `id,at,seen
1,1969-12-31T23:59:59.999999999,1969-12-31T23:59:59.999999999Z
2,2024-01-15T10:00:00.123456789,2024-01-15T10:00:00.000000001+02:00
3,1677-09-21T00:12:43.145224193,2262-04-11T23:47:16.854775807Z
4,,
`)
	l.load(t, table, "ticks.csv", "--format-version", "3", "--partition-by", "day(at), bucket(4, seen)", "--sort-by", "at")
	var got contents
	if err := r.ask("pyiceberg.read", l, table, nil, &got); err != nil {
		t.Fatal(err)
	}
	var types, rows []string
	for _, c := range got.Columns {
		types = append(types, c.Name+" "+c.Type)
	}
	mustBe(t, "columns", types, "id long", "at timestamp_ns", "seen timestamptz_ns")
	for _, row := range got.Rows {
		rows = append(rows, canonicalText(row))
	}
	slices.Sort(rows)
	want := []string{
		canonicalText([]any{"1", "-1ns", "-1ns"}),
		canonicalText([]any{"2", "1705312800123456789ns", "1705305600000000001ns"}),
		canonicalText([]any{"3", "-9223372036854775807ns", "9223372036854775807ns"}),
		canonicalText([]any{"4", nil, nil}),
	}
	slices.Sort(want)
	mustBe(t, "rows", rows, want...)
}
