// Package pace runs tests that have to go by the clock, such as those of keys that end while they are in use.
package pace

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// paces are how many times longer everything takes at each try.
var paces = []int{1, 5, 25}

// Any runs a test at its usual pace, and where that fails again at slower ones, each time from the start: what a machine that
// stood still for a moment spoils at one pace it does not at a slower one, and what is wrong is wrong at every pace. The test
// multiplies each of its times with pace, those that it waits as well as those that it gives the code.
func Any(t testing.TB, test func(t testing.TB, pace int)) {
	t.Helper()
	for i, pace := range paces {
		try := &try{TB: t}
		ended := make(chan any, 1)
		go func() {
			defer func() { ended <- recover() }()
			test(try, pace)
		}()
		if p := <-ended; p != nil {
			panic(p)
		}
		said, failed := try.said()
		switch {
		case !failed:
			return
		case i < len(paces)-1:
			t.Logf("at %d times its pace it failed, and is tried at %d times:\n%s", pace, paces[i+1], said)
		default:
			t.Errorf("at %d times its pace:\n%s", pace, said)
		}
	}
}

// try is a testing.TB whose failures are only its own.
type try struct {
	testing.TB
	mu     sync.Mutex
	failed bool
	errors []string
}

func (a *try) said() (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.errors, "\n"), a.failed
}

func (a *try) add(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = true
	if text = strings.TrimSpace(text); text != "" {
		a.errors = append(a.errors, text)
	}
}

func (a *try) Error(args ...any)                 { a.add(fmt.Sprintln(args...)) }
func (a *try) Errorf(format string, args ...any) { a.add(fmt.Sprintf(format, args...)) }
func (a *try) Fail()                             { a.add("") }
func (a *try) Failed() bool                      { _, failed := a.said(); return failed }

func (a *try) FailNow() {
	a.add("")
	runtime.Goexit()
}

func (a *try) Fatal(args ...any) {
	a.add(fmt.Sprintln(args...))
	runtime.Goexit()
}

func (a *try) Fatalf(format string, args ...any) {
	a.add(fmt.Sprintf(format, args...))
	runtime.Goexit()
}
