package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/bench/gen"
	"github.com/icewright/icewright/localstack/stack"
)

//go:embed peers/*.py schemas/*.yaml requirements.txt
var files embed.FS

// load is `icewright load`, its start and its commit included, to a new table. Options are the
// defaults, but for --replace-table where there are no partitions.
type load struct {
	Input, Partition string
	Copies           int
	DryRun, S3       bool
	// Existing has the table made beforehand, which is not counted. A dry run needs it.
	Existing bool
}

func (l load) run(ctx context.Context, b *bench, dir string, check bool) (measure, error) {
	in, err := b.input(ctx, l.Input)
	if err != nil {
		return measure{}, err
	}
	schema, err := b.extract("schemas/" + l.Input + ".yaml")
	if err != nil {
		return measure{}, err
	}
	argv := []string{b.icewright, "load", "--table", "bench.rows", "--schema", schema, "--output", "json", "--quiet"}
	var env []string
	if l.S3 {
		if err := b.startS3(ctx); err != nil {
			return measure{}, err
		}
		env = b.s3.Environment()
		argv = append(argv, "--warehouse", "s3://"+b.s3.Bucket+"/"+filepath.Base(dir))
	}
	if l.Partition == "" {
		argv = append(argv, "--replace-table")
	} else {
		argv = append(argv, "--partition-by", l.Partition)
	}
	if l.DryRun {
		argv = append(argv, "--dry-run")
	}
	if l.Existing {
		if err := b.createTable(ctx, dir, env, "bench.rows", schema, l.Partition); err != nil {
			return measure{}, err
		}
	}
	for i := range max(l.Copies, 1) {
		link := filepath.Join(dir, strconv.Itoa(i)+filepath.Ext(in))
		if err := os.Symlink(in, link); err != nil {
			return measure{}, err
		}
		argv = append(argv, link)
	}
	out, m, err := b.process(ctx, dir, env, argv...)
	if err != nil {
		return m, err
	}
	if _, err := read(out, &m); err != nil {
		return m, err
	}
	if !check || l.DryRun {
		return m, nil
	}
	var found string
	if l.S3 {
		found, err = b.digestOnS3(ctx, dir, env, schema, argv)
	} else {
		found, err = b.digest(ctx, dir, schema)
	}
	if err == nil && found != m.Digest {
		err = fmt.Errorf("the receipt's digest is %s, that of the files %s", m.Digest, found)
	}
	return m, err
}

// receipt is what a load of icewright's says of itself.
type receipt struct {
	Rows       int64  `json:"rows_read"`
	In         int64  `json:"bytes_read"`
	Out        int64  `json:"bytes_added"`
	Files      int    `json:"files_added"`
	Digest     string `json:"digest"`
	Considered int    `json:"files_considered"`
	Pruned     int    `json:"files_pruned"`
}

// read adds what a receipt says to a measure.
func read(text []byte, m *measure) (receipt, error) {
	var r receipt
	err := json.Unmarshal(text, &r)
	m.Rows, m.In, m.Out, m.Files, m.Digest = r.Rows, r.In, r.Out, r.Files, r.Digest
	return r, err
}

// digestOnS3 has icewright read the files that it wrote to the warehouse back, into a table that stays empty.
func (b *bench) digestOnS3(ctx context.Context, dir string, env []string, schema string, argv []string) (string, error) {
	if err := b.createTable(ctx, dir, env, "bench.again", schema, ""); err != nil {
		return "", err
	}
	warehouse := argv[slices.Index(argv, "--warehouse")+1]
	out, _, err := b.process(ctx, dir, env, b.icewright, "load", warehouse+"/**/*.parquet", "--table", "bench.again", "--schema", schema,
		"--path-columns", "none", "--replace-table", "--dry-run", "--output", "json", "--quiet")
	if err != nil {
		return "", err
	}
	var receipt struct{ Digest string }
	err = json.Unmarshal(out, &receipt)
	return receipt.Digest, err
}

func (b *bench) createTable(ctx context.Context, dir string, env []string, name, schema, partition string) error {
	argv := []string{b.icewright, "table", "create", name, "--schema", schema, "--quiet"}
	if partition != "" {
		argv = append(argv, "--partition-by", partition)
	}
	_, _, err := b.process(ctx, dir, env, argv...)
	return err
}

// digest is that of the rows in all Parquet files below dir, read in a process of its own.
func (b *bench) digest(ctx context.Context, dir, schema string) (string, error) {
	m, err := b.reported(ctx, dir, b.self, "-child", childJob{Digest: dir, Schema: schema}.String())
	return m.Digest, err
}

// bare has a process of its own write the files of load and nothing else: no digest, no bounds, no commit.
type bare struct{ Input, Partition string }

func (w bare) run(ctx context.Context, b *bench, dir string, check bool) (measure, error) {
	in, err := b.input(ctx, w.Input)
	if err != nil {
		return measure{}, err
	}
	schema, err := b.extract("schemas/" + w.Input + ".yaml")
	if err != nil {
		return measure{}, err
	}
	if err := b.createTable(ctx, dir, nil, "bench.rows", schema, w.Partition); err != nil {
		return measure{}, err
	}
	out, m, err := b.process(ctx, dir, nil, b.self, "-child", childJob{Stage: in}.String())
	if err != nil {
		return m, err
	}
	var wrote measure
	if err := json.Unmarshal(out, &wrote); err != nil {
		return m, err
	}
	m.Rows, m.In, m.Out, m.Files = wrote.Rows, wrote.In, wrote.Out, wrote.Files
	if wrote.Digest != "" {
		return m, fmt.Errorf("a digest was computed: %s", wrote.Digest)
	}
	if check {
		m.Digest, err = b.digest(ctx, dir, schema)
	}
	return m, err
}

// version is `icewright version`.
type version struct{}

func (version) run(ctx context.Context, b *bench, dir string, _ bool) (measure, error) {
	_, m, err := b.process(ctx, dir, nil, b.icewright, "version")
	return m, err
}

// small is a load of 1,000 rows into a table that is there; making the table is not counted.
type small struct{}

func (small) run(ctx context.Context, b *bench, dir string, _ bool) (measure, error) {
	var m measure
	for _, first := range []int{0, 1000} {
		var text strings.Builder
		text.WriteString("id,at,name\n")
		for i := range 1000 {
			fmt.Fprintf(&text, "%d,2026-01-%02d,name %d\n", first+i, 1+i%7, i*i)
		}
		if err := os.WriteFile(filepath.Join(dir, "rows.csv"), []byte(text.String()), 0o644); err != nil {
			return m, err
		}
		out, measured, err := b.process(ctx, dir, nil, b.icewright, "load", "rows.csv", "--table", "bench.rows", "--partition-by", "day(at)", "--output", "json", "--quiet")
		if err != nil {
			return m, err
		}
		if !strings.Contains(string(out), `"status":"published"`) {
			return m, fmt.Errorf("nothing was published: %s", out)
		}
		m = measured
		m.Rows = 1000
	}
	return m, nil
}

// duckdb is DuckDB's COPY to Parquet, with the settings that suit it best.
type duckdb struct{ Input, Partition string }

func (d duckdb) run(ctx context.Context, b *bench, dir string, check bool) (measure, error) {
	in, err := b.input(ctx, d.Input)
	if err != nil {
		return measure{}, err
	}
	schemaFile, err := b.extract("schemas/" + d.Input + ".yaml")
	if err != nil {
		return measure{}, err
	}
	schema, err := schemaOf(d.Input)
	if err != nil {
		return measure{}, err
	}
	var types []string
	for _, f := range schema.Fields() {
		types = append(types, fmt.Sprintf("'%s': '%s'", f.Name, duckType(f.Type)))
	}
	columns := "{" + strings.Join(types, ", ") + "}"
	from := fmt.Sprintf("read_csv('%s', header = true, columns = %s)", in, columns)
	switch filepath.Ext(in) {
	case ".ndjson":
		from = fmt.Sprintf("read_json('%s', format = 'newline_delimited', columns = %s)", in, columns)
	case ".parquet":
		from = fmt.Sprintf("read_parquet('%s')", in)
	}
	sql := fmt.Sprintf("COPY (SELECT * FROM %s) TO '%s/out.parquet' (FORMAT parquet, COMPRESSION zstd)", from, dir)
	if d.Partition != "" {
		sql = fmt.Sprintf("COPY (SELECT *, %s AS part FROM %s) TO '%s/out' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (part))", d.Partition, from, dir)
	}
	text, err := json.Marshal(map[string]any{
		"settings": []string{"SET threads = 2", "SET preserve_insertion_order = false", "SET partitioned_write_max_open_files = 4000", "SET TimeZone = 'UTC'"},
		"copy":     sql,
	})
	if err != nil {
		return measure{}, err
	}
	return b.python(ctx, dir, "duckdb_copy.py", schemaFile, in, string(text), check)
}

// duckType is the SQL of a type. Times with a zone are read as UTC without one, which DuckDB is quicker with.
func duckType(t iceberg.Type) string {
	switch t := t.(type) {
	case *iceberg.StructType:
		var fields []string
		for _, f := range t.FieldList {
			fields = append(fields, fmt.Sprintf(`"%s" %s`, f.Name, duckType(f.Type)))
		}
		return "STRUCT(" + strings.Join(fields, ", ") + ")"
	case *iceberg.ListType:
		return duckType(t.Element) + "[]"
	}
	switch t.String() {
	case "long":
		return "BIGINT"
	case "string":
		return "VARCHAR"
	case "timestamptz":
		return "TIMESTAMP"
	}
	return strings.ToUpper(t.String())
}

// python is a peer that loads an input into an Iceberg table.
type python struct {
	Script, Input string
	Spark         bool
}

func (p python) run(ctx context.Context, b *bench, dir string, check bool) (measure, error) {
	in, err := b.input(ctx, p.Input)
	if err != nil {
		return measure{}, err
	}
	schemaFile, err := b.extract("schemas/" + p.Input + ".yaml")
	if err != nil {
		return measure{}, err
	}
	schema, err := schemaOf(p.Input)
	if err != nil {
		return measure{}, err
	}
	columns := [][2]string{}
	for _, f := range schema.Fields() {
		columns = append(columns, [2]string{f.Name, f.Type.String()})
	}
	args := map[string]any{"input": in, "columns": columns}
	if p.Spark {
		spark, err := b.tools.Spark(ctx, "4.0")
		if err != nil {
			return measure{}, err
		}
		args["jars"] = spark.Jars
	}
	text, err := json.Marshal(args)
	if err != nil {
		return measure{}, err
	}
	return b.python(ctx, dir, p.Script, schemaFile, in, string(text), check)
}

// python runs a script of peers, and adds the size of what it wrote, and its digest where that is asked for.
func (b *bench) python(ctx context.Context, dir, script, schema, in, args string, check bool) (measure, error) {
	m, err := b.script(ctx, dir, script, args)
	if err != nil {
		return m, err
	}
	info, err := os.Stat(in)
	if err != nil {
		return m, err
	}
	m.In = info.Size()
	written, err := parquetFiles(dir)
	if err != nil {
		return m, err
	}
	for _, file := range written {
		info, err := os.Stat(file)
		if err != nil {
			return m, err
		}
		m.Out += info.Size()
	}
	m.Files = len(written)
	if check {
		m.Digest, err = b.digest(ctx, dir, schema)
	}
	return m, err
}

// script runs a script of peers, which measures itself.
func (b *bench) script(ctx context.Context, dir, name, args string) (measure, error) {
	scripts, err := fs.Glob(files, "peers/*.py")
	if err != nil {
		return measure{}, err
	}
	for _, each := range scripts { // they share modules
		if _, err := b.extract(each); err != nil {
			return measure{}, err
		}
	}
	interpreter, err := b.interpreter(ctx, name)
	if err != nil {
		return measure{}, err
	}
	return b.reported(ctx, dir, interpreter, filepath.Join(b.dir, "files", "peers", name), args)
}

func (b *bench) interpreter(ctx context.Context, script string) (string, error) {
	if strings.HasPrefix(script, "spark") {
		spark, err := b.tools.Spark(ctx, "4.0")
		return spark.Python, err
	}
	path, err := b.extract("requirements.txt")
	if err != nil {
		return "", err
	}
	return b.tools.Python(ctx, path)
}

// parquetFiles are the data files below dir, but for those of Spark's warm-up.
func parquetFiles(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && strings.HasSuffix(path, ".parquet") && !strings.Contains(path, "/bench/warm/") {
			found = append(found, path)
		}
		return err
	})
	return found, err
}

// inMemory writes rows that are in memory already: what is measured is writing alone.
type inMemory struct{ Writer string }

const inMemoryRows = 5_000_000

func (w inMemory) run(ctx context.Context, b *bench, dir string, check bool) (measure, error) {
	return b.reported(ctx, dir, b.self, "-child", childJob{Writer: w.Writer, Rows: int(inMemoryRows * b.scale), Check: check}.String())
}

// input is the path of an input, which is made or fetched where it is missing.
func (b *bench) input(ctx context.Context, name string) (string, error) {
	if name == "flights" {
		return b.flights(ctx)
	}
	i := slices.IndexFunc(gen.Inputs, func(in gen.Input) bool { return in.Name == name })
	in := gen.Inputs[i]
	n := max(int(float64(in.Full)*b.scale), 1)
	path := filepath.Join(b.dir, fmt.Sprintf("%d-%s", n, in.File))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintf(b.log, "making %s\n", path)
	f, err := os.CreateTemp(b.dir, "new-")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	w := bufio.NewWriterSize(f, 1<<20)
	if err := errors.Join(in.Write(w, n), w.Flush(), f.Close()); err != nil {
		return "", err
	}
	return path, os.Rename(f.Name(), path)
}

// flights is a file of three million real flights, which is the same whatever the scale.
func (b *bench) flights(ctx context.Context) (string, error) {
	const sum = "dbeb920c90f59b6ccaff823dcc3d08f25a97fa1ce128d93f40be4e931f5900b0"
	dir, err := b.tools.NPM(ctx, "vega-datasets")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "data", "flights-3m.parquet")
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return "", fmt.Errorf("%s has SHA-256 %s, not %s: its figures would compare with none", path, got, sum)
	}
	return path, nil
}

// extract writes a file of this package to where other programs find it.
func (b *bench) extract(name string) (string, error) {
	text, err := files.ReadFile(name)
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.dir, "files", filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, text, 0o644)
}

func schemaOf(input string) (*iceberg.Schema, error) {
	text, err := files.ReadFile("schemas/" + input + ".yaml")
	if err != nil {
		return nil, err
	}
	return arrowconv.ParseSchema(input, text)
}

func (b *bench) startS3(ctx context.Context) (err error) {
	if b.s3 == nil {
		b.s3, err = stack.StartMinIO(ctx, b.tools, stack.Options{Dir: filepath.Join(b.dir, "minio")})
	}
	return err
}

func (b *bench) stopS3() {
	if b.s3 != nil {
		_ = b.s3.Stop() // the figures are what counts, and it ends with this process anyway
		b.s3 = nil
		os.RemoveAll(filepath.Join(b.dir, "minio"))
	}
}
