package writer_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/publish"
)

// contents are what a partition holds, by reading it.
type contents struct {
	path  string
	rows  int64
	files int
}

// contentsOf reads every live file, and says what partitions hold, by their keys. told is false where some file has
// deletes that don't tell how many rows they hit.
func contentsOf(t *rapid.T, cat publish.Catalog) (all map[string]contents, told bool) {
	t.Helper()
	tbl, err := cat.LoadTable(t.Context(), ident)
	if err != nil {
		t.Fatal(err)
	}
	files, err := live.Read(t.Context(), tbl, tbl.CurrentSnapshot(), nil)
	if err != nil {
		t.Fatal(err)
	}
	all, told = map[string]contents{}, true
	for _, f := range files.Data {
		c := all[f.Partition.Key]
		c.path = f.Partition.Path
		c.files++
		n := int64(0)
		for rec, err := range live.Rows(t.Context(), tbl, f.Task(), live.Columns(tbl.Schema())) {
			if err != nil {
				t.Fatal(err)
			}
			n += rec.NumRows()
			rec.Release()
		}
		if certain, ok := f.CertainRows(); !ok {
			told = false
		} else if certain != n {
			t.Fatalf("%s has %d rows for certain, and %d are read", f.DataFile().FilePath(), certain, n)
		}
		c.rows += n
		all[f.Partition.Key] = c
	}
	return all, told
}

// wantPartitions sees that a receipt tells what became of each partition that is not what it was, and of no other. Where
// something is not known, there is no number: never a wrong one. planned is a dry run of what was then done.
func wantPartitions(t *rapid.T, before, after map[string]contents, told bool, planned, res writer.Result) {
	t.Helper()
	check := func(what string, p writer.Partition, dry bool) {
		was, is := before[p.Partition.Key], after[p.Partition.Key]
		switch {
		case p.RowsBefore != nil && *p.RowsBefore != was.rows, p.RowsAfter != nil && *p.RowsAfter != is.rows, p.FilesBefore != was.files,
			!dry && (p.FilesAfter == nil || *p.FilesAfter != is.files):
			t.Fatalf("%s says of %q %s, it had %+v and has %+v", what, p.Partition.Path, text(p), was, is)
		case told && p.RowsBefore == nil, told && !dry && p.RowsAfter == nil, p.RowsAfter != nil && p.RowsBefore == nil:
			t.Fatalf("%s does not say what %q had and has: %s", what, p.Partition.Path, text(p))
		}
	}
	listed := map[string]bool{}
	for _, p := range res.Partitions {
		check("the run", p, false)
		listed[p.Partition.Key] = true
	}
	for _, p := range planned.Partitions {
		check("the plan", p, true)
		if !listed[p.Partition.Key] {
			t.Fatalf("the plan lists %q, the run does not", p.Partition.Path)
		}
	}
	for key := range maps.Keys(before) {
		if !listed[key] && before[key] != after[key] {
			t.Fatalf("partition %q had %+v, has %+v, and is not listed", before[key].path, before[key], after[key])
		}
	}
	for key := range maps.Keys(after) {
		if !listed[key] && before[key] != after[key] {
			t.Fatalf("partition %q has %+v and is not listed", after[key].path, after[key])
		}
	}
}

func text(p writer.Partition) string {
	number := func(n *int64) string {
		if n == nil {
			return "?"
		}
		return fmt.Sprint(*n)
	}
	files := "?"
	if p.FilesAfter != nil {
		files = fmt.Sprint(*p.FilesAfter)
	}
	return fmt.Sprintf("%s %s -> %s rows, %d -> %s files", p.Partition.Path, number(p.RowsBefore), number(p.RowsAfter), p.FilesBefore, files)
}

func texts(res writer.Result) (all []string) {
	for _, p := range res.Partitions {
		all = append(all, text(p))
	}
	return all
}

// The receipt of a merge and of an insert says what became of the partitions that they touched: those that rows come
// to and those that they leave.
func TestMergeTellsPartitions(t *testing.T) {
	cat := versioned(t, 2, "region")
	expect := func(what string, res writer.Result, want ...string) {
		t.Helper()
		if got := texts(res); !slices.Equal(got, want) {
			t.Errorf("%s:\n%q, want\n%q", what, got, want)
		}
	}
	first := mustLoad(t, cat, merging("id"), row{1, "ea", 1}, row{2, "we", 2}, row{3, "we", 3}, row{4, "no", 4}, row{9, "so", 9})
	expect("the first", first, "region=ea 0 -> 1 rows, 0 -> 1 files", "region=no 0 -> 1 rows, 0 -> 1 files", "region=so 0 -> 1 rows, 0 -> 1 files", "region=we 0 -> 2 rows, 0 -> 1 files")

	// 2 moves from we to ea, 4 stays as it is, 9 goes, and 5 is new.
	o := merging("id")
	o.Merge.DeleteWhen = sliceOf(t, schema, "amount = 0")
	rows := []row{{2, "ea", 20}, {4, "no", 4}, {9, "so", 0}, {5, "-", 5}}
	dry := o
	dry.DryRun = true
	expect("the plan", mustLoad(t, cat, dry, rows...), "region=ea 1 -> 2 rows, 1 -> ? files", "region=null 0 -> 1 rows, 0 -> ? files", "region=so 1 -> 0 rows, 1 -> ? files", "region=we 2 -> 1 rows, 1 -> ? files")
	expect("the merge", mustLoad(t, cat, o, rows...), "region=ea 1 -> 2 rows, 1 -> 2 files", "region=null 0 -> 1 rows, 0 -> 1 files", "region=so 1 -> 0 rows, 1 -> 0 files", "region=we 2 -> 1 rows, 1 -> 1 files")
	expect("a rerun", mustLoad(t, cat, o, rows...))

	onRead := merging("id")
	onRead.Merge.OnRead = true
	expect("on read", mustLoad(t, cat, onRead, row{3, "we", 30}, row{1, "no", 1}), "region=ea 2 -> 1 rows, 2 -> 2 files", "region=no 1 -> 2 rows, 1 -> 2 files", "region=we 1 -> 1 rows, 1 -> 2 files")

	insert := writer.Options{Insert: &writer.Insert{Key: []string{"id"}}}
	expect("an insert", mustLoad(t, cat, insert, row{3, "we", 31}, row{7, "so", 7}), "region=so 0 -> 1 rows, 0 -> 1 files")
}

// A file with equality deletes that lies out of reach of the keys is not read to find out how many rows they
// hit: then what its partition had is not known, and what is known of others is told. Where such a file was
// read, its rows were counted.
func TestMergeKnowsNotWhatItDoesNotRead(t *testing.T) {
	cat := versioned(t, 2, "region")
	mustLoad(t, cat, merging("id"), row{1, "ea", 1}, row{2, "ea", 2}, row{3, "we", 3})
	deleteEqual(t, cat, row{1, "ea", 1})
	if got, want := texts(mustLoad(t, cat, merging("id"), row{50, "ea", 50}, row{51, "we", 51})), []string{"region=ea ? -> ? rows, 1 -> 2 files", "region=we 1 -> 2 rows, 1 -> 2 files"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := texts(mustLoad(t, cat, merging("id"), row{2, "ea", 20})), []string{"region=ea 2 -> 2 rows, 2 -> 2 files"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Rows that stay of a file of an older spec are routed by the current one, once they are staged: a dry run, which stages
// nothing, does not say what the partitions of the current spec will have.
func TestMergeTellsPartitionsOfTwoSpecs(t *testing.T) {
	cat := versioned(t, 2, "")
	mustLoad(t, cat, merging("id"), row{1, "ea", 1}, row{2, "we", 2})
	repartition(t, cat, "region")
	dry := merging("id")
	dry.DryRun = true
	if got, want := texts(mustLoad(t, cat, dry, row{2, "ea", 20})), []string{" 2 -> 0 rows, 1 -> ? files", "region_1_0=ea 0 -> ? rows, 0 -> ? files"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := texts(mustLoad(t, cat, merging("id"), row{2, "ea", 20})), []string{" 2 -> 0 rows, 1 -> 0 files", "region_1_0=ea 0 -> 2 rows, 0 -> 2 files"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
