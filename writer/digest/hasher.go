package digest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/iceberg-go"
	"github.com/zeebo/xxh3"

	"github.com/icewright/icewright/variant"
)

// fieldIDKey is the Arrow field metadata that carries an Iceberg field id.
const fieldIDKey = "PARQUET:field_id"

// ErrType says that a batch or schema has a type that version 1 of the digest does not define.
var ErrType = errors.New("digest: type not supported")

// Hasher computes digests of batches of one schema. It keeps scratch space, so it is cheap to
// reuse and not safe for concurrent use: one per worker.
//
// Version 1, fixed forever, is this. A non-null value adds a 128-bit hash of (field id,
// canonical value) to its row; a null adds nothing, so an optional column added to the table
// changes no digest. Canonical are: integers, dates, times and timestamps as int64; float as
// the double of the same value, every NaN alike, -0.0 and 0.0 apart; decimals as their
// unscaled 128-bit value; string, binary, fixed and uuid as their bytes; variants as the metadata and
// value that package variant has for them, JSON's null as a null. A struct adds a mark
// that it is there and then its fields; a list an ordered, a map an unordered hash of its
// elements. Each row's sum goes through a non-linear mixer before rows are added up:
// without it, two rows that swapped a value would sum to the same.
type Hasher struct {
	// Canonical says that variants are in their canonical form, as arrowconv makes them, and need not be
	// brought into it. The default, false, is right for every variant.
	Canonical bool

	fields  []iceberg.NestedField
	byID    map[int]iceberg.NestedField
	seeds   map[int]seed
	hi, lo  []uint64
	scratch [][2][]uint64
	texts   map[int]*hashes

	builder               variant.Builder
	metadata, value, both []byte
}

// NewHasher returns a Hasher for batches of schema. Errors wrap ErrType.
func NewHasher(schema *iceberg.Schema) (*Hasher, error) {
	h := &Hasher{byID: map[int]iceberg.NestedField{}, seeds: map[int]seed{}}
	for _, f := range schema.Fields() {
		if f.ID == iceberg.RowIDFieldID || f.ID == iceberg.LastUpdatedSequenceNumberFieldID {
			continue // where a row comes from is not what it says
		}
		h.fields = append(h.fields, f)
		if err := h.add(f); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (h *Hasher) add(f iceberg.NestedField) error {
	h.byID[f.ID] = f
	h.seeds[f.ID] = newSeed(f.ID)
	switch t := f.Type.(type) {
	case iceberg.GeometryType, iceberg.GeographyType:
		return fmt.Errorf("%w: column %q has type %s", ErrType, f.Name, f.Type)
	case iceberg.NestedType:
		for _, child := range t.Fields() {
			if err := h.add(child); err != nil {
				return err
			}
		}
	}
	return nil
}

// Sum returns the digest of the rows of rec. Columns are matched by field id (the
// PARQUET:field_id metadata), by name where there is none; columns that rec lacks count as
// null, columns unknown to the schema are left out. Values must have the Arrow types that
// iceberg-go's SchemaToArrowSchema gives for the schema, or dictionary, large or view
// variants of them; Sum panics on others. rec is not retained.
func (h *Hasher) Sum(rec arrow.RecordBatch) Sum {
	return h.SumOf(rec, nil)
}

// SumOf is Sum of the rows of rec that inside tells of; nil is all of them.
func (h *Hasher) SumOf(rec arrow.RecordBatch, inside func(row int) bool) Sum {
	n := int(rec.NumRows())
	h.hi, h.lo = resize(h.hi, n), resize(h.lo, n)
	h.Rows(rec, h.hi, h.lo)
	var s Sum
	var carry uint64
	for i := range h.lo {
		if inside != nil && !inside(i) {
			continue
		}
		s.Rows++
		s.Lo, carry = bits.Add64(s.Lo, h.lo[i], 0)
		s.Hi, _ = bits.Add64(s.Hi, h.hi[i], carry)
	}
	return s
}

// Rows sets hi[i] and lo[i] to the 128-bit hash of row i of rec: the sum of these modulo
// 2^128 is the digest. Both must have rec.NumRows() entries. See Sum for how columns match.
func (h *Hasher) Rows(rec arrow.RecordBatch, hi, lo []uint64) {
	clear(hi)
	clear(lo)
	for i, f := range rec.Schema().Fields() {
		if id, ok := h.fieldID(f); ok {
			h.column(id, rec.Column(i), hi, lo)
		}
	}
	for i := range hi {
		hi[i], lo[i] = finalise(hi[i], lo[i])
	}
}

func (h *Hasher) fieldID(f arrow.Field) (int, bool) {
	if text, ok := f.Metadata.GetValue(fieldIDKey); ok {
		id, err := strconv.Atoi(text)
		_, known := h.byID[id]
		return id, err == nil && known
	}
	for _, own := range h.fields {
		if own.Name == f.Name {
			return own.ID, true
		}
	}
	return 0, false
}

// column adds the contribution of arr[i] to hi[i] and lo[i].
func (h *Hasher) column(id int, arr arrow.Array, hi, lo []uint64) {
	if len(hi) == 0 {
		return // Arrow allows empty arrays without buffers
	}
	s := h.seeds[id]
	switch a := arr.(type) {
	case *array.Null:
	case *array.Boolean:
		for i := range hi {
			if a.IsValid(i) {
				v := uint64(0)
				if a.Value(i) {
					v = 1
				}
				addWord(s, v, &hi[i], &lo[i])
			}
		}
	case *array.Int8:
		integers(s, a, a.Int8Values(), hi, lo)
	case *array.Int16:
		integers(s, a, a.Int16Values(), hi, lo)
	case *array.Int32:
		integers(s, a, a.Int32Values(), hi, lo)
	case *array.Int64:
		integers(s, a, a.Int64Values(), hi, lo)
	case *array.Date32:
		integers(s, a, a.Date32Values(), hi, lo)
	case *array.Time64:
		integers(s, a, a.Time64Values(), hi, lo)
	case *array.Timestamp:
		integers(s, a, a.TimestampValues(), hi, lo)
	case *array.Float32:
		floats(s, a, a.Float32Values(), hi, lo)
	case *array.Float64:
		floats(s, a, a.Float64Values(), hi, lo)
	case *array.Decimal32:
		for i := range hi {
			if a.IsValid(i) {
				addWide(s, int64(a.Value(i)), &hi[i], &lo[i])
			}
		}
	case *array.Decimal64:
		for i := range hi {
			if a.IsValid(i) {
				addWide(s, int64(a.Value(i)), &hi[i], &lo[i])
			}
		}
	case *array.Decimal128:
		for i, v := range a.Values() {
			if a.IsValid(i) {
				addPair(s, uint64(v.HighBits()), v.LowBits(), &hi[i], &lo[i])
			}
		}
	case *array.String:
		varlen(s, a, a.ValueOffsets(), a.ValueBytes(), hi, lo)
	case *array.Binary:
		varlen(s, a, a.ValueOffsets(), a.ValueBytes(), hi, lo)
	case *array.LargeString:
		varlen(s, a, a.ValueOffsets(), a.ValueBytes(), hi, lo)
	case *array.LargeBinary:
		varlen(s, a, a.ValueOffsets(), a.ValueBytes(), hi, lo)
	case *array.StringView:
		for i := range hi {
			if a.IsValid(i) {
				addBytes(s, []byte(a.Value(i)), &hi[i], &lo[i])
			}
		}
	case *array.BinaryView:
		for i := range hi {
			if a.IsValid(i) {
				addBytes(s, a.Value(i), &hi[i], &lo[i])
			}
		}
	case *array.FixedSizeBinary:
		for i := range hi {
			if a.IsValid(i) {
				addBytes(s, a.Value(i), &hi[i], &lo[i])
			}
		}
	case *array.Dictionary:
		h.dictionary(id, a, hi, lo)
	case *array.Struct:
		h.structure(s, id, a, hi, lo)
	case *array.Map: // before ListLike: a Map is one, too
		h.mapping(s, id, a, hi, lo)
	case array.ListLike:
		h.list(s, id, a, hi, lo)
	case *extensions.VariantArray:
		h.variants(s, a, hi, lo)
	case array.ExtensionArray:
		h.column(id, a.Storage(), hi, lo)
	default:
		panic(fmt.Errorf("%w: %s", ErrType, arr.DataType()))
	}
}

func integers[T ~int8 | ~int16 | ~int32 | ~int64](s seed, a arrow.Array, values []T, hi, lo []uint64) {
	if a.NullN() == 0 {
		for i, v := range values {
			addWord(s, uint64(int64(v)), &hi[i], &lo[i])
		}
		return
	}
	for i, v := range values {
		if a.IsValid(i) {
			addWord(s, uint64(int64(v)), &hi[i], &lo[i])
		}
	}
}

func floats[T ~float32 | ~float64](s seed, a arrow.Array, values []T, hi, lo []uint64) {
	const nan = 0x7ff8000000000000
	for i, v := range values {
		if a.IsValid(i) {
			word := math.Float64bits(float64(v))
			if v != v { // every NaN alike
				word = nan
			}
			addWord(s, word, &hi[i], &lo[i])
		}
	}
}

// varlen hashes values that lie one after the other: data starts at offsets[0].
func varlen[O int32 | int64](s seed, a arrow.Array, offsets []O, data []byte, hi, lo []uint64) {
	if len(offsets) == 0 {
		return
	}
	base := offsets[0]
	noNulls := a.NullN() == 0
	for i := range hi {
		if noNulls || a.IsValid(i) {
			addBytes(s, data[offsets[i]-base:offsets[i+1]-base], &hi[i], &lo[i])
		}
	}
}

// hashes are those of the values of a dictionary.
type hashes struct {
	of     arrow.ArrayData
	hi, lo []uint64
}

// dictionary hashes each value of a dictionary once, also where many batches share it.
func (h *Hasher) dictionary(id int, a *array.Dictionary, hi, lo []uint64) {
	values := h.texts[id]
	if of := a.Data().Dictionary(); values == nil || values.of != of {
		n := of.Len()
		values = &hashes{of, make([]uint64, n), make([]uint64, n)}
		h.column(id, a.Dictionary(), values.hi, values.lo)
		if h.texts == nil {
			h.texts = map[int]*hashes{}
		}
		h.texts[id] = values
	}
	noNulls := a.NullN() == 0
	if places, ok := a.Indices().(*array.Int32); ok {
		for i, k := range places.Int32Values() {
			if noNulls || a.IsValid(i) {
				add(&hi[i], &lo[i], values.hi[k], values.lo[k])
			}
		}
		return
	}
	for i := range hi {
		if noNulls || a.IsValid(i) {
			k := a.GetValueIndex(i)
			add(&hi[i], &lo[i], values.hi[k], values.lo[k])
		}
	}
}

func (h *Hasher) variants(s seed, a *extensions.VariantArray, hi, lo []uint64) {
	var metadata, value arrow.TypedArray[[]byte]
	if !a.IsShredded() {
		metadata, value = a.Metadata(), a.UntypedValues()
	}
	for i := range hi {
		if a.IsNull(i) { // JSON's null is one
			continue
		}
		var m, v []byte
		if metadata != nil {
			m, v = metadata.Value(i), value.Value(i)
		} else if whole, err := a.Value(i); err == nil {
			m, v = whole.Metadata().Bytes(), whole.Bytes()
		}
		if !h.Canonical {
			var err error
			h.metadata, h.value, err = h.builder.AppendCanonical(h.metadata[:0], h.value[:0], m, v)
			if err == nil {
				m, v = h.metadata, h.value
			} // else it is corrupt, and equal to nothing but the same bytes
		}
		h.both = append(append(h.both[:0], m...), v...)
		addBytes(s, h.both, &hi[i], &lo[i])
	}
}

func (h *Hasher) structure(s seed, id int, a *array.Struct, hi, lo []uint64) {
	fhi, flo, done := h.borrow(a.Len())
	defer done()
	st := a.DataType().(*arrow.StructType)
	for k := range st.NumFields() {
		if child, ok := h.childID(id, st.Field(k)); ok {
			h.column(child, a.Field(k), fhi, flo)
		}
	}
	// Fields of a null struct may hold anything.
	for i := range hi {
		if a.IsValid(i) {
			add(&hi[i], &lo[i], fhi[i], flo[i])
			addWord(s, 1, &hi[i], &lo[i])
		}
	}
}

func (h *Hasher) childID(parent int, f arrow.Field) (int, bool) {
	if text, ok := f.Metadata.GetValue(fieldIDKey); ok {
		id, err := strconv.Atoi(text)
		_, known := h.byID[id]
		return id, err == nil && known
	}
	if st, ok := h.byID[parent].Type.(*iceberg.StructType); ok {
		for _, own := range st.FieldList {
			if own.Name == f.Name {
				return own.ID, true
			}
		}
	}
	return 0, false
}

func (h *Hasher) list(s seed, id int, a array.ListLike, hi, lo []uint64) {
	lt, ok := h.byID[id].Type.(*iceberg.ListType)
	if !ok {
		panic(fmt.Errorf("%w: field %d is no list", ErrType, id))
	}
	first, ehi, elo, done := h.elements(lt.ElementID, a, a.ListValues())
	defer done()
	for i := range hi {
		if !a.IsValid(i) {
			continue
		}
		start, end := a.ValueOffsets(i)
		var shi, slo uint64
		addWord(s, uint64(end-start), &shi, &slo)
		for k := start - first; k < end-first; k++ {
			add(&shi, &slo, ehi[k], elo[k])
			shi, slo = finalise(shi, slo) // order matters: chained
		}
		add(&hi[i], &lo[i], shi, slo)
	}
}

func (h *Hasher) mapping(s seed, id int, a *array.Map, hi, lo []uint64) {
	mt, ok := h.byID[id].Type.(*iceberg.MapType)
	if !ok {
		panic(fmt.Errorf("%w: field %d is no map", ErrType, id))
	}
	first, khi, klo, keysDone := h.elements(mt.KeyID, a, a.Keys())
	defer keysDone()
	_, vhi, vlo, valuesDone := h.elements(mt.ValueID, a, a.Items())
	defer valuesDone()
	for i := range hi {
		if !a.IsValid(i) {
			continue
		}
		start, end := a.ValueOffsets(i)
		var shi, slo uint64
		addWord(s, uint64(end-start), &shi, &slo)
		for k := start - first; k < end-first; k++ {
			ehi, elo := khi[k], klo[k]
			add(&ehi, &elo, vhi[k], vlo[k])
			ehi, elo = finalise(ehi, elo)
			add(&shi, &slo, ehi, elo) // order does not matter: summed
		}
		shi, slo = finalise(shi, slo)
		add(&hi[i], &lo[i], shi, slo)
	}
}

// elements returns the contributions of the elements that a's rows span, and the position of
// the first in values. done gives the scratch space back, last borrowed first.
func (h *Hasher) elements(id int, a array.ListLike, values arrow.Array) (first int64, hi, lo []uint64, done func()) {
	var end int64
	if n := a.Len(); n > 0 {
		first, _ = a.ValueOffsets(0)
		_, end = a.ValueOffsets(n - 1)
	}
	part := array.NewSlice(values, first, end)
	defer part.Release()
	hi, lo, done = h.borrow(part.Len())
	h.column(id, part, hi, lo)
	return first, hi, lo, done
}

// borrow returns zeroed scratch space from a stack.
func (h *Hasher) borrow(n int) (hi, lo []uint64, done func()) {
	var pair [2][]uint64
	if top := len(h.scratch) - 1; top >= 0 {
		pair, h.scratch = h.scratch[top], h.scratch[:top]
	}
	pair[0], pair[1] = resize(pair[0], n), resize(pair[1], n)
	clear(pair[0])
	clear(pair[1])
	return pair[0], pair[1], func() { h.scratch = append(h.scratch, pair) }
}

func resize(s []uint64, n int) []uint64 {
	if cap(s) < n {
		return make([]uint64, n)
	}
	return s[:n]
}

// seed makes one field's hashes independent of another's.
type seed struct{ a, b, c, d uint64 }

func newSeed(id int) seed {
	var text [8]byte
	binary.LittleEndian.PutUint64(text[:], uint64(int64(id)))
	x := xxh3.Hash128Seed(text[:], 0x1cedd16e57000001)
	y := xxh3.Hash128Seed(text[:], 0x1cedd16e57000002)
	return seed{x.Hi, x.Lo, y.Hi, y.Lo}
}

func add(hi, lo *uint64, h, l uint64) {
	var carry uint64
	*lo, carry = bits.Add64(*lo, l, 0)
	*hi, _ = bits.Add64(*hi, h, carry)
}

// addWord adds the hash of a 64-bit value. Both halves are bijections of v, so that two
// values of one field never collide before rows are mixed.
func addWord(s seed, v uint64, hi, lo *uint64) {
	add(hi, lo, mixB(v+s.b), mixA(v^s.a))
}

func addWide(s seed, v int64, hi, lo *uint64) { addPair(s, uint64(v>>63), uint64(v), hi, lo) }

// addPair adds the hash of a 128-bit value.
func addPair(s seed, vh, vl uint64, hi, lo *uint64) {
	top := mixA(vh ^ s.c)
	add(hi, lo, mixB((vl+s.b)^bits.RotateLeft64(top, 31)), mixA((vl^s.a)+top))
}

func addBytes(s seed, v []byte, hi, lo *uint64) {
	u := xxh3.Hash128Seed(v, s.d)
	add(hi, lo, u.Hi, u.Lo)
}

// mixA and mixB are 64-bit bijections with full avalanche (the finalisers of splitmix64 and
// murmur3).
func mixA(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func mixB(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// finalise is a 128-bit bijection: four rounds of a Feistel network over mixA and mixB.
func finalise(hi, lo uint64) (uint64, uint64) {
	lo ^= mixA(hi + 0x9e3779b97f4a7c15)
	hi ^= mixB(lo + 0xc2b2ae3d27d4eb4f)
	lo ^= mixB(hi + 0x165667b19e3779f9)
	hi ^= mixA(lo + 0x27d4eb2f165667c5)
	return hi, lo
}
