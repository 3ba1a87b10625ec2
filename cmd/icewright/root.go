package main

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/job"

	"github.com/icewright/icewright/nearest"
)

// globalFlags are the flags of every command.
type globalFlags struct {
	catalog catalog.Config
	output  string
	quiet   bool
	verbose bool
}

const (
	headCatalog = "Catalog"
	headOutput  = "Output"
)

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "icewright",
		Short: "Load files into Apache Iceberg tables, safely again and again",
		Long: `icewright loads batches of rows into Apache Iceberg tables. Running a load again
leaves the table exactly as if it had run once, and a reader never sees half of it.

Without any configuration the catalog is SQLite at lake/catalog.db and the data goes to
lake/warehouse, both made in the working directory on first use.

Every flag can be given as an environment variable: ICEWRIGHT_TABLE for --table.
Exit codes: 0 done, 1 defect, 2 usage, 3 refused by a guard, 4 bad input, 5 conflict or
transient (retry), 6 commit state unknown (retry), 130/143 interrupted.`,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			set, err := fromEnvironment(cmd)
			if err != nil {
				return err
			}
			if err := a.prepare(cmd); err != nil {
				return err
			}
			for _, warning := range misspelt(cmd.Root(), os.Environ()) {
				a.log.Warn(warning)
			}
			a.global.catalog.Origins = a.origins(set)
			a.global.catalog.Warn = func(text string) { a.log.Warn(text) }
			return nil
		},
	}
	root.CompletionOptions.DisableDescriptions = false
	root.SetHelpCommand(&cobra.Command{Hidden: true}) // --help does it
	root.SetFlagErrorFunc(flagError)
	root.SetUsageFunc(func(cmd *cobra.Command) error { return usageText(cmd.OutOrStdout(), cmd) })
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n", about(cmd))
		usageText(cmd.OutOrStdout(), cmd)
	})

	root.PersistentFlags().SortFlags = false
	f := under(root.PersistentFlags(), headCatalog)
	f.text(&a.global.catalog.Name, "catalog", "", "catalog's `NAME` in .iceberg-go.yaml or .pyiceberg.yaml, here or at home")
	f.text(&a.global.catalog.URI, "catalog-uri", "", "catalog's `URI`: https://… (REST) or sqlite:///path")
	f.text(&a.global.catalog.Warehouse, "warehouse", "", "`LOCATION` of new tables, or the REST server's name for a warehouse")
	f.props(&a.global.catalog.Props, "catalog-prop", "property of the catalog or its storage, such as s3.endpoint=… (repeatable)")
	f.truth(&a.global.catalog.NoVendedCredentials, "no-vended-credentials", "reach the tables' storage with your own keys, not with those that a REST catalog vends")
	f = under(root.PersistentFlags(), headOutput)
	f.text(&a.global.output, "output", "text", "`FORMAT` of the result on standard output: text or json")
	f.BoolVarP(&a.global.quiet, "quiet", "q", false, "say nothing on standard error but errors")
	f.mark("quiet")
	f.BoolVarP(&a.global.verbose, "verbose", "v", false, "say more on standard error")
	f.mark("verbose")

	root.AddGroup(&cobra.Group{ID: "write", Title: "Write"}, &cobra.Group{ID: "read", Title: "Read"}, &cobra.Group{ID: "other", Title: "Other"})
	for group, commands := range map[string][]*cobra.Command{
		"write": {a.loadCommand()},
		"read":  {a.showCommand(), a.schemaCommand(), a.historyCommand(), a.tableCommand()},
		"other": {a.doctorCommand(), a.versionCommand(), manCommand()},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.SetCompletionCommandGroupID("other")
	a.completions(root)
	return root
}

// outputKey is a command's annotation with the formats that its --output knows, if not text and json.
const outputKey = "output"

func outputFormats(cmd *cobra.Command) []string {
	if own := cmd.Annotations[outputKey]; own != "" {
		return strings.Split(own, ",")
	}
	return []string{"text", "json"}
}

// prepare checks the flags of every command and sets the log up.
func (a *app) prepare(cmd *cobra.Command) error {
	formats := outputFormats(cmd)
	if !slices.Contains(formats, a.global.output) {
		return &job.Error{
			Class: job.ErrUsage, Text: fmt.Sprintf("--output: unknown format %q", a.global.output),
			Advice: "it is one of " + strings.Join(formats, ", "),
		}
	}
	level := slog.LevelInfo
	switch {
	case a.global.quiet:
		level = slog.LevelError
	case a.global.verbose:
		level = slog.LevelDebug
	}
	a.log = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
	return nil
}

// noArgs refuses arguments, and names the command that was meant.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasSubCommands() {
		return usageError(cmd, "%s takes no argument, got %q", cmd.CommandPath(), args[0])
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint := "the commands are " + strings.Join(names, ", ")
	if near := nearest.Name(args[0], names); near != "" {
		hint = fmt.Sprintf("did you mean %s %s?", cmd.CommandPath(), near)
	}
	return &job.Error{Class: job.ErrUsage, Text: fmt.Sprintf("unknown command %q", args[0]), Advice: hint}
}

// oneTable wants one argument, the table.
func oneTable(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 0:
		return usageError(cmd, "no table given")
	case 1:
		return nil
	}
	return usageError(cmd, "one table at a time: got %s", strings.Join(args, " "))
}

func usageError(cmd *cobra.Command, format string, args ...any) error {
	return &job.Error{Class: job.ErrUsage, Text: fmt.Sprintf(format, args...), Advice: "usage: " + cmd.UseLine()}
}
