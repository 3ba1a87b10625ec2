package catalog_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/pace"
)

// oauthServer is a REST catalog that gives tokens and takes none but those that are
// good at the moment: their ends are kept, and revoke ends them all.
type oauthServer struct {
	*httptest.Server
	life    float64 // of a token, in seconds; 0: the answer tells none, and it does not end
	refresh string  // the refresh token that comes with a token
	refuse  func(form url.Values) bool
	config  string

	mu     sync.Mutex
	grants []grant
	good   map[string]time.Time
	served []string // METHOD path, Authorization and Idempotency-Key of what was let in
	denied int
	bodies []string // of commits
}

// grant is a request for a token: its form, and who authorised it.
type grant struct {
	url.Values
	auth string
}

func newOAuthServer(t testing.TB) *oauthServer {
	s := &oauthServer{config: `{"defaults":{},"overrides":{}}`, good: map[string]time.Time{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *oauthServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "/oauth/tokens") {
		form, _ := url.ParseQuery(string(body))
		s.grants = append(s.grants, grant{form, r.Header.Get("Authorization")})
		if s.refuse != nil && s.refuse(form) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error":"invalid_grant","error_description":"no"}`)
			return
		}
		token := fmt.Sprintf("token-%d", len(s.grants))
		s.good[token] = time.Now().AddDate(1, 0, 0)
		extra := ""
		if s.life > 0 {
			s.good[token] = time.Now().Add(time.Duration(s.life * float64(time.Second)))
			extra += fmt.Sprintf(`,"expires_in":%g`, s.life)
		}
		if s.refresh != "" {
			extra += fmt.Sprintf(`,"refresh_token":%q`, s.refresh)
		}
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","issued_token_type":"urn:ietf:params:oauth:token-type:access_token"%s}`, token, extra)
		return
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if end, ok := s.good[token]; !ok || time.Now().After(end) {
		s.denied++
		answer(w, http.StatusUnauthorized, "NotAuthorizedException")
		return
	}
	s.served = append(s.served, r.Method+" "+r.URL.Path+" "+token+" "+r.Header.Get("Idempotency-Key"))
	switch {
	case strings.HasSuffix(r.URL.Path, "/v1/config"):
		_, _ = io.WriteString(w, s.config)
	case r.Method == http.MethodPost:
		s.bodies = append(s.bodies, string(body))
		answer(w, http.StatusConflict, "CommitFailedException")
	default:
		answer(w, http.StatusNotFound, "NoSuchTableException")
	}
}

func (s *oauthServer) revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.good)
}

// jwt is a token that says when it ends.
func jwt(end time.Time) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"none"}`)) + "." + part(fmt.Appendf(nil, `{"exp":%d}`, end.Unix())) + ".x"
}

// How the first token is got: by which grant, with which parameters, authorised how.
func TestRESTGrants(t *testing.T) {
	const exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:hush:hush"))
	for name, tc := range map[string]struct {
		props  iceberg.Properties
		config string
		want   url.Values
		auth   string
	}{
		"id and secret": {
			props: iceberg.Properties{"credential": "me:hush:hush"},
			want:  url.Values{"grant_type": {"client_credentials"}, "client_id": {"me"}, "client_secret": {"hush:hush"}, "scope": {"catalog"}},
		},
		"a secret alone": {
			props: iceberg.Properties{"credential": "hush"},
			want:  url.Values{"grant_type": {"client_credentials"}, "client_secret": {"hush"}, "scope": {"catalog"}},
		},
		"scope, audience, resource": {
			props: iceberg.Properties{"credential": "me:hush", "scope": "PRINCIPAL_ROLE:ALL", "audience": "lake", "resource": "urn:lake"},
			want: url.Values{
				"grant_type": {"client_credentials"}, "client_id": {"me"}, "client_secret": {"hush"},
				"scope": {"PRINCIPAL_ROLE:ALL"}, "audience": {"lake"}, "resource": {"urn:lake"},
			},
		},
		"PyIceberg's oauth2": {
			props: iceberg.Properties{"auth.type": "oauth2", "auth.oauth2.client_id": "me", "auth.oauth2.client_secret": "hush:hush", "auth.oauth2.scope": "s", "auth.oauth2.token_url": "/own/oauth/tokens"},
			want:  url.Values{"grant_type": {"client_credentials"}, "scope": {"s"}}, auth: basic,
		},
		"another party's token": {
			props: iceberg.Properties{"urn:ietf:params:oauth:token-type:jwt": "theirs", "credential": "me:hush:hush"},
			want: url.Values{
				"grant_type": {exchange}, "scope": {"catalog"}, "subject_token": {"theirs"}, "subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
			}, auth: basic,
		},
		"another party's token and nothing else": {
			props: iceberg.Properties{"urn:ietf:params:oauth:token-type:id_token": "theirs"},
			want: url.Values{
				"grant_type": {exchange}, "scope": {"catalog"}, "subject_token": {"theirs"}, "subject_token_type": {"urn:ietf:params:oauth:token-type:id_token"},
			},
		},
		"a given token that ended, with a credential": {
			props: iceberg.Properties{"token": jwt(time.Now().Add(-time.Hour)), "credential": "me:hush"},
			want:  url.Values{"grant_type": {"client_credentials"}, "client_id": {"me"}, "client_secret": {"hush"}, "scope": {"catalog"}},
		},
	} {
		s := newOAuthServer(t)
		props := maps.Clone(tc.props)
		if props["auth.oauth2.token_url"] != "" {
			props["auth.oauth2.token_url"] = s.URL + props["auth.oauth2.token_url"]
		}
		c, err := catalog.Open(t.Context(), catalog.Config{URI: s.URL, Props: props})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = load(t.Context(), c)
		c.Close()
		if len(s.grants) != 1 || s.grants[0].Encode() != tc.want.Encode() || s.grants[0].auth != tc.auth {
			t.Errorf("%s: asked %v, want %v by %q", name, s.grants, tc.want, tc.auth)
		}
		if s.denied != 0 || len(s.served) != 2 {
			t.Errorf("%s: %d refused, served %q", name, s.denied, s.served)
		}
	}
}

// A given token is exchanged for a new one before it ends, unless that is switched off.
func TestRESTGivenTokenIsExchanged(t *testing.T) { pace.Any(t, givenTokenIsExchanged) }

func givenTokenIsExchanged(t testing.TB, pace int) {
	for _, enabled := range []string{"", "false"} {
		s := newOAuthServer(t)
		s.good["mine"] = time.Now().AddDate(1, 0, 0)
		life := strconv.Itoa(1000 * pace)
		c := open(t, catalog.Config{URI: s.URL, Props: iceberg.Properties{"token": "mine", "token-expires-in-ms": life, "token-refresh-enabled": enabled}})
		time.Sleep(time.Duration(pace) * 550 * time.Millisecond)
		wantClass(t, "load", load(t.Context(), c), catalog.ErrNotFound)
		switch {
		case enabled == "false" && len(s.grants) == 0:
		case enabled == "" && len(s.grants) == 1 && s.grants[0].Get("subject_token") == "mine" && s.grants[0].auth == "Bearer mine" &&
			s.grants[0].Get("grant_type") == "urn:ietf:params:oauth:grant-type:token-exchange" &&
			s.grants[0].Get("subject_token_type") == "urn:ietf:params:oauth:token-type:access_token":
		default:
			t.Errorf("token-refresh-enabled=%s: asked %v", enabled, s.grants)
		}
	}
}

// A run outlasts its tokens: a new one is there before the old one ends.
func TestRESTTokensAreRenewedInTime(t *testing.T) { pace.Any(t, tokensAreRenewedInTime) }

func tokensAreRenewedInTime(t testing.TB, pace int) {
	s := newOAuthServer(t)
	s.life = 0.2 * float64(pace)
	c := open(t, catalog.Config{URI: s.URL, Props: iceberg.Properties{"credential": "me:hush"}})
	for end := time.Now().Add(time.Duration(pace) * 700 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		wantClass(t, "load", load(t.Context(), c), catalog.ErrNotFound)
	}
	if s.denied != 0 || len(s.grants) < 4 {
		t.Errorf("%d requests refused, %d tokens", s.denied, len(s.grants))
	}
}

// What is given for a token's life counts where the server tells none.
func TestRESTLifetimeThatIsGiven(t *testing.T) { pace.Any(t, lifetimeThatIsGiven) }

func lifetimeThatIsGiven(t testing.TB, pace int) {
	s := newOAuthServer(t)
	c := open(t, catalog.Config{URI: s.URL, Props: iceberg.Properties{
		"auth.type": "oauth2", "auth.oauth2.client_id": "me", "auth.oauth2.client_secret": "hush", "auth.oauth2.expires_in": strconv.Itoa(pace),
	}})
	_ = load(t.Context(), c)
	time.Sleep(time.Duration(pace) * 600 * time.Millisecond)
	_ = load(t.Context(), c)
	if len(s.grants) != 2 || s.denied != 0 {
		t.Errorf("%d tokens, %d refused", len(s.grants), s.denied)
	}
}

// A token that is revoked in the middle of a run costs one more request: the same one,
// down to the idempotency key. One that is refused again is an error.
func TestRESTRevokedTokenIsReplacedOnce(t *testing.T) {
	s := newOAuthServer(t)
	s.config = `{"defaults":{},"overrides":{},"idempotency-key-lifetime":"PT30M"}`
	c := open(t, catalog.Config{URI: s.URL, Props: iceberg.Properties{"credential": "me:hush"}})
	s.revoke()
	wantClass(t, "load", load(t.Context(), c), catalog.ErrNotFound)
	s.revoke()
	wantClass(t, "commit", commit(catalog.WithIdempotencyKey(t.Context(), "key-1"), c), catalog.ErrConflict)
	if s.denied != 2 || len(s.grants) != 3 || s.served[len(s.served)-1] != "POST /v1/namespaces/lake/tables/events token-3 key-1" {
		t.Errorf("%d refused, %d tokens, served %q", s.denied, len(s.grants), s.served)
	}
	if len(s.bodies) != 1 || !strings.Contains(s.bodies[0], "set-properties") {
		t.Errorf("the commit's body: %q", s.bodies)
	}

	s.mu.Lock()
	denied := s.denied
	s.refuse = func(url.Values) bool { clear(s.good); return true }
	s.mu.Unlock()
	s.revoke()
	err := commit(t.Context(), c)
	wantClass(t, "no new token", err, catalog.ErrConfig)
	if !strings.Contains(err.Error(), "invalid_grant: no") || strings.Contains(err.Error(), "hush") {
		t.Errorf("no new token: %v", err)
	}

	s.mu.Lock()
	s.good["fixed"], s.refuse = time.Now().AddDate(1, 0, 0), nil
	s.mu.Unlock()
	fixed := open(t, catalog.Config{URI: s.URL, Props: iceberg.Properties{"token": "fixed"}})
	s.revoke()
	wantClass(t, "a fixed token", commit(t.Context(), fixed), catalog.ErrRejected)
	if s.denied != denied+2 {
		t.Errorf("a fixed token was sent again: %d refused", s.denied-denied)
	}
}

// A refresh token is used while it works.
func TestRESTRefreshTokens(t *testing.T) {
	s := newOAuthServer(t)
	s.refresh = "again"
	c := open(t, catalog.Config{URI: s.URL, Props: iceberg.Properties{"credential": "me:hush"}})
	s.revoke()
	_ = load(t.Context(), c)
	s.mu.Lock()
	s.refuse = func(form url.Values) bool { return form.Get("grant_type") == "refresh_token" }
	s.mu.Unlock()
	s.revoke()
	wantClass(t, "load", load(t.Context(), c), catalog.ErrNotFound)
	var got []string
	for _, g := range s.grants {
		got = append(got, g.Get("grant_type")+g.Get("refresh_token"))
	}
	if want := "client_credentials refresh_tokenagain refresh_tokenagain client_credentials"; strings.Join(got, " ") != want {
		t.Errorf("grants %q, want %s", got, want)
	}
}

// A token endpoint that is away for a moment hurts nobody whose token is still good,
// and is a transient error to the others.
func TestRESTTokenEndpointAway(t *testing.T) { pace.Any(t, tokenEndpointAway) }

func tokenEndpointAway(t testing.TB, pace int) {
	s := newOAuthServer(t)
	s.life = float64(pace)
	c := open(t, catalog.Config{URI: s.URL, Props: iceberg.Properties{"credential": "me:hush"}})
	s.mu.Lock()
	s.refuse = func(url.Values) bool { return true }
	s.mu.Unlock()
	time.Sleep(time.Duration(pace) * 525 * time.Millisecond)
	wantClass(t, "load", load(t.Context(), c), catalog.ErrNotFound)
	if len(s.grants) != 2 {
		t.Errorf("%d tokens were asked for", len(s.grants))
	}
	_, err := catalog.Open(t.Context(), catalog.Config{URI: "http://127.0.0.1:1", Props: iceberg.Properties{"credential": "me:hush"}})
	if !errors.Is(err, catalog.ErrTransient) {
		t.Errorf("nobody there: %v", err)
	}
}

// The server's configuration says where tokens come from, unless the user does.
func TestRESTServerNamesTheTokenEndpoint(t *testing.T) {
	s, other := newOAuthServer(t), newOAuthServer(t)
	s.config = fmt.Sprintf(`{"defaults":{"oauth2-server-uri":"%s/oauth/tokens","scope":"theirs"},"overrides":null}`, other.URL)
	c := open(t, catalog.Config{URI: s.URL, Props: iceberg.Properties{"credential": "me:hush"}})
	s.revoke()
	_ = load(t.Context(), c)
	if len(s.grants) != 1 || len(other.grants) != 1 || other.grants[0].Get("scope") != "theirs" {
		t.Errorf("tokens of %v and %v", s.grants, other.grants)
	}
	mine := open(t, catalog.Config{URI: s.URL, Props: iceberg.Properties{"credential": "me:hush", "oauth2-server-uri": s.URL + "/oauth/tokens", "scope": "mine"}})
	s.revoke()
	_ = load(t.Context(), mine)
	if n := len(s.grants); n != 3 || len(other.grants) != 1 || s.grants[2].Get("scope") != "mine" {
		t.Errorf("tokens of %v and %v", s.grants, other.grants)
	}
}

func TestRESTOtherAuthorisation(t *testing.T) {
	s := newRESTServer(t)
	for name, tc := range map[string]struct {
		props iceberg.Properties
		want  string
	}{
		"PyIceberg's basic": {iceberg.Properties{"auth.type": "basic", "auth.basic.username": "me", "auth.basic.password": "pw"}, "Basic bWU6cHc="},
		"Java's basic":      {iceberg.Properties{"rest.auth.type": "basic", "rest.auth.basic.username": "me", "rest.auth.basic.password": "pw"}, "Basic bWU6cHc="},
		"none":              {iceberg.Properties{"auth.type": "noop", "token": "unused"}, ""},
		"as without":        {iceberg.Properties{"auth.type": "legacyoauth2", "token": "t0ken"}, "Bearer t0ken"},
	} {
		c := open(t, catalog.Config{URI: s.URL, Props: tc.props})
		_ = load(t.Context(), c)
		seen := s.requests("")
		if got := seen[len(seen)-1].Header.Get("Authorization"); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	for name, props := range map[string]iceberg.Properties{
		"Google's":         {"auth.type": "google"},
		"basic of nobody":  {"auth.type": "basic"},
		"two ways at once": {"rest.sigv4-enabled": "true", "token": "t"},
		"a bad time":       {"token": "t", "token-expires-in-ms": "soon"},
	} {
		if _, err := catalog.Open(t.Context(), catalog.Config{URI: s.URL, Props: props}); !errors.Is(err, catalog.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whoever a catalog sends its clients on to gets no secret of theirs, and the same catalog
// under another path does.
func TestRESTRedirectsKeepSecrets(t *testing.T) {
	other := newRESTServer(t)
	s := newRESTServer(t)
	c := open(t, catalog.Config{URI: s.URL, Props: iceberg.Properties{"token": "hush", "header.X-Api-Key": "hush", "header.X-Team": "loads"}})
	for _, to := range []*restServer{other, s} {
		s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/elsewhere") {
				answer(w, http.StatusNotFound, "NoSuchTableException")
				return
			}
			http.Redirect(w, r, to.URL+"/elsewhere", http.StatusTemporaryRedirect)
		})
		wantClass(t, "load", load(t.Context(), c), catalog.ErrNotFound)
		seen := to.requests("/elsewhere")
		if len(seen) != 1 || seen[0].Header.Get("X-Team") != "loads" {
			t.Fatalf("%d requests there: %v", len(seen), seen)
		}
		if got := seen[0].Header.Get("Authorization") + seen[0].Header.Get("X-Api-Key"); (got == "") != (to == other) {
			t.Errorf("%s got %q", to.URL, got)
		}
	}
	var leaked bool
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked = true }))
	t.Cleanup(stranger.Close)
	door := httptest.NewServer(http.RedirectHandler(stranger.URL, http.StatusTemporaryRedirect))
	t.Cleanup(door.Close)
	_, err := catalog.Open(t.Context(), catalog.Config{URI: s.URL, Props: iceberg.Properties{"credential": "me:hush", "oauth2-server-uri": door.URL}})
	if err == nil || leaked || strings.Contains(err.Error(), "hush") {
		t.Errorf("a token endpoint that leads elsewhere: %v, asked: %v", err, leaked)
	}
}
