package catalog

import (
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
)

// CheckSchema returns a *ConfigError where a table of the given format version cannot have the schema:
// types and default values of version 3 in an older one, and types that icewright cannot write.
func CheckSchema(schema *iceberg.Schema, version int) error {
	return checkFields(schema.Fields(), "", version)
}

func checkFields(fields []iceberg.NestedField, prefix string, version int) error {
	for _, f := range fields {
		name := quoteColumn(prefix + f.Name)
		needs := ""
		switch f.Type.(type) {
		case iceberg.GeometryType, iceberg.GeographyType:
			return &ConfigError{
				What: fmt.Sprintf("column %s: icewright does not write the type %s", name, f.Type),
				Do:   "take binary, for WKB, or string, for WKT",
			}
		case iceberg.VariantType, iceberg.TimestampNsType, iceberg.TimestampTzNsType, iceberg.UnknownType:
			needs = "the type " + f.Type.String()
		}
		if f.InitialDefault != nil || f.WriteDefault != nil {
			needs = "a default value"
		}
		if needs != "" && version < 3 {
			return &ConfigError{
				What: fmt.Sprintf("column %s: %s needs format version 3, and the table's is %d", name, needs, version),
				Do:   "say --format-version 3; readers that know only version 2 cannot read the table then",
			}
		}
		switch f.Type.(type) {
		case *iceberg.ListType, *iceberg.MapType:
			// iceberg-go v0.7.0 can't read such a column back.
			if hasVariant(f.Type) {
				return &ConfigError{
					What: fmt.Sprintf("column %s: icewright does not write variants inside lists and maps", name),
					Do:   "make the whole column a variant, which holds arrays and objects itself",
				}
			}
		}
		if n, ok := f.Type.(iceberg.NestedType); ok {
			if err := checkFields(n.Fields(), prefix+f.Name+".", version); err != nil {
				return err
			}
		}
	}
	return nil
}

func hasVariant(t iceberg.Type) bool {
	switch t := t.(type) {
	case iceberg.VariantType:
		return true
	case iceberg.NestedType:
		return slices.ContainsFunc(t.Fields(), func(f iceberg.NestedField) bool { return hasVariant(f.Type) })
	}
	return false
}
