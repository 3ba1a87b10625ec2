package publish_test

import (
	"context"
	"errors"
	"testing"

	"github.com/apache/iceberg-go/table"
	"github.com/google/go-cmp/cmp"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer/publish"
)

// The first snapshot of a table of version 1 has no sequence number that would tell it from a
// later one whose parents are out of sight.
func TestFirstSnapshotOfVersion1OutOfSight(t *testing.T) {
	cat := newTable(t, 1, nil)
	hiding := &testcat.NewestOnly{Catalog: cat, Then: func() { mustPublish(t, cat, "b/b2") }}
	flaky := fault.New(t, hiding, "commit #1 lands, reply lost")
	out, err := publish.Publish(t.Context(), flaky, attempt(load(t, cat), 1, "a/a2"), swap(t, "main", "a/a2"), quick())
	if err != nil {
		t.Fatal(err)
	}
	if out.Tries != 1 {
		t.Errorf("%d tries, want 1", out.Tries)
	}
	if d := cmp.Diff([]string{"a/a2", "b/b2"}, live(t, load(t, cat), "main")); d != "" {
		t.Errorf("live files (-want +got):\n%s", d)
	}
}

// renamed takes the table away under its name after a commit landed and its answer was lost.
type renamed struct {
	*catalog.Catalog
	gone bool
}

func (r *renamed) LoadTable(ctx context.Context, id table.Identifier) (*table.Table, error) {
	if r.gone {
		return nil, catalog.ErrNotFound
	}
	return r.Catalog.LoadTable(ctx, id)
}

func (r *renamed) CommitTable(ctx context.Context, id table.Identifier, q []table.Requirement, u []table.Update) (table.Metadata, string, error) {
	_, _, err := r.Catalog.CommitTable(ctx, id, q, u)
	if err != nil {
		return nil, "", err
	}
	r.gone = true
	return nil, "", catalog.ErrUnknownState
}

func TestRenamedAfterALostAnswerIsUnknown(t *testing.T) {
	cat := newTable(t, 2, nil)
	mustPublish(t, cat, "a/a1")
	r := &renamed{Catalog: cat}
	_, err := publish.Publish(t.Context(), r, attempt(load(t, cat), 1, "a/a2"), swap(t, "main", "a/a2"), quick())
	if !errors.Is(err, publish.ErrUnknown) {
		t.Errorf("error %v, want ErrUnknown", err)
	}
	fs, _ := load(t, cat).FS(t.Context())
	if _, err := load(t, cat).CurrentSnapshot().Manifests(fs); err != nil {
		t.Errorf("the table under its new name: %v", err)
	}
}
