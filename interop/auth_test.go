//go:build interop

package interop

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/icewright/icewright/internal/testcert"
)

// gate stands in front of a REST catalog and lets in who is let in.
type gate struct {
	upstream *httputil.ReverseProxy
	admit    func(w http.ResponseWriter, r *http.Request) bool

	mu     sync.Mutex
	passed int
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.admit(w, r) {
		return
	}
	g.mu.Lock()
	g.passed++
	g.mu.Unlock()
	r.Header.Del("Authorization") // the catalog behind knows nobody
	g.upstream.ServeHTTP(w, r)
}

func newGate(t *testing.T, uri string, admit func(http.ResponseWriter, *http.Request) bool) *gate {
	target, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	return &gate{admit: admit, upstream: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, target.Host
	}}}
}

func denied(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, `{"error":{"message":"who are you?","type":"NotAuthorizedException","code":401}}`)
}

// Loads through the gates that catalogs stand behind: tokens that end every half second,
// a house authority, and client certificates. Behind them is Iceberg's own REST catalog.
func TestRESTBehindGates(t *testing.T) {
	rest, s3 := icebergCatalog(t), versitygw(t)
	house := testcert.New(t)
	serverCert, _, _ := house.Issue(t, "catalog")
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	_, certPEM, keyPEM := house.Issue(t, "loader")
	ca, cert, key := file("ca.pem", house.PEM), file("loader.pem", certPEM), file("loader.key", keyPEM)

	var mu sync.Mutex
	tokens := map[string]time.Time{}
	oauth := func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/v1/oauth/tokens" {
			_ = r.ParseForm()
			if r.Form.Get("grant_type") != "client_credentials" || r.Form.Get("client_id") != "loader" || r.Form.Get("client_secret") != "hush" ||
				r.Form.Get("scope") != "lake:write" || r.Form.Get("audience") != "catalog" {
				denied(w)
				return false
			}
			token := fmt.Sprintf("token-%d", len(tokens))
			tokens[token] = time.Now().Add(500 * time.Millisecond)
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":0.5}`, token)
			return false
		}
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if time.Now().After(tokens[token]) {
			denied(w)
			return false
		}
		return true
	}
	anyone := func(http.ResponseWriter, *http.Request) bool { return true }
	oauthProps := []string{"credential=loader:hush", "scope=lake:write", "audience=catalog"}
	for _, tc := range []struct {
		name         string
		admit        func(http.ResponseWriter, *http.Request) bool
		tls          *tls.Config
		props, wrong []string // properties that open the gate, and some that don't
	}{
		{"oauth2", oauth, nil, oauthProps, []string{"credential=loader:wrong"}},
		{"authority", anyone, &tls.Config{}, []string{"ssl.cabundle=" + ca}, nil},
		{"client certificate", anyone, &tls.Config{ClientCAs: house.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}, []string{"ssl.cabundle=" + ca, "ssl.client.cert=" + cert, "ssl.client.key=" + key}, []string{"ssl.cabundle=" + ca}},
		{"all of them", oauth, &tls.Config{ClientCAs: house.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}, append([]string{"ssl.cabundle=" + ca, "ssl.client.cert=" + cert, "ssl.client.key=" + key}, oauthProps...), []string{"ssl.cabundle=" + ca, "ssl.client.cert=" + cert, "ssl.client.key=" + key}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newGate(t, rest.URI, tc.admit)
			server := httptest.NewUnstartedServer(g)
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			if tc.tls != nil {
				tc.tls.Certificates = []tls.Certificate{serverCert}
				server.TLS = tc.tls
				server.StartTLS()
			} else {
				server.Start()
			}
			t.Cleanup(server.Close)
			l := restLake(t, rest, s3)
			table := l.table(t)
			open := restLake(t, rest, s3) // the way around the gate, to look
			l.pointTo(server.URL)
			flags := slices.Clone(l.flags)
			use := func(props []string) {
				l.flags = slices.Clone(flags)
				for _, p := range props {
					l.flags = append(l.flags, "--catalog-prop", p)
				}
			}
			l.put(t, "in.csv", "p,n\na,1\nb,2\n")
			use(tc.wrong)
			p := l.start(t, loadArgs(table, "in.csv", "--partition-by", "p")...)
			if code := p.end(t); code != 2 || strings.Contains(p.stderr.String()+p.stdout.String(), "hush") {
				t.Errorf("exit code %d with %q\n%s", code, tc.wrong, &p.stderr)
			}
			use(tc.props)
			if r := l.load(t, table, "in.csv", "--partition-by", "p"); r.Status != "published" || r.RowsWritten != 2 {
				t.Errorf("%+v", r)
			}
			if r := l.load(t, table, "in.csv", "--partition-by", "p"); r.Status != "unchanged" {
				t.Errorf("again: %+v", r)
			}
			show := open.start(t, "show", table, "--output", "csv")
			if code := show.end(t); code != 0 || !strings.Contains(show.stdout.String(), "b,2") {
				t.Errorf("behind the gate: %d %s %s", code, &show.stdout, &show.stderr)
			}
			if g.passed == 0 {
				t.Error("nothing went through the gate")
			}
		})
	}
}
