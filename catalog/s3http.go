package catalog

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	iceio "github.com/apache/iceberg-go/io"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// s3HTTPClient bounds what the SDK leaves open: how long a server may think before it
// answers, and how long a connection may stand still in the middle of a body. A slow body is
// not bounded; it moves.
func s3HTTPClient(get func(string) string) (*awshttp.BuildableClient, error) {
	connect, err := parseTimeout(iceio.S3ConnectTimeout, get(iceio.S3ConnectTimeout), 10*time.Second)
	if err != nil {
		return nil, err
	}
	answer, err := parseTimeout(s3RequestTimeout, get(s3RequestTimeout), time.Minute)
	if err != nil {
		return nil, err
	}
	var proxy *url.URL
	if p := get(iceio.S3ProxyURI); p != "" {
		if proxy, err = url.Parse(p); err != nil || proxy.Host == "" {
			return nil, &ConfigError{What: fmt.Sprintf("%s %q is not a URI", iceio.S3ProxyURI, RedactURI(p)), Do: "write http://host:port"}
		}
	}
	roots, skipVerify, err := s3Trust(get)
	if err != nil {
		return nil, err
	}
	dial := (&net.Dialer{Timeout: connect, KeepAlive: awshttp.DefaultDialKeepAliveTimeout}).DialContext
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &movingConn{c, answer}, nil
		}
		t.MaxIdleConns = 256
		t.MaxIdleConnsPerHost = 64
		t.ResponseHeaderTimeout = answer
		if proxy != nil {
			t.Proxy = http.ProxyURL(proxy)
		}
		if roots != nil {
			t.TLSClientConfig.RootCAs = roots
		}
		t.TLSClientConfig.InsecureSkipVerify = skipVerify //nolint:gosec // where the user asked for it
	}), nil
}

// s3Trust reads whom the client trusts: the system's authorities and those of s3.ssl.cabundle
// or AWS_CA_BUNDLE; nil for the system's alone. The SDK adds those of AWS_CA_BUNDLE, or the
// profile's ca_bundle, and without a pool of ours would trust no others.
func s3Trust(get func(string) string) (*x509.CertPool, bool, error) {
	skip, err := boolValue(s3SkipVerify, get(s3SkipVerify))
	if err != nil {
		return nil, false, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	key, bundle := s3CABundle, get(s3CABundle)
	if bundle == "" {
		key, bundle = "AWS_CA_BUNDLE", os.Getenv("AWS_CA_BUNDLE")
	}
	if bundle == "" {
		return roots, skip, nil
	}
	pem, err := os.ReadFile(bundle) //nolint:gosec // the user names it
	if err != nil {
		return nil, false, &ConfigError{What: key, Err: err}
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, false, &ConfigError{What: fmt.Sprintf("%s: %s holds no certificate", key, bundle), Do: "name a file of certificates in PEM"}
	}
	return roots, skip, nil
}

// movingConn is a connection that breaks when nothing moves on it for too long, in either
// direction. An upload that moves keeps the wait for its answer open.
type movingConn struct {
	net.Conn
	still time.Duration
}

func (c *movingConn) Read(p []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(c.still)) // fails where the connection has
	return c.Conn.Read(p)
}

func (c *movingConn) Write(p []byte) (int, error) {
	_ = c.SetDeadline(time.Now().Add(c.still))
	return c.Conn.Write(p)
}

// parseTimeout reads seconds ("60", "2.5"), as Python writes them, or a Go duration.
func parseTimeout(key, text string, byDefault time.Duration) (time.Duration, error) {
	if text == "" {
		return byDefault, nil
	}
	d, err := time.ParseDuration(text)
	if s, numErr := strconv.ParseFloat(text, 64); numErr == nil {
		d, err = time.Duration(s*float64(time.Second)), nil
	}
	if err != nil || d <= 0 {
		return 0, &ConfigError{What: fmt.Sprintf("%s is %q", key, text), Do: `write seconds ("60") or a duration ("1m30s")`}
	}
	return d, nil
}
