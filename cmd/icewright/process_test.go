package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/icewright/icewright/job"
)

// These tests run icewright as real processes, which race, are interrupted and are killed.

// bench is a working directory with a lake in it.
type bench struct {
	t   *testing.T
	dir string
}

func newBench(t *testing.T) bench {
	t.Helper()
	if testing.Short() {
		t.Skip("starts many processes")
	}
	return bench{t, t.TempDir()}
}

// command is a process that waits to be started: this very test binary, under its other name.
func (b bench) command(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.CommandContext(b.t.Context(), self, args...)
	cmd.Args[0] = "icewright"
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "HOME="+b.dir)
	return cmd
}

// run runs a command and returns what it printed and its exit code.
func (b bench) run(args ...string) (stdout, stderr string, code int) {
	b.t.Helper()
	var out, errs bytes.Buffer
	cmd := b.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	code = codeOf(b.t, cmd.Run())
	return out.String(), errs.String(), code
}

// codeOf is the exit code of a process that ended with err.
func codeOf(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return -1
}

// ok runs a command that must succeed.
func (b bench) ok(args ...string) string {
	b.t.Helper()
	var out, errs bytes.Buffer
	cmd := b.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		b.t.Fatalf("icewright %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}

// write makes an input of rows in so many partitions; version makes its values differ from others'.
func (b bench) write(name string, partitions []string, rows int, version string) {
	b.t.Helper()
	var text strings.Builder
	text.WriteString("p,n,v\n")
	for i := range rows {
		fmt.Fprintf(&text, "%s,%d,v%s\n", partitions[i%len(partitions)], i, version)
	}
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text.String()), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// counts are the rows of the table by partition and version: "x/v1" → 10.
func (b bench) counts(table string) map[string]int {
	b.t.Helper()
	counts := map[string]int{}
	for line := range strings.Lines(b.ok("show", table, "--output", "csv", "--columns", "p,v")) {
		counts[strings.Replace(strings.TrimSpace(line), ",", "/", 1)]++
	}
	delete(counts, "p/v")
	return counts
}

// parquetFiles counts the data files on disk, litter included.
func (b bench) parquetFiles() int {
	n := 0
	_ = filepath.WalkDir(filepath.Join(b.dir, "lake"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".parquet") {
			n++
		}
		return nil
	})
	return n
}

func (b bench) snapshots(table string) int {
	return strings.Count(b.ok("history", table, "--output", "json"), "\n")
}

func same(a, b map[string]int) bool {
	return fmt.Sprint(a) == fmt.Sprint(b) // maps print in the order of their keys
}

// A run that is killed at any moment leaves the table as it was or as it should be, and running
// it again makes it what it should be: once, not twice.
func TestKilledThenRunAgain(t *testing.T) {
	b := newBench(t)
	partitions := []string{"x", "y", "z"}
	want := func(version string) map[string]int {
		return map[string]int{"x/v" + version: 10000, "y/v" + version: 10000, "z/v" + version: 10000}
	}
	b.write("0.csv", partitions, 30000, "0")
	load := func(version string) []string {
		return []string{"load", version + ".csv", "--table", "a.t", "--partition-by", "p", "--progress", "json"}
	}
	b.ok(load("0")...)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	before := "0"
	stages := []string{"", "stage", "plan", "publish"}
	for round := 1; round <= 12; round++ {
		version := fmt.Sprint(round)
		b.write(version+".csv", partitions, 30000, version)
		killed := b.kill(random, stages[round%len(stages)], load(version)...)

		got := b.counts("a.t")
		if !same(got, want(before)) && !same(got, want(version)) {
			t.Fatalf("round %d, killed %s: a reader sees %v", round, killed, got)
		}
		landed := same(got, want(version))
		had := b.snapshots("a.t")
		b.ok(load(version)...)
		if got := b.counts("a.t"); !same(got, want(version)) {
			t.Fatalf("round %d, killed %s, run again: %v", round, killed, got)
		}
		made := b.snapshots("a.t") - had
		if landed && made != 0 || !landed && made != 1 {
			t.Errorf("round %d, killed %s: the run landed: %v, and running it again made %d snapshots", round, killed, landed, made)
		}
		before = version
	}
}

// kill starts a command, waits until it tells of a stage (or not at all), then a little, and kills it.
func (b bench) kill(random *rand.Rand, stage string, args ...string) (when string) {
	b.t.Helper()
	cmd := b.command(args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	wait := time.Duration(random.IntN(40)) * time.Millisecond
	if stage == "" {
		wait = time.Duration(random.IntN(600)) * time.Millisecond
	} else {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if strings.Contains(lines.Text(), `"progress":"`+stage+`"`) {
				break
			}
		}
	}
	time.Sleep(wait)
	_ = cmd.Process.Kill()
	io.Copy(io.Discard, stderr)
	_ = cmd.Wait()
	return fmt.Sprintf("%v after %q", wait, stage)
}

// Two processes on disjoint partitions both land, whoever commits first.
func TestTwoProcessesDisjoint(t *testing.T) {
	b := newBench(t)
	b.write("init.csv", []string{"x", "y"}, 200, "0")
	b.ok("load", "init.csv", "--table", "a.t", "--partition-by", "p")
	for round := 1; round <= 5; round++ {
		version := fmt.Sprint(round)
		b.write("x.csv", []string{"x"}, 100, version)
		b.write("y.csv", []string{"y"}, 100, version)
		receipts := b.race([]string{"load", "x.csv", "--table", "a.t", "--output", "json"},
			[]string{"load", "y.csv", "--table", "a.t", "--output", "json"})
		for _, r := range receipts {
			if r.Status != job.Published {
				t.Errorf("round %d: %s: %+v", round, r.Status, r.Error)
			}
		}
		if got, want := b.counts("a.t"), (map[string]int{"x/v" + version: 100, "y/v" + version: 100}); !same(got, want) {
			t.Fatalf("round %d: %v, want %v", round, got, want)
		}
	}
	if n := b.snapshots("a.t"); n != 11 {
		t.Errorf("%d snapshots, want 11", n)
	}
}

// Two processes on the same partition: the outcome is one of the two inputs, whole, and whoever
// did not make it in the end was told, or had landed before.
func TestTwoProcessesOnePartition(t *testing.T) {
	b := newBench(t)
	b.write("init.csv", []string{"x"}, 100, "0")
	b.ok("load", "init.csv", "--table", "a.t", "--partition-by", "p")
	for round := 1; round <= 5; round++ {
		one, two := fmt.Sprintf("%da", round), fmt.Sprintf("%db", round)
		b.write("1.csv", []string{"x"}, 90, one)
		b.write("2.csv", []string{"x"}, 110, two)
		receipts := b.race([]string{"load", "1.csv", "--table", "a.t", "--output", "json"},
			[]string{"load", "2.csv", "--table", "a.t", "--output", "json"})
		landed := 0
		for _, r := range receipts {
			switch {
			case r.Status == job.Published:
				landed++
			case r.Error == nil || r.Error.ExitCode != exitConflict:
				t.Errorf("round %d: %s: %+v", round, r.Status, r.Error)
			}
		}
		got := b.counts("a.t")
		if landed == 0 || !same(got, map[string]int{"x/v" + one: 90}) && !same(got, map[string]int{"x/v" + two: 110}) {
			t.Fatalf("round %d: %d landed, the table has %v", round, landed, got)
		}
	}
}

// Processes that race to make a table agree on one.
func TestTwoProcessesFirstLoad(t *testing.T) {
	b := newBench(t)
	b.write("x.csv", []string{"x"}, 100, "1")
	b.write("y.csv", []string{"y"}, 100, "1")
	for _, r := range b.race([]string{"load", "x.csv", "--table", "a.t", "--partition-by", "p", "--output", "json"},
		[]string{"load", "y.csv", "--table", "a.t", "--partition-by", "p", "--output", "json"}) {
		if r.Status != job.Published {
			t.Errorf("%s: %+v", r.Status, r.Error)
		}
	}
	if got, want := b.counts("a.t"), (map[string]int{"x/v1": 100, "y/v1": 100}); !same(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
}

// race runs commands at the same time and returns their receipts.
func (b bench) race(commands ...[]string) []job.Receipt {
	b.t.Helper()
	receipts, outs, errs := make([]job.Receipt, len(commands)), make([]bytes.Buffer, len(commands)), make([]bytes.Buffer, len(commands))
	cmds := make([]*exec.Cmd, len(commands))
	for i, args := range commands {
		cmds[i] = b.command(args...)
		cmds[i].Stdout, cmds[i].Stderr = &outs[i], &errs[i]
		if err := cmds[i].Start(); err != nil {
			b.t.Fatal(err)
		}
	}
	for i, cmd := range cmds {
		_ = cmd.Wait()
		if err := json.Unmarshal(outs[i].Bytes(), &receipts[i]); err != nil {
			b.t.Fatalf("%v: %v\n%s%s", commands[i], err, outs[i].String(), errs[i].String())
		}
	}
	return receipts
}

// feed starts a load from standard input and gives it rows, so that it is in the middle of its
// work until the pipe is closed.
func (b bench) feed(args ...string) (cmd *exec.Cmd, in io.WriteCloser, stdout, stderr *bytes.Buffer) {
	b.t.Helper()
	cmd = b.command(append([]string{"load", "-", "--format", "csv"}, args...)...)
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	io.WriteString(in, "p,n,v\n")
	for i := range 200_000 {
		if _, err := fmt.Fprintf(in, "x,%d,late\n", i); err != nil {
			break // it ended already: the caller will see
		}
	}
	return cmd, in, stdout, stderr
}

// An interrupted load says so, removes what it staged, and leaves the table as it was.
func TestInterrupted(t *testing.T) {
	for sig, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		t.Run(sig.String(), func(t *testing.T) {
			b := newBench(t)
			b.write("init.csv", []string{"x"}, 100, "0")
			b.ok("load", "init.csv", "--table", "a.t", "--partition-by", "p")
			b.interrupt(sig, want, "--table", "a.t", "--output", "json", "--rejects", "bad")
			if got := b.counts("a.t"); !same(got, map[string]int{"x/v0": 100}) {
				t.Errorf("the table has %v", got)
			}
			if n := b.parquetFiles(); n != 1 {
				t.Errorf("%d data files, want the 1 of the first load", n)
			}

			// A first load takes its table back. Its schema is known, so it is in the middle of its rows.
			if err := os.WriteFile(filepath.Join(b.dir, "schema.yaml"), []byte("columns: {p: string, n: long, v: string}\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			b.interrupt(sig, want, "--table", "a.new", "--partition-by", "p", "--schema", "schema.yaml", "--output", "json")
			if _, stderr, code := b.run("table", "describe", "a.new"); code != exitUsage || !strings.Contains(stderr, "there is no table") {
				t.Errorf("the interrupted first load left a table: exit code %d, %s", code, stderr)
			}
		})
	}
}

func (b bench) interrupt(sig syscall.Signal, want int, args ...string) {
	b.t.Helper()
	cmd, in, stdout, stderr := b.feed(args...)
	defer in.Close()
	if err := cmd.Process.Signal(sig); err != nil {
		b.t.Fatal(err)
	}
	started := time.Now()
	code := codeOf(b.t, cmd.Wait())
	if code != want {
		b.t.Fatalf("exit code %d, want %d\n%s%s", code, want, stdout, stderr)
	}
	if took := time.Since(started); took > 10*time.Second {
		b.t.Errorf("it took %v to stop", took)
	}
	var r job.Receipt
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil || r.Status != job.Failed || r.Error.ExitCode != want {
		b.t.Errorf("receipt %s: %v", stdout, err)
	}
	if !strings.Contains(stderr.String(), "interrupted") && !strings.Contains(stderr.String(), "terminated") {
		b.t.Errorf("standard error does not say why it stopped: %s", stderr)
	}
}

// A zombie, which read its input before a later run of the same job published, is fenced off.
func TestSuperseded(t *testing.T) {
	b := newBench(t)
	b.write("init.csv", []string{"x"}, 1000, "0")
	b.ok("load", "init.csv", "--table", "a.t", "--partition-by", "p")

	zombie, in, stdout, stderr := b.feed("--table", "a.t", "--output", "json")
	b.write("new.csv", []string{"x"}, 1000, "new")
	b.ok("load", "new.csv", "--table", "a.t")
	in.Close()
	code := codeOf(t, zombie.Wait())
	if code != exitConflict {
		t.Fatalf("exit code %d, want %d\n%s%s", code, exitConflict, stdout, stderr)
	}
	if !strings.Contains(stdout.String(), `"status":"superseded"`) {
		t.Errorf("receipt %s", stdout)
	}
	if got := b.counts("a.t"); !same(got, map[string]int{"x/vnew": 1000}) {
		t.Errorf("the zombie wrote: %v", got)
	}
	if n := b.parquetFiles(); n != 2 {
		t.Errorf("%d data files, want the 2 that were published", n)
	}
}

// TestBombsAreStreamed: what a few KB unpack to is read as it comes, or refused, and never held as a whole.
func TestBombsAreStreamed(t *testing.T) {
	b := newBench(t)
	head := zipped(t, "id,note\n")
	rows := zipped(t, strings.Repeat("1,"+strings.Repeat("a", 998)+"\n", 50_000)) // 50 MB
	blank := zipped(t, strings.Repeat("x", 50_000_000))
	for name, c := range map[string]struct {
		parts [][]byte
		code  int
		says  string
	}{
		"rows.csv.gz":     {slices.Concat([][]byte{head}, slices.Repeat([][]byte{rows}, 16)), 0, "800,000 rows"},
		"one-line.csv.gz": {slices.Concat([][]byte{head}, slices.Repeat([][]byte{blank}, 40)), 4, "one-line.csv.gz: row 1: longer than 67108864 bytes"},
		"one.ndjson.gz":   {slices.Repeat([][]byte{blank}, 40), 4, "one.ndjson.gz"},
		"one.json.gz":     {slices.Concat([][]byte{zipped(t, `[{"a": "`)}, slices.Repeat([][]byte{blank}, 40)), 4, "longer than 67108864 bytes"},
	} {
		file := slices.Concat(c.parts...)
		if len(file) > 3<<20 {
			t.Fatalf("%s has %d bytes: no bomb", name, len(file))
		}
		if err := os.WriteFile(filepath.Join(b.dir, name), file, 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := b.command("load", name, "--table", "a.t", "--replace-table", "--memory", "128MiB")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		peak := watchPeak(cmd.Process.Pid)
		if code := codeOf(t, cmd.Wait()); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s", name, code, c.code, c.says, &out)
		}
		if mib := peak() >> 10; mib > 400 || mib == 0 && runtime.GOOS == "linux" {
			t.Errorf("%s: %d MiB at its peak", name, mib)
		}
	}
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// watchPeak looks at the most memory that a running process has had, until the function that it returns
// is called; that gives it in KiB, or 0 where the system does not tell. (What it tells of an ended process has
// its parent's in it.)
func watchPeak(pid int) func() int64 {
	done, result := make(chan struct{}), make(chan int64)
	hwm := regexp.MustCompile(`VmHWM:\s*(\d+) kB`)
	look := func() (n int64) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if m := hwm.FindSubmatch(text); m != nil {
			n, _ = strconv.ParseInt(string(m[1]), 10, 64)
		}
		return n
	}
	most := look() // at once: the process may be quicker than what follows
	go func() {
		for {
			most = max(most, look())
			select {
			case <-done:
				result <- most
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return func() int64 { close(done); return <-result }
}
