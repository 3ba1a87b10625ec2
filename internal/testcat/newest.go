package testcat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
)

// NewestOnly shows the newest snapshot of a table and nothing of those before it, as Nessie does.
type NewestOnly struct {
	*catalog.Catalog
	// Then runs once, when a commit has landed and before its answer is given.
	Then func()
}

func (n *NewestOnly) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	tbl, err := n.Catalog.LoadTable(ctx, ident)
	if err != nil {
		return nil, err
	}
	return Newest(tbl)
}

// Newest returns the table without the snapshots before the newest, which has no parent then.
func Newest(tbl *table.Table) (*table.Table, error) {
	if tbl.CurrentSnapshot() == nil {
		return tbl, nil
	}
	text, err := json.Marshal(tbl.Metadata())
	if err != nil {
		return nil, err
	}
	var meta map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // snapshot ids don't fit into a float
	if err := d.Decode(&meta); err != nil {
		return nil, err
	}
	delete(meta, "snapshot-log")
	for _, s := range meta["snapshots"].([]any) {
		if s := s.(map[string]any); s["snapshot-id"] == meta["current-snapshot-id"] {
			delete(s, "parent-snapshot-id")
			meta["snapshots"] = []any{s}
		}
	}
	if text, err = json.Marshal(meta); err != nil {
		return nil, err
	}
	pruned, err := table.ParseMetadataBytes(text)
	if err != nil {
		return nil, err
	}
	return table.New(tbl.Identifier(), pruned, tbl.MetadataLocation(), tbl.FS, nil), nil
}

func (n *NewestOnly) CommitTable(ctx context.Context, ident table.Identifier, requirements []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	meta, location, err := n.Catalog.CommitTable(ctx, ident, requirements, updates)
	if err != nil {
		err = errors.Join(catalog.ErrConflict, err) // the REST client's word for 409
	}
	if then := n.Then; err == nil && then != nil {
		n.Then = nil
		then()
	}
	return meta, location, err
}
