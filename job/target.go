package job

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
)

// Target is the table that a reading command is about, and the snapshot of it. At most one of
// Branch and Snapshot is set; with neither it is the head of main.
type Target struct {
	Catalog catalog.Config
	// Table is the table's name with its namespace.
	Table string
	// Branch is a branch or a tag. Default, "": main.
	Branch string
	// Snapshot is a snapshot id. Default, "": the head of Branch.
	Snapshot string
}

// open loads the table. The caller closes the catalog. Errors wrap ErrUsage or one of package
// catalog's; a table that does not exist is ErrUsage, since a reader names a table that it knows.
func (t Target) open(ctx context.Context) (*catalog.Catalog, *table.Table, error) {
	ident, err := parseTable(t.Table)
	if err != nil {
		return nil, nil, err
	}
	if t.Branch != "" && t.Snapshot != "" {
		return nil, nil, usage("", "--branch and --snapshot exclude one another")
	}
	t.Catalog.Existing = true
	cat, err := catalog.Open(ctx, t.Catalog)
	if err != nil {
		return nil, nil, err
	}
	tbl, err := cat.LoadTable(ctx, ident)
	if err != nil {
		cat.Close()
		return nil, nil, tableError(t.Table, err)
	}
	return cat, tbl, nil
}

// tableError is the error of looking a table up by a name that the user gave.
func tableError(name string, err error) error {
	if err = catalog.Classify(err); errors.Is(err, catalog.ErrNotFound) {
		return usage("check --catalog and --warehouse; a table is made by its first load", "there is no table %s", name)
	}
	return fmt.Errorf("table %s: %w", name, err)
}

// snapshot is the snapshot that t asks for; nil where the table has none yet.
func (t Target) snapshot(tbl *table.Table) (*table.Snapshot, error) {
	if t.Snapshot != "" {
		id, err := strconv.ParseInt(t.Snapshot, 10, 64)
		if err != nil {
			return nil, usage("", "--snapshot: %q is not a snapshot id", t.Snapshot)
		}
		if snap := tbl.SnapshotByID(id); snap != nil {
			return snap, nil
		}
		return nil, usage("icewright history "+t.Table+" lists them", "table %s has no snapshot %d", t.Table, id)
	}
	name := t.Branch
	if name == "" {
		name = table.MainBranch
	}
	snap := tbl.SnapshotByName(name)
	if snap == nil && name != table.MainBranch {
		return nil, usage("icewright history "+t.Table+" shows the branches", "table %s has no branch %q", t.Table, name)
	}
	return snap, nil
}

// past says whether t names a snapshot, by its id or a tag, rather than a branch, which goes on.
func (t Target) past(tbl *table.Table) bool {
	for name, ref := range tbl.Metadata().Refs() {
		if name == t.Branch && ref.SnapshotRefType == table.TagRef {
			return true
		}
	}
	return t.Snapshot != ""
}
