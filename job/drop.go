package job

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
)

// Dropped says what Drop did.
type Dropped struct {
	Table  string `json:"table"`
	Status string `json:"status"` // "dropped"
	Purged bool   `json:"purged"`
}

// DropOptions guard Drop.
type DropOptions struct {
	// Yes must be true: a dropped table does not come back.
	Yes bool
	// Purge removes the table's data and metadata files too.
	Purge bool
}

// Drop takes a table out of its catalog, with Purge its files too. A table whose property
// gc.enabled is false shares its files with others: it can be dropped, not purged.
func Drop(ctx context.Context, t Target, o DropOptions) (Dropped, error) {
	if !o.Yes {
		return Dropped{}, usage("say --yes, and --purge to remove its files too", "dropping %s cannot be undone", t.Table)
	}
	cat, tbl, err := t.open(ctx)
	if err != nil {
		return Dropped{}, err
	}
	defer cat.Close()
	if o.Purge && tbl.Properties()["gc.enabled"] == "false" {
		return Dropped{}, usage("drop it without --purge", "table %s has gc.enabled=false: its files may belong to other tables", t.Table)
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
				return Dropped{Table: t.Table, Status: "dropped"}, fmt.Errorf("%s is dropped, but some of its files are left: %w", t.Table, err)
			}
		}
	}
	if err != nil {
		if errors.Is(err, iceberg.ErrNotImplemented) {
			return Dropped{}, usage("", "this catalog cannot drop tables")
		}
		return Dropped{}, tableError(ctx, cat, t.Table, err)
	}
	return Dropped{Table: t.Table, Status: "dropped", Purged: o.Purge}, nil
}
