package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/icewright/icewright/job"
)

func (a *app) tableCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "table",
		Short: "Create, alter, drop, list or describe tables",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.createCommand(), a.alterCommand(), a.dropCommand(), a.listCommand(), a.describeCommand())
	return cmd
}

func (a *app) describeCommand() *cobra.Command {
	var (
		t          job.Target
		partitions int
	)
	cmd := &cobra.Command{
		Use:   "describe NS.NAME",
		Short: "Print a table's schema, partitioning, properties and sizes",
		Example: `  icewright table describe air.flights
  icewright table describe air.flights --output json | jq '.columns[].name'`,
		Args: oneTable,
		RunE: func(cmd *cobra.Command, args []string) error {
			t.Catalog, t.Table = a.global.catalog, args[0]
			d, err := job.Describe(cmd.Context(), t)
			if err != nil {
				return err
			}
			if a.global.output == "json" {
				return a.printJSON(d)
			}
			return a.print([]byte(descriptionText(d, partitions)))
		},
	}
	f := under(cmd.Flags(), "Table")
	f.number(&partitions, "partitions", 10, "list the `N` largest partitions as text; 0 lists all")
	f.snapshot(&t)
	return cmd
}

func descriptionText(d job.Description, most int) string {
	var b strings.Builder
	facts := [][]string{
		{"table", d.Table},
		{"location", d.Location},
		{"format version", strconv.Itoa(d.FormatVersion)},
		{"partition by", cmp.Or(d.PartitionBy, "(unpartitioned)")},
		{"sort by", cmp.Or(d.SortBy, "(unsorted)")},
	}
	if len(d.IdentifierFields) > 0 {
		facts = append(facts, []string{"identified by", strings.Join(d.IdentifierFields, ", ")})
	}
	if d.SnapshotID == nil {
		facts = append(facts, []string{"snapshot", "(none yet)"})
	} else {
		facts = append(facts,
			[]string{"snapshot", fmt.Sprintf("%d, %s", *d.SnapshotID, d.Updated.Format(time.DateTime)+"Z")},
			[]string{"rows", grouped(d.Rows)},
			[]string{"data files", fmt.Sprintf("%s, %s", grouped(int64(d.DataFiles)), bytesText(d.Bytes))},
		)
		if d.DeleteFiles > 0 {
			facts = append(facts, []string{"delete files", grouped(int64(d.DeleteFiles)) + " (the rows they take away are counted above)"})
		}
	}
	for _, r := range d.Refs {
		if text := refText(r); r.Name != "main" || text != strconv.FormatInt(r.SnapshotID, 10) {
			facts = append(facts, []string{r.Type + " " + r.Name, text})
		}
	}
	for _, s := range d.Specs {
		if s.ID != d.SpecID {
			facts = append(facts, []string{"earlier spec " + strconv.Itoa(s.ID), cmp.Or(s.PartitionBy, "(unpartitioned)")})
		}
	}
	b.WriteString(aligned("", facts))

	rows := [][]string{{"id", "column", "type", ""}}
	for _, c := range d.Columns {
		var more []string
		if c.Required {
			more = append(more, "required")
		}
		if c.Default != nil {
			more = append(more, "default "+oneLine(*c.Default))
		}
		rows = append(rows, []string{strconv.Itoa(c.ID), c.Name, c.Type, strings.Join(more, ", ")})
	}
	b.WriteString("\n" + aligned("", rows, 0))

	if len(d.Properties) > 0 {
		b.WriteByte('\n')
		rows = [][]string{{"property", "value"}}
		for _, k := range slices.Sorted(maps.Keys(d.Properties)) {
			rows = append(rows, []string{k, shortened(d.Properties[k])})
		}
		b.WriteString(aligned("", rows))
	}
	if len(d.Partitions) > 0 && d.PartitionBy != "" {
		rows = [][]string{{"partition", "rows", "files", "size"}}
		for i, p := range d.Partitions {
			if most > 0 && i == most {
				break
			}
			rows = append(rows, []string{cmp.Or(p.Partition, "(whole table)"), grouped(p.Rows), grouped(int64(p.DataFiles + p.DeleteFiles)), bytesText(p.Bytes)})
		}
		b.WriteString("\n" + aligned("", rows, 1, 2, 3))
		if more := len(d.Partitions) - most; most > 0 && more > 0 {
			fmt.Fprintf(&b, "… and %s\n", plural(int64(more), "more partition"))
		}
	}
	return b.String()
}

// bytesText is n with a unit: "3.1 MiB".
func bytesText(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

func (a *app) dropCommand() *cobra.Command {
	var (
		t job.Target
		o job.DropOptions
	)
	cmd := &cobra.Command{
		Use:   "drop NS.NAME --yes",
		Short: "Take a table out of its catalog",
		Long: `Drop takes a table out of its catalog. Its files stay, unless --purge removes them too.
Neither can be undone: without --yes what would go is printed, and nothing changes, exit code 3.`,
		Example: `  icewright table drop air.flights --purge --dry-run
  icewright table drop air.flights --yes --purge`,
		Args: oneTable,
		RunE: func(cmd *cobra.Command, args []string) error {
			t.Catalog, t.Table = a.global.catalog, args[0]
			d, err := job.Drop(cmd.Context(), t, o)
			if err != nil && d.Status != "refused" {
				return err
			}
			text := []byte(droppedText(d))
			if a.global.output == "json" {
				if perr := a.printJSON(d); err == nil {
					err = perr
				}
			} else if perr := a.print(text); err == nil {
				err = perr
			}
			return err
		},
	}
	f := under(cmd.Flags(), "Drop")
	f.truth(&o.Yes, "yes", "yes, drop it")
	f.truth(&o.Purge, "purge", "remove its data and metadata files too")
	f.truth(&o.DryRun, "dry-run", "say what would go, and change nothing")
	return cmd
}

// droppedText says what went, or would go.
func droppedText(d job.Dropped) string {
	verb, files := d.Status, "its files are still there"
	if d.Purged {
		files = "and its files removed"
	}
	if d.Status != "dropped" {
		verb, files = "would drop", "its files would stay"
		if d.Purge {
			files = "and remove its files"
		}
	}
	text := fmt.Sprintf("%s %s, %s\n", verb, d.Table, files)
	if d.Loss != nil {
		text += fmt.Sprintf("  %s in %s, %s; %s\n", plural(d.Loss.Rows, "row"), plural(d.Loss.DataFiles, "data file"),
			bytesText(d.Loss.Bytes), plural(int64(d.Snapshots), "snapshot"))
	}
	return text
}

// refText is where a branch or a tag is, and how long it is kept.
func refText(r job.Ref) string {
	text := strconv.FormatInt(r.SnapshotID, 10)
	days := func(ms int64) string { return strconv.FormatFloat(float64(ms)/86_400_000, 'g', 4, 64) + " days" }
	if r.MaxRefAgeMs != nil {
		text += ", kept for " + days(*r.MaxRefAgeMs)
	}
	if r.MinSnapshots != nil {
		text += fmt.Sprintf(", %d snapshots or more", *r.MinSnapshots)
	}
	if r.MaxSnapshotAgeMs != nil {
		text += ", snapshots for " + days(*r.MaxSnapshotAgeMs)
	}
	return text
}

// shortened is a value as a table for people has room for it: properties such as the run keys of appends get long.
// With --output json values are whole.
func shortened(value string) string {
	const most = 200
	text := []rune(oneLine(value))
	if len(text) <= most {
		return string(text)
	}
	return fmt.Sprintf("%s… (%s characters)", string(text[:most]), grouped(int64(len(text))))
}
