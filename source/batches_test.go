package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"pgregory.net/rapid"

	"github.com/icewright/icewright/arrowconv"
)

var idSchema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
	iceberg.NestedField{ID: 2, Name: "name", Type: iceberg.PrimitiveTypes.String},
)

// ndjson writes rows of ids from first on.
func ndjson(first, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"id\":%d,\"name\":\"row %d\"}\n", first+i, first+i)
	}
	return b.String()
}

func parquetOf(t testing.TB, first, n int) string {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "name", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := range n {
		b.Field(0).(*array.Int64Builder).Append(int64(first + i))
		b.Field(1).(*array.StringBuilder).Append(fmt.Sprintf("row %d", first+i))
	}
	record := b.NewRecordBatch()
	defer record.Release()
	var file bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &file, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(record), w.Close()); err != nil {
		t.Fatal(err)
	}
	return file.String()
}

// collect reads objects and tells, in order, what came: "name:row=id", or "name:row!" for a reject.
func collect(ctx context.Context, objects []Object, o arrowconv.Options, rejects bool) ([]string, error) {
	var got []string
	if rejects {
		o.OnReject = func(r arrowconv.Reject) error {
			got = append(got, fmt.Sprintf("%s:%d!", filepath.Base(r.Source), r.Row))
			return nil
		}
	}
	for b, err := range Batches(ctx, objects, idSchema, o) {
		if err != nil {
			return got, err
		}
		for i, id := range b.Column(0).(*array.Int64).Int64Values() {
			got = append(got, fmt.Sprintf("%s:%d=%d", filepath.Base(b.Source), b.RowNumber(i), id))
		}
		b.Release()
	}
	return got, nil
}

// TestBatches: objects of every format and compression, in order, rows numbered in each.
func TestBatches(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	objects := map[string]string{
		"1.ndjson": ndjson(0, 3), "2.ndjson.gz": gzipOf(t, ndjson(3, 2), ndjson(5, 1)), "3.parquet": parquetOf(t, 6, 3),
		"4.jsonl.zst": zstdOf(t, ndjson(9, 1)), "5.ndjson": "", "6.parquet.gz": gzipOf(t, parquetOf(t, 10, 2)), "7.ndjson": ndjson(12, 1),
	}
	for name, text := range objects {
		write(t, filepath.Join(dir, name), text)
	}
	const want = "1.ndjson:1=0 1.ndjson:2=1 1.ndjson:3=2 2.ndjson.gz:1=3 2.ndjson.gz:2=4 2.ndjson.gz:3=5 3.parquet:1=6 3.parquet:2=7 3.parquet:3=8 " +
		"4.jsonl.zst:1=9 6.parquet.gz:1=10 6.parquet.gz:2=11 7.ndjson:1=12"
	b := newBucket(t, nil)
	for name, text := range objects {
		b.put(t, "in/"+name, text)
	}
	for arg, o := range map[string]Options{dir: {}, "s3://data/in": b.options()} {
		found, err := Resolve(t.Context(), []string{arg}, o)
		if err != nil {
			t.Fatal(err)
		}
		alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
		got, err := collect(t.Context(), found, arrowconv.Options{Alloc: alloc, SpillDir: t.TempDir()}, false)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v\ngot  %v\nwant %s", arg, err, got, want)
		}
		alloc.AssertSize(t, 0)
	}
}

// TestBatchesInvariance: neither workers nor the sizes of chunks and files change what comes, nor in
// which order; and reading ends cleanly wherever its caller stops.
func TestBatchesInvariance(t *testing.T) {
	noLeaks(t)
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "case")
		if err != nil {
			rt.Fatal(err)
		}
		var want []string
		id := 0
		for f := range rapid.IntRange(1, 12).Draw(rt, "files") {
			name := fmt.Sprintf("%02d.ndjson", f)
			var text strings.Builder
			for row := range rapid.IntRange(0, 60).Draw(rt, "rows") {
				switch rapid.IntRange(0, 9).Draw(rt, "kind") {
				case 0:
					text.WriteString("{\"id\":\"bad\"}\n")
					want = append(want, fmt.Sprintf("%s:%d!", name, row+1))
				default:
					text.WriteString(ndjson(id, 1))
					want = append(want, fmt.Sprintf("%s:%d=%d", name, row+1, id))
					id++
				}
			}
			stored := text.String()
			if rapid.Bool().Draw(rt, "gzip") {
				stored = gzipOf(t, stored)
			}
			write(t, filepath.Join(dir, name), stored)
		}
		objects, err := Resolve(t.Context(), []string{dir}, Options{})
		if err != nil {
			rt.Fatal(err)
		}
		alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
		o := arrowconv.Options{Alloc: alloc, Workers: rapid.IntRange(1, 5).Draw(rt, "workers"), ChunkBytes: rapid.IntRange(1, 2000).Draw(rt, "chunk")}
		got, err := collect(t.Context(), objects, o, true)
		if err != nil {
			rt.Fatal(err)
		}
		// Within a chunk the rejects come before the rows; row numbers put all in place.
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			rt.Fatalf("got  %v\nwant %v", got, want)
		}
		stop := rapid.IntRange(0, 5).Draw(rt, "stop after")
		o.OnReject = func(arrowconv.Reject) error { return nil }
		for b, err := range Batches(t.Context(), objects, idSchema, o) {
			if err != nil {
				rt.Fatal(err)
			}
			b.Release()
			if stop--; stop < 0 {
				break
			}
		}
		if n := alloc.CurrentAlloc(); n != 0 {
			rt.Fatalf("%d bytes are left", n)
		}
	})
}

// TestBatchesErrors: the first error in the order of the objects is the one that is told, and it ends
// the sequence.
func TestBatchesErrors(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	for i := range 6 {
		write(t, filepath.Join(dir, fmt.Sprintf("%d.ndjson", i)), ndjson(i*10, 10))
	}
	write(t, filepath.Join(dir, "2.ndjson"), ndjson(20, 5)+"{\"id\":null}\n"+ndjson(25, 4))
	write(t, filepath.Join(dir, "3.ndjson"), "{\"other\":1}\n")
	write(t, filepath.Join(dir, "4.ndjson"), gzipOf(t, ndjson(40, 10))[:20])
	objects, err := Resolve(t.Context(), []string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	defer alloc.AssertSize(t, 0)
	for _, c := range []struct {
		skip    int
		rejects bool
		rows    int
		want    string
	}{
		{0, false, 20, `2.ndjson: row 6: column "id": cannot read "null" as long: null in a required column`},
		{0, true, 30, `3.ndjson: row 1: column "other" is not in the table`},
		{4, true, 0, `4.ndjson: the gzip stream ends in the middle`},
	} {
		got, err := collect(t.Context(), objects[c.skip:], arrowconv.Options{Alloc: alloc, Format: arrowconv.NDJSON}, c.rejects)
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, arrowconv.ErrInput) {
			t.Errorf("got %v, want %s", err, c.want)
		}
		if len(got) != c.rows {
			t.Errorf("%d rows before the error, want %d", len(got), c.rows)
		}
	}
	enough := errors.New("too many rejects")
	o := arrowconv.Options{Alloc: alloc, OnReject: func(arrowconv.Reject) error { return enough }}
	for b, err := range Batches(t.Context(), objects, idSchema, o) {
		if err != nil {
			if !errors.Is(err, enough) {
				t.Errorf("got %v", err)
			}
			return
		}
		b.Release()
	}
	t.Error("the error of OnReject was lost")
}

// TestBatchesCancel: a stream that never ends does, with its context.
func TestBatchesCancel(t *testing.T) {
	for _, kind := range stdinKinds {
		t.Run(kind, func(t *testing.T) {
			noLeaks(t)
			in, w := stdinOf(t, kind)
			defer w.Close()
			if _, err := w.WriteString(ndjson(0, 10)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			objects, err := Resolve(t.Context(), []string{"-"}, Options{Stdin: in})
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(50*time.Millisecond, cancel)
			_, err = collect(ctx, objects, arrowconv.Options{Format: arrowconv.NDJSON, ChunkBytes: 16}, false)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestStopOnPipe: a caller who stops does not wait for a pipe that has nothing to say.
func TestStopOnPipe(t *testing.T) {
	noLeaks(t)
	in, w := stdinOf(t, "pipe")
	defer w.Close()
	if _, err := w.WriteString(ndjson(0, 10)); err != nil {
		t.Fatal(err)
	}
	objects, err := Resolve(t.Context(), []string{"-"}, Options{Stdin: in})
	if err != nil {
		t.Fatal(err)
	}
	for b, err := range Batches(t.Context(), objects, idSchema, arrowconv.Options{Format: arrowconv.NDJSON, ChunkBytes: 16}) {
		if err != nil {
			t.Fatal(err)
		}
		b.Release()
		break
	}
}

func TestInfer(t *testing.T) {
	noLeaks(t)
	text := ndjson(0, 1000)
	in, w := stdinOf(t, "pipe")
	go func() {
		_, _ = w.WriteString(text)
		_ = w.Close()
	}()
	objects, err := Resolve(t.Context(), []string{"-"}, Options{Stdin: in})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := Infer(t.Context(), objects, arrowconv.InferOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := schema.String(); !strings.Contains(got, "id: optional long") || !strings.Contains(got, "name: optional string") {
		t.Errorf("inferred %s", got)
	}
	got, err := collect(t.Context(), objects, arrowconv.Options{}, false)
	if err != nil || len(got) != 1000 {
		t.Errorf("%d rows after inference: %v", len(got), err)
	}

	dir := t.TempDir()
	write(t, filepath.Join(dir, "1.ndjson"), "")
	write(t, filepath.Join(dir, "2.ndjson"), ndjson(0, 1))
	objects, err = Resolve(t.Context(), []string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if schema, err := Infer(t.Context(), objects, arrowconv.InferOptions{}); err != nil || schema.NumFields() != 2 {
		t.Errorf("inferred %s, %v", schema, err)
	}
	if _, err := Infer(t.Context(), nil, arrowconv.InferOptions{}); !errors.Is(err, arrowconv.ErrInput) {
		t.Errorf("of nothing: %v", err)
	}
}

func BenchmarkBatches(b *testing.B) {
	dir := b.TempDir()
	text := ndjson(0, 20_000)
	for _, c := range []struct {
		name, suffix, stored string
		files                int
	}{
		{"one file", "", strings.Repeat(text, 40), 1}, {"many files", "", text, 40}, {"gzip", ".gz", gzipOf(b, strings.Repeat(text, 40)), 1}, {"zstd", ".zst", zstdOf(b, strings.Repeat(text, 40)), 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			sub := filepath.Join(dir, c.name)
			if err := os.MkdirAll(sub, 0o755); err != nil {
				b.Fatal(err)
			}
			for i := range c.files {
				write(b, filepath.Join(sub, fmt.Sprintf("%d.ndjson%s", i, c.suffix)), c.stored)
			}
			objects, err := Resolve(b.Context(), []string{sub}, Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(40 * len(text)))
			for b.Loop() {
				for batch, err := range Batches(b.Context(), objects, idSchema, arrowconv.Options{}) {
					if err != nil {
						b.Fatal(err)
					}
					batch.Release()
				}
			}
		})
	}
}

// A file of a few rows costs what its rows do: not the buffers that a large one would fill.
func TestManySmallFiles(t *testing.T) {
	const files, most = 1000, 300 << 10
	for suffix, text := range map[string]string{".csv": "id,v\n1,a\n2,b\n", ".ndjson": "{\"id\":1,\"v\":\"a\"}\n{\"id\":2,\"v\":\"b\"}\n"} {
		dir := t.TempDir()
		for i := range files {
			write(t, filepath.Join(dir, fmt.Sprintf("%04d%s", i, suffix)), text)
		}
		objects, err := Resolve(t.Context(), []string{dir}, Options{})
		if err != nil || len(objects) != files {
			t.Fatalf("%d objects, %v", len(objects), err)
		}
		schema := iceberg.NewSchema(0,
			iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64}, iceberg.NestedField{ID: 2, Name: "v", Type: iceberg.PrimitiveTypes.String})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		rows := int64(0)
		for b, err := range Batches(t.Context(), objects, schema, arrowconv.Options{}) {
			if err != nil {
				t.Fatal(err)
			}
			rows += b.NumRows()
			b.Release()
		}
		runtime.ReadMemStats(&after)
		if rows != 2*files {
			t.Errorf("%s: %d rows", suffix, rows)
		}
		if each := (after.TotalAlloc - before.TotalAlloc) / files; each > most {
			t.Errorf("%s: %d bytes allocated for each file, at most %d are wanted", suffix, each, most)
		} else {
			t.Logf("%s: %d bytes a file", suffix, each)
		}
	}
}
