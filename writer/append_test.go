package writer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/publish"
)

const recentRunKeys = "icewright.recent-run-keys"

func once(key string) writer.Options { return writer.Options{Append: &writer.Append{}, RunKey: key} }

func wantRows(t testing.TB, cat publish.Catalog, want ...row) {
	t.Helper()
	if d := cmp.Diff(sorted(want...), scan(t, cat), cmp.AllowUnexported(row{})); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
}

func mustBe(t testing.TB, res writer.Result, want writer.Status) {
	t.Helper()
	if res.Status != want {
		t.Errorf("status %s, want %s", res.Status, want)
	}
}

// setProps commits properties; "" unsets one.
func setProps(t testing.TB, cat publish.Catalog, props map[string]string) {
	t.Helper()
	var updates []table.Update
	for k, v := range props {
		if v == "" {
			updates = append(updates, table.NewRemovePropertiesUpdate([]string{k}))
		} else {
			updates = append(updates, table.NewSetPropertiesUpdate(iceberg.Properties{k: v}))
		}
	}
	if _, _, err := cat.CommitTable(t.Context(), ident, nil, updates); err != nil {
		t.Fatal(err)
	}
}

// expire takes all snapshots away but the head of main.
func expire(t testing.TB, cat publish.Catalog) {
	t.Helper()
	tbl := current(t, cat)
	var old []int64
	for _, s := range tbl.Metadata().Snapshots() {
		if s.SnapshotID != tbl.CurrentSnapshot().SnapshotID {
			old = append(old, s.SnapshotID)
		}
	}
	if _, _, err := cat.CommitTable(t.Context(), ident, nil, []table.Update{table.NewRemoveSnapshotsUpdate(old, false)}); err != nil {
		t.Fatal(err)
	}
}

func TestAppendOnce(t *testing.T) {
	a, b := row{1, "eu", 1}, row{2, "us", 2}
	for _, by := range []string{"region", ""} {
		for version := 1; version <= 3; version++ {
			t.Run(fmt.Sprint(by, " v", version), func(t *testing.T) {
				cat := testcat.New(t)
				if _, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: schema, PartitionBy: by, FormatVersion: version}); err != nil {
					t.Fatal(err)
				}
				first := mustLoad(t, cat, once("monday"), a, b)
				mustBe(t, first, writer.Published)
				if op := first.Snapshot.Summary.Operation; op != table.OpAppend || first.Snapshot.Summary.Properties["replace-partitions"] != "" {
					t.Errorf("summary %v", first.Snapshot.Summary)
				}
				again := mustLoad(t, cat, once("monday"), b, a)
				mustBe(t, again, writer.AlreadyPublished)
				if again.Already == nil || *again.Already != first.Snapshot.SnapshotID || again.RowsUnchanged != 2 || again.RowsWritten != 0 {
					t.Errorf("the second time says %+v", again)
				}
				mustBe(t, mustLoad(t, cat, once("tuesday"), a), writer.Published)
				wantRows(t, cat, a, a, b)
				// Only what was not there comes; partitions say what there is.
				third := mustLoad(t, cat, once("wednesday"), row{3, "eu", 3})
				p := third.Plan.Partitions[0]
				if want := map[string]int64{"region": 2, "": 3}[by]; p.RowsBefore != want || p.RowsAfter != want+1 {
					t.Errorf("partition %+v", p)
				}
				// The same key for other rows is a mistake in one of the two.
				_, err := loadRows(t, cat, once("monday"), a)
				var refused *plan.GuardError
				if !errors.As(err, &refused) || refused.Hint() == "" || !strings.Contains(err.Error(), first.Staged.Digest.String()) || !strings.Contains(err.Error(), "monday") {
					t.Errorf("error %v", err)
				}
				wantLitter(t, cat, 0)
				// Expiry takes the snapshots, and not the knowledge.
				expire(t, cat)
				mustBe(t, mustLoad(t, cat, once("monday"), a, b), writer.AlreadyPublished)
				wantRows(t, cat, a, a, b, row{3, "eu", 3})
			})
		}
	}
}

func TestAppendWithoutAKey(t *testing.T) {
	cat := newTable(t, "region")
	a := row{1, "eu", 1}
	mustBe(t, mustLoad(t, cat, once("")), writer.Unchanged) // without rows
	res := mustLoad(t, cat, once(""), a)
	mustBe(t, res, writer.Published)
	if res.RunKey != res.Staged.Digest.String() || res.Snapshot.Summary.Properties[publish.KeyRunKey] != res.RunKey {
		t.Errorf("run key %q", res.RunKey)
	}
	mustBe(t, mustLoad(t, cat, once(""), a), writer.AlreadyPublished)
	blind := writer.Options{Append: &writer.Append{AllowDuplicates: true}, RunKey: "k"}
	mustBe(t, mustLoad(t, cat, blind, a), writer.Published)
	mustBe(t, mustLoad(t, cat, blind, a), writer.Published)
	mustBe(t, mustLoad(t, cat, once("k"), a), writer.Published) // a blind append used no key up
	wantRows(t, cat, a, a, a, a)
	wantLitter(t, cat, 0)
}

// A dry run says what would be, and uses no key up.
func TestAppendDryRun(t *testing.T) {
	cat := newTable(t, "region")
	dry := once("k")
	dry.DryRun = true
	mustBe(t, mustLoad(t, cat, dry, row{1, "eu", 1}), writer.Planned)
	mustBe(t, mustLoad(t, cat, once("k"), row{1, "eu", 1}), writer.Published)
	if res := mustLoad(t, cat, dry, row{1, "eu", 1}); res.RowsWritten != 0 || res.RowsUnchanged != 1 {
		t.Errorf("a dry run of what is there says %+v", res)
	}
	wantLitter(t, cat, 0)
}

// Answers get lost, also where the catalog shows the newest snapshot only and others go on.
func TestAppendOnceThoughAnswersAreLost(t *testing.T) {
	a, b := row{1, "eu", 1}, row{2, "eu", 2}
	for _, sentence := range []string{
		"commit #1 lands, reply lost", "commit #1 lands, answers 503", "commit #1 is lost", "commit #1 lands late", "commit #1 answers 409",
	} {
		for _, hides := range []bool{false, true} {
			for _, blind := range []bool{false, true} {
				t.Run(fmt.Sprint(sentence, ", hides ", hides, ", blind ", blind), func(t *testing.T) {
					inner := newTable(t, "region")
					mustLoad(t, inner, once("zero"), row{9, "xx", 9})
					var seen publish.Catalog = inner
					want := []row{{9, "xx", 9}, a}
					if hides { // and others replace the partition right after the commit, so that no manifest tells of it
						seen = &testcat.NewestOnly{Catalog: inner, Then: func() {
							mustLoad(t, inner, writer.Options{}, row{3, "eu", 3})
							mustLoad(t, inner, writer.Options{}, b)
						}}
						want[1] = b
					}
					cat := fault.New(t, seen, sentence)
					o := once("monday")
					o.Append.AllowDuplicates = blind
					mustBe(t, mustLoad(t, cat, o, a), writer.Published)
					wantRows(t, inner, want...)
					if !blind {
						mustBe(t, mustLoad(t, inner, o, a), writer.AlreadyPublished)
					}
					wantRows(t, inner, want...)
					wantLitter(t, inner, 0)
				})
			}
		}
	}
}

// What was rolled back is not there; where nobody can tell, it counts as there.
func TestAppendAfterARollback(t *testing.T) {
	a, b := row{1, "eu", 1}, row{2, "us", 2}
	for _, c := range []struct {
		name    string
		expired bool
		want    writer.Status
	}{{"it shows", false, writer.Published}, {"it expired", true, writer.AlreadyPublished}} {
		t.Run(c.name, func(t *testing.T) {
			cat := newTable(t, "region")
			mustLoad(t, cat, once("zero"), row{9, "xx", 9})
			before := mustLoad(t, cat, once("one"), b)
			mustLoad(t, cat, once("monday"), a)
			if _, _, err := cat.CommitTable(t.Context(), ident, nil, []table.Update{
				table.NewSetSnapshotRefUpdate(table.MainBranch, before.Snapshot.SnapshotID, table.BranchRef, 0, 0, 0),
			}); err != nil {
				t.Fatal(err)
			}
			wantRows(t, cat, b, row{9, "xx", 9})
			if c.expired {
				expire(t, cat)
			}
			mustBe(t, mustLoad(t, cat, once("monday"), a), c.want)
			mustBe(t, mustLoad(t, cat, once("one"), b), writer.AlreadyPublished)
		})
	}
}

func TestAppendKeysBelongToABranch(t *testing.T) {
	a := row{1, "eu", 1}
	cat := newTable(t, "region")
	mustLoad(t, cat, once("early"), a)
	on := func(key string) writer.Options {
		o := once(key)
		o.Branch = "audit"
		return o
	}
	mustBe(t, mustLoad(t, cat, on("early"), a), writer.AlreadyPublished) // it starts with main's rows, and keys
	mustBe(t, mustLoad(t, cat, on("late"), a), writer.Published)
	mustBe(t, mustLoad(t, cat, on("late"), a), writer.AlreadyPublished)
	mustBe(t, mustLoad(t, cat, on("early"), a), writer.AlreadyPublished)
	mustBe(t, mustLoad(t, cat, once("late"), a), writer.Published)
	mustBe(t, mustLoad(t, cat, on("late"), a), writer.AlreadyPublished)
	wantRows(t, cat, a, a)
}

func TestRecentRunKeysAreBounded(t *testing.T) {
	cat := newTable(t, "region")
	a := row{1, "eu", 1}
	mustLoad(t, cat, once("first"), a)
	var keys [][]any
	text := current(t, cat).Properties()[recentRunKeys]
	if err := json.Unmarshal([]byte(text), &keys); err != nil || len(keys) != 1 || len(keys[0]) != 5 {
		t.Fatalf("%s: %v", text, err)
	}
	for len(keys) < 1000 {
		keys = append(keys, []any{fmt.Sprint("k", len(keys)), "1:0", "7", "-", 1})
	}
	full, _ := json.Marshal(keys)
	setProps(t, cat, map[string]string{recentRunKeys: string(full)})
	mustLoad(t, cat, once("last"), row{2, "eu", 2})
	if err := json.Unmarshal([]byte(current(t, cat).Properties()[recentRunKeys]), &keys); err != nil || len(keys) != 1000 || keys[999][0] != "last" || keys[0][0] != "k1" {
		t.Errorf("%d keys, from %v to %v: %v", len(keys), keys[0], keys[len(keys)-1], err)
	}
	// The oldest is forgotten, but for its snapshot.
	mustBe(t, mustLoad(t, cat, once("first"), a), writer.AlreadyPublished)
	mustLoad(t, cat, once(strings.Repeat("long", 60_000)), row{3, "eu", 3})
	if n := len(current(t, cat).Properties()[recentRunKeys]); n > 256<<10 || n < 240_000 {
		t.Errorf("%d bytes", n)
	}
	// Edited by hand, nobody can tell any more.
	for _, bad := range []string{"no json", `[["k"]]`, `{"a":1}`} {
		setProps(t, cat, map[string]string{recentRunKeys: bad})
		if _, err := loadRows(t, cat, once("new"), a); !errors.Is(err, plan.ErrGuard) || !strings.Contains(err.Error(), recentRunKeys) {
			t.Errorf("%s: error %v", bad, err)
		}
	}
	setProps(t, cat, map[string]string{recentRunKeys: ""})
	mustBe(t, mustLoad(t, cat, once("last"), row{2, "eu", 2}), writer.AlreadyPublished)
	wantLitter(t, cat, 0)
}

// Eight writers at once, each key by two of them, on two branches, with a replace beside them.
func TestConcurrentAppends(t *testing.T) {
	cat := newTable(t, "region")
	mustLoad(t, cat, once("zero"), row{0, "zz", 0})
	mustLoad(t, cat, writer.Options{Append: &writer.Append{}, RunKey: "zero b", Branch: "b"}, row{0, "zz", 0})
	const keys = 8
	var g errgroup.Group
	for w := range 8 {
		g.Go(func() error {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for _, k := range rng.Perm(keys) {
				if k%4 != w%4 {
					continue
				}
				for _, branch := range []string{"", "b"} {
					o := once(fmt.Sprint("key ", k))
					o.Branch, o.Publish = branch, publish.Options{}
					tbl, err := cat.LoadTable(context.WithoutCancel(t.Context()), ident)
					if err != nil {
						return err
					}
					_, err = writer.Load(t.Context(), cat, tbl, batches(t, memory.DefaultAllocator, 2, nil, row{int64(k), "eu", 1}, row{int64(k), "us", 1}), o)
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		for n := range 6 {
			if _, err := loadRows(t, cat, writer.Options{}, row{int64(100 + n), "swapped", 1}); err != nil {
				return err
			}
			time.Sleep(5 * time.Millisecond)
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	want := []row{{0, "zz", 0}, {105, "swapped", 1}}
	for k := range int64(keys) {
		want = append(want, row{k, "eu", 1}, row{k, "us", 1})
	}
	wantRows(t, cat, want...)
	for _, branch := range []string{table.MainBranch, "b"} {
		prop := recentRunKeys
		if branch == "b" {
			prop += ".b"
		}
		var listed [][]any
		if err := json.Unmarshal([]byte(current(t, cat).Properties()[prop]), &listed); err != nil {
			t.Fatal(err)
		}
		n := map[any]int{}
		for _, k := range listed {
			n[k[0]]++
		}
		for k := range keys {
			if key := fmt.Sprint("key ", k); n[key] != 1 {
				t.Errorf("branch %s lists %s %d times", branch, key, n[key])
			}
		}
	}
	wantLitter(t, cat, 0)
}
