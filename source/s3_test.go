package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
)

// bucket is an S3 server in this process, and what goes wrong with it.
type bucket struct {
	client *s3.Client
	// breakAfter cuts the body of each of the next so many GETs after so many bytes.
	mu          sync.Mutex
	breaks      int
	breakAfter  int64
	beforeGet   func(key string)
	requests    []string
	unavailable atomic.Bool
}

func newBucket(t testing.TB, objects map[string]string) *bucket {
	t.Helper()
	b := &bucket{}
	fake := gofakes3.New(s3mem.New()).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		kind := r.Method
		if r.URL.Query().Get("list-type") != "" {
			kind = "LIST"
		}
		b.requests = append(b.requests, kind+" "+strings.TrimPrefix(r.URL.Path, "/data/")+" "+r.Header.Get("Range"))
		before, breaks, after := b.beforeGet, b.breaks, b.breakAfter
		get := kind == http.MethodGet && strings.Count(r.URL.Path, "/") > 1
		if get && breaks > 0 {
			b.breaks--
		}
		b.mu.Unlock()
		if b.unavailable.Load() && get {
			http.Error(w, "<Error><Code>SlowDown</Code></Error>", http.StatusServiceUnavailable)
			return
		}
		if get && before != nil {
			before(r.URL.Path)
		}
		if get && breaks > 0 {
			w = &breaking{ResponseWriter: w, left: after}
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b.client = s3.New(s3.Options{
		BaseEndpoint: &server.URL, Region: "us-east-1", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, RetryMaxAttempts: 1,
	})
	if _, err := b.client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("data")}); err != nil {
		t.Fatal(err)
	}
	for key, text := range objects {
		b.put(t, key, text)
	}
	b.take()
	return b
}

func (b *bucket) put(t testing.TB, key, text string) {
	t.Helper()
	if _, err := b.client.PutObject(context.Background(), &s3.PutObjectInput{Bucket: aws.String("data"), Key: &key, Body: strings.NewReader(text)}); err != nil {
		t.Fatal(err)
	}
}

// take gives the requests since it was last called.
func (b *bucket) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.requests
	b.requests = nil
	return out
}

func (b *bucket) options() Options { return Options{s3: b.client} }

// breaking is an answer whose connection breaks after some bytes.
type breaking struct {
	http.ResponseWriter
	left int64
}

func (w *breaking) Write(p []byte) (int, error) {
	if int64(len(p)) >= w.left {
		_, _ = w.ResponseWriter.Write(p[:w.left])
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	w.left -= int64(len(p))
	return w.ResponseWriter.Write(p)
}

func TestResolveS3(t *testing.T) {
	objects := map[string]string{
		"in/2024-01-15/a.csv": "1", "in/2024-01-15/b.csv.gz": "1", "in/2024-01-16/a.csv": "1", "in/2024-01-16/sub/c.csv": "1",
		"in/_SUCCESS": "1", "in/2024-01-15/_tmp/x.csv": "1", "in/2024-01-15/.x": "1", "in/2024-01-15/": "", "in-other/a.csv": "1",
		"odd[1].csv": "1", "top.csv": "1",
	}
	for i := range 1500 { // more than one page
		objects[fmt.Sprintf("many/%04d.csv", i)] = "1"
	}
	b := newBucket(t, objects)
	for _, c := range []struct{ arg, want string }{
		{"top.csv", "top.csv"},
		{"in", "in/2024-01-15/a.csv in/2024-01-15/b.csv.gz in/2024-01-16/a.csv in/2024-01-16/sub/c.csv"},
		{"in/", "in/2024-01-15/a.csv in/2024-01-15/b.csv.gz in/2024-01-16/a.csv in/2024-01-16/sub/c.csv"},
		{"in/2024-01-15/*", "in/2024-01-15/a.csv in/2024-01-15/b.csv.gz"},
		{"in/*/a.csv", "in/2024-01-15/a.csv in/2024-01-16/a.csv"},
		{"in/2024-01-1[56]/*.csv", "in/2024-01-15/a.csv in/2024-01-16/a.csv"},
		{"in/**/*.csv", "in/2024-01-15/a.csv in/2024-01-16/a.csv in/2024-01-16/sub/c.csv"},
		{"in/2024-01-1*/", "in/2024-01-15/a.csv in/2024-01-15/b.csv.gz in/2024-01-16/a.csv in/2024-01-16/sub/c.csv"},
		{"in/2024-01-15/_tmp/*", "in/2024-01-15/_tmp/x.csv"},
		{"in*/a.csv", "in-other/a.csv"},
		{"odd[1].csv", "odd[1].csv"},
		{"**/c.csv", "in/2024-01-16/sub/c.csv"},
	} {
		got, err := Resolve(t.Context(), []string{"s3://data/" + c.arg}, b.options())
		want := "s3://data/" + strings.ReplaceAll(c.want, " ", " s3://data/")
		if err != nil || names(got) != want {
			t.Errorf("%s: got  %s (%v)\nwant %s", c.arg, names(got), err, want)
		}
	}
	got, err := Resolve(t.Context(), []string{"s3://data/many/*.csv", "s3://data/many/0001.csv"}, b.options())
	if err != nil || len(got) != 1500 {
		t.Errorf("%d objects, %v", len(got), err)
	}
	b.take()
	if _, err := Resolve(t.Context(), []string{"s3://data/many/000*.csv"}, b.options()); err != nil {
		t.Error(err)
	}
	if log := b.take(); len(log) != 1 {
		t.Errorf("a glob of ten names took %v", log)
	}
	for _, c := range []struct{ arg, want string }{
		{"s3://data/nothing", "s3://data/nothing: matches no file"},
		{"s3://data/nothing/*.csv", "s3://data/nothing/*.csv: matches no file"},
		{"s3://nobucket/x/*", `s3://nobucket/x/*: there is no bucket "nobucket"`},
		{"s3://nobucket/x", `s3://nobucket/x: there is no bucket "nobucket"`},
		{"s3://data/a[", "s3://data/a[: is not a glob that can be read: syntax error in pattern"},
	} {
		if _, err := Resolve(t.Context(), []string{c.arg}, b.options()); err == nil || err.Error() != c.want || !errors.Is(err, arrowconv.ErrInput) {
			t.Errorf("%s: got %v, want %s", c.arg, err, c.want)
		}
	}
}

func TestReadS3(t *testing.T) {
	noLeaks(t)
	text := "id,name\n" + noise(t, 1<<20)
	b := newBucket(t, map[string]string{"a.csv": text, "a.csv.gz": gzipOf(t, text), "a.csv.zst": zstdOf(t, text), "empty.csv": ""})
	for _, key := range []string{"a.csv", "a.csv.gz", "a.csv.zst"} {
		got, format, err := slurp(t, resolveOne(t, "s3://data/"+key, b.options()))
		if err != nil || got != text || format != arrowconv.CSV {
			t.Errorf("%s: %d bytes, %s, %v", key, len(got), format, err)
		}
	}
	if got, _, err := slurp(t, resolveOne(t, "s3://data/empty.csv", b.options())); err != nil || got != "" {
		t.Errorf("empty: %q, %v", got, err)
	}
}

// TestResumeS3: a body that breaks is taken up where it broke, by a range of the same version.
func TestResumeS3(t *testing.T) {
	noLeaks(t)
	text := "id,name\n" + noise(t, 1<<20)
	b := newBucket(t, map[string]string{"a.csv": text})
	object := resolveOne(t, "s3://data/a.csv", b.options())
	b.take()
	b.breaks, b.breakAfter = 3, 300_000
	got, _, err := slurp(t, object)
	if err != nil || got != text {
		t.Fatalf("%d of %d bytes: %v", len(got), len(text), err)
	}
	log := strings.Join(b.take(), "\n")
	for _, want := range []string{"GET a.csv \n", "GET a.csv bytes=300000-\n", "GET a.csv bytes=600000-\n", "GET a.csv bytes=900000-\n", "HEAD a.csv "} {
		if !strings.Contains(log+"\n", want) {
			t.Errorf("%q is not among the requests:\n%s", want, log)
		}
	}
}

// TestS3Outage: a body that never comes is a transient fault, not bad input.
func TestS3Outage(t *testing.T) {
	noLeaks(t)
	b := newBucket(t, map[string]string{"a.csv": "id\n1\n"})
	object := resolveOne(t, "s3://data/a.csv", b.options())
	b.unavailable.Store(true)
	_, _, err := slurp(t, object)
	if err == nil || !errors.Is(err, catalog.ErrTransient) || errors.Is(err, arrowconv.ErrInput) || !strings.HasPrefix(err.Error(), "s3://data/a.csv: ") {
		t.Errorf("got %v", err)
	}
}

// TestChangedS3: one version of an object is read, or none.
func TestChangedS3(t *testing.T) {
	noLeaks(t)
	text := "id,name\n" + noise(t, 1<<20)
	for _, c := range []struct {
		name, want string
		change     func(t *testing.T, b *bucket)
	}{
		{"overwritten", "changed while it was being read", func(t *testing.T, b *bucket) { b.put(t, "a.csv", strings.ToUpper(text)) }},
		{"deleted", "vanished while it was being read", func(t *testing.T, b *bucket) {
			if _, err := b.client.DeleteObject(context.Background(), &s3.DeleteObjectInput{Bucket: aws.String("data"), Key: aws.String("a.csv")}); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		for _, when := range []string{"before", "between", "after"} {
			t.Run(c.name+" "+when, func(t *testing.T) {
				b := newBucket(t, map[string]string{"a.csv": text})
				object := resolveOne(t, "s3://data/a.csv", b.options())
				gets := 0
				b.breaks, b.breakAfter = 1, 300_000
				b.beforeGet = func(string) {
					gets++
					if when == "before" && gets == 1 || when == "between" && gets == 2 {
						c.change(t, b)
					}
				}
				r, err := object.Open(t.Context(), "")
				if err == nil {
					defer r.Close()
					if when == "after" {
						_, err = io.ReadFull(r.Reader, make([]byte, len(text)))
						if err != nil {
							t.Fatal(err)
						}
						if err = object.origin.verify(t.Context()); err != nil {
							t.Fatal(err)
						}
						c.change(t, b)
						err = r.Verify(t.Context())
					} else {
						_, err = io.Copy(io.Discard, r.Reader)
					}
				}
				if err == nil || !errors.Is(err, arrowconv.ErrInput) || !strings.Contains(err.Error(), "s3://data/a.csv: "+c.want) {
					t.Errorf("got %v, want %s", err, c.want)
				}
			})
		}
	}
}

// TestRangesS3: random access asks for blocks, each once, and survives broken answers.
func TestRangesS3(t *testing.T) {
	noLeaks(t)
	content := noise(t, 3<<20) // 6 MiB of hexadecimal digits
	b := newBucket(t, map[string]string{"a.parquet": "PAR1\x15" + content})
	object := resolveOne(t, "s3://data/a.parquet", b.options())
	r, err := object.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.At == nil || r.Size != int64(len(content)+5) || r.Format != arrowconv.Parquet {
		t.Fatalf("opened %+v", r)
	}
	b.take()
	want := "PAR1\x15" + content
	check := func(off, n int) {
		t.Helper()
		p := make([]byte, n)
		m, err := r.At.ReadAt(p, int64(off))
		end := min(off+n, len(want))
		if string(p[:m]) != want[off:end] || (err != nil) != (off+n > len(want)) || err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("read of %d at %d: %d bytes, %v", n, off, m, err)
		}
	}
	var wg sync.WaitGroup
	for i := range 50 { // small reads side by side
		wg.Go(func() { check(len(want)-8-i*100, 8) })
		wg.Go(func() { check(i*1000, 4000) })
	}
	wg.Wait()
	check(len(want)-4, 100)
	if log := b.take(); len(log) > 4 {
		t.Errorf("%d requests for 100 small reads: %v", len(log), log)
	}
	b.breaks, b.breakAfter = 2, 1_000_000
	check(1000, 5<<20) // larger than a block: straight
	if log := b.take(); len(log) != 3 {
		t.Errorf("a large read took %v", log)
	}
	b.put(t, "a.parquet", "PAR1\x15"+strings.ToUpper(content))
	if _, err := r.At.ReadAt(make([]byte, 5<<20), 0); !errors.Is(err, arrowconv.ErrInput) {
		t.Errorf("a read of another version: %v", err)
	}
	if err := r.Verify(t.Context()); !errors.Is(err, arrowconv.ErrInput) {
		t.Errorf("verify of another version: %v", err)
	}
}

// TestCancelS3: a read that waits for S3 ends with its context.
func TestCancelS3(t *testing.T) {
	noLeaks(t)
	text := "id\n" + noise(t, 1<<20)
	b := newBucket(t, map[string]string{"a.csv": text})
	object := resolveOne(t, "s3://data/a.csv", b.options())
	ctx, cancel := context.WithCancel(t.Context())
	b.breaks, b.breakAfter = 1000, 0
	b.beforeGet = func(string) { cancel() }
	r, err := object.Open(ctx, arrowconv.CSV)
	if err == nil {
		_, err = io.Copy(io.Discard, r.Reader)
		err = errors.Join(err, r.Close())
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
