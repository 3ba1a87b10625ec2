package job

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/pace"
	"github.com/icewright/icewright/internal/testcat"
)

// keyedStore is an S3 that knows who may do what: the user's own key reads the bucket
// "landing", and keys that the catalog makes open "lake" until they end.
type keyedStore struct {
	*httptest.Server
	life time.Duration

	mu     sync.Mutex
	ends   map[string]time.Time
	denied []string
	used   map[string]map[string]bool // keys by bucket
}

func newKeyedStore(t testing.TB, life time.Duration) *keyedStore {
	s := &keyedStore{life: life, ends: map[string]time.Time{}, used: map[string]map[string]bool{"landing": {}, "lake": {}}}
	inner := gofakes3.New(s3mem.New()).Server()
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		key, _, _ := strings.Cut(credential, "/")
		bucket, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		s.mu.Lock()
		end, vended := s.ends[key]
		allowed := key == "root" || bucket == "landing" && key == "mine" && r.Method != http.MethodPut ||
			bucket == "lake" && vended && time.Now().Before(end) && r.Header.Get("X-Amz-Security-Token") == "token-of-"+key
		s.used[bucket][key] = true
		if !allowed {
			s.denied = append(s.denied, key+" "+r.Method+" "+r.URL.Path)
		}
		s.mu.Unlock()
		if !allowed {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyedStore) props(key string) iceberg.Properties {
	return iceberg.Properties{"s3.endpoint": s.URL, "s3.region": "us-east-1", "s3.access-key-id": key, "s3.secret-access-key": "hush"}
}

// vend makes a key, as a catalog does for each load of a table.
func (s *keyedStore) vend() (config iceberg.Properties, keys map[string]iceberg.Properties) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fmt.Sprintf("vended-%d", len(s.ends)+1)
	s.ends[name] = time.Now().Add(s.life)
	return iceberg.Properties{"s3.endpoint": s.URL, "s3.region": "us-east-1"}, map[string]iceberg.Properties{"s3://lake/": {
		"s3.access-key-id": name, "s3.secret-access-key": "hush", "s3.session-token": "token-of-" + name,
		"s3.session-token-expires-at-ms": fmt.Sprint(s.ends[name].UnixMilli()),
	}}
}

// A load that lasts longer than two keys live lands, and with the key that it began
// with alone it does not. What it reads from S3 it reads with the user's key.
func TestLoadOutlastsVendedKeys(t *testing.T) { pace.Any(t, loadOutlastsVendedKeys) }

func loadOutlastsVendedKeys(t testing.TB, pace int) {
	for _, k := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_S3_ENDPOINT", "AWS_PROFILE"} {
		t.Setenv(k, "")
	}
	const rows = 15*20_000 + 1
	for _, renewed := range []bool{true, false} {
		store := newKeyedStore(t, time.Duration(pace)*time.Second)
		client, err := catalog.S3Client(t.Context(), store.props("root"))
		if err != nil {
			t.Fatal(err)
		}
		for _, bucket := range []string{"landing", "lake"} {
			if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket}); err != nil {
				t.Fatal(err)
			}
		}
		bucket, key := "landing", "in.csv"
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("p,n\nfile,1\n")}); err != nil {
			t.Fatal(err)
		}
		rest := testcat.NewREST(t, "s3://lake/wh")
		var first sync.Once
		var config iceberg.Properties
		var keys map[string]iceberg.Properties
		rest.Storage = func() (iceberg.Properties, map[string]iceberg.Properties) {
			if renewed {
				return store.vend()
			}
			first.Do(func() {
				config, keys = store.vend()
				delete(keys["s3://lake/"], "s3.session-token-expires-at-ms") // nobody tells when it ends
			})
			return config, keys
		}
		load := func(stdin io.Reader) (Receipt, error) {
			return Load(t.Context(), Job{
				Sources: []string{"s3://landing/in.csv", "-"}, Stdin: stdin, Table: "a.t", PartitionBy: "p", Format: "csv", Memory: 64 << 20,
				TableProps: iceberg.Properties{"write.target-file-size-bytes": "1000000", "write.parquet.row-group-size-bytes": "1000000"},
				Catalog:    catalog.Config{URI: rest.URL, Props: store.props("mine"), Dir: t.TempDir()},
			})
		}
		if rec, err := load(strings.NewReader("p,n\n")); err != nil || !rec.TableCreated {
			t.Fatalf("%v: %+v", err, rec)
		}
		slow, feed := io.Pipe()
		go func() {
			defer feed.Close()
			_, _ = io.WriteString(feed, "p,n\n")
			noise := rand.New(rand.NewPCG(1, 2))
			for range 15 {
				for range 20_000 {
					fmt.Fprintf(feed, "pipe,%d\n", noise.Int64())
				}
				time.Sleep(time.Duration(pace) * 200 * time.Millisecond)
			}
		}()
		made := len(store.ends)
		rec, err := load(slow)
		if !renewed {
			if err == nil || strings.Contains(err.Error(), "hush") {
				t.Errorf("with one key: %v, %s", err, rec.Status)
			}
			continue
		}
		if err != nil || rec.Status != "published" || rec.RowsRead != rows {
			t.Errorf("%v: %+v", err, rec)
		}
		if rec.Seconds < 2*store.life.Seconds() || len(store.ends)-made < 3 || len(store.denied) > 0 {
			t.Errorf("in %.1f s with %d keys; refused %q", rec.Seconds, len(store.ends)-made, store.denied)
		}
		if len(store.used["landing"]) != 2 || !store.used["landing"]["mine"] {
			t.Errorf("sources were read as %v", store.used["landing"])
		}
		target := Target{Catalog: catalog.Config{URI: rest.URL, Props: store.props("mine")}, Table: "a.t"}
		if n, err := countRows(target); err != nil || n != rows {
			t.Errorf("%d rows, %v", n, err)
		}
	}
}

// One commit has one idempotency key, however often it is sent; another commit has another.
func TestIdempotencyKeys(t *testing.T) {
	rest := testcat.NewREST(t, t.TempDir())
	rest.Lose = func(n int) (lost, before bool) { return n == 1, true }
	load := func(csv string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		rec, err := Load(ctx, Job{
			Sources: []string{"-"}, Stdin: strings.NewReader(csv), Table: "a.t", ReplaceTable: true, Format: "csv",
			Catalog: catalog.Config{URI: rest.URL, Dir: t.TempDir()},
		})
		if err != nil || rec.Status != "published" {
			t.Fatalf("%v: %+v", err, rec)
		}
	}
	load("n\n1\n")
	load("n\n2\n")
	got := rest.Commits()
	if len(got) != 3 || got[0] == "" || got[0] != got[1] || got[2] == got[1] || got[2] == "" {
		t.Errorf("keys %q, want one twice and another", got)
	}
}
