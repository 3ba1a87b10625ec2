//go:build interop

package interop

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/catalog/catalogtest"
	"github.com/icewright/icewright/internal/testcert"
	"github.com/icewright/icewright/job"
	"github.com/icewright/icewright/localstack/stack"
)

var postgres = server(func() (*stack.Database, error) {
	return stack.StartPostgres(context.Background(), world.tools, serverOptions("postgres"))
})

var mariadb = server(func() (*stack.Database, error) {
	return stack.StartMariaDB(context.Background(), world.tools, serverOptions("mariadb"))
})

// databases are the SQL servers, with the scheme that PyIceberg's SQLAlchemy wants.
var databases = []struct {
	name, pyiceberg string
	open            func(testing.TB) *stack.Database
}{
	{"postgres", "postgresql+psycopg2", postgres},
	{"mariadb", "mysql+pymysql", mariadb},
}

// databaseLake keeps its tables' files in the test's folder and the catalog on a server.
func databaseLake(t testing.TB, d *stack.Database, scheme string) *lake {
	dir := t.TempDir()
	warehouse := filepath.Join(dir, "lake")
	l := &lake{name: d.Name, dir: dir, newest: 3, keepsSnapshots: true}
	_, rest, _ := strings.Cut(d.URI, "://")
	// icewright reads PyIceberg's spelling, too.
	uri := scheme + "://" + rest
	l.flags = []string{"--catalog-uri", uri, "--warehouse", warehouse}
	l.catalog = map[string]string{"type": "sql", "uri": uri, "warehouse": warehouse}
	return l
}

func TestSQLCatalogs(t *testing.T) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			server := d.open(t)
			cfg := catalog.Config{URI: server.URI, Warehouse: t.TempDir(), Dir: t.TempDir()}
			catalogtest.Run(t, func(t testing.TB) *catalog.Catalog { return openCatalog(t, cfg) }, catalogtest.Traits{Nested: true, Exact: true})
		})
	}
}

func openCatalog(t testing.TB, cfg catalog.Config) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestSQLCatalogsThatCannotBeOpened: what is wrong is said, and no password is.
func TestSQLCatalogsThatCannotBeOpened(t *testing.T) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			server := d.open(t)
			closed, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			nobody := closed.Addr().(*net.TCPAddr).Port
			closed.Close()
			cases := map[string]struct {
				change func(u *url.URL)
				class  error
			}{
				"another password":   {func(u *url.URL) { u.User = url.UserPassword("icewright", "s3cr3t") }, catalog.ErrConfig},
				"no such database":   {func(u *url.URL) { u.Path = "/nowhere" }, catalog.ErrConfig},
				"nobody is there":    {func(u *url.URL) { u.Host = "127.0.0.1:" + strconv.Itoa(nobody) }, catalog.ErrTransient},
				"an odd parameter":   {func(u *url.URL) { u.RawQuery = "ssl_mode=fully&sslmode=fully" }, catalog.ErrConfig},
				"only read, no rows": {func(u *url.URL) {}, catalog.ErrConfig},
			}
			for name, c := range cases {
				u, err := url.Parse(server.URI)
				if err != nil {
					t.Fatal(err)
				}
				c.change(u)
				// The catalog's tables are there by now, in this database's default schema.
				cfg := catalog.Config{URI: u.String(), Dir: t.TempDir(), Existing: true}
				if name == "only read, no rows" {
					if d.name == "postgres" {
						cfg.URI += "?search_path=pg_temp"
					} else {
						u.Path = "/information_schema"
						cfg.URI = u.String()
					}
				}
				opened, err := catalog.Open(t.Context(), cfg)
				if err == nil {
					opened.Close()
				}
				if got := catalog.ClassOf(err); got != c.class {
					t.Errorf("%s: %v is %v", name, err, got)
				} else if strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), "p@ss") || strings.Contains(err.Error(), "p%40ss") {
					t.Errorf("%s: the error has the password: %v", name, err)
				}
			}
		})
	}
}

// TestSQLCommitLosesItsAnswer: the connection breaks around COMMIT. The load must have its
// effect once, whether the database got the COMMIT or not.
func TestSQLCommitLosesItsAnswer(t *testing.T) {
	r := newReader(t)
	for _, d := range databases {
		for _, lands := range []bool{true, false} {
			name := d.name + ", COMMIT never arrives"
			if lands {
				name = d.name + ", COMMIT lands"
			}
			t.Run(name, func(t *testing.T) {
				server := d.open(t)
				l := databaseLake(t, server, d.pyiceberg)
				table := l.table(t)
				args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date"}
				monday, tuesday := events("2024-01-15", 30, 1), events("2024-01-16", 40, 2)
				l.load(t, table, l.put(t, "monday.csv", monday.csv()), args...)
				stored := len(l.files(t, table))

				proxy := newBreaker(t, server.Port, lands, "UPDATE")
				got := l.through(server, proxy).load(t, table, l.put(t, "tuesday.csv", tuesday.csv()), args...)
				if got.Status != "published" {
					t.Errorf("the load says %+v", got)
				}
				if !proxy.broke.Load() {
					t.Error("no connection was broken")
				}
				r.mustHold(t, l, table, monday.and(tuesday))
				r.mustTell(t, l, table, 2)
				if more := len(l.files(t, table)) - stored; more != got.FilesAdded {
					t.Errorf("the load left %d more data files and says it added %d", more, got.FilesAdded)
				}
			})
		}
	}
}

// TestSQLCreateLosesItsAnswer: the connection breaks around the COMMIT that makes a table. There is
// one table in the end, with the rows of the load, and no file that is nobody's.
func TestSQLCreateLosesItsAnswer(t *testing.T) {
	r := newReader(t)
	for _, d := range databases {
		for name, lands := range map[string]bool{"COMMIT lands": true, "COMMIT never arrives": false} {
			t.Run(d.name+", "+name, func(t *testing.T) {
				server := d.open(t)
				l := databaseLake(t, server, d.pyiceberg)
				table := l.table(t)
				args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date"}
				monday := events("2024-01-15", 30, 1)
				proxy := newBreaker(t, server.Port, lands, "INSERT", "ICEBERG_TABLES")
				got := l.through(server, proxy).load(t, table, l.put(t, "monday.csv", monday.csv()), args...)
				if got.Status != "published" {
					t.Errorf("the load says %+v", got)
				}
				if !proxy.broke.Load() {
					t.Error("no connection was broken")
				}
				r.mustHold(t, l, table, monday)
				r.mustTell(t, l, table, 1)
				if n := len(l.files(t, table)); n != got.FilesAdded {
					t.Errorf("%d data files, and the load says it added %d", n, got.FilesAdded)
				}
				metadata := 0
				for _, path := range l.everything(t) {
					if strings.HasSuffix(path, ".metadata.json") {
						metadata++
					}
				}
				if metadata != 2 {
					t.Errorf("%d metadata files, want one for the table and one for its rows", metadata)
				}
			})
		}
	}
}

// through leads to the database by way of the breaker.
func (l *lake) through(d *stack.Database, b *breaker) *lake {
	through := *l
	through.flags = append([]string{}, l.flags...)
	through.flags[1] = strings.Replace(through.flags[1], ":"+strconv.Itoa(d.Port)+"/", ":"+strconv.Itoa(b.port)+"/", 1)
	return &through
}

// TestSQLEncrypted: who says which authority is trusted is heard, and passwords come from where the
// databases' own clients take them.
func TestSQLEncrypted(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	authority, stranger := testcert.New(t), testcert.New(t)
	_, cert, key := authority.Issue(t, "127.0.0.1")
	ours, other := file("ours.pem", authority.PEM), file("other.pem", stranger.PEM)
	options := stack.Options{Dir: filepath.Join(dir, "data"), Cert: file("cert.pem", cert), Key: file("key.pem", key)}
	for _, d := range []struct {
		name                  string
		start                 func(context.Context, *stack.Tools, stack.Options) (*stack.Database, error)
		named, chain, require string // the strictest mode, the one below, and the one that trusts everybody
	}{
		{"postgres", stack.StartPostgres, "sslmode=verify-full&sslrootcert=", "sslmode=verify-ca&sslrootcert=", "sslmode=require"},
		{"mariadb", stack.StartMariaDB, "ssl_mode=verify_identity&ssl_ca=", "ssl_verify_cert=true&ssl_ca=", "ssl_mode=required"},
	} {
		t.Run(d.name, func(t *testing.T) {
			server, err := d.start(t.Context(), world.tools, options)
			if err != nil {
				t.Fatal(err)
			}
			defer server.Stop()
			plain := map[string]func(testing.TB) *stack.Database{"postgres": postgres, "mariadb": mariadb}[d.name](t)
			elsewhere := strings.Replace(server.URI, "127.0.0.1", "localhost", 1)
			for _, c := range []struct {
				name, uri string
				refused   bool
			}{
				{"the authority and the name", server.URI + "?" + d.named + ours, false},
				{"another authority", server.URI + "?" + d.named + other, true},
				{"another authority, whatever the name", server.URI + "?" + d.chain + other, true},
				{"another name", elsewhere + "?" + d.named + ours, true},
				{"another name, which does not matter", elsewhere + "?" + d.chain + ours, false},
				{"anybody", server.URI + "?" + d.require, false},
			} {
				cat, err := catalog.Open(t.Context(), catalog.Config{URI: c.uri, Warehouse: dir, Dir: dir})
				if err == nil {
					cat.Close()
				}
				if (err != nil) != c.refused {
					t.Errorf("%s: %v", c.name, err)
				} else if c.refused && (catalog.ClassOf(err) != catalog.ErrConfig || !strings.Contains(job.Hint(err), "authority that the server's certificate is from")) {
					t.Errorf("%s: %v is %v, hint %q", c.name, err, catalog.ClassOf(err), job.Hint(err))
				}
			}
			if cat, err := catalog.Open(t.Context(), catalog.Config{URI: plain.URI + "?" + d.require, Warehouse: dir, Dir: dir}); err == nil {
				cat.Close()
				t.Error("a server that does not encrypt is taken where encryption is required")
			}

			// A load, with the password from the environment and from libpq's file.
			u, err := url.Parse(server.URI)
			if err != nil {
				t.Fatal(err)
			}
			password, _ := u.User.Password()
			u.User = url.User(u.User.Username())
			l := &lake{dir: dir, flags: []string{"--catalog-uri", u.String() + "?" + d.named + ours, "--warehouse", filepath.Join(dir, "lake")}}
			rows := l.put(t, "rows.csv", "id\n1\n")
			args := loadArgs("ns."+d.name, rows, "--replace-table")
			nobody := l.start(t, args...)
			if code := nobody.end(t); code != 2 {
				t.Errorf("without a password: exit code %d: %s", code, &nobody.stderr)
			}
			for i, env := range map[string][][2]string{
				"postgres": {
					{"PGPASSWORD", password},
					{"PGPASSFILE", file("pgpass", []byte("127.0.0.1:*:*:icewright:"+password+"\n"))},
				},
				"mariadb": {{"MYSQL_PWD", password}},
			}[d.name] {
				t.Run(env[0], func(t *testing.T) {
					t.Setenv(env[0], env[1])
					if r := l.load(t, "ns."+d.name, rows, "--replace-table"); r.Status != []string{"published", "unchanged"}[i] {
						t.Errorf("%+v", r)
					}
				})
			}
		})
	}
}

// TestPyIcebergWasThereFirst: the catalog, its tables and a table in it are PyIceberg's. icewright loads
// into it, and PyIceberg reads that and goes on.
func TestPyIcebergWasThereFirst(t *testing.T) {
	r := newReader(t)
	for _, c := range []struct {
		name string
		open func(testing.TB) *lake
	}{
		{"sqlite", func(t testing.TB) *lake {
			l := sqliteLake(t)
			l.catalog["warehouse"] = filepath.Join(l.dir, "lake", "warehouse")
			if err := os.MkdirAll(l.catalog["warehouse"], 0o755); err != nil {
				t.Fatal(err)
			}
			return l
		}},
		{"postgres", func(t testing.TB) *lake {
			d := postgres(t)
			fresh := *d
			fresh.URI = strings.TrimSuffix(d.URI, "lake") + "pyfirst"
			db, err := sql.Open("pgx", d.URI)
			if err == nil {
				_, err = db.ExecContext(t.Context(), "CREATE DATABASE pyfirst")
				db.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			return databaseLake(t, &fresh, "postgresql+psycopg2")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := c.open(t)
			table := l.table(t)
			ids := func() (out []any) {
				var got contents
				if err := r.ask("pyiceberg.read", l, table, nil, &got); err != nil {
					t.Fatal(err)
				}
				for _, row := range got.Rows {
					out = append(out, row[0])
				}
				return out
			}
			var made string
			if err := r.ask("pyiceberg.create", l, table, nil, &made); err != nil {
				t.Fatal(err)
			}
			rows := l.put(t, "rows.csv", "id,day\n2,2024-01-15\n3,2024-01-16\n")
			if got := l.load(t, table, rows); got.Status != "published" || got.FilesAdded != 2 {
				t.Errorf("%+v", got)
			}
			if got := fmt.Sprint(ids()); got != "[2 3]" {
				t.Errorf("PyIceberg reads %s", got)
			}
			if got := l.load(t, table, rows); got.Status != "unchanged" {
				t.Errorf("again: %+v", got)
			}
			var n int
			if err := r.ask("pyiceberg.append", l, table, map[string]any{"id": 9, "day": "2024-01-17"}, &n); err != nil {
				t.Fatal(err)
			}
			if p := l.start(t, "show", table, "--output", "json"); p.end(t) != 0 || strings.Count(p.stdout.String(), "\n") != 3 {
				t.Errorf("after PyIceberg's append:\n%s\n%s", &p.stdout, &p.stderr)
			}
		})
	}
}

// breaker stands before a database and breaks the first connection with a statement that has all
// of some words, at its COMMIT; or holds the COMMIT until it is let go.
type breaker struct {
	port  int
	words []string
	broke atomic.Bool
	// held is closed when the COMMIT has come, which then waits for the close of release. The default, nil, breaks.
	held, release chan struct{}
}

func newBreaker(t testing.TB, port int, lands bool, words ...string) *breaker {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	b := &breaker{port: l.Addr().(*net.TCPAddr).Port, words: words}
	b.listen(l, port, lands)
	return b
}

// newHolder is a breaker that breaks nothing.
func newHolder(t testing.TB, port int, words ...string) *breaker {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	b := &breaker{port: l.Addr().(*net.TCPAddr).Port, words: words, held: make(chan struct{}), release: make(chan struct{})}
	b.listen(l, port, false)
	return b
}

func (b *breaker) listen(l net.Listener, port int, lands bool) {
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(client, port, lands)
		}
	}()
}

func (b *breaker) serve(client net.Conn, port int, lands bool) {
	defer client.Close()
	server, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return
	}
	defer server.Close()
	var deaf atomic.Bool // the server's answers go nowhere
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || deaf.Load() {
				client.Close()
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 64<<10)
	updates := false
	for {
		n, err := client.Read(buf)
		if err != nil {
			break
		}
		text := bytes.ToUpper(buf[:n])
		has := func(word string) bool { return bytes.Contains(text, []byte(word)) }
		updates = updates || !slices.ContainsFunc(b.words, func(word string) bool { return !has(word) })
		// COMMIT is a message of its own; a table's name may have the word in it.
		if updates && n < 32 && has("COMMIT") && b.broke.CompareAndSwap(false, true) {
			if b.held != nil {
				close(b.held)
				<-b.release
				_, _ = server.Write(buf[:n])
				continue
			}
			if lands {
				deaf.Store(true)
				_, _ = server.Write(buf[:n])
				<-gone
			}
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			break
		}
	}
	server.Close()
	<-gone
}
