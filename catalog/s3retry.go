package catalog

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
)

// The defaults of retries: 10 tries with 9 waits between them, of about a minute in all.
// A load that took an hour is worth a minute; a store that is down for longer is exit code 5.
const (
	s3RetriesDefault = 9
	s3MinWait        = 200 * time.Millisecond
	s3MaxWait        = 20 * time.Second
)

// s3RetryerOf returns what decides on retries: of answers that say so (500, 502, 503, 504,
// SlowDown and other throttling) and of connections that broke or timed out. The SDK's own
// quota of retries for the whole client is off: where eight parts are under way and the store
// says SlowDown to all, it is used up before the store has recovered, and the bound on tries
// is bound enough. AWS_MAX_ATTEMPTS and AWS_RETRY_MODE, or the profile's words for them, count
// where no property says otherwise.
func s3RetryerOf(get func(string) string, cfg aws.Config) (aws.RetryerV2, error) {
	attempts := s3RetriesDefault + 1
	for _, source := range slices.Backward(cfg.ConfigSources) {
		switch said := source.(type) {
		case config.EnvConfig:
			attempts = cmp.Or(said.RetryMaxAttempts, attempts)
		case config.SharedConfig:
			attempts = cmp.Or(said.RetryMaxAttempts, attempts)
		}
	}
	number := func(key string, least int) (int, bool, error) {
		text := get(key)
		if text == "" {
			return 0, false, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < least {
			return 0, false, &ConfigError{What: fmt.Sprintf("%s is %q", key, text), Do: fmt.Sprintf("write a whole number, %d or more", least)}
		}
		return n, true, nil
	}
	if n, ok, err := number(s3Retries, 0); err != nil {
		return nil, err
	} else if ok {
		attempts = n + 1
	}
	least, most := s3MinWait, s3MaxWait
	if n, ok, err := number(s3RetryMaxWait, 0); err != nil {
		return nil, err
	} else if ok {
		most = time.Duration(n) * time.Millisecond
	}
	if n, ok, err := number(s3RetryMinWait, 0); err != nil {
		return nil, err
	} else if ok {
		least = time.Duration(n) * time.Millisecond
	}
	standard := func(o *retry.StandardOptions) {
		o.MaxAttempts, o.RateLimiter = attempts, ratelimit.None
		o.Retryables = slices.Insert(slices.Clone(o.Retryables), 0, retry.IsErrorRetryable(retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if distrusts(err) {
				return aws.FalseTernary // the SDK takes it for a broken connection
			}
			return aws.UnknownTernary
		})))
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return backoff(attempt, least, most), nil
		})
	}
	if cfg.RetryMode == aws.RetryModeAdaptive {
		return retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) { o.StandardOptions = append(o.StandardOptions, standard) }), nil
	}
	return retry.NewStandard(standard), nil
}

// backoff is how long to wait before the next try, after so many: least, and twice as long each
// time up to most, between half and all of it, so that those who failed together do not come
// back together.
func backoff(attempt int, least, most time.Duration) time.Duration {
	d := most
	if shifted := least << min(max(attempt-1, 0), 20); shifted < most {
		d = shifted
	}
	return d/2 + rand.N(d/2+1) //nolint:gosec // jitter, not a secret
}

// renewing tries again with other keys where a store refused those of a request because their
// time is over.
type renewing struct {
	aws.RetryerV2
	keys renewer
}

// withRenewal makes r ask keys. Retryers of this package's clients are all of the second kind.
func withRenewal(r aws.Retryer, keys renewer) aws.Retryer {
	if v2, ok := r.(aws.RetryerV2); ok {
		return &renewing{v2, keys}
	}
	return r
}

// expiredCodes are a store's words for keys that were good once. MinIO
// says InvalidTokenId; a key that was replaced and removed is an InvalidAccessKeyId.
var expiredCodes = []string{
	"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "InvalidTokenId", "InvalidAccessKeyId", "InvalidClientTokenId",
}

func (r *renewing) IsErrorRetryable(err error) bool {
	if slices.Contains(expiredCodes, s3Code(err)) {
		ctx, cancel := context.WithTimeout(context.Background(), s3Cleanup)
		defer cancel()
		return r.keys.renew(ctx)
	}
	return r.RetryerV2.IsErrorRetryable(err)
}
