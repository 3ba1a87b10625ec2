package source

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
)

// fileServer is a web server with one file per path, and what goes wrong with its next answers.
type fileServer struct {
	*httptest.Server
	mu       sync.Mutex
	files    map[string]string
	header   map[string]string // of every answer
	faults   []httpFault       // of the next requests, one each
	requests []string
}

// httpFault goes before an answer. It may answer itself, and say so.
type httpFault func(s *fileServer, w http.ResponseWriter, r *http.Request) (done bool)

func serveFiles(t testing.TB, files map[string]string) *fileServer {
	t.Helper()
	s := &fileServer{files: files, header: map[string]string{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// etagOf names a version of a file.
func etagOf(text string) string { return fmt.Sprintf(`"%08x"`, crc32.ChecksumIEEE([]byte(text))) }

func (s *fileServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path+" "+r.Header.Get("Range"))
	var fault httpFault
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	for name, value := range s.header {
		w.Header().Set(name, value)
	}
	s.mu.Unlock()
	if fault != nil && fault(s, w, r) {
		return
	}
	s.serve(w, r)
}

func (s *fileServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	text, ok := s.files[r.URL.Path]
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	if _, set := w.Header()["Etag"]; !set {
		w.Header().Set("ETag", etagOf(text))
	} else if w.Header().Get("ETag") == "" {
		w.Header().Del("ETag")
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
}

// options have waits that a test can wait for. A body may give nothing for as long as a machine may stand still.
func (s *fileServer) options(t testing.TB) Options {
	c := newHTTPClient()
	c.base, c.stall = time.Millisecond, time.Minute
	t.Cleanup(c.client.CloseIdleConnections)
	return Options{http: c}
}

func (s *fileServer) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.requests
	s.requests = nil
	return out
}

func (s *fileServer) put(path, text string) {
	s.mu.Lock()
	s.files[path] = text
	s.mu.Unlock()
}

// The faults.

func fine(*fileServer, http.ResponseWriter, *http.Request) bool { return false }

func status(code int) httpFault {
	return func(_ *fileServer, w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "no", code)
		return true
	}
}

func breaksAfter(n int64) httpFault {
	return func(s *fileServer, w http.ResponseWriter, r *http.Request) bool {
		s.serve(&breaking{ResponseWriter: w, left: n}, r)
		return true
	}
}

func ignoresRange(_ *fileServer, _ http.ResponseWriter, r *http.Request) bool {
	r.Header.Del("Range")
	return false
}

func both(a, b httpFault) httpFault {
	return func(s *fileServer, w http.ResponseWriter, r *http.Request) bool { return a(s, w, r) || b(s, w, r) }
}

func stalls(s *fileServer, w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Content-Length", "1000000")
	w.Header().Set("ETag", etagOf(s.files[r.URL.Path]))
	_, _ = io.WriteString(w, "id\n")
	_ = http.NewResponseController(w).Flush()
	select {
	case <-r.Context().Done():
	case <-time.After(time.Minute):
	}
	panic(http.ErrAbortHandler)
}

func otherRange(_ *fileServer, w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Range") != "" {
		r.Header.Set("Range", "bytes=1-")
	}
	return false
}

func changes(text string) httpFault {
	return func(s *fileServer, _ http.ResponseWriter, r *http.Request) bool {
		s.put(r.URL.Path, text)
		return false
	}
}

func refuses(_ *fileServer, _ http.ResponseWriter, _ *http.Request) bool { panic(http.ErrAbortHandler) }

func TestReadHTTP(t *testing.T) {
	noLeaks(t)
	text := "id,name\n" + noise(t, 1<<20)
	s := serveFiles(t, map[string]string{
		"/a.csv": text, "/a.csv.gz": gzipOf(t, text), "/empty.csv": "", "/download": text, "/a b.csv": text, "/glob*.csv": text,
	})
	for _, c := range []struct {
		path, want string
		header     map[string]string
	}{
		{"/a.csv", text, nil},
		{"/a.csv?page=1&city=oslo#top", text, nil},
		{"/a.csv.gz", text, nil},
		{"/a.csv.gz", text, map[string]string{"Content-Encoding": "gzip"}},
		{"/empty.csv", "", nil},
		{"/download", text, map[string]string{"Content-Disposition": `attachment; filename="x/rows.csv"`}},
		{"/a%20b.csv", text, nil},
		{"/glob*.csv", text, nil},
	} {
		s.header = c.header
		got, format, err := slurp(t, resolveOne(t, s.URL+c.path, s.options(t)))
		if err != nil || got != c.want || format != arrowconv.CSV {
			t.Errorf("%s: %d bytes, %s, %v", c.path, len(got), format, err)
		}
	}
}

// TestFaultyHTTP: what a server may do, and what becomes of a read that meets it.
func TestFaultyHTTP(t *testing.T) {
	text := "id,name\n" + noise(t, 1<<20)
	other := "id,name\n" + noise(t, 1<<20)
	later := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	after := func(value string) httpFault {
		return func(s *fileServer, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", value)
			return status(http.StatusTooManyRequests)(s, w, r)
		}
	}
	forever := func(f httpFault) []httpFault {
		var all []httpFault
		for range 100 {
			all = append(all, f)
		}
		return all
	}
	for _, c := range []struct {
		name   string
		header map[string]string
		faults []httpFault // of the requests after the file was resolved
		want   string      // the error; "" is none
		class  error
		log    string // the ranges that were asked for
		stalls bool   // 200 ms without a byte are too many, also those of a busy machine: what the log begins with counts
	}{
		{name: "nothing", log: "|bytes=0-0"},
		{name: "503, then fine", faults: []httpFault{status(503), status(502), status(429), status(408)}, log: "|||||bytes=0-0"},
		{name: "Retry-After", faults: []httpFault{after("1")}, log: "||bytes=0-0"},
		{name: "Retry-After is long", faults: []httpFault{after("3600")}, want: "the server answers 429 Too Many Requests, and wants to be asked again in 1h0m0s", class: catalog.ErrTransient},
		{name: "Retry-After is a date", faults: []httpFault{after(later)}, want: "wants to be asked again in", class: catalog.ErrTransient},
		{name: "no answer, then fine", faults: []httpFault{refuses, refuses}, log: "|||bytes=0-0"},
		{name: "an outage", faults: forever(status(503)), want: "the server answers 503 Service Unavailable", class: catalog.ErrTransient, log: "|||||"},
		{name: "broken once", faults: []httpFault{breaksAfter(300_000)}, log: "|bytes=300000-|bytes=0-0"},
		{name: "broken thrice", faults: []httpFault{breaksAfter(300_000), breaksAfter(300_000), breaksAfter(300_000)}, log: "|bytes=300000-|bytes=600000-|bytes=900000-|bytes=0-0"},
		{name: "broken for ever", faults: append([]httpFault{breaksAfter(300_000)}, forever(breaksAfter(0))...), want: "after 300000 of 2097160 bytes: unexpected EOF", class: catalog.ErrTransient},
		{name: "broken, range ignored", faults: []httpFault{breaksAfter(300_000), ignoresRange}, log: "|bytes=300000-|bytes=0-0"},
		{name: "broken, range ignored and broken again", faults: []httpFault{breaksAfter(300_000), both(ignoresRange, breaksAfter(1000)), ignoresRange}},
		{name: "another range", faults: []httpFault{breaksAfter(300_000), otherRange}, want: `asked for "bytes=300000-", the server sent "bytes 1-`, class: catalog.ErrTransient},
		{name: "changed before", faults: []httpFault{changes(other)}, want: "changed while it was being read", class: arrowconv.ErrInput},
		{name: "changed in the middle", faults: []httpFault{breaksAfter(300_000), changes(other)}, want: "changed while it was being read", class: arrowconv.ErrInput},
		{name: "changed in the middle, range ignored", faults: []httpFault{breaksAfter(300_000), both(changes(other), ignoresRange)}, want: "changed while it was being read", class: arrowconv.ErrInput},
		{name: "changed at the end", faults: []httpFault{fine, changes(other)}, want: "changed while it was being read", class: arrowconv.ErrInput},
		{name: "shorter at the end", faults: []httpFault{fine, changes("id\n")}, want: "it had 2097160 bytes and now has 3", class: arrowconv.ErrInput},
		{name: "vanished", faults: []httpFault{breaksAfter(300_000), status(404)}, want: "vanished while it was being read", class: arrowconv.ErrInput},
		{name: "refused in the middle", faults: []httpFault{breaksAfter(300_000), status(403)}, want: "the server answers 403 Forbidden", class: catalog.ErrConfig},
		{name: "no ETag, unbroken", header: map[string]string{"ETag": ""}},
		{name: "no ETag, broken", header: map[string]string{"ETag": ""}, faults: []httpFault{breaksAfter(300_000)}, want: "broke off after 300000 of 2097160 bytes, and without an ETag or a Last-Modified", class: catalog.ErrTransient},
		{name: "Last-Modified", header: map[string]string{"ETag": "", "Last-Modified": "Mon, 15 Jan 2024 10:00:00 GMT"}, faults: []httpFault{breaksAfter(300_000)}},
		{name: "weak ETag and no more, broken", header: map[string]string{"ETag": `W/"1"`}, faults: []httpFault{breaksAfter(300_000)}, want: "broke off after 300000", class: catalog.ErrTransient},
		{name: "stalled", stalls: true, faults: []httpFault{stalls}, want: "changed while it was being read: it had 2097160 bytes and now has 1000000", class: arrowconv.ErrInput},
		{name: "stalled in the middle", stalls: true, faults: []httpFault{func(_ *fileServer, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("ETag", etagOf(text))
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			_, _ = io.WriteString(w, text[:1000])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return true
		}}, log: "|bytes=1000-|bytes="},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeaks(t)
			s := serveFiles(t, map[string]string{"/a.csv": text})
			if c.header != nil {
				s.header = c.header
			}
			o := s.options(t)
			object := resolveOne(t, s.URL+"/a.csv", o)
			if c.stalls {
				o.http.stall = 200 * time.Millisecond
			}
			s.take()
			s.faults = c.faults
			got, _, err := slurp(t, object)
			if c.want == "" {
				if err != nil || got != text {
					t.Errorf("%d of %d bytes, %v", len(got), len(text), err)
				}
			} else if err == nil || !strings.HasPrefix(err.Error(), s.URL+"/a.csv: ") || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.class) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if !strings.HasPrefix(text, got) {
				t.Error("bytes that are not the file's")
			}
			var log []string
			for _, r := range s.take() {
				log = append(log, strings.TrimPrefix(r, "GET /a.csv "))
			}
			if got := strings.Join(log, "|"); c.log != "" && got != c.log && !(c.stalls && strings.HasPrefix(got, c.log)) {
				t.Errorf("asked for %s, want %s", got, c.log)
			}
		})
	}
}

// TestAnyFaultsHTTP: whatever a server does, in whatever order, a read gives the bytes of the version that it
// began with, or an error.
func TestAnyFaultsHTTP(t *testing.T) {
	text, other := "id\n"+noise(t, 20_000), "id\n"+noise(t, 20_000)
	s := serveFiles(t, map[string]string{})
	o := s.options(t)
	o.http.stall = 20 * time.Millisecond
	kinds := []func(n int) httpFault{
		func(int) httpFault { return fine },
		func(n int) httpFault { return status([]int{500, 503, 429, 408, 404, 403}[n%6]) },
		func(n int) httpFault { return breaksAfter(int64(n)) },
		func(n int) httpFault { return both(ignoresRange, breaksAfter(int64(n))) },
		func(int) httpFault { return ignoresRange },
		func(int) httpFault { return refuses },
		func(int) httpFault { return otherRange },
		func(n int) httpFault { return both(changes(other), breaksAfter(int64(n))) },
		func(n int) httpFault { return both(both(changes(other), ignoresRange), breaksAfter(int64(n))) },
		func(n int) httpFault { // a length that is not that of what follows
			return func(s *fileServer, w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Content-Length", fmt.Sprint(len(text)+n%3-1))
				return false
			}
		},
	}
	good := 0
	rapid.Check(t, func(r *rapid.T) {
		s.put("/a.csv", text)
		s.mu.Lock()
		s.faults = nil
		for _, kind := range rapid.SliceOfN(rapid.IntRange(0, len(kinds)-1), 0, 8).Draw(r, "faults") {
			s.faults = append(s.faults, kinds[kind](rapid.IntRange(0, len(text)+100).Draw(r, "at")))
		}
		s.header = map[string]string{}
		if rapid.Bool().Draw(r, "no ETag") {
			s.header["ETag"] = ""
		}
		s.mu.Unlock()
		objects, err := Resolve(t.Context(), []string{s.URL + "/a.csv"}, o)
		if err != nil {
			return
		}
		got, _, err := slurp(t, objects[0])
		if err == nil && got != text && got != other {
			r.Fatalf("%d bytes that are of no version", len(got))
		}
		if err == nil {
			good++
		}
	})
	if good < 10 {
		t.Errorf("only %d reads succeeded", good)
	}
}

func TestResolveHTTPErrors(t *testing.T) {
	s := serveFiles(t, map[string]string{"/a.csv": "id\n", "/page": "<html>"})
	s.header = map[string]string{}
	for _, c := range []struct {
		url, want string
		class     error
		fault     httpFault
	}{
		{"/none.csv", "no such file", arrowconv.ErrInput, nil},
		{"/a.csv", "no such file", arrowconv.ErrInput, status(410)},
		{"/a.csv", "the server answers 400 Bad Request", arrowconv.ErrInput, status(400)},
		{"/a.csv", "the server answers 401 Unauthorized", catalog.ErrConfig, status(401)},
		{"/page", "the server sends a web page (text/html), not a file", arrowconv.ErrInput, nil},
		{"/a.csv", "the server sends Content-Encoding br", arrowconv.ErrInput, func(_ *fileServer, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Encoding", "br")
			return false
		}},
	} {
		s.faults = []httpFault{c.fault}
		_, err := Resolve(t.Context(), []string{s.URL + c.url + "?token=hunter2"}, s.options(t))
		if err == nil || !errors.Is(err, c.class) || !strings.HasPrefix(err.Error(), s.URL+c.url+"?…: "+c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want %s", c.url, err, c.want)
		}
	}
	for arg, want := range map[string]string{
		"http://":                         "http://: is not a URL",
		"https://u:pw@host:port/a":        "https://host:port/a: is not a URL",
		"ftp://u:pw@host/a?token=x":       "ftp://host/a?…: ftp:// cannot be read",
		"http://nosuchhost.invalid/a.csv": "http://nosuchhost.invalid/a.csv: ",
	} {
		o := s.options(t)
		o.http.tries = 1
		if _, err := Resolve(t.Context(), []string{arg}, o); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", arg, err, want)
		}
	}
}

// TestRedirects: a few are followed, none from https to http, and no other host learns a password or a signed
// address.
func TestRedirects(t *testing.T) {
	var seen []string
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization")+r.Header.Get("Referer"))
		w.Header().Set("ETag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("id\n1\n"))
	}))
	defer target.Close()
	var asked []string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		asked = append(asked, user+":"+password)
		switch r.URL.Path {
		case "/loop.csv":
			http.Redirect(w, r, "/loop.csv", http.StatusFound)
		case "/here.csv":
			http.Redirect(w, r, "/away.csv", http.StatusMovedPermanently)
		default:
			http.Redirect(w, r, target.URL+"/a.csv?sig=hunter2", http.StatusTemporaryRedirect)
		}
	})
	plain := httptest.NewServer(handler)
	defer plain.Close()
	secure := httptest.NewTLSServer(handler)
	defer secure.Close()

	c := newHTTPClient()
	defer c.client.CloseIdleConnections()
	c.base = time.Millisecond
	withUser := strings.Replace(plain.URL, "://", "://me:hunter2@", 1)
	object := resolveOne(t, withUser+"/here.csv?sig=hunter2", Options{http: c})
	if got, _, err := slurp(t, object); err != nil || got != "id\n1\n" || object.Name != plain.URL+"/here.csv?…" {
		t.Errorf("%s: %q, %v", object.Name, got, err)
	}
	if strings.Join(seen, "") != "" || asked[0] != "me:hunter2" || asked[1] != "me:hunter2" {
		t.Errorf("the first host was told %q, and the other %q", asked, seen)
	}
	if _, err := Resolve(t.Context(), []string{plain.URL + "/loop.csv"}, Options{http: c}); !errors.Is(err, arrowconv.ErrInput) || !strings.Contains(err.Error(), "there were 10 in a row") {
		t.Errorf("a loop: %v", err)
	}
	trusting := newHTTPClient()
	trusting.client.Transport = secure.Client().Transport
	_, err := Resolve(t.Context(), []string{secure.URL + "/x.csv"}, Options{http: trusting})
	if err == nil || !strings.Contains(err.Error(), "redirect refused: from https to "+target.URL+"/a.csv?…") {
		t.Errorf("from https to http: %v", err)
	}
	_, err = Resolve(t.Context(), []string{secure.URL + "/x.csv"}, Options{http: c})
	if !errors.Is(err, catalog.ErrConfig) || !strings.Contains(hintOf(err), "SSL_CERT_FILE") {
		t.Errorf("an unknown authority: %v, %s", err, hintOf(err))
	}
	_, err = Resolve(t.Context(), []string{strings.Replace(plain.URL, "http:", "https:", 1) + "/x.csv"}, Options{http: c})
	if !errors.Is(err, catalog.ErrConfig) || !strings.Contains(err.Error(), "is it http://?") {
		t.Errorf("TLS to a server without it: %v", err)
	}
}

func TestRedact(t *testing.T) {
	for given, want := range map[string]string{
		"https://h/a.csv":                              "https://h/a.csv",
		"https://u:p@h:8080/a%20b.csv#x":               "https://h:8080/a%20b.csv",
		"https://h/a?page=2&from=2024-01-15&city=oslo": "https://h/a?page=2&from=2024-01-15&city=…",
		"https://h/a?hunter2":                          "https://h/a?…",
		"https://h/a?page=1&X-Amz-Signature=abc":       "https://h/a?…",
		"https://h/a?se=2024-01-15&sig=abc":            "https://h/a?…",
		"https://h/a?apikey=1234":                      "https://h/a?…",
		"https://h/a?n=123456789012345678901":          "https://h/a?n=…",
	} {
		u, err := url.Parse(given)
		if err != nil {
			t.Fatal(err)
		}
		if got := redactURL(u); got != want {
			t.Errorf("%s: got %s, want %s", given, got, want)
		}
	}
}

// TestRangesHTTP: Parquet is read at random where the server lets us, and from a stream where not.
func TestRangesHTTP(t *testing.T) {
	noLeaks(t)
	content := "PAR1\x15" + noise(t, 3<<20)
	s := serveFiles(t, map[string]string{"/a.parquet": content})
	r, err := resolveOne(t, s.URL+"/a.parquet", s.options(t)).Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.At == nil || r.Size != int64(len(content)) {
		t.Fatalf("opened %+v", r)
	}
	s.take()
	p := make([]byte, 5<<20)
	s.faults = []httpFault{status(503), breaksAfter(1_000_000), both(ignoresRange, breaksAfter(2_000_000))}
	if n, err := r.At.ReadAt(p, 1000); err != nil || string(p[:n]) != content[1000:1000+n] {
		t.Errorf("%d bytes, %v", n, err)
	}
	for range 100 {
		if n, err := r.At.ReadAt(p[:8], int64(len(content)-8)); err != nil || string(p[:n]) != content[len(content)-8:] {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
	if log := s.take(); len(log) > 6 {
		t.Errorf("it took %v", log)
	}
	if err := r.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	s.put("/a.parquet", "PAR1"+noise(t, 3<<20))
	if _, err := r.At.ReadAt(p, 0); !errors.Is(err, arrowconv.ErrInput) {
		t.Errorf("a read of another version: %v", err)
	}
	if err := r.Verify(t.Context()); !errors.Is(err, arrowconv.ErrInput) {
		t.Errorf("verify of another version: %v", err)
	}
	s.faults = []httpFault{ignoresRange}
	got, format, err := slurp(t, resolveOne(t, s.URL+"/a.parquet", s.options(t)))
	if err != nil || got != s.files["/a.parquet"] || format != arrowconv.Parquet {
		t.Errorf("without ranges: %d bytes, %s, %v", len(got), format, err)
	}
}

// TestCancelHTTP: waits for a server end with their context.
func TestCancelHTTP(t *testing.T) {
	noLeaks(t)
	s := serveFiles(t, map[string]string{"/a.csv": "id\n"})
	ctx, cancel := context.WithCancel(t.Context())
	s.faults = []httpFault{func(s *fileServer, w http.ResponseWriter, r *http.Request) bool {
		cancel()
		w.Header().Set("Retry-After", "60")
		return status(503)(s, w, r)
	}}
	if _, err := Resolve(ctx, []string{s.URL + "/a.csv"}, s.options(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
