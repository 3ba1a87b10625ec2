package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// interruption is why a context ended: the user, or the scheduler, said stop.
type interruption struct{ signal syscall.Signal }

func (i interruption) Error() string {
	if i.signal == syscall.SIGTERM {
		return "terminated"
	}
	return "interrupted"
}

// interruptible returns a context that ends with the first SIGINT or SIGTERM. A second one ends
// the process at once: whoever sends it does not want to wait for the clean-up.
//
// SIGPIPE is ignored, so that a log reader that goes away cannot kill a load half-way; a write to
// a closed pipe then fails with EPIPE, which ends the commands that print rows. See ignored for others.
func interruptible(parent context.Context) (context.Context, func()) {
	signal.Ignore(ignored...)
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case s := <-signals:
				if n > 0 {
					os.Exit(128 + int(s.(syscall.Signal)))
				}
				cancel(interruption{s.(syscall.Signal)})
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

// interruptedBy tells whether a signal ended ctx.
func interruptedBy(ctx context.Context) (i interruption, ok bool) {
	ok = errors.As(context.Cause(ctx), &i)
	return i, ok
}

// brokenPipe tells whether err is about a standard output that nobody reads any more.
func brokenPipe(err error) bool {
	var out outputError
	return errors.As(err, &out) && errors.Is(err, syscall.EPIPE)
}

// outputError is a failure to write a result to standard output.
type outputError struct{ error }

func (e outputError) Unwrap() error { return e.error }
