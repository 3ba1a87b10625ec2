package fault

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSentences(t *testing.T) {
	for _, line := range []string{
		"commit #1 lands, reply lost", "commit #2 lands, answers 409", "commit #1 lands, never answers", "commit #1 lands late",
		"commit #1 is slow", "commit #1 is lost", "commit #10 answers 504", "load #2 to #4 fails", "load #3 on answers 503",
		"write #3 fails", "write #3 is torn", "write #3 finds the disk full", "write #3 lands, reply lost", "write #1 answers 503 SlowDown",
		"read #2 is torn", "list #1 is stale", "remove #1 lands, reply lost", "request #7 answers 503 SlowDown", "credentials expire after 20 requests",
	} {
		if _, err := parse(line); err != nil {
			t.Error(err)
		}
	}
	for _, line := range []string{
		"commit #0 is lost", "commit #3 to #2 is lost", "commit 1 is lost", "commit #1 is stale", "write #1 lands late", "commit #1 reply lost",
		"load #1 lands, reply lost", "commit #1 answers 40", "credentials expire", "lunch #1 is lost",
	} {
		if s, err := parse(line); err == nil {
			t.Errorf("%q was taken for %+v", line, s)
		}
	}
}

// A sentence that never comes true fails the test that said it.
func TestEverySentenceMustComeTrue(t *testing.T) {
	for script, complains := range map[string]bool{
		"commit #1 is lost": false, "commit #2 is lost": true, "commit #1 to #9 is lost": false, "commit #2 on is lost": true,
		"commit #1 is lost\nload #1 fails": true,
	} {
		r := &recorder{TB: t}
		sc := read(r, script, "commit", "load")
		sc.next("commit")
		r.end()
		if (len(r.errors) > 0) != complains {
			t.Errorf("%q: complaints %q", script, r.errors)
		}
	}
}

// recorder is a test that can fail without its being one.
type recorder struct {
	testing.TB
	cleanups []func()
	errors   []string
}

func (r *recorder) Cleanup(f func())                  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) { r.errors = append(r.errors, format) }
func (r *recorder) end() {
	for _, f := range r.cleanups {
		f()
	}
}

// upstream notes what arrives, and answers with it.
type upstream struct {
	*httptest.Server
	mu       sync.Mutex
	arrived  []string
	received int
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		u.mu.Lock()
		u.received += len(body)
		if err == nil {
			u.arrived = append(u.arrived, r.Method+" "+r.URL.Path)
		}
		u.mu.Unlock()
		if r.URL.Query().Has("list-type") {
			io.WriteString(w, "<ListBucketResult><Contents><Key>old</Key></Contents><Contents><Key>new</Key></Contents></ListBucketResult>")
			return
		}
		io.WriteString(w, "the whole of the answer")
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) all() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return strings.Join(u.arrived, ", ")
}

func (u *upstream) bytes() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.received
}

const (
	commit = "POST /v1/namespaces/a/tables/t"
	load   = "GET /v1/namespaces/a/tables/t"
	put    = "PUT /bucket/new"
	get    = "GET /bucket/new"
	list   = "GET /bucket?list-type=2"
)

// ask sends a request by its short form and says how it ended: a status and the answer, or "broken".
func ask(t *testing.T, base, what, key string) string {
	t.Helper()
	method, path, _ := strings.Cut(what, " ")
	req, err := http.NewRequest(method, base+path, strings.NewReader(strings.Repeat("x", 100_000)))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+key+"/20240115/us-east-1/s3/aws4_request")
	}
	res, err := (&http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return "broken"
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "torn " + string(body)
	}
	return res.Status[:3] + " " + string(body)
}

func TestProxy(t *testing.T) {
	const whole = "200 the whole of the answer"
	for _, c := range []struct {
		script  string
		sent    []string
		answers []string // a prefix of each
		arrived string
	}{
		{"", []string{commit, load, put, get}, []string{whole, whole, whole, whole}, "POST /v1/namespaces/a/tables/t, GET /v1/namespaces/a/tables/t, PUT /bucket/new, GET /bucket/new"},
		{"commit #1 lands, reply lost", []string{commit, commit}, []string{"broken", whole}, commit + ", " + commit},
		{"commit #1 is lost", []string{commit, commit}, []string{"broken", whole}, commit},
		{"commit #1 lands, answers 503", []string{commit}, []string{"503 {"}, commit},
		{"commit #2 answers 409", []string{commit, commit}, []string{whole, `409 {"error"`}, commit},
		{"commit #1 answers 502", []string{commit}, []string{"502 <html>"}, ""},
		{"commit #1 lands, never answers", []string{commit}, []string{"broken"}, commit},
		{"commit #1 is torn", []string{commit}, []string{"torn the whole o"}, commit},
		{"commit #1 is slow", []string{commit}, []string{whole}, commit},
		{"commit #1 lands late", []string{commit, load}, []string{"broken", whole}, load + ", " + commit},
		{"load #1 to #2 answers 503", []string{load, load, load}, []string{"503", "503", whole}, load},
		{"write #1 is torn", []string{put}, []string{"broken"}, ""},
		{"write #1 fails", []string{put, put}, []string{"broken", whole}, put},
		{"write #1 lands, reply lost", []string{put}, []string{"broken"}, put},
		{"read #1 is torn", []string{get}, []string{"torn the whole o"}, get},
		{"list #2 is stale", []string{put, list, list}, []string{whole, "200 <ListBucketResult><Contents><Key>old</Key></Contents><Contents><Key>new", "200 <ListBucketResult><Contents><Key>old</Key></Contents></List"}, put + ", GET /bucket, GET /bucket"},
		{"request #2 answers 503 SlowDown", []string{put, get, get}, []string{whole, "503 <?xml", whole}, put + ", " + get},
	} {
		t.Run(c.script, func(t *testing.T) {
			u := newUpstream(t)
			p := Proxy(t, u.URL, c.script)
			for i, what := range c.sent {
				if got := ask(t, p.URL, what, ""); !strings.HasPrefix(got, c.answers[i]) {
					t.Errorf("%s: %s, want %s", what, got, c.answers[i])
				}
			}
			if got := u.all(); got != c.arrived {
				t.Errorf("arrived: %s, want %s", got, c.arrived)
			}
			if strings.HasSuffix(c.script, "write #1 is torn") {
				n := u.bytes()
				for deadline := time.Now().Add(10 * time.Second); n == 0 && time.Now().Before(deadline); n = u.bytes() {
					time.Sleep(time.Millisecond) // the client hears of it first
				}
				if n == 0 || n == 100_000 {
					t.Errorf("%d bytes arrived, want a part", n)
				}
			}
		})
	}
}

func TestProxyExpiresAKeyAndNoOther(t *testing.T) {
	u := newUpstream(t)
	p := Proxy(t, u.URL, "credentials expire after 2 requests")
	var got []string
	for _, key := range []string{"one", "one", "one", "two", "one", "two"} {
		got = append(got, ask(t, p.URL, put, key)[:3])
	}
	if s := strings.Join(got, " "); s != "200 200 403 200 403 200" {
		t.Errorf("answers %s", s)
	}
}

func TestProxyThen(t *testing.T) {
	u := newUpstream(t)
	p := Proxy(t, u.URL, "commit #1 lands, reply lost")
	var seen []string
	p.Then = func(event string, nth int) {
		if event == "commit" && nth == 1 {
			seen = append(seen, u.all()) // in between it has arrived
		}
	}
	if got := ask(t, p.To(u.URL), commit, ""); got != "broken" || len(seen) != 1 || seen[0] != commit {
		t.Errorf("%s, seen %q", got, seen)
	}
	if p.Landed() != 1 || p.Count("commit") != 1 {
		t.Errorf("%d of %d commits landed", p.Landed(), p.Count("commit"))
	}
}
