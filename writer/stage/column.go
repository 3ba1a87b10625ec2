package stage

import (
	"fmt"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// kind is how a column lies in memory.
type kind uint8

const (
	kindFixed  kind = iota // width bytes a value
	kindBits               // a bit a value
	kindBytes              // offsets into data
	kindList               // offsets into the child; a map is a list of structs
	kindStruct             // children alone
	kindNull               // nothing at all
)

// layout describes a column and its children; partitions share it.
type layout struct {
	kind  kind
	width int
	typ   arrow.DataType
	kids  []*layout
	// narrow says that decimals of 128 bits are kept in 64, which hold them all.
	narrow bool
}

// narrowed is l for a column of the table itself, with decimals no wider than they need be.
func (l *layout) narrowed() *layout {
	if d, ok := l.typ.(*arrow.Decimal128Type); ok && d.Precision <= 18 {
		return &layout{kind: kindFixed, width: 8, narrow: true, typ: &arrow.Decimal64Type{Precision: d.Precision, Scale: d.Scale}}
	}
	return l
}

func newLayout(t arrow.DataType) (*layout, error) {
	l := &layout{typ: t}
	if ext, ok := t.(arrow.ExtensionType); ok {
		t = ext.StorageType()
	}
	var kids []arrow.DataType
	switch t := t.(type) {
	case *arrow.BooleanType:
		l.kind = kindBits
	case *arrow.StringType, *arrow.BinaryType:
		l.kind = kindBytes
	case *arrow.ListType:
		l.kind, kids = kindList, []arrow.DataType{t.Elem()}
	case *arrow.MapType:
		l.kind, kids = kindList, []arrow.DataType{t.Elem()}
	case *arrow.StructType:
		l.kind = kindStruct
		for _, f := range t.Fields() {
			kids = append(kids, f.Type)
		}
	case *arrow.NullType:
		l.kind = kindNull
	case arrow.FixedWidthDataType:
		l.kind, l.width = kindFixed, t.BitWidth()/8
		if l.width == 0 {
			return nil, fmt.Errorf("%w: Arrow type %s", ErrUnsupported, t)
		}
	default:
		return nil, fmt.Errorf("%w: Arrow type %s", ErrUnsupported, t)
	}
	for _, kid := range kids {
		k, err := newLayout(kid)
		if err != nil {
			return nil, err
		}
		l.kids = append(l.kids, k)
	}
	return l, nil
}

// column is one growing column of one partition, in Arrow's own layout. Rows are gathered
// straight into it, so that a value is copied once between the input and the encoder.
type column struct {
	*layout
	n       int
	nulls   int
	data    []byte  // values
	offsets []int32 // n+1 of them, once there is a row; of a column with words the n numbers of its texts
	valid   []byte  // nil while there is no null
	kids    []column

	words *array.Data // the vocabulary of texts that are kept by number; nil where they are not
	texts int64       // the bytes of those
}

func newColumn(l *layout) column {
	c := column{layout: l}
	if len(l.kids) > 0 {
		c.kids = newColumns(l.kids)
	}
	return c
}

func newColumns(ls []*layout) []column {
	cs := make([]column, len(ls))
	for i, l := range ls {
		cs[i] = newColumn(l)
	}
	return cs
}

// size is the bytes that the values take. It depends on the values alone, so that it may
// decide where a segment ends.
func (c *column) size() int64 {
	s := int64(len(c.data)) + 4*int64(max(0, len(c.offsets)-1))
	if c.kind == kindBits {
		s = int64(c.n) // not len(data), which rounding would make depend on what was spilled
	}
	if c.words != nil {
		s = c.texts + 4*int64(c.n)
	}
	for i := range c.kids {
		s += c.kids[i].size()
	}
	return s
}

// capacity is the bytes of memory held.
func (c *column) capacity() int64 {
	s := int64(cap(c.data)) + 4*int64(cap(c.offsets)) + int64(cap(c.valid))
	for i := range c.kids {
		s += c.kids[i].capacity()
	}
	return s
}

// gather appends the values at base+idx[i] of d, whose own offset base includes.
func (c *column) gather(d arrow.ArrayData, base int, idx []int32) {
	if len(idx) == 0 {
		return
	}
	if contiguous(idx) {
		c.appendRange(d, base+int(idx[0]), len(idx))
		return
	}
	bufs := d.Buffers()
	if c.kind != kindNull {
		c.gatherValid(d, base, idx)
	}
	switch c.kind {
	case kindFixed:
		if c.narrow && d.DataType().ID() == arrow.DECIMAL128 {
			c.gatherNarrow(castTo[uint64](bufs[1].Bytes())[2*base:], idx)
			break
		}
		c.data = gatherFixed(c.data, bufs[1].Bytes(), c.width, base, idx)
	case kindBits:
		c.data = growBits(c.data, c.n+len(idx))
		gatherBits(c.data, c.n, bufs[1].Bytes(), base, idx)
	case kindBytes:
		if isDictionary(d.DataType()) {
			c.addNumbers(d.Dictionary(), castTo[int32](bufs[1].Bytes())[base:], idx)
			break
		}
		c.spellOut()
		c.gatherBytes(bufs, base, idx)
	case kindList:
		c.gatherList(d, base, idx)
	case kindStruct:
		for i, kid := range d.Children() {
			c.kids[i].gather(kid, base+kid.Offset(), idx)
		}
	}
	c.n += len(idx)
}

func contiguous(idx []int32) bool { return int(idx[len(idx)-1]-idx[0]) == len(idx)-1 && ascending(idx) }

// ascending is true of every idx that a router makes, not of one that a sort makes.
func ascending(idx []int32) bool {
	for i := 1; i < len(idx); i++ {
		if idx[i] < idx[i-1] {
			return false
		}
	}
	return true
}

func gatherFixed(dst, src []byte, width, base int, idx []int32) []byte {
	start := len(dst)
	dst = grow(dst, len(idx)*width)
	switch width {
	case 4:
		pick(castTo[uint32](dst[start:]), castTo[uint32](src)[base:], idx)
	case 8:
		pick(castTo[uint64](dst[start:]), castTo[uint64](src)[base:], idx)
	case 16:
		pick(castTo[[16]byte](dst[start:]), castTo[[16]byte](src)[base:], idx)
	default:
		for i, r := range idx {
			from := (base + int(r)) * width
			copy(dst[start+i*width:start+(i+1)*width], src[from:from+width])
		}
	}
	return dst
}

// gatherNarrow takes the low half of decimals; the high half is its sign.
func (c *column) gatherNarrow(src []uint64, idx []int32) {
	at := len(c.data)
	c.data = grow(c.data, 8*len(idx))
	out := castTo[uint64](c.data[at:])[:len(idx)]
	for i, r := range idx {
		out[i] = src[2*int(r)]
	}
}

func pick[T any](dst, src []T, idx []int32) {
	dst = dst[:len(idx)]
	for i, r := range idx {
		dst[i] = src[r]
	}
}

func gatherBits(dst []byte, at int, src []byte, base int, idx []int32) {
	for i, r := range idx {
		if bitutil.BitIsSet(src, base+int(r)) {
			bitutil.SetBit(dst, at+i)
		}
	}
}

// growValid makes room for n more values of d, and returns the bitmap of those that are there; nil where all are, which is noted then.
func (c *column) growValid(d arrow.ArrayData, n int) []byte {
	if b := d.Buffers()[0]; b != nil && b.Len() > 0 && d.NullN() != 0 {
		c.beginNulls()
		c.valid = growBits(c.valid, c.n+n)
		return b.Bytes()
	}
	c.appendValid(nil, n)
	return nil
}

func (c *column) gatherValid(d arrow.ArrayData, base int, idx []int32) {
	src := c.growValid(d, len(idx))
	if src == nil {
		return
	}
	for i, r := range idx {
		if bitutil.BitIsSet(src, base+int(r)) {
			bitutil.SetBit(c.valid, c.n+i)
		} else {
			c.nulls++
		}
	}
}

// beginNulls says of the values so far that they are none, unless some may be.
func (c *column) beginNulls() {
	if c.valid == nil {
		c.valid = growBits(nil, max(c.n, 1))
		bitutil.SetBitsTo(c.valid, 0, int64(c.n), true)
	}
}

func (c *column) gatherBytes(bufs []*memory.Buffer, base int, idx []int32) {
	from := castTo[int32](bufs[1].Bytes())[base:]
	var src []byte
	if bufs[2] != nil {
		src = bufs[2].Bytes()
	}
	total := 0
	for _, r := range idx {
		total += int(from[r+1] - from[r])
	}
	at := len(c.data)
	c.data = c.growTexts(total+longText, len(idx))[:at+total]
	offsets := c.growOffsets(len(idx))
	if dst := c.data[:cap(c.data)]; total > shortText*len(idx)*3/4 {
		copyTexts[[longText]byte](dst, offsets, at, src, from, idx)
	} else {
		copyTexts[[shortText]byte](dst, offsets, at, src, from, idx)
	}
}

const shortText, longText = 16, 48

// copyTexts copies the texts at idx to dst, from at on, and sets the offsets of their ends. Most texts are short: a few words copied
// blindly beat a call that looks at the length, and do not wait for it. What is copied too much lies beyond the end, or
// is overwritten by the next. There is room for T beyond the end of dst's texts.
func copyTexts[T [shortText]byte | [longText]byte](dst []byte, offsets []int32, at int, src []byte, from, idx []int32) {
	var words T
	blind := int32(len(src) - len(words))
	offsets = offsets[:len(idx)]
	for i, r := range idx {
		lo, hi := from[r], from[r+1]
		if hi-lo <= int32(len(words)) && lo <= blind {
			*(*T)(unsafe.Pointer(&dst[at])) = *(*T)(unsafe.Pointer(&src[lo]))
		} else {
			copy(dst[at:], src[lo:hi])
		}
		at += int(hi - lo)
		offsets[i] = int32(at)
	}
}

// growTexts is c.data with total bytes more, which the texts of n rows take. Where there is room for more rows than these, it is made for their
// texts too, as long as those so far: doubled capacity would lie half unused.
func (c *column) growTexts(total, n int) []byte {
	need, rows := len(c.data)+total, c.n+n
	if all := cap(c.offsets) - 1; need > cap(c.data) && all >= rows {
		likely := int(int64(need) * int64(all) / int64(rows))
		c.data = append(make([]byte, 0, likely+likely/16+longText), c.data...)
	}
	return grow(c.data, total)
}

func (c *column) gatherList(d arrow.ArrayData, base int, idx []int32) {
	from := castTo[int32](d.Buffers()[1].Bytes())[base:]
	total := 0
	for _, r := range idx {
		total += int(from[r+1] - from[r])
	}
	at := int32(c.kids[0].n)
	offsets := c.growOffsets(len(idx))
	elements := make([]int32, 0, total)
	for i, r := range idx {
		for e := from[r]; e < from[r+1]; e++ {
			elements = append(elements, e)
		}
		at += from[r+1] - from[r]
		offsets[i] = at
	}
	kid := d.Children()[0]
	c.kids[0].gather(kid, kid.Offset(), elements)
}

// growOffsets makes room for n more offsets and returns it.
func (c *column) growOffsets(n int) []int32 {
	if len(c.offsets) == 0 {
		if cap(c.offsets) == 0 {
			c.offsets = make([]int32, 0, max(n+1, minGrowth))
		}
		c.offsets = append(c.offsets, 0)
	}
	at := len(c.offsets)
	c.offsets = growSlice(c.offsets, n)
	return c.offsets[at:]
}

// grow makes dst n longer. Capacity doubles while small and grows by half later, because it
// is capacity that the memory bound counts.
func grow(dst []byte, n int) []byte { return growSlice(dst, n) }

const minGrowth = 16

func growSlice[T any](dst []T, n int) []T {
	need := len(dst) + n
	if need <= cap(dst) {
		return dst[:need]
	}
	size := cap(dst) * 2
	if cap(dst) > 1<<20 {
		size = cap(dst) + cap(dst)/2
	}
	out := make([]T, need, max(size, need, minGrowth))
	copy(out, dst)
	return out
}

// growBits makes room for n bits in all; new ones are 0.
func growBits(dst []byte, n int) []byte {
	at, need := len(dst), (n+7)/8
	if need <= at {
		return dst
	}
	dst = grow(dst, need-at)
	clear(dst[at:])
	return dst
}

func castTo[T any](b []byte) []T {
	if len(b) == 0 {
		return nil
	}
	var zero T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(zero)))
}

func bytesOf[T any](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(zero)))
}

// arrowData is the column as Arrow sees it, over the same memory.
func (c *column) arrowData() arrow.ArrayData {
	if c.kind == kindNull {
		return array.NewData(c.typ, c.n, []*memory.Buffer{nil}, nil, c.n, 0)
	}
	var valid *memory.Buffer
	if c.valid != nil {
		valid = memory.NewBufferBytes(c.valid)
	}
	if c.words != nil {
		return numbered(c.typ, c.n, valid, c.offsets, c.nulls, c.words)
	}
	bufs := []*memory.Buffer{valid}
	switch c.kind {
	case kindFixed, kindBits:
		bufs = append(bufs, memory.NewBufferBytes(c.data))
	case kindBytes:
		bufs = append(bufs, memory.NewBufferBytes(c.offsetBytes()), memory.NewBufferBytes(c.data))
	case kindList:
		bufs = append(bufs, memory.NewBufferBytes(c.offsetBytes()))
	}
	var kids []arrow.ArrayData
	for i := range c.kids {
		kids = append(kids, c.kids[i].arrowData())
	}
	return array.NewData(c.typ, c.n, bufs, kids, c.nulls, 0)
}

func (c *column) offsetBytes() []byte {
	if len(c.offsets) == 0 {
		return make([]byte, 4)
	}
	return bytesOf(c.offsets)
}

// arrowBatch is cols as a record batch over the same memory; n is their length.
func arrowBatch(schema *arrow.Schema, cols []column, n int) arrow.RecordBatch {
	arrs := make([]arrow.Array, len(cols))
	var types []arrow.Field // other than those of schema
	for i := range cols {
		d := cols[i].arrowData()
		arrs[i] = array.MakeFromData(d)
		d.Release()
		if cols[i].words != nil {
			if types == nil {
				types = schema.Fields()
			}
			types[i].Type = arrs[i].DataType()
		}
	}
	if types != nil {
		schema = arrow.NewSchema(types, nil)
	}
	rec := array.NewRecordBatch(schema, arrs, int64(n))
	for _, a := range arrs {
		a.Release()
	}
	return rec
}
