package stage

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// settings are the table's write properties, read once and checked.
type settings struct {
	targetFileSize int64
	rowGroupSize   int64
	rowGroupRows   int
	pageSize       int64
	pageRows       int
	dictSize       int64
	pageVersion    parquet.DataPageVersion
	codec          compress.Compression
	level          int  // of codec; compress.DefaultCompressionLevel where the table says none
	plain          bool // no encodings but plain values and dictionaries
}

// codecs by Iceberg's names. "lz4" is Hadoop's framing in parquet-mr and LZ4_RAW is what
// every reader agrees on, so lz4 is written as the latter.
var codecs = map[string]compress.Compression{
	"uncompressed": compress.Codecs.Uncompressed,
	"snappy":       compress.Codecs.Snappy,
	"gzip":         compress.Codecs.Gzip,
	"zstd":         compress.Codecs.Zstd,
	"brotli":       compress.Codecs.Brotli,
	"lz4":          compress.Codecs.Lz4Raw,
	"lz4_raw":      compress.Codecs.Lz4Raw,
}

// codecLevels are the compression levels that each codec's library takes.
var codecLevels = map[compress.Compression][2]int{
	compress.Codecs.Gzip:   {1, 9},
	compress.Codecs.Zstd:   {1, 22},
	compress.Codecs.Brotli: {0, 11},
}

// readSettings fails on values that cannot be used rather than write something else than the
// table's owner asked for. Errors wrap ErrProperty, or ErrUnsupported for another file format.
func readSettings(props iceberg.Properties) (settings, error) {
	s := settings{pageVersion: parquet.DataPageV1, level: compress.DefaultCompressionLevel}
	if format := props.Get(table.WriteFormatDefaultKey, table.WriteFormatDefaultDefault); !strings.EqualFold(format, "parquet") {
		return s, fmt.Errorf("%w: %s is %q, icewright writes parquet", ErrUnsupported, table.WriteFormatDefaultKey, format)
	}
	sizes := []struct {
		key string
		def int64
		to  *int64
	}{
		{table.WriteTargetFileSizeBytesKey, table.WriteTargetFileSizeBytesDefault, &s.targetFileSize},
		{table.ParquetRowGroupSizeBytesKey, table.ParquetRowGroupSizeBytesDefault, &s.rowGroupSize},
		{table.ParquetPageSizeBytesKey, table.ParquetPageSizeBytesDefault, &s.pageSize},
		{table.ParquetDictSizeBytesKey, table.ParquetDictSizeBytesDefault, &s.dictSize},
	}
	for _, p := range sizes {
		v, err := positive(props, p.key, p.def)
		if err != nil {
			return s, err
		}
		*p.to = v
	}
	rows, err := positive(props, table.ParquetPageRowLimitKey, table.ParquetPageRowLimitDefault)
	if err != nil {
		return s, err
	}
	s.pageRows = int(min(rows, 1<<24))
	if rows, err = positive(props, table.ParquetRowGroupLimitKey, table.ParquetRowGroupLimitDefault); err != nil {
		return s, err
	}
	s.rowGroupRows = int(min(rows, 1<<30))
	switch v := strings.ToLower(props.Get(table.ParquetPageVersionKey, "v1")); v {
	case "v1", "1":
	case "v2", "2":
		s.pageVersion = parquet.DataPageV2
	default:
		return s, fmt.Errorf("%w: %s is %q, not v1 or v2", ErrProperty, table.ParquetPageVersionKey, v)
	}
	switch v := strings.ToLower(props.Get(encodingsKey, "all")); v {
	case "all":
	case "plain":
		s.plain = true
	default:
		return s, fmt.Errorf("%w: %s is %q, not all or plain", ErrProperty, encodingsKey, v)
	}
	return s, s.readCodec(props)
}

// encodingsKey is a property of icewright's own: "plain" is for readers that know dictionaries and plain
// values alone, as Iceberg's in Spark before version 1.11, which knows the others.
const encodingsKey = "icewright.parquet-encodings"

func (s *settings) readCodec(props iceberg.Properties) error {
	name := strings.ToLower(props.Get(table.ParquetCompressionKey, table.ParquetCompressionDefault))
	codec, ok := codecs[name]
	if !ok {
		return fmt.Errorf("%w: %s is %q, not one of zstd, gzip, snappy, lz4, brotli, uncompressed",
			ErrProperty, table.ParquetCompressionKey, name)
	}
	s.codec = codec
	text, ok := props[table.ParquetCompressionLevelKey]
	if !ok || text == "null" { // Java's default for "the codec's own" is the word null
		return nil
	}
	level, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("%w: %s is %q, no number", ErrProperty, table.ParquetCompressionLevelKey, text)
	}
	if bounds, ok := codecLevels[codec]; ok && level != -1 {
		if level < bounds[0] || level > bounds[1] {
			return fmt.Errorf("%w: %s is %d, %s takes %d to %d",
				ErrProperty, table.ParquetCompressionLevelKey, level, name, bounds[0], bounds[1])
		}
		s.level = level
	}
	return nil
}

func positive(props iceberg.Properties, key string, def int64) (int64, error) {
	text, ok := props[key]
	if !ok {
		return def, nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v <= 0 {
		return 0, fmt.Errorf("%w: %s is %q, not a number above 0", ErrProperty, key, text)
	}
	return v, nil
}

// writerProperties are what a footer says of how its file was written.
func (s settings) writerProperties() *parquet.WriterProperties {
	return parquet.NewWriterProperties(
		parquet.WithVersion(parquet.V2_LATEST),
		parquet.WithCreatedBy(createdBy),
		parquet.WithRootName("table"),
		parquet.WithCompression(s.codec),
	)
}

// pageType is that of data pages, as Parquet numbers them.
func (s settings) pageType() int64 {
	if s.pageVersion == parquet.DataPageV2 {
		return 3
	}
	return 0
}

// createdBy names the library that encodes, in the form that readers parse to work around
// the bugs of old writers.
const createdBy = parquet.DefaultCreatedBy + " (build icewright)"
