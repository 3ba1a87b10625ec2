package stage

import (
	"encoding/binary"
	"math/bits"
)

// appendPacked appends vals, of width bits each, one after the other from the lowest bit on. What
// their number leaves of the last byte is 0.
func appendPacked[T int32 | uint64](dst []byte, vals []T, width int) []byte {
	at := len(dst)
	dst = growSlice(dst, (len(vals)*width+7)/8+8) // a whole word is written at the end
	out := dst[at:]
	var word uint64
	full, k := 0, 0 // bits in word, bytes written
	for _, v := range vals {
		u := uint64(v)
		word |= u << full
		if full += width; full >= 64 {
			binary.LittleEndian.PutUint64(out[k:], word)
			k += 8
			full -= 64
			word = u >> (width - full) // none is left where full is 0: Go shifts by 64, too
		}
	}
	binary.LittleEndian.PutUint64(out[k:], word)
	return dst[:at+(len(vals)*width+7)/8]
}

// appendHybrid appends vals, each less than 1<<width, as runs of one value and as groups of eight
// packed ones, whichever is shorter. Source: parquet.apache.org, "RLE / Bit-Packing Hybrid".
func appendHybrid(dst []byte, vals []int32, width int) []byte {
	// A run ends the packed groups before it, and costs a header there and one after it.
	least := 8
	if width < 4 {
		least = 24
	}
	literal := 0
	for i := 0; i < len(vals); {
		run := 0
		if i+8 <= len(vals) && same8(vals[i:i+8]) {
			for run = 8; i+run < len(vals) && vals[i+run] == vals[i]; run++ {
			}
		}
		if run < least {
			i = min(i+8, len(vals))
			continue
		}
		dst = appendGroups(dst, vals[literal:i], width)
		dst = appendRun(dst, run, uint64(vals[i]), width)
		i += run
		literal = i
	}
	return appendGroups(dst, vals[literal:], width)
}

func same8(v []int32) bool {
	_ = v[7]
	x := v[0]
	return (v[1]^x)|(v[2]^x)|(v[3]^x)|(v[4]^x)|(v[5]^x)|(v[6]^x)|(v[7]^x) == 0
}

func appendRun(dst []byte, n int, v uint64, width int) []byte {
	dst = binary.AppendUvarint(dst, uint64(n)<<1)
	for range (width + 7) / 8 {
		dst = append(dst, byte(v))
		v >>= 8
	}
	return dst
}

// appendGroups appends packed groups; the last is filled up with zeros.
func appendGroups(dst []byte, vals []int32, width int) []byte {
	if len(vals) == 0 {
		return dst
	}
	groups := (len(vals) + 7) / 8
	dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
	end := len(dst) + groups*width
	dst = appendPacked(dst, vals, width)
	for len(dst) < end {
		dst = append(dst, 0)
	}
	return dst
}

// appendLevels is appendHybrid for levels, each a byte.
func appendLevels(dst []byte, vals []uint8, width int) []byte {
	least := 8
	if width < 4 {
		least = 24
	}
	literal := 0
	for i := 0; i < len(vals); {
		run := 0
		if i+8 <= len(vals) {
			run = sameBytes(vals[i:])
		}
		if run < least {
			i = min(i+8, len(vals))
			continue
		}
		dst = appendLevelGroups(dst, vals[literal:i], width)
		dst = appendRun(dst, run, uint64(vals[i]), width)
		i += run
		literal = i
	}
	return appendLevelGroups(dst, vals[literal:], width)
}

// sameBytes is how many bytes at the beginning of v, which has eight of them, are the same; 0 where it is
// less than eight.
func sameBytes(v []uint8) int {
	want := eachByte * uint64(v[0])
	n := 0
	for ; n+8 <= len(v); n += 8 {
		if diff := binary.LittleEndian.Uint64(v[n:]) ^ want; diff != 0 {
			if n == 0 {
				return 0
			}
			return n + bits.TrailingZeros64(diff)/8
		}
	}
	for n < len(v) && v[n] == v[0] {
		n++
	}
	return n
}

// appendLevelGroups is appendGroups for levels.
func appendLevelGroups(dst []byte, vals []uint8, width int) []byte {
	if len(vals) == 0 {
		return dst
	}
	groups := (len(vals) + 7) / 8
	dst = binary.AppendUvarint(dst, uint64(groups)<<1|1)
	end := len(dst) + groups*width
	at := len(dst)
	dst = growSlice(dst, groups*width+8) // a whole word is written at the end
	i := 0
	for ; i+8 <= len(vals); i += 8 {
		binary.LittleEndian.PutUint64(dst[at:], packed8(binary.LittleEndian.Uint64(vals[i:]), width))
		at += width
	}
	if i < len(vals) {
		var last [8]byte
		copy(last[:], vals[i:])
		binary.LittleEndian.PutUint64(dst[at:], packed8(binary.LittleEndian.Uint64(last[:]), width))
	}
	return dst[:end]
}

// packed8 brings eight bytes, each less than 1<<width, together in 8*width bits: by twos, fours and eight.
func packed8(w uint64, width int) uint64 {
	const bytes, pairs = 0x00ff00ff00ff00ff, 0x0000ffff0000ffff
	w = w&bytes | w>>8&bytes<<width
	w = w&pairs | w>>16&pairs<<(2*width)
	return w&(1<<32-1) | w>>32<<(4*width)
}

// Sizes of DELTA_BINARY_PACKED that every writer uses.
const (
	deltaBlock = 128
	deltaMini  = 32
)

// appendDelta appends vals in DELTA_BINARY_PACKED: the first, then differences from one to the next, in
// blocks with a least one and in miniblocks with a width. They wrap around as T does, so that none is wider than a T.
// Source: parquet.apache.org, "Delta Encoding".
func appendDelta[T int32 | int64](dst []byte, vals []T) []byte {
	dst = binary.AppendUvarint(dst, deltaBlock)
	dst = binary.AppendUvarint(dst, deltaBlock/deltaMini)
	dst = binary.AppendUvarint(dst, uint64(len(vals)))
	if len(vals) == 0 {
		return binary.AppendVarint(dst, 0)
	}
	dst = binary.AppendVarint(dst, int64(vals[0]))
	var diffs [deltaBlock]T
	var packed [deltaBlock]uint64
	for at := 1; at < len(vals); at += deltaBlock {
		n := min(deltaBlock, len(vals)-at)
		least := deltas(diffs[:n], vals[at-1:])
		dst = binary.AppendVarint(dst, int64(least))
		widths := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		clear(packed[n:])
		for mini := 0; mini*deltaMini < n; mini++ {
			from, to := mini*deltaMini, min((mini+1)*deltaMini, n)
			all := uint64(0)
			for i := from; i < to; i++ {
				packed[i] = unsigned(diffs[i] - least)
				all |= packed[i]
			}
			width := bits.Len64(all)
			dst[widths+mini] = byte(width)
			if width > 0 {
				dst = appendPacked(dst, packed[from:from+deltaMini], width)
			}
		}
	}
	return dst
}

// deltas sets out to the differences of neighbours and returns the least.
func deltas[T int32 | int64](out, vals []T) T {
	vals = vals[:len(out)+1]
	least := vals[1] - vals[0]
	for i := range out {
		d := vals[i+1] - vals[i]
		out[i] = d
		least = min(least, d)
	}
	return least
}

// unsigned is a difference of two Ts that is not negative once it has wrapped around.
func unsigned[T int32 | int64](d T) uint64 {
	if _, narrow := any(d).(int32); narrow {
		return uint64(uint32(d))
	}
	return uint64(d)
}

// deltaBits is about how many bits a value takes in DELTA_BINARY_PACKED.
func deltaBits[T int32 | int64](vals []T) int {
	if len(vals) < 2 {
		return 0
	}
	total, n := 0, 0
	var diffs [deltaMini]T
	for at := 1; at+deltaMini <= len(vals); at += max(deltaMini, (len(vals)-1)/16) {
		least := deltas(diffs[:], vals[at-1:])
		all := uint64(0)
		for _, d := range diffs {
			all |= unsigned(d - least)
		}
		total += bits.Len64(all)
		n++
	}
	if n == 0 {
		return 0
	}
	return total / n
}

// appendSplit appends vals, of width bytes each, in BYTE_STREAM_SPLIT: the first bytes of all, then the second …
func appendSplit(dst, vals []byte, width int) []byte {
	n := len(vals) / width
	at := len(dst)
	dst = growSlice(dst, len(vals))
	for k := range width {
		out := dst[at+k*n : at+(k+1)*n]
		for i := range out {
			out[i] = vals[i*width+k]
		}
	}
	return dst
}
