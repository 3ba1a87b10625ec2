package merge

import (
	"fmt"
	"slices"
	"strings"
)

// part is some rows of the input with an index of their keys: those that were picked.
type part struct {
	keyed
	*index
	// kin are the rows with the key of one that is found, itself among them, in the order of their times; where no other
	// has its key there are none. Only with a window there are any: otherwise one row counts of each key.
	kin    map[int][]int
	number int     // which part of the input it is
	chains *chains // of a history; the index then finds chains, and not rows
}

// each calls do with all rows of a sealed input, in one part or one after the other.
func (in *Input) each(do func(*part) error) error {
	if in.spool == nil {
		return do(in.all)
	}
	for n, which := range in.parts {
		k := &part{number: n}
		if err := in.spool.load(&k.keyed, which, in.latest, in.newer); err != nil {
			return err
		}
		if k.len() == 0 {
			continue
		}
		k.index = newIndex(k.keyed.prints)
		in.index(k)
		if err := do(k); err != nil {
			return err
		}
	}
	return nil
}

// index makes the rows of k be found that are not dropped.
func (in *Input) index(k *part) {
	if in.history != nil {
		in.chain(k)
		return
	}
	for i, row := range k.rows {
		if in.dropped == nil || !in.dropped[row] {
			if was := k.add(i); was >= 0 {
				if k.kin == nil {
					k.kin = map[int][]int{}
				}
				if k.kin[was] == nil {
					k.kin[was] = []int{was}
				}
				k.kin[was] = append(k.kin[was], i)
			}
		}
	}
	k.byTime()
}

// byTime puts rows that share a key in the order of their times.
func (k *part) byTime() {
	for _, rows := range k.kin {
		k.keyed.byTime(rows)
	}
}

// picking settles which of several rows with one key counts. All rows of a key are in one part, in their order.
type picking struct {
	in    *Input
	pairs [][2]int32         // of rows with one key, to be refused; the first few
	more  bool               // there are others
	ties  map[int32][2]int32 // rows that are as new and differ, by the one that was picked
}

// pick drops rows whose key comes again. Errors wrap ErrKey.
func (in *Input) pick() error {
	p := &picking{in: in, ties: map[int32][2]int32{}}
	drop := func(k *keyed) *part {
		if in.window != nil {
			return p.meet(k)
		}
		if in.history != nil {
			p.pickVersions(k)
			all := &part{keyed: *k}
			in.chain(all)
			return all
		}
		x := newIndex(k.prints)
		for i := range k.rows {
			if was := x.add(i); was >= 0 {
				if p.prefer(k, was, i) == i {
					x.replace(was, i)
				}
			}
		}
		return &part{keyed: *k, index: x}
	}
	if in.spool == nil {
		in.all = drop(&in.now) // its index has the rows that were picked, and no others
	}
	for _, which := range in.parts {
		var k keyed
		if err := in.spool.load(&k, which, in.latest, in.newer); err != nil {
			return err
		}
		drop(&k)
	}
	return p.refuse()
}

// prefer settles between two rows of k with one key, was and the later i, and tells which one counts.
func (p *picking) prefer(k *keyed, was, i int) int {
	in := p.in
	if in.o.KeysOnly && in.latest == nil {
		in.drop(k.rows[i])
		return was
	}
	if in.latest == nil {
		if len(p.pairs) < most {
			p.pairs = append(p.pairs, [2]int32{k.rows[was], k.rows[i]})
		} else {
			p.more = true
		}
		return was
	}
	switch newer := k.latest.compare(i, &k.latest, was); {
	case newer > 0:
		delete(p.ties, k.rows[was])
		in.drop(k.rows[was])
		return i
	case newer == 0 && !p.alike(k, i, was):
		if _, ok := p.ties[k.rows[was]]; !ok {
			p.ties[k.rows[was]] = [2]int32{k.rows[was], k.rows[i]}
		}
	}
	in.drop(k.rows[i])
	return was
}

func (in *Input) drop(row int32) {
	if in.dropped == nil {
		in.dropped = make([]bool, in.count)
	}
	in.dropped[row] = true
	in.Dropped++
}

func (p *picking) refuse() error {
	pairs, more := p.pairs, ""
	if p.more {
		more = " and more"
	}
	if len(p.ties) > 0 {
		for _, pair := range p.ties {
			pairs = append(pairs, pair)
		}
		slices.SortFunc(pairs, func(a, b [2]int32) int { return int(a[0] - b[0]) })
		if len(pairs) > most {
			more = fmt.Sprintf(" and %d more", len(pairs)-most)
			pairs = pairs[:most]
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	var rows []int32
	for _, pair := range pairs {
		rows = append(rows, pair[0])
	}
	keys, err := p.in.show(rows)
	if err != nil {
		return err
	}
	var texts []string
	for i, pair := range pairs {
		texts = append(texts, fmt.Sprintf("%s (%s, %s)", keys[i], p.in.place(int(pair[0])), p.in.place(int(pair[1]))))
	}
	list := strings.Join(texts, "; ") + more
	switch h := p.in.history; {
	case h != nil && p.in.latest == nil:
		return fail(ErrKey, "say --latest-by COLUMN to take the newest row of each, or correct the input",
			"rows with one key and one %s differ: %s", h.Effective, list)
	case p.in.latest != nil:
		return fail(ErrKey, "nothing tells which of them is right: correct the input, or choose another column",
			"rows with one key and one %s differ: %s", p.in.o.LatestBy, list)
	}
	return fail(ErrKey, "say --latest-by COLUMN to take the newest row of each key, or correct the input",
		"the key comes twice in the input: %s", list)
}

// show gives the keys of rows as people write them.
func (in *Input) show(rows []int32) ([]string, error) {
	out := make([]string, len(rows))
	at := 0
	for rec, err := range in.store.all() {
		if err != nil {
			return nil, err
		}
		for i, row := range rows {
			if in.batchOf(int(row)) == at {
				out[i] = in.keys.show(rec, int(row)-in.batches[at].first)
			}
		}
		rec.Release()
		at++
	}
	return out, nil
}
