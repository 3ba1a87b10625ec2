package testcat

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	iceio "github.com/apache/iceberg-go/io"
)

// memIO keeps files in memory under mem:// locations. It takes the place of
// iceberg-go's, whose writers cannot abort and which copies a file whenever it is
// opened. A file exists once its writer is closed, as in an object store.
type memIO struct{}

var (
	mu    sync.RWMutex
	files = map[string][]byte{} // by location; contents are never changed
)

func init() {
	iceio.Unregister("mem")
	iceio.Register("mem", func(_ context.Context, u *url.URL, _ map[string]string) (iceio.IO, error) {
		mu.RLock()
		defer mu.RUnlock()
		if wrap := wraps[u.Host]; wrap != nil {
			return wrap(memIO{}), nil
		}
		return memIO{}, nil
	})
}

// wraps are what stands before the files of a catalog, by the host of its locations.
var wraps = map[string]func(iceio.IO) iceio.IO{}

func setWrap(host string, wrap func(iceio.IO) iceio.IO) {
	mu.Lock()
	defer mu.Unlock()
	wraps[host] = wrap
}

func list(prefix string) []string {
	mu.RLock()
	defer mu.RUnlock()
	var names []string
	for name := range files {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func forget(prefix string) {
	for _, name := range list(prefix) {
		_ = memIO{}.Remove(name)
	}
}

func get(op, name string) ([]byte, error) {
	mu.RLock()
	defer mu.RUnlock()
	b, ok := files[name]
	if !ok {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return b, nil
}

func (memIO) Open(name string) (iceio.File, error) {
	b, err := get("open", name)
	if err != nil {
		return nil, err
	}
	return memFile{bytes.NewReader(b), memInfo{path.Base(name), int64(len(b))}}, nil
}

func (memIO) ReadFile(name string) ([]byte, error) {
	b, err := get("open", name)
	return bytes.Clone(b), err
}

func (memIO) Stat(name string) (fs.FileInfo, error) {
	b, err := get("stat", name)
	if err != nil {
		return nil, err
	}
	return memInfo{path.Base(name), int64(len(b))}, nil
}

func (memIO) Create(name string) (iceio.FileWriter, error) { return &memWriter{name: name}, nil }

func (memIO) WriteFile(name string, content []byte) error {
	mu.Lock()
	defer mu.Unlock()
	files[name] = bytes.Clone(content)
	return nil
}

func (memIO) Remove(name string) error {
	mu.Lock()
	defer mu.Unlock()
	if _, ok := files[name]; !ok {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(files, name)
	return nil
}

func (m memIO) DeleteFiles(_ context.Context, names []string) ([]string, error) {
	for _, name := range names {
		if err := m.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return names, nil
}

func (m memIO) WalkDir(root string, fn fs.WalkDirFunc) error {
	for _, name := range list(strings.TrimRight(root, "/") + "/") {
		info, err := m.Stat(name)
		if err != nil {
			continue // removed by fn
		}
		if err := fn(name, fs.FileInfoToDirEntry(info), nil); err != nil {
			if errors.Is(err, fs.SkipAll) {
				return nil
			}
			return err
		}
	}
	return nil
}

type memFile struct {
	*bytes.Reader
	info memInfo
}

func (f memFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (memFile) Close() error                 { return nil }

type memInfo struct {
	name string
	size int64
}

func (i memInfo) Name() string     { return i.name }
func (i memInfo) Size() int64      { return i.size }
func (memInfo) Mode() fs.FileMode  { return 0o444 }
func (memInfo) ModTime() time.Time { return time.Time{} }
func (memInfo) IsDir() bool        { return false }
func (memInfo) Sys() any           { return nil }

type memWriter struct {
	name string
	buf  bytes.Buffer
	done bool
}

func (w *memWriter) Write(p []byte) (int, error) {
	if w.done {
		return 0, fs.ErrClosed
	}
	return w.buf.Write(p)
}

func (w *memWriter) ReadFrom(r io.Reader) (int64, error) { return w.buf.ReadFrom(r) }

func (w *memWriter) Close() error {
	if w.done {
		return nil
	}
	w.done = true
	mu.Lock()
	defer mu.Unlock()
	files[w.name] = w.buf.Bytes()
	return nil
}

func (w *memWriter) Abort() error {
	w.done = true
	return nil
}
