//go:build interop

package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sparks are two versions of Spark with their Iceberg, as readers and as writers. One of each serves all
// tests of a run; it starts when first asked for, which takes some 10 seconds, and ends with the run.
var sparks = map[string]func(testing.TB) *reader{
	"spark":   startSpark("4.0"),
	"spark35": startSpark("3.5"),
}

func startSpark(version string) func(testing.TB) *reader {
	return server(func() (*reader, error) {
		tools, err := world.tools.Spark(context.Background(), version)
		if err != nil {
			return nil, err
		}
		dir := filepath.Join(world.dir, "spark-"+version)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		log, err := os.Create(filepath.Join(dir, "spark.log"))
		if err != nil {
			return nil, err
		}
		defer log.Close() // the process has it by then
		return startReader(tools.Python, log, "-m", "reader.spark", strings.Join(tools.Jars, ","), dir)
	})
}

// spark runs statements in an engine, one after the other, and returns what the last one gives. In them
// {table} is the table, {name} its name for procedures, and the catalog is called `default`.
func (l *lake) spark(t testing.TB, engine, table string, statements ...string) contents {
	t.Helper()
	got, err := l.sparkTry(t, engine, table, statements...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// sparkTry is spark for statements that may fail.
func (l *lake) sparkTry(t testing.TB, engine, table string, statements ...string) (contents, error) {
	t.Helper()
	var got contents
	err := sparks[engine](t).ask(engine+".sql", l, table, map[string]any{"statements": statements}, &got)
	return got, err
}

// texts are the rows as lines, the cells in their canonical form.
func (c contents) texts() []string {
	var out []string
	for _, row := range c.Rows {
		var cells []string
		for _, cell := range row {
			if cell == nil {
				cell = "NULL"
			}
			cells = append(cells, fmt.Sprint(cell))
		}
		out = append(out, strings.Join(cells, " "))
	}
	return out
}

// mustBe fails the test unless rows are the wanted ones.
func mustBe(t testing.TB, what string, rows []string, want ...string) {
	t.Helper()
	if !slices.Equal(rows, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
}

// sparkNames are the types that Spark calls otherwise. It has no times, and does not open a table with one;
// nor, until 4.1, one with nanoseconds.
var sparkNames = map[string]string{
	"long": "bigint", "list": "array", "uuid": "string", "timestamp": "timestamp_ntz", "timestamptz": "timestamp",
}

var (
	word      = regexp.MustCompile(`[a-z_]+`)
	fixed     = regexp.MustCompile(`fixed\[\d+\]`)
	fieldName = regexp.MustCompile(`(\w+): `)
)

// sparkType is an Iceberg type as Spark spells it.
func sparkType(kind string) string {
	kind = fixed.ReplaceAllString(kind, "binary")
	var b strings.Builder
	for len(kind) > 0 {
		// The names of fields stay as they are.
		if m := fieldName.FindStringIndex(kind); m != nil && m[0] == 0 {
			b.WriteString(strings.TrimSuffix(kind[:m[1]], " "))
			kind = kind[m[1]:]
		} else if m := word.FindStringIndex(kind); m != nil && m[0] == 0 {
			name := kind[:m[1]]
			if other, ok := sparkNames[name]; ok {
				name = other
			}
			b.WriteString(name)
			kind = kind[m[1]:]
		} else {
			if kind[0] != ' ' {
				b.WriteByte(kind[0])
			}
			kind = kind[1:]
		}
	}
	return b.String()
}

// forSpark are the columns that Spark can read.
func forSpark(cols []column) []column {
	return slices.DeleteFunc(slices.Clone(cols), func(c column) bool {
		return c.yaml == "time" || strings.HasSuffix(c.yaml, "_ns")
	})
}

// Both Sparks find by our bounds and partition values what is in a table, now and before the last load. And we see
// what they make, whichever catalog and storage it is. What they read of other tables of ours is TestMatrix's.
func TestSparkReadsAndWrites(t *testing.T) {
	for _, backend := range backends[:3] {
		t.Run(backend.name, func(t *testing.T) {
			l := backend.open(t)
			if l.s3 == nil { // what is pruned depends on no storage
				sparksFind(t, l)
			}
			for engine := range sparks {
				made := l.table(t) + "_" + engine
				l.spark(t, engine, made,
					"CREATE NAMESPACE IF NOT EXISTS `default`.interop",
					"CREATE TABLE {table} (id bigint, at timestamp, note string) USING iceberg PARTITIONED BY (days(at))",
					"INSERT INTO {table} VALUES (1, TIMESTAMP '2024-01-15 23:59:59', 'a'), (2, TIMESTAMP '2024-01-16 00:00:00', null)")
				l.load(t, made, l.put(t, "made.csv", "id,at,note\n3,2024-01-16T12:00:00Z,\"\"\n"))
				mustBe(t, engine+"'s own table", l.spark(t, engine, made, "SELECT * FROM {table} ORDER BY id").texts(),
					"1 1705363199000000us a", "3 1705406400000000us ")
				if _, err := l.sparkTry(t, engine, made, "SELECT 1", "SELECT nothing FROM {table}"); err == nil || !strings.Contains(err.Error(), "statement 2: SELECT nothing") {
					t.Errorf("a statement that cannot be run says %v", err)
				}
			}
		})
	}
}

// sparksFind loads a table twice and filters by every column of it.
func sparksFind(t *testing.T, l *lake) {
	t.Helper()
	r := newReader(t)
	before, after := wide(forSpark(columns), 1, rowsOfWide, 0), wide(forSpark(columns), 1, rowsOfWide, 3)
	table := l.table(t)
	args := []string{"--schema", l.put(t, "schema.yaml", before.schema()), "--partition-by", "truncate(2, s), bucket(3, i)", "--replace-table"}
	first := l.load(t, table, l.put(t, "first.ndjson", before.ndjson()), args...)
	l.load(t, table, l.put(t, "second.ndjson", after.ndjson()), args...)
	for engine := range sparks {
		r.mustHoldFor(t, engine, l, table, after)
		r.mustFilterFor(t, engine, l, table, after.filters())
		var total int
		if err := r.of(t, engine).ask(engine+".total", l, table, nil, &total); err != nil || total != rowsOfWide {
			t.Errorf("%s counts %d rows, want %d: %v", engine, total, rowsOfWide, err)
		}
		var then contents
		if err := r.of(t, engine).ask(engine+".read", l, table, map[string]any{"snapshot": first.SnapshotID}, &then); err != nil {
			t.Error(err)
		} else if wrong := then.unlike(engine, before); wrong != "" {
			t.Errorf("before the swap %s", wrong)
		}
	}
}
