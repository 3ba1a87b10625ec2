//go:build interop

package interop

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/icewright/icewright/internal/tally"
)

// What Spark's procedures do to our tables, and what our loads do after them: no row is lost, and what is known
// of the files (their digests) is learned anew.
func TestSparkMaintains(t *testing.T) {
	y := tally.Of(t, "Spark compacted the table, rewrote its manifests, expired its snapshots and removed orphans")
	r := newReader(t)
	for i, backend := range backends[:2] {
		engine := []string{"spark", "spark35"}[i]
		t.Run(backend.name, func(t *testing.T) {
			l := backend.open(t)
			table := l.table(t)
			monday, tuesday := events("2024-01-15", 20, 3), events("2024-01-16", 30, 3)
			args := []string{"--schema", l.put(t, "schema.yaml", monday.schema()), "--partition-by", "event_date"}
			for amount := 1; amount <= 3; amount++ { // 6 snapshots
				l.load(t, table, l.put(t, "monday.csv", events("2024-01-15", 20, amount).csv()), args...)
				l.load(t, table, l.put(t, "tuesday.csv", events("2024-01-16", 30, amount).csv()), args...)
			}
			loads := 0 // of a table that Spark has maintained
			load := func(what, source, want string, more ...string) {
				t.Helper()
				if got := l.load(t, table, source, append(more, args...)...); got.Status != want {
					t.Errorf("%s: the load is %s, want %s", what, got.Status, want)
				}
				loads++
			}
			load("before", "monday.csv", "unchanged")
			loads = 0

			l.spark(t, engine, table, "CALL default.system.rewrite_data_files(table => '{name}', options => map('rewrite-all', 'true'))")
			r.mustHold(t, l, table, monday.and(tuesday))
			load("a compacted partition", "monday.csv", "published")
			load("and once more", "monday.csv", "unchanged")
			load("a compacted partition, compared", "tuesday.csv", "unchanged", "--compare-rows")
			load("a compacted partition, not compared", "tuesday.csv", "published")

			l.spark(t, engine, table, "CALL default.system.rewrite_manifests('{name}')")
			load("rewritten manifests", "tuesday.csv", "unchanged")
			monday = events("2024-01-15", 25, 4)
			load("rewritten manifests, other rows", l.put(t, "monday.csv", monday.csv()), "published")
			r.mustHold(t, l, table, monday.and(tuesday))

			// Everything that can expire does; the files of older snapshots go.
			l.spark(t, engine, table, "CALL default.system.expire_snapshots(table => '{name}', older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1)")
			if live := r.mustDescribe(t, l, table); len(l.files(t, table)) != live {
				t.Errorf("after the expiry storage holds %d data files, %d are live", len(l.files(t, table)), live)
			}
			load("expired snapshots", "monday.csv", "unchanged")
			if told := l.icewright(t, "history", table); strings.Count(told, "\n") < 2 || !strings.Contains(told, "overwrite") {
				t.Errorf("the history after the expiry is told as\n%s", told)
			}
			tuesday = events("2024-01-16", 35, 5)
			load("expired snapshots, other rows", l.put(t, "tuesday.csv", tuesday.csv()), "published")
			r.mustHold(t, l, table, monday.and(tuesday))
			if told := l.icewright(t, "history", table, "--output", "json"); strings.Count(told, `"snapshot_id"`) != 2 {
				t.Errorf("of two snapshots the history is told as\n%s", told)
			}

			// Every orphan, however young: none of ours is one, with the table's own files there still.
			var gone []string
			if err := sparks[engine](t).ask(engine+".remove_orphans", l, table, map[string]any{"older_than": time.Now().Add(time.Hour).UnixMilli()}, &gone); err != nil {
				t.Fatal(err)
			}
			if i := slices.IndexFunc(gone, func(path string) bool { return strings.HasSuffix(path, ".parquet") || strings.HasSuffix(path, ".avro") }); i >= 0 {
				t.Errorf("of %d orphans one is %s, and no load has failed", len(gone), gone[i])
			}
			r.mustHold(t, l, table, monday.and(tuesday))
			load("removed orphans", "tuesday.csv", "unchanged")

			// Position deletes, which Spark then compacts.
			l.spark(t, engine, table, "ALTER TABLE {table} SET TBLPROPERTIES ('write.delete.mode' = 'merge-on-read')",
				"DELETE FROM {table} WHERE id = 1", "DELETE FROM {table} WHERE id = 2",
				"CALL default.system.rewrite_position_delete_files(table => '{name}', options => map('rewrite-all', 'true'))")
			load("compacted deletes", "tuesday.csv", "published")
			load("and once more", "tuesday.csv", "unchanged")
			left := monday.where(func(cells row) bool { return cells[2].want != "1" && cells[2].want != "2" })
			for _, reader := range append([]string{engine}, engines...) {
				r.mustHoldFor(t, reader, l, table, left.and(tuesday))
			}
			load("deleted rows", "monday.csv", "published")
			r.mustHold(t, l, table, monday.and(tuesday))
			y.SurvivedTimes(t, loads, 2, 9)
		})
	}
}

// staging starts a load that has staged its files and cannot commit: the catalog is locked until release.
func (l *lake) staging(t *testing.T, table, source string, args ...string) (p *process, staged string, release func()) {
	t.Helper()
	before := l.files(t, table)
	db := l.database(t)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	p = l.start(t, loadArgs(table, source, args...)...)
	for deadline := time.Now().Add(30 * time.Second); staged == ""; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no file was staged\n%s", &p.stderr)
		}
		for _, path := range l.files(t, table) {
			if !slices.Contains(before, path) {
				staged = path
			}
		}
	}
	return p, staged, func() {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Error(err)
		}
		conn.Close()
		db.Close()
	}
}

// Between staging and committing, remove_orphan_files leaves a load's files alone: they are young, and the
// procedure refuses to look at files of the last 24 hours.
func TestSparkRemovesNoStagedFiles(t *testing.T) {
	r := newReader(t)
	l := sqliteLake(t)
	table := l.table(t)
	first, second := events("2024-01-15", 20, 1), events("2024-01-15", 20, 2)
	args := []string{"--schema", l.put(t, "schema.yaml", first.schema()), "--partition-by", "event_date"}
	l.load(t, table, l.put(t, "first.csv", first.csv()), args...)
	l.spark(t, "spark", table, "SELECT count(*) FROM {table}") // its session is open before the lock
	p, staged, release := l.staging(t, table, l.put(t, "second.csv", second.csv()), args...)
	_, err := l.sparkTry(t, "spark", table, "CALL default.system.remove_orphan_files(table => '{name}', older_than => now())")
	if err == nil || !strings.Contains(err.Error(), "24 hours") {
		t.Errorf("removing what is younger than a day says %v", err)
	}
	removed := l.spark(t, "spark", table, "CALL default.system.remove_orphan_files(table => '{name}')").texts()
	mustBe(t, "removed", removed)
	if !slices.Contains(l.files(t, table), staged) {
		t.Errorf("%s is gone", staged)
	}
	release()
	if code := p.end(t); code != 0 {
		t.Errorf("the load ends with exit code %d\n%s", code, &p.stderr)
	}
	r.mustHold(t, l, table, second)
}

// A load sleeps before its commit; its slice is loaded again, and Spark lets all older snapshots expire. The
// sleeper wakes, and is told that it was overtaken.
func TestSparkExpiresAndZombiesAreFenced(t *testing.T) {
	r := newReader(t)
	l := sqliteLake(t)
	table := l.table(t)
	args := []string{"--schema", l.put(t, "schema.yaml", events("", 0, 0).schema()), "--partition-by", "event_date"}
	l.load(t, table, l.put(t, "first.csv", events("2024-01-15", 20, 1).csv()), args...)
	p, staged, release := l.staging(t, table, l.put(t, "zombie.csv", events("2024-01-15", 20, 2).csv()), args...)
	p.stand(t)
	release()
	newer := events("2024-01-15", 20, 3)
	l.load(t, table, l.put(t, "newer.csv", newer.csv()), args...)
	l.spark(t, "spark35", table, "CALL default.system.expire_snapshots(table => '{name}', older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1)")
	p.goOn(t)
	if code := p.end(t); code != 5 || !strings.Contains(p.stderr.String(), "superseded") && !strings.Contains(p.stdout.String(), "superseded") {
		t.Errorf("the zombie ends with exit code %d\n%s\n%s", code, &p.stderr, &p.stdout)
	}
	r.mustHold(t, l, table, newer)
	if slices.Contains(l.files(t, table), staged) {
		t.Errorf("the zombie left %s", staged)
	}
	if n := len(l.snapshots(t, table)); n != 1 {
		t.Errorf("%d snapshots, want the newest only", n)
	}
}
