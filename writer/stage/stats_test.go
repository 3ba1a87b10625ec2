package stage

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/slice"
)

// expected are one file's statistics of one top-level column, from its values one by one.
type expected struct {
	values, nulls, nans int64
	lower, upper        iceberg.Literal
}

func expect(recs []arrow.RecordBatch, col int, typ iceberg.Type) expected {
	var e expected
	for _, r := range recs {
		c := r.Column(col)
		for i := range c.Len() {
			e.values++
			if c.IsNull(i) {
				e.nulls++
				continue
			}
			lit := literalOf(c, i, typ)
			if f, ok := lit.Any().(float64); ok && f != f {
				e.nans++
				continue
			}
			if f, ok := lit.Any().(float32); ok && f != f {
				e.nans++
				continue
			}
			if e.lower == nil || compareLiterals(lit, e.lower) < 0 {
				e.lower = lit
			}
			if e.upper == nil || compareLiterals(lit, e.upper) > 0 {
				e.upper = lit
			}
		}
	}
	return e
}

func literalOf(c arrow.Array, i int, typ iceberg.Type) iceberg.Literal {
	switch c := c.(type) {
	case *array.Boolean:
		return iceberg.NewLiteral(c.Value(i))
	case *array.Int32:
		return iceberg.NewLiteral(c.Value(i))
	case *array.Int64:
		return iceberg.NewLiteral(c.Value(i))
	case *array.Float32:
		return iceberg.NewLiteral(c.Value(i))
	case *array.Float64:
		return iceberg.NewLiteral(c.Value(i))
	case *array.Decimal128:
		return iceberg.NewLiteral(iceberg.Decimal{Val: c.Value(i), Scale: typ.(iceberg.DecimalType).Scale()})
	case *array.Date32:
		return iceberg.NewLiteral(iceberg.Date(c.Value(i)))
	case *array.Time64:
		return iceberg.NewLiteral(iceberg.Time(c.Value(i)))
	case *array.Timestamp:
		return iceberg.NewLiteral(iceberg.Timestamp(c.Value(i)))
	case *array.String:
		return iceberg.NewLiteral(c.Value(i))
	case *array.Binary:
		return iceberg.NewLiteral(bytes.Clone(c.Value(i)))
	case *array.FixedSizeBinary:
		return iceberg.NewLiteral(bytes.Clone(c.Value(i)))
	case array.ExtensionArray:
		return iceberg.NewLiteral(bytes.Clone(c.Storage().(*array.FixedSizeBinary).Value(i)))
	}
	panic(fmt.Sprintf("no literal of %T", c))
}

func compareLiterals(a, b iceberg.Literal) int {
	switch a := a.(type) {
	case iceberg.BoolLiteral:
		return map[bool]int{false: 0, true: 1}[bool(a)] - map[bool]int{false: 0, true: 1}[bool(b.(iceberg.BoolLiteral))]
	case iceberg.DecimalLiteral:
		return a.Val.Cmp(b.(iceberg.DecimalLiteral).Val)
	case iceberg.TypedLiteral[int32]:
		return a.Comparator()(a.Value(), b.(iceberg.TypedLiteral[int32]).Value())
	case iceberg.TypedLiteral[int64]:
		return a.Comparator()(a.Value(), b.(iceberg.TypedLiteral[int64]).Value())
	case iceberg.TypedLiteral[float32]:
		return a.Comparator()(a.Value(), b.(iceberg.TypedLiteral[float32]).Value())
	case iceberg.TypedLiteral[float64]:
		return a.Comparator()(a.Value(), b.(iceberg.TypedLiteral[float64]).Value())
	case iceberg.TypedLiteral[iceberg.Date]:
		return a.Comparator()(a.Value(), b.(iceberg.TypedLiteral[iceberg.Date]).Value())
	case iceberg.TypedLiteral[iceberg.Time]:
		return a.Comparator()(a.Value(), b.(iceberg.TypedLiteral[iceberg.Time]).Value())
	case iceberg.TypedLiteral[iceberg.Timestamp]:
		return a.Comparator()(a.Value(), b.(iceberg.TypedLiteral[iceberg.Timestamp]).Value())
	case iceberg.TypedLiteral[string]:
		return strings.Compare(a.Value(), b.(iceberg.TypedLiteral[string]).Value())
	case iceberg.TypedLiteral[[]byte]:
		return bytes.Compare(a.Value(), b.(iceberg.TypedLiteral[[]byte]).Value())
	}
	panic(fmt.Sprintf("no order of %T", a))
}

func TestStatisticsAgainstBruteForce(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType(), Props: iceberg.Properties{
		table.WriteTargetFileSizeBytesKey: "10000000", table.ParquetRowGroupSizeBytesKey: "60000", // several row groups
		table.DefaultWriteMetricsModeKey: "full",
	}})
	rng := rand.New(rand.NewPCG(9, 10))
	recs := []arrow.RecordBatch{w.random(rng, 900), w.random(rng, 900)}
	defer release(recs)
	res := w.stage(Options{}, recs...)
	if len(res.Files) != 1 {
		t.Fatalf("%d files, want 1", len(res.Files))
	}
	f := res.Files[0]
	if n := len(f.SplitOffsets()); n < 2 || f.SplitOffsets()[0] != 4 {
		t.Errorf("split offsets %v, want several from 4 on", f.SplitOffsets())
	}
	var bytesIn int64
	for _, n := range f.ColumnSizes() {
		bytesIn += n
	}
	if bytesIn > f.FileSizeBytes() || bytesIn < f.FileSizeBytes()/2 {
		t.Errorf("column sizes add up to %d, the file has %d", bytesIn, f.FileSizeBytes())
	}
	for i, field := range w.tbl.Schema().Fields() {
		if _, nested := field.Type.(iceberg.NestedType); nested || field.Type.Equals(iceberg.PrimitiveTypes.UUID) { // which has a test of its own
			continue
		}
		e := expect(recs, i, field.Type)
		if got := f.ValueCounts()[field.ID]; got != e.values {
			t.Errorf("%s: %d values, want %d", field.Name, got, e.values)
		}
		if got := f.NullValueCounts()[field.ID]; got != e.nulls {
			t.Errorf("%s: %d nulls, want %d", field.Name, got, e.nulls)
		}
		got, counted := f.NaNValueCounts()[field.ID]
		switch field.Type.(type) {
		case iceberg.Float32Type, iceberg.Float64Type:
			if got != e.nans || !counted {
				t.Errorf("%s: %d NaNs, want %d", field.Name, got, e.nans)
			}
		default:
			if counted {
				t.Errorf("%s: NaNs counted", field.Name)
			}
		}
		for _, b := range []struct {
			name string
			got  []byte
			want iceberg.Literal
		}{{"lower", f.LowerBoundValues()[field.ID], e.lower}, {"upper", f.UpperBoundValues()[field.ID], e.upper}} {
			want, err := b.want.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.got, want) {
				t.Errorf("%s: %s bound %x, want %x (%v)", field.Name, b.name, b.got, want, b.want)
			}
		}
	}
	nested := func(name string) int {
		nf, ok := w.tbl.Schema().FindFieldByName(name)
		if !ok {
			t.Fatalf("no field %s", name)
		}
		return nf.ID
	}
	if _, ok := f.LowerBoundValues()[nested("point.x")]; !ok {
		t.Error("no bounds for a field of a struct")
	}
	for _, name := range []string{"names.element", "attrs.key", "attrs.value", "points.element.a"} {
		if _, ok := f.LowerBoundValues()[nested(name)]; ok {
			t.Errorf("bounds for %s, in a list or map", name)
		}
		if _, ok := f.ValueCounts()[nested(name)]; !ok {
			t.Errorf("no value count for %s", name)
		}
	}
	if got, sum := w.scan(w.commit(res)); sum != res.Digest {
		t.Errorf("%d rows scanned from several row groups with digest %s, staged %s", len(got), sum, res.Digest)
	}
}

// Java orders UUIDs as two signed numbers, everybody else by their bytes. Whoever prunes by a bound finds
// every row all the same, and where the orders agree there is a bound.
func TestUUIDBoundsHoldInBothOrders(t *testing.T) {
	schema := schemaOf(iceberg.NestedField{Name: "u", Type: iceberg.PrimitiveTypes.UUID})
	w := newWorld(t, catalog.TableSpec{Schema: schema, Props: iceberg.Properties{table.ParquetRowGroupSizeBytesKey: "1000"}})
	byHalves := func(a, b []byte) int {
		hi := cmp.Compare(int64(binary.BigEndian.Uint64(a)), int64(binary.BigEndian.Uint64(b)))
		return cmp.Or(hi, cmp.Compare(int64(binary.BigEndian.Uint64(a[8:])), int64(binary.BigEndian.Uint64(b[8:]))))
	}
	rng := rand.New(rand.NewPCG(11, 12))
	with, without, groups := 0, 0, 0
	for range 60 {
		first, second := []byte{0, 1, 0x7f, 0x80, 0xff}, []byte{0, 0x7f, 0x80, 0xbf}
		rng.Shuffle(len(first), func(i, j int) { first[i], first[j] = first[j], first[i] })
		first, second = first[:1+rng.IntN(3)], second[rng.IntN(3):]
		b := array.NewRecordBuilder(w.alloc, w.arrow)
		var vals [][]byte
		for range 1 + rng.IntN([]int{3, 200, 20_000}[rng.IntN(3)]) {
			v := uuid.UUID{0: first[rng.IntN(len(first))], 8: second[rng.IntN(len(second))], 15: byte(rng.IntN(3))}
			vals = append(vals, v[:])
			b.Field(0).(*extensions.UUIDBuilder).Append(v)
		}
		rec := b.NewRecordBatch()
		b.Release()
		res := w.stage(Options{}, rec)
		rec.Release()
		f := res.Files[0]
		r, err := file.NewParquetReader(bytes.NewReader(w.content(res)[0]))
		if err != nil {
			t.Fatal(err)
		}
		check := func(name string, got []byte, sign int) {
			agreed := slices.MinFunc(vals, func(x, y []byte) int { return sign * bytes.Compare(x, y) })
			if theirs := slices.MinFunc(vals, func(x, y []byte) int { return sign * byHalves(x, y) }); !bytes.Equal(agreed, theirs) {
				agreed = nil
			}
			if !bytes.Equal(got, agreed) {
				t.Errorf("%s bound of %d values is %x, want %x", name, len(vals), got, agreed)
			}
			if agreed == nil {
				without++
			} else {
				with++
			}
		}
		check("lower", f.LowerBoundValues()[1], 1)
		check("upper", f.UpperBoundValues()[1], -1)
		groups += r.NumRowGroups()
		for g := range r.NumRowGroups() {
			meta, err := r.MetaData().RowGroup(g).ColumnChunk(0)
			if err != nil {
				t.Fatal(err)
			}
			stats, err := meta.Statistics()
			if err != nil {
				t.Fatal(err)
			}
			n := int(meta.NumValues())
			if stats != nil && stats.HasMinMax() {
				lo, hi := stats.EncodeMin(), stats.EncodeMax()
				for _, v := range vals[:n] {
					if bytes.Compare(v, lo) < 0 || bytes.Compare(v, hi) > 0 || byHalves(v, lo) < 0 || byHalves(v, hi) > 0 {
						t.Errorf("row group %d: %x is not between %x and %x", g, v, lo, hi)
					}
				}
			}
			vals = vals[n:]
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if with < 20 || without < 20 || groups < 70 {
		t.Errorf("%d bounds, %d left out, %d row groups", with, without, groups)
	}
}

func TestZeroBoundsTakeBothSigns(t *testing.T) {
	schema := schemaOf(iceberg.NestedField{Name: "r", Type: iceberg.PrimitiveTypes.Float64}, iceberg.NestedField{Name: "nan", Type: iceberg.PrimitiveTypes.Float32})
	w := newWorld(t, catalog.TableSpec{Schema: schema})
	for _, zero := range []float64{0, math.Copysign(0, -1)} {
		b := array.NewRecordBuilder(w.alloc, w.arrow)
		b.Field(0).(*array.Float64Builder).Append(zero)
		b.Field(1).(*array.Float32Builder).Append(float32(math.NaN()))
		rec := b.NewRecordBatch()
		b.Release()
		f := w.stage(Options{}, rec).Files[0]
		rec.Release()
		if got := f.LowerBoundValues()[1]; !bytes.Equal(got, word64(1<<63)) {
			t.Errorf("lower bound of %v is %x, want -0.0", zero, got)
		}
		if got := f.UpperBoundValues()[1]; !bytes.Equal(got, word64(0)) {
			t.Errorf("upper bound of %v is %x, want 0.0", zero, got)
		}
		if _, ok := f.LowerBoundValues()[2]; ok {
			t.Error("a column of NaNs has a bound")
		}
	}
}

func TestTruncatedBoundsHold(t *testing.T) {
	mode := metricsMode{counted: true, width: 4}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune{'a', 0xD7FF, utf8.MaxRune}))).Draw(t, "s")
		lower, upper := mode.lower([]byte(s), prefix), mode.upper([]byte(s), prefix, nextText)
		if bytes.Compare(lower, []byte(s)) > 0 || utf8.RuneCount(lower) > 4 {
			t.Fatalf("lower bound %q of %q", lower, s)
		}
		if upper != nil && (bytes.Compare(upper, []byte(s)) < 0 || utf8.RuneCount(upper) > 4 || !utf8.Valid(upper)) {
			t.Fatalf("upper bound %q of %q", upper, s)
		}
		if upper == nil && strings.Trim(string([]rune(s)[:4]), string(utf8.MaxRune)) != "" {
			t.Fatalf("no upper bound of %q", s)
		}
		b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 7, 0xfe, 0xff}), 0, 8).Draw(t, "b")
		if u := mode.upper(b, head, nextBytes); u != nil && (bytes.Compare(u, b) < 0 || len(u) > 4) {
			t.Fatalf("upper bound %x of %x", u, b)
		} else if u == nil && !bytes.HasPrefix(b, []byte{0xff, 0xff, 0xff, 0xff}) {
			t.Fatalf("no upper bound of %x", b)
		}
	})
}

func TestMetricsModes(t *testing.T) {
	schema := schemaOf(
		iceberg.NestedField{Name: "a", Type: iceberg.PrimitiveTypes.String}, iceberg.NestedField{Name: "b", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{Name: "c", Type: iceberg.PrimitiveTypes.String}, iceberg.NestedField{Name: "d", Type: iceberg.PrimitiveTypes.String},
	)
	const text = "twenty-one characters"
	full, cut, none := text, text[:16], "-"
	for _, c := range []struct {
		name  string
		props iceberg.Properties
		sort  string
		want  string // lower bounds of a to d; "-" without bounds, "!" without counts
	}{
		{"default", nil, "", strings.Join([]string{cut, cut, cut, cut}, "|")},
		{
			"modes by column",
			iceberg.Properties{"write.metadata.metrics.column.a": "none", "write.metadata.metrics.column.b": "counts", "write.metadata.metrics.column.c": "full", "write.metadata.metrics.column.d": "truncate(3)"},
			"", strings.Join([]string{"!", none, full, "twe"}, "|"),
		},
		{"default none, sorted columns keep theirs", iceberg.Properties{"write.metadata.metrics.default": "none"}, "c", strings.Join([]string{"!", "!", cut, "!"}, "|")},
		{"inferred for the first", iceberg.Properties{"write.metadata.metrics.max-inferred-column-defaults": "2"}, "", strings.Join([]string{cut, cut, "!", "!"}, "|")},
	} {
		w := newWorld(t, catalog.TableSpec{Schema: schema, Props: c.props, SortBy: c.sort})
		rec := w.fromJSON(fmt.Sprintf(`[{"a": %q, "b": %q, "c": %q, "d": %q}]`, text, text, text, text))
		f := w.stage(Options{}, rec).Files[0]
		rec.Release()
		var got []string
		for id := 1; id <= 4; id++ {
			lower, ok := f.LowerBoundValues()[id]
			_, counted := f.ValueCounts()[id]
			switch {
			case ok:
				got = append(got, string(lower))
			case counted:
				got = append(got, none)
			default:
				got = append(got, "!")
			}
		}
		if g := strings.Join(got, "|"); g != c.want {
			t.Errorf("%s: %s, want %s", c.name, g, c.want)
		}
	}
}

// The manifest holds every transform's result in a type that comes back as the same partition.
func TestPartitionTuplesSurviveTheManifest(t *testing.T) {
	for _, by := range []string{
		"b", "i", "l", "f", "d", "dec9", "dec38", "date", "time", "ts", "tz", "s", "bin", "fix", "u",
		"year(ts)", "month(tz)", "day(ts)", "hour(tz)", "day(date)", "bucket(7, s)", "truncate(4, s)", "truncate(10, dec18)", "bucket(3, dec38), day(ts), s",
	} {
		t.Run(by, func(t *testing.T) {
			w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: by})
			rec := w.random(rand.New(rand.NewPCG(11, 12)), 12)
			defer rec.Release()
			res := w.stage(Options{}, rec)
			want := map[string]string{}
			for _, f := range res.Files {
				want[f.FilePath()] = f.Partition.Key
			}
			tbl := w.commit(res)
			fsys, err := tbl.FS(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			manifests, err := tbl.CurrentSnapshot().Manifests(fsys)
			if err != nil {
				t.Fatal(err)
			}
			seen := 0
			for _, m := range manifests {
				for e, err := range m.Entries(fsys, true) {
					if err != nil {
						t.Fatal(err)
					}
					p := slice.PartitionOf(e.DataFile(), tbl.Spec(), tbl.Schema())
					if p.Key != want[e.DataFile().FilePath()] {
						t.Errorf("partition %q comes back as %q", want[e.DataFile().FilePath()], p.Key)
					}
					seen++
				}
			}
			if seen != len(res.Files) {
				t.Errorf("%d entries, want %d", seen, len(res.Files))
			}
		})
	}
}

func TestNanosecondPartitionsSurviveTheManifest(t *testing.T) {
	schema := schemaOf(
		iceberg.NestedField{Name: "ns", Type: iceberg.PrimitiveTypes.TimestampNs},
		iceberg.NestedField{Name: "tzns", Type: iceberg.PrimitiveTypes.TimestampTzNs},
	)
	for _, by := range []string{"ns", "tzns", "hour(ns)", "bucket(5, tzns)"} {
		w := newWorld(t, catalog.TableSpec{Schema: schema, PartitionBy: by, FormatVersion: 3})
		rec := w.random(rand.New(rand.NewPCG(25, 26)), 10)
		res := w.stage(Options{}, rec)
		want := map[string]int{}
		for _, f := range res.Files {
			want[f.Partition.Key]++
		}
		tbl := w.tbl
		snapshot := int64(1)
		var text bytes.Buffer
		mw, err := iceberg.NewManifestWriter(3, &text, tbl.Spec(), tbl.Schema(), snapshot)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range res.Files {
			if err := mw.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &snapshot, nil, nil, f.DataFile)); err != nil {
				t.Fatal(err)
			}
		}
		if err := mw.Close(); err != nil {
			t.Fatal(err)
		}
		mf, err := mw.ToManifestFile("m.avro", int64(text.Len()))
		if err != nil {
			t.Fatal(err)
		}
		entries, err := iceberg.ReadManifest(mf, &text, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			want[slice.PartitionOf(e.DataFile(), tbl.Spec(), tbl.Schema()).Key]--
		}
		for key, n := range want {
			if n != 0 {
				t.Errorf("%s: partition %q differs by %d files once read back", by, key, n)
			}
		}
		rec.Release()
	}
}

// What is left out to measure its cost is left out everywhere, and nothing else is: pages and rows are the same.
func TestBareFilesHaveNoBoundsAndNoDigest(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: "b"})
	rng := rand.New(rand.NewPCG(5, 6))
	recs := []arrow.RecordBatch{w.random(rng, 300), w.random(rng, 300)}
	defer release(recs)
	whole, res := w.stage(Options{}, recs...), w.stage(Options{Bare: true}, recs...)
	if !bytes.Contains(w.content(whole)[0], []byte(digest.FooterKey)) {
		t.Fatal("a digest in a footer is not found where it is")
	}
	if res.RowsStaged != 600 || res.Digest != (digest.Sum{}) {
		t.Errorf("%d rows staged, digest %s", res.RowsStaged, res.Digest)
	}
	for k, content := range w.content(res) {
		if bytes.Contains(content, []byte(digest.FooterKey)) {
			t.Error("a digest in a footer")
		}
		f := res.Files[k]
		if len(f.LowerBoundValues())+len(f.UpperBoundValues())+len(f.ValueCounts())+len(f.NaNValueCounts()) > 0 || f.Digest != (digest.Sum{}) {
			t.Errorf("file %d tells of its values: %v, digest %s", k, f.LowerBoundValues(), f.Digest)
		}
		_, content, _ = bytes.Cut(content, []byte("\n"))
		r, err := file.NewParquetReader(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		for g := range r.NumRowGroups() {
			for c := range r.MetaData().Schema.NumColumns() {
				chunk, err := r.MetaData().RowGroup(g).ColumnChunk(c)
				if err != nil {
					t.Fatal(err)
				}
				if s, err := chunk.Statistics(); err != nil || s != nil && s.HasMinMax() {
					t.Errorf("column %d has bounds in the footer (%v)", c, err)
				}
			}
		}
		if got, want := f.ColumnSizes(), whole.Files[k].ColumnSizes(); !maps.Equal(got, want) {
			t.Errorf("columns of %v bytes, and of %v with everything", got, want)
		}
	}
	got, _ := w.scan(w.commit(res))
	if d := gocmp.Diff(rows(recs...), got); d != "" {
		t.Errorf("rows differ (-in +scanned):\n%.2000s", d)
	}
}

// A text of no bytes is the least there is, and the greatest where there is no other.
func TestEmptyTextsAreBounds(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: schemaOf(
		iceberg.NestedField{Name: "s", Type: iceberg.PrimitiveTypes.String}, iceberg.NestedField{Name: "b", Type: iceberg.PrimitiveTypes.Binary},
	)})
	rec := w.fromJSON(`[{"s":""},{"b":""}]`)
	defer rec.Release()
	f := w.stage(Options{}, rec).Files[0]
	for _, id := range []int{1, 2} {
		if lo, hi := f.LowerBoundValues()[id], f.UpperBoundValues()[id]; lo == nil || hi == nil || len(lo)+len(hi) > 0 {
			t.Errorf("column %d has the bounds %q and %q, want two empty ones", id, lo, hi)
		}
	}
}
