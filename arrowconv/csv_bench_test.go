package arrowconv

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
)

const lineitemSchema = `
columns:
  l_orderkey: long
  l_partkey: long
  l_suppkey: long
  l_linenumber: int
  l_quantity: decimal(15, 2)
  l_extendedprice: decimal(15, 2)
  l_discount: decimal(15, 2)
  l_tax: decimal(15, 2)
  l_returnflag: string
  l_linestatus: string
  l_shipdate: date
  l_commitdate: date
  l_receiptdate: date
  l_shipinstruct: string
  l_shipmode: string
  l_comment: string
`

// lineitem is a CSV file of the shape of TPC-H's largest table, its last column quoted, with n rows.
func lineitem(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	b.WriteString("l_orderkey,l_partkey,l_suppkey,l_linenumber,l_quantity,l_extendedprice,l_discount,l_tax," +
		"l_returnflag,l_linestatus,l_shipdate,l_commitdate,l_receiptdate,l_shipinstruct,l_shipmode,l_comment\n")
	date := func() string { return fmt.Sprintf("199%d-%02d-%02d", r.IntN(8), 1+r.IntN(12), 1+r.IntN(28)) }
	words := []string{"furiously", "ironic", "deposits", "sleep, slyly", "final", "requests", "haggle", "packages."}
	for i := range n {
		fmt.Fprintf(&b, "%d,%d,%d,%d,%d,%d.%02d,0.%02d,0.%02d,%c,%c,%s,%s,%s,%s,%s,\"%s %s %s\"\n",
			i/4*8+1, 1+r.IntN(200000), 1+r.IntN(10000), 1+i%4, 1+r.IntN(50), 900+r.IntN(100000), r.IntN(100),
			r.IntN(11), r.IntN(9), "RAN"[r.IntN(3)], "OF"[r.IntN(2)], date(), date(), date(),
			[]string{"DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"}[r.IntN(4)],
			[]string{"REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"}[r.IntN(7)],
			words[r.IntN(8)], words[r.IntN(8)], words[r.IntN(8)])
	}
	return b.Bytes()
}

// benchLineitem is a seeded file of the table, or the one that ICEWRIGHT_BENCH_LINEITEM names, such as TPC-H's own.
func benchLineitem(b *testing.B) []byte {
	if name := os.Getenv("ICEWRIGHT_BENCH_LINEITEM"); name != "" {
		data, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		return data
	}
	return lineitem(1_000_000)
}

func BenchmarkCSV(b *testing.B) {
	schema, err := ParseSchema("lineitem.yaml", []byte(lineitemSchema))
	if err != nil {
		b.Fatal(err)
	}
	data := benchLineitem(b)
	b.SetBytes(int64(len(data)))
	rows := int64(0)
	for b.Loop() {
		in := Input{Name: "lineitem.csv", Reader: bytes.NewReader(data)}
		for batch, err := range Read(b.Context(), in, schema, Options{Workers: 1, Alloc: memory.DefaultAllocator}) {
			if err != nil {
				b.Fatal(err)
			}
			rows += batch.NumRows()
			batch.Release()
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkInferCSV finds the types of all columns by all rows.
func BenchmarkInferCSV(b *testing.B) {
	data := benchLineitem(b)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		in := Input{Name: "lineitem.csv", Reader: bytes.NewReader(data)}
		if _, err := Infer(b.Context(), in, InferOptions{Options: Options{Workers: 1}}); err != nil {
			b.Fatal(err)
		}
	}
}
