package slice

import (
	"github.com/apache/iceberg-go"
)

// OfPartition is the condition that a row falls into p, a partition under spec. It may hold
// for every row; String is then no expression. exact is false where it may hold for rows of
// other partitions too, because spec has a transform that we do not know.
func OfPartition(p Partition, spec iceberg.PartitionSpec, schema *iceberg.Schema) (s *Slice, exact bool) {
	return hull([]Partition{p}, spec, schema)
}

// Hull is a condition that holds for every row in one of partitions, all under spec: each
// partition field, by itself, has one of the values that it has there. It may hold for other
// rows as well, and is quicker than one condition per partition.
func Hull(partitions []Partition, spec iceberg.PartitionSpec, schema *iceberg.Schema) *Slice {
	s, _ := hull(partitions, spec, schema)
	return s
}

func hull(partitions []Partition, spec iceberg.PartitionSpec, schema *iceberg.Schema) (s *Slice, exact bool) {
	columns := newNames(schema, nil).byID
	root := &node{op: always}
	exact = true
	for _, field := range spec.Fields() {
		if _, void := field.Transform.(iceberg.VoidTransform); void {
			continue // null in every row
		}
		var k *node
		if c := columns[field.SourceID()]; c != nil && len(field.SourceIDs) == 1 {
			k = tupleCondition(partitions, field, c)
		}
		if k == nil {
			exact = false
			continue
		}
		root = join(and, root, k)
	}
	return newSlice(root), exact
}

// tupleCondition is the condition that field has one of its values in partitions; nil where
// the field tells nothing.
func tupleCondition(partitions []Partition, field iceberg.PartitionField, c *column) *node {
	result, ok := resultLine(field.Transform, c.typ)
	if !ok {
		return nil
	}
	var spans []span
	null := false
	for _, p := range partitions {
		v := p.Values[field.FieldID]
		if v == nil {
			null = true
			continue
		}
		e, ok := result.encode(v)
		if !ok || !honest(field.Transform, result, e) {
			return nil
		}
		spans = append(spans, result.point(e)...)
	}
	s := unite(spans...)
	l, _ := lineOf(c.typ)
	value := term{column: c, line: l}
	if b, ok := field.Transform.(iceberg.BucketTransform); ok {
		k := newLeaf(term{c, b.NumBuckets, result}, s, false)
		if null {
			k = join(or, k, newLeaf(value, nil, true))
		}
		return k
	}
	if s, ok = preimage(field.Transform, c.typ, s); !ok {
		return nil
	}
	return newLeaf(value, s, null)
}

// MayHold tells whether a manifest with these partition summaries, written under spec, may
// list files of partition p, which is under spec too.
func MayHold(m iceberg.ManifestFile, p Partition, spec iceberg.PartitionSpec, schema *iceberg.Schema) bool {
	summaries := m.Partitions()
	if len(summaries) != spec.NumFields() {
		return true
	}
	for i, field := range spec.Fields() {
		src, ok := schema.FindTypeByID(field.SourceID())
		if !ok || len(field.SourceIDs) != 1 {
			continue
		}
		l, ok := resultLine(field.Transform, src)
		if !ok {
			continue
		}
		v := p.Values[field.FieldID]
		if v == nil {
			if !summaries[i].ContainsNull {
				return false
			}
			continue
		}
		if e, ok := l.encode(v); ok && !summarized(l, summaries[i]).contains(e) {
			return false
		}
	}
	return true
}
