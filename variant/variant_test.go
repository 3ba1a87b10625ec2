package variant_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	arrowvariant "github.com/apache/arrow-go/v18/parquet/variant"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/variant"
)

// number, member and object are what a test knows of a value: events, and the JSON of them.
type (
	number string
	member struct {
		key   string
		value any
	}
	object []member
)

// walk sends a value's events to a builder; reverse turns the members of every object around.
func walk(b *variant.Builder, v any, reverse bool) {
	switch v := v.(type) {
	case nil:
		b.Null()
	case bool:
		b.Bool(v)
	case number:
		b.Number([]byte(v))
	case string:
		b.String([]byte(v))
	case []any:
		b.Begin(false)
		for _, e := range v {
			walk(b, e, reverse)
		}
		b.End()
	case object:
		if v = slices.Clone(v); reverse {
			slices.Reverse(v)
		}
		b.Begin(true)
		for _, m := range v {
			b.Key([]byte(m.key))
			walk(b, m.value, reverse)
		}
		b.End()
	}
}

func build(v any, reverse bool) (metadata, value []byte, err error) {
	var b variant.Builder
	walk(&b, v, reverse)
	return b.Append(nil, nil)
}

// asJSON is the JSON of a value with its keys sorted, numbers as they are meant to come back.
func asJSON(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case number:
		return string(v)
	case string:
		return string(variant.AppendString(nil, v))
	case []any:
		var parts []string
		for _, e := range v {
			parts = append(parts, asJSON(e))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case object:
		v = slices.Clone(v)
		slices.SortFunc(v, func(a, b member) int { return strings.Compare(a.key, b.key) })
		var parts []string
		for _, m := range v {
			parts = append(parts, string(variant.AppendString(nil, m.key))+":"+asJSON(m.value))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	panic(v)
}

// anyValue draws a value whose numbers are spelled as variants print them.
func anyValue(r *rapid.T, depth int) any {
	most := 7
	if depth == 0 {
		most = 5
	}
	switch rapid.IntRange(0, most).Draw(r, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(r, "bool")
	case 2:
		return number(strconv.FormatInt(rapid.Int64().Draw(r, "int"), 10))
	case 3:
		sign := rapid.SampledFrom([]string{"", "-"}).Draw(r, "sign")
		whole := rapid.StringMatching(`0|[1-9][0-9]{0,20}`).Draw(r, "whole")
		return number(sign + whole + "." + rapid.StringMatching(`[0-9]{0,16}[1-9]`).Draw(r, "fraction"))
	case 4:
		return number(strconv.FormatFloat(rapid.Float64().Draw(r, "double"), 'e', -1, 64))
	case 5:
		return rapid.OneOf(rapid.String(), rapid.StringN(60, 70, -1)).Draw(r, "string")
	case 6:
		list := []any{}
		for range rapid.IntRange(0, 5).Draw(r, "length") {
			list = append(list, anyValue(r, depth-1))
		}
		if rapid.IntRange(0, 20).Draw(r, "long") == 0 {
			for range 300 {
				list = append(list, number("1"))
			}
		}
		return list
	default:
		o := object{}
		for _, key := range rapid.SliceOfNDistinct(rapid.StringN(0, 6, -1), 0, 5, rapid.ID).Draw(r, "keys") {
			o = append(o, member{key, anyValue(r, depth-1)})
		}
		if rapid.IntRange(0, 20).Draw(r, "wide") == 0 {
			for i := range 300 {
				o = append(o, member{fmt.Sprintf("wide key %d", i), true})
			}
		}
		return o
	}
}

// A value comes back as it was, whatever the order of its keys, and another library reads it alike.
func TestValuesComeBack(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		v := anyValue(r, 4)
		metadata, value, err := build(v, false)
		if err != nil {
			r.Fatal(err)
		}
		got, err := variant.AppendJSON(nil, metadata, value)
		if want := asJSON(v); err != nil || string(got) != want {
			r.Fatalf("%v\ngot  %s\nwant %s", err, got, want)
		}
		m2, v2, err := build(v, true)
		if err != nil || !bytes.Equal(metadata, m2) || !bytes.Equal(value, v2) {
			r.Fatalf("%v: another order of keys gives other bytes:\n%x %x\n%x %x", err, metadata, value, m2, v2)
		}
		var b variant.Builder
		if m2, v2, err = b.AppendCanonical(nil, nil, metadata, value); err != nil || !bytes.Equal(metadata, m2) || !bytes.Equal(value, v2) {
			r.Fatalf("%v: what is canonical does not stay as it is", err)
		}
		if !theyRead(metadata) {
			return
		}
		theirs, err := arrowvariant.New(metadata, value)
		if err != nil {
			r.Fatalf("arrow-go refuses %s: %v", got, err)
		}
		if !sameAs(theirs.Value(), v) {
			r.Fatalf("arrow-go reads %s as %s", got, theirs)
		}
	})
}

// theyRead is false of metadata whose table of offsets goes beyond a byte: arrow-go v18.8.0 counts in one.
func theyRead(metadata []byte) bool {
	width := int(metadata[0]>>6) + 1
	keys := int(metadata[1])
	if width > 1 {
		keys |= int(metadata[2]) << 8
	}
	return (keys+2)*width < 250
}

// sameAs compares what arrow-go reads with a value.
func sameAs(theirs, v any) bool {
	switch x := theirs.(type) {
	case arrowvariant.ObjectValue:
		o, ok := v.(object)
		if !ok || int(x.NumElements()) != len(o) {
			return false
		}
		for _, m := range o {
			f, err := x.ValueByKey(m.key)
			if err != nil || !sameAs(f.Value.Value(), m.value) {
				return false
			}
		}
		return true
	case arrowvariant.ArrayValue:
		list, ok := v.([]any)
		if !ok || int(x.Len()) != len(list) {
			return false
		}
		for i, e := range list {
			f, err := x.Value(uint32(i))
			if err != nil || !sameAs(f.Value(), e) {
				return false
			}
		}
		return true
	case nil, bool, string:
		return x == v
	case float64:
		f, err := strconv.ParseFloat(string(v.(number)), 64)
		return err == nil && math.Float64bits(f) == math.Float64bits(x)
	}
	n, ok := v.(number)
	js, err := json.Marshal(theirs)
	return ok && err == nil && strings.Trim(string(js), `"`) == string(n)
}

// What other writers make of the same JSON has the same canonical form.
func TestForeignVariantsBecomeCanonical(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		v := anyValue(r, 3)
		theirs, err := arrowvariant.ParseJSON(asJSON(v), false)
		if err != nil {
			r.Skip(err)
		}
		var b variant.Builder
		m1, v1, err := b.AppendCanonical(nil, nil, theirs.Metadata().Bytes(), theirs.Bytes())
		if err != nil {
			r.Fatal(err)
		}
		js, err := variant.AppendJSON(nil, m1, v1)
		if err != nil {
			r.Fatal(err)
		}
		// arrow-go takes some numbers with exponents for decimals: they are compared as JSON.
		var a, c any
		if json.Unmarshal(js, &a) != nil || json.Unmarshal([]byte(asJSON(v)), &c) != nil || fmt.Sprint(a) != fmt.Sprint(c) {
			r.Fatalf("got  %s\nwant %s", js, asJSON(v))
		}
	})
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ text, want, hex string }{
		{"0", "0", "0c00"},
		{"-0", "0", "0c00"},
		{"-0.0", "0", "0c00"},
		{"127", "127", "0c7f"},
		{"-128", "-128", "0c80"},
		{"128", "128", "108000"},
		{"32768", "32768", "1400800000"},
		{"2147483648", "2147483648", "180000008000000000"},
		{"9223372036854775807", "9223372036854775807", "18ffffffffffffff7f"},
		{"9223372036854775808", "9223372036854775808", "280000000000000000800000000000000000"},
		{"1.0", "1", "0c01"},
		{"100.00", "100", "0c64"},
		{"1.50", "1.5", "20010f000000"},
		{"-0.1", "-0.1", "2001ffffffff"},
		{"0.0000000001", "0.0000000001", "240a0100000000000000"}, // ten places: no decimal4 to Spark
		{"99999999999999999999999999999999999999", "99999999999999999999999999999999999999", ""},
		{"100000000000000000000000000000000000000", "1e+38", ""},
		{"0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000001", ""},
		{"0.000000000000000000000000000000000000001", "1e-39", ""},
		{"1e3", "1e+03", "1c0000000000408f40"},
		{"1E-400", "0e+00", ""},
		{"5e-324", "5e-324", ""},
	} {
		var b variant.Builder
		b.Number([]byte(c.text))
		metadata, value, err := b.Append(nil, nil)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		got, err := variant.AppendJSON(nil, metadata, value)
		if text := strings.ReplaceAll(c.want, "0.0000000001", "1E-10"); err != nil || string(got) != c.want && string(got) != text {
			t.Errorf("%s prints as %s, want %s: %v", c.text, got, c.want, err)
		}
		if c.hex != "" && fmt.Sprintf("%x", value) != c.hex {
			t.Errorf("%s is %x, want %s", c.text, value, c.hex)
		}
	}
	var b variant.Builder
	b.Number([]byte("1e400"))
	if _, _, err := b.Append(nil, nil); !errors.Is(err, variant.ErrRange) {
		t.Errorf("1e400: %v", err)
	}
}

func TestBounds(t *testing.T) {
	var key *variant.KeyError
	if _, _, err := build(object{{"b", true}, {"a", object{{"k", nil}, {"j", nil}, {"k", nil}}}}, false); !errors.As(err, &key) || key.Key != "k" {
		t.Errorf("a key that comes twice: %v", err)
	}
	nested := func(n int) any {
		var v any = true
		for range n {
			v = []any{v}
		}
		return v
	}
	if _, _, err := build(nested(variant.MaxDepth), false); err != nil {
		t.Error(err)
	}
	if _, _, err := build(nested(variant.MaxDepth+1), false); !errors.Is(err, variant.ErrTooDeep) {
		t.Errorf("too deep: %v", err)
	}
	if _, _, err := build(strings.Repeat("x", variant.MaxBytes-5), false); err != nil {
		t.Error(err)
	}
	if _, _, err := build(strings.Repeat("x", variant.MaxBytes-4), false); !errors.Is(err, variant.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	var b variant.Builder
	walk(&b, object{{"b", true}, {"b", true}}, false)
	_, _, _ = b.Append(nil, nil)
	b.Reset()
	walk(&b, object{{"c", []any{}}}, false)
	if m, v, err := b.Append(nil, nil); err != nil {
		t.Errorf("after an error and a reset: %x %x %v", m, v, err)
	}
}

// Elements that overlap make a few bytes into as many values as anybody likes: they are counted.
func TestOverlappingElements(t *testing.T) {
	value := []byte{0x0c, 7}
	for range 60 {
		n := len(value)
		head := []byte{0x03, 2, 0, 0, byte(n)} // two elements at the same place
		if n > 255 {
			head = []byte{0x07, 2, 0, 0, 0, 0, byte(n), byte(n >> 8)}
		}
		value = append(head, value...)
	}
	var b variant.Builder
	if _, _, err := b.AppendCanonical(nil, nil, []byte{1, 0, 0}, value); !errors.Is(err, variant.ErrCorrupt) {
		t.Errorf("2^60 values of %d bytes: %v", len(value), err)
	}
}

// FuzzWalk: bytes from strangers are a variant whose canonical form stays as it is, or an error.
func FuzzWalk(f *testing.F) {
	for _, v := range []any{nil, number("1.5"), "text", object{{"a", []any{true, number("1")}}, {"b", strings.Repeat("x", 70)}}} {
		m, b, _ := build(v, false)
		f.Add(m, b)
	}
	f.Add([]byte{1, 0, 0}, []byte{3, 2, 0, 0, 3, 3, 2, 0, 0, 3}) // elements that overlap
	f.Fuzz(func(t *testing.T, metadata, value []byte) {
		var b variant.Builder
		m1, v1, err := b.AppendCanonical(nil, nil, metadata, value)
		if err != nil {
			var key *variant.KeyError
			if !errors.Is(err, variant.ErrCorrupt) && !errors.As(err, &key) {
				t.Fatal(err)
			}
			return
		}
		if _, err := variant.AppendJSON(nil, metadata, value); err != nil {
			t.Fatal(err)
		}
		if theyRead(m1) {
			if _, err := arrowvariant.New(m1, v1); err != nil {
				t.Fatalf("arrow-go refuses the canonical form %x %x: %v", m1, v1, err)
			}
		}
		m2, v2, err := b.AppendCanonical(nil, nil, m1, v1)
		if err != nil || !bytes.Equal(m1, m2) || !bytes.Equal(v1, v2) {
			t.Fatalf("%v: what is canonical does not stay as it is", err)
		}
	})
}

func BenchmarkAppendCanonical(b *testing.B) {
	m, v, err := build(object{
		{"user", object{{"id", number("123456")}, {"name", "Ann Example"}, {"tags", []any{"a", "b", "c"}}}},
		{"amount", number("12.5")},
		{"ok", true},
		{"note", nil},
		{"session", "f79c3e09-677c-4bbd-a479-3f349cb785e7"},
	}, false)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(m) + len(v)))
	var build variant.Builder
	var to, from []byte
	for b.Loop() {
		if to, from, err = build.AppendCanonical(to[:0], from[:0], m, v); err != nil {
			b.Fatal(err)
		}
	}
}
