package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1GiB": 1 << 30, "512MB": 512e6, "512MiB": 512 << 20, "64Mi": 64 << 20, "2G": 2e9, "1.5GiB": 3 << 29,
		"1048576": 1 << 20, "10 kb": 10000, "0": 0, "7B": 7,
	} {
		var b byteSize
		if err := b.Set(text); err != nil || int64(b) != want {
			t.Errorf("%s: %d, %v, want %d", text, b, err, want)
		}
		var again byteSize
		if err := again.Set(b.String()); err != nil || again != b {
			t.Errorf("%s is shown as %s", text, b.String())
		}
	}
	for _, text := range []string{"", "GiB", "-1", "1XB", "1e30", "NaN", "Inf", "1 2"} {
		var b byteSize
		if err := b.Set(text); err == nil {
			t.Errorf("%q is taken for %d", text, b)
		}
	}
}

// Each flag has a help text, belongs under a heading, and can be said in the environment.
func TestEveryFlagIsDocumented(t *testing.T) {
	a := &app{stderr: newConsole(&bytes.Buffer{})}
	root := a.rootCommand()
	for _, args := range [][]string{{"load"}, {"show"}, {"history"}, {"table", "describe"}, {"table", "drop"}, {"version"}} {
		cmd, _, err := root.Find(args)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := usageText(&out, cmd); err != nil {
			t.Fatal(err)
		}
		if _, other, ok := strings.Cut(out.String(), "\nOther:\n"); ok && strings.Contains(other, "--") && strings.Count(other, "--") > 1 {
			t.Errorf("%v: flags without a heading: %s", args, other)
		}
		if strings.Contains(out.String(), " string ") || strings.Contains(out.String(), " int ") {
			t.Errorf("%v: a flag's value has no name:\n%s", args, out.String())
		}
		if cmd.Name() != "version" && cmd.Example == "" {
			t.Errorf("%v has no example", args)
		}
	}
}
