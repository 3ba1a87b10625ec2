//go:build interop

package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// binaryAcid are published Parquet, Arrow and Avro files, by the package that ships them (a Go module, or
// PyArrow's wheel) and the folder in it: "" where a file is read as PyArrow or DuckDB reads it, row by row,
// else the words of the refusal.
var binaryAcid = []struct {
	pkg, dir string
	outcomes map[string]string
}{
	{"pyarrow", "tests/data/parquet", map[string]string{
		"v0.7.1.parquet": "", "v0.7.1.all-named-index.parquet": "", "v0.7.1.column-metadata-handling.parquet": "",
		"v0.7.1.some-named-index.parquet": "",
	}},
	{"pyarrow", "tests/data/feather", map[string]string{
		"v0.17.0.version.2-compression.lz4.feather": "compressed in the way of Arrow 0.17, which is not read",
	}},
	{"github.com/apache/arrow-go/v18", "arrow/avro/testdata", map[string]string{"arrayrecordmap.avro": "", "githubsamplecommits.avro": ""}},
	{"github.com/apache/arrow-go/v18", "arrow/ipc/testdata", map[string]string{"custom_metadata.arrow": "", "custom_metadata_stream.arrows": ""}},
	{"github.com/apache/iceberg-go", "testdata", map[string]string{"duckdb_v3_manifest_list.avro": ""}},
	{"github.com/apache/iceberg-go", "table/testdata/geo", map[string]string{
		"crs-arbitrary-value.parquet": "", "crs-default.parquet": "", "crs-geography.parquet": "", "crs-projjson.parquet": "",
		"crs-srid.parquet": "", "geospatial-with-nan.parquet": "", "geospatial.parquet": "",
	}},
	{"github.com/twmb/avro", "ocf/testdata/avro-share", map[string]string{
		"syncInMeta.avro": "", "weather.avro": "", "weather-deflate.avro": "", "weather-snappy.avro": "", "weather-sorted.avro": "",
		"weather-zstd.avro": "",
	}},
	{"github.com/twmb/avro", "ocf/testdata", map[string]string{
		"bigdec.avro": "", "weather.avro": "", "weather-deflate.avro": "", "weather-snappy.avro": "", "weather-zstd.avro": "",
		"deflate-invalid-data.avro": "the Avro file ends at byte 927",
		"snappy-invalid-crc.avro":   "the Avro file ends at byte 939",
		"snappy-invalid-data.avro":  "the Avro file ends at byte 939",
		"snappy-short-crc.avro":     "holds values of type long, and rows are records",
		"zstd-invalid-data.avro":    "the Avro file ends at byte 952",
	}},
}

// twins are files that DuckDB 1.4.4 cannot read, and others with the same rows: it lacks Avro's zstandard.
var twins = map[string]string{"weather-zstd.avro": "weather.avro"}

// packageDir is the folder of a Go module, or of a Python package.
func packageDir(t *testing.T, name string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", name)
	if !strings.Contains(name, "/") {
		cmd = exec.CommandContext(t.Context(), world.python, "-c", "import os, "+name+"; print(os.path.dirname("+name+".__file__))")
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

// TestAcidBinary loads published files, and refuses those that are broken on purpose.
func TestAcidBinary(t *testing.T) {
	l, r := sqliteLake(t), newReader(t)
	for _, set := range binaryAcid {
		dir := filepath.Join(packageDir(t, set.pkg), filepath.FromSlash(set.dir))
		files, err := filepath.Glob(filepath.Join(dir, "*.*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			name := filepath.Base(file)
			reason, known := set.outcomes[name]
			if !slices.Contains([]string{".parquet", ".feather", ".arrow", ".arrows", ".avro"}, filepath.Ext(name)) {
				continue
			}
			t.Run(set.pkg+"/"+name, func(t *testing.T) {
				if !known {
					t.Fatal("no outcome is written down for it")
				}
				same := file
				if twin := twins[name]; twin != "" {
					same = filepath.Join(dir, twin)
				}
				l.reads(t, r, file, same, reason)
			})
		}
	}
}

// reads loads file into a new table, which must hold the rows of same, or be refused for a reason.
func (l *lake) reads(t *testing.T, r *reader, file, same, reason string) {
	t.Helper()
	const table = "acid.t"
	if drop := l.start(t, "table", "drop", table, "--yes"); drop.end(t) != 0 && !strings.Contains(drop.stderr.String(), "no ") {
		t.Log(drop.stderr.String())
	}
	load := l.start(t, loadArgs(table, file, "--replace-table", "--on-empty", "keep")...)
	code := load.end(t)
	if reason != "" {
		if code != 4 || !strings.Contains(load.stderr.String()+load.stdout.String(), reason) {
			t.Errorf("exit code %d, want 4 and %q:\n%s%s", code, reason, &load.stderr, &load.stdout)
		}
		return
	}
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, &load.stderr, &load.stdout)
	}
	var diff struct {
		Rows           int
		Missing, Extra []string
	}
	if err := r.ask("acid.same", l, table, map[string]any{"path": same}, &diff); err != nil {
		t.Fatal(err)
	}
	if len(diff.Missing)+len(diff.Extra) > 0 {
		t.Errorf("of %d rows, the table lacks\n%s\nand has\n%s", diff.Rows, head(diff.Missing), head(diff.Extra))
	}
}

// refusedEncodings are what arrow-go has no decoder for, of the files that PyArrow writes.
var refusedEncodings = map[string]string{
	"encrypted-footer.parquet":  "the Parquet file is encrypted",
	"encrypted-columns.parquet": "the Parquet file is encrypted",
	"prefix-1.0.parquet":        "the Parquet file cannot be read: unimplemented encoding type",
	"prefix-2.0.parquet":        "the Parquet file cannot be read: unimplemented encoding type",
}

// TestAcidPyArrow: every type in every layout, codec, page version and encoding that PyArrow writes.
func TestAcidPyArrow(t *testing.T) {
	l, r := sqliteLake(t), newReader(t)
	dir := t.TempDir()
	var ok bool
	if err := r.ask("acid.encrypt", nil, "", map[string]any{"directory": dir}, &ok); err != nil {
		t.Fatal(err)
	}
	var names []string
	if err := r.ask("acid.write", nil, "", map[string]any{"directory": dir}, &names); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			l.reads(t, r, filepath.Join(dir, name), filepath.Join(dir, name), refusedEncodings[name])
		})
	}
}

// TestPipeDuckDB: DuckDB's rows as an Arrow stream through a pipe, end to end.
func TestPipeDuckDB(t *testing.T) {
	l, r := sqliteLake(t), newReader(t)
	program := append([]string{world.icewright}, loadArgs("pipe.t", "-", "--format", "arrow", "--partition-by", "d")...)
	var end struct {
		Code     int
		Out, Err string
	}
	if err := r.ask("acid.pipe", nil, "", map[string]any{"program": append(program, l.flags...), "directory": l.dir}, &end); err != nil {
		t.Fatal(err)
	}
	if end.Code != 0 {
		t.Fatalf("exit code %d\n%s%s", end.Code, end.Err, end.Out)
	}
	var receipt struct {
		RowsWritten int `json:"rows_written"`
	}
	if err := json.Unmarshal([]byte(end.Out), &receipt); err != nil || receipt.RowsWritten != 200_000 {
		t.Errorf("%d rows, %v", receipt.RowsWritten, err)
	}
	var total int
	if err := r.ask("pyiceberg.total", l, "pipe.t", nil, &total); err != nil || total != 200_000 {
		t.Errorf("%d rows, %v", total, err)
	}
	if _, err := os.Stat(filepath.Join(l.dir, "lake")); err != nil {
		t.Error(err)
	}
}
