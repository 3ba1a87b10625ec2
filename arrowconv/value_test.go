package arrowconv

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// TestValues runs testdata/values: the command is a type with _ for spaces, the input one text a line,
// within bars where spaces matter; the output is the value or why there is none.
func TestValues(t *testing.T) {
	datadriven.Walk(t, "testdata/values", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			of, err := ParseType(strings.ReplaceAll(d.Cmd, "_", " "))
			if strings.HasSuffix(d.Cmd, "_ns") { // the names of types that have an underscore
				of, err = ParseType(d.Cmd)
			}
			if err != nil {
				t.Fatal(err)
			}
			zone := time.UTC
			for _, arg := range d.CmdArgs {
				if arg.Key == "zone" {
					if zone, err = time.LoadLocation(arg.Vals[0]); err != nil {
						t.Fatal(err)
					}
				}
			}
			point := byte('.')
			if d.HasArg("comma") {
				point = ','
			}
			var b strings.Builder
			for _, line := range strings.Split(d.Input, "\n") {
				text := strings.Trim(line, "|")
				fmt.Fprintf(&b, "%s -> %s\n", line, readValue(t, of, text, zone, point))
			}
			return b.String()
		})
	})
}

// readValue reads text both ways, alone and as a column of CSV, and checks that they agree.
func readValue(t testing.TB, of iceberg.Type, text string, zone *time.Location, point byte) string {
	t.Helper()
	alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer alloc.AssertSize(t.(memory.TestingT), 0)
	f := iceberg.NestedField{ID: 1, Name: "v", Type: of}
	as, err := ArrowSchema(iceberg.NewSchema(0, f))
	if err != nil {
		t.Fatal(err)
	}
	dt := as.Field(0).Type
	parse, err := newTextParser(of, zone, point)
	if err != nil {
		t.Fatal(err)
	}
	show := func(a arrow.Array, bad fault) string {
		if bad != faultNone {
			return strings.TrimSpace("no: " + bad.String())
		}
		switch a := a.(type) {
		case *array.Timestamp:
			unit := a.DataType().(*arrow.TimestampType).Unit
			return a.Value(0).ToTime(unit).Format("2006-01-02 15:04:05.999999999")
		case *array.Float64:
			return strconv.FormatFloat(a.Value(0), 'g', -1, 64)
		case *array.Float32:
			return strconv.FormatFloat(float64(a.Value(0)), 'g', -1, 32)
		case *array.Decimal128:
			v := a.Value(0)
			return v.ToString(dt.(*arrow.Decimal128Type).Scale)
		case *array.Binary:
			return fmt.Sprintf("%x", a.Value(0))
		case *array.FixedSizeBinary:
			return fmt.Sprintf("%x", a.Value(0))
		case *array.String:
			return fmt.Sprintf("%q", a.Value(0))
		default:
			return a.ValueStr(0)
		}
	}
	builder := array.NewBuilder(alloc, dt)
	defer builder.Release()
	bad := parse([]byte(text), builder)
	if want := 1; bad != faultNone && builder.Len() != 0 || bad == faultNone && builder.Len() != want {
		t.Errorf("%s %q: %v, and the builder has %d values", of, text, bad, builder.Len())
	}
	a := builder.NewArray()
	defer a.Release()
	alone := show(a, bad)

	o := Options{TimeZone: zone, Alloc: alloc}
	o.CSV.DecimalComma = point == ','
	for _, cell := range []string{text, `"` + strings.ReplaceAll(text, `"`, `""`) + `"`} {
		if strings.HasPrefix(text, `"`) && cell == text {
			continue
		}
		// Alone in its chunk; and with bytes around it, where it is read in one piece if it can be.
		for _, around := range []string{"", strings.Repeat("0,", 40)} {
			c := newCSVColumn(f, dt, dialect{delim: 0x2c, quote: 0x22}, newCSVNulls([]string{}), o)
			data := []byte(around + cell + "\n" + around)
			x := cells{data, []uint32{uint32(len(around)) - 1}, []uint32{uint32(len(around) + len(cell))}, 1, 1, around != "" && !strings.Contains(text, `"`)}
			col, cells := c.convert(x, 1, around != "" && utf8.Valid(data))
			bad = faultNone
			if len(cells) > 0 {
				bad = cells[0].fault
			}
			inColumn := show(col, bad)
			if col != nil {
				col.Release()
			}
			if inColumn != alone {
				t.Errorf("%s %q: alone %s, in a column as %s after %q %s", of, text, alone, cell, around, inColumn)
			}
		}
	}
	return alone
}

// TestDecimalsAreExact checks the readers of decimals and longs against math/big.
func TestDecimalsAreExact(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		precision := rapid.IntRange(1, 38).Draw(r, "precision")
		scale := rapid.IntRange(0, precision).Draw(r, "scale")
		text := rapid.StringMatching(`-?[0-9]{0,25}[0-9](\.[0-9]{0,20}0{0,9})?(e-?[0-9]{1,2})?`).Draw(r, "text")
		exact, ok := new(big.Rat).SetString(text)
		if !ok {
			r.Fatalf("%q", text)
		}
		exact.Mul(exact, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
		limit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
		fits := exact.IsInt() && new(big.Int).Abs(exact.Num()).Cmp(limit) < 0
		v, f := parseDecimal([]byte(text), precision, scale, '.')
		switch {
		case fits != (f == faultNone):
			r.Fatalf("%s as decimal(%d, %d): %q, want fit %v", text, precision, scale, f, fits)
		case fits && v.BigInt().Cmp(exact.Num()) != 0:
			r.Fatalf("%s as decimal(%d, %d): %s", text, precision, scale, v.BigInt())
		}
		if scale == 0 {
			l, f := parseInt64([]byte(text), '.')
			if in := exact.IsInt() && exact.Num().IsInt64(); in != (f == faultNone) || in && l != exact.Num().Int64() {
				r.Fatalf("%s as long: %d, %q", text, l, f)
			}
		}
	})
}

// TestFloatsRoundRight checks the short cut for doubles against strconv.
func TestFloatsRoundRight(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.StringMatching(`-?[0-9]{0,9}[0-9](\.[0-9]{0,9})?(e-?[0-9]{1,3})?`).Draw(r, "text")
		want, err := strconv.ParseFloat(text, 64)
		got, f := parseFloat64([]byte(text), '.')
		if (err == nil) != (f == faultNone) || err == nil && got != want {
			r.Fatalf("%s: %v %q, want %v %v", text, got, f, want, err)
		}
	})
}

// TestDatesAreTheCalendars checks every day of some years with leap centuries and without, and the ends of the calendar.
func TestDatesAreTheCalendars(t *testing.T) {
	for _, from := range []string{"0001-01-01", "1000-01-01", "1895-12-01", "1995-01-01", "9990-01-01"} {
		day, _ := time.Parse(time.DateOnly, from)
		for range 366 * 12 {
			if day.Year() > 9999 {
				break
			}
			got, f := parseDate([]byte(day.Format(time.DateOnly)))
			if want := int32(day.Unix() / 86400); f != faultNone || got != want && day.Unix()%86400 == 0 {
				t.Fatalf("%s: %d %q, want %d", day.Format(time.DateOnly), got, f, want)
			}
			day = day.AddDate(0, 0, 1)
		}
	}
}

// TestLocalTimesAgreeWithTime checks the zones' rules against package time, near and far from changes.
func TestLocalTimesAgreeWithTime(t *testing.T) {
	zones := []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca", "Pacific/Apia", "America/Sao_Paulo"}
	rapid.Check(t, func(r *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(r, "zone"))
		if err != nil {
			r.Skip(err)
		}
		z := &instants{unit: micros, zoned: true, zone: zone}
		at := rapid.Int64Range(-5e9, 6e9).Draw(r, "about")
		for range 8 {
			at += rapid.SampledFrom([]int64{0, 1800, 3600, 7200, 86399, 86400, 1 << 20, 1 << 23}).Draw(r, "step")
			if _, end := time.Unix(at, 0).In(zone).ZoneBounds(); !end.IsZero() && rapid.Bool().Draw(r, "to the change") {
				at = end.Unix() + rapid.Int64Range(-7200, 7200).Draw(r, "off")
			}
			// An instant's own local time reads back to it, or to an earlier one with the same local time.
			local := time.Unix(at, 0).In(zone).Format("2006-01-02T15:04:05")
			got, f := z.parse([]byte(local))
			back := time.Unix(got/1e6, 0).In(zone).Format("2006-01-02T15:04:05")
			if f != faultNone || got > at*1e6 || back != local || got < at*1e6-3*3600*1e6 && zone.String() != "Pacific/Apia" {
				r.Fatalf("%s in %s: %s %q, want %s", local, zone, back, f, time.Unix(at, 0).In(zone))
			}
		}
	})
}

func FuzzValues(f *testing.F) {
	for _, s := range []string{"1", "-0.0", "1e3", "2024-02-29", "2024-02-29T23:59:59.123456789+05:30", "true", "0xff", "NaN", " 7 "} {
		f.Add(s)
	}
	types := []string{
		"boolean", "int", "long", "float", "double", "decimal(9, 2)", "decimal(38, 10)", "date", "time", "timestamp",
		"timestamptz", "timestamp_ns", "string", "uuid", "fixed[3]", "binary",
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "\n\"") {
			return
		}
		for _, name := range types {
			of, err := ParseType(name)
			if err != nil {
				t.Fatal(err)
			}
			readValue(t, of, text, time.UTC, '.')
		}
	})
}

// FuzzEvidence: what the quick look at a text finds is what the thorough one does.
func FuzzEvidence(f *testing.F) {
	for _, seed := range []string{
		"", "-", "0", "-0", "00", "007", "1.", ".5", "0.5", "-12.340", "1.2.3", "12,5", "123456789012345678", "1234567890123456789",
		"2147483648", "-2147483648", "-2147483649", "2024-02-29", "2023-02-29", "0001-01-01", "1677-09-21", "2024-1-1", "1e5", "1 ", "12-34-5678",
	} {
		f.Add(seed, seed, false)
	}
	f.Fuzz(func(t *testing.T, first, second string, comma bool) {
		point := byte('.')
		if comma {
			point = ','
		}
		var quick, thorough evidence
		for _, text := range []string{first, second} {
			if quick.addPlain([]byte(text), point) {
				thorough.addText([]byte(text), point)
			}
			if quick != thorough {
				t.Fatalf("%q, %q: %+v, and %+v", first, second, quick, thorough)
			}
		}
	})
}

// TestEvidenceOfMany is FuzzEvidence on texts that come close to being plain.
func TestEvidenceOfMany(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	plain := 0
	for range 300_000 {
		text := make([]byte, r.IntN(20))
		for i := range text {
			text[i] = "0123456789012345678900--.,"[r.IntN(26)]
		}
		if len(text) >= 10 && r.IntN(3) == 0 {
			text[4], text[7], text = '-', '-', text[:10]
		}
		var quick, thorough evidence
		if !quick.addPlain(text, '.') {
			continue
		}
		plain++
		if thorough.addText(text, '.'); quick != thorough {
			t.Fatalf("%q: %+v, and %+v", text, quick, thorough)
		}
	}
	if plain < 1000 {
		t.Errorf("%d plain texts only", plain)
	}
}
