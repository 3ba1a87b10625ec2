//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// kept is a history that Spark deletes versions of, in one of the ways that there are.
type kept struct {
	deletes, spark string
	since          column // the type of its times
	by             string // what it is partitioned by
	version        string
	then           func(t *testing.T, l *lake, engine, table string)
	blind          []string // readers that cannot read such delete files
}

const forgotten = "DELETE FROM {table} WHERE name IN ('Oslo', 'Bonn')"

var keptHistories = []kept{
	{deletes: "position deletes", spark: "spark", version: "2", by: "now", since: column{"since", "timestamp", "", "TIMESTAMP", byUnits, nil}, then: statements(forgotten)},
	{deletes: "deletion vectors", spark: "spark35", version: "3", since: column{"since", "timestamptz", "", "TIMESTAMP WITH TIME ZONE", byUnits, nil}, then: statements(forgotten), blind: []string{"duckdb"}},
	{deletes: "equality deletes", spark: "spark", version: "2", since: column{"since", "date", "", "DATE", byText, nil}, then: func(t *testing.T, l *lake, engine, table string) {
		t.Helper()
		equal(t, l, engine, table, 0, "", "Oslo", "Bonn")
	}, blind: []string{"pyiceberg"}},
}

// on is a day of March 2024 as an input has it, and as readers give it back.
func (k kept) on(day int) value {
	at := time.Date(2024, 3, day, 12, 30, 0, 1000, time.UTC)
	switch k.since.yaml {
	case "timestamp":
		return units(at.Format("2006-01-02T15:04:05.000000"), at.UnixMicro(), "us")
	case "timestamptz":
		return units(at.In(time.FixedZone("", 2*3600)).Format("2006-01-02T15:04:05.000000Z07:00"), at.UnixMicro(), "us")
	}
	return quoted(at.Format(time.DateOnly))
}

// mention is a version: a name from a day on, to another one; 0 for one that still holds.
type mention struct {
	id       int
	name     string
	from, to int
}

func (k kept) model(versions ...mention) model {
	until := k.since
	until.name = "until"
	m := model{columns: []column{{"id", "long", "", "BIGINT", byNumber, nil}, {"name", "string", "", "VARCHAR", byText, nil}, k.since, until, {"now", "boolean", "", "BOOLEAN", byBool, nil}}}
	for _, v := range versions {
		to, now := null, value{"true", true}
		if v.to > 0 {
			to, now = k.on(v.to), value{"false", false}
		}
		m.rows = append(m.rows, row{num(fmt.Sprint(v.id)), str(v.name), k.on(v.from), to, now})
	}
	return m
}

// Histories whose times are timestamps with and without a zone, and dates: every engine reads them back; then Spark deletes
// versions of them, and a change that comes late lands in the middle of the chains that are left; then Spark compacts
// the table, and another one does.
func TestHistories(t *testing.T) {
	r := newReader(t)
	l := sqliteLake(t)
	for i, k := range keptHistories {
		t.Run(k.deletes, func(t *testing.T) {
			table := fmt.Sprint("interop.kept", i)
			args := []string{"--table", table, "--mode", "merge", "--key", "id", "--history", "since,until,now", "--effective", "at", "--output", "json"}
			bring := func(more []string, changes ...mention) {
				t.Helper()
				var text strings.Builder
				for _, c := range changes {
					fmt.Fprintf(&text, `{"id": %d, "name": %q, "at": %s}`+"\n", c.id, c.name, k.on(c.from).in)
				}
				load := slices.Concat([]string{"load", l.put(t, "changes.ndjson", text.String())}, args, more)
				for _, want := range []string{"published", "unchanged"} {
					var got receipt
					if err := json.Unmarshal([]byte(l.icewright(t, load...)), &got); err != nil {
						t.Fatal(err)
					}
					if got.Status != want {
						t.Errorf("the load is %s, want %s", got.Status, want)
					}
				}
			}
			create := []string{
				"--schema", l.put(t, "schema.yaml", k.model().schema()), "--format-version", k.version,
				"--table-prop", "write.delete.mode=merge-on-read", "--table-prop", "write.update.mode=merge-on-read",
			}
			if k.by != "" {
				create = append(create, "--partition-by", k.by)
			}
			bring(create, mention{1, "Rome", 1, 0}, mention{1, "Oslo", 20, 0}, mention{2, "Kyiv", 5, 0}, mention{3, "Bonn", 7, 0}, mention{4, "Lima", 2, 0}, mention{4, "Pisa", 9, 0})
			bring(nil, mention{1, "Graz", 10, 0}, mention{4, "Nice", 4, 0})
			want := k.model(mention{1, "Rome", 1, 10}, mention{1, "Graz", 10, 20}, mention{1, "Oslo", 20, 0}, mention{2, "Kyiv", 5, 0}, mention{3, "Bonn", 7, 0},
				mention{4, "Lima", 2, 4}, mention{4, "Nice", 4, 9}, mention{4, "Pisa", 9, 0})
			for _, engine := range append([]string{"spark", "spark35"}, engines...) {
				r.mustHoldFor(t, engine, l, table, want)
			}

			// What Oslo began is over, as if it had been deleted on the 20th; of Bonn nothing is known any more.
			k.then(t, l, k.spark, table)
			bring(nil, mention{1, "Turin", 15, 0}, mention{3, "Essen", 3, 0}, mention{4, "Metz", 12, 0})
			want = k.model(mention{1, "Rome", 1, 10}, mention{1, "Graz", 10, 15}, mention{1, "Turin", 15, 20}, mention{2, "Kyiv", 5, 0}, mention{3, "Essen", 3, 0},
				mention{4, "Lima", 2, 4}, mention{4, "Nice", 4, 9}, mention{4, "Pisa", 9, 12}, mention{4, "Metz", 12, 0})
			look := func() {
				t.Helper()
				for _, engine := range append([]string{k.spark}, engines...) {
					if !slices.Contains(k.blind, engine) {
						r.mustHoldFor(t, engine, l, table, want)
					}
				}
			}
			look()

			// Deletes of a compacted table, and a change in the middle again.
			k.then(t, l, k.spark, table) // nothing, but for an equality delete
			l.spark(t, k.spark, table, "DELETE FROM {table} WHERE name = 'Kyiv'",
				"CALL default.system.rewrite_data_files(table => '{name}', options => map('rewrite-all', 'true', 'remove-dangling-deletes', 'true'))")
			bring(nil, mention{1, "Siena", 12, 0}, mention{2, "Cork", 4, 0}, mention{4, "Metz", 6, 0})
			want = k.model(mention{1, "Rome", 1, 10}, mention{1, "Graz", 10, 12}, mention{1, "Siena", 12, 15}, mention{1, "Turin", 15, 20}, mention{2, "Cork", 4, 0}, mention{3, "Essen", 3, 0},
				mention{4, "Lima", 2, 4}, mention{4, "Nice", 4, 6}, mention{4, "Metz", 6, 9}, mention{4, "Pisa", 9, 12}, mention{4, "Metz", 12, 0})
			look()
		})
	}
}
