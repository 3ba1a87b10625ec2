// Package variant encodes and decodes Iceberg's semi-structured values, which Parquet calls variants.
//
// A variant is two byte strings: metadata, a dictionary of the keys of its objects, and a value that
// refers to it. Many pairs of byte strings mean the same. This package knows one of them as canonical: the
// dictionary holds the keys that occur, sorted; members lie in the order of their keys; every number is as
// short as it can be. So equal values have equal bytes, and a hash of the bytes is one of the value.
//
// A Builder makes canonical variants of a walk over a value. Walk goes over any variant, canonical or not,
// and checks it on the way: what strangers wrote is an error that wraps ErrCorrupt, never a panic. Variants
// that Parquet keeps shredded over several columns are put together before they come here.
// Source: github.com/apache/parquet-format/blob/master/VariantEncoding.md.
package variant

import "errors"

// ErrCorrupt says that bytes are no variant.
var ErrCorrupt = errors.New("corrupt variant")

// The bounds of variants that are built: readers have bounds of their own, and these are within them.
const (
	// MaxDepth is how deep arrays and objects may be nested.
	MaxDepth = 128
	// MaxBytes bounds metadata and value alike. Spark 4.0 reads no larger ones.
	MaxBytes = 16 << 20
)

// The basic type, in the two lowest bits of a value's first byte.
const (
	basicPrimitive   = 0
	basicShortString = 1
	basicObject      = 2
	basicArray       = 3
)

// The types of primitives, in the other bits.
const (
	primitiveNull = iota
	primitiveTrue
	primitiveFalse
	primitiveInt8
	primitiveInt16
	primitiveInt32
	primitiveInt64
	primitiveDouble
	primitiveDecimal4
	primitiveDecimal8
	primitiveDecimal16
	primitiveDate
	primitiveTimestampTz
	primitiveTimestamp
	primitiveFloat
	primitiveBinary
	primitiveString
	primitiveTime
	primitiveTimestampTzNanos
	primitiveTimestampNanos
	primitiveUUID
	primitives
)

// primitiveSize is the bytes of a primitive after the first; -1 where a length comes first.
var primitiveSize = [primitives]int{
	primitiveInt8: 1, primitiveInt16: 2, primitiveInt32: 4, primitiveInt64: 8, primitiveDouble: 8,
	primitiveDecimal4: 5, primitiveDecimal8: 9, primitiveDecimal16: 17,
	primitiveDate: 4, primitiveTimestampTz: 8, primitiveTimestamp: 8, primitiveFloat: 4,
	primitiveBinary: -1, primitiveString: -1, primitiveTime: 8,
	primitiveTimestampTzNanos: 8, primitiveTimestampNanos: 8, primitiveUUID: 16,
}

const maxShortString = 63

// IsNull says whether a value is the null that JSON knows.
func IsNull(value []byte) bool {
	return len(value) > 0 && value[0] == primitiveNull<<2
}

// widthOf is the fewest bytes that hold n.
func widthOf(n int) int {
	switch {
	case n < 1<<8:
		return 1
	case n < 1<<16:
		return 2
	case n < 1<<24:
		return 3
	}
	return 4
}

func appendUint(dst []byte, n, width int) []byte {
	for range width {
		dst = append(dst, byte(n))
		n >>= 8
	}
	return dst
}

// readUint reads a little-endian number of up to 4 bytes.
func readUint(b []byte) int {
	n := 0
	for i, c := range b {
		n |= int(c) << (8 * i)
	}
	return n
}
