package arrowconv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/decimal256"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/twmb/avro"
)

// avroRecord is what the rows of a file are made of.
type avroRecord struct{ columns []avroColumn }

type avroColumn struct {
	name string
	typ  avroType
}

// avroType is a type of Avro's: what its values are as Arrow, and how they are read.
type avroType struct {
	// arrow is what read appends to the builder of, and infer what inference takes it for: the two differ where
	// values must be looked at to be known, as with decimals of more digits than they may have.
	arrow, infer arrow.DataType
	read         func(*avroData, array.Builder)
}

// newAvroRecord plans the reading of rows of a schema; errors say which column cannot be read and why.
func newAvroRecord(root *avro.SchemaNode) (*avroRecord, error) {
	if root.Type != "record" {
		return nil, fmt.Errorf("the Avro file holds values of type %s, and rows are records", root.Type)
	}
	p := &avroPlanner{named: make(map[string]*avro.SchemaNode), open: make(map[string]bool)}
	columns, err := p.columns(root, "", "")
	return &avroRecord{columns}, err
}

func (r *avroRecord) fields() (fields []arrow.Field) {
	for _, c := range r.columns {
		fields = append(fields, arrow.Field{Name: c.name, Type: c.typ.arrow, Nullable: true})
	}
	return fields
}

// inferred are the fields as inference takes them.
func (r *avroRecord) inferred() (fields []arrow.Field) {
	for _, c := range r.columns {
		fields = append(fields, arrow.Field{Name: c.name, Type: c.typ.infer, Nullable: true})
	}
	return fields
}

// avroPlanner knows the named types that were defined on the way to a node.
type avroPlanner struct {
	named map[string]*avro.SchemaNode
	open  map[string]bool // those that the node lies within
}

func avroFullName(n *avro.SchemaNode) string {
	if n.Namespace == "" || strings.Contains(n.Name, ".") {
		return n.Name
	}
	return n.Namespace + "." + n.Name
}

// columns are the fields of a record; path is that of the record itself.
func (p *avroPlanner) columns(n *avro.SchemaNode, path, space string) ([]avroColumn, error) {
	name := avroFullName(n)
	if p.open[name] {
		return nil, fmt.Errorf("column %s: the Avro type %s holds itself, and a table has no such columns", quoteShort(path), name)
	}
	p.named[name], p.open[name] = n, true
	defer delete(p.open, name)
	var columns []avroColumn
	for i := range n.Fields {
		f := &n.Fields[i]
		at := f.Name
		if path != "" {
			at = path + "." + f.Name
		}
		t, err := p.typ(&f.Type, at, n.Namespace)
		if err != nil {
			return nil, err
		}
		columns = append(columns, avroColumn{f.Name, t})
	}
	return columns, nil
}

func (p *avroPlanner) typ(n *avro.SchemaNode, path, space string) (avroType, error) {
	switch n.Type {
	case "null":
		return avroOf(arrow.Null, func(_ *avroData, b array.Builder) { b.AppendNull() }), nil
	case "boolean":
		return avroOf(arrow.FixedWidthTypes.Boolean, func(d *avroData, b array.Builder) {
			switch v := d.take(1)[0]; v {
			case 0, 1:
				b.(*array.BooleanBuilder).Append(v == 1)
			default:
				panic(fmt.Errorf("a boolean that is %d", v))
			}
		}), nil
	case "int":
		return avroInt(n.LogicalType), nil
	case "long":
		return avroLong(n.LogicalType), nil
	case "float":
		return avroOf(arrow.PrimitiveTypes.Float32, func(d *avroData, b array.Builder) {
			b.(*array.Float32Builder).Append(math.Float32frombits(binary.LittleEndian.Uint32(d.take(4))))
		}), nil
	case "double":
		return avroOf(arrow.PrimitiveTypes.Float64, func(d *avroData, b array.Builder) {
			b.(*array.Float64Builder).Append(math.Float64frombits(binary.LittleEndian.Uint64(d.take(8))))
		}), nil
	case "bytes":
		if n.LogicalType == "decimal" {
			return avroDecimal(n, path, (*avroData).text)
		}
		return avroOf(arrow.BinaryTypes.Binary, func(d *avroData, b array.Builder) {
			b.(*array.BinaryBuilder).Append(d.text())
		}), nil
	case "string":
		t := avroOf(arrow.BinaryTypes.String, func(d *avroData, b array.Builder) {
			b.(*array.StringBuilder).BinaryBuilder.Append(d.text())
		})
		if n.LogicalType == "uuid" {
			t.infer = extensions.NewUUIDType()
		}
		return t, nil
	case "fixed":
		p.named[avroFullName(n)] = n
		return avroFixed(n, path)
	case "enum":
		p.named[avroFullName(n)] = n
		symbols := n.Symbols
		return avroOf(arrow.BinaryTypes.String, func(d *avroData, b array.Builder) {
			i := d.long()
			if i < 0 || i >= int64(len(symbols)) {
				panic(fmt.Errorf("symbol %d of an enum of %d", i, len(symbols)))
			}
			b.(*array.StringBuilder).Append(symbols[i])
		}), nil
	case "record", "error":
		return p.record(n, path, space)
	case "array":
		item, err := p.typ(n.Items, path+".element", space)
		if err != nil {
			return item, err
		}
		return avroType{arrow.ListOf(item.arrow), arrow.ListOf(item.infer), func(d *avroData, b array.Builder) {
			l := b.(*array.ListBuilder)
			l.Append(true)
			d.items(func() { item.read(d, l.ValueBuilder()) })
		}}, nil
	case "map":
		value, err := p.typ(n.Values, path+".value", space)
		if err != nil {
			return value, err
		}
		return avroType{arrow.MapOf(arrow.BinaryTypes.String, value.arrow), arrow.MapOf(arrow.BinaryTypes.String, value.infer), func(d *avroData, b array.Builder) {
			m := b.(*array.MapBuilder)
			m.Append(true)
			d.items(func() {
				m.KeyBuilder().(*array.StringBuilder).BinaryBuilder.Append(d.text())
				value.read(d, m.ItemBuilder())
			})
		}}, nil
	case "union":
		return p.union(n, path, space)
	}
	for _, name := range []string{n.Type, space + "." + n.Type} {
		if known := p.named[name]; known != nil {
			return p.typ(known, path, space)
		}
	}
	return avroType{}, fmt.Errorf("column %s: the Avro type %s is not known", quoteShort(path), quoteShort(n.Type))
}

func (p *avroPlanner) record(n *avro.SchemaNode, path, space string) (avroType, error) {
	columns, err := p.columns(n, path, space)
	if err != nil {
		return avroType{}, err
	}
	if len(columns) == 0 {
		return avroType{}, fmt.Errorf("column %s: a record without fields", quoteShort(path))
	}
	r := &avroRecord{columns}
	return avroType{arrow.StructOf(r.fields()...), arrow.StructOf(r.inferred()...), func(d *avroData, b array.Builder) {
		s := b.(*array.StructBuilder)
		s.Append(true)
		for i, c := range columns {
			c.typ.read(d, s.FieldBuilder(i))
		}
	}}, nil
}

// union reads the union of a type with null, which is how Avro spells optional, and one of a single type.
func (p *avroPlanner) union(n *avro.SchemaNode, path, space string) (avroType, error) {
	var names []string
	var types []avroType
	some, nulls := -1, 0
	for i := range n.Branches {
		t, err := p.typ(&n.Branches[i], path, space)
		if err != nil {
			return t, err
		}
		if types, names = append(types, t), append(names, n.Branches[i].Type); n.Branches[i].Type == "null" {
			nulls++
		} else if some < 0 {
			some = i
		}
	}
	switch {
	case len(types)-nulls > 1:
		return avroType{}, fmt.Errorf("column %s: it is a union of %s, and a column has one type", quoteShort(path), strings.Join(names, ", "))
	case len(types) == 0:
		return avroType{}, fmt.Errorf("column %s: a union of nothing", quoteShort(path))
	case some < 0:
		some = 0
	}
	t := types[some]
	read := t.read
	t.read = func(d *avroData, b array.Builder) {
		switch i := d.long(); {
		case i == int64(some):
			read(d, b)
		case i < 0 || i >= int64(len(types)):
			panic(fmt.Errorf("branch %d of a union of %d", i, len(types)))
		default:
			b.AppendNull()
		}
	}
	return t, nil
}

func avroOf(t arrow.DataType, read func(*avroData, array.Builder)) avroType {
	return avroType{t, t, read}
}

func avroInt(logical string) avroType {
	switch logical {
	case "date":
		return avroOf(arrow.FixedWidthTypes.Date32, func(d *avroData, b array.Builder) {
			b.(*array.Date32Builder).Append(arrow.Date32(d.int()))
		})
	case "time-millis":
		return avroOf(arrow.FixedWidthTypes.Time32ms, func(d *avroData, b array.Builder) {
			b.(*array.Time32Builder).Append(arrow.Time32(d.int()))
		})
	}
	return avroOf(arrow.PrimitiveTypes.Int32, func(d *avroData, b array.Builder) { b.(*array.Int32Builder).Append(d.int()) })
}

func avroLong(logical string) avroType {
	units := map[string]arrow.TimeUnit{"millis": arrow.Millisecond, "micros": arrow.Microsecond, "nanos": arrow.Nanosecond}
	name, zone := logical, "UTC"
	if local, ok := strings.CutPrefix(logical, "local-"); ok {
		name, zone = local, ""
	}
	if suffix, ok := strings.CutPrefix(name, "timestamp-"); ok {
		if unit, ok := units[suffix]; ok {
			return avroOf(&arrow.TimestampType{Unit: unit, TimeZone: zone}, func(d *avroData, b array.Builder) {
				b.(*array.TimestampBuilder).Append(arrow.Timestamp(d.long()))
			})
		}
	}
	if logical == "time-micros" {
		return avroOf(arrow.FixedWidthTypes.Time64us, func(d *avroData, b array.Builder) {
			b.(*array.Time64Builder).Append(arrow.Time64(d.long()))
		})
	}
	return avroOf(arrow.PrimitiveTypes.Int64, func(d *avroData, b array.Builder) { b.(*array.Int64Builder).Append(d.long()) })
}

func avroFixed(n *avro.SchemaNode, path string) (avroType, error) {
	size := int64(n.Size)
	switch {
	case n.LogicalType == "decimal":
		return avroDecimal(n, path, func(d *avroData) []byte { return d.take(size) })
	case n.LogicalType == "duration":
		return avroType{}, fmt.Errorf("column %s: it is a duration, which no column of a table can be", quoteShort(path))
	case size < 1 || size > 1<<20:
		return avroType{}, fmt.Errorf("column %s: fixed of %d bytes", quoteShort(path), size)
	}
	t := avroOf(&arrow.FixedSizeBinaryType{ByteWidth: n.Size}, func(d *avroData, b array.Builder) {
		b.(*array.FixedSizeBinaryBuilder).Append(d.take(size))
	})
	if n.LogicalType == "uuid" && size == 16 {
		t.infer = extensions.NewUUIDType()
	}
	return t, nil
}

// avroDecimal reads decimals: big-endian two's complement, of any length. Their digits are checked by the casts,
// which is why they are read as decimals of the most digits.
func avroDecimal(n *avro.SchemaNode, path string, bytes func(*avroData) []byte) (avroType, error) {
	precision, scale := int32(n.Precision), int32(n.Scale)
	if precision > 76 {
		return avroType{}, fmt.Errorf("column %s: a decimal of %d digits", quoteShort(path), precision)
	}
	if precision > 38 {
		t := avroOf(&arrow.Decimal256Type{Precision: 76, Scale: scale}, func(d *avroData, b array.Builder) {
			v := avroBig(bytes(d))
			if v.BitLen() > 255 {
				panic(errDigits)
			}
			b.(*array.Decimal256Builder).Append(decimal256.FromBigInt(v))
		})
		t.infer = &arrow.Decimal256Type{Precision: precision, Scale: scale}
		return t, nil
	}
	t := avroOf(&arrow.Decimal128Type{Precision: 38, Scale: scale}, func(d *avroData, b array.Builder) {
		v := bytes(d)
		for len(v) > 16 && (v[0] == 0 && v[1] < 0x80 || v[0] == 0xff && v[1] >= 0x80) {
			v = v[1:]
		}
		if len(v) > 16 {
			panic(errDigits)
		}
		var whole [16]byte
		if len(v) > 0 && v[0] >= 0x80 {
			for i := range whole {
				whole[i] = 0xff
			}
		}
		copy(whole[16-len(v):], v)
		b.(*array.Decimal128Builder).Append(decimal128.New(int64(binary.BigEndian.Uint64(whole[:])), binary.BigEndian.Uint64(whole[8:])))
	})
	t.infer = &arrow.Decimal128Type{Precision: precision, Scale: scale}
	return t, nil
}

var errDigits = errors.New("a decimal of more digits than its type may have")

// avroBig is the number that bytes spell in two's complement.
func avroBig(b []byte) *big.Int {
	v := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return v
}
