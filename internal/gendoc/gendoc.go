// Package gendoc holds documents to the code. A document has sections between the lines
//
//	<!-- generated: NAME -->
//	<!-- end -->
//
// whose text a test makes from the code. Check fails where the two differ, and with the test flag
// -rewrite (`make docs`) writes the section anew. What a table claims is proved by tests: Proofs
// fails where one that a row names is not there. Imported by tests only.
package gendoc

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	_ "github.com/cockroachdb/datadriven" // its flag -rewrite
)

// Rewrite is the test flag -rewrite: documents are written, not compared. It is the flag of package
// datadriven, which is imported for it, since a test binary that has both could not have two.
var Rewrite = rewriteFlag()

func rewriteFlag() *bool {
	on := new(bool)
	f := flag.Lookup("rewrite")
	f.Value = both{f.Value, on}
	return on
}

// both is a flag that two packages read.
type both struct {
	flag.Value
	on *bool
}

func (b both) Set(text string) (err error) {
	if *b.on, err = strconv.ParseBool(text); err != nil {
		return err
	}
	return b.Value.Set(text)
}

func (b both) IsBoolFlag() bool { return true }

// String works for the zero value too, which package flag asks for.
func (b both) String() string { return strconv.FormatBool(b.on != nil && *b.on) }

// Table is a Markdown table. Bars in cells are escaped.
func Table(header []string, rows ...[]string) string {
	var b strings.Builder
	line := func(cells []string) {
		b.WriteByte('|')
		for _, c := range cells {
			b.WriteString(" " + strings.ReplaceAll(c, "|", `\|`) + " |")
		}
		b.WriteByte('\n')
	}
	line(header)
	b.WriteString("|" + strings.Repeat("---|", len(header)) + "\n")
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

// Check compares a section of a document below the module's root ("docs/formats.md") with text.
func Check(t testing.TB, document, section, text string) {
	t.Helper()
	path := filepath.Join(Root(t), filepath.FromSlash(document))
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- generated: "+section+" -->\n", "<!-- end -->"
	before, rest, ok := strings.Cut(string(old), begin)
	if !ok {
		t.Fatalf("%s has no line %s", document, strings.TrimSpace(begin))
	}
	was, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s: section %s has no line %s", document, section, end)
	}
	switch {
	case was == text:
	case *Rewrite:
		if err := os.WriteFile(path, []byte(before+begin+text+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s: section %s is not what the code says, which is\n%s\nrun `make docs`", document, section, text)
	}
}

// CheckFile compares a document that is generated as a whole.
func CheckFile(t testing.TB, document, text string) {
	t.Helper()
	path := filepath.Join(Root(t), filepath.FromSlash(document))
	if *Rewrite {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(old) != text {
		t.Errorf("%s is not what the code says: run `make docs`", document)
	}
}

// Proofs fails for each of names that is no test of this module. A name is that of a test function
// with its package's folder, "arrowconv.TestValues", or a script of the command's, "Scripts/csv".
func Proofs(t testing.TB, names ...string) {
	t.Helper()
	known := tests(t)
	for _, name := range names {
		if !known[name] {
			t.Errorf("no test is called %s", name)
		}
	}
}

// Root is the module's directory.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = parent
	}
}

var (
	once    sync.Once
	found   map[string]bool
	failure error

	function = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
)

func tests(t testing.TB) map[string]bool {
	t.Helper()
	top := Root(t)
	once.Do(func() { found, failure = collect(top) })
	if failure != nil {
		t.Fatal(failure)
	}
	return found
}

func collect(top string) (map[string]bool, error) {
	names := map[string]bool{}
	return names, filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != top && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case strings.HasSuffix(path, ".txtar"):
			names["Scripts/"+strings.TrimSuffix(d.Name(), ".txtar")] = true
		case strings.HasSuffix(path, "_test.go"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(top, filepath.Dir(path))
			if err != nil {
				return err
			}
			for _, m := range function.FindAllSubmatch(text, -1) {
				names[fmt.Sprintf("%s.%s", filepath.ToSlash(rel), m[1])] = true
			}
		}
		return nil
	})
}
