package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// about is what a command does, in full.
func about(cmd *cobra.Command) string { return cmp.Or(cmd.Long, cmd.Short+".") }

// commandGroup is the commands below one under a title.
type commandGroup struct {
	title    string
	commands []*cobra.Command
}

// commandGroups are the commands below cmd, those without a group first.
func commandGroups(cmd *cobra.Command) []commandGroup {
	groups := []commandGroup{{title: "Commands"}}
	ids := []string{""}
	for _, g := range cmd.Groups() {
		groups, ids = append(groups, commandGroup{title: g.Title}), append(ids, g.ID)
	}
	for _, c := range cmd.Commands() {
		if i := slices.Index(ids, c.GroupID); i >= 0 && c.IsAvailableCommand() {
			groups[i].commands = append(groups[i].commands, c)
		}
	}
	return slices.DeleteFunc(groups, func(g commandGroup) bool { return len(g.commands) == 0 })
}

// flagGroup is the flags of a command under one heading.
type flagGroup struct {
	heading string
	flags   *pflag.FlagSet
}

// flagGroups are the flags that cmd takes, in the order they were made in, those that every
// command has last.
func flagGroups(cmd *cobra.Command) []flagGroup {
	var groups []flagGroup
	collect := func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		heading := "Other"
		if h := f.Annotations[headingKey]; len(h) > 0 {
			heading = h[0]
		}
		i := slices.IndexFunc(groups, func(g flagGroup) bool { return g.heading == heading })
		if i < 0 {
			i = len(groups)
			groups = append(groups, flagGroup{heading, pflag.NewFlagSet(heading, pflag.ContinueOnError)})
			groups[i].flags.SortFlags = false
		}
		groups[i].flags.AddFlag(f)
	}
	cmd.InitDefaultHelpFlag()
	cmd.Flags().SortFlags = false
	for _, flags := range []*pflag.FlagSet{cmd.LocalNonPersistentFlags(), cmd.PersistentFlags(), cmd.InheritedFlags()} {
		flags.SortFlags = false
		flags.VisitAll(collect)
	}
	last := []string{headCatalog, headOutput, "Other"}
	slices.SortStableFunc(groups, func(a, b flagGroup) int {
		return slices.Index(last, a.heading) - slices.Index(last, b.heading)
	})
	return groups
}

// usageText prints how a command is used: its examples first, its flags under their headings.
func usageText(w io.Writer, cmd *cobra.Command) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:\n  %s\n", cmd.UseLine())
	if cmd.Example != "" {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	for _, g := range commandGroups(cmd) {
		fmt.Fprintf(&b, "\n%s:\n", g.title)
		for _, c := range g.commands {
			fmt.Fprintf(&b, "  %-12s %s\n", c.Name(), c.Short)
		}
	}
	for _, g := range flagGroups(cmd) {
		fmt.Fprintf(&b, "\n%s:\n%s", g.heading, g.flags.FlagUsagesWrapped(100))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
