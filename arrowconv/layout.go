package arrowconv

import (
	"context"
	"fmt"
	"math"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Arrow has several layouts for the same values: dictionaries, runs, views, long offsets, narrow
// decimals. Casts know one of each, the plain one.

// plainType is the plain layout of t's values, one level deep: elements and fields keep theirs.
func plainType(t arrow.DataType) arrow.DataType {
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return plainType(t.ValueType)
	case *arrow.RunEndEncodedType:
		return plainType(t.Encoded())
	case *arrow.StringViewType, *arrow.LargeStringType:
		return arrow.BinaryTypes.String
	case *arrow.BinaryViewType, *arrow.LargeBinaryType:
		return arrow.BinaryTypes.Binary
	case *arrow.LargeListType:
		return arrow.ListOfField(t.ElemField())
	case *arrow.ListViewType:
		return arrow.ListOfField(t.ElemField())
	case *arrow.LargeListViewType:
		return arrow.ListOfField(t.ElemField())
	case *arrow.FixedSizeListType:
		return arrow.ListOfField(t.ElemField())
	case *arrow.Decimal32Type:
		return &arrow.Decimal128Type{Precision: t.Precision, Scale: t.Scale}
	case *arrow.Decimal64Type:
		return &arrow.Decimal128Type{Precision: t.Precision, Scale: t.Scale}
	case *arrow.Date64Type:
		return &arrow.TimestampType{Unit: arrow.Millisecond}
	case arrow.ExtensionType:
		switch {
		case t.ExtensionName() == "arrow.bool8":
			return arrow.FixedWidthTypes.Boolean
		case extensions.IsVariantExtensionName(t.ExtensionName()):
			return t
		}
		return plainType(t.StorageType())
	}
	return t
}

// plain gives the values of a in their plain layout; the array is the caller's. It panics where they
// do not fit in one array, which takes 2 GiB of texts in the rows of one batch.
func plain(a arrow.Array, alloc memory.Allocator) arrow.Array {
	switch x := a.(type) {
	case *array.Dictionary:
		values := plain(x.Dictionary(), alloc)
		defer values.Release()
		return taken(values, x.Indices(), alloc)
	case *array.RunEndEncoded:
		values := plain(x.Values(), alloc)
		defer values.Release()
		runs := runsOf(x, alloc)
		defer runs.Release()
		return taken(values, runs, alloc)
	case array.ExtensionArray:
		storage := plain(x.Storage(), alloc)
		if plainType(a.DataType()).ID() != arrow.BOOL {
			if _, variant := plainType(a.DataType()).(arrow.ExtensionType); variant {
				storage.Release()
				break
			}
			return storage
		}
		defer storage.Release()
		bytes := storage.(*array.Int8)
		b := array.NewBooleanBuilder(alloc)
		defer b.Release()
		for i := range bytes.Len() {
			b.Append(bytes.Value(i) != 0)
		}
		out := b.NewArray()
		defer out.Release()
		return like(a, arrow.FixedWidthTypes.Boolean, out.Data().Buffers()[1:], nil, alloc)
	case *array.StringView:
		return gathered(a, plainType(a.DataType()), func(i int) string { return x.Value(i) }, alloc)
	case *array.BinaryView:
		return gathered(a, plainType(a.DataType()), func(i int) string { return string(x.Value(i)) }, alloc)
	case *array.LargeString:
		return shortened(a, x.ValueOffsets(), alloc)
	case *array.LargeBinary:
		return shortened(a, x.ValueOffsets(), alloc)
	case *array.LargeList:
		return relisted(a, x, alloc)
	case *array.FixedSizeList:
		return relisted(a, x, alloc)
	case *array.List:
		if hides(a, x) {
			return unviewed(a, x, alloc)
		}
	case *array.Map:
		if hides(a, x) {
			return unviewed(a, x, alloc)
		}
	case *array.ListView:
		return unviewed(a, x, alloc)
	case *array.LargeListView:
		return unviewed(a, x, alloc)
	case *array.Decimal32:
		return mapped(a, func(i int) decimal128.Num { return decimal128.FromI64(int64(x.Value(i))) }, alloc)
	case *array.Decimal64:
		return mapped(a, func(i int) decimal128.Num { return decimal128.FromI64(int64(x.Value(i))) }, alloc)
	case *array.Date64:
		data := a.Data()
		out := array.NewData(plainType(a.DataType()), data.Len(), data.Buffers(), nil, data.NullN(), data.Offset())
		defer out.Release()
		return array.MakeFromData(out)
	}
	a.Retain()
	return a
}

// like makes an array as long and as valid as a, of buffers and children that stay the caller's.
func like(a arrow.Array, t arrow.DataType, buffers []*memory.Buffer, children []arrow.ArrayData, alloc memory.Allocator) arrow.Array {
	valid, nulls := validity(a, alloc), 0
	if valid != nil {
		nulls = a.NullN()
	}
	data := array.NewData(t, a.Len(), append([]*memory.Buffer{valid}, buffers...), children, nulls, 0)
	defer data.Release()
	if valid != nil {
		valid.Release()
	}
	return array.MakeFromData(data)
}

// taken gives the values at indices; a null index is a null.
func taken(values, indices arrow.Array, alloc memory.Allocator) arrow.Array {
	out, err := compute.TakeArray(compute.WithAllocator(context.Background(), alloc), values, indices)
	if err != nil {
		panic(err)
	}
	return out
}

// runsOf is the index of its run for each value of a.
func runsOf(a *array.RunEndEncoded, alloc memory.Allocator) arrow.Array {
	b := array.NewInt32Builder(alloc)
	defer b.Release()
	b.Reserve(a.Len())
	ends := integerOf(a.RunEndsArr())
	run := 0
	for i := range a.Len() {
		for {
			if end, _ := ends(run); end > int64(a.Data().Offset()+i) {
				break
			}
			run++
		}
		b.UnsafeAppend(int32(run))
	}
	return b.NewArray()
}

func mapped[T any](a arrow.Array, value func(int) T, alloc memory.Allocator) arrow.Array {
	buffer, out := newBuffer[T](a.Len(), alloc)
	defer buffer.Release()
	for i := range out {
		out[i] = value(i)
	}
	return like(a, plainType(a.DataType()), []*memory.Buffer{buffer}, nil, alloc)
}

// gathered lays texts that lie anywhere end to end.
func gathered(a arrow.Array, t arrow.DataType, value func(int) string, alloc memory.Allocator) arrow.Array {
	buffer, offsets := newBuffer[int32](a.Len()+1, alloc)
	defer buffer.Release()
	total := int64(0)
	for i := range a.Len() {
		offsets[i] = offset32(total)
		if a.IsValid(i) {
			total += int64(len(value(i)))
		}
	}
	offsets[a.Len()] = offset32(total)
	texts, to := newBuffer[byte](int(total), alloc)
	defer texts.Release()
	for i := range a.Len() {
		if a.IsValid(i) {
			copy(to[offsets[i]:], value(i))
		}
	}
	return like(a, t, []*memory.Buffer{buffer, texts}, nil, alloc)
}

// shortened gives texts with long offsets short ones.
func shortened(a arrow.Array, long []int64, alloc memory.Allocator) arrow.Array {
	buffer, offsets := newBuffer[int32](a.Len()+1, alloc)
	defer buffer.Release()
	base := int64(0)
	if len(long) > 0 {
		base = long[0]
	}
	for i := range offsets {
		if i < len(long) {
			offsets[i] = offset32(long[i] - base)
		} else {
			offsets[i] = 0 // an empty array may come without offsets
		}
	}
	var texts *memory.Buffer
	if all := a.Data().Buffers()[2]; all != nil {
		texts = memory.SliceBuffer(all, int(base), int(offsets[a.Len()]))
		defer texts.Release()
	}
	return like(a, plainType(a.DataType()), []*memory.Buffer{buffer, texts}, nil, alloc)
}

// hides says whether a list that is null has elements all the same, which nobody may see.
func hides(a arrow.Array, l array.ListLike) bool {
	if a.NullN() == 0 {
		return false
	}
	for i := range a.Len() {
		if from, to := l.ValueOffsets(i); from != to && a.IsNull(i) {
			return true
		}
	}
	return false
}

// relisted gives lists whose elements lie end to end short offsets.
func relisted(a arrow.Array, l array.ListLike, alloc memory.Allocator) arrow.Array {
	if hides(a, l) {
		return unviewed(a, l, alloc)
	}
	n := a.Len()
	buffer, offsets := newBuffer[int32](n+1, alloc)
	defer buffer.Release()
	offsets[0] = 0
	var base, end int64
	for i := range n {
		var from int64
		if from, end = l.ValueOffsets(i); i == 0 {
			base = from
		}
		offsets[i] = offset32(from - base)
	}
	offsets[n] = offset32(end - base)
	span := array.NewSlice(l.ListValues(), base, end)
	defer span.Release()
	return like(a, plainType(a.DataType()), []*memory.Buffer{buffer}, []arrow.ArrayData{span.Data()}, alloc)
}

// unviewed lays the elements of lists that lie anywhere end to end.
func unviewed(a arrow.Array, l array.ListLike, alloc memory.Allocator) arrow.Array {
	n := a.Len()
	buffer, offsets := newBuffer[int32](n+1, alloc)
	defer buffer.Release()
	places := array.NewInt64Builder(alloc)
	defer places.Release()
	for i := range n {
		offsets[i] = offset32(int64(places.Len()))
		if a.IsNull(i) {
			continue
		}
		from, to := l.ValueOffsets(i)
		for at := from; at < to; at++ {
			places.Append(at)
		}
	}
	offsets[n] = offset32(int64(places.Len()))
	indices := places.NewArray()
	defer indices.Release()
	values := gatheredAny(l.ListValues(), indices, alloc)
	defer values.Release()
	return like(a, plainType(a.DataType()), []*memory.Buffer{buffer}, []arrow.ArrayData{values.Data()}, alloc)
}

// gatheredAny is taken for values of any layout, which they keep: not every one has a kernel.
func gatheredAny(values, indices arrow.Array, alloc memory.Allocator) arrow.Array {
	if indices.Len() == 0 {
		return array.NewSlice(values, 0, 0)
	}
	at := indices.(*array.Int64)
	var parts []arrow.Array
	defer func() {
		for _, p := range parts {
			p.Release()
		}
	}()
	for i := 0; i < at.Len(); { // runs of neighbours
		from := at.Value(i)
		to := from
		for ; i < at.Len() && at.Value(i) == to; i++ {
			to++
		}
		parts = append(parts, array.NewSlice(values, from, to))
	}
	out, err := array.Concatenate(parts, alloc)
	if err != nil {
		panic(err)
	}
	return out
}

func newBuffer[T any](n int, alloc memory.Allocator) (*memory.Buffer, []T) {
	b := memory.NewResizableBuffer(alloc)
	var zero T
	b.Resize(n * int(unsafe.Sizeof(zero)))
	return b, unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b.Bytes()))), n)
}

func offset32(n int64) int32 {
	if n < 0 || n > math.MaxInt32 {
		panic(fmt.Errorf("more than 2 GiB of one column in one batch of rows"))
	}
	return int32(n)
}
