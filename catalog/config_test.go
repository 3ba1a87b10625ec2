package catalog_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/catalog"
)

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCatalogsByName(t *testing.T) {
	dir, home := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(dir, ".iceberg-go.yaml"), `
default-catalog: near
max-workers: 3
catalog:
  near:
    type: sql
    uri: sqlite:///near.db
    warehouse: near-files
    s3.endpoint: http://127.0.0.1:9000
    s3:
      region: eu-central-1
      path-style-access: true
    rest: {signing-name: x}
`)
	writeFile(t, filepath.Join(home, ".iceberg-go.yaml"), `
catalog:
  far: {type: sqlite, uri: "sqlite:///far.db"}
  near: {type: rest, uri: "http://nowhere"}
`)
	cfg := func(name string) catalog.Config {
		return catalog.Config{Name: name, Dir: dir, Environ: []string{"HOME=" + home}}
	}

	c := open(t, cfg("near"))
	if c.Name != "near" || c.Origin != filepath.Join(dir, ".iceberg-go.yaml") {
		t.Errorf("name %q from %q", c.Name, c.Origin)
	}
	for k, want := range map[string]string{
		"s3.endpoint": "http://127.0.0.1:9000", "s3.region": "eu-central-1", "s3.path-style-access": "true",
		"rest.signing-name": "x", "warehouse": filepath.Join(dir, "near-files"),
	} {
		if c.Props[k] != want {
			t.Errorf("%s is %q, want %q", k, c.Props[k], want)
		}
	}
	open(t, cfg("far"))

	over := cfg("near")
	over.Warehouse, over.Props = "other", iceberg.Properties{"s3.region": "us-west-2"}
	if c := open(t, over); c.Props["warehouse"] != filepath.Join(dir, "other") || c.Props["s3.region"] != "us-west-2" {
		t.Errorf("the command line does not win: %v", c.Props)
	}

	if c := open(t, cfg("default")); c.Origin != "the built-in default" {
		t.Errorf("default from %q", c.Origin)
	}
	inPlace := cfg("prod")
	inPlace.URI = "sqlite:///prod.db"
	if c := open(t, inPlace); c.Name != "prod" || c.Origin != "the command line" {
		t.Errorf("%q from %q", c.Name, c.Origin)
	}

	_, err := catalog.Open(t.Context(), cfg("faar"))
	var hint interface{ Hint() string }
	if !errors.Is(err, catalog.ErrConfig) || !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "far, near") {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestMalformedConfigurationNamesTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"catalog:\n  a: {uri: x\n":                 "[2:",
		"catalogs:\n  a: {uri: x}\n":               "[1:",
		"catalog:\n  a:\n    uri: x\n    uri: y\n": "[4:",
		"catalog:\n  a: nonsense\n":                "[2:",
		"catalog:\n  a:\n    uri: [1, 2]\n":        "property uri",
		"max-workers: many\ncatalog: {}\n":         "[1:",
		"catalog: &a\n  a: *a\n":                   "too many",
		"catalog: &a\n  <<: *a\n":                  "too many",
		"catalog:\n  a: {uri: *nobody}\n":          "[2:",
	} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, ".iceberg-go.yaml"), text)
		_, err := catalog.Open(t.Context(), catalog.Config{Name: "a", Dir: dir, Home: dir})
		if !errors.Is(err, catalog.ErrConfig) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), ".iceberg-go.yaml") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// An error shows the lines around it, and no secret that is in them.
func TestBrokenFilesKeepTheirSecrets(t *testing.T) {
	for _, text := range []string{
		"catalog:\n  a:\n    token: hush\n    uri: x\n    uri: y\n    \"s3.secret-access-key\": 'hush'\n",
		"catalog:\n  a: {credential: me:hush, uri: x, uri: y}\n",
		"catalog:\n  a:\n    uri: mysql://me:hush@h/db\n    uri: y\n",
		"catalog:\n  a:\n    token: hush\n   uri: x\n",
		"catalog:\n  a:\n    token: [hush, hush]\n",
		"catalog:\n  a:\n    auth:\n      basic:\n        password: hush\n     uri: [x\n",
	} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, ".pyiceberg.yaml"), text)
		_, err := catalog.Open(t.Context(), catalog.Config{Name: "a", Dir: dir, Home: dir})
		if !errors.Is(err, catalog.ErrConfig) || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "^") {
			t.Errorf("%s:\n%v", text, err)
		}
	}
}
