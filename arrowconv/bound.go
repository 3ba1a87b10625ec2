package arrowconv

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// maxUnit bounds what has to be unpacked in one piece, a page of Parquet or a block of Avro. Writers make
// them of a few KiB to a few MiB, some of 100 MB; a few KiB of a file can ask for any number of bytes.
func (o Options) maxUnit() int64 { return max(256<<20, 4*int64(o.MaxRowBytes)) }

// longValue tells whether a text or binary value of a, or of what is nested in it, has more than limit
// bytes. It looks at single values only where all of them together have more.
func longValue(a arrow.Array, limit int) bool {
	switch a := a.(type) {
	case array.BinaryLike: // not views
		return len(a.ValueBytes()) > limit && longest(a, limit, a.ValueLen)
	case array.ViewLike:
		for _, b := range a.Data().Buffers()[2:] {
			if b != nil && b.Len() > limit {
				return longest(a, limit, func(i int) int { return a.ValueHeader(i).Len() })
			}
		}
	case *array.Dictionary:
		return longValue(a.Dictionary(), limit)
	case array.ExtensionArray:
		return longValue(a.Storage(), limit)
	case *array.Struct:
		for i := range a.NumField() {
			if longValue(a.Field(i), limit) {
				return true
			}
		}
	case array.ListLike:
		return longValue(a.ListValues(), limit)
	}
	return false
}

func longest(a arrow.Array, limit int, bytes func(i int) int) bool {
	for i := range a.Len() {
		if a.IsValid(i) && bytes(i) > limit {
			return true
		}
	}
	return false
}
