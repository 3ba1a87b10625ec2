package catalog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"sync"
	"time"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/semaphore"
)

const (
	// s3Part is the size of the parts of an upload. S3 wants 5 MiB at least and
	// 10,000 parts at most, some stores want all of one size; this goes to 78 GiB.
	s3Part = 8 << 20
	// s3LeastPart is taken where memory is scarce; it goes to 48 GiB.
	s3LeastPart = 5 << 20
	// s3SmallBuffer is what a writer begins with: a load of many partitions writes
	// many small files.
	s3SmallBuffer = 256 << 10
	// s3Inflight bounds the parts that are under way, of all files together.
	s3Inflight = 8
	// s3Cleanup is how long taking an upload back may take.
	s3Cleanup = 30 * time.Second
)

// uploads bounds what the writers of an IO hold together.
type uploads struct {
	part    int
	slots   chan struct{}       // a token for each part under way
	room    *semaphore.Weighted // bytes of buffers of full size; nil: as many as there are writers and slots
	buffers sync.Pool           // of full size
}

func newUploads(part int, room *semaphore.Weighted) *uploads {
	u := &uploads{part: part, slots: make(chan struct{}, s3Inflight), room: room}
	u.buffers.New = func() any { b := make([]byte, 0, part); return &b }
	return u
}

// anyUploads are those of IOs that nobody bounds: a buffer for each writer, and 64 MiB under way.
var anyUploads = newUploads(s3Part, nil)

// BoundUploads returns fsys with the memory of its uploads bounded: together, the parts that its
// writers fill and those that are under way take bytes at most, or two of the smallest parts that
// S3 allows, 10 MiB, and a quarter MiB for each file that is open beside. A writer waits while
// there is no room, so each of several writers needs a goroutine of its own. An IO that keeps
// nothing in memory is returned as it is.
func BoundUploads(fsys iceio.WriteFileIO, bytes int64) iceio.WriteFileIO {
	s, ok := fsys.(*s3IO)
	if !ok {
		return fsys
	}
	bound := *s
	part := max(s3LeastPart, min(s3Part, bytes/4))
	bound.uploads = newUploads(int(part), semaphore.NewWeighted(max(bytes, 2*part)))
	return &bound
}

// take waits for a buffer of full size.
func (u *uploads) take(ctx context.Context) (*[]byte, error) {
	if u.room != nil {
		if err := u.room.Acquire(ctx, int64(u.part)); err != nil {
			return nil, err
		}
	}
	return u.buffers.Get().(*[]byte), nil
}

// give takes a buffer back; nil is none.
func (u *uploads) give(b *[]byte) {
	if b == nil {
		return
	}
	u.buffers.Put(b)
	if u.room != nil {
		u.room.Release(int64(u.part))
	}
}

// Create returns a writer that sends the file in parts as it grows; a small file
// goes with one request. There is no object before Close returns, and none after
// Abort. The writer is an Aborter and is for one goroutine.
func (s *s3IO) Create(name string) (iceio.FileWriter, error) {
	client, bucket, key, err := s.at("write", name)
	if err != nil {
		return nil, err
	}
	s.log.add(s, name)
	return &s3Writer{io: s, uploads: s.uploads, client: client, name: name, bucket: bucket, key: key}, nil
}

// WriteFile stores content with one request, whatever its size.
func (s *s3IO) WriteFile(name string, content []byte) error {
	client, bucket, key, err := s.at("write", name)
	if err != nil {
		return err
	}
	s.log.add(s, name)
	return s.put(client, name, bucket, key, content)
}

// put stores a whole object. When the answer is lost the object may be there; it is
// removed, since a caller that sees an error does not refer to it.
func (s *s3IO) put(client *s3.Client, name, bucket, key string, content []byte) error {
	_, err := client.PutObject(s.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(content)})
	if err == nil {
		return nil
	}
	if status := s3Status(err); status == 0 || status >= 500 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s3Cleanup)
		defer cancel()
		_, _ = client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
	}
	return &StorageError{"write", name, err}
}

// s3Writer writes one object. buf collects a part; full parts are sent by
// goroutines, which end before Close or Abort does.
type s3Writer struct {
	io                *s3IO
	uploads           *uploads
	client            *s3.Client
	name, bucket, key string

	buf    []byte
	pooled *[]byte // the pool's own pointer to buf, once buf is of full size
	size   int64   // of all that was written
	closed bool
	ended  error // what Close returned

	uploadID *string
	parts    int32
	sending  sync.WaitGroup

	mu   sync.Mutex
	done []types.CompletedPart
	err  error // of the first part that failed
}

func (w *s3Writer) Write(p []byte) (int, error) {
	if w.closed {
		return 0, &fs.PathError{Op: "write", Path: w.name, Err: fs.ErrClosed}
	}
	n := 0
	for len(p) > 0 {
		// A full part is sent only when more comes: the last one goes with Close.
		if len(w.buf) == w.uploads.part {
			if err := w.send(); err != nil {
				return n, err
			}
		}
		k := min(len(p), w.uploads.part-len(w.buf))
		if err := w.reserve(k); err != nil {
			return n, err
		}
		w.buf = append(w.buf, p[:k]...)
		p, n, w.size = p[k:], n+k, w.size+int64(k)
	}
	return n, nil
}

// ReadFrom copies r to its end.
func (w *s3Writer) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, r)
}

// reserve makes room for n more bytes, in a small buffer first and then in one of
// full size.
func (w *s3Writer) reserve(n int) error {
	need := len(w.buf) + n
	switch {
	case need <= cap(w.buf):
	case need <= s3SmallBuffer:
		w.buf = slices.Grow(w.buf, s3SmallBuffer-len(w.buf))
	default:
		full, err := w.uploads.take(w.io.ctx)
		if err != nil {
			return &StorageError{"write", w.name, err}
		}
		w.pooled, w.buf = full, append((*full)[:0], w.buf...)
	}
	return nil
}

func (w *s3Writer) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// send starts the upload of buf as the next part and takes a new buffer. It waits
// while too many parts are under way.
func (w *s3Writer) send() error {
	if err := w.failed(); err != nil {
		return err
	}
	if w.uploadID == nil {
		out, err := w.client.CreateMultipartUpload(w.io.ctx, &s3.CreateMultipartUploadInput{Bucket: &w.bucket, Key: &w.key})
		if err != nil {
			return &StorageError{"write", w.name, err}
		}
		w.uploadID = out.UploadId
	}
	select {
	case w.uploads.slots <- struct{}{}:
	case <-w.io.ctx.Done():
		return &StorageError{"write", w.name, w.io.ctx.Err()}
	}
	w.parts++
	buf, pooled, number := w.buf, w.pooled, w.parts
	w.buf, w.pooled = nil, nil
	w.sending.Go(func() {
		defer func() { <-w.uploads.slots }()
		out, err := w.client.UploadPart(w.io.ctx, &s3.UploadPartInput{
			Bucket: &w.bucket, Key: &w.key, UploadId: w.uploadID, PartNumber: aws.Int32(number), Body: bytes.NewReader(buf),
		})
		w.uploads.give(pooled)
		w.mu.Lock()
		defer w.mu.Unlock()
		if err != nil {
			if w.err == nil {
				w.err = &StorageError{"write", w.name, err}
			}
			return
		}
		w.done = append(w.done, types.CompletedPart{ETag: out.ETag, PartNumber: aws.Int32(number)})
	})
	return nil
}

// Close makes the object. When it fails there is none.
func (w *s3Writer) Close() error {
	if w.closed {
		return w.ended
	}
	w.closed = true
	w.ended = w.finish()
	return w.ended
}

func (w *s3Writer) finish() error {
	defer w.release()
	if w.uploadID == nil {
		return w.io.put(w.client, w.name, w.bucket, w.key, w.buf)
	}
	err := w.send()
	w.sending.Wait()
	if err == nil {
		err = w.failed()
	}
	if err != nil {
		return errors.Join(err, w.takeBack(false))
	}
	slices.SortFunc(w.done, func(a, b types.CompletedPart) int { return int(*a.PartNumber - *b.PartNumber) })
	_, err = w.client.CompleteMultipartUpload(w.io.ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &w.bucket, Key: &w.key, UploadId: w.uploadID, MultipartUpload: &types.CompletedMultipartUpload{Parts: w.done},
	})
	if err != nil && !w.landed(err) {
		return errors.Join(&StorageError{"write", w.name, err}, w.takeBack(true))
	}
	return nil
}

func (w *s3Writer) release() {
	w.uploads.give(w.pooled)
	w.buf, w.pooled = nil, nil
}

// landed tells whether the object is there after a completion of which the store says that it
// knows no such upload: then it was completed before, and only the answer to that was lost. Data
// files have names of their own, so nobody else's object is taken for it.
func (w *s3Writer) landed(err error) bool {
	if s3Status(err) != http.StatusNotFound {
		return false
	}
	h, err := w.client.HeadObject(w.io.ctx, &s3.HeadObjectInput{Bucket: &w.bucket, Key: &w.key})
	return err == nil && aws.ToInt64(h.ContentLength) == w.size
}

// Abort takes back what was sent. It works when the context has ended, too.
func (w *s3Writer) Abort() error {
	if w.closed {
		return nil
	}
	w.closed = true
	w.ended = &fs.PathError{Op: "write", Path: w.name, Err: fs.ErrClosed}
	w.release()
	w.sending.Wait()
	if w.uploadID == nil {
		return nil
	}
	return w.takeBack(false)
}

// takeBack ends the upload without an object. After a failed completion the object
// may be there all the same, if only the answer was lost.
func (w *s3Writer) takeBack(object bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.io.ctx), s3Cleanup)
	defer cancel()
	_, err := w.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &w.bucket, Key: &w.key, UploadId: w.uploadID})
	if object {
		_, delErr := w.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &w.bucket, Key: &w.key})
		if s3Code(err) == "NoSuchUpload" {
			err = nil
		}
		err = errors.Join(err, delErr)
	}
	if err != nil {
		return &StorageError{"remove", w.name, err}
	}
	return nil
}
