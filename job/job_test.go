package job

import (
	"errors"
	"strings"
	"testing"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
)

// Every field that can be wrong is refused before anything is opened, by the name of its flag.
func TestValidateNamesTheFlag(t *testing.T) {
	good := Job{Sources: []string{"a.csv"}, Table: "a.b"}
	if err := good.Validate(); err != nil {
		t.Fatalf("the smallest job is refused: %v", err)
	}
	for _, c := range []struct {
		name string
		edit func(*Job)
		want string
	}{
		{"no source", func(j *Job) { j.Sources = nil }, "no source"},
		{"stdin twice", func(j *Job) { j.Sources = []string{"-", "-"} }, "given twice"},
		{"no table", func(j *Job) { j.Table = "" }, "no table"},
		{"no namespace", func(j *Job) { j.Table = "b" }, "--table"},
		{"no such mode", func(j *Job) { j.Mode = "upsert" }, "--mode: unknown mode \"upsert\""},
		{"insert without a key", func(j *Job) { j.Mode = Insert }, "--mode insert needs --key"},
		{"a window without a time", func(j *Job) { j.Mode, j.Key, j.Window = Insert, []string{"id"}, "24h" }, "--window needs --event-time"},
		{"a time without a window", func(j *Job) { j.Mode, j.Key, j.EventTime = Insert, []string{"id"}, "ts" }, "--event-time needs --window"},
		{"merge without a key", func(j *Job) { j.Mode = Merge }, "--mode merge needs --key"},
		{"a key without merge", func(j *Job) { j.Key = []string{"id"} }, "--key belongs to --mode merge"},
		{"merge of a slice", func(j *Job) { j.Mode, j.Key, j.Slice = Merge, []string{"id"}, "a = 1" }, "--slice belongs to --mode replace"},
		{"unknown mode", func(j *Job) { j.Mode = "mangle" }, "--mode"},
		{"format", func(j *Job) { j.Format = "xls" }, "--format"},
		{"delimiter", func(j *Job) { j.CSVDelimiter = ";;" }, "--csv-delimiter"},
		{"delimiter", func(j *Job) { j.CSVDelimiter = `"` }, "both the delimiter and the quote"},
		{"quote", func(j *Job) { j.CSVQuote = "nil" }, "--csv-quote"},
		{"escape", func(j *Job) { j.CSVEscape, j.CSVDelimiter = "|", "|" }, "both the delimiter and the escape"},
		{"comment", func(j *Job) { j.CSVComment = "//" }, "--csv-comment"},
		{"comment", func(j *Job) { j.CSVComment = "x" }, "cannot be the comment"},
		{"skip", func(j *Job) { j.CSVSkip = -1 }, "-1 lines cannot be skipped"},
		{"row", func(j *Job) { j.MaxRowBytes = 10 }, "--max-row-bytes"},
		{"zone", func(j *Job) { j.TimeZone = "Mars/Olympus" }, "--time-zone"},
		{"infer", func(j *Job) { j.InferRows = -1 }, "--infer-rows"},
		{"version", func(j *Job) { j.FormatVersion = 4 }, "--format-version"},
		{"outside", func(j *Job) { j.Outside = "ignore" }, "--outside"},
		{"outside alone", func(j *Job) { j.Outside = "drop" }, "--outside drop needs --slice"},
		{"empty", func(j *Job) { j.OnEmpty = "whatever" }, "--on-empty"},
		{"slice and table", func(j *Job) { j.ReplaceTable, j.Slice = true, "a=1" }, "exclude one another"},
		{"shrink", func(j *Job) { j.MaxShrink = "150%" }, "--max-shrink"},
		{"shrink", func(j *Job) { j.MaxShrink = "NaN" }, "--max-shrink"},
		{"rejects", func(j *Job) { j.MaxRejects = "1%" }, "--max-rejects needs --rejects"},
		{"rejects", func(j *Job) { j.Rejects, j.MaxRejects = "d", "few" }, "--max-rejects"},
		{"memory", func(j *Job) { j.Memory = 1 << 20 }, "--memory"},
		{"workers", func(j *Job) { j.Workers = -2 }, "--workers"},
	} {
		j := good
		c.edit(&j)
		err := j.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error about %s", c.name, err, c.want)
		}
		if !errors.Is(err, ErrUsage) && !errors.Is(err, catalog.ErrConfig) {
			t.Errorf("%s: %v is not of class usage", c.name, err)
		}
	}
}

func TestParseShareAndBound(t *testing.T) {
	for text, want := range map[string]float64{"50%": 0.5, "0.5": 0.5, "0": 0, "1": 1, "100%": 1, "12.5%": 0.125} {
		if got, err := parseShare(text); err != nil || got != want {
			t.Errorf("parseShare(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	if b, err := parseBound("1%"); err != nil || b.kind != '%' || b.share != 0.01 {
		t.Errorf("1%%: %+v, %v", b, err)
	}
	if b, err := parseBound("0"); err != nil || b.kind != '#' || b.count != 0 {
		t.Errorf("0: %+v, %v", b, err)
	}
}

// The hint of an error tree is the outermost one that is not empty.
func TestHint(t *testing.T) {
	inner := &Error{Class: arrowconv.ErrInput, Text: "inner", Advice: "do this"}
	silent := &Error{Class: inner, Text: "outer"}
	if got := Hint(errors.Join(errors.New("plain"), silent)); got != "do this" {
		t.Errorf("got %q", got)
	}
	if got := Hint(errors.New("plain")); got != "" {
		t.Errorf("got %q", got)
	}
}
