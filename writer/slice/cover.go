package slice

import (
	"slices"
	"strings"

	"github.com/apache/iceberg-go"
)

// Cover is how much of a file lies inside a slice, as far as its manifest entry proves it.
type Cover uint8

const (
	// Some: not proven either way.
	Some Cover = iota
	// None: no row is inside.
	None
	// All: every row is inside.
	All
)

func (c Cover) String() string { return [...]string{"some", "none", "all"}[c] }

// File tells how much of f, which was written under spec, is inside. The proof comes from the
// partition tuple and from column bounds and counts; bounds may be truncated, and whatever is
// missing proves nothing. schema is the table's: a column whose type has changed since the
// slice was parsed proves nothing either. Deletes are not looked at: rows that they delete
// count like the others.
func (s *Slice) File(f iceberg.DataFile, spec iceberg.PartitionSpec, schema *iceberg.Schema) Cover {
	if f.Count() == 0 {
		return None
	}
	known := &fileFacts{file: f, spec: spec, schema: schema, partition: f.Partition()}
	// The tuple alone mostly decides, and the metrics are maps that the library copies.
	if c := s.root.cover(known); c != Some {
		return c
	}
	known.metrics = &metrics{
		lower: f.LowerBoundValues(), upper: f.UpperBoundValues(),
		nulls: f.NullValueCounts(), nans: f.NaNValueCounts(),
	}
	return s.root.cover(known)
}

// Manifest tells whether files in m may have rows inside, by the partition summaries; spec is
// the manifest's.
func (s *Slice) Manifest(m iceberg.ManifestFile, spec iceberg.PartitionSpec, schema *iceberg.Schema) bool {
	summaries := m.Partitions()
	if len(summaries) != spec.NumFields() {
		return true
	}
	return s.root.cover(&manifestFacts{spec: spec, schema: schema, summaries: summaries}) != None
}

// facts tells which values the rows of a file can have.
type facts interface {
	// of gives a set that holds every value of t in the file, and whether nulls are possible.
	of(t term) (possible set, null bool)
}

func (n *node) cover(known facts) Cover {
	switch n.op {
	case never:
		return None
	case always:
		return All
	case leaf:
		possible, null := known.of(n.term)
		inside := possible.overlaps(n.set) || null && n.null
		outside := possible.overlaps(n.outside) || null && !n.null
		switch {
		case inside && !outside:
			return All
		case outside && !inside:
			return None
		}
		return Some // also when nothing is possible: such facts contradict one another
	}
	ruling, total := None, All
	if n.op == or {
		ruling, total = All, None
	}
	for _, k := range n.kids {
		switch c := k.cover(known); c {
		case ruling:
			return ruling
		case Some:
			total = Some
		}
	}
	return total
}

type fileFacts struct {
	file      iceberg.DataFile
	spec      iceberg.PartitionSpec
	schema    *iceberg.Schema
	partition map[int]any
	metrics   *metrics // nil: not to be looked at
}

type metrics struct {
	lower, upper map[int][]byte
	nulls, nans  map[int]int64
}

func (f *fileFacts) of(t term) (set, bool) {
	if !t.column.unchanged(f.schema) {
		return everything, true
	}
	possible, null := everything, true
	l, ordered := lineOf(t.column.typ)
	bucket := everything
	for _, field := range f.spec.Fields() {
		v, known := f.partition[field.FieldID]
		if !known || len(field.SourceIDs) != 1 || field.SourceID() != t.column.id {
			continue
		}
		result, ok := resultLine(field.Transform, t.column.typ)
		if !ok {
			continue
		}
		if v == nil {
			possible = nil
			continue
		}
		null = false
		e, ok := result.encode(v)
		if !ok || !honest(field.Transform, result, e) {
			continue
		}
		if b, ok := field.Transform.(iceberg.BucketTransform); ok {
			if b.NumBuckets == t.buckets {
				bucket = result.point(e)
			}
			continue
		}
		if s, ok := preimage(field.Transform, t.column.typ, widened(field.Transform, result, result.point(e))); ok {
			possible = possible.intersect(s)
		}
	}
	if f.metrics != nil {
		s, n := f.metrics.of(t.column.id, l, ordered, f.file.Count())
		possible, null = possible.intersect(s), null && n
	}
	if t.buckets == 0 || len(possible) == 0 {
		return possible, null
	}
	if len(possible) == 1 && ordered {
		v := possible[0].lo
		if v == "" {
			v = l.least
		}
		if slices.Equal(l.point(v), possible) {
			return t.line.point(encodeInt(bucketOf(bucketHash(l, v), t.buckets))), null
		}
	}
	return bucket, null
}

// unchanged tells whether the column still has the type that it was parsed with.
func (c *column) unchanged(schema *iceberg.Schema) bool {
	if schema == nil {
		return true
	}
	typ, ok := schema.FindTypeByID(c.id)
	return ok && typ.Equals(c.typ)
}

// of gives the non-null values that column id can have, and whether nulls are possible.
func (m *metrics) of(id int, l line, ordered bool, rows int64) (set, bool) {
	nulls, known := m.nulls[id]
	null := !known || nulls != 0
	if known && nulls == rows {
		return nil, true
	}
	if !ordered {
		return everything, null
	}
	possible := l.between(m.lower[id], m.upper[id])
	if l.kind == kindFloat || l.kind == kindDouble {
		nan := l.point(l.greatest) // bounds leave NaN out
		switch nans, counted := m.nans[id]; {
		case !counted:
			possible = possible.union(nan)
		case nans == 0:
			possible = possible.intersect(nan.complement())
		case known && nans+nulls == rows:
			possible = nan
		default:
			possible = possible.union(nan)
		}
	}
	return possible, null
}

// between is the set from one serialized bound to another; a bound that is missing or cannot
// be read is none.
func (l line) between(lower, upper []byte) set {
	lo, hasLower := "", false
	hi, hasUpper := "", false
	if lower != nil {
		lo, hasLower = l.encodeBound(lower)
	}
	if upper != nil {
		hi, hasUpper = l.encodeBound(upper)
	}
	// Some writers ordered uuids as two signed numbers: their bounds hold only where they meet.
	if hasLower && hasUpper && lo > hi || l.kind == kindUUID && lo != hi {
		return everything
	}
	possible := everything
	if hasLower {
		possible = l.from(lo)
	}
	if hasUpper {
		possible = possible.intersect(l.upTo(hi))
	}
	return possible
}

// honest tells whether a truncated number can be one: truncating the least integers wraps
// around to numbers that are no multiples of the width.
func honest(t iceberg.Transform, l line, e string) bool {
	truncate, ok := t.(iceberg.TruncateTransform)
	return !ok || l.kind != kindInt || decodeInt(e)%int64(truncate.Width) == 0
}

// widened makes room for writers that rounded times before 1970 towards 1970: what they filed
// under 0 or below may be from one earlier.
// Source: iceberg.apache.org/spec/#partition-transforms, and ProjectionUtil of Iceberg's Java.
func widened(t iceberg.Transform, l line, s set) set {
	switch t.(type) {
	case iceberg.YearTransform, iceberg.MonthTransform, iceberg.DayTransform, iceberg.HourTransform:
	default:
		return s
	}
	if len(s) == 0 || s[0].lo == "" || s[0].lo > encodeInt(0) {
		return s
	}
	return s.union(l.point(encodeInt(decodeInt(s[0].lo) - 1)))
}

type manifestFacts struct {
	spec      iceberg.PartitionSpec
	schema    *iceberg.Schema
	summaries []iceberg.FieldSummary
}

func (m *manifestFacts) of(t term) (set, bool) {
	if !t.column.unchanged(m.schema) {
		return everything, true
	}
	possible, null, bucket := everything, true, everything
	for i, field := range m.spec.Fields() {
		if len(field.SourceIDs) != 1 || field.SourceID() != t.column.id {
			continue
		}
		result, ok := resultLine(field.Transform, t.column.typ)
		if !ok {
			continue
		}
		sum := m.summaries[i]
		null = null && sum.ContainsNull
		held := summarized(result, sum)
		if b, ok := field.Transform.(iceberg.BucketTransform); ok {
			if b.NumBuckets == t.buckets {
				bucket = held
			}
			continue
		}
		if _, ok := field.Transform.(iceberg.TruncateTransform); ok && result.kind == kindInt {
			continue // a wrapped value may hide between the bounds
		}
		if s, ok := preimage(field.Transform, t.column.typ, widened(field.Transform, result, held)); ok {
			possible = possible.intersect(s)
		}
	}
	if t.buckets > 0 {
		return bucket, null
	}
	return possible, null
}

// summarized is the set of the partition values that a summary allows, nulls apart.
func summarized(l line, sum iceberg.FieldSummary) set {
	var lower, upper []byte
	if sum.LowerBound != nil {
		lower = *sum.LowerBound
	}
	// iceberg-go writes the empty string as a null bound, and an empty bound may have been one:
	// below, "" is the least string anyway, above, it tells nothing.
	if sum.UpperBound != nil && len(*sum.UpperBound) > 0 {
		upper = *sum.UpperBound
	}
	if l.varying() && len(lower) == 0 {
		lower = nil
	}
	possible := l.between(lower, upper)
	if (l.kind == kindFloat || l.kind == kindDouble) && (sum.ContainsNaN == nil || *sum.ContainsNaN) {
		possible = possible.union(l.point(l.greatest))
	}
	return possible
}

// Known says what f's manifest entry tells about the slice's columns, as conditions that hold
// for all of its rows: "event_date >= 2024-01-01 and event_date < 2024-02-01".
func (s *Slice) Known(f iceberg.DataFile, spec iceberg.PartitionSpec, schema *iceberg.Schema) string {
	known := &fileFacts{file: f, spec: spec, schema: schema, partition: f.Partition(), metrics: &metrics{
		lower: f.LowerBoundValues(), upper: f.UpperBoundValues(),
		nulls: f.NullValueCounts(), nans: f.NaNValueCounts(),
	}}
	var texts []string
	seen := map[string]bool{}
	s.root.walk(func(l *node) {
		if seen[l.term.String()] {
			return
		}
		seen[l.term.String()] = true
		possible, null := known.of(l.term)
		if possible.isEverything() && null {
			texts = append(texts, "any "+l.term.String())
			return
		}
		text, binds := l.term.render(possible, null)
		if binds == or {
			text = "(" + text + ")"
		}
		texts = append(texts, text)
	})
	return strings.Join(texts, " and ")
}
