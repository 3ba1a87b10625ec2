package slice

import (
	"encoding/binary"
	"math"
	"math/big"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/twmb/murmur3"
)

// resultLine is the line that the values of a transform of src lie on: ordinals count years,
// months, days or hours from 1970-01-01 00:00 UTC. ok is false for a transform that tells
// nothing about a row (void, and those we do not know).
func resultLine(t iceberg.Transform, src iceberg.Type) (line, bool) {
	if !t.CanTransform(src) {
		return line{}, false
	}
	switch t := t.(type) {
	case iceberg.IdentityTransform:
		return lineOf(src)
	case iceberg.TruncateTransform:
		l, ok := lineOf(src)
		if l.kind == kindDecimal { // truncation goes down, maybe by one digit more
			l.least, l.greatest = encodeDecimal(decimal128.New(math.MinInt64, 0)), encodeDecimal(decimal128.New(math.MaxInt64, math.MaxUint64))
		}
		return l, ok
	case iceberg.BucketTransform:
		return line{kindInt, iceberg.PrimitiveTypes.Int32, encodeInt(0), encodeInt(int64(t.NumBuckets) - 1)}, true
	case iceberg.YearTransform, iceberg.MonthTransform, iceberg.DayTransform, iceberg.HourTransform:
		return line{kindInt, iceberg.PrimitiveTypes.Int32, encodeInt(math.MinInt32), encodeInt(math.MaxInt32)}, true
	}
	return line{}, false
}

// preimage maps a set of values of an order-preserving transform to the set of those source
// values that it sends there. Since f is monotone, it is enough to map the ends: f(x) >= e
// exactly when x >= ceil(e). ok is false for the other transforms.
func preimage(t iceberg.Transform, src iceberg.Type, s set) (set, bool) {
	from, ok := lineOf(src)
	if !ok || !t.CanTransform(src) {
		return nil, false
	}
	var ceil func(string) (string, bool)
	switch t := t.(type) {
	case iceberg.IdentityTransform:
		return s, true
	case iceberg.TruncateTransform:
		ceil = func(e string) (string, bool) { return truncateCeil(from, t.Width, e) }
	case iceberg.YearTransform, iceberg.MonthTransform, iceberg.DayTransform, iceberg.HourTransform:
		ceil = func(e string) (string, bool) {
			v, where := ordinalStart(t, from.kind, decodeInt(e))
			if where < 0 {
				return from.least, true
			}
			return encodeInt(v), where == 0
		}
	default:
		return nil, false
	}
	var spans []span
	for _, p := range s {
		lo, hi := everything, everything
		if p.lo != "" {
			if e, ok := ceil(p.lo); ok {
				lo = from.from(e)
			} else {
				lo = nil
			}
		}
		if !p.unbounded {
			if e, ok := ceil(p.hi); ok {
				hi = from.below(e)
			}
		}
		spans = append(spans, lo.intersect(hi)...)
	}
	return unite(spans...), true
}

// truncateCeil is the least value whose truncation is at least e; ok is false without one.
func truncateCeil(l line, width int, e string) (string, bool) {
	switch l.kind {
	case kindInt:
		v, w := decodeInt(e), int64(width)
		if over := ((v % w) + w) % w; over != 0 {
			if v > math.MaxInt64-(w-over) {
				return "", false
			}
			v += w - over
		}
		e = encodeInt(v)
	case kindDecimal:
		v, w := decodeDecimal(e).BigInt(), big.NewInt(int64(width))
		if over := new(big.Int).Mod(v, w); over.Sign() != 0 {
			v.Add(v, w.Sub(w, over))
		}
		if v.BitLen() > 127 {
			return "", false
		}
		e = encodeDecimal(decimal128.FromBigInt(v))
	default:
		// A truncated value is at least e, which is longer than truncated values get, exactly when
		// it is above e's own truncation, and then so is the value itself.
		if head := truncated(l, e, width); len(head) < len(e) {
			return l.afterPrefix(head)
		}
		return e, true
	}
	return e, e <= l.greatest
}

func truncated(l line, v string, width int) string {
	if l.kind != kindString {
		return v[:min(len(v), width)]
	}
	for i := range v {
		if width == 0 {
			return v[:i]
		}
		width--
	}
	return v
}

// ordinalStart is the first date, or microsecond or nanosecond, of an ordinal of a time
// transform; where is -1 or 1 when that lies before or after all values of the kind.
func ordinalStart(t iceberg.Transform, k kind, ordinal int64) (start int64, where int) {
	seconds := ordinal * 3600
	switch t.(type) {
	case iceberg.YearTransform:
		seconds = yearMonth(ordinal * 12)
	case iceberg.MonthTransform:
		seconds = yearMonth(ordinal)
	case iceberg.DayTransform:
		seconds = ordinal * 86400
	}
	unit := int64(1)
	switch k {
	case kindDate:
		if days := seconds / 86400; days < math.MinInt32 {
			return 0, -1
		} else if days > math.MaxInt32 {
			return 0, 1
		} else {
			return days, 0
		}
	case kindMicros:
		unit = 1e6
	case kindNanos:
		unit = 1e9
	}
	switch {
	case seconds < math.MinInt64/unit:
		return 0, -1
	case seconds > math.MaxInt64/unit:
		return 0, 1
	}
	return seconds * unit, 0
}

// yearMonth is the first second of a month counted from January 1970.
func yearMonth(months int64) int64 {
	year, month := months/12, months%12
	if month < 0 {
		year, month = year-1, month+12
	}
	return time.Date(int(1970+year), time.Month(1+month), 1, 0, 0, 0, 0, time.UTC).Unix()
}

// bucketHash is Iceberg's bucket hash of an encoded value.
// Source: iceberg.apache.org/spec/#appendix-b-32-bit-hash-requirements.
func bucketHash(l line, e string) uint32 {
	switch l.kind {
	case kindDecimal:
		return hashDecimal(decodeDecimal(e))
	case kindString, kindBinary, kindFixed, kindUUID:
		return murmur3.StringSum32(e)
	case kindNanos:
		return hashNanos(decodeInt(e))
	}
	return hashInt(decodeInt(e))
}

func hashInt(v int64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(v))
	return murmur3.Sum32(b[:])
}

// hashNanos hashes as the column of microseconds that it may once have been.
func hashNanos(v int64) uint32 {
	micros := v / 1000
	if v%1000 < 0 {
		micros--
	}
	return hashInt(micros)
}

// hashDecimal hashes the shortest big-endian two's complement of the unscaled value.
func hashDecimal(v decimal128.Num) uint32 {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(v.HighBits()))
	binary.BigEndian.PutUint64(b[8:], v.LowBits())
	i := 0
	for i < 15 && (b[i] == 0 && b[i+1] < 0x80 || b[i] == 0xff && b[i+1] >= 0x80) {
		i++
	}
	return murmur3.Sum32(b[i:])
}

func bucketOf(hash uint32, buckets int) int64 {
	return int64(int32(hash&math.MaxInt32) % int32(buckets))
}
