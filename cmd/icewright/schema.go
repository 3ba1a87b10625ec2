package main

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/job"
)

func (a *app) schemaCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the schema of files, or how it differs from a table's",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.inferCommand(), a.diffCommand())
	return cmd
}

func (a *app) inferCommand() *cobra.Command {
	var j job.Job
	var format string
	cmd := &cobra.Command{
		Use:   "infer SOURCE...",
		Short: "Print a schema file for the rows of files",
		Long: `Infer reads files and prints the schema that a new table for them would get: the columns of
all of them, in the types that hold the values of all. What it prints is what load --schema reads:
YAML, or Iceberg's own JSON with --output json.`,
		Example: `  icewright schema infer flights/*.csv.gz > flights.yaml
  icewright load flights/*.csv.gz --table air.flights --schema flights.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			j.Sources, j.Stdin, j.Catalog, j.Format = args, a.stdin, a.global.catalog, arrowconv.Format(format)
			schema, err := job.InferSchema(cmd.Context(), j)
			if err != nil {
				return err
			}
			if a.global.output == "json" {
				text, err := json.Marshal(schema)
				if err != nil {
					return err
				}
				return a.print(append(text, '\n'))
			}
			return a.print([]byte(arrowconv.SchemaYAML(schema)))
		},
	}
	inputFlags(under(cmd.Flags(), headInput), &j, &format)
	f := under(cmd.Flags(), headTable)
	inferenceFlags(f, &j)
	f.number(&j.FormatVersion, "format-version", 0, "Iceberg format `VERSION` of the table: 1, 2 or 3 (default: 2)")
	return cmd
}

func (a *app) diffCommand() *cobra.Command {
	var j job.Job
	var format string
	var exit bool
	cmd := &cobra.Command{
		Use:   "diff SOURCE... --table NS.NAME",
		Short: "Say what a load would do to a table's schema",
		Long: `Diff reads all rows of files, compares them with a table's schema, and says for each column what
a load would do: the same, added, widened, relaxed (required to optional), missing in the input,
or refused, with the reason. It writes nothing. The exit code is 0; with --exit-code it is 10
where the load, with the --evolve that is given here, would not take every row.`,
		Example: `  icewright schema diff new/*.csv --table air.flights
  icewright schema diff new/*.csv --table air.flights --evolve add --exit-code`,
		RunE: func(cmd *cobra.Command, args []string) error {
			j.Sources, j.Stdin, j.Catalog, j.Format = args, a.stdin, a.global.catalog, arrowconv.Format(format)
			d, err := job.DiffSchema(cmd.Context(), j)
			if err != nil {
				return err
			}
			if a.global.output == "json" {
				err = a.printJSON(d)
			} else {
				err = a.print([]byte(schemaDiffText(d)))
			}
			if err == nil && exit {
				err = d.Err()
			}
			return err
		},
	}
	f := under(cmd.Flags(), headInput)
	f.text(&j.Table, "table", "", "`TABLE` to compare with, with its namespace: air.flights (required)")
	inputFlags(f, &j, &format)
	f = under(cmd.Flags(), headDrift)
	evolveFlag(f, &j)
	f.number(&j.InferRows, "infer-rows", 0, "look at the first `ROWS` of each source only (default: all)")
	f.truth(&exit, "exit-code", "end with exit code 10 where the load would not take every row")
	return cmd
}

// evolveChoices are those of --evolve, in the order of its help.
var evolveChoices = []string{catalog.ChangeAdd, catalog.ChangeWiden, catalog.ChangeRelax}

// schemaDiffText is a diff for people: a line for each column, and a sentence.
func schemaDiffText(d job.SchemaDiff) string {
	rows := [][]string{{"column", "", "type", ""}}
	var needs []string
	refused := false
	for _, c := range d.Columns {
		typ := c.From
		switch {
		case c.From == "":
			typ = c.To
		case c.To != c.From && c.To != "":
			typ = c.From + " → " + c.To
		}
		note := c.Why
		if c.Evolve != "" {
			note = "needs --evolve " + c.Evolve
			if !slices.Contains(needs, c.Evolve) {
				needs = append(needs, c.Evolve)
			}
		}
		refused = refused || c.State == job.ColumnRefused
		rows = append(rows, []string{c.Column, string(c.State), typ, note})
	}
	slices.SortFunc(needs, func(x, y string) int { return slices.Index(evolveChoices, x) - slices.Index(evolveChoices, y) })
	verdict := "a load would take every row\n"
	switch {
	case refused:
		verdict = "a load would refuse rows\n"
	case len(needs) > 0:
		verdict = "a load needs --evolve " + strings.Join(needs, ",") + "\n"
	}
	return aligned("", rows) + verdict
}
