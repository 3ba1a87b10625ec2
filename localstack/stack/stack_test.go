package stack

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The test binary plays the server, and the program that starts one, so that these
// tests need nothing installed.
func TestMain(m *testing.M) {
	switch os.Getenv("STACK_TEST_ROLE") {
	case "server":
		err := http.ListenAndServe(os.Args[1], http.NotFoundHandler())
		fmt.Println(err)
		os.Exit(1)
	case "parent":
		p, address, err := startSelf(os.Args[1], false)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(p.PID, address)
		select {}
	default:
		os.Exit(m.Run())
	}
}

func startSelf(dir string, detach bool) (*Process, string, error) {
	ports, err := freePorts(context.Background(), 1)
	if err != nil {
		return nil, "", err
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	p, err := start(context.Background(), Options{Dir: dir, Detach: detach}, "self", "http://"+address, 20*time.Second,
		[]string{"STACK_TEST_ROLE=server"}, self, address)
	return p, address, err
}

func answers(address string) bool {
	resp, err := loopback.Get("http://" + address)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
}

func TestServerEndsWithStop(t *testing.T) {
	for _, detach := range []bool{false, true} {
		t.Run(fmt.Sprintf("detach=%v", detach), func(t *testing.T) {
			p, address, err := startSelf(t.TempDir(), detach)
			if err != nil {
				t.Fatal(err)
			}
			if !answers(address) || !p.Alive() {
				t.Errorf("the started server does not answer, or is not alive")
			}
			for range 2 {
				if err := p.Stop(); err != nil {
					t.Fatal(err)
				}
			}
			if answers(address) {
				t.Errorf("the server still answers after Stop")
			}
		})
	}
}

func TestServerEndsWhenItsParentIsKilled(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self, t.TempDir())
	parent.Env = append(os.Environ(), "STACK_TEST_ROLE=parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, address, _ := strings.Cut(strings.TrimSpace(line), " ")
	if !answers(address) {
		t.Fatalf("no server at %q", address)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed, as it should
	for deadline := time.Now().Add(time.Minute); answers(address); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the server at %s outlived its parent", address)
		}
	}
}

func TestStopDetachedSparesAnotherProgram(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	p := &Process{Name: "gone", PID: cmd.Process.Pid, Command: "/opt/versitygw --port 1"}
	if p.Alive() {
		t.Errorf("a process id taken by another program counts as alive")
	}
	if err := p.StopDetached(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the other program was ended: %v", err)
	}
}

func TestAServerThatEndsAtOnceShowsItsLog(t *testing.T) {
	_, err := start(context.Background(), Options{Dir: t.TempDir()}, "broken", "http://127.0.0.1:1", 20*time.Second, nil,
		"/bin/sh", "-c", "echo the disk is on fire; exit 3")
	if err == nil || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("got error %v, want the server's last words in it", err)
	}
}

func TestInstallIsWholeOrNothing(t *testing.T) {
	tools := &Tools{Dir: t.TempDir(), Log: t.Output()}
	if _, err := tools.install("thing", func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "half"), nil, 0o644)
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := tools.install("other", func(dir string) error { return fmt.Errorf("no network") }); err == nil ||
		!strings.Contains(err.Error(), "install other: no network") {
		t.Errorf("got error %v", err)
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if _, err := tools.install("raced", func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "file"), nil, 0o644)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	var names []string
	entries, err := os.ReadDir(tools.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "raced thing" {
		t.Errorf("the folder holds %q, want only whole tools", got)
	}
}

func TestAToolThatCannotBeFetchedSaysWhatToDo(t *testing.T) {
	var log strings.Builder
	tools := &Tools{Dir: t.TempDir(), Log: &log}
	_, err := tools.install("thing", func(string) error {
		return tools.run(exec.CommandContext(t.Context(), "/bin/sh", "-c", "echo the host is not there; exit 1"))
	})
	if err == nil || !strings.HasPrefix(err.Error(), "install thing: sh: exit status 1: ") || !strings.Contains(err.Error(), "settings of sh itself") {
		t.Errorf("got error %v", err)
	}
	if !strings.Contains(log.String(), "\nthe host is not there\n") {
		t.Errorf("the log has no word of the program's: %s", &log)
	}
	err = tools.run(exec.CommandContext(t.Context(), "no-such-program"))
	if err == nil || !strings.Contains(err.Error(), "one of the toolchains") {
		t.Errorf("got error %v", err)
	}
}

func TestUnzipStaysInside(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "a.zip")
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	if _, err := w.Create("../escaped"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := unzip(archive, t.TempDir()); err == nil {
		t.Error("an entry that leads out of the archive was taken")
	}
}

func TestUntarStaysInside(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "a.tgz")
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	zipped := gzip.NewWriter(f)
	w := tar.NewWriter(zipped)
	if err := w.WriteHeader(&tar.Header{Name: "../escaped", Typeflag: tar.TypeReg, Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []io.Closer{w, zipped, f} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := untar(archive, t.TempDir()); err == nil || !strings.Contains(err.Error(), "leads out of the archive") {
		t.Errorf("an entry that leads out of the archive: %v", err)
	}
}
