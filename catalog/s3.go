package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"golang.org/x/sync/errgroup"
)

// s3IO stores files in S3. All IOs of one configuration share a client; opening a
// file costs one HEAD, and a file that is written is streamed in parts.
//
// A location is s3://bucket/key and the key is taken as it stands: nothing in it is
// decoded, as in Java and PyIceberg, so that "a%20b", "a+b" and "a b" are three keys.
type s3IO struct {
	ctx    context.Context
	client *s3.Client // nil where a vendor has one for each location
	vendor *vendor
	log    *writeLog
	// uploads is what this IO's writers share.
	uploads *uploads
}

var (
	_ iceio.ReadFileIO      = (*s3IO)(nil)
	_ iceio.WriteFileIO     = (*s3IO)(nil)
	_ iceio.ListableIO      = (*s3IO)(nil)
	_ iceio.BulkRemovableIO = (*s3IO)(nil)
	_ iceio.StatIO          = (*s3IO)(nil)
)

func openS3(ctx context.Context, _ *url.URL, props map[string]string) (iceio.IO, error) {
	client, err := S3Client(ctx, props)
	if err != nil {
		return nil, err
	}
	s := newS3IO(ctx, client, nil)
	if props[propFolders] != "" {
		return newHadoopS3(s), nil
	}
	return s, nil
}

func newS3IO(ctx context.Context, client *s3.Client, v *vendor) *s3IO {
	log := writeLogOf(ctx)
	if ctx.Value(boundKey{}) == nil {
		ctx = context.WithoutCancel(ctx)
	}
	return &s3IO{ctx: ctx, client: client, vendor: v, log: log, uploads: anyUploads}
}

func (s *s3IO) bind(ctx context.Context) iceio.IO {
	return &s3IO{ctx: ctx, client: s.client, vendor: s.vendor, log: s.log, uploads: s.uploads}
}

// at splits a location and returns the client for it.
func (s *s3IO) at(op, name string) (client *s3.Client, bucket, key string, err error) {
	if bucket, key, err = s3Split(op, name); err != nil {
		return nil, "", "", err
	}
	client, err = s.clientFor(name)
	return client, bucket, key, err
}

func (s *s3IO) clientFor(location string) (*s3.Client, error) {
	if s.vendor == nil {
		return s.client, nil
	}
	return s.vendor.client(s.ctx, location)
}

// StorageError is an error of S3: what was done, to which location, and why it
// failed. It is fs.ErrNotExist where there is no such object.
type StorageError struct {
	Op       string // open, read, write, remove, list
	Location string
	Err      error
}

func (e *StorageError) Error() string {
	msg := e.Err.Error()
	var api smithy.APIError
	var rsp *smithyhttp.ResponseError
	var keys *noKeys
	switch {
	case errors.As(e.Err, &keys):
		msg = keys.Error()
	case errors.As(e.Err, &api):
		msg = api.ErrorCode()
		if m := api.ErrorMessage(); m != "" && m != msg {
			msg += ": " + m
		}
		if errors.As(e.Err, &rsp) {
			msg = fmt.Sprintf("%d %s", rsp.HTTPStatusCode(), msg)
		}
	case errors.As(e.Err, &rsp) && rsp.HTTPStatusCode() != 0: // a connection that broke has an answer without one
		msg = fmt.Sprintf("%d %s", rsp.HTTPStatusCode(), http.StatusText(rsp.HTTPStatusCode()))
	}
	return e.Op + " " + e.Location + ": " + msg
}

func (e *StorageError) Unwrap() error { return e.Err }

// Is makes a missing object fs.ErrNotExist. A missing bucket is not: that is a
// mistake in the configuration, not a file that went away.
func (e *StorageError) Is(target error) bool {
	return target == fs.ErrNotExist && s3Status(e.Err) == http.StatusNotFound && s3Code(e.Err) != "NoSuchBucket"
}

// Hint says what to look at.
func (e *StorageError) Hint() string {
	var keys *noKeys
	if errors.As(e.Err, &keys) {
		return keys.Hint()
	}
	switch status := s3Status(e.Err); {
	case distrusts(e.Err):
		return "name the file of the authority that signed it in s3.ssl.cabundle or AWS_CA_BUNDLE"
	case s3Code(e.Err) == "NoSuchBucket":
		return "make the bucket first, or check s3.endpoint and s3.region"
	case outdated(e.Err):
		return "the credentials have expired: get new ones, and run it again"
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return "check s3.access-key-id or the AWS_* environment, and what the credentials may do"
	case status == http.StatusMovedPermanently || status == http.StatusBadRequest:
		return "check s3.region and s3.endpoint"
	}
	return ""
}

func s3Status(err error) int {
	var rsp *smithyhttp.ResponseError
	if errors.As(err, &rsp) {
		return rsp.HTTPStatusCode()
	}
	return 0
}

func s3Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// s3Split returns the bucket and the key of a location.
func s3Split(op, name string) (bucket, key string, err error) {
	_, rest, ok := strings.Cut(name, "://")
	bucket, key, _ = strings.Cut(rest, "/")
	if !ok || bucket == "" || key == "" {
		return "", "", &fs.PathError{Op: op, Path: name, Err: fmt.Errorf("not of the form s3://bucket/key: %w", fs.ErrInvalid)}
	}
	return bucket, key, nil
}

// Open asks for the file's size; its contents are read when they are wanted.
func (s *s3IO) Open(name string) (iceio.File, error) {
	info, err := s.head("open", name)
	if err != nil {
		return nil, err
	}
	return withAvroNames(name, &s3File{io: s, name: name, info: info}), nil
}

// Stat returns the size and the time of the object; fs.ErrNotExist without one.
func (s *s3IO) Stat(name string) (fs.FileInfo, error) {
	info, err := s.head("stat", name)
	if err != nil {
		return nil, err
	}
	return info, nil
}

func (s *s3IO) head(op, name string) (s3Info, error) {
	client, bucket, key, err := s.at(op, name)
	if err != nil {
		return s3Info{}, err
	}
	h, err := client.HeadObject(s.ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return s3Info{}, &StorageError{op, name, err}
	}
	return s3Info{path.Base(name), aws.ToInt64(h.ContentLength), aws.ToTime(h.LastModified)}, nil
}

// ReadFile reads the whole file with one request, and what is missing with another one where
// the answer breaks off.
func (s *s3IO) ReadFile(name string) ([]byte, error) {
	client, bucket, key, err := s.at("read", name)
	if err != nil {
		return nil, err
	}
	out, err := client.GetObject(s.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, &StorageError{"read", name, err}
	}
	defer out.Body.Close()
	size := aws.ToInt64(out.ContentLength)
	buf := bytes.NewBuffer(make([]byte, 0, max(size, 0)+bytes.MinRead))
	_, err = buf.ReadFrom(out.Body)
	have := int64(buf.Len())
	switch {
	case err == nil && (out.ContentLength == nil || have == size):
		return buf.Bytes(), nil
	case out.ContentLength == nil || have > size:
		return nil, &StorageError{"read", name, &classified{ErrTransient, orError(err, io.ErrUnexpectedEOF)}}
	}
	whole := buf.Bytes()[:size]
	return whole, s.read(name, whole[have:], have)
}

func orError(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// s3Resumes is how often in a row a body that breaks off is taken up again without a byte
// gained; the waits before that add up to 3 s. Requests that fail are the SDK's to repeat.
const s3Resumes = 5

// read fills p from offset off with one request. What is missing when its answer breaks off,
// which is beyond the SDK's retries, is asked for again.
func (s *s3IO) read(name string, p []byte, off int64) error {
	client, bucket, key, err := s.at("read", name)
	if err != nil {
		return err
	}
	for broken := 0; ; {
		n, asked, err := s.readRange(client, bucket, key, p, off)
		if err == nil {
			return nil
		}
		if !asked || s.ctx.Err() != nil {
			return &StorageError{"read", name, err}
		}
		p, off = p[n:], off+int64(n)
		if broken++; n > 0 {
			broken = 0
		}
		if broken > s3Resumes {
			return &StorageError{"read", name, &classified{ErrTransient, err}}
		}
		select {
		case <-time.After(backoff(broken, 100*time.Millisecond, time.Second)):
		case <-s.ctx.Done():
			return &StorageError{"read", name, s.ctx.Err()}
		}
	}
}

// readRange tells how much it read, and whether the request was answered well, so that an
// error is of the body.
func (s *s3IO) readRange(client *s3.Client, bucket, key string, p []byte, off int64) (n int, asked bool, err error) {
	out, err := client.GetObject(s.ctx, &s3.GetObjectInput{
		Bucket: &bucket, Key: &key, Range: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1)),
	})
	if err != nil {
		return 0, false, err
	}
	defer out.Body.Close()
	n, err = io.ReadFull(out.Body, p)
	if err == nil {
		// The end of the body must be seen for the connection to be used again.
		_, _ = io.CopyN(io.Discard, out.Body, 1)
	}
	return n, true, err
}

// Remove removes the object; S3 does not tell whether there was one.
func (s *s3IO) Remove(name string) error {
	client, bucket, key, err := s.at("remove", name)
	if err != nil || s.log.keeps(name) {
		return err
	}
	if _, err := client.DeleteObject(s.ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}); err != nil {
		return &StorageError{"remove", name, err}
	}
	return nil
}

// deleteBatch is how many keys S3 removes with one request.
const deleteBatch = 1000

// DeleteFiles removes many objects with few requests and returns those that are
// gone. What a request for many cannot remove is tried one by one, as some stores
// have no such request.
func (s *s3IO) DeleteFiles(ctx context.Context, names []string) (deleted []string, err error) {
	bound := &s3IO{ctx: ctx, client: s.client, vendor: s.vendor}
	type home struct {
		client *s3.Client
		bucket string
	}
	byHome := map[home][]string{}
	var errs []error
	for _, name := range names {
		client, bucket, _, err := bound.at("remove", name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		byHome[home{client, bucket}] = append(byHome[home{client, bucket}], name)
	}
	for home, names := range byHome {
		for len(names) > 0 {
			batch := names[:min(deleteBatch, len(names))]
			names = names[len(batch):]
			gone, left := bound.deleteMany(home.client, home.bucket, batch)
			deleted = append(deleted, gone...)
			gone, err := bound.deleteEach(left)
			deleted = append(deleted, gone...)
			errs = append(errs, err)
		}
	}
	return deleted, errors.Join(errs...)
}

func (s *s3IO) deleteMany(client *s3.Client, bucket string, names []string) (gone, left []string) {
	ids := make([]types.ObjectIdentifier, len(names))
	for i, name := range names {
		_, key, _ := s3Split("remove", name)
		ids[i] = types.ObjectIdentifier{Key: &key}
	}
	out, err := client.DeleteObjects(s.ctx, &s3.DeleteObjectsInput{
		Bucket: &bucket, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)},
	})
	if err != nil {
		return nil, names
	}
	failed := map[string]bool{}
	for _, e := range out.Errors {
		failed[aws.ToString(e.Key)] = true
	}
	for i, name := range names {
		if failed[*ids[i].Key] {
			left = append(left, name)
		} else {
			gone = append(gone, name)
		}
	}
	return gone, left
}

func (s *s3IO) deleteEach(names []string) (gone []string, err error) {
	var mu sync.Mutex
	var errs []error
	var g errgroup.Group
	g.SetLimit(8)
	for _, name := range names {
		g.Go(func() error {
			err := s.Remove(name)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			} else {
				gone = append(gone, name)
			}
			return nil
		})
	}
	_ = g.Wait()
	return gone, errors.Join(errs...)
}

// WalkDir calls fn for every object below root, in the order of their keys, with
// its location in root's form. There are no directories in S3: fn sees files only.
func (s *s3IO) WalkDir(root string, fn fs.WalkDirFunc) error {
	scheme, rest, ok := strings.Cut(root, "://")
	bucket, prefix, _ := strings.Cut(rest, "/")
	if !ok || bucket == "" {
		return &fs.PathError{Op: "list", Path: root, Err: fs.ErrInvalid}
	}
	if prefix = strings.TrimRight(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	client, err := s.clientFor(root)
	if err != nil {
		return err
	}
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	skip := "" // a directory that fn is done with
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.ctx)
		if err != nil {
			return &StorageError{"list", root, err}
		}
		for _, o := range page.Contents {
			key := aws.ToString(o.Key)
			if strings.HasSuffix(key, "/") || skip != "" && strings.HasPrefix(key, skip) {
				continue // a directory's placeholder, or skipped
			}
			info := s3Info{path.Base(key), aws.ToInt64(o.Size), aws.ToTime(o.LastModified)}
			switch err := fn(scheme+"://"+bucket+"/"+key, fs.FileInfoToDirEntry(info), nil); {
			case errors.Is(err, fs.SkipAll):
				return nil
			case errors.Is(err, fs.SkipDir):
				skip = key[:strings.LastIndexByte(key, '/')+1]
			case err != nil:
				return err
			}
		}
	}
	return nil
}

type s3Info struct {
	name    string
	size    int64
	modTime time.Time
}

func (i s3Info) Name() string       { return i.name }
func (i s3Info) Size() int64        { return i.size }
func (s3Info) Mode() fs.FileMode    { return 0o444 }
func (i s3Info) ModTime() time.Time { return i.modTime }
func (s3Info) IsDir() bool          { return false }
func (s3Info) Sys() any             { return nil }
