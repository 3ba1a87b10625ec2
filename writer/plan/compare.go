package plan

import (
	"context"
	"slices"

	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/slice"
)

// compare finds out which units hold the staged rows already.
func compare(ctx context.Context, tbl *table.Table, units []*unit, scan bool) error {
	var files []*live.File
	for _, u := range units {
		if u.clean() && u.sameRows() && !u.straddles() {
			for _, f := range u.files {
				files = append(files, f.File)
			}
		}
	}
	dates := live.OnceDates(tbl.Metadata())
	known, err := live.Digests(ctx, tbl, files)
	if err != nil {
		return err
	}
	for _, u := range units {
		told := u.sum(known)
		// iceberg-go v0.7.0 cannot scan dates as timestamps: such rows are replaced, unseen.
		if !told && scan && len(dates) == 0 && len(u.files) > 0 && (u.sameRows() || !u.clean()) {
			if err := u.scan(ctx, tbl); err != nil {
				return err
			}
			told = u.sum(nil)
		}
		var before, after digest.Sum
		for _, f := range u.files {
			if told {
				before = before.Add(*f.sum)
			}
		}
		for _, p := range u.parts {
			after = after.Add(p.After)
		}
		u.equal = told && len(u.files) > 0 && before == after
	}
	return nil
}

// sum notes the digests of the unit's files, where known tells them, and those of its parts, where
// their files have rows in no other. It tells whether it has those of all files.
func (u *unit) sum(known map[*live.File]digest.Sum) bool {
	told := true
	for _, f := range u.files {
		if s, ok := known[f.File]; ok && f.sum == nil {
			f.sum = &s
		}
		told = told && f.sum != nil
	}
	for _, p := range u.parts {
		sum, ok := digest.Sum{}, true
		for _, f := range p.live {
			if ok = ok && f.sum != nil && len(f.shares) == 1; ok {
				sum = sum.Add(*f.sum)
			}
		}
		if ok {
			p.Before = &sum
			p.RowsBefore = sum.Rows
		}
	}
	return told
}

// clean tells that no delete file may apply to the unit's live files.
func (u *unit) clean() bool {
	return !slices.ContainsFunc(u.files, func(f *liveFile) bool { return len(f.Deletes) > 0 })
}

// straddles tells that some of the unit's files have rows outside the slice.
func (u *unit) straddles() bool {
	return slices.ContainsFunc(u.files, func(f *liveFile) bool { return f.cover == slice.Some })
}

// sameRows tells whether the files count as many live rows as staged ones.
func (u *unit) sameRows() bool {
	var n int64
	for _, p := range u.parts {
		n += p.RowsBefore - p.RowsAfter
	}
	return n == 0
}

// scan reads the live rows, deletes applied, of the unit's files whose digest is not known yet, and
// sets it.
func (u *unit) scan(ctx context.Context, tbl *table.Table) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookers)
	for _, f := range u.files {
		if f.sum != nil {
			continue
		}
		g.Go(func() error {
			hasher, err := digest.NewHasher(tbl.Schema())
			if err != nil {
				return err
			}
			var sum digest.Sum
			for rec, err := range rowsOf(ctx, tbl, live.Columns(tbl.Schema()), f.straddler()) {
				if err != nil {
					return err
				}
				sum = sum.Add(hasher.Sum(rec))
				rec.Release()
			}
			f.sum = &sum
			return nil
		})
	}
	return g.Wait()
}
