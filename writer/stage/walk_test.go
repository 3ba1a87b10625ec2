package stage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/arrowconv"
)

// slot is what a reader of Parquet is told of one slot.
type slot struct {
	Def, Rep uint8
	At       int32 // -1 where there is no value
}

// shred goes down from one value of n, at place at of arr, as one would by hand. missing says that something above is null.
func shred(n *node, arr arrow.Array, at int, def, rep, depth uint8, missing bool, out map[*leaf][]slot) {
	if n.optional && !missing {
		if arr.IsNull(at) {
			missing = true
		} else {
			def++
		}
	}
	switch n.shape {
	case shapeStruct:
		for i, kid := range n.kids {
			var below arrow.Array
			if !missing {
				below = arr.(*array.Struct).Field(n.kidAt[i])
			}
			shred(kid, below, at, def, rep, depth, missing, out)
		}
	case shapeList:
		list, _ := arr.(*array.List)
		from, to := int64(0), int64(0)
		if !missing {
			from, to = list.ValueOffsets(at)
		}
		if from == to {
			shred(n.kids[0], nil, 0, def, rep, depth+1, true, out)
		}
		for e := from; e < to; e++ {
			shred(n.kids[0], list.ListValues(), int(e), def+1, rep, depth+1, false, out)
			rep = depth + 1
		}
	case shapeLeaf:
		if missing {
			at = -1
		}
		out[n.leaf] = append(out[n.leaf], slot{def, rep, int32(at)})
	}
}

// Columns of every nesting, with nulls where they may be, have the levels that shredding row by row gives them, by
// whatever pieces they came.
func TestLevelsAgreeWithShredding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := drawNested(t, 3, new(int))
		schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1000, Name: "c", Type: typ, Required: rapid.Bool().Draw(t, "required")})
		_, nodes, leaves, err := parquetSchema(schema)
		if err != nil {
			t.Fatal(err)
		}
		as, err := arrowconv.ArrowSchema(schema)
		if err != nil {
			t.Fatal(err)
		}
		rows := rapid.SampledFrom([]int{1, 7, 8, 9, 63, 64, 65, 130, 300}).Draw(t, "rows")
		b := array.NewBuilder(memory.DefaultAllocator, as.Field(0).Type)
		defer b.Release()
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		nulls := rapid.SampledFrom([]int{0, 2, 20}).Draw(t, "nulls")
		for range rows {
			appendNested(b, nodes[0], rng, nulls)
		}
		arr := b.NewArray()
		defer arr.Release()

		l, err := newLayout(as.Field(0).Type)
		if err != nil {
			t.Fatal(err)
		}
		c := newColumn(l)
		for from := 0; from < rows; {
			n := min(1+rng.IntN(100), rows-from)
			c.appendRange(arr.Data(), from, n)
			from += n
		}

		want, got := map[*leaf][]slot{}, map[*leaf][]slot{}
		for i := range rows {
			shred(nodes[0], arr, i, 0, 0, 0, false, want)
		}
		e := &encoder{}
		err = e.walker.rows(nodes[0], &c, rows, func(l *leaf, c *column, s slots) error {
			lv := e.levels(c, s)
			taken := 0
			for i := range lv.n {
				at, rep := int32(-1), uint8(0)
				if lv.rep != nil {
					rep = lv.rep[i]
				}
				if lv.presentIn(l, i, i+1) == 1 {
					if at = int32(taken); lv.pos != nil {
						at = lv.pos[taken]
					}
					taken++
				}
				got[l] = append(got[l], slot{lv.def[i], rep, at})
			}
			if taken != lv.present(c) {
				return fmt.Errorf("%s: %d of %d values were met", l.path, taken, lv.present(c))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range leaves {
			if diff := cmp.Diff(want[l], got[l]); diff != "" {
				t.Fatalf("%s of %s (-shredded +walked):\n%s", l.path, schema, diff)
			}
		}
	})
}

func drawNested(t *rapid.T, depth int, ids *int) iceberg.Type {
	*ids++
	id := *ids
	optional := func() bool { return rapid.Bool().Draw(t, "optional") }
	kinds := []string{"long", "string", "struct", "list"}
	if depth == 0 {
		kinds = kinds[:2]
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "long":
		return iceberg.PrimitiveTypes.Int64
	case "string":
		return iceberg.PrimitiveTypes.String
	case "list":
		return &iceberg.ListType{ElementID: id, Element: drawNested(t, depth-1, ids), ElementRequired: !optional()}
	}
	s := &iceberg.StructType{}
	for i := range rapid.IntRange(1, 3).Draw(t, "fields") {
		*ids++
		id := *ids
		s.FieldList = append(s.FieldList, iceberg.NestedField{ID: id, Name: fmt.Sprint("f", i), Type: drawNested(t, depth-1, ids), Required: !optional()})
	}
	return s
}

// appendNested appends a value, null one time in nulls where it may be.
func appendNested(b array.Builder, n *node, rng *rand.Rand, nulls int) {
	if n.optional && nulls > 0 && rng.IntN(nulls) == 0 {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.StructBuilder:
		b.Append(true)
		for i, kid := range n.kids {
			appendNested(b.FieldBuilder(n.kidAt[i]), kid, rng, nulls)
		}
	case *array.ListBuilder:
		b.Append(true)
		for range rng.IntN(4) {
			appendNested(b.ValueBuilder(), n.kids[0], rng, nulls)
		}
	case *array.Int64Builder:
		b.Append(rng.Int64())
	case *array.StringBuilder:
		b.Append(fmt.Sprint(rng.IntN(1000)))
	case *array.BooleanBuilder:
		b.Append(rng.IntN(2) == 0)
	case *array.Decimal128Builder:
		b.Append(decimal128.FromI64(rng.Int64N(2e9) - 1e9))
	case *extensions.UUIDBuilder:
		b.Append(uuid.UUID(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, rng.Uint64()), rng.Uint64())))
	default:
		panic(fmt.Sprintf("no builder %T", b))
	}
}

// Levels are packed and run together just as the codes of a dictionary are.
func TestLevelsArePackedAsCodesAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(1, 8).Draw(t, "width")
		var vals []uint8
		for range rapid.IntRange(0, 12).Draw(t, "runs") {
			v := uint8(rapid.IntRange(0, 1<<width-1).Draw(t, "level"))
			vals = append(vals, bytes.Repeat([]byte{v}, rapid.IntRange(1, 40).Draw(t, "length"))...)
		}
		wide := make([]int32, len(vals))
		for i, v := range vals {
			wide[i] = int32(v)
		}
		begin := []byte("before")
		if got, want := appendLevels(slices.Clone(begin), vals, width), appendHybrid(slices.Clone(begin), wide, width); !bytes.Equal(got, want) {
			t.Fatalf("%d of width %d:\n%x, want\n%x", vals, width, got, want)
		}
	})
}
