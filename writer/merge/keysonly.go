package merge

import (
	"slices"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
)

// once takes the hits of a section where all that matters is which rows of the input have one: the first of each
// is kept, so that a table with many rows to a key takes no more memory than the input has rows.
type once struct {
	in    *Input
	part  *part
	seen  []uint64 // a bit for each row of the part
	times ages     // of the batch at hand, where there is a window
	// left are, by the row that is found of a key, the rows of its kin that are not seen yet: each place has that of the
	// first from there on, as far as it was looked for.
	left map[int][]int32
}

// newOnce is nil where every hit matters.
func newOnce(in *Input, k *part) *once {
	if !in.o.KeysOnly {
		return nil
	}
	return &once{in: in, part: k, seen: make([]uint64, (k.len()+63)/64)}
}

// next is to be called for every batch before its hits are asked for.
func (o *once) next(rec arrow.RecordBatch) (err error) {
	if o != nil && o.in.window != nil {
		o.times, err = o.in.newer.of(rec)
	}
	return err
}

// hits adds those of a row of the batch, row number row of the file, to hits: it has the key of row at of the part.
func (o *once) hits(hits []Hit, at, inBatch int, row int64) []Hit {
	if o.in.window == nil {
		return o.hit(hits, at, row)
	}
	m := o.times.moment(inBatch)
	kin := o.part.kin[at]
	if kin == nil {
		if o.in.window.near(o.part.newer.moment(at), m) {
			hits = o.hit(hits, at, row)
		}
		return hits
	}
	left := o.left[at]
	if left == nil {
		left = make([]int32, len(kin)+1)
		for i := range left {
			left[i] = int32(i)
		}
		if o.left == nil {
			o.left = map[int][]int32{}
		}
		o.left[at] = left
	}
	// Those within the window are neighbours. However many rows of the table have the key, each of the kin is met once.
	first := sort.Search(len(kin), func(i int) bool {
		k := o.part.newer.moment(kin[i])
		return k.null || !m.null && k.at >= o.in.window.before(m.at)
	})
	for i := leftFrom(left, first); int(i) < len(kin) && o.in.window.near(o.part.newer.moment(kin[i]), m); i = leftFrom(left, int(i)) {
		hits = o.hit(hits, kin[i], row)
		left[i] = i + 1
	}
	return hits
}

// leftFrom is the first place from at on that is left, and shortens the way to it.
func leftFrom(left []int32, at int) int32 {
	end := int32(at)
	for left[end] != end {
		end = left[end]
	}
	for i := int32(at); i != end; {
		i, left[i] = left[i], end
	}
	return end
}

func (o *once) hit(hits []Hit, at int, row int64) []Hit {
	bit := uint64(1) << (at % 64)
	if o.seen[at/64]&bit != 0 {
		return hits
	}
	o.seen[at/64] |= bit
	return append(hits, Hit{Row: row, Input: int32(at)})
}

// lookedAt are the columns that the first look at a row needs.
func (in *Input) lookedAt() []string {
	names := in.keys.names()
	if in.window != nil && !slices.Contains(names, in.window.Name) {
		names = append(names, in.window.Name)
	}
	if in.history != nil {
		names = append(names, in.history.From, in.history.To)
	}
	return names
}

// eachKeyed calls do with what is known of all rows of a sealed input.
func (in *Input) eachKeyed(do func(*keyed)) error {
	if in.spool == nil {
		do(&in.now)
		return nil
	}
	for _, which := range in.parts {
		var k keyed
		if err := in.spool.load(&k, which, in.latest, in.newer); err != nil {
			return err
		}
		do(&k)
	}
	return nil
}
