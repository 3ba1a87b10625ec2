package merge

// RowGroupsOfAllFiles has the row groups of the smallest files looked at, until the returned function is called.
func RowGroupsOfAllFiles() (undo func()) {
	was := rowGroupsFrom
	rowGroupsFrom = 0
	return func() { rowGroupsFrom = was }
}

// Held is what the input has in memory, in bytes: rows, and their keys or the pages of those that are spilled. What it
// keeps of each row besides is in each.
func (in *Input) Held() (bytes, each int64) {
	bytes = in.store.bytes + in.now.held()
	if in.all != nil {
		bytes += 8 * int64(len(in.all.slots)) // its keys are those of in.now
	}
	if in.spool != nil {
		for _, b := range in.spool.buckets {
			bytes += int64(cap(b.buffer) + 16*cap(b.extents))
		}
	}
	return bytes, int64(cap(in.dropped) + cap(in.deletes))
}

// EachPart tells the rows of the parts that are matched one after the other, and what one takes, in bytes.
func (in *Input) EachPart(do func(rows int, bytes int64)) error {
	return in.each(func(k *part) error {
		do(k.len(), k.held()+8*int64(len(k.slots)))
		return nil
	})
}

func (k *keyed) held() int64 {
	return int64(4*cap(k.rows)+16*(cap(k.prints)+cap(k.digests))) + k.latest.held() + k.newer.held()
}

func (a *ages) held() int64 { return int64(8*cap(a.numbers) + 16*cap(a.texts) + cap(a.null)) }

// TellAfter has a column trusted after that many hits, whatever part of the rows they are in, until the returned function is called.
func TellAfter(hits int) (undo func()) {
	few, most, part := fewest, enough, share
	fewest, enough, share = hits, hits, 1
	return func() { fewest, enough, share = few, most, part }
}

// Told is the column that tells, "" where none does, and how many sections it did and did not tell all of.
func (m *Matcher) Told() (column string, helped, failed int) {
	if m.telling.column != nil {
		column = m.telling.column.Name
	}
	return column, m.telling.helped, m.telling.failed
}

// Sampled is in how many sections hits were sampled.
func (m *Matcher) Sampled() int { return m.telling.samples }
