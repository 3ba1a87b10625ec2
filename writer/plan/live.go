package plan

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/writer/slice"
)

// readers bounds the manifests, and the footers, that are read at once: enough to hide the
// latency of an object store.
const readers = 16

// filePath is the field id of a position delete file's column of paths.
const filePath = 2147483546

// liveFile is a file of the base with what the plan knows about it.
type liveFile struct {
	slice.LiveFile
	cover slice.Cover
	// home is the partition of the slice that the rows count in.
	home slice.Partition
	rows int64 // of a data file, less those known to be deleted
	goes bool

	// of a delete file: the data file that it applies to; "" when it is for a partition, or for
	// all (global)
	target string
	global bool
	// of a data file: a delete file may apply to it
	deleted bool
}

// liveFiles are the files of the base that can matter, in the order of its manifests.
type liveFiles struct {
	data, deletes []*liveFile
	all           []*liveFile
}

// readLive reads the manifests of base that may list files of the slice.
func readLive(ctx context.Context, tbl *table.Table, base *table.Snapshot, sc *scope) (*liveFiles, error) {
	live := &liveFiles{}
	if base == nil {
		return live, nil
	}
	fs, err := tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	manifests, err := base.Manifests(fs)
	if err != nil {
		return nil, fmt.Errorf("read the manifest list of snapshot %d: %w", base.SnapshotID, err)
	}
	found := make([][]*liveFile, len(manifests))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, m := range manifests {
		spec, ok := sc.specs[int(m.PartitionSpecID())]
		if !ok {
			return nil, fmt.Errorf("manifest %s: the table has no partition spec %d", m.FilePath(), m.PartitionSpecID())
		}
		if !sc.mayHold(m, spec) {
			continue
		}
		g.Go(func() error {
			for e, err := range m.Entries(fs, true) {
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					return fmt.Errorf("read manifest %s: %w", m.FilePath(), err)
				}
				if f := newLiveFile(e, m, spec, sc); f != nil {
					found[i] = append(found[i], f)
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, files := range found {
		for _, f := range files {
			live.all = append(live.all, f)
			if f.DataFile().ContentType() == iceberg.EntryContentData {
				live.data = append(live.data, f)
			} else {
				live.deletes = append(live.deletes, f)
			}
		}
	}
	live.applyDeletes()
	return live, nil
}

func newLiveFile(e iceberg.ManifestEntry, m iceberg.ManifestFile, spec iceberg.PartitionSpec, sc *scope) *liveFile {
	df := e.DataFile()
	p := slice.PartitionOf(df, spec, sc.schema)
	f := &liveFile{LiveFile: slice.LiveFile{ManifestEntry: e, Partition: p, Manifest: m.FilePath()}, home: p}
	switch df.ContentType() {
	case iceberg.EntryContentData:
		f.rows = df.Count()
		f.cover, f.home = sc.cover(df, spec, p, sc.schema)
	case iceberg.EntryContentPosDeletes:
		f.target = targetOf(df)
	default:
		// Equality deletes of an unpartitioned spec apply to every data file of every spec.
		// Source: iceberg.apache.org/spec/#scan-planning.
		f.global = spec.IsUnpartitioned()
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
func (l *liveFiles) applyDeletes() {
	if len(l.deletes) == 0 {
		return
	}
	var global []*liveFile
	byTarget, byPartition := map[string][]*liveFile{}, map[string][]*liveFile{}
	for _, d := range l.deletes {
		switch {
		case d.global:
			global = append(global, d)
		case d.target != "":
			byTarget[d.target] = append(byTarget[d.target], d)
		default:
			byPartition[d.Partition.Key] = append(byPartition[d.Partition.Key], d)
		}
	}
	for _, f := range l.data {
		for _, d := range byTarget[f.DataFile().FilePath()] {
			if d.SequenceNum() >= f.SequenceNum() {
				f.deleted = true
				f.rows = max(0, f.rows-d.DataFile().Count())
			}
		}
		for _, d := range byPartition[f.Partition.Key] {
			f.deleted = f.deleted || d.mayApply(f)
		}
		for _, d := range global {
			f.deleted = f.deleted || d.mayApply(f)
		}
	}
}

// mayApply: position deletes reach data as old as themselves, equality deletes older data only.
func (f *liveFile) mayApply(data *liveFile) bool {
	if f.DataFile().ContentType() == iceberg.EntryContentPosDeletes {
		return f.SequenceNum() >= data.SequenceNum()
	}
	return f.SequenceNum() > data.SequenceNum()
}

// refuseStraddlers refuses files that may hold rows of the slice and others.
func (l *liveFiles) refuseStraddlers(sc *scope) error {
	var first *liveFile
	n := 0
	for _, f := range l.data {
		if f.cover == slice.Some {
			if n++; first == nil {
				first = f
			}
		}
	}
	if n == 0 {
		return nil
	}
	df, spec := first.DataFile(), sc.specs[first.Partition.SpecID]
	more := ""
	if n > 1 {
		more = fmt.Sprintf(" (and %d more like it)", n-1)
	}
	if sc.declared == nil {
		return guard("rewrite the files of older specs under the current one, or replace the whole table with --replace-table",
			"live file %s%s was written under partition spec %d and may hold rows of the partitions that the input touches, among others: it has %s",
			df.FilePath(), more, spec.ID(), sc.hull.Known(df, spec, sc.schema))
	}
	return guard("choose a slice that takes in or leaves out whole files, for instance whole partitions; or rewrite the file so that its bounds tell",
		"live file %s%s may hold rows inside the slice and outside: it has %s, and the slice is %s",
		df.FilePath(), more, sc.declared.Known(df, spec, sc.schema), sc.declared)
}

// removed are the files that go: the data files of changed partitions, and the delete files
// that can then apply to nothing that stays.
func (l *liveFiles) removed(sc *scope) []slice.LiveFile {
	goes, touched, stays := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, f := range l.data {
		if f.goes {
			goes[f.DataFile().FilePath()] = true
			touched[f.Partition.Key] = true
		} else {
			stays[f.Partition.Key] = true
		}
	}
	anyStays := len(stays) > 0
	var out []slice.LiveFile
	for _, f := range l.all {
		gone := f.goes
		if f.DataFile().ContentType() != iceberg.EntryContentData {
			switch {
			case sc.whole && !anyStays:
				gone = true // with no data file left, no delete file can apply
			case f.global:
				gone = false
			case f.target != "":
				gone = goes[f.target]
			default:
				gone = touched[f.Partition.Key] && !stays[f.Partition.Key]
			}
		}
		if gone {
			out = append(out, f.LiveFile)
		}
	}
	return out
}
