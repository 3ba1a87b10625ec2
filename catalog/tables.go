package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	icecatalog "github.com/apache/iceberg-go/catalog"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/icewright/icewright/point"
)

// DefaultFormatVersion is the format of new tables: the newest that every engine
// reads.
const DefaultFormatVersion = 2

// defaultTableProps are set on new tables, unless the caller says otherwise.
var defaultTableProps = iceberg.Properties{table.ParquetCompressionKey: "zstd"}

// TableSpec describes a table: for making it, and for checking that it is as it was
// asked for. In a check the zero value of a field agrees with everything.
type TableSpec struct {
	// Schema is needed for making a table. Its ids may be any; the catalog gives new
	// ones, in the order of the columns.
	Schema *iceberg.Schema
	// PartitionBy is in the language of ParsePartitionBy. The default, "", makes an
	// unpartitioned table.
	PartitionBy string
	// SortBy is in the language of ParseSortBy. The default, "", makes an unsorted table.
	SortBy string
	// FormatVersion is 1, 2 or 3. The default, 0, makes tables of version 2, which
	// every engine reads.
	FormatVersion int
	// Props are the table's properties. Files are compressed with zstd unless
	// write.parquet.compression-codec says otherwise.
	Props iceberg.Properties
	// Location is where the table's files go. The default, "", is the catalog's choice,
	// below its warehouse.
	Location string
}

// parts are a TableSpec, read.
type parts struct {
	spec  iceberg.PartitionSpec
	order table.SortOrder
	props iceberg.Properties
}

// parse checks s against schema. The errors wrap ErrConfig.
func (s TableSpec) parse(schema *iceberg.Schema) (p parts, err error) {
	if p.spec, err = ParsePartitionBy(s.PartitionBy, schema); err != nil {
		return p, err
	}
	if p.order, err = ParseSortBy(s.SortBy, schema); err != nil {
		return p, err
	}
	if s.FormatVersion < 0 || s.FormatVersion > 3 {
		return p, &ConfigError{What: fmt.Sprintf("format version %d", s.FormatVersion), Do: "there are 1, 2 and 3"}
	}
	version := strconv.Itoa(s.FormatVersion)
	if said, ok := s.Props[table.PropertyFormatVersion]; ok {
		if s.FormatVersion != 0 && said != version {
			return p, &ConfigError{What: fmt.Sprintf("format version %s, and %s=%s", version, table.PropertyFormatVersion, said), Do: "leave one of them out"}
		}
		version = said
	} else if s.FormatVersion == 0 {
		version = strconv.Itoa(DefaultFormatVersion)
	}
	p.props = maps.Clone(defaultTableProps)
	maps.Copy(p.props, s.Props)
	p.props[table.PropertyFormatVersion] = version
	return p, nil
}

// CreateTable makes the table, and its namespace with those above it where they are
// missing. When somebody else made the table first it loads theirs, and created is
// false; whether that table is as s wants it is for CheckAgainst to tell. Errors
// wrap ErrConfig when s is wrong, else they are classified.
func (c *Catalog) CreateTable(ctx context.Context, ident table.Identifier, s TableSpec) (t *table.Table, created bool, err error) {
	fail := func(err error) (*table.Table, bool, error) {
		return nil, false, fmt.Errorf("create table %s: %w", FormatIdentifier(ident), err)
	}
	if s.Schema == nil {
		return fail(&ConfigError{What: "a new table needs a schema"})
	}
	p, err := s.parse(s.Schema)
	if err != nil {
		return fail(err)
	}
	if s.Location != "" && !urlStable(strings.TrimRight(s.Location, "/")) {
		return fail(&ConfigError{What: fmt.Sprintf("location %q has characters that locations cannot carry", s.Location), Do: "percent-encode them"})
	}
	if version, err := strconv.Atoi(p.props[table.PropertyFormatVersion]); err == nil {
		if err := CheckSchema(s.Schema, version); err != nil {
			return fail(err)
		}
	}
	// Everything that the description can be wrong in is found here: after this the
	// catalog's errors are the catalog's.
	if _, err := table.NewMetadata(s.Schema, &p.spec, p.order, "mem://check", p.props); err != nil {
		return fail(&ConfigError{What: "the table cannot be made", Err: err})
	}
	if err := c.ensureNamespace(ctx, icecatalog.NamespaceFromIdent(ident)); err != nil {
		return fail(err)
	}
	location, err := c.tableLocation(ctx, ident, s.Location)
	if err != nil {
		return fail(err)
	}

	opts := []icecatalog.CreateTableOpt{
		icecatalog.WithPartitionSpec(&p.spec), icecatalog.WithSortOrder(p.order), icecatalog.WithProperties(p.props),
	}
	if location != "" {
		opts = append(opts, icecatalog.WithLocation(location))
	}
	asked, answer := withLoadAnswer(ctx)
	// A few times, since whoever was in the way may not be done, or gone without a table.
	// So too where an answer was lost and no table is there: a table is made once, whichever
	// try it is that makes it.
	var unsure []*writeLog // of tries without an answer
	for try := 0; ; try++ {
		logged, written := withWriteLog(asked)
		written.keep = true
		err = c.call(logged, func(ctx context.Context) (err error) {
			t, err = c.Catalog.CreateTable(ctx, ident, s.Schema, opts...)
			return err
		})
		if err == nil {
			point.Reach("catalog: table made")
			for _, w := range unsure {
				w.remove(context.WithoutCancel(ctx))
			}
			return c.storage(t, answer), true, nil
		}
		err = Classify(err)
		exists := errors.Is(err, icecatalog.ErrTableAlreadyExists)
		unknown := errors.Is(err, ErrUnknownState)
		gone := false
		if exists || unknown || errors.Is(err, ErrConflict) {
			t, loadErr := c.LoadTable(ctx, ident)
			if loadErr == nil {
				mine := false
				for _, w := range append(unsure, written) {
					if w.has(t.MetadataLocation()) {
						mine = true
					} else {
						w.remove(context.WithoutCancel(ctx))
					}
				}
				return t, mine, nil
			}
			gone = errors.Is(loadErr, ErrNotFound)
		}
		if certainlyNotCommitted(err) && !exists {
			written.remove(context.WithoutCancel(ctx))
		} else if unknown {
			unsure = append(unsure, written)
		}
		if !errors.Is(err, ErrConflict) && !exists && !(unknown && gone) || try == createTries {
			return fail(err)
		}
		if err := sleep(ctx, time.Duration(try+1)*50*time.Millisecond); err != nil {
			return fail(err)
		}
	}
}

// createTries is how often CreateTable tries again after a conflict that left no table.
const createTries = 5

// ensureNamespace makes a namespace, and those above it first, as servers ask.
// Somebody who makes it at the same time does no harm.
func (c *Catalog) ensureNamespace(ctx context.Context, ns table.Identifier) error {
	var exists bool
	err := c.call(ctx, func(ctx context.Context) (err error) {
		exists, err = c.CheckNamespaceExists(ctx, ns)
		return err
	})
	if err != nil {
		return readError(err)
	}
	if exists {
		return nil
	}
	if len(ns) > 1 {
		if err := c.ensureNamespace(ctx, ns[:len(ns)-1]); err != nil {
			return err
		}
	}
	err = c.call(ctx, func(ctx context.Context) error { return c.CreateNamespace(ctx, ns, nil) })
	if err == nil || errors.Is(err, icecatalog.ErrNamespaceAlreadyExists) {
		return nil
	}
	if again, checkErr := c.CheckNamespaceExists(ctx, ns); checkErr == nil && again {
		return nil
	}
	return fmt.Errorf("create namespace %s: %w", FormatIdentifier(ns), Classify(err))
}

// tableLocation returns where a new table goes, "" to leave it to the catalog: to
// the server, or to iceberg-go, which cannot handle names with, say, a percent sign.
func (c *Catalog) tableLocation(ctx context.Context, ident table.Identifier, given string) (string, error) {
	ns, name := strings.Join(icecatalog.NamespaceFromIdent(ident), "."), icecatalog.TableNameFromIdent(ident)
	plain := url.PathEscape(ns+name) == ns+name
	if given != "" || c.Type != "sql" || plain && c.Props["warehouse"] != "" {
		return given, nil
	}
	props, err := c.LoadNamespaceProperties(ctx, icecatalog.NamespaceFromIdent(ident))
	if err != nil {
		return "", readError(err)
	}
	if l := strings.TrimRight(props["location"], "/"); l != "" {
		return l + "/" + url.PathEscape(name), nil
	}
	if c.Props["warehouse"] == "" {
		return "", &ConfigError{Where: c.Origin, What: "the catalog has no warehouse to put new tables in", Do: "say --warehouse s3://bucket/path, or a directory"}
	}
	return c.Props["warehouse"] + "/" + url.PathEscape(ns) + ".db/" + url.PathEscape(name), nil
}

// MismatchError tells in what a table is not as it was asked for. It is an
// ErrConfig.
type MismatchError struct {
	Table       table.Identifier
	Differences []Difference
}

// Difference is one of a MismatchError: the asked and the actual value.
type Difference struct{ What, Asked, Actual string }

func (e *MismatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %s is not as asked for", FormatIdentifier(e.Table))
	for i, d := range e.Differences {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%s%s: asked for %s, the table has %s", sep, d.What, orNone(d.Asked), orNone(d.Actual))
	}
	return b.String()
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// Hint says what to do.
func (e *MismatchError) Hint() string {
	return "leave these options out to take the table as it is, or change the table first: icewright table alter " + FormatIdentifier(e.Table) + " --help"
}

func (e *MismatchError) Unwrap() error { return ErrConfig }

// CheckAgainst returns a *MismatchError when t is not as s describes it, and an error that wraps ErrConfig when
// nothing can be loaded into t. Only what s
// says is compared: an empty PartitionBy agrees with every spec, and a property
// that s does not name with every value.
func (s TableSpec) CheckAgainst(t *table.Table) error {
	schema := t.Schema()
	p, err := s.parse(schema)
	if err != nil {
		return fmt.Errorf("table %s: %w", FormatIdentifier(t.Identifier()), err)
	}
	if err := checkSpec(t.Spec(), schema); err != nil {
		return fmt.Errorf("table %s: %w", FormatIdentifier(t.Identifier()), err)
	}
	var diff []Difference
	differ := func(what, asked, actual string) {
		if asked != actual {
			diff = append(diff, Difference{what, asked, actual})
		}
	}
	if s.Schema != nil {
		diff = append(diff, schemaDifferences(s.Schema, schema)...)
	}
	if s.PartitionBy != "" && !sameSpec(p.spec, t.Spec(), t.Metadata().Version()) {
		differ("partition by", FormatSpec(p.spec, schema), FormatSpec(t.Spec(), schema))
	}
	if s.SortBy != "" {
		differ("sort by", FormatSortOrder(p.order, schema), FormatSortOrder(t.SortOrder(), schema))
	}
	if s.FormatVersion != 0 {
		differ("format version", strconv.Itoa(s.FormatVersion), strconv.Itoa(t.Metadata().Version()))
	}
	if s.Location != "" {
		differ("location", strings.TrimRight(s.Location, "/"), strings.TrimRight(t.Location(), "/"))
	}
	actual := t.Properties()
	for _, k := range slices.Sorted(maps.Keys(s.Props)) {
		if k == table.PropertyFormatVersion {
			differ("format version", s.Props[k], strconv.Itoa(t.Metadata().Version()))
			continue
		}
		differ("property "+k, s.Props[k], actual[k])
	}
	if len(diff) > 0 {
		return &MismatchError{t.Identifier(), diff}
	}
	return nil
}

// schemaDifferences compares columns by name, type and whether they are required.
// Write-defaults count where asked has one. Ids and documentation do not count, and a column that only the table has is no
// difference: rows that lack it get nulls, or are refused for it.
func schemaDifferences(asked, actual *iceberg.Schema) (diff []Difference) {
	for _, f := range asked.Fields() {
		have := ""
		if g, ok := actual.FindFieldByName(f.Name); ok {
			have = columnType(g)
		}
		if want := columnType(f); want != have {
			diff = append(diff, Difference{"column " + quoteColumn(f.Name), want, have})
		}
		g, _ := actual.FindFieldByName(f.Name)
		if want := defaultText(f); want != "" && want != defaultText(g) {
			diff = append(diff, Difference{"default of column " + quoteColumn(f.Name), want, defaultText(g)})
		}
	}
	return diff
}

// defaultText is the write-default of f as JSON; "" for null.
func defaultText(f iceberg.NestedField) string {
	if f.WriteDefault == nil {
		return ""
	}
	var says struct {
		Default json.RawMessage `json:"write-default"`
	}
	text, err := json.Marshal(f) // so that Go types that mean the same are the same
	if err == nil {
		err = json.Unmarshal(text, &says)
	}
	if err != nil {
		return fmt.Sprint(f.WriteDefault)
	}
	return string(says.Default)
}

// columnType writes a type without ids.
func columnType(f iceberg.NestedField) string {
	s := typeText(f.Type)
	if f.Required {
		s += "!"
	}
	return s
}

func typeText(t iceberg.Type) string {
	mark := func(required bool) string {
		if required {
			return "!"
		}
		return ""
	}
	switch t := t.(type) {
	case *iceberg.StructType:
		var fields []string
		for _, f := range t.FieldList {
			fields = append(fields, quoteColumn(f.Name)+": "+columnType(f))
		}
		return "struct<" + strings.Join(fields, ", ") + ">"
	case *iceberg.ListType:
		return "list<" + typeText(t.Element) + mark(t.ElementRequired) + ">"
	case *iceberg.MapType:
		return "map<" + typeText(t.KeyType) + ", " + typeText(t.ValueType) + mark(t.ValueRequired) + ">"
	}
	return t.String()
}

// DropTable takes the table out of the catalog and leaves its files. A Hadoop catalog
// cannot, and says ErrRejected.
func (c *Catalog) DropTable(ctx context.Context, ident table.Identifier) error {
	if c.Type == typeHadoop {
		if _, err := c.LoadTable(ctx, ident); err != nil {
			return err
		}
		return fmt.Errorf("drop table %s: %w", FormatIdentifier(ident), &classified{ErrRejected, errHadoopDrop{}})
	}
	err := c.call(ctx, func(ctx context.Context) error { return c.Catalog.DropTable(ctx, ident) })
	if err != nil {
		return fmt.Errorf("drop table %s: %w", FormatIdentifier(ident), commitError(err))
	}
	return nil
}

// PurgeTable takes the table out of the catalog and then removes its files: a REST
// server does both; for SQLite the files below the table's location go, and files
// elsewhere stay. It refuses, with ErrRejected and before anything is dropped, when
// the table forbids it by gc.enabled=false or another table lives below its
// location.
func (c *Catalog) PurgeTable(ctx context.Context, ident table.Identifier) error {
	fail := func(err error) error { return fmt.Errorf("purge table %s: %w", FormatIdentifier(ident), err) }
	t, err := c.LoadTable(ctx, ident)
	if err != nil {
		return err
	}
	if v, ok := t.Properties()["gc.enabled"]; ok && !strings.EqualFold(v, "true") {
		return fail(&classified{ErrRejected, fmt.Errorf("the table has gc.enabled=%s: its files may belong to other tables too", v)})
	}
	if c.exact == nil {
		p, ok := c.Catalog.(icecatalog.PurgeableTable)
		if !ok {
			return fail(&classified{ErrRejected, errors.New("the catalog cannot remove files")})
		}
		if err := c.call(ctx, func(ctx context.Context) error { return p.PurgeTable(ctx, ident) }); err != nil {
			return fail(commitError(err))
		}
		return nil
	}
	location := strings.TrimRight(t.Location(), "/")
	if strings.Count(strings.TrimPrefix(location, "file://"), "/") < 2 {
		return fail(&classified{ErrRejected, fmt.Errorf("its location %q is too close to the root", location)})
	}
	if other, err := c.exact.metadataBelow(ctx, location, t.MetadataLocation()); err != nil {
		return fail(readError(err))
	} else if other != "" {
		return fail(&classified{ErrRejected, fmt.Errorf("another table has its metadata below %s: %s", location, other)})
	}
	fsys, err := FS(ctx, t)
	if err != nil {
		return err
	}
	if err := c.DropTable(ctx, ident); err != nil {
		return err
	}
	if err := removeBelow(ctx, fsys, location); err != nil {
		return fmt.Errorf("table %s is dropped, but not all of its files are removed: %w", FormatIdentifier(ident), Classify(err))
	}
	return nil
}

// removeBelow removes all files below a location, and on disks its directories.
func removeBelow(ctx context.Context, fsys iceio.WriteFileIO, location string) error {
	walker, ok := fsys.(iceio.ListableIO)
	if !ok {
		return fmt.Errorf("files at %s cannot be listed", location)
	}
	var files, dirs []string
	err := walker.WalkDir(location, func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir():
			dirs = append(dirs, name)
		default:
			files = append(files, name)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	if bulk, ok := fsys.(iceio.BulkRemovableIO); ok {
		if _, err := bulk.DeleteFiles(ctx, files); err != nil {
			return err
		}
	} else {
		for _, name := range files {
			if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	for _, name := range slices.Backward(dirs) {
		_ = fsys.Remove(name) // one that is not empty any more stays
	}
	return nil
}

// DropIfEmpty takes back a table that was made for a load which then failed: it
// drops the table with that UUID if nothing was ever published to it. The check and
// the drop are one step, so that no load which starts to use the table at the same
// time loses its rows. REST has no such step; there the table stays, and dropped is
// false. A table that is gone, or another one, is left alone as well.
func (c *Catalog) DropIfEmpty(ctx context.Context, ident table.Identifier, id uuid.UUID) (dropped bool, err error) {
	if c.exact == nil {
		return false, nil
	}
	t, err := c.LoadTable(ctx, ident)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if t.Metadata().TableUUID() != id || len(t.Metadata().Snapshots()) > 0 {
		return false, nil
	}
	dropped, err = c.exact.dropExact(ctx, ident, t.MetadataLocation())
	if err != nil {
		return false, fmt.Errorf("drop table %s: %w", FormatIdentifier(ident), commitError(err))
	}
	if dropped {
		point.Reach("catalog: table dropped")
		if fsys, err := FS(ctx, t); err == nil {
			_ = fsys.Remove(t.MetadataLocation()) // nothing refers to it
		}
	}
	return dropped, nil
}
