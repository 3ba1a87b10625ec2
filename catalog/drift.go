package catalog

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// Evolve says in which ways a table's schema may change to take an input. The zero value: in none.
type Evolve struct {
	// Add takes up columns and nested fields that only the input has, as optional ones.
	Add bool
	// Widen gives a column the type of the input where Promote allows it.
	Widen bool
	// Relax makes required columns optional.
	Relax bool
}

// The kinds of SchemaChange.
const (
	ChangeAdd   = "add"
	ChangeWiden = "widen"
	ChangeRelax = "relax"
)

// SchemaChange is one change of a table's schema.
type SchemaChange struct {
	// Change is add, widen or relax.
	Change string `json:"change"`
	// Column is the column's path: "place.lat", "tags.element".
	Column string `json:"column"`
	// From and To are types, "!" after that of what is required; From is "" where a column is added.
	From string `json:"from"`
	To   string `json:"to"`
}

// String is the change in one line.
func (c SchemaChange) String() string {
	if c.Change == ChangeAdd {
		return fmt.Sprintf("add %s %s", quoteColumn(c.Column), c.To)
	}
	return fmt.Sprintf("%s %s from %s to %s", c.Change, quoteColumn(c.Column), c.From, c.To)
}

// Misfit is where the input is not as the table has it, and the table stays as it is. Rows may fit
// even so: a long that is small enough fits an int.
type Misfit struct {
	SchemaChange
	// Why is the reason; nil where the change is one that Evolve did not allow.
	Why error
}

// Drift is how an input differs from a table's schema.
type Drift struct {
	// Schema is the table's with Changes: with fresh ids for new fields, and an id of its own. It is the
	// table's own where there is no change.
	Schema  *iceberg.Schema
	Changes []SchemaChange
	Misfits []Misfit
	// Missing are the table's columns that the input lacks.
	Missing []string
}

// Compare says what the input's schema means for a table's. Columns are matched by name, the ids of
// input do not matter; a nil input has the table's columns. nulls tells which of the table's required
// fields are null in some row. A column of the input of type unknown has nothing but nulls and says nothing.
func (e Evolve) Compare(meta table.Metadata, input *iceberg.Schema, nulls func(id int) bool) Drift {
	was := meta.CurrentSchema()
	c := &comparison{Evolve: e, meta: meta, nulls: nulls, identifier: was.IdentifierFieldIDs, id: meta.LastColumnID()}
	if input == nil {
		input = was
	}
	fields := c.fields(was.Fields(), input.Fields(), "")
	d := c.drift
	d.Schema = was
	if len(d.Changes) > 0 {
		id := was.ID
		for _, s := range meta.Schemas() {
			id = max(id, s.ID)
		}
		d.Schema = iceberg.NewSchemaWithIdentifiers(id+1, was.IdentifierFieldIDs, fields...)
	}
	return d
}

type comparison struct {
	Evolve
	meta       table.Metadata
	nulls      func(id int) bool
	identifier []int
	id         int // last one given
	drift      Drift
}

func (c *comparison) fields(was, input []iceberg.NestedField, prefix string) []iceberg.NestedField {
	var out []iceberg.NestedField
	for _, f := range was {
		path := prefix + f.Name
		typ := f.Type
		if i := slices.IndexFunc(input, func(g iceberg.NestedField) bool { return g.Name == f.Name }); i >= 0 {
			typ = c.typ(f, input[i].Type, path)
		} else {
			c.drift.Missing = append(c.drift.Missing, path)
		}
		f.Required = c.required(f, path)
		f.Type = typ
		out = append(out, f)
	}
	for _, g := range input {
		if slices.ContainsFunc(was, func(f iceberg.NestedField) bool { return f.Name == g.Name }) {
			continue
		}
		if _, unknown := g.Type.(iceberg.UnknownType); unknown {
			continue
		}
		next := c.id
		f := iceberg.NestedField{ID: c.fresh(), Name: g.Name, Doc: g.Doc}
		f.Type = c.anew(g.Type)
		change := SchemaChange{ChangeAdd, prefix + f.Name, "", typeText(f.Type)}
		why := checkFields([]iceberg.NestedField{f}, prefix, c.meta.Version())
		if !c.decide(c.Add, change, why) {
			c.id = next
			continue
		}
		out = append(out, f)
	}
	return out
}

// typ is the type of the table's field f once it has taken the input's.
func (c *comparison) typ(f iceberg.NestedField, input iceberg.Type, path string) iceberg.Type {
	switch was := f.Type.(type) {
	case *iceberg.StructType:
		if in, ok := input.(*iceberg.StructType); ok {
			return &iceberg.StructType{FieldList: c.fields(was.FieldList, in.FieldList, path+".")}
		}
	case *iceberg.ListType:
		if in, ok := input.(*iceberg.ListType); ok {
			to := *was
			to.Element = c.typ(was.ElementField(), in.Element, path+".element")
			to.ElementRequired = c.required(was.ElementField(), path+".element")
			return &to
		}
	case *iceberg.MapType:
		// Keys are as they are: to change them is to change which are equal.
		if in, ok := input.(*iceberg.MapType); ok {
			to := *was
			to.ValueType = c.typ(was.ValueField(), in.ValueType, path+".value")
			to.ValueRequired = c.required(was.ValueField(), path+".value")
			return &to
		}
	default:
		if f.Type.Equals(input) {
			return f.Type
		}
		if _, unknown := input.(iceberg.UnknownType); unknown {
			return f.Type
		}
		change := SchemaChange{ChangeWiden, path, typeText(f.Type), typeText(input)}
		if c.decide(c.Widen, change, c.promote(f, input)) {
			return input
		}
		return f.Type
	}
	if _, unknown := input.(iceberg.UnknownType); !unknown {
		why := fmt.Errorf("%w: %s to %s", ErrSchema, typeText(f.Type), typeText(input))
		c.decide(false, SchemaChange{ChangeWiden, path, typeText(f.Type), typeText(input)}, why)
	}
	return f.Type
}

func (c *comparison) promote(f iceberg.NestedField, to iceberg.Type) error {
	if f.InitialDefault != nil || f.WriteDefault != nil {
		return fmt.Errorf("%w: %s to %s of a column with a default value; icewright table alter can", ErrSchema, typeText(f.Type), typeText(to))
	}
	if _, double := to.(iceberg.Float64Type); double && slices.Contains(c.identifier, f.ID) {
		return fmt.Errorf("%w: an identifier field cannot be double", ErrSchema)
	}
	return Promote(f.Type, to, c.meta.Version(), TransformsOf(c.meta, f.ID)...)
}

func (c *comparison) required(f iceberg.NestedField, path string) bool {
	if !f.Required || c.nulls == nil || !c.nulls(f.ID) {
		return f.Required
	}
	var why error
	if slices.Contains(c.identifier, f.ID) {
		why = fmt.Errorf("%w: an identifier field must be required", ErrSchema)
	}
	return !c.decide(c.Relax, SchemaChange{ChangeRelax, path, typeText(f.Type) + "!", typeText(f.Type)}, why)
}

// decide books a change, or why it is none.
func (c *comparison) decide(allowed bool, change SchemaChange, why error) bool {
	if why != nil || !allowed {
		c.drift.Misfits = append(c.drift.Misfits, Misfit{change, why})
		return false
	}
	c.drift.Changes = append(c.drift.Changes, change)
	return true
}

func (c *comparison) fresh() int {
	c.id++
	return c.id
}

// anew is a type for a new column: every id fresh, every field optional, and a string where nothing but
// nulls was seen.
func (c *comparison) anew(t iceberg.Type) iceberg.Type {
	switch t := t.(type) {
	case *iceberg.StructType:
		to := &iceberg.StructType{}
		for _, f := range t.FieldList {
			to.FieldList = append(to.FieldList, iceberg.NestedField{ID: c.fresh(), Name: f.Name, Doc: f.Doc})
		}
		for i, f := range t.FieldList {
			to.FieldList[i].Type = c.anew(f.Type)
		}
		return to
	case *iceberg.ListType:
		to := &iceberg.ListType{ElementID: c.fresh()}
		to.Element = c.anew(t.Element)
		return to
	case *iceberg.MapType:
		to := &iceberg.MapType{KeyID: c.fresh(), ValueID: c.fresh()}
		to.KeyType, to.ValueType = c.anew(t.KeyType), c.anew(t.ValueType)
		return to
	case iceberg.UnknownType:
		return iceberg.PrimitiveTypes.String
	}
	return t
}

// WithSchema returns the table as it will be once schema is its current one. Nothing is changed in the catalog;
// it is for planning, staging and writing what a commit that adds the schema needs.
func WithSchema(t *table.Table, schema *iceberg.Schema) (*table.Table, error) {
	meta, err := table.UpdateTableMetadata(t.Metadata(), SchemaUpdates(t.Metadata(), schema), t.MetadataLocation())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	return table.New(t.Identifier(), meta, t.MetadataLocation(), func(ctx context.Context) (iceio.IO, error) { return t.FS(ctx) }, nil), nil
}

// SchemaUpdates make schema the current one of a table with that metadata.
func SchemaUpdates(meta table.Metadata, schema *iceberg.Schema) []table.Update {
	// Building metadata writes into the schema that it is given.
	own := iceberg.NewSchemaWithIdentifiers(schema.ID, schema.IdentifierFieldIDs, schema.Fields()...)
	return []table.Update{addSchemaUpdate(own, meta), table.NewSetCurrentSchemaUpdate(-1)}
}

// addSchema is the library's update with the field that the REST protocol asked for once and calls
// deprecated now. Servers may still refuse the update without it: Nessie does.
type addSchema struct {
	table.Update `json:"-"`

	Name         string          `json:"action"`
	Schema       *iceberg.Schema `json:"schema"`
	LastColumnID int             `json:"last-column-id"`
}

// addSchemaUpdate returns the update that adds a schema to a table with that metadata.
func addSchemaUpdate(schema *iceberg.Schema, meta table.Metadata) table.Update {
	u := table.NewAddSchemaUpdate(schema)
	return &addSchema{u, u.Action(), schema, max(meta.LastColumnID(), schema.HighestFieldID())}
}

// Fits tells whether data files that were staged under one schema can be part of a table under another: every
// field is still there, by the same id and name, and of a type that the file's can be read as. Errors wrap
// ErrConflict.
func Fits(staged, schema *iceberg.Schema, formatVersion int) error {
	old, err := iceberg.IndexByID(staged)
	if err != nil {
		return err
	}
	for id, f := range old {
		name, _ := staged.FindColumnName(id)
		g, ok := schema.FindFieldByID(id)
		now, _ := schema.FindColumnName(id)
		_, primitive := f.Type.(iceberg.PrimitiveType)
		switch {
		case !ok || now != name:
			return fmt.Errorf("%w: the rows were staged with field id %d for column %s, which the table has for %s by now",
				ErrConflict, id, quoteColumn(name), orNone(now))
		case primitive && Promote(f.Type, g.Type, formatVersion) != nil:
			return fmt.Errorf("%w: the rows were staged with column %s as %s, and it is %s by now", ErrConflict, quoteColumn(name), typeText(f.Type), typeText(g.Type))
		}
	}
	return nil
}
