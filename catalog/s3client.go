package catalog

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// The properties of S3 that iceberg-go's io package has no constant for, in the
// spelling of PyIceberg or Java.
const (
	s3PathStyle       = "s3.path-style-access"
	s3RequestTimeout  = "s3.request-timeout"
	s3Anonymous       = "s3.anonymous"
	s3Profile         = "s3.profile-name"
	s3RoleARN         = "s3.role-arn"
	s3RoleSessionName = "s3.role-session-name"
)

// s3Props are the properties that a client is made from; "client.…" is PyIceberg's
// fallback for credentials that S3 shares with other services.
var s3Props = []string{
	iceio.S3EndpointURL, iceio.S3Region, iceio.S3AccessKeyID, iceio.S3SecretAccessKey, iceio.S3SessionToken,
	iceio.S3ProxyURI, iceio.S3ConnectTimeout, iceio.S3ForceVirtualAddressing, iceio.S3RemoteSigningEnabled,
	s3PathStyle, s3RequestTimeout, s3Anonymous, s3Profile, s3RoleARN, s3RoleSessionName,
}

// endpointEnv are the environment variables that name an S3 endpoint, the strongest
// first. The SDK knows all but the second, which iceberg-go reads.
var endpointEnv = []string{"AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT", "AWS_ENDPOINT_URL"}

// S3Endpoint returns the S3 endpoint that props and the environment name, and the
// name of the one that won. Both are empty where the SDK decides, which is AWS
// unless ~/.aws/config says otherwise.
func S3Endpoint(props map[string]string, getenv func(string) string) (endpoint, source string) {
	if e := props[iceio.S3EndpointURL]; e != "" {
		return e, iceio.S3EndpointURL
	}
	for _, k := range endpointEnv {
		if e := getenv(k); e != "" {
			return e, k
		}
	}
	return "", ""
}

// s3Clients holds one client per configuration: a client owns its connections, and
// a load of a thousand files must not open a thousand of them.
var s3Clients = struct {
	sync.Mutex
	byConfig map[string]*s3.Client
	order    []string // of configurations, the oldest first
}{byConfig: map[string]*s3.Client{}}

// maxS3Clients bounds the cache; a process that runs for days gets new vended
// credentials, and so a new client, every hour.
const maxS3Clients = 32

// S3Client returns the client for props (s3.endpoint, s3.access-key-id, … in the
// spelling of PyIceberg and Java), completed by the usual AWS_* environment and
// files. The same configuration gives the same client; new credentials, such as a
// catalog vends, give another. Errors wrap ErrConfig. Nothing is dialled.
func S3Client(ctx context.Context, props map[string]string) (*s3.Client, error) {
	key := s3ConfigKey(props)
	s3Clients.Lock()
	defer s3Clients.Unlock()
	if c := s3Clients.byConfig[key]; c != nil {
		return c, nil
	}
	c, err := newS3Client(ctx, props)
	if err != nil {
		return nil, err
	}
	if len(s3Clients.order) >= maxS3Clients {
		delete(s3Clients.byConfig, s3Clients.order[0])
		s3Clients.order = s3Clients.order[1:]
	}
	s3Clients.byConfig[key] = c
	s3Clients.order = append(s3Clients.order, key)
	return c, nil
}

func s3ConfigKey(props map[string]string) string {
	var b strings.Builder
	for _, k := range s3Props {
		fmt.Fprintf(&b, "%q\n", s3Prop(props, k))
	}
	var env []string
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "AWS_") {
			env = append(env, kv)
		}
	}
	slices.Sort(env)
	fmt.Fprintf(&b, "%q", env)
	return b.String()
}

func s3Prop(props map[string]string, key string) string {
	if v := props[key]; v != "" {
		return v
	}
	return props["client."+strings.TrimPrefix(key, "s3.")]
}

func newS3Client(ctx context.Context, props map[string]string) (*s3.Client, error) {
	get := func(key string) string { return s3Prop(props, key) }
	isTrue := func(key string) (bool, error) { return boolValue(key, get(key)) }

	if signing, err := isTrue(iceio.S3RemoteSigningEnabled); err != nil {
		return nil, err
	} else if signing {
		return nil, &ConfigError{What: iceio.S3RemoteSigningEnabled + " is not supported", Do: "let the catalog vend keys instead of signing requests, or use your own with --no-vended-credentials"}
	}
	client, err := s3HTTPClient(get)
	if err != nil {
		return nil, err
	}
	cfg, err := awsConfig(ctx, get,
		config.WithHTTPClient(client),
		config.WithRetryMaxAttempts(5),
		// Checksums in trailers are an extension that many S3-compatible stores
		// refuse. TLS and the signature over the payload guard it already.
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired))
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1" // what stores without regions expect in a signature
	}

	endpoint, source := S3Endpoint(props, os.Getenv)
	if endpoint != "" {
		if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, &ConfigError{Where: source, What: fmt.Sprintf("%q is not an endpoint", endpoint), Do: "write http://host:port or https://host", Err: err}
		}
	}
	pathStyle, err := isTrue(s3PathStyle)
	if err != nil {
		return nil, err
	}
	virtual, err := isTrue(iceio.S3ForceVirtualAddressing)
	if err != nil {
		return nil, err
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
		// A store of one's own rarely has a DNS name for every bucket.
		o.UsePathStyle = o.BaseEndpoint != nil
		switch {
		case get(s3PathStyle) != "":
			o.UsePathStyle = pathStyle
		case get(iceio.S3ForceVirtualAddressing) != "":
			o.UsePathStyle = !virtual
		}
		o.DisableLogOutputChecksumValidationSkipped = true
	}), nil
}

// awsConfig loads the usual AWS configuration with what get says on top of it, by the
// names of S3's properties: keys, profile, region, role.
func awsConfig(ctx context.Context, get func(string) string, opts ...func(*config.LoadOptions) error) (aws.Config, error) {
	if r := get(iceio.S3Region); r != "" {
		opts = append(opts, config.WithRegion(r))
	}
	if p := get(s3Profile); p != "" {
		opts = append(opts, config.WithSharedConfigProfile(p))
	}
	id, secret, token := get(iceio.S3AccessKeyID), get(iceio.S3SecretAccessKey), get(iceio.S3SessionToken)
	if (id == "") != (secret == "") {
		return aws.Config{}, &ConfigError{
			What: fmt.Sprintf("%s and %s go together, and only one of them is given", iceio.S3AccessKeyID, iceio.S3SecretAccessKey),
			Do:   "give both, or neither to take the usual AWS credentials",
		}
	}
	anonymous, err := boolValue(s3Anonymous, get(s3Anonymous))
	switch {
	case err != nil:
		return aws.Config{}, err
	case anonymous:
		opts = append(opts, config.WithCredentialsProvider(aws.AnonymousCredentials{}))
	case id != "":
		opts = append(opts, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(id, secret, token)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return cfg, &ConfigError{What: "AWS credentials and region", Err: err}
	}
	if arn := get(s3RoleARN); arn != "" {
		from := cfg
		from.Region = cmp.Or(from.Region, "us-east-1")
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(from), arn,
			func(o *stscreds.AssumeRoleOptions) {
				if n := get(s3RoleSessionName); n != "" {
					o.RoleSessionName = n
				}
			}))
	}
	return cfg, nil
}

// s3HTTPClient bounds what the SDK leaves open: how long a server may think before
// it answers. A slow body is not bounded; it moves, or the connection breaks.
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
			return nil, &ConfigError{What: fmt.Sprintf("%s %q is not a URI", iceio.S3ProxyURI, p), Err: err}
		}
	}
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = connect }).
		WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns = 256
			t.MaxIdleConnsPerHost = 64
			t.ResponseHeaderTimeout = answer
			if proxy != nil {
				t.Proxy = http.ProxyURL(proxy)
			}
		}), nil
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
