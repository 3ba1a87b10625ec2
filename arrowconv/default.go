package arrowconv

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
)

// maxDefaultLong bounds the default of a long: metadata is JSON, whose readers, iceberg-go among
// them, take a number for a double.
const maxDefaultLong = 1 << 53

// ParseDefault returns the default value that text spells for a field of the primitive type t, by the
// rules of texts in docs/types.md (UTC is the zone of timestamps without one). The result is what
// Iceberg's JSON has for it, and so what NestedField.InitialDefault and WriteDefault hold once metadata
// was read: a bool, a float64 for the numbers but decimals, else a string. Errors wrap ErrInput: for a
// text that is no t, for types that have no default but null (nested ones, variant, unknown), for NaN and
// infinities, which JSON lacks, and for longs beyond 2^53.
// Source: iceberg.apache.org/spec/#json-single-value-serialization.
func ParseDefault(t iceberg.Type, text string) (any, error) {
	a, err := defaultArray(t, text)
	if err != nil {
		return nil, err
	}
	defer a.Release()
	switch a := a.(type) {
	case *array.Boolean:
		return a.Value(0), nil
	case *array.Int32:
		return float64(a.Value(0)), nil
	case *array.Int64:
		if v := a.Value(0); v < -maxDefaultLong || v > maxDefaultLong {
			return nil, inputErrorf("", "default %s: of a long it lies between -2^53 and 2^53, which JSON holds exactly", text)
		}
		return float64(a.Value(0)), nil
	case *array.Float32:
		return finiteDefault(float64(a.Value(0)), text)
	case *array.Float64:
		return finiteDefault(a.Value(0), text)
	case *array.Decimal128:
		return a.Value(0).ToString(int32(t.(iceberg.DecimalType).Scale())), nil
	case *array.Date32:
		return a.Value(0).ToTime().Format(time.DateOnly), nil
	case *array.Time64:
		return a.Value(0).ToTime(arrow.Microsecond).Format("15:04:05.999999"), nil
	case *array.Timestamp:
		at := a.DataType().(*arrow.TimestampType)
		layout := "2006-01-02T15:04:05.999999999"
		if at.TimeZone != "" {
			layout += "-07:00"
		}
		return a.Value(0).ToTime(at.Unit).UTC().Format(layout), nil
	case *array.String:
		return a.Value(0), nil
	case *extensions.UUIDArray:
		return a.Value(0).String(), nil
	case *array.FixedSizeBinary:
		return hex.EncodeToString(a.Value(0)), nil
	case *array.Binary:
		return hex.EncodeToString(a.Value(0)), nil
	}
	return nil, noDefault(t)
}

func finiteDefault(v float64, text string) (any, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, inputErrorf("", "default %s: JSON, which metadata is, has no such number", text)
	}
	return v, nil
}

func noDefault(t iceberg.Type) error {
	return inputErrorf("", "default: a field of type %s can have none but null", FormatType(t))
}

// defaultArray is an array of one value: the one that text spells.
func defaultArray(t iceberg.Type, text string) (arrow.Array, error) {
	switch t.(type) {
	case iceberg.VariantType, iceberg.UnknownType:
		return nil, noDefault(t)
	}
	parse, err := newTextParser(t, time.UTC, '.')
	if err != nil {
		return nil, noDefault(t)
	}
	as, err := ArrowSchema(iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "v", Type: t}))
	if err != nil {
		return nil, err
	}
	b := array.NewBuilder(memory.DefaultAllocator, as.Field(0).Type)
	defer b.Release()
	if f := parse([]byte(text), b); f != faultNone {
		why := ""
		if f.String() != "" {
			why = ": " + f.String()
		}
		return nil, inputErrorf("", "default %s is no %s%s", quoteShort(text), FormatType(t), why)
	}
	return b.NewArray(), nil
}

// FormatDefault returns the text of v, a default value of a field of type t as metadata holds it: in the
// form that ParseDefault gives, or as the Go type that iceberg-go has for the type. ParseDefault reads
// the text back. Errors wrap ErrInput: v is no default of such a field.
func FormatDefault(t iceberg.Type, v any) (string, error) {
	text, ok := defaultText(t, v)
	if !ok {
		if _, err := newTextParser(t, nil, '.'); err != nil {
			return "", noDefault(t)
		}
		return "", inputErrorf("", "default %v is no %s", v, FormatType(t))
	}
	canonical, err := ParseDefault(t, text)
	if err != nil {
		return "", err
	}
	text, _ = defaultText(t, canonical)
	return text, nil
}

func defaultText(t iceberg.Type, v any) (string, bool) {
	switch v := v.(type) {
	case string:
		switch t.(type) {
		case iceberg.BooleanType, iceberg.Int32Type, iceberg.Int64Type, iceberg.Float32Type, iceberg.Float64Type:
			return v, false // JSON has words and numbers for these
		}
		return v, true
	case bool:
		_, ok := t.(iceberg.BooleanType)
		return strconv.FormatBool(v), ok
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return "", false
		}
		return defaultText(t, f)
	case float32:
		_, ok := t.(iceberg.Float32Type)
		return strconv.FormatFloat(float64(v), 'g', -1, 32), ok
	case float64:
		switch t.(type) {
		case iceberg.Float32Type:
			return strconv.FormatFloat(v, 'g', -1, 32), true
		case iceberg.Float64Type:
			return strconv.FormatFloat(v, 'g', -1, 64), true
		}
		if v != math.Trunc(v) || math.Abs(v) > maxDefaultLong {
			return "", false
		}
		return defaultInteger(t, int64(v))
	case int:
		return defaultInteger(t, int64(v))
	case int32:
		return defaultInteger(t, int64(v))
	case int64:
		return defaultInteger(t, v)
	case iceberg.Date:
		return defaultInteger(t, int64(v))
	case iceberg.Time:
		return defaultInteger(t, int64(v))
	case iceberg.Timestamp:
		return defaultInteger(t, int64(v))
	case iceberg.TimestampNano:
		return defaultInteger(t, int64(v))
	case iceberg.Decimal:
		return v.Val.ToString(int32(v.Scale)), true
	case uuid.UUID:
		return v.String(), true
	case []byte:
		return hex.EncodeToString(v), true
	}
	return "", false
}

// defaultInteger is the text of a number, or of the date or time that it counts from 1970-01-01: what
// iceberg-go holds for them.
func defaultInteger(t iceberg.Type, v int64) (string, bool) {
	const local = "2006-01-02T15:04:05.999999999"
	switch t.(type) {
	case iceberg.Int32Type, iceberg.Int64Type, iceberg.Float32Type, iceberg.Float64Type:
		return strconv.FormatInt(v, 10), true
	case iceberg.DateType:
		return time.Unix(v*secondsPerDay, 0).UTC().Format(time.DateOnly), true
	case iceberg.TimeType:
		return time.UnixMicro(v).UTC().Format("15:04:05.999999"), true
	case iceberg.TimestampType:
		return time.UnixMicro(v).UTC().Format(local), true
	case iceberg.TimestampTzType:
		return time.UnixMicro(v).UTC().Format(local + "Z"), true
	case iceberg.TimestampNsType:
		return time.Unix(0, v).UTC().Format(local), true
	case iceberg.TimestampTzNsType:
		return time.Unix(0, v).UTC().Format(local + "Z"), true
	}
	return "", false
}

// checkDefaults sees to it that every write-default is one, in nested fields too.
func checkDefaults(fields []iceberg.NestedField) error {
	for _, f := range fields {
		if f.WriteDefault != nil {
			if _, err := FormatDefault(f.Type, f.WriteDefault); err != nil {
				return inputErrorf("", "column %s: write-%w", quoteShort(f.Name), err)
			}
		}
		if n, ok := f.Type.(iceberg.NestedType); ok {
			if err := checkDefaults(n.Fields()); err != nil {
				return err
			}
		}
	}
	return nil
}

// newDefault returns what stands in for f, whose Arrow type is dt, where rows come without it: its
// write-default, which checkDefaults has seen. nil is null.
func newDefault(f iceberg.NestedField, dt arrow.DataType) *substitute {
	if f.WriteDefault == nil {
		return nil
	}
	text, err := FormatDefault(f.Type, f.WriteDefault)
	if err != nil {
		return nil
	}
	s := &substitute{field: f, text: text, preset: true}
	s.value, s.fault = oneValue(f.Type, dt, text, Options{TimeZone: time.UTC})
	return s
}
