package publish

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go/table"
)

// fate is what a table, read afresh, tells about a commit whose sending had no good answer.
type fate int

const (
	fateOpen    fate = iota // the branch is where the commit wants it: it may still land
	fateLanded              // the table carries it
	fateRefused             // it can't land: the branch moved without it, and every snapshot in between is there to see
	fateUnseen              // the branch moved, nothing of it is to be found, but snapshots are out of sight
	fateStale               // the branch is where it was, but the schema is not: it can't land unless that is undone
)

// fateOf finds out what became of c. The snapshots tell where the table shows them all, from the
// branch's head down to c's base. It need not: Nessie shows the newest one only, without a parent,
// and an expiry may take the others while the answer is outstanding. Then the head's manifests
// tell, since a snapshot inherits those of the ones before it: were a commit that landed taken for
// refused, its manifests and data files would be removed from under a table that uses them.
func (l *loop) fateOf(ctx context.Context, tbl *table.Table, c *commit) (fate, error) {
	if l.landed(tbl) {
		return fateLanded, nil
	}
	meta := tbl.Metadata()
	head, ref := headOf(meta, l.attempt.Branch)
	if !moved(c.base, ref) {
		switch {
		case outnumbered(meta, c), c.evolves && meta.LastColumnID() != c.lastField:
			return fateRefused, nil
		case c.evolves && meta.CurrentSchema().ID != c.schemaID:
			return fateStale, nil
		}
		return fateOpen, nil
	}
	for s := head; s != nil; s = parentOf(meta, s) {
		// Sequence number 1 is a table's first snapshot. Format version 1 has none: there one without
		// a parent may have hidden others.
		if c.base != nil && s.SnapshotID == *c.base || c.base == nil && s.ParentSnapshotID == nil && s.SequenceNumber == 1 {
			return fateRefused, nil
		}
	}
	if head == nil {
		return fateUnseen, nil
	}
	carried, err := l.carries(ctx, tbl, head, c)
	if err != nil {
		return fateOpen, err
	}
	if carried {
		l.outcome.Snapshot = &c.snapshot
		return fateLanded, nil
	}
	return fateUnseen, nil
}

// outnumbered tells whether a commit to another branch has taken the sequence number that c was
// written with. By the spec no catalog adds a snapshot with a parent then, so c can't land.
func outnumbered(meta table.Metadata, c *commit) bool {
	return meta.Version() >= 2 && c.snapshot.ParentSnapshotID != nil && meta.LastSequenceNumber() >= c.snapshot.SequenceNumber
}

// carries tells whether a snapshot still lists a manifest that c wrote, or a file that c added,
// be it as one that the snapshot itself removed.
func (l *loop) carries(ctx context.Context, tbl *table.Table, s *table.Snapshot, c *commit) (bool, error) {
	fs, err := tbl.FS(ctx)
	if err != nil {
		return false, err
	}
	manifests, err := s.Manifests(fs)
	if err != nil {
		return false, fmt.Errorf("read manifest list of snapshot %d: %w", s.SnapshotID, err)
	}
	for _, m := range manifests {
		if slices.Contains(c.written, m.FilePath()) {
			return true, nil
		}
	}
	for _, m := range manifests {
		for e, err := range m.Entries(fs, false) {
			if err != nil {
				return false, fmt.Errorf("read manifest %s: %w", m.FilePath(), err)
			}
			if c.added[e.DataFile().FilePath()] {
				return true, nil
			}
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
	}
	return false, nil
}
