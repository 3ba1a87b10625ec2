package arrowconv

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/apache/iceberg-go"
)

// csvEvidence is what one chunk shows: one evidence for each column of the input.
type csvEvidence struct {
	columns []evidence
	rows    int64
	bad     []Reject // rows that the load would refuse too; Row counts from 0 within the chunk
	err     error
}

// inferCSV looks at all rows, or the first o.Rows, of a CSV input. Rows that are ragged or break the grammar
// end it with a *RowError unless rejects are wanted, then the load will report them.
func inferCSV(ctx context.Context, in Input, o InferOptions) (*iceberg.Schema, error) {
	c, err := openCSV(in, o.Options)
	if err != nil {
		return nil, err
	}
	names := c.header
	if names == nil {
		if c.first.bytes == 0 {
			return nil, &inputError{
				msg:  in.Name + ": it is empty, and a schema cannot be inferred from it",
				hint: "give a schema file with --schema", cause: ErrNoRows,
			}
		}
		for i := range c.fieldsOfFirstRow() {
			names = append(names, fmt.Sprintf("column_%d", i+1))
		}
	}
	for i, name := range names {
		if name == "" {
			return nil, inputErrorf("give every column a name", "%s: column %d has no name in the header", in.Name, i+1)
		}
	}
	workers, left := o.Workers, int64(-1)
	if o.Rows > 0 {
		workers, left = 1, int64(o.Rows) // one worker sees the chunks in order, and can count
	}
	worker := func() func(csvChunk) csvEvidence {
		w := newCSVInferrer(c, len(names), o)
		return func(ch csvChunk) csvEvidence { return w.look(ch, &left) }
	}
	total := make([]evidence, len(names))
	rows := int64(0)
	for e, err := range inOrder(ctx, workers, c.next, worker, func(csvEvidence) {}) {
		if err == nil {
			err = e.err
		}
		if errors.Is(err, errLongRow) {
			return nil, c.longRow(rows+e.rows, o.Options)
		} else if err != nil {
			return nil, err
		}
		if len(e.bad) > 0 && o.OnReject == nil {
			r := e.bad[0]
			r.Source, r.Row = in.Name, rows+1+r.Row
			return nil, &RowError{r}
		}
		for i := range total {
			total[i].merge(e.columns[i])
		}
		if rows += e.rows; o.Rows > 0 && rows >= int64(o.Rows) {
			break
		}
	}
	fields := make([]iceberg.NestedField, len(names))
	for i, name := range names {
		fields[i] = iceberg.NestedField{Name: name, Type: o.typ(&total[i], o.beside(name))}
		if o.Note != nil && total[i].commaNumbers() {
			o.Note(Note{Source: in.Name, Text: "column " + quoteShort(name) + " is text: its numbers have a decimal comma, which --decimal-comma reads"})
		}
	}
	return freshIDs(fields)
}

// fieldsOfFirstRow is the number of fields of the first good row of an input without a header.
func (c *csvInput) fieldsOfFirstRow() int {
	first := 0
	c.dialect.eachRow(c.first, func(_ []byte, fields int) {
		if first == 0 {
			first = fields
		}
	})
	return max(first, 1)
}

// csvInferrer looks at chunks, one at a time.
type csvInferrer struct {
	in      *csvInput
	columns int
	nulls   *csvNulls
	point   byte
	careful bool // some text that looks like a plain number is none
	o       InferOptions
	rows    csvRows
	buf     []byte
}

func newCSVInferrer(c *csvInput, columns int, o InferOptions) *csvInferrer {
	w := &csvInferrer{in: c, columns: columns, nulls: newCSVNulls(o.CSV.Nulls), point: '.', o: o}
	if o.CSV.DecimalComma {
		w.point = ','
	}
	w.careful = c.dialect.escape != 0
	for _, text := range append([]string{string(rune(c.dialect.quote))}, w.nulls.tokens...) {
		w.careful = w.careful || new(evidence).addPlain([]byte(text), w.point)
	}
	return w
}

// look gives the evidence of ch, of at most left rows where left is not negative, and counts it down.
func (w *csvInferrer) look(ch csvChunk, left *int64) csvEvidence {
	s := &w.rows
	s.split(ch, w.in.dialect, w.columns)
	defer w.in.chunks.recycle(ch)
	if at, long := s.longerThan(w.o.MaxRowBytes); long {
		return csvEvidence{rows: at, err: errLongRow}
	}
	e := csvEvidence{columns: make([]evidence, w.columns), rows: int64(s.total), bad: s.rejects}
	n := s.n
	if *left >= 0 {
		for n > 0 && s.number(n-1) >= *left {
			n--
		}
		for len(e.bad) > 0 && e.bad[len(e.bad)-1].Row >= *left {
			e.bad = e.bad[:len(e.bad)-1]
		}
		*left = max(0, *left-e.rows)
	}
	valid := utf8.Valid(ch.data)
	for i := range e.columns {
		x := s.column(i)
		for r := range n {
			if cell := x.at(r); w.careful || !e.columns[i].addPlain(cell, w.point) {
				w.cell(&e.columns[i], cell, valid)
			}
			if e.columns[i].seen&kindString != 0 {
				break // nothing can make it anything else
			}
		}
	}
	return e
}

func (w *csvInferrer) cell(e *evidence, cell []byte, valid bool) {
	if (len(cell) == 0 || cell[0] != w.in.dialect.quote) && w.nulls.is(cell) {
		return
	}
	w.buf, cell = w.in.dialect.text(w.buf, cell)
	if valid || utf8.Valid(cell) { // else a reject of the load, whatever the type
		e.addText(cell, w.point)
	}
}
