package arrowconv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/iceberg-go"
)

// inferParquet takes the schema from the file's footer; no row is read.
func inferParquet(_ context.Context, in Input, o InferOptions) (*iceberg.Schema, error) {
	f, err := openParquet(in, o.Options)
	if err != nil {
		return nil, err
	}
	defer f.close()
	columns, err := f.fields()
	if err != nil {
		return nil, err
	}
	if len(columns) == 0 {
		return nil, inputErrorf("", "%s: the file has no columns", in.Name)
	}
	id := 0
	var fields []iceberg.NestedField
	for _, c := range columns {
		t, err := icebergType(c.Type, &id, o.FormatVersion)
		if err != nil {
			return nil, inputErrorf("name the columns' types with --schema FILE", "%s: column %s: %w", in.Name, quoteShort(c.Name), err)
		}
		id++
		fields = append(fields, iceberg.NestedField{ID: id, Name: c.Name, Type: t})
	}
	return freshIDs(fields)
}

// icebergType is the narrowest Iceberg type, of the format version, for the values of a Parquet column;
// every field of it is optional. id counts provisional field ids.
func icebergType(t arrow.DataType, id *int, version int) (iceberg.Type, error) {
	next := func() int { *id++; return *id }
	switch t := t.(type) {
	case *arrow.BooleanType:
		return iceberg.PrimitiveTypes.Bool, nil
	case *arrow.Int8Type, *arrow.Int16Type, *arrow.Int32Type, *arrow.Uint8Type, *arrow.Uint16Type:
		return iceberg.PrimitiveTypes.Int32, nil
	case *arrow.Int64Type, *arrow.Uint32Type:
		return iceberg.PrimitiveTypes.Int64, nil
	case *arrow.Uint64Type:
		return iceberg.DecimalTypeOf(20, 0), nil
	case *arrow.Float16Type, *arrow.Float32Type:
		return iceberg.PrimitiveTypes.Float32, nil
	case *arrow.Float64Type:
		return iceberg.PrimitiveTypes.Float64, nil
	case *arrow.Decimal128Type:
		return iceberg.DecimalTypeOf(int(t.Precision), int(t.Scale)), nil
	case *arrow.Date32Type:
		return iceberg.PrimitiveTypes.Date, nil
	case *arrow.Time32Type, *arrow.Time64Type:
		return iceberg.PrimitiveTypes.Time, nil
	case *arrow.TimestampType:
		nanos := t.Unit == arrow.Nanosecond && version >= 3
		switch {
		case nanos && t.TimeZone != "":
			return iceberg.PrimitiveTypes.TimestampTzNs, nil
		case nanos:
			return iceberg.PrimitiveTypes.TimestampNs, nil
		case t.TimeZone != "":
			return iceberg.PrimitiveTypes.TimestampTz, nil
		}
		return iceberg.PrimitiveTypes.Timestamp, nil
	case *arrow.StringType, *arrow.NullType:
		return iceberg.PrimitiveTypes.String, nil
	case *arrow.BinaryType:
		return iceberg.PrimitiveTypes.Binary, nil
	case *arrow.FixedSizeBinaryType:
		return iceberg.FixedTypeOf(t.ByteWidth), nil
	case *arrow.StructType:
		var fields []iceberg.NestedField
		for _, f := range t.Fields() {
			kid, err := icebergType(f.Type, id, version)
			if err != nil {
				return nil, err
			}
			fields = append(fields, iceberg.NestedField{ID: next(), Name: f.Name, Type: kid})
		}
		return &iceberg.StructType{FieldList: fields}, nil
	case *arrow.MapType:
		key, err := icebergType(t.KeyType(), id, version)
		if err != nil {
			return nil, err
		}
		value, err := icebergType(t.ItemType(), id, version)
		return &iceberg.MapType{KeyID: next(), KeyType: key, ValueID: next(), ValueType: value}, err
	case *arrow.ListType:
		elem, err := icebergType(t.Elem(), id, version)
		return &iceberg.ListType{ElementID: next(), Element: elem}, err
	case arrow.ExtensionType:
		if t.ExtensionName() == "arrow.uuid" {
			return iceberg.PrimitiveTypes.UUID, nil
		}
		if extensions.IsVariantExtensionName(t.ExtensionName()) {
			return iceberg.VariantType{}, nil
		}
		return icebergType(t.StorageType(), id, version)
	}
	return nil, fmt.Errorf("no Iceberg type holds the values of Parquet's %s", t)
}

// rowJSON is the row at i as JSON, the columns as the file has them.
func (f *parquetFile) rowJSON(columns []arrow.Array, i int) []byte {
	var out bytes.Buffer
	out.WriteByte('{')
	for c, a := range columns {
		if a == nil {
			continue
		}
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		name, _ := json.Marshal(f.to.fields[c].Name)
		value, err := json.Marshal(a.GetOneForMarshal(i))
		if err != nil { // NaN and the infinities, which JSON lacks
			value, _ = json.Marshal(a.ValueStr(i))
		}
		out.Write(name)
		out.WriteByte(':')
		out.Write(value)
	}
	out.WriteByte('}')
	return out.Bytes()
}
