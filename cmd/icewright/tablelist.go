package main

import (
	"github.com/spf13/cobra"

	"github.com/icewright/icewright/job"
)

func (a *app) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list [NAMESPACE]",
		Short: "List the tables of a catalog",
		Long: `List prints the tables of a namespace and of those below it, or all of the catalog, one a line,
as --table takes them. --output json prints an object a line.`,
		Example: `  icewright table list
  icewright table list lake --output json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError(cmd, "one namespace at a time")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			namespace := append(args, "")[0]
			for t, err := range job.List(cmd.Context(), a.global.catalog, namespace) {
				if err != nil {
					return err
				}
				if a.global.output == "json" {
					err = a.printJSON(t)
				} else {
					err = a.print([]byte(t.Table + "\n"))
				}
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}
