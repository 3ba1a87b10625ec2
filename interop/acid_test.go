//go:build interop

package interop

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The acid tests are files that other people published to find out what parsers do with the odd
// corners of a format. Each is read right, or refused with a reason that is written down here: a
// change of either is a change that users see.

// npm is the folder of a package's files.
func npm(t *testing.T, name string) string {
	t.Helper()
	dir, err := world.tools.NPM(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// csvSpectrum says what becomes of each file of csv-spectrum: "" where it is read as the JSON beside
// it says, else the words of the refusal.
var csvSpectrum = map[string]string{
	"comma_in_quotes.csv":      "",
	"empty.csv":                "",
	"empty_crlf.csv":           "",
	"escaped_quotes.csv":       "",
	"json.csv":                 "",
	"location_coordinates.csv": "row 1: a quote within an unquoted field",
	"newlines.csv":             "",
	"newlines_crlf.csv":        "",
	"quotes_and_newlines.csv":  "",
	"simple.csv":               "",
	"simple_crlf.csv":          "",
	"utf8.csv":                 "",
}

// TestAcidCSVSpectrum loads the files of csv-spectrum into tables and shows these.
func TestAcidCSVSpectrum(t *testing.T) {
	dir := npm(t, "csv-spectrum")
	files, err := filepath.Glob(filepath.Join(dir, "csvs", "*.csv"))
	if err != nil || len(files) != len(csvSpectrum) {
		t.Fatalf("%d files, %v; want %d", len(files), err, len(csvSpectrum))
	}
	l := sqliteLake(t)
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			reason, known := csvSpectrum[name]
			if !known {
				t.Fatal("no outcome is written down for it")
			}
			table := "acid." + strings.TrimSuffix(name, ".csv")
			schema := l.put(t, name+".yaml", textColumns(t, file))
			if reason != "" {
				load := l.start(t, loadArgs(table, file, "--schema", schema, "--replace-table")...)
				if code := load.end(t); code != 4 || !strings.Contains(load.stderr.String(), reason) {
					t.Errorf("exit code %d, want 4 and %q:\n%s", code, reason, &load.stderr)
				}
				return
			}
			l.load(t, table, file, "--schema", schema, "--replace-table")
			show := l.start(t, "show", table, "--output", "json")
			if code := show.end(t); code != 0 {
				t.Fatalf("exit code %d\n%s", code, &show.stderr)
			}
			got, want := jsonRows(t, []byte(show.stdout.String())), expectedRows(t, filepath.Join(dir, "json", strings.TrimSuffix(name, ".csv")+".json"))
			if !slices.Equal(got, want) {
				t.Errorf("rows %q\nwant %q", got, want)
			}
		})
	}
}

// textColumns is a schema file with the columns of a CSV file's first line, all string.
func textColumns(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(string(text), "\n")
	schema := "columns:\n"
	for name := range strings.SplitSeq(strings.TrimSuffix(header, "\r"), ",") {
		schema += "  " + name + ": string\n"
	}
	return schema
}

// jsonRows spells each row of a stream or an array of objects with its keys in order.
func jsonRows(t *testing.T, text []byte) []string {
	t.Helper()
	var rows []string
	for d := json.NewDecoder(strings.NewReader(string(text))); d.More(); {
		var row map[string]any
		if err := d.Decode(&row); err != nil {
			t.Fatal(err)
		}
		spelled, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, string(spelled))
	}
	return rows
}

// expectedRows are those of a file that holds an array of rows, or one row.
func expectedRows(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rows []json.RawMessage
	if json.Unmarshal(text, &rows) != nil {
		return jsonRows(t, text)
	}
	var stream []byte
	for _, row := range rows {
		stream = append(append(stream, row...), '\n')
	}
	return jsonRows(t, stream)
}
