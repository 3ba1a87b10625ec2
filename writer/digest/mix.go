package digest

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/zeebo/xxh3"
)

// seed makes one field's hashes independent of another's. Assembly reads its first words.
type seed struct {
	a, b, c, d uint64
	// tops are what the upper half of a 128-bit value adds to both halves of its hash where it is 0 and where
	// it is all ones, the sign of a narrow one.
	tops [2]uint64
	memo memo
	text textSeed
}

func newSeed(id int) *seed {
	var text [8]byte
	binary.LittleEndian.PutUint64(text[:], uint64(int64(id)))
	x := xxh3.Hash128Seed(text[:], 0x1cedd16e57000001)
	y := xxh3.Hash128Seed(text[:], 0x1cedd16e57000002)
	s := &seed{a: x.Hi, b: x.Lo, c: y.Hi, d: y.Lo}
	s.text = newTextSeed(s.d)
	s.tops = [2]uint64{mixA(s.c), mixA(^s.c)}
	return s
}

func add(hi, lo *uint64, h, l uint64) {
	var carry uint64
	*lo, carry = bits.Add64(*lo, l, 0)
	*hi, _ = bits.Add64(*hi, h, carry)
}

// addWord adds the hash of a 64-bit value. Both halves are bijections of v, so that two
// values of one field never collide before rows are mixed.
func addWord(s *seed, v uint64, hi, lo *uint64) {
	add(hi, lo, mixB(v+s.b), mixA(v^s.a))
}

// addPair adds the hash of a 128-bit value: its lower half, and mixA(c^upper half).
func addPair(s *seed, top, v uint64, hi, lo *uint64) {
	add(hi, lo, mixB((v+s.b)^bits.RotateLeft64(top, 31)), mixA((v^s.a)+top))
}

func integers[T ~int8 | ~int16 | ~int32 | ~int64](s *seed, a arrow.Array, values []T, hi, lo []uint64) {
	for p := presentIn(a); p.next(); {
		words(s, values[p.from:p.to], hi[p.from:p.to], lo[p.from:p.to])
	}
}

func words[T ~int8 | ~int16 | ~int32 | ~int64](s *seed, values []T, hi, lo []uint64) {
	i := 0
	if blocks := len(values) / 8; blocks > 0 && vectors {
		switch first := unsafe.Pointer(&values[0]); unsafe.Sizeof(values[0]) {
		case 8:
			addWords64(s, (*int64)(first), &hi[0], &lo[0], blocks)
			i = blocks * 8
		case 4:
			addWords32(s, (*int32)(first), &hi[0], &lo[0], blocks)
			i = blocks * 8
		}
	}
	for ; i < len(values); i++ {
		addWord(s, uint64(int64(values[i])), &hi[i], &lo[i])
	}
}

func booleans(s *seed, a *array.Boolean, hi, lo []uint64) {
	var hashes [2]struct{ hi, lo uint64 }
	for v := range hashes {
		addWord(s, uint64(v), &hashes[v].hi, &hashes[v].lo)
	}
	bitmap, offset := a.Data().Buffers()[1].Bytes(), a.Offset()
	for p := presentIn(a); p.next(); {
		for i := p.from; i < p.to; i++ {
			at := offset + i
			h := &hashes[bitmap[at/8]>>(at%8)&1]
			add(&hi[i], &lo[i], h.hi, h.lo)
		}
	}
}

func floats[T ~float32 | ~float64](s *seed, a arrow.Array, values []T, hi, lo []uint64) {
	const nan = 0x7ff8000000000000
	var bits [128]int64
	for p := presentIn(a); p.next(); {
		for from := p.from; from < p.to; from += len(bits) {
			part := values[from:min(from+len(bits), p.to)]
			for i, v := range part {
				bits[i] = int64(math.Float64bits(float64(v)))
				if v != v { // every NaN alike
					bits[i] = nan
				}
			}
			words(s, bits[:len(part)], hi[from:], lo[from:])
		}
	}
}

// narrowDecimals have an upper half that is nothing but a sign.
func narrowDecimals[T ~int32 | ~int64](s *seed, a arrow.Array, values []T, hi, lo []uint64) {
	plus, change := s.tops[0], s.tops[0]^s.tops[1]
	for p := presentIn(a); p.next(); {
		values, hi, lo := values[p.from:p.to], hi[p.from:p.to], lo[p.from:p.to]
		i := 0
		if blocks := len(values) / 8; blocks > 0 && vectors && unsafe.Sizeof(values[0]) == 8 {
			addNarrow64(s, (*int64)(unsafe.Pointer(&values[0])), &hi[0], &lo[0], blocks)
			i = blocks * 8
		}
		for ; i < len(values); i++ {
			v := int64(values[i])
			addPair(s, plus^(change&uint64(v>>63)), uint64(v), &hi[i], &lo[i])
		}
	}
}

// wideDecimals mostly have an upper half like the one before.
func wideDecimals(s *seed, a arrow.Array, values []decimal128.Num, hi, lo []uint64) {
	last, top := int64(0), s.tops[0]
	for p := presentIn(a); p.next(); {
		values, hi, lo := values[p.from:p.to], hi[p.from:p.to], lo[p.from:p.to]
		for i, v := range values {
			if upper := v.HighBits(); upper != last {
				last, top = upper, mixA(uint64(upper)^s.c)
			}
			addPair(s, top, v.LowBits(), &hi[i], &lo[i])
		}
	}
}

// mixA and mixB are 64-bit bijections with full avalanche (the finalisers of splitmix64 and
// murmur3).
func mixA(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func mixB(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// finalise is a 128-bit bijection: four rounds of a Feistel network over mixA and mixB.
func finalise(hi, lo uint64) (uint64, uint64) {
	lo ^= mixA(hi + 0x9e3779b97f4a7c15)
	hi ^= mixB(lo + 0xc2b2ae3d27d4eb4f)
	lo ^= mixB(hi + 0x165667b19e3779f9)
	hi ^= mixA(lo + 0x27d4eb2f165667c5)
	return hi, lo
}

func finaliseAll(hi, lo []uint64) {
	i := 0
	if blocks := len(hi) / 8; blocks > 0 && vectors {
		finaliseBlocks(&hi[0], &lo[0], blocks)
		i = blocks * 8
	}
	for ; i < len(hi); i++ {
		hi[i], lo[i] = finalise(hi[i], lo[i])
	}
}

func sumAll(hi, lo []uint64) Sum {
	s := Sum{Rows: int64(len(hi))}
	i := 0
	if blocks := len(hi) / 8; blocks > 0 && vectors {
		var lanes [2][8]uint64
		sumBlocks(&hi[0], &lo[0], blocks, &lanes)
		for k := range lanes[0] {
			add(&s.Hi, &s.Lo, lanes[0][k], lanes[1][k])
		}
		i = blocks * 8
	}
	for ; i < len(hi); i++ {
		add(&s.Hi, &s.Lo, hi[i], lo[i])
	}
	return s
}
