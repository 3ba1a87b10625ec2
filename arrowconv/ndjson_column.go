package arrowconv

import (
	"encoding/binary"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
)

// jsonColumnKind is how a column takes values in and lays them out.
type jsonColumnKind uint8

const (
	jsonString jsonColumnKind = iota
	jsonBinary
	jsonLong
	jsonInt
	jsonDouble
	jsonFloat
	jsonBool
	jsonDecimal
	jsonDate
	jsonTime
	jsonTimestamp
	jsonUUID
	jsonFixed
	jsonStruct
	jsonList
	jsonMap     // a list of entries; its one child is a struct of key and value
	jsonVariant // children like those of a struct: metadata and value
	jsonNulls   // a type that JSON has no values for: it can only be absent
)

// jsonColumn is a column of the target, or a nested field of one, while a chunk is being parsed.
//
// The invariant that the parser works by: between two values of a struct, no child has more values than
// the struct. So a child that is ahead has met its key twice, and no other record of the keys of an object is
// kept. A child that may be absent, and is then null, stays behind until its key comes again, or the
// chunk ends: of many keys that few rows have, the others cost those rows nothing. The strict children never stay behind.
type jsonColumn struct {
	kind       jsonColumnKind
	typ        iceberg.Type
	dt         arrow.DataType
	path       string // for people: actor.id, labels.element
	name       string
	key        quotedKey
	required   bool
	substitute *substitute // for rows without the key; nil is none
	kids       []*jsonColumn
	strict     []*jsonColumn  // those of kids that must not be absent, or have another value than null then
	after      []int          // by child, from 1: the child whose key came next the last time; [0]: the first
	byName     map[string]int // of the children, where they are many

	named bool // some row, or object around it, has the key, and lacks the key of a sibling
	whole bool // some row, or object, has the keys of all children

	n     int    // values so far
	nulls int    // among them
	valid []byte // a byte a value, 1 for a value and 0 for a null; empty while nulls is 0
	width int    // bytes of a value in data; 0 where offsets tell
	data  []byte // values: fixed width, or the bytes of texts; a byte for a boolean
	off   []int32

	precision, scale int
	instants         *instants
}

// newJSONRoot returns the column of whole rows.
func newJSONRoot(to *target, o Options) *jsonColumn {
	c := &jsonColumn{kind: jsonStruct, required: true}
	for i, f := range to.fields {
		kid := newJSONColumn(f, f.Name, to.arrow.Field(i).Type, o)
		if kid.substitute = to.substitutes[i]; kid.substitute != nil && kid.substitute.ours {
			kid.required, kid.key, kid.name = false, quotedKey{}, notUTF8 // no key is its name
		} else if to.names.Columns != nil {
			kid.key, kid.name = quotedKey{}, notUTF8
			for from, at := range to.index {
				if at == i {
					kid.name, kid.key = from, newQuotedKey(from)
				}
			}
		}
		c.kids = append(c.kids, kid)
	}
	c.index()
	return c
}

// notUTF8 is no JSON text.
const notUTF8 = "\xff"

func newJSONColumn(f iceberg.NestedField, path string, dt arrow.DataType, o Options) *jsonColumn {
	c := &jsonColumn{typ: f.Type, dt: dt, path: path, name: f.Name, required: f.Required, substitute: newDefault(f, dt)}
	c.key = newQuotedKey(f.Name)
	fixed := func(kind jsonColumnKind, width int) { c.kind, c.width = kind, width }
	switch t := f.Type.(type) {
	case iceberg.StringType:
		c.kind, c.off = jsonString, []int32{0}
	case iceberg.BinaryType:
		c.kind, c.off = jsonBinary, []int32{0}
	case iceberg.Int64Type:
		fixed(jsonLong, 8)
	case iceberg.Int32Type:
		fixed(jsonInt, 4)
	case iceberg.Float64Type:
		fixed(jsonDouble, 8)
	case iceberg.Float32Type:
		fixed(jsonFloat, 4)
	case iceberg.BooleanType:
		fixed(jsonBool, 1)
	case iceberg.DecimalType:
		fixed(jsonDecimal, 16)
		c.precision, c.scale = t.Precision(), t.Scale()
	case iceberg.DateType:
		fixed(jsonDate, 4)
	case iceberg.TimeType:
		fixed(jsonTime, 8)
	case iceberg.TimestampType:
		fixed(jsonTimestamp, 8)
		c.instants = &instants{unit: micros}
	case iceberg.TimestampTzType:
		fixed(jsonTimestamp, 8)
		c.instants = &instants{unit: micros, zoned: true, zone: o.TimeZone}
	case iceberg.TimestampNsType:
		fixed(jsonTimestamp, 8)
		c.instants = &instants{unit: nanos}
	case iceberg.TimestampTzNsType:
		fixed(jsonTimestamp, 8)
		c.instants = &instants{unit: nanos, zoned: true, zone: o.TimeZone}
	case iceberg.UUIDType:
		fixed(jsonUUID, 16)
	case iceberg.FixedType:
		fixed(jsonFixed, t.Len())
	case *iceberg.StructType:
		c.kind = jsonStruct
		for i, kid := range t.FieldList {
			c.kids = append(c.kids, newJSONColumn(kid, path+"."+kid.Name, dt.(*arrow.StructType).Field(i).Type, o))
		}
	case *iceberg.ListType:
		c.kind, c.off = jsonList, []int32{0}
		c.kids = []*jsonColumn{newJSONColumn(t.ElementField(), path+".element", dt.(*arrow.ListType).Elem(), o)}
	case *iceberg.MapType:
		c.kind, c.off = jsonMap, []int32{0}
		entries := dt.(*arrow.MapType).Elem().(*arrow.StructType)
		entry := &jsonColumn{kind: jsonStruct, dt: entries, path: path, required: true, kids: []*jsonColumn{
			newJSONColumn(t.KeyField(), path+".key", entries.Field(0).Type, o),
			newJSONColumn(t.ValueField(), path+".value", entries.Field(1).Type, o),
		}}
		entry.index()
		c.kids = []*jsonColumn{entry}
	case iceberg.VariantType:
		c.kind = jsonVariant
		for range 2 {
			c.kids = append(c.kids, &jsonColumn{kind: jsonBinary, dt: arrow.BinaryTypes.Binary, required: true, off: []int32{0}})
		}
	default:
		c.kind = jsonNulls
	}
	c.index()
	return c
}

// quotedKey is a key as it is mostly written, quotes and colon included.
type quotedKey struct {
	text string // "" where it needs escapes
	// The first eight bytes of text and the last, which may overlap. Of a shorter one head is all, and mask says which
	// of its bytes count.
	head, mask, tail uint64
}

func newQuotedKey(name string) quotedKey {
	for i := range len(name) {
		if c := name[i]; c < 0x20 || c == '"' || c == '\\' {
			return quotedKey{}
		}
	}
	k := quotedKey{text: `"` + name + `":`, mask: ^uint64(0)}
	var short [8]byte
	if n := copy(short[:], k.text); n < len(short) {
		k.mask >>= 8 * (len(short) - n)
	} else {
		k.tail = binary.LittleEndian.Uint64([]byte(k.text[len(k.text)-8:]))
	}
	k.head = binary.LittleEndian.Uint64(short[:])
	return k
}

// begins tells whether b does with k. It may say no where there is little of b: then the key is read as any other.
func (k *quotedKey) begins(b []byte) bool {
	return len(b) >= 8 && (binary.LittleEndian.Uint64(b)^k.head)&k.mask == 0 && k.goesOn(b)
}

// goesOn is begins where the first eight bytes are known to be right. Most keys have no more than sixteen.
func (k *quotedKey) goesOn(b []byte) bool {
	switch n := len(k.text); {
	case n <= 8:
		return n > 0
	case n > len(b):
		return false
	case n <= 16:
		return binary.LittleEndian.Uint64(b[n-8:]) == k.tail
	default:
		return string(b[8:n]) == k.text[8:]
	}
}

// fewKeys is up to how many children are looked through one by one.
const fewKeys = 8

func (c *jsonColumn) index() {
	for _, kid := range c.kids {
		if kid.required || kid.substitute != nil || c.kind != jsonStruct {
			c.strict = append(c.strict, kid)
		}
	}
	c.after = make([]int, len(c.kids)+1)
	for i := range c.after {
		c.after[i] = i // the table's order is as good a first guess as any
	}
	if len(c.kids) > fewKeys {
		c.byName = make(map[string]int, len(c.kids))
		for i, kid := range c.kids {
			c.byName[kid.name] = i
		}
	}
}

// child finds the child of a struct by name, or gives -1.
func (c *jsonColumn) child(name []byte) int {
	if c.byName != nil {
		if i, ok := c.byName[string(name)]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(c.kids, func(kid *jsonColumn) bool { return kid.name == string(name) })
}

// took counts a value that was put into data.
func (c *jsonColumn) took() {
	if c.nulls > 0 {
		c.valid = append(c.valid, 1)
	}
	c.n++
}

func (c *jsonColumn) put8(v uint64) {
	c.data = binary.NativeEndian.AppendUint64(c.data, v)
	c.took()
}

func (c *jsonColumn) put4(v uint32) {
	c.data = binary.NativeEndian.AppendUint32(c.data, v)
	c.took()
}

// blindCopy is how many bytes putText copies of a shorter text: a call that looks at the length takes longer.
const blindCopy = 32

func (c *jsonColumn) putText(s []byte) {
	if at := len(c.data); len(s) <= blindCopy && cap(s) >= blindCopy && cap(c.data)-at >= blindCopy {
		c.data = c.data[:at+len(s)]
		*(*[blindCopy]byte)(c.data[at : at+blindCopy]) = [blindCopy]byte(s[:blindCopy])
	} else {
		c.data = append(c.data, s...)
	}
	c.off = append(c.off, int32(len(c.data)))
	c.took()
}

// putBlank adds a null, or under a null parent a required child's value that nobody sees.
func (c *jsonColumn) putBlank(null bool) {
	if null && c.nulls == 0 {
		for range c.n {
			c.valid = append(c.valid, 1)
		}
	}
	switch {
	case c.off != nil && c.kind >= jsonStruct: // a list or map of nothing
		c.off = append(c.off, int32(c.kids[0].n))
	case c.off != nil:
		c.off = append(c.off, int32(len(c.data)))
	case c.kind == jsonStruct, c.kind == jsonVariant:
		for _, kid := range c.strict {
			kid.putBlank(!kid.required)
		}
	default:
		c.data = append(c.data, make([]byte, c.width)...)
	}
	if null {
		c.valid = append(c.valid, 0)
		c.nulls++
		c.n++
		return
	}
	c.took()
}

// catchUp adds nulls to a child that is no strict one, up to n values.
func (c *jsonColumn) catchUp(n int) {
	more := n - c.n
	if more <= 0 {
		return
	}
	if c.nulls == 0 {
		c.valid = c.valid[:0]
		for range c.n {
			c.valid = append(c.valid, 1)
		}
	}
	c.valid = append(c.valid, make([]byte, more)...)
	c.nulls += more
	switch {
	case c.off != nil:
		for range more {
			c.off = append(c.off, c.off[c.n])
		}
	case c.kind == jsonStruct, c.kind == jsonVariant:
		for _, kid := range c.strict {
			for range more {
				kid.putBlank(!kid.required)
			}
		}
	default:
		c.data = append(c.data, make([]byte, more*c.width)...)
	}
	c.n = n
}

// putAbsent adds what a row without the key has, or says why it may not be without.
func (c *jsonColumn) putAbsent() (Reject, bool) {
	if bad, ok := c.substitute.wrong(); ok {
		return bad, false
	}
	switch {
	case c.substitute != nil && c.substitute.value != nil:
		c.data = append(c.data, c.substitute.value...)
		if c.off != nil {
			c.off = append(c.off, int32(len(c.data)))
		}
		c.took()
	case c.required:
		return Reject{Column: c.path, Reason: missingKey}, false
	default:
		c.putBlank(true)
	}
	return Reject{}, true
}

// truncate takes back what came after the first n values, and children that got ahead.
func (c *jsonColumn) truncate(n int) {
	if c.n < n {
		return // it has stayed behind
	}
	switch {
	case c.off != nil:
		c.off = c.off[:n+1]
		if len(c.kids) > 0 {
			c.kids[0].truncate(int(c.off[n]))
		} else {
			c.data = c.data[:c.off[n]]
		}
	case c.kind == jsonStruct, c.kind == jsonVariant:
		for _, kid := range c.kids {
			kid.truncate(n)
		}
	default:
		c.data = c.data[:n*c.width]
	}
	if c.nulls > 0 {
		for _, v := range c.valid[n:] {
			if v == 0 {
				c.nulls--
			}
		}
		if c.valid = c.valid[:n]; c.nulls == 0 {
			c.valid = c.valid[:0]
		}
	}
	c.n = n
}

func (c *jsonColumn) reset() {
	c.n, c.nulls, c.valid, c.data = 0, 0, c.valid[:0], c.data[:0]
	c.named, c.whole = false, false
	if c.off != nil {
		c.off = c.off[:1]
	}
	for _, kid := range c.kids {
		kid.reset()
	}
}

// batch copies the rows into buffers of alloc, each just as large as it must be; the columns' own
// buffers, which grow by doubling, stay for the next chunk.
func (c *jsonColumn) batch(schema *arrow.Schema, alloc memory.Allocator) arrow.RecordBatch {
	columns := make([]arrow.Array, len(c.kids))
	for i, kid := range c.kids {
		kid.catchUp(c.n)
		data := kid.finish(alloc)
		columns[i] = array.MakeFromData(data)
		data.Release()
	}
	batch := array.NewRecordBatch(schema, columns, int64(c.n))
	for _, column := range columns {
		column.Release()
	}
	return batch
}

func (c *jsonColumn) finish(alloc memory.Allocator) arrow.ArrayData {
	if c.kind == jsonNulls {
		nulls := array.MakeArrayOfNull(alloc, c.dt, c.n)
		defer nulls.Release()
		nulls.Data().Retain()
		return nulls.Data()
	}
	var buffers []*memory.Buffer
	var children []arrow.ArrayData
	if c.nulls > 0 {
		buffers = append(buffers, packBits(alloc, c.valid))
	} else {
		buffers = append(buffers, nil)
	}
	if c.off != nil {
		buffers = append(buffers, copyBuffer(alloc, arrow.Int32Traits.CastToBytes(c.off)))
	}
	switch {
	case len(c.kids) > 0 || c.kind == jsonStruct:
		for _, kid := range c.kids {
			if c.kind == jsonStruct {
				kid.catchUp(c.n)
			}
			children = append(children, kid.finish(alloc))
		}
	case c.kind == jsonBool:
		buffers = append(buffers, packBits(alloc, c.data))
	default:
		buffers = append(buffers, copyBuffer(alloc, c.data))
	}
	data := array.NewData(c.dt, c.n, buffers, children, c.nulls, 0)
	for _, b := range buffers {
		if b != nil {
			b.Release()
		}
	}
	for _, kid := range children {
		kid.Release()
	}
	return data
}

func copyBuffer(alloc memory.Allocator, b []byte) *memory.Buffer {
	buffer := memory.NewResizableBuffer(alloc)
	buffer.Resize(len(b))
	copy(buffer.Bytes(), b)
	return buffer
}

// packBits makes a bitmap of bytes that are 0 or 1.
func packBits(alloc memory.Allocator, b []byte) *memory.Buffer {
	buffer := memory.NewResizableBuffer(alloc)
	buffer.Resize(int(bitutil.BytesForBits(int64(len(b)))))
	out := buffer.Bytes()
	clear(out)
	i := 0
	for ; i+8 <= len(b); i += 8 {
		// The product gathers the low bits of eight bytes in its highest byte.
		out[i/8] = byte(binary.LittleEndian.Uint64(b[i:]) * 0x0102040810204080 >> 56)
	}
	for ; i < len(b); i++ {
		out[i/8] |= b[i] << (i % 8)
	}
	return buffer
}
