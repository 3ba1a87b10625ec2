package arrowconv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
)

// TestNDJSON runs the stories of testdata/ndjson. Their input is columns, each a name and a type, then
// a line of --, then rows:
//
//	read [rejects] [zone=Europe/Berlin] [format=…]   gives every row, and every reject
//	infer [rows=N] [decimals] [rejects]              takes rows alone; gives the schema
func TestNDJSON(t *testing.T) {
	datadriven.Walk(t, "testdata/ndjson", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
			defer alloc.AssertSize(t, 0)
			var out strings.Builder
			o := Options{Format: NDJSON, Alloc: alloc, Workers: 2}
			if d.HasArg("rejects") {
				o.OnReject = func(r Reject) error {
					fmt.Fprintf(&out, "reject %d: %s\n  %s\n", r.Row, strings.TrimPrefix((&RowError{r}).Error(), fmt.Sprintf("in: row %d: ", r.Row)), r.Raw)
					return nil
				}
			}
			if d.HasArg("zone") {
				var zone string
				d.ScanArgs(t, "zone", &zone)
				var err error
				if o.TimeZone, err = time.LoadLocation(zone); err != nil {
					t.Fatal(err)
				}
			}
			text := strings.NewReplacer("<CR>", "\r", "<NUL>", "\x00", "<BAD>", "\xff", "<BOM>", "\ufeff", "<TAB>", "\t").Replace(d.Input)
			switch d.Cmd {
			case "read":
				columns, rows, found := strings.Cut(text, "--\n")
				if !found {
					columns = strings.TrimSuffix(columns, "--")
				}
				readAll(t, &out, Input{Name: "in", Reader: strings.NewReader(rows)}, columnsOf(t, columns), o)
			case "infer":
				i := InferOptions{Options: o, Decimals: d.HasArg("decimals")}
				d.MaybeScanArgs(t, "rows", &i.Rows)
				schema, err := Infer(t.Context(), Input{Name: "in", Reader: strings.NewReader(text)}, i)
				if err != nil {
					return errorStory(err)
				}
				for _, f := range schema.Fields() {
					fmt.Fprintf(&out, "%d %s %s\n", f.ID, f.Name, FormatType(f.Type))
				}
			default:
				t.Fatalf("unknown command %s", d.Cmd)
			}
			return out.String()
		})
	})
}

// columnsOf makes a schema of lines of a name and a type.
func columnsOf(t testing.TB, text string) *iceberg.Schema {
	t.Helper()
	var fields []iceberg.NestedField
	for line := range strings.Lines(text) {
		name, typ, _ := strings.Cut(strings.TrimSpace(line), " ")
		parsed, required, err := parseColumnType(typ)
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, iceberg.NestedField{ID: 1000 + len(fields), Name: name, Type: parsed, Required: required})
	}
	schema, err := iceberg.AssignFreshSchemaIDs(iceberg.NewSchema(0, fields...), nil)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func errorStory(err error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "error: %s\n", err)
	var hint interface{ Hint() string }
	if errors.As(err, &hint) && hint.Hint() != "" {
		fmt.Fprintf(&b, "hint: %s\n", hint.Hint())
	}
	if !errors.Is(err, ErrInput) {
		b.WriteString("(not ErrInput)\n")
	}
	return b.String()
}

// readAll writes every row of in to out, with its number, values between bars.
func readAll(t testing.TB, out *strings.Builder, in Input, schema *iceberg.Schema, o Options) {
	t.Helper()
	for b, err := range Read(t.Context(), in, schema, o) {
		if err != nil {
			out.WriteString(errorStory(err))
			return
		}
		writeBatch(out, b)
		b.Release()
	}
}

func writeBatch(out *strings.Builder, b Batch) {
	for row := range int(b.NumRows()) {
		fmt.Fprintf(out, "%d:", b.RowNumber(row))
		for i, column := range b.Columns() {
			if i > 0 {
				out.WriteString(" |")
			}
			fmt.Fprintf(out, " %s", column.ValueStr(row))
		}
		out.WriteByte('\n')
	}
}

const eventColumns = `id string
type string
actor struct<id: long, login: string, gravatar_id: string, url: string>
repo struct<id: long, name: string>
payload struct<push_id: long, size: int, ref: string, commits: list<struct<sha: string, message: string, distinct: boolean>>>
public boolean
created_at timestamptz
org struct<id: long, login: string>
`

// events writes rows shaped like those of a public timeline, nested as they are or flat.
func events(n int, nested bool) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"id":"%d","type":"PushEvent"`, 40000000000+i)
		fmt.Fprintf(&b, `,"actor":{"id":%d,"login":"user%d","gravatar_id":"","url":"https://api.example.com/users/user%d"}`, 1000+i%5000*13, i%5000, i%5000)
		fmt.Fprintf(&b, `,"repo":{"id":%d,"name":"owner%d/repository-%d"}`, 500000+i%9000*17, i%900, i%9000)
		if nested {
			fmt.Fprintf(&b, `,"payload":{"push_id":%d,"size":%d,"ref":"refs/heads/main","commits":[`, i*2+11, 1+i%3)
			for c := range 1 + i%3 {
				if c > 0 {
					b.WriteByte(',')
				}
				fmt.Fprintf(&b, `{"sha":"%040x","message":"correct the careful packages of requests, again","distinct":%t}`, i*7919+c, i%2 == 0)
			}
			b.WriteString(`]}`)
		}
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(i) * 137 * time.Millisecond)
		fmt.Fprintf(&b, `,"public":true,"created_at":"%s"`, at.Format("2006-01-02T15:04:05Z"))
		if i%4 == 0 {
			fmt.Fprintf(&b, `,"org":{"id":%d,"login":"org%d"}`, 9000+i%5000, i%5000)
		}
		b.WriteString("}\n")
	}
	return b.Bytes()
}

func BenchmarkNDJSON(b *testing.B) {
	schema := columnsOf(b, eventColumns)
	for _, c := range []struct {
		name   string
		nested bool
	}{{"flat", false}, {"nested", true}} {
		text := events(60000, c.nested)
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/workers=%d", c.name, workers), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				rows := int64(0)
				for b.Loop() {
					for batch, err := range Read(b.Context(), Input{Name: "in", Reader: bytes.NewReader(text)}, schema, Options{Format: NDJSON, Workers: workers}) {
						if err != nil {
							b.Fatal(err)
						}
						rows += batch.NumRows()
						batch.Release()
					}
				}
				b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
	b.Run("infer", func(b *testing.B) {
		text := events(60000, true)
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			if _, err := Infer(b.Context(), Input{Name: "in", Reader: bytes.NewReader(text)}, InferOptions{Options: Options{Format: NDJSON, Workers: 1}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestNDJSONReadErrors: what the reader says is passed on, after the rows that came before it.
func TestNDJSONReadErrors(t *testing.T) {
	broken := errors.New("the wire broke")
	text := events(100, true)
	in := Input{Name: "in", Reader: iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(text)))}
	_, err := drain(t.Context(), in, columnsOf(t, eventColumns), Options{Format: NDJSON})
	if !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("error %v, want %v", err, iotest.ErrTimeout)
	}
	_, err = drain(t.Context(), Input{Name: "in", Reader: iotest.ErrReader(broken)}, columnsOf(t, eventColumns), Options{Format: NDJSON})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	_, err = drain(ctx, Input{Name: "in", Reader: bytes.NewReader(text)}, columnsOf(t, eventColumns), Options{Format: NDJSON})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

// drain reads everything and returns the number of rows.
func drain(ctx context.Context, in Input, schema *iceberg.Schema, o Options) (rows int64, err error) {
	for b, err := range Read(ctx, in, schema, o) {
		if err != nil {
			return rows, err
		}
		rows += b.NumRows()
		b.Release()
	}
	return rows, nil
}

// The key that is expected next is told by its first and last bytes: one that differs anywhere is another.
func TestQuotedKeys(t *testing.T) {
	for n := range 40 {
		name := strings.Repeat("abcdefg", 6)[:n]
		key, text := newQuotedKey(name), []byte(`"`+name+`":12345678`+"\n")
		if !key.begins(text) {
			t.Errorf("%s does not begin with its key", text)
		}
		for i := range len(key.text) {
			other := bytes.Clone(text)
			if other[i] ^= 1; key.begins(other) {
				t.Errorf("%s begins with %s", other, key.text)
			}
		}
		for end := range key.text {
			if key.begins(append(text[:end:end], '\n')) {
				t.Errorf("%s begins with %s", text[:end], key.text)
			}
		}
	}
	for _, name := range []string{"a\"b", `a\b`, "a\tb"} {
		if key := newQuotedKey(name); key.begins(make([]byte, 20)) {
			t.Errorf("%q is looked for, which is written with escapes", name)
		}
	}
}

// Texts of every length are whole, with those that come before and after.
func TestNDJSONTextsOfEveryLength(t *testing.T) {
	var in strings.Builder
	var want []string
	for n := range 200 {
		s := strings.Repeat(string(rune('a'+n%26)), n*7%90)
		want = append(want, s)
		fmt.Fprintf(&in, "{\"s\":%q}\n", s)
	}
	var got []string
	for b, err := range Read(t.Context(), asStream([]byte(in.String())), columnsOf(t, "s string"), Options{Format: NDJSON, ChunkBytes: 1000}) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(b.NumRows()) {
			got = append(got, b.Column(0).(*array.String).Value(i))
		}
		b.Release()
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
