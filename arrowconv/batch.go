package arrowconv

import "github.com/apache/arrow-go/v18/arrow"

// Batch is an Arrow record batch with its provenance. It has one owner: passing it on passes the Release.
type Batch struct {
	arrow.RecordBatch
	// Source names the input the rows come from, as errors and rejects show it.
	Source string
	// FirstRow is the 1-based number of the batch's first row in Source: data rows, a CSV header not counted.
	FirstRow int64
	// Rejected holds the row numbers between the batch's rows that were set aside, ascending; mostly nil.
	// RowsRead is NumRows plus these.
	Rejected []int64
	// Absent are the columns, by position, that neither the input nor its path has, where they are the same for
	// all rows; of an input whose rows name their own columns, those that none of the batch's names. They
	// hold the column's default, or nulls. Ascending; mostly nil.
	Absent []int
	// Bytes is the size of the input, decompressed, that the batch was read from; 0 where unknown.
	Bytes int64
}

// RowsRead is the number of input rows that the batch accounts for: its own and those rejected.
func (b Batch) RowsRead() int64 { return b.NumRows() + int64(len(b.Rejected)) }

// RowNumber is the 1-based number in Source of row i of the batch.
func (b Batch) RowNumber(i int) int64 {
	n := b.FirstRow + int64(i)
	for _, r := range b.Rejected {
		if r > n {
			break
		}
		n++
	}
	return n
}
