//go:build unix

package main

import (
	"os"
	"syscall"
)

// ignored are signals whose default is to end the process at once, where an error is to tell and the clean-up
// to run: a reader that went away (EPIPE), and a file larger than `ulimit -f` allows (EFBIG).
var ignored = []os.Signal{syscall.SIGPIPE, syscall.SIGXFSZ}
