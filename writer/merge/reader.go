package merge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/slice"
)

// reader matches files of one table. It is read-only, for any number of goroutines.
type reader struct {
	in      *Input
	tbl     *table.Table // with row lineage, where it has it
	keys    []string     // columns of the first look
	all     []string     // columns of the second
	old     []string     // of these, those whose old values are wanted
	compare []*iceberg.Schema
	telling *telling
}

func (m *Matcher) newReader(tbl *table.Table) (*reader, error) {
	in := m.in
	if m.telling == nil {
		m.telling = newTelling(in)
	}
	r := &reader{in: in, tbl: live.WithLineage(tbl), telling: m.telling}
	schema := r.tbl.Schema()
	r.keys = catalog.ReadableColumns(tbl, tbl.Schema(), in.lookedAt())
	if in.o.KeysOnly {
		return r, nil
	}
	want := map[int]bool{}
	for _, l := range in.layouts {
		r.compare = append(r.compare, l.compared)
		for _, f := range l.compared.Fields() {
			want[f.ID] = true
		}
	}
	if in.newer != nil {
		want[in.newer.ID] = true
	}
	keep := map[int]bool{iceberg.RowIDFieldID: true}
	for _, c := range in.lacking() {
		keep[in.schema.Field(c).ID] = true
	}
	for _, f := range schema.Fields() {
		if keep[f.ID] {
			r.old = append(r.old, f.Name)
		}
		if keep[f.ID] || want[f.ID] {
			r.all = append(r.all, f.Name)
		}
	}
	if len(r.all) > 0 {
		r.all = catalog.ReadableColumns(tbl, tbl.Schema(), r.all)
	}
	return r, nil
}

// same tells whether what was found in a file is what reading it again would find: the columns of its old
// rows may have changed.
func (r *reader) same(m *Match) bool {
	if len(m.old) == 0 {
		return true
	}
	var have []string
	for _, f := range m.old[0].Schema().Fields() {
		have = append(have, f.Name)
	}
	return slices.Equal(have, r.old)
}

// readAll adds the hits of the rows of k to files.
func (r *reader) readAll(ctx context.Context, files []*Match, k *part) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.in.o.Workers)
	for _, m := range files {
		g.Go(func() error { return r.named(m.File, r.readFile(ctx, m, k)) })
	}
	return g.Wait()
}

// readFile adds the hits of the rows of k in a file: whole, or the row groups that are in reach, side by side.
func (r *reader) readFile(ctx context.Context, m *Match, k *part) error {
	sections, err := r.sections(ctx, m)
	if err != nil {
		return err
	}
	m.read = m.read || len(sections) > 0
	found, err := r.readSections(ctx, sections, k)
	if errors.Is(err, errRows) && len(sections) > 1 {
		// The footer's offsets are not what the scanner goes by: as a whole the file can be read.
		sections = []section{whole(m)}
		found, err = r.readSections(ctx, sections, k)
	}
	if err == nil && len(sections) == 1 && sections[0].all {
		m.rows = found[0].rows
	}
	for _, f := range found {
		for _, h := range f.hits {
			h.Input = k.rows[h.Input]
			m.Hits = append(m.Hits, h)
		}
		m.old, m.oldOf = append(m.old, f.old...), append(m.oldOf, f.oldOf...)
		if r.in.history != nil {
			for len(m.versions) <= k.number {
				m.versions = append(m.versions, nil)
			}
			m.versions[k.number] = append(m.versions[k.number], f.versions...)
		}
	}
	if errors.Is(err, errRows) {
		return fail(ErrTable, "see with another engine whether the table is intact", "live file %s has %d rows by its manifest entry: %v",
			m.DataFile().FilePath(), m.DataFile().Count(), err)
	}
	return err
}

// readSections reads sections of one file. What it found is there without an error only.
func (r *reader) readSections(ctx context.Context, sections []section, k *part) (all []found, err error) {
	all = make([]found, len(sections))
	defer func() {
		if err != nil {
			for _, f := range all {
				f.release()
			}
			all = nil
		}
	}()
	each := func(do func(context.Context, *found, section, *part) error) error {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(r.in.o.Workers)
		for i, s := range sections {
			g.Go(func() error { return do(ctx, &all[i], s, k) })
		}
		return g.Wait()
	}
	if r.in.history != nil {
		return all, each(r.readVersions)
	}
	if err := each(r.findHits); err != nil {
		return all, err
	}
	settle := r.compareHits
	if r.in.o.KeysOnly {
		settle = allUnchanged
	} else if same, err := r.sameRows(ctx, all, sections, k); err != nil {
		return all, err
	} else if same {
		settle = allUnchanged
	}
	return all, each(settle)
}

func allUnchanged(_ context.Context, f *found, _ section, _ *part) error {
	for i := range f.hits {
		f.hits[i].Outcome = Unchanged
	}
	return nil
}

// section are neighbouring live rows of a file.
type section struct {
	first       int64 // its first row's number
	least, most int64 // how many rows it has
	task        table.FileScanTask
	all         bool // it is the whole file
	group       int  // the row group that it is, or begins with
	file        *live.File
}

// cost is about what it takes to read a column of the section's file, in bytes.
func (s section) cost(f iceberg.NestedField) int64 {
	if size, ok := s.file.DataFile().ColumnSizes()[f.ID]; ok {
		return size
	}
	return math.MaxInt64
}

func whole(m *Match) section {
	return section{0, m.LeastRows(), m.DataFile().Count(), m.Task(), true, 0, m.File}
}

// rowGroupsFrom is the size of files from which on it is worth a request to see which row groups are in reach.
var rowGroupsFrom int64 = 4 << 20

// sections are what is to be read of a file.
func (r *reader) sections(ctx context.Context, m *Match) ([]section, error) {
	if m.DataFile().FileSizeBytes() < rowGroupsFrom {
		return []section{whole(m)}, nil
	}
	groups, err := m.RowGroups(ctx, r.tbl)
	if err != nil {
		return nil, err
	}
	if groups == nil {
		return []section{whole(m)}, nil
	}
	spec := r.tbl.Metadata().PartitionSpecByID(m.Partition.SpecID)
	var out []section
	ruledOut := 0
	for i, g := range groups {
		if r.in.within != nil && r.in.within.File(g.Facts, *spec, r.tbl.Schema()) == slice.None {
			continue
		}
		may, err := r.in.probes.mayHold(ctx, m.File, r.tbl, g)
		if err != nil {
			return nil, err
		}
		if may {
			out = append(out, section{g.First, g.Rows, g.Rows, g.Task, false, i, m.File})
		} else {
			ruledOut++
		}
	}
	m.filtered = ruledOut
	if len(groups) == 1 && len(out) == 1 {
		out[0] = whole(m)
	}
	return out, nil
}

// errRows says that another number of rows was read than there is.
var errRows = errors.New("the rows that were read are not that many")

// found is what a section was found to hold. Input of a hit is a row of the part that was looked for.
type found struct {
	rows  int64 // how many were read
	hits  []Hit
	old   []arrow.RecordBatch
	oldOf [][]int32
	// versions are what a history has in place of hits.
	versions []version
}

func (f *found) release() {
	for _, rec := range f.old {
		rec.Release()
	}
}

func (r *reader) named(f *live.File, err error) error {
	if errors.Is(err, live.ErrUnreadable) {
		return fail(ErrTable, "rewrite it with another engine, in Spark: CALL catalog.system.rewrite_data_files",
			"live file %s may hold rows with keys of the input: %v", f.DataFile().FilePath(), err)
	}
	return err
}

// findHits reads the keys of a section.
func (r *reader) findHits(ctx context.Context, f *found, s section, k *part) error {
	var prints []fingerprint
	rows := int64(0)
	once := newOnce(r.in, k)
	for rec, err := range live.Rows(ctx, r.tbl, s.task, r.keys) {
		if err != nil {
			return err
		}
		var null int
		prints, null, _, err = r.in.keys.of(prints, rec)
		if err == nil {
			err = once.next(rec)
		}
		if err != nil {
			rec.Release()
			return err
		}
		for i, p := range prints {
			at := k.find(p)
			if at < 0 || null >= 0 && r.in.nullAt(rec, i) {
				continue
			}
			if once != nil {
				f.hits = once.hits(f.hits, at, i, s.first+rows+int64(i))
				continue
			}
			f.hits = append(f.hits, Hit{Row: s.first + rows + int64(i), Input: int32(at)})
		}
		rows += rec.NumRows()
		rec.Release()
	}
	if rows < s.least || rows > s.most {
		return fmt.Errorf("%w: %d", errRows, rows)
	}
	f.rows = rows
	return nil
}

// nullAt tells whether a row has a null in its key: it is no row of the input, whatever its fingerprint.
func (in *Input) nullAt(rec arrow.RecordBatch, row int) bool {
	for _, c := range in.keys.columns {
		if arr, err := columnOf(rec, c.ID, c.Name); err != nil || arr.IsNull(row) {
			return true
		}
	}
	return false
}
