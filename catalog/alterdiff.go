package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
)

// Change is one difference between a table and what an alteration makes of it.
type Change struct {
	// Action is add-column, drop-column, rename-column, change-type, relax-column, document-column,
	// order-columns, identifier-fields, partition-by, sort-by, set-property, unset-property,
	// format-version, or create, set, keep and drop with -branch or -tag.
	Action string `json:"action"`
	// Name is that of the column, property, branch or tag, as it is before.
	Name string `json:"name,omitempty"`
	// Before and After are what it is and what it becomes: types, names, expressions, values, or
	// snapshot ids.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	// Destroys says that another alteration does not bring back what goes.
	Destroys bool `json:"destroys"`
	// ColumnID is the id of the column that a drop-column takes away.
	ColumnID int `json:"column_id,omitempty"`
	// Snapshot is where a branch or a tag is then; 0 where it is gone.
	Snapshot int64 `json:"snapshot_id,omitempty"`
	// Snapshots are those that the change leaves without any branch or tag leading to them: the
	// next expiry removes them. Newest first.
	Snapshots []int64 `json:"unreached_snapshots,omitempty"`
}

func (c Change) equal(d Change) bool {
	return c.Action == d.Action && c.Name == d.Name && c.Before == d.Before && c.After == d.After &&
		c.Destroys == d.Destroys && c.ColumnID == d.ColumnID && slices.Equal(c.Snapshots, d.Snapshots)
}

// schemaChanges tells in what two schemas of a table differ, by the ids of their fields.
func schemaChanges(was, is *iceberg.Schema) []Change {
	d := &schemaDiff{was: was, is: is, old: fieldsByID(was), now: fieldsByID(is)}
	d.drops(was.Fields())
	d.fields(0, is.Fields())
	d.order("", was.Fields(), is.Fields())
	d.identifiers()
	return d.changes
}

type schemaDiff struct {
	was, is  *iceberg.Schema
	old, now map[int]iceberg.NestedField
	changes  []Change
}

func (d *schemaDiff) say(c Change) { d.changes = append(d.changes, c) }

// drops says which fields go; what is in them goes without saying.
func (d *schemaDiff) drops(fields []iceberg.NestedField) {
	for _, f := range fields {
		if _, stays := d.now[f.ID]; !stays {
			name, _ := d.was.FindColumnName(f.ID)
			d.say(Change{Action: "drop-column", Name: name, Before: columnType(f), Destroys: true, ColumnID: f.ID})
			continue
		}
		if n, ok := f.Type.(iceberg.NestedType); ok {
			d.drops(n.Fields())
		}
	}
}

func (d *schemaDiff) fields(parent int, fields []iceberg.NestedField) {
	for _, f := range fields {
		old, known := d.old[f.ID]
		if !known {
			name, _ := d.is.FindColumnName(f.ID)
			d.say(Change{Action: "add-column", Name: name, After: describeNew(f)})
			continue
		}
		name, _ := d.was.FindColumnName(f.ID)
		if old.Name != f.Name {
			to, _ := d.is.FindColumnName(f.ID)
			d.say(Change{Action: "rename-column", Name: name, Before: name, After: to})
		}
		nested, ok := f.Type.(iceberg.NestedType)
		if !ok && typeText(old.Type) != typeText(f.Type) {
			d.say(Change{Action: "change-type", Name: name, Before: typeText(old.Type), After: typeText(f.Type)})
		}
		if old.Required && !f.Required {
			d.say(Change{Action: "relax-column", Name: name, Before: "required", After: "optional"})
		}
		if old.Doc != f.Doc {
			d.say(Change{Action: "document-column", Name: name, Before: old.Doc, After: f.Doc})
		}
		if ok {
			d.fields(f.ID, nested.Fields())
			if was, ok := old.Type.(*iceberg.StructType); ok {
				d.order(name, was.FieldList, nested.Fields())
			}
		}
	}
}

func describeNew(f iceberg.NestedField) string {
	text := columnType(f)
	if f.InitialDefault != nil {
		text += fmt.Sprintf(" default %v", f.InitialDefault)
	}
	if f.Doc != "" {
		text += fmt.Sprintf(" doc %q", f.Doc)
	}
	return text
}

// order says whether columns changed places: those that stay among one another, or a new one that
// does not come last.
func (d *schemaDiff) order(name string, was, is []iceberg.NestedField) {
	usual := slices.DeleteFunc(slices.Clone(was), func(f iceberg.NestedField) bool { _, stays := d.now[f.ID]; return !stays })
	for _, f := range is {
		if _, known := d.old[f.ID]; !known {
			usual = append(usual, f)
		}
	}
	if slices.EqualFunc(usual, is, func(a, b iceberg.NestedField) bool { return a.ID == b.ID }) {
		return
	}
	d.say(Change{Action: "order-columns", Name: name, Before: fieldNames(was), After: fieldNames(is)})
}

func fieldNames(fields []iceberg.NestedField) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = quoteColumn(f.Name)
	}
	return strings.Join(names, ", ")
}

func (d *schemaDiff) identifiers() {
	before, after := IdentifierNames(d.was), IdentifierNames(d.is)
	if slices.Equal(d.was.IdentifierFieldIDs, d.is.IdentifierFieldIDs) {
		return
	}
	was, is := slices.Sorted(slices.Values(d.was.IdentifierFieldIDs)), slices.Sorted(slices.Values(d.is.IdentifierFieldIDs))
	if slices.Equal(was, is) {
		return
	}
	d.say(Change{Action: "identifier-fields", Before: strings.Join(before, ", "), After: strings.Join(after, ", ")})
}

// IdentifierNames are the columns that identify a row, if the table says so.
func IdentifierNames(schema *iceberg.Schema) []string {
	names := []string{}
	for _, id := range schema.IdentifierFieldIDs {
		if name, ok := schema.FindColumnName(id); ok {
			names = append(names, quoteColumn(name))
		}
	}
	slices.Sort(names)
	return names
}
