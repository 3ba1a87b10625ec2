package digest

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"
)

// memo keeps the hashes of texts of a column that come again and again: looking a short text up takes a
// third of the time of hashing it. Where texts are mostly new, the memo finds out and stays out of the way.
type memo struct {
	slots    []slot
	long     bool // there have been texts of 8 bytes or more
	n, fresh int  // values since it was last judged, and those it had to hash
	rest     int  // values to go until it is tried again
}

const (
	memoSlots = 512
	memoTrial = 256
	memoRest  = 1 << 16
)

// slot has the hash of one text. Its key is the text's bytes and, in the byte above them, its length and
// one, so that no text has the key of an empty slot: one word where long is false, else three.
type slot struct {
	key    [3]uint64
	hi, lo uint64
}

// most is the length of the longest text with a key.
const (
	mostShort = 7
	mostLong  = 23
)

// masks are the bits that texts of each length have in three words.
var masks = func() (m [mostLong + 1][3]uint64) {
	for n := range m {
		for i := range n {
			m[n][i/8] |= 0xff << (i % 8 * 8)
		}
	}
	return m
}()

// ready says whether the next n values are to be looked up.
func (m *memo) ready(n int) bool {
	if m.rest > 0 {
		m.rest -= n
		return false
	}
	if m.slots == nil {
		m.slots = make([]slot, memoSlots)
	}
	return true
}

// judge ends a trial in which a quarter of the values or more were new.
func (m *memo) judge() {
	if m.n < memoTrial {
		return
	}
	if m.fresh > m.n/4 {
		*m = memo{rest: memoRest}
	}
	m.n, m.fresh = 0, 0
}

// addTexts adds the hashes of the texts between offsets.
func addTexts[O int32 | int64](m *memo, s *seed, offsets []O, base O, data []byte, hi, lo []uint64) {
	m.n += len(hi)
	i := 0
	if !m.long {
		var fresh int
		i, fresh = addShort(m, s, offsets, base, data, hi, lo)
		m.fresh += fresh
		m.long = i < len(hi) // the third word tells a key from one of before
	}
	if m.long {
		m.fresh += addLong(m, s, offsets[i:], base, data, hi[i:], lo[i:])
	}
}

// addShort stops before the first text that is not short.
func addShort[O int32 | int64](m *memo, s *seed, offsets []O, base O, data []byte, hi, lo []uint64) (i, fresh int) {
	slots := (*[memoSlots]slot)(m.slots)
	offsets, lo = offsets[:len(hi)+1], lo[:len(hi)]
	for i = range hi {
		from := int(offsets[i] - base)
		n := int(offsets[i+1]-base) - from
		if n > mostShort {
			return i, fresh
		}
		if from+8 > len(data) {
			addBytes(s, data[from:from+n], &hi[i], &lo[i])
			continue
		}
		key := binary.LittleEndian.Uint64(data[from:])&(1<<(n*8&63)-1) | uint64(n+1)<<56
		at := &slots[key*0x9e3779b97f4a7c15>>55]
		if at.key[0] != key {
			u := xxh3.Hash128Seed(data[from:from+n], s.d)
			*at = slot{[3]uint64{key}, u.Hi, u.Lo}
			fresh++
		}
		add(&hi[i], &lo[i], at.hi, at.lo)
	}
	return len(hi), fresh
}

func addLong[O int32 | int64](m *memo, s *seed, offsets []O, base O, data []byte, hi, lo []uint64) (fresh int) {
	slots := (*[memoSlots]slot)(m.slots)
	offsets, lo = offsets[:len(hi)+1], lo[:len(hi)]
	for i := range hi {
		from := int(offsets[i] - base)
		n := int(offsets[i+1]-base) - from
		if n > mostLong || from+24 > len(data) {
			addBytes(s, data[from:from+n], &hi[i], &lo[i])
			fresh++
			continue
		}
		words, mask := data[from:from+24], &masks[n]
		a := binary.LittleEndian.Uint64(words) & mask[0]
		b := binary.LittleEndian.Uint64(words[8:]) & mask[1]
		c := binary.LittleEndian.Uint64(words[16:])&mask[2] | uint64(n+1)<<56
		at := &slots[((a^c)*0x9e3779b97f4a7c15+b)*0xbf58476d1ce4e5b9>>55]
		if at.key != [3]uint64{a, b, c} {
			u := xxh3.Hash128Seed(data[from:from+n], s.d)
			*at = slot{[3]uint64{a, b, c}, u.Hi, u.Lo}
			fresh++
		}
		add(&hi[i], &lo[i], at.hi, at.lo)
	}
	return fresh
}
