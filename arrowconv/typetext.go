package arrowconv

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/nearest"
)

// FormatType returns t in Iceberg's spelling, nested types with the names of their fields and "!"
// after what is required: struct<a: int!, b: list<string>>. ParseType reads it back, ids apart.
func FormatType(t iceberg.Type) string {
	var b strings.Builder
	writeType(&b, t)
	return b.String()
}

func writeType(b *strings.Builder, t iceberg.Type) {
	part := func(t iceberg.Type, required bool) {
		writeType(b, t)
		if required {
			b.WriteByte('!')
		}
	}
	switch t := t.(type) {
	case nil:
		b.WriteString("unknown")
	case *iceberg.StructType:
		b.WriteString("struct<")
		for i, f := range t.FieldList {
			if i > 0 {
				b.WriteString(", ")
			}
			if plainName(f.Name) {
				b.WriteString(f.Name)
			} else {
				b.WriteString(strconv.Quote(f.Name))
			}
			b.WriteString(": ")
			part(f.Type, f.Required)
		}
		b.WriteByte('>')
	case *iceberg.ListType:
		b.WriteString("list<")
		part(t.Element, t.ElementRequired)
		b.WriteByte('>')
	case *iceberg.MapType:
		b.WriteString("map<")
		writeType(b, t.KeyType)
		b.WriteString(", ")
		part(t.ValueType, t.ValueRequired)
		b.WriteByte('>')
	default:
		b.WriteString(t.String())
	}
}

// plainName says whether a field's name needs no quotes within struct<…>.
func plainName(s string) bool {
	for i, c := range s {
		switch {
		case c == '_' || unicode.IsLetter(c):
		case i > 0 && (c >= '0' && c <= '9' || c == '-' || c == '.' || c == '$' || c == '@'):
		default:
			return false
		}
	}
	return s != ""
}

// ParseType reads a type in Iceberg's spelling, as FormatType writes it; spaces and the case of type
// names do not matter. The ids of nested fields are 0. Errors wrap ErrInput.
func ParseType(text string) (iceberg.Type, error) {
	t, required, err := parseColumnType(text)
	if err == nil && required {
		err = inputErrorf("", "type %q: a \"!\" belongs to a column or field", text)
	}
	return t, err
}

// parseColumnType reads a type and the "!" that may follow it.
func parseColumnType(text string) (iceberg.Type, bool, error) {
	p := typeReader{text: text}
	t, err := p.readType(0)
	if err != nil {
		return nil, false, err
	}
	required := p.take('!')
	if p.skip(); p.at < len(p.text) {
		return nil, false, p.fault("%q is left over", p.text[p.at:])
	}
	return t, required, nil
}

// maxTypeDepth keeps a hostile schema from exhausting the stack.
const maxTypeDepth = 100

// typeReader reads a type's text by recursive descent.
type typeReader struct {
	text string
	at   int
}

func (p *typeReader) fault(format string, args ...any) error {
	return inputErrorf("the types are boolean, int, long, float, double, decimal(p, s), date, time, timestamp, "+
		"timestamptz, string, uuid, fixed[n], binary, struct<a: int>, list<int>, map<string, int>",
		"type %q: %s", p.text, fmt.Sprintf(format, args...))
}

func (p *typeReader) skip() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// take skips c, and spaces before it, if it comes next.
func (p *typeReader) take(c byte) bool {
	p.skip()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *typeReader) want(c byte) error {
	if p.take(c) {
		return nil
	}
	if p.at == len(p.text) {
		return p.fault("%q is missing at the end", string(c))
	}
	return p.fault("%q should come before %q", string(c), p.text[p.at:])
}

// word reads letters, digits and underscores.
func (p *typeReader) word() string {
	p.skip()
	from := p.at
	for p.at < len(p.text) {
		if c := p.text[p.at]; c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			break
		}
		p.at++
	}
	return p.text[from:p.at]
}

func (p *typeReader) number() (int, error) {
	p.skip()
	rest := p.text[p.at:]
	n := digits([]byte(rest))
	v, err := strconv.Atoi(rest[:n])
	if err != nil {
		return 0, p.fault("a number should come before %q", rest)
	}
	p.at += n
	return v, nil
}

// name reads the name of a struct's field: quoted, or up to the colon.
func (p *typeReader) name() (string, error) {
	p.skip()
	rest := p.text[p.at:]
	if strings.HasPrefix(rest, `"`) {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return "", p.fault("a quote is not closed")
		}
		p.at += len(quoted)
		name, _ := strconv.Unquote(quoted)
		return name, nil
	}
	end := strings.IndexAny(rest, ":<>,!\"")
	if end <= 0 || rest[end] != ':' || strings.TrimSpace(rest[:end]) == "" {
		return "", p.fault("a field is a name, a colon and a type")
	}
	p.at += end
	return strings.TrimSpace(rest[:end]), nil
}

var plainTypes = map[string]iceberg.Type{
	"boolean":        iceberg.PrimitiveTypes.Bool,
	"int":            iceberg.PrimitiveTypes.Int32,
	"long":           iceberg.PrimitiveTypes.Int64,
	"float":          iceberg.PrimitiveTypes.Float32,
	"double":         iceberg.PrimitiveTypes.Float64,
	"date":           iceberg.PrimitiveTypes.Date,
	"time":           iceberg.PrimitiveTypes.Time,
	"timestamp":      iceberg.PrimitiveTypes.Timestamp,
	"timestamptz":    iceberg.PrimitiveTypes.TimestampTz,
	"timestamp_ns":   iceberg.TimestampNsType{},
	"timestamptz_ns": iceberg.TimestampTzNsType{},
	"string":         iceberg.PrimitiveTypes.String,
	"uuid":           iceberg.PrimitiveTypes.UUID,
	"binary":         iceberg.PrimitiveTypes.Binary,
	"unknown":        iceberg.UnknownType{},
	"variant":        iceberg.VariantType{},
}

// otherSpellings are the names that other systems give to Iceberg's types.
var otherSpellings = map[string]string{
	"bool": "boolean", "integer": "int", "int32": "int", "smallint": "int", "bigint": "long", "int64": "long",
	"real": "float", "float32": "float", "float64": "double", "numeric": "decimal(p, s)",
	"datetime": "timestamp", "timestamp_tz": "timestamptz", "timestamp_ntz": "timestamp", "text": "string",
	"varchar": "string", "char": "string", "bytes": "binary", "blob": "binary", "array": "list<…>",
}

func (p *typeReader) readType(depth int) (iceberg.Type, error) {
	if depth > maxTypeDepth {
		return nil, p.fault("it is nested more than %d levels deep", maxTypeDepth)
	}
	word := p.word()
	name := strings.ToLower(word)
	if t, ok := plainTypes[name]; ok {
		return t, nil
	}
	switch name {
	case "decimal":
		return p.readDecimal()
	case "fixed":
		return p.readFixed()
	case "struct":
		return p.readStruct(depth)
	case "list":
		if err := p.want('<'); err != nil {
			return nil, err
		}
		element, required, err := p.part(depth)
		if err != nil {
			return nil, err
		}
		return &iceberg.ListType{Element: element, ElementRequired: required}, p.want('>')
	case "map":
		return p.readMap(depth)
	case "":
		if p.at == len(p.text) {
			return nil, p.fault("a type is missing at the end")
		}
		return nil, p.fault("a type should come before %q", p.text[p.at:])
	}
	if ours, ok := otherSpellings[name]; ok {
		return nil, p.fault("Iceberg calls %q %q", word, ours)
	}
	names := make([]string, 0, len(plainTypes))
	for n := range plainTypes {
		names = append(names, n)
	}
	if near := nearest.Name(name, names); near != "" {
		return nil, p.fault("there is no type %q; did you mean %q?", word, near)
	}
	return nil, p.fault("there is no type %q", word)
}

func (p *typeReader) readDecimal() (iceberg.Type, error) {
	if err := p.want('('); err != nil {
		return nil, err
	}
	precision, err := p.number()
	if err != nil {
		return nil, err
	}
	if err := p.want(','); err != nil {
		return nil, err
	}
	scale, err := p.number()
	if err != nil {
		return nil, err
	}
	if precision < 1 || precision > 38 || scale > precision {
		return nil, p.fault("the precision goes from 1 to 38, the scale from 0 to the precision")
	}
	return iceberg.DecimalTypeOf(precision, scale), p.want(')')
}

func (p *typeReader) readFixed() (iceberg.Type, error) {
	if err := p.want('['); err != nil {
		return nil, err
	}
	n, err := p.number()
	if err != nil {
		return nil, err
	}
	if n < 1 || n > 1<<20 {
		return nil, p.fault("the length goes from 1 to %d bytes", 1<<20)
	}
	return iceberg.FixedTypeOf(n), p.want(']')
}

func (p *typeReader) readStruct(depth int) (iceberg.Type, error) {
	if err := p.want('<'); err != nil {
		return nil, err
	}
	t := &iceberg.StructType{}
	seen := make(map[string]bool)
	for {
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, p.fault("field %q comes twice", name)
		}
		seen[name] = true
		if err := p.want(':'); err != nil {
			return nil, err
		}
		of, required, err := p.part(depth)
		if err != nil {
			return nil, err
		}
		t.FieldList = append(t.FieldList, iceberg.NestedField{Name: name, Type: of, Required: required})
		if p.take('>') {
			return t, nil
		}
		if err := p.want(','); err != nil {
			return nil, err
		}
	}
}

func (p *typeReader) readMap(depth int) (iceberg.Type, error) {
	if err := p.want('<'); err != nil {
		return nil, err
	}
	key, _, err := p.part(depth) // a map's key is required in any case
	if err != nil {
		return nil, err
	}
	if err := p.want(','); err != nil {
		return nil, err
	}
	value, required, err := p.part(depth)
	if err != nil {
		return nil, err
	}
	return &iceberg.MapType{KeyType: key, ValueType: value, ValueRequired: required}, p.want('>')
}

// part reads the type of a field, element, key or value, and the "!" that may follow it.
func (p *typeReader) part(depth int) (iceberg.Type, bool, error) {
	t, err := p.readType(depth + 1)
	if err != nil {
		return nil, false, err
	}
	return t, p.take('!'), nil
}
