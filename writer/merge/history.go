package merge

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
)

// A history is a table that keeps what was: a row is a version, which held from its From on until its To. The rows
// of the input are changes, each effective from a time on. A key's changes are a map from times to contents, or to the
// fact that there was nothing any more, and the table is nothing but another way to write that map down:
//
//   - a change with contents at e is the row [e, next), where next is the time of the key's next change of
//     either kind, or null;
//   - a delete at e is where a row ends and none begins. Where no row ends at e, since there was nothing before
//     or that was deleted as well, it is the row [e, e), which held at no time and has no contents.
//
// So the changes can be told from the table, and loading is putting more of them into the map: the table is
// the same in whatever order and in however many loads they come. That is why two changes with the same contents
// are two versions, even as neighbours: A at 1 and A at 3 are not A at 1, since B at 2 makes A, B, A of the one,
// and A, B of the other.

// History are the columns of a table that keeps versions, and the input's that says when they begin.
type History struct {
	// From is when a version begins, and To when the next one does, or it was deleted; null: it still holds. They are
	// integers, dates or timestamps, both of one type. The input has neither.
	From, To string
	// Current is a boolean, true where To is null. The default, "", is none.
	Current string
	// Effective is the input's column with what becomes From. It may be a column of the table as well, and it may be
	// From itself.
	Effective string
}

// Columns are the table's.
func (h History) Columns() []string {
	if h.Current == "" {
		return []string{h.From, h.To}
	}
	return []string{h.From, h.To, h.Current}
}

// forever is the To of what still holds.
const forever = math.MaxInt64

// history is a History of one schema, and what it knows of the input's rows.
type history struct {
	History
	from, to, effective *ordered
	current             iceberg.NestedField
	columns             []int   // of the schema, by position, that the input does not fill
	effects             []int64 // by input row: when it is effective
}

// NoTimes says why versions cannot begin and end at values of a type; "" where they can.
func NoTimes(t iceberg.Type) string {
	switch t.(type) {
	case iceberg.Int32Type, iceberg.Int64Type, iceberg.DateType, iceberg.TimestampType, iceberg.TimestampTzType,
		iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return ""
	case iceberg.Float32Type, iceberg.Float64Type:
		return "which may be rounded otherwise the next time, and then one change would be two versions"
	case iceberg.TimeType:
		return "which comes again every day"
	case iceberg.StringType:
		return "and texts are not in the order of the times that they may tell"
	case iceberg.DecimalType:
		return "and versions begin at whole numbers"
	}
	return "which tells no time"
}

// newHistory resolves the columns of a history. Errors wrap ErrColumn.
func newHistory(schema *iceberg.Schema, o Options) (*history, error) {
	h := &history{History: *o.History}
	for i, name := range h.Columns() {
		f, err := column(schema, "--history", name)
		if err != nil {
			return nil, err
		}
		for flag, of := range map[string][]string{"--key": o.Key, "--ignore-columns": o.Ignore, "--latest-by": {o.LatestBy}, "--if-newer": {o.IfNewer}} {
			if slices.Contains(of, name) {
				return nil, fail(ErrColumn, "name a column of the input there", "--history: %s names column %q as well, which is not the input's to say", flag, name)
			}
		}
		switch {
		case i < 2 && NoTimes(f.Type) != "":
			return nil, fail(ErrColumn, "it has to be a date, a timestamp or an integer", "--history: column %q is a %s, %s", name, typeName(f.Type), NoTimes(f.Type))
		case i == 2 && f.Type != iceberg.PrimitiveTypes.Bool:
			return nil, fail(ErrColumn, "the third column of --history is true for what still holds; leave it out where the table has none",
				"--history: column %q is a %s, and no boolean", name, typeName(f.Type))
		case i == 1 && f.Required:
			return nil, fail(ErrColumn, "it is null in what still holds: make it optional", "--history: column %q is required", name)
		}
		o := &ordered{NestedField: f}
		switch i {
		case 0:
			h.from = o
		case 1:
			h.to = o
		default:
			h.current = f
		}
		if name != h.Effective {
			h.columns = append(h.columns, slices.IndexFunc(schema.Fields(), func(of iceberg.NestedField) bool { return of.ID == f.ID }))
		}
	}
	if !h.from.Type.Equals(h.to.Type) {
		return nil, fail(ErrColumn, "give both the same type", "--history: column %q is a %s, and %q a %s", h.From, h.from.Type, h.To, h.to.Type)
	}
	h.effective = &ordered{NestedField: iceberg.NestedField{Name: h.Effective, Type: h.from.Type}}
	if f, ok := schema.FindFieldByName(h.Effective); ok {
		h.effective.NestedField = f
		if !f.Type.Equals(h.from.Type) {
			return nil, fail(ErrColumn, "they have to be of one type", "--effective: column %q is a %s, and %q, which gets its values, a %s",
				h.Effective, typeName(f.Type), h.From, h.from.Type)
		}
	}
	return h, nil
}

// take notes when b's rows are effective. Errors wrap ErrKey and arrowconv.ErrInput.
func (h *history) take(b arrowconv.Batch) error {
	for _, c := range h.columns {
		if !slices.Contains(b.Absent, c) {
			name := b.Schema().Field(c).Name
			return fail(arrowconv.ErrInput, "leave it out with --columns, or under another name; a column that says when its rows begin is named by --effective",
				"%s: the input has a column %q, which --history keeps: when a version ends is told by the one after it", b.Source, name)
		}
	}
	at := b.Schema().FieldIndices(h.Effective)
	if len(at) != 1 || slices.Contains(b.Absent, at[0]) {
		return fail(ErrKey, "every row needs its time", "%s: the input has no column %q, which --effective names", b.Source, h.Effective)
	}
	arr := b.Column(at[0])
	if arr.NullN() > 0 {
		return fail(ErrKey, "give every row its time, or leave such rows out", "%s: %s: column %q is null, which --effective names, so nothing tells since when the row holds",
			b.Source, rowsWhere(b, arr.Len(), arr.IsNull), h.Effective)
	}
	times, err := h.effective.ofArray(arr)
	if err != nil {
		return err
	}
	if slices.Contains(times.numbers, forever) {
		return fail(ErrKey, "give every row its time", "%s: %s: column %q is the largest number there is, which stands for no end", b.Source,
			rowsWhere(b, arr.Len(), func(i int) bool { return times.numbers[i] == forever }), h.Effective)
	}
	h.effects = append(h.effects, times.numbers...)
	return nil
}

// rowsWhere names the first few rows of a batch, of n, of which is tells.
func rowsWhere(b arrowconv.Batch, n int, is func(int) bool) string {
	var rows []string
	more := ""
	for i := range n {
		switch {
		case !is(i):
		case len(rows) == most:
			more = " and more"
		default:
			rows = append(rows, fmt.Sprint(b.RowNumber(i)))
		}
	}
	noun := "row "
	if len(rows) > 1 {
		noun = "rows "
	}
	return noun + strings.Join(rows, ", ") + more
}

// wholeVersions refuses sources whose versions would lack something: what a change does not say would have to be guessed
// from the version before it, which may come later. Deletes say nothing anyway.
func (in *Input) wholeVersions() error {
	for _, b := range in.batches {
		for _, c := range in.layouts[b.layout].absent {
			name := in.schema.Field(c).Name
			if slices.Contains(in.o.Ignore, name) {
				continue
			}
			for row := b.first; row < b.first+b.rows; row++ {
				if !in.isDelete(row) {
					return fail(arrowconv.ErrInput, "add the column to the input; one that --ignore-columns names may be lacking",
						"%s: the input has no column %q, and a version of a history is a whole row", b.origin.Source, name)
				}
			}
		}
	}
	return nil
}

// chains are the rows of a part that count, key by key, in the order of their times.
type chains struct {
	rows   []int32 // positions in the part
	starts []int32 // where each chain begins in rows, and where the last one ends
}

func (c *chains) of(chain int32) []int32 { return c.rows[c.starts[chain]:c.starts[chain+1]] }

// chainBytes is about what a row takes there, beside what any row of a part does.
const chainBytes = 4 + 4 + 16

// chain makes the keys of k be found, as numbers of chains.
func (in *Input) chain(k *part) {
	c := &chains{rows: in.ordered(&k.keyed)}
	c.rows = slices.DeleteFunc(c.rows, func(at int32) bool { return in.dropped != nil && in.dropped[k.rows[at]] })
	var prints []fingerprint
	for i, at := range c.rows {
		if i == 0 || k.keyed.prints[at] != prints[len(prints)-1] {
			c.starts = append(c.starts, int32(i))
			prints = append(prints, k.keyed.prints[at])
		}
	}
	c.starts = append(c.starts, int32(len(c.rows)))
	k.chains, k.index = c, newIndex(prints)
	for i := range prints {
		k.add(i)
	}
}

// ordered are the positions of k's rows by key, time and number.
func (in *Input) ordered(k *keyed) []int32 {
	order := make([]int32, k.len())
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		x, y := k.prints[a], k.prints[b]
		switch {
		case x.hi != y.hi:
			return cmp.Compare(x.hi, y.hi)
		case x.lo != y.lo:
			return cmp.Compare(x.lo, y.lo)
		}
		return cmp.Or(cmp.Compare(in.history.effects[k.rows[a]], in.history.effects[k.rows[b]]), cmp.Compare(k.rows[a], k.rows[b]))
	})
	return order
}

// pickVersions drops rows of k that come again with their key and their time. The same twice is once.
func (p *picking) pickVersions(k *keyed) {
	in := p.in
	was := int32(-1)
	for _, i := range in.ordered(k) {
		if was < 0 || k.prints[i] != k.prints[was] || in.history.effects[k.rows[i]] != in.history.effects[k.rows[was]] {
			was = i
			continue
		}
		if in.latest == nil && p.alike(k, int(was), int(i)) {
			in.drop(k.rows[i])
			continue
		}
		was = int32(p.prefer(k, int(was), int(i)))
	}
}

// alike tells whether two rows with one key say the same: the contents of those that delete don't matter in
// a history.
func (p *picking) alike(k *keyed, a, b int) bool {
	in := p.in
	x, y := in.isDelete(int(k.rows[a])), in.isDelete(int(k.rows[b]))
	return x == y && (k.digests[a] == k.digests[b] || x && in.history != nil)
}

// times is an array of a history's type; forever is null there.
func times(t arrow.DataType, values []int64) (arrow.Array, error) {
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	b.Reserve(len(values))
	for _, v := range values {
		if v == forever {
			b.AppendNull()
			continue
		}
		switch b := b.(type) {
		case *array.Int32Builder:
			b.Append(int32(v))
		case *array.Int64Builder:
			b.Append(v)
		case *array.Date32Builder:
			b.Append(arrow.Date32(v))
		case *array.TimestampBuilder:
			b.Append(arrow.Timestamp(v))
		default:
			return nil, fmt.Errorf("merge: a column of --history came as %s", t)
		}
	}
	return b.NewArray(), nil
}

// truths is an array that is true where to is forever.
func truths(to []int64) arrow.Array {
	b := array.NewBooleanBuilder(memory.DefaultAllocator)
	defer b.Release()
	for _, v := range to {
		b.Append(v == forever)
	}
	return b.NewArray()
}
