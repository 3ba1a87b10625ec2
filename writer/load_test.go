package writer_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
	"github.com/icewright/icewright/writer/stage"
)

var ident = table.Identifier{"db", "sales"}

var schema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	iceberg.NestedField{ID: 2, Name: "region", Type: iceberg.PrimitiveTypes.String},
	iceberg.NestedField{ID: 3, Name: "amount", Type: iceberg.PrimitiveTypes.Float64},
)

// row is a sale; region "-" and the amount null stand for null.
type row struct {
	id     int64
	region string
	amount float64
}

var null = math.Inf(-1)

func newTable(t testing.TB, partitionBy string) *catalog.Catalog {
	t.Helper()
	cat := testcat.New(t)
	if _, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: schema, PartitionBy: partitionBy}); err != nil {
		t.Fatal(err)
	}
	return cat
}

func current(t testing.TB, cat publish.Catalog) *table.Table {
	t.Helper()
	tbl, err := cat.LoadTable(context.WithoutCancel(t.Context()), ident)
	if err != nil {
		t.Fatal(err)
	}
	return tbl
}

// batches yields the rows in batches of the given size, and err at the end unless it is nil.
func batches(t testing.TB, mem memory.Allocator, size int, err error, rows ...row) iter.Seq2[arrowconv.Batch, error] {
	sc, serr := arrowconv.ArrowSchema(schema)
	if serr != nil {
		t.Fatal(serr)
	}
	return func(yield func(arrowconv.Batch, error) bool) {
		first := int64(1)
		for chunk := range slices.Chunk(rows, size) {
			b := array.NewRecordBuilder(mem, sc)
			for _, r := range chunk {
				b.Field(0).(*array.Int64Builder).Append(r.id)
				if r.region == "-" {
					b.Field(1).AppendNull()
				} else {
					b.Field(1).(*array.StringBuilder).Append(r.region)
				}
				if r.amount == null {
					b.Field(2).AppendNull()
				} else {
					b.Field(2).(*array.Float64Builder).Append(r.amount)
				}
			}
			rec := b.NewRecordBatch()
			b.Release()
			if !yield(arrowconv.Batch{RecordBatch: rec, Source: "sales.csv", FirstRow: first}, nil) {
				return
			}
			first += int64(len(chunk))
		}
		if err != nil {
			yield(arrowconv.Batch{}, err)
		}
	}
}

func quick() publish.Options {
	return publish.Options{Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

func loadRows(t testing.TB, cat publish.Catalog, o writer.Options, rows ...row) (writer.Result, error) {
	t.Helper()
	o.Publish = quick()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	res, err := writer.Load(t.Context(), cat, current(t, cat), batches(t, mem, 3, nil, rows...), o)
	mem.AssertSize(t, 0)
	return res, err
}

func mustLoad(t testing.TB, cat publish.Catalog, o writer.Options, rows ...row) writer.Result {
	t.Helper()
	res, err := loadRows(t, cat, o, rows...)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// scan reads the table with iceberg-go's scanner.
func scan(t testing.TB, cat publish.Catalog) []row {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	_, recs, err := current(t, cat).Scan().ToArrowRecords(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var out []row
	for rec, err := range recs {
		if err != nil {
			t.Fatal(err)
		}
		ids, regions, amounts := rec.Column(0).(*array.Int64), rec.Column(1), rec.Column(2).(*array.Float64)
		for i := range int(rec.NumRows()) {
			r := row{ids.Value(i), "-", amounts.Value(i)}
			if !regions.IsNull(i) {
				r.region = regions.ValueStr(i)
			}
			out = append(out, r)
		}
		rec.Release()
	}
	slices.SortFunc(out, func(a, b row) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return out
}

func sorted(rows ...row) []row {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return rows
}

// wantLitter checks that n files of the table are referred to by no snapshot.
func wantLitter(t testing.TB, cat publish.Catalog, n int) {
	t.Helper()
	litter := testcat.Litter(t, current(t, cat))
	if len(litter) != n {
		t.Errorf("%d files that nothing refers to, want %d: %v", len(litter), n, litter)
	}
}

func snapshots(t testing.TB, cat publish.Catalog) int {
	return len(current(t, cat).Metadata().Snapshots())
}

// Guarantee 2: the second run of the same input is unchanged.
func TestRerunIsUnchanged(t *testing.T) {
	for _, by := range []string{"", "region", "bucket(4, id)", "truncate(1, region)", "void(region)", "region, bucket(2, id)"} {
		t.Run(by, func(t *testing.T) {
			cat := newTable(t, by)
			o := writer.Options{ReplaceTable: by == "" || strings.HasPrefix(by, "void")}
			rows := []row{{1, "eu", 1}, {2, "us", 2}, {3, "-", 3}, {4, "", 4}, {5, "null", 5}, {6, "eu", 6}}
			first := mustLoad(t, cat, o, rows...)
			slices.Reverse(rows)
			second := mustLoad(t, cat, o, rows...)
			if first.Status != writer.Published || second.Status != writer.Unchanged {
				t.Errorf("statuses %s, %s", first.Status, second.Status)
			}
			if first.RowsWritten != 6 || second.RowsWritten != 0 || second.RowsUnchanged != 6 || second.RowsRead != 6 {
				t.Errorf("rows: %+v, then %+v", first, second)
			}
			if first.Staged.Digest != second.Staged.Digest {
				t.Errorf("digests %s, %s", first.Staged.Digest, second.Staged.Digest)
			}
			if d := cmp.Diff(sorted(rows...), scan(t, cat), cmp.AllowUnexported(row{})); d != "" {
				t.Errorf("rows (-want +got):\n%s", d)
			}
			if n := snapshots(t, cat); n != 1 {
				t.Errorf("%d snapshots", n)
			}
			wantLitter(t, cat, 0)
		})
	}
}

func TestOnlyChangedPartitionsAreReplaced(t *testing.T) {
	cat := newTable(t, "region")
	mustLoad(t, cat, writer.Options{}, row{1, "eu", 1}, row{2, "us", 2}, row{3, "-", 3})
	res := mustLoad(t, cat, writer.Options{}, row{1, "eu", 1}, row{2, "us", 20}, row{9, "us", 9})
	if res.RowsWritten != 2 || res.RowsUnchanged != 1 || len(res.Plan.Discard) != 1 {
		t.Errorf("written %d, unchanged %d, discarded %d files", res.RowsWritten, res.RowsUnchanged, len(res.Plan.Discard))
	}
	want := sorted(row{1, "eu", 1}, row{2, "us", 20}, row{9, "us", 9}, row{3, "-", 3})
	if d := cmp.Diff(want, scan(t, cat), cmp.AllowUnexported(row{})); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	if p := res.Snapshot.Summary.Properties; p["added-records"] != "2" || p["deleted-records"] != "1" || p["replace-partitions"] != "true" {
		t.Errorf("summary %v", p)
	}
	wantLitter(t, cat, 0)
}

func TestDeclaredSlice(t *testing.T) {
	cat := newTable(t, "region")
	mustLoad(t, cat, writer.Options{}, row{1, "eu", 1}, row{2, "us", 2}, row{3, "-", 3})
	s, err := slice.Parse("region in ('eu', 'us')", schema, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	_, err = loadRows(t, cat, writer.Options{Slice: s}, row{1, "eu", 1}, row{7, "asia", 7})
	if !errors.Is(err, stage.ErrOutside) || !strings.Contains(fmt.Sprint(err), "sales.csv") || !strings.Contains(fmt.Sprint(err), "row 2") {
		t.Errorf("error %v", err)
	}
	_, err = loadRows(t, cat, writer.Options{Slice: s}, row{1, "eu", 5})
	if !errors.Is(err, plan.ErrGuard) {
		t.Errorf("us would vanish, error %v", err)
	}
	_, err = loadRows(t, cat, writer.Options{Slice: s})
	if !errors.Is(err, plan.ErrGuard) {
		t.Errorf("empty input, error %v", err)
	}
	wantLitter(t, cat, 0)
	res := mustLoad(t, cat, writer.Options{Slice: s, Outside: stage.OutsideDrop, AllowShrink: true}, row{1, "eu", 5}, row{7, "asia", 7})
	if res.RowsFiltered != 1 || res.RowsWritten != 1 {
		t.Errorf("filtered %d, written %d", res.RowsFiltered, res.RowsWritten)
	}
	if d := cmp.Diff(sorted(row{1, "eu", 5}, row{3, "-", 3}), scan(t, cat), cmp.AllowUnexported(row{})); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	mustLoad(t, cat, writer.Options{Slice: s, OnEmpty: plan.OnEmptyClear})
	if d := cmp.Diff([]row{{3, "-", 3}}, scan(t, cat), cmp.AllowUnexported(row{})); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	wantLitter(t, cat, 0)
}

func TestDryRunLeavesNothing(t *testing.T) {
	cat := newTable(t, "region")
	mustLoad(t, cat, writer.Options{}, row{1, "eu", 1})
	res := mustLoad(t, cat, writer.Options{DryRun: true}, row{1, "eu", 2}, row{2, "us", 2})
	if res.Status != writer.Planned || res.RowsWritten != 2 || len(res.Plan.Partitions) != 2 {
		t.Errorf("result %+v", res)
	}
	if n := snapshots(t, cat); n != 1 {
		t.Errorf("%d snapshots", n)
	}
	wantLitter(t, cat, 0)
}

func TestBrokenInputLeavesNothing(t *testing.T) {
	cat := newTable(t, "region")
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	boom := errors.New("the file vanished")
	_, err := writer.Load(t.Context(), cat, current(t, cat), batches(t, mem, 2, boom, row{1, "eu", 1}, row{2, "us", 2}, row{3, "eu", 3}), writer.Options{})
	if !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
	if n := snapshots(t, cat); n != 0 {
		t.Errorf("%d snapshots", n)
	}
	wantLitter(t, cat, 0)
}

// An unknown end keeps the staged files, and the rerun makes the table right, once.
func TestUnknownThenRerun(t *testing.T) {
	for _, fate := range []string{"lands, reply lost", "is lost"} {
		t.Run(fate, func(t *testing.T) {
			inner := newTable(t, "region")
			mustLoad(t, inner, writer.Options{}, row{1, "eu", 1})
			cat := fault.New(t, inner, "commit #1 "+fate)
			o := writer.Options{Publish: impatient()}
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer mem.AssertSize(t, 0)
			tbl := current(t, cat)
			_, err := writer.Load(t.Context(), &blind{Catalog: cat}, tbl, batches(t, mem, 2, nil, row{1, "eu", 5}), o)
			var unknown *publish.UnknownError
			if !errors.As(err, &unknown) || len(unknown.DataFiles) != 1 {
				t.Fatalf("error %v", err)
			}
			res := mustLoad(t, inner, writer.Options{}, row{1, "eu", 5})
			want := map[string]writer.Status{"lands, reply lost": writer.Unchanged, "is lost": writer.Published}[fate]
			if res.Status != want {
				t.Errorf("the rerun: %s", res.Status)
			}
			if d := cmp.Diff([]row{{1, "eu", 5}}, scan(t, inner), cmp.AllowUnexported(row{})); d != "" {
				t.Errorf("rows (-want +got):\n%s", d)
			}
		})
	}
}

// impatient lets a minute pass at every wait.
func impatient() publish.Options {
	now := time.Now()
	return publish.Options{
		Now:   func() time.Time { return now },
		Sleep: func(ctx context.Context, _ time.Duration) error { now = now.Add(time.Minute); return ctx.Err() },
	}
}

// blind can't be read any more once a commit was sent.
type blind struct {
	publish.Catalog
	sent bool
}

func (b *blind) LoadTable(ctx context.Context, id table.Identifier) (*table.Table, error) {
	if b.sent {
		return nil, fault.ErrDown
	}
	return b.Catalog.LoadTable(ctx, id)
}

func (b *blind) CommitTable(ctx context.Context, id table.Identifier, r []table.Requirement, u []table.Update) (table.Metadata, string, error) {
	b.sent = true
	return b.Catalog.CommitTable(ctx, id, r, u)
}

type lenient struct{ testing.TB }

func (lenient) Errorf(string, ...any) {}

// Any history of loads, with faults on the way, is what a map of partitions says.
func TestHistoriesAgainstAMap(t *testing.T) {
	regions := []string{"eu", "us", "-", "", "null", "a/b=c%"}
	rapid.Check(t, func(rt *rapid.T) {
		cat := newTable(t, rapid.SampledFrom([]string{"region", "truncate(2, region)", "region, bucket(3, id)"}).Draw(rt, "by"))
		spec := current(t, cat).Spec()
		model := map[string][]row{} // by partition key
		key := func(r row) string {
			values := map[int]any{}
			for i := range spec.NumFields() {
				f := spec.Field(i)
				var lit iceberg.Optional[iceberg.Literal]
				switch {
				case f.SourceID() == 1:
					lit = iceberg.Optional[iceberg.Literal]{Valid: true, Val: iceberg.NewLiteral(r.id)}
				case r.region != "-":
					lit = iceberg.Optional[iceberg.Literal]{Valid: true, Val: iceberg.NewLiteral(r.region)}
				}
				if out := f.Transform.Apply(lit); out.Valid {
					values[f.FieldID] = out.Val.Any()
				}
			}
			return slice.NewPartition(spec, schema, values).Key
		}
		published := 0
		for range rapid.IntRange(1, 5).Draw(rt, "loads") {
			rows := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) row {
				return row{
					rapid.Int64Range(0, 8).Draw(rt, "id"), rapid.SampledFrom(regions).Draw(rt, "region"),
					rapid.Float64Range(0, 3).Draw(rt, "amount"),
				}
			}), 1, 40).Draw(rt, "rows")
			o := writer.Options{
				AllowShrink: true, Publish: quick(), Workers: rapid.IntRange(1, 4).Draw(rt, "workers"),
				Memory: rapid.SampledFrom([]int64{0, 64 << 10, 8 << 20}).Draw(rt, "memory"), SpillDir: t.TempDir(),
			}
			broken := fault.New(lenient{t}, cat, rapid.SampledFrom([]string{
				"", "commit #1 lands, reply lost", "commit #1 is lost", "commit #1 answers 409", "commit #1 lands late",
			}).Draw(rt, "fault"))
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			in := batches(t, mem, rapid.IntRange(1, 50).Draw(rt, "batch"), nil, rows...)
			res, err := writer.Load(t.Context(), broken, current(t, cat), in, o)
			if err != nil {
				rt.Fatal(err)
			}
			mem.AssertSize(t, 0)

			fresh := map[string][]row{}
			for _, r := range rows {
				fresh[key(r)] = append(fresh[key(r)], r)
			}
			changed := false
			for k, rs := range fresh {
				changed = changed || !slices.Equal(sorted(rs...), sorted(model[k]...))
			}
			maps.Copy(model, fresh)
			if changed != (res.Status == writer.Published) {
				rt.Fatalf("changed is %v, status %s", changed, res.Status)
			}
			if changed {
				published++
			}
			var want []row
			for _, rs := range model {
				want = append(want, rs...)
			}
			if d := cmp.Diff(sorted(want...), scan(t, cat), cmp.AllowUnexported(row{})); d != "" {
				rt.Fatalf("rows (-want +got):\n%s", d)
			}
			if n := snapshots(t, cat); n != published {
				rt.Fatalf("%d snapshots after %d loads that changed something", n, published)
			}
			wantLitter(t, cat, 0)
		}
	})
}

// Guarantee 4, on one slice and on several, with a reader that must never see anything between.
func TestConcurrentLoadsAndAReader(t *testing.T) {
	cat := newTable(t, "region")
	const perSlice = 5
	sale := func(region string, amount float64) []row {
		rows := make([]row, perSlice)
		for i := range rows {
			rows[i] = row{int64(i), region, amount}
		}
		return rows
	}
	regions := []string{"eu", "us", "asia"}
	for _, r := range regions {
		mustLoad(t, cat, writer.Options{}, sale(r, 0)...)
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	reader := make(chan struct{})
	go func() {
		defer close(reader)
		for {
			select {
			case <-stop:
				return
			default:
			}
			counts := map[string]int{}
			for _, r := range scan(t, cat) {
				counts[fmt.Sprint(r.region, " ", r.amount)]++
			}
			for k, n := range counts {
				if n != perSlice {
					t.Errorf("a reader saw %d rows of %s", n, k)
				}
			}
			if len(counts) != len(regions) {
				t.Errorf("a reader saw %v", counts)
			}
		}
	}()
	for w := range 6 {
		wg.Go(func() {
			for i := range 4 {
				region := regions[w%3]
				mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
				_, err := writer.Load(t.Context(), cat, current(t, cat), batches(t, mem, 3, nil, sale(region, float64(10*w+i+1))...), writer.Options{})
				// Two loads of one slice that overlap in time may fence each other: that is an answer too.
				if err != nil && !errors.Is(err, publish.ErrSuperseded) {
					t.Error(err)
				}
				mem.AssertSize(t, 0)
			}
		})
	}
	wg.Wait()
	close(stop)
	<-reader
	wantLitter(t, cat, 0)
}

// The result names its attempt, so that an operator finds it in the table.
func TestSummaryNamesTheRun(t *testing.T) {
	cat := newTable(t, "region")
	id := uuid.Must(uuid.NewV7())
	res := mustLoad(t, cat, writer.Options{Attempt: id, RunKey: "sales-2024-01-15", Params: "date=2024-01-15"}, row{1, "eu", 1})
	p := res.Snapshot.Summary.Properties
	if p[publish.KeyAttempt] != id.String() || p[publish.KeyRunKey] != "sales-2024-01-15" || p[publish.KeyParams] != "date=2024-01-15" ||
		p[publish.KeyJob] != "db.sales replace" || p[publish.KeyDigest] != res.Staged.Digest.String() {
		t.Errorf("summary %v", p)
	}
}
