package stage

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	pqschema "github.com/apache/arrow-go/v18/parquet/schema"
)

// footer makes the footer of one file.
type footer struct {
	build  *metadata.FileMetaDataBuilder
	leaves []*leaf
	at     int64 // where the next row group starts
	groups int16

	pageType int64    // of data pages
	filters  []*int64 // where the filters of the row groups will lie, once they are written
}

func newFooter(schema *pqschema.Schema, leaves []*leaf, set settings) *footer {
	return &footer{
		build:  metadata.NewFileMetadataBuilder(schema, set.writerProperties(), metadata.NewKeyValueMetadata()),
		leaves: leaves, at: int64(len(parquetMagic)), pageType: set.pageType(),
	}
}

// add describes the next row group.
func (f *footer) add(g *rowGroup) error {
	rg := f.build.AppendRowGroup()
	rg.SetNumRows(int(g.rows))
	for i := range g.chunks {
		ch := &g.chunks[i]
		col := rg.NextColumnChunk()
		col.SetStats(f.leaves[i].footerStats(&ch.stats, col.Descr().SortOrder() == pqschema.SortSIGNED))
		info := metadata.ChunkMetaInfo{
			NumValues: ch.stats.values, IndexPageOffset: -1, DataPageOffset: f.at + ch.dict,
			CompressedSize: ch.size, UncompressedSize: ch.plain,
		}
		if ch.dict > 0 {
			info.DictPageOffset = f.at
		}
		// Encodings are set below: arrow-go's properties know of one for each column, and its maps have
		// no order.
		one := metadata.EncodingStats{DataEncodingStats: map[parquet.Encoding]int32{parquet.Encodings.Plain: 1}}
		if err := col.Finish(info, false, false, one); err != nil {
			return err
		}
		m := col.Contents().MetaData
		m.Encodings = m.Encodings[:0]
		for _, e := range ch.encodings() {
			m.Encodings = append(m.Encodings, m.EncodingStats[0].Encoding)
			set(&m.Encodings[len(m.Encodings)-1], int64(e))
		}
		pages := *m.EncodingStats[0]
		m.EncodingStats = m.EncodingStats[:0]
		for _, c := range ch.pageCounts(f.pageType) {
			if c.n > 0 {
				of := pages
				set(&of.PageType, c.page)
				set(&of.Encoding, int64(c.encoding))
				of.Count = c.n
				m.EncodingStats = append(m.EncodingStats, &of)
			}
		}
		f.at += ch.size
		if n := ch.filterSize(); n > 0 {
			m.BloomFilterOffset, m.BloomFilterLength = new(int64), &n
			f.filters = append(f.filters, m.BloomFilterOffset)
		}
	}
	f.groups++
	return rg.Finish(0, f.groups-1)
}

// encodings are those of a chunk's pages and levels.
func (ch *chunk) encodings() []parquet.Encoding {
	var out []parquet.Encoding
	if ch.coded > 0 {
		out = append(out, parquet.Encodings.Plain, parquet.Encodings.RLEDict)
	}
	if ch.direct > 0 && !(ch.coded > 0 && ch.way.direct == parquet.Encodings.Plain) {
		out = append(out, ch.way.direct)
	}
	return append(out, parquet.Encodings.RLE)
}

// set sets an enumeration whose type only arrow-go can name.
func set[E ~int64](to *E, v int64) { *to = E(v) }

// pageCount is a number of pages of one kind.
type pageCount struct {
	page     int64
	encoding parquet.Encoding
	n        int32
}

func (ch *chunk) pageCounts(data int64) []pageCount {
	const dictionaryPage = 2
	dict := int32(0)
	if ch.dict > 0 {
		dict = 1
	}
	return []pageCount{
		{dictionaryPage, parquet.Encodings.Plain, dict},
		{data, parquet.Encodings.RLEDict, ch.coded},
		{data, ch.way.direct, ch.direct},
	}
}

// finish returns the footer with entries, and the bytes at the end of the file.
func (f *footer) finish(entries ...[2]string) ([]byte, error) {
	for _, e := range entries {
		if err := f.build.AppendKeyValueMetadata(e[0], e[1]); err != nil {
			return nil, err
		}
	}
	meta, err := f.build.Finish()
	if err != nil {
		return nil, err
	}
	var tail bytes.Buffer
	n, err := meta.WriteTo(&tail, nil)
	if err != nil {
		return nil, err
	}
	return append(binary.LittleEndian.AppendUint32(tail.Bytes(), uint32(n)), parquetMagic...), nil
}

// longStats is the size from which on a value is no bound in a footer.
const longStats = 4096

// footerStats are s as Parquet has them. A bound of signed is also given in the fields for old readers.
func (l *leaf) footerStats(s *leafStats, signed bool) metadata.EncodedStatistics {
	var out metadata.EncodedStatistics
	out.SetNullCount(s.nulls)
	if !s.set || l.variant {
		return out
	}
	out.Signed = signed
	if l.isUUID() {
		if lo, hi := s.uuidBounds(); lo == nil || hi == nil {
			return out
		}
	}
	lo, hi := l.plainBounds(s)
	out.SetMin(lo)
	out.SetMax(hi)
	out.ApplyStatSizeLimits(longStats)
	return out
}

// plainBounds are the bounds in plain encoding.
func (l *leaf) plainBounds(s *leafStats) (lo, hi []byte) {
	switch {
	case l.isText():
		return noNil(s.loText), noNil(s.hiText)
	case l.isWideDecimal():
		return wideDecimal(s.loDec, l.width), wideDecimal(s.hiDec, l.width)
	case l.isReal():
		lo, hi := zeroSigns(s.loReal, s.hiReal)
		if l.physical == parquet.Types.Float {
			return word32(math.Float32bits(float32(lo))), word32(math.Float32bits(float32(hi)))
		}
		return word64(math.Float64bits(lo)), word64(math.Float64bits(hi))
	case l.physical == parquet.Types.Boolean:
		return []byte{byte(s.loWord)}, []byte{byte(s.hiWord)}
	case l.physical == parquet.Types.Int32:
		return word32(uint32(s.loWord)), word32(uint32(s.hiWord))
	}
	return word64(uint64(s.loWord)), word64(uint64(s.hiWord))
}

// noNil is b, which is a value: arrow-go takes nil for none.
func noNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func wideDecimal(v decimal128.Num, width int) []byte {
	var b [16]byte
	putDecimal(b[:], v)
	return append([]byte(nil), b[16-width:]...)
}
