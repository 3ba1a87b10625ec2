package arrowconv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"strings"
	"sync"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/nearest"
)

// readJSON reads JSON documents: an array of objects, objects one after another, or an array within an
// object. One goroutine finds where rows end; the rows themselves, each put on a line of its own, are
// NDJSON to the workers.
func readJSON(ctx context.Context, in Input, to *target, o Options) iter.Seq2[Batch, error] {
	return readRows(ctx, in, newJSONDocument(in, o), to, o)
}

func inferJSON(ctx context.Context, in Input, o InferOptions) (*iceberg.Schema, error) {
	return inferRows(ctx, in, newJSONDocument(in, o.Options), o)
}

// jsonDocument cuts JSON documents into rows. It sees to the grammar around them and between them: what is wrong
// there leaves no way to tell rows, and ends the read. Within a row it sees brackets and strings only, the rest is the
// parser's. Line ends in a row become carriage returns, which are white space too, and none of which is left
// outside of strings: by them the parser counts lines.
type jsonDocument struct {
	name    string
	from    io.Reader
	size    int    // of a chunk, roughly
	longest int    // row
	path    string // of the array with the rows; "": the document is it

	buf    []byte
	at     int   // the next byte of buf
	base   int64 // of buf in the input
	line   int64 // of buf[at], from 1
	lineAt int64 // where that line begins in the input
	eof    bool

	state  jsonState
	found  []bool   // by depth: the key has come
	arrays []string // keys of the document that have arrays
	rows   int64
	end    error // what next gives from now on
	open   []byte
	free   sync.Pool
}

type jsonState uint8

const (
	jsonBegin  jsonState = iota // before the first document
	jsonStream                  // between objects that follow one another
	jsonFirst                   // after the [ of the rows
	jsonNext                    // after a row in an array
	jsonAfter                   // after the ] of a document that is an array
	jsonWithin                  // in an object on the way to the rows, after one of its members
)

func newJSONDocument(in Input, o Options) *jsonDocument {
	from := in.Reader
	if from == nil {
		from = io.NewSectionReader(in.At, 0, in.Size)
	}
	return &jsonDocument{
		name: in.Name, from: from, size: min(o.ChunkBytes, maxOffset), longest: min(o.MaxRowBytes, maxOffset), path: o.JSONRows,
		buf: make([]byte, 0, 64<<10), line: 1,
	}
}

func (j *jsonDocument) recycle(ch jsonChunk) { j.free.Put(&ch) }

// next returns the next chunk, or io.EOF. Where it cuts depends on the rows and ChunkBytes alone.
func (j *jsonDocument) next() (jsonChunk, error) {
	var ch jsonChunk
	if old, ok := j.free.Get().(*jsonChunk); ok {
		ch = jsonChunk{text: old.text[:0], lines: old.lines[:0]}
	}
	began := j.base + int64(j.at)
	for j.end == nil && (len(ch.text) < j.size || len(ch.lines) == 0) {
		j.end = j.row(&ch)
	}
	if len(ch.lines) == 0 {
		return jsonChunk{}, j.end
	}
	ch.bytes = j.base + int64(j.at) - began
	return ch, nil
}

// row adds the next row to ch, or says with io.EOF that there is none.
func (j *jsonDocument) row(ch *jsonChunk) error {
	for {
		c, err := j.peek()
		switch {
		case errors.Is(err, io.EOF):
			switch j.state {
			case jsonBegin, jsonStream, jsonAfter:
				return io.EOF
			}
			return j.fail("", "the input ends before the document does")
		case err != nil:
			return err
		}
		switch j.state {
		case jsonBegin:
			switch {
			case j.path != "":
				if c != '{' {
					return j.fail("leave --json-rows out", "--json-rows %s wants an object around the rows", j.path)
				}
				j.at++
				j.enter()
			case c == '[':
				j.at++
				j.state = jsonFirst
			default:
				j.state = jsonStream
			}
		case jsonStream:
			if c == ',' || c == ']' {
				return j.fail("put [ and ] around rows with commas between them", "%c between objects that are not in an array", c)
			}
			return j.take(c, ch)
		case jsonFirst:
			j.state = jsonNext
			if c != ']' {
				return j.take(c, ch)
			}
			j.close()
		case jsonNext:
			switch c {
			case ',':
				j.at++
				if c, err = j.peek(); err != nil {
					continue
				}
				if c == ']' {
					return j.fail("", "a comma before the ]")
				}
				return j.take(c, ch)
			case ']':
				j.close()
			default:
				return j.fail("", "a comma or ] was expected after a row")
			}
		case jsonAfter:
			return j.fail("a file has one array, or objects one after another", "there is more after the ]")
		case jsonWithin:
			if err := j.member(c); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
		}
	}
}

// take adds the value that begins with c as a row.
func (j *jsonDocument) take(c byte, ch *jsonChunk) error {
	if jsonKind(c) == "" {
		return j.fail("", "a row was expected, which is an object")
	}
	line := j.line
	text, err := j.value(ch.text, true)
	if err != nil {
		return err // ch is as it was
	}
	ch.text, ch.lines = append(text, '\n'), append(ch.lines, line)
	j.rows++
	return nil
}

// close leaves the array of the rows.
func (j *jsonDocument) close() {
	j.at++
	if j.state = jsonAfter; j.path != "" {
		j.state = jsonWithin
	}
}

// enter goes into an object on the way to the rows.
func (j *jsonDocument) enter() {
	j.state = jsonWithin
	j.found = append(j.found, false)
}

// member goes past one member of an object on the way to the rows, or into it; c is the next byte.
func (j *jsonDocument) member(c byte) error {
	depth := len(j.found) - 1
	keys := strings.Split(j.path, ".")
	switch c {
	case '}':
		if !j.found[depth] {
			return j.missing(strings.Join(keys[:depth+1], "."))
		}
		j.at++
		if j.found = j.found[:depth]; depth == 0 {
			j.state, j.arrays = jsonBegin, nil
		}
		return nil
	case ',':
		j.at++
		var err error
		if c, err = j.peek(); err != nil {
			return err
		}
	}
	if c != '"' {
		return j.fail("", "a key was expected")
	}
	quoted, err := j.value(nil, true)
	if err != nil {
		return err
	}
	scan := jsonScanner{b: append(quoted, '\n')}
	key, ok := scan.str()
	if !ok {
		return j.fail("", "%s", scan.bad.Reason)
	}
	if c, err = j.peek(); err != nil {
		return err
	}
	if c != ':' {
		return j.fail("", "a colon was expected")
	}
	j.at++
	if c, err = j.peek(); err != nil {
		return err
	}
	if string(key) != keys[depth] {
		if c == '[' && len(j.arrays) < 16 {
			j.arrays = append(j.arrays, strings.Join(append(keys[:depth:depth], string(key)), "."))
		}
		if jsonKind(c) == "" {
			return j.fail("", "a value was expected")
		}
		_, err = j.value(nil, false)
		return err
	}
	if j.found[depth] {
		return j.fail("", "the key %s comes twice", quoteShort(string(key)))
	}
	j.found[depth] = true
	last := depth == len(keys)-1
	switch {
	case last && c == '[':
		j.at++
		j.state = jsonFirst
	case !last && c == '{':
		j.at++
		j.enter()
	default:
		want := "an object"
		if last {
			want = "an array"
		}
		return j.fail("", "--json-rows %s: %s must be %s, and is %s", j.path, strings.Join(keys[:depth+1], "."), want, jsonKind(c))
	}
	return nil
}

func (j *jsonDocument) missing(path string) error {
	hint := "there is no array beside it"
	if near := nearest.Name(j.path, j.arrays); near != "" {
		hint = "did you mean " + near + "?"
	} else if len(j.arrays) > 0 {
		hint = "there are the arrays " + strings.Join(j.arrays, ", ")
	}
	return j.fail(hint, "--json-rows %s: the document has no %s", j.path, path)
}

// peek moves past white space and gives the next byte, or io.EOF.
func (j *jsonDocument) peek() (byte, error) {
	for {
		for ; j.at < len(j.buf); j.at++ {
			switch c := j.buf[j.at]; c {
			case '\n':
				j.newLine(j.at)
			case ' ', '\t', '\r':
			default:
				return c, nil
			}
		}
		if err := j.fill(); err != nil {
			return 0, err
		}
	}
}

// newLine counts the line end at buf[i].
func (j *jsonDocument) newLine(i int) {
	j.line++
	j.lineAt = j.base + int64(i) + 1
}

// fill reads on, where all of buf is done with.
func (j *jsonDocument) fill() error {
	if j.eof {
		return io.EOF
	}
	first := j.base == 0 && len(j.buf) == 0
	j.base += int64(len(j.buf))
	j.at = 0
	n, err := io.ReadAtLeast(j.from, j.buf[:cap(j.buf)], len(utf8BOM))
	j.buf = j.buf[:n]
	if err != nil {
		if j.eof = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); !j.eof {
			return named(j.name, err)
		}
	}
	if first {
		if isUTF16(j.buf) {
			return notUTF16(j.name)
		}
		if strings.HasPrefix(string(j.buf), string(utf8BOM)) {
			j.at = len(utf8BOM)
		}
	}
	if n == 0 {
		return io.EOF
	}
	return nil
}

// fail is an error at the next byte.
func (j *jsonDocument) fail(hint, format string, args ...any) error {
	after := ""
	if j.rows > 0 {
		after = fmt.Sprintf(", after row %d", j.rows)
	}
	return inputErrorf(hint, "%s: line %d, byte %d%s: it is not valid: %s", j.name, j.line, j.base+int64(j.at)-j.lineAt+1, after, fmt.Sprintf(format, args...))
}

// jsonPlain are the bytes that mean nothing to value outside of strings.
var jsonPlain = func() (plain [256]bool) {
	for c := range plain {
		plain[c] = !strings.ContainsRune("\"{}[],: \t\r\n", rune(c)) || c >= 0x80
	}
	return plain
}()

// value goes past the value at buf[at] and, with keep, appends it to out, line ends as carriage returns.
func (j *jsonDocument) value(out []byte, keep bool) ([]byte, error) {
	line, lineAt, begin := j.line, j.lineAt, j.base+int64(j.at)
	began := len(out)
	j.open = j.open[:0]
	inString, escaped := false, false
	for done := false; !done; {
		if j.at == len(j.buf) {
			if err := j.fill(); errors.Is(err, io.EOF) {
				if len(j.open) == 0 && !inString {
					return out, nil // a number or a word
				}
				what := "a value"
				if keep {
					what = fmt.Sprintf("row %d", j.rows+1)
				}
				return out, inputErrorf("a quote or a bracket may be missing, or the end of the file",
					"%s: the input ends within %s, which begins at line %d, byte %d", j.name, what, line, begin-lineAt+1)
			} else if err != nil {
				return out, err
			}
		}
		b := j.buf[j.at:]
		i := 0
	scan:
		for i < len(b) {
			if escaped {
				escaped = false
				if b[i] != '\n' {
					i++
					continue
				}
			}
			if inString {
				if i = stringStop(b, i); i == len(b) {
					break
				}
				switch b[i] {
				case '"':
					inString = false
					if i++; len(j.open) == 0 {
						done = true
						break scan
					}
					continue
				case '\\':
					escaped = true
				case '\n':
					j.newLine(j.at + i)
					b[i] = '\r'
				}
				i++
				continue
			}
			for i < len(b) && jsonPlain[b[i]] {
				i++
			}
			if i == len(b) {
				break
			}
			switch c := b[i]; c {
			case '"':
				if len(j.open) == 0 && j.base+int64(j.at+i) > begin { // after a number or a word
					done = true
					break scan
				}
				inString = true
			case '{', '[':
				if len(j.open) == 0 && j.base+int64(j.at+i) > begin {
					done = true
					break scan
				}
				j.open = append(j.open, c+2)
			case '}', ']':
				if len(j.open) == 0 {
					done = true
					break scan
				}
				if top := j.open[len(j.open)-1]; top != c {
					j.at += i
					return out, j.fail("", "%c where %c was expected, in the value that begins at line %d, byte %d", c, top, line, begin-lineAt+1)
				}
				if j.open = j.open[:len(j.open)-1]; len(j.open) == 0 {
					i++
					done = true
					break scan
				}
			default: // white space, a comma or a colon
				if len(j.open) == 0 {
					done = true
					break scan
				}
				switch c {
				case '\n':
					j.newLine(j.at + i)
					b[i] = '\r'
				case '\r':
					b[i] = ' '
				}
			}
			i++
		}
		if keep {
			out = append(out, b[:i]...)
		}
		if j.at += i; len(out)-began > j.longest || len(j.open) > j.longest {
			return out, inputErrorf("--max-row-bytes allows longer ones", "%s: row %d, which begins at line %d: longer than %d bytes", j.name, j.rows+1, line, j.longest)
		}
	}
	return out, nil
}

// stringStop is the position in b from i on of a quote, a backslash or a control character.
func stringStop(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^('"'*eachByte), w^('\\'*eachByte)
		if m := ((quote-eachByte)&^quote | (slash-eachByte)&^slash | (w-0x20*eachByte)&^w) & highBits; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= 0x20 {
		i++
	}
	return i
}

// jsonOrLines tells a JSON document from NDJSON: by an array, by an object that does not end on its line, or
// by two on one line. Where head shows none of these it is NDJSON.
func jsonOrLines(head []byte) Format {
	text := trimJSONSpace(head)
	if len(text) == 0 || text[0] != '{' {
		if len(text) > 0 && text[0] == '[' {
			return JSON
		}
		return NDJSON
	}
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n':
			return JSON
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth > 0 {
				continue
			}
			rest := strings.TrimLeft(string(text[i+1:]), " \t\r")
			if strings.HasPrefix(rest, "{") {
				return JSON
			}
			return NDJSON
		}
	}
	return NDJSON
}
