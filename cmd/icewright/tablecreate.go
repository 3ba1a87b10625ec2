package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/job"
)

func (a *app) createCommand() *cobra.Command {
	var (
		c      job.Create
		format string
	)
	cmd := &cobra.Command{
		Use:   "create NS.NAME",
		Short: "Make an empty table",
		Long: `Create makes a table without rows. Its columns are those of a schema file, of another table, or
what the rows of a source tell, as in a first load.

With --if-not-exists a table that is there already is taken if it agrees with all that is said;
one that differs is refused, naming the difference.`,
		Example: `  icewright table create lake.events --schema events.yaml --partition-by 'day(ts)' --if-not-exists
  icewright table create lake.events_eu --like lake.events --table-prop owner=eu
  icewright table create lake.raw --from sample.csv --csv-delimiter ';' --decimals`,
		Args: oneTable,
		RunE: func(cmd *cobra.Command, args []string) error {
			c.Table, c.Catalog, c.Stdin, c.Format = args[0], a.global.catalog, a.stdin, arrowconv.Format(format)
			c.Warn = func(text string) { a.log.Warn(text) }
			done, err := job.CreateTable(cmd.Context(), c)
			if err != nil {
				return err
			}
			if a.global.output == "json" {
				return a.printJSON(done)
			}
			if done.Status == "unchanged" {
				return a.print(fmt.Appendf(nil, "unchanged %s\n", done.Table))
			}
			return a.print(fmt.Appendf(nil, "created %s: %s, at %s\n", done.Table, plural(int64(len(done.Columns)), "column"), done.Location))
		},
	}
	f := under(cmd.Flags(), "Columns")
	f.text(&c.Schema, "schema", "", "`FILE` with the schema, Iceberg JSON or YAML")
	f.text(&c.Like, "like", "", "`TABLE` to be like: its schema, spec, order, properties and format version, where nothing else is said")
	f.texts(&c.Sources, "from", "infer the schema from the rows of this `SOURCE`, as a first load does (repeatable)")
	inferenceFlags(f, &c.Job)
	inputFlags(under(cmd.Flags(), headInput), &c.Job, &format)
	f = under(cmd.Flags(), "Table")
	f.text(&c.PartitionBy, "partition-by", "", "partition `SPEC`: 'day(ts), bucket(16, id), region', or none")
	f.text(&c.SortBy, "sort-by", "", "sort `ORDER` of the rows in each file: 'ts, id desc', or none")
	f.props(&c.TableProps, "table-prop", "table property (repeatable)")
	f.number(&c.FormatVersion, "format-version", 0, "Iceberg format `VERSION`: 1, 2 or 3 (default: 2)")
	f.text(&c.Location, "location", "", "`LOCATION` of the table's files (default: the catalog's choice)")
	f.truth(&c.IfNotExists, "if-not-exists", "take a table that is there already, if it agrees")
	return cmd
}
