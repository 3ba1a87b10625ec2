package arrowconv

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/apache/iceberg-go"
)

// jsonShape is what the values of one key show about its type. Shapes of pieces of an input are
// merged in input order, which is the order that columns take.
type jsonShape struct {
	evidence
	rows   [shapeKinds]int64 // by kind of value: the first row with one, from 1; 0 for none
	fields []*jsonShape      // of objects
	byName map[string]*jsonShape
	name   string
	elem   *jsonShape // of arrays
}

type shapeKind uint8

const (
	shapeString shapeKind = iota
	shapeNumber
	shapeBoolean
	shapeObject
	shapeArray
	shapeKinds
)

var shapeNames = [shapeKinds]string{"a string", "a number", "a boolean", "an object", "an array"}

func inferNDJSON(ctx context.Context, in Input, o InferOptions) (*iceberg.Schema, error) {
	return inferRows(ctx, in, newLineReader(in, o.Options), o)
}

// inferRows looks at all rows, or the first o.Rows.
func inferRows(ctx context.Context, in Input, chunks jsonChunks, o InferOptions) (*iceberg.Schema, error) {
	workers := o.Workers
	if o.Rows > 0 { // a piece must know how many rows came before it
		workers = 1
	}
	left := int64(o.Rows)
	worker := func() func(jsonChunk) shapePiece {
		s := &shaper{name: in.Name, skipBad: o.OnReject != nil, longest: o.MaxRowBytes}
		return func(chunk jsonChunk) shapePiece {
			defer chunks.recycle(chunk)
			if o.Rows == 0 {
				return s.chunk(chunk, math.MaxInt64)
			}
			p := s.chunk(chunk, left)
			left -= p.rows
			return p
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	root := &jsonShape{}
	rows := int64(0)
	for p, err := range inOrder(ctx, workers, chunks.next, worker, func(shapePiece) {}) {
		if err != nil {
			return nil, atRow(err, rows)
		}
		if p.err != nil {
			return nil, atRow(p.err, rows+p.rows)
		}
		if p.bad != nil {
			p.bad.Source, p.bad.Row = in.Name, p.bad.Row+rows+1
			return nil, &RowError{*p.bad}
		}
		root.merge(p.shape, rows)
		if rows += p.rows; o.Rows > 0 && rows >= int64(o.Rows) {
			break
		}
	}
	if len(root.fields) == 0 {
		return nil, &inputError{
			msg:  in.Name + ": there is no row with a key to infer columns from",
			hint: "give the columns with --schema FILE", cause: ErrNoRows,
		}
	}
	i := &shapeTyper{input: in.Name, o: &o}
	var beside iceberg.Type
	if o.Beside != nil {
		beside = &iceberg.StructType{FieldList: o.Beside.Fields()}
	}
	fields, err := i.structFields(root, beside, "")
	if err != nil {
		return nil, err
	}
	return freshIDs(fields)
}

// shapePiece is what a chunk shows.
type shapePiece struct {
	shape *jsonShape
	rows  int64
	bad   *Reject
	err   error
}

// shaper collects shapes, one chunk at a time.
type shaper struct {
	jsonScanner
	name    string
	skipBad bool // the load that follows reports them
	longest int
	row     int64 // from 1, in the chunk
}

func (p *shaper) chunk(ch jsonChunk, limit int64) shapePiece {
	b := ch.text
	out := shapePiece{shape: &jsonShape{}}
	p.begin(ch)
	for p.i < len(b) && out.rows < limit {
		if p.skipSpace() == '\n' {
			p.i++
			continue
		}
		p.beginRow(out.rows)
		p.row = out.rows + 1
		end := p.i + bytes.IndexByte(b[p.i:], '\n')
		if end-p.i > p.longest {
			return shapePiece{err: tooLong(p.name, p.longest), rows: out.rows}
		}
		// The whole row is looked at before any of it counts.
		ok := p.check(b[p.i:end])
		if ok {
			p.i = p.line
			p.object(out.shape)
		} else if !p.skipBad {
			p.bad.Row, p.bad.Line, p.bad.Raw = out.rows, p.first, p.raw(b[p.line:end])
			return shapePiece{bad: &p.bad}
		}
		out.rows++
		p.i = end + 1
	}
	return out
}

func (p *shaper) check(line []byte) bool {
	switch {
	case !utf8.Valid(line):
		p.bad = Reject{Reason: badUTF8}
		return false
	case line[0] != '{':
		p.bad = Reject{Reason: p.notAnObject(line[0])}
		return false
	case !p.skip(maxDepth):
		return false
	case p.skipSpace() != '\n':
		return p.syntax(moreAfter)
	}
	return true
}

// The grammar has been checked where these are called.

func (p *shaper) object(s *jsonShape) {
	p.i++
	if p.skipSpace() == '}' {
		p.i++
		return
	}
	for more := true; more; more, _ = p.next('}') {
		p.skipSpace()
		key, _ := p.str()
		field := s.field(key)
		p.colon()
		p.value(field)
	}
}

func (p *shaper) value(s *jsonShape) {
	switch c := p.b[p.i]; c {
	case '"':
		text, _ := p.str()
		s.saw(shapeString, p.row)
		s.addTemporal(text)
	case '{':
		s.saw(shapeObject, p.row)
		p.object(s)
	case '[':
		s.saw(shapeArray, p.row)
		if s.elem == nil {
			s.elem = &jsonShape{}
		}
		p.i++
		if p.skipSpace() == ']' {
			p.i++
			return
		}
		for more := true; more; more, _ = p.next(']') {
			p.skipSpace()
			p.value(s.elem)
		}
	case 't', 'f':
		p.skip(0)
		s.saw(shapeBoolean, p.row)
		s.seen |= kindBool
	case 'n':
		p.skip(0)
	default:
		text, _ := p.number()
		s.saw(shapeNumber, p.row)
		s.addNumber(text, '.')
	}
}

func (s *jsonShape) saw(k shapeKind, row int64) {
	if s.rows[k] == 0 {
		s.rows[k] = row
	}
}

// field returns the shape of a key, a new one where the key is.
func (s *jsonShape) field(name []byte) *jsonShape {
	if f, ok := s.byName[string(name)]; ok {
		return f
	}
	f := &jsonShape{name: string(name)}
	if s.byName == nil {
		s.byName = make(map[string]*jsonShape)
	}
	s.byName[f.name] = f
	s.fields = append(s.fields, f)
	return f
}

// merge adds what a later piece shows; its rows come after before others.
func (s *jsonShape) merge(o *jsonShape, before int64) {
	s.evidence.merge(o.evidence)
	for k, row := range o.rows {
		if row > 0 {
			s.saw(shapeKind(k), row+before)
		}
	}
	for _, f := range o.fields {
		s.field([]byte(f.name)).merge(f, before)
	}
	if o.elem != nil {
		if s.elem == nil {
			s.elem = &jsonShape{}
		}
		s.elem.merge(o.elem, before)
	}
}

// shapeTyper gives shapes their types; docs/types.md has the rules.
type shapeTyper struct {
	input string
	o     *InferOptions
	id    int
}

// nextID numbers fields; only that the numbers differ matters, for fresh ones are assigned later.
func (t *shapeTyper) nextID() int {
	t.id++
	return t.id
}

// structFields gives the fields of objects, which in the table are beside; nil is new there.
func (t *shapeTyper) structFields(s *jsonShape, beside iceberg.Type, path string) ([]iceberg.NestedField, error) {
	var fields []iceberg.NestedField
	for _, f := range s.fields {
		if _, taken := t.o.inTable(f.name, nil); path == "" && !taken {
			continue
		}
		if f.name == "" {
			return nil, inputErrorf("", "%s: an object has an empty key, which cannot name a column", t.input)
		}
		if path == "" && slices.Contains(t.o.Variants, f.name) { // whatever it holds
			fields = append(fields, iceberg.NestedField{ID: t.nextID(), Name: f.name, Type: iceberg.VariantType{}})
			continue
		}
		was := fieldType(beside, f.name)
		if path == "" {
			was = t.o.beside(f.name)
		}
		typ, err := t.typ(f, was, path+f.name)
		if err != nil {
			return nil, err
		}
		fields = append(fields, iceberg.NestedField{ID: t.nextID(), Name: f.name, Type: typ})
	}
	return fields, nil
}

func (t *shapeTyper) typ(s *jsonShape, beside iceberg.Type, path string) (iceberg.Type, error) {
	if _, any := beside.(iceberg.VariantType); any {
		return beside, nil
	}
	var seen []shapeKind
	for k, row := range s.rows {
		if row > 0 {
			seen = append(seen, shapeKind(k))
		}
	}
	slices.SortStableFunc(seen, func(a, b shapeKind) int { return cmp.Compare(s.rows[a], s.rows[b]) })
	if len(seen) > 1 && beside != nil {
		return beside, nil // the load tells which rows it cannot hold: numbers may be spelled as strings
	}
	if len(seen) > 1 {
		var kinds []string
		for _, k := range seen {
			kinds = append(kinds, fmt.Sprintf("%s in row %d", shapeNames[k], s.rows[k]))
		}
		return nil, inputErrorf("say --variant COLUMN --format-version 3, for a type that holds any JSON; or make them one kind; "+
			"or name the type of one kind with --schema FILE, and set the other rows aside with --rejects DIR",
			"%s: column %s is %s: no type holds them all", t.input, quoteShort(path), strings.Join(kinds, " and "))
	}
	switch {
	case len(seen) == 0:
	case seen[0] == shapeObject:
		if m, ok := beside.(*iceberg.MapType); ok {
			return t.mapType(s, m, path)
		}
		if len(s.fields) == 0 && beside != nil {
			return beside, nil
		}
		if len(s.fields) == 0 {
			// A struct without fields can be neither written nor read; an empty map loads the same rows.
			return &iceberg.MapType{
				KeyID: t.nextID(), KeyType: iceberg.PrimitiveTypes.String,
				ValueID: t.nextID(), ValueType: iceberg.PrimitiveTypes.String,
			}, nil
		}
		fields, err := t.structFields(s, beside, path+".")
		return &iceberg.StructType{FieldList: fields}, err
	case seen[0] == shapeArray:
		if m, ok := beside.(*iceberg.MapType); ok { // entries of key and value
			return m, nil
		}
		var of iceberg.Type
		if l, ok := beside.(*iceberg.ListType); ok {
			of = l.Element
		}
		elem, err := t.typ(s.elem, of, path+".element")
		return &iceberg.ListType{ElementID: t.nextID(), Element: elem}, err
	case seen[0] == shapeNumber:
		typ := t.o.typ(&s.evidence, beside)
		if _, ok := typ.(iceberg.StringType); ok { // more digits than a decimal has
			return iceberg.PrimitiveTypes.Float64, nil
		}
		return typ, nil
	}
	return t.o.typ(&s.evidence, beside), nil
}

// mapType is the type of objects that the table has as a map: with the value type that holds all values.
func (t *shapeTyper) mapType(s *jsonShape, m *iceberg.MapType, path string) (iceberg.Type, error) {
	values := &jsonShape{}
	for _, f := range s.fields {
		values.merge(f, 0)
	}
	typ, err := t.typ(values, m.ValueType, path+".value")
	return &iceberg.MapType{KeyID: t.nextID(), KeyType: m.KeyType, ValueID: t.nextID(), ValueType: typ}, err
}
