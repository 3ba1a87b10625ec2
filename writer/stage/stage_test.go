package stage

import (
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/digest"
)

func TestRowsComeBackAsTheyWent(t *testing.T) {
	for _, by := range []string{"", "s", "bucket(4, u), day(tz)", "truncate(3, s), b", "month(ts), i", "hour(ts)", "year(date)", "dec18", "bin", "fix", "time", "d"} {
		t.Run(by, func(t *testing.T) {
			w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: by})
			rng := rand.New(rand.NewPCG(1, 2))
			recs := []arrow.RecordBatch{w.random(rng, 100), w.random(rng, 1), w.random(rng, 59)}
			defer release(recs)

			res := w.stage(Options{}, recs...)
			if res.RowsStaged != 160 || res.RowsRead != 160 {
				t.Errorf("staged %d of %d rows, want all 160", res.RowsStaged, res.RowsRead)
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
