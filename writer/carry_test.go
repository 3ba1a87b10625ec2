package writer_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/slice"
)

// repartition gives the table another partition spec.
func repartition(t testing.TB, cat publish.Catalog, by string) {
	t.Helper()
	tbl := current(t, cat)
	spec, err := catalog.ParsePartitionBy(by, tbl.Schema())
	if err != nil {
		t.Fatal(err)
	}
	tx := tbl.NewTransaction()
	update := tx.UpdateSpec(true)
	old := tbl.Spec()
	for _, f := range old.Fields() {
		if _, void := f.Transform.(iceberg.VoidTransform); !void {
			update = update.RemoveField(f.Name)
		}
	}
	for i, f := range spec.Fields() {
		name, _ := tbl.Schema().FindColumnName(f.SourceID())
		// Version 1 keeps the names of fields that went.
		update = update.AddField(name, f.Transform, fmt.Sprintf("%s_%d_%d", name, len(tbl.Metadata().PartitionSpecs()), i))
	}
	if err := update.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// versioned makes the table of sales under a format version.
func versioned(t testing.TB, version int, by string) *catalog.Catalog {
	t.Helper()
	cat := testcat.New(t)
	_, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{
		Schema: schema, PartitionBy: by, FormatVersion: version, Props: iceberg.Properties{"write.delete.mode": "merge-on-read"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

// partitionOf is the row's partition under spec, by iceberg-go's transforms.
func partitionOf(r row, spec iceberg.PartitionSpec) string {
	values := map[int]any{}
	for _, f := range spec.Fields() {
		lit := iceberg.Optional[iceberg.Literal]{Valid: true, Val: iceberg.NewLiteral(r.id)}
		if f.SourceID() == 2 {
			lit = iceberg.Optional[iceberg.Literal]{}
			if r.region != "-" {
				lit = iceberg.Optional[iceberg.Literal]{Valid: true, Val: iceberg.NewLiteral(r.region)}
			}
		}
		if out := f.Transform.Apply(lit); out.Valid {
			values[f.FieldID] = out.Val.Any()
		}
	}
	return slice.NewPartition(spec, schema, values).Key
}

// Whatever specs a table has had, and wherever the slice cuts through its files, a load leaves exactly
// its rows in the slice and all others as they were, every row is accounted for, and the same load again
// is unchanged and rewrites nothing.
func TestSpecChangesAgainstAMap(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		_ = checks.Value.Set("60") // a table and its files take a while
		defer func() { _ = checks.Value.Set(checks.DefValue) }()
	}
	partitionings := []string{
		"", "region", "truncate(1, region)", "truncate(4, id)", "id", "bucket(3, id)", "bucket(2, region)",
		"region, bucket(2, id)",
	}
	conditions := map[string]func(row) bool{
		"region = eu":              func(r row) bool { return r.region == "eu" },
		"id <= 4":                  func(r row) bool { return r.id <= 4 },
		"id in (1, 5, 7)":          func(r row) bool { return r.id == 1 || r.id == 5 || r.id == 7 },
		"region is null":           func(r row) bool { return r.region == "-" },
		"amount >= 1.5 and id > 2": func(r row) bool { return r.amount >= 1.5 && r.id > 2 },
		"region is null or id = 3": func(r row) bool { return r.region == "-" || r.id == 3 },
	}
	names := slices.Sorted(maps.Keys(conditions))
	loads, rewriting := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		version := rapid.IntRange(1, 3).Draw(rt, "version")
		cat := versioned(t, version, rapid.SampledFrom(append(partitionings, "void(region)", "void(id), region")).Draw(rt, "by"))
		var rows []row
		evolved, deleted := false, false
		for range rapid.IntRange(2, 7).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"load", "load", "load", "spec", "spec", "delete"}).Draw(rt, "step") {
			case "spec":
				repartition(t, cat, rapid.SampledFrom(partitionings).Draw(rt, "by"))
				evolved = true
				continue
			case "delete":
				id := rapid.Int64Range(0, 8).Draw(rt, "id")
				here := func(r row) bool { return r.id == id }
				// iceberg-go files deletes on data of an older spec under the current one, where its scan
				// does not find them.
				if version == 1 || evolved || !contains(rows, here) {
					continue
				}
				tx := current(t, cat).NewTransaction()
				if err := tx.Delete(t.Context(), iceberg.EqualTo(iceberg.Reference("id"), id), nil); err != nil {
					rt.Fatal(err)
				}
				if _, err := tx.Commit(t.Context()); err != nil {
					rt.Fatal(err)
				}
				rows, deleted = leaving(rows, here), true
				continue
			}
			fresh := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) row {
				return row{
					rapid.Int64Range(0, 8).Draw(rt, "id"), rapid.SampledFrom([]string{"eu", "us", "-", "", "e"}).Draw(rt, "region"),
					float64(rapid.IntRange(0, 3).Draw(rt, "amount")),
				}
			}), 1, 12).Draw(rt, "rows")
			spec := current(t, cat).Spec()
			o := writer.Options{
				AllowShrink: true, Workers: rapid.IntRange(1, 3).Draw(rt, "workers"),
				Memory: rapid.SampledFrom([]int64{0, 64 << 10}).Draw(rt, "memory"), SpillDir: t.TempDir(),
				CompareRows: rapid.Bool().Draw(rt, "compare rows"),
			}
			inside := func(row) bool { return true }
			switch what := rapid.SampledFrom(append([]string{"", "", "", ""}, names...)).Draw(rt, "slice"); {
			case what != "":
				o.Slice, o.OnEmpty, inside = sliceOf(t, schema, what), plan.OnEmptyClear, conditions[what]
				fresh = leaving(fresh, func(r row) bool { return !inside(r) })
			case spec.IsUnpartitioned():
				o.ReplaceTable = true
			default:
				touched := map[string]bool{}
				for _, r := range fresh {
					touched[partitionOf(r, spec)] = true
				}
				inside = func(r row) bool { return touched[partitionOf(r, spec)] }
			}
			before := rows
			stay := leaving(rows, inside)
			rows = append(append([]row{}, stay...), fresh...)
			res := mustLoad(t, cat, o, fresh...)
			loads++
			if d := cmp.Diff(sorted(rows...), append([]row{}, scan(t, cat)...), cmp.AllowUnexported(row{})); d != "" {
				rt.Fatalf("rows (-want +got):\n%s", d)
			}
			wantLitter(t, cat, 0)
			p := res.Plan
			var kept int64
			for _, f := range res.Carried {
				kept += f.Count()
			}
			if kept != p.RowsKept || len(p.Rewrite) == 0 && kept > 0 || len(p.Rewrite) > 0 && kept == 0 {
				rt.Fatalf("%d files rewritten, %d rows to keep, %d kept", len(p.Rewrite), p.RowsKept, kept)
			}
			if len(p.Rewrite) > 0 {
				rewriting++
			}
			if o.Slice == nil && !o.ReplaceTable {
				for _, part := range p.Partitions {
					count := func(rows []row) (n int64) {
						for _, r := range rows {
							if partitionOf(r, spec) == part.Partition.Key {
								n++
							}
						}
						return n
					}
					// iceberg-go cuts the paths in its position deletes' bounds: they do not tell which file loses
					// how many rows, and only a look at the rows does.
					exact := !deleted || o.CompareRows || version == 3
					if part.RowsBefore < count(before) || exact && part.RowsBefore > count(before) || part.RowsAfter != count(rows) {
						rt.Fatalf("partition %s: rows %d -> %d, want %d -> %d", part.Partition.Path,
							part.RowsBefore, part.RowsAfter, count(before), count(rows))
					}
				}
			}
			n := snapshots(t, cat)
			again := mustLoad(t, cat, o, fresh...)
			if again.Status != writer.Unchanged || len(again.Plan.Rewrite) > 0 || snapshots(t, cat) != n {
				rt.Fatalf("again: %s, %d files rewritten: %+v", again.Status, len(again.Plan.Rewrite), again.Plan.Partitions)
			}
			wantLitter(t, cat, 0)
		}
	})
	t.Logf("%d loads, %d of them carried rows over", loads, rewriting)
	if rewriting == 0 {
		t.Error("no load carried rows over")
	}
}

func contains(rows []row, f func(row) bool) bool { return slices.ContainsFunc(rows, f) }

func leaving(rows []row, f func(row) bool) []row {
	return slices.DeleteFunc(slices.Clone(rows), f)
}

// straddled is a table with one file, by the first letter of the region, that is by region now.
func straddled(t testing.TB, version int) *catalog.Catalog {
	t.Helper()
	cat := versioned(t, version, "truncate(1, region)")
	mustLoad(t, cat, writer.Options{}, row{1, "ea", 1}, row{2, "eb", 2}, row{3, "ec", 3}, row{4, "u", 4})
	repartition(t, cat, "region")
	return cat
}

// What others do to a file between plan and commit is not undone: what was carried over from it goes,
// and is made afresh. What they do elsewhere costs nothing.
func TestCarriedRowsAreOfTheVeryFile(t *testing.T) {
	spec := func(t *testing.T, cat *catalog.Catalog, id int) {
		if _, _, err := cat.CommitTable(t.Context(), ident, nil, []table.Update{table.NewSetDefaultSpecUpdate(id)}); err != nil {
			t.Fatal(err)
		}
	}
	del := func(t *testing.T, cat *catalog.Catalog, id int64) {
		spec(t, cat, 0) // iceberg-go files deletes under the current spec, whatever the data is under
		defer spec(t, cat, 1)
		tx := current(t, cat).NewTransaction()
		if err := tx.Delete(t.Context(), iceberg.EqualTo(iceberg.Reference("id"), id), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name      string
		meanwhile func(*testing.T, *catalog.Catalog)
		want      []row
		kept      int64
		rewrites  int // calls that read rows
	}{
		{"rows of another file change", func(t *testing.T, cat *catalog.Catalog) {
			mustLoad(t, cat, writer.Options{}, row{4, "u", 5})
		}, []row{{9, "ea", 9}, {2, "eb", 2}, {3, "ec", 3}, {4, "u", 5}}, 2, 1},
		{"a row of the file is deleted", func(t *testing.T, cat *catalog.Catalog) {
			del(t, cat, 3)
		}, []row{{9, "ea", 9}, {2, "eb", 2}, {4, "u", 4}}, 1, 2},
		{"another load rewrites the file", func(t *testing.T, cat *catalog.Catalog) {
			mustLoad(t, cat, writer.Options{}, row{2, "eb", 7})
		}, []row{{9, "ea", 9}, {2, "eb", 7}, {3, "ec", 3}, {4, "u", 4}}, 0, 1},
		{"the same rows come to lie in other files", func(t *testing.T, cat *catalog.Catalog) {
			mustLoad(t, cat, writer.Options{Job: "another", ReplaceTable: true, AllowShrink: true}, row{1, "ea", 1})
			mustLoad(t, cat, writer.Options{Job: "another", ReplaceTable: true}, row{1, "ea", 1}, row{2, "eb", 2}, row{3, "ec", 3}, row{4, "u", 4})
		}, []row{{9, "ea", 9}, {2, "eb", 2}, {3, "ec", 3}, {4, "u", 4}}, 0, 1},
	} {
		for version := 2; version <= 3; version++ {
			for _, faults := range []string{"", "commit #1 is lost", "commit #1 answers 503"} {
				t.Run(fmt.Sprintf("v%d %s %s", version, c.name, faults), func(t *testing.T) {
					inner := straddled(t, version)
					cat := fault.New(t, inner, faults)
					cat.Before = func(n int) {
						if n == 1 {
							c.meanwhile(t, inner)
						}
					}
					reads := map[string]bool{}
					o := writer.Options{Publish: quick(), Progress: func(p writer.Progress) {
						if p.Stage == "rewrite" {
							reads[fmt.Sprint(cat.Commits())] = true
						}
					}}
					mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
					res, err := writer.Load(t.Context(), cat, current(t, inner), batches(t, mem, 3, nil, row{9, "ea", 9}), o)
					mem.AssertSize(t, 0)
					if err != nil {
						t.Fatal(err)
					}
					if d := cmp.Diff(sorted(c.want...), scan(t, inner), cmp.AllowUnexported(row{})); d != "" {
						t.Errorf("rows (-want +got):\n%s", d)
					}
					if res.Attempts != 2 || res.Plan.RowsKept != c.kept || len(reads) != c.rewrites {
						t.Errorf("%d attempts, %d rows kept, rows read for %d of them; want 2, %d, %d", res.Attempts, res.Plan.RowsKept, len(reads), c.kept, c.rewrites)
					}
					wantLitter(t, inner, 0)
					if again := mustLoad(t, inner, writer.Options{}, row{9, "ea", 9}); again.Status != writer.Unchanged {
						t.Errorf("again: %s", again.Status)
					}
				})
			}
		}
	}
}

// A file that comes into the slice between plan and commit is rewritten beside those that are done.
func TestOnlyNewStraddlersAreRewritten(t *testing.T) {
	inner := newTable(t, "")
	s := sliceOf(t, schema, "region = ea")
	mustLoad(t, inner, writer.Options{ReplaceTable: true}, row{1, "ea", 1}, row{2, "eb", 2})
	other := sliceOf(t, schema, "id = 3 or id = 4")
	cat := fault.New(t, inner, "")
	cat.Before = func(n int) {
		if n == 1 {
			mustLoad(t, inner, writer.Options{Slice: other}, row{3, "ea", 3}, row{4, "ec", 4})
		}
	}
	res, err := writer.Load(t.Context(), cat, current(t, inner), batches(t, memory.DefaultAllocator, 3, nil, row{9, "ea", 9}),
		writer.Options{Slice: s, Publish: quick(), AllowShrink: true})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sorted(row{9, "ea", 9}, row{2, "eb", 2}, row{4, "ec", 4}), scan(t, inner), cmp.AllowUnexported(row{})); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	var counts []int64
	for _, f := range res.Carried {
		counts = append(counts, f.Count())
	}
	if !slices.Equal(counts, []int64{1, 1}) || len(res.Plan.Rewrite) != 2 {
		t.Errorf("%d files rewritten to files of %v rows", len(res.Plan.Rewrite), counts)
	}
	wantLitter(t, inner, 0)
}

// A column that somebody drops between plan and commit is not in what is published: rows that were
// carried over with it are carried over anew. So they are unchanged for whoever loads them next.
func TestCarriedRowsAreOfTheNewestSchema(t *testing.T) {
	inner := straddled(t, 2)
	cat := fault.New(t, inner, "")
	cat.Before = func(n int) {
		if n == 1 {
			mustLoad(t, inner, writer.Options{}, row{4, "u", 5})
			dropAmount(t, inner)
		}
	}
	res, err := writer.Load(t.Context(), cat, current(t, inner), batches(t, memory.DefaultAllocator, 3, nil, row{9, "ea", 9}),
		writer.Options{Publish: quick()})
	if err != nil {
		t.Fatal(err)
	}
	if res.Attempts != 2 || res.Plan.RowsKept != 2 || len(res.Carried) != 2 {
		t.Fatalf("%d attempts, %d rows kept in %d files", res.Attempts, res.Plan.RowsKept, len(res.Carried))
	}
	for _, f := range res.Carried {
		if _, ok := f.ValueCounts()[3]; ok {
			t.Errorf("%s holds the dropped column", f.FilePath())
		}
	}
	if again := loadWithoutAmount(t, inner, writer.Options{}, row{id: 2, region: "eb"}, row{id: 3, region: "ec"}); again.Status != writer.Unchanged {
		t.Errorf("again: %s", again.Status)
	}
	wantLitter(t, inner, 0)
}

// A file's digest counts columns that were dropped since, so it does not tell whether the rows are still the
// same: their partition is replaced once, or its rows are read and compared. A dropped column without a
// value is no matter.
func TestDroppedColumns(t *testing.T) {
	for _, c := range []struct {
		name   string
		amount float64
		o      writer.Options
		want   writer.Status
		before bool
	}{
		{"with values", 1, writer.Options{}, writer.Published, false},
		{"with values, compared", 1, writer.Options{CompareRows: true}, writer.Unchanged, true},
		{"without values", null, writer.Options{}, writer.Unchanged, true},
		{"without values, compared", null, writer.Options{CompareRows: true}, writer.Unchanged, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cat := newTable(t, "region")
			mustLoad(t, cat, writer.Options{}, row{1, "a", c.amount}, row{2, "a", c.amount}, row{3, "b", 3})
			dropAmount(t, cat)
			res := loadWithoutAmount(t, cat, c.o, row{id: 1, region: "a"}, row{id: 2, region: "a"})
			if res.Status != c.want || (res.Plan.Partitions[0].Before != nil) != c.before {
				t.Errorf("%s, digest before %v", res.Status, res.Plan.Partitions[0].Before)
			}
			if again := loadWithoutAmount(t, cat, writer.Options{}, row{id: 1, region: "a"}, row{id: 2, region: "a"}); c.want == writer.Published && again.Status != writer.Unchanged {
				t.Errorf("again: %s", again.Status)
			}
			// Other rows are seen either way.
			if res := loadWithoutAmount(t, cat, c.o, row{id: 1, region: "a"}, row{id: 5, region: "a"}); res.Status != writer.Published {
				t.Errorf("other rows: %s", res.Status)
			}
			wantLitter(t, cat, 0)
		})
	}
}

func dropAmount(t testing.TB, cat publish.Catalog) {
	t.Helper()
	tx := current(t, cat).NewTransaction()
	if err := tx.UpdateSchema(true, false).DeleteColumn([]string{"amount"}).Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// loadWithoutAmount loads rows into the table that has no amounts any more.
func loadWithoutAmount(t testing.TB, cat publish.Catalog, o writer.Options, rows ...row) writer.Result {
	t.Helper()
	o.Publish = quick()
	in := func(yield func(arrowconv.Batch, error) bool) {
		for b, err := range batches(t, memory.DefaultAllocator, 3, nil, rows...) {
			all := b.RecordBatch
			fields := all.Schema().Fields()[:2]
			b.RecordBatch = array.NewRecordBatch(arrow.NewSchema(fields, nil), all.Columns()[:2], all.NumRows())
			all.Release()
			if !yield(b, err) {
				return
			}
		}
	}
	res, err := writer.Load(t.Context(), cat, current(t, cat), in, o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Faults around a commit that carries rows over leave what they leave elsewhere.
func TestCarriedRowsAndFaults(t *testing.T) {
	for _, faults := range []string{
		"", "commit #1 lands, reply lost", "commit #1 lands late", "commit #1 is lost", "commit #1 answers 409", "commit #1 lands, answers 503",
	} {
		for version := 1; version <= 3; version++ {
			t.Run(fmt.Sprintf("v%d %s", version, faults), func(t *testing.T) {
				inner := straddled(t, version)
				_, err := writer.Load(t.Context(), fault.New(t, inner, faults), current(t, inner),
					batches(t, memory.DefaultAllocator, 3, nil, row{9, "ea", 9}), writer.Options{Publish: quick()})
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(sorted(row{9, "ea", 9}, row{2, "eb", 2}, row{3, "ec", 3}, row{4, "u", 4}), scan(t, inner), cmp.AllowUnexported(row{})); d != "" {
					t.Errorf("rows (-want +got):\n%s", d)
				}
				wantLitter(t, inner, 0)
				if n := snapshots(t, inner); n != 2 {
					t.Errorf("%d snapshots", n)
				}
			})
		}
	}
	t.Run("unknown", func(t *testing.T) {
		inner := straddled(t, 2)
		cat := fault.New(t, inner, "commit #1 lands, reply lost")
		_, err := writer.Load(t.Context(), &blind{Catalog: cat}, current(t, cat), batches(t, memory.DefaultAllocator, 2, nil, row{9, "ea", 9}),
			writer.Options{Publish: impatient()})
		var unknown *publish.UnknownError
		if !errors.As(err, &unknown) || len(unknown.DataFiles) != 3 {
			t.Fatalf("error %v", err)
		}
		if res := mustLoad(t, inner, writer.Options{}, row{9, "ea", 9}); res.Status != writer.Unchanged {
			t.Errorf("the rerun: %s", res.Status)
		}
		wantLitter(t, inner, 0)
	})
	t.Run("refused", func(t *testing.T) {
		inner := straddled(t, 2)
		_, err := writer.Load(t.Context(), fault.New(t, inner, "commit #1 answers 400"), current(t, inner),
			batches(t, memory.DefaultAllocator, 2, nil, row{9, "ea", 9}), writer.Options{Publish: quick()})
		if !errors.Is(err, catalog.ErrRejected) {
			t.Fatal(err)
		}
		wantLitter(t, inner, 0)
	})
	t.Run("dry run", func(t *testing.T) {
		inner := straddled(t, 2)
		res := mustLoad(t, inner, writer.Options{DryRun: true}, row{9, "ea", 9})
		if res.Status != writer.Planned || len(res.Plan.Rewrite) != 1 || res.Plan.RowsKept != 2 {
			t.Errorf("%s: %+v", res.Status, res.Plan)
		}
		wantLitter(t, inner, 0)
	})
	t.Run("the file cannot be read", func(t *testing.T) {
		inner := straddled(t, 2)
		tbl := current(t, inner)
		fsys, err := tbl.FS(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		res := mustLoad(t, inner, writer.Options{DryRun: true}, row{9, "ea", 9})
		gone := res.Plan.Rewrite[0].DataFile().FilePath()
		_, err = writer.Load(t.Context(), inner, tbl, batches(t, memory.DefaultAllocator, 2, nil, row{9, "ea", 9}), writer.Options{
			Publish: quick(), Progress: func(p writer.Progress) {
				if p.Stage == "rewrite" {
					_ = fsys.Remove(gone) // after the look
				}
			},
		})
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), gone) {
			t.Errorf("error %v", err)
		}
		if n := snapshots(t, inner); n != 1 {
			t.Errorf("%d snapshots", n)
		}
		wantLitter(t, inner, 0)
	})
	t.Run("interrupt", func(t *testing.T) {
		inner := straddled(t, 2)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := writer.Load(ctx, inner, current(t, inner), batches(t, memory.DefaultAllocator, 2, nil, row{9, "ea", 9}), writer.Options{
			Publish: quick(), Progress: func(p writer.Progress) {
				if p.Stage == "rewrite" {
					cancel()
				}
			},
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		wantLitter(t, inner, 0)
	})
}

// A commit that may have landed out of sight keeps what it carried over: its snapshot reads on.
func TestUnseenCommitKeepsItsFiles(t *testing.T) {
	inner := straddled(t, 2)
	hiding := &testcat.NewestOnly{Catalog: inner, Then: func() { // until no trace of it is in the head's manifests
		for i := range 3 {
			mustLoad(t, inner, writer.Options{Job: "another", ReplaceTable: true, AllowShrink: true}, row{int64(i), "ea", 1}, row{5, "eb", 5})
		}
	}}
	res, err := writer.Load(t.Context(), fault.New(t, hiding, "commit #1 lands, reply lost"), current(t, inner),
		batches(t, memory.DefaultAllocator, 3, nil, row{9, "ea", 9}), writer.Options{Publish: quick()})
	if err != nil || res.Attempts != 2 {
		t.Fatalf("%d attempts, %v", res.Attempts, err)
	}
	tbl := current(t, inner)
	fsys, err := tbl.FS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range tbl.Metadata().Snapshots() {
		manifests, err := s.Manifests(fsys)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range manifests {
			for e, err := range m.Entries(fsys, true) {
				if err != nil {
					t.Fatal(err)
				}
				in, err := fsys.Open(e.DataFile().FilePath())
				if err != nil {
					t.Errorf("snapshot %d: %v", s.SnapshotID, err)
					continue
				}
				n++
				in.Close()
			}
		}
	}
	if n < 8 {
		t.Errorf("%d files", n)
	}
}

// A neighbour's run of the same job that carried rows of this slice over has not written into it. One
// that replaced them has.
func TestFenceKnowsCarriedRows(t *testing.T) {
	for _, c := range []struct {
		name, mine, theirs, region string
		want                       error
	}{
		{"another partition", "", "", "eb", nil},
		{"the same partition", "", "", "ea", publish.ErrSuperseded},
		{"another slice", "region = ea", "region = eb", "eb", nil},
		{"the same slice", "region = ea", "region = ea", "ea", publish.ErrSuperseded},
		{"a wider slice", "region = ea", "region < ec", "eb", publish.ErrSuperseded},
	} {
		t.Run(c.name, func(t *testing.T) {
			inner := straddled(t, 2)
			options := func(expr string, started time.Time) writer.Options {
				o := writer.Options{Job: "sales", Started: started, Publish: quick(), AllowShrink: true}
				if expr != "" {
					o.Slice = sliceOf(t, schema, expr)
				}
				return o
			}
			now := time.Now()
			cat := fault.New(t, inner, "")
			cat.Before = func(n int) {
				if n == 1 {
					mustLoad(t, inner, options(c.theirs, now.Add(time.Second)), row{8, c.region, 8})
				}
			}
			_, err := writer.Load(t.Context(), cat, current(t, inner), batches(t, memory.DefaultAllocator, 3, nil, row{9, "ea", 9}), options(c.mine, now))
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if c.want == nil {
				if d := cmp.Diff(sorted(row{9, "ea", 9}, row{8, "eb", 8}, row{3, "ec", 3}, row{4, "u", 4}), scan(t, inner), cmp.AllowUnexported(row{})); d != "" {
					t.Errorf("rows (-want +got):\n%s", d)
				}
			}
			wantLitter(t, inner, 0)
		})
	}
}

// Guarantee 7: the bytes of carried rows depend on the files they come from, not on cores or memory.
func TestCarriedFilesAreDeterministic(t *testing.T) {
	var first [][]byte
	for _, o := range []writer.Options{{Workers: 1}, {Workers: 4}, {Workers: 3, Memory: 64 << 10, SpillDir: t.TempDir()}} {
		memory := o.Memory
		cat := versioned(t, 3, "")
		var rows []row
		for i := range int64(20_000) {
			rows = append(rows, row{i, []string{"ea", "eb", "ec"}[i%3], float64(i)})
		}
		o.Memory = 0
		load := func(o writer.Options, rows ...row) writer.Result {
			o.Publish = quick()
			res, err := writer.Load(t.Context(), cat, current(t, cat), batches(t, arrowAllocator, 5000, nil, rows...), o)
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		load(writer.Options{ReplaceTable: true}, rows...)
		repartition(t, cat, "region")
		o.Memory, o.AllowShrink = memory, true
		res := load(o, row{1, "eb", 1})
		var got [][]byte
		fsys, err := current(t, cat).FS(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range res.Carried {
			in, err := fsys.Open(f.FilePath())
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(in)
			if err := errors.Join(err, in.Close()); err != nil {
				t.Fatal(err)
			}
			got = append(got, content)
		}
		if memory != 0 { // where memory is short, files are cut otherwise
			if len(got) < 2 {
				t.Errorf("%d files", len(got))
			}
			continue
		}
		if first == nil {
			first = got
		}
		if !slices.EqualFunc(first, got, bytes.Equal) || len(got) != 2 {
			t.Errorf("with %d workers the %d files differ", o.Workers, len(got))
		}
	}
}

var arrowAllocator = memory.DefaultAllocator

// A row of a version 3 table that moves to another file keeps its id and the sequence number of its
// last change, also when it moves twice.
func TestRowLineageIsCarried(t *testing.T) {
	cat := straddled(t, 3)
	lineage := func() map[int64]string { return lineageOf(t, cat) }
	want := lineage()
	mustLoad(t, cat, writer.Options{}, row{9, "ea", 9})
	got := lineage()
	delete(want, 1)
	nine := got[9]
	want[9] = nine
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("row ids (-want +got):\n%s", d)
	}
	// Again, by a slice that cuts the partition.
	repartition(t, cat, "truncate(1, region)")
	s := sliceOf(t, schema, "id < 3")
	mustLoad(t, cat, writer.Options{Slice: s, AllowShrink: true}, row{0, "ec", 1})
	got = lineage()
	delete(want, 2)
	want[0] = got[0]
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("row ids (-want +got):\n%s", d)
	}
	wantLitter(t, cat, 0)
}

// lineageOf are the row ids, and the sequence numbers of the last change, by id.
func lineageOf(t testing.TB, cat publish.Catalog) map[int64]string {
	t.Helper()
	tbl := current(t, cat)
	_, recs, err := tbl.Scan(table.WithSelectedFields("id", "_row_id", "_last_updated_sequence_number")).ToArrowRecords(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[int64]string{}
	for rec, err := range recs {
		if err != nil {
			t.Fatal(err)
		}
		ids := rec.Column(0).(*array.Int64)
		for i := range int(rec.NumRows()) {
			got[ids.Value(i)] = rec.Column(1).ValueStr(i) + " of " + rec.Column(2).ValueStr(i)
		}
		rec.Release()
	}
	return got
}

func sliceOf(t testing.TB, schema *iceberg.Schema, expr string) *slice.Slice {
	t.Helper()
	s, err := slice.Parse(expr, schema, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// publishFile appends a file that somebody else wrote.
func publishFile(t testing.TB, cat publish.Catalog, f iceberg.DataFile) {
	t.Helper()
	a := publish.Attempt{
		ID: uuid.New(), Table: ident, Branch: table.MainBranch, Job: "another", RunKey: "another", Started: time.Now(), Base: current(t, cat),
		Touches: func(iceberg.DataFile, iceberg.PartitionSpec, *iceberg.Schema) bool { return true },
	}
	_, err := publish.Publish(t.Context(), cat, a, func(context.Context, *table.Table) (*publish.Change, error) {
		return &publish.Change{Operation: table.OpAppend, Add: []iceberg.DataFile{f}}, nil
	}, quick())
	if err != nil {
		t.Fatal(err)
	}
}
