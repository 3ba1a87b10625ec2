package catalog_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/catalog/catalogtest"
)

// hadoopOn is a Hadoop catalog in the store, for those who insist.
func hadoopOn(s *s3Server, t *testing.T) catalog.Config {
	props := iceberg.Properties{"type": "hadoop", "allow-unsafe-commits": "true"}
	for k, v := range s.props {
		props[k] = v
	}
	return catalog.Config{Props: props, Warehouse: "s3://bucket/lake/", Dir: t.TempDir()}
}

func TestSuiteOnHadoopInS3(t *testing.T) {
	catalogtest.Run(t, opener(hadoopOn(newS3(t), t)), catalogtest.Traits{Nested: true, DropRemoves: true})
}

// A Hadoop catalog in S3 is opened for those who insist, and they hear why others do not.
func TestHadoopInS3IsForThoseWhoInsist(t *testing.T) {
	s := newS3(t)
	for value, want := range map[string]string{"": "no atomic rename", "false": "no atomic rename", "yes": `is "yes"`} {
		cfg := hadoopOn(s, t)
		cfg.Props["allow-unsafe-commits"] = value
		_, err := catalog.Open(t.Context(), cfg)
		var e *catalog.ConfigError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", value, err)
		} else if value != "yes" && !strings.Contains(e.Hint(), "allow-unsafe-commits=true") {
			t.Errorf("%q: hint %q", value, e.Hint())
		}
	}
	var warned []string
	cfg := hadoopOn(s, t)
	cfg.Props["allow-unsafe-comits"] = "true"
	cfg.Warn = func(text string) { warned = append(warned, text) }
	c := open(t, cfg)
	if all := strings.Join(warned, "\n"); !strings.Contains(all, "both be acknowledged") || !strings.Contains(all, "REST or SQL catalog") || !strings.Contains(all, "did you mean allow-unsafe-commits") {
		t.Errorf("warned: %q", warned)
	}
	if !strings.Contains(c.Unsafe, "both be acknowledged") {
		t.Errorf("unsafe: %q", c.Unsafe)
	}
}

// A table there is the files that Hadoop's own catalog makes, and nothing of a commit is
// left beside them.
func TestHadoopInS3IsFiles(t *testing.T) {
	s := newS3(t)
	c := open(t, hadoopOn(s, t))
	ident := table.Identifier{"ns", "events"}
	tbl := create(t, c, ident, catalog.TableSpec{Schema: eventsSchema})
	s.reset(nil)
	if err := setProperty(t, c, ident, "a", "b"); err != nil {
		t.Fatal(err)
	}
	if n := s.count("PUT"); n != 2 {
		t.Errorf("%d files written for a commit, want the metadata and the hint", n)
	}
	appendIDs(t, reload(t, c, ident), 3)
	fsys, err := catalog.FS(t.Context(), tbl)
	if err != nil {
		t.Fatal(err)
	}
	var metadata []string
	for _, name := range list(t, fsys, "s3://bucket/lake/ns/events/metadata") {
		if !strings.HasSuffix(name, ".avro") {
			metadata = append(metadata, name[strings.LastIndex(name, "/")+1:])
		}
	}
	if got := strings.Join(metadata, " "); got != "v1.metadata.json v2.metadata.json v3.metadata.json version-hint.text" {
		t.Errorf("files: %s", got)
	}
	if n := countRows(t, c, ident); n != 3 {
		t.Errorf("%d rows", n)
	}
	if err := c.PurgeTable(t.Context(), ident); err != nil {
		t.Fatal(err)
	}
	if left := list(t, fsys, "s3://bucket/lake"); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	// The namespace is still there, without a file in it.
	if ns, err := c.ListNamespaces(t.Context(), nil); err != nil || len(ns) != 1 {
		t.Errorf("namespaces %q, %v", ns, err)
	}
}

func setProperty(t *testing.T, c *catalog.Catalog, ident table.Identifier, key, value string) error {
	t.Helper()
	_, _, err := c.CommitTable(t.Context(), ident, nil, []table.Update{table.NewSetPropertiesUpdate(iceberg.Properties{key: value})})
	return err
}

func reload(t *testing.T, c *catalog.Catalog, ident table.Identifier) *table.Table {
	t.Helper()
	tbl, err := c.LoadTable(t.Context(), ident)
	if err != nil {
		t.Fatal(err)
	}
	return tbl
}

// isCommit tells whether r gives the second version of a table its name.
func isCommit(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/v2.metadata.json")
}

// What is said of a commit is what became of it, whatever happens to the request that
// gives the new version its name.
func TestHadoopInS3Commits(t *testing.T) {
	for _, c := range []struct {
		name   string
		lands  bool
		answer int
		deaf   bool // nothing can be read afterwards
		want   error
		there  bool
	}{
		{"a lost answer, and it is sent again", true, 500, false, nil, true},
		{"a lost answer, and the file is there", true, 505, false, nil, true}, // this one the client does not send again
		{"a lost answer, and nobody can look", true, 505, true, catalog.ErrUnknownState, true},
		{"no answer, and the file is not there", false, 505, false, catalog.ErrUnknownState, false},
		{"not allowed", false, 403, false, catalog.ErrRejected, false},
		{"another one is at it", false, 409, false, catalog.ErrConflict, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newS3(t)
			cat := open(t, hadoopOn(s, t))
			ident := table.Identifier{"ns", "events"}
			create(t, cat, ident, catalog.TableSpec{Schema: eventsSchema})
			var mu sync.Mutex
			tries := 0
			s.reset(func(r *http.Request) int {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case !isCommit(r):
					return on(c.deaf && tries > 0 && r.Method == http.MethodGet, 403)
				case c.lands && tries > 0:
					return 0
				case c.lands:
					s.inner.ServeHTTP(httptest.NewRecorder(), r)
				}
				tries++
				return c.answer
			})
			err := setProperty(t, cat, ident, "a", "b")
			if got := catalog.ClassOf(err); !errors.Is(got, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%v is %v, want %v", err, got, c.want)
			}
			if tries == 0 {
				t.Error("nothing was committed")
			}
			s.reset(nil)
			if there := reload(t, cat, ident).Properties()["a"] == "b"; there != c.there {
				t.Errorf("the change is there: %v", there)
			}
		})
	}
}

// Somebody who commits the same version first wins, also where the store does not heed
// conditions and the answer to the commit says that all is well.
func TestHadoopInS3Races(t *testing.T) {
	for name, change := range map[string]func(*http.Request) int{
		"conditions are heeded": func(*http.Request) int { return 0 },
		"conditions are refused": func(r *http.Request) int {
			return on(r.Header.Get("If-None-Match") != "", http.StatusNotImplemented)
		},
		"conditions are passed over": func(r *http.Request) int { r.Header.Del("If-None-Match"); return 0 },
	} {
		t.Run(name, func(t *testing.T) {
			s := newS3(t)
			cat, other := open(t, hadoopOn(s, t)), open(t, hadoopOn(s, t))
			ident := table.Identifier{"ns", "events"}
			create(t, cat, ident, catalog.TableSpec{Schema: eventsSchema})
			// The other's file comes in between the first one's look and its file, where the
			// store heeds conditions, or else just after its file: that can be seen.
			var came atomic.Bool
			s.reset(func(r *http.Request) int {
				switch heeds := name == "conditions are heeded"; {
				case heeds && isCommit(r) && came.CompareAndSwap(false, true):
					if err := setProperty(t, other, ident, "who", "other"); err != nil {
						t.Error(err)
					}
				case !heeds && r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, "/v2.metadata.json") && came.CompareAndSwap(false, true):
					overwrite(t, s, "s3://bucket/lake/ns/events/metadata/v2.metadata.json")
				}
				return change(r)
			})
			err := setProperty(t, cat, ident, "who", "me")
			if got := catalog.ClassOf(err); got != catalog.ErrConflict {
				t.Errorf("%v is %v, want a conflict", err, got)
			}
			s.reset(nil)
			if who := reload(t, cat, ident).Properties()["who"]; who != "other" {
				t.Errorf("the table is %q's", who)
			}
		})
	}
}

// overwrite writes what another one would have committed in place of a metadata file.
func overwrite(t *testing.T, s *s3Server, name string) {
	fsys := s.io(t, t.Context())
	text, err := fsys.(iceio.ReadFileIO).ReadFile(name)
	if err == nil {
		err = fsys.WriteFile(name, bytes.Replace(text, []byte(`"me"`), []byte(`"other"`), 1))
	}
	if err != nil {
		t.Error(err)
	}
}
