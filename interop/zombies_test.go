//go:build interop

package interop

import (
	"database/sql"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/tally"
	"github.com/icewright/icewright/localstack/stack"
)

// zombie is a load that stands still, stopped by SIGSTOP, and goes on once its retry has ended.
type zombie struct {
	*process
	// wake lets it go on from where it stopped.
	wake func()
}

// stoppedBeforeStaging starts a load of text that has seen the table and waits for its rows.
func stoppedBeforeStaging(t testing.TB, l *lake, text string, args []string) *zombie {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z := &zombie{process: l.startWith(t, in, args...)}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(z.stderr.String(), `"progress":"stage"`); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the load does not begin\n%s", &z.stderr)
		}
	}
	z.stand(t)
	z.wake = func() {
		z.goOn(t)
		_, _ = out.WriteString(text)
		out.Close()
	}
	return z
}

var toTable = regexp.MustCompile(`/namespaces/[^/]+/tables/[^/]+$`)

// passing leads to the lake's REST catalog by way of a proxy: handle passes a request on, or does not yet.
func (l *lake) passing(t testing.TB, handle func(r *http.Request, pass func())) *lake {
	t.Helper()
	target, err := url.Parse(l.rest.URI)
	if err != nil {
		t.Fatal(err)
	}
	upstream := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host
	}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handle(r, func() { upstream.ServeHTTP(w, r) })
	}))
	t.Cleanup(proxy.Close)
	through := *l
	through.pointTo(proxy.URL + target.Path)
	return &through
}

// stoppedAtTheCatalog starts a load whose request of the given method does not get through to the catalog until
// it wakes: a GET of the table comes when everything is staged, a POST is the commit.
func stoppedAtTheCatalog(t testing.TB, l *lake, method string, nth int64, source string, args []string) *zombie {
	t.Helper()
	held, release := make(chan struct{}), make(chan struct{})
	var count atomic.Int64
	through := l.passing(t, func(r *http.Request, pass func()) {
		if r.Method == method && toTable.MatchString(r.URL.Path) && count.Add(1) == nth {
			close(held)
			<-release
		}
		pass()
	})
	z := &zombie{process: through.start(t, append([]string{"load", source}, args[2:]...)...)}
	select {
	case <-held:
	case <-time.After(time.Minute):
		t.Fatalf("no %s of the table came\n%s", method, &z.stderr)
	}
	z.stand(t)
	z.wake = func() {
		close(release) // the request gets through while its sender still stands
		time.Sleep(200 * time.Millisecond)
		z.goOn(t)
	}
	return z
}

// stoppedAtThePoint starts a load that stands still when it comes to a point that the source names.
func stoppedAtThePoint(t testing.TB, l *lake, point, source string, args []string) *zombie {
	t.Helper()
	heeding := *l
	heeding.program, heeding.env = heeds(t).path, []string{fault.HoldAt + "=" + point}
	z := &zombie{process: heeding.start(t, append([]string{"load", source}, args[2:]...)...)}
	held := filepath.Join(l.dir, fault.Held)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(held); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the load does not come to %q\n%s", point, &z.stderr)
		}
	}
	z.stand(t)
	if err := os.Remove(held); err != nil {
		t.Fatal(err)
	}
	z.wake = func() { z.goOn(t) }
	return z
}

// TestZombies: a load stands still, its retry comes and ends, and the load goes on. It must not win.
func TestZombies(t *testing.T) {
	y := tally.Of(t, "SIGSTOP before it stages, when all is staged and while it commits, until its retry has ended")
	r := newReader(t)
	for _, backend := range []int{0, 1, 3} {
		backend := backends[backend]
		t.Run(backend.name, func(t *testing.T) {
			l := backend.open(t)
			base, stale := events("2024-01-15", 30, 1), events("2024-01-15", 40, 2)
			other := events("2024-01-16", 20, 1)
			schema := l.put(t, "schema.yaml", events("", 0, 0).schema())
			l.put(t, "base.csv", base.and(other).csv())
			l.put(t, "stale.csv", stale.csv())
			l.put(t, "fresh.csv", events("2024-01-15", 50, 3).csv())
			l.put(t, "elsewhere.csv", events("2024-01-16", 25, 3).csv())
			header, _, _ := strings.Cut(stale.csv(), "\n")
			l.put(t, "nothing.csv", header+"\n")
			for _, c := range []struct {
				name, retry string
				more        []string // flags of both loads
				clear       []string // those of the retry
				want        model
				lands       bool
			}{
				{name: "the retry has other rows", retry: "fresh.csv", want: events("2024-01-15", 50, 3).and(other)},
				{name: "the retry has the same rows", retry: "stale.csv", want: stale.and(other)},
				{
					name: "the retry empties the slice", retry: "nothing.csv", want: other,
					more: []string{"--slice", "event_date = '2024-01-15'"}, clear: []string{"--on-empty", "clear"},
				},
				{name: "the other load has another slice", retry: "elsewhere.csv", want: stale.and(events("2024-01-16", 25, 3)), lands: true},
			} {
				for _, stage := range []string{"before it stages", "when all is staged", "while it commits"} {
					t.Run(c.name+", "+stage, func(t *testing.T) {
						table := l.table(t)
						args := append([]string{"--schema", schema, "--partition-by", "event_date"}, c.more...)
						l.load(t, table, "base.csv", args[:4]...)
						stored := len(l.files(t, table))
						zargs := append(loadArgs(table, "-", args...), "--format", "csv", "--progress", "json")
						var z *zombie
						switch {
						case stage == "before it stages":
							z = stoppedBeforeStaging(t, l, stale.csv(), zargs)
						case stage == "when all is staged" && l.rest != nil: // the first GET is its first look
							z = stoppedAtTheCatalog(t, l, http.MethodGet, 2, "stale.csv", zargs)
						case stage == "when all is staged":
							z = stoppedAtThePoint(t, l, "writer: all files staged", "stale.csv", zargs)
						case l.rest != nil:
							z = stoppedAtTheCatalog(t, l, http.MethodPost, 1, "stale.csv", zargs)
						default: // the commit has its metadata file, and what is left of it is one UPDATE
							z = stoppedAtThePoint(t, l, "catalog: metadata file written", "stale.csv", zargs)
						}
						again := l.load(t, table, c.retry, append(args, c.clear...)...)
						if again.Status != "published" {
							t.Errorf("the retry says %+v", again)
						}
						z.wake()
						code, got := z.end(t), z.receipt(t)
						more, snapshots := again.FilesAdded, 2
						switch {
						case c.lands:
							if code != 0 || got.Status != "published" {
								t.Errorf("exit code %d, status %s: its slice is its own\n%s", code, got.Status, &z.stderr)
							}
							more, snapshots = more+got.FilesAdded, 3
						case again.RowsWritten == 40 && code == 0 && got.Status == "unchanged": // the rows are there already
						case code != 5 || got.Status != "superseded":
							t.Errorf("exit code %d, status %s, want 5 and superseded\n%s", code, got.Status, &z.stderr)
						}
						r.mustHold(t, l, table, c.want)
						r.mustTell(t, l, table, snapshots)
						if left := len(l.files(t, table)) - stored - more; left != 0 {
							t.Errorf("%d staged files are left behind", left)
						}
						y.Survived(t, 3, 4, 8)
					})
				}
			}
		})
	}
}

// TestZombieThatHoldsTheRow: a load stands still in the middle of its transaction on Postgres, between the UPDATE and
// its COMMIT, so that it has the table's row locked. Its retry waits until the server takes the transaction back, and
// lands; the other finds when it wakes that it was overtaken. Without the bounds of catalog/postgres.go the retry
// would wait for as long as it stands.
func TestZombieThatHoldsTheRow(t *testing.T) {
	y := tally.Of(t, "SIGSTOP in the middle of its transaction on Postgres, while its retry waits for the lock")
	r := newReader(t)
	for name, c := range map[string]struct {
		bounds string // of the transactions; "": those of catalog/postgres.go
		wakes  bool   // while the retry waits
	}{
		"until its retry has ended":         {"", false},
		"and goes on while its retry waits": {"?lock_timeout=500&idle_in_transaction_session_timeout=600000", true},
	} {
		t.Run(name, func(t *testing.T) {
			server := postgres(t)
			l := databaseLake(t, server, "postgresql+psycopg2")
			table := l.table(t)
			args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date"}
			other := events("2024-01-16", 20, 1)
			l.load(t, table, l.put(t, "base.csv", events("2024-01-15", 30, 1).and(other).csv()), args...)
			l.put(t, "stale.csv", events("2024-01-15", 40, 2).csv())
			fresh := events("2024-01-15", 50, 3)
			l.put(t, "fresh.csv", fresh.csv())
			stored := len(l.files(t, table))

			hold := newHolder(t, server.Port, "UPDATE")
			bounded := l.through(server, hold)
			bounded.flags[1] += c.bounds
			z := &zombie{process: bounded.start(t, loadArgs(table, "stale.csv", args...)...)}
			select {
			case <-hold.held:
			case <-time.After(time.Minute):
				t.Fatalf("the load does not come to its COMMIT\n%s", &z.stderr)
			}
			z.stand(t)
			wake := func() {
				close(hold.release)
				z.goOn(t)
			}

			direct := *l
			direct.flags = append([]string{}, l.flags...)
			direct.flags[1] += c.bounds
			retry := direct.start(t, loadArgs(table, "fresh.csv", args...)...)
			if c.wakes {
				waitForLock(t, server)
				wake()
			}
			if code := retry.end(t); code != 0 || retry.receipt(t).Status != "published" {
				t.Errorf("the retry ends with exit code %d\n%s", code, &retry.stderr)
			}
			snapshots, left := 2, retry.receipt(t).FilesAdded
			if c.wakes { // its COMMIT was on its way
				if code := z.end(t); code != 0 {
					t.Errorf("exit code %d\n%s", code, &z.stderr)
				}
				snapshots, left = 3, left+z.receipt(t).FilesAdded
			} else {
				wake()
				if code, got := z.end(t), z.receipt(t); code != 5 || got.Status != "superseded" {
					t.Errorf("exit code %d, status %s, want 5 and superseded\n%s", code, got.Status, &z.stderr)
				}
			}
			r.mustHold(t, l, table, fresh.and(other))
			r.mustTell(t, l, table, snapshots)
			if more := len(l.files(t, table)) - stored - left; more != 0 {
				t.Errorf("%d staged files are left behind", more)
			}
			y.Survived(t, 3, 4, 8)
		})
	}
}

// waitForLock returns once somebody waits for a lock in the database.
func waitForLock(t testing.TB, d *stack.Database) {
	t.Helper()
	db, err := sql.Open("pgx", d.URI)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		n := 0
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'icewright'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody waits for the zombie's lock")
		}
	}
}
