//go:build interop

package interop

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/localstack/stack"
)

// lake is a catalog with its storage, as icewright and as the readers are told about it.
type lake struct {
	name string
	// program is the icewright to start, by its name; "" is the usual build.
	program string
	// env is what they find in their environment besides.
	env []string
	// dir is the working directory of every icewright started on the lake.
	dir string
	// flags lead icewright to the catalog; empty for the default one.
	flags []string
	// catalog has the same for PyIceberg and DuckDB.
	catalog map[string]string
	// newest is the newest format version that the catalog can make tables of.
	newest int
	// keepsSnapshots is false where only the newest snapshot shows.
	keepsSnapshots bool
	s3             *stack.S3 // nil: local files
	rest           *stack.REST
}

// backends are the lakes that a test can run on.
var backends = []struct {
	name string
	open func(testing.TB) *lake
}{
	{"sqlite", sqliteLake},
	{"iceberg-rest+versitygw", func(t testing.TB) *lake { return restLake(t, icebergCatalog(t), versitygw(t)) }},
	{"nessie+minio", func(t testing.TB) *lake { return restLake(t, nessie(t), minio(t)) }},
	{"postgres", func(t testing.TB) *lake { return databaseLake(t, postgres(t), "postgresql+psycopg2") }},
	{"mariadb", func(t testing.TB) *lake { return databaseLake(t, mariadb(t), "mysql+pymysql") }},
}

// restBackends are those that a proxy can stand before, with their files on S3.
var restBackends = backends[1:3]

var icebergCatalog = func() func(testing.TB) *stack.REST {
	var s3 *stack.S3
	start := server(func() (*stack.REST, error) {
		return stack.StartIcebergREST(context.Background(), world.tools, serverOptions("restcatalog"), s3)
	})
	return func(t testing.TB) *stack.REST { s3 = versitygw(t); return start(t) }
}()

var nessie = func() func(testing.TB) *stack.REST {
	var s3 *stack.S3
	start := server(func() (*stack.REST, error) {
		return stack.StartNessie(context.Background(), world.tools, serverOptions("nessie"), s3)
	})
	return func(t testing.TB) *stack.REST { s3 = minio(t); return start(t) }
}()

// sqliteLake is the default without any configuration: lake/ in the working directory.
func sqliteLake(t testing.TB) *lake {
	dir := t.TempDir()
	return &lake{
		name: "sqlite", dir: dir, newest: 3, keepsSnapshots: true,
		catalog: map[string]string{"type": "sql", "uri": "sqlite:///" + filepath.Join(dir, "lake", "catalog.db")},
	}
}

func restLake(t testing.TB, rest *stack.REST, s3 *stack.S3) *lake {
	l := &lake{
		name: rest.Name + "+" + s3.Name, dir: t.TempDir(), newest: rest.MaxFormatVersion, keepsSnapshots: rest.KeepsSnapshots,
		s3: s3, rest: rest,
	}
	l.pointTo(rest.URI)
	return l
}

// pointTo leads icewright and the readers to the REST catalog at uri.
func (l *lake) pointTo(uri string) { l.pointToBoth(uri, l.s3.Endpoint) }

// pointToBoth leads them to the S3 server at endpoint as well.
func (l *lake) pointToBoth(uri, endpoint string) {
	l.catalog = map[string]string{"type": "rest", "uri": uri, "warehouse": l.rest.Warehouse}
	l.flags = []string{"--catalog-uri", uri, "--warehouse", l.rest.Warehouse}
	props := l.s3.Properties()
	props["s3.endpoint"] = endpoint
	for k, v := range props {
		l.catalog[k] = v
		l.flags = append(l.flags, "--catalog-prop", k+"="+v)
	}
}

// config leads a catalog that is opened in this process where the flags lead icewright.
func (l *lake) config(t testing.TB) catalog.Config {
	t.Helper()
	cfg := catalog.Config{Dir: l.dir, Home: l.dir, Props: iceberg.Properties{}}
	for i := 0; i+1 < len(l.flags); i += 2 {
		switch value := l.flags[i+1]; l.flags[i] {
		case "--catalog-uri":
			cfg.URI = value
		case "--warehouse":
			cfg.Warehouse = value
		case "--catalog-prop":
			key, value, _ := strings.Cut(value, "=")
			cfg.Props[key] = value
		default:
			t.Fatalf("%s is no setting of a catalog", l.flags[i])
		}
	}
	return cfg
}

// table returns a table name that no other test uses.
func (l *lake) table(t testing.TB) string {
	t.Helper()
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(t.Name()))
	return "interop." + name
}

// put writes a file into the working directory and returns its name.
func (l *lake) put(t testing.TB, name, text string) string {
	t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// receipt is what the tests need of icewright's JSON receipt.
type receipt struct {
	Status           string `json:"status"`
	BaseSnapshotID   *int64 `json:"base_snapshot_id"`
	SnapshotID       *int64 `json:"snapshot_id"`
	RowsRead         int    `json:"rows_read"`
	RowsWritten      int    `json:"rows_written"`
	RowsUnchanged    int    `json:"rows_unchanged"`
	RowsInserted     int    `json:"rows_inserted"`
	RowsUpdated      int    `json:"rows_updated"`
	RowsKept         int    `json:"rows_kept"`
	FilesAdded       int    `json:"files_added"`
	FilesRemoved     int    `json:"files_removed"`
	FilesPruned      int    `json:"files_pruned"`
	FilesRead        int    `json:"files_read"`
	FilesRewritten   int    `json:"files_rewritten"`
	DeleteFilesAdded int    `json:"delete_files_added"`
	Digest           string `json:"digest"`
	Attempts         int    `json:"attempts"`
	Attempt          string `json:"attempt"`
	Partitions       []struct {
		Partition  string `json:"partition"`
		RowsBefore int    `json:"rows_before"`
		RowsAfter  int    `json:"rows_after"`
		Changed    bool   `json:"changed"`
	} `json:"partitions"`
}

// process is an icewright that was started.
type process struct {
	*exec.Cmd
	stdout, stderr output
}

// output is what a process has printed so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start starts icewright on the lake without waiting for its end. Its environment is
// this one's without AWS and icewright settings.
func (l *lake) start(t testing.TB, args ...string) *process {
	t.Helper()
	return l.startWith(t, nil, args...)
}

// startWith starts it with an input, which may be nil.
func (l *lake) startWith(t testing.TB, stdin *os.File, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.CommandContext(t.Context(), cmp.Or(l.program, world.icewright), append(args, l.flags...)...)}
	p.Dir, p.Stdout, p.Stderr = l.dir, &p.stdout, &p.stderr
	if stdin != nil {
		p.Stdin = stdin
	}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "ICEWRIGHT_") {
			p.Env = append(p.Env, kv)
		}
	}
	p.Env = append(append(p.Env, "AWS_EC2_METADATA_DISABLED=true"), l.env...)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// end waits for the process and returns its exit code, -1 for a signal.
func (p *process) end(t testing.TB) int {
	t.Helper()
	err := p.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(p.Args, " "), err)
	}
	return p.ProcessState.ExitCode()
}

// stand stops the process where it is, and returns once it stands: a signal that was sent is not one that has come, and
// on a busy machine its other threads run on for a while.
func (p *process) stand(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
	var is syscall.WaitStatus
	for !is.Stopped() {
		if _, err := syscall.Wait4(p.Process.Pid, &is, syscall.WUNTRACED, nil); err != nil && err != syscall.EINTR {
			t.Fatal(err)
		}
		if is.Exited() || is.Signaled() {
			t.Fatalf("%s ended before it could be stopped\n%s", strings.Join(p.Args, " "), &p.stderr)
		}
	}
}

// goOn lets a process that stands run on.
func (p *process) goOn(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGCONT)
}

func (p *process) signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (p *process) receipt(t testing.TB) receipt {
	t.Helper()
	var r receipt
	if err := json.Unmarshal([]byte(p.stdout.String()), &r); err != nil {
		t.Fatalf("receipt of %s: %v\n%s\n%s", strings.Join(p.Args, " "), err, &p.stdout, &p.stderr)
	}
	return r
}

// loadArgs are those of every load.
func loadArgs(table, source string, more ...string) []string {
	return append([]string{"load", source, "--table", table, "--output", "json", "--progress", "none", "--allow-shrink"}, more...)
}

// load runs `icewright load` to its end and returns the receipt; anything but exit code 0
// fails the test.
func (l *lake) load(t testing.TB, table, source string, more ...string) receipt {
	t.Helper()
	p := l.start(t, loadArgs(table, source, more...)...)
	if code := p.end(t); code != 0 {
		t.Fatalf("icewright %s: exit code %d\n%s\n%s", strings.Join(p.Args[1:], " "), code, &p.stderr, &p.stdout)
	}
	return p.receipt(t)
}

// files lists the data files that storage holds for the table, whether a snapshot refers
// to them or not: paths relative to the warehouse.
func (l *lake) files(t testing.TB, table string) []string {
	t.Helper()
	_, name, _ := strings.Cut(table, ".")
	var out []string
	for _, path := range l.everything(t) {
		// A table's folder has its name, with an id behind it in Nessie.
		if strings.HasSuffix(path, ".parquet") && (strings.Contains(path, "/"+name+"/") || strings.Contains(path, "/"+name+"_")) {
			out = append(out, path)
		}
	}
	return out
}

// everything lists what storage holds.
func (l *lake) everything(t testing.TB) (out []string) {
	t.Helper()
	if l.s3 == nil {
		if err := filepath.WalkDir(filepath.Join(l.dir, "lake"), func(path string, _ os.DirEntry, err error) error {
			out = append(out, path)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	pages := s3.NewListObjectsV2Paginator(l.s3.Client(), &s3.ListObjectsV2Input{Bucket: aws.String(l.s3.Bucket)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			out = append(out, "/"+aws.ToString(o.Key))
		}
	}
	return out
}

// upload puts an object into the lake's bucket.
func (l *lake) upload(t testing.TB, key, text string) {
	t.Helper()
	if _, err := l.s3.Client().PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(l.s3.Bucket), Key: aws.String(key), Body: strings.NewReader(text),
	}); err != nil {
		t.Fatal(err)
	}
}
