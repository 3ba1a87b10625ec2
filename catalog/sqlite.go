package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	icesql "github.com/apache/iceberg-go/catalog/sql"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// lakeDir is where the built-in default lives, below the working directory:
// PyIceberg opens it with uri="sqlite:///lake/catalog.db".
const lakeDir = "lake"

// sqliteParams make several processes safe on one database. The journal in WAL
// mode lets readers and a writer work at once; a writer waits for another instead
// of failing; and a transaction that will write takes the lock when it begins,
// since one that takes it later fails at once when somebody wrote in between.
var sqliteParams = []string{"_pragma=busy_timeout(10000)", "_pragma=journal_mode(WAL)", "_txlock=immediate"}

// openSQLite opens or makes a catalog in an SQLite file. uri is sqlite:///path,
// file:path?parameters or a bare path, relative to cfg.Dir; none is lake/catalog.db.
func openSQLite(ctx context.Context, name string, props iceberg.Properties, cfg Config) (*Catalog, error) {
	dir, err := cfg.dir()
	if err != nil {
		return nil, err
	}
	file, query, err := sqliteFile(props["uri"], dir)
	if err != nil {
		return nil, err
	}
	warehouse, err := localWarehouse(props["warehouse"], dir, filepath.Join(filepath.Dir(file), "warehouse"))
	if err != nil {
		return nil, err
	}
	inMemory := strings.Contains(query, "memdb") || strings.Contains(query, "mode=memory")
	if _, err := os.Stat(file); cfg.Existing && !inMemory && errors.Is(err, fs.ErrNotExist) {
		return nil, &ConfigError{What: "there is no catalog at " + file, Err: fs.ErrNotExist, Do: "load something first, or say which catalog with --catalog or --catalog-uri"}
	}
	if !inMemory {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, &ConfigError{What: "cannot make the catalog's directory", Err: err, Do: "choose another place with --catalog-uri"}
		}
	}

	lib := libraryProps(props)
	maps.Copy(lib, iceberg.Properties{"warehouse": warehouse, propBaseDir: dir})
	db, err := sql.Open("sqlite", sqliteDSN(file, query))
	if err != nil {
		return nil, &ConfigError{What: "cannot open " + file, Err: err}
	}
	cat, err := firstOpen(ctx, func() (*icesql.Catalog, error) {
		return icesql.NewCatalog(name, db, icesql.SQLite, lib)
	})
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &Catalog{Catalog: cat, Props: lib, close: db.Close, exact: &sqlStore{db, name, questionMark}}, nil
}

// firstOpen repeats open while the database is busy. Turning a new database to WAL
// needs it exclusively, and SQLite does not wait for that lock as busy_timeout
// asks, since two waiting connections would wait for each other.
func firstOpen(ctx context.Context, open func() (*icesql.Catalog, error)) (*icesql.Catalog, error) {
	const patience = 10 * time.Second
	for deadline, wait := time.Now().Add(patience), 5*time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		cat, err := open()
		if err == nil {
			return cat, nil
		}
		if !errors.Is(Classify(err), ErrTransient) || time.Now().After(deadline) {
			return nil, err
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// sqliteFile returns the path of the database and the parameters after it.
func sqliteFile(uri, dir string) (file, query string, err error) {
	file = uri
	switch {
	case uri == "":
		file = filepath.Join(lakeDir, "catalog.db")
	case strings.HasPrefix(uri, "sqlite:///"):
		// As SQLAlchemy, and so PyIceberg, counts slashes: the fourth makes the path
		// absolute. It does not decode percent signs there.
		file, query, _ = strings.Cut(strings.TrimPrefix(uri, "sqlite:///"), "?")
	case strings.HasPrefix(uri, "sqlite:"):
		return "", "", &ConfigError{
			What: fmt.Sprintf("uri %q names no file", uri),
			Do:   "write sqlite:///relative/path.db or sqlite:////absolute/path.db",
		}
	case strings.HasPrefix(uri, "file:"):
		file, query, _ = strings.Cut(strings.TrimPrefix(uri, "file:"), "?")
		file = strings.TrimPrefix(file, "//")
		if file, err = url.PathUnescape(file); err != nil {
			return "", "", &ConfigError{What: fmt.Sprintf("uri %q", uri), Err: err}
		}
	}
	if file == "" {
		return "", "", &ConfigError{What: fmt.Sprintf("uri %q names no file", uri), Do: "write sqlite:///path.db"}
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	return file, query, nil
}

// sqliteDSN builds the driver's name for the database: a URI, in which these three
// characters of a path mean something else. Parameters of the caller's win.
func sqliteDSN(file, query string) string {
	dsn := "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(file) + "?" + query
	for _, p := range sqliteParams {
		if key, _, _ := strings.Cut(p, "("); !strings.Contains(query, key) {
			dsn += "&" + p
		}
	}
	return dsn
}
