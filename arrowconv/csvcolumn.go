package arrowconv

import (
	"math"
	"unicode/utf8"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
)

// A column of a chunk is converted in one loop over its cells, straight into Arrow buffers. The loop
// tries the parse that fits nearly every cell; a cell that it fails on (null, quoted, padded, wrong) goes
// to rare. A null token that the parse would take for a value sends every cell of its column there.

// csvNulls are the texts of unquoted fields that mean null.
type csvNulls struct {
	tokens  []string
	longest int
	lengths [256]bool // by length, up to 255
}

func newCSVNulls(tokens []string) *csvNulls {
	if tokens == nil {
		tokens = []string{""}
	}
	n := &csvNulls{tokens: tokens}
	for _, t := range tokens {
		n.longest = max(n.longest, len(t))
		n.lengths[min(len(t), 255)] = true
	}
	return n
}

// is says whether an unquoted field is null.
func (n *csvNulls) is(cell []byte) bool {
	if len(cell) > n.longest || !n.lengths[min(len(cell), 255)] {
		return false
	}
	for _, t := range n.tokens {
		if string(cell) == t {
			return true
		}
	}
	return false
}

// badCell is a cell that could not be converted.
type badCell struct {
	row   int
	fault fault
}

// csvColumn converts the cells of one column. It is for one goroutine; what it returns from convert is
// the caller's.
type csvColumn struct {
	field iceberg.NestedField
	arrow arrow.DataType
	nulls *csvNulls
	point byte
	alloc memory.Allocator

	dialect dialect

	careful  bool      // some null token would be read as a value
	instants *instants // timestamps
	buf      []byte    // the text of a quoted cell
	json     *variantText
	made     *variantColumn

	// Of the conversion under way:
	n      int
	values *memory.Buffer
	starts *memory.Buffer // of the values of variable length
	valid  *memory.Buffer // nil while there is no null
	absent int            // nulls
	bad    []badCell
	utf8   bool // the chunk is known to be UTF-8
}

func newCSVColumn(f iceberg.NestedField, at arrow.DataType, d dialect, nulls *csvNulls, o Options) *csvColumn {
	c := &csvColumn{field: f, arrow: at, dialect: d, nulls: nulls, point: '.', alloc: o.Alloc}
	if o.CSV.DecimalComma {
		c.point = ','
	}
	for _, t := range nulls.tokens {
		c.careful = c.careful || t != "" && readsAs(f.Type, t, c.point)
	}
	switch f.Type.(type) {
	case iceberg.TimestampType:
		c.instants = &instants{unit: micros}
	case iceberg.TimestampTzType:
		c.instants = &instants{unit: micros, zoned: true, zone: o.TimeZone}
	case iceberg.TimestampNsType:
		c.instants = &instants{unit: nanos}
	case iceberg.TimestampTzNsType:
		c.instants = &instants{unit: nanos, zoned: true, zone: o.TimeZone}
	}
	return c
}

// convert returns the n cells as an Arrow array, unless some are bad: then nil and those, in row order.
// utf8 says that all the cells are known to be UTF-8.
func (c *csvColumn) convert(x cells, n int, utf8 bool) (arrow.Array, []badCell) {
	c.n, c.absent, c.bad, c.utf8 = n, 0, nil, utf8
	defer c.release()
	switch t := c.field.Type.(type) {
	case iceberg.BooleanType:
		c.booleans(x)
	case iceberg.Int32Type:
		c.ints(x)
	case iceberg.Int64Type:
		c.longs(x)
	case iceberg.Float32Type:
		fill(c, x, func(s []byte) (float32, fault) { return parseFloat32(s, c.point) })
	case iceberg.Float64Type:
		fill(c, x, func(s []byte) (float64, fault) { return parseFloat64(s, c.point) })
	case iceberg.DecimalType:
		c.decimals(x, t.Precision(), t.Scale())
	case iceberg.DateType:
		c.dates(x)
	case iceberg.TimeType:
		fill(c, x, parseTime)
	case iceberg.TimestampType, iceberg.TimestampTzType, iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		fill(c, x, c.instants.parse)
	case iceberg.UUIDType:
		fill(c, x, parseUUID)
	case iceberg.StringType:
		c.strings(x)
	case iceberg.BinaryType:
		c.binaries(x)
	case iceberg.FixedType:
		c.fixed(x, t.Len())
	case iceberg.VariantType:
		return c.variants(x), c.bad
	default: // unknown: every value is null
		for r := range n {
			if _, null := c.rare(x.at(r)); null {
				c.setNull(r)
			} else {
				c.bad = append(c.bad, badCell{r, faultSyntax})
			}
		}
	}
	if len(c.bad) > 0 {
		return nil, c.bad
	}
	return c.array(), nil
}

func (c *csvColumn) array() arrow.Array {
	if c.arrow.ID() == arrow.NULL {
		return array.NewNull(c.n)
	}
	buffers := []*memory.Buffer{c.valid, c.values}
	if c.starts != nil {
		buffers = []*memory.Buffer{c.valid, c.starts, c.values}
	}
	data := array.NewData(c.arrow, c.n, buffers, nil, c.absent, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

func (c *csvColumn) release() {
	for _, b := range []**memory.Buffer{&c.values, &c.starts, &c.valid} {
		if *b != nil {
			(*b).Release()
			*b = nil
		}
	}
}

func (c *csvColumn) allocate(size int) *memory.Buffer {
	b := memory.NewResizableBuffer(c.alloc)
	b.Resize(size)
	return b
}

// slots allocates the values of a column of fixed width.
func slots[T any](c *csvColumn) []T {
	var one T
	c.values = c.allocate(c.n * int(unsafe.Sizeof(one)))
	if c.n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(c.values.Bytes()))), c.n)
}

func (c *csvColumn) setNull(r int) {
	if c.field.Required {
		c.bad = append(c.bad, badCell{r, faultNull})
		return
	}
	if c.valid == nil {
		c.valid = c.allocate(int(bitutil.BytesForBits(int64(c.n))))
		bitutil.SetBitsTo(c.valid.Bytes(), 0, int64(c.n), true)
	}
	bitutil.ClearBit(c.valid.Bytes(), r)
	c.absent++
}

// rare returns the text of a cell without its quotes and escapes, or that it is null. The text is good until the next call.
func (c *csvColumn) rare(cell []byte) (text []byte, null bool) {
	if null = (len(cell) == 0 || cell[0] != c.dialect.quote) && c.nulls.is(cell); !null {
		c.buf, text = c.dialect.text(c.buf, cell)
	}
	return text, null
}

// fill converts a column of fixed width with parse, cell by cell.
func fill[T any](c *csvColumn, x cells, parse func([]byte) (T, fault)) {
	out := slots[T](c)
	var zero T
	for r := range out {
		cell := x.at(r)
		if !c.careful {
			if v, f := parse(cell); f == faultNone {
				out[r] = v
				continue
			}
		}
		out[r] = zero
		text, null := c.rare(cell)
		if null {
			c.setNull(r)
			continue
		}
		v, f := parse(text)
		if f != faultNone {
			c.bad = append(c.bad, badCell{r, f})
			continue
		}
		out[r] = v
	}
}

// rareValue is the slow half of a loop: what to store for the cell of row r.
func rareValue[T any](c *csvColumn, r int, cell []byte, parse func([]byte) (T, fault)) (v T) {
	text, null := c.rare(cell)
	if null {
		c.setNull(r)
		return v
	}
	v, f := parse(text)
	if f != faultNone {
		c.bad = append(c.bad, badCell{r, f})
	}
	return v
}

func (c *csvColumn) longs(x cells) {
	out, point := slots[int64](c), c.point
	for r := range out {
		from, to := x.span(r)
		v, ok := plainInt(x.data, from, to)
		if !ok || c.careful {
			cell := x.data[from:to]
			if v, ok = shortInt(cell); ok && !c.careful {
				out[r] = v
				continue
			}
			v = rareValue(c, r, cell, func(s []byte) (int64, fault) { return parseInt64(s, point) })
		}
		out[r] = v
	}
}

func (c *csvColumn) ints(x cells) {
	out, point := slots[int32](c), c.point
	for r := range out {
		from, to := x.span(r)
		v, ok := plainInt(x.data, from, to)
		if !ok || c.careful {
			cell := x.data[from:to]
			if v, ok = shortInt(cell); ok && v == int64(int32(v)) && !c.careful {
				out[r] = int32(v)
				continue
			}
			v = int64(rareValue(c, r, cell, func(s []byte) (int32, fault) { return parseInt32(s, point) }))
		}
		out[r] = int32(v)
	}
}

func (c *csvColumn) decimals(x cells, precision, scale int) {
	out, point := slots[decimal128.Num](c), c.point
	short := precision <= 18 && !c.careful
	plain := short && scale <= maxPlainScale
	for r := range out {
		from, to := x.span(r)
		cell := x.data[from:to]
		if plain {
			v, ok := plainDecimal(x.data, from, to, scale, point)
			if !ok {
				if v, ok = plainInt(x.data, from, to); ok {
					v *= int64(pow10[scale])
				}
			}
			if ok && v < int64(pow10[precision]) {
				out[r] = decimal128.New(0, uint64(v))
				continue
			}
		}
		if short {
			if v, ok := shortDecimal(cell, precision, scale, point); ok {
				out[r] = decimal128.New(v>>63, uint64(v))
				continue
			}
		}
		out[r] = rareValue(c, r, cell, func(s []byte) (decimal128.Num, fault) {
			return parseDecimal(s, precision, scale, point)
		})
	}
}

func (c *csvColumn) dates(x cells) {
	out := slots[int32](c)
	for r := range out {
		cell := x.at(r)
		v, f := parseDate(cell)
		if f != faultNone || c.careful {
			v = rareValue(c, r, cell, parseDate)
		}
		out[r] = v
	}
}

func (c *csvColumn) booleans(x cells) {
	c.values = c.allocate(int(bitutil.BytesForBits(int64(c.n))))
	memory.Set(c.values.Bytes(), 0)
	for r := range c.n {
		cell := x.at(r)
		v, f := parseBool(cell)
		if f != faultNone || c.careful {
			v = rareValue(c, r, cell, parseBool)
		}
		if v {
			bitutil.SetBit(c.values.Bytes(), r)
		}
	}
}

// variable allocates the offsets and, for size bytes, the values of a column of variable length. The
// values are to be put in the empty slice; what goes beyond its capacity would not be in the buffer.
func (c *csvColumn) variable(size int) (offsets []int32, values []byte) {
	c.starts = c.allocate((c.n + 1) * 4)
	c.values = c.allocate(size)
	offsets = unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(c.starts.Bytes()))), c.n+1)
	offsets[0] = 0
	return offsets, c.values.Bytes()[:0]
}

// width is the length of all cells together, quotes and all.
func (c *csvColumn) width(x cells) int {
	size := 0
	for r := range c.n {
		size += len(x.at(r))
	}
	return size
}

func (c *csvColumn) strings(x cells) {
	// With room to spare, short texts are copied 16 or 64 bytes at a time, whatever their length: what is too
	// much is overwritten by the next.
	const short, step = 16, 64
	offsets, values := c.variable(c.width(x) + step)
	values = values[:cap(values)]
	at, longest, quote := 0, c.nulls.longest, c.dialect.quote
	if c.dialect.escape != 0 {
		longest = math.MaxInt // any cell may have one
	}
	for r := range c.n {
		from, to := x.span(r)
		if x.bare && from < to && x.data[from] == quote && c.utf8 {
			from, to = from+1, to-1
		} else if to-from <= longest || x.data[from] == quote || !c.utf8 {
			text, null := c.rare(x.data[from:to])
			if null {
				c.setNull(r)
				text = nil
			} else if !c.utf8 && !utf8.Valid(text) {
				c.bad = append(c.bad, badCell{r, faultUTF8})
			}
			at += copy(values[at:], text)
			offsets[r+1] = int32(at)
			continue
		}
		switch n := to - from; {
		case n <= short && from+short <= len(x.data):
			*(*[short]byte)(values[at:]) = [short]byte(x.data[from:])
			at += n
		case n <= step && from+step <= len(x.data):
			*(*[step]byte)(values[at:]) = [step]byte(x.data[from:])
			at += n
		default:
			at += copy(values[at:], x.data[from:to])
		}
		offsets[r+1] = int32(at)
	}
	c.values.ResizeNoShrink(at)
}

func (c *csvColumn) binaries(x cells) {
	offsets, values := c.variable(c.width(x))
	for r := range c.n {
		values = rareValue(c, r, x.at(r), func(s []byte) ([]byte, fault) { return appendHex(values, s) })
		if values == nil { // null
			values = c.values.Bytes()[:offsets[r]]
		}
		offsets[r+1] = int32(len(values))
	}
	c.values.ResizeNoShrink(len(values))
}

func (c *csvColumn) fixed(x cells, width int) {
	c.values = c.allocate(c.n * width)
	memory.Set(c.values.Bytes(), 0)
	var buf []byte
	for r := range c.n {
		copy(c.values.Bytes()[r*width:], rareValue(c, r, x.at(r), func(s []byte) ([]byte, fault) {
			var f fault
			buf, f = appendHex(buf[:0], s)
			if f == faultNone && len(buf) != width {
				f = faultLength
			}
			return buf, f
		}))
	}
}

// nullColumn is a column of n nulls.
func nullColumn(alloc memory.Allocator, t arrow.DataType, n int) arrow.Array {
	return array.MakeArrayOfNull(alloc, t, n)
}
