package writer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/writer/merge"
	"github.com/icewright/icewright/writer/slice"
	"github.com/icewright/icewright/writer/stage"
)

// What a merge or an insert did to partitions is added up from what it knows anyway: the manifests of its base, which
// list every live file with its rows, the rows that it counted in files that it read, and the files that it staged.
// Nothing is read for it. So where files that nobody had to read have deletes that don't tell how many rows they
// hit, the rows of their partition are not known, and no number is given. docs/receipt.md says so to users.

// Partition is what a merge or an insert did to a partition in which a row changed.
type Partition struct {
	Partition slice.Partition
	// RowsBefore and RowsAfter are the live rows of the partition, nil where they are not known.
	RowsBefore, RowsAfter *int64
	// FilesBefore and FilesAfter count data files. FilesAfter is nil in a dry run, which stages none.
	FilesBefore int
	FilesAfter  *int
}

// tally adds up what becomes of a partition.
type tally struct {
	slice.Partition
	rows, comes, goes         int64
	files, filesCome, filesGo int
	unsure                    bool // rows is not all there was
}

type tallies map[string]*tally

func (t tallies) of(p slice.Partition) *tally {
	if t[p.Key] == nil {
		t[p.Key] = &tally{Partition: p}
	}
	return t[p.Key]
}

// hides tells whether rows that go are hidden, and their files stay.
func (m *merging) hides() bool {
	return m.o.Merge != nil && m.o.Merge.OnRead && m.o.Merge.History == nil
}

// tallyStaged notes what the staged files of p, all of them, do to partitions.
func (m *merging) tallyStaged(p *merge.Plan) error {
	all := tallies{}
	for _, f := range p.Rewrites() {
		t := all.of(f.Partition)
		if m.hides() {
			t.goes += int64(f.Changes())
			continue
		}
		t.goes += p.Counted(f)
		t.filesGo++
	}
	for _, f := range slices.Concat(m.result.Staged.Files, m.result.Carried) {
		t := all.of(f.Partition)
		t.comes += f.Count()
		t.filesCome++
	}
	if err := m.even(all, 0); err != nil {
		return err
	}
	m.result.Partitions = all.partitions(p, func(t *tally) (rows, files bool) { return true, true })
	return nil
}

// tallyPlanned notes what p would do to partitions, with tbl as it is to be.
func (m *merging) tallyPlanned(tbl *table.Table, p *merge.Plan) error {
	all, spec := tallies{}, tbl.Spec()
	// Rows that stay of files under other specs, or that get another end, are routed when they are staged.
	var routed int64
	for _, f := range p.Rewrites() {
		t := all.of(f.Partition)
		switch {
		case m.hides(), f.Partition.SpecID == spec.ID() && !f.Moves():
			t.goes += int64(f.Changes())
		default:
			t.goes += p.Counted(f)
			routed += p.Counted(f) - int64(f.Changes())
		}
		if !m.hides() {
			t.filesGo++
		}
	}
	if p.Comes() > 0 {
		if err := m.tallyInput(all, p); err != nil {
			return err
		}
	}
	if routed > 0 && spec.IsUnpartitioned() {
		all.of(slice.NewPartition(spec, tbl.Schema(), nil)).comes += routed
		routed = 0
	}
	if err := m.even(all, routed); err != nil {
		return err
	}
	m.result.Partitions = all.partitions(p, func(t *tally) (rows, files bool) { return routed == 0 || t.SpecID != spec.ID(), false })
	return nil
}

// tallyInput adds the rows of the input that p writes.
func (m *merging) tallyInput(all tallies, p *merge.Plan) error {
	s, err := m.input.Written(p, m.staging)
	if err != nil {
		return err
	}
	parts, err := stage.NewPartitions(m.staging.Schema(), m.staging.Spec())
	if err != nil {
		return err
	}
	for b, err := range s.Batches {
		if err != nil {
			return err
		}
		err := func() error {
			defer b.Release()
			picked, err := s.Pick(b.RecordBatch)
			if err != nil {
				return err
			}
			for row, number := range parts.Of(b.RecordBatch) {
				if picked == nil || picked.Inside(row) {
					all.of(parts.Partition(int(number))).comes++
				}
			}
			return nil
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// even sees that what comes and goes is what was inserted and deleted. elsewhere are rows that come, and nothing
// tells yet where. The rows of a history come and go by other rules.
func (m *merging) even(all tallies, elsewhere int64) error {
	if m.o.Merge != nil && m.o.Merge.History != nil {
		return nil
	}
	grown := elsewhere
	for _, t := range all {
		grown += t.comes - t.goes
	}
	if want := m.result.RowsInserted - m.result.RowsDeleted; grown != want {
		return fmt.Errorf("%w: partitions grow by %d rows, with %d inserted and %d deleted", ErrUnaccounted, grown, m.result.RowsInserted, m.result.RowsDeleted)
	}
	return nil
}

// partitions are those of all, in the order of their paths, with the live files of p. after tells what is known of
// one afterwards.
func (t tallies) partitions(p *merge.Plan, after func(*tally) (rows, files bool)) []Partition {
	for _, f := range p.Live.Data {
		of := t[f.Partition.Key]
		if of == nil {
			continue
		}
		n, ok := p.RowsOf(f)
		of.files, of.rows, of.unsure = of.files+1, of.rows+n, of.unsure || !ok
	}
	var out []Partition
	for _, of := range t {
		one := Partition{Partition: of.Partition, FilesBefore: of.files}
		rows, files := after(of)
		if !of.unsure {
			one.RowsBefore = &of.rows
		}
		if !of.unsure && rows {
			n := of.rows + of.comes - of.goes
			one.RowsAfter = &n
		}
		if files {
			n := of.files + of.filesCome - of.filesGo
			one.FilesAfter = &n
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Partition) int {
		return cmp.Or(strings.Compare(a.Partition.Path, b.Partition.Path), strings.Compare(a.Partition.Key, b.Partition.Key))
	})
	return out
}
