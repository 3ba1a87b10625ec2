// Bench measures icewright beside other programs that do the same work, on inputs that are the same on
// every machine, and writes docs/benchmarks.md:
//
//	go run ./bench                        every case, 5 rounds
//	go run ./bench -run 'lineitem|s3'     the cases with such names; figures of others stay
//	go run ./bench -scale 0.02 -rounds 2  a quick look; printed, and docs left alone
//	go run ./bench -input events          write an input to standard output
//
// A case has contestants. In each round they run one after the other, so that they share the machine's
// weather, each in a process of its own. A round before the first warms up; what each wrote in it is
// read back and must have the same digest.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/icewright/icewright/bench/gen"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	b := bench{log: os.Stderr}
	pattern := flag.String("run", "", "regular expression for the names of the cases to run (default: all)")
	flag.IntVar(&b.rounds, "rounds", 5, "rounds of each case, after one that warms up; medians are shown")
	flag.Float64Var(&b.scale, "scale", 1, "share of the rows; with another than 1 the docs are left alone")
	flag.StringVar(&b.dir, "dir", "bench/out", "where inputs are kept and outputs go while they are measured")
	render := flag.Bool("render", false, "write docs/benchmarks.md from the figures that docs/benchmarks/results.json has, and run nothing")
	list := flag.Bool("list", false, "list the cases")
	input := flag.String("input", "", "write this input of bench/gen to standard output (lineitem, events or flat-events), and do nothing else")
	units := flag.Int("n", 0, "with -input: how many orders or events (default: as many as a full benchmark takes)")
	job := flag.String("child", "", "run this job in the process and print what was measured (what bench calls itself with)")
	flag.Parse()
	switch {
	case *input != "":
		return generate(os.Stdout, *input, *units)
	case *job != "":
		return child(ctx, *job, os.Stdout)
	case *list:
		for _, c := range cases {
			fmt.Printf("%-24s %s\n", c.name, c.title)
		}
		return nil
	case *render:
		all, err := readResults(filepath.Join("docs", "benchmarks", "results.json"))
		if err != nil {
			return err
		}
		return writeDocs("docs", all)
	case b.rounds < 1 || b.scale <= 0 || b.scale > 1:
		return errors.New("-rounds is 1 or more, -scale above 0 and at most 1")
	}
	chosen, err := choose(*pattern)
	if err != nil {
		return err
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return err
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	return b.runAll(ctx, chosen)
}

func choose(pattern string) ([]benchmark, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("-run: %w", err)
	}
	var chosen []benchmark
	for _, c := range cases {
		if re.MatchString(c.name) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-run %q: no case has such a name; -list lists them", pattern)
	}
	return chosen, nil
}

// runAll runs the cases. At full scale each goes into the docs as soon as it is done, so a run that is
// interrupted loses the case that it was in and no other. A case that fails leaves its figures as they were, and the
// others go on; the error at the end names all of them.
func (b *bench) runAll(ctx context.Context, chosen []benchmark) error {
	docs := "docs"
	if b.scale != 1 {
		docs = filepath.Join(b.dir, fmt.Sprintf("report-%g", b.scale)) // figures of two scales don't mix
	}
	var failed []error
	for _, c := range chosen {
		res, err := b.measure(ctx, c)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", c.name, err))
			fmt.Fprintln(b.log, failed[len(failed)-1])
			if ctx.Err() != nil {
				break
			}
			continue
		}
		all, err := readResults(filepath.Join(docs, "benchmarks", "results.json"))
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(r result) bool { return r.Name == res.Name })
		if err := writeDocs(docs, append(all, res)); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.log, "written: %s\n", filepath.Join(docs, "benchmarks.md"))
	return errors.Join(failed...)
}

// generate writes an input of bench/gen.
func generate(w io.Writer, name string, n int) error {
	i := slices.IndexFunc(gen.Inputs, func(in gen.Input) bool { return in.Name == name })
	if i < 0 {
		return fmt.Errorf("-input %q: there are lineitem, events and flat-events", name)
	}
	in := gen.Inputs[i]
	if n == 0 {
		n = in.Full
	}
	return in.Write(w, n)
}

// readResults reads the figures of earlier runs; there are none where there is no file.
func readResults(path string) ([]result, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var all []result
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// commit says which state of the code was measured.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
