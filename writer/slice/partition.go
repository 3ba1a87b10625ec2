// Package slice defines the part of a table that a run owns, and the small values that the
// rooms of writer hand to one another: a partition, a staged file, a live file. It reads and
// writes nothing.
package slice

import (
	"encoding/hex"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/icewright/icewright/writer/digest"
)

// Partition is one partition tuple under one partition spec.
type Partition struct {
	SpecID int
	// Values are the tuple's values by partition field id; nil is a null partition value.
	Values map[int]any
	// Key tells two partitions apart: equal exactly when the spec and every value are, whatever
	// Go types a manifest reader gave them. A null and the string "null" differ.
	Key string
	// Path is for people and for data locations: "event_date=2024-01-15/id_bucket=3", each name
	// and value URL-escaped as Iceberg does it; "" for an unpartitioned spec.
	Path string
}

// PartitionOf returns the partition of a data or delete file. specs must hold the file's spec;
// schema resolves the spec's source columns.
func PartitionOf(f iceberg.DataFile, spec iceberg.PartitionSpec, schema *iceberg.Schema) Partition {
	return NewPartition(spec, schema, f.Partition())
}

// NewPartition returns the partition with the given values by partition field id. A missing
// value is a null. Values may have any of the Go types that manifests and transforms yield.
func NewPartition(spec iceberg.PartitionSpec, schema *iceberg.Schema, values map[int]any) Partition {
	var key, path strings.Builder
	fmt.Fprintf(&key, "%d|", spec.ID())
	for i := range spec.NumFields() {
		field := spec.Field(i)
		v := values[field.FieldID]
		fmt.Fprintf(&key, "%d:%s;", field.FieldID, canonical(v))
		if i > 0 {
			path.WriteByte('/')
		}
		path.WriteString(url.QueryEscape(field.Name))
		path.WriteByte('=')
		path.WriteString(url.QueryEscape(human(field, schema, v)))
	}
	return Partition{SpecID: spec.ID(), Values: values, Key: key.String(), Path: path.String()}
}

// human is the value as Iceberg writes it in partition paths.
func human(field iceberg.PartitionField, schema *iceberg.Schema, v any) string {
	if v == nil {
		return "null"
	}
	if schema != nil {
		if src, ok := schema.FindFieldByID(field.SourceID()); ok {
			return field.Transform.ToHumanStrType(src.Type, v)
		}
	}
	return fmt.Sprint(v)
}

// canonical gives equal texts to equal values: manifests yield int32 where transforms yield
// iceberg.Date, and so on. Floats compare by bits, all NaNs alike.
func canonical(v any) string {
	switch v := v.(type) {
	case nil:
		return "z"
	case bool:
		return "b" + strconv.FormatBool(v)
	case int:
		return "i" + strconv.FormatInt(int64(v), 10)
	case int32:
		return "i" + strconv.FormatInt(int64(v), 10)
	case int64:
		return "i" + strconv.FormatInt(v, 10)
	case iceberg.Date:
		return "i" + strconv.FormatInt(int64(v), 10)
	case iceberg.Time:
		return "i" + strconv.FormatInt(int64(v), 10)
	case iceberg.Timestamp:
		return "i" + strconv.FormatInt(int64(v), 10)
	case iceberg.TimestampNano:
		return "i" + strconv.FormatInt(int64(v), 10)
	case float32:
		return canonical(float64(v))
	case float64:
		if math.IsNaN(v) {
			return "fnan"
		}
		return "f" + strconv.FormatUint(math.Float64bits(v), 16)
	case string:
		return "s" + strconv.Itoa(len(v)) + ":" + v
	case []byte:
		return "x" + hex.EncodeToString(v)
	case uuid.UUID:
		return "x" + hex.EncodeToString(v[:])
	case iceberg.Decimal:
		return "d" + v.Val.BigInt().String()
	case iceberg.DecimalLiteral:
		return "d" + v.Val.BigInt().String()
	}
	panic(fmt.Sprintf("slice: partition value of type %T", v)) // a new type in iceberg-go
}

// StagedFile is a data file that no snapshot refers to yet.
type StagedFile struct {
	iceberg.DataFile
	Partition Partition
	Digest    digest.Sum
}

// SizeOf is the size of a data or delete file in bytes; of a deletion vector its own, since others share its file.
func SizeOf(f iceberg.DataFile) int64 {
	if size := f.ContentSizeInBytes(); size != nil && table.IsDeletionVector(f) {
		return *size
	}
	return f.FileSizeBytes()
}

// LiveFile is a data or delete file of a snapshot, with the manifest that lists it.
type LiveFile struct {
	iceberg.ManifestEntry
	Partition Partition
	// Manifest is the path of the manifest that holds the entry.
	Manifest string
}
