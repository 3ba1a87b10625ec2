package source

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/icewright/icewright/arrowconv"
)

// PathColumns says which directories of objects' names, key=value, are columns of their rows. The zero
// value takes all.
type PathColumns struct {
	// None takes none.
	None bool
	// Names are the keys to take, which every object must have. The default, nil, is whatever there is.
	Names []string
}

// hiveNull is what Hive, and what writes as Hive does, calls the directory of a null.
const hiveNull = "__HIVE_DEFAULT_PARTITION__"

// constants gives objects their path columns. The whole name counts, whichever part of it the user wrote:
// dt=2024-01-15/*.csv is of that dt. Keys and values are percent-decoded; an empty value is null, as
// Hive's word for it is.
func (c PathColumns) constants(objects []Object) error {
	if c.None {
		return nil
	}
	last, lastConstants := "", []arrowconv.Constant(nil) // neighbours share a directory
	for i := range objects {
		dir := directory(objects[i].Name)
		if i == 0 || dir != last {
			last, lastConstants = dir, c.of(dir)
		}
		objects[i].Constants = lastConstants
		for _, name := range c.Names {
			if !slices.ContainsFunc(lastConstants, func(k arrowconv.Constant) bool { return k.Name == name }) {
				return inputError(objects[i].Name, "its path has no directory "+name+"=…, which --path-columns names", "", nil)
			}
		}
	}
	return nil
}

// of are the columns of one directory.
func (c PathColumns) of(dir string) (constants []arrowconv.Constant) {
	for segment := range strings.SplitSeq(dir, "/") {
		key, value, ok := strings.Cut(segment, "=")
		if !ok || key == "" {
			continue
		}
		key, value = decoded(key), decoded(value)
		if c.Names == nil || slices.Contains(c.Names, key) {
			null := value == "" || value == hiveNull
			constants = append(constants, arrowconv.Constant{Name: key, Text: value, Null: null})
		}
	}
	return constants
}

// directory is the part of an object's name that may have columns: neither bucket nor host, nor the
// last segment, nor the query of a URL.
func directory(name string) string {
	if scheme, rest, ok := strings.Cut(name, "://"); ok {
		_, name, _ = strings.Cut(rest, "/")
		if scheme == "http" || scheme == "https" {
			name, _, _ = strings.Cut(name, "?")
			segments := strings.Split(name, "/")
			for i, s := range segments { // the URL's own encoding, around that of the directory's name
				segments[i] = strings.ReplaceAll(decoded(s), "/", "%2F")
			}
			name = strings.Join(segments, "/")
		}
	} else {
		name = filepath.ToSlash(name)
	}
	return name[:max(0, strings.LastIndexByte(name, '/'))]
}

// decoded is s without percent-encoding; a text that has a mere percent sign is itself.
func decoded(s string) string {
	if text, err := url.PathUnescape(s); err == nil {
		return text
	}
	return s
}
