package writer_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/merge"
	"github.com/icewright/icewright/writer/publish"
)

func merging(key ...string) writer.Options { return writer.Options{Merge: &writer.Merge{Key: key}} }

// What merge promises, told once: what differs is updated, what is new is inserted, the rest stays where it is,
// and a second run changes nothing.
func TestMerge(t *testing.T) {
	for version := 1; version <= 3; version++ {
		t.Run(fmt.Sprint("v", version), func(t *testing.T) {
			cat := versioned(t, version, "region")
			first := mustLoad(t, cat, merging("id"), row{1, "ea", 1}, row{2, "we", 2}, row{3, "we", 3}, row{4, "no", 4})
			if first.RowsInserted != 4 || first.Snapshot == nil || first.Snapshot.Summary.Operation != "append" {
				t.Fatalf("%+v", first)
			}
			kept := filesOf(t, cat)

			// id 2 moves to another partition, 3 stays as it is, 5 is new.
			res := mustLoad(t, cat, merging("id"), row{2, "ea", 20}, row{3, "we", 3}, row{5, "-", 5})
			want := []row{{1, "ea", 1}, {2, "ea", 20}, {3, "we", 3}, {4, "no", 4}, {5, "-", 5}}
			if got := scan(t, cat); !slices.Equal(got, want) {
				t.Fatalf("rows %v", got)
			}
			if res.RowsInserted != 1 || res.RowsUpdated != 1 || res.RowsUnchanged != 1 || res.RowsWritten != 2 || res.Snapshot.Summary.Operation != "overwrite" {
				t.Errorf("%+v", res)
			}
			stayed := 0
			for _, f := range filesOf(t, cat) {
				if slices.Contains(kept, f) {
					stayed++
				}
			}
			if stayed != 2 { // those of ea and no, where no row changed
				t.Errorf("%d of the files stayed", stayed)
			}
			wantLitter(t, cat, 0)

			before := snapshots(t, cat)
			res = mustLoad(t, cat, merging("id"), row{5, "-", 5}, row{3, "we", 3}, row{2, "ea", 20})
			if res.Status != writer.Unchanged || res.RowsUnchanged != 3 || snapshots(t, cat) != before {
				t.Errorf("a rerun: %+v", res)
			}
			wantLitter(t, cat, 0)
		})
	}
}

// A row that is updated is still the same row, and says in which snapshot it changed last.
func TestMergeKeepsRowIDs(t *testing.T) {
	cat := versioned(t, 3, "region")
	mustLoad(t, cat, merging("id"), row{1, "ea", 1}, row{2, "ea", 2}, row{3, "we", 3})
	before := lineageOf(t, cat)
	mustLoad(t, cat, merging("id"), row{2, "we", 20}, row{4, "we", 4})
	after := lineageOf(t, cat)
	id := strings.TrimSuffix(before[2], " of 1")
	if after[1] != before[1] || after[3] != before[3] || after[2] != id+" of 2" || !strings.HasSuffix(after[4], " of 2") {
		t.Errorf("row ids %v, before %v", after, before)
	}
}

// A zombie is an attempt that hangs between its input and its commit, while a later attempt of the run publishes
// a corrected input. It is fenced off where the run has a name. Merges of no name, or of others, are runs of their
// own: both land, and the one that commits last counts.
func TestMergeZombies(t *testing.T) {
	for _, c := range []struct {
		name, first, second string
		fenced              bool
	}{
		{"one run", "day 1", "day 1", true},
		{"two runs", "day 1", "day 2", false},
		{"no name", "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cat := newTable(t, "")
			mustLoad(t, cat, merging("id"), row{1, "ea", 1}, row{2, "ea", 2})
			seen := current(t, cat)
			zombie, later := merging("id"), merging("id")
			zombie.RunKey, later.RunKey = c.first, c.second
			zombie.Started = time.Now()
			later.Started = zombie.Started.Add(time.Second)
			mustLoad(t, cat, later, row{1, "ea", 11})
			zombie.Publish = quick()
			_, err := writer.Load(t.Context(), cat, seen, batches(t, memory.DefaultAllocator, 3, nil, row{1, "ea", 10}), zombie)
			want := []row{{1, "ea", 10}, {2, "ea", 2}}
			if c.fenced {
				want[0].amount = 11
			}
			if errors.Is(err, publish.ErrSuperseded) != c.fenced || err != nil && !c.fenced {
				t.Errorf("error %v", err)
			}
			if got := scan(t, cat); !slices.Equal(got, want) {
				t.Errorf("rows %v, want %v", got, want)
			}
			wantLitter(t, cat, 0)
		})
	}
}

func TestMergeRefuses(t *testing.T) {
	cat := newTable(t, "")
	mustLoad(t, cat, merging("id"), row{1, "ea", 1})
	for _, c := range []struct {
		name string
		o    writer.Options
		rows []row
		is   error
		want string
	}{
		{"a key twice", merging("id"), []row{{7, "ea", 1}, {8, "ea", 1}, {7, "we", 2}}, merge.ErrKey, "the key comes twice in the input: id=7 (sales.csv: row 1, sales.csv: row 3)"},
		{"a null key", merging("region"), []row{{7, "ea", 1}, {8, "-", 1}, {9, "-", 1}}, merge.ErrKey, `sales.csv: rows 2, 3: key column "region" is null`},
		{"a float key", merging("amount"), []row{{7, "ea", 1}}, merge.ErrColumn, `column "amount" is a double`},
		{"no such column", merging("idd"), nil, merge.ErrColumn, `--key: the table has no column "idd"`},
		{"twice", merging("id", "id"), nil, merge.ErrColumn, `column "id" is named twice`},
		{"a tie", writer.Options{Merge: &writer.Merge{Key: []string{"id"}, LatestBy: "amount"}}, []row{{7, "ea", 1}, {7, "we", 1}}, merge.ErrKey, "rows with one key and one amount differ: id=7 (sales.csv: row 1, sales.csv: row 2)"},
		{"ignored key", writer.Options{Merge: &writer.Merge{Key: []string{"id"}, Ignore: []string{"id"}}}, nil, merge.ErrColumn, "part of the key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := loadRows(t, cat, c.o, c.rows...)
			if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v", err)
			}
			if got := scan(t, cat); !slices.Equal(got, []row{{1, "ea", 1}}) {
				t.Errorf("rows %v", got)
			}
			wantLitter(t, cat, 0)
		})
	}
	t.Run("the table has a key twice", func(t *testing.T) {
		cat := newTable(t, "")
		mustLoad(t, cat, writer.Options{ReplaceTable: true}, row{1, "ea", 1}, row{1, "we", 2})
		_, err := loadRows(t, cat, merging("id"), row{1, "ea", 5})
		if !errors.Is(err, merge.ErrTable) || !strings.Contains(err.Error(), "several rows of the table have one key") {
			t.Fatalf("error %v", err)
		}
	})
}

// A map is the model of a table: merges by either strategy, deletes of every kind by others, stale rows and
// duplicates in any order, split into any number of loads, on every format version, partitioned and not.
func TestMergeAgainstAMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		version := rapid.IntRange(1, 3).Draw(rt, "version")
		by := rapid.SampledFrom([]string{"", "region", "bucket(3, id)", "truncate(2, id), region"}).Draw(rt, "by")
		cat := versioned(t, version, by)
		if rapid.Bool().Draw(rt, "granularity") {
			setProperties(t, cat, iceberg.Properties{"write.delete.granularity": "partition"})
		}
		model := map[int64]row{}
		evolved := false
		for range rapid.IntRange(1, 8).Draw(rt, "loads") {
			switch rapid.SampledFrom([]string{"merge", "merge", "merge", "delete", "equality", "upgrade", "spec"}).Draw(rt, "step") {
			case "delete":
				// position deletes and deletion vectors; iceberg-go files those on data of an older spec
				// where its scan does not find them
				id := rapid.Int64Range(1, 12).Draw(rt, "id")
				if _, there := model[id]; !there || version == 1 || evolved {
					continue
				}
				tx := current(t, cat).NewTransaction()
				if err := tx.Delete(t.Context(), iceberg.EqualTo(iceberg.Reference("id"), id), nil); err != nil {
					rt.Fatal(err)
				}
				if _, err := tx.Commit(t.Context()); err != nil {
					rt.Fatal(err)
				}
				delete(model, id)
				continue
			case "equality":
				id := rapid.Int64Range(1, 12).Draw(rt, "id")
				if was, there := model[id]; there && version > 1 && !evolved {
					deleteEqual(t, cat, was)
					delete(model, id)
				}
				continue
			case "upgrade":
				if version == 2 { // then there are position deletes beside vectors
					version = 3
					tx := current(t, cat).NewTransaction()
					if err := tx.UpgradeFormatVersion(version); err != nil {
						rt.Fatal(err)
					}
					if _, err := tx.Commit(t.Context()); err != nil {
						rt.Fatal(err)
					}
				}
				continue
			case "spec":
				repartition(t, cat, rapid.SampledFrom([]string{"", "region", "bucket(3, id)", "id"}).Draw(rt, "spec"))
				evolved = true
				continue
			}
			o := merging("id")
			o.Memory = rapid.SampledFrom([]int64{0, 64}).Draw(rt, "memory") // 64 spills every batch
			o.Merge.OnRead = version > 1 && rapid.Bool().Draw(rt, "on read")
			latest, newer, deletes := rapid.Bool().Draw(rt, "latest"), rapid.Bool().Draw(rt, "newer"), rapid.Bool().Draw(rt, "deletes")
			if latest {
				o.Merge.LatestBy = "amount"
			}
			if newer {
				o.Merge.IfNewer = "amount"
			}
			if deletes {
				o.Merge.DeleteWhen = sliceOf(t, schema, "region = 'we'")
			}
			rows := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) row {
				return row{
					rapid.Int64Range(1, 12).Draw(rt, "id"), rapid.SampledFrom([]string{"ea", "we", "-"}).Draw(rt, "region"),
					float64(rapid.IntRange(0, 3).Draw(rt, "amount")),
				}
			}), 0, 12).Draw(rt, "rows")

			picked, dropped, bad := map[int64]row{}, 0, false
			tied := map[int64]bool{}
			for _, r := range rows {
				was, again := picked[r.id]
				switch {
				case !again:
					picked[r.id] = r
				case !latest:
					bad = true
				case r.amount > was.amount:
					picked[r.id], tied[r.id] = r, false
					dropped++
				default:
					if r.amount == was.amount && r != was {
						tied[r.id] = true
					}
					dropped++
				}
			}
			for _, tie := range tied {
				bad = bad || tie
			}
			counted := rapid.Bool().Draw(rt, "count partitions")
			var planned writer.Result
			var before map[string]contents
			var told bool
			if counted && !bad {
				dry := o
				dry.DryRun = true
				before, told = contentsOf(rt, cat)
				planned = mustLoad(t, cat, dry, rows...)
			}
			res, err := loadRows(t, cat, o, rows...)
			if bad {
				if !errors.Is(err, merge.ErrKey) {
					rt.Fatalf("%v: error %v", rows, err)
				}
				continue
			}
			if err != nil {
				rt.Fatal(err)
			}
			var want writer.Result
			for id, r := range picked {
				was, there := model[id]
				del := deletes && r.region == "we"
				switch {
				case there && newer && r.amount < was.amount:
					want.RowsStale++
				case there && del:
					delete(model, id)
					want.RowsDeleted++
				case del, there && was == r:
					want.RowsUnchanged++
				case there:
					model[id] = r
					want.RowsUpdated++
				default:
					model[id] = r
					want.RowsInserted++
				}
			}
			got := [...]int64{res.RowsStale, res.RowsDeleted, res.RowsUnchanged, res.RowsUpdated, res.RowsInserted, res.DuplicatesDropped}
			if expect := [...]int64{want.RowsStale, want.RowsDeleted, want.RowsUnchanged, want.RowsUpdated, want.RowsInserted, int64(dropped)}; got != expect {
				rt.Fatalf("stale, deleted, unchanged, updated, inserted, dropped: %v, want %v", got, expect)
			}
			rowsNow := slices.Collect(maps.Values(model))
			if now := scan(t, cat); !slices.Equal(now, sorted(rowsNow...)) {
				rt.Fatalf("rows %v, want %v", now, sorted(rowsNow...))
			}
			if counted {
				after, _ := contentsOf(rt, cat)
				wantPartitions(rt, before, after, told, planned, res)
			}
			if res.Status == writer.Published {
				if again, err := loadRows(t, cat, o, rows...); err != nil || again.Status != writer.Unchanged {
					rt.Fatalf("a rerun: %+v, %v", again, err)
				}
			}
			wantLitter(t, cat, 0)
		}
	})
}

// filesOf are the paths of the live data files.
func filesOf(t testing.TB, cat publish.Catalog) (paths []string) {
	t.Helper()
	tbl := current(t, cat)
	all, err := live.Read(t.Context(), tbl, tbl.CurrentSnapshot(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all.Data {
		paths = append(paths, f.DataFile().FilePath())
	}
	return paths
}
