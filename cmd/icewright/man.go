package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/icewright/icewright/job"
)

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the man pages of every command to a directory",
		Long: `Man writes a man page for each command, icewright.1, icewright-load.1 and so on, to a
directory, which it makes. They say what --help says.`,
		Example: `  icewright man ~/.local/share/man/man1 && man icewright-load`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return usageError(cmd, "name one directory to write the pages to")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return &job.Error{Class: job.ErrUsage, Text: err.Error()}
			}
			return writePages(cmd.Root(), args[0])
		},
	}
}

// writePages writes the page of cmd and those of the commands below it.
func writePages(cmd *cobra.Command, dir string) error {
	for _, c := range cmd.Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		if err := writePages(c, dir); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, pageName(cmd)+".1"), []byte(manPage(cmd)), 0o644)
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage is a command's page, in the macros of man(7). cobra's own generator reads descriptions
// as Markdown, in which a glob is bold text, and knows no headings.
func manPage(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %q 1 \"\" %q %q\n", strings.ToUpper(pageName(cmd)), "icewright "+thisBuild().Version, "icewright")
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(pageName(cmd)), roff(cmd.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n%s\n", roff(cmd.UseLine()))
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", strings.ReplaceAll(roff(about(cmd)), "\n\n", "\n.PP\n"))
	for _, g := range commandGroups(cmd) {
		fmt.Fprintf(&b, ".SH %s\n", commandsHeading(g.title))
		for _, c := range g.commands {
			fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(pageName(c)), roff(c.Short))
		}
	}
	if cmd.Example != "" {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(cmd.Example))
	}
	b.WriteString(".SH OPTIONS\n")
	for _, g := range flagGroups(cmd) {
		fmt.Fprintf(&b, ".SS %s\n", roff(g.heading))
		g.flags.VisitAll(func(f *pflag.Flag) { manFlag(&b, f) })
	}
	if cmd.HasParent() {
		fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %s (1)\n", roff(pageName(cmd.Parent())))
	}
	return b.String()
}

func commandsHeading(title string) string {
	if title == "Commands" {
		return "COMMANDS"
	}
	return strings.ToUpper(title) + " COMMANDS"
}

func manFlag(b *strings.Builder, f *pflag.Flag) {
	value, usage := pflag.UnquoteUsage(f)
	name := `\fB` + roff("--"+f.Name) + `\fR`
	if f.Shorthand != "" {
		name = `\fB` + roff("-"+f.Shorthand) + `\fR, ` + name
	}
	if value != "" {
		name += ` \fI` + roff(value) + `\fR`
	}
	if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "false" && f.DefValue != "[]" {
		usage += " (default " + f.DefValue + ")"
	}
	fmt.Fprintf(b, ".TP\n%s\n%s\n", name, roff(usage))
}

// roff is text as troff prints it, whatever its locale: nothing in it is a macro or an escape.
func roff(text string) string {
	var b strings.Builder
	lineStart := true
	for _, r := range text {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == '-':
			b.WriteString(`\-`)
		case r >= 0x80:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		case lineStart && (r == '.' || r == '\''):
			b.WriteString(`\&` + string(r))
		default:
			b.WriteRune(r)
		}
		lineStart = r == '\n'
	}
	return b.String()
}
