package stage

import (
	"bytes"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// A column of texts may come as a dictionary and places in it. The router numbers the texts of all dictionaries of a
// column, so that the blocks of a partition, whatever batches their rows are of, have one vocabulary: what is
// routed is numbers, and a text is hashed once for a run, not for each row. Such columns count for their size as
// if their texts were there, and are encoded to the same bytes: whether a column is one changes nothing that is written.

// vocabulary numbers the texts of one column. It is for one goroutine; what it has handed out does not change.
type vocabulary struct {
	numbers map[string]int32
	data    []byte
	ends    []int32     // ends[0] is 0
	all     *array.Data // data and ends as an array
	full    bool

	// The dictionary seen last, whose memory is its owner's, and the numbers of its texts.
	lastData []byte
	lastEnds []int32
	places   []int32
}

// A column with more texts than that is one of texts again: partitions keep vocabularies for as long as their rows wait.
const (
	mostWords     = 4096
	mostWordBytes = 64 << 10
)

// number is a with numbers of v's as its places; nil where there are too many texts.
func (v *vocabulary) number(a *array.Dictionary, typ arrow.DataType) arrow.Array {
	d := a.Data()
	if v.full || !v.learn(d.Dictionary(), typ) {
		v.full = true
		return nil
	}
	from := placesOf(d)
	to := make([]int32, len(from))
	for i, p := range from {
		if uint(p) < uint(len(v.places)) { // not where there is a null
			to[i] = v.places[p]
		}
	}
	var valid *memory.Buffer
	if a.NullN() > 0 {
		bits := make([]byte, bitutil.BytesForBits(int64(a.Len())))
		bitutil.CopyBitmap(a.NullBitmapBytes(), d.Offset(), a.Len(), bits, 0)
		valid = memory.NewBufferBytes(bits)
	}
	data := numbered(typ, len(to), valid, to, a.NullN(), v.all)
	defer data.Release()
	return array.MakeFromData(data)
}

// learn sets places for the texts of a dictionary. False means that they are too many.
func (v *vocabulary) learn(dict arrow.ArrayData, typ arrow.DataType) bool {
	data, ends := textsOf(dict)
	n := dict.Len()
	if n == 0 || n > mostWords || dict.NullN() > 0 {
		return false
	}
	data, ends = data[ends[0]:ends[n]], ends[:n+1]
	if slices.Equal(ends, v.lastEnds) && bytes.Equal(data, v.lastData) {
		return true
	}
	if v.numbers == nil {
		v.numbers, v.ends = map[string]int32{}, []int32{0}
	}
	v.places = growTo(v.places, n)
	known := len(v.ends)
	for i := range n {
		text := data[ends[i]-ends[0] : ends[i+1]-ends[0]]
		number, ok := v.numbers[string(text)]
		if !ok {
			if len(v.ends) > mostWords || len(v.data)+len(text) > mostWordBytes {
				return false
			}
			number = int32(len(v.ends) - 1)
			v.numbers[string(text)] = number
			v.data = append(v.data, text...)
			v.ends = append(v.ends, int32(len(v.data)))
		}
		v.places[i] = number
	}
	if len(v.ends) > known {
		v.all = array.NewData(typ, len(v.ends)-1, []*memory.Buffer{nil, memory.NewBufferBytes(bytesOf(v.ends)), memory.NewBufferBytes(v.data)}, nil, 0, 0)
	}
	v.lastEnds, v.lastData = append(v.lastEnds[:0], ends...), append(v.lastData[:0], data...)
	return true
}

// textsOf are the texts of an array: i lies between ends[i] and ends[i+1].
func textsOf(d arrow.ArrayData) (data []byte, ends []int32) {
	bufs := d.Buffers()
	if b := bufs[2]; b != nil {
		data = b.Bytes()
	}
	if b := bufs[1]; b != nil && b.Len() > 0 {
		ends = castTo[int32](b.Bytes())[d.Offset():]
	}
	return data, ends
}

// placesOf are the places that a dictionary array has, its offset counted in.
func placesOf(d arrow.ArrayData) []int32 {
	return castTo[int32](d.Buffers()[1].Bytes())[d.Offset() : d.Offset()+d.Len()]
}

// numbered is texts by number in a vocabulary.
func numbered(typ arrow.DataType, n int, valid *memory.Buffer, numbers []int32, nulls int, all *array.Data) *array.Data {
	return array.NewDataWithDictionary(&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: typ}, n,
		[]*memory.Buffer{valid, memory.NewBufferBytes(bytesOf(numbers))}, nulls, 0, all)
}

func isDictionary(t arrow.DataType) bool { return t.ID() == arrow.DICTIONARY }

// spelled is the texts of a themselves.
func spelled(a arrow.Array, l *layout) arrow.Array {
	c, d := newColumn(l), a.Data()
	if n := d.Len(); n > 0 {
		c.appendRangeValid(d, d.Offset(), n)
		c.spell(d.Dictionary(), placesOf(d), nil)
		c.n = n
	}
	data := c.arrowData()
	defer data.Release()
	return array.MakeFromData(data)
}

// addNumbers appends texts of all by their numbers: those at idx, nil is all of them. Their validity is there already.
func (c *column) addNumbers(all arrow.ArrayData, numbers, idx []int32) {
	switch {
	case c.words == nil && c.n > 0:
		c.spell(all, numbers, idx)
		return
	case c.words == nil:
		c.offsets = c.offsets[:0]
		fallthrough
	case all.Len() > c.words.Len():
		c.words = all.(*array.Data)
	}
	at := len(c.offsets)
	if idx == nil {
		c.offsets = growSlice(c.offsets, len(numbers))
		copy(c.offsets[at:], numbers)
	} else {
		c.offsets = growSlice(c.offsets, len(idx))
		pick(c.offsets[at:], numbers, idx)
	}
	_, ends := textsOf(c.words)
	c.texts += textBytes(c.offsets[at:], ends, c.valid, c.n)
}

// textBytes is the bytes of texts by number; valid, from bit at on, says which are there.
func textBytes(numbers, ends []int32, valid []byte, at int) int64 {
	sum := int64(0)
	for i, p := range numbers {
		if valid == nil || bitutil.BitIsSet(valid, at+i) {
			sum += int64(ends[p+1] - ends[p])
		}
	}
	return sum
}

// textsSize is the size of the texts that d has by number, as column.size has it.
func textsSize(d arrow.ArrayData) int64 {
	var valid []byte
	if d.NullN() > 0 {
		valid = d.Buffers()[0].Bytes()
	}
	_, ends := textsOf(d.Dictionary())
	return textBytes(placesOf(d), ends, valid, d.Offset()) + 4*int64(d.Len())
}

// spell is addNumbers for a column that has the texts themselves.
func (c *column) spell(all arrow.ArrayData, numbers, idx []int32) {
	data, ends := textsOf(all)
	if idx == nil {
		idx = appendUpTo(nil, len(numbers))
	}
	offsets := c.growOffsets(len(idx))
	for i, k := range idx {
		if c.valid == nil || bitutil.BitIsSet(c.valid, c.n+i) {
			p := numbers[k]
			from, to := ends[p], ends[p+1]
			at := len(c.data)
			c.data = grow(c.data, int(to-from))
			copy(c.data[at:], data[from:to])
		}
		offsets[i] = int32(len(c.data))
	}
}

// spellOut makes c a column of texts, if it is one of numbers.
func (c *column) spellOut() {
	if c.words == nil {
		return
	}
	n, all, numbers := c.n, c.words, c.offsets
	c.words, c.texts, c.offsets, c.n = nil, 0, nil, 0
	c.spell(all, numbers[:n], nil)
	c.n = n
}
