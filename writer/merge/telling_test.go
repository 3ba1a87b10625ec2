package merge_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/merge"
	"github.com/icewright/icewright/writer/slice"
)

// What is compared: numbers with many values and with few, texts, and how new a row is.
var telling = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64},
	iceberg.NestedField{ID: 2, Name: "amount", Type: iceberg.PrimitiveTypes.Int64},
	iceberg.NestedField{ID: 3, Name: "status", Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 4, Name: "note", Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 5, Name: "at", Type: iceberg.PrimitiveTypes.Int32},
)

// order is a row of it. Negative numbers, and empty texts, are null.
type order struct {
	id, amount   int64
	status, note string
	at           int32
}

func orderBatch(t testing.TB, source string, first int, orders []order, absent ...int) arrowconv.Batch {
	t.Helper()
	as, err := arrowconv.ArrowSchema(telling)
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, as)
	defer b.Release()
	for _, o := range orders {
		b.Field(0).(*array.Int64Builder).Append(o.id)
		for i, null := range [...]bool{o.amount < 0, o.status == "", o.note == "", o.at < 0} {
			if null || slices.Contains(absent, i+1) {
				b.Field(i + 1).AppendNull()
				continue
			}
			switch f := b.Field(i + 1).(type) {
			case *array.Int64Builder:
				f.Append(o.amount)
			case *array.Int32Builder:
				f.Append(o.at)
			case *array.StringBuilder:
				f.Append([...]string{1: o.status, 2: o.note}[i])
			}
		}
	}
	return arrowconv.Batch{RecordBatch: b.NewRecordBatch(), Source: source, FirstRow: int64(first), Absent: absent}
}

// ordersTable has the rows of files, one file each, in row groups of 100.
func ordersTable(t testing.TB, version int, files ...[]order) (*catalog.Catalog, *table.Table) {
	t.Helper()
	cat := testcat.New(t)
	tbl, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{
		Schema: telling, FormatVersion: version, Props: iceberg.Properties{"write.parquet.row-group-limit": "100"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for n, rows := range files {
		b := orderBatch(t, "in", 1, rows)
		in := func(yield func(arrowconv.Batch, error) bool) { yield(b, nil) }
		if _, err := writer.Load(t.Context(), cat, tbl, in, writer.Options{Append: &writer.Append{}, RunKey: fmt.Sprint(n)}); err != nil {
			t.Fatal(err)
		}
		if tbl, err = cat.LoadTable(t.Context(), ident); err != nil {
			t.Fatal(err)
		}
	}
	return cat, tbl
}

// liveFiles are those of the table.
func liveFiles(t testing.TB, cat *catalog.Catalog) (*table.Table, *live.Files) {
	t.Helper()
	tbl, err := cat.LoadTable(t.Context(), ident)
	if err != nil {
		t.Fatal(err)
	}
	files, err := live.Read(t.Context(), tbl, tbl.CurrentSnapshot(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return tbl, files
}

// matched is what an input means for a table, and what it would write: all rows, as texts.
func matched(t testing.TB, tbl *table.Table, o merge.Options, batches []func() arrowconv.Batch) (plan *merge.Plan, written []string, m *merge.Matcher) {
	t.Helper()
	in, err := merge.NewInput(telling, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close() })
	for _, b := range batches {
		if err := in.Add(b()); err != nil {
			t.Fatal(err)
		}
	}
	if err := in.Seal(); err != nil {
		t.Fatal(err)
	}
	m = merge.NewMatcher(in)
	t.Cleanup(m.Close)
	if plan, err = m.Match(t.Context(), tbl, tbl.CurrentSnapshot()); err != nil {
		t.Fatal(err)
	}
	s, err := in.Written(plan, live.WithLineage(tbl))
	if err != nil {
		t.Fatal(err)
	}
	for b, err := range s.Batches {
		if err != nil {
			t.Fatal(err)
		}
		sel, err := s.Pick(b.RecordBatch)
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(b.NumRows()) {
			if sel != nil && !sel.Inside(i) {
				continue
			}
			row := ""
			for c := range int(b.NumCols()) {
				row += b.Column(c).ValueStr(i) + "|"
			}
			written = append(written, row)
		}
		b.Release()
	}
	return plan, written, m
}

// A merge that trusts a column to tell plans and writes what one does that compares all of them: whatever changes, whatever the
// first hits suggest, with rows that are equal, stale, deleted or lack columns, beside deletes, and whether keys and rows are spilled or not.
func TestAColumnThatTellsChangesNothing(t *testing.T) {
	defer merge.RowGroupsOfAllFiles()()
	looks, misses := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		statuses := []string{"open", "paid", "sent", ""}
		draw := func(id int64) order {
			return order{
				id, rapid.Int64Range(-1, 100_000).Draw(rt, "amount"), rapid.SampledFrom(statuses).Draw(rt, "status"),
				rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "note"), rapid.Int32Range(-1, 50).Draw(rt, "at"),
			}
		}
		n := rapid.IntRange(20, 400).Draw(rt, "rows")
		rows := make([]order, n)
		for i := range rows {
			rows[i] = draw(int64(i))
		}
		cut := rapid.IntRange(0, n).Draw(rt, "second file from")
		_, tbl := ordersTable(t, rapid.IntRange(2, 3).Draw(rt, "version"), rows[:cut], rows[cut:])

		// What changes is a matter of the column: always, mostly, now and then, or never.
		rate := func(column string) int {
			return rapid.SampledFrom([]int{0, 1, 50, 99, 100}).Draw(rt, "changes of "+column)
		}
		rates := [...]int{rate("amount"), rate("status"), rate("note"), rate("at")}
		share := rapid.SampledFrom([]int{2, 70, 100}).Draw(rt, "share that is hit") // few of a batch are picked from it
		var changes []order
		for _, o := range rows {
			if rapid.IntRange(0, 99).Draw(rt, "hit") >= share {
				continue
			}
			fresh := draw(o.id)
			changed := func(i int) bool { return rapid.IntRange(0, 99).Draw(rt, "roll") < rates[i] }
			if changed(0) {
				o.amount = fresh.amount + 1
			}
			if changed(1) {
				o.status = fresh.status
			}
			if changed(2) {
				o.note = fresh.note
			}
			if changed(3) {
				o.at = fresh.at + 1
			}
			changes = append(changes, o)
		}
		changes = append(changes, draw(int64(n+1)))
		changes = rapid.Permutation(changes).Draw(rt, "order")
		var batches []func() arrowconv.Batch
		at := 0
		for at < len(changes) {
			end := min(len(changes), at+rapid.IntRange(1, 200).Draw(rt, "batch"))
			some, first, source := changes[at:end], at+1, "one"
			var absent []int
			if rapid.IntRange(0, 3).Draw(rt, "another source") == 0 {
				source, absent = "another", []int{rapid.SampledFrom([]int{2, 3}).Draw(rt, "lacks")}
			}
			batches = append(batches, func() arrowconv.Batch { return orderBatch(t, source, first, some, absent...) })
			at = end
		}
		o := merge.Options{Key: []string{"id"}, SpillDir: t.TempDir(), Workers: rapid.IntRange(1, 3).Draw(rt, "workers")}
		if rapid.Bool().Draw(rt, "newer") {
			o.IfNewer = "at"
		}
		if rapid.Bool().Draw(rt, "ignore") {
			o.Ignore = []string{"note"}
		}
		if rapid.Bool().Draw(rt, "deletes") {
			sel, err := slice.Parse("amount < 20000", telling, time.UTC)
			if err != nil {
				rt.Fatal(err)
			}
			o.DeleteWhen = sel
		}
		if rapid.IntRange(0, 3).Draw(rt, "spills") == 0 {
			o.Memory = rapid.Int64Range(2_000, 20_000).Draw(rt, "memory")
		}

		undo := merge.TellAfter(1 << 30)
		whole, wrote, _ := matched(t, tbl, o, batches)
		undo()
		undo = merge.TellAfter(rapid.IntRange(1, 20).Draw(rt, "tell after"))
		defer undo()
		told, tells, m := matched(t, tbl, o, batches)
		_, helped, failed := m.Told()
		looks, misses = looks+helped, misses+failed

		if !slices.Equal(whole.Outcomes, told.Outcomes) || whole.Counts != told.Counts {
			rt.Fatalf("outcomes %v, and with a column that tells %v", whole.Counts, told.Counts)
		}
		for i, f := range whole.Matches {
			if !slices.Equal(f.Hits, told.Matches[i].Hits) {
				rt.Fatalf("hits of %s: %v, and with a column that tells %v", f.DataFile().FilePath(), f.Hits, told.Matches[i].Hits)
			}
		}
		if !slices.Equal(wrote, tells) {
			rt.Fatalf("written are\n%q, and with a column that tells\n%q", wrote, tells)
		}
	})
	if looks == 0 || misses == 0 {
		t.Errorf("a column told all of %d sections, and not of %d: both are to be seen", looks, misses)
	}
}

// Of the columns that differ in all first hits the one is read that says most and takes least: a column of a few values that
// happened to differ is not trusted.
func TestWhichColumnTells(t *testing.T) {
	defer merge.RowGroupsOfAllFiles()()
	rows := make([]order, 2000)
	for i := range rows {
		rows[i] = order{int64(i), int64(uint32(i) * 2654435761 >> 8), []string{"open", "paid"}[i%2], fmt.Sprintf("a note that is long, and has number %d", i), int32(i % 10)}
	}
	for _, c := range []struct {
		name   string
		change func(*order)
		want   string
	}{
		{"amounts", func(o *order) { o.amount += 1 << 30; o.note += "!"; o.status = "sent"; o.at++ }, "status"}, // a new status for all
		{"the other status", func(o *order) {
			o.status = map[string]string{"open": "paid", "paid": "open"}[o.status]
			o.amount += 1 << 30
		}, "amount"},
		{"notes", func(o *order) { o.note += "!"; o.at = 9 - o.at }, "note"},
		{"some stay", func(o *order) {
			if o.id%50 > 0 {
				o.amount += 1 << 30
			}
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, tbl := ordersTable(t, 2, rows)
			var changes []order
			for i := 0; i < len(rows); i += 2 {
				o := rows[i+i/2%2]
				c.change(&o)
				changes = append(changes, o)
			}
			p, _, m := matched(t, tbl, merge.Options{Key: []string{"id"}, Workers: 1}, []func() arrowconv.Batch{func() arrowconv.Batch { return orderBatch(t, "in", 1, changes) }})
			if got := p.Counts[merge.Updated] + p.Counts[merge.Unchanged]; got != int64(len(changes)) {
				t.Errorf("%d of %d rows were hit", got, len(changes))
			}
			if told, helped, _ := m.Told(); told != c.want || (helped == 0) != (c.want == "") {
				t.Errorf("%q tells, of all of %d row groups, want %q", told, helped, c.want)
			}
		})
	}
}

// Hits are sampled until a column is known to tell, and not for ever where nothing can be learned: with rows that are not in
// memory, or ones that are equal. Where all hits of a row group are deletes nothing else is read of it.
func TestSamplingEnds(t *testing.T) {
	defer merge.RowGroupsOfAllFiles()()
	rows := make([]order, 10_000)
	for i := range rows {
		rows[i] = order{int64(i), int64(i) * 7, "open", fmt.Sprintf("note %d", i), int32(i % 10)}
	}
	_, tbl := ordersTable(t, 2, rows) // 100 row groups
	changed := func(change func(*order)) (batches []func() arrowconv.Batch) {
		var all []order
		for _, o := range rows {
			change(&o)
			all = append(all, o)
		}
		for some := range slices.Chunk(all, 5000) {
			batches = append(batches, func() arrowconv.Batch { return orderBatch(t, "in", 1, some) })
		}
		return batches
	}
	gone, err := slice.Parse("status = 'gone'", telling, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name            string
		o               merge.Options
		change          func(*order)
		sampled, looked int
	}{
		{"amounts", merge.Options{}, func(o *order) { o.amount += 1 << 30 }, 1, 100},
		{"spilled", merge.Options{Memory: 400_000}, func(o *order) { o.amount += 1 << 30 }, 0, 0},
		{"equal", merge.Options{}, func(*order) {}, 1, 0},
		{"half are deletes", merge.Options{DeleteWhen: gone}, func(o *order) {
			if o.amount += 1 << 30; o.id >= 5000 {
				o.status = "gone"
			}
		}, 1, 50},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Key, c.o.Workers, c.o.SpillDir = []string{"id"}, 1, t.TempDir()
			_, _, m := matched(t, tbl, c.o, changed(c.change))
			if _, looked, failed := m.Told(); m.Sampled() > c.sampled || looked != c.looked || failed > 0 {
				t.Errorf("%d row groups were sampled, a column told in %d and not in %d, want %d and %d", m.Sampled(), looked, failed, c.sampled, c.looked)
			}
		})
	}
}

// A sample has the types that the input's rows have, whatever a file stores them as: else no column would ever tell.
func TestSampleHasTheTypesOfTheInput(t *testing.T) {
	p := iceberg.PrimitiveTypes
	var fields []iceberg.NestedField
	for i, typ := range []iceberg.Type{
		p.Int64, p.Int32, p.Bool, p.Float32, p.Float64, p.Timestamp, p.TimestampTz, p.Date, p.Time, p.String, p.Binary, p.UUID,
		iceberg.DecimalTypeOf(9, 2), iceberg.DecimalTypeOf(18, 2), iceberg.DecimalTypeOf(30, 2), iceberg.FixedTypeOf(3),
	} {
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: fmt.Sprintf("c%d", i+1), Type: typ})
	}
	all := iceberg.NewSchema(0, fields...)
	as, err := arrowconv.ArrowSchema(all)
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, as)
	defer b.Release()
	for _, f := range b.Fields() {
		f.AppendEmptyValue()
		f.AppendNull()
	}
	rec := b.NewRecordBatch()
	cat := testcat.New(t)
	made, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: all})
	if err != nil {
		t.Fatal(err)
	}
	in := func(yield func(arrowconv.Batch, error) bool) {
		yield(arrowconv.Batch{RecordBatch: rec, Source: "in", FirstRow: 1}, nil)
	}
	if _, err := writer.Load(t.Context(), cat, made, in, writer.Options{ReplaceTable: true}); err != nil {
		t.Fatal(err)
	}
	tbl, files := liveFiles(t, cat)
	var ids []int
	for _, f := range fields {
		ids = append(ids, f.ID)
	}
	sample := files.Data[0].Sample(t.Context(), tbl, 0, 100, ids)
	for i, f := range fields {
		if arr := sample[f.ID]; arr == nil || arr.Len() != 2 || !arrow.TypeEqual(arr.DataType(), as.Field(i).Type) {
			t.Errorf("%s: the sample is %v, want two of %s", f.Type, arr, as.Field(i).Type)
		} else {
			arr.Release()
		}
	}
}

// A guess comes to no harm by a file of which any byte is wrong: at most it has nothing to go by.
func TestSampleOfASpoiltFile(t *testing.T) {
	as, err := arrowconv.ArrowSchema(textKeys)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int
	for id := range 300 {
		ids = append(ids, id)
	}
	rec := idBatch(as, ids)
	sampled := 0
	for at := 1; ; at += 19 {
		past := false
		cat := addForeign(t, catalog.TableSpec{Schema: textKeys}, []arrow.RecordBatch{rec}, func(file []byte) {
			if past = at >= len(file)-8; !past { // the last eight are the footer's length, and what it takes to be a file
				file[at] ^= 0x55
			}
		})
		tbl, files := liveFiles(t, cat)
		for id, arr := range files.Data[0].Sample(t.Context(), tbl, 0, 100, []int{1, 2}) {
			if arr.Len() > 100 {
				t.Errorf("byte %d: column %d has %d rows", at, id, arr.Len())
			}
			sampled++
			arr.Release()
		}
		if past {
			break
		}
	}
	if sampled < 2 {
		t.Error("nothing was ever sampled")
	}
}
