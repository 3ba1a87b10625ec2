package catalog_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/icewright/icewright/catalog"
)

// probe is ProbeStorage with its answers by what was tried.
func probe(t *testing.T, props iceberg.Properties, location string, write bool) (map[string]catalog.Probe, *time.Duration) {
	t.Helper()
	probes, skew := (&catalog.Catalog{Props: props}).ProbeStorage(t.Context(), location, write)
	found := map[string]catalog.Probe{}
	for _, p := range probes {
		if _, twice := found[p.What]; twice {
			t.Errorf("%s was tried twice", p.What)
		}
		found[p.What] = p
		if p.Err != nil && (p.Do == "" || catalog.ClassOf(p.Err) == nil) {
			t.Errorf("%s: %v: class %v, advice %q", p.What, p.Err, catalog.ClassOf(p.Err), p.Do)
		}
	}
	return found, skew
}

// works fails unless exactly these were tried and work.
func works(t *testing.T, found map[string]catalog.Probe, want ...string) {
	t.Helper()
	for _, w := range want {
		p, ok := found[w]
		if !ok || p.Err != nil {
			t.Errorf("%s: tried %v, %v", w, ok, p.Err)
		}
	}
	for what, p := range found {
		if !slices.Contains(want, what) {
			t.Errorf("%s was tried: %v", what, p.Err)
		}
	}
}

func TestProbeOfADisk(t *testing.T) {
	dir := t.TempDir()
	found, skew := probe(t, nil, dir, true)
	works(t, found, "list", "write", "read", "remove")
	if skew != nil {
		t.Errorf("a disk has a clock of its own: %v", skew)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	found, _ = probe(t, nil, dir, false)
	works(t, found, "list")

	found, _ = probe(t, nil, filepath.Join(dir, "not", "there", "yet"), true)
	works(t, found, "list", "write", "read", "remove")

	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	found, _ = probe(t, nil, filepath.Join(file, "below"), true)
	if found["list"].Err == nil && found["write"].Err == nil {
		t.Error("a file passes for a warehouse")
	}
}

func TestProbeOfS3(t *testing.T) {
	s := newS3(t)
	found, skew := probe(t, s.props, "s3://bucket/wh", true)
	if os.Getenv("ICEWRIGHT_S3") == "" {
		works(t, found, "keys", "list", "write", "read", "remove", "upload in parts", "conditional write", "checksums")
	}
	if skew == nil || *skew != 0 {
		t.Errorf("the clock of this machine is %v ahead of itself", skew)
	}
	if !strings.Contains(found["list"].Found, "path style") {
		t.Errorf("addressing: %q", found["list"].Found)
	}
	if n := s.count(http.MethodPut); n == 0 {
		t.Error("nothing was written")
	}
	s.reset(nil)
	found, _ = probe(t, s.props, "s3://bucket/wh", false)
	works(t, found, "keys", "list")
	if n := s.count(http.MethodPut, http.MethodPost, http.MethodDelete); n > 0 {
		t.Errorf("a look wrote %d times", n)
	}
}

// What stores get wrong, each with the probe that notices.
func TestProbeFindsQuirks(t *testing.T) {
	for _, c := range []struct {
		name  string
		fails string
		props iceberg.Properties
		// answer answers in the store's place, or leaves it to a sound one.
		answer func(w http.ResponseWriter, r *http.Request) bool
		skew   time.Duration
		advice string
	}{
		{name: "no rights to write", fails: "write", answer: refuse(http.MethodPut, http.StatusForbidden), advice: "write"},
		{name: "no rights to remove", fails: "remove", answer: refuse(http.MethodDelete, http.StatusForbidden), advice: "takes back"},
		{name: "no rights to list", fails: "list", answer: refuse(http.MethodGet, http.StatusForbidden), advice: "credentials"},
		{name: "no parts", fails: "upload in parts", answer: refuse(http.MethodPost, http.StatusNotImplemented), advice: "multipart"},
		{name: "ignores conditions", fails: "conditional write", advice: "Hadoop", answer: func(_ http.ResponseWriter, r *http.Request) bool {
			r.Header.Del("If-None-Match")
			return false
		}},
		{name: "refuses checksums", fails: "checksums", advice: "when_required", answer: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("X-Amz-Checksum-Crc32") != "" || strings.Contains(r.Header.Get("X-Amz-Trailer"), "checksum") {
				w.WriteHeader(http.StatusBadRequest)
				return true
			}
			return false
		}},
		{name: "a clock that is ahead", skew: 2 * time.Minute},
		{name: "a clock that is behind", skew: -3 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newS3(t)
			if os.Getenv("ICEWRIGHT_S3") != "" {
				return // the quirks are put before a sound store in this process
			}
			target, _ := url.Parse(s.URL)
			proxy := &httputil.ReverseProxy{
				Rewrite: func(r *httputil.ProxyRequest) {
					r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host
				},
				ModifyResponse: func(r *http.Response) error {
					r.Header.Set("Date", time.Now().Add(c.skew).UTC().Format(http.TimeFormat))
					return nil
				},
			}
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c.answer == nil || !c.answer(w, r) {
					proxy.ServeHTTP(w, r)
				}
			}))
			defer front.Close()
			props := iceberg.Properties{}
			for k, v := range s.props {
				props[k] = v
			}
			props["s3.endpoint"] = front.URL
			found, skew := probe(t, props, "s3://bucket/wh", true)
			for what, p := range found {
				if (p.Err != nil) != (what == c.fails) {
					t.Errorf("%s: %v", what, p.Err)
				}
			}
			if c.fails != "" && !strings.Contains(found[c.fails].Do, c.advice) {
				t.Errorf("advice for %s: %q", c.fails, found[c.fails].Do)
			}
			if c.skew != 0 && (skew == nil || (*skew-c.skew).Abs() > 3*time.Second) {
				t.Errorf("skew %v, want %v", skew, c.skew)
			}
		})
	}
}

func refuse(method string, status int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != method {
			return false
		}
		w.WriteHeader(status)
		return true
	}
}

// A store that wants the bucket in the path, asked for it in the host's name.
func TestProbeFindsTheWrongAddressing(t *testing.T) {
	s := newS3(t)
	props := iceberg.Properties{"s3.path-style-access": "false"}
	for k, v := range s.props {
		props[k] = v
	}
	props["s3.endpoint"] = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	found, _ := probe(t, props, "s3://bucket/wh", true)
	if p := found["list"]; p.Err == nil || !strings.Contains(p.Do, "s3.path-style-access=true") {
		t.Errorf("%v, advice %q", p.Err, p.Do)
	}
}

func TestSkew(t *testing.T) {
	noon := time.Date(2024, 1, 15, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		at, sent, got, want time.Duration
	}{
		{0, 0, 0, 0},
		{0, 900 * time.Millisecond, 990 * time.Millisecond, 0},               // the second had begun
		{0, -500 * time.Millisecond, 200 * time.Millisecond, 0},              // it came while we waited
		{time.Minute, 0, time.Second, 59 * time.Second},                      // ahead
		{-time.Minute, 0, time.Second, -time.Minute},                         // behind
		{-1500 * time.Millisecond, 0, time.Second, -1500 * time.Millisecond}, // by more than a Date leaves open
	} {
		if got := catalog.Skew(noon.Add(c.at), noon.Add(c.sent), noon.Add(c.got)); got != c.want {
			t.Errorf("Skew(%v, %v, %v) = %v, want %v", c.at, c.sent, c.got, got, c.want)
		}
	}
}

// An upload that a killed process left is noted, with what to do about it.
func TestProbeFindsUnfinishedUploads(t *testing.T) {
	s := newS3(t)
	client, err := catalog.S3Client(t.Context(), s.props)
	if err != nil {
		t.Fatal(err)
	}
	bucket, key := "bucket", "wh/a/data/f.parquet"
	if _, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: &key}); err != nil {
		t.Fatal(err)
	}
	found, _ := probe(t, s.props, "s3://bucket/wh", true)
	got := found["unfinished uploads"]
	if got.Err == nil || !got.Optional || !strings.Contains(got.Err.Error(), "1 uploads") || !strings.Contains(got.Do, "AbortIncompleteMultipartUpload") {
		t.Errorf("%+v", got)
	}
	if found, _ := probe(t, s.props, "s3://bucket/elsewhere", true); found["unfinished uploads"].Err != nil {
		t.Errorf("elsewhere: %v", found["unfinished uploads"].Err)
	}
}
