package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/icewright/icewright/job"
)

func (a *app) doctorCommand() *cobra.Command {
	var c job.Checkup
	cmd := &cobra.Command{
		Use:   "doctor [NS.NAME]",
		Short: "Check configuration, catalog, warehouse and clocks, and what a table needs",
		Long: `Doctor looks at what a load would use, and says what to mend: which configuration won and
where each property came from (no secret is printed), whether the catalog answers, whether the
warehouse can be listed, written, read and cleaned, whether clocks agree, and which quirks an
S3-compatible store has. It writes one small file to the warehouse and removes it, unless
--read-only is given.

With a table it looks at the place of that table's files, and at what the table needs: many small
files, delete files that not every engine reads, snapshots and metadata piling up.

Exit code 0 means that loads should work, whatever warnings there are.`,
		Example: `  icewright doctor
  icewright doctor lake.events --catalog prod
  icewright doctor --read-only --output json | jq '.findings[] | select(.level != "ok")'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return oneTable(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c.Catalog = a.global.catalog
			if len(args) == 1 {
				c.Table = args[0]
			}
			d, err := job.Doctor(cmd.Context(), c)
			if err != nil {
				return err
			}
			if a.global.output == "json" {
				err = a.printJSON(d)
			} else {
				err = a.print([]byte(a.diagnosisText(d)))
			}
			if err != nil {
				return err
			}
			return d.Err()
		},
	}
	f := under(cmd.Flags(), "Doctor")
	f.truth(&c.ReadOnly, "read-only", "write nothing, not even for a moment")
	return cmd
}

func (a *app) diagnosisText(d job.Diagnosis) string {
	var b strings.Builder
	if len(d.Settings) > 0 {
		rows := [][]string{{"setting", "value", "from"}}
		for _, s := range d.Settings {
			rows = append(rows, []string{s.Key, s.Value, s.Origin})
		}
		b.WriteString(aligned("", rows) + "\n")
	}
	worst := map[job.Level]int{}
	for _, f := range d.Findings {
		worst[f.Level]++
		about := f.About
		if about != "" {
			about += ": "
		}
		fmt.Fprintf(&b, "%-8s%s: %s%s\n", f.Level, f.Check, about, f.Text)
		if f.Fix != "" {
			fmt.Fprintf(&b, "        %s\n", f.Fix)
		}
	}
	switch {
	case worst[job.Problem] > 0:
		fmt.Fprintf(&b, "\n%s: loads will not work\n", plural(int64(worst[job.Problem]), "problem"))
	case worst[job.Warning] > 0:
		fmt.Fprintf(&b, "\nloads will work; %s\n", plural(int64(worst[job.Warning]), "warning"))
	default:
		b.WriteString("\nloads will work\n")
	}
	return b.String()
}
