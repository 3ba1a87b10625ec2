package arrowconv

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// TestCSVStories runs testdata/csv and testdata/infer. "schema" sets the columns; "read" converts its input and prints the
// rows, what was set aside (with the argument rejects), and how the read ended; "infer" prints the schema.
// In the input, \r, \t, \\ and \xNN are bytes; it ends with a line end unless the argument "open" is given.
func TestCSVStories(t *testing.T) {
	story := func(t *testing.T, path string) {
		var schema *iceberg.Schema
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "schema" {
				var err error
				schema, err = ParseSchema("schema.yaml", []byte("columns:\n  "+strings.ReplaceAll(d.Input, "\n", "\n  ")+"\n"))
				if err != nil {
					return csvStoryError(err)
				}
				return ""
			}
			text := unescapeStory(t, d.Input)
			if text != "" && !d.HasArg("open") {
				text += "\n"
			}
			o := storyOptions(t, d)
			if d.Cmd == "infer" {
				io := InferOptions{Options: o, Decimals: d.HasArg("decimals")}
				d.MaybeScanArgs(t, "rows", &io.Rows)
				if d.HasArg("rejects") {
					io.OnReject = func(Reject) error { return errors.New("inference reports no rejects") }
				}
				s, err := Infer(t.Context(), Input{Name: "in.csv", Reader: strings.NewReader(text)}, io)
				if err != nil {
					return csvStoryError(err)
				}
				return SchemaYAML(s)
			}
			// Every story is told again in the smallest chunks; only the batches may differ.
			whole := tellRead(t, schema, text, o, d.HasArg("rejects"))
			o.ChunkBytes = 1
			if small := tellRead(t, schema, text, o, d.HasArg("rejects")); small != whole {
				t.Errorf("%s: in chunks of one row:\n%s\nin one chunk:\n%s", d.Pos, small, whole)
			}
			return whole
		})
	}
	datadriven.Walk(t, "testdata/csv", story)
	story(t, "testdata/infer/csv")
}

func storyOptions(t *testing.T, d *datadriven.TestData) Options {
	o := Options{Format: CSV, Workers: 2}
	o.CSV.NoHeader, o.CSV.DecimalComma = d.HasArg("no-header"), d.HasArg("decimal-comma")
	if d.HasArg("tsv") {
		o.Format = TSV
	}
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "delimiter":
			o.CSV.Delimiter = unescapeStory(t, arg.Vals[0])[0]
		case "quote":
			if o.CSV.Quote = NoQuote; arg.Vals[0] != "none" {
				o.CSV.Quote = arg.Vals[0][0]
			}
		case "escape":
			o.CSV.Escape = unescapeStory(t, arg.Vals[0])[0]
		case "comment":
			o.CSV.Comment = arg.Vals[0][0]
		case "skip":
			d.ScanArgs(t, "skip", &o.CSV.Skip)
		case "nulls":
			o.CSV.Nulls = []string{}
			for _, v := range arg.Vals {
				o.CSV.Nulls = append(o.CSV.Nulls, strings.Trim(unescapeStory(t, v), "'"))
			}
		case "zone":
			zone, err := time.LoadLocation(arg.Vals[0])
			if err != nil {
				t.Fatal(err)
			}
			o.TimeZone = zone
		case "max-row":
			d.ScanArgs(t, "max-row", &o.MaxRowBytes)
		}
	}
	return o
}

func unescapeStory(t *testing.T, s string) string {
	var b strings.Builder
	for len(s) > 0 {
		if s[0] != '\\' {
			b.WriteByte(s[0])
			s = s[1:]
			continue
		}
		switch s[1] {
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case '\\':
			b.WriteByte('\\')
		case 'x':
			var c byte
			if _, err := fmt.Sscanf(s[2:4], "%02x", &c); err != nil {
				t.Fatal(err)
			}
			b.WriteByte(c)
			s = s[2:]
		default:
			t.Fatalf("unknown escape %q", s[:2])
		}
		s = s[2:]
	}
	return b.String()
}

// tellRead reads text and describes all that comes of it, batches aside.
func tellRead(t *testing.T, schema *iceberg.Schema, text string, o Options, rejects bool) string {
	t.Helper()
	alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer alloc.AssertSize(t, 0)
	o.Alloc = alloc
	var b strings.Builder
	if rejects {
		o.OnReject = func(r Reject) error {
			fmt.Fprintf(&b, "reject %v, raw %q\n", &RowError{r}, r.Raw)
			return nil
		}
	}
	for batch, err := range Read(t.Context(), Input{Name: "in.csv", Reader: strings.NewReader(text)}, schema, o) {
		if err != nil {
			return csvStoryError(err) // what was read before it depends on the batches
		}
		for i := range int(batch.NumRows()) {
			fmt.Fprintf(&b, "%d:", batch.RowNumber(i))
			for c, col := range batch.Columns() {
				v := "null"
				if col.IsValid(i) {
					v = col.ValueStr(i)
					if s, ok := col.(*array.String); ok {
						v = fmt.Sprintf("%q", s.Value(i))
					}
				}
				fmt.Fprintf(&b, " %s=%s", batch.ColumnName(c), v)
			}
			b.WriteByte('\n')
		}
		batch.Release()
	}
	// Rejects come with their batch, before its rows: tell them in row order, whatever the batches are.
	return inRowOrder(b.String())
}

func inRowOrder(told string) string {
	lines := strings.SplitAfter(told, "\n")
	number := func(line string) int {
		n := 1 << 30
		if _, err := fmt.Sscanf(line, "%d:", &n); err != nil {
			if i := strings.Index(line, ": row "); i >= 0 && strings.HasPrefix(line, "reject ") {
				_, _ = fmt.Sscanf(line[i:], ": row %d", &n)
			}
		}
		return n
	}
	slices.SortStableFunc(lines, func(a, b string) int { return number(a) - number(b) })
	return strings.Join(lines, "")
}

func csvStoryError(err error) string {
	s := "error: " + err.Error() + "\n"
	if !errors.Is(err, ErrInput) {
		s += "which is not bad input\n"
	}
	var hint interface{ Hint() string }
	if errors.As(err, &hint) && hint.Hint() != "" {
		s += "hint: " + hint.Hint() + "\n"
	}
	return s
}

// csvOracle reads data with encoding/csv, in its strict mode: the rows with the right number of fields
// and valid text, and the numbers of the others.
func csvOracle(data []byte, delim rune, columns int) (rows [][]string, rejected []int64) {
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma, r.FieldsPerRecord = delim, -1
	for n := int64(1); ; n++ {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, rejected
		}
		if err != nil || len(row) != columns || slices.ContainsFunc(row, func(f string) bool { return !utf8.ValidString(f) }) {
			rejected = append(rejected, n)
			continue
		}
		rows = append(rows, row)
	}
}

// readStrings reads data, without a header, as string columns.
func readStrings(t testing.TB, data []byte, columns int, o Options) (rows [][]string, rejected []int64) {
	var fields []iceberg.NestedField
	for i := range columns {
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: fmt.Sprint("c", i), Type: iceberg.PrimitiveTypes.String})
	}
	alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
	o.Format, o.Alloc = CSV, alloc
	o.CSV.NoHeader, o.CSV.Nulls = true, []string{}
	var reported []int64
	o.OnReject = func(r Reject) error {
		reported = append(reported, r.Row)
		return nil
	}
	read := int64(0)
	in := Input{Name: "in.csv", Reader: iotest.OneByteReader(bytes.NewReader(data))}
	for b, err := range Read(t.Context(), in, iceberg.NewSchema(0, fields...), o) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(b.NumRows()) {
			row := make([]string, columns)
			for c := range row {
				// encoding/csv turns CRLF within quotes to LF; we keep what is there.
				row[c] = strings.ReplaceAll(b.Column(c).(*array.String).Value(i), "\r\n", "\n")
			}
			rows = append(rows, row)
		}
		if b.FirstRow != read+1 {
			t.Fatalf("a batch begins at row %d after %d rows", b.FirstRow, read)
		}
		read += b.RowsRead()
		rejected = append(rejected, b.Rejected...)
		b.Release()
	}
	alloc.AssertSize(t.(memory.TestingT), 0)
	if !slices.Equal(reported, rejected) {
		t.Fatalf("reported rejects %v, batches say %v", reported, rejected)
	}
	return rows, rejected
}

// checkAgainstOracle reads data in chunks of several sizes: each time what encoding/csv reads.
func checkAgainstOracle(t testing.TB, data []byte, delim byte, columns int) {
	if bytes.HasPrefix(data, utf8BOM) || bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return // marks, which encoding/csv takes for data
	}
	rows, rejected := csvOracle(data, rune(delim), columns)
	for _, chunk := range []int{1, 2, 5, 16, 100, 1 << 20} {
		o := Options{ChunkBytes: chunk, Workers: 1 + chunk%3}
		o.CSV.Delimiter = delim
		gotRows, gotRejected := readStrings(t, data, columns, o)
		if !slices.EqualFunc(gotRows, rows, slices.Equal[[]string]) || !slices.Equal(gotRejected, rejected) {
			t.Fatalf("%q in chunks of %d:\ngot  %q, rejects %v\nwant %q, rejects %v",
				data, chunk, gotRows, gotRejected, rows, rejected)
		}
	}
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{
		"a,b\r\n\"c\",\"d\"\"e\"\n", "\"a\n,b\",c\n\nd,e", "a\"b,c\nd,e\n", "\"a\"b,c\nd,\"e\n\"\n", "a,\"b", "\"\"\r,\r\r\n", "\xff,b\n",
	} {
		f.Add([]byte(s), uint8(0), uint8(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, delim, columns uint8) {
		if len(data) > 1<<12 {
			return
		}
		checkAgainstOracle(t, data, ",;\t|"[delim%4], 2+int(columns%3))
	})
}

// TestCSVAgreesWithEncodingCSV makes inputs of the pieces that parsers trip over.
func TestCSVAgreesWithEncodingCSV(t *testing.T) {
	piece := rapid.SampledFrom([]string{
		",", ",", "\n", "\n", "\r\n", "\r", `"`, `""`, `"x"`, `"a,b"`, "\"a\nb\"", "\"c\r\nd\"", `"e""f"`, "x", "yz", " ", "é", "\xff",
		strings.Repeat("long ", 20), `"` + strings.Repeat("quoted,\n", 12) + `"`,
	})
	rapid.Check(t, func(r *rapid.T) {
		var data []byte
		for _, p := range rapid.SliceOfN(piece, 0, 60).Draw(r, "pieces") {
			data = append(data, p...)
		}
		checkAgainstOracle(t, data, ',', rapid.IntRange(2, 4).Draw(r, "columns"))
	})
}

// TestInferredSchemasLoad: a file loads without a reject into the schema inferred from all of it, in
// chunks of any size, and the schema does not depend on them.
func TestInferredSchemasLoad(t *testing.T) {
	value := rapid.OneOf(
		rapid.SampledFrom([]string{
			"", "1", "-2", "0", "1.50", "-0.0", ".5", "5.", "1e3", "NaN", "inf", "-Infinity", "+1", "00501", "-00.1", " 1", "1 ", "true",
			"FALSE", "2024-01-15", "2024-02-30", "2024-01-15T10:00", "2024-01-15 10:00:00.5Z", "2024-01-15T10:00:00.123456789",
			"12345678901234567890", "123456789012345678901234567890123456789012345", `"1"`, `""`, `"a,b"`, "2024-01-15 ", "0-1-2-3-4-5", "-", ".", "e5",
		}), rapid.StringMatching(`[-+]?[0-9]{1,25}(\.[0-9]{0,25})?(e[0-9])?`),
	)
	rapid.Check(t, func(r *rapid.T) {
		columns := rapid.IntRange(1, 3).Draw(r, "columns")
		text := strings.Join([]string{"a", "b", "c"}[:columns], ",") + "\n"
		for range rapid.IntRange(1, 6).Draw(r, "rows") {
			var row []string
			for range columns {
				row = append(row, value.Draw(r, "value"))
			}
			text += strings.Join(row, ",") + "\n"
		}
		o := InferOptions{Options: Options{Format: CSV}, Decimals: rapid.Bool().Draw(r, "decimals")}
		schema, err := Infer(t.Context(), Input{Name: "in.csv", Reader: strings.NewReader(text)}, o)
		if err != nil {
			r.Fatal(err)
		}
		o.ChunkBytes = rapid.IntRange(1, 50).Draw(r, "chunk")
		again, err := Infer(t.Context(), Input{Name: "in.csv", Reader: strings.NewReader(text)}, o)
		if err != nil || !again.Equals(schema) {
			r.Fatalf("%v in chunks, %v", again, err)
		}
		for b, err := range Read(t.Context(), Input{Name: "in.csv", Reader: strings.NewReader(text)}, schema, o.Options) {
			if err != nil {
				r.Fatalf("%v\n%s%s", err, SchemaYAML(schema), text)
			}
			b.Release()
		}
	})
}

// TestBatchesDoNotDependOnTiming: batches are cut alike, however the input trickles in and whoever works.
func TestBatchesDoNotDependOnTiming(t *testing.T) {
	data := lineitem(2000)
	schema, err := ParseSchema("lineitem.yaml", []byte(lineitemSchema))
	if err != nil {
		t.Fatal(err)
	}
	cuts := func(r io.Reader, workers int) (all []string) {
		o := Options{ChunkBytes: 10_000, Workers: workers}
		for b, err := range Read(t.Context(), Input{Name: "lineitem.csv", Reader: r}, schema, o) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprint(b.FirstRow, b.NumRows(), b.Bytes))
			b.Release()
		}
		return all
	}
	want := cuts(bytes.NewReader(data), 1)
	if len(want) < 20 {
		t.Fatalf("only %d batches", len(want))
	}
	for workers := range 4 {
		for _, r := range []io.Reader{bytes.NewReader(data), iotest.HalfReader(bytes.NewReader(data)), iotest.DataErrReader(bytes.NewReader(data))} {
			if got := cuts(r, workers+1); !slices.Equal(got, want) {
				t.Errorf("%d workers: %v\nwant %v", workers+1, got, want)
			}
		}
	}
}

// TestLongRows: a row may be much longer than a chunk, up to the limit.
func TestLongRows(t *testing.T) {
	long := strings.Repeat("a line,\n", 50_000)
	text := "1,a\n2,\"" + long + "\"\n3,c\n"
	rows, rejected := readStrings(t, []byte(text), 2, Options{ChunkBytes: 1000, Workers: 2})
	if len(rejected) != 0 || len(rows) != 3 || rows[1][1] != long || rows[2][1] != "c" {
		t.Errorf("%d rows, rejects %v", len(rows), rejected)
	}
	o := Options{Format: CSV, ChunkBytes: 1000, MaxRowBytes: 100_000}
	o.CSV.NoHeader = true
	var got error
	for b, err := range Read(t.Context(), Input{Name: "in.csv", Reader: strings.NewReader(text)}, idAndName, o) {
		if got = err; err == nil {
			b.Release()
		}
	}
	if !errors.Is(got, ErrInput) || !strings.Contains(got.Error(), "row 2: longer than 100000 bytes") {
		t.Errorf("%v", got)
	}
}
