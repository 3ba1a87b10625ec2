package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/iceberg-go"
	icecatalog "github.com/apache/iceberg-go/catalog"
	icesql "github.com/apache/iceberg-go/catalog/sql"
	"github.com/apache/iceberg-go/table"
)

// sqlDialect is what one database does in its own way. Everything else about SQL
// catalogs is said once, in this file.
type sqlDialect struct {
	people  string // what people call it
	lib     icesql.SupportedDialect
	schemes []string
	open    func(ctx context.Context, name string, props iceberg.Properties, cfg Config) (*Catalog, error)
}

// sqlDialects lists the databases that a catalog of type sql can be in. A scheme may
// be followed by a driver's name, as SQLAlchemy and so PyIceberg writes it
// (postgresql+psycopg2://…); the driver is the reader's business.
func sqlDialects() []sqlDialect {
	return []sqlDialect{
		{"SQLite", icesql.SQLite, []string{"sqlite", "file"}, openSQLite},
		{"Postgres", icesql.Postgres, []string{"postgresql", "postgres"}, openPostgres},
		{"MySQL", icesql.MySQL, []string{"mysql", "mariadb"}, openMySQL},
	}
}

// sqlSchemes are the schemes of URIs that a catalog of type sql claims.
func sqlSchemes() (schemes []string) {
	for _, d := range sqlDialects() {
		schemes = append(schemes, d.schemes...)
	}
	return schemes
}

// openSQL opens the catalog in the database that the URI names: a bare path, and no
// URI at all, is SQLite.
func openSQL(ctx context.Context, name string, props iceberg.Properties, cfg Config) (*Catalog, error) {
	all := sqlDialects()
	d := all[0]
	scheme := uriScheme(props["uri"])
	if i := slices.IndexFunc(all, func(d sqlDialect) bool { return slices.Contains(d.schemes, scheme) }); i >= 0 {
		d = all[i]
	} else if strings.Contains(props["uri"], "://") {
		return nil, &ConfigError{What: fmt.Sprintf("uri %q is of no database that is known here", RedactURI(props["uri"])), Do: "there are sqlite, postgresql and mysql"}
	}
	for _, k := range []string{icesql.DialectKey, icesql.DriverKey, "sql-dialect", "sql-driver"} {
		v, _, _ := strings.Cut(strings.ToLower(props[k]), "+")
		if v != "" && v != "pgx" && v != string(d.lib) && !strings.HasPrefix(v, "sqlite") && !slices.Contains(sqlSchemes(), v) {
			return nil, &ConfigError{What: fmt.Sprintf("%s %q is not known", k, props[k]), Do: "leave it out: the uri says which database it is"}
		}
		if strings.HasPrefix(v, "sqlite") && d.lib != icesql.SQLite || d.lib == icesql.SQLite && v != "" && !strings.HasPrefix(v, "sqlite") {
			return nil, &ConfigError{What: fmt.Sprintf("%s is %q, and the uri is that of %s", k, props[k], d.people), Do: "leave it out: the uri says which database it is"}
		}
	}
	return d.open(ctx, name, props, cfg)
}

// sqlTables are the two tables of a JDBC catalog, which Java, PyIceberg and iceberg-go
// share, with PyIceberg's lengths. iceberg-go's own would give MySQL 255 characters
// for a location, fewer than it has.
var sqlTables = []string{
	`CREATE TABLE IF NOT EXISTS iceberg_tables (
		catalog_name VARCHAR(255) NOT NULL,
		table_namespace VARCHAR(255) NOT NULL,
		table_name VARCHAR(255) NOT NULL,
		iceberg_type VARCHAR(5),
		metadata_location VARCHAR(1000),
		previous_metadata_location VARCHAR(1000),
		PRIMARY KEY (catalog_name, table_namespace, table_name))`,
	`CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
		catalog_name VARCHAR(255) NOT NULL,
		namespace VARCHAR(255) NOT NULL,
		property_key VARCHAR(255) NOT NULL,
		property_value VARCHAR(1000),
		PRIMARY KEY (catalog_name, namespace, property_key))`,
}

// sqlServer is what databases on a server need said beside their DSN.
type sqlServer struct {
	dialect icesql.SupportedDialect
	// where names the server and its database for people, without a secret.
	where string
	// here is SQL for the schema that unqualified names are in.
	here string
	// tableOptions follow each CREATE TABLE.
	tableOptions string
	// placeholder is SQL for the n-th argument, from 1.
	placeholder func(n int) string
	// trust says what to do where the server's certificate is refused.
	trust string
}

// openServer opens the catalog in a database on a server, and makes its tables where
// they are missing. It takes db, also when it fails.
func openServer(ctx context.Context, name string, props iceberg.Properties, cfg Config, db *sql.DB, s sqlServer) (*Catalog, error) {
	fail := func(err error) (*Catalog, error) {
		_ = db.Close()
		return nil, fmt.Errorf("%s: %w", s.where, err)
	}
	// A connection that was idle for longer may have been forgotten on the way by a
	// firewall, and the next commit would wait for an answer that never comes.
	db.SetConnMaxIdleTime(30 * time.Second)
	if err := db.PingContext(ctx); err != nil {
		if distrusts(err) {
			err = &ConfigError{What: "the server's certificate is refused", Err: err, Do: s.trust}
		}
		return fail(err)
	}
	dir, err := cfg.dir()
	if err != nil {
		return fail(err)
	}
	lib := libraryProps(props)
	maps.Copy(lib, iceberg.Properties{propBaseDir: dir, "init_catalog_tables": "false"})
	lib["uri"] = s.where // properties reach every IO, and a password need not
	if w := props["warehouse"]; w != "" {
		if lib["warehouse"], err = localWarehouse(w, dir, ""); err != nil {
			return fail(err)
		}
	}
	if err := s.ensureTables(ctx, db, cfg.Existing); err != nil {
		return fail(err)
	}
	cat, err := icesql.NewCatalog(name, db, s.dialect, lib)
	if err != nil {
		return fail(err)
	}
	return &Catalog{Catalog: cat, Props: lib, close: db.Close, exact: &sqlStore{db, name, s.placeholder}}, nil
}

// ensureTables makes the catalog's tables, or with existing refuses to.
func (s sqlServer) ensureTables(ctx context.Context, db *sql.DB, existing bool) error {
	const patience = 5 * time.Second
	for deadline, wait := time.Now().Add(patience), 5*time.Millisecond; ; wait *= 2 {
		var n int
		err := db.QueryRowContext(ctx, `SELECT count(*) FROM information_schema.tables
			WHERE table_schema = `+s.here+` AND table_name IN ('iceberg_tables', 'iceberg_namespace_properties')`).Scan(&n)
		if err != nil {
			return err
		}
		if n == len(sqlTables) {
			return nil // whoever may use them need not be allowed to make them
		}
		if existing {
			return &ConfigError{What: "the database has no catalog", Do: "load something first, or say which catalog with --catalog or --catalog-uri"}
		}
		for _, ddl := range sqlTables {
			if _, err = db.ExecContext(ctx, ddl+s.tableOptions); err != nil {
				break
			}
		}
		// Postgres' IF NOT EXISTS looks before it makes: the second of two that make
		// the same table hears of a conflict.
		if err == nil || !errors.Is(Classify(err), ErrConflict) || time.Now().After(deadline) {
			return err
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// sqlStore asks the database what iceberg-go's catalog has no call for.
type sqlStore struct {
	db          *sql.DB
	name        string // of the catalog
	placeholder func(n int) string
}

func questionMark(int) string { return "?" }

// dropExact drops the table if its metadata is still the given one.
func (s *sqlStore) dropExact(ctx context.Context, ident table.Identifier, metadata string) (bool, error) {
	res, err := s.db.ExecContext(ctx,
		`DELETE FROM iceberg_tables WHERE catalog_name = `+s.placeholder(1)+` AND table_name = `+s.placeholder(2)+` AND metadata_location = `+s.placeholder(3),
		s.name, icecatalog.TableNameFromIdent(ident), metadata)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// metadataBelow returns a metadata file below location, other than own, that some
// table of the database has; "" without one.
func (s *sqlStore) metadataBelow(ctx context.Context, location, own string) (string, error) {
	prefix := location + "/"
	var found string
	err := s.db.QueryRowContext(ctx,
		`SELECT metadata_location FROM iceberg_tables WHERE substr(metadata_location, 1, `+s.placeholder(1)+`) = `+s.placeholder(2)+
			` AND metadata_location <> `+s.placeholder(3)+` LIMIT 1`,
		utf8.RuneCountInString(prefix), prefix, own).Scan(&found)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return found, err
}

// uriScheme returns a URI's scheme in small letters, without the driver's name that
// SQLAlchemy puts behind it; "" without one.
func uriScheme(uri string) string {
	scheme, _, ok := strings.Cut(uri, ":")
	if !ok {
		return ""
	}
	scheme, _, _ = strings.Cut(scheme, "+")
	return strings.ToLower(scheme)
}

// serverURL reads a database server's URI. The errors hold nothing of it that could be
// a password: which part of an unreadable one that is, nobody knows.
func serverURL(uri, example string) (*url.URL, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return nil, &ConfigError{What: "the catalog's uri cannot be read", Do: "write " + example + "; in the user and the password, percent-encode all but letters and digits"}
	}
	if u.Opaque != "" || !strings.Contains(uri, "://") || strings.Trim(u.Path, "/") == "" {
		return nil, &ConfigError{What: fmt.Sprintf("uri %q names no database", u.Redacted()), Do: "write " + example}
	}
	return u, nil
}
