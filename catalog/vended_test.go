package catalog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/fault"
	"github.com/icewright/icewright/internal/pace"
)

// keyMaker is a catalog that makes a new key for each load of its table, and a store
// that takes a key for its own prefix only, and until its end.
type keyMaker struct {
	*restServer
	store *s3Server
	life  time.Duration
	skew  time.Duration // of the catalog's clock
	// answer is the answer to a load; nil: one key for the whole bucket, its end told.
	answer func() (config map[string]string, creds map[string]map[string]string)

	mu     sync.Mutex
	made   int
	keys   map[string]madeKey
	denied []string
	used   map[string]string // by location: the last key's name
	broken bool
}

type madeKey struct {
	prefix, token string
	end           time.Time
}

// makeKey returns the properties of a new key for the files below prefix.
func (k *keyMaker) makeKey(prefix string) map[string]string {
	k.made++
	name := fmt.Sprintf("key-%d", k.made)
	end := time.Now().Add(k.life)
	k.keys[name] = madeKey{prefix, "token-of-" + name, end}
	return map[string]string{
		"s3.access-key-id": name, "s3.secret-access-key": "hush", "s3.session-token": "token-of-" + name,
		"s3.session-token-expires-at-ms": fmt.Sprint(end.Add(k.skew).UnixMilli()),
	}
}

func newKeyMaker(t testing.TB, life time.Duration) *keyMaker {
	k := &keyMaker{restServer: newRESTServer(t), store: newS3(t), life: life, keys: map[string]madeKey{}, used: map[string]string{}}
	meta := metadata(t)
	k.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.broken {
			answer(w, http.StatusServiceUnavailable, "ServiceUnavailableException")
			return
		}
		config, creds := map[string]string(nil), map[string]map[string]string{}
		if k.answer == nil {
			creds["s3://bucket"] = k.makeKey("/bucket")
		} else {
			config, creds = k.answer()
		}
		out := map[string]any{"metadata-location": "s3://bucket/m.json", "metadata": json.RawMessage(meta)}
		all := map[string]string{"s3.endpoint": k.store.URL, "s3.region": "us-east-1"}
		for key, v := range config {
			all[key] = v
		}
		var list []map[string]any
		for prefix, props := range creds {
			list = append(list, map[string]any{"prefix": prefix, "config": props})
		}
		out["config"], out["storage-credentials"] = all, list
		if k.skew != 0 {
			w.Header().Set("Date", time.Now().Add(k.skew).UTC().Format(http.TimeFormat))
		}
		_ = json.NewEncoder(w).Encode(out)
	})
	k.store.reset(func(r *http.Request) int {
		_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		name, _, _ := strings.Cut(credential, "/")
		k.mu.Lock()
		defer k.mu.Unlock()
		k.used[r.URL.Path] = name
		if name == "me" {
			return 0 // the client's own
		}
		key, ok := k.keys[name]
		if !ok || time.Now().After(key.end) || !strings.HasPrefix(r.URL.Path, key.prefix) || r.Header.Get("X-Amz-Security-Token") != key.token {
			k.denied = append(k.denied, r.Method+" "+r.URL.Path+" "+name)
			return http.StatusForbidden
		}
		return 0
	})
	return k
}

func (k *keyMaker) fs(t testing.TB, cfg catalog.Config) iceio.WriteFileIO {
	t.Helper()
	cfg.URI = k.URL
	c := open(t, cfg)
	tbl, err := c.LoadTable(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	fsys, err := tbl.FS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return fsys.(iceio.WriteFileIO)
}

// A file that is longer in the writing than three keys live is written, with the
// storage that was opened at the start.
func TestVendedKeysAreRenewed(t *testing.T) { pace.Any(t, vendedKeysAreRenewed) }

func vendedKeysAreRenewed(t testing.TB, pace int) {
	for name, tell := range map[string]func(k *keyMaker) func() (map[string]string, map[string]map[string]string){
		"storage-credentials": func(*keyMaker) func() (map[string]string, map[string]map[string]string) { return nil },
		"config": func(k *keyMaker) func() (map[string]string, map[string]map[string]string) {
			return func() (map[string]string, map[string]map[string]string) { return k.makeKey("/bucket"), nil }
		},
	} {
		k := newKeyMaker(t, time.Duration(pace)*500*time.Millisecond)
		k.answer = tell(k)
		fsys := k.fs(t, catalog.Config{})
		w, err := fsys.Create("s3://bucket/long")
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if _, err := w.Write(random(9 * mib)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			time.Sleep(time.Duration(pace) * 400 * time.Millisecond)
		}
		if err := w.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if k.made < 4 || len(k.denied) > 0 {
			t.Errorf("%s: %d keys, refused %q", name, k.made, k.denied)
		}
	}
}

// Keys that a store takes no longer, though nobody told, are replaced by the catalog whenever that happens to
// a file that is being written, read or removed. Where the catalog has no others, or does not answer, the
// request fails with the store's word, and soon.
func TestVendedKeysThatEndEarly(t *testing.T) {
	body := random(12 * mib) // in parts
	early := func(t *testing.T, after int) (*keyMaker, *fault.HTTP, func() error) {
		k := newKeyMaker(t, time.Hour)
		proxy := fault.Proxy(t, k.store.URL, fmt.Sprintf("credentials expire after %d requests", after))
		k.answer = func() (map[string]string, map[string]map[string]string) {
			key := k.makeKey("/bucket")
			key["s3.endpoint"] = proxy.URL
			return key, nil
		}
		fsys := k.fs(t, catalog.Config{})
		return k, proxy, func() error {
			w, err := fsys.Create("s3://bucket/long")
			if err != nil {
				return err
			}
			if _, err := w.Write(body); err != nil {
				return errors.Join(err, w.Close())
			}
			if err := w.Close(); err != nil {
				return err
			}
			got, err := fsys.(iceio.ReadFileIO).ReadFile("s3://bucket/long")
			if err == nil && !bytes.Equal(got, body) {
				err = errors.New("other bytes were read")
			}
			return errors.Join(err, fsys.Remove("s3://bucket/long"))
		}
	}
	_, proxy, all := early(t, 0)
	if err := all(); err != nil {
		t.Fatal(err)
	}
	requests := proxy.Count("request") - 1 // one was sent twice
	for after := range requests {
		k, _, all := early(t, after)
		started := time.Now()
		if err := all(); err != nil || k.made != 2 || len(k.denied) > 0 {
			t.Errorf("after %d of %d requests: %d keys, refused %q: %v", after, requests, k.made, k.denied, err)
		}
		if took := time.Since(started); took > 10*time.Second {
			t.Errorf("after %d requests: it took %s", after, took)
		}
	}
	for _, away := range []bool{false, true} {
		k, proxy, _ := early(t, 2)
		same, _ := k.answer()
		k.answer = func() (map[string]string, map[string]map[string]string) { return same, nil }
		fsys := k.fs(t, catalog.Config{})
		k.mu.Lock()
		k.broken = away
		k.mu.Unlock()
		started := time.Now()
		var err error
		for i := 0; err == nil && i < 3; i++ {
			err = fsys.WriteFile("s3://bucket/a", []byte("a"))
		}
		if n := proxy.Count("request"); err == nil || catalog.ClassOf(catalog.Classify(err)) != catalog.ErrTransient ||
			!strings.Contains(err.Error(), "ExpiredToken") || n > 4 || time.Since(started) > 30*time.Second {
			t.Errorf("the catalog is away: %v: %d requests, %s: %v", away, n, time.Since(started), err)
		}
	}
}

// The other way round: with a catalog that is away, the keys do until they end, and
// then there is nothing to be had. This is what the test above would see without
// renewal.
func TestVendedKeysEnd(t *testing.T) { pace.Any(t, vendedKeysEnd) }

func vendedKeysEnd(t testing.TB, pace int) {
	k := newKeyMaker(t, time.Duration(pace)*800*time.Millisecond)
	fsys := k.fs(t, catalog.Config{})
	k.mu.Lock()
	k.broken = true
	k.mu.Unlock()
	time.Sleep(time.Duration(pace) * 500 * time.Millisecond) // past half their life
	if err := fsys.WriteFile("s3://bucket/a", []byte("a")); err != nil {
		t.Errorf("while the keys are good: %v", err)
	}
	time.Sleep(time.Duration(pace) * 400 * time.Millisecond)
	err := fsys.WriteFile("s3://bucket/b", []byte("b"))
	if c := catalog.ClassOf(catalog.Classify(err)); c != catalog.ErrTransient && c != catalog.ErrUnknownState || strings.Contains(fmt.Sprint(err), "hush") {
		t.Errorf("after their end: %v is %v", err, c)
	}
	if len(k.denied) > 0 {
		t.Errorf("ended keys were used: %q", k.denied)
	}
}

// Each file is reached with the keys for the longest prefix that it has, and files that
// nothing is vended for with the client's own.
func TestVendedKeysByPrefix(t *testing.T) {
	k := newKeyMaker(t, time.Hour)
	k.answer = func() (map[string]string, map[string]map[string]string) {
		return nil, map[string]map[string]string{
			"s3://bucket/data/":     k.makeKey("/bucket/data/"),
			"s3://bucket/data/hot/": k.makeKey("/bucket/data/hot/"),
		}
	}
	fsys := k.fs(t, catalog.Config{Props: iceberg.Properties{"s3.access-key-id": "me", "s3.secret-access-key": "secret"}})
	files := []string{"s3://bucket/data/a", "s3://bucket/data/hot/a", "s3a://bucket/data/hot/b", "s3://bucket/elsewhere"}
	for _, f := range files {
		if err := fsys.WriteFile(f, []byte("x")); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	if gone, err := fsys.(iceio.BulkRemovableIO).DeleteFiles(t.Context(), files); err != nil || len(gone) != len(files) {
		t.Errorf("removed %q, %v", gone, err)
	}
	if k.used["/bucket/elsewhere"] != "me" || k.made != 2 {
		t.Errorf("used %v, %d keys", k.used, k.made)
	}
	// A request for many files of a bucket is signed with the bucket's path, which such keys
	// do not open: it is refused, and the files are removed one by one.
	for _, d := range k.denied {
		if !strings.HasPrefix(d, "POST /bucket ") && !strings.HasPrefix(d, "POST /bucket/ ") {
			t.Errorf("refused %q", d)
		}
	}
}

// A client whose clock goes wrong goes by the server's.
func TestVendedKeysAndAWrongClock(t *testing.T) { pace.Any(t, vendedKeysAndAWrongClock) }

func vendedKeysAndAWrongClock(t testing.TB, pace int) {
	for _, skew := range []time.Duration{time.Hour, -time.Hour} {
		k := newKeyMaker(t, time.Duration(pace)*3*time.Second)
		k.skew = skew
		fsys := k.fs(t, catalog.Config{})
		for range 4 {
			if err := fsys.WriteFile("s3://bucket/a", []byte("a")); err != nil {
				t.Errorf("%v: %v", skew, err)
			}
			time.Sleep(time.Duration(pace) * time.Second)
		}
		if k.made < 2 || k.made > 5 || len(k.denied) > 0 {
			t.Errorf("%v: %d keys, refused %q", skew, k.made, k.denied)
		}
	}
}

// Who wants none asks for none, and uses its own even where the server sends some.
func TestNoVendedCredentials(t *testing.T) {
	k := newKeyMaker(t, time.Hour)
	own := iceberg.Properties{"s3.access-key-id": "me", "s3.secret-access-key": "secret"}
	if err := k.fs(t, catalog.Config{Props: own, NoVendedCredentials: true}).WriteFile("s3://bucket/a", []byte("a")); err != nil {
		t.Error(err)
	}
	for _, r := range k.requests("") {
		if h := r.Header.Values("X-Iceberg-Access-Delegation"); len(h) > 0 {
			t.Errorf("%s asks for %q", r.URL, h)
		}
	}
	if k.used["/bucket/a"] != "me" {
		t.Errorf("signed by %s", k.used["/bucket/a"])
	}
	if err := k.fs(t, catalog.Config{Props: own}).WriteFile("s3://bucket/a", []byte("a")); err != nil {
		t.Error(err)
	}
	if k.used["/bucket/a"] != "key-2" {
		t.Errorf("signed by %s", k.used["/bucket/a"])
	}
}

// A server that would sign each request itself is refused, with a way out.
func TestRemoteSigningIsRefused(t *testing.T) {
	k := newKeyMaker(t, time.Hour)
	k.answer = func() (map[string]string, map[string]map[string]string) {
		return map[string]string{"s3.remote-signing-enabled": "true"}, nil
	}
	own := iceberg.Properties{"s3.access-key-id": "me", "s3.secret-access-key": "secret"}
	err := k.fs(t, catalog.Config{Props: own}).WriteFile("s3://bucket/a", []byte("a"))
	var hint interface{ Hint() string }
	if !errors.Is(err, catalog.ErrConfig) || !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "--no-vended-credentials") {
		t.Errorf("%v", err)
	}
	if err := k.fs(t, catalog.Config{Props: own, NoVendedCredentials: true}).WriteFile("s3://bucket/a", []byte("a")); err != nil {
		t.Error(err)
	}
}
