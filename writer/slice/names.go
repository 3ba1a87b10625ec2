package slice

import (
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/nearest"
)

// names is what an expression may call things: columns, fields of structs, partition fields.
type names struct {
	columns    map[string]*column
	partitions map[string]operand
	byID       map[int]*column
	all        []string // for the nearest name
}

// operand is what stands left of an operator: a column or a transform of one.
type operand struct {
	column    *column
	transform iceberg.Transform
}

func newNames(schema *iceberg.Schema, specs []iceberg.PartitionSpec) *names {
	n := &names{columns: map[string]*column{}, partitions: map[string]operand{}, byID: map[int]*column{}}
	n.add(nil, schema.Fields())
	for _, spec := range specs {
		for _, f := range spec.Fields() {
			if _, taken := n.partitions[f.Name]; taken || n.columns[f.Name] != nil || len(f.SourceIDs) != 1 {
				continue
			}
			if src := n.byID[f.SourceID()]; src != nil {
				n.partitions[f.Name] = operand{src, f.Transform}
				n.all = append(n.all, f.Name)
			}
		}
	}
	return n
}

func (n *names) add(parent *column, fields []iceberg.NestedField) {
	for _, f := range fields {
		c := &column{id: f.ID, typ: f.Type}
		if parent != nil {
			c.ids, c.names = slices.Clone(parent.ids), slices.Clone(parent.names)
		}
		c.ids, c.names = append(c.ids, f.ID), append(c.names, f.Name)
		c.name = quoteName(c.names)
		n.byID[f.ID] = c
		if full := strings.Join(c.names, "."); n.columns[full] == nil { // the outer one first
			n.columns[full] = c
			n.all = append(n.all, full)
		}
		if s, ok := f.Type.(*iceberg.StructType); ok {
			n.add(c, s.FieldList)
		}
	}
}

// advise gives the name that full was probably meant to be, or else what there is.
func (n *names) advise(full string) string {
	if best := nearest.Name(full, n.all); best != "" {
		return "the nearest name is " + best
	}
	const most = 12
	if len(n.all) > most {
		return "the table has " + strings.Join(n.all[:most], ", ") + " and more"
	}
	return "the table has " + strings.Join(n.all, ", ")
}
