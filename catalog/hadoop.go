package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	icehadoop "github.com/apache/iceberg-go/catalog/hadoop"
)

// typeHadoop is the catalog that is a folder: a table is the folder of its name with a
// file for each version of its metadata, and a commit gives such a file the name of the
// next version, which only one can take.
const typeHadoop = "hadoop"

// openHadoop opens the catalog in the warehouse, a local directory, which the first
// table makes, or one in S3, for those who insist.
func openHadoop(_ context.Context, name string, props iceberg.Properties, cfg Config) (*Catalog, error) {
	dir, err := cfg.dir()
	if err != nil {
		return nil, err
	}
	given := orElse(props["warehouse"], props["uri"])
	if given == "" {
		return nil, &ConfigError{What: "a Hadoop catalog is its warehouse, and none is given", Do: "say --warehouse with a directory"}
	}
	switch scheme := uriScheme(given); {
	case strings.Contains(given, "://") && slices.Contains(s3Schemes, scheme):
		return openHadoopS3(name, given, props, cfg)
	case strings.Contains(given, "://") && scheme != "file":
		return nil, &ConfigError{What: fmt.Sprintf("a Hadoop catalog cannot be at %s://", scheme), Do: "Hadoop catalogs are for local directories; " + insteadOfHadoop}
	}
	warehouse, err := localWarehouse(given, dir, "")
	if err != nil {
		return nil, err
	}
	path, err := localIO{base: dir}.path(warehouse)
	if err != nil {
		return nil, &ConfigError{What: "the warehouse is no local directory", Err: err}
	}
	if !filepath.IsAbs(warehouse) && !strings.HasPrefix(warehouse, "file:") {
		return nil, &ConfigError{What: fmt.Sprintf("warehouse %q has characters that locations cannot carry", path), Do: "use a directory with letters, digits and - _ . ~ in its name"}
	}
	if _, err := os.Stat(path); cfg.Existing && errors.Is(err, fs.ErrNotExist) {
		return nil, &ConfigError{What: "there is no catalog at " + path, Do: "load something first, or say which catalog with --catalog or --warehouse"}
	}
	lib := libraryProps(props)
	maps.Copy(lib, iceberg.Properties{"warehouse": filepath.ToSlash(path), propBaseDir: dir})
	cat, err := icehadoop.NewCatalog(name, lib["warehouse"], lib)
	if err != nil {
		return nil, &ConfigError{What: "cannot open the Hadoop catalog at " + path, Err: err}
	}
	return &Catalog{Catalog: cat, Props: lib, close: cat.Close}, nil
}

// errHadoopDrop is what a Hadoop catalog has to say to a drop.
type errHadoopDrop struct{}

func (errHadoopDrop) Error() string {
	return "in a Hadoop catalog a table is its files, and cannot be dropped without them"
}
func (errHadoopDrop) Hint() string { return "say --purge to remove them too" }

// What a Hadoop catalog needs of local files beside reading and writing them.
var _ icehadoop.HadoopCatalogFS = localIO{}

// Rename moves a file, over one that is there.
func (l localIO) Rename(from, to string) error {
	return l.both(from, to, os.Rename)
}

// RenameNoReplace moves a file to a name that is free; else the error is fs.ErrExist. A
// second name for the file is the step that only one can take.
func (l localIO) RenameNoReplace(from, to string) error {
	return l.both(from, to, func(from, to string) error {
		if err := os.Link(from, to); err != nil {
			return err
		}
		return os.Remove(from)
	})
}

func (l localIO) both(from, to string, move func(from, to string) error) error {
	f, err := l.path(from)
	if err != nil {
		return err
	}
	t, err := l.path(to)
	if err != nil {
		return err
	}
	return move(f, t)
}

// RemoveAll removes a directory with everything in it.
func (l localIO) RemoveAll(name string) error {
	p, err := l.path(name)
	if err != nil {
		return err
	}
	return os.RemoveAll(p)
}

// MkdirAll makes a directory and those above it.
func (l localIO) MkdirAll(name string) error {
	p, err := l.path(name)
	if err != nil {
		return err
	}
	return os.MkdirAll(p, 0o755)
}
