package stage

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/slice"
)

// Rows that go to many partitions are brought together before they are routed. However they came, each
// partition gets them in the order of the input, and nothing else.
func TestScatteredRowsKeepTheirOrder(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: "bucket(40, id)"})
	rng := rand.New(rand.NewPCG(5, 6))
	whole := w.random(rng, 900)
	defer whole.Release()
	res := w.stage(Options{}, whole)
	want := w.content(res)
	scanned, _ := w.scan(w.commit(res))
	if d := cmp.Diff(rows(whole), scanned); d != "" {
		t.Errorf("rows differ (-in +scanned):\n%.2000s", d)
	}

	cut := func(at ...int64) []arrow.RecordBatch {
		var recs []arrow.RecordBatch
		from := int64(0)
		for _, to := range append(at, whole.NumRows()) {
			recs = append(recs, whole.NewSlice(from, to))
			from = to
		}
		return recs
	}
	for name, recs := range map[string][]arrow.RecordBatch{
		"two": cut(13), "odd": cut(1, 2, 65, 65, 333, 811), "all": cut(450, 451, 452),
	} {
		if got := w.content(w.stage(Options{}, recs...)); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%s: other bytes than those of one batch", name)
		}
		release(recs)
	}

	// Slabs of every size, from one batch each.
	for _, size := range []int64{0, 1, 20_000, 60_000} {
		recs := cut(100, 200, 300, 400, 500, 600, 700, 800)
		res := w.stageWith(Options{}, func(s *staging) { s.plan.slab = size }, recs...)
		if got := w.content(res); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("slabs of %d bytes: other bytes", size)
		}
		release(recs)
	}
}

// A batch that is all one partition's comes after the scattered rows that came before it.
func TestClusteredRowsWaitForScatteredOnes(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: "b"})
	rng := rand.New(rand.NewPCG(7, 8))
	recs := []arrow.RecordBatch{w.random(rng, 50), w.random(rng, 400), w.random(rng, 30), w.random(rng, 500)}
	defer release(recs)
	want := w.content(w.stageWith(Options{}, func(s *staging) { s.plan.slab = -1 }, recs...)) // none wait
	if got := w.content(w.stage(Options{}, recs...)); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Error("rows that waited for others lie in other places than rows that did not")
	}
}

// The rows that are left out of a batch are those that were meant, also where rows that waited are routed before it.
func TestClusteredRowsInsideTheSlice(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: "b"})
	rng := rand.New(rand.NewPCG(11, 12))
	recs := []arrow.RecordBatch{w.random(rng, 50), w.random(rng, 400), w.random(rng, 30), w.random(rng, 500)}
	defer release(recs)
	picks := func() Options {
		n := 0 // batches
		return Options{Only: func(rec arrow.RecordBatch) (*slice.Selection, error) {
			n++
			return slice.Select(int(rec.NumRows()), func(i int) bool { return i != 2*n && i%11 != 10 }), nil
		}}
	}
	want := w.content(w.stageWith(picks(), func(s *staging) { s.plan.slab = -1 }, recs...)) // none wait
	if got := w.content(w.stage(picks(), recs...)); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Error("other rows are left out if some waited")
	}
}

// Rows that are left out of a batch are left out of the slab.
func TestScatteredRowsInsideTheSlice(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: "bucket(40, id), b"})
	rng := rand.New(rand.NewPCG(9, 10))
	recs := []arrow.RecordBatch{w.random(rng, 300), w.random(rng, 200)}
	defer release(recs)
	sl, err := slice.Parse("b = true", w.tbl.Schema(), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	res := w.stage(Options{Slice: sl, Outside: OutsideDrop}, recs...)
	if res.RowsFiltered == 0 || res.RowsStaged == 0 || res.RowsFiltered+res.RowsStaged != 500 {
		t.Fatalf("%d rows staged, %d left out of 500", res.RowsStaged, res.RowsFiltered)
	}
	want := slices.DeleteFunc(rows(recs...), func(row string) bool { return !strings.Contains(row, "|b=true|") })
	got, _ := w.scan(w.commit(res))
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("rows differ (-inside +scanned):\n%.2000s", d)
	}
}
