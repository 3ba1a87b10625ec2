package arrowconv

import "strings"

// Most inputs break the grammar nowhere. Where machine words tell what 64 bytes are, that is found out faster than by
// hopping from quote to quote: the parity of quotes says which of them open and which close; each that opens must come
// after a delimiter, a line end or a quote that closes, and each that closes before one of these, or a CRLF. Two in a row,
// closing and opening, are one in the text. Where that holds all along, parity is right, and so are the cuts made by it.
// Where it does not, scanRows finds the row at fault.

// quotation is what sound has found.
type quotation struct {
	quotes  bool // there are some
	doubled bool // and some within text
	within  bool // what was looked at ends in quotes
}

var lineEnds = strings.Repeat("\n", 64)

// sound says whether b, which begins with a row, keeps to the grammar. What b breaks off in may yet break it.
func (d dialect) sound(b []byte) (quotation, bool) {
	const group = 32
	var (
		found        quotation
		masks        [group][4]uint64
		any, doubled uint64
		in           uint64      // all ones inside quotes
		before       = uint64(1) // bit 0: the byte before the block may come before an opening quote
		after, cr    uint64      // bit 0: the block's first byte is after a closing quote; after that and a CR
		last         [64]byte
	)
	for len(b) > 0 {
		blocks := min(len(b)/64, group)
		from := b
		if blocks == 0 {
			// Line ends after the end break nothing.
			from, blocks = append(last[:0], b...), 1
			from = append(from, lineEnds[len(from):]...)
		}
		maskBlocks(&masks[0], &from[0], blocks, d.delim, d.quote)
		b = b[min(len(b), 64*blocks):]
		for _, m := range masks[:blocks] {
			q := m[2]
			if q|in|after|cr == 0 {
				before = (m[0] | m[1]) >> 63
				continue
			}
			any |= q
			within := inside(q) ^ in
			in = uint64(int64(within) >> 63)
			opens, closes := q&within, q&^within
			edges := m[0] | m[1] | q
			wrong := opens &^ (edges<<1 | before)
			before = edges >> 63

			after |= closes << 1
			doubled |= after & q
			wrong |= after &^ (edges | m[3])
			cr |= after & m[3] << 1
			wrong |= cr &^ m[1]
			if wrong != 0 {
				return quotation{}, false
			}
			cr, after = after&m[3]>>63, closes>>63
		}
	}
	found.quotes, found.doubled, found.within = any != 0, doubled != 0, in != 0
	return found, true
}
