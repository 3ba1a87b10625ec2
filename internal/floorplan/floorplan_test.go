// Package floorplan holds the house together: docs/design.md, section 5, as a test. A package
// imports only packages on lower floors; rooms on one floor do not import one another.
package floorplan

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/icewright/icewright"

// below lists, for each package of the house, those that it may import. What is not listed may
// not be imported, and a package that is not listed is not part of the house.
var below = map[string][]string{
	"nearest":        {},
	"point":          {},
	"variant":        {},
	"arrowconv":      {"nearest", "variant"},
	"catalog":        {"nearest", "point"},
	"derive":         {"arrowconv", "nearest"},
	"source":         {"arrowconv", "catalog"},
	"writer/bloom":   {},
	"writer/digest":  {"variant"},
	"writer/slice":   {"nearest", "writer/digest"},
	"writer/stage":   {"arrowconv", "catalog", "point", "writer/bloom", "writer/digest", "writer/slice"},
	"writer/live":    {"catalog", "writer/bloom", "writer/digest", "writer/slice"},
	"writer/plan":    {"arrowconv", "catalog", "writer/digest", "writer/live", "writer/slice"},
	"writer/merge":   {"arrowconv", "catalog", "nearest", "writer/bloom", "writer/digest", "writer/live", "writer/slice"},
	"writer/publish": {"catalog", "point", "writer/digest", "writer/slice"},
	"writer":         {"arrowconv", "catalog", "point", "writer/digest", "writer/live", "writer/merge", "writer/slice", "writer/stage", "writer/plan", "writer/publish"},
	"job": {
		"nearest", "point",
		"arrowconv", "catalog", "derive", "source",
		"writer", "writer/digest", "writer/live", "writer/merge", "writer/slice", "writer/stage", "writer/plan", "writer/publish",
	},
	"cmd/icewright/functions": {},
	"cmd/icewright": {
		"cmd/icewright/functions", "nearest", "variant", "arrowconv", "catalog", "source", "job",
		"writer", "writer/digest", "writer/live", "writer/merge", "writer/slice", "writer/stage", "writer/plan", "writer/publish",
	},
}

// outside are directories that no package of the house may import: tools and tests.
var outside = []string{"internal", "interop", "localstack", "bench", "catalog/catalogtest"}

func TestFloorPlan(t *testing.T) {
	root := filepath.Join("..", "..")
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || slices.Contains(outside, rel)) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") || !strings.Contains(rel, "/") {
			return nil
		}
		pkg := filepath.ToSlash(filepath.Dir(rel))
		allowed, ok := below[pkg]
		if !ok {
			if !seen[pkg] {
				t.Errorf("package %s is on no floor: add it to the plan, or put it where it belongs", pkg)
			}
			seen[pkg] = true
			return nil
		}
		seen[pkg] = true
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, imp := range file.Imports {
			name, _ := strconv.Unquote(imp.Path.Value)
			ours, ok := strings.CutPrefix(name, module+"/")
			if ok && !slices.Contains(allowed, ours) {
				t.Errorf("%s imports %s, which is not below it", rel, ours)
			}
			if (name == "log" || name == "log/slog") && !strings.HasPrefix(pkg, "cmd/") {
				t.Errorf("%s imports %s: only cmd logs", rel, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range below {
		if !seen[pkg] {
			t.Errorf("package %s of the plan does not exist", pkg)
		}
	}
}

// TestPlanIsAHouse checks the plan itself: what a package may import may not import it back.
func TestPlanIsAHouse(t *testing.T) {
	var visit func(path []string, pkg string)
	visit = func(path []string, pkg string) {
		if slices.Contains(path, pkg) {
			t.Fatalf("the plan goes in a circle: %s", strings.Join(append(path, pkg), " → "))
		}
		for _, next := range below[pkg] {
			visit(append(path, pkg), next)
		}
	}
	for pkg := range below {
		visit(nil, pkg)
	}
}
