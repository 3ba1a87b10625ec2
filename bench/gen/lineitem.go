package gen

import (
	"bufio"
	"io"
	"strconv"
	"time"
)

// Lineitem writes TPC-H's lineitem as CSV with a header: 1,500,000 orders, some 6,000,000 rows, are scale
// factor 1. Values go by the rules of TPC-H's specification, 4.2.3; the random numbers and the comments,
// which are all quoted, are our own. Rows come by order, so ship dates are shuffled over seven years.
func Lineitem(w io.Writer, orders int) error {
	const (
		lastOrder = 2405 // 1998-08-02, in days since 1992-01-01
		current   = 1263 // 1995-06-17, on which orders that were due by then have arrived
	)
	instructions := []string{"DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"}
	modes := []string{"REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"}
	comments := prose(16 << 20)
	dates := dates(lastOrder + 121 + 30 + 1)
	parts := max(orders*2/15, 200)
	suppliers := parts / 20

	out := bufio.NewWriterSize(w, 1<<20)
	b := []byte("l_orderkey,l_partkey,l_suppkey,l_linenumber,l_quantity,l_extendedprice,l_discount,l_tax,l_returnflag,l_linestatus," +
		"l_shipdate,l_commitdate,l_receiptdate,l_shipinstruct,l_shipmode,l_comment\n")
	for order := range orders {
		r := at(seed, uint64(order))
		key := int64(order>>3)<<5 | int64(order&7) + 1 // 8 of each 32 are taken
		ordered := r.between(0, lastOrder)
		for line, lines := 1, r.between(1, 7); line <= lines; line++ {
			part := r.between(1, parts)
			supplier := (part+r.below(4)*(suppliers/4+(part-1)/suppliers))%suppliers + 1
			quantity := r.between(1, 50)
			price := quantity * (90000 + part/10%20001 + 100*(part%1000))
			discount, tax := r.below(11), r.below(9)
			shipped := ordered + r.between(1, 121)
			due := ordered + r.between(30, 90)
			received := shipped + r.between(1, 30)
			returned := byte('N')
			if received <= current {
				returned = "RA"[r.below(2)]
			}
			status := byte('F')
			if shipped > current {
				status = 'O'
			}
			for _, n := range []int64{key, int64(part), int64(supplier), int64(line), int64(quantity)} {
				b = append(strconv.AppendInt(b, n, 10), ',')
			}
			for _, cents := range []int{price, discount, tax} {
				b = append(strconv.AppendInt(b, int64(cents/100), 10), '.', byte('0'+cents/10%10), byte('0'+cents%10), ',')
			}
			b = append(b, returned, ',', status, ',')
			for _, day := range []int{shipped, due, received} {
				b = append(append(b, dates[day]...), ',')
			}
			b = append(append(b, r.of(instructions)...), ',')
			b = append(append(b, r.of(modes)...), ',', '"')
			length, from := r.between(10, 43), r.below(len(comments)-64)
			b = append(append(b, comments[from:from+length]...), '"', '\n')
		}
		if _, err := out.Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	return out.Flush()
}

// dates are n days from 1992-01-01, as CSV has them.
func dates(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = time.Date(1992, 1, 1+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	}
	return all
}
