package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// choicesKey is a flag's annotation with the values that it knows.
const choicesKey = "choices"

// completions tells cobra what shells complete the flags of cmd, and of those below it, with: the
// values that a flag knows, directories where it names one, files where its value is called
// a FILE, and nothing where it is anything else.
func completions(cmd *cobra.Command) {
	for _, flags := range []*pflag.FlagSet{cmd.LocalNonPersistentFlags(), cmd.PersistentFlags()} {
		flags.VisitAll(func(f *pflag.Flag) {
			value, _ := pflag.UnquoteUsage(f)
			_, directory := f.Annotations[cobra.BashCompSubdirsInDir]
			if directory || value == "FILE" || f.Name == "help" {
				return
			}
			err := cmd.RegisterFlagCompletionFunc(f.Name, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
				if f.Name == outputKey {
					return outputFormats(cmd), cobra.ShellCompDirectiveNoFileComp
				}
				return f.Annotations[choicesKey], cobra.ShellCompDirectiveNoFileComp
			})
			if err != nil {
				panic(err) // the flag is not there: a defect
			}
		})
	}
	for _, c := range cmd.Commands() {
		completions(c)
	}
}
