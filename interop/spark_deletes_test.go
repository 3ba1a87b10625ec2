//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/icewright/icewright/internal/tally"
)

// written is a table as Spark leaves it: three regions, rows 1 and 4 deleted in two of them.
type written struct {
	name  string
	props string
	// then, in place of deleting rows 1 and 4 by a DELETE.
	then func(t *testing.T, l *lake, engine, table string)
	// deletes are the delete files that must be left once region a is replaced, by partition.
	deletes []string
	// wide has the rows 11 and 14 in a column that the others are older than.
	wide  bool
	kept  []int    // more rows that are left
	a     []int    // rows of region a that are left; nil: 2, 3, 11
	blind []string // readers that cannot read such delete files
	// dangling is how many deletes Spark left behind that are of no live file.
	dangling int
}

const deleted = "DELETE FROM {table} WHERE id IN (1, 4)"

// statements is a table's change by Spark.
func statements(list ...string) func(*testing.T, *lake, string, string) {
	return func(t *testing.T, l *lake, engine, table string) {
		t.Helper()
		l.spark(t, engine, table, list...)
	}
}

// equal deletes names of one partition, or of all of them under an unpartitioned spec.
func equal(t *testing.T, l *lake, engine, table string, spec int, partition string, names ...string) {
	t.Helper()
	if err := sparks[engine](t).ask(engine+".delete_equal", l, table, map[string]any{
		"column": "name", "values": names, "partition": partition, "spec": spec,
	}, new(any)); err != nil {
		t.Fatal(err)
	}
}

var writtenBySpark = []written{
	{name: "position deletes", props: mor, then: statements(deleted), deletes: []string{"{b}"}},
	{name: "position deletes, one file a partition", props: mor + ", 'write.delete.granularity' = 'partition'", then: statements("DELETE FROM {table} WHERE id IN (1, 4, 11, 14)", "INSERT INTO {table} VALUES (14, 'b', 'n14')"), deletes: []string{"{b}"}, a: []int{2, 3}},
	{name: "deletion vectors", props: mor + ", 'format-version' = '3'", then: statements(deleted), deletes: []string{"{b}"}, blind: []string{"duckdb"}},
	{name: "position deletes, then deletion vectors", props: mor, then: statements("DELETE FROM {table} WHERE id = 4", "ALTER TABLE {table} SET TBLPROPERTIES ('format-version' = '3')", "DELETE FROM {table} WHERE id = 1"), deletes: []string{"{b}"}, blind: []string{"duckdb"}},
	{name: "equality deletes", then: func(t *testing.T, l *lake, engine, table string) {
		t.Helper()
		equal(t, l, engine, table, 0, "region=a", "n1", "n21")
		equal(t, l, engine, table, 0, "region=b", "n4")
	}, deletes: []string{"{b}"}, blind: []string{"pyiceberg"}},
	{name: "equality deletes for all partitions", then: func(t *testing.T, l *lake, engine, table string) {
		t.Helper()
		l.spark(t, engine, table, "ALTER TABLE {table} DROP PARTITION FIELD region")
		equal(t, l, engine, table, 1, "", "n1", "n4", "n21")
		l.spark(t, engine, table, "ALTER TABLE {table} ADD PARTITION FIELD region")
	}, deletes: []string{"{all}"}, blind: []string{"pyiceberg"}},
	{name: "deletes that were compacted away", props: mor, then: statements(deleted,
		"CALL default.system.rewrite_data_files(table => '{name}', options => map('rewrite-all', 'true', 'remove-dangling-deletes', 'true'))"), deletes: []string{"{b}"}, dangling: 1},
	{name: "an evolved schema, and position deletes", props: mor, then: statements(
		"ALTER TABLE {table} ADD COLUMN more string", "ALTER TABLE {table} RENAME COLUMN region TO area", deleted), deletes: []string{"{b}"}, wide: true},
	{name: "coarser partitions before, and position deletes", props: mor, then: statements(
		"ALTER TABLE {table} DROP PARTITION FIELD region", "INSERT INTO {table} SELECT /*+ COALESCE(1) */ * FROM VALUES (12, 'a', 'n12'), (15, 'b', 'n15'), (16, 'b', 'n16')", deleted+" OR id = 15", "ALTER TABLE {table} ADD PARTITION FIELD region"), deletes: []string{"{b}"}, kept: []int{16}, a: []int{2, 3, 11, 12}},
}

// mergedWith merges rows of every sort into a copy of the table: 2 has another name, 4 was deleted, 5 is as it
// was, 8 moves to another partition, 21 is new. What a merge on read leaves behind Spark then compacts.
func (l *lake) mergedWith(t *testing.T, r *reader, w written, table, strategy, spark string) {
	name := table + "_merged_" + strategy[:4]
	l.twin(t, table, name)
	args := []string{"load", "m.csv", "--table", name, "--mode", "merge", "--key", "id", "--strategy", strategy, "--output", "json"}
	if w.column() != "region" {
		args = append(args, "--columns", "id,area=region,name")
	}
	merge := func() (got receipt) {
		t.Helper()
		if err := json.Unmarshal([]byte(l.icewright(t, args...)), &got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := merge()
	if got.Status != "published" || got.RowsInserted != 2 || got.RowsUpdated != 2 || got.RowsUnchanged != 1 {
		t.Errorf("the merge is %s: %d inserted, %d updated, %d unchanged", got.Status, got.RowsInserted, got.RowsUpdated, got.RowsUnchanged)
	}
	if got := merge(); got.Status != "unchanged" {
		t.Errorf("the same merge again is %s", got.Status)
	}
	a := w.a
	if a == nil {
		a = []int{2, 3, 11}
	}
	want := w.model(slices.Concat(a, []int{4, 5, 6, 7, 8, 14, 21}, w.kept)...)
	for i, cells := range want.rows {
		switch cells[0] {
		case num("2"):
			want.rows[i][2] = str("x2")
		case num("8"):
			want.rows[i][1] = str("a")
		}
	}
	for _, reader := range append([]string{spark}, engines...) {
		if !slices.Contains(w.blind, reader) {
			r.mustHoldFor(t, reader, l, name, want)
		}
	}
	if strategy != "merge-on-read" {
		return
	}
	if got.DeleteFilesAdded == 0 || got.FilesRewritten != 0 {
		t.Errorf("%d delete files added, %d files rewritten", got.DeleteFilesAdded, got.FilesRewritten)
	}
	l.mustAddUp(t, spark, name, 2*w.dangling) // those of region a are still there
	l.spark(t, spark, name,
		"CALL default.system.rewrite_position_delete_files(table => '{name}', options => map('rewrite-all', 'true'))",
		"CALL default.system.rewrite_data_files(table => '{name}', options => map('rewrite-all', 'true'))")
	r.mustHoldFor(t, spark, l, name, want)
	if got := merge(); got.Status != "unchanged" {
		t.Errorf("the same merge of the compacted table is %s", got.Status)
	}
}

// Tables as Spark leaves them, with deletes of every kind; then rows are merged into it, and one region is replaced, with a declared slice
// and without, and the whole table. Every reader sees the new rows and those of the other regions, no deleted row
// comes back, and of the delete files those are left that others than the replaced rows need.
func TestSparkDeletes(t *testing.T) {
	y := tally.Of(t, "Spark made the table, and deleted rows of it in every way that there is")
	r := newReader(t)
	l := sqliteLake(t)
	l.put(t, "first.csv", "id\n1\n")
	l.load(t, "interop.first", "first.csv", "--replace-table") // makes the catalog
	l.put(t, "a.csv", "id,region,name\n21,a,n21\n22,a,n1\n")
	l.put(t, "m.csv", "id,region,name\n2,a,x2\n4,b,n4\n5,b,n5\n8,a,n8\n21,a,n21\n")
	for i, w := range writtenBySpark {
		engine := []string{"spark35", "spark"}[i%2]
		t.Run(w.name, func(t *testing.T) {
			table := fmt.Sprintf("interop.d%d", i)
			create := "CREATE TABLE {table} (id bigint, region string, name string) USING iceberg PARTITIONED BY (region)"
			if w.props != "" {
				create += " TBLPROPERTIES (" + w.props + ")"
			}
			l.spark(t, engine, table, create,
				"INSERT INTO {table} SELECT id, region, 'n' || id FROM VALUES (1, 'a'), (2, 'a'), (3, 'a'), (4, 'b'), (5, 'b'), (6, 'b'), (7, 'c'), (8, 'c') AS t(id, region)",
				"INSERT INTO {table} VALUES (11, 'a', 'n11'), (14, 'b', 'n14')")
			w.then(t, l, engine, table)
			t.Run("merged", func(t *testing.T) {
				y.Survived(t, 2, 9)
				for _, strategy := range []string{"copy-on-write", "merge-on-read"} {
					l.mergedWith(t, r, w, table, strategy, []string{"spark", "spark35"}[i%2])
				}
			})
			for _, how := range []struct {
				name  string
				args  []string
				spark string // one that reads it: the other's tables, too
			}{
				{"touched", nil, "spark"},
				{"declared", []string{"--slice", w.column() + "=a"}, "spark35"},
				{"whole", []string{"--replace-table"}, engine},
			} {
				t.Run(how.name, func(t *testing.T) {
					y.Survived(t, 2, 9)
					name := table + "_" + how.name
					l.twin(t, table, name)
					args := how.args
					if w.column() != "region" {
						args = append(args, "--columns", "id,area=region,name")
					}
					if got := l.load(t, name, "a.csv", args...); got.Status != "published" {
						t.Errorf("the load is %s", got.Status)
					}
					if got := l.load(t, name, "a.csv", args...); got.Status != "unchanged" {
						t.Errorf("the same load again is %s", got.Status)
					}
					want := w.model(21, 22)
					deletes := []string(nil)
					if how.name != "whole" {
						want, deletes = w.model(append([]int{5, 6, 7, 8, 14, 21, 22}, w.kept...)...), w.deletes
					}
					for _, reader := range append([]string{how.spark}, engines...) {
						if len(deletes) == 0 || !slices.Contains(w.blind, reader) {
							r.mustHoldFor(t, reader, l, name, want)
						}
					}
					dangling := w.dangling
					if len(deletes) == 0 {
						dangling = 0
					}
					mustBe(t, "partitions with delete files", l.mustAddUp(t, how.spark, name, dangling), deletes...)
				})
			}
		})
	}
}

func (w written) column() string {
	if w.wide {
		return "area"
	}
	return "region"
}

// model is rows by their ids: 22 got a name that was deleted once.
func (w written) model(ids ...int) model {
	text := func(name string) column { return column{name, "string", "", "VARCHAR", byText, nil} }
	m := model{columns: []column{{"id", "long", "", "BIGINT", byNumber, nil}, text(w.column()), text("name")}}
	if w.wide {
		m.columns = append(m.columns, text("more"))
	}
	for _, id := range ids {
		region, name := "a", "n"+strconv.Itoa(id)
		switch {
		case id == 22:
			name = "n1"
		case id == 7 || id == 8:
			region = "c"
		case id <= 3 || id == 11 || id == 12:
		case id < 20:
			region = "b"
		}
		cells := row{num(strconv.Itoa(id)), str(region), str(name)}
		if w.wide {
			cells = append(cells, null)
		}
		m.rows = append(m.rows, cells)
	}
	return m
}

// mustAddUp fails the test unless the metadata tables agree with each other and with the summary, and each
// position delete, but for some, is of a row in a live file. It returns the partitions that have delete files.
func (l *lake) mustAddUp(t *testing.T, engine, table string, dangling int) []string {
	t.Helper()
	counts := l.spark(t, engine, table, `SELECT
		(SELECT count(*) FROM {table}.position_deletes WHERE file_path NOT IN (SELECT file_path FROM {table}.data_files)),
		(SELECT count_if(content = 0) FROM {table}.files), (SELECT count_if(content > 0) FROM {table}.files),
		(SELECT sum(if(content = 0, record_count, 0)) FROM {table}.files),
		(SELECT sum(if(content > 0, record_count, 0)) FROM {table}.files),
		(SELECT count(*) FROM {table}.entries WHERE status < 2),
		(SELECT sum(record_count) FROM {table}.partitions), (SELECT sum(file_count) FROM {table}.partitions),
		(SELECT array_sort(collect_set(replace(cast(partition AS string), 'null', 'all'))) FROM {table}.delete_files)`).Rows[0]
	all := l.snapshots(t, table)
	summary := all[len(all)-1].Summary
	number := func(keys ...string) (n int) {
		for _, key := range keys {
			v, err := strconv.Atoi(summary[key])
			if err != nil {
				t.Errorf("the summary's %s is %q", key, summary[key])
			}
			n += v
		}
		return n
	}
	data, rows := number("total-data-files"), number("total-records")
	want := fmt.Sprint([]int{
		dangling, data, number("total-delete-files"), rows, number("total-position-deletes", "total-equality-deletes"),
		number("total-data-files", "total-delete-files"), rows, data,
	})
	if got := fmt.Sprint(counts[:8]); got != want {
		t.Errorf("deletes of no live file, data files, delete files, rows, deletes, entries, rows and files of partitions are\n%s\nthe summary says\n%s", got, want)
	}
	var partitions []string
	for _, p := range counts[8].([]any) {
		partitions = append(partitions, p.(string))
	}
	return partitions
}
