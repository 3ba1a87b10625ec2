package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/printer"
	"github.com/goccy/go-yaml/token"

	"github.com/icewright/icewright/nearest"
)

// setting is the value of a property, and where it was said: "--warehouse", the name
// of a variable, "/home/ann/.pyiceberg.yaml:7".
type setting struct{ value, origin string }

// settings are those of one catalog, by the property's name.
type settings map[string]setting

// configFile is what a configuration file says.
type configFile struct {
	path           string
	defaultCatalog setting
	catalogs       map[string]settings
	// anyCase is set where names are stored in lower case and looked up in any.
	anyCase bool
}

func (f *configFile) find(name string) (settings, bool) {
	if f.anyCase {
		name = strings.ToLower(name)
	}
	s, ok := f.catalogs[name]
	return s, ok
}

// fileKind is a kind of configuration file. Both kinds have the form
//
//	default-catalog: NAME
//	catalog:
//	  NAME:
//	    uri: https://…
//	    s3.endpoint: https://…
//
// and differ in their other keys and in what case means.
type fileKind struct {
	file string // its name
	home string // the variable with the directory to look in first
	keys []string
	// anyCase reads all keys as if they were written in lower case, as PyIceberg does.
	anyCase bool
}

var fileKinds = []fileKind{
	{".iceberg-go.yaml", "GOICEBERG_HOME", []string{"catalog", "default-catalog", "max-workers"}, false},
	{".pyiceberg.yaml", "PYICEBERG_HOME", []string{
		"catalog", "default-catalog", "max-workers", "legacy-current-snapshot-id", "downcast-ns-timestamp-to-us-on-write",
	}, true},
}

// read reads the file at path; nil, without an error, where there is none.
//
// It walks the syntax tree, since values are texts as they are written: decoded, a
// key id 0123 would be the number 83, and the line of a value would be lost.
func (k fileKind) read(path string) (*configFile, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &ConfigError{What: "cannot read the configuration", Err: err}
	}
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, &ConfigError{Where: path, What: redactYAML(strings.TrimSpace(yaml.FormatError(err, false, true))), Do: fileForm}
	}
	r := fileReader{path: path, kind: k, anchors: map[string]ast.Node{}, out: &configFile{path: path, catalogs: map[string]settings{}, anyCase: k.anyCase}}
	for _, doc := range tree.Docs {
		ast.Walk(&r, doc.Body)
		if err := r.top(doc.Body); err != nil {
			return nil, err
		}
	}
	return r.out, nil
}

const fileForm = "its form is `catalog:`, then a name, then properties such as `uri: …`"

type fileReader struct {
	path    string
	kind    fileKind
	anchors map[string]ast.Node
	out     *configFile
	looked  int // mappings so far; an alias within its own anchor would never end
}

// Visit notes where anchors are; it makes r an ast.Visitor.
func (r *fileReader) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok {
		r.anchors[a.Name.GetToken().Value] = a.Value
	}
	return r
}

// wrong is an error at a place of the file, with its line and a caret.
func (r *fileReader) wrong(tk *token.Token, hint, format string, args ...any) error {
	var p printer.Printer
	return &ConfigError{
		Where: r.path,
		What:  fmt.Sprintf("[%d:%d] %s\n%s", tk.Position.Line, tk.Position.Column, fmt.Sprintf(format, args...), redactYAML(strings.TrimRight(p.PrintErrorToken(tk, false), "\n"))),
		Do:    cmp.Or(hint, fileForm),
	}
}

func (r *fileReader) at(n ast.Node) string {
	return r.path + ":" + strconv.Itoa(n.GetToken().Position.Line)
}

// entry is one key of a mapping with its value.
type entry struct {
	key   string
	node  ast.Node // of the key, for its place
	value ast.Node
}

// entries returns the entries of a mapping. Those of a merge key (<<) come first, so
// that the mapping's own ones win.
func (r *fileReader) entries(n ast.Node, what string) ([]entry, error) {
	if r.looked++; r.looked > 10000 {
		return nil, r.wrong(n.GetToken(), "", "%s has too many entries", what)
	}
	var values []*ast.MappingValueNode
	switch n := r.resolve(n).(type) {
	case nil, *ast.NullNode:
		return nil, nil
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		return nil, r.wrong(n.GetToken(), "", "%s is no list of names with values", what)
	}
	var merged, own []entry
	seen := map[string]bool{}
	for _, v := range values {
		if v.Key.IsMergeKey() {
			more, err := r.entries(v.Value, "<<")
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		key := v.Key.GetToken().Value
		if r.kind.anyCase {
			key = strings.ToLower(key)
		}
		if seen[key] {
			return nil, r.wrong(v.Key.GetToken(), "leave one of them out", "%s is there twice", key)
		}
		seen[key] = true
		own = append(own, entry{key, v.Key, v.Value})
	}
	return append(merged, own...), nil
}

// resolve takes anchors, aliases and tags off a node.
func (r *fileReader) resolve(n ast.Node) ast.Node {
	switch v := n.(type) {
	case *ast.AnchorNode:
		return r.resolve(v.Value)
	case *ast.AliasNode:
		if to, ok := r.anchors[v.Value.GetToken().Value]; ok {
			return r.resolve(to)
		}
	case *ast.TagNode:
		return r.resolve(v.Value)
	}
	return n
}

func (r *fileReader) top(body ast.Node) error {
	entries, err := r.entries(body, "the file")
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.key {
		case "catalog":
			if err := r.catalogs(e.value); err != nil {
				return err
			}
		case "default-catalog":
			if r.out.defaultCatalog.value, err = r.scalar(e); err != nil {
				return err
			}
			r.out.defaultCatalog.origin = r.at(e.node)
		case "max-workers":
			if v, err := r.scalar(e); err != nil {
				return err
			} else if _, err := strconv.Atoi(v); err != nil && v != "" {
				return r.wrong(e.value.GetToken(), "write a number", "max-workers is no number")
			}
		default:
			// Whatever else is there belongs to somebody else's reader, unless it is a slip.
			if near := nearest.Name(e.key, r.kind.keys); near != "" && !slices.Contains(r.kind.keys, e.key) {
				return r.wrong(e.node.GetToken(), "did you mean "+near+"?", "%s is not known", e.key)
			}
		}
	}
	return nil
}

func (r *fileReader) catalogs(n ast.Node) error {
	entries, err := r.entries(n, "catalog")
	if err != nil {
		return err
	}
	for _, e := range entries {
		s := settings{}
		if err := r.properties(s, "", e); err != nil {
			return err
		}
		r.out.catalogs[e.key] = s
	}
	return nil
}

// properties turns nested keys into dotted ones, so that `rest: {signing-region: x}`
// and `rest.signing-region: x` are the same property.
func (r *fileReader) properties(into settings, prefix string, e entry) error {
	entries, err := r.entries(e.value, e.key)
	if err != nil {
		return err
	}
	for _, e := range entries {
		key := prefix + e.key
		switch r.resolve(e.value).(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			if err := r.properties(into, key+".", e); err != nil {
				return err
			}
			continue
		}
		v, err := r.scalar(entry{key, e.node, e.value})
		if err != nil {
			return err
		}
		into[key] = setting{v, r.at(e.node)}
	}
	return nil
}

// scalar is the value as it is written; "" for none.
func (r *fileReader) scalar(e entry) (string, error) {
	switch v := r.resolve(e.value).(type) {
	case nil, *ast.NullNode:
		return "", nil
	case *ast.LiteralNode: // | and >
		return v.Value.Value, nil
	case *ast.StringNode:
		return v.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return v.GetToken().Value, nil
	default:
		return "", r.wrong(e.value.GetToken(), "write it as text", "property %s has a value of no simple kind", e.key)
	}
}

// names are those of the file's catalogs, sorted.
func (f *configFile) names() []string { return slices.Sorted(maps.Keys(f.catalogs)) }
