//go:build interop

package interop

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/icewright/icewright/internal/gendoc"
)

// limit is something that an engine cannot do with a table that others read. Every limit has to be met in
// a run: one that an engine has no more fails it.
type limit struct {
	engines []string
	about   string // a sentence for the page, without its full stop
	kinds   func(tableKind) bool
	place   string // where it is so; "" everywhere
	// One of: reading fails, with the text of fails; or, where what is not "", reading the "past" or the "metadata",
	// or with "filters", or of the metadata "partitions" or "entries", fails with that text;
	fails, what string
	// or has another text at times, by which file comes first;
	orElse string
	// filters find something else;
	filters func(tableKind, filter) bool
	// rows or names come otherwise.
	model func(model) model
}

func (l *limit) concerns(e engine, m made) bool {
	return slices.Contains(l.engines, e.name) && (l.kinds == nil || l.kinds(m.kind)) && (l.place == "" || l.place == m.place)
}

// tells whether the limit is why something failed. One that has no text is no reason for anything.
func (l *limit) tells(err error) bool {
	return l.fails != "" && strings.Contains(err.Error(), l.fails) || l.orElse != "" && strings.Contains(err.Error(), l.orElse)
}

func filterLimit(e engine, m made, f filter) *limit {
	for i := range limits {
		if l := &limits[i]; l.filters != nil && l.concerns(e, m) && l.filters(m.kind, f) {
			return l
		}
	}
	return nil
}

var limits = []limit{
	{
		engines: []string{"pyiceberg", "duckdb", "spark35"}, about: "PyIceberg 0.12, DuckDB 1.4.4 and Spark 3.5 know no variants",
		kinds: func(k tableKind) bool { return k.name == "variants" }, fails: "ariant",
	},
	{
		engines: []string{"spark", "spark35"}, about: "Spark has no times of the day, and opens no table with some",
		kinds: func(k tableKind) bool { return k.name == "times of the day" }, fails: "time",
	},
	{
		engines: []string{"spark", "spark35"}, about: "Spark opens no table with nanoseconds until 4.1",
		kinds: func(k tableKind) bool { return k.name == "nanoseconds" }, fails: "timestamp_ns",
	},
	{
		engines: []string{"spark", "spark35", "trino"},
		about:   "Java's Iceberg, to 1.11, takes the fixed bytes of a partition for bytes with their length before them, and reads no manifest that has some",
		kinds:   func(k tableKind) bool { return k.name == "identity of fixed bytes" }, fails: "Failed to read next record",
		// A file with a null there is read, and Trino itself knows no fixed.
		orElse: "Error processing metadata for table",
	},
	{
		engines: []string{"spark", "spark35", "trino"}, about: "Java's Iceberg, to 1.11, asks for a name with a + for each space, which Nessie takes for a +",
		kinds: func(k tableKind) bool { return k.name == "names of every kind" }, place: onNessie, fails: "NOT_FOUND",
	},
	{
		engines: []string{"spark", "spark35"}, about: "Spark shows no metadata tables with the bounds of UUIDs",
		kinds: hasUUIDs, what: "metadata", fails: "Cannot cast java.util.UUID",
	},
	{
		engines: []string{"spark"}, about: "Spark looks for defaults in no file that lacks the column",
		filters: func(k tableKind, f filter) bool { return k.name == "defaults" && k.filesLack(f.Column) },
	},
	{
		engines: []string{"spark"}, about: "Iceberg 1.11 for Java looks for UUIDs in identity partitions in another order than others",
		filters: func(k tableKind, f filter) bool {
			return k.name == "identity of UUIDs" && f.uuids && !strings.ContainsAny(f.Op, "<>")
		},
	},
	{
		engines: []string{"spark"}, about: "Iceberg 1.11 trips over IN of texts where a partition is null, in Spark's own tables too",
		filters: func(_ tableKind, f filter) bool { return f.Op == "in" && f.texts },
	},
	{
		engines: []string{"spark"}, about: "Iceberg 1.11 orders UUIDs as two signed numbers, where < and > are concerned",
		filters: func(_ tableKind, f filter) bool { return f.uuids && strings.ContainsAny(f.Op, "<>") },
	},
	{
		engines: []string{"duckdb"}, about: "DuckDB 1.4.4 opens no table with nanoseconds",
		kinds: func(k tableKind) bool { return k.name == "nanoseconds" }, fails: "timestamp_ns",
	},
	{
		engines: []string{"pyiceberg"}, about: "PyIceberg 0.12 gives an empty list for a list of structs that is null",
		model: func(m model) model { return m.asReadBy("pyiceberg") },
	},
	{
		engines: []string{"pyiceberg"}, about: "PyIceberg 0.12 shows no metadata tables where a column is a UUID",
		kinds: hasUUIDs, what: "metadata", fails: "ArrowNotImplementedError: extension",
	},
	{
		engines: []string{"pyiceberg"}, about: "PyIceberg 0.12 shows no metadata tables where decimals of a partition have more digits in one file than in another",
		kinds: func(k tableKind) bool { return k.name == "truncate" }, what: "metadata", fails: "does not fit into precision inferred from first array element",
	},
	{
		engines: []string{"pyiceberg"}, about: "PyIceberg 0.12 shows no metadata tables where the bound of a fixed is cut, as Java's Iceberg cuts it",
		kinds: func(k tableKind) bool { return k.name == "bounds at the edges" }, what: "metadata", fails: "expected to be length 20 was 16",
	},
	{
		engines: []string{"pyiceberg"}, about: "PyArrow finds no 0.0 where -0.0 is one of several values",
		filters: func(k tableKind, f filter) bool {
			return k.name == "bounds at the edges" && f.Column == "d" && f.Op == "in"
		},
	},
	{
		engines: []string{"pyiceberg"}, about: "PyIceberg 0.12 shows no metadata tables with the bounds of nanoseconds, unless there is pandas",
		kinds: func(k tableKind) bool { return k.name == "nanoseconds" }, what: "metadata", fails: "pandas",
	},
	{
		engines: []string{"pyiceberg"}, about: "PyIceberg 0.12 cannot filter by nanoseconds",
		kinds: func(k tableKind) bool { return k.name == "nanoseconds" }, what: "filters", fails: "Cannot convert StringLiteral into timestamp_ns",
	},
	{
		engines: []string{"pyiceberg"}, about: "PyIceberg 0.12 cannot filter by a decimal that is wider than in the file",
		kinds: func(k tableKind) bool { return k.name == "schema changed" }, what: "filters", fails: "does not fit into precision inferred from first array element",
	},
	{
		engines: []string{"pyiceberg"}, about: "PyIceberg 0.12 cannot filter by a date whose default stands for what a file lacks",
		kinds: func(k tableKind) bool { return k.name == "defaults" }, what: "filters", fails: "'<=' not supported between instances of 'datetime.date' and 'int'",
	},
	{
		engines: []string{"duckdb"}, about: "DuckDB 1.4.4 looks for nulls, and for defaults, in no file that lacks the column",
		filters: func(k tableKind, f filter) bool { return k.filesLack(f.Column) },
	},
	{
		engines: []string{"pyiceberg"}, about: "PyArrow compares no UUIDs, so PyIceberg filters by none",
		filters: func(_ tableKind, f filter) bool { return f.uuids },
	},
	{
		engines: []string{"duckdb"}, about: "DuckDB 1.4.4 takes < for never true of an identity partition, in the tables of others too",
		filters: func(_ tableKind, f filter) bool { return f.Op == "<" && !f.old },
	},
	{
		engines: []string{"duckdb"}, about: "DuckDB 1.4.4 looks for times before 1970 in the wrong partition",
		filters: func(_ tableKind, f filter) bool { return f.old },
	},
	{
		engines: []string{"duckdb"}, about: "DuckDB 1.4.4 looks for a date in the wrong month",
		filters: func(k tableKind, f filter) bool { return f.Column == "day" && strings.Contains(k.by, "month(day)") },
	},
	{
		engines: []string{"trino"}, about: "Trino 476 knows neither variants nor nanoseconds",
		kinds: func(k tableKind) bool { return k.name == "variants" || k.name == "nanoseconds" }, fails: "Cannot convert from Iceberg type",
	},
	{
		engines: []string{"trino"}, about: "Trino 476 reads no table where truncate carries a decimal of a partition to more digits than its column has",
		kinds: func(k tableKind) bool { return k.name == "truncate" }, fails: "decimal precision larger than column precision",
	},
	{
		engines: []string{"trino"}, about: "Trino 476 knows no defaults, and reads nulls where a file lacks the column",
		kinds: func(k tableKind) bool { return k.name == "defaults" }, model: func(m model) model { return m.withoutDefaults() },
	},
	{
		engines: []string{"trino"}, about: "Trino 476 looks for nulls where others look for defaults",
		filters: func(k tableKind, f filter) bool { return k.name == "defaults" && k.filesLack(f.Column) },
	},
	{
		engines: []string{"trino"}, about: "Trino 476 has no $partitions where a column is of fixed bytes",
		kinds: func(k tableKind) bool { return slices.ContainsFunc(k.columns, isFixed) }, what: "partitions", fails: "Unsupported iceberg type: fixed",
	},
	{
		engines: []string{"trino"}, about: "Trino 476 shows no metadata tables where the bound of a fixed is cut, as Java's Iceberg cuts it",
		kinds: func(k tableKind) bool { return k.name == "bounds at the edges" }, what: "metadata", fails: "Invalid default fixed[20] value, incorrect length: 16",
	},
	{
		engines: []string{"trino"}, about: "Trino 476 has no $entries where files are older than a column's end",
		kinds: func(k tableKind) bool { return k.name == "schema changed" }, what: "entries", fails: `because "type" is null`,
	},
}

func isFixed(c column) bool { return strings.HasPrefix(c.yaml, "fixed") }

func hasUUIDs(k tableKind) bool {
	return slices.ContainsFunc(k.columns, func(c column) bool { return c.yaml == "uuid" })
}

// findings are what a run of the matrix found.
type findings struct {
	mu    sync.Mutex
	cells map[[3]string]cell // place, kind, engine
	met   map[*limit]bool
}

type cell struct {
	reads   bool
	past    bool // it was read as before the swap
	limits  []*limit
	filters int
}

func newFindings() *findings { return &findings{cells: map[[3]string]cell{}, met: map[*limit]bool{}} }

func (f *findings) update(m made, e engine, change func(*cell)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := [3]string{m.place, m.kind.String(), e.name}
	c := f.cells[key]
	change(&c)
	f.cells[key] = c
}

func (f *findings) note(m made, e engine, l *limit) {
	f.update(m, e, func(c *cell) {
		f.met[l] = true
		if !slices.Contains(c.limits, l) {
			c.limits = append(c.limits, l)
		}
	})
}

func (f *findings) cannot(m made, e engine, l limit) {
	i := slices.IndexFunc(limits, func(other limit) bool { return other.about == l.about })
	f.note(m, e, &limits[i])
}

func (f *findings) reads(m made, e engine, filters int) {
	f.update(m, e, func(c *cell) { c.reads, c.past, c.filters = true, m.lake.keepsSnapshots, filters })
}

// page compares the sections of docs/interop.md with what the run found, if it was a whole one.
func (f *findings) page(t *testing.T) {
	t.Helper()
	want := 0
	for _, place := range matrixLakes {
		for _, k := range tableKinds {
			want += len(place.engines(k))
		}
	}
	if t.Failed() || len(f.cells) != want {
		t.Logf("%d of %d cells: the page is left alone", len(f.cells), want)
		return
	}
	var notes []string
	number := map[*limit]int{}
	for i := range limits {
		if !f.met[&limits[i]] {
			t.Errorf("no engine met this limit: %s", limits[i].about)
		}
		number[&limits[i]] = i + 1
		notes = append(notes, fmt.Sprintf("%d. %s.\n", i+1, limits[i].about))
	}
	for _, place := range matrixLakes {
		var header []string
		var rows [][]string
		for _, e := range allEngines {
			if slices.ContainsFunc(tableKinds, func(k tableKind) bool {
				_, ok := f.cells[[3]string{place.name, k.String(), e.name}]
				return ok
			}) {
				header = append(header, e.name)
			}
		}
		for _, k := range tableKinds {
			line := []string{k.String()}
			for _, name := range header {
				line = append(line, f.cells[[3]string{place.name, k.String(), name}].text(number))
			}
			if strings.Join(line[1:], "") != "" {
				rows = append(rows, line)
			}
		}
		for i, name := range header {
			e := allEngines[slices.IndexFunc(allEngines, func(e engine) bool { return e.name == name })]
			header[i] = e.title
		}
		gendoc.Check(t, "docs/interop.md", place.name, gendoc.Table(append([]string{"table"}, header...), rows...))
	}
	gendoc.Check(t, "docs/interop.md", "limits", strings.Join(notes, ""))

	var rows [][]string
	for _, e := range allEngines {
		tables, filters, snapshots := 0, 0, 0
		for key, c := range f.cells {
			if key[2] == e.name && c.reads {
				tables++
				filters += c.filters
				if c.past {
					snapshots++
				}
			}
		}
		rows = append(rows, []string{e.title, fmt.Sprint(tables), fmt.Sprint(filters), fmt.Sprint(snapshots), e.tables})
	}
	gendoc.Check(t, "docs/interop.md", "engines", gendoc.Table([]string{"reader", "tables", "filters", "read as before the swap", "metadata tables"}, rows...))
}

func (c cell) text(number map[*limit]int) string {
	if !c.reads && len(c.limits) == 0 {
		return ""
	}
	text := "reads"
	if !c.reads {
		text = "cannot"
	}
	var ns []int
	for _, l := range c.limits {
		ns = append(ns, number[l])
	}
	slices.Sort(ns)
	for _, n := range ns {
		text += fmt.Sprintf(" (%d)", n)
	}
	return text
}
