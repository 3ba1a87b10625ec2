package arrowconv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// The metadata of Arrow's messages is flatbuffers, whose reader trusts every length and offset: a
// corrupt one has it allocate any memory, or recurse for ever, and neither can be recovered from. So
// what arrow-go reads of them is walked here first. The numbers are those of the fields in
// Arrow's Message.fbs, Schema.fbs and File.fbs.

// arrowMessage is what the metadata of a message says.
type arrowMessage struct {
	kind       int
	bodyLength int64
	dictionary int64 // id, of a dictionary
	delta      bool
	nodes      int
	buffers    []arrowExtent
	views      []int64 // how many more buffers each view has
	codec      int     // -1 is none
	shape      arrowShape
}

// arrowShape is what the schema has record batches and dictionaries be made of.
type arrowShape struct {
	record       arrowParts
	dictionaries map[int64]arrowParts
}

type arrowParts struct{ nodes, buffers, views int }

func (p arrowParts) plus(o arrowParts) arrowParts {
	return arrowParts{p.nodes + o.nodes, p.buffers + o.buffers, p.views + o.views}
}

// check tells whether a message is made of what the schema says: the library does not count.
func (s arrowShape) check(m arrowMessage) error {
	want := s.record
	if m.kind == arrowDictionary {
		want = s.dictionaries[m.dictionary]
	}
	for _, n := range m.views {
		want.buffers += int(n)
	}
	if got := (arrowParts{m.nodes, len(m.buffers), len(m.views)}); got != want {
		return errors.New("a message that is not made as the schema says")
	}
	return nil
}

const (
	arrowSchema     = 1
	arrowDictionary = 2
	arrowRecord     = 3
)

// arrowExtent is where a buffer lies in the body.
type arrowExtent struct{ offset, length int64 }

// arrowBlock is where a message lies in a file.
type arrowBlock struct {
	kind               int
	offset, meta, body int64
}

var errFlat = errors.New("its metadata is corrupt")

// errOldCompression: Arrow 0.17 had a compression of its own before the format had one. The library does not
// know it and would take the compressed bytes for values.
var errOldCompression = errors.New("it is compressed in the way of Arrow 0.17, which is not read: write it anew with a newer version")

// checkArrowMessage reads the metadata of a message and vouches for all of it.
func checkArrowMessage(meta []byte) (m arrowMessage, err error) {
	defer recoverFlat(&err)
	root := flatRoot(meta)
	m = arrowMessage{kind: int(root.uint8(1)), bodyLength: root.int64(3), codec: -1}
	if m.bodyLength < 0 || m.bodyLength > maxArrowMessage {
		return m, fmt.Errorf("a message of %d bytes; the most are %d", m.bodyLength, int64(maxArrowMessage))
	}
	entries, n := root.vector(4, 4)
	for i := range n {
		key, length := root.indirect(entries+4*i).vector(0, 1)
		if string(meta[key:key+length]) == "ARROW:experimental_compression" {
			return m, errOldCompression
		}
	}
	header := root.table(2)
	switch m.kind {
	case arrowSchema:
		m.shape = header.checkSchema()
	case arrowDictionary:
		m.dictionary, m.delta = header.int64(0), header.uint8(2) != 0
		m.record(header.table(1))
	case arrowRecord:
		m.record(header)
	default:
		return m, fmt.Errorf("a message of kind %d, which holds no rows", m.kind)
	}
	return m, nil
}

func (m *arrowMessage) record(t flatTable) {
	if rows := t.int64(0); rows < 0 || rows > math.MaxInt32 {
		panic(fmt.Errorf("a record batch of %d rows; the most are %d", rows, math.MaxInt32))
	}
	nodes, n := t.vector(1, 16)
	m.nodes = n
	for i := range n {
		length, nulls := t.at64(nodes+16*i), t.at64(nodes+16*i+8)
		if length < 0 || length > math.MaxInt32 || nulls < 0 || nulls > length {
			panic(errFlat)
		}
	}
	buffers, n := t.vector(2, 16)
	for i := range n {
		e := arrowExtent{t.at64(buffers + 16*i), t.at64(buffers + 16*i + 8)}
		if e.offset < 0 || e.length < 0 || e.offset > m.bodyLength || e.length > m.bodyLength-e.offset {
			panic(errors.New("a buffer that does not lie in its message"))
		}
		m.buffers = append(m.buffers, e)
	}
	variadic, n := t.vector(4, 8)
	for i := range n {
		count := t.at64(variadic + 8*i)
		if count < 0 || count > int64(len(m.buffers)) {
			panic(errFlat)
		}
		m.views = append(m.views, count)
	}
	if t.has(3) {
		m.codec = int(t.table(3).uint8(0))
		if m.codec > 1 {
			panic(fmt.Errorf("compression codec %d, which is not known", m.codec))
		}
	}
}

// checkBody vouches for the sizes that compressed buffers say they have.
func (m *arrowMessage) checkBody(body []byte) error {
	if m.codec < 0 {
		return nil
	}
	for _, e := range m.buffers {
		if e.length == 0 {
			continue
		}
		if e.length < 8 {
			return errFlat
		}
		size := int64(binary.LittleEndian.Uint64(body[e.offset:]))
		// No block of either codec holds more: 255 times its size in LZ4, 128 KiB in four bytes in Zstandard.
		most := 256 * e.length
		if m.codec == 1 {
			most = e.length << 15
		}
		if size < -1 || size > min(most, math.MaxInt32) {
			return fmt.Errorf("a compressed buffer of %d bytes that says it holds %d", e.length-8, size)
		}
	}
	return nil
}

// readArrowFooter gives the schema, as a message, and the blocks of a file, dictionaries first.
func readArrowFooter(footer []byte) (schema []byte, shape arrowShape, blocks []arrowBlock, err error) {
	defer recoverFlat(&err)
	root := flatRoot(footer)
	shape = root.table(1).checkSchema()
	return root.schemaMessage(1), shape, append(root.blocks(2, arrowDictionary), root.blocks(3, arrowRecord)...), nil
}

func (t flatTable) blocks(field, kind int) (blocks []arrowBlock) {
	at, n := t.vector(field, 24)
	for i := range n {
		blocks = append(blocks, arrowBlock{kind, t.at64(at + 24*i), int64(int32(t.at32(at + 24*i + 8))), t.at64(at + 24*i + 16)})
	}
	return blocks
}

// schemaMessage is a message whose header is the table in a field: the bytes of this flatbuffer behind
// a new root, as offsets are relative.
func (t flatTable) schemaMessage(field int) []byte {
	const head = 32
	schema := t.table(field)
	out := make([]byte, head, head+len(t.bytes))
	binary.LittleEndian.PutUint32(out[0:], 16) // root table
	vtable := out[4:16]
	for i, v := range []uint16{12, 12, 4, 6, 8, 0} { // its size, the table's, version, kind, header
		binary.LittleEndian.PutUint16(vtable[2*i:], v)
	}
	binary.LittleEndian.PutUint32(out[16:], 12) // back to the vtable
	binary.LittleEndian.PutUint16(out[20:], t.uint16(0))
	out[22] = arrowSchema
	binary.LittleEndian.PutUint32(out[24:], uint32(head+schema.pos-24))
	return append(out, t.bytes...)
}

// maxFlatDepth is how deep types may be nested.
const maxFlatDepth = 64

func (t flatTable) checkSchema() arrowShape {
	s := arrowShape{dictionaries: make(map[int64]arrowParts)}
	budget := len(t.bytes) / 8 // fields; each takes more bytes than that, unless one is shared
	t.vector(2, 4)
	fields, n := t.vector(1, 4)
	for i := range n {
		s.record = s.record.plus(s.field(t.indirect(fields+4*i), 1, &budget))
	}
	return s
}

// buffersOf is how many buffers an array of a type has, by the number of the type: Null, Int, FloatingPoint,
// Binary, Utf8, Bool, Decimal, Date, Time, Timestamp, Interval, List, Struct, Union, FixedSizeBinary, FixedSizeList,
// Map, Duration, LargeBinary, LargeUtf8, LargeList, RunEndEncoded, BinaryView, Utf8View, ListView, LargeListView.
var buffersOf = [...]int{1: 0, 2, 2, 3, 3, 2, 2, 2, 2, 2, 2, 2, 1, 2, 2, 1, 2, 2, 3, 3, 2, 0, 2, 2, 3, 3}

const (
	flatUnion      = 14
	flatBinaryView = 23
	flatUtf8View   = 24
)

// field checks a field, and gives what arrays of it are made of.
func (s arrowShape) field(t flatTable, depth int, budget *int) arrowParts {
	if *budget--; *budget < 0 || depth > maxFlatDepth {
		panic(errors.New("types nested too deep"))
	}
	t.vector(0, 1)
	t.vector(6, 4)
	kind := int(t.uint8(2))
	if kind < 1 || kind >= len(buffersOf) {
		panic(fmt.Errorf("a column of type %d, which is not known", kind))
	}
	parts := arrowParts{nodes: 1, buffers: buffersOf[kind]}
	switch kind {
	case flatUnion: // which nothing converts, so that the number of buffers does not matter
		t.table(3).vector(1, 4)
	case flatBinaryView, flatUtf8View:
		parts.views = 1
	}
	children, n := t.vector(5, 4)
	for i := range n {
		parts = parts.plus(s.field(t.indirect(children+4*i), depth+1, budget))
	}
	if t.has(4) {
		s.dictionaries[t.table(4).int64(0)] = parts
		return arrowParts{nodes: 1, buffers: 2} // the places in the dictionary
	}
	return parts
}

// flatTable is a table of a flatbuffer. Its methods panic with errFlat where the bytes are not there.
type flatTable struct {
	bytes  []byte
	pos    int
	vtable int
	slots  int // bytes of the vtable
}

func recoverFlat(err *error) {
	switch r := recover().(type) {
	case nil:
	case error:
		*err = r
	default:
		panic(r)
	}
}

func flatRoot(b []byte) flatTable { return flatTable{bytes: b}.indirect(0) }

// indirect is the table that the offset at pos leads to.
func (t flatTable) indirect(pos int) flatTable {
	to := flatTable{bytes: t.bytes, pos: pos + int(t.at32(pos))}
	to.vtable = to.pos - int(int32(to.at32(to.pos)))
	to.slots = int(to.at16(to.vtable))
	if to.slots < 4 || to.vtable+to.slots > len(t.bytes) {
		panic(errFlat)
	}
	return to
}

func (t flatTable) at16(pos int) uint16 { return binary.LittleEndian.Uint16(t.span(pos, 2)) }
func (t flatTable) at32(pos int) uint32 { return binary.LittleEndian.Uint32(t.span(pos, 4)) }
func (t flatTable) at64(pos int) int64  { return int64(binary.LittleEndian.Uint64(t.span(pos, 8))) }

func (t flatTable) span(pos, n int) []byte {
	if pos < 0 || n < 0 || pos > len(t.bytes)-n {
		panic(errFlat)
	}
	return t.bytes[pos : pos+n]
}

// field is where a field lies; 0 is nowhere.
func (t flatTable) field(i int) int {
	slot := 4 + 2*i
	if slot+2 > t.slots {
		return 0
	}
	at := int(t.at16(t.vtable + slot))
	if at == 0 {
		return 0
	}
	return t.pos + at
}

func (t flatTable) has(i int) bool { return t.field(i) != 0 }

func (t flatTable) uint8(i int) uint8 {
	if at := t.field(i); at != 0 {
		return t.span(at, 1)[0]
	}
	return 0
}

func (t flatTable) uint16(i int) uint16 {
	if at := t.field(i); at != 0 {
		return t.at16(at)
	}
	return 0
}

func (t flatTable) int64(i int) int64 {
	if at := t.field(i); at != 0 {
		return t.at64(at)
	}
	return 0
}

func (t flatTable) table(i int) flatTable {
	at := t.field(i)
	if at == 0 {
		panic(errFlat)
	}
	return t.indirect(at)
}

// vector is where the elements of a vector lie, and how many there are.
func (t flatTable) vector(i, size int) (at, n int) {
	field := t.field(i)
	if field == 0 {
		return 0, 0
	}
	at = field + int(t.at32(field))
	n = int(t.at32(at))
	if n > len(t.bytes)/size {
		panic(errFlat)
	}
	t.span(at+4, n*size)
	return at + 4, n
}
