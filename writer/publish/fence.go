package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/writer/slice"
)

// LiveFile is a file of the base with the manifest that lists it.
type LiveFile = slice.LiveFile

// fence stops a zombie: an attempt that was overtaken by a later one of the same job, which has
// written into the same slice since this attempt looked at the table. Snapshots up to the
// attempt's base don't count: what it saw before it read its input it may replace, so a clock
// that runs ahead elsewhere locks nobody out.
func (l *loop) fence(ctx context.Context, tbl *table.Table) error {
	meta := tbl.Metadata()
	head, _ := headOf(meta, l.attempt.Branch)
	base, _ := headOf(l.attempt.Base.Metadata(), l.attempt.Branch)
	for s := head; s != nil && (base == nil || s.SnapshotID != base.SnapshotID); s = parentOf(meta, s) {
		if !l.startedLater(s) {
			continue
		}
		touched, err := l.touched(ctx, tbl, s)
		if err != nil {
			return err
		}
		if touched {
			return &SupersededError{Job: l.attempt.Job, Started: l.attempt.Started, By: s}
		}
	}
	return nil
}

func parentOf(meta table.Metadata, s *table.Snapshot) *table.Snapshot {
	if s.ParentSnapshotID == nil {
		return nil
	}
	return meta.SnapshotByID(*s.ParentSnapshotID)
}

// startedLater tells whether s is of the attempt's job, by an attempt that started after it.
func (l *loop) startedLater(s *table.Snapshot) bool {
	if s.Summary == nil || s.Summary.Properties[KeyJob] != l.attempt.Job {
		return false
	}
	started, err := time.Parse(time.RFC3339Nano, s.Summary.Properties[KeyStarted])
	return err == nil && started.After(l.attempt.Started)
}

// touched tells whether snapshot s added or removed a file in the slice.
func (l *loop) touched(ctx context.Context, tbl *table.Table, s *table.Snapshot) (bool, error) {
	schema := tbl.Metadata().CurrentSchema()
	return touches(ctx, tbl, s, func(e iceberg.ManifestEntry, spec iceberg.PartitionSpec) bool {
		if l.attempt.Spares != nil && l.attempt.Spares(s, e, schema) {
			return false
		}
		return l.attempt.Touches(e.DataFile(), spec, schema)
	})
}

// touches tells whether snapshot s added or removed a file that is one of those.
func touches(ctx context.Context, tbl *table.Table, s *table.Snapshot, one func(iceberg.ManifestEntry, iceberg.PartitionSpec) bool) (bool, error) {
	fs, err := tbl.FS(ctx)
	if err != nil {
		return false, err
	}
	manifests, err := s.Manifests(fs)
	if err != nil {
		return false, fmt.Errorf("read manifest list of snapshot %d: %w", s.SnapshotID, err)
	}
	meta := tbl.Metadata()
	for _, m := range manifests {
		if m.SnapshotID() != s.SnapshotID {
			continue
		}
		spec := meta.PartitionSpecByID(int(m.PartitionSpecID()))
		if spec == nil {
			return false, fmt.Errorf("manifest %s: the table has no partition spec %d", m.FilePath(), m.PartitionSpecID())
		}
		for e, err := range m.Entries(fs, false) {
			if err != nil {
				return false, fmt.Errorf("read manifest %s: %w", m.FilePath(), err)
			}
			if e.SnapshotID() != s.SnapshotID || e.Status() == iceberg.EntryStatusEXISTING {
				continue
			}
			if one(e, *spec) {
				return true, nil
			}
		}
	}
	return false, ctx.Err()
}

// SupersededError is an ErrSuperseded with who won.
type SupersededError struct {
	Job     string
	Started time.Time
	By      *table.Snapshot
}

func (e *SupersededError) Error() string {
	return fmt.Sprintf("%v: snapshot %d is of an attempt of %q that started at %s, after this one (%s)", ErrSuperseded,
		e.By.SnapshotID, e.Job, e.By.Summary.Properties[KeyStarted], e.Started.UTC().Format(time.RFC3339Nano))
}

// Is makes the error an ErrSuperseded.
func (e *SupersededError) Is(target error) bool { return errors.Is(ErrSuperseded, target) }

// Hint tells why stopping is right.
func (e *SupersededError) Hint() string {
	return "the later attempt's rows are in the table; run again only if this one's input is the newer"
}
