package merge

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
)

// once takes the hits of a section where all that matters is which rows of the input have one: the first of each
// is kept, so that a table with many rows to a key takes no more memory than the input has rows.
type once struct {
	in    *Input
	part  *part
	seen  []uint64 // a bit for each row of the part
	times ages     // of the batch at hand, where there is a window
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
	if o.in.window.near(o.part.newer.moment(at), m) {
		hits = o.hit(hits, at, row)
	}
	for _, other := range o.part.others[at] {
		if o.in.window.near(o.part.newer.moment(other), m) {
			hits = o.hit(hits, other, row)
		}
	}
	return hits
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
