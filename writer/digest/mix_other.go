//go:build !amd64

package digest

var vectors = false

func addWords64(*seed, *int64, *uint64, *uint64, int)  { panic("not reached") }
func addWords32(*seed, *int32, *uint64, *uint64, int)  { panic("not reached") }
func addNarrow64(*seed, *int64, *uint64, *uint64, int) { panic("not reached") }
func finaliseBlocks(*uint64, *uint64, int)             { panic("not reached") }
func sumBlocks(*uint64, *uint64, int, *[2][8]uint64)   { panic("not reached") }
