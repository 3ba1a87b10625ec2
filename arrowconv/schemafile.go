package arrowconv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/icewright/icewright/nearest"
)

const schemaHint = `write "columns:" and under it lines of "name: type", with "!" after the type where it is required`

// ParseSchema reads a schema file. It is Iceberg's JSON for schemas (ids and all; the object may lack
// "type" and "schema-id"), or YAML:
//
//	columns:
//	  id: long!
//	  tags: list<string>
//	  place: struct<lat: double!, lon: double!>   # YAML proper would want quotes around it
//	  pieces:
//	    type: int
//	    default: 1
//	    doc: how many there are in a box
//
// where order counts, "!" means required, and ids are given from 1, a nested field's after that of the
// field it is in, as iceberg-go gives them. name is for errors, which show the line and wrap ErrInput.
func ParseSchema(name string, text []byte) (*iceberg.Schema, error) {
	text = bytes.TrimPrefix(text, utf8BOM)
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' {
		return parseSchemaJSON(name, text)
	}
	return parseSchemaYAML(name, text)
}

func parseSchemaJSON(name string, text []byte) (*iceberg.Schema, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, jsonSchemaError(name, text, err)
	}
	if _, ok := members["fields"]; !ok {
		return nil, inputErrorf(`give {"type": "struct", "fields": [{"id": 1, "name": "a", "required": false, "type": "int"}]}`,
			`%s: the object has no "fields"`, name)
	}
	if _, ok := members["type"]; !ok {
		members["type"] = json.RawMessage(`"struct"`)
	}
	whole, err := json.Marshal(members)
	if err != nil {
		return nil, jsonSchemaError(name, text, err)
	}
	schema := new(iceberg.Schema)
	if err := json.Unmarshal(whole, schema); err != nil {
		return nil, inputErrorf("", "%s: %w", name, fieldError(members["fields"], err))
	}
	err = checkNames(schema)
	if err == nil {
		err = checkDefaults(schema.Fields())
	}
	if err != nil {
		return nil, inputErrorf("", "%s: %w", name, err)
	}
	return schema, nil
}

// jsonSchemaError adds the line where encoding/json says the offset.
func jsonSchemaError(name string, text []byte, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) && syntax.Offset <= int64(len(text)) {
		at := max(int(syntax.Offset)-1, 0)
		line := 1 + bytes.Count(text[:at], []byte("\n"))
		begin := bytes.LastIndexByte(text[:at], '\n') + 1
		whole, _, _ := bytes.Cut(text[begin:], []byte("\n"))
		return inputErrorf("", "%s: line %d: %w:\n%s\n%s^", name, line, err, whole, strings.Repeat(" ", at-begin))
	}
	return inputErrorf("", "%s: %w", name, err)
}

// fieldError says which field of a schema err is about, where it is about one alone.
func fieldError(fields json.RawMessage, err error) error {
	var each []json.RawMessage
	if json.Unmarshal(fields, &each) != nil {
		return errors.New(`"fields" is not a list`)
	}
	for i, raw := range each {
		var field iceberg.NestedField
		if e := json.Unmarshal(raw, &field); e != nil {
			var named struct {
				Name string          `json:"name"`
				Type json.RawMessage `json:"type"`
			}
			_ = json.Unmarshal(raw, &named) // for the message only
			return fmt.Errorf("field %d, %q, of type %s: %w", i+1, named.Name, named.Type, e)
		}
	}
	return err
}

// checkNames refuses two fields of one name in a struct, which Iceberg cannot tell apart.
func checkNames(schema *iceberg.Schema) error {
	_, err := iceberg.IndexByName(schema)
	return err
}

func parseSchemaYAML(name string, text []byte) (*iceberg.Schema, error) {
	// What the parser is shown has stand-ins for the colons of types; what people are shown has not.
	show := func(err error) string {
		return strings.ReplaceAll(strings.TrimRight(yaml.FormatError(err, false, true), "\n"), standIn, ":")
	}
	fault := func(tok *token.Token, hint, format string, args ...any) error {
		msg := fmt.Sprintf(format, args...)
		if tok != nil {
			msg = show(&yaml.SyntaxError{Message: msg, Token: tok})
		}
		return inputErrorf(hint, "%s: %s", name, msg)
	}
	file, err := parser.ParseBytes(hideColons(text), 0)
	if err != nil {
		return nil, inputErrorf(schemaHint, "%s: %s", name, show(err))
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, fault(nil, schemaHint, "it is not a schema")
	}
	var columns []*ast.MappingValueNode
	found := false
	for _, m := range mapping(file.Docs[0].Body) {
		if key := m.Key.GetToken(); key.Value != "columns" {
			return nil, fault(key, schemaHint, "there is no %q in a schema file", key.Value)
		}
		columns, found = mapping(m.Value), true
	}
	if !found || len(columns) == 0 {
		return nil, fault(file.Docs[0].Body.GetToken(), schemaHint, "it has no columns")
	}
	fields := make([]iceberg.NestedField, 0, len(columns))
	seen := make(map[string]bool)
	for _, m := range columns {
		key := m.Key.GetToken()
		if seen[key.Value] {
			return nil, fault(key, "", "column %q comes twice", key.Value)
		}
		seen[key.Value] = true
		field, err := parseColumn(m)
		if err != nil {
			var at *atToken
			var e *inputError
			if errors.As(err, &e); errors.As(err, &at) {
				return nil, fault(at.token, e.hint, "column %q: %v", key.Value, err)
			}
			return nil, fault(key, e.hint, "column %q: %v", key.Value, err)
		}
		fields = append(fields, field)
	}
	schema, err := freshIDs(fields)
	if err != nil {
		return nil, inputErrorf("", "%s: %w", name, err)
	}
	return schema, nil
}

// atToken is an error about one place in a schema file.
type atToken struct {
	error
	token *token.Token
}

func (e *atToken) Unwrap() error { return e.error }

// columnKeys are what a column that is a mapping says of itself.
const columnKeys = "a column has type, default and doc"

// parseColumn reads a column: its type, or a mapping of its type, default and doc. Errors hold an
// *inputError, and an *atToken where they are about less than all of the column.
func parseColumn(m *ast.MappingValueNode) (f iceberg.NestedField, err error) {
	f.Name = m.Key.GetToken().Value
	says := map[string]ast.ScalarNode{}
	if entries := mapping(m.Value); entries != nil {
		for _, entry := range entries {
			key := entry.Key.GetToken()
			value, ok := entry.Value.(ast.ScalarNode)
			switch {
			case key.Value != "type" && key.Value != "default" && key.Value != "doc":
				hint := columnKeys
				if near := nearest.Name(key.Value, []string{"type", "default", "doc"}); near != "" {
					hint = "did you mean " + near + "?"
				}
				return f, &atToken{inputErrorf(hint, "there is no %q", key.Value), key}
			case says[key.Value] != nil:
				return f, &atToken{inputErrorf("", "%q comes twice", key.Value), key}
			case !ok:
				return f, &atToken{inputErrorf(columnKeys, "%q needs a value", key.Value), key}
			case key.Value == "default" && value.Type() == ast.NullType:
				continue
			}
			says[key.Value] = value
		}
	} else if value, ok := m.Value.(ast.ScalarNode); ok && value.Type() != ast.NullType {
		says["type"] = value
	}
	if says["type"] == nil {
		return f, inputErrorf(schemaHint, "it needs a type")
	}
	if f.Type, f.Required, err = parseColumnType(scalarText(says["type"])); err != nil {
		return f, &atToken{err, says["type"].GetToken()}
	}
	if says["doc"] != nil {
		f.Doc = scalarText(says["doc"])
	}
	if says["default"] != nil {
		// In a table that begins with the column, no row is older than it: both defaults are the same.
		if f.WriteDefault, err = ParseDefault(f.Type, scalarText(says["default"])); err != nil {
			return f, &atToken{err, says["default"].GetToken()}
		}
		f.InitialDefault = f.WriteDefault
	}
	return f, nil
}

// scalarText is what a scalar says, as it is written: 007 is no seven.
func scalarText(n ast.ScalarNode) string {
	text := n.GetToken().Value
	if block, ok := n.(*ast.LiteralNode); ok {
		text = block.Value.Value
	}
	return strings.ReplaceAll(text, standIn, ":")
}

// standIn takes the place of a colon: as wide, and nothing to YAML.
const standIn = "\u2236"

// plainStruct is a line whose value is a type that holds a struct, without quotes around it.
var plainStruct = regexp.MustCompile(`(?m)^[ \t]*(?:"[^"\n]*"|'[^'\n]*'|[^\s"'#<:][^"'#<:\n]*):[ \t]+([a-zA-Z][^:"'#\n]*<[^#\n]*)`)

// hideColons lets types be written as Iceberg spells them: YAML would take the colon of struct<a: int>
// for another mapping.
func hideColons(text []byte) []byte {
	var out []byte
	done := 0
	for _, at := range plainStruct.FindAllSubmatchIndex(text, -1) {
		from, to := at[2], at[3] // the value
		out = append(out, text[done:from]...)
		out = append(out, bytes.ReplaceAll(text[from:to], []byte(":"), []byte(standIn))...)
		done = to
	}
	return append(out, text[done:]...)
}

// mapping returns the entries of a YAML mapping, nil for anything else.
func mapping(n ast.Node) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

// freshIDs makes a schema of fields, with ids from 1 in the order in which Iceberg gives them.
func freshIDs(fields []iceberg.NestedField) (*iceberg.Schema, error) {
	return iceberg.AssignFreshSchemaIDs(iceberg.NewSchema(0, fields...), nil)
}

// SchemaYAML returns schema as ParseSchema reads it, without ids: what a person would write. Docs and
// write-defaults of columns are kept; those of nested fields, which the YAML form lacks, are not.
func SchemaYAML(schema *iceberg.Schema) string {
	var b strings.Builder
	b.WriteString("columns:\n")
	for _, f := range schema.Fields() {
		t := FormatType(f.Type)
		if f.Required {
			t += "!"
		}
		if f.Doc == "" && f.WriteDefault == nil {
			fmt.Fprintf(&b, "  %s: %s\n", yamlScalar(f.Name), yamlScalar(t))
			continue
		}
		fmt.Fprintf(&b, "  %s:\n    type: %s\n", yamlScalar(f.Name), yamlScalar(t))
		if text, err := FormatDefault(f.Type, f.WriteDefault); err == nil {
			fmt.Fprintf(&b, "    default: %s\n", yamlScalar(text))
		}
		if f.Doc != "" {
			fmt.Fprintf(&b, "    doc: %s\n", yamlScalar(f.Doc))
		}
	}
	return b.String()
}

// plainScalar is a text that YAML takes for itself, without quotes.
var plainScalar = regexp.MustCompile(`^[A-Za-z_][\w.$@<>,()\[\]!-]*( [\w.$@<>,()\[\]!-]+)*$`)

// yamlScalar spells a text in YAML, quoted only where it must be.
func yamlScalar(s string) string {
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
	default:
		if plainScalar.MatchString(s) {
			return s
		}
	}
	var b bytes.Buffer // JSON's strings are YAML's
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return strings.TrimRight(b.String(), "\n")
}
