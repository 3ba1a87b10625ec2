// Package merge matches the rows of an input with the rows of a table by key. It knows
//
//   - an input: the rows of a run, read once, with their keys in a compact form;
//   - a key: the values of one or more columns, the same exactly where every value is;
//   - a hit: a live row of the table whose key is one of the input's;
//   - an outcome: what becomes of an input row, and of the row that it hit.
//
// Matching reads key columns first and other columns only of files with hits, and it remembers what it
// found file by file, so that after a lost race it reads only what is new. The package writes nothing:
// it says which live rows go, and gives the rows that come. Staging and publishing are others' rooms.
package merge

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/writer/slice"
)

// ErrKey is the class of what is wrong with the keys of the input's rows: a null, or one that comes twice.
var ErrKey = errors.New("bad key")

// ErrTable is the class of what a table has that keeps it from being merged into: several rows with a key of
// the input, files that cannot be read.
var ErrTable = errors.New("refused")

// ErrColumn is the class of what is wrong with the choice of columns.
var ErrColumn = errors.New("bad column")

// Error is an error with advice.
type Error struct {
	Class  error
	Text   string
	Advice string
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Class }

// Hint is what to do about it.
func (e *Error) Hint() string { return e.Advice }

func fail(class error, advice, text string, args ...any) error {
	return &Error{Class: class, Text: fmt.Sprintf(text, args...), Advice: advice}
}

// Options say how rows are matched and what a match means.
type Options struct {
	// Key are the columns that tell rows apart; at least one. Top-level columns of any primitive type but
	// float and double.
	Key []string
	// KeysOnly asks for nothing but hits: rows are not compared, and all hits are Unchanged, also where several
	// rows of the table have a key. Of input rows with one key the first counts. The default, false, compares.
	KeysOnly bool
	// EventTime is a column of dates or timestamps, and Window how far apart in it two rows may be that are taken
	// for one: rows that are further apart are different whatever their keys. Needs KeysOnly. The default, "", looks
	// at keys alone.
	EventTime string
	Window    time.Duration
	// Ignore are columns whose differences are no change. The default is none.
	Ignore []string
	// LatestBy is the column that picks one of several input rows with a key: the greatest, where a null is
	// least. The default, "", makes such rows an error, or under KeysOnly takes the first.
	LatestBy string
	// IfNewer is the column by which an input row that is less than the row it hits is stale, and changes
	// nothing. The default, "", takes input rows as they come.
	IfNewer string
	// DeleteWhen says which input rows delete what they hit. The default, nil, is none.
	DeleteWhen *slice.Slice
	// History keeps versions: the table has a row for each change of a key. The default, nil, keeps the newest.
	History *History
	// Specs are the partition specs of the table, and Partitions makes what tells the partitions of rows under
	// one, in batches with the columns of schema.
	// The default, nil, prunes by key bounds alone.
	Specs      []iceberg.PartitionSpec
	Partitions func(schema *iceberg.Schema, spec iceberg.PartitionSpec) (Partitions, error)
	// Memory bounds the bytes of the input that are kept in memory: half of it is for rows, half for their keys.
	// What is past it goes to files in SpillDir; keys by their hash, and then they are matched part by part, each
	// of which reads the keys of the table again. Seven bytes a row stay, and 16 for each row that the table has a
	// row for, or 24 while they are compared. The default, 0, is 512 MiB.
	Memory int64
	// SpillDir is where these files go. The default, "", is os.TempDir().
	SpillDir string
	// Workers are the files that are read at once. The default, 0, is GOMAXPROCS.
	Workers int
}

// Partitions tells which partitions rows lie in. It numbers them in order of first appearance.
type Partitions interface {
	// Of gives each row's partition. The result is valid until the next call.
	Of(rec arrow.RecordBatch) []int32
	Partition(number int) slice.Partition
}

func (o Options) withDefaults() Options {
	if o.Memory == 0 {
		o.Memory = 512 << 20
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	return o
}

// Outcome is what becomes of an input row.
type Outcome uint8

const (
	// Inserted: no live row has its key.
	Inserted Outcome = iota
	// Updated: it takes the place of the row that it hit.
	Updated
	// Unchanged: it says what the row that it hit says; or it deletes and there is nothing to delete.
	Unchanged
	// Stale: the row that it hit is newer.
	Stale
	// Deleted: the row that it hit goes.
	Deleted
	// Dropped: another row of the input has its key, and was picked.
	Dropped

	outcomes
)

// Changes tells whether the row that was hit goes.
func (o Outcome) Changes() bool { return o == Updated || o == Deleted }
