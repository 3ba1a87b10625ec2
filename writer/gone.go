package writer

import (
	"context"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/slice"
)

// gone sums up the rows that go of files that are rewritten. With the digest of the rows that stay they make that of the
// files: rows that are lost, doubled or taken for others on the way show there, and in no count as long as they are as many.
type gone struct {
	hasher *digest.Hasher
	sum    digest.Sum
}

func newGone(schema *iceberg.Schema) (*gone, error) {
	h, err := digest.NewHasher(schema)
	return &gone{hasher: h}, err
}

// but is stays, which tells the rows of a batch that stay, and adds the others to the sum.
func (g *gone) but(stays func(arrow.RecordBatch) (*slice.Selection, error)) func(arrow.RecordBatch) (*slice.Selection, error) {
	return func(rec arrow.RecordBatch) (*slice.Selection, error) {
		sel, err := stays(rec)
		if err == nil && sel != nil {
			g.add(rec, sel)
		}
		return sel, err
	}
}

func (g *gone) add(rec arrow.RecordBatch, stay *slice.Selection) {
	if goes := stay.Len() - stay.Count(); goes > stay.Len()/8 {
		g.sum = g.sum.Add(g.hasher.SumOf(rec, func(i int) bool { return !stay.Inside(i) }))
		return
	}
	for i := 0; i < stay.Len(); i++ {
		from := i
		for i < stay.Len() && !stay.Inside(i) {
			i++
		}
		if i > from {
			part := rec.NewSlice(int64(from), int64(i))
			g.sum = g.sum.Add(g.hasher.Sum(part))
			part.Release()
		}
	}
}

// account returns ErrUnaccounted where the rows that stay of files, with those that go, are others than the files have by the
// digests in their footers. Files with deletes, and those that somebody else wrote, have none that tells.
func (g *gone) account(ctx context.Context, tbl *table.Table, files []*live.File, stay digest.Sum) error {
	var names []string
	for _, f := range files {
		if len(f.Deletes) > 0 {
			return nil
		}
		names = append(names, f.DataFile().FilePath())
	}
	known, err := live.Digests(ctx, tbl, files)
	if err != nil || len(known) < len(files) {
		return err
	}
	var had digest.Sum
	for _, sum := range known {
		had = had.Add(sum)
	}
	if now := stay.Add(g.sum); now != had {
		if len(names) > 3 {
			names = append(names[:3], fmt.Sprintf("%d more", len(names)-3))
		}
		return &changedRows{fmt.Errorf("%w: the rows of files that are rewritten (%s) are not those that they were written with: digest %s, and %s in their footers",
			ErrUnaccounted, strings.Join(names, ", "), now, had)}
	}
	return nil
}

// changedRows says that the rows of a file are others than its digest says.
type changedRows struct{ error }

func (e *changedRows) Unwrap() error { return e.error }

func (*changedRows) Hint() string {
	return "nothing was published; a file that was damaged in storage goes when its partition is loaded anew from its source, by mode replace"
}
