package catalog

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

func metaOf(t *testing.T, version int, schema *iceberg.Schema, partitionBy string) table.Metadata {
	t.Helper()
	p, err := TableSpec{PartitionBy: partitionBy, FormatVersion: version}.parse(schema)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := table.NewMetadata(schema, &p.spec, p.order, "mem://x", p.props)
	if err != nil {
		t.Fatal(err)
	}
	return meta
}

func field(id int, name string, typ iceberg.Type, required bool) iceberg.NestedField {
	return iceberg.NestedField{ID: id, Name: name, Type: typ, Required: required}
}

// What is allowed happens, with fresh ids; what is not is left as it is, and said.
func TestCompare(t *testing.T) {
	schema := iceberg.NewSchemaWithIdentifiers(0, []int{1},
		field(1, "id", iceberg.PrimitiveTypes.Int32, true),
		field(2, "place", &iceberg.StructType{FieldList: []iceberg.NestedField{field(3, "lat", iceberg.PrimitiveTypes.Float32, true)}}, false),
		field(4, "tags", &iceberg.ListType{ElementID: 5, Element: iceberg.PrimitiveTypes.Int32, ElementRequired: true}, false),
		field(6, "marks", &iceberg.MapType{KeyID: 7, KeyType: iceberg.PrimitiveTypes.Int32, ValueID: 8, ValueType: iceberg.PrimitiveTypes.Int32}, false),
		field(9, "on", iceberg.PrimitiveTypes.Date, true),
		field(10, "name", iceberg.PrimitiveTypes.String, true),
	)
	long, double := iceberg.PrimitiveTypes.Int64, iceberg.PrimitiveTypes.Float64
	input := iceberg.NewSchema(0,
		field(1, "name", long, false),
		field(2, "id", long, false),
		field(3, "place", &iceberg.StructType{FieldList: []iceberg.NestedField{field(4, "alt", long, false), field(5, "lat", double, false)}}, false),
		field(6, "tags", &iceberg.ListType{ElementID: 7, Element: long}, false),
		field(8, "marks", &iceberg.MapType{KeyID: 9, KeyType: long, ValueID: 10, ValueType: long}, false),
		field(11, "on", iceberg.PrimitiveTypes.Timestamp, false),
		field(12, "new", &iceberg.ListType{ElementID: 13, Element: &iceberg.StructType{FieldList: []iceberg.NestedField{
			field(14, "a", long, true), field(15, "b", iceberg.UnknownType{}, false),
		}}}, false),
		field(16, "nothing", iceberg.UnknownType{}, false),
		field(17, "ns", iceberg.PrimitiveTypes.TimestampNs, false),
	)
	all := func(int) bool { return true }
	d := Evolve{Add: true, Widen: true, Relax: true}.Compare(metaOf(t, 2, schema, "bucket(4, id)"), input, all)
	var b strings.Builder
	for _, c := range d.Changes {
		fmt.Fprintln(&b, c)
	}
	for _, m := range d.Misfits {
		fmt.Fprintf(&b, "not: %s: %v\n", m.SchemaChange, m.Why)
	}
	fmt.Fprintln(&b, d.Schema.ID, d.Schema.IdentifierFieldIDs, typeText(&iceberg.StructType{FieldList: d.Schema.Fields()}))
	want := `widen id from int to long
widen place.lat from float to double
relax place.lat from float! to float
add place.alt long
widen tags.element from int to long
relax tags.element from int! to int
widen marks.value from int to long
relax on from date! to date
relax name from string! to string
add new list<struct<a: long, b: string>>
not: relax id from int! to int: not a change that Iceberg allows: an identifier field must be required
not: widen on from date to timestamp: not a change that Iceberg allows: date to timestamp needs format version 3, and the table has 2
not: widen name from string to long: not a change that Iceberg allows: string to long
not: add ns timestamp_ns: configuration
1 [1] struct<id: long!, place: struct<lat: double, alt: long>, tags: list<long>, marks: map<int, long>, on: date, name: string, new: list<struct<a: long, b: string>>>
`
	got := b.String()
	if i := strings.Index(got, "add ns timestamp_ns:"); i >= 0 { // CheckSchema's own words
		j := strings.IndexByte(got[i:], '\n')
		got = got[:i] + "add ns timestamp_ns: configuration" + got[i+j:]
	}
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for id, name := range map[int]string{1: "id", 3: "place.lat", 11: "place.alt", 12: "new", 13: "new.element", 14: "new.element.a"} {
		if now, _ := d.Schema.FindColumnName(id); now != name {
			t.Errorf("id %d is %q, want %q", id, now, name)
		}
	}

	// Nothing allowed: nothing changes, and what would have helped is told without a reason against it.
	d = Evolve{}.Compare(metaOf(t, 2, schema, ""), input, all)
	if len(d.Changes) > 0 || d.Schema.ID != 0 || len(d.Misfits) != 14 || d.Misfits[0].Why != nil {
		t.Errorf("%+v", d)
	}
}

// Files fit a schema that knows their fields by the same ids, names and types, or wider ones.
func TestFits(t *testing.T) {
	staged := iceberg.NewSchema(1, field(1, "a", iceberg.PrimitiveTypes.Int32, false), field(2, "b", iceberg.PrimitiveTypes.String, false))
	for _, c := range []struct {
		fields []iceberg.NestedField
		fits   bool
	}{
		{[]iceberg.NestedField{field(1, "a", iceberg.PrimitiveTypes.Int32, false), field(2, "b", iceberg.PrimitiveTypes.String, true)}, true},
		{[]iceberg.NestedField{field(1, "a", iceberg.PrimitiveTypes.Int64, false), field(2, "b", iceberg.PrimitiveTypes.String, false), field(3, "c", iceberg.PrimitiveTypes.Date, false)}, true},
		{[]iceberg.NestedField{field(1, "a", iceberg.PrimitiveTypes.Int32, false)}, false},
		{[]iceberg.NestedField{field(1, "a", iceberg.PrimitiveTypes.Int32, false), field(2, "c", iceberg.PrimitiveTypes.String, false)}, false},
		{[]iceberg.NestedField{field(1, "a", iceberg.PrimitiveTypes.String, false), field(2, "b", iceberg.PrimitiveTypes.String, false)}, false},
	} {
		err := Fits(staged, iceberg.NewSchema(2, c.fields...), 2)
		if (err == nil) != c.fits || err != nil && !errors.Is(err, ErrConflict) {
			t.Errorf("%v: %v", c.fields, err)
		}
	}
}
