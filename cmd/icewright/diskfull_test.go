//go:build unix

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/icewright/icewright/internal/tally"
)

// envLimit has an icewright that a test starts write no file beyond so many bytes: the system refuses it, as it
// does where a disk or a quota is full.
const envLimit = "LIMIT_FILE_SIZE"

func init() {
	if n, err := strconv.ParseUint(os.Getenv(envLimit), 10, 64); err == nil {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			panic(err)
		}
	}
}

// A disk that is full, wherever the run notices: it says so, takes back what it wrote, and is fine once there is
// room.
func TestDiskFull(t *testing.T) {
	y := tally.Of(t, "the system refuses to write files beyond a size: data files, the spill file, the catalog's own")
	if testing.Short() {
		t.Skip("starts many processes")
	}
	// Files of a size that does not depend on how well they are encoded.
	plain := []string{"--table-prop", "icewright.parquet-encodings=plain", "--table-prop", "write.parquet.compression-codec=uncompressed"}
	props := map[string]string{"icewright.parquet-encodings": "plain", "write.parquet.compression-codec": "uncompressed"}
	many := map[string]int{"x": 200_000, "z": 100}
	spilling := scene{
		name: "spill", rows: map[string]int{"x": 2_000_000}, args: append([]string{"--memory", "64MiB"}, plain...), first: true, by: "bucket(60, n)",
	}
	sorting := scene{
		name: "sorted runs", rows: map[string]int{"x": 600_000}, args: append([]string{"--memory", "64MiB", "--sort-by", "n desc"}, plain...), first: true,
	}
	for _, c := range []struct {
		scene
		limit int
		says  string
	}{
		{scene{name: "data file", rows: many, props: props}, 1 << 20, "stage "},
		{scene{name: "first load", rows: many, args: plain, first: true}, 1 << 20, "stage "},
		{spilling, 4 << 20, "--spill-dir"},
		{sorting, 1 << 20, "--spill-dir"},
		{scene{name: "catalog", rows: map[string]int{"x": 150, "z": 50}}, 1 << 10, ""},
		{scene{name: "catalog's index", rows: map[string]int{"x": 150, "z": 50}}, 31 << 10, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(t, c.scene, venue{})
			before := p.counts()
			code, output := p.run(p.command(envLimit + "=" + fmt.Sprint(c.limit)))
			t.Logf("exit code %d: %s", code, output)
			if code != exitConflict {
				t.Errorf("exit code %d, want %d: %s", code, exitConflict, output)
			}
			if !strings.Contains(output, "hint: ") || !strings.Contains(output, c.says) {
				t.Errorf("the error does not tell what to do: %s", output)
			}
			if got := p.counts(); !same(got, before) {
				t.Errorf("the table has %v, before %v", got, before)
			}
			if l := p.litter(); len(l) > 0 {
				t.Errorf("left behind: %v", l)
			}
			p.check("with a full disk", false)
			y.Survived(t, 1, 2, 3, 5, 8)
		})
	}
}
