package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/job"
)

// everyCommand calls visit with each command, the root too.
func everyCommand(visit func(*cobra.Command)) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		visit(cmd)
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				walk(c)
			}
		}
	}
	walk((&app{}).rootCommand())
}

// Whoever asks a command for help sees how it is used.
func TestEveryCommandHasExamples(t *testing.T) {
	everyCommand(func(cmd *cobra.Command) {
		if cmd.Name() == "completion" || cmd.HasParent() && cmd.Parent().Name() == "completion" {
			return // cobra's own: their text has the examples
		}
		if !cmd.HasSubCommands() && !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s has no example of itself", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			for word := range strings.FieldsSeq(line) {
				name, isFlag := strings.CutPrefix(word, "--")
				name, _, _ = strings.Cut(name, "=")
				if isFlag && strings.Contains(line, cmd.CommandPath()+" ") && name != "" && cmd.Flag(name) == nil {
					t.Errorf("%s: the example uses --%s, which is no flag of it: %s", cmd.CommandPath(), name, line)
				}
			}
		}
	})
}

// A page has every flag with its description, and every command below.
func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	var out, stderr bytes.Buffer
	if code := execute(t.Context(), []string{"man", dir}, nil, &out, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	everyCommand(func(cmd *cobra.Command) {
		text, err := os.ReadFile(filepath.Join(dir, pageName(cmd)+".1"))
		if err != nil {
			t.Error(err)
			return
		}
		page := string(text)
		wants := func(what string) {
			if !strings.Contains(page, roff(what)) {
				t.Errorf("%s.1 lacks %q", pageName(cmd), what)
			}
		}
		wants(cmd.UseLine())
		wants(cmd.Example)
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				wants(pageName(c))
			}
		}
		flag := func(f *pflag.Flag) {
			if f.Hidden {
				return
			}
			_, usage := pflag.UnquoteUsage(f)
			wants("--" + f.Name)
			wants(usage)
		}
		cmd.LocalFlags().VisitAll(flag)
		cmd.InheritedFlags().VisitAll(flag)
		for line := range strings.Lines(page) {
			if macro, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(line, ".") &&
				!strings.Contains(" .TH .SH .SS .TP .BR .PP .nf .fi ", " "+macro+" ") {
				t.Errorf("%s.1: text is taken for a macro: %s", pageName(cmd), line)
			}
		}
	})
}

func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		"a-b":           `a\-b`,
		`\x`:            `\ex`,
		"n…":            `n\[u2026]`,
		".iceberg\n'x'": `\&.iceberg` + "\n" + `\&'x'`,
	} {
		if got := roff(text); got != want {
			t.Errorf("roff(%q) = %q, want %q", text, got, want)
		}
	}
}

// What shells offer is what the command takes, and nothing else is.
func TestCompletion(t *testing.T) {
	valid := func(flag, value string) error {
		j := job.Job{Sources: []string{"x.csv"}, Table: "a.b", Slice: "c = 1"}
		switch flag {
		case "mode":
			if j.Mode = job.Mode(value); j.Mode != job.Replace {
				j.Slice = ""
			}
			if j.Mode == job.Merge || j.Mode == job.Insert {
				j.Key = []string{"c"}
			}
		case "format":
			j.Format = arrowconv.Format(value)
		case "outside":
			j.Outside = value
		case "on-empty":
			j.OnEmpty = value
		default:
			return nil
		}
		return j.Validate()
	}
	complete := func(args ...string) (values []string, directive string) {
		var out, stderr bytes.Buffer
		if code := execute(t.Context(), append([]string{"__complete"}, args...), nil, &out, &stderr); code != 0 {
			t.Fatalf("exit code %d: %s", code, &stderr)
		}
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return lines[:len(lines)-1], lines[len(lines)-1]
	}
	for flag, want := range map[string]string{
		"mode": "replace merge insert append", "outside": "fail drop", "on-empty": "fail keep clear", "output": "text json",
		"progress": "auto bar log json none", "format": "", "table": "",
	} {
		values, directive := complete("load", "--"+flag, "")
		if directive != ":4" {
			t.Errorf("--%s is completed with files: %s", flag, directive)
		}
		if got := strings.Join(values, " "); want != "" && got != want {
			t.Errorf("--%s is completed with %q, want %q", flag, got, want)
		}
		for _, v := range values {
			if err := valid(flag, v); err != nil {
				t.Errorf("--%s %s is offered and refused: %v", flag, v, err)
			}
		}
	}
	if values, _ := complete("load", "--format", ""); len(values) < 4 {
		t.Errorf("--format is completed with %q", values)
	}
	if values, _ := complete("show", "--output", ""); strings.Join(values, " ") != "text csv json" {
		t.Errorf("show --output is completed with %q", values)
	}
	if _, directive := complete("load", "--schema", ""); directive != ":0" {
		t.Errorf("--schema is not completed with files: %s", directive)
	}
	if _, directive := complete("load", "--rejects", ""); directive != ":16" {
		t.Errorf("--rejects is not completed with directories: %s", directive)
	}
}

// Tables are completed where one is wanted, from the catalog that the environment names.
func TestTablesAreCompleted(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HOME", t.TempDir())
	run := func(args ...string) string {
		t.Helper()
		var out, stderr bytes.Buffer
		if code := execute(t.Context(), args, nil, &out, &stderr); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, &stderr)
		}
		return out.String()
	}
	if got := run("__complete", "show", ""); !strings.HasPrefix(got, ":4") {
		t.Errorf("without a catalog: %q", got)
	}
	if _, err := os.Stat("lake"); err == nil {
		t.Error("completing made a catalog")
	}
	if err := os.WriteFile("x.csv", []byte("id\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"air.flights", "shop.orders"} {
		run("load", "x.csv", "--table", table, "--replace-table", "--catalog-uri", "sqlite:///other/c.db", "-q")
	}
	t.Setenv("ICEWRIGHT_CATALOG_URI", "sqlite:///other/c.db")
	for _, args := range [][]string{
		{"show"}, {"history"}, {"doctor"}, {"table", "describe"}, {"table", "alter"}, {"table", "drop"}, {"load", "x.csv", "--table"},
	} {
		if got := run(append(append([]string{"__complete"}, args...), "")...); !strings.Contains(got, "air.flights\nshop.orders\n") || !strings.Contains(got, ":4") {
			t.Errorf("%v: %q", args, got)
		}
	}
	if got := run("__complete", "load", ""); strings.Contains(got, "air.flights") {
		t.Errorf("a source is completed with tables: %q", got)
	}
}
