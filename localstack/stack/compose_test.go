package stack

import (
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// What can be held of compose.yaml without Docker: images are pinned, ports are this machine's alone,
// what one service names another has, Nessie and MinIO are set up as they are for the tests, and Trino's catalog as it is for `localstack up`.
func TestCompose(t *testing.T) {
	text, err := os.ReadFile("../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type service struct {
		Image       string
		Build       map[string]any
		Environment map[string]string
		Ports       []string
		Volumes     []string
		Profiles    []string
		Configs     []struct{ Source string }
		Entrypoint  any
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Healthcheck map[string]any
	}
	var c struct {
		Services map[string]service
		Configs  map[string]struct{ Content string }
		Volumes  map[string]any
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"minio", "nessie", "icewright", "dremio", "spark", "trino", "polaris", "lakekeeper"} {
		if _, ok := c.Services[name]; !ok {
			t.Errorf("there is no service %s", name)
		}
	}
	pinned := regexp.MustCompile(`:v?[A-Z]*[.]?\d[\w.-]*$`)
	used := map[string]bool{}
	for name, s := range c.Services {
		if s.Build == nil && !pinned.MatchString(s.Image) {
			t.Errorf("%s: image %q has no version", name, s.Image)
		}
		for _, p := range s.Ports {
			if host := p[:strings.LastIndex(p, ":")]; !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to the network", name, p)
			} else if used[host] {
				t.Errorf("%s: port %s is taken twice", name, p)
			} else {
				used[host] = true
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if _, ok := c.Volumes[from]; !ok && !strings.HasPrefix(from, ".") {
				t.Errorf("%s: no volume %s", name, from)
			}
		}
		for _, f := range s.Configs {
			if _, ok := c.Configs[f.Source]; !ok {
				t.Errorf("%s: no config %s", name, f.Source)
			}
		}
		for other, d := range s.DependsOn {
			o, ok := c.Services[other]
			switch {
			case !ok:
				t.Errorf("%s: no service %s", name, other)
			case d.Condition == "service_healthy" && o.Healthcheck == nil:
				t.Errorf("%s waits for %s to be healthy, which has no check", name, other)
			}
		}
	}
	want := map[string]string{}
	for _, p := range nessieSettings(&S3{Endpoint: "http://minio:9000", Region: region, AccessKey: accessKey, SecretKey: secretKey, Bucket: bucket}) {
		want[p[0]] = p[1]
	}
	if got := c.Services["nessie"].Environment; !maps.Equal(got, want) {
		t.Errorf("nessie is set up by %v, and for the tests by %v", got, want)
	}
	if image := c.Services["nessie"].Image; !strings.HasSuffix(image, ":"+nessieVersion) {
		t.Errorf("%s, and the tests have %s", image, nessieVersion)
	}
	trino := ""
	for _, p := range TrinoCatalog(&REST{URI: "http://nessie:19120/iceberg", Warehouse: nessieWarehouse}, &S3{Endpoint: "http://minio:9000", Region: region, AccessKey: accessKey, SecretKey: secretKey}) {
		trino += p[0] + "=" + p[1] + "\n"
	}
	if got := c.Configs["trino-lake"].Content; got != trino {
		t.Errorf("trino is led to the lake by\n%s\nand by `localstack up` by\n%s", got, trino)
	}
	if image := c.Services["trino"].Image; !strings.HasSuffix(image, ":"+trinoVersion) {
		t.Errorf("%s, and `localstack up` has %s", image, trinoVersion)
	}
	env := c.Services["minio"].Environment
	if env["MINIO_ROOT_USER"] != accessKey || env["MINIO_ROOT_PASSWORD"] != secretKey {
		t.Error("MinIO's keys are not those of the stack")
	}
	for _, name := range []string{"icewright", "spark", "polaris"} {
		if env := c.Services[name].Environment; env["AWS_ACCESS_KEY_ID"] != accessKey || env["AWS_SECRET_ACCESS_KEY"] != secretKey || env["AWS_ENDPOINT_URL_S3"] != "http://minio:9000" {
			t.Errorf("%s has other keys: %v", name, env)
		}
	}

	// Spark and Trino on a machine of one's own are set up as they are in their containers.
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	settings := strings.Split(strings.TrimSpace(c.Configs["trino-lake"].Content), "\n")
	args, _ := c.Services["spark"].Entrypoint.([]any)
	for _, arg := range args {
		if text, _ := arg.(string); strings.HasPrefix(text, "--") && !strings.Contains(text, "spark.jars.ivy") {
			settings = append(settings, text)
		}
	}
	if len(settings) < 20 {
		t.Errorf("%d settings of Spark and Trino: %q", len(settings), settings)
	}
	outside := strings.NewReplacer("//nessie:", "//127.0.0.1:", "//minio:", "//127.0.0.1:")
	lines := strings.ReplaceAll(strings.ReplaceAll(string(page), " \\\n", "\n"), "\n  --", "\n--")
	for _, line := range settings {
		if want := "\n" + outside.Replace(line) + "\n"; !strings.Contains(lines, want) {
			t.Errorf("README.md lacks %s", strings.TrimSpace(want))
		}
	}
}
