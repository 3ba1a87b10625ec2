package stage

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/apache/arrow-go/v18/parquet"
)

// entries are those of a dictionary, in the order of their codes: words, or texts.
type entries struct {
	words []uint64
	data  []byte
	ends  []int32 // of texts in data; ends[0] is 0
}

func (k *entries) len() int { return max(len(k.words), len(k.ends)-1) }

func (k *entries) text(code int) []byte { return k.data[k.ends[code]:k.ends[code+1]] }

// truncate leaves the first words, or the texts of the first ends.
func (k *entries) truncate(words, ends int) {
	k.words, k.ends = k.words[:words], k.ends[:ends]
	if ends > 0 {
		k.data = k.data[:k.ends[ends-1]]
	}
}

func (k *entries) clone() entries {
	return entries{slices.Clone(k.words), slices.Clone(k.data), slices.Clone(k.ends)}
}

// appendPlain appends the entries as a dictionary page has them.
func (k *entries) appendPlain(b []byte, typ parquet.Type) []byte {
	switch typ {
	case parquet.Types.ByteArray:
		return appendPlainTexts(b, k.data, k.ends)
	case parquet.Types.Int32, parquet.Types.Float:
		return append(b, bytesOf(widened[int32](k.words))...)
	}
	return append(b, bytesOf(k.words)...)
}

// dictionary codes the values of one column. It is reused from column to column: what
// lasts is the entries.
type dictionary struct {
	table []int32 // code+1 by hash, open addressing
	codes []int32
	known entries // of a sample
	begun entries // of a column that has none yet

	// of texts by number: the place of each among those that occur, and those
	seen, places []int32
	texts        []byte
	offsets      []int32
}

// Whether a dictionary pays is guessed from a sample, because building one that does not pay
// costs more than it could save.
const (
	sampleSize  = 1024
	tableStart  = 2 * sampleSize
	maxDistinct = sampleSize * 3 / 4
)

// reset makes codes for n values and a table of the words or texts that k has.
func (d *dictionary) reset(n int, k *entries) {
	d.codes = growTo(d.codes, n)
	size := tableStart
	for size < 4*k.len() {
		size *= 4
	}
	d.table = growTo(d.table, size)
	clear(d.table)
	for code, w := range k.words {
		place(d.table, hashWord(w), code)
	}
	for code := range len(k.ends) - 1 {
		place(d.table, hashText(k.text(code)), code)
	}
}

// extend has code fill codes and add the entries that k lacks; false, and k as it was, means that it says that they do not pay. Those
// of a column's first rows are kept aside until it is known that they do: every row group of every partition begins so.
func (d *dictionary) extend(k *entries, code func(k *entries) bool) bool {
	words, ends := len(k.words), len(k.ends)
	if words+ends > 0 {
		pays := code(k)
		if !pays {
			k.truncate(words, ends)
		}
		return pays
	}
	d.begun.words, d.begun.data, d.begun.ends = d.begun.words[:0], d.begun.data[:0], d.begun.ends[:0]
	if !code(&d.begun) {
		return false
	}
	*k = d.begun.clone()
	return true
}

// codeWords fills codes for vals, and adds to k those that it lacks. False means that a dictionary, of
// limit bytes at most, would not make vals smaller; what it added is extend's to take away. width is what a plain
// value takes.
func codeWords[T int32 | int64](d *dictionary, k *entries, vals []T, width int, limit int64) bool {
	n, known := len(vals), len(k.words)
	if n > 2*sampleSize && len(k.words) == 0 && !d.worthWords(n, func(i int) uint64 { return word(vals[i]) }) {
		return false
	}
	d.reset(n, k)
	most := min(int(limit)/width, known+n/2+1)
	mask := uint64(len(d.table) - 1)
	for i, v := range vals {
		w := word(v)
		h := hashWord(w) & mask
		for {
			c := d.table[h]
			if c == 0 {
				if len(k.words) >= most {
					return false
				}
				k.words = append(k.words, w)
				d.table[h] = int32(len(k.words))
				d.codes[i] = int32(len(k.words) - 1)
				if 2*len(k.words) > len(d.table) {
					d.reset(n, k)
					mask = uint64(len(d.table) - 1)
				}
				break
			}
			if k.words[c-1] == w {
				d.codes[i] = c - 1
				break
			}
			h = (h + 1) & mask
		}
	}
	return pays(n, len(k.words), width*(len(k.words)-known), width*n)
}

func word[T int32 | int64](v T) uint64 { return unsigned(v) }

// worthWords looks at values spread over the column.
func (d *dictionary) worthWords(n int, at func(i int) uint64) bool {
	d.known.words = d.known.words[:0]
	d.reset(0, &entries{})
	mask := uint64(len(d.table) - 1)
sample:
	for s := range sampleSize {
		w := at(int(int64(s) * int64(n) / sampleSize))
		h := hashWord(w) & mask
		for ; d.table[h] != 0; h = (h + 1) & mask {
			if d.known.words[d.table[h]-1] == w {
				continue sample
			}
		}
		d.known.words = append(d.known.words, w)
		d.table[h] = int32(len(d.known.words))
	}
	return len(d.known.words) <= maxDistinct
}

// pays compares n codes of a dictionary, with what they added to it, with the plain values, before compression.
func pays(n, entries, added, plain int) bool {
	return n == 0 || added+n*bits.Len(uint(max(entries-1, 1)))/8 < plain
}

func place(table []int32, hash uint64, code int) {
	h := hash & uint64(len(table)-1)
	for table[h] != 0 {
		h = (h + 1) & uint64(len(table)-1)
	}
	table[h] = int32(code + 1)
}

// codeTexts fills codes for the values that lie between offsets; see codeWords.
func codeTexts(d *dictionary, k *entries, data []byte, offsets []int32, limit int64) bool {
	n := len(offsets) - 1
	if len(k.ends) == 0 {
		if n > 2*sampleSize && !d.worthTexts(data, offsets) {
			return false
		}
		k.ends = append(k.ends, 0)
	}
	known, size := len(k.ends), len(k.data)
	return d.addTexts(k, data, offsets, limit, known+n/2+1) &&
		pays(n, len(k.ends)-1, len(k.data)-size+4*(len(k.ends)-known), int(offsets[n]-offsets[0])+4*n)
}

// codeNumbers is codeTexts for texts by their numbers in all: each is looked up once.
func codeNumbers(d *dictionary, k *entries, all []byte, ends, numbers []int32, limit int64) bool {
	n := len(numbers)
	if len(k.ends) == 0 {
		if n > 2*sampleSize && !d.worthNumbers(numbers, len(ends)-1) {
			return false
		}
		k.ends = append(k.ends, 0)
	}
	d.seen = growTo(d.seen, len(ends)-1)
	clear(d.seen)
	d.texts, d.offsets = d.texts[:0], append(d.offsets[:0], 0)
	d.places = growTo(d.places, n)
	plain := 4 * n
	for i, number := range numbers {
		from, to := ends[number], ends[number+1]
		if d.seen[number] == 0 {
			d.texts = append(d.texts, all[from:to]...)
			d.offsets = append(d.offsets, int32(len(d.texts)))
			d.seen[number] = int32(len(d.offsets) - 1)
		}
		d.places[i] = d.seen[number] - 1
		plain += int(to - from)
	}
	known, size := len(k.ends), len(k.data)
	if !d.addTexts(k, d.texts, d.offsets, limit, known+n/2+1) {
		return false
	}
	for i, p := range d.places {
		d.places[i] = d.codes[p]
	}
	d.codes, d.places = d.places, d.codes
	return pays(n, len(k.ends)-1, len(k.data)-size+4*(len(k.ends)-known), plain)
}

// worthNumbers is worthTexts for texts by their numbers, of which there are most.
func (d *dictionary) worthNumbers(numbers []int32, most int) bool {
	d.seen = growTo(d.seen, most)
	clear(d.seen)
	distinct, n := 0, len(numbers)
	for s := range sampleSize {
		if i := int(int64(s) * int64(n) / sampleSize); d.seen[numbers[i]] == 0 {
			d.seen[numbers[i]] = 1
			distinct++
		}
	}
	return distinct <= maxDistinct
}

// addTexts fills codes for texts, and adds to k those that it lacks, up to limit bytes and most ends.
func (d *dictionary) addTexts(k *entries, data []byte, offsets []int32, limit int64, most int) bool {
	n := len(offsets) - 1
	d.reset(n, k)
	mask := uint64(len(d.table) - 1)
	for i := range n {
		s := data[offsets[i]:offsets[i+1]]
		h := hashText(s) & mask
		for {
			c := d.table[h]
			if c == 0 {
				if int64(len(k.data)+len(s)+4*len(k.ends)) > limit || len(k.ends) > most {
					return false
				}
				k.data = append(k.data, s...)
				k.ends = append(k.ends, int32(len(k.data)))
				code := len(k.ends) - 2
				d.table[h] = int32(code + 1)
				d.codes[i] = int32(code)
				if 2*len(k.ends) > len(d.table) {
					d.reset(n, k)
					mask = uint64(len(d.table) - 1)
				}
				break
			}
			if string(k.text(int(c-1))) == string(s) {
				d.codes[i] = c - 1
				break
			}
			h = (h + 1) & mask
		}
	}
	return true
}

// worthTexts looks at values spread over the column.
func (d *dictionary) worthTexts(data []byte, offsets []int32) bool {
	n := len(offsets) - 1
	k := &d.known
	k.data, k.ends = k.data[:0], append(k.ends[:0], 0)
	d.reset(0, &entries{})
	mask := uint64(len(d.table) - 1)
sample:
	for s := range sampleSize {
		i := int(int64(s) * int64(n) / sampleSize)
		text := data[offsets[i]:offsets[i+1]]
		h := hashText(text) & mask
		for ; d.table[h] != 0; h = (h + 1) & mask {
			if string(k.text(int(d.table[h]-1))) == string(text) {
				continue sample
			}
		}
		k.data = append(k.data, text...)
		k.ends = append(k.ends, int32(len(k.data)))
		d.table[h] = int32(len(k.ends) - 1)
	}
	return len(k.ends)-1 <= maxDistinct
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
