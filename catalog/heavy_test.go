package catalog_test

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/icewright/icewright/catalog"
)

// The usual build says where a heavy catalog is to be had; the full one has it, and wants a region.
func TestHeavyCatalogs(t *testing.T) {
	for _, k := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(k, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	_, err := catalog.Open(t.Context(), catalog.Config{Dir: t.TempDir(), Props: iceberg.Properties{"type": "glue"}})
	var e *catalog.ConfigError
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	full := false
	for _, typ := range catalog.Types() {
		full = full || typ == "glue"
	}
	want := "is not in this build"
	if full {
		want = "no region for Glue"
	}
	if !strings.Contains(e.Error(), want) || e.Hint() == "" {
		t.Errorf("%v, hint %q; want %q", e, e.Hint(), want)
	}

	// A metastore is known by its address.
	_, err = catalog.Open(t.Context(), catalog.Config{Dir: t.TempDir(), URI: "thrift://metastore:port"})
	if full {
		want = "is of no Hive Metastore"
	}
	if !errors.As(err, &e) || !strings.Contains(e.Error(), want) || e.Hint() == "" {
		t.Errorf("%v, want %q", err, want)
	}
}

// What Glue answers, by its codes: what it refused it has not done, and what it did not answer nobody knows.
func TestGlueErrors(t *testing.T) {
	answer := func(status int, code string) error {
		return &smithy.OperationError{ServiceID: "Glue", OperationName: "UpdateTable", Err: &awshttp.ResponseError{
			ResponseError: &smithyhttp.ResponseError{
				Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: &smithy.GenericAPIError{Code: code, Message: "words"},
			},
		}}
	}
	silent := func(err error) error {
		return &smithy.OperationError{ServiceID: "Glue", OperationName: "UpdateTable", Err: &smithyhttp.RequestSendError{Err: err}}
	}
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"somebody was faster", answer(400, "ConcurrentModificationException"), catalog.ErrConflict},
		{"no such table", answer(400, "EntityNotFoundException"), catalog.ErrNotFound},
		{"not allowed", answer(400, "AccessDeniedException"), catalog.ErrRejected},
		{"too fast", answer(400, "ThrottlingException"), catalog.ErrTransient},
		{"too many", answer(429, "TooManyRequestsException"), catalog.ErrTransient},
		{"a fault of its own", answer(500, "InternalServiceException"), catalog.ErrUnknownState},
		{"a gateway's", answer(504, ""), catalog.ErrUnknownState},
		{"never sent", silent(&net.OpError{Op: "dial", Err: errors.New("refused")}), catalog.ErrTransient},
		{"no answer", silent(&net.OpError{Op: "read", Err: errors.New("reset")}), catalog.ErrUnknownState},
	} {
		if got := catalog.ClassOf(catalog.Classify(c.err)); !errors.Is(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A slip in the name of a property of Glue's is answered with the name that was meant, in every build.
func TestGluePropertySlips(t *testing.T) {
	for slip, want := range map[string]string{"glue.regoin": "glue.region", "client.access-key": "client.access-key-id", "glue.skip-archiv": "glue.skip-archive"} {
		var warned []string
		_, _ = catalog.Open(t.Context(), catalog.Config{
			Dir: t.TempDir(), Props: iceberg.Properties{"uri": "sqlite:///a.db", slip: "x"}, Warn: func(text string) { warned = append(warned, text) },
		})
		if all := strings.Join(warned, "\n"); !strings.Contains(all, "did you mean "+want+"?") {
			t.Errorf("%s: warned %q", slip, warned)
		}
	}
}
