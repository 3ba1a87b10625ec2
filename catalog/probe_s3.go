package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// s3 tries what every store must do, and the points in which S3-compatible stores differ from S3:
// how a bucket is addressed, parts, conditional writes, checksums.
func (p *prober) s3(s *s3IO, write bool) {
	bucket, key, err := s3Split("probe", p.name)
	if err != nil {
		p.probes = append(p.probes, Probe{What: "open", Err: readError(err), Do: "write the warehouse as s3://bucket/path"})
		return
	}
	if !p.try("keys", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE", func() (string, error) {
		keys, err := S3Keys(p.ctx, s.client)
		return keys.String(), err
	}) {
		return
	}
	prefix := key[:strings.LastIndexByte(key, '/')+1]
	style, other := "path style", "virtual hosts"
	if !s.client.Options().UsePathStyle {
		style, other = other, style
	}
	list := func(client *s3.Client) error {
		_, err := client.ListObjectsV2(p.ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix, MaxKeys: aws.Int32(1)})
		return err
	}
	err = p.clock(func(opt func(*s3.Options)) error {
		_, err := s.client.ListObjectsV2(p.ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix, MaxKeys: aws.Int32(1)}, opt)
		return err
	})
	if err != nil {
		flipped := s3.New(s.client.Options(), func(o *s3.Options) { o.UsePathStyle, o.RetryMaxAttempts = !o.UsePathStyle, 1 })
		do := "check s3.endpoint, s3.region, the bucket's name and the credentials"
		if list(flipped) == nil {
			do = fmt.Sprintf("this store wants %s: set s3.path-style-access=%v", other, flipped.Options().UsePathStyle)
		}
		p.probes = append(p.probes, Probe{What: "list", Err: readError(&StorageError{"list", p.location, err}), Do: do})
		return
	}
	p.probes = append(p.probes, Probe{What: "list", Found: "addressed by " + style})
	if !write {
		return
	}
	before := len(p.probes)
	p.common(true)
	p.probes = slices.Delete(p.probes, before, before+1)    // listing was tried before
	if last := p.probes[len(p.probes)-1]; last.Err != nil { // neither write nor remove: try no more of either
		return
	}
	p.parts(s.client, bucket, key)
	p.unfinished(s.client, bucket, prefix)
	p.conditional(s.client, bucket, key)
	p.checksums(s.client, bucket, key)
	if _, err := s.client.DeleteObject(p.ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}); err != nil {
		p.probes = append(p.probes, Probe{What: "remove", Err: readError(&StorageError{"remove", p.name, err}), Do: "remove " + p.name + " by hand"})
	}
}

// clock makes a request and compares the time of its answer with this machine's.
func (p *prober) clock(request func(func(*s3.Options)) error) error {
	var at, sent, got time.Time
	err := request(func(o *s3.Options) {
		o.RetryMaxAttempts = 2
		client := o.HTTPClient
		o.HTTPClient = roundTrip(func(r *http.Request) (*http.Response, error) {
			sent = time.Now()
			rsp, err := client.Do(r)
			if got = time.Now(); err == nil {
				at, _ = http.ParseTime(rsp.Header.Get("Date"))
			}
			return rsp, err
		})
	})
	if !at.IsZero() {
		skew := Skew(at, sent, got)
		p.skew = &skew
	}
	return err
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) Do(r *http.Request) (*http.Response, error) { return f(r) }

// parts begins an upload in parts and takes it back, as a run that is interrupted does.
func (p *prober) parts(client *s3.Client, bucket, key string) {
	p.try("upload in parts", "let the credentials use multipart uploads and abort them: files over some MiB are uploaded that way", func() (string, error) {
		up, err := client.CreateMultipartUpload(p.ctx, &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: &key})
		if err != nil {
			return "", &StorageError{"write", p.name, err}
		}
		_, err = client.UploadPart(p.ctx, &s3.UploadPartInput{
			Bucket: &bucket, Key: &key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader(probeText),
		})
		_, abort := client.AbortMultipartUpload(p.ctx, &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: &key, UploadId: up.UploadId})
		if err = errors.Join(err, abort); err != nil {
			return "", &StorageError{"write", p.name, err}
		}
		return "", nil
	})
}

// unfinished looks for uploads in parts that were begun and not ended: those of a process that was
// killed stay, unseen and paid for, until somebody ends them. A run that is writing has some, too. The
// whole bucket is asked, as MinIO takes a prefix for a key.
func (p *prober) unfinished(client *s3.Client, bucket, prefix string) {
	out, err := client.ListMultipartUploads(p.ctx, &s3.ListMultipartUploadsInput{Bucket: &bucket})
	if err != nil {
		return // not every store lists them, and no load does
	}
	found, oldest := 0, time.Now()
	for _, u := range out.Uploads {
		if !strings.HasPrefix(aws.ToString(u.Key), prefix) {
			continue
		}
		found++
		if u.Initiated != nil && u.Initiated.Before(oldest) {
			oldest = *u.Initiated
		}
	}
	if found == 0 {
		return
	}
	p.probes = append(p.probes, Probe{
		What: "unfinished uploads", Optional: true, Do: "where no run is writing, have the bucket's lifecycle end them: AbortIncompleteMultipartUpload after a day or two",
		Err: &classified{ErrRejected, fmt.Errorf("%d uploads in parts below it were begun and never ended, the first at %s", found, oldest.UTC().Format(time.RFC3339))},
	})
}

// conditional writes the same object twice, the second time only if it is not there.
func (p *prober) conditional(client *s3.Client, bucket, key string) {
	probe := Probe{What: "conditional write", Optional: true, Do: "nothing here depends on it; do not keep a Hadoop catalog in this store"}
	if p.hadoop {
		probe.Hurts, probe.Do = true, "two loads at a time can lose one another's commits in this store: "+insteadOfHadoop
	}
	put := func() error {
		_, err := client.PutObject(p.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(probeText), IfNoneMatch: aws.String("*")})
		return err
	}
	if err := put(); err != nil {
		probe.Err = readError(&StorageError{"write", p.name, err})
	} else if err := put(); err == nil {
		probe.Err = &classified{ErrRejected, errors.New("If-None-Match is ignored: a file that is there is overwritten")}
	} else if status := s3Status(err); status != http.StatusPreconditionFailed && status != http.StatusConflict {
		probe.Err = readError(&StorageError{"write", p.name, err})
	} else {
		probe.Found = "If-None-Match is heeded"
	}
	p.probes = append(p.probes, probe)
}

// checksums writes with one of S3's newer checksums, as the SDK does by default and we do not.
func (p *prober) checksums(client *s3.Client, bucket, key string) {
	probe := Probe{What: "checksums", Optional: true, Do: "icewright sends none; other programs need AWS_REQUEST_CHECKSUM_CALCULATION=when_required here"}
	_, err := client.PutObject(p.ctx, &s3.PutObjectInput{
		Bucket: &bucket, Key: &key, Body: bytes.NewReader(probeText), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	})
	if err != nil {
		probe.Err = readError(&StorageError{"write", p.name, err})
	} else {
		probe.Found = "CRC32 is taken"
	}
	p.probes = append(p.probes, probe)
}
