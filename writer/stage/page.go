package stage

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/klauspost/compress/zstd"
)

// compressor compresses pages. It is for one goroutine.
type compressor struct {
	zstd  *zstd.Encoder // reused: what arrow-go's pool does beside costs as much as a small page
	codec compress.Codec
	level int
	buf   []byte
}

func newCompressor(codec compress.Compression, level int) (*compressor, error) {
	c := &compressor{level: level}
	switch codec {
	case compress.Codecs.Uncompressed:
		return c, nil
	case compress.Codecs.Zstd:
		speed := zstd.SpeedDefault
		if level != compress.DefaultCompressionLevel {
			speed = zstd.EncoderLevelFromZstd(level)
		}
		var err error
		c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1),
			zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false), zstd.WithAllLitEntropyCompression(true))
		return c, err
	}
	var err error
	c.codec, err = compress.GetCodec(codec)
	return c, err
}

// compress returns b compressed, valid until the next call.
func (c *compressor) compress(b []byte) []byte {
	switch {
	case c.zstd != nil:
		c.buf = c.zstd.EncodeAll(b, c.buf[:0])
	case c.codec != nil:
		if bound := int(c.codec.CompressBound(int64(len(b)))); cap(c.buf) < bound {
			c.buf = make([]byte, bound)
		}
		c.buf = c.codec.EncodeLevel(c.buf[:cap(c.buf)], b, c.level)
	default:
		return b
	}
	return c.buf
}

// pageHeader describes a page as Parquet's PageHeader does.
type pageHeader struct {
	plain, stored int // bytes of the page, levels included, before and after compression
	values        int // slots: nulls and empty lists count
	encoding      parquet.Encoding
	dictionary    bool
	v2            bool
	// for version 2 alone
	nulls, rows, def, rep int
}

// append appends h in Thrift's compact protocol. Source: parquet.apache.org, parquet.thrift.
func (h pageHeader) append(dst []byte) []byte {
	const (
		typeInt    = 5
		typeStruct = 12
	)
	last := 0
	field := func(id, typ int) {
		dst = append(dst, byte(id-last)<<4|byte(typ))
		last = id
	}
	number := func(id, v int) {
		field(id, typeInt)
		dst = binary.AppendVarint(dst, int64(v))
	}
	kind := 0
	switch {
	case h.dictionary:
		kind = 2
	case h.v2:
		kind = 3
	}
	number(1, kind)
	number(2, h.plain)
	number(3, h.stored)
	rle := int(parquet.Encodings.RLE)
	switch {
	case h.dictionary:
		field(7, typeStruct)
		last = 0
		number(1, h.values)
		number(2, int(h.encoding))
	case h.v2:
		field(8, typeStruct)
		last = 0
		number(1, h.values)
		number(2, h.nulls)
		number(3, h.rows)
		number(4, int(h.encoding))
		number(5, h.def)
		number(6, h.rep)
	default:
		field(5, typeStruct)
		last = 0
		number(1, h.values)
		number(2, int(h.encoding))
		number(3, rle)
		number(4, rle)
	}
	return append(dst, 0, 0)
}
