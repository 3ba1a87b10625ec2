package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/point"
)

// Alteration says what a table is to become. Columns go by the names that they have before it,
// nested ones with dots: a.b, tags.element, counts.value. The order of what is asked does not
// matter, and what is so already is no change: an alteration that was carried out once plans
// nothing when it is asked for again.
type Alteration struct {
	// AddColumns are appended to the struct that they belong to, unless they say where to go.
	AddColumns []NewColumn
	// DropColumns names columns that go. One that an earlier schema had counts as dropped already.
	DropColumns []string
	// RenameColumns gives columns other names. A column keeps its place, also inside a struct.
	RenameColumns []Renaming
	// RetypeColumns widens columns, as Promote allows.
	RetypeColumns []Retyping
	// RelaxColumns makes required columns optional.
	RelaxColumns []string
	// ColumnDocs sets columns' documentation; "" takes it away.
	ColumnDocs []ColumnDoc
	// MoveColumns changes the order of columns within their struct.
	MoveColumns []Move
	// IdentifierFields are the columns that identify a row. nil leaves them, empty takes them away.
	IdentifierFields []string

	// PartitionBy is in the language of ParsePartitionBy: "" for unpartitioned, nil to leave it.
	PartitionBy *string
	// SortBy is in the language of ParseSortBy: "" for unsorted, nil to leave it.
	SortBy *string
	// SetProps are set, UnsetProps taken away.
	SetProps   iceberg.Properties
	UnsetProps []string
	// FormatVersion upgrades the table. The default, 0, leaves it.
	FormatVersion int

	// Refs are changes of branches and tags.
	Refs []RefChange
}

// AlterError tells why a table cannot be altered as asked. It is an ErrConfig: nothing was tried.
type AlterError struct{ What, Do string }

func (e *AlterError) Error() string { return e.What }

// Hint says what to do.
func (e *AlterError) Hint() string { return e.Do }

func (e *AlterError) Unwrap() error { return ErrConfig }

func cannot(do, format string, a ...any) error {
	return &AlterError{What: fmt.Sprintf(format, a...), Do: do}
}

// AlterPlan is what an alteration means for a table as it was when it was planned.
type AlterPlan struct {
	// Table is the table that was planned on.
	Table *table.Table
	// Changes are the differences between it and what it becomes; none where it is so already.
	Changes []Change
	// Notes say what may surprise whoever asked: what was to go and is not there, for one.
	Notes []string

	asked        Alteration
	requirements []table.Requirement
	updates      []table.Update
}

// Destroys tells whether something goes that altering the table again does not bring back.
func (p *AlterPlan) Destroys() bool {
	return slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Destroys })
}

// PlanAlter works out what a means for t, and checks that the table can become so. It reads
// nothing but t's metadata. Errors wrap ErrConfig: *AlterError, *ExprError.
func PlanAlter(t *table.Table, a Alteration) (*AlterPlan, error) {
	p := &AlterPlan{Table: t, asked: a}
	if err := p.plan(t.Metadata()); err != nil {
		return nil, fmt.Errorf("alter %s: %w", FormatIdentifier(t.Identifier()), err)
	}
	return p, nil
}

func (p *AlterPlan) plan(meta table.Metadata) error {
	p.requirements = []table.Requirement{table.AssertTableUUID(meta.TableUUID())}
	version, err := p.upgrade(meta)
	if err != nil {
		return err
	}
	schema, err := p.evolveSchema(meta, version)
	if err != nil {
		return err
	}
	spec, err := p.evolveSpec(meta, schema, version)
	if err != nil {
		return err
	}
	order, err := p.evolveOrder(meta, schema)
	if err != nil {
		return err
	}
	if err := checkUses(meta, schema, spec, order); err != nil {
		return err
	}
	if err := p.alterProps(meta, schema); err != nil {
		return err
	}
	if err := p.alterRefs(meta); err != nil {
		return err
	}
	return p.rehearse(meta)
}

// rehearse applies the updates to the table's metadata here, before a catalog is asked: what the
// table cannot become is found by now.
func (p *AlterPlan) rehearse(meta table.Metadata) error {
	if len(p.updates) == 0 {
		return nil
	}
	b, err := table.MetadataBuilderFromBase(meta, p.Table.MetadataLocation())
	if err != nil {
		return err
	}
	for _, u := range p.updates {
		if err := u.Apply(b); err != nil {
			return cannot("", "%v", err)
		}
	}
	if _, err := b.Build(); err != nil {
		return cannot("", "%v", err)
	}
	return nil
}

func (p *AlterPlan) note(format string, a ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, a...))
}

func (p *AlterPlan) change(c Change) { p.Changes = append(p.Changes, c) }

// upgrade plans the format version and returns the one that the table will have.
func (p *AlterPlan) upgrade(meta table.Metadata) (int, error) {
	was, want := meta.Version(), p.asked.FormatVersion
	switch {
	case want == 0 || want == was:
		return was, nil
	case want < 1 || want > 3:
		return 0, cannot("there are 1, 2 and 3", "format version %d", want)
	case want < was:
		return 0, cannot("load its rows into a new table of that version", "format version: a table of version %d cannot go back to %d", was, want)
	}
	p.updates = append(p.updates, table.NewUpgradeFormatVersionUpdate(want))
	p.change(Change{Action: "format-version", Before: strconv.Itoa(was), After: strconv.Itoa(want), Destroys: true})
	return want, nil
}

// evolveSchema plans the schema and returns the one that the table will have.
func (p *AlterPlan) evolveSchema(meta table.Metadata, version int) (*iceberg.Schema, error) {
	was := meta.CurrentSchema()
	schema, err := editSchema(meta, version, p.asked)
	if err != nil {
		return nil, err
	}
	changes := schemaChanges(was, schema)
	if len(changes) == 0 {
		return was, nil
	}
	if err := CheckSchema(schema, version); err != nil {
		return nil, err
	}
	p.Changes = append(p.Changes, changes...)
	p.requirements = append(p.requirements, table.AssertCurrentSchemaID(was.ID), table.AssertLastAssignedFieldID(meta.LastColumnID()))
	for _, s := range meta.Schemas() {
		if s.Equals(schema) {
			p.updates = append(p.updates, table.NewSetCurrentSchemaUpdate(s.ID))
			return schema, nil
		}
	}
	p.updates = append(p.updates, SchemaUpdates(meta, schema)...)
	return schema, nil
}

// evolveSpec plans the partition spec and returns the one that the table will have.
func (p *AlterPlan) evolveSpec(meta table.Metadata, schema *iceberg.Schema, version int) (iceberg.PartitionSpec, error) {
	was := meta.PartitionSpec()
	if p.asked.PartitionBy == nil {
		return was, nil
	}
	spec, known, err := evolvedSpec(meta, schema, version, *p.asked.PartitionBy)
	if err != nil || known && spec.ID() == was.ID() {
		return spec, err
	}
	if err := checkSpec(spec, schema); err != nil {
		return spec, err
	}
	p.change(Change{Action: "partition-by", Before: FormatSpec(was, schema), After: FormatSpec(spec, schema)})
	p.requirements = append(p.requirements, table.AssertDefaultSpecID(was.ID()))
	if known {
		p.updates = append(p.updates, table.NewSetDefaultSpecUpdate(spec.ID()))
		return spec, nil
	}
	if last := meta.LastPartitionSpecID(); last != nil {
		p.requirements = append(p.requirements, table.AssertLastAssignedPartitionID(*last))
	}
	p.updates = append(p.updates, table.NewAddPartitionSpecUpdate(&spec, false), table.NewSetDefaultSpecUpdate(-1))
	return spec, nil
}

// evolveOrder plans the sort order and returns the one that the table will have.
func (p *AlterPlan) evolveOrder(meta table.Metadata, schema *iceberg.Schema) (table.SortOrder, error) {
	was := meta.SortOrder()
	if p.asked.SortBy == nil {
		return was, nil
	}
	order, err := ParseSortBy(*p.asked.SortBy, schema)
	if err != nil {
		return order, err
	}
	before, after := FormatSortOrder(was, schema), FormatSortOrder(order, schema)
	if before == after {
		return was, nil
	}
	p.change(Change{Action: "sort-by", Before: before, After: after})
	p.requirements = append(p.requirements, table.AssertDefaultSortOrderID(was.OrderID()))
	next := table.InitialSortOrderID
	for _, o := range meta.SortOrders() {
		if FormatSortOrder(o, schema) == after {
			p.updates = append(p.updates, table.NewSetDefaultSortOrderUpdate(o.OrderID()))
			return o, nil
		}
		next = max(next, o.OrderID()+1)
	}
	if after == "" {
		order = table.UnsortedSortOrder
	} else if order, err = table.NewSortOrder(next, slices.Collect(orderFields(order))); err != nil {
		return order, cannot("", "sort by: %v", err)
	}
	p.updates = append(p.updates, table.NewAddSortOrderUpdate(&order), table.NewSetDefaultSortOrderUpdate(-1))
	return order, nil
}

func orderFields(o table.SortOrder) func(yield func(table.SortField) bool) {
	return func(yield func(table.SortField) bool) {
		for _, f := range o.Fields() {
			if !yield(f) {
				return
			}
		}
	}
}

// alterProps plans the properties: those that are asked for, and those that carry names of
// columns and have to follow them.
func (p *AlterPlan) alterProps(meta table.Metadata, schema *iceberg.Schema) error {
	props := maps.Clone(meta.Properties())
	if props == nil {
		props = iceberg.Properties{}
	}
	if err := followColumns(props, meta, schema); err != nil {
		return err
	}
	for _, k := range p.asked.UnsetProps {
		if _, both := p.asked.SetProps[k]; both {
			return cannot("", "property %q is set and unset at once", k)
		}
		if err := checkProp(k); err != nil {
			return err
		}
		if _, ok := props[k]; !ok {
			p.note("there is no property %q to take away", k)
		}
		delete(props, k)
	}
	for k, v := range p.asked.SetProps {
		if err := checkProp(k); err != nil {
			return err
		}
		props[k] = v
	}
	was := meta.Properties()
	set := iceberg.Properties{}
	for _, k := range slices.Sorted(maps.Keys(props)) {
		before, had := was[k]
		if had && before == props[k] {
			continue
		}
		set[k] = props[k]
		p.change(Change{Action: "set-property", Name: k, Before: before, After: props[k]})
	}
	var unset []string
	for _, k := range slices.Sorted(maps.Keys(was)) {
		if _, stays := props[k]; !stays {
			unset = append(unset, k)
			p.change(Change{Action: "unset-property", Name: k, Before: was[k]})
		}
	}
	if len(unset) > 0 {
		p.updates = append(p.updates, table.NewRemovePropertiesUpdate(unset))
	}
	if len(set) > 0 {
		p.updates = append(p.updates, table.NewSetPropertiesUpdate(set))
	}
	return nil
}

// checkProp refuses names that Iceberg keeps for the table's own state.
func checkProp(key string) error {
	switch {
	case key == table.PropertyFormatVersion:
		return cannot("say --format-version", "property %q is the table's format version", key)
	case slices.Contains(table.ReservedProperties[:], key):
		return cannot("", "property %q is reserved: it is the table's own state", key)
	}
	return nil
}

// alterTries bounds how often a commit is sent while its outcome is open.
const alterTries = 8

// AlterTable commits p, all of it in one step, if the table still is as it was planned on where
// that matters. Where it is not, the alteration is planned again: one that comes to the same
// changes is committed, anything else is an ErrConflict and changes nothing. It returns the
// table as it is then. Errors are classified; after ErrUnknownState alter again: what was
// carried out is not carried out twice.
func (c *Catalog) AlterTable(ctx context.Context, p *AlterPlan) (*table.Table, error) {
	ident := p.Table.Identifier()
	var err error
	for try := range alterTries {
		if len(p.Changes) == 0 {
			return p.Table, nil
		}
		if try > 0 {
			if err := pause(ctx, try); err != nil {
				return nil, err
			}
		}
		_, _, err = c.CommitTable(ctx, ident, p.requirements, p.updates)
		if err == nil {
			break
		}
		if class := ClassOf(err); errors.Is(class, ErrRejected) || errors.Is(class, ErrConfig) || ctx.Err() != nil {
			return nil, err
		}
		// Whatever the answer was, the table knows.
		fresh, loadErr := c.LoadTable(ctx, ident)
		if loadErr != nil {
			return nil, errors.Join(err, loadErr)
		}
		again, planErr := PlanAlter(fresh, p.asked)
		switch {
		case fresh.Metadata().TableUUID() != p.Table.Metadata().TableUUID():
			return nil, &classified{ErrConflict, fmt.Errorf("alter %s: it was dropped and made anew", FormatIdentifier(ident))}
		case planErr == nil && len(again.Changes) == 0:
			return fresh, nil
		case planErr != nil:
			return nil, &classified{ErrConflict, fmt.Errorf("%w: it changed in the meantime", planErr)}
		case !slices.EqualFunc(again.Changes, p.Changes, Change.equal):
			return nil, &classified{ErrConflict, fmt.Errorf("alter %s: it changed in the meantime, and the plan with it: nothing was altered", FormatIdentifier(ident))}
		}
		p = again
	}
	if err != nil {
		return nil, err
	}
	after, err := c.LoadTable(ctx, ident)
	if err != nil {
		return nil, err
	}
	if fsys, err := after.FS(ctx); err == nil {
		if w, ok := fsys.(iceio.WriteFileIO); ok {
			RemoveOldMetadata(w, p.Table.Metadata(), after.Metadata())
		}
	}
	return after, nil
}

// RemoveOldMetadata does what write.metadata.delete-after-commit.enabled asks of the writer: table
// metadata files that the new version's log no longer lists are removed. The commit has landed: a
// left-over file is no reason to fail.
func RemoveOldMetadata(fsys iceio.WriteFileIO, before, after table.Metadata) {
	if !after.Properties().GetBool("write.metadata.delete-after-commit.enabled", false) {
		return
	}
	kept := map[string]bool{}
	for entry := range after.PreviousFiles() {
		kept[entry.MetadataFile] = true
	}
	for entry := range before.PreviousFiles() {
		if !kept[entry.MetadataFile] {
			_ = fsys.Remove(entry.MetadataFile)
			point.Reach("catalog: old metadata file removed")
		}
	}
}

// pause waits before another try, longer each time: between nothing and 20 ms doubled.
func pause(ctx context.Context, try int) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(rand.Int64N(int64(20 * time.Millisecond << try)))):
		return nil
	}
}
