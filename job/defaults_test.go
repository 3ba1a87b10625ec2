package job

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
)

// Files that were written before a column existed read as its initial default: in show, whatever the
// type, and in the digest, so that a rerun with the defaults written out changes nothing.
func TestOlderFilesReadAsTheInitialDefault(t *testing.T) {
	dir := t.TempDir()
	config := catalog.Config{Dir: dir, Home: dir}
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	load := func(source string, more func(*Job)) Receipt {
		t.Helper()
		j := Job{Sources: []string{source}, Table: "a.t", Catalog: config, FormatVersion: 3, ReplaceTable: true}
		if more != nil {
			more(&j)
		}
		r, err := Load(t.Context(), j)
		if err != nil {
			t.Fatal(err, Hint(err))
		}
		return r
	}
	load(put("old.ndjson", `{"id": 1, "place": {"lat": 1.5}}
{"id": 2, "place": null}
`), nil)
	alter(t, config, "a.t", true, `[
		{"id": 10, "name": "b", "required": true, "type": "boolean", "initial-default": true, "write-default": false},
		{"id": 11, "name": "i", "required": false, "type": "int", "initial-default": -7, "write-default": 8},
		{"id": 12, "name": "l", "required": false, "type": "long", "initial-default": 9007199254740992},
		{"id": 13, "name": "f", "required": false, "type": "float", "initial-default": 0.1},
		{"id": 14, "name": "d", "required": false, "type": "date", "initial-default": "1969-12-31"},
		{"id": 15, "name": "t", "required": false, "type": "time", "initial-default": "06:15:00.000001"},
		{"id": 16, "name": "ts", "required": false, "type": "timestamp", "initial-default": "1969-12-31T23:59:59.999999"},
		{"id": 17, "name": "tz", "required": false, "type": "timestamptz", "initial-default": "2024-01-15T08:00:00+00:00"},
		{"id": 18, "name": "ns", "required": false, "type": "timestamp_ns", "initial-default": "1969-12-31T23:59:59.999999999"},
		{"id": 19, "name": "zn", "required": false, "type": "timestamptz_ns", "initial-default": "2024-01-15T08:00:00.000000001+00:00"},
		{"id": 20, "name": "s", "required": false, "type": "string", "initial-default": "n/a"},
		{"id": 21, "name": "u", "required": false, "type": "uuid", "initial-default": "f79c3e09-677c-4bbd-a479-3f349cb785e7"},
		{"id": 22, "name": "x", "required": false, "type": "fixed[2]", "initial-default": "00ff"},
		{"id": 23, "name": "y", "required": false, "type": "binary", "initial-default": "00ff01"},
		{"id": 24, "name": "n", "required": false, "type": "decimal(9, 2)", "initial-default": "1.50"}]`)

	// None of the columns is in the file.
	rows, err := Show(t.Context(), Target{Catalog: config, Table: "a.t"}, Query{Columns: []string{
		"b", "i", "l", "f", "d", "t", "ts", "tz", "ns", "zn", "s", "u", "x", "y", "n",
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rec, err := range rows.All {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(rec.NumRows()) {
			var values []string
			for _, c := range rec.Columns() {
				values = append(values, c.ValueStr(i))
			}
			const want = "true|-7|9007199254740992|0.1|1969-12-31|06:15:00.000001|1969-12-31T23:59:59.999999|2024-01-15T08:00:00Z|" +
				"1969-12-31T23:59:59.999999999|2024-01-15T08:00:00.000000001Z|n/a|f79c3e09-677c-4bbd-a479-3f349cb785e7|AP8=|AP8B|1.5"
			if got := strings.Join(values, "|"); got != want {
				t.Errorf("row %d reads\n%s, want\n%s", i, got, want)
			}
			n++
		}
		rec.Release()
	}
	if n != 2 {
		t.Errorf("%d rows, want 2", n)
	}

	written := put("new.ndjson", `{"id": 2, "b": true, "i": -7, "l": 9007199254740992, "f": 0.1, "d": "1969-12-31", "t": "06:15:00.000001", "ts": "1969-12-31T23:59:59.999999", "tz": "2024-01-15T08:00:00Z", "ns": "1969-12-31T23:59:59.999999999", "zn": "2024-01-15T08:00:00.000000001Z", "s": "n/a", "u": "f79c3e09-677c-4bbd-a479-3f349cb785e7", "x": "00ff", "y": "00ff01", "n": 1.5, "place": null}
{"id": 1, "b": true, "i": -7, "l": 9007199254740992, "f": 0.1, "d": "1969-12-31", "t": "06:15:00.000001", "ts": "1969-12-31T23:59:59.999999", "tz": "2024-01-15T08:00:00Z", "ns": "1969-12-31T23:59:59.999999999", "zn": "2024-01-15T08:00:00.000000001Z", "s": "n/a", "u": "f79c3e09-677c-4bbd-a479-3f349cb785e7", "x": "00ff", "y": "00ff01", "n": 1.5, "place": {"lat": 1.5}}
`)
	if r := load(written, func(j *Job) { j.CompareRows = true }); r.Status != Unchanged {
		t.Errorf("a rerun with the defaults written out is %s, want unchanged", r.Status)
	}
	// The old footer's digest is of rows without the columns: it must not pass for that of the new ones.
	if r := load(filepath.Join(dir, "old.ndjson"), nil); r.Status != Published {
		t.Errorf("rows that take the write-defaults are %s, want published", r.Status)
	}
	rows, err = Show(t.Context(), Target{Catalog: config, Table: "a.t"}, Query{Columns: []string{"b", "i", "l"}, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rec, err := range rows.All {
		if err != nil {
			t.Fatal(err)
		}
		if got := rec.Column(0).ValueStr(0) + rec.Column(1).ValueStr(0) + rec.Column(2).ValueStr(0); got != "false8(null)" {
			t.Errorf("the write-defaults are %s", got)
		}
		rec.Release()
	}
}

// What metadata holds of a default reads back as the same default.
func TestDefaultsThroughMetadata(t *testing.T) {
	for text, of := range map[string]iceberg.Type{
		"true": iceberg.PrimitiveTypes.Bool, "-1": iceberg.PrimitiveTypes.Int32, "9007199254740991": iceberg.PrimitiveTypes.Int64,
		"0.1": iceberg.PrimitiveTypes.Float32, "1e+300": iceberg.PrimitiveTypes.Float64, "-12.50": iceberg.DecimalTypeOf(9, 2),
		"0001-01-01": iceberg.PrimitiveTypes.Date, "23:59:59.999999": iceberg.PrimitiveTypes.Time,
		"1677-09-21T00:12:43.145224193": iceberg.TimestampNsType{}, "2262-04-11T23:47:16.854775807+00:00": iceberg.TimestampTzNsType{},
		"": iceberg.PrimitiveTypes.String, "00ff": iceberg.PrimitiveTypes.Binary,
	} {
		v, err := arrowconv.ParseDefault(of, text)
		if err != nil {
			t.Errorf("%s %q: %v", of, text, err)
			continue
		}
		js, err := json.Marshal(iceberg.NestedField{ID: 1, Name: "c", Type: of, InitialDefault: v, WriteDefault: v})
		if err != nil {
			t.Fatal(err)
		}
		var back iceberg.NestedField
		if err := json.Unmarshal(js, &back); err != nil {
			t.Fatal(err)
		}
		if got, err := arrowconv.FormatDefault(of, back.WriteDefault); err != nil || got != text {
			t.Errorf("%s %q comes back as %q, %v: %s", of, text, got, err, js)
		}
	}
}
