package publish

import (
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/apache/iceberg-go"
)

// avroSpec is spec with names that Avro allows: partition fields are named after columns, whose
// names may have dots, dashes, spaces and any script. Readers go by field id, and by the spec in
// the table's metadata, which keeps the real names. iceberg-go v0.7.0 passes them on as they are,
// and its encoder refuses them.
func avroSpec(spec iceberg.PartitionSpec) iceberg.PartitionSpec {
	fields := make([]iceberg.PartitionField, spec.NumFields())
	for i := range fields {
		fields[i] = spec.Field(i)
		fields[i].Name = avroName(fields[i].Name)
	}
	return iceberg.NewPartitionSpecID(spec.ID(), fields...)
}

// avroName spells a name as Iceberg's Java library does: each UTF-16 unit that Avro does not allow
// becomes _x and its hexadecimal digits, and a digit in front gets an underscore.
func avroName(name string) string {
	var b strings.Builder
	for i, c := range utf16.Encode([]rune(name)) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		digit := c >= '0' && c <= '9'
		switch {
		case letter || digit && i > 0:
			b.WriteByte(byte(c))
		case digit:
			b.WriteString("_" + string(rune(c)))
		default:
			fmt.Fprintf(&b, "_x%X", c)
		}
	}
	return b.String()
}
