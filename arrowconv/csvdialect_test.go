package arrowconv

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// referenceRows reads CSV of any dialect the slow and simple way: escapes are resolved first, into
// characters that mean nothing but themselves, and then there are four states.
func referenceRows(data []byte, d dialect, columns int) (rows [][]string, rejected []int64) {
	if len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(slices.Clone(data), '\n')
	}
	n := int64(0)
	for at := 0; at < len(data); {
		if d.comment != 0 && data[at] == d.comment {
			at += bytes.IndexByte(data[at:], '\n') + 1
			continue
		}
		fields, end, ok := referenceRow(data, at, d)
		raw := data[at:end]
		at = end
		if len(trimLineEnd(raw)) == 0 {
			continue
		}
		n++
		for i, f := range fields {
			ok = ok && utf8.ValidString(f)
			fields[i] = strings.ReplaceAll(f, "\r\n", "\n")
		}
		if ok && len(fields) == columns {
			rows = append(rows, fields)
		} else {
			rejected = append(rejected, n)
		}
	}
	return rows, rejected
}

func referenceRow(data []byte, at int, d dialect) (fields []string, end int, ok bool) {
	const (
		start = iota
		plain
		quoted
		closed
	)
	state, field := start, ""
	for at < len(data) {
		text, literal := string(data[at:at+1]), false
		if d.escape != 0 && data[at] == d.escape {
			for _, meant := range []string{"\r\n", "\n", string(rune(d.delim)), string(rune(d.quote)), string(rune(d.escape))} {
				if bytes.HasPrefix(data[at+1:], []byte(meant)) {
					text, literal = meant, true
				}
			}
		}
		broken := func() ([]string, int, bool) {
			if nl := bytes.IndexByte(data[at:], '\n'); nl >= 0 {
				return nil, at + nl + 1, false
			}
			return nil, len(data), false
		}
		size := len(text)
		if literal {
			size++
		}
		isQuote := !literal && d.quoted() && text[0] == d.quote
		switch {
		case state == quoted && isQuote:
			state = closed
		case state == quoted:
			field += text
		case state == closed && isQuote:
			field, state = field+text, quoted
		case !literal && text[0] == d.delim:
			fields, field, state = append(fields, field), "", start
		case !literal && text == "\n":
			return append(fields, strings.TrimSuffix(field, "\r")), at + 1, true
		case state == closed && text == "\r" && !literal && at+1 < len(data) && data[at+1] == '\n':
			return append(fields, field), at + 2, true
		case state == closed:
			return broken()
		case isQuote && state == start:
			state = quoted
		case isQuote:
			return broken()
		default:
			field, state = field+text, plain
		}
		at += size
	}
	return nil, len(data), false
}

// checkAgainstReference reads data in chunks of several sizes: each time what the reference reads.
func checkAgainstReference(t testing.TB, data []byte, d dialect, columns int) {
	if bytes.HasPrefix(data, utf8BOM) || isUTF16(data) {
		return
	}
	rows, rejected := referenceRows(data, d, columns)
	for _, chunk := range []int{1, 3, 16, 100, 1 << 20} {
		o := Options{ChunkBytes: chunk, Workers: 1 + chunk%3}
		o.CSV = CSVOptions{Delimiter: d.delim, Quote: d.quote, Escape: d.escape, Comment: d.comment}
		if !d.quoted() {
			o.CSV.Quote = NoQuote
		}
		gotRows, gotRejected := readStrings(t, data, columns, o)
		if !slices.EqualFunc(gotRows, rows, slices.Equal[[]string]) || !slices.Equal(gotRejected, rejected) {
			t.Fatalf("%q with %q in chunks of %d:\ngot  %q, rejects %v\nwant %q, rejects %v",
				data, fmt.Sprint(d), chunk, gotRows, gotRejected, rows, rejected)
		}
	}
}

// dialectOf makes one of the dialects of a number.
func dialectOf(n uint8) dialect {
	d := dialect{delim: ",;\t\x01"[n%4], quote: "\"'"[n/4%2], escape: "\x00\\^"[n/8%3], comment: "\x00#"[n/24%2]}
	if n/48%3 == 2 {
		d.quote = d.delim
	}
	return d
}

func FuzzCSVDialects(f *testing.F) {
	for n, s := range []string{
		"a,b\n\"c\\\"\",d\\,e\n", "# it's \"\na,b\n\"x\n#y\",z\n#", "a\\\nb,c\r\n\"\\\\\",d\\", "'a''b',c\n'd\\'e',f\n", "a,\"b\\\n\"\r\n\\\r\n,c",
	} {
		for k := range 12 {
			f.Add([]byte(s), uint8(n*12+k))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, n uint8) {
		if len(data) <= 1<<12 {
			checkAgainstReference(t, data, dialectOf(n), 2)
		}
	})
}

// TestCSVDialectsAgreeWithReference makes inputs of the pieces that parsers of dialects trip over.
func TestCSVDialectsAgreeWithReference(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d := dialectOf(rapid.Uint8().Draw(r, "dialect"))
		delim, quote, escape := string(rune(d.delim)), string(rune(d.quote)), string(rune(max(d.escape, '\\')))
		piece := rapid.SampledFrom([]string{
			delim, delim, delim, "\n", "\n", "\r\n", "\r", quote, quote + quote, quote + "x" + delim + "y" + quote, quote + "a\nb" + quote, escape, escape + quote,
			escape + delim, escape + "\n", escape + "\r\n", escape + escape, escape + "n", "#", "\n#", "\n# it's \"\n", "x", "yz", "é", "\xff", "\x00", strings.Repeat("long ", 20),
		})
		var data []byte
		for _, p := range rapid.SliceOfN(piece, 0, 60).Draw(r, "pieces") {
			data = append(data, p...)
		}
		checkAgainstReference(t, data, d, rapid.IntRange(2, 3).Draw(r, "columns"))
	})
}

// TestDetectionIsSilentOnPlainCSV: nothing but commas in the first line is read as ever, whatever else
// the rows hold, and what is detected is told.
func TestDetectionIsSilentOnPlainCSV(t *testing.T) {
	for text, want := range map[string]string{
		"a,b\n1,2\n":                             "fields have commas between them usual",
		"a,b\n1;2,3;4\n5|6,7|8\n":                "fields have commas between them usual",
		"a\n1;2\n3;4\n":                          "fields have commas between them usual",
		"a,b\n1\n1,2,3\n":                        "fields have commas between them usual",
		"a;b\n1;2\n":                             "fields have semicolons between them",
		"a\tb\n1\t2\n":                           "fields have tabs between them",
		"a|b\n1|2\n3\n":                          "fields have bars between them",
		"'a','b'\n1,2\n":                         "fields have commas between them and are in single quotes",
		"a;b\n" + strings.Repeat("1;2\n", 1<<16): "fields have semicolons between them",
	} {
		var got string
		o := InferOptions{Options: Options{Format: CSV, Note: func(n Note) {
			if got = n.Text; n.Usual {
				got += " usual"
			}
		}}}
		_, err := Infer(t.Context(), Input{Name: "in", Reader: strings.NewReader(text)}, o)
		if got != want || err != nil && !errors.Is(err, ErrInput) {
			t.Errorf("%.30q: %s, %v; want %s", text, got, err, want)
		}
	}
}

// TestDialectBytes reads what people write for a character, and refuses what cannot be one.
func TestDialectBytes(t *testing.T) {
	for text, want := range map[string]byte{";": ';', "tab": '\t', "TAB": '\t', `\t`: '\t', `\x01`: 1, `\`: '\\', " ": ' '} {
		if got, err := ParseDialectByte(text); got != want || err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ";;", "é", `\xff`, `\x00`, `\xzz`, "\x00"} {
		if got, err := ParseDialectByte(text); !errors.Is(err, ErrInput) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

// BenchmarkCSVDialects reads the rows of BenchmarkCSV in dialects that take the slow way.
func BenchmarkCSVDialects(b *testing.B) {
	schema, err := ParseSchema("lineitem.yaml", []byte(lineitemSchema))
	if err != nil {
		b.Fatal(err)
	}
	data := lineitem(100_000)
	for name, o := range map[string]CSVOptions{
		"given": {Delimiter: ','}, "detected": {}, "escape": {Escape: '\\'}, "comment": {Comment: '#'},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := drain(b.Context(), Input{Name: "in", Reader: bytes.NewReader(data)}, schema, Options{Format: CSV, Workers: 1, CSV: o}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
