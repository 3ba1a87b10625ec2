//go:build full

package catalog

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	hms "github.com/beltran/gohive/hive_metastore"
)

// silentServer takes what it is sent, and hangs up or says nothing.
func silentServer(t *testing.T, hangUp bool) (uri string, sent func() []byte) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	got := make(chan []byte, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			n, _ := conn.Read(buf)
			got <- buf[:n]
			if hangUp {
				conn.Close()
			} else {
				t.Cleanup(func() { conn.Close() })
			}
		}
	}()
	return "thrift://" + l.Addr().String(), func() []byte { return <-got }
}

func TestHiveProperties(t *testing.T) {
	c, err := newHiveClient(iceberg.Properties{
		"uri": "thrift://a.example, thrift://b.example:9084", "ugi": "loads:etl",
		"hive.metastore.client.socket.timeout": "600s", "iceberg.hive.lock-timeout-ms": "1000",
		"iceberg.hive.lock-check-min-wait-ms": "10", "iceberg.hive.lock-check-max-wait-ms": "20", "iceberg.engine.hive.lock-enabled": "false",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.servers, " "); got != "a.example:9083 b.example:9084" {
		t.Errorf("servers %s", got)
	}
	if want := (hiveLocks{true, time.Second, 10 * time.Millisecond, 20 * time.Millisecond}); c.locks != want {
		t.Errorf("locks %+v, want %+v", c.locks, want)
	}
	if c.timeout != 10*time.Minute || c.owner != "loads" || len(c.ugi) != 2 {
		t.Errorf("%+v", c)
	}
	for key, value := range map[string]string{
		"uri": "thrift://", "hive.metastore.client.socket.timeout": "soon", "iceberg.hive.lock-timeout-ms": "1s",
		"iceberg.engine.hive.lock-enabled": "perhaps",
	} {
		props := iceberg.Properties{"uri": "thrift://a.example"}
		props[key] = value
		_, err := newHiveClient(props)
		var e *ConfigError
		if !errors.As(err, &e) || e.Hint() == "" || !strings.Contains(e.Error(), value) {
			t.Errorf("%s=%s: %v", key, value, err)
		}
	}
}

// A metastore that hangs up, as one does that wants SASL, is no time to wait for; one that is silent is, as long as
// the configuration says. Whoever is to act is said first.
func TestHiveThatDoesNotAnswer(t *testing.T) {
	uri, sent := silentServer(t, true)
	_, err := Open(t.Context(), Config{URI: uri, Dir: t.TempDir(), Props: iceberg.Properties{"ugi": "loads:etl"}})
	if first := sent(); !bytes.Contains(first, []byte("set_ugi")) || !bytes.Contains(first, []byte("loads")) || !bytes.Contains(first, []byte("etl")) {
		t.Errorf("the first request is %q", first)
	}
	var hint interface{ Hint() string }
	if !errors.Is(err, ErrTransient) || !errors.As(err, &hint) || !strings.Contains(hint.Hint(), "SASL") {
		t.Errorf("hung up: %v", err)
	}

	uri, _ = silentServer(t, false)
	started := time.Now()
	_, err = Open(t.Context(), Config{URI: uri, Dir: t.TempDir(), Props: iceberg.Properties{"hive.metastore.client.socket.timeout": "1"}})
	if took := time.Since(started); !errors.Is(err, ErrTransient) || took < time.Second || took > 20*time.Second {
		t.Errorf("silent: %v after %v", err, took)
	}
}

// Types that Hive lacks are shown to it as others; names that look like types stay.
func TestHiveColumns(t *testing.T) {
	for given, want := range map[string]string{
		"binary(16)": "binary", "timestamptz_ns": "timestamp", "variant": "string", "bigint": "bigint",
		"struct<variant:variant,a:array<binary(4)>,timestamp_ns:timestamp_ns>": "struct<variant:string,a:array<binary>,timestamp_ns:timestamp>",
	} {
		tbl := &hms.Table{Sd: &hms.StorageDescriptor{Cols: []*hms.FieldSchema{{Name: "c", Type: given}}}}
		hiveColumns(tbl)
		if got := tbl.Sd.Cols[0].Type; got != want {
			t.Errorf("%s: %s, want %s", given, got, want)
		}
	}
}
