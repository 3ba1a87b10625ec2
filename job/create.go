package job

import (
	"context"
	"maps"
	"path/filepath"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/source"
)

// Create says what table to make: its columns are those of Job.Schema, of another table, or what
// Job.Sources tell; the rest is what a Job says of a new table. Nothing is loaded.
type Create struct {
	Job
	// Like is a table whose schema, partition spec, sort order, properties and format version the new
	// one has, where nothing else is said. Default, "": none.
	Like string
	// Location is where the table's files go; a path without a scheme is on this machine. Default, "": the
	// catalog's choice.
	Location string
	// IfNotExists takes a table that is there already, if it agrees with all that is said.
	IfNotExists bool
}

// CreatedVersion is the version of Created's JSON form.
const CreatedVersion = 1

// Created says what Create did.
type Created struct {
	Version int `json:"version"`
	// Status is "created", or "unchanged" where the table was there.
	Status string `json:"status"`
	Description
}

// CreateTable makes a table. Errors wrap ErrUsage, arrowconv.ErrInput or one of package catalog's;
// a *catalog.MismatchError says in what a table that is there differs.
func CreateTable(ctx context.Context, c Create) (Created, error) {
	given := 0
	for _, is := range []bool{c.Schema != "", c.Like != "", len(c.Sources)+len(c.FilesFrom) > 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		return Created{}, usage("say --schema FILE, --like NS.OTHER, or --from SOURCE", "a new table has its columns from one place")
	}
	j := c.Job
	if len(j.Sources)+len(j.FilesFrom) == 0 {
		j.Sources = []string{"-"} // none is read: a job without any is no job
	}
	s, err := j.check()
	if err != nil {
		return Created{}, err
	}
	cat, err := catalog.Open(ctx, j.Catalog)
	if err != nil {
		return Created{}, err
	}
	defer cat.Close()
	if j.location = c.Location; j.location != "" && !strings.Contains(j.location, "://") {
		if j.location, err = filepath.Abs(j.location); err != nil {
			return Created{}, usage("", "--location: %v", err)
		}
	}
	if c.Like != "" {
		if err := j.like(ctx, cat, c.Like); err != nil {
			return Created{}, err
		}
	}
	for _, text := range []*string{&j.PartitionBy, &j.SortBy} {
		if *text == none { // to be unlike the other table
			*text = ""
		}
	}
	var objects []source.Object
	if len(c.Sources)+len(c.FilesFrom) > 0 {
		if objects, err = j.resolve(ctx, s, cat.Props); err != nil {
			return Created{}, err
		}
	}
	tbl, created, err := j.openTable(ctx, cat, s, objects)
	if err != nil {
		return Created{}, err
	}
	done := Created{Version: CreatedVersion, Status: "created"}
	if !created {
		if !c.IfNotExists {
			return Created{}, usage("--if-not-exists takes it as it is, icewright table alter changes it", "table %s is there already", c.Table)
		}
		done.Status = "unchanged"
	}
	done.Description, err = describe(ctx, c.Table, tbl, tbl.CurrentSnapshot())
	return done, err
}

// like fills in what another table has.
func (j *Job) like(ctx context.Context, cat *catalog.Catalog, name string) error {
	ident, err := parseTable(name)
	if err != nil {
		return err
	}
	other, err := cat.LoadTable(ctx, ident)
	if err != nil {
		return tableError(ctx, cat, name, err)
	}
	j.columns = other.Schema()
	if j.PartitionBy == "" {
		j.PartitionBy = liveSpec(other)
	}
	if j.SortBy == "" {
		j.SortBy = catalog.FormatSortOrder(other.SortOrder(), other.Schema())
	}
	if j.FormatVersion == 0 {
		j.FormatVersion = other.Metadata().Version()
	}
	props := maps.Clone(other.Properties())
	if props == nil {
		props = iceberg.Properties{}
	}
	delete(props, table.DefaultNameMappingKey) // it has the other table's field ids
	maps.Copy(props, j.TableProps)
	j.TableProps = props
	return nil
}

// liveSpec is a table's partition spec without the voids that fields which went have left.
func liveSpec(tbl *table.Table) string {
	var fields []iceberg.PartitionField
	spec := tbl.Spec()
	for _, f := range spec.Fields() {
		if _, void := f.Transform.(iceberg.VoidTransform); !void {
			fields = append(fields, f)
		}
	}
	return catalog.FormatSpec(iceberg.NewPartitionSpec(fields...), tbl.Schema())
}
