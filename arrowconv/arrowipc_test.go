package arrowconv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// typedColumn is a type of the columns of Arrow files: what it becomes without a table, and its values.
// docs/types.md has the first of each as a table.
type typedColumn struct {
	from arrow.DataType
	to   string // the Iceberg type that is inferred; "" where the type is refused
	json string // values, as arrow-go reads them
	want string // what is loaded
}

var arrowColumns = []typedColumn{
	{arrow.FixedWidthTypes.Boolean, "boolean", `true,null,false`, "true | (null) | false"},
	{arrow.PrimitiveTypes.Int8, "int", `-128,null`, "-128 | (null)"},
	{arrow.PrimitiveTypes.Int16, "int", `-32768`, "-32768"},
	{arrow.PrimitiveTypes.Int32, "int", `2147483647`, "2147483647"},
	{arrow.PrimitiveTypes.Int64, "long", `-9223372036854775808`, "-9223372036854775808"},
	{arrow.PrimitiveTypes.Uint8, "int", `255`, "255"},
	{arrow.PrimitiveTypes.Uint16, "int", `65535`, "65535"},
	{arrow.PrimitiveTypes.Uint32, "long", `4294967295`, "4294967295"},
	{arrow.PrimitiveTypes.Uint64, "decimal(20, 0)", `18446744073709551615`, "18446744073709551615"},
	{arrow.FixedWidthTypes.Float16, "float", `0.5,null,-2`, "0.5 | (null) | -2"},
	{arrow.PrimitiveTypes.Float32, "float", `0.1`, "0.1"},
	{arrow.PrimitiveTypes.Float64, "double", `0.1`, "0.1"},
	{&arrow.Decimal32Type{Precision: 9, Scale: 2}, "decimal(9, 2)", `"-1234567.89",null`, "-1234567.89 | (null)"},
	{&arrow.Decimal64Type{Precision: 18, Scale: 3}, "decimal(18, 3)", `"123456789012345.678"`, "123456789012345.678"},
	{&arrow.Decimal128Type{Precision: 38, Scale: 2}, "decimal(38, 2)", `"-1.5"`, "-1.5"},
	{&arrow.Decimal256Type{Precision: 38, Scale: 2}, "decimal(38, 2)", `"-1.5",null`, "-1.5 | (null)"},
	{&arrow.Decimal256Type{Precision: 50, Scale: 2}, "", `"-1.5"`, ""},
	{arrow.FixedWidthTypes.Date32, "date", `"1969-12-31",null`, "1969-12-31 | (null)"},
	{arrow.FixedWidthTypes.Date64, "date", `"2024-02-29",null`, "2024-02-29 | (null)"},
	{arrow.FixedWidthTypes.Time32s, "time", `"10:20:30",null`, "10:20:30.000000 | (null)"},
	{arrow.FixedWidthTypes.Time32ms, "time", `"10:20:30.123"`, "10:20:30.123000"},
	{arrow.FixedWidthTypes.Time64us, "time", `"23:59:59.999999"`, "23:59:59.999999"},
	{arrow.FixedWidthTypes.Time64ns, "time", `"10:20:30.123456"`, "10:20:30.123456"},
	{&arrow.TimestampType{Unit: arrow.Second}, "timestamp", `"1969-12-31 23:59:59",null`, "1969-12-31T23:59:59 | (null)"},
	{&arrow.TimestampType{Unit: arrow.Millisecond}, "timestamp", `"2024-01-15 10:20:30.123"`, "2024-01-15T10:20:30.123"},
	{&arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "Europe/Berlin"}, "timestamptz", `"2024-01-15 10:20:30.123456Z"`, "2024-01-15T10:20:30.123456Z"},
	{&arrow.TimestampType{Unit: arrow.Nanosecond}, "timestamp", `"2024-01-15 10:20:30.123456"`, "2024-01-15T10:20:30.123456"},
	{arrow.BinaryTypes.String, "string", `"","é",null`, " | é | (null)"},
	{arrow.BinaryTypes.LargeString, "string", `"a",null,"é"`, "a | (null) | é"},
	{arrow.BinaryTypes.StringView, "string", `"short",null,"a text that is longer than twelve bytes"`, "short | (null) | a text that is longer than twelve bytes"},
	{arrow.BinaryTypes.Binary, "binary", `"/w==",null`, "/w== | (null)"},
	{arrow.BinaryTypes.LargeBinary, "binary", `"/w=="`, "/w=="},
	{arrow.BinaryTypes.BinaryView, "binary", `"/w==",null`, "/w== | (null)"},
	{&arrow.FixedSizeBinaryType{ByteWidth: 2}, "fixed[2]", `"AP8=",null`, "AP8= | (null)"},
	{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, "string", `"b","a",null,"b"`, "b | a | (null) | b"},
	{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint16, ValueType: arrow.PrimitiveTypes.Int64}, "long", `7,7,null`, "7 | 7 | (null)"},
	{arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String), "string", `"a","a",null,"b"`, "a | a | (null) | b"},
	{arrow.StructOf(field("x", arrow.BinaryTypes.StringView), field("y", arrow.PrimitiveTypes.Uint8)), "struct<x: string, y: int>", `{"x":"a","y":1},null`, `{"x":"a","y":1} | (null)`},
	{arrow.ListOf(arrow.PrimitiveTypes.Int64), "list<long>", `[1,null],[],null`, "[1,null] | [] | (null)"},
	{arrow.LargeListOf(arrow.BinaryTypes.LargeString), "list<string>", `["a"],null,["b","c"]`, `["a"] | (null) | ["b","c"]`},
	{arrow.ListViewOf(arrow.PrimitiveTypes.Int32), "list<int>", `[1,2],null,[3]`, "[1,2] | (null) | [3]"},
	{arrow.LargeListViewOf(arrow.PrimitiveTypes.Int32), "list<int>", `[1,2],null,[]`, "[1,2] | (null) | []"},
	{arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Int32), "list<int>", `[1,2],null,[3,4]`, "[1,2] | (null) | [3,4]"},
	{arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64), "map<string, long>", `[{"key":"k","value":1}],null,[]`, `[{"key":"k","value":1}] | (null) | []`},
	{extensions.NewUUIDType(), "uuid", `"00112233-4455-6677-8899-aabbccddeeff",null`, "00112233-4455-6677-8899-aabbccddeeff | (null)"},
	{extensions.NewBool8Type(), "boolean", `true,null,false`, "true | (null) | false"},
	{arrow.Null, "string", `null,null`, "(null) | (null)"},
	{arrow.FixedWidthTypes.Duration_ms, "", ``, ""},
	{arrow.FixedWidthTypes.MonthInterval, "", ``, ""},
	{arrow.FixedWidthTypes.DayTimeInterval, "", ``, ""},
	{arrow.FixedWidthTypes.MonthDayNanoInterval, "", ``, ""},
	{arrow.SparseUnionOf([]arrow.Field{field("a", arrow.PrimitiveTypes.Int32)}, []int8{0}), "", ``, ""},
}

func jsonRows(values string) string {
	var rows []string
	depth, from := 0, 0
	for i, c := range values + "," {
		switch {
		case strings.ContainsRune("[{", c):
			depth++
		case strings.ContainsRune("]}", c):
			depth--
		case c == ',' && depth == 0:
			if values != "" {
				rows = append(rows, `{"v":`+values[from:i]+`}`)
			}
			from = i + 1
		}
	}
	return "[" + strings.Join(rows, ",") + "]"
}

func recordOf(t testing.TB, schema *arrow.Schema, rows string) arrow.RecordBatch {
	t.Helper()
	record, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func streamOf(t testing.TB, records []arrow.RecordBatch, o ...ipc.Option) []byte {
	t.Helper()
	var out bytes.Buffer
	w := ipc.NewWriter(&out, append(o, ipc.WithSchema(records[0].Schema()))...)
	for _, r := range records {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func arrowFileOf(t testing.TB, records []arrow.RecordBatch, o ...ipc.Option) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := ipc.NewFileWriter(&out, append(o, ipc.WithSchema(records[0].Schema()))...)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// asFile and asStream are the two ways in which an input comes.
func asFile(b []byte) Input   { return Input{Name: "in", At: bytes.NewReader(b), Size: int64(len(b))} }
func asStream(b []byte) Input { return Input{Name: "in", Reader: onlyReader{bytes.NewReader(b)}} }

type onlyReader struct{ io.Reader }

// valuesOf reads the one column v of an input into a type, and tells its values and rejects by row.
func valuesOf(t testing.TB, in Input, to string, o Options) string {
	t.Helper()
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer alloc.AssertSize(t, 0)
	byRow := map[int64]string{}
	o.Alloc, o.OnReject = alloc, func(r Reject) error {
		byRow[r.Row] = fmt.Sprintf("reject %q: %s", r.Value, r.Reason)
		return nil
	}
	for b, err := range Read(t.Context(), in, columnsOf(t, "v "+to), o) {
		if err != nil {
			return "error: " + err.Error()
		}
		for i := range int(b.NumRows()) {
			byRow[b.RowNumber(i)] = b.Column(0).ValueStr(i)
			if b.Column(0).IsNull(i) {
				byRow[b.RowNumber(i)] = array.NullValueStr
			}
		}
		b.Release()
	}
	var got []string
	for row := range len(byRow) {
		got = append(got, byRow[int64(row+1)])
	}
	return strings.Join(got, " | ")
}

// TestArrowTypes: every type, in files and streams, compressed or not, becomes its Iceberg type with
// its values, or is refused by name.
func TestArrowTypes(t *testing.T) {
	for _, c := range arrowColumns {
		t.Run(c.from.String(), func(t *testing.T) {
			schema := arrow.NewSchema([]arrow.Field{field("v", c.from)}, nil)
			record := recordOf(t, schema, jsonRows(c.json))
			defer record.Release()
			records := []arrow.RecordBatch{record}
			for name, b := range map[string][]byte{
				"file":        arrowFileOf(t, records),
				"stream":      streamOf(t, records),
				"lz4 file":    arrowFileOf(t, records, ipc.WithLZ4()),
				"zstd stream": streamOf(t, records, ipc.WithZstd()),
			} {
				inferred, err := Infer(t.Context(), asFile(b), InferOptions{})
				if c.to == "" {
					if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "no Iceberg type holds the values of Arrow's "+c.from.String()) {
						t.Errorf("%s: %v", name, err)
					}
					continue
				}
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if got := FormatType(inferred.Field(0).Type); got != c.to {
					t.Errorf("%s: inferred %s, want %s", name, got, c.to)
				}
				for _, in := range []Input{asFile(b), asStream(b)} {
					if got := valuesOf(t, in, c.to, Options{}); got != c.want {
						t.Errorf("%s: got  %s\nwant %s", name, got, c.want)
					}
				}
			}
		})
	}
}

// TestArrowConversions: the value rules are those of Parquet, whatever the layout.
func TestArrowConversions(t *testing.T) {
	dict := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.PrimitiveTypes.Int64}
	for _, c := range []struct {
		from           arrow.DataType
		to, json, want string
	}{
		{dict, "int", `7,5000000000,null`, `7 | reject "5000000000": out of range | (null)`},
		{dict, "int!", `7,null`, `7 | reject "null": null in a required column`},
		{arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Float64), "long", `1,1,1.5`, `1 | 1 | reject "1.5": it has more fraction digits than the type`},
		{arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Float64), "double!", `1,null`, `1 | reject "null": null in a required column`},
		{arrow.FixedWidthTypes.Date64, "timestamp", `"2024-02-29"`, "2024-02-29T00:00:00"},
		{&arrow.Decimal64Type{Precision: 18, Scale: 3}, "decimal(5, 2)", `"123.450","123.456"`, `123.45 | reject "123.456": it has more fraction digits than the type`},
		{arrow.BinaryTypes.StringView, "uuid", `"00112233-4455-6677-8899-aabbccddeeff","x"`, `00112233-4455-6677-8899-aabbccddeeff | reject "x": it has the wrong length`},
		{arrow.LargeListOf(arrow.PrimitiveTypes.Int64), "list<int>", `[1],[5000000000]`, `[1] | reject "5000000000": out of range`},
		{arrow.FixedSizeListOf(1, arrow.PrimitiveTypes.Int64), "list<int!>", `[1],null,[null]`, `[1] | (null) | reject "null": null in a required column`},
		{arrow.Null, "int!", `null`, `reject "null": null in a required column`},
		{arrow.PrimitiveTypes.Uint64, "long", `9223372036854775808`, `reject "9223372036854775808": out of range`},
		{&arrow.Decimal256Type{Precision: 60, Scale: 2}, "decimal(38,2)", `"1.5","1234567890123456789012345678901234567.00"`, `1.5 | reject "1234567890123456789012345678901234567": out of range`},
	} {
		t.Run(fmt.Sprintf("%s to %s", c.from, c.to), func(t *testing.T) {
			record := recordOf(t, arrow.NewSchema([]arrow.Field{field("v", c.from)}, nil), jsonRows(c.json))
			defer record.Release()
			if got := valuesOf(t, asStream(streamOf(t, []arrow.RecordBatch{record})), c.to, Options{}); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestArrowHiddenElements: what lies below a null list is nobody's business.
func TestArrowHiddenElements(t *testing.T) {
	b := array.NewFixedSizeListBuilder(memory.DefaultAllocator, 2, arrow.PrimitiveTypes.Int64)
	v := b.ValueBuilder().(*array.Int64Builder)
	b.Append(true)
	v.AppendValues([]int64{1, 2}, nil)
	b.Append(false)
	v.AppendValues([]int64{5_000_000_000, 5_000_000_000}, nil)
	b.Append(true)
	v.AppendValues([]int64{3, 4}, nil)
	fixed := b.NewArray()
	offsets := memory.NewBufferBytes(arrow.Int32Traits.CastToBytes([]int32{0, 2, 4, 6}))
	list := array.MakeFromData(array.NewData(arrow.ListOf(arrow.PrimitiveTypes.Int64), 3, []*memory.Buffer{fixed.Data().Buffers()[0], offsets}, fixed.Data().Children(), 1, 0))
	for _, a := range []arrow.Array{fixed, list} {
		record := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{field("v", a.DataType())}, nil), []arrow.Array{a}, 3)
		if got := valuesOf(t, asStream(streamOf(t, []arrow.RecordBatch{record})), "list<int>", Options{}); got != "[1,2] | (null) | [3,4]" {
			t.Errorf("%s: %s", a.DataType(), got)
		}
	}
}

// TestArrowDigits: a decimal with more digits than its type may have is no value of it; a null's bytes are none.
func TestArrowDigits(t *testing.T) {
	values := []decimal128.Num{decimal128.FromI64(9999), decimal128.FromI64(-10000), decimal128.FromI64(123456)}
	dt := &arrow.Decimal128Type{Precision: 4, Scale: 2}
	data := array.NewData(dt, 3, []*memory.Buffer{memory.NewBufferBytes([]byte{0b011}), memory.NewBufferBytes(arrow.Decimal128Traits.CastToBytes(values))}, nil, 1, 0)
	record := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{field("v", dt)}, nil), []arrow.Array{array.MakeFromData(data)}, 3)
	if got := valuesOf(t, asStream(streamOf(t, []arrow.RecordBatch{record})), "decimal(4, 2)", Options{}); got != `99.99 | reject "-100": out of range | (null)` {
		t.Error(got)
	}
}

// manyRecords are rows in record batches of odd sizes, with a dictionary of so many words, 0 for one that grows.
func manyRecords(words int, sizes ...int) []arrow.RecordBatch {
	dict := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	schema := arrow.NewSchema([]arrow.Field{field("id", arrow.PrimitiveTypes.Int64), field("d", dict)}, nil)
	values := array.NewStringBuilder(memory.DefaultAllocator)
	grows := words == 0
	var out []arrow.RecordBatch
	id := 0
	for _, size := range sizes {
		ids, places := array.NewInt64Builder(memory.DefaultAllocator), array.NewInt32Builder(memory.DefaultAllocator)
		for range size {
			ids.Append(int64(id))
			places.Append(int32(id / 100))
			if grows {
				words = id/100 + 1
			}
			id++
		}
		for i := range words {
			values.Append(fmt.Sprintf("d%d", i))
		}
		d := array.NewDictionaryArray(dict, places.NewArray(), values.NewArray())
		out = append(out, array.NewRecordBatch(schema, []arrow.Array{ids.NewArray(), d}, int64(size)))
	}
	return out
}

// TestArrowBatches: record batches of any size become bounded batches, the same whatever the workers; dictionaries
// may grow and, in streams, be replaced.
func TestArrowBatches(t *testing.T) {
	records := manyRecords(0, 1, 150_000, 0, 7)
	dir := t.TempDir()
	for name, b := range map[string][]byte{
		"deltas":       streamOf(t, records, ipc.WithDictionaryDeltas(true)),
		"replacements": streamOf(t, records),
		"file":         arrowFileOf(t, manyRecords(2000, 1, 150_000, 0, 7)),
	} {
		var want []int64
		for _, workers := range []int{1, 3} {
			for _, in := range []Input{asFile(b), asStream(b)} {
				var sizes []int64
				id := int64(0)
				for batch, err := range Read(t.Context(), in, columnsOf(t, "id long!\nd string!"), Options{Workers: workers, SpillDir: dir}) {
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					for i, v := range batch.Column(0).(*array.Int64).Int64Values() {
						if v != id || batch.RowNumber(i) != id+1 || batch.Column(1).ValueStr(i) != fmt.Sprintf("d%d", id/100) {
							t.Fatalf("%s: row %d has id %d, d %s", name, id, v, batch.Column(1).ValueStr(i))
						}
						id++
					}
					if batch.NumRows() > maxTypedRows {
						t.Errorf("%s: a batch of %d rows", name, batch.NumRows())
					}
					sizes = append(sizes, batch.NumRows())
					batch.Release()
				}
				if id != 150_008 {
					t.Fatalf("%s: %d rows", name, id)
				}
				if want == nil {
					want = sizes
				}
				if fmt.Sprint(sizes) != fmt.Sprint(want) {
					t.Errorf("%s: batches of %v rows, and of %v", name, sizes, want)
				}
			}
		}
	}
}

// TestArrowCut: wherever a stream or a file is cut off, the input is refused and no row is given for the
// whole; so is what follows its end.
func TestArrowCut(t *testing.T) {
	records := manyRecords(1, 3, 4)
	stream, file := streamOf(t, records, ipc.WithDictionaryDeltas(true)), arrowFileOf(t, records, ipc.WithDictionaryDeltas(true))
	schema := columnsOf(t, "id long\nd string")
	for n := range stream {
		if _, err := drain(t.Context(), asStream(stream[:n]), schema, Options{Format: Arrow}); !errors.Is(err, ErrInput) || !strings.HasPrefix(err.Error(), "in: ") {
			t.Fatalf("a stream of %d bytes of %d: %v", n, len(stream), err)
		}
	}
	for n := range file {
		if _, err := drain(t.Context(), asFile(file[:n]), schema, Options{Format: Arrow}); !errors.Is(err, ErrInput) || !strings.HasPrefix(err.Error(), "in: ") {
			t.Fatalf("a file of %d bytes of %d: %v", n, len(file), err)
		}
	}
	for want, b := range map[string][]byte{
		"without its end-of-stream marker":   stream[:len(stream)-8],
		"within the message that begins at":  stream[:len(stream)-16],
		", and the input goes on":            append(bytes.Clone(stream), stream...),
		"it is no Arrow file or stream":      make([]byte, 100),
		"it is a Feather file of version 1":  []byte("FEA1 and so on"),
		"the Arrow file has no footer":       file[:len(file)-1],
		"the Arrow file cannot be read: a f": append(bytes.Clone(file[:len(file)-10]), append([]byte{0xff, 0xff, 0xff, 0x7f}, file[len(file)-6:]...)...),
	} {
		if _, err := drain(t.Context(), asFile(b), schema, Options{Format: Arrow}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestArrowOldCompression: Arrow 0.17 said in a message's own metadata that it is compressed, where the library does
// not look, and gives the compressed bytes for values.
func TestArrowOldCompression(t *testing.T) {
	plain := recordOf(t, arrow.NewSchema([]arrow.Field{field("v", arrow.PrimitiveTypes.Int64)}, nil), `[{"v":1}]`)
	old := arrow.NewMetadata([]string{"ARROW:experimental_compression"}, []string{"lz4"})
	records := []arrow.RecordBatch{array.NewRecordBatchWithMetadata(plain.Schema(), plain.Columns(), 1, old)}
	for _, b := range [][]byte{streamOf(t, records), arrowFileOf(t, records)} {
		if got := valuesOf(t, asStream(b), "long", Options{}); !strings.Contains(got, "compressed in the way of Arrow 0.17, which is not read") {
			t.Error(got)
		}
	}
}

// TestArrowReadFails: a wire that fails is not the stream's fault.
func TestArrowReadFails(t *testing.T) {
	fault := errors.New("the wire broke")
	stream := streamOf(t, manyRecords(1, 3, 4))
	for _, n := range []int{5, 100, len(stream) - 4, len(stream)} {
		in := Input{Name: "in", Reader: io.MultiReader(bytes.NewReader(stream[:n]), brokenReader{fault})}
		if _, err := drain(t.Context(), in, columnsOf(t, "id long\nd string"), Options{Format: Arrow}); !errors.Is(err, fault) || errors.Is(err, ErrInput) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}
