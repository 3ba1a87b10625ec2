package stage

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/catalog"
)

// filteredTable has Bloom filters for every column.
func filteredTable(t *testing.T, schema *iceberg.Schema, props iceberg.Properties) *world {
	_, _, leaves, err := parquetSchema(schema)
	if err != nil {
		t.Fatal(err)
	}
	all := iceberg.Properties{}
	for _, l := range leaves {
		all[bloomEnabled+l.path] = "true"
	}
	for k, v := range props {
		all[k] = v
	}
	return newWorld(t, catalog.TableSpec{Schema: schema, Props: all})
}

// Arrow's reader finds every value of every column in its row group's filter, whatever its type and however it is
// encoded, and in memory or spilled.
func TestBloomFiltersHaveEveryValue(t *testing.T) {
	for _, c := range []struct {
		schema *iceberg.Schema
		props  iceberg.Properties
		random bool
		spill  bool
	}{
		{everyType(), nil, true, false},
		{everyType(), iceberg.Properties{encodingsKey: "plain", "write.parquet.row-group-limit": "500"}, true, true},
		{shapesSchema(), nil, false, false},
		{shapesSchema(), iceberg.Properties{"write.parquet.page-version": "v2", bloomMaxBytes: "256"}, false, true},
	} {
		w := filteredTable(t, c.schema, c.props)
		rng := rand.New(rand.NewPCG(3, 5))
		var recs []arrow.RecordBatch
		for i := range 3 {
			if c.random {
				recs = append(recs, w.random(rng, 700))
			} else {
				recs = append(recs, w.shapes(rng, 700*i, 700))
			}
		}
		var res *Result
		if c.spill {
			res = w.forceSpill(Options{Workers: 1, SpillDir: t.TempDir()}, recs...)
		} else {
			res = w.stage(Options{}, recs...)
		}
		for _, content := range w.content(res) {
			w.checkFilters(content[bytes.IndexByte(content, '\n')+1:])
		}
		if got, sum := w.scan(w.commit(res)); len(got) != 2100 || sum != res.Digest {
			t.Errorf("%d rows, digest %s, want %s", len(got), sum, res.Digest)
		}
		release(recs)
	}
}

func (w *world) checkFilters(content []byte) {
	w.Helper()
	r, err := file.NewParquetReader(bytes.NewReader(content))
	if err != nil {
		w.Fatal(err)
	}
	defer r.Close()
	bools, filters := 0, 0
	for g := range r.NumRowGroups() {
		blooms, err := r.GetBloomFilterReader().RowGroup(g)
		if err != nil {
			w.Fatal(err)
		}
		for c := range r.MetaData().Schema.NumColumns() {
			if r.MetaData().Schema.Column(c).PhysicalType() == parquet.Types.Boolean {
				bools++
				continue
			}
			filter, err := blooms.GetColumnBloomFilter(c)
			if err != nil {
				w.Fatalf("column %d: %v", c, err)
			}
			chunk, err := r.RowGroup(g).Column(c)
			if err != nil {
				w.Fatal(err)
			}
			name := r.MetaData().Schema.Column(c).Path()
			var missing, values int
			switch chunk := chunk.(type) {
			case *file.Int32ColumnChunkReader:
				missing, values = lost[int32](w, chunk.ReadBatch, filter)
			case *file.Int64ColumnChunkReader:
				missing, values = lost[int64](w, chunk.ReadBatch, filter)
			case *file.Float32ColumnChunkReader:
				missing, values = lost[float32](w, chunk.ReadBatch, filter)
			case *file.Float64ColumnChunkReader:
				missing, values = lost[float64](w, chunk.ReadBatch, filter)
			case *file.ByteArrayColumnChunkReader:
				missing, values = lost[parquet.ByteArray](w, chunk.ReadBatch, filter)
			case *file.FixedLenByteArrayColumnChunkReader:
				missing, values = lost[parquet.FixedLenByteArray](w, chunk.ReadBatch, filter)
			}
			if missing > 0 {
				w.Errorf("row group %d, column %s: %d of %d values are not in the filter", g, name, missing, values)
			}
			if filter != nil {
				filters++
			}
		}
	}
	if filters == 0 || bools == 0 {
		w.Errorf("%d filters, %d columns of booleans", filters, bools)
	}
}

// lost counts the values of a chunk that a filter does not have.
func lost[T parquet.ColumnTypes](w *world, read func(int64, []T, []int16, []int16) (int64, int, error), filter metadata.BloomFilter) (missing, values int) {
	w.Helper()
	vals, defs, reps := make([]T, 1000), make([]int16, 1000), make([]int16, 1000)
	for {
		n, got, err := read(1000, vals, defs, reps)
		if err != nil {
			w.Fatal(err)
		}
		if n == 0 {
			return missing, values
		}
		for _, v := range vals[:got] {
			values++
			if filter == nil || !filter.CheckHash(metadata.GetHash(filter.Hasher(), v)) {
				missing++
			}
		}
	}
}

func TestBloomProperties(t *testing.T) {
	for key, value := range map[string]string{
		bloomEnabled + "s": "yes", bloomFPP + "s": "0", bloomFPP + "l": "one", bloomMaxBytes: "-5",
	} {
		w := newWorld(t, catalog.TableSpec{Schema: everyType(), Props: iceberg.Properties{key: value}})
		if _, err := Stage(t.Context(), w.tbl, batches(), Options{}); !errors.Is(err, ErrProperty) || !strings.Contains(err.Error(), key) {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
	// Only the columns that are named have filters, and a higher share of wrong answers makes them smaller.
	size := func(props iceberg.Properties) (n int) {
		w := newWorld(t, catalog.TableSpec{Schema: everyType(), Props: props})
		rec := w.random(rand.New(rand.NewPCG(1, 1)), 2000)
		defer rec.Release()
		return len(w.content(w.stage(Options{}, rec))[0])
	}
	none := size(nil)
	strict := size(iceberg.Properties{bloomEnabled + "l": "true"})
	loose := size(iceberg.Properties{bloomEnabled + "l": "true", bloomFPP + "l": "0.5"})
	if none >= loose || loose >= strict {
		t.Errorf("%d bytes without a filter, %d with a loose one, %d with a strict one", none, loose, strict)
	}
}
