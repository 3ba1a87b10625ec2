package arrowconv

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/iceberg-go"
)

// icebergType is the narrowest Iceberg type of the format version for the values of an Arrow type, which is
// what the columns of Parquet, Arrow and Avro files are read as;
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
		return decimalType(t, t.Precision, t.Scale)
	case *arrow.Decimal256Type:
		return decimalType(t, t.Precision, t.Scale)
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
		if t.ByteWidth > 0 {
			return iceberg.FixedTypeOf(t.ByteWidth), nil
		}
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
	case *arrow.Date64Type:
		return iceberg.PrimitiveTypes.Date, nil
	case arrow.ExtensionType:
		if t.ExtensionName() == "arrow.uuid" {
			return iceberg.PrimitiveTypes.UUID, nil
		}
		if extensions.IsVariantExtensionName(t.ExtensionName()) {
			return iceberg.VariantType{}, nil
		}
	}
	if plain := plainType(t); plain != t {
		return icebergType(plain, id, version)
	}
	return nil, noType(t)
}

// decimalType holds the values of a decimal of Arrow's, whose scale may be negative or more than its precision.
func decimalType(t arrow.DataType, precision, scale int32) (iceberg.Type, error) {
	if precision > 0 && scale < 0 {
		precision, scale = precision-scale, 0
	}
	if precision = max(precision, scale); precision < 1 || precision > 38 {
		return nil, noType(t)
	}
	return iceberg.DecimalTypeOf(int(precision), int(scale)), nil
}

func noType(t arrow.DataType) error {
	return fmt.Errorf("no Iceberg type holds the values of Arrow's %s", t)
}
