package writer_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/merge"
	"github.com/icewright/icewright/writer/publish"
)

// versions is a table of customers with their history.
var versions = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	iceberg.NestedField{ID: 2, Name: "city", Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 3, Name: "points", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	iceberg.NestedField{ID: 4, Name: "since", Type: iceberg.PrimitiveTypes.Int64},
	iceberg.NestedField{ID: 5, Name: "until", Type: iceberg.PrimitiveTypes.Int64},
	iceberg.NestedField{ID: 6, Name: "now", Type: iceberg.PrimitiveTypes.Bool},
)

// change is a row of the input: at is its time, city "gone" deletes.
type change struct {
	id, at int64
	city   string
	points int64
}

func (c change) deletes() bool { return c.city == "gone" }

// held is a row of the table. until math.MaxInt64 is null; city "" is null.
type held struct {
	id, since, until int64
	city             string
	points           int64
	now              bool
}

// customers is the model: what happened to whom when. The table is to be told from nothing else.
type customers map[int64]map[int64]change

func (m customers) table() (rows []held) {
	for id, changes := range m {
		live := false
		times := slices.Sorted(maps.Keys(changes))
		for i, at := range times {
			h := held{id: id, since: at, until: math.MaxInt64}
			if i+1 < len(times) {
				h.until = times[i+1]
			}
			c := changes[at]
			switch {
			case !c.deletes():
				h.city, h.points, h.now = c.city, c.points, h.until == math.MaxInt64
				rows = append(rows, h)
			case !live:
				h.until = at
				rows = append(rows, h)
			}
			live = !c.deletes()
		}
	}
	return byTime(rows)
}

func byTime(rows []held) []held {
	slices.SortFunc(rows, func(a, b held) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.since, b.since), cmp.Compare(a.until, b.until))
	})
	return rows
}

func changesOf(t testing.TB, mem memory.Allocator, rows []change) iter.Seq2[arrowconv.Batch, error] {
	as, err := arrowconv.ArrowSchema(iceberg.NewSchema(0, append(versions.Fields(), iceberg.NestedField{ID: 7, Name: "at", Type: iceberg.PrimitiveTypes.Int64})...))
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(arrowconv.Batch, error) bool) {
		first := int64(1)
		for chunk := range slices.Chunk(rows, 3) {
			b := array.NewRecordBuilder(mem, as)
			for _, c := range chunk {
				b.Field(0).(*array.Int64Builder).Append(c.id)
				b.Field(1).(*array.StringBuilder).Append(c.city)
				b.Field(2).(*array.Int64Builder).Append(c.points)
				for i := 3; i < 6; i++ {
					b.Field(i).AppendNull()
				}
				b.Field(6).(*array.Int64Builder).Append(c.at)
			}
			rec := b.NewRecordBatch()
			b.Release()
			if !yield(arrowconv.Batch{RecordBatch: rec, Source: "changes.csv", FirstRow: first, Absent: []int{3, 4, 5}}, nil) {
				return
			}
			first += int64(len(chunk))
		}
	}
}

func keeping(t testing.TB) writer.Options {
	return writer.Options{Publish: quick(), Merge: &writer.Merge{
		Key: []string{"id"}, DeleteWhen: sliceOf(t, versions, "city = 'gone'"),
		History: &merge.History{From: "since", To: "until", Current: "now", Effective: "at"},
	}}
}

func newHistory(t testing.TB, version int, by string) *catalog.Catalog {
	t.Helper()
	cat := testcat.New(t)
	if _, _, err := cat.CreateTable(context.WithoutCancel(t.Context()), ident, catalog.TableSpec{Schema: versions, PartitionBy: by, FormatVersion: version}); err != nil {
		t.Fatal(err)
	}
	return cat
}

func loadChanges(t testing.TB, cat publish.Catalog, o writer.Options, rows []change) (writer.Result, error) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	res, err := writer.Load(context.WithoutCancel(t.Context()), cat, current(t, cat), changesOf(t, mem, rows), o)
	mem.AssertSize(t, 0)
	return res, err
}

func scanHistory(t testing.TB, cat publish.Catalog) (rows []held) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	_, recs, err := current(t, cat).Scan().ToArrowRecords(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for rec, err := range recs {
		if err != nil {
			t.Fatal(err)
		}
		number := func(c, i int) int64 {
			if rec.Column(c).IsNull(i) {
				return math.MaxInt64
			}
			return rec.Column(c).(*array.Int64).Value(i)
		}
		for i := range int(rec.NumRows()) {
			h := held{number(0, i), number(3, i), number(4, i), "", number(2, i), rec.Column(5).(*array.Boolean).Value(i)}
			if !rec.Column(1).IsNull(i) {
				h.city = rec.Column(1).(*array.String).Value(i)
			}
			rows = append(rows, h)
		}
		rec.Release()
	}
	return byTime(rows)
}

var specsOfHistory = []string{"", "now", "bucket(3, id)", "truncate(4, since)", "until", "truncate(5, until), city"}

func drawChanges(rt *rapid.T, n int) []change {
	return rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) change {
		return change{
			rapid.Int64Range(1, 5).Draw(rt, "id"), rapid.Int64Range(1, 12).Draw(rt, "at"),
			rapid.SampledFrom([]string{"Rome", "Oslo", "gone"}).Draw(rt, "city"), rapid.Int64Range(0, 1).Draw(rt, "points"),
		}
	}), 0, n).Draw(rt, "changes")
}

// A map of what happened is the model of a history: changes in any order, split into any number of loads, with
// deletes, corrections, changes that come again and repeat what was so, on every format version, partitioned by
// what moves and what does not, spilled and not.
func TestHistoryAgainstAMap(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		_ = checks.Value.Set("25") // a table and its files take a while
		defer func() { _ = checks.Value.Set(checks.DefValue) }()
	}
	rapid.Check(t, func(rt *rapid.T) {
		cat := newHistory(t, rapid.IntRange(1, 3).Draw(rt, "version"), rapid.SampledFrom(specsOfHistory).Draw(rt, "by"))
		model := customers{}
		for range rapid.IntRange(1, 8).Draw(rt, "loads") {
			if rapid.IntRange(0, 5).Draw(rt, "step") == 0 {
				repartition(t, cat, rapid.SampledFrom(specsOfHistory).Draw(rt, "spec"))
			}
			o := keeping(t)
			o.Memory = rapid.SampledFrom([]int64{0, 64}).Draw(rt, "memory") // 64 spills every batch
			newer := rapid.IntRange(0, 3).Draw(rt, "newer") == 0
			if newer {
				o.Merge.LatestBy, o.Merge.IfNewer = "points", "points"
			}
			rows := drawChanges(rt, 12)

			picked, bad, want := map[[2]int64]change{}, false, writer.Result{}
			tied := map[[2]int64]bool{}
			for _, c := range rows {
				key := [2]int64{c.id, c.at}
				was, again := picked[key]
				same := was.deletes() == c.deletes() && (c.deletes() || was == c)
				switch {
				case !again:
					picked[key] = c
					continue
				case newer && c.points > was.points:
					picked[key], tied[key] = c, false
				case !same && (!newer || c.points == was.points):
					tied[key] = true
				}
				want.DuplicatesDropped++
			}
			for _, tie := range tied {
				bad = bad || tie
			}
			res, err := loadChanges(t, cat, o, rows)
			if bad {
				if !errors.Is(err, merge.ErrKey) {
					rt.Fatalf("%v: error %v", rows, err)
				}
				continue
			}
			if err != nil {
				rt.Fatal(err)
			}
			for _, c := range picked {
				was, there := model[c.id][c.at]
				alive := there && !was.deletes()
				switch {
				case newer && alive && c.points < was.points:
					want.RowsStale++
					continue
				case there && c.deletes() && was.deletes(), was == c:
					want.RowsUnchanged++
				case c.deletes():
					want.RowsDeleted++
				case alive:
					want.RowsUpdated++
				default:
					want.RowsInserted++
				}
				if model[c.id] == nil {
					model[c.id] = map[int64]change{}
				}
				model[c.id][c.at] = c
			}
			got := [...]int64{res.RowsStale, res.RowsDeleted, res.RowsUnchanged, res.RowsUpdated, res.RowsInserted, res.DuplicatesDropped}
			if expect := [...]int64{want.RowsStale, want.RowsDeleted, want.RowsUnchanged, want.RowsUpdated, want.RowsInserted, want.DuplicatesDropped}; got != expect {
				rt.Fatalf("%v: stale, deleted, unchanged, updated, inserted, dropped: %v, want %v", rows, got, expect)
			}
			if now, want := scanHistory(t, cat), model.table(); !slices.Equal(now, want) {
				rt.Fatalf("after %v:\n%v, want\n%v", rows, now, want)
			}
			if again, err := loadChanges(t, cat, o, rows); err != nil || again.Status != writer.Unchanged {
				rt.Fatalf("a rerun: %+v, %v", again, err)
			}
			wantLitter(t, cat, 0)
		}
	})
}

// The same changes in another order and in other loads make the same table.
func TestHistoryOfAnyOrder(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		_ = checks.Value.Set("25") // a table and its files take a while
		defer func() { _ = checks.Value.Set(checks.DefValue) }()
	}
	rapid.Check(t, func(rt *rapid.T) {
		all := map[[2]int64]change{}
		for _, c := range drawChanges(rt, 20) {
			all[[2]int64{c.id, c.at}] = c
		}
		rows := slices.SortedFunc(maps.Values(all), func(a, b change) int { return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.at, b.at)) })
		var tables [2][]held
		for i := range tables {
			cat := newHistory(t, 2, "")
			left := rapid.Permutation(rows).Draw(rt, "order")
			for len(left) > 0 {
				n := rapid.IntRange(1, len(left)).Draw(rt, "rows")
				if _, err := loadChanges(t, cat, keeping(t), left[:n]); err != nil {
					rt.Fatal(err)
				}
				left = left[n:]
			}
			tables[i] = scanHistory(t, cat)
		}
		if !slices.Equal(tables[0], tables[1]) {
			rt.Fatalf("one order makes\n%v, another\n%v", tables[0], tables[1])
		}
	})
}

// Eight writers bring changes of the same customers at the same time, each other ones: whoever comes first, the
// chains are what they are when everything comes at once.
func TestConcurrentHistories(t *testing.T) {
	const writers, keys = 8, 6
	for version := 2; version <= 3; version++ {
		t.Run(fmt.Sprint("v", version), func(t *testing.T) {
			cat := newHistory(t, version, "now")
			model := customers{}
			lost := make([]int, writers)
			var g errgroup.Group
			for w := range int64(writers) {
				var rows []change
				for id := range int64(keys) {
					if model[id] == nil {
						model[id] = map[int64]change{}
					}
					for n := range int64(3) {
						c := change{id, (n*writers+w)*7%24 + 1, fmt.Sprint("city", w), n}
						if (id+n+w)%5 == 0 {
							c.city = "gone"
						}
						rows = append(rows, c)
						model[id][c.at] = c
					}
				}
				o := keeping(t)
				if version == 2 {
					o.Memory = 64
				}
				g.Go(func() error {
					res, err := loadChanges(t, cat, o, rows)
					lost[w] = res.Attempts - 1
					return err
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			if now, want := scanHistory(t, cat), model.table(); !slices.Equal(now, want) {
				t.Errorf("%v, want\n%v", now, want)
			}
			if version == 3 {
				wantDistinctRowIDs(t, cat)
			}
			wantLitter(t, cat, 0)
			if slices.Max(lost) == 0 {
				t.Error("nobody lost a race, so nothing was tried")
			}
		})
	}
}

// wantDistinctRowIDs checks that no two rows of a history have one row id.
func wantDistinctRowIDs(t testing.TB, cat publish.Catalog) {
	t.Helper()
	_, recs, err := current(t, cat).Scan(table.WithSelectedFields("id", "_row_id")).ToArrowRecords(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{}
	for rec, err := range recs {
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range rec.Column(1).(*array.Int64).Int64Values() {
			if seen[id] {
				t.Errorf("two rows have the id %d", id)
			}
			seen[id] = true
		}
		rec.Release()
	}
}
