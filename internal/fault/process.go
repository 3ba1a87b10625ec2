package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/icewright/icewright/point"
)

// A process that heeds points is told by its environment what to do at them.
const (
	// LogPoints is a file to name the points in that the process comes to, a line each.
	LogPoints = "POINTS_LOG"
	// KillAt is a point: "3 room: name". The process is killed when it comes to it for the third time, and
	// leaves the file "peak": what the system said of it.
	KillAt = "POINTS_KILL"
	// HoldAt is a point: "room: name". When it first comes to it, the process makes the file Held, and waits
	// until that is gone.
	HoldAt = "POINTS_HOLD"

	// Held and Peak are in the working directory of the process.
	Held = "hold"
	Peak = "peak"
)

// HeedPoints has this process do what its environment says. To be called before the process begins its work.
func HeedPoints() {
	log, kill, hold := os.Getenv(LogPoints), os.Getenv(KillAt), os.Getenv(HoldAt)
	if log == "" && kill == "" && hold == "" {
		return
	}
	var mu sync.Mutex
	seen := map[string]int{}
	point.Listen(func(name string) {
		mu.Lock()
		defer mu.Unlock()
		seen[name]++
		if log != "" {
			note(log, name)
		}
		if hold == name && seen[name] == 1 {
			standStill()
		}
		if kill == fmt.Sprintf("%d %s", seen[name], name) {
			die()
		}
	})
}

func note(log, name string) {
	f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(f, name)
	f.Close()
}

func standStill() {
	if err := os.WriteFile(Held, nil, 0o644); err != nil {
		panic(err)
	}
	for {
		if _, err := os.Stat(Held); errors.Is(err, fs.ErrNotExist) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func die() {
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		if err := os.WriteFile(Peak, status, 0o644); err != nil {
			panic(err)
		}
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		panic(err)
	}
	_ = self.Kill()
	select {} // it is on its way
}
