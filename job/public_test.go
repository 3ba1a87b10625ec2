package job

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/icewright/icewright/catalog"
)

// Rows of a public bucket are read without a signature, while the table lies in another store, whose
// keys go nowhere else.
func TestLoadFromAPublicBucket(t *testing.T) {
	for _, k := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(k, "")
	}
	store := newKeyedStore(t, 0)
	client, err := catalog.S3Client(t.Context(), store.props("root"))
	if err != nil {
		t.Fatal(err)
	}
	bucket := "lake"
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	inner := gofakes3.New(s3mem.New()).Server()
	var asked, signed atomic.Int32
	public := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != "" || r.Method == http.MethodPut && r.Header.Get("X-Test") == "" {
			signed.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(public.Close)
	for _, object := range [][2]string{{"/landing", ""}, {"/landing/in.csv", "p,n\na,1\nb,2\n"}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, public.URL+object[0], strings.NewReader(object[1]))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Test", "1")
		rsp, err := http.DefaultClient.Do(r)
		if err != nil || rsp.StatusCode != http.StatusOK {
			t.Fatal(err, rsp)
		}
		_ = rsp.Body.Close()
	}
	j := Job{
		Sources: []string{"s3://landing/in.csv"}, Table: "a.t", PartitionBy: "p",
		SourceProps: iceberg.Properties{"s3.endpoint": public.URL, "s3.anonymous": "true"},
		Catalog:     catalog.Config{URI: "sqlite:///cat.db", Warehouse: "s3://lake/wh", Props: store.props("root"), Dir: t.TempDir()},
	}
	rec, err := Load(t.Context(), j)
	if err != nil || rec.Status != "published" || rec.RowsWritten != 2 || asked.Load() == 0 || signed.Load() != 0 {
		t.Errorf("%v: %+v; %d requests, %d signed", err, rec, asked.Load(), signed.Load())
	}
	// With the catalog's properties there is no such bucket.
	j.SourceProps = nil
	if _, err := Load(t.Context(), j); err == nil {
		t.Error("the catalog's store has no bucket landing")
	}
	j.SourceProps = iceberg.Properties{"s3.anonymus": "true"}
	if _, err := Load(t.Context(), j); !errors.Is(err, ErrUsage) || !strings.Contains(Hint(err), "s3.anonymous") {
		t.Errorf("a slip: %v; %s", err, Hint(err))
	}
}
