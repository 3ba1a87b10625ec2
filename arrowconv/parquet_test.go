package arrowconv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// parquetOf writes rows given as JSON, in Arrow's spelling of values, to a Parquet file.
func parquetOf(t testing.TB, schema *arrow.Schema, rows string, props ...parquet.WriterProperty) []byte {
	t.Helper()
	record, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	defer record.Release()
	return parquetFileOf(t, record, pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()), props...)
}

func parquetFileOf(t testing.TB, record arrow.RecordBatch, arrowProps pqarrow.ArrowWriterProperties, props ...parquet.WriterProperty) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := pqarrow.NewFileWriter(record.Schema(), &file, parquet.NewWriterProperties(props...), arrowProps)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(record), w.Close()); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func field(name string, t arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true}
}

// storyOfParquet reads a file into columns and tells what came of it: rows, rejects, the error.
func storyOfParquet(t testing.TB, file []byte, columns string, o Options, rejects bool) string {
	t.Helper()
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer alloc.AssertSize(t, 0)
	var out strings.Builder
	o.Alloc = alloc
	if rejects {
		o.OnReject = func(r Reject) error {
			fmt.Fprintf(&out, "%s\n  %s\n", (&RowError{r}).Error(), r.Raw)
			return nil
		}
	}
	readAll(t, &out, Input{Name: "in.parquet", At: bytes.NewReader(file), Size: int64(len(file))}, columnsOf(t, columns), o)
	return out.String()
}

// parquetConversion is a column of a file, a column of a table, the values that the file has, as JSON, and what
// becomes of each.
type parquetConversion struct {
	from   arrow.DataType
	to     string
	values string
	want   string
	zone   string // --time-zone; "" is UTC
}

func decimalOf(p, s int32) arrow.DataType { return &arrow.Decimal128Type{Precision: p, Scale: s} }

func timestampOf(u arrow.TimeUnit, zone string) arrow.DataType {
	return &arrow.TimestampType{Unit: u, TimeZone: zone}
}

// parquetConversions are what docs/types.md shows, too.
var parquetConversions = []parquetConversion{
	{arrow.FixedWidthTypes.Boolean, "boolean", `true,null`, "true | (null)", ""},
	{arrow.PrimitiveTypes.Int8, "int", `-128,127`, "-128 | 127", ""},
	{arrow.PrimitiveTypes.Int16, "long", `-32768`, "-32768", ""},
	{arrow.PrimitiveTypes.Int32, "long", `-2147483648,null,7`, "-2147483648 | (null) | 7", ""},
	{arrow.PrimitiveTypes.Int64, "int", `2147483647,2147483648,null,-2147483649`, `2147483647 | reject "2147483648": out of range | (null) | reject "-2147483649": out of range`, ""},
	{arrow.PrimitiveTypes.Uint32, "long", `4294967295`, "4294967295", ""},
	{arrow.PrimitiveTypes.Uint64, "long", `9223372036854775807,9223372036854775808`, `9223372036854775807 | reject "9223372036854775808": out of range`, ""},
	{arrow.PrimitiveTypes.Uint64, "decimal(20,0)", `18446744073709551615`, "18446744073709551615", ""},
	{arrow.PrimitiveTypes.Float64, "long", `3,3.5,null`, `3 | reject "3.5": it has more fraction digits than the type | (null)`, ""},
	{arrow.PrimitiveTypes.Float32, "double", `0.5,null`, "0.5 | (null)", ""},
	{arrow.PrimitiveTypes.Float64, "float", `0.5,0.1`, `0.5 | reject "0.1": the type has no value that is exactly it`, ""},
	{arrow.PrimitiveTypes.Int64, "double", `9007199254740992,9007199254740993`, `9.007199254740992e+15 | reject "9007199254740993": the type has no value that is exactly it`, ""},
	{decimalOf(9, 2), "decimal(12,4)", `"1.23","-9999999.99"`, "1.23 | -9999999.99", ""},
	{decimalOf(9, 4), "decimal(9,2)", `"1.2300","1.2345"`, `1.23 | reject "1.2345": it has more fraction digits than the type`, ""},
	{decimalOf(38, 2), "decimal(38,6)", `"1.5","111111111111111111111111111111111111.11"`, `1.5 | reject "111111111111111111111111111111111111.11": out of range`, ""},
	{decimalOf(9, 2), "decimal(4,2)", `"99.99","100.00"`, `99.99 | reject "100": out of range`, ""},
	{decimalOf(9, 2), "long", `"7.00","7.50"`, `7 | reject "7.5": it has more fraction digits than the type`, ""},
	{arrow.PrimitiveTypes.Int32, "decimal(5,2)", `999,1000`, `999 | reject "1000": out of range`, ""},
	{arrow.FixedWidthTypes.Date32, "date", `"2024-02-29"`, "2024-02-29", ""},
	{arrow.FixedWidthTypes.Date32, "timestamp", `"2024-02-29","1969-12-31"`, "2024-02-29T00:00:00 | 1969-12-31T00:00:00", ""},
	{timestampOf(arrow.Microsecond, ""), "date", `"2024-02-29 00:00:00","2024-02-29 00:00:01"`, `2024-02-29 | reject "2024-02-29T00:00:01": it is not a midnight`, ""},
	{arrow.FixedWidthTypes.Time32ms, "time", `"10:00:00.123"`, "10:00:00.123000", ""},
	{arrow.FixedWidthTypes.Time64ns, "time", `"10:00:00.123456","10:00:00.123456789"`, `10:00:00.123456 | reject "10:00:00.123456789": it is finer than a microsecond`, ""},
	{timestampOf(arrow.Millisecond, ""), "timestamp", `"1969-12-31 23:59:59.999"`, "1969-12-31T23:59:59.999", ""},
	{timestampOf(arrow.Nanosecond, ""), "timestamp", `"2024-01-01 00:00:00.000001","2024-01-01 00:00:00.000000001"`, `2024-01-01T00:00:00.000001 | reject "2024-01-01T00:00:00.000000001": it is finer than a microsecond`, ""},
	{timestampOf(arrow.Microsecond, "UTC"), "timestamp_ns", `"2024-01-01 00:00:00.000001Z","2400-01-01 00:00:00Z"`, `2024-01-01T00:00:00.000001 | reject "2400-01-01T00:00:00Z": out of range`, ""},
	{timestampOf(arrow.Microsecond, "UTC"), "timestamptz", `"2024-07-01 10:00:00Z"`, "2024-07-01T10:00:00Z", "Europe/Berlin"},
	{timestampOf(arrow.Microsecond, ""), "timestamptz", `"2024-07-01 12:00:00"`, "2024-07-01T12:00:00Z", ""},
	{timestampOf(arrow.Microsecond, ""), "timestamptz", `"2024-07-01 12:00:00","2024-03-31 02:30:00"`, `2024-07-01T10:00:00Z | reject "2024-03-31T02:30:00": there is no such local time: the clocks were put forward over it`, "Europe/Berlin"},
	{timestampOf(arrow.Microsecond, "UTC"), "timestamp", `"2024-07-01 10:00:00Z"`, "2024-07-01T12:00:00", "Europe/Berlin"},
	{arrow.BinaryTypes.String, "string", `"","é",null`, " | é | (null)", ""},
	{arrow.BinaryTypes.LargeString, "string", `"large"`, "large", ""},
	{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, "string", `"b","a",null,"b"`, "b | a | (null) | b", ""},
	{arrow.BinaryTypes.Binary, "string", `"aGk=","/w=="`, `hi | reject "\xff": it is not valid UTF-8`, ""},
	{arrow.BinaryTypes.Binary, "binary", `"/w=="`, "/w==", ""},
	{&arrow.FixedSizeBinaryType{ByteWidth: 2}, "fixed[2]", `"AP8=",null`, "AP8= | (null)", ""},
	{&arrow.FixedSizeBinaryType{ByteWidth: 2}, "binary", `"AP8=",null`, "AP8= | (null)", ""},
	{&arrow.FixedSizeBinaryType{ByteWidth: 16}, "uuid", `"ABEiM0RVZneImaq7zN3u/w=="`, "00112233-4455-6677-8899-aabbccddeeff", ""},
	{extensions.NewUUIDType(), "uuid", `"00112233-4455-6677-8899-aabbccddeeff",null`, "00112233-4455-6677-8899-aabbccddeeff | (null)", ""},
	{arrow.BinaryTypes.String, "uuid", `"00112233-4455-6677-8899-aabbccddeeff","x"`, `00112233-4455-6677-8899-aabbccddeeff | reject "x": it has the wrong length`, ""},
}

func TestParquetConversions(t *testing.T) {
	for _, c := range parquetConversions {
		t.Run(fmt.Sprintf("%s to %s", c.from, c.to), func(t *testing.T) {
			var rows strings.Builder
			for value := range strings.SplitSeq(c.values, ",") {
				fmt.Fprintf(&rows, `{"v":%s}`, value)
			}
			file := parquetOf(t, arrow.NewSchema([]arrow.Field{field("v", c.from)}, nil), "["+strings.ReplaceAll(rows.String(), "}{", "},{")+"]")
			alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
			defer alloc.AssertSize(t, 0)
			byRow := map[int64]string{}
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			o := Options{Alloc: alloc, TimeZone: zone, OnReject: func(r Reject) error {
				byRow[r.Row] = fmt.Sprintf("reject %q: %s", r.Value, r.Reason)
				return nil
			}}
			in := Input{Name: "in.parquet", At: bytes.NewReader(file), Size: int64(len(file))}
			for b, err := range Read(t.Context(), in, columnsOf(t, "v "+c.to), o) {
				if err != nil {
					t.Fatal(err)
				}
				for i := range int(b.NumRows()) {
					byRow[b.RowNumber(i)] = b.Column(0).ValueStr(i)
				}
				b.Release()
			}
			var got []string
			for row := range len(byRow) {
				got = append(got, byRow[int64(row+1)])
			}
			if got := strings.Join(got, " | "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestParquetRefusals: what cannot keep its values is an error of the schema, before any row.
func TestParquetRefusals(t *testing.T) {
	for _, c := range []struct{ name, columns, want string }{
		{"a string is no number", "v long", `in.parquet: column "v" is string in the file, which cannot become long`},
		{"an unknown column", "w string", "in.parquet: column \"v\" is not in the table\nhint: did you mean \"w\"? Otherwise say --evolve add to add the column to the table, or take it out of the input"},
		{"a missing one", "v string\nw string!", `in.parquet: required column "w" (string) is missing`},
		{"a string is no struct", "v struct<a: long>", `in.parquet: column "v" is string in the file, which cannot become struct<a: long>`},
	} {
		file := parquetOf(t, arrow.NewSchema([]arrow.Field{field("v", arrow.BinaryTypes.String)}, nil), `[{"v":"x"}]`)
		got := storyOfParquet(t, file, c.columns, Options{}, true)
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s\nwant %s", c.name, got, c.want)
		}
	}
}

var nestedSchema = arrow.NewSchema([]arrow.Field{
	field("id", arrow.PrimitiveTypes.Int32),
	field("s", arrow.StructOf(field("b", arrow.PrimitiveTypes.Int64), field("a", arrow.BinaryTypes.String))),
	field("l", arrow.ListOf(arrow.StructOf(field("x", arrow.PrimitiveTypes.Int64)))),
	field("m", arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64)),
}, nil)

const nestedRows = `[
	{"id":1,"s":{"a":"x","b":1},"l":[{"x":1},{"x":2}],"m":[{"key":"k","value":1}]},
	{"id":2,"s":null,"l":null,"m":null},
	{"id":3,"s":{"a":null,"b":null},"l":[],"m":[]},
	{"id":4,"s":{"a":"y","b":5000000000},"l":[null,{"x":3}],"m":[{"key":"p","value":2},{"key":"q","value":null}]},
	{"id":5,"s":{"a":"z","b":6},"l":[{"x":4},{"x":6000000000}],"m":[{"key":"r","value":3}]},
	{"id":6,"s":{"a":"z","b":7},"l":[{"x":null}],"m":[{"key":"r","value":7000000000}]},
	{"id":7,"s":{"a":"z","b":8},"l":[{"x":9}],"m":[{"key":"r","value":3}]}]`

// TestParquetNested: fields in another order, fields that the file lacks, narrower types, and rejects
// that name the field and the row.
func TestParquetNested(t *testing.T) {
	file := parquetOf(t, nestedSchema, nestedRows)
	const columns = "new string\nm map<string, int>\nid long\ns struct<a: string, b: int, c: double>\nl list<struct<x: int>>\n"
	got := storyOfParquet(t, file, columns, Options{}, true)
	const want = `in.parquet: row 4: column "s.b": cannot read "5000000000" as int: out of range
  {"m":[{"key":"p","value":2},{"key":"q","value":null}],"id":4,"s":{"b":5000000000,"a":"y"},"l":[null,{"x":3}]}
in.parquet: row 5: column "l.element.x": cannot read "6000000000" as int: out of range
  {"m":[{"key":"r","value":3}],"id":5,"s":{"b":6,"a":"z"},"l":[{"x":4},{"x":6000000000}]}
in.parquet: row 6: column "m.value": cannot read "7000000000" as int: out of range
  {"m":[{"key":"r","value":7000000000}],"id":6,"s":{"b":7,"a":"z"},"l":[{"x":null}]}
1: (null) | [{"key":"k","value":1}] | 1 | {"a":"x","b":1,"c":null} | [{"x":1},{"x":2}]
2: (null) | (null) | 2 | (null) | (null)
3: (null) | [] | 3 | {"a":null,"b":null,"c":null} | []
7: (null) | [{"key":"r","value":3}] | 7 | {"a":"z","b":8,"c":null} | [{"x":9}]
`
	if !sameJSONRows(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := storyOfParquet(t, file, columns, Options{}, false); !strings.HasPrefix(got, `error: in.parquet: row 4: column "s.b"`) {
		t.Errorf("without rejects: %s", got)
	}
}

// sameJSONRows compares stories; Arrow's struct values print their fields in any order.
func sameJSONRows(a, b string) bool {
	norm := strings.NewReplacer(`{"b":5000000000,"a":"y"}`, `{"a":"y","b":5000000000}`, `{"b":6,"a":"z"}`, `{"a":"z","b":6}`, `{"b":7,"a":"z"}`, `{"a":"z","b":7}`)
	return norm.Replace(a) == norm.Replace(b)
}

// TestParquetRequired: a null in a required column is a reject, save below a parent that is null.
func TestParquetRequired(t *testing.T) {
	file := parquetOf(t, nestedSchema, nestedRows)
	got := storyOfParquet(t, file, "id int!\ns struct<a: string!, b: long!>\nl list<struct<x: long!>!>\nm map<string, long!>", Options{}, true)
	for _, want := range []string{
		`row 3: column "s.`, `row 4: column "l.element": cannot read "null" as struct<x: long!>: null in a required column`, `row 6: column "l.element.x"`,
		"2: 2 | (null) | (null) | (null)\n", "7: 7 | ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

// TestParquetINT96: the timestamps of old Hive, Impala and Spark.
func TestParquetINT96(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{field("v", arrow.FixedWidthTypes.Timestamp_ns)}, nil)
	record, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(`[{"v":"2024-01-15 10:00:00.123456Z"},{"v":null},{"v":"1900-01-01 00:00:00.000000001Z"}]`))
	if err != nil {
		t.Fatal(err)
	}
	defer record.Release()
	file := parquetFileOf(t, record, pqarrow.NewArrowWriterProperties(pqarrow.WithDeprecatedInt96Timestamps(true)))
	got := storyOfParquet(t, file, "v timestamptz", Options{}, true)
	const want = `in.parquet: row 3: column "v": cannot read "1900-01-01T00:00:00.000000001Z" as timestamptz: it is finer than a microsecond
  {"v":"1900-01-01T00:00:00.000000001Z"}
1: 2024-01-15T10:00:00.123456Z
2: (null)
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestParquetBatches: batches do not depend on workers or row groups, and a stream is read as a file is.
func TestParquetBatches(t *testing.T) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{field("id", arrow.PrimitiveTypes.Int64), field("name", arrow.BinaryTypes.String)}, nil))
	defer b.Release()
	const rows = 10_000
	for i := range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		b.Field(1).(*array.StringBuilder).Append(fmt.Sprintf("name %d", i))
	}
	record := b.NewRecordBatch()
	defer record.Release()
	file := parquetFileOf(t, record, pqarrow.DefaultWriterProps(), parquet.WithMaxRowGroupLength(777), parquet.WithDataPageSize(2000), parquet.WithCompression(compress.Codecs.Zstd))
	var want []int64
	dir := t.TempDir()
	for _, workers := range []int{1, 2, 7} {
		for _, in := range []Input{
			{Name: "in.parquet", At: bytes.NewReader(file), Size: int64(len(file))},
			{Name: "in.parquet", Reader: bytes.NewReader(file)},
		} {
			var sizes []int64
			id := int64(0)
			for batch, err := range Read(t.Context(), in, columnsOf(t, "id long!\nname string"), Options{Workers: workers, ChunkBytes: 1000, SpillDir: dir}) {
				if err != nil {
					t.Fatal(err)
				}
				if batch.FirstRow != id+1 {
					t.Fatalf("first row %d, want %d", batch.FirstRow, id+1)
				}
				for _, v := range batch.Column(0).(*array.Int64).Int64Values() {
					if v != id {
						t.Fatalf("row %d has id %d", id, v)
					}
					id++
				}
				sizes = append(sizes, batch.NumRows())
				batch.Release()
			}
			if id != rows || len(sizes) < 5 {
				t.Fatalf("%d rows in %d batches", id, len(sizes))
			}
			if want == nil {
				want = sizes
			}
			if fmt.Sprint(sizes) != fmt.Sprint(want) {
				t.Errorf("batches of %v rows, and of %v with other workers", sizes, want)
			}
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v is left in the spill directory", left)
	}
}

// TestParquetStop: a caller who stops early, or an error at the first row, leaves no memory behind.
func TestParquetStop(t *testing.T) {
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer alloc.AssertSize(t, 0)
	file := parquetOf(t, nestedSchema, nestedRows)
	in := Input{Name: "in.parquet", At: bytes.NewReader(file), Size: int64(len(file))}
	for batch, err := range Read(t.Context(), in, columnsOf(t, "id long\ns struct<a: string, b: long>\nl list<struct<x: long>>\nm map<string,long>"), Options{Alloc: alloc, ChunkBytes: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		batch.Release()
		break
	}
}

// TestParquetBroken: a file with any byte changed or cut off is read or refused by name; it never
// brings the process down.
func TestParquetBroken(t *testing.T) {
	record, _, err := array.RecordFromJSON(memory.DefaultAllocator, nestedSchema, strings.NewReader(nestedRows))
	if err != nil {
		t.Fatal(err)
	}
	defer record.Release()
	file := parquetFileOf(t, record, pqarrow.DefaultWriterProps(), parquet.WithCompression(compress.Codecs.Snappy))
	schema := columnsOf(t, "id long\ns struct<a: string, b: long>\nl list<struct<x: long>>\nm map<string, long>")
	read := func(file []byte) error {
		_, err := drain(t.Context(), Input{Name: "in.parquet", At: bytes.NewReader(file), Size: int64(len(file))}, schema, Options{Format: Parquet, Workers: 1})
		return err
	}
	if err := read(file); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range file {
		broken := bytes.Clone(file)
		broken[i] ^= [...]byte{0xff, 0x01, 0x80}[i%3]
		err := read(broken)
		if err == nil {
			continue
		}
		refused++
		if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "in.parquet") {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	for _, n := range []int{0, 3, 4, 12, 100, len(file) / 2, len(file) - 1} {
		if err := read(file[:n]); !errors.Is(err, ErrInput) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if refused < len(file)/4 {
		t.Errorf("only %d of %d changes were noticed", refused, len(file))
	}
	encrypted := append([]byte("PARE"), file[4:]...)
	copy(encrypted[len(encrypted)-4:], "PARE")
	if err := read(encrypted); err == nil || !strings.Contains(err.Error(), "encrypted") {
		t.Errorf("encrypted: %v", err)
	}
}

// TestParquetEncrypted: files of which the footer is encrypted, and those of which only columns are.
func TestParquetEncrypted(t *testing.T) {
	const key = "0123456789abcdef"
	for name, o := range map[string][]parquet.EncryptOption{"footer": nil, "columns": {parquet.WithPlaintextFooter()}} {
		columns := parquet.ColumnPathToEncryptionPropsMap{"v": parquet.NewColumnEncryptionProperties("v", parquet.WithKey(key))}
		o = append(o, parquet.WithEncryptedColumns(columns))
		file := parquetOf(t, arrow.NewSchema([]arrow.Field{field("v", arrow.PrimitiveTypes.Int64), field("w", arrow.PrimitiveTypes.Int64)}, nil),
			`[{"v":1,"w":2}]`, parquet.WithEncryptionProperties(parquet.NewFileEncryptionProperties(key, o...)))
		if got := storyOfParquet(t, file, "v long\nw long", Options{}, true); !strings.Contains(got, "in.parquet: the Parquet file is encrypted") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestParquetTexts: JSON and enums are texts, nested too, which the library gives as bytes.
func TestParquetTexts(t *testing.T) {
	leaf := func(name string, logical schema.LogicalType) schema.Node {
		return schema.Must(schema.NewPrimitiveNodeLogical(name, parquet.Repetitions.Required, logical, parquet.Types.ByteArray, 0, -1))
	}
	root := schema.MustGroup(schema.NewGroupNode("schema", parquet.Repetitions.Required, schema.FieldList{
		leaf("j", schema.JSONLogicalType{}), leaf("e", schema.EnumLogicalType{}), leaf("b", schema.NoLogicalType{}),
		schema.MustGroup(schema.NewGroupNode("s", parquet.Repetitions.Required, schema.FieldList{leaf("j", schema.JSONLogicalType{})}, -1)),
	}, -1))
	var out bytes.Buffer
	w := file.NewParquetWriter(&out, root)
	group, err := w.AppendRowGroupChecked()
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		column, err := group.NextColumn()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := column.(*file.ByteArrayColumnChunkWriter).WriteBatch([]parquet.ByteArray{[]byte("[1]")}, nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := column.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(group.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	got, err := Infer(t.Context(), asFile(out.Bytes()), InferOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, f := range got.Fields() {
		types = append(types, f.Name+" "+FormatType(f.Type))
	}
	if s := strings.Join(types, ", "); s != "j string, e string, b binary, s struct<j: string>" {
		t.Error(s)
	}
	if got := storyOfParquet(t, out.Bytes(), "j string\ne string\nb binary\ns struct<j: string>", Options{}, true); got != "1: [1] | [1] | WzFd | {\"j\":\"[1]\"}\n" {
		t.Error(got)
	}
}

// TestParquetReadFails: a disk or a wire that fails is not the file's fault.
func TestParquetReadFails(t *testing.T) {
	file := parquetOf(t, nestedSchema, nestedRows)
	broken := errors.New("the wire broke")
	at := readerAtFunc(func(p []byte, off int64) (int, error) {
		if off > 4 && off < int64(len(file))/2 {
			return 0, broken
		}
		return bytes.NewReader(file).ReadAt(p, off)
	})
	_, err := drain(t.Context(), Input{Name: "in.parquet", At: at, Size: int64(len(file))}, columnsOf(t, "id long\ns struct<a: string, b: long>\nl list<struct<x: long>>\nm map<string, long>"), Options{})
	if !errors.Is(err, broken) || errors.Is(err, ErrInput) {
		t.Errorf("error %v", err)
	}
}

type readerAtFunc func([]byte, int64) (int, error)

func (f readerAtFunc) ReadAt(p []byte, off int64) (int, error) { return f(p, off) }

func TestParquetInfer(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "a", Type: arrow.PrimitiveTypes.Int16},
		field("b", arrow.PrimitiveTypes.Uint64),
		field("c", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}),
		field("d", arrow.StructOf(field("x", arrow.FixedWidthTypes.Timestamp_ns), field("y", &arrow.TimestampType{Unit: arrow.Millisecond}))),
		field("e", arrow.ListOf(arrow.MapOf(arrow.BinaryTypes.String, arrow.FixedWidthTypes.Date32))),
		field("f", extensions.NewUUIDType()),
		field("g", &arrow.Decimal128Type{Precision: 9, Scale: 2}),
		field("h", &arrow.FixedSizeBinaryType{ByteWidth: 3}),
	}, nil)
	file := parquetOf(t, schema, `[]`)
	for version, in := range map[int]Input{2: {Name: "x", At: bytes.NewReader(file), Size: int64(len(file))}, 3: {Name: "x", Reader: io.Reader(bytes.NewReader(file))}} {
		got, err := Infer(t.Context(), in, InferOptions{Options: Options{Format: Parquet}, FormatVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for _, f := range got.Fields() {
			fmt.Fprintf(&out, "%s %s\n", f.Name, FormatType(f.Type))
		}
		want := "a int\nb decimal(20, 0)\nc string\nd struct<x: timestamptz, y: timestamp>\ne list<map<string, date>>\nf uuid\ng decimal(9, 2)\nh fixed[3]\n"
		if version == 3 {
			want = strings.Replace(want, "x: timestamptz", "x: timestamptz_ns", 1)
		}
		if out.String() != want {
			t.Errorf("got\n%s\nwant\n%s", out.String(), want)
		}
	}
}

func BenchmarkParquet(b *testing.B) {
	schema := arrow.NewSchema([]arrow.Field{
		field("id", arrow.PrimitiveTypes.Int64), field("n", arrow.PrimitiveTypes.Int32), field("x", arrow.PrimitiveTypes.Float64),
		field("name", arrow.BinaryTypes.String), field("at", arrow.FixedWidthTypes.Timestamp_us),
	}, nil)
	rb := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer rb.Release()
	const rows = 500_000
	for i := range rows {
		rb.Field(0).(*array.Int64Builder).Append(int64(i) * 7919)
		rb.Field(1).(*array.Int32Builder).Append(int32(i % 1000))
		rb.Field(2).(*array.Float64Builder).Append(math.Sqrt(float64(i)))
		rb.Field(3).(*array.StringBuilder).Append(fmt.Sprintf("name of the row %d", i))
		rb.Field(4).(*array.TimestampBuilder).Append(arrow.Timestamp(1_700_000_000_000_000 + int64(i)))
	}
	record := rb.NewRecordBatch()
	defer record.Release()
	file := parquetFileOf(b, record, pqarrow.DefaultWriterProps(), parquet.WithCompression(compress.Codecs.Zstd), parquet.WithMaxRowGroupLength(128<<10))
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.SetBytes(rows * (8 + 4 + 8 + 22 + 8))
			for b.Loop() {
				n, err := drain(b.Context(), Input{Name: "x", At: bytes.NewReader(file), Size: int64(len(file))}, columnsOf(b, "id long\nn long\nx double\nname string\nat timestamptz"), Options{Format: Parquet, Workers: workers})
				if err != nil || n != rows {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
