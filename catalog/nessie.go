package catalog

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/apache/iceberg-go/table"
)

// Nessie 0.99 takes the first commit of a table whether or not the branch exists by then: it does not hold commits
// to an assert-ref-snapshot-id of null (mended since: projectnessie/nessie#10062). Of loads that race on a table
// without a snapshot, all would be told that theirs is published, and have their rows overwritten.
//
// But every request to Nessie names a reference, in the prefix of its path ("main|lake"), and a reference may carry
// the hash of one of Nessie's own commits ("main@946d…|lake"). A commit to such a reference is refused, with 409,
// where the table has changed since, and passes where only other tables have. A loaded table tells the hash among
// its properties. So a first commit is pinned there, as a later one is by the snapshot that it was planned on.
const (
	// propNessieCommit is a property of tables: the commit of Nessie that the table was loaded from.
	propNessieCommit = "nessie.commit.id"
	// propIsNessie is in the configuration that the server sends.
	propIsNessie = "nessie.is-nessie-catalog"
)

type baseHash struct{}

// WithBase returns a context under which a commit is refused that was made for t while it had no snapshot, and
// finds one there. Where a requirement says so already, which is every catalog but Nessie, nothing is added.
func WithBase(ctx context.Context, t *table.Table) context.Context {
	hash := t.Properties()[propNessieCommit]
	if t.CurrentSnapshot() != nil || !nessieHash.MatchString(hash) {
		return ctx
	}
	return context.WithValue(ctx, baseHash{}, hash)
}

var nessieHash = regexp.MustCompile(`^[0-9a-f]{8,64}$`)

// pinned returns r with the hash of its context in the path, if the server is a Nessie.
func (t *restTransport) pinned(r *http.Request) *http.Request {
	hash, _ := r.Context().Value(baseHash{}).(string)
	t.mu.Lock()
	nessie := t.overrides[propIsNessie] == "true" || t.defaults[propIsNessie] == "true"
	t.mu.Unlock()
	if hash == "" || !nessie || r.Method != http.MethodPost {
		return r
	}
	before, rest, found := strings.Cut(r.URL.EscapedPath(), "/v1/")
	prefix, after, deeper := strings.Cut(rest, "/")
	prefix, err := url.PathUnescape(prefix)
	ref, warehouse, _ := strings.Cut(prefix, "|")
	if !found || !deeper || err != nil || ref == "" || strings.ContainsAny(ref, "@*~^") {
		return r // no reference, or one that stands still already, to which nobody can commit
	}
	ref += "@" + hash
	if warehouse != "" {
		ref += "|" + warehouse
	}
	path := before + "/v1/" + url.PathEscape(ref) + "/" + after
	plain, err := url.PathUnescape(path)
	if err != nil {
		return r
	}
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawPath = plain, path
	return r
}
