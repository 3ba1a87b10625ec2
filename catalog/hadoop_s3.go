package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/iceberg-go"
	icehadoop "github.com/apache/iceberg-go/catalog/hadoop"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// propUnsafe lets a Hadoop catalog be where no rename is atomic. Its name is iceberg-go's.
const propUnsafe = "allow-unsafe-commits"

// propFolders asks openS3 for an IO with folders. It is ours, and set for a moment only.
const propFolders = "icewright.folders"

// s3Schemes are the schemes of locations in S3.
var s3Schemes = []string{"s3", "s3a", "s3n"}

// whyUnsafe is why commits of a Hadoop catalog in S3 can get lost.
const whyUnsafe = "a Hadoop catalog in S3 has no atomic rename: where another engine writes to the table too, or the store does not heed " +
	"If-None-Match, two commits can both be acknowledged, and one of them is lost"

const insteadOfHadoop = "use a REST or SQL catalog for tables there"

// openHadoopS3 opens the catalog below warehouse, in S3, for those who insist.
func openHadoopS3(name, warehouse string, props iceberg.Properties, cfg Config) (*Catalog, error) {
	insist, err := strconv.ParseBool(orElse(props[propUnsafe], "false"))
	if err != nil {
		return nil, &ConfigError{What: fmt.Sprintf("%s is %q", propUnsafe, props[propUnsafe]), Do: "write true or false"}
	}
	if !insist {
		return nil, &ConfigError{What: whyUnsafe, Do: insteadOfHadoop + "; who takes the risk says --catalog-prop " + propUnsafe + "=true"}
	}
	if warehouse = strings.TrimRight(warehouse, "/"); !urlStable(warehouse) {
		return nil, &ConfigError{What: fmt.Sprintf("warehouse %q has characters that locations cannot carry", warehouse), Do: "use letters, digits and - _ . ~ only"}
	}
	lib := libraryProps(props)
	lib["warehouse"], lib[propUnsafe], lib[propFolders] = warehouse, "true", "true"
	cat, err := icehadoop.NewCatalog(name, warehouse, lib)
	if err != nil {
		return nil, &ConfigError{What: "cannot open the Hadoop catalog at " + warehouse, Err: err}
	}
	delete(lib, propFolders) // the catalog has its IO now; those of its tables need no folders
	if cfg.Warn != nil {
		cfg.Warn(whyUnsafe + "; " + insteadOfHadoop)
	}
	return &Catalog{Catalog: cat, Props: lib, Unsafe: whyUnsafe, close: cat.Close}, nil
}

// hadoopS3 is S3 as a Hadoop catalog wants it: with folders, and with files that are
// written under one name and then given another.
//
// A commit there writes the metadata, gives the file the name that claims the next
// version, looks whether that version is there, and gives the file the version's name.
// All but the last is kept in memory here, so that a process that dies leaves neither
// files nor claims. The last is one request, which S3 and most stores carry out only if
// the name is free: of two that commit the same version one is told so. Claims in the
// store would be one step more that two can take, and one that is a minute old may be
// taken over together with its contents.
type hadoopS3 struct {
	*s3IO

	mu     sync.Mutex
	staged map[string][]byte // by location; contents are never changed
}

var _ icehadoop.HadoopCatalogFS = (*hadoopS3)(nil)

func newHadoopS3(s *s3IO) *hadoopS3 { return &hadoopS3{s3IO: s, staged: map[string][]byte{}} }

// Create returns a writer whose Close keeps the file in memory until it is renamed.
func (h *hadoopS3) Create(name string) (iceio.FileWriter, error) {
	return &stagedFile{fsys: h, name: name}, nil
}

type stagedFile struct {
	bytes.Buffer
	fsys *hadoopS3
	name string
}

func (f *stagedFile) Close() error { return f.fsys.WriteFile(f.name, f.Bytes()) }

// WriteFile keeps the file in memory until it is renamed.
func (h *hadoopS3) WriteFile(name string, content []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.staged[name] = content
	return nil
}

// Remove forgets a staged file, or removes a file or an empty folder.
func (h *hadoopS3) Remove(name string) error {
	h.mu.Lock()
	_, staged := h.staged[name]
	delete(h.staged, name)
	h.mu.Unlock()
	if staged {
		return nil
	}
	_, err := h.DeleteFiles(h.ctx, []string{name, name + "/"})
	return err
}

// Rename stores a staged file under a name, over one that is there.
func (h *hadoopS3) Rename(from, to string) error {
	return h.move(from, func(content []byte) error { return h.s3IO.WriteFile(to, content) })
}

// RenameNoReplace stores a staged file under a name that is free; else the error is
// fs.ErrExist. A claim is staged again, under its own name.
func (h *hadoopS3) RenameNoReplace(from, to string) error {
	return h.move(from, func(content []byte) error {
		if !strings.HasSuffix(to, ".claim") {
			return h.putNew(to, content)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if _, taken := h.staged[to]; taken {
			return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
		}
		h.staged[to] = content
		return nil
	})
}

func (h *hadoopS3) move(from string, store func([]byte) error) error {
	h.mu.Lock()
	content, ok := h.staged[from]
	h.mu.Unlock()
	if !ok {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	if err := store(content); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.staged, from)
	return nil
}

// putNew stores a file under a name that is free. This is the commit: what it says is
// what is known of it. The error is fs.ErrExist where the name is another's, and
// ErrUnknownState where S3 gave no clear answer and cannot be asked either.
func (h *hadoopS3) putNew(name string, content []byte) error {
	client, bucket, key, err := h.at("write", name)
	if err != nil {
		return err
	}
	put := func(ifNoneMatch *string) (*s3.PutObjectOutput, error) {
		return client.PutObject(h.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(content), IfNoneMatch: ifNoneMatch})
	}
	out, err := put(aws.String("*"))
	if s3Status(err) == http.StatusNotImplemented {
		out, err = put(nil) // a store that knows no conditions; the name was free a moment ago
	}
	taken := &fs.PathError{Op: "write", Path: name, Err: fs.ErrExist}
	if err == nil {
		// Where the condition was passed over, somebody may have written over it.
		h, err := client.HeadObject(h.ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
		if err == nil && h.ETag != nil && out.ETag != nil && *h.ETag != *out.ETag {
			return taken
		}
		return nil
	}
	status := s3Status(err)
	refused := status == http.StatusPreconditionFailed || status == http.StatusConflict
	if status/100 == 4 && !refused && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests {
		return &StorageError{"write", name, err}
	}
	// The client sends a request without an answer again, and then the file that is in
	// the way may be ours.
	there, readErr := h.ReadFile(name)
	switch {
	case readErr == nil && bytes.Equal(there, content):
		return nil
	case readErr == nil, status == http.StatusConflict && errors.Is(readErr, fs.ErrNotExist):
		return taken
	}
	return &classified{ErrUnknownState, &StorageError{"write", name, err}}
}

// Stat returns what is known of a file or a folder; fs.ErrNotExist without one.
func (h *hadoopS3) Stat(name string) (fs.FileInfo, error) {
	h.mu.Lock()
	content, staged := h.staged[name]
	h.mu.Unlock()
	if staged {
		return s3Info{path.Base(name), int64(len(content)), time.Now()}, nil
	}
	info, err := h.head("stat", name)
	if err == nil {
		return info, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	switch listErr := h.keys(name, nil, 1, func(string, fs.DirEntry) error { return fs.SkipAll }); {
	case errors.Is(listErr, fs.SkipAll):
		return s3Folder(path.Base(name)), nil
	case listErr != nil:
		return nil, listErr
	}
	return nil, err
}

// MkdirAll makes a folder that is there without a file in it, as Hadoop does: by an
// object whose name is the folder's, with a slash.
func (h *hadoopS3) MkdirAll(name string) error {
	if _, err := h.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return h.s3IO.WriteFile(strings.TrimRight(name, "/")+"/", nil)
}

// RemoveAll removes a folder with everything in it, what lies deepest first.
func (h *hadoopS3) RemoveAll(name string) error {
	var names []string
	err := h.keys(name, nil, 0, func(name string, _ fs.DirEntry) error { names = append(names, name); return nil })
	if err != nil {
		return err
	}
	slices.Reverse(names)
	_, err = h.DeleteFiles(h.ctx, names)
	return err
}

// WalkDir walks files and folders below root, and root itself, as fs.WalkDir does. A
// folder that is not there is one without files.
func (h *hadoopS3) WalkDir(root string, fn fs.WalkDirFunc) error {
	root = strings.TrimRight(root, "/")
	err := h.walk(root, fs.FileInfoToDirEntry(s3Folder(path.Base(root))), fn)
	if errors.Is(err, fs.SkipAll) {
		return nil
	}
	return err
}

func (h *hadoopS3) walk(dir string, d fs.DirEntry, fn fs.WalkDirFunc) error {
	err := fn(dir, d, nil)
	if err == nil {
		err = h.keys(dir, aws.String("/"), 0, func(name string, d fs.DirEntry) error {
			switch {
			case strings.TrimRight(name, "/") == dir:
				return nil // the folder's own object
			case d.IsDir():
				return h.walk(strings.TrimRight(name, "/"), d, fn)
			}
			return fn(name, d, nil)
		})
	}
	if err == fs.SkipDir { //nolint:errorlint // as fs.WalkDir has it
		return nil
	}
	return err
}

// keys calls fn for the objects below dir and, where delimiter is given, for the folders
// in it in place of what is in them, until it returns an error; limit is how many to ask
// for at once, 0 for many.
func (h *hadoopS3) keys(dir string, delimiter *string, limit int32, fn func(name string, d fs.DirEntry) error) error {
	dir = strings.TrimRight(dir, "/") + "/"
	scheme, rest, _ := strings.Cut(dir, "://")
	bucket, prefix, _ := strings.Cut(rest, "/")
	in := &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix, Delimiter: delimiter}
	if limit > 0 {
		in.MaxKeys = &limit
	}
	for pages := s3.NewListObjectsV2Paginator(h.client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(h.ctx)
		if err != nil {
			return &StorageError{"list", dir, err}
		}
		entries := map[string]fs.DirEntry{}
		for _, o := range page.Contents {
			key := aws.ToString(o.Key)
			entries[key] = fs.FileInfoToDirEntry(s3Info{path.Base(key), aws.ToInt64(o.Size), aws.ToTime(o.LastModified)})
			if strings.HasSuffix(key, "/") {
				entries[key] = fs.FileInfoToDirEntry(s3Folder(path.Base(key)))
			}
		}
		for _, p := range page.CommonPrefixes {
			key := aws.ToString(p.Prefix)
			entries[key] = fs.FileInfoToDirEntry(s3Folder(path.Base(key)))
		}
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			if err := fn(scheme+"://"+bucket+"/"+key, entries[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

// s3Folder is a folder by its name.
type s3Folder string

func (f s3Folder) Name() string     { return string(f) }
func (s3Folder) Size() int64        { return 0 }
func (s3Folder) Mode() fs.FileMode  { return fs.ModeDir | 0o755 }
func (s3Folder) ModTime() time.Time { return time.Time{} }
func (s3Folder) IsDir() bool        { return true }
func (s3Folder) Sys() any           { return nil }
