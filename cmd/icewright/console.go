package main

import (
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// console is standard error: whole lines from anyone, and one live line at the bottom that is
// rubbed out before a line is written. Safe for use by several goroutines.
type console struct {
	mu       sync.Mutex
	to       io.Writer
	terminal bool
	colour   bool
	live     bool // a live line is on the screen
}

func newConsole(to io.Writer) *console {
	c := &console{to: to, terminal: isTerminal(to)}
	c.colour = c.terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return c
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width is the terminal's, in columns; 0 where w is none.
func width(w any) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil {
			return n
		}
	}
	return 0
}

const eraseLine = "\r\x1b[K"

// Write prints lines. It implements io.Writer for the log.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live {
		c.live = false
		io.WriteString(c.to, eraseLine)
	}
	return c.to.Write(p)
}

// setLine shows a live line, in place of the last one.
func (c *console) setLine(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := width(c.to); w > 0 && len(text) >= w {
		text = text[:w-1] // a line that wraps cannot be rubbed out
	}
	c.live = true
	io.WriteString(c.to, eraseLine+text)
}

// endLine rubs the live line out.
func (c *console) endLine() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live {
		c.live = false
		io.WriteString(c.to, eraseLine)
	}
}

const (
	red  = "\x1b[1;31m"
	cyan = "\x1b[36m"
	dim  = "\x1b[2m"
)

func (c *console) paint(colour, text string) string {
	if !c.colour {
		return text
	}
	return colour + text + "\x1b[0m"
}
