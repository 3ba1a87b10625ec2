package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
)

// built makes a column of one value and a null.
func built[B array.Builder](t *testing.T, b B, add func(B)) arrow.Array {
	t.Helper()
	defer b.Release()
	add(b)
	b.AppendNull()
	return b.NewArray()
}

func TestCells(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	instant := time.Date(2024, 1, 15, 6, 15, 0, 500_000_000, time.UTC)
	micros := arrow.Timestamp(instant.UnixMicro())
	ts := func(zone string) *array.TimestampBuilder {
		return array.NewTimestampBuilder(mem, &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: zone})
	}
	dec, _ := decimal128.FromString("-12.50", 12, 2)
	for _, c := range []struct {
		name, text, json string
		arr              arrow.Array
	}{
		{"bool", "true", "true", built(t, array.NewBooleanBuilder(mem), func(b *array.BooleanBuilder) { b.Append(true) })},
		{"int", "-7", "-7", built(t, array.NewInt32Builder(mem), func(b *array.Int32Builder) { b.Append(-7) })},
		{"long", "9223372036854775807", "9223372036854775807", built(t, array.NewInt64Builder(mem), func(b *array.Int64Builder) { b.Append(math.MaxInt64) })},
		{"float", "0.1", "0.1", built(t, array.NewFloat32Builder(mem), func(b *array.Float32Builder) { b.Append(0.1) })},
		{"double", "1e+300", "1e+300", built(t, array.NewFloat64Builder(mem), func(b *array.Float64Builder) { b.Append(1e300) })},
		{"nan", "NaN", `"NaN"`, built(t, array.NewFloat64Builder(mem), func(b *array.Float64Builder) { b.Append(math.NaN()) })},
		{"inf", "-Infinity", `"-Infinity"`, built(t, array.NewFloat64Builder(mem), func(b *array.Float64Builder) { b.Append(math.Inf(-1)) })},
		{"string", "a \"b\"\n\x01é\\", `"a \"b\"\n\u0001é\\"`, built(t, array.NewStringBuilder(mem), func(b *array.StringBuilder) { b.Append("a \"b\"\n\x01é\\") })},
		{"not utf-8", "a\xff", "\"a\uFFFD\"", built(t, array.NewStringBuilder(mem), func(b *array.StringBuilder) { b.Append("a\xff") })},
		{"binary", "00ff", `"00ff"`, built(t, array.NewBinaryBuilder(mem, arrow.BinaryTypes.Binary), func(b *array.BinaryBuilder) { b.Append([]byte{0, 255}) })},
		{"fixed", "0102", `"0102"`, built(t, array.NewFixedSizeBinaryBuilder(mem, &arrow.FixedSizeBinaryType{ByteWidth: 2}), func(b *array.FixedSizeBinaryBuilder) { b.Append([]byte{1, 2}) })},
		{"uuid", "f79c3e09-677c-4bbd-a479-3f349cb785e7", `"f79c3e09-677c-4bbd-a479-3f349cb785e7"`, built(t, extensions.NewUUIDBuilder(mem), func(b *extensions.UUIDBuilder) {
			b.Append(uuid.MustParse("f79c3e09-677c-4bbd-a479-3f349cb785e7"))
		})},
		{"decimal", "-12.50", `"-12.50"`, built(t, array.NewDecimal128Builder(mem, &arrow.Decimal128Type{Precision: 12, Scale: 2}), func(b *array.Decimal128Builder) { b.Append(dec) })},
		{"date", "2024-01-15", `"2024-01-15"`, built(t, array.NewDate32Builder(mem), func(b *array.Date32Builder) { b.Append(arrow.Date32FromTime(instant)) })},
		{"early date", "0001-01-01", `"0001-01-01"`, built(t, array.NewDate32Builder(mem), func(b *array.Date32Builder) {
			b.Append(arrow.Date32FromTime(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)))
		})},
		{"time", "06:15:00.5", `"06:15:00.5"`, built(t, array.NewTime64Builder(mem, &arrow.Time64Type{Unit: arrow.Microsecond}), func(b *array.Time64Builder) { b.Append(arrow.Time64(22_500_500_000)) })},
		{"timestamp", "2024-01-15T06:15:00.5", `"2024-01-15T06:15:00.5"`, built(t, ts(""), func(b *array.TimestampBuilder) { b.Append(micros) })},
		{"timestamptz", "2024-01-15T06:15:00.5Z", `"2024-01-15T06:15:00.5Z"`, built(t, ts("UTC"), func(b *array.TimestampBuilder) { b.Append(micros) })},
		{"list", `["a",null]`, `["a",null]`, built(t, array.NewListBuilder(mem, arrow.BinaryTypes.String), func(b *array.ListBuilder) {
			b.Append(true)
			b.ValueBuilder().(*array.StringBuilder).Append("a")
			b.ValueBuilder().AppendNull()
		})},
		{"map", `{"7":"x"}`, `{"7":"x"}`, built(t, array.NewMapBuilder(mem, arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String, false), func(b *array.MapBuilder) {
			b.Append(true)
			b.KeyBuilder().(*array.Int64Builder).Append(7)
			b.ItemBuilder().(*array.StringBuilder).Append("x")
		})},
		{"struct", `{"a b":1,"c":null}`, `{"a b":1,"c":null}`, built(t, array.NewStructBuilder(mem, arrow.StructOf(
			arrow.Field{Name: "a b", Type: arrow.PrimitiveTypes.Int64}, arrow.Field{Name: "c", Type: arrow.BinaryTypes.String, Nullable: true})), func(b *array.StructBuilder) {
			b.Append(true)
			b.FieldBuilder(0).(*array.Int64Builder).Append(1)
			b.FieldBuilder(1).AppendNull()
		})},
	} {
		col := columnOf(c.arr)
		if got := string(col.text(nil, 0)); got != c.text {
			t.Errorf("%s: text %s, want %s", c.name, got, c.text)
		}
		got := string(col.appendJSON(nil, 0))
		if got != c.json {
			t.Errorf("%s: JSON %s, want %s", c.name, got, c.json)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s: %s is not JSON", c.name, got)
		}
		if got := string(col.appendJSON(nil, 1)); got != "null" {
			t.Errorf("%s: a null is %s", c.name, got)
		}
		c.arr.Release()
	}
}

// What is written as a CSV field is one field, and tells a null from an empty string.
func TestAppendField(t *testing.T) {
	for value, want := range map[string]string{
		"": `""`, "a": "a", "a,b": `"a,b"`, `a"b`: `"a""b"`, "a\nb": "\"a\nb\"", " a": `" a"`, "a\r": "\"a\r\"",
	} {
		if got := string(appendField(nil, []byte(value))); got != want {
			t.Errorf("%q is written %s, want %s", value, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for in, want := range map[string]string{"short": "short", "exactly ten": "exactly t…", "日本語日本語": "日本語日…"} {
		if got := cut(in, 10); got != want || screenWidth(got) > 10 {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	if got := oneLine("a\nb\x1b[31m"); got != `a\nb\x1b[31m` || strings.ContainsRune(got, '\x1b') {
		t.Errorf("got %q", got)
	}
}
