package arrowconv

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/icewright/icewright/internal/gendoc"
)

// textRules are the rows of "Text to values" in docs/types.md: what a type reads, with examples that are read
// and others that are not. An example is a text, or text=value where the value is spelled otherwise.
var textRules = []struct {
	types   string
	rule    string
	reads   []string
	refused []string
}{
	{"boolean", "the words, in any case", []string{"true", "T=true", "Yes=true", "y=true", "1=true", "false", "F=false", "no=false", "n=false", "0=false"}, []string{"on", "2"}},
	{"int, long", "a number, see below, whose exact value is whole", []string{"7", "-7", "+7=7", "007=7", "7.0=7", "7e3=7000"}, []string{"7.5", "9223372036854775808", "0x7", "1_000"}},
	{"decimal(9, 2)", "a number whose exact value fits; nothing is rounded", []string{"12.5=12.50", "12.500=12.50", "125e-1=12.50"}, []string{"12.345", "12345678.00"}},
	{"float, double", "a number, or the words in any case, with a sign; `-0.0` keeps its sign", []string{"0.5", "NaN", "-inf=-Inf", "Infinity=+Inf"}, []string{"1e400", "0x1p3"}},
	{"date", "a date of the years 0001 to 9999", []string{"2024-02-29"}, []string{"2023-02-29", "15.01.2024", "24-01-15"}},
	{"time", "hours and minutes, seconds and microseconds if there are", []string{"10:20=10:20:00.000000", "10:20:30=10:20:30.000000", "10:20:30.123456"}, []string{"24:00", "10:20:60", "10:20:30.1234567"}},
	{"timestamp", "a date, then `T` or a space and a time; a date alone is its midnight", []string{"2024-01-15T10:20:30.5=2024-01-15 10:20:30.5", "2024-01-15=2024-01-15 00:00:00"}, []string{"2024-01-15T10:20Z", "2024-01-15T10:20:30.1234567"}},
	{"timestamp_ns", "the same, to the nanosecond", []string{"2024-01-15T10:20:30.123456789=2024-01-15 10:20:30.123456789"}, []string{"1677-01-01"}},
	{"timestamptz", "the same with an offset of up to 18 hours, or a local time of `--time-zone`", []string{"2024-01-15T10:20Z=2024-01-15 10:20:00", "2024-01-15T10:20+02=2024-01-15 08:20:00", "2024-01-15 10:20 UTC=2024-01-15 10:20:00"}, []string{"2024-01-15T10:20+19", "2024-01-15T10:20 CET"}},
	{"string", "any UTF-8", []string{" a =\" a \""}, []string{"\xff"}},
	{"uuid", "32 hexadecimal digits, with the dashes of RFC 9562 or with none", []string{"00112233445566778899aabbccddeeff=00112233-4455-6677-8899-aabbccddeeff"}, []string{"0011"}},
	{"fixed[2], binary", "hexadecimal digits, after `0x` or `\\x` if you like", []string{"ff00", "0xff00=ff00", `\xFF00=ff00`}, []string{"ff0", "/w=="}},
}

// TestDocsTextValues runs the examples of docs/types.md.
func TestDocsTextValues(t *testing.T) {
	var rows [][]string
	quote := func(texts []string) string {
		var out []string
		for _, text := range texts {
			text, _, _ = strings.Cut(text, "=")
			if text == "/w" {
				text = "/w=="
			}
			out = append(out, "`"+strings.ReplaceAll(text, "\xff", "<FF>")+"`")
		}
		return strings.Join(out, " ")
	}
	for _, r := range textRules {
		for _, name := range strings.Split(r.types, ", ") {
			if strings.HasPrefix(r.types, "decimal") {
				name = r.types
			}
			of, err := ParseType(name)
			if err != nil {
				if name == "2)" {
					continue
				}
				t.Fatal(err)
			}
			for _, example := range r.reads {
				text, want, spelled := strings.Cut(example, "=")
				if !spelled {
					want = text
				}
				if got := readValue(t, of, text, time.UTC, '.'); got != want {
					t.Errorf("%s: %q is read as %s, want %s", name, text, got, want)
				}
			}
			for _, text := range r.refused {
				if name == "binary" && text == "ff00ff" || name == "double" && text == "" {
					continue
				}
				if got := readValue(t, of, text, time.UTC, '.'); !strings.HasPrefix(got, "no") {
					t.Errorf("%s: %q is read as %s", name, text, got)
				}
			}
		}
		names := "`" + strings.ReplaceAll(r.types, ", ", "`, `") + "`"
		if strings.HasPrefix(r.types, "decimal") {
			names = "`" + r.types + "`"
		}
		rows = append(rows, []string{names, r.rule, quote(r.reads), quote(r.refused)})
	}
	gendoc.Check(t, "docs/types.md", "text values", gendoc.Table([]string{"type", "texts", "read", "refused"}, rows...))
}

// inferenceRules are the rows of "Inference" in docs/types.md, each with the values of a column.
var inferenceRules = []struct {
	typ, rule string
	values    []string
}{
	{"boolean", "`true` or `false`, in a few cases of letters", []string{"true", "False", "TRUE"}},
	{"long", "a whole number of up to 64 bits, written without a point or exponent", []string{"-7", "9223372036854775807"}},
	{"decimal(19, 0)", "a whole number of up to 38 digits", []string{"9223372036854775808"}},
	{"double", "a number, or one of the words", []string{"1.5", "1e3", "NaN", "Infinity"}},
	{"date", "a date", []string{"2024-01-15"}},
	{"timestamp", "a timestamp without a zone, or a date", []string{"2024-01-15T10:00:00", "2024-01-15"}},
	{"timestamptz", "a timestamp with a zone", []string{"2024-01-15T10:00:00Z", "2024-01-15 10:00+01:00"}},
	{"string", "anything else", []string{"00501", "2024-01-15T10:00:00", "2024-01-15T10:00:00Z"}},
	{"string", "numbers with a leading zero or a plus", []string{"00501", "+4930123"}},
	{"string", "booleans beside numbers", []string{"true", "1"}},
	{"string", "dates or local timestamps beside zoned ones", []string{"2024-01-15", "2024-01-15T10:00:00Z"}},
	{"string", "nothing but nulls", []string{""}},
}

// TestDocsInference runs the examples of docs/types.md.
func TestDocsInference(t *testing.T) {
	var rows [][]string
	for _, r := range inferenceRules {
		text := "v,w\n" // a second column, so that an empty field is no blank line
		for _, v := range r.values {
			text += v + ",x\n"
		}
		schema, err := Infer(t.Context(), Input{Name: "in.csv", Reader: strings.NewReader(text)}, InferOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := FormatType(schema.Field(0).Type); got != r.typ {
			t.Errorf("%q make %s, want %s", r.values, got, r.typ)
		}
		examples := "`" + strings.Join(r.values, "` `") + "`"
		if r.values[0] == "" {
			examples = "an empty field"
		}
		rows = append(rows, []string{"`" + r.typ + "`", r.rule, examples})
	}
	schema, err := Infer(t.Context(), Input{Name: "in.csv", Reader: strings.NewReader("v\n12.5\n1000.125\n")}, InferOptions{Decimals: true})
	if err != nil || FormatType(schema.Field(0).Type) != "decimal(7, 3)" {
		t.Fatalf("%v, %v", schema, err)
	}
	rows = append(rows[:3:3], append([][]string{{
		"`decimal(7, 3)`", "with `--decimals`: a number without an exponent; as many digits before and after the point as any has, up to 38", "`12.5` `1000.125`",
	}}, rows[3:]...)...)
	gendoc.Check(t, "docs/types.md", "inference", gendoc.Table([]string{"type", "when every value is", "for example"}, rows...))
}

// TestDocsParquetTypes: the rows are those that TestParquetConversions writes and reads.
func TestDocsParquetTypes(t *testing.T) {
	var rows [][]string
	for _, c := range parquetConversions {
		to := "`" + c.to + "`"
		if c.zone != "" {
			to += fmt.Sprintf(" (`--time-zone %s`)", c.zone)
		}
		rows = append(rows, []string{"`" + c.from.String() + "`", to, "`" + c.values + "`", "`" + c.want + "`"})
	}
	gendoc.Check(t, "docs/types.md", "parquet", gendoc.Table([]string{"file", "table", "values", "become"}, rows...))
}
