package catalog_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	iceio "github.com/apache/iceberg-go/io"

	"github.com/icewright/icewright/catalog"
)

// However many files are written at once, and however slow the store is, what they hold together
// stays within the bound; and within it they all get through.
func TestS3UploadsAreBounded(t *testing.T) {
	const bound, writers, size = 24 * mib, 12, 30 * mib
	s := newS3(t)
	held := make(chan struct{})
	s.reset(func(r *http.Request) int {
		if r.URL.Query().Has("partNumber") {
			<-held
		}
		return 0
	})
	fsys := catalog.BoundUploads(s.io(t, t.Context()), bound)
	content := random(size)
	var taken atomic.Int64 // bytes that Write has taken over
	var g sync.WaitGroup
	for i := range writers {
		g.Go(func() {
			w, err := fsys.Create("s3://bucket/bounded/" + strconv.Itoa(i))
			if err != nil {
				t.Error(err)
				return
			}
			for rest := content; len(rest) > 0; {
				n, err := w.Write(rest[:min(len(rest), 128<<10)])
				if err != nil {
					t.Error(err)
					return
				}
				taken.Add(int64(n))
				rest = rest[n:]
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	// Nothing moves any more once the memory is full: every part is held. On a busy machine nothing may move before that, too.
	most, least := int64(bound+writers*256<<10), int64(bound-6*mib)
	patience := time.Now().Add(time.Minute)
	for last := int64(-1); taken.Load() != last || last < least && time.Now().Before(patience); time.Sleep(200 * time.Millisecond) {
		last = taken.Load()
	}
	if taken.Load() > most || taken.Load() < least {
		t.Errorf("%d MiB are held, of %d", taken.Load()/mib, bound/mib)
	}
	close(held)
	g.Wait()
	for i := range writers {
		got, err := fsys.(iceio.ReadFileIO).ReadFile("s3://bucket/bounded/" + strconv.Itoa(i))
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("file %d: %d bytes, %v", i, len(got), err)
		}
	}
	if n := s.dangling(t); n != 0 {
		t.Errorf("%d uploads dangle", n)
	}
}

// A writer that waits for memory when its context ends gives up, and what it had it gives back.
func TestS3BoundedUploadsGiveBack(t *testing.T) {
	s := newS3(t)
	fsys := catalog.BoundUploads(s.io(t, t.Context()), 1)
	for range 8 { // two buffers there are, and each round takes both
		w, err := fsys.Create("s3://bucket/back")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(random(11 * mib)); err != nil {
			t.Fatal(err)
		}
		if err := w.(catalog.Aborter).Abort(); err != nil {
			t.Error(err)
		}
	}
	s.reset(func(r *http.Request) int { return on(r.URL.Query().Has("partNumber"), http.StatusForbidden) })
	for range 3 {
		w, err := fsys.Create("s3://bucket/back")
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(random(20 * mib))
		if closeErr := w.Close(); err == nil && closeErr == nil {
			t.Error("a refused part goes unnoticed")
		}
	}
	s.reset(nil)
	w, err := fsys.Create("s3://bucket/back")
	if err == nil {
		if _, err = w.Write(random(20 * mib)); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		t.Error(err)
	}
	if n := s.dangling(t); n != 0 {
		t.Errorf("%d uploads dangle", n)
	}
}

// An upload whose completion lands and whose answer is lost is asked about again; the store then
// knows no such upload. The file is there, and stays.
func TestS3CompletionLosesItsAnswer(t *testing.T) {
	s := newS3(t)
	s.props["s3.retry.min-wait-ms"] = "1"
	content := random(11 * mib)
	inner := s.Config.Handler
	for _, lands := range []bool{true, false} {
		var asked atomic.Int32
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || !r.URL.Query().Has("uploadId") {
				inner.ServeHTTP(w, r)
				return
			}
			if asked.Add(1) == 1 {
				if lands {
					inner.ServeHTTP(httptest.NewRecorder(), r)
				}
				_, _ = io.Copy(io.Discard, r.Body)
				panic(http.ErrAbortHandler)
			}
			if lands {
				inner.ServeHTTP(w, r)
				return
			}
			w.WriteHeader(http.StatusNotFound) // taken back by somebody else
			_, _ = io.WriteString(w, "<Error><Code>NoSuchUpload</Code></Error>")
		})
		fsys := s.io(t, t.Context())
		name := "s3://bucket/answer/" + strconv.FormatBool(lands)
		w, err := fsys.Create(name)
		if err == nil {
			if _, err = w.Write(content); err == nil {
				err = w.Close()
			}
		}
		if (err == nil) != lands || asked.Load() < 2 {
			t.Errorf("lands %v: asked %d times, %v", lands, asked.Load(), err)
		}
		if got, _ := fsys.(iceio.ReadFileIO).ReadFile(name); bytes.Equal(got, content) != lands {
			t.Errorf("lands %v: %d bytes are there", lands, len(got))
		}
	}
}
