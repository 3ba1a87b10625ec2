package bloom

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// A filter has what was put in, before and after it is made to fit, and once it is read back; of others it has
// about the share that was asked for.
func TestFilter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	hash := func() uint64 { return Hash(binary.LittleEndian.AppendUint64(nil, rng.Uint64())) }
	for _, c := range []struct {
		distinct, copies int
		fpp              float64
	}{{1, 1, 0.01}, {1, 5000, 0.01}, {100, 1, 0.01}, {1000, 50, 0.001}, {20_000, 1, 0.01}, {20_000, 7, 0.1}} {
		var in []uint64
		for range c.distinct {
			in = append(in, hash())
		}
		f := New(Size(int64(c.distinct*c.copies), c.fpp, 1<<20))
		for _, h := range in {
			f.Add(h)
		}
		f.Fit(c.fpp)
		if got, most := 4*len(f.words), int(Size(int64(c.distinct), c.fpp, 1<<20)); got > 2*most {
			t.Errorf("%+v: %d bytes, %d would do", c, got, most)
		}
		f, _, ok := Parse(f.Append(nil))
		if !ok {
			t.Fatalf("%+v: it is not read back", c)
		}
		for _, h := range in {
			if !f.Has(h) {
				t.Fatalf("%+v: a value is lost", c)
			}
		}
		const tries = 20_000
		wrong := 0
		for range tries {
			if f.Has(hash()) {
				wrong++
			}
		}
		if share := float64(wrong) / tries; share > 1.5*c.fpp {
			t.Errorf("%+v: %.4f of others are said to be in", c, share)
		}
	}
}

func TestSizeIsBounded(t *testing.T) {
	if got := Size(1<<40, 0.01, 1<<20); got != 1<<20 {
		t.Errorf("%d bytes", got)
	}
	if got := Size(1<<40, 0.01, 1000); got != 512 {
		t.Errorf("%d bytes", got)
	}
	if got := Size(0, 0.01, 1<<20); got != blockBytes {
		t.Errorf("%d bytes", got)
	}
}

// What is no filter of the one kind is none, and what is cut off says how much is missing.
func TestParse(t *testing.T) {
	whole := New(64).Append(nil)
	for n := range whole {
		f, need, ok := Parse(whole[:n])
		if ok || f != nil || need <= n || need > len(whole) && n >= HeaderMost {
			t.Errorf("%d of %d bytes: %v, needs %d", n, len(whole), ok, need)
		}
	}
	for at := range len(whole) - 64 {
		bad := append([]byte(nil), whole...)
		bad[at] ^= 0x40
		if _, need, ok := Parse(bad); ok && need == len(whole) {
			t.Errorf("byte %d is of no matter", at)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(New(32).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if filter, _, ok := Parse(b); ok {
			filter.Has(42)
		}
	})
}
