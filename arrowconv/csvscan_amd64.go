package arrowconv

import "golang.org/x/sys/cpu"

// marksBlocks says that markEnds runs on this machine. Tests turn it off.
var marksBlocks = cpu.X86.HasAVX2 && cpu.X86.HasBMI1 && cpu.X86.HasPOPCNT

// markEnds puts at pos the positions, counted from base, of the delimiters and line ends outside quotes in the blocks
// of 64 bytes at b, at least one, and says how many there are. pos has room for 64 a block and three more. in, and
// within after the last block, are all ones inside quotes, else 0; quotes is all ones where quotes count, else 0.
//
//go:noescape
func markEnds(pos *uint32, b *byte, blocks int, base uint32, delim, quote byte, quotes, in uint64) (n int, within uint64)

// maskBlocks puts at out, for each of the blocks of 64 bytes at b, at least one, four masks: bit i is set where byte i is
// the delimiter, LF, the quote, CR.
//
//go:noescape
func maskBlocks(out *[4]uint64, b *byte, blocks int, delim, quote byte)
