package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/icewright/icewright/job"
)

// choicesKey is a flag's annotation with the values that it knows.
const choicesKey = "choices"

// completions tells cobra what shells complete the flags of cmd, and of those below it, with: the
// values that a flag knows, tables where its value is called a TABLE, directories where it names one, files
// where its value is called a FILE, and nothing where it is anything else. Commands that take a NS.NAME
// complete it with tables.
func (a *app) completions(cmd *cobra.Command) {
	if strings.Contains(cmd.Use, " NS.NAME") || strings.Contains(cmd.Use, "[NS.NAME]") {
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 || cmd.Flags().Lookup("table") != nil {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return a.tables(cmd), cobra.ShellCompDirectiveNoFileComp
		}
	}
	for _, flags := range []*pflag.FlagSet{cmd.LocalNonPersistentFlags(), cmd.PersistentFlags()} {
		flags.VisitAll(func(f *pflag.Flag) {
			value, _ := pflag.UnquoteUsage(f)
			_, directory := f.Annotations[cobra.BashCompSubdirsInDir]
			if directory || value == "FILE" || f.Name == "help" {
				return
			}
			err := cmd.RegisterFlagCompletionFunc(f.Name, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
				switch {
				case f.Name == outputKey:
					return outputFormats(cmd), cobra.ShellCompDirectiveNoFileComp
				case value == "TABLE":
					return a.tables(cmd), cobra.ShellCompDirectiveNoFileComp
				}
				return f.Annotations[choicesKey], cobra.ShellCompDirectiveNoFileComp
			})
			if err != nil {
				panic(err) // the flag is not there: a defect
			}
		})
	}
	for _, c := range cmd.Commands() {
		a.completions(c)
	}
}

// patience is how long a shell waits for a catalog before it completes nothing.
const patience = 2 * time.Second

// tables are the tables of the catalog that the command line and the environment name.
func (a *app) tables(cmd *cobra.Command) (names []string) {
	if _, err := fromEnvironment(cmd); err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	for t, err := range job.List(ctx, a.global.catalog, "") {
		if err != nil {
			return names // a shell has no place for the error
		}
		names = append(names, t.Table)
	}
	return names
}
