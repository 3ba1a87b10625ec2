package catalog

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog/rest"
	"github.com/aws/aws-sdk-go-v2/aws"
)

// Timeouts of REST requests. iceberg-go sets none, so that a server that never
// answers would hold a load forever. The answer to a commit may take its time: the
// server writes metadata and may wait for others. Java's names for the properties.
const (
	propRESTConnectTimeout = "rest.client.connection-timeout-ms"
	propRESTAnswerTimeout  = "rest.client.socket-timeout-ms"

	restConnectTimeout = 10 * time.Second
	restAnswerTimeout  = time.Minute
	// restTotalFactor times the answer timeout is what a whole request may take, its
	// body included.
	restTotalFactor = 5
)

// openREST opens a REST catalog: it asks the server for its configuration, and for
// a token first where there is a credential.
func openREST(ctx context.Context, name string, props iceberg.Properties, cfg Config) (*Catalog, error) {
	uri, err := url.Parse(props["uri"])
	if err != nil || uri.Host == "" || uri.Scheme != "http" && uri.Scheme != "https" {
		return nil, &ConfigError{What: fmt.Sprintf("uri %q is not that of a REST catalog", RedactURI(props["uri"])), Do: "write https://host/path, without v1"}
	}
	lib := libraryProps(props)
	transport, err := newRESTTransport(lib)
	if err != nil {
		return nil, err
	}
	transport.noVended = cfg.NoVendedCredentials
	opts, err := restOptions(ctx, lib, transport)
	if err != nil {
		return nil, err
	}
	var cat *rest.Catalog
	err = transport.observe(ctx, func(ctx context.Context) error {
		cat, err = rest.NewCatalog(ctx, name, strings.TrimRight(props["uri"], "/"), opts...)
		return err
	})
	if err != nil {
		transport.CloseIdleConnections()
		// An alert: the server does not take our certificate, or misses one.
		var alert *net.OpError
		if errors.As(err, &alert) && alert.Op == "remote error" {
			err = &ConfigError{What: "the server breaks the TLS handshake off", Err: err, Do: "check ssl.client.cert and ssl.client.key"}
		}
		// Who is not let in at the door has the wrong key, not the wrong wish.
		if errors.Is(err, rest.ErrUnauthorized) || errors.Is(err, rest.ErrForbidden) {
			err = &classified{ErrConfig, err}
		}
		return nil, fmt.Errorf("%s: %w", uri.Redacted(), err)
	}
	return &Catalog{Catalog: cat, Props: lib, close: cat.Close, rest: transport}, nil
}

// restOptions hands the properties over that iceberg-go wants as options before it
// asks for the server's configuration; it finds the rest among the properties. How
// requests are authorised is ours to do, but for the signing.
func restOptions(ctx context.Context, props iceberg.Properties, transport *restTransport) ([]rest.Option, error) {
	sign, err := boolProp(props, "rest.sigv4-enabled")
	if err != nil {
		return nil, err
	}
	sign = sign || strings.EqualFold(props["rest.auth.type"], "sigv4")
	auth, err := authManager(props, &http.Client{Transport: transport, CheckRedirect: noStrangers})
	if err != nil {
		return nil, err
	}
	more := maps.Clone(props)
	// iceberg-go would make an authorisation of its own of these.
	for _, k := range []string{"uri", "token", "credential", "oauth2-server-uri"} {
		delete(more, k)
	}
	var opts []rest.Option
	for key, option := range map[string]func(string) rest.Option{"prefix": rest.WithPrefix, "warehouse": rest.WithWarehouseLocation} {
		if v := props[key]; v != "" {
			opts = append(opts, option(v))
		}
		delete(more, key)
	}
	if sign {
		if auth != nil {
			return nil, &ConfigError{What: "requests are signed with AWS keys, and a token or a credential is given too", Do: "leave one of them out"}
		}
		cfg, err := signingConfig(ctx, props)
		if err != nil {
			return nil, err
		}
		opts = append(opts, rest.WithAwsConfig(cfg), rest.WithSigV4RegionSvc(props["rest.signing-region"], props["rest.signing-name"]))
	}
	if auth != nil {
		transport.bearer, _ = auth.(*bearer)
		opts = append(opts, rest.WithAuthManager(auth))
	}
	return append(opts, rest.WithAdditionalProps(more),
		rest.WithTransportFactory(func(*tls.Config) (http.RoundTripper, func()) {
			return transport, transport.CloseIdleConnections
		})), nil
}

// signingConfig finds the keys and the region that requests are signed with: Java's
// rest.…, PyIceberg's client.…, then the usual AWS chain.
func signingConfig(ctx context.Context, props iceberg.Properties) (aws.Config, error) {
	get := func(key string) string {
		name := strings.TrimPrefix(key, "s3.")
		return cmp.Or(props["rest."+name], props["client."+name])
	}
	cfg, err := awsConfig(ctx, get)
	if err != nil {
		return cfg, err
	}
	if cfg.Region = cmp.Or(props["rest.signing-region"], cfg.Region); cfg.Region == "" {
		return cfg, &ConfigError{What: "requests are signed with AWS keys, and no region is given", Do: "set rest.signing-region, or AWS_REGION"}
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return cfg, &ConfigError{What: "requests are signed with AWS keys, and there are none", Err: err, Do: "set rest.access-key-id and rest.secret-access-key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"}
	}
	return cfg, nil
}

func boolProp(props iceberg.Properties, key string) (bool, error) {
	return boolValue(key, props[key])
}

// boolValue reads the value of the property key; "" is false.
func boolValue(key, v string) (bool, error) {
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(strings.ToLower(v))
	if err != nil {
		return false, &ConfigError{What: fmt.Sprintf("%s is %q", key, v), Do: "write true or false"}
	}
	return b, nil
}

type idempotencyKey struct{}

// WithIdempotencyKey returns a context under which a commit carries key, a UUIDv7,
// if the server says that it heeds such keys: it answers a second commit with the
// same key as it did the first, instead of carrying it out. A key belongs to one
// commit, byte by byte; one with another base or other files needs another key.
// Catalogs other than REST ignore it.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}

// restTransport bounds the time of every request, and adds what iceberg-go does not.
type restTransport struct {
	*http.Transport
	total time.Duration
	// idempotent is set when the server's configuration has idempotency-key-lifetime.
	idempotent atomic.Bool
	// tokenStatus is the HTTP status of the last request for a token; 0 without an
	// answer.
	tokenStatus atomic.Int32
	// props are the client's own properties; bearer is its token, nil without one.
	props  iceberg.Properties
	bearer *bearer
	// noVended asks for no keys, and takes none.
	noVended bool

	mu sync.Mutex
	// defaults and overrides are the server's own configuration.
	defaults, overrides iceberg.Properties
	vendors             map[string]*vendor // by table

	// secrets must be in no error, also where the server repeats what it was sent.
	secrets []string
}

// httpError adds the statuses that the server answered with to an error of
// iceberg-go's, which keeps them to itself. 0 is no answer.
type httpError struct {
	err           error
	status, token int
	secrets       []string
}

func (e *httpError) Error() string {
	msg := scrub(e.err.Error(), e.secrets)
	if errors.Is(e.err, rest.ErrOAuthError) && e.token != 0 {
		return fmt.Sprintf("%s (the token endpoint answered %d %s)", strings.TrimRight(msg, ": "), e.token, http.StatusText(e.token))
	}
	return msg
}

func (e *httpError) Unwrap() error { return e.err }

// Hint says what to look at.
func (e *httpError) Hint() string {
	switch {
	case errors.Is(e.err, rest.ErrOAuthError):
		return "check credential or token, scope and oauth2-server-uri"
	case e.status == http.StatusUnauthorized || e.status == http.StatusForbidden:
		return "check token or credential, and what they may do"
	}
	return ""
}

type statusKey struct{}

// observe runs call and adds the status of its last request to its error.
func (t *restTransport) observe(ctx context.Context, call func(context.Context) error) error {
	var status atomic.Int32
	if err := call(context.WithValue(ctx, statusKey{}, &status)); err != nil {
		return &httpError{err, int(status.Load()), int(t.tokenStatus.Load()), t.secrets}
	}
	return nil
}

// note records the status of a request for a token, which has no context of ours,
// or of one of the catalog's calls.
func (t *restTransport) note(r *http.Request, status int) {
	if r.Context().Value(tokenRequest{}) != nil {
		t.tokenStatus.Store(int32(status))
	} else if s, ok := r.Context().Value(statusKey{}).(*atomic.Int32); ok {
		s.Store(int32(status))
	}
}

func newRESTTransport(props iceberg.Properties) (*restTransport, error) {
	millis := func(key string, byDefault time.Duration) (time.Duration, error) {
		v := props[key]
		if v == "" {
			return byDefault, nil
		}
		n, err := strconv.Atoi(v)
		if err != nil || n <= 0 {
			return 0, &ConfigError{What: fmt.Sprintf("%s is %q", key, v), Do: "write milliseconds"}
		}
		return time.Duration(n) * time.Millisecond, nil
	}
	connect, err := millis(propRESTConnectTimeout, restConnectTimeout)
	if err != nil {
		return nil, err
	}
	answer, err := millis(propRESTAnswerTimeout, restAnswerTimeout)
	if err != nil {
		return nil, err
	}
	conf, err := restTLS(props)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second}).DialContext
	t.TLSHandshakeTimeout = connect
	t.ResponseHeaderTimeout = answer
	if conf != nil {
		t.TLSClientConfig = conf
	}
	return &restTransport{Transport: t, total: restTotalFactor * answer, props: props, secrets: secretsOf(props), vendors: map[string]*vendor{}}, nil
}

// RoundTrip sends the request, and once more where the server no longer takes the
// token and there is another one to be had: it has done nothing then, so that a commit
// can be sent again, too.
func (t *restTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if key, ok := r.Context().Value(idempotencyKey{}).(string); ok && r.Method == http.MethodPost && t.idempotent.Load() {
		r = r.Clone(r.Context())
		r.Header.Set("Idempotency-Key", key)
	}
	r = t.pinned(r)
	if t.noVended {
		r = r.Clone(r.Context())
		r.Header.Del("X-Iceberg-Access-Delegation")
	}
	if strangers(r) {
		r = r.Clone(r.Context())
		for k := range r.Header {
			if IsSecret(k) {
				r.Header.Del(k)
			}
		}
	}
	rsp, err := t.send(r)
	if err != nil || t.bearer == nil || rsp.StatusCode != http.StatusUnauthorized && rsp.StatusCode != statusTokenExpired ||
		r.Context().Value(tokenRequest{}) != nil || r.Body != nil && r.GetBody == nil {
		return rsp, err
	}
	header, err := t.bearer.after401(r.Context(), r.Header.Get("Authorization"))
	if err != nil {
		_ = rsp.Body.Close()
		return nil, err
	}
	if header == "" {
		return rsp, nil
	}
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return rsp, nil //nolint:nilerr // the first answer is an answer
		}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(rsp.Body, 1<<16))
	_ = rsp.Body.Close()
	again.Header.Set("Authorization", header)
	return t.send(again)
}

// strangers tells whether r follows a redirection to another host, which is no business
// of the secrets that r carries: iceberg-go adds them to every request.
func strangers(r *http.Request) bool {
	return r.Response != nil && r.Response.Request != nil && r.Response.Request.URL.Host != r.URL.Host
}

// noStrangers is how the client for tokens follows redirections: the secret is in the body.
func noStrangers(r *http.Request, _ []*http.Request) error {
	if strangers(r) {
		return fmt.Errorf("the token endpoint leads to another host, %s", r.URL.Host)
	}
	return nil
}

// statusTokenExpired is the REST specification's word for a token that has ended.
const statusTokenExpired = 419

// send sends the request and gives up when the whole of it takes too long. What the
// caller sees then is a timeout of the wire, not the end of its context.
func (t *restTransport) send(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	r = r.WithContext(ctx)
	timer := time.AfterFunc(t.total, func() { cancel(errRESTTimeout) })
	rsp, err := t.Transport.RoundTrip(r)
	if err != nil {
		t.note(r, 0)
		timer.Stop()
		if context.Cause(ctx) == errRESTTimeout { //nolint:errorlint // our own value
			err = errRESTTimeout
		}
		cancel(nil)
		return nil, err
	}
	t.note(r, rsp.StatusCode)
	rsp.Body = &timedBody{rsp.Body, ctx, func() { timer.Stop(); cancel(nil) }}
	switch {
	case rsp.StatusCode != http.StatusOK:
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/v1/config"):
		return t.learn(rsp)
	case ctx.Value(loadAnswerKey{}) != nil && r.Method != http.MethodHead:
		body, err := whole(rsp)
		if err != nil {
			return nil, err
		}
		keepLoadAnswer(ctx, body, rsp.Header.Get("Date"))
	}
	return rsp, nil
}

// whole reads the body of rsp and leaves it there to be read again.
func whole(rsp *http.Response) ([]byte, error) {
	body, err := io.ReadAll(rsp.Body)
	_ = rsp.Body.Close()
	rsp.Body = io.NopCloser(bytes.NewReader(body))
	return body, err
}

// learn reads from the server's configuration whether it heeds idempotency keys, and
// what it says about tokens: iceberg-go keeps no field that it does not know.
func (t *restTransport) learn(rsp *http.Response) (*http.Response, error) {
	body, err := whole(rsp)
	if err != nil {
		return nil, err
	}
	var config struct {
		Lifetime            string            `json:"idempotency-key-lifetime"`
		Defaults, Overrides map[string]string // null is legal
	}
	if json.Unmarshal(body, &config) == nil {
		t.idempotent.Store(config.Lifetime != "")
		t.mu.Lock()
		t.defaults, t.overrides = config.Defaults, config.Overrides
		t.mu.Unlock()
		if t.bearer != nil {
			if err := t.bearer.learn(t.props, config.Defaults, config.Overrides); err != nil {
				return nil, err
			}
		}
	}
	return rsp, nil
}

type timedBody struct {
	io.ReadCloser
	ctx  context.Context
	done func()
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && context.Cause(b.ctx) == errRESTTimeout { //nolint:errorlint // io.EOF is never wrapped by a Reader, and our own value
		err = errRESTTimeout
	}
	return n, err
}

func (b *timedBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}

// errRESTTimeout is a net.Error.
var errRESTTimeout error = restTimeoutError{}

type restTimeoutError struct{}

func (restTimeoutError) Error() string   { return "the catalog took too long to answer" }
func (restTimeoutError) Timeout() bool   { return true }
func (restTimeoutError) Temporary() bool { return true }
func (restTimeoutError) Hint() string {
	return "set " + propRESTAnswerTimeout + " to wait longer"
}
