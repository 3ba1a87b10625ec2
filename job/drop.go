package job

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"

	"github.com/icewright/icewright/writer/plan"
)

// Dropped says what Drop did, or would do.
type Dropped struct {
	Table string `json:"table"`
	// Status is "dropped", "planned" for a dry run, or "refused" where Yes is missing.
	Status string `json:"status"`
	Purge  bool   `json:"purge"`  // whether the files are to go
	Purged bool   `json:"purged"` // whether they went
	// Snapshots is how many there are, and Loss what the branches and tags hold; nil where the
	// manifests cannot be read, which keeps nobody from dropping the table.
	Snapshots int   `json:"snapshots"`
	Loss      *Loss `json:"loss"`
}

// DropOptions guard Drop.
type DropOptions struct {
	// Yes must be true: a dropped table does not come back.
	Yes bool
	// Purge removes the table's data and metadata files too.
	Purge bool
	// DryRun counts what would go, and changes nothing.
	DryRun bool
}

// Drop takes a table out of its catalog, with Purge its files too. A table whose property
// gc.enabled is false shares its files with others: it can be dropped, not purged. Without o.Yes
// it is refused with plan.ErrGuard, and Dropped says what would go.
func Drop(ctx context.Context, t Target, o DropOptions) (Dropped, error) {
	d := Dropped{Table: t.Table, Status: "planned", Purge: o.Purge}
	cat, tbl, err := t.open(ctx)
	if err != nil {
		return Dropped{}, err
	}
	defer cat.Close()
	if o.Purge && tbl.Properties()["gc.enabled"] == "false" {
		return Dropped{}, usage("drop it without --purge", "table %s has gc.enabled=false: its files may belong to other tables", t.Table)
	}
	heads := map[string]int64{}
	for name, ref := range tbl.Metadata().Refs() {
		heads[name] = ref.SnapshotID
	}
	d.Snapshots = len(tbl.Metadata().Snapshots())
	if d.Loss, err = countFiles(ctx, tbl, heads, nil); err != nil {
		d.Loss = nil
	}
	if o.DryRun {
		return d, ctx.Err()
	}
	if !o.Yes {
		d.Status = "refused"
		return d, &Error{Class: plan.ErrGuard, Text: "dropping " + t.Table + " cannot be undone; nothing was changed", Advice: "say --yes, and --purge to remove its files too"}
	}
	ident := tbl.Identifier()
	purger, isPurger := cat.Catalog.(icebergcatalog.PurgeableTable)
	switch {
	case !o.Purge:
		err = cat.DropTable(ctx, ident)
	case isPurger && cat.CatalogType() == icebergcatalog.REST: // the server's to do: it knows what else uses the files
		err = purger.PurgeTable(ctx, ident)
	case cat.CatalogType() == icebergcatalog.Hadoop: // a table is its files there
		err = cat.PurgeTable(ctx, ident)
	default:
		// The other catalogs' PurgeTable prints what it could not remove instead of returning it.
		if err = cat.DropTable(ctx, ident); err == nil {
			if err = tbl.PurgeFiles(ctx); err != nil {
				d.Status = "dropped"
				return d, fmt.Errorf("%s is dropped, but some of its files are left: %w", t.Table, err)
			}
		}
	}
	if err != nil {
		if errors.Is(err, iceberg.ErrNotImplemented) {
			return Dropped{}, usage("", "this catalog cannot drop tables")
		}
		return Dropped{}, tableError(ctx, cat, t.Table, err)
	}
	d.Status, d.Purged = "dropped", o.Purge
	return d, nil
}
