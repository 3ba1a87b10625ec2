package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/icewright/icewright/catalog"
)

// httpClient asks HTTP servers, again where that may help.
type httpClient struct {
	client *http.Client
	tries  int           // in all
	base   time.Duration // the first wait; each is twice the one before, give or take a half
	stall  time.Duration // how long a body may give nothing
}

const (
	connectTime = 15 * time.Second
	// answerTime is how long a server may take to begin an answer, or to go on with it.
	answerTime = time.Minute
	// longestWait is the longest Retry-After that is waited for.
	longestWait = 2 * time.Minute
	redirects   = 10
)

func newHTTPClient() *httpClient {
	return &httpClient{
		client: &http.Client{CheckRedirect: checkRedirect, Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: connectTime}).DialContext,
			TLSHandshakeTimeout:   connectTime,
			ResponseHeaderTimeout: answerTime,
			MaxIdleConnsPerHost:   resolving,
			IdleConnTimeout:       10 * time.Second,
			ForceAttemptHTTP2:     true,
			DisableCompression:    true, // the stored bytes are wanted: ranges and lengths are of them
		}},
		tries: 6, base: 200 * time.Millisecond, stall: answerTime,
	}
}

var (
	errStalled  = errors.New("the server stopped sending")
	errRedirect = errors.New("redirect refused")
)

// checkRedirect bounds redirects, refuses those that give TLS up, and keeps what is secret from other hosts:
// the password, and the address that the redirect came from, which may be a signed one.
func checkRedirect(to *http.Request, via []*http.Request) error {
	from := via[len(via)-1]
	switch {
	case len(via) >= redirects:
		return fmt.Errorf("%w: there were %d in a row", errRedirect, redirects)
	case from.URL.Scheme == "https" && to.URL.Scheme != "https":
		return fmt.Errorf("%w: from https to %s", errRedirect, redactURL(to.URL))
	}
	to.Header.Del("Referer")
	if to.URL.Host != via[0].URL.Host {
		to.Header.Del("Authorization")
	}
	return nil
}

// httpObject is one version of what is at a URL, as far as the server tells versions apart.
type httpObject struct {
	client         *httpClient
	name           string // without secrets
	url            string // without user and password
	user, password string
	size           int64 // -1 where the server does not say
	etag, modified string
	ranges         bool // the server gives parts
}

// resolveHTTP asks for the first byte of what arg names: a signed URL may be good for GET alone.
func resolveHTTP(ctx context.Context, arg string, c *httpClient) ([]Object, error) {
	u, err := url.Parse(arg)
	if err != nil || u.Host == "" {
		return nil, inputError(redactArg(arg), "is not a URL", "write https://host/path", nil)
	}
	o := &httpObject{client: c, name: redactURL(u)}
	if u.User != nil {
		o.user = u.User.Username()
		o.password, _ = u.User.Password()
	}
	u.User, u.Fragment = nil, ""
	o.url = u.String()
	answer, err := o.probe(ctx) //nolint:bodyclose // probe has closed it
	if err != nil {
		return nil, err
	}
	if status := answer.StatusCode; status == http.StatusNotFound || status == http.StatusGone {
		return nil, inputError(o.name, "no such file", "", nil)
	}
	if err := o.statusError(answer); err != nil {
		return nil, err
	}
	if kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); kind == "text/html" {
		return nil, inputError(o.name, "the server sends a web page (text/html), not a file", "open it in a browser: it may ask for a login", nil)
	}
	o.etag, o.modified = answer.Header.Get("ETag"), answer.Header.Get("Last-Modified")
	o.size, o.ranges = sizeOf(answer), answer.StatusCode == http.StatusPartialContent
	object := Object{Name: o.name, Size: o.size, origin: o, key: o.url, hint: path.Base(u.Path)}
	if path.Ext(object.hint) == "" {
		if _, params, err := mime.ParseMediaType(answer.Header.Get("Content-Disposition")); err == nil && params["filename"] != "" {
			object.hint = path.Base(params["filename"])
		}
	}
	return []Object{object}, nil
}

// probe asks for the first byte, and leaves the body alone.
func (o *httpObject) probe(ctx context.Context) (*http.Response, error) {
	answer, err := o.ask(ctx, "bytes=0-0", "")
	if err != nil {
		return nil, err
	}
	leave(answer)
	if answer.StatusCode == http.StatusRequestedRangeNotSatisfiable && sizeOf(answer) != 0 {
		if answer, err = o.ask(ctx, "", ""); err != nil {
			return nil, err
		}
		leave(answer)
	}
	return answer, nil
}

// leave is done with an answer. A short body is read, so that the connection can be used again.
func leave(answer *http.Response) {
	if answer.ContentLength >= 0 && answer.ContentLength <= 4<<10 {
		_, _ = io.Copy(io.Discard, answer.Body)
	}
	_ = answer.Body.Close()
}

// sizeOf is the size of the whole object behind an answer; -1 where it does not say.
func sizeOf(answer *http.Response) int64 {
	switch answer.StatusCode {
	case http.StatusOK:
		return answer.ContentLength
	case http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
		_, total, _ := strings.Cut(answer.Header.Get("Content-Range"), "/")
		if n, err := strconv.ParseInt(total, 10, 64); err == nil && n >= 0 {
			return n
		}
	}
	return -1
}

func (o *httpObject) about() (string, int64) { return o.name, o.size }

func (o *httpObject) open(ctx context.Context) (io.ReadCloser, error) { return openRemote(ctx, o) }

func (o *httpObject) at(ctx context.Context) (readerAt, error) {
	if !o.ranges || o.size < 0 || o.validator() == "" {
		return nil, nil
	}
	return newRanges(ctx, o), nil
}

// validator is what If-Range takes: a strong ETag or else the time of the last change.
func (o *httpObject) validator() string {
	if o.etag != "" && !strings.HasPrefix(o.etag, "W/") {
		return o.etag
	}
	return o.modified
}

func (o *httpObject) verify(ctx context.Context) error {
	if o.etag == "" && o.modified == "" && o.size < 0 {
		return nil // there is nothing to tell versions apart by
	}
	answer, err := o.probe(ctx) //nolint:bodyclose // probe has closed it
	if err != nil {
		return err
	}
	if answer.StatusCode == http.StatusRequestedRangeNotSatisfiable && o.size != 0 {
		return o.changed()
	}
	return o.same(answer)
}

func (o *httpObject) changed() error { return changed(o.name, "changed while it was being read") }

// same tells whether an answer is of the version that was resolved.
func (o *httpObject) same(answer *http.Response) error {
	switch answer.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		return changed(o.name, "vanished while it was being read")
	case http.StatusRequestedRangeNotSatisfiable:
		if o.size != 0 {
			return o.changed()
		}
	default:
		if err := o.statusError(answer); err != nil {
			return err
		}
	}
	if size := sizeOf(answer); size >= 0 && o.size >= 0 && size != o.size {
		return changed(o.name, fmt.Sprintf("changed while it was being read: it had %d bytes and now has %d", o.size, size))
	}
	for name, was := range map[string]string{"ETag": o.etag, "Last-Modified": o.modified} {
		is := answer.Header.Get(name)
		if is == "" && answer.StatusCode == http.StatusPartialContent && answer.Request.Header.Get("If-Range") != "" {
			continue // that it is a part says that the version is the one that was asked for
		}
		if is != was {
			return o.changed()
		}
	}
	return nil
}

// get asks for a part. A server that sends the whole instead is taken at its word only if the whole is
// the same version: then what comes before the part is passed over.
func (o *httpObject) get(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	if offset > 0 && o.validator() == "" {
		return nil, &readError{o.name, catalog.ErrTransient, fmt.Errorf(
			"the answer broke off after %s, and without an ETag or a Last-Modified the rest may be of another version", progress(offset, o.size))}
	}
	part := ""
	switch {
	case length > 0:
		part = fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
	case offset > 0:
		part = fmt.Sprintf("bytes=%d-", offset)
	}
	answer, err := o.ask(ctx, part, o.validator())
	if err != nil {
		return nil, err
	}
	if err = o.same(answer); err == nil && answer.StatusCode == http.StatusPartialContent {
		begin := fmt.Sprintf("bytes %d-", offset)
		if part == "" || !strings.HasPrefix(answer.Header.Get("Content-Range"), begin) {
			err = &readError{o.name, catalog.ErrTransient, fmt.Errorf(
				"asked for %q, the server sent %q", part, answer.Header.Get("Content-Range"))}
		}
		offset = 0
	}
	if err != nil {
		_ = answer.Body.Close()
		return nil, err
	}
	body := answer.Body
	if offset > 0 {
		body = &tail{body, offset}
	}
	return body, nil
}

// tail is a body without its first bytes.
type tail struct {
	io.ReadCloser
	skip int64
}

func (t *tail) Read(p []byte) (int, error) {
	if t.skip > 0 {
		n, err := io.CopyN(io.Discard, t.ReadCloser, t.skip)
		if t.skip -= n; err != nil {
			return 0, err
		}
	}
	return t.ReadCloser.Read(p)
}

// ask sends a request, again while the fault may pass, and gives the answer that is left, whatever its status.
func (o *httpObject) ask(ctx context.Context, part, version string) (*http.Response, error) {
	for try := 1; ; try++ {
		answer, err := o.askOnce(ctx, part, version)
		after := time.Duration(0)
		if err == nil {
			if !passing(answer.StatusCode) {
				return answer, nil
			}
			err, after = errors.New("the server answers "+statusText(answer)), retryAfter(answer, time.Now())
			leave(answer)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if final := o.final(err); final != nil {
			return nil, final
		}
		if after > longestWait {
			err = fmt.Errorf("%w, and wants to be asked again in %s", err, after.Round(time.Second))
		}
		if try >= o.client.tries || after > longestWait {
			return nil, &readError{o.name, catalog.ErrTransient, err}
		}
		delay := o.client.base << (try - 1)
		delay = delay/2 + rand.N(delay)
		if err := wait(ctx, max(delay, after)); err != nil {
			return nil, err
		}
	}
}

func (o *httpObject) askOnce(ctx context.Context, part, version string) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.url, nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	request.Header.Set("User-Agent", "icewright")
	request.Header.Set("Accept-Encoding", "identity")
	if o.user != "" || o.password != "" {
		request.SetBasicAuth(o.user, o.password)
	}
	if part != "" {
		request.Header.Set("Range", part)
		if version != "" {
			request.Header.Set("If-Range", version)
		}
	}
	answer, err := o.client.client.Do(request)
	if err != nil {
		if answer != nil { // a redirect that was refused
			_ = answer.Body.Close()
		}
		cancel(nil)
		var wrapped *url.Error // it has the URL in it, query and all
		for errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, err
	}
	answer.Body = &patient{answer.Body, cancel, o.client.stall}
	return answer, nil
}

// patient is a body that may not stop for long.
type patient struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
	stall  time.Duration
}

func (b *patient) Read(p []byte) (int, error) {
	timer := time.AfterFunc(b.stall, func() { b.cancel(errStalled) })
	n, err := b.ReadCloser.Read(p)
	if !timer.Stop() && err != nil {
		err = fmt.Errorf("%w for %s", errStalled, b.stall)
	}
	return n, err
}

func (b *patient) Close() error {
	b.cancel(nil)
	return b.ReadCloser.Close()
}

// passing tells the statuses that another try may not meet.
func passing(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status == http.StatusTooEarly
}

// retryAfter is how long the server wants to be left alone; 0 if it does not say.
func retryAfter(answer *http.Response, now time.Time) time.Duration {
	text := answer.Header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// final gives the class of an error that another try would only repeat; nil for the others.
func (o *httpObject) final(err error) error {
	var certificate *tls.CertificateVerificationError
	var dns *net.DNSError
	switch {
	case errors.As(err, &certificate):
		return &readError{o.name, catalog.ErrConfig, hinted{certificate.Err, "set SSL_CERT_FILE to a file with the certificate of the server's authority"}}
	case errors.Is(err, http.ErrSchemeMismatch):
		return &readError{o.name, catalog.ErrConfig, errors.New("the server does not speak TLS: is it http://?")}
	case errors.As(err, &dns) && dns.IsNotFound:
		return inputError(o.name, "there is no host "+dns.Name, "", nil)
	case errors.Is(err, errRedirect):
		return inputError(o.name, err.Error(), "", nil)
	}
	return nil
}

// hinted is an error with advice.
type hinted struct {
	error
	hint string
}

func (h hinted) Hint() string { return h.hint }

// statusError is the error of an answer that is no object.
func (o *httpObject) statusError(answer *http.Response) error {
	switch status := answer.StatusCode; {
	case status == http.StatusRequestedRangeNotSatisfiable && sizeOf(answer) == 0: // an empty object
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return &readError{o.name, catalog.ErrConfig, hinted{
			errors.New("the server answers " + statusText(answer)), "a password is written https://user:password@host/…; a signed URL may have expired",
		}}
	case status != http.StatusOK && status != http.StatusPartialContent:
		return inputError(o.name, "the server answers "+statusText(answer), "", nil)
	default:
		// What gzip encodes is told by its first bytes, like what is stored compressed.
		if coding := strings.ToLower(answer.Header.Get("Content-Encoding")); coding != "" && coding != "identity" && coding != "gzip" {
			return inputError(o.name, "the server sends Content-Encoding "+coding+", which cannot be read", "", nil)
		}
	}
	return nil
}

func statusText(answer *http.Response) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", answer.StatusCode, http.StatusText(answer.StatusCode)))
}

// redactURL is u as it may be shown: without user, password and fragment. Of a query it has the names, and
// values that are numbers or dates; nothing of a query that is signed, or has a secret by its name.
func redactURL(u *url.URL) string {
	shown := *u
	shown.User, shown.Fragment, shown.RawFragment, shown.RawQuery, shown.ForceQuery = nil, "", "", "", false
	text := shown.String()
	if u.RawQuery == "" {
		return text
	}
	var params []string
	for param := range strings.SplitSeq(u.RawQuery, "&") {
		name, value, ok := strings.Cut(param, "=")
		for _, word := range []string{"sig", "token", "expir", "cred", "key", "secret", "auth", "pass", "x-amz-", "x-goog-"} {
			if strings.Contains(strings.ToLower(name), word) {
				return text + "?…"
			}
		}
		switch {
		case !ok: // the name may be a value
			param = "…"
		case len(value) > 20 || strings.Trim(value, "0123456789-:.") != "":
			param = name + "=…"
		}
		params = append(params, param)
	}
	return text + "?" + strings.Join(params, "&")
}

// redactArg is an argument as it may be shown, a URL or not.
func redactArg(arg string) string {
	scheme, rest, ok := strings.Cut(arg, "://")
	if !ok || scheme == "s3" || scheme == "s3a" || scheme == "file" {
		return arg
	}
	if u, err := url.Parse(arg); err == nil && u.Host != "" {
		return redactURL(u)
	}
	rest, _, _ = strings.Cut(rest, "?")
	return scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
}
