package arrowconv

import (
	"bytes"
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

// compareScans holds scanRows with machine words against scanRows without.
func compareScans(t testing.TB, d dialect, b []byte, eof bool) (bad bool) {
	was := marksBlocks
	defer func() { marksBlocks = was }()
	marksBlocks = false
	end, want := d.scanRows(b, eof)
	marksBlocks = was
	again, got := d.scanRows(b, eof)
	if again != end || !slices.Equal(got.bad, want.bad) || got.quotes != want.quotes {
		t.Fatalf("%q, at the end %v:\ngot  %d %+v\nwant %d %+v", b, eof, again, got, end, want)
	}
	if !got.doubled {
		// Then what stands between two quotes is text.
		ends := d.fieldEnds(nil, b, 0, end, got.quotes)
		for i, at := range ends {
			from := 0
			if i > 0 {
				from = int(ends[i-1]) + 1
			}
			field := bytes.TrimSuffix(b[from:at], []byte("\r"))
			if len(field) > 0 && field[0] == d.quote {
				if _, text := d.text(nil, field); !bytes.Equal(text, field[1:len(field)-1]) {
					t.Fatalf("%q: field %q is not bare", b, field)
				}
			}
		}
	}
	return len(want.bad) > 0
}

// TestSoundInputs: what is sound by masks of 64 bytes is sound by single quotes, and is cut at the same place.
func TestSoundInputs(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	pieces := []string{"a", "bc", "a long text that fills more than a block does, if it comes twice", ",", ",", "\n", "\r\n", "\r", `""`, `"x"`, `"a,b"`, "\"\n\"", `"a""b"`, `,"`, "\",", "\"\n", `"`}
	wrong := 0
	const rounds = 30_000
	for round := range rounds {
		var b []byte
		last := len(pieces)
		if round%2 == 0 {
			last -= 4 // mostly sound
		}
		for range r.IntN(24) {
			b = append(b, pieces[r.IntN(last)]...)
			if round%4 < 3 {
				b = append(b, ',')
			}
		}
		for _, eof := range []bool{false, true} {
			if eof && (len(b) == 0 || b[len(b)-1] != '\n') {
				b = append(b, '\n')
			}
			if compareScans(t, dialect{delim: ',', quote: '"'}, b, eof) {
				wrong++
			}
		}
	}
	if wrong < rounds/10 || wrong > rounds*3/2 {
		t.Errorf("%d of %d inputs break the grammar", wrong, 2*rounds)
	}
}

// FuzzSound: the same for what a fuzzer finds.
func FuzzSound(f *testing.F) {
	for _, s := range []string{"a,\"b\"\r\n", "\"a\"\"b\"\n", "a\"b\n\"c\n", "\"a\"x\n", "\"" + "0123456789012345678901234567890123456789012345678901234567890123\"\r\n"} {
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, eof bool) {
		if len(b) > 2000 {
			return
		}
		if eof && (len(b) == 0 || b[len(b)-1] != '\n') {
			b = append(b, '\n')
		}
		compareScans(t, dialect{delim: ',', quote: '"'}, b, eof)
	})
}
