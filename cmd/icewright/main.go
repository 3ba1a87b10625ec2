// Command icewright loads batches of rows into Apache Iceberg tables, so that running a load
// again leaves the table exactly as if it had run once.
//
// The package turns flags into a job.Job, a job.Receipt into text or JSON, and errors into exit
// codes. It decides nothing else: what a command does is package job's.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	_ "time/tzdata" // an empty container has no zones of its own

	_ "golang.org/x/crypto/x509roots/fallback" // and no root certificates

	_ "github.com/icewright/icewright/cmd/icewright/functions" // for a quick start

	"github.com/icewright/icewright/job"
)

func main() {
	os.Exit(execute(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// app is what every command needs.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr *console
	log    *slog.Logger
	global globalFlags
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := interruptible(ctx)
	defer stop()
	a := &app{stdin: stdin, stdout: stdout, stderr: newConsole(stderr)}
	a.log = slog.New(slog.NewTextHandler(a.stderr, nil))
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	a.stderr.endLine()
	if err == nil || brokenPipe(err) { // the reader has seen enough: `icewright show | head`
		return 0
	}
	a.explain(err)
	return exitCode(ctx, err)
}

// explain prints an error: what failed on one line, what to do about it on the next.
func (a *app) explain(err error) {
	fmt.Fprintf(a.stderr, "%s %v\n", a.stderr.paint(red, "error:"), err)
	if hint := job.Hint(err); hint != "" {
		fmt.Fprintf(a.stderr, "%s %s\n", a.stderr.paint(cyan, "hint:"), hint)
	}
}
