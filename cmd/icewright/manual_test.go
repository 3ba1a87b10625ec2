package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write docs/cli.md anew")

// docs/cli.md is what --help says, command by command. Write it anew with
//
//	go test ./cmd/icewright -run TestManual -rewrite
func TestManual(t *testing.T) {
	const file = "../../docs/cli.md"
	var manual strings.Builder
	manual.WriteString(`# The command line

What ` + "`icewright COMMAND --help`" + ` says, command by command; a test holds the two together. The
stories in cmd/icewright/testdata/script show each command at work, and are run as tests.
`)
	for _, args := range [][]string{{}, {"load"}, {"show"}, {"history"}, {"table", "describe"}, {"table", "drop"}, {"version"}} {
		var out bytes.Buffer
		a := &app{stderr: newConsole(&bytes.Buffer{})}
		root := a.rootCommand()
		root.SetOut(&out)
		root.SetArgs(append(args, "--help"))
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&manual, "\n## %s\n\n```text\n%s```\n", strings.Join(append([]string{"icewright"}, args...), " "), out.String())
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(manual.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != manual.String() {
		t.Errorf("%s is not what --help says: run go test ./cmd/icewright -run TestManual -rewrite", file)
	}
}
