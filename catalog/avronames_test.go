package catalog_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/google/go-cmp/cmp"

	"github.com/icewright/icewright/catalog"
)

// The spellings are Java's, so that a manifest reads the same whoever wrote it.
func TestAvroName(t *testing.T) {
	for name, want := range map[string]string{
		"ts_day": "ts_day", "address.city": "address_x2Ecity", "order-id": "order_x2Did", "a b": "a_x20b",
		"9lives": "_9lives", "größe": "gr_xF6_xDFe", "😎": "_xD83D_xDE0E",
	} {
		if got := catalog.AvroName(name); got != want {
			t.Errorf("AvroName(%q) = %q, want %q", name, got, want)
		}
	}
}

// Java writes letters of every script into manifests; interop.TestSideBySide has it do so.
func TestManifestsWithNamesOfEveryScript(t *testing.T) {
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "größe", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 2, Name: "氏名", Type: iceberg.PrimitiveTypes.Int64},
	)
	spec := iceberg.NewPartitionSpec(
		iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1000, Name: "gr_xF6_xDFe", Transform: iceberg.IdentityTransform{}},
		iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1001, Name: "_x6C0F_x540D", Transform: iceberg.IdentityTransform{}},
	)
	var want []map[int]any
	var buf bytes.Buffer
	w, err := iceberg.NewManifestWriter(2, &buf, spec, schema, 7)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 { // several blocks
		tuple := map[int]any{1000: strings.Repeat("groß", i%5), 1001: int64(i)}
		df, err := iceberg.NewDataFileBuilder(spec, iceberg.EntryContentData, "f.parquet", iceberg.ParquetFile, tuple, nil, nil, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		id := int64(7)
		if err := w.Add(iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &id, nil, nil, df.Build())); err != nil {
			t.Fatal(err)
		}
		want = append(want, tuple)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	plain := buf.Bytes()
	dir := t.TempDir()
	read := func(content []byte) (tuples []map[int]any, raw []byte) {
		t.Helper()
		file := filepath.Join(dir, "m0.avro")
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		fsys, err := catalog.OpenIO(context.Background(), nil, dir)
		if err != nil {
			t.Fatal(err)
		}
		m, err := w.ToManifestFile(file, int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		f, err := fsys.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if raw, err = io.ReadAll(f); err != nil {
			t.Fatal(err)
		}
		again := make([]byte, len(content))
		if _, err := f.ReadAt(again, 0); err != nil || !bytes.Equal(again, content) {
			t.Errorf("ReadAt does not give what is stored: %v", err)
		}
		for e, err := range m.Entries(fsys, true) {
			if err != nil {
				return nil, raw
			}
			tuples = append(tuples, e.DataFile().Partition())
		}
		return tuples, raw
	}
	if got, raw := read(plain); !cmp.Equal(got, want) || !bytes.Equal(raw, plain) {
		t.Error("a manifest with plain names reads differently")
	}
	odd := rewriteAvroSchema(t, plain, "gr_xF6_xDFe", "größe", "_x6C0F_x540D", `氏名`)
	if got, raw := read(odd); !cmp.Equal(got, want) || bytes.Equal(raw, odd) {
		t.Errorf("a manifest with odd names: %d entries", len(got))
	}
	// What is no Avro file, or half of one, is read as it is.
	for n := 0; n < 600; n += 7 {
		if _, raw := read(odd[:n]); !bytes.Equal(raw, odd[:n]) {
			t.Fatalf("the first %d bytes read differently", n)
		}
	}
	if _, raw := read([]byte("Obj\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f rest")); !bytes.HasSuffix(raw, []byte(" rest")) {
		t.Error("a file with a broken header reads differently")
	}
}

// rewriteAvroSchema replaces texts in the schema of an Avro file, whose length stands before it.
func rewriteAvroSchema(t *testing.T, file []byte, oldnew ...string) []byte {
	t.Helper()
	at := bytes.Index(file, []byte("avro.schema")) + len("avro.schema")
	n, size := binary.Varint(file[at:])
	end := at + size + int(n)
	schema := strings.NewReplacer(oldnew...).Replace(string(file[at+size : end]))
	out := binary.AppendVarint(bytes.Clone(file[:at]), int64(len(schema)))
	return append(append(out, schema...), file[end:]...)
}
