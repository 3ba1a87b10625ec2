package catalog

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
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
	s3CABundle        = "s3.ssl.cabundle" // like ssl.cabundle, which is for the catalog
	s3SkipVerify      = "s3.tls.skip-verify"
	s3Checksums       = "s3.checksum-enabled"
	s3Retries         = "s3.retry.num-retries"
	s3RetryMinWait    = "s3.retry.min-wait-ms"
	s3RetryMaxWait    = "s3.retry.max-wait-ms"
	s3SSEType         = "s3.sse.type"
	s3SSEKey          = "s3.sse.key"
	s3SSEMD5          = "s3.sse.md5"
)

// s3Props are the properties that a client is made from; "client.…" is PyIceberg's
// fallback for credentials that S3 shares with other services.
var s3Props = []string{
	iceio.S3EndpointURL, iceio.S3Region, iceio.S3AccessKeyID, iceio.S3SecretAccessKey, iceio.S3SessionToken,
	iceio.S3ProxyURI, iceio.S3ConnectTimeout, iceio.S3ForceVirtualAddressing, iceio.S3RemoteSigningEnabled,
	s3PathStyle, s3RequestTimeout, s3Anonymous, s3Profile, s3RoleARN, s3RoleSessionName, s3CABundle, s3SkipVerify,
	s3Checksums, s3Retries, s3RetryMinWait, s3RetryMaxWait, s3SSEType, s3SSEKey, s3SSEMD5,
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
	if signing, err := boolValue(iceio.S3RemoteSigningEnabled, get(iceio.S3RemoteSigningEnabled)); err != nil {
		return nil, err
	} else if signing {
		return nil, &ConfigError{What: iceio.S3RemoteSigningEnabled + " is not supported", Do: "let the catalog vend keys instead of signing requests, or use your own with --no-vended-credentials"}
	}
	client, err := s3HTTPClient(get)
	if err != nil {
		return nil, err
	}
	cfg, err := awsConfig(ctx, get, config.WithHTTPClient(client))
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1" // what stores without regions expect in a signature
	}
	endpoint, source := S3Endpoint(props, os.Getenv)
	if endpoint != "" {
		if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, &ConfigError{Where: source, What: fmt.Sprintf("%q is not an endpoint", RedactURI(endpoint)), Do: "write http://host:port or https://host", Err: err}
		}
	}
	pathStyle, err := s3PathStyleOf(get)
	if err != nil {
		return nil, err
	}
	sums, err := s3ChecksumsOf(get, cfg)
	if err != nil {
		return nil, err
	}
	retryer, err := s3RetryerOf(get, cfg)
	if err != nil {
		return nil, err
	}
	encrypt, err := s3Encryption(get, strings.HasPrefix(endpoint, "http://"))
	if err != nil {
		return nil, err
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
		o.UsePathStyle = o.BaseEndpoint != nil && !hasBucketHosts(*o.BaseEndpoint)
		if pathStyle != nil {
			o.UsePathStyle = *pathStyle
		}
		sums(o)
		o.Retryer, o.RetryMaxAttempts = retryer, retryer.MaxAttempts()
		if r, ok := cfg.Credentials.(renewer); ok {
			o.Retryer = withRenewal(retryer, r)
		}
		if encrypt != nil {
			o.APIOptions = append(o.APIOptions, encrypt)
		}
		o.DisableLogOutputChecksumValidationSkipped = true
	}), nil
}

// s3PathStyleOf is how the configuration wants buckets addressed; nil where it does not say.
func s3PathStyleOf(get func(string) string) (*bool, error) {
	path, err := boolValue(s3PathStyle, get(s3PathStyle))
	if err != nil {
		return nil, err
	}
	virtual, err := boolValue(iceio.S3ForceVirtualAddressing, get(iceio.S3ForceVirtualAddressing))
	switch {
	case err != nil:
		return nil, err
	case get(s3PathStyle) != "":
		return &path, nil
	case get(iceio.S3ForceVirtualAddressing) != "":
		return aws.Bool(!virtual), nil
	}
	return nil, nil
}

// bucketHosts are the domains of stores that have a host name for every bucket. One's own
// store rarely has; these want it or soon will.
var bucketHosts = []string{".amazonaws.com", ".amazonaws.com.cn", ".aliyuncs.com", ".myqcloud.com"}

func hasBucketHosts(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return err == nil && slices.ContainsFunc(bucketHosts, func(domain string) bool {
		return strings.HasSuffix(strings.ToLower(u.Hostname()), domain)
	})
}

// s3ChecksumsOf sets whether requests carry one of S3's newer checksums and whether those of
// answers are checked. Unless the configuration, the environment or ~/.aws says so they are
// not: many stores that call themselves S3 refuse them, and the signature over the payload
// guards it already.
func s3ChecksumsOf(get func(string) string, cfg aws.Config) (func(*s3.Options), error) {
	wanted, err := boolValue(s3Checksums, get(s3Checksums))
	if err != nil {
		return nil, err
	}
	request, response := aws.RequestChecksumCalculationWhenRequired, aws.ResponseChecksumValidationWhenRequired
	for _, source := range slices.Backward(cfg.ConfigSources) { // the strongest, which is the first, last
		switch said := source.(type) {
		case config.EnvConfig:
			request, response = cmp.Or(said.RequestChecksumCalculation, request), cmp.Or(said.ResponseChecksumValidation, response)
		case config.SharedConfig:
			request, response = cmp.Or(said.RequestChecksumCalculation, request), cmp.Or(said.ResponseChecksumValidation, response)
		}
	}
	switch {
	case wanted:
		request, response = aws.RequestChecksumCalculationWhenSupported, aws.ResponseChecksumValidationWhenSupported
	case get(s3Checksums) != "":
		request, response = aws.RequestChecksumCalculationWhenRequired, aws.ResponseChecksumValidationWhenRequired
	}
	return func(o *s3.Options) { o.RequestChecksumCalculation, o.ResponseChecksumValidation = request, response }, nil
}
