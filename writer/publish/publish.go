// Package publish makes staged files visible: it turns a change (files that come, files that
// go) into one snapshot on a branch, at most once. It does not decide what the change is: it
// asks a Planner, again on every new base. It neither reads nor writes data files.
package publish

// Why one attempt makes at most one snapshot, and an acknowledged one is never lost
//
// Every commit carries the attempt's id in its snapshot's summary, and requires the branch to be
// where it was when the change was planned (the base). A catalog applies the requirement and the
// change as one step. So:
//
//   - Two commits on the same base can't both land. After an answer that says nothing (a timeout,
//     a 5xx, a broken connection) the same commit is sent again, on the same base: if the first
//     one landed late, the second is refused.
//   - A commit on another base is only made when the table, read afresh, neither holds a snapshot
//     with the attempt's id nor has the branch where the last commit wanted it. A branch that
//     moved does not come back, so that commit can't land any more: its files may go, and the
//     planner is asked again.
//   - A commit that changes the schema also requires the schema, and the last field id, that it was
//     made for. Where only those moved, it can't land as long as they are as they are; field ids never
//     come back, so once there are more of them it is refused for good.
//   - The first commit of a table requires its branch not to exist. Nessie does not heed that; there the commit
//     is pinned to one of Nessie's own (catalog.WithBase).
//   - Who must not do it twice on any base, an append, has the commit set a table property too, and its planner
//     looks there (Change.Properties): what a catalog hides of its snapshots, or an expiry took, it knows still.
//   - What the catalog's error says is never believed where the table can be asked: a refusal
//     (409, and even 400) may be the second delivery of a commit that landed.
//
// Where the table can't be asked in time the state is unknown. Then nothing is removed, the error
// says which files there are, and the next attempt finds out by reading the table.
//
// What we tried before: the library's retry replays the first plan's list of files on the new
// base (two writers lost 24 of 80 swaps), and looking for words such as "requirement failed" in
// errors takes a full disk for a conflict.

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/point"
	"github.com/icewright/icewright/writer/digest"
)

// What a caller can decide on; each ends the attempt.
var (
	// ErrSuperseded says that an attempt of the same job that started later has published already.
	ErrSuperseded = errors.New("superseded")
	// ErrConflict says that other writers won every time, or that the table became another one.
	ErrConflict = errors.New("conflict")
	// ErrUnknown says that the catalog did not tell whether the commit landed. Nothing was removed.
	ErrUnknown = errors.New("commit state unknown")
)

// Keys of the snapshot summary.
const (
	KeyAttempt = "icewright.attempt"
	KeyRunKey  = "icewright.run-key"
	KeyJob     = "icewright.job"
	KeyParams  = "icewright.params"
	KeyStarted = "icewright.started"
	KeyDigest  = "icewright.digest"
	// KeyFingerprint is what the caller knew the run's sources and options by.
	KeyFingerprint = "icewright.fingerprint"
)

// Catalog is what publishing needs of a catalog. Errors are read with catalog.Classify.
type Catalog interface {
	LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error)
	CommitTable(ctx context.Context, ident table.Identifier, requirements []table.Requirement, updates []table.Update) (table.Metadata, string, error)
}

// Change is what one snapshot does to the base it was planned against.
type Change struct {
	Operation table.Operation
	// Add holds data files, and delete files: those apply to data files of the base that stay, or to nothing.
	Add []iceberg.DataFile
	// Remove holds data and delete files of the base.
	Remove []LiveFile
	// Schema becomes the table's current one, in the same commit. The default, nil, is the base's own.
	// Its new fields have ids past the base's last.
	Schema *iceberg.Schema
	// Properties returns table properties that the same commit sets, given the id of its snapshot. Who depends
	// on them names them after the branch: commits to other branches are not refused. May be nil.
	Properties func(snapshot int64) (iceberg.Properties, error)
	// Summary is added to the snapshot's summary, beside the counts and the attempt's own keys.
	Summary iceberg.Properties
}

// Planner returns the change that the staged files mean for base, or nil where there is nothing
// to publish. It is called again whenever the branch has moved. Its error ends the attempt.
type Planner func(ctx context.Context, base *table.Table) (*Change, error)

// Attempt is one process's try to publish one run.
type Attempt struct {
	ID     uuid.UUID
	Table  table.Identifier
	Branch string
	// Job names what is run, for the fence; RunKey names the run. Params may be empty.
	Job, RunKey, Params string
	// Fingerprint names sources and options, for Standing. May be empty.
	Fingerprint string
	// Started is the wall clock when the attempt began, before it read its base or its input.
	Started time.Time
	Digest  digest.Sum
	// Base is the table as the attempt first saw it: snapshots up to it don't fence.
	Base *table.Table
	// Touches tells whether a file lies in the slice of the run. It is asked about files that
	// other snapshots added or removed.
	Touches func(f iceberg.DataFile, spec iceberg.PartitionSpec, schema *iceberg.Schema) bool
	// Spares tells that an entry of another attempt's snapshot, which added or removed a file in the slice,
	// changed no row of it. The default, nil, says so of none.
	Spares func(by *table.Snapshot, e iceberg.ManifestEntry, schema *iceberg.Schema) bool
}

// Options bounds the loop. The zero value is right for a run.
type Options struct {
	// Conflicts is how often the attempt plans again after losing a race. The default, 0, is 100.
	Conflicts int
	// Patience is how long one question to the catalog (did it land? where is the branch?) is asked
	// again. The default, 0, is two minutes.
	Patience time.Duration
	// Sleep waits between tries, and Now is the wall clock. The defaults, nil, are the real ones.
	Sleep func(ctx context.Context, d time.Duration) error
	Now   func() time.Time
}

// Outcome says what publishing did.
type Outcome struct {
	// Snapshot is the one that carries the attempt; nil where there was nothing to publish.
	Snapshot *table.Snapshot
	// Base is the branch's head that the last plan was made against; nil: it had none.
	Base *table.Snapshot
	// Tries counts the plans.
	Tries int
	// Unseen says that a commit made for an earlier plan may have landed as well, in a snapshot that the
	// catalog does not show: what it added is not to be removed.
	Unseen bool
	// Litter holds metadata files of commits that lost a race, where they could not be removed.
	Litter []string
}

// Publish asks plan for a change and commits it, until it landed or can't. See the argument at
// the head of this file. Errors wrap ErrSuperseded, ErrConflict, ErrUnknown, a sentinel of
// package catalog, or are the planner's own. After every error but ErrUnknown no file that
// Publish wrote is left, and the caller may remove what it staged.
func Publish(ctx context.Context, cat Catalog, a Attempt, plan Planner, o Options) (Outcome, error) {
	l := &loop{cat: cat, attempt: a, plan: plan, options: o.withDefaults()}
	err := l.run(ctx)
	return l.outcome, err
}

func (o Options) withDefaults() Options {
	if o.Conflicts == 0 {
		o.Conflicts = 100
	}
	if o.Patience == 0 {
		o.Patience = 2 * time.Minute
	}
	if o.Sleep == nil {
		o.Sleep = func(ctx context.Context, d time.Duration) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(d):
				return nil
			}
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

type loop struct {
	cat     Catalog
	attempt Attempt
	plan    Planner
	options Options
	outcome Outcome
}

func (l *loop) run(ctx context.Context) error {
	for {
		tbl, err := l.load(ctx)
		if err != nil {
			return err
		}
		if l.landed(tbl) {
			return nil
		}
		c, err := l.prepare(ctx, tbl)
		switch {
		case errors.Is(err, fs.ErrNotExist) && l.overtaken(ctx, tbl):
			// The base expired while it was being read, and its files with it: a race lost like another.
		case err != nil || c == nil:
			return err
		default:
			// From here on an interrupt waits: the answer is due in moments, and without it nobody
			// would know whether the staged files may be removed.
			done, err := l.settle(context.WithoutCancel(ctx), tbl, c)
			if done || err != nil {
				return err
			}
		}
		if l.outcome.Tries > l.options.Conflicts {
			return fmt.Errorf("%w: other writers moved branch %q before each of %d commits", ErrConflict, l.attempt.Branch, l.outcome.Tries)
		}
		if err := l.options.Sleep(ctx, backoff(l.outcome.Tries)); err != nil {
			return err
		}
	}
}

// overtaken tells whether the branch has another head by now than tbl says.
func (l *loop) overtaken(ctx context.Context, tbl *table.Table) bool {
	fresh, err := l.load(ctx)
	if err != nil {
		return false // what made it ask is the news
	}
	was, _ := headOf(tbl.Metadata(), l.attempt.Branch)
	is, _ := headOf(fresh.Metadata(), l.attempt.Branch)
	return was != nil && (is == nil || is.SnapshotID != was.SnapshotID)
}

// prepare plans against tbl and writes the metadata of the commit; nil: nothing to publish.
func (l *loop) prepare(ctx context.Context, tbl *table.Table) (*commit, error) {
	l.outcome.Tries++
	l.outcome.Base, _ = headOf(tbl.Metadata(), l.attempt.Branch)
	change, err := l.plan(ctx, tbl)
	if err == nil && change == nil {
		return nil, nil
	}
	// A zombie is told so even where a guard would have stopped it: it is not to be mended.
	if fenced := l.fence(ctx, tbl); fenced != nil {
		return nil, catalog.StorageFailure(fenced)
	}
	if err != nil {
		return nil, catalog.StorageFailure(err)
	}
	stamped := *change
	stamped.Summary = l.summary(change.Summary)
	point.Reach("publish: planned")
	c, err := produce(ctx, tbl, l.attempt.Branch, &stamped, l.options.Now().UnixMilli())
	return c, catalog.StorageFailure(err)
}

func (l *loop) summary(extra iceberg.Properties) iceberg.Properties {
	s := iceberg.Properties{
		KeyAttempt: l.attempt.ID.String(),
		KeyRunKey:  l.attempt.RunKey,
		KeyJob:     l.attempt.Job,
		KeyStarted: l.attempt.Started.UTC().Format(time.RFC3339Nano),
		KeyDigest:  l.attempt.Digest.String(),
	}
	if l.attempt.Params != "" {
		s[KeyParams] = l.attempt.Params
	}
	if l.attempt.Fingerprint != "" {
		s[KeyFingerprint] = l.attempt.Fingerprint
	}
	maps.Copy(s, extra)
	return s
}

// settle sends the commit until its fate is known: landed (done), or never to land (not done:
// the branch moved, plan again; or an error).
func (l *loop) settle(ctx context.Context, tbl *table.Table, c *commit) (done bool, err error) {
	ctx = catalog.WithIdempotencyKey(ctx, uuid.Must(uuid.NewV7()).String()) // one for all sendings of c
	ctx = catalog.WithBase(ctx, tbl)
	deadline := l.options.Now().Add(l.options.Patience)
	pending := false // some sending has no answer, so it may land late
	for try := 1; ; try++ {
		point.Reach("publish: about to commit")
		sendCtx, cancel := context.WithTimeout(ctx, l.options.Patience)
		meta, _, sent := l.cat.CommitTable(sendCtx, l.attempt.Table, c.requirements, c.updates)
		cancel()
		point.Reach("publish: commit answered")
		if sent == nil {
			l.outcome.Snapshot = &c.snapshot
			catalog.RemoveOldMetadata(c.fs, tbl.Metadata(), meta)
			return true, nil
		}
		class := catalog.Classify(sent)
		answered := errors.Is(class, catalog.ErrConflict) || errors.Is(class, catalog.ErrTransient) || lasting(class)
		pending = pending || !answered
		fresh, err := l.load(ctx)
		if !pending && errors.Is(err, ErrConflict) {
			// The table is gone, or is another one: the commit's first requirement can't hold. Where
			// an answer was lost, it may have held before the table got another name.
			_, left := c.discard()
			return false, errors.Join(err, left)
		}
		if err != nil {
			return false, l.unknown(c, errors.Join(sent, err))
		}
		fate, err := l.fateOf(ctx, fresh, c)
		switch {
		case err != nil:
			return false, l.unknown(c, errors.Join(sent, err))
		case fate == fateLanded:
			return true, nil
		case fate == fateRefused, (fate == fateUnseen || fate == fateStale) && !pending:
			// What can't be removed is no reason to give up: it is only in nobody's way.
			left, _ := c.discard()
			l.outcome.Litter = append(l.outcome.Litter, left...)
			return false, nil
		case fate == fateUnseen:
			// It may have landed and be overwritten by now. The metadata files stay, for the
			// snapshots out of sight; the slice is planned again on what the table shows.
			l.outcome.Unseen = true
			return false, nil
		}
		if lasting(class) || catalog.DiskFull(class) || l.options.Now().After(deadline) {
			if pending {
				return false, l.unknown(c, sent)
			}
			_, left := c.discard()
			if try > 1 {
				class = fmt.Errorf("tried %d times: %w", try, class)
			}
			return false, errors.Join(class, left)
		}
		if err := l.options.Sleep(ctx, backoff(try)); err != nil {
			return false, l.unknown(c, errors.Join(sent, err))
		}
	}
}

// unknown is the error that leaves everything where it is.
func (l *loop) unknown(c *commit, err error) error {
	return &UnknownError{
		Table: name(l.attempt.Table), Attempt: l.attempt.ID, SnapshotID: c.snapshot.SnapshotID,
		MetadataFiles: c.written, Err: err,
	}
}

// landed tells whether some snapshot of the table carries the attempt, and remembers it. Any
// snapshot counts, not only the branch's: one that an operator has rolled back landed as well.
func (l *loop) landed(tbl *table.Table) bool {
	id := l.attempt.ID.String()
	snapshots := tbl.Metadata().Snapshots()
	for i := len(snapshots) - 1; i >= 0; i-- {
		if s := snapshots[i]; s.Summary != nil && s.Summary.Properties[KeyAttempt] == id {
			l.outcome.Snapshot = &s
			return true
		}
	}
	return false
}

// load reads the table afresh. Faults that may pass are waited out, up to the patience.
func (l *loop) load(ctx context.Context) (*table.Table, error) {
	deadline := l.options.Now().Add(l.options.Patience)
	for try := 1; ; try++ {
		tbl, err := l.cat.LoadTable(ctx, l.attempt.Table)
		if err == nil {
			if was, is := l.attempt.Base.Metadata().TableUUID(), tbl.Metadata().TableUUID(); was != is {
				return nil, fmt.Errorf("%w: table %s was dropped and made anew (uuid %s, now %s)", ErrConflict, name(l.attempt.Table), was, is)
			}
			return tbl, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		err = catalog.Classify(err)
		if errors.Is(err, catalog.ErrNotFound) {
			return nil, fmt.Errorf("%w: table %s was dropped in the meantime: %w", ErrConflict, name(l.attempt.Table), err)
		}
		if lasting(err) || catalog.DiskFull(err) || l.options.Now().After(deadline) {
			return nil, err
		}
		if err := l.options.Sleep(ctx, backoff(try)); err != nil {
			return nil, err
		}
	}
}

// lasting tells whether the same request would get the same answer again.
func lasting(class error) bool {
	return errors.Is(class, catalog.ErrRejected) || errors.Is(class, catalog.ErrNotFound) || errors.Is(class, catalog.ErrConfig)
}

// moved tells whether the branch is no longer where the commit wants it.
func moved(base *int64, ref *table.SnapshotRef) bool {
	if base == nil || ref == nil {
		return (base == nil) != (ref == nil)
	}
	return *base != ref.SnapshotID
}

// backoff is full jitter: between nothing and 20 ms doubled with every try, 3 s at most.
func backoff(try int) time.Duration {
	ceiling := min(3*time.Second, 20*time.Millisecond<<min(try, 10))
	return time.Duration(rand.Int64N(int64(ceiling)))
}

func name(ident table.Identifier) string { return strings.Join(ident, ".") }

// UnknownError is an ErrUnknown with what an operator needs to find out and to clean up.
type UnknownError struct {
	Table         string
	Attempt       uuid.UUID
	SnapshotID    int64
	MetadataFiles []string
	// DataFiles are the staged files, filled in by the owner of the staging.
	DataFiles []string
	Err       error
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("commit to %s: %v: the catalog did not say whether snapshot %d landed: %v", e.Table, ErrUnknown, e.SnapshotID, e.Err)
}

func (e *UnknownError) Unwrap() []error { return []error{ErrUnknown, e.Err} }

// Hint tells how the state resolves itself.
func (e *UnknownError) Hint() string {
	return fmt.Sprintf("run it again: the next attempt reads the table. Nothing was removed; if no snapshot of %s ever says %s=%s, these files are litter (icewright doctor --litter finds them): %s",
		e.Table, KeyAttempt, e.Attempt, strings.Join(append(append([]string{}, e.MetadataFiles...), e.DataFiles...), " "))
}
