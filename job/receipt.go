package job

import (
	"maps"
	"slices"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/slice"
)

// ReceiptVersion is the version of Receipt's JSON form. Fields may be added under one version;
// a field that goes away or changes its meaning makes a new one.
const ReceiptVersion = 1

// Receipt says what a run did. docs/receipt.md describes its JSON form field by field; a test
// holds the two together. Where a run failed it says how far it came, and Error says why.
type Receipt struct {
	Version int    `json:"version"`
	Status  Status `json:"status"`
	Table   string `json:"table"`
	Mode    Mode   `json:"mode"`
	Branch  string `json:"branch"`
	Slice   string `json:"slice"`
	Job     string `json:"job"`
	RunKey  string `json:"run_key"`
	Attempt string `json:"attempt"`

	BaseSnapshotID *int64 `json:"base_snapshot_id"`
	SnapshotID     *int64 `json:"snapshot_id"`

	RowsRead          int64 `json:"rows_read"`
	RowsWritten       int64 `json:"rows_written"`
	RowsUnchanged     int64 `json:"rows_unchanged"`
	RowsStale         int64 `json:"rows_stale"`
	RowsRejected      int64 `json:"rows_rejected"`
	RowsFiltered      int64 `json:"rows_filtered"`
	DuplicatesDropped int64 `json:"duplicates_dropped"`
	RowsInserted      int64 `json:"rows_inserted"`
	RowsUpdated       int64 `json:"rows_updated"`
	RowsDeleted       int64 `json:"rows_deleted"`
	// RowsKept are rows outside the slice that were carried over from files that straddled it: FilesRewritten.
	RowsKept int64 `json:"rows_kept"`
	// RowsLate are those of RowsInserted that are older than the newest row of the table by more than the window.
	RowsLate int64 `json:"rows_late"`
	// DuplicatesAllowed says that an append did not look whether its rows were there already.
	DuplicatesAllowed bool `json:"duplicates_allowed"`

	// FilesConsidered are the live data files of the base of a merge or an insert, FilesPruned those that metadata proved to have
	// none of the keys, FilesRead those whose keys were read.
	FilesConsidered int `json:"files_considered"`
	FilesPruned     int `json:"files_pruned"`
	FilesRead       int `json:"files_read"`

	FilesAdded     int   `json:"files_added"`
	FilesRemoved   int   `json:"files_removed"`
	FilesRewritten int   `json:"files_rewritten"`
	BytesAdded     int64 `json:"bytes_added"`
	BytesRead      int64 `json:"bytes_read"`
	Sources        int   `json:"sources"`

	// Strategy is that of a merge; "" in other modes.
	Strategy Strategy `json:"strategy"`
	// DeleteFilesAdded are position delete files or deletion vectors of a merge on read, and PositionsDeleted the rows that
	// they hide: those that changed, and with a vector or a file that takes the place of another, those of that one.
	DeleteFilesAdded int   `json:"delete_files_added"`
	PositionsDeleted int64 `json:"positions_deleted"`
	// RowsClosed are versions of a history that were there before and got another end.
	RowsClosed int64 `json:"rows_closed"`

	Digest       string             `json:"digest"`
	Attempts     int                `json:"attempts"`
	Started      time.Time          `json:"started"`
	Seconds      float64            `json:"seconds"`
	Stages       map[string]float64 `json:"stages"`
	TableCreated bool               `json:"table_created"`
	// Trusted says that the sources were not read: they have the fingerprint of a snapshot that still stands.
	Trusted bool `json:"trusted"`
	// SchemaChanges are what the snapshot, or that of a dry run, changes in the table's schema.
	SchemaChanges []catalog.SchemaChange `json:"schema_changes"`
	RejectsFile   string                 `json:"rejects_file"`
	Partitions    []PartitionReceipt     `json:"partitions"`

	Error *Failure `json:"error"`
}

// PartitionReceipt is what a run did to one partition of its slice, or of a merge and an insert, to one in which
// a row changed.
type PartitionReceipt struct {
	// Partition is the path form of the partition, "event_date=2024-01-15"; "" where the table
	// is unpartitioned.
	Partition string `json:"partition"`
	// RowsBefore and RowsAfter are nil where a merge or an insert would have had to read more to know them.
	RowsBefore *int64 `json:"rows_before"`
	RowsAfter  *int64 `json:"rows_after"`
	// FilesBefore and FilesAfter count data files; FilesAfter is nil in a dry run of a merge or an insert.
	FilesBefore int  `json:"files_before"`
	FilesAfter  *int `json:"files_after"`
	// Digest of the rows after the run; "" in a merge and an insert.
	Digest  string `json:"digest"`
	Changed bool   `json:"changed"`
}

// Failure says why a run did not do what it was asked to. ExitCode and Class are the caller's,
// which knows what exit codes are.
type Failure struct {
	Message  string `json:"message"`
	Hint     string `json:"hint"`
	ExitCode int    `json:"exit_code"`
}

// Status is a run's outcome in one word.
type Status string

// The outcomes. The first four are successes.
const (
	Published        Status = "published"         // a snapshot carries the rows
	Unchanged        Status = "unchanged"         // the table already held exactly these rows
	AlreadyPublished Status = "already-published" // this run key landed before
	Planned          Status = "planned"           // a dry run
	Superseded       Status = "superseded"        // a later attempt has written the slice
	Failed           Status = "failed"            // see Error; the table is as it was
	Unknown          Status = "unknown"           // whether the snapshot landed is not known; see Error
)

// fill copies what the writer reports.
func (r *Receipt) fill(res writer.Result) {
	r.BaseSnapshotID, r.SnapshotID = idOf(res.Base), idOf(res.Snapshot)
	r.RowsRead, r.RowsWritten, r.RowsUnchanged = res.RowsRead, res.RowsWritten, res.RowsUnchanged
	r.RowsRejected, r.RowsFiltered = res.RowsRejected, res.RowsFiltered
	r.BytesRead, r.Attempts = res.BytesRead, res.Attempts
	r.Digest = res.Staged.Digest.String()
	r.RunKey = res.RunKey
	if res.Already != nil {
		r.SnapshotID = res.Already
	}
	maps.Copy(r.Stages, res.Seconds)
	r.SchemaChanges = append(r.SchemaChanges, res.SchemaChanges...)
	r.RowsStale, r.RowsDeleted, r.DuplicatesDropped = res.RowsStale, res.RowsDeleted, res.DuplicatesDropped
	r.RowsInserted, r.RowsUpdated, r.RowsLate = res.RowsInserted, res.RowsUpdated, res.RowsLate
	if res.Matched != nil {
		r.fillMerge(res)
	}
	p := res.Plan
	if p == nil {
		return
	}
	added := slices.Concat(p.Add, res.Carried)
	for _, f := range added {
		r.BytesAdded += f.FileSizeBytes()
	}
	r.FilesAdded, r.FilesRemoved, r.FilesRewritten, r.RowsKept = len(added), len(p.Remove), len(p.Rewrite), p.RowsKept
	for _, p := range p.Partitions {
		r.Partitions = append(r.Partitions, PartitionReceipt{
			Partition: p.Partition.Path, RowsBefore: &p.RowsBefore, RowsAfter: &p.RowsAfter,
			FilesBefore: p.FilesBefore, FilesAfter: &p.FilesAfter, Digest: p.After.String(), Changed: p.Changed,
		})
	}
}

// fillMerge copies what is a merge's own.
func (r *Receipt) fillMerge(res writer.Result) {
	p := res.Matched
	r.FilesConsidered, r.FilesPruned, r.FilesRead = p.Considered, p.Pruned, res.FilesRead
	r.FilesRemoved, r.FilesRewritten = len(p.Removed()), len(p.Rewrites())
	if p.Versions != nil {
		r.RowsClosed = p.Versions.Closed
	}
	if r.Strategy == MergeOnRead {
		r.FilesRemoved, r.FilesRewritten = res.DeletesReplaced, 0
	}
	r.DeleteFilesAdded = len(res.Deletes)
	for _, f := range res.Deletes {
		r.PositionsDeleted += f.Count()
		r.BytesAdded += slice.SizeOf(f.DataFile)
	}
	for _, f := range res.Carried {
		r.RowsKept += f.Count()
	}
	added := slices.Concat(res.Staged.Files, res.Carried)
	for _, f := range added {
		r.BytesAdded += f.FileSizeBytes()
	}
	r.FilesAdded = len(added)
	for _, p := range res.Partitions {
		r.Partitions = append(r.Partitions, PartitionReceipt{
			Partition: p.Partition.Path, RowsBefore: p.RowsBefore, RowsAfter: p.RowsAfter,
			FilesBefore: p.FilesBefore, FilesAfter: p.FilesAfter, Changed: true,
		})
	}
}

func idOf(s *table.Snapshot) *int64 {
	if s == nil {
		return nil
	}
	return &s.SnapshotID
}
