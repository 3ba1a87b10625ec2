package variant

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

var (
	// ErrTooDeep and ErrTooLarge are about values beyond MaxDepth and MaxBytes.
	ErrTooDeep  = fmt.Errorf("nested more than %d deep", MaxDepth)
	ErrTooLarge = fmt.Errorf("larger than %d MiB", MaxBytes>>20)
	// ErrRange is about a number that is beyond every type.
	ErrRange = errors.New("number out of range")
)

// KeyError is about a key that comes twice in an object.
type KeyError struct{ Key string }

func (e *KeyError) Error() string { return fmt.Sprintf("key %q comes twice in an object", e.Key) }

// Builder builds one variant at a time of the events of a walk over it: values in order, each member of an
// object after its key. It keeps its memory for the next one. The zero value is ready.
//
// The encoding of an object begins with sizes that depend on all of its members, and their numbers in the
// dictionary on all keys. So events are noted in a flat tree, in the order in which they come, and Append
// writes when all is known: it sorts the keys, adds sizes up from the leaves, and goes down once.
type Builder struct {
	nodes []node
	text  []byte  // keys, and the encodings of primitives
	open  []int32 // containers that have not ended
	key   span    // of the next member
	err   error

	// Of Append:
	keys   []int32 // nodes that have one, by key
	unique []span
	kids   []int32 // the children of the containers under way
}

type span struct{ from, to int }

func (s span) len() int { return s.to - s.from }

// node is a value in the tree.
type node struct {
	object, array bool
	parent        int32 // -1 at the top
	next          int32 // sibling, -1 for none
	first, last   int32 // child, -1 for none
	count         int32
	id            int32 // of its key
	key, text     span
	// data is the size of all children; size that of the value.
	data, size int
	maxID      int32
}

// Reset forgets what was built.
func (b *Builder) Reset() {
	b.nodes, b.text, b.open, b.err = b.nodes[:0], b.text[:0], b.open[:0], nil
}

func (b *Builder) add(n node) {
	n.parent, n.next, n.first, n.last, n.key = -1, -1, -1, -1, b.key
	at := int32(len(b.nodes))
	if top := len(b.open) - 1; top >= 0 {
		n.parent = b.open[top]
		p := &b.nodes[n.parent]
		if p.first < 0 {
			p.first = at
		} else {
			b.nodes[p.last].next = at
		}
		p.last = at
		p.count++
	}
	b.nodes = append(b.nodes, n)
	if len(b.text) > 2*MaxBytes && b.err == nil {
		b.err = ErrTooLarge
	}
}

// primitive adds a value whose encoding has been put behind from.
func (b *Builder) primitive(from int) { b.add(node{text: span{from, len(b.text)}}) }

func (b *Builder) header(primitive byte) (from int) {
	from = len(b.text)
	b.text = append(b.text, primitive<<2) // with basicPrimitive, which is 0
	return from
}

// Key says the key of the member that comes next.
func (b *Builder) Key(key []byte) {
	from := len(b.text)
	b.text = append(b.text, key...)
	b.key = span{from, len(b.text)}
}

// Begin opens an object or an array, which End closes.
func (b *Builder) Begin(object bool) {
	b.add(node{object: object, array: !object})
	b.open = append(b.open, int32(len(b.nodes)-1))
	if len(b.open) > MaxDepth && b.err == nil {
		b.err = ErrTooDeep
	}
}

// End closes what Begin opened last.
func (b *Builder) End() { b.open = b.open[:len(b.open)-1] }

// Null adds the null that JSON knows.
func (b *Builder) Null() { b.primitive(b.header(primitiveNull)) }

// Bool adds a boolean.
func (b *Builder) Bool(v bool) {
	if v {
		b.primitive(b.header(primitiveTrue))
	} else {
		b.primitive(b.header(primitiveFalse))
	}
}

// Int adds a whole number.
func (b *Builder) Int(v int64) {
	var from int
	switch {
	case v == int64(int8(v)):
		from = b.header(primitiveInt8)
		b.text = append(b.text, byte(v))
	case v == int64(int16(v)):
		from = b.header(primitiveInt16)
		b.text = binary.LittleEndian.AppendUint16(b.text, uint16(v))
	case v == int64(int32(v)):
		from = b.header(primitiveInt32)
		b.text = binary.LittleEndian.AppendUint32(b.text, uint32(v))
	default:
		from = b.header(primitiveInt64)
		b.text = binary.LittleEndian.AppendUint64(b.text, uint64(v))
	}
	b.primitive(from)
}

// Decimal adds v / 10^scale; scale is at most 38. Zeros at the end of the fraction don't count: a number
// is the same value whatever its scale, and a whole one an Int where that holds it.
func (b *Builder) Decimal(v decimal128.Num, scale int) {
	ten := decimal128.FromU64(10)
	for scale > 0 {
		q, r := v.Div(ten)
		if r != (decimal128.Num{}) {
			break
		}
		v, scale = q, scale-1
	}
	low := int64(v.LowBits())
	if v.HighBits() != low>>63 {
		b.decimal(primitiveDecimal16, v, scale, 16)
		return
	}
	// As Spark has it, a width is for a number of digits, before and after the point.
	switch {
	case scale == 0:
		b.Int(low)
	case scale <= 9 && low > -1e9 && low < 1e9:
		b.decimal(primitiveDecimal4, v, scale, 4)
	case scale <= 18 && low > -1e18 && low < 1e18:
		b.decimal(primitiveDecimal8, v, scale, 8)
	default:
		b.decimal(primitiveDecimal16, v, scale, 16)
	}
}

func (b *Builder) decimal(primitive byte, v decimal128.Num, scale, width int) {
	from := b.header(primitive)
	b.text = append(b.text, byte(scale))
	var le [16]byte
	binary.LittleEndian.PutUint64(le[:8], v.LowBits())
	binary.LittleEndian.PutUint64(le[8:], uint64(v.HighBits()))
	b.text = append(b.text, le[:width]...)
	b.primitive(from)
}

// Double adds a double. All NaNs are one.
func (b *Builder) Double(v float64) {
	if v != v {
		v = math.NaN()
	}
	from := b.header(primitiveDouble)
	b.text = binary.LittleEndian.AppendUint64(b.text, math.Float64bits(v))
	b.primitive(from)
}

// Float adds a float, which is another type than a double.
func (b *Builder) Float(v float32) {
	if v != v {
		v = float32(math.NaN())
	}
	from := b.header(primitiveFloat)
	b.text = binary.LittleEndian.AppendUint32(b.text, math.Float32bits(v))
	b.primitive(from)
}

// String adds a text, which is UTF-8.
func (b *Builder) String(s []byte) {
	from := len(b.text)
	if len(s) <= maxShortString {
		b.text = append(b.text, byte(len(s))<<2|basicShortString)
	} else {
		b.header(primitiveString)
		b.text = appendUint(b.text, len(s), 4)
	}
	b.text = append(b.text, s...)
	b.primitive(from)
}

// Other adds a value of another type by its encoding.
func (b *Builder) Other(encoded []byte) {
	from := len(b.text)
	b.text = append(b.text, encoded...)
	b.primitive(from)
}

// maxDigits is how many digits a decimal has, and how many of them after the point.
const maxDigits = 38

// Number adds a number as JSON spells it: with an exponent it is a double, the nearest one; without it is
// exactly what its digits say, as an integer or a decimal, up to 38 digits, and beyond that again the
// nearest double. Spark reads numbers alike.
func (b *Builder) Number(text []byte) {
	if v, ok := shortInt(text); ok {
		b.Int(v)
		return
	}
	if !bytes.ContainsAny(text, "eE") {
		if v, scale, ok := exact(text); ok {
			b.Decimal(v, scale)
			return
		}
	}
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil && b.err == nil {
		b.err = ErrRange
	}
	b.Double(v)
}

func shortInt(text []byte) (v int64, ok bool) {
	digits := bytes.TrimPrefix(text, []byte("-"))
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	for _, c := range digits {
		if c -= '0'; c > 9 {
			return 0, false
		}
		v = v*10 + int64(c)
	}
	if len(digits) < len(text) {
		v = -v
	}
	return v, true
}

// exact reads digits with a point, if a decimal holds them.
func exact(text []byte) (v decimal128.Num, scale int, ok bool) {
	digits := bytes.TrimPrefix(text, []byte("-"))
	whole, fraction, _ := bytes.Cut(digits, []byte("."))
	whole, fraction = bytes.TrimLeft(whole, "0"), bytes.TrimRight(fraction, "0")
	if len(whole)+len(fraction) > maxDigits { // digits that are 0.00…1 count as well: they are the scale
		return v, 0, false
	}
	ten := decimal128.FromU64(10)
	for _, part := range [][]byte{whole, fraction} {
		for _, c := range part {
			v = v.Mul(ten).Add(decimal128.FromU64(uint64(c - '0')))
		}
	}
	if len(digits) < len(text) {
		v = v.Negate()
	}
	return v, len(fraction), true
}

// Append puts the variant that was built behind metadata and value. It can be called once after a Reset.
func (b *Builder) Append(metadata, value []byte) ([]byte, []byte, error) {
	if b.err != nil {
		return metadata, value, b.err
	}
	dictionary := b.sortKeys()
	for i := len(b.nodes) - 1; i >= 0; i-- { // children come after their parents
		n := &b.nodes[i]
		n.size = n.text.len()
		if n.object || n.array {
			n.size = n.data + b.head(n)
		}
		if n.parent >= 0 {
			p := &b.nodes[n.parent]
			p.data += n.size
			p.maxID = max(p.maxID, n.id)
		}
	}
	if b.nodes[0].size > MaxBytes || dictionary > MaxBytes {
		return metadata, value, ErrTooLarge
	}
	value, err := b.emit(value, 0)
	if err != nil {
		return metadata, value, err
	}
	return b.appendMetadata(metadata, dictionary), value, nil
}

// sortKeys numbers the keys and returns their size.
func (b *Builder) sortKeys() (size int) {
	b.keys, b.unique = b.keys[:0], b.unique[:0]
	for i := range b.nodes {
		if p := b.nodes[i].parent; p >= 0 && b.nodes[p].object {
			b.keys = append(b.keys, int32(i))
		}
	}
	text := func(s span) []byte { return b.text[s.from:s.to] }
	slices.SortFunc(b.keys, func(i, j int32) int { return bytes.Compare(text(b.nodes[i].key), text(b.nodes[j].key)) })
	for _, i := range b.keys {
		n := &b.nodes[i]
		if last := len(b.unique) - 1; last < 0 || !bytes.Equal(text(n.key), text(b.unique[last])) {
			b.unique = append(b.unique, n.key)
			size += n.key.len()
		}
		n.id = int32(len(b.unique) - 1)
	}
	return size
}

// head is the size of what comes before the members of a container.
func (b *Builder) head(n *node) int {
	size := 1 + 1 + (int(n.count)+1)*widthOf(n.data)
	if n.count > math.MaxUint8 {
		size += 3
	}
	if n.object {
		size += int(n.count) * widthOf(int(n.maxID))
	}
	return size
}

func (b *Builder) emit(dst []byte, at int32) ([]byte, error) {
	n := &b.nodes[at]
	if !n.object && !n.array {
		return append(dst, b.text[n.text.from:n.text.to]...), nil
	}
	first := len(b.kids)
	for k := n.first; k >= 0; k = b.nodes[k].next {
		b.kids = append(b.kids, k)
	}
	kids := b.kids[first:]
	width, many, sizeWidth := widthOf(n.data), byte(0), 1
	if n.count > math.MaxUint8 {
		many, sizeWidth = 1, 4
	}
	if n.object {
		slices.SortFunc(kids, func(i, j int32) int { return int(b.nodes[i].id - b.nodes[j].id) })
		for i := 1; i < len(kids); i++ {
			if k := b.nodes[kids[i]]; k.id == b.nodes[kids[i-1]].id {
				b.kids = b.kids[:0]
				return dst, &KeyError{string(b.text[k.key.from:k.key.to])}
			}
		}
		idWidth := widthOf(int(n.maxID))
		dst = append(dst, (many<<4|byte(idWidth-1)<<2|byte(width-1))<<2|basicObject)
		dst = appendUint(dst, int(n.count), sizeWidth)
		for _, k := range kids {
			dst = appendUint(dst, int(b.nodes[k].id), idWidth)
		}
	} else {
		dst = append(dst, (many<<2|byte(width-1))<<2|basicArray)
		dst = appendUint(dst, int(n.count), sizeWidth)
	}
	offset := 0
	for _, k := range kids {
		dst = appendUint(dst, offset, width)
		offset += b.nodes[k].size
	}
	dst = appendUint(dst, offset, width)
	for i := range kids {
		var err error
		if dst, err = b.emit(dst, b.kids[first+i]); err != nil {
			return dst, err
		}
	}
	b.kids = b.kids[:first]
	return dst, nil
}

func (b *Builder) appendMetadata(dst []byte, dictionary int) []byte {
	const version, sorted = 1, 1 << 4
	width := widthOf(max(dictionary, len(b.unique)))
	dst = append(dst, version|sorted|byte(width-1)<<6)
	dst = appendUint(dst, len(b.unique), width)
	offset := 0
	for _, k := range b.unique {
		dst = appendUint(dst, offset, width)
		offset += k.len()
	}
	dst = appendUint(dst, offset, width)
	for _, k := range b.unique {
		dst = append(dst, b.text[k.from:k.to]...)
	}
	return dst
}
