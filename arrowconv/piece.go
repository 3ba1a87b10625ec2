package arrowconv

import (
	"iter"

	"github.com/apache/arrow-go/v18/arrow"
)

// piece is what a worker made of a piece of the input. Pieces come in input order; only emit knows how
// many rows came before one.
type piece struct {
	rec     arrow.RecordBatch // nil where no row was converted
	rows    int64             // rows read, rejects included
	rejects []Reject          // Row counts from 0 within the piece; ascending; Source is not set
	bytes   int64             // of input
	absent  []int             // columns that the input lacks, or of whose keys the piece has none; ascending
	err     error             // ends the read, at row number rows, from 0, of the piece; nothing else is set
}

func (p piece) drop() {
	if p.rec != nil {
		p.rec.Release()
	}
}

// emit turns pieces into batches: it numbers their rows, and reports their rejects, or ends with the
// first as a *RowError. An error of pieces goes through describe with the number of rows before it.
func emit(in Input, o Options, pieces iter.Seq2[piece, error], describe func(err error, rows int64) error) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		rows := int64(0)
		for p, err := range pieces {
			if err == nil {
				err = p.err
			}
			if err != nil {
				yield(Batch{}, describe(err, rows+p.rows))
				return
			}
			b := Batch{RecordBatch: p.rec, Source: in.Name, FirstRow: rows + 1, Bytes: p.bytes, Absent: p.absent}
			for _, r := range p.rejects {
				r.Source, r.Row = in.Name, rows+1+r.Row
				if o.OnReject == nil {
					p.drop()
					yield(Batch{}, &RowError{r})
					return
				}
				if err := o.OnReject(r); err != nil {
					p.drop()
					yield(Batch{}, err)
					return
				}
				b.Rejected = append(b.Rejected, r.Row)
			}
			rows += p.rows
			switch {
			case p.rec == nil:
			case p.rows == 0:
				p.drop()
			case !yield(b, nil):
				return
			}
		}
	}
}
