package writer

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
)

// PaceCollector has the garbage collector of this process keep a load within memory, in bytes, which is to hold what else the process
// has as well. Load does not call it, the command does: how a caller's garbage is collected is not for a library to say.
//
// Buffers are counted; what the collector leaves lying between two rounds is kept inside the same budget by more rounds. Go's
// percentage is one of all that is live. To have it small suits a load in hundreds of partitions, and is dear where little is live: then
// a round would come every few megabytes. And what the process had before, rows to be loaded, takes next to no time to look at. So the
// percentage is set anew after each round, by what the load has made live.
func PaceCollector(memory int64) {
	debug.SetMemoryLimit(memory - memory/16) // the limit does not count the program itself, of which some 40 MiB are looked at
	budget.Store(memory)
	before.Store(liveHeap())
	pace.Do(func() { runtime.SetFinalizer(new(round), repace) })
	setPercent()
}

var (
	budget, before atomic.Int64 // of the newest load, in bytes
	pace           sync.Once
)

// round is garbage at every round of the collector, which calls repace when it finds that out. It is too large to share its slot
// with what may live on.
type round struct{ _ [4]int64 }

func repace(r *round) {
	setPercent()
	runtime.SetFinalizer(r, repace)
}

func setPercent() { debug.SetGCPercent(gcPercent(liveHeap(), before.Load(), budget.Load())) }

// liveHeap is what was live in the collector's last round, in bytes.
func liveHeap() int64 {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return int64(live[0].Value.Uint64())
}

// gcPercent is what makes garbage of a fifth of what came alive since before, or 48 MiB, whichever is more. A fifth trades a percent or
// two of the CPU for a quarter of the memory: most of what lives is buffers, which the collector does not have to look into.
func gcPercent(live, before, memory int64) int {
	const least = 48 << 20
	const smallest = 4 << 20 // heaps are not taken for smaller. Source: the package documentation of runtime, GOGC.
	garbage := max((live-before)/5, min(least, memory/8))
	return int(max(1, (100*garbage+smallest/2)/max(live, smallest)))
}
