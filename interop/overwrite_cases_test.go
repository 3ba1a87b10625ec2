package interop

import (
	"strconv"
	"strings"
	"testing"

	"github.com/icewright/icewright/internal/gendoc"
)

// overwrite is a load that Spark does with INSERT OVERWRITE in dynamic mode and icewright with replace, each on
// its own of two equal tables. TestSideBySide runs them, docs/spark.md lists them.
type overwrite struct {
	name    string   // what is special about it
	columns string   // of the table, as Spark declares them; the first is id
	by      string   // its partitions, as Spark declares them
	props   string   // table properties, as Spark declares them
	before  string   // rows that the table has, as SQL has them
	then    string   // what happens to the table afterwards, separated by semicolons
	rows    string   // the input; "" has no rows
	input   string   // columns of the input; "" has those of the table
	insert  string   // Spark's statement; "" is INSERT OVERWRITE {table} SELECT * FROM {input}
	flags   []string // of icewright, besides the table and the input
	exit    int      // icewright's exit code
	// Where the two differ on purpose: the ids of the rows afterwards, and what the document says. Where
	// ours is "" they must leave the same rows.
	spark, ours      string
	sparkDoes, weDo  string
	sparkFails, keep bool // Spark refuses; icewright publishes nothing
}

const (
	small    = "id bigint, day date, region string"
	smallDay = "(1, '2024-01-15', 'eu'), (2, '2024-01-15', 'us'), (3, '2024-01-16', 'eu'), (4, null, 'us')"
	newDay   = "(11, '2024-01-15', 'eu'), (12, '2024-01-17', null)"
	mor      = "'write.delete.mode' = 'merge-on-read'"
)

var overwrites = []overwrite{
	// Transforms.
	{name: "identity of a date", columns: small, by: "day", before: smallDay, rows: newDay},
	{name: "identity of a string", columns: small, by: "region", before: smallDay, rows: newDay},
	{name: "years of a date", columns: small, by: "years(day)", before: smallDay + ", (5, '2023-12-31', 'eu')", rows: newDay},
	{name: "months of a date", columns: small, by: "months(day)", before: smallDay + ", (5, '2024-02-01', 'eu')", rows: newDay},
	{name: "days of a date", columns: small, by: "days(day)", before: smallDay, rows: newDay},
	{
		name: "days of a timestamp, at midnight", columns: "id bigint, at timestamp", by: "days(at)",
		before: "(1, '2024-01-15 23:59:59.999999'), (2, '2024-01-16 00:00:00'), (3, '1969-12-31 23:59:59.999999'), (4, '1970-01-01 00:00:00')",
		rows:   "(11, '2024-01-16 00:00:00.000001'), (12, '1969-12-31 00:00:00')",
	},
	{
		name: "hours of a timestamp without a zone, before 1970", columns: "id bigint, at timestamp_ntz", by: "hours(at)",
		before: "(1, '1969-12-31 22:59:59.999999'), (2, '1969-12-31 23:00:00'), (3, '1600-06-15 01:02:03'), (4, null)",
		rows:   "(11, '1969-12-31 23:59:59.999999'), (12, '1600-06-15 01:59:59')",
	},
	{name: "months of a timestamp", columns: "id bigint, at timestamp", by: "months(at)", before: "(1, '2024-01-31 23:59:59'), (2, '2024-02-01 00:00:00')", rows: "(11, '2024-02-29 00:00:00')"},
	{name: "years of a timestamp", columns: "id bigint, at timestamp", by: "years(at)", before: "(1, '1969-12-31 23:59:59'), (2, '1970-01-01 00:00:00')", rows: "(11, '1969-01-01 00:00:00')"},
	{name: "buckets of a long", columns: "id bigint, region string", by: "bucket(4, id)", before: "(1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e'), (6, 'f')", rows: "(1, 'A'), (102, 'B')"},
	{name: "buckets of a string, a decimal and a date", columns: "id bigint, s string, d decimal(9, 2), day date", by: "bucket(2, s), bucket(2, d), bucket(2, day)", before: "(1, 'a', 1.50, '2024-01-15'), (2, 'ü', -0.01, '1969-12-31'), (3, null, null, null), (4, '', 7, '2024-01-16')", rows: "(11, 'a', 1.50, '2024-01-15'), (12, 'ü', -0.01, '1969-12-31')"},
	{name: "buckets of a timestamp and of binary", columns: "id bigint, at timestamp, b binary", by: "bucket(2, at), bucket(2, b)", before: "(1, '2024-01-15 10:00:00', X'00'), (2, '1969-12-31 10:00:00', X'ff'), (3, null, null)", rows: "(11, '2024-01-15 10:00:00', X'00')"},
	{name: "truncated strings, of more than bytes", columns: "id bigint, s string", by: "truncate(2, s)", before: "(1, 'abc'), (2, 'ab'), (3, 'a'), (4, ''), (5, null), (6, '漢字仮'), (7, '漢字名')", rows: "(11, 'abz'), (12, ''), (13, '漢字')"},
	{name: "truncated numbers below zero", columns: "id bigint, n int, d decimal(9, 2)", by: "truncate(10, n), truncate(50, d)", before: "(1, -1, -0.01), (2, -10, -0.50), (3, 0, 0), (4, 9, 0.49), (5, null, null)", rows: "(11, -9, -0.49), (12, 1, 0.10)"},
	{name: "truncated binary", columns: "id bigint, b binary", by: "truncate(1, b)", before: "(1, X'00ff'), (2, X'01'), (3, X''), (4, null)", rows: "(11, X'0000'), (12, X'')"},
	// Partition values.
	{name: "null partition values, in two columns", columns: small, by: "day, region", before: smallDay + ", (5, null, null)", rows: "(11, null, 'us'), (12, null, null)"},
	{name: "an empty string, null and the text null", columns: small, by: "region", before: "(1, null, ''), (2, null, null), (3, null, 'null'), (4, null, '__HIVE_DEFAULT_PARTITION__')", rows: "(11, null, ''), (12, null, 'null')"},
	{name: "special characters", columns: small, by: "region", before: `(1, null, 'a/b=c&d%20e+f g'), (2, null, 'a/b'), (3, null, '..'), (4, null, ' a '), (5, null, 'a"\\''b')`, rows: `(11, null, 'a/b=c&d%20e+f g'), (12, null, '..'), (13, null, 'a"\\''b')`},
	{name: "Unicode, in names too", columns: "id bigint, `in cm` int, `größe` string, s string", by: "s, `in cm`", before: "(1, 170, 'é', '漢字🧊'), (2, 180, null, 'ünï'), (3, null, '', 'ünï')", rows: "(11, 180, 'é', 'ünï'), (12, 170, '🧊', '漢字')"},
	{name: "a partition field with letters beyond ASCII in its name", columns: "id bigint, `氏名` string", by: "`氏名`", before: "(1, '漢'), (2, '字')", rows: "(11, '漢')"},
	{name: "a plain name for a partition by a column with another", columns: "id bigint, `氏名` string", then: "ALTER TABLE {table} ADD PARTITION FIELD `氏名` AS name; INSERT INTO {table} VALUES (1, '漢'), (2, '字')", rows: "(11, '漢')"},
	{name: "booleans", columns: "id bigint, b boolean", by: "b", before: "(1, true), (2, false), (3, null)", rows: "(11, false)"},
	{name: "decimals", columns: "id bigint, d decimal(38, 10)", by: "d", before: "(1, 1.5), (2, -1234567890123456789012345678.0123456789), (3, 0)", rows: "(11, -1234567890123456789012345678.0123456789), (12, 1.5000000000)"},
	{name: "least and greatest numbers", columns: "id bigint, n int, l bigint", by: "n, l", before: "(1, -2147483648, 9223372036854775807), (2, 2147483647, -9223372036854775808)", rows: "(11, 2147483647, -9223372036854775808)"},
	{name: "NaN and infinities", columns: "id bigint, d double", by: "d", before: "(1, 'NaN'), (2, 'Infinity'), (3, '-Infinity'), (4, '0.5'), (5, null)", rows: "(11, 'NaN'), (12, '-Infinity')"},
	{name: "a nested partition column", columns: "id bigint, s struct<region: string, n: int>", by: "s.region", before: "(1, named_struct('region', 'eu', 'n', 1)), (2, named_struct('region', 'us', 'n', 2)), (3, null)", rows: "(11, named_struct('region', 'eu', 'n', 3))"},
	{name: "three partition columns", columns: small, by: "days(day), region, bucket(2, id)", before: smallDay, rows: "(1, '2024-01-15', 'eu'), (4, null, 'us')"},
	{name: "sixty partitions", columns: "id bigint, n int", by: "n", before: "(1, 0), (2, 30), (3, 70)", rows: numbered(60)},
	// Rows.
	{name: "nested columns", columns: "id bigint, day date, l array<string>, m map<string, bigint>, s struct<a: int, b: struct<c: date>>", by: "day", before: "(1, '2024-01-15', array('a', null), map('k', 1), named_struct('a', 1, 'b', named_struct('c', '2024-01-15'))), (2, null, array(), map(), null)", rows: "(11, '2024-01-15', array(), map('a', null, 'b', 2), named_struct('a', null, 'b', null))"},
	{name: "every flat type", columns: "id bigint, b boolean, i int, f float, d double, m decimal(18, 3), day date, at timestamp, ntz timestamp_ntz, s string, bin binary", by: "day", before: "(1, true, 1, 1.5, 0.1, 1.001, '2024-01-15', '2024-01-15 10:00:00', '2024-01-15 10:00:00', 'x', X'00ff'), (2, null, null, null, null, null, null, null, null, null, null)", rows: "(11, false, -2147483648, '-Infinity', '5e-324', -999999999999999.999, '2024-01-15', '1600-06-15 01:02:03.000004', '9999-12-31 23:59:59.999999', '\\u0000\\t\\n\"', X''), (12, null, null, 'NaN', '-0.0', null, '2024-01-15', null, null, '', X'ff')"},
	{name: "the same row several times", columns: small, by: "day", before: smallDay, rows: "(1, '2024-01-15', 'eu'), (1, '2024-01-15', 'eu'), (1, '2024-01-15', 'eu')"},
	{name: "dates far off", columns: small, by: "day", before: "(1, '0001-01-01', 'a'), (2, '9999-12-31', 'b'), (3, '1582-10-04', 'c')", rows: "(11, '9999-12-31', 'd'), (12, '0001-01-01', 'e'), (13, '1582-10-15', 'f')"},
	// Tables.
	{name: "the first load of a table", columns: small, by: "day", rows: newDay},
	{name: "format version 1", columns: small, by: "day", props: "'format-version' = '1'", before: smallDay, rows: newDay},
	{name: "format version 3", columns: small, by: "day", props: "'format-version' = '3'", before: smallDay, rows: newDay},
	{name: "a sorted table", columns: small, by: "day", before: smallDay, then: "ALTER TABLE {table} WRITE ORDERED BY region DESC NULLS LAST, id", rows: "(13, '2024-01-15', 'eu'), (11, '2024-01-15', null), (12, '2024-01-15', 'us')"},
	{name: "a sorted and partitioned order of writing", columns: small, by: "bucket(2, id)", before: smallDay, then: "ALTER TABLE {table} WRITE DISTRIBUTED BY PARTITION LOCALLY ORDERED BY day", rows: newDay},
	{name: "columns added, renamed and dropped", columns: "id bigint, day date, region string, old int", by: "day", before: "(1, '2024-01-15', 'eu', 7), (2, '2024-01-16', 'us', 8)", then: "ALTER TABLE {table} ADD COLUMN note string AFTER id; ALTER TABLE {table} RENAME COLUMN region TO area; ALTER TABLE {table} DROP COLUMN old", input: "id bigint, note string, day date, area string", rows: "(11, 'new', '2024-01-15', 'eu')"},
	{name: "a widened partition column", columns: "id bigint, n int, d decimal(5, 2), f float", by: "n, d", before: "(1, 1, 1.50, 0.1), (2, 2, 2.50, 0.2)", then: "ALTER TABLE {table} ALTER COLUMN n TYPE bigint; ALTER TABLE {table} ALTER COLUMN d TYPE decimal(20, 2); ALTER TABLE {table} ALTER COLUMN f TYPE double", input: "id bigint, n bigint, d decimal(20, 2), f double", rows: "(11, 1, 1.50, 0.1), (12, 3000000000, 2.50, 0.2)"},
	{name: "a renamed partition column", columns: small, by: "region", before: smallDay, then: "ALTER TABLE {table} RENAME COLUMN region TO area", input: "id bigint, day date, area string", rows: newDay},
	{name: "position deletes", columns: small, by: "day", props: mor, before: smallDay, then: "DELETE FROM {table} WHERE id IN (1, 3)", rows: "(11, '2024-01-15', 'eu')"},
	{name: "deletion vectors", columns: small, by: "day", props: "'format-version' = '3', " + mor, before: smallDay, then: "DELETE FROM {table} WHERE id IN (1, 3)", rows: "(11, '2024-01-15', 'eu')"},
	{name: "files that Spark compacted", columns: small, by: "day", before: smallDay, then: "INSERT INTO {table} VALUES (5, DATE '2024-01-15', 'x'); CALL default.system.rewrite_data_files(table => '{name}', options => map('rewrite-all', 'true')); CALL default.system.rewrite_manifests('{name}')", rows: newDay},
	{name: "Avro and ORC files beside Parquet's", columns: small, by: "day", props: "'write.format.default' = 'avro'", before: smallDay, then: "ALTER TABLE {table} SET TBLPROPERTIES ('write.format.default' = 'orc'); INSERT INTO {table} VALUES (5, DATE '2024-01-15', 'x'); ALTER TABLE {table} UNSET TBLPROPERTIES ('write.format.default')", rows: newDay},
	{name: "an unpartitioned table, as a whole", columns: small, before: smallDay, rows: newDay, flags: []string{"--replace-table"}},
	{name: "a table that is no longer partitioned", columns: small, by: "day", before: smallDay, then: "ALTER TABLE {table} DROP PARTITION FIELD day", rows: newDay, flags: []string{"--replace-table"}},
	{name: "a branch", columns: small, by: "day", before: smallDay, then: "ALTER TABLE {table} CREATE BRANCH audit", rows: newDay, insert: "INSERT OVERWRITE {table}.branch_audit SELECT * FROM {input}", flags: []string{"--branch", "audit"}},
	{name: "a static overwrite, as a declared slice", columns: small, by: "day, region", before: smallDay, rows: "(11, '2024-01-15', 'eu')", insert: "INSERT OVERWRITE {table} PARTITION (day = DATE '2024-01-15', region = 'eu') SELECT id FROM {input}", flags: []string{"--slice", "day=2024-01-15 and region='eu'"}},
	{name: "no input, kept", columns: small, by: "day", before: smallDay, flags: []string{"--on-empty", "keep"}, keep: true},

	// Where the two differ.
	{
		name: "no input", columns: small, by: "day", before: smallDay, exit: 3, spark: "1 2 3 4", ours: "1 2 3 4",
		sparkDoes: "keeps what is there, and says nothing", weDo: "is refused, exit 3: `--on-empty keep` or `clear` says what is meant",
	},
	{
		name: "no input for a declared slice", columns: small, by: "day", before: smallDay, flags: []string{"--slice", "day=2024-01-15", "--on-empty", "clear"}, spark: "1 2 3 4", ours: "3 4",
		sparkDoes: "keeps what is there", weDo: "`--slice day=2024-01-15 --on-empty clear` empties the slice",
	},
	{
		name: "a partition of the declared slice without rows", columns: small, by: "day, region", before: smallDay, rows: "(11, '2024-01-15', 'eu')", flags: []string{"--slice", "day=2024-01-15"}, spark: "2 3 4 11", ours: "3 4 11",
		sparkDoes: "keeps the partition's old rows: only partitions of the input are overwritten", weDo: "`--slice day=2024-01-15` is swapped as a whole, so they go",
	},
	{
		name: "rows outside of the declared slice", columns: small, by: "day", before: smallDay, rows: newDay, flags: []string{"--slice", "day=2024-01-15"}, exit: 3, spark: "3 4 11 12", ours: "1 2 3 4",
		sparkDoes: "knows no slice: whatever the input touches is overwritten", weDo: "is refused, exit 3, naming the row; `--outside drop` leaves such rows out",
	},
	{
		name: "a partition that loses most of its rows", columns: small, by: "day", before: smallDay + ", (5, '2024-01-15', 'x')", rows: "(11, '2024-01-15', 'eu')", flags: []string{"--max-shrink", "50%"}, exit: 3, spark: "3 4 11", ours: "1 2 3 4 5",
		sparkDoes: "overwrites it", weDo: "is refused, exit 3, unless `--allow-shrink` or `--max-shrink` allows it",
	},
	{
		name: "an unpartitioned table", columns: small, before: smallDay, rows: newDay, exit: 3, spark: "11 12", ours: "1 2 3 4",
		sparkDoes: "overwrites the whole table", weDo: "is refused, exit 3: `--replace-table` says that it is meant",
	},
	{
		name: "coarser partitions than the files have", columns: small, by: "day, region", before: smallDay, then: "ALTER TABLE {table} DROP PARTITION FIELD region", rows: "(11, '2024-01-15', 'eu')", spark: "1 2 3 4 11", ours: "3 4 11",
		sparkDoes: "leaves the rows that were written under the older spec: the day has old and new rows", weDo: "replaces them: what counts is the rows, not the spec of their file",
	},
	{
		name: "finer partitions than the files have", columns: small, by: "day", before: smallDay, then: "ALTER TABLE {table} ADD PARTITION FIELD region", rows: "(11, '2024-01-15', 'eu')", spark: "1 2 3 4 11", ours: "2 3 4 11",
		sparkDoes: "leaves the rows that were written under the older spec", weDo: "takes the partition's rows out of the older files, which it rewrites with the rest of theirs",
	},
	{
		name: "columns in another order", columns: "id bigint, a string, b string", by: "a", before: "(1, 'x', 'y')", input: "id bigint, b string, a string", rows: "(11, 'z', 'x')", spark: "1 11", ours: "11",
		sparkDoes: "goes by position, unless `BY NAME` is said: here `a` got the values of `b`", weDo: "goes by name",
	},
	{
		name: "an input without one of the columns", columns: small, by: "day", before: smallDay, input: "id bigint, day date", rows: "(11, '2024-01-15')", sparkFails: true, spark: "1 2 3 4", ours: "3 4 11",
		sparkDoes: "is refused, unless `BY NAME` is said", weDo: "the column is null in those rows",
	},
	{
		name: "the same rows once more", columns: small, by: "day", before: smallDay, rows: "(1, '2024-01-15', 'eu'), (2, '2024-01-15', 'us')", flags: []string{"--compare-rows"}, keep: true, spark: "1 2 3 4", ours: "1 2 3 4",
		sparkDoes: "makes a snapshot with new files every time", weDo: "publishes nothing, `unchanged`; after Spark wrote the files only with `--compare-rows`",
	},
}

// numbered are n rows, one for each partition.
func numbered(n int) string {
	var rows []string
	for i := range n {
		rows = append(rows, "("+strconv.Itoa(100+i)+", "+strconv.Itoa(i)+")")
	}
	return strings.Join(rows, ", ")
}

// TestDocsSpark holds docs/spark.md to the cases that TestSideBySide runs.
func TestDocsSpark(t *testing.T) {
	var same, differ [][]string
	names := map[string]bool{}
	for _, c := range overwrites {
		if names[c.name] {
			t.Errorf("two cases are called %q", c.name)
		}
		names[c.name] = true
		if c.ours != "" {
			differ = append(differ, []string{c.name, c.sparkDoes, c.weDo})
			continue
		}
		by := "none"
		if c.by != "" {
			by = "`" + c.by + "`"
			if strings.Contains(by[1:len(by)-1], "`") {
				by = "`` " + c.by + " ``"
			}
		}
		same = append(same, []string{c.name, by})
	}
	gendoc.Check(t, "docs/spark.md", "same", gendoc.Table([]string{"case", "partitions"}, same...))
	gendoc.Check(t, "docs/spark.md", "differ", gendoc.Table([]string{"case", "`INSERT OVERWRITE`, dynamic", "`icewright load`"}, differ...))
	gendoc.Proofs(t, "interop.TestSideBySide", "interop.TestSparkDeletes", "interop.TestSparkMaintains", "interop.TestSparkRemovesNoStagedFiles",
		"interop.TestSparkExpiresAndZombiesAreFenced")
	if len(same) < 40 {
		t.Errorf("%d cases leave the same rows, the document promises 40", len(same))
	}
}
