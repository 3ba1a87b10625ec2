package stage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/writer/slice"
)

// dataName names a data file: its number within its partition, 1 if its rows were carried over and
// else 0, the call of Stage, its number within that. Spark's names have the same parts, but no UUID of
// version 7.
func dataName(index int, carried bool, id uuid.UUID, n int) string {
	kind := 0
	if carried {
		kind = 1
	}
	return fmt.Sprintf("%05d-%d-%s-%05d.parquet", index, kind, id, n)
}

// deleteName names a delete file: 2, the call of Deletes, its number within that. Java's end like this as well.
func deleteName(id uuid.UUID, n int, kind string) string {
	return fmt.Sprintf("%05d-2-%s-%05d-deletes.%s", 0, id, n, kind)
}

var ownDataName = regexp.MustCompile(`(?:^|-)\d{5,}-([012])-([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})-\d{5,}(?:\.parquet|-deletes\.parquet|-deletes\.puffin)$`)

// StagedBy tells from a file's name, folders left out, which call of Stage or Deletes wrote it; false: none did.
func StagedBy(name string) (id uuid.UUID, ok bool) {
	m := ownDataName.FindStringSubmatch(name)
	if m == nil {
		return id, false
	}
	id, err := uuid.Parse(m[2])
	return id, err == nil
}

// IsCarried tells from a data file's name, folders left out, whether it was staged with Options.Carried.
func IsCarried(name string) bool {
	m := ownDataName.FindStringSubmatch(name)
	return m != nil && m[1] == "1"
}

// Folder is where data files of the table are staged, and whether they are the only ones there: a
// folder outside the table's location may hold those of other tables too.
func Folder(meta table.Metadata) (folder string, own bool) {
	l := newLocations(meta.Location(), meta.Properties())
	return l.root, strings.HasPrefix(l.root, strings.TrimRight(meta.Location(), "/")+"/")
}

// Missing returns those of files that are not there any more, in their order: somebody removed what
// no snapshot refers to yet.
func Missing(ctx context.Context, tbl *table.Table, files []slice.StagedFile) ([]string, error) {
	fsys, err := tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	var (
		g    errgroup.Group
		mu   sync.Mutex
		gone []string
	)
	g.SetLimit(16)
	for _, f := range files {
		g.Go(func() error {
			in, err := fsys.Open(f.FilePath())
			switch {
			case errors.Is(err, fs.ErrNotExist):
				mu.Lock()
				defer mu.Unlock()
				gone = append(gone, f.FilePath())
				return nil
			case err != nil:
				return fmt.Errorf("look for staged file %s: %w", f.FilePath(), err)
			}
			return in.Close()
		})
	}
	err = g.Wait()
	slices.Sort(gone)
	return slices.Compact(gone), err
}
