package catalog_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/testcert"
)

// A server with a certificate of the house's own authority, which asks its clients for
// one of theirs.
func TestRESTCertificates(t *testing.T) {
	house, stranger := testcert.New(t), testcert.New(t)
	serverCert, _, _ := house.Issue(t, "server")
	var asked []string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.TLS.PeerCertificates[0].Subject.CommonName)
		_, _ = io.WriteString(w, `{"defaults":{},"overrides":{}}`)
	}))
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{serverCert}, ClientCAs: house.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)

	dir := t.TempDir()
	put := func(name string, text []byte) string {
		writeFile(t, filepath.Join(dir, name), string(text))
		return filepath.Join(dir, name)
	}
	_, loaderPEM, loaderKey := house.Issue(t, "loader")
	_, otherPEM, otherKey := stranger.Issue(t, "other")
	ca := put("ca.pem", house.PEM)
	cert, key := put("loader.pem", loaderPEM), put("loader.key", loaderKey)
	both := put("both.pem", append(bytes.Clone(loaderPEM), loaderKey...))
	for name, tc := range map[string]struct {
		props iceberg.Properties
		class error // nil: it works
	}{
		"all three":              {iceberg.Properties{"ssl.cabundle": ca, "ssl.client.cert": cert, "ssl.client.key": key}, nil},
		"key beside certificate": {iceberg.Properties{"ssl.cabundle": ca, "ssl.client.cert": both}, nil},
		"any certificate":        {iceberg.Properties{"rest.tls.skip-verify": "true", "ssl.client.cert": both}, nil},
		"no authority":           {iceberg.Properties{"ssl.client.cert": both}, catalog.ErrConfig},
		"another authority":      {iceberg.Properties{"ssl.cabundle": put("other-ca.pem", stranger.PEM), "ssl.client.cert": both}, catalog.ErrConfig},
		"no certificate":         {iceberg.Properties{"ssl.cabundle": ca}, catalog.ErrConfig},
		"a stranger's": {
			iceberg.Properties{"ssl.cabundle": ca, "ssl.client.cert": put("other.pem", otherPEM), "ssl.client.key": put("other.key", otherKey)}, catalog.ErrConfig,
		},
		"a key of another":   {iceberg.Properties{"ssl.cabundle": ca, "ssl.client.cert": cert, "ssl.client.key": filepath.Join(dir, "other.key")}, catalog.ErrConfig},
		"a key alone":        {iceberg.Properties{"ssl.client.key": key}, catalog.ErrConfig},
		"no such file":       {iceberg.Properties{"ssl.cabundle": filepath.Join(dir, "none")}, catalog.ErrConfig},
		"no authority in it": {iceberg.Properties{"ssl.cabundle": key}, catalog.ErrConfig},
	} {
		c, err := catalog.Open(t.Context(), catalog.Config{URI: server.URL, Props: tc.props})
		if catalog.ClassOf(err) != tc.class {
			t.Errorf("%s: %v is %v, want %v", name, err, catalog.ClassOf(err), tc.class)
		}
		if err == nil {
			c.Close()
		} else if strings.Contains(err.Error(), "PRIVATE KEY") {
			t.Errorf("%s: %v", name, err)
		}
	}

	// A certificate that is replaced while a run goes on counts from the next connection on.
	c := open(t, catalog.Config{URI: server.URL, Props: iceberg.Properties{"ssl.cabundle": ca, "ssl.client.cert": both}})
	_, newPEM, newKey := house.Issue(t, "loader, renewed")
	put("both.pem", append(newPEM, newKey...))
	server.CloseClientConnections()
	_ = load(t.Context(), c)
	if got := asked[len(asked)-1]; got != "loader, renewed" {
		t.Errorf("the server saw %q", got)
	}
}

// Every request is signed as AWS asks, over its body too; the server computes the same
// signature from what it sees.
func TestRESTSigV4(t *testing.T) {
	for _, k := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(k, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	var keys map[string]aws.Credentials
	var region, service string
	verified, wrong := 0, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := verifySigV4(r, body, keys, region, service); err != nil {
			wrong = err.Error()
			answer(w, http.StatusForbidden, "AccessDeniedException")
			return
		}
		verified++
		switch {
		case strings.HasSuffix(r.URL.Path, "/v1/config"):
			_, _ = io.WriteString(w, `{"defaults":{},"overrides":{"prefix":"a b%2Fc"}}`)
		case r.Method == http.MethodPost:
			answer(w, http.StatusConflict, "CommitFailedException")
		default:
			answer(w, http.StatusNotFound, "NoSuchTableException")
		}
	}))
	t.Cleanup(server.Close)
	for name, tc := range map[string]struct {
		props           iceberg.Properties
		env             map[string]string
		key             aws.Credentials
		region, service string
	}{
		"Java's keys": {
			props: iceberg.Properties{"rest.access-key-id": "j", "rest.secret-access-key": "js", "rest.session-token": "jt", "rest.signing-region": "eu-1", "rest.signing-name": "glue"},
			key:   aws.Credentials{AccessKeyID: "j", SecretAccessKey: "js", SessionToken: "jt"}, region: "eu-1", service: "glue",
		},
		"PyIceberg's keys": {
			props: iceberg.Properties{"client.access-key-id": "p", "client.secret-access-key": "ps", "client.region": "eu-2"},
			key:   aws.Credentials{AccessKeyID: "p", SecretAccessKey: "ps"}, region: "eu-2", service: "execute-api",
		},
		"AWS's variables": {
			env: map[string]string{"AWS_ACCESS_KEY_ID": "e", "AWS_SECRET_ACCESS_KEY": "es", "AWS_SESSION_TOKEN": "et", "AWS_REGION": "eu-3"},
			key: aws.Credentials{AccessKeyID: "e", SecretAccessKey: "es", SessionToken: "et"}, region: "eu-3", service: "execute-api",
		},
	} {
		for k, v := range tc.env {
			t.Setenv(k, v)
		}
		keys, region, service = map[string]aws.Credentials{tc.key.AccessKeyID: tc.key}, tc.region, tc.service
		props := iceberg.Properties{"rest.sigv4-enabled": "true", "header.X-Team": "loads"}
		for k, v := range tc.props {
			props[k] = v
		}
		verified, wrong = 0, ""
		c := open(t, catalog.Config{URI: server.URL, Warehouse: "arn:aws:s3tables:x:1:bucket/b", Props: props})
		wantClass(t, name, commit(t.Context(), c), catalog.ErrConflict)
		wantClass(t, name, load(t.Context(), c), catalog.ErrNotFound)
		if verified != 3 || wrong != "" {
			t.Errorf("%s: %d requests verified; %s", name, verified, wrong)
		}
		for k := range tc.env {
			t.Setenv(k, "")
		}
	}
	keys = map[string]aws.Credentials{"me": {AccessKeyID: "me", SecretAccessKey: "right"}}
	for name, props := range map[string]iceberg.Properties{
		"no keys":   {"rest.signing-region": "r"},
		"no region": {"rest.access-key-id": "me", "rest.secret-access-key": "right"},
		"half":      {"rest.access-key-id": "me", "rest.signing-region": "r"},
	} {
		props["rest.sigv4-enabled"] = "true"
		if _, err := catalog.Open(t.Context(), catalog.Config{URI: server.URL, Props: props}); !errors.Is(err, catalog.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := catalog.Open(t.Context(), catalog.Config{URI: server.URL, Props: iceberg.Properties{
		"rest.sigv4-enabled": "true", "rest.access-key-id": "me", "rest.secret-access-key": "wrong-hush", "rest.signing-region": "r",
	}})
	if catalog.ClassOf(err) != catalog.ErrConfig || strings.Contains(err.Error(), "hush") {
		t.Errorf("a wrong key: %v", err)
	}
}

// verifySigV4 signs the request anew with the key that it names, and compares.
func verifySigV4(r *http.Request, body []byte, keys map[string]aws.Credentials, region, service string) error {
	auth := r.Header.Get("Authorization")
	_, rest, _ := strings.Cut(auth, "Credential=")
	id, _, _ := strings.Cut(rest, "/")
	key, ok := keys[id]
	if !ok {
		return fmt.Errorf("no key %q in %q", id, auth)
	}
	_, rest, _ = strings.Cut(auth, "SignedHeaders=")
	signed, _, _ := strings.Cut(rest, ",")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > 15*time.Minute {
		return fmt.Errorf("date %q", r.Header.Get("X-Amz-Date"))
	}
	again, err := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	for _, h := range strings.Split(signed, ";") {
		if h != "host" && h != "content-length" {
			again.Header[http.CanonicalHeaderKey(h)] = r.Header.Values(h)
		}
	}
	if key.SessionToken != r.Header.Get("X-Amz-Security-Token") {
		return fmt.Errorf("session token %q", r.Header.Get("X-Amz-Security-Token"))
	}
	again.ContentLength = r.ContentLength
	if r.Header.Get("Content-Length") == "" && len(body) == 0 {
		again.Body, again.ContentLength = nil, 0
	}
	hash := sha256Hex(body)
	if got := r.Header.Get("X-Amz-Content-Sha256"); got != hash {
		return fmt.Errorf("the body has hash %s, the header %s", hash, got)
	}
	if err := v4.NewSigner().SignHTTP(r.Context(), key, again, hash, service, region, at); err != nil {
		return err
	}
	if want := again.Header.Get("Authorization"); want != auth {
		return fmt.Errorf("signature %s\nwant %s", auth, want)
	}
	return nil
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
