package stage

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/parquet"

	"github.com/icewright/icewright/writer/bloom"
	"github.com/icewright/icewright/writer/digest"
)

// rowGroup is a row group that grows: rows of one partition, column by column, as encoded pages. Where
// they lie in a file is said when it is written.
type rowGroup struct {
	rows   int64
	raw    int64   // bytes of the rows before they were encoded
	chunks []chunk // by leaf
	size   int64   // of the chunks, once the row group is finished
	// counted is what staging.encoded has of it.
	counted int64
	digest  digest.Sum // of the rows
}

// newRowGroup makes an empty one. Bare is Options.Bare.
func newRowGroup(leaves []*leaf, bare bool) *rowGroup {
	g := &rowGroup{chunks: make([]chunk, len(leaves))}
	for i := range g.chunks {
		g.chunks[i].stats.off = bare
	}
	return g
}

// chunk is the column chunk of one leaf. The first rows decide how values are encoded, and what
// they decide depends on them alone: same rows, same bytes.
type chunk struct {
	stats leafStats
	way   way
	known entries // of the dictionary

	pages  []blob // of data; after finish, that of the dictionary comes first
	bloom  []blob // hashes for the Bloom filter; after finish, the filter
	size   int64  // of pages, headers included
	plain  int64  // the same, before compression
	dict   int64  // of that the dictionary page, 0 without one
	coded  int32  // data pages of dictionary codes
	direct int32  // data pages of values
}

// way is how a chunk's values are encoded.
type way struct {
	decided bool
	dict    bool             // as long as it pays
	direct  parquet.Encoding // without dictionary, or once it does not pay any longer
}

// blob is bytes in memory, or once spilled, in the spill file.
type blob struct {
	data []byte
	at   extent
}

// inMemory is the bytes of g's pages that are not spilled.
func (g *rowGroup) inMemory() int64 {
	n := int64(0)
	for i := range g.chunks {
		for _, b := range g.chunks[i].pages {
			n += int64(len(b.data))
		}
		for _, b := range g.chunks[i].bloom {
			n += int64(len(b.data))
		}
	}
	return n
}

// dropPages lets go of what has been written.
func (g *rowGroup) dropPages() {
	for i := range g.chunks {
		g.chunks[i].pages, g.chunks[i].bloom = nil, nil
	}
}

// spill moves g's pages to the spill file. buf is scratch space.
func (g *rowGroup) spill(to *spillFile, buf *[]byte) error {
	all := (*buf)[:0]
	defer func() { *buf = all }()
	for i := range g.chunks {
		for _, b := range g.chunks[i].pages {
			all = append(all, b.data...)
		}
		for _, b := range g.chunks[i].bloom {
			all = append(all, b.data...)
		}
	}
	at, err := to.write(all)
	if err != nil {
		return err
	}
	place := func(blobs []blob) {
		for k := range blobs {
			if b := &blobs[k]; b.data != nil {
				b.at = extent{at.off, int64(len(b.data))}
				at.off += b.at.size
				b.data = nil
			}
		}
	}
	for i := range g.chunks {
		place(g.chunks[i].pages)
		place(g.chunks[i].bloom)
	}
	return nil
}

// add encodes rows rows of c at the end of chunk number i of g.
func (e *encoder) add(g *rowGroup, i int, l *leaf, c *column, lv levels) error {
	ch := &g.chunks[i]
	n := lv.present(c)
	before := ch.stats.values
	ch.stats.values += int64(lv.n)
	ch.stats.nulls += int64(lv.n - n)
	tiny := before == 0 && lv.n <= tinyRows
	switch l.physical {
	case parquet.Types.Boolean:
		vals := e.boolValues(c, lv.pos, n)
		addBools(&ch.stats, vals)
		return e.pages(ch, l, lv, parquet.Encodings.Plain, n/8, func(b []byte, from, to int) []byte {
			return appendBools(b, vals[from:to])
		})
	case parquet.Types.Int32, parquet.Types.Float:
		return addWords(e, ch, l, lv, e.values32(c, lv.pos, n), 4, tiny)
	case parquet.Types.Int64, parquet.Types.Double:
		return addWords(e, ch, l, lv, e.values64(c, lv.pos, n), 8, tiny)
	case parquet.Types.ByteArray:
		if c.words != nil {
			return e.addNumbers(ch, l, lv, c, n, tiny)
		}
		data, offsets := e.textValues(c, lv.pos, n)
		return e.addTexts(ch, l, lv, data, offsets, tiny)
	case parquet.Types.FixedLenByteArray:
		vals := e.fixedValues(&ch.stats, l, c, lv.pos, n)
		if l.bloom.on {
			ch.addHashes(n, func(i int) uint64 { return bloom.Hash(vals[i*l.width : (i+1)*l.width]) })
		}
		return e.pages(ch, l, lv, parquet.Encodings.Plain, len(vals), func(b []byte, from, to int) []byte {
			return append(b, vals[from*l.width:to*l.width]...)
		})
	}
	return fmt.Errorf("%w: Parquet type %s", ErrUnsupported, l.physical)
}

// addWords adds integers, or reals by their bits.
func addWords[T int32 | int64](e *encoder, ch *chunk, l *leaf, lv levels, vals []T, width int, tiny bool) error {
	if !ch.way.decided && len(vals) > 0 {
		ch.way = e.wayOfWords(l, tiny, deltaBits(vals), width)
	}
	if ch.way.dict {
		known := len(ch.known.words)
		if e.dict.extend(&ch.known, func(k *entries) bool { return codeWords(&e.dict, k, vals, width, e.set.dictSize) }) {
			fresh := widened[T](ch.known.words[known:])
			addStats(&ch.stats, l, fresh)
			addWordHashes(ch, l, fresh)
			return e.codes(ch, l, lv)
		}
		ch.way.dict = false
	}
	addStats(&ch.stats, l, vals)
	addWordHashes(ch, l, vals)
	how := ch.way.direct
	return e.pages(ch, l, lv, how, len(vals)*width, func(b []byte, from, to int) []byte {
		switch how {
		case parquet.Encodings.DeltaBinaryPacked:
			return appendDelta(b, vals[from:to])
		case parquet.Encodings.ByteStreamSplit:
			return appendSplit(b, bytesOf(vals[from:to]), width)
		}
		return append(b, bytesOf(vals[from:to])...)
	})
}

// widened are dictionary entries as the values that they stand for.
func widened[T int32 | int64](words []uint64) []T {
	out := make([]T, len(words))
	for i, w := range words {
		out[i] = T(w)
	}
	return out
}

// wayOfWords decides from how many bits a value takes as a difference to the one before it.
func (e *encoder) wayOfWords(l *leaf, tiny bool, packed, width int) way {
	w := way{decided: true, dict: !tiny, direct: parquet.Encodings.Plain}
	if e.set.plain || tiny {
		return w
	}
	switch {
	case l.isReal():
		w.direct = parquet.Encodings.ByteStreamSplit
	case 10*packed < 7*8*width:
		w.direct = parquet.Encodings.DeltaBinaryPacked
		w.dict = packed > 4 // what grows steadily needs no dictionary
	}
	return w
}

// addNumbers adds texts that c has by number.
func (e *encoder) addNumbers(ch *chunk, l *leaf, lv levels, c *column, n int, tiny bool) error {
	numbers := c.offsets
	if lv.pos != nil {
		e.words32 = growTo(e.words32, n)
		pick(e.words32, numbers, lv.pos)
		numbers = e.words32
	}
	ch.decideTexts(e, n, tiny)
	all, ends := textsOf(c.words)
	if ch.way.dict {
		known := len(ch.known.ends)
		ends = ends[:c.words.Len()+1]
		if e.dict.extend(&ch.known, func(k *entries) bool { return codeNumbers(&e.dict, k, all, ends, numbers, e.set.dictSize) }) {
			return e.codedTexts(ch, l, lv, known)
		}
		ch.way.dict = false
	}
	e.offsets, e.texts = append(growTo(e.offsets, n+1)[:0], 0), e.texts[:0]
	for _, k := range numbers {
		e.texts = append(e.texts, all[ends[k]:ends[k+1]]...)
		e.offsets = append(e.offsets, int32(len(e.texts)))
	}
	return e.addTexts(ch, l, lv, e.texts, e.offsets, tiny)
}

// decideTexts decides from the first rows, n of which have a text.
func (ch *chunk) decideTexts(e *encoder, n int, tiny bool) {
	if ch.way.decided || n == 0 {
		return
	}
	ch.way = way{decided: true, dict: !tiny, direct: parquet.Encodings.DeltaLengthByteArray}
	if e.set.plain || tiny {
		ch.way.direct = parquet.Encodings.Plain
	}
}

// codedTexts adds texts whose codes e.dict has; known is how many ends their dictionary had before.
func (e *encoder) codedTexts(ch *chunk, l *leaf, lv levels, known int) error {
	for k := max(known, 1); k < len(ch.known.ends); k++ {
		ch.stats.addText(ch.known.text(k - 1))
	}
	ch.stats.own() // entries may move
	if first := max(known-1, 0); l.bloom.on {
		ch.addHashes(len(ch.known.ends)-1-first, func(i int) uint64 { return bloom.Hash(ch.known.text(first + i)) })
	}
	return e.codes(ch, l, lv)
}

func (e *encoder) addTexts(ch *chunk, l *leaf, lv levels, data []byte, offsets []int32, tiny bool) error {
	n := len(offsets) - 1
	ch.decideTexts(e, n, tiny)
	if ch.way.dict {
		known := len(ch.known.ends)
		if e.dict.extend(&ch.known, func(k *entries) bool { return codeTexts(&e.dict, k, data, offsets, e.set.dictSize) }) {
			return e.codedTexts(ch, l, lv, known)
		}
		ch.way.dict = false
	}
	addTextStats(&ch.stats, data, offsets)
	ch.stats.own()
	if l.bloom.on {
		ch.addHashes(n, func(i int) uint64 { return bloom.Hash(data[offsets[i]:offsets[i+1]]) })
	}
	how := ch.way.direct
	return e.pages(ch, l, lv, how, int(offsets[n]-offsets[0])+4*n, func(b []byte, from, to int) []byte {
		if how == parquet.Encodings.Plain {
			return appendPlainTexts(b, data, offsets[from:to+1])
		}
		e.lengths = growTo(e.lengths, to-from)
		for i := range e.lengths {
			e.lengths[i] = offsets[from+i+1] - offsets[from+i]
		}
		return append(appendDelta(b, e.lengths), data[offsets[from]:offsets[to]]...)
	})
}

// codes writes e.dict.codes.
func (e *encoder) codes(ch *chunk, l *leaf, lv levels) error {
	width := max(1, bits.Len(uint(ch.known.len()-1)))
	codes := e.dict.codes
	return e.pages(ch, l, lv, parquet.Encodings.RLEDict, len(codes)*width/8, func(b []byte, from, to int) []byte {
		return appendHybrid(append(b, byte(width)), codes[from:to], width)
	})
}

// pages cuts slots into pages, evenly, and encodes them. size is about what the values take in all; body
// appends the values from one to another.
func (e *encoder) pages(ch *chunk, l *leaf, lv levels, how parquet.Encoding, size int, body func(b []byte, from, to int) []byte) error {
	n := max((lv.n+e.set.pageRows-1)/e.set.pageRows, int(int64(size)/e.set.pageSize)+1)
	step := (max((lv.n+n-1)/n, 1) + 7) &^ 7 // bits of eight rows are a byte
	e.out = e.out[:0]
	value := 0
	for from := 0; from < lv.n; {
		to := lv.end(min(from+step, lv.n))
		h := pageHeader{values: to - from, encoding: how, v2: e.set.pageVersion == parquet.DataPageV2}
		present := lv.presentIn(l, from, to)
		h.nulls = h.values - present
		e.body = e.body[:0]
		if l.maxRep > 0 {
			e.body = e.level(e.body, lv.rep[from:to], int(l.maxRep), h.v2)
			h.rep = len(e.body)
		}
		h.rows = lv.rows(from, to)
		if l.maxDef > 0 {
			e.body = e.defLevels(e.body, l, lv, from, to, h.v2)
			h.def = len(e.body) - h.rep
		}
		e.body = body(e.body, value, value+present)
		e.page(ch, &h)
		value += present
		from = to
		if how == parquet.Encodings.RLEDict {
			ch.coded++
		} else {
			ch.direct++
		}
	}
	if len(e.out) > 0 {
		ch.pages = append(ch.pages, blob{data: slices.Clone(e.out)})
	}
	return nil
}

// page appends e.body, compressed, with its header to e.out.
func (e *encoder) page(ch *chunk, h *pageHeader) {
	levels := 0
	if h.v2 {
		levels = h.def + h.rep // stay as they are
	}
	data := e.zip.compress(e.body[levels:])
	h.plain, h.stored = len(e.body), levels+len(data)
	at := len(e.out)
	e.out = h.append(e.out)
	ch.plain += int64(len(e.out) - at + h.plain)
	e.out = append(append(e.out, e.body[:levels]...), data...)
	ch.size += int64(len(e.out) - at)
}

// finish ends a row group: dictionary pages come before the pages that need them.
func (e *encoder) finish(g *rowGroup) {
	for i := range g.chunks {
		ch := &g.chunks[i]
		if ch.coded > 0 {
			e.body = ch.known.appendPlain(e.body[:0], e.leaves[i].physical)
			e.out = e.out[:0]
			before := ch.size
			e.page(ch, &pageHeader{dictionary: true, values: ch.known.len(), encoding: parquet.Encodings.Plain})
			ch.dict = ch.size - before
			ch.pages = slices.Insert(ch.pages, 0, blob{data: slices.Clone(e.out)})
		}
		ch.known = entries{}
		ch.stats.bytes = ch.size
		g.size += ch.size
	}
}

func addBools(s *leafStats, vals []bool) {
	if s.off {
		return
	}
	for _, v := range vals {
		if v {
			s.addWords(1, 1)
		} else {
			s.addWords(0, 0)
		}
	}
}

func appendBools(b []byte, vals []bool) []byte {
	at := len(b)
	b = growSlice(b, (len(vals)+7)/8)
	clear(b[at:])
	for i, v := range vals {
		if v {
			bitutil.SetBit(b[at:], i)
		}
	}
	return b
}

// addStats takes the bits of reals for what they are.
func addStats[T int32 | int64](s *leafStats, l *leaf, vals []T) {
	switch {
	case len(vals) == 0 || s.off:
	case !l.isReal():
		lo, hi := minMax(vals)
		s.addWords(int64(lo), int64(hi))
	case l.physical == parquet.Types.Float:
		addReals(s, castTo[float32](bytesOf(vals)))
	default:
		addReals(s, castTo[float64](bytesOf(vals)))
	}
}

func appendPlainTexts(b, data []byte, offsets []int32) []byte {
	at := len(b)
	n := len(offsets) - 1
	b = growSlice(b, 4*n+int(offsets[n]-offsets[0]))
	out := b[at:]
	for i := range n {
		text := data[offsets[i]:offsets[i+1]]
		k := uint32(len(text))
		out[0], out[1], out[2], out[3] = byte(k), byte(k>>8), byte(k>>16), byte(k>>24)
		copy(out[4:], text)
		out = out[4+len(text):]
	}
	return b
}

// fixedValues are the present values of a column of a fixed length, or of wide decimals, in the bytes that
// are stored.
func (e *encoder) fixedValues(st *leafStats, l *leaf, c *column, pos []int32, n int) []byte {
	e.texts = growTo(e.texts, n*l.width)
	at := func(i int) int {
		if pos != nil {
			return int(pos[i])
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
		return e.texts
	}
	add := st.addText
	if l.isUUID() {
		add = st.addUUID
	}
	for i := range n {
		from := at(i) * l.width
		add(c.data[from : from+l.width])
		copy(e.texts[i*l.width:], c.data[from:from+l.width])
	}
	st.own()
	return e.texts
}
