package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// file is a regular file as it was when it was resolved.
type file struct {
	path string
	info fs.FileInfo
}

// fileObject is the file under that path: ./a is a. What has .. in it stays as it is, since a link may be before that.
func fileObject(path string, info fs.FileInfo) Object {
	if !strings.Contains(path, "..") {
		path = filepath.Clean(path)
	}
	return Object{Name: path, Size: info.Size(), origin: &file{path, info}}
}

func (f *file) open(ctx context.Context) (io.ReadCloser, error) {
	h, err := os.Open(f.path)
	if err != nil {
		return nil, f.lost(err)
	}
	r := &fileReader{File: h, file: f, ctx: ctx}
	if info, err := h.Stat(); err != nil {
		err = fileError(f.path, err)
		_ = h.Close()
		return nil, err
	} else if err := f.same(info); err != nil {
		_ = h.Close()
		return nil, err
	}
	return r, nil
}

func (f *file) at(ctx context.Context) (readerAt, error) {
	r, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	return r.(*fileReader), nil
}

func (f *file) verify(context.Context) error {
	info, err := os.Stat(f.path)
	if err != nil {
		return f.lost(err)
	}
	return f.same(info)
}

// lost is the error of a path that was there when it was resolved.
func (f *file) lost(err error) error {
	if os.IsNotExist(err) {
		return changed(f.path, "vanished while it was being read")
	}
	return fileError(f.path, err)
}

// same tells whether info is of the file that was resolved, untouched since.
func (f *file) same(info fs.FileInfo) error {
	switch {
	case !os.SameFile(f.info, info):
		return changed(f.path, "was replaced by another file while it was being read")
	case info.Size() != f.info.Size():
		return changed(f.path, fmt.Sprintf("changed while it was being read: it had %d bytes and now has %d", f.info.Size(), info.Size()))
	case !info.ModTime().Equal(f.info.ModTime()):
		return changed(f.path, fmt.Sprintf("changed while it was being read: it was written at %s", info.ModTime().Format(time.RFC3339)))
	}
	return nil
}

// fileReader reads a file and, at its end, makes sure that it read one version of it.
type fileReader struct {
	*os.File
	file *file
	ctx  context.Context
	read int64
}

func (r *fileReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	n, err := r.File.Read(p)
	r.read += int64(n)
	switch {
	case err == nil:
		return n, nil
	case err != io.EOF:
		return n, fileError(r.file.path, err)
	}
	if err := r.file.verify(r.ctx); err != nil {
		return n, err
	}
	if r.read != r.file.info.Size() {
		return n, changed(r.file.path, fmt.Sprintf("changed while it was being read: %d of %d bytes were there", r.read, r.file.info.Size()))
	}
	return n, io.EOF
}

func (r *fileReader) ReadAt(p []byte, off int64) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	n, err := r.File.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fileError(r.file.path, err)
	}
	return n, err
}

// WriteTo would let io.Copy go round Read and what it verifies.
func (r *fileReader) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{r})
}
