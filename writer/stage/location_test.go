package stage

import (
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
)

func TestLongPartitionsHaveShortFolders(t *testing.T) {
	l := newLocations("/lake/t", iceberg.Properties{})
	seen := map[string]string{}
	for _, partition := range []string{
		"s=" + strings.Repeat("%E6%BC%A2", 30),
		"s=" + strings.Repeat("%E6%BC%A2", 30) + "x",
		"s=x" + strings.Repeat("%E6%BC%A2", 30),
		"s=xx" + strings.Repeat("%E6%BC%A2", 30),
		"a=1/s=" + strings.Repeat("y", 5000) + "/b=" + strings.Repeat("%20", 400),
		"s=short/t=" + strings.Repeat("z", 190),
	} {
		got := l.file(partition, "f.parquet")
		for _, folder := range strings.Split(got, "/") {
			if len(folder) > maxSegment {
				t.Errorf("%d bytes in one folder: %s", len(folder), folder)
			}
			cut, _, _ := strings.Cut(folder, "~")
			if p := strings.LastIndexByte(cut, '%'); p >= 0 && p > len(cut)-3 {
				t.Errorf("an escape is cut: %s", cut)
			}
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%s and %s have one folder", other, partition)
		}
		seen[got] = partition
	}
	if got, want := l.file("s=short/t=1", "f.parquet"), "/lake/t/data/s=short/t=1/f.parquet"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
