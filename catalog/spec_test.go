package catalog_test

import (
	"errors"
	"io"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
)

// What no manifest can be written for is refused before a row is read, in tables of others as well.
func TestDecimalPartitions(t *testing.T) {
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "a", Type: iceberg.DecimalTypeOf(9, 2)},
		iceberg.NestedField{ID: 2, Name: "b", Type: iceberg.DecimalTypeOf(12, 1)},
		iceberg.NestedField{ID: 3, Name: "f", Type: iceberg.FixedTypeOf(2)},
		iceberg.NestedField{ID: 4, Name: "g", Type: iceberg.FixedTypeOf(2)},
		iceberg.NestedField{ID: 5, Name: "h", Type: iceberg.FixedTypeOf(3)},
	)
	field := func(id int, column string, tr iceberg.Transform) iceberg.PartitionField {
		return iceberg.PartitionField{SourceIDs: []int{id}, FieldID: 999 + id, Name: column + "_p", Transform: tr}
	}
	for _, c := range []struct {
		by    string
		spec  iceberg.PartitionSpec
		fails bool
	}{
		{"a", iceberg.NewPartitionSpec(field(1, "a", iceberg.IdentityTransform{})), false},
		{"a, b", iceberg.NewPartitionSpec(field(1, "a", iceberg.IdentityTransform{}), field(2, "b", iceberg.IdentityTransform{})), true},
		{"a, truncate(2, b)", iceberg.NewPartitionSpec(field(1, "a", iceberg.IdentityTransform{}), field(2, "b", iceberg.TruncateTransform{Width: 2})), true},
		{"void(a), b", iceberg.NewPartitionSpec(field(1, "a", iceberg.VoidTransform{}), field(2, "b", iceberg.IdentityTransform{})), true},
		{"a, bucket(4, b)", iceberg.NewPartitionSpec(field(1, "a", iceberg.IdentityTransform{}), field(2, "b", iceberg.BucketTransform{NumBuckets: 4})), false},
		{"f, g, h, a", iceberg.NewPartitionSpec(field(3, "f", iceberg.IdentityTransform{}), field(4, "g", iceberg.IdentityTransform{}),
			field(5, "h", iceberg.IdentityTransform{}), field(1, "a", iceberg.IdentityTransform{})), false},
	} {
		t.Run(c.by, func(t *testing.T) {
			cat := testcat.New(t)
			_, _, err := cat.CreateTable(t.Context(), table.Identifier{"a", "asked"}, catalog.TableSpec{Schema: schema, PartitionBy: c.by})
			if errors.Is(err, catalog.ErrConfig) != c.fails {
				t.Errorf("a table made so: %v", err)
			}
			meta, err := table.NewMetadata(schema, &c.spec, table.UnsortedSortOrder, "mem://theirs", nil)
			if err != nil {
				t.Fatal(err)
			}
			theirs := table.New(table.Identifier{"a", "theirs"}, meta, "", nil, nil)
			if err := (catalog.TableSpec{}).CheckAgainst(theirs); errors.Is(err, catalog.ErrConfig) != c.fails {
				t.Errorf("a table of others: %v", err)
			}
			// The day this fails, the check can go.
			_, err = iceberg.NewManifestWriter(2, io.Discard, theirs.Spec(), theirs.Schema(), 1)
			if (err != nil) != c.fails {
				t.Errorf("a manifest: %v", err)
			}
		})
	}
}
