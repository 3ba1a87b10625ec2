package arrowconv

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
)

func TestDetectFormat(t *testing.T) {
	for _, c := range []struct {
		name, head string
		want       Format
	}{
		{"events.csv", "", CSV},
		{"in/EVENTS.CSV.gz", "", CSV},
		{"events.tsv.zst", "", TSV},
		{"a.jsonl", "", NDJSON},
		{"a.json", "", NDJSON},
		{"s3://b/part-0.parquet", "", Parquet},
		{"events.csv", "a\tb\n", CSV},
		{"events.csv", "PAR1\x15\x00", Parquet},
		{"holes.csv", "PAR1,PAR2,PAR3\n", CSV},
		{"-", "PAR1\tPAR2\n", TSV},
		{"-", "PAR1", Parquet},
		{"-", "\xef\xbb\xbfid,name\n", CSV},
		{"-", "id\tname\n1,5\t2\n", TSV},
		{"-", "\n {\"a\": 1}\n", NDJSON},
		{"-", "{}\n", NDJSON},
		{"-", "{a},{b}\n", CSV},
		{"data.2024", "a,b\n", CSV},
		{"-", "a;b\n1;2\n", CSV},
		{"-", "a|b\n", CSV},
		{"-", "one word\n", ""},
		{"-", "", ""},
		{"-", "\x00\x01,\x02", ""},
	} {
		got, err := DetectFormat(c.name, []byte(c.head))
		if got != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, ErrInput) {
			t.Errorf("%s with %q: %q, %v; want %q", c.name, c.head, got, err, c.want)
		}
	}
}

func TestFormatsByName(t *testing.T) {
	for name, want := range map[string]Format{"CSV": CSV, "tsv": TSV, "jsonl": NDJSON, "Parquet": Parquet} {
		if got, err := ParseFormat(name); got != want || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]string{"xml": "it is one of csv, ", "parkuet": "did you mean parquet? It is one of "} {
		_, err := ParseFormat(name)
		if hint, ok := err.(interface{ Hint() string }); !errors.Is(err, ErrInput) || !ok || !strings.HasPrefix(hint.Hint(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, f := range formats {
		if got, err := ParseFormat(string(f.name)); got != f.name || err != nil || !strings.Contains(FormatChoice(), string(f.name)) {
			t.Errorf("%s is not itself: %q, %v", f.name, got, err)
		}
	}
	for _, err := range Read(t.Context(), Input{Name: "a"}, iceberg.NewSchema(0), Options{Format: "xml"}) {
		if err == nil {
			t.Error("format xml reads")
		}
	}
}

// The content decides where the name is silent, and what was looked at is read all the same.
func TestReadDetectsAndLosesNothing(t *testing.T) {
	rows := int64(0)
	in := Input{Name: "-", Reader: strings.NewReader("id\tname\n" + strings.Repeat("1\ta\n", 5000))}
	for b, err := range Read(t.Context(), in, idAndName, Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		rows += b.RowsRead()
		b.Release()
	}
	if rows != 5000 {
		t.Errorf("%d rows", rows)
	}
}

var idAndName = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64},
	iceberg.NestedField{ID: 2, Name: "name", Type: iceberg.PrimitiveTypes.String})

func TestRowErrorsAreShort(t *testing.T) {
	err := &RowError{Reject{Source: "a.csv", Row: 3, Column: "v", Value: strings.Repeat("é", 500), Want: "long"}}
	if s := err.Error(); len(s) > 200 || !strings.Contains(s, "(1000 bytes)") || strings.Contains(s, `\x`) {
		t.Errorf("%s", s)
	}
	if !errors.Is(err, ErrInput) {
		t.Error("is not ErrInput")
	}
}

// Every column has its field id, and exactly the Arrow type that the schema asks for.
func TestBatchesHaveTheArrowSchema(t *testing.T) {
	schema, err := ParseSchema("s", []byte(`columns:
  a: boolean
  b: int
  c: long
  d: float
  e: double
  f: decimal(9, 2)
  g: decimal(38, 2)
  h: date
  i: time
  j: timestamp
  k: timestamptz
  l: string
  m: uuid
  n: fixed[2]
  o: binary
  p: struct<x: int, y: list<string>>
  q: map<string, int>
  r: unknown
  s: timestamp_ns
`))
	if err != nil {
		t.Fatal(err)
	}
	want, err := ArrowSchema(schema)
	if err != nil {
		t.Fatal(err)
	}
	const header = "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,r,s\n"
	const row = "true,1,2,1.5,2.5,3.25,4.25,2024-01-15,10:00,2024-01-15,2024-01-15,x,f79c3e09-677c-4bbd-a479-3f349cb785e7,0a0b,cafe,,2024-01-15\n"
	alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer alloc.AssertSize(t, 0)
	for b, err := range Read(t.Context(), Input{Name: "a.csv", Reader: strings.NewReader(header + row + strings.Repeat(",", 16) + "\n")}, schema, Options{Alloc: alloc}) {
		if err != nil {
			t.Fatal(err)
		}
		if !b.Schema().Equal(want) {
			t.Errorf("schema %s\nwant %s", b.Schema(), want)
		}
		for i, col := range b.Columns() {
			if !arrow.TypeEqual(col.DataType(), want.Field(i).Type) || col.Len() != 2 || !col.IsNull(1) && col.DataType().ID() != arrow.NULL {
				t.Errorf("column %d: %s", i, col)
			}
		}
		b.Release()
	}
}

// Whoever stops in the middle, leaves nothing allocated and no goroutine; so does an error, of
// reading or of OnReject, or a cancelled context.
func TestReadsEndClean(t *testing.T) {
	text := "id,name\n" + strings.Repeat("1,a\nx,b\n", 1000)
	fault := errors.New("disk on fire")
	for name, c := range map[string]struct {
		reader   io.Reader
		onReject func(Reject) error
		stop     bool
		cancel   bool
		want     error
	}{
		"stopped":      {reader: strings.NewReader(text), onReject: func(Reject) error { return nil }, stop: true},
		"bad row":      {reader: strings.NewReader(text), want: ErrInput},
		"reject fails": {reader: strings.NewReader(text), onReject: func(Reject) error { return fault }, want: fault},
		"read fails":   {reader: io.MultiReader(strings.NewReader("id,name\n1,a\n1,b\n"), brokenReader{fault}), want: fault},
		"head fails":   {reader: brokenReader{fault}, want: fault},
		"cancelled":    {reader: strings.NewReader(text), onReject: func(Reject) error { return nil }, cancel: true, want: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
			defer alloc.AssertSize(t, 0)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o := Options{Format: CSV, ChunkBytes: 64, Workers: 3, Alloc: alloc, OnReject: c.onReject}
			var got error
			for b, err := range Read(ctx, Input{Name: "a.csv", Reader: c.reader}, idAndName, o) {
				if got = err; err != nil {
					continue // the sequence ends by itself
				}
				b.Release()
				if c.stop {
					break
				}
				if c.cancel {
					cancel()
				}
			}
			if !errors.Is(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }
