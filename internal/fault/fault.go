// Package fault breaks a catalog on purpose, by sentences: "commit #1 lands, reply lost". Only
// tests import it. Every sentence must come true, or the test fails: a fault that nobody met
// proves nothing.
package fault

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/apache/iceberg-go/catalog/rest"
	"github.com/apache/iceberg-go/table"
)

// Errors that the faults answer with: what the REST client makes of the real thing.
var (
	// ErrReplyLost stands for a connection that broke before the answer came.
	ErrReplyLost = errors.New("read: connection reset by peer")
	// ErrDown stands for a server that does not answer at all.
	ErrDown = errors.New("read: unexpected EOF")
)

// Inner is the catalog that is broken.
type Inner interface {
	LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error)
	CommitTable(ctx context.Context, ident table.Identifier, requirements []table.Requirement, updates []table.Update) (table.Metadata, string, error)
}

// Catalog passes calls on to Inner, but for those that a sentence is about. Calls are counted
// from 1, by kind.
type Catalog struct {
	Inner
	// Before is called ahead of the n-th commit, after the planner has had its say: the place for
	// what another writer does in between. May be nil.
	Before func(commit int)

	mu      sync.Mutex
	commits int
	loads   int
	faults  map[string]sentence // by "commit 1", "load 3"
	late    []func()
}

type sentence struct {
	text string
	what string
	hit  *bool
}

// The grammar of a sentence.
var grammar = regexp.MustCompile(`^(commit|load) #(\d+) (lands, reply lost|lands late|is lost|conflicts|is rejected|answers 503|fails)$`)

// New returns a catalog with the faults of script, one sentence a line:
//
//	commit #1 lands, reply lost      applied, and the connection breaks
//	commit #1 lands late             not applied until the table has been loaded once more; the connection breaks
//	commit #1 is lost                not applied, and the connection breaks
//	commit #1 conflicts              not applied, answered with 409
//	commit #1 is rejected            not applied, answered with 400
//	commit #1 answers 503            applied, answered with 503
//	load #2 fails                    the connection breaks
func New(t testing.TB, inner Inner, script string) *Catalog {
	t.Helper()
	c := &Catalog{Inner: inner, faults: map[string]sentence{}}
	for _, line := range strings.Split(script, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		m := grammar.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("fault: no such sentence: %q", line)
		}
		s := sentence{text: line, what: m[3], hit: new(bool)}
		c.faults[m[1]+" "+m[2]] = s
		t.Cleanup(func() {
			if !*s.hit {
				t.Errorf("fault: never came true: %q", s.text)
			}
		})
	}
	return c
}

// Commits is the number of commits that were asked for.
func (c *Catalog) Commits() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.commits
}

func (c *Catalog) fault(kind string, n *int) (what string, nth int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n++
	s, ok := c.faults[kind+" "+strconv.Itoa(*n)]
	if ok {
		*s.hit = true
	}
	return s.what, *n
}

// LoadTable implements Inner.
func (c *Catalog) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	what, _ := c.fault("load", &c.loads)
	if what == "fails" {
		return nil, ErrDown
	}
	tbl, err := c.Inner.LoadTable(ctx, ident)
	c.mu.Lock()
	late := c.late
	c.late = nil
	c.mu.Unlock()
	for _, f := range late {
		f()
	}
	return tbl, err
}

// CommitTable implements Inner.
func (c *Catalog) CommitTable(ctx context.Context, ident table.Identifier, requirements []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	what, n := c.fault("commit", &c.commits)
	if c.Before != nil {
		c.Before(n)
	}
	apply := func() (table.Metadata, string, error) { return c.Inner.CommitTable(ctx, ident, requirements, updates) }
	switch what {
	case "":
		return apply()
	case "lands, reply lost", "answers 503":
		if _, _, err := apply(); err != nil {
			return nil, "", fmt.Errorf("fault: the commit was to land: %w", err)
		}
		if what == "answers 503" {
			return nil, "", fmt.Errorf("%w: 503 service unavailable", rest.ErrCommitStateUnknown)
		}
		return nil, "", ErrReplyLost
	case "lands late":
		c.mu.Lock()
		c.late = append(c.late, func() { _, _, _ = apply() })
		c.mu.Unlock()
		return nil, "", ErrReplyLost
	case "is lost":
		return nil, "", ErrReplyLost
	case "conflicts":
		return nil, "", rest.ErrCommitFailed
	case "is rejected":
		return nil, "", rest.ErrBadRequest
	}
	return nil, "", ErrDown
}
