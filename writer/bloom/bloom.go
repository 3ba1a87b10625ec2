// Package bloom has Parquet's split block Bloom filters: sets of values that may say yes of one that they don't
// have, and never no of one that they have. It knows
//
//   - a hash: XXH64 of a value's plain encoding, without the length of a text;
//   - a filter: blocks of 256 bits, a power of two of them, in each of which a value sets eight bits.
//
// Source: parquet.apache.org/docs/file-format/bloomfilter.
package bloom

import (
	"encoding/binary"
	"math"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// Filter is a set of hashes. The zero Filter is none.
type Filter struct {
	words []uint32 // eight a block
}

const (
	blockWords = 8
	blockBytes = 4 * blockWords
)

// salts are the specification's.
var salts = [blockWords]uint32{0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31}

// Hash is that of a value in plain encoding.
func Hash(value []byte) uint64 { return xxhash.Sum64(value) }

// HashString is that of a text.
func HashString(value string) uint64 { return xxhash.Sum64String(value) }

// Size is how many bytes a filter for n distinct values takes that says yes to a share of fpp of others; most at
// most, but for a block.
func Size(n int64, fpp float64, most int64) int64 {
	need := -8 * float64(n) / math.Log(1-math.Pow(fpp, 1.0/8)) / 8
	size := int64(blockBytes)
	for float64(size) < need && 2*size <= most {
		size *= 2
	}
	return size
}

// New returns an empty filter of size bytes, one of Size's.
func New(size int64) *Filter { return &Filter{make([]uint32, size/4)} }

func (f *Filter) block(hash uint64) []uint32 {
	at, _ := bits.Mul64(hash>>32<<32, uint64(len(f.words)/blockWords))
	return f.words[at*blockWords:][:blockWords]
}

// Add puts a value in.
func (f *Filter) Add(hash uint64) {
	b := f.block(hash)
	for i, salt := range salts {
		b[i] |= 1 << (uint32(hash) * salt >> 27)
	}
}

// Has tells whether a value may be in f.
func (f *Filter) Has(hash uint64) bool {
	b := f.block(hash)
	for i, salt := range salts {
		if b[i]&(1<<(uint32(hash)*salt>>27)) == 0 {
			return false
		}
	}
	return true
}

// Fit makes f as small as its distinct values allow, by a guess from the bits that they set: a filter with half
// the blocks has in each of them what two have now.
func (f *Filter) Fit(fpp float64) {
	set := 0
	for _, w := range f.words {
		set += bits.OnesCount32(w)
	}
	all := 32 * len(f.words)
	if set == all {
		return
	}
	// A value sets one bit in 32 of each word of its block, so that after k values to a block a share of
	// exp(-k/32) is clear.
	n := -32 * float64(len(f.words)/blockWords) * math.Log(1-float64(set)/float64(all))
	size := Size(int64(math.Ceil(n)), fpp, int64(4*len(f.words)))
	for int64(4*len(f.words)) > size {
		half := f.words[:len(f.words)/2]
		for b := 0; b < len(half); b += blockWords {
			for i := range blockWords {
				half[b+i] = f.words[2*b+i] | f.words[2*b+blockWords+i]
			}
		}
		f.words = half
	}
}

// header is that of a filter, in Thrift's compact protocol, behind its size: split blocks, XXH64, uncompressed.
const (
	sizeField = 0x15
	header    = "\x1c\x1c\x00\x00\x1c\x1c\x00\x00\x1c\x1c\x00\x00\x00"
)

// Append appends f with its header.
func (f *Filter) Append(b []byte) []byte {
	b = append(b, sizeField)
	b = binary.AppendUvarint(b, uint64(4*len(f.words))<<1) // zigzag
	b = append(b, header...)
	for _, w := range f.words {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// HeaderMost is how long a header can be.
const HeaderMost = 1 + 5 + len(header)

// Parse reads a filter with its header from the beginning of b. Where b is too short for it, need says how many
// bytes it takes; ok is false, and need 0, where it is of another kind.
func Parse(b []byte) (f *Filter, need int, ok bool) {
	if len(b) < HeaderMost {
		return nil, HeaderMost, false
	}
	twice, n := binary.Uvarint(b[1:])
	size := int64(twice >> 1)
	at := 1 + n
	if b[0] != sizeField || n <= 0 || twice&1 != 0 || size < blockBytes || size > 128<<20 || size%blockBytes != 0 || string(b[at:at+len(header)]) != header {
		return nil, 0, false
	}
	at += len(header)
	if len(b)-at < int(size) {
		return nil, at + int(size), false
	}
	f = New(size)
	for i := range f.words {
		f.words[i] = binary.LittleEndian.Uint32(b[at+4*i:])
	}
	return f, at + int(size), true
}
