//go:build interop

package interop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/icewright/icewright/localstack/stack"
)

// world is what all tests share: the built program, the reader and the servers. The
// servers start when a test first asks for them and end with the test binary.
var world struct {
	icewright string // path of the program
	tools     *stack.Tools
	python    string
	dir       string
}

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (int, error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "icewright-interop-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	world.dir = dir

	world.icewright = filepath.Join(dir, "icewright")
	build := exec.CommandContext(ctx, "go", "build", "-o", world.icewright, "../cmd/icewright")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build icewright: %w\n%s", err, out)
	}
	if world.tools, err = stack.FindTools(os.Stderr); err != nil {
		return 0, err
	}
	if world.python, err = world.tools.Python(ctx, "requirements.txt"); err != nil {
		return 0, err
	}
	code := m.Run()
	for _, stop := range stops {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code, nil
}

// stops end the servers, the last started first.
var stops []func() error

// server returns a function that starts a server once and hands the same one to every test.
func server[T interface{ Stop() error }](start func() (T, error)) func(testing.TB) T {
	var once sync.Once
	var s T
	var err error
	return func(t testing.TB) T {
		t.Helper()
		once.Do(func() {
			if s, err = start(); err == nil {
				stops = append([]func() error{s.Stop}, stops...)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func serverOptions(name string) stack.Options {
	return stack.Options{Dir: filepath.Join(world.dir, name)}
}

var versitygw = server(func() (*stack.S3, error) {
	return stack.StartVersitygw(context.Background(), world.tools, serverOptions("versitygw"))
})

var minio = server(func() (*stack.S3, error) {
	return stack.StartMinIO(context.Background(), world.tools, serverOptions("minio"))
})
