package main

import (
	"compress/gzip"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/icewright/icewright/internal/fault"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"icewright": func() { fault.HeedPoints(); main() }})
}

// The scripts are the manual of the command line, executed: each tells one story.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("NO_COLOR", "1")
			flights, err := filepath.Abs("../../examples/flights")
			if err != nil {
				return err
			}
			env.Setenv("FLIGHTS", flights)
			return os.Mkdir(filepath.Join(env.WorkDir, "home"), 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"pack":  pack,
			"serve": serve,
			"files": files,
			"keep":  keep,
			"print": printFiles,
			"typed": typed,
			"avro":  avroFile,
		},
	})
}

// exits CODE COMMAND ARGS... runs a command and wants that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if err != nil {
		m := regexp.MustCompile(`exit status (\d+)`).FindStringSubmatch(err.Error())
		if m == nil {
			ts.Fatalf("%s: %v", args[1], err)
		}
		code, _ = strconv.Atoi(m[1])
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// pack gzip|zstd FROM TO compresses a file.
func pack(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: pack gzip|zstd FROM TO")
	}
	text := ts.ReadFile(args[1])
	f, err := os.Create(ts.MkAbs(args[2]))
	ts.Check(err)
	defer f.Close()
	if args[0] == "gzip" {
		w := gzip.NewWriter(f)
		_, err = w.Write([]byte(text))
		ts.Check(err)
		ts.Check(w.Close())
		return
	}
	w, err := zstd.NewWriter(f)
	ts.Check(err)
	_, err = w.Write([]byte(text))
	ts.Check(err)
	ts.Check(w.Close())
}

// breaking is an answer whose connection breaks off after five bytes.
type breaking struct{ http.ResponseWriter }

func (w breaking) Write(p []byte) (int, error) {
	_, _ = w.ResponseWriter.Write(p[:5])
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

// serve DIR [tls] serves the files of a directory at $URL, and at $USERURL with user and password. Below
// /flaky/ the first answer is 503, below /down/ every one, below /broken/ the first one of the whole file
// breaks off, and /private/ wants the password. With tls, ca.pem is the certificate.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: serve DIR [tls]")
	}
	dir := http.Dir(ts.MkAbs(args[0]))
	var flaked, broke atomic.Bool
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		_, password, _ := r.BasicAuth()
		switch {
		case kind == "down", kind == "flaky" && !flaked.Swap(true):
			http.Error(w, "", http.StatusServiceUnavailable)
			return
		case kind == "private" && password != "hunter2":
			http.Error(w, "", http.StatusUnauthorized)
			return
		case kind == "broken" && r.Header.Get("Range") == "" && !broke.Swap(true):
			r.URL.Path, w = "/"+rest, breaking{w}
		case kind == "down", kind == "flaky", kind == "private", kind == "broken":
			r.URL.Path = "/" + rest
		}
		http.FileServer(dir).ServeHTTP(w, r)
	})
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	if len(args) == 2 {
		server.StartTLS()
		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), ca, 0o644))
	} else {
		server.Start()
	}
	ts.Defer(server.Close)
	ts.Setenv("URL", server.URL)
	ts.Setenv("USERURL", strings.Replace(server.URL, "://", "://me:hunter2@", 1))
}

// files N DIR GLOB wants N files below DIR whose names match GLOB: the litter, counted.
func files(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: files N DIR GLOB")
	}
	found := find(ts, args[1], args[2])
	if strconv.Itoa(len(found)) != args[0] {
		ts.Fatalf("%d files, want %s:\n%s", len(found), args[0], strings.Join(found, "\n"))
	}
}

// print DIR GLOB puts the files below DIR whose names match GLOB on standard output.
func printFiles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: print DIR GLOB")
	}
	for _, path := range find(ts, args[0], args[1]) {
		fmt.Fprint(ts.Stdout(), ts.ReadFile(path))
	}
}

func find(ts *testscript.TestScript, dir, glob string) (found []string) {
	_ = filepath.WalkDir(ts.MkAbs(dir), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if ok, _ := filepath.Match(glob, d.Name()); ok {
				found = append(found, path)
			}
		}
		return nil
	})
	return found
}

// keep NAME PATTERN sets $NAME to what the first group of PATTERN matches in the last standard output.
func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keep NAME PATTERN")
	}
	m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("%s is not in the output", args[1])
	}
	ts.Setenv(args[0], m[1])
	ts.Logf("%s=%s", args[0], m[1])
}
