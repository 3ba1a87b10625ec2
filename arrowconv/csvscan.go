package arrowconv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"unsafe"
)

// The grammar is RFC 4180's, with the dialect's bytes for comma and quote: a field that begins with a quote ends at the next quote that is not
// doubled, and a delimiter or line end must follow; any other field has no quote in it; a row ends
// with LF, CRLF or the input. A row that breaks the grammar ends at the line end after the breach.
//
// It is read twice. The reader goroutine hops from quote to quote and finds where rows may be cut
// and which rows break the grammar; that is cheap, as most bytes are no quotes. The workers then
// find all fields of what is left, where the grammar holds, by the parity of quotes alone, 64 bytes
// at a time. Cutting by parity alone, without the first pass, would be simpler and wrong: one stray
// quote would swap inside and outside for the rest of the input.

// csvChunk is a run of whole rows. data ends with a line end, also where the input does not.
type csvChunk struct {
	data   []byte
	bad    []badRow
	quotes bool // data has a quote
	// doubled says that a quoted field may have a quote, or an escape, in its text.
	doubled bool
	bytes   int64 // of the input
}

// badRow is data[from:to] of a chunk, line end included: a row that breaks the grammar.
type badRow struct {
	from, to int
	reason   string
}

const (
	strayQuote = "a quote within an unquoted field"
	afterQuote = "text after a closing quote"
	openQuote  = "a quote that is never closed"
)

// errLongRow is what chunks gives for a row above the limit; its reader knows the row's number.
var errLongRow = errors.New("row too long")

// csvChunks cuts an input into chunks. Where it cuts depends on the bytes and the options alone.
type csvChunks struct {
	r         io.Reader
	dialect   dialect
	size, max int
	carry     []byte // the start of a row, left over by the chunk before
	eof       bool
}

func newCSVChunks(r io.Reader, d dialect, o Options) *csvChunks {
	size := min(o.ChunkBytes, maxChunk)
	return &csvChunks{r: r, dialect: d, size: size, max: min(o.MaxRowBytes, maxChunk)}
}

// maxChunk keeps positions within 32 bits, and offsets of Arrow strings too.
const maxChunk = 1 << 30

// recycle takes back the bytes of a chunk that nobody needs any more.
func (c *csvChunks) recycle(ch csvChunk) { recycleChunk(ch.data, c.size) }

// next returns the next chunk, and io.EOF after the last.
func (c *csvChunks) next() (csvChunk, error) {
	if c.eof && len(c.carry) == 0 {
		return csvChunk{}, io.EOF
	}
	want := max(c.size, len(c.carry)+1)
	b := append(chunkBuffer(want), c.carry...)
	for {
		read := 0
		if !c.eof {
			n, err := io.ReadFull(c.r, b[len(b):want])
			read, b = n, b[:len(b)+n]
			if c.eof = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); err != nil && !c.eof {
				return csvChunk{}, err
			}
		}
		if len(b) == 0 {
			return csvChunk{}, io.EOF
		}
		size := len(b)
		if c.eof && b[len(b)-1] != '\n' {
			b = append(b, '\n')
		}
		end, ch := c.dialect.scanRows(b, c.eof)
		if end > 0 {
			rest := b[end:]
			ch.data, ch.bytes = b[:end:cap(b)], int64(min(end, size))
			// The bytes after end stay where they are until the next call has copied them,
			// and a chunk may be recycled before: so copy now.
			c.carry = append(c.carry[:0], rest...)
			return ch, nil
		}
		if len(b) > c.max {
			return csvChunk{}, errLongRow
		}
		if read == 0 && c.eof {
			return csvChunk{}, io.ErrUnexpectedEOF // not reached: at the end of the input every row ends
		}
		want = min(2*want, max(c.max+1, want+1))
		b = append(make([]byte, 0, want+64), b...)
	}
}

// scanRows finds the end of the last whole row of b, 0 where there is none, and the rows before it
// that break the grammar. b begins with a row. With eof, b ends with a line end and so does its last row.
func (d dialect) scanRows(b []byte, eof bool) (end int, ch csvChunk) {
	if d.escape != 0 || d.comment != 0 && hasLine(b, d.comment) {
		return d.scanByByte(b, eof)
	}
	if !d.quoted() {
		return bytes.LastIndexByte(b, '\n') + 1, ch
	}
	delim, quote := d.delim, d.quote
	if marksBlocks {
		if found, ok := d.sound(b); ok && !(eof && found.within) {
			ch.quotes, ch.doubled = found.quotes, found.doubled
			return lastRowEnd(b, 0, len(b), quote, found.within), ch
		}
	}
	floor := 0 // the end of the last row known to end
	at := 0    // outside quotes; all quotes before it are dealt with
	for {
		open := bytes.IndexByte(b[at:], quote)
		if open < 0 {
			return lastRowEnd(b, floor, len(b), quote, false), ch
		}
		open += at
		ch.quotes, ch.doubled = true, true
		breach, reason := open, strayQuote
		if open == 0 || b[open-1] == delim || b[open-1] == '\n' {
			var more bool
			at, breach, more = closeQuote(b, open+1, delim, quote)
			switch {
			case breach >= 0:
				reason = afterQuote
			case !more:
				continue
			case !eof:
				return lastRowEnd(b, floor, open, quote, false), ch
			default:
				from := lastRowEnd(b, floor, open, quote, false)
				ch.bad = append(ch.bad, badRow{from, len(b), openQuote})
				return len(b), ch
			}
		}
		from := lastRowEnd(b, floor, open, quote, false)
		nl := bytes.IndexByte(b[breach:], '\n')
		if nl < 0 {
			return from, ch // the row goes on beyond b
		}
		at = breach + nl + 1
		floor = at
		ch.bad = append(ch.bad, badRow{from, at, reason})
	}
}

// closeQuote looks for the end of a quoted field whose text begins at k. It returns the position after
// the closing quote; or that of a breach of the grammar, else -1; or that more bytes are needed.
func closeQuote(b []byte, k int, delim, quote byte) (at, breach int, more bool) {
	for {
		i := bytes.IndexByte(b[k:], quote)
		if i < 0 {
			return 0, -1, true
		}
		k += i + 1
		if k == len(b) {
			return 0, -1, true
		}
		switch c := b[k]; {
		case c == quote:
			k++
		case c == delim || c == '\n':
			return k, -1, false
		case c == '\r' && k+1 == len(b):
			return 0, -1, true
		case c == '\r' && b[k+1] == '\n':
			return k, -1, false
		default:
			return 0, k, false
		}
	}
}

// hasLine says whether a line of b begins with c.
func hasLine(b []byte, c byte) bool {
	return len(b) > 0 && b[0] == c || bytes.Contains(b, []byte{'\n', c})
}

// lastRowEnd is the end of the last row that ends in b[floor:limit]; floor where none does. in says whether limit is
// inside quotes. The grammar holds between the two, so the parity of quotes tells inside from outside.
func lastRowEnd(b []byte, floor, limit int, quote byte, in bool) int {
	for i := limit - 1; i >= floor; i-- {
		switch b[i] {
		case quote:
			in = !in
		case '\n':
			if !in {
				return i + 1
			}
		}
	}
	return floor
}

const (
	lowBits = 0x7f7f7f7f7f7f7f7f
	gather  = 0x0102040810204080 // brings the low bits of eight bytes together in the top one
)

// not8 has the high bit of each byte clear where that byte of w is the byte that c repeats; the other bits
// mean nothing.
func not8(w, c uint64) uint64 {
	x := w ^ c
	return ((x & lowBits) + lowBits) | x
}

// pack8 has bit i set where the high bit of byte i of m is clear.
func pack8(m uint64) uint64 { return (^m & highBits >> 7) * gather >> 56 }

// inside has bit i set where an odd number of bits of q is set at or below i.
func inside(q uint64) uint64 {
	q ^= q << 1
	q ^= q << 2
	q ^= q << 4
	q ^= q << 8
	q ^= q << 16
	q ^= q << 32
	return q
}

// markBlocks is how many blocks markEnds is given at a time.
const markBlocks = 64

// fieldEnds appends the positions in b of the delimiters and line ends of b[from:to] that are outside
// quotes. The grammar holds there, and quotes says whether there are any.
func (d dialect) fieldEnds(pos []uint32, b []byte, from, to int, quotes bool) []uint32 {
	if d.escape != 0 {
		return d.escapedEnds(pos, b, from, to)
	}
	const nl = '\n' * eachByte
	quotes = quotes && d.quoted()
	dl, quote := uint64(d.delim)*eachByte, uint64(d.quote)*eachByte
	var in uint64 // all ones when the block before ended inside quotes
	i := from
	if marksBlocks {
		var all uint64
		if quotes {
			all = ^uint64(0)
		}
		for i+64 <= to {
			blocks := min((to-i)/64, markBlocks)
			if room := 64*blocks + 3; cap(pos)-len(pos) < room {
				pos = append(make([]uint32, 0, 2*cap(pos)+room), pos...)
			}
			var n int
			n, in = markEnds(unsafe.SliceData(pos[len(pos):cap(pos)]), &b[i], blocks, uint32(i), d.delim, d.quote, all, in)
			pos = pos[:len(pos)+n]
			i += blocks * 64
		}
	}
	for ; i+64 <= to; i += 64 {
		block := b[i : i+64 : i+64]
		var ends, q uint64
		if quotes {
			for k := 0; k < 64; k += 8 {
				w := binary.LittleEndian.Uint64(block[k:])
				ends |= pack8(not8(w, dl)&not8(w, nl)) << k
				q |= pack8(not8(w, quote)) << k
			}
			if q|in != 0 {
				within := inside(q) ^ in
				in = uint64(int64(within) >> 63)
				ends &^= within
			}
		} else {
			for k := 0; k < 64; k += 8 {
				w := binary.LittleEndian.Uint64(block[k:])
				ends |= pack8(not8(w, dl)&not8(w, nl)) << k
			}
		}
		if cap(pos)-len(pos) < 64 {
			pos = append(make([]uint32, 0, 2*cap(pos)+1024), pos...)
		}
		add := pos[len(pos) : len(pos)+bits.OnesCount64(ends)]
		for j := range add {
			add[j] = uint32(i + bits.TrailingZeros64(ends))
			ends &= ends - 1
		}
		pos = pos[:len(pos)+len(add)]
	}
	quoted := in != 0
	for ; i < to; i++ {
		switch c := b[i]; {
		case quotes && c == d.quote:
			quoted = !quoted
		case !quoted && (c == '\n' || c == d.delim):
			pos = append(pos, uint32(i))
		}
	}
	return pos
}
