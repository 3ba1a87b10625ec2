package merge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// store keeps batches: the first ones in memory, and once these fill it the others in one file, which has
// no name. They come back in their order, any number of times.
type store struct {
	dir    string
	memory int64 // bytes that may be kept

	kept    []arrow.RecordBatch
	bytes   int64 // of kept
	file    *os.File
	buffer  *bufio.Writer
	writer  *ipc.Writer
	spilled int // batches in the file
}

// add takes rec over.
func (s *store) add(rec arrow.RecordBatch) error {
	size := sizeOf(rec)
	if s.file == nil && s.bytes+size <= s.memory {
		s.kept = append(s.kept, rec)
		s.bytes += size
		return nil
	}
	defer rec.Release()
	if s.file == nil {
		if err := s.open(rec.Schema()); err != nil {
			return err
		}
	}
	s.spilled++
	if err := s.writer.Write(rec); err != nil {
		return fmt.Errorf("spill rows to %s: %w", s.file.Name(), err)
	}
	return nil
}

func (s *store) open(schema *arrow.Schema) (err error) {
	if s.file, err = os.CreateTemp(s.dir, "icewright-merge-*"); err != nil {
		return fmt.Errorf("spill rows: %w", err)
	}
	// Where an open file can go it goes now, and nothing is left whatever ends the process.
	_ = os.Remove(s.file.Name())
	s.buffer = bufio.NewWriterSize(s.file, 1<<20)
	s.writer = ipc.NewWriter(s.buffer, ipc.WithSchema(schema), ipc.WithLZ4())
	return nil
}

// seal ends adding.
func (s *store) seal() error {
	if s.writer == nil {
		return nil
	}
	err := errors.Join(s.writer.Close(), s.buffer.Flush())
	s.writer, s.buffer = nil, nil
	if err != nil {
		return fmt.Errorf("spill rows to %s: %w", s.file.Name(), err)
	}
	return nil
}

// all yields the batches of a sealed store. They are the loop body's to release.
func (s *store) all() iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for _, rec := range s.kept {
			rec.Retain()
			if !yield(rec, nil) {
				return
			}
		}
		if s.spilled == 0 {
			return
		}
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			yield(nil, fmt.Errorf("read spilled rows: %w", err))
			return
		}
		r, err := ipc.NewReader(bufio.NewReaderSize(s.file, 1<<20))
		if err != nil {
			yield(nil, fmt.Errorf("read spilled rows: %w", err))
			return
		}
		defer r.Release()
		n := 0
		for ; r.Next(); n++ {
			rec := r.RecordBatch()
			rec.Retain()
			if !yield(rec, nil) {
				return
			}
		}
		if err := r.Err(); err != nil && !errors.Is(err, io.EOF) {
			yield(nil, fmt.Errorf("read spilled rows: %w", err))
		} else if n != s.spilled {
			yield(nil, fmt.Errorf("read spilled rows: %d batches of %d", n, s.spilled))
		}
	}
}

// close gives everything back.
func (s *store) close() error {
	for _, rec := range s.kept {
		rec.Release()
	}
	s.kept = nil
	if s.file == nil {
		return nil
	}
	name := s.file.Name()
	err := s.file.Close()
	s.file = nil
	_ = os.Remove(name) // where it could not go while it was open
	return err
}

// sizeOf is the memory that a batch holds on to, in bytes.
func sizeOf(rec arrow.RecordBatch) int64 {
	var n int64
	for _, c := range rec.Columns() {
		n += sizeOfData(c.Data())
	}
	return n
}

func sizeOfData(d arrow.ArrayData) int64 {
	var n int64
	for _, b := range d.Buffers() {
		if b != nil {
			n += int64(b.Cap())
		}
	}
	for _, child := range d.Children() {
		n += sizeOfData(child)
	}
	return n
}
