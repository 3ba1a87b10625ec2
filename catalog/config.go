package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/goccy/go-yaml"
)

// Config says which catalog to open. The zero value is the built-in default.
//
// A Name is looked up in the configuration files of Dir and then of Home; URI,
// Warehouse and Props are laid over what they say. Without a Name, a URI (or a
// "uri" or "type" in Props) describes the catalog in place. Without either, or
// when the name is "default" and no file has it, it is SQLite in Dir/lake.
type Config struct {
	// Name is the catalog's name. The default is "default".
	Name string
	// URI is where the catalog is: http(s)://… for REST, sqlite:///path (relative
	// to Dir) or sqlite:////path (absolute) for SQLite.
	URI string
	// Warehouse is the location of new tables for SQLite, and whatever the server
	// calls a warehouse for REST.
	Warehouse string
	// Props are further properties, in PyIceberg's and iceberg-go's spelling
	// (token, credential, s3.endpoint, header.X-Y). They win over the files.
	Props iceberg.Properties
	// Existing refuses to make an SQLite catalog that is not there yet: whoever only
	// reads leaves nothing behind. The default makes it.
	Existing bool
	// Dir is the working directory, absolute or not. The default is the process's.
	Dir string
	// Home is the directory of the user's own configuration. The default is $HOME.
	Home string
	// Getenv reads the environment. The default is os.Getenv.
	Getenv func(string) string
}

// DefaultName is the name of the catalog that is opened when none is given. It is
// written to SQLite, and it is what PyIceberg calls its own default.
const DefaultName = "default"

// ConfigError tells what is wrong in a configuration, where, and what to do. It is
// an ErrConfig.
type ConfigError struct {
	Where string // a file, "the command line", "the built-in default"; may be empty
	What  string
	Do    string
	Err   error // the cause, or nil
}

func (e *ConfigError) Error() string {
	msg := e.What
	if e.Where != "" {
		msg = e.Where + ": " + msg
	}
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

// Hint says what to do.
func (e *ConfigError) Hint() string { return e.Do }

func (e *ConfigError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrConfig}
	}
	return []error{ErrConfig, e.Err}
}

// configReader reads one kind of configuration file. A file that is not there
// gives nil and no error.
type configReader struct {
	file string // its name, in the working directory or at home
	read func(path string) (map[string]iceberg.Properties, error)
}

// configReaders are tried in order, in each directory.
var configReaders = []configReader{
	{".iceberg-go.yaml", readIcebergGo},
}

type resolved struct {
	name   string
	origin string
	props  iceberg.Properties
}

func (c Config) dir() (string, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return "", &ConfigError{What: "cannot tell the working directory", Err: err}
	}
	return dir, nil
}

func (c Config) getenv(k string) string {
	if c.Getenv != nil {
		return c.Getenv(k)
	}
	return os.Getenv(k)
}

// resolve merges the files' and the caller's properties.
func (c Config) resolve() (resolved, error) {
	given := iceberg.Properties{}
	maps.Copy(given, c.Props)
	if c.URI != "" {
		given["uri"] = c.URI
	}
	if c.Warehouse != "" {
		given["warehouse"] = c.Warehouse
	}

	r := resolved{name: c.Name, origin: "the command line", props: given}
	if r.name == "" {
		r.name = DefaultName
	}
	// A catalog that is described in place and has no name is nobody's business.
	if c.Name == "" && (given["uri"] != "" || given["type"] != "") {
		return r, nil
	}
	if c.Name == "" {
		return c.builtIn(r), nil
	}

	dir, err := c.dir()
	if err != nil {
		return r, err
	}
	home := c.Home
	if home == "" {
		home = c.getenv("HOME")
	}
	var known, seen []string
	for _, d := range []string{dir, home} {
		if d == "" {
			continue
		}
		for _, rd := range configReaders {
			path := filepath.Join(d, rd.file)
			if slices.Contains(seen, path) {
				continue
			}
			seen = append(seen, path)
			catalogs, err := rd.read(path)
			if err != nil {
				return r, err
			}
			if p, ok := catalogs[c.Name]; ok {
				props := maps.Clone(p)
				maps.Copy(props, given)
				return resolved{name: c.Name, origin: path, props: props}, nil
			}
			known = append(known, slices.Sorted(maps.Keys(catalogs))...)
		}
	}
	switch {
	case given["uri"] != "" || given["type"] != "":
		return r, nil
	case c.Name == DefaultName:
		return c.builtIn(r), nil
	}
	e := &ConfigError{
		What: fmt.Sprintf("no catalog %q in %s", c.Name, strings.Join(seen, " or ")),
		Do:   "add it there, or say --catalog-uri",
	}
	if len(known) > 0 {
		slices.Sort(known)
		e.Do = "known are " + strings.Join(slices.Compact(known), ", ") + "; or say --catalog-uri"
	}
	return r, e
}

func (c Config) builtIn(r resolved) resolved {
	r.origin = "the built-in default"
	r.props["type"] = "sql"
	return r
}

// readIcebergGo reads the file that iceberg-go's own command line uses. Its
// library reads it too, but keeps four properties of each catalog and takes a
// malformed file for an empty one.
func readIcebergGo(path string) (map[string]iceberg.Properties, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &ConfigError{What: "cannot read the configuration", Err: err}
	}
	var file struct {
		DefaultCatalog string                    `yaml:"default-catalog"`
		Catalog        map[string]map[string]any `yaml:"catalog"`
		MaxWorkers     int                       `yaml:"max-workers"`
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		return nil, &ConfigError{
			Where: path,
			What:  strings.TrimSpace(yaml.FormatError(err, false, true)),
			Do:    "its form is `catalog:`, then a name, then properties such as `uri: …`",
		}
	}
	out := make(map[string]iceberg.Properties, len(file.Catalog))
	for name, entry := range file.Catalog {
		props := iceberg.Properties{}
		if err := flatten(props, "", entry); err != nil {
			return nil, &ConfigError{Where: path, What: fmt.Sprintf("catalog %q: %v", name, err), Do: "write it as text"}
		}
		out[name] = props
	}
	return out, nil
}

// flatten turns nested keys into dotted ones, so that `rest: {signing-region: x}`
// and `rest.signing-region: x` are the same property.
func flatten(into iceberg.Properties, prefix string, m map[string]any) error {
	for k, v := range m {
		switch v := v.(type) {
		case nil:
		case map[string]any:
			if err := flatten(into, prefix+k+".", v); err != nil {
				return err
			}
		case string, bool, int, int64, uint64, float64:
			into[prefix+k] = fmt.Sprint(v)
		default:
			return fmt.Errorf("property %s has a value of no simple kind", prefix+k)
		}
	}
	return nil
}
