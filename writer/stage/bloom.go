package stage

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/writer/bloom"
)

// The table's properties for Bloom filters, by Iceberg's names.
const (
	bloomEnabled  = "write.parquet.bloom-filter-enabled.column."
	bloomFPP      = "write.parquet.bloom-filter-fpp.column."
	bloomMaxBytes = "write.parquet.bloom-filter-max-bytes"
)

// bloomMode says whether a column's chunks have Bloom filters, and what these are like.
type bloomMode struct {
	on   bool
	fpp  float64
	most int64 // bytes
}

// setBloomModes sets every leaf's mode. Parquet has no filters of booleans.
func setBloomModes(leaves []*leaf, props iceberg.Properties) error {
	most, err := positive(props, bloomMaxBytes, 1<<20)
	if err != nil {
		return err
	}
	for _, l := range leaves {
		key := bloomEnabled + l.path
		switch v := strings.ToLower(props.Get(key, "false")); v {
		case "true":
			l.bloom = bloomMode{on: l.physical != parquet.Types.Boolean && !l.variant, fpp: 0.01, most: most}
		case "false":
		default:
			return fmt.Errorf("%w: %s is %q, not true or false", ErrProperty, key, v)
		}
		if text, ok := props[bloomFPP+l.path]; ok {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil || math.IsNaN(v) || v <= 0 || v >= 1 {
				return fmt.Errorf("%w: %s is %q, not a number between 0 and 1", ErrProperty, bloomFPP+l.path, text)
			}
			l.bloom.fpp = v
		}
	}
	return nil
}

// addHashes notes n values for the filter. How many distinct ones there will be is not known until the row group ends,
// and many row groups grow at once: so hashes are kept, and spilled with the pages, and no large filters.
func (ch *chunk) addHashes(n int, of func(i int) uint64) {
	if n == 0 {
		return
	}
	b := make([]byte, 0, 8*n)
	for i := range n {
		b = binary.LittleEndian.AppendUint64(b, of(i))
	}
	ch.bloom = append(ch.bloom, blob{data: b})
}

// addWordHashes notes integers, or reals by their bits.
func addWordHashes[T int32 | int64](ch *chunk, l *leaf, vals []T) {
	if !l.bloom.on {
		return
	}
	var b [8]byte
	width := 8
	if l.physical == parquet.Types.Int32 || l.physical == parquet.Types.Float {
		width = 4
	}
	ch.addHashes(len(vals), func(i int) uint64 {
		binary.LittleEndian.PutUint64(b[:], uint64(vals[i]))
		return bloom.Hash(b[:width])
	})
}

// filters makes the filters of a row group of the hashes that its chunks have.
func (e *encoder) filters(g *rowGroup, spill *spillFile) error {
	for i := range g.chunks {
		ch, mode := &g.chunks[i], e.leaves[i].bloom
		if !mode.on || len(ch.bloom) == 0 {
			continue
		}
		n := int64(0)
		for _, b := range ch.bloom {
			n += max(int64(len(b.data)), b.at.size) / 8
		}
		f := bloom.New(bloom.Size(n, mode.fpp, mode.most))
		for _, b := range ch.bloom {
			data := b.data
			if data == nil {
				data = make([]byte, b.at.size)
				if err := spill.read(b.at, data); err != nil {
					return err
				}
			}
			for ; len(data) > 0; data = data[8:] {
				f.Add(binary.LittleEndian.Uint64(data))
			}
		}
		f.Fit(mode.fpp)
		ch.bloom = []blob{{data: f.Append(nil)}}
	}
	return nil
}

// filterSize is that of a finished chunk's filter, 0 without one.
func (ch *chunk) filterSize() int32 {
	n := int64(0)
	for _, b := range ch.bloom {
		n += max(int64(len(b.data)), b.at.size)
	}
	return int32(n)
}

// appendFilters appends those of g to what a file has.
func (w *fileWriter) appendFilters(to [][]byte, g *rowGroup) ([][]byte, error) {
	for i := range g.chunks {
		for _, b := range g.chunks[i].bloom {
			data := b.data
			if data == nil {
				data = make([]byte, b.at.size)
				if err := w.spill.read(b.at, data); err != nil {
					return nil, err
				}
			}
			to = append(to, data)
		}
	}
	return to, nil
}
