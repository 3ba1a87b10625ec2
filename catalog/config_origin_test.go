package catalog_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"

	"github.com/icewright/icewright/catalog"
)

// explain tells what cfg means there, as lines "key=value from origin". Paths are
// written from the machine's directories on.
func explain(t *testing.T, cfg catalog.Config) string {
	t.Helper()
	list, err := cfg.Explain()
	if err != nil {
		return "error: " + err.Error()
	}
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintf(&b, "%s=%s from %s\n", s.Key, s.Value, s.Origin)
	}
	return b.String()
}

// machine makes the directories dir, home, py and go with the files in them, and
// returns a Config that lives there.
func machine(t *testing.T, files map[string]string, environ ...string) (cfg catalog.Config, root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		writeFile(t, filepath.Join(root, name), text)
	}
	env := []string{"HOME=" + filepath.Join(root, "home")}
	for _, kv := range environ {
		env = append(env, strings.ReplaceAll(kv, "$ROOT", root))
	}
	return catalog.Config{Dir: filepath.Join(root, "dir"), Environ: env}, root
}

func one(uri string) string { return "catalog:\n  prod:\n    uri: " + uri + "\n" }

// Which catalog is opened, and who said so: the strongest first.
func TestWhoSaysWhichCatalog(t *testing.T) {
	everywhere := map[string]string{
		"go/.iceberg-go.yaml":   one("http://go"),
		"py/.pyiceberg.yaml":    one("http://py"),
		"dir/.iceberg-go.yaml":  one("http://dir-go") + "default-catalog: prod\n",
		"dir/.pyiceberg.yaml":   one("http://dir-py"),
		"home/.iceberg-go.yaml": one("http://home-go"),
		"home/.pyiceberg.yaml":  one("http://home-py") + "  other: {uri: \"http://other\"}\n",
	}
	from := func(names ...string) map[string]string {
		some := map[string]string{}
		for _, n := range names {
			some[n] = everywhere[n]
		}
		return some
	}
	for _, tc := range []struct {
		name    string
		files   map[string]string
		environ []string
		cfg     catalog.Config
		want    string // lines that must be there
	}{
		{"nothing at all", nil, nil, catalog.Config{}, "catalog=default from the built-in default\ntype=sql from the built-in default\n"},
		{"flags only", everywhere, nil, catalog.Config{URI: "http://flag"}, "catalog=default from the built-in default\ntype=rest from the uri\nuri=http://flag from --catalog-uri\n"},
		{
			"flag over all", everywhere,
			[]string{"PYICEBERG_HOME=$ROOT/py", "GOICEBERG_HOME=$ROOT/go", "PYICEBERG_CATALOG__PROD__URI=http://env"},
			catalog.Config{Name: "prod", URI: "http://flag"},
			"uri=http://flag from --catalog-uri",
		},
		{
			"variable over file", everywhere,
			[]string{"PYICEBERG_HOME=$ROOT/py", "PYICEBERG_CATALOG__PROD__URI=http://env"},
			catalog.Config{Name: "prod"},
			"uri=http://env from PYICEBERG_CATALOG__PROD__URI",
		},
		{"GOICEBERG_HOME", everywhere, []string{"PYICEBERG_HOME=$ROOT/py", "GOICEBERG_HOME=$ROOT/go"}, catalog.Config{Name: "prod"}, "uri=http://go from $ROOT/go/.iceberg-go.yaml:3"},
		{"PYICEBERG_HOME", everywhere, []string{"PYICEBERG_HOME=$ROOT/py"}, catalog.Config{Name: "prod"}, "uri=http://py from $ROOT/py/.pyiceberg.yaml:3"},
		{"working directory", everywhere, nil, catalog.Config{Name: "prod"}, "catalog=prod from --catalog\ntype=rest from the uri\nuri=http://dir-go from $ROOT/dir/.iceberg-go.yaml:3\n"},
		{"PyIceberg's there", from("dir/.pyiceberg.yaml", "home/.iceberg-go.yaml"), nil, catalog.Config{Name: "prod"}, "uri=http://dir-py"},
		{"home", from("home/.iceberg-go.yaml", "home/.pyiceberg.yaml"), nil, catalog.Config{Name: "prod"}, "uri=http://home-go"},
		{"PyIceberg's at home", from("home/.pyiceberg.yaml"), nil, catalog.Config{Name: "prod"}, "uri=http://home-py"},
		{"a name that only a later file has", everywhere, nil, catalog.Config{Name: "other"}, "uri=http://other"},
		{"the file's default", everywhere, nil, catalog.Config{}, "catalog=prod from $ROOT/dir/.iceberg-go.yaml:4\n"},
		{"the variable's default", everywhere, []string{"PYICEBERG_DEFAULT_CATALOG=other"}, catalog.Config{}, "catalog=other from PYICEBERG_DEFAULT_CATALOG\n"},
		{"the name's own variable", everywhere, []string{"PYICEBERG_DEFAULT_CATALOG=other"}, catalog.Config{Name: "prod", Origins: map[string]string{"catalog": "ICEWRIGHT_CATALOG"}}, "catalog=prod from ICEWRIGHT_CATALOG\n"},
		{"variables only", nil, []string{"pyiceberg_catalog__Prod__Uri=http://env"}, catalog.Config{Name: "prod"}, "uri=http://env from pyiceberg_catalog__Prod__Uri"},
		{"a catalog called default", map[string]string{"home/.pyiceberg.yaml": "catalog: {default: {uri: \"http://d\"}}"}, nil, catalog.Config{}, "catalog=default from the built-in default\ntype=rest from the uri\nuri=http://d"},
		{"a default that is not there", nil, []string{"PYICEBERG_DEFAULT_CATALOG=gone"}, catalog.Config{}, `error: PYICEBERG_DEFAULT_CATALOG: no catalog "gone"`},
		{"an empty variable takes away", everywhere, []string{"PYICEBERG_CATALOG__PROD__URI=", "PYICEBERG_CATALOG__PROD__TYPE=sql"}, catalog.Config{Name: "prod"}, "catalog=prod from --catalog\ntype=sql from PYICEBERG_CATALOG__PROD__TYPE\n"},
	} {
		cfg, root := machine(t, tc.files, tc.environ...)
		cfg.Name, cfg.URI, cfg.Origins = tc.cfg.Name, tc.cfg.URI, tc.cfg.Origins
		got, want := explain(t, cfg), strings.ReplaceAll(tc.want, "$ROOT", root)
		if !strings.Contains(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", tc.name, got, want)
		}
	}
}

// A second file with the same name adds nothing to the first, and variables are laid
// over it property by property.
func TestFilesAreNotMixedVariablesAre(t *testing.T) {
	cfg, root := machine(t, map[string]string{
		"dir/.pyiceberg.yaml":  "catalog:\n  PROD:\n    URI: http://near\n    S3.Region: r\n",
		"home/.pyiceberg.yaml": "catalog:\n  prod:\n    uri: http://far\n    token: far-token\n",
	}, "PYICEBERG_CATALOG__PROD__S3__ACCESS_KEY_ID=id", "PYICEBERG_CATALOG__PROD__S3__SECRET_ACCESS_KEY=hush-hush",
		"PYICEBERG_CATALOG__PROD__HEADER__X_TEAM=loads", "PYICEBERG_CATALOG__OTHER__URI=http://other", "AWS_ENDPOINT_URL=http://aws",
		"AWS_SESSION_TOKEN=aws-hush", "AWS_REGION=nowhere")
	cfg.Name, cfg.Props = "Prod", iceberg.Properties{"header.x-team": "flags"}
	want := strings.ReplaceAll(`catalog=Prod from --catalog
header.x-team=flags from --catalog-prop
s3.access-key-id=id from PYICEBERG_CATALOG__PROD__S3__ACCESS_KEY_ID
s3.endpoint=http://aws from AWS_ENDPOINT_URL
s3.region=r from $ROOT/dir/.pyiceberg.yaml:4
s3.secret-access-key=(secret) from PYICEBERG_CATALOG__PROD__S3__SECRET_ACCESS_KEY
s3.session-token=(secret) from AWS_SESSION_TOKEN
type=rest from the uri
uri=http://near from $ROOT/dir/.pyiceberg.yaml:3
`, "$ROOT", root)
	if got := explain(t, cfg); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// Values are what is written, whatever YAML would make of them.
func TestValuesAreTexts(t *testing.T) {
	cfg, _ := machine(t, map[string]string{"dir/.iceberg-go.yaml": `
base: &base {region: 0123}
catalog:
  a: &a
    type: sql
    s3: *base
    s3.access-key-id: 0755
    s3.role-session-name: 1e3
    prefix: 1.10
    audience: yes
    resource: "quo: ted"
    s3.anonymous: true
    scope: >
      folded
      text
    header.n: ~
    s3.connect-timeout: 007
  b:
    <<: *a
    prefix: own
`})
	cfg.Name = "a"
	got := explain(t, cfg)
	for _, want := range []string{
		"s3.region=0123 ", "s3.access-key-id=0755 ", "s3.role-session-name=1e3 ", "prefix=1.10 ", "audience=yes ",
		"resource=quo: ted ", "s3.anonymous=true ", "scope=folded text", "s3.connect-timeout=007 ",
	} {
		if !strings.Contains(got, "\n"+want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "header.n") {
		t.Errorf("a null is no value:\n%s", got)
	}
	cfg.Name = "b"
	if got := explain(t, cfg); !strings.Contains(got, "prefix=own ") || !strings.Contains(got, "s3.region=0123 ") {
		t.Errorf("merged:\n%s", got)
	}
}

// What PyIceberg's files say and this program does not do is refused or noted, by name.
func TestPropertiesThatAreNotHeeded(t *testing.T) {
	for yaml, want := range map[string]struct{ err, hint, note string }{
		"s3.remote-signing-enabled: true":  {err: "s3.remote-signing-enabled is not supported", hint: "vend"},
		"s3.signer: S3V4RestSigner":        {err: "s3.signer is not supported", hint: "vend"},
		"py-catalog-impl: my.Catalog":      {err: "py-catalog-impl is not supported", hint: "type"},
		"s3.remote-signing-enabled: FALSE": {},
		"py-io-impl: pyiceberg.io.Fsspec":  {},
		"header.X-Anything: a":             {},
		"my-own-thing: a":                  {},
		"s3.acess-key-id: a":               {note: "s3.acess-key-id is not known; did you mean s3.access-key-id?"},
		"adls.account-key: k":              {note: "adls.* is not used"},
		"gcs.oauth2.token: k":              {note: "gcs.* is not used"},
	} {
		cfg, root := machine(t, map[string]string{"dir/.pyiceberg.yaml": "catalog:\n  a:\n    type: sql\n    " + yaml + "\n"})
		cfg.Name = "a"
		var notes []string
		cfg.Warn = func(text string) { notes = append(notes, text) }
		c, err := catalog.Open(t.Context(), cfg)
		if err == nil {
			c.Close()
		}
		var hint interface{ Hint() string }
		where := filepath.Join(root, "dir", ".pyiceberg.yaml:4")
		switch {
		case want.err == "" && err != nil:
			t.Errorf("%s: %v", yaml, err)
		case want.err != "" && (!errors.Is(err, catalog.ErrConfig) || !strings.Contains(err.Error(), where+": "+want.err) ||
			!errors.As(err, &hint) || !strings.Contains(hint.Hint(), want.hint)):
			t.Errorf("%s: %v", yaml, err)
		case want.note == "" && len(notes) > 0, want.note != "" && (len(notes) != 1 || !strings.Contains(notes[0], want.note) || !strings.Contains(notes[0], where)):
			t.Errorf("%s: notes %q, want %q", yaml, notes, want.note)
		}
	}
}

func TestSecretsAreKnownByName(t *testing.T) {
	for _, key := range []string{
		"token", "credential", "s3.secret-access-key", "client.secret-access-key", "s3.session-token", "glue.secret-access-key",
		"adls.account-key", "adls.sas-token", "adls.sas-token.account.dfs", "adls.connection-string", "adls.client-secret", "gcs.oauth2.token", "gcs.jsonkey",
		"jdbc.password", "password", "auth.basic.password", "auth.oauth2.client_secret", "rest.auth.basic.password", "header.Authorization", "header.X-Api-Key",
		"header.Cookie", "hf.token", "urn:ietf:params:oauth:token-type:jwt", "rest.secret-access-key", "adls.auth.shared-key.account.key",
	} {
		if !catalog.IsSecret(key) || strings.Contains(catalog.Redact(key, "hush"), "hush") {
			t.Errorf("%s is secret", key)
		}
	}
	for _, key := range []string{
		"uri", "warehouse", "s3.access-key-id", "s3.endpoint", "oauth2-server-uri", "scope", "header.X-Team", "token-expires-in-ms",
		"token-exchange-enabled", "auth.oauth2.token_url", "s3.session-token-expires-at-ms", "ssl.client.key", "auth.oauth2.client_id",
	} {
		if catalog.IsSecret(key) {
			t.Errorf("%s is not secret", key)
		}
	}
	for uri, want := range map[string]string{
		"postgresql+psycopg2://me:p@ss/w:rd@h:5432/db": "postgresql+psycopg2://me:(secret)@h:5432/db",
		"mysql://me:pw@h/db?password=x&ssl=true":       "mysql://me:(secret)@h/db?password=(secret)&ssl=true",
		"https://h/a@b":                                "https://h/a@b",
		"https://me@h/":                                "https://me@h/",
		"sqlite:////a/b.db":                            "sqlite:////a/b.db",
		"plain:text@x":                                 "plain:text@x",
	} {
		if got := catalog.RedactURI(uri); got != want && !strings.Contains(uri, "p@ss/") || strings.Contains(got, "p@ss") || strings.Contains(got, ":pw@") {
			t.Errorf("%s is shown as %s", uri, got)
		}
	}
}

// Each property that is known is one that Explain shows, under its own name.
func TestEveryPropertyHasOneMeaning(t *testing.T) {
	var names []string
	for _, list := range [][]catalog.Property{catalog.CommonProperties, catalog.RESTProperties, catalog.S3Properties} {
		for _, p := range list {
			if slices.Contains(names, p.Name) {
				t.Errorf("%s is listed twice", p.Name)
			}
			names = append(names, p.Name)
		}
	}
}
