//go:build interop

package interop

import (
	"fmt"
	"strings"
	"testing"
)

// Every engine finds the rows that an insert added, and only once, in files with Bloom filters of the key: by a look at the
// whole table, and by the key, which has readers ask the filters.
func TestInsertedRowsAreFound(t *testing.T) {
	r := newReader(t)
	l := sqliteLake(t)
	table := l.table(t)
	m := model{columns: []column{{"id", "string", "", "VARCHAR", byText, nil}, {"n", "long", "", "BIGINT", byNumber, nil}}}
	write := func(name string, from, to int) {
		var text strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&text, `{"id": "event-%x", "n": %d}`+"\n", uint64(i)*0x9e3779b97f4a7c15, i)
		}
		l.put(t, name, text.String())
	}
	write("first.ndjson", 0, 300)
	write("again.ndjson", 200, 400)
	for i := range 400 {
		m.rows = append(m.rows, row{str(fmt.Sprintf("event-%x", uint64(i)*0x9e3779b97f4a7c15)), num(fmt.Sprint(i))})
	}
	if got := l.insert(t, table, "first.ndjson"); got.RowsInserted != 300 {
		t.Errorf("%d inserted", got.RowsInserted)
	}
	if got := l.insert(t, table, "again.ndjson"); got.RowsInserted != 100 || got.RowsUnchanged != 100 {
		t.Errorf("%d inserted, %d there", got.RowsInserted, got.RowsUnchanged)
	}
	var filters []filter
	for i := 0; i < 400; i += 40 {
		filters = append(filters, filter{Column: "id", Op: "=", Values: []any{fmt.Sprintf("event-%x", uint64(i)*0x9e3779b97f4a7c15)}, want: 1, texts: true})
	}
	filters = append(filters, filter{Column: "id", Op: "=", Values: []any{"event-5"}, texts: true})
	for _, engine := range []string{"pyiceberg", "duckdb", "spark"} {
		r.mustHoldFor(t, engine, l, table, m)
		r.mustFilterFor(t, engine, l, table, filters)
	}

	// Spark adds a row to the table, with a filter of its own: an insert finds it.
	l.spark(t, "spark", table, "INSERT INTO {table} VALUES ('event-spark', 1000)")
	l.put(t, "spark.ndjson", `{"id": "event-spark", "n": 1}`+"\n"+`{"id": "event-new", "n": 2}`+"\n")
	if got := l.insert(t, table, "spark.ndjson"); got.RowsInserted != 1 || got.RowsUnchanged != 1 {
		t.Errorf("beside Spark's row: %d inserted, %d there", got.RowsInserted, got.RowsUnchanged)
	}
}

func (l *lake) insert(t *testing.T, table, source string) receipt {
	t.Helper()
	p := l.start(t, "load", source, "--table", table, "--output", "json", "--progress", "none", "--mode", "insert", "--key", "id")
	if code := p.end(t); code != 0 {
		t.Fatalf("exit code %d\n%s", code, &p.stderr)
	}
	return p.receipt(t)
}
