package merge

import "math/bits"

// index finds rows by fingerprint: open addressing, at most half full. A slot holds the number of a row and
// half of the hash, so that a miss mostly ends without a look at the fingerprints.
type index struct {
	slots  []uint64 // hash's lower half, then row + 1; 0 is free
	shift  uint
	prints []fingerprint // by row
}

// newIndex has room for all rows of prints, and none yet.
func newIndex(prints []fingerprint) *index {
	size := 1 << max(10, bits.Len(uint(2*len(prints))))
	return &index{slots: make([]uint64, size), shift: uint(64 - bits.TrailingZeros(uint(size))), prints: prints}
}

func hashOf(f fingerprint) uint64 {
	hi, lo := bits.Mul64(f.lo^0x9e3779b97f4a7c15, f.hi^0xbf58476d1ce4e5b9)
	h := hi ^ lo ^ f.lo
	h = (h ^ h>>32) * 0x94d049bb133111eb
	return h ^ h>>29
}

// home is the slot that a hash's search begins at. The bits by which keys are spilled are left out: of one part
// of the input they are mostly the same.
func (x *index) home(h uint64) uint64 { return h << bucketBits >> x.shift }

const tagMask = 0xffffffff_00000000

// find returns the row with a fingerprint, or -1.
func (x *index) find(f fingerprint) int {
	h := hashOf(f)
	mask := uint64(len(x.slots) - 1)
	for at := x.home(h); ; at++ {
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

// add makes a row be found, unless another one with its fingerprint is: that one is returned, else -1.
func (x *index) add(row int) int {
	f := x.prints[row]
	if other := x.find(f); other >= 0 {
		return other
	}
	h := hashOf(f)
	mask := uint64(len(x.slots) - 1)
	at := x.home(h)
	for x.slots[at&mask] != 0 {
		at++
	}
	x.slots[at&mask] = h<<32 | uint64(row+1)
	return -1
}

// replace makes row be found in place of was, which has the same fingerprint.
func (x *index) replace(was, row int) {
	h := hashOf(x.prints[was])
	mask := uint64(len(x.slots) - 1)
	for at := x.home(h); ; at++ {
		if slot := x.slots[at&mask]; int(uint32(slot))-1 == was {
			x.slots[at&mask] = h<<32 | uint64(row+1)
			return
		}
	}
}
