package derive

import (
	"encoding/json"
	"iter"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/nearest"
)

// Texts say how texts are read as values.
type Texts struct {
	// Zone is that of texts without one. Default, nil: UTC.
	Zone *time.Location
	// DecimalComma reads 12,50 as twelve and a half. Default: false.
	DecimalComma bool
}

func (t Texts) point() byte {
	if t.DecimalComma {
		return ','
	}
	return '.'
}

// binder knows what expressions are bound to.
type binder struct {
	schema *iceberg.Schema
	texts  Texts
	column string // that is being bound
}

func (b *binder) bind(e expr) (node, error) {
	switch e := e.(type) {
	case column:
		fields := b.schema.Fields()
		i := slices.IndexFunc(fields, func(f iceberg.NestedField) bool { return f.Name == e.name })
		if i < 0 {
			var known []string
			for _, f := range fields {
				known = append(known, f.Name)
			}
			hint := "names count as they are written; odd ones go in double quotes"
			if near := nearest.Name(e.name, known); near != "" {
				hint = "did you mean " + near + "?"
			}
			return node{}, wrong(hint, "neither the table nor the input has a column %q", e.name)
		}
		return node{typ: fields[i].Type, array: func(r *rows) arrow.Array {
			a := r.batch.Column(i)
			a.Retain()
			return a
		}}, nil
	case literal:
		n := node{typ: e.typ}
		switch v := e.value.(type) {
		case string:
			n.text = &v
			n.array = func(r *rows) arrow.Array { return r.strings(func(int) (string, bool) { return v, true }) }
		case int64:
			n.array = constant(array.NewInt64Builder, v)
		case bool:
			n.array = constant(array.NewBooleanBuilder, v)
		}
		return n, nil
	}
	c := e.(call)
	var args []node
	for _, a := range c.args {
		n, err := b.bind(a)
		if err != nil {
			return node{}, err
		}
		args = append(args, n)
	}
	return c.fn.bind(b, c, args)
}

// of binds the expression of c, and names it in what is wrong.
func (b *binder) of(c Column) (node, error) {
	b.column = c.Name
	n, err := b.bind(c.expr)
	if bad, ok := err.(*Error); ok {
		err = &Error{c.Name + ": " + bad.Text, bad.Advice}
	}
	return n, err
}

// Types are the columns' types over rows of schema, optional ones without ids. Errors are *Error.
func (l List) Types(schema *iceberg.Schema, texts Texts) (fields []iceberg.NestedField, err error) {
	b := &binder{schema: schema, texts: texts}
	for _, c := range l {
		n, err := b.of(c)
		if err != nil {
			return nil, err
		}
		fields = append(fields, iceberg.NestedField{Name: c.Name, Type: n.typ})
	}
	return fields, nil
}

// Program computes rows. It is for one goroutine at a time.
type Program struct {
	to      *arrow.Schema
	columns []computed
	alloc   memory.Allocator
}

// computed is a column of the result: that of the input at from, or what an expression gives.
type computed struct {
	from int // -1 for expressions
	name string
	node node
	conv *arrowconv.Conversion
}

// Bind plans rows of to, which has the columns of l, from rows of read, which has all others of to and what the
// expressions need. Results are converted to the types of to as the values of inputs are. A nil alloc is the default. Errors are *Error.
func (l List) Bind(read, to *iceberg.Schema, texts Texts, alloc memory.Allocator) (*Program, error) {
	if alloc == nil {
		alloc = memory.DefaultAllocator
	}
	schema, err := arrowconv.ArrowSchema(to)
	if err != nil {
		return nil, err
	}
	p := &Program{to: schema, alloc: alloc}
	b := &binder{schema: read, texts: texts}
	for _, f := range to.Fields() {
		i := slices.IndexFunc(l, func(c Column) bool { return c.Name == f.Name })
		if i < 0 {
			from := slices.IndexFunc(read.Fields(), func(r iceberg.NestedField) bool { return r.Name == f.Name })
			p.columns = append(p.columns, computed{from: from})
			continue
		}
		n, err := b.of(l[i])
		if err != nil {
			return nil, err
		}
		conv, err := arrowconv.NewConversion(n.typ, f, texts.Zone, texts.point())
		if err != nil {
			return nil, wrong("say cast(… as "+arrowconv.FormatType(f.Type)+") of something that has such values", "%s: column %q of the table is %s, and %v",
				f.Name, f.Name, arrowconv.FormatType(f.Type), err)
		}
		p.columns = append(p.columns, computed{from: -1, name: f.Name, node: n, conv: conv})
	}
	return p, nil
}

// Rows computes batch after batch. Rows for which a value cannot be computed go to reject; where that is nil, the
// first ends the sequence with an *arrowconv.RowError.
func (p *Program) Rows(in iter.Seq2[arrowconv.Batch, error], reject func(arrowconv.Reject) error) iter.Seq2[arrowconv.Batch, error] {
	return func(yield func(arrowconv.Batch, error) bool) {
		for b, err := range in {
			if err == nil {
				b, err = p.batch(b, reject)
			}
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// rows is a batch that is being computed.
type rows struct {
	batch  arrowconv.Batch
	n      int
	alloc  memory.Allocator
	row    []int64
	column string
	bad    map[int]arrowconv.Reject // by place in the batch
}

func (p *Program) batch(b arrowconv.Batch, reject func(arrowconv.Reject) error) (arrowconv.Batch, error) {
	defer b.Release()
	r := &rows{batch: b, n: int(b.NumRows()), alloc: p.alloc, bad: map[int]arrowconv.Reject{}}
	out := make([]arrow.Array, len(p.columns))
	defer func() { release(out) }()
	var absent []int
	for i, c := range p.columns {
		if c.from >= 0 {
			out[i] = b.Column(c.from)
			out[i].Retain()
			if slices.Contains(b.Absent, c.from) {
				absent = append(absent, i)
			}
			continue
		}
		r.column = c.name
		value := c.node.array(r)
		out[i] = r.convert(c.conv, value)
		value.Release()
	}
	done := b
	done.Absent, done.RecordBatch = absent, nil
	if len(r.bad) > 0 {
		places := make([]int, 0, len(r.bad))
		for i := range r.bad {
			places = append(places, i)
		}
		slices.Sort(places)
		numbers := r.numbers()
		rejected := slices.Clone(b.Rejected)
		for _, i := range places {
			bad := r.bad[i]
			bad.Source, bad.Row, bad.Raw = b.Source, numbers[i], rowJSON(b, i)
			if reject == nil {
				return arrowconv.Batch{}, &arrowconv.RowError{Reject: bad}
			}
			if err := reject(bad); err != nil {
				return arrowconv.Batch{}, err
			}
			rejected = append(rejected, bad.Row)
		}
		slices.Sort(rejected)
		done.Rejected = rejected
		for i, a := range out {
			kept, err := without(a, places, p.alloc)
			if err != nil {
				return arrowconv.Batch{}, err
			}
			a.Release()
			out[i] = kept
		}
	}
	done.RecordBatch = array.NewRecordBatch(p.to, out, int64(r.n-len(r.bad)))
	return done, nil
}

// without is a without the values at places, which ascend.
func without(a arrow.Array, places []int, alloc memory.Allocator) (arrow.Array, error) {
	var runs []arrow.Array
	defer func() { release(runs) }()
	from := 0
	for _, i := range append(slices.Clone(places), a.Len()) {
		if i > from {
			runs = append(runs, array.NewSlice(a, int64(from), int64(i)))
		}
		from = i + 1
	}
	if len(runs) == 0 {
		return array.NewSlice(a, 0, 0), nil
	}
	return array.Concatenate(runs, alloc)
}

// rowJSON is a row as it was read, for whoever has to mend it.
func rowJSON(b arrowconv.Batch, i int) []byte {
	text := []byte{'{'}
	for c, f := range b.Schema().Fields() {
		if c > 0 {
			text = append(text, ',')
		}
		name, _ := json.Marshal(f.Name)
		value, err := json.Marshal(b.Column(c).GetOneForMarshal(i))
		if err != nil { // NaN and the infinities, which JSON lacks
			value, _ = json.Marshal(b.Column(c).ValueStr(i))
		}
		text = append(append(append(text, name...), ':'), value...)
	}
	return append(text, '}')
}

// convert runs a conversion; of a row's faults the first counts.
func (r *rows) convert(c *arrowconv.Conversion, a arrow.Array) arrow.Array {
	out, bad := c.Run(a, r.alloc)
	for _, b := range bad {
		if _, ok := r.bad[int(b.Row)]; !ok {
			b.Column = r.column
			r.bad[int(b.Row)] = b
		}
	}
	return out
}

// numbers are those of the rows in their input.
func (r *rows) numbers() []int64 {
	if r.row == nil && r.n > 0 {
		r.row = make([]int64, r.n)
		at, rejected := r.batch.FirstRow, r.batch.Rejected
		for i := range r.row {
			for len(rejected) > 0 && rejected[0] == at {
				at, rejected = at+1, rejected[1:]
			}
			r.row[i] = at
			at++
		}
	}
	return r.row
}

// strings makes a column of texts; not ok is null.
func (r *rows) strings(value func(i int) (text string, ok bool)) arrow.Array {
	b := array.NewStringBuilder(r.alloc)
	defer b.Release()
	b.Reserve(r.n)
	for i := range r.n {
		if text, ok := value(i); ok {
			b.Append(text)
		} else {
			b.AppendNull()
		}
	}
	return b.NewArray()
}

func (r *rows) all(nodes []node) []arrow.Array {
	out := make([]arrow.Array, len(nodes))
	for i, n := range nodes {
		out[i] = n.array(r)
	}
	return out
}

func release(arrays []arrow.Array) {
	for _, a := range arrays {
		if a != nil {
			a.Release()
		}
	}
}

// constant makes a column of one value.
func constant[T any, B interface {
	Append(T)
	NewArray() arrow.Array
	Release()
}](builder func(memory.Allocator) B, v T) func(*rows) arrow.Array {
	return func(r *rows) arrow.Array {
		b := builder(r.alloc)
		defer b.Release()
		for range r.n {
			b.Append(v)
		}
		return b.NewArray()
	}
}
