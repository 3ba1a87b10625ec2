package stage

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

// dictionary codes the values of one column of a row group. Hashing here and handing arrow-go
// the codes costs a third of what its own dictionary encoder does. It is reused from column to
// column.
type dictionary struct {
	table []int32 // code+1 by hash, open addressing
	codes []int32
	words []uint64 // entries that are words
	data  []byte   // entries that are texts
	ends  []int32  // of entries in data; ends[0] is 0
}

// Whether a dictionary pays is guessed from a sample, because building one that does not pay
// costs more than it could save.
const (
	sampleSize  = 1024
	tableStart  = 4096
	maxDistinct = sampleSize * 3 / 4
)

func (d *dictionary) reset(n int) {
	if len(d.table) == 0 {
		d.table, d.data = make([]int32, tableStart), noText
	}
	clear(d.table)
	d.codes = growTo(d.codes, n)
	d.words, d.data, d.ends = d.words[:0], d.data[:0], append(d.ends[:0], 0)
}

// codeWords fills codes for vals. False means that a dictionary of at
// most limit bytes would not make the column smaller; width is what a plain value takes.
func codeWords[T uint32 | uint64](d *dictionary, vals []T, width int, limit int64) bool {
	n := len(vals)
	if n > 2*sampleSize && !worthSampling(d, n, func(i int) bool { return d.addWord(uint64(vals[i])) }) {
		return false
	}
	d.reset(n)
	most := min(int(limit)/width, n/2+1)
	for i, v := range vals {
		w := uint64(v)
		h := hashWord(w) & uint64(len(d.table)-1)
		for {
			k := d.table[h]
			if k == 0 {
				if len(d.words) >= most {
					return false
				}
				d.words = append(d.words, w)
				d.table[h] = int32(len(d.words))
				d.codes[i] = int32(len(d.words) - 1)
				if 2*len(d.words) > len(d.table) {
					d.growWords()
				}
				break
			}
			if d.words[k-1] == w {
				d.codes[i] = k - 1
				break
			}
			h = (h + 1) & uint64(len(d.table)-1)
		}
	}
	return pays(n, len(d.words), int64(width)*int64(len(d.words)), int64(width)*int64(n))
}

// worthSampling looks at values spread over the column; isNew adds value i to the dictionary
// and tells whether it was not there.
func worthSampling(d *dictionary, n int, isNew func(i int) bool) bool {
	d.reset(0)
	distinct := 0
	for k := range sampleSize {
		if isNew(int(int64(k) * int64(n) / sampleSize)) {
			distinct++
		}
	}
	return distinct <= maxDistinct
}

// pays compares a dictionary and its indices with the plain values, before compression.
func pays(n, entries int, dictBytes, plainBytes int64) bool {
	return n > 0 && dictBytes+int64(n)*int64(bits.Len(uint(max(entries-1, 1))))/8 < plainBytes
}

func (d *dictionary) addWord(w uint64) bool {
	h := hashWord(w) & uint64(len(d.table)-1)
	for d.table[h] != 0 {
		if d.words[d.table[h]-1] == w {
			return false
		}
		h = (h + 1) & uint64(len(d.table)-1)
	}
	d.words = append(d.words, w)
	d.table[h] = int32(len(d.words))
	return true
}

func (d *dictionary) growWords() {
	table := make([]int32, 4*len(d.table))
	for c, w := range d.words {
		place(table, hashWord(w), c)
	}
	d.table = table
}

func place(table []int32, hash uint64, code int) {
	h := hash & uint64(len(table)-1)
	for table[h] != 0 {
		h = (h + 1) & uint64(len(table)-1)
	}
	table[h] = int32(code + 1)
}

// codeTexts fills codes for the values that lie between offsets; see codeWords.
func codeTexts(d *dictionary, data []byte, offsets []int32, limit int64) bool {
	n := len(offsets) - 1
	text := func(i int) []byte { return data[offsets[i]:offsets[i+1]] }
	if n > 2*sampleSize && !worthSampling(d, n, func(i int) bool { return d.addText(text(i)) }) {
		return false
	}
	d.reset(n)
	for i := range n {
		s := text(i)
		h := hashText(s) & uint64(len(d.table)-1)
		for {
			k := d.table[h]
			if k == 0 {
				if int64(len(d.data)+len(s)+4*len(d.ends)) > limit || len(d.ends) > n/2+1 {
					return false
				}
				d.data = append(d.data, s...)
				d.ends = append(d.ends, int32(len(d.data)))
				code := len(d.ends) - 2
				d.table[h] = int32(code + 1)
				d.codes[i] = int32(code)
				if 2*len(d.ends) > len(d.table) {
					d.growTexts()
				}
				break
			}
			if string(d.text(int(k-1))) == string(s) {
				d.codes[i] = k - 1
				break
			}
			h = (h + 1) & uint64(len(d.table)-1)
		}
	}
	entries := len(d.ends) - 1
	return pays(n, entries, int64(len(d.data)+4*entries), int64(offsets[n]-offsets[0])+4*int64(n))
}

func (d *dictionary) text(code int) []byte { return d.data[d.ends[code]:d.ends[code+1]] }

func (d *dictionary) addText(s []byte) bool {
	h := hashText(s) & uint64(len(d.table)-1)
	for d.table[h] != 0 {
		if string(d.text(int(d.table[h]-1))) == string(s) {
			return false
		}
		h = (h + 1) & uint64(len(d.table)-1)
	}
	d.data = append(d.data, s...)
	d.ends = append(d.ends, int32(len(d.data)))
	d.table[h] = int32(len(d.ends) - 1)
	return true
}

func (d *dictionary) growTexts() {
	table := make([]int32, 4*len(d.table))
	for c := range len(d.ends) - 1 {
		place(table, hashText(d.text(c)), c)
	}
	d.table = table
}

func hashWord(w uint64) uint64 {
	hi, lo := bits.Mul64(w^0x9e3779b97f4a7c15, 0xd1342543de82ef95)
	return hi ^ lo
}

// hashText mixes the length and the first and last eight bytes; texts between go to the same
// slot and are told apart by comparing, which a bounded dictionary makes rare enough.
func hashText(s []byte) uint64 {
	var a, b uint64
	switch n := len(s); {
	case n > 16:
		a = binary.LittleEndian.Uint64(s) ^ bits.RotateLeft64(binary.LittleEndian.Uint64(s[n/2-4:]), 17)
		b = binary.LittleEndian.Uint64(s[n-8:])
	case n >= 8:
		a, b = binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint64(s[n-8:])
	case n >= 4:
		a, b = uint64(binary.LittleEndian.Uint32(s)), uint64(binary.LittleEndian.Uint32(s[n-4:]))
	case n > 0:
		a = uint64(s[0])<<16 | uint64(s[n>>1])<<8 | uint64(s[n-1])
	}
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15, b^uint64(len(s))*0x9fb21c651e98df25^0xd1342543de82ef95)
	return hi ^ lo
}

// spaced spreads codes over the slots that exist in their list, as arrow-go wants them: a code
// of 0 and an unset bit where the slot has no value.
func spaced(codes []int32, def []int16, l *leaf, outCodes []int32, outValid []byte) ([]int32, []byte) {
	outCodes = outCodes[:0]
	outValid = outValid[:0]
	next := 0
	for _, d := range def {
		if d < l.listDef {
			continue
		}
		at := len(outCodes)
		if at%8 == 0 {
			outValid = append(outValid, 0)
		}
		code := int32(0)
		if d == l.maxDef {
			code = codes[next]
			next++
			bitutil.SetBit(outValid, at)
		}
		outCodes = append(outCodes, code)
	}
	return outCodes, outValid
}
