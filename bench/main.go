// Bench compares staging with iceberg-go's own partitioned writer, table.WriteRecords, on the
// same shuffled rows. The two run in turn, each time in a process of its own, so that they
// share the weather and not their memory. Both outputs are read back and must have the same
// digest. It writes a table of medians to docs/benchmarks.md:
//
//	go run ./bench
//	go run ./bench -rows 500000 -rounds 3 -out -
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/icewright/icewright/bench/gen"
)

// config is one case.
type config struct {
	rows, batch, days int
	memory            int64
	dir               string
	check             bool
	profile           string
}

// partitionBy is nothing for a case of no days.
func (c config) partitionBy() string {
	if c.days <= 1 {
		return ""
	}
	return "day(ordered_at)"
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var c config
	flag.IntVar(&c.rows, "rows", 2_000_000, "rows of input")
	flag.IntVar(&c.batch, "batch", 65_536, "rows of a batch")
	flag.IntVar(&c.days, "days", 30, "with -child: days, each a partition")
	flag.Int64Var(&c.memory, "memory", 1<<30, "memory bound of staging, in bytes")
	flag.StringVar(&c.dir, "dir", "", "where tables go (default: the system's directory for temporary files)")
	flag.BoolVar(&c.check, "check", false, "with -child: read the output back")
	flag.StringVar(&c.profile, "cpuprofile", "", "with -child: write a CPU profile here")
	cases := flag.String("cases", "1,30,1999", "days of each case, comma-separated")
	rounds := flag.Int("rounds", 5, "rounds of each case; medians are shown")
	out := flag.String("out", "docs/benchmarks.md", "file to write, - for standard output")
	input := flag.String("input", "", "write this input of bench/gen to standard output (lineitem, events or flat-events), and do nothing else")
	units := flag.Int("n", 0, "with -input: how many orders or events (default: as many as a full benchmark takes)")
	writer := flag.String("child", "", "run one case with this writer (stage or WriteRecords) and print JSON")
	flag.Parse()
	if *input != "" {
		return generate(os.Stdout, *input, *units)
	}
	if *writer != "" {
		return child(ctx, c, *writer)
	}
	var report bytes.Buffer
	heading(&report, c, *rounds)
	for _, text := range strings.Split(*cases, ",") {
		days, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("-cases: %w", err)
		}
		c.days = days
		if err := compare(ctx, &report, c, *rounds); err != nil {
			return err
		}
	}
	if *out == "-" {
		_, err := os.Stdout.Write(report.Bytes())
		return err
	}
	return os.WriteFile(*out, report.Bytes(), 0o644)
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

func heading(w io.Writer, c config, rounds int) {
	fmt.Fprintf(w, `# Benchmarks

Written by `+"`make bench`"+`; every figure was measured in one run of it. Staging is icewright's
`+"`writer/stage`"+`, WriteRecords is iceberg-go's `+"`table.WriteRecords`"+` with its defaults. Both write
the same %d shuffled rows of 12 columns, handed over as Arrow batches of %d rows, to zstd
Parquet on a local disk, in turn and each in a process of its own: %d rounds, medians shown.
The rows read back from both have the same digest. Memory is the peak of the resident set
above what the process had with the input alone; staging was told to keep to %s.

Machine: %s, %d cores used, %s/%s, %s.

`, c.rows, c.batch, rounds, mib(c.memory), processor(), runtime.GOMAXPROCS(0), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// compare runs one case and adds its table to the report.
func compare(ctx context.Context, w io.Writer, c config, rounds int) error {
	writers := []string{"stage", "WriteRecords"}
	all := map[string][]measure{}
	for round := range rounds {
		c.check = round == 0
		for _, name := range writers {
			m, err := spawn(ctx, c, name)
			if err != nil {
				return fmt.Errorf("%s, %d days: %w", name, c.days, err)
			}
			fmt.Fprintf(os.Stderr, "%4d days, round %d, %-12s %6.2f s wall, %6.2f s user, +%s, %d files\n",
				c.days, round+1, name, m.Wall, m.User, mib(m.Peak-m.Base), m.Files)
			all[name] = append(all[name], m)
		}
		if a, b := all["stage"][round].Digest, all["WriteRecords"][round].Digest; c.check && a != b {
			return fmt.Errorf("%d days: the writers' rows differ: digests %s and %s", c.days, a, b)
		}
	}
	fmt.Fprintf(w, "## %s\n\n", title(c))
	fmt.Fprintln(w, "| | wall s | user s | memory | rows/s | MB/s of Arrow | output MB | files |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|")
	for _, name := range writers {
		ms := all[name]
		wall := median(ms, func(m measure) float64 { return m.Wall })
		fmt.Fprintf(w, "| %s | %.2f | %.2f | %s | %.0f | %.0f | %.1f | %d |\n", name, wall,
			median(ms, func(m measure) float64 { return m.User }),
			mib(int64(median(ms, func(m measure) float64 { return float64(m.Peak - m.Base) }))),
			float64(ms[0].Rows)/wall, float64(ms[0].In)/1e6/wall, float64(ms[0].Out)/1e6, ms[0].Files)
	}
	wall := func(m measure) float64 { return m.Wall }
	var ratios []float64
	for i := range all["stage"] {
		ratios = append(ratios, all["WriteRecords"][i].Wall/all["stage"][i].Wall)
	}
	fmt.Fprintf(w, "\nStaging is %.2f times as fast (medians; %.2f to %.2f by round).\n\n",
		median(all["WriteRecords"], wall)/median(all["stage"], wall), slices.Min(ratios), slices.Max(ratios))
	return nil
}

func title(c config) string {
	if c.days <= 1 {
		return "Unpartitioned"
	}
	return fmt.Sprintf("%d partitions", c.days+1)
}

func spawn(ctx context.Context, c config, writer string) (measure, error) {
	self, err := os.Executable()
	if err != nil {
		return measure{}, err
	}
	cmd := exec.CommandContext(ctx, self, "-child", writer,
		"-rows", strconv.Itoa(c.rows), "-batch", strconv.Itoa(c.batch), "-days", strconv.Itoa(c.days),
		"-memory", strconv.FormatInt(c.memory, 10), "-dir", c.dir, "-check="+strconv.FormatBool(c.check))
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return measure{}, err
	}
	var m measure
	if err := json.Unmarshal(text, &m); err != nil {
		return m, errors.Join(errors.New("output of the child"), err)
	}
	return m, nil
}

func median(ms []measure, of func(measure) float64) float64 {
	vals := make([]float64, len(ms))
	for i, m := range ms {
		vals[i] = of(m)
	}
	slices.Sort(vals)
	if n := len(vals); n%2 == 0 {
		return (vals[n/2-1] + vals[n/2]) / 2
	}
	return vals[len(vals)/2]
}

func mib(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// processor is the model of the machine's processor, where the system tells.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}
