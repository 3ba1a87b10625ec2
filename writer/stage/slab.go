package stage

import (
	"github.com/apache/arrow-go/v18/arrow"
)

// slab is rows of several batches, brought together before they are routed. A batch of ten thousand rows has
// five for each of two thousand partitions, and to copy five values costs far more than their bytes: so such batches
// wait until there are hundreds for each. It is filled again and again, by one goroutine.
type slab struct {
	schema  *arrow.Schema // of cols
	cols    []column
	numbers []int32 // of each row's partition
	every   []int32 // 0, 1, 2 and so on
}

// scattered is the rows for each of a batch's partitions from which on they are copied as they come.
const scattered = 64

// mostSlab bounds slabs where memory does not: longer ones save nothing more.
const mostSlab = 64 << 20

func newSlab(as *arrow.Schema, ls []*layout) *slab {
	return &slab{schema: keptSchema(as, ls), cols: newColumns(ls)}
}

// add appends rows of rec, whose partitions are in numbers by row of rec.
func (s *slab) add(rec arrow.RecordBatch, rows, numbers []int32) {
	for i := range s.cols {
		d := rec.Column(i).Data()
		if len(rows) == int(rec.NumRows()) {
			s.cols[i].appendRange(d, d.Offset(), len(rows))
		} else {
			s.cols[i].gather(d, d.Offset(), rows)
		}
	}
	at := len(s.numbers)
	s.numbers = growSlice(s.numbers, len(rows))
	pick(s.numbers[at:], numbers, rows)
}

// batch is the rows over the slab's own memory.
func (s *slab) batch() arrow.RecordBatch { return arrowBatch(s.schema, s.cols, len(s.numbers)) }

// rows are all of the slab's, from 0. They are its own: a batch whose rows are known may be about to follow them.
func (s *slab) rows() []int32 {
	for n := len(s.every); n < len(s.numbers); n++ {
		s.every = append(s.every, int32(n))
	}
	return s.every[:len(s.numbers)]
}

func (s *slab) size() int64 {
	size := int64(0)
	for i := range s.cols {
		size += s.cols[i].size()
	}
	return size
}

func (s *slab) capacity() int64 {
	capacity := 4 * int64(cap(s.numbers)+cap(s.every))
	for i := range s.cols {
		capacity += s.cols[i].capacity()
	}
	return capacity
}

func (s *slab) reset() {
	s.numbers = s.numbers[:0]
	for i := range s.cols {
		s.cols[i].reset()
	}
}
