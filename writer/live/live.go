// Package live reads what is there: the data files of a snapshot, the delete files that apply to each,
// and the rows of a file that live. Planning a swap and matching keys both start from it. It decides
// nothing, and writes nothing.
package live

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/writer/slice"
)

// Readers bounds the manifests, and the footers, that are read at once: enough to hide the
// latency of an object store.
const Readers = 16

// filePath is the field id of a position delete file's column of paths.
const filePath = 2147483546

// File is a data or delete file of a snapshot.
type File struct {
	slice.LiveFile
	// Rows of a data file are those that it has, less those known to be deleted: equality deletes, and
	// position delete files for several data files, do not tell how many they hit.
	Rows int64
	// Deletes of a data file are the delete files that may apply to it.
	Deletes []*File
	// Target of a delete file is the one data file that it applies to; "" when it is for a partition, or for
	// all (Global).
	Target string
	Global bool
}

// Files are files of a snapshot, in the order of its manifests.
type Files struct {
	Data, Deletes, All []*File
}

// Head is the snapshot that a commit to branch builds on: "" is main, and one that does not exist yet starts at
// main's head. nil is an empty table.
func Head(meta table.Metadata, branch string) *table.Snapshot {
	if branch != "" && branch != table.MainBranch {
		for name, ref := range meta.Refs() {
			if name == branch {
				return meta.SnapshotByID(ref.SnapshotID)
			}
		}
	}
	return meta.CurrentSnapshot()
}

// Read lists the live files of the manifests of base, a snapshot of tbl, that want does not decline; a nil
// want takes all. The delete files of a wanted manifest's data must be in wanted manifests: they lie in its
// partitions, or in none. base may be nil: an empty table.
func Read(ctx context.Context, tbl *table.Table, base *table.Snapshot, want func(iceberg.ManifestFile, iceberg.PartitionSpec) bool) (*Files, error) {
	all := &Files{}
	if base == nil {
		return all, nil
	}
	fs, err := tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	manifests, err := base.Manifests(fs)
	if err != nil {
		return nil, fmt.Errorf("read the manifest list of snapshot %d: %w", base.SnapshotID, err)
	}
	var mine []iceberg.ManifestFile
	var specs []iceberg.PartitionSpec
	for _, m := range manifests {
		spec := tbl.Metadata().PartitionSpecByID(int(m.PartitionSpecID()))
		if spec == nil {
			return nil, fmt.Errorf("manifest %s: the table has no partition spec %d", m.FilePath(), m.PartitionSpecID())
		}
		if want == nil || want(m, *spec) {
			mine, specs = append(mine, m), append(specs, *spec)
		}
	}
	if err := all.read(ctx, fs, mine, specs, tbl.Schema()); err != nil {
		return nil, err
	}
	all.applyDeletes()
	return all, nil
}

func (l *Files) read(ctx context.Context, fs iceio.IO, manifests []iceberg.ManifestFile, specs []iceberg.PartitionSpec, schema *iceberg.Schema) error {
	found := make([][]*File, len(manifests))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(Readers)
	for i, m := range manifests {
		g.Go(func() error {
			for e, err := range m.Entries(fs, true) {
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					return fmt.Errorf("read manifest %s: %w", m.FilePath(), err)
				}
				found[i] = append(found[i], newFile(e, m, specs[i], schema))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, files := range found {
		for _, f := range files {
			l.All = append(l.All, f)
			if f.DataFile().ContentType() == iceberg.EntryContentData {
				l.Data = append(l.Data, f)
			} else {
				l.Deletes = append(l.Deletes, f)
			}
		}
	}
	return nil
}

func newFile(e iceberg.ManifestEntry, m iceberg.ManifestFile, spec iceberg.PartitionSpec, schema *iceberg.Schema) *File {
	df := e.DataFile()
	p := slice.PartitionOf(df, spec, schema)
	f := &File{LiveFile: slice.LiveFile{ManifestEntry: e, Partition: p, Manifest: m.FilePath()}}
	switch df.ContentType() {
	case iceberg.EntryContentData:
		f.Rows = df.Count()
	case iceberg.EntryContentPosDeletes:
		f.Target = targetOf(df)
	default:
		// Equality deletes of an unpartitioned spec apply to every data file of every spec.
		// Source: iceberg.apache.org/spec/#scan-planning.
		f.Global = spec.IsUnpartitioned()
	}
	return f
}

// targetOf is the one data file that a position delete file or a deletion vector applies to;
// "" when it may be for several. Bounds of paths that meet were not truncated: an upper bound
// that is cut is moved up.
func targetOf(df iceberg.DataFile) string {
	if ref := df.ReferencedDataFile(); ref != nil {
		return *ref
	}
	lower, upper := df.LowerBoundValues()[filePath], df.UpperBoundValues()[filePath]
	if len(lower) > 0 && string(lower) == string(upper) {
		return string(lower)
	}
	return ""
}

// applyDeletes notes which data files a delete file may apply to, and how many rows they lose.
func (l *Files) applyDeletes() {
	if len(l.Deletes) == 0 {
		return
	}
	var global []*File
	byTarget, byPartition := map[string][]*File{}, map[string][]*File{}
	for _, d := range l.Deletes {
		switch {
		case d.Global:
			global = append(global, d)
		case d.Target != "":
			byTarget[d.Target] = append(byTarget[d.Target], d)
		default:
			byPartition[d.Partition.Key] = append(byPartition[d.Partition.Key], d)
		}
	}
	for _, f := range l.Data {
		for _, d := range byTarget[f.DataFile().FilePath()] {
			if d.SequenceNum() >= f.SequenceNum() {
				f.Deletes = append(f.Deletes, d)
				f.Rows = max(0, f.Rows-d.DataFile().Count())
			}
		}
		for _, wide := range [...][]*File{byPartition[f.Partition.Key], global} {
			for _, d := range wide {
				if d.mayApply(f) {
					f.Deletes = append(f.Deletes, d)
				}
			}
		}
	}
}

// mayApply: position deletes reach data as old as themselves, equality deletes older data only.
func (f *File) mayApply(data *File) bool {
	if f.DataFile().ContentType() == iceberg.EntryContentPosDeletes {
		return f.SequenceNum() >= data.SequenceNum()
	}
	return f.SequenceNum() > data.SequenceNum()
}

// LeastRows is how many rows of a data file live at least: delete files may name rows twice, or rows
// that other ones delete as well, and equality deletes may hit any number.
func (f *File) LeastRows() int64 {
	n := f.DataFile().Count()
	for _, d := range f.Deletes {
		if d.DataFile().ContentType() != iceberg.EntryContentPosDeletes {
			return 0
		}
		n -= d.DataFile().Count()
	}
	return max(0, n)
}

// CertainRows is how many rows of a data file live, where its manifest entries tell: no deletes, a deletion vector, which
// has the positions of all others in it, or position deletes in one file for this data file alone. (That such a file
// names a row once is for its writer to see to.) ok is false where what it takes is to read the rows.
func (f *File) CertainRows() (n int64, ok bool) {
	var vector, own *File
	others := 0
	for _, d := range f.Deletes {
		switch df := d.DataFile(); {
		case df.ContentType() != iceberg.EntryContentPosDeletes:
			return 0, false
		case table.IsDeletionVector(df):
			vector = d
		case d.Target != "" && own == nil:
			own = d
		default:
			others++
		}
	}
	n = f.DataFile().Count()
	switch {
	case vector != nil:
		n -= vector.DataFile().Count()
	case others > 0:
		return 0, false
	case own != nil:
		n -= own.DataFile().Count()
	}
	return n, n >= 0
}

// Removed are, in the order of the manifests, the data files that goes tells of and the delete files that
// can then apply to none that stays. emptied says that all other data files of the snapshot are among
// those that were read.
func (l *Files) Removed(goes func(*File) bool, emptied bool) []slice.LiveFile {
	gone, touched, stays := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, f := range l.Data {
		if goes(f) {
			gone[f.DataFile().FilePath()] = true
			touched[f.Partition.Key] = true
		} else {
			stays[f.Partition.Key] = true
		}
	}
	anyStays := len(stays) > 0
	var out []slice.LiveFile
	for _, f := range l.All {
		var drop bool
		switch {
		case f.DataFile().ContentType() == iceberg.EntryContentData:
			drop = gone[f.DataFile().FilePath()]
		case emptied && !anyStays:
			drop = true // with no data file left, no delete file can apply
		case f.Global:
		default:
			// One for a single data file goes with its partition, too: the file may have been
			// compacted away, and the delete file left behind.
			drop = gone[f.Target] || touched[f.Partition.Key] && !stays[f.Partition.Key]
		}
		if drop {
			out = append(out, f.LiveFile)
		}
	}
	return out
}

// Origin names a data file and the delete files on it: rows that were read of it are right for as long as a
// snapshot has the same.
func (f *File) Origin() string {
	names := []string{fmt.Sprintf("%s %d", f.DataFile().FilePath(), f.SequenceNum())}
	for _, d := range f.Deletes {
		name := d.DataFile().FilePath()
		if at := d.DataFile().ContentOffset(); at != nil {
			name = fmt.Sprintf("%s@%d", name, *at)
		}
		names = append(names, name)
	}
	slices.Sort(names[1:])
	return strings.Join(names, "\n")
}
