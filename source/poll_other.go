//go:build !unix

package source

import (
	"context"
	"io"
	"os"
)

func (p *pipe) polling(ctx context.Context, _ *os.File) io.ReadCloser { return p.pumping(ctx) }
