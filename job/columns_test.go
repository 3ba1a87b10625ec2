package job

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/arrowconv"
)

func TestParseColumns(t *testing.T) {
	for text, want := range map[string]string{
		`a`:                       `[{a a}]`,
		`a,b=c`:                   `[{a a} {b c}]`,
		` a , b = c `:             `[{a a} {b c}]`,
		`"x, y"=z,w="say ""hi"""`: `[{x, y z} {w say "hi"}]`,
		`a b=c d`:                 `[{a b c d}]`,
		`a,`:                      `error: --columns: a name should come before ""`,
		`,a`:                      `error: --columns: a name should come before ",a"`,
		`a=`:                      `error: --columns: a name should come after "a="`,
		`a=b=c`:                   `error: --columns: a comma should come before "=c"`,
		`"a`:                      `error: --columns: a name should come before "\"a"`,
		`a,a=b`:                   `error: --columns: column "a" comes twice`,
		`a=x,b=x`:                 `error: --columns: column "x" of the input is taken twice, as "a" and "b"`,
	} {
		c, err := parseColumns(text)
		got := fmt.Sprint(c)
		if err != nil {
			got = "error: " + err.Error()
			if !errors.Is(err, ErrUsage) {
				t.Errorf("%s: %v is no ErrUsage", text, err)
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

// Quoted, any names are read back.
func TestParseColumnsQuoted(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		name := rapid.StringN(1, 8, -1)
		want := rapid.SliceOfNDistinct(rapid.Custom(func(r *rapid.T) arrowconv.ColumnChoice {
			return arrowconv.ColumnChoice{Name: name.Draw(r, "name"), From: name.Draw(r, "from")}
		}), 1, 1, func(c arrowconv.ColumnChoice) string { return c.Name }).Draw(r, "choices")
		var parts []string
		quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
		for _, c := range want {
			parts = append(parts, quote(c.Name)+"="+quote(c.From))
		}
		got, err := parseColumns(strings.Join(parts, ","))
		if err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			r.Fatal(diff)
		}
	})
}
