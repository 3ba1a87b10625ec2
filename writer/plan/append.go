package plan

import (
	"context"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/slice"
)

// Append plans to add the staged files, which must be under the table's current spec, to the head of branch.
// Nothing goes. Partitions have the rows that are live under the current spec before it; After is the digest of
// the rows that come. Without a row the plan is Unchanged.
func Append(ctx context.Context, tbl *table.Table, branch string, staged []slice.StagedFile) (*Plan, error) {
	p := &Plan{Base: live.Head(tbl.Metadata(), branch)}
	at := map[string]*Partition{}
	for _, f := range staged {
		of := at[f.Partition.Key]
		if of == nil {
			of = &Partition{Partition: f.Partition, Changed: true}
			at[f.Partition.Key] = of
		}
		of.After = of.After.Add(f.Digest)
		of.RowsAfter += f.Count()
		of.FilesAfter++
		p.RowsWritten += f.Count()
	}
	if p.RowsWritten == 0 {
		p.Discard, p.Unchanged = staged, true
		return p, nil
	}
	p.Add = staged
	if p.Base != nil {
		current, schema := tbl.Spec(), tbl.Schema()
		files, err := live.Read(ctx, tbl, p.Base, func(m iceberg.ManifestFile, spec iceberg.PartitionSpec) bool {
			if spec.ID() != current.ID() || !m.HasAddedFiles() && !m.HasExistingFiles() {
				return false
			}
			for _, of := range at {
				if slice.MayHold(m, of.Partition, spec, schema) {
					return true
				}
			}
			return false
		})
		if err != nil {
			return nil, err
		}
		for _, f := range files.Data {
			if of := at[f.Partition.Key]; of != nil {
				of.RowsBefore += f.Rows
				of.RowsAfter += f.Rows
				of.FilesBefore++
				of.FilesAfter++
			}
		}
	}
	for _, of := range at {
		p.Partitions = append(p.Partitions, *of)
	}
	slices.SortFunc(p.Partitions, Partition.compare)
	return p, nil
}
