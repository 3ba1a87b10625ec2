package writer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/publish"
)

// counters has a column for each writer, so that all can count in the same rows: a writer's input has its own
// column only, and an update must keep what the others have counted.
func counters(writers int) *iceberg.Schema {
	fields := []iceberg.NestedField{{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true}}
	for w := range writers {
		fields = append(fields, iceberg.NestedField{ID: 2 + w, Name: fmt.Sprint("c", w), Type: iceberg.PrimitiveTypes.Int64})
	}
	return iceberg.NewSchema(0, fields...)
}

func countBatch(t testing.TB, schema *iceberg.Schema, writer int, ids []int64, count int64) arrowconv.Batch {
	as, err := arrowconv.ArrowSchema(schema)
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, as)
	defer b.Release()
	var absent []int
	for i := 1; i < as.NumFields(); i++ {
		if i != 1+writer {
			absent = append(absent, i)
		}
	}
	for _, id := range ids {
		for i := range as.NumFields() {
			switch i {
			case 0:
				b.Field(i).(*array.Int64Builder).Append(id)
			case 1 + writer:
				b.Field(i).(*array.Int64Builder).Append(count)
			default:
				b.Field(i).AppendNull()
			}
		}
	}
	return arrowconv.Batch{RecordBatch: b.NewRecordBatch(), Source: fmt.Sprint("writer", writer), FirstRow: 1, Absent: absent}
}

// Eight writers merge into the same rows at the same time, each its own counter. The sum of all of them shows
// whether an update got lost: a merge that was planned on an old snapshot would put other counters back. Where
// the format allows it, every other one hides rows in files that the others write anew.
func TestConcurrentMergesLoseNothing(t *testing.T) {
	const writers, rounds, keys = 8, 2, 20
	for version := 1; version <= 3; version++ {
		t.Run(fmt.Sprint("v", version), func(t *testing.T) {
			schema := counters(writers)
			memory := int64(64 << 20)
			if version == 2 {
				memory = 64 // every batch and every key is spilled
			}
			cat := testcat.New(t)
			if _, _, err := cat.CreateTable(t.Context(), ident, catalog.TableSpec{Schema: schema, PartitionBy: "bucket(3, id)", FormatVersion: version}); err != nil {
				t.Fatal(err)
			}
			lost := make([]int, writers)
			var g errgroup.Group
			for w := range writers {
				g.Go(func() error {
					for round := range rounds {
						// every writer has every key in the end, and in a round all but some
						var ids []int64
						for id := range int64(keys) {
							if round == rounds-1 || (int(id)+w+round)%3 > 0 {
								ids = append(ids, id)
							}
						}
						in := func(yield func(arrowconv.Batch, error) bool) {
							yield(countBatch(t, schema, w, ids, int64(round+1)), nil)
						}
						tbl, err := cat.LoadTable(context.WithoutCancel(t.Context()), ident)
						if err != nil {
							return err
						}
						res, err := writer.Load(t.Context(), cat, tbl, in, writer.Options{
							Merge: &writer.Merge{Key: []string{"id"}, OnRead: version > 1 && w%2 == 0}, Memory: memory, SpillDir: t.TempDir(), Publish: quick(),
						})
						if err != nil {
							return err
						}
						lost[w] += res.Attempts - 1
					}
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			_, recs, err := current(t, cat).Scan().ToArrowRecords(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			rows, sum := 0, int64(0)
			for rec, err := range recs {
				if err != nil {
					t.Fatal(err)
				}
				rows += int(rec.NumRows())
				for w := range writers {
					for _, v := range rec.Column(1 + w).(*array.Int64).Int64Values() {
						sum += v
					}
				}
				rec.Release()
			}
			if rows != keys || sum != writers*keys*rounds {
				t.Errorf("%d rows that add up to %d, want %d and %d", rows, sum, keys, writers*keys*rounds)
			}
			if version == 3 {
				wantRowIDs(t, cat, keys)
			}
			wantLitter(t, cat, 0)
			t.Logf("races lost: %v", lost)
			if slices.Max(lost) == 0 {
				t.Error("nobody lost a race, so nothing was tried")
			}
		})
	}
}

// wantRowIDs checks that n rows of a table of version 3 have an id each, no two the same.
func wantRowIDs(t testing.TB, cat publish.Catalog, n int) {
	t.Helper()
	seen := map[string]bool{}
	for _, lineage := range lineageOf(t, cat) {
		id, _, _ := strings.Cut(lineage, " ")
		if seen[id] {
			t.Errorf("two rows have the id %s", id)
		}
		seen[id] = true
	}
	if len(seen) != n {
		t.Errorf("%d row ids, want %d", len(seen), n)
	}
}
