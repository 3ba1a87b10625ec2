package catalog_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"

	"github.com/icewright/icewright/catalog"
	"github.com/icewright/icewright/internal/pace"
)

// amazon is a store beside the services that make keys for it, as AWS has them: STS, a
// container's endpoint, a machine's metadata. Keys live for a moment; told lets them tell more.
type amazon struct {
	*httptest.Server
	life, told time.Duration

	mu      sync.Mutex
	made    int
	ends    map[string]time.Time // by key id
	refused int
	seen    string // what was asked of a maker of keys
	down    bool   // makers answer 503
}

func newAmazon(t testing.TB) *amazon {
	t.Helper()
	cleanAWS(t)
	a := &amazon{life: time.Hour, told: time.Hour, ends: map[string]time.Time{}}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		defer a.mu.Unlock()
		_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		key, rest, _ := strings.Cut(credential, "/")
		maker := r.URL.Path == "/container" || strings.HasPrefix(r.URL.Path, "/latest/") || r.URL.Path == "/" && r.Method == http.MethodPost
		if maker && a.down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		switch {
		case r.URL.Path == "/" && r.Method == http.MethodPost: // STS
			a.seen = string(body)
			kind := "AssumeRole"
			if strings.Contains(a.seen, "WebIdentity") {
				kind = "AssumeRoleWithWebIdentity"
			} else if key != "ASOURCEPROFILEKEY" || !strings.Contains(rest, "/sts/") {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			id, end := a.make()
			fmt.Fprintf(w, `<%[1]sResponse><%[1]sResult><Credentials><AccessKeyId>%[2]s</AccessKeyId><SecretAccessKey>hush-hush</SecretAccessKey>
				<SessionToken>token-of-%[2]s</SessionToken><Expiration>%[3]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`, kind, id, end)
		case r.URL.Path == "/container":
			a.seen = r.Header.Get("Authorization")
			a.json(w)
		case r.URL.Path == "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600")
			_, _ = io.WriteString(w, "imds-token")
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/":
			_, _ = io.WriteString(w, "role")
		case strings.HasPrefix(r.URL.Path, "/latest/"):
			a.seen = r.Header.Get("X-Aws-Ec2-Metadata-Token")
			a.json(w)
		default:
			end, known := a.ends[key]
			if known && (time.Now().After(end) || r.Header.Get("X-Amz-Security-Token") != "token-of-"+key) {
				a.refused++
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>")
				return
			}
			w.Header().Set("X-Key", key)
			_, _ = io.WriteString(w, key)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *amazon) make() (id, end string) {
	a.made++
	id = fmt.Sprintf("ASIAMADEFORYOU%02d", a.made)
	a.ends[id] = time.Now().Add(a.life)
	return id, time.Now().Add(a.told).UTC().Format(time.RFC3339)
}

func (a *amazon) json(w http.ResponseWriter) {
	id, end := a.make()
	fmt.Fprintf(w, `{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":%q,"SecretAccessKey":"hush-hush","Token":"token-of-%s","Expiration":%q}`, id, id, end)
}

// signer returns which key a request to the store is signed with.
func (a *amazon) signer(t testing.TB, fsys iceio.IO) string {
	t.Helper()
	got, err := fsys.(iceio.ReadFileIO).ReadFile("s3://bucket/f")
	if err != nil {
		t.Error(err)
	}
	return string(got)
}

// waysToKeys are the places that keys come from. set configures one of them for a.
var waysToKeys = []struct {
	name  string
	where string // what a user sets
	set   func(t testing.TB, a *amazon, dir string) iceberg.Properties
	key   string // a part of the key's id
	says  string // what doctor shows
	asked string // what the maker of keys was sent
	made  bool   // by a maker of keys, with an end
}{
	{"properties", "`s3.access-key-id`, `s3.secret-access-key`, `s3.session-token`", func(testing.TB, *amazon, string) iceberg.Properties {
		return iceberg.Properties{"s3.access-key-id": "APROPERTYKEYXYZ1", "s3.secret-access-key": "hush-hush"}
	}, "APROPERTYKEY", "s3.access-key-id, …XYZ1", "", false},
	{"environment", "`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`", func(t testing.TB, _ *amazon, _ string) iceberg.Properties {
		t.Setenv("AWS_ACCESS_KEY_ID", "ANENVIRONMENTKEY")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
		return nil
	}, "ANENVIRONMENTKEY", "AWS_ACCESS_KEY_ID, …TKEY", "", false},
	{"profile", "`AWS_PROFILE` or `s3.profile-name`; `~/.aws`, `AWS_CONFIG_FILE`, `AWS_SHARED_CREDENTIALS_FILE`", func(t testing.TB, _ *amazon, dir string) iceberg.Properties {
		file := filepath.Join(dir, "credentials")
		writeFile(t, file, "[team]\naws_access_key_id = APROFILESKEY0001\naws_secret_access_key = hush-hush\n")
		t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
		t.Setenv("AWS_PROFILE", "team")
		return nil
	}, "APROFILESKEY", "profile team of ", "", false},
	{"profile that assumes a role", "`role_arn` with `source_profile` in `~/.aws/config`; also `s3.role-arn`", func(t testing.TB, a *amazon, dir string) iceberg.Properties {
		file := filepath.Join(dir, "config")
		writeFile(t, file, "[profile base]\naws_access_key_id = ASOURCEPROFILEKEY\naws_secret_access_key = hush-hush\n"+
			"[profile loads]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\nrole_session_name = nightly\nregion = eu-west-3\n")
		t.Setenv("AWS_CONFIG_FILE", file)
		t.Setenv("AWS_PROFILE", "loads")
		t.Setenv("AWS_ENDPOINT_URL_STS", a.URL)
		return nil
	}, "ASIAMADE", "an assumed role", "RoleSessionName=nightly", true},
	{"credential_process", "`credential_process` in `~/.aws/config`", func(t testing.TB, a *amazon, dir string) iceberg.Properties {
		file := filepath.Join(dir, "config")
		id, end := a.make()
		writeFile(t, filepath.Join(dir, "keys.json"), fmt.Sprintf(`{"Version":1,"AccessKeyId":%q,"SecretAccessKey":"hush-hush","SessionToken":"token-of-%s","Expiration":%q}`, id, id, end))
		writeFile(t, file, "[default]\ncredential_process = cat "+filepath.Join(dir, "keys.json")+"\n")
		t.Setenv("AWS_CONFIG_FILE", file)
		return nil
	}, "ASIAMADE", "the profile's credential_process", "", false},
	{"web identity", "`AWS_WEB_IDENTITY_TOKEN_FILE`, `AWS_ROLE_ARN`", func(t testing.TB, a *amazon, dir string) iceberg.Properties {
		file := filepath.Join(dir, "token")
		writeFile(t, file, "a-jwt")
		t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file)
		t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
		t.Setenv("AWS_ENDPOINT_URL_STS", a.URL)
		t.Setenv("AWS_REGION", "us-east-1")
		return nil
	}, "ASIAMADE", "a web identity (AWS_WEB_IDENTITY_TOKEN_FILE)", "WebIdentityToken=a-jwt", true},
	{"container", "`AWS_CONTAINER_CREDENTIALS_FULL_URI` or `…_RELATIVE_URI`, `AWS_CONTAINER_AUTHORIZATION_TOKEN`", func(t testing.TB, a *amazon, _ string) iceberg.Properties {
		t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", a.URL+"/container")
		t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "let-me-in")
		return nil
	}, "ASIAMADE", "the container (AWS_CONTAINER_CREDENTIALS_…)", "let-me-in", true},
	{"machine", "EC2 metadata; `AWS_EC2_METADATA_SERVICE_ENDPOINT`, `AWS_EC2_METADATA_DISABLED`", func(t testing.TB, a *amazon, _ string) iceberg.Properties {
		t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
		t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", a.URL)
		return nil
	}, "ASIAMADE", "the machine's role (EC2 metadata)", "imds-token", true},
}

// Keys come from wherever AWS's clients look for them, doctor can tell from where, and those
// that end are replaced in the middle of a run: ahead of the end that was told, and when the
// store takes them no longer before it.
func TestS3KeysFromEverywhere(t *testing.T) {
	for _, way := range waysToKeys {
		t.Run(way.name, func(t *testing.T) {
			a := newAmazon(t)
			props := way.set(t, a, t.TempDir())
			if props == nil {
				props = iceberg.Properties{}
			}
			props["s3.endpoint"], props["s3.region"] = a.URL, "us-east-1"
			fsys := openProps(t, props)
			first := a.signer(t, fsys)
			if !strings.HasPrefix(first, way.key) || !strings.Contains(a.seen, way.asked) {
				t.Errorf("signed with %s; the maker of keys was sent %q", first, a.seen)
			}
			client, err := catalog.S3Client(t.Context(), props)
			if err != nil {
				t.Fatal(err)
			}
			keys, err := catalog.S3Keys(t.Context(), client)
			if err != nil || !strings.HasPrefix(keys.String(), way.says) || strings.Contains(keys.String(), "hush") || strings.Contains(keys.String(), first) {
				t.Errorf("told as %q, %v", keys, err)
			}
			if again := a.signer(t, fsys); again != first {
				t.Errorf("keys that are good were replaced by %s", again)
			}
			if !way.made {
				return
			}
			if keys.Expires.IsZero() {
				t.Error("no end is told")
			}

			// The store takes them no longer, before their end.
			a.mu.Lock()
			a.ends[first] = time.Now().Add(-time.Second)
			a.mu.Unlock()
			second := a.signer(t, fsys)
			if second == first || a.refused != 1 {
				t.Errorf("signed with %s, %d requests refused", second, a.refused)
			}
		})
		if !way.made {
			continue
		}
		t.Run(way.name+", ahead of the end", func(t *testing.T) {
			pace.Any(t, func(t testing.TB, pace int) {
				a := newAmazon(t)
				x := time.Duration(pace)
				a.life, a.told = x*time.Second, 5*time.Minute+x*500*time.Millisecond // five minutes of which are not used
				props := iceberg.Properties{"s3.endpoint": a.URL, "s3.region": "us-east-1", "s3.retry.min-wait-ms": "1"}
				way.set(t, a, t.TempDir())
				fsys := openProps(t, props)
				used := map[string]bool{}
				for range 6 {
					used[a.signer(t, fsys)] = true
					time.Sleep(x * 300 * time.Millisecond)
				}
				// The SDK stretches the life of a machine's keys, and so learns of their end from the store.
				if stretched := way.name == "machine"; len(used) < 2 || a.refused != 0 && !stretched {
					t.Errorf("keys used: %d, refused requests: %d", len(used), a.refused)
				}
			})
		})
		if way.name != "web identity" && way.name != "machine" {
			continue // each takes seconds of its provider's own tries
		}
		t.Run(way.name+", nobody there", func(t *testing.T) {
			a := newAmazon(t)
			a.down = true
			way.set(t, a, t.TempDir())
			fsys := openProps(t, iceberg.Properties{"s3.endpoint": a.URL, "s3.region": "us-east-1"})
			err := fsys.WriteFile("s3://bucket/f", nil)
			if catalog.ClassOf(catalog.Classify(err)) != catalog.ErrTransient {
				t.Errorf("a maker of keys that is down: %v", err)
			}
		})
	}
}

// A profile that something else rewrites, as those do who log in for others, counts anew when the
// store takes the old keys no longer.
func TestS3ProfileIsReadAnew(t *testing.T) {
	a := newAmazon(t)
	file := filepath.Join(t.TempDir(), "credentials")
	write := func() string {
		id, _ := a.make()
		writeFile(t, file, fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = hush-hush\naws_session_token = token-of-%s\n", id, id))
		return id
	}
	first := write()
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	fsys := openProps(t, iceberg.Properties{"s3.endpoint": a.URL, "s3.region": "us-east-1"})
	if got := a.signer(t, fsys); got != first {
		t.Errorf("signed with %s", got)
	}
	second := write()
	a.ends[first] = time.Now().Add(-time.Second)
	if got := a.signer(t, fsys); got != second {
		t.Errorf("signed with %s, the profile has %s", got, second)
	}
	// Keys that have ended and that nobody replaces end the request, without a minute of tries.
	a.ends[second] = time.Now().Add(-time.Second)
	time.Sleep(10 * time.Millisecond)
	asked := a.refused
	fsys = openProps(t, iceberg.Properties{"s3.endpoint": a.URL, "s3.region": "us-west-1"}) // a client of its own
	if _, err := fsys.(iceio.ReadFileIO).ReadFile("s3://bucket/f"); err == nil || !strings.Contains(err.Error(), "ExpiredToken") || a.refused != asked+1 {
		t.Errorf("%d requests, %v", a.refused-asked, err)
	}
}

// Without any keys the error says where they can come from, soon, and it is the configuration's.
func TestS3WithoutKeys(t *testing.T) {
	a := newAmazon(t)
	props := iceberg.Properties{"s3.endpoint": a.URL, "s3.region": "us-east-1"}
	started := time.Now()
	err := openProps(t, props).WriteFile("s3://bucket/f", nil)
	var hint interface{ Hint() string }
	if catalog.ClassOf(catalog.Classify(err)) != catalog.ErrConfig || !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "AWS_ACCESS_KEY_ID") || !strings.Contains(hint.Hint(), "s3.anonymous") {
		t.Errorf("%v", err)
	}
	if time.Since(started) > 10*time.Second {
		t.Errorf("it took %s", time.Since(started))
	}
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", filepath.Join(t.TempDir(), "missing"))
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
	t.Setenv("AWS_REGION", "us-east-1")
	if err := openProps(t, props).WriteFile("s3://bucket/f", nil); catalog.ClassOf(catalog.Classify(err)) != catalog.ErrConfig {
		t.Errorf("a token file that is missing: %v", err)
	}
	props["s3.anonymous"] = "true"
	if got := a.signer(t, openProps(t, props)); got != "" {
		t.Errorf("anonymous, and signed with %s", got)
	}
	client, _ := catalog.S3Client(t.Context(), props)
	if keys, err := catalog.S3Keys(t.Context(), client); err != nil || !strings.Contains(keys.String(), "not signed") {
		t.Errorf("%v, %v", keys, err)
	}
}
