package arrowconv

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
)

// inOrder works on the jobs that next gives, on n goroutines, and yields the results in the order of
// the jobs. next runs on one goroutine and ends with io.EOF, or with an error that comes after the
// results of all jobs before it. worker is called once for each goroutine and returns its work. drop
// disposes of a result that is not yielded.
//
// About 2n jobs are under way at a time. When the sequence ends, however it does, the goroutines have
// too: a call of next in progress is waited for.
func inOrder[J, R any](
	ctx context.Context, n int, next func() (J, error), worker func() func(J) R, drop func(R),
) iter.Seq2[R, error] {
	type task struct {
		job  J
		done chan R // holds the result, so that a worker never waits for the consumer
	}
	return func(yield func(R, error) bool) {
		var (
			none    R
			wg      sync.WaitGroup
			todo    = make(chan task)
			queue   = make(chan task, n)
			nextErr error // written before queue is closed, read after
		)
		work, cancel := context.WithCancel(ctx)
		wg.Go(func() {
			defer close(todo)
			defer close(queue)
			for work.Err() == nil {
				job, err := next()
				if err != nil {
					if !errors.Is(err, io.EOF) {
						nextErr = err
					}
					return
				}
				t := task{job, make(chan R, 1)}
				select {
				case queue <- t:
				case <-work.Done():
					return
				}
				select {
				case todo <- t:
				case <-work.Done():
					return
				}
			}
		})
		for range n {
			wg.Go(func() {
				do := worker()
				for t := range todo {
					t.done <- do(t.job)
				}
			})
		}
		defer func() {
			cancel()
			wg.Wait()
			for t := range queue {
				select {
				case r := <-t.done:
					drop(r)
				default:
				}
			}
		}()
		for t := range queue {
			select {
			case r := <-t.done:
				if !yield(r, nil) {
					return
				}
			case <-ctx.Done():
				// The task may have been finished meanwhile, or be finished yet.
				cancel()
				wg.Wait()
				select {
				case r := <-t.done:
					drop(r)
				default:
				}
				yield(none, context.Cause(ctx))
				return
			}
		}
		if err := ctx.Err(); err != nil {
			nextErr = context.Cause(ctx)
		}
		if nextErr != nil {
			yield(none, nextErr)
		}
	}
}
