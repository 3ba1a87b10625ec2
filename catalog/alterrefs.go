package catalog

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/nearest"
)

// RefVerb is what is done to a branch or a tag.
type RefVerb string

// The verbs.
const (
	CreateBranch RefVerb = "create-branch"
	CreateTag    RefVerb = "create-tag"
	SetBranch    RefVerb = "set-branch"
	DropBranch   RefVerb = "drop-branch"
	DropTag      RefVerb = "drop-tag"
)

// RefChange is one change of a branch or a tag.
type RefChange struct {
	Verb RefVerb
	Name string
	// At is a snapshot: its id, or the branch or tag that has it as its head. The default, "", is
	// main's head for what is new; what is there already stays where it is.
	At string
	// Keep bounds how long the ref and its snapshots are kept, for what is created or set.
	Keep Retention
}

// Retention says what an expiry of snapshots leaves. Zero fields leave it to the table's
// properties, or to what the ref had.
type Retention struct {
	// RefAge is how long the ref itself is kept, after its snapshot was made.
	RefAge time.Duration
	// Snapshots is how many snapshots of a branch are kept at least, and SnapshotAge for how long.
	Snapshots   int
	SnapshotAge time.Duration
}

// alterRefs plans what becomes of branches and tags.
func (p *AlterPlan) alterRefs(meta table.Metadata) error {
	was := maps.Collect(meta.Refs())
	is := maps.Clone(was)
	seen := map[string]bool{}
	for _, c := range p.asked.Refs {
		switch {
		case c.Name == "":
			return cannot("", "%s: the name is empty", c.Verb)
		case seen[c.Name]:
			return cannot("alter the table twice", "%q is to become two things at once", c.Name)
		}
		seen[c.Name] = true
		var err error
		switch c.Verb {
		case DropBranch, DropTag:
			if _, ok := was[c.Name]; !ok {
				p.note("there is no %s %q to drop", kindOf(c.Verb), c.Name)
			}
			err = dropRef(is, c)
		default:
			if ref, ok := was[c.Name]; ok && c.Verb != SetBranch && c.At == "" {
				p.note("%s %q is there already, at snapshot %d, and stays there", ref.SnapshotRefType, c.Name, ref.SnapshotID)
			}
			err = setRef(meta, was, is, c)
		}
		if err != nil {
			return err
		}
	}
	if len(seen) == 0 {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		old, had := was[name]
		now, has := is[name]
		if had == has && old.Equals(now) {
			continue
		}
		var pin *int64
		if had {
			pin = &old.SnapshotID
		}
		p.requirements = append(p.requirements, table.AssertRefSnapshotID(name, pin))
		if !has {
			p.updates = append(p.updates, table.NewRemoveSnapshotRefUpdate(name))
		} else {
			p.updates = append(p.updates, table.NewSetSnapshotRefUpdate(name, now.SnapshotID, now.SnapshotRefType,
				value(now.MaxRefAgeMs), value(now.MaxSnapshotAgeMs), value(now.MinSnapshotsToKeep)))
		}
		p.Changes = append(p.Changes, refChange(meta, was, is, name))
	}
	return nil
}

func value[T int | int64](p *T) T {
	if p == nil {
		return 0
	}
	return *p
}

func kindOf(v RefVerb) table.RefType {
	if v == CreateTag || v == DropTag {
		return table.TagRef
	}
	return table.BranchRef
}

func dropRef(is map[string]table.SnapshotRef, c RefChange) error {
	ref, ok := is[c.Name]
	switch {
	case c.Name == table.MainBranch:
		return cannot("icewright table drop drops the table", "branch main cannot be dropped: it is the table")
	case ok && ref.SnapshotRefType != kindOf(c.Verb):
		return cannot("say --drop-"+string(ref.SnapshotRefType), "%q is a %s", c.Name, ref.SnapshotRefType)
	}
	delete(is, c.Name) // one that is not there has been dropped already
	return nil
}

func setRef(meta table.Metadata, was, is map[string]table.SnapshotRef, c RefChange) error {
	kind := kindOf(c.Verb)
	ref, exists := was[c.Name]
	switch {
	case exists && ref.SnapshotRefType != kind:
		return cannot("", "%q is a %s already", c.Name, ref.SnapshotRefType)
	case !exists && c.Verb == SetBranch && c.Name != table.MainBranch:
		near := nearest.Name(c.Name, slices.Collect(maps.Keys(was)))
		if near != "" {
			near = "did you mean " + near + "?"
		}
		return cannot(cmp.Or(near, "--create-branch makes one"), "there is no branch %q", c.Name)
	case kind == table.TagRef && (c.Keep.Snapshots != 0 || c.Keep.SnapshotAge != 0):
		return cannot("", "tag %q: a tag keeps one snapshot; only its own age can be bounded", c.Name)
	case c.Name == table.MainBranch && c.Keep.RefAge != 0:
		return cannot("", "branch main is kept for ever")
	}
	at, err := snapshotAt(meta, was, c)
	if err != nil {
		return err
	}
	switch {
	case !exists:
		ref = table.SnapshotRef{SnapshotID: at, SnapshotRefType: kind}
	case c.Verb == SetBranch:
		ref.SnapshotID = at
	case c.At != "" && at != ref.SnapshotID:
		hint := "--set-branch moves it"
		if kind == table.TagRef {
			hint = "drop it first, and say so in a command of its own"
		}
		return cannot(hint, "%s %q is there already, at snapshot %d", kind, c.Name, ref.SnapshotID)
	}
	if ms := c.Keep.RefAge.Milliseconds(); ms > 0 {
		ref.MaxRefAgeMs = &ms
	}
	if ms := c.Keep.SnapshotAge.Milliseconds(); ms > 0 {
		ref.MaxSnapshotAgeMs = &ms
	}
	if n := c.Keep.Snapshots; n > 0 {
		ref.MinSnapshotsToKeep = &n
	}
	is[c.Name] = ref
	return nil
}

// snapshotAt finds the snapshot that a change means.
func snapshotAt(meta table.Metadata, refs map[string]table.SnapshotRef, c RefChange) (int64, error) {
	at := cmp.Or(c.At, table.MainBranch)
	if ref, ok := refs[at]; ok {
		return ref.SnapshotID, nil
	}
	if id, err := strconv.ParseInt(at, 10, 64); err == nil {
		if meta.SnapshotByID(id) != nil {
			return id, nil
		}
		return 0, cannot("icewright history lists them", "the table has no snapshot %d", id)
	}
	if at == table.MainBranch {
		return 0, cannot("load something first", "%q: the table has no snapshot yet", c.Name)
	}
	near := nearest.Name(at, slices.Collect(maps.Keys(refs)))
	if near != "" {
		near = "did you mean " + near + "?"
	}
	return 0, cannot(cmp.Or(near, "give a snapshot's id, or the name of a branch or a tag"), "there is no snapshot, branch or tag %q", at)
}

// refChange describes what becomes of one ref.
func refChange(meta table.Metadata, was, is map[string]table.SnapshotRef, name string) Change {
	old, had := was[name]
	now, has := is[name]
	c := Change{Name: name, Before: position(old, had), After: position(now, has), Snapshot: now.SnapshotID}
	switch kind := string(cmp.Or(now.SnapshotRefType, old.SnapshotRefType)); {
	case !had:
		c.Action = "create-" + kind
	case !has:
		c.Action = "drop-" + kind
		c.Destroys = true
	case old.SnapshotID == now.SnapshotID:
		c.Action = "keep-" + kind
	default:
		c.Action = "set-" + kind
		c.Destroys = !reaches(meta, now.SnapshotID, old.SnapshotID)
	}
	if c.Destroys {
		c.Snapshots = slices.DeleteFunc(unreached(meta, was, is), func(id int64) bool { return !reaches(meta, old.SnapshotID, id) })
	}
	return c
}

func position(ref table.SnapshotRef, ok bool) string {
	if !ok {
		return ""
	}
	text := "snapshot " + strconv.FormatInt(ref.SnapshotID, 10)
	if ref.MaxRefAgeMs != nil {
		text += ", kept for " + age(*ref.MaxRefAgeMs)
	}
	if ref.MinSnapshotsToKeep != nil {
		text += ", " + strconv.Itoa(*ref.MinSnapshotsToKeep) + " snapshots or more"
	}
	if ref.MaxSnapshotAgeMs != nil {
		text += ", snapshots for " + age(*ref.MaxSnapshotAgeMs)
	}
	return text
}

// age is a number of milliseconds as people say it: 7d, 12h, 1h30m0s.
func age(ms int64) string {
	const day = 24 * time.Hour
	d := time.Duration(ms) * time.Millisecond
	if d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return d.String()
}

// reaches tells whether the snapshot is from, or came before it.
func reaches(meta table.Metadata, from, snapshot int64) bool {
	for s := meta.SnapshotByID(from); s != nil; s = meta.SnapshotByID(*s.ParentSnapshotID) {
		if s.SnapshotID == snapshot {
			return true
		}
		if s.ParentSnapshotID == nil {
			return false
		}
	}
	return false
}

// unreached are the snapshots that refs led to before and no ref leads to any more, newest first.
func unreached(meta table.Metadata, was, is map[string]table.SnapshotRef) []int64 {
	var out []int64
	leads := func(refs map[string]table.SnapshotRef, id int64) bool {
		for _, ref := range refs {
			if reaches(meta, ref.SnapshotID, id) {
				return true
			}
		}
		return false
	}
	for _, s := range slices.Backward(meta.Snapshots()) {
		if leads(was, s.SnapshotID) && !leads(is, s.SnapshotID) {
			out = append(out, s.SnapshotID)
		}
	}
	return out
}
