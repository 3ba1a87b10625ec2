package arrowconv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
)

// readArrow reads Arrow's IPC formats: a file, which is Feather's second version too, or a stream. A
// record batch of any size becomes batches of up to maxTypedRows rows and about 16 times ChunkBytes;
// one record batch at a time is in memory.
//
// A stream must end with its end-of-stream marker, and nothing may follow it. The format allows a writer
// to just stop, but then a stream that was cut off between two messages looks whole, and rows would
// be lost in silence.
func readArrow(ctx context.Context, in Input, to *target, o Options) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		r, err := openArrow(in, o)
		if err == nil {
			defer r.close()
			_, err = newRecast(r.boundary, r.fields, to, o)
		}
		if err != nil {
			yield(Batch{}, err)
			return
		}
		worker := func() func(rowsOfArrow) piece {
			cast, err := newRecast(r.boundary, r.fields, to, o)
			return func(rows rowsOfArrow) piece {
				if err != nil {
					return piece{err: err}
				}
				p, err := cast.piece(rows.NumRows(), 1, func(from int) (arrow.Array, error) {
					a := rows.Column(from)
					a.Retain()
					return a, nil
				})
				if err != nil {
					return piece{err: err}
				}
				p.bytes = rows.bytes
				return p
			}
		}
		pieces := inOrder(ctx, o.Workers, r.next, worker, piece.drop)
		emit(in, o, pieces, func(err error, _ int64) error { return err })(yield)
	}
}

// inferArrow takes the schema that the file or stream begins with; no row is read.
func inferArrow(_ context.Context, in Input, o InferOptions) (*iceberg.Schema, error) {
	r, err := openArrow(in, o.Options)
	if err != nil {
		return nil, err
	}
	defer r.close()
	return r.schemaOf(r.fields, o)
}

// arrowReader is an open file or stream.
type arrowReader struct {
	boundary
	opts    Options
	spooled *os.File
	source  arrowSource
	reader  *ipc.Reader
	fields  []arrow.Field

	record arrow.RecordBatch // what next slices
	done   int64             // rows of it
	rows   int64             // of a slice
	perRow float64           // bytes
}

// rowsOfArrow are neighbouring rows as the input has them. Their memory is the collector's.
type rowsOfArrow struct {
	arrow.RecordBatch
	bytes int64
}

// arrowSource gives the messages of a file or stream.
type arrowSource interface {
	ipc.MessageReader
	size() int64 // of the last message
}

const (
	arrowMagic = "ARROW1"
	// maxArrowMessage bounds a message, in memory: a length beyond it is corrupt, or a record batch that
	// no loader with bounded memory can read.
	maxArrowMessage = 4 << 30
	maxArrowSchema  = 64 << 20
)

// marksArrow: files begin with their magic, streams with the marker that stands before each message and the
// length of the schema, which is short.
func marksArrow(head []byte) bool {
	if bytes.HasPrefix(head, []byte(arrowMagic)) && (len(head) < 8 || head[6] == 0 && head[7] == 0) {
		return true
	}
	return len(head) >= 8 && binary.LittleEndian.Uint32(head) == math.MaxUint32 && binary.LittleEndian.Uint32(head[4:]) < maxArrowSchema
}

func openArrow(in Input, o Options) (r *arrowReader, err error) {
	r = &arrowReader{boundary: boundaryOf(in, "Arrow stream"), opts: o}
	defer func() {
		if err != nil {
			r.close()
			r = nil
		}
	}()
	var head [8]byte
	at, size, stream := in.At, in.Size, in.Reader
	if at != nil {
		n, err := at.ReadAt(head[:], 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return r, named(in.Name, err)
		}
		clear(head[n:])
		stream = io.NewSectionReader(at, 0, size)
	} else {
		n, err := io.ReadFull(stream, head[:])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return r, named(in.Name, err)
		}
		stream = io.MultiReader(bytes.NewReader(head[:n]), stream)
	}
	switch {
	case string(head[:4]) == "FEA1":
		return r, inputErrorf("write it anew as Feather version 2, which is an Arrow file", "%s: it is a Feather file of version 1, which is not read", in.Name)
	case string(head[:6]) == arrowMagic:
		r.kind = "Arrow file"
		if at == nil {
			if r.spooled, size, err = spool(Input{Name: in.Name, Reader: stream}, o); err != nil {
				return r, err
			}
			at = r.spooled
		}
	case string(head[:]) == "\x00\x00\x00\x00\x00\x00\x00\x00":
		return r, inputErrorf("", "%s: it is no Arrow file or stream", in.Name)
	}
	err = r.guard(func() (err error) {
		if r.kind == "Arrow file" {
			r.source, err = openArrowFile(r.boundary, at, size)
		} else {
			r.source = &arrowStream{boundary: r.boundary, from: stream}
		}
		if err != nil {
			return err
		}
		// What comes of a corrupt message may be left unreleased, so it is the collector's memory.
		if r.reader, err = ipc.NewReaderFromMessageReader(r.source, ipc.WithAllocator(memory.NewGoAllocator())); err != nil {
			return err
		}
		r.fields = r.reader.Schema().Fields()
		return nil
	})
	return r, err
}

func (r *arrowReader) close() { unspool(r.spooled) }

// next gives the next rows.
func (r *arrowReader) next() (rowsOfArrow, error) {
	for r.record == nil || r.done == r.record.NumRows() {
		err := r.guard(func() error {
			if !r.reader.Next() {
				if err := r.reader.Err(); err != nil {
					return err
				}
				r.record = nil
				return nil
			}
			r.record, r.done = withNulls(r.reader.RecordBatch()), 0
			return r.measure()
		})
		if err != nil {
			return rowsOfArrow{}, err
		}
		if r.record == nil {
			return rowsOfArrow{}, io.EOF
		}
	}
	n := min(r.rows, r.record.NumRows()-r.done)
	rows := rowsOfArrow{r.record.NewSlice(r.done, r.done+n), int64(float64(n) * r.perRow)}
	r.done += n
	return rows, nil
}

// withNulls gives arrays of nulls the one buffer, an absent one, that the library's own validation wants of
// them and that its reader leaves out. The batch is the caller's.
func withNulls(b arrow.RecordBatch) arrow.RecordBatch {
	columns := make([]arrow.Array, b.NumCols())
	for i, c := range b.Columns() {
		columns[i] = array.MakeFromData(nullsMended(c.Data()))
	}
	return array.NewRecordBatch(b.Schema(), columns, b.NumRows())
}

func nullsMended(d arrow.ArrayData) arrow.ArrayData {
	if d.DataType().ID() == arrow.NULL {
		return array.NewData(d.DataType(), d.Len(), []*memory.Buffer{nil}, nil, d.Len(), d.Offset())
	}
	if len(d.Children()) == 0 {
		d.Retain()
		return d
	}
	var children []arrow.ArrayData
	for _, c := range d.Children() {
		children = append(children, nullsMended(c))
	}
	return array.NewData(d.DataType(), d.Len(), d.Buffers(), children, d.NullN(), d.Offset())
}

// measure sees to it that a record batch is what it says, and how many rows of it are a batch.
func (r *arrowReader) measure() error {
	if r.record.NumRows() > math.MaxInt32 {
		return fmt.Errorf("a record batch of %d rows", r.record.NumRows())
	}
	if err := array.ValidateRecordFull(r.record); err != nil {
		return err
	}
	r.perRow = max(float64(r.source.size())/float64(max(r.record.NumRows(), 1)), 1)
	laidOut := r.perRow
	for _, column := range r.record.Columns() {
		if d, ok := column.(*array.Dictionary); ok && d.Dictionary().Len() > 0 {
			laidOut += float64(d.Dictionary().Data().SizeInBytes()) / float64(d.Dictionary().Len())
		}
	}
	r.rows = max(1, min(maxTypedRows, int64(16*float64(r.opts.ChunkBytes)/laidOut)))
	return nil
}

// arrowStream reads the messages of a stream one after another.
type arrowStream struct {
	boundary
	from  io.Reader
	at    int64 // in the stream
	last  int64 // size of the last message
	shape arrowShape
}

func (s *arrowStream) Retain()     {}
func (s *arrowStream) Release()    {}
func (s *arrowStream) size() int64 { return s.last }

// Message gives the next message, or io.EOF after the end-of-stream marker. Before a message stands its
// length, and before that a marker, which streams of old writers (before Arrow 0.15) lack.
func (s *arrowStream) Message() (*ipc.Message, error) {
	began := s.at
	length, err := s.uint32()
	if errors.Is(err, io.EOF) {
		return nil, inputErrorf("have its writer end the stream, and check that it was not cut off",
			"%s: the Arrow stream ends at byte %d without its end-of-stream marker", s.name, began)
	}
	if err == nil && length == math.MaxUint32 {
		if length, err = s.uint32(); errors.Is(err, io.EOF) {
			err = s.cut(began)
		}
	}
	if err != nil {
		return nil, err
	}
	if length == 0 {
		var more [1]byte
		switch _, err := io.ReadFull(s.from, more[:]); {
		case err == nil:
			return nil, inputErrorf("load each stream by itself",
				"%s: the Arrow stream ends at byte %d, and the input goes on", s.name, s.at)
		case !errors.Is(err, io.EOF):
			return nil, s.broken(err)
		}
		return nil, io.EOF
	}
	if length > maxArrowSchema {
		return nil, fmt.Errorf("at byte %d: a message with metadata of %d bytes", began, length)
	}
	meta, err := s.bytes(int64(length), began)
	if err != nil {
		return nil, err
	}
	m, err := checkArrowMessage(meta)
	switch {
	case err != nil:
	case m.kind == arrowSchema:
		s.shape = m.shape
	default:
		err = s.shape.check(m)
	}
	if err != nil {
		return nil, fmt.Errorf("at byte %d: %w", began, err)
	}
	body, err := s.bytes(m.bodyLength, began)
	if err != nil {
		return nil, err
	}
	s.last = s.at - began
	if err := m.checkBody(body); err != nil {
		return nil, fmt.Errorf("at byte %d: %w", began, err)
	}
	return ipc.NewMessage(memory.NewBufferBytes(meta), memory.NewBufferBytes(body)), nil
}

func (s *arrowStream) uint32() (uint32, error) {
	var b [4]byte
	n, err := io.ReadFull(s.from, b[:])
	s.at += int64(n)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return 0, s.cut(s.at)
	case err != nil && !errors.Is(err, io.EOF):
		return 0, s.broken(err)
	}
	return binary.LittleEndian.Uint32(b[:]), err
}

// bytes reads n bytes. A length that is corrupt must not ask for memory that no bytes come for.
func (s *arrowStream) bytes(n, began int64) ([]byte, error) {
	const step = 32 << 20
	var b []byte
	for int64(len(b)) < n {
		from, more := len(b), min(n-int64(len(b)), max(step, int64(len(b))))
		if from == 0 {
			b = make([]byte, more)
		} else {
			b = append(b, make([]byte, more)...)
		}
		got, err := io.ReadFull(s.from, b[from:])
		s.at += int64(got)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, s.cut(began)
		case err != nil:
			return nil, s.broken(err)
		}
	}
	return b, nil
}

func (s *arrowStream) cut(began int64) error {
	return inputErrorf("write or fetch it again: it was cut off", "%s: the Arrow stream ends at byte %d, within the message that begins at byte %d", s.name, s.at, began)
}

// broken is an error of the bytes' origin.
func (s *arrowStream) broken(err error) error {
	s.fail(err)
	return err
}

// arrowFile gives the messages that a file's footer names: the schema, the dictionaries, the record batches.
type arrowFile struct {
	boundary
	at     io.ReaderAt
	footer int64 // where it begins, behind all blocks
	schema []byte
	shape  arrowShape
	blocks []arrowBlock
	next   int
	last   int64
	ids    map[int64]bool // of the dictionaries that were read
}

// openArrowFile reads the footer.
func openArrowFile(b boundary, at io.ReaderAt, size int64) (*arrowFile, error) {
	f := &arrowFile{boundary: b, at: at, ids: make(map[int64]bool)}
	var tail [10]byte
	if size < int64(len(arrowMagic)+2+len(tail)) {
		return nil, f.noFooter()
	}
	if err := f.read(tail[:], size-int64(len(tail))); err != nil {
		return nil, err
	}
	if string(tail[4:]) != arrowMagic {
		return nil, f.noFooter()
	}
	length := int64(binary.LittleEndian.Uint32(tail[:]))
	f.footer = size - int64(len(tail)) - length
	if f.footer < 8 || length > maxArrowSchema {
		return nil, fmt.Errorf("a footer of %d bytes", length)
	}
	footer := make([]byte, length)
	if err := f.read(footer, f.footer); err != nil {
		return nil, err
	}
	var err error
	f.schema, f.shape, f.blocks, err = readArrowFooter(footer)
	return f, err
}

func (f *arrowFile) noFooter() error {
	return inputErrorf("fetch the file again: it is not complete", "%s: the Arrow file has no footer at its end", f.name)
}

func (f *arrowFile) Retain()     {}
func (f *arrowFile) Release()    {}
func (f *arrowFile) size() int64 { return f.last }

func (f *arrowFile) Message() (*ipc.Message, error) {
	if f.next == 0 {
		f.next++
		return ipc.NewMessage(memory.NewBufferBytes(f.schema), memory.NewBufferBytes(nil)), nil
	}
	if f.next > len(f.blocks) {
		return nil, io.EOF
	}
	block := f.blocks[f.next-1]
	f.next++
	m, meta, body, err := f.block(block)
	if err != nil {
		return nil, fmt.Errorf("at byte %d: %w", block.offset, err)
	}
	if m.kind != block.kind {
		return nil, fmt.Errorf("at byte %d: it is not the message that the footer says", block.offset)
	}
	if m.kind == arrowDictionary {
		if f.ids[m.dictionary] && !m.delta {
			return nil, fmt.Errorf("at byte %d: a dictionary comes twice", block.offset)
		}
		f.ids[m.dictionary] = true
	}
	f.last = block.meta + block.body
	return ipc.NewMessage(memory.NewBufferBytes(meta), memory.NewBufferBytes(body)), nil
}

func (f *arrowFile) block(b arrowBlock) (m arrowMessage, meta, body []byte, err error) {
	if b.offset < 8 || b.meta < 8 || b.meta > maxArrowSchema || b.body < 0 || b.body > maxArrowMessage || b.offset > f.footer || b.meta+b.body > f.footer-b.offset {
		return m, nil, nil, errors.New("a block that does not lie in the file")
	}
	meta = make([]byte, b.meta)
	if err := f.read(meta, b.offset); err != nil {
		return m, nil, nil, err
	}
	prefix := 4
	if binary.LittleEndian.Uint32(meta) == math.MaxUint32 {
		prefix = 8
	}
	length := int64(binary.LittleEndian.Uint32(meta[prefix-4:]))
	if length > b.meta-int64(prefix) {
		return m, nil, nil, errors.New("a message longer than its block")
	}
	meta = meta[prefix : int64(prefix)+length]
	if m, err = checkArrowMessage(meta); err == nil {
		err = f.shape.check(m)
	}
	if err != nil {
		return m, nil, nil, err
	}
	if m.bodyLength > b.body {
		return m, nil, nil, errors.New("a message longer than its block")
	}
	body = make([]byte, m.bodyLength)
	if err := f.read(body, b.offset+b.meta); err != nil {
		return m, nil, nil, err
	}
	return m, meta, body, m.checkBody(body)
}

func (f *arrowFile) read(p []byte, at int64) error {
	n, err := f.at.ReadAt(p, at)
	switch {
	case n == len(p):
		return nil
	case errors.Is(err, io.EOF):
		return fmt.Errorf("it ends at byte %d", at+int64(n))
	}
	f.fail(err)
	return err
}
