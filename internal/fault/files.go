package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
	"syscall"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
)

// Storage is an object store that breaks what a script says: files count as written when they are
// made, as read when they are opened. Wrap puts it around a real one.
type Storage struct {
	script *script
	off    atomic.Int32

	written writtenNames
}

// Files returns a storage with the faults of a script about writes, reads, lists and removals.
func Files(t testing.TB, text string) *Storage {
	t.Helper()
	return &Storage{script: read(t, text, "write", "read", "list", "remove"), written: writtenNames{names: map[string]bool{}}}
}

// Count is how many events of a kind there were.
func (s *Storage) Count(event string) int { return s.script.count(event) }

// Aside runs f without faults, and without counting: what somebody else does in between.
func (s *Storage) Aside(f func()) {
	s.off.Add(1)
	defer s.off.Add(-1)
	f()
}

// Wrap returns inner as it is with the faults.
func (s *Storage) Wrap(inner iceio.IO) iceio.IO { return storageIO{inner.(store), s} }

// store is what the IOs of package catalog and of testcat can do.
type store interface {
	iceio.ReadFileIO
	iceio.WriteFileIO
	iceio.ListableIO
	iceio.BulkRemovableIO
	iceio.StatIO
}

type storageIO struct {
	store
	s *Storage
}

// next is what becomes of an event on a file.
func (f storageIO) next(event, name string) (outcome, error) {
	if f.s.off.Load() > 0 {
		return outcome{}, nil
	}
	o, _ := f.s.script.next(event)
	broken := func(err error) error { return &fs.PathError{Op: event, Path: name, Err: err} }
	switch o.how {
	case slow:
		return outcome{}, wait(context.Background(), Slowness)
	case lost:
		return o, broken(syscall.ECONNRESET)
	case answers:
		return o, broken(fmt.Errorf("fault: status %d %s", o.status, o.code))
	case full:
		return o, broken(syscall.ENOSPC)
	case torn, replyLost:
		return o, broken(syscall.EPIPE)
	}
	return o, nil
}

func (f storageIO) Open(name string) (iceio.File, error) {
	o, failed := f.next("read", name)
	if failed != nil && o.how != torn {
		return nil, failed
	}
	file, err := f.store.Open(name)
	if err != nil || failed == nil {
		return file, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	return &tornFile{File: file, half: info.Size() / 2, err: failed}, nil
}

// tornFile ends in the middle.
type tornFile struct {
	iceio.File
	half, at int64
	err      error
}

func (f *tornFile) Read(p []byte) (int, error) {
	if f.at >= f.half {
		return 0, f.err
	}
	n, err := f.File.Read(p[:min(int64(len(p)), f.half-f.at)])
	f.at += int64(n)
	return n, err
}

func (f *tornFile) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.half {
		return 0, f.err
	}
	return f.File.ReadAt(p, off)
}

func (f storageIO) ReadFile(name string) ([]byte, error) {
	o, failed := f.next("read", name)
	if failed != nil && o.how != torn {
		return nil, failed
	}
	b, err := f.store.ReadFile(name)
	if err == nil && failed != nil {
		return b[:len(b)/2], failed
	}
	return b, err
}

func (f storageIO) WriteFile(name string, content []byte) error {
	o, failed := f.next("write", name)
	var err error
	switch {
	case failed == nil || o.how == replyLost:
		err = f.store.WriteFile(name, content)
	case o.how == torn || o.how == full:
		err = f.store.WriteFile(name, content[:len(content)/2])
	}
	f.s.written.add(name)
	return errors.Join(failed, err)
}

func (f storageIO) Create(name string) (iceio.FileWriter, error) {
	o, failed := f.next("write", name)
	if o.how == lost || o.how == answers {
		return nil, failed
	}
	w, err := f.store.Create(name)
	f.s.written.add(name)
	if err != nil || failed == nil {
		return w, err
	}
	return &brokenWriter{FileWriter: w, o: o, err: failed}, nil
}

// brokenWriter takes half of the first write, or ends well and says that it did not.
type brokenWriter struct {
	iceio.FileWriter
	o   outcome
	err error
}

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.o.how == replyLost {
		return w.FileWriter.Write(p)
	}
	n, _ := w.FileWriter.Write(p[:len(p)/2])
	return n, w.err
}

func (w *brokenWriter) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, r)
}

func (w *brokenWriter) Close() error { return errors.Join(w.err, w.FileWriter.Close()) }

// Abort makes it one of package catalog's Aborters.
func (w *brokenWriter) Abort() error {
	if a, ok := w.FileWriter.(interface{ Abort() error }); ok {
		return a.Abort()
	}
	return w.FileWriter.Close()
}

func (f storageIO) Remove(name string) error {
	o, failed := f.next("remove", name)
	if failed != nil && o.how != replyLost {
		return failed
	}
	return errors.Join(failed, f.store.Remove(name))
}

// DeleteFiles counts as one removal, which gets half-way where it fails.
func (f storageIO) DeleteFiles(ctx context.Context, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	o, failed := f.next("remove", names[0])
	if failed == nil {
		return f.store.DeleteFiles(ctx, names)
	}
	if o.how != replyLost {
		names = names[:len(names)/2]
	}
	gone, err := f.store.DeleteFiles(ctx, names)
	return gone, errors.Join(failed, err)
}

func (f storageIO) WalkDir(root string, fn fs.WalkDirFunc) error {
	o, failed := f.next("list", root)
	if failed != nil {
		return failed
	}
	return f.store.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if o.how == stale && f.s.written.has(name) {
			return nil
		}
		return fn(name, d, err)
	})
}
