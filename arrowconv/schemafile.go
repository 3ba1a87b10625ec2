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
)

const schemaHint = `write "columns:" and under it lines of "name: type", with "!" after the type where it is required`

// ParseSchema reads a schema file. It is Iceberg's JSON for schemas (ids and all; the object may lack
// "type" and "schema-id"), or YAML:
//
//	columns:
//	  id: long!
//	  tags: list<string>
//	  place: struct<lat: double!, lon: double!>   # YAML proper would want quotes around it
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
	if err := checkNames(schema); err != nil {
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
		value, ok := m.Value.(ast.ScalarNode)
		if !ok || value.Type() == ast.NullType {
			return nil, fault(key, schemaHint, "column %q needs a type", key.Value)
		}
		t, required, err := parseColumnType(strings.ReplaceAll(value.GetToken().Value, standIn, ":"))
		if err != nil {
			var e *inputError
			errors.As(err, &e)
			return nil, fault(value.GetToken(), e.hint, "column %q: %v", key.Value, err)
		}
		fields = append(fields, iceberg.NestedField{Name: key.Value, Type: t, Required: required})
	}
	schema, err := freshIDs(fields)
	if err != nil {
		return nil, inputErrorf("", "%s: %w", name, err)
	}
	return schema, nil
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

// SchemaYAML returns schema as ParseSchema reads it, without ids and docs: what a person would write.
func SchemaYAML(schema *iceberg.Schema) string {
	var b strings.Builder
	b.WriteString("columns:\n")
	for _, f := range schema.Fields() {
		t := FormatType(f.Type)
		if f.Required {
			t += "!"
		}
		fmt.Fprintf(&b, "  %s: %s\n", yamlScalar(f.Name), yamlScalar(t))
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
