package job

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// Entry is a snapshot in a table's history: when it was made, by whom, and what it did.
type Entry struct {
	Time       time.Time `json:"time"`
	SnapshotID int64     `json:"snapshot_id"`
	ParentID   *int64    `json:"parent_id"`
	Operation  string    `json:"operation"`
	// Refs are the branches and tags whose head the snapshot is; Branches are the branches that
	// it is part of. Both are sorted, and may be empty: a snapshot that was rolled back is part of none.
	Refs     []string `json:"refs"`
	Branches []string `json:"branches"`
	// Engine is who wrote it, "icewright" for our own; "" where the summary does not tell.
	Engine string `json:"engine"`
	// Job, RunKey, Params and Attempt are those of the run; "" for other engines' snapshots.
	Job     string `json:"job"`
	RunKey  string `json:"run_key"`
	Params  string `json:"params"`
	Attempt string `json:"attempt"`
	Digest  string `json:"digest"`
	// Rows and files added and removed, and the rows in the table after it; nil where the
	// summary does not tell.
	RowsAdded    *int64 `json:"rows_added"`
	RowsRemoved  *int64 `json:"rows_removed"`
	FilesAdded   *int64 `json:"files_added"`
	FilesRemoved *int64 `json:"files_removed"`
	RowsTotal    *int64 `json:"rows_total"`
}

// History lists the table's snapshots, newest first. With t.Branch it is that branch's alone, in
// the order of its ancestry.
func History(ctx context.Context, t Target) ([]Entry, error) {
	cat, tbl, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	defer cat.Close()

	meta := tbl.Metadata()
	refs, branches := map[int64][]string{}, map[int64][]string{}
	for name, ref := range meta.Refs() {
		refs[ref.SnapshotID] = append(refs[ref.SnapshotID], name)
		if ref.SnapshotRefType != table.BranchRef {
			continue
		}
		for snap := meta.SnapshotByID(ref.SnapshotID); snap != nil; snap = parent(meta, snap) {
			branches[snap.SnapshotID] = append(branches[snap.SnapshotID], name)
		}
	}
	var snaps []table.Snapshot
	if t.Branch != "" || t.Snapshot != "" {
		head, err := t.snapshot(tbl)
		if err != nil {
			return nil, err
		}
		for ; head != nil; head = parent(meta, head) {
			snaps = append(snaps, *head)
		}
	} else {
		snaps = slices.Clone(meta.Snapshots())
		slices.Reverse(snaps) // metadata lists them oldest first; ties in time keep that order
		slices.SortStableFunc(snaps, func(a, b table.Snapshot) int {
			if a.SequenceNumber != b.SequenceNumber { // 0 throughout in format version 1
				return int(b.SequenceNumber - a.SequenceNumber)
			}
			return int(b.TimestampMs - a.TimestampMs)
		})
	}
	entries := make([]Entry, 0, len(snaps))
	for _, s := range snaps {
		e := entry(s)
		e.Refs, e.Branches = sorted(refs[s.SnapshotID]), sorted(branches[s.SnapshotID])
		entries = append(entries, e)
	}
	return entries, nil
}

func entry(s table.Snapshot) Entry {
	e := Entry{Time: time.UnixMilli(s.TimestampMs).UTC(), SnapshotID: s.SnapshotID, ParentID: s.ParentSnapshotID}
	if s.Summary == nil {
		return e
	}
	props := s.Summary.Properties
	e.Operation = string(s.Summary.Operation)
	e.Engine = engine(props)
	e.Job, e.RunKey, e.Params = props["icewright.job"], props["icewright.run-key"], props["icewright.params"]
	e.Attempt, e.Digest = props["icewright.attempt"], props["icewright.digest"]
	e.RowsAdded, e.RowsRemoved = count(props, "added-records"), count(props, "deleted-records")
	e.FilesAdded, e.FilesRemoved = count(props, "added-data-files"), count(props, "deleted-data-files")
	e.RowsTotal = count(props, "total-records")
	return e
}

// engine names who wrote a snapshot, from what the engines put into its summary.
func engine(props iceberg.Properties) string {
	if props["icewright.attempt"] != "" {
		return "icewright"
	}
	if name := props["engine-name"]; name != "" {
		if v := props["engine-version"]; v != "" {
			name += " " + v
		}
		return name
	}
	switch {
	case props["spark.app.id"] != "":
		return "spark"
	case props["trino_query_id"] != "":
		return "trino"
	case props["flink.job-id"] != "":
		return "flink"
	case props["dremio-job-id"] != "":
		return "dremio"
	}
	return ""
}

// count reads a number of a summary. Iceberg leaves counts of zero out, so a missing one is 0
// where the summary has counts at all.
func count(props iceberg.Properties, key string) *int64 {
	text, ok := props[key]
	if !ok {
		if _, counted := props["total-records"]; !counted {
			return nil
		}
		return new(int64)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

func parent(meta table.Metadata, s *table.Snapshot) *table.Snapshot {
	if s.ParentSnapshotID == nil {
		return nil
	}
	return meta.SnapshotByID(*s.ParentSnapshotID)
}

func sorted(names []string) []string {
	slices.Sort(names)
	return append([]string{}, names...)
}
