package publish

import (
	"context"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// lookBack is how many snapshots Standing reads the manifests of: past them, reading the input is the better way.
const lookBack = 50

// Standing is the snapshot with the fingerprint whose slice is as it left it: the branch's head, or one that no later
// snapshot added a file to the slice of, nor removed one from it. Without inside, which tells whether some of a file is
// in the slice, any file is, and only the head will do. It is nil where there is none that is certain.
func Standing(
	ctx context.Context, tbl *table.Table, branch, fingerprint string,
	inside func(f iceberg.DataFile, spec iceberg.PartitionSpec, schema *iceberg.Schema) bool,
) (*table.Snapshot, error) {
	if fingerprint == "" {
		return nil, nil
	}
	meta := tbl.Metadata()
	head, _ := headOf(meta, branch)
	for s, n := head, 0; s != nil && n < lookBack; s, n = parentOf(meta, s), n+1 {
		if s.Summary != nil && s.Summary.Properties[KeyFingerprint] == fingerprint {
			return s, nil
		}
		if inside == nil {
			return nil, nil
		}
		touched, err := touches(ctx, tbl, s, func(e iceberg.ManifestEntry, spec iceberg.PartitionSpec) bool {
			return inside(e.DataFile(), spec, meta.CurrentSchema())
		})
		if touched || err != nil {
			return nil, err
		}
	}
	return nil, nil
}
