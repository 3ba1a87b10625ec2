package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/icewright/icewright/job"
)

// reporter shows how far a run is: as a live line on a terminal, as log lines elsewhere, or as
// JSON lines for machines. It hears of progress from several goroutines and shows the latest at
// its own pace, so that a run is never slowed down by the telling.
type reporter struct {
	app     *app
	how     string
	every   time.Duration
	started time.Time
	done    chan struct{}
	ended   sync.WaitGroup

	mu   sync.Mutex
	last job.Progress
	// shown is the last stage that a log or JSON line told of: a change of stage is told at once.
	shown   string
	changed chan struct{}
}

// newReporter checks --progress. auto is a live line on a terminal, log lines elsewhere.
func newReporter(a *app, how string) (*reporter, error) {
	r := &reporter{app: a, how: how, done: make(chan struct{}), changed: make(chan struct{}, 1)}
	if how == "auto" {
		r.how = "log"
		if a.stderr.terminal {
			r.how = "bar"
		}
	}
	if a.global.quiet {
		r.how = "none"
	}
	switch r.how {
	case "bar":
		r.every = 100 * time.Millisecond
	case "log":
		r.every = 10 * time.Second
	case "json":
		r.every = time.Second
	case "none":
	default:
		return nil, &job.Error{
			Class: job.ErrUsage, Text: fmt.Sprintf("--progress: unknown choice %q", how),
			Advice: "it is one of auto, bar, log, json, none",
		}
	}
	return r, nil
}

// report takes a run's progress. It never blocks.
func (r *reporter) report(p job.Progress) {
	r.mu.Lock()
	changed := p.Stage != r.last.Stage
	r.last = p
	r.mu.Unlock()
	if changed {
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}
}

func (r *reporter) start() {
	r.started = time.Now()
	if r.every == 0 {
		return
	}
	r.ended.Go(func() {
		tick := time.NewTicker(r.every)
		defer tick.Stop()
		for {
			select {
			case <-r.done:
				return
			case <-tick.C:
				r.show(true)
			case <-r.changed:
				r.show(false)
			}
		}
	})
}

func (r *reporter) stop() {
	close(r.done)
	r.ended.Wait()
	r.app.stderr.endLine()
}

// progressLine is a line of --progress json. Counts are of the input, since the run began.
type progressLine struct {
	Progress   string  `json:"progress"` // the stage
	Rows       int64   `json:"rows"`
	Bytes      int64   `json:"bytes"`
	Partitions int64   `json:"partitions"`
	Seconds    float64 `json:"seconds"`
}

// show tells of the latest progress; on a tick always, else where the stage is a new one.
func (r *reporter) show(tick bool) {
	r.mu.Lock()
	p := r.last
	fresh := p.Stage != r.shown
	r.shown = p.Stage
	r.mu.Unlock()
	if p.Stage == "" || (!tick && !fresh) {
		return
	}
	took := time.Since(r.started)
	switch r.how {
	case "bar":
		r.app.stderr.setLine(fmt.Sprintf("%-7s  %s  %s  %s  %s",
			p.Stage, plural(p.Rows, "row"), rate(p.Bytes, took), plural(p.Partitions, "partition"), seconds(took.Truncate(time.Second).Seconds())))
	case "log":
		if !tick && took < r.every { // a short run is told by its receipt
			return
		}
		r.app.log.Info("progress", "stage", p.Stage, "rows", p.Rows, "mb_per_s", mbPerSecond(p.Bytes, took),
			"partitions", p.Partitions, "seconds", int(took.Seconds()))
	case "json":
		line, err := json.Marshal(progressLine{p.Stage, p.Rows, p.Bytes, p.Partitions, took.Seconds()})
		if err == nil {
			r.app.stderr.Write(append(line, '\n'))
		}
	}
}

func mbPerSecond(bytes int64, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return float64(int64(float64(bytes)/took.Seconds()/1e5)) / 10
}

func rate(bytes int64, took time.Duration) string {
	return strconv.FormatFloat(mbPerSecond(bytes, took), 'f', 1, 64) + " MB/s"
}

// grouped is n with commas: 1,234,567.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(text) - 3; i > start; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
