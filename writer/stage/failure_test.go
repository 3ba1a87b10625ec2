package stage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
)

var errDisk = errors.New("disk on fire")

// faulty is a file system on which the given call, counted from 1, fails; 0 never does.
type faulty struct {
	iceio.WriteFileIO
	failCreate, failWrite, failClose int64
	creates, writes, closes          atomic.Int64
	onCreate                         func()
}

func (f *faulty) Create(name string) (iceio.FileWriter, error) {
	if f.creates.Add(1) == f.failCreate {
		return nil, errDisk
	}
	if f.onCreate != nil {
		f.onCreate()
	}
	w, err := f.WriteFileIO.Create(name)
	return &faultyWriter{w, f}, err
}

type faultyWriter struct {
	iceio.FileWriter
	fs *faulty
}

func (w *faultyWriter) Write(b []byte) (int, error) {
	if w.fs.writes.Add(1) == w.fs.failWrite {
		return 0, errDisk
	}
	return w.FileWriter.Write(b)
}

func (w *faultyWriter) Close() error {
	if w.fs.closes.Add(1) == w.fs.failClose {
		return errors.Join(errDisk, w.FileWriter.Close())
	}
	return w.FileWriter.Close()
}

// on puts the table on another file system.
func (w *world) on(fsys iceio.IO) {
	w.tbl = table.New(w.tbl.Identifier(), w.tbl.Metadata(), w.tbl.MetadataLocation(),
		func(context.Context) (iceio.IO, error) { return fsys, nil }, nil)
}

func TestFailuresLeaveNothingBehind(t *testing.T) {
	for name, fault := range map[string]*faulty{
		"first file not created":  {failCreate: 1},
		"third file not created":  {failCreate: 3},
		"first write fails":       {failWrite: 1},
		"write of a later file":   {failWrite: 17},
		"file not closed":         {failClose: 4},
		"the very first is fatal": {failCreate: 1, failClose: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: "bucket(20, id)", Props: iceberg.Properties{
				table.ParquetRowGroupSizeBytesKey: "20000",
			}})
			fsys, err := w.tbl.FS(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			fault.WriteFileIO = fsys.(iceio.WriteFileIO)
			w.on(fault)
			rng := rand.New(rand.NewPCG(13, 14))
			recs := []arrow.RecordBatch{w.random(rng, 500), w.random(rng, 500)}
			defer release(recs)
			dir := t.TempDir()
			before := runtime.NumGoroutine()
			_, err = Stage(t.Context(), w.tbl, batches(recs...), Options{SpillDir: dir, Memory: 1 << 20, Workers: 3})
			if !errors.Is(err, errDisk) {
				t.Errorf("error %v, want that of the disk", err)
			}
			w.nothingLeft(dir, before)
		})
	}
}

func (w *world) nothingLeft(dir string, goroutines int) {
	w.Helper()
	if l := w.litter(nil); len(l) > 0 {
		w.Errorf("litter: %v", l)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		w.Errorf("spill directory holds %v (%v), want nothing", left, err)
	}
	for wait := 0; runtime.NumGoroutine() > goroutines; wait++ {
		if wait > 3000 {
			w.Errorf("%d goroutines, before %d", runtime.NumGoroutine(), goroutines)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestErrorOfTheInputEndsTheRun(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: "b"})
	rec := w.random(rand.New(rand.NewPCG(15, 16)), 300)
	defer rec.Release()
	dir, before := t.TempDir(), runtime.NumGoroutine()
	broken := errors.New("line 7 is broken")
	_, err := Stage(t.Context(), w.tbl, func(yield func(arrowconv.Batch, error) bool) {
		for b := range batches(rec) {
			if !yield(b, nil) {
				return
			}
		}
		yield(arrowconv.Batch{}, broken)
	}, Options{SpillDir: dir})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the input", err)
	}
	w.nothingLeft(dir, before)
}

func TestCancellingRemovesWhatWasStaged(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: "bucket(100, id)"})
	fsys, err := w.tbl.FS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	f := &faulty{WriteFileIO: fsys.(iceio.WriteFileIO)}
	f.onCreate = func() {
		if f.creates.Load() == 5 {
			cancel(stop)
		}
	}
	w.on(f)
	rec := w.random(rand.New(rand.NewPCG(17, 18)), 500)
	defer rec.Release()
	dir, before := t.TempDir(), runtime.NumGoroutine()
	if _, err = Stage(ctx, w.tbl, batches(rec), Options{SpillDir: dir}); !errors.Is(err, stop) {
		t.Errorf("error %v, want the cause of the cancellation", err)
	}
	if f.creates.Load() > 20 { // up to eight were past the check
		t.Errorf("%d files begun, most after the run was cancelled", f.creates.Load())
	}
	w.nothingLeft(dir, before)
}

func TestRemoveDeletesStagedFiles(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType(), PartitionBy: "b"})
	rec := w.random(rand.New(rand.NewPCG(19, 20)), 50)
	defer rec.Release()
	res := w.stage(Options{}, rec)
	for range 2 { // the second time there is nothing to remove, which is no error
		if err := Remove(t.Context(), w.tbl, res.Files); err != nil {
			t.Error(err)
		}
	}
	if l := w.litter(nil); len(l) > 0 {
		t.Errorf("litter: %v", l)
	}
}

func TestPropertiesThatCannotBeUsed(t *testing.T) {
	schema := schemaOf(iceberg.NestedField{Name: "a", Type: iceberg.PrimitiveTypes.String})
	for _, c := range []struct {
		key, value string
		want       error
	}{
		{"write.parquet.compression-codec", "rar", ErrProperty},
		{"write.parquet.compression-level", "99", ErrProperty},
		{"write.parquet.compression-level", "fast", ErrProperty},
		{"write.target-file-size-bytes", "0", ErrProperty},
		{"write.parquet.row-group-size-bytes", "big", ErrProperty},
		{"write.parquet.page-version", "3", ErrProperty},
		{encodingsKey, "delta", ErrProperty},
		{"write.metadata.metrics.default", "truncate(0)", ErrProperty},
		{"write.metadata.metrics.column.a", "some", ErrProperty},
		{"write.format.default", "orc", ErrUnsupported},
	} {
		w := newWorld(t, catalog.TableSpec{Schema: schema, Props: iceberg.Properties{c.key: c.value}})
		_, err := Stage(t.Context(), w.tbl, batches(), Options{})
		if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.key) {
			t.Errorf("%s = %s: error %v, want %v naming the property", c.key, c.value, err, c.want)
		}
	}
}

func TestCodecs(t *testing.T) {
	for _, codec := range []string{"zstd", "gzip", "snappy", "lz4", "brotli", "uncompressed", "ZSTD"} {
		for _, version := range []string{"v1", "v2"} {
			w := newWorld(t, catalog.TableSpec{Schema: everyType(), Props: iceberg.Properties{
				"write.parquet.compression-codec": codec, "write.parquet.page-version": version,
				"write.parquet.page-row-limit": "100", "write.parquet.page-size-bytes": "2000",
			}})
			rec := w.random(rand.New(rand.NewPCG(21, 22)), 700)
			res := w.stage(Options{}, rec)
			got, sum := w.scan(w.commit(res))
			if sum != res.Digest || len(got) != 700 {
				t.Errorf("%s, pages %s: %d rows with digest %s, staged %s", codec, version, len(got), sum, res.Digest)
			}
			rec.Release()
		}
	}
}

func TestLocations(t *testing.T) {
	const loc = "s3://bucket/ns/t"
	for _, c := range []struct {
		props           iceberg.Properties
		partition, want string
	}{
		{nil, "", loc + "/data/f.parquet"},
		{nil, "s=a%2Fb", loc + "/data/s=a%2Fb/f.parquet"},
		{iceberg.Properties{"write.data.path": "s3://other/d/"}, "s=x", "s3://other/d/s=x/f.parquet"},
		{iceberg.Properties{"write.object-storage.enabled": "true"}, "", loc + "/data/" + entropy("f.parquet") + "/f.parquet"},
		{iceberg.Properties{"write.object-storage.enabled": "true"}, "s=x", loc + "/data/" + entropy("s=x/f.parquet") + "/s=x/f.parquet"},
		{iceberg.Properties{"write.object-storage.enabled": "true", "write.object-storage.partitioned-paths": "false"}, "s=x", loc + "/data/" + entropy("f.parquet") + "-f.parquet"},
		{iceberg.Properties{"write.object-storage.enabled": "true", "write.data.path": "s3://other/d"}, "", "s3://other/d/" + entropy("f.parquet") + "/ns/t/f.parquet"},
	} {
		if got := newLocations(loc+"/", c.props).file(c.partition, "f.parquet"); got != c.want {
			t.Errorf("%v, partition %q: %s, want %s", c.props, c.partition, got, c.want)
		}
	}
	// The same path as other writers of object storage layouts give, from Iceberg's documentation.
	p, err := table.LoadLocationProvider(loc, iceberg.Properties{"write.object-storage.enabled": "true"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := newLocations(loc, iceberg.Properties{"write.object-storage.enabled": "true"}).file("", "a.parquet"), p.NewDataLocation("a.parquet"); got != want {
		t.Errorf("%s, iceberg-go has %s", got, want)
	}
}

func TestEmptyInputStagesNothing(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType()})
	rec := w.random(rand.New(rand.NewPCG(23, 24)), 0)
	defer rec.Release()
	res := w.stage(Options{}, rec)
	if len(res.Files) != 0 || res.RowsStaged != 0 || res.Digest.Rows != 0 {
		t.Errorf("staged %d rows in %d files of an empty input", res.RowsStaged, len(res.Files))
	}
}

func TestCancelledInputIsNoEmptyInput(t *testing.T) {
	w := newWorld(t, catalog.TableSpec{Schema: everyType()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in := func(yield func(arrowconv.Batch, error) bool) { yield(arrowconv.Batch{}, ctx.Err()) }
	for range 50 {
		if res, err := Stage(ctx, w.tbl, in, Options{Workers: 1}); !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, %v, want %v", res, err, context.Canceled)
		}
	}
}
