// Package arrowconv turns bytes into Arrow record batches with the schema of an Iceberg table.
//
// An input is one file, object or stream of rows; a format says how its bytes spell rows; a
// batch is a run of neighbouring rows with the number of the first; a reject is a row that
// could not be converted. Values are converted exactly or not at all: what does not fit is a
// row error, never a silent null, a rounded decimal or a truncated text. docs/types.md has the
// rules of every type.
//
// The package knows nothing of where inputs come from, of compression, or of tables and
// commits: package source opens inputs, package writer takes the batches.
package arrowconv

import (
	"io"
	"runtime"
	"time"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
)

// Input is one source of rows. It does not own what it reads from: the caller closes it.
type Input struct {
	// Name is what errors, batches and rejects call the input.
	Name string
	// Reader gives the decompressed bytes from the start.
	Reader io.Reader
	// At and Size give random access to the same bytes, which Parquet needs. A nil At is fine:
	// Parquet is then spooled to a temporary file.
	At   io.ReaderAt
	Size int64
	// Constants are what the input's path says of all its rows. A column that the input has is the
	// input's. Inputs without names have it if they have as many columns as that makes.
	Constants []Constant
}

// Options say how to read an input. The zero value reads with every default.
type Options struct {
	// Format of the input. The default, "", takes what DetectFormat says.
	Format Format
	CSV    CSVOptions
	// JSONRows is the path of keys, with dots between them, to the array of a JSON document that has the
	// rows. The default, "", is the document itself.
	JSONRows string
	// TimeZone is the zone of texts without one that go to timestamptz columns. The default, nil, is UTC.
	TimeZone *time.Location
	// Names match the input's columns with the table's. Texts without a header have none to match.
	Names
	// SourceColumns are columns of the schema that say where a row comes from. The default adds none.
	SourceColumns SourceColumns
	// Derived are columns that are computed from the rows later on: an input may not have them. The default is none.
	Derived []string
	// Workers is the number of goroutines that convert. The default, 0, is GOMAXPROCS.
	Workers int
	// ChunkBytes is the amount of input, decompressed, that makes one batch. The default, 0, is 1 MiB:
	// large enough for tight loops, small enough that chunks in flight stay in the cache's reach.
	ChunkBytes int
	// MaxRowBytes is the longest row of a text, and the longest value of a typed input; a longer one is
	// an error. The default, 0, is 64 MiB, a bound on memory when a quote is missing, or when a few KB of
	// a compressed file stand for GBs.
	MaxRowBytes int
	// Dictionaries gives columns of texts or bytes that a Parquet or Arrow input has as a dictionary as Arrow
	// dictionaries, with places of 32 bits, where the table's type is the same: a batch with few different texts has each of them once. The
	// default, false, gives all columns the types that ArrowSchema says.
	Dictionaries bool
	// Alloc gives the memory of batches. The default, nil, is memory.DefaultAllocator.
	Alloc memory.Allocator
	// OnReject is called for every row that cannot be converted, in row order, from the goroutine
	// that ranges over the batches; an error from it ends the read with that error.
	// The default, nil, ends the read at the first such row with a *RowError.
	OnReject func(Reject) error
	// Note hears what was decided where the options leave it open. It may be called from several goroutines
	// at once, and twice about an input that is inferred from and then read. The default, nil, hears nothing.
	Note func(Note)
	// SpillDir is where an input without random access is spooled. The default, "", is os.TempDir.
	SpillDir string
}

// Note is something that was decided where nobody said so: the dialect of a CSV input.
type Note struct {
	// Source is the input's name, Text what was decided.
	Source, Text string
	// Usual says that it is what anybody would expect.
	Usual bool
}

func (o Options) withDefaults() Options {
	if o.TimeZone == nil {
		o.TimeZone = time.UTC
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.ChunkBytes <= 0 {
		o.ChunkBytes = 1 << 20
	}
	if o.MaxRowBytes <= 0 {
		o.MaxRowBytes = 64 << 20
	}
	if o.Alloc == nil {
		o.Alloc = memory.DefaultAllocator
	}
	return o
}

// InferOptions say how to infer a schema.
type InferOptions struct {
	Options
	// Rows is the number of rows to look at. The default, 0, is all of them: no later row can then
	// contradict the schema.
	Rows int
	// Beside is the schema of a table that the rows are to go to. A column that it has is then given its type
	// where the values fit it or cannot be told by their looks, and a type that it could be widened to where
	// they fit that; a column without a value, in Beside or not, is of type unknown. The default, nil, infers
	// for a new table.
	Beside *iceberg.Schema
	// AddConstants has the constants of the inputs that Beside lacks in the schema. The default, false,
	// leaves them out there.
	AddConstants bool
	// Decimals gives numbers with a fraction the narrowest decimal that holds them all, instead of double.
	Decimals bool
	// FormatVersion is that of the table to be: types of version 3 are inferred for 3 alone, timestamps in
	// nanoseconds where microseconds would lose digits. The default, 0, is for versions 1 and 2.
	FormatVersion int
	// Variants are columns that are to be variants, whatever their values look like. The default is none.
	Variants []string
}
