package job

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/slice"
)

// Description says what a table is and what one of its snapshots holds.
type Description struct {
	Table         string   `json:"table"`
	UUID          string   `json:"uuid"`
	Location      string   `json:"location"`
	Metadata      string   `json:"metadata_location"`
	FormatVersion int      `json:"format_version"`
	Columns       []Column `json:"columns"`
	PartitionBy   string   `json:"partition_by"`
	SortBy        string   `json:"sort_by"`
	SchemaID      int      `json:"schema_id"`
	SpecID        int      `json:"spec_id"`
	SortOrderID   int      `json:"sort_order_id"`
	// IdentifierFields are the columns that identify a row, where the table says so.
	IdentifierFields []string `json:"identifier_fields"`
	// Specs are all partition specs that the table has or had: files are under any of them.
	Specs      []Spec             `json:"partition_specs"`
	Properties iceberg.Properties `json:"properties"`
	Refs       []Ref              `json:"refs"`

	// SnapshotID and what follows are about the snapshot that was asked for; nil and 0 where the
	// table has none yet.
	SnapshotID  *int64     `json:"snapshot_id"`
	Updated     *time.Time `json:"updated"`
	Rows        int64      `json:"rows"` // of the data files: rows that delete files take away count
	DataFiles   int        `json:"data_files"`
	DeleteFiles int        `json:"delete_files"`
	Bytes       int64      `json:"bytes"`
	// Partitions, largest first; one with an empty path where the table is unpartitioned.
	Partitions []PartitionSize `json:"partitions"`
}

// Column is a column of the table.
type Column struct {
	ID       int    `json:"id"`
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required bool   `json:"required"`
	// Default is what rows without the column take, Initial what older files read as; as texts, nil for null.
	Default *string `json:"default,omitempty"`
	Initial *string `json:"initial_default,omitempty"`
	Doc     string  `json:"doc,omitempty"`
}

// Spec is a partition spec.
type Spec struct {
	ID          int         `json:"id"`
	PartitionBy string      `json:"partition_by"`
	Fields      []SpecField `json:"fields"`
}

// SpecField is a partition field: readers match it across specs by its id.
type SpecField struct {
	ID        int    `json:"id"`
	Name      string `json:"name"`
	Transform string `json:"transform"`
	SourceID  int    `json:"source_id"`
}

// Ref is a branch or a tag, and what an expiry of snapshots leaves of it, where that is said.
type Ref struct {
	Name             string `json:"name"`
	Type             string `json:"type"`
	SnapshotID       int64  `json:"snapshot_id"`
	MaxRefAgeMs      *int64 `json:"max_ref_age_ms,omitempty"`
	MinSnapshots     *int   `json:"min_snapshots_to_keep,omitempty"`
	MaxSnapshotAgeMs *int64 `json:"max_snapshot_age_ms,omitempty"`
}

// PartitionSize is how much one partition holds.
type PartitionSize struct {
	Partition   string `json:"partition"`
	SpecID      int    `json:"spec_id"`
	Rows        int64  `json:"rows"`
	DataFiles   int    `json:"data_files"`
	DeleteFiles int    `json:"delete_files"`
	Bytes       int64  `json:"bytes"`
}

// Describe reads a table's metadata and the manifests of the snapshot that t names; no data file.
func Describe(ctx context.Context, t Target) (Description, error) {
	cat, tbl, err := t.open(ctx)
	if err != nil {
		return Description{}, err
	}
	defer cat.Close()
	snap, err := t.snapshot(tbl)
	if err != nil {
		return Description{}, err
	}
	return describe(ctx, t.Table, tbl, snap)
}

// describe describes an open table and one of its snapshots; nil: it has none.
func describe(ctx context.Context, name string, tbl *table.Table, snap *table.Snapshot) (Description, error) {
	meta, schema := tbl.Metadata(), tbl.Schema()
	d := Description{
		Table: name, UUID: meta.TableUUID().String(), Location: tbl.Location(), Metadata: tbl.MetadataLocation(),
		FormatVersion: meta.Version(), Properties: tbl.Properties(),
		PartitionBy: catalog.FormatSpec(tbl.Spec(), schema), SortBy: catalog.FormatSortOrder(tbl.SortOrder(), schema),
		SchemaID: schema.ID, SpecID: meta.DefaultPartitionSpec(), SortOrderID: meta.DefaultSortOrder(),
		IdentifierFields: catalog.IdentifierNames(schema), Specs: []Spec{},
		Columns: []Column{}, Refs: []Ref{}, Partitions: []PartitionSize{},
	}
	if d.Properties == nil {
		d.Properties = iceberg.Properties{}
	}
	for _, f := range schema.Fields() {
		d.Columns = append(d.Columns, Column{
			ID: f.ID, Name: f.Name, Type: f.Type.String(), Required: f.Required, Doc: f.Doc,
			Default: defaultOf(f.Type, f.WriteDefault), Initial: defaultOf(f.Type, f.InitialDefault),
		})
	}
	for _, spec := range meta.PartitionSpecs() {
		s := Spec{ID: spec.ID(), PartitionBy: catalog.FormatSpec(spec, schema), Fields: []SpecField{}}
		for _, f := range spec.Fields() {
			s.Fields = append(s.Fields, SpecField{ID: f.FieldID, Name: f.Name, Transform: f.Transform.String(), SourceID: f.SourceID()})
		}
		d.Specs = append(d.Specs, s)
	}
	for name, ref := range meta.Refs() {
		d.Refs = append(d.Refs, Ref{
			Name: name, Type: string(ref.SnapshotRefType), SnapshotID: ref.SnapshotID,
			MaxRefAgeMs: ref.MaxRefAgeMs, MinSnapshots: ref.MinSnapshotsToKeep, MaxSnapshotAgeMs: ref.MaxSnapshotAgeMs,
		})
	}
	slices.SortFunc(d.Refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
	if snap == nil {
		return d, nil
	}
	updated := time.UnixMilli(snap.TimestampMs).UTC()
	d.SnapshotID, d.Updated = &snap.SnapshotID, &updated
	if err := d.measure(ctx, tbl, snap); err != nil {
		return Description{}, fmt.Errorf("table %s: %w", name, catalog.Classify(err))
	}
	return d, nil
}

// liveFile is a data or delete file of a snapshot, and where it is.
type liveFile struct {
	iceberg.DataFile
	partition slice.Partition
	manifest  string
}

// liveFiles yields the files that a snapshot's manifests list.
func liveFiles(ctx context.Context, tbl *table.Table, snap *table.Snapshot) iter.Seq2[liveFile, error] {
	return func(yield func(liveFile, error) bool) {
		fs, err := tbl.FS(ctx)
		if err != nil {
			yield(liveFile{}, err)
			return
		}
		manifests, err := snap.Manifests(fs)
		if err != nil {
			yield(liveFile{}, err)
			return
		}
		for _, m := range manifests {
			if err := ctx.Err(); err != nil {
				yield(liveFile{}, err)
				return
			}
			spec := tbl.Metadata().PartitionSpecByID(int(m.PartitionSpecID()))
			if spec == nil {
				yield(liveFile{}, fmt.Errorf("manifest %s has an unknown partition spec %d", m.FilePath(), m.PartitionSpecID()))
				return
			}
			for e, err := range m.Entries(fs, true) {
				if err != nil {
					yield(liveFile{}, err)
					return
				}
				f := e.DataFile()
				if !yield(liveFile{f, slice.PartitionOf(f, *spec, tbl.Schema()), m.FilePath()}, nil) {
					return
				}
			}
		}
	}
}

// defaultOf is the text of a default value; nil for null.
func defaultOf(t iceberg.Type, v any) *string {
	if v == nil {
		return nil
	}
	text, err := arrowconv.FormatDefault(t, v)
	if err != nil {
		text = fmt.Sprint(v)
	}
	return &text
}

// measure counts what the snapshot's manifests list.
func (d *Description) measure(ctx context.Context, tbl *table.Table, snap *table.Snapshot) error {
	sizes := map[string]*PartitionSize{}
	for f, err := range liveFiles(ctx, tbl, snap) {
		if err != nil {
			return err
		}
		size := sizes[f.partition.Key]
		if size == nil {
			size = &PartitionSize{Partition: f.partition.Path, SpecID: f.partition.SpecID}
			sizes[f.partition.Key] = size
		}
		d.Bytes, size.Bytes = d.Bytes+f.FileSizeBytes(), size.Bytes+f.FileSizeBytes()
		if f.ContentType() != iceberg.EntryContentData {
			d.DeleteFiles, size.DeleteFiles = d.DeleteFiles+1, size.DeleteFiles+1
			continue
		}
		d.DataFiles, size.DataFiles = d.DataFiles+1, size.DataFiles+1
		d.Rows, size.Rows = d.Rows+f.Count(), size.Rows+f.Count()
	}
	for _, s := range sizes {
		d.Partitions = append(d.Partitions, *s)
	}
	slices.SortFunc(d.Partitions, func(a, b PartitionSize) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), strings.Compare(a.Partition, b.Partition), cmp.Compare(a.SpecID, b.SpecID))
	})
	return nil
}
