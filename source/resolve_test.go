package source

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/icewright/icewright/arrowconv"
)

// tree makes files below a new directory, which becomes the working directory.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, name, "id\n1\n")
	}
	return dir
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func names(objects []Object) string {
	var all []string
	for _, o := range objects {
		all = append(all, o.Name)
	}
	return strings.Join(all, " ")
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func TestResolve(t *testing.T) {
	tree(t, "b.csv", "a.csv", "a.csv.gz", "_SUCCESS", ".hidden.csv", "in/2024/01/x.csv", "in/2024/02/y.csv", "in/2024/_tmp/z.csv",
		"in/2024/01/_x.crc", "in/.git/config", "in/top.csv", "odd[1].csv", "odd1.csv", "dash-.csv")
	if err := os.Symlink("../a.csv", "in/link.csv"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("..", "in/loop"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"b.csv a.csv", "a.csv b.csv"},
		{"a.csv a.csv", "a.csv"},
		{"*.csv", "a.csv b.csv dash-.csv odd1.csv odd[1].csv"},
		{"?.csv*", "a.csv a.csv.gz b.csv"},
		{"a.csv *.csv", "a.csv b.csv dash-.csv odd1.csv odd[1].csv"},
		{"in", "in/2024/01/x.csv in/2024/02/y.csv in/link.csv in/top.csv"},
		{"in/", "in/2024/01/x.csv in/2024/02/y.csv in/link.csv in/top.csv"},
		{"in/*", "in/link.csv in/top.csv"},
		{"in/**", "in/2024/01/x.csv in/2024/02/y.csv in/link.csv in/top.csv"},
		{"in/**/*.csv", "in/2024/01/x.csv in/2024/02/y.csv in/link.csv in/top.csv"},
		{"in/*/0[12]/*.csv", "in/2024/01/x.csv in/2024/02/y.csv"},
		{"in/2024/*/", "in/2024/01/x.csv in/2024/02/y.csv"},
		{"**/y.csv", "in/2024/02/y.csv"},
		{"in/2024/_*/*", "in/2024/_tmp/z.csv"},
		{".hidden.csv", ".hidden.csv"},
		{".h*", ".hidden.csv"},
		{"_SUCCESS", "_SUCCESS"},
		{"odd[1].csv", "odd[1].csv"},
		{"odd[0-9].csv", "odd1.csv"},
		{"./*.gz", "a.csv.gz"},
	} {
		got, err := Resolve(t.Context(), strings.Fields(c.args), Options{})
		if err != nil {
			t.Errorf("%s: %v", c.args, err)
		} else if names(got) != c.want {
			t.Errorf("%s: got  %s\nwant %s", c.args, names(got), c.want)
		}
	}
	absolute, err := filepath.Abs("in/*.csv")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Resolve(t.Context(), []string{absolute}, Options{}); err != nil || len(got) != 2 || !filepath.IsAbs(got[0].Name) {
		t.Errorf("%s: %s, %v", absolute, names(got), err)
	}
	if got, err := Resolve(t.Context(), []string{"file://" + absolute}, Options{}); err != nil || len(got) != 2 {
		t.Errorf("file://%s: %s, %v", absolute, names(got), err)
	}
}

// One file that is named in two ways is one source; .. may lead through a link, and stays.
func TestResolveNamesAFileOnce(t *testing.T) {
	tree(t, "a.csv", "d/b.csv")
	for args, want := range map[string]string{
		"a.csv ./a.csv .//a.csv": "a.csv",
		"./d d/b.csv d//b.csv":   "d/b.csv",
		"*.csv ./a.csv":          "a.csv",
		"d/../a.csv":             "d/../a.csv",
	} {
		objects, err := Resolve(t.Context(), strings.Fields(args), Options{})
		if got := names(objects); err != nil || fmt.Sprint(got) != want && fmt.Sprint(got) != "["+want+"]" {
			t.Errorf("%s: %v, %v", args, got, err)
		}
	}
}

func TestResolveErrors(t *testing.T) {
	tree(t, "a.csv", "only/_hidden", "empty/.keep")
	for _, c := range []struct{ args, want, hint string }{
		{"", "source: none given", "name files, directories"},
		{"missing.csv", "missing.csv: no such file", ""},
		{"missing/*.csv", "missing/*.csv: matches no file", hiddenHint},
		{"*.parquet", "*.parquet: matches no file", hiddenHint},
		{"only", "only: matches no file", hiddenHint},
		{"- a.csv -", "-: standard input can be read only once", ""},
		{"a[.csv", "a[.csv: is not a glob that can be read: syntax error in pattern", ""},
		{"gs://bucket/x", "gs://bucket/x: gs:// cannot be read", "s3:// and https:// addresses"},
		{"s3://", "s3://: names no bucket", "s3://bucket/key"},
		{"s3://b*/x", "s3://b*/x: has a wildcard in the bucket", ""},
	} {
		_, err := Resolve(t.Context(), strings.Fields(c.args), Options{})
		if err == nil || err.Error() != c.want || !errors.Is(err, arrowconv.ErrInput) || !strings.Contains(hintOf(err), c.hint) {
			t.Errorf("%q: got %v (hint: %s), want %s", c.args, err, hintOf(err), c.want)
		}
	}
	if _, err := Resolve(t.Context(), []string{""}, Options{}); !errors.Is(err, arrowconv.ErrInput) {
		t.Errorf("an empty name: %v", err)
	}
}
