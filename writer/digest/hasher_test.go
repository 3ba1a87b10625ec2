package digest

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"pgregory.net/rapid"
)

func testSchema() *iceberg.Schema {
	field := func(id int, name string, t iceberg.Type) iceberg.NestedField {
		return iceberg.NestedField{ID: id, Name: name, Type: t}
	}
	return iceberg.NewSchema(0,
		field(1, "b", iceberg.PrimitiveTypes.Bool),
		field(2, "i", iceberg.PrimitiveTypes.Int32),
		field(3, "l", iceberg.PrimitiveTypes.Int64),
		field(4, "f", iceberg.PrimitiveTypes.Float32),
		field(5, "d", iceberg.PrimitiveTypes.Float64),
		field(6, "dec", iceberg.DecimalTypeOf(20, 2)),
		field(7, "date", iceberg.PrimitiveTypes.Date),
		field(8, "ts", iceberg.PrimitiveTypes.Timestamp),
		field(9, "s", iceberg.PrimitiveTypes.String),
		field(10, "bin", iceberg.PrimitiveTypes.Binary),
		field(11, "u", iceberg.PrimitiveTypes.UUID),
		field(12, "st", &iceberg.StructType{FieldList: []iceberg.NestedField{
			field(13, "x", iceberg.PrimitiveTypes.Int64), field(14, "y", iceberg.PrimitiveTypes.String),
		}}),
		field(15, "li", &iceberg.ListType{ElementID: 16, Element: iceberg.PrimitiveTypes.Int64}),
		field(17, "ma", &iceberg.MapType{KeyID: 18, KeyType: iceberg.PrimitiveTypes.String, ValueID: 19, ValueType: iceberg.PrimitiveTypes.Int64}),
		field(20, "t", iceberg.PrimitiveTypes.Time),
	)
}

func fromJSON(t fataler, schema *iceberg.Schema, rows ...string) arrow.RecordBatch {
	as, err := table.SchemaToArrowSchema(schema, nil, true, false)
	if err != nil {
		t.Fatal(err)
	}
	rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, as, strings.NewReader("["+strings.Join(rows, ",")+"]"))
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

type fataler interface {
	Fatal(args ...any)
	Helper()
}

func sumOf(t fataler, schema *iceberg.Schema, rows ...string) Sum {
	t.Helper()
	return sumRec(t, schema, fromJSON(t, schema, rows...))
}

func sumRec(t fataler, schema *iceberg.Schema, rec arrow.RecordBatch) Sum {
	t.Helper()
	h, err := NewHasher(schema)
	if err != nil {
		t.Fatal(err)
	}
	return h.Sum(rec)
}

// Digests are stored in files and in snapshots: version 1 may never give another value.
func TestGoldenDigests(t *testing.T) {
	for _, c := range []struct{ row, want string }{
		{`{}`, "1:4e2c2dbe9e2b6c5d168b46a75efc81c8:1"},
		{`{"b": true}`, "1:632cb7e29d3e2fe3a4c33dc7d44d61a0:1"},
		{`{"i": 7}`, "1:23b7a522c02406b5116767f80ff106e6:1"},
		{`{"l": -7}`, "1:21572eac1a292c9171002a0817bcb7c2:1"},
		{`{"f": 1.5}`, "1:83abe170b3dbc6d945b94dd38a97f327:1"},
		{`{"d": 1.5}`, "1:8008d55cbc84f547423039e4ff311683:1"},
		{`{"dec": "-12345678901234567.89"}`, "1:d090bbc404544a338df13ba205071e50:1"},
		{`{"date": "2024-02-29"}`, "1:3bc3c4e87bcc203a79e89b3babe1b60a:1"},
		{`{"ts": "2024-02-29 12:30:00.123456"}`, "1:35e2ec6e9f4aafa6b0f2dbc3236247e8:1"},
		{`{"t": "12:30:00.123456"}`, "1:4c30fec0ee6bb3350a08d8c22320febe:1"},
		{`{"s": ""}`, "1:e4d2554708e5a43471d945ae6db0d1a1:1"},
		{`{"s": "größer"}`, "1:072291f6da4e05930fc880bb2b27918b:1"},
		{`{"bin": "AAEC"}`, "1:604ccdeeab1445f3f884efa6f03952b1:1"},
		{`{"u": "00112233-4455-6677-8899-aabbccddeeff"}`, "1:4d3ae8fd122b7e286c6f4442f6b88b6c:1"},
		{`{"st": {}}`, "1:1588b37a03ccae40f19cdaf702df9837:1"},
		{`{"st": {"x": 1, "y": "a"}}`, "1:505ee49e473f0157a0ea0835a6c4fbde:1"},
		{`{"li": []}`, "1:f046279c4b1f30f175e7d9700339631f:1"},
		{`{"li": [1, null, 3]}`, "1:d683ca13f1005995fef147d53e0cd482:1"},
		{`{"ma": [{"key": "a", "value": 1}, {"key": "b", "value": null}]}`, "1:169ca5c6c9f1891c3bbe20bcabc033d6:1"},
	} {
		if got := sumOf(t, testSchema(), c.row).String(); got != c.want {
			t.Errorf("digest of %s is %s, want %s", c.row, got, c.want)
		}
	}
}

func TestRowsThatDifferHaveOtherDigests(t *testing.T) {
	seen := map[Sum]string{}
	for _, row := range []string{
		`{}`, `{"i": 0}`, `{"l": 0}`, `{"b": false}`, `{"b": true}`, `{"d": 0.0}`, `{"f": 0.0}`, `{"s": ""}`, `{"bin": ""}`,
		`{"s": "a"}`, `{"bin": "YQ=="}`, `{"i": 1}`, `{"l": 1}`, `{"i": 1, "l": 2}`, `{"i": 2, "l": 1}`,
		`{"st": {}}`, `{"st": {"x": 0}}`, `{"st": {"x": 1, "y": "2"}}`, `{"st": {"x": 2, "y": "1"}}`,
		`{"li": []}`, `{"li": [null]}`, `{"li": [null, null]}`, `{"li": [0]}`, `{"li": [1, 2]}`, `{"li": [2, 1]}`,
		`{"ma": []}`, `{"ma": [{"key": "a", "value": null}]}`, `{"ma": [{"key": "a", "value": 0}]}`,
		`{"ma": [{"key": "a", "value": 1}, {"key": "b", "value": 2}]}`,
		`{"ma": [{"key": "a", "value": 2}, {"key": "b", "value": 1}]}`,
		`{"dec": "0.01"}`, `{"dec": "-0.01"}`, `{"dec": "184467440737095516.16"}`,
		`{"date": "1970-01-02"}`, `{"ts": "1970-01-01 00:00:00.000001"}`, `{"t": "00:00:00.000001"}`,
	} {
		sum := sumOf(t, testSchema(), row)
		if other, ok := seen[sum]; ok {
			t.Errorf("%s and %s have the same digest", row, other)
		}
		seen[sum] = row
	}
}

// A sum over rows alone would not tell apart rows that have exchanged a value.
func TestExchangedValuesChangeTheDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		x, y := rapid.StringMatching(`[a-z]{0,3}`).Draw(t, "x"), rapid.StringMatching(`[a-z]{0,3}`).Draw(t, "y")
		row := func(l int64, s string) string { return fmt.Sprintf(`{"l": %d, "s": %q}`, l, s) }
		one := sumOf(t, testSchema(), row(a, x), row(b, y))
		other := sumOf(t, testSchema(), row(b, x), row(a, y))
		if same := a == b || x == y; same != (one == other) {
			t.Fatalf("rows %s %s and with l exchanged: digests equal %v, want %v", row(a, x), row(b, y), one == other, same)
		}
	})
}

func drawRow(t *rapid.T) string {
	var parts []string
	add := func(name, value string) {
		if rapid.IntRange(0, 3).Draw(t, name+" there") > 0 {
			parts = append(parts, fmt.Sprintf("%q: %s", name, value))
		}
	}
	add("l", fmt.Sprint(rapid.Int64().Draw(t, "l")))
	add("b", fmt.Sprint(rapid.Bool().Draw(t, "b")))
	add("s", fmt.Sprintf("%q", rapid.StringMatching(`[a-zäöü/%]{0,20}`).Draw(t, "s")))
	add("dec", fmt.Sprintf(`"%d.%02d"`, rapid.Int32().Draw(t, "dec"), rapid.IntRange(0, 99).Draw(t, "cents")))
	add("st", fmt.Sprintf(`{"x": %d}`, rapid.Int64().Draw(t, "x")))
	add("li", strings.ReplaceAll(fmt.Sprint(rapid.SliceOfN(rapid.Int64(), 0, 4).Draw(t, "li")), " ", ","))
	add("ma", fmt.Sprintf(`[{"key": "a", "value": %d}, {"key": "b", "value": null}]`, rapid.Int64().Draw(t, "ma")))
	return "{" + strings.Join(parts, ",") + "}"
}

func TestOrderAndBatchesDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(drawRow), 1, 12).Draw(t, "rows")
		want := sumOf(t, testSchema(), rows...)
		if got := sumOf(t, testSchema(), rapid.Permutation(rows).Draw(t, "shuffled")...); got != want {
			t.Fatalf("shuffled rows have digest %s, in order %s", got, want)
		}
		rec := fromJSON(t, testSchema(), rows...)
		at := int64(rapid.IntRange(0, len(rows)).Draw(t, "split"))
		parts := sumRec(t, testSchema(), rec.NewSlice(0, at)).Add(sumRec(t, testSchema(), rec.NewSlice(at, rec.NumRows())))
		if parts != want {
			t.Fatalf("batches split at %d have digest %s, whole %s", at, parts, want)
		}
		if want.Rows != int64(len(rows)) {
			t.Fatalf("digest of %d rows counts %d", len(rows), want.Rows)
		}
	})
}

func TestColumnsMayComeInAnyOrderOrBeMissing(t *testing.T) {
	rec := fromJSON(t, testSchema(), `{"i": 1, "s": "x", "d": 2.5}`)
	want := sumRec(t, testSchema(), rec)
	var fields []arrow.Field
	var cols []arrow.Array
	for i := int(rec.NumCols()) - 1; i >= 0; i-- {
		if rec.Column(i).NullN() == 0 {
			fields, cols = append(fields, rec.Schema().Field(i)), append(cols, rec.Column(i))
		}
	}
	got := sumRec(t, testSchema(), array.NewRecordBatch(arrow.NewSchema(fields, nil), cols, 1))
	if got != want {
		t.Errorf("three columns, last first: digest %s, want %s", got, want)
	}
}

func TestPhysicalTypesDoNotMatter(t *testing.T) {
	pair := func(name string, a, b iceberg.Type, row string) {
		t.Helper()
		of := func(typ iceberg.Type) Sum {
			return sumOf(t, iceberg.NewSchema(0, iceberg.NestedField{ID: 5, Name: "v", Type: typ}), row)
		}
		if of(a) != of(b) {
			t.Errorf("%s: digests of %s differ", name, row)
		}
	}
	pair("int and long", iceberg.PrimitiveTypes.Int32, iceberg.PrimitiveTypes.Int64, `{"v": -3}`)
	pair("float and double", iceberg.PrimitiveTypes.Float32, iceberg.PrimitiveTypes.Float64, `{"v": 0.25}`)
	pair("decimals", iceberg.DecimalTypeOf(9, 2), iceberg.DecimalTypeOf(38, 2), `{"v": "-1.25"}`)

	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 5, Name: "v", Type: iceberg.PrimitiveTypes.String})
	want := sumOf(t, schema, `{"v": "a"}`, `{"v": null}`, `{"v": "b"}`, `{"v": "a"}`)
	dict := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	for _, typ := range []arrow.DataType{dict, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.StringView} {
		arr, _, err := array.FromJSON(memory.DefaultAllocator, typ, strings.NewReader(`["a", null, "b", "a"]`))
		if err != nil {
			t.Fatal(err)
		}
		rec := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "v", Type: typ, Nullable: true}}, nil), []arrow.Array{arr}, 4)
		if got := sumRec(t, schema, rec); got != want {
			t.Errorf("%s: digest %s, want %s", typ, got, want)
		}
	}
}

func TestNaNsAreAlikeAndZerosAreNot(t *testing.T) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 5, Name: "v", Type: iceberg.PrimitiveTypes.Float64})
	of := func(v float64) Sum {
		b := array.NewFloat64Builder(memory.DefaultAllocator)
		b.Append(v)
		return sumRec(t, schema, array.NewRecordBatch(
			arrow.NewSchema([]arrow.Field{{Name: "v", Type: arrow.PrimitiveTypes.Float64}}, nil), []arrow.Array{b.NewArray()}, 1))
	}
	if of(math.NaN()) != of(math.Float64frombits(0xfff8000000000123)) {
		t.Error("two NaNs have different digests")
	}
	if of(0) == of(math.Copysign(0, -1)) {
		t.Error("0.0 and -0.0 have the same digest")
	}
}

func TestSumsAddAndParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Sum{Rows: rapid.Int64Range(0, math.MaxInt64).Draw(t, "rows"), Hi: rapid.Uint64().Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
		if got, ok := Parse(s.String()); !ok || got != s {
			t.Fatalf("Parse(%q) = %v, %v", s.String(), got, ok)
		}
	})
	for _, text := range []string{"", "1:", "2:00000000000000000000000000000000:0", "1:00000000000000000000000000000000:0 ", "1:0:0"} {
		if s, ok := Parse(text); ok {
			t.Errorf("Parse(%q) = %v, want none", text, s)
		}
	}
}

func BenchmarkSum(b *testing.B) {
	rows := make([]string, 4096)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"l": %d, "i": %d, "d": %d.5, "s": "value %d", "date": "2024-01-%02d", "b": true}`, i, i%7, i, i, i%28+1)
	}
	rec := fromJSON(b, testSchema(), rows...)
	h, err := NewHasher(testSchema())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		h.Sum(rec)
	}
	b.ReportMetric(float64(len(rows)*b.N)/b.Elapsed().Seconds(), "rows/s")
}
