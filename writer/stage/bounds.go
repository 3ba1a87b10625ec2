package stage

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
)

// leafStats are what a manifest says about one Parquet column of a file.
type leafStats struct {
	bytes  int64 // compressed
	values int64 // nulls and slots of empty lists included, as Java counts
	nulls  int64
	nans   int64
	// bounds, in one of the representations below by type; set is false while there was no value, and where off
	// says that nobody wants them.
	off, set       bool
	loWord, hiWord int64
	loReal, hiReal float64
	loText, hiText []byte
	loDec, hiDec   decimal128.Num
	// of UUIDs: the bounds in the order of Java
	loHalves, hiHalves []byte
}

func (s *leafStats) addWords(lo, hi int64) {
	if !s.set {
		s.set, s.loWord, s.hiWord = true, lo, hi
		return
	}
	s.loWord, s.hiWord = min(s.loWord, lo), max(s.hiWord, hi)
}

func minMax[T int32 | int64](vals []T) (lo, hi T) {
	lo, hi = vals[0], vals[0]
	for _, v := range vals {
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo, hi
}

// addReals leaves NaNs out and counts them. Zeros of both signs are one value to a predicate:
// the lower bound takes -0.0 and the upper 0.0 whichever came, when bounds are encoded.
func addReals[T float32 | float64](s *leafStats, vals []T) {
	for _, v := range vals {
		switch r := float64(v); {
		case r != r:
			s.nans++
		case !s.set:
			s.set, s.loReal, s.hiReal = true, r, r
		case r < s.loReal:
			s.loReal = r
		case r > s.hiReal:
			s.hiReal = r
		}
	}
}

// addText keeps v without copying it; own copies what is left at the end.
func (s *leafStats) addText(v []byte) {
	switch {
	case s.off:
	case !s.set:
		s.set, s.loText, s.hiText = true, v, v
	case bytes.Compare(v, s.loText) < 0:
		s.loText = v
	case bytes.Compare(v, s.hiText) > 0:
		s.hiText = v
	}
}

func (s *leafStats) addDecimal(v decimal128.Num) {
	switch {
	case s.off:
	case !s.set:
		s.set, s.loDec, s.hiDec = true, v, v
	case v.Less(s.loDec):
		s.loDec = v
	case s.hiDec.Less(v):
		s.hiDec = v
	}
}

// addUUID keeps v without copying it. Java's Iceberg orders UUIDs as two signed numbers, and prunes by that
// order; the spec, Parquet and other readers order their bytes. A bound tells all of them the truth where it
// is one in both orders.
func (s *leafStats) addUUID(v []byte) {
	if s.off {
		return
	}
	if !s.set {
		s.loHalves, s.hiHalves = v, v
	} else if compareHalves(v, s.loHalves) < 0 {
		s.loHalves = v
	} else if compareHalves(v, s.hiHalves) > 0 {
		s.hiHalves = v
	}
	s.addText(v)
}

func compareHalves(a, b []byte) int {
	half := func(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }
	return cmp.Or(cmp.Compare(half(a), half(b)), cmp.Compare(half(a[8:]), half(b[8:])))
}

// uuidBounds are the bounds of UUIDs that hold in both orders; nil where there is none.
func (s *leafStats) uuidBounds() (lo, hi []byte) {
	if bytes.Equal(s.loText, s.loHalves) {
		lo = s.loText
	}
	if bytes.Equal(s.hiText, s.hiHalves) {
		hi = s.hiText
	}
	return lo, hi
}

// own copies the bounds. A text of no bytes is a bound, whatever memory it came from; nil is none.
func (s *leafStats) own() {
	for _, text := range []*[]byte{&s.loText, &s.hiText, &s.loHalves, &s.hiHalves} {
		*text = slices.Clone(*text)
	}
	if s.set {
		s.loText, s.hiText = noNil(s.loText), noNil(s.hiText)
	}
}

// addTextStats adds the texts between offsets. Most are told from the bounds by their first eight bytes.
func addTextStats(s *leafStats, data []byte, offsets []int32) {
	if len(offsets) < 2 || s.off {
		return
	}
	text := func(i int) []byte { return data[offsets[i]:offsets[i+1]:offsets[i+1]] }
	if !s.set {
		s.addText(text(0))
	}
	lo, hi := textStart(s.loText), textStart(s.hiText)
	for i := range len(offsets) - 1 {
		t := text(i)
		switch p := textStart(t); {
		case p <= lo && bytes.Compare(t, s.loText) < 0:
			s.loText, lo = t, p
		case p >= hi && bytes.Compare(t, s.hiText) > 0:
			s.hiText, hi = t, p
		}
	}
}

// textStart orders texts as they are ordered, as far as eight bytes tell.
func textStart(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	p := uint64(0)
	for i, c := range b {
		p |= uint64(c) << (56 - 8*i)
	}
	return p
}

// merge adds the statistics of another row group of the file.
func (s *leafStats) merge(l *leaf, o *leafStats) {
	s.bytes += o.bytes
	s.values += o.values
	s.nulls += o.nulls
	s.nans += o.nans
	if !o.set {
		return
	}
	switch {
	case l.isReal():
		nans := s.nans
		addReals(s, []float64{o.loReal, o.hiReal})
		s.nans = nans
	case l.isUUID():
		for _, v := range [][]byte{o.loText, o.hiText, o.loHalves, o.hiHalves} {
			s.addUUID(v)
		}
	case l.isText():
		s.addText(o.loText)
		s.addText(o.hiText)
	case l.isWideDecimal():
		s.addDecimal(o.loDec)
		s.addDecimal(o.hiDec)
	default:
		s.addWords(o.loWord, o.hiWord)
	}
}

func (l *leaf) isReal() bool {
	switch l.typ.(type) {
	case iceberg.Float32Type, iceberg.Float64Type:
		return true
	}
	return false
}

func (l *leaf) isText() bool {
	switch l.typ.(type) {
	case iceberg.StringType, iceberg.BinaryType, iceberg.FixedType, iceberg.UUIDType:
		return true
	}
	return false
}

func (l *leaf) isUUID() bool {
	_, ok := l.typ.(iceberg.UUIDType)
	return ok
}

func (l *leaf) isWideDecimal() bool {
	_, decimal := l.typ.(iceberg.DecimalType)
	return decimal && l.width > 0
}

// bounds are the file's bounds in the spec's single-value serialization; nil where there is
// none. Source: iceberg.apache.org/spec/#appendix-d-single-value-serialization.
func (l *leaf) bounds(s *leafStats) (lower, upper []byte) {
	// Like Java, no bounds for elements of lists and maps: readers have no predicate on them.
	if !s.set || l.maxRep > 0 || !l.mode.bounds() || l.variant {
		return nil, nil
	}
	switch l.typ.(type) {
	case iceberg.BooleanType:
		return []byte{byte(s.loWord)}, []byte{byte(s.hiWord)}
	case iceberg.Int32Type, iceberg.DateType:
		return word32(uint32(s.loWord)), word32(uint32(s.hiWord))
	case iceberg.Float32Type:
		lo, hi := zeroSigns(s.loReal, s.hiReal)
		return word32(math.Float32bits(float32(lo))), word32(math.Float32bits(float32(hi)))
	case iceberg.Float64Type:
		lo, hi := zeroSigns(s.loReal, s.hiReal)
		return word64(math.Float64bits(lo)), word64(math.Float64bits(hi))
	case iceberg.StringType:
		return l.mode.lower(s.loText, prefix), l.mode.upper(s.hiText, prefix, nextText)
	case iceberg.BinaryType, iceberg.FixedType:
		return l.mode.lower(s.loText, head), l.mode.upper(s.hiText, head, nextBytes)
	case iceberg.UUIDType:
		return s.uuidBounds()
	case iceberg.DecimalType:
		if !l.isWideDecimal() {
			return decimalBytes(decimal128.FromI64(s.loWord)), decimalBytes(decimal128.FromI64(s.hiWord))
		}
		return decimalBytes(s.loDec), decimalBytes(s.hiDec)
	}
	return word64(uint64(s.loWord)), word64(uint64(s.hiWord))
}

func zeroSigns(lo, hi float64) (float64, float64) {
	if lo == 0 {
		lo = math.Copysign(0, -1)
	}
	if hi == 0 {
		hi = 0
	}
	return lo, hi
}

func word32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
func word64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

func decimalBytes(v decimal128.Num) []byte {
	var b [16]byte
	putDecimal(b[:], v)
	return slices.Clone(minimalDecimal(b[:]))
}

func head(b []byte, n int) []byte { return b[:min(n, len(b))] }

// nextText is the smallest text above every text that starts with b: its last code point that
// has a successor takes it. nil where none has.
func nextText(b []byte) []byte {
	for len(b) > 0 {
		r, size := utf8.DecodeLastRune(b)
		b = b[:len(b)-size]
		switch {
		case r == utf8.RuneError && size <= 1:
			return nil // not UTF-8: no bound is better than a wrong one
		case r == 0xD7FF:
			return utf8.AppendRune(slices.Clone(b), 0xE000) // over the surrogates
		case r < utf8.MaxRune:
			return utf8.AppendRune(slices.Clone(b), r+1)
		}
	}
	return nil
}

// nextBytes is nextText for bytes.
func nextBytes(b []byte) []byte {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] < 0xff {
			out := slices.Clone(b[:i+1])
			out[i]++
			return out
		}
	}
	return nil
}
