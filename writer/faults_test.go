package writer_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/google/go-cmp/cmp"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/tally"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/publish"
)

// story is a load that a fault befalls: of a table with a partition that changes, one that does not, a new one,
// and one that another run swaps in the meantime.
type story struct {
	catalog, storage string // scripts
	beside           bool   // another run lands before the first commit
	// refused says that running it again is not what the error asks for.
	refused bool
	// patience bounds what a catalog that never answers costs.
	patience time.Duration
}

func (s story) name() string {
	name := strings.ReplaceAll(strings.Trim(s.catalog+"\n"+s.storage, "\n"), "\n", ", ")
	if s.beside {
		name += ", beside another run"
	}
	return name
}

var (
	was    = []row{{1, "eu", 1}, {2, "eu", 2}, {3, "us", 3}, {4, "asia", 4}}
	input  = []row{{1, "eu", 10}, {2, "eu", 20}, {5, "eu", 50}, {3, "us", 3}, {6, "africa", 6}, {7, "-", 7}}
	theirs = []row{{4, "asia", 40}, {8, "asia", 80}}
	kept   = []row{{4, "asia", 4}}
)

// TestFaults: whatever the catalog and the object store do to a load, and whatever else lands on the way, a
// plain rerun makes the table what it is to be, once, and nothing is left lying about that nobody was told of.
func TestFaults(t *testing.T) {
	y := tally.Of(t, "each of its writes, reads and removals fails in every way, each answer of the catalog is lost, wrong or late; alone and beside another run")
	clean := newPlay(t)
	_, store, _ := clean.load(story{beside: true})
	files := clean.contents()

	var stories []story
	for _, beside := range []bool{false, true} {
		counts := store
		if !beside {
			_, counts, _ = newPlay(t).load(story{})
		}
		for event, ends := range map[string][]string{
			"write":  {"fails", "is torn", "finds the disk full", "lands, reply lost"},
			"read":   {"fails", "is torn", "answers 503 SlowDown"},
			"remove": {"fails", "lands, reply lost"},
		} {
			n := counts.Count(event)
			if n == 0 {
				t.Errorf("the load has no %s to fail", event)
			}
			for k := range n {
				for _, end := range ends {
					stories = append(stories, story{storage: fmt.Sprintf("%s #%d %s", event, k+1, end), beside: beside})
				}
			}
			stories = append(stories, story{storage: event + " #1 on fails", beside: beside})
		}
		stories = append(stories, story{storage: "write #1 is slow", beside: beside}, story{storage: "write #2 fails\nremove #1 fails", beside: beside})
		for _, end := range []string{
			"lands, reply lost", "lands late", "is lost", "is slow", "answers 409", "answers 500", "answers 502", "answers 503", "answers 504",
			"lands, answers 409", "lands, answers 500", "lands, answers 502", "lands, answers 503", "lands, answers 504",
		} {
			if !beside || !strings.HasPrefix(end, "lands") { // beside another run the first commit can't land
				stories = append(stories, story{catalog: "commit #1 " + end, beside: beside})
			}
		}
		stories = append(stories,
			story{catalog: "commit #1 answers 400", beside: beside, refused: !beside},
			story{catalog: "load #1 fails", beside: beside},
			story{catalog: "load #1 on answers 503", beside: beside},
			story{catalog: "load #2 on fails\ncommit #1 is lost", beside: beside},
		)
	}
	stories = append(stories,
		story{catalog: "commit #1 lands, never answers", patience: 50 * time.Millisecond},
		story{catalog: "commit #1 lands, reply lost\nload #2 to #4 fails"},
		story{catalog: "commit #1 lands, reply lost\nload #2 on fails"},
		story{catalog: "commit #1 is lost\ncommit #2 lands, answers 502"},
		story{catalog: "commit #1 to #3 is lost"},
		story{catalog: "commit #1 on is lost"},
		story{catalog: "commit #1 on answers 409"},
		story{catalog: "commit #1 is lost", storage: "write #1 is slow"},
	)
	for _, s := range stories {
		t.Run(s.name(), func(t *testing.T) {
			kept := []int{1, 2, 3, 5, 8, 9}
			if survive(t, s, files) {
				kept = append(kept, 4, 7)
			}
			y.Survived(t, kept...)
		})
	}
}

// survive lets a story happen, runs the load again, and checks everything. It tells whether another run
// landed beside the load, so that the order of the two was seen, and the files' bytes were compared.
func survive(t *testing.T, s story, files []string) (met bool) {
	p := newPlay(t)
	first, store, err := p.load(s)
	p.others = 0
	if s.beside && store.Count("write") > 0 {
		p.others = len(p.attempts()) - 1 // the load may have ended before the other run came
		if err == nil && first.Snapshot != nil {
			p.others--
		}
	}
	landed := p.landed(first)
	if n := store.Count("list"); n > 0 {
		t.Errorf("the load asked for %d lists, which may be stale", n)
	}

	// Atomic and clean: all of it, or nothing, and what stays is named.
	after, before := p.model(input...), p.model(was[:3]...)
	got := scan(t, p.Catalog)
	switch {
	case landed:
		mustEqual(t, "after the fault", after, got)
	default:
		mustEqual(t, "after the fault", before, got)
	}
	unknown := errors.Is(err, publish.ErrUnknown)
	switch {
	case err == nil:
		if !landed {
			t.Errorf("the load says %s, and no snapshot is its own", first.Status)
		}
		if first.RowsRead != first.RowsWritten+first.RowsUnchanged || first.RowsRead != int64(len(input)) {
			t.Errorf("%d rows read, %d written, %d unchanged", first.RowsRead, first.RowsWritten, first.RowsUnchanged)
		}
	case unknown:
	case landed:
		t.Errorf("the load landed and fails: %v", err)
	case s.refused:
		if !errors.Is(err, catalog.ErrRejected) {
			t.Errorf("error %v, want a refusal", err)
		}
	case !slices.ContainsFunc([]error{catalog.ErrTransient, catalog.ErrUnknownState, catalog.ErrConflict, publish.ErrConflict}, func(class error) bool { return errors.Is(err, class) }):
		t.Errorf("the error does not ask for a rerun: %v", err)
	}
	told := fmt.Sprint(err, hintOf(err), first.Litter)
	if strings.Contains(s.storage, "disk full") && err != nil && !strings.Contains(told, "make room") {
		t.Errorf("the error does not tell what to do: %v", told)
	}
	litter := p.litter()
	for _, f := range litter {
		// What the store refuses to remove stays, whoever asks.
		if !strings.Contains(told, path.Base(f)) && !strings.Contains(s.storage, "remove") && !unknown {
			t.Errorf("left behind without a word: %s\n%s", f, told)
		}
	}

	// Exactly once, and nothing new to be cleaned up: a plain rerun.
	second := mustLoad(t, p.Catalog, writer.Options{}, input...)
	if want := map[bool]writer.Status{true: writer.Unchanged, false: writer.Published}[landed]; second.Status != want {
		t.Errorf("the rerun says %s, want %s", second.Status, want)
	}
	mustEqual(t, "after the rerun", after, scan(t, p.Catalog))
	for _, f := range p.litter() {
		if !slices.Contains(litter, f) {
			t.Errorf("the rerun left behind %s", f)
		}
	}
	met = s.beside && p.others == 1
	if met {
		if d := cmp.Diff(files, p.contents()); d != "" {
			t.Errorf("files with other bytes (-want +got):\n%s", d)
		}
	}
	if third := mustLoad(t, p.Catalog, writer.Options{}, input...); third.Status != writer.Unchanged {
		t.Errorf("the third run says %s", third.Status)
	}
	seen := map[string]int{}
	for _, a := range p.attempts() {
		if seen[a]++; seen[a] > 1 {
			t.Errorf("attempt %s made %d snapshots", a, seen[a])
		}
	}
	if want := 2 + p.others; len(seen) != want {
		t.Errorf("%d snapshots, want %d", len(seen), want)
	}
	return met
}

// play is a table on which a story is played.
type play struct {
	*catalog.Catalog
	t      testing.TB
	others int // runs that landed beside the load
}

func newPlay(t testing.TB) *play {
	cat := newTable(t, "region")
	mustLoad(t, cat, writer.Options{}, was...)
	return &play{Catalog: cat, t: t}
}

// load is the load of a story, with its faults.
func (p *play) load(s story) (writer.Result, *fault.Storage, error) {
	tbl := current(p.t, p.Catalog)
	store := fault.Files(p.t, s.storage)
	broken := fault.New(p.t, p.Catalog, s.catalog)
	if s.beside {
		broken.Before = func(n int) {
			if n == 1 {
				store.Aside(func() { mustLoad(p.t, p.Catalog, writer.Options{}, theirs...) })
				p.others = 1
			}
		}
	}
	now := time.Now()
	o := writer.Options{Workers: 1, Publish: publish.Options{
		Patience: s.patience, Conflicts: 5,
		Now:   func() time.Time { return now },
		Sleep: func(ctx context.Context, _ time.Duration) error { now = now.Add(10 * time.Second); return ctx.Err() },
	}}
	testcat.Wrap(p.Catalog, store.Wrap)
	defer testcat.Wrap(p.Catalog, nil)
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	res, err := writer.Load(p.t.Context(), broken, tbl, batches(p.t, mem, 2, nil, input...), o)
	mem.AssertSize(p.t, 0)
	return res, store, err
}

// model is what the table is to hold: rows, and those of the partition that other runs swap.
func (p *play) model(rows ...row) []row {
	if p.others > 0 {
		return sorted(append(slices.Clone(rows), theirs...)...)
	}
	return sorted(append(slices.Clone(rows), kept...)...)
}

func (p *play) landed(r writer.Result) bool {
	return slices.Contains(p.attempts(), r.Attempt.String())
}

// attempts are those that made the snapshots.
func (p *play) attempts() (ids []string) {
	for _, s := range current(p.t, p.Catalog).Metadata().Snapshots() {
		ids = append(ids, s.Summary.Properties[publish.KeyAttempt])
	}
	return ids
}

// litter is what no snapshot refers to.
func (p *play) litter() []string {
	return testcat.Litter(p.t, current(p.t, p.Catalog))
}

// contents are the hashes of the live data files, sorted.
func (p *play) contents() (sums []string) {
	tbl := current(p.t, p.Catalog)
	fsys, err := tbl.FS(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	manifests, err := tbl.CurrentSnapshot().Manifests(fsys)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, m := range manifests {
		for e, err := range m.Entries(fsys, true) {
			if err != nil {
				p.t.Fatal(err)
			}
			b, err := fsys.(iceio.ReadFileIO).ReadFile(e.DataFile().FilePath())
			if err != nil {
				p.t.Fatal(err)
			}
			sums = append(sums, fmt.Sprintf("%v %x", e.DataFile().Partition(), sha256.Sum256(b)))
		}
	}
	slices.Sort(sums)
	return sums
}

func mustEqual(t *testing.T, when string, want, got []row) {
	t.Helper()
	if d := cmp.Diff(want, got, cmp.AllowUnexported(row{})); d != "" {
		t.Errorf("rows %s (-want +got):\n%s", when, d)
	}
}

// hintOf is what the error advises, as the command prints it.
func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
