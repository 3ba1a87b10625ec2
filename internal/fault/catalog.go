package fault

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/apache/iceberg-go/catalog/rest"
	"github.com/apache/iceberg-go/table"
)

// Inner is the catalog that is broken.
type Inner interface {
	LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error)
	CommitTable(ctx context.Context, ident table.Identifier, requirements []table.Requirement, updates []table.Update) (table.Metadata, string, error)
}

// Catalog passes calls on to Inner, but for those that a sentence is about.
type Catalog struct {
	Inner
	// Before is called ahead of the n-th commit, after the planner has had its say: the place for
	// what another writer does in between. May be nil.
	Before func(commit int)

	script *script
	mu     sync.Mutex
	late   []func()
}

// New returns a catalog with the faults of a script about commits and loads.
func New(t testing.TB, inner Inner, text string) *Catalog {
	t.Helper()
	return &Catalog{Inner: inner, script: read(t, text, "commit", "load")}
}

// Commits is the number of commits that were asked for.
func (c *Catalog) Commits() int { return c.script.count("commit") }

// LoadTable implements Inner.
func (c *Catalog) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	o, _ := c.script.next("load")
	switch o.how {
	case "":
	case slow:
		if err := wait(ctx, Slowness); err != nil {
			return nil, err
		}
	case never:
		<-ctx.Done()
		return nil, ctx.Err()
	case answers:
		return nil, fmt.Errorf("%w: %d %s", ErrDown, o.status, http.StatusText(o.status))
	default:
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
	o, n := c.script.next("commit")
	if c.Before != nil {
		c.Before(n)
	}
	apply := func() (table.Metadata, string, error) { return c.Inner.CommitTable(ctx, ident, requirements, updates) }
	switch o.how {
	case "":
		return apply()
	case slow:
		if err := wait(ctx, Slowness); err != nil {
			return nil, "", err
		}
		return apply()
	case late:
		// Its caller's time may be over by then: a request on its way does not know.
		applied := context.WithoutCancel(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.late = append(c.late, func() { _, _, _ = c.Inner.CommitTable(applied, ident, requirements, updates) })
		return nil, "", ErrReplyLost
	}
	if o.lands || o.how == torn {
		if _, _, err := apply(); err != nil {
			return nil, "", fmt.Errorf("fault: the commit was to land: %w", err)
		}
	}
	switch o.how {
	case answers:
		return nil, "", answer(o.status)
	case never:
		<-ctx.Done()
		return nil, "", ctx.Err()
	}
	return nil, "", ErrReplyLost
}

// answer is what the REST client makes of a status in the answer to a commit.
func answer(status int) error {
	err := rest.ErrBadRequest
	switch {
	case status == http.StatusConflict:
		err = rest.ErrCommitFailed
	case status/100 == 5:
		err = rest.ErrCommitStateUnknown
	}
	return fmt.Errorf("%w: %d %s", err, status, http.StatusText(status))
}

// wait lets d pass, or returns the error of ctx when that ends first.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
