package merge

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/writer/slice"
)

// A window says that rows with one key are one event only where their event times are near. Each row has its own
// window, from its time less the width to its time plus the width, both ends inside, so what becomes of it does
// not depend on which other rows came in the same load:
//
//   - a row is left out if the table has a row with its key within the window, or if an earlier row of the
//     input is inserted that is;
//   - rows without a time are one event with rows without a time, and with no others.
//
// Rows of the table never go, and every inserted row is within its own window, so a rerun leaves all of them out;
// and a load of the first rows and then one of the others do what one load of all does, row by row.
//
// The alternative that failed is one window around all of the input: it depends on how the input is cut, and
// one row with a clock that is years behind has it read all of the table.
type window struct {
	ordered
	width int64 // in units of the column
	times spans[int64]
	nulls bool // some row has no time
}

// newWindow resolves the column that tells the time. Errors wrap ErrColumn.
func newWindow(schema *iceberg.Schema, name string, width time.Duration) (*window, error) {
	f, err := column(schema, "--event-time", name)
	if err != nil {
		return nil, err
	}
	w := &window{ordered: ordered{NestedField: f}}
	switch f.Type.(type) {
	case iceberg.TimestampType, iceberg.TimestampTzType:
		w.width = int64(width / time.Microsecond)
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		w.width = int64(width)
	case iceberg.DateType:
		w.width = int64(width / (24 * time.Hour))
	default:
		return nil, fail(ErrColumn, "name a date or a timestamp", "--event-time: column %q is a %s, and tells no time", name, typeName(f.Type))
	}
	return w, nil
}

// add takes the times of rec's rows in.
func (w *window) add(rec arrow.RecordBatch) error {
	times, err := w.of(rec)
	if err != nil {
		return err
	}
	for i, v := range times.numbers {
		if times.null != nil && times.null[i] {
			w.nulls = true
			continue
		}
		w.times.add(v, compareNumbers)
	}
	return nil
}

// slice is the condition that a row of the table is in some row's window, or in the few ranges that hold them.
func (w *window) slice(schema *iceberg.Schema) *slice.Slice {
	w.times.settle(compareNumbers)
	var ranges []slice.Range
	for _, s := range w.times.ranges {
		ranges = append(ranges, slice.Range{Lo: w.value(w.before(s[0])), Hi: w.value(w.after(s[1]))})
	}
	if w.nulls {
		return slice.WithinOrNull(schema, w.ID, ranges)
	}
	return slice.Within(schema, w.ID, ranges)
}

// before and after are the ends of the window of a row with a time.
func (w *window) before(t int64) int64 {
	if t < math.MinInt64+w.width {
		return w.least()
	}
	return max(w.least(), t-w.width)
}

func (w *window) after(t int64) int64 {
	if t > math.MaxInt64-w.width {
		return w.greatest()
	}
	return min(w.greatest(), t+w.width)
}

func (w *window) least() int64 {
	if _, date := w.Type.(iceberg.DateType); date {
		return math.MinInt32
	}
	return math.MinInt64
}

func (w *window) greatest() int64 {
	if _, date := w.Type.(iceberg.DateType); date {
		return math.MaxInt32
	}
	return math.MaxInt64
}

func (w *window) value(t int64) any {
	switch w.Type.(type) {
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return iceberg.TimestampNano(t)
	}
	return t
}

// moment is when an event was; null where nothing tells.
type moment struct {
	at   int64
	null bool
}

func (a *ages) moment(i int) moment {
	if a.null != nil && a.null[i] {
		return moment{null: true}
	}
	return moment{at: a.numbers[i]}
}

// near tells whether two rows with one key are one event.
func (w *window) near(a, b moment) bool {
	if a.null || b.null {
		return a.null && b.null
	}
	return w.before(a.at) <= b.at && b.at <= w.after(a.at)
}

// twin is a row of the input whose key others have too.
type twin struct {
	row int32
	moment
}

// meet notes the rows of k that share a key, in the order in which they are to be tried: as they came, or the
// newest by LatestBy first.
func (p *picking) meet(k *keyed) *part {
	in := p.in
	x := newIndex(k.prints)
	groups := map[int][]int{}
	var firsts []int
	for i := range k.rows {
		was := x.add(i)
		if was < 0 {
			continue
		}
		if groups[was] == nil {
			groups[was] = []int{was}
			firsts = append(firsts, was)
		}
		groups[was] = append(groups[was], i)
	}
	for _, first := range firsts {
		group := groups[first]
		if in.latest != nil {
			slices.SortStableFunc(group, func(a, b int) int { return k.latest.compare(b, &k.latest, a) })
			p.tied(k, group)
		}
		twins := make([]twin, len(group))
		for i, at := range group {
			twins[i] = twin{k.rows[at], k.newer.moment(at)}
		}
		in.twins = append(in.twins, twins)
	}
	all := &part{keyed: *k, index: x, kin: groups}
	all.byTime()
	return all
}

// tied notes two of a group that are near, as new, and differ, where neither is near a newer one, which would go
// before both: the newest such two, or of those as new the first. The group is in order of LatestBy.
//
// In the order of their times the rows near one are neighbours, so the newest of them is found as the window moves along. And
// of rows as new, two that are near and differ are neighbours, or have such neighbours between them.
func (p *picking) tied(k *keyed, group []int) {
	class := make(map[int]int, len(group)) // how many steps of LatestBy a row is from the newest
	for n, i := range group {
		if n > 0 {
			class[i] = class[group[n-1]]
			if k.latest.compare(i, &k.latest, group[n-1]) != 0 {
				class[i]++
			}
		}
	}
	times := slices.Clone(group)
	timed := k.byTime(times)
	newest := newestNear(p.in.window, k, times[:timed], class)
	for _, i := range times[timed:] { // all near one another
		newest = append(newest, class[i])
	}
	for n := timed; n < len(times); n++ {
		newest[n] = slices.Min(newest[timed:])
	}
	last := make(map[int]int, len(group)) // by class, the row before that is not near a newer one
	best, found := 0, [2]int32{}
	for n, i := range times {
		c := class[i]
		if newest[n] < c {
			continue
		}
		was, ok := last[c]
		last[c] = i
		if !ok || k.digests[i] == k.digests[was] || !p.in.window.near(k.newer.moment(i), k.newer.moment(was)) {
			continue
		}
		pair := [2]int32{min(k.rows[was], k.rows[i]), max(k.rows[was], k.rows[i])}
		if found == ([2]int32{}) || cmp.Or(cmp.Compare(c, best), cmp.Compare(pair[1], found[1]), cmp.Compare(pair[0], found[0])) < 0 {
			best, found = c, pair
		}
	}
	if found != ([2]int32{}) {
		p.ties[k.rows[group[0]]] = found
	}
}

// newestNear is, for each of some rows with a time, in that order, the least class among the rows within the window.
func newestNear(w *window, k *keyed, rows []int, class map[int]int) []int {
	newest := make([]int, len(rows))
	var queue []int // places in rows, in order, each of a greater class than those before it
	end := 0
	for n, i := range rows {
		at := k.newer.numbers[i]
		for ; end < len(rows) && k.newer.numbers[rows[end]] <= w.after(at); end++ {
			for len(queue) > 0 && class[rows[queue[len(queue)-1]]] >= class[rows[end]] {
				queue = queue[:len(queue)-1]
			}
			queue = append(queue, end)
		}
		for k.newer.numbers[rows[queue[0]]] < w.before(at) {
			queue = queue[1:]
		}
		newest[n] = class[rows[queue[0]]]
	}
	return newest
}

// byTime sorts rows of k by their times, those without one last, and tells how many have one.
func (k *keyed) byTime(rows []int) (timed int) {
	slices.SortFunc(rows, func(a, b int) int {
		x, y := k.newer.moment(a), k.newer.moment(b)
		switch {
		case x.null != y.null && x.null:
			return 1
		case x.null != y.null:
			return -1
		}
		return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(a, b))
	})
	return sort.Search(len(rows), func(i int) bool { return k.newer.moment(rows[i]).null })
}

// crowd are moments no two of which are near: each has a stretch of time, one longer than the window, for itself.
type crowd struct {
	w     *window
	slots map[int64]int64
	null  bool
}

func (c *crowd) clear() {
	clear(c.slots)
	c.null = false
}

// slot is the stretch that a moment lies in.
func (c *crowd) slot(at int64) int64 {
	wide := c.w.width
	if wide == math.MaxInt64 {
		return 0
	}
	n := at / (wide + 1)
	if at%(wide+1) < 0 {
		n--
	}
	return n
}

func (c *crowd) near(m moment) bool {
	if m.null {
		return c.null
	}
	n := c.slot(m.at)
	for at := max(n, math.MinInt64+1) - 1; at <= min(n, math.MaxInt64-1)+1; at++ {
		if other, ok := c.slots[at]; ok && c.w.near(m, moment{at: other}) {
			return true
		}
		if at == math.MaxInt64 {
			break
		}
	}
	return false
}

func (c *crowd) add(m moment) {
	if m.null {
		c.null = true
		return
	}
	c.slots[c.slot(m.at)] = m.at
}

// settleTwins gives the rows that share a key their outcomes, in order: hit tells the rows that the table has.
func (in *Input) settleTwins(p *Plan, hit []bool) {
	inserted := crowd{w: in.window, slots: map[int64]int64{}}
	there := crowd{w: in.window, slots: map[int64]int64{}}
	for _, group := range in.twins {
		inserted.clear()
		there.clear()
		for _, t := range group {
			again := inserted.near(t.moment)
			switch {
			case again || hit[t.row] && there.near(t.moment):
				p.Outcomes[t.row] = Dropped
			case hit[t.row]:
				there.add(t.moment)
			default:
				inserted.add(t.moment)
			}
		}
	}
}

// countLate counts the inserted rows that are older than the newest row of the snapshot by more than the window.
func (in *Input) countLate(p *Plan, tbl *table.Table) error {
	newest, known := in.window.newest(p, tbl)
	if !known {
		return nil
	}
	return in.eachKeyed(func(k *keyed) {
		for i, row := range k.rows {
			if m := k.newer.moment(i); p.Outcomes[row] == Inserted && !m.null && in.window.after(m.at) < newest {
				p.Late++
			}
		}
	})
}

// newest is the latest event time that the bounds of live files tell.
func (w *window) newest(p *Plan, tbl *table.Table) (newest int64, known bool) {
	typ, ok := tbl.Schema().FindTypeByID(w.ID)
	if !ok || !typ.Equals(w.Type) {
		return 0, false
	}
	for _, f := range p.Live.Data {
		var at int64
		switch b := f.DataFile().UpperBoundValues()[w.ID]; len(b) {
		case 8:
			at = int64(binary.LittleEndian.Uint64(b))
		case 4:
			at = int64(int32(binary.LittleEndian.Uint32(b)))
		default:
			continue
		}
		if _, date := w.Type.(iceberg.DateType); date != (len(f.DataFile().UpperBoundValues()[w.ID]) == 4) {
			continue // it was of another type
		}
		if !known || at > newest {
			newest, known = at, true
		}
	}
	return newest, known
}
