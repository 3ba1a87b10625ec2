package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/icewright/icewright/localstack/stack"
)

// cores is how many every contestant gets, however many the machine has.
const cores = 2

// bench is one run of the program.
type bench struct {
	log    io.Writer
	rounds int
	scale  float64
	dir    string // absolute

	tools     *stack.Tools
	icewright string // the program, built from this tree
	self      string
	s3        *stack.S3
}

// job is what one contestant does in one process. dir is an empty folder; check asks for the digest of
// what was written, read back.
type job interface {
	run(ctx context.Context, b *bench, dir string, check bool) (measure, error)
}

// measure is what one process took.
type measure struct {
	Wall, User float64 // seconds
	Peak       int64   // of the resident set, in bytes
	Base       int64   `json:",omitempty"` // of it, the input in memory
	Rows       int64
	In, Out    int64  // bytes of input and of Parquet
	Files      int    // of Parquet
	Digest     string `json:",omitempty"` // of the rows in them
}

// result is a case with the figures of every round, in order.
type result struct {
	Name, Commit string
	When         string
	Machine      machine
	Contestants  []measured
}

type measured struct {
	Name   string
	Rounds []measure
}

type machine struct {
	Processor string
	Cores     int // of the machine
	Memory    int64
	System    string
	Go        string
}

func (b *bench) prepare(ctx context.Context) (err error) {
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.tools, err = stack.FindTools(b.log); err != nil {
		return err
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	b.icewright, err = b.build(ctx, "icewright", "cmd/icewright")
	return err
}

// build builds a program of this module as the Makefile does.
func (b *bench) build(ctx context.Context, name, pkg string) (string, error) {
	path := filepath.Join(b.dir, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", path, "github.com/icewright/icewright/"+pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// measure runs a case: a round that warms up and checks, then the rounds that count.
func (b *bench) measure(ctx context.Context, c benchmark) (result, error) {
	res := result{Name: c.name, Commit: commit(ctx), When: time.Now().UTC().Format(time.DateOnly), Machine: thisMachine()}
	for _, who := range c.contestants {
		res.Contestants = append(res.Contestants, measured{Name: who.name})
	}
	defer b.stopS3()
	var digest string
	for round := range max(b.rounds, c.rounds) + 1 {
		for i, who := range c.contestants {
			m, err := b.once(ctx, who, round == 0)
			if err != nil {
				return res, fmt.Errorf("%s: %w", who.name, err)
			}
			if round == 0 {
				if i == 0 {
					digest = m.Digest
				} else if !c.differ && m.Digest != digest {
					return res, fmt.Errorf("%s wrote other rows than %s: digest %s, not %s", who.name, c.contestants[0].name, m.Digest, digest)
				}
				continue
			}
			if len(c.contestants) > 1 || round == 1 {
				fmt.Fprintf(b.log, "%-18s round %d  %-14s %7.3f s wall %7.2f s user %6d MiB %6d files\n",
					c.name, round, who.name, m.Wall, m.User, (m.Peak-m.Base)>>20, m.Files)
			}
			res.Contestants[i].Rounds = append(res.Contestants[i].Rounds, m)
		}
	}
	return res, nil
}

func (b *bench) once(ctx context.Context, who contestant, check bool) (measure, error) {
	dir, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return measure{}, err
	}
	defer os.RemoveAll(dir)
	return who.job.run(ctx, b, dir, check)
}

// process runs a program in dir to its end and returns its standard output. The peak that the system
// tells of a child is at least that of its parent, so this process stays small.
func (b *bench) process(ctx context.Context, dir string, env []string, argv ...string) ([]byte, measure, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(cleanEnv(), "GOMAXPROCS="+strconv.Itoa(cores))
	cmd.Env = append(cmd.Env, env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	start := time.Now()
	out, err := cmd.Output()
	m := measure{Wall: time.Since(start).Seconds()}
	if err != nil {
		return nil, m, fmt.Errorf("%s: %w\n%s%s", strings.Join(argv, " "), err, stderr.String(), out)
	}
	m.User = cmd.ProcessState.UserTime().Seconds()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		m.Peak = usage.Maxrss << 10
	}
	return out, m, nil
}

// reported runs a program that measures itself and prints a measure as JSON.
func (b *bench) reported(ctx context.Context, dir string, argv ...string) (measure, error) {
	out, _, err := b.process(ctx, dir, nil, argv...)
	if err != nil {
		return measure{}, err
	}
	var m measure
	if err := json.Unmarshal(out, &m); err != nil {
		return m, errors.Join(fmt.Errorf("%s printed %q", argv[0], out), err)
	}
	return m, nil
}

// cleanEnv is the environment without what would change what is measured.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		for _, prefix := range []string{"ICEWRIGHT_", "AWS_", "GOGC=", "GOMEMLIMIT=", "GOMAXPROCS=", "PYICEBERG_", "SPARK_", "PYTHONPATH="} {
			if strings.HasPrefix(kv, prefix) {
				return true
			}
		}
		return false
	})
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}

func each(rounds []measure, of func(measure) float64) []float64 {
	values := make([]float64, len(rounds))
	for i, m := range rounds {
		values[i] = of(m)
	}
	return values
}

func thisMachine() machine {
	return machine{
		Processor: procLine("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), Memory: procBytes("/proc/meminfo", "MemTotal"),
		System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
	}
}

// procLine is what a file of /proc says of a key; "unknown" where it says nothing.
func procLine(path, key string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if k, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// procBytes is the same of an amount in kB; 0 where it says nothing.
func procBytes(path, key string) int64 {
	kb, _ := strconv.ParseInt(strings.TrimSuffix(procLine(path, key), " kB"), 10, 64)
	return kb << 10
}
