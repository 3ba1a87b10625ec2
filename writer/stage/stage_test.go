package stage

import (
	"bytes"
	stdcmp "cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/go-cmp/cmp"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/slice"
)

func TestRowsComeBackAsTheyWent(t *testing.T) {
	for _, by := range []string{"", "s", "bucket(4, u), day(tz)", "truncate(3, s), b", "month(ts), i", "hour(ts)", "year(date)", "dec18", "bin", "fix", "time", "d"} {
		t.Run(by, func(t *testing.T) {
			w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: by})
			rng := rand.New(rand.NewPCG(1, 2))
			recs := []arrow.RecordBatch{w.random(rng, 40), w.random(rng, 1), w.random(rng, 29)}
			defer release(recs)

			res := w.stage(Options{}, recs...)
			if res.RowsStaged != 70 || res.RowsRead != 70 {
				t.Errorf("staged %d of %d rows, want all 70", res.RowsStaged, res.RowsRead)
			}
			tbl := w.commit(res)
			got, sum := w.scan(tbl)
			if d := cmp.Diff(rows(recs...), got); d != "" {
				t.Errorf("rows differ (-in +scanned):\n%.2000s", d)
			}
			if sum != res.Digest {
				t.Errorf("digest of the scanned rows %s, staged %s", sum, res.Digest)
			}
			h, err := digest.NewHasher(tbl.Schema())
			if err != nil {
				t.Fatal(err)
			}
			var in digest.Sum
			for _, r := range recs {
				in = in.Add(h.Sum(r))
			}
			if in != res.Digest {
				t.Errorf("digest of the input %s, staged %s", in, res.Digest)
			}
			if l := w.litter(res); len(l) > 0 {
				t.Errorf("litter: %v", l)
			}
		})
	}
}

// content is the bytes of every staged file, without its name, in order.
func (w *world) content(res *Result) [][]byte {
	w.Helper()
	fsys, err := w.tbl.FS(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	var out [][]byte
	for _, f := range res.Files {
		b, err := fsys.(iceio.ReadFileIO).ReadFile(f.FilePath())
		if err != nil {
			w.Fatal(err)
		}
		out = append(out, append([]byte(f.Partition.Path+"\n"), b...))
	}
	return out
}

// forceSpill stages with memory that is always short: every batch and every row group goes
// through the spill file. The bounds that decide where things end stay as they are.
func (w *world) forceSpill(o Options, recs ...arrow.RecordBatch) *Result {
	w.Helper()
	return w.stageWith(o, func(s *staging) { s.plan.tracked, s.plan.blocks, s.plan.rowGroups, s.plan.pages = 0, 0, 0, 0 }, recs...)
}

// randomBatches are six batches of 600 rows.
func (w *world) randomBatches(seed *rand.PCG) (recs []arrow.RecordBatch) {
	rng := rand.New(seed)
	for range 6 {
		recs = append(recs, w.random(rng, 600))
	}
	return recs
}

// stageWith stages with bounds that set has changed.
func (w *world) stageWith(o Options, set func(*staging), recs ...arrow.RecordBatch) *Result {
	w.Helper()
	o, err := o.withDefaults()
	if err != nil {
		w.Fatal(err)
	}
	s, err := newStaging(w.Context(), w.tbl, o)
	if err != nil {
		w.Fatal(err)
	}
	set(s)
	res, err := s.run(w.Context(), batches(recs...))
	if err = errors.Join(err, s.spill.close()); err != nil {
		w.Fatal(err)
	}
	return res
}

func TestSameBytesWhateverTheTiming(t *testing.T) {
	for name, spec := range map[string]catalog.TableSpec{
		"one partition":   {},
		"many partitions": {PartitionBy: "truncate(5, s), b"},
		"sorted":          {PartitionBy: "b", SortBy: "d desc nulls last, s"},
	} {
		t.Run(name, func(t *testing.T) {
			spec.Schema = everyType()
			spec.Props = iceberg.Properties{table.WriteTargetFileSizeBytesKey: "100000"}
			w := newWorld(t, spec)
			rng := rand.New(rand.NewPCG(3, 4))
			var recs []arrow.RecordBatch
			for range 6 {
				recs = append(recs, w.random(rng, 600))
			}
			defer release(recs)
			first := w.stage(Options{Workers: 1}, recs...)
			want := w.content(first)
			if name == "one partition" && len(want) < 2 {
				t.Errorf("%d files, want several, so that their cuts are tested", len(want))
			}
			same := func(how string, res *Result) {
				t.Helper()
				if got := w.content(res); !slices.EqualFunc(got, want, bytes.Equal) {
					t.Errorf("%s: other bytes in %d files than those of one worker in %d", how, len(got), len(want))
				}
				if res.Digest != first.Digest {
					t.Errorf("%s: digest %s, want %s", how, res.Digest, first.Digest)
				}
			}
			for _, workers := range []int{2, 3, 8} {
				prev := runtime.GOMAXPROCS(workers)
				same(fmt.Sprintf("%d workers", workers), w.stage(Options{Workers: workers}, recs...))
				runtime.GOMAXPROCS(prev)
			}
			spilled := w.forceSpill(Options{Workers: 2, SpillDir: t.TempDir()}, recs...)
			if spilled.BytesSpilled == 0 {
				t.Error("nothing was spilled")
			}
			same("spilling", spilled)
		})
	}
}

// Partitions that press on the memory are encoded early, and when depends on the rows alone, too.
func TestSameBytesUnderPressure(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: "bucket(8, id)"})
	recs := w.randomBatches(rand.NewPCG(3, 4))
	defer release(recs)
	const memory = 4 << 20
	want := w.content(w.stage(Options{Workers: 1, Memory: memory}, recs...))
	if slices.EqualFunc(w.content(w.stage(Options{Workers: 1}, recs...)), want, bytes.Equal) {
		t.Error("the same bytes with plenty of memory: nothing was encoded early")
	}
	for _, workers := range []int{2, 3, 8} {
		if got := w.content(w.stage(Options{Workers: workers, Memory: memory}, recs...)); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%d workers: other bytes than those of one worker", workers)
		}
	}
	if got := w.content(w.forceSpill(Options{Memory: memory, SpillDir: t.TempDir()}, recs...)); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Error("spilling: other bytes")
	}
}

// Pages are spilled before memory runs short, and where there is no place to spill them to they stay: the files are the same. It is
// an error only where memory has no room for them.
func TestPagesAreSpilledWhereTheyCanBe(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: "bucket(8, id)"})
	recs := w.randomBatches(rand.NewPCG(5, 6))
	defer release(recs)
	nowhere := filepath.Join(t.TempDir(), "not", "there")
	o := Options{Workers: 2, Memory: 4 << 20, SpillDir: nowhere}
	kept := w.stage(o, recs...)
	none := func(s *staging) { s.plan.pages = 0 }
	o.SpillDir = t.TempDir()
	spilled := w.stageWith(o, none, recs...)
	if kept.BytesSpilled != 0 || spilled.BytesSpilled == 0 {
		t.Errorf("%d and %d bytes were spilled", kept.BytesSpilled, spilled.BytesSpilled)
	}
	o.SpillDir = nowhere
	for how, res := range map[string]*Result{"spilled": spilled, "without a spill file": w.stageWith(o, none, recs...)} {
		if !slices.EqualFunc(w.content(res), w.content(kept), bytes.Equal) {
			t.Errorf("%s: other bytes", how)
		}
	}
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStaging(t.Context(), w.tbl, o)
	if err != nil {
		t.Fatal(err)
	}
	s.plan.pages, s.plan.rowGroups = 0, 0
	if _, err = s.run(t.Context(), batches(recs...)); err == nil || !strings.Contains(err.Error(), "spill file") {
		t.Errorf("without room for pages the error is %v, want one of the spill file", err)
	}
}

func TestManyPartitionsStayWithinMemory(t *testing.T) { staysWithinMemory(t, "bucket(300, id)", 300) }

func TestOnePartitionStaysWithinMemory(t *testing.T) { staysWithinMemory(t, "", 1) }

func staysWithinMemory(t *testing.T, by string, files int) {
	schema := schemaOf(
		iceberg.NestedField{Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{Name: "s", Type: iceberg.PrimitiveTypes.String},
	)
	w := newWorld(t, catalog.TableSpec{Schema: schema, PartitionBy: by})
	dir := t.TempDir()
	const memory = 2 << 20
	o, err := Options{Memory: memory, SpillDir: dir}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	var s *staging
	peak := int64(0)
	o.Progress = func(Progress) {
		peak = max(peak, s.router.buffers.Load()+s.router.slab.capacity()+s.flying.Load()+s.encoded.Load())
	}
	if s, err = newStaging(t.Context(), w.tbl, o); err != nil {
		t.Fatal(err)
	}
	const rows, perBatch = 60_000, 2000
	id := int64(0)
	in := func(yield func(arrowconv.Batch, error) bool) {
		for range rows / perBatch {
			b := array.NewRecordBuilder(w.alloc, w.arrow)
			for range perBatch {
				b.Field(0).(*array.Int64Builder).Append(id)
				b.Field(1).(*array.StringBuilder).Append(strings.Repeat("x", int(id%120)))
				id++
			}
			rec := b.NewRecordBatch()
			b.Release()
			if !yield(arrowconv.Batch{RecordBatch: rec, Source: "many", FirstRow: 1}, nil) {
				return
			}
		}
	}
	res, err := s.run(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if res.RowsStaged != rows || len(res.Files) != files {
		t.Errorf("%d rows in %d files, want %d in %d", res.RowsStaged, len(res.Files), rows, files)
	}
	if res.BytesSpilled == 0 && files > 1 {
		t.Error("nothing was spilled, although the rows are more than the memory")
	}
	if peak > memory {
		t.Errorf("buffers took %d bytes at a time, bound is %d", peak, memory)
	}
	if err := s.spill.close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("spill directory holds %v (%v), want nothing", left, err)
	}
	if got, sum := w.scan(w.commit(res)); len(got) != rows || sum != res.Digest {
		t.Errorf("%d rows scanned with digest %s, staged %d with %s", len(got), sum, rows, res.Digest)
	}
}

func TestFilesRollAtTheTargetSize(t *testing.T) {
	schema := schemaOf(iceberg.NestedField{Name: "id", Type: iceberg.PrimitiveTypes.Int64}, iceberg.NestedField{Name: "r", Type: iceberg.PrimitiveTypes.Float64})
	const target = 200_000
	w := newWorld(t, catalog.TableSpec{Schema: schema, Props: iceberg.Properties{table.WriteTargetFileSizeBytesKey: fmt.Sprint(target)}})
	rng := rand.New(rand.NewPCG(5, 6))
	var recs []arrow.RecordBatch
	for range 10 {
		recs = append(recs, w.random(rng, 10_000))
	}
	defer release(recs)
	res := w.stage(Options{}, recs...)
	for i, f := range res.Files {
		if f.FileSizeBytes() > target*11/10+10_000 { // the footer comes on top
			t.Errorf("file %d has %d bytes, more than a tenth above the target of %d", i, f.FileSizeBytes(), target)
		}
		if last := i == len(res.Files)-1; !last && f.FileSizeBytes() < target/2 {
			t.Errorf("file %d has %d bytes, less than half the target of %d", i, f.FileSizeBytes(), target)
		}
	}
	if len(res.Files) < 3 {
		t.Errorf("%d files, want several", len(res.Files))
	}
}

// A null and the text "null" are two partitions, and so are all other values that look odd in
// a path.
func TestOddPartitionValuesStayApart(t *testing.T) {
	odd := append([]string{"NULL", "a", "a ", "%2F", "a%2Fb", "a\\b", "\t", "'", "\"", "é", "e\u0301"}, awkwardTexts...)
	schema := schemaOf(iceberg.NestedField{Name: "s", Type: iceberg.PrimitiveTypes.String}, iceberg.NestedField{Name: "n", Type: iceberg.PrimitiveTypes.Int64})
	w := newWorld(t, catalog.TableSpec{Schema: schema, PartitionBy: "s"})
	b := array.NewRecordBuilder(w.alloc, w.arrow)
	b.Field(0).AppendNull()
	b.Field(1).(*array.Int64Builder).Append(-1)
	for i, s := range odd {
		b.Field(0).(*array.StringBuilder).Append(s)
		b.Field(1).(*array.Int64Builder).Append(int64(i))
	}
	rec := b.NewRecordBatch()
	b.Release()
	defer rec.Release()

	res := w.stage(Options{}, rec)
	if len(res.Files) != len(odd)+1 {
		t.Errorf("%d files, want one for each of %d values", len(res.Files), len(odd)+1)
	}
	keys := map[string]bool{}
	for _, f := range res.Files {
		keys[f.Partition.Key] = true
		if f.Count() != 1 {
			t.Errorf("partition %q has %d rows, want 1", f.Partition.Path, f.Count())
		}
		if id := f.SortOrderID(); id == nil || *id != table.UnsortedSortOrderID {
			t.Errorf("sort_order_id %v in a table without an order", id)
		}
	}
	if len(keys) != len(res.Files) {
		t.Errorf("%d partition keys for %d files", len(keys), len(res.Files))
	}
	if got, _ := w.scan(w.commit(res)); !slices.Equal(got, rows(rec)) {
		t.Errorf("rows differ: %s", cmp.Diff(rows(rec), got))
	}
	// iceberg-go's own manifest list loses the bound that is the empty text, and with it every
	// row to a filter: what publishes has to mend that. Here, the empty text stays out.
	w = newWorld(t, catalog.TableSpec{Schema: schema, PartitionBy: "s"})
	all := w.stage(Options{}, rec)
	all.Files = slices.DeleteFunc(all.Files, func(f slice.StagedFile) bool { return f.Partition.Path == "s=" })
	tbl := w.commit(all)
	for i, s := range odd {
		if s == "" {
			continue
		}
		_, seq, err := tbl.Scan(table.WithRowFilter(iceberg.EqualTo(iceberg.Reference("s"), s))).ToArrowRecords(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for r, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, rows(r)...)
			r.Release()
		}
		if want := fmt.Sprintf("s=%s|n=%d|", s, i); len(got) != 1 || got[0] != want {
			t.Errorf("rows with s = %q: %q, want %q", s, got, want)
		}
	}
}

func TestRowsOutsideTheSlice(t *testing.T) {
	schema := schemaOf(iceberg.NestedField{Name: "d", Type: iceberg.PrimitiveTypes.Date}, iceberg.NestedField{Name: "n", Type: iceberg.PrimitiveTypes.Int64})
	w := newWorld(t, catalog.TableSpec{Schema: schema, PartitionBy: "d"})
	rec := w.fromJSON(`[{"d": "2024-01-15", "n": 1}, {"d": "2024-01-16", "n": 2}, {"d": null, "n": 3}, {"d": "2024-01-15", "n": 4}]`)
	defer rec.Release()
	sl, err := slice.Parse("d = '2024-01-15'", w.tbl.Schema(), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Stage(t.Context(), w.tbl, batches(rec), Options{Slice: sl})
	if !errors.Is(err, ErrOutside) {
		t.Fatalf("error %v, want ErrOutside", err)
	}
	for _, part := range []string{"rows.csv: rows 2, 3", "2024-01-15"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
	var hint interface{ Hint() string }
	if !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "--outside drop") {
		t.Error("no hint of --outside drop")
	}
	if l := w.litter(nil); len(l) > 0 {
		t.Errorf("litter: %v", l)
	}
	res := w.stage(Options{Slice: sl, Outside: OutsideDrop}, rec)
	if res.RowsRead != 4 || res.RowsStaged != 2 || res.RowsFiltered != 2 || len(res.Files) != 1 {
		t.Errorf("read %d, staged %d, filtered %d, in %d files; want 4, 2, 2, 1", res.RowsRead, res.RowsStaged, res.RowsFiltered, len(res.Files))
	}
}

func TestNullInRequiredColumnNamesTheRow(t *testing.T) {
	st := &iceberg.StructType{FieldList: []iceberg.NestedField{{ID: 10, Name: "x", Type: iceberg.PrimitiveTypes.Int64, Required: true}}}
	schema := schemaOf(
		iceberg.NestedField{Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{Name: "p", Type: st},
		iceberg.NestedField{Name: "l", Type: &iceberg.ListType{ElementID: 11, Element: iceberg.PrimitiveTypes.Int64, ElementRequired: true}},
	)
	for _, c := range []struct{ rows, want string }{
		{`[{"id": 1}, {"id": 2, "p": {"x": 1}, "l": [1]}]`, ""},
		{`[{"id": 1}, {"p": {"x": 1}}]`, `rows.csv: row 9: column "id": null in a required column`},
		{`[{"id": 1}, {"id": 2, "p": {"x": null}}]`, `rows.csv: row 9: column "p.x": null`},
		{`[{"id": 1, "l": [3, null]}]`, `rows.csv: row 6: column "l.element": null`},
	} {
		w := newWorld(t, catalog.TableSpec{Schema: schema})
		rec := w.fromJSON(c.rows)
		in := func(yield func(arrowconv.Batch, error) bool) {
			rec.Retain()
			yield(arrowconv.Batch{RecordBatch: rec, Source: "rows.csv", FirstRow: 6, Rejected: []int64{7, 8}}, nil)
		}
		res, err := Stage(t.Context(), w.tbl, in, Options{})
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.rows, err)
		case c.want == "" && (res.RowsRead != 4 || res.RowsRejected != 2):
			t.Errorf("read %d, rejected %d, want 4, 2", res.RowsRead, res.RowsRejected)
		case c.want != "" && (!errors.Is(err, arrowconv.ErrInput) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: error %v, want %s", c.rows, err, c.want)
		}
		rec.Release()
	}
}

func TestSortedFiles(t *testing.T) {
	schema := schemaOf(
		iceberg.NestedField{Name: "p", Type: iceberg.PrimitiveTypes.Int32},
		iceberg.NestedField{Name: "r", Type: iceberg.PrimitiveTypes.Float64},
		iceberg.NestedField{Name: "s", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{Name: "seq", Type: iceberg.PrimitiveTypes.Int64},
	)
	w := newWorld(t, catalog.TableSpec{Schema: schema, PartitionBy: "truncate(1000, p)", SortBy: "r asc nulls last, truncate(2, s) desc nulls first"})
	b := array.NewRecordBuilder(w.alloc, w.arrow)
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range 4000 {
		b.Field(0).(*array.Int32Builder).Append(int32(rng.IntN(2)))
		appendRandom(rng, b.Field(1), arrow.Field{Nullable: true})
		appendRandom(rng, b.Field(2), arrow.Field{Nullable: true})
		b.Field(3).(*array.Int64Builder).Append(int64(i))
	}
	rec := b.NewRecordBatch()
	b.Release()
	defer rec.Release()
	halves := []arrow.RecordBatch{rec.NewSlice(0, 1500), rec.NewSlice(1500, 4000)}
	defer release(halves)
	res := w.stage(Options{}, halves...)
	order := w.tbl.SortOrder()
	for _, f := range res.Files {
		if id := f.SortOrderID(); id == nil || *id != order.OrderID() {
			t.Errorf("sort_order_id %v, want %d", id, order.OrderID())
		}
	}
	tbl := w.commit(res)
	_, seq, err := tbl.Scan().ToArrowRecords(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		r   *float64
		s   *string
		seq int64
	}
	var all []row
	for r, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(r.NumRows()) {
			var x row
			if c := r.Column(1).(*array.Float64); c.IsValid(i) {
				v := c.Value(i)
				x.r = &v
			}
			if c := r.Column(2); c.IsValid(i) {
				v := string([]rune(c.ValueStr(i))[:min(2, len([]rune(c.ValueStr(i))))])
				x.s = &v
			}
			x.seq = r.Column(3).(*array.Int64).Value(i)
			all = append(all, x)
		}
		r.Release()
	}
	rank := func(v *float64) (int, float64) {
		switch {
		case v == nil:
			return 3, 0
		case *v != *v:
			return 2, 0
		case *v == 0 && math.Signbit(*v):
			return 1, -5e-324 // below 0.0
		}
		return 1, *v
	}
	less := func(a, b row) int {
		ar, av := rank(a.r)
		br, bv := rank(b.r)
		if c := stdcmp.Or(stdcmp.Compare(ar, br), stdcmp.Compare(av, bv)); c != 0 {
			return c
		}
		switch {
		case a.s == nil && b.s == nil:
		case a.s == nil:
			return -1
		case b.s == nil:
			return 1
		case *a.s != *b.s:
			return strings.Compare(*b.s, *a.s)
		}
		return stdcmp.Compare(a.seq, b.seq)
	}
	if len(all) != 4000 || len(res.Files) != 1 {
		t.Fatalf("%d rows in %d files, want 4000 in 1", len(all), len(res.Files))
	}
	if !slices.IsSortedFunc(all, less) {
		t.Error("the rows of the file are not in the table's sort order, or not in input order where that leaves it open")
	}
}
