package arrowconv

import "github.com/apache/iceberg-go"

// ParseSchema reads a schema file, see schemafile.
func ParseSchema(name string, text []byte) (*iceberg.Schema, error) { return nil, ErrInput }

// SchemaYAML is the inverse.
func SchemaYAML(*iceberg.Schema) string { return "" }
