//go:build interop

package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/icewright/icewright/catalog"
)

// pyicebergConfig prints the catalog that PyIceberg takes from its files and variables.
const pyicebergConfig = `
import json, sys
from pyiceberg.utils.config import Config
c = Config()
name = sys.argv[1] if len(sys.argv) > 1 else c.get_default_catalog_name()
print(json.dumps([name, c.get_catalog_config(name)]))
`

// The same files and variables mean the same catalog, with the same properties, to
// PyIceberg and to icewright.
func TestPyIcebergReadsTheSameConfiguration(t *testing.T) {
	prod := "default-catalog: prod\ncatalog:\n  Prod:\n    URI: http://file\n    Warehouse: lake\n    header.X-Team: loads\n    s3.region: 0123\n    ssl:\n      cabundle: /ca.pem\n      client:\n        cert: /c.pem\n        key: /k.pem\n  other:\n    uri: http://other\n"
	for name, tc := range map[string]struct {
		files   map[string]string
		environ []string
		catalog string
	}{
		"home":                    {files: map[string]string{"home": prod}, catalog: "prod"},
		"another case":            {files: map[string]string{"home": prod}, catalog: "PROD"},
		"working directory":       {files: map[string]string{"dir": prod}, catalog: "prod"},
		"PYICEBERG_HOME":          {files: map[string]string{"py": prod, "home": strings.ReplaceAll(prod, "lake", "shed")}, environ: []string{"PYICEBERG_HOME=$ROOT/py"}, catalog: "prod"},
		"the file's default":      {files: map[string]string{"home": prod}},
		"the variable's default":  {files: map[string]string{"home": prod}, environ: []string{"PYICEBERG_DEFAULT_CATALOG=other"}},
		"variables alone":         {environ: []string{"PYICEBERG_CATALOG__MINE__URI=http://env", "PYICEBERG_CATALOG__MINE__S3__ACCESS_KEY_ID=id"}, catalog: "mine"},
		"variables over the file": {files: map[string]string{"home": prod}, environ: []string{"PYICEBERG_CATALOG__PROD__WAREHOUSE=theirs", "PYICEBERG_CATALOG__PROD__S3__CONNECT_TIMEOUT=6", "pyiceberg_catalog__prod__Header__X_Kind=Big"}, catalog: "prod"},
		"names with dashes":       {environ: []string{"PYICEBERG_CATALOG__MY_CAT__URI=http://env", "PYICEBERG_CATALOG__MY_CAT__REST__SIGNING_REGION=r", "PYICEBERG_CATALOG__MY_CAT__A__B__C_D=e"}, catalog: "my-cat"},
		"an empty variable":       {files: map[string]string{"home": prod}, environ: []string{"PYICEBERG_CATALOG__PROD__WAREHOUSE="}, catalog: "prod"},
	} {
		root := t.TempDir()
		for _, d := range []string{"home", "dir", "py"} {
			if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for dir, text := range tc.files {
			if err := os.WriteFile(filepath.Join(root, dir, ".pyiceberg.yaml"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		environ := []string{"HOME=" + filepath.Join(root, "home"), "PATH=" + os.Getenv("PATH")}
		for _, kv := range tc.environ {
			environ = append(environ, strings.ReplaceAll(kv, "$ROOT", root))
		}
		args := []string{"-c", pyicebergConfig}
		if tc.catalog != "" {
			args = append(args, tc.catalog)
		}
		python := exec.Command(world.python, args...)
		python.Dir, python.Env = filepath.Join(root, "dir"), environ
		var stderr bytes.Buffer
		python.Stderr = &stderr
		out, err := python.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, &stderr)
		}
		var theirs [2]any
		if err := json.Unmarshal(out, &theirs); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"catalog": fmt.Sprint(theirs[0])}
		flatten(want, "", theirs[1])

		settings, err := catalog.Config{Name: tc.catalog, Dir: python.Dir, Environ: environ}.Explain()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := map[string]string{}
		for _, s := range settings {
			if s.Key != "type" {
				got[s.Key] = s.Value
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s:\nicewright %v\nPyIceberg %v", name, got, want)
		}
	}
}

func flatten(into map[string]string, prefix string, v any) {
	m, ok := v.(map[string]any)
	if !ok {
		if text := fmt.Sprint(v); text != "" { // "" is nothing to both
			into[strings.TrimSuffix(prefix, ".")] = text
		}
		return
	}
	for k, v := range m {
		flatten(into, prefix+k+".", v)
	}
}

// A table that icewright loads into the catalog of a .pyiceberg.yaml is there for
// PyIceberg under the catalog's name, and its SQLite address is the same file to both.
func TestPyIcebergOpensTheCatalogByName(t *testing.T) {
	l := sqliteLake(t)
	for _, uri := range []string{"sqlite:///relative.db", "sqlite:///" + filepath.Join(l.dir, "absolute.db")} {
		l.put(t, ".pyiceberg.yaml", "catalog:\n  prod:\n    type: sql\n    uri: "+uri+"\n    warehouse: "+filepath.Join(l.dir, "wh")+"\n    py-io-impl: pyiceberg.io.pyarrow.PyArrowFileIO\n")
		l.put(t, "in.csv", "n,s\n1,a\n2,b\n")
		l.flags = []string{"--catalog", "prod"}
		l.load(t, "interop.named", "in.csv", "--replace-table")
		python := exec.Command(world.python, "-c", `
from pyiceberg.catalog import load_catalog
print(load_catalog("prod").load_table("interop.named").scan().to_arrow().sort_by("n").to_pylist())
`)
		python.Dir, python.Env = l.dir, append(os.Environ(), "HOME="+t.TempDir())
		out, err := python.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "[{'n': 1, 's': 'a'}, {'n': 2, 's': 'b'}]") {
			t.Errorf("%s: %v\n%s", uri, err, out)
		}
	}
}
