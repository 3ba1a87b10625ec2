package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/icewright/icewright/job"
)

func (a *app) alterCommand() *cobra.Command {
	var j job.Alter
	cmd := &cobra.Command{
		Use:   "alter NS.NAME",
		Short: "Change a table's schema, partitioning, sort order, properties, branches and tags",
		Long: `Alter makes a table what the flags say, all of it in one commit. The order of the flags does
not matter, columns go by the names that they have before, and what is so already is no change:
a second run of the same command says unchanged.

No data file is rewritten: files keep the partition spec and the types that they were written
with, and are read with the new schema. What another alter could not bring back (a column that
goes, snapshots that no branch leads to any more, an upgrade) needs --yes; without it the plan
is printed and nothing changes, exit code 3. --dry-run prints the plan of anything.`,
		Example: `  icewright table alter lake.events --add-column 'note string after id doc "free text"' --widen-column 'n long'
  icewright table alter lake.events --partition-by 'day(ts), bucket(16, id)' --sort-by 'ts' --dry-run
  icewright table alter lake.events --drop-column address.zip --yes
  icewright table alter lake.events --create-branch audit --ref-age 30d
  icewright table alter lake.events --set-branch main=audit --drop-branch audit --yes`,
		Args: oneTable,
		RunE: func(cmd *cobra.Command, args []string) error {
			j.Catalog, j.Table = a.global.catalog, args[0]
			done, err := job.AlterTable(cmd.Context(), j)
			for _, note := range done.Notes {
				a.log.Warn(note)
			}
			if err != nil && (done.Status != "refused" || len(done.Changes) == 0) {
				return err
			}
			if perr := a.printAltered(done); err == nil {
				err = perr
			}
			return err
		},
	}
	f := under(cmd.Flags(), "Schema")
	f.texts(&j.AddColumn, "add-column", "add a `COLUMN`: 'name type', then any of: first, after other, doc \"text\", default value (repeatable)")
	f.texts(&j.DropColumn, "drop-column", "drop a column by its `NAME` (repeatable; needs --yes)")
	f.texts(&j.RenameColumn, "rename-column", "rename a column: `NAME=NEW` (repeatable)")
	f.texts(&j.WidenColumn, "widen-column", "give a `COLUMN` a wider type: 'name long' (repeatable)")
	f.texts(&j.RelaxColumn, "relax-column", "let a required column be null, by its `NAME` (repeatable)")
	f.texts(&j.ColumnDoc, "column-doc", "document a column: `NAME=TEXT` (repeatable)")
	f.texts(&j.MoveColumn, "move-column", "put a `COLUMN` elsewhere: 'name first', 'name after other' (repeatable)")
	f.text(&j.IdentifierFields, "identifier-fields", "", "`COLUMNS` that identify a row, with commas, or none (default: as they are)")
	f = under(cmd.Flags(), "Layout")
	f.text(&j.PartitionBy, "partition-by", "", "partition `SPEC` of what is loaded from now on: 'day(ts), bucket(16, id)', or none (default: as it is)")
	f.text(&j.SortBy, "sort-by", "", "sort `ORDER` of files from now on: 'ts, id desc', or none (default: as it is)")
	f = under(cmd.Flags(), "Properties")
	f.props(&j.TableProps, "table-prop", "set a table property (repeatable)")
	f.texts(&j.UnsetProp, "unset-prop", "take a table property away, by its `NAME` (repeatable)")
	f.number(&j.FormatVersion, "format-version", 0, "upgrade the table to this Iceberg format `VERSION` (needs --yes; default: as it is)")
	f = under(cmd.Flags(), "Branches and tags")
	f.texts(&j.CreateBranch, "create-branch", "make a branch: `NAME`, or NAME@SNAPSHOT (repeatable; default: at main's head)")
	f.texts(&j.CreateTag, "create-tag", "make a tag: `NAME`, or NAME@SNAPSHOT (repeatable; default: at main's head)")
	f.texts(&j.SetBranch, "set-branch", "move a branch: `NAME=SNAPSHOT`, where another branch or a tag stands for its snapshot (repeatable; back needs --yes)")
	f.texts(&j.DropBranch, "drop-branch", "drop a branch by its `NAME` (repeatable; needs --yes)")
	f.texts(&j.DropTag, "drop-tag", "drop a tag by its `NAME` (repeatable; needs --yes)")
	f.text(&j.RefAge, "ref-age", "", "keep the branches and tags made or set for this `DURATION`: 30d, 12h (default: for ever)")
	f.number(&j.KeepSnapshots, "keep-snapshots", 0, "keep `N` snapshots or more of the branches made or set (default: the table's own)")
	f.text(&j.SnapshotAge, "snapshot-age", "", "keep those branches' snapshots for this `DURATION` (default: the table's own)")
	f = under(cmd.Flags(), "Plan")
	f.truth(&j.Yes, "yes", "yes, also what cannot be undone")
	f.truth(&j.DryRun, "dry-run", "say what would change, and change nothing")
	return cmd
}

func (a *app) printAltered(d job.Altered) error {
	if a.global.output == "json" {
		return a.printJSON(d)
	}
	return a.print([]byte(alteredText(d)))
}

func alteredText(d job.Altered) string {
	if len(d.Changes) == 0 {
		return "unchanged " + d.Table + "\n"
	}
	verb := map[string]string{"planned": "would alter", "refused": "would alter"}[d.Status]
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s\n", cmp.Or(verb, d.Status), d.Table, plural(int64(len(d.Changes)), "change"))
	for _, s := range d.Changes {
		fmt.Fprintf(&b, "  %s\n", stepText(s))
	}
	return b.String()
}

// stepText is one change as a line: what, from what to what, and what is lost.
func stepText(s job.Step) string {
	words := strings.ReplaceAll(s.Action, "-", " ")
	if s.Name != "" {
		words += " " + s.Name
	}
	switch from, to := s.Before, s.After; {
	case s.Action == "rename-column":
		words += " to " + to
	case from == "":
		words += ": " + cmp.Or(to, `""`)
	case to == "" && (s.Action == "partition-by" || s.Action == "sort-by" || s.Action == "identifier-fields"):
		words += ": " + from + " → none"
	case to == "":
		words += ": was " + from
	default:
		words += ": " + from + " → " + to
	}
	if s.Loss != nil {
		words += ", " + lossText(*s.Loss)
	}
	if n := len(s.Snapshots); n > 0 {
		var ids []string
		for i, id := range s.Snapshots {
			if i == 5 {
				ids = append(ids, "…")
				break
			}
			ids = append(ids, strconv.FormatInt(id, 10))
		}
		words += fmt.Sprintf("; nothing leads to %s any more: %s", plural(int64(n), "snapshot"), strings.Join(ids, ", "))
	}
	if s.Action == "format-version" {
		words += "; it cannot go back, and readers that know only version " + s.Before + " cannot read the table then"
	}
	return words
}

func lossText(l job.Loss) string {
	return fmt.Sprintf("losing %s in %s, %s", plural(l.Rows, "row"), plural(l.DataFiles, "data file"), bytesText(l.Bytes))
}
