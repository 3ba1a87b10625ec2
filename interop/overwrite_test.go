//go:build interop

package interop

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/icewright/icewright/internal/tally"
)

// Every load of overwrite_cases_test.go, by Spark and by us: the same rows, but where the document says otherwise.
// The tables are one until then: Spark makes it, and the catalog gets a second entry for its metadata.
func TestSideBySide(t *testing.T) {
	y := tally.Of(t, "Spark made the table, and replaces the same rows beside it")
	l := sqliteLake(t)
	l.put(t, "first.csv", "id\n1\n")
	l.load(t, "interop.first", "first.csv", "--replace-table") // makes the catalog
	for engine := range sparks {
		l.spark(t, engine, "",
			"SET spark.sql.sources.partitionOverwriteMode = dynamic", "SET spark.sql.parquet.outputTimestampType = TIMESTAMP_MICROS",
			"SET spark.sql.parquet.datetimeRebaseModeInWrite = CORRECTED")
	}
	for i, c := range overwrites {
		engine := []string{"spark", "spark35"}[i%2]
		t.Run(c.name, func(t *testing.T) {
			y.Survived(t, 2, 9)
			c.run(t, l, engine, fmt.Sprintf("interop.t%d", i))
		})
	}
}

func (c overwrite) run(t *testing.T, l *lake, engine, table string) {
	in := filepath.Join(l.dir, "in", table)
	l.spark(t, engine, table, c.statements(in)...)
	l.twin(t, table, table+"_ours")
	before := l.snapshots(t, table)

	_, err := l.sparkTry(t, engine, table, strings.ReplaceAll(
		cmp.Or(c.insert, "INSERT OVERWRITE {table} SELECT * FROM {input}"), "{input}", "parquet.`"+in+"`"))
	if c.sparkFails != (err != nil) {
		t.Errorf("Spark says %v", err)
	}

	args := []string{"load", filepath.Join("in", table, "*.parquet"), "--table", table + "_ours", "--output", "json", "--progress", "none"}
	if !slices.Contains(c.flags, "--max-shrink") {
		args = append(args, "--allow-shrink")
	}
	for try, want := range []string{"published", "unchanged"} {
		p := l.start(t, append(args, c.flags...)...)
		if code := p.end(t); code != c.exit {
			t.Errorf("we end with exit code %d, want %d\n%s", code, c.exit, &p.stderr)
		} else if code == 0 {
			if c.keep {
				want = "unchanged"
			}
			if got := p.receipt(t); got.Status != want {
				t.Errorf("load %d is %s, want %s", try+1, got.Status, want)
			}
		}
	}

	theirs, ours := c.outcomes(t, l, engine, table)
	if c.ours == "" {
		missing, extra := difference(theirs.rows, ours.rows)
		if len(missing)+len(extra) > 0 {
			t.Errorf("only Spark has\n%s\nonly we have\n%s", head(missing), head(extra))
		}
	} else if ours.ids != c.ours || theirs.ids != c.spark {
		t.Errorf("we have %q, want %q; Spark has %q, want %q", ours.ids, c.ours, theirs.ids, c.spark)
	}
	made := len(l.snapshots(t, table+"_ours")) - len(before)
	want := 1
	if c.keep || c.exit != 0 {
		want = 0
	}
	if made != want {
		t.Errorf("our load and its rerun made %d snapshots, want %d", made, want)
	}
}

// statements make the table, and the input as Parquet files in dir.
func (c overwrite) statements(dir string) []string {
	create := fmt.Sprintf("CREATE TABLE {table} (%s) USING iceberg", c.columns)
	if c.by != "" {
		create += " PARTITIONED BY (" + c.by + ")"
	}
	if c.props != "" {
		create += " TBLPROPERTIES (" + c.props + ")"
	}
	out := []string{create}
	if c.before != "" {
		out = append(out, "INSERT INTO {table} "+rowsOf(c.columns, c.before))
	}
	for then := range strings.SplitSeq(c.then, "; ") {
		if then != "" {
			out = append(out, then)
		}
	}
	return append(out, fmt.Sprintf("INSERT OVERWRITE DIRECTORY '%s' USING parquet %s", dir, rowsOf(cmp.Or(c.input, c.columns), c.rows)))
}

var (
	columnStart = regexp.MustCompile("(?:^|, )(`[^`]+`|\\w+) ")
	nesting     = regexp.MustCompile(`[(<][^()<>]*[)>]`)
)

// rowsOf is a query for rows of the columns, which may be none.
func rowsOf(columns, rows string) string {
	flat := columns
	for nesting.MatchString(flat) { // so that the commas left are those between columns
		flat = nesting.ReplaceAllStringFunc(flat, func(s string) string { return strings.Repeat("#", len(s)) })
	}
	var casts, names []string
	starts := columnStart.FindAllStringSubmatchIndex(flat, -1)
	for i, m := range starts {
		end := len(columns)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		name := fmt.Sprintf("c%d", i)
		names = append(names, name)
		casts = append(casts, fmt.Sprintf("CAST(%s AS %s) AS %s", name, columns[m[1]:end], columns[m[2]:m[3]]))
	}
	query := "SELECT " + strings.Join(casts, ", ") + " FROM VALUES "
	if rows == "" {
		return query + "(" + strings.Join(slices.Repeat([]string{"null"}, len(names)), ", ") + ") AS t(" + strings.Join(names, ", ") + ") WHERE false"
	}
	return query + rows + " AS t(" + strings.Join(names, ", ") + ")"
}

// twin registers the metadata of a table under a second name.
func (l *lake) twin(t testing.TB, table, name string) {
	t.Helper()
	db := l.database(t)
	defer db.Close()
	namespace, of, _ := strings.Cut(table, ".")
	done, err := db.ExecContext(t.Context(), `INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
		SELECT catalog_name, table_namespace, ?, metadata_location, iceberg_type FROM iceberg_tables WHERE table_namespace = ? AND table_name = ?`,
		strings.TrimPrefix(name, namespace+"."), namespace, of)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := done.RowsAffected(); n != 1 {
		t.Fatalf("%s has no twin: %v", table, err)
	}
}

// outcome is what a load left: all rows, and the first column of them.
type outcome struct {
	rows []string
	ids  string
}

// outcomes are those of Spark's table and of ours.
func (c overwrite) outcomes(t *testing.T, l *lake, engine, table string) (theirs, ours outcome) {
	t.Helper()
	suffix := ""
	if i := slices.Index(c.flags, "--branch"); i >= 0 {
		suffix = ".branch_" + c.flags[i+1]
	}
	for _, row := range l.spark(t, engine, table, fmt.Sprintf(
		"SELECT 'theirs', * FROM {table}%s UNION ALL SELECT 'ours', * FROM default.%s_ours%[1]s ORDER BY id", suffix, table)).Rows {
		o := &theirs
		if row[0] == "ours" {
			o = &ours
		}
		o.rows = append(o.rows, canonicalText(row[1:]))
		o.ids = strings.TrimSpace(o.ids + " " + fmt.Sprint(row[1]))
	}
	slices.Sort(theirs.rows)
	slices.Sort(ours.rows)
	return theirs, ours
}

// listed is a snapshot that a table's metadata lists.
type listed struct {
	ID       int64             `json:"snapshot-id"`
	Sequence int64             `json:"sequence-number"`
	Summary  map[string]string `json:"summary"`
	Manifest string            `json:"manifest-list"`
}

// snapshots are those of the table's metadata file, oldest first.
func (l *lake) snapshots(t testing.TB, table string) []listed {
	t.Helper()
	db := l.database(t)
	defer db.Close()
	namespace, name, _ := strings.Cut(table, ".")
	var location string
	if err := db.QueryRowContext(t.Context(), "SELECT metadata_location FROM iceberg_tables WHERE table_namespace = ? AND table_name = ?",
		namespace, name).Scan(&location); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(strings.TrimPrefix(strings.TrimPrefix(location, "file://"), "file:"))
	if err != nil {
		t.Fatal(err)
	}
	var metadata struct {
		Snapshots []listed `json:"snapshots"`
	}
	if err := json.Unmarshal(text, &metadata); err != nil {
		t.Fatal(err)
	}
	return metadata.Snapshots
}

// database is the lake's SQLite catalog.
func (l *lake) database(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", strings.TrimPrefix(l.catalog["uri"], "sqlite:///")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	return db
}
