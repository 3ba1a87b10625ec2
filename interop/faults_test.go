//go:build interop

package interop

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"sync"
	"syscall"
	"testing"
)

var signals = map[os.Signal]int{os.Interrupt: 130, syscall.SIGTERM: 143}

// flaky stands in front of a REST catalog and loses answers.
type flaky struct {
	*httptest.Server
	upstream *httputil.ReverseProxy

	mu      sync.Mutex
	commits int           // requests to commit to a table, so far
	landed  int           // those that the catalog accepted
	faults  map[int]fault // by the number of the commit, from 1
	reads   int           // how many requests to load a table to answer with 503 from the first fault on
}

// fault is what happens to one commit.
type fault struct {
	lands  bool   // the catalog gets it
	status int    // what the client gets; 0: a broken connection
	then   func() // runs before the client gets it; may be nil
	reads  int    // how many loads of a table fail next
}

var commitPath = regexp.MustCompile(`/namespaces/[^/]+/tables/[^/]+$`)

func newFlaky(t testing.TB, uri string, faults map[int]fault) *flaky {
	target, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	f := &flaky{faults: faults}
	f.upstream = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
		// Nessie tells clients to call back the host that they called.
		r.Out.Host = r.In.Host
	}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	table := commitPath.MatchString(r.URL.Path)
	f.mu.Lock()
	failRead := table && r.Method == http.MethodGet && f.reads > 0
	if failRead {
		f.reads--
	}
	var n int
	if table && r.Method == http.MethodPost {
		f.commits++
		n = f.commits
	}
	what, faulty := f.faults[n]
	f.mu.Unlock()
	if failRead {
		http.Error(w, "the catalog is away", http.StatusServiceUnavailable)
		return
	}
	if n == 0 {
		f.upstream.ServeHTTP(w, r)
		return
	}

	answer := httptest.NewRecorder()
	if !faulty || what.lands {
		f.upstream.ServeHTTP(answer, r)
	}
	f.mu.Lock()
	if answer.Code/100 == 2 && (!faulty || what.lands) {
		f.landed++
	}
	f.reads += what.reads
	f.mu.Unlock()
	switch {
	case !faulty:
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // a client that went away is its own business
		return
	case what.then != nil:
		what.then()
	}
	if what.status == 0 {
		panic(http.ErrAbortHandler) // breaks the connection
	}
	http.Error(w, "the proxy lost the answer", what.status)
}

// TestLostAnswers: whatever becomes of the answer to a commit, the run has its effect
// once, says so, and leaves no files that nothing refers to.
func TestLostAnswers(t *testing.T) {
	r := newReader(t)
	cases := []struct {
		name   string
		faults map[int]fault
	}{
		{"commit 1 lands, reply lost", map[int]fault{1: {lands: true}}},
		{"commit 1 lands, 500 for a reply", map[int]fault{1: {lands: true, status: 500}}},
		{"commit 1 lands, 502 for a reply", map[int]fault{1: {lands: true, status: 502}}},
		{"commit 1 lands, 503 for a reply", map[int]fault{1: {lands: true, status: 503}}},
		{"commit 1 lands, 504 for a reply", map[int]fault{1: {lands: true, status: 504}}},
		{"commit 1 never arrives, connection broken", map[int]fault{1: {}}},
		{"commit 1 never arrives, 502", map[int]fault{1: {status: 502}}},
		{"commits 1 and 2 never arrive, 503", map[int]fault{1: {status: 503}, 2: {status: 503}}},
		{"commit 1 never arrives, 502; commit 2 lands, reply lost", map[int]fault{1: {status: 502}, 2: {lands: true}}},
		{"commit 1 lands, reply lost, catalog away for 3 reads", map[int]fault{1: {lands: true, reads: 3}}},
	}
	for _, backend := range restBackends {
		t.Run(backend.name, func(t *testing.T) {
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					l, direct := backend.open(t), backend.open(t)
					table := l.table(t)
					args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date"}
					monday, tuesday := events("2024-01-15", 30, 1), events("2024-01-16", 30, 1)
					l.load(t, table, l.put(t, "before.csv", monday.and(tuesday).csv()), args...)
					stored := len(l.files(t, table))

					proxy := newFlaky(t, l.rest.URI, c.faults)
					through := *l
					through.pointTo(proxy.URL + pathOf(t, l.rest.URI))
					after := events("2024-01-16", 40, 2)
					got := through.load(t, table, l.put(t, "after.csv", after.csv()), args...)
					if got.Status != "published" || got.SnapshotID == nil {
						t.Errorf("the load says %+v", got)
					}
					if proxy.landed != 1 {
						t.Errorf("%d of %d commits landed, want one", proxy.landed, proxy.commits)
					}
					if proxy.commits < len(c.faults) {
						t.Errorf("%d commits were sent; not every fault was met", proxy.commits)
					}
					r.mustHold(t, direct, table, monday.and(after))
					r.mustTell(t, direct, table, 2)
					if more := len(l.files(t, table)) - stored; more != got.FilesAdded {
						t.Errorf("the load left %d more data files and says it added %d", more, got.FilesAdded)
					}
					if again := l.load(t, table, "after.csv", args...); again.Status != "unchanged" {
						t.Errorf("a rerun says %+v", again)
					}
				})
			}
		})
	}
}

// TestLostAnswerAndAnotherRun: the commit lands, its answer is lost, and another run
// publishes to another partition before anyone looks. Where the catalog keeps snapshots
// the attempt finds its own; where it shows the newest only, the table itself must tell.
func TestLostAnswerAndAnotherRun(t *testing.T) {
	r := newReader(t)
	for _, backend := range restBackends {
		t.Run(backend.name, func(t *testing.T) {
			l := backend.open(t)
			table := l.table(t)
			args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date"}
			monday, tuesday := events("2024-01-15", 30, 1), events("2024-01-16", 30, 1)
			l.load(t, table, l.put(t, "before.csv", monday.and(tuesday).csv()), args...)

			mine, theirs := events("2024-01-16", 40, 2), events("2024-01-15", 35, 2)
			l.put(t, "mine.csv", mine.csv())
			l.put(t, "theirs.csv", theirs.csv())
			proxy := newFlaky(t, l.rest.URI, map[int]fault{1: {lands: true, then: func() {
				if got := l.load(t, table, "theirs.csv", args...); got.Status != "published" {
					t.Errorf("the other run says %+v", got)
				}
			}}})
			through := *l
			through.pointTo(proxy.URL + pathOf(t, l.rest.URI))
			got := through.load(t, table, "mine.csv", args...)
			if got.Status != "published" && got.Status != "unchanged" {
				t.Errorf("the load says %+v", got)
			}
			if proxy.landed != 1 {
				t.Errorf("%d of %d commits landed, want one", proxy.landed, proxy.commits)
			}
			// Were the staged files taken for leftovers, the table would now be unreadable.
			r.mustHold(t, l, table, mine.and(theirs))
			r.mustDescribe(t, l, table)
			r.mustTell(t, l, table, 3)
		})
	}
}

func pathOf(t testing.TB, uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	return u.Path
}
