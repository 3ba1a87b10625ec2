package writer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/publish"
)

// What was appended under which key has to be known for longer than its snapshot is kept. So the commit of an
// append also sets a table property with the branch's last run keys.
//
// Every branch has a property of its own, and nobody writes it but commits that require the branch to be where
// they read it. So no entry is lost to another append: of two that read the same list one is refused. (One
// property for all branches would lose entries, since commits to different branches do not refuse one another.)

// Bounds of the property: an append under more keys than that ago may be done again, once its snapshot has
// expired as well.
const (
	mostRunKeys     = 1000
	longestRunKeys  = 256 << 10 // bytes
	propRunKeys     = "icewright.recent-run-keys"
	keyBlind        = "icewright.duplicates-allowed"
	operationAppend = table.OpAppend
)

// runKey is an append that was published. In the property it is an array of its fields.
type runKey struct {
	key      string // "" for a blind append
	digest   string
	snapshot int64
	attempt  string
	at       time.Time // to the second
}

func (k runKey) MarshalJSON() ([]byte, error) {
	// A number that JSON's readers would round is a text.
	return json.Marshal([]any{k.key, k.digest, strconv.FormatInt(k.snapshot, 10), k.attempt, k.at.Unix()})
}

func (k *runKey) UnmarshalJSON(text []byte) error {
	var snapshot string
	var at int64
	fields := []any{&k.key, &k.digest, &snapshot, &k.attempt, &at}
	var raw []json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	if len(raw) != len(fields) {
		return fmt.Errorf("an entry has %d parts, not %d", len(raw), len(fields))
	}
	for i, f := range fields {
		if err := json.Unmarshal(raw[i], f); err != nil {
			return err
		}
	}
	k.at = time.Unix(at, 0)
	var err error
	k.snapshot, err = strconv.ParseInt(snapshot, 10, 64)
	return err
}

// runKeysProperty is where a branch has its keys.
func runKeysProperty(branch string) string {
	if branch == table.MainBranch {
		return propRunKeys
	}
	return propRunKeys + "." + branch
}

// runKeysOf are the keys of a branch, oldest first. A branch that is not there yet starts with main's, as it
// does with its rows.
func runKeysOf(meta table.Metadata, branch string) ([]runKey, error) {
	there := branch == table.MainBranch
	for name := range meta.Refs() {
		there = there || name == branch
	}
	if !there {
		branch = table.MainBranch
	}
	text := meta.Properties()[runKeysProperty(branch)]
	if text == "" {
		return nil, nil
	}
	var keys []runKey
	if err := json.Unmarshal([]byte(text), &keys); err != nil {
		return nil, &plan.GuardError{
			Reason: fmt.Sprintf("table property %s, which says what was appended, cannot be read: %v", runKeysProperty(branch), err),
			Advice: "somebody edited it: put the old value back, or unset it once you know that no append of before will run again",
		}
	}
	return keys, nil
}

// withRunKey is the property's value with one more key. Old ones go where it would get too long.
func withRunKey(keys []runKey, k runKey) (string, error) {
	keys = append(slices.Clone(keys), k)
	keys = keys[max(0, len(keys)-mostRunKeys):]
	for {
		text, err := json.Marshal(keys)
		if err != nil || len(text) <= longestRunKeys || len(keys) == 1 {
			return string(text), err
		}
		keys = keys[1+len(keys)/10:]
	}
}

// publishedUnder is the append that put rows on branch under a key, or that was attempt's own; nil where there
// is none. What was rolled back does not count.
func publishedUnder(meta table.Metadata, branch, key, attempt string) (*runKey, error) {
	keys, err := runKeysOf(meta, branch)
	if err != nil {
		return nil, err
	}
	line := lineageOf(meta, branch)
	for _, k := range slices.Backward(keys) {
		if (k.attempt == attempt || key != "" && k.key == key) && !line.lacks(meta, k.snapshot) {
			return &k, nil
		}
	}
	// Where the property is gone the snapshots still tell, as far as there are any.
	for _, s := range line.snapshots {
		if s.Summary == nil || s.Summary.Operation != operationAppend {
			continue
		}
		props := s.Summary.Properties
		if props[publish.KeyAttempt] == attempt || key != "" && props[keyBlind] == "" && props[publish.KeyRunKey] == key {
			return &runKey{
				key: key, digest: props[publish.KeyDigest], snapshot: s.SnapshotID, attempt: props[publish.KeyAttempt],
				at: time.UnixMilli(s.TimestampMs),
			}, nil
		}
	}
	return nil, nil
}

// lineage are the snapshots of a branch from its head down, as far as the table shows them.
type lineage struct {
	snapshots []*table.Snapshot
	whole     bool // down to the table's first
}

func lineageOf(meta table.Metadata, branch string) (l lineage) {
	for s := live.Head(meta, branch); s != nil; {
		l.snapshots = append(l.snapshots, s)
		if s.ParentSnapshotID == nil {
			// Where only the newest shows it may have none to show: the first has sequence number 1.
			l.whole = s.SequenceNumber == 1
			return l
		}
		s = meta.SnapshotByID(*s.ParentSnapshotID)
	}
	return l
}

// lacks tells that a snapshot is certainly no part of the branch: it was rolled back.
func (l lineage) lacks(meta table.Metadata, id int64) bool {
	if slices.ContainsFunc(l.snapshots, func(s *table.Snapshot) bool { return s.SnapshotID == id }) {
		return false
	}
	if l.whole {
		return true
	}
	s := meta.SnapshotByID(id)
	// Newer than what shows of the branch's end, it would show if it were of it.
	return s != nil && len(l.snapshots) > 0 && s.SequenceNumber > l.snapshots[len(l.snapshots)-1].SequenceNumber
}

// runKeysChange sets the property as part of the commit of a snapshot.
func (r *run) runKeysChange(meta table.Metadata) (func(snapshot int64) (iceberg.Properties, error), error) {
	keys, err := runKeysOf(meta, r.o.Branch)
	if err != nil {
		return nil, err
	}
	return func(snapshot int64) (iceberg.Properties, error) {
		k := runKey{digest: r.result.Staged.Digest.String(), snapshot: snapshot, attempt: r.o.Attempt.String(), at: r.o.Started}
		if !r.o.Append.AllowDuplicates {
			k.key = r.o.RunKey
		}
		text, err := withRunKey(keys, k)
		return iceberg.Properties{runKeysProperty(r.o.Branch): text}, err
	}, nil
}
