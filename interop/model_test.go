//go:build interop

package interop

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// value is one cell as the input spells it and as every reader must give it back, in the
// canonical form of reader/canon.py.
type value struct {
	in   string // JSON text, for NDJSON input
	want any    // nil, bool, string, []any or map[string]any
}

var null = value{"null", nil}

// column is a column of the model: the spelling of its type for icewright (--schema), for
// PyIceberg and for DuckDB, and the values that its rows take in turn.
type column struct {
	name   string
	yaml   string
	py     string // "" as in yaml
	duck   string
	kind   kind
	values []value
}

// typeIn is the column's type as an engine spells it.
func (c column) typeIn(engine string) string {
	switch engine {
	case "duckdb":
		return c.duck
	case "spark", "spark35":
		return sparkType(c.yaml)
	case "trino":
		return trinoType(c.yaml)
	default:
		return c.yaml
	}
}

// kind is how the canonical values of a column are ordered.
type kind int

const (
	unordered kind = iota // nested: no filters
	byBool
	byNumber
	byFloat
	byText // dates, strings, UUIDs and hex, whose texts sort as their values do
	byUnits
)

func quoted(text string) value { return value{strconv.Quote(text), text} }

// str is a string value, with every character as JSON wants it.
func str(text string) value {
	in, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return value{string(in), text}
}

func num(in string) value { return value{in, in} }

func units(in string, want int64, unit string) value {
	return value{strconv.Quote(in), strconv.FormatInt(want, 10) + unit}
}

func float(in string) value {
	v, err := strconv.ParseFloat(strings.Trim(in, `"`), 64)
	if err != nil {
		panic(err) // the literals are below
	}
	return floatOf(in, v)
}

func float32Of(in string) value {
	v, err := strconv.ParseFloat(strings.Trim(in, `"`), 32)
	if err != nil {
		panic(err)
	}
	return floatOf(in, float64(float32(v)))
}

func floatOf(in string, v float64) value {
	if math.IsNaN(v) {
		return value{in, "nan"}
	}
	return value{in, fmt.Sprintf("%016x", math.Float64bits(v))}
}

func object(in string, pairs ...any) value {
	m := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return value{in, m}
}

func list(in string, items ...any) value {
	if items == nil {
		items = []any{}
	}
	return value{in, items}
}

// strings that have broken partition paths, bounds or null handling somewhere.
var oddStrings = []value{
	str("a"), null, str(""), str("null"), str("NULL"), str("__HIVE_DEFAULT_PARTITION__"),
	str("a/b=c&d%20e+f g"), str("ünï漢字🧊"), str("\x00\x01\t\n\"'\\"), str("."), str(".."), str(" a "),
	str(strings.Repeat("漢", 30)), str(strings.Repeat("\U0010ffff", 20)), str("a#b?c:d*e|f"),
}

// columns are those of the wide table. Counts of values are pairwise different, so that
// rows combine them in many ways.
var columns = []column{
	{"id", "long!", "long", "BIGINT", byNumber, nil}, // the row's number
	{"b", "boolean", "", "BOOLEAN", byBool, []value{{"true", true}, null, {"false", false}}},
	// The least values are those that truncate does not carry out of their type: there Java
	// wraps around and PyIceberg does not.
	{"i", "int", "", "INTEGER", byNumber, []value{num("0"), num("-2147483640"), null, num("2147483647"), num("-1")}},
	{"l", "long", "", "BIGINT", byNumber, []value{num("9223372036854775807"), num("7"), null, num("-9223372036854775000"), num("-8"), num("1099511627776")}},
	{"f", "float", "", "FLOAT", byFloat, []value{float32Of("1.5"), null, float32Of("-0.1"), float32Of("3.4e38"), float32Of("0")}},
	{"d", "double", "", "DOUBLE", byFloat, []value{float("0.1"), float("-1e300"), null, float("5e-324"), float("0"), float("123456.789")}},
	{"dec", "decimal(12, 2)", "", "DECIMAL(12,2)", byNumber, []value{num("12.50"), num("-0.01"), null, num("9999999999.99"), num("-9999999999.99"), num("0.00"), num("3.10")}},
	// No small values here: DuckDB 1.4.4 reads bounds of decimals over 18 digits wrongly when
	// they take less than 9 bytes, in PyIceberg's own tables too.
	{"wide", "decimal(38, 10)", "", "DECIMAL(38,10)", byNumber, []value{num("1234567890123456789012345678.0123456789"), null, num("-1234567890123456789012345678.0123456789"), num("12345678901234567890.1000000000")}},
	{"day", "date", "", "DATE", byText, []value{quoted("2024-02-29"), quoted("1969-12-31"), null, quoted("1970-01-01"), quoted("1815-06-18"), quoted("2199-12-31"), quoted("2024-03-01")}},
	{"tod", "time", "", "TIME", byUnits, []value{units("00:00:00", 0, "us"), units("23:59:59.999999", 86399999999, "us"), null, units("12:34:56.5", 45296500000, "us")}},
	{"ts", "timestamp", "", "TIMESTAMP", byUnits, []value{
		units("2024-01-15T10:30:00", 1705314600000000, "us"), units("1969-12-31T23:59:59.999999", -1, "us"), null,
		units("2024-01-15T11:00:00.000001", 1705316400000001, "us"), units("1970-01-01T00:00:00", 0, "us"), units("1600-06-15T01:02:03", -11661749877000000, "us"),
	}},
	{"tz", "timestamptz", "", "TIMESTAMP WITH TIME ZONE", byUnits, []value{
		units("2024-01-15T23:30:00-08:00", 1705390200000000, "us"), units("2024-01-15T23:30:00Z", 1705361400000000, "us"), null,
		units("1969-12-31T23:59:59.5Z", -500000, "us"), units("2024-12-31T23:59:59.999999+00:00", 1735689599999999, "us"),
	}},
	{"s", "string", "", "VARCHAR", byText, oddStrings},
	{"u", "uuid", "", "UUID", byText, []value{quoted("f79c3e09-677c-4bbd-a479-3f349cb785e7"), null, quoted("00000000-0000-0000-0000-000000000000"), quoted("7fffffff-ffff-ffff-ffff-ffffffffffff"), quoted("80000000-0000-0000-0000-000000000001")}},
	{"fx", "fixed[4]", "", "BLOB", byText, []value{quoted("00000000"), quoted("ffffffff"), null, quoted("80cafe01")}},
	{"bin", "binary", "", "BLOB", byText, []value{quoted("00"), quoted(""), null, quoted("ffff"), quoted("cafe" + strings.Repeat("ff", 20)), quoted(strings.Repeat("ff", 24))}},
	{"nest", "struct<a: int, b: string, c: struct<d: date>>", "", "STRUCT(a INTEGER, b VARCHAR, c STRUCT(d DATE))", unordered, []value{
		object(`{"a":1,"b":"x","c":{"d":"2024-01-15"}}`, "a", "1", "b", "x", "c", map[string]any{"d": "2024-01-15"}), null,
		object(`{"a":null,"b":"","c":null}`, "a", nil, "b", "", "c", nil),
		object(`{"b":"only"}`, "a", nil, "b", "only", "c", nil),
		object(`{"a":2,"c":{}}`, "a", "2", "b", nil, "c", map[string]any{"d": nil}),
	}},
	{"lst", "list<string>", "", "VARCHAR[]", unordered, []value{list(`["a",null,""]`, "a", nil, ""), list(`[]`), null, list(`["null"]`, "null")}},
	{"mp", "map<string, long>", "", "MAP(VARCHAR, BIGINT)", unordered, []value{
		list(`{"k":1,"l":null}`, []any{"k", "1"}, []any{"l", nil}), list(`{}`), null, list(`{"":-1}`, []any{"", "-1"}),
	}},
	{"deep", "list<struct<k: string, v: map<string, decimal(9, 3)>>>", "", "STRUCT(k VARCHAR, v MAP(VARCHAR, DECIMAL(9,3)))[]", unordered, []value{
		list(`[{"k":"a","v":{"x":1.250}},{"k":null,"v":null}]`, map[string]any{"k": "a", "v": []any{[]any{"x", "1.250"}}}, map[string]any{"k": nil, "v": nil}),
		null, list(`[null]`, nil), list(`[{"k":"b","v":{}}]`, map[string]any{"k": "b", "v": []any{}}),
	}},
}

// nanoColumns exist from format version 3 on.
var nanoColumns = []column{
	{"tsn", "timestamp_ns", "", "TIMESTAMP_NS", byUnits, []value{
		units("2024-01-15T10:30:00.123456789", 1705314600123456789, "ns"), null, units("1969-12-31T23:59:59.999999999", -1, "ns"),
	}},
}

// model is what a table must hold: rows by id.
type model struct {
	columns []column
	rows    []row
}

// row is one row: its cells in the order of the model's columns.
type row []value

// wide returns a model with n rows of every column, numbered from first; seed moves the
// values against each other, so that two seeds share ids but not contents.
func wide(cols []column, first, n, seed int) model {
	m := model{columns: cols}
	for r := range n {
		cells := make(row, len(cols))
		for c, col := range cols {
			if col.name == "id" {
				cells[c] = num(strconv.Itoa(first + r))
				continue
			}
			cells[c] = col.values[(r+seed*(c+1))%len(col.values)]
		}
		m.rows = append(m.rows, cells)
	}
	return m
}

// schema is the model's schema as a YAML file for --schema.
func (m model) schema() string {
	var b strings.Builder
	b.WriteString("columns:\n")
	for _, c := range m.columns {
		fmt.Fprintf(&b, "  %s: %s\n", c.name, strconv.Quote(c.yaml))
	}
	return b.String()
}

// ndjson is the model's rows as NDJSON. Every third row leaves its nulls out.
func (m model) ndjson() string {
	var b strings.Builder
	for r, cells := range m.rows {
		sep := "{"
		for c, v := range cells {
			if v.want == nil && r%3 == 2 {
				continue
			}
			fmt.Fprintf(&b, "%s%q:%s", sep, m.columns[c].name, v.in)
			sep = ","
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// where returns the rows that keep chooses.
func (m model) where(keep func(row) bool) model {
	out := model{columns: m.columns}
	for _, r := range m.rows {
		if keep(r) {
			out.rows = append(out.rows, r)
		}
	}
	return out
}

func (m model) and(others ...model) model {
	out := model{columns: m.columns, rows: slices.Clone(m.rows)}
	for _, o := range others {
		out.rows = append(out.rows, o.rows...)
	}
	return out
}

// asReadBy is the model with the foreign reader's own defects in it: PyIceberg 0.12 gives
// an empty list for a list of structs that is null, in its own tables too.
func (m model) asReadBy(engine string) model {
	if engine != "pyiceberg" {
		return m
	}
	out := model{columns: m.columns}
	for _, r := range m.rows {
		r = slices.Clone(r)
		for c, v := range r {
			if v.want == nil && strings.HasPrefix(m.columns[c].yaml, "list<struct") {
				r[c].want = []any{}
			}
		}
		out.rows = append(out.rows, r)
	}
	return out
}

// withoutDefaults is the model of withDefaults, as one reads it who knows no defaults.
func (m model) withoutDefaults() model {
	out := model{columns: m.columns}
	for _, r := range m.rows {
		r = slices.Clone(r)
		if r[0].in == "1" || r[0].in == "2" { // those of the first load
			for c := range r[1:] {
				r[c+1] = null
			}
		}
		out.rows = append(out.rows, r)
	}
	return out
}

// canonical is the model as one text a row, sorted.
func (m model) canonical() []string {
	var out []string
	for _, r := range m.rows {
		cells := make([]any, len(r))
		for i, v := range r {
			cells[i] = v.want
		}
		out = append(out, canonicalText(cells))
	}
	slices.Sort(out)
	return out
}

func canonicalText(v any) string {
	text, err := json.Marshal(v) // maps come out sorted by key
	if err != nil {
		panic(err) // only JSON values get here
	}
	return string(text)
}

// filter is a predicate on one column, as the readers take it.
type filter struct {
	Column string   `json:"column"`
	Op     string   `json:"op"`
	Values []any    `json:"values"`
	want   int      // how many rows of the model match
	old    bool     // a literal is before 1970
	uuids  bool     // the column is of UUIDs
	texts  bool     // the column is of strings
	text   []string // canonical literals
}

func (f filter) String() string { return fmt.Sprintf("%s %s %v", f.Column, f.Op, f.text) }

// filters returns predicates on every ordered column, with how many rows of the model
// match each: `is null`, `is not null`, = for a literal that does not occur, and for some that do
// =, in, <=, <, >=. NaN matches none; that engines order it differently is not asked, nor are
// infinities, which no JSON number says.
func (m model) filters() []filter {
	var out []filter
	for c, col := range m.columns {
		if col.kind == unordered {
			continue
		}
		var literals []value
		numbers := true
		for _, r := range m.rows {
			numbers = numbers && r[c].want != "nan"
			if v := r[c]; v.want != nil && v.want != "nan" && v.want != "7ff0000000000000" && v.want != "fff0000000000000" && !slices.ContainsFunc(literals, func(l value) bool { return l.want == v.want }) {
				literals = append(literals, v)
			}
		}
		slices.SortFunc(literals, func(a, b value) int { return col.kind.compare(a.want, b.want) })
		add := func(op string, match func(any) bool, vs ...value) {
			f := filter{Column: col.name, Op: op, uuids: col.yaml == "uuid", texts: col.yaml == "string"}
			for _, v := range vs {
				f.Values = append(f.Values, col.literal(v))
				f.text = append(f.text, fmt.Sprint(v.want))
				f.old = f.old || col.kind == byUnits && strings.HasPrefix(v.want.(string), "-")
			}
			for _, r := range m.rows {
				if r[c].want != "nan" && match(r[c].want) {
					f.want++
				}
			}
			out = append(out, f)
		}
		same := func(a any, b value) bool { return a != nil && b.want != "nan" && col.kind.compare(a, b.want) == 0 }
		add("is null", func(v any) bool { return v == nil })
		if numbers {
			add("is not null", func(v any) bool { return v != nil })
		}
		if absent, ok := col.absent(); ok {
			add("=", func(v any) bool { return same(v, absent) }, absent)
		}
		if len(literals) == 0 {
			continue
		}
		first, middle, last := literals[0], literals[len(literals)/2], literals[len(literals)-1]
		for _, l := range []value{first, last} {
			add("=", func(v any) bool { return same(v, l) }, l)
		}
		add("in", func(v any) bool { return same(v, first) || same(v, middle) }, first, middle)
		if col.kind == byBool {
			continue
		}
		for _, l := range []value{first, middle} {
			add("<=", func(v any) bool { return v != nil && col.kind.compare(v, l.want) <= 0 }, l)
		}
		for _, l := range []value{middle, last} {
			add("<", func(v any) bool { return v != nil && col.kind.compare(v, l.want) < 0 }, l)
			if numbers {
				add(">=", func(v any) bool { return v != nil && col.kind.compare(v, l.want) >= 0 }, l)
			}
		}
	}
	return out
}

// absent is a value that the model's columns of this type do not hold, but by chance.
func (c column) absent() (value, bool) {
	scale := 0
	if _, err := fmt.Sscanf(c.yaml, "decimal(%d, %d)", new(int), &scale); err == nil {
		if scale == 0 {
			return num("3"), true
		}
		return num("0." + strings.Repeat("0", scale-1) + "3"), true
	}
	var n int
	if _, err := fmt.Sscanf(c.yaml, "fixed[%d]", &n); err == nil {
		return quoted(strings.Repeat("7a", n)), true
	}
	v, ok := map[string]value{
		"int": num("3"), "long": num("3"), "float": float("0.375"), "double": float("0.375"), "date": quoted("2001-02-03"),
		"time": units("01:02:03", 3723000000, "us"), "timestamp": units("2001-02-03T04:05:06", 981173106000000, "us"),
		"timestamptz": units("2001-02-03T04:05:06Z", 981173106000000, "us"), "string": str("absent"),
		"uuid": quoted("12345678-1234-5678-1234-567812345678"), "binary": quoted("7a7a"),
	}[strings.TrimSuffix(c.yaml, "!")]
	return v, ok
}

// literal is a value as the filters of the readers take it.
func (c column) literal(v value) any {
	if c.kind == byFloat {
		return bits(v.want.(string)) // as the column has it: 0.1 is no float of 32 bits
	}
	var in any
	d := json.NewDecoder(strings.NewReader(v.in))
	d.UseNumber()
	if err := d.Decode(&in); err != nil {
		panic(err) // the literals are above
	}
	if n, ok := in.(json.Number); ok && c.kind == byNumber {
		return n.String() // 38 digits do not go through a float
	}
	return in
}

// compare orders two canonical values that are not null.
func (k kind) compare(a, b any) int {
	if k == byBool {
		return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
	}
	x, y := a.(string), b.(string)
	switch k {
	case byNumber, byUnits:
		return rational(x).Cmp(rational(y))
	case byFloat:
		return cmp.Compare(bits(x), bits(y))
	default:
		return cmp.Compare(x, y)
	}
}

func rational(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(strings.TrimRight(text, "nus"))
	if !ok {
		panic("not a number: " + text)
	}
	return r
}

func bits(text string) float64 {
	b, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		panic(err) // the canonical form of floats
	}
	return math.Float64frombits(b)
}
