package merge

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go/table"
	"github.com/zeebo/xxh3"

	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/slice"
)

// Hit is a live row of a data file whose key is that of a row of the input.
type Hit struct {
	// Row counts the live rows of the file, from 0, in the order of live.Rows.
	Row int64
	// Input is the number of the input's row.
	Input   int32
	Outcome Outcome
}

// Match is a data file with its hits, in the order of its rows.
type Match struct {
	*live.File
	Hits []Hit

	filtered int   // row groups that a Bloom filter, or a look at each key, ruled out
	read     bool  // some of it was read
	rows     int64 // that live, where they were counted; else -1

	// old are the columns that updated rows keep, and oldOf the input rows that each of their rows is for.
	old   []arrow.RecordBatch
	oldOf [][]int32
	// placed are the positions of the rows that go, once somebody asked (Matcher.Doomed).
	placed *placed

	// Of a history: the versions that were found, by part of the input, and what a plan has of them stay with another end.
	history  *history
	versions [][]version
	moves    []move
}

// Stamp names the rows that stay of a file that is rewritten, as they are written.
func (m *Match) Stamp() string {
	if m.history == nil {
		return m.Origin() // which has the same hits for as long as it is live
	}
	h := xxh3.New()
	for _, hit := range m.Hits {
		_ = binary.Write(h, binary.LittleEndian, hit.Row)
	}
	for _, v := range m.moves {
		_ = binary.Write(h, binary.LittleEndian, [2]int64{^v.row, v.to})
	}
	return fmt.Sprintf("%s\n%x", m.Origin(), h.Sum64())
}

// Moves tells that versions of a history stay, and get another end.
func (m *Match) Moves() bool { return len(m.moves) > 0 }

// Changes counts the hits by which rows go.
func (m *Match) Changes() int {
	n := 0
	for _, h := range m.Hits {
		if h.Outcome.Changes() {
			n++
		}
	}
	return n
}

// Matcher matches one input with one table, snapshot after snapshot. It remembers what it found in a file
// for as long as the file has the same delete files. It is for one goroutine.
type Matcher struct {
	in      *Input
	seen    map[string]*Match // by origin
	telling *telling
}

// NewMatcher returns a matcher for an input, which has to be sealed before it matches.
func NewMatcher(in *Input) *Matcher { return &Matcher{in: in, seen: map[string]*Match{}} }

// Plan is what the input means for a snapshot.
type Plan struct {
	// Base is the snapshot; nil for an empty table.
	Base *table.Snapshot
	// Outcomes are those of the input's rows, Counts how many have each.
	Outcomes []Outcome
	Counts   [outcomes]int64
	// Matches are the data files with hits, in the order of the snapshot's manifests.
	Matches []*Match
	// Considered are the live data files, Pruned those that the manifests prove to have no hit, Read those whose
	// keys were read for this plan; the others had been read for an earlier one.
	Considered, Pruned, Read int
	// RowGroupsRuledOut counts the row groups, of files that were not pruned, that statistics leave and that the values
	// of the keys, by their Bloom filters, rule out.
	RowGroupsRuledOut int
	// Late counts the inserted rows that are older than the newest of the snapshot by more than the window.
	Late int64
	// Live are the files of the snapshot.
	Live *live.Files
	// Versions are what else becomes of a history; nil where there is none.
	Versions *Versions

	counted map[*live.File]int64
}

// Counted is how many rows live of a file of Matches, which was read.
func (p *Plan) Counted(m *Match) int64 {
	n, _ := p.RowsOf(m.File)
	return n
}

// RowsOf is how many rows of a data file of the snapshot live: what the manifests say for certain, or what was
// counted when it was read. ok is false where neither tells.
func (p *Plan) RowsOf(f *live.File) (n int64, ok bool) {
	if n, ok = p.counted[f]; !ok {
		n, ok = f.CertainRows()
	}
	return n, ok
}

// Unchanged tells that there is nothing to write and nothing to remove.
func (p *Plan) Unchanged() bool {
	return p.Counts[Inserted]+p.Counts[Updated]+p.Counts[Deleted] == 0 && len(p.Rewrites()) == 0
}

// Comes is how many rows are written.
func (p *Plan) Comes() int64 {
	n := p.Counts[Inserted] + p.Counts[Updated]
	if p.Versions != nil {
		n += int64(len(p.Versions.gone))
	}
	return n
}

// Rewrites are the matches with rows that go, or get another end.
func (p *Plan) Rewrites() []*Match {
	var out []*Match
	for _, m := range p.Matches {
		if m.Changes() > 0 || len(m.moves) > 0 {
			out = append(out, m)
		}
	}
	return out
}

// Removed are the files that go when those of Rewrites do.
func (p *Plan) Removed() []slice.LiveFile {
	goes := map[*live.File]bool{}
	for _, m := range p.Rewrites() {
		goes[m.File] = true
	}
	if len(goes) == 0 {
		return nil
	}
	return p.Live.Removed(func(f *live.File) bool { return goes[f] }, true)
}

// Match plans for base, a snapshot of tbl or nil; tbl's schema is what its rows are compared under. Errors
// wrap ErrTable where several rows of the table have a key of the input.
func (m *Matcher) Match(ctx context.Context, tbl *table.Table, base *table.Snapshot) (*Plan, error) {
	files, err := live.Read(ctx, tbl, base, nil)
	if err != nil {
		return nil, err
	}
	p := &Plan{Base: base, Live: files, Considered: len(files.Data)}
	reader, err := m.newReader(tbl)
	if err != nil {
		return nil, err
	}
	found := make([]*Match, len(files.Data))
	var fresh []*Match
	for i, f := range files.Data {
		if !m.in.reaches(f, tbl) {
			p.Pruned++
			continue
		}
		if known, ok := m.seen[f.Origin()]; ok && reader.same(known) {
			found[i] = &Match{File: f, Hits: known.Hits, old: known.old, oldOf: known.oldOf, rows: known.rows, placed: known.placed, history: m.in.history, versions: known.versions}
			continue
		}
		p.Read++
		found[i] = &Match{File: f, rows: -1, placed: &placed{}, history: m.in.history}
		fresh = append(fresh, found[i])
	}
	if m.in.history != nil {
		m.in.planVersions(p)
	}
	err = m.in.each(func(k *part) error {
		if err := reader.readAll(ctx, fresh, k); err != nil || m.in.history == nil {
			return err
		}
		return m.in.settleVersions(p, k, found)
	})
	if err != nil {
		for _, f := range fresh {
			f.release()
		}
		return nil, err
	}
	for _, f := range fresh {
		p.RowGroupsRuledOut += f.filtered
		if !f.read {
			p.Read--
			p.Pruned++
		}
		seen := *f
		if m.in.history != nil { // what becomes of a version is for each plan to say
			seen.Hits, seen.moves = nil, nil
		}
		slices.SortFunc(seen.Hits, func(a, b Hit) int { return cmp.Compare(a.Row, b.Row) })
		m.seen[f.Origin()] = &seen
	}
	p.counted = map[*live.File]int64{}
	for _, f := range found {
		if f == nil {
			continue
		}
		if f.rows >= 0 {
			p.counted[f.File] = f.rows
		}
		if len(f.Hits)+len(f.moves) > 0 {
			p.Matches = append(p.Matches, f)
		}
	}
	if m.in.history != nil {
		m.in.finishVersions(p)
		return p, nil
	}
	if err := m.in.settle(p); err != nil || m.in.window == nil {
		return p, err
	}
	return p, m.in.countLate(p, tbl)
}

func (m *Match) release() {
	for _, rec := range m.old {
		rec.Release()
	}
}

// Close gives back what the matcher remembers.
func (m *Matcher) Close() {
	for _, f := range m.seen {
		f.release()
	}
	m.seen = nil
}

// reaches tells whether f may have a row with a key of the input.
func (in *Input) reaches(f *live.File, tbl *table.Table) bool {
	if in.count == 0 || f.DataFile().Count() == 0 {
		return false
	}
	if in.within == nil {
		return true
	}
	spec := tbl.Metadata().PartitionSpecByID(f.Partition.SpecID)
	return spec == nil || in.within.File(f.DataFile(), *spec, tbl.Schema()) != slice.None
}

// settle gives every row of the input its outcome.
func (in *Input) settle(p *Plan) error {
	p.Outcomes = make([]Outcome, in.Rows())
	hit := make([]bool, in.Rows())
	var twice []string
	for _, m := range p.Matches {
		for _, h := range m.Hits {
			if hit[h.Input] && !in.o.KeysOnly {
				if twice = append(twice, fmt.Sprintf("that of %s (in %s)", in.place(int(h.Input)), m.DataFile().FilePath())); len(twice) == most {
					return tableTwice(twice, " and maybe more")
				}
			}
			hit[h.Input] = true
			p.Outcomes[h.Input] = h.Outcome
		}
	}
	if len(twice) > 0 {
		return tableTwice(twice, "")
	}
	in.settleTwins(p, hit)
	for row := range p.Outcomes {
		switch {
		case in.dropped != nil && in.dropped[row]:
			p.Outcomes[row] = Dropped
		case !hit[row] && in.isDelete(row):
			p.Outcomes[row] = Unchanged
		}
		p.Counts[p.Outcomes[row]]++
	}
	return nil
}

func tableTwice(which []string, more string) error {
	return fail(ErrTable, "remove the duplicates, or key by more columns",
		"several rows of the table have one key, so nothing tells which is meant: %s%s", strings.Join(which, "; "), more)
}
