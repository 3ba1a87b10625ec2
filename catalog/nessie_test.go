package catalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
)

// The first commit of a table goes to the commit of Nessie that the table was loaded from, and to no other server
// so. Real Nessies are raced in interop.TestFirstLoadsRace.
func TestFirstCommitsAreMadeToNessiesOwnCommit(t *testing.T) {
	const hash = "946d1d0826f4eedfda744ef64ec506eee7605b3ff51a5400d7c28ab0607dbe8c"
	for _, tc := range []struct {
		name, nessie, prefix, hash string
		snapshot                   bool
		want                       string
	}{
		{"the usual", "true", "main%7Clake", hash, false, "/v1/main@" + hash + "%7Clake/namespaces/lake/tables/events"},
		{"a branch with a slash", "true", "dev%2Fme%7Clake", hash, false, "/v1/dev%2Fme@" + hash + "%7Clake/namespaces/lake/tables/events"},
		{"the usual warehouse", "true", "main", hash, false, "/v1/main@" + hash + "/namespaces/lake/tables/events"},
		{"later commits", "true", "main%7Clake", hash, true, "/v1/main%7Clake/namespaces/lake/tables/events"},
		{"another server", "", "main%7Clake", hash, false, "/v1/main%7Clake/namespaces/lake/tables/events"},
		{"no hash", "true", "main%7Clake", "", false, "/v1/main%7Clake/namespaces/lake/tables/events"},
		{"what is no hash", "true", "main%7Clake", "../../admin", false, "/v1/main%7Clake/namespaces/lake/tables/events"},
		{"a reference with a hash", "true", "main@0123456789%7Clake", hash, false, "/v1/main@0123456789%7Clake/namespaces/lake/tables/events"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newRESTServer(t)
			s.config = fmt.Sprintf(`{"defaults":{"prefix":%q},"overrides":{"nessie.is-nessie-catalog":%q}}`, tc.prefix, tc.nessie)
			s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var meta map[string]any
				_ = json.Unmarshal(metadata(t), &meta)
				meta["properties"] = map[string]string{"nessie.commit.id": tc.hash}
				if tc.snapshot {
					meta["snapshots"] = []any{map[string]any{"snapshot-id": 1, "sequence-number": 1, "timestamp-ms": meta["last-updated-ms"], "manifest-list": "s3://bucket/list", "summary": map[string]string{"operation": "append"}}}
					meta["current-snapshot-id"], meta["last-sequence-number"] = 1, 1
				}
				_ = json.NewEncoder(w).Encode(map[string]any{"metadata-location": "s3://bucket/m.json", "metadata": meta})
			})
			c := open(t, catalog.Config{URI: s.URL})
			tbl, err := c.LoadTable(t.Context(), events)
			if err != nil {
				t.Fatal(err)
			}
			commit := func(ctx context.Context) {
				t.Helper()
				if _, _, err := c.CommitTable(ctx, events, []table.Requirement{table.AssertRefSnapshotID("main", nil)}, nil); err != nil {
					t.Fatal(err)
				}
			}
			commit(catalog.WithBase(t.Context(), tbl))
			commit(t.Context())
			var got []string
			for _, r := range s.requests("POST ") {
				got = append(got, r.URL.EscapedPath())
			}
			plain := "/v1/" + tc.prefix + "/namespaces/lake/tables/events"
			if len(got) != 2 || got[0] != tc.want || got[1] != plain {
				t.Errorf("commits went to %q, want %q and %q", got, tc.want, plain)
			}
		})
	}
}
