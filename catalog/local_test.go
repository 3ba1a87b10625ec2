package catalog_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	iceio "github.com/apache/iceberg-go/io"

	"github.com/icewright/icewright/catalog"
)

func localIO(t testing.TB) iceio.WriteFileIO {
	t.Helper()
	fsys, err := catalog.OpenIO(t.Context(), nil, "file:///")
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

func TestLocalFiles(t *testing.T) {
	dir := t.TempDir()
	fsys := localIO(t)
	for _, name := range []string{dir + "/a/b/f", "file://" + dir + "/a/p=x%2Fy/f", "file:" + dir + "/a b/f", "file://localhost" + dir + "/c/f"} {
		write(t, fsys, name, []byte(name), 3)
		b, err := fsys.(iceio.ReadFileIO).ReadFile(name)
		if err != nil || string(b) != name {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		_, path, _ := strings.Cut(name, dir)
		if _, err := os.Stat(dir + path); err != nil {
			t.Errorf("%s is not where its location says: %v", name, err)
		}
	}
	got := list(t, fsys, "file://"+dir+"/a")
	want := []string{"", "/b", "/b/f", "/p=x%2Fy", "/p=x%2Fy/f"}
	for i := range want {
		want[i] = "file://" + dir + "/a" + want[i]
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %q", got)
	}
	deleted, err := fsys.(iceio.BulkRemovableIO).DeleteFiles(t.Context(), []string{dir + "/a/b/f", dir + "/never"})
	if err != nil || len(deleted) != 2 {
		t.Errorf("deleted %q, %v", deleted, err)
	}
	if _, err := fsys.Open(dir + "/a/b/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
	for _, bad := range []string{"s3://bucket/key", "file://elsewhere/x"} {
		if _, err := fsys.Create(bad); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// iceberg-go's own IO decodes file: locations. Its tables are read all the same,
// and a directory with a percent sign in its name is not taken for another.
func TestLocalFilesThatIcebergGoWrote(t *testing.T) {
	dir := t.TempDir()
	fsys := localIO(t)
	location := "file://" + dir + "/my%20lake"
	if err := (iceio.LocalFS{}).WriteFile(location+"/x/f", []byte("theirs")); err != nil {
		t.Fatal(err)
	}
	if b, err := fsys.(iceio.ReadFileIO).ReadFile(location + "/x/f"); err != nil || string(b) != "theirs" {
		t.Errorf("%q, %v", b, err)
	}
	if err := fsys.WriteFile(location+"/x/g", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/my lake/x/g"); err != nil {
		t.Errorf("a new file of their table is elsewhere: %v", err)
	}
	if err := os.Mkdir(dir+"/my%20lake", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := fsys.Open(location + "/x/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the path as it stands does not go first: %v", err)
	}
}

func TestLocalAbort(t *testing.T) {
	dir := t.TempDir()
	fsys := localIO(t)
	w, err := fsys.Create(dir + "/f")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	if err := catalog.Abort(fsys, dir+"/f", w); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	if _, err := w.Write([]byte("more")); err == nil {
		t.Error("writes after Abort")
	}
}

// What durability costs: most of it is the disk's.
func BenchmarkLocalFile(b *testing.B) {
	dir := b.TempDir()
	content := random(100 << 10)
	ours := localIO(b)
	for name, fsys := range map[string]iceio.WriteFileIO{"synced": ours, "iceberg-go": iceio.LocalFS{}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := fsys.WriteFile(dir+"/f", content); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
