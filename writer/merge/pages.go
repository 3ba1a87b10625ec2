package merge

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/writer/live"
)

// inPages leaves, of rows whose keys lie within the bounds of a row group of f, those whose keys may be in it by its page
// index: some row of it is, in each key column, in a page whose bounds the key's value lies within. Pages of different columns do not
// begin at the same rows, so it is rows that must meet.
func (p *probes) inPages(ctx context.Context, f *live.File, tbl *table.Table, g live.RowGroup, rows []int) ([]int, error) {
	var ids, of []int // columns by field id and by number
	for i, c := range p.columns {
		if _, ok := g.Indexed(c.ID); ok && len(p.values[i]) == p.rows {
			ids, of = append(ids, c.ID), append(of, i)
		}
	}
	if len(ids) == 0 {
		return rows, nil
	}
	pages, err := f.Pages(ctx, tbl, g, ids)
	if err != nil {
		return nil, fmt.Errorf("read the page index of %s: %w", f.DataFile().FilePath(), err)
	}
	kept := rows[:0]
	var left, next []span
	for _, row := range rows {
		left = append(left[:0], span{0, g.Rows})
		for n, i := range of {
			if known, ok := pages[ids[n]]; ok {
				next = meet(next[:0], left, known, func(page live.Page) bool { return mayLie(p.columns[i], p.values[i][row], page) })
				left, next = next, left
			}
		}
		if len(left) > 0 {
			kept = append(kept, row)
		}
	}
	return kept, nil
}

// span are rows of a row group, from one up to another.
type span struct{ first, end int64 }

// meet adds to dst the rows of spans that are in pages of which may tells. Both are in order.
func meet(dst, spans []span, pages []live.Page, may func(live.Page) bool) []span {
	for _, page := range pages {
		for len(spans) > 0 && spans[0].end <= page.First {
			spans = spans[1:]
		}
		if len(spans) == 0 {
			break
		}
		if spans[0].first >= page.End || !may(page) {
			continue
		}
		for _, s := range spans {
			if s.first >= page.End {
				break
			}
			dst = append(dst, span{max(s.first, page.First), min(s.end, page.End)})
		}
	}
	return dst
}

// mayLie tells whether a page may have a value of a column.
func mayLie(c keyColumn, v []byte, page live.Page) bool {
	switch {
	case page.Null:
		return false
	case page.Lower == nil:
		return true
	}
	return !before(c, v, page.Lower) && !before(c, page.Upper, v)
}
