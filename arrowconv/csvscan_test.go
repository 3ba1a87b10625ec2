package arrowconv

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// fieldEndsByByte is fieldEnds, a byte at a time.
func fieldEndsByByte(d dialect, b []byte, from, to int, quotes bool) (pos []uint32) {
	in := false
	for i := from; i < to; i++ {
		switch c := b[i]; {
		case quotes && c == d.quote:
			in = !in
		case !in && (c == d.delim || c == '\n'):
			pos = append(pos, uint32(i))
		}
	}
	return pos
}

// TestFieldEnds: blocks of 64 bytes, in Go and in the machine's own instructions, find what single bytes do.
func TestFieldEnds(t *testing.T) {
	was := marksBlocks
	t.Cleanup(func() { marksBlocks = was })
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 4000 {
		b := make([]byte, r.IntN(1+round*3))
		mix := []string{`",;x` + "\n\r\x00\xac\x8a\xa2", "xyz,", ",\n", `xxxxxxxxxxxxxxxxxxxx"x,` + "\n"}[round%4]
		for i := range b {
			b[i] = mix[r.IntN(len(mix))]
		}
		from := r.IntN(len(b) + 1)
		to := from + r.IntN(len(b)-from+1)
		d := dialect{delim: ",;"[round%2], quote: '"'}
		for _, quotes := range []bool{false, true} {
			want := fieldEndsByByte(d, b, from, to, quotes)
			for _, marksBlocks = range []bool{false, was} {
				before := r.IntN(4)
				got := d.fieldEnds(make([]uint32, before, 3+before), b, from, to, quotes)[before:]
				if !slices.Equal(got, want) {
					t.Fatalf("%q[%d:%d], quotes %v, machine %v:\ngot  %v\nwant %v", b, from, to, quotes, marksBlocks, got, want)
				}
			}
		}
	}
}

func BenchmarkFieldEnds(b *testing.B) {
	was := marksBlocks
	b.Cleanup(func() { marksBlocks = was })
	data := lineitem(20_000)
	d := dialect{delim: ',', quote: '"'}
	for name, marks := range map[string]bool{"go": false, "machine": was} {
		b.Run(name, func(b *testing.B) {
			marksBlocks = marks
			b.SetBytes(int64(len(data)))
			var pos []uint32
			for b.Loop() {
				pos = d.fieldEnds(pos[:0], data, 0, len(data), true)
			}
		})
	}
}
