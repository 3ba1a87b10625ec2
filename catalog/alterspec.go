package catalog

import (
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// evolvedSpec returns the partition spec that expr asks for, for a table that has others already.
// One that the table has had is taken again (known, with its id). A field that some spec has had
// keeps its id and name, since readers match partition fields across specs by them.
//
// In format version 1 fields are found by their position: one that goes leaves a void in its
// place, new ones come behind, and the order is not the caller's to choose.
// Source: iceberg.apache.org/spec/#partition-evolution.
func evolvedSpec(meta table.Metadata, schema *iceberg.Schema, version int, expr string) (spec iceberg.PartitionSpec, known bool, err error) {
	want, err := ParsePartitionBy(expr, schema)
	if err != nil {
		return want, false, err
	}
	if current := meta.PartitionSpec(); sameSpec(want, current, version) {
		return current, true, nil
	}
	for _, s := range slices.Backward(meta.PartitionSpecs()) {
		if sameSpec(want, s, version) {
			return s, true, nil
		}
	}
	b := &specBuilder{meta: meta, next: iceberg.PartitionDataIDStart}
	if last := meta.LastPartitionSpecID(); last != nil {
		b.next = max(b.next, *last+1)
	}
	for _, s := range meta.PartitionSpecs() {
		for _, f := range s.Fields() {
			b.next = max(b.next, f.FieldID+1)
			b.past = append(b.past, f)
		}
	}
	if version == 1 {
		b.voids(want)
	}
	for _, f := range want.Fields() {
		if !b.has(f) {
			b.take(f)
		}
	}
	id := 0
	for _, s := range meta.PartitionSpecs() {
		id = max(id, s.ID()+1)
	}
	return iceberg.NewPartitionSpecID(id, b.fields...), false, nil
}

// sameSpec tells whether two specs partition rows in the same way. In version 1 voids are what is
// left of fields that went, and the order is that of their coming.
func sameSpec(a, b iceberg.PartitionSpec, version int) bool {
	terms := func(s iceberg.PartitionSpec) []string {
		var out []string
		for _, f := range s.Fields() {
			if _, void := f.Transform.(iceberg.VoidTransform); !void || version > 1 {
				out = append(out, fmt.Sprintf("%s(%v)", f.Transform, f.SourceIDs))
			}
		}
		if version == 1 {
			slices.Sort(out)
		}
		return out
	}
	return slices.Equal(terms(a), terms(b))
}

type specBuilder struct {
	meta   table.Metadata
	past   []iceberg.PartitionField // of all specs
	fields []iceberg.PartitionField
	next   int // field id
}

func sameField(a, b iceberg.PartitionField) bool {
	return slices.Equal(a.SourceIDs, b.SourceIDs) && a.Transform.Equals(b.Transform)
}

func (b *specBuilder) has(f iceberg.PartitionField) bool {
	return slices.ContainsFunc(b.fields, func(g iceberg.PartitionField) bool { return sameField(f, g) })
}

// take appends a field, with the id and the name that it had in an earlier spec, if it had.
func (b *specBuilder) take(f iceberg.PartitionField) {
	for _, old := range slices.Backward(b.past) {
		taken := slices.ContainsFunc(b.fields, func(g iceberg.PartitionField) bool { return g.FieldID == old.FieldID })
		if !taken && sameField(f, old) {
			b.fields = append(b.fields, iceberg.PartitionField{SourceIDs: f.SourceIDs, FieldID: old.FieldID, Name: b.free(old.Name, old.FieldID), Transform: f.Transform})
			return
		}
	}
	b.fields = append(b.fields, iceberg.PartitionField{SourceIDs: f.SourceIDs, FieldID: b.next, Name: b.free(f.Name, b.next), Transform: f.Transform})
	b.next++
}

// free is a name that no other partition field has or had: bucket(4, id) and bucket(8, id) would
// both be called id_bucket.
func (b *specBuilder) free(name string, id int) string {
	for _, f := range slices.Concat(b.past, b.fields) {
		if f.Name == name && f.FieldID != id {
			return fmt.Sprintf("%s_%d", name, id)
		}
	}
	return name
}

// voids fills the places that earlier specs of a version 1 table have used: with a field that is
// wanted where it stood before, else with a void.
func (b *specBuilder) voids(want iceberg.PartitionSpec) {
	places := map[int][]iceberg.PartitionField{}
	last := iceberg.PartitionDataIDStart - 1
	for _, f := range b.past {
		places[f.FieldID] = append(places[f.FieldID], f)
		last = max(last, f.FieldID)
	}
	for id := iceberg.PartitionDataIDStart; id <= last; id++ {
		before := places[id]
		if len(before) == 0 {
			continue
		}
		field := before[len(before)-1]
		field.Transform = iceberg.VoidTransform{}
		for _, old := range slices.Backward(before) {
			for _, f := range want.Fields() {
				if sameField(old, f) && !b.has(f) {
					field = old
				}
			}
		}
		b.fields = append(b.fields, iceberg.PartitionField{SourceIDs: field.SourceIDs, FieldID: id, Name: field.Name, Transform: field.Transform})
	}
}
