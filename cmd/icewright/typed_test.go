package main

import (
	"context"
	"os"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"

	"github.com/icewright/icewright/arrowconv"
)

// typed stream|file FROM TO writes rows of NDJSON as an Arrow stream or an Arrow file, one record batch.
func typed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: typed stream|file FROM TO")
	}
	open := func() arrowconv.Input {
		f, err := os.Open(ts.MkAbs(args[1]))
		ts.Check(err)
		ts.Defer(func() { f.Close() })
		return arrowconv.Input{Name: args[1], Reader: f}
	}
	schema, err := arrowconv.Infer(context.Background(), open(), arrowconv.InferOptions{})
	ts.Check(err)
	var record arrow.RecordBatch
	for b, err := range arrowconv.Read(context.Background(), open(), schema, arrowconv.Options{ChunkBytes: 1 << 20}) {
		ts.Check(err)
		record = b.RecordBatch
	}
	out, err := os.Create(ts.MkAbs(args[2]))
	ts.Check(err)
	defer out.Close()
	var w interface {
		Write(arrow.RecordBatch) error
		Close() error
	}
	if args[0] == "stream" {
		w = ipc.NewWriter(out, ipc.WithSchema(record.Schema()))
	} else {
		w, err = ipc.NewFileWriter(out, ipc.WithSchema(record.Schema()))
		ts.Check(err)
	}
	ts.Check(w.Write(record))
	ts.Check(w.Close())
}

// avroFile SCHEMA FROM TO writes rows of NDJSON, in Avro's JSON encoding, as an Avro file.
func avroFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: avro SCHEMA FROM TO")
	}
	schema, err := avro.Parse(ts.ReadFile(args[0]))
	ts.Check(err)
	out, err := os.Create(ts.MkAbs(args[2]))
	ts.Check(err)
	defer out.Close()
	w, err := ocf.NewWriter(out, schema, ocf.WithCodec(ocf.SnappyCodec()))
	ts.Check(err)
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		var row any
		ts.Check(schema.DecodeJSON([]byte(line), &row))
		ts.Check(w.Encode(row))
	}
	ts.Check(w.Close())
}
