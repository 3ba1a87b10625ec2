package arrowconv

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	arrowvariant "github.com/apache/arrow-go/v18/parquet/variant"
	"github.com/apache/iceberg-go"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/variant"
)

var variantSchema = iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "v", Type: iceberg.VariantType{}})

// readVariants reads a column v of variants to the JSON of each, "" for null, and to the bytes of all. Rejects
// are "reject: " and why.
func readVariants(t testing.TB, in Input, format Format) (texts []string, raw []byte, err error) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	o := Options{Format: format, Alloc: mem, OnReject: func(r Reject) error {
		texts = append(texts, "reject: "+r.Column+": "+r.Reason)
		return nil
	}}
	for b, err := range Read(context.Background(), in, variantSchema, o) {
		if err != nil {
			return texts, raw, err
		}
		a := b.Column(0).(*extensions.VariantArray)
		for i := range a.Len() {
			if a.IsNull(i) {
				texts = append(texts, "")
				continue
			}
			m, v := a.Metadata().Value(i), a.UntypedValues().Value(i)
			text, err := variant.AppendJSON(nil, m, v)
			if err != nil {
				t.Fatal(err)
			}
			texts, raw = append(texts, string(text)), append(append(raw, m...), v...)
		}
		b.Release()
	}
	return texts, raw, nil
}

// anyJSON draws a value as encoding/json decodes it with UseNumber.
func anyJSON(r *rapid.T, depth int) any {
	most := 6
	if depth == 0 {
		most = 4
	}
	switch rapid.IntRange(0, most).Draw(r, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(r, "bool")
	case 2:
		return json.Number(rapid.StringMatching(`-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,12})?`).Draw(r, "number"))
	case 3:
		return json.Number(rapid.StringMatching(`-?[1-9]\.[0-9]{1,15}[eE][+-]?[0-9]{1,2}`).Draw(r, "double"))
	case 4:
		return rapid.String().Draw(r, "string")
	case 5:
		list := []any{}
		for range rapid.IntRange(0, 4).Draw(r, "length") {
			list = append(list, anyJSON(r, depth-1))
		}
		return list
	}
	object := map[string]any{}
	for _, key := range rapid.SliceOfNDistinct(rapid.StringN(0, 5, -1), 0, 4, rapid.ID).Draw(r, "keys") {
		object[key] = anyJSON(r, depth-1)
	}
	return object
}

// asValue makes numbers that are equal the same: exactly where they have no exponent, else as doubles.
func asValue(v any) any {
	switch v := v.(type) {
	case json.Number:
		if strings.ContainsAny(string(v), "eE") {
			f, _ := v.Float64()
			return f
		}
		n, _ := new(big.Rat).SetString(string(v))
		return n.RatString()
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = asValue(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k := range v {
			out[k] = asValue(v[k])
		}
		return out
	}
	return v
}

// spell writes a value as JSON with its keys in the order drawn, and odd spaces.
func spell(r *rapid.T, b *strings.Builder, v any) {
	space := func() { b.WriteString(rapid.SampledFrom([]string{"", " ", "\t", "  "}).Draw(r, "space")) }
	space()
	defer space()
	switch v := v.(type) {
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			spell(r, b, e)
		}
		space()
		b.WriteByte(']')
	case map[string]any:
		keys := []string{}
		for k := range v {
			keys = append(keys, k)
		}
		if len(keys) > 0 {
			keys = rapid.Permutation(keys).Draw(r, "order")
		}
		b.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				b.WriteByte(',')
			}
			spell(r, b, k)
			b.WriteByte(':')
			spell(r, b, v[k])
		}
		space()
		b.WriteByte('}')
	default:
		text, err := json.Marshal(v)
		if err != nil {
			r.Fatal(err)
		}
		b.Write(text)
	}
}

// A JSON value comes back equal, from NDJSON and from a CSV field alike, and neither spaces nor the order of
// keys change a byte of the variant.
func TestVariantsFromJSON(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		v := anyJSON(r, 4)
		var first, second strings.Builder
		spell(r, &first, v)
		spell(r, &second, v)
		lines := `{"v":` + first.String() + "}\n" + `{"v":` + second.String() + "}\n"
		texts, raw, err := readVariants(t, Input{Name: "in", Reader: strings.NewReader(lines)}, NDJSON)
		if err != nil || len(texts) != 2 {
			r.Fatalf("%v: %q of %s", err, texts, lines)
		}
		if texts[0] != texts[1] || !bytes.Equal(raw[:len(raw)/2], raw[len(raw)/2:]) {
			r.Fatalf("two spellings of one value differ:\n%s\n%s\n%x", texts[0], texts[1], raw)
		}
		var field bytes.Buffer
		w := csv.NewWriter(&field)
		_ = w.Write([]string{"v"})
		_ = w.Write([]string{first.String()})
		w.Flush()
		fromCSV, rawCSV, err := readVariants(t, Input{Name: "in", Reader: &field}, CSV)
		if err != nil || len(fromCSV) != 1 || fromCSV[0] != texts[0] || !bytes.Equal(rawCSV, raw[:len(raw)/2]) {
			r.Fatalf("%v: CSV has %q, NDJSON %q", err, fromCSV, texts[0])
		}
		if v == nil {
			if texts[0] != "" {
				r.Fatalf("null is %q", texts[0])
			}
			return
		}
		var got any
		dec := json.NewDecoder(strings.NewReader(texts[0]))
		dec.UseNumber()
		if err := dec.Decode(&got); err != nil || !reflect.DeepEqual(asValue(got), asValue(v)) {
			r.Fatalf("%v: %s comes back as %s", err, first.String(), texts[0])
		}
	})
}

// Parquet's variants are read whether they are shredded or not, and whether they are marked or mere structs.
func TestVariantsFromParquet(t *testing.T) {
	want := []string{`{"lat":1.5e+00,"lon":[1,"x"],"name":"here"}`, "", `"text"`, "", `{"lat":"north"}`}
	values := []string{`{"name":"here","lon":[1,"x"],"lat":1.5e0}`, "null", `"text"`, "", `{"lat":"north"}`}
	file := func(dt *extensions.VariantType, bare bool) []byte {
		b := extensions.NewVariantBuilder(memory.DefaultAllocator, dt)
		for _, text := range values {
			if text == "" {
				b.AppendNull()
				continue
			}
			v, err := arrowvariant.ParseJSON(text, false)
			if strings.Contains(text, "1.5e0") { // a double: arrow-go makes decimals of all
				var of arrowvariant.Builder
				start, fields := of.Offset(), []arrowvariant.FieldEntry{}
				fields = append(fields, of.NextField(start, "name"))
				_ = of.AppendString("here")
				fields = append(fields, of.NextField(start, "lon"))
				list := of.Offset()
				offsets := []int{of.NextElement(list)}
				_ = of.AppendInt(1)
				offsets = append(offsets, of.NextElement(list))
				_ = of.AppendString("x")
				_ = of.FinishArray(list, offsets)
				fields = append(fields, of.NextField(start, "lat"))
				_ = of.AppendFloat64(1.5)
				_ = of.FinishObject(start, fields)
				v, err = of.Build()
			}
			if err != nil {
				t.Fatal(err)
			}
			b.Append(v)
		}
		a := b.NewArray()
		if bare {
			a = a.(*extensions.VariantArray).Storage()
		}
		schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: a.DataType(), Nullable: true}}, nil)
		return parquetFileOf(t, array.NewRecordBatch(schema, []arrow.Array{a}, int64(len(values))), pqarrow.DefaultWriterProps())
	}
	shredded := extensions.NewShreddedVariantType(arrow.StructOf(
		arrow.Field{Name: "lat", Type: arrow.PrimitiveTypes.Float64}, arrow.Field{Name: "name", Type: arrow.BinaryTypes.String}))
	for name, data := range map[string][]byte{
		"whole": file(extensions.NewDefaultVariantType(), false), "shredded": file(shredded, false),
		"struct": file(extensions.NewDefaultVariantType(), true),
	} {
		in := Input{Name: "in", At: bytes.NewReader(data), Size: int64(len(data))}
		got, _, err := readVariants(t, in, Parquet)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %q\nwant %q", name, err, got, want)
		}
		if name == "struct" {
			continue
		}
		schema, err := Infer(t.Context(), in, InferOptions{Options: Options{Format: Parquet}})
		if err != nil || FormatType(schema.Field(0).Type) != "variant" {
			t.Errorf("%s: inferred %v, %v", name, schema, err)
		}
	}
}

// Texts in a Parquet file are JSON to a variant, as CSV fields are.
func TestVariantsFromParquetTexts(t *testing.T) {
	for _, dt := range []arrow.DataType{arrow.BinaryTypes.String, arrow.BinaryTypes.Binary} {
		b := array.NewBuilder(memory.DefaultAllocator, dt)
		for _, text := range []string{`{"b": 1, "a": 2}`, "null", "text", `"text"`} {
			if s, ok := b.(*array.StringBuilder); ok {
				s.Append(text)
			} else {
				b.(*array.BinaryBuilder).Append([]byte(text))
			}
		}
		b.AppendNull()
		a := b.NewArray()
		schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: dt, Nullable: true}}, nil)
		file := parquetFileOf(t, array.NewRecordBatch(schema, []arrow.Array{a}, int64(a.Len())), pqarrow.DefaultWriterProps())
		got, _, err := readVariants(t, Input{Name: "in", At: bytes.NewReader(file), Size: int64(len(file))}, Parquet)
		want := []string{"reject: v: it is not JSON", `{"a":2,"b":1}`, "", `"text"`, ""}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\ngot  %q\nwant %q", dt, err, got, want)
		}
	}
}

// Bytes that are no variant make their rows rejects, and nothing worse.
func TestCorruptVariantsAreRefused(t *testing.T) {
	dt := extensions.NewDefaultVariantType()
	b := array.NewStructBuilder(memory.DefaultAllocator, dt.StorageType().(*arrow.StructType))
	for _, pair := range [][2]string{
		{"\x01\x00\x00", "\x0c\x07"},                                  // 7
		{"\x01\x00\x00", "\x0c"},                                      // an int8 of no byte
		{"", "\x0c\x07"},                                              // no metadata
		{"\x02\x00\x00", "\x0c\x07"},                                  // of another version
		{"\x01\x00\x00", "\x02\x01\x05\x00\x01"},                      // an object whose key is not there
		{"\x01\x00\x00", "\x05\xff"},                                  // not UTF-8
		{"\x01\x01\x00\x01a", "\x02\x02\x00\x00\x00\x01\x02\x04\x04"}, // a key that comes twice
		{"\x01\x00\x00", "\xfc"},                                      // no such type
	} {
		b.Append(true)
		b.FieldBuilder(0).(*array.BinaryBuilder).Append([]byte(pair[0]))
		b.FieldBuilder(1).(*array.BinaryBuilder).Append([]byte(pair[1]))
	}
	storage := b.NewArray()
	a := array.NewExtensionArrayWithStorage(dt, storage)
	schema := arrow.NewSchema([]arrow.Field{{Name: "v", Type: dt, Nullable: true}}, nil)
	file := parquetFileOf(t, array.NewRecordBatch(schema, []arrow.Array{a}, int64(a.Len())), pqarrow.DefaultWriterProps())
	got, _, err := readVariants(t, Input{Name: "in", At: bytes.NewReader(file), Size: int64(len(file))}, Parquet)
	const corrupt = "reject: v: it is a corrupt variant"
	want := []string{corrupt, corrupt, corrupt, corrupt, corrupt, "reject: v: a key comes twice in an object", corrupt, "7"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %q\nwant %q", err, got, want)
	}
}

// The bounds of variants, where JSON crosses them.
func TestVariantBounds(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, c := range []struct{ text, want string }{
		{deep(variant.MaxDepth), deep(variant.MaxDepth)},
		{deep(variant.MaxDepth + 1), "reject: v: it is nested more than 128 deep"},
		{`1e400`, "reject: v: out of range"},
		{`"` + strings.Repeat("x", variant.MaxBytes) + `"`, "reject: v: it is too large: a variant has up to 16 MiB"},
		{`{"a":{"b":1,"b":2}}`, "reject: v: a key comes twice in an object"},
		{`"\ud800"`, "reject: v: it is not JSON"},
		{`[1,]`, "reject: v: it is not JSON"},
		{`1 2`, "reject: v: it is not JSON"},
		{"[1,\n\n 2]", "[1,2]"},
		{"\"a\nb\"", "reject: v: it is not JSON"},
	} {
		var field bytes.Buffer
		w := csv.NewWriter(&field)
		_ = w.WriteAll([][]string{{"v"}, {c.text}})
		got, _, err := readVariants(t, Input{Name: "in", Reader: &field}, CSV)
		if err != nil || len(got) != 1 || got[0] != c.want {
			t.Errorf("%.40s gives %.80q, want %.80q: %v", c.text, got, c.want, err)
		}
	}
	lines := `{"v":` + deep(variant.MaxDepth+1) + "}\n" + `{"v":1e400}` + "\n" + `{"v":{"a":1,"a":1}}` + "\n" + `{"v":7}`
	got, _, err := readVariants(t, Input{Name: "in", Reader: strings.NewReader(lines)}, NDJSON)
	want := []string{"reject: v: nested more than 128 deep", "reject: v: out of range", "reject: v: a key comes twice in an object", "7"}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %q\nwant %q", err, got, want)
	}
}

// FuzzVariantJSON: what is read as a variant is JSON, and prints as JSON of which the same variant is read;
// what is JSON is read, but for what has a reason of its own.
func FuzzVariantJSON(f *testing.F) {
	for _, s := range []string{`{"b": 1.50, "a": [1, "x", null, true]}`, `"\u00e9"`, `-0.0`, `1e3`, `[[[]]]`, `{"a":1,"a":2}`, "null", "[1,\n2]"} {
		f.Add(s)
	}
	var v variantText
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		m, value, null, fault := v.read([]byte(text), nil, nil)
		switch {
		case fault == faultJSON:
			if json.Valid([]byte(text)) && !strings.Contains(text, `\u`) { // half a surrogate pair is no text
				t.Fatalf("%q is JSON", text)
			}
			return
		case !json.Valid([]byte(text)):
			t.Fatalf("%q is no JSON, and was read: %s", text, fault)
		case fault != faultNone || null:
			return
		}
		js, err := variant.AppendJSON(nil, m, value)
		if err != nil {
			t.Fatal(err)
		}
		m2, v2, _, fault := v.read(js, nil, nil)
		if fault != faultNone || !bytes.Equal(m, m2) || !bytes.Equal(value, v2) {
			t.Fatalf("%q prints as %s, which reads as another variant: %s", text, js, fault)
		}
	})
}

// A path has no variants, and says so.
func TestVariantsAreNotInPaths(t *testing.T) {
	in := Input{Name: "v=1/in", Reader: strings.NewReader("{}\n"), Constants: []Constant{{Name: "v", Text: "1"}}}
	got, _, err := readVariants(t, in, NDJSON)
	if err == nil && (len(got) != 1 || !strings.HasPrefix(got[0], "reject: v: ")) || err != nil && !errors.Is(err, ErrInput) {
		t.Errorf("%q, %v", got, err)
	}
}
