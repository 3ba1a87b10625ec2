//go:build full

package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/url"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	icecatalog "github.com/apache/iceberg-go/catalog"
	icehive "github.com/apache/iceberg-go/catalog/hive"
	"github.com/apache/iceberg-go/table"
	"github.com/apache/thrift/lib/go/thrift"
	hms "github.com/beltran/gohive/hive_metastore"
)

func init() { heavy = append(heavy, opener{typeHive, []string{hiveScheme}, openHive}) }

// hiveMetadata is the parameter of a table in a metastore that says where its metadata is.
const hiveMetadata = "metadata_location"

// openHive opens a Hive Metastore. New tables go below their database's location, and new databases below the warehouse.
func openHive(ctx context.Context, _ string, props iceberg.Properties, cfg Config) (*Catalog, error) {
	c, err := newHiveClient(props)
	if err != nil {
		return nil, err
	}
	dir, err := cfg.dir()
	if err != nil {
		return nil, err
	}
	lib := libraryProps(props)
	lib[propBaseDir] = dir
	if w := props["warehouse"]; w != "" {
		// The metastore has a working directory of its own, and makes the folders of databases and tables.
		if lib["warehouse"], err = localWarehouse(w, dir, ""); err != nil {
			return nil, err
		}
		if !filepath.IsAbs(lib["warehouse"]) && uriScheme(lib["warehouse"]) == "" {
			return nil, &ConfigError{What: fmt.Sprintf("warehouse %q has characters that locations cannot carry", w), Do: "use a directory with letters, digits and - _ . ~ in its name"}
		}
		if uriScheme(lib["warehouse"]) == "" {
			lib["warehouse"] = "file://" + lib["warehouse"] // bare paths are in the metastore's own file system
		}
	}
	if _, err := c.GetAllDatabases(ctx); err != nil {
		return nil, &errHiveSilent{strings.Join(c.servers, ", "), err}
	}
	cat := &hiveCatalog{Catalog: icehive.NewCatalogWithClient(c, lib), client: c}
	return &Catalog{Catalog: cat, Props: lib, close: cat.Close, exact: cat}, nil
}

// newHiveClient reads the properties that say how a metastore is reached. Nothing is dialled yet.
func newHiveClient(props iceberg.Properties) (*hiveClient, error) {
	c := &hiveClient{
		timeout: time.Minute, held: map[string]int64{}, owner: "icewright",
		locks: hiveLocks{patience: time.Minute, minWait: 50 * time.Millisecond, maxWait: time.Second},
	}
	// As in Java several metastores that share a database can be given, with commas between.
	for _, uri := range strings.Split(props["uri"], ",") {
		u, err := url.Parse(strings.TrimSpace(uri))
		if err != nil || u.Scheme != hiveScheme || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" {
			return nil, &ConfigError{What: fmt.Sprintf("uri %q is of no Hive Metastore", RedactURI(uri)), Do: "write thrift://host:9083"}
		}
		c.servers = append(c.servers, net.JoinHostPort(u.Hostname(), orElse(u.Port(), "9083")))
	}
	if u, err := user.Current(); err == nil {
		c.owner = u.Username
	}
	if v := props["ugi"]; v != "" {
		c.ugi = strings.Split(v, ":")
		c.owner = c.ugi[0]
	}
	for key, d := range map[string]*time.Duration{
		"iceberg.hive.lock-timeout-ms": &c.locks.patience, "iceberg.hive.lock-check-min-wait-ms": &c.locks.minWait,
		"iceberg.hive.lock-check-max-wait-ms": &c.locks.maxWait,
	} {
		if v, ok := props[key]; ok {
			ms, err := strconv.Atoi(v)
			if err != nil || ms <= 0 {
				return nil, &ConfigError{What: fmt.Sprintf("%s is %q", key, v), Do: "write milliseconds"}
			}
			*d = time.Duration(ms) * time.Millisecond
		}
	}
	if v, ok := props["hive.metastore.client.socket.timeout"]; ok {
		// As Hive writes it: seconds where no unit is said.
		d, err := time.ParseDuration(v)
		if n, plain := strconv.Atoi(v); plain == nil {
			d, err = time.Duration(n)*time.Second, nil
		}
		if err != nil || d <= 0 {
			return nil, &ConfigError{What: fmt.Sprintf("hive.metastore.client.socket.timeout is %q", v), Do: "write seconds"}
		}
		c.timeout = d
	}
	if v, ok := props["iceberg.engine.hive.lock-enabled"]; ok {
		on, err := strconv.ParseBool(v)
		if err != nil {
			return nil, &ConfigError{What: fmt.Sprintf("iceberg.engine.hive.lock-enabled is %q", v), Do: "write true or false"}
		}
		c.locks.off = !on
	}
	return c, nil
}

// errHiveSilent is what there is to say where a metastore cannot be opened.
type errHiveSilent struct {
	where string
	err   error
}

func (e *errHiveSilent) Error() string { return fmt.Sprintf("the metastore at %s: %v", e.where, e.err) }
func (e *errHiveSilent) Unwrap() error { return e.err }

// Hint names what a metastore may want that it does not get here: all it does then is hang up.
func (e *errHiveSilent) Hint() string {
	var protocol thrift.TException
	if errors.As(e.err, &protocol) {
		return "is it a Hive Metastore, and one without SASL, Kerberos and TLS? Others cannot be talked to yet"
	}
	return ""
}

// hiveCatalog is iceberg-go's, with what it leaves open closed.
type hiveCatalog struct {
	*icehive.Catalog
	client *hiveClient
}

// icebergOnly is the key of contexts in which tables that are not Iceberg's are errors.
type icebergOnly struct{}

func (h *hiveCatalog) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	return h.Catalog.LoadTable(context.WithValue(ctx, icebergOnly{}, true), ident)
}

func (h *hiveCatalog) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	return h.Catalog.CommitTable(context.WithValue(ctx, icebergOnly{}, true), ident, reqs, updates)
}

func (h *hiveCatalog) DropTable(ctx context.Context, ident table.Identifier) error {
	return h.Catalog.DropTable(context.WithValue(ctx, icebergOnly{}, true), ident)
}

// CheckNamespaceExists says what is wrong with a namespace in a namespace.
func (h *hiveCatalog) CheckNamespaceExists(ctx context.Context, ns table.Identifier) (bool, error) {
	if len(ns) != 1 {
		return false, &classified{ErrRejected, fmt.Errorf("%s: a Hive Metastore has databases, and none in another", FormatIdentifier(ns))}
	}
	return h.Catalog.CheckNamespaceExists(ctx, ns)
}

// ListNamespaces returns the databases; there are none below them.
func (h *hiveCatalog) ListNamespaces(ctx context.Context, parent table.Identifier) ([]table.Identifier, error) {
	if len(parent) > 0 {
		return nil, nil
	}
	return h.Catalog.ListNamespaces(ctx, nil)
}

// ListTables yields the Iceberg tables of a database. iceberg-go would ask for each table by itself, and
// find nothing where there is no such database.
func (h *hiveCatalog) ListTables(ctx context.Context, ns table.Identifier) iter.Seq2[table.Identifier, error] {
	return func(yield func(table.Identifier, error) bool) {
		exists, err := h.CheckNamespaceExists(ctx, ns)
		if err == nil && !exists {
			err = fmt.Errorf("%w: %s", icecatalog.ErrNoSuchNamespace, FormatIdentifier(ns))
		}
		if err != nil {
			yield(nil, err)
			return
		}
		for t, err := range h.client.icebergTables(ctx, ns[0]) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(table.Identifier{ns[0], t.TableName}, nil) {
				return
			}
		}
	}
}

// icebergTables yields the Iceberg tables of a database.
func (c *hiveClient) icebergTables(ctx context.Context, db string) iter.Seq2[*hms.Table, error] {
	return func(yield func(*hms.Table, error) bool) {
		names, err := c.GetTables(ctx, db, "*")
		if err != nil {
			yield(nil, err)
			return
		}
		for some := range slices.Chunk(names, 500) {
			tables, err := c.getTables(ctx, db, some)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, t := range tables {
				if isHiveIceberg(t) && !yield(t, nil) {
					return
				}
			}
		}
	}
}

// dropExact drops the table if its metadata is still the given one. The lock makes that one step, so that a
// table that goes without is left alone.
func (h *hiveCatalog) dropExact(ctx context.Context, ident table.Identifier, metadata string) (dropped bool, err error) {
	if len(ident) != 2 {
		return false, nil
	}
	db, name := ident[0], ident[1]
	lock, err := h.client.Lock(ctx, &hms.LockRequest{Component: []*hms.LockComponent{
		{Type: hms.LockType_EXCLUSIVE, Level: hms.LockLevel_TABLE, Dbname: db, Tablename: &name},
	}})
	if err != nil || lock.Lockid == hiveNoLock {
		return false, err
	}
	defer func() { _ = h.client.giveBack(ctx, lock.Lockid) }() // one that stays ends by itself
	t, err := h.client.GetTable(ctx, db, name)
	var missing *hms.NoSuchObjectException
	if errors.As(err, &missing) {
		return false, nil
	}
	if err != nil || t.Parameters[hiveMetadata] != metadata {
		return false, err
	}
	if err := h.client.checkHeld(ctx, db, name); err != nil {
		return false, err
	}
	err = h.client.DropTable(ctx, db, name, false)
	return err == nil, err
}

// metadataBelow returns a metadata file below location, other than own, that some table has; "" without one.
func (h *hiveCatalog) metadataBelow(ctx context.Context, location, own string) (string, error) {
	databases, err := h.client.GetAllDatabases(ctx)
	if err != nil {
		return "", err
	}
	for _, db := range databases {
		for t, err := range h.client.icebergTables(ctx, db) {
			if err != nil {
				return "", err
			}
			if at := t.Parameters[hiveMetadata]; at != own && strings.HasPrefix(at, location+"/") {
				return at, nil
			}
		}
	}
	return "", nil
}

// isHiveIceberg tells Iceberg's tables from Hive's own, and from views.
func isHiveIceberg(t *hms.Table) bool {
	return t != nil && strings.EqualFold(t.Parameters["table_type"], "ICEBERG")
}

// errNotIceberg names a table that a metastore has, and that is another one's.
type errNotIceberg struct{ name, kind string }

func (e *errNotIceberg) Error() string {
	return fmt.Sprintf("table %s of the metastore is no Iceberg table, it is %s", e.name, strings.ToLower(strings.ReplaceAll(cmp.Or(e.kind, "another kind"), "_", " ")))
}

func (e *errNotIceberg) Hint() string {
	return "take another name, or have Spark make it one: CALL system.migrate(...)"
}

// hiveTypes are types as iceberg-go writes them into the columns that a metastore shows to Hive, and what
// Hive has for them. Readers of Iceberg take the columns from the table's own metadata.
var hiveTypes = []struct {
	iceberg *regexp.Regexp
	hive    string
}{
	{regexp.MustCompile(`(^|[<,:])binary\(\d+\)`), "${1}binary"},
	{regexp.MustCompile(`(^|[<,:])timestamp(?:tz)?_ns([>,]|$)`), "${1}timestamp${2}"},
	{regexp.MustCompile(`(^|[<,:])(?:variant|unknown|geometry|geography)([>,]|$)`), "${1}string${2}"},
}

// hiveColumns has Hive's types for the columns of t.
func hiveColumns(t *hms.Table) {
	if t.Sd == nil {
		return
	}
	for _, col := range t.Sd.Cols {
		for _, h := range hiveTypes {
			col.Type = h.iceberg.ReplaceAllString(col.Type, h.hive)
		}
	}
}
