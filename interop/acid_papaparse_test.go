//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
)

// papaparseCases has node print the cases of papaparse's core parser that our flags can say: no options,
// or one character for delimiter, quote, escape or comments. The file is a program; nothing else of it runs.
const papaparseCases = `
const vm = require("vm"), fs = require("fs");
const box = {chai: {assert: {}}, Papa: {}, describe: Object.assign(() => {}, {skip: () => {}}), console};
vm.runInNewContext(fs.readFileSync(process.argv[1], "utf8") + "\n;cases = CORE_PARSER_TESTS", box);
const one = v => typeof v === "string" && v.length === 1 && v < "\x7f" && v > "\0";
console.log(JSON.stringify(box.cases.filter(c => Object.entries(c.config || {}).every(([k, v]) =>
  ["delimiter", "quoteChar", "escapeChar"].includes(k) && one(v) || k === "comments" && (v === true || one(v)))).map(c =>
  ({name: c.description, input: c.input, config: c.config || {}, rows: c.expected.data}))));`

// papaparse says of the cases that are not read as papaparse has them what our reading is told. It is
// lenient with quotes that RFC 4180 has no place for, and with rows of unequal length.
var papaparse = map[string]string{
	"Unquoted field with quotes at end of field":                                  "in: row 1: a quote within an unquoted field",
	"Quoted field with whitespace around quotes":                                  "in: row 1: a quote within an unquoted field",
	"Misplaced quotes in data, not as opening quotes":                             "in: row 1: a quote within an unquoted field",
	"Quoted field has no closing quote":                                           "in: row 1: a quote that is never closed",
	"Quoted field has invalid trailing quote after delimiter with a valid closer": "in: row 1: text after a closing quote",
	"Quoted field has invalid trailing quote after delimiter":                     "in: row 1: text after a closing quote",
	"Quoted field has invalid trailing quote before delimiter":                    "in: row 1: text after a closing quote",
	"Quoted field has invalid trailing quote after new line":                      "in: row 1: text after a closing quote",
	"Input is just empty fields":                                                  "in: row 2: 4 fields, want 3",
	// In a file of one column empty lines are rows, as papaparse has it, which this test leaves out elsewhere.
	"One column input with empty fields": `it reads [["a"] ["b"] [""] [""] ["c"] ["d"] ["e"]]`,
}

// TestAcidPapaparse reads the inputs of papaparse's tests. Empty lines are no rows of ours.
func TestAcidPapaparse(t *testing.T) {
	file := filepath.Join(npm(t, "papaparse"), "tests", "test-cases.js")
	out, err := exec.CommandContext(t.Context(), "node", "-e", papaparseCases, file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name, Input string
		Config      map[string]any
		Rows        [][]string
	}
	if err := json.Unmarshal(out, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 40 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, c := range cases {
		want := slices.DeleteFunc(c.Rows, func(row []string) bool { return slices.Equal(row, []string{""}) })
		columns := 1
		if len(want) > 0 {
			columns = len(want[0])
		}
		o := arrowconv.Options{Format: arrowconv.CSV}
		o.CSV = arrowconv.CSVOptions{Delimiter: ',', NoHeader: true, Nulls: []string{}}
		for key, to := range map[string]*byte{"delimiter": &o.CSV.Delimiter, "quoteChar": &o.CSV.Quote, "escapeChar": &o.CSV.Escape, "comments": &o.CSV.Comment} {
			switch v := c.Config[key].(type) {
			case string:
				*to = v[0]
			case bool:
				*to = '#'
			}
		}
		got, reason := papaRows(t, c.Input, columns, o)
		if reason == "" && !slices.EqualFunc(got, want, slices.Equal[[]string]) {
			reason = fmt.Sprintf("it reads %q", got)
		}
		if told := papaparse[c.Name]; reason != told {
			t.Errorf("%s: %q\nwant %q\ngot  %q, not %q", c.Name, c.Input, want, reason, told)
		}
	}
}

// papaRows reads text as columns of strings, up to the first error.
func papaRows(t *testing.T, text string, columns int, o arrowconv.Options) (rows [][]string, reason string) {
	t.Helper()
	var fields []iceberg.NestedField
	for i := range columns {
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: fmt.Sprintf("c%d", i), Type: iceberg.PrimitiveTypes.String})
	}
	in := arrowconv.Input{Name: "in", Reader: strings.NewReader(text)}
	for b, err := range arrowconv.Read(t.Context(), in, iceberg.NewSchema(0, fields...), o) {
		if err != nil {
			return rows, err.Error()
		}
		for r := range int(b.NumRows()) {
			row := make([]string, columns)
			for c := range row {
				row[c] = b.Column(c).(*array.String).Value(r)
			}
			rows = append(rows, row)
		}
		b.Release()
	}
	return rows, ""
}
