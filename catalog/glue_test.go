//go:build full

package catalog_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/icewright/icewright/catalog"
)

// glueServer answers as Glue does, as far as one table goes, and remembers what it was asked.
type glueServer struct {
	*httptest.Server

	mu    sync.Mutex
	table map[string]any
	auth  string
	token string
	asked map[string]map[string]any // by operation
}

func newGlue(t *testing.T) *glueServer {
	s := &glueServer{asked: map[string]map[string]any{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.auth, s.token = r.Header.Get("Authorization"), r.Header.Get("X-Amz-Security-Token")
		op := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AWSGlue.")
		var in map[string]any
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		s.asked[op] = in
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		answer := map[string]any{}
		switch op {
		case "GetDatabase":
			answer["Database"] = map[string]any{"Name": "ns", "Parameters": map[string]string{}}
		case "CreateTable", "UpdateTable":
			s.table = in["TableInput"].(map[string]any)
			s.table["VersionId"], s.table["DatabaseName"] = "1", "ns"
		case "GetTable":
			if s.table == nil {
				w.WriteHeader(http.StatusBadRequest)
				answer["__type"] = "EntityNotFoundException"
			}
			answer["Table"] = s.table
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	return s
}

// Who asks Glue, where, for which catalog, and what of a commit it is to keep.
func TestGlueProperties(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	text := "[profile team]\nregion = eu-north-1\naws_access_key_id = TEAM\naws_secret_access_key = s\n" +
		"[profile other]\nregion = eu-west-3\naws_access_key_id = OTHER\naws_secret_access_key = s\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{
		"AWS_CONFIG_FILE": config, "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none"), "AWS_REGION": "", "AWS_DEFAULT_REGION": "",
		"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
	} {
		t.Setenv(k, v)
	}
	for _, c := range []struct {
		name  string
		props iceberg.Properties
		who   string // key and region in the signature
		token string
		id    any
		skip  bool
	}{
		{"the environment", iceberg.Properties{"glue.region": "eu-central-1"}, "ENV eu-central-1", "", nil, true},
		{"keys", iceberg.Properties{
			"glue.region": "eu-west-1", "client.region": "eu-west-2", "glue.access-key-id": "MINE", "glue.secret-access-key": "s", "glue.session-token": "tok", "glue.id": "4711",
		}, "MINE eu-west-1", "tok", "4711", true},
		{"keys of all services", iceberg.Properties{
			"client.region": "eu-west-2", "client.access-key-id": "ALL", "client.secret-access-key": "s", "client.session-token": "all", "glue.skip-archive": "false",
		}, "ALL eu-west-2", "all", nil, false},
		{"a profile", iceberg.Properties{"glue.profile-name": "team", "client.profile-name": "other"}, "TEAM eu-north-1", "", nil, true},
		{"a profile of all services", iceberg.Properties{"client.profile-name": "other"}, "OTHER eu-west-3", "", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Contains(c.name, "profile") {
				t.Setenv("AWS_ACCESS_KEY_ID", "")
				t.Setenv("AWS_SECRET_ACCESS_KEY", "")
			}
			s := newGlue(t)
			props := iceberg.Properties{"type": "glue", "glue.endpoint": s.URL}
			for k, v := range c.props {
				props[k] = v
			}
			cat := open(t, catalog.Config{Props: props, Warehouse: t.TempDir(), Dir: dir})
			ident := table.Identifier{"ns", "events"}
			create(t, cat, ident, catalog.TableSpec{Schema: eventsSchema})
			if err := setProperty(t, cat, ident, "a", "b"); err != nil {
				t.Fatal(err)
			}
			key, region, _ := strings.Cut(c.who, " ")
			if !strings.Contains(s.auth, "Credential="+key+"/") || !strings.Contains(s.auth, "/"+region+"/glue/") {
				t.Errorf("signed %q, want %s", s.auth, c.who)
			}
			if s.token != c.token {
				t.Errorf("token %q, want %q", s.token, c.token)
			}
			if got := s.asked["UpdateTable"]; got["CatalogId"] != c.id || got["SkipArchive"] != c.skip || got["VersionId"] != "1" {
				t.Errorf("committed with catalog %v, skip archive %v, version %v", got["CatalogId"], got["SkipArchive"], got["VersionId"])
			}
		})
	}
}
