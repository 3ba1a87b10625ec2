package merge

import "math/bits"

// index finds rows by fingerprint: open addressing, at most half full. A slot holds the number of a row and
// half of the hash, so that a miss mostly ends without a look at the fingerprints.
type index struct {
	slots  []uint64 // hash's upper half, then row + 1; 0 is free
	shift  uint
	prints []fingerprint // by row
	count  int           // of keys
}

func hashOf(f fingerprint) uint64 {
	hi, lo := bits.Mul64(f.lo^0x9e3779b97f4a7c15, f.hi^0xbf58476d1ce4e5b9)
	h := hi ^ lo ^ f.lo
	h = (h ^ h>>32) * 0x94d049bb133111eb
	return h ^ h>>29
}

const tagMask = 0xffffffff_00000000

// find returns the row with a fingerprint, or -1.
func (x *index) find(f fingerprint) int {
	if len(x.slots) == 0 {
		return -1
	}
	h := hashOf(f)
	mask := uint64(len(x.slots) - 1)
	for at := h >> x.shift; ; at = (at + 1) & mask {
		slot := x.slots[at&mask]
		if slot == 0 {
			return -1
		}
		if slot&tagMask == h<<32 {
			if row := int(uint32(slot)) - 1; x.prints[row] == f {
				return row
			}
		}
	}
}

// add takes the next row in, and returns an earlier one with the same fingerprint, or -1: the later one is
// then not found by it.
func (x *index) add(f fingerprint) int {
	row := len(x.prints)
	if 2*(x.count+1) > len(x.slots) {
		x.grow()
	}
	x.prints = append(x.prints, f)
	if other := x.find(f); other >= 0 {
		return other
	}
	x.put(f, row)
	x.count++
	return -1
}

func (x *index) put(f fingerprint, row int) {
	h := hashOf(f)
	mask := uint64(len(x.slots) - 1)
	at := h >> x.shift
	for x.slots[at&mask] != 0 {
		at++
	}
	x.slots[at&mask] = h<<32 | uint64(row+1)
}

// replace makes row be found in place of was, which has the same fingerprint.
func (x *index) replace(was, row int) {
	h := hashOf(x.prints[was])
	mask := uint64(len(x.slots) - 1)
	for at := h >> x.shift; ; at++ {
		if slot := x.slots[at&mask]; int(uint32(slot))-1 == was {
			x.slots[at&mask] = h<<32 | uint64(row+1)
			return
		}
	}
}

// grow doubles the slots.
func (x *index) grow() {
	size := max(1<<10, 2*len(x.slots))
	old := x.slots
	x.slots = make([]uint64, size)
	x.shift = uint(64 - bits.TrailingZeros(uint(size)))
	for _, slot := range old {
		if slot != 0 {
			row := int(uint32(slot)) - 1
			x.put(x.prints[row], row)
		}
	}
}

// bytes is the memory that the index takes.
func (x *index) bytes() int64 { return int64(8*cap(x.slots) + 16*cap(x.prints)) }
