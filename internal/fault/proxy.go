package fault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// HTTP stands between a program and a REST catalog or an S3 server, and breaks what a script says.
// It is a server like the one behind it: its URL goes where that one's would.
//
// Requests are known by what they are: those that carry an AWS signature, or ask for nothing a catalog
// has, are S3's. A commit is a POST to a table, a load a GET of one; a write is a PUT of an object or of
// a part of one, a read a GET of one, a list a GET of a bucket, a remove a DELETE, or a POST of a list of
// names. Whatever else there is counts as a request only, as all of them do.
type HTTP struct {
	*httptest.Server
	// Then is called when an event has taken effect, before its answer is given or withheld: the place
	// for what another program does in between. May be nil; to be set before requests come.
	Then func(event string, nth int)

	script   *script
	upstream *httputil.ReverseProxy

	mu      sync.Mutex
	landed  int
	late    []func()
	keys    map[string]bool // access keys that have expired
	written writtenNames    // keys of objects
}

// Proxy starts one in front of the server at upstream; it ends with the test.
func Proxy(t testing.TB, upstream, text string) *HTTP {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	p := &HTTP{
		script:  read(t, text, "commit", "load", "write", "read", "list", "remove", "request"),
		written: writtenNames{names: map[string]bool{}}, keys: map[string]bool{},
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy, transport.DisableCompression = nil, true
	t.Cleanup(transport.CloseIdleConnections)
	p.upstream = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
			// S3's signatures cover the host; and Nessie tells clients to call back the host that they called.
			r.Out.Host = r.In.Host
		},
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0),
		// A server that is gone looks like a broken connection here too.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.Server = httptest.NewUnstartedServer(p)
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.Start()
	t.Cleanup(p.Close)
	return p
}

// To returns the proxy's address with the path of a URL of the server behind it: what a program is to
// be given in its place.
func (p *HTTP) To(upstream string) string {
	u, err := url.Parse(upstream)
	if err != nil {
		return p.URL
	}
	return p.URL + u.Path
}

// Count is how many events of a kind there were.
func (p *HTTP) Count(event string) int { return p.script.count(event) }

// Landed is how many commits the catalog accepted.
func (p *HTTP) Landed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.landed
}

var (
	tablePath  = regexp.MustCompile(`/namespaces/[^/]+/tables/[^/]+$`)
	credential = regexp.MustCompile(`Credential=([^/, ]+)`)
)

// toS3 tells whether a request is for an S3 server.
func toS3(r *http.Request) bool {
	signed := strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-") || r.URL.Query().Has("X-Amz-Signature")
	return signed || !strings.Contains(r.URL.Path, "/v1/")
}

// eventOf tells what a request is.
func eventOf(r *http.Request) string {
	q := r.URL.Query()
	if !toS3(r) {
		switch {
		case !tablePath.MatchString(r.URL.Path):
		case r.Method == http.MethodPost:
			return "commit"
		case r.Method == http.MethodGet:
			return "load"
		}
		return "request"
	}
	object := strings.Contains(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.Method == http.MethodPut && object:
		return "write"
	case r.Method == http.MethodGet && object && !q.Has("uploads") && !q.Has("uploadId"):
		return "read"
	case r.Method == http.MethodGet && q.Has("list-type"):
		return "list"
	case r.Method == http.MethodDelete && object && !q.Has("uploadId"), r.Method == http.MethodPost && q.Has("delete"):
		return "remove"
	}
	return "request"
}

// ServeHTTP implements http.Handler.
func (p *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	event := eventOf(r)
	o, n := p.script.next("request")
	if event != "request" {
		if special, nth := p.script.next(event); special.how != "" || o.how == "" {
			o, n = special, nth
		} else {
			n = nth
		}
	}
	if p.expire(r, o.how == expired) {
		o = outcome{how: answers, status: http.StatusForbidden, code: "ExpiredToken"}
	} else if o.how == expired {
		o = outcome{} // by another key
	}

	switch o.how {
	case "":
		p.pass(w, r, event, n)
		return
	case slow:
		if wait(r.Context(), Slowness) == nil {
			p.pass(w, r, event, n)
		}
		return
	case stale:
		p.listStale(w, r)
		return
	case late:
		p.keep(r)
	case torn:
		p.tear(w, r, event, n)
	default:
		if o.lands {
			p.effect(r, event, n)
		}
	}
	switch o.how {
	case answers:
		p.refuse(w, r, o)
		return
	case never:
		<-r.Context().Done()
	}
	panic(http.ErrAbortHandler) // breaks the connection
}

// pass hands a request on and its answer back.
func (p *HTTP) pass(w http.ResponseWriter, r *http.Request, event string, n int) {
	seen := &watched{ResponseWriter: w}
	if p.Then != nil {
		// What happens in between happens before the answer, so that has to wait.
		answer := p.effect(r, event, n)
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // a client that went away is its own business
		return
	}
	p.upstream.ServeHTTP(seen, r)
	p.note(r, event, seen.status)
}

// effect hands a request on and keeps its answer.
func (p *HTTP) effect(r *http.Request, event string, n int) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	p.upstream.ServeHTTP(answer, r)
	p.note(r, event, answer.Code)
	if p.Then != nil {
		p.Then(event, n)
	}
	return answer
}

// note remembers what took effect.
func (p *HTTP) note(r *http.Request, event string, status int) {
	p.mu.Lock()
	waiting := p.late
	if event == "load" {
		p.late = nil
	} else {
		waiting = nil
	}
	if status/100 == 2 {
		switch event {
		case "commit":
			p.landed++
		case "write":
			_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			p.written.add(key)
		}
	}
	p.mu.Unlock()
	for _, f := range waiting {
		f()
	}
}

// keep holds a request back until a table has been loaded.
func (p *HTTP) keep(r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	later := r.Clone(context.WithoutCancel(r.Context()))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late = append(p.late, func() {
		later.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		p.upstream.ServeHTTP(answer, later)
		p.note(later, "commit", answer.Code)
	})
}

// tear lets half of what is on its way arrive: of an object that is written, or of an answer.
func (p *HTTP) tear(w http.ResponseWriter, r *http.Request, event string, n int) {
	if event == "write" {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(r.Body, r.ContentLength/2), broken{}), r.Body}
		p.upstream.ServeHTTP(httptest.NewRecorder(), r) // breaks off
		return
	}
	answer := p.effect(r, event, n)
	maps.Copy(w.Header(), answer.Header())
	w.Header().Set("Content-Length", fmt.Sprint(answer.Body.Len()))
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
	_ = http.NewResponseController(w).Flush()
}

// broken is a body that ends too early.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("fault: torn") }

// listStale leaves out of a listing what was written through the proxy.
func (p *HTTP) listStale(w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	p.upstream.ServeHTTP(answer, r)
	body := contents.ReplaceAllFunc(answer.Body.Bytes(), func(entry []byte) []byte {
		var object struct{ Key string }
		if err := xml.Unmarshal(entry, &object); err == nil && p.written.has(object.Key) {
			return nil
		}
		return entry
	})
	maps.Copy(w.Header(), answer.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(answer.Code)
	_, _ = w.Write(body)
}

var contents = regexp.MustCompile(`(?s)<Contents>.*?</Contents>`)

// expire tells whether the request's key is refused, from now on if now says so. Another key works: that
// is how a client with new credentials goes on.
func (p *HTTP) expire(r *http.Request, now bool) bool {
	m := credential.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now && len(p.keys) == 0 {
		p.keys[m[1]] = true
	}
	return p.keys[m[1]]
}

// refuse answers as the server behind the proxy would, a catalog in JSON, an S3 server in XML, or as a
// gateway before it, in HTML.
func (p *HTTP) refuse(w http.ResponseWriter, r *http.Request, o outcome) {
	// Servers take what is sent before they refuse it. A client that is still sending when the
	// connection closes may never see the answer.
	_, _ = io.Copy(io.Discard, r.Body)
	text := "fault: " + http.StatusText(o.status)
	kind, body := "application/json", fmt.Sprintf(`{"error": {"message": %q, "type": %q, "code": %d}}`, text, exceptions[o.status], o.status)
	switch {
	case toS3(r):
		kind, body = "application/xml", fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`,
			cmp.Or(o.code, strings.ReplaceAll(http.StatusText(o.status), " ", "")), text)
	case exceptions[o.status] == "":
		kind, body = "text/html", "<html><body><h1>"+text+"</h1></body></html>"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(o.status)
	_, _ = io.WriteString(w, body)
}

// exceptions are the REST specification's types of errors.
var exceptions = map[int]string{
	http.StatusBadRequest: "BadRequestException", http.StatusConflict: "CommitFailedException",
	http.StatusInternalServerError: "InternalServerError", http.StatusServiceUnavailable: "ServiceUnavailableException",
}

// watched remembers the status of an answer that passes.
type watched struct {
	http.ResponseWriter
	status int
}

func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }
