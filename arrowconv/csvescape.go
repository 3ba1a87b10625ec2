package arrowconv

import "bytes"

// With an escape the parity of quotes no longer tells inside from outside, and neither does it where
// lines are comments, which may hold a quote. Such rows are gone through byte by byte: by the reader
// where they end, and, with an escape, by the workers where their fields do.

const (
	aComment   = "" // the reason of a bad row that is no row at all
	openEscape = "an escape with nothing after it"
)

// escapes is the length of the escape and what it takes the meaning from at b[i:], 0 where there is none, and
// -1 where more bytes are needed. An escape before anything else is text.
func (d dialect) escapes(b []byte, i int) int {
	if b[i] != d.escape {
		return 0
	}
	if i+1 == len(b) {
		return -1
	}
	switch c := b[i+1]; {
	case c == d.delim, c == d.quote, c == d.escape, c == '\n':
		return 2
	case c == '\r' && i+2 == len(b):
		return -1
	case c == '\r' && b[i+2] == '\n':
		return 3
	}
	return 0
}

// scanByByte is scanRows for the dialects that it cannot scan.
func (d dialect) scanByByte(b []byte, eof bool) (end int, ch csvChunk) {
	ch.quotes, ch.doubled = d.quoted(), true
	for end < len(b) {
		if d.comment != 0 && b[end] == d.comment {
			nl := bytes.IndexByte(b[end:], '\n')
			if nl < 0 {
				break
			}
			ch.bad = append(ch.bad, badRow{end, end + nl + 1, aComment})
			end += nl + 1
			continue
		}
		to, reason := d.rowEnd(b, end)
		if to == 0 {
			if !eof {
				break
			}
			to = len(b)
		}
		if reason != "" {
			ch.bad = append(ch.bad, badRow{end, to, reason})
		}
		end = to
	}
	return end, ch
}

// rowEnd is the end of the row that begins at i, and how it breaks the grammar, if it does. The end is 0
// where the row does not end in b; then the reason is the one if nothing comes after b.
func (d dialect) rowEnd(b []byte, i int) (end int, reason string) {
	breach := func(reason string) (int, string) {
		if nl := bytes.IndexByte(b[i:], '\n'); nl >= 0 {
			return i + nl + 1, reason
		}
		return 0, reason
	}
	for begin := true; i < len(b); {
		c := b[i]
		switch {
		case begin && d.quoted() && c == d.quote:
			for i++; ; {
				if i >= len(b) {
					return 0, openQuote
				}
				if b[i] == d.escape && d.escape != 0 {
					if n := d.escapes(b, i); n != 0 {
						if n < 0 {
							return 0, openQuote
						}
						i += n
						continue
					}
				}
				if i++; b[i-1] != d.quote {
					continue
				}
				if i == len(b) {
					return 0, openQuote
				}
				if b[i] != d.quote {
					break
				}
				i++
			}
			switch c := b[i]; {
			case c == d.delim || c == '\n':
			case c == '\r' && i+1 == len(b):
				return 0, openQuote
			case c == '\r' && b[i+1] == '\n':
			default:
				return breach(afterQuote)
			}
			begin = false
		case c == '\n':
			return i + 1, ""
		case c == d.delim:
			i, begin = i+1, true
		case d.quoted() && c == d.quote:
			return breach(strayQuote)
		default:
			n := 1
			if d.escape != 0 && c == d.escape {
				if n = d.escapes(b, i); n < 0 {
					return 0, openEscape
				}
				n = max(n, 1)
			}
			i, begin = i+n, false
		}
	}
	return 0, openEscape
}

// escapedEnds is fieldEnds with an escape.
func (d dialect) escapedEnds(pos []uint32, b []byte, from, to int) []uint32 {
	in := false
	for i := from; i < to; {
		c := b[i]
		if c == d.escape {
			if n := d.escapes(b[:to], i); n > 0 {
				i += n
				continue
			}
		}
		switch {
		case d.quoted() && c == d.quote:
			in = !in
		case !in && (c == '\n' || c == d.delim):
			pos = append(pos, uint32(i))
		}
		i++
	}
	return pos
}
