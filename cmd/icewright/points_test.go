package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/gendoc"
	"github.com/icewright/icewright/internal/tally"
	"github.com/icewright/icewright/job"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/publish"
)

// scene is a load that is killed on its way. The table has partitions x and y, 100 rows of version 0 each,
// unless the load is its first.
type scene struct {
	name  string
	first bool           // the table is not there yet
	rows  map[string]int // of the input, by partition: version 1, but for y
	args  []string
	// history says that the table keeps the versions of p, by n.
	history bool
	props   map[string]string // of the table
	by      string            // the table's partitioning, of a first load; "": by p
	// rival says that another run swaps partition w before the load commits.
	rival bool
	// fails says that the input ends with a row that is none: nothing is to be loaded.
	fails bool
	// once says that the scene is played on SQLite alone: a merge comes by the same points, and the servers' time is dear.
	once bool
	// few says that only the points that no other scene comes by are of interest; large, that it takes a while, too.
	few, large bool
	// version is the table's format version; 0: the default.
	version int
}

var scenes = []scene{
	{name: "a first load", first: true, rows: map[string]int{"x": 50, "y": 60}},
	{name: "a swap", rows: map[string]int{"x": 150, "y": 100, "z": 50}, props: map[string]string{
		"write.metadata.delete-after-commit.enabled": "true", "write.metadata.previous-versions-max": "1",
	}},
	{name: "a swap beside another run", rows: map[string]int{"x": 150, "z": 50}, rival: true},
	{name: "a merge beside another run", rows: map[string]int{"x": 150, "y": 100, "z": 50}, args: []string{"--mode", "merge", "--key", "p,n"}, rival: true},
	{name: "an insert beside another run", rows: map[string]int{"v": 60, "y": 100}, args: []string{"--mode", "insert", "--key", "p,n"}, rival: true, once: true},
	{name: "a merge on read beside another run", rows: map[string]int{"x": 150, "y": 100, "z": 50}, args: []string{"--mode", "merge", "--key", "p,n", "--strategy", "merge-on-read"}, rival: true, once: true},
	{name: "a merge on read", rows: map[string]int{"x": 150}, args: []string{"--mode", "merge", "--key", "p,n", "--strategy", "merge-on-read"}, few: true},
	{name: "a merge by deletion vectors", rows: map[string]int{"x": 150}, args: []string{"--mode", "merge", "--key", "p,n", "--strategy", "merge-on-read"}, version: 3, few: true},
	{name: "a history beside another run", rows: map[string]int{"x": 150, "y": 120, "z": 50}, args: []string{"--mode", "merge", "--key", "p", "--history", "since,until", "--effective", "n"}, rival: true, history: true},
	{name: "an append beside another run", rows: map[string]int{"v": 60}, args: []string{"--mode", "append", "--run-key", "v"}, rival: true},
	{name: "a first load that fails", first: true, rows: map[string]int{"x": 50}, fails: true},
	{name: "a swap that spills", rows: map[string]int{"x": 1_000_000, "y": 100}, args: []string{"--memory", "64MiB"}, large: true},
}

// envVenue has TestKilledAtEveryPoint play on another catalog than SQLite: a venue in JSON. Package interop, which
// has servers, runs this test so.
const envVenue = "POINTS_VENUE"

// venue is the catalog that scenes are played on. The zero venue is the lake of the working directory.
type venue struct {
	URI, Warehouse string
	Props          iceberg.Properties
	// Never are points that no load comes to there.
	Never []string
}

func venueOf(t *testing.T) (v venue, other bool) {
	t.Helper()
	text := os.Getenv(envVenue)
	if text == "" {
		return v, false
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", envVenue, err)
	}
	return v, true
}

// TestKilledAtEveryPoint: a process that is killed, wherever, leaves the table as it was or as it is to be, and a
// plain rerun makes it what it is to be, once, adding nothing to what the dead one left behind.
func TestKilledAtEveryPoint(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	v, other := venueOf(t)
	survived := func(*testing.T, ...int) {} // interop counts its own
	if !other {
		y := tally.Of(t, "SIGKILL at every point that the source names, at the first and the last time that the process comes by")
		survived = func(t *testing.T, kept ...int) { y.Survived(t, kept...) }
	}
	named := slices.DeleteFunc(pointsInSource(t), func(name string) bool { return slices.Contains(v.Never, name) })
	reached := map[string]bool{}
	for _, s := range scenes {
		if s.once && other {
			continue
		}
		counts := map[string]int{}
		p := newPlay(t, s, v)
		p.mustEnd(p.command(fault.LogPoints + "=" + filepath.Join(p.dir, "points")))
		p.check("without a kill", false)
		log, err := os.ReadFile(filepath.Join(p.dir, "points"))
		if err != nil {
			t.Fatal(err)
		}
		for name := range strings.Lines(string(log)) {
			counts[strings.TrimSpace(name)]++
		}
		for _, name := range v.Never {
			if counts[name] > 0 {
				t.Errorf("a load comes to %q", name)
			}
		}
		for _, name := range named {
			n := counts[name]
			if n == 0 || (s.large || s.few) && reached[name] {
				continue
			}
			reached[name] = true
			times := []int{1, n}
			if s.large { // how often it spills depends on the timing
				times = times[:1]
			}
			for _, nth := range slices.Compact(times) {
				which := "the last time"
				if nth == 1 {
					which = "once"
				}
				t.Run(fmt.Sprintf("%s, %s, %s", s.name, name, which), func(t *testing.T) {
					if other {
						t.Parallel() // it waits for servers
					}
					p := newPlay(t, s, v)
					p.mustDie(p.command(fmt.Sprintf("%s=%d %s", fault.KillAt, nth, name)))
					p.check("killed", true)
					kept := []int{1, 2, 3, 5, 6, 8}
					if s.rival {
						kept = append(kept, 4)
					}
					survived(t, kept...)
				})
			}
		}
	}
	for _, name := range named {
		if !reached[name] {
			t.Errorf("no load of this test comes to the point %q: write a scene that does", name)
		}
	}
}

// pointsInSource are the names of the points that the module's source has, each once. What is internal is for tests.
func pointsInSource(t *testing.T) (names []string) {
	t.Helper()
	at := map[string]string{}
	err := filepath.WalkDir(gendoc.Root(t), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (strings.HasPrefix(d.Name(), ".") || d.Name() == "internal") {
			return fs.SkipDir
		}
		if err != nil || strings.HasSuffix(path, "_test.go") || !strings.HasSuffix(path, ".go") {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := f.X.(*ast.Ident); !ok || x.Name != "point" {
				return true
			}
			where := set.Position(call.Pos()).String()
			if f.Sel.Name != "Reach" {
				t.Errorf("%s: point.%s is for tests", where, f.Sel.Name)
				return true
			}
			lit, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: the name of a point is a literal", where)
				return true
			}
			name, _ := strconv.Unquote(lit.Value)
			if at[name] != "" {
				t.Errorf("%s: the point %q is at %s too", where, name, at[name])
			}
			at[name] = where
			names = append(names, name)
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// play is a lake on which a scene is played, by processes of their own; what is before and after them is done here.
type play struct {
	bench
	s     scene
	ident table.Identifier
	where catalog.Config
	flags []string // that say where
	// meanwhile is what happens while a process is held at a point; nil: nothing holds it.
	meanwhile func()
}

// plays are counted, so that each has a table of its own in a catalog that they share.
var plays atomic.Int64

func newPlay(t *testing.T, s scene, v venue) *play {
	t.Helper()
	dir := t.TempDir()
	p := &play{bench: bench{t, dir}, s: s, where: catalog.Config{Dir: dir, Home: dir}, ident: table.Identifier{"a", "t"}}
	if v.URI != "" {
		p.ident = table.Identifier{"killed", fmt.Sprintf("t%d_%d", os.Getpid(), plays.Add(1))}
		p.where.URI, p.where.Warehouse, p.where.Props = v.URI, v.Warehouse, v.Props
		p.flags = []string{"--catalog-uri", v.URI, "--warehouse", v.Warehouse}
		for _, key := range slices.Sorted(maps.Keys(v.Props)) {
			p.flags = append(p.flags, "--catalog-prop", key+"="+v.Props[key])
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "schema.yaml"), []byte("columns: {p: string, n: long, v: string}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if !s.first {
		p.csv("before.csv", map[string]int{"x": 100, "y": 100, "w": 100}, "0")
		before := job.Job{Sources: []string{"before.csv"}, PartitionBy: "p", Schema: filepath.Join(dir, "schema.yaml"), TableProps: s.props, FormatVersion: s.version}
		p.csv("w.csv", map[string]int{"w": 100}, "1")
		w := job.Job{Sources: []string{"w.csv"}}
		if s.history {
			before, w = keepingVersions(before), keepingVersions(w)
		}
		p.load(before)
		p.load(w)
	}
	p.csv("rival.csv", map[string]int{"w": 80}, "2")
	if s.rival {
		p.meanwhile = func() { p.load(job.Job{Sources: []string{"rival.csv"}}) }
	}
	p.csv("in.csv", s.rows, "1")
	if s.fails {
		f, err := os.OpenFile(filepath.Join(dir, "in.csv"), os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(f, "x,none,1")
		f.Close()
	}
	return p
}

// keepingVersions is j for a table with the versions of p, by n.
func keepingVersions(j job.Job) job.Job {
	j.Mode, j.Key, j.History, j.Effective = job.Merge, []string{"p"}, []string{"since", "until"}, "n"
	return j
}

func (p *play) name() string { return catalog.FormatIdentifier(p.ident) }

// csv writes rows of a version; y's are always of version 0. Long values of many rows don't compress.
func (p *play) csv(name string, rows map[string]int, version string) {
	p.t.Helper()
	var text strings.Builder
	text.WriteString("p,n,v\n")
	random := rand.New(rand.NewPCG(1, 2))
	for _, part := range []string{"v", "w", "x", "y", "z"} {
		v := version
		if part == "y" {
			v = "0"
		}
		for i := range rows[part] {
			fmt.Fprintf(&text, "%s,%d,%s", part, i, v)
			if rows[part] > 1000 {
				fmt.Fprintf(&text, "%x%x", random.Uint64(), random.Uint64())
			}
			text.WriteByte('\n')
		}
	}
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text.String()), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// load runs here, in the test's process, and must succeed.
func (p *play) load(j job.Job) job.Receipt {
	p.t.Helper()
	j.Sources = slices.Clone(j.Sources)
	for i, name := range j.Sources {
		j.Sources[i] = filepath.Join(p.dir, name)
	}
	j.Table, j.Catalog = p.name(), p.where
	r, err := job.Load(context.WithoutCancel(p.t.Context()), j)
	if err != nil {
		p.t.Fatalf("load %v: %v", j.Sources, err)
	}
	return r
}

// command is the scene's load, as a process that is told about points.
func (p *play) command(env ...string) *exec.Cmd {
	args := append([]string{"load", "in.csv", "--table", p.name(), "--workers", "1", "--progress", "none", "--spill-dir", p.dir}, p.s.args...)
	args = append(args, p.flags...)
	if p.s.first {
		args = append(args, "--partition-by", cmp.Or(p.s.by, "p"), "--schema", "schema.yaml")
	}
	cmd := p.bench.command(args...)
	cmd.Env = append(cmd.Env, env...)
	if p.s.rival {
		cmd.Env = append(cmd.Env, fault.HoldAt+"=publish: planned")
	}
	return cmd
}

// run starts cmd, has meanwhile happen while it is held, and waits for its end.
func (p *play) run(cmd *exec.Cmd) (code int, output string) {
	p.t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	hold := filepath.Join(p.dir, fault.Held)
	for {
		select {
		case err := <-done:
			return codeOf(p.t, err), out.String()
		case <-time.After(2 * time.Millisecond):
		}
		if _, err := os.Stat(hold); err == nil && p.meanwhile != nil {
			p.meanwhile()
			if err := os.Remove(hold); err != nil {
				p.t.Fatal(err)
			}
		}
	}
}

func (p *play) mustEnd(cmd *exec.Cmd) {
	p.t.Helper()
	want := 0
	if p.s.fails {
		want = exitInput
	}
	if code, output := p.run(cmd); code != want {
		p.t.Fatalf("exit code %d, want %d: %s", code, want, output)
	}
}

// mustDie runs cmd, which is to be killed, and checks the memory that it took.
func (p *play) mustDie(cmd *exec.Cmd) {
	p.t.Helper()
	if code, output := p.run(cmd); code != -1 {
		p.t.Fatalf("exit code %d, was not killed: %s", code, output)
	}
	p.mustBeBounded()
}

// mustBeBounded checks the peak of memory of the process that was killed against its budget: 1 GiB, or 64 MiB
// where that was said, and what a Go program of this size takes for itself. (The system's own count of a child's
// peak has its parent's in it.)
func (p *play) mustBeBounded() {
	p.t.Helper()
	const constant = 150 << 10
	budget := 1 << 20
	if slices.Contains(p.s.args, "64MiB") {
		budget = 64 << 10
	}
	text, err := os.ReadFile(filepath.Join(p.dir, fault.Peak))
	if errors.Is(err, fs.ErrNotExist) && runtime.GOOS != "linux" {
		return
	}
	peak := 0
	if m := regexp.MustCompile(`VmHWM:\s*(\d+) kB`).FindSubmatch(text); m != nil {
		peak, err = strconv.Atoi(string(m[1]))
	}
	if err != nil || peak == 0 || peak > budget+constant {
		p.t.Errorf("the process took %d MiB (%v), its budget is %d MiB", peak>>10, err, budget>>10)
	}
}

// check looks at the table after the scene's load, runs it again, and looks again.
func (p *play) check(when string, died bool) {
	p.t.Helper()
	before, after := map[string]int{"x/0": 100, "y/0": 100, "w/1": 100}, map[string]int{"x/0": 100, "y/0": 100, "w/1": 100}
	if p.s.first {
		before, after = map[string]int{}, map[string]int{}
	}
	if p.s.rival {
		if other := p.counts(); other["w/2"] == 80 { // it was killed after the other run came
			delete(before, "w/1")
			delete(after, "w/1")
			before["w/2"], after["w/2"] = 80, 80
		}
	}
	for part, n := range p.s.rows {
		version := "1"
		if part == "y" {
			version = "0"
		}
		if p.s.fails {
			break
		}
		delete(after, part+"/0")
		after[part+"/"+version] = n
	}
	got := p.counts()
	landed := same(got, after)
	if !landed && !same(got, before) {
		p.t.Fatalf("%s: a reader sees %v, neither %v nor %v", when, got, before, after)
	}
	if landed && p.s.fails && len(after) > 0 {
		p.t.Errorf("%s: it landed, and was to fail", when)
	}
	had, attempts := p.litter(), p.attempts()

	j := job.Job{Sources: []string{"in.csv"}, Workers: 1}
	if slices.Contains(p.s.args, "merge") {
		j.Mode, j.Key = job.Merge, []string{"p,n"}
	}
	if slices.Contains(p.s.args, "insert") {
		j.Mode, j.Key = job.Insert, []string{"p,n"}
	}
	if p.s.history {
		j = keepingVersions(j)
	}
	again := job.Unchanged
	if slices.Contains(p.s.args, "append") {
		j.Mode, j.RunKey, again = job.Append, "v", job.AlreadyPublished
	}
	if p.s.first {
		j.PartitionBy, j.Schema = cmp.Or(p.s.by, "p"), filepath.Join(p.dir, "schema.yaml")
	}
	if p.s.fails {
		j.Table, j.Catalog, j.Sources = p.name(), p.where, []string{filepath.Join(p.dir, "in.csv")}
		if _, err := job.Load(context.WithoutCancel(p.t.Context()), j); exitCode(p.t.Context(), err) != exitInput {
			p.t.Errorf("%s, the rerun: %v", when, err)
		}
	} else {
		r := p.load(j)
		if landed != (r.Status == again) || r.RowsRead != r.RowsWritten+r.RowsUnchanged {
			p.t.Errorf("%s (landed: %v), the rerun says %s, %d rows read, %d written, %d unchanged", when, landed, r.Status, r.RowsRead, r.RowsWritten, r.RowsUnchanged)
		}
		if r := p.load(j); r.Status != again {
			p.t.Errorf("%s, the third run says %s", when, r.Status)
		}
	}
	if got := p.counts(); !same(got, after) {
		p.t.Errorf("%s, after the rerun: %v, want %v", when, got, after)
	}
	want := len(attempts)
	if !landed {
		want++
	}
	if p.s.fails {
		want = 0
	}
	ids := p.attempts()
	distinct := map[string]bool{}
	for _, id := range ids {
		distinct[id] = true
	}
	if len(ids) != want || len(distinct) != want {
		p.t.Errorf("%s: %d snapshots by %d attempts after the rerun, want %d", when, len(ids), len(distinct), want)
	}
	for _, f := range p.litter() {
		if !slices.Contains(had, f) {
			p.t.Errorf("%s: the rerun left behind %s", when, f)
		}
	}
	if !died && len(had) > 0 {
		p.t.Errorf("%s: left behind: %v", when, had)
	}
	if spilled, _ := filepath.Glob(filepath.Join(p.dir, "icewright-spill-*")); len(spilled) > 0 {
		p.t.Errorf("%s: spill files are left: %v", when, spilled)
	}
	p.sweep(when)
}

func (p *play) table() (*catalog.Catalog, *table.Table) {
	p.t.Helper()
	cat, err := catalog.Open(context.WithoutCancel(p.t.Context()), p.where)
	if err != nil {
		p.t.Fatal(err)
	}
	tbl, err := cat.LoadTable(context.WithoutCancel(p.t.Context()), p.ident)
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		p.t.Fatal(err)
	}
	return cat, tbl
}

// counts are the rows of the table by partition and version.
func (p *play) counts() map[string]int {
	p.t.Helper()
	cat, tbl := p.table()
	defer cat.Close()
	counts := map[string]int{}
	if tbl == nil {
		return counts
	}
	_, recs, err := tbl.Scan().ToArrowRecords(context.WithoutCancel(p.t.Context()))
	if err != nil {
		p.t.Fatal(err)
	}
	for rec, err := range recs {
		if err != nil {
			p.t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			counts[rec.Column(0).ValueStr(i)+"/"+rec.Column(2).ValueStr(i)[:1]]++
		}
		rec.Release()
	}
	return counts
}

func (p *play) attempts() (ids []string) {
	p.t.Helper()
	cat, tbl := p.table()
	defer cat.Close()
	if tbl == nil {
		return nil
	}
	for _, s := range tbl.Metadata().Snapshots() {
		ids = append(ids, s.Summary.Properties[publish.KeyAttempt])
	}
	return ids
}

// litter is what no snapshot refers to.
func (p *play) litter() (paths []string) {
	p.t.Helper()
	cat, tbl := p.table()
	defer cat.Close()
	if tbl == nil && len(p.flags) > 0 {
		p.t.Error("the table is gone")
		return nil
	}
	if tbl == nil {
		_ = filepath.WalkDir(filepath.Join(p.dir, "lake", "warehouse"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				paths = append(paths, path)
			}
			return nil
		})
		return paths
	}
	found, err := writer.FindLitter(p.t.Context(), cat, tbl, time.Now().Add(time.Hour))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range found.Files {
		paths = append(paths, f.Path)
	}
	return paths
}

// sweep removes what was left behind, as `icewright doctor --litter --yes` does, after which the table is as
// it was.
func (p *play) sweep(when string) {
	p.t.Helper()
	cat, tbl := p.table()
	defer cat.Close()
	if tbl == nil {
		return
	}
	had := p.counts()
	found, err := writer.FindLitter(p.t.Context(), cat, tbl, time.Now().Add(time.Hour))
	if err != nil {
		p.t.Fatal(err)
	}
	if n, err := writer.RemoveLitter(p.t.Context(), tbl, found.Files); err != nil || n != len(found.Files) {
		p.t.Errorf("%s: %d of %d files swept: %v", when, n, len(found.Files), err)
	}
	if got := p.counts(); !same(got, had) || len(p.litter()) > 0 {
		p.t.Errorf("%s: after the litter was removed the table has %v, before %v", when, got, had)
	}
}
