//go:build !amd64

package arrowconv

var marksBlocks = false

func markEnds(*uint32, *byte, int, uint32, byte, byte, uint64, uint64) (int, uint64) {
	panic("not reached")
}

func maskBlocks(*[4]uint64, *byte, int, byte, byte) { panic("not reached") }
