package floorplan

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNoConflictsAreLeft: no text of the repository holds what git leaves where two changes met.
func TestNoConflictsAreLeft(t *testing.T) {
	marker := regexp.MustCompile(`(?m)^(<{7} |>{7} )`)
	n := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "../.." && (strings.HasPrefix(name, ".") && name != ".ci" || name == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		switch filepath.Ext(path) {
		case ".go", ".md", ".yaml", ".txtar", ".py", ".xml", ".mod", ".sum", "":
			text, err := os.ReadFile(path)
			if err != nil || bytes.IndexByte(text, 0) >= 0 {
				return err
			}
			n++
			if at := marker.FindIndex(text); at != nil {
				t.Errorf("%s: line %d is of a conflict", path, 1+bytes.Count(text[:at[0]], []byte("\n")))
			}
		}
		return nil
	})
	if err != nil || n < 300 {
		t.Errorf("%d files were read: %v", n, err)
	}
}
