package source

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
)

// Options says how origins are reached.
type Options struct {
	// Props hold the s3.* properties of the S3 endpoint. The default, nil, takes the environment's.
	Props iceberg.Properties
	// Stdin is what "-" reads. The default, nil, is os.Stdin.
	Stdin io.Reader
	// SpillDir is where standard input that must be read twice is kept. The default, "", is os.TempDir.
	SpillDir string
	// PathColumns are the directories of objects' names that are columns. The default is all: key=value.
	PathColumns PathColumns

	s3 s3API // the client, once it is needed; tests put a server of their own here
}

// Object is one stored file: its bytes are read from the start to the end.
type Object struct {
	// Name is how a user would write it: a path, "-", or s3://bucket/key.
	Name string
	// Size is in stored bytes, compressed if the object is; -1 where it is not known.
	Size int64
	// Constants are the columns that Name has directories for.
	Constants []arrowconv.Constant

	origin origin
}

// Resolve lists the objects that args name: ordered by name, each once. An argument is
//
//   - a file, or a pipe;
//   - a directory: every file below it, except names that begin with "." or "_", which writers
//     use for markers and for files in the making;
//   - a glob: *, ? and [a-z] stay within a path segment, ** crosses segments; a trailing slash
//     means everything below. Names that begin with "." or "_" must be asked for by that letter.
//     A file that has the glob for its very name is that file;
//   - "-", standard input, once;
//   - s3://bucket/key, an object; s3://bucket/prefix, with a slash at its end or without, a
//     directory; or a glob in the key.
//
// An argument that matches nothing is an error that wraps arrowconv.ErrInput.
func Resolve(ctx context.Context, args []string, o Options) ([]Object, error) {
	if len(args) == 0 {
		return nil, inputError("source", "none given", "name files, directories, globs, s3:// addresses, or - for standard input", nil)
	}
	var objects []Object
	stdins := 0
	for _, arg := range args {
		var found []Object
		var err error
		switch {
		case arg == "":
			err = inputError(`""`, "names no source", "", nil)
		case arg == "-":
			if stdins++; stdins > 1 {
				return nil, inputError("-", "standard input can be read only once", "", nil)
			}
			found = []Object{stdin(o)}
		case strings.Contains(arg, "://"):
			found, err = resolveURL(ctx, arg, &o)
		default:
			found, err = resolvePath(ctx, arg, o)
		}
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, inputError(arg, "matches no file", hiddenHint, nil)
		}
		objects = append(objects, found...)
	}
	slices.SortStableFunc(objects, func(a, b Object) int { return cmp.Compare(a.Name, b.Name) })
	objects = slices.CompactFunc(objects, func(a, b Object) bool { return a.Name == b.Name })
	return objects, o.PathColumns.constants(objects)
}

const hiddenHint = `names that begin with "." or "_" are skipped unless they are named outright`

func stdin(o Options) Object {
	r := o.Stdin
	if r == nil {
		r = os.Stdin
	}
	return Object{Name: "-", Size: -1, origin: &pipe{name: "-", from: r, spill: spool{dir: o.SpillDir}}}
}

func resolveURL(ctx context.Context, arg string, o *Options) ([]Object, error) {
	scheme, rest, _ := strings.Cut(arg, "://")
	switch scheme {
	case "s3", "s3a":
		return resolveS3(ctx, arg, rest, o)
	case "file":
		return resolvePath(ctx, rest, *o)
	}
	return nil, inputError(arg, scheme+":// cannot be read", "sources are files, directories, globs, s3:// addresses, and - for standard input", nil)
}

func resolvePath(ctx context.Context, arg string, o Options) ([]Object, error) {
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		return walk(ctx, arg, nil)
	case err == nil && info.Mode().IsRegular():
		return []Object{fileObject(arg, info)}, nil
	case err == nil:
		return []Object{{Name: arg, Size: -1, origin: &pipe{name: arg, path: arg, spill: spool{dir: o.SpillDir}}}}, nil
	case !isGlob(arg):
		return nil, fileError(arg, err)
	}
	g, err := parseGlob(filepath.ToSlash(arg))
	if err != nil {
		return nil, inputError(arg, "is not a glob that can be read", "", err)
	}
	root := filepath.FromSlash(g.root)
	if root == "" {
		root = "."
	}
	if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return walk(ctx, root, g)
}

// walk lists the files below root, all of them or those that match g. Links to directories are
// not followed, so that a loop of links has an end; links to files are.
func walk(ctx context.Context, root string, g *glob) ([]Object, error) {
	var found []Object
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fileError(path, err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if path == root {
			return nil
		}
		if g == nil && hidden(entry.Name()) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		name := filepath.ToSlash(path)
		if entry.IsDir() {
			if g != nil && !g.mayHold(name) {
				return fs.SkipDir
			}
			return nil
		}
		if g != nil && !g.match(name) {
			return nil
		}
		info, err := os.Stat(path)
		if err != nil {
			return fileError(path, err)
		}
		if info.Mode().IsRegular() {
			found = append(found, fileObject(path, info))
		}
		return nil
	})
	return found, err
}

// hidden tells the names that no directory listing gives: markers such as _SUCCESS, and files
// that their writer has not finished.
func hidden(name string) bool { return name != "" && (name[0] == '.' || name[0] == '_') }
