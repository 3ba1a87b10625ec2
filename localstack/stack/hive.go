package stack

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Hive 4.0.0 is the newest that PyIceberg can talk to: 4.0.1 has no get_table any more. It compares what an
// alteration expects (HIVE-26882).
const hiveVersion = "4.0.0"

//go:embed hivemetastore/pom.xml
var hiveFiles embed.FS

// Hive is a running Hive Metastore, which keeps its tables in a Derby database of its own. It asks its
// clients for no password, and stores files on local disks only.
type Hive struct {
	*Process `json:"process"`
	// URI is what clients call the catalog's uri.
	URI string `json:"uri"`
	// Port is the loopback port.
	Port int `json:"port"`
	// LockTimeout is how long the lock of a client that died stays.
	LockTimeout time.Duration `json:"lock_timeout"`
}

// hive returns a folder with the metastore and, in derby, an empty database with its schema.
func (t *Tools) hive(ctx context.Context) (string, error) {
	pom, err := hiveFiles.ReadFile("hivemetastore/pom.xml")
	if err != nil {
		return "", err
	}
	return t.install("hive-"+hiveVersion+"-"+key(pom), func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "pom.xml"), pom, 0o644); err != nil {
			return err
		}
		mvn := []string{"--batch-mode", "--no-transfer-progress", "--quiet", "--file", filepath.Join(dir, "pom.xml")}
		for _, args := range [][]string{
			{mavenCopy + "copy", "-Dartifact=org.apache.hive:hive-standalone-metastore-server:" + hiveVersion + ":tar.gz:bin", "-DoutputDirectory=" + dir},
			{mavenCopy + "copy-dependencies", "-DoutputDirectory=" + filepath.Join(dir, "hadoop")},
		} {
			if err := t.run(exec.CommandContext(ctx, "mvn", append(mvn, args...)...)); err != nil {
				return err
			}
		}
		archive := filepath.Join(dir, "hive-standalone-metastore-server-"+hiveVersion+"-bin.tar.gz")
		if err := untar(archive, dir); err != nil {
			return err
		}
		if err := os.Remove(archive); err != nil {
			return err
		}
		home := filepath.Join(dir, "apache-hive-metastore-"+hiveVersion+"-bin")
		if err := os.Rename(home, filepath.Join(dir, "metastore")); err != nil {
			return err
		}
		// The schema takes a quarter of a minute, so that servers start with a copy of the database.
		conf := filepath.Join(dir, "conf")
		if err := writeHiveSite(conf, filepath.Join(dir, "derby"), nil); err != nil {
			return err
		}
		schema := exec.CommandContext(ctx, "java", hiveArgs(dir, conf, "org.apache.hadoop.hive.metastore.tools.schematool.MetastoreSchemaTool",
			"-dbType", "derby", "-initSchema")...)
		schema.Dir = dir
		schema.Env = append(cleanEnv(), "METASTORE_HOME="+filepath.Join(dir, "metastore"))
		return t.run(schema)
	})
}

// hiveArgs are the arguments of java for one of the metastore's programs.
func hiveArgs(dir, conf, class string, args ...string) []string {
	argv := []string{"-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
	// Requests for locks that get into one another's way in Derby are tried again after these seconds, not after 60.
	argv = append(argv, "-Dderby.locks.deadlockTimeout=1", "-Dderby.locks.waitTimeout=2")
	for _, opened := range []string{"java.base/java.lang", "java.base/java.net", "java.base/java.util", "java.base/java.io", "java.sql/java.sql"} {
		argv = append(argv, "--add-opens="+opened+"=ALL-UNNAMED")
	}
	path := strings.Join([]string{conf, filepath.Join(dir, "metastore", "lib", "*"), filepath.Join(dir, "hadoop", "*")}, string(os.PathListSeparator))
	return append(append(argv, "-cp", path, class), args...)
}

// writeHiveSite writes the metastore's configuration into the folder conf.
func writeHiveSite(conf, derby string, more map[string]string) error {
	settings := map[string]string{
		"javax.jdo.option.ConnectionURL": "jdbc:derby:;databaseName=" + derby + ";create=true",
	}
	for k, v := range more {
		settings[k] = v
	}
	text := "<configuration>\n"
	for k, v := range settings {
		text += "  <property><name>" + k + "</name><value>" + v + "</value></property>\n"
	}
	if err := os.MkdirAll(conf, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(conf, "metastore-site.xml"), []byte(text+"</configuration>\n"), 0o644)
}

// StartHive starts Hive's standalone metastore on an empty Derby database.
func StartHive(ctx context.Context, t *Tools, o Options) (*Hive, error) {
	dir, err := t.hive(ctx)
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	derby, conf := filepath.Join(o.Dir, "derby"), filepath.Join(o.Dir, "conf")
	if _, err := os.Stat(derby); os.IsNotExist(err) {
		if err := os.CopyFS(derby, os.DirFS(filepath.Join(dir, "derby"))); err != nil {
			return nil, err
		}
	}
	const lockTimeout = 20 * time.Second
	if err := writeHiveSite(conf, derby, map[string]string{
		"metastore.thrift.bind.host":          "127.0.0.1",
		"metastore.warehouse.dir":             "file://" + filepath.Join(o.Dir, "warehouse"),
		"metastore.hmshandler.retry.interval": "50ms",
		// Locks that nobody asks about any more are dropped by a thread that is off by default.
		"metastore.txn.timeout":               fmt.Sprintf("%ds", int(lockTimeout.Seconds())),
		"metastore.housekeeping.threads.on":   "true",
		"metastore.acid.housekeeper.interval": "5s",
	}); err != nil {
		return nil, err
	}
	argv := append([]string{"java"}, hiveArgs(dir, conf, "org.apache.hadoop.hive.metastore.HiveMetaStore", "-p", strconv.Itoa(ports[0]))...)
	p, err := start(ctx, o, "hive", fmt.Sprintf("tcp://127.0.0.1:%d", ports[0]), 2*time.Minute, nil, argv...)
	if err != nil {
		return nil, err
	}
	return &Hive{p, fmt.Sprintf("thrift://127.0.0.1:%d", ports[0]), ports[0], lockTimeout}, nil
}
