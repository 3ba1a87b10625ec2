package arrowconv

import (
	"bytes"
	"fmt"
	"slices"
)

// csvRows are the rows of one chunk, cut into fields. Rows that cannot be converted are taken out, so
// every row that is left has the same number of fields. It is reused from chunk to chunk.
type csvRows struct {
	data    []byte
	columns int
	n       int      // rows left
	total   int      // rows of the chunk, those taken out included, blank lines not
	before  []uint32 // the position before each row's first byte; 1<<32 - 1 for position 0
	ends    []uint32 // the end of field c of row r is ends[r*columns + c]
	ordinal []int32  // row r is number ordinal[r], from 0, of the chunk; nil: r itself
	rejects []Reject // the rows taken out; Row is their ordinal
	bare    bool     // a quoted field is its text with quotes around it, and nothing to resolve within
}

// cells is one column of csvRows.
type cells struct {
	data         []byte
	before, ends []uint32
	columns      int // between two cells in ends, and in before unless it is the first column's
	step         int
	bare         bool
}

// at returns the text of the column's field in row r, quotes and all.
func (c *cells) at(r int) []byte {
	return c.data[c.before[r*c.step]+1 : c.ends[r*c.columns]]
}

// span is where that text is in data.
func (c *cells) span(r int) (from, to int) {
	return int(c.before[r*c.step] + 1), int(c.ends[r*c.columns])
}

func (s *csvRows) column(i int) cells {
	if i == 0 {
		return cells{s.data, s.before, s.ends, s.columns, 1, s.bare}
	}
	if s.n == 0 {
		return cells{}
	}
	return cells{s.data, s.ends[i-1:], s.ends[i:], s.columns, s.columns, s.bare}
}

// raw is row r as the input spells it, without its line end.
func (s *csvRows) raw(r int) []byte {
	return slices.Clone(s.data[s.before[r]+1 : s.ends[(r+1)*s.columns-1]])
}

func (s *csvRows) number(r int) int64 {
	if s.ordinal != nil {
		return int64(s.ordinal[r])
	}
	return int64(r)
}

// split cuts the rows of ch into columns fields each.
func (s *csvRows) split(ch csvChunk, d dialect, columns int) {
	s.data, s.columns, s.rejects, s.ordinal = ch.data, columns, nil, nil
	s.bare = d.quoted() && !ch.doubled && d.escape == 0
	if len(ch.bad) == 0 {
		s.ends = d.fieldEnds(s.ends[:0], ch.data, 0, len(ch.data), ch.quotes)
		if s.regular() {
			return
		}
		s.irregular(nil, d, ch.quotes)
		return
	}
	s.irregular(ch.bad, d, ch.quotes)
}

// regular sees to the usual case, that every row has as many fields as there are columns and no line
// is blank. Otherwise it reports false and has changed nothing but before.
func (s *csvRows) regular() bool {
	lines := len(s.ends) / s.columns
	if len(s.ends) != lines*s.columns {
		return false
	}
	s.before = slices.Grow(s.before[:0], lines)[:lines]
	last := ^uint32(0)
	for r := range s.before {
		s.before[r] = last
		last = s.ends[(r+1)*s.columns-1]
		if s.data[last] != '\n' {
			return false
		}
	}
	// Each of these rows ends with a line end. If one of them has another within, the input has more than
	// there are rows; it may also have more because they are in quotes.
	if bytes.Count(s.data, []byte("\n")) != lines {
		for i, end := range s.ends {
			if s.data[end] == '\n' && (i+1)%s.columns != 0 {
				return false
			}
		}
	}
	s.n, s.total = lines, lines
	for r := range s.before {
		s.trimCR(r)
	}
	return true
}

// trimCR takes the CR of a CRLF from the last field of row r.
func (s *csvRows) trimCR(r int) {
	end := &s.ends[(r+1)*s.columns-1]
	if *end != s.before[r]+1 && s.data[*end-1] == '\r' {
		*end--
	}
}

// irregular goes row by row: it skips comments, and blank lines where there are several columns, and takes out rows
// that are ragged or break the grammar.
func (s *csvRows) irregular(bad []badRow, d dialect, quotes bool) {
	s.before, s.ordinal, s.ends = s.before[:0], make([]int32, 0, 64), s.ends[:0]
	s.n, s.total = 0, 0
	var ends []uint32
	from := 0
	for i := 0; ; i++ {
		to := len(s.data)
		if i < len(bad) {
			to = bad[i].from
		}
		ends = d.fieldEnds(ends[:0], s.data, from, to, quotes)
		s.addRows(ends, from)
		if i == len(bad) {
			return
		}
		if bad[i].reason != aComment {
			s.takeOut(s.data[to:bad[i].to], bad[i].reason)
		}
		from = bad[i].to
	}
}

// addRows adds the rows whose fields end at ends; the first begins at from.
func (s *csvRows) addRows(ends []uint32, from int) {
	before := uint32(from) - 1
	for len(ends) > 0 {
		fields := slices.IndexFunc(ends, func(e uint32) bool { return s.data[e] == '\n' }) + 1
		end := ends[fields-1]
		line := trimLineEnd(s.data[before+1 : end+1])
		switch {
		case len(line) == 0 && s.columns > 1:
		case fields != s.columns:
			s.takeOut(line, fmt.Sprintf("%s, want %d", countOf(fields, "field"), s.columns))
		default:
			s.before = append(s.before, before)
			s.ends = append(s.ends, ends[:fields]...)
			s.ordinal = append(s.ordinal, int32(s.total))
			s.n++
			s.total++
			s.trimCR(s.n - 1)
		}
		before, ends = end, ends[fields:]
	}
}

func (s *csvRows) takeOut(row []byte, reason string) {
	s.rejects = append(s.rejects, Reject{Row: int64(s.total), Reason: reason, Raw: slices.Clone(trimLineEnd(row))})
	s.total++
}

// remove takes out the rows that the rejects are of, besides those already out; r is ascending, and the
// rejects' rows are ordinals. The row indexes are in gone.
func (s *csvRows) remove(gone []int, rejects []Reject) {
	ordinal := make([]int32, 0, s.n-len(gone))
	w := 0
	for r := range s.n {
		if len(gone) > 0 && gone[0] == r {
			gone = gone[1:]
			continue
		}
		ordinal = append(ordinal, int32(s.number(r)))
		s.before[w] = s.before[r]
		copy(s.ends[w*s.columns:(w+1)*s.columns], s.ends[r*s.columns:(r+1)*s.columns])
		w++
	}
	s.n, s.ordinal = w, ordinal
	s.before, s.ends = s.before[:w], s.ends[:w*s.columns]
	s.rejects = append(s.rejects, rejects...)
	slices.SortFunc(s.rejects, func(a, b Reject) int { return int(a.Row - b.Row) })
}

func trimLineEnd(row []byte) []byte {
	if n := len(row); n > 0 && row[n-1] == '\n' {
		row = row[:n-1]
	}
	if n := len(row); n > 0 && row[n-1] == '\r' {
		row = row[:n-1]
	}
	return row
}

func countOf(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
