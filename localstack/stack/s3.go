package stack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// S3 is a running S3 server with one bucket.
type S3 struct {
	*Process  `json:"process"`
	Endpoint  string `json:"endpoint"` // http://127.0.0.1:PORT, no slash at the end
	Region    string `json:"region"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	Bucket    string `json:"bucket"`
}

// The keys guard a server on the loopback interface that holds test data; they are no secrets.
const (
	accessKey = "icewright"
	secretKey = "icewright-local"
	region    = "us-east-1"
	bucket    = "lake"
	// VirtualDomain is the domain below which MinIO and versitygw find buckets as host names.
	VirtualDomain = "store.test"
	// kmsKey lets MinIO encrypt on its own: a name and a key.
	kmsKey = "icewright-key:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

// StartVersitygw starts versitygw over the folder s3 in o.Dir.
func StartVersitygw(ctx context.Context, t *Tools, o Options) (*S3, error) {
	program, err := t.Versitygw(ctx)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(o.Dir, "s3")
	return startS3(ctx, o, "versitygw", data, "/",
		[]string{"ROOT_ACCESS_KEY=" + accessKey, "ROOT_SECRET_KEY=" + secretKey},
		func(address string) []string {
			return []string{program, "--port", address, "--region", region, "--keep-alive", "--quiet", "--virtual-domain", VirtualDomain, "posix", data}
		})
}

// StartMinIO starts MinIO over the folder s3 in o.Dir.
func StartMinIO(ctx context.Context, t *Tools, o Options) (*S3, error) {
	program, err := t.MinIO(ctx)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(o.Dir, "s3")
	return startS3(ctx, o, "minio", data, "/minio/health/live",
		[]string{"MINIO_ROOT_USER=" + accessKey, "MINIO_ROOT_PASSWORD=" + secretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_DOMAIN=" + VirtualDomain, "MINIO_KMS_SECRET_KEY=" + kmsKey},
		func(address string) []string {
			return []string{program, "server", "--quiet", "--address", address, data}
		})
}

func startS3(ctx context.Context, o Options, name, data, health string, env []string, argv func(address string) []string) (*S3, error) {
	if err := os.MkdirAll(data, 0o755); err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	endpoint := "http://" + address
	p, err := start(ctx, o, name, endpoint+health, 30*time.Second, env, argv(address)...)
	if err != nil {
		return nil, err
	}
	server := &S3{
		Process: p, Endpoint: endpoint, Region: region,
		AccessKey: accessKey, SecretKey: secretKey, Bucket: bucket,
	}
	// Both servers keep a bucket as a folder of its name, so it may be there from before.
	if _, err := os.Stat(filepath.Join(data, bucket)); err == nil {
		return server, nil
	}
	if _, err := server.Client().CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		_ = p.Stop() // the bucket is the news
		return nil, fmt.Errorf("%s: create bucket %s: %w\n%s", name, bucket, err, p.tail())
	}
	return server, nil
}

// Client returns a new client of the server with path-style addresses.
func (s *S3) Client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(s.Endpoint),
		Region:       s.Region,
		Credentials:  credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
		UsePathStyle: true,
	})
}

// Properties are Iceberg's properties for file access to the server, as the clients of
// a catalog spell them.
func (s *S3) Properties() map[string]string {
	return map[string]string{
		"s3.endpoint":          s.Endpoint,
		"s3.region":            s.Region,
		"s3.access-key-id":     s.AccessKey,
		"s3.secret-access-key": s.SecretKey,
		"s3.path-style-access": "true",
	}
}

// Environment is what an AWS client reads to find the server, as NAME=value.
func (s *S3) Environment() []string {
	return []string{
		"AWS_ENDPOINT_URL_S3=" + s.Endpoint,
		"AWS_REGION=" + s.Region,
		"AWS_ACCESS_KEY_ID=" + s.AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + s.SecretKey,
	}
}
