// Package fault breaks things on purpose, by sentences: "commit #1 lands, reply lost". A script is
// a sentence a line. Three things heed one:
//
//   - New puts a script between a writer and its catalog, in this process,
//   - Files between a writer and its object store, in this process,
//   - Proxy between a program and a REST catalog or an S3 server, over HTTP.
//
// A sentence names an event, which of them (counted from 1, by kind), and what becomes of it:
//
//	commit #1 lands, reply lost        applied, and the connection breaks
//	commit #1 lands, answers 503       applied, and answered with that
//	commit #1 lands, never answers     applied, and the answer does not come until the caller gives up
//	commit #1 lands late               not applied until the table has been loaded once more; the connection breaks
//	commit #1 is slow                  applied, and answered after a while
//	commit #1 is lost                  not applied, and the connection breaks
//	commit #1 answers 409              not applied, and answered with that
//
//	load #2 fails                      the connection breaks; also for read, list, remove
//	load #2 answers 503                also for read, list, remove, write and request
//	load #2 is slow                    also for read, list, write and request
//
//	write #3 fails                     nothing of the file arrives
//	write #3 is torn                   half of the file arrives, then the connection breaks
//	write #3 finds the disk full       half of the file arrives, then there is no space (Files only)
//	write #3 lands, reply lost         the file is there, and the connection breaks
//	read #2 is torn                    half of the file arrives, then the connection breaks
//	list #1 is stale                   what was written since the script began does not show
//	remove #1 lands, reply lost        the file is gone, and the connection breaks
//
//	request #7 answers 503 SlowDown    any request to an S3 server or a catalog, with the store's word for it
//	credentials expire after 20 requests   the key that was used is refused from then on (Proxy only)
//
// "#2 to #4" is each of them, "#5 on" every one from there. Every sentence must come true, or the test
// fails: a fault that nobody met proves nothing.
//
// What befalls a process is said by its environment: see HeedPoints. Imported by tests only.
package fault

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Errors that the faults answer with in this process: what a client makes of the real thing.
var (
	// ErrReplyLost stands for a connection that broke before the answer came.
	ErrReplyLost = errors.New("read: connection reset by peer")
	// ErrDown stands for a server that does not answer at all.
	ErrDown = errors.New("read: unexpected EOF")
)

// Slowness is what "is slow" waits for.
const Slowness = 300 * time.Millisecond

// sentence is one line of a script.
type sentence struct {
	text     string
	event    string
	from, to int
	outcome
	hit bool
}

// outcome is what becomes of an event. The zero outcome is what the world has in store for it.
type outcome struct {
	lands  bool   // it takes effect
	how    string // "reply lost", "torn", ...: one of the words of kinds
	status int    // with how "answers"
	code   string // an S3 server's word for the status; may be empty
}

// The words for how an event ends.
const (
	replyLost = "reply lost"
	never     = "never answers"
	late      = "late"
	slow      = "slow"
	lost      = "lost"
	answers   = "answers"
	torn      = "torn"
	full      = "full"
	stale     = "stale"
	expired   = "expired"
)

// The grammar of a sentence.
var (
	grammar = regexp.MustCompile(`^(commit|load|write|read|list|remove|request) #(\d+)(?: to #(\d+)|( on))? ` +
		`(?:(lands, )?(?:(reply lost)|(never answers)|answers (\d{3})(?: ([A-Z]\w+))?)|(lands late)|is (slow|lost|torn|stale)|(fails)|finds the disk (full))$`)
	expiry = regexp.MustCompile(`^credentials expire after (\d+) requests$`)
)

// sensible are the outcomes that each event can have.
var sensible = map[string][]string{
	"commit":  {replyLost, never, late, slow, lost, answers, torn},
	"load":    {lost, answers, slow, never, torn},
	"write":   {lost, torn, full, replyLost, answers, slow},
	"read":    {lost, torn, answers, slow},
	"list":    {lost, stale, answers, slow},
	"remove":  {lost, replyLost, answers},
	"request": {lost, answers, slow, expired},
}

func parse(line string) (*sentence, error) {
	if m := expiry.FindStringSubmatch(line); m != nil {
		n, err := strconv.Atoi(m[1])
		return &sentence{text: line, event: "request", from: n + 1, to: math.MaxInt, outcome: outcome{how: expired}}, err
	}
	m := grammar.FindStringSubmatch(line)
	if m == nil {
		return nil, fmt.Errorf("no such sentence: %q", line)
	}
	s := &sentence{text: line, event: m[1]}
	s.from, _ = strconv.Atoi(m[2])
	s.to = s.from
	if m[3] != "" {
		s.to, _ = strconv.Atoi(m[3])
	}
	if m[4] != "" {
		s.to = math.MaxInt
	}
	s.lands = m[5] != ""
	switch {
	case m[6] != "":
		s.how = replyLost
	case m[7] != "":
		s.how = never
	case m[8] != "":
		s.how, s.code = answers, m[9]
		s.status, _ = strconv.Atoi(m[8])
	case m[10] != "":
		s.how = late
	case m[11] != "":
		s.how = m[11]
	case m[12] != "":
		s.how = lost
	default:
		s.how = full
	}
	switch {
	case s.from < 1 || s.to < s.from:
		return nil, fmt.Errorf("%q: counting starts at #1, and goes up", line)
	case !slices.Contains(sensible[s.event], s.how), s.how == replyLost && !s.lands:
		return nil, fmt.Errorf("%q: a %s can't end like that", line, s.event)
	}
	return s, nil
}

// script counts events and knows which of them are to go wrong. Safe for concurrent use.
type script struct {
	mu        sync.Mutex
	counts    map[string]int
	sentences []*sentence
}

// read parses a script. What one of its sentences is about must happen before the test ends. The
// places where a script is heeded differ in what they can do: events are those of this one.
func read(t testing.TB, text string, events ...string) *script {
	t.Helper()
	sc := &script{counts: map[string]int{}}
	for _, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		s, err := parse(line)
		if err != nil {
			t.Fatalf("fault: %v", err)
		}
		if !slices.Contains(events, s.event) {
			t.Fatalf("fault: %q: here are only %s", line, strings.Join(events, ", "))
		}
		sc.sentences = append(sc.sentences, s)
	}
	t.Cleanup(func() {
		for _, text := range sc.unmet() {
			t.Errorf("fault: never came true: %q", text)
		}
	})
	return sc
}

// next counts an event and returns which one of its kind it is, and what is to become of it.
func (sc *script) next(event string) (o outcome, nth int) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.counts[event]++
	nth = sc.counts[event]
	for _, s := range sc.sentences {
		if s.event == event && s.from <= nth && nth <= s.to {
			s.hit = true
			return s.outcome, nth
		}
	}
	return outcome{}, nth
}

func (sc *script) count(event string) int {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return sc.counts[event]
}

func (sc *script) unmet() (texts []string) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	for _, s := range sc.sentences {
		if !s.hit {
			texts = append(texts, s.text)
		}
	}
	return texts
}

// writtenNames remembers what was written since a script began, for lists that are stale.
type writtenNames struct {
	mu    sync.Mutex
	names map[string]bool
}

func (w *writtenNames) add(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[name] = true
}

func (w *writtenNames) has(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names[name]
}
