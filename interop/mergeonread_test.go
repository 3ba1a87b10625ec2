//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"testing"
)

// Our own tables, merged into twice by position deletes and by deletion vectors: the second merge hits files that have
// deletes, and its delete files take the place of those.
func TestMergeOnRead(t *testing.T) {
	r := newReader(t)
	l := sqliteLake(t)
	l.put(t, "first.csv", "id,region,name\n1,a,n1\n2,a,n2\n3,b,n3\n4,b,n4\n")
	l.put(t, "second.csv", "id,region,name\n1,a,x1\n3,a,n3\n5,b,n5\n")
	l.put(t, "third.csv", "id,region,name\n2,a,x2\n5,b,x5\n")
	text := func(name string) column { return column{name, "string", "", "VARCHAR", byText, nil} }
	want := model{columns: []column{{"id", "long", "", "BIGINT", byNumber, nil}, text("region"), text("name")}}
	for _, cells := range [][3]string{{"1", "a", "x1"}, {"2", "a", "x2"}, {"3", "a", "n3"}, {"4", "b", "n4"}, {"5", "b", "x5"}} {
		want.rows = append(want.rows, row{num(cells[0]), str(cells[1]), str(cells[2])})
	}
	for version := 2; version <= 3; version++ {
		t.Run(fmt.Sprint("v", version), func(t *testing.T) {
			table := fmt.Sprint("interop.onread", version)
			merge := func(source string, more ...string) (got receipt) {
				t.Helper()
				args := append([]string{"load", source, "--table", table, "--mode", "merge", "--key", "id", "--strategy", "merge-on-read", "--output", "json"}, more...)
				if err := json.Unmarshal([]byte(l.icewright(t, args...)), &got); err != nil {
					t.Fatal(err)
				}
				return got
			}
			merge("first.csv", "--partition-by", "region", "--format-version", fmt.Sprint(version))
			for _, source := range []string{"second.csv", "third.csv"} {
				if got := merge(source); got.Status != "published" || got.DeleteFilesAdded != 2 || got.FilesRewritten != 0 {
					t.Errorf("%s: %s, %d delete files, %d files rewritten", source, got.Status, got.DeleteFilesAdded, got.FilesRewritten)
				}
			}
			for _, reader := range engines {
				r.mustHoldFor(t, reader, l, table, want)
			}
		})
	}
}
