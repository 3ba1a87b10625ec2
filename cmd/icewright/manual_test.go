package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/icewright/icewright/internal/gendoc"
)

// docs/cli.md is what --help says, of every command. `make docs` writes it anew.
func TestManual(t *testing.T) {
	var manual strings.Builder
	manual.WriteString(`# The command line

What ` + "`icewright COMMAND --help`" + ` says, command by command; a test holds the two together. The
stories in cmd/icewright/testdata/script show each command at work, and are run as tests.
`)
	for _, args := range commandPaths((&app{}).rootCommand(), nil) {
		var out bytes.Buffer
		a := &app{stderr: newConsole(&bytes.Buffer{})}
		root := a.rootCommand()
		root.SetOut(&out)
		root.SetArgs(append(args[:len(args):len(args)], "--help"))
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&manual, "\n## %s\n\n```text\n%s```\n", strings.Join(append([]string{"icewright"}, args...), " "), out.String())
	}
	gendoc.CheckFile(t, "docs/cli.md", manual.String())
}

// commandPaths are the arguments that lead to cmd and to every command below it.
func commandPaths(cmd *cobra.Command, path []string) [][]string {
	paths := [][]string{path}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			paths = append(paths, commandPaths(c, append(path[:len(path):len(path)], c.Name()))...)
		}
	}
	return paths
}

// TestDocsSecurity: every test that SECURITY.md names is there.
func TestDocsSecurity(t *testing.T) {
	text, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, m := range regexp.MustCompile("`([a-z/]+\\.Test\\w+|Scripts/[a-z0-9-]+)`").FindAllStringSubmatch(string(text), -1) {
		named = append(named, m[1])
	}
	if len(named) < 8 {
		t.Errorf("it names %q only", named)
	}
	gendoc.Proofs(t, named...)
}
