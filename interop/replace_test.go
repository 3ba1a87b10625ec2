//go:build interop

package interop

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// eventColumns are those of a table of events that is partitioned by its first column.
var eventColumns = []column{
	{"event_date", "date", "", "DATE", byText, nil},
	{"region", "string", "", "VARCHAR", byText, nil},
	{"id", "long!", "long", "BIGINT", byNumber, nil},
	{"amount", "decimal(9, 2)", "", "DECIMAL(9,2)", byNumber, nil},
}

// events returns n events of one day; amount tells one load of the day from another.
// A day of "" is null.
func events(day string, n, amount int) model {
	m := model{columns: eventColumns}
	for i := range n {
		date, region := null, str([]string{"eu", "null", ""}[i%3])
		if day != "" {
			date = quoted(day)
		}
		if i%4 == 3 {
			region = null
		}
		m.rows = append(m.rows, row{date, region, num(strconv.Itoa(i)), num(fmt.Sprintf("%d.50", amount))})
	}
	return m
}

// csv is the model as CSV, with null as an empty field and the empty string quoted.
func (m model) csv() string {
	var b strings.Builder
	for i, c := range m.columns {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(c.name)
	}
	b.WriteByte('\n')
	for _, cells := range m.rows {
		for i, v := range cells {
			if i > 0 {
				b.WriteByte(',')
			}
			if text, ok := v.want.(string); ok && text == "" {
				b.WriteString(`""`)
			} else if ok {
				b.WriteString(text)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestReplace(t *testing.T) {
	r := newReader(t)
	for _, backend := range backends {
		t.Run(backend.name, func(t *testing.T) {
			l := backend.open(t)
			table := l.table(t)
			args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date, region"}
			put := func(name string, m model) string { return l.put(t, name, m.csv()) }

			monday, tuesday, undated := events("2024-01-15", 40, 1), events("2024-01-16", 30, 1), events("", 20, 1)
			l.load(t, table, put("all.csv", monday.and(tuesday, undated)), args...)
			r.mustHold(t, l, table, monday.and(tuesday, undated))

			// The partitions in the input go, the others stay; a null date is a partition too.
			tuesday2, undated2 := events("2024-01-16", 35, 2), events("", 22, 2)
			l.load(t, table, put("some.csv", tuesday2.and(undated2)), args...)
			r.mustHold(t, l, table, monday.and(tuesday2, undated2))
			r.mustFilter(t, l, table, monday.and(tuesday2, undated2).filters())

			// A declared slice goes also where the input has no row for a partition of it: the
			// region null of Monday.
			regions := events("2024-01-15", 40, 3).where(func(c row) bool { return c[1].want != nil })
			l.load(t, table, put("monday.csv", regions), append(args, "--slice", "event_date=2024-01-15")...)
			r.mustHold(t, l, table, regions.and(tuesday2, undated2))

			// No rows at all: refused, unless the slice is to be cleared.
			put("none.csv", events("", 0, 0))
			p := l.start(t, loadArgs(table, "none.csv", append(args, "--slice", "event_date=2024-01-15")...)...)
			if code := p.end(t); code != 3 {
				t.Errorf("an empty input ends with exit code %d, want 3\n%s", code, &p.stderr)
			}
			r.mustHold(t, l, table, regions.and(tuesday2, undated2))
			l.load(t, table, "none.csv", append(args, "--slice", "event_date=2024-01-15", "--on-empty", "clear")...)
			r.mustHold(t, l, table, tuesday2.and(undated2))

			// NULL, 'null' and the empty string are three partitions.
			null2 := events("2024-01-16", 60, 4).where(func(c row) bool { return c[1].want == nil })
			l.load(t, table, put("null.csv", null2), args...)
			rest := tuesday2.where(func(c row) bool { return c[1].want != nil })
			final := rest.and(null2, undated2)
			r.mustHold(t, l, table, final)
			r.mustFilter(t, l, table, final.filters())
			r.mustDescribe(t, l, table)
			r.mustTell(t, l, table, 5)
		})
	}
}

func TestUnchangedRerunTouchesNothing(t *testing.T) {
	r := newReader(t)
	for _, backend := range backends {
		t.Run(backend.name, func(t *testing.T) {
			l := backend.open(t)
			table := l.table(t)
			args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date"}
			source := l.put(t, "in.csv", events("2024-01-15", 100, 1).and(events("2024-01-16", 100, 1)).csv())
			l.load(t, table, source, args...)
			before := len(l.files(t, table))
			for range 3 {
				if got := l.load(t, table, source, args...); got.Status != "unchanged" || got.RowsUnchanged != 200 || got.SnapshotID == nil && got.BaseSnapshotID == nil {
					t.Errorf("a rerun says %+v", got)
				}
			}
			// One of two partitions differs: the other one's files stay.
			half := l.put(t, "half.csv", events("2024-01-15", 100, 1).and(events("2024-01-16", 100, 2)).csv())
			if got := l.load(t, table, half, args...); got.Status != "published" || got.RowsUnchanged != 100 || got.RowsWritten != 100 || got.FilesRemoved != 1 {
				t.Errorf("a load that differs in one of two partitions says %+v", got)
			}
			r.mustHold(t, l, table, events("2024-01-15", 100, 1).and(events("2024-01-16", 100, 2)))
			if after := len(l.files(t, table)); after != before+1 {
				t.Errorf("storage holds %d data files, want %d and the one new file", after, before)
			}
			r.mustTell(t, l, table, 2)
		})
	}
}

func TestSourcesInS3(t *testing.T) {
	r := newReader(t)
	for _, backend := range restBackends {
		t.Run(backend.name, func(t *testing.T) {
			l := backend.open(t)
			table := l.table(t)
			folder := "in/" + strings.TrimPrefix(table, "interop.")
			want := model{columns: eventColumns}
			for day := range 3 {
				m := events(fmt.Sprintf("2024-01-%d", 15+day), 50, day)
				l.upload(t, fmt.Sprintf("%s/part-%d.csv", folder, day), m.csv())
				want = want.and(m)
			}
			args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date"}
			for i, source := range []string{"/part-*.csv", "/"} {
				got := l.load(t, table, "s3://"+l.s3.Bucket+"/"+folder+source, args...)
				if status := []string{"published", "unchanged"}[i]; got.Status != status || got.RowsRead != 150 {
					t.Errorf("loading %s says %+v, want %s", source, got, status)
				}
			}
			r.mustHold(t, l, table, want)
		})
	}
}
