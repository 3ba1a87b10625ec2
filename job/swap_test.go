package job

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/icewright/icewright/catalog"
)

// A reader that counts while a partition is swapped 200 times never sees another number of rows
// than that of one input or the other: neither both, nor half of one, nor none.
func TestReaderNeverSeesHalf(t *testing.T) {
	swaps := 200
	if testing.Short() {
		swaps = 20
	}
	dir := t.TempDir()
	where := catalog.Config{Dir: dir, Home: dir}
	sizes := []int{100, 150}
	for i, n := range sizes {
		var text strings.Builder
		text.WriteString("p,n\n")
		for row := range n {
			fmt.Fprintf(&text, "x,%d\n", row)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.csv", i)), []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	load := func(i int) {
		t.Helper()
		rec, err := Load(context.Background(), Job{
			Sources: []string{filepath.Join(dir, fmt.Sprintf("%d.csv", i%2))}, Table: "a.t", PartitionBy: "p", Catalog: where,
		})
		if err != nil || rec.Status != Published {
			t.Fatalf("swap %d: %s, %v", i, rec.Status, err)
		}
	}
	load(0)

	stop, reads := make(chan struct{}), make(chan int)
	go func() {
		seen, n := map[int]int{}, 0
		defer func() {
			if len(seen) > 2 || seen[sizes[0]]+seen[sizes[1]] != n {
				t.Errorf("the reader saw %v", seen)
			}
			reads <- n
		}()
		for {
			select {
			case <-stop:
				return
			default:
			}
			count, err := countRows(Target{Catalog: where, Table: "a.t"})
			if err != nil {
				t.Errorf("read %d: %v", n, err)
				return
			}
			seen[count]++
			n++
			time.Sleep(5 * time.Millisecond) // leave the writer some of the machine
		}
	}()
	for i := 1; i <= swaps; i++ {
		load(i)
	}
	close(stop)
	if n := <-reads; n < swaps/10 {
		t.Errorf("only %d reads during %d swaps", n, swaps)
	} else {
		t.Logf("%d reads during %d swaps", n, swaps)
	}
}

func countRows(target Target) (int, error) {
	rows, err := Show(context.Background(), target, Query{})
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	n := 0
	for rec, err := range rows.All {
		if err != nil {
			return 0, err
		}
		n += int(rec.NumRows())
		rec.Release()
	}
	return n, nil
}
