package plan

import (
	"context"
	"errors"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/slice"
)

// liveFile is a data file of the base with what the plan knows about it.
type liveFile struct {
	*live.File
	cover slice.Cover
	// shares are the partitions of the slice that its rows in the slice count in.
	shares []share
	rows   int64 // those in the slice, less those known to be deleted
	goes   bool

	// of a file that was looked into: its live rows in the slice and the others, and the digest
	// of those in the slice if it was wanted
	inside, outside int64
	sum             *digest.Sum
}

// liveFiles are the files of the base that can matter, in the order of its manifests.
type liveFiles struct {
	data []*liveFile
	all  *live.Files
}

// readLive reads the manifests of base that may list files of the slice. Those of the delete files that
// apply to such a file are among them: delete files lie in the partition of their data.
func readLive(ctx context.Context, tbl *table.Table, base *table.Snapshot, sc *scope) (*liveFiles, error) {
	all, err := live.Read(ctx, tbl, base, sc.mayHold)
	if err != nil {
		return nil, err
	}
	l := &liveFiles{all: all}
	for _, file := range all.Data {
		f := &liveFile{File: file, rows: file.Rows}
		var home slice.Partition
		f.cover, home = sc.cover(file.DataFile(), sc.specs[file.Partition.SpecID], file.Partition, sc.schema)
		if f.cover == slice.All {
			f.shares = []share{{home, f.rows}}
		}
		l.data = append(l.data, f)
	}
	return l, nil
}

// removed are the files that go: the data files of changed partitions, and the delete files
// that can then apply to nothing that stays.
func (l *liveFiles) removed(sc *scope) []slice.LiveFile {
	goes := map[*live.File]bool{}
	for _, f := range l.data {
		goes[f.File] = f.goes
	}
	return l.all.Removed(func(f *live.File) bool { return goes[f] }, sc.whole)
}

// straddler is the file with what it takes to read its live rows.
func (f *liveFile) straddler() Straddler {
	return Straddler{File: f.File, Removed: f.inside, Kept: f.outside}
}

func cannotRead(df iceberg.DataFile, why error) error {
	return guard("rewrite it with another engine, in Spark: CALL catalog.system.rewrite_data_files; or choose a slice that takes in or leaves out whole files",
		"live file %s may hold rows inside the slice and outside: %v", df.FilePath(), why)
}

// refused makes a refusal of the error of a file that nobody can read by trying again.
func refused(df iceberg.DataFile, err error) error {
	if errors.Is(err, live.ErrUnreadable) {
		return cannotRead(df, err)
	}
	return err
}
