package arrowconv

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"
)

// avroCase is a type of Avro's: what a column of it becomes without a table, and its values. docs/types.md
// has the first of each as a table.
type avroCase struct {
	schema string
	to     string // "" where the type is refused
	values []any  // as the library takes them
	want   string // what is loaded, or why nothing is
}

var avroColumns = []avroCase{
	{`"boolean"`, "boolean", []any{true, false}, "true | false"},
	{`"int"`, "int", []any{int32(-2147483648), int32(2147483647)}, "-2147483648 | 2147483647"},
	{`"long"`, "long", []any{int64(math.MinInt64), int64(math.MaxInt64)}, "-9223372036854775808 | 9223372036854775807"},
	{`"float"`, "float", []any{float32(0.1)}, "0.1"},
	{`"double"`, "double", []any{0.1, math.Inf(1)}, "0.1 | +Inf"},
	{`"bytes"`, "binary", []any{[]byte{0xff}, []byte{}}, "/w== | "},
	{`"string"`, "string", []any{"", "é"}, " | é"},
	{`"null"`, "string", []any{nil}, "(null)"},
	{`["null", "long"]`, "long", []any{nil, int64(7)}, "(null) | 7"},
	{`["string", "null"]`, "string", []any{"a", nil}, "a | (null)"},
	{`["long"]`, "long", []any{int64(7)}, "7"},
	{`["null", "long", "string"]`, "", nil, `column "v": it is a union of null, long, string, and a column has one type`},
	{`{"type": "enum", "name": "e", "symbols": ["RED", "BLUE"]}`, "string", []any{"BLUE", "RED"}, "BLUE | RED"},
	{`{"type": "fixed", "name": "f", "size": 2}`, "fixed[2]", []any{[]byte{0, 0xff}}, "AP8="},
	{`{"type": "int", "logicalType": "date"}`, "date", []any{int32(-1), int32(19782)}, "1969-12-31 | 2024-02-29"},
	{`{"type": "int", "logicalType": "time-millis"}`, "time", []any{int32(37230123)}, "10:20:30.123000"},
	{`{"type": "long", "logicalType": "time-micros"}`, "time", []any{int64(86399999999)}, "23:59:59.999999"},
	{`{"type": "long", "logicalType": "timestamp-millis"}`, "timestamptz", []any{int64(-1)}, "1969-12-31T23:59:59.999Z"},
	{`{"type": "long", "logicalType": "timestamp-micros"}`, "timestamptz", []any{int64(1705314030123456)}, "2024-01-15T10:20:30.123456Z"},
	{`{"type": "long", "logicalType": "timestamp-nanos"}`, "timestamptz", []any{int64(1705314030123456000), int64(1)}, `2024-01-15T10:20:30.123456Z | reject "1970-01-01T00:00:00.000000001Z": it is finer than a microsecond`},
	{`{"type": "long", "logicalType": "local-timestamp-millis"}`, "timestamp", []any{int64(-1)}, "1969-12-31T23:59:59.999"},
	{`{"type": "long", "logicalType": "local-timestamp-micros"}`, "timestamp", []any{int64(1)}, "1970-01-01T00:00:00.000001"},
	{`{"type": "long", "logicalType": "local-timestamp-nanos"}`, "timestamp", []any{int64(1000)}, "1970-01-01T00:00:00.000001"},
	{`{"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}`, "decimal(9, 2)", []any{big.NewRat(-123, 100), big.NewRat(0, 1)}, "-1.23 | 0"},
	{`{"type": "fixed", "name": "d", "size": 20, "logicalType": "decimal", "precision": 38, "scale": 0}`, "decimal(38, 0)", []any{big.NewRat(-5, 1), big.NewRat(5, 1)}, "-5 | 5"},
	{`{"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 0}`, "", nil, "no Iceberg type holds the values of Arrow's decimal256(50, 0)"},
	{`{"type": "string", "logicalType": "uuid"}`, "uuid", []any{"00112233-4455-6677-8899-aabbccddeeff"}, "00112233-4455-6677-8899-aabbccddeeff"},
	{`{"type": "fixed", "name": "u", "size": 16, "logicalType": "uuid"}`, "uuid", []any{[16]byte{0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}}, "00112233-4455-6677-8899-aabbccddeeff"},
	{`{"type": "fixed", "name": "du", "size": 12, "logicalType": "duration"}`, "", nil, `column "v": it is a duration`},
	{`{"type": "record", "name": "r", "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": ["null", "string"]}]}`, "struct<x: int, y: string>", []any{map[string]any{"x": int32(1), "y": "a"}, map[string]any{"x": int32(2), "y": nil}}, `{"x":1,"y":"a"} | {"x":2,"y":null}`},
	{`["null", {"type": "record", "name": "r", "fields": [{"name": "x", "type": "int"}]}]`, "struct<x: int>", []any{map[string]any{"x": int32(1)}, nil}, `{"x":1} | (null)`},
	{`{"type": "array", "items": ["null", "long"]}`, "list<long>", []any{[]any{int64(1), nil}, []any{}}, "[1,null] | []"},
	{`{"type": "map", "values": "long"}`, "map<string, long>", []any{map[string]any{"k": int64(1)}, map[string]any{}}, `[{"key":"k","value":1}] | []`},
	{`{"type": "record", "name": "node", "fields": [{"name": "next", "type": ["null", "node"]}]}`, "", nil, `column "v.next": the Avro type node holds itself`},
}

func avroFileOf(t testing.TB, schema string, rows []any, o ...ocf.WriterOpt) []byte {
	t.Helper()
	s, err := avro.Parse(schema)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := ocf.NewWriter(&out, s, o...)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := w.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func avroColumnOf(t testing.TB, schema string, values []any, o ...ocf.WriterOpt) []byte {
	t.Helper()
	var rows []any
	for _, v := range values {
		rows = append(rows, map[string]any{"v": v})
	}
	return avroFileOf(t, `{"type": "record", "name": "row", "fields": [{"name": "v", "type": `+schema+`}]}`, rows, o...)
}

// TestAvroTypes: every type becomes its Iceberg type with its values, or is refused by name, in blocks of
// every codec that the library writes.
func TestAvroTypes(t *testing.T) {
	for _, c := range avroColumns {
		t.Run(c.schema, func(t *testing.T) {
			for name, codec := range map[string]ocf.Codec{
				"null": nil, "deflate": ocf.DeflateCodec(6), "snappy": ocf.SnappyCodec(), "zstandard": ocf.MustZstdCodec(nil, nil),
			} {
				b := avroColumnOf(t, c.schema, c.values, ocf.WithCodec(codec))
				inferred, err := Infer(t.Context(), asFile(b), InferOptions{})
				if c.to == "" {
					if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), "in: ") || !strings.Contains(err.Error(), c.want) {
						t.Errorf("%s: %v", name, err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := FormatType(inferred.Field(0).Type); got != c.to {
					t.Errorf("%s: inferred %s, want %s", name, got, c.to)
				}
				if got := valuesOf(t, asStream(b), c.to, Options{}); got != c.want {
					t.Errorf("%s: got  %s\nwant %s", name, got, c.want)
				}
			}
		})
	}
}

// TestAvroDigits: a decimal with more digits than its type may have is no value of it.
func TestAvroDigits(t *testing.T) {
	b := avroColumnOf(t, `"bytes"`, []any{[]byte{0x30, 0x39}, []byte{0xff, 0xff, 0xff, 0x85}, []byte{}})
	for _, c := range []struct{ to, want string }{
		{"decimal(4, 2)", `reject "123.45": out of range | -1.23 | 0`},
		{"decimal(5, 2)", "123.45 | -1.23 | 0"},
		{"decimal(9, 1)", `reject "123.45": it has more fraction digits than the type | reject "-1.23": it has more fraction digits than the type | 0`},
	} {
		// The library refuses to write such values, so they are written as bytes, and the schema is another.
		file := asDecimals(t, b)
		if got := valuesOf(t, asStream(file), c.to, Options{}); got != c.want {
			t.Errorf("%s: got  %s\nwant %s", c.to, got, c.want)
		}
	}
}

// asDecimals gives a file of bytes the schema of decimals.
func asDecimals(t *testing.T, b []byte) []byte {
	const decimal = `{"type":"record","name":"row","fields":[{"name":"v","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}}]}`
	r, err := ocf.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	old := r.Metadata()["avro.schema"]
	long := func(n int) []byte { // zigzag
		var out []byte
		for v := uint64(n) << 1; ; v >>= 7 {
			if v < 0x80 {
				return append(out, byte(v))
			}
			out = append(out, byte(v)|0x80)
		}
	}
	was := append(long(len(old)), old...)
	if !bytes.Contains(b, was) {
		t.Fatal("the schema is not where it was")
	}
	return bytes.Replace(b, was, append(long(len(decimal)), decimal...), 1)
}

// manyAvro are rows in blocks of a few.
func manyAvro(t testing.TB, n int, o ...ocf.WriterOpt) []byte {
	var rows []any
	for i := range n {
		rows = append(rows, map[string]any{"id": int64(i), "d": fmt.Sprintf("d%d", i/100)})
	}
	return avroFileOf(t, `{"type": "record", "name": "row", "fields": [{"name": "id", "type": "long"}, {"name": "d", "type": "string"}]}`, rows, o...)
}

// TestAvroBatches: batches do not depend on workers, and a stream is read as a file is.
func TestAvroBatches(t *testing.T) {
	for name, b := range map[string][]byte{
		"small blocks": manyAvro(t, 100_000, ocf.WithBlockCount(77), ocf.WithCodec(ocf.SnappyCodec())),
		"one block":    manyAvro(t, 100_000, ocf.WithBlockBytes(10<<20), ocf.WithCodec(ocf.DeflateCodec(1))),
	} {
		var want []int64
		for _, workers := range []int{1, 3} {
			for _, in := range []Input{asFile(b), asStream(b)} {
				var sizes []int64
				id := int64(0)
				for batch, err := range Read(t.Context(), in, columnsOf(t, "d string!\nid long!"), Options{Workers: workers, ChunkBytes: 20_000}) {
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					for i, v := range batch.Column(1).(*array.Int64).Int64Values() {
						if v != id || batch.RowNumber(i) != id+1 || batch.Column(0).ValueStr(i) != fmt.Sprintf("d%d", id/100) {
							t.Fatalf("%s: row %d has id %d, d %s", name, id, v, batch.Column(0).ValueStr(i))
						}
						id++
					}
					sizes = append(sizes, batch.NumRows())
					batch.Release()
				}
				if id != 100_000 || len(sizes) < 2 {
					t.Fatalf("%s: %d rows in %d batches", name, id, len(sizes))
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

// TestAvroStop: who stops early leaves nothing allocated.
func TestAvroStop(t *testing.T) {
	b := manyAvro(t, 10_000, ocf.WithBlockCount(77))
	if got := valuesOf(t, asStream(b[:len(b)-1]), "long", Options{}); !strings.HasPrefix(got, "error: ") {
		t.Error(got)
	}
	for batch, err := range Read(t.Context(), asStream(b), columnsOf(t, "d string!\nid long!"), Options{Workers: 2, ChunkBytes: 1000}) {
		if err != nil {
			t.Fatal(err)
		}
		batch.Release()
		break
	}
}

// TestAvroCut: a file that is cut off within a block is refused with the place, whatever came before.
func TestAvroCut(t *testing.T) {
	b := manyAvro(t, 50, ocf.WithBlockCount(10))
	schema := columnsOf(t, "id long\nd string")
	whole := 0
	for n := range b {
		rows, err := drain(t.Context(), asStream(b[:n]), schema, Options{Format: Avro})
		if err == nil {
			whole++ // cut off between two blocks, which the format does not show
			if rows%10 != 0 {
				t.Errorf("%d bytes: %d rows", n, rows)
			}
			continue
		}
		if !errors.Is(err, ErrInput) || !strings.HasPrefix(err.Error(), "in: ") {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	if whole != 5 {
		t.Errorf("%d cuts went unnoticed, and there are 5 between blocks", whole)
	}
	sync := bytes.Clone(b)
	sync[len(sync)-1]++
	_, err := drain(t.Context(), asStream(sync), schema, Options{Format: Avro})
	if err == nil || !strings.Contains(err.Error(), "does not end with the file's sync marker") {
		t.Errorf("%v", err)
	}
	xz := bytes.Replace(manyAvro(t, 5, ocf.WithCodec(ocf.SnappyCodec())), []byte("\x0csnappy"), []byte("\x04xz"), 1)
	if _, err := drain(t.Context(), asStream(xz), schema, Options{Format: Avro}); err == nil || !strings.Contains(err.Error(), `compressed with "xz", which is not read`) {
		t.Errorf("%v", err)
	}
	snappy := manyAvro(t, 50, ocf.WithCodec(ocf.SnappyCodec()))
	snappy[len(snappy)-17]++ // the checksum
	if _, err := drain(t.Context(), asStream(snappy), schema, Options{Format: Avro}); err == nil || !strings.Contains(err.Error(), "its checksum is wrong") {
		t.Errorf("%v", err)
	}
}

// TestAvroReadFails: a wire that fails is not the file's fault.
func TestAvroReadFails(t *testing.T) {
	fault := errors.New("the wire broke")
	b := manyAvro(t, 50, ocf.WithBlockCount(10))
	for _, n := range []int{5, 100, len(b) - 4, len(b)} {
		in := Input{Name: "in", Reader: io.MultiReader(bytes.NewReader(b[:n]), brokenReader{fault})}
		if _, err := drain(t.Context(), in, columnsOf(t, "id long\nd string"), Options{Format: Avro}); !errors.Is(err, fault) || errors.Is(err, ErrInput) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func avroSeeds(t testing.TB) (seeds [][]byte) {
	seeds = append(seeds, manyAvro(t, 20, ocf.WithBlockCount(7)), manyAvro(t, 20, ocf.WithCodec(ocf.SnappyCodec())),
		manyAvro(t, 20, ocf.WithCodec(ocf.DeflateCodec(6))), manyAvro(t, 20, ocf.WithCodec(ocf.MustZstdCodec(nil, nil))))
	for _, c := range avroColumns {
		if c.to != "" {
			seeds = append(seeds, avroColumnOf(t, c.schema, c.values))
		}
	}
	return seeds
}

// FuzzAvro: corrupt files are read as the library reads them, as to the number of rows, or refused.
func FuzzAvro(f *testing.F) {
	seeds := avroSeeds(f)
	for i := range seeds {
		for what := range uint16(5) {
			for at := range uint16(12) {
				f.Add(uint8(i), at*23+what, what|0x7f00)
			}
		}
	}
	f.Fuzz(func(t *testing.T, seed uint8, at, what uint16) {
		avroAsTheLibrary(t, mangle(seeds[int(seed)%len(seeds)], at, what))
	})
}

// TestAvroMangled: the same for all bytes of every type's file.
func TestAvroMangled(t *testing.T) {
	read := 0
	for i, b := range avroSeeds(t) {
		for at := range b {
			if avroAsTheLibrary(t, mangle(b, uint16(at), uint16([]int{0xff00, 0x0100, 3, 4}[(at+i)%4]))) {
				read++
			}
		}
	}
	if read == 0 {
		t.Error("nothing was read")
	}
}

func avroAsTheLibrary(t *testing.T, b []byte) bool {
	rows, err := readsOrRefuses(t, Avro, b)
	if err != nil {
		return false
	}
	r, err := ocf.NewReader(bytes.NewReader(b), ocf.WithSchemaOpts(avro.WithLaxNames(func(string) error { return nil })))
	if err != nil {
		return true // stricter about a header than its bytes need
	}
	n := 0
	for {
		var v any
		if err := r.Decode(&v); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return true // stricter about a value: a decimal of too many digits, which is a reject here
		}
		n++
	}
	if n != len(rows) {
		t.Errorf("%d rows, and the library has %d", len(rows), n)
	}
	return true
}
