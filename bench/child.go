package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer"
	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/live"
	"github.com/icewright/icewright/writer/stage"
)

// childJob is what bench has a process of its own do, in its working directory.
type childJob struct {
	// Digest is a directory of Parquet files to find the digest of, as rows of the schema file Schema.
	Digest, Schema string
	// Writer is what writes Rows made-up rows: stage, WriteRecords or pqarrow. Check reads them back.
	Writer string
	Rows   int
	Check  bool
	// Make is the path of a file of InFile to make.
	Make   string
	InFile rows
	// Stage is the path of a file to write for the table bench.rows, in the catalog that is there, with
	// stage.Options.Bare.
	Stage string
	// Table asks for the digest of the live rows of the table bench.rows, in the catalog that is there.
	Table bool
}

func (j childJob) String() string {
	text, _ := json.Marshal(j) // of strings and numbers
	return string(text)
}

// child carries out a childJob and prints its measure.
func child(ctx context.Context, text string, out io.Writer) (err error) {
	var j childJob
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	var m measure
	switch {
	case j.Writer != "":
		m, err = writeInMemory(ctx, j)
	case j.Make != "":
		err = j.InFile.write(j.Make)
	case j.Stage != "":
		m, err = stageBare(ctx, j.Stage)
	case j.Table:
		m.Rows, m.Digest, err = digestOfTable(ctx)
	default:
		var schema []byte
		if schema, err = os.ReadFile(j.Schema); err == nil {
			var parsed *iceberg.Schema
			if parsed, err = arrowconv.ParseSchema(j.Schema, schema); err == nil {
				m.Digest, err = digestBelow(ctx, j.Digest, parsed)
			}
		}
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(m)
}

// digestBelow is the digest of the rows of all Parquet files below dir.
func digestBelow(ctx context.Context, dir string, schema *iceberg.Schema) (string, error) {
	paths, err := parquetFiles(dir)
	if err != nil {
		return "", err
	}
	h, err := digest.NewHasher(schema)
	if err != nil {
		return "", err
	}
	var sum digest.Sum
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		info, err := f.Stat()
		if err != nil {
			f.Close()
			return "", err
		}
		in := arrowconv.Input{Name: path, Reader: f, At: f, Size: info.Size()}
		for batch, err := range arrowconv.Read(ctx, in, schema, arrowconv.Options{Format: "parquet", Names: chosen(schema)}) {
			if err != nil {
				f.Close()
				return "", err
			}
			sum = sum.Add(h.Sum(batch.RecordBatch))
			batch.Release()
		}
		f.Close()
	}
	return sum.String(), nil
}

// benchRows opens the table bench.rows of the catalog in the working directory.
func benchRows(ctx context.Context) (*catalog.Catalog, *table.Table, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, nil, err
	}
	cat, err := catalog.Open(ctx, catalog.Config{Dir: dir, Home: dir, Existing: true})
	if err != nil {
		return nil, nil, err
	}
	tbl, err := cat.LoadTable(ctx, table.Identifier{"bench", "rows"})
	if err != nil {
		cat.Close()
		return nil, nil, err
	}
	return cat, tbl, nil
}

// stageBare writes the rows of a file as `icewright load` does, with its bounds on memory.
func stageBare(ctx context.Context, path string) (m measure, err error) {
	const memory = 1 << 30
	writer.PaceCollector(memory)
	cat, tbl, err := benchRows(ctx)
	if err != nil {
		return m, err
	}
	defer cat.Close()
	f, err := os.Open(path)
	if err != nil {
		return m, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return m, err
	}
	in := arrowconv.Input{Name: path, Reader: f, At: f, Size: info.Size()}
	staged, err := stage.Stage(ctx, tbl, arrowconv.Read(ctx, in, tbl.Schema(), arrowconv.Options{}), stage.Options{Memory: memory, Bare: true})
	if err != nil {
		return m, err
	}
	m.Rows, m.In, m.Out, m.Files = staged.RowsStaged, staged.BytesRead, staged.BytesStaged, len(staged.Files)
	if staged.Digest != (digest.Sum{}) {
		m.Digest = staged.Digest.String()
	}
	return m, nil
}

// digestOfTable is the digest of the live rows of bench.rows.
func digestOfTable(ctx context.Context) (int64, string, error) {
	cat, tbl, err := benchRows(ctx)
	if err != nil {
		return 0, "", err
	}
	defer cat.Close()
	files, err := live.Read(ctx, tbl, tbl.CurrentSnapshot(), nil)
	if err != nil {
		return 0, "", err
	}
	h, err := digest.NewHasher(tbl.Schema())
	if err != nil {
		return 0, "", err
	}
	var sum digest.Sum
	var rows int64
	for _, f := range files.Data {
		for rec, err := range live.Rows(ctx, tbl, f.Task(), live.Columns(tbl.Schema())) {
			if err != nil {
				return 0, "", err
			}
			sum = sum.Add(h.Sum(rec))
			rows += rec.NumRows()
			rec.Release()
		}
	}
	return rows, sum.String(), nil
}

// chosen leaves columns out that the schema lacks.
func chosen(schema *iceberg.Schema) arrowconv.Names {
	var names arrowconv.Names
	for _, f := range schema.Fields() {
		names.Columns = append(names.Columns, arrowconv.ColumnChoice{Name: f.Name, From: f.Name})
	}
	return names
}

// writeInMemory makes rows in memory first, so that writing alone is measured. Base is the memory of the
// process with the rows alone.
func writeInMemory(ctx context.Context, j childJob) (measure, error) {
	dir, err := os.Getwd()
	if err != nil {
		return measure{}, err
	}
	cat, err := catalog.Open(ctx, catalog.Config{Dir: dir, Home: dir})
	if err != nil {
		return measure{}, err
	}
	defer cat.Close()
	tbl, _, err := cat.CreateTable(ctx, table.Identifier{"bench", "orders"}, catalog.TableSpec{Schema: ordersSchema(), PartitionBy: "day(ordered_at)"})
	if err != nil {
		return measure{}, err
	}
	const days, memory = 30, 1 << 30
	recs, size, err := orders(j.Rows, 65_536, days)
	if err != nil {
		return measure{}, err
	}
	m := measure{Rows: int64(j.Rows), In: size}
	debug.FreeOSMemory()
	m.Base = procBytes("/proc/self/status", "VmRSS")
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // VmHWM counts from here
	start, user := time.Now(), userTime()
	switch j.Writer {
	case "stage":
		writer.PaceCollector(heapInUse() + memory) // as the command does, beside the input
		_, err = stage.Stage(ctx, tbl, asBatches(recs), stage.Options{Memory: memory, SpillDir: dir})
	case "WriteRecords":
		for _, err = range table.WriteRecords(ctx, tbl, recs[0].Schema(), asRecords(recs)) {
			if err != nil {
				break
			}
		}
	case "pqarrow":
		err = writePqarrow(dir, recs)
	default:
		err = fmt.Errorf("no writer %q", j.Writer)
	}
	if err != nil {
		return m, err
	}
	m.Wall, m.User = time.Since(start).Seconds(), userTime()-user
	m.Peak = procBytes("/proc/self/status", "VmHWM")
	debug.SetMemoryLimit(1 << 62)
	paths, err := parquetFiles(dir)
	if err != nil {
		return m, err
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return m, err
		}
		m.Out += info.Size()
	}
	m.Files = len(paths)
	if j.Check {
		clear(recs)
		m.Digest, err = digestBelow(ctx, dir, ordersSchema())
	}
	return m, err
}

// writePqarrow writes every second batch to one file and the others to another, at once.
func writePqarrow(dir string, recs []arrow.RecordBatch) error {
	var group errgroup.Group
	for half := range cores {
		group.Go(func() error {
			f, err := os.Create(filepath.Join(dir, fmt.Sprintf("half-%d.parquet", half)))
			if err != nil {
				return err
			}
			props := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd))
			w, err := pqarrow.NewFileWriter(recs[0].Schema(), f, props, pqarrow.DefaultWriterProps())
			if err != nil {
				return err
			}
			for i := half; i < len(recs); i += cores {
				if err := w.WriteBuffered(recs[i]); err != nil {
					return err
				}
			}
			return w.Close() // and the file with it
		})
	}
	return group.Wait()
}

func asBatches(recs []arrow.RecordBatch) iter.Seq2[arrowconv.Batch, error] {
	return func(yield func(arrowconv.Batch, error) bool) {
		row := int64(1)
		for _, r := range recs {
			r.Retain()
			if !yield(arrowconv.Batch{RecordBatch: r, Source: "orders", FirstRow: row}, nil) {
				return
			}
			row += r.NumRows()
		}
	}
}

func asRecords(recs []arrow.RecordBatch) iter.Seq2[arrow.RecordBatch, error] {
	return func(yield func(arrow.RecordBatch, error) bool) {
		for _, r := range recs {
			r.Retain()
			if !yield(r, nil) {
				return
			}
		}
	}
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func userTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec) + float64(u.Utime.Usec)/1e6
}
