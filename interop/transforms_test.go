//go:build interop

package interop

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rowsOfWide is enough for every column to take each of its values, so that a load with
// another seed touches every partition of the load before, whatever the transform.
const rowsOfWide = 24

func TestOnServers(t *testing.T) {
	borrow := readers(t)
	for _, backend := range restBackends {
		for _, by := range []string{"", "s", "day(ts), bucket(2, u)", "truncate(2, bin)"} {
			for _, version := range []int{2, 3} {
				t.Run(fmt.Sprintf("%s v%d %s", backend.name, version, by), func(t *testing.T) {
					l := backend.open(t)
					if version > l.newest {
						t.Skipf("%s makes no tables of version %d", l.name, version)
					}
					story(t, borrow(t), l, by, columns, version)
				})
			}
		}
	}
}

// story creates a table, loads it, loads it again, replaces every partition, and asks the
// foreign readers each time. What filters find depends on no storage: TestMatrix filters.
func story(t *testing.T, r *reader, l *lake, by string, cols []column, version int) {
	first, second := wide(cols, 1, rowsOfWide, 0), wide(cols, 1, rowsOfWide, 3)
	table := l.table(t)
	args := []string{"--schema", l.put(t, "schema.yaml", first.schema()), "--format-version", strconv.Itoa(version)}
	if by != "" {
		args = append(args, "--partition-by", by)
	}
	// Void alone is no partitioning, and rows of the two seeds combine the values of several
	// columns differently.
	if by == "" || by == "void(s)" || strings.Contains(by, "), ") {
		args = append(args, "--replace-table")
	}

	got := l.load(t, table, l.put(t, "first.ndjson", first.ndjson()), args...)
	if got.Status != "published" || got.RowsRead != rowsOfWide || got.RowsWritten != rowsOfWide {
		t.Errorf("the first load says %+v", got)
	}
	r.mustHold(t, l, table, first)
	if files := r.mustDescribe(t, l, table); files != got.FilesAdded {
		t.Errorf("the table has %d files, the receipt says %d", files, got.FilesAdded)
	}

	again := l.load(t, table, "first.ndjson", args...)
	if again.Status != "unchanged" || again.RowsUnchanged != rowsOfWide || again.Digest != got.Digest {
		t.Errorf("the same load again says %+v", again)
	}

	replaced := l.load(t, table, l.put(t, "second.ndjson", second.ndjson()), args...)
	if replaced.Status != "published" || replaced.FilesRemoved == 0 {
		t.Errorf("the replacing load says %+v", replaced)
	}
	r.mustHold(t, l, table, second)
	files := r.mustDescribe(t, l, table)

	r.mustTell(t, l, table, 2)
	if stored := len(l.files(t, table)); stored > files+got.FilesAdded {
		t.Errorf("storage holds %d data files; %d are live and %d were replaced", stored, files, got.FilesAdded)
	}
}

// mustTell fails the test unless the history is n replaces by icewright, one on the other.
func (r *reader) mustTell(t testing.TB, l *lake, table string, n int) {
	t.Helper()
	history := r.history(t, l, table)
	if !l.keepsSnapshots {
		n = 1
	}
	if len(history) != n {
		t.Fatalf("the table has %d snapshots, want %d: %v", len(history), n, history)
	}
	attempts := map[string]bool{}
	for i, s := range history {
		if i > 0 && (s.Parent == nil || *s.Parent != history[i-1].ID) {
			t.Errorf("snapshot %d is not built on the one before it", i)
		}
		if s.Operation != "overwrite" || s.Summary["replace-partitions"] != "true" {
			t.Errorf("snapshot %d is %s with replace-partitions %q", i, s.Operation, s.Summary["replace-partitions"])
		}
		for _, key := range []string{
			"icewright.attempt", "icewright.run-key", "icewright.job", "icewright.started", "icewright.digest",
			"total-records", "total-data-files",
		} {
			if s.Summary[key] == "" {
				t.Errorf("snapshot %d has no %s in its summary: %v", i, key, s.Summary)
			}
		}
		if attempt := s.Summary["icewright.attempt"]; attempts[attempt] {
			t.Errorf("attempt %s made two snapshots", attempt)
		} else {
			attempts[attempt] = true
		}
	}
}

// TestNanosecondsInVersion3 asks PyIceberg only, and without filters: DuckDB 1.4.4 does not
// know the type, and PyIceberg 0.12 neither its literals nor its identity partitions.
func TestNanosecondsInVersion3(t *testing.T) {
	r := newReader(t)
	m := wide(slices.Concat(columns[:2], nanoColumns), 1, rowsOfWide, 0)
	for _, by := range []string{"b", "hour(tsn)", "bucket(3, tsn)"} {
		t.Run(by, func(t *testing.T) {
			l := sqliteLake(t)
			table := l.table(t)
			args := []string{"--schema", l.put(t, "schema.yaml", m.schema()), "--partition-by", by, "--format-version", "3"}
			l.load(t, table, l.put(t, "in.ndjson", m.ndjson()), args...)
			r.mustHoldFor(t, "pyiceberg", l, table, m)
			r.mustDescribe(t, l, table)
			if again := l.load(t, table, "in.ndjson", args...); again.Status != "unchanged" {
				t.Errorf("the same load again says %+v", again)
			}
		})
	}
}

func TestFloatsThatAreNoNumbers(t *testing.T) {
	r := newReader(t)
	special := []value{float("1.5"), {"NaN", "nan"}, null, floatOf("-0.0", math.Copysign(0, -1)), floatOf("Infinity", math.Inf(1)), floatOf("-Infinity", math.Inf(-1)), float("0")}
	cols := []column{columns[0], {"f", "float", "", "FLOAT", byFloat, special}, {"d", "double", "", "DOUBLE", byFloat, special}}
	for _, by := range []string{"bucket(2, id)", "f", "d"} {
		t.Run(by, func(t *testing.T) {
			l := sqliteLake(t)
			m := wide(cols, 1, 2*len(special), 1)
			var csv strings.Builder
			csv.WriteString("id,f,d\n")
			for _, cells := range m.rows {
				for i, v := range cells {
					if i > 0 {
						csv.WriteByte(',')
					}
					if v.want != nil {
						csv.WriteString(v.in)
					}
				}
				csv.WriteByte('\n')
			}
			table := l.table(t)
			args := []string{"--schema", l.put(t, "schema.yaml", m.schema()), "--partition-by", by}
			l.load(t, table, l.put(t, "in.csv", csv.String()), args...)
			r.mustHold(t, l, table, m)
			r.mustDescribe(t, l, table)
			if again := l.load(t, table, "in.csv", args...); again.Status != "unchanged" {
				t.Errorf("the same load again says %+v", again)
			}
		})
	}
}

// TestSortedTables has more rows than TestMatrix, which filters what is sorted, and holds the files to their manifests.
func TestSortedTables(t *testing.T) {
	r := newReader(t)
	for _, order := range []string{"s", "ts desc, id", "bucket(4, s), d desc, id"} {
		t.Run(order, func(t *testing.T) {
			l := sqliteLake(t)
			m := wide(columns, 1, 500, 0)
			table := l.table(t)
			args := []string{"--schema", l.put(t, "schema.yaml", m.schema()), "--partition-by", "bucket(3, id)", "--sort-by", order}
			l.load(t, table, l.put(t, "in.ndjson", m.ndjson()), args...)
			r.mustHold(t, l, table, m)
			r.mustDescribe(t, l, table)
		})
	}
}

func TestInputThatAnotherWriterMade(t *testing.T) {
	r := newReader(t)
	l := sqliteLake(t)
	ids, names := []any{}, []any{}
	m := model{columns: []column{columns[0], {"name", "string", "", "VARCHAR", byText, nil}, {"x", "double", "", "DOUBLE", byFloat, nil}}}
	xs := []any{}
	for i := range 1000 {
		name := oddStrings[i%len(oddStrings)]
		ids, names, xs = append(ids, i), append(names, name.want), append(xs, float64(i)/8)
		m.rows = append(m.rows, row{num(strconv.Itoa(i)), name, floatOf("", float64(i)/8)})
	}
	if err := r.ask("pyiceberg.write", nil, "", map[string]any{"path": l.dir + "/in.parquet", "columns": []map[string]any{
		{"name": "id", "type": "int64", "values": ids},
		{"name": "name", "type": "string", "values": names},
		{"name": "x", "type": "double", "values": xs},
	}}, new(any)); err != nil {
		t.Fatal(err)
	}
	table := l.table(t)
	l.load(t, table, "in.parquet", "--schema", l.put(t, "schema.yaml", m.schema()), "--partition-by", "name")
	r.mustHold(t, l, table, m)
	r.mustDescribe(t, l, table)
}
