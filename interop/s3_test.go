//go:build interop

package interop

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/testcert"
	"github.com/icewright/icewright/localstack/stack"
)

// stores are the S3 servers that the tests run.
var stores = []struct {
	name  string
	start func(testing.TB) *stack.S3
}{{"minio", minio}, {"versitygw", versitygw}}

// storeLake is a SQLite catalog with its warehouse in a store that is reached at endpoint.
func storeLake(t *testing.T, store *stack.S3, endpoint string, props ...string) *lake {
	t.Helper()
	l := &lake{name: "sqlite+" + store.Name, dir: t.TempDir(), newest: 3, s3: store}
	l.flags = []string{"--catalog-uri", "sqlite:///catalog.db", "--warehouse", "s3://" + store.Bucket + "/" + l.below()}
	for k, v := range store.Properties() {
		if k == "s3.endpoint" {
			v = endpoint
		}
		props = append(props, k+"="+v)
	}
	for _, p := range props {
		l.flags = append(l.flags, "--catalog-prop", p)
	}
	return l
}

// below is the lake's own part of the bucket.
func (l *lake) below() string {
	return "s3-for-real/" + strings.ReplaceAll(strings.Trim(l.dir, "/"), "/", "-")
}

// noise writes a CSV of rows that compress little, 5 MB of Parquet for 100,000 of them, and returns its name.
func (l *lake) noise(t *testing.T, seed uint64, rows int) string {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same rows each time
	var b bytes.Buffer
	b.WriteString("p,n,a\n")
	for i := range rows {
		fmt.Fprintf(&b, "x,%d,%016x%016x%016x%016x%016x%016x\n", i, random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64())
	}
	return l.put(t, fmt.Sprintf("noise-%d.csv", seed), b.String())
}

// heads are the data files of a table, by key.
func (l *lake) heads(t *testing.T, table string) []*s3.HeadObjectOutput {
	t.Helper()
	var out []*s3.HeadObjectOutput
	for _, key := range l.files(t, table) {
		h, err := l.s3.Client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &l.s3.Bucket, Key: aws.String(strings.TrimPrefix(key, "/"))})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, h)
	}
	return out
}

// unfinished counts the uploads in parts of the table that were begun and not ended.
func (l *lake) unfinished(t *testing.T) int {
	t.Helper()
	out, err := l.s3.Client().ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &l.s3.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, u := range out.Uploads {
		if strings.Contains(aws.ToString(u.Key), l.below()) {
			n++
		}
	}
	return n
}

// Files of several parts get to real stores through everything that passes: throttling, broken
// connections, lost answers. What does not pass ends the run as transient, with the table and the
// store as they were.
func TestS3UploadsThroughFaults(t *testing.T) {
	const rows = 200_000 // 10 MB in two parts
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			s := store.start(t)
			proxy := fault.Proxy(t, s.Endpoint, `write #1 answers 503 SlowDown
				write #2 to #4 fails
				write #6 is torn
				write #7 lands, reply lost
				request #15 to #17 answers 500
				read #2 is torn`)
			l := storeLake(t, s, proxy.URL, "s3.retry.max-wait-ms=200")
			table := l.table(t)
			in := l.noise(t, 1, rows)
			if r := l.load(t, table, in, "--partition-by", "p"); r.Status != "published" || r.RowsWritten != rows || r.FilesAdded != 1 {
				t.Errorf("%+v", r)
			}
			for _, h := range l.heads(t, table) {
				if !strings.Contains(aws.ToString(h.ETag), "-") || *h.ContentLength < 9<<20 {
					t.Errorf("not uploaded in parts: %s, %d bytes", *h.ETag, *h.ContentLength)
				}
			}
			if r := l.load(t, table, in); r.Status != "unchanged" {
				t.Errorf("again: %+v", r)
			}
			p := l.start(t, "show", table, "--output", "json", "--limit", "0")
			if code := p.end(t); code != 0 || strings.Count(p.stdout.String(), "\n") != rows {
				t.Errorf("exit code %d, %d rows are read back\n%s", code, strings.Count(p.stdout.String(), "\n"), &p.stderr)
			}

			// The store says SlowDown to every write from here on.
			before := l.everything(t)
			down := fault.Proxy(t, s.Endpoint, "write #2 on answers 503 SlowDown")
			again := *l
			again.flags = nil
			for _, f := range l.flags {
				again.flags = append(again.flags, strings.ReplaceAll(f, proxy.URL, down.URL))
			}
			again.flags = append(again.flags, "--catalog-prop", "s3.retry.num-retries=3")
			p = again.start(t, loadArgs(table, l.noise(t, 2, rows))...)
			if code := p.end(t); code != 5 || !strings.Contains(p.stderr.String(), "SlowDown") {
				t.Errorf("a store that stays slow: exit code %d\n%s", code, &p.stderr)
			}
			if after := l.everything(t); strings.Join(after, "\n") != strings.Join(before, "\n") {
				t.Errorf("before:\n%q\nafter:\n%q", before, after)
			}
			if n := l.unfinished(t); n != 0 {
				t.Errorf("%d uploads are unfinished", n)
			}
			if r := l.load(t, table, in); r.Status != "unchanged" {
				t.Errorf("after all: %+v", r)
			}
		})
	}
}

// A process that is killed while it uploads leaves the table as it was; the upload stays in the
// store, doctor says so, and a rerun does the work.
func TestS3KilledUpload(t *testing.T) {
	s := minio(t)
	target, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	upstream := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host
	}}
	held, gone := make(chan struct{}), make(chan struct{})
	var ends atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") && ends.Add(1) == 1 {
			close(held) // the parts are there, and the request that makes a file of them never comes
			<-gone
			panic(http.ErrAbortHandler)
		}
		upstream.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	defer close(gone)
	l := storeLake(t, s, proxy.URL)
	table := l.table(t)
	in := l.noise(t, 3, 200_000)
	p := l.start(t, loadArgs(table, in, "--partition-by", "p")...)
	select {
	case <-held:
	case <-time.After(time.Minute):
		t.Fatalf("no upload comes to its end\n%s", &p.stderr)
	}
	_ = p.Process.Kill()
	_ = p.end(t)
	if n := l.unfinished(t); n != 1 {
		t.Errorf("%d uploads are unfinished", n)
	}
	d := l.start(t, "doctor", table)
	_ = d.end(t)
	if !strings.Contains(d.stdout.String(), "1 uploads in parts below it were begun and never ended") || !strings.Contains(d.stdout.String(), "AbortIncompleteMultipartUpload") {
		t.Errorf("doctor says\n%s", &d.stdout)
	}
	if r := l.load(t, table, in); r.Status != "published" || r.RowsWritten != 200_000 {
		t.Errorf("%+v", r)
	}
}

// Stores are reached over TLS with a house authority, and by host names of buckets.
func TestS3Reached(t *testing.T) {
	house := testcert.New(t)
	bundle := filepath.Join(t.TempDir(), "house.pem")
	if err := os.WriteFile(bundle, house.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	pair, _, _ := house.Issue(t, "store")
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			s := store.start(t)
			target, err := url.Parse(s.Endpoint)
			if err != nil {
				t.Fatal(err)
			}
			hosts := make(chan string, 10_000)
			through := &httputil.ReverseProxy{
				Rewrite: func(r *httputil.ProxyRequest) {
					hosts <- r.In.Host
					r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", target.Host, r.In.Host
				},
				ErrorLog: log.New(io.Discard, "", 0),
			}
			secure := httptest.NewUnstartedServer(through)
			secure.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
			secure.Config.ErrorLog = log.New(io.Discard, "", 0)
			secure.StartTLS()
			t.Cleanup(secure.Close)

			l := storeLake(t, s, secure.URL, "s3.ssl.cabundle="+bundle)
			in := l.noise(t, 4, 120_000)
			if r := l.load(t, l.table(t), in, "--partition-by", "p"); r.Status != "published" {
				t.Errorf("TLS: %+v", r)
			}
			distrusts := storeLake(t, s, secure.URL)
			p := distrusts.start(t, loadArgs(l.table(t), filepath.Join(l.dir, in), "--partition-by", "p")...)
			if code := p.end(t); code != 2 || !strings.Contains(p.stderr.String(), "s3.ssl.cabundle") {
				t.Errorf("without the authority: exit code %d\n%s", code, &p.stderr)
			}

			// As a proxy, so that nobody need know the names.
			proxy := httptest.NewServer(through)
			t.Cleanup(proxy.Close)
			for len(hosts) > 0 {
				<-hosts
			}
			l = storeLake(t, s, "http://"+stack.VirtualDomain, "s3.proxy-uri="+proxy.URL)
			for i, f := range l.flags {
				l.flags[i] = strings.Replace(f, "s3.path-style-access=true", "s3.path-style-access=false", 1)
			}
			in = l.noise(t, 5, 120_000)
			if r := l.load(t, l.table(t), in, "--partition-by", "p"); r.Status != "published" {
				t.Errorf("host names: %+v", r)
			}
			for len(hosts) > 0 {
				if host := <-hosts; host != s.Bucket+"."+stack.VirtualDomain {
					t.Errorf("a request went to %s", host)
				}
			}
		})
	}
}

// A bucket that its owner opened to everybody is read without keys, as a table and as a source, and written
// by nobody.
func TestS3Anonymous(t *testing.T) {
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			s := *store.start(t)
			s.Bucket = "open-to-all"
			if _, err := s.Client().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &s.Bucket}); err != nil {
				t.Fatal(err)
			}
			policy := `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject", "s3:ListBucket"],
				"Resource": ["arn:aws:s3:::open-to-all", "arn:aws:s3:::open-to-all/*"]}]}`
			if _, err := s.Client().PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: &s.Bucket, Policy: &policy}); err != nil {
				t.Fatal(err)
			}
			owner := storeLake(t, &s, s.Endpoint)
			table := owner.table(t)
			owner.load(t, table, owner.put(t, "rows.csv", "p,n\nx,1\nx,2\ny,3\n"), "--partition-by", "p")
			if _, err := s.Client().PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: &s.Bucket, Key: aws.String("in/more.csv"), Body: strings.NewReader("p,n\nz,4\n"),
			}); err != nil {
				t.Fatal(err)
			}

			nobody := *owner
			nobody.flags = owner.flags[:4:4]
			for _, p := range []string{"s3.endpoint=" + s.Endpoint, "s3.region=" + s.Region, "s3.path-style-access=true", "s3.anonymous=true"} {
				nobody.flags = append(nobody.flags, "--catalog-prop", p)
			}
			if shown := nobody.icewright(t, "show", table, "--output", "json"); strings.Count(shown, `"n":`) != 3 {
				t.Errorf("without keys:\n%s", shown)
			}
			before := owner.everything(t)
			for _, wrong := range []struct {
				name string
				lake lake
				code int
				says string
			}{
				{"writes without keys", nobody, 2, "denied"},
				{"reads without saying so", func() lake {
					l := nobody
					l.flags = nobody.flags[:len(nobody.flags)-2]
					return l
				}(), 2, "s3.anonymous"},
			} {
				p := wrong.lake.start(t, loadArgs(table, "s3://open-to-all/in/more.csv")...)
				if code := p.end(t); code != wrong.code || !strings.Contains(strings.ToLower(p.stderr.String()), wrong.says) {
					t.Errorf("%s: exit code %d\n%s", wrong.name, code, &p.stderr)
				}
			}
			if after := owner.everything(t); len(after) != len(before) {
				t.Errorf("%d objects, and %d after loads that were refused", len(before), len(after))
			}

			local := &lake{name: "sqlite", dir: owner.dir, newest: 3, flags: []string{"--catalog-uri", "sqlite:///local.db", "--warehouse", "warehouse"}}
			props := []string{"--source-prop", "s3.endpoint=" + s.Endpoint, "--source-prop", "s3.path-style-access=true", "--source-prop", "s3.anonymous=true", "--partition-by", "p"}
			if r := local.load(t, local.table(t), "s3://open-to-all/in/*.csv", props...); r.Status != "published" || r.RowsRead != 1 {
				t.Errorf("a source without keys: %+v", r)
			}
		})
	}
}

// MinIO encrypts what it is asked to: data, manifests and metadata.
func TestS3EncryptedByMinIO(t *testing.T) {
	s := minio(t)
	for kind, want := range map[string]string{"s3": "AES256", "kms": "aws:kms"} {
		props := []string{"s3.sse.type=" + kind}
		if kind == "kms" {
			props = append(props, "s3.sse.key=icewright-key")
		}
		l := storeLake(t, s, s.Endpoint, props...)
		in := l.noise(t, 6, 120_000)
		if r := l.load(t, l.table(t), in, "--partition-by", "p"); r.Status != "published" {
			t.Errorf("%s: %+v", kind, r)
		}
		if r := l.load(t, l.table(t), in); r.Status != "unchanged" {
			t.Errorf("%s, again: %+v", kind, r)
		}
		seen := 0
		for _, key := range l.everything(t) {
			if !strings.Contains(key, l.below()) {
				continue
			}
			h, err := s.Client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &s.Bucket, Key: aws.String(strings.TrimPrefix(key, "/"))})
			if err != nil || string(h.ServerSideEncryption) != want {
				t.Errorf("%s: %s is encrypted by %q, %v", kind, key, h.ServerSideEncryption, err)
			}
			seen++
		}
		if seen < 4 {
			t.Errorf("%s: %d objects", kind, seen)
		}
	}
}
