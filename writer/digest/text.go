package digest

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/zeebo/xxh3"
)

// Words of XXH3's secret, by their offset in bytes, and its primes.
const (
	secret0  = 0xbe4ba423396cfeb8
	secret8  = 0x1cad21f72c81017c
	secret16 = 0xdb979083e96dd4de
	secret24 = 0x1f67b3b7a4a44072
	secret32 = 0x78e5c0cc4ee679cb
	secret40 = 0x2172ffcc7dd05a82
	secret48 = 0x8e2443f7744608b8
	secret56 = 0x4c263a81e69035e0

	prime32x2 = 0x85ebca77
	prime64x1 = 0x9e3779b185ebca87
	prime64x2 = 0xc2b2ae3d27d4eb4f
	prime64x4 = 0x85ebca77c2b2ae63
)

// textSeed is what the formulas make of a seed.
type textSeed struct {
	seed           uint64
	flip8          uint64    // texts of 4 to 8 bytes
	flipLo, flipHi uint64    // 9 to 16
	keys           [8]uint64 // 17 to 64
}

func newTextSeed(s uint64) textSeed {
	return textSeed{
		seed:   s,
		flip8:  (secret16 ^ secret24) + (s ^ uint64(bits.ReverseBytes32(uint32(s)))<<32),
		flipLo: (secret32 ^ secret40) - s,
		flipHi: (secret48 ^ secret56) + s,
		keys: [8]uint64{
			secret0 + s, secret8 - s, secret16 + s, secret24 - s,
			secret32 + s, secret40 - s, secret48 + s, secret56 - s,
		},
	}
}

func addBytes(s *seed, v []byte, hi, lo *uint64) {
	u := xxh3.Hash128Seed(v, s.d)
	add(hi, lo, u.Hi, u.Lo)
}

// varlen hashes values that lie one after the other: data starts at offsets[0].
func varlen[O int32 | int64](s *seed, a arrow.Array, offsets []O, data []byte, hi, lo []uint64) {
	known := s.memo.ready(len(hi))
	for p := presentIn(a); p.next(); {
		if known {
			addTexts(&s.memo, s, offsets[p.from:p.to+1], offsets[0], data, hi[p.from:p.to], lo[p.from:p.to])
			continue
		}
		eachText(&s.text, offsets[p.from:p.to+1], offsets[0], data, hi[p.from:p.to], lo[p.from:p.to])
	}
	if known {
		s.memo.judge()
	}
}

// eachText adds the hashes of the texts between offsets: XXH3 with 128 bits, whose formulas for 4 to 64 bytes
// are here with what of them does not depend on the text taken out of the loop. Package xxh3 has the others.
// Source: github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md.
//
// Neither sorting rows by length first nor doing without branches pays: both cost more than the branches that a
// processor guesses wrong.
func eachText[O int32 | int64](s *textSeed, offsets []O, base O, data []byte, hi, lo []uint64) {
	offsets, lo = offsets[:len(hi)+1], lo[:len(hi)]
	for i := range hi {
		v := data[offsets[i]-base : offsets[i+1]-base]
		n := len(v)
		switch {
		case n > 64 || n < 4:
			u := xxh3.Hash128Seed(v, s.seed)
			add(&hi[i], &lo[i], u.Hi, u.Lo)
		case n > 16:
			h, l := uint64(0), uint64(n)*prime64x1
			if n > 32 {
				first, last := v[16:32], v[n-32:n-16]
				c, d := binary.LittleEndian.Uint64(first), binary.LittleEndian.Uint64(first[8:])
				w, x := binary.LittleEndian.Uint64(last), binary.LittleEndian.Uint64(last[8:])
				h = fold(w^s.keys[6], x^s.keys[7]) ^ (c + d)
				l = (l + fold(c^s.keys[4], d^s.keys[5])) ^ (w + x)
			}
			first, last := v[:16], v[n-16:]
			a, b := binary.LittleEndian.Uint64(first), binary.LittleEndian.Uint64(first[8:])
			y, z := binary.LittleEndian.Uint64(last), binary.LittleEndian.Uint64(last[8:])
			h = (h + fold(y^s.keys[2], z^s.keys[3])) ^ (a + b)
			l = (l + fold(a^s.keys[0], b^s.keys[1])) ^ (y + z)
			add(&hi[i], &lo[i], -avalanche(l*prime64x1+h*prime64x4+(uint64(n)-s.seed)*prime64x2), avalanche(h+l))
		case n > 8:
			last := binary.LittleEndian.Uint64(v[n-8:])
			h, l := bits.Mul64(binary.LittleEndian.Uint64(v)^last^s.flipLo, prime64x1)
			l += uint64(n-1) << 54
			last ^= s.flipHi
			h += last + uint64(uint32(last))*(prime32x2-1)
			l ^= bits.ReverseBytes64(h)
			hh, ll := bits.Mul64(l, prime64x2)
			add(&hi[i], &lo[i], avalanche(hh+h*prime64x2), avalanche(ll))
		default:
			word := uint64(binary.LittleEndian.Uint32(v)) | uint64(binary.LittleEndian.Uint32(v[n-4:]))<<32
			h, l := bits.Mul64(word^s.flip8, prime64x1+uint64(n)<<2)
			h += l << 1
			l ^= h >> 3
			l = (l ^ l>>35) * 0x9fb21c651e98df25
			add(&hi[i], &lo[i], avalanche(h), l^l>>28)
		}
	}
}

func fold(x, y uint64) uint64 {
	hi, lo := bits.Mul64(x, y)
	return hi ^ lo
}

func avalanche(x uint64) uint64 {
	x = (x ^ x>>37) * 0x165667919e3779f9
	return x ^ x>>32
}
