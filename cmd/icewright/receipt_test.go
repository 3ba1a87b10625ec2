package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/icewright/icewright/job"
)

func TestReceiptText(t *testing.T) {
	id := int64(42)
	many := job.Receipt{Status: job.Published, Table: "a.t", Branch: "main", SnapshotID: &id, RowsWritten: 12_345, Seconds: 83.2, Attempts: 2}
	for i := range 33 {
		many.Partitions = append(many.Partitions, job.PartitionReceipt{
			Partition: fmt.Sprintf("day=2024-01-%02d", i+1), RowsBefore: new(int64(i)), RowsAfter: new(int64(1000)), Changed: i < 31,
		})
	}
	text := receiptText(many)
	if !strings.HasPrefix(text, "published a.t: 12,345 rows in 31 partitions (snapshot 42), 2 partitions unchanged, in 1m23s\n"+
		"  planned 2 times, since others were writing\n"+
		"  partition       rows before  rows after\n"+
		"  day=2024-01-01            0       1,000\n") {
		t.Errorf("got\n%s", text)
	}
	if !strings.HasSuffix(text, "  day=2024-01-20           19       1,000\n  … and 11 more partitions\n") {
		t.Errorf("got\n%s", text)
	}

	one := job.PartitionReceipt{RowsBefore: new(int64(3)), RowsAfter: new(int64(1))}
	changed := one
	changed.Changed = true
	for want, r := range map[string]job.Receipt{
		"unchanged a.t: 1 row already there, nothing published, in 50ms\n": {
			Status: job.Unchanged, RowsUnchanged: 1, Partitions: []job.PartitionReceipt{one},
		},
		"unchanged a.t: nothing to publish, in 50ms\n": {Status: job.Unchanged},
		"planned a.t: 1 row would change; nothing published, in 50ms\n  partition      rows before  rows after\n  (whole table)            3           1\n": {
			Status: job.Planned, RowsWritten: 1, Partitions: []job.PartitionReceipt{changed},
		},
		"published a.t (branch audit): 1 row (snapshot 42), in 50ms\n" +
			"  7 rows outside the slice dropped\n  1 row rejected, see bad/x.ndjson\n  made the table\n" +
			"  partition      rows before  rows after\n  (whole table)            3           1\n": {
			Status: job.Published, RowsWritten: 1, Branch: "audit", SnapshotID: &id, RowsFiltered: 7, RowsRejected: 1,
			RejectsFile: "bad/x.ndjson", TableCreated: true, Partitions: []job.PartitionReceipt{changed},
		},
		"published a.t: rows 1 inserted (snapshot 42), in 50ms\n  9 files considered, 8 pruned, 1 read, 0 rewritten\n" +
			"  partition  rows before  rows after\n  day=1          unknown     unknown\n": {
			Status: job.Published, Mode: job.Merge, RowsInserted: 1, SnapshotID: &id, FilesConsidered: 9, FilesPruned: 8, FilesRead: 1,
			Partitions: []job.PartitionReceipt{{Partition: "day=1", FilesBefore: 9, Changed: true}},
		},
	} {
		r.Table, r.Seconds = "a.t", 0.05
		if r.Branch == "" {
			r.Branch = "main"
		}
		if got := receiptText(r); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}
