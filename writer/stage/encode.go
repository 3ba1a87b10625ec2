package stage

import (
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"
)

// encoder encodes row groups of one table. It keeps scratch space: one per worker.
type encoder struct {
	root   *pqschema.GroupNode
	nodes  []*node
	leaves []*leaf
	set    settings
	zip    *compressor

	walker  walker
	dict    dictionary
	body    []byte // a page before compression
	out     []byte // pages
	sel     []int32
	words32 []int32
	words64 []int64
	offsets []int32
	lengths []int32
	texts   []byte
	bools   []bool
}

// tinyRows is the size of a row group up to which a dictionary costs more than it saves, in
// bytes and in time. A table of many small partitions has little else.
const tinyRows = 64

// column adds rows rows of c to the chunks of its leaves, from number at on.
func (e *encoder) column(g *rowGroup, at int, n *node, c *column, rows int) error {
	if n.shape == shapeLeaf {
		return e.add(g, at, n.leaf, c, e.flat(n, c, rows))
	}
	return e.walker.rows(n, c, rows, func(l *leaf, c *column, s slots) error {
		at++
		return e.add(g, at-1, l, c, e.levels(c, s))
	})
}

// flat is the levels of a column of the table itself, by far the most common.
func (e *encoder) flat(n *node, c *column, rows int) levels {
	lv := levels{n: rows}
	if !n.optional || c.nulls == 0 {
		return lv
	}
	e.sel = setBits(e.sel, c.valid, rows)
	lv.valid, lv.pos = c.valid, e.sel
	return lv
}

func (e *encoder) boolValues(c *column, pos []int32, n int) []bool {
	e.bools = growTo(e.bools, n)
	for i := range e.bools {
		p := i
		if pos != nil {
			p = int(pos[i])
		}
		e.bools[i] = bitutil.BitIsSet(c.data, p)
	}
	return e.bools
}

// values32 are the present values of a column of 4-byte values, or of decimals that fit.
func (e *encoder) values32(c *column, pos []int32, n int) []int32 {
	if c.width == 4 && pos == nil {
		return castTo[int32](c.data)
	}
	e.words32 = growTo(e.words32, n)
	switch {
	case c.width == 4:
		pick(e.words32, castTo[int32](c.data), pos)
	case c.width == 8 && pos == nil:
		for i, v := range castTo[int64](c.data) {
			e.words32[i] = int32(v)
		}
	case c.width == 8:
		vals := castTo[int64](c.data)
		for i, p := range pos {
			e.words32[i] = int32(vals[p])
		}
	case pos == nil:
		for i, v := range castTo[decimal128.Num](c.data) {
			e.words32[i] = int32(v.LowBits())
		}
	default:
		vals := castTo[decimal128.Num](c.data)
		for i, p := range pos {
			e.words32[i] = int32(vals[p].LowBits())
		}
	}
	return e.words32
}

// values64 are the present values of a column of 8-byte values, or of decimals that fit.
func (e *encoder) values64(c *column, pos []int32, n int) []int64 {
	if c.width == 8 && pos == nil {
		return castTo[int64](c.data)
	}
	e.words64 = growTo(e.words64, n)
	switch {
	case c.width == 8:
		pick(e.words64, castTo[int64](c.data), pos)
	case pos == nil:
		for i, v := range castTo[decimal128.Num](c.data) {
			e.words64[i] = int64(v.LowBits())
		}
	default:
		vals := castTo[decimal128.Num](c.data)
		for i, p := range pos {
			e.words64[i] = int64(vals[p].LowBits())
		}
	}
	return e.words64
}

// textValues are the present values of a string or binary column: n+1 offsets into data.
func (e *encoder) textValues(c *column, pos []int32, n int) (data []byte, offsets []int32) {
	if n == 0 {
		return nil, []int32{0}
	}
	if pos == nil {
		return c.data, c.offsets
	}
	e.offsets = growTo(e.offsets, n+1)
	e.offsets[0] = c.offsets[0]
	size := int32(0)
	for i, p := range pos {
		size += c.offsets[p+1] - c.offsets[p]
		e.offsets[i+1] = c.offsets[p+1]
	}
	if size == c.offsets[c.n]-c.offsets[0] {
		return c.data, e.offsets // what is between them is empty
	}
	e.offsets[0] = 0
	e.texts = e.texts[:0]
	for i, p := range pos {
		e.texts = append(e.texts, c.data[c.offsets[p]:c.offsets[p+1]]...)
		e.offsets[i+1] = int32(len(e.texts))
	}
	return e.texts, e.offsets
}

const parquetMagic = "PAR1"
