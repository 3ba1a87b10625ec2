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
	"sync"
	"sync/atomic"

	"github.com/apache/iceberg-go"
	"golang.org/x/sync/errgroup"

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

	// FilesFrom are files, or "-" for Stdin, that name more sources, one a line.
	FilesFrom []string

	s3   s3API // the clients, once they are needed; tests put their own here
	http *httpClient
}

// Object is one stored file: its bytes are read from the start to the end.
type Object struct {
	// Name is how a user would write it: a path, "-", s3://bucket/key, or a URL, of which passwords and what
	// is signed are left out.
	Name string
	// Size is in stored bytes, compressed if the object is; -1 where it is not known.
	Size int64
	// Constants are the columns that Name has directories for.
	Constants []arrowconv.Constant

	origin origin
	key    string // tells objects of one Name apart
	hint   string // what tells the format by its name; "" is Name
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
//     directory; or a glob in the key;
//   - http://… or https://…, a file. Nothing in a URL is a wildcard.
//
// o.FilesFrom names more of them.
// An argument that matches nothing is an error that wraps arrowconv.ErrInput.
func Resolve(ctx context.Context, args []string, o Options) ([]Object, error) {
	list := make([]argument, 0, len(args))
	for _, arg := range args {
		list = append(list, argument{text: arg})
	}
	for _, name := range o.FilesFrom {
		more, err := readList(name, o)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	if len(list) == 0 {
		if len(o.FilesFrom) > 0 {
			return nil, inputError(strings.Join(o.FilesFrom, ", "), "names no source", "a list has one source a line", nil)
		}
		return nil, inputError("source", "none given", "name files, directories, globs, s3:// and https:// addresses, or - for standard input", nil)
	}
	stdins := 0
	for _, a := range list {
		if a.text == "-" {
			if stdins++; stdins > 1 {
				return nil, inputError("-", "standard input can be read only once", "", nil)
			}
		}
	}
	objects, err := (&resolver{Options: o}).all(ctx, list)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(objects, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.key, b.key))
	})
	objects = slices.CompactFunc(objects, func(a, b Object) bool { return a.Name == b.Name && a.key == b.key })
	return objects, o.PathColumns.constants(objects)
}

// resolving is how many servers' answers are waited for at a time.
const resolving = 16

// resolver lists what arguments name. The clients that it needs are made once.
type resolver struct {
	Options
	s3Once, httpOnce sync.Once
	s3Error          error
}

// all resolves the arguments, addresses side by side, and gives the objects in the order of the arguments; or
// the error of the first argument that has one.
func (r *resolver) all(ctx context.Context, list []argument) ([]Object, error) {
	found, failed := make([][]Object, len(list)), make([]error, len(list))
	var stop atomic.Bool
	var group errgroup.Group
	group.SetLimit(resolving)
	for i, a := range list {
		if stop.Load() {
			break
		}
		resolve := func() error {
			if found[i], failed[i] = r.one(ctx, a); failed[i] != nil {
				stop.Store(true)
			}
			return nil
		}
		if strings.Contains(a.text, "://") {
			group.Go(resolve)
		} else {
			_ = resolve()
		}
	}
	_ = group.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	return slices.Concat(found...), nil
}

// one resolves one argument.
func (r *resolver) one(ctx context.Context, a argument) (found []Object, err error) {
	switch {
	case a.text == "":
		err = inputError(`""`, "names no source", "", nil)
	case a.text == "-":
		found = []Object{stdin(r.Options)}
	case strings.Contains(a.text, "://"):
		found, err = r.address(ctx, a.text)
	default:
		found, err = resolvePath(ctx, a.text, r.Options)
	}
	if err == nil && len(found) == 0 {
		err = inputError(a.text, "matches no file", hiddenHint, nil)
	}
	return found, a.at(err)
}

const hiddenHint = `names that begin with "." or "_" are skipped unless they are named outright`

func stdin(o Options) Object {
	r := o.Stdin
	if r == nil {
		r = os.Stdin
	}
	return Object{Name: "-", Size: -1, origin: &pipe{name: "-", from: r, spill: spool{dir: o.SpillDir}}}
}

func (r *resolver) address(ctx context.Context, arg string) ([]Object, error) {
	scheme, rest, _ := strings.Cut(arg, "://")
	switch strings.ToLower(scheme) {
	case "s3", "s3a":
		return r.resolveS3(ctx, arg, rest)
	case "http", "https":
		r.httpOnce.Do(func() {
			if r.http == nil {
				r.http = newHTTPClient()
			}
		})
		return resolveHTTP(ctx, arg, r.http)
	case "file":
		return resolvePath(ctx, rest, r.Options)
	}
	return nil, inputError(redactArg(arg), scheme+":// cannot be read", "sources are files, directories, globs, s3:// and https:// addresses, and - for standard input", nil)
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
