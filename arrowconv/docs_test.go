package arrowconv

import (
	"strings"
	"testing"

	"github.com/icewright/icewright/internal/gendoc"
	"github.com/icewright/icewright/variant"
)

// formatDocs is what docs/formats.md says of a format besides what the list of formats has.
var formatDocs = map[Format]struct {
	told   string   // what tells it where the name says nothing
	flags  string   // that are its own
	proofs []string // tests
}{
	CSV: {
		"commas, semicolons or bars in the first line", "`--csv-*`, `--decimal-comma`",
		[]string{"arrowconv.TestCSVStories", "arrowconv.FuzzCSV", "arrowconv.FuzzCSVDialects", "interop.TestAcidCSVSpectrum", "interop.TestAcidPapaparse", "Scripts/csv"},
	},
	TSV: {
		"more tabs than commas in the first line", "as CSV",
		[]string{"arrowconv.TestCSVStories", "Scripts/csv"},
	},
	JSON: {
		"an array of objects, or an object that does not end on its line", "`--json-rows`",
		[]string{"arrowconv.TestJSON", "arrowconv.TestJSONDocumentsAreNDJSON", "arrowconv.FuzzJSONDocument", "interop.TestAcidJSONTestSuite", "Scripts/json"},
	},
	NDJSON: {
		"an object that ends on its line", "",
		[]string{"arrowconv.TestNDJSON", "arrowconv.FuzzNDJSON", "interop.TestAcidJSONTestSuite", "Scripts/ndjson"},
	},
	Parquet: {
		"", "",
		[]string{"arrowconv.TestParquetConversions", "arrowconv.TestParquetNested", "arrowconv.TestParquetOldNesting", "arrowconv.TestParquetRefusals", "arrowconv.TestParquetEncrypted", "interop.TestAcidBinary", "interop.TestAcidPyArrow", "Scripts/parquet"},
	},
	Arrow: {
		"", "",
		[]string{"arrowconv.TestArrowTypes", "arrowconv.TestArrowBatches", "arrowconv.TestArrowCut", "arrowconv.FuzzArrow", "arrowconv.TestArrowMangled", "interop.TestAcidBinary", "interop.TestAcidPyArrow", "interop.TestPipeDuckDB", "Scripts/arrow"},
	},
	Avro: {
		"", "",
		[]string{"arrowconv.TestAvroTypes", "arrowconv.TestAvroBatches", "arrowconv.TestAvroCut", "arrowconv.FuzzAvro", "arrowconv.TestAvroMangled", "interop.TestAcidBinary", "Scripts/avro"},
	},
}

// TestDocsFormats: docs/formats.md has every format, and a test for each.
func TestDocsFormats(t *testing.T) {
	var rows [][]string
	for _, f := range formats {
		doc, ok := formatDocs[f.name]
		if !ok {
			t.Errorf("formatDocs lacks %s", f.name)
			continue
		}
		gendoc.Proofs(t, doc.proofs...)
		var proofs []string
		for _, p := range doc.proofs {
			proofs = append(proofs, "`"+p+"`")
		}
		told := doc.told
		if f.marks != nil {
			told = strings.TrimPrefix(told+", its first bytes, whatever the name", ", ")
		}
		rows = append(rows, []string{
			"`" + strings.Join(append([]string{string(f.name)}, f.aliases...), "` `") + "`",
			"`." + strings.Join(f.extensions, "` `.") + "`", told, doc.flags, strings.Join(proofs, " "),
		})
	}
	gendoc.Check(t, "docs/formats.md", "formats", gendoc.Table([]string{"`--format`", "files", "told without a name by", "flags", "tests"}, rows...))
}

// TestDocsDetection shows first lines and what they are taken for.
func TestDocsDetection(t *testing.T) {
	var rows [][]string
	for _, lines := range [][]string{
		{"id,name", "1,a;b"},
		{"id;name", "1;a,b"},
		{"id\tname", "1\ta"},
		{"id|name", "1|a"},
		{"id\x01name", "1\x01a"},
		{"name", "a;b"},
		{"id;net, EUR;name", "1;12,50;a", "2;7;b"},
		{"id,name|alias,value", "1,a|b,3"},
		{"a,b;c", "1,2;3"},
		{"'id','name'", "1,'a, b'"},
		{"id,name", "1,'a'"},
	} {
		d, err := CSVOptions{}.settle(CSV, []byte(strings.Join(lines, "\n")+"\n"), true)
		shown := CSVOptions{}.note("", CSV, d).Text
		if err != nil {
			shown = "refused: " + err.Error()
		}
		text := "`" + strings.Join(lines, "` `") + "`"
		rows = append(rows, []string{strings.NewReplacer("\t", "⇥", "\x01", "␁").Replace(text), shown})
	}
	gendoc.Check(t, "docs/formats.md", "csv-detection", gendoc.Table([]string{"first lines", "taken for"}, rows...))
}

// TestDocsArrowTypes: the rows are those that TestArrowTypes writes and reads.
func TestDocsArrowTypes(t *testing.T) {
	gendoc.Check(t, "docs/types.md", "arrow types", typedTable("Arrow", arrowColumns))
}

func typedTable(format string, columns []typedColumn) string {
	var rows [][]string
	for _, c := range columns {
		to := "refused"
		if c.to != "" {
			to = "`" + c.to + "`"
		}
		rows = append(rows, []string{"`" + c.from.String() + "`", to})
	}
	return gendoc.Table([]string{format, "Iceberg"}, rows...)
}

// variantExamples are JSON texts, what is stored for them, and how they print; a fault, where it has no result.
var variantExamples = []struct{ json, stored, prints string }{
	{`12`, "int8", `12`},
	{`-1234567890123`, "int64", `-1234567890123`},
	{`9223372036854775808`, "decimal16", `9223372036854775808`},
	{`1.0`, "int8", `1`},
	{`1.50`, "decimal4", `1.5`},
	{`-0.0`, "int8", `0`},
	{`1234567890.125`, "decimal8", `1234567890.125`},
	{`0.1e1`, "double", `1e+00`},
	{`1e400`, "", "out of range"},
	{`"2024-01-15"`, "string", `"2024-01-15"`},
	{`true`, "true", `true`},
	{`null`, "null of the column", ``},
	{`[1, null, "x"]`, "array", `[1,null,"x"]`},
	{`{"b": 1, "a": {"c": []}}`, "object", `{"a":{"c":[]},"b":1}`},
	{`{"a": 1, "a": 1}`, "", "a key comes twice in an object"},
	{`text`, "", "it is not JSON"},
}

// storedAs names the type of a variant's value.
func storedAs(value []byte) string {
	switch value[0] & 3 {
	case 1:
		return "string"
	case 2:
		return "object"
	case 3:
		return "array"
	}
	return [...]string{
		"null", "true", "false", "int8", "int16", "int32", "int64", "double", "decimal4", "decimal8", "decimal16",
	}[value[0]>>2]
}

func TestDocsVariants(t *testing.T) {
	var rows [][]string
	for _, x := range variantExamples {
		var read variantText
		metadata, value, null, fault := read.read([]byte(x.json), nil, nil)
		stored, prints := "", ""
		switch {
		case fault != faultNone:
			prints = fault.String()
		case null:
			stored = "null of the column"
		default:
			text, err := variant.AppendJSON(nil, metadata, value)
			if err != nil {
				t.Fatal(err)
			}
			stored, prints = storedAs(value), string(text)
		}
		if stored != x.stored || prints != x.prints {
			t.Errorf("%s is stored as %s and prints as %s; want %s and %s", x.json, stored, prints, x.stored, x.prints)
		}
		switch {
		case fault != faultNone:
			stored = "row error: " + prints
			prints = ""
		case !null:
			prints = "`" + prints + "`"
		}
		rows = append(rows, []string{"`" + x.json + "`", stored, prints})
	}
	gendoc.Check(t, "docs/types.md", "variants", gendoc.Table([]string{"JSON", "stored as", "prints as"}, rows...))
}

// TestDocsAvroTypes: the rows are those that TestAvroTypes writes and reads.
func TestDocsAvroTypes(t *testing.T) {
	var rows [][]string
	for _, c := range avroColumns {
		to := "refused"
		if c.to != "" {
			to = "`" + c.to + "`"
		}
		rows = append(rows, []string{"`" + c.schema + "`", to})
	}
	gendoc.Check(t, "docs/types.md", "avro types", gendoc.Table([]string{"Avro", "Iceberg"}, rows...))
}
