package catalog

import (
	"fmt"
	"math"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
)

// Readable returns t as iceberg-go's scanner can read it. Metadata spells the default values of dates and
// times as texts, as the spec has it; the scanner of iceberg-go v0.7.0 panics over them and takes numbers.
// A table without such defaults is returned as it is; the other is for reading only. Errors are about
// defaults that metadata cannot hold, and wrap ErrConfig.
func Readable(t *table.Table) (*table.Table, error) {
	m := readMetadata{Metadata: t.Metadata(), schemas: map[int]*iceberg.Schema{}}
	for _, s := range t.Metadata().Schemas() {
		fields, changed, err := readableFields(s.Fields())
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", FormatIdentifier(t.Identifier()), err)
		}
		if changed {
			m.schemas[s.ID] = iceberg.NewSchemaWithIdentifiers(s.ID, s.IdentifierFieldIDs, fields...)
		}
	}
	if len(m.schemas) == 0 {
		return t, nil
	}
	return table.New(t.Identifier(), m, t.MetadataLocation(), t.FS, nil), nil
}

// ReadableColumns adds to names, of columns of schema, one that every file has where some may lack them all,
// being older or having been imported from Hive: iceberg-go v0.7.0 cannot read a file of which it needs no
// column, not even to fill in defaults.
func ReadableColumns(tbl *table.Table, schema *iceberg.Schema, names []string) []string {
	old := func(f iceberg.NestedField) bool {
		for _, spec := range tbl.Metadata().PartitionSpecs() {
			for _, p := range spec.Fields() {
				if _, identity := p.Transform.(iceberg.IdentityTransform); identity && p.SourceID() == f.ID {
					return false
				}
			}
		}
		for _, s := range tbl.Metadata().Schemas() {
			if !slices.ContainsFunc(s.Fields(), func(g iceberg.NestedField) bool { return g.ID == f.ID }) {
				return false
			}
		}
		return true
	}
	more := ""
	for _, f := range schema.Fields() {
		if !old(f) {
			continue
		}
		if slices.Contains(names, f.Name) {
			return names
		}
		if _, primitive := f.Type.(iceberg.PrimitiveType); primitive && more == "" {
			more = f.Name
		}
	}
	if more == "" {
		return names
	}
	return append(slices.Clone(names), more)
}

// readMetadata is metadata with other schemas.
type readMetadata struct {
	table.Metadata
	schemas map[int]*iceberg.Schema // by id, those that differ
}

func (m readMetadata) readable(s *iceberg.Schema) *iceberg.Schema {
	if r, ok := m.schemas[s.ID]; ok {
		return r
	}
	return s
}

func (m readMetadata) CurrentSchema() *iceberg.Schema {
	return m.readable(m.Metadata.CurrentSchema())
}

func (m readMetadata) Schemas() []*iceberg.Schema {
	all := m.Metadata.Schemas()
	out := make([]*iceberg.Schema, len(all))
	for i, s := range all {
		out[i] = m.readable(s)
	}
	return out
}

func readableFields(fields []iceberg.NestedField) (out []iceberg.NestedField, changed bool, err error) {
	out = make([]iceberg.NestedField, len(fields))
	for i, f := range fields {
		initial, err := readableDefault(f)
		if err != nil {
			return nil, false, err
		}
		if initial != nil {
			f.InitialDefault, changed = initial, true
		}
		t, below, err := readableType(f.Type)
		if err != nil {
			return nil, false, err
		}
		f.Type, changed = t, changed || below
		out[i] = f
	}
	return out, changed, nil
}

func readableType(t iceberg.Type) (_ iceberg.Type, changed bool, err error) {
	switch t := t.(type) {
	case *iceberg.StructType:
		fields, changed, err := readableFields(t.FieldList)
		return &iceberg.StructType{FieldList: fields}, changed, err
	case *iceberg.ListType:
		of := *t
		of.Element, changed, err = readableType(t.Element)
		return &of, changed, err
	case *iceberg.MapType:
		of := *t
		var key, value bool
		if of.KeyType, key, err = readableType(t.KeyType); err != nil {
			return nil, false, err
		}
		of.ValueType, value, err = readableType(t.ValueType)
		return &of, key || value, err
	}
	return t, false, nil
}

// readableDefault is f's initial default as the scanner takes it; nil where it takes it as it is.
func readableDefault(f iceberg.NestedField) (any, error) {
	switch v := f.InitialDefault.(type) {
	case float64:
		if _, long := f.Type.(iceberg.Int64Type); long && math.Abs(v) > 1<<53 {
			return nil, &ConfigError{
				What: fmt.Sprintf("column %q: its initial default of about %.0f is beyond what JSON readers hold exactly", f.Name, v),
				Do:   "read the table with another engine",
			}
		}
	case string:
		switch f.Type.(type) {
		case iceberg.DateType, iceberg.TimeType, iceberg.TimestampType, iceberg.TimestampTzType,
			iceberg.TimestampNsType, iceberg.TimestampTzNsType:
			lit, err := iceberg.StringLiteral(v).To(f.Type)
			if err != nil {
				return nil, &ConfigError{What: fmt.Sprintf("column %q: initial default %q is no %s", f.Name, v, f.Type), Err: err}
			}
			return lit.Any(), nil
		}
	}
	return nil, nil
}

// MayLackColumns tells whether f may be a file that lacks columns that it is partitioned by, and so has to be
// read alone, with ReadableFile. No column of that kind has a size in its manifest entry.
func MayLackColumns(t *table.Table, f iceberg.DataFile) bool {
	spec := t.Metadata().PartitionSpecByID(int(f.SpecID()))
	if spec == nil {
		return false
	}
	sizes := f.ColumnSizes()
	for _, p := range spec.Fields() {
		if _, identity := p.Transform.(iceberg.IdentityTransform); identity && f.Partition()[p.FieldID] != nil {
			if _, there := sizes[p.SourceID()]; !there {
				return true
			}
		}
	}
	return false
}

// ReadableFile is Readable for reading f, a data file of t, and no other, under schema, which is one of t's.
// Files that were imported from Hive lack the columns that they are partitioned by; by the spec these have
// the value of the partition, and iceberg-go v0.7.0 reads nulls.
// Source: iceberg.apache.org/spec/#column-projection.
func ReadableFile(t *table.Table, schema *iceberg.Schema, f iceberg.DataFile) (*table.Table, error) {
	t, err := Readable(t)
	if err != nil {
		return nil, err
	}
	spec := t.Metadata().PartitionSpecByID(int(f.SpecID()))
	if spec == nil {
		return nil, fmt.Errorf("data file %s: the table has no partition spec %d", f.FilePath(), f.SpecID())
	}
	for _, s := range t.Metadata().Schemas() { // with readable defaults
		if s.ID == schema.ID {
			schema = s
		}
	}
	fields, changed := slices.Clone(schema.Fields()), false
	for _, p := range spec.Fields() {
		i := slices.IndexFunc(fields, func(f iceberg.NestedField) bool { return f.ID == p.SourceID() })
		if _, identity := p.Transform.(iceberg.IdentityTransform); !identity || i < 0 {
			continue
		}
		// What a file that lacks the column reads as is the column's initial default.
		value, err := partitionValue(f.Partition()[p.FieldID], fields[i].Type)
		if err != nil {
			return nil, fmt.Errorf("data file %s: partition field %s: %w", f.FilePath(), p.Name, err)
		}
		fields[i].InitialDefault, changed = value, true
	}
	if !changed {
		return t, nil
	}
	m := readMetadata{Metadata: t.Metadata(), schemas: map[int]*iceberg.Schema{
		schema.ID: iceberg.NewSchemaWithIdentifiers(schema.ID, schema.IdentifierFieldIDs, fields...),
	}}
	return table.New(t.Identifier(), m, t.MetadataLocation(), t.FS, nil), nil
}

// partitionValue is v, which manifests have in several Go types, as the scanner takes a default of type t.
func partitionValue(v any, t iceberg.Type) (any, error) {
	var lit iceberg.Literal
	switch v := v.(type) {
	case nil:
		return nil, nil
	case bool:
		lit = iceberg.NewLiteral(v)
	case int32:
		lit = iceberg.NewLiteral(v)
	case int64:
		lit = iceberg.NewLiteral(v)
	case float32:
		lit = iceberg.NewLiteral(v)
	case float64:
		lit = iceberg.NewLiteral(v)
	case iceberg.Date:
		lit = iceberg.NewLiteral(v)
	case iceberg.Time:
		lit = iceberg.NewLiteral(v)
	case iceberg.Timestamp:
		lit = iceberg.NewLiteral(v)
	case iceberg.TimestampNano:
		lit = iceberg.NewLiteral(v)
	case string:
		lit = iceberg.NewLiteral(v)
	case []byte:
		lit = iceberg.NewLiteral(v)
	case uuid.UUID:
		lit = iceberg.NewLiteral(v)
	case iceberg.Decimal:
		lit = iceberg.NewLiteral(v)
	case iceberg.Literal:
		lit = v
	default:
		return nil, fmt.Errorf("a value of Go type %T", v)
	}
	lit, err := lit.To(t)
	if err != nil {
		return nil, err
	}
	return lit.Any(), nil
}
