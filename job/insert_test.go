package job

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/gendoc"
)

// windowRows are the rows of the table in docs/insert.md, in the order in which they come.
var windowRows = []struct {
	key, time, why string
	in, late       bool
}{
	{"a", "2024-05-01T12:00:00", "a copy of the table's", false, false},
	{"a", "2024-05-01T20:00:00", "a copy that says another time", false, false},
	{"a", "2024-04-30T12:00:00", "early, just within the window", false, false},
	{"a", "2024-04-30T11:59:59.999999", "early by a microsecond more: another event", true, true},
	{"a", "2024-04-29T12:00:00", "within the window around the row before, which was inserted", false, false},
	{"b", "2023-01-01T00:00:00", "a new key, a year late", true, true},
	{"b", "2023-01-01T06:00:00", "a copy of that one", false, false},
	{"n", "", "without a time, as the table's is", false, false},
	{"n", "2024-05-01T12:00:00", "it has a time, and the table's has none", true, false},
	{"a", "", "it has no time, and the table's has one", true, false},
	{"a", "2024-05-02T12:00:00", "a day later, just within the window", false, false},
	{"a", "2024-05-02T12:00:00.000001", "a microsecond more: another event", true, false},
	{"a", "2024-05-03T12:00:00", "within the window around the row before", false, false},
}

// TestDocsInsertWindow: what docs/insert.md says of each row becomes of it, in one load and in one for each row.
func TestDocsInsertWindow(t *testing.T) {
	const head = "key,ts\n"
	window := Job{Mode: Insert, Key: []string{"key"}, Window: "24h", EventTime: "ts"}
	start := func() catalog.Config {
		dir := t.TempDir()
		where := catalog.Config{Dir: dir, Home: dir}
		if _, err := evolving(t, where, head+"a,2024-05-01T12:00:00\nn,\n", Job{Mode: Insert, Key: []string{"key"}, PartitionBy: "day(ts)"}); err != nil {
			t.Fatal(err)
		}
		return where
	}
	count := map[bool]int64{true: 1}
	var rows [][]string
	var all strings.Builder
	var in, late int64
	where := start()
	for _, r := range windowRows {
		line := r.key + "," + r.time + "\n"
		all.WriteString(line)
		rec, err := evolving(t, where, head+line, window)
		if err != nil || rec.RowsInserted != count[r.in] || rec.RowsLate != count[r.late] || rec.RowsUnchanged != count[!r.in] {
			t.Errorf("%s: %d inserted, %d of them late, %d left out: %v", line, rec.RowsInserted, rec.RowsLate, rec.RowsUnchanged, err)
		}
		in, late = in+count[r.in], late+count[r.late]
		becomes := "left out"
		switch {
		case r.late:
			becomes = "**inserted**, and counted as late"
		case r.in:
			becomes = "**inserted**"
		}
		when := "none"
		if r.time != "" {
			when = strings.Replace(strings.TrimPrefix(r.time, "2024-"), "T", " ", 1)
		}
		rows = append(rows, []string{"`" + r.key + "`", when, r.why, becomes})
	}
	if rec, err := evolving(t, where, head+all.String(), window); err != nil || rec.Status != Unchanged {
		t.Errorf("all of them again: %s, %v", rec.Status, err)
	}
	where = start()
	rec, err := evolving(t, where, head+all.String(), window)
	if err != nil || rec.RowsInserted != in || rec.RowsLate != late || rec.RowsUnchanged+rec.DuplicatesDropped != int64(len(windowRows))-in {
		t.Errorf("in one load: %d inserted, %d of them late, %d and %d left out: %v", rec.RowsInserted, rec.RowsLate, rec.RowsUnchanged, rec.DuplicatesDropped, err)
	}
	gendoc.Check(t, "docs/insert.md", "window", gendoc.Table([]string{"key", "event time", "it is", "and so"}, rows...))
}

func TestParseWindow(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"24h": 24 * time.Hour, "90m": 90 * time.Minute, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "2w": 14 * 24 * time.Hour, "0s": 0,
	} {
		if got, err := parseWindow(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"24", "-1h", "-1d", "d", "1.5d", "1 h", "999999999w", "day"} {
		if got, err := parseWindow(text); err == nil || !strings.HasPrefix(fmt.Sprint(err), "--window: ") {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}
