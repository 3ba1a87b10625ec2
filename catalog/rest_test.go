package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/pace"
)

// restServer is a REST catalog that answers as the test says, and counts.
type restServer struct {
	*httptest.Server
	config  string       // the body of GET /v1/config
	handler http.Handler // of everything else; 404 without one

	mu   sync.Mutex
	seen []*http.Request
}

func newRESTServer(t testing.TB) *restServer {
	s := &restServer{config: `{"defaults":{},"overrides":{}}`}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		s.mu.Lock()
		s.seen = append(s.seen, r)
		s.mu.Unlock()
		switch {
		case strings.HasSuffix(r.URL.Path, "/v1/config"):
			_, _ = io.WriteString(w, s.config)
		case strings.HasSuffix(r.URL.Path, "/token"):
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token":"fresh","token_type":"bearer","expires_in":3600}`)
		case s.handler != nil:
			s.handler.ServeHTTP(w, r)
		default:
			answer(w, 404, "NoSuchTableException")
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func answer(w http.ResponseWriter, status int, typ string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"message":"what the server says","type":%q,"code":%d}}`, typ, status)
}

func (s *restServer) requests(part string) (found []*http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.seen {
		if strings.Contains(r.Method+" "+r.URL.Path, part) {
			found = append(found, r)
		}
	}
	return found
}

// metadata is that of a table such as a server keeps.
func metadata(t testing.TB) []byte {
	t.Helper()
	m, err := table.NewMetadata(eventsSchema, nil, table.UnsortedSortOrder, "s3://bucket/lake/events", iceberg.Properties{"format-version": "2"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var events = table.Identifier{"lake", "events"}

func commit(ctx context.Context, c *catalog.Catalog) error {
	_, _, err := c.CommitTable(ctx, events, nil, []table.Update{table.NewSetPropertiesUpdate(iceberg.Properties{"a": "b"})})
	return err
}

func load(ctx context.Context, c *catalog.Catalog) error {
	_, err := c.LoadTable(ctx, events)
	return err
}

func wantClass(t testing.TB, what string, err, want error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, want %v", what, want)
		return
	}
	if got := catalog.ClassOf(err); got != want {
		t.Errorf("%s: %v is %v, want %v", what, err, got, want)
	}
	if again := catalog.Classify(err); again != err {
		t.Errorf("%s: classified twice", what)
	}
	if !strings.Contains(err.Error(), "lake.events") {
		t.Errorf("%s: %q does not say which table", what, err)
	}
}

func TestRESTStatusClasses(t *testing.T) {
	s := newRESTServer(t)
	c := open(t, catalog.Config{URI: s.URL})
	for _, tc := range []struct {
		status         int
		commit, load   error
		create         error
		garbled, empty bool
	}{
		{400, catalog.ErrRejected, catalog.ErrRejected, catalog.ErrRejected, false, false},
		{401, catalog.ErrRejected, catalog.ErrRejected, catalog.ErrRejected, false, false},
		{403, catalog.ErrRejected, catalog.ErrRejected, catalog.ErrRejected, false, false},
		{404, catalog.ErrNotFound, catalog.ErrNotFound, catalog.ErrNotFound, false, false},
		{409, catalog.ErrConflict, catalog.ErrRejected, catalog.ErrRejected, false, false},
		{419, catalog.ErrTransient, catalog.ErrTransient, catalog.ErrTransient, false, false},
		{422, catalog.ErrRejected, catalog.ErrRejected, catalog.ErrRejected, false, false},
		{429, catalog.ErrTransient, catalog.ErrTransient, catalog.ErrTransient, false, false},
		{500, catalog.ErrUnknownState, catalog.ErrTransient, catalog.ErrUnknownState, false, false},
		{501, catalog.ErrRejected, catalog.ErrRejected, catalog.ErrRejected, false, false},
		{502, catalog.ErrUnknownState, catalog.ErrTransient, catalog.ErrUnknownState, true, false},
		{503, catalog.ErrUnknownState, catalog.ErrTransient, catalog.ErrUnknownState, false, true},
		{504, catalog.ErrUnknownState, catalog.ErrTransient, catalog.ErrUnknownState, false, false},
		{200, catalog.ErrUnknownState, catalog.ErrTransient, catalog.ErrUnknownState, true, false},
	} {
		reply := func(w http.ResponseWriter) {
			switch {
			case tc.garbled:
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, "<html>gateway</html>")
			case tc.empty:
				w.WriteHeader(tc.status)
			default:
				answer(w, tc.status, "SomeException")
			}
		}
		s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reply(w) })
		wantClass(t, fmt.Sprint("commit ", tc.status), commit(t.Context(), c), tc.commit)
		wantClass(t, fmt.Sprint("load ", tc.status), load(t.Context(), c), tc.load)

		s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/tables"):
				reply(w)
			case strings.Contains(r.URL.Path, "/tables/"):
				answer(w, 404, "NoSuchTableException")
			default:
				w.WriteHeader(http.StatusOK) // the namespace is there
				_, _ = io.WriteString(w, `{"namespace":["lake"],"properties":{}}`)
			}
		})
		_, _, err := c.CreateTable(t.Context(), events, catalog.TableSpec{Schema: eventsSchema})
		wantClass(t, fmt.Sprint("create ", tc.status), err, tc.create)
	}
}

func TestRESTBrokenWires(t *testing.T) { pace.Any(t, restBrokenWires) }

func restBrokenWires(t testing.TB, pace int) {
	s := newRESTServer(t)
	c := open(t, catalog.Config{URI: s.URL, Props: iceberg.Properties{"rest.client.socket-timeout-ms": strconv.Itoa(250 * pace)}})
	patient := open(t, catalog.Config{URI: s.URL})

	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Close()
		}
	})
	wantClass(t, "connection closed", commit(t.Context(), c), catalog.ErrUnknownState)
	wantClass(t, "connection closed", load(t.Context(), c), catalog.ErrTransient)

	release := make(chan struct{})
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-release })
	start := time.Now()
	wantClass(t, "no answer", commit(t.Context(), c), catalog.ErrUnknownState)
	wantClass(t, "no answer", load(t.Context(), c), catalog.ErrTransient)
	if d := time.Since(start); d > time.Duration(pace)*5*time.Second {
		t.Errorf("waited %v", d)
	}

	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"metadata-location":`)
		_ = http.NewResponseController(w).Flush()
		<-release
	})
	wantClass(t, "half an answer", commit(t.Context(), c), catalog.ErrUnknownState)
	wantClass(t, "half an answer", load(t.Context(), c), catalog.ErrTransient)

	// The caller's own context is not the catalog's fault, but leaves a commit open.
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-release })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := load(ctx, patient)
	if !errors.Is(err, context.DeadlineExceeded) || catalog.ClassOf(err) != nil {
		t.Errorf("load: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { cancel(); <-release })
	err = commit(ctx, patient)
	wantClass(t, "cancelled commit", err, catalog.ErrUnknownState)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("commit: %v", err)
	}

	close(release)
	s.Server.Close()
	wantClass(t, "connection refused", commit(t.Context(), c), catalog.ErrTransient)
	wantClass(t, "connection refused", load(t.Context(), c), catalog.ErrTransient)
}

// restConnect is how long a connection may take by default.
const restConnect = 10 * time.Second

func TestRESTOpenErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	l.Close()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes the connection, nobody speaks
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	start := time.Now()
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	tls.Config.ErrorLog = nil
	badToken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
	}))
	defer badToken.Close()
	for name, tc := range map[string]struct {
		cfg  catalog.Config
		want error
	}{
		"nobody listens":  {catalog.Config{URI: nobody}, catalog.ErrTransient},
		"nobody speaks":   {catalog.Config{URI: "https://" + mute.Addr().String(), Props: iceberg.Properties{"rest.client.connection-timeout-ms": "100"}}, catalog.ErrTransient},
		"unknown signer":  {catalog.Config{URI: tls.URL}, catalog.ErrConfig},
		"wrong secret":    {catalog.Config{URI: badToken.URL, Props: iceberg.Properties{"credential": "id:wrong"}}, catalog.ErrConfig},
		"no host":         {catalog.Config{URI: "http://"}, catalog.ErrConfig},
		"bad auth uri":    {catalog.Config{URI: nobody, Props: iceberg.Properties{"oauth2-server-uri": "nowhere"}}, catalog.ErrConfig},
		"bad timeout":     {catalog.Config{URI: nobody, Props: iceberg.Properties{"rest.client.socket-timeout-ms": "1s"}}, catalog.ErrConfig},
		"bad switch":      {catalog.Config{URI: nobody, Props: iceberg.Properties{"rest.tls.skip-verify": "maybe"}}, catalog.ErrConfig},
		"unknown type":    {catalog.Config{URI: nobody, Props: iceberg.Properties{"type": "glue"}}, catalog.ErrConfig},
		"type of no kind": {catalog.Config{URI: "thrift://h:9083"}, catalog.ErrConfig},
	} {
		c, err := catalog.Open(t.Context(), tc.cfg)
		if err == nil {
			c.Close()
		}
		if catalog.ClassOf(err) != tc.want {
			t.Errorf("%s: %v is %v, want %v", name, err, catalog.ClassOf(err), tc.want)
		}
	}
	if d := time.Since(start); d > restConnect {
		t.Errorf("waited %v", d)
	}
	// The certificate is no obstacle to those who say so.
	_, err = catalog.Open(t.Context(), catalog.Config{URI: tls.URL, Props: iceberg.Properties{"rest.tls.skip-verify": "true"}})
	if errors.Is(err, catalog.ErrConfig) {
		t.Errorf("skip-verify: %v", err)
	}
}

func TestRESTRequestsCarryTheConfiguration(t *testing.T) {
	s := newRESTServer(t)
	s.config = `{"defaults":{},"overrides":{"prefix":"branch"}}`
	c := open(t, catalog.Config{URI: s.URL, Warehouse: "prod", Props: iceberg.Properties{
		"credential": "me:secret", "oauth2-server-uri": s.URL + "/auth/token", "scope": "PRINCIPAL_ROLE:ALL",
		"header.X-Team": "loads",
	}})
	err := load(t.Context(), c)
	wantClass(t, "load", err, catalog.ErrNotFound)

	token := s.requests("POST /auth/token")
	if len(token) == 0 || token[0].Form.Get("client_id") != "me" || token[0].Form.Get("scope") != "PRINCIPAL_ROLE:ALL" {
		t.Errorf("token requests: %v", token)
	}
	config := s.requests("GET /v1/config")
	if len(config) != 1 || config[0].URL.Query().Get("warehouse") != "prod" {
		t.Fatalf("configuration requests: %v", config)
	}
	loads := s.requests("GET /v1/branch/namespaces/lake/tables/events")
	if len(loads) != 1 {
		t.Fatalf("no load in %v", s.requests(""))
	}
	for _, r := range append(config, loads...) {
		if r.Header.Get("Authorization") != "Bearer fresh" || r.Header.Get("X-Team") != "loads" {
			t.Errorf("%s: headers %v", r.URL, r.Header)
		}
	}
}

func TestRESTStaticToken(t *testing.T) {
	s := newRESTServer(t)
	c := open(t, catalog.Config{URI: s.URL + "/", Props: iceberg.Properties{"token": "t0ken"}})
	_ = load(t.Context(), c)
	for _, r := range s.requests("") {
		if r.Header.Get("Authorization") != "Bearer t0ken" || strings.Contains(r.URL.Path, "//") {
			t.Errorf("%s: %v", r.URL, r.Header)
		}
	}
}

func TestIdempotencyKeyIsSentWhereItIsHeeded(t *testing.T) {
	for config, want := range map[string]string{
		`{"defaults":{},"overrides":{}}`:                                    "",
		`{"defaults":{},"overrides":{},"idempotency-key-lifetime":"PT30M"}`: "key-1",
	} {
		s := newRESTServer(t)
		s.config = config
		c := open(t, catalog.Config{URI: s.URL})
		_ = commit(catalog.WithIdempotencyKey(t.Context(), "key-1"), c)
		_ = commit(t.Context(), c)
		posts := s.requests("POST /v1/namespaces/lake/tables/events")
		if len(posts) != 2 || posts[0].Header.Get("Idempotency-Key") != want || posts[1].Header.Get("Idempotency-Key") != "" {
			t.Errorf("%s: %d commits, key %q", config, len(posts), posts[0].Header.Get("Idempotency-Key"))
		}
	}
}

// A table that somebody else makes between our look and our request is taken.
func TestRESTLostRaceLoadsTheOthers(t *testing.T) {
	s := newRESTServer(t)
	var made []string
	meta := metadata(t)
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/namespaces"):
			body, _ := io.ReadAll(r.Body)
			var ns struct{ Namespace []string }
			_ = json.Unmarshal(body, &ns)
			name := strings.Join(ns.Namespace, ".")
			if name == "a" {
				answer(w, 409, "AlreadyExistsException")
				return
			}
			made = append(made, name)
			fmt.Fprintf(w, `{"namespace":["a"],"properties":{}}`)
		case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/tables"):
			answer(w, 409, "AlreadyExistsException")
		case strings.Contains(r.URL.Path, "/tables/"):
			fmt.Fprintf(w, `{"metadata-location":"s3://bucket/m.json","metadata":%s}`, meta)
		default:
			answer(w, 404, "NoSuchNamespaceException")
		}
	})
	c := open(t, catalog.Config{URI: s.URL})
	tbl, created, err := c.CreateTable(t.Context(), table.Identifier{"a", "b", "t"}, catalog.TableSpec{Schema: eventsSchema})
	if err != nil || created || tbl.Location() != "s3://bucket/lake/events" {
		t.Errorf("table %v, created %v, err %v", tbl, created, err)
	}
	if !slices.Equal(made, []string{"a.b"}) {
		t.Errorf("namespaces made: %q", made)
	}
}

// A server that repeats what it was sent, and an address with a password in it: no
// error tells.
func TestRESTErrorsKeepSecrets(t *testing.T) {
	s := newRESTServer(t)
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"error":{"message":"no: %s %s","type":"ForbiddenException","code":403}}`, r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"))
	})
	c := open(t, catalog.Config{URI: s.URL, Props: iceberg.Properties{"token": "hush-token", "header.X-Api-Key": "hush-key"}})
	err := load(t.Context(), c)
	if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "Bearer "+catalog.Redacted) {
		t.Errorf("load: %v", err)
	}
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":"who is %s?"}`, r.Form.Get("client_secret"))
	}))
	defer echo.Close()
	withPassword := func(scheme string) string {
		return scheme + "://me:hush-word@" + strings.TrimPrefix(echo.URL, "http://")
	}
	for name, cfg := range map[string]catalog.Config{
		"credential":         {URI: echo.URL, Props: iceberg.Properties{"credential": "me:hush-secret"}},
		"uri":                {URI: withPassword("http")},
		"uri of no kind":     {URI: withPassword("ftp")},
		"uri of a bad kind":  {URI: "http://me:hush@:x:y", Props: iceberg.Properties{"type": "rest"}},
		"authorization":      {URI: echo.URL, Props: iceberg.Properties{"credential": "me:hush-secret", "oauth2-server-uri": withPassword("http")}},
		"authorization, bad": {URI: echo.URL, Props: iceberg.Properties{"oauth2-server-uri": "//me:hush@h"}},
	} {
		_, err := catalog.Open(t.Context(), cfg)
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
