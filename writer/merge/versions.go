package merge

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/icewright/icewright/writer/live"
)

// version is a live row of the table, of a key that is one of the input's.
type version struct {
	row      int64 // of its file, as in Hit
	from, to int64 // to is forever where it still holds
	file     int32 // of the plan, once it is known
	chain    int32
	at       int32 // the row of the part that is effective when it begins; -1: none
	outcome  Outcome
}

// empty tells that a version held at no time: it is there to remember a delete.
func (v *version) empty() bool { return v.from == v.to }

// readVersions adds the versions of a section whose keys are those of the rows of k. Only those are kept that a
// row of k has to do with: by the others nothing changes.
func (r *reader) readVersions(ctx context.Context, f *found, s section, k *part) error {
	h := r.in.history
	var prints []fingerprint
	rows, enough := int64(0), 1<<16
	for rec, err := range live.Rows(ctx, r.tbl, s.task, r.keys) {
		if err != nil {
			return err
		}
		err = func() error {
			defer rec.Release()
			var null int
			var err error
			if prints, null, _, err = r.in.keys.of(prints, rec); err != nil {
				return err
			}
			var from, to ages
			for i, p := range prints {
				chain := k.find(p)
				if chain < 0 || null >= 0 && r.in.nullAt(rec, i) {
					continue
				}
				if from.numbers == nil {
					if from, err = h.from.of(rec); err == nil {
						to, err = h.to.of(rec)
					}
					if err != nil {
						return err
					}
				}
				v := version{row: s.first + rows + int64(i), from: from.numbers[i], to: forever, chain: int32(chain), at: -1}
				if to.null == nil || !to.null[i] {
					v.to = to.numbers[i]
				}
				if from.null != nil && from.null[i] || v.to < v.from {
					return fail(ErrTable, "correct it: DELETE or UPDATE it with another engine", "the table has a row with %s, whose %s is null or after its %s",
						r.in.keys.show(rec, i), h.From, h.To)
				}
				f.versions = append(f.versions, v)
			}
			return nil
		}()
		if err != nil {
			return err
		}
		rows += rec.NumRows()
		if len(f.versions) > enough {
			f.versions = r.in.near(f.versions, k)
			enough = max(enough, 2*len(f.versions))
		}
	}
	if rows < s.least || rows > s.most {
		return fmt.Errorf("%w: %d", errRows, rows)
	}
	f.rows = rows
	f.versions = r.in.near(f.versions, k)
	return r.compareVersions(ctx, f, s, k)
}

// compareVersions says what becomes of the versions that begin when a row of k does.
func (r *reader) compareVersions(ctx context.Context, f *found, s section, k *part) error {
	at := map[int64]int{}
	for i := range f.versions {
		if v := &f.versions[i]; v.at >= 0 && !v.empty() {
			f.hits = append(f.hits, Hit{Row: v.row, Input: v.at})
			at[v.row] = i
		}
	}
	if len(f.hits) == 0 {
		return nil
	}
	slices.SortFunc(f.hits, func(a, b Hit) int { return cmp.Compare(a.Row, b.Row) })
	if err := r.compareHits(ctx, f, s, k); err != nil {
		return err
	}
	for _, h := range f.hits {
		f.versions[at[h.Row]].outcome = h.Outcome
	}
	f.hits = nil
	return nil
}

// near leaves, of versions of keys of k, those that a row of k may change or has to know: one that begins, holds or ends
// when the row is effective, and the first one that begins after it. They are then in order, by chain and time.
func (in *Input) near(versions []version, k *part) []version {
	slices.SortFunc(versions, func(a, b version) int {
		return cmp.Or(cmp.Compare(a.chain, b.chain), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	kept := versions[:0]
	for i, v := range versions {
		rows := k.chains.of(v.chain)
		time := func(i int) int64 { return in.history.effects[k.rows[rows[i]]] }
		next, same := slices.BinarySearchFunc(rows, v.from, func(at int32, t int64) int { return cmp.Compare(in.history.effects[k.rows[at]], t) })
		if same {
			v.at = rows[next]
		}
		// What was left out lies between two rows as well, so the version before v is what it was.
		switch first := next > 0 && (i == 0 || len(kept) == 0 || kept[len(kept)-1].chain != v.chain || kept[len(kept)-1].from <= time(next-1)); {
		case next < len(rows) && time(next) <= v.to, first:
			kept = append(kept, v)
		}
	}
	return kept
}

// moved gives rec, whose first row is row number first of m, the ends that its versions have now.
func (m *Match) moved(rec arrow.RecordBatch, first int64) (arrow.RecordBatch, error) {
	from, _ := slices.BinarySearchFunc(m.moves, first, func(v move, row int64) int { return cmp.Compare(v.row, row) })
	end, _ := slices.BinarySearchFunc(m.moves, first+rec.NumRows(), func(v move, row int64) int { return cmp.Compare(v.row, row) })
	if from == end {
		rec.Retain()
		return rec, nil
	}
	return m.history.withEnds(rec, first, m.moves[from:end])
}
