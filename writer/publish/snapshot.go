package publish

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/point"
	"github.com/icewright/icewright/writer/slice"
)

// The library's own producers can't express a partition swap: they take row filters where a
// bucket has none, or a nil filter that makes every concurrent append a conflict. This one
// takes files, and writes what Java's ReplacePartitions would: operation "overwrite", one new
// manifest for the added files, and new versions of just the manifests that lose one.

const (
	// manifestTargetSize and manifestMinCount are Iceberg's defaults for
	// commit.manifest.target-size-bytes and commit.manifest.min-count-to-merge.
	manifestTargetSize = 8 << 20
	manifestMinCount   = 100
	// manifestReaders bounds the manifests that are read or rewritten at once.
	manifestReaders = 8
)

// commit is one snapshot, written and ready to be sent. It may be sent again as it is: the
// requirement on the branch's head lets at most one of its sendings land.
type commit struct {
	snapshot     table.Snapshot
	base         *int64 // head of the branch that it was planned against; nil: the branch does not exist
	requirements []table.Requirement
	updates      []table.Update
	fs           iceio.WriteFileIO
	written      []string        // manifests and the manifest list
	added        map[string]bool // paths of the added data and delete files

	// evolves says that the commit changes the schema, from schemaID, in a table whose last field id is
	// lastField.
	evolves             bool
	schemaID, lastField int
}

// discard removes the commit's metadata files, and returns those that it could not. Only for a commit
// that can't land any more.
func (c *commit) discard() (left []string, err error) {
	var errs []error
	for _, path := range c.written {
		// Where the write failed there may be nothing.
		if err := c.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			left, errs = append(left, path), append(errs, err)
		}
	}
	point.Reach("publish: metadata files discarded")
	return left, errors.Join(errs...)
}

// producer writes the manifests and the manifest list of one snapshot.
type producer struct {
	ctx     context.Context
	meta    table.Metadata
	fs      iceio.WriteFileIO
	loc     table.LocationProvider
	id      int64
	name    uuid.UUID // in the names of the metadata files
	count   int       // manifests named so far
	written []string
	summary *summary
}

// produce writes the metadata of a snapshot on branch that adds and removes the change's files.
// On error nothing of it is left behind.
func produce(ctx context.Context, tbl *table.Table, branch string, change *Change, nowMillis int64) (_ *commit, err error) {
	fsys, err := tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	fs, ok := fsys.(iceio.WriteFileIO)
	if !ok {
		return nil, table.ErrWriteIORequired
	}
	loc, err := tbl.LocationProvider()
	if err != nil {
		return nil, err
	}
	meta := tbl.Metadata()
	if change.Schema != nil {
		evolved, err := catalog.WithSchema(tbl, change.Schema)
		if err != nil {
			return nil, err
		}
		meta = evolved.Metadata() // what manifests and snapshot are written for
	}
	p := &producer{
		ctx: ctx, meta: meta, fs: fs, loc: loc,
		id: newSnapshotID(meta), name: uuid.Must(uuid.NewV7()), summary: newSummary(),
	}
	c := &commit{fs: fs}
	defer func() {
		if err != nil {
			c.written = p.written
			_, left := c.discard()
			err = errors.Join(err, left)
		}
	}()

	head, ref := headOf(meta, branch)
	manifests, err := p.added(change.Add)
	if err != nil {
		return nil, err
	}
	kept, err := p.kept(head, change.Remove)
	if err != nil {
		return nil, err
	}
	if manifests, err = p.merge(append(manifests, kept...)); err != nil {
		return nil, err
	}
	c.snapshot, err = p.snapshot(head, manifests, change, nowMillis)
	if err != nil {
		return nil, err
	}
	if ref != nil {
		c.base = &ref.SnapshotID
	}
	c.written = p.written
	c.added = make(map[string]bool, len(change.Add))
	for _, f := range change.Add {
		c.added[f.FilePath()] = true
	}
	c.requirements = []table.Requirement{
		table.AssertTableUUID(meta.TableUUID()),
		table.AssertRefSnapshotID(branch, c.base),
	}
	c.updates = []table.Update{table.NewAddSnapshotUpdate(&c.snapshot), setRef(branch, c.snapshot.SnapshotID, ref)}
	if change.Properties != nil {
		props, err := change.Properties(c.snapshot.SnapshotID)
		if err != nil {
			return nil, err
		}
		c.updates = append(c.updates, table.NewSetPropertiesUpdate(props))
	}
	if change.Schema != nil {
		c.evolves, c.schemaID, c.lastField = true, tbl.Schema().ID, tbl.Metadata().LastColumnID()
		c.requirements = append(c.requirements, table.AssertCurrentSchemaID(c.schemaID), table.AssertLastAssignedFieldID(c.lastField))
		mapping, err := catalog.MappingUpdates(tbl.Metadata(), change.Schema)
		if err != nil {
			return nil, fmt.Errorf("name mapping of %s: %w", name(tbl.Identifier()), err)
		}
		c.updates = slices.Concat(catalog.SchemaUpdates(meta, change.Schema), mapping, c.updates)
	}
	return c, nil
}

// headOf returns the snapshot that a commit to branch builds on, and the branch's ref. A branch
// that does not exist yet starts at main's head: its ref is nil, its head may not be.
func headOf(meta table.Metadata, branch string) (*table.Snapshot, *table.SnapshotRef) {
	for name, ref := range meta.Refs() {
		if name == branch {
			return meta.SnapshotByID(ref.SnapshotID), &ref
		}
	}
	return meta.CurrentSnapshot(), nil
}

// setRef moves the branch. The update replaces the whole ref, so it carries on its retention.
func setRef(branch string, id int64, ref *table.SnapshotRef) table.Update {
	var maxRefAge, maxSnapshotAge int64
	var minSnapshots int
	if ref != nil {
		if ref.MaxRefAgeMs != nil {
			maxRefAge = *ref.MaxRefAgeMs
		}
		if ref.MaxSnapshotAgeMs != nil {
			maxSnapshotAge = *ref.MaxSnapshotAgeMs
		}
		if ref.MinSnapshotsToKeep != nil {
			minSnapshots = *ref.MinSnapshotsToKeep
		}
	}
	return table.NewSetSnapshotRefUpdate(branch, id, table.BranchRef, maxRefAge, maxSnapshotAge, minSnapshots)
}

// newSnapshotID is a positive random number that the table does not use yet.
func newSnapshotID(meta table.Metadata) int64 {
	for {
		if id := rand.Int64(); id > 0 && meta.SnapshotByID(id) == nil {
			return id
		}
	}
}

// added writes the manifests of the new files, one or more for each partition spec: those of data files, then
// those of delete files.
func (p *producer) added(files []iceberg.DataFile) ([]iceberg.ManifestFile, error) {
	type kind struct {
		content iceberg.ManifestContent
		spec    int
	}
	byKind := map[kind][]iceberg.DataFile{}
	for _, f := range files {
		k := kind{iceberg.ManifestContentData, int(f.SpecID())}
		if f.ContentType() != iceberg.EntryContentData {
			k.content = iceberg.ManifestContentDeletes
		}
		byKind[k] = append(byKind[k], f)
		p.summary.add(f)
	}
	kinds := slices.SortedFunc(maps.Keys(byKind), func(a, b kind) int {
		return cmp.Or(cmp.Compare(a.content, b.content), cmp.Compare(a.spec, b.spec))
	})
	var out []iceberg.ManifestFile
	for _, k := range kinds {
		// The entries carry the statistics of every column: cut by columns times files, so that
		// a manifest stays near the target size without being encoded twice.
		perManifest := max(1, manifestTargetSize/(200+60*len(p.meta.CurrentSchema().Fields())))
		for files := range slices.Chunk(byKind[k], perManifest) {
			m, err := p.manifest(k.spec, k.content, func(w *iceberg.ManifestWriter) error {
				for _, f := range files {
					if err := w.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &p.id, nil, nil, f)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			out = append(out, m)
		}
	}
	return out, nil
}

// kept returns the head's manifests without the removed files: most as they are, those that
// lose a file rewritten, those without a live file left out.
func (p *producer) kept(head *table.Snapshot, removed []slice.LiveFile) ([]iceberg.ManifestFile, error) {
	if head == nil {
		if len(removed) > 0 {
			return nil, fmt.Errorf("publish: %d files to remove from a branch without a snapshot", len(removed))
		}
		return nil, nil
	}
	byManifest := map[string]map[fileKey]bool{}
	for _, f := range removed {
		if byManifest[f.Manifest] == nil {
			byManifest[f.Manifest] = map[fileKey]bool{}
		}
		byManifest[f.Manifest][keyOf(f.DataFile())] = true
	}
	manifests, err := head.Manifests(p.fs)
	if err != nil {
		return nil, fmt.Errorf("read manifest list of snapshot %d: %w", head.SnapshotID, err)
	}

	losing := make([][]iceberg.ManifestEntry, len(manifests))
	group, _ := errgroup.WithContext(p.ctx)
	group.SetLimit(manifestReaders)
	for i, m := range manifests {
		if byManifest[m.FilePath()] == nil {
			continue
		}
		group.Go(func() (err error) {
			losing[i], err = p.live(m)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}

	var out []iceberg.ManifestFile
	for i, m := range manifests {
		gone, ok := byManifest[m.FilePath()]
		switch {
		case !ok && (m.HasAddedFiles() || m.HasExistingFiles()):
			out = append(out, m)
		case ok:
			delete(byManifest, m.FilePath())
			rewritten, err := p.without(m, losing[i], gone)
			if err != nil {
				return nil, err
			}
			out = append(out, rewritten)
		}
	}
	if len(byManifest) > 0 {
		return nil, fmt.Errorf("publish: the plan removes files of manifests that snapshot %d does not have", head.SnapshotID)
	}
	return out, nil
}

// live reads the manifest's entries that are not deleted, with everything inherited resolved.
func (p *producer) live(m iceberg.ManifestFile) ([]iceberg.ManifestEntry, error) {
	entries := make([]iceberg.ManifestEntry, 0, int(m.AddedDataFiles()+m.ExistingDataFiles()))
	for e, err := range m.Entries(p.fs, true) {
		if err != nil {
			return nil, fmt.Errorf("read manifest %s: %w", m.FilePath(), err)
		}
		entries = append(entries, e)
	}
	return entries, p.ctx.Err()
}

// without rewrites a manifest: the gone files become deleted entries, the others existing ones.
func (p *producer) without(m iceberg.ManifestFile, entries []iceberg.ManifestEntry, gone map[fileKey]bool) (iceberg.ManifestFile, error) {
	found := 0
	out, err := p.manifest(int(m.PartitionSpecID()), m.ManifestContent(), func(w *iceberg.ManifestWriter) error {
		for _, e := range entries {
			if !gone[keyOf(e.DataFile())] {
				if err := w.Existing(e); err != nil {
					return err
				}
				continue
			}
			found++
			p.summary.remove(e.DataFile())
			seq := e.SequenceNum()
			if err := w.Delete(iceberg.NewManifestEntry(iceberg.EntryStatusDELETED, &p.id, &seq, e.FileSequenceNum(), e.DataFile())); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && found != len(gone) {
		err = fmt.Errorf("publish: the plan removes %d files of manifest %s, which has %d of them", len(gone), m.FilePath(), found)
	}
	return out, err
}

// merge packs small manifests of one spec and content into larger ones once there are many of
// them, so that a table that is loaded every hour stays quick to plan. It follows
// commit.manifest-merge.enabled, .min-count-to-merge and .target-size-bytes. Manifests that
// this snapshot wrote stay apart: they hold its added and deleted entries.
func (p *producer) merge(manifests []iceberg.ManifestFile) ([]iceberg.ManifestFile, error) {
	props := p.meta.Properties()
	if !props.GetBool("commit.manifest-merge.enabled", true) {
		return manifests, nil
	}
	target := int64(props.GetInt("commit.manifest.target-size-bytes", manifestTargetSize))
	minCount := props.GetInt("commit.manifest.min-count-to-merge", manifestMinCount)

	type kind struct {
		spec    int32
		content iceberg.ManifestContent
	}
	small := map[kind][]iceberg.ManifestFile{}
	for _, m := range manifests {
		if m.SnapshotID() != p.id && m.Length() < target {
			k := kind{m.PartitionSpecID(), m.ManifestContent()}
			small[k] = append(small[k], m)
		}
	}
	merged := map[string]iceberg.ManifestFile{} // first of a bin: the merged one; others of it: nil
	for _, group := range small {
		if len(group) < minCount {
			continue
		}
		for _, bin := range binsOf(group, target) {
			if len(bin) < 2 {
				continue
			}
			m, err := p.mergeBin(bin)
			if err != nil {
				return nil, err
			}
			for _, old := range bin {
				merged[old.FilePath()] = nil
			}
			merged[bin[0].FilePath()] = m
		}
	}
	out := manifests[:0:0]
	for _, m := range manifests {
		switch into, ok := merged[m.FilePath()]; {
		case !ok:
			out = append(out, m)
		case into != nil:
			out = append(out, into)
		}
	}
	return out, nil
}

// binsOf cuts the manifests, in order, into runs of about target bytes.
func binsOf(manifests []iceberg.ManifestFile, target int64) [][]iceberg.ManifestFile {
	var bins [][]iceberg.ManifestFile
	var size int64
	for _, m := range manifests {
		if len(bins) == 0 || size+m.Length() > target {
			bins, size = append(bins, nil), 0
		}
		bins[len(bins)-1] = append(bins[len(bins)-1], m)
		size += m.Length()
	}
	return bins
}

func (p *producer) mergeBin(bin []iceberg.ManifestFile) (iceberg.ManifestFile, error) {
	entries := make([][]iceberg.ManifestEntry, len(bin))
	group, _ := errgroup.WithContext(p.ctx)
	group.SetLimit(manifestReaders)
	for i, m := range bin {
		group.Go(func() (err error) {
			entries[i], err = p.live(m)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return p.manifest(int(bin[0].PartitionSpecID()), bin[0].ManifestContent(), func(w *iceberg.ManifestWriter) error {
		for _, of := range entries {
			for _, e := range of {
				if err := w.Existing(e); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// manifest writes one manifest. Manifests are small, so they are encoded in memory and put in
// one write, which leaves no torn file behind.
func (p *producer) manifest(specID int, content iceberg.ManifestContent, fill func(*iceberg.ManifestWriter) error) (iceberg.ManifestFile, error) {
	if err := p.ctx.Err(); err != nil {
		return nil, err
	}
	spec := p.meta.PartitionSpecByID(specID)
	if spec == nil {
		return nil, fmt.Errorf("publish: the table has no partition spec %d", specID)
	}
	path := p.loc.NewMetadataLocation(fmt.Sprintf("%s-m%d.avro", p.name, p.count)) // see WrittenBy
	p.count++
	var buf bytes.Buffer
	w, err := iceberg.NewManifestWriter(p.meta.Version(), &buf, avroSpec(*spec), p.meta.CurrentSchema(), p.id, iceberg.WithManifestWriterContent(content))
	if err != nil {
		return nil, fmt.Errorf("write manifest %s: %w", path, err)
	}
	if err := errors.Join(fill(w), w.Close()); err != nil {
		return nil, fmt.Errorf("write manifest %s: %w", path, err)
	}
	if err := p.put(path, buf.Bytes()); err != nil {
		return nil, err
	}
	point.Reach("publish: manifest written")
	m, err := w.ToManifestFile(path, int64(buf.Len()), iceberg.WithManifestFileContent(content))
	if err != nil {
		return nil, fmt.Errorf("write manifest %s: %w", path, err)
	}
	return keepEmptyBounds(m), nil
}

func (p *producer) put(path string, content []byte) error {
	p.written = append(p.written, path) // before the write: a failed one may leave something
	if err := p.fs.WriteFile(path, content); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// snapshot writes the manifest list.
func (p *producer) snapshot(head *table.Snapshot, manifests []iceberg.ManifestFile, change *Change, nowMillis int64) (table.Snapshot, error) {
	schemaID := p.meta.CurrentSchema().ID
	s := table.Snapshot{
		SnapshotID:   p.id,
		ManifestList: p.loc.NewMetadataLocation(fmt.Sprintf("snap-%d-0-%s.avro", p.id, p.name)),
		SchemaID:     &schemaID,
		// The log of snapshots is in order of time even where the clocks of two writers are not.
		TimestampMs: max(nowMillis, p.meta.LastUpdatedMillis()),
	}
	var previous iceberg.Properties
	if head != nil {
		s.ParentSnapshotID = &head.SnapshotID
		previous = iceberg.Properties{}
		if head.Summary != nil {
			previous = head.Summary.Properties
		}
	}
	if p.meta.Version() >= 2 {
		s.SequenceNumber = p.meta.LastSequenceNumber() + 1
	}

	var buf bytes.Buffer
	var w *iceberg.ManifestListWriter
	var err error
	firstRow := p.meta.NextRowID()
	switch p.meta.Version() {
	case 1:
		w, err = iceberg.NewManifestListWriterV1(&buf, p.id, s.ParentSnapshotID)
	case 2:
		w, err = iceberg.NewManifestListWriterV2(&buf, p.id, s.SequenceNumber, s.ParentSnapshotID)
	default:
		w, err = iceberg.NewManifestListWriterV3(&buf, p.id, s.SequenceNumber, firstRow, s.ParentSnapshotID)
	}
	if err != nil {
		return s, fmt.Errorf("write manifest list: %w", err)
	}
	if err := errors.Join(w.AddManifests(manifests), w.Close()); err != nil {
		return s, fmt.Errorf("write manifest list: %w", err)
	}
	if err := p.put(s.ManifestList, buf.Bytes()); err != nil {
		return s, err
	}
	point.Reach("publish: manifest list written")
	if p.meta.Version() >= 3 {
		added := *w.NextRowID() - firstRow
		s.FirstRowID, s.AddedRows = &firstRow, &added
	}
	s.Summary = &table.Summary{Operation: change.Operation, Properties: p.summary.properties(previous, change.Summary)}
	return s, nil
}

// keepEmptyBounds mends what iceberg-go v0.7.0 makes of a partition value that is the empty
// string: a nil bound, which Avro writes as null and readers take for "no value here".
func keepEmptyBounds(m iceberg.ManifestFile) iceberg.ManifestFile {
	bounds := m.Partitions()
	mended := false
	for i := range bounds {
		for _, b := range []**[]byte{&bounds[i].LowerBound, &bounds[i].UpperBound} {
			if *b != nil && **b == nil {
				*b = &[]byte{}
				mended = true
			}
		}
	}
	if !mended {
		return m
	}
	return iceberg.NewManifestFile(m.Version(), m.FilePath(), m.Length(), m.PartitionSpecID(), m.SnapshotID()).
		SequenceNum(m.SequenceNum(), m.MinSequenceNum()).Content(m.ManifestContent()).
		AddedFiles(m.AddedDataFiles()).ExistingFiles(m.ExistingDataFiles()).DeletedFiles(m.DeletedDataFiles()).
		AddedRows(m.AddedRows()).ExistingRows(m.ExistingRows()).DeletedRows(m.DeletedRows()).
		Partitions(bounds).Build()
}

// fileKey tells the entries of a manifest apart: deletion vectors share one Puffin file.
type fileKey struct {
	path   string
	offset int64
}

func keyOf(f iceberg.DataFile) fileKey {
	k := fileKey{path: f.FilePath(), offset: -1}
	if at := f.ContentOffset(); at != nil {
		k.offset = *at
	}
	return k
}

// summary counts what a snapshot adds and removes, in the names that Iceberg gives them.
type summary struct {
	counts     map[string]int64
	partitions map[string]bool
}

func newSummary() *summary {
	return &summary{counts: map[string]int64{}, partitions: map[string]bool{}}
}

func (s *summary) add(f iceberg.DataFile)    { s.count(f, "added", "added") }
func (s *summary) remove(f iceberg.DataFile) { s.count(f, "removed", "deleted") }

// count takes both words because Iceberg "deletes" data files and "removes" all else.
func (s *summary) count(f iceberg.DataFile, verb, dataVerb string) {
	s.partitions[partitionKey(f)] = true
	s.counts[verb+"-files-size"] += slice.SizeOf(f)
	switch f.ContentType() {
	case iceberg.EntryContentData:
		s.counts[dataVerb+"-data-files"]++
		s.counts[dataVerb+"-records"] += f.Count()
	case iceberg.EntryContentPosDeletes:
		s.counts[verb+"-delete-files"]++
		if table.IsDeletionVector(f) {
			s.counts[verb+"-dvs"]++
		} else {
			s.counts[verb+"-position-delete-files"]++
		}
		s.counts[verb+"-position-deletes"] += f.Count()
	case iceberg.EntryContentEqDeletes:
		s.counts[verb+"-delete-files"]++
		s.counts[verb+"-equality-delete-files"]++
		s.counts[verb+"-equality-deletes"] += f.Count()
	}
}

// partitionKey is only for counting distinct partitions.
func partitionKey(f iceberg.DataFile) string {
	return fmt.Sprintf("%d %v", f.SpecID(), f.Partition())
}

// properties returns the summary with its totals. previous is the parent's summary, nil where
// there is no parent; a total that the parent lacks stays unknown, as in Java.
func (s *summary) properties(previous, extra iceberg.Properties) iceberg.Properties {
	out := iceberg.Properties{}
	for name, n := range s.counts {
		if n > 0 {
			out[name] = strconv.FormatInt(n, 10)
		}
	}
	out["changed-partition-count"] = strconv.Itoa(len(s.partitions))
	for _, t := range []struct{ total, add, remove string }{
		{"total-data-files", "added-data-files", "deleted-data-files"},
		{"total-records", "added-records", "deleted-records"},
		{"total-files-size", "added-files-size", "removed-files-size"},
		{"total-delete-files", "added-delete-files", "removed-delete-files"},
		{"total-position-deletes", "added-position-deletes", "removed-position-deletes"},
		{"total-equality-deletes", "added-equality-deletes", "removed-equality-deletes"},
	} {
		var before int64
		if previous != nil {
			n, err := strconv.ParseInt(previous[t.total], 10, 64)
			if err != nil {
				continue
			}
			before = n
		}
		if n := before + s.counts[t.add] - s.counts[t.remove]; n >= 0 {
			out[t.total] = strconv.FormatInt(n, 10)
		}
	}
	maps.Copy(out, extra)
	return out
}
