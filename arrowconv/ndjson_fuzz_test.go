package arrowconv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"pgregory.net/rapid"
)

const fuzzColumns = "a long\ns string\nd double\nb boolean\nl list<string>\nst struct<x: double, y: long>\nm map<string, boolean>\nc decimal(9,2)\nls list<struct<p: long, q: struct<r: string, t: list<long>>>>\n"

// FuzzNDJSON compares with encoding/json: the same rows are valid, and have the same values.
func FuzzNDJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"s":"x","d":1.5,"b":true,"l":["p",null],"st":{"x":1e3,"y":null},"m":{"k":false},"c":1.25}`,
		"{\"a\":-0}\r\n\n \t{\"a\":1.0}\n{}", `{"s":"\ud83d\ude00\u0041\n"}`, `{"s":"\ud800"}`, `{"a":1,"a":2}`, `{"z":1}`, `{"a":"12"}`,
		`{"d":1e400}`, `{"l":[}`, "\xef\xbb\xbf{\"a\":1}", `{"st":{}}`, `{"m":{"":true,"":false}}`, "{\"s\":\"\xff\"}", `[{"a":1}]`, `{"a":01}`, `{"c":1.234}`,
		`{ "\u0061" : 9223372036854775807 , "s" : "a b" }`, `{"m":[{"key":"k","value":true}]}`, `{"a":{"b":[1,2,{"c":"]}"}]}}`,
	} {
		f.Add([]byte(seed), uint8(7))
	}
	schema := columnsOf(f, fuzzColumns)
	f.Fuzz(func(t *testing.T, text []byte, chunk uint8) {
		compareWithEncodingJSON(t, schema, text, int(chunk)+1)
	})
}

// compareWithEncodingJSON reads text and holds it against what encoding/json makes of its lines.
func compareWithEncodingJSON(t interface {
	Fatalf(string, ...any)
	Context() context.Context
}, schema *iceberg.Schema, text []byte, chunk int,
) {
	var want []string // by row; "" for one that is not to be read
	for line := range bytes.Lines(bytes.TrimPrefix(text, utf8BOM)) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if len(bytes.Trim(line, " \t\r")) > 0 {
			value, _ := jsonOracle(schema, line)
			want = append(want, value)
		}
	}
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	got := make([]string, 0, len(want))
	o := Options{Format: NDJSON, Workers: 2, ChunkBytes: chunk, Alloc: alloc}
	rejected := map[int64]bool{}
	o.OnReject = func(r Reject) error {
		rejected[r.Row] = true
		return nil
	}
	stopped := false
	for b, err := range Read(t.Context(), Input{Name: "in", Reader: bytes.NewReader(text)}, schema, o) {
		if err != nil {
			if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "is not in the table") {
				t.Fatalf("%v", err)
			}
			stopped = true
			break
		}
		for i := range int(b.NumRows()) {
			for rejected[int64(len(got))+1] {
				got = append(got, "")
			}
			if n := b.RowNumber(i); n != int64(len(got))+1 {
				t.Fatalf("row %d comes after %d rows", n, len(got))
			}
			got = append(got, canonicalRow(b, i))
		}
		for rejected[int64(len(got))+1] {
			got = append(got, "")
		}
		b.Release()
	}
	if n := alloc.CurrentAlloc(); n != 0 {
		t.Fatalf("%d bytes are left", n)
	}
	if stopped {
		// The stop is at some row of the chunk after the rows that were given.
		if !slices.Contains(want[len(got):], "") {
			t.Fatalf("the read stopped after %d rows, and the others are fine", len(got))
		}
		want = want[:len(got)]
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

// canonicalRow spells a row so that equal text means equal values.
func canonicalRow(b Batch, row int) string {
	var out strings.Builder
	for i, c := range b.Columns() {
		fmt.Fprintf(&out, "%s=%s;", b.ColumnName(i), canonicalValue(c, row))
	}
	return out.String()
}

func canonicalValue(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "null"
	}
	switch a := a.(type) {
	case *array.Int64:
		return strconv.FormatInt(a.Value(i), 10)
	case *array.String:
		return strconv.Quote(a.Value(i))
	case *array.Float64:
		return fmt.Sprintf("%016x", math.Float64bits(a.Value(i)))
	case *array.Boolean:
		return strconv.FormatBool(a.Value(i))
	case *array.Decimal128:
		return a.Value(i).BigInt().String()
	case *array.Struct:
		var out strings.Builder
		for f := range a.NumField() {
			fmt.Fprintf(&out, "%s=%s,", a.DataType().(*arrow.StructType).Field(f).Name, canonicalValue(a.Field(f), i))
		}
		return "{" + out.String() + "}"
	case array.ListLike:
		from, to := a.ValueOffsets(i)
		var out strings.Builder
		for j := from; j < to; j++ {
			out.WriteString(canonicalValue(a.ListValues(), int(j)) + ",")
		}
		return "[" + out.String() + "]"
	}
	return "?"
}

// jsonOracle gives the row that line spells, by encoding/json and slow and simple rules; false and ""
// where it is none.
func jsonOracle(schema *iceberg.Schema, line []byte) (string, bool) {
	if !utf8.Valid(line) || !json.Valid(line) || halfPair(line) {
		return "", false
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	value := oracleValue(d)
	var out strings.Builder
	object, ok := value.(oracleObject)
	for _, f := range schema.Fields() {
		var spelled string
		if ok {
			spelled, ok = oracleField(object, f)
		}
		fmt.Fprintf(&out, "%s=%s;", f.Name, spelled)
	}
	if !ok || len(object) > 0 && !object.known(schema.Fields()) {
		return "", false
	}
	return out.String(), true
}

type oracleObject [][2]any // in the order of the text: duplicates stay

func (o oracleObject) known(fields []iceberg.NestedField) bool {
	seen := map[any]bool{}
	for _, m := range o {
		if seen[m[0]] || !slices.ContainsFunc(fields, func(f iceberg.NestedField) bool { return f.Name == m[0] }) {
			return false
		}
		seen[m[0]] = true
	}
	return true
}

func oracleValue(d *json.Decoder) any {
	token, _ := d.Token()
	switch token {
	case json.Delim('{'):
		object := oracleObject{}
		for d.More() {
			key, _ := d.Token()
			object = append(object, [2]any{key, oracleValue(d)})
		}
		_, _ = d.Token()
		return object
	case json.Delim('['):
		list := []any{}
		for d.More() {
			list = append(list, oracleValue(d))
		}
		_, _ = d.Token()
		return list
	}
	return token
}

func oracleField(o oracleObject, f iceberg.NestedField) (string, bool) {
	var value any
	for _, m := range o {
		if m[0] == f.Name {
			value = m[1]
		}
	}
	return oracleTyped(value, f.Type)
}

func oracleTyped(value any, typ iceberg.Type) (string, bool) {
	if value == nil {
		return "null", true
	}
	number, isNumber := value.(json.Number)
	text, isText := value.(string)
	switch typ := typ.(type) {
	case iceberg.StringType:
		return strconv.Quote(text), isText
	case iceberg.BooleanType:
		b, ok := value.(bool)
		return strconv.FormatBool(b), ok
	case iceberg.Int64Type:
		if isText {
			v, f := parseInt64([]byte(text), '.')
			return strconv.FormatInt(v, 10), f == faultNone
		}
		r, ok := oracleRat(number, isNumber)
		return r, ok
	case iceberg.Float64Type:
		if isText {
			v, f := parseFloat64([]byte(text), '.')
			return fmt.Sprintf("%016x", math.Float64bits(v)), f == faultNone
		}
		v, err := strconv.ParseFloat(string(number), 64)
		return fmt.Sprintf("%016x", math.Float64bits(v)), isNumber && err == nil
	case iceberg.DecimalType:
		s := []byte(text)
		if !isText {
			s = []byte(number)
		}
		v, f := longDecimal(s, typ.Precision(), typ.Scale(), '.')
		return v.BigInt().String(), f == faultNone && (isText || isNumber)
	case *iceberg.ListType:
		list, ok := value.([]any)
		out := "["
		for _, e := range list {
			s, fine := oracleTyped(e, typ.Element)
			out, ok = out+s+",", ok && fine
		}
		return out + "]", ok
	case *iceberg.StructType:
		object, ok := value.(oracleObject)
		out := "{"
		for _, f := range typ.FieldList {
			s, fine := oracleField(object, f)
			out, ok = out+f.Name+"="+s+",", ok && fine
		}
		return out + "}", ok && object.known(typ.FieldList)
	case *iceberg.MapType:
		entry := []iceberg.NestedField{{Name: "key", Type: typ.KeyType, Required: true}, {Name: "value", Type: typ.ValueType}}
		out, seen := "[", map[string]bool{}
		add := func(o oracleObject) bool {
			k, ok1 := oracleField(o, entry[0])
			v, ok2 := oracleField(o, entry[1])
			out += "{key=" + k + ",value=" + v + ",},"
			twice := seen[k]
			seen[k] = true
			return ok1 && ok2 && k != "null" && !twice && o.known(entry)
		}
		ok := true
		switch value := value.(type) {
		case oracleObject:
			for _, m := range value {
				ok = add(oracleObject{{"key", m[0]}, {"value", m[1]}}) && ok
			}
		case []any:
			for _, e := range value {
				o, isObject := e.(oracleObject)
				ok = isObject && add(o) && ok
			}
		default:
			ok = false
		}
		return out + "]", ok
	}
	return "", false
}

func oracleRat(n json.Number, ok bool) (string, bool) {
	// An exponent that big.Rat would spend for ever on is out of range or a fraction, unless all is zero.
	if mantissa, exp, found := strings.Cut(strings.ToLower(string(n)), "e"); ok && found {
		if strings.Trim(mantissa, "-0.") == "" {
			return "0", true
		}
		if e, err := strconv.Atoi(exp); err != nil || e > 1000 || e < -1000 {
			v, f := parseInt64([]byte(n), '.')
			return strconv.FormatInt(v, 10), f == faultNone
		}
	}
	r, fine := new(big.Rat).SetString(string(n))
	if !ok || !fine || !r.IsInt() || !r.Num().IsInt64() {
		return "", false
	}
	return r.Num().String(), true
}

// halfPair tells whether a valid JSON text has an escaped half of a surrogate pair without the other.
func halfPair(line []byte) bool {
	for i := 0; i < len(line); i++ {
		if line[i] != '\\' {
			continue
		}
		i++
		if line[i] != 'u' {
			continue
		}
		r := hex4(line[i+1:])
		i += 4
		switch {
		case r >= 0xdc00 && r < 0xe000:
			return true
		case r >= 0xd800 && r < 0xdc00:
			if i+2 >= len(line) || line[i+1] != '\\' || line[i+2] != 'u' {
				return true
			}
			if low := hex4(line[i+3:]); low < 0xdc00 || low >= 0xe000 {
				return true
			}
			i += 6
		}
	}
	return false
}

// TestNDJSONAgreesWithEncodingJSON draws rows of the schema, spells them in odd ways, and now and then
// breaks them.
func TestNDJSONAgreesWithEncodingJSON(t *testing.T) {
	schema := columnsOf(t, fuzzColumns)
	rapid.Check(t, func(rt *rapid.T) {
		space := rapid.SampledFrom([]string{"", "", "", " ", "\t", " \r "})
		number := rapid.SampledFrom([]string{"0", "-0", "1", "-17", "1.0", "1.5", "1e3", "1E+2", "12345678901234567890", "9223372036854775807", "-9223372036854775808", "0.1", "123456.78", "1e-2", "2.5e1", "1e400", "00", "1."})
		str := rapid.OneOf(
			rapid.SampledFrom([]string{`""`, `"x"`, `"12"`, `"1.5"`, `"\u00e9"`, `"é"`, `"\ud83d\ude00"`, `"\ud83d"`, `"a\"b\\c\/\b\f\n\r\t"`, `"0123456789abcdefghij"`, `"01234567\n"`, "\"\x7f\""}),
			rapid.Custom(func(rt *rapid.T) string { b, _ := json.Marshal(rapid.String().Draw(rt, "text")); return string(b) }),
		)
		scalar := rapid.OneOf(number, number, str, str, rapid.SampledFrom([]string{"true", "false", "null", "nul"}))
		object := func(rt *rapid.T, keys []string, value func(*rapid.T, string) string) string {
			var members []string
			for range rapid.IntRange(0, len(keys)).Draw(rt, "members") {
				key := rapid.SampledFrom(keys).Draw(rt, "key")
				s := func() string { return space.Draw(rt, "space") }
				members = append(members, s()+`"`+key+`"`+s()+":"+s()+value(rt, key)+s())
			}
			return "{" + strings.Join(members, ",") + "}"
		}
		any := func(rt *rapid.T, _ string) string { return scalar.Draw(rt, "scalar") }
		value := func(rt *rapid.T, key string) string {
			if rapid.IntRange(0, 15).Draw(rt, "odd") == 0 {
				return scalar.Draw(rt, "scalar")
			}
			switch key {
			case "a", "d", "c":
				return number.Draw(rt, "number")
			case "b":
				return rapid.SampledFrom([]string{"true", "false", "null"}).Draw(rt, "boolean")
			case "l":
				return "[" + strings.Join(rapid.SliceOfN(str, 0, 3).Draw(rt, "list"), ",") + "]"
			case "st":
				return object(rt, []string{"x", "y"}, func(rt *rapid.T, _ string) string { return number.Draw(rt, "number") })
			case "ls": // of keys that few have
				return "[" + strings.Join(rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) string {
					return object(rt, []string{"p", "q"}, func(rt *rapid.T, key string) string {
						if key == "p" {
							return number.Draw(rt, "number")
						}
						return object(rt, []string{"r", "t"}, func(rt *rapid.T, key string) string {
							return map[string]string{"r": str.Draw(rt, "string"), "t": "[1, null, 2]"}[key]
						})
					})
				}), 0, 4).Draw(rt, "structs"), ",") + "]"
			case "m":
				if rapid.IntRange(0, 3).Draw(rt, "array") == 0 {
					return rapid.SampledFrom([]string{`[{"key":"k"},{"value":true,"key":"l"}]`, `[{"key":"k"}]`, `[{"key":"m","value":null},{"key":"n","value":false}]`}).Draw(rt, "entries")
				}
				return object(rt, []string{"k", "l", "k\\u0065y"}, func(rt *rapid.T, _ string) string { return "true" })
			case "s":
				return str.Draw(rt, "string")
			}
			return any(rt, key)
		}
		var text bytes.Buffer
		for range rapid.IntRange(1, 8).Draw(rt, "rows") {
			text.WriteString(object(rt, []string{"a", "s", "d", "b", "l", "st", "m", "c", "ls", "\\u0061"}, value))
			if rapid.IntRange(0, 20).Draw(rt, "break") == 0 && text.Len() > 3 {
				text.Truncate(text.Len() - rapid.IntRange(1, 3).Draw(rt, "cut"))
			}
			if rapid.IntRange(0, 20).Draw(rt, "trail") == 0 {
				text.WriteString(rapid.SampledFrom([]string{"}", "0", "{}", " x", ","}).Draw(rt, "trailing"))
			}
			text.WriteString(rapid.SampledFrom([]string{"\n", "\n", "\r\n", "\n\n"}).Draw(rt, "end"))
		}
		compareWithEncodingJSON(rt, schema, text.Bytes(), rapid.IntRange(1, 300).Draw(rt, "chunk"))
	})
}

// TestNDJSONInference: what is inferred from rows loads those very rows.
func TestNDJSONInference(t *testing.T) {
	text := events(2000, true)
	for _, o := range []Options{{Workers: 1}, {Workers: 3, ChunkBytes: 1000}} {
		o.Format = NDJSON
		schema, err := Infer(t.Context(), Input{Name: "in", Reader: bytes.NewReader(text)}, InferOptions{Options: o})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := drain(t.Context(), Input{Name: "in", Reader: bytes.NewReader(text)}, schema, o)
		if err != nil || rows != 2000 {
			t.Errorf("%d rows, %v", rows, err)
		}
		if got := FormatType(schema.Field(4).Type); !strings.HasPrefix(got, "struct<push_id: long, size: long, ref: string, commits: list<struct<sha: string") {
			t.Errorf("payload is %s", got)
		}
	}
}

// TestNDJSONBounds: a row that is too long, or too deep, is refused rather than held.
func TestNDJSONBounds(t *testing.T) {
	schema := columnsOf(t, "s string")
	long := `{"s":"` + strings.Repeat("x", 100) + `"}`
	for _, chunk := range []int{10, 1000} {
		_, err := drain(t.Context(), Input{Name: "in", Reader: strings.NewReader("{}\n" + long + "\n{}\n")}, schema, Options{Format: NDJSON, ChunkBytes: chunk, MaxRowBytes: 50})
		if err == nil || !errors.Is(err, ErrInput) || err.Error() != "in: row 2: longer than 50 bytes" {
			t.Errorf("chunks of %d: %v", chunk, err)
		}
		if rows, err := drain(t.Context(), Input{Name: "in", Reader: strings.NewReader(long)}, schema, Options{Format: NDJSON, ChunkBytes: chunk}); rows != 1 || err != nil {
			t.Errorf("chunks of %d: %d rows, %v", chunk, rows, err)
		}
	}
	deep := `{"s":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}"
	_, err := drain(t.Context(), Input{Name: "in", Reader: strings.NewReader(deep)}, schema, Options{Format: NDJSON})
	if err == nil || !strings.Contains(err.Error(), "nested more than 128 deep") {
		t.Errorf("got %.200v", err)
	}
	_, err = Infer(t.Context(), Input{Name: "in", Reader: strings.NewReader(deep)}, InferOptions{Options: Options{Format: NDJSON}})
	if err == nil || !strings.Contains(err.Error(), "nested more than 128 deep") {
		t.Errorf("got %.200v", err)
	}
}
