//go:build interop

package interop

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// tableKind is a kind of table that icewright makes.
type tableKind struct {
	name     string
	version  int
	by, sort string
	columns  []column
	// fill brings the table to what it holds; nil: swapped.
	fill func(*testing.T, *made)
	// added are columns that older files lack.
	added []string
	named string // the table's name; "" makes one
}

func (k tableKind) String() string { return fmt.Sprintf("v%d %s", k.version, k.name) }

func (k tableKind) table(l *lake, t *testing.T) string {
	if k.named != "" {
		return "interop." + k.named
	}
	return "interop." + regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower("m "+k.String()), "_")
}

// rows is enough for every column to take each of its values.
func (k tableKind) rows() int { return rowsOfWide }

// partitionedBy tells whether a column is a source of the partitions.
func (k tableKind) partitionedBy(column string) bool {
	return regexp.MustCompile(`\b` + regexp.QuoteMeta(column) + `\b`).MatchString(k.by)
}

func (k tableKind) filesLack(column string) bool { return slices.Contains(k.added, column) }

// everyTransform are specs that together use every transform on every type that takes it. No spec has two decimals:
// they are refused (catalog.TestDecimalPartitions). A double is in
// none: PyIceberg 0.12 reads one in a partition as a float of 32 bits.
var everyTransform = []struct{ name, by string }{
	{"not partitioned", ""},
	{"identity", "b, i, l, f, dec, day"},
	{"identity of times and texts", "ts, tz, s"},
	{"identity of fixed bytes", "fx, l"},
	{"identity of bytes and wide decimals", "bin, wide"},
	{"bucket", "bucket(4, id), bucket(3, i), bucket(3, l), bucket(3, dec), bucket(3, wide), bucket(3, day), bucket(3, ts), bucket(3, tz), bucket(5, s), bucket(3, fx), bucket(3, bin)"},
	{"truncate", "truncate(10, i), truncate(1000, l), truncate(50, dec), truncate(2, s), truncate(2, bin)"},
	{"year of a date, month, day", "year(day), month(ts), day(tz)"},
	{"month of a date, year, hour", "month(day), year(ts), hour(tz)"},
	{"day of a date, hour, year", "day(day), hour(ts), year(tz)"},
	{"day, month", "day(ts), month(tz)"},
	{"void", "void(s)"},
	{"void, identity, truncate", "void(s), b, truncate(3, s)"},
	{"day, bucket, identity", "day(tz), bucket(2, id), s"},
}

var tableKinds = func() (out []tableKind) {
	for i, spec := range everyTransform {
		for _, version := range []int{1, 2, 3} {
			// What a transform makes of a value does not depend on the version.
			if version != 2 && i > 1 && i < len(everyTransform)-1 {
				continue
			}
			out = append(out, tableKind{
				name: spec.name, version: version, by: spec.by, columns: plain,
			})
		}
	}
	uuids := []column{columns[0], columnOf("u"), columnOf("s")}
	times := []column{columns[0], columnOf("tod"), columnOf("s")}
	for _, version := range []int{2, 3} {
		out = append(out,
			tableKind{name: "UUIDs", version: version, by: "bucket(3, u)", columns: uuids},
			tableKind{name: "identity of UUIDs", version: version, by: "u", columns: uuids},
			tableKind{name: "times of the day", version: version, by: "tod, bucket(3, tod)", columns: times},
			tableKind{name: "sorted by a string", version: version, by: "bucket(3, id)", sort: "s", columns: plain},
			tableKind{name: "sorted, descending", version: version, sort: "bucket(4, s), d desc, id", columns: plain},
			tableKind{name: "bounds at the edges", version: version, by: "bucket(5, id)", columns: edgeColumns},
			tableKind{name: "nothing but nulls in a partition", version: version, by: "b", columns: plain, fill: nullPartition},
			tableKind{name: "names of every kind", version: version, by: `"a b", "ünï 漢字", bucket(2, "💥")`, columns: oddlyNamed, named: fmt.Sprintf("tä-ble 漢 %d", version), fill: namedOddly},
			tableKind{name: "schema changed", version: version, by: "day", columns: nil, fill: schemaChanged, added: []string{"added"}},
			tableKind{name: "spec changed", version: version, by: "day", columns: nil, fill: specChanged},
			tableKind{name: "files cut by a finer spec", version: version, by: "month(day)", columns: nil, fill: straddled},
		)
	}
	return append(out,
		tableKind{name: "nanoseconds", version: 3, by: "hour(tsn)", columns: slices.Concat(columns[:2], nanoColumns, []column{columnOf("s")})},
		tableKind{name: "variants", version: 3, by: "bucket(3, id)", columns: variants},
		tableKind{name: "defaults", version: 3, by: "bucket(16, id)", fill: withDefaults, added: []string{"qty", "since", "name"}},
	)
}()

// plain are the columns of most kinds: those that all readers know. Times and UUIDs have kinds of their own.
var plain = slices.DeleteFunc(forSpark(columns), func(c column) bool { return c.yaml == "uuid" })

func columnOf(name string) column {
	i := slices.IndexFunc(columns, func(c column) bool { return c.name == name })
	return columns[i]
}

// oddlyNamed are columns with names that have to be quoted, escaped or encoded somewhere.
var oddlyNamed = []column{
	columns[0],
	renamed("s", "a b"), renamed("i", "ünï 漢字"), renamed("day", "💥"), renamed("l", "select"), renamed("ts", `quo"te`),
	renamed("dec", "back`tick"), renamed("wide", "a/b=c&d"), renamed("b", "percent%20"), renamed("d", "-1"),
}

func renamed(name, to string) column {
	c := columnOf(name)
	c.name = to
	return c
}

// edgeColumns have values at the edges of what bounds can tell.
var edgeColumns = []column{
	columns[0],
	{"i", "int", "", "INTEGER", byNumber, []value{num("-2147483648"), num("2147483647"), null}},
	{"l", "long", "", "BIGINT", byNumber, []value{num("-9223372036854775808"), num("9223372036854775807"), num("0"), null}},
	{"f", "float", "", "FLOAT", byFloat, []value{{`"NaN"`, "nan"}, floatOf("-0.0", math.Copysign(0, -1)), floatOf(`"Infinity"`, math.Inf(1)), null, floatOf(`"-Infinity"`, math.Inf(-1))}},
	{"d", "double", "", "DOUBLE", byFloat, []value{float("0.0"), {`"NaN"`, "nan"}, floatOf("-0.0", math.Copysign(0, -1)), float("1.7976931348623157e308"), float("-4.9e-324")}},
	{"d1", "decimal(1, 0)", "", "DECIMAL(1,0)", byNumber, []value{num("-9"), num("9"), num("-1")}},
	{"d4", "decimal(4, 2)", "", "DECIMAL(4,2)", byNumber, []value{num("-99.99"), num("-1.28"), num("-1.29"), num("99.99"), null}},
	{"d9", "decimal(9, 2)", "", "DECIMAL(9,2)", byNumber, []value{num("-9999999.99"), num("-0.01"), num("327.68"), num("9999999.99")}},
	{"d18", "decimal(18, 6)", "", "DECIMAL(18,6)", byNumber, []value{num("-999999999999.999999"), num("-0.000128"), num("999999999999.999999")}},
	{"d19", "decimal(19, 0)", "", "DECIMAL(19,0)", byNumber, []value{num("-9999999999999999999"), num("9999999999999999999"), num("9223372036854775808")}},
	{"d38", "decimal(38, 38)", "", "DECIMAL(38,38)", byNumber, []value{
		num("-0.99999999999999999999999999999999999999"), num("0.99999999999999999999999999999999999999"), num("-0.90000000000000000000000000000000000000"),
	}},
	{"day", "date", "", "DATE", byText, []value{quoted("0001-01-01"), quoted("9999-12-31"), quoted("1969-12-31"), null}},
	{"ts", "timestamp", "", "TIMESTAMP", byUnits, []value{
		units("0001-01-01T00:00:00", -62135596800000000, "us"), units("9999-12-31T23:59:59.999999", 253402300799999999, "us"), units("1969-12-31T23:59:59.999999", -1, "us"),
	}},
	{"tz", "timestamptz", "", "TIMESTAMP WITH TIME ZONE", byUnits, []value{
		units("1582-10-04T00:00:00Z", -12220243200000000, "us"), units("9999-12-31T23:59:59.999999Z", 253402300799999999, "us"), units("1969-12-31T23:59:59.999999Z", -1, "us"), null,
	}},
	{"s", "string", "", "VARCHAR", byText, []value{
		str(strings.Repeat("a", 16)), str(strings.Repeat("a", 17)), str(strings.Repeat("\U0010ffff", 17)), str(strings.Repeat("z", 15) + "\U0010ffff!"),
		str("\ue000"), str("\U00010000"), str(strings.Repeat("漢", 15) + "\ud7ffx"), str("\uffff" + strings.Repeat("é", 20)), str(strings.Repeat("\U00010000", 40)),
	}},
	{"bin", "binary", "", "BLOB", byText, []value{quoted(strings.Repeat("ff", 40)), quoted("00"), quoted(strings.Repeat("ff", 16)), quoted("7f" + strings.Repeat("ff", 20)), quoted("80")}},
	{"f1", "fixed[1]", "", "BLOB", byText, []value{quoted("ff"), quoted("00"), quoted("7f")}},
	{"f20", "fixed[20]", "", "BLOB", byText, []value{quoted(strings.Repeat("ff", 20)), quoted("80" + strings.Repeat("00", 19)), null}},
}

// nullPartition makes every column null where b is.
func nullPartition(t *testing.T, m *made) {
	first := wide(m.kind.columns, 1, m.kind.rows(), 0)
	for r, cells := range first.rows {
		if cells[1].want == nil {
			for c := range cells[1:] {
				first.rows[r][c+1] = null
			}
		}
	}
	args := m.args(t, first)
	m.load(t, first, args...)
	m.was(t, first)
	// One of the three partitions is swapped.
	m.after = first.where(func(r row) bool { return r[1].want != true })
	trues := wide(m.kind.columns, 101, m.kind.rows(), 2).where(func(r row) bool { return r[1].want == true })
	m.load(t, trues, args...)
	m.after = m.after.and(trues)
}

func namedOddly(t *testing.T, m *made) {
	first := wide(m.kind.columns, 1, 30, 0)
	second := wide(m.kind.columns, 101, 30, 0)
	args := m.args(t, first)
	m.load(t, first, args...)
	m.was(t, first)
	m.load(t, second, args...)
	m.after = second
}

// schemaChanged has rows in files from before columns were added, renamed, dropped, widened and moved, and
// in files from after.
func schemaChanged(t *testing.T, m *made) {
	old := []column{
		columns[0],
		{"day", "date", "", "DATE", byText, nil},
		{"n", "int", "", "INTEGER", byNumber, nil},
		{"x", "float", "", "FLOAT", byFloat, nil},
		{"price", "decimal(5, 2)", "", "DECIMAL(5,2)", byNumber, nil},
		{"gone", "string", "", "VARCHAR", byText, nil},
		{"was", "string", "", "VARCHAR", byText, nil},
	}
	cells := func(id, day, n, x, price string, texts ...value) row {
		return append(row{num(id), quoted(day), num(n), float(x), num(price)}, texts...)
	}
	before := model{columns: old, rows: []row{
		cells("1", "2024-01-01", "7", "0.5", "1.25", null, str("b")),
		cells("2", "2024-01-02", "-2147483648", "-1.5", "-999.99", null, str("c")),
		cells("3", "2024-01-03", "2147483647", "2.5", "999.99", str("dropped"), null),
	}}
	m.load(t, before, m.args(t, before)...)
	m.was(t, before)
	m.lake.icewright(t, "table", "alter", m.table, "--yes", "--widen-column", "n long", "--widen-column", "x double", "--widen-column", "price decimal(12, 2)",
		"--drop-column", "gone", "--rename-column", "was=is", "--add-column", "added int after day", "--move-column", "x after id")
	now := []column{
		columns[0],
		{"x", "double", "", "DOUBLE", byFloat, nil},
		{"day", "date", "", "DATE", byText, nil},
		{"added", "int", "", "INTEGER", byNumber, nil},
		{"n", "long", "", "BIGINT", byNumber, nil},
		{"price", "decimal(12, 2)", "", "DECIMAL(12,2)", byNumber, nil},
		{"is", "string", "", "VARCHAR", byText, nil},
	}
	more := model{columns: now, rows: []row{
		{num("4"), float("1e300"), quoted("2024-01-03"), num("44"), num("9223372036854775807"), num("9999999999.99"), str("d")},
		{num("5"), float("0.1"), quoted("2024-01-05"), null, num("-9223372036854775808"), num("0.01"), null},
	}}
	m.load(t, more)
	m.after = model{columns: now, rows: []row{
		{num("1"), float("0.5"), quoted("2024-01-01"), null, num("7"), num("1.25"), str("b")},
		{num("2"), float("-1.5"), quoted("2024-01-02"), null, num("-2147483648"), num("-999.99"), str("c")},
	}}.and(more)
}

// specChanged has files of three specs in one table.
func specChanged(t *testing.T, m *made) {
	cols := []column{columns[0], {"day", "date", "", "DATE", byText, nil}, {"s", "string", "", "VARCHAR", byText, nil}, {"amount", "int", "", "INTEGER", byNumber, nil}}
	days := func(from, n int) model {
		out := model{columns: cols}
		for i := range n {
			for k := range 3 {
				out.rows = append(out.rows, row{num(fmt.Sprint(from*10 + i*3 + k)), quoted(fmt.Sprintf("2024-01-%02d", from+i)), oddStrings[(i*3+k)%len(oddStrings)], num(fmt.Sprint(from - 10*k))})
			}
		}
		return out
	}
	one, two, three := days(1, 3), days(10, 2), days(20, 3)
	m.load(t, one, m.args(t, one)...)
	m.lake.icewright(t, "table", "alter", m.table, "--partition-by", "day, bucket(2, s)")
	m.load(t, two)
	m.was(t, one.and(two))
	m.lake.icewright(t, "table", "alter", m.table, "--partition-by", "truncate(2, s), day")
	m.load(t, three)
	m.after = one.and(two, three)
}

// straddled has a file of a coarser spec that a load under a finer one took rows out of: the others were written anew.
func straddled(t *testing.T, m *made) {
	cols := []column{columns[0], {"day", "date", "", "DATE", byText, nil}, {"s", "string", "", "VARCHAR", byText, nil}}
	rows := func(from int, days ...string) model {
		out := model{columns: cols}
		for i := range 4 * len(days) {
			out.rows = append(out.rows, row{num(fmt.Sprint(from + i)), quoted(days[i%len(days)]), oddStrings[i%len(oddStrings)]})
		}
		return out
	}
	first := rows(1, "2024-01-30", "2024-01-31", "2024-02-01", "2024-02-02").and(model{rows: []row{{num("99"), null, str("no day")}}})
	m.load(t, first, m.args(t, first)...)
	m.was(t, first)
	m.lake.icewright(t, "table", "alter", m.table, "--partition-by", "day, truncate(1, s)")
	more := rows(101, "2024-01-31", "2024-02-01")
	m.load(t, more, "--slice", "day in ('2024-01-31', '2024-02-01')")
	m.after = first.where(func(r row) bool { return r[1].want != "2024-01-31" && r[1].want != "2024-02-01" }).and(more)
}

// variants are columns of a type that version 3 alone has.
var variants = []column{
	columns[0],
	{"v", "variant", "", "VARIANT", unordered, []value{
		{`{"a": 1, "b": [true, null, "é"]}`, `{"a":1,"b":[true,null,"é"]}`},
		null,
		{`"text"`, `"text"`},
		{`-12.5`, `-12.5`},
		{`[]`, `[]`},
		{`{"z": {"y": {}}, "k": ""}`, `{"k":"","z":{"y":{}}}`},
		{`9223372036854775807`, `9223372036854775807`},
		{`false`, `false`},
	}},
}

// withDefaults has files that are older than columns with defaults.
func withDefaults(t *testing.T, m *made) {
	ids := model{columns: columns[:1], rows: []row{{num("1")}, {num("2")}}}
	m.load(t, ids, m.args(t, ids)...)
	m.was(t, ids)
	m.lake.icewright(t, "table", "alter", m.table, "--add-column", "qty int default 7", "--add-column", "since date default '1969-12-31'",
		"--add-column", "name string default 'n/a'")
	m.after = model{columns: []column{
		columns[0], {"qty", "int", "", "INTEGER", byNumber, nil}, {"since", "date", "", "DATE", byText, nil}, {"name", "string", "", "VARCHAR", byText, nil},
	}}
	more := model{columns: m.after.columns, rows: []row{{num("3"), num("3"), null, str("x")}}}
	m.load(t, more)
	m.after.rows = []row{{num("1"), num("7"), quoted("1969-12-31"), str("n/a")}, {num("2"), num("7"), quoted("1969-12-31"), str("n/a")}, more.rows[0]}
}
