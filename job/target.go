package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/nearest"
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
		err = tableError(ctx, cat, t.Table, err)
		cat.Close()
		return nil, nil, err
	}
	return cat, tbl, nil
}

// tableError is the error of looking a table up by a name that the user gave. Where there is no
// such table it asks cat for the one that was meant.
func tableError(ctx context.Context, cat *catalog.Catalog, name string, err error) error {
	if err = catalog.Classify(err); !errors.Is(err, catalog.ErrNotFound) {
		return fmt.Errorf("table %s: %w", name, err)
	}
	hint := "check --catalog and --warehouse; a table is made by its first load, or by icewright table create"
	if near := nearTable(ctx, cat, name); near != "" {
		hint = "did you mean " + near + "? Otherwise " + hint
	}
	return usage(hint, "there is no table %s", name)
}

// nearTable is the table that name is most likely a slip of: one of the same namespace, or else one
// in a namespace that is near too. "" where none is near, or the catalog does not tell.
func nearTable(ctx context.Context, cat *catalog.Catalog, name string) string {
	ident, err := catalog.ParseIdentifier(name)
	if err != nil {
		return ""
	}
	ns := ident[:len(ident)-1]
	known := []string{strings.Join(ns, ".")}
	if others, err := cat.ListNamespaces(ctx, nil); err == nil {
		for _, o := range others {
			known = append(known, strings.Join(o, "."))
		}
	}
	if exact := slices.Contains(known[1:], known[0]); !exact {
		near := nearest.Name(known[0], known[1:])
		if near == "" {
			return ""
		}
		ns = strings.Split(near, ".")
	}
	var tables []string
	for id, err := range cat.ListTables(ctx, ns) {
		if err != nil {
			return ""
		}
		tables = append(tables, catalog.FormatIdentifier(id))
	}
	return nearest.Name(strings.Join(append(ns[:len(ns):len(ns)], ident[len(ident)-1]), "."), tables)
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
