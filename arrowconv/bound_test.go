package arrowconv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/iceberg-go"
)

// TestLongValues: a value of a typed input that is longer than a row may be is refused, wherever it
// is nested, and one of that length is not. Compressed it may be a few bytes of the file.
func TestLongValues(t *testing.T) {
	const limit = 1000
	columns := map[string]struct {
		arrow arrow.DataType
		ice   iceberg.Type
		json  string // %s is the value
	}{
		"string":      {arrow.BinaryTypes.String, iceberg.PrimitiveTypes.String, `%s`},
		"large":       {arrow.BinaryTypes.LargeString, iceberg.PrimitiveTypes.String, `%s`},
		"view":        {arrow.BinaryTypes.StringView, iceberg.PrimitiveTypes.String, `%s`},
		"binary":      {arrow.BinaryTypes.Binary, iceberg.PrimitiveTypes.Binary, `%s`},
		"large bytes": {arrow.BinaryTypes.LargeBinary, iceberg.PrimitiveTypes.Binary, `%s`},
		"list":        {arrow.ListOf(arrow.BinaryTypes.String), &iceberg.ListType{ElementID: 2, Element: iceberg.PrimitiveTypes.String}, `["a", %s]`},
		"struct": {
			arrow.StructOf(arrow.Field{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true}),
			&iceberg.StructType{FieldList: []iceberg.NestedField{{ID: 2, Name: "s", Type: iceberg.PrimitiveTypes.String}}}, `{"s": %s}`,
		},
		"map": {
			arrow.MapOf(arrow.BinaryTypes.String, arrow.BinaryTypes.String),
			&iceberg.MapType{KeyID: 2, KeyType: iceberg.PrimitiveTypes.String, ValueID: 3, ValueType: iceberg.PrimitiveTypes.String}, `[{"key": "k", "value": %s}]`,
		},
		"dictionary": {&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}, iceberg.PrimitiveTypes.String, `%s`},
	}
	for name, c := range columns {
		for _, format := range []Format{Parquet, Arrow} {
			for _, over := range []int{0, 1} {
				t.Run(fmt.Sprintf("%s %s %d", format, name, over), func(t *testing.T) {
					value := strings.Repeat("x", limit+over)
					if name == "binary" || name == "large bytes" {
						value = strings.Repeat("AAAA", limit/3) + "AA==" // base64 of 999 and 1 bytes
						if over == 1 {
							value = strings.Repeat("AAAA", limit/3) + "AAA="
						}
					}
					sc := arrow.NewSchema([]arrow.Field{{Name: "c", Type: c.arrow, Nullable: true}}, nil)
					// Many short values beside it have more bytes than the limit in all, which is fine.
					rows := "[" + strings.Repeat(fmt.Sprintf(`{"c": `+c.json+`},`, `"c29tZXRoaW5n"`), 200) + fmt.Sprintf(`{"c": `+c.json+`}]`, `"`+value+`"`)
					rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, sc, strings.NewReader(rows))
					if err != nil {
						t.Fatal(err)
					}
					defer rec.Release()
					var file []byte
					if format == Parquet {
						if name == "view" {
							t.Skip("Parquet has no views")
						}
						file = parquetOf(t, sc, rows, parquet.WithCompression(compress.Codecs.Zstd))
					} else {
						var b bytes.Buffer
						w := ipc.NewWriter(&b, ipc.WithSchema(sc), ipc.WithZstd())
						if err := errors.Join(w.Write(rec), w.Close()); err != nil {
							t.Fatal(err)
						}
						file = b.Bytes()
					}
					schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "c", Type: c.ice})
					n, err := drain(t.Context(), Input{Name: "in", Reader: bytes.NewReader(file)}, schema, Options{Format: format, MaxRowBytes: limit})
					switch {
					case over == 0 && (err != nil || n != 201):
						t.Errorf("%d rows, %v", n, err)
					case over == 1 && (!errors.Is(err, ErrInput) || err.Error() != `in: column "c": a value is longer than 1000 bytes`):
						t.Errorf("%v, want the column named", err)
					}
				})
			}
		}
	}
}

// TestHugePages: a page that says that it unpacks to half a GiB is refused before any of it is unpacked.
func TestHugePages(t *testing.T) {
	sc := arrow.NewSchema([]arrow.Field{{Name: "c", Type: arrow.PrimitiveTypes.Int32}}, nil)
	file := parquetOf(t, sc, `[{"c": 1}, {"c": 2}]`, parquet.WithDictionaryDefault(false), parquet.WithCompression(compress.Codecs.Zstd))
	// Behind the magic: field 1, the type of the page, and field 2, its size as a zigzag varint.
	if file[4] != 0x15 || file[6] != 0x15 {
		t.Fatalf("not a page's header: % x", file[4:16])
	}
	_, old := binary.Uvarint(file[7:])
	huge := append(append(bytes.Clone(file[:7]), binary.AppendUvarint(nil, 1<<30)...), file[7+old:]...) // 1<<29
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "c", Type: iceberg.PrimitiveTypes.Int32})
	_, err := drain(t.Context(), Input{Name: "in", Reader: bytes.NewReader(huge)}, schema, Options{Format: Parquet})
	if !errors.Is(err, ErrInput) || err.Error() != `in: column "c": a page has more than 268435456 bytes` {
		t.Errorf("%v, want the column and the bound", err)
	}
}

// TestDeepValues: nesting that no schema bounds ends somewhere, before the stack does.
func TestDeepValues(t *testing.T) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "v", Type: iceberg.VariantType{}})
	for name, deep := range map[string]string{
		"arrays":        strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000),
		"objects":       strings.Repeat(`{"a":`, 500_000) + "1" + strings.Repeat("}", 500_000),
		"never closed":  strings.Repeat("[", 1_000_000),
		"a little over": strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
	} {
		for _, format := range []Format{NDJSON, JSON} {
			in := func() Input {
				return Input{Name: "in", Reader: strings.NewReader(`{"v": ` + deep + "}\n")}
			}
			if _, err := drain(t.Context(), in(), schema, Options{Format: format}); !errors.Is(err, ErrInput) {
				t.Errorf("%s, %s: read: %v, want bad input", format, name, err)
			}
			if _, err := Infer(t.Context(), in(), InferOptions{Options: Options{Format: format}}); !errors.Is(err, ErrInput) {
				t.Errorf("%s, %s: inferred: %v, want bad input", format, name, err)
			}
		}
	}
	fine := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	if n, err := drain(t.Context(), Input{Name: "in", Reader: strings.NewReader(`{"v": ` + fine + "}\n")}, schema, Options{Format: NDJSON}); n != 1 || err != nil {
		t.Errorf("100 deep: %d rows, %v", n, err)
	}
}
