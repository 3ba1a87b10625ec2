package writer_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/stage"
)

func onRead(key ...string) writer.Options {
	return writer.Options{Merge: &writer.Merge{Key: key, OnRead: true}}
}

// deletesOf are the live delete files.
func deletesOf(t testing.TB, cat publish.Catalog) []*live.File {
	t.Helper()
	tbl := current(t, cat)
	all, err := live.Read(t.Context(), tbl, tbl.CurrentSnapshot(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return all.Deletes
}

func setProperties(t testing.TB, cat publish.Catalog, props iceberg.Properties) {
	t.Helper()
	tx := current(t, cat).NewTransaction()
	if err := tx.SetProperties(props); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// deleteEqual deletes a row as another engine would, by an equality delete of its id and region.
func deleteEqual(t testing.TB, cat publish.Catalog, r row) {
	t.Helper()
	records := iter.Seq2[arrow.RecordBatch, error](func(yield func(arrow.RecordBatch, error) bool) {
		for b, err := range batches(t, memory.DefaultAllocator, 1, nil, r) {
			if err != nil {
				yield(nil, err)
				return
			}
			fields := b.Schema().Fields()[:2]
			rec := array.NewRecordBatch(arrow.NewSchema(fields, nil), b.Columns()[:2], b.NumRows())
			b.Release()
			if !yield(rec, nil) {
				return
			}
		}
	})
	tx := current(t, cat).NewTransaction()
	if err := tx.CommitEqualityDeletes(t.Context(), []int{1, 2}, records, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What a merge on read promises, told once: data files stay, one delete file for each hides the rows that change, and
// what was hidden before stays hidden.
func TestMergeOnRead(t *testing.T) {
	for version := 2; version <= 3; version++ {
		t.Run(fmt.Sprint("v", version), func(t *testing.T) {
			cat := versioned(t, version, "region")
			mustLoad(t, cat, onRead("id"), row{1, "ea", 1}, row{2, "ea", 2}, row{3, "ea", 3}, row{4, "we", 4}, row{5, "-", 5})
			before := filesOf(t, cat)

			// 2 stays in its partition, 4 moves to another.
			res := mustLoad(t, cat, onRead("id"), row{2, "ea", 20}, row{4, "ea", 40}, row{5, "-", 5}, row{6, "no", 6})
			if got, want := scan(t, cat), []row{{1, "ea", 1}, {2, "ea", 20}, {3, "ea", 3}, {4, "ea", 40}, {5, "-", 5}, {6, "no", 6}}; !slices.Equal(got, want) {
				t.Fatalf("rows %v", got)
			}
			for _, f := range before {
				if !slices.Contains(filesOf(t, cat), f) {
					t.Errorf("%s was rewritten", f)
				}
			}
			wantDeletes(t, cat, version, map[string]int64{"region=ea": 1, "region=we": 1})
			for _, d := range deletesOf(t, cat) {
				ref := d.Target // in version 2 by bounds that meet: iceberg-go v0.7.0 writes referenced_data_file from version 3 on
				if version >= 3 {
					ref = *d.DataFile().ReferencedDataFile()
				}
				if !slices.Contains(before, ref) {
					t.Errorf("%s is not said to be for one data file", d.DataFile().FilePath())
				}
			}
			props := res.Snapshot.Summary.Properties
			want := map[string]string{
				"added-delete-files": "2", "added-position-deletes": "2", "added-data-files": "2", "added-records": "3",
				"deleted-data-files": "", "total-delete-files": "2", "total-position-deletes": "2", "removed-delete-files": "",
				"added-position-delete-files": "2", "added-dvs": "",
			}
			if version == 3 {
				want["added-position-delete-files"], want["added-dvs"] = "", "2"
			}
			for key, value := range want {
				if props[key] != value {
					t.Errorf("summary: %s is %q, want %q", key, props[key], value)
				}
			}
			if res.Snapshot.Summary.Operation != table.OpOverwrite || len(res.Deletes) != 2 {
				t.Errorf("%s with %d delete files", res.Snapshot.Summary.Operation, len(res.Deletes))
			}

			// A second change of the same file: its delete file is replaced by one with both rows.
			o := onRead("id")
			o.Merge.DeleteWhen = sliceOf(t, schema, "amount = 0")
			res = mustLoad(t, cat, o, row{1, "ea", 0}, row{4, "ea", 41})
			if got, want := scan(t, cat), []row{{2, "ea", 20}, {3, "ea", 3}, {4, "ea", 41}, {5, "-", 5}, {6, "no", 6}}; !slices.Equal(got, want) {
				t.Fatalf("rows %v", got)
			}
			if p := res.Snapshot.Summary.Properties; p["removed-delete-files"] != "1" || p["removed-position-deletes"] != "1" || p["added-position-deletes"] != "3" || p["total-position-deletes"] != "4" {
				t.Errorf("summary %v", p)
			}
			wantDeletes(t, cat, version, map[string]int64{"region=ea": 3, "region=we": 1})
			wantLitter(t, cat, 0)

			if again := mustLoad(t, cat, o, row{1, "ea", 0}, row{4, "ea", 41}); again.Status != writer.Unchanged {
				t.Errorf("a rerun: %+v", again)
			}
			// Who replaces the partition takes the delete files of its data files along.
			mustLoad(t, cat, writer.Options{AllowShrink: true}, row{9, "ea", 9})
			wantDeletes(t, cat, version, map[string]int64{"region=we": 1})
			// And a rewrite of a file applies them, and takes them away.
			mustLoad(t, cat, merging("id"), row{5, "we", 50})
			wantDeletes(t, cat, version, map[string]int64{"region=we": 1})
			mustLoad(t, cat, writer.Options{Slice: sliceOf(t, schema, "region = 'we'"), OnEmpty: 2, AllowShrink: true})
			wantDeletes(t, cat, version, map[string]int64{})
			wantLitter(t, cat, 0)
		})
	}
}

// wantDeletes checks the live delete files: how many rows they hide in each partition, and that each is what the spec asks for.
func wantDeletes(t testing.TB, cat publish.Catalog, version int, want map[string]int64) {
	t.Helper()
	got := map[string]int64{}
	for _, d := range deletesOf(t, cat) {
		df := d.DataFile()
		got[d.Partition.Path] += df.Count()
		if table.IsDeletionVector(df) != (version >= 3) || df.ContentType() != iceberg.EntryContentPosDeletes {
			t.Errorf("%s in version %d", df.FilePath(), version)
		}
		if version >= 3 && (df.ContentOffset() == nil || df.ContentSizeInBytes() == nil || df.ReferencedDataFile() == nil) {
			t.Errorf("%s: %+v", df.FilePath(), df)
		}
		name := df.FilePath()[strings.LastIndexByte(df.FilePath(), '/')+1:]
		if _, ok := stage.StagedBy(name); !ok || stage.IsCarried(name) {
			t.Errorf("nobody would know whose %s is", name)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("rows hidden: %v, want %v", got, want)
	}
}

// One delete file for all data files of a partition, where the table asks for that.
func TestMergeOnReadByPartition(t *testing.T) {
	cat := versioned(t, 2, "region")
	setProperties(t, cat, iceberg.Properties{"write.delete.granularity": "partition"})
	for id := int64(1); id <= 4; id++ {
		mustLoad(t, cat, onRead("id"), row{id, "ea", 1}, row{10 + id, "we", 1})
	}
	for round := range 2 {
		var rows []row
		for id := int64(1); id <= 4; id++ {
			rows = append(rows, row{id, "ea", float64(2 + round)})
		}
		mustLoad(t, cat, onRead("id"), rows...)
		wantDeletes(t, cat, 2, map[string]int64{"region=ea": int64(4 * (1 + round))})
		if n := len(deletesOf(t, cat)); n != 1+round {
			t.Errorf("%d delete files", n)
		}
	}
	// The first round hits a file for each row, the second the one file of the first.
	single := 0
	for _, d := range deletesOf(t, cat) {
		lower, upper := string(d.DataFile().LowerBoundValues()[2147483546]), string(d.DataFile().UpperBoundValues()[2147483546])
		if !strings.HasSuffix(lower, ".parquet") || lower > upper || (lower == upper) != (d.Target != "") {
			t.Errorf("paths from %s to %s", lower, upper)
		}
		if d.Target != "" {
			single++
		}
	}
	if single != 1 {
		t.Errorf("%d delete files are for one data file", single)
	}
	setProperties(t, cat, iceberg.Properties{"write.delete.granularity": "row"})
	if _, err := loadRows(t, cat, onRead("id"), row{1, "ea", 9}); !errors.Is(err, stage.ErrProperty) || !strings.Contains(err.Error(), "write.delete.granularity") {
		t.Errorf("error %v", err)
	}
	wantLitter(t, cat, 0)
}

// A row that is updated in place is still the same row.
func TestMergeOnReadKeepsRowIDs(t *testing.T) {
	cat := versioned(t, 3, "region")
	mustLoad(t, cat, onRead("id"), row{1, "ea", 1}, row{2, "ea", 2}, row{3, "we", 3})
	before := lineageOf(t, cat)
	mustLoad(t, cat, onRead("id"), row{2, "we", 20}, row{4, "we", 4})
	mustLoad(t, cat, onRead("id"), row{4, "we", 40})
	after := lineageOf(t, cat)
	id := strings.TrimSuffix(before[2], " of 1")
	if after[1] != before[1] || after[3] != before[3] || after[2] != id+" of 2" || !strings.HasSuffix(after[4], " of 3") {
		t.Errorf("row ids %v, before %v", after, before)
	}
	wantRowIDs(t, cat, 4)
}

func TestMergeOnReadNeedsDeleteFiles(t *testing.T) {
	cat := versioned(t, 1, "")
	mustLoad(t, cat, merging("id"), row{1, "ea", 1})
	_, err := loadRows(t, cat, onRead("id"), row{1, "ea", 2})
	if !errors.Is(err, stage.ErrUnsupported) || !strings.Contains(err.Error(), "format version 1") {
		t.Errorf("error %v", err)
	}
	wantLitter(t, cat, 0)
}

// A compaction that lands between matching and commit takes the data files away that the delete files are for. Those
// delete files must not land: the rows they hide would come back, and the new ones beside them.
func TestMergeOnReadAfterACompaction(t *testing.T) {
	for version := 2; version <= 3; version++ {
		t.Run(fmt.Sprint("v", version), func(t *testing.T) {
			cat := versioned(t, version, "region")
			for id := int64(1); id <= 4; id++ {
				mustLoad(t, cat, merging("id"), row{id, "ea", 1})
			}
			compacting := &onCommit{Catalog: cat, before: func() {
				// what a compaction does: the same rows, in other files
				mustLoad(t, cat, writer.Options{AllowShrink: true}, row{9, "ea", 9})
				mustLoad(t, cat, writer.Options{AllowShrink: true}, row{1, "ea", 1}, row{2, "ea", 1}, row{3, "ea", 1}, row{4, "ea", 1})
			}}
			o := onRead("id")
			o.Publish = quick()
			res, err := loadRows(t, compacting, o, row{2, "ea", 2}, row{3, "ea", 2}, row{5, "ea", 2})
			if err != nil || res.Attempts != 2 {
				t.Fatalf("%d attempts, %v", res.Attempts, err)
			}
			if got, want := scan(t, cat), []row{{1, "ea", 1}, {2, "ea", 2}, {3, "ea", 2}, {4, "ea", 1}, {5, "ea", 2}}; !slices.Equal(got, want) {
				t.Errorf("rows %v", got)
			}
			data := filesOf(t, cat)
			for _, d := range deletesOf(t, cat) {
				if !slices.Contains(data, d.Target) {
					t.Errorf("%s is for %s, which is gone", d.DataFile().FilePath(), d.Target)
				}
			}
			wantDeletes(t, cat, version, map[string]int64{"region=ea": 2})
			wantLitter(t, cat, 0)
		})
	}
}

// onCommit does something before the first commit.
type onCommit struct {
	publish.Catalog
	before func()
}

func (c *onCommit) CommitTable(ctx context.Context, ident table.Identifier, requirements []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	if do := c.before; do != nil {
		c.before = nil
		do()
	}
	return c.Catalog.CommitTable(ctx, ident, requirements, updates)
}
