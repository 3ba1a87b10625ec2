package writer

import (
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/merge"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/slice"
	"github.com/icewright/icewright/writer/stage"
)

// Options says how a run's rows meet the table. Options of a room keep their meaning and default
// there: see stage.Options and plan.Options.
type Options struct {
	// Branch is the branch to read and to publish to. The default, "", is main.
	Branch string

	// Merge matches rows by key in place of replacing a slice. The options from Slice to CompareRows are then
	// not looked at. The default, nil, replaces.
	Merge *Merge
	// Insert adds the rows whose keys are not there. The options from Slice to CompareRows are then not looked at.
	// The default, nil, replaces.
	Insert *Insert
	// Append adds the rows, once under the RunKey, in place of replacing a slice. The options from Slice to
	// CompareRows are then not looked at. The default, nil, replaces.
	Append *Append

	Slice        *slice.Slice
	Outside      stage.Outside
	ReplaceTable bool
	OnEmpty      plan.OnEmpty
	MaxShrink    float64
	AllowShrink  bool
	CompareRows  bool

	// Schema is what the batches have, and the files get. The default, nil, is the table's.
	Schema *iceberg.Schema
	// Evolve compares the rows' schema with that of the table, once they are staged, and again on every
	// new base. What it changes is published with the rows, or not at all. The default, nil, is no change.
	Evolve func(base *table.Table) catalog.Drift

	Memory   int64
	SpillDir string
	Workers  int

	// Job and RunKey name the run in the snapshot's summary, Params is what it was run for. The
	// default for Job, "", is the table, the mode and the slice; that for RunKey is Job, or the digest of the
	// rows where they are appended.
	Job, RunKey, Params string
	// Fingerprint names sources and options in the summary, for publish.Standing. The default, "", does not.
	Fingerprint string
	// Attempt and Started name this process's try. The defaults, zero, are a new UUIDv7 and now.
	Attempt uuid.UUID
	Started time.Time

	// DryRun stages and plans, publishes nothing and removes what it staged.
	DryRun bool
	// Progress hears about the run from time to time, from any goroutine. May be nil.
	Progress func(Progress)
	Publish  publish.Options
}

// Progress is where a run is.
type Progress struct {
	// Stage is "stage", "plan", "rewrite" or "publish".
	Stage string
	// Rows and Bytes are input rows and input bytes so far; Partitions are those touched so far. Of
	// "rewrite" they are rows of live files that were read, and bytes and partitions written.
	Rows, Bytes, Partitions int64
}

// Status is how a run ended well.
type Status string

// The statuses. AlreadyPublished is an append's whose run key was published before.
const (
	Published        Status = "published"
	Unchanged        Status = "unchanged"
	AlreadyPublished Status = "already-published"
	Planned          Status = "planned"
)

// Result is what a run did. Rows are input rows.
type Result struct {
	Status Status
	Branch string
	// Base is the branch's head that the plan was made against, Snapshot the one published; either
	// may be nil.
	Base, Snapshot *table.Snapshot
	Job, RunKey    string
	Attempt        uuid.UUID

	RowsRead, RowsWritten, RowsUnchanged, RowsRejected, RowsFiltered int64
	// Of a merge: RowsWritten are RowsInserted and RowsUpdated. RowsDeleted are input rows that deleted one of
	// the table, RowsStale those older than what is there. An insert has RowsInserted and RowsUnchanged.
	RowsInserted, RowsUpdated, RowsDeleted, RowsStale, DuplicatesDropped int64
	// RowsLate are those of RowsInserted that are older than the newest row of the table by more than the window.
	RowsLate  int64
	BytesRead int64
	// Plan is the last plan made: partitions before and after, files that come and go. nil for a merge or an insert, whose
	// last plan is Matched.
	Plan    *plan.Plan
	Matched *merge.Plan
	// Partitions are those in which Matched changes rows, in the order of their paths.
	Partitions []Partition
	// FilesRead are the data files whose keys a merge read, for all of its plans.
	FilesRead int
	// Carried are the files with the rows that were carried over from the files in Plan.Rewrite.
	Carried []slice.StagedFile
	// Deletes are the delete files of a merge on read: position delete files, or deletion vectors, several to a path.
	Deletes []slice.StagedFile
	// DeletesReplaced are the delete files whose place they take.
	DeletesReplaced int
	// Already is the snapshot that published the run key of an append before, which may have expired; else nil.
	Already *int64
	// SchemaChanges are what Plan's publication changes in the table's schema; none where it is unchanged.
	SchemaChanges []catalog.SchemaChange
	// Staged is what was staged, Digest included.
	Staged stage.Result
	// Litter holds files that were not published and could not be removed: staged ones, and metadata of
	// commits that lost a race.
	Litter []string
	// Attempts counts the plans: 1, and one more for every lost race.
	Attempts int
	// Seconds is the time spent by stage: "stage", "plan", "rewrite", "publish".
	Seconds map[string]float64
}
