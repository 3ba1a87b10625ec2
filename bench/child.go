package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/writer/digest"
	"github.com/icewright/icewright/writer/stage"
)

// measure is what one child process found. The child makes the input in memory first, so that
// only writing is timed; Base is the process's memory with the input alone.
type measure struct {
	Wall, User float64 // seconds
	Base, Peak int64   // bytes resident
	Rows       int64
	In, Out    int64 // bytes of Arrow, of Parquet
	Files      int
	Digest     string
}

// child runs one case and prints its measure as JSON.
func child(ctx context.Context, c config, writer string) error {
	dir, err := os.MkdirTemp(c.dir, "bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cat, err := catalog.Open(ctx, catalog.Config{Dir: dir, Home: dir})
	if err != nil {
		return err
	}
	defer cat.Close()
	tbl, _, err := cat.CreateTable(ctx, table.Identifier{"bench", "orders"}, catalog.TableSpec{
		Schema: ordersSchema(), PartitionBy: c.partitionBy(),
	})
	if err != nil {
		return err
	}
	recs, size, err := orders(c.rows, c.batch, c.days)
	if err != nil {
		return err
	}
	m := measure{Rows: int64(c.rows), In: size}
	debug.FreeOSMemory()
	m.Base = resident("VmRSS")
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // VmHWM counts from here
	if c.profile != "" {
		f, err := os.Create(c.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
	}
	start, user := time.Now(), userTime()
	var files []iceberg.DataFile
	switch writer {
	case "stage":
		debug.SetMemoryLimit(heapInUse() + c.memory) // as the command does, beside the input
		res, err := stage.Stage(ctx, tbl, asBatches(recs), stage.Options{Memory: c.memory, SpillDir: dir})
		if err != nil {
			return err
		}
		m.Digest = res.Digest.String()
		for _, f := range res.Files {
			files = append(files, f.DataFile)
		}
	case "WriteRecords":
		for f, err := range table.WriteRecords(ctx, tbl, recs[0].Schema(), asRecords(recs)) {
			if err != nil {
				return err
			}
			files = append(files, f)
		}
	default:
		return fmt.Errorf("no writer %q", writer)
	}
	m.Wall, m.User = time.Since(start).Seconds(), userTime()-user
	pprof.StopCPUProfile()
	m.Peak = resident("VmHWM")
	debug.SetMemoryLimit(1 << 62)
	m.Files = len(files)
	for _, f := range files {
		m.Out += f.FileSizeBytes()
	}
	if c.check {
		for i := range recs {
			recs[i] = nil
		}
		if m.Digest, err = scanned(ctx, tbl, files); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(m)
}

// scanned is the digest of the rows of files as iceberg-go reads them.
func scanned(ctx context.Context, tbl *table.Table, files []iceberg.DataFile) (string, error) {
	tx := tbl.NewTransaction()
	if err := tx.AddDataFiles(ctx, files, nil); err != nil {
		return "", err
	}
	tbl, err := tx.Commit(ctx)
	if err != nil {
		return "", err
	}
	h, err := digest.NewHasher(tbl.Schema())
	if err != nil {
		return "", err
	}
	_, seq, err := tbl.Scan().ToArrowRecords(ctx)
	if err != nil {
		return "", err
	}
	var sum digest.Sum
	for rec, err := range seq {
		if err != nil {
			return "", err
		}
		sum = sum.Add(h.Sum(rec))
		rec.Release()
	}
	return sum.String(), nil
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

// resident reads a line of /proc/self/status, in bytes; 0 where there is none.
func resident(key string) int64 {
	text, err := os.ReadFile(filepath.Join("/proc", "self", "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10
		}
	}
	return 0
}
