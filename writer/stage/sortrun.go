package stage

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/pierrec/lz4/v4"

	"github.com/icewright/icewright/catalog"
)

// sortedRun is rows of one partition in sorted order, chunk after chunk in the spill file.
type sortedRun struct {
	chunks []sortedChunk
	most   int64 // memory that its largest chunk takes while it is merged
}

// sortedChunk is one lz4 block, of columns as appendColumn writes them: Arrow's buffers. It is no Arrow IPC,
// which frames every buffer of every column by itself and makes its tables anew for each message.
type sortedChunk struct {
	at    extent
	plain int // bytes before compression
	rows  int
}

func (s *sortedRun) add(o sortedRun) {
	s.chunks = append(s.chunks, o.chunks...)
	s.most = max(s.most, o.most)
}

// chunker writes a sorted run. It keeps scratch space: one per worker.
type chunker struct {
	spill *spillFile
	cols  []column // of the chunk at hand
	rows  int
	run   sortedRun
	lz4   lz4.Compressor
	buf   []byte
	out   []byte
}

// chunkSteps is in how many steps, about, a chunk is filled: its size is known after each.
const chunkSteps = 8

// write writes the rows of from, in chunks that take about room bytes of memory each.
func (c *chunker) write(ctx context.Context, from sortedRows, room int64) (sortedRun, error) {
	c.run = sortedRun{}
	step := 16
	for {
		if err := context.Cause(ctx); err != nil {
			return sortedRun{}, err
		}
		n, err := from.take(c.cols, step)
		if err != nil {
			return sortedRun{}, err
		}
		c.rows += n
		size := sizeOf(c.cols) + sortCost*int64(c.rows)
		if c.rows > 0 {
			step = int(max(1, min(room/chunkSteps*int64(c.rows)/size, int64(2*step))))
		}
		if c.rows > 0 && (n == 0 || size >= room) {
			if err := c.flush(size); err != nil {
				return sortedRun{}, err
			}
		}
		if n == 0 {
			return c.run, nil
		}
	}
}

// flush writes the chunk at hand, which takes size bytes.
func (c *chunker) flush(size int64) error {
	c.buf = c.buf[:0]
	for i := range c.cols {
		c.buf = appendColumn(c.buf, &c.cols[i])
		c.cols[i].reset()
	}
	c.out = growTo(c.out, lz4.CompressBlockBound(len(c.buf)))
	n, err := c.lz4.CompressBlock(c.buf, c.out)
	if err != nil {
		return fmt.Errorf("compress sorted rows: %w", err)
	}
	at, err := c.spill.write(c.out[:n])
	if err != nil {
		return err
	}
	c.run.chunks = append(c.run.chunks, sortedChunk{at, len(c.buf), c.rows})
	c.run.most = max(c.run.most, size+size/2) // columns grow by half
	c.rows = 0
	return nil
}

func sizeOf(cols []column) int64 {
	size := int64(0)
	for i := range cols {
		size += cols[i].size()
	}
	return size
}

// cursor goes through a sorted run, a chunk at a time in memory.
type cursor struct {
	*sorter // its own
	spill   *spillFile
	rest    []sortedChunk

	cols []column
	data []arrow.ArrayData // the same
	rows sorted
	at   int // the row it is at; len(rows.keys) where there are no more
	from int // the first row of the chunk that is in no piece yet
}

// next reads the next chunk. in and plain are scratch space.
func (c *cursor) next(in, plain *[]byte) error {
	c.at, c.from = 0, 0
	c.rows.keys = c.rows.keys[:0]
	if len(c.rest) == 0 {
		c.cols, c.data = nil, nil
		return nil
	}
	chunk := c.rest[0]
	c.rest = c.rest[1:]
	*in, *plain = growTo(*in, int(chunk.at.size)), growTo(*plain, chunk.plain)
	if err := c.spill.read(chunk.at, *in); err != nil {
		return err
	}
	if n, err := lz4.UncompressBlock(*in, *plain); err != nil || n != chunk.plain {
		return spillError("read", catalog.StorageFailure(fmt.Errorf("%d of %d bytes of sorted rows: %w", n, chunk.plain, err)))
	}
	b := *plain
	for i := range c.cols {
		c.cols[i].reset()
		b = c.cols[i].restore(b)
	}
	c.data = columnData(c.cols)
	rec := arrowBatch(c.schema, c.cols, chunk.rows)
	defer rec.Release()
	c.keyed(rec, &c.rows)
	return nil
}

func (c *cursor) done() bool { return c.at == len(c.rows.keys) }

// before says whether the row that c is at comes before that of o; ties are for whose run came first.
func (c *cursor) before(o *cursor, first bool) bool { return c.rowBefore(c.at, o, first) }

func (c *cursor) rowBefore(row int, o *cursor, first bool) bool {
	d := c.compare(&c.rows, c.rows.keys[row], &o.rows, o.rows.keys[o.at])
	return d < 0 || d == 0 && first
}

// columnData are cols as Arrow sees them.
func columnData(cols []column) []arrow.ArrayData {
	data := make([]arrow.ArrayData, len(cols))
	for i := range cols {
		data[i] = cols[i].arrowData()
	}
	return data
}
