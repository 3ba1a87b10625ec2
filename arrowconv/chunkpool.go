package arrowconv

import "sync"

// chunkPool has buffers that chunks of text were in, of any input: of thousands of small files, each would
// else make buffers of its own, and clear them, for a few rows.
var chunkPool sync.Pool // of *[]byte

// chunkBuffer gives an empty buffer with room for more than n bytes.
func chunkBuffer(n int) []byte {
	if b, ok := chunkPool.Get().(*[]byte); ok && cap(*b) > n {
		return (*b)[:0]
	}
	return make([]byte, 0, n+64)
}

// recycleChunk takes back a buffer that nobody looks at any more, unless it has grown far beyond the
// size of a chunk.
func recycleChunk(b []byte, size int) {
	if b = b[:0]; cap(b) <= 2*size {
		chunkPool.Put(&b)
	}
}
