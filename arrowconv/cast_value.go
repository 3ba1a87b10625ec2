package arrowconv

import (
	"math"
	"math/big"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
)

// primitive finds the conversion of Parquet's type from to c's; nil where there is none. What may be
// converted is what keeps the value: a wider type, or a narrower one whose every value is checked.
func (p *castPlanner) primitive(c *columnCast, from arrow.DataType) func(frame, arrow.Array) arrow.ArrayData {
	id := from.ID()
	switch t := c.field.Type.(type) {
	case iceberg.BooleanType:
		if id == arrow.BOOL {
			return c.same
		}
	case iceberg.Int32Type:
		if id == arrow.INT32 {
			return c.same
		}
		return integers(c, from, func(v int64) (int32, fault) {
			if v != int64(int32(v)) {
				return 0, faultRange
			}
			return int32(v), faultNone
		})
	case iceberg.Int64Type:
		if id == arrow.INT64 {
			return c.same
		}
		return integers(c, from, func(v int64) (int64, fault) { return v, faultNone })
	case iceberg.Float32Type:
		if id == arrow.FLOAT32 {
			return c.same
		}
		return floats(c, from, func(v float64) (float32, fault) {
			if n := float32(v); float64(n) == v || v != v {
				return n, faultNone
			}
			return 0, faultInexact
		})
	case iceberg.Float64Type:
		if id == arrow.FLOAT64 {
			return c.same
		}
		return floats(c, from, func(v float64) (float64, fault) { return v, faultNone })
	case iceberg.DecimalType:
		return decimals(c, from, t)
	case iceberg.DateType:
		return dates(c, from)
	case iceberg.TimeType:
		return times(c, from)
	case iceberg.TimestampType:
		return p.timestamps(c, from, micros, false)
	case iceberg.TimestampTzType:
		return p.timestamps(c, from, micros, true)
	case iceberg.TimestampNsType:
		return p.timestamps(c, from, nanos, false)
	case iceberg.TimestampTzNsType:
		return p.timestamps(c, from, nanos, true)
	case iceberg.StringType:
		if id == arrow.STRING || id == arrow.BINARY {
			return c.texts
		}
	case iceberg.BinaryType:
		switch id {
		case arrow.BINARY:
			return c.same
		case arrow.FIXED_SIZE_BINARY:
			return c.widened
		}
	case iceberg.FixedType:
		if b, ok := from.(*arrow.FixedSizeBinaryType); ok && b.ByteWidth == t.Len() {
			return c.stored
		}
	case iceberg.UUIDType:
		if b, ok := from.(*arrow.FixedSizeBinaryType); ok && b.ByteWidth == 16 {
			return c.stored
		}
		if id == arrow.STRING {
			return func(f frame, a arrow.Array) arrow.ArrayData {
				s := a.(*array.String)
				return fixed(c, f, a, func(i int) ([16]byte, fault) {
					v := s.Value(i)
					return parseUUID(unsafe.Slice(unsafe.StringData(v), len(v)))
				})
			}
		}
	}
	return nil
}

// stored takes the bytes of a fixed-size array, one with a logical type included.
func (c *columnCast) stored(f frame, a arrow.Array) arrow.ArrayData {
	if ext, ok := a.(array.ExtensionArray); ok {
		a = ext.Storage()
	}
	return c.same(f, a)
}

// fixed makes an array of values of a fixed width, one from each index of a.
func fixed[T any](c *columnCast, f frame, a arrow.Array, get func(i int) (T, fault)) arrow.ArrayData {
	var zero T
	buffer, out := newBuffer[T](a.Len(), f.run.alloc)
	for i := range out {
		v, why := get(i)
		if why != faultNone {
			v = zero
			if a.IsValid(i) {
				c.fail(f, i, why, text(a, i))
			}
		}
		out[i] = v
	}
	return c.build(f, a, []*memory.Buffer{buffer}, nil)
}

// integerOf gives the values of an array of whole numbers; nil for other arrays. A float counts where
// it has no fraction: programs without null integers write them so.
func integerOf(a arrow.Array) func(int) (int64, fault) {
	switch a := a.(type) {
	case *array.Int8:
		return func(i int) (int64, fault) { return int64(a.Value(i)), faultNone }
	case *array.Int16:
		return func(i int) (int64, fault) { return int64(a.Value(i)), faultNone }
	case *array.Int32:
		return func(i int) (int64, fault) { return int64(a.Value(i)), faultNone }
	case *array.Int64:
		return func(i int) (int64, fault) { return a.Value(i), faultNone }
	case *array.Uint8:
		return func(i int) (int64, fault) { return int64(a.Value(i)), faultNone }
	case *array.Uint16:
		return func(i int) (int64, fault) { return int64(a.Value(i)), faultNone }
	case *array.Uint32:
		return func(i int) (int64, fault) { return int64(a.Value(i)), faultNone }
	case *array.Uint64:
		return func(i int) (int64, fault) {
			if v := a.Value(i); v <= math.MaxInt64 {
				return int64(v), faultNone
			}
			return 0, faultRange
		}
	case *array.Float32:
		return func(i int) (int64, fault) { return wholeOf(float64(a.Value(i))) }
	case *array.Float64:
		return func(i int) (int64, fault) { return wholeOf(a.Value(i)) }
	case *array.Decimal128:
		scale := a.DataType().(*arrow.Decimal128Type).Scale
		return func(i int) (int64, fault) {
			v, why := rescale(a.Value(i), 38, scale, 19, 0)
			if why == faultNone && v.HighBits() != int64(v.LowBits())>>63 {
				why = faultRange
			}
			return int64(v.LowBits()), why
		}
	}
	return nil
}

func wholeOf(v float64) (int64, fault) {
	switch {
	case v != math.Trunc(v): // NaN too
		return 0, faultFraction
	case v < -1<<63 || v >= 1<<63:
		return 0, faultRange
	}
	return int64(v), faultNone
}

func integers[T any](c *columnCast, from arrow.DataType, narrow func(int64) (T, fault)) func(frame, arrow.Array) arrow.ArrayData {
	switch from.ID() {
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64,
		arrow.FLOAT32, arrow.FLOAT64, arrow.DECIMAL128:
	default:
		return nil
	}
	return func(f frame, a arrow.Array) arrow.ArrayData {
		value := integerOf(a)
		return fixed(c, f, a, func(i int) (T, fault) {
			v, why := value(i)
			if why != faultNone {
				var zero T
				return zero, why
			}
			return narrow(v)
		})
	}
}

// floats converts to floats what a double holds exactly.
func floats[T any](c *columnCast, from arrow.DataType, narrow func(float64) (T, fault)) func(frame, arrow.Array) arrow.ArrayData {
	switch from.ID() {
	case arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64:
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
	default:
		return nil
	}
	return func(f frame, a arrow.Array) arrow.ArrayData {
		var value func(i int) (float64, fault)
		switch x := a.(type) {
		case *array.Float16:
			value = func(i int) (float64, fault) { return float64(x.Value(i).Float32()), faultNone }
		case *array.Float32:
			value = func(i int) (float64, fault) { return float64(x.Value(i)), faultNone }
		case *array.Float64:
			value = func(i int) (float64, fault) { return x.Value(i), faultNone }
		default:
			whole := integerOf(a)
			value = func(i int) (float64, fault) {
				v, why := whole(i)
				if d := float64(v); why == faultNone && (d >= 1<<63 || int64(d) != v) {
					return 0, faultInexact
				}
				return float64(v), why
			}
		}
		return fixed(c, f, a, func(i int) (T, fault) {
			v, why := value(i)
			if why != faultNone {
				var zero T
				return zero, why
			}
			return narrow(v)
		})
	}
}

// rescale gives v, which has the scale from, the scale to, if nothing but zeros is lost.
func rescale(v decimal128.Num, fromPrecision, from, precision, to int32) (decimal128.Num, fault) {
	if from == to || to > from && fromPrecision+to-from <= 38 {
		if to > from {
			v = v.IncreaseScaleBy(to - from)
		}
		if !v.FitsInPrecision(precision) {
			return decimal128.Num{}, faultRange
		}
		return v, faultNone
	}
	return rescaleBig(v.BigInt(), from, precision, to)
}

func rescaleBig(v *big.Int, from, precision, to int32) (decimal128.Num, fault) {
	power := func(n int32) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }
	if to >= from {
		v = new(big.Int).Mul(v, power(to-from))
	} else {
		quotient, rest := new(big.Int).QuoRem(v, power(from-to), new(big.Int))
		if rest.Sign() != 0 {
			return decimal128.Num{}, faultFraction
		}
		v = quotient
	}
	if v.CmpAbs(power(precision)) >= 0 {
		return decimal128.Num{}, faultRange
	}
	return decimal128.FromBigInt(v), faultNone
}

func decimals(c *columnCast, from arrow.DataType, t iceberg.DecimalType) func(frame, arrow.Array) arrow.ArrayData {
	precision, scale := int32(t.Precision()), int32(t.Scale())
	switch d := from.(type) {
	case *arrow.Decimal128Type:
		if d.Scale == scale && d.Precision <= precision {
			return func(f frame, a arrow.Array) arrow.ArrayData {
				// Writers do not all see to it that a decimal has no more digits than its type.
				for i, v := range a.(*array.Decimal128).Values() {
					if !v.FitsInPrecision(precision) && a.IsValid(i) {
						c.fail(f, i, faultRange, text(a, i))
					}
				}
				return c.same(f, a)
			}
		}
		return func(f frame, a arrow.Array) arrow.ArrayData {
			x := a.(*array.Decimal128)
			return fixed(c, f, a, func(i int) (decimal128.Num, fault) {
				return rescale(x.Value(i), d.Precision, d.Scale, precision, scale)
			})
		}
	case *arrow.Decimal256Type:
		return func(f frame, a arrow.Array) arrow.ArrayData {
			x := a.(*array.Decimal256)
			return fixed(c, f, a, func(i int) (decimal128.Num, fault) {
				return rescaleBig(x.Value(i).BigInt(), d.Scale, precision, scale)
			})
		}
	}
	switch from.ID() {
	case arrow.UINT64:
		return func(f frame, a arrow.Array) arrow.ArrayData {
			x := a.(*array.Uint64)
			return fixed(c, f, a, func(i int) (decimal128.Num, fault) {
				return rescale(decimal128.FromU64(x.Value(i)), 20, 0, precision, scale)
			})
		}
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32:
		return func(f frame, a arrow.Array) arrow.ArrayData {
			value := integerOf(a)
			return fixed(c, f, a, func(i int) (decimal128.Num, fault) {
				v, _ := value(i)
				return rescale(decimal128.FromI64(v), 19, 0, precision, scale)
			})
		}
	}
	return nil
}

// dates takes dates, and timestamps without a zone that are midnights, as some programs write dates.
func dates(c *columnCast, from arrow.DataType) func(frame, arrow.Array) arrow.ArrayData {
	switch t := from.(type) {
	case *arrow.Date32Type:
		return c.same
	case *arrow.TimestampType:
		if t.TimeZone != "" {
			return nil
		}
		return func(f frame, a arrow.Array) arrow.ArrayData {
			x := a.(*array.Timestamp)
			perSecond := unitsPerSecond(t.Unit)
			return fixed(c, f, a, func(i int) (int32, fault) {
				v, day := int64(x.Value(i)), perSecond*secondsPerDay
				if v%day != 0 {
					return 0, faultMidnight
				}
				if d := v / day; d == int64(int32(d)) {
					return int32(d), faultNone
				}
				return 0, faultRange
			})
		}
	}
	return nil
}

func times(c *columnCast, from arrow.DataType) func(frame, arrow.Array) arrow.ArrayData {
	switch t := from.(type) {
	case *arrow.Time32Type:
		return func(f frame, a arrow.Array) arrow.ArrayData {
			x := a.(*array.Time32)
			scale := 1_000_000 / unitsPerSecond(t.Unit)
			return fixed(c, f, a, func(i int) (int64, fault) { return int64(x.Value(i)) * scale, faultNone })
		}
	case *arrow.Time64Type:
		if t.Unit == arrow.Microsecond {
			return c.same
		}
		return func(f frame, a arrow.Array) arrow.ArrayData {
			x := a.(*array.Time64)
			return fixed(c, f, a, func(i int) (int64, fault) {
				if v := int64(x.Value(i)); v%micros == 0 {
					return v / micros, faultNone
				}
				return 0, faultFine
			})
		}
	}
	return nil
}

func unitsPerSecond(u arrow.TimeUnit) int64 {
	switch u {
	case arrow.Second:
		return 1
	case arrow.Millisecond:
		return 1_000
	case arrow.Microsecond:
		return 1_000_000
	}
	return 1_000_000_000
}

// timestamps takes timestamps of any unit, and dates as their midnights. Between one with a zone and
// one without, the wall clock of p.zone translates.
func (p *castPlanner) timestamps(c *columnCast, from arrow.DataType, unit int64, zoned bool) func(frame, arrow.Array) arrow.ArrayData {
	perSecond, fromZoned := int64(0), false
	switch t := from.(type) {
	case *arrow.TimestampType:
		perSecond, fromZoned = unitsPerSecond(t.Unit), t.TimeZone != ""
	case *arrow.Date32Type:
	default:
		return nil
	}
	shift := func(sec int64) (int64, fault) { return sec, faultNone }
	if fromZoned != zoned && p.zone != nil && p.zone != time.UTC {
		if zoned {
			z := &instants{unit: unit, zoned: true, zone: p.zone}
			shift = z.instant
		} else {
			shift = func(sec int64) (int64, fault) {
				_, offset := time.Unix(sec, 0).In(p.zone).Zone()
				return sec + int64(offset), faultNone
			}
		}
	} else if perSecond == 1_000_000_000/unit {
		return c.same
	}
	to := 1_000_000_000 / unit // units of the result in a second
	most := math.MaxInt64/to - 1
	return func(f frame, a arrow.Array) arrow.ArrayData {
		moment := func(i int) (sec, nano int64) {
			switch x := a.(type) {
			case *array.Timestamp:
				v := int64(x.Value(i))
				sec = v / perSecond
				if v%perSecond < 0 {
					sec--
				}
				return sec, (v - sec*perSecond) * (1_000_000_000 / perSecond)
			case *array.Date32:
				return int64(x.Value(i)) * secondsPerDay, 0
			}
			return 0, 0
		}
		return fixed(c, f, a, func(i int) (int64, fault) {
			if a.IsNull(i) {
				return 0, faultNone
			}
			sec, nano := moment(i)
			if nano%unit != 0 {
				return 0, faultFine
			}
			sec, why := shift(sec)
			if why == faultNone && (sec > most || sec < -most) {
				why = faultRange
			}
			return sec*to + nano/unit, why
		})
	}
}

// instant is the instant at which the wall clock of the zone shows sec.
func (z *instants) instant(sec int64) (int64, fault) {
	if sec < z.from || sec >= z.to {
		if f := z.lookup(sec); f != faultNone {
			return 0, f
		}
	}
	return sec - z.offset, faultNone
}

// texts takes byte arrays as texts, once they are known to be UTF-8: Parquet promises it and writers
// break it, and not every writer says that its texts are texts.
func (c *columnCast) texts(f frame, a arrow.Array) arrow.ArrayData {
	var bytes []byte
	var offsets []int32
	switch x := a.(type) {
	case *array.String:
		bytes, offsets = x.ValueBytes(), x.ValueOffsets()
	case *array.Binary:
		bytes, offsets = x.ValueBytes(), x.ValueOffsets()
	}
	if len(offsets) > 0 {
		base := offsets[0]
		whole := utf8.Valid(bytes)
		for i := range a.Len() {
			from, to := offsets[i]-base, offsets[i+1]-base
			// Where all of it is valid, only a cut within a character can do harm.
			ok := whole && (from == to || utf8.RuneStart(bytes[from]) && (int(to) == len(bytes) || utf8.RuneStart(bytes[to])))
			if !ok && a.IsValid(i) && !utf8.Valid(bytes[from:to]) {
				c.fail(f, i, faultUTF8, string(bytes[from:to]))
			}
		}
	}
	return c.same(f, a)
}

// widened makes byte arrays of values of a fixed width.
func (c *columnCast) widened(f frame, a arrow.Array) arrow.ArrayData {
	if ext, ok := a.(array.ExtensionArray); ok {
		a = ext.Storage()
	}
	x := a.(*array.FixedSizeBinary)
	b := array.NewBinaryBuilder(f.run.alloc, arrow.BinaryTypes.Binary)
	defer b.Release()
	for i := range x.Len() {
		if x.IsNull(i) {
			b.AppendNull()
		} else {
			b.Append(x.Value(i))
		}
	}
	out := b.NewArray()
	defer out.Release()
	return c.same(f, out)
}
