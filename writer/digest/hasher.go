package digest

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/iceberg-go"

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
	seeds   map[int]*seed
	hi, lo  []uint64
	scratch [][2][]uint64
	texts   map[int]*hashes

	builder               variant.Builder
	metadata, value, both []byte
}

// NewHasher returns a Hasher for batches of schema. Errors wrap ErrType.
func NewHasher(schema *iceberg.Schema) (*Hasher, error) {
	h := &Hasher{byID: map[int]iceberg.NestedField{}, seeds: map[int]*seed{}}
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
	if inside == nil {
		return sumAll(h.hi, h.lo)
	}
	var s Sum
	for i := range h.lo {
		if inside(i) {
			s.Rows++
			add(&s.Hi, &s.Lo, h.hi[i], h.lo[i])
		}
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
	finaliseAll(hi, lo)
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
		booleans(s, a, hi, lo)
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
		narrowDecimals(s, a, a.Values(), hi, lo)
	case *array.Decimal64:
		narrowDecimals(s, a, a.Values(), hi, lo)
	case *array.Decimal128:
		wideDecimals(s, a, a.Values(), hi, lo)
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
	places, fast := a.Indices().(*array.Int32)
	for p := presentIn(a); p.next(); {
		if !fast {
			for i := p.from; i < p.to; i++ {
				k := a.GetValueIndex(i)
				add(&hi[i], &lo[i], values.hi[k], values.lo[k])
			}
			continue
		}
		hi, lo := hi[p.from:p.to], lo[p.from:p.to]
		for i, k := range places.Int32Values()[p.from:p.to] {
			add(&hi[i], &lo[i], values.hi[k], values.lo[k])
		}
	}
}

func (h *Hasher) variants(s *seed, a *extensions.VariantArray, hi, lo []uint64) {
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
