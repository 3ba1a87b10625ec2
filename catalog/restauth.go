package catalog

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog/rest"
)

// The grants of OAuth2 that tokens are got with. Source: RFC 6749 and RFC 8693, and
// iceberg's rest-catalog-open-api.yaml, which allows the first and the third.
const (
	grantClient   = "client_credentials"
	grantRefresh  = "refresh_token"
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange"

	tokenTypePrefix = "urn:ietf:params:oauth:token-type:"
	accessTokenType = tokenTypePrefix + "access_token"
)

// renewMargin is how long before its end a token is renewed, at most half its life.
const renewMargin = time.Minute

// bearer is the token that a catalog's requests carry: one that was given, or one that
// is got by OAuth2 and renewed before it ends, or when the catalog no longer takes it.
// It is an AuthManager of iceberg-go's, whose own one gets tokens by one grant only,
// never exchanges or refreshes one, and lets a commit fail on one that was revoked.
type bearer struct {
	client     *http.Client
	id, secret string
	inHeader   bool // id and secret go into the Authorization header, not into the form
	// subject is a token of another party's that is exchanged for the catalog's.
	subject, subjectType string
	lifetime             time.Duration // of tokens whose answer tells none; 0: they do not end
	now                  func() time.Time

	mu       sync.Mutex
	endpoint string
	params   url.Values // scope, audience, resource
	token    string
	refresh  string    // the token to renew with, if the server gave one
	renewAt  time.Time // zero: never
	expires  time.Time // zero: never, or not known
}

// newBearer reads the properties of OAuth2; nil where none asks for a token.
func newBearer(props iceberg.Properties, client *http.Client) (*bearer, error) {
	b := &bearer{client: client, now: time.Now, token: props["token"], params: url.Values{}}
	b.params.Set("scope", cmp.Or(props["scope"], "catalog"))
	for _, k := range []string{"audience", "resource"} {
		if v := props[k]; v != "" {
			b.params.Set(k, v)
		}
	}
	if id, secret, ok := strings.Cut(props["credential"], ":"); ok {
		b.id, b.secret = id, secret
	} else {
		b.secret = props["credential"]
	}
	// Java's order: which of several it is that is exchanged.
	for _, typ := range []string{"id_token", "access_token", "jwt", "saml2", "saml1"} {
		if v := props[tokenTypePrefix+typ]; v != "" && b.subject == "" {
			b.subject, b.subjectType = v, tokenTypePrefix+typ
		}
	}
	b.endpoint = strings.TrimRight(props["uri"], "/") + "/v1/oauth/tokens"
	if v := props["oauth2-server-uri"]; v != "" {
		if err := b.setEndpoint(v); err != nil {
			return nil, err
		}
	}
	if b.token == "" && b.secret == "" && b.subject == "" {
		return nil, nil
	}
	if b.token != "" {
		b.expires = jwtExpiry(b.token)
		if v := props["token-expires-in-ms"]; v != "" {
			ms, err := strconv.ParseInt(v, 10, 64)
			if err != nil || ms <= 0 {
				return nil, &ConfigError{What: fmt.Sprintf("token-expires-in-ms is %q", v), Do: "write milliseconds"}
			}
			b.expires = b.now().Add(time.Duration(ms) * time.Millisecond)
		}
		if off := props["token-refresh-enabled"]; !strings.EqualFold(off, "false") {
			b.schedule()
		}
	}
	return b, nil
}

func (b *bearer) setEndpoint(uri string) error {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return &ConfigError{What: fmt.Sprintf("oauth2-server-uri %q is not a URI", RedactURI(uri)), Do: "write https://host/path"}
	}
	b.endpoint = uri
	return nil
}

// learn takes over what the server's configuration says about tokens: its defaults
// where we have nothing of our own, its overrides in any case.
func (b *bearer) learn(props, defaults, overrides map[string]string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	get := func(key string) string {
		if v := overrides[key]; v != "" || props[key] != "" {
			return v
		}
		return defaults[key]
	}
	if v := get("oauth2-server-uri"); v != "" {
		if err := b.setEndpoint(v); err != nil {
			return err
		}
	}
	for _, k := range []string{"scope", "audience", "resource"} {
		if v := get(k); v != "" {
			b.params.Set(k, v)
		}
	}
	if v := overrides["token"]; v != "" {
		b.token, b.expires = v, jwtExpiry(v)
		b.schedule()
	}
	return nil
}

// schedule says when the token is renewed.
func (b *bearer) schedule() {
	b.renewAt = time.Time{}
	if !b.expires.IsZero() {
		b.renewAt = b.expires.Add(-min(renewMargin, max(0, b.expires.Sub(b.now())/2)))
	}
}

// AuthHeader is for iceberg-go.
func (b *bearer) AuthHeader() (key, value string, err error) {
	return b.AuthHeaderWithContext(context.Background())
}

// AuthHeaderWithContext returns the header with a token that is good now.
func (b *bearer) AuthHeaderWithContext(ctx context.Context) (key, value string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.token == "" || !b.renewAt.IsZero() && !b.now().Before(b.renewAt) {
		if err := b.renew(ctx); err != nil {
			// A token that is still good outlasts a moment's trouble.
			if b.token == "" || b.expires.IsZero() || !b.now().Before(b.expires) {
				return "", "", err
			}
			b.renewAt = b.now().Add(b.expires.Sub(b.now()) / 4)
		}
	}
	return "Authorization", "Bearer " + b.token, nil
}

// after401 returns the header for another try of a request that was refused with the
// header stale; "" where there is no other token to be had.
func (b *bearer) after401(ctx context.Context, stale string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if stale == "Bearer "+b.token { // else somebody else has renewed it
		if b.secret == "" && b.subject == "" && b.refresh == "" {
			return "", nil
		}
		if err := b.renew(ctx); err != nil {
			return "", err
		}
	}
	return "Bearer " + b.token, nil
}

// renew gets a new token: by the refresh token, if the server gave one and still takes
// it; else as the first one was got; a given token by exchanging it for a newer one.
func (b *bearer) renew(ctx context.Context) error {
	if b.refresh != "" {
		err := b.request(ctx, url.Values{"grant_type": {grantRefresh}, "refresh_token": {b.refresh}})
		var refused *oauthError
		if err == nil || !errors.As(err, &refused) || refused.status/100 != 4 {
			return err
		}
		b.refresh = ""
	}
	switch {
	case b.subject != "":
		return b.request(ctx, url.Values{"grant_type": {grantExchange}, "subject_token": {b.subject}, "subject_token_type": {b.subjectType}})
	case b.secret != "":
		return b.request(ctx, url.Values{"grant_type": {grantClient}})
	}
	return b.request(ctx, url.Values{"grant_type": {grantExchange}, "subject_token": {b.token}, "subject_token_type": {accessTokenType}})
}

type tokenRequest struct{}

// request sends one request for a token and keeps what it gets.
func (b *bearer) request(ctx context.Context, form url.Values) error {
	maps.Copy(form, b.params)
	var auth string
	switch grant := form.Get("grant_type"); {
	case b.secret != "" && (b.inHeader || grant == grantExchange):
		auth = basicAuth(b.id, b.secret)
	case b.secret != "":
		if b.id != "" {
			form.Set("client_id", b.id)
		}
		form.Set("client_secret", b.secret)
	case grant == grantExchange && b.token != "":
		auth = "Bearer " + b.token
	}
	ctx = context.WithValue(ctx, tokenRequest{}, true)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return &oauthError{text: err.Error()}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	rsp, err := b.client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", rest.ErrOAuthError, err)
	}
	defer rsp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(rsp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("%w: %w", rest.ErrOAuthError, err)
	}
	var answer struct {
		AccessToken  string          `json:"access_token"`
		RefreshToken string          `json:"refresh_token"`
		ExpiresIn    json.RawMessage `json:"expires_in"`
		Error        json.RawMessage `json:"error"`
		Description  string          `json:"error_description"`
	}
	decodeErr := json.Unmarshal(body, &answer)
	if rsp.StatusCode/100 != 2 {
		var parts []string
		for _, p := range []string{oauthErrorText(answer.Error), answer.Description} {
			if p != "" {
				parts = append(parts, p)
			}
		}
		return &oauthError{text: strings.Join(parts, ": "), status: rsp.StatusCode}
	}
	if decodeErr != nil || answer.AccessToken == "" {
		return &oauthError{text: "the answer holds no access token", status: rsp.StatusCode}
	}
	b.token, b.refresh = answer.AccessToken, cmp.Or(answer.RefreshToken, b.refresh)
	life := b.lifetime
	// Seconds, as a number or, from some servers, as a text.
	if s, err := strconv.ParseFloat(strings.Trim(string(answer.ExpiresIn), `"`), 64); err == nil && s > 0 {
		life = time.Duration(s * float64(time.Second))
	}
	if b.expires = jwtExpiry(b.token); life > 0 {
		b.expires = b.now().Add(life)
	}
	b.schedule()
	return nil
}

// oauthErrorText reads an error's code, which some catalogs wrap as they do theirs.
func oauthErrorText(raw json.RawMessage) string {
	var code string
	if json.Unmarshal(raw, &code) == nil {
		return code
	}
	var wrapped struct{ Message string }
	_ = json.Unmarshal(raw, &wrapped)
	return wrapped.Message
}

// oauthError is what a server says to a request for a token. It is iceberg-go's
// ErrOAuthError.
type oauthError struct {
	text   string
	status int
}

func (e *oauthError) Error() string { return cmp.Or(e.text, "no token") }
func (e *oauthError) Unwrap() error { return rest.ErrOAuthError }

// jwtExpiry returns when a token ends that is a JWT and says so; else zero.
func jwtExpiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(text, &claims) != nil || claims.Exp <= 0 {
		return time.Time{}
	}
	return time.Unix(int64(claims.Exp), 0)
}

func basicAuth(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// fixedAuth is a header that never changes.
type fixedAuth string

func (f fixedAuth) AuthHeader() (key, value string, err error) {
	return "Authorization", string(f), nil
}

// authTypes are the values of PyIceberg's auth.type and Java's rest.auth.type.
var authTypes = []string{"noop", "none", "basic", "oauth2", "legacyoauth2", "sigv4"}

// authManager returns how requests are authorised: nil for not at all, or by SigV4. The
// explicit auth.type goes first; without it token and credential decide.
func authManager(props iceberg.Properties, client *http.Client) (rest.AuthManager, error) {
	typ := strings.ToLower(cmp.Or(props["auth.type"], props["rest.auth.type"]))
	if typ != "" && !slices.Contains(authTypes, typ) {
		return nil, &ConfigError{What: fmt.Sprintf("auth.type %q is not known", typ), Do: "it is one of " + strings.Join(authTypes, ", ")}
	}
	// The variables' spelling has dashes where the file's has underscores.
	get := func(key string) string {
		for _, p := range []string{"auth.", "rest.auth."} {
			if v := cmp.Or(props[p+key], props[p+strings.ReplaceAll(key, "_", "-")]); v != "" {
				return v
			}
		}
		return ""
	}
	switch typ {
	case "noop", "none":
		return nil, nil
	case "basic":
		user, password := get("basic.username"), get("basic.password")
		if user == "" {
			return nil, &ConfigError{What: "auth.type is basic, and auth.basic.username is not given"}
		}
		return fixedAuth(basicAuth(user, password)), nil
	case "oauth2":
		if get("oauth2.client_id") != "" || get("oauth2.client_secret") != "" {
			props = maps.Clone(props)
			props["credential"] = get("oauth2.client_id") + ":" + get("oauth2.client_secret")
			props["oauth2-server-uri"] = cmp.Or(get("oauth2.token_url"), props["oauth2-server-uri"])
			props["scope"] = cmp.Or(get("oauth2.scope"), props["scope"])
		}
	}
	b, err := newBearer(props, client)
	if b == nil || err != nil {
		return nil, err
	}
	if typ == "oauth2" && get("oauth2.client_id") != "" {
		b.inHeader = true // as PyIceberg does, and RFC 6749 prefers
		if s, err := strconv.Atoi(get("oauth2.expires_in")); err == nil {
			b.lifetime = time.Duration(s) * time.Second
		}
	}
	return b, nil
}
