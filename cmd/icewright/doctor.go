package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/icewright/icewright/job"
)

func (a *app) doctorCommand() *cobra.Command {
	var c job.Checkup
	var sweep job.Sweep
	var litter bool
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

Exit code 0 means that loads should work, whatever warnings there are.

With --litter it looks for something else: files that runs wrote to the table and that no snapshot
refers to, left by a process that was killed or by a commit whose outcome was unknown (exit code
6). It lists those older than --older-than, and removes them with --yes. Files that other programs
wrote are left alone, and so are all files of a run that wrote any of them since.`,
		Example: `  icewright doctor
  icewright doctor lake.events --catalog prod
  icewright doctor lake.events --litter --older-than 48h
  icewright doctor lake.events --litter --yes
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
			if litter {
				sweep.Catalog, sweep.Table = c.Catalog, c.Table
				return a.sweep(cmd, sweep, c.ReadOnly)
			}
			if flag := firstSet(cmd, "older-than", "yes"); flag != "" {
				return &job.Error{Class: job.ErrUsage, Text: "--" + flag + " is for --litter", Advice: "icewright doctor NS.NAME --litter"}
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
	f.truth(&litter, "litter", "list files of the table that no snapshot refers to, instead of all else")
	f.duration(&sweep.OlderThan, "older-than", job.DefaultLitterAge, "the age from which on such a file is litter; 1h or more")
	f.truth(&sweep.Yes, "yes", "remove the litter")
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

func firstSet(cmd *cobra.Command, flags ...string) string {
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			return name
		}
	}
	return ""
}

// sweep is doctor --litter. What was removed is told even where an error ended it.
func (a *app) sweep(cmd *cobra.Command, s job.Sweep, readOnly bool) error {
	switch {
	case s.Table == "":
		return oneTable(cmd, nil)
	case readOnly && s.Yes:
		return &job.Error{Class: job.ErrUsage, Text: "--read-only and --yes exclude one another", Advice: "--litter without --yes removes nothing"}
	}
	d, err := job.Litter(cmd.Context(), s)
	if err != nil && d.Removed == 0 {
		return err
	}
	var printed error
	if a.global.output == "json" {
		printed = a.printJSON(d)
	} else {
		printed = a.print([]byte(sweptText(d)))
	}
	return errors.Join(err, printed)
}

func sweptText(d job.Swept) string {
	var b strings.Builder
	age := job.Age(time.Duration(d.OlderThan * float64(time.Second)))
	for _, folder := range d.Elsewhere {
		fmt.Fprintf(&b, "not looked at, since other tables may keep files there too: %s\n", folder)
	}
	if d.Young > 0 {
		fmt.Fprintf(&b, "%s that a run may still publish, left alone\n", plural(int64(d.Young), "file"))
	}
	if len(d.Files) == 0 {
		fmt.Fprintf(&b, "%s has no litter older than %s\n", d.Table, age)
		return b.String()
	}
	rows := [][]string{{"bytes", "modified", "file"}}
	for _, f := range d.Files {
		rows = append(rows, []string{strconv.FormatInt(f.Bytes, 10), f.Modified.UTC().Format(time.RFC3339), f.Path})
	}
	b.WriteString(aligned("", rows, 0) + "\n")
	fmt.Fprintf(&b, "%s, %s, that no snapshot of %s refers to, older than %s\n", plural(int64(len(d.Files)), "file"), bytesText(d.Bytes), d.Table, age)
	if d.Status == "found" {
		b.WriteString("say --yes to remove them\n")
	} else {
		fmt.Fprintf(&b, "removed %d\n", d.Removed)
	}
	return b.String()
}
