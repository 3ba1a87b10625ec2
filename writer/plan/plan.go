// Package plan decides what publishing staged files would change: which live files of the
// slice go, which staged files come, partition by partition, and whether a guard refuses it.
// A plan is a value, made against one snapshot and made again for the next. Planning reads
// manifests, Parquet footers and, where files may straddle the slice or under CompareRows, rows;
// it writes nothing: rows that have to be carried over are its reader's to write.
package plan

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/slice"
)

// OnEmpty is what input without a single row does.
type OnEmpty uint8

// The choices for empty input. Clear needs a declared slice or the whole table.
const (
	OnEmptyFail OnEmpty = iota
	OnEmptyKeep
	OnEmptyClear
)

// Options says what the slice is and which guards hold.
type Options struct {
	// Branch is the branch to replace on; one that does not exist yet starts at main's head.
	// The default, "", is main.
	Branch string
	// Slice is the declared slice. The default, nil, is the partitions of the staged files under
	// the table's current spec.
	Slice *slice.Slice
	// ReplaceTable makes the whole table the slice. It excludes Slice.
	ReplaceTable bool
	// OnEmpty decides about staged files without a row. The default refuses.
	OnEmpty OnEmpty
	// MaxShrink is the part of its rows that a partition may lose, from 0 to 1. The default, 0,
	// is one half.
	MaxShrink float64
	// AllowShrink lifts that guard.
	AllowShrink bool
	// CompareRows scans the live rows of a partition where its files do not tell their digest,
	// to see whether anything would change. The default, false, replaces such a partition.
	CompareRows bool
	// Partitions makes what tells the partitions of rows under spec, in batches with the columns of schema.
	// It must agree with what staged the files. Without it, files of other specs that may straddle the
	// partitions of the staged files are an error; Slice and ReplaceTable don't need it.
	Partitions func(schema *iceberg.Schema, spec iceberg.PartitionSpec) (Partitions, error)
	// Looks remembers what the run's last plan found in files. The default, nil, looks anew.
	Looks *Looks
}

// Plan is what publishing the staged files on Base would change.
type Plan struct {
	// Base is the head of the branch that the plan was made against; nil for an empty table.
	Base *table.Snapshot
	// Add are the staged files to publish, Discard those whose rows are live already. Together
	// they are all staged files, in their order.
	Add, Discard []slice.StagedFile
	// Remove are the live data and delete files that go, in the order of Base's manifests.
	Remove []slice.LiveFile
	// Rewrite are the data files of Remove that straddle the slice, in the order of Base's manifests. The
	// plan is for them to go only once their other rows, RowsKept in all, are carried over.
	Rewrite  []Straddler
	RowsKept int64
	// Partitions are those of the slice, sorted by path.
	Partitions []Partition
	// Unchanged says that there is nothing to publish: Add and Remove are empty.
	Unchanged bool
	// RowsWritten are the rows of Add, RowsUnchanged those of Discard.
	RowsWritten, RowsUnchanged int64

	scope   *scope
	options Options
}

// Partition is what a plan does to the part of the slice that lies in one partition.
type Partition struct {
	Partition slice.Partition
	// RowsBefore are the live rows of the slice: those of the data files, less those that
	// deletion vectors and position deletes for a single data file delete. Other deletes do not
	// tell how many rows they hit and are not counted, so RowsBefore may be too high. Rows of files
	// that straddle the slice are exact.
	RowsBefore, RowsAfter int64
	// Before is the digest of the live rows; nil when the files do not tell it, or when the row
	// counts show by themselves that it differs.
	Before *digest.Sum
	// After is the digest of the rows afterwards.
	After digest.Sum
	// Changed is false where the live files stay because they hold the staged rows already.
	Changed bool
	// FilesBefore and FilesAfter count data files.
	FilesBefore, FilesAfter int
}

// FilesAdded is the number of data files that come.
func (p *Plan) FilesAdded() int { return len(p.Add) }

// FilesRemoved is the number of data and delete files that go.
func (p *Plan) FilesRemoved() int { return len(p.Remove) }

// BytesAdded is the size of the files that come.
func (p *Plan) BytesAdded() int64 {
	var n int64
	for _, f := range p.Add {
		n += f.FileSizeBytes()
	}
	return n
}

// Touches tells whether f, written under spec, may hold rows of the plan's slice.
func (p *Plan) Touches(f iceberg.DataFile, spec iceberg.PartitionSpec, schema *iceberg.Schema) bool {
	if p.scope.whole {
		return true
	}
	cover, _ := p.scope.cover(f, spec, slice.PartitionOf(f, spec, schema), schema)
	return cover != slice.None
}

// Apart tells that no row of the plan's slice can be inside s.
func (p *Plan) Apart(s *slice.Slice) bool {
	switch {
	case p.scope.whole:
		return false
	case p.scope.declared != nil:
		return p.scope.declared.Apart(s)
	}
	return p.scope.hull.Apart(s)
}

// Replace plans to swap the contents of the slice, on the head of o.Branch, for the staged
// files, which must be under the table's current spec and inside the slice.
//
// Live files of older specs count as well. Files wholly inside the slice go; those that hold rows
// of it and others go too, and are in Rewrite. Delete files go when they can apply to no data file
// that stays. A partition whose live rows have the digest of the staged ones keeps its files.
//
// Refusals are *GuardError and wrap ErrGuard.
func Replace(ctx context.Context, tbl *table.Table, staged []slice.StagedFile, o Options) (*Plan, error) {
	if o.MaxShrink == 0 {
		o.MaxShrink = 0.5
	}
	sc, err := newScope(tbl, staged, o)
	if err != nil {
		return nil, err
	}
	p := &Plan{Base: live.Head(tbl.Metadata(), o.Branch), scope: sc, options: o}
	if sc.rows == 0 {
		switch {
		case o.OnEmpty == OnEmptyKeep:
			p.Discard, p.Unchanged = staged, true
			return p, nil
		case o.OnEmpty == OnEmptyFail && o.Slice == nil && !sc.whole:
			return nil, guard("if that is right, say --on-empty keep: nothing changes", "the input has no rows")
		case o.OnEmpty == OnEmptyFail:
			return nil, guard("if that is right, say --on-empty keep to change nothing, or --on-empty clear to remove what the slice holds",
				"the input has no rows")
		case o.Slice == nil && !sc.whole:
			return nil, guard("say which rows to clear: --slice EXPRESSION or --replace-table",
				"the input has no rows, so it touches no partition that could be cleared")
		}
	}
	files, err := readLive(ctx, tbl, p.Base, sc)
	if err != nil {
		return nil, err
	}
	if err := files.settle(ctx, tbl, sc, o); err != nil {
		return nil, err
	}
	units := group(files, staged, sc)
	if err := compare(ctx, tbl, units, o.CompareRows); err != nil {
		return nil, err
	}
	if err := checkShrink(units, sc, o); err != nil {
		return nil, err
	}
	p.decide(units, staged, files)
	return p, nil
}

// unit is what is compared as one: a partition, partitions that share a file of another spec, or
// the whole slice where its live files are under several specs, whose partitions do not correspond.
type unit struct {
	parts []*part
	files []*liveFile // that have rows in the parts
	equal bool        // the live rows are the staged rows
}

// part is the slice's share of one partition.
type part struct {
	Partition
	foreign bool // under another spec than the table's current one
	staged  []slice.StagedFile
	live    []*liveFile
}

// group sorts staged and live files into partitions, by path.
func group(live *liveFiles, staged []slice.StagedFile, sc *scope) []*unit {
	byKey := map[string]*part{}
	var parts []*part
	of := func(p slice.Partition) *part {
		if byKey[p.Key] == nil {
			byKey[p.Key] = &part{Partition: Partition{Partition: p}, foreign: p.SpecID != sc.spec.ID()}
			parts = append(parts, byKey[p.Key])
		}
		return byKey[p.Key]
	}
	for _, f := range staged {
		p := of(f.Partition)
		p.staged = append(p.staged, f)
		p.After = p.After.Add(f.Digest)
		p.RowsAfter += f.Count()
		p.FilesAfter++
	}
	for _, f := range live.data {
		for _, share := range f.shares {
			p := of(share.home)
			p.live = append(p.live, f)
			p.RowsBefore += share.rows
			p.FilesBefore++
		}
	}
	slices.SortFunc(parts, func(a, b *part) int { return a.Partition.compare(b.Partition) })
	return unite(parts, live)
}

// unite makes the units.
func unite(parts []*part, live *liveFiles) []*unit {
	foreign := slices.ContainsFunc(parts, func(p *part) bool { return p.foreign })
	shared := &unit{}
	var units []*unit
	of := map[string]*unit{} // by partition
	for _, p := range parts {
		u := &unit{}
		if foreign || slices.ContainsFunc(p.live, func(f *liveFile) bool { return len(f.shares) > 1 }) {
			u = shared
		}
		if len(u.parts) == 0 {
			units = append(units, u)
		}
		u.parts = append(u.parts, p)
		of[p.Partition.Partition.Key] = u
	}
	for _, f := range live.data {
		if len(f.shares) > 0 {
			u := of[f.shares[0].home.Key]
			u.files = append(u.files, f)
		}
	}
	return units
}

// compare orders partitions by path.
func (p Partition) compare(o Partition) int {
	return cmp.Or(strings.Compare(p.Partition.Path, o.Partition.Path), strings.Compare(p.Partition.Key, o.Partition.Key))
}

// decide fills in what comes, what goes and what stays.
func (p *Plan) decide(units []*unit, staged []slice.StagedFile, live *liveFiles) {
	kept := map[string]bool{} // staged files whose rows are live
	for _, u := range units {
		for _, part := range u.parts {
			if u.equal && len(part.live) == 0 {
				for _, f := range part.staged { // its rows are live under another spec
					kept[f.FilePath()] = true
				}
				continue
			}
			part.Changed = !u.equal
			if u.equal {
				if part.Before == nil { // of files shared with other partitions, which are equal as a whole
					part.Before = &part.After
				}
				part.After, part.FilesAfter = *part.Before, part.FilesBefore
				part.RowsAfter = part.Before.Rows
				for _, f := range part.staged {
					kept[f.FilePath()] = true
				}
			}
			p.Partitions = append(p.Partitions, part.Partition)
		}
		for _, f := range u.files {
			f.goes = !u.equal
		}
	}
	slices.SortFunc(p.Partitions, Partition.compare)
	for _, f := range live.data {
		if f.goes && f.cover == slice.Some {
			p.Rewrite = append(p.Rewrite, f.straddler())
			p.RowsKept += f.outside
		}
	}
	for _, f := range staged {
		if kept[f.FilePath()] {
			p.Discard = append(p.Discard, f)
			p.RowsUnchanged += f.Count()
		} else {
			p.Add = append(p.Add, f)
			p.RowsWritten += f.Count()
		}
	}
	p.Remove = live.removed(p.scope)
	p.Unchanged = len(p.Add) == 0 && len(p.Remove) == 0
}

// scope is what the run owns.
type scope struct {
	spec   iceberg.PartitionSpec
	schema *iceberg.Schema
	specs  map[int]iceberg.PartitionSpec

	whole    bool // the table
	declared *slice.Slice
	// without either: the partitions of the staged files, by key
	touched map[string]slice.Partition
	// for files of other specs: what holds for every row of the slice, and each partition's own
	// condition
	hull       *slice.Slice
	conditions []condition

	rows int64 // staged
}

type condition struct {
	partition slice.Partition
	rows      *slice.Slice
	exact     bool
}

func newScope(tbl *table.Table, staged []slice.StagedFile, o Options) (*scope, error) {
	meta := tbl.Metadata()
	sc := &scope{
		spec: tbl.Spec(), schema: tbl.Schema(), specs: map[int]iceberg.PartitionSpec{},
		whole: o.ReplaceTable, declared: o.Slice, touched: map[string]slice.Partition{},
	}
	for _, s := range meta.PartitionSpecs() {
		sc.specs[s.ID()] = s
	}
	for _, f := range staged {
		if f.Partition.SpecID != sc.spec.ID() {
			return nil, fmt.Errorf("plan: staged file %s is under partition spec %d, the table is at %d", f.FilePath(), f.Partition.SpecID, sc.spec.ID())
		}
		sc.touched[f.Partition.Key] = f.Partition
		sc.rows += f.Count()
	}
	switch {
	case o.ReplaceTable && o.Slice != nil:
		return nil, guard("leave one of them away", "--replace-table makes the whole table the slice, and --slice a part of it")
	case o.ReplaceTable || o.Slice != nil:
		return sc, nil
	case sc.spec.IsUnpartitioned():
		return nil, guard("say --replace-table to replace all of it, or --slice EXPRESSION for a part",
			"%s is not partitioned, so the whole table would be replaced", strings.Join(tbl.Identifier(), "."))
	}
	var all []slice.Partition
	for _, p := range sc.touched {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b slice.Partition) int { return strings.Compare(a.Key, b.Key) })
	sc.hull = slice.Hull(all, sc.spec, sc.schema)
	for _, p := range all {
		rows, exact := slice.OfPartition(p, sc.spec, sc.schema)
		sc.conditions = append(sc.conditions, condition{p, rows, exact})
	}
	return sc, nil
}

// cover tells how much of a file in partition p is in the slice, and in which partition of the
// slice its rows count: its own, or, for a file of another spec that lies wholly in a touched
// partition, that one.
func (sc *scope) cover(f iceberg.DataFile, spec iceberg.PartitionSpec, p slice.Partition, schema *iceberg.Schema) (slice.Cover, slice.Partition) {
	switch {
	case sc.whole:
		return slice.All, p
	case sc.declared != nil:
		return sc.declared.File(f, spec, schema), p
	case spec.ID() == sc.spec.ID():
		if _, ok := sc.touched[p.Key]; ok {
			return slice.All, p
		}
		return slice.None, p
	}
	total := sc.hull.File(f, spec, schema)
	if total == slice.None {
		return total, p
	}
	total = slice.None
	for _, c := range sc.conditions {
		switch cover := c.rows.File(f, spec, schema); {
		case cover == slice.All && c.exact:
			return slice.All, c.partition
		case cover != slice.None:
			total = slice.Some
		}
	}
	return total, p
}

// mayHold tells whether files in m can matter to the slice.
func (sc *scope) mayHold(m iceberg.ManifestFile, spec iceberg.PartitionSpec) bool {
	if !m.HasAddedFiles() && !m.HasExistingFiles() {
		return false
	}
	switch {
	case sc.whole:
		return true
	case m.ManifestContent() == iceberg.ManifestContentDeletes && spec.IsUnpartitioned():
		return true // global deletes
	case sc.declared != nil:
		return sc.declared.Manifest(m, spec, sc.schema)
	case spec.ID() != sc.spec.ID():
		return sc.hull.Manifest(m, spec, sc.schema)
	}
	for _, p := range sc.touched {
		if slice.MayHold(m, p, spec, sc.schema) {
			return true
		}
	}
	return false
}
