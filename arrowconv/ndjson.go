package arrowconv

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"unicode/utf8"

	"github.com/icewright/icewright/variant"
)

// maxOffset keeps the offsets of a chunk's texts and lists within int32.
const maxOffset = 1 << 30

// readNDJSON reads one JSON object a line.
//
// A chunk of whole lines makes one batch. A row is parsed once, driven by the schema: each value goes
// from its text straight into the column that it belongs to.
func readNDJSON(ctx context.Context, in Input, to *target, o Options) iter.Seq2[Batch, error] {
	return readRows(ctx, in, newLineReader(in, o), to, o)
}

// jsonChunk is a run of whole rows, each on a line.
type jsonChunk struct {
	text  []byte
	lines []int64 // where the rows begin in the input, from 1; nil where every row is a line of it
	bytes int64   // of the input
}

// jsonChunks cuts an input into chunks.
type jsonChunks interface {
	next() (jsonChunk, error) // io.EOF after the last
	recycle(jsonChunk)        // takes back one that is done with
}

func readRows(ctx context.Context, in Input, chunks jsonChunks, to *target, o Options) iter.Seq2[Batch, error] {
	worker := func() func(jsonChunk) piece {
		p := newNDJSONParser(in.Name, to, o)
		return func(chunk jsonChunk) piece {
			defer chunks.recycle(chunk)
			return p.chunk(chunk)
		}
	}
	return emit(in, o, inOrder(ctx, o.Workers, chunks.next, worker, piece.drop), atRow)
}

// rowStop ends a read at a row for a reason that is not that row's alone.
type rowStop func(row int64) error

func (rowStop) Error() string { return "the input cannot be read on" }

func atRow(err error, rows int64) error {
	if stop, ok := err.(rowStop); ok {
		return stop(rows + 1)
	}
	return err
}

// lineReader cuts an input into chunks that end with a newline. Where, depends on the bytes and
// ChunkBytes alone.
type lineReader struct {
	name    string
	from    io.Reader
	size    int    // of a chunk, roughly
	longest int    // row
	rest    []byte // the beginning of the next chunk
	begun   bool
	end     error // why there are no more chunks
}

func newLineReader(in Input, o Options) *lineReader {
	from := in.Reader
	if from == nil {
		from = io.NewSectionReader(in.At, 0, in.Size)
	}
	return &lineReader{name: in.Name, from: from, size: min(o.ChunkBytes, maxOffset), longest: min(o.MaxRowBytes, maxOffset)}
}

func (l *lineReader) recycle(ch jsonChunk) { recycleChunk(ch.text, l.size) }

func (l *lineReader) next() (jsonChunk, error) {
	text, err := l.cut()
	return jsonChunk{text: text, bytes: int64(len(text))}, err
}

// cut returns the next chunk, or io.EOF. A last line without a newline gets one.
func (l *lineReader) cut() ([]byte, error) {
	if l.end != nil {
		return nil, l.end
	}
	chunk := append(chunkBuffer(l.size+l.size/8), l.rest...)
	l.rest = l.rest[:0]
	searched := 0
	for {
		have := len(chunk)
		want := have - have%l.size + l.size
		if cap(chunk) <= want { // room for a newline of our own
			chunk = append(make([]byte, 0, want+want/8+1), chunk...)
		}
		n, err := io.ReadFull(l.from, chunk[have:want])
		chunk = chunk[:have+n]
		if !l.begun && (len(chunk) >= len(utf8BOM) || err != nil) {
			l.begun = true
			if bytes.HasPrefix(chunk, utf8BOM) {
				chunk, searched = chunk[len(utf8BOM):], 0
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
			if l.end = io.EOF; len(chunk) == 0 {
				return nil, io.EOF
			}
			if chunk[len(chunk)-1] != '\n' {
				chunk = append(chunk, '\n')
			}
			return chunk, nil
		default:
			l.end = named(l.name, err)
			return nil, l.end
		}
		if end := bytes.LastIndexByte(chunk[searched:], '\n'); end >= 0 {
			end += searched + 1
			l.begun = true
			l.rest = append(l.rest, chunk[end:]...)
			return chunk[:end], nil
		}
		if len(chunk) > l.longest {
			l.end = tooLong(l.name, l.longest)
			return nil, l.end
		}
		searched = len(chunk)
	}
}

func tooLong(name string, longest int) rowStop {
	return func(row int64) error {
		return inputErrorf("NDJSON has one object on each line", "%s: row %d: longer than %d bytes", name, row, longest)
	}
}

// ndjsonParser turns chunks into batches. It is for one goroutine and keeps its buffers between chunks.
type ndjsonParser struct {
	jsonScanner
	name string
	to   *target
	opts Options
	root *jsonColumn

	build variant.Builder
}

func newNDJSONParser(name string, to *target, o Options) *ndjsonParser {
	return &ndjsonParser{name: name, to: to, opts: o, root: newJSONRoot(to, o)}
}

// chunk parses whole lines. Blank ones are no rows.
func (p *ndjsonParser) chunk(ch jsonChunk) piece {
	b := ch.text
	var rows int64
	var rejects []Reject
	p.begin(ch)
	p.root.reset()
	// One pass over the chunk is cheaper than one over each text. Only where it fails are rows looked at.
	valid := utf8.Valid(b)
	for p.i < len(b) {
		if p.skipSpace() == '\n' {
			p.i++
			continue
		}
		p.beginRow(rows)
		before := p.root.n
		ok := (valid || p.checkUTF8()) && p.row()
		if !ok {
			p.i += bytes.IndexByte(b[p.i:], '\n')
		}
		line := bytes.TrimSuffix(b[p.line:p.i], []byte("\r"))
		p.i++
		if len(line) > p.opts.MaxRowBytes {
			return piece{err: tooLong(p.name, p.opts.MaxRowBytes), rows: rows}
		}
		if p.stop != nil {
			return piece{err: p.stop, rows: rows}
		}
		if !ok {
			p.root.truncate(before)
			p.bad.Row, p.bad.Line, p.bad.Raw = rows, p.first, p.raw(line)
			rejects = append(rejects, p.bad)
			if p.opts.OnReject == nil {
				return piece{rows: rows + 1, rejects: rejects}
			}
		}
		rows++
	}
	if rows == 0 {
		return piece{}
	}
	out := piece{rec: p.root.batch(p.to.arrow, p.opts.Alloc), rows: rows, rejects: rejects, bytes: ch.bytes}
	if !p.root.whole {
		out.absent = p.to.lacking(func(i int) bool { return p.root.kids[i].named })
	}
	return out
}

const (
	badUTF8   = "the row is not valid UTF-8"
	moreAfter = "there is more after the object"
)

func (p *ndjsonParser) checkUTF8() bool {
	end := p.i + bytes.IndexByte(p.b[p.i:], '\n')
	if utf8.Valid(p.b[p.i:end]) {
		return true
	}
	p.bad = Reject{Reason: badUTF8}
	return false
}

// row parses the object at p.i and what is left of its line.
func (p *ndjsonParser) row() bool {
	if c := p.b[p.i]; c != '{' {
		p.bad = Reject{Reason: p.notAnObject(c)}
		return false
	}
	if !p.object(p.root) {
		return false
	}
	if p.skipSpace() != '\n' {
		return p.syntax(moreAfter)
	}
	return true
}

// arrayRow is what NDJSON says to a row that is an array.
const arrayRow = "the row is a JSON array: NDJSON has one object on each line, and nothing around them"

// notAnObject says what is wrong with a row that begins with c.
func (p *jsonScanner) notAnObject(c byte) string {
	switch kind := jsonKind(c); {
	case c == '[' && p.lines == nil:
		return arrayRow
	case kind == "":
		return "the row is not a JSON object"
	default:
		return "the row must be a JSON object, and is " + kind
	}
}
