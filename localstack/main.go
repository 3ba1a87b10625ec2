// Localstack runs an S3 server and an Iceberg REST catalog on this machine, and Trino for those who want it,
// for trying icewright out and for looking into a failing test:
//
//	go run ./localstack up       start them, print the environment that leads icewright to them
//	go run ./localstack env      print that environment again
//	go run ./localstack status   say what runs where
//	go run ./localstack down     stop them; --purge removes their data too
//	go run ./localstack install  install everything that the servers and `make interop` use
//
// README.md beside this file says what it installs and where.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/icewright/icewright/localstack/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "localstack: %v\n", err)
		stop()
		os.Exit(1)
	}
}

const usage = `usage: localstack up [--s3 versitygw|minio] [--catalog iceberg|nessie] [--engine trino]
       localstack env|status|install
       localstack down [--purge]`

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprintln(stderr, usage) }
	s3 := flags.String("s3", "versitygw", "")
	catalog := flags.String("catalog", "iceberg", "")
	engine := flags.String("engine", "", "")
	purge := flags.Bool("purge", false, "")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q\n%s", flags.Arg(0), usage)
	}
	tools, err := stack.FindTools(stderr)
	if err != nil {
		return err
	}
	home := filepath.Join(tools.Dir, "up")
	switch args[0] {
	case "up":
		return up(ctx, tools, home, *s3, *catalog, *engine, stdout, stderr)
	case "down":
		return down(home, *purge, stderr)
	case "status":
		return status(home, stdout)
	case "install":
		return tools.InstallAll(ctx)
	case "env":
		r, err := load(home)
		if err != nil {
			return err
		}
		r.printEnvironment(stdout)
		return nil
	default:
		return fmt.Errorf("unknown command %q\n%s", args[0], usage)
	}
}

// running is what `up` started; it is kept in running.json for the other commands.
type running struct {
	S3   *stack.S3   `json:"s3"`
	REST *stack.REST `json:"rest"`
	// Trino is nil where it was not asked for.
	Trino *stack.Trino `json:"trino,omitempty"`
}

// server is one of those that run, with its address.
type server struct {
	*stack.Process
	url string
}

func (r *running) servers() []server {
	all := []server{{r.S3.Process, r.S3.Endpoint}, {r.REST.Process, r.REST.URI}}
	if r.Trino != nil {
		all = append(all, server{r.Trino.Process, r.Trino.URI})
	}
	return all
}

func up(ctx context.Context, tools *stack.Tools, home, s3, catalog, engine string, stdout, stderr io.Writer) error {
	if engine != "" && engine != "trino" {
		return fmt.Errorf("--engine %q: there is trino", engine)
	}
	if r, err := load(home); err == nil {
		if !slices.ContainsFunc(r.servers(), func(s server) bool { return !s.Alive() }) && (engine == "" || r.Trino != nil) {
			fmt.Fprintln(stderr, "already up")
			r.printEnvironment(stdout)
			return nil
		}
		if err := down(home, false, stderr); err != nil {
			return err
		}
	}
	startS3, ok := map[string]func(context.Context, *stack.Tools, stack.Options) (*stack.S3, error){
		"versitygw": stack.StartVersitygw,
		"minio":     stack.StartMinIO,
	}[s3]
	if !ok {
		return fmt.Errorf("--s3 %q: there are versitygw and minio", s3)
	}
	startREST, ok := map[string]func(context.Context, *stack.Tools, stack.Options, *stack.S3) (*stack.REST, error){
		"iceberg": stack.StartIcebergREST,
		"nessie":  stack.StartNessie,
	}[catalog]
	if !ok {
		return fmt.Errorf("--catalog %q: there are iceberg and nessie", catalog)
	}

	var r running
	var err error
	// A folder for each pair: a catalog that kept its tables over a `down` must find their
	// files, and the two S3 servers do not read each other's.
	o := stack.Options{Dir: filepath.Join(home, s3+"-"+catalog), Detach: true}
	if r.S3, err = startS3(ctx, tools, o); err != nil {
		return err
	}
	if r.REST, err = startREST(ctx, tools, o, r.S3); err != nil {
		return errors.Join(err, r.S3.Stop())
	}
	if engine != "" {
		if r.Trino, err = stack.StartTrino(ctx, tools, o, map[string][][2]string{"lake": stack.TrinoCatalog(r.REST, r.S3)}); err != nil {
			return errors.Join(err, r.REST.Stop(), r.S3.Stop())
		}
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(home, "running.json"), text, 0o600)
	}
	if err != nil {
		for _, s := range r.servers() {
			err = errors.Join(err, s.Stop())
		}
		return err
	}
	fmt.Fprintf(stderr, "%s is up at %s, bucket %s\n%s is up at %s\n", r.S3.Name, r.S3.Endpoint, r.S3.Bucket, r.REST.Name, r.REST.URI)
	if r.Trino != nil {
		fmt.Fprintf(stderr, "%s is up at %s, catalog lake\n", r.Trino.Name, r.Trino.URI)
	}
	r.printEnvironment(stdout)
	return nil
}

func down(home string, purge bool, stderr io.Writer) error {
	r, err := load(home)
	switch {
	case errors.Is(err, errDown):
		fmt.Fprintln(stderr, "nothing is up")
	case err != nil:
		return err
	default:
		for _, s := range slices.Backward(r.servers()) {
			if err := s.StopDetached(); err != nil {
				return err
			}
		}
		if err := os.Remove(filepath.Join(home, "running.json")); err != nil {
			return err
		}
		fmt.Fprintln(stderr, "down")
	}
	if purge {
		return os.RemoveAll(home)
	}
	return nil
}

func status(home string, stdout io.Writer) error {
	r, err := load(home)
	if errors.Is(err, errDown) {
		fmt.Fprintln(stdout, "down")
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range r.servers() {
		state := "dead"
		if s.Alive() {
			state = "up"
		}
		fmt.Fprintf(stdout, "%-12s %-5s pid %-8d %s\n%12s log %s\n", s.Name, state, s.PID, s.url, "", s.Log)
	}
	return nil
}

var errDown = errors.New("nothing is up: start it with `go run ./localstack up`")

func load(home string) (*running, error) {
	text, err := os.ReadFile(filepath.Join(home, "running.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errDown
	}
	if err != nil {
		return nil, err
	}
	r := new(running)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(home, "running.json"), err)
	}
	return r, nil
}

// printEnvironment prints export lines for a shell's eval, and the same as flags in a comment.
func (r *running) printEnvironment(w io.Writer) {
	fmt.Fprintf(w, "# icewright load ... --catalog-uri %s --warehouse %s\n", r.REST.URI, r.REST.Warehouse)
	fmt.Fprintf(w, "export ICEWRIGHT_CATALOG_URI=%s\nexport ICEWRIGHT_WAREHOUSE=%s\n", r.REST.URI, r.REST.Warehouse)
	for _, kv := range r.S3.Environment() {
		fmt.Fprintf(w, "export %s\n", kv)
	}
}
