// Package digest defines the content checksum of a set of rows. It depends on neither
// their order nor on file layout, batch size or workers.
package digest

import (
	"fmt"
	"math/bits"
)

// FooterKey is the key under which a data file's Parquet footer holds Sum.String() of its rows.
const FooterKey = "icewright.digest"

// Sum is the digest of a set of rows: the number of rows, and the sum modulo 2^128 of a
// 128-bit hash per row. The zero Sum is that of no rows. Sums of disjoint sets add.
type Sum struct {
	Rows   int64
	Hi, Lo uint64
}

// Add returns the digest of the union of two disjoint sets of rows.
func (s Sum) Add(o Sum) Sum {
	lo, carry := bits.Add64(s.Lo, o.Lo, 0)
	hi, _ := bits.Add64(s.Hi, o.Hi, carry)
	return Sum{Rows: s.Rows + o.Rows, Hi: hi, Lo: lo}
}

// String is the form that footers, summaries and receipts carry: "1:" (the version of the
// hash), 32 hexadecimal digits, ":" and the number of rows.
func (s Sum) String() string { return fmt.Sprintf("1:%016x%016x:%d", s.Hi, s.Lo, s.Rows) }

// Parse reads what String wrote; ok is false for anything else, an unknown version included.
func Parse(text string) (s Sum, ok bool) {
	n, err := fmt.Sscanf(text, "1:%16x%16x:%d", &s.Hi, &s.Lo, &s.Rows)
	if err != nil || n != 3 || s.String() != text {
		return Sum{}, false
	}
	return s, true
}
