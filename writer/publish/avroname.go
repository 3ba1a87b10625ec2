package publish

import (
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/catalog"
)

// avroSpec is spec with names that Avro allows: partition fields are named after columns, whose
// names may have dots, dashes, spaces and any script. Readers go by field id, and by the spec in
// the table's metadata, which keeps the real names. iceberg-go v0.7.0 passes them on as they are,
// and its encoder refuses them.
func avroSpec(spec iceberg.PartitionSpec) iceberg.PartitionSpec {
	fields := make([]iceberg.PartitionField, spec.NumFields())
	for i := range fields {
		fields[i] = spec.Field(i)
		fields[i].Name = catalog.AvroName(fields[i].Name)
	}
	return iceberg.NewPartitionSpecID(spec.ID(), fields...)
}
