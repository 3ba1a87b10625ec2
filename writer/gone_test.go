package writer_test

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"

	iceio "github.com/apache/iceberg-go/io"

	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/publish"
)

// A file whose rows are not those that it was written with is not written anew as if they were: nothing is published, and
// nothing is left behind. Here it is the digest in its footer that is another.
func TestRowsThatStayAreThoseOfTheFile(t *testing.T) {
	for _, c := range []struct {
		name string
		o    writer.Options
		rows []row
	}{
		{"a merge", merging("id"), []row{{2, "ea", 20}, {9, "ea", 9}}},
		{"a merge of most rows", merging("id"), []row{{1, "ea", 10}, {2, "ea", 20}, {3, "ea", 30}}},
		{"a slice", writer.Options{Slice: sliceOf(t, schema, "id = 2"), AllowShrink: true}, []row{{2, "ea", 20}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, spoilt := range []bool{false, true} {
				cat := newTable(t, "region")
				mustLoad(t, cat, writer.Options{}, row{1, "ea", 1}, row{2, "ea", 2}, row{3, "ea", 3}, row{4, "ea", 4}, row{5, "we", 5})
				if spoilt {
					anotherDigest(t, cat)
				}
				before := snapshots(t, cat)
				_, err := loadRows(t, cat, c.o, c.rows...)
				if !spoilt {
					if err != nil {
						t.Fatal(err)
					}
					continue
				}
				var hint interface{ Hint() string }
				if !errors.Is(err, writer.ErrUnaccounted) || !strings.Contains(err.Error(), ".parquet") || !errors.As(err, &hint) {
					t.Errorf("error %v", err)
				}
				if snapshots(t, cat) != before {
					t.Error("a snapshot was published")
				}
				wantLitter(t, cat, 0)
			}
		})
	}
}

var digests = regexp.MustCompile(`1:[0-9a-f]{32}:[0-9]+`)

// anotherDigest changes a digit of the digest in each data file's footer.
func anotherDigest(t *testing.T, cat publish.Catalog) {
	t.Helper()
	fs, err := current(t, cat).FS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range filesOf(t, cat) {
		text, err := fs.(iceio.ReadFileIO).ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text = digests.ReplaceAllFunc(text, func(sum []byte) []byte {
			other := bytes.Clone(sum)
			if other[2]++; sum[2] != '0' {
				other[2] = '0'
			}
			return other
		})
		if err := fs.(iceio.WriteFileIO).WriteFile(path, text); err != nil {
			t.Fatal(err)
		}
	}
}
