package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/icewright/icewright/catalog"
)

// version is set by the linker: -X main.version=0.1.0. Default: what the module's build info says.
var version = ""

// build says which icewright this is, and what it is made of.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Iceberg  string `json:"iceberg_go"`
	Arrow    string `json:"arrow_go"`
	// Catalogs are the catalog types that it has.
	Catalogs []string `json:"catalogs"`
}

func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Catalogs: catalog.Types()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		switch m.Path {
		case "github.com/apache/iceberg-go":
			b.Iceberg = m.Version
		case "github.com/apache/arrow-go/v18":
			b.Arrow = m.Version
		}
	}
	return b
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version and what it was built from",
		Example: `  icewright version --output json | jq -r .commit`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			if a.global.output == "json" {
				return a.printJSON(b)
			}
			commit := b.Commit
			if len(commit) > 12 {
				commit = commit[:12]
			}
			if commit == "" {
				commit = "unknown"
			}
			if b.Modified {
				commit += ", modified"
			}
			return a.print(fmt.Appendf(nil, "icewright %s (commit %s)\n%s, iceberg-go %s, arrow-go %s, %s\ncatalogs: %s\n",
				b.Version, commit, b.Go, b.Iceberg, b.Arrow, b.Platform, strings.Join(b.Catalogs, ", ")))
		},
	}
}
