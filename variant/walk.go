package variant

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// Visitor takes the events of a walk over a variant, in the order in which a Builder wants them. Slices
// are good during the call.
type Visitor interface {
	Null()
	Bool(bool)
	Int(int64)
	Decimal(v decimal128.Num, scale int)
	Double(float64)
	Float(float32)
	String([]byte)
	// Other is a value of a type that JSON has no notion of: its encoding.
	Other(encoded []byte)
	Begin(object bool)
	Key([]byte)
	End()
}

// Walk goes over a variant. Errors wrap ErrCorrupt; v may have had events by then.
func Walk(metadata, value []byte, v Visitor) error {
	w := walker{value: value, visit: v, left: len(value)}
	if err := w.readMetadata(metadata); err != nil {
		return err
	}
	_, err := w.walk(0, MaxDepth)
	return err
}

type walker struct {
	value []byte
	visit Visitor
	left  int // values that there can still be: each takes a byte, unless they overlap

	dictionary []byte // offsets of the keys
	width      int    // of an offset
	keys       int
	texts      []byte
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

func (w *walker) readMetadata(m []byte) error {
	if len(m) == 0 || m[0]&15 != 1 {
		return corrupt("the metadata is not of version 1")
	}
	w.width = int(m[0]>>6) + 1
	if len(m) < 1+w.width {
		return corrupt("the metadata ends early")
	}
	w.keys = readUint(m[1 : 1+w.width])
	start := 1 + w.width
	if (len(m)-start)/w.width <= w.keys {
		return corrupt("the metadata ends early")
	}
	end := start + (w.keys+1)*w.width
	w.dictionary, w.texts = m[start:end], m[end:]
	return nil
}

func (w *walker) key(id int) ([]byte, error) {
	if id >= w.keys {
		return nil, corrupt("key %d of %d", id, w.keys)
	}
	at := id * w.width
	from, to := readUint(w.dictionary[at:at+w.width]), readUint(w.dictionary[at+w.width:at+2*w.width])
	if from > to || to > len(w.texts) {
		return nil, corrupt("key %d lies outside of the metadata", id)
	}
	if !utf8.Valid(w.texts[from:to]) {
		return nil, corrupt("key %d is not UTF-8", id)
	}
	return w.texts[from:to], nil
}

// walk visits the value at at, and returns where it ends.
func (w *walker) walk(at, depth int) (int, error) {
	if w.left--; at >= len(w.value) || w.left < 0 {
		return 0, corrupt("a value lies outside of another")
	}
	b := w.value[at:]
	kind := b[0] >> 2
	switch b[0] & 3 {
	case basicShortString:
		return w.text(at, b, 1, int(kind))
	case basicPrimitive:
		if kind >= primitives {
			return 0, corrupt("there is no type %d", kind)
		}
		size := primitiveSize[kind]
		if size < 0 {
			if len(b) < 5 {
				return 0, corrupt("a value ends early")
			}
			length := readUint(b[1:5])
			if kind == primitiveString {
				return w.text(at, b, 5, length)
			}
			size = 4 + length
		}
		if len(b) < 1+size {
			return 0, corrupt("a value ends early")
		}
		return at + 1 + size, w.primitive(kind, b[1:1+size], b[:1+size])
	}
	if depth == 0 {
		return 0, corrupt("it is nested more than %d deep", MaxDepth)
	}
	return w.container(at, b, depth)
}

func (w *walker) text(at int, b []byte, head, length int) (int, error) {
	if len(b) < head+length {
		return 0, corrupt("a string ends early")
	}
	s := b[head : head+length]
	if !utf8.Valid(s) {
		return 0, corrupt("a string is not UTF-8")
	}
	w.visit.String(s)
	return at + head + length, nil
}

func (w *walker) primitive(kind byte, b, encoded []byte) error {
	le := binary.LittleEndian
	switch kind {
	case primitiveNull:
		w.visit.Null()
	case primitiveTrue, primitiveFalse:
		w.visit.Bool(kind == primitiveTrue)
	case primitiveInt8:
		w.visit.Int(int64(int8(b[0])))
	case primitiveInt16:
		w.visit.Int(int64(int16(le.Uint16(b))))
	case primitiveInt32:
		w.visit.Int(int64(int32(le.Uint32(b))))
	case primitiveInt64:
		w.visit.Int(int64(le.Uint64(b)))
	case primitiveDouble:
		w.visit.Double(math.Float64frombits(le.Uint64(b)))
	case primitiveFloat:
		w.visit.Float(math.Float32frombits(le.Uint32(b)))
	case primitiveDecimal4, primitiveDecimal8, primitiveDecimal16:
		scale := int(b[0])
		if scale > maxDigits {
			return corrupt("a decimal of scale %d", scale)
		}
		var v decimal128.Num
		switch b = b[1:]; kind {
		case primitiveDecimal4:
			v = decimal128.FromI64(int64(int32(le.Uint32(b))))
		case primitiveDecimal8:
			v = decimal128.FromI64(int64(le.Uint64(b)))
		default:
			v = decimal128.New(int64(le.Uint64(b[8:])), le.Uint64(b))
			if !v.FitsInPrecision(maxDigits) {
				return corrupt("a decimal of more than %d digits", maxDigits)
			}
		}
		w.visit.Decimal(v, scale)
	default:
		w.visit.Other(encoded)
	}
	return nil
}

func (w *walker) container(at int, b []byte, depth int) (int, error) {
	object := b[0]&3 == basicObject
	flags := b[0] >> 2
	width, idWidth, sizeWidth := int(flags&3)+1, 0, 1
	many := flags&4 != 0
	if object {
		idWidth, many = int(flags>>2&3)+1, flags&16 != 0
	}
	if many {
		sizeWidth = 4
	}
	if len(b) < 1+sizeWidth {
		return 0, corrupt("a value ends early")
	}
	count := readUint(b[1 : 1+sizeWidth])
	ids := 1 + sizeWidth
	if (len(b)-ids)/(idWidth+width) < count || len(b) < ids+count*idWidth+(count+1)*width {
		return 0, corrupt("a value ends early")
	}
	offsets := ids + count*idWidth
	data := offsets + (count+1)*width
	end := data + readUint(b[offsets+count*width:data])
	if end > len(b) {
		return 0, corrupt("a value ends early")
	}
	w.visit.Begin(object)
	for i := range count {
		if object {
			key, err := w.key(readUint(b[ids+i*idWidth : ids+(i+1)*idWidth]))
			if err != nil {
				return 0, err
			}
			w.visit.Key(key)
		}
		from := data + readUint(b[offsets+i*width:offsets+(i+1)*width])
		to, err := w.walk(at+from, depth-1)
		if err != nil {
			return 0, err
		}
		if to > at+end {
			return 0, corrupt("a value lies outside of another")
		}
	}
	w.visit.End()
	return at + end, nil
}

// AppendCanonical puts the canonical form of a variant behind metadata and value. b is scratch space.
// Errors wrap ErrCorrupt, or are those of Builder.Append.
func (b *Builder) AppendCanonical(metadata, value, fromMetadata, fromValue []byte) ([]byte, []byte, error) {
	b.Reset()
	if err := Walk(fromMetadata, fromValue, b); err != nil {
		return metadata, value, err
	}
	return b.Append(metadata, value)
}
