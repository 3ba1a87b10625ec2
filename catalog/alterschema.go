package catalog

import (
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/nearest"
)

// NewColumn is a column to add. Its name may be that of a field in a struct: place.city.
type NewColumn struct {
	Name     string
	Type     iceberg.Type // ids may be any
	Required bool         // only with Default: rows that are there already have no value
	Doc      string
	// Default is what rows without a value have: those in files from before, and, where a writer
	// leaves it out, later ones. nil: null. Needs format version 3.
	Default any
	// Place is where it goes; nil: behind all others.
	Place *Place
}

// Place is a place in a struct: behind a column of it, or in front where After is "".
type Place struct{ After string }

// Renaming gives a column another name. To is the bare name, without the struct's.
type Renaming struct{ Column, To string }

// Retyping gives a column another type.
type Retyping struct {
	Column string
	Type   iceberg.Type
}

// ColumnDoc is a column's documentation.
type ColumnDoc struct{ Column, Doc string }

// Move puts a column elsewhere in its struct.
type Move struct {
	Column string
	Place
}

// edit collects what becomes of a schema's fields, by their ids; then it is carried out in one
// walk. The id of the top level is 0.
type edit struct {
	meta   table.Metadata
	was    *iceberg.Schema
	parent map[int]int // of a field: the struct, list or map that it is in
	said   map[string]string
	// renamed are the renamings that have been done before.
	renamed []Renaming

	drop   map[int]bool
	rename map[int]string
	retype map[int]iceberg.Type
	relax  map[int]bool
	doc    map[int]string
	add    map[int][]iceberg.NestedField // by struct
	place  map[int][]placing             // by struct
	nextID int
}

// placing puts a field behind another one; 0 is in front.
type placing struct{ id, after int }

// editSchema returns what a makes of the table's schema; the same fields where it is so already.
func editSchema(meta table.Metadata, version int, a Alteration) (*iceberg.Schema, error) {
	e := &edit{
		meta: meta, was: meta.CurrentSchema(), parent: map[int]int{}, said: map[string]string{},
		drop: map[int]bool{}, rename: map[int]string{}, retype: map[int]iceberg.Type{}, relax: map[int]bool{},
		doc: map[int]string{}, add: map[int][]iceberg.NestedField{}, place: map[int][]placing{}, nextID: meta.LastColumnID() + 1,
	}
	for _, s := range meta.Schemas() {
		e.nextID = max(e.nextID, s.HighestFieldID()+1)
	}
	parents(e.parent, 0, e.was.Fields())
	for _, r := range a.RenameColumns {
		if err := e.renameColumn(r); err != nil {
			return nil, err
		}
	}
	for _, name := range a.DropColumns {
		if err := e.dropColumn(name); err != nil {
			return nil, err
		}
	}
	for _, r := range a.RetypeColumns {
		if err := e.retypeColumn(r, version); err != nil {
			return nil, err
		}
	}
	for _, name := range a.RelaxColumns {
		if err := e.relaxColumn(name); err != nil {
			return nil, err
		}
	}
	for _, d := range a.ColumnDocs {
		f, err := e.column(d.Column)
		if err != nil {
			return nil, err
		}
		e.doc[f.ID] = d.Doc
	}
	added := map[string]int{}
	for _, c := range a.AddColumns {
		if err := e.addColumn(c, version, added); err != nil {
			return nil, err
		}
	}
	for _, m := range a.MoveColumns {
		f, err := e.column(m.Column)
		if err != nil {
			return nil, err
		}
		if err := e.placeColumn(m.Column, f.ID, e.parent[f.ID], m.Place, added); err != nil {
			return nil, err
		}
	}
	for parent := range e.place {
		if err := e.orderPlacings(parent); err != nil {
			return nil, err
		}
	}
	fields := e.fields(0, e.was.Fields())
	if len(fields) == 0 {
		return nil, cannot("", "no column would be left")
	}
	ids, err := e.identifiers(a.IdentifierFields, fields)
	if err != nil {
		return nil, err
	}
	return iceberg.NewSchemaWithIdentifiers(e.was.ID, ids, fields...), nil
}

// parents notes which field each field is in.
func parents(to map[int]int, parent int, fields []iceberg.NestedField) {
	for _, f := range fields {
		to[f.ID] = parent
		if n, ok := f.Type.(iceberg.NestedType); ok {
			parents(to, f.ID, n.Fields())
		}
	}
}

// find finds a column of the present schema. One that the alteration has renamed already, when it
// was asked for before, goes by its earlier name, and so do the columns in it.
func (e *edit) find(name string) (iceberg.NestedField, bool) {
	if f, ok := e.was.FindFieldByName(name); ok {
		return f, true
	}
	for _, r := range e.renamed {
		rest, inside := strings.CutPrefix(name, r.Column)
		if inside && (rest == "" || rest[0] == '.') {
			return e.was.FindFieldByName(sibling(r.Column, r.To) + rest)
		}
	}
	return iceberg.NestedField{}, false
}

// column finds a column of the present schema that stays.
func (e *edit) column(name string) (iceberg.NestedField, error) {
	f, ok := e.find(name)
	if !ok {
		near := nearest.Name(name, columnNames(e.was))
		if near != "" {
			near = "did you mean " + quoteColumn(near) + "?"
		}
		return f, cannot(near, "there is no column %q", name)
	}
	if e.drop[f.ID] {
		return f, cannot("", "column %q is dropped: nothing else can be done to it at once", name)
	}
	return f, nil
}

// once refuses a name that the same alteration says something else about: asked for again, it
// could not be told from what has been done already.
func (e *edit) once(name, what string) error {
	if other := e.said[name]; other != "" {
		return cannot("alter the table twice", "column %q is %s and %s at once", name, other, what)
	}
	e.said[name] = what
	return nil
}

func (e *edit) dropColumn(name string) error {
	if err := e.once(name, "dropped"); err != nil {
		return err
	}
	f, ok := e.find(name)
	if !ok {
		if e.past(name) != nil {
			return nil // dropped already
		}
		_, err := e.column(name)
		return err
	}
	if parent, ok := e.was.FindFieldByID(e.parent[f.ID]); ok {
		if _, isStruct := parent.Type.(*iceberg.StructType); !isStruct {
			return cannot("", "column %q is part of a %s", name, parent.Type.Type())
		}
	}
	e.drop[f.ID] = true
	return nil
}

// past finds a field that an earlier schema had under that name.
func (e *edit) past(name string) *iceberg.NestedField {
	for _, s := range slices.Backward(e.meta.Schemas()) {
		if f, ok := s.FindFieldByName(name); ok {
			return &f
		}
	}
	return nil
}

func (e *edit) renameColumn(r Renaming) error {
	to := sibling(r.Column, r.To)
	if r.To == "" {
		return cannot("", "column %q: the new name is empty", r.Column)
	}
	if to == r.Column {
		return nil
	}
	if err := e.once(r.Column, "renamed"); err != nil {
		return err
	}
	if err := e.once(to, "another's new name"); err != nil {
		return err
	}
	target, taken := e.was.FindFieldByName(to)
	f, ok := e.was.FindFieldByName(r.Column)
	if !ok && taken {
		for _, s := range e.meta.Schemas() {
			if old, ok := s.FindFieldByID(target.ID); ok && old.Name == bare(e, r.Column, target) {
				e.renamed = append(e.renamed, r)
				return nil
			}
		}
	}
	if !ok {
		_, err := e.column(r.Column)
		return err
	}
	if taken {
		return cannot("", "column %q cannot be called %q: another one is", r.Column, to)
	}
	if parent, ok := e.was.FindFieldByID(e.parent[f.ID]); ok {
		if _, isStruct := parent.Type.(*iceberg.StructType); !isStruct {
			return cannot("", "column %q is part of a %s", r.Column, parent.Type.Type())
		}
	}
	e.rename[f.ID] = r.To
	return nil
}

// bare is the last part of a column's name, given what it is called now.
func bare(e *edit, name string, now iceberg.NestedField) string {
	full, _ := e.was.FindColumnName(now.ID)
	prefix := strings.TrimSuffix(full, now.Name)
	return strings.TrimPrefix(name, prefix)
}

// sibling is the full name of a column called name in the struct that column is in. A column of
// the top level may have dots in its name, so the longest prefix is not always a struct; what
// matters is that the name is unlike all others, and that is checked on the schema.
func sibling(column, name string) string {
	if i := strings.LastIndexByte(column, '.'); i >= 0 {
		return column[:i+1] + name
	}
	return name
}

func (e *edit) retypeColumn(r Retyping, version int) error {
	f, err := e.column(r.Column)
	if err != nil {
		return err
	}
	if typeText(f.Type) == typeText(r.Type) {
		return nil
	}
	if err := Promote(f.Type, r.Type, version, TransformsOf(e.meta, f.ID)...); err != nil {
		return cannot("add a column of that type, and load it anew", "column %q: %v", r.Column, err)
	}
	e.retype[f.ID] = r.Type
	return nil
}

func (e *edit) relaxColumn(name string) error {
	f, err := e.column(name)
	if err != nil {
		return err
	}
	if parent, ok := e.was.FindFieldByID(e.parent[f.ID]); ok {
		if m, isMap := parent.Type.(*iceberg.MapType); isMap && m.KeyID == f.ID {
			return cannot("", "column %q is a map's key, which is always there", name)
		}
	}
	e.relax[f.ID] = true
	return nil
}

func (e *edit) addColumn(c NewColumn, version int, added map[string]int) error {
	if err := e.once(c.Name, "added"); err != nil {
		return err
	}
	if f, ok := e.find(c.Name); ok {
		want := iceberg.NestedField{Type: c.Type, Required: c.Required}
		if was, asked := columnType(f), columnType(want); was != asked {
			return cannot("--widen-column changes its type where that can be done, --rename-column makes room", "column %q is there already: it is %s, not %s", c.Name, was, asked)
		}
		if c.Doc != "" {
			e.doc[f.ID] = c.Doc
		}
		return nil
	}
	if c.Required && c.Default == nil {
		return cannot("leave the \"!\" out", "column %q cannot be required: rows that are there have no value for it", c.Name)
	}
	parent, name, err := e.structOf(c.Name)
	if err != nil {
		return err
	}
	f := iceberg.NestedField{ID: e.newID(), Name: name, Required: c.Required, Doc: c.Doc, InitialDefault: c.Default, WriteDefault: c.Default}
	f.Type = e.numbered(c.Type)
	e.add[parent] = append(e.add[parent], f)
	added[c.Name] = f.ID
	if c.Place == nil {
		return nil
	}
	return e.placeColumn(c.Name, f.ID, parent, *c.Place, added)
}

// structOf finds the struct that a new column of that name goes into, and its bare name: the
// longest prefix that is a struct. Elements of lists and values of maps may be structs too.
func (e *edit) structOf(full string) (parent int, name string, err error) {
	for i := len(full) - 1; i > 0; i-- {
		if full[i] != '.' || i == len(full)-1 {
			continue
		}
		f, ok := e.find(full[:i])
		if !ok {
			continue
		}
		if e.drop[f.ID] {
			return 0, "", cannot("", "column %q is dropped: nothing can be added to it", full[:i])
		}
		switch t := f.Type.(type) {
		case *iceberg.StructType:
			return f.ID, full[i+1:], nil
		case *iceberg.ListType:
			if _, ok := t.Element.(*iceberg.StructType); ok {
				return t.ElementID, full[i+1:], nil
			}
		case *iceberg.MapType:
			if _, ok := t.ValueType.(*iceberg.StructType); ok {
				return t.ValueID, full[i+1:], nil
			}
		}
		return 0, "", cannot("", "column %q: %q is a %s, which has no columns of its own", full, full[:i], f.Type)
	}
	if i := strings.LastIndexByte(full, '.'); i > 0 {
		return 0, "", cannot("add the struct first, or in the same type: 'place struct<city: string>'", "column %q: there is no column %q", full, full[:i])
	}
	if full == "" {
		return 0, "", cannot("", "a new column has no name")
	}
	return 0, full, nil
}

func (e *edit) newID() int {
	e.nextID++
	return e.nextID - 1
}

// numbered gives the parts of a new column's type their ids: those of a struct's fields first,
// then of what is in them, as Iceberg's libraries do.
func (e *edit) numbered(t iceberg.Type) iceberg.Type {
	switch t := t.(type) {
	case *iceberg.StructType:
		fields := slices.Clone(t.FieldList)
		for i := range fields {
			fields[i].ID = e.newID()
		}
		for i := range fields {
			fields[i].Type = e.numbered(fields[i].Type)
		}
		return &iceberg.StructType{FieldList: fields}
	case *iceberg.ListType:
		l := *t
		l.ElementID = e.newID()
		l.Element = e.numbered(t.Element)
		return &l
	case *iceberg.MapType:
		m := *t
		m.KeyID, m.ValueID = e.newID(), e.newID()
		m.KeyType, m.ValueType = e.numbered(t.KeyType), e.numbered(t.ValueType)
		return &m
	}
	return t
}

// placeColumn puts the field into its struct's order. After may be a full name or that of a
// sibling.
func (e *edit) placeColumn(name string, id, parent int, p Place, added map[string]int) error {
	if inside, ok := e.was.FindFieldByID(parent); ok {
		if _, isStruct := inside.Type.(*iceberg.StructType); !isStruct {
			return cannot("", "column %q is part of a %s and has no place of its own", name, inside.Type.Type())
		}
	}
	after := 0
	if p.After != "" {
		for _, full := range []string{p.After, sibling(name, p.After)} {
			if f, ok := e.find(full); ok && e.parent[f.ID] == parent && !e.drop[f.ID] {
				after = f.ID
			} else if id, ok := added[full]; ok && slices.ContainsFunc(e.add[parent], func(f iceberg.NestedField) bool { return f.ID == id }) {
				after = id
			}
		}
		if after == 0 {
			_, err := e.column(p.After)
			if err == nil {
				err = cannot("columns move within their struct", "column %q cannot go after %q, which is elsewhere", name, p.After)
			}
			return err
		}
	}
	for _, other := range e.place[parent] {
		if other.id == id {
			return cannot("", "column %q is moved twice", name)
		}
	}
	if after == id {
		return cannot("", "column %q cannot go after itself", name)
	}
	e.place[parent] = append(e.place[parent], placing{id, after})
	return nil
}

// orderPlacings brings a struct's placings into an order that gives the same result when they
// are asked for again: a column that another goes behind takes its own place first.
func (e *edit) orderPlacings(parent int) error {
	left, done := e.place[parent], []placing(nil)
	for len(left) > 0 {
		var later []placing
		for _, p := range left {
			if slices.ContainsFunc(left, func(q placing) bool { return q.id == p.after }) {
				later = append(later, p)
			} else {
				done = append(done, p)
			}
		}
		if len(later) == len(left) {
			return cannot("", "columns are to go behind one another in a circle")
		}
		left = later
	}
	e.place[parent] = done
	return nil
}

// fields is what becomes of the fields of one struct.
func (e *edit) fields(parent int, fields []iceberg.NestedField) []iceberg.NestedField {
	var out []iceberg.NestedField
	for _, f := range fields {
		if e.drop[f.ID] {
			continue
		}
		if name, ok := e.rename[f.ID]; ok {
			f.Name = name
		}
		if doc, ok := e.doc[f.ID]; ok {
			f.Doc = doc
		}
		f.Required = f.Required && !e.relax[f.ID]
		f.Type = e.typ(f.ID, f.Type)
		out = append(out, f)
	}
	out = append(out, e.add[parent]...)
	at := func(id int) int {
		return slices.IndexFunc(out, func(f iceberg.NestedField) bool { return f.ID == id })
	}
	for _, p := range e.place[parent] {
		from := at(p.id)
		f := out[from]
		out = slices.Delete(out, from, from+1)
		out = slices.Insert(out, at(p.after)+1, f) // -1 is that of none: in front
	}
	return out
}

func (e *edit) typ(id int, t iceberg.Type) iceberg.Type {
	if wide, ok := e.retype[id]; ok {
		return wide
	}
	switch t := t.(type) {
	case *iceberg.StructType:
		return &iceberg.StructType{FieldList: e.fields(id, t.FieldList)}
	case *iceberg.ListType:
		l := *t
		l.Element = e.typ(t.ElementID, t.Element)
		l.ElementRequired = t.ElementRequired && !e.relax[t.ElementID]
		return &l
	case *iceberg.MapType:
		m := *t
		m.KeyType, m.ValueType = e.typ(t.KeyID, t.KeyType), e.typ(t.ValueID, t.ValueType)
		m.ValueRequired = t.ValueRequired && !e.relax[t.ValueID]
		return &m
	}
	return t
}

// identifiers are the ids of the identifier fields: those that are asked for, by the names that
// columns have after the alteration, or the present ones.
// Source: iceberg.apache.org/spec/#identifier-field-ids.
func (e *edit) identifiers(asked []string, fields []iceberg.NestedField) ([]int, error) {
	schema := iceberg.NewSchema(e.was.ID, fields...)
	ids := slices.Clone(e.was.IdentifierFieldIDs)
	if asked != nil {
		ids = []int{}
		for _, name := range asked {
			f, ok := schema.FindFieldByName(name)
			if !ok {
				near := nearest.Name(name, columnNames(schema))
				if near != "" {
					near = "did you mean " + quoteColumn(near) + "?"
				}
				return nil, cannot(near, "identifier fields: there is no column %q", name)
			}
			ids = append(ids, f.ID)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	after := map[int]int{}
	parents(after, 0, fields)
	for _, id := range ids {
		if err := checkIdentifier(schema, id, after); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

func checkIdentifier(schema *iceberg.Schema, id int, parent map[int]int) error {
	f, ok := schema.FindFieldByID(id)
	if !ok {
		return cannot("say --identifier-fields without it, or none", "a column that identifies rows is dropped")
	}
	name, _ := schema.FindColumnName(id)
	_, primitive := f.Type.(iceberg.PrimitiveType)
	switch f.Type.(type) {
	case iceberg.Float32Type, iceberg.Float64Type:
		primitive = false
	}
	if !primitive {
		return cannot("", "column %q of type %s cannot identify rows", name, f.Type.Type())
	}
	if !inStructs(schema.Fields(), id) {
		return cannot("", "column %q is inside a list or a map and cannot identify rows", name)
	}
	for at := id; at != 0; at = parent[at] {
		if g, _ := schema.FindFieldByID(at); !g.Required {
			part, _ := schema.FindColumnName(at)
			return cannot("identifier fields are required columns; say --identifier-fields without it, or none", "column %q is optional, so %s cannot identify rows", part, quoteColumn(name))
		}
	}
	return nil
}
