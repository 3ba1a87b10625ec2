package merge

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/writer/bloom"
	"github.com/icewright/icewright/writer/live"
)

// probes are the values of the keys of a small input, one by one, to be looked up in the bounds and the Bloom filters
// of row groups. Of a large input hardly any row group can be without one, and they are not kept.
//
// Whether a filter is asked depends on what that costs: it is read where its bytes are fewer than those of the key's
// columns, and where the keys within the row group's bounds are so few that the filter has a chance to say no to all of
// them. A filter that is wrong about one value in a hundred says yes to one of 64 every second time.
type probes struct {
	columns []keyColumn
	values  [][][]byte // by column, then row: the bytes of plain encoding; nil for a column of another kind
	rows    int
	over    bool // there are too many rows
}

const (
	// probeRows is how many rows an input may have for its keys to be looked up.
	probeRows = 4096
	// probeKeys is how many keys are looked up in one filter.
	probeKeys = 64
)

func newProbes(k *keys) *probes {
	return &probes{columns: k.columns, values: make([][][]byte, len(k.columns))}
}

// add takes the keys of rec's rows in.
func (p *probes) add(rec arrow.RecordBatch) error {
	if p.rows += int(rec.NumRows()); p.rows > probeRows {
		p.values, p.over = nil, true
		return nil
	}
	for i, c := range p.columns {
		arr, err := columnOf(rec, c.ID, c.Name)
		if err != nil {
			return err
		}
		if ext, ok := arr.(array.ExtensionArray); ok {
			arr = ext.Storage()
		}
		for row := range arr.Len() {
			if v, ok := plainValue(arr, row); ok {
				p.values[i] = append(p.values[i], v)
			}
		}
	}
	return nil
}

// plainValue is a value as Parquet's plain encoding has it, without a text's length, which is also what bounds have. ok is
// false for the types of which files differ.
func plainValue(arr arrow.Array, row int) (v []byte, ok bool) {
	switch a := arr.(type) {
	case *array.Int32:
		return binary.LittleEndian.AppendUint32(nil, uint32(a.Value(row))), true
	case *array.Date32:
		return binary.LittleEndian.AppendUint32(nil, uint32(a.Value(row))), true
	case *array.Int64:
		return binary.LittleEndian.AppendUint64(nil, uint64(a.Value(row))), true
	case *array.Time64:
		return binary.LittleEndian.AppendUint64(nil, uint64(a.Value(row))), true
	case *array.Timestamp:
		return binary.LittleEndian.AppendUint64(nil, uint64(a.Value(row))), true
	case *array.String:
		return []byte(a.Value(row)), true
	case *array.Binary:
		return bytes.Clone(a.Value(row)), true
	case *array.FixedSizeBinary:
		return bytes.Clone(a.Value(row)), true
	}
	return nil, false
}

// mayHold tells whether a row group of f may have one of the keys: by its bounds, then by its page index, then by its filters.
func (p *probes) mayHold(ctx context.Context, f *live.File, tbl *table.Table, g live.RowGroup) (bool, error) {
	if p.over {
		return true, nil
	}
	left, err := p.inPages(ctx, f, tbl, g, p.within(g))
	if err != nil || len(left) == 0 {
		return false, err
	}
	var asked []int // columns
	var filters, chunks int64
	for i, c := range p.columns {
		if chunk, ok := g.Chunks[c.ID]; ok && len(p.values[i]) == p.rows {
			asked = append(asked, i)
			filters += chunk.FilterLength
			chunks += chunk.Bytes
		}
	}
	if len(asked) == 0 || len(left) > probeKeys || filters > chunks {
		return true, nil
	}
	for _, i := range asked {
		filter, err := f.Filter(ctx, tbl, g.Chunks[p.columns[i].ID])
		if err != nil {
			return false, fmt.Errorf("read a Bloom filter of %s: %w", f.DataFile().FilePath(), err)
		}
		if filter == nil {
			continue
		}
		kept := left[:0]
		for _, row := range left {
			if filter.Has(bloom.Hash(p.values[i][row])) {
				kept = append(kept, row)
			}
		}
		if left = kept; len(left) == 0 {
			return false, nil
		}
	}
	return true, nil
}

// within are the rows whose keys lie within the bounds of a row group.
func (p *probes) within(g live.RowGroup) []int {
	left := make([]int, 0, p.rows)
	lower, upper := g.Facts.LowerBoundValues(), g.Facts.UpperBoundValues()
rows:
	for row := range p.rows {
		for i, c := range p.columns {
			lo, hi := lower[c.ID], upper[c.ID]
			if len(p.values[i]) != p.rows || lo == nil || hi == nil {
				continue
			}
			if v := p.values[i][row]; before(c, v, lo) || before(c, hi, v) {
				continue rows
			}
		}
		left = append(left, row)
	}
	return left
}

// before tells whether a value of a column comes before another; false where it cannot be told.
func before(c keyColumn, a, b []byte) bool {
	switch {
	case c.width == 0: // texts
		return bytes.Compare(a, b) < 0
	case len(a) == 4 && len(b) == 4 && c.width == 4:
		return int32(binary.LittleEndian.Uint32(a)) < int32(binary.LittleEndian.Uint32(b))
	case len(a) == 8 && len(b) == 8 && c.width == 8:
		return int64(binary.LittleEndian.Uint64(a)) < int64(binary.LittleEndian.Uint64(b))
	}
	return false
}
