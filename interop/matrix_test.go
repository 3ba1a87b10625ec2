//go:build interop

package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/icewright/icewright/internal/tally"
)

// TestMatrix has icewright make a table of every kind and every engine read it: the rows and their types,
// what filters on every column find, what the metadata tables say, and the past. docs/interop.md is what it
// found: which cells ran, and what engines cannot do with tables that others read. `-args -rewrite` writes it.
func TestMatrix(t *testing.T) {
	y := tally.Of(t, "it makes a table of a kind that is out there, and every engine reads it")
	found := newFindings()
	borrow := readers(t)
	t.Run("tables", func(t *testing.T) {
		for _, place := range matrixLakes {
			t.Run(place.name, func(t *testing.T) {
				l := place.open(t)
				for _, k := range tableKinds {
					engines := place.engines(k)
					if len(engines) == 0 {
						continue
					}
					t.Run(k.String(), func(t *testing.T) {
						y.Survived(t, 2, 9)
						r := borrow(t)
						m := k.makeOn(t, l)
						m.place = place.name
						for _, e := range engines {
							t.Run(e.name, func(t *testing.T) { e.look(t, r, m, found) })
						}
					})
				}
			})
		}
	})
	found.page(t)
}

// made is a table that icewright made, and what it holds and held.
type made struct {
	kind          tableKind
	place         string
	lake          *lake
	table         string
	before, after model
	// snapshots are all, the last one that of after.
	snapshots []int64
	// past is the snapshot of before.
	past int64
	// shownBefore is what `icewright show` printed of before.
	shownBefore string
	described   description
}

// description is what the tests need of `icewright table describe`.
type description struct {
	MetadataLocation string     `json:"metadata_location"`
	FormatVersion    int        `json:"format_version"`
	Rows             int        `json:"rows"`
	DataFiles        int        `json:"data_files"`
	Partitions       []struct{} `json:"partitions"`
}

// metadata is what the metadata tables of an engine say. Parts that an engine lacks are nil.
type metadata struct {
	Records          int            `json:"records"`
	Files            int            `json:"files"`
	Entries          *int           `json:"entries"`
	Snapshots        []int64        `json:"snapshots"`
	Nulls            map[string]int `json:"nulls"`
	NaNs             map[string]int `json:"nans"`
	PartitionRecords *int           `json:"partition_records"`
	Partitions       *int           `json:"partitions"`
	// Cannot has why a part cannot be had: partitions or entries.
	Cannot map[string]string `json:"cannot"`
	// Lower and Upper are the bounds of every file that has them.
	Lower map[string][]any `json:"lower"`
	Upper map[string][]any `json:"upper"`
}

// look has the engine read the table in every way, and notes what it found.
func (e engine) look(t *testing.T, r *reader, m made, found *findings) {
	for _, limit := range limits {
		if limit.fails != "" && limit.what == "" && limit.concerns(e, m) {
			_, err := e.read(t, r, m, nil)
			if err == nil || !limit.tells(err) {
				t.Errorf("the page says: %s. It says %v", limit.about, err)
			}
			found.cannot(m, e, limit)
			return
		}
	}
	notes := func(l *limit) { found.note(m, e, l) }

	got, err := e.read(t, r, m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if wrong := e.unlike(got, m.after, m, notes); wrong != "" {
		t.Error(wrong)
	}
	if m.lake.keepsSnapshots && !e.excused(m, "past", notes, func() error { _, err := e.read(t, r, m, &m.past); return err }) {
		then, err := e.read(t, r, m, &m.past)
		if err != nil {
			t.Error(err)
		} else if wrong := e.unlike(then, m.before, m, notes); wrong != "" {
			t.Errorf("before the swap %s", wrong)
		}
	}

	filters := m.after.filters()
	if e.count == nil || e.excused(m, "filters", notes, func() error { _, err := e.count(t, r, m, filters); return err }) {
		filters = nil
	}
	var counts []*int
	if len(filters) > 0 {
		if counts, err = e.count(t, r, m, filters); err != nil {
			t.Fatal(err)
		}
	}
	for i, f := range filters {
		if counts[i] != nil && *counts[i] == f.want {
			continue
		}
		if l := filterLimit(e, m, f); l != nil {
			notes(l)
			continue
		}
		if counts[i] == nil {
			t.Errorf("cannot filter where %v", f)
		} else {
			t.Errorf("finds %d rows where %v, the model has %d", *counts[i], f, f.want)
		}
	}

	if e.meta != nil && !e.excused(m, "metadata", notes, func() error { _, err := e.meta(t, r, m); return err }) {
		said, err := e.meta(t, r, m)
		if err != nil {
			t.Fatal(err)
		}
		for part, why := range said.Cannot {
			if !e.excused(m, part, notes, func() error { return errors.New(why) }) {
				t.Errorf("%s: %s", part, why)
			}
		}
		for _, wrong := range said.lies(m) {
			t.Error(wrong)
		}
	}
	found.reads(m, e, len(filters))
}

// lies are the statements of metadata tables that are not true of the table.
func (d metadata) lies(m made) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if d.Records != m.described.Rows || d.Files != m.described.DataFiles {
		say("files: %d files of %d records, want %d of %d", d.Files, d.Records, m.described.DataFiles, m.described.Rows)
	}
	if d.Entries != nil && *d.Entries != m.described.DataFiles {
		say("entries: %d live ones, want %d", *d.Entries, m.described.DataFiles)
	}
	if d.Partitions != nil && (*d.Partitions != len(m.described.Partitions) || *d.PartitionRecords != m.described.Rows) {
		say("partitions: %d of %d records, want %d of %d", *d.Partitions, *d.PartitionRecords, len(m.described.Partitions), m.described.Rows)
	}
	want := slices.Clone(m.snapshots)
	if !m.lake.keepsSnapshots {
		want = want[len(want)-1:]
	}
	if !slices.Equal(d.Snapshots, want) {
		say("snapshots: %v, want %v", d.Snapshots, want)
	}
	for c, col := range m.after.columns {
		if col.kind == unordered || m.kind.filesLack(col.name) {
			continue
		}
		nulls, nans := 0, 0
		var values []string
		for _, r := range m.after.rows {
			switch v := r[c].want; v {
			case nil:
				nulls++
			case "nan":
				nans++
			default:
				values = append(values, fmt.Sprint(v))
			}
		}
		if d.Nulls != nil && d.Nulls[col.name] != nulls {
			say("files: %d nulls in %s, want %d", d.Nulls[col.name], col.name, nulls)
		}
		if d.NaNs != nil && d.NaNs[col.name] != nans {
			say("files: %d NaNs in %s, want %d", d.NaNs[col.name], col.name, nans)
		}
		if d.Lower == nil || len(values) == 0 {
			continue
		}
		order := func(a, b string) int { return col.kind.compare(a, b) }
		slices.SortFunc(values, order)
		// Bounds of texts and bytes may be cut; an upper one is not there where no cut text is above.
		cut := col.kind == byText && (col.yaml == "string" || col.yaml == "binary" || strings.HasPrefix(col.yaml, "fixed"))
		for _, side := range []struct {
			name    string
			bounds  []any
			extreme string
			sign    int
		}{{"lower", d.Lower[col.name], values[0], 1}, {"upper", d.Upper[col.name], values[len(values)-1], -1}} {
			var bounds []string
			for _, b := range side.bounds {
				bounds = append(bounds, fmt.Sprint(b))
			}
			if len(bounds) == 0 {
				// Nor of UUIDs where there are two orders of them.
				if !cut && col.yaml != "uuid" {
					say("files: no %s bound of %s", side.name, col.name)
				}
				continue
			}
			if col.yaml == "uuid" { // some files have none, so that what there is need not reach to the extreme
				for _, b := range bounds {
					if !slices.Contains(values, b) {
						say("files: the %s bound %s of %s is no value of it", side.name, b, col.name)
					}
				}
				continue
			}
			slices.SortFunc(bounds, func(a, b string) int { return side.sign * order(a, b) })
			if got := side.sign * order(bounds[0], side.extreme); got > 0 && !(cut && side.sign < 0) || got != 0 && !cut {
				say("files: the %s bounds of %s reach to %s, the values to %s", side.name, col.name, bounds[0], side.extreme)
			}
		}
	}
	return wrong
}

// makeOn makes a table of the kind.
func (k tableKind) makeOn(t *testing.T, l *lake) made {
	t.Helper()
	m := made{kind: k, lake: l, table: k.table(l, t)}
	fill := k.fill
	if fill == nil {
		fill = swapped
	}
	fill(t, &m)
	if t.Failed() {
		t.FailNow()
	}
	if err := json.Unmarshal([]byte(l.icewright(t, "table", "describe", m.table, "--output", "json")), &m.described); err != nil {
		t.Fatal(err)
	}
	if m.described.FormatVersion != k.version || m.described.Rows != len(m.after.rows) {
		t.Fatalf("the table has version %d and %d rows, want %d and %d", m.described.FormatVersion, m.described.Rows, k.version, len(m.after.rows))
	}
	return m
}

// put has the names of a table's input not clash with those of others in the lake's folder.
func (m *made) put(t *testing.T, name, text string) string {
	t.Helper()
	dir := strings.NewReplacer("/", "_", ".", "_", " ", "_", `"`, "").Replace(m.table)
	if err := os.MkdirAll(filepath.Join(m.lake.dir, dir), 0o755); err != nil {
		t.Fatal(err)
	}
	return m.lake.put(t, dir+"/"+name, text)
}

// load loads a model, which must publish a snapshot, and then again, which must not.
func (m *made) load(t *testing.T, rows model, more ...string) {
	t.Helper()
	source := m.put(t, fmt.Sprintf("%d.ndjson", len(m.snapshots)), rows.ndjson())
	r := m.lake.load(t, m.table, source, more...)
	if r.Status != "published" || r.SnapshotID == nil || r.RowsRead != len(rows.rows) {
		t.Fatalf("a load of %d rows says %+v", len(rows.rows), r)
	}
	m.snapshots = append(m.snapshots, *r.SnapshotID)
	if again := m.lake.load(t, m.table, source, more...); again.Status != "unchanged" || again.Digest != r.Digest {
		t.Errorf("the same load again says %+v", again)
	}
}

// was notes that the table holds rows now, before what comes.
func (m *made) was(t *testing.T, rows model) {
	t.Helper()
	m.before = rows
	m.past = m.snapshots[len(m.snapshots)-1]
	m.shownBefore = m.show(t)
}

func (m *made) show(t *testing.T, more ...string) string {
	t.Helper()
	return m.lake.icewright(t, append([]string{"show", m.table, "--output", "json"}, more...)...)
}

// args are those of the kind's first load.
func (m *made) args(t *testing.T, rows model) []string {
	t.Helper()
	args := []string{"--schema", m.put(t, "schema.yaml", rows.schema()), "--format-version", fmt.Sprint(m.kind.version)}
	if m.kind.by != "" {
		args = append(args, "--partition-by", m.kind.by)
	}
	if m.kind.sort != "" {
		args = append(args, "--sort-by", m.kind.sort)
	}
	if m.kind.by == "" || strings.HasPrefix(m.kind.by, "void(s)") && !strings.Contains(m.kind.by, ",") {
		args = append(args, "--replace-table")
	}
	return args
}

// swapped is the usual way: a load, and one that replaces every partition with rows that differ in all
// columns that the partitions do not come from.
func swapped(t *testing.T, m *made) {
	first := wide(m.kind.columns, 1, m.kind.rows(), 0)
	second := model{columns: first.columns}
	for r, cells := range wide(m.kind.columns, 1, m.kind.rows(), 3).rows {
		for c, col := range m.kind.columns {
			if m.kind.partitionedBy(col.name) {
				cells[c] = first.rows[r][c]
			}
		}
		second.rows = append(second.rows, cells)
	}
	args := m.args(t, first)
	m.load(t, first, args...)
	m.was(t, first)
	m.load(t, second, args...)
	m.after = second
}
