package plan

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/writer/digest"
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
	// shares are the partitions of the slice that its rows in the slice count in.
	shares []share
	rows   int64 // of a data file, less those known to be deleted
	goes   bool

	// of a data file that was looked into: its live rows in the slice and the others, and the digest
	// of those in the slice if it was wanted
	inside, outside int64
	sum             *digest.Sum

	// of a delete file: the data file that it applies to; "" when it is for a partition, or for
	// all (global)
	target string
	global bool
	// of a data file: the delete files that may apply to it
	deletes []*liveFile
}

// liveFiles are the files of the base that can matter, in the order of its manifests.
type liveFiles struct {
	data, deletes []*liveFile
	all           []*liveFile
}

// readLive reads the manifests of base that may list files of the slice. Those of the delete files that
// apply to such a file are among them: delete files lie in the partition of their data.
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
	var mine []iceberg.ManifestFile
	for _, m := range manifests {
		spec, ok := sc.specs[int(m.PartitionSpecID())]
		if !ok {
			return nil, fmt.Errorf("manifest %s: the table has no partition spec %d", m.FilePath(), m.PartitionSpecID())
		}
		if sc.mayHold(m, spec) {
			mine = append(mine, m)
		}
	}
	if err := live.read(ctx, fs, mine, sc); err != nil {
		return nil, err
	}
	live.applyDeletes()
	for _, f := range live.data {
		if f.cover == slice.All {
			f.shares[0].rows = f.rows
		}
	}
	return live, nil
}

func (l *liveFiles) read(ctx context.Context, fs iceio.IO, manifests []iceberg.ManifestFile, sc *scope) error {
	found := make([][]*liveFile, len(manifests))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, m := range manifests {
		g.Go(func() error {
			for e, err := range m.Entries(fs, true) {
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					return fmt.Errorf("read manifest %s: %w", m.FilePath(), err)
				}
				found[i] = append(found[i], newLiveFile(e, m, sc.specs[int(m.PartitionSpecID())], sc))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, files := range found {
		for _, f := range files {
			l.all = append(l.all, f)
			if f.DataFile().ContentType() == iceberg.EntryContentData {
				l.data = append(l.data, f)
			} else {
				l.deletes = append(l.deletes, f)
			}
		}
	}
	return nil
}

func newLiveFile(e iceberg.ManifestEntry, m iceberg.ManifestFile, spec iceberg.PartitionSpec, sc *scope) *liveFile {
	df := e.DataFile()
	p := slice.PartitionOf(df, spec, sc.schema)
	f := &liveFile{LiveFile: slice.LiveFile{ManifestEntry: e, Partition: p, Manifest: m.FilePath()}}
	switch df.ContentType() {
	case iceberg.EntryContentData:
		var home slice.Partition
		f.rows = df.Count()
		if f.cover, home = sc.cover(df, spec, p, sc.schema); f.cover == slice.All {
			f.shares = []share{{home: home}}
		}
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
				f.deletes = append(f.deletes, d)
				f.rows = max(0, f.rows-d.DataFile().Count())
			}
		}
		for _, wide := range [...][]*liveFile{byPartition[f.Partition.Key], global} {
			for _, d := range wide {
				if d.mayApply(f) {
					f.deletes = append(f.deletes, d)
				}
			}
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
			default:
				// One for a single data file goes with its partition, too: the file may have been
				// compacted away, and the delete file left behind.
				gone = goes[f.target] || touched[f.Partition.Key] && !stays[f.Partition.Key]
			}
		}
		if gone {
			out = append(out, f.LiveFile)
		}
	}
	return out
}
