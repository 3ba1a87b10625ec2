package main

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// sample is a value that no flag has by default, for each kind of flag.
func sample(t *testing.T, f *pflag.Flag) (text, want string) {
	switch kind := f.Value.Type(); kind {
	case "string":
		return "a value, with = and a comma", "a value, with = and a comma"
	case "bool":
		if f.DefValue == "true" {
			return "false", "false"
		}
		return "true", "true"
	case "int", "int64":
		return "7", "7"
	case "duration":
		return "36h", "36h0m0s"
	case "SIZE":
		return "96MiB", "96MiB"
	case "stringArray", "stringSlice":
		return "one,two", "[one,two]"
	case "KEY=VALUE":
		return "k.one=1,k.two=2", "" // it does not show what it holds
	default:
		t.Fatalf("--%s: what kind of flag is %q?", f.Name, kind)
		return "", ""
	}
}

// commands are all commands, each with its command line.
func commands(cmd *cobra.Command, path ...string) (found [][]string) {
	if cmd.Runnable() && !cmd.Hidden {
		found = append(found, path)
	}
	for _, c := range cmd.Commands() {
		found = append(found, commands(c, append(slices.Clone(path), c.Name())...)...)
	}
	return found
}

// Every flag of every command can be said in the environment, and the command line beats it.
func TestEveryFlagHasAVariable(t *testing.T) {
	fresh := func() (*app, *cobra.Command) {
		a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: newConsole(&bytes.Buffer{})}
		return a, a.rootCommand()
	}
	_, root := fresh()
	root.InitDefaultCompletionCmd()
	checked := map[string]int{}
	for _, path := range commands(root) {
		cmd, _, err := root.Find(path)
		if err != nil || len(path) > 0 && path[0] == "completion" { // cobra's own, run before there is any environment
			continue
		}
		var names []string
		collect := func(f *pflag.Flag) {
			if f.Name != "help" && !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
		}
		cmd.Flags().VisitAll(collect)
		cmd.PersistentFlags().VisitAll(collect)
		cmd.InheritedFlags().VisitAll(collect)
		for _, name := range names {
			for _, commandLine := range []bool{false, true} {
				a, root := fresh()
				cmd, _, err := root.Find(path)
				if err != nil {
					t.Fatal(err)
				}
				// Its flags are what is looked at, not what the command does with them.
				cmd.Run, cmd.RunE, cmd.Args = func(*cobra.Command, []string) {}, nil, cobra.ArbitraryArgs
				ran := false
				cmd.Run = func(*cobra.Command, []string) { ran = true }
				flag := cmd.Flag(name)
				text, want := sample(t, flag)
				if name == "output" {
					text, want = "json", "json"
				}
				t.Setenv(envName(name), text)
				args := slices.Clone(path)
				if commandLine {
					args = append(args, "--"+name+"="+flag.DefValue)
					want = flag.DefValue
					if isList(flag) {
						args[len(args)-1], want = "--"+name+"=mine=1", "[mine=1]"
					}
				}
				root.SetArgs(args)
				if err := root.Execute(); err != nil || !ran {
					t.Errorf("%v with %s: ran %v, %v", path, envName(name), ran, err)
				}
				got := cmd.Flag(name).Value.String()
				if flag.Value.Type() == "KEY=VALUE" {
					props := *cmd.Flag(name).Value.(*properties).to
					fromEnv := props["k.one"] == "1" && props["k.two"] == "2" && len(props) == 2
					if commandLine == fromEnv || commandLine && (len(props) != 1 || props["mine"] != "1") {
						t.Errorf("%v: %s: properties %v", path, envName(name), props)
					}
				} else if got != want {
					t.Errorf("%v: %s=%s, on the command line too: %v: --%s is %q, want %q", path, envName(name), text, commandLine, name, got, want)
				}
				if name == "catalog-uri" && !commandLine && a.global.catalog.Origins["uri"] != envName(name) {
					t.Errorf("%v: the uri comes from %q", path, a.global.catalog.Origins["uri"])
				}
				os.Unsetenv(envName(name))
			}
			checked[name]++
		}
	}
	for _, name := range []string{"table", "catalog-prop", "quiet", "memory", "partition-by", "branch"} {
		if checked[name] == 0 {
			t.Errorf("--%s was not looked at", name)
		}
	}
	if checked["catalog"] < 6 {
		t.Errorf("--catalog was looked at with %d commands only", checked["catalog"])
	}
}

func TestVariablesThatAreNearlyRight(t *testing.T) {
	a := &app{stderr: newConsole(&bytes.Buffer{})}
	got := misspelt(a.rootCommand(), []string{
		"ICEWRIGHT_TABEL=x", "ICEWRIGHT_TABLE=x", "ICEWRIGHT_PARTITION_BY=x", "ICEWRIGHT_TOOLS=/tools", "ICEWRIGHT_CATALOGURI=x", "ICEWRIGHT_=x", "OTHER_TABEL=x",
	})
	want := []string{
		"ICEWRIGHT_CATALOGURI is not known; did you mean ICEWRIGHT_CATALOG_URI?",
		"ICEWRIGHT_TABEL is not known; did you mean ICEWRIGHT_TABLE?",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
