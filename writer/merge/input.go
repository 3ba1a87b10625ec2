package merge

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/slice"
)

// Input is the rows of a run, numbered as they came. It is filled by one goroutine; once it is sealed any
// number may read it.
type Input struct {
	o      Options
	schema *iceberg.Schema
	arrow  *arrow.Schema
	came   *arrow.Schema // of the batches, with what only DeleteWhen needs
	keys   *keys
	latest *ordered // nil: none
	newer  *ordered // with a window, its event time
	window *window  // nil: none
	// history is what tells the versions of a key apart; nil: it has one row.
	history *history

	count   int   // rows, dropped ones included
	now     keyed // rows in memory: all of them, or those that are not spooled yet
	spool   *spool
	all     *part    // where all rows are in memory, once they are picked
	parts   [][2]int // of the spool, otherwise
	deletes []bool   // by row; nil where none deletes
	dropped []bool   // by row; nil where none is
	twins   [][]twin // of a window: the rows of the input that share a key
	batches []batch
	layouts []layout
	store   *store
	reach   *reach
	probes  *probes
	homes   *partitionReach
	within  *slice.Slice // where the rows that the keys hit lie; nil: anywhere

	prints []fingerprint // scratch
	hi, lo []uint64
	hasher map[string]*digest.Hasher

	// Read, Rejected and Bytes count the input; Dropped are rows that another one with their key was
	// preferred to.
	Read, Rejected, Bytes, Dropped int64
	// Digest is that of all rows, dropped ones included.
	Digest   digest.Sum
	digester *digest.Hasher
}

// batch says where some rows came from.
type batch struct {
	first  int // number of its first row
	rows   int
	origin arrowconv.Batch
	absent []int // columns that it lacks, by position
	layout int
}

// layout is what some rows of the input have: they lack the absent columns of the schema.
type layout struct {
	absent   []int
	compared *iceberg.Schema // its columns that tell whether a row differs
}

// most is how many keys or rows an error names.
const most = 5

// NewInput returns an empty input for rows that have the columns of schema, as arrowconv.ArrowSchema lays
// them out, and then any that only DeleteWhen needs. Errors wrap ErrColumn.
func NewInput(schema *iceberg.Schema, o Options) (*Input, error) {
	o = o.withDefaults()
	in := &Input{
		o: o, schema: schema, hasher: map[string]*digest.Hasher{},
		store: &store{dir: o.SpillDir, memory: o.Memory / 2},
	}
	var err error
	if in.arrow, err = arrowconv.ArrowSchema(schema); err != nil {
		return nil, err
	}
	if in.keys, err = newKeys(schema, o.Key, rand.Uint64()); err != nil {
		return nil, err
	}
	if o.LatestBy != "" {
		if in.latest, err = newOrdered(schema, "--latest-by", o.LatestBy); err != nil {
			return nil, err
		}
	}
	if o.IfNewer != "" {
		if in.newer, err = newOrdered(schema, "--if-newer", o.IfNewer); err != nil {
			return nil, err
		}
	}
	if o.EventTime != "" {
		if in.window, err = newWindow(schema, o.EventTime, o.Window); err != nil {
			return nil, err
		}
		in.newer = &in.window.ordered
	}
	for i, name := range o.Ignore {
		if _, err := column(schema, "--ignore-columns", name); err != nil {
			return nil, err
		}
		if slices.Contains(o.Key, name) {
			return nil, fail(ErrColumn, "", "--ignore-columns: column %q is part of the key", name)
		}
		if slices.Contains(o.Ignore[:i], name) {
			return nil, fail(ErrColumn, "", "--ignore-columns: column %q is named twice", name)
		}
	}
	if o.History != nil {
		if in.history, err = newHistory(schema, o); err != nil {
			return nil, err
		}
	}
	in.reach, in.probes = newReach(in.keys), newProbes(in.keys)
	in.homes = newPartitionReach(schema, o.Specs, in.keys, o.Partitions)
	return in, nil
}

// Add takes b over. Errors wrap ErrKey.
func (in *Input) Add(b arrowconv.Batch) error {
	in.Read += b.RowsRead()
	in.Rejected += int64(len(b.Rejected))
	in.Bytes += b.Bytes
	if b.NumRows() == 0 {
		b.Release()
		return nil
	}
	var deletes *slice.Selection
	if in.o.DeleteWhen != nil {
		sel, err := in.o.DeleteWhen.Rows(b.RecordBatch)
		if err != nil {
			b.Release()
			return err
		}
		if deletes = sel; sel == nil {
			deletes = slice.Select(int(b.NumRows()), func(int) bool { return true })
		}
	}
	in.came = b.Schema()
	if in.history != nil {
		if err := in.history.take(b); err != nil {
			b.Release()
			return err
		}
	}
	rec := array.NewRecordBatch(in.arrow, b.Columns()[:in.arrow.NumFields()], b.NumRows())
	b.Release()
	if err := in.add(rec, b, deletes); err != nil {
		rec.Release()
		return err
	}
	return in.store.add(rec)
}

func (in *Input) add(rec arrow.RecordBatch, b arrowconv.Batch, deletes *slice.Selection) error {
	n := int(rec.NumRows())
	first := in.count
	prints, null, nullColumn, err := in.keys.of(in.prints, rec)
	if err != nil {
		return err
	}
	in.prints = prints
	for _, c := range b.Absent {
		if name := in.came.Field(c).Name; slices.Contains(in.o.Key, name) {
			return fail(ErrKey, "every row needs its key", "%s: the input has no column %q, which --key names", b.Source, name)
		}
	}
	if null >= 0 {
		return in.nullKey(rec, b, nullColumn)
	}
	if first+n > math.MaxInt32 {
		return fail(ErrKey, "merge it in several loads", "the input has more than %d rows", math.MaxInt32)
	}
	if err := in.whole(rec); err != nil {
		return err
	}
	if err := in.key(rec, prints, b.Absent); err != nil {
		return err
	}
	b.RecordBatch = nil
	in.batches = append(in.batches, batch{first: first, rows: n, origin: b, absent: b.Absent})
	if deletes != nil && deletes.Count() > 0 || in.deletes != nil {
		in.deletes = slices.Grow(in.deletes, first+n-len(in.deletes))[:first+n]
		for i := range n {
			in.deletes[first+i] = deletes.Inside(i)
		}
	}
	in.homes.add(rec)
	if err := in.probes.add(rec); err != nil {
		return err
	}
	if in.window != nil {
		if err := in.window.add(rec); err != nil {
			return err
		}
	}
	return in.reach.add(rec)
}

// key notes what is known of rec's rows when they are matched.
func (in *Input) key(rec arrow.RecordBatch, prints []fingerprint, absent []int) error {
	n := int(rec.NumRows())
	for i := range n {
		in.now.rows = append(in.now.rows, int32(in.count+i))
	}
	in.count += n
	in.now.prints = append(in.now.prints, prints...)
	in.hi, in.lo = sized(in.hi, n), sized(in.lo, n)
	if in.compares() {
		h, err := in.hasherOf(absent)
		if err != nil {
			return err
		}
		h.Rows(rec, in.hi, in.lo)
	}
	for i := range n {
		in.now.digests = append(in.now.digests, fingerprint{in.hi[i], in.lo[i]})
	}
	for _, c := range []struct {
		by *ordered
		to *ages
	}{{in.latest, &in.now.latest}, {in.newer, &in.now.newer}} {
		if c.by == nil {
			continue
		}
		a, err := c.by.of(rec)
		if err != nil {
			return err
		}
		c.to.append(a)
	}
	if in.now.len() <= in.partRows() {
		return nil
	}
	if in.spool == nil {
		in.spool = newSpool(in.o.SpillDir, in.o.Memory/2)
	}
	err := in.spool.add(&in.now)
	in.now.clear()
	return err
}

// compares tells whether it matters what rows say besides their keys.
func (in *Input) compares() bool { return !in.o.KeysOnly || in.latest != nil }

// partRows is how many rows' keys may be in memory.
func (in *Input) partRows() int {
	each := int64(keyedBytes)
	if in.history != nil {
		each += chainBytes
	}
	return int(max(1, in.o.Memory/2/each))
}

func (in *Input) nullKey(rec arrow.RecordBatch, b arrowconv.Batch, column int) error {
	c := in.keys.columns[column]
	arr, err := columnOf(rec, c.ID, c.Name)
	if err != nil {
		return err
	}
	var rows []string
	for i := range arr.Len() {
		if arr.IsNull(i) && len(rows) < most {
			rows = append(rows, fmt.Sprint(b.RowNumber(i)))
		}
	}
	more := ""
	if arr.NullN() > len(rows) {
		more = " and more"
	}
	noun := "row "
	if len(rows) > 1 {
		noun = "rows "
	}
	return fail(ErrKey, "give every row its key, or say --columns, or --rejects with a required column, to leave such rows out",
		"%s: %s%s%s: key column %q is null, so nothing tells which row of the table is meant", b.Source, noun, strings.Join(rows, ", "), more, c.Name)
}

// whole adds rec to the digest of the input.
func (in *Input) whole(rec arrow.RecordBatch) (err error) {
	if in.digester == nil {
		if in.digester, err = digest.NewHasher(in.schema); err != nil {
			return err
		}
	}
	in.Digest = in.Digest.Add(in.digester.Sum(rec))
	return nil
}

func sized(s []uint64, n int) []uint64 {
	if cap(s) < n {
		return make([]uint64, n)
	}
	return s[:n]
}

func (in *Input) hasherOf(absent []int) (*digest.Hasher, error) {
	name := fmt.Sprint(absent)
	if h := in.hasher[name]; h != nil {
		return h, nil
	}
	h, err := digest.NewHasher(in.comparedBy(absent))
	if err == nil {
		in.hasher[name] = h
	}
	return h, err
}

// comparedBy are the columns that tell whether a row without those of absent differs from another. Those of the key are among
// them, which are the same: where nothing else is left out, a row's digest is then the one that data files count.
func (in *Input) comparedBy(absent []int) *iceberg.Schema {
	var fields []iceberg.NestedField
	for i, f := range in.schema.Fields() {
		if !slices.Contains(absent, i) && !slices.Contains(in.o.Ignore, f.Name) && !in.keepsHistory(f.Name) {
			fields = append(fields, f)
		}
	}
	return iceberg.NewSchema(in.schema.ID, fields...)
}

// keepsHistory tells whether the input does not say what a column has.
func (in *Input) keepsHistory(name string) bool {
	return in.history != nil && slices.Contains(in.history.Columns(), name)
}

// isDelete tells whether a row deletes what it hits.
func (in *Input) isDelete(row int) bool { return in.deletes != nil && in.deletes[row] }

// place names a row of the input.
func (in *Input) place(row int) string {
	at := in.batchOf(row)
	b := in.batches[at]
	return place(b.origin, row-b.first)
}

func (in *Input) batchOf(row int) int {
	return sort.Search(len(in.batches), func(i int) bool { return in.batches[i].first > row }) - 1
}

// Seal ends adding. Errors wrap ErrKey: the input has a key twice, or twice with one age and different rows.
func (in *Input) Seal() error {
	if err := in.store.seal(); err != nil {
		return err
	}
	if err := in.settleLayouts(); err != nil {
		return err
	}
	in.within = in.reach.slice(in.schema).And(in.homes.slice(in.schema))
	if in.window != nil {
		in.within = in.within.And(in.window.slice(in.schema))
	}
	if in.spool != nil {
		if err := in.spool.add(&in.now); err != nil {
			return err
		}
		in.now = keyed{}
		if err := in.spool.seal(); err != nil {
			return err
		}
		in.parts = in.spool.parts(in.partRows())
	}
	return in.pick()
}

// settleLayouts finds out which columns each source lacks. Of one whose rows name their own columns, a
// batch may lack what another has: then the source has it, and it is null, or the default, in that batch.
func (in *Input) settleLayouts() error {
	lacks := map[string][]int{}
	for _, b := range in.batches {
		if before, seen := lacks[b.origin.Source]; seen {
			lacks[b.origin.Source] = slices.DeleteFunc(slices.Clone(before), func(c int) bool { return !slices.Contains(b.absent, c) })
		} else {
			lacks[b.origin.Source] = b.absent
		}
	}
	if err := in.decided(lacks); err != nil {
		return err
	}
	again := false
	for i := range in.batches {
		b := &in.batches[i]
		absent := slices.DeleteFunc(slices.Clone(lacks[b.origin.Source]), func(c int) bool {
			return c >= in.arrow.NumFields() || in.keepsHistory(in.schema.Field(c).Name)
		})
		b.layout = slices.IndexFunc(in.layouts, func(l layout) bool { return slices.Equal(l.absent, absent) })
		if b.layout < 0 {
			b.layout = len(in.layouts)
			in.layouts = append(in.layouts, layout{absent, in.comparedBy(absent)})
		}
		for _, c := range b.absent {
			again = again || c < in.arrow.NumFields() && !slices.Contains(absent, c) && in.schema.Field(c).WriteDefault != nil
		}
	}
	if in.history != nil {
		if err := in.wholeVersions(); err != nil {
			return err
		}
	}
	if !again || !in.compares() {
		return nil
	}
	return in.keyAgain()
}

// keyAgain makes the digests anew, now that it is known which columns are compared.
func (in *Input) keyAgain() error {
	if in.spool != nil {
		if err := in.spool.close(); err != nil {
			return err
		}
	}
	in.spool, in.now, in.count = nil, keyed{}, 0
	at := 0
	for rec, err := range in.store.all() {
		if err != nil {
			return err
		}
		if in.prints, _, _, err = in.keys.of(in.prints, rec); err == nil {
			err = in.key(rec, in.prints, in.layouts[in.batches[at].layout].absent)
		}
		rec.Release()
		if err != nil {
			return err
		}
		at++
	}
	return nil
}

// decided refuses sources that lack a column by which an option decides: all of their rows would be
// decided one way, by a value that they don't have.
func (in *Input) decided(lacks map[string][]int) error {
	for _, b := range in.batches {
		for _, c := range lacks[b.origin.Source] {
			f := in.came.Field(c)
			var flag string
			switch id, _ := f.Metadata.GetValue(fieldID); {
			case f.Name == in.o.LatestBy:
				flag = "--latest-by"
			case f.Name == in.o.IfNewer:
				flag = "--if-newer"
			case f.Name == in.o.EventTime:
				flag = "--event-time"
			case in.o.DeleteWhen != nil && slices.ContainsFunc(in.o.DeleteWhen.Columns(), func(n int) bool { return strconv.Itoa(n) == id }):
				flag = "--delete-when"
			default:
				continue
			}
			return fail(arrowconv.ErrInput, "add the column to the input, or leave the flag out",
				"%s: the input has no column %q, which %s names", b.origin.Source, f.Name, flag)
		}
	}
	return nil
}

// lacking are the columns, by position, that some rows of the input lack.
func (in *Input) lacking() []int {
	var all []int
	for _, l := range in.layouts {
		for _, c := range l.absent {
			if !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
	}
	slices.SortFunc(all, cmp.Compare[int])
	return all
}

// Lacks tells whether some rows of the input lack a column.
func (in *Input) Lacks() bool { return len(in.lacking()) > 0 }

// Rows is the number of rows, dropped ones included.
func (in *Input) Rows() int { return in.count }

// Resident is about the memory that the input takes, in bytes.
func (in *Input) Resident() int64 {
	kept := int64(in.now.len())
	if in.spool != nil {
		kept = int64(in.partRows()) // while a part is matched
	}
	each := int64(3) // an outcome, what is dropped and deleted
	if in.compares() {
		each += 4 // the hash of the column that tells
	}
	if in.history != nil {
		each += 16 // when it is effective, and until when
	}
	return in.store.bytes + kept*keyedBytes + int64(in.count)*each
}

// Close gives the input's memory and its files back.
func (in *Input) Close() error {
	err := in.store.close()
	if in.spool != nil {
		err = errors.Join(err, in.spool.close())
	}
	return err
}
