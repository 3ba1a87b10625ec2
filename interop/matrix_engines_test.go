//go:build interop

package interop

import (
	"fmt"
	"slices"
	"testing"
)

// engine is a reader of the matrix.
type engine struct {
	name, title string
	read        func(t *testing.T, r *reader, m made, snapshot *int64) (contents, error)
	// count is nil for an engine whose filters are tested elsewhere.
	count func(t *testing.T, r *reader, m made, filters []filter) ([]*int, error)
	meta  func(t *testing.T, r *reader, m made) (metadata, error) // nil: it has no metadata tables
	// tables are the metadata tables that meta reads, for the page.
	tables string
	// checked has contents compared elsewhere: read did it.
	checked bool
}

var (
	withPyIceberg = asking("pyiceberg", "PyIceberg 0.12.0", "files, partitions, snapshots, entries")
	withDuckDB    = asking("duckdb", "DuckDB 1.4.4", "iceberg_metadata, iceberg_snapshots")
	withIcewright = engine{name: "icewright", title: "`icewright show` (iceberg-go 0.7.0)", read: readOurselves, checked: true}

	withSpark   = asking("spark", "Spark 4.0, Iceberg 1.11.0", "files, partitions, snapshots, entries")
	withSpark35 = unfiltered(asking("spark35", "Spark 3.5, Iceberg 1.11.0", "files, partitions, snapshots, entries"))

	withTrino = asking("trino", "Trino 476", "$files, $partitions, $snapshots, $entries")

	allEngines = []engine{withIcewright, withPyIceberg, withDuckDB, withSpark, withSpark35, withTrino}
)

// unfiltered is e without filters: which files they pass over is decided by Iceberg, the same in both Sparks.
// TestSparkReadsAndWrites filters with both.
func unfiltered(e engine) engine {
	e.count = nil
	return e
}

// asking is an engine that answers in a process of its own.
func asking(name, title, tables string) engine {
	ask := func(t *testing.T, r *reader, do string, m made, more map[string]any, to any) error {
		if name == "trino" {
			more = m.lake.inTrino(t, more)
		}
		return r.of(t, name).ask(name+"."+do, m.lake, m.table, more, to)
	}
	return engine{
		name: name, title: title, tables: tables,
		read: func(t *testing.T, r *reader, m made, snapshot *int64) (got contents, err error) {
			more := map[string]any{}
			if snapshot != nil {
				more["snapshot"] = *snapshot
			}
			return got, ask(t, r, "read", m, more, &got)
		},
		count: func(t *testing.T, r *reader, m made, filters []filter) (counts []*int, err error) {
			return counts, ask(t, r, "count", m, map[string]any{"filters": filters}, &counts)
		},
		meta: func(t *testing.T, r *reader, m made) (got metadata, err error) {
			return got, ask(t, r, "meta", m, nil, &got)
		},
	}
}

// readOurselves reads with `icewright show`. That it shows every value exactly is told by loading what it
// shows, which must change nothing; the past must be shown as it was.
func readOurselves(t *testing.T, _ *reader, m made, snapshot *int64) (contents, error) {
	if snapshot != nil {
		if then := m.show(t, "--snapshot", fmt.Sprint(*snapshot)); then != m.shownBefore {
			return contents{}, fmt.Errorf("before the swap it shows\n%s\nand showed\n%s", then, m.shownBefore)
		}
		return contents{}, nil
	}
	source := m.put(t, "shown.ndjson", m.show(t))
	again := m.lake.load(t, m.table, source, "--replace-table", "--compare-rows", "--dry-run")
	if again.RowsUnchanged != len(m.after.rows) || again.RowsRead != len(m.after.rows) {
		return contents{}, fmt.Errorf("loading what show printed says %+v", again)
	}
	return contents{}, nil
}

// unlike says in what the contents are not those of the model, but for what limits excuse.
func (e engine) unlike(got contents, want model, m made, note func(*limit)) string {
	if e.checked {
		return ""
	}
	for i := range limits {
		if l := &limits[i]; l.model != nil && l.concerns(e, m) {
			other := l.model(want)
			if !slices.Equal(other.canonical(), want.canonical()) || !slices.Equal(other.names(), want.names()) {
				note(l)
				want = other
			}
		}
	}
	return got.unlike(e.name, want)
}

func (m model) names() (out []string) {
	for _, c := range m.columns {
		out = append(out, c.name)
	}
	return out
}

// excused tells whether a limit says that the engine cannot do it, and that it cannot, for the reason that the limit gives.
func (e engine) excused(m made, what string, note func(*limit), try func() error) bool {
	for i := range limits {
		if l := &limits[i]; l.what == what && l.concerns(e, m) {
			if err := try(); err != nil && l.tells(err) {
				note(l)
				return true
			}
		}
	}
	return false
}

const onNessie = "Nessie, MinIO"

// matrixLakes are the catalogs, with the engines that read a kind of table there.
var matrixLakes = []struct {
	name    string
	open    func(testing.TB) *lake
	engines func(tableKind) []engine
}{
	{"SQLite, local files", sqliteLake, func(k tableKind) []engine {
		others := []engine{withIcewright, withPyIceberg, withDuckDB}
		if twin(k) {
			return append(others, unfiltered(withSpark), withSpark35)
		}
		return append(others, withSpark, withSpark35)
	}},
	{"Iceberg's REST catalog, versitygw", backends[1].open, func(k tableKind) []engine {
		if twin(k) {
			return append(onServers(k), unfiltered(withTrino))
		}
		return append(onServers(k), withTrino) // which reads no lake on SQLite, so that all kinds are here for it
	}},
	{onNessie, backends[2].open, func(k tableKind) []engine {
		if k.version != 2 || onServers(k) == nil { // Nessie makes no others
			return nil
		}
		return append(onServers(k), unfiltered(withTrino))
	}},
}

// twin tells whether the kind is there in version 2 as well: filters find the same in both, and take JVMs long.
func twin(k tableKind) bool {
	return k.version != 2 && slices.ContainsFunc(tableKinds, func(o tableKind) bool { return o.version == 2 && o.name == k.name })
}

// onServers are the engines for the kinds whose metadata a server has a part in. What is in the files, and what is
// found there, depends on no catalog.
func onServers(k tableKind) []engine {
	switch k.name {
	case "not partitioned", "names of every kind", "schema changed", "spec changed", "files cut by a finer spec", "nothing but nulls in a partition", "UUIDs", "defaults":
	default:
		return nil
	}
	return []engine{unfiltered(withPyIceberg), unfiltered(withDuckDB), unfiltered(withSpark), withSpark35}
}
