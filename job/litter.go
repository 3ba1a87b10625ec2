package job

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/plan"
)

// DefaultLitterAge is far beyond what a run takes between its last staged file and its commit.
const DefaultLitterAge = 24 * time.Hour

// Sweep says which litter Litter looks for, and whether it removes it.
type Sweep struct {
	Catalog catalog.Config
	Table   string
	// OlderThan is the age from which on a file counts, by the clock of this machine. Default, 0: DefaultLitterAge.
	// It is at least an hour: runs that old look for their own files before they publish them.
	OlderThan time.Duration
	// Yes removes what is found.
	Yes bool
	// Now is the clock. Default, nil: time.Now.
	Now func() time.Time
}

// Swept is what Litter found and removed.
type Swept struct {
	// Version of this form: 1.
	Version int    `json:"version"`
	Table   string `json:"table"`
	// Status is "clean", "found", or "removed".
	Status string `json:"status"`
	// OlderThan is the age asked for, in seconds.
	OlderThan float64 `json:"older_than"`
	// Files are the litter, by path, and Bytes is their size.
	Files []LitterFile `json:"files"`
	Bytes int64        `json:"bytes"`
	// Removed is how many of them are gone.
	Removed int `json:"removed"`
	// Young counts staged files that a live run may still publish: they stay.
	Young int `json:"young"`
	// Elsewhere are folders outside the table's location, which were not looked at.
	Elsewhere []string `json:"not_looked_at"`
}

// LitterFile is a file that no snapshot refers to.
type LitterFile struct {
	Path     string    `json:"path"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
}

// Litter lists the files that attempts wrote to a table, that no snapshot of it refers to, and that
// are older than s.OlderThan; with s.Yes it removes them. Errors wrap ErrUsage, plan.ErrGuard for a
// table whose files are not its own (gc.enabled=false), or one of package catalog's. Where some file
// cannot be removed, Swept says how many could.
func Litter(ctx context.Context, s Sweep) (Swept, error) {
	if s.OlderThan == 0 {
		s.OlderThan = DefaultLitterAge
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	d := Swept{Version: 1, Table: s.Table, Status: "clean", OlderThan: s.OlderThan.Seconds(), Files: []LitterFile{}, Elsewhere: []string{}}
	if s.OlderThan < writer.LitterAge {
		return d, usage("", "--older-than %s: at least %s, since a live run may still publish younger files", Age(s.OlderThan), Age(writer.LitterAge))
	}
	cat, tbl, err := Target{Catalog: s.Catalog, Table: s.Table}.open(ctx)
	if err != nil {
		return d, err
	}
	defer cat.Close()
	if v, ok := tbl.Properties()["gc.enabled"]; ok && !strings.EqualFold(v, "true") {
		return d, &Error{
			Class:  plan.ErrGuard,
			Text:   fmt.Sprintf("table %s has gc.enabled=%s: snapshots that this catalog does not show, or other tables, may refer to its files", s.Table, v),
			Advice: "let the catalog's own garbage collection do it (for Nessie: nessie-gc)",
		}
	}
	litter, err := writer.FindLitter(ctx, cat, tbl, s.Now().Add(-s.OlderThan))
	if err != nil {
		return d, fmt.Errorf("litter of %s: %w", s.Table, catalog.Classify(err))
	}
	for _, f := range litter.Files {
		d.Files = append(d.Files, LitterFile(f))
		d.Bytes += f.Bytes
	}
	d.Young, d.Elsewhere = litter.Young, append(d.Elsewhere, litter.Elsewhere...)
	if len(d.Files) > 0 {
		d.Status = "found"
	}
	if !s.Yes || len(d.Files) == 0 {
		return d, nil
	}
	d.Removed, err = writer.RemoveLitter(ctx, tbl, litter.Files)
	if err != nil {
		return d, fmt.Errorf("remove litter of %s: %d of %d files are gone: %w", s.Table, d.Removed, len(d.Files), catalog.Classify(err))
	}
	d.Status = "removed"
	return d, nil
}

// Age writes a duration as people do: 24h, not 24h0m0s.
func Age(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
