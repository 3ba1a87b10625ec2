package digest

import "golang.org/x/sys/cpu"

// vectors says that the loops over eight rows at a time run on this machine. They need AVX-512F and DQ; VBMI2 came
// with the first processors that do not lower their clock for such instructions. Tests turn it off.
var vectors = cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VBMI2

// addWords64 is addWord for the values at values, eight in each of the blocks, at least one. It reads a and b
// of s where they lie.
//
//go:noescape
func addWords64(s *seed, values *int64, hi, lo *uint64, blocks int)

//go:noescape
func addWords32(s *seed, values *int32, hi, lo *uint64, blocks int)

// addNarrow64 is addPair for values whose upper half is their sign. It reads a, b and tops of s.
//
//go:noescape
func addNarrow64(s *seed, values *int64, hi, lo *uint64, blocks int)

//go:noescape
func finaliseBlocks(hi, lo *uint64, blocks int)

// sumBlocks adds rows up, lane by lane: sums has the upper halves, then the lower.
//
//go:noescape
func sumBlocks(hi, lo *uint64, blocks int, sums *[2][8]uint64)
