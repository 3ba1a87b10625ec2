package job

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The receipt's document lists exactly the fields that the receipt has, in their order.
func TestReceiptIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/receipt.md")
	if err != nil {
		t.Fatal(err)
	}
	receipt, rejects, _ := strings.Cut(string(text), "\n## Rejects")
	row := regexp.MustCompile("(?m)^\\| `([a-z_0-9.\\[\\]]+)` \\|")
	documented := func(text string) (names []string) {
		for _, m := range row.FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		return names
	}
	if got, want := documented(receipt), fieldsOf(reflect.TypeFor[Receipt](), ""); !slices.Equal(got, want) {
		t.Errorf("docs/receipt.md lists\n%v\nthe receipt has\n%v", got, want)
	}
	if got, want := documented(rejects), fieldsOf(reflect.TypeFor[rejectLine](), ""); !slices.Equal(got, want) {
		t.Errorf("docs/receipt.md lists\n%v\na rejects line has\n%v", got, want)
	}
	for _, s := range []Status{Published, Unchanged, AlreadyPublished, Planned, Superseded, Failed, Unknown} {
		if !strings.Contains(receipt, "`"+string(s)+"`") {
			t.Errorf("docs/receipt.md does not tell of status %s", s)
		}
	}
}

// fieldsOf are the JSON names of a struct's fields, each struct field followed by its own.
func fieldsOf(t reflect.Type, prefix string) (names []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			names = append(names, fieldsOf(f.Type, prefix)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, prefix+name)
		switch inner := f.Type; {
		case inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct:
			names = append(names, fieldsOf(inner.Elem(), prefix+name+"[].")...)
		case inner.Kind() == reflect.Pointer && inner.Elem().Kind() == reflect.Struct && inner.Elem() != reflect.TypeFor[time.Time]():
			names = append(names, fieldsOf(inner.Elem(), prefix+name+".")...)
		}
	}
	return names
}

// A receipt has every field, whatever became of the run: readers need not ask.
func TestReceiptFieldsAreAlwaysThere(t *testing.T) {
	rec, err := Load(t.Context(), Job{Table: "x.y"})
	if err == nil {
		t.Fatal("a job without sources ran")
	}
	text, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range fieldsOf(reflect.TypeFor[Receipt](), "") {
		if _, ok := fields[name]; !ok && !strings.ContainsAny(name, ".[") {
			t.Errorf("%s is missing in %s", name, text)
		}
	}
	if fields["status"] != "failed" || fields["version"] != 1.0 {
		t.Errorf("got %s", text)
	}
}
