package arrowconv

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// fewAndMany is rows with columns of few texts, other ones in each of the groups, and one where all differ.
func fewAndMany(t testing.TB, groups, rows int) []byte {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{
		field("id", arrow.PrimitiveTypes.Int64), field("few", arrow.BinaryTypes.String), field("bin", arrow.BinaryTypes.Binary), field("many", arrow.BinaryTypes.String),
	}, nil))
	defer b.Release()
	for i := range groups * rows {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		if i%11 == 5 {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.StringBuilder).Append(fmt.Sprintf("group %d, text %d", i/rows, i*i%7))
		}
		b.Field(2).(*array.BinaryBuilder).Append([]byte{0xff, byte(i % 3)})
		b.Field(3).(*array.StringBuilder).Append(fmt.Sprintf("the text of row %d", i))
	}
	record := b.NewRecordBatch()
	defer record.Release()
	return parquetFileOf(t, record, pqarrow.DefaultWriterProps(), parquet.WithMaxRowGroupLength(int64(rows)))
}

// Columns of few texts come as dictionaries, row group by row group; the values, their rows and the other columns are
// what they are without.
func TestDictionariesArePassedOn(t *testing.T) {
	const groups, rows = 3, leastGroup + 100
	file := fewAndMany(t, groups, rows)
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer alloc.AssertSize(t, 0)
	schema := columnsOf(t, "few string\nid long\nbin binary\nmany string")
	in := Input{Name: "in.parquet", At: bytes.NewReader(file), Size: int64(len(file))}
	var want strings.Builder
	readAll(t, &want, in, schema, Options{Alloc: alloc, Workers: 2})
	var got strings.Builder
	batches := 0
	for b, err := range Read(t.Context(), in, schema, Options{Alloc: alloc, Workers: 2, Dictionaries: true}) {
		if err != nil {
			t.Fatal(err)
		}
		for i, as := range []arrow.Type{arrow.DICTIONARY, arrow.INT64, arrow.DICTIONARY, arrow.STRING} {
			if id := b.Column(i).DataType().ID(); id != as || b.Schema().Field(i).Type.ID() != as {
				t.Errorf("column %d of the batch from row %d on is %s", i, b.FirstRow, b.Column(i).DataType())
			}
		}
		if first, last := (b.FirstRow-1)/rows, (b.FirstRow+b.NumRows()-2)/rows; first != last {
			t.Errorf("a batch has rows of the row groups %d to %d", first, last)
		}
		if few := b.Column(0).(*array.Dictionary).Dictionary().Len(); few > 7 {
			t.Errorf("a dictionary of %d texts", few)
		}
		writeBatch(&got, b)
		b.Release()
		batches++
	}
	if got.String() != want.String() || batches < groups {
		t.Errorf("other rows than without dictionaries, in %d batches", batches)
	}
}

// Whatever is done to values is done to those of dictionaries: the same rows, the same rejects, the same errors.
func TestDictionariesChangeNoConversion(t *testing.T) {
	for _, c := range parquetConversions {
		var rows strings.Builder
		for value := range strings.SplitSeq(c.values, ",") {
			fmt.Fprintf(&rows, `{"v":%s}`, value)
		}
		file := parquetOf(t, arrow.NewSchema([]arrow.Field{field("v", c.from)}, nil), "["+strings.ReplaceAll(rows.String(), "}{", "},{")+"]")
		for _, mark := range []string{"", "!"} { // optional or required
			for _, rejects := range []bool{false, true} {
				story := func(o Options) string {
					o.TimeZone, _ = time.LoadLocation(c.zone)
					return storyOfParquet(t, file, "v "+c.to+mark, o, rejects)
				}
				if got, want := story(Options{Dictionaries: true}), story(Options{}); got != want {
					t.Errorf("%s to %s%s:\n%s\nwithout dictionaries:\n%s", c.from, c.to, mark, got, want)
				}
			}
		}
	}
	dict := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.Binary}
	record := recordOf(t, arrow.NewSchema([]arrow.Field{field("v", dict)}, nil), jsonRows(`"aGk=",null,"/w==","aGk="`))
	defer record.Release()
	stream := streamOf(t, []arrow.RecordBatch{record})
	for _, to := range []string{"string", "binary", "string!"} {
		var stories []string
		for _, o := range []Options{{}, {Dictionaries: true}} {
			var out strings.Builder
			o.OnReject = func(r Reject) error {
				fmt.Fprintln(&out, (&RowError{r}).Error())
				return nil
			}
			readAll(t, &out, asStream(stream), columnsOf(t, "v "+to), o)
			stories = append(stories, out.String())
		}
		if stories[0] != stories[1] {
			t.Errorf("Arrow to %s:\n%s\nwithout dictionaries:\n%s", to, stories[1], stories[0])
		}
	}
}

// A broken file of dictionaries is refused, or has values that can be looked at.
func TestDictionariesOfBrokenFiles(t *testing.T) {
	file := fewAndMany(t, 1, 40)
	schema := columnsOf(t, "few string\nid long\nbin binary\nmany string")
	read := func(file []byte) error {
		for b, err := range Read(t.Context(), Input{Name: "in.parquet", At: bytes.NewReader(file), Size: int64(len(file))}, schema, Options{Format: Parquet, Workers: 1, Dictionaries: true}) {
			if err != nil {
				return err
			}
			writeBatch(new(strings.Builder), b)
			b.Release()
		}
		return nil
	}
	if err := read(file); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range file {
		broken := bytes.Clone(file)
		broken[i] ^= [...]byte{0xff, 0x01, 0x80}[i%3]
		if err := read(broken); err != nil {
			if refused++; !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "in.parquet") {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
	}
	if refused < len(file)/8 {
		t.Errorf("only %d of %d changes were noticed", refused, len(file))
	}
}

// meeting is an allocator that holds the first goroutine that decodes a column until another one does, too.
type meeting struct {
	memory.Allocator
	mu    sync.Mutex
	first string
	met   chan struct{}
	alone func()
}

func (m *meeting) Allocate(n int) []byte {
	stack := make([]byte, 1<<14)
	stack = stack[:runtime.Stack(stack, false)]
	if bytes.Contains(stack, []byte("arrowconv.nextRows")) {
		who, _, _ := strings.Cut(string(stack), "[")
		m.mu.Lock()
		switch {
		case m.first == "":
			m.first = who
		case m.first != who && m.met != nil:
			close(m.met)
			m.met = nil
		}
		wait := m.met
		m.mu.Unlock()
		if wait != nil {
			select {
			case <-wait:
			case <-time.After(time.Minute):
				m.alone()
			}
		}
	}
	return m.Allocator.Allocate(n)
}

// The columns of one row group are decoded side by side.
func TestParquetColumnsAreReadSideBySide(t *testing.T) {
	file := fewAndMany(t, 1, 1000)
	m := &meeting{Allocator: memory.NewGoAllocator(), met: make(chan struct{}), alone: func() { t.Error("one column was decoded after the other") }}
	in := Input{Name: "in.parquet", At: bytes.NewReader(file), Size: int64(len(file))}
	rows, err := drain(t.Context(), in, columnsOf(t, "few string\nid long\nbin binary\nmany string"), Options{Workers: 2, Alloc: m})
	if err != nil || m.met != nil {
		t.Errorf("%v rows, %v", rows, err)
	}
}
