package arrowconv

import (
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/avro"
)

// readAvro reads Avro object container files: a header with the schema that the rows were written with,
// then blocks of rows, each compressed by itself and closed by the file's sync marker. Blocks are read one after
// another, and decoded and converted side by side.
func readAvro(ctx context.Context, in Input, to *target, o Options) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		f, err := openAvro(in, o)
		if err == nil {
			_, err = newRecast(f.boundary, f.schema.fields(), to, o)
		}
		if err != nil {
			yield(Batch{}, err)
			return
		}
		lists := inOrder(ctx, o.Workers, f.next, func() func([]avroBlock) []piece { return f.worker(to) }, func(pieces []piece) {
			for _, p := range pieces {
				p.drop()
			}
		})
		emit(in, o, eachOf(lists), func(err error, _ int64) error { return err })(yield)
	}
}

// eachOf gives the pieces of lists one by one.
func eachOf(lists iter.Seq2[[]piece, error]) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		for list, err := range lists {
			if err != nil {
				yield(piece{}, err)
				return
			}
			for i, p := range list {
				if !yield(p, nil) {
					for _, rest := range list[i+1:] {
						rest.drop()
					}
					return
				}
			}
		}
	}
}

// inferAvro takes the schema of the header; no row is read.
func inferAvro(_ context.Context, in Input, o InferOptions) (*iceberg.Schema, error) {
	f, err := openAvro(in, o.Options)
	if err != nil {
		return nil, err
	}
	return f.schemaOf(f.schema.inferred(), o)
}

const avroMagic = "Obj\x01"

func marksAvro(head []byte) bool { return bytes.HasPrefix(head, []byte(avroMagic)) }

// maxAvroEmpty bounds how many values may come from no bytes at all.
const maxAvroEmpty = 1 << 20

// avroFile is an open file.
type avroFile struct {
	boundary
	opts   Options
	from   io.Reader
	at     int64 // in the file
	schema *avroRecord
	codec  string
	sync   [16]byte
}

// avroBlock is a block as the file has it.
type avroBlock struct {
	at   int64 // where it begins
	rows int64
	data []byte
}

func openAvro(in Input, o Options) (*avroFile, error) {
	from := in.Reader
	if from == nil {
		from = io.NewSectionReader(in.At, 0, in.Size)
	}
	f := &avroFile{boundary: boundaryOf(in, "Avro file"), opts: o, from: from}
	return f, f.guard(f.header)
}

// header reads everything in front of the blocks.
func (f *avroFile) header() error {
	var magic [4]byte
	if err := f.fill(magic[:]); err != nil || string(magic[:]) != avroMagic {
		if err != nil && !errors.Is(err, ErrInput) {
			return err
		}
		return inputErrorf("", "%s: it is not an Avro object container file", f.name)
	}
	meta := make(map[string][]byte)
	for {
		n, err := f.long()
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if n < 0 { // its size in bytes follows, which is for who skips it
			if _, err := f.long(); err != nil {
				return err
			}
			n = -n
		}
		for ; n > 0; n-- {
			key, err := f.bytes(1 << 20)
			if err != nil {
				return err
			}
			if meta[string(key)], err = f.bytes(64 << 20); err != nil {
				return err
			}
			if len(meta) > 10_000 {
				return fmt.Errorf("more than %d entries in its header", len(meta))
			}
		}
	}
	if err := f.fill(f.sync[:]); err != nil {
		return err
	}
	f.codec = string(meta["avro.codec"])
	switch f.codec {
	case "", "null", "deflate", "snappy", "zstandard", "bzip2":
	default:
		return inputErrorf("write it with one of null, deflate, snappy, zstandard and bzip2",
			"%s: the Avro file is compressed with %s, which is not read", f.name, quoteShort(f.codec))
	}
	schema, err := avro.Parse(string(meta["avro.schema"]), avro.WithLaxNames(func(string) error { return nil }))
	if err != nil {
		return fmt.Errorf("its schema: %w", err)
	}
	f.schema, err = newAvroRecord(schema.Root())
	if err != nil {
		return inputErrorf("write it anew without that", "%s: %w", f.name, err)
	}
	return nil
}

// next gives the next blocks, about ChunkBytes of them.
func (f *avroFile) next() (blocks []avroBlock, err error) {
	size := 0
	for size < f.opts.ChunkBytes {
		var b avroBlock
		if err := f.guard(func() (err error) { b, err = f.block(); return err }); err != nil {
			return nil, err
		}
		if b.data == nil {
			break
		}
		blocks = append(blocks, b)
		size += len(b.data)
	}
	if len(blocks) == 0 {
		return nil, io.EOF
	}
	return blocks, nil
}

// block reads a block; one without data is the file's end.
func (f *avroFile) block() (avroBlock, error) {
	b := avroBlock{at: f.at}
	var first [1]byte
	switch n, err := io.ReadFull(f.from, first[:]); {
	case errors.Is(err, io.EOF):
		return b, nil
	case err != nil:
		return b, f.broken(err)
	default:
		f.at += int64(n)
	}
	var err error
	if b.rows, err = f.longFrom(first[0]); err != nil {
		return b, err
	}
	size, err := f.long()
	if err != nil {
		return b, err
	}
	if b.rows < 0 || size < 0 || size > f.opts.maxUnit() {
		return b, fmt.Errorf("at byte %d: a block of %d rows in %d bytes", b.at, b.rows, size)
	}
	b.data = make([]byte, 0, min(size, 1<<20))
	for int64(len(b.data)) < size { // a corrupt size must not ask for memory that no bytes come for
		from := len(b.data)
		b.data = append(b.data, make([]byte, min(size-int64(from), max(1<<20, int64(from))))...)
		if err := f.fill(b.data[from:]); err != nil {
			return b, err
		}
	}
	var sync [16]byte
	if err := f.fill(sync[:]); err != nil {
		return b, err
	}
	if sync != f.sync {
		return b, fmt.Errorf("the block at byte %d does not end with the file's sync marker", b.at)
	}
	return b, nil
}

// fill reads all of p.
func (f *avroFile) fill(p []byte) error {
	n, err := io.ReadFull(f.from, p)
	f.at += int64(n)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return inputErrorf("write or fetch it again: it was cut off", "%s: the Avro file ends at byte %d, within its header or a block", f.name, f.at)
	}
	return f.broken(err)
}

func (f *avroFile) broken(err error) error {
	f.fail(err)
	return err
}

func (f *avroFile) long() (int64, error) {
	var first [1]byte
	if err := f.fill(first[:]); err != nil {
		return 0, err
	}
	return f.longFrom(first[0])
}

func (f *avroFile) longFrom(b byte) (int64, error) {
	v := uint64(b & 0x7f)
	for shift := 7; b >= 0x80; shift += 7 {
		var next [1]byte
		if err := f.fill(next[:]); err != nil {
			return 0, err
		}
		if b = next[0]; shift > 63 {
			return 0, fmt.Errorf("at byte %d: a number of more than 64 bits", f.at)
		}
		v |= uint64(b&0x7f) << shift
	}
	return int64(v>>1) ^ -int64(v&1), nil
}

func (f *avroFile) bytes(most int64) ([]byte, error) {
	n, err := f.long()
	if err != nil {
		return nil, err
	}
	if n < 0 || n > most {
		return nil, fmt.Errorf("at byte %d: an entry of %d bytes in its header", f.at, n)
	}
	b := make([]byte, n)
	return b, f.fill(b)
}

// worker gives what decodes and converts blocks on one goroutine.
func (f *avroFile) worker(to *target) func([]avroBlock) []piece {
	cast, err := newRecast(f.boundary, f.schema.fields(), to, f.opts)
	unpack := &avroUnpacker{codec: f.codec, most: f.opts.maxUnit()}
	builders := make([]array.Builder, len(f.schema.columns))
	for i, c := range f.schema.columns {
		builders[i] = array.NewBuilder(f.opts.Alloc, c.typ.arrow)
	}
	return func(blocks []avroBlock) (pieces []piece) {
		if err != nil {
			return []piece{{err: err}}
		}
		rows, size := int64(0), int64(0)
		flush := func() bool {
			if rows == 0 {
				return true
			}
			p, err := cast.piece(rows, 1, func(from int) (arrow.Array, error) { return builders[from].NewArray(), nil })
			if err != nil {
				p = piece{err: err}
			}
			p.bytes = size
			pieces, rows, size = append(pieces, p), 0, 0
			return err == nil
		}
		defer func() { // what a corrupt block left
			for _, b := range builders {
				b.NewArray().Release()
			}
		}()
		for _, block := range blocks {
			err := f.guard(func() error {
				data, err := unpack.block(block.data)
				if err != nil {
					return fmt.Errorf("the block at byte %d: %w", block.at, err)
				}
				if block.rows > int64(len(data)) && block.rows > maxAvroEmpty {
					return fmt.Errorf("the block at byte %d says it has %d rows in %d bytes", block.at, block.rows, len(data))
				}
				d := &avroData{bytes: data}
				for i := range block.rows {
					before := d.at
					if err := d.row(f.schema, builders); err != nil {
						return fmt.Errorf("the block at byte %d, its row %d: %w", block.at, i+1, err)
					}
					rows++
					if size += int64(d.at - before); rows == maxTypedRows || size >= 16*int64(f.opts.ChunkBytes) {
						if !flush() {
							return nil
						}
					}
				}
				if d.at != len(data) {
					return fmt.Errorf("the block at byte %d has %d bytes more than its rows", block.at, len(data)-d.at)
				}
				return nil
			})
			if err != nil {
				rows = 0
				return append(pieces, piece{err: err})
			}
			if n := len(pieces); n > 0 && pieces[n-1].err != nil {
				return pieces
			}
		}
		flush()
		return pieces
	}
}

// avroUnpacker decompresses blocks; for one goroutine.
type avroUnpacker struct {
	codec string
	most  int64 // bytes of a block
	zstd  *zstd.Decoder
	out   bytes.Buffer
}

// block gives the bytes of a block, until the next one.
func (u *avroUnpacker) block(b []byte) ([]byte, error) {
	switch u.codec {
	case "deflate":
		return u.all(flate.NewReader(bytes.NewReader(b)))
	case "bzip2":
		return u.all(bzip2.NewReader(bytes.NewReader(b)))
	case "zstandard":
		if u.zstd == nil {
			var err error
			if u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(u.most))); err != nil {
				return nil, err
			}
		}
		u.out.Reset()
		out, err := u.zstd.DecodeAll(b, u.out.AvailableBuffer())
		u.out.Write(out)
		return out, err
	case "snappy":
		if len(b) < 4 {
			return nil, errors.New("it has no checksum")
		}
		body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
		n, err := snappy.DecodedLen(body)
		if err != nil || int64(n) > u.most || n > 64*len(body)+64 { // a copy of 64 bytes takes three
			return nil, errors.New("its length is corrupt")
		}
		out, err := snappy.Decode(nil, body)
		if err == nil && crc32.ChecksumIEEE(out) != sum {
			err = errors.New("its checksum is wrong")
		}
		return out, err
	}
	return b, nil
}

func (u *avroUnpacker) all(r io.Reader) ([]byte, error) {
	u.out.Reset()
	n, err := u.out.ReadFrom(io.LimitReader(r, u.most+1))
	if err == nil && n > u.most {
		err = fmt.Errorf("it is larger than %d bytes", u.most)
	}
	return u.out.Bytes(), err
}

// avroData reads values off the bytes of a block. Its methods panic with an error where they are not there.
type avroData struct {
	bytes []byte
	at    int
}

var errAvroShort = errors.New("its values go beyond its end")

func (d *avroData) row(r *avroRecord, builders []array.Builder) (err error) {
	defer recoverFlat(&err)
	for i, c := range r.columns {
		c.typ.read(d, builders[i])
	}
	return nil
}

func (d *avroData) take(n int64) []byte {
	if n < 0 || n > int64(len(d.bytes)-d.at) {
		panic(errAvroShort)
	}
	d.at += int(n)
	return d.bytes[d.at-int(n) : d.at]
}

func (d *avroData) long() int64 {
	v, n := binary.Uvarint(d.bytes[d.at:])
	if n <= 0 {
		panic(errAvroShort)
	}
	d.at += n
	return int64(v>>1) ^ -int64(v&1)
}

func (d *avroData) int() int32 {
	v := d.long()
	if v < math.MinInt32 || v > math.MaxInt32 {
		panic(fmt.Errorf("an int that is %d", v))
	}
	return int32(v)
}

func (d *avroData) text() []byte { return d.take(d.long()) }

// items calls read for each item of an array or a map.
func (d *avroData) items(read func()) {
	empty := int64(0)
	for {
		n := d.long()
		if n == 0 {
			return
		}
		if n < 0 {
			if n = -n; n < 0 {
				panic(errAvroShort)
			}
			d.long() // the size of the items, which is for who skips them
		}
		for ; n > 0; n-- {
			at := d.at
			if read(); d.at == at {
				if empty++; empty > maxAvroEmpty {
					panic(fmt.Errorf("more than %d items of no bytes", maxAvroEmpty))
				}
			}
		}
	}
}
