package merge

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/writer/slice"
)

// writtenVersions are the rows that come to a history: changes of the input with the times when they begin and
// end, and the rows that remember deletes. complete gives a batch of the input all columns that are written.
func (in *Input) writtenVersions(p *Plan, complete func(arrow.RecordBatch, batch) (arrow.RecordBatch, error)) Stream {
	return Stream{
		Rows: p.Comes(),
		Batches: func(yield func(arrowconv.Batch, error) bool) {
			n, deletes := 0, p.Versions.gone
			for rec, err := range in.store.all() {
				if err != nil {
					yield(arrowconv.Batch{}, err)
					return
				}
				b := in.batches[n]
				n++
				var lines []line
				for i := range b.rows {
					row := int32(b.first + i)
					if o := p.Outcomes[row]; o == Inserted || o == Updated {
						lines = append(lines, line{i, in.history.effects[row], p.Versions.ends[row]})
					}
					for ; len(deletes) > 0 && deletes[0].row == row; deletes = deletes[1:] {
						lines = append(lines, line{i, deletes[0].at, deletes[0].at})
					}
				}
				if len(lines) == 0 {
					rec.Release()
					continue
				}
				whole, err := complete(rec, b)
				rec.Release()
				if err == nil {
					rec = whole
					whole, err = in.lines(rec, lines)
					rec.Release()
				}
				if err != nil {
					yield(arrowconv.Batch{}, err)
					return
				}
				out := b.origin
				out.RecordBatch, out.Bytes, out.Rejected = whole, 0, nil
				if !yield(out, nil) {
					return
				}
			}
		},
		Pick: func(arrow.RecordBatch) (*slice.Selection, error) { return nil, nil },
	}
}

// line is a row that is written: that of a batch, from a time to a time. One without a duration has no contents.
type line struct {
	row      int
	from, to int64
}

// lines are rows of rec with the columns of the history filled in.
func (in *Input) lines(rec arrow.RecordBatch, lines []line) (arrow.RecordBatch, error) {
	h := in.history
	from, to := make([]int64, len(lines)), make([]int64, len(lines))
	for i, l := range lines {
		from[i], to[i] = l.from, l.to
	}
	columns := make([]arrow.Array, rec.NumCols())
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i, f := range rec.Schema().Fields() {
		var err error
		switch f.Name {
		case h.From, h.Effective:
			columns[i], err = times(f.Type, from)
		case h.To:
			columns[i], err = times(f.Type, to)
		case h.Current:
			columns[i] = truths(to)
		default:
			columns[i], err = in.contents(rec.Column(i), f, lines)
		}
		if err != nil {
			return nil, err
		}
	}
	return array.NewRecordBatch(rec.Schema(), columns, int64(len(lines))), nil
}

// contents is the column of rec for lines. Those that remember a delete have a null, or what is least of a type.
func (in *Input) contents(arr arrow.Array, f arrow.Field, lines []line) (arrow.Array, error) {
	nothing := arr
	if !slices.Contains(in.o.Key, f.Name) {
		b := array.NewBuilder(memory.DefaultAllocator, f.Type)
		defer b.Release()
		if f.Nullable {
			b.AppendNull()
		} else {
			b.AppendEmptyValue()
		}
		nothing = b.NewArray()
		defer nothing.Release()
	}
	return gather([]arrow.Array{arr, nothing}, len(lines), func(i int) (int, int) {
		if l := lines[i]; l.from != l.to || nothing == arr {
			return 0, l.row
		}
		return 1, 0
	})
}

// withEnds is rec, live rows of a file from row number first on, with other ends in some of them.
func (h *history) withEnds(rec arrow.RecordBatch, first int64, moves []move) (arrow.RecordBatch, error) {
	columns := slices.Clone(rec.Columns())
	var fresh []arrow.Array
	defer func() {
		for _, c := range fresh {
			c.Release()
		}
	}()
	set := func(at int, c arrow.Array) {
		columns[at], fresh = c, append(fresh, c)
	}
	at, err := indexOf(rec, h.to.ID, h.To)
	if err != nil {
		return nil, err
	}
	old, err := h.to.ofArray(rec.Column(at))
	if err != nil {
		return nil, err
	}
	to := slices.Clone(old.numbers)
	for i := range to {
		if old.null != nil && old.null[i] {
			to[i] = forever
		}
	}
	for _, m := range moves {
		to[m.row-first] = m.to
	}
	c, err := times(rec.Column(at).DataType(), to)
	if err != nil {
		return nil, err
	}
	set(at, c)
	if h.Current != "" {
		if at, err = indexOf(rec, h.current.ID, h.Current); err != nil {
			return nil, err
		}
		set(at, truths(to))
	}
	// A row that changes has changed with this snapshot.
	if at, err = indexOf(rec, iceberg.LastUpdatedSequenceNumberFieldID, iceberg.LastUpdatedSequenceNumberColumnName); err == nil {
		none := array.MakeArrayOfNull(memory.DefaultAllocator, rec.Column(at).DataType(), 1)
		defer none.Release()
		next := moves
		c, err := gather([]arrow.Array{rec.Column(at), none}, int(rec.NumRows()), func(i int) (int, int) {
			for len(next) > 0 && next[0].row < first+int64(i) {
				next = next[1:]
			}
			if len(next) > 0 && next[0].row == first+int64(i) {
				return 1, 0
			}
			return 0, i
		})
		if err != nil {
			return nil, err
		}
		set(at, c)
	}
	return array.NewRecordBatch(rec.Schema(), columns, rec.NumRows()), nil
}

// indexOf finds a column as columnOf does.
func indexOf(rec arrow.RecordBatch, id int, name string) (int, error) {
	at := -1
	for i, f := range rec.Schema().Fields() {
		if text, ok := f.Metadata.GetValue(fieldID); ok && text == strconv.Itoa(id) {
			return i, nil
		}
		if f.Name == name {
			at = i
		}
	}
	if at < 0 {
		return -1, fmt.Errorf("merge: the batch has no column %s", name)
	}
	return at, nil
}
