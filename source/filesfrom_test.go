package source

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/icewright/icewright/arrowconv"
)

func TestFilesFrom(t *testing.T) {
	tree(t, "a.csv", "b c.csv", "in/1.csv", "in/2.csv", "#odd.csv", "lists/x")
	for _, c := range []struct{ name, args, list, want string }{
		{"one a line", "", "a.csv\nb c.csv\n", "a.csv b c.csv"},
		{"with arguments, each once", "a.csv in/1.csv", "in/2.csv\na.csv\nin/1.csv\n", "a.csv in/1.csv in/2.csv"},
		{"CRLF, blank lines, comments, spaces, no end", "", "\xef\xbb\xbf# all of them\r\n\r\n  a.csv \r\n\t\nin/1.csv", "a.csv in/1.csv"},
		{"directories and globs", "", "in\n[ab]*.csv\n", "a.csv b c.csv in/1.csv in/2.csv"},
		{"a name with a hash", "", "./#odd.csv\n", "#odd.csv"},
		{"missing", "", "a.csv\n\n# here\nnope.csv\nnor.csv\n", "error: lists/x:4: nope.csv: no such file"},
		{"no match", "", "*.parquet\n", "error: lists/x:1: *.parquet: matches no file"},
		{"empty", "", "# nothing\n\n", "error: lists/x: names no source"},
		{"empty, with arguments", "a.csv", "", "a.csv"},
		{"NUL", "", "a.csv\x00b.csv\x00", "error: lists/x:1: the line: has a NUL byte in it"},
		{"stdin", "", "a.csv\n-\n", "error: lists/x:2: -: standard input cannot be in a list"},
		{"no address", "", "a.csv\ngs://x/y\n", "error: lists/x:2: gs://x/y: gs:// cannot be read"},
		{"long line", "", strings.Repeat("x", maxLine+1), "error: lists/x: has a line of more than 1 MiB"},
	} {
		for _, from := range []string{"file", "stdin"} {
			o := Options{FilesFrom: []string{"lists/x"}}
			want := c.want
			if write(t, "lists/x", c.list); from == "stdin" {
				o.FilesFrom, o.Stdin = []string{"-"}, strings.NewReader(c.list)
				want = strings.Replace(want, "lists/x", "-", 1)
			}
			objects, err := Resolve(t.Context(), strings.Fields(c.args), o)
			got := names(objects)
			if err != nil {
				got = "error: " + err.Error()
			}
			if got != want || err != nil && !errors.Is(err, arrowconv.ErrInput) {
				t.Errorf("%s by %s: got %s, want %s", c.name, from, got, want)
			}
		}
	}
	if _, err := Resolve(t.Context(), nil, Options{FilesFrom: []string{"none"}}); !errors.Is(err, arrowconv.ErrInput) || err.Error() != "--files-from: none: no such file" {
		t.Errorf("a list that is not there: %v", err)
	}
}

// TestManyAddresses: thousands of keys and URLs are resolved side by side, and those of one name that
// differ in what is not shown are all there.
func TestManyAddresses(t *testing.T) {
	const n = 5000
	s := serveFiles(t, map[string]string{})
	objects := map[string]string{}
	var urls, keys strings.Builder
	for i := range n {
		s.files[fmt.Sprintf("/in/%d.csv", i)] = "id\n1\n"
		fmt.Fprintf(&urls, "%s/in/%d.csv\n", s.URL, i)
	}
	for i := range 100 {
		objects[fmt.Sprintf("in/%d.csv", i)] = "id\n1\n"
		fmt.Fprintf(&keys, "s3://data/in/%d.csv\n", i)
		fmt.Fprintf(&urls, "%s/in/1.csv?sig=%d\n", s.URL, i)
	}
	b := newBucket(t, objects)
	tree(t, "urls", "keys")
	write(t, "urls", urls.String())
	write(t, "keys", keys.String())
	o := s.options(t)
	o.s3, o.FilesFrom = b.client, []string{"urls", "keys"}
	got, err := Resolve(t.Context(), nil, o)
	if err != nil || len(got) != n+200 {
		t.Fatalf("%d objects, %v", len(got), err)
	}
	write(t, "urls", urls.String()+s.URL+"/none.csv\n")
	_, err = Resolve(t.Context(), nil, o)
	if want := fmt.Sprintf("urls:%d: %s/none.csv: no such file", n+101, s.URL); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
