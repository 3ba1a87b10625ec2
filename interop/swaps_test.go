//go:build interop

package interop

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/tally"
	"github.com/icewright/icewright/job"
)

// swapParts are the partitions that every swap replaces, both in one load; a third stays as it is. Version v has
// other rows, and another number of them, in each.
var swapParts = []string{"a", "b"}

func rowsOfSwap(version int) (rows []string) {
	for i, p := range swapParts {
		for n := range 2 + (version+3*i)%7 {
			rows = append(rows, fmt.Sprintf("%s,%d,%d", p, n, version))
		}
	}
	return rows
}

var rowsThatStay = []string{"stays,0,-1", "stays,1,-1"}

// watch is what one reader saw of the swaps.
type watch struct {
	reads    int
	versions map[int]bool
	wrong    string // the first read that was none of one whole version
}

// swapReader reads the table once, as lines "p,n,v" in any order. One that reads no rows gives the lines that
// the metadata speak of.
type swapReader struct {
	name  string
	pause time.Duration // between two reads, for the others
	least int           // versions that it must have seen for its word to mean anything
	read  func(ctx context.Context) ([]string, error)
}

// TestAReaderSeesBeforeOrAfter: while two partitions are swapped together, thousands of times, every read of every
// reader sees all of one version and nothing of another: one that was there when the read began, or came while it
// lasted. ICEWRIGHT_SWAPS is another number of swaps, for both catalogs.
func TestAReaderSeesBeforeOrAfter(t *testing.T) {
	more, given := os.LookupEnv("ICEWRIGHT_SWAPS")
	var y *tally.Tally
	if !given {
		y = tally.Of(t, "readers loop while it swaps what they read: scans, manifests, PyIceberg, DuckDB")
	}
	for i, swaps := range []int{2500, 500} {
		backend := backends[i]
		if given {
			var err error
			if swaps, err = strconv.Atoi(more); err != nil {
				t.Fatalf("ICEWRIGHT_SWAPS=%s: %v", more, err)
			}
		}
		t.Run(backend.name, func(t *testing.T) {
			t.Parallel()
			l := backend.open(t)
			name := l.table(t)
			cfg := l.config(t)
			load := func(key string, rows []string, props iceberg.Properties) {
				t.Helper()
				in := l.dir + "/" + l.put(t, "in.csv", "p,n,v\n"+strings.Join(rows, "\n")+"\n")
				r, err := job.Load(t.Context(), job.Job{
					Sources: []string{in}, Table: name, Catalog: cfg, PartitionBy: "p", TableProps: props, RunKey: key, AllowShrink: true,
				})
				if err != nil || r.Status != job.Published {
					t.Fatalf("load %s: %s, %v", key, r.Status, err)
				}
			}
			load("0", append(rowsOfSwap(0), rowsThatStay...), iceberg.Properties{
				"write.metadata.delete-after-commit.enabled": "true", "write.metadata.previous-versions-max": "5",
			})

			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var begun, landed atomic.Int64
			var wg sync.WaitGroup
			watches := map[string]*watch{}
			readers := swapReaders(t, l, cfg, name)
			for _, r := range readers {
				w := &watch{versions: map[int]bool{}}
				watches[r.name] = w
				wg.Go(func() {
					for ctx.Err() == nil && w.wrong == "" {
						from := int(landed.Load())
						rows, err := r.read(context.WithoutCancel(ctx))
						to := int(begun.Load())
						if err != nil {
							w.wrong = err.Error()
							return
						}
						w.see(rows, from, to)
						time.Sleep(r.pause)
					}
				})
			}
			started := time.Now()
			cat := openCatalog(t, cfg)
			for v := 1; v <= swaps; v++ {
				begun.Store(int64(v))
				load(strconv.Itoa(v), rowsOfSwap(v), nil)
				landed.Store(int64(v))
				if v%25 == 0 { // or metadata that list thousands of snapshots are all that takes time
					forgetSnapshots(t, cat, name)
				}
			}
			took := time.Since(started)
			stop()
			wg.Wait()
			for _, r := range readers {
				w := watches[r.name]
				t.Logf("%s: %d reads, %d versions of %d", r.name, w.reads, len(w.versions), swaps)
				if w.wrong != "" {
					t.Errorf("%s, read %d: %s", r.name, w.reads, w.wrong)
				}
				if len(w.versions) < min(r.least, swaps/10) {
					t.Errorf("%s saw %d versions in %d reads, too few to tell", r.name, len(w.versions), w.reads)
				}
			}
			t.Logf("%d swaps in %v", swaps, took.Round(time.Millisecond))
			if y != nil {
				y.SurvivedTimes(t, swaps, 1)
			}
		})
	}
}

// see holds what was read against the versions that may have been there.
func (w *watch) see(rows []string, from, to int) {
	w.reads++
	slices.Sort(rows)
	for v := from; v <= to; v++ {
		want := append(rowsOfSwap(v), rowsThatStay...)
		slices.Sort(want)
		if slices.Equal(rows, want) {
			w.versions[v] = true
			return
		}
	}
	w.wrong = fmt.Sprintf("version %d was there and %d had begun, it saw\n%s", from, to, strings.Join(rows, "\n"))
}

// swapReaders are the readers of a table, each with a catalog of its own.
func swapReaders(t *testing.T, l *lake, cfg catalog.Config, name string) []swapReader {
	ident := strings.Split(name, ".")
	load := func() func(ctx context.Context) (*table.Table, error) {
		cat := openCatalog(t, cfg)
		return func(ctx context.Context) (*table.Table, error) { return cat.LoadTable(ctx, ident) }
	}
	scanned, listed := load(), load()
	readers := []swapReader{
		{"scan", 80 * time.Millisecond, 100, func(ctx context.Context) ([]string, error) {
			tbl, err := scanned(ctx)
			if err != nil {
				return nil, err
			}
			return scanRows(ctx, tbl)
		}},
		{"manifests", 40 * time.Millisecond, 100, func(ctx context.Context) ([]string, error) {
			tbl, err := listed(ctx)
			if err != nil {
				return nil, err
			}
			return manifestRows(ctx, tbl)
		}},
	}
	for _, engine := range engines {
		r := newReader(t)
		readers = append(readers, swapReader{engine, 300 * time.Millisecond, 30, func(context.Context) ([]string, error) {
			var got contents
			if err := r.ask(engine+".read", l, name, nil, &got); err != nil {
				return nil, err
			}
			var rows []string
			for _, row := range got.Rows {
				rows = append(rows, fmt.Sprintf("%v,%v,%v", row...))
			}
			return rows, nil
		}})
	}
	return readers
}

func scanRows(ctx context.Context, tbl *table.Table) (rows []string, err error) {
	_, recs, err := tbl.Scan().ToArrowRecords(ctx)
	if err != nil {
		return nil, err
	}
	for rec, err := range recs {
		if err != nil {
			return nil, err
		}
		for i := range int(rec.NumRows()) {
			rows = append(rows, rec.Column(0).ValueStr(i)+","+rec.Column(1).ValueStr(i)+","+rec.Column(2).ValueStr(i))
		}
		rec.Release()
	}
	return rows, nil
}

// manifestRows are the rows that the snapshot's manifests promise. The version is the snapshot's run key: what
// a partition has of it shows in the number of its rows.
func manifestRows(ctx context.Context, tbl *table.Table) (rows []string, err error) {
	s := tbl.CurrentSnapshot()
	counts := map[string]int{}
	fs, err := tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	manifests, err := s.Manifests(fs)
	if err != nil {
		return nil, err
	}
	total := 0
	for _, m := range manifests {
		for e, err := range m.Entries(fs, true) {
			if err != nil {
				return nil, err
			}
			f := e.DataFile()
			for _, p := range f.Partition() {
				counts[fmt.Sprint(p)] += int(f.Count())
				total += int(f.Count())
			}
		}
	}
	if says := s.Summary.Properties["total-records"]; says != strconv.Itoa(total) {
		return nil, fmt.Errorf("the summary says %s rows, the manifests %d", says, total)
	}
	for _, p := range slices.Sorted(maps.Keys(counts)) {
		version := s.Summary.Properties["icewright.run-key"]
		if p == "stays" {
			version = "-1"
		}
		for n := range counts[p] {
			rows = append(rows, fmt.Sprintf("%s,%d,%s", p, n, version))
		}
	}
	return rows, nil
}

// forgetSnapshots expires all snapshots but the newest few; their files stay, for whoever is reading them.
func forgetSnapshots(t *testing.T, cat *catalog.Catalog, name string) {
	t.Helper()
	tbl, err := cat.LoadTable(t.Context(), strings.Split(name, "."))
	if err != nil {
		t.Fatal(err)
	}
	tx := tbl.NewTransaction()
	if err := tx.ExpireSnapshots(table.WithRetainLast(3), table.WithOlderThan(0), table.WithPostCommit(false)); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}
