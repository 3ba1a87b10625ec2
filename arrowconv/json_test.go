package arrowconv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/cockroachdb/datadriven"
)

// TestJSON runs the stories of testdata/json. Their input is columns, each a name and a type, then a line
// of --, then the document:
//
//	read [rejects] [rows=PATH]   gives every row, and every reject
//	infer [rows=PATH]            takes the document alone; gives the schema
//	detect                       gives the format of a file .json that begins so
func TestJSON(t *testing.T) {
	datadriven.Walk(t, "testdata/json", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
			defer alloc.AssertSize(t, 0)
			var out strings.Builder
			o := Options{Format: JSON, Alloc: alloc, Workers: 2, MaxRowBytes: 1 << 10}
			d.MaybeScanArgs(t, "rows", &o.JSONRows)
			if d.HasArg("rejects") {
				o.OnReject = func(r Reject) error {
					fmt.Fprintf(&out, "reject %d, line %d: %s\n  %q\n", r.Row, r.Line, (&RowError{r}).Error(), r.Raw)
					return nil
				}
			}
			text := strings.NewReplacer("<CR>", "\r", "<BAD>", "\xff", "<BOM>", "\ufeff", "<TAB>", "\t", "<END>\n", "").Replace(d.Input + "\n")
			switch d.Cmd {
			case "read":
				columns, rows, _ := strings.Cut(text, "--\n")
				readAll(t, &out, Input{Name: "in", Reader: strings.NewReader(rows)}, columnsOf(t, columns), o)
			case "infer":
				schema, err := Infer(t.Context(), Input{Name: "in", Reader: strings.NewReader(text)}, InferOptions{Options: o})
				if err != nil {
					return errorStory(err)
				}
				for _, f := range schema.Fields() {
					fmt.Fprintf(&out, "%d %s %s\n", f.ID, f.Name, FormatType(f.Type))
				}
			case "detect":
				f, err := DetectFormat("in.json", []byte(text))
				if err != nil {
					return errorStory(err)
				}
				fmt.Fprintln(&out, f)
			}
			return out.String()
		})
	})
}

// rowsOfDocument are the rows that a document is cut into, their lines, and why it ended.
func rowsOfDocument(from io.Reader, chunk int) (rows []string, lines []int64, err error) {
	o := Options{ChunkBytes: chunk}.withDefaults()
	o.MaxRowBytes = 1 << 20
	j := newJSONDocument(Input{Name: "in", Reader: from}, o)
	for {
		ch, err := j.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return rows, lines, err
		}
		for row := range strings.Lines(string(ch.text)) {
			rows = append(rows, strings.TrimSuffix(row, "\n"))
		}
		lines = append(lines, ch.lines...)
		j.recycle(ch)
	}
}

// Whatever way the same objects are laid out, they are the same rows, at the lines they are at, and however
// the bytes come.
func TestJSONDocumentsAreNDJSON(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var value func(depth int) any
	value = func(depth int) any {
		switch k := rnd.IntN(8); {
		case k == 0 && depth > 0:
			m := map[string]any{}
			for range rnd.IntN(4) {
				m[fmt.Sprintf("k%d\"\\{[\n", rnd.IntN(9))] = value(depth - 1)
			}
			return m
		case k == 1 && depth > 0:
			l := []any{}
			for range rnd.IntN(4) {
				l = append(l, value(depth-1))
			}
			return l
		case k < 4:
			return []string{"", "]", "}{", `\`, `a\"`, "\u2028", "x\n\ty", strings.Repeat("long ", 40)}[rnd.IntN(8)]
		case k == 4:
			return nil
		case k == 5:
			return true
		}
		return rnd.IntN(1000)
	}
	for n := range 300 {
		var objects []any
		for range rnd.IntN(6) {
			objects = append(objects, map[string]any{"v": value(4)})
		}
		spell := func(indent bool) string {
			var b strings.Builder
			e := json.NewEncoder(&b)
			if indent {
				e.SetIndent(" ", "\t")
			}
			for _, o := range objects {
				if err := e.Encode(o); err != nil {
					t.Fatal(err)
				}
			}
			return b.String()
		}
		want := strings.Split(strings.TrimSuffix(spell(false), "\n"), "\n")
		if len(objects) == 0 {
			want = nil
		}
		array, err := json.MarshalIndent(objects, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if objects == nil {
			array = []byte(" [ \n]\n")
		}
		for layout, text := range map[string]string{
			"lines": spell(false), "indented": spell(true), "array": string(array),
			"windows": strings.ReplaceAll("\ufeff"+spell(true), "\n", "\r\n"),
			"dense":   strings.ReplaceAll(spell(false), "\n", ""),
		} {
			for _, from := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.HalfReader(strings.NewReader(text))} {
				rows, lines, err := rowsOfDocument(from, 1+rnd.IntN(200))
				if err != nil {
					t.Fatalf("%d %s: %v\n%s", n, layout, err, text)
				}
				if len(rows) != len(want) || len(lines) != len(want) {
					t.Fatalf("%d %s: %d rows, %d lines, want %d\n%s", n, layout, len(rows), len(lines), len(want), text)
				}
				for i, row := range rows {
					var b bytes.Buffer
					if err := json.Compact(&b, []byte(row)); err != nil || b.String() != want[i] {
						t.Fatalf("%d %s: row %d is %q, want %q (%v)", n, layout, i+1, row, want[i], err)
					}
					if begins := strings.Split(text, "\n")[lines[i]-1]; !strings.Contains(begins, "{") {
						t.Errorf("%d %s: row %d begins at line %d, which is %q", n, layout, i+1, lines[i], begins)
					}
				}
			}
		}
	}
}

// FuzzJSONDocument holds the cutting of documents to encoding/json: the same rows, and none of a document
// that it refuses, unless one of the rows is what is wrong with it.
func FuzzJSONDocument(f *testing.F) {
	for _, s := range []string{
		`[]`, `[{"a":1},{"a":2}]`, "{\n\"a\":1}\n{}", `[{"a":"]"}]`, `[1,"x",null,[2]]`, `{"a":1}{"b":2}`, `[{},]`, `[{} {}]`, `[{}]]`, `{}]`,
		`[{]}`, `{"a":"\`, "{\"a\":\"x\ny\"}", ` `, `[`, `nul`, `1 2`, `"a""b"`, `-`, `[{"a":[1,{"b":"\\"}]}]`, "\ufeff[{}]", `[,{}]`, `,`, `{}{`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want, refused := jsonReference(text)
		if errors.Is(refused, errScalars) {
			return
		}
		rows, _, err := rowsOfDocument(bytes.NewReader(text), 64)
		again, _, errAgain := rowsOfDocument(iotest.OneByteReader(bytes.NewReader(text)), 7)
		if fmt.Sprint(rows, err) != fmt.Sprint(again, errAgain) {
			t.Fatalf("%q depends on how its bytes come: %q %v, %q %v", text, rows, err, again, errAgain)
		}
		valid := true
		for i, row := range rows {
			if !json.Valid([]byte(row)) {
				valid = false
				continue
			}
			var b bytes.Buffer
			_ = json.Compact(&b, []byte(row))
			rows[i] = b.String()
		}
		switch {
		case err == nil && valid && refused != nil:
			t.Fatalf("%q is taken for %q; encoding/json says %v", text, rows, refused)
		case refused == nil && err != nil:
			t.Fatalf("%q is refused: %v", text, err)
		case refused == nil && fmt.Sprintf("%q", rows) != fmt.Sprintf("%q", want):
			t.Fatalf("%q is cut into %q, want %q", text, rows, want)
		}
	})
}

// errScalars says that a document is numbers and words one after another, which encoding/json cuts in ways of
// its own ("00" is two) and of which none is a row.
var errScalars = errors.New("scalars")

// jsonReference gives the rows of a document, compact, by encoding/json.
func jsonReference(text []byte) (rows []string, err error) {
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, errors.New("UTF-16")
	}
	text = bytes.TrimLeft(bytes.TrimPrefix(text, utf8BOM), " \t\r\n")
	var values []json.RawMessage
	if len(text) > 0 && text[0] == '[' {
		if err := json.Unmarshal(text, &values); err != nil {
			return nil, err
		}
	} else {
		for d := json.NewDecoder(bytes.NewReader(text)); ; {
			var v json.RawMessage
			if err := d.Decode(&v); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			if v[0] != '{' && v[0] != '[' {
				return nil, errScalars
			}
			values = append(values, v)
		}
	}
	for _, v := range values {
		var b bytes.Buffer
		if err := json.Compact(&b, v); err != nil {
			return nil, err
		}
		rows = append(rows, b.String())
	}
	return rows, nil
}
