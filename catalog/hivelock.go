//go:build full

package catalog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	hms "github.com/beltran/gohive/hive_metastore"
	"github.com/google/uuid"
)

// hiveLocks says how tables are locked while they are changed.
type hiveLocks struct {
	off              bool // no table is
	patience         time.Duration
	minWait, maxWait time.Duration // between two questions whether it is our turn
}

// hiveNoLock stands for the lock of a table that is not to be locked.
const hiveNoLock = -1

// cleanup is how long it may take to give back a lock, whatever became of the caller's context.
const hiveCleanup = 5 * time.Second

// Lock gets the lock of the one table in req, and waits for its turn. Errors are ErrConflict where somebody
// else keeps it, and else say that nothing was changed. A table with engine.hive.lock-enabled=false, which
// tells all writers to trust to the comparison of metadata, is not locked.
func (c *hiveClient) Lock(ctx context.Context, req *hms.LockRequest) (*hms.LockResponse, error) {
	db, name := req.Component[0].Dbname, req.Component[0].GetTablename()
	off := c.locks.off
	if !off {
		t, err := c.GetTable(ctx, db, name)
		var missing *hms.NoSuchObjectException
		if err != nil && !errors.As(err, &missing) {
			return nil, err
		}
		off = t != nil && strings.EqualFold(t.Parameters["engine.hive.lock-enabled"], "false")
	}
	if off {
		return &hms.LockResponse{Lockid: hiveNoLock, State: hms.LockState_ACQUIRED}, nil
	}

	req.User, req.Hostname = c.owner, "unknown"
	if host, err := os.Hostname(); err == nil {
		req.Hostname = host
	}
	req.AgentInfo = "icewright-" + uuid.NewString()
	got, err := c.requestLock(ctx, req)
	if err != nil {
		return nil, err
	}
	id := got.Lockid
	deadline := time.Now().Add(c.locks.patience)
	for wait := c.locks.minWait; got.State == hms.LockState_WAITING; wait = min(wait*3/2, c.locks.maxWait) {
		if time.Now().After(deadline) {
			err = &classified{ErrConflict, fmt.Errorf("table %s stayed locked for %v%s", hiveName(db, name), c.locks.patience, c.holder(ctx, db, name))}
		} else if err = sleep(ctx, wait); err == nil {
			got, err = c.checkLock(ctx, id)
		}
		if err != nil {
			return nil, errors.Join(err, c.giveBack(ctx, id))
		}
	}
	if got.State != hms.LockState_ACQUIRED {
		err = &classified{ErrConflict, fmt.Errorf("the lock of table %s is %v", hiveName(db, name), got.State)}
		return nil, errors.Join(err, c.giveBack(ctx, id))
	}
	c.mu.Lock()
	c.held[hiveName(db, name)] = id
	c.mu.Unlock()
	return got, nil
}

// requestLock sends the request. A lock whose id got lost would keep everybody else from the table until the
// metastore drops it, minutes later: it is looked for by the name that this request gave it.
func (c *hiveClient) requestLock(ctx context.Context, req *hms.LockRequest) (got *hms.LockResponse, err error) {
	err = c.ask(ctx, false, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error {
		got, err = m.Lock(ctx, req)
		return err
	})
	switch {
	case err == nil:
		return got, nil
	case ClassOf(err) != nil: // it was never sent
		return nil, err
	case answered(err):
		return nil, &classified{ErrTransient, err}
	}
	searching, cancel := context.WithTimeout(context.WithoutCancel(ctx), hiveCleanup)
	defer cancel()
	locks, searchErr := c.showLocks(searching, req.Component[0].Dbname, req.Component[0].GetTablename())
	for _, l := range locks {
		if l.GetAgentInfo() != req.AgentInfo {
			continue
		}
		if ctx.Err() != nil {
			return nil, errors.Join(ctx.Err(), c.giveBack(ctx, l.Lockid))
		}
		return &hms.LockResponse{Lockid: l.Lockid, State: l.State}, nil
	}
	if isContext(err) {
		return nil, err
	}
	return nil, &classified{ErrTransient, errors.Join(err, searchErr)}
}

// checkLock asks for the state of a lock, which also keeps the metastore from dropping it. One that is gone is ErrConflict.
func (c *hiveClient) checkLock(ctx context.Context, id int64) (got *hms.LockResponse, err error) {
	err = c.read(ctx, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error {
		got, err = m.CheckLock(ctx, &hms.CheckLockRequest{Lockid: id})
		return err
	})
	var gone *hms.NoSuchLockException
	if errors.As(err, &gone) {
		err = &classified{ErrConflict, fmt.Errorf("the metastore has dropped our lock: %w", errors.Unwrap(err))}
	}
	return got, err
}

// checkHeld makes sure, before a table is altered, that the lock on it is ours still: metastores drop those that
// nobody asks about for minutes, and storage that hangs can take as long.
func (c *hiveClient) checkHeld(ctx context.Context, db, name string) error {
	c.mu.Lock()
	id, ok := c.held[hiveName(db, name)]
	c.mu.Unlock()
	if !ok {
		return nil
	}
	got, err := c.checkLock(ctx, id)
	if err == nil && got.State != hms.LockState_ACQUIRED {
		err = &classified{ErrConflict, fmt.Errorf("the lock of table %s is %v", hiveName(db, name), got.State)}
	}
	return err
}

// CheckLock is never asked by iceberg-go: a lock that Lock returns is there.
func (c *hiveClient) CheckLock(ctx context.Context, id int64) (*hms.LockResponse, error) {
	return c.checkLock(ctx, id)
}

// Unlock gives a lock back. It tries for a while: one that stays keeps everybody out for minutes.
func (c *hiveClient) Unlock(ctx context.Context, id int64) error {
	if id == hiveNoLock {
		return nil
	}
	c.mu.Lock()
	for name, held := range c.held {
		if held == id {
			delete(c.held, name)
		}
	}
	c.mu.Unlock()
	for wait := 50 * time.Millisecond; ; wait *= 2 {
		err := c.read(ctx, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error {
			return m.Unlock(ctx, &hms.UnlockRequest{Lockid: id})
		})
		var gone *hms.NoSuchLockException
		if err == nil || errors.As(err, &gone) {
			return nil
		}
		if !errors.Is(err, ErrTransient) || sleep(ctx, wait) != nil {
			return fmt.Errorf("lock %d is left behind: %s", id, err.Error()) // without the class: it says nothing of the change
		}
	}
}

// giveBack gives a lock back, also when ctx has ended.
func (c *hiveClient) giveBack(ctx context.Context, id int64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hiveCleanup)
	defer cancel()
	return c.Unlock(ctx, id)
}

func (c *hiveClient) showLocks(ctx context.Context, db, name string) (locks []*hms.ShowLocksResponseElement, err error) {
	db, name = strings.ToLower(db), strings.ToLower(name)
	err = c.read(ctx, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error {
		r, err := m.ShowLocks(ctx, &hms.ShowLocksRequest{Dbname: &db, Tablename: &name})
		if err == nil {
			locks = r.GetLocks()
		}
		return err
	})
	return locks, err
}

// holder says who has the lock; "" where that cannot be told.
func (c *hiveClient) holder(ctx context.Context, db, name string) string {
	locks, err := c.showLocks(ctx, db, name)
	if err != nil {
		return ""
	}
	for _, l := range locks {
		if l.State == hms.LockState_ACQUIRED {
			return fmt.Sprintf(" by %s on %s since %s", l.User, l.Hostname, time.UnixMilli(l.GetAcquiredat()).UTC().Format(time.RFC3339))
		}
	}
	return ""
}
