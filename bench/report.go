package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// verdict is what became of a target.
type verdict struct {
	against, want, got string
	reached            bool
}

// writeDocs writes docs/benchmarks.md, a plot for each case, and the figures that they were made from.
func writeDocs(docs string, all []result) error {
	slices.SortFunc(all, func(a, b result) int { return place(a.Name) - place(b.Name) })
	all = slices.DeleteFunc(all, func(r result) bool { return place(r.Name) < 0 }) // cases that are no more
	dir := filepath.Join(docs, "benchmarks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	for _, r := range all {
		if err := os.WriteFile(filepath.Join(dir, r.Name+".svg"), []byte(plot(r)), 0o644); err != nil {
			return err
		}
	}
	var page strings.Builder
	report(&page, all)
	return os.WriteFile(filepath.Join(docs, "benchmarks.md"), []byte(page.String()), 0o644)
}

func place(name string) int {
	return slices.IndexFunc(cases, func(c benchmark) bool { return c.name == name })
}

func report(w io.Writer, all []result) {
	fmt.Fprint(w, `# Benchmarks

Written by `+"`make bench`"+`, which installs the other programs by name and pinned version and makes the inputs;
it wants go, python3, java 17, mvn and npm. Cases that are missing here were not run yet.
`+"`go run ./bench -run 'lineitem-84|version'`"+` runs some of the cases (`+"`-list`"+` names them) and leaves the figures of
the others as they are; `+"`-scale 0.02 -rounds 2`"+` is a quick look, whose figures go to bench/out/report-0.02.

The contestants of a case run in turn, each time in a process of its own with two cores, after a round that warms up. In
that round what each wrote is read back, and the rows of all must have the same digest. Figures are medians; a ratio is the
median of the ratios of the rounds. icewright is measured from start to exit, digest, statistics and commit included, with default
options. Of DuckDB the statement alone is measured (threads = 2, preserve_insertion_order = false, zstd, explicit types,
partitioned_write_max_open_files = 4000), writing Parquet files and no table. Memory is the peak of the resident set.

`)
	if len(all) == 0 {
		fmt.Fprintln(w, "Nothing was measured yet.")
		return
	}
	fmt.Fprint(w, "## Targets\n\n| case | against | target | measured | |\n|---|---|---|---|---|\n")
	for _, r := range all {
		for _, v := range judge(cases[place(r.Name)], r) {
			word := "**missed**"
			if v.reached {
				word = "reached"
			}
			fmt.Fprintf(w, "| [%s](#%s) | %s | %s | %s | %s |\n", cases[place(r.Name)].title, r.Name, v.against, v.want, v.got, word)
		}
	}
	fmt.Fprintln(w)
	for _, r := range all {
		section(w, cases[place(r.Name)], r)
	}
}

// judge compares what was measured with the targets of a case. Contestants that the figures lack, because they
// are from before, are left out.
func judge(c benchmark, r result) []verdict {
	var vs []verdict
	us := r.Contestants[0].Rounds
	peak := func(m measure) float64 { return float64(m.Peak) / (1 << 20) }
	for _, t := range c.targets {
		if i := slices.IndexFunc(r.Contestants, func(m measured) bool { return m.Name == t.peer }); t.ratio > 0 && i >= 0 {
			got, unit := median(ratios(us, r.Contestants[i].Rounds, t.perRow)), ""
			if t.perRow {
				unit = ", per row"
			}
			vs = append(vs, verdict{t.peer, fmt.Sprintf("at most %.2fx%s", t.ratio, unit), fmt.Sprintf("%.2fx", got), got <= t.ratio})
		}
		if t.seconds > 0 {
			got := median(each(us, wall))
			vs = append(vs, verdict{"time", fmt.Sprintf("at most %.0f ms", t.seconds*1e3), fmt.Sprintf("%.0f ms", got*1e3), got <= t.seconds})
		}
		if t.memory > 0 {
			got := median(each(us, peak))
			vs = append(vs, verdict{"memory", fmt.Sprintf("at most %d MiB", t.memory), fmt.Sprintf("%.0f MiB", got), got <= float64(t.memory)})
		}
		if t.over > 0 {
			got := median(each(us, func(m measure) float64 { return float64(m.Peak-m.Base) / float64(m.In) }))
			vs = append(vs, verdict{"memory over the input", fmt.Sprintf("at most %.2f of it", t.over), fmt.Sprintf("%.2f", got), got <= t.over})
		}
	}
	if smallest := smallestPeer(r); smallest > 0 && !c.differ && us[0].Out > 0 {
		got := float64(us[0].Out) / smallest
		vs = append(vs, verdict{"size of the smallest peer's output", "at most 1.05x", fmt.Sprintf("%.2fx", got), got <= 1.05})
	}
	return vs
}

func wall(m measure) float64 { return m.Wall }

// ratios are those of two contestants' wall times, round by round.
func ratios(a, b []measure, perRow bool) []float64 {
	var all []float64
	for i := range min(len(a), len(b)) {
		r := a[i].Wall / b[i].Wall
		if perRow {
			r *= float64(b[i].Rows) / float64(a[i].Rows)
		}
		all = append(all, r)
	}
	return all
}

// smallestPeer is the least output of the peers that are other programs; 0 where there is none.
func smallestPeer(r result) float64 {
	var least float64
	for _, peer := range r.Contestants[1:] {
		if !slices.Contains([]string{duck, "WriteRecords", "pqarrow", "PyIceberg", "Spark"}, peer.Name) {
			continue
		}
		if out := float64(peer.Rounds[0].Out); least == 0 || out < least {
			least = out
		}
	}
	return least
}

func section(w io.Writer, c benchmark, r result) {
	fmt.Fprintf(w, "## %s\n\n%s.", r.Name, strings.ToUpper(c.title[:1])+c.title[1:])
	if c.note != "" {
		fmt.Fprintf(w, " %s", c.note)
	}
	m := r.Machine
	fmt.Fprintf(w, "\n\n![wall seconds](benchmarks/%s.svg)\n\n", r.Name)
	fmt.Fprintln(w, "| | wall s | user s | peak | rows/s | MB/s in | output MB | files | icewright against it |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|")
	for i, who := range r.Contestants {
		first, seconds := who.Rounds[0], median(each(who.Rounds, wall))
		against := ""
		if i > 0 {
			all := ratios(r.Contestants[0].Rounds, who.Rounds, c.differ)
			against = fmt.Sprintf("%.2fx (%.2f to %.2f)", median(all), slices.Min(all), slices.Max(all))
		}
		peak := fmt.Sprintf("%.0f MiB", median(each(who.Rounds, func(m measure) float64 { return float64(m.Peak-m.Base) / (1 << 20) })))
		if first.Base > 0 {
			peak = "input + " + peak
		}
		fmt.Fprintf(w, "| %s | %.3f | %.2f | %s | %s | %s | %s | %s | %s |\n", who.Name, seconds,
			median(each(who.Rounds, func(m measure) float64 { return m.User })), peak,
			unlessZero(float64(first.Rows)/seconds, "%.0f"), unlessZero(float64(first.In)/1e6/seconds, "%.0f"),
			unlessZero(float64(first.Out)/1e6, "%.1f"), unlessZero(float64(first.Files), "%.0f"), against)
	}
	fmt.Fprintf(w, "\n%d rounds on %s at %s. %s, %d cores, %.0f GiB, %s, %s.\n\n", len(r.Contestants[0].Rounds), r.When, r.Commit,
		m.Processor, m.Cores, float64(m.Memory)/(1<<30), m.System, m.Go)
}

func unlessZero(v float64, format string) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf(format, v)
}

// plot is an SVG with a bar for each contestant's median wall time, and a line from its quickest round to its slowest.
func plot(r result) string {
	const left, width, height, right = 130, 420, 26, 90
	var most float64
	for _, who := range r.Contestants {
		most = max(most, slices.Max(each(who.Rounds, wall)))
	}
	var b strings.Builder
	total := 10 + height*len(r.Contestants) + 6
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", left+width+right, total)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#ffffff"/>`+"\n")
	for i, who := range r.Contestants {
		all := each(who.Rounds, wall)
		mid, y, fill := median(all), 10+height*i, "#9aa5b1"
		if i == 0 {
			fill = "#1f77b4"
		}
		x := func(seconds float64) float64 { return left + seconds/most*width }
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end" fill="#222222">%s</text>`+"\n", left-8, y+15, who.Name)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="18" fill="%s"/>`+"\n", left, y, x(mid)-left, fill)
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#222222" stroke-width="2"/>`+"\n", x(slices.Min(all)), y+9, x(slices.Max(all)), y+9)
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" fill="#222222">%.3g s</text>`+"\n", x(slices.Max(all))+6, y+15, mid)
	}
	b.WriteString("</svg>\n")
	return b.String()
}
