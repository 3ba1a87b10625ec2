package merge

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/arrowconv"
)

// fieldsOf are columns of the types, c0, c1 and so on.
func fieldsOf(t testing.TB, types ...string) *iceberg.Schema {
	t.Helper()
	text := "columns:\n"
	for i, typ := range types {
		text += fmt.Sprintf("  c%d: %q\n", i, typ)
	}
	schema, err := arrowconv.ParseSchema("s.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// csvRows are rows of texts as batches of schema.
func csvRows(t testing.TB, schema *iceberg.Schema, rows [][]string) arrow.RecordBatch {
	t.Helper()
	var text strings.Builder
	for _, f := range schema.Fields() {
		text.WriteString(f.Name + ",")
	}
	text.WriteString("z\n")
	schema = iceberg.NewSchema(0, append(slices.Clone(schema.Fields()), iceberg.NestedField{ID: 1000, Name: "z", Type: iceberg.PrimitiveTypes.String})...)
	for _, r := range rows {
		for _, v := range r {
			text.WriteString(`"` + strings.ReplaceAll(v, `"`, `""`) + `",`)
		}
		text.WriteString("z\n")
	}
	var recs []arrow.RecordBatch
	in := arrowconv.Input{Name: "rows", Reader: strings.NewReader(text.String())}
	for b, err := range arrowconv.Read(t.Context(), in, schema, arrowconv.Options{Format: arrowconv.CSV}) {
		if err != nil {
			t.Fatal(err)
		}
		recs = append(recs, b.RecordBatch)
	}
	if len(recs) != 1 {
		t.Fatalf("%d batches", len(recs))
	}
	return recs[0]
}

var keyValues = map[string][]string{
	"boolean": {"true", "false"}, "int": {"0", "1", "-1", "256", "2147483647", "-2147483648"}, "long": {"0", "1", "-1", "4294967296", "9223372036854775807"},
	"date": {"1970-01-01", "1969-12-31", "2024-02-29"}, "time": {"00:00:00", "23:59:59.999999"},
	"timestamp": {"2024-01-01T00:00:00", "1969-12-31T23:59:59.999999"}, "timestamptz": {"2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000001Z"},
	"decimal(38, 2)": {"0.00", "1.00", "-1.00", "999999999999999999999999999999999999.99"}, "decimal(5, 1)": {"0.0", "0.1", "-0.1"},
	"uuid":   {"00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000001", "ffffffff-ffff-ffff-ffff-ffffffffffff"},
	"string": {"", " ", "a", "A", "é", "e\u0301", "ß", "ss", "\u200b", "𝒳", "İ", "i̇", "null", "NaN", "a\x00b", "a\nb", "ﬁ", "fi", "0", "00"},
	"binary": {"", "00", "0000", "ff", "00ff"}, "fixed[3]": {"000000", "000001", "ffffff"}, "fixed[20]": {strings.Repeat("00", 20), strings.Repeat("00", 19) + "01"},
}

// Two rows have one fingerprint exactly where every column of the key has one value, whatever the types, how
// many there are, and how they are packed.
func TestFingerprints(t *testing.T) {
	var types []string
	for typ := range keyValues {
		types = append(types, typ)
	}
	slices.Sort(types)
	rapid.Check(t, func(rt *rapid.T) {
		chosen := rapid.SliceOfN(rapid.SampledFrom(types), 1, 4).Draw(rt, "types")
		schema := fieldsOf(t, chosen...)
		var rows [][]string
		for range rapid.IntRange(1, 20).Draw(rt, "rows") {
			var r []string
			for _, typ := range chosen {
				r = append(r, rapid.SampledFrom(keyValues[typ]).Draw(rt, typ))
			}
			rows = append(rows, r)
		}
		var names []string
		for _, f := range schema.Fields() {
			names = append(names, f.Name)
		}
		k, err := newKeys(schema, names, 1)
		if err != nil {
			rt.Fatal(err)
		}
		prints, null, _, err := k.of(nil, csvRows(t, schema, rows))
		if err != nil || null >= 0 {
			rt.Fatal(err, null)
		}
		x := newIndex(prints)
		first := map[string]int{}
		for i, r := range rows {
			name := fmt.Sprintf("%q", r)
			was, again := first[name]
			if !again {
				first[name], was = i, -1
			}
			if got := x.add(i); got != was {
				rt.Fatalf("row %d %s is said to be row %d, want %d", i, name, got, was)
			}
		}
		for name, i := range first {
			if got := x.find(prints[i]); got != i {
				rt.Fatalf("%s: found row %d, want %d", name, got, i)
			}
		}
	})
}

// An index of many keys finds them all, and no others.
func TestIndex(t *testing.T) {
	print := func(i int) fingerprint { return fingerprint{0, uint64(i) * 1000} }
	const n = 100_000
	var prints []fingerprint
	for i := range n {
		prints = append(prints, print(i))
	}
	x := newIndex(append(prints, print(7)))
	for i := range n {
		if got := x.add(i); got != -1 {
			t.Fatalf("row %d is said to be row %d", i, got)
		}
	}
	if got := x.add(n); got != 7 {
		t.Fatalf("the second row of a key is said to be row %d", got)
	}
	x.replace(7, n)
	for i := range n {
		want := i
		if i == 7 {
			want = n
		}
		if got := x.find(print(i)); got != want {
			t.Fatalf("key %d: found %d", i, got)
		}
		if x.find(fingerprint{1, uint64(i) * 1000}) >= 0 || x.find(print(n+i)) >= 0 {
			t.Fatalf("key %d: another one is found", i)
		}
	}
}

// Keys that were spilled together have bits of their hashes in common; an index of them is as quick as of others.
func TestIndexOfOneBucket(t *testing.T) {
	var prints []fingerprint
	for i := uint64(0); len(prints) < 20_000; i++ {
		if f := (fingerprint{0, i}); bucketOf(f) == 5 {
			prints = append(prints, f)
		}
	}
	x := newIndex(prints)
	for i := range prints {
		x.add(i)
	}
	longest, run := 0, 0
	for _, slot := range x.slots {
		if run++; slot == 0 {
			longest, run = max(longest, run-1), 0
		}
	}
	if longest > 200 {
		t.Errorf("%d neighbouring slots are taken", longest)
	}
}

// What is out of reach has none of the keys: ranges hold every value that was added, however many there were.
func TestReachHoldsEveryKey(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s spans[int64]
		values := rapid.SliceOfN(rapid.Int64(), 1, 300).Draw(rt, "values")
		for i, v := range values {
			s.add(v, compareNumbers)
			if i%37 == 0 {
				s.settle(compareNumbers)
			}
		}
		s.settle(compareNumbers)
		for _, v := range values {
			if !slices.ContainsFunc(s.ranges, func(r [2]int64) bool { return r[0] <= v && v <= r[1] }) {
				rt.Fatalf("%d is in none of %v", v, s.ranges)
			}
		}
	})
	var s spans[int64]
	for i := range int64(200_000) {
		s.add(i*i%1_000_003, compareNumbers)
	}
	if s.settle(compareNumbers); len(s.ranges) > reachRanges {
		t.Errorf("%d ranges", len(s.ranges))
	}
}

// What is spilled comes back in its place, as often as it is wanted.
func TestStore(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)
	s := &store{dir: t.TempDir(), memory: 300}
	for i := range int64(10) {
		b := array.NewInt64Builder(mem)
		b.AppendValues([]int64{i, i}, nil)
		a := b.NewArray()
		b.Release()
		if err := s.add(array.NewRecordBatch(schema, []arrow.Array{a}, 2)); err != nil {
			t.Fatal(err)
		}
		a.Release()
	}
	if err := s.seal(); err != nil {
		t.Fatal(err)
	}
	if len(s.kept) == 0 || s.spilled == 0 || len(s.kept)+s.spilled != 10 {
		t.Errorf("%d in memory, %d spilled", len(s.kept), s.spilled)
	}
	for range 2 {
		next := int64(0)
		for rec, err := range s.all() {
			if err != nil {
				t.Fatal(err)
			}
			if got := rec.Column(0).(*array.Int64).Value(1); got != next {
				t.Errorf("batch %d is %d", next, got)
			}
			next++
			rec.Release()
		}
		if next != 10 {
			t.Errorf("%d batches", next)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
}
