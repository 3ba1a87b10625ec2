//go:build interop

package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// reader is a Python process with the foreign libraries; see reader/__main__.py. Tests that share one
// take turns.
type reader struct {
	mu  sync.Mutex
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// newReader starts one that ends with the test.
func newReader(t testing.TB) *reader {
	t.Helper()
	r, err := startReader(world.python, os.Stderr, "-m", "reader")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// startReader starts a program that answers requests as readers do; what it says besides goes to log.
func startReader(name string, log io.Writer, args ...string) (*reader, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "AWS_EC2_METADATA_DISABLED=true")
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &reader{cmd: cmd, in: in, out: bufio.NewReaderSize(out, 1<<20)}, nil
}

// Stop ends the program, which it does by itself when its input ends.
func (r *reader) Stop() error {
	r.in.Close()
	if err := r.cmd.Wait(); err != nil {
		return fmt.Errorf("the end of %s: %w", strings.Join(r.cmd.Args, " "), err)
	}
	return nil
}

// readers starts two, for the subtests of t to run on two cores. Each subtest that borrows
// one is parallel from then on.
func readers(t *testing.T) func(*testing.T) *reader {
	t.Helper()
	free := make(chan *reader, 2)
	for range cap(free) {
		free <- newReader(t)
	}
	return func(t *testing.T) *reader {
		t.Parallel()
		r := <-free
		t.Cleanup(func() { free <- r })
		return r
	}
}

// ask sends one request and decodes its answer into to.
func (r *reader) ask(do string, l *lake, table string, more map[string]any, to any) error {
	request := map[string]any{"do": do}
	if l != nil {
		request["catalog"], request["table"] = l.catalog, table
	}
	for k, v := range more {
		request[k] = v
	}
	text, err := json.Marshal(request)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.in.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("%s: %w", do, err)
	}
	line, err := r.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s: %w", do, err)
	}
	var answer struct {
		OK    json.RawMessage `json:"ok"`
		Error string          `json:"error"`
		Trace string          `json:"trace"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return fmt.Errorf("%s: %w\n%s", do, err, line)
	}
	if answer.Error != "" {
		return fmt.Errorf("%s %s: %s\n%s", do, table, answer.Error, answer.Trace)
	}
	return json.Unmarshal(answer.OK, to)
}

// contents is what a reader sees in a table.
type contents struct {
	Columns []struct {
		Name     string `json:"name"`
		Type     string `json:"type"`
		Required bool   `json:"required"`
	} `json:"columns"`
	Rows          [][]any `json:"rows"`
	FormatVersion int     `json:"format_version"`
}

// snapshot is one of a table's history, as PyIceberg sees it.
type snapshot struct {
	ID        int64             `json:"id"`
	Parent    *int64            `json:"parent"`
	Operation string            `json:"operation"`
	Summary   map[string]string `json:"summary"`
}

// engines are those of every reader. "spark" and "spark35" are there too, for the asking: see spark_test.go.
var engines = []string{"pyiceberg", "duckdb"}

// of returns the process in which an engine runs.
func (r *reader) of(t testing.TB, engine string) *reader {
	t.Helper()
	if start, ok := sparks[engine]; ok {
		return start(t)
	}
	return r
}

// mustHold fails the test unless every engine sees exactly the model in the table: the
// same columns, types and rows.
func (r *reader) mustHold(t testing.TB, l *lake, table string, m model) {
	t.Helper()
	for _, engine := range engines {
		r.mustHoldFor(t, engine, l, table, m)
	}
}

var fieldID = regexp.MustCompile(`\d+: `)

func (r *reader) mustHoldFor(t testing.TB, engine string, l *lake, table string, m model) {
	t.Helper()
	var got contents
	if err := r.of(t, engine).ask(engine+".read", l, table, nil, &got); err != nil {
		t.Errorf("%s: %v", engine, err)
		return
	}
	if wrong := got.unlike(engine, m); wrong != "" {
		t.Error(wrong)
	}
}

// unlike says in what a reader's contents are not those of the model; "" in nothing.
func (c contents) unlike(engine string, m model) string {
	var types, wantTypes []string
	for _, c := range c.Columns {
		kind := strings.ReplaceAll(fieldID.ReplaceAllString(c.Type, ""), "optional ", "")
		if c.Required {
			kind += "!"
		}
		types = append(types, c.Name+" "+kind)
	}
	for _, c := range m.columns {
		wantTypes = append(wantTypes, c.name+" "+c.typeIn(engine))
	}
	if !slices.Equal(types, wantTypes) {
		return fmt.Sprintf("%s sees the columns\n%s\nwant\n%s", engine, strings.Join(types, "\n"), strings.Join(wantTypes, "\n"))
	}
	var rows []string
	for _, row := range c.Rows {
		rows = append(rows, canonicalText(row))
	}
	slices.Sort(rows)
	if want := m.asReadBy(engine).canonical(); !slices.Equal(rows, want) {
		missing, extra := difference(want, rows)
		return fmt.Sprintf("%s sees %d rows, want %d\nmissing:\n%s\nnot wanted:\n%s", engine, len(rows), len(want), head(missing), head(extra))
	}
	return ""
}

// mustFilter fails the test unless scans with a filter find as many rows as the model has.
func (r *reader) mustFilter(t testing.TB, l *lake, table string, filters []filter) {
	t.Helper()
	for _, engine := range engines {
		r.mustFilterFor(t, engine, l, table, filters)
	}
}

func (r *reader) mustFilterFor(t testing.TB, engine string, l *lake, table string, filters []filter) {
	t.Helper()
	var counts []*int
	if err := r.of(t, engine).ask(engine+".count", l, table, map[string]any{"filters": filters}, &counts); err != nil {
		t.Errorf("%s: %v", engine, err)
		return
	}
	for i, f := range filters {
		// DuckDB 1.4.4 rounds times before 1970 up where the partition transforms round
		// them down, and looks into the wrong partition.
		// It also takes < and > for never true of an identity partition, in PyIceberg's own tables too.
		if engine == "duckdb" && (f.old || f.Op == "<" || f.Op == ">") {
			continue
		}
		// Java's Iceberg 1.11 orders UUIDs by their halves as signed numbers, and prunes by that order.
		if strings.HasPrefix(engine, "spark") && f.uuids && strings.ContainsAny(f.Op, "<>") {
			continue
		}
		if counts[i] != nil && *counts[i] != f.want {
			t.Errorf("%s finds %d rows where %v, the model has %d", engine, *counts[i], f, f.want)
		}
	}
}

// mustDescribe fails the test unless the manifests tell the truth about every data file.
func (r *reader) mustDescribe(t testing.TB, l *lake, table string) (files int) {
	t.Helper()
	var got struct {
		Files int      `json:"files"`
		Wrong []string `json:"wrong"`
	}
	if err := r.ask("pyiceberg.files", l, table, nil, &got); err != nil {
		t.Error(err)
		return 0
	}
	if len(got.Wrong) > 0 {
		t.Errorf("%d wrong statements about %d files:\n%s", len(got.Wrong), got.Files, head(got.Wrong))
	}
	return got.Files
}

// history is the table's snapshots, oldest first.
func (r *reader) history(t testing.TB, l *lake, table string) []snapshot {
	t.Helper()
	var out []snapshot
	if err := r.ask("pyiceberg.history", l, table, nil, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// difference returns what is in a and not in b, and the reverse; both sorted.
func difference(a, b []string) (onlyA, onlyB []string) {
	count := map[string]int{}
	for _, s := range a {
		count[s]++
	}
	for _, s := range b {
		count[s]--
	}
	for s, n := range count {
		for ; n > 0; n-- {
			onlyA = append(onlyA, s)
		}
		for ; n < 0; n++ {
			onlyB = append(onlyB, s)
		}
	}
	slices.Sort(onlyA)
	slices.Sort(onlyB)
	return onlyA, onlyB
}

func head(lines []string) string {
	if len(lines) > 8 {
		lines = append(slices.Clone(lines[:8]), fmt.Sprintf("… and %d more", len(lines)-8))
	}
	return strings.Join(lines, "\n")
}
