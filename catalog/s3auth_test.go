package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"

	"github.com/icewright/icewright/catalog"
)

// Who a request to S3 comes from, and how it gets there.
func TestS3WhoAsks(t *testing.T) {
	var seen *http.Request
	slow, asked := make(chan struct{}), make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		switch {
		case r.Form.Get("Action") == "AssumeRole":
			w.Header().Set("Content-Type", "text/xml")
			fmt.Fprintf(w, `<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>role:%s:%s</AccessKeyId><SecretAccessKey>s</SecretAccessKey>
				<SessionToken>role-token</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
				r.Form.Get("RoleArn"), r.Form.Get("RoleSessionName"))
		case strings.HasSuffix(r.URL.Path, "/slow"):
			asked <- struct{}{}
			<-slow
		default:
			seen = r
			w.Header().Set("Content-Length", "0")
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(slow) })
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "credentials"), "[team]\naws_access_key_id = of-the-team\naws_secret_access_key = s\n")
	for k, v := range map[string]string{
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "credentials"), "AWS_ENDPOINT_URL_STS": server.URL,
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "",
		"AWS_S3_ENDPOINT": "", "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "", "no_proxy": "",
	} {
		t.Setenv(k, v)
	}
	mine := iceberg.Properties{"s3.access-key-id": "me", "s3.secret-access-key": "s"}
	for name, tc := range map[string]struct {
		props               iceberg.Properties
		key, token, noProxy string
	}{
		"a key":           {props: mine, key: "me"},
		"a session":       {props: iceberg.Properties{"s3.access-key-id": "me", "s3.secret-access-key": "s", "s3.session-token": "brief"}, key: "me", token: "brief"},
		"PyIceberg's key": {props: iceberg.Properties{"client.access-key-id": "us", "client.secret-access-key": "s"}, key: "us"},
		"a profile":       {props: iceberg.Properties{"s3.profile-name": "team"}, key: "of-the-team"},
		"nobody":          {props: iceberg.Properties{"s3.anonymous": "true"}},
		"a role": {
			props: iceberg.Properties{"s3.access-key-id": "me", "s3.secret-access-key": "s", "s3.role-arn": "arn:aws:iam::1:role~r", "s3.role-session-name": "loads"},
			key:   "role:arn:aws:iam::1:role~r:loads", token: "role-token",
		},
	} {
		props := iceberg.Properties{"s3.endpoint": server.URL, "s3.region": "here"}
		for k, v := range tc.props {
			props[k] = v
		}
		seen = nil
		fsys, err := catalog.OpenIO(t.Context(), props, "s3://bucket/x")
		if err == nil {
			_, err = fsys.(iceio.ReadFileIO).ReadFile("s3://bucket/x")
		}
		if err != nil || seen == nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		auth := seen.Header.Get("Authorization")
		if tc.key == "" && auth != "" || tc.key != "" && !strings.Contains(auth, "Credential="+tc.key+"/") || seen.Header.Get("X-Amz-Security-Token") != tc.token {
			t.Errorf("%s: signed %q, token %q", name, auth, seen.Header.Get("X-Amz-Security-Token"))
		}
	}

	// Through a proxy, which sees the whole address.
	props := iceberg.Properties{"s3.endpoint": "http://store.invalid", "s3.region": "here", "s3.proxy-uri": server.URL, "s3.path-style-access": "true"}
	for k, v := range mine {
		props[k] = v
	}
	fsys, err := catalog.OpenIO(t.Context(), props, "s3://bucket/x")
	if err == nil {
		_, err = fsys.(iceio.ReadFileIO).ReadFile("s3://bucket/x")
	}
	if err != nil || seen.Host != "store.invalid" || seen.URL.Path != "/bucket/x" {
		t.Errorf("by proxy: %v, %v", err, seen.URL)
	}

	// A store that thinks for too long is asked again.
	props = iceberg.Properties{"s3.endpoint": server.URL, "s3.region": "here", "s3.request-timeout": "0.01", "s3.connect-timeout": "1s"}
	for k, v := range mine {
		props[k] = v
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		<-asked
		<-asked
		cancel()
	}()
	fsys, err = catalog.OpenIO(ctx, props, "s3://bucket/slow")
	if err == nil {
		_, err = fsys.(iceio.ReadFileIO).ReadFile("s3://bucket/slow")
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("slow: %v", err)
	}
}
