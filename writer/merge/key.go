package merge

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/zeebo/xxh3"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/nearest"
)

// fingerprint is a key in 16 bytes. Where the key's values take no more than that it is the key itself;
// longer ones, and those of varying length, are hashed, with a seed that only this process knows.
type fingerprint struct{ hi, lo uint64 }

// keyColumn is a column of the key.
type keyColumn struct {
	iceberg.NestedField
	width int // in bytes, of what is packed; 0 where it varies
}

// keys makes fingerprints of rows. It is read-only, for any number of goroutines.
type keys struct {
	columns []keyColumn
	exact   bool // fingerprints are the keys
	seed    uint64
}

// newKeys resolves the columns of a key. Errors wrap ErrColumn.
func newKeys(schema *iceberg.Schema, names []string, seed uint64) (*keys, error) {
	if len(names) == 0 {
		return nil, fail(ErrColumn, "name the columns that tell rows apart: --key order_id", "no key columns given")
	}
	k := &keys{seed: seed, exact: true}
	total := 0
	for i, name := range names {
		f, err := column(schema, "--key", name)
		if err != nil {
			return nil, err
		}
		if slices.Contains(names[:i], name) {
			return nil, fail(ErrColumn, "", "--key: column %q is named twice", name)
		}
		c := keyColumn{NestedField: f}
		switch t := f.Type.(type) {
		case iceberg.Float32Type, iceberg.Float64Type:
			return nil, fail(ErrColumn, "make it a decimal or an integer, or a text, and key by that",
				"--key: column %q is a %s: what a sum or a conversion makes of a number may differ in its last bit from run to run, NaN is no number's equal, and 0.0 and -0.0 are equal and not the same, so such a column cannot tell rows apart",
				name, f.Type)
		case iceberg.BooleanType:
			c.width = 1
		case iceberg.Int32Type, iceberg.DateType:
			c.width = 4
		case iceberg.Int64Type, iceberg.TimeType, iceberg.TimestampType, iceberg.TimestampTzType, iceberg.TimestampNsType, iceberg.TimestampTzNsType:
			c.width = 8
		case iceberg.DecimalType, iceberg.UUIDType:
			c.width = 16
		case iceberg.FixedType:
			c.width = t.Len()
		case iceberg.StringType, iceberg.BinaryType:
		default:
			return nil, fail(ErrColumn, "key by columns of primitive types", "--key: column %q is a %s, which cannot tell rows apart", name, typeName(f.Type))
		}
		if total += c.width; c.width == 0 || total > 16 {
			k.exact = false
		}
		k.columns = append(k.columns, c)
	}
	return k, nil
}

// typeName is the type without what a nested one consists of.
func typeName(t iceberg.Type) string {
	if _, nested := t.(iceberg.NestedType); nested {
		return t.Type()
	}
	return t.String()
}

// column finds a top-level column that a flag names.
func column(schema *iceberg.Schema, flag, name string) (iceberg.NestedField, error) {
	for _, f := range schema.Fields() {
		if f.Name == name {
			return f, nil
		}
	}
	var all []string
	for _, f := range schema.Fields() {
		all = append(all, f.Name)
	}
	hint := "the table has " + strings.Join(all, ", ")
	if near := nearest.Name(name, all); near != "" {
		hint = "did you mean " + near + "?"
	}
	return iceberg.NestedField{}, fail(ErrColumn, hint, "%s: the table has no column %q", flag, name)
}

// names are the key's columns.
func (k *keys) names() []string {
	var out []string
	for _, c := range k.columns {
		out = append(out, c.Name)
	}
	return out
}

// of appends the fingerprints of rec's rows, whose columns arrays finds by name. null is the first row
// with a null in the key, and its column; -1 if there is none. What a row with a null has for a fingerprint
// means nothing.
func (k *keys) of(to []fingerprint, rec arrow.RecordBatch) (_ []fingerprint, null, nullColumn int, err error) {
	n := int(rec.NumRows())
	to = slices.Grow(to[:0], n)[:n]
	clear(to)
	null = -1
	for i, c := range k.columns {
		arr, err := columnOf(rec, c.ID, c.Name)
		if err != nil {
			return nil, 0, 0, err
		}
		if arr.NullN() > 0 {
			for row := range n {
				if arr.IsNull(row) && (null < 0 || row < null) {
					null, nullColumn = row, i
				}
			}
		}
		if err := k.column(to, i, c, arr); err != nil {
			return nil, 0, 0, err
		}
	}
	return to, null, nullColumn, nil
}

// columnOf finds a column by field id, or by its name where the batch's fields have none.
func columnOf(rec arrow.RecordBatch, id int, name string) (arrow.Array, error) {
	at := -1
	for i, f := range rec.Schema().Fields() {
		if text, ok := f.Metadata.GetValue(fieldID); ok && text == strconv.Itoa(id) {
			return rec.Column(i), nil
		}
		if f.Name == name {
			at = i
		}
	}
	if at < 0 {
		return nil, fmt.Errorf("merge: the batch has no column %s", name)
	}
	return rec.Column(at), nil
}

// fieldID is the metadata that carries an Iceberg field's id.
const fieldID = "PARQUET:field_id"

func (k *keys) column(to []fingerprint, at int, c keyColumn, arr arrow.Array) error {
	if ext, ok := arr.(array.ExtensionArray); ok {
		arr = ext.Storage()
	}
	switch a := arr.(type) {
	case *array.Boolean:
		for i := range to {
			v := uint64(0)
			if a.Value(i) {
				v = 1
			}
			k.word(&to[i], at, 1, v)
		}
	case *array.Int32:
		words(k, to, at, 4, a.Int32Values())
	case *array.Date32:
		words(k, to, at, 4, a.Date32Values())
	case *array.Int64:
		words(k, to, at, 8, a.Int64Values())
	case *array.Time64:
		words(k, to, at, 8, a.Time64Values())
	case *array.Timestamp:
		words(k, to, at, 8, a.TimestampValues())
	case *array.Decimal128:
		for i, v := range a.Values() {
			k.pair(&to[i], at, uint64(v.HighBits()), v.LowBits())
		}
	case *array.FixedSizeBinary:
		for i := range to {
			k.fixed(&to[i], at, a.Value(i))
		}
	case array.StringLike:
		for i := range to {
			k.text(&to[i], at, a.Value(i))
		}
	case interface{ Value(int) []byte }: // binary of either size
		for i := range to {
			k.bytes(&to[i], at, a.Value(i))
		}
	default:
		return fmt.Errorf("merge: key column %s came as %s", c.Name, arr.DataType())
	}
	return nil
}

func words[T ~int32 | ~int64](k *keys, to []fingerprint, at, width int, values []T) {
	if k.exact && len(k.columns) == 1 {
		for i, v := range values {
			to[i].lo = uint64(int64(v))
		}
		return
	}
	for i, v := range values {
		k.word(&to[i], at, width, uint64(int64(v)))
	}
}

// word puts in a value of up to eight bytes.
func (k *keys) word(f *fingerprint, at, width int, v uint64) {
	if k.exact {
		shift := uint(width * 8)
		if width == 8 {
			f.hi, f.lo = f.lo, v
			return
		}
		f.hi = f.hi<<shift | f.lo>>(64-shift)
		f.lo = f.lo<<shift | v&(1<<shift-1)
		return
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	k.bytes(f, at, b[:])
}

func (k *keys) pair(f *fingerprint, at int, hi, lo uint64) {
	if k.exact { // it is the only column
		f.hi, f.lo = hi, lo
		return
	}
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], hi)
	binary.LittleEndian.PutUint64(b[8:], lo)
	k.bytes(f, at, b[:])
}

func (k *keys) fixed(f *fingerprint, at int, v []byte) {
	if !k.exact {
		k.bytes(f, at, v)
		return
	}
	for _, b := range v {
		f.hi = f.hi<<8 | f.lo>>56
		f.lo = f.lo<<8 | uint64(b)
	}
}

func (k *keys) bytes(f *fingerprint, at int, v []byte) {
	u := xxh3.Hash128Seed(v, k.seed+uint64(at))
	k.add(f, fingerprint{u.Hi, u.Lo})
}

func (k *keys) text(f *fingerprint, at int, v string) {
	u := xxh3.HashString128Seed(v, k.seed+uint64(at))
	k.add(f, fingerprint{u.Hi, u.Lo})
}

// add takes the hash of one more column in. Each column has its own seed, so values that trade places
// do not add up to the same.
func (k *keys) add(f *fingerprint, v fingerprint) {
	var carry uint64
	f.lo, carry = bits.Add64(f.lo, v.lo, 0)
	f.hi, _ = bits.Add64(f.hi, v.hi, carry)
}

// text is the key of a row as people write it: order_id=5, line=2.
func (k *keys) show(rec arrow.RecordBatch, row int) string {
	var parts []string
	for _, c := range k.columns {
		arr, err := columnOf(rec, c.ID, c.Name)
		if err != nil {
			continue
		}
		parts = append(parts, c.Name+"="+showValue(arr, row))
	}
	return strings.Join(parts, ", ")
}

func showValue(arr arrow.Array, row int) string {
	if arr.IsNull(row) {
		return "null"
	}
	text := arr.ValueStr(row)
	const most = 60
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "…"
	}
	return text
}

// place names an input row.
func place(b arrowconv.Batch, row int) string {
	return fmt.Sprintf("%s: row %d", b.Source, b.RowNumber(row))
}
