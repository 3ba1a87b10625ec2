package arrowconv

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
)

// csvInput is a CSV input whose header has been read.
type csvInput struct {
	Input
	chunks  *csvChunks
	dialect dialect
	header  []string // nil without one
	first   csvChunk // what came with the header; no data at the end of the input
}

// openCSV settles the dialect and reads the header, if there is one, and the chunk that it is in.
func openCSV(in Input, o Options) (*csvInput, error) {
	c := &csvInput{Input: in}
	r := bufio.NewReaderSize(in.Reader, dialectHead)
	c.Reader = r
	if err := c.skipMark(r); err != nil {
		return nil, err
	}
	if err := c.skipLines(r, o); err != nil {
		return nil, err
	}
	head, err := r.Peek(dialectHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, named(in.Name, err)
	}
	if c.dialect, err = o.CSV.settle(o.Format, head, err != nil); err != nil {
		return nil, inputErrorf(hintOf(err), "%s: %w", in.Name, err)
	}
	if o.Note != nil && o.CSV.Delimiter == 0 && len(head) > 0 {
		o.Note(o.CSV.note(in.Name, o.Format, c.dialect))
	}
	c.chunks = newCSVChunks(r, c.dialect, o)
	for {
		ch, err := c.chunks.next()
		switch {
		case errors.Is(err, io.EOF):
			return c, nil
		case errors.Is(err, errLongRow):
			return nil, c.longRow(0, o)
		case err != nil:
			return nil, named(in.Name, err)
		}
		if o.CSV.NoHeader {
			c.first = ch
			return c, nil
		}
		if done, err := c.readHeader(&ch); err != nil {
			return nil, err
		} else if done {
			c.first = ch
			return c, nil
		}
	}
}

// skipMark passes over the mark of UTF-8 and refuses that of UTF-16.
func (c *csvInput) skipMark(r *bufio.Reader) error {
	head, err := r.Peek(len(utf8BOM))
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return named(c.Name, err)
	case isUTF16(head):
		return notUTF16(c.Name)
	case bytes.Equal(head, utf8BOM):
		_, err = r.Discard(len(head))
		return err
	}
	return nil
}

// isUTF16 says whether an input begins with the mark of UTF-16.
func isUTF16(head []byte) bool {
	return bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff"))
}

func notUTF16(name string) error {
	return inputErrorf("convert it: iconv -f UTF-16 -t UTF-8", "%s: it is UTF-16, and must be UTF-8", name)
}

// skipLines passes over the lines before the header. An empty input has no lines to miss.
func (c *csvInput) skipLines(r *bufio.Reader, o Options) error {
	for n := range o.CSV.Skip {
		length := 0
		for {
			part, err := r.ReadSlice('\n')
			if length += len(part); length > o.MaxRowBytes {
				return inputErrorf("", "%s: line %d, which is to be skipped, is longer than %d bytes", c.Name, n+1, o.MaxRowBytes)
			}
			if err == nil || errors.Is(err, io.EOF) && length > 0 {
				break
			}
			switch {
			case errors.Is(err, bufio.ErrBufferFull):
			case !errors.Is(err, io.EOF):
				return named(c.Name, err)
			case n == 0:
				return nil
			default:
				return inputErrorf("", "%s: it has %s, and %d are to be skipped", c.Name, countOf(n, "line"), o.CSV.Skip)
			}
		}
	}
	return nil
}

// skip takes n bytes, whole rows, from the head of the chunk.
func (ch csvChunk) skip(n int) csvChunk {
	ch.data = ch.data[n:]
	bad := make([]badRow, 0, len(ch.bad))
	for _, b := range ch.bad {
		if b.from >= n {
			bad = append(bad, badRow{b.from - n, b.to - n, b.reason})
		}
	}
	ch.bad = bad
	return ch
}

// readHeader takes the header from the head of ch, unless all of ch is blank lines and comments.
func (c *csvInput) readHeader(ch *csvChunk) (bool, error) {
	n, bad := 0, ch.bad
	for n < len(ch.data) {
		if len(bad) > 0 && bad[0].from == n {
			if bad[0].reason != aComment {
				return false, inputErrorf("", "%s: header: %s", c.Name, bad[0].reason)
			}
			n, bad = bad[0].to, bad[1:]
			continue
		}
		line := ch.data[n : n+bytes.IndexByte(ch.data[n:], '\n')+1]
		if len(trimLineEnd(line)) > 0 {
			break
		}
		n += len(line)
	}
	if n == len(ch.data) {
		return false, nil
	}
	end, _ := c.dialect.rowEnd(ch.data, n)
	row := csvChunk{data: ch.data[n:end], quotes: true, doubled: true}
	if bytes.IndexByte(trimLineEnd(row.data), '\r') >= 0 && bytes.Count(row.data, []byte("\n")) == 1 {
		return false, inputErrorf(`if its lines end with CR alone, put LF there: tr '\r' '\n'`, "%s: header: it has a carriage return", c.Name)
	}
	ends := c.dialect.fieldEnds(nil, row.data, 0, len(row.data), true)
	var s csvRows
	s.split(row, c.dialect, len(ends))
	if s.n == 0 { // one empty name would be a blank line
		return false, nil
	}
	for i := range ends {
		x := s.column(i)
		name := x.at(0)
		_, name = c.dialect.text(nil, name)
		if !utf8.Valid(name) {
			return false, inputErrorf("", "%s: header: name %d is not valid UTF-8", c.Name, i+1)
		}
		if slices.Contains(c.header, string(name)) {
			return false, inputErrorf("give every column a name of its own", "%s: column %s comes twice in the header",
				c.Name, quoteShort(string(name)))
		}
		c.header = append(c.header, string(name))
	}
	*ch = ch.skip(end)
	return true, nil
}

func (c *csvInput) longRow(rows int64, o Options) error {
	return inputErrorf("a quote that is never closed makes such rows",
		"%s: row %d: longer than %d bytes", c.Name, rows+1, o.MaxRowBytes)
}

// next gives the chunk that came with the header, then the others.
func (c *csvInput) next() (csvChunk, error) {
	if ch := c.first; ch.bytes > 0 {
		c.first = csvChunk{}
		return ch, nil
	}
	return c.chunks.next()
}

// align says which column of the schema each column of the input is. Without a header they are the
// same, by position.
func (c *csvInput) align(to *target) ([]int, error) {
	if c.header == nil {
		columns := to.byPosition(c.fieldsOfFirstRow())
		return columns, to.checkText(c.Input, columns)
	}
	if err := c.checkDelimiter(to); err != nil {
		return nil, err
	}
	columns, err := to.align(c.Input, c.header)
	if err != nil {
		return nil, err
	}
	return columns, to.checkText(c.Input, columns)
}

// checkDelimiter refuses a header of one column that the table lacks, where it looks as if it had another
// delimiter.
func (c *csvInput) checkDelimiter(to *target) error {
	if len(c.header) != 1 {
		return nil
	}
	name := c.header[0]
	if _, err := to.column(c.Input, name); err == nil && to.names.Columns == nil {
		return nil
	}
	for _, d := range []byte(delimiters) {
		if d != c.dialect.delim && strings.IndexByte(name, d) >= 0 {
			return inputErrorf(fmt.Sprintf("is %q the delimiter? Then say --csv-delimiter %s", d, shellByte(d)),
				"%s: the header is one column, %s, that is not in the table", c.Name, quoteShort(name))
		}
	}
	return nil
}

// checkText refuses columns whose values have no text form.
func (t *target) checkText(in Input, columns []int) error {
	for _, i := range columns {
		if i == dropped {
			continue
		}
		if f := t.fields[i]; !hasTextForm(f.Type) {
			return inputErrorf("load such columns from NDJSON or Parquet", "%s: column %s: CSV has no values of type %s",
				in.Name, quoteShort(f.Name), FormatType(f.Type))
		}
	}
	return nil
}

func hasTextForm(t iceberg.Type) bool {
	_, err := newTextParser(t, nil, '.')
	return err == nil
}

func readCSV(ctx context.Context, in Input, to *target, o Options) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		c, err := openCSV(in, o)
		if err != nil {
			yield(Batch{}, err)
			return
		}
		if c.header == nil && c.first.bytes == 0 {
			return // not a byte
		}
		columns, err := c.align(to)
		if err != nil {
			yield(Batch{}, err)
			return
		}
		worker := func() func(csvChunk) piece {
			w := newCSVWorker(c, to, columns, o)
			return w.convert
		}
		emit(c.Input, o, inOrder(ctx, o.Workers, c.next, worker, piece.drop), func(err error, rows int64) error {
			if errors.Is(err, errLongRow) {
				return c.longRow(rows, o)
			}
			return err
		})(yield)
	}
}

// csvWorker converts chunks, one at a time.
type csvWorker struct {
	in      *csvInput
	to      *target
	o       Options
	columns []*csvColumn // in the input's order
	place   []int        // where each of columns is in the schema
	absent  []int        // columns of the schema that the input lacks
	rows    csvRows
}

func newCSVWorker(c *csvInput, to *target, place []int, o Options) *csvWorker {
	w := &csvWorker{in: c, to: to, o: o, place: place}
	w.absent = to.lacking(func(i int) bool { return slices.Contains(place, i) })
	nulls := newCSVNulls(o.CSV.Nulls)
	for _, i := range place {
		if i == dropped {
			w.columns = append(w.columns, nil)
			continue
		}
		w.columns = append(w.columns, newCSVColumn(to.fields[i], to.arrow.Field(i).Type, c.dialect, nulls, o))
	}
	return w
}

func (w *csvWorker) convert(ch csvChunk) piece {
	s := &w.rows
	s.split(ch, w.in.dialect, len(w.columns))
	defer w.in.chunks.recycle(ch)
	if at, long := s.longerThan(w.o.MaxRowBytes); long {
		return piece{err: errLongRow, rows: at}
	}
	valid := utf8.Valid(ch.data)
	arrays, bad := w.arrays(valid)
	if len(bad) > 0 {
		s.remove(w.describe(bad))
		if w.o.OnReject == nil {
			return piece{rows: int64(s.total), rejects: s.rejects}
		}
		arrays, _ = w.arrays(valid)
	}
	defer func() {
		for _, a := range arrays {
			a.Release()
		}
	}()
	return piece{
		rec:  array.NewRecordBatch(w.to.arrow, arrays, int64(s.n)),
		rows: int64(s.total), rejects: s.rejects, bytes: ch.bytes, absent: w.absent,
	}
}

// cellOf is a bad cell and the input's column it is in.
type cellOf struct {
	badCell
	column int
}

// arrays converts the rows to one array for every column of the schema. Where cells are bad it gives the
// first of each row, in row order, and no arrays.
func (w *csvWorker) arrays(valid bool) ([]arrow.Array, []cellOf) {
	arrays := make([]arrow.Array, len(w.to.fields))
	var bad []cellOf
	for i, c := range w.columns {
		if c == nil {
			continue
		}
		a, cells := c.convert(w.rows.column(i), w.rows.n, valid)
		for _, b := range cells {
			bad = append(bad, cellOf{b, i})
		}
		arrays[w.place[i]] = a
	}
	if len(bad) > 0 {
		for _, a := range arrays {
			if a != nil {
				a.Release()
			}
		}
		slices.SortStableFunc(bad, func(a, b cellOf) int { return a.row - b.row })
		return nil, slices.CompactFunc(bad, func(a, b cellOf) bool { return a.row == b.row })
	}
	for i, a := range arrays {
		if a == nil {
			arrays[i] = w.to.absent(i, w.rows.n, w.o.Alloc)
		}
	}
	return arrays, nil
}

// describe gives the rows that bad cells are in, and the rejects that say why.
func (w *csvWorker) describe(bad []cellOf) (rows []int, rejects []Reject) {
	for _, b := range bad {
		c, x := w.columns[b.column], w.rows.column(b.column)
		text, _ := c.rare(x.at(b.row))
		r := b.fault.reject(w.rows.number(b.row), c.field.Name, text, c.field.Type)
		r.Raw = w.rows.raw(b.row)
		rows, rejects = append(rows, b.row), append(rejects, r)
	}
	return rows, rejects
}

// longerThan gives the number, from 0, of the first row longer than limit bytes.
func (s *csvRows) longerThan(limit int) (int64, bool) {
	if len(s.data) <= limit {
		return 0, false
	}
	for _, r := range s.rejects {
		if len(r.Raw) > limit {
			return r.Row, true
		}
	}
	for r := range s.n {
		if int(s.ends[(r+1)*s.columns-1]-(s.before[r]+1)) > limit {
			return s.number(r), true
		}
	}
	return 0, false
}
