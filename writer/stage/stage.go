// Package stage turns batches of rows into data files that no snapshot refers to yet. It
// knows partitions (the rows with one partition tuple), segments (a row group's worth of one
// partition's rows, in memory), row groups (a segment encoded as Parquet) and files (row
// groups written one after the other). It decides nothing about what is visible: planning and
// publishing come after it.
//
// Rows flow through three steps. One router, the caller's goroutine, finds each row's
// partition and copies its values into that partition's buffers. A buffer with a row group's
// worth of rows becomes a segment, and one of the workers sorts it where the table asks for
// it, computes digest and statistics, and encodes it. When a partition has row groups for a
// file of the target size, or the input has ended, the worker that finished the last of them
// writes the whole file: so few files are open at once, however many partitions there are,
// and one hot partition still keeps every worker busy.
//
// Memory is bounded by bytes of buffer capacity. Past the bound the largest partition
// buffers, as they are, and then encoded row groups move to a spill file and come back when
// they are needed. Where a segment, a row group or a file ends depends on the rows and the
// options alone, never on timing or on what was spilled: the same input gives the same bytes.
package stage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/slice"
)

// Outside says what to do with rows outside the declared slice.
type Outside int

const (
	// OutsideFail ends the run at the first row outside the slice.
	OutsideFail Outside = iota
	// OutsideDrop leaves such rows out and counts them as filtered.
	OutsideDrop
)

// ErrOutside says that the input has a row outside the declared slice.
var ErrOutside = errors.New("row outside the slice")

// ErrProperty says that a table property has a value that cannot be used.
var ErrProperty = errors.New("bad table property")

// ErrUnsupported says that the table has a column, transform or file format that icewright
// cannot write.
var ErrUnsupported = errors.New("cannot be written")

// Rows tells which rows of a batch are inside the slice; see Options.Slice.
type Rows interface {
	// Rows returns one entry per row of rec, true where the row is inside; nil says that all are.
	Rows(rec arrow.RecordBatch) ([]bool, error)
	String() string
}

// Options are the options of Stage. The zero value works.
type Options struct {
	// Slice is the part of the table that the run owns. The default, nil, is every row.
	Slice Rows
	// Outside says what to do with rows outside Slice. The default fails, because such rows are
	// more often a mistake in the job than noise in the data.
	Outside Outside
	// Memory bounds the bytes held in buffers: rows, segments, row groups. The default, 0, is
	// 1 GiB. The Go heap's slack between collections is part of it, given that the process
	// sets debug.SetMemoryLimit accordingly.
	Memory int64
	// SpillDir is where the spill file goes, if memory runs short. The default, "", is os.TempDir().
	SpillDir string
	// Workers encode and write. The default, 0, is GOMAXPROCS. Their number changes no byte.
	Workers int
	// NewID names files. It is not called concurrently. The default, nil, is uuid.NewV7.
	NewID func() uuid.UUID
	// Progress, unless nil, is called after every batch and every file, never concurrently.
	Progress func(Progress)
}

// Progress is how far a call of Stage has come.
type Progress struct {
	RowsRead, BytesRead int64
	Partitions          int
	Files               int
	BytesStaged         int64
	// BytesSpilled is how much went to the spill file so far.
	BytesSpilled int64
}

// Result is what Stage wrote. RowsRead = RowsStaged + RowsFiltered + RowsRejected.
type Result struct {
	// Files are the data files, by partition in order of first appearance, then in row order.
	Files []slice.StagedFile
	// RowsRead counts input rows, rejected ones included.
	RowsRead     int64
	RowsStaged   int64
	RowsFiltered int64
	RowsRejected int64
	// BytesRead is the decompressed size of the input, as far as batches told it.
	BytesRead int64
	// BytesStaged is the size of Files.
	BytesStaged  int64
	BytesSpilled int64
	// Digest is that of all staged rows.
	Digest digest.Sum
}

func (o Options) withDefaults() (Options, error) {
	if o.Memory < 0 {
		return o, fmt.Errorf("stage: Memory is %d bytes, less than 0", o.Memory)
	}
	if o.Memory == 0 {
		o.Memory = 1 << 30
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.NewID == nil {
		o.NewID = func() uuid.UUID { return uuid.Must(uuid.NewV7()) }
	}
	return o, nil
}

// Stage writes the rows of in to data files of tbl, under its current schema, partition spec,
// sort order and properties, and returns them. Batches have the Arrow schema that
// arrowconv.ArrowSchema gives for the table's schema; Stage releases them.
//
// On error nothing is left behind: staged files and the spill file are removed, also after ctx
// is cancelled. Errors wrap ErrOutside for a row outside the slice, arrowconv.ErrInput for a
// null in a required column, ErrProperty and ErrUnsupported for what the table asks for;
// errors of in are passed on.
func Stage(ctx context.Context, tbl *table.Table, in iter.Seq2[arrowconv.Batch, error], o Options) (*Result, error) {
	return nil, errors.New("stage: under construction")
}

// Remove deletes staged files that will not be published. It goes on after an error and
// returns all of them joined; a file that is not there is none.
func Remove(ctx context.Context, tbl *table.Table, files []slice.StagedFile) error {
	return nil
}
