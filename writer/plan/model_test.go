package plan_test

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcat"
	"github.com/icewright/icewright/writer/plan"
	"github.com/icewright/icewright/writer/publish"
	"github.com/icewright/icewright/writer/slice"
)

var modelSchema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	iceberg.NestedField{ID: 2, Name: "d", Type: iceberg.PrimitiveTypes.Date},
	iceberg.NestedField{ID: 3, Name: "s", Type: iceberg.PrimitiveTypes.String},
)

// modelRow is a row; "" is null.
type modelRow struct {
	id   int
	d, s string
}

func (r modelRow) csv() string { return fmt.Sprintf("%d,%s,%s\n", r.id, r.d, r.s) }

func (r modelRow) String() string {
	null := func(s string) string {
		if s == "" {
			return "(null)"
		}
		return s
	}
	return fmt.Sprintf("  %d | %s | %s", r.id, null(r.d), null(r.s))
}

func drawRows(t *rapid.T) []modelRow {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) modelRow {
		return modelRow{
			rapid.IntRange(1, 9).Draw(t, "id"),
			rapid.SampledFrom([]string{"", "1969-12-31", "2024-01-15", "2024-01-16", "2024-02-01"}).Draw(t, "d"),
			rapid.SampledFrom([]string{"", "a", "ab", "b"}).Draw(t, "s"),
		}
	}), 1, 4).Draw(t, "rows")
}

func csvOf(rows []modelRow) string {
	var out strings.Builder
	out.WriteString("id,d,s\n")
	for _, r := range rows {
		out.WriteString(r.csv())
	}
	return out.String()
}

// partition is the row's partition under spec, by iceberg-go's transforms.
func (r modelRow) partition(spec iceberg.PartitionSpec) string {
	var key []string
	for _, f := range spec.Fields() {
		var v iceberg.Optional[iceberg.Literal]
		switch f.SourceID() {
		case 1:
			v = iceberg.Optional[iceberg.Literal]{Valid: true, Val: iceberg.NewLiteral(int64(r.id))}
		case 2:
			if d, err := time.Parse(time.DateOnly, r.d); err == nil {
				v = iceberg.Optional[iceberg.Literal]{Valid: true, Val: iceberg.NewLiteral(iceberg.Date(d.Unix() / 86400))}
			}
		case 3:
			if r.s != "" {
				v = iceberg.Optional[iceberg.Literal]{Valid: true, Val: iceberg.NewLiteral(r.s)}
			}
		}
		if out := f.Transform.Apply(v); out.Valid {
			key = append(key, out.Val.String())
		} else {
			key = append(key, "NULL")
		}
	}
	return strings.Join(key, "/")
}

// inside tells which rows are in the slice.
func (b *bench) inside(s *slice.Slice, rows []modelRow) []bool {
	in := make([]bool, len(rows))
	if len(rows) == 0 {
		return in
	}
	at := 0
	for _, rec := range b.records(b.table().Schema(), csvOf(rows)) {
		sel, err := s.Rows(rec)
		b.ok(err)
		for i := range int(rec.NumRows()) {
			in[at] = sel == nil || sel.Inside(i)
			at++
		}
		rec.Release()
	}
	return in
}

var partitionings = []string{"", "d", "month(d)", "bucket(3, id)", "truncate(1, s)", "s, year(d)"}

// TestModel: whatever happened to a table (appends by two writers, merge-on-read deletes,
// equality deletes, new partition specs), a plan that is published leaves
// exactly the staged rows in the slice and all others alone; and the same input again is
// unchanged where no delete hides rows.
func TestModel(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		_ = checks.Value.Set("40") // a table and its files take a while
		defer func() { _ = checks.Value.Set(checks.DefValue) }()
	}
	rewritten, published, unchanged := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		b := &bench{TB: t, cat: testcat.New(t), names: map[string]string{}, count: map[string]int{}}
		version := rapid.IntRange(2, 3).Draw(rt, "version")
		_, _, err := b.cat.CreateTable(b.Context(), ident, catalog.TableSpec{
			Schema: modelSchema, FormatVersion: version, PartitionBy: rapid.SampledFrom(partitionings).Draw(rt, "by"),
			Props: iceberg.Properties{"write.delete.mode": "merge-on-read"},
		})
		b.ok(err)
		var rows []modelRow
		evolved := false
		check := func(what string) {
			want := []string{}
			for _, r := range rows {
				want = append(want, r.String())
			}
			slices.Sort(want)
			if got := strings.TrimSuffix(b.rows(), "\n"); got != strings.Join(want, "\n") {
				rt.Fatalf("after %s the table holds\n%s\nwant\n%s", what, got, strings.Join(want, "\n"))
			}
		}
		for range rapid.IntRange(2, 8).Draw(rt, "steps") {
			switch what := rapid.SampledFrom([]string{"append", "append iceberg", "delete", "eq-delete", "evolve", "replace", "slice", "replace", "slice", "table"}).Draw(rt, "step"); what {
			case "append":
				more := drawRows(rt)
				c := &publish.Change{Operation: table.OpAppend}
				for _, f := range b.stage(csvOf(more)) {
					c.Add = append(c.Add, f.DataFile)
				}
				b.publish(b.table(), c)
				rows = append(rows, more...)
				check(what)
			case "append iceberg":
				more := drawRows(rt)
				tbl := b.table()
				recs := b.records(tbl.Schema(), csvOf(more))
				rdr, err := array.NewRecordReader(recs[0].Schema(), recs)
				b.ok(err)
				tx := tbl.NewTransaction()
				b.ok(tx.Append(b.Context(), rdr, nil))
				_, err = tx.Commit(b.Context())
				b.ok(err)
				rows = append(rows, more...)
				check(what)
			case "delete":
				id := rapid.IntRange(1, 9).Draw(rt, "id")
				// iceberg-go files position deletes for data of an older spec under the current one,
				// where its own scan does not find them.
				if evolved || !slices.ContainsFunc(rows, func(r modelRow) bool { return r.id == id }) {
					continue
				}
				tx := b.table().NewTransaction()
				b.ok(tx.Delete(b.Context(), iceberg.EqualTo(iceberg.Reference("id"), int64(id)), nil))
				_, err := tx.Commit(b.Context())
				b.ok(err)
				rows = slices.DeleteFunc(rows, func(r modelRow) bool { return r.id == id })
				check(what)
			case "eq-delete":
				if spec := b.table().Spec(); !spec.IsUnpartitioned() || len(rows) == 0 {
					continue // iceberg-go writes those of partitions by their partition columns only
				}
				id := rapid.IntRange(1, 9).Draw(rt, "id")
				b.eqDeleteRows("id", fmt.Sprintf("id\n%d\n", id))
				rows = slices.DeleteFunc(rows, func(r modelRow) bool { return r.id == id })
				check(what)
			case "evolve":
				evolved = true
				b.repartition(rapid.SampledFrom(partitionings).Draw(rt, "by"))
			default:
				tbl := b.table()
				staged := drawRows(rt)
				o := plan.Options{AllowShrink: true, Partitions: partitions, CompareRows: rapid.Bool().Draw(rt, "compare")}
				var in func([]modelRow) []bool
				switch what {
				case "replace":
					spec := tbl.Spec()
					touched := map[string]bool{}
					for _, r := range staged {
						touched[r.partition(spec)] = true
					}
					in = func(rows []modelRow) []bool {
						out := make([]bool, len(rows))
						for i, r := range rows {
							out[i] = touched[r.partition(spec)]
						}
						return out
					}
				case "slice":
					expr := rapid.SampledFrom([]string{
						"d = 2024-01-15", "d < 2024-01-20", "month(d) = 2024-01", "d is null", "s = a", "truncate(1, s) = a", "s is null or s > 'a'",
						"bucket(3, id) = 1", "id <= 4", "d = 2024-01-15 and s = a",
					}).Draw(rt, "slice")
					s, err := slice.Parse(expr, tbl.Schema(), nil)
					b.ok(err)
					o.Slice, o.OnEmpty = s, plan.OnEmptyClear
					in = func(rows []modelRow) []bool { return b.inside(s, rows) }
					keep := in(staged)
					var mine []modelRow
					for i, r := range staged {
						if keep[i] {
							mine = append(mine, r)
						}
					}
					staged = mine
				case "table":
					o.ReplaceTable = true
					in = func(rows []modelRow) []bool {
						return slices.Repeat([]bool{true}, len(rows))
					}
				}
				files := b.stage(csvOf(staged))
				p, err := plan.Replace(b.Context(), tbl, files, o)
				if spec := tbl.Spec(); what == "replace" && spec.IsUnpartitioned() {
					if !errors.Is(err, plan.ErrGuard) {
						rt.Fatalf("replace of an unpartitioned table: %v", err)
					}
					continue
				}
				b.ok(err)
				if len(p.Rewrite) > 0 {
					rewritten++
				}
				gone := in(rows)
				var stay []modelRow
				for i, r := range rows {
					if !gone[i] {
						stay = append(stay, r)
					}
				}
				rows = append(stay, staged...)
				if p.Unchanged {
					unchanged++
				} else {
					b.publish(tbl, b.change(tbl, p))
					published++
				}
				check(what)
				again, err := plan.Replace(b.Context(), b.table(), b.stage(csvOf(staged)), o)
				b.ok(err)
				if !again.Unchanged {
					rt.Fatalf("%s again: +%d -%d files: %+v", what, again.FilesAdded(), again.FilesRemoved(), again.Partitions)
				}
			}
		}
	})
	t.Logf("%d published, %d of them with rows carried over, %d unchanged", published, rewritten, unchanged)
}
