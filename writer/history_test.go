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
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
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

// clock is a type of the times at which versions begin and end, and what its values are at the times of the model,
// which are small numbers: zero and so many steps.
type clock struct {
	typ        iceberg.Type
	zero, step int64
	specs      []string
}

// clocks are all types that times may have. Steps are as small as the type can tell, or as large as its transforms tell
// apart, and times lie on both sides of 0.
var clocks = []clock{
	{iceberg.PrimitiveTypes.Int64, 0, 1, []string{"", "now", "bucket(3, id)", "truncate(4, since)", "until", "truncate(5, until), city"}},
	{iceberg.PrimitiveTypes.Int64, math.MinInt64 + 1, math.MaxInt64 / 7, []string{"", "since"}}, // the last of 12 is short of the largest
	{iceberg.PrimitiveTypes.Int32, math.MaxInt32 - 12, 1, []string{"", "bucket(3, since)", "until"}},
	{iceberg.PrimitiveTypes.Int32, -3_000_000, 500_000, []string{"now", "truncate(1000000, until)"}},
	{iceberg.PrimitiveTypes.Date, -6, 1, []string{"", "since", "month(until)", "year(since), now"}},
	{iceberg.PrimitiveTypes.Timestamp, -6, 1, []string{"", "day(since)", "until"}},
	{iceberg.PrimitiveTypes.TimestampTz, -6 * 86_400_000_000, 86_400_000_000, []string{"", "day(until)", "month(since), now"}},
	{iceberg.PrimitiveTypes.TimestampNs, -6, 1, []string{"", "until"}},
	{iceberg.PrimitiveTypes.TimestampTzNs, 1_704_067_200_000_000_001, 3_600_000_000_000, []string{"", "hour(until)", "day(since)"}},
}

func (k clock) at(time int64) int64 { return k.zero + time*k.step }

// oldest is the format version that the type came with.
func (k clock) oldest() int {
	switch k.typ.(type) {
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return 3
	}
	return 1
}

// versions is a table of customers with their history.
func (k clock) versions() *iceberg.Schema {
	return iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "city", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 3, Name: "points", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 4, Name: "since", Type: k.typ},
		iceberg.NestedField{ID: 5, Name: "until", Type: k.typ},
		iceberg.NestedField{ID: 6, Name: "now", Type: iceberg.PrimitiveTypes.Bool},
	)
}

var versions = clocks[0].versions()

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

func (k clock) changes(t testing.TB, mem memory.Allocator, rows []change) iter.Seq2[arrowconv.Batch, error] {
	as, err := arrowconv.ArrowSchema(iceberg.NewSchema(0, append(k.versions().Fields(), iceberg.NestedField{ID: 7, Name: "at", Type: k.typ})...))
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
				k.append(b.Field(6), c.at)
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

func (k clock) append(b array.Builder, time int64) {
	switch b := b.(type) {
	case *array.Int32Builder:
		b.Append(int32(k.at(time)))
	case *array.Int64Builder:
		b.Append(k.at(time))
	case *array.Date32Builder:
		b.Append(arrow.Date32(k.at(time)))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(k.at(time)))
	}
}

// time is the time of the model at row i; math.MaxInt64 is null, and what is no time of the model is -1.
func (k clock) time(arr arrow.Array, i int) int64 {
	if arr.IsNull(i) {
		return math.MaxInt64
	}
	var v int64
	switch a := arr.(type) {
	case *array.Int32:
		v = int64(a.Value(i))
	case *array.Int64:
		v = a.Value(i)
	case *array.Date32:
		v = int64(a.Value(i))
	case *array.Timestamp:
		v = int64(a.Value(i))
	}
	if since := uint64(v) - uint64(k.zero); since%uint64(k.step) == 0 {
		return int64(since / uint64(k.step))
	}
	return -1
}

func keeping(t testing.TB) writer.Options {
	return writer.Options{Publish: quick(), Merge: &writer.Merge{
		Key: []string{"id"}, DeleteWhen: sliceOf(t, versions, "city = 'gone'"),
		History: &merge.History{From: "since", To: "until", Current: "now", Effective: "at"},
	}}
}

func newHistory(t testing.TB, k clock, version int, by string) *catalog.Catalog {
	t.Helper()
	cat := testcat.New(t)
	if _, _, err := cat.CreateTable(context.WithoutCancel(t.Context()), ident, catalog.TableSpec{Schema: k.versions(), PartitionBy: by, FormatVersion: version}); err != nil {
		t.Fatal(err)
	}
	return cat
}

func (k clock) load(t testing.TB, cat publish.Catalog, o writer.Options, rows []change) (writer.Result, error) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	res, err := writer.Load(context.WithoutCancel(t.Context()), cat, current(t, cat), k.changes(t, mem, rows), o)
	mem.AssertSize(t, 0)
	return res, err
}

func (k clock) scan(t testing.TB, cat publish.Catalog) (rows []held) {
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
		number := func(c, i int) int64 { return rec.Column(c).(*array.Int64).Value(i) }
		for i := range int(rec.NumRows()) {
			h := held{number(0, i), k.time(rec.Column(3), i), k.time(rec.Column(4), i), "", number(2, i), rec.Column(5).(*array.Boolean).Value(i)}
			if !rec.Column(1).IsNull(i) {
				h.city = rec.Column(1).(*array.String).Value(i)
			}
			rows = append(rows, h)
		}
		rec.Release()
	}
	return byTime(rows)
}

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
// what moves and what does not, spilled and not, with times of every type that there is for them.
func TestHistoryAgainstAMap(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		_ = checks.Value.Set("25") // a table and its files take a while
		defer func() { _ = checks.Value.Set(checks.DefValue) }()
	}
	rapid.Check(t, func(rt *rapid.T) {
		k := rapid.SampledFrom(clocks).Draw(rt, "clock")
		cat := newHistory(t, k, rapid.IntRange(k.oldest(), 3).Draw(rt, "version"), rapid.SampledFrom(k.specs).Draw(rt, "by"))
		model := customers{}
		for range rapid.IntRange(1, 8).Draw(rt, "loads") {
			if rapid.IntRange(0, 5).Draw(rt, "step") == 0 {
				repartition(t, cat, rapid.SampledFrom(k.specs).Draw(rt, "spec"))
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
			counted := !bad && rapid.Bool().Draw(rt, "count partitions")
			var planned writer.Result
			var before map[string]contents
			if counted {
				dry := o
				dry.DryRun = true
				before, _ = contentsOf(rt, cat)
				var err error
				if planned, err = k.load(t, cat, dry, rows); err != nil {
					rt.Fatal(err)
				}
			}
			res, err := k.load(t, cat, o, rows)
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
			if now, want := k.scan(t, cat), model.table(); !slices.Equal(now, want) {
				rt.Fatalf("after %v:\n%v, want\n%v", rows, now, want)
			}
			if counted {
				after, _ := contentsOf(rt, cat)
				wantPartitions(rt, before, after, true, planned, res)
			}
			if again, err := k.load(t, cat, o, rows); err != nil || again.Status != writer.Unchanged {
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
			cat := newHistory(t, clocks[0], 2, "")
			left := rapid.Permutation(rows).Draw(rt, "order")
			for len(left) > 0 {
				n := rapid.IntRange(1, len(left)).Draw(rt, "rows")
				if _, err := clocks[0].load(t, cat, keeping(t), left[:n]); err != nil {
					rt.Fatal(err)
				}
				left = left[n:]
			}
			tables[i] = clocks[0].scan(t, cat)
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
			cat := newHistory(t, clocks[0], version, "now")
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
					res, err := clocks[0].load(t, cat, o, rows)
					lost[w] = res.Attempts - 1
					return err
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			if now, want := clocks[0].scan(t, cat), model.table(); !slices.Equal(now, want) {
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

// Types whose values are no times are refused, as are columns of two types, and each error says why.
func TestHistoryRefusesTypes(t *testing.T) {
	with := func(since, until iceberg.Type) *iceberg.Schema {
		return iceberg.NewSchema(0,
			iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
			iceberg.NestedField{ID: 2, Name: "since", Type: since}, iceberg.NestedField{ID: 3, Name: "until", Type: until},
			iceberg.NestedField{ID: 4, Name: "at", Type: iceberg.PrimitiveTypes.TimestampTz},
		)
	}
	p := iceberg.PrimitiveTypes
	for _, c := range []struct {
		since, until iceberg.Type
		want         string
	}{
		{p.Float32, p.Float32, `column "since" is a float, which may be rounded otherwise the next time, and then one change would be two versions`},
		{p.Float64, p.Float64, `column "since" is a double, which may be rounded`},
		{p.String, p.String, `column "since" is a string, and texts are not in the order of the times that they may tell`},
		{p.Time, p.Time, `column "since" is a time, which comes again every day`},
		{iceberg.DecimalTypeOf(9, 2), iceberg.DecimalTypeOf(9, 2), `column "since" is a decimal(9, 2), and versions begin at whole numbers`},
		{p.Bool, p.Bool, `column "since" is a boolean, which tells no time`},
		{p.Binary, p.Binary, `column "since" is a binary, which tells no time`},
		{p.UUID, p.UUID, `column "since" is a uuid, which tells no time`},
		{p.Date, p.String, `column "until" is a string, and texts`},
		{p.Date, p.Timestamp, `column "since" is a date, and "until" a timestamp`},
		{p.Timestamp, p.Timestamp, `--effective: column "at" is a timestamptz, and "since", which gets its values, a timestamp`},
		{p.Int64, p.Int64, `--effective: column "at" is a timestamptz, and "since", which gets its values, a long`},
	} {
		t.Run(fmt.Sprint(c.since, " ", c.until), func(t *testing.T) {
			cat := testcat.New(t)
			tbl, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: with(c.since, c.until)})
			if err != nil {
				t.Fatal(err)
			}
			o := keeping(t)
			o.Merge.DeleteWhen, o.Merge.History.Current = nil, ""
			none := func(func(arrowconv.Batch, error) bool) {}
			_, err = writer.Load(t.Context(), cat, tbl, none, o)
			if !errors.Is(err, merge.ErrColumn) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			wantLitter(t, cat, 0)
		})
	}
}
