package merge

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/zeebo/xxh3"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/digest"
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

// sameRows tells whether a file, which all of its rows were looked for in, has nothing but rows of the input as they are, by
// the digest in its footer: one that an earlier run of the same input wrote. Then no other column has to be read.
func (r *reader) sameRows(ctx context.Context, all []found, sections []section, k *part) (bool, error) {
	in := r.in
	if len(sections) == 0 || len(in.layouts) != 1 || len(in.layouts[0].absent) > 0 || len(in.o.Ignore) > 0 || in.deletes != nil {
		return false, nil
	}
	file := sections[0].file
	var sum digest.Sum
	for _, f := range all {
		for _, h := range f.hits {
			d := k.digests[h.Input]
			sum = sum.Add(digest.Sum{Rows: 1, Hi: d.hi, Lo: d.lo})
		}
	}
	if sum.Rows == 0 || sum.Rows != file.DataFile().Count() || len(file.Deletes) > 0 {
		return false, nil
	}
	known, err := live.Digests(ctx, r.tbl, []*live.File{file})
	if err != nil {
		return false, err
	}
	theirs, ok := known[file]
	return ok && theirs == sum, nil
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

// compareHits says what becomes of the hits of a section. Of the other columns it reads what it takes: none where it does not
// matter what rows say, one where that tells of all hits (telling.go), or all.
func (r *reader) compareHits(ctx context.Context, f *found, s section, k *part) error {
	var open []*Hit
	for i := range f.hits {
		h := &f.hits[i]
		row := int(k.rows[h.Input])
		if len(r.all) == 0 || r.in.newer == nil && r.in.isDelete(row) {
			h.Outcome = r.in.outcome(row, true, false)
		} else {
			open = append(open, h)
		}
	}
	if len(open) == 0 {
		return nil
	}
	if column, ours := r.tells(ctx, s, open, k); column != nil {
		var err error
		if open, err = r.look(ctx, f, s, open, k, column, ours); err != nil {
			return err
		}
		r.telling.looked(len(open))
	}
	if len(open) == 0 {
		return nil
	}
	return r.compareWhole(ctx, f, s, open, k)
}

// compareWhole compares the rows of hits in all columns.
func (r *reader) compareWhole(ctx context.Context, f *found, s section, hits []*Hit, k *part) error {
	hashers := make([]*digest.Hasher, len(r.compare))
	for i, schema := range r.compare {
		var err error
		if hashers[i], err = digest.NewHasher(schema); err != nil {
			return err
		}
	}
	var sums [2][]uint64
	return r.eachWithHits(ctx, s, r.all, hits, func(rec arrow.RecordBatch, first int64, hits []*Hit) error {
		if err := r.compareBatch(rec, first, hits, k, hashers, &sums); err != nil {
			return err
		}
		return r.keepOld(f, rec, first, hits, k)
	})
}

// compareBatch settles the hits in rec, whose first row is row number first.
func (r *reader) compareBatch(rec arrow.RecordBatch, first int64, hits []*Hit, k *part, hashers []*digest.Hasher, sums *[2][]uint64) error {
	in := r.in
	theirs, err := r.agesOf(rec)
	if err != nil {
		return err
	}
	layouts := map[int]bool{}
	for _, h := range hits {
		layouts[in.layoutOf(int(k.rows[h.Input]))] = true
	}
	// Where few rows are hit, these are hashed, and not their neighbours.
	compared, few := rec, len(hits)*fewHits < int(rec.NumRows())
	if few {
		if compared, err = picked(rec, first, hits); err != nil {
			return err
		}
		defer compared.Release()
	}
	n := int(compared.NumRows())
	sums[0], sums[1] = sized(sums[0], n), sized(sums[1], n)
	for l := range layouts {
		hashers[l].Rows(compared, sums[0], sums[1])
		for i, h := range hits {
			mine, at := int(h.Input), int(h.Row-first)
			row := int(k.rows[mine])
			if in.layoutOf(row) != l {
				continue
			}
			if !few {
				i = at
			}
			same := k.digests[mine] == fingerprint{sums[0][i], sums[1][i]}
			h.Outcome = in.outcome(row, same, r.stale(k, mine, theirs, at))
		}
	}
	return nil
}

// fewHits is how many rows a batch has for each hit, from which on it is cheaper to pick them.
const fewHits = 32

// picked are the rows of rec that were hit.
func picked(rec arrow.RecordBatch, first int64, hits []*Hit) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, 0, rec.NumCols())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for _, c := range rec.Columns() {
		arr, err := gather([]arrow.Array{c}, len(hits), func(i int) (int, int) { return 0, int(hits[i].Row - first) })
		if err != nil {
			return nil, err
		}
		columns = append(columns, arr)
	}
	return array.NewRecordBatch(rec.Schema(), columns, int64(len(hits))), nil
}

// layoutOf is the number of the layout that a row of the input has.
func (in *Input) layoutOf(row int) int {
	if len(in.layouts) == 1 {
		return 0
	}
	return in.batches[in.batchOf(row)].layout
}

// agesOf says how new the rows of rec are; nil where that does not matter.
func (r *reader) agesOf(rec arrow.RecordBatch) (*ages, error) {
	if r.in.newer == nil {
		return nil, nil
	}
	a, err := r.in.newer.of(rec)
	return &a, err
}

// stale tells whether row mine of k is older than the row at place at of the table's.
func (r *reader) stale(k *part, mine int, theirs *ages, at int) bool {
	return theirs != nil && k.newer.compare(mine, theirs, at) < 0
}

// outcome is that of an input row that hit a row which says the same, or is newer.
func (in *Input) outcome(row int, same, stale bool) Outcome {
	switch {
	case stale:
		return Stale
	case in.isDelete(row):
		return Deleted
	case same:
		return Unchanged
	}
	return Updated
}

// keepOld adds the old values of the hits in rec that are Updated to f.
func (r *reader) keepOld(f *found, rec arrow.RecordBatch, first int64, hits []*Hit, k *part) error {
	if len(r.old) == 0 {
		return nil
	}
	var rows []int
	var of []int32
	for _, h := range hits {
		if h.Outcome == Updated {
			rows, of = append(rows, int(h.Row-first)), append(of, k.rows[h.Input])
		}
	}
	if len(rows) == 0 {
		return nil
	}
	var fields []arrow.Field
	var columns []arrow.Array
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for _, name := range r.old {
		column, _ := r.tbl.Schema().FindFieldByName(name)
		arr, err := columnOf(rec, column.ID, name)
		if err != nil {
			return err
		}
		picked, err := gather([]arrow.Array{arr}, len(rows), func(i int) (int, int) { return 0, rows[i] })
		if err != nil {
			return err
		}
		fields, columns = append(fields, arrow.Field{Name: name, Type: picked.DataType(), Nullable: true}), append(columns, picked)
	}
	f.old = append(f.old, array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(len(rows))))
	f.oldOf = append(f.oldOf, of)
	return nil
}

// gather makes an array of n values: value i is that at place index of array which, as from tells. Values of
// any type go; runs of neighbours go as one.
func gather(arrays []arrow.Array, n int, from func(i int) (which, index int)) (arrow.Array, error) {
	var parts []arrow.Array
	defer func() {
		for _, p := range parts {
			p.Release()
		}
	}()
	for i := 0; i < n; {
		which, start := from(i)
		end := start + 1
		for i++; i < n; i, end = i+1, end+1 {
			if w, at := from(i); w != which || at != end {
				break
			}
		}
		parts = append(parts, array.NewSlice(arrays[which], int64(start), int64(end)))
	}
	return array.Concatenate(parts, memory.DefaultAllocator)
}
