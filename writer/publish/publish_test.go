package publish_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/slice"
)

// Publishing never opens a data file, so the files of these tests are names with counts. The
// table t is partitioned by the string p; a file is written "p/name" and its replacement swaps
// all files of its partition.

var ident = table.Identifier{"db", "t"}

var schema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "p", Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 2, Name: "v", Type: iceberg.PrimitiveTypes.Int64},
)

func newTable(t testing.TB, version int, props iceberg.Properties) *catalog.Catalog {
	t.Helper()
	cat := testcat.New(t)
	spec := catalog.TableSpec{Schema: schema, PartitionBy: "p", FormatVersion: version, Props: props}
	if _, _, err := cat.CreateTable(t.Context(), ident, spec); err != nil {
		t.Fatal(err)
	}
	return cat
}

func load(t testing.TB, cat publish.Catalog) *table.Table {
	t.Helper()
	tbl, err := cat.LoadTable(context.WithoutCancel(t.Context()), ident)
	if err != nil {
		t.Fatal(err)
	}
	return tbl
}

// file is a data file of 10 rows: "a/f1" is f1.parquet of partition a.
func file(t testing.TB, tbl *table.Table, name string) iceberg.DataFile {
	t.Helper()
	part, base, _ := strings.Cut(name, "/")
	spec := tbl.Spec()
	b, err := iceberg.NewDataFileBuilder(spec, iceberg.EntryContentData, tbl.Location()+"/data/"+base+".parquet",
		iceberg.ParquetFile, map[int]any{spec.Field(0).FieldID: part}, nil, nil, 10, 100)
	if err != nil {
		t.Fatal(err)
	}
	return b.Build()
}

// live lists the files of a branch as "p/name", in order.
func live(t testing.TB, tbl *table.Table, branch string) []string {
	t.Helper()
	var names []string
	for _, f := range entries(t, tbl, branch) {
		names = append(names, nameOf(f.DataFile()))
	}
	slices.Sort(names)
	return names
}

func nameOf(f iceberg.DataFile) string {
	return fmt.Sprintf("%v/%s", f.Partition()[1000], strings.TrimSuffix(path.Base(f.FilePath()), ".parquet"))
}

func entries(t testing.TB, tbl *table.Table, branch string) []slice.LiveFile {
	t.Helper()
	fsys, err := tbl.FS(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	s := tbl.SnapshotByName(branch)
	if s == nil {
		return nil
	}
	manifests, err := s.Manifests(fsys)
	if err != nil {
		t.Fatal(err)
	}
	var out []slice.LiveFile
	for _, m := range manifests {
		for e, err := range m.Entries(fsys, true) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, slice.LiveFile{
				ManifestEntry: e, Manifest: m.FilePath(),
				Partition: slice.PartitionOf(e.DataFile(), tbl.Spec(), tbl.Schema()),
			})
		}
	}
	return out
}

// swap plans the replacement of the partitions of the named files.
func swap(t testing.TB, branch string, names ...string) publish.Planner {
	return func(_ context.Context, base *table.Table) (*publish.Change, error) {
		c := &publish.Change{Operation: table.OpOverwrite, Summary: iceberg.Properties{"replace-partitions": "true"}}
		parts := map[string]bool{}
		for _, n := range names {
			f := file(t, base, n)
			c.Add = append(c.Add, f)
			parts[slice.PartitionOf(f, base.Spec(), base.Schema()).Key] = true
		}
		at := branch
		if base.SnapshotByName(branch) == nil {
			at = table.MainBranch
		}
		for _, e := range entries(t, base, at) {
			if parts[e.Partition.Key] {
				c.Remove = append(c.Remove, e)
			}
		}
		return c, nil
	}
}

// attempt is one of job "j" on the partitions of the named files.
func attempt(base *table.Table, started int, names ...string) publish.Attempt {
	return publish.Attempt{
		ID: uuid.Must(uuid.NewV7()), Table: ident, Branch: table.MainBranch, Job: "j", RunKey: "k",
		Started: time.Unix(int64(started), 0), Base: base,
		Touches: func(f iceberg.DataFile, _ iceberg.PartitionSpec, _ *iceberg.Schema) bool {
			return slices.ContainsFunc(names, func(n string) bool {
				p, _, _ := strings.Cut(n, "/")
				return f.Partition()[1000] == p
			})
		},
	}
}

// quick does not wait, and lets ten seconds pass at every wait.
func quick() publish.Options {
	now := time.Now()
	var mu sync.Mutex
	return publish.Options{
		Sleep: func(ctx context.Context, _ time.Duration) error {
			mu.Lock()
			defer mu.Unlock()
			now = now.Add(10 * time.Second)
			return ctx.Err()
		},
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		},
	}
}

func mustPublish(t testing.TB, cat publish.Catalog, names ...string) publish.Outcome {
	t.Helper()
	out, err := publish.Publish(t.Context(), cat, attempt(load(t, cat), 0, names...), swap(t, table.MainBranch, names...), quick())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSwapOnEveryFormatVersion(t *testing.T) {
	for _, version := range []int{1, 2, 3} {
		t.Run(fmt.Sprint("v", version), func(t *testing.T) {
			cat := newTable(t, version, nil)
			mustPublish(t, cat, "a/a1", "b/b1", "b/b2", "/e1")
			before := map[string]slice.LiveFile{}
			for _, e := range entries(t, load(t, cat), "main") {
				before[nameOf(e.DataFile())] = e
			}
			out := mustPublish(t, cat, "b/b3")

			tbl := load(t, cat)
			if d := cmp.Diff([]string{"/e1", "a/a1", "b/b3"}, live(t, tbl, "main")); d != "" {
				t.Errorf("live files (-want +got):\n%s", d)
			}
			for _, e := range entries(t, tbl, "main") {
				was, ok := before[nameOf(e.DataFile())]
				if !ok {
					continue
				}
				if e.SnapshotID() != was.SnapshotID() || e.SequenceNum() != was.SequenceNum() {
					t.Errorf("%s: snapshot %d sequence %d, was %d and %d", nameOf(e.DataFile()), e.SnapshotID(), e.SequenceNum(), was.SnapshotID(), was.SequenceNum())
				}
				if d := cmp.Diff(was.DataFile().FirstRowID(), e.DataFile().FirstRowID()); d != "" {
					t.Errorf("%s: first row id (-was +is):\n%s", nameOf(e.DataFile()), d)
				}
				if version == 3 && e.DataFile().FirstRowID() == nil {
					t.Errorf("%s: no first row id on v3", nameOf(e.DataFile()))
				}
			}
			got := maps.Clone(out.Snapshot.Summary.Properties)
			for _, k := range []string{publish.KeyAttempt, publish.KeyStarted, publish.KeyDigest} {
				if got[k] == "" {
					t.Errorf("the summary has no %s", k)
				}
				delete(got, k)
			}
			want := iceberg.Properties{
				"added-data-files": "1", "added-records": "10", "added-files-size": "100",
				"deleted-data-files": "2", "deleted-records": "20", "removed-files-size": "200",
				"changed-partition-count": "1", "replace-partitions": "true",
				"total-data-files": "3", "total-records": "30", "total-files-size": "300",
				"total-delete-files": "0", "total-position-deletes": "0", "total-equality-deletes": "0",
				publish.KeyJob: "j", publish.KeyRunKey: "k",
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("summary (-want +got):\n%s", d)
			}
			if op := out.Snapshot.Summary.Operation; op != table.OpOverwrite {
				t.Errorf("operation %s", op)
			}
			if l := testcat.Litter(t, tbl); len(l) > 0 {
				t.Errorf("litter: %v", l)
			}
		})
	}
}

// The deleted entries of the snapshot that deleted them are what incremental readers go by.
func TestRemovedFilesAreDeletedEntries(t *testing.T) {
	cat := newTable(t, 2, nil)
	mustPublish(t, cat, "a/a1", "b/b1")
	out := mustPublish(t, cat, "a/a2")
	tbl := load(t, cat)
	fsys, _ := tbl.FS(t.Context())
	manifests, err := out.Snapshot.Manifests(fsys)
	if err != nil {
		t.Fatal(err)
	}
	var deleted []string
	for _, m := range manifests {
		for e, err := range m.Entries(fsys, false) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Status() == iceberg.EntryStatusDELETED {
				deleted = append(deleted, fmt.Sprintf("%s by %v", nameOf(e.DataFile()), e.SnapshotID() == out.Snapshot.SnapshotID))
			}
		}
	}
	if d := cmp.Diff([]string{"a/a1 by true"}, deleted); d != "" {
		t.Errorf("deleted entries (-want +got):\n%s", d)
	}
}

// A partition value that is the empty string must not turn into "no value" in the manifest list.
func TestEmptyStringBounds(t *testing.T) {
	cat := newTable(t, 2, nil)
	out := mustPublish(t, cat, "/e1")
	fsys, _ := load(t, cat).FS(t.Context())
	manifests, err := out.Snapshot.Manifests(fsys)
	if err != nil {
		t.Fatal(err)
	}
	b := manifests[0].Partitions()[0]
	if b.LowerBound == nil || b.UpperBound == nil || *b.LowerBound == nil || *b.UpperBound == nil || len(*b.LowerBound)+len(*b.UpperBound) > 0 {
		t.Errorf("bounds of the empty string: %v, %v", b.LowerBound, b.UpperBound)
	}
}

func TestSmallManifestsAreMerged(t *testing.T) {
	cat := newTable(t, 3, iceberg.Properties{"commit.manifest.min-count-to-merge": "5"})
	var want []string
	rowIDs := map[string]int64{}
	for i := range 12 {
		name := fmt.Sprintf("p%02d/f", i)
		want = append(want, name)
		mustPublish(t, cat, name)
		for _, e := range entries(t, load(t, cat), "main") {
			id := e.DataFile().FirstRowID()
			if was, ok := rowIDs[nameOf(e.DataFile())]; id == nil || ok && was != *id {
				t.Fatalf("%s: first row id %v, was %d", nameOf(e.DataFile()), id, was)
			}
			rowIDs[nameOf(e.DataFile())] = *id
		}
	}
	tbl := load(t, cat)
	if d := cmp.Diff(want, live(t, tbl, "main")); d != "" {
		t.Errorf("live files (-want +got):\n%s", d)
	}
	fsys, _ := tbl.FS(t.Context())
	manifests, _ := tbl.CurrentSnapshot().Manifests(fsys)
	if len(manifests) > 5 {
		t.Errorf("%d manifests after 12 loads", len(manifests))
	}
	if l := testcat.Litter(t, tbl); len(l) > 0 {
		t.Errorf("litter: %v", l)
	}
}

func TestBranches(t *testing.T) {
	cat := newTable(t, 2, nil)
	mustPublish(t, cat, "a/a1", "b/b1")
	a := attempt(load(t, cat), 0, "a/a2")
	a.Branch = "audit"
	if _, err := publish.Publish(t.Context(), cat, a, swap(t, "audit", "a/a2"), quick()); err != nil {
		t.Fatal(err)
	}
	tbl := load(t, cat)
	if d := cmp.Diff([]string{"a/a2", "b/b1"}, live(t, tbl, "audit")); d != "" {
		t.Errorf("audit (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"a/a1", "b/b1"}, live(t, tbl, "main")); d != "" {
		t.Errorf("main (-want +got):\n%s", d)
	}
}

// A commit to another branch takes the sequence number, and leaves main where it is.
func TestAnotherBranchMovesInBetween(t *testing.T) {
	for _, version := range []int{1, 2, 3} {
		inner := newTable(t, version, nil)
		mustPublish(t, inner, "a/a1")
		cat := fault.New(t, inner, "")
		cat.Before = func(n int) {
			if n != 1 {
				return
			}
			a := attempt(load(t, inner), 0, "b/b1")
			a.Branch = "audit"
			if _, err := publish.Publish(t.Context(), inner, a, swap(t, "audit", "b/b1"), quick()); err != nil {
				t.Error(err)
			}
		}
		if _, err := publish.Publish(t.Context(), cat, attempt(load(t, inner), 0, "a/a2"), swap(t, "main", "a/a2"), quick()); err != nil {
			t.Errorf("v%d: %v", version, err)
		}
		tbl := load(t, inner)
		if main, audit := live(t, tbl, "main"), live(t, tbl, "audit"); !slices.Equal(main, []string{"a/a2"}) || !slices.Equal(audit, []string{"a/a1", "b/b1"}) {
			t.Errorf("v%d: main has %v, audit %v", version, main, audit)
		}
		if l := testcat.Litter(t, tbl); len(l) > 0 {
			t.Errorf("v%d: litter: %v", version, l)
		}
	}
}

// A ref's retention is the table owner's word: setting the ref must not drop it.
func TestRetentionOfTheBranchIsKept(t *testing.T) {
	cat := newTable(t, 2, nil)
	first := mustPublish(t, cat, "a/a1").Snapshot.SnapshotID
	_, _, err := cat.CommitTable(t.Context(), ident, nil, []table.Update{table.NewSetSnapshotRefUpdate("main", first, table.BranchRef, 0, 86_400_000, 7)})
	if err != nil {
		t.Fatal(err)
	}
	mustPublish(t, cat, "a/a2")
	for name, ref := range load(t, cat).Metadata().Refs() {
		if name == "main" && (ref.MinSnapshotsToKeep == nil || *ref.MinSnapshotsToKeep != 7 || ref.MaxSnapshotAgeMs == nil || *ref.MaxSnapshotAgeMs != 86_400_000) {
			t.Errorf("retention of main: %v snapshots, %v ms", ref.MinSnapshotsToKeep, ref.MaxSnapshotAgeMs)
		}
	}
}

func TestOldMetadataIsDeletedWhereTheTableSaysSo(t *testing.T) {
	cat := newTable(t, 2, iceberg.Properties{"write.metadata.delete-after-commit.enabled": "true", "write.metadata.previous-versions-max": "2"})
	for i := range 6 {
		mustPublish(t, cat, fmt.Sprintf("a/f%d", i))
	}
	tbl := load(t, cat)
	n := 0
	for _, f := range testcat.Files(tbl.Location() + "/metadata") {
		if strings.HasSuffix(f, ".metadata.json") {
			n++
		}
	}
	if n != 3 {
		t.Errorf("%d metadata files, want the current one and 2 before it", n)
	}
}

// Guarantee 3: one attempt makes at most one snapshot, whatever the catalog answers.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		faults  string
		others  string // what another writer publishes before the first commit
		files   string
		commits int
		err     error
		litter  int // metadata files left: only where the state is unknown
	}{
		{faults: "", files: "a/new b/b1", commits: 1},
		{faults: "commit #1 lands, reply lost", files: "a/new b/b1", commits: 1},
		{faults: "commit #1 lands, answers 503", files: "a/new b/b1", commits: 1},
		{faults: "commit #1 is lost", files: "a/new b/b1", commits: 2},
		{faults: "commit #1 answers 409", files: "a/new b/b1", commits: 2},
		{faults: "commit #1 lands late", files: "a/new b/b1", commits: 2},
		{faults: "commit #1 is lost\ncommit #2 lands, reply lost", files: "a/new b/b1", commits: 2},
		{faults: "commit #1 lands, reply lost\nload #2 fails\nload #3 fails", files: "a/new b/b1", commits: 1},
		{faults: "load #1 fails", files: "a/new b/b1", commits: 1},
		{faults: "commit #1 answers 400", files: "a/a1 b/b1", commits: 1, err: catalog.ErrRejected},
		{faults: "commit #1 is lost\ncommit #2 answers 400", files: "a/a1 b/b1", commits: 2, err: publish.ErrUnknown, litter: 3},
		{faults: "", others: "b/other", files: "a/new b/other", commits: 3}, // the other's commit is one of them
		{faults: "commit #1 is lost", others: "b/other", files: "a/new b/other", commits: 3},
		{faults: "commit #1 is lost", others: "a/other", files: "a/new b/b1", commits: 3},
	} {
		t.Run(strings.ReplaceAll(c.faults, "\n", ", ")+" "+c.others, func(t *testing.T) {
			inner := newTable(t, 2, nil)
			mustPublish(t, inner, "a/a1", "b/b1")
			base := load(t, inner)
			cat := fault.New(t, inner, c.faults)
			if c.others != "" {
				cat.Before = func(n int) {
					if n == 1 {
						mustPublish(t, inner, c.others)
					}
				}
			}
			a := attempt(base, 100, "a/new")
			out, err := publish.Publish(t.Context(), cat, a, swap(t, "main", "a/new"), quick())
			if !errors.Is(err, c.err) || c.err == nil && err != nil {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			tbl := load(t, inner)
			if got := strings.Join(live(t, tbl, "main"), " "); got != c.files {
				t.Errorf("live files %s, want %s", got, c.files)
			}
			if want := c.commits - len(strings.Fields(c.others)); cat.Commits() != want {
				t.Errorf("%d commits, want %d", cat.Commits(), want)
			}
			mine := 0
			for _, s := range tbl.Metadata().Snapshots() {
				if s.Summary.Properties[publish.KeyAttempt] == a.ID.String() {
					mine++
					if out.Snapshot == nil || out.Snapshot.SnapshotID != s.SnapshotID {
						t.Errorf("the outcome is not snapshot %d: %v", s.SnapshotID, out.Snapshot)
					}
				}
			}
			if want := 1; c.err == nil && mine != want || c.err != nil && mine != 0 {
				t.Errorf("%d snapshots of the attempt", mine)
			}
			if l := testcat.Litter(t, tbl); len(l) != c.litter {
				t.Errorf("litter: %v", l)
			}
		})
	}
}

// The state stays unknown: nothing may be removed, and the error names every file.
func TestUnknownNamesItsFiles(t *testing.T) {
	inner := newTable(t, 2, nil)
	mustPublish(t, inner, "a/a1")
	var faults strings.Builder
	fmt.Fprintln(&faults, "commit #1 lands, reply lost")
	for i := 2; i <= 15; i++ {
		fmt.Fprintf(&faults, "load #%d fails\n", i)
	}
	cat := fault.New(t, inner, faults.String())
	a := attempt(load(t, inner), 1, "a/a2")
	_, err := publish.Publish(t.Context(), cat, a, swap(t, "main", "a/a2"), quick())
	var unknown *publish.UnknownError
	if !errors.As(err, &unknown) || !errors.Is(err, publish.ErrUnknown) {
		t.Fatalf("error %v", err)
	}
	if len(unknown.MetadataFiles) != 3 || !strings.Contains(unknown.Hint(), unknown.MetadataFiles[0]) || !strings.Contains(unknown.Hint(), a.ID.String()) {
		t.Errorf("files %v, hint %q", unknown.MetadataFiles, unknown.Hint())
	}
	// It had landed, and so its files must be there.
	if got := live(t, load(t, inner), "main"); !slices.Equal(got, []string{"a/a2"}) {
		t.Errorf("live files %v", got)
	}
}

func TestNothingToPublish(t *testing.T) {
	cat := newTable(t, 2, nil)
	mustPublish(t, cat, "a/a1")
	out, err := publish.Publish(t.Context(), cat, attempt(load(t, cat), 1), func(context.Context, *table.Table) (*publish.Change, error) { return nil, nil }, quick())
	if err != nil || out.Snapshot != nil || out.Tries != 1 || out.Base == nil {
		t.Errorf("outcome %+v, error %v", out, err)
	}
	if n := len(load(t, cat).Metadata().Snapshots()); n != 1 {
		t.Errorf("%d snapshots", n)
	}
}

// Guarantee 4: the fence knows a zombie by job, start and slice.
func TestFence(t *testing.T) {
	for _, c := range []struct {
		name    string
		other   publish.Attempt
		files   []string
		seen    bool // by the attempt's base
		stopped bool
	}{
		{name: "a later attempt wrote the slice", other: publish.Attempt{Job: "j", Started: time.Unix(200, 0)}, files: []string{"a/other"}, stopped: true},
		{name: "an earlier attempt did", other: publish.Attempt{Job: "j", Started: time.Unix(50, 0)}, files: []string{"a/other"}},
		{name: "another job did", other: publish.Attempt{Job: "k", Started: time.Unix(200, 0)}, files: []string{"a/other"}},
		{name: "a later one wrote elsewhere", other: publish.Attempt{Job: "j", Started: time.Unix(200, 0)}, files: []string{"b/other"}},
		{name: "it did so before this one looked", other: publish.Attempt{Job: "j", Started: time.Unix(200, 0)}, files: []string{"a/other"}, seen: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cat := newTable(t, 2, nil)
			mustPublish(t, cat, "a/a1", "b/b1")
			base := load(t, cat)
			o := attempt(base, 0, c.files...)
			o.Job, o.Started = c.other.Job, c.other.Started
			if _, err := publish.Publish(t.Context(), cat, o, swap(t, "main", c.files...), quick()); err != nil {
				t.Fatal(err)
			}
			mustPublish(t, cat, "c/c1") // the fence looks past the head
			if c.seen {
				base = load(t, cat)
			}
			_, err := publish.Publish(t.Context(), cat, attempt(base, 100, "a/zombie"), swap(t, "main", "a/zombie"), quick())
			if stopped := errors.Is(err, publish.ErrSuperseded); stopped != c.stopped || !stopped && err != nil {
				t.Fatalf("error %v", err)
			}
			files := live(t, load(t, cat), "main")
			if slices.Contains(files, "a/zombie") == c.stopped {
				t.Errorf("live files %v", files)
			}
			if l := testcat.Litter(t, load(t, cat)); len(l) > 0 {
				t.Errorf("litter: %v", l)
			}
		})
	}
}

// Others publish, and let the snapshot expire that this attempt is about to plan against: it plans again. A
// file that is missing from the newest snapshot is a broken table, and no reason to try again.
func TestBaseExpiresWhileItIsRead(t *testing.T) {
	for _, moved := range []bool{true, false} {
		t.Run(fmt.Sprint("moved=", moved), func(t *testing.T) {
			cat := newTable(t, 2, nil)
			mustPublish(t, cat, "a/a1")
			first := true
			out, err := publish.Publish(t.Context(), cat, attempt(load(t, cat), 0, "a/a2"), func(ctx context.Context, base *table.Table) (*publish.Change, error) {
				if !first {
					return swap(t, table.MainBranch, "a/a2")(ctx, base)
				}
				first = false
				if moved {
					mustPublish(t, cat, "b/b1")
				}
				fsys, err := base.FS(ctx)
				if err == nil {
					err = fsys.Remove(base.CurrentSnapshot().ManifestList)
				}
				if err != nil {
					t.Fatal(err)
				}
				_, err = base.CurrentSnapshot().Manifests(fsys)
				return nil, fmt.Errorf("read manifest list: %w", err)
			}, quick())
			if !moved {
				if !errors.Is(err, fs.ErrNotExist) || out.Tries != 1 {
					t.Errorf("after %d tries: %v; want one, and that the file is missing", out.Tries, err)
				}
				return
			}
			if err != nil || out.Tries != 2 {
				t.Fatalf("after %d tries: %v; want it to land at the second", out.Tries, err)
			}
			if d := cmp.Diff([]string{"a/a2", "b/b1"}, live(t, load(t, cat), "main")); d != "" {
				t.Errorf("live files (-want +got):\n%s", d)
			}
		})
	}
}

func TestTableMadeAnewIsAConflict(t *testing.T) {
	cat := newTable(t, 2, nil)
	base := load(t, cat)
	if err := cat.DropTable(t.Context(), ident); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: schema, PartitionBy: "p"}); err != nil {
		t.Fatal(err)
	}
	_, err := publish.Publish(t.Context(), cat, attempt(base, 1, "a/a1"), swap(t, "main", "a/a1"), quick())
	if !errors.Is(err, publish.ErrConflict) {
		t.Errorf("error %v", err)
	}
	if files := live(t, load(t, cat), "main"); len(files) > 0 {
		t.Errorf("live files %v", files)
	}
}

// The next try makes the table again, as the first one would have.
func TestTableDroppedIsAConflict(t *testing.T) {
	for _, when := range []string{"while rows were staged", "while it was planned"} {
		t.Run(when, func(t *testing.T) {
			cat := newTable(t, 2, nil)
			base := load(t, cat)
			drop := func() {
				if err := cat.DropTable(t.Context(), ident); err != nil {
					t.Fatal(err)
				}
			}
			if when == "while rows were staged" {
				drop()
			}
			_, err := publish.Publish(t.Context(), cat, attempt(base, 1, "a/a1"), func(ctx context.Context, tbl *table.Table) (*publish.Change, error) {
				change, err := swap(t, "main", "a/a1")(ctx, tbl)
				drop()
				return change, err
			}, quick())
			if !errors.Is(err, publish.ErrConflict) || !strings.Contains(err.Error(), "was dropped in the meantime") {
				t.Errorf("error %v", err)
			}
			if l := testcat.Litter(t, base); len(l) > 0 {
				t.Errorf("litter: %v", l)
			}
		})
	}
}

func TestInterruptBeforeTheCommitPublishesNothing(t *testing.T) {
	cat := newTable(t, 2, nil)
	ctx, cancel := context.WithCancel(t.Context())
	plan := func(ctx context.Context, base *table.Table) (*publish.Change, error) {
		cancel()
		return swap(t, "main", "a/a1")(ctx, base)
	}
	_, err := publish.Publish(ctx, cat, attempt(load(t, cat), 1, "a/a1"), plan, quick())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	tbl := load(t, cat)
	if n := len(tbl.Metadata().Snapshots()); n != 0 {
		t.Errorf("%d snapshots", n)
	}
	if l := testcat.Litter(t, tbl); len(l) > 0 {
		t.Errorf("litter: %v", l)
	}
}

// Guarantee 4: runs on disjoint slices all land; on one slice the last to land stays.
func TestConcurrentAttempts(t *testing.T) {
	cat := newTable(t, 2, nil)
	base := load(t, cat)
	const writers = 8
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for _, name := range []string{fmt.Sprintf("own%d/f", w), fmt.Sprintf("shared/w%d", w)} {
				a := attempt(base, w, name)
				a.Job = fmt.Sprint("job ", w)
				if _, err := publish.Publish(t.Context(), cat, a, swap(t, "main", name), publish.Options{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	tbl := load(t, cat)
	shared := 0
	for _, f := range live(t, tbl, "main") {
		if strings.HasPrefix(f, "shared/") {
			shared++
		}
	}
	if files := live(t, tbl, "main"); len(files) != writers+1 || shared != 1 {
		t.Errorf("live files %v", files)
	}
	if n := len(tbl.Metadata().Snapshots()); n != 2*writers {
		t.Errorf("%d snapshots, want %d", n, 2*writers)
	}
	if l := testcat.Litter(t, tbl); len(l) > 0 {
		t.Errorf("litter: %v", l)
	}
}

// Any mix of faults: an attempt either says it failed and left nothing, or made one snapshot.
func TestAnyFaults(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		inner := newTable(t, 2, nil)
		mustPublish(t, inner, "a/a1")
		n := rapid.IntRange(1, 5).Draw(rt, "faults")
		what := rapid.SampledFrom([]string{"lands, reply lost", "lands late", "is lost", "answers 409", "answers 502", "lands, answers 503"})
		cat := &lenient{TB: t}
		var script []string
		for i := range n {
			script = append(script, fmt.Sprintf("commit #%d %s", i+1, what.Draw(rt, "fault")))
		}
		broken := fault.New(cat, inner, strings.Join(script, "\n"))
		a := attempt(load(t, inner), 1, "a/a2")
		_, err := publish.Publish(t.Context(), broken, a, swap(t, "main", "a/a2"), quick())
		if err != nil {
			rt.Fatalf("%v: %v", script, err)
		}
		tbl := load(t, inner)
		if got := live(t, tbl, "main"); !slices.Equal(got, []string{"a/a2"}) || len(tbl.Metadata().Snapshots()) != 2 {
			rt.Fatalf("%v: live files %v, %d snapshots", script, got, len(tbl.Metadata().Snapshots()))
		}
		if l := testcat.Litter(t, tbl); len(l) > 0 {
			rt.Fatalf("%v: litter %v", script, l)
		}
	})
}

// lenient lets a script have faults that are never met: a commit that lands ends the attempt.
type lenient struct{ testing.TB }

func (*lenient) Errorf(string, ...any) {}
