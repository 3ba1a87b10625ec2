//go:build interop

package interop

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/catalog/catalogtest"
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

				proxy := newBreaker(t, server.Port, lands)
				through := *l
				through.flags = append([]string{}, l.flags...)
				through.flags[1] = strings.Replace(through.flags[1], ":"+strconv.Itoa(server.Port)+"/", ":"+strconv.Itoa(proxy.port)+"/", 1)
				got := through.load(t, table, l.put(t, "tuesday.csv", tuesday.csv()), args...)
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

// breaker stands before a database and breaks the first connection that changes a table's
// row, at its COMMIT.
type breaker struct {
	port  int
	broke atomic.Bool
}

func newBreaker(t testing.TB, port int, lands bool) *breaker {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	b := &breaker{port: l.Addr().(*net.TCPAddr).Port}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(client, port, lands)
		}
	}()
	return b
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
		updates = updates || bytes.Contains(text, []byte("UPDATE"))
		if updates && bytes.Contains(text, []byte("COMMIT")) && b.broke.CompareAndSwap(false, true) {
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
