//go:build unix

package source

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// poller reads a file that takes no deadlines, as standard input mostly is: it asks whether there
// is anything to read before it reads, so that it never sleeps in a read that nothing can end.
type poller struct {
	ctx  context.Context
	file *os.File
}

func (*pipe) polling(ctx context.Context, file *os.File) io.ReadCloser { return &poller{ctx, file} }

// pollMillis is how long a cancelled read may take to notice.
const pollMillis = 50

func (p *poller) Read(b []byte) (int, error) {
	fds := []unix.PollFd{{Fd: int32(p.file.Fd()), Events: unix.POLLIN}}
	for p.ctx.Err() == nil {
		n, err := unix.Poll(fds, pollMillis)
		switch {
		case errors.Is(err, unix.EINTR), err == nil && n == 0:
			continue
		case err != nil:
			return 0, err
		}
		return p.file.Read(b)
	}
	return 0, context.Cause(p.ctx)
}

func (p *poller) Close() error { return nil }
