package stage

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/writer/slice"
)

// Partitions tells the partitions of rows as Stage routes them. It is for one goroutine.
type Partitions struct{ p *partitioner }

// NewPartitions returns the Partitions of batches with the columns of schema, which has spec's source
// columns and may lack others. Errors wrap ErrUnsupported.
func NewPartitions(schema *iceberg.Schema, spec iceberg.PartitionSpec) (*Partitions, error) {
	p, err := newPartitioner(schema, spec)
	return &Partitions{p}, err
}

// Of returns the number of each row's partition, in order of first appearance. The result is valid
// until the next call.
func (p *Partitions) Of(rec arrow.RecordBatch) []int32 { return p.p.number(rec) }

// Partition returns the partition with a number that Of gave.
func (p *Partitions) Partition(number int) slice.Partition { return p.p.partition(number) }

// partitioner numbers the partitions of a spec in order of first appearance.
type partitioner struct {
	schema *iceberg.Schema
	spec   iceberg.PartitionSpec
	fields []*fieldNumbers
	// pairs number combinations: of the first two fields, of that number and the third, and so on.
	pairs []map[uint64]int32
	// tuples holds the number of each field's value, by partition.
	tuples [][]int32
	rows   []int32
}

func newPartitioner(schema *iceberg.Schema, spec iceberg.PartitionSpec) (*partitioner, error) {
	p := &partitioner{schema: schema, spec: spec}
	for i := range p.spec.NumFields() {
		f := p.spec.Field(i)
		t, err := newTransformer(p.schema, f.SourceID(), f.Transform)
		if err != nil {
			return nil, err
		}
		p.fields = append(p.fields, newFieldNumbers(t))
		if i > 0 {
			p.pairs = append(p.pairs, map[uint64]int32{})
		}
	}
	return p, nil
}

// number returns each row's partition. The result is valid until the next call.
func (p *partitioner) number(rec arrow.RecordBatch) []int32 {
	n := int(rec.NumRows())
	p.rows = growTo(p.rows, n)
	if len(p.fields) == 0 {
		clear(p.rows)
		if len(p.tuples) == 0 {
			p.tuples = append(p.tuples, nil)
		}
		return p.rows
	}
	copy(p.rows, p.fields[0].number(rec))
	for k, pairs := range p.pairs {
		combine(pairs, p.rows, p.fields[k+1].number(rec))
	}
	p.note(n)
	return p.rows
}

// combine replaces a[i] by the number of (a[i], b[i]).
func combine(pairs map[uint64]int32, a, b []int32) {
	last, lastNumber := ^uint64(0), int32(0)
	for i := range a {
		pair := uint64(a[i])<<32 | uint64(uint32(b[i]))
		if pair != last {
			number, ok := pairs[pair]
			if !ok {
				number = int32(len(pairs))
				pairs[pair] = number
			}
			last, lastNumber = pair, number
		}
		a[i] = lastNumber
	}
}

// note remembers the tuples of partitions that the last n rows were the first of.
func (p *partitioner) note(n int) {
	for i := 0; i < n; i++ {
		if int(p.rows[i]) < len(p.tuples) {
			continue
		}
		tuple := make([]int32, len(p.fields))
		for k, f := range p.fields {
			tuple[k] = f.rows[i]
		}
		p.tuples = append(p.tuples, tuple)
	}
}

// partition returns the partition with the given number.
func (p *partitioner) partition(number int) slice.Partition {
	vals := make(map[int]any, len(p.fields))
	for k, f := range p.fields {
		vals[p.spec.Field(k).FieldID] = f.values[p.tuples[number][k]]
	}
	return slice.NewPartition(p.spec, p.schema, vals)
}

// fieldNumbers numbers the values of one partition field in order of first appearance.
type fieldNumbers struct {
	*transformer
	words  map[int64]int32
	texts  map[string]int32
	null   int32 // number of the null value, -1 while there was none
	values []any
	rows   []int32

	// near numbers words close to nearBase without hashing: days, months and buckets, the usual
	// partition values, are small ranges. 0 is unknown, else the number plus 1.
	near     []int32
	nearBase int64
}

const nearSize = 1 << 16

func newFieldNumbers(t *transformer) *fieldNumbers {
	return &fieldNumbers{transformer: t, words: map[int64]int32{}, texts: map[string]int32{}, null: -1}
}

func (f *fieldNumbers) number(rec arrow.RecordBatch) []int32 {
	f.rows = growTo(f.rows, int(rec.NumRows()))
	v := f.apply(rec)
	if f.wide {
		f.numberTexts(v)
	} else {
		f.numberWords(v)
	}
	return f.rows
}

func (f *fieldNumbers) add(v any) int32 {
	f.values = append(f.values, v)
	return int32(len(f.values) - 1)
}

func (f *fieldNumbers) numberNull() int32 {
	if f.null < 0 {
		f.null = f.add(nil)
	}
	return f.null
}

func (f *fieldNumbers) numberWords(v values) {
	for i, w := range v.words[:len(f.rows)] {
		if v.null != nil && v.null[i] {
			f.rows[i] = f.numberNull()
			continue
		}
		if f.near == nil {
			f.near, f.nearBase = make([]int32, nearSize), w-nearSize/2
		}
		if at := uint64(w - f.nearBase); at < nearSize {
			if f.near[at] == 0 {
				f.near[at] = f.add(f.value(w, nil)) + 1
			}
			f.rows[i] = f.near[at] - 1
			continue
		}
		number, ok := f.words[w]
		if !ok {
			number = f.add(f.value(w, nil))
			f.words[w] = number
		}
		f.rows[i] = number
	}
}

func (f *fieldNumbers) numberTexts(v values) {
	var last []byte
	lastNumber := int32(-1)
	for i, t := range v.texts[:len(f.rows)] {
		if v.null != nil && v.null[i] {
			f.rows[i] = f.numberNull()
			continue
		}
		if lastNumber < 0 || string(t) != string(last) {
			number, ok := f.texts[string(t)]
			if !ok {
				number = f.add(f.value(0, t))
				f.texts[string(t)] = number
			}
			last, lastNumber = t, number
		}
		f.rows[i] = lastNumber
	}
}
