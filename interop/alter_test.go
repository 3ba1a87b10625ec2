//go:build interop

package interop

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// alter runs `icewright table alter` and returns its status and actions; anything but exit code 0
// fails the test.
func (l *lake) alter(t testing.TB, table string, args ...string) (status string, actions []string) {
	t.Helper()
	p := l.start(t, append([]string{"table", "alter", table, "--output", "json", "--yes"}, args...)...)
	if code := p.end(t); code != 0 {
		t.Fatalf("icewright %s: exit code %d\n%s\n%s", strings.Join(p.Args[1:], " "), code, &p.stderr, &p.stdout)
	}
	var done struct {
		Status  string `json:"status"`
		Changes []struct {
			Action string `json:"action"`
		} `json:"changes"`
	}
	if err := json.Unmarshal([]byte(p.stdout.String()), &done); err != nil {
		t.Fatalf("%v in %s", err, &p.stdout)
	}
	for _, c := range done.Changes {
		actions = append(actions, c.Action)
	}
	return done.Status, actions
}

// column returns the place of a column in the model.
func (m model) column(name string) int {
	return slices.IndexFunc(m.columns, func(c column) bool { return c.name == name })
}

// with returns a copy whose column at i is what edit makes of it.
func (m model) with(i int, edit func(*column)) model {
	m.columns = slices.Clone(m.columns)
	edit(&m.columns[i])
	return m
}

// moved returns a copy with the column at from taken out and, unless to is -1, put in at to.
func (m model) moved(from, to int) model {
	out := model{columns: moveOne(m.columns, from, to)}
	for _, r := range m.rows {
		out.rows = append(out.rows, moveOne(r, from, to))
	}
	return out
}

func moveOne[S ~[]E, E any](s S, from, to int) S {
	one := s[from]
	out := slices.Delete(slices.Clone(s), from, from+1)
	if to < 0 {
		return out
	}
	return slices.Insert(out, to, one)
}

// A table is altered in every way, one after another. Every reader sees the rows that were loaded
// before and after, under the names and types of the moment; and asking again changes nothing.
func TestAlter(t *testing.T) {
	r := newReader(t)
	for _, backend := range backends {
		t.Run(backend.name, func(t *testing.T) {
			l := backend.open(t)
			table := l.table(t)
			m := events("2024-01-15", 12, 1).and(events("2024-01-16", 9, 2))
			l.load(t, table, l.put(t, "all.csv", m.csv()), "--schema", l.put(t, "schema.yaml", m.schema()), "--partition-by", "event_date, region")
			r.mustHold(t, l, table, m)

			steps := []struct {
				name string
				args []string
				want []string
				then func(model) model
			}{
				{
					"schema",
					[]string{"--add-column", "note string first", "--rename-column", "amount=price", "--widen-column", "amount decimal(12, 2)", "--relax-column", "id", "--column-doc", "region=where"},
					[]string{"add-column", "document-column", "relax-column", "rename-column", "change-type", "order-columns"},
					func(m model) model {
						m = m.with(m.column("amount"), func(c *column) { c.name, c.yaml, c.duck = "price", "decimal(12, 2)", "DECIMAL(12,2)" })
						m = m.with(m.column("id"), func(c *column) { c.yaml = "long" })
						m.columns = slices.Insert(slices.Clone(m.columns), 0, column{"note", "string", "", "VARCHAR", byText, nil})
						for i, old := range m.rows {
							m.rows[i] = slices.Insert(slices.Clone(old), 0, null)
						}
						return m
					},
				},
				{
					"layout",
					[]string{"--partition-by", "region, bucket(4, id)", "--sort-by", "id desc", "--table-prop", "owner=ann"},
					[]string{"partition-by", "sort-by", "set-property"},
					func(m model) model { return m },
				},
				{
					"drop and move",
					[]string{"--drop-column", "note", "--move-column", "price first"},
					[]string{"drop-column", "order-columns"},
					func(m model) model {
						m = m.moved(m.column("note"), -1)
						return m.moved(m.column("price"), 0)
					},
				},
				{
					"back",
					[]string{"--partition-by", "event_date, region", "--sort-by", "none", "--unset-prop", "owner"},
					[]string{"partition-by", "sort-by", "unset-property"},
					func(m model) model { return m },
				},
			}
			for i, s := range steps {
				status, actions := l.alter(t, table, s.args...)
				slices.Sort(actions)
				if want := slices.Sorted(slices.Values(s.want)); status != "altered" || !slices.Equal(actions, want) {
					t.Errorf("%s: %s, %v instead of %v", s.name, status, actions, want)
				}
				m = s.then(m)
				r.mustHold(t, l, table, m)
				if status, _ := l.alter(t, table, s.args...); status != "unchanged" {
					t.Errorf("%s, again: %s", s.name, status)
				}
				// What is loaded from now on lies beside the old files, which stay what they were.
				more := events("2025-02-0"+string(rune('1'+i)), 5, 3)
				if s.name == "layout" || s.name == "drop and move" {
					// Old files may straddle the new partitions, so that everything is loaded anew.
					continue
				}
				in := l.put(t, "more.csv", strings.Replace(more.csv(), "amount", "price", 1))
				l.load(t, table, in)
				for _, old := range more.rows {
					row := make(row, len(m.columns))
					for c := range row {
						row[c] = null
					}
					for c, col := range more.columns {
						row[m.column(strings.Replace(col.name, "amount", "price", 1))] = old[c]
					}
					m.rows = append(m.rows, row)
				}
				r.mustHold(t, l, table, m)
			}
		})
	}
}

// Branches and tags are as other readers see them: write, audit, publish, and back again.
func TestAlterRefs(t *testing.T) {
	r := newReader(t)
	for _, backend := range backends {
		t.Run(backend.name, func(t *testing.T) {
			l := backend.open(t)
			if !l.keepsSnapshots {
				t.Skipf("%s has branches of its own and keeps no snapshot but the newest", l.name)
			}
			table := l.table(t)
			one, two := events("2024-01-15", 6, 1), events("2024-01-15", 8, 2)
			first := l.load(t, table, l.put(t, "one.csv", one.csv()), "--schema", l.put(t, "schema.yaml", one.schema()), "--partition-by", "event_date")
			l.alter(t, table, "--create-branch", "audit", "--create-tag", "first", "--ref-age", "30d")
			second := l.load(t, table, l.put(t, "two.csv", two.csv()), "--branch", "audit")
			r.mustHold(t, l, table, one)
			if status, actions := l.alter(t, table, "--set-branch", "main=audit"); status != "altered" || !slices.Equal(actions, []string{"set-branch"}) {
				t.Errorf("publish: %s %v", status, actions)
			}
			r.mustHold(t, l, table, two)
			refs := map[string]int64{}
			if err := r.ask("pyiceberg.refs", l, table, nil, &refs); err != nil {
				t.Fatal(err)
			}
			if refs["main"] != *second.SnapshotID || refs["audit"] != *second.SnapshotID || refs["first"] != *first.SnapshotID || len(refs) != 3 {
				t.Errorf("refs are %v; the snapshots %d and %d", refs, *first.SnapshotID, *second.SnapshotID)
			}
			l.alter(t, table, "--set-branch", "main=first", "--drop-branch", "audit", "--drop-tag", "first")
			r.mustHold(t, l, table, one)
			clear(refs)
			if err := r.ask("pyiceberg.refs", l, table, nil, &refs); err != nil {
				t.Fatal(err)
			}
			if refs["main"] != *first.SnapshotID || len(refs) != 1 {
				t.Errorf("refs are %v, main should be at %d", refs, *first.SnapshotID)
			}
			l.load(t, table, "two.csv")
			r.mustHold(t, l, table, two)
		})
	}
}

// A table is made, made like another, listed and dropped in every catalog.
func TestCreateListDrop(t *testing.T) {
	for _, backend := range backends {
		t.Run(backend.name, func(t *testing.T) {
			l := backend.open(t)
			table := l.table(t)
			run := func(args ...string) string {
				t.Helper()
				p := l.start(t, append([]string{"table"}, args...)...)
				if code := p.end(t); code != 0 {
					t.Fatalf("icewright table %v: exit code %d\n%s", args, code, &p.stderr)
				}
				return p.stdout.String()
			}
			schema := l.put(t, "schema.yaml", events("", 0, 0).schema())
			for _, want := range []string{"created", "unchanged"} {
				if out := run("create", table, "--schema", schema, "--partition-by", "event_date", "--if-not-exists"); !strings.HasPrefix(out, want) {
					t.Errorf("create: %s, want %s", out, want)
				}
			}
			run("create", table+"_like", "--like", table)
			for _, ns := range []string{"interop", ""} {
				args := []string{"list"}
				if ns != "" {
					args = append(args, ns)
				}
				lines := strings.Split(run(args...), "\n")
				if !slices.Contains(lines, table) || !slices.Contains(lines, table+"_like") {
					t.Errorf("list %s lacks the tables: %q", ns, lines)
				}
			}
			run("drop", table+"_like", "--yes") // Nessie lets nobody purge
			if lines := strings.Split(run("list", "interop"), "\n"); slices.Contains(lines, table+"_like") || !slices.Contains(lines, table) {
				t.Errorf("after the drop: %q", lines)
			}
		})
	}
}
