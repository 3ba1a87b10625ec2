package main

import (
	"encoding/hex"
	"math"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"

	"github.com/icewright/icewright/variant"
)

// cell appends the value at index i of a column; the caller has seen to nulls.
type cell func(dst []byte, i int) []byte

// column spells a column's values, as JSON or as plain text. Plain text is what the loader reads
// back: numbers, dates and times are spelled alike in both, and a nested value is JSON in both.
type column struct {
	arrow.Array
	json, text cell
}

// columnOf returns the spelling of a.
//
//	long, int, double, float  12, 0.5; NaN and Infinity are strings in JSON
//	decimal                   12.50, a string in JSON, where a number would lose digits
//	date, time                2024-01-15, 06:15:00.5
//	timestamp, timestamptz    2024-01-15T06:15:00.5, 2024-01-15T06:15:00.5Z (always in UTC)
//	uuid                      f79c3e09-677c-4bbd-a479-3f349cb785e7
//	binary, fixed             hexadecimal
//	variant                   JSON, see variant.AppendJSON
//	struct, map, list         JSON objects and arrays; a map whose keys are no strings has them spelled as strings
func columnOf(a arrow.Array) column {
	bare := func(text cell) column { return column{a, text, text} }          // the same in JSON
	quoted := func(text cell) column { return column{a, quote(text), text} } // a string in JSON, nothing to escape
	switch a := a.(type) {
	case *array.Boolean:
		return bare(func(dst []byte, i int) []byte { return strconv.AppendBool(dst, a.Value(i)) })
	case *array.Int32:
		return bare(func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(a.Value(i)), 10) })
	case *array.Int64:
		return bare(func(dst []byte, i int) []byte { return strconv.AppendInt(dst, a.Value(i), 10) })
	case *array.Float32:
		return floatColumn(a, func(i int) float64 { return float64(a.Value(i)) }, 32)
	case *array.Float64:
		return floatColumn(a, a.Value, 64)
	case *array.String:
		return textColumn(a, a.Value)
	case *array.LargeString:
		return textColumn(a, a.Value)
	case *array.Binary:
		return quoted(func(dst []byte, i int) []byte { return hex.AppendEncode(dst, a.Value(i)) })
	case *array.LargeBinary:
		return quoted(func(dst []byte, i int) []byte { return hex.AppendEncode(dst, a.Value(i)) })
	case *array.FixedSizeBinary:
		return quoted(func(dst []byte, i int) []byte { return hex.AppendEncode(dst, a.Value(i)) })
	case *extensions.UUIDArray:
		return quoted(func(dst []byte, i int) []byte { return append(dst, a.Value(i).String()...) })
	case *array.Decimal128:
		scale := a.DataType().(*arrow.Decimal128Type).Scale
		return quoted(func(dst []byte, i int) []byte { return append(dst, a.Value(i).ToString(scale)...) })
	case *array.Date32:
		return quoted(func(dst []byte, i int) []byte { return a.Value(i).ToTime().AppendFormat(dst, time.DateOnly) })
	case *array.Time64:
		unit := a.DataType().(*arrow.Time64Type).Unit
		return quoted(func(dst []byte, i int) []byte {
			return a.Value(i).ToTime(unit).AppendFormat(dst, "15:04:05.999999999")
		})
	case *array.Timestamp:
		t := a.DataType().(*arrow.TimestampType)
		layout := "2006-01-02T15:04:05.999999999"
		if t.TimeZone != "" {
			layout += "Z"
		}
		return quoted(func(dst []byte, i int) []byte { return a.Value(i).ToTime(t.Unit).UTC().AppendFormat(dst, layout) })
	case *extensions.VariantArray:
		return bare(variantCell(a))
	case *array.Struct:
		return bare(structCell(a))
	case *array.Map:
		return bare(mapCell(a))
	case array.ListLike:
		return bare(listCell(a))
	case array.ExtensionArray:
		return columnOf(a.Storage())
	}
	return textColumn(a, a.ValueStr)
}

func floatColumn(a arrow.Array, value func(int) float64, bits int) column {
	text := func(dst []byte, i int) []byte {
		v := value(i)
		switch {
		case math.IsInf(v, 1):
			return append(dst, "Infinity"...)
		case math.IsInf(v, -1):
			return append(dst, "-Infinity"...)
		}
		return strconv.AppendFloat(dst, v, 'g', -1, bits)
	}
	return column{a, func(dst []byte, i int) []byte {
		if v := value(i); math.IsNaN(v) || math.IsInf(v, 0) {
			return quote(text)(dst, i)
		}
		return text(dst, i)
	}, text}
}

func textColumn(a arrow.Array, value func(int) string) column {
	return column{
		a, func(dst []byte, i int) []byte { return appendString(dst, value(i)) },
		func(dst []byte, i int) []byte { return append(dst, value(i)...) },
	}
}

func quote(text cell) cell {
	return func(dst []byte, i int) []byte { return append(text(append(dst, '"'), i), '"') }
}

// appendJSON appends the value at i, or null.
func (c column) appendJSON(dst []byte, i int) []byte {
	if c.IsNull(i) {
		return append(dst, "null"...)
	}
	return c.json(dst, i)
}

func structCell(a *array.Struct) cell {
	names, fields := make([]string, a.NumField()), make([]column, a.NumField())
	for f := range fields {
		names[f] = string(appendString(nil, a.DataType().(*arrow.StructType).Field(f).Name))
		fields[f] = columnOf(a.Field(f))
	}
	return func(dst []byte, i int) []byte {
		dst = append(dst, '{')
		for f, field := range fields {
			if f > 0 {
				dst = append(dst, ',')
			}
			dst = append(append(dst, names[f]...), ':')
			dst = field.appendJSON(dst, i)
		}
		return append(dst, '}')
	}
}

func listCell(a array.ListLike) cell {
	values := columnOf(a.ListValues())
	return func(dst []byte, i int) []byte {
		start, end := a.ValueOffsets(i)
		dst = append(dst, '[')
		for v := start; v < end; v++ {
			if v > start {
				dst = append(dst, ',')
			}
			dst = values.appendJSON(dst, int(v))
		}
		return append(dst, ']')
	}
}

func mapCell(a *array.Map) cell {
	keys, items := columnOf(a.Keys()), columnOf(a.Items())
	return func(dst []byte, i int) []byte {
		start, end := a.ValueOffsets(i)
		dst = append(dst, '{')
		for v := start; v < end; v++ {
			if v > start {
				dst = append(dst, ',')
			}
			dst = appendString(dst, string(keys.text(nil, int(v))))
			dst = items.appendJSON(append(dst, ':'), int(v))
		}
		return append(dst, '}')
	}
}

// variantCell spells variants; one that is corrupt as a string that says so.
func variantCell(a *extensions.VariantArray) cell {
	return func(dst []byte, i int) []byte {
		v, err := a.Value(i)
		if err == nil {
			var out []byte
			if out, err = variant.AppendJSON(dst, v.Metadata().Bytes(), v.Bytes()); err == nil {
				return out
			}
		}
		return appendString(dst, err.Error())
	}
}

// appendString appends s as a JSON string. What is not UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte { return variant.AppendString(dst, s) }
