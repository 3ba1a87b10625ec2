package stage

import (
	"sync"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

// block is rows of one partition: some of its columns' own, or a batch that is all the partition's, as
// it came.
type block struct {
	cols []column
	rec  arrow.RecordBatch // nil where the rows are in cols
	n    int
	room int      // rows that cols are made for
	all  []uint64 // what reserve made

	size     int64 // see column.size
	capacity int64
}

// Rows of a block. A partition begins with small ones, and later ones add about a quarter to what it has, so that little is unused
// whether there are three partitions or a hundred thousand.
const (
	leastBlock = 64
	mostBlock  = 2048
)

// blocks makes blocks, of which those that were given back come first. Safe for concurrent use.
type blocks struct {
	layouts  []*layout
	overhead int64 // of a block, beside its buffers
	texts    []int // bytes of a text by column, or about; see expect

	mu   sync.Mutex
	free map[int][]*block // by room
	held int64            // capacity of the free ones
	most int64            // of held
}

func newBlocks(ls []*layout, most int64) *blocks {
	return &blocks{layouts: ls, texts: make([]int, len(ls)), overhead: int64(len(ls)) * columnOverhead, free: map[int][]*block{}, most: most}
}

// columnOverhead is about what a column takes beside its buffers.
const columnOverhead = 128

// expect says that blocks are to be filled from rec. It is called while nobody takes any.
func (p *blocks) expect(rec arrow.RecordBatch) {
	for i, l := range p.layouts {
		p.texts[i] = 0
		if d := rec.Column(i).Data(); l.kind == kindBytes && d.Len() > 0 && !isDictionary(d.DataType()) {
			_, ends := textsOf(d)
			p.texts[i] = min(int(ends[d.Len()]-ends[0])/d.Len()+1, longText)
		}
	}
}

// take returns an empty block for a partition that has rows rows.
func (p *blocks) take(rows int) *block {
	room := leastBlock
	for 4*room < rows && room < mostBlock {
		room *= 2
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.free[room]; len(l) > 0 {
		b := l[len(l)-1]
		p.free[room] = l[:len(l)-1]
		p.held -= b.capacity
		return b
	}
	b := &block{cols: newColumns(p.layouts), room: room}
	b.reserve(p.texts)
	b.measure(p.overhead)
	return b
}

// give takes a block back.
func (p *blocks) give(b *block) {
	if b.rec != nil {
		b.rec.Release()
		b.rec = nil
		return
	}
	for i := range b.cols {
		b.cols[i].reset()
	}
	b.n, b.size = 0, 0
	p.mu.Lock()
	defer p.mu.Unlock()
	// One that long texts have blown up is not kept for short ones.
	if p.held+b.capacity <= p.most && b.capacity <= int64(b.room)<<12 {
		p.free[b.room] = append(p.free[b.room], b)
		p.held += b.capacity
	}
}

// measure sets size and capacity.
func (b *block) measure(overhead int64) {
	b.size, b.capacity = 0, overhead+8*int64(len(b.all))
	for i := range b.cols {
		b.size += b.cols[i].size()
		b.capacity += b.outside(&b.cols[i])
	}
}

// outside is c.capacity without what lies in b.all.
func (b *block) outside(c *column) int64 {
	s := c.capacity()
	for _, p := range [][]byte{c.data, bytesOf(c.offsets[:cap(c.offsets)])} {
		if at := uintptr(unsafe.Pointer(unsafe.SliceData(p))) - uintptr(unsafe.Pointer(unsafe.SliceData(b.all))); at < 8*uintptr(len(b.all)) {
			s -= int64(cap(p))
		}
	}
	return s
}

// whole returns rec as a block, which keeps it; nil where it has columns with columns below.
func (p *blocks) whole(rec arrow.RecordBatch) *block {
	b := &block{n: int(rec.NumRows()), capacity: p.overhead}
	for i, l := range p.layouts {
		if len(l.kids) > 0 {
			return nil
		}
		b.size += l.sizeOf(rec.Column(i).Data())
		d := rec.Column(i).Data()
		if b.capacity += int64(d.SizeInBytes()); isDictionary(d.DataType()) {
			b.capacity -= int64(d.Dictionary().SizeInBytes()) // which is shared
		}
	}
	rec.Retain()
	b.rec = rec
	return b
}

// sizeOf is column.size of the values of d.
func (l *layout) sizeOf(d arrow.ArrayData) int64 {
	n := d.Len()
	switch l.kind {
	case kindFixed:
		return int64(n * l.width)
	case kindBits:
		return int64(n)
	case kindBytes:
		if n == 0 {
			return 0
		}
		if isDictionary(d.DataType()) {
			return textsSize(d)
		}
		offsets := castTo[int32](d.Buffers()[1].Bytes())[d.Offset():]
		return int64(offsets[n]-offsets[0]) + 4*int64(n)
	}
	return 0
}

// appendTo appends the rows of b to cols.
func (b *block) appendTo(cols []column) {
	if b.rec == nil {
		for i := range cols {
			cols[i].append(&b.cols[i])
		}
		return
	}
	for i := range cols {
		d := b.rec.Column(i).Data()
		cols[i].appendRange(d, d.Offset(), b.n)
	}
}

// makeRoom makes room in cols for the rows of bs, but for what lies below lists and structs.
func makeRoom(cols []column, bs []*block) {
	for i := range cols {
		c := &cols[i]
		if c.kind != kindFixed && c.kind != kindBytes {
			continue
		}
		data, rows := 0, 0
		for _, b := range bs {
			if b.rec == nil {
				data += int(b.cols[i].size())
			} else {
				data += int(c.sizeOf(b.rec.Column(i).Data()))
			}
			rows += b.n
		}
		if c.kind == kindBytes {
			data -= 4 * rows
			if need := max(1, len(c.offsets)) + rows; need > cap(c.offsets) {
				c.offsets = append(make([]int32, 0, need), c.offsets...)
			}
		}
		if need := len(c.data) + data; need > cap(c.data) {
			c.data = append(make([]byte, 0, need), c.data...)
		}
	}
}

// appendSpilled appends the rows of b to buf as they are spilled.
func (b *block) appendSpilled(buf []byte, ls []*layout) []byte {
	cols := b.cols
	if b.rec != nil {
		cols = newColumns(ls)
		b.appendTo(cols)
	}
	for i := range cols {
		buf = appendColumn(buf, &cols[i])
	}
	return buf
}

// appendUpTo appends 0, 1, 2 … n-1.
func appendUpTo(rows []int32, n int) []int32 {
	for i := range int32(n) {
		rows = append(rows, i)
	}
	return rows
}

// append appends the values of src.
func (c *column) append(src *column) {
	c.appendValid(src.valid, src.n)
	switch c.kind {
	case kindFixed:
		c.data = append(grow(c.data, len(src.data))[:len(c.data)], src.data...)
	case kindBits:
		c.data = growBits(c.data, c.n+src.n)
		bitutil.CopyBitmap(src.data, 0, src.n, c.data, c.n)
	case kindBytes, kindList:
		if src.words != nil && (c.words != nil || c.n == 0) {
			if src.n > 0 {
				c.addNumbers(src.words, src.offsets, nil)
			}
			break
		}
		src.spellOut()
		c.spellOut()
		base := int32(len(c.data))
		if c.kind == kindList {
			base = int32(c.kids[0].n)
		}
		if src.n > 0 {
			out := c.growOffsets(src.n)
			for i, o := range src.offsets[1:] {
				out[i] = base + o
			}
		}
		c.data = append(grow(c.data, len(src.data))[:len(c.data)], src.data...)
	}
	c.n += src.n
	c.nulls += src.nulls
	for i := range c.kids {
		c.kids[i].append(&src.kids[i])
	}
}

// appendRange appends the n values of d from base on, which includes d's own offset.
func (c *column) appendRange(d arrow.ArrayData, base, n int) {
	if n == 0 {
		return
	}
	bufs := d.Buffers()
	if c.kind != kindNull {
		c.appendRangeValid(d, base, n)
	}
	switch c.kind {
	case kindFixed:
		if c.narrow && d.DataType().ID() == arrow.DECIMAL128 {
			at := len(c.data)
			c.data = grow(c.data, 8*n)
			out, src := castTo[uint64](c.data[at:])[:n], castTo[uint64](bufs[1].Bytes())[2*base:][:2*n]
			for i := range out {
				out[i] = src[2*i]
			}
			break
		}
		at := len(c.data)
		c.data = grow(c.data, n*c.width)
		copy(c.data[at:], bufs[1].Bytes()[base*c.width:])
	case kindBits:
		c.data = growBits(c.data, c.n+n)
		bitutil.CopyBitmap(bufs[1].Bytes(), base, n, c.data, c.n)
	case kindBytes, kindList:
		if isDictionary(d.DataType()) {
			c.addNumbers(d.Dictionary(), castTo[int32](bufs[1].Bytes())[base:base+n], nil)
			break
		}
		c.spellOut()
		from := castTo[int32](bufs[1].Bytes())[base : base+n+1]
		start := int32(len(c.data))
		if c.kind == kindList {
			start = int32(c.kids[0].n)
		}
		out := c.growOffsets(n)
		for i, o := range from[1:] {
			out[i] = o - from[0] + start
		}
		if c.kind == kindList {
			kid := d.Children()[0]
			c.kids[0].appendRange(kid, kid.Offset()+int(from[0]), int(from[n]-from[0]))
		} else if from[n] > from[0] {
			c.data = grow(c.data, int(from[n]-from[0]))
			copy(c.data[start:], bufs[2].Bytes()[from[0]:])
		}
	case kindStruct:
		for i, kid := range d.Children() {
			c.kids[i].appendRange(kid, base+kid.Offset(), n)
		}
	}
	c.n += n
}

func (c *column) appendRangeValid(d arrow.ArrayData, base, n int) {
	src := c.growValid(d, n)
	if src == nil {
		return
	}
	bitutil.CopyBitmap(src, base, n, c.valid, c.n)
	c.nulls += n - bitutil.CountSetBits(src, base, n)
}

// reserve makes room for b.room values in each column, as far as their size is known, in one piece of memory: thousands of
// blocks are live at a time, and the collector looks at each piece in each of its rounds. Texts that take more than expected move to memory
// of their own.
func (b *block) reserve(texts []int) {
	words := 0
	for i := range b.cols {
		data, offsets := b.cols[i].expected(b.room, texts[i])
		words += (data+7)/8 + (offsets+1)/2
	}
	b.all = make([]uint64, words)
	left := bytesOf(b.all)
	cut := func(n int) []byte { // of whole words, so that every piece is aligned
		n = (n + 7) &^ 7
		own := left[:n:n]
		left = left[n:]
		return own
	}
	for i := range b.cols {
		c := &b.cols[i]
		data, offsets := c.expected(b.room, texts[i])
		c.data, c.offsets = cut(data)[:0], castTo[int32](cut(4 * offsets))[:0]
	}
}

// expected is how many bytes and offsets n values take, as far as that is known; texts take so many bytes each.
func (l *layout) expected(n, text int) (data, offsets int) {
	switch l.kind {
	case kindFixed:
		return n * l.width, 0
	case kindBytes:
		if text > 0 {
			data = n*text*17/16 + longText
		}
		return data, n + 1
	case kindList:
		return 0, n + 1
	}
	return 0, 0
}

// reset leaves no value, and keeps the memory.
func (c *column) reset() {
	c.n, c.nulls, c.valid, c.words, c.texts = 0, 0, nil, nil, 0
	c.data, c.offsets = c.data[:0], c.offsets[:0]
	for i := range c.kids {
		c.kids[i].reset()
	}
}
