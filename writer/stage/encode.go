package stage

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/icewright/icewright/writer/digest"
)

// rowGroup is a segment encoded as one Parquet row group. Its offsets count from the start of
// a file that holds nothing else; assembling a file moves them.
type rowGroup struct {
	rows int64
	data []byte // column chunks; nil once spilled
	at   extent // where spilled
	size int64
	// digest is that of the rows; where several row groups came of one sorted segment, the
	// first has it for all.
	digest digest.Sum
	meta   *metadata.FileMetaData
	stats  []leafStats
}

// encoder encodes row groups of one table. It keeps scratch space: one per worker.
type encoder struct {
	root   *pqschema.GroupNode
	nodes  []*node
	leaves []*leaf
	props  *parquet.WriterProperties
	plain  *parquet.WriterProperties // props without dictionaries
	tiny   bool                      // the row group at hand uses plain
	set    settings

	buf      bytes.Buffer
	dict     dictionary
	ones     []int16
	def      []int16
	sel      []int32
	words32  []int32
	words64  []int64
	codes    []int32
	valid    []byte
	offsets  []int32
	texts    []byte
	bools    []bool
	statsNow *leafStats
}

// tinyRows is the size of a row group up to which a dictionary costs more than it saves, in
// bytes and in time. A table of many small partitions has little else.
const tinyRows = 64

// encode returns the row group of n rows of cols, in the order of perm, or as they are where
// perm is nil.
func (e *encoder) encode(cols []column, n int, perm []int32) (rg *rowGroup, err error) {
	e.buf.Reset()
	props := e.props
	if e.tiny = n <= tinyRows; e.tiny {
		props = e.plain
	}
	w, err := file.NewParquetWriterWithError(&e.buf, e.root, file.WithWriterProps(props))
	if err != nil {
		return nil, err
	}
	rgw, err := w.AppendRowGroupChecked()
	if err != nil {
		return nil, err
	}
	rg = &rowGroup{rows: int64(n), stats: make([]leafStats, 0, len(e.leaves))}
	for i, node := range e.nodes {
		if node == nil {
			continue
		}
		c := &cols[i]
		if perm != nil {
			sorted := newColumn(c.layout)
			d := c.arrowData()
			sorted.gather(d, 0, perm)
			d.Release()
			c = &sorted
		}
		if err := e.column(rgw, rg, node, c, n); err != nil {
			return nil, fmt.Errorf("encode: %w", err)
		}
	}
	if err := rgw.Close(); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	if rg.meta, err = w.FileMetadata(); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	rg.data = slices.Clone(e.buf.Bytes()[len(parquetMagic):])
	rg.size = int64(len(rg.data))
	for i := range rg.stats {
		rg.stats[i].bytes = rg.meta.RowGroups[0].Columns[i].MetaData.TotalCompressedSize
		rg.stats[i].own()
	}
	return rg, nil
}

func (e *encoder) column(rgw file.SerialRowGroupWriter, rg *rowGroup, n *node, c *column, rows int) error {
	emit := func(l *leaf, c *column, s slots) error {
		cw, err := rgw.NextColumn()
		if err != nil {
			return err
		}
		rg.stats = append(rg.stats, leafStats{})
		e.statsNow = &rg.stats[len(rg.stats)-1]
		return e.chunk(cw, l, c, s)
	}
	if n.shape == shapeLeaf {
		return emit(n.leaf, c, e.flat(n, c, rows))
	}
	return n.walk(c, rowSlots(rows), 0, func(l *leaf, c *column, s slots) error {
		return emit(l, c, e.present(l, s))
	})
}

// flat is the levels of a column of the table itself, by far the most common: pos lists the
// rows that have a value, nil where all do.
func (e *encoder) flat(n *node, c *column, rows int) slots {
	if !n.optional {
		return slots{}
	}
	if c.nulls == 0 {
		for len(e.ones) < rows {
			e.ones = append(e.ones, 1)
		}
		return slots{def: e.ones[:rows]}
	}
	e.def, e.sel = growTo(e.def, rows), growTo(e.sel, rows)[:0]
	for i := range rows {
		e.def[i] = 0
		if bitutil.BitIsSet(c.valid, i) {
			e.def[i] = 1
			e.sel = append(e.sel, int32(i))
		}
	}
	return slots{def: e.def, pos: e.sel}
}

// present leaves in pos the positions that have a value.
func (e *encoder) present(l *leaf, s slots) slots {
	e.sel = growTo(e.sel, len(s.pos))[:0]
	for i, p := range s.pos {
		if p >= 0 && s.def[i] == l.maxDef {
			e.sel = append(e.sel, p)
		}
	}
	s.pos = e.sel
	return s
}

// chunk writes one column chunk. s.pos lists the values of c to write, nil means all.
func (e *encoder) chunk(cw file.ColumnChunkWriter, l *leaf, c *column, s slots) error {
	n := c.n
	if s.pos != nil {
		n = len(s.pos)
	}
	st := e.statsNow
	st.values = int64(n)
	if s.def != nil {
		st.values = int64(len(s.def))
	}
	st.nulls = st.values - int64(n)
	switch cw := cw.(type) {
	case *file.BooleanColumnChunkWriter:
		vals := e.boolValues(c, s.pos, n)
		for _, v := range vals {
			if v {
				st.addWords(1, 1)
			} else {
				st.addWords(0, 0)
			}
		}
		_, err := cw.WriteBatch(vals, s.def, s.rep)
		return err
	case *file.Int32ColumnChunkWriter:
		vals := e.values32(c, s.pos, n)
		if n > 0 {
			lo, hi := minMax(vals)
			st.addWords(int64(lo), int64(hi))
		}
		if !e.tiny && codeWords(&e.dict, castTo[uint32](bytesOf(vals)), 4, e.set.dictSize) {
			dict := narrow32(e.dict.words)
			return e.indices(cw, l, s, array.NewInt32Data(plainArray(arrow.PrimitiveTypes.Int32, len(dict), bytesOf(dict))), func() {
				lo, hi := minMax(dict)
				cw.PageStatistics().(*metadata.Int32Statistics).SetMinMax(lo, hi)
			})
		}
		cw.FallbackToPlain()
		_, err := cw.WriteBatch(vals, s.def, s.rep)
		return err
	case *file.Int64ColumnChunkWriter:
		vals := e.values64(c, s.pos, n)
		if n > 0 {
			lo, hi := minMax(vals)
			st.addWords(lo, hi)
		}
		if !e.tiny && codeWords(&e.dict, castTo[uint64](bytesOf(vals)), 8, e.set.dictSize) {
			dict := castTo[int64](bytesOf(e.dict.words))
			return e.indices(cw, l, s, array.NewInt64Data(plainArray(arrow.PrimitiveTypes.Int64, len(dict), bytesOf(dict))), func() {
				lo, hi := minMax(dict)
				cw.PageStatistics().(*metadata.Int64Statistics).SetMinMax(lo, hi)
			})
		}
		cw.FallbackToPlain()
		_, err := cw.WriteBatch(vals, s.def, s.rep)
		return err
	case *file.Float32ColumnChunkWriter:
		vals := castTo[float32](bytesOf(e.values32(c, s.pos, n)))
		addReals(st, vals)
		if !e.tiny && codeWords(&e.dict, castTo[uint32](bytesOf(vals)), 4, e.set.dictSize) {
			if dict := castTo[float32](bytesOf(narrow32(e.dict.words))); plainReals(dict) {
				return e.indices(cw, l, s, array.NewFloat32Data(plainArray(arrow.PrimitiveTypes.Float32, len(dict), bytesOf(dict))), func() {
					cw.PageStatistics().(*metadata.Float32Statistics).SetMinMax(slices.Min(dict), slices.Max(dict))
				})
			}
		}
		cw.FallbackToPlain()
		_, err := cw.WriteBatch(vals, s.def, s.rep)
		return err
	case *file.Float64ColumnChunkWriter:
		vals := castTo[float64](bytesOf(e.values64(c, s.pos, n)))
		addReals(st, vals)
		if !e.tiny && codeWords(&e.dict, castTo[uint64](bytesOf(vals)), 8, e.set.dictSize) {
			if dict := castTo[float64](bytesOf(e.dict.words)); plainReals(dict) {
				return e.indices(cw, l, s, array.NewFloat64Data(plainArray(arrow.PrimitiveTypes.Float64, len(dict), bytesOf(dict))), func() {
					cw.PageStatistics().(*metadata.Float64Statistics).SetMinMax(slices.Min(dict), slices.Max(dict))
				})
			}
		}
		cw.FallbackToPlain()
		_, err := cw.WriteBatch(vals, s.def, s.rep)
		return err
	case *file.ByteArrayColumnChunkWriter:
		return e.textChunk(cw, l, c, s, n)
	case *file.FixedLenByteArrayColumnChunkWriter:
		return e.fixedChunk(cw, l, c, s, n)
	}
	return fmt.Errorf("%w: Parquet type %s", ErrUnsupported, cw.Type())
}

// plainReals tells whether arrow-go's dictionary keeps the entries apart: to it NaNs are all
// one value, and so are zeros of either sign.
func plainReals[T float32 | float64](dict []T) bool {
	zeros := 0
	for _, v := range dict {
		if v != v {
			return false
		}
		if v == 0 {
			zeros++
		}
	}
	return zeros < 2
}

func (e *encoder) textChunk(cw *file.ByteArrayColumnChunkWriter, l *leaf, c *column, s slots, n int) error {
	data, offsets := e.textValues(c, s.pos, n)
	st := e.statsNow
	if !e.tiny && codeTexts(&e.dict, data, offsets, e.set.dictSize) {
		d := &e.dict
		for k := range len(d.ends) - 1 {
			st.addText(d.text(k))
		}
		st.own() // the dictionary is reused
		dict := array.NewBinaryData(array.NewData(arrow.BinaryTypes.Binary, len(d.ends)-1,
			[]*memory.Buffer{nil, memory.NewBufferBytes(bytesOf(d.ends)), memory.NewBufferBytes(d.data)}, nil, 0, 0))
		return e.indices(cw, l, s, dict, func() {
			cw.PageStatistics().(*metadata.ByteArrayStatistics).SetMinMax(st.loText, st.hiText)
		})
	}
	for i := range n {
		st.addText(data[offsets[i]:offsets[i+1]])
	}
	st.own()
	cw.FallbackToPlain()
	_, err := cw.WriteBatchArrow(data, offsets, s.def, s.rep)
	return err
}

func (e *encoder) fixedChunk(cw *file.FixedLenByteArrayColumnChunkWriter, l *leaf, c *column, s slots, n int) error {
	st := e.statsNow
	e.texts = growTo(e.texts, n*l.width)
	at := func(i int) int {
		if s.pos != nil {
			return int(s.pos[i])
		}
		return i
	}
	if l.isWideDecimal() {
		vals := castTo[decimal128.Num](c.data)
		var b [16]byte
		for i := range n {
			v := vals[at(i)]
			st.addDecimal(v)
			putDecimal(b[:], v)
			copy(e.texts[i*l.width:], b[16-l.width:])
		}
	} else {
		for i := range n {
			from := at(i) * l.width
			st.addText(c.data[from : from+l.width])
			copy(e.texts[i*l.width:], c.data[from:from+l.width])
		}
		st.own()
	}
	cw.FallbackToPlain()
	_, err := cw.WriteBatchArrow(e.texts, s.def, s.rep)
	return err
}

// indices writes e.dict.codes as a dictionary-encoded chunk. bounds sets the page's minimum and
// maximum, those of the whole dictionary: looser than they could be, and valid.
func (e *encoder) indices(cw file.ColumnChunkWriter, l *leaf, s slots, dict arrow.Array, bounds func()) error {
	defer dict.Release()
	enc, ok := cw.CurrentEncoder().(interface{ PutDictionary(arrow.Array) error })
	if !ok {
		return fmt.Errorf("%w: no dictionary encoder for column %q", ErrUnsupported, l.path)
	}
	if err := enc.PutDictionary(dict); err != nil {
		return err
	}
	codes := e.dict.codes
	levels := len(codes)
	if s.def != nil {
		levels = len(s.def)
	}
	flush := cw.(interface{ FlushCurrentPage() error })
	for from := 0; from < levels; {
		to := pageEnd(s.rep, from, min(from+e.set.pageRows, levels), levels)
		idx, present := e.pageIndices(l, s, codes, from, to)
		stats := cw.PageStatistics()
		stats.IncNumValues(int64(present))
		stats.IncNulls(int64(to - from - present))
		if present > 0 {
			bounds()
		}
		err := cw.WriteDictIndices(idx, levelPart(s.def, from, to), levelPart(s.rep, from, to))
		idx.Release()
		if err != nil {
			return err
		}
		if err := flush.FlushCurrentPage(); err != nil {
			return err
		}
		codes = codes[present:]
		from = to
	}
	return nil
}

// pageEnd moves to to the next start of a row.
func pageEnd(rep []int16, from, to, levels int) int {
	if rep == nil {
		return to
	}
	for to < levels && rep[to] != 0 {
		to++
	}
	return to
}

func levelPart(levels []int16, from, to int) []int16 {
	if levels == nil {
		return nil
	}
	return levels[from:to]
}

// pageIndices is the Arrow array of the codes of levels from to to; codes starts at the first.
func (e *encoder) pageIndices(l *leaf, s slots, codes []int32, from, to int) (idx arrow.Array, present int) {
	var valid *memory.Buffer
	nulls := 0
	vals := codes[:min(to-from, len(codes))]
	present = len(vals)
	if s.pos != nil {
		e.codes, e.valid = spaced(codes, s.def[from:to], l, e.codes, e.valid)
		present = 0
		for _, d := range s.def[from:to] {
			if d == l.maxDef {
				present++
			}
		}
		vals, valid, nulls = e.codes, memory.NewBufferBytes(e.valid), len(e.codes)-present
	}
	d := array.NewData(arrow.PrimitiveTypes.Int32, len(vals), []*memory.Buffer{valid, memory.NewBufferBytes(bytesOf(vals))}, nil, nulls, 0)
	defer d.Release()
	return array.NewInt32Data(d), present
}

func plainArray(t arrow.DataType, n int, data []byte) arrow.ArrayData {
	return array.NewData(t, n, []*memory.Buffer{nil, memory.NewBufferBytes(data)}, nil, 0, 0)
}

func narrow32(words []uint64) []int32 {
	out := make([]int32, len(words))
	for i, w := range words {
		out[i] = int32(uint32(w))
	}
	return out
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

// noText is not nil: arrow-go takes a nil minimum for none, and the empty text is one.
var noText = []byte{}

// textValues are the present values of a string or binary column: n+1 offsets into data.
func (e *encoder) textValues(c *column, pos []int32, n int) (data []byte, offsets []int32) {
	if n == 0 {
		return noText, []int32{0}
	}
	if pos == nil {
		if c.data == nil {
			return noText, c.offsets
		}
		return c.data, c.offsets
	}
	e.offsets = growTo(e.offsets, n+1)
	e.offsets[0] = 0
	if e.texts == nil {
		e.texts = noText
	}
	e.texts = e.texts[:0]
	for i, p := range pos {
		e.texts = append(e.texts, c.data[c.offsets[p]:c.offsets[p+1]]...)
		e.offsets[i+1] = int32(len(e.texts))
	}
	return e.texts, e.offsets
}

const parquetMagic = "PAR1"
