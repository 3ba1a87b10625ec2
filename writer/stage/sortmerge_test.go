package stage

import (
	"bytes"
	stdcmp "cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
)

// Whatever a table is sorted by, and whatever little memory there is to do it in, its rows come in the order of a
// plain stable sort by iceberg-go's own transforms, one value after the other.
func TestSortsAsAPlainSortDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var fields []iceberg.NestedField
		var terms []string
		var plain []plainField
		for i := range rapid.IntRange(1, 3).Draw(rt, "fields") {
			f := drawSortField(rt)
			f.column = i
			name := fmt.Sprintf("c%d", i)
			fields = append(fields, iceberg.NestedField{Name: name, Type: f.typ})
			terms = append(terms, f.term(name))
			plain = append(plain, f)
		}
		fields = append(fields, iceberg.NestedField{Name: "seq", Type: iceberg.PrimitiveTypes.Int64}, iceberg.NestedField{Name: "filler", Type: iceberg.PrimitiveTypes.String})
		w := newWorld(t, catalog.TableSpec{
			Schema: schemaOf(fields...), SortBy: strings.Join(terms, ", "),
			Props: iceberg.Properties{table.WriteTargetFileSizeBytesKey: "40000"},
		})

		rows := rapid.IntRange(0, 3000).Draw(rt, "rows")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		cols := make([]arrow.Array, len(fields))
		picks := make([][]int32, len(plain))
		for i := range plain {
			cols[i], picks[i] = plain[i].draw(rt, w.arrow.Field(i).Type, rows, rng)
		}
		seq, filler := array.NewInt64Builder(memory.DefaultAllocator), array.NewStringBuilder(memory.DefaultAllocator)
		for i := range rows {
			seq.Append(int64(i))
			filler.Append(strings.Repeat("x", rng.IntN(60)))
		}
		cols[len(plain)], cols[len(plain)+1] = seq.NewArray(), filler.NewArray()
		rec := array.NewRecordBatch(w.arrow, cols, int64(rows))

		want := make([]int64, rows)
		for i := range want {
			want[i] = int64(i)
		}
		slices.SortStableFunc(want, func(a, b int64) int {
			for i, f := range plain {
				if c := f.compare(f.results[picks[i][a]], f.results[picks[i][b]]); c != 0 {
					return c
				}
			}
			return 0
		})
		o := Options{
			Memory:   rapid.SampledFrom([]int64{64 << 10, 512 << 10, 2 << 20, 1 << 30}).Draw(rt, "memory"),
			SpillDir: t.TempDir(), Workers: rapid.IntRange(1, 4).Draw(rt, "workers"),
		}
		res := w.stage(o, rec)
		if got := w.sequence(res); !slices.Equal(got, want) {
			rt.Fatalf("sorted by %s with %d bytes of memory: rows come as %v, a plain sort gives %v", strings.Join(terms, ", "), o.Memory, got, want)
		}
	})
}

// plainField is one term of a sort order, and a few values to sort by it.
type plainField struct {
	column    int
	typ       iceberg.Type
	transform iceberg.Transform
	desc      bool
	nullsLast bool
	results   []any
}

var sortTypes = []iceberg.Type{
	iceberg.PrimitiveTypes.Bool, iceberg.PrimitiveTypes.Int32, iceberg.PrimitiveTypes.Int64,
	iceberg.PrimitiveTypes.Float32, iceberg.PrimitiveTypes.Float64,
	iceberg.DecimalTypeOf(9, 2), iceberg.DecimalTypeOf(18, 4), iceberg.DecimalTypeOf(38, 3),
	iceberg.PrimitiveTypes.Date, iceberg.PrimitiveTypes.Time, iceberg.PrimitiveTypes.Timestamp, iceberg.PrimitiveTypes.TimestampTz,
	iceberg.PrimitiveTypes.String, iceberg.PrimitiveTypes.Binary, iceberg.FixedTypeOf(4), iceberg.PrimitiveTypes.UUID,
}

func drawSortField(t *rapid.T) plainField {
	f := plainField{typ: rapid.SampledFrom(sortTypes).Draw(t, "type"), desc: rapid.Bool().Draw(t, "desc"), nullsLast: rapid.Bool().Draw(t, "nulls last")}
	for _, tr := range []iceberg.Transform{
		iceberg.TruncateTransform{Width: 2}, iceberg.BucketTransform{NumBuckets: 5}, iceberg.DayTransform{}, iceberg.MonthTransform{}, iceberg.YearTransform{}, iceberg.HourTransform{},
	} {
		if tr.CanTransform(f.typ) && rapid.IntRange(0, 3).Draw(t, "transform") == 0 {
			f.transform = tr
			return f
		}
	}
	f.transform = iceberg.IdentityTransform{}
	return f
}

// term is f in the language of catalog.ParseSortBy.
func (f plainField) term(column string) string {
	out := column
	switch tr := f.transform.(type) {
	case iceberg.TruncateTransform:
		out = fmt.Sprintf("truncate(%d, %s)", tr.Width, column)
	case iceberg.BucketTransform:
		out = fmt.Sprintf("bucket(%d, %s)", tr.NumBuckets, column)
	case iceberg.IdentityTransform:
	default:
		out = fmt.Sprintf("%s(%s)", tr, column)
	}
	if f.desc {
		out += " desc"
	}
	if f.nullsLast {
		return out + " nulls last"
	}
	return out + " nulls first"
}

// draw returns a column of values from a small pool, so that there are ties, and the place in f.results of each.
func (f *plainField) draw(t *rapid.T, typ arrow.DataType, rows int, rng *rand.Rand) (arrow.Array, []int32) {
	b := array.NewBuilder(memory.DefaultAllocator, typ)
	for range rapid.IntRange(1, 40).Draw(t, "distinct values") {
		var result any
		if lit := drawLiteral(t, b, f.typ); lit != nil {
			if out := f.transform.Apply(iceberg.Optional[iceberg.Literal]{Valid: true, Val: lit}); out.Valid {
				result = out.Val.Any()
			}
		}
		f.results = append(f.results, result)
	}
	idx := array.NewInt32Builder(memory.DefaultAllocator)
	inOrder := rapid.Bool().Draw(t, "nearly in order")
	for i := range rows {
		pick := rng.IntN(len(f.results))
		if inOrder && rng.IntN(100) > 0 {
			pick = i * len(f.results) / rows
		}
		idx.Append(int32(pick))
	}
	picks := idx.NewInt32Array()
	pool := b.NewArray()
	storage := pool
	if ext, ok := pool.(array.ExtensionArray); ok {
		storage = ext.Storage()
	}
	out, err := compute.TakeArray(t.Context(), storage, picks)
	if err != nil {
		t.Fatal(err)
	}
	if ext, ok := typ.(arrow.ExtensionType); ok {
		out = array.NewExtensionArrayWithStorage(ext, out)
	}
	return out, picks.Int32Values()
}

func (f plainField) compare(a, b any) int {
	if a == nil || b == nil {
		switch {
		case a == nil && b == nil:
			return 0
		case (a == nil) == f.nullsLast:
			return 1
		}
		return -1
	}
	c := comparePlainly(a, b)
	if f.desc {
		return -c
	}
	return c
}

func comparePlainly(a, b any) int {
	switch a := a.(type) {
	case bool:
		b := b.(bool)
		switch {
		case a == b:
			return 0
		case a:
			return 1
		}
		return -1
	case int32:
		return stdcmp.Compare(a, b.(int32))
	case int64:
		return stdcmp.Compare(a, b.(int64))
	case float32:
		return comparePlainly(float64(a), float64(b.(float32)))
	case float64:
		return slices.Compare(realRank(a), realRank(b.(float64)))
	case iceberg.Date:
		return stdcmp.Compare(a, b.(iceberg.Date))
	case iceberg.Time:
		return stdcmp.Compare(a, b.(iceberg.Time))
	case iceberg.Timestamp:
		return stdcmp.Compare(a, b.(iceberg.Timestamp))
	case iceberg.Decimal:
		return a.Val.Cmp(b.(iceberg.Decimal).Val)
	case string:
		return strings.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	case uuid.UUID:
		b := b.(uuid.UUID)
		return bytes.Compare(a[:], b[:])
	}
	panic(fmt.Sprintf("no order of %T", a))
}

// realRank is -∞ < -0 < 0 < ∞ < NaN, as Iceberg sorts.
func realRank(v float64) []float64 {
	switch {
	case v != v:
		return []float64{1, 0, 0}
	case v == 0 && 1/v < 0:
		return []float64{0, 0, -1}
	}
	return []float64{0, v, 0}
}

// sequence is the column seq of the staged files, one file after the other, read by arrow-go.
func (w *world) sequence(res *Result) []int64 {
	w.Helper()
	seq := []int64{}
	for _, content := range w.content(res) {
		_, content, _ = bytes.Cut(content, []byte("\n"))
		pf, err := file.NewParquetReader(bytes.NewReader(content))
		if err != nil {
			w.Fatal(err)
		}
		rd, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
		if err != nil {
			w.Fatal(err)
		}
		tbl, err := rd.ReadTable(context.Background())
		if err != nil {
			w.Fatal(err)
		}
		for _, c := range tbl.Column(tbl.Schema().FieldIndices("seq")[0]).Data().Chunks() {
			seq = append(seq, c.(*array.Int64).Int64Values()...)
		}
	}
	return seq
}

// A sorted partition is one sequence, cut at places that its rows decide: so it has the same bytes whether it
// was sorted in memory, or merged from a few runs or from many in several passes.
func TestSortedBytesDoNotDependOnMemory(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: "b", SortBy: "d desc nulls last, s", Props: iceberg.Properties{
		table.WriteTargetFileSizeBytesKey: "100000", table.ParquetRowGroupSizeBytesKey: "1", // 16 KiB, see minSegment
	}})
	rng := rand.New(rand.NewPCG(31, 32))
	var recs []arrow.RecordBatch
	for range 6 {
		recs = append(recs, w.random(rng, 600))
	}
	defer release(recs)
	res := w.stage(Options{}, recs...)
	want := w.content(res)
	if res.BytesSpilled > 0 || len(want) < 6 {
		t.Errorf("with plenty of memory %d bytes were spilled, for %d files; want none, and several files a partition", res.BytesSpilled, len(want))
	}
	before := int64(0)
	for _, memory := range []int64{1 << 20, 64 << 10} {
		for _, workers := range []int{1, 3} {
			res := w.stage(Options{Memory: memory, Workers: workers, SpillDir: t.TempDir()}, recs...)
			if got := w.content(res); !slices.EqualFunc(got, want, bytes.Equal) {
				t.Errorf("%d bytes of memory, %d workers: other bytes in %d files than with plenty in %d", memory, workers, len(got), len(want))
			}
			if workers == 3 {
				if res.BytesSpilled <= before {
					t.Errorf("%d bytes of memory: %d were spilled, no more than the %d with more memory", memory, res.BytesSpilled, before)
				}
				before = res.BytesSpilled
			}
		}
	}
}

// sortedSpec is a table whose files are sorted by key, one partition or several.
func sortedSpec(by, target string) catalog.TableSpec {
	return catalog.TableSpec{PartitionBy: by, SortBy: "key", Props: iceberg.Properties{table.WriteTargetFileSizeBytesKey: target}, Schema: schemaOf(
		iceberg.NestedField{Name: "key", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{Name: "s", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{Name: "part", Type: iceberg.PrimitiveTypes.Int32},
		iceberg.NestedField{Name: "seq", Type: iceberg.PrimitiveTypes.Int64},
	)}
}

const sortedBatch = 2000

// sortedInput gives batches of 2,000 rows with the keys that keyOf says, from 0 to 4 to a partition.
func (w *world) sortedInput(count int, keyOf func(i int64) int64) func(yield func(arrowconv.Batch, error) bool) {
	return func(yield func(arrowconv.Batch, error) bool) {
		i := int64(0)
		for range count {
			b := array.NewRecordBuilder(memory.DefaultAllocator, w.arrow)
			for range sortedBatch {
				b.Field(0).(*array.Int64Builder).Append(keyOf(i))
				b.Field(1).(*array.StringBuilder).Append(strings.Repeat("x", int(i%120)))
				b.Field(2).(*array.Int32Builder).Append(int32(i % 5))
				b.Field(3).(*array.Int64Builder).Append(i)
				i++
			}
			rec := b.NewRecordBatch()
			b.Release()
			if !yield(arrowconv.Batch{RecordBatch: rec, Source: "sorted", FirstRow: 1}, nil) {
				return
			}
		}
	}
}

// shuffled is a key that is all over the place, and each one once.
func shuffled(i int64) int64 { return i * 7_919_131 % 1_000_003 }

// Six times the memory is sorted within the memory, and files of a partition hold ascending ranges of the key.
func TestSortingStaysWithinMemory(t *testing.T) {
	for by, parts := range map[string]int{"": 1, "part": 5} {
		t.Run(by, func(t *testing.T) {
			const bound, count = 2 << 20, 80 // 160,000 rows, 13 MB
			w := newWorld(t, sortedSpec(by, "30000"))
			var s *staging
			peak := int64(0)
			o, err := Options{Memory: bound, SpillDir: t.TempDir(), Workers: 2, Progress: func(Progress) {
				peak = max(peak, s.router.buffers.Load()+s.flying.Load()+s.encoded.Load())
			}}.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			if s, err = newStaging(t.Context(), w.tbl, o); err != nil {
				t.Fatal(err)
			}
			res, err := s.stage(t.Context(), w.tbl, w.sortedInput(count, shuffled))
			if err != nil {
				t.Fatal(err)
			}
			if peak > bound {
				t.Errorf("buffers took %d bytes at a time, bound is %d", peak, bound)
			}
			if res.BytesSpilled == 0 || len(res.Files) < 2*parts {
				t.Errorf("%d bytes spilled, %d files, want some and several a partition", res.BytesSpilled, len(res.Files))
			}
			last := map[string]int64{}
			for _, f := range res.Files {
				lower, upper := int64Bound(f.LowerBoundValues()[1]), int64Bound(f.UpperBoundValues()[1])
				if before, ok := last[f.Partition.Key]; ok && lower <= before {
					t.Errorf("a file begins at key %d, the one before ends at %d", lower, before)
				}
				last[f.Partition.Key] = upper
			}
			if len(last) != parts {
				t.Errorf("%d partitions, want %d", len(last), parts)
			}
		})
	}
}

func int64Bound(b []byte) int64 { return castTo[int64](bytes.Clone(b))[0] }

// What a merge has in memory, chunks and windows, is no more than what was set aside for it, whether rows are long or
// short, even where the long ones come last.
func TestMergingTakesWhatWasSetAsideForIt(t *testing.T) {
	w := newWorld(t, sortedSpec("", "30000"))
	o, err := Options{Memory: 16 << 20, SpillDir: t.TempDir(), Workers: 1}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStaging(t.Context(), w.tbl, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.spill.close() }()
	worker := s.workers[0]
	var runs []sortedRun
	for range 60 {
		cols := newColumns(worker.layouts)
		for b := range w.sortedInput(1, func(i int64) int64 { return i % 120 }) { // as long as its key says
			for i := range cols {
				cols[i].gather(b.Column(i).Data(), 0, rowNumbers(sortedBatch))
			}
		}
		run, err := worker.chunker.write(t.Context(), &inMemory{columnData(cols), worker.sorter.order(cols, sortedBatch)}, s.plan.sortChunk)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	spilled := s.spill.end.Load()
	if runs, err = worker.narrow(t.Context(), runs); err != nil {
		t.Fatal(err)
	}
	if len(runs) == 60 || s.spill.end.Load() == spilled {
		t.Error("60 runs are merged at once, want several passes")
	}
	m, err := newMerge(runs, worker.sorter, worker.layouts, s.spill)
	if err != nil {
		t.Fatal(err)
	}
	r, rows, peak := &run{sorted: m}, 0, int64(0)
	for m.more() {
		if err := worker.window(r); err != nil {
			t.Fatal(err)
		}
		rows += r.rows
		peak = max(peak, m.capacity()+2*capacityOf(r.cols))
	}
	if rows != 60*sortedBatch {
		t.Errorf("%d rows came out, want %d", rows, 60*sortedBatch)
	}
	t.Logf("%d runs, peak %d KiB of %d", len(runs), peak>>10, s.plan.sortUnit>>10)
	if peak > s.plan.sortUnit {
		t.Errorf("the merge of %d runs took %d bytes, %d were set aside", len(runs), peak, s.plan.sortUnit)
	}
}

func rowNumbers(n int) []int32 {
	rows := make([]int32, n)
	for i := range rows {
		rows[i] = int32(i)
	}
	return rows
}

func capacityOf(cols []column) int64 {
	n := int64(0)
	for i := range cols {
		n += cols[i].capacity()
	}
	return n
}

// capacity is the bytes of buffers that m holds.
func (m *merge) capacity() int64 {
	n := capacityOf(m.beside) + int64(8*cap(m.merged)+4*cap(m.perm)+4*cap(m.rising)+cap(m.in)+cap(m.plain)+4*cap(m.pieces))
	for _, c := range m.cursors {
		n += capacityOf(c.cols) + int64(16*cap(c.rows.keys))
		for _, v := range c.rows.vals {
			n += int64(8*cap(v.words) + 24*cap(v.texts) + cap(v.null))
		}
	}
	return n
}

// Rows that come in order are merged by chunks: their keys are hardly compared.
func TestRowsInOrderAreMergedByChunks(t *testing.T) {
	s, ls := sorterOfKeys(t)
	spill := &spillFile{dir: t.TempDir()}
	defer func() { _ = spill.close() }()
	c := &chunker{spill: spill, cols: newColumns(ls)}
	var runs []sortedRun
	const rows, count = 5000, 4
	for k := range count {
		cols := newColumns(ls)
		for i := range rows {
			cols[0].data = append(cols[0].data, bytesOf([]int64{int64(k*rows + i)})...)
		}
		cols[0].n = rows
		run, err := c.write(t.Context(), &inMemory{columnData(cols), rowNumbers(rows)}, minSegment)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	m, err := newMerge(runs, s, ls, spill)
	if err != nil {
		t.Fatal(err)
	}
	turns, out := 0, newColumns(ls)
	for m.more() {
		if _, err := m.take(out, 10_000); err != nil {
			t.Fatal(err)
		}
		turns += m.turns
	}
	vals := castTo[int64](out[0].data)
	if len(vals) != rows*count || !slices.IsSorted(vals) {
		t.Errorf("%d rows, sorted: %v", len(vals), slices.IsSorted(vals))
	}
	if chunks := len(runs[0].chunks) * count; turns > 8*chunks {
		t.Errorf("the tree was played %d times for %d chunks of rows that come in order", turns, chunks)
	}
}

// sorterOfKeys sorts by the only column, an int64.
func sorterOfKeys(t testing.TB) (*sorter, []*layout) {
	t.Helper()
	schema := schemaOf(iceberg.NestedField{Name: "key", Type: iceberg.PrimitiveTypes.Int64})
	order, err := catalog.ParseSortBy("key", schema)
	if err != nil {
		t.Fatal(err)
	}
	as, err := arrowconv.ArrowSchema(schema)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSorter(schema, order, as)
	if err != nil {
		t.Fatal(err)
	}
	ls, err := layouts(as)
	if err != nil {
		t.Fatal(err)
	}
	return s, ls
}

// A spill file that breaks once the input has ended breaks the merge: of several passes the first, which writes, or
// the last, which only reads.
func TestFailuresWhileMergingLeaveNothing(t *testing.T) {
	for name, breaks := range map[string]func(*testing.T, *staging){
		"reading": func(t *testing.T, s *staging) { _ = s.spill.file.Close() },
		"writing": func(t *testing.T, s *staging) {
			same, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", s.spill.file.Fd()))
			if err != nil {
				t.Skip("a file that has no name cannot be opened again here")
			}
			_ = s.spill.file.Close()
			s.spill.file = same // to be read only
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sortedSpec("", "100000"))
			dir, before := t.TempDir(), runtime.NumGoroutine()
			o, err := Options{Memory: 256 << 10, SpillDir: dir, Workers: 2}.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			s, err := newStaging(t.Context(), w.tbl, o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.stage(t.Context(), w.tbl, func(yield func(arrowconv.Batch, error) bool) {
				w.sortedInput(10, shuffled)(yield)
				for s.flying.Load() > 0 { // until the runs so far lie in the file
					runtime.Gosched()
				}
				breaks(t, s)
			})
			var failure *spillFailure
			if !errors.As(err, &failure) || !strings.Contains(err.Error(), name[:4]) {
				t.Errorf("error %v, want that of %s the spill file", err, name)
			}
			w.nothingLeft(dir, before)
		})
	}
}

func TestCancellingAMergeLeavesNothing(t *testing.T) {
	w := newWorld(t, sortedSpec("", "40000"))
	dir, before := t.TempDir(), runtime.NumGoroutine()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	_, err := Stage(ctx, w.tbl, w.sortedInput(20, shuffled), Options{Memory: 256 << 10, SpillDir: dir, Workers: 2, Progress: func(p Progress) {
		if p.Files == 1 { // of several: the merge goes on
			cancel(stop)
		}
	}})
	if !errors.Is(err, stop) {
		t.Errorf("error %v, want the cause of the cancellation", err)
	}
	w.nothingLeft(dir, before)
}
