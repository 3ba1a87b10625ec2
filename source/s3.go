package source

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/icewright/icewright/catalog"
)

// s3API is what this package asks of S3.
type s3API interface {
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
}

// quiet keeps the SDK from writing to stderr that an object has no checksum that it knows.
func quiet(o *s3.Options) { o.DisableLogOutputChecksumValidationSkipped = true }

// s3Object is one version of an object: every request names its ETag, so that no two versions mix.
type s3Object struct {
	api               s3API
	name, bucket, key string
	etag              string
	size              int64
}

// resolveS3 lists what address, bucket/key without the scheme, names; arg is the whole argument.
func (r *resolver) resolveS3(ctx context.Context, arg, address string) ([]Object, error) {
	bucket, key, _ := strings.Cut(address, "/")
	if bucket == "" {
		return nil, inputError(arg, "names no bucket", "write s3://bucket/key", nil)
	}
	if isGlob(bucket) {
		return nil, inputError(arg, "has a wildcard in the bucket", "wildcards are for keys", nil)
	}
	r.s3Once.Do(func() {
		if r.s3 == nil {
			r.s3, r.s3Error = catalog.S3Client(ctx, r.Props)
		}
	})
	if r.s3Error != nil {
		return nil, &readError{arg, nil, r.s3Error}
	}
	l := &lister{api: r.s3, scheme: arg[:strings.Index(arg, "://")+3], bucket: bucket, arg: arg}
	if isGlob(key) {
		g, err := parseGlob(key)
		if err != nil {
			return nil, inputError(arg, "is not a glob that can be read", "", err)
		}
		return l.list(ctx, literalPrefix(key), func(k string) bool { return k == key || g.match(k) })
	}
	if key != "" && !strings.HasSuffix(key, "/") {
		head, err := r.s3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key}, quiet)
		if err == nil {
			return []Object{l.object(key, aws.ToString(head.ETag), aws.ToInt64(head.ContentLength))}, nil
		}
		if s3Status(err) != http.StatusNotFound {
			return nil, s3Error(arg, err)
		}
		key += "/"
	}
	return l.list(ctx, key, func(k string) bool {
		for segment := range strings.SplitSeq(k[len(key):], "/") {
			if hidden(segment) {
				return false
			}
		}
		return true
	})
}

// literalPrefix is what every key that a glob means begins with.
func literalPrefix(pattern string) string { return pattern[:strings.IndexAny(pattern, "*?[")] }

// lister lists one bucket.
type lister struct {
	api                 s3API
	scheme, bucket, arg string
}

func (l *lister) object(key, etag string, size int64) Object {
	name := l.scheme + l.bucket + "/" + key
	return Object{Name: name, Size: size, origin: &s3Object{api: l.api, name: name, bucket: l.bucket, key: key, etag: etag, size: size}}
}

// list gives the objects whose keys begin with prefix and are wanted. The markers that some
// programs leave for directories, empty and with a slash at the end of their keys, are not objects.
func (l *lister) list(ctx context.Context, prefix string, want func(key string) bool) ([]Object, error) {
	var found []Object
	in := &s3.ListObjectsV2Input{Bucket: &l.bucket, Prefix: &prefix}
	for {
		page, err := l.api.ListObjectsV2(ctx, in, quiet)
		if err != nil {
			if s3Status(err) == http.StatusNotFound {
				return nil, inputError(l.arg, fmt.Sprintf("there is no bucket %q", l.bucket), "", nil)
			}
			return nil, s3Error(l.arg, err)
		}
		for _, o := range page.Contents {
			key := aws.ToString(o.Key)
			if !strings.HasSuffix(key, "/") && want(key) {
				found = append(found, l.object(key, aws.ToString(o.ETag), aws.ToInt64(o.Size)))
			}
		}
		if !aws.ToBool(page.IsTruncated) || page.NextContinuationToken == nil {
			return found, nil
		}
		in.ContinuationToken = page.NextContinuationToken
	}
}

func (o *s3Object) verify(ctx context.Context) error {
	head, err := o.api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &o.bucket, Key: &o.key}, quiet)
	switch {
	case s3Status(err) == http.StatusNotFound:
		return changed(o.name, "vanished while it was being read")
	case err != nil:
		return s3Error(o.name, err)
	case aws.ToString(head.ETag) != o.etag || aws.ToInt64(head.ContentLength) != o.size:
		return changed(o.name, "changed while it was being read")
	}
	return nil
}

func (o *s3Object) about() (string, int64) { return o.name, o.size }

// get asks for the bytes from offset on, length of them or, with 0, all.
func (o *s3Object) get(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: &o.bucket, Key: &o.key}
	if o.etag != "" {
		in.IfMatch = &o.etag
	}
	switch {
	case length > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	case offset > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	out, err := o.api.GetObject(ctx, in, quiet)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if s3Status(err) == http.StatusNotFound {
			return nil, changed(o.name, "vanished while it was being read")
		}
		return nil, s3Error(o.name, err)
	}
	// Not every server that calls itself S3 minds If-Match.
	if etag := aws.ToString(out.ETag); etag != "" && o.etag != "" && etag != o.etag {
		_ = out.Body.Close()
		return nil, changed(o.name, "changed while it was being read")
	}
	if in.Range != nil && out.ContentRange == nil {
		_ = out.Body.Close()
		return nil, &readError{o.name, catalog.ErrRejected, fmt.Errorf("the server ignored the range %s", *in.Range)}
	}
	return out.Body, nil
}

func (o *s3Object) open(ctx context.Context) (io.ReadCloser, error) { return openRemote(ctx, o) }
func (o *s3Object) at(ctx context.Context) (readerAt, error)        { return newRanges(ctx, o), nil }
