package writer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/stage"
)

// LitterAge is the least age of litter. From the same age on a run looks for its own staged files
// before it publishes them (see run.present): so none that FindLitter may name is published unseen.
const LitterAge = time.Hour

// Litter is what attempts wrote to a table and no snapshot of it refers to.
type Litter struct {
	Files []LitterFile // by path
	// Young counts files without a snapshot that are not litter yet: a live run may publish them.
	Young int
	// Elsewhere are folders that were not looked at: they are outside the table's location, so other
	// tables may keep their files in them too.
	Elsewhere []string
}

// LitterFile is a data file, manifest or manifest list.
type LitterFile struct {
	Path     string
	Bytes    int64
	Modified time.Time
}

// FindLitter lists the files that attempts wrote before a time and that no snapshot refers to. Files
// that other programs wrote are none of its business. An attempt that wrote any file since then is
// taken for live, and all of its files for young. tbl is only looked at for its folders: the
// snapshots are read after the folders are listed, so that what is published in between counts.
func FindLitter(ctx context.Context, cat publish.Catalog, tbl *table.Table, before time.Time) (Litter, error) {
	var litter Litter
	fsys, err := catalog.FS(ctx, tbl)
	if err != nil {
		return litter, err
	}
	walker, ok := fsys.(iceio.ListableIO)
	if !ok {
		return litter, fmt.Errorf("%w: files at %s cannot be listed", stage.ErrUnsupported, tbl.Location())
	}
	found := written{byName: map[string]LitterFile{}, last: map[uuid.UUID]time.Time{}}
	data, ownData := stage.Folder(tbl.Metadata())
	metadata, ownMetadata, err := publish.Folder(tbl)
	if err != nil {
		return litter, err
	}
	for _, f := range []struct {
		folder string
		own    bool
		by     func(string) (uuid.UUID, bool)
	}{{data, ownData, stage.StagedBy}, {metadata, ownMetadata, publish.WrittenBy}} {
		if !f.own {
			litter.Elsewhere = append(litter.Elsewhere, f.folder)
			continue
		}
		if err := found.list(ctx, walker, f.folder, f.by); err != nil {
			return litter, err
		}
	}
	fresh, err := cat.LoadTable(ctx, tbl.Identifier())
	if err != nil {
		return litter, err
	}
	if err := found.referred(ctx, fsys, fresh.Metadata()); err != nil {
		return litter, err
	}
	for name, f := range found.byName {
		id, _ := idOf(name)
		if found.last[id].Before(before) {
			litter.Files = append(litter.Files, f)
		} else {
			litter.Young++
		}
	}
	slices.SortFunc(litter.Files, func(a, b LitterFile) int { return strings.Compare(a.Path, b.Path) })
	return litter, nil
}

// RemoveLitter removes files that FindLitter named, and returns how many are gone.
func RemoveLitter(ctx context.Context, tbl *table.Table, files []LitterFile) (removed int, err error) {
	fsys, err := catalog.FS(ctx, tbl)
	if err != nil {
		return 0, err
	}
	if bulk, ok := fsys.(iceio.BulkRemovableIO); ok {
		paths := make([]string, len(files))
		for i, f := range files {
			paths[i] = f.Path
		}
		gone, err := bulk.DeleteFiles(ctx, paths)
		return len(gone), err
	}
	var errs []error
	for _, f := range files {
		if err := fsys.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		removed++
	}
	return removed, errors.Join(errs...)
}

// written are files of attempts, by their names without folders: those are unique, and a path has
// more than one spelling. last is when each attempt last wrote any, by its clock or the store's.
type written struct {
	byName map[string]LitterFile
	last   map[uuid.UUID]time.Time
}

func idOf(name string) (uuid.UUID, bool) {
	if id, ok := stage.StagedBy(name); ok {
		return id, true
	}
	return publish.WrittenBy(name)
}

func (w written) list(ctx context.Context, walker iceio.ListableIO, folder string, by func(string) (uuid.UUID, bool)) error {
	return walker.WalkDir(folder, func(location string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("list %s: %w", folder, err)
		case d.IsDir():
			return ctx.Err()
		}
		name := path.Base(location)
		id, ok := by(name)
		if !ok {
			return ctx.Err()
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", folder, err)
		}
		w.byName[name] = LitterFile{location, info.Size(), info.ModTime()}
		begun := time.Unix(id.Time().UnixTime())
		for _, t := range []time.Time{begun, info.ModTime()} {
			if t.After(w.last[id]) {
				w.last[id] = t
			}
		}
		return ctx.Err()
	})
}

// referred takes out what some snapshot refers to, be it as a file that it removed.
func (w written) referred(ctx context.Context, fsys iceio.IO, meta table.Metadata) error {
	read := map[string]bool{}
	for _, s := range meta.Snapshots() {
		if len(w.byName) == 0 {
			return nil
		}
		delete(w.byName, path.Base(s.ManifestList))
		manifests, err := s.Manifests(fsys)
		if err != nil {
			return fmt.Errorf("read manifest list of snapshot %d: %w", s.SnapshotID, err)
		}
		for _, m := range manifests {
			delete(w.byName, path.Base(m.FilePath()))
			if read[m.FilePath()] {
				continue
			}
			read[m.FilePath()] = true
			for e, err := range m.Entries(fsys, false) {
				if err != nil {
					return fmt.Errorf("read manifest %s: %w", m.FilePath(), err)
				}
				delete(w.byName, path.Base(e.DataFile().FilePath()))
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}
