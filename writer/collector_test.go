package writer

import (
	"runtime"
	"runtime/debug"
	"testing"
	"unsafe"
)

// What the collector leaves lying is a fifth of what the load has made live, but enough to be worth a round, and little beside
// a small --memory.
func TestGarbageIsAShareOfWhatIsLive(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ live, before, memory, garbage int64 }{
		{10, 0, 1024, 48},
		{200, 0, 1024, 48},
		{500, 0, 1024, 100},
		{900, 600, 1624, 60}, // beside rows that were there
		{700, 600, 1624, 48},
		{10, 0, 64, 8},
		{0, 0, 1024, 48}, // before the first round
		{0, 0, 64, 8},
		{10_000, 10_000, 11_000, 100}, // one percent is the least there is
	} {
		if got := max(c.live, 4) * int64(gcPercent(c.live*mib, c.before*mib, c.memory*mib)) / 100; got < c.garbage-c.live/100-1 || got > c.garbage+c.live/100+1 {
			t.Errorf("%d MiB live, %d before, of %d: %d MiB may lie, want %d", c.live, c.before, c.memory, got, c.garbage)
		}
	}
}

// The finalizer of an object of 16 bytes or less may never run: it shares a slot with others, one of which may live on.
func TestARoundIsNoTinyObject(t *testing.T) {
	if size := unsafe.Sizeof(round{}); size <= 16 {
		t.Errorf("a round has %d bytes", size)
	}
}

var sink []byte

// A load with little that is live has a round for each 48 MiB that it drops, however often it was collected before, and not one for
// every few.
func TestCollectorIsPaced(t *testing.T) {
	limit := debug.SetMemoryLimit(-1)
	percent := debug.SetGCPercent(100)
	defer func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
	}()
	PaceCollector(1 << 30)
	var before, after runtime.MemStats
	drop := func(mib int) uint32 {
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range mib {
			sink = make([]byte, 1<<20)
		}
		runtime.ReadMemStats(&after)
		return after.NumGC - before.NumGC
	}
	for range 3 {
		debug.SetGCPercent(1)                  // until the round that drop begins with
		if rounds := drop(960); rounds > 150 { // some may go by until that is noticed
			t.Errorf("960 MiB were dropped in %d rounds, want about 20", rounds)
		}
	}
	if limit := debug.SetMemoryLimit(-1); limit > 1<<30 || limit < 9<<30/10 {
		t.Error("there is no limit")
	}
}
