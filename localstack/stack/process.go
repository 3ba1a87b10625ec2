package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is one server program that this package started.
type Process struct {
	Name string `json:"name"`
	// PID is the server's process id, or that of the shell that watches over it.
	PID int `json:"pid"`
	// Command is the program and its arguments, joined by spaces; it tells the process
	// from a later one with the same id.
	Command string `json:"command"`
	// Log is the file with everything the server printed.
	Log string `json:"log"`

	cmd     *exec.Cmd
	release *os.File // its closing tells the watching shell to end the server
	exited  chan struct{}
}

// Options of a server.
type Options struct {
	// Dir holds the server's data and its log: an absolute path, made when missing.
	Dir string
	// Detach lets the server outlive this process. The default ties it to this process:
	// it ends when this one does, even by SIGKILL.
	Detach bool
	// Vend has a catalog hand out temporary keys for its tables, which the S3 server's STS
	// makes: Nessie on MinIO can. The default leaves its clients to their own keys.
	Vend bool
	// Cert and Key are files of the certificate, in PEM, with which a database encrypts connections
	// for those who want it. The default, "", encrypts none.
	Cert, Key string
}

// watcher ends the server when the pipe on its standard input closes, which the system
// does whatever way the holder of the other end dies. Plain POSIX sh, because a parent
// death signal exists on Linux only and follows the thread, not the process.
const watcher = `
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
(read -r _ <&3; kill "$server") &
reader=$!
exec 3<&-
trap 'kill "$server"' TERM
wait "$server"
kill "$reader" 2>/dev/null
`

// start runs a program and waits until healthURL answers with a status below 500; of a
// tcp:// URL, until something listens there.
func start(ctx context.Context, o Options, name, healthURL string, limit time.Duration, env []string, argv ...string) (*Process, error) {
	if !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("start %s: the folder %q is not absolute, and the server runs in it", name, o.Dir)
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	p := &Process{Name: name, Command: strings.Join(argv, " "), Log: filepath.Join(o.Dir, name+".log"), exited: make(chan struct{})}
	log, err := os.Create(p.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()

	// A group of its own keeps a Ctrl-C at the terminal from the server: whoever started
	// it ends it in order.
	life := context.WithoutCancel(ctx) // ctx bounds the start, Stop ends the server
	p.cmd = exec.CommandContext(life, argv[0], argv[1:]...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !o.Detach {
		p.cmd = exec.CommandContext(life, "/bin/sh", append([]string{"-c", watcher, "watch"}, argv...)...)
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		p.cmd.Stdin, p.release = r, w
	}
	p.cmd.Dir = o.Dir
	p.cmd.Env = append(cleanEnv(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.PID = p.cmd.Process.Pid
	go func() {
		_ = p.cmd.Wait() // its end is what counts; why it ended is in the log
		close(p.exited)
	}()

	if err := p.await(ctx, healthURL, limit); err != nil {
		_ = p.Stop() // the reason not to start is the one to report
		return nil, fmt.Errorf("start %s: %w\n%s", name, err, p.tail())
	}
	return p, nil
}

// cleanEnv is this process's environment without what would reconfigure a server or
// send its requests elsewhere.
func cleanEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch upper := strings.ToUpper(name); {
		case strings.HasPrefix(upper, "AWS_"), strings.HasPrefix(upper, "MINIO_"), strings.HasPrefix(upper, "VGW_"),
			strings.HasPrefix(upper, "NESSIE_"), strings.HasPrefix(upper, "PG"), strings.HasPrefix(upper, "MYSQL_"), strings.HasPrefix(upper, "QUARKUS_"), strings.HasSuffix(upper, "_PROXY"):
		default:
			env = append(env, kv)
		}
	}
	return env
}

func (p *Process) await(ctx context.Context, url string, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not healthy after %v", limit))
	defer cancel()
	for {
		up, err := healthy(ctx, url)
		if err != nil || up {
			return err
		}
		select {
		case <-p.exited:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// healthy asks once whether a server is healthy. Its error says that url cannot be asked.
func healthy(ctx context.Context, url string) (bool, error) {
	if address, ok := strings.CutPrefix(url, "tcp://"); ok {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	resp, err := loopback.Do(req)
	if err != nil {
		return false, nil //nolint:nilerr // not yet
	}
	resp.Body.Close()
	return resp.StatusCode < 500, nil
}

// loopback never takes a proxy from the environment.
var loopback = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// Stop ends the server and waits for its end: SIGTERM first, SIGKILL after 10 seconds.
// A second Stop does nothing.
func (p *Process) Stop() error {
	select {
	case <-p.exited:
		return nil
	default:
	}
	if p.release != nil {
		p.release.Close()
	} else {
		_ = syscall.Kill(p.PID, syscall.SIGTERM)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(10 * time.Second):
	}
	// The shell leads a group of its own that holds it and the server, nothing else; a
	// detached server leads its session.
	if err := syscall.Kill(-p.PID, syscall.SIGKILL); err != nil {
		return fmt.Errorf("stop %s (pid %d): %w", p.Name, p.PID, err)
	}
	<-p.exited
	return nil
}

// StopDetached ends a server that another process detached. It does nothing where the
// process is gone or its id belongs to another program by now.
func (p *Process) StopDetached() error {
	if !p.Alive() {
		return nil
	}
	if err := syscall.Kill(p.PID, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s (pid %d): %w", p.Name, p.PID, err)
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if !p.Alive() {
			return nil
		}
	}
	return syscall.Kill(p.PID, syscall.SIGKILL)
}

// Alive says whether the process still runs the program that was started under its id.
func (p *Process) Alive() bool {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "cmdline"))
	if err == nil {
		line = bytes.ReplaceAll(line, []byte{0}, []byte(" "))
	} else if _, linux := os.Stat("/proc/self"); linux != nil {
		line, err = exec.CommandContext(context.Background(), "ps", "-o", "command=", "-p", strconv.Itoa(p.PID)).Output()
	}
	return err == nil && bytes.Contains(line, []byte(p.Command))
}

// tail is the end of the log, for an error message.
func (p *Process) tail() string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// freePorts returns n loopback ports that nothing listened on a moment ago. They are
// held together, so that they differ.
func freePorts(ctx context.Context, n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}
