// Package catalog opens Iceberg catalogs, gives their errors one meaning, creates
// and drops tables, and stores files.
//
// A catalog names tables and swaps their metadata; it is SQLite or REST here, one
// file each. A warehouse is the location under which a catalog puts new tables. An
// IO stores files: ours writes to S3 and to local disks, and both can abort a
// half-written file. The package writes no data files, plans nothing, and never
// retries a commit: whoever publishes decides that.
package catalog

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	icecatalog "github.com/apache/iceberg-go/catalog"
	iceconfig "github.com/apache/iceberg-go/config"
	"github.com/apache/iceberg-go/table"
)

// Catalog is an open catalog. It is iceberg-go's, with its errors classified (see
// [Classify]) and the few operations added that need more than one call. Safe for
// use by several goroutines.
type Catalog struct {
	icecatalog.Catalog

	// Name is the catalog's name; in SQLite it is also written to each row.
	Name string
	// Type is one of Types().
	Type string
	// Origin tells where the configuration came from, for people: the built-in
	// default, a file, or the command line.
	Origin string
	// Props are the properties that the catalog was opened with, secrets included:
	// never print them whole.
	Props iceberg.Properties
	// Unsafe says why commits may get lost in this catalog; "", where they may not.
	Unsafe string

	close func() error
	exact exactStore     // nil where the catalog has no such calls
	rest  *restTransport // nil for other types
}

// exactStore is a catalog that can be asked what iceberg-go's interface has no call
// for: SQL databases are.
type exactStore interface {
	// dropExact drops the table if its metadata is still the given one, in one step.
	dropExact(ctx context.Context, ident table.Identifier, metadata string) (bool, error)
	// metadataBelow returns a metadata file below location, other than own, that some
	// table has; "" without one.
	metadataBelow(ctx context.Context, location, own string) (string, error)
}

// opener opens a catalog of one type. cfg.Props are complete: URI, Warehouse and
// what the configuration files said are merged into it.
type opener struct {
	name    string // as in the property "type"
	schemes []string
	open    func(ctx context.Context, name string, props iceberg.Properties, cfg Config) (*Catalog, error)
}

// openers lists the catalog types, each of which has a file of its own. The one
// that claims the URI's scheme is taken where no type is given.
func openers() []opener {
	return append([]opener{
		{"rest", []string{"http", "https"}, openREST},
		{"sql", sqlSchemes(), openSQL},
		{typeHadoop, nil, openHadoop},
	}, heavy...)
}

// heavy are the openers of catalogs whose clients are large: those of the build with the tag full.
var heavy []opener

const (
	typeGlue = "glue" // the AWS Glue Data Catalog
	typeHive = "hive" // a Hive Metastore

	hiveScheme = "thrift"
)

// inFullBuild are the types that only that build has.
var inFullBuild = []string{typeGlue, typeHive}

// Types returns the names of the catalog types that Open knows, sorted.
func Types() []string {
	var names []string
	for _, o := range openers() {
		names = append(names, o.name)
	}
	slices.Sort(names)
	return names
}

// Open opens the catalog that cfg describes; see [Config] for how it is chosen.
// The zero Config opens the built-in default, SQLite in ./lake, and makes it when
// it is not there. Errors wrap ErrConfig when the configuration is wrong, else
// they are classified like those of any catalog call. The caller closes it.
func Open(ctx context.Context, cfg Config) (*Catalog, error) {
	// A malformed ~/.iceberg-go.yaml leaves this at 0, and what iceberg-go runs
	// with that many workers never ends.
	if iceconfig.EnvConfig.MaxWorkers <= 0 {
		iceconfig.EnvConfig.MaxWorkers = 5
	}
	r, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	o, err := openerFor(r)
	if err != nil {
		return nil, err
	}
	if err := r.check(cfg.Warn); err != nil {
		return nil, err
	}
	c, err := o.open(ctx, r.name.value, r.props, cfg)
	if err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", r.name.value, readError(err))
	}
	c.Name, c.Type, c.Origin = r.name.value, o.name, r.origin
	return c, nil
}

func openerFor(r resolved) (opener, error) {
	typ := strings.ToLower(r.props["type"])
	scheme := uriScheme(r.props["uri"])
	if typ == "sqlite" {
		typ = "sql"
	}
	for _, o := range openers() {
		if typ == o.name || typ == "" && slices.Contains(o.schemes, scheme) {
			return o, nil
		}
	}
	if typ == "" && scheme == hiveScheme {
		typ = typeHive
	}
	if slices.Contains(inFullBuild, typ) {
		return opener{}, &ConfigError{Where: r.origin, What: fmt.Sprintf("catalog type %q is not in this build", typ), Do: "icewright-full has it: make build makes both"}
	}
	what := fmt.Sprintf("catalog type %q is not one of %s", typ, strings.Join(Types(), ", "))
	if typ == "" {
		what = fmt.Sprintf("cannot tell the catalog's type from uri %q", RedactURI(r.props["uri"]))
	}
	return opener{}, &ConfigError{Where: r.origin, What: what, Do: "set type to " + strings.Join(Types(), " or ")}
}

// Close releases connections. The catalog is not usable afterwards.
func (c *Catalog) Close() error {
	if c.close == nil {
		return nil
	}
	return c.close()
}

// call runs one call of the library, and adds to its error what only the transport
// saw.
func (c *Catalog) call(ctx context.Context, f func(context.Context) error) error {
	if c.rest != nil {
		return c.rest.observe(ctx, f)
	}
	// Nothing keeps the IO that this call opens, so it may end with the call's context.
	return f(context.WithValue(ctx, boundKey{}, true))
}

// LoadTable loads the table's current metadata. Errors are classified as those of
// a read: nothing has changed, whatever went wrong. A missing table or namespace
// is ErrNotFound.
func (c *Catalog) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	var t *table.Table
	ctx, answer := withLoadAnswer(ctx)
	err := c.call(ctx, func(ctx context.Context) (err error) {
		t, err = c.Catalog.LoadTable(ctx, ident)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load table %s: %w", FormatIdentifier(ident), readError(err))
	}
	return c.storage(t, answer), nil
}

// CommitTable applies updates if requirements hold. Errors are classified:
// ErrConflict, ErrRejected and ErrTransient mean that nothing was changed,
// ErrUnknownState that it may have been, and so does a context that ended while
// the catalog was asked.
func (c *Catalog) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	ctx, written := withWriteLog(ctx)
	if c.rest == nil {
		reqs = conflicting(reqs)
	}
	var meta table.Metadata
	var loc string
	err := c.call(ctx, func(ctx context.Context) (err error) {
		meta, loc, err = c.Catalog.CommitTable(ctx, ident, reqs, updates)
		return err
	})
	if err != nil {
		err = commitError(err)
		if certainlyNotCommitted(err) {
			// A catalog on the client's side writes the metadata file first and
			// leaves it when it loses the race.
			written.remove(context.WithoutCancel(ctx))
		}
		return nil, "", fmt.Errorf("commit to %s: %w", FormatIdentifier(ident), err)
	}
	return meta, loc, nil
}

// ListTables yields the tables of a namespace, sorted by the catalog's own order.
func (c *Catalog) ListTables(ctx context.Context, ns table.Identifier) iter.Seq2[table.Identifier, error] {
	return func(yield func(table.Identifier, error) bool) {
		for id, err := range c.Catalog.ListTables(ctx, ns) {
			if err != nil {
				yield(nil, fmt.Errorf("list tables of %s: %w", FormatIdentifier(ns), readError(err)))
				return
			}
			if !yield(id, nil) {
				return
			}
		}
	}
}

// ListNamespaces returns the namespaces below parent, or all top ones for nil.
func (c *Catalog) ListNamespaces(ctx context.Context, parent table.Identifier) ([]table.Identifier, error) {
	var ns []table.Identifier
	if c.Type == typeGlue && len(parent) > 0 {
		return nil, nil // its databases hold no others
	}
	err := c.call(ctx, func(ctx context.Context) (err error) {
		ns, err = c.Catalog.ListNamespaces(ctx, parent)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", readError(err))
	}
	return ns, nil
}

// sleep waits for d, or returns the error of ctx when that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// libraryProps are the properties for iceberg-go: all but those that only we read.
func libraryProps(p iceberg.Properties) iceberg.Properties {
	p = maps.Clone(p)
	delete(p, "type")
	return p
}
