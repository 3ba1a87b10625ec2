package catalog

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// Aborter is implemented by the writers of this package's IOs. Abort ends the write
// and leaves no file and no part of one: Close publishes, Abort takes back. After
// one of them the other does nothing.
type Aborter interface{ Abort() error }

// Abort ends a write without a file, whoever made the writer: one that cannot abort
// is closed and its file removed.
func Abort(fsys iceio.IO, name string, w iceio.FileWriter) error {
	if a, ok := w.(Aborter); ok {
		return a.Abort()
	}
	return errors.Join(w.Close(), fsys.Remove(name))
}

// binder is implemented by IOs that can tie their requests to a context.
type binder interface {
	bind(ctx context.Context) iceio.IO
}

// boundKey marks contexts under which IOs are tied to their context when they are
// opened. Otherwise they are not: a REST catalog that vends credentials keeps an IO
// for all users of a table, and the first one's context must not end it.
type boundKey struct{}

// FS returns the IO of t's files, for reading and writing, with every request tied
// to ctx: when it ends, so do they. That is not so for the IO that t.FS gives. Asking
// anew for each file costs nothing, and lets a catalog renew the credentials that it
// vended.
func FS(ctx context.Context, t *table.Table) (iceio.WriteFileIO, error) {
	fsys, err := t.FS(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the storage of %s: %w", t.Location(), readError(err))
	}
	return writable(ctx, fsys, t.Location())
}

// OpenIO returns the IO for location (s3://…, file:///…, a bare path), tied to ctx.
// props are a catalog's or a table's: s3.endpoint and the like.
func OpenIO(ctx context.Context, props map[string]string, location string) (iceio.WriteFileIO, error) {
	fsys, err := iceio.LoadFS(ctx, props, location)
	if errors.Is(err, iceio.ErrIOSchemeNotFound) {
		return nil, &ConfigError{What: fmt.Sprintf("cannot store files at %q", location), Do: "use s3:// or a local path", Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", location, readError(err))
	}
	return writable(ctx, fsys, location)
}

func writable(ctx context.Context, fsys iceio.IO, location string) (iceio.WriteFileIO, error) {
	if b, ok := fsys.(binder); ok {
		fsys = b.bind(ctx)
	}
	w, ok := fsys.(iceio.WriteFileIO)
	if !ok {
		return nil, &ConfigError{What: fmt.Sprintf("files at %q can only be read", location)}
	}
	return w, nil
}

// writeLog records the files that are made under a context, so that they can be
// removed when what they were made for did not happen.
type writeLog struct {
	mu    sync.Mutex
	files []loggedFile
	// keep holds back the removal of its files by others than remove.
	keep bool
}

type loggedFile struct {
	fsys iceio.IO
	name string
}

type writeLogKey struct{}

func withWriteLog(ctx context.Context) (context.Context, *writeLog) {
	l := &writeLog{}
	return context.WithValue(ctx, writeLogKey{}, l), l
}

// writeLogOf returns the log of ctx or nil, which takes notes too, to no effect.
func writeLogOf(ctx context.Context) *writeLog {
	l, _ := ctx.Value(writeLogKey{}).(*writeLog)
	return l
}

func (l *writeLog) add(fsys iceio.IO, name string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = append(l.files, loggedFile{fsys, name})
}

// keeps tells whether the file is to stay for now: iceberg-go removes the metadata of a
// table that it could not create, also where the answer to its COMMIT was lost and the
// table is there.
func (l *writeLog) keeps(name string) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.keep && l.has(name)
}

func (l *writeLog) has(name string) bool {
	return slices.ContainsFunc(l.files, func(f loggedFile) bool { return f.name == name })
}

// remove removes the files. That one cannot be removed changes nothing for anybody:
// no table refers to it.
func (l *writeLog) remove(ctx context.Context) {
	l.mu.Lock()
	files := l.files
	l.files = nil
	l.mu.Unlock()
	for _, f := range files {
		fsys := f.fsys
		if b, ok := fsys.(binder); ok {
			fsys = b.bind(ctx)
		}
		_ = fsys.Remove(f.name)
	}
}

// urlStable tells whether a location stays what it is when iceberg-go makes longer
// ones from it. It does so by way of net/url, which escapes spaces, umlauts and
// more, cuts at ? and #, and so would name another place.
func urlStable(location string) bool {
	u, err := url.Parse(location)
	return err == nil && u.JoinPath("x").String() == location+"/x"
}

func init() {
	for _, scheme := range []string{"file", ""} {
		iceio.Unregister(scheme)
		iceio.Register(scheme, openLocal)
	}
	for _, scheme := range s3Schemes {
		iceio.Unregister(scheme)
		iceio.Register(scheme, openS3)
	}
}
