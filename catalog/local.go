package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	iceio "github.com/apache/iceberg-go/io"

	"github.com/icewright/icewright/point"
)

// propBaseDir is the directory that relative locations start from. It is ours, set
// on every SQLite catalog.
const propBaseDir = "icewright.base-dir"

// localIO stores files on a local disk. Unlike iceberg-go's it takes a location's
// path as it stands, as PyIceberg, DuckDB and Java do; a file is on the disk, not
// only in memory, when its Close returns, since a commit must not outlive the files
// it refers to; and a half-written file can be taken back.
type localIO struct {
	base string // for relative locations; "" is the process's working directory
	log  *writeLog
}

var (
	_ iceio.ReadFileIO      = localIO{}
	_ iceio.WriteFileIO     = localIO{}
	_ iceio.ListableIO      = localIO{}
	_ iceio.BulkRemovableIO = localIO{}
	_ iceio.StatIO          = localIO{}
)

func openLocal(ctx context.Context, _ *url.URL, props map[string]string) (iceio.IO, error) {
	return localIO{base: props[propBaseDir], log: writeLogOf(ctx)}, nil
}

// path returns the file's path on this machine.
func (l localIO) path(name string) (string, error) {
	p, isURI := strings.CutPrefix(name, "file:")
	if isURI {
		if rest, ok := strings.CutPrefix(p, "//"); ok {
			host, path, _ := strings.Cut(rest, "/")
			if host != "" && !strings.EqualFold(host, "localhost") {
				return "", &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("host %q is not this machine: %w", host, fs.ErrInvalid)}
			}
			p = "/" + path
		}
		p = decodedIfThere(p)
	} else if scheme, _, ok := strings.Cut(name, "://"); ok && !strings.Contains(scheme, "/") {
		return "", &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("not a local file: %w", fs.ErrInvalid)}
	}
	p = filepath.FromSlash(p)
	if !filepath.IsAbs(p) && l.base != "" {
		p = filepath.Join(l.base, p)
	}
	return p, nil
}

// decodedIfThere makes tables readable that iceberg-go's own IO wrote: it decodes
// percent signs of file: locations, so that the directory "my lake" has the
// location file:///my%20lake. The path as it stands goes first; the first element
// with a percent sign decides.
func decodedIfThere(p string) string {
	i := strings.IndexByte(p, '%')
	if i < 0 {
		return p
	}
	end := len(p)
	if j := strings.IndexByte(p[i:], '/'); j >= 0 {
		end = i + j
	}
	if _, err := os.Lstat(p[:end]); err == nil {
		return p
	}
	head, err := url.PathUnescape(p[:end])
	if err != nil {
		return p
	}
	if _, err := os.Lstat(head); err != nil {
		return p
	}
	if whole, err := url.PathUnescape(p); err == nil {
		return whole
	}
	return p
}

func (l localIO) Open(name string) (iceio.File, error) {
	p, err := l.path(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(p)
	if err != nil {
		return nil, err
	}
	return withAvroNames(name, f), nil
}

func (l localIO) ReadFile(name string) ([]byte, error) {
	p, err := l.path(name)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(p)
}

func (l localIO) Stat(name string) (fs.FileInfo, error) {
	p, err := l.path(name)
	if err != nil {
		return nil, err
	}
	return os.Stat(p)
}

// Create makes the file and the directories above it. The writer is an Aborter.
func (l localIO) Create(name string) (iceio.FileWriter, error) {
	p, err := l.path(name)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(p)
	if err != nil {
		return nil, err
	}
	l.log.add(l, name)
	return &localWriter{File: f, logged: l.log != nil}, nil
}

func (l localIO) WriteFile(name string, content []byte) error {
	w, err := l.Create(name)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return errors.Join(err, Abort(l, name, w))
	}
	return w.Close()
}

func (l localIO) Remove(name string) error {
	p, err := l.path(name)
	if err != nil || l.log.keeps(name) {
		return err
	}
	return os.Remove(p)
}

// DeleteFiles removes files; one that is not there counts as removed.
func (l localIO) DeleteFiles(ctx context.Context, names []string) (deleted []string, err error) {
	var errs []error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return deleted, errors.Join(append(errs, err)...)
		}
		if err := l.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		deleted = append(deleted, name)
	}
	return deleted, errors.Join(errs...)
}

// WalkDir walks the files below root in lexical order and calls fn with locations
// of root's own form.
func (l localIO) WalkDir(root string, fn fs.WalkDirFunc) error {
	p, err := l.path(root)
	if err != nil {
		return err
	}
	root = strings.TrimRight(root, "/")
	return filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(p, path)
		if relErr != nil || rel == "." {
			return fn(root, d, err)
		}
		return fn(root+"/"+filepath.ToSlash(rel), d, err)
	})
}

// localWriter writes one file.
type localWriter struct {
	*os.File
	logged bool // the file is one of a commit's own
	once   sync.Once
	err    error
}

func (w *localWriter) ReadFrom(r io.Reader) (int64, error) { return w.File.ReadFrom(r) }

// Close puts the file on the disk. A file that cannot be put there is removed. Its
// name needs no sync of the directory: the journals of ext4, XFS, Btrfs and APFS
// write the names that led to a file with the file, and a second sync would double
// the cost, which is that of the disk already.
func (w *localWriter) Close() error {
	w.once.Do(func() {
		w.err = w.Sync()
		w.err = errors.Join(w.err, w.File.Close())
		if w.err != nil {
			_ = os.Remove(w.Name())
		} else if w.logged {
			point.Reach("catalog: metadata file written")
		}
	})
	return w.err
}

func (w *localWriter) Abort() error {
	w.once.Do(func() {
		_ = w.File.Close()
		if err := os.Remove(w.Name()); !errors.Is(err, fs.ErrNotExist) {
			w.err = err
		}
	})
	return w.err
}

// localWarehouse returns the location for a catalog's new tables: given, relative
// to dir, or fallback when nothing is given. Local locations are bare paths, which
// every reader takes as they stand. They are absolute, except below a directory
// whose name a location cannot carry (a space is enough): there they are relative
// to dir, and readers find the tables from there.
func localWarehouse(given, dir, fallback string) (string, error) {
	w := strings.TrimRight(given, "/")
	switch {
	case given == "":
		w = fallback
	case strings.Contains(given, "://") || strings.HasPrefix(given, "file:"):
		if !urlStable(w) {
			return "", &ConfigError{
				What: fmt.Sprintf("warehouse %q has characters that locations cannot carry", given),
				Do:   "use letters, digits and - _ . ~ only, or percent-encode the others",
			}
		}
		return w, nil
	case !filepath.IsAbs(w):
		w = filepath.Join(dir, w)
	}
	if urlStable(filepath.ToSlash(w)) {
		return filepath.ToSlash(w), nil
	}
	if rel, err := filepath.Rel(dir, w); err == nil && filepath.IsLocal(rel) && urlStable(filepath.ToSlash(rel)) {
		return filepath.ToSlash(rel), nil
	}
	return "", &ConfigError{
		What: fmt.Sprintf("warehouse %q has characters that locations cannot carry", w),
		Do:   "use a directory with letters, digits and - _ . ~ in its name, or one below the working directory",
	}
}
