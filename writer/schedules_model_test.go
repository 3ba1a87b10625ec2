package writer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/slice"
)

// simRows are what a table holds: sorted rows by region.
type simRows map[string][]string

// after is what one load, with nobody beside it, makes of the rows.
func (m simRows) after(l *simLoad) simRows {
	out := maps.Clone(m)
	for region := range m {
		if l.owner(region) {
			delete(out, region)
		}
	}
	for _, region := range l.regions {
		for id := range l.rowsIn(region) {
			row := fmt.Sprintf("id=%d amount=%d", id, l.generation)
			if l.column != "" {
				row += fmt.Sprintf(" %s=%d", l.column, l.generation)
			}
			out[region] = append(out[region][:id:id], row)
		}
	}
	return out
}

// owner tells whether the region is in the load's slice.
func (l *simLoad) owner(region string) bool {
	return l.how == "table" || slices.Contains(l.owns, region) || slices.Contains(l.regions, region)
}

func (l *simLoad) String() string {
	owns := ""
	if l.owns != nil {
		owns = " in " + strings.Join(l.owns, "")
	}
	return fmt.Sprintf("%s (%s, started %s): %s%s, rows for %q, generation %d, column %q, shrinks %v", l.name, l.job,
		l.started.Format("04:05.000"), l.how, owns, strings.Join(l.regions, ""), l.generation, l.column, l.shrink)
}

func (s *sim) cast() string {
	lines := []string{fmt.Sprintf("faulty %v, expires %v, hides %v", s.faulty, s.expires, s.hides)}
	for _, l := range s.loads {
		lines = append(lines, l.String())
	}
	return strings.Join(lines, "\n")
}

// encounters counts what the histories met.
type encounters struct {
	mu sync.Mutex
	counts
}

type counts struct {
	Loads, Versions, Published, Unchanged, Superseded, Guarded, Conflicts, Unknown, Killed, Evolved, LostAnswers, Retries, Away int
}

// add takes up the counts of one history.
func (t *encounters) add(c *counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum, more := reflect.ValueOf(&t.counts).Elem(), reflect.ValueOf(c).Elem()
	for i := range sum.NumField() {
		sum.Field(i).SetInt(sum.Field(i).Int() + more.Field(i).Int())
	}
}

func (n counts) mustHaveMetAll(t *testing.T) {
	for what, times := range map[string]int{
		"published": n.Published, "unchanged": n.Unchanged, "superseded": n.Superseded, "guarded": n.Guarded, "conflict of field ids": n.Conflicts,
		"unknown": n.Unknown, "killed": n.Killed, "evolved": n.Evolved, "lost answer": n.LostAnswers, "retry": n.Retries,
	} {
		if times == 0 {
			t.Errorf("no history has met: %s", what)
		}
	}
}

// check compares the table's versions, and what each load said, with the model.
func (s *sim) check(all *encounters) {
	total := new(counts)
	defer all.add(total)
	versions := s.store.Versions()
	total.Versions += len(versions) - 1
	states := make([]simRows, len(versions)) // what the model says of each version
	states[0] = simRows{}
	landed := map[*simLoad][]int{}
	for v := 1; v < len(versions); v++ {
		was, is := versions[v-1].CurrentSnapshot(), versions[v].CurrentSnapshot()
		states[v] = states[v-1]
		if was == nil || is.SnapshotID != was.SnapshotID {
			for _, l := range s.loads {
				if is.Summary.Properties[publish.KeyAttempt] == l.attempt.String() {
					states[v] = states[v-1].after(l)
					landed[l] = append(landed[l], v)
				}
			}
		}
		if d := cmp.Diff(states[v], s.rows(versions[v])); d != "" {
			s.t.Errorf("version %d (-model +table):\n%s", v, d)
		}
	}
	for _, l := range s.loads {
		total.Loads++
		total.Retries += max(0, l.res.Attempts-1)
		if l.doubtful {
			total.LostAnswers++
		}
		if l.killed {
			total.Killed++
		}
		s.checkAnswer(total, l, states, landed[l])
		if !s.hides && !s.expires {
			for _, v := range landed[l] {
				if by, ok := s.overtaken(l, v, landed); ok {
					s.t.Errorf("%s is a zombie and landed as version %d, after %s", l.name, v, by.name)
				}
			}
		}
	}
	s.checkLitter()
}

// checkAnswer compares what a load said with what it did.
func (s *sim) checkAnswer(total *counts, l *simLoad, states []simRows, landed []int) {
	// Where snapshots are out of sight, a load cannot find its own once others have written over it.
	blind := l.doubtful && (s.hides || s.expires)
	once := 0
	var guard *plan.GuardError
	switch {
	case l.killed:
		if len(landed) > 1 && !blind {
			s.t.Errorf("%s was killed and landed as versions %v", l.name, landed)
		}
		return
	case l.err == nil && l.res.Status == writer.Published:
		once = 1
		total.Published++
		if len(l.res.SchemaChanges) > 0 {
			total.Evolved++
		}
		if v := s.versionOf(l.res.Snapshot); !slices.Contains(landed, v) {
			s.t.Errorf("%s says that it published version %d, and landed as %v", l.name, v, landed)
		}
	case l.err == nil:
		total.Unchanged++
		was := states[l.sees]
		if d := cmp.Diff(was, was.after(l)); d != "" {
			s.t.Errorf("%s says %s, and changes version %d:\n%s", l.name, l.res.Status, l.sees, d)
		}
	case errors.Is(l.err, publish.ErrSuperseded):
		total.Superseded++
		if !slices.ContainsFunc(s.loads, func(o *simLoad) bool { return o.job == l.job && o.started.After(l.started) }) {
			s.t.Errorf("%s: %v", l.name, l.err)
		}
	case errors.As(l.err, &guard):
		total.Guarded++
		before, after := states[l.sees], states[l.sees].after(l)
		if l.shrink || !slices.ContainsFunc(simRegions, func(p string) bool { return 2*len(after[p]) < len(before[p]) }) {
			s.t.Errorf("%s: %v", l.name, l.err)
		}
	case errors.Is(l.err, publish.ErrConflict):
		total.Conflicts++
		if l.column == "" {
			s.t.Errorf("%s: %v", l.name, l.err)
		}
	case errors.Is(l.err, publish.ErrUnknown):
		total.Unknown++
		if !l.doubtful {
			s.t.Errorf("%s: %v", l.name, l.err)
		}
		once = len(landed) // nobody knows
	case errors.Is(l.err, catalog.ErrTransient) && s.faulty:
		total.Away++
	default:
		s.t.Errorf("%s: %v", l.name, l.err)
	}
	if len(landed) != once && (!blind || len(landed) < once) || len(landed) > 1 && !blind {
		s.t.Errorf("%s says %s, error %v, and landed as versions %v", l.name, l.res.Status, l.err, landed)
	}
}

// versionOf is the version that came with the snapshot.
func (s *sim) versionOf(snapshot *table.Snapshot) int {
	return slices.IndexFunc(s.store.Versions(), func(m table.Metadata) bool {
		return m.CurrentSnapshot() != nil && m.CurrentSnapshot().SnapshotID == snapshot.SnapshotID
	})
}

// overtaken tells whether a later attempt of the job wrote into the slice of l between l's base and
// version v, as which l landed.
func (s *sim) overtaken(l *simLoad, v int, landed map[*simLoad][]int) (*simLoad, bool) {
	for _, o := range s.loads {
		for _, w := range landed[o] {
			if o.job == l.job && o.started.After(l.started) && l.base < w && w < v && s.wroteInto(w, l.owner) {
				return o, true
			}
		}
	}
	return nil, false
}

// wroteInto tells whether a file of an owned region came or went with version v.
func (s *sim) wroteInto(v int, owner func(string) bool) bool {
	was, is := map[string]bool{}, map[string]bool{}
	for side, meta := range map[*map[string]bool]table.Metadata{&was: s.store.Versions()[v-1], &is: s.store.Versions()[v]} {
		for _, f := range s.files(meta) {
			if owner(regionOf(f.DataFile())) {
				(*side)[f.DataFile().FilePath()] = true
			}
		}
	}
	return !maps.Equal(was, is)
}

func regionOf(f iceberg.DataFile) string { return f.Partition()[1000].(string) }

// checkLitter looks for files that no version of the table refers to.
func (s *sim) checkLitter() {
	used := map[string]bool{}
	fsys := s.storage()
	for _, meta := range s.store.Versions() {
		snapshot := meta.CurrentSnapshot()
		if snapshot == nil {
			continue
		}
		used[snapshot.ManifestList] = true
		for _, m := range s.manifests(meta) {
			if used[m.FilePath()] {
				continue
			}
			used[m.FilePath()] = true
			for e, err := range m.Entries(fsys, false) {
				if err != nil {
					s.t.Fatal(err)
				}
				used[e.DataFile().FilePath()] = true
			}
		}
	}
	stored := map[string]bool{}
	for _, f := range testcat.Files(s.store.Versions()[0].Location()) {
		stored[f] = true
	}
	for _, l := range s.loads {
		var unknown *publish.UnknownError
		errors.As(l.err, &unknown)
		for _, f := range l.wrote {
			left := !used[f] && stored[f]
			named := unknown != nil && (slices.Contains(unknown.MetadataFiles, f) || slices.Contains(unknown.DataFiles, f))
			// The files of a commit that may have landed out of sight are nobody's to remove. The first
			// snapshot of a table of version 1 looks like one that hides others.
			unseen := l.doubtful && (s.hides || s.expires || s.store.Versions()[0].Version() == 1)
			if left && !l.killed && !named && !unseen {
				s.t.Errorf("%s leaves %s", l.name, f)
			}
			if used[f] && !stored[f] {
				s.t.Errorf("%s removed %s, which the table refers to", l.name, f)
			}
		}
	}
}

func (s *sim) storage() iceio.IO {
	tbl, _ := s.store.Load(nil)
	fsys, err := tbl.FS(context.WithoutCancel(s.t.Context()))
	if err != nil {
		s.t.Fatal(err)
	}
	return fsys
}

func (s *sim) manifests(meta table.Metadata) []iceberg.ManifestFile {
	if meta.CurrentSnapshot() == nil {
		return nil
	}
	list, err := meta.CurrentSnapshot().Manifests(s.storage())
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// files are the live files of a version.
func (s *sim) files(meta table.Metadata) []slice.LiveFile {
	var out []slice.LiveFile
	for _, m := range s.manifests(meta) {
		for e, err := range m.Entries(s.storage(), true) {
			if err != nil {
				s.t.Fatal(err)
			}
			out = append(out, slice.LiveFile{
				ManifestEntry: e, Manifest: m.FilePath(),
				Partition: slice.PartitionOf(e.DataFile(), meta.PartitionSpec(), meta.CurrentSchema()),
			})
		}
	}
	return out
}

// rows are those of a version, read from its files.
func (s *sim) rows(meta table.Metadata) simRows {
	out := simRows{}
	for _, f := range s.files(meta) {
		region := regionOf(f.DataFile())
		out[region] = append(out[region], s.read(f.DataFile().FilePath(), region, meta.CurrentSchema())...)
		slices.Sort(out[region])
	}
	return out
}

// read gives the rows of a file as text. Columns have the names that the table's schema has for their ids.
func (s *sim) read(name, region string, schema *iceberg.Schema) []string {
	content, err := s.storage().(iceio.ReadFileIO).ReadFile(name)
	if err != nil {
		s.t.Fatal(err)
	}
	tbl, err := pqarrow.ReadTable(context.WithoutCancel(s.t.Context()), bytes.NewReader(content), parquet.NewReaderProperties(nil), pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		s.t.Fatal(err)
	}
	defer tbl.Release()
	rows := make([]string, tbl.NumRows())
	for c := range int(tbl.NumCols()) {
		field := tbl.Schema().Field(c)
		text, _ := field.Metadata.GetValue("PARQUET:field_id")
		id, err := strconv.Atoi(text)
		if err != nil {
			s.t.Fatal(err)
		}
		column, _ := schema.FindFieldByID(id)
		at := 0
		for _, chunk := range tbl.Column(c).Data().Chunks() {
			for i := range chunk.Len() {
				switch {
				case chunk.IsNull(i):
				case column.Name == "region":
					if chunk.ValueStr(i) != region {
						s.t.Errorf("a row of %s lies in %s", chunk.ValueStr(i), region)
					}
				default:
					rows[at] = strings.TrimSpace(rows[at] + " " + column.Name + "=" + chunk.ValueStr(i))
				}
				at++
			}
		}
	}
	return rows
}

// rewritten is a copy of a file whose footer has no digest.
func rewritten(t testing.TB, tbl *table.Table, f iceberg.DataFile) iceberg.DataFile {
	fsys, err := tbl.FS(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	content, err := fsys.(iceio.ReadFileIO).ReadFile(f.FilePath())
	if err != nil {
		t.Fatal(err)
	}
	foreign := bytes.ReplaceAll(content, []byte(digest.FooterKey), []byte(strings.Repeat("x", len(digest.FooterKey))))
	if bytes.Equal(foreign, content) && !strings.Contains(f.FilePath(), "rewritten") {
		t.Errorf("%s has no digest", f.FilePath())
	}
	name := tbl.Location() + "/data/rewritten-" + uuid.NewString() + ".parquet"
	if err := fsys.(iceio.WriteFileIO).WriteFile(name, foreign); err != nil {
		t.Fatal(err)
	}
	b, err := iceberg.NewDataFileBuilder(tbl.Spec(), iceberg.EntryContentData, name, iceberg.ParquetFile, f.Partition(), nil, nil, f.Count(), f.FileSizeBytes())
	if err != nil {
		t.Fatal(err)
	}
	return b.Build()
}
