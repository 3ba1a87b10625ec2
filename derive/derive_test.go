package derive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/internal/gendoc"
)

// tableText is the table that the examples are of.
var tableText = []struct{ name, typ string }{
	{"id", "long"},
	{"n", "int"},
	{"a", "string"},
	{"b", "string"},
	{"ts", "timestamptz"},
	{"at", "timestamp"},
	{"amount", "decimal(12, 2)"},
	{"day", "date"},
	{"ok", "boolean"},
	{"f", "float"},
	{"d", "double"},
	{"u", "uuid"},
	{"x", "binary"},
	{"t", "time"},
	{"ns", "timestamp_ns"},
	{"wide", "decimal(20, 2)"},
	{"fx", "fixed[2]"},
	{"zns", "timestamptz_ns"},
}

func testSchema(t testing.TB) *iceberg.Schema {
	var fields []iceberg.NestedField
	for i, c := range tableText {
		typ, err := arrowconv.ParseType(c.typ)
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: c.name, Type: typ})
	}
	return iceberg.NewSchema(0, fields...)
}

// examples are docs/derive.md's, and run. The hashes were computed by another program (see TestHashesAreForEver) and are for ever.
var examples = []struct{ fn, expr, row, result, typ string }{
	{"hash", "hash(id, n)", `{"id":7,"n":1}`, "d2bc7d0fb018e5df2b18f495825dc7ba", "string"},
	{"hash", "hash(a, b)", `{"a":"a","b":"bc"}`, "7914515ab82da58e3c74e850f5bac694", "string"},
	{"hash", "hash(a, b)", `{"a":"ab","b":"c"}`, "19f208dcbc402ec6025349fa968d42d0", "string"},
	{"hash", "hash(a)", `{"a":""}`, "9d1ad79533ff47fcea9a3a6250cc0077", "string"},
	{"hash", "hash(a)", `{}`, "ef05eed70559a8e748e8d7c6527d72a6", "string"},
	{"date", "date(ts, 'Europe/Berlin')", `{"ts":"2024-01-14T23:30:00Z"}`, "2024-01-15", "date"},
	{"date", "date(ts, 'Europe/Berlin')", `{"ts":"2024-06-30T21:59:59Z"}`, "2024-06-30", "date"},
	{"date", "date(ts, 'UTC')", `{"ts":"1969-12-31T23:59:59.999999Z"}`, "1969-12-31", "date"},
	{"date", "date(at)", `{"at":"2024-01-14 23:30:00"}`, "2024-01-14", "date"},
	{"date", "date(ts, 'UTC')", `{}`, "null", "date"},
	{"date", "date(cast(a as timestamptz), 'UTC')", `{"a":"2024-01-15 03:00:00"}`, "2024-01-15", "date"},
	{"date", "date(cast(a as timestamptz), 'America/New_York')", `{"a":"2024-01-15T03:00:00Z"}`, "2024-01-14", "date"},
	{"lower", "lower(a)", `{"a":"ÄRGER Σ"}`, "ärger σ", "string"},
	{"lower", "lower(a)", `{"a":"STRAẞE"}`, "straße", "string"},
	{"trim", "trim(a)", `{"a":"\t x y\u00a0"}`, "x y", "string"},
	{"trim", "trim(a)", `{"a":"  "}`, "", "string"},
	{"concat", "concat(a, '-', b)", `{"a":"x","b":"y"}`, "x-y", "string"},
	{"concat", "concat(a, b)", `{"a":"x"}`, "null", "string"},
	{"concat", "concat(cast(day as string), '/', cast(id as string))", `{"day":"2024-01-15","id":-7}`, "2024-01-15/-7", "string"},
	{"cast", "cast(a as decimal(12, 2))", `{"a":"12.25"}`, "12.25", "decimal(12, 2)"},
	{"cast", "cast(id as int)", `{"id":7}`, "7", "int"},
	{"cast", "cast(amount as string)", `{"amount":-1.5}`, "-1.50", "string"},
	{"cast", "cast(ok as string)", `{"ok":true}`, "true", "string"},
	{"cast", "cast(u as string)", `{"u":"F79C3E09-677C-4bbd-a479-3f349cb785e7"}`, "f79c3e09-677c-4bbd-a479-3f349cb785e7", "string"},
	{"cast", "cast(a as uuid)", `{"a":"f79c3e09-677c-4bbd-a479-3f349cb785e7"}`, "f79c3e09-677c-4bbd-a479-3f349cb785e7", "uuid"},
	{"source_file", "source_file()", `{}`, "in.ndjson", "string"},
	{"source_row", "source_row()", `{}`, "1", "long"},
	{"", "'it''s'", `{}`, "it's", "string"},
	{"", "-5", `{}`, "-5", "long"},
	{"", "true", `{}`, "true", "boolean"},
	{"", `trim(lower("a"))`, `{"a":" A "}`, "a", "string"},
}

// derived runs one expression over rows of NDJSON.
func derived(t testing.TB, expr, rows string, chunk int, reject func(arrowconv.Reject) error) (values []string, typ string, err error) {
	t.Helper()
	alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer func() {
		if t, ok := t.(*testing.T); ok {
			alloc.AssertSize(t, 0)
		}
	}()
	list, err := Parse([]string{"out=" + expr})
	if err != nil {
		return nil, "", err
	}
	read := testSchema(t)
	fields, err := list.Types(read, Texts{})
	if err != nil {
		return nil, "", err
	}
	fields[0].ID = 1000
	to := iceberg.NewSchema(0, append([]iceberg.NestedField{fields[0]}, read.Fields()...)...)
	p, err := list.Bind(read, to, Texts{}, alloc)
	if err != nil {
		return nil, "", err
	}
	in := arrowconv.Input{Name: "in.ndjson", Reader: strings.NewReader(rows)}
	o := arrowconv.Options{Format: arrowconv.NDJSON, Alloc: alloc, ChunkBytes: chunk, OnReject: reject}
	for b, err := range p.Rows(arrowconv.Read(context.Background(), in, read, o), reject) {
		if err != nil {
			return values, "", err
		}
		if b.NumCols() != int64(len(tableText)+1) {
			t.Fatalf("%d columns", b.NumCols())
		}
		for i := range int(b.NumRows()) {
			v := "null"
			if b.Column(0).IsValid(i) {
				v = b.Column(0).ValueStr(i)
			}
			values = append(values, v)
		}
		b.Release()
	}
	return values, arrowconv.FormatType(fields[0].Type), nil
}

func TestExamples(t *testing.T) {
	seen := map[string]string{}
	for _, e := range examples {
		got, typ, err := derived(t, e.expr, e.row+"\n", 0, nil)
		if err != nil || len(got) != 1 || got[0] != e.result || typ != e.typ {
			t.Errorf("%s of %s is %q (%s), not %q (%s): %v", e.expr, e.row, got, typ, e.result, e.typ, err)
		}
		if e.fn == "hash" {
			if other, ok := seen[e.result]; ok {
				t.Errorf("%s and %s have one hash", e.row, other)
			}
			seen[e.result] = e.row
		}
	}
	for _, f := range Functions {
		if !slices.ContainsFunc(examples, func(e struct{ fn, expr, row, result, typ string }) bool { return e.fn == f.Name }) {
			t.Errorf("%s() has no example", f.Name)
		}
	}
}

// TestHashesAreForEver holds the bytes that are hashed, type by type. The right sides were made by Python's struct and
// hashlib from the words of docs/derive.md. A change here changes the keys of rows in tables: there is none to make.
func TestHashesAreForEver(t *testing.T) {
	for _, c := range []struct{ expr, row, want string }{
		{`hash(id, n)`, `{"id":7,"n":1}`, "d2bc7d0fb018e5df2b18f495825dc7ba"},
		{`hash(a, b)`, `{"a":"a","b":"bc"}`, "7914515ab82da58e3c74e850f5bac694"},
		{`hash(a, b)`, `{"a":"ab","b":"c"}`, "19f208dcbc402ec6025349fa968d42d0"},
		{`hash(a)`, `{"a":""}`, "9d1ad79533ff47fcea9a3a6250cc0077"},
		{`hash(a)`, `{}`, "ef05eed70559a8e748e8d7c6527d72a6"},
		{`hash(id)`, `{"id":-9223372036854775808}`, "e1889948906d8bcc7f7c7f90f670b04d"},
		{`hash(n)`, `{"n":-1}`, "f484bca0dd5437de81dcac61ccce60cb"},
		{`hash(a)`, `{"a":"Größe 😀"}`, "b2b0704e1c2a08a19dafbf55afc911ba"},
		{`hash(ok)`, `{"ok":true}`, "cf433c1d0a60c2a13efa24d4b14a8938"},
		{`hash(ok)`, `{"ok":false}`, "24a8765937a173fc35f3a470b57ef3b9"},
		{`hash(f)`, `{"f":1.5}`, "aef8c9aa1a9d60735e29ae038f5352ae"},
		{`hash(d)`, `{"d":-0.1}`, "135f481978ae2f6efc3e5d3336827c00"},
		{`hash(d)`, `{"d":"NaN"}`, "3f6a5fe752cf7f523f89a303561f7dd0"},
		{`hash(amount)`, `{"amount":-12.5}`, "076bd8fafda6132629e78d826fa0752d"},
		{`hash(wide)`, `{"wide":123456789012345678.25}`, "6aa70605104412fb4f402b5fd7796d31"},
		{`hash(day)`, `{"day":"2024-01-15"}`, "52823e0db98a3e9d93e87520abfd3434"},
		{`hash(t)`, `{"t":"12:30:00.5"}`, "22f050de17b69e7d92f39883d522db49"},
		{`hash(at)`, `{"at":"2024-01-15 12:30:00"}`, "24cefc4d15dab8450d7e9ec89333aa76"},
		{`hash(ts)`, `{"ts":"2024-01-15T12:30:00+01:00"}`, "9d87bfc7f5c638dd1534a8a4d6ba9eb4"},
		{`hash(ns)`, `{"ns":"2024-01-15 12:30:00.000000001"}`, "3fa55be7cdc9a91e71c55d7225a11ffb"},
		{`hash(zns)`, `{"zns":"1969-12-31T23:59:59.999999999Z"}`, "f30e655728011cc0de5132a5bf4fba3d"},
		{`hash(u)`, `{"u":"f79c3e09-677c-4bbd-a479-3f349cb785e7"}`, "faf6115b1aa1585ad1170cd4e6777bfe"},
		{`hash(x)`, `{"x":"00ff"}`, "5891471026f3b32a29d5a10bd98fdf27"},
		{`hash(fx)`, `{"fx":"00ff"}`, "5891471026f3b32a29d5a10bd98fdf27"},
		{`hash(a, id, day)`, `{"id":7}`, "e9158108da45ad13c4e017263e84d37a"},
		{`hash('x', 5, true)`, `{}`, "379cc321be84bf3de4f07db13d7fb395"},
	} {
		got, _, err := derived(t, c.expr, c.row+"\n", 0, nil)
		if err != nil || len(got) != 1 || got[0] != c.want {
			t.Errorf("%s of %s is %q, not %s: %v", c.expr, c.row, got, c.want, err)
		}
	}
}

// TestWiderTypesKeepKeys: what Iceberg may widen, int to long, float to double and decimals, has the same hash.
func TestWiderTypesKeepKeys(t *testing.T) {
	for _, pair := range [][3]string{
		{"hash(n)", "hash(id)", `{"n":-7,"id":-7}`},
		{"hash(f)", "hash(d)", `{"f":1.5,"d":1.5}`},
		{"hash(amount)", "hash(wide)", `{"amount":1.5,"wide":1.5}`},
		{"hash(7)", "hash(id)", `{"id":7}`},
	} {
		x, _, err := derived(t, pair[0], pair[2]+"\n", 0, nil)
		y, _, err2 := derived(t, pair[1], pair[2]+"\n", 0, nil)
		if err != nil || err2 != nil || x[0] != y[0] {
			t.Errorf("%v: %v %v %v %v", pair, x, y, err, err2)
		}
	}
}

// TestChunks: however the input is cut up, rows have the same values and the same numbers, also past bad rows of
// either kind, and every bad row is reported once, in order.
func TestChunks(t *testing.T) {
	var rows strings.Builder
	for i := 1; i <= 500; i++ {
		switch {
		case i%50 == 0:
			rows.WriteString("{\"id\":\"no number\"}\n")
		case i%7 == 0:
			fmt.Fprintf(&rows, "{\"id\":%d,\"a\":\"x%d\"}\n", i, i)
		default:
			fmt.Fprintf(&rows, "{\"id\":%d,\"a\":\"%d\"}\n", i, i)
		}
	}
	for _, expr := range []string{"concat(cast(cast(a as long) as string), '@', cast(source_row() as string))"} {
		for _, chunk := range []int{100, 1000, 1 << 20} {
			var bad []int64
			got, _, err := derived(t, expr, rows.String(), chunk, func(r arrowconv.Reject) error {
				bad = append(bad, r.Row)
				if r.Row%50 != 0 && (r.Column != "out" || r.Value != fmt.Sprint("x", r.Row) || r.Want != "long" || !strings.Contains(string(r.Raw), `"id":`)) {
					t.Errorf("reject %+v", r)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			var wantBad []int64
			for i := int64(1); i <= 500; i++ {
				if i%50 == 0 || i%7 == 0 {
					wantBad = append(wantBad, i)
				} else {
					want = append(want, fmt.Sprintf("%d@%d", i, i))
				}
			}
			slices.Sort(bad) // within a batch, those of the reader come first
			if !slices.Equal(got, want) || !slices.Equal(bad, wantBad) {
				t.Errorf("chunks of %d: %v, bad %v", chunk, got, bad)
			}
		}
	}
}

// TestBadRowEndsTheRun, without a place for bad rows, and says where it is.
func TestBadRowEndsTheRun(t *testing.T) {
	_, _, err := derived(t, "cast(a as int)", "{\"a\":\"1\"}\n{\"a\":\"one\"}\n", 0, nil)
	if !errors.Is(err, arrowconv.ErrInput) || err.Error() != `in.ndjson: row 2: column "out": cannot read "one" as int` {
		t.Error(err)
	}
}

// TestWrong: what is wrong is said when the load begins, with what was meant.
func TestWrong(t *testing.T) {
	for _, c := range []struct{ expr, text, hint string }{
		{"now()", "there is no now(): it would give other values when the load is run again, as it depends on the clock", "take a time from the rows"},
		{"UUID()", "there is no uuid(): it would give other values when the load is run again, as it depends on chance", "hash(COLUMNS)"},
		{"row_number()", "as it depends on the order of all rows", "source_row()"},
		{"random()", "as it depends on chance", "hash(COLUMNS)"},
		{"hsah(id)", "there is no function hsah()", "did you mean hash()?"},
		{"upper(a)", "there is no function upper()", ""},
		{"lower(id)", "lower() takes texts, and one of its arguments is long", "cast(… as string)"},
		{"lower(a, b)", "lower() has 2 arguments", "write lower(text)"},
		{"concat()", "concat() has 0 arguments", "write concat(a, b, …)"},
		{"date(ts)", "a timestamptz has a day only in a time zone", "date(ts, 'Europe/Berlin')"},
		{"date(at, 'UTC')", "a timestamp without a zone is a local time already", "leave the zone out"},
		{"date(a, 'UTC')", "date() takes a timestamp, and its argument is string", "cast(… as timestamptz)"},
		{"date(ts, 'Europe/Berln')", `unknown time zone "Europe/Berln"`, "Europe/Berlin"},
		{"date(ts, 'Local')", `unknown time zone "Local"`, "Europe/Berlin"},
		{"date(ts, a)", "the zone is a text in single quotes", "date(ts, 'Europe/Berlin')"},
		{"hash(amuont)", `neither the table nor the input has a column "amuont"`, "did you mean amount?"},
		{"cast(a as lon)", "cast(): ", ""},
		{"cast(a)", "cast() names no type", "cast(amount as decimal(12, 2))"},
		{"cast(ts as string)", "cast(): timestamptz cannot become string", ""},
		{"cast(d as string)", "cast(): double cannot become string", ""},
		{"cast(ok as int)", "cast(): boolean cannot become int", ""},
		{"1.5", "1.5 is no whole number of 64 bits", "cast('1.50' as decimal(3, 2))"},
		{"'a", "a text has no end", "doubled"},
		{"hash(a", "a comma or ) should come before", "hash(a, b, …)"},
		{"hash(a) b", `"b" is left over`, "NAME=EXPRESSION"},
		{"null", "null has no type", ""},
		{"", "an expression is missing at the end", ""},
		{"out", `column "out" is derived itself`, "calls may be nested"},
		{strings.Repeat("trim(", 200) + "a" + strings.Repeat(")", 200), "nested more than 100 deep", ""},
	} {
		_, _, err := derived(t, c.expr, "", 0, nil)
		var bad *Error
		if !errors.As(err, &bad) || !strings.Contains(bad.Text, c.text) || !strings.Contains(bad.Advice, c.hint) {
			t.Errorf("%s: %v (%+v)", c.expr, err, bad)
		}
	}
	for _, text := range []string{"", "hash(a)", "=a", "1=a"} {
		if _, err := Parse([]string{text}); err == nil || !strings.Contains(err.Error(), "does not begin with a column's name") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Parse([]string{"a=b", "a=c"}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, e := range examples {
		f.Add("out=" + e.expr)
	}
	schema := testSchema(f)
	f.Fuzz(func(_ *testing.T, text string) {
		if list, err := Parse([]string{text}); err == nil {
			_, _ = list.Types(schema, Texts{})
		}
	})
}

func TestDocs(t *testing.T) {
	var rows [][]string
	for _, f := range Functions {
		rows = append(rows, []string{"`" + f.Form + "`", f.Text})
	}
	gendoc.Check(t, "docs/derive.md", "functions", gendoc.Table([]string{"function", "gives"}, rows...))
	rows = nil
	for _, e := range examples {
		result := "`" + e.result + "`"
		if e.result == "" {
			result = "the empty text"
		}
		rows = append(rows, []string{"`" + e.expr + "`", "`" + e.row + "`", result, e.typ})
	}
	gendoc.Check(t, "docs/derive.md", "examples", gendoc.Table([]string{"expression", "of the row", "gives", "type"}, rows...))
	var known []string
	for name, why := range fickle {
		known = append(known, "`"+name+"()` ("+why+")")
	}
	slices.Sort(known)
	gendoc.Check(t, "docs/derive.md", "refused", strings.Join(known, ", ")+".\n")
	if !strings.HasPrefix(unicode.Version, "15.") {
		t.Errorf("docs/derive.md says Unicode 15, and lower() goes by %s", unicode.Version)
	}
	gendoc.Proofs(t, "derive.TestHashesAreForEver", "derive.TestWiderTypesKeepKeys", "derive.TestChunks", "Scripts/derive")
}
