package catalog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/processcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// keysWindow is how long before their end temporary keys are replaced: long enough for the
// request that they sign to get there, and for a few tries of whoever makes the new ones.
const keysWindow = 5 * time.Minute

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
	opts = append(opts, config.WithCredentialsCacheOptions(func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = keysWindow }))
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return cfg, &ConfigError{What: "AWS credentials and region", Err: err}
	}
	if anonymous {
		return cfg, nil
	}
	k := &keyring{load: func(ctx context.Context) (aws.CredentialsProvider, error) {
		again, err := config.LoadDefaultConfig(ctx, opts...)
		return assumed(get, again), err
	}}
	k.current, cfg.Credentials = assumed(get, cfg), k
	return cfg, nil
}

// assumed are cfg's credentials, or those of the role that get names, which they may assume.
func assumed(get func(string) string, cfg aws.Config) aws.CredentialsProvider {
	arn := get(s3RoleARN)
	if arn == "" {
		return cfg.Credentials
	}
	cfg.Region = orElse(cfg.Region, "us-east-1")
	return aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), arn, func(o *stscreds.AssumeRoleOptions) {
		if n := get(s3RoleSessionName); n != "" {
			o.RoleSessionName = n
		}
	}), func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = keysWindow })
}

// keyring gives the SDK keys. The providers of the SDK replace keys whose end they know; those
// that a store takes no longer, ahead of that or because nobody said when they end, are read
// anew from where they came: a token file, a server, a profile that something else rewrites.
type keyring struct {
	load func(context.Context) (aws.CredentialsProvider, error)

	mu      sync.Mutex
	current aws.CredentialsProvider
	renewed time.Time
}

// renewer is implemented by providers that can get other keys than those that were refused.
type renewer interface {
	// renew tells whether there are other keys now.
	renew(ctx context.Context) bool
}

func (k *keyring) Retrieve(ctx context.Context) (aws.Credentials, error) {
	k.mu.Lock()
	current := k.current
	k.mu.Unlock()
	keys, err := current.Retrieve(ctx)
	if err != nil && ctx.Err() == nil { // a context of the provider's own may have ended
		err = keysError(err)
	}
	return keys, err
}

// keysFresh is for how long new keys are not asked for again: requests that were under way with
// the old ones are refused one after the other.
const keysFresh = 5 * time.Second

func (k *keyring) renew(ctx context.Context) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.renewed) < keysFresh {
		return true
	}
	old, _ := k.current.Retrieve(ctx)
	next, err := k.load(ctx)
	if err != nil || next == nil {
		return false
	}
	keys, err := next.Retrieve(ctx)
	if err != nil || keys.AccessKeyID == old.AccessKeyID && keys.SecretAccessKey == old.SecretAccessKey && keys.SessionToken == old.SessionToken {
		return false
	}
	k.current, k.renewed = next, time.Now()
	return true
}

// noKeys is the error of keys for S3 that could not be had. To the SDK it is final: whoever was
// asked for them has been asked more than once.
type noKeys struct{ err error }

func (e *noKeys) Error() string        { return "AWS credentials: " + e.err.Error() }
func (e *noKeys) Unwrap() error        { return e.err }
func (e *noKeys) RetryableError() bool { return false }

// Hint says where keys can come from.
func (e *noKeys) Hint() string {
	return "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or s3.access-key-id and s3.secret-access-key; s3.anonymous=true reads public buckets without any"
}

// keysError classifies the error of a provider: what is not there, or was refused, is
// configuration; what did not answer may the next time. Where the SDK gives texts alone, they
// have to do.
func keysError(err error) error {
	class := ErrTransient
	var rsp *smithyhttp.ResponseError
	var dial *net.OpError
	status := 0
	if errors.As(err, &rsp) {
		status = rsp.HTTPStatusCode()
	}
	switch {
	case strings.Contains(err.Error(), "EC2 IMDS"): // the last of the chain, which is asked where nothing is configured
		if status < 500 && (errors.As(err, &dial) || !errors.Is(err, context.DeadlineExceeded)) {
			err = fmt.Errorf("none in the configuration, in the AWS_* environment, in ~/.aws or from this machine: %w", err)
			class = ErrConfig
		}
	case strings.Contains(err.Error(), "failed to retrieve jwt"), // a token file that cannot be read
		status/100 == 4 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout && !Passes(err):
		class = ErrConfig
	}
	return &classified{class, &noKeys{err}}
}

// Keys says with whose keys S3 is asked, and no secret.
type Keys struct {
	// Source is where they come from, in words; "nobody" where requests are not signed.
	Source string
	// ID is the end of the key's id, enough to tell keys apart.
	ID string
	// Expires is when they end; zero where they do not, or nobody knows.
	Expires time.Time
}

func (k Keys) String() string {
	text := k.Source
	if k.ID != "" {
		text += ", " + k.ID
	}
	if !k.Expires.IsZero() {
		text += ", until " + k.Expires.UTC().Format(time.RFC3339)
	}
	return text
}

// S3Keys returns the keys that client signs with now. They are fetched if need be.
func S3Keys(ctx context.Context, client *s3.Client) (Keys, error) {
	o := client.Options()
	if o.Credentials == nil || aws.IsCredentialsProvider(o.Credentials, (*aws.AnonymousCredentials)(nil)) {
		return Keys{Source: "nobody: requests are not signed"}, nil
	}
	c, err := o.Credentials.Retrieve(ctx)
	if err != nil {
		return Keys{}, readError(err)
	}
	k := Keys{Source: keysSource(c.Source), ID: "…" + c.AccessKeyID[max(0, len(c.AccessKeyID)-4):]}
	if len(c.AccessKeyID) < 12 {
		k.ID = "" // a name rather than an id, and short
	}
	if c.CanExpire {
		k.Expires = c.Expires
	}
	return k, nil
}

// keysSource puts the SDK's name of a provider into words.
func keysSource(name string) string {
	switch kind, file, _ := strings.Cut(name, ": "); kind {
	case credentials.StaticCredentialsName:
		return "s3.access-key-id"
	case config.CredentialsSourceName:
		return "AWS_ACCESS_KEY_ID"
	case "SharedConfigCredentials":
		return "profile " + orElse(os.Getenv("AWS_PROFILE"), "default") + " of " + file
	case stscreds.WebIdentityProviderName:
		return "a web identity (AWS_WEB_IDENTITY_TOKEN_FILE)"
	case stscreds.ProviderName:
		return "an assumed role"
	case endpointcreds.ProviderName:
		return "the container (AWS_CONTAINER_CREDENTIALS_…)"
	case ec2rolecreds.ProviderName:
		return "the machine's role (EC2 metadata)"
	case processcreds.ProviderName:
		return "the profile's credential_process"
	case ssocreds.ProviderName:
		return "single sign-on"
	}
	return name
}
