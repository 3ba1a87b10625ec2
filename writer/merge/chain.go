package merge

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash"
	"slices"
)

// move is a version that stays, with another end.
type move struct{ row, to int64 }

// gone is a row [at, at) that remembers a delete, to be written with the key of a row of the input.
type gone struct {
	row int32
	at  int64
}

// Versions are what a plan does to a history, beside the outcomes of the input's rows.
type Versions struct {
	// Closed is how many rows of the table stay and get another end.
	Closed int64
	ends   []int64 // by input row, of those that are written
	gone   []gone  // in the order of rows and times
}

// walk settles the chains of a part.
type walk struct {
	in     *Input
	k      *part
	p      *Plan
	files  []*Match // of the plan
	events []event
	bad    []string // which keys the table has two versions of at one time
}

// event is something that happened to a key: what there is from then on.
type event struct {
	at    int64
	input int32    // a row of the part; -1: none
	was   *version // that begins then; nil: none
	ends  bool     // another one ends then
	live  bool     // something holds from then on
	own   bool     // and that is the input's row
}

// settleVersions settles the outcomes of the rows of k, and what becomes of the versions that files have of their keys.
func (in *Input) settleVersions(p *Plan, k *part, files []*Match) error {
	var versions []version
	for i, m := range files {
		if m == nil || k.number >= len(m.versions) {
			continue
		}
		for _, v := range m.versions[k.number] {
			v.file = int32(i)
			versions = append(versions, v)
		}
	}
	versions = in.near(versions, k)
	w := &walk{in: in, k: k, p: p, files: files}
	for chain := range int32(len(k.chains.starts) - 1) {
		n := 0
		for n < len(versions) && versions[n].chain == chain {
			n++
		}
		w.chain(k.chains.of(chain), versions[:n])
		versions = versions[n:]
		if len(w.bad) == most {
			break
		}
	}
	if len(w.bad) > 0 {
		return w.refuse()
	}
	return nil
}

func (w *walk) refuse() error {
	more := ""
	if len(w.bad) == most {
		more = " and maybe more"
	}
	text := w.bad[0]
	for _, b := range w.bad[1:] {
		text += "; " + b
	}
	return fail(ErrTable, "correct it with another engine: the versions of a key may touch, and not overlap",
		"the table has several versions of one key at one time, so it is no history: that of %s%s", text, more)
}

// chain walks through what happened to one key, with the rows of the input and the versions of the table that
// are near them, both in the order of their times.
func (w *walk) chain(rows []int32, versions []version) {
	for i := 1; i < len(versions); i++ {
		if a, b := &versions[i-1], &versions[i]; a.from == b.from || a.to > b.from {
			w.bad = append(w.bad, fmt.Sprintf("%s (in %s)", w.in.place(int(w.k.rows[rows[0]])), w.files[b.file].DataFile().FilePath()))
			return
		}
	}
	w.list(rows, versions)
	live := false          // what the event before left
	var deleted int32 = -1 // the last row of the input that deleted
	for i := range w.events {
		e := &w.events[i]
		stays := e.was // the version that begins then, if it stays
		switch {
		case e.input < 0:
			e.live = e.was != nil && !e.was.empty()
		case w.in.isDelete(int(w.k.rows[e.input])):
			deleted = e.input
			o := Deleted
			switch {
			case e.was != nil && !e.was.empty():
				if o = e.was.outcome; o == Stale {
					e.live = true
				} else {
					w.goes(e.was, o, e.input)
					stays = nil
				}
			case e.was != nil, e.ends:
				o = Unchanged
			}
			w.p.Outcomes[w.k.rows[e.input]] = o
		default:
			o := Inserted
			if e.was != nil && !e.was.empty() {
				o = e.was.outcome
			}
			if e.live, e.own = true, o == Inserted || o == Updated; e.own && e.was != nil {
				w.goes(e.was, Updated, e.input)
				stays = nil
			}
			w.p.Outcomes[w.k.rows[e.input]] = o
		}
		switch {
		case e.live:
		case live && stays != nil: // a row ends here, which is enough to remember a delete
			w.goes(stays, Deleted, rows[0])
		case !live && stays == nil:
			by := e.input
			if by < 0 {
				by = deleted // it has made the row go, or end earlier, that ended here
			}
			w.p.Versions.gone = append(w.p.Versions.gone, gone{w.k.rows[by], e.at})
		}
		live = e.live
	}
	w.bound()
}

// bound says until when those versions hold that still are, or come to be.
func (w *walk) bound() {
	for i, e := range w.events {
		if !e.live {
			continue
		}
		to := int64(forever)
		if i+1 < len(w.events) {
			to = w.events[i+1].at
		}
		switch {
		case e.own:
			w.p.Versions.ends[w.k.rows[e.input]] = to
		case e.was.to != to:
			m := w.files[e.was.file]
			m.moves = append(m.moves, move{e.was.row, to})
			w.p.Versions.Closed++
		}
	}
}

// list has w.events be what happened, each time once.
func (w *walk) list(rows []int32, versions []version) {
	all := w.events[:0]
	for _, at := range rows {
		all = append(all, event{at: w.in.history.effects[w.k.rows[at]], input: at})
	}
	for i := range versions {
		v := &versions[i]
		all = append(all, event{at: v.from, input: -1, was: v})
		if v.to != forever && !v.empty() {
			all = append(all, event{at: v.to, input: -1, ends: true})
		}
	}
	slices.SortStableFunc(all, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	out := all[:0]
	for _, e := range all {
		if len(out) == 0 || out[len(out)-1].at != e.at {
			out = append(out, e)
			continue
		}
		last := &out[len(out)-1]
		if e.was != nil {
			last.was = e.was
		}
		last.input, last.ends = max(last.input, e.input), last.ends || e.ends
	}
	w.events = out
}

// goes has a version go. by is the row that is to blame.
func (w *walk) goes(v *version, o Outcome, by int32) {
	m := w.files[v.file]
	m.Hits = append(m.Hits, Hit{Row: v.row, Input: w.k.rows[by], Outcome: o})
}

// planVersions prepares p for a history.
func (in *Input) planVersions(p *Plan) {
	p.Outcomes = make([]Outcome, in.Rows())
	p.Versions = &Versions{ends: make([]int64, in.Rows())}
}

// finishVersions puts in order what was settled part by part, and counts.
func (in *Input) finishVersions(p *Plan) {
	for _, m := range p.Matches {
		slices.SortFunc(m.Hits, func(a, b Hit) int { return cmp.Compare(a.Row, b.Row) })
		slices.SortFunc(m.moves, func(a, b move) int { return cmp.Compare(a.row, b.row) })
	}
	slices.SortFunc(p.Versions.gone, func(a, b gone) int { return cmp.Or(cmp.Compare(a.row, b.row), cmp.Compare(a.at, b.at)) })
	for row := range p.Outcomes {
		if in.dropped != nil && in.dropped[row] {
			p.Outcomes[row] = Dropped
		}
		p.Counts[p.Outcomes[row]]++
	}
}

// Mark adds to h what tells plans apart that write other versions for the same outcomes.
func (v *Versions) Mark(h hash.Hash64) {
	if v == nil {
		return
	}
	var b [12]byte
	for _, to := range v.ends {
		binary.LittleEndian.PutUint64(b[:], uint64(to))
		_, _ = h.Write(b[:8])
	}
	for _, g := range v.gone {
		binary.LittleEndian.PutUint64(b[:], uint64(g.at))
		binary.LittleEndian.PutUint32(b[8:], uint32(g.row))
		_, _ = h.Write(b[:])
	}
}
