package stage

import (
	"fmt"
	"math/big"

	"github.com/apache/arrow-go/v18/parquet"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"
	"github.com/apache/iceberg-go"
)

// node mirrors one Iceberg field: how its Parquet levels come from a column.
type node struct {
	shape    shape
	optional bool
	kids     []*node // struct: fields; list: element; map: key and value
	kidAt    []int   // struct: where each kid is among the column's
	leaf     *leaf
}

// leafCount is how many leaves are at n and below; n may be nil.
func (n *node) leafCount() int {
	switch {
	case n == nil:
		return 0
	case n.leaf != nil:
		return 1
	}
	count := 0
	for _, kid := range n.kids {
		count += kid.leafCount()
	}
	return count
}

type shape uint8

const (
	shapeLeaf shape = iota
	shapeStruct
	shapeList
	shapeMap
)

// leaf is one Parquet column.
type leaf struct {
	id             int    // of the Iceberg field; the two leaves of a variant have the same
	path           string // Iceberg's full name
	typ            iceberg.Type
	physical       parquet.Type
	width          int // bytes of a fixed-length value
	maxDef, maxRep int16
	// listDef is the definition level from which on a slot exists in the innermost list.
	listDef int16
	mode    metricsMode
	bloom   bloomMode
	variant bool // one of a variant's two, which have no bounds, and the same counts
}

// parquetSchema returns the Parquet schema of an Iceberg schema as Iceberg's Java writer lays
// it out (physical types, three-level lists, field ids on every field), the nodes of its
// columns, nil for one of type unknown, and all leaves in Parquet's order. Errors wrap
// ErrUnsupported.
func parquetSchema(schema *iceberg.Schema) (root *pqschema.GroupNode, nodes []*node, leaves []*leaf, err error) {
	b := schemaBuilder{}
	fields, nodes, _, err := b.fields(schema.Fields(), "", levelsAt{})
	if err != nil {
		return nil, nil, nil, err
	}
	root, err = pqschema.NewGroupNode("table", parquet.Repetitions.Required, fields, -1)
	if err == nil && len(fields) == 0 {
		err = fmt.Errorf("%w: a table without columns", ErrUnsupported)
	}
	return root, nodes, b.leaves, err
}

type schemaBuilder struct{ leaves []*leaf }

// levelsAt are the maximum levels above a field.
type levelsAt struct{ def, rep, listDef int16 }

// fields builds the members of a struct: nodes has one entry per field, nil where it has no
// Parquet column, at their positions.
func (b *schemaBuilder) fields(fs []iceberg.NestedField, prefix string, at levelsAt) (pq pqschema.FieldList, nodes []*node, pos []int, err error) {
	for i, f := range fs {
		if _, unknown := f.Type.(iceberg.UnknownType); unknown {
			nodes = append(nodes, nil) // always null: the spec stores nothing
			continue
		}
		p, n, err := b.field(f, prefix+f.Name, at)
		if err != nil {
			return nil, nil, nil, err
		}
		pq, nodes, pos = append(pq, p), append(nodes, n), append(pos, i)
	}
	return pq, nodes, pos, nil
}

func (b *schemaBuilder) field(f iceberg.NestedField, path string, at levelsAt) (pqschema.Node, *node, error) {
	rep := parquet.Repetitions.Required
	n := &node{optional: !f.Required}
	if n.optional {
		rep = parquet.Repetitions.Optional
		at.def++
	}
	if at.def > mostLevels {
		return nil, nil, fmt.Errorf("%w: column %q is nested more than %d levels deep", ErrUnsupported, path, mostLevels)
	}
	id := int32(f.ID)
	switch t := f.Type.(type) {
	case *iceberg.StructType:
		n.shape = shapeStruct
		fields, kids, pos, err := b.fields(t.FieldList, path+".", at)
		if err != nil {
			return nil, nil, err
		}
		if len(fields) == 0 {
			return nil, nil, fmt.Errorf("%w: column %q is a struct without fields", ErrUnsupported, path)
		}
		for _, p := range pos {
			n.kids = append(n.kids, kids[p])
		}
		n.kidAt = pos
		g, err := pqschema.NewGroupNode(f.Name, rep, fields, id)
		return g, n, err
	case *iceberg.ListType:
		n.shape = shapeList
		el := t.ElementField()
		el.Name = "element"
		e, kid, err := b.field(el, path+".element", levelsAt{at.def + 1, at.rep + 1, at.def + 1})
		if err != nil {
			return nil, nil, err
		}
		n.kids = []*node{kid}
		g, err := pqschema.ListOfWithName(f.Name, e, rep, id)
		return g, n, err
	case *iceberg.MapType:
		n.shape = shapeMap
		inner := levelsAt{at.def + 1, at.rep + 1, at.def + 1}
		key, value := t.KeyField(), t.ValueField()
		key.Name, value.Name, key.Required = "key", "value", true
		k, keyNode, err := b.field(key, path+".key", inner)
		if err != nil {
			return nil, nil, err
		}
		v, valueNode, err := b.field(value, path+".value", inner)
		if err != nil {
			return nil, nil, err
		}
		n.kids = []*node{keyNode, valueNode}
		g, err := pqschema.MapOf(f.Name, k, v, rep, id)
		return g, n, err
	case iceberg.VariantType:
		return b.variant(f, path, rep, n, at)
	}
	l := &leaf{id: f.ID, path: path, typ: f.Type, maxDef: at.def, maxRep: at.rep, listDef: at.listDef}
	logical, err := l.physicalType()
	if err != nil {
		return nil, nil, err
	}
	n.leaf = l
	b.leaves = append(b.leaves, l)
	p, err := pqschema.NewPrimitiveNodeLogical(f.Name, rep, logical, l.physical, l.width, id)
	return p, n, err
}

// variant builds the group of a variant, which is as a struct of two byte arrays to the levels. Its
// members have no field ids. Source: iceberg.apache.org/spec/#parquet.
func (b *schemaBuilder) variant(f iceberg.NestedField, path string, rep parquet.Repetition, n *node, at levelsAt) (pqschema.Node, *node, error) {
	n.shape, n.kidAt = shapeStruct, []int{0, 1}
	var fields pqschema.FieldList
	for _, name := range []string{"metadata", "value"} {
		l := &leaf{
			id: f.ID, path: path, typ: iceberg.PrimitiveTypes.Binary, physical: parquet.Types.ByteArray,
			maxDef: at.def, maxRep: at.rep, listDef: at.listDef, variant: true,
		}
		p, err := pqschema.NewPrimitiveNode(name, parquet.Repetitions.Required, l.physical, -1, 0)
		if err != nil {
			return nil, nil, err
		}
		b.leaves, fields = append(b.leaves, l), append(fields, p)
		n.kids = append(n.kids, &node{leaf: l})
	}
	g, err := pqschema.NewGroupNodeLogical(f.Name, rep, fields, pqschema.VariantLogicalType{}, int32(f.ID))
	return g, n, err
}

// physicalType sets how the leaf's values are stored, and returns their logical type.
func (l *leaf) physicalType() (pqschema.LogicalType, error) {
	switch t := l.typ.(type) {
	case iceberg.BooleanType:
		l.physical = parquet.Types.Boolean
	case iceberg.Int32Type:
		l.physical = parquet.Types.Int32
	case iceberg.Int64Type:
		l.physical = parquet.Types.Int64
	case iceberg.Float32Type:
		l.physical = parquet.Types.Float
	case iceberg.Float64Type:
		l.physical = parquet.Types.Double
	case iceberg.DateType:
		l.physical = parquet.Types.Int32
		return pqschema.DateLogicalType{}, nil
	case iceberg.TimeType:
		l.physical = parquet.Types.Int64
		return pqschema.NewTimeLogicalType(false, pqschema.TimeUnitMicros), nil
	case iceberg.TimestampType:
		l.physical = parquet.Types.Int64
		return pqschema.NewTimestampLogicalTypeForce(false, pqschema.TimeUnitMicros), nil
	case iceberg.TimestampTzType:
		l.physical = parquet.Types.Int64
		return pqschema.NewTimestampLogicalTypeForce(true, pqschema.TimeUnitMicros), nil
	case iceberg.TimestampNsType:
		l.physical = parquet.Types.Int64
		return pqschema.NewTimestampLogicalTypeForce(false, pqschema.TimeUnitNanos), nil
	case iceberg.TimestampTzNsType:
		l.physical = parquet.Types.Int64
		return pqschema.NewTimestampLogicalTypeForce(true, pqschema.TimeUnitNanos), nil
	case iceberg.StringType:
		l.physical = parquet.Types.ByteArray
		return pqschema.StringLogicalType{}, nil
	case iceberg.BinaryType:
		l.physical = parquet.Types.ByteArray
	case iceberg.FixedType:
		l.physical, l.width = parquet.Types.FixedLenByteArray, t.Len()
	case iceberg.UUIDType:
		l.physical, l.width = parquet.Types.FixedLenByteArray, 16
		return pqschema.UUIDLogicalType{}, nil
	case iceberg.DecimalType:
		switch {
		case t.Precision() <= 9:
			l.physical = parquet.Types.Int32
		case t.Precision() <= 18:
			l.physical = parquet.Types.Int64
		default:
			l.physical, l.width = parquet.Types.FixedLenByteArray, decimalWidth(t.Precision())
		}
		return pqschema.NewDecimalLogicalType(int32(t.Precision()), int32(t.Scale())), nil
	default:
		return nil, fmt.Errorf("%w: column %q has type %s", ErrUnsupported, l.path, l.typ)
	}
	return pqschema.NoLogicalType{}, nil
}

// decimalWidth is the fewest bytes of two's complement that hold precision digits.
func decimalWidth(precision int) int {
	limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	return limit.Sub(limit, big.NewInt(1)).BitLen()/8 + 1 // a bit more for the sign
}
