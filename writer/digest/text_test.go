package digest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"
)

// hashesLikeXXH3 says by what texts, of which i is null where null(i), have other hashes from h than from package xxh3.
func hashesLikeXXH3(t fataler, h *Hasher, texts []string, null func(i int) bool, from int) {
	t.Helper()
	b := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
	for i, text := range texts {
		if null(i) {
			b.AppendNull()
		} else {
			b.Append([]byte(text))
		}
	}
	part := array.NewSlice(b.NewArray(), int64(from), int64(len(texts)))
	hi, lo := make([]uint64, part.Len()), make([]uint64, part.Len())
	h.column(7, part, hi, lo)
	for i, text := range texts[from:] {
		var want xxh3.Uint128
		if !null(from + i) {
			want = xxh3.HashString128Seed(text, newSeed(7).d)
		}
		if hi[i] != want.Hi || lo[i] != want.Lo {
			t.Fatal(fmt.Sprintf("%q, value %d of %d, has hash %x %x, want %x", text, i, len(hi), hi[i], lo[i], want))
		}
	}
}

func textHasher(t fataler) *Hasher {
	t.Helper()
	h, err := NewHasher(iceberg.NewSchema(0, iceberg.NestedField{ID: 7, Name: "v", Type: iceberg.PrimitiveTypes.Binary}))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Texts that come again are looked up by their bytes and their length: zeros, and bytes that could be a length,
// could make one pass for another.
func TestTextsOfZerosHaveTheHashOfXXH3(t *testing.T) {
	var texts []string
	for zeros := range 34 {
		for end := range 28 {
			text := strings.Repeat("\x00", zeros)
			texts = append(texts, text, text+string([]byte{byte(end)}), "a"+text+string([]byte{byte(end)}))
		}
	}
	none := func(int) bool { return false }
	hashesLikeXXH3(t, textHasher(t), texts, none, 0)
	slices.Reverse(texts)
	hashesLikeXXH3(t, textHasher(t), texts, none, 0)
	tired := textHasher(t)
	tired.seeds[7].memo.rest = len(texts) // hashes them all
	hashesLikeXXH3(t, tired, texts, none, 0)
}

func TestTextsHaveTheHashOfXXH3(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := textHasher(t)
		h.seeds[7].memo.rest = rapid.SampledFrom([]int{0, 100, 10000}).Draw(t, "rest")
		for range rapid.IntRange(1, 3).Draw(t, "batches") { // of one Hasher, which learns
			known := rapid.SliceOfN(rapid.StringN(0, -1, 300), 1, 12).Draw(t, "texts")
			picks := rapid.SliceOfN(rapid.IntRange(-1, len(known)-1), 1, 200).Draw(t, "picks") // -1 is a null
			texts := make([]string, len(picks))
			for i, k := range picks {
				texts[i] = known[max(k, 0)]
			}
			from := rapid.IntRange(0, len(picks)-1).Draw(t, "from")
			hashesLikeXXH3(t, h, texts, func(i int) bool { return picks[i] < 0 }, from)
		}
	})
}

// Each length has a formula, and each formula takes in the seed.
func FuzzTextsHaveTheHashOfXXH3(f *testing.F) {
	for n := range 80 {
		f.Add([]byte(strings.Repeat("icewright", 9))[:n], uint64(n)*0x9e3779b97f4a7c15)
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64) {
		s := newTextSeed(seed)
		var hi, lo [1]uint64
		eachText(&s, []int64{0, int64(len(text))}, 0, text, hi[:], lo[:])
		if want := xxh3.Hash128Seed(text, seed); hi[0] != want.Hi || lo[0] != want.Lo {
			t.Fatalf("%q with seed %x has hash %x %x, want %x", text, seed, hi[0], lo[0], want)
		}
	})
}
