package arrowconv

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// mangle changes, cuts or doubles some bytes of a sound input: a fuzzer that must find a message's lengths by
// itself never gets past the first.
func mangle(b []byte, at, what uint16) []byte {
	b = bytes.Clone(b)
	i := int(at) % len(b)
	switch what % 5 {
	case 0:
		b[i] ^= byte(what>>8) | 1
	case 1:
		b = b[:i]
	case 2:
		b = append(b[:i], b[min(len(b), i+int(what>>8)):]...)
	case 3:
		for j := i; j < min(len(b), i+8); j++ {
			b[j] = 0xff
		}
	case 4:
		clear(b[i:min(len(b), i+4)])
	}
	return b
}

// readsOrRefuses reads a mangled input, inference first, and gives its rows; an error must be one about the
// input, which is never brought down or held up by it.
func readsOrRefuses(t *testing.T, format Format, b []byte) (rows []string, err error) {
	began := time.Now()
	defer func() {
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%d bytes took %s", len(b), took)
		}
	}()
	schema, err := Infer(t.Context(), asFile(b), InferOptions{Options: Options{Format: format}})
	if err != nil {
		mustBeInput(t, err)
		return nil, err
	}
	o := Options{Format: format, Workers: 2, OnReject: func(r Reject) error {
		rows = append(rows, "reject "+string(r.Raw))
		return nil
	}}
	for batch, err := range Read(t.Context(), asStream(b), schema, o) {
		if err != nil {
			mustBeInput(t, err)
			return nil, err
		}
		if len(rows) > 1_000_000 {
			batch.Release()
			break
		}
		rows = append(rows, rowsOf(batch.RecordBatch)...)
		batch.Release()
	}
	return rows, nil
}

func rowsOf(b arrow.RecordBatch) (rows []string) {
	for i := range int(min(b.NumRows(), 1_000_000)) {
		row := ""
		for _, c := range b.Columns() {
			if c.IsNull(i) {
				row += array.NullValueStr + "|"
			} else {
				row += c.ValueStr(i) + "|"
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// FuzzArrow: corrupt files and streams are read as the library's own reader reads them, or refused.
func FuzzArrow(f *testing.F) {
	var seeds [][]byte
	records := manyRecords(1, 3, 4)
	seeds = append(seeds,
		streamOf(f, records, ipc.WithDictionaryDeltas(true)), arrowFileOf(f, records),
		streamOf(f, records, ipc.WithLZ4()), arrowFileOf(f, records, ipc.WithZstd()))
	for _, c := range arrowColumns {
		if c.to != "" {
			record := recordOf(f, arrow.NewSchema([]arrow.Field{field("v", c.from)}, nil), jsonRows(c.json))
			seeds = append(seeds, streamOf(f, []arrow.RecordBatch{record}))
		}
	}
	for i := range seeds {
		for what := range uint16(5) {
			for at := range uint16(12) {
				f.Add(uint8(i), at*53+what, what|0x7f00)
			}
		}
	}
	f.Fuzz(func(t *testing.T, seed uint8, at, what uint16) {
		b := mangle(seeds[int(seed)%len(seeds)], at, what)
		rows, err := readsOrRefuses(t, Arrow, b)
		if err != nil {
			return
		}
		theirs, err := arrowRows(t, b)
		if err != nil {
			return // what the library stops at may be no matter for us: the part of a file that its footer leaves out
		}
		if fmt.Sprint(rows) != fmt.Sprint(theirs) {
			t.Errorf("read\n%v\nand the library\n%v", rows, theirs)
		}
	})
}

// arrowRows reads the rows of a file or stream with arrow-go alone, and casts nothing but their layout.
func arrowRows(t *testing.T, b []byte) (rows []string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	add := func(record arrow.RecordBatch) error {
		record = withNulls(record)
		schema, err := Infer(t.Context(), asFile(streamOf(t, []arrow.RecordBatch{record})), InferOptions{})
		if err != nil {
			return err
		}
		to, err := newTarget(schema)
		if err != nil {
			return err
		}
		cast, err := newRecast(boundary{name: "in", failed: make(chan error, 1)}, record.Schema().Fields(), to, Options{Alloc: memory.DefaultAllocator, OnReject: func(Reject) error { return nil }})
		if err != nil {
			return err
		}
		p, err := cast.piece(record.NumRows(), 1, func(i int) (arrow.Array, error) {
			record.Column(i).Retain()
			return record.Column(i), nil
		})
		if err != nil {
			return err
		}
		for _, r := range p.rejects {
			rows = append(rows, "reject "+string(r.Raw))
		}
		rows = append(rows, rowsOf(p.rec)...)
		return nil
	}
	if bytes.HasPrefix(b, []byte(arrowMagic)) {
		r, err := ipc.NewFileReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		for i := range r.NumRecords() {
			record, err := r.RecordBatchAt(i)
			if err != nil {
				return nil, err
			}
			if err := add(record); err != nil {
				return nil, err
			}
		}
		return rows, nil
	}
	r, err := ipc.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	for r.Next() {
		if err := add(r.RecordBatch()); err != nil {
			return nil, err
		}
	}
	return rows, r.Err()
}

func mustBeInput(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrInput) {
		t.Errorf("%v is no error about the input", err)
	}
}

// TestArrowMangled: the same for bytes all over every type's stream.
func TestArrowMangled(t *testing.T) {
	records := manyRecords(1, 3, 4)
	inputs := [][]byte{
		streamOf(t, records, ipc.WithDictionaryDeltas(true)), arrowFileOf(t, records),
		streamOf(t, records, ipc.WithLZ4()), arrowFileOf(t, records, ipc.WithZstd()),
	}
	for _, c := range arrowColumns {
		if c.to != "" {
			record := recordOf(t, arrow.NewSchema([]arrow.Field{field("v", c.from)}, nil), jsonRows(c.json))
			inputs = append(inputs, streamOf(t, []arrow.RecordBatch{record}))
		}
	}
	read, refused := 0, 0
	for i, input := range inputs {
		for at := i % 5; at < len(input); at += 5 {
			b := mangle(input, uint16(at), uint16([]int{0xff00, 0x0100, 3, 4}[at%4]))
			rows, err := readsOrRefuses(t, Arrow, b)
			if err != nil {
				refused++
				continue
			}
			read++
			if theirs, err := arrowRows(t, b); err == nil && fmt.Sprint(rows) != fmt.Sprint(theirs) {
				t.Errorf("input %d, byte %d: read\n%.300v\nand the library\n%.300v", i, at, rows, theirs)
			}
		}
	}
	if read == 0 || refused < read {
		t.Errorf("%d inputs were read, %d refused", read, refused)
	}
}
