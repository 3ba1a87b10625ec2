package arrowconv

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// NoQuote as CSVOptions.Quote says that quotes are text like any other.
const NoQuote byte = 0xff

// CSVOptions is the dialect of CSV and TSV inputs. What it leaves open, the first bytes of each input
// decide, by the rules of docs/formats.md.
type CSVOptions struct {
	// Delimiter is the byte between fields. The default, 0, is detected: a comma unless the first rows
	// have another that fits; a tab for TSV.
	Delimiter byte
	// Quote is the byte that fields with delimiters or line ends in them are put in, or NoQuote.
	// The default, 0, is a double quote, or a single one where all names of the header are in those.
	Quote byte
	// Escape is the byte that takes the meaning from a delimiter, a quote, a line end or itself. The
	// default, 0, is none: quotes within quotes are doubled, which is read with an escape, too.
	Escape byte
	// Comment is the byte that lines begin with that are no rows. The default, 0, is none.
	Comment byte
	// Skip is the number of lines before the header, or before the first row without one. The default, 0, is none.
	Skip int
	// NoHeader says that the first row is data; columns are then those of the schema, by position.
	NoHeader bool
	// Nulls are the texts of unquoted fields that mean null, whatever the column's type. A quoted
	// field is never null. The default, nil, is the empty text alone; give "" with the others to keep it.
	Nulls []string
	// DecimalComma takes a comma for the decimal point in numbers; a point is then an error.
	DecimalComma bool
}

// Check says what is wrong with the dialect. Errors wrap ErrInput.
func (c CSVOptions) Check() error {
	if c.Skip < 0 {
		return inputErrorf("", "%d lines cannot be skipped", c.Skip)
	}
	quote := c.Quote
	switch quote {
	case 0:
		quote = '"'
	case NoQuote:
		quote = 0
	}
	return distinct(c.Delimiter, quote, c.Escape, c.Comment)
}

// distinct refuses bytes of a dialect that cannot be what they should be; 0 is none.
func distinct(delim, quote, escape, comment byte) error {
	given := []struct {
		is   byte
		name string
	}{{delim, "delimiter"}, {quote, "quote"}, {escape, "escape"}, {comment, "comment"}}
	for i, g := range given {
		if g.is == 0 {
			continue
		}
		letter := g.is|0x20 >= 'a' && g.is|0x20 <= 'z' || g.is >= '0' && g.is <= '9'
		if g.is >= utf8.RuneSelf || g.is == '\r' || g.is == '\n' || letter && g.name != "delimiter" {
			return inputErrorf("", "%q cannot be the %s", g.is, g.name)
		}
		for _, other := range given[:i] {
			if g.is == other.is && (g.name != "escape" || other.name != "quote") { // a quote is escaped by a quote
				return inputErrorf("", "%q cannot be both the %s and the %s", g.is, other.name, g.name)
			}
		}
	}
	return nil
}

// dialect is how an input spells rows, all settled.
type dialect struct {
	delim byte
	// quote is delim where there are no quotes: no field begins with its own delimiter, so that what
	// looks for a quote at its beginning finds none.
	quote   byte
	escape  byte // 0: none
	comment byte // 0: none
}

func (d dialect) quoted() bool { return d.quote != d.delim }

// with gives d another delimiter.
func (d dialect) with(delim byte) dialect {
	if !d.quoted() {
		d.quote = delim
	}
	d.delim = delim
	return d
}

// text is what a field spells, quotes and escapes resolved; where that takes a copy it is in buf, which is
// returned, too. Whether the field is null is another question.
func (d dialect) text(buf, cell []byte) (_, text []byte) {
	quoted := len(cell) > 0 && cell[0] == d.quote
	if d.escape == 0 {
		if !quoted {
			return buf, cell
		}
		return unquote(buf, cell, d.quote)
	}
	if quoted {
		cell = cell[1 : len(cell)-1]
	}
	if bytes.IndexByte(cell, d.escape) < 0 && (!quoted || bytes.IndexByte(cell, d.quote) < 0) {
		return buf, cell
	}
	buf = buf[:0]
	for i := 0; i < len(cell); i++ {
		if n := d.escapes(cell, i); n > 0 {
			buf = append(buf, cell[i+1:i+n]...)
			i += n - 1
			continue
		}
		if buf = append(buf, cell[i]); quoted && cell[i] == d.quote {
			i++ // the second of two
		}
	}
	return buf, buf
}

// unquote returns the text of a quoted field; doubled quotes are undone in buf, which it returns, too.
func unquote(buf, cell []byte, quote byte) (_, text []byte) {
	inner := cell[1 : len(cell)-1]
	i := bytes.IndexByte(inner, quote)
	if i < 0 {
		return buf, inner
	}
	buf = buf[:0]
	for i >= 0 {
		buf = append(buf, inner[:i+1]...)
		inner = inner[i+2:]
		i = bytes.IndexByte(inner, quote)
	}
	buf = append(buf, inner...)
	return buf, buf
}

// dialectHead is how many bytes of an input its dialect is detected from.
const dialectHead = 64 << 10

// delimiters are those that can be detected, the one that is meant without evidence first. The last
// is what Hive writes; no text has it.
const delimiters = ",\t;|\x01"

// settle gives the dialect of an input that begins with head, by what is said and what it shows. whole says that
// head is all of it.
func (c CSVOptions) settle(f Format, head []byte, whole bool) (dialect, error) {
	if err := c.Check(); err != nil {
		return dialect{}, err
	}
	d := dialect{delim: c.Delimiter, quote: c.Quote, escape: c.Escape, comment: c.Comment}
	if f == TSV && d.delim == 0 {
		d.delim = '\t'
	}
	given := d.delim != 0
	if !given {
		d.delim = ','
	}
	switch c.Quote {
	case 0:
		d.quote = '"'
	case NoQuote:
		d.quote = d.delim
	}
	if d.escape == d.quote {
		d.escape = 0
	}
	if whole && len(head) > 0 && head[len(head)-1] != '\n' {
		head = append(slices.Clone(head), '\n')
	}
	if c.Quote == 0 && !c.NoHeader && bytes.IndexByte(head, '\'') >= 0 && d.escape != '\'' && d.comment != '\'' && d.delim != '\'' {
		single := d
		single.quote = '\''
		if s, err := single.choose(head, whole, given); err == nil && s.quotesAll(head, whole) {
			return s, nil
		}
	}
	d, err := d.choose(head, whole, given)
	if err != nil {
		return d, err
	}
	quote := d.quote
	if !d.quoted() && c.Quote == NoQuote {
		quote = 0
	}
	return d, distinct(d.delim, quote, d.escape, d.comment)
}

// evenness is how the rows of a head look with some delimiter.
type evenness struct {
	delim byte
	first int  // fields of the first row
	even  bool // all others have as many
}

// choose settles the delimiter. A comma stands unless there is better: one that makes the same number of fields of
// every row, where a comma does not. Where two do that, and a comma not into more fields, nobody can know.
func (d dialect) choose(head []byte, whole, given bool) (dialect, error) {
	if given {
		return d, nil
	}
	var comma evenness
	var even, uneven []evenness // of those that make fields of the first row
	for _, delim := range []byte(delimiters) {
		if d.quoted() && delim == d.quote || delim == d.escape || delim == d.comment {
			continue
		}
		e := d.with(delim).evenness(head, whole)
		switch {
		case delim == ',':
			comma = e
		case e.first < 2:
		case e.even:
			even = append(even, e)
		default:
			uneven = append(uneven, e)
		}
	}
	most := func(of []evenness) (best evenness, rival *evenness) {
		for _, e := range of {
			switch {
			case e.first > best.first:
				best, rival = e, nil
			case e.first == best.first:
				rival = &e
			}
		}
		return best, rival
	}
	best, rival := most(even)
	switch {
	case comma.first > 1 && comma.even && best.first >= comma.first:
		rival = &comma
	case comma.first > 1 && (comma.even || len(even) == 0):
		return d.with(','), nil
	case len(even) == 0:
		best, rival = most(uneven)
	}
	if rival != nil {
		a, b := spellByte(rival.delim), spellByte(best.delim)
		return d, inputErrorf(fmt.Sprintf("say --csv-delimiter %s or --csv-delimiter %s", shellByte(rival.delim), shellByte(best.delim)),
			"its first line has %s with %s between them, and %s with %s", countOf(rival.first, "field"), a, countOf(best.first, "field"), b)
	}
	if best.first > 1 {
		return d.with(best.delim), nil
	}
	return d.with(','), nil
}

// evenness looks at the rows of head.
func (d dialect) evenness(head []byte, whole bool) evenness {
	e := evenness{delim: d.delim, even: true}
	d.eachRow(d.headRows(head, whole), func(row []byte, fields int) {
		switch {
		case e.first == 0:
			e.first = max(fields, 1)
		case fields != e.first:
			e.even = false
		}
	})
	return e
}

// headRows are the whole rows of head, or its beginning of a first row.
func (d dialect) headRows(head []byte, whole bool) csvChunk {
	end, ch := d.scanRows(head, whole)
	if end == 0 && len(head) > 0 {
		head = append(slices.Clone(head), '\n')
		end, ch = d.scanRows(head, true)
	}
	ch.data = head[:end]
	return ch
}

// eachRow calls do for every row of ch, with 0 fields for one that breaks the grammar.
func (d dialect) eachRow(ch csvChunk, do func(row []byte, fields int)) {
	from := 0
	for i := 0; ; i++ {
		to := len(ch.data)
		if i < len(ch.bad) {
			to = ch.bad[i].from
		}
		fields := 0
		for _, end := range d.fieldEnds(nil, ch.data, from, to, ch.quotes) {
			if fields++; ch.data[end] != '\n' {
				continue
			}
			if row := ch.data[from : end+1]; len(trimLineEnd(row)) > 0 {
				do(row, fields)
			}
			fields, from = 0, int(end)+1
		}
		if i == len(ch.bad) {
			return
		}
		if from = ch.bad[i].to; ch.bad[i].reason != aComment {
			do(ch.data[ch.bad[i].from:from], 0)
		}
	}
}

// quotesAll says whether every field of the first row is in quotes.
func (d dialect) quotesAll(head []byte, whole bool) bool {
	begun, all := false, false
	d.eachRow(d.headRows(head, whole), func(row []byte, fields int) {
		if begun {
			return
		}
		begun, all = true, fields > 0
		from := 0
		for _, end := range d.fieldEnds(nil, row, 0, len(row), true) {
			all = all && row[from] == d.quote
			from = int(end) + 1
		}
	})
	return all
}

// note says in which dialect an input is read where nobody said so.
func (c CSVOptions) note(name string, f Format, d dialect) Note {
	text := "fields have " + spellByte(d.delim) + " between them"
	if d.quote == '\'' {
		text += " and are in single quotes"
	}
	usual := d.delim == ',' || f == TSV
	return Note{Source: name, Text: text, Usual: usual && d.quote != '\''}
}

// spellByte names a byte of a dialect for people.
func spellByte(b byte) string {
	switch b {
	case '\t':
		return "tabs"
	case ',':
		return "commas"
	case ';':
		return "semicolons"
	case '|':
		return "bars"
	}
	return fmt.Sprintf("%q", b)
}

// shellByte spells a byte as the flags of a dialect take it.
func shellByte(b byte) string {
	switch {
	case b == '\t':
		return "tab"
	case b < ' ':
		return fmt.Sprintf(`'\x%02x'`, b)
	case b == '\'':
		return `"'"`
	}
	return "'" + string(rune(b)) + "'"
}

// ParseDialectByte reads a byte of a dialect as people write it: one ASCII character, tab, \t, or \x and two
// hexadecimal digits. Errors wrap ErrInput.
func ParseDialectByte(text string) (byte, error) {
	switch strings.ToLower(text) {
	case "tab", `\t`:
		return '\t', nil
	}
	if len(text) == 4 && text[:2] == `\x` {
		if b, f := appendHex(nil, []byte(text[2:])); f == faultNone && b[0] > 0 && b[0] < utf8.RuneSelf {
			return b[0], nil
		}
	}
	if len(text) != 1 || text[0] == 0 || text[0] >= utf8.RuneSelf {
		return 0, inputErrorf(`it is one ASCII character, the word tab, or a code such as \x01`, "%q is not one character", text)
	}
	return text[0], nil
}
