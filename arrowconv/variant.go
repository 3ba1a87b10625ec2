package arrowconv

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/nearest"
	"github.com/icewright/icewright/variant"
)

// Variants come from JSON, or from variants of other files, and leave as the canonical ones of package
// variant. At its top a variant is never JSON's null: that is the null of the column.

// isVariant says whether values of t are variants.
func isVariant(t iceberg.Type) bool {
	_, ok := t.(iceberg.VariantType)
	return ok
}

// withVariants makes variants of the columns that names has.
func withVariants(schema *iceberg.Schema, in Input, names []string) (*iceberg.Schema, error) {
	fields := schema.Fields()
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.Name
	}
	for _, name := range names {
		i := slices.Index(all, name)
		if i < 0 {
			hint := "the columns are " + strings.Join(all, ", ")
			if near := nearest.Name(name, all); near != "" {
				hint = "did you mean " + quoteShort(near) + "?"
			}
			return nil, inputErrorf(hint, "%s: there is no column %s to be a variant", in.Name, quoteShort(name))
		}
		fields[i].Type = iceberg.VariantType{}
	}
	return freshIDs(fields)
}

// variantFault says why a variant cannot be built.
func variantFault(err error) fault {
	var key *variant.KeyError
	switch {
	case err == nil:
		return faultNone
	case errors.As(err, &key):
		return faultKeyTwice
	case errors.Is(err, variant.ErrTooDeep):
		return faultDeep
	case errors.Is(err, variant.ErrTooLarge):
		return faultLarge
	case errors.Is(err, variant.ErrRange):
		return faultRange
	}
	return faultCorrupt
}

// variant reads any value at p.i into b. Where it says false, p.bad says why.
func (p *jsonScanner) variant(b *variant.Builder, depth int) bool {
	switch c := p.b[p.i]; c {
	case '"':
		s, ok := p.str()
		if ok {
			b.String(s)
		}
		return ok
	case 't':
		b.Bool(true)
		return p.word("true")
	case 'f':
		b.Bool(false)
		return p.word("false")
	case 'n':
		b.Null()
		return p.word("null")
	case '{', '[':
		return p.variantMembers(b, c, depth)
	default:
		if jsonKind(c) == "" {
			return p.syntax("a value was expected")
		}
		s, ok := p.number()
		if ok {
			b.Number(s)
		}
		return ok
	}
}

func (p *jsonScanner) variantMembers(b *variant.Builder, opening byte, depth int) bool {
	if depth == 0 {
		p.bad = Reject{Reason: variant.ErrTooDeep.Error()}
		return false
	}
	closing := opening + 2 // in ASCII, for both
	b.Begin(opening == '{')
	p.i++
	if p.skipSpace() == closing {
		p.i++
		b.End()
		return true
	}
	for {
		if opening == '{' {
			if p.skipSpace() != '"' {
				return p.syntax("a key was expected")
			}
			key, ok := p.str()
			if !ok {
				return false
			}
			b.Key(key)
			if !p.colon() {
				return false
			}
		}
		p.skipSpace()
		if !p.variant(b, depth-1) {
			return false
		}
		more, ok := p.next(closing)
		if !more {
			if ok {
				b.End()
			}
			return ok
		}
	}
}

// variantText reads JSON in a text of its own, a CSV field for one.
type variantText struct {
	jsonScanner
	build variant.Builder
	buf   []byte
}

// read puts the variant that text spells behind metadata and value. Null adds nothing.
func (v *variantText) read(text, metadata, value []byte) (m, val []byte, null bool, f fault) {
	v.buf = v.buf[:0]
	for _, c := range text {
		if c == '\n' { // the scanner's end; a line end is a space between tokens all the same
			c = '\r'
		}
		v.buf = append(v.buf, c)
	}
	v.buf = append(v.buf, '\n')
	v.b, v.i, v.line, v.bad = v.buf, 0, 0, Reject{}
	v.build.Reset()
	v.skipSpace()
	ok := v.variant(&v.build, maxDepth)
	switch {
	case !ok && v.bad.Reason == variant.ErrTooDeep.Error():
		return metadata, value, false, faultDeep
	case !ok, v.skipSpace() != '\n', v.i != len(v.b)-1:
		return metadata, value, false, faultJSON
	}
	from := len(value)
	metadata, value, err := v.build.Append(metadata, value)
	if err != nil {
		return metadata, value, false, variantFault(err)
	}
	if variant.IsNull(value[from:]) {
		return metadata[:len(metadata)-emptyMetadata], value[:from], true, faultNone
	}
	return metadata, value, false, faultNone
}

// emptyMetadata is the size of the metadata of a value without keys.
const emptyMetadata = 3

// variantColumn collects variants.
type variantColumn struct {
	metadata, value         []byte
	metadataEnds, valueEnds []int32
	valid                   []byte // a byte a value
	nulls                   int
}

func (c *variantColumn) reset() {
	c.metadata, c.value = c.metadata[:0], c.value[:0]
	c.metadataEnds, c.valueEnds = append(c.metadataEnds[:0], 0), append(c.valueEnds[:0], 0)
	c.valid, c.nulls = c.valid[:0], 0
}

// took counts the variant, or the null, that has been put behind metadata and value.
func (c *variantColumn) took(null bool) {
	c.metadataEnds, c.valueEnds = append(c.metadataEnds, int32(len(c.metadata))), append(c.valueEnds, int32(len(c.value)))
	if null {
		c.nulls++
		c.valid = append(c.valid, 0)
	} else {
		c.valid = append(c.valid, 1)
	}
}

// finish makes Arrow data of type dt of what was collected.
func (c *variantColumn) finish(dt arrow.DataType, alloc memory.Allocator) arrow.ArrayData {
	n := len(c.valid)
	part := func(ends []int32, data []byte) arrow.ArrayData {
		buffers := []*memory.Buffer{nil, copyBuffer(alloc, arrow.Int32Traits.CastToBytes(ends)), copyBuffer(alloc, data)}
		defer buffers[1].Release()
		defer buffers[2].Release()
		return array.NewData(arrow.BinaryTypes.Binary, n, buffers, nil, 0, 0)
	}
	children := []arrow.ArrayData{part(c.metadataEnds, c.metadata), part(c.valueEnds, c.value)}
	defer children[0].Release()
	defer children[1].Release()
	var valid *memory.Buffer
	if c.nulls > 0 {
		valid = packBits(alloc, c.valid)
		defer valid.Release()
	}
	return array.NewData(dt, n, []*memory.Buffer{valid}, children, c.nulls, 0)
}

// variants converts a CSV column of JSON texts.
func (c *csvColumn) variants(x cells) arrow.Array {
	if c.json == nil {
		c.json, c.made = new(variantText), new(variantColumn)
	}
	m := c.made
	m.reset()
	for r := range c.n {
		text, null := c.rare(x.at(r))
		f := faultNone
		switch {
		case null:
		case !c.utf8 && !utf8.Valid(text):
			f = faultUTF8
		default:
			m.metadata, m.value, null, f = c.json.read(text, m.metadata, m.value)
		}
		if null && c.field.Required {
			f = faultNull
		}
		if f == faultNone && (len(m.metadata) > maxOffset || len(m.value) > maxOffset) {
			f = faultLarge
		}
		if f != faultNone {
			c.bad = append(c.bad, badCell{r, f})
		}
		m.took(null)
	}
	if len(c.bad) > 0 {
		return nil
	}
	data := m.finish(c.arrow, c.alloc)
	defer data.Release()
	return array.MakeFromData(data)
}

// variantParser is the textParser of variants.
func variantParser() textParser {
	var v variantText
	return func(text []byte, b array.Builder) fault {
		metadata, value, null, f := v.read(text, nil, nil)
		switch {
		case f != faultNone:
			return f
		case null:
			b.AppendNull()
			return faultNone
		}
		s := b.(*extensions.VariantBuilder).StorageBuilder().(*array.StructBuilder)
		s.Append(true)
		s.FieldBuilder(0).(*array.BinaryBuilder).Append(metadata)
		s.FieldBuilder(1).(*array.BinaryBuilder).Append(value)
		return faultNone
	}
}

// variantValue parses the value at p.i, which is not null, into a column of variants.
func (p *ndjsonParser) variantValue(c *jsonColumn) bool {
	start := p.i
	p.build.Reset()
	if !p.variant(&p.build, maxDepth) {
		if p.bad.Column == "" {
			p.bad.Column = c.path
		}
		return false
	}
	metadata, value := c.kids[0], c.kids[1]
	m, v, err := p.build.Append(metadata.data, value.data)
	f := variantFault(err)
	if f == faultNone && (len(m) > maxOffset || len(v) > maxOffset) {
		f = faultLarge
	}
	if f != faultNone {
		p.bad = f.reject(0, c.path, p.b[start:p.i], c.typ)
		return false
	}
	metadata.data, value.data = m, v
	for _, kid := range c.kids {
		kid.off = append(kid.off, int32(len(kid.data)))
		kid.took()
	}
	c.took()
	return true
}

// variantCast makes canonical variants of a file's; nil where from has none. A struct of metadata and value
// passes for one, as writers left the mark of the type out for years. Texts are JSON, as in CSV.
func (p *castPlanner) variantCast(c *columnCast, from arrow.DataType) func(frame, arrow.Array) arrow.ArrayData {
	if id := from.ID(); id == arrow.STRING || id == arrow.BINARY {
		return c.variantTexts
	}
	at := [2]int{-1, -1}
	s, ok := storageOf(from).(*arrow.StructType)
	if !ok {
		return nil
	}
	for i, f := range s.Fields() {
		switch {
		case f.Name == "metadata" && f.Type.ID() == arrow.BINARY:
			at[0] = i
		case f.Name == "value" && f.Type.ID() == arrow.BINARY:
			at[1] = i
		}
	}
	v, marked := from.(*extensions.VariantType)
	shredded := marked && v.TypedValue().Type != nil
	if !shredded && (at[0] < 0 || at[1] < 0 || s.NumFields() != 2) {
		return nil
	}
	var build variant.Builder
	return func(f frame, a arrow.Array) arrow.ArrayData {
		if shredded {
			whole, err := extensions.UnshredVariant(a.(*extensions.VariantArray), f.run.alloc)
			if err != nil {
				panic(err) // parquetFile.guard says which file
			}
			defer whole.Release()
			a, at = whole, [2]int{0, 1}
		}
		if ext, ok := a.(array.ExtensionArray); ok {
			a = ext.Storage()
		}
		st := a.(*array.Struct)
		metadata, value := st.Field(at[0]).(*array.Binary), st.Field(at[1]).(*array.Binary)
		var out variantColumn
		out.reset()
		for i := range st.Len() {
			null := st.IsNull(i)
			if !null {
				why := faultCorrupt
				if metadata.IsValid(i) && value.IsValid(i) {
					from := len(out.value)
					m, v, err := build.AppendCanonical(out.metadata, out.value, metadata.Value(i), value.Value(i))
					if why = variantFault(err); why == faultNone {
						if null = variant.IsNull(v[from:]); !null {
							out.metadata, out.value = m, v
						}
					}
				}
				if why != faultNone {
					c.fail(f, i, why, text(st.Field(at[1]), i))
					null = true
				}
			}
			if null && c.field.Required && st.IsValid(i) {
				c.fail(f, i, faultNull, "null")
			}
			out.took(null)
		}
		return out.finish(c.dt, f.run.alloc)
	}
}

// variantTexts makes variants of JSON texts.
func (c *columnCast) variantTexts(f frame, a arrow.Array) arrow.ArrayData {
	value := func(i int) []byte { return a.(*array.Binary).Value(i) }
	if s, ok := a.(*array.String); ok {
		value = func(i int) []byte { return []byte(s.Value(i)) }
	}
	var read variantText
	var out variantColumn
	out.reset()
	for i := range a.Len() {
		null := a.IsNull(i)
		if !null {
			text, why := value(i), faultUTF8
			if utf8.Valid(text) {
				out.metadata, out.value, null, why = read.read(text, out.metadata, out.value)
			}
			if null && c.field.Required {
				why = faultNull
			}
			if why != faultNone {
				c.fail(f, i, why, string(text))
			}
		}
		out.took(null)
	}
	return out.finish(c.dt, f.run.alloc)
}
