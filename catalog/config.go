package catalog

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/nearest"
)

// Config says which catalog to open. The zero value is the catalog that the user's
// configuration calls the default one, or else SQLite in ./lake.
//
// A Name is looked up in the configuration files; the first file that has it says all
// of it, and a second one with the same name adds nothing, since a token of one server
// is none of another's. Over that go PyIceberg's variables for the catalog, property by
// property, and over those URI, Warehouse and Props. The files are, in this order,
//
//	$GOICEBERG_HOME/.iceberg-go.yaml, $PYICEBERG_HOME/.pyiceberg.yaml
//	.iceberg-go.yaml, .pyiceberg.yaml in Dir, and then in Home
//
// Without a Name it is PYICEBERG_DEFAULT_CATALOG's, or the first file's default-catalog,
// or "default". A URI (or a "uri" or "type" in Props) without a Name describes the
// catalog in place, and nothing is looked up.
type Config struct {
	// Name is the catalog's name. The default is the configuration's choice.
	Name string
	// URI is where the catalog is: http(s)://… for REST, sqlite:///path (relative
	// to Dir) or sqlite:////path (absolute) for SQLite, postgresql://… and mysql://….
	URI string
	// Warehouse is the location of new tables for SQLite, and whatever the server
	// calls a warehouse for REST.
	Warehouse string
	// Props are further properties, in PyIceberg's and iceberg-go's spelling
	// (token, credential, s3.endpoint, header.X-Y). They win over the files.
	Props iceberg.Properties
	// NoVendedCredentials has a REST catalog asked for no keys, and takes none: the
	// client's own keys open the tables' storage. The default takes what is vended.
	NoVendedCredentials bool
	// Existing refuses to make an SQLite catalog that is not there yet: whoever only
	// reads leaves nothing behind. The default makes it.
	Existing bool
	// Dir is the working directory, absolute or not. The default is the process's.
	Dir string
	// Home is the directory of the user's own configuration. The default is $HOME.
	Home string
	// Environ is the environment as KEY=value. The default is os.Environ().
	Environ []string
	// Origins says, for Explain, where the fields above come from: "catalog" for Name, and
	// the names of properties for the others. The default is the flag's name.
	Origins map[string]string
	// Warn hears what is odd about the configuration though it can be used. May be nil.
	Warn func(string)
}

// DefaultName is the name of the catalog that is opened when neither the caller nor the
// configuration names one. It is written to SQLite, and it is what PyIceberg calls its
// own default.
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

type resolved struct {
	name   setting
	origin string // of the catalog as a whole, for people
	props  iceberg.Properties
	from   map[string]string // where each of props was said
}

func (c Config) dir() (string, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return "", &ConfigError{What: "cannot tell the working directory", Err: err}
	}
	return dir, nil
}

func (c Config) environ() []string {
	if c.Environ != nil {
		return c.Environ
	}
	return os.Environ()
}

func (c Config) getenv(k string) string {
	if c.Environ == nil {
		return os.Getenv(k)
	}
	for _, kv := range slices.Backward(c.Environ) {
		if v, ok := strings.CutPrefix(kv, k+"="); ok {
			return v
		}
	}
	return ""
}

const (
	commandLine = "the command line"
	builtIn     = "the built-in default"
)

// given are the properties that the caller sets, and so the strongest.
func (c Config) given() settings {
	s := settings{}
	set := func(key, value, flag string) { s[key] = setting{value, cmp.Or(c.Origins[key], flag)} }
	for k, v := range c.Props {
		set(k, v, "--catalog-prop")
	}
	if c.URI != "" {
		set("uri", c.URI, "--catalog-uri")
	}
	if c.Warehouse != "" {
		set("warehouse", c.Warehouse, "--warehouse")
	}
	return s
}

// files reads the configuration files that there are, the strongest first, and returns
// the paths of all that there could be.
func (c Config) files() (files []*configFile, looked []string, err error) {
	dir, err := c.dir()
	if err != nil {
		return nil, nil, err
	}
	read := func(dir string, k fileKind) error {
		path := filepath.Join(dir, k.file)
		if dir == "" || slices.Contains(looked, path) {
			return nil
		}
		looked = append(looked, path)
		f, err := k.read(path)
		if f != nil {
			files = append(files, f)
		}
		return err
	}
	for _, k := range fileKinds {
		if err := read(c.getenv(k.home), k); err != nil {
			return nil, nil, err
		}
	}
	for _, d := range []string{dir, cmp.Or(c.Home, c.getenv("HOME"))} {
		for _, k := range fileKinds {
			if err := read(d, k); err != nil {
				return nil, nil, err
			}
		}
	}
	return files, looked, nil
}

// resolve tells which catalog is meant, and merges what files, variables and caller say
// about it.
func (c Config) resolve() (resolved, error) {
	given := c.given()
	inPlace := given["uri"].value != "" || given["type"].value != ""
	if c.Name == "" && inPlace { // nobody's business
		return merge(setting{DefaultName, builtIn}, commandLine, given), nil
	}
	files, looked, err := c.files()
	if err != nil {
		return resolved{}, err
	}
	env := readEnvironment(c.environ())

	name := setting{c.Name, cmp.Or(c.Origins["catalog"], "--catalog")}
	if name.value == "" {
		name = env.defaultCatalog
	}
	for _, f := range files {
		if name.value == "" {
			name = f.defaultCatalog
		}
	}
	if name.value == "" {
		name = setting{DefaultName, builtIn}
	}

	said, varied := settings(nil), settings(nil)
	origin := ""
	for _, f := range files {
		if s, ok := f.find(name.value); ok {
			said, origin = s, f.path
			break
		}
	}
	if s, ok := env.find(name.value); ok {
		varied, origin = s, cmp.Or(origin, "the environment")
	}
	switch {
	case origin != "":
		return merge(name, origin, said, varied, given), nil
	case inPlace:
		return merge(name, commandLine, given), nil
	case name.value == DefaultName:
		return merge(name, builtIn, given, settings{"type": {"sql", builtIn}}), nil
	}
	e := &ConfigError{
		What: fmt.Sprintf("no catalog %q in %s", name.value, strings.Join(looked, " or ")),
		Do:   "add it there, or say --catalog-uri",
	}
	if c.Name == "" {
		e.Where = name.origin
	}
	var known []string
	for _, f := range files {
		known = append(known, f.names()...)
	}
	known = append(known, slices.Collect(maps.Keys(env.catalogs))...)
	if slices.Sort(known); len(known) > 0 {
		known = slices.Compact(known)
		e.Do = "known are " + strings.Join(known, ", ") + "; or say --catalog-uri"
		if near := nearest.Name(name.value, known); near != "" {
			e.Do = "did you mean " + near + "? Known are " + strings.Join(known, ", ")
		}
	}
	return resolved{}, e
}

// merge lays settings over one another, the strongest last. An empty one takes away
// what is below it.
func merge(name setting, origin string, layers ...settings) resolved {
	r := resolved{name: name, origin: origin, props: iceberg.Properties{}, from: map[string]string{}}
	for _, l := range layers {
		for k, s := range l {
			if s.value == "" {
				delete(r.props, k)
				delete(r.from, k)
				continue
			}
			r.props[k], r.from[k] = s.value, s.origin
		}
	}
	return r
}
