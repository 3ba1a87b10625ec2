package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/icewright/icewright/job"
)

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// aRun tells of a run that stages for 25 seconds, and plans and publishes at once.
func aRun(t *testing.T, how string, terminal, quiet bool) string {
	t.Helper()
	var out buffer
	synctest.Test(t, func(t *testing.T) {
		a := &app{stderr: newConsole(&out)}
		a.stderr.terminal = terminal
		a.global.quiet = quiet
		a.log = slog.New(slog.NewTextHandler(a.stderr, nil))
		r, err := newReporter(a, how)
		if err != nil {
			t.Fatal(err)
		}
		r.start()
		for i := range int64(250) {
			r.report(job.Progress{Stage: "stage", Rows: i * 1000, Bytes: i * 1e6, Partitions: 7})
			time.Sleep(100 * time.Millisecond)
		}
		r.report(job.Progress{Stage: "plan", Rows: 250_000, Bytes: 250e6, Partitions: 7})
		synctest.Wait()
		r.report(job.Progress{Stage: "publish", Rows: 250_000, Bytes: 250e6, Partitions: 7})
		synctest.Wait()
		r.stop()
	})
	return out.String()
}

// On a terminal there is one live line, which is rubbed out in the end.
func TestProgressBar(t *testing.T) {
	out := aRun(t, "auto", true, false)
	if strings.Contains(out, "\n") {
		t.Errorf("the live line breaks: %q", out)
	}
	if !strings.HasSuffix(out, eraseLine) {
		t.Errorf("the live line stays: %q", out[max(0, len(out)-80):])
	}
	if !strings.Contains(out, "publish  250,000 rows  10.0 MB/s  7 partitions  25s") {
		t.Errorf("got %q", out[max(0, len(out)-300):])
	}
}

// Elsewhere there is a log line every ten seconds, and one for each stage of a long run.
func TestProgressLog(t *testing.T) {
	out := aRun(t, "auto", false, false)
	if n := strings.Count(out, "msg=progress stage=stage"); n != 2 {
		t.Errorf("%d lines about staging for 25 s, want 2:\n%s", n, out)
	}
	if !strings.Contains(out, "msg=progress stage=publish rows=250000 mb_per_s=10 partitions=7 seconds=25") {
		t.Errorf("got %s", out)
	}
	if out := aRun(t, "auto", false, true); out != "" {
		t.Errorf("--quiet says %s", out)
	}
}

// Machines get a JSON object a second, and one for each stage.
func TestProgressJSON(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(aRun(t, "json", true, false)), "\n")
	stages := map[string]int{}
	for _, line := range lines {
		var p progressLine
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		stages[p.Progress]++
	}
	if stages["stage"] < 24 || stages["plan"] != 1 || stages["publish"] != 1 {
		t.Errorf("got %v", stages)
	}
}

// A line that is logged takes the place of the live line, which comes back with the next tick.
func TestConsoleKeepsLinesWhole(t *testing.T) {
	var out bytes.Buffer
	c := newConsole(&out)
	c.setLine("live")
	c.Write([]byte("logged\n"))
	c.Write([]byte("again\n"))
	c.setLine("live")
	c.endLine()
	c.endLine()
	want := eraseLine + "live" + eraseLine + "logged\nagain\n" + eraseLine + "live" + eraseLine
	if out.String() != want {
		t.Errorf("got %q\nwant %q", out.String(), want)
	}
}
