package writer_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog/rest"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/schedule"
	"github.com/icewright/icewright/internal/tally"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/slice"
)

// How many histories TestSchedules goes through. ICEWRIGHT_SCHEDULES says another number.
const schedules = 500

// TestSchedules: loads of one table whose calls to the catalog come in any order, with lost answers,
// late commits, killed processes, compaction and expiry in between. In every history the table's versions
// are those of a model that does one load after the other (schedules_model_test.go). A seed that fails
// does so again: go test ./writer -run TestSchedules/all/seed_17$
func TestSchedules(t *testing.T) {
	n := schedules
	if text := os.Getenv("ICEWRIGHT_SCHEDULES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	var y *tally.Tally
	if n == schedules {
		y = tally.Of(t, "several loads take turns at their calls to the catalog, in an order that a seed decides, with lost answers, late commits, kills, compaction and expiry in between")
	}
	var total encounters
	t.Run("all", func(t *testing.T) {
		for seed := range n {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				t.Parallel()
				if y != nil {
					y.Survived(t, 2, 3, 4, 8)
				}
				s := newSim(t, uint64(seed))
				s.run()
				s.check(&total)
				if t.Failed() {
					t.Logf("seed %d:\n%s\n%s", seed, s.cast(), strings.Join(s.order.Trace(), "\n"))
				}
			})
		}
	})
	t.Logf("%d histories: %+v", n, total.counts)
	if n >= schedules && !t.Failed() {
		total.mustHaveMetAll(t)
	}
}

// sim is one history of loads that share a table.
type sim struct {
	t     testing.TB
	order *schedule.Schedule
	store *testcat.Store
	loads []*simLoad

	faulty  bool // answers get lost, and so on
	expires bool // snapshots are taken away while loads go on
	hides   bool // only the newest snapshot is to be seen
	died    int
}

// simLoad is one load: what it does, and what it said.
type simLoad struct {
	name, job  string
	how        string   // touched, declared, table or empty
	regions    []string // with rows
	owns       []string // of how=declared and empty: the slice
	generation int      // marks the rows; equal ones are equal
	column     string   // to be added; "" is none
	shrink     bool
	attempt    uuid.UUID

	started       time.Time
	base, sees    int // versions: the first and the last that it loaded
	res           writer.Result
	err           error
	ended, killed bool
	// doubtful says that some commit of it got no answer, or a wrong one; alone that none of its questions
	// is answered any more.
	doubtful, alone bool

	mu    sync.Mutex
	wrote []string // files
}

var simRegions = []string{"a", "b", "c", "d"}

func newSim(t testing.TB, seed uint64) *sim {
	s := &sim{t: t, order: schedule.New(seed)}
	r := s.order.Rand
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000, Name: "region", Transform: iceberg.IdentityTransform{}})
	props := iceberg.Properties{table.PropertyFormatVersion: strconv.Itoa(1 + r.IntN(3)), "commit.manifest.min-count-to-merge": strconv.Itoa(2 + r.IntN(8))}
	meta, err := table.NewMetadata(schema, &spec, table.UnsortedSortOrder, fmt.Sprintf("mem://schedules-%s-%d", uuid.New(), seed), props)
	if err != nil {
		t.Fatal(err)
	}
	s.store = testcat.NewStore(t, ident, meta)
	s.faulty = r.IntN(2) == 0
	s.expires = r.IntN(6) == 0
	s.hides = r.IntN(8) == 0
	for i := range 2 + r.IntN(5) {
		s.add(i)
	}
	if r.IntN(3) == 0 {
		s.order.Go("compaction", s.compact)
	}
	if s.expires {
		s.order.Go("expiry", s.expire)
	}
	return s
}

// add draws a load and has it take part.
func (s *sim) add(i int) {
	r := s.order.Rand
	pick := func(atLeast int) []string {
		out := slices.Clone(simRegions)
		r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		return slices.Sorted(slices.Values(out[:atLeast+r.IntN(len(out)-atLeast+1)]))
	}
	l := &simLoad{
		name: fmt.Sprintf("load %d", i), job: fmt.Sprintf("job %d", r.IntN(3)), how: "touched",
		regions: pick(1), generation: 1 + r.IntN(i+1), shrink: r.IntN(4) > 0, attempt: uuid.Must(uuid.NewV7()),
	}
	switch r.IntN(8) {
	case 0:
		l.how = "table"
	case 1:
		l.how, l.owns = "declared", pick(1)
		l.regions = slices.DeleteFunc(l.regions, func(p string) bool { return !slices.Contains(l.owns, p) })
		if len(l.regions) == 0 {
			l.regions = l.owns[:1]
		}
	case 2:
		l.how, l.owns, l.regions = "empty", pick(1), nil
	}
	if r.IntN(8) == 0 && l.how != "empty" {
		l.column = []string{"x", "y"}[r.IntN(2)]
	}
	s.start(l)
}

func (s *sim) start(l *simLoad) {
	s.loads = append(s.loads, l)
	s.order.Go(l.name, func(a *schedule.Actor) { s.load(a, l) })
}

func (s *sim) run() {
	if err := s.order.Run(); err != nil {
		s.t.Error(err)
	}
}

// load is what package job does of a load, and no more.
func (s *sim) load(a *schedule.Actor, l *simLoad) {
	defer func() {
		if !l.ended && l.killed && s.died < 3 { // whoever looks after the job starts it again
			s.died++
			again := &simLoad{
				name: l.name + "'", job: l.job, how: l.how, regions: l.regions, owns: l.owns,
				generation: l.generation, column: l.column, shrink: l.shrink, attempt: uuid.Must(uuid.NewV7()),
			}
			s.start(again)
		}
	}()
	l.started = s.order.Now()
	h := &handle{sim: s, actor: a, load: l}
	tbl, err := h.LoadTable(s.t.Context(), ident)
	if err != nil {
		l.err, l.ended = err, true
		return
	}
	l.base = l.sees
	o := writer.Options{
		ReplaceTable: l.how == "table", AllowShrink: l.shrink, Workers: 1,
		Job: l.job, Attempt: l.attempt, Started: l.started,
		Publish: publish.Options{Sleep: a.Sleep, Now: s.order.Now, Patience: 20 * time.Second},
	}
	if l.owns != nil {
		if o.Slice, err = slice.Parse("region in ('"+strings.Join(l.owns, "','")+"')", schema, time.UTC); err != nil {
			s.t.Error(err)
		}
	}
	if l.how == "empty" {
		o.OnEmpty = plan.OnEmptyClear
	}
	rowSchema := tbl.Schema()
	if l.column != "" {
		allow, input := catalog.Evolve{Add: true}, tbl.Schema()
		if _, ok := input.FindFieldByName(l.column); !ok {
			input = with(tbl, l.column)
		}
		o.Evolve = func(base *table.Table) catalog.Drift { return allow.Compare(base.Metadata(), input, nil) }
		rowSchema = o.Evolve(tbl).Schema
		o.Schema = rowSchema
	}
	l.res, l.err = writer.Load(s.t.Context(), h, tbl, l.rows(s.t, rowSchema), o)
	l.ended = true
	a.Note(fmt.Sprintf("ends: %s %v", l.res.Status, l.err))
}

// rowsIn is how many rows the load has for a region.
func (l *simLoad) rowsIn(region string) int { return 1 + (l.generation+int(region[0]))%3 }

// rows are one batch for each region.
func (l *simLoad) rows(t testing.TB, schema *iceberg.Schema) iter.Seq2[arrowconv.Batch, error] {
	as, err := arrowconv.ArrowSchema(schema)
	if err != nil {
		t.Error(err)
	}
	return func(yield func(arrowconv.Batch, error) bool) {
		first := int64(1)
		for _, region := range l.regions {
			b := array.NewRecordBuilder(memory.DefaultAllocator, as)
			for id := range l.rowsIn(region) {
				for i, f := range as.Fields() {
					switch f.Name {
					case "id":
						b.Field(i).(*array.Int64Builder).Append(int64(id))
					case "region":
						b.Field(i).(*array.StringBuilder).Append(region)
					case "amount":
						b.Field(i).(*array.Float64Builder).Append(float64(l.generation))
					case l.column:
						b.Field(i).(*array.Int64Builder).Append(int64(l.generation))
					default:
						b.Field(i).AppendNull()
					}
				}
			}
			rec := b.NewRecordBatch()
			b.Release()
			if !yield(arrowconv.Batch{RecordBatch: rec, Source: l.name, FirstRow: first}, nil) {
				return
			}
			first += rec.NumRows()
		}
	}
}

// handle is the catalog as one load has it.
type handle struct {
	*sim
	actor *schedule.Actor
	load  *simLoad
}

// mayDie kills the load now and then.
func (h *handle) mayDie() {
	if h.faulty && h.died < 2 && h.order.Rand.IntN(25) == 0 {
		h.load.killed = true
		h.actor.Die()
	}
}

func (h *handle) LoadTable(context.Context, table.Identifier) (*table.Table, error) {
	h.actor.Turn("loads the table")
	h.mayDie()
	if h.load.alone || h.faulty && h.load.base > 0 && h.order.Rand.IntN(20) == 0 {
		h.actor.Note("no answer")
		return nil, fmt.Errorf("%w: %w", catalog.ErrTransient, fault.ErrDown)
	}
	tbl, version := h.store.Load(func(files iceio.IO) iceio.IO { return &recorder{files.(iceio.WriteFileIO), h.load} })
	h.load.sees = version
	h.actor.Note(fmt.Sprintf("version %d", version))
	if h.hides {
		return testcat.Newest(tbl)
	}
	return tbl, nil
}

func (h *handle) CommitTable(_ context.Context, _ table.Identifier, requirements []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	h.actor.Turn("commits")
	h.mayDie()
	what := "lands"
	if h.faulty {
		what = []string{"lands", "lands", "lands", "lands", "lands", "is lost", "lands, reply lost", "lands late", "answers 503", "conflicts"}[h.order.Rand.IntN(10)]
	}
	h.actor.Note(what)
	if what != "lands" && what != "conflicts" {
		h.load.doubtful, h.load.alone = true, h.order.Rand.IntN(10) == 0
	}
	switch what {
	case "is lost":
		return nil, "", fault.ErrReplyLost
	case "conflicts":
		return nil, "", rest.ErrCommitFailed
	case "lands late":
		h.order.Go(h.load.name+"'s commit", func(a *schedule.Actor) {
			_, err := h.store.Commit(requirements, updates)
			a.Note(fmt.Sprintf("arrives: %v", err))
		})
		h.actor.Turn("waits for an answer")
		return nil, "", fault.ErrReplyLost
	}
	meta, err := h.store.Commit(requirements, updates)
	h.actor.Note(fmt.Sprint(err))
	h.actor.Turn("gets the answer")
	h.mayDie()
	switch {
	case what == "lands, reply lost":
		return nil, "", fault.ErrReplyLost
	case what == "answers 503":
		return nil, "", rest.ErrCommitStateUnknown
	case errors.Is(err, testcat.ErrRequirement) && (!h.faulty || h.order.Rand.IntN(2) == 0):
		return nil, "", rest.ErrCommitFailed
	case err != nil:
		h.load.doubtful = true // a plain error says nothing
	}
	return meta, "", err
}

// recorder notes what a load writes.
type recorder struct {
	iceio.WriteFileIO
	load *simLoad
}

func (r *recorder) note(name string) {
	r.load.mu.Lock()
	defer r.load.mu.Unlock()
	r.load.wrote = append(r.load.wrote, name)
}

func (r *recorder) Create(name string) (iceio.FileWriter, error) {
	r.note(name)
	return r.WriteFileIO.Create(name)
}

func (r *recorder) WriteFile(name string, content []byte) error {
	r.note(name)
	return r.WriteFileIO.WriteFile(name, content)
}

// compact writes files anew as other engines do: the same rows, without what icewright keeps in footers.
func (s *sim) compact(a *schedule.Actor) {
	for range 1 + s.order.Rand.IntN(3) {
		h := &compactor{s, a}
		base, err := h.LoadTable(s.t.Context(), ident)
		if err != nil || base.CurrentSnapshot() == nil {
			continue
		}
		rewrite := func(_ context.Context, base *table.Table) (*publish.Change, error) {
			c := &publish.Change{Operation: table.OpReplace}
			for _, f := range s.files(base.Metadata()) {
				if s.order.Rand.IntN(2) > 0 {
					continue
				}
				c.Remove = append(c.Remove, f)
				c.Add = append(c.Add, rewritten(s.t, base, f.DataFile()))
			}
			if len(c.Add) == 0 {
				return nil, nil
			}
			return c, nil
		}
		_, err = publish.Publish(s.t.Context(), h, publish.Attempt{
			ID: uuid.New(), Table: ident, Branch: table.MainBranch, Job: "compaction", Started: s.order.Now(), Base: base,
			Touches: func(iceberg.DataFile, iceberg.PartitionSpec, *iceberg.Schema) bool { return false },
		}, rewrite, publish.Options{Sleep: a.Sleep, Now: s.order.Now, Conflicts: 3})
		if err != nil && !errors.Is(err, publish.ErrConflict) {
			s.t.Errorf("compaction: %v", err)
		}
	}
}

// compactor is the catalog as compaction has it: nothing goes wrong there.
type compactor struct {
	*sim
	actor *schedule.Actor
}

func (c *compactor) LoadTable(context.Context, table.Identifier) (*table.Table, error) {
	c.actor.Turn("loads the table")
	tbl, _ := c.store.Load(nil)
	return tbl, nil
}

func (c *compactor) CommitTable(_ context.Context, _ table.Identifier, requirements []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	c.actor.Turn("commits")
	meta, err := c.store.Commit(requirements, updates)
	if errors.Is(err, testcat.ErrRequirement) {
		err = rest.ErrCommitFailed
	}
	c.actor.Note(fmt.Sprint(err))
	return meta, "", err
}

// expire takes all snapshots away but the newest, files apart.
func (s *sim) expire(a *schedule.Actor) {
	for range 1 + s.order.Rand.IntN(3) {
		a.Turn("expires snapshots")
		tbl, _ := s.store.Load(nil)
		var old []int64
		for _, o := range tbl.Metadata().Snapshots() {
			if o.SnapshotID != tbl.CurrentSnapshot().SnapshotID {
				old = append(old, o.SnapshotID)
			}
		}
		if len(old) == 0 {
			continue
		}
		if _, err := s.store.Commit(nil, []table.Update{table.NewRemoveSnapshotsUpdate(old, false)}); err != nil {
			s.t.Error(err)
		}
	}
}
