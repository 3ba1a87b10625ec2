package gendoc

import (
	"os"
	"path/filepath"
	"testing"
)

// recorder notes whether a test would have failed.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func TestCheckAndRewrite(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module x\n")
	write("doc.md", "a\n<!-- generated: types -->\nold\n<!-- end -->\nz\n")
	r := &recorder{TB: t}
	if Check(r, "doc.md", "types", "old\n"); r.failed {
		t.Error("a section that is up to date failed")
	}
	if Check(r, "doc.md", "types", "new\n"); !r.failed {
		t.Error("a stale section passed")
	}
	*Rewrite = true
	defer func() { *Rewrite = false }()
	Check(t, "doc.md", "types", "new\n")
	text, err := os.ReadFile(filepath.Join(".", "doc.md"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "a\n<!-- generated: types -->\nnew\n<!-- end -->\nz\n"; string(text) != want {
		t.Errorf("rewritten to\n%s", text)
	}
}

func TestProofs(t *testing.T) {
	Proofs(t, "internal/gendoc.TestProofs", "Scripts/csv")
	r := &recorder{TB: t}
	if Proofs(r, "internal/gendoc.TestOfNothing"); !r.failed {
		t.Error("a test that is not there passed for a proof")
	}
}
