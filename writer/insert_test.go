package writer_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

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

// event happened at an hour, or at nobody knows when; n tells copies apart.
type event struct {
	id, hour, n int64
}

const never = math.MinInt64

func compareEvents(a, b event) int {
	return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.hour, b.hour), cmp.Compare(a.n, b.n))
}

// eventTable has events whose time is of a type, and of hours since 1970, or of days where it is a date.
func eventTable(t testing.TB, version int, typ iceberg.Type, by string) *catalog.Catalog {
	t.Helper()
	cat := testcat.New(t)
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "ts", Type: typ},
		iceberg.NestedField{ID: 3, Name: "n", Type: iceberg.PrimitiveTypes.Int64},
	)
	if _, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: schema, PartitionBy: by, FormatVersion: version}); err != nil {
		t.Fatal(err)
	}
	return cat
}

// unitsOf is how many of the units of a type make an hour, or a day where it is a date.
func unitsOf(typ arrow.DataType) int64 {
	if ts, ok := typ.(*arrow.TimestampType); ok {
		return int64(time.Hour / ts.Unit.Multiplier())
	}
	return 1
}

func eventBatches(t testing.TB, schema *iceberg.Schema, size int, events []event) iter.Seq2[arrowconv.Batch, error] {
	as, err := arrowconv.ArrowSchema(schema)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(arrowconv.Batch, error) bool) {
		first := int64(1)
		for chunk := range slices.Chunk(events, size) {
			b := array.NewRecordBuilder(memory.DefaultAllocator, as)
			for _, e := range chunk {
				b.Field(0).(*array.Int64Builder).Append(e.id)
				switch ts := b.Field(1).(type) {
				case *array.TimestampBuilder:
					if e.hour == never {
						ts.AppendNull()
					} else {
						ts.Append(arrow.Timestamp(e.hour * unitsOf(ts.Type())))
					}
				case *array.Date32Builder:
					if e.hour == never {
						ts.AppendNull()
					} else {
						ts.Append(arrow.Date32(e.hour))
					}
				}
				b.Field(2).(*array.Int64Builder).Append(e.n)
			}
			rec := b.NewRecordBatch()
			b.Release()
			if !yield(arrowconv.Batch{RecordBatch: rec, Source: "events.ndjson", FirstRow: first}, nil) {
				return
			}
			first += int64(len(chunk))
		}
	}
}

func insertEvents(t testing.TB, cat publish.Catalog, in writer.Insert, o writer.Options, events ...event) (writer.Result, error) {
	t.Helper()
	in.Key = []string{"id"}
	o.Insert, o.Publish, o.SpillDir = &in, quick(), t.TempDir()
	tbl, err := cat.LoadTable(context.WithoutCancel(t.Context()), ident)
	if err != nil {
		return writer.Result{}, err
	}
	return writer.Load(t.Context(), cat, tbl, eventBatches(t, tbl.Schema(), 3, events), o)
}

func scanEvents(t testing.TB, cat publish.Catalog) (events []event) {
	t.Helper()
	_, recs, err := current(t, cat).Scan().ToArrowRecords(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for rec, err := range recs {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			e := event{id: rec.Column(0).(*array.Int64).Value(i), hour: never, n: rec.Column(2).(*array.Int64).Value(i)}
			switch ts := rec.Column(1).(type) {
			case *array.Timestamp:
				if ts.IsValid(i) {
					e.hour = int64(ts.Value(i)) / unitsOf(ts.DataType())
				}
			case *array.Date32:
				if ts.IsValid(i) {
					e.hour = int64(ts.Value(i))
				}
			}
			events = append(events, e)
		}
		rec.Release()
	}
	slices.SortFunc(events, compareEvents)
	return events
}

// eventModel is what an insert promises, one row after the other.
type eventModel struct {
	rows   []event
	window int64 // in hours, or days; -1: none
}

func (m *eventModel) copies(a, b event) bool {
	switch {
	case a.id != b.id:
		return false
	case m.window < 0:
		return true
	case a.hour == never || b.hour == never:
		return a.hour == b.hour
	}
	return max(a.hour, b.hour)-min(a.hour, b.hour) <= m.window
}

// load takes rows in: the first of copies, or with latest the one with the greatest n. It counts those inserted,
// those that are there, those dropped as copies of others of the input, and those inserted late. ok is false where
// nothing tells which of two copies is the latest.
func (m *eventModel) load(rows []event, latest bool) (counts [4]int64, ok bool) {
	rows = slices.Clone(rows)
	if latest {
		slices.SortStableFunc(rows, func(a, b event) int { return cmp.Compare(b.n, a.n) })
		covered := func(r event) bool {
			return slices.ContainsFunc(rows, func(o event) bool { return m.copies(r, o) && o.n > r.n })
		}
		for i, r := range rows {
			for _, o := range rows[:i] {
				if m.copies(r, o) && r.n == o.n && r != o && !covered(r) && !covered(o) {
					return counts, false
				}
			}
		}
	}
	newest := int64(never)
	for _, r := range m.rows {
		newest = max(newest, r.hour)
	}
	before := m.rows
	var inserted, there []event
	for _, r := range rows {
		copyIn := func(rows []event) bool {
			return slices.ContainsFunc(rows, func(o event) bool { return m.copies(r, o) })
		}
		switch hit := copyIn(before); {
		case copyIn(inserted) || hit && copyIn(there):
			counts[2]++
		case hit:
			there = append(there, r)
			counts[1]++
		default:
			inserted = append(inserted, r)
			counts[0]++
			if m.window >= 0 && r.hour != never && newest != never && r.hour+m.window < newest {
				counts[3]++
			}
		}
	}
	m.rows = append(slices.Clone(before), inserted...)
	slices.SortFunc(m.rows, compareEvents)
	return counts, true
}

// A list is the model of a table of events: inserts with and without a window, copies in the input and in the
// table, times that are not known, on every type of time and format version, cut into any number of loads.
func TestInsertAgainstAModel(t *testing.T) {
	types := []iceberg.Type{
		iceberg.PrimitiveTypes.Timestamp, iceberg.PrimitiveTypes.TimestampTz, iceberg.PrimitiveTypes.Date,
		iceberg.PrimitiveTypes.TimestampNs, iceberg.PrimitiveTypes.TimestampTzNs,
	}
	rapid.Check(t, func(rt *rapid.T) {
		typ := rapid.SampledFrom(types).Draw(rt, "type")
		version := rapid.IntRange(1, 3).Draw(rt, "version")
		unit := time.Hour
		switch typ.(type) {
		case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
			version = 3
		case iceberg.DateType:
			unit = 24 * time.Hour
		}
		by := rapid.SampledFrom([]string{"", "day(ts)", "month(ts), bucket(2, id)", "bucket(3, id)"}).Draw(rt, "by")
		cat := eventTable(t, version, typ, by)
		model := eventModel{window: rapid.SampledFrom([]int64{-1, 0, 24, 24, 1_000_000}).Draw(rt, "window")}
		latest := rapid.Bool().Draw(rt, "latest")
		var in writer.Insert
		if latest {
			in.LatestBy = "n"
		}
		if model.window >= 0 {
			// what is less than a unit of the column makes no window wider
			in.EventTime, in.Window = "ts", time.Duration(model.window)*unit+rapid.SampledFrom([]time.Duration{0, 1}).Draw(rt, "extra")
			if _, ns := typ.(iceberg.TimestampNsType); ns {
				in.Window = time.Duration(model.window) * unit
			}
			if in.Window < 0 || model.window == 1_000_000 {
				in.Window = math.MaxInt64
			}
		}
		for range rapid.IntRange(1, 4).Draw(rt, "loads") {
			o := writer.Options{Memory: rapid.SampledFrom([]int64{0, 64}).Draw(rt, "memory")} // 64 spills every batch
			rows := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) event {
				return event{
					rapid.Int64Range(1, 5).Draw(rt, "id"),
					rapid.SampledFrom([]int64{-30, -24, 0, 1, 23, 24, 25, 48, 49, 1000, never}).Draw(rt, "hour"),
					rapid.Int64Range(0, 9).Draw(rt, "n"),
				}
			}), 0, 12).Draw(rt, "rows")
			want, ok := model.load(rows, latest)
			counted := ok && rapid.Bool().Draw(rt, "count partitions")
			var planned writer.Result
			var parts map[string]contents
			if counted {
				dry := o
				dry.DryRun = true
				parts, _ = contentsOf(rt, cat)
				var err error
				if planned, err = insertEvents(t, cat, in, dry, rows...); err != nil {
					rt.Fatal(err)
				}
			}
			res, err := insertEvents(t, cat, in, o, rows...)
			if !ok {
				if !errors.Is(err, merge.ErrKey) {
					rt.Fatalf("%v: error %v", rows, err)
				}
				continue
			}
			if err != nil {
				rt.Fatal(err)
			}
			if got := [...]int64{res.RowsInserted, res.RowsUnchanged, res.DuplicatesDropped, res.RowsLate}; got != want {
				rt.Fatalf("inserted, there, dropped, late: %v, want %v", got, want)
			}
			if got := scanEvents(t, cat); !slices.Equal(got, model.rows) {
				rt.Fatalf("rows %v, want %v", got, model.rows)
			}
			if counted {
				after, _ := contentsOf(rt, cat)
				wantPartitions(rt, parts, after, true, planned, res)
			}
			if res.Snapshot != nil && res.Snapshot.Summary.Operation != "append" {
				rt.Fatalf("operation %s", res.Snapshot.Summary.Operation)
			}
			before := snapshots(t, cat)
			if again, err := insertEvents(t, cat, in, o, rows...); err != nil || again.Status != writer.Unchanged || snapshots(t, cat) != before {
				rt.Fatalf("a rerun: %+v, %v", again, err)
			}
			wantLitter(t, cat, 0)
		}
		if latest || !rapid.Bool().Draw(rt, "in pieces") {
			return
		}
		// Row by row it is the same table.
		var all []event
		whole, pieces := eventTable(t, version, typ, by), eventTable(t, version, typ, by)
		for i := range 9 {
			all = append(all, event{rapid.Int64Range(1, 3).Draw(rt, "id"), rapid.Int64Range(-1, 3).Draw(rt, "day") * 20, int64(i)})
		}
		if _, err := insertEvents(t, whole, in, writer.Options{}, all...); err != nil {
			rt.Fatal(err)
		}
		for piece := range slices.Chunk(all, rapid.IntRange(3, 8).Draw(rt, "piece")) {
			if _, err := insertEvents(t, pieces, in, writer.Options{}, piece...); err != nil {
				rt.Fatal(err)
			}
		}
		if a, b := scanEvents(t, whole), scanEvents(t, pieces); !slices.Equal(a, b) {
			rt.Fatalf("in one load %v, in pieces %v", a, b)
		}
	})
}

// 400,000 rows with one key, into a table with as many: were each compared with each, even once, the test would not
// end within a run's time. It is not timed: it ends.
func TestInsertOfOneKeyManyTimes(t *testing.T) {
	const count = 400_000
	cat := eventTable(t, 2, iceberg.PrimitiveTypes.TimestampTz, "")
	tbl := current(t, cat)
	var events []event
	for i := range int64(count) {
		at := i * 7_919 % count // in no order, neither of times nor of n
		events = append(events, event{1, 25 * at, i * 104_729 % count / 2})
	}
	load := func(window time.Duration) writer.Result {
		t.Helper()
		o := writer.Options{Insert: &writer.Insert{Key: []string{"id"}, LatestBy: "n", EventTime: "ts", Window: window}, Publish: quick(), SpillDir: t.TempDir()}
		res, err := writer.Load(t.Context(), cat, tbl, eventBatches(t, tbl.Schema(), 50_000, events), o)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if res := load(24 * time.Hour); res.RowsInserted != count {
		t.Errorf("%d rows are no copies, and %d were inserted", count, res.RowsInserted)
	}
	if res := load(24 * time.Hour); res.RowsUnchanged != count {
		t.Errorf("%d rows are there, and %d were found", count, res.RowsUnchanged)
	}
	for i := range events {
		events[i].n, events[i].hour = int64(i), events[i].hour%25_000
	}
	if res := load(math.MaxInt64); res.RowsUnchanged != 1 || res.DuplicatesDropped != count-1 {
		t.Errorf("all rows are copies of one, and %d were found, %d dropped", res.RowsUnchanged, res.DuplicatesDropped)
	}
}

// With a window only files are read that may hold a time within it, and none are read again that a lost race
// leaves where they were.
func TestInsertReadsTheWindow(t *testing.T) {
	for _, by := range []string{"day(ts)", ""} { // by partition, and by bounds
		t.Run(by, func(t *testing.T) {
			cat := eventTable(t, 2, iceberg.PrimitiveTypes.TimestampTz, by)
			for day := range int64(10) {
				if _, err := insertEvents(t, cat, writer.Insert{}, writer.Options{}, event{100 - day, 24*day + 1, 0}, event{day, 24*day + 2, 0}); err != nil {
					t.Fatal(err)
				}
			}
			in := writer.Insert{EventTime: "ts", Window: 24 * time.Hour}
			res, err := insertEvents(t, cat, in, writer.Options{DryRun: true}, event{5, 24*5 + 2, 1}, event{42, 24*5 + 3, 1})
			if err != nil {
				t.Fatal(err)
			}
			if p := res.Matched; res.Status != writer.Planned || p.Considered != 10 || p.Pruned != 7 || p.Read != 3 || res.RowsInserted != 1 || res.RowsUnchanged != 1 || res.RowsLate != 1 {
				t.Errorf("%+v, %+v", res, p)
			}
			wantLitter(t, cat, 0)

			// Another run is faster, with one of the rows, and a copy out of the window of the other.
			rival := &beside{Catalog: cat, first: func() {
				if _, err := insertEvents(t, cat, writer.Insert{}, writer.Options{}, event{42, 24*5 + 4, 7}, event{43, 1000, 7}); err != nil {
					t.Error(err)
				}
			}}
			res, err = insertEvents(t, rival, in, writer.Options{}, event{5, 24*5 + 2, 1}, event{42, 24*5 + 3, 1}, event{43, 24*5 + 3, 1})
			if err != nil {
				t.Fatal(err)
			}
			if res.Attempts != 2 || res.RowsInserted != 1 || res.RowsUnchanged != 2 || res.FilesRead != 4 {
				t.Errorf("%d attempts, %d inserted, %d there, %d files read", res.Attempts, res.RowsInserted, res.RowsUnchanged, res.FilesRead)
			}
			wantLitter(t, cat, 0)
		})
	}
}

// beside has another run commit before the first commit.
type beside struct {
	publish.Catalog
	first func()
}

func (b *beside) CommitTable(ctx context.Context, id table.Identifier, r []table.Requirement, u []table.Update) (table.Metadata, string, error) {
	if f := b.first; f != nil {
		b.first = nil
		f()
	}
	return b.Catalog.CommitTable(ctx, id, r, u)
}

// Eight writers insert rows with the same keys at the same time: each key gets in once, whoever won which race.
func TestConcurrentInsertsMakeNoDuplicates(t *testing.T) {
	const writers, keys = 8, 30
	for version := 1; version <= 3; version++ {
		t.Run(fmt.Sprint("v", version), func(t *testing.T) {
			cat := eventTable(t, version, iceberg.PrimitiveTypes.TimestampTz, "bucket(3, id)")
			var inserted, lost [writers]int64
			var g errgroup.Group
			for w := range writers {
				g.Go(func() error {
					for round := range 2 {
						var rows []event
						for id := range int64(keys) {
							if (int(id)+w+round)%3 > 0 {
								rows = append(rows, event{id, 0, int64(w)})
							}
						}
						in := writer.Insert{}
						if w%2 > 0 {
							in.EventTime, in.Window = "ts", time.Hour
						}
						res, err := insertEvents(t, cat, in, writer.Options{}, rows...)
						if err != nil {
							return err
						}
						inserted[w] += res.RowsInserted
						lost[w] += int64(res.Attempts - 1)
					}
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			rows := scanEvents(t, cat)
			sum := int64(0)
			for _, n := range inserted {
				sum += n
			}
			ids := slices.CompactFunc(slices.Clone(rows), func(a, b event) bool { return a.id == b.id })
			if len(rows) != keys || len(ids) != keys || sum != keys {
				t.Errorf("%d rows with %d keys, and %d were inserted, want %d", len(rows), len(ids), sum, keys)
			}
			if slices.Max(lost[:]) == 0 {
				t.Error("nobody lost a race, so nothing was tried")
			}
			wantLitter(t, cat, 0)
		})
	}
}

// A zombie hangs between its input and its commit, while its retry lands: it then finds its keys, and adds nothing.
// Where the retry had a corrected input and the run has a name, the zombie is fenced off.
func TestInsertZombies(t *testing.T) {
	for _, named := range []bool{true, false} {
		cat := newTable(t, "")
		o := func(started time.Time) writer.Options {
			o := writer.Options{Insert: &writer.Insert{Key: []string{"id"}}, Started: started, Publish: quick()}
			if named {
				o.RunKey = "day 1"
			}
			return o
		}
		seen, now := current(t, cat), time.Now()
		mustLoad(t, cat, o(now.Add(time.Second)), row{1, "ea", 1})
		res, err := writer.Load(t.Context(), cat, seen, batches(t, memory.DefaultAllocator, 3, nil, row{1, "ea", 1}), o(now))
		if err != nil && !errors.Is(err, publish.ErrSuperseded) || err == nil && res.Status != writer.Unchanged {
			t.Errorf("the zombie of the same input: %+v, %v", res, err)
		}
		_, err = writer.Load(t.Context(), cat, seen, batches(t, memory.DefaultAllocator, 3, nil, row{1, "ea", 1}, row{2, "wrong", 1}), o(now))
		if errors.Is(err, publish.ErrSuperseded) != named {
			t.Errorf("named %v, the zombie of another input: %v", named, err)
		}
		if got := scan(t, cat); named != slices.Equal(got, []row{{1, "ea", 1}}) {
			t.Errorf("named %v: %v", named, got)
		}
		wantLitter(t, cat, 0)
	}
}

func TestInsertRefuses(t *testing.T) {
	cat := eventTable(t, 2, iceberg.PrimitiveTypes.TimestampTz, "")
	for _, c := range []struct {
		in   writer.Insert
		is   error
		want string
	}{
		{writer.Insert{EventTime: "tss"}, merge.ErrColumn, `--event-time: the table has no column "tss"`},
		{writer.Insert{EventTime: "n"}, merge.ErrColumn, `--event-time: column "n" is a long, and tells no time`},
		{writer.Insert{LatestBy: "n"}, merge.ErrKey, "rows with one key and one n differ: id=1 (events.ndjson: row 1, events.ndjson: row 2)"},
		{writer.Insert{LatestBy: "n", EventTime: "ts", Window: time.Hour}, merge.ErrKey, "rows with one key and one n differ: id=1 (events.ndjson: row 1, events.ndjson: row 2)"},
	} {
		_, err := insertEvents(t, cat, c.in, writer.Options{}, event{1, 0, 0}, event{1, 1, 0})
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: error %v", c.in, err)
		}
		wantLitter(t, cat, 0)
	}
}
