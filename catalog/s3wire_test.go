package catalog_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/pace"
	"github.com/icewright/icewright/internal/testcert"
)

// wire is a server that notes what it is asked and answers as little of S3 as a client needs.
type wire struct {
	*httptest.Server
	handle func(w http.ResponseWriter, r *http.Request, n int) bool // n counts requests from 1; true: answered

	mu       sync.Mutex
	requests []*http.Request
}

func newWire(t testing.TB, secure *testcert.Authority) *wire {
	t.Helper()
	cleanAWS(t)
	s := &wire{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.mu.Lock()
		s.requests = append(s.requests, r)
		n, handle := len(s.requests), s.handle
		s.mu.Unlock()
		if handle != nil && handle(w, r, n) {
			return
		}
		w.Header().Set("ETag", `"1"`)
		switch {
		case r.URL.Query().Has("uploads"):
			_, _ = io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
		case r.Method == http.MethodPost:
			_, _ = io.WriteString(w, "<CompleteMultipartUploadResult/>")
		}
	}))
	if secure != nil {
		pair, _, _ := secure.Issue(t, "store")
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// cleanAWS takes away what the machine says about AWS.
func cleanAWS(t testing.TB) {
	t.Helper()
	for _, k := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT",
		"AWS_CA_BUNDLE", "AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE", "AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION",
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"AWS_REGION", "AWS_DEFAULT_REGION", "NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
	} {
		t.Setenv(k, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func (s *wire) props(more ...string) iceberg.Properties {
	p := iceberg.Properties{
		"s3.endpoint": s.URL, "s3.region": "us-east-1", "s3.access-key-id": "AKIAEXAMPLEKEYS1", "s3.secret-access-key": "hush-hush", "s3.retry.min-wait-ms": "1",
	}
	for i := 0; i < len(more); i += 2 {
		p[more[i]] = more[i+1]
	}
	return p
}

// take returns the requests since the last time.
func (s *wire) take() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.requests
	s.requests = nil
	return out
}

func openProps(t testing.TB, props iceberg.Properties) iceio.WriteFileIO {
	t.Helper()
	fsys, err := catalog.OpenIO(t.Context(), props, "s3://bucket/x")
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

// writeParts writes a file of two parts.
func writeParts(t *testing.T, fsys iceio.WriteFileIO, name string) {
	t.Helper()
	w, err := fsys.Create(name)
	if err == nil {
		if _, err = w.Write(make([]byte, 9*mib)); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Every request that writes asks for the encryption that is configured, whoever sends it.
func TestS3Encryption(t *testing.T) {
	const key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" // of 32 bytes
	house := testcert.New(t)
	plain, secure := newWire(t, nil), newWire(t, house)
	bundle := filepath.Join(t.TempDir(), "house.pem")
	writeFile(t, bundle, string(house.PEM))
	for _, c := range []struct {
		s     *wire
		props []string
		want  map[string]string // headers of requests that begin an object
		each  map[string]string // of all requests about objects
	}{
		{plain, nil, map[string]string{"X-Amz-Server-Side-Encryption": ""}, nil},
		{plain, []string{"s3.sse.type", "none"}, map[string]string{"X-Amz-Server-Side-Encryption": ""}, nil},
		{plain, []string{"s3.sse.type", "s3"}, map[string]string{"X-Amz-Server-Side-Encryption": "AES256"}, nil},
		{
			plain,
			[]string{"s3.sse.type", "KMS", "s3.sse.key", "arn:aws:kms:eu-west-1:1:key/k"},
			map[string]string{"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "arn:aws:kms:eu-west-1:1:key/k"},
			nil,
		},
		{plain, []string{"s3.sse.type", "dsse-kms"}, map[string]string{"X-Amz-Server-Side-Encryption": "aws:kms:dsse", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": ""}, nil},
		{secure, []string{"s3.sse.type", "custom", "s3.sse.key", key, "s3.ssl.cabundle", bundle}, nil, map[string]string{
			"X-Amz-Server-Side-Encryption-Customer-Algorithm": "AES256", "X-Amz-Server-Side-Encryption-Customer-Key": key,
			"X-Amz-Server-Side-Encryption-Customer-Key-Md5": "hRasmdxgYDKV3nvbahU1MA==",
		}},
	} {
		fsys := openProps(t, c.s.props(c.props...))
		c.s.take()
		if err := fsys.WriteFile("s3://bucket/m.avro", []byte("manifest")); err != nil {
			t.Fatal(err)
		}
		writeParts(t, fsys, "s3://bucket/data.parquet")
		if _, err := fsys.(iceio.ReadFileIO).ReadFile("s3://bucket/m.avro"); err != nil {
			t.Fatal(err)
		}
		if _, err := fsys.Open("s3://bucket/m.avro"); err != nil {
			t.Fatal(err)
		}
		begun := 0
		for _, r := range c.s.take() {
			begins := r.URL.Query().Has("uploads") || r.Method == http.MethodPut && !r.URL.Query().Has("uploadId")
			for k, want := range c.want {
				if !begins {
					want = "" // S3 refuses it there
				}
				if got := r.Header.Get(k); got != want {
					t.Errorf("%v: %s %s: %s is %q, want %q", c.props, r.Method, r.URL, k, got, want)
				}
			}
			completes := r.Method == http.MethodPost && !r.URL.Query().Has("uploads")
			for k, want := range c.each {
				if got := r.Header.Get(k); got != want && !completes {
					t.Errorf("%v: %s %s: %s is %q, want %q", c.props, r.Method, r.URL, k, got, want)
				}
			}
			if begins {
				begun++
			}
		}
		if begun != 2 {
			t.Errorf("%v: %d objects were begun", c.props, begun)
		}
	}
	for _, bad := range [][]string{
		{"s3.sse.type", "rot13"},
		{"s3.sse.key", key},
		{"s3.sse.type", "s3", "s3.sse.key", key},
		{"s3.sse.type", "custom"},
		{"s3.sse.type", "custom", "s3.sse.key", base64.StdEncoding.EncodeToString([]byte("short"))},
		{"s3.sse.type", "custom", "s3.sse.key", key}, // over http
		{"s3.sse.type", "custom", "s3.sse.key", key, "s3.sse.md5", "AAAA", "s3.endpoint", "https://store.test"},
	} {
		if _, err := catalog.S3Client(t.Context(), plain.props(bad...)); !errors.Is(err, catalog.ErrConfig) || strings.Contains(err.Error(), key) {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if !catalog.IsSecret("s3.sse.key") {
		t.Error("a customer's key is shown")
	}
}

// S3's own words for encryption, as some clients have them, mean the same.
func TestS3EncryptionByOtherNames(t *testing.T) {
	s := newWire(t, nil)
	for _, c := range []struct {
		props           []string
		algorithm, kmsK string
	}{
		{[]string{"s3.server-side-encryption", "AES256"}, "AES256", ""},
		{[]string{"s3.server-side-encryption", "aws:kms", "s3.sse-kms-key-id", "k-1"}, "aws:kms", "k-1"},
	} {
		cat := open(t, catalog.Config{URI: "sqlite:///cat.db", Warehouse: "s3://bucket/wh", Props: s.props(c.props...), Dir: t.TempDir()})
		fsys := openProps(t, cat.Props)
		s.take()
		if err := fsys.WriteFile("s3://bucket/f", nil); err != nil {
			t.Fatal(err)
		}
		r := s.take()[0]
		if r.Header.Get("X-Amz-Server-Side-Encryption") != c.algorithm || r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != c.kmsK {
			t.Errorf("%v: %v", c.props, r.Header)
		}
	}
}

// Checksums that S3 has had since 2025 go along only where somebody asks for them: many stores
// that call themselves S3 refuse them.
func TestS3Checksums(t *testing.T) {
	s := newWire(t, nil)
	for _, c := range []struct {
		props []string
		env   string
		want  bool
	}{
		{nil, "", false},
		{nil, "when_required", false},
		{nil, "when_supported", true},
		{[]string{"s3.checksum-enabled", "true"}, "", true},
		{[]string{"s3.checksum-enabled", "true"}, "when_required", true},
		{[]string{"s3.checksum-enabled", "false"}, "when_supported", false},
	} {
		t.Setenv("AWS_REQUEST_CHECKSUM_CALCULATION", c.env)
		t.Setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", c.env)
		fsys := openProps(t, s.props(c.props...))
		s.take()
		if err := fsys.WriteFile("s3://bucket/f", []byte("x")); err != nil {
			t.Fatal(err)
		}
		writeParts(t, fsys, "s3://bucket/data.parquet")
		for _, r := range s.take() {
			sum := r.Header.Get("X-Amz-Checksum-Crc32") != "" || r.Header.Get("X-Amz-Trailer") != ""
			if r.Method == http.MethodPut && sum != c.want {
				t.Errorf("%v, AWS says %q: %s %s has a checksum: %v", c.props, c.env, r.Method, r.URL, sum)
			}
		}
		if _, err := fsys.(iceio.ReadFileIO).ReadFile("s3://bucket/f"); err != nil {
			t.Fatal(err)
		}
		if asked := s.take()[0].Header.Get("X-Amz-Checksum-Mode") != ""; asked != c.want {
			t.Errorf("%v, AWS says %q: reading asks for a checksum: %v", c.props, c.env, asked)
		}
	}
}

// A store with a certificate of a house authority is trusted where somebody says so, and is
// else an error of the configuration, at once.
func TestS3Certificates(t *testing.T) {
	house, other := testcert.New(t), testcert.New(t)
	s := newWire(t, house)
	dir := t.TempDir()
	file := func(name string, pem []byte) string {
		writeFile(t, filepath.Join(dir, name), string(pem))
		return filepath.Join(dir, name)
	}
	ours, theirs, none := file("house.pem", house.PEM), file("other.pem", other.PEM), file("none.pem", []byte("no certificate"))
	for _, c := range []struct {
		props []string
		env   string
		works bool
	}{
		{nil, "", false},
		{nil, ours, true},
		{nil, theirs, false},
		{[]string{"s3.ssl.cabundle", ours}, "", true},
		{[]string{"s3.ssl.cabundle", ours}, theirs, true},
		{[]string{"s3.ssl.cabundle", theirs}, "", false},
		{[]string{"s3.tls.skip-verify", "true"}, "", true},
		{[]string{"s3.tls.skip-verify", "false"}, "", false},
	} {
		t.Setenv("AWS_CA_BUNDLE", c.env)
		fsys := openProps(t, s.props(append(c.props, "s3.retry.min-wait-ms", "60000", "s3.retry.max-wait-ms", "60000")...))
		err := fsys.WriteFile("s3://bucket/f", []byte("x"))
		if c.works && err != nil || !c.works && catalog.ClassOf(catalog.Classify(err)) != catalog.ErrConfig {
			t.Errorf("%v, AWS_CA_BUNDLE=%s: %v", c.props, filepath.Base(c.env), err)
		}
		var hint interface{ Hint() string }
		if !c.works && (!errors.As(err, &hint) || !strings.Contains(hint.Hint(), "s3.ssl.cabundle")) {
			t.Errorf("%v: the hint does not name s3.ssl.cabundle: %v", c.props, err)
		}
	}
	for _, bad := range []string{none, filepath.Join(dir, "missing.pem")} {
		t.Setenv("AWS_CA_BUNDLE", "")
		if _, err := catalog.S3Client(t.Context(), s.props("s3.ssl.cabundle", bad)); !errors.Is(err, catalog.ErrConfig) {
			t.Errorf("%s as a property: %v", filepath.Base(bad), err)
		}
		t.Setenv("AWS_CA_BUNDLE", bad)
		if _, err := catalog.S3Client(t.Context(), s.props()); !errors.Is(err, catalog.ErrConfig) {
			t.Errorf("%s as AWS_CA_BUNDLE: %v", filepath.Base(bad), err)
		}
	}
}

// The bucket is in the path or in the host name, as the store likes it.
func TestS3Addressing(t *testing.T) {
	s := newWire(t, nil) // as a proxy, which sees the whole address
	for _, c := range []struct {
		endpoint, bucket string
		props            []string
		want             string
	}{
		{"http://store.test", "bucket", nil, "http://store.test/bucket/f"},
		{"http://store.test", "bucket", []string{"s3.path-style-access", "false"}, "http://bucket.store.test/f"},
		{"http://store.test", "bucket", []string{"s3.force-virtual-addressing", "true"}, "http://bucket.store.test/f"},
		{"http://store.test:9000", "bucket", []string{"s3.path-style-access", "false"}, "http://bucket.store.test:9000/f"},
		{"http://127.0.0.1:9000", "bucket", []string{"s3.path-style-access", "false"}, "http://127.0.0.1:9000/bucket/f"}, // no host below an address
		{"http://s3.eu-west-1.amazonaws.com", "bucket", nil, "http://bucket.s3.eu-west-1.amazonaws.com/f"},
		{"http://s3.eu-west-1.amazonaws.com", "bucket", []string{"s3.path-style-access", "true"}, "http://s3.eu-west-1.amazonaws.com/bucket/f"},
		{"http://s3.eu-west-1.amazonaws.com", "Big_Bucket", nil, "http://s3.eu-west-1.amazonaws.com/Big_Bucket/f"}, // not a host name
		{"http://oss-eu-central-1.aliyuncs.com", "bucket", nil, "http://bucket.oss-eu-central-1.aliyuncs.com/f"},
	} {
		fsys := openProps(t, s.props(append(c.props, "s3.endpoint", c.endpoint, "s3.proxy-uri", s.URL)...))
		s.take()
		if err := fsys.WriteFile("s3://"+c.bucket+"/f", nil); err != nil {
			t.Errorf("%s %v: %v", c.endpoint, c.props, err)
			continue
		}
		r := s.take()[0]
		if got := "http://" + r.Host + r.URL.Path; got != c.want {
			t.Errorf("%s %s %v:\ngot  %s\nwant %s", c.endpoint, c.bucket, c.props, got, c.want)
		}
	}
}

// What passes is waited for, with a bound, and what outlasts it is a transient error.
func TestS3Retries(t *testing.T) { pace.Any(t, s3Retries) }

func s3Retries(t testing.TB, pace int) {
	s := newWire(t, nil)
	slow := func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
	}
	faults := map[string]func(w http.ResponseWriter){
		"SlowDown": slow,
		"500":      func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		"502":      func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) },
		"504":      func(w http.ResponseWriter) { w.WriteHeader(http.StatusGatewayTimeout) },
		"reset":    func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"still":    func(http.ResponseWriter) { time.Sleep(time.Duration(pace) * 120 * time.Millisecond) },
		"a 400": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "<Error><Code>RequestTimeout</Code></Error>")
		},
	}
	for name, fault := range faults {
		for _, c := range []struct {
			props    []string
			env      string
			mode     string
			attempts int
		}{
			{nil, "", "", 10},
			{nil, "3", "", 3},
			{nil, "3", "adaptive", 3},
			{[]string{"s3.retry.num-retries", "1"}, "3", "", 2},
			{[]string{"s3.retry.num-retries", "0"}, "", "", 1},
		} {
			if name == "still" && c.attempts > 3 {
				continue // slow
			}
			t.Setenv("AWS_MAX_ATTEMPTS", c.env)
			t.Setenv("AWS_RETRY_MODE", c.mode)
			patience := "30"
			if name == "still" {
				patience = fmt.Sprint(0.06 * float64(pace))
			}
			fsys := openProps(t, s.props(append(c.props, "s3.retry.max-wait-ms", "2", "s3.request-timeout", patience)...))
			for _, outlasts := range []bool{false, true} {
				var asked atomic.Int32
				s.handle = func(w http.ResponseWriter, r *http.Request, _ int) bool {
					if r.Method == http.MethodDelete || !outlasts && int(asked.Load()) == c.attempts-1 {
						asked.Add(1)
						return false
					}
					asked.Add(1)
					fault(w)
					return true
				}
				_, err := fsys.(iceio.ReadFileIO).ReadFile("s3://bucket/f")
				if !outlasts {
					if err != nil {
						t.Errorf("%s, %v: %v", name, c, err)
					}
					continue
				}
				// net/http tries once more of its own where a connection that was kept breaks.
				if n := int(asked.Load()); n < c.attempts || n > c.attempts+1 {
					t.Errorf("%s, %v: asked %d times", name, c, asked.Load())
				}
				if catalog.ClassOf(catalog.Classify(err)) != catalog.ErrTransient || strings.Contains(err.Error(), "f: 0 ") {
					t.Errorf("%s, %v: %v", name, c, err)
				}
				if err := fsys.WriteFile("s3://bucket/f", []byte("x")); catalog.ClassOf(catalog.Classify(err)) != catalog.ErrTransient {
					t.Errorf("%s, %v: write: %v", name, c, err)
				}
			}
		}
	}
	for _, bad := range [][]string{{"s3.retry.num-retries", "-1"}, {"s3.retry.min-wait-ms", "soon"}, {"s3.retry.max-wait-ms", "1.5"}} {
		if _, err := catalog.S3Client(t.Context(), s.props(bad...)); !errors.Is(err, catalog.ErrConfig) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// Many parts that are told to slow down all at once wait and get through: no quota of retries
// for the whole client runs out.
func TestS3ManyThrottledAtOnce(t *testing.T) {
	s := newWire(t, nil)
	fsys := openProps(t, s.props("s3.retry.max-wait-ms", "2"))
	var mu sync.Mutex
	seen := map[string]int{}
	s.handle = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		mu.Lock()
		defer mu.Unlock()
		if seen[r.URL.Path]++; seen[r.URL.Path] > 8 {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<Error><Code>SlowDown</Code></Error>")
		return true
	}
	var g sync.WaitGroup
	for i := range 64 {
		g.Go(func() {
			if err := fsys.WriteFile("s3://bucket/"+strconv.Itoa(i), []byte("x")); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
}

// A body that breaks off, or stands still, is taken up where it ended.
func TestS3BrokenBodies(t *testing.T) {
	s := newWire(t, nil)
	content := random(300_000)
	serve := func(w http.ResponseWriter, r *http.Request, most int, still bool) bool {
		from, to := 0, len(content)-1
		if spec, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
			a, b, _ := strings.Cut(spec, "-")
			from, _ = strconv.Atoi(a)
			to, _ = strconv.Atoi(b)
		}
		w.Header().Set("Content-Length", strconv.Itoa(to-from+1))
		if r.Method == http.MethodHead {
			return true
		}
		if r.Header.Get("Range") != "" {
			w.WriteHeader(http.StatusPartialContent)
		}
		part := content[from : to+1]
		_, _ = w.Write(part[:min(most, len(part))])
		_ = http.NewResponseController(w).Flush()
		if len(part) > most {
			if still {
				time.Sleep(400 * time.Millisecond)
			}
			panic(http.ErrAbortHandler)
		}
		return true
	}
	fsys := openProps(t, s.props("s3.request-timeout", "0.2"))
	for _, still := range []bool{false, true} {
		most := 50_000
		if still {
			most = 200_000
		}
		s.handle = func(w http.ResponseWriter, r *http.Request, _ int) bool { return serve(w, r, most, still) }
		got, err := fsys.(iceio.ReadFileIO).ReadFile("s3://bucket/f")
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("still %v: %d bytes, %v", still, len(got), err)
		}
		f, err := fsys.Open("s3://bucket/f")
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 250_000)
		if n, err := f.ReadAt(p, 1000); n != len(p) || err != nil || !bytes.Equal(p, content[1000:251_000]) {
			t.Errorf("still %v: ReadAt: %d, %v", still, n, err)
		}
	}
	s.handle = func(w http.ResponseWriter, r *http.Request, _ int) bool { return serve(w, r, 0, false) }
	if _, err := fsys.(iceio.ReadFileIO).ReadFile("s3://bucket/f"); catalog.ClassOf(catalog.Classify(err)) != catalog.ErrTransient || !strings.Contains(err.Error(), "s3://bucket/f") {
		t.Errorf("never a byte: %v", err)
	}
	if asked := len(s.take()); asked > 40 {
		t.Errorf("%d requests", asked)
	}
}

// A store that stops reading in the middle of an upload is left, and asked anew.
func TestS3UploadThatStandsStill(t *testing.T) {
	cleanAWS(t)
	var asked atomic.Int32
	done := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			<-done // and never reads the body
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(done) })
	s := &wire{Server: server}
	fsys := openProps(t, s.props("s3.request-timeout", "0.3"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- fsys.WriteFile("s3://bucket/f", make([]byte, 32*mib)) }()
	select {
	case err := <-ended:
		if err != nil || asked.Load() < 2 {
			t.Errorf("asked %d times, %v", asked.Load(), err)
		}
	case <-ctx.Done():
		t.Error("it hangs")
	}
}
