package job

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/plan"
)

// Alter says what a table is to become: all of it in one commit, or nothing. Field names are the
// flags' names. Columns go by the names that they have before it, nested ones with dots. What is
// so already is no change.
type Alter struct {
	Catalog catalog.Config
	// Table is the table's name with its namespace.
	Table string

	// AddColumn has new columns: "name type", then any of: first, after NAME, doc "TEXT", default VALUE.
	AddColumn []string
	// DropColumn has the names of columns that go.
	DropColumn []string
	// RenameColumn has NAME=NEW.
	RenameColumn []string
	// WidenColumn has "name type" with a type that takes every value of the present one.
	WidenColumn []string
	// RelaxColumn has required columns that may be null from now on.
	RelaxColumn []string
	// ColumnDoc has NAME=TEXT; an empty text takes the documentation away.
	ColumnDoc []string
	// MoveColumn has "name first" or "name after other".
	MoveColumn []string
	// IdentifierFields are the columns that identify a row, with commas, or none. Default, "": as they are.
	IdentifierFields string

	// PartitionBy is the whole partition spec of what is loaded from now on, or none. Default, "": as it is.
	PartitionBy string
	// SortBy is the sort order of files from now on, or none. Default, "": as it is.
	SortBy string
	// TableProps are set.
	TableProps iceberg.Properties
	// UnsetProp has the names of table properties that go.
	UnsetProp []string
	// FormatVersion upgrades the table to 2 or 3. Default, 0: as it is.
	FormatVersion int

	// CreateBranch and CreateTag have NAME or NAME@AT, where AT is a snapshot, a branch or a tag. The
	// default is main's head.
	CreateBranch, CreateTag []string
	// SetBranch has NAME=AT: forward to what another branch has, or back.
	SetBranch []string
	// DropBranch and DropTag have names.
	DropBranch, DropTag []string
	// RefAge is how long the branches and tags that are made or set are kept: 30d, 12h. Default, "": for ever.
	RefAge string
	// KeepSnapshots is how many snapshots of those branches an expiry leaves at least. Default, 0: the table's own.
	KeepSnapshots int
	// SnapshotAge is how long an expiry leaves those branches' snapshots: 30d, 12h. Default, "": the table's own.
	SnapshotAge string

	// Yes allows what cannot be undone by altering the table again.
	Yes bool
	// DryRun plans, and changes nothing.
	DryRun bool
}

// AlteredVersion is the version of Altered's JSON form.
const AlteredVersion = 1

// Altered says what Alter did, or would do.
type Altered struct {
	Version int    `json:"version"`
	Table   string `json:"table"`
	// Status is "altered", "unchanged" where the table was so already, "planned" for a dry run, or
	// "refused" where --yes is missing.
	Status  string `json:"status"`
	Changes []Step `json:"changes"`
	// Notes say what may surprise.
	Notes []string `json:"notes"`
	// What follows is the table as it is after the run.
	Metadata      string `json:"metadata_location"`
	FormatVersion int    `json:"format_version"`
	SchemaID      int    `json:"schema_id"`
	SpecID        int    `json:"spec_id"`
	SortOrderID   int    `json:"sort_order_id"`
}

// Step is one change, with what is lost by it.
type Step struct {
	catalog.Change
	// Loss is what goes, in what the branches and tags hold; nil where nothing does.
	Loss *Loss `json:"loss,omitempty"`
}

// Loss counts what goes: of a column its values, of a branch or a table its files.
type Loss struct {
	Rows      int64 `json:"rows"` // of data files: rows that delete files take away count
	DataFiles int64 `json:"data_files"`
	Bytes     int64 `json:"bytes"`
}

// AlterTable plans what a asks for and commits it. What would destroy something is refused without
// a.Yes, and Altered has the plan all the same. Errors wrap ErrUsage, plan.ErrGuard,
// arrowconv.ErrInput, or one of package catalog's; after each the table is as it was, but for
// catalog.ErrUnknownState.
func AlterTable(ctx context.Context, a Alter) (Altered, error) {
	done := Altered{Version: AlteredVersion, Table: a.Table, Status: "refused", Changes: []Step{}, Notes: []string{}}
	asked, err := a.parse()
	if err != nil {
		return done, err
	}
	cat, tbl, err := Target{Catalog: a.Catalog, Table: a.Table}.open(ctx)
	if err != nil {
		return done, err
	}
	defer cat.Close()
	p, err := catalog.PlanAlter(tbl, asked)
	if err != nil {
		return done, err
	}
	done.Notes = append(done.Notes, p.Notes...)
	for _, c := range p.Changes {
		step := Step{Change: c}
		if step.Loss, err = lossOf(ctx, tbl, c, p.Changes); err != nil {
			return done, fmt.Errorf("alter %s: %w", a.Table, catalog.Classify(err))
		}
		done.Changes = append(done.Changes, step)
	}
	done.is(tbl)
	switch {
	case len(p.Changes) == 0:
		done.Status = "unchanged"
		return done, nil
	case a.DryRun:
		done.Status = "planned"
		return done, nil
	case p.Destroys() && !a.Yes:
		return done, &Error{
			Class: plan.ErrGuard, Text: fmt.Sprintf("alter %s: it would lose what altering it again does not bring back; nothing was changed", a.Table),
			Advice: "say --yes if that is meant",
		}
	}
	if tbl, err = cat.AlterTable(ctx, p); err != nil {
		return done, err
	}
	done.is(tbl)
	done.Status = "altered"
	return done, nil
}

func (d *Altered) is(tbl *table.Table) {
	meta := tbl.Metadata()
	d.Metadata, d.FormatVersion = tbl.MetadataLocation(), meta.Version()
	d.SchemaID, d.SpecID, d.SortOrderID = meta.CurrentSchema().ID, meta.DefaultPartitionSpec(), meta.DefaultSortOrder()
}

// lossOf counts what a change takes away; nil where it takes nothing.
func lossOf(ctx context.Context, tbl *table.Table, c catalog.Change, all []catalog.Change) (*Loss, error) {
	if !c.Destroys || c.Action == "format-version" {
		return nil, nil
	}
	heads := map[string]int64{}
	for name, ref := range tbl.Metadata().Refs() {
		heads[name] = ref.SnapshotID
	}
	if c.Action == "drop-column" {
		return columnLoss(ctx, tbl, heads, c.ColumnID)
	}
	old := heads[c.Name]
	delete(heads, c.Name)
	for _, other := range all {
		switch {
		case strings.HasPrefix(other.Action, "drop-") && other.Action != "drop-column":
			delete(heads, other.Name)
		case other.Action == "set-branch" || strings.HasPrefix(other.Action, "create-"):
			heads[other.Name] = other.Snapshot
		}
	}
	stays := map[string]bool{}
	if err := eachFile(ctx, tbl, heads, func(f liveFile) { stays[f.FilePath()] = true }); err != nil {
		return nil, err
	}
	return countFiles(ctx, tbl, map[string]int64{c.Name: old}, stays)
}

// columnLoss counts the rows and files that have values of a column, and the bytes of these alone
// where the writer told them.
func columnLoss(ctx context.Context, tbl *table.Table, heads map[string]int64, column int) (*Loss, error) {
	loss := &Loss{}
	err := eachFile(ctx, tbl, heads, func(f liveFile) {
		if f.ContentType() != iceberg.EntryContentData {
			return
		}
		nulls, known := f.NullValueCounts()[column]
		size, sized := f.ColumnSizes()[column]
		if len(f.ColumnSizes()) > 0 && !sized && !known {
			return // the file is older than the column
		}
		if nulls >= f.Count() {
			return
		}
		loss.Rows += f.Count() - nulls
		loss.DataFiles++
		loss.Bytes += size
	})
	return loss, err
}

// countFiles counts the files that heads hold, but for those that stay.
func countFiles(ctx context.Context, tbl *table.Table, heads map[string]int64, stays map[string]bool) (*Loss, error) {
	loss := &Loss{}
	err := eachFile(ctx, tbl, heads, func(f liveFile) {
		if stays[f.FilePath()] {
			return
		}
		loss.Bytes += f.FileSizeBytes()
		if f.ContentType() == iceberg.EntryContentData {
			loss.DataFiles++
			loss.Rows += f.Count()
		}
	})
	return loss, err
}

// eachFile calls visit with every file that is live in one of the snapshots, once.
func eachFile(ctx context.Context, tbl *table.Table, heads map[string]int64, visit func(liveFile)) error {
	var done []int64
	seen := map[string]bool{}
	for _, id := range heads {
		snap := tbl.SnapshotByID(id)
		if snap == nil || slices.Contains(done, id) {
			continue
		}
		done = append(done, id)
		for f, err := range liveFiles(ctx, tbl, snap) {
			if err != nil {
				return err
			}
			if !seen[f.FilePath()] {
				seen[f.FilePath()] = true
				visit(f)
			}
		}
	}
	return nil
}
