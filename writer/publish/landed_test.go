package publish_test

import (
	"context"
	"testing"

	"github.com/apache/iceberg-go/table"
	"github.com/google/go-cmp/cmp"

	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer/publish"
)

// A commit lands, its answer is lost, and another writer's snapshot hides it. Were it taken for
// refused, its manifests would be removed from under the table.
func TestLandedOutOfSight(t *testing.T) {
	for name, tc := range map[string]struct {
		others string
		want   []string
	}{
		"another partition is swapped": {"b/b2", []string{"a/a2", "b/b2"}},
		"the same one is swapped":      {"a/a3", []string{"a/a3", "b/b1"}},
	} {
		t.Run(name, func(t *testing.T) {
			cat := newTable(t, 2, nil)
			mustPublish(t, cat, "a/a1", "b/b1")
			hiding := &testcat.NewestOnly{Catalog: cat, Then: func() { mustPublish(t, cat, tc.others) }}
			flaky := fault.New(t, hiding, "commit #1 lands, reply lost")

			out, err := publish.Publish(t.Context(), flaky, attempt(load(t, flaky), 1, "a/a2"), swap(t, table.MainBranch, "a/a2"), quick())
			if err != nil {
				t.Fatal(err)
			}
			if out.Snapshot == nil || out.Tries != 1 {
				t.Errorf("snapshot %v after %d tries, want the one that landed", out.Snapshot, out.Tries)
			}
			tbl := load(t, cat)
			if d := cmp.Diff(tc.want, live(t, tbl, "main")); d != "" {
				t.Errorf("live files (-want +got):\n%s", d)
			}
			if n := len(tbl.Metadata().Snapshots()); n != 3 {
				t.Errorf("%d snapshots, want 3: the attempt made more than one", n)
			}
			if l := testcat.Litter(t, tbl); len(l) > 0 {
				t.Errorf("litter: %v", l)
			}
		})
	}
}

// Without a lost answer a refusal is a refusal there too: the commit's metadata files go.
func TestRefusedOutOfSight(t *testing.T) {
	cat := newTable(t, 2, nil)
	mustPublish(t, cat, "a/a1", "b/b1")
	hiding := &testcat.NewestOnly{Catalog: cat}
	raced := false
	plan := swap(t, table.MainBranch, "a/a2")
	out, err := publish.Publish(t.Context(), hiding, attempt(load(t, hiding), 1, "a/a2"), func(ctx context.Context, base *table.Table) (*publish.Change, error) {
		change, err := plan(ctx, base)
		if !raced {
			raced = true
			mustPublish(t, cat, "b/b2")
		}
		return change, err
	}, quick())
	if err != nil {
		t.Fatal(err)
	}
	if out.Tries != 2 {
		t.Errorf("%d tries, want 2", out.Tries)
	}
	tbl := load(t, cat)
	if d := cmp.Diff([]string{"a/a2", "b/b2"}, live(t, tbl, "main")); d != "" {
		t.Errorf("live files (-want +got):\n%s", d)
	}
	if l := testcat.Litter(t, tbl); len(l) > 0 {
		t.Errorf("litter: %v", l)
	}
}
