package catalog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/icewright/icewright/catalog"
)

// s3Server is an S3 in this process that counts requests and fails those it is told to.
type s3Server struct {
	*httptest.Server
	props iceberg.Properties
	inner http.Handler              // the store behind
	fail  func(r *http.Request) int // a status to answer with, or 0

	mu    sync.Mutex
	calls map[string]int
	keys  map[string]bool // access keys that requests were signed with
}

// newS3 starts a server with the bucket "bucket". With ICEWRIGHT_S3 (an endpoint, a
// key and a secret, separated by spaces) the server is a real one behind a proxy.
func newS3(t testing.TB) *s3Server {
	t.Helper()
	for _, k := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT", "AWS_PROFILE"} {
		t.Setenv(k, "")
	}
	inner := gofakes3.New(s3mem.New()).Server()
	real := strings.Fields(os.Getenv("ICEWRIGHT_S3"))
	if len(real) == 3 {
		target, err := url.Parse(real[0])
		if err != nil {
			t.Fatal(err)
		}
		// The host is part of the signature, so it stays ours.
		inner = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host
		}}
	}
	s := &s3Server{inner: inner, calls: map[string]int{}, keys: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.calls[r.Method]++
		_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		key, _, _ := strings.Cut(credential, "/")
		s.keys[key] = true
		fail := s.fail
		s.mu.Unlock()
		if fail != nil {
			if status := fail(r); status != 0 {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(status)
				return
			}
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	s.props = iceberg.Properties{
		"s3.endpoint": s.URL, "s3.access-key-id": "me", "s3.secret-access-key": "secret", "s3.region": "us-east-1",
	}
	if len(real) == 3 {
		s.props["s3.access-key-id"], s.props["s3.secret-access-key"] = real[1], real[2]
	}
	client, err := catalog.S3Client(t.Context(), s.props)
	if err != nil {
		t.Fatal(err)
	}
	bucket := "bucket"
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil && !strings.Contains(err.Error(), "BucketAlready") {
		t.Fatal(err)
	}
	s.reset(nil)
	return s
}

func (s *s3Server) reset(fail func(*http.Request) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
	clear(s.calls)
	clear(s.keys)
}

func (s *s3Server) count(methods ...string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for m, c := range s.calls {
		if len(methods) == 0 || slices.Contains(methods, m) {
			n += c
		}
	}
	return n
}

func (s *s3Server) io(t *testing.T, ctx context.Context) iceio.WriteFileIO {
	t.Helper()
	fsys, err := catalog.OpenIO(ctx, s.props, "s3://bucket/x")
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

// dangling counts uploads that were begun and neither completed nor aborted.
func (s *s3Server) dangling(t *testing.T) int {
	t.Helper()
	client, err := catalog.S3Client(t.Context(), s.props)
	if err != nil {
		t.Fatal(err)
	}
	bucket := "bucket"
	out, err := client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &bucket})
	if err != nil {
		if strings.Contains(err.Error(), "NoSuchUpload") {
			return 0 // the fake's way to say none
		}
		t.Fatal(err)
	}
	return len(out.Uploads)
}

func list(t *testing.T, fsys iceio.IO, root string) (names []string) {
	t.Helper()
	err := fsys.(iceio.ListableIO).WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func write(t *testing.T, fsys iceio.WriteFileIO, name string, content []byte, chunk int) {
	t.Helper()
	w, err := fsys.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for c := range slices.Chunk(content, chunk) {
		if _, err := w.Write(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := w.(catalog.Aborter).Abort(); err != nil {
		t.Errorf("Abort after Close: %v", err)
	}
}

const mib = 1 << 20

func TestS3WritesAndReads(t *testing.T) {
	s := newS3(t)
	fsys := s.io(t, t.Context())
	for _, size := range []int{0, 1, 200 << 10, 300 << 10, 8 * mib, 8*mib + 1, 21*mib + 7} {
		content := random(size)
		name := fmt.Sprintf("s3://bucket/data/%d.bin", size)
		s.reset(nil)
		write(t, fsys, name, content, 1*mib+13)
		if want := 1; size <= 8*mib && s.count() != want {
			t.Errorf("%d bytes: %d requests, want %d", size, s.count(), want)
		}

		s.reset(nil)
		f, err := fsys.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.count("GET") != 0 || s.count("HEAD") != 1 {
			t.Errorf("%d bytes: opening took %v", size, s.calls)
		}
		got, err := io.ReadAll(f)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: read %d, equal %v, %v", size, len(got), bytes.Equal(got, content), err)
		}
		if limit := 1 + size/mib; s.count("GET") > limit {
			t.Errorf("%d bytes: reading took %d requests", size, s.count("GET"))
		}
		if info, err := f.Stat(); err != nil || info.Size() != int64(size) {
			t.Errorf("size %v, %v", info, err)
		}
		if end, err := f.Seek(-1, io.SeekEnd); size > 0 && (err != nil || end != int64(size)-1) {
			t.Errorf("seek: %d, %v", end, err)
		}
		if _, err := f.Seek(-1, io.SeekStart); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("seek before the start: %v", err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if _, err := f.ReadAt(make([]byte, 1), 0); size > 0 && !errors.Is(err, fs.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}

		s.reset(nil)
		got, err = fsys.(iceio.ReadFileIO).ReadFile(name)
		if err != nil || !bytes.Equal(got, content) || s.count() != 1 {
			t.Errorf("%d bytes: ReadFile: %d bytes, %v, %d requests", size, len(got), err, s.count())
		}
	}
	if n := s.dangling(t); n != 0 {
		t.Errorf("%d uploads dangle", n)
	}
}

func TestS3ReadAt(t *testing.T) {
	s := newS3(t)
	fsys := s.io(t, t.Context())
	content := random(3*mib + 5)
	if err := fsys.WriteFile("s3://bucket/f", content); err != nil {
		t.Fatal(err)
	}
	f, err := fsys.Open("s3://bucket/f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// A Parquet footer: the length, then the footer, then a bit of it again.
	s.reset(nil)
	size := int64(len(content))
	for _, r := range [][2]int64{{size - 8, 8}, {size - 9000, 8992}, {size - 5000, 100}} {
		p := make([]byte, r[1])
		if n, err := f.ReadAt(p, r[0]); n != len(p) || err != nil && err != io.EOF || !bytes.Equal(p, content[r[0]:r[0]+r[1]]) {
			t.Errorf("at %d: %d bytes, %v", r[0], n, err)
		}
	}
	if n := s.count(); n != 1 {
		t.Errorf("a footer took %d requests", n)
	}
	p := make([]byte, 100)
	if n, err := f.ReadAt(p, size-40); n != 40 || err != io.EOF {
		t.Errorf("over the end: %d, %v", n, err)
	}
	if n, err := f.ReadAt(p, size); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if _, err := f.ReadAt(p, -1); err == nil {
		t.Error("before the start: no error")
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			p := make([]byte, 100_000)
			off := int64(i) * 300_000
			if n, err := f.ReadAt(p, off); n != len(p) || err != nil || !bytes.Equal(p, content[off:off+int64(n)]) {
				t.Errorf("at %d: %d, %v", off, n, err)
			}
		})
	}
	wg.Wait()
}

// No key is decoded or encoded on its way between locations and S3.
func TestS3OddKeys(t *testing.T) {
	s := newS3(t)
	fsys := s.io(t, t.Context())
	keys := []string{"a b", "a%20b", "a+b", "ünï", "q?x=1", "h#1", "p=a%2Fb/f", "it's", `back\slash`, "semi;colon", "a&b=c", "*", "~t", "(1)[2]{3}", "日本"}
	var names []string
	for _, k := range keys {
		name := "s3://bucket/odd/" + k
		names = append(names, name)
		if err := fsys.WriteFile(name, []byte(k)); err != nil {
			t.Errorf("%q: %v", k, err)
		}
	}
	got := list(t, fsys, "s3://bucket/odd")
	slices.Sort(got)
	if want := slices.Sorted(slices.Values(names)); !slices.Equal(got, want) {
		t.Errorf("listed %q\nwant %q", got, want)
	}
	client, err := catalog.S3Client(t.Context(), s.props)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		b, err := fsys.(iceio.ReadFileIO).ReadFile(name)
		if err != nil || string(b) != keys[i] {
			t.Errorf("%q: %q, %v", name, b, err)
		}
		bucket, key := "bucket", "odd/"+keys[i]
		if _, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: &key}); err != nil {
			t.Errorf("%q is not the key: %v", key, err)
		}
	}
	deleted, err := fsys.(iceio.BulkRemovableIO).DeleteFiles(t.Context(), append(names, "s3://bucket/odd/never"))
	if err != nil || len(deleted) != len(names)+1 {
		t.Errorf("%d deleted, %v", len(deleted), err)
	}
	if left := list(t, fsys, "s3://bucket/odd/"); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

func TestS3DeletesOneByOneWhereItMust(t *testing.T) {
	s := newS3(t)
	fsys := s.io(t, t.Context())
	var names []string
	for i := range 20 {
		name := fmt.Sprintf("s3://bucket/d/%d", i)
		names = append(names, name)
		if err := fsys.WriteFile(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.reset(func(r *http.Request) int {
		if r.Method == http.MethodPost {
			return 501
		}
		return 0
	})
	deleted, err := fsys.(iceio.BulkRemovableIO).DeleteFiles(t.Context(), names)
	if err != nil || len(deleted) != 20 {
		t.Errorf("%d deleted, %v", len(deleted), err)
	}
	if left := list(t, fsys, "s3://bucket/d"); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// Whatever goes wrong, and whenever: a failed write leaves no object and no upload.
func TestS3FailedWritesLeaveNothing(t *testing.T) {
	s := newS3(t)
	content := random(18 * mib)
	for name, tc := range map[string]struct {
		size int
		fail func(r *http.Request) int
	}{
		"small":    {100, func(r *http.Request) int { return on(r.Method == http.MethodPut, 403) }},
		"creation": {18 * mib, func(r *http.Request) int { return on(r.URL.Query().Has("uploads"), 403) }},
		"part 1":   {18 * mib, func(r *http.Request) int { return on(r.URL.Query().Get("partNumber") == "1", 403) }},
		"part 3":   {18 * mib, func(r *http.Request) int { return on(r.URL.Query().Get("partNumber") == "3", 403) }},
		"completion": {18 * mib, func(r *http.Request) int {
			return on(r.Method == http.MethodPost && r.URL.Query().Has("uploadId"), 403)
		}},
	} {
		s.reset(tc.fail)
		fsys := s.io(t, t.Context())
		w, err := fsys.Create("s3://bucket/fails/f")
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(content[:tc.size])
		if err == nil {
			err = w.Close()
		} else if abortErr := w.(catalog.Aborter).Abort(); abortErr != nil {
			t.Errorf("%s: abort: %v", name, abortErr)
		}
		var hint interface{ Hint() string }
		if err == nil || !strings.Contains(err.Error(), "write s3://bucket/fails/f: 403") || !errors.As(err, &hint) || hint.Hint() == "" {
			t.Errorf("%s: error %v", name, err)
		}
		if got := catalog.ClassOf(catalog.Classify(err)); got != catalog.ErrRejected {
			t.Errorf("%s: %v", name, got)
		}
		s.reset(nil)
		if left := list(t, fsys, "s3://bucket/fails"); len(left) != 0 {
			t.Errorf("%s: left %q", name, left)
		}
		if n := s.dangling(t); n != 0 {
			t.Errorf("%s: %d uploads dangle", name, n)
		}
	}
}

func on(hit bool, status int) int {
	if hit {
		return status
	}
	return 0
}

func TestS3AbortAndCancel(t *testing.T) {
	s := newS3(t)
	content := random(18 * mib)
	for _, size := range []int{0, 100, 9 * mib, 18 * mib} {
		for _, cancelled := range []bool{false, true} {
			ctx, cancel := context.WithCancel(t.Context())
			fsys := s.io(t, ctx)
			w, err := fsys.Create("s3://bucket/aborted/f")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(content[:size]); err != nil {
				t.Fatal(err)
			}
			if cancelled {
				cancel()
			}
			if err := w.(catalog.Aborter).Abort(); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
			if err := w.Close(); err == nil {
				t.Errorf("%d bytes: Close after Abort says that the file is there", size)
			}
			cancel()
			if left := list(t, s.io(t, t.Context()), "s3://bucket/aborted"); len(left) != 0 {
				t.Errorf("%d bytes: left %q", size, left)
			}
			if n := s.dangling(t); n != 0 {
				t.Errorf("%d bytes: %d uploads dangle", size, n)
			}
		}
	}
}

func TestS3RetriesWhatPasses(t *testing.T) {
	s := newS3(t)
	fsys := s.io(t, t.Context())
	var mu sync.Mutex
	failures := 2
	s.reset(func(r *http.Request) int {
		mu.Lock()
		defer mu.Unlock()
		if failures > 0 {
			failures--
			return 503
		}
		return 0
	})
	if err := fsys.WriteFile("s3://bucket/r", []byte("x")); err != nil {
		t.Error(err)
	}
}

func TestS3MissingObjectsAndBuckets(t *testing.T) {
	s := newS3(t)
	fsys := s.io(t, t.Context())
	_, err := fsys.Open("s3://bucket/none")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
	_, err = fsys.(iceio.ReadFileIO).ReadFile("s3://bucket/none")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read: %v", err)
	}
	if got := catalog.ClassOf(catalog.Classify(err)); got == catalog.ErrNotFound {
		t.Error("a missing file looks like a missing table")
	}
	if err := fsys.WriteFile("s3://no-such-bucket/f", nil); err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "NoSuchBucket") {
		t.Errorf("no bucket: %v", err)
	}
	for _, bad := range []string{"s3://bucket", "s3:///key", "bucket/key", ""} {
		if _, err := fsys.Open(bad); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestS3ClientsAreShared(t *testing.T) {
	s := newS3(t)
	get := func(change ...string) *s3.Client {
		p := iceberg.Properties{}
		for k, v := range s.props {
			p[k] = v
		}
		for i := 0; i < len(change); i += 2 {
			p[change[i]] = change[i+1]
		}
		c, err := catalog.S3Client(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a := get()
	if get() != a || get("write.parquet.compression-codec", "zstd") != a {
		t.Error("the same configuration makes another client")
	}
	// What a catalog vends anew must not be served by the old client.
	if get("s3.session-token", "t1") == a || get("s3.session-token", "t2") == get("s3.session-token", "t1") {
		t.Error("new credentials, old client")
	}
	b := get("client.region", "eu-west-1")
	if b != a && b.Options().Region != "us-east-1" {
		t.Error("client.region beats s3.region")
	}
	t.Setenv("AWS_REGION", "ap-south-1")
	if get() == a {
		t.Error("a new environment, the old client")
	}
}

func TestS3Configuration(t *testing.T) {
	for _, k := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(k, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_ACCESS_KEY_ID", "env-id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "env-secret")
	options := func(props iceberg.Properties) s3.Options {
		t.Helper()
		c, err := catalog.S3Client(t.Context(), props)
		if err != nil {
			t.Fatal(err)
		}
		return c.Options()
	}
	endpoint := func(o s3.Options) string {
		if o.BaseEndpoint == nil {
			return ""
		}
		return *o.BaseEndpoint
	}

	o := options(nil)
	creds, err := o.Credentials.Retrieve(t.Context())
	if err != nil || creds.AccessKeyID != "env-id" || o.Region != "us-east-1" || o.UsePathStyle || endpoint(o) != "" {
		t.Errorf("from the environment: %+v, %v, region %s, path style %v, endpoint %q", creds.AccessKeyID, err, o.Region, o.UsePathStyle, endpoint(o))
	}
	for _, step := range []struct{ key, value string }{
		{"AWS_ENDPOINT_URL", "http://127.0.0.1:1"}, {"AWS_S3_ENDPOINT", "http://127.0.0.1:2"}, {"AWS_ENDPOINT_URL_S3", "http://127.0.0.1:3"},
	} {
		t.Setenv(step.key, step.value)
		if o := options(nil); endpoint(o) != step.value || !o.UsePathStyle {
			t.Errorf("%s: endpoint %q, path style %v", step.key, endpoint(o), o.UsePathStyle)
		}
		if e, source := catalog.S3Endpoint(nil, os.Getenv); e != step.value || source != step.key {
			t.Errorf("S3Endpoint: %s from %s", e, source)
		}
	}
	o = options(iceberg.Properties{"s3.endpoint": "http://127.0.0.1:4", "s3.force-virtual-addressing": "true", "s3.region": "eu-west-3"})
	if endpoint(o) != "http://127.0.0.1:4" || o.UsePathStyle || o.Region != "eu-west-3" {
		t.Errorf("properties: endpoint %q, path style %v, region %s", endpoint(o), o.UsePathStyle, o.Region)
	}
	if o := options(iceberg.Properties{"s3.path-style-access": "false"}); o.UsePathStyle {
		t.Error("path style is not switched off")
	}
	for _, bad := range []iceberg.Properties{
		{"s3.access-key-id": "x"},
		{"s3.endpoint": "localhost:9000"},
		{"s3.connect-timeout": "soon"},
		{"s3.path-style-access": "perhaps"},
		{"s3.remote-signing-enabled": "true"},
		{"s3.proxy-uri": "::"},
	} {
		if _, err := catalog.S3Client(t.Context(), bad); !errors.Is(err, catalog.ErrConfig) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// The whole story of a table in S3: made, written, read again, purged.
func TestS3Table(t *testing.T) {
	s := newS3(t)
	c := open(t, catalog.Config{URI: "sqlite:///cat.db", Warehouse: "s3://bucket/wh", Props: s.props, Dir: t.TempDir()})
	ident := table.Identifier{"name space", "a%b"}
	tbl := appendIDs(t, create(t, c, ident, catalog.TableSpec{Schema: eventsSchema, PartitionBy: "bucket(2, id)"}), 10)
	fsys, err := catalog.FS(t.Context(), tbl)
	if err != nil {
		t.Fatal(err)
	}
	if files := list(t, fsys, tbl.Location()); len(files) < 6 {
		t.Errorf("files: %q", files)
	}
	// A store that does not answer holds nobody who has left.
	release := make(chan struct{})
	s.reset(func(*http.Request) int { <-release; return 0 })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.LoadTable(ctx, ident); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled load: %v", err)
	}
	close(release)
	s.reset(nil)
	if n := countRows(t, c, ident); n != 10 {
		t.Errorf("%d rows", n)
	}
	if err := c.PurgeTable(t.Context(), ident); err != nil {
		t.Fatal(err)
	}
	if left := list(t, fsys, "s3://bucket/wh"); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

func countRows(t *testing.T, c *catalog.Catalog, ident table.Identifier) int64 {
	t.Helper()
	tbl, err := c.LoadTable(t.Context(), ident)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := tbl.Scan().ToArrowTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Release()
	return rows.NumRows()
}

// What a REST catalog vends with a table is what its files are reached with, and
// what it vends the next time replaces it.
func TestS3VendedCredentials(t *testing.T) {
	store := newS3(t)
	s := newRESTServer(t)
	meta := metadata(t)
	vended := "vended-1"
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Iceberg-Access-Delegation") != "vended-credentials" {
			t.Errorf("%s does not ask for credentials", r.URL)
		}
		fmt.Fprintf(w, `{"metadata-location":"s3://bucket/m.json","metadata":%s,"config":{"s3.endpoint":%q,"s3.region":"us-east-1"},
			"storage-credentials":[{"prefix":"s3://bucket","config":{"s3.access-key-id":%q,"s3.secret-access-key":"x","s3.session-token":"t"}}]}`,
			meta, store.URL, vended)
	})
	c := open(t, catalog.Config{URI: s.URL, Props: iceberg.Properties{"s3.access-key-id": "mine", "s3.secret-access-key": "y"}})
	for range 2 {
		tbl, err := c.LoadTable(t.Context(), events)
		if err != nil {
			t.Fatal(err)
		}
		fsys, err := catalog.FS(t.Context(), tbl)
		if err != nil {
			t.Fatal(err)
		}
		store.reset(nil)
		_ = fsys.WriteFile("s3://bucket/f", []byte("x"))
		if len(store.keys) != 1 || !store.keys[vended] {
			t.Errorf("signed with %v, not %s", store.keys, vended)
		}
		vended = "vended-2"
	}
}
