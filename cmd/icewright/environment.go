package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/icewright/icewright/job"
	"github.com/icewright/icewright/nearest"
)

const envPrefix = "ICEWRIGHT_"

// envName is the environment variable that stands in for a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// isList tells whether a flag may be given again and again.
func isList(f *pflag.Flag) bool {
	t := f.Value.Type()
	return t == "stringArray" || t == "stringSlice" || t == "KEY=VALUE"
}

// fromEnvironment sets the flags that the command line leaves open from ICEWRIGHT_*, and returns
// the names of those it set. A variable that is empty says nothing. A flag that may be repeated
// takes a list: one value a line, or, on a single line, with commas between.
func fromEnvironment(cmd *cobra.Command) (set map[string]bool, problem error) {
	set = map[string]bool{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value := os.Getenv(envName(f.Name))
		if f.Changed || value == "" || problem != nil || f.Name == "help" {
			return
		}
		values := []string{value}
		if isList(f) {
			sep := ","
			if strings.Contains(value, "\n") {
				sep = "\n"
			}
			values = strings.Split(strings.Trim(value, "\n"), sep)
		}
		for i, v := range values {
			err := cmd.Flags().Set(f.Name, v)
			if err == nil {
				continue
			}
			e := &job.Error{Class: job.ErrUsage, Text: fmt.Sprintf("%s: %v", envName(f.Name), plain(err))}
			if isList(f) { // the text may be the rest of a secret with a comma in it
				e.Text = fmt.Sprintf("%s: value %d of %d is not %s", envName(f.Name), i+1, len(values), f.Value.Type())
				e.Advice = "write one value a line where a value has a comma"
			}
			problem = e
			return
		}
		set[f.Name] = true
	})
	return set, problem
}

// origins says which of the catalog's settings come from variables, for catalog.Config.
func (a *app) origins(set map[string]bool) map[string]string {
	out := map[string]string{}
	for flag, key := range map[string]string{"catalog": "catalog", "catalog-uri": "uri", "warehouse": "warehouse"} {
		if set[flag] {
			out[key] = envName(flag)
		}
	}
	if set["catalog-prop"] {
		for key := range a.global.catalog.Props {
			out[key] = envName("catalog-prop")
		}
	}
	return out
}

// misspelt returns a warning for each variable that was meant for a flag, of any command, and
// does not quite have its name. Variables that are near to nothing belong to somebody else.
func misspelt(root *cobra.Command, environ []string) (warnings []string) {
	flags := map[string]bool{}
	var collect func(*cobra.Command)
	collect = func(cmd *cobra.Command) {
		note := func(f *pflag.Flag) { flags[f.Name] = true }
		cmd.LocalFlags().VisitAll(note)
		cmd.PersistentFlags().VisitAll(note)
		for _, c := range cmd.Commands() {
			collect(c)
		}
	}
	collect(root)
	names := slices.Sorted(maps.Keys(flags))
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		variable, _, _ := strings.Cut(kv, "=")
		said, ok := strings.CutPrefix(variable, envPrefix)
		if !ok || said == "" || slices.ContainsFunc(names, func(n string) bool { return envName(n) == variable }) {
			continue
		}
		if near := nearest.Name(said, names); near != "" {
			warnings = append(warnings, fmt.Sprintf("%s is not known; did you mean %s?", variable, envName(near)))
		}
	}
	return warnings
}
