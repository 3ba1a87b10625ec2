package main

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/icewright/icewright/job"
)

func (a *app) historyCommand() *cobra.Command {
	var (
		t     job.Target
		limit int
	)
	cmd := &cobra.Command{
		Use:   "history NS.NAME",
		Short: "List a table's snapshots: when, who, what",
		Long: `History lists the snapshots of a table, newest first: when each was made, by which run or
engine, and how many rows it added and removed. --output json prints an object a line.`,
		Example: `  icewright history air.flights
  icewright history air.flights --branch audit --output json`,
		Args: oneTable,
		RunE: func(cmd *cobra.Command, args []string) error {
			t.Catalog, t.Table = a.global.catalog, args[0]
			entries, err := job.History(cmd.Context(), t)
			if err != nil {
				return err
			}
			if limit > 0 && len(entries) > limit {
				entries = entries[:limit]
			}
			if a.global.output == "json" {
				for _, e := range entries {
					if err := a.printJSON(e); err != nil {
						return err
					}
				}
				return nil
			}
			return a.print([]byte(historyText(entries)))
		},
	}
	f := under(cmd.Flags(), "Snapshots")
	f.number(&limit, "limit", 0, "list at most `N` snapshots (default: all)")
	f.text(&t.Branch, "branch", "", "list what led to the head of this `BRANCH` (default: every snapshot)")
	return cmd
}

func historyText(entries []job.Entry) string {
	if len(entries) == 0 {
		return "no snapshot yet\n"
	}
	rows := [][]string{{"time", "snapshot", "operation", "added", "removed", "rows", "branch", "run"}}
	for _, e := range entries {
		run := e.RunKey
		if run == "" {
			run = cmp.Or(e.Engine, "?")
		}
		where := strings.Join(e.Branches, ",")
		for _, ref := range e.Refs { // a tag, or a head
			if !strings.Contains(","+where+",", ","+ref+",") {
				where = strings.TrimPrefix(where+","+ref, ",")
			}
		}
		rows = append(rows, []string{
			e.Time.Format(time.DateTime) + "Z", strconv.FormatInt(e.SnapshotID, 10), e.Operation,
			maybe(e.RowsAdded), maybe(e.RowsRemoved), maybe(e.RowsTotal), cmp.Or(where, "-"), run,
		})
	}
	return aligned("", rows, 3, 4, 5)
}

// maybe is a count, or "?" where it is not known.
func maybe(n *int64) string {
	if n == nil {
		return "?"
	}
	return grouped(*n)
}
