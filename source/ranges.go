package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/icewright/icewright/catalog"
)

const (
	// blockBytes is the least that is asked of a server at once. A request costs as long as some
	// megabytes do; Parquet's footers and small column chunks are a few kilobytes.
	blockBytes = 4 << 20
	// blocksKept bounds the memory of a reader: 64 MiB. The columns of a row group are read side by
	// side, each from a block of its own.
	blocksKept = 16
)

// ranges gives random access to an object by ranged requests: small reads through blocks that are
// kept, reads larger than a block straight. It may be used by several goroutines.
type ranges struct {
	object remote
	name   string
	size   int64
	ctx    context.Context

	mu     sync.Mutex
	blocks map[int64]*block // by index
	clock  int64
}

func newRanges(ctx context.Context, o remote) *ranges {
	r := &ranges{object: o, ctx: ctx, blocks: make(map[int64]*block)}
	r.name, r.size = o.about()
	return r
}

type block struct {
	ready chan struct{}
	bytes []byte
	err   error
	used  int64
}

func (r *ranges) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > r.size {
		return 0, errors.New("source: read outside the object")
	}
	short := int64(len(p)) > r.size-off
	if short {
		p = p[:r.size-off]
	}
	n := 0
	var err error
	if len(p) > blockBytes {
		n, err = r.fetch(p, off)
	}
	for n < len(p) && err == nil {
		at := off + int64(n)
		var b []byte
		if b, err = r.block(at / blockBytes); err == nil {
			n += copy(p[n:], b[at%blockBytes:])
		}
	}
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// block returns the bytes of one block; goroutines that want the same wait for one request.
func (r *ranges) block(index int64) ([]byte, error) {
	r.mu.Lock()
	r.clock++
	b, ok := r.blocks[index]
	if ok {
		b.used = r.clock
		r.mu.Unlock()
		<-b.ready
		return b.bytes, b.err
	}
	b = &block{ready: make(chan struct{}), used: r.clock}
	r.blocks[index] = b
	if len(r.blocks) > blocksKept {
		oldest := index
		for i, other := range r.blocks {
			if other.used < r.blocks[oldest].used {
				oldest = i
			}
		}
		delete(r.blocks, oldest)
	}
	r.mu.Unlock()

	bytes := make([]byte, min(blockBytes, r.size-index*blockBytes))
	_, b.err = r.fetch(bytes, index*blockBytes)
	b.bytes = bytes
	close(b.ready)
	if b.err != nil {
		r.mu.Lock()
		if r.blocks[index] == b {
			delete(r.blocks, index)
		}
		r.mu.Unlock()
	}
	return b.bytes, b.err
}

// fetch fills p from off, asking for the rest again when an answer breaks off.
func (r *ranges) fetch(p []byte, off int64) (int, error) {
	n, failed := 0, 0
	for n < len(p) {
		if r.ctx.Err() != nil {
			return n, context.Cause(r.ctx)
		}
		body, err := r.object.get(r.ctx, off+int64(n), int64(len(p)-n))
		if err != nil {
			return n, err
		}
		m, err := io.ReadFull(body, p[n:])
		_ = body.Close()
		n += m
		if err == nil {
			break
		}
		if m > 0 {
			failed = 0
		}
		if failed++; failed > resumes {
			return n, &readError{r.name, catalog.ErrTransient, fmt.Errorf("bytes %d to %d: %w", off, off+int64(len(p)), err)}
		}
		if err := pause(r.ctx, failed); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Close drops the blocks.
func (r *ranges) Close() error {
	r.mu.Lock()
	clear(r.blocks)
	r.mu.Unlock()
	return nil
}
