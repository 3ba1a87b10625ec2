package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever fails, wherever the secrets were given, and whatever a server makes of them: no
// output of any command holds one.
func TestNoOutputHoldsASecret(t *testing.T) {
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/tokens"):
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":"%s"}`, r.Form.Encode())
		case strings.HasSuffix(r.URL.Path, "/config"):
			fmt.Fprint(w, `{"defaults":{},"overrides":{}}`)
		default:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"error":{"message":"not you: %s %s","type":"ForbiddenException","code":403}}`, r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"))
		}
	}))
	t.Cleanup(echo.Close)
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	for name, text := range map[string]string{
		"in.csv":     "n\n1\n",
		"broken.yml": "catalog:\n  a:\n    token: hush-file\n    uri: x\n    uri: y\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(env map[string]string, args ...string) string {
		t.Helper()
		for k, v := range env {
			t.Setenv(k, v)
			defer os.Unsetenv(k)
		}
		var stdout, stderr bytes.Buffer
		execute(t.Context(), args, strings.NewReader("n\n1\n"), &stdout, &stderr)
		return stdout.String() + stderr.String()
	}
	commands := [][]string{
		{"load", "in.csv", "--table", "a.t", "--replace-table", "--verbose"},
		{"load", "in.csv", "--table", "a.t", "--replace-table", "--output", "json"},
		{"show", "a.t", "--verbose"},
		{"history", "a.t", "--output", "json"},
		{"table", "describe", "a.t"},
		{"table", "drop", "a.t", "--yes"},
		{"doctor", "a.t", "--verbose"},
		{"doctor", "--output", "json"},
		{"load", "--help"},
		{"doctor", "a.t", "--litter"},
		{"completion", "bash"},
		{"__complete", "show", ""},
	}
	withPassword := strings.Replace(echo.URL, "://", "://me:hush-word@", 1)
	n := 0
	for _, config := range []map[string]string{
		{"ICEWRIGHT_CATALOG_URI": echo.URL, "ICEWRIGHT_CATALOG_PROP": "token=hush-token,header.X-Api-Key=hush-key"},
		{"ICEWRIGHT_CATALOG_URI": echo.URL, "ICEWRIGHT_CATALOG_PROP": "credential=me:hush-secret"},
		{"ICEWRIGHT_CATALOG_URI": withPassword},
		{"ICEWRIGHT_CATALOG_URI": strings.Replace(withPassword, "http", "ftp", 1)},
		{"ICEWRIGHT_CATALOG": "p", "PYICEBERG_CATALOG__P__URI": echo.URL, "PYICEBERG_CATALOG__P__TOKEN": "hush-variable"},
		{"ICEWRIGHT_CATALOG_URI": "http://127.0.0.1:1", "ICEWRIGHT_CATALOG_PROP": "token=hush-token"},
		{"ICEWRIGHT_WAREHOUSE": "s3://bucket/wh", "ICEWRIGHT_CATALOG_PROP": "s3.endpoint=" + echo.URL + ",s3.access-key-id=me,s3.secret-access-key=hush-s3,s3.session-token=hush-session"},
		{"ICEWRIGHT_CATALOG_PROP": "s3.secret-access-key=hush-s3,hush-rest"},
		{"ICEWRIGHT_CATALOG_URI": "sqlite:///kept.db", "ICEWRIGHT_CATALOG_PROP": "token=hush-token,s3.secret-access-key=hush-s3"},
	} {
		for _, args := range commands {
			out := run(config, args...)
			if strings.Contains(out, "hush") {
				t.Errorf("%v %v:\n%s", config, args, out)
			}
			n += strings.Count(out, "error")
		}
	}
	if n < 30 {
		t.Errorf("only %d errors were seen", n)
	}
	if err := os.Rename("broken.yml", ".pyiceberg.yaml"); err != nil {
		t.Fatal(err)
	}
	if out := run(map[string]string{"ICEWRIGHT_CATALOG": "a"}, "show", "a.t"); strings.Contains(out, "hush") || !strings.Contains(out, ".pyiceberg.yaml") {
		t.Error(out)
	}
}
