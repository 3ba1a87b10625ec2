package slice

import (
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
)

// BenchmarkRows: rows/s through the conditions that slices mostly are.
func BenchmarkRows(b *testing.B) {
	const rows = 64 << 10
	rnd := rand.New(rand.NewPCG(1, 2))
	model := make([]modelRow, rows)
	for i := range model {
		model[i] = modelRow{
			1: rnd.Int64(), 7: iceberg.Date(19700 + rnd.IntN(30)), 9: iceberg.Timestamp(17e14 + rnd.Int64N(1e12)),
			12: samples[12][rnd.IntN(len(samples[12]))].value,
		}
	}
	rec := record(b, memory.DefaultAllocator, model)
	defer rec.Release()
	for _, expr := range []string{
		"day = 2023-12-15", "ts >= '2023-11-20' and ts < '2023-11-21'", "s = ab", "s in (a, abc, 'null')", "bucket(16, id) = 3", "day = 2023-12-15 and s like 'ab%'",
	} {
		b.Run(expr, func(b *testing.B) {
			s, err := Parse(expr, modelSchema, nil)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := s.Rows(rec); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
