//go:build full

package catalog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	hms "github.com/beltran/gohive/hive_metastore"
)

// hiveClient asks a Hive Metastore: Thrift's binary protocol, bare TCP. It is what iceberg-go's catalog
// takes for a client; its own has one connection that two goroutines must not share, waits without end,
// and never dials again. Locks are in hivelock.go.
//
// Its errors have their class where this file alone knows it: what was asked, and whether it was answered.
type hiveClient struct {
	servers []string // host:port, the first that answers is taken
	timeout time.Duration
	ugi     []string // the user, and groups, that the metastore is to act as; empty: its own
	owner   string   // of new tables
	locks   hiveLocks

	mu   sync.Mutex
	idle []*hiveConn
	held map[string]int64 // locks that this client has, by hiveName
}

const (
	hiveDialTimeout = 10 * time.Second
	// A connection that was idle for longer may have been forgotten on the way, and what is sent over it lost.
	hiveIdle = 30 * time.Second
)

type hiveConn struct {
	net.Conn
	client *hms.ThriftHiveMetastoreClient
	used   time.Time // zero until its first answer
}

// hiveName is a table's name as a metastore keeps it.
func hiveName(db, name string) string { return strings.ToLower(db + "." + name) }

// Close closes the connections that nobody uses.
func (c *hiveClient) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.idle {
		conn.Close()
	}
	c.idle = nil
	return nil
}

// take returns a connection, an idle one if there is a young one.
func (c *hiveClient) take(ctx context.Context) (*hiveConn, error) {
	c.mu.Lock()
	for len(c.idle) > 0 {
		conn := c.idle[len(c.idle)-1]
		c.idle = c.idle[:len(c.idle)-1]
		if time.Since(conn.used) < hiveIdle {
			c.mu.Unlock()
			return conn, nil
		}
		conn.Close()
	}
	c.mu.Unlock()

	var failed error
	for _, address := range c.servers {
		raw, err := (&net.Dialer{Timeout: hiveDialTimeout}).DialContext(ctx, "tcp", address)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		stream := thrift.NewStreamTransportRW(raw)
		protocol := thrift.NewTBinaryProtocolConf(stream, &thrift.TConfiguration{})
		conn := &hiveConn{Conn: raw, client: hms.NewThriftHiveMetastoreClient(thrift.NewTStandardClient(protocol, protocol))}
		if len(c.ugi) > 0 {
			err := conn.ask(ctx, c.timeout, func(ctx context.Context) error {
				_, err := conn.client.SetUgi(ctx, c.ugi[0], c.ugi[1:])
				return err
			})
			if err != nil {
				conn.Close()
				return nil, &classified{ErrTransient, fmt.Errorf("as user %s: %w", c.ugi[0], hiveError(err))}
			}
		}
		return conn, nil
	}
	return nil, &classified{ErrTransient, failed}
}

// ask sends one request and waits for its answer, as long as timeout and ctx let it.
func (conn *hiveConn) ask(ctx context.Context, timeout time.Duration, request func(context.Context) error) error {
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err := request(ctx)
	conn.used = time.Now()
	return err
}

// ask sends one request. Requests that may as well be sent twice are sent again where the server closed
// a connection that was kept. An error without a class is the metastore's own answer, or means that
// nobody knows whether the request was carried out: see answered.
func (c *hiveClient) ask(ctx context.Context, repeatable bool, request func(context.Context, *hms.ThriftHiveMetastoreClient) error) error {
	for {
		conn, err := c.take(ctx)
		if err != nil {
			return err
		}
		kept := !conn.used.IsZero()
		err = conn.ask(ctx, c.timeout, func(ctx context.Context) error { return request(ctx, conn.client) })
		if err == nil || answered(err) {
			c.mu.Lock()
			c.idle = append(c.idle, conn)
			c.mu.Unlock()
			return hiveError(err)
		}
		conn.Close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var told thrift.TApplicationException
		switch {
		case errors.As(err, &told):
			return fmt.Errorf("the metastore at %s: %w", conn.RemoteAddr(), err)
		case !kept || !repeatable:
			return fmt.Errorf("no answer from the metastore at %s: %w", conn.RemoteAddr(), err)
		}
	}
}

// answered tells whether err is one of those that the metastore's interface declares: whatever was asked
// for is over then, done or not.
func answered(err error) bool {
	var e thrift.TException
	return errors.As(err, &e) && e.TExceptionType() == thrift.TExceptionTypeCompiled
}

// hiveError is err in the metastore's words. The name of the exception stays in front: iceberg-go looks for it.
func hiveError(err error) error {
	var e interface {
		error
		GetMessage() string
	}
	if err == nil || !errors.As(err, &e) {
		return err
	}
	name := fmt.Sprintf("%T", e)
	return &hiveAnswer{text: name[strings.LastIndexByte(name, '.')+1:] + ": " + e.GetMessage(), err: err}
}

type hiveAnswer struct {
	text string
	err  error
}

func (e *hiveAnswer) Error() string { return e.text }
func (e *hiveAnswer) Unwrap() error { return e.err }

// read asks for something. What is not there keeps its exception, for iceberg-go to see.
func (c *hiveClient) read(ctx context.Context, request func(context.Context, *hms.ThriftHiveMetastoreClient) error) error {
	err := c.ask(ctx, true, request)
	var missing *hms.NoSuchObjectException
	var method thrift.TApplicationException
	switch {
	case err == nil || ClassOf(err) != nil || isContext(err) || errors.As(err, &missing):
		return err
	case errors.As(err, &method) && method.TypeId() == thrift.UNKNOWN_METHOD:
		return &classified{ErrRejected, err}
	}
	return &classified{ErrTransient, err}
}

func (c *hiveClient) GetDatabase(ctx context.Context, name string) (db *hms.Database, err error) {
	err = c.read(ctx, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error {
		db, err = m.GetDatabase(ctx, name)
		return err
	})
	return db, err
}

func (c *hiveClient) GetAllDatabases(ctx context.Context) (names []string, err error) {
	err = c.read(ctx, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error {
		names, err = m.GetAllDatabases(ctx)
		return err
	})
	return names, err
}

func (c *hiveClient) GetTables(ctx context.Context, db, pattern string) (names []string, err error) {
	err = c.read(ctx, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error {
		names, err = m.GetTables(ctx, db, pattern)
		return err
	})
	return names, err
}

// capabilities has a metastore show tables, too, that only Hive itself may write to.
var capabilities = &hms.ClientCapabilities{Values: []hms.ClientCapability{hms.ClientCapability_INSERT_ONLY_TABLES}}

// GetTable returns a table; one that is not Iceberg's only where the context does not forbid it.
func (c *hiveClient) GetTable(ctx context.Context, db, name string) (t *hms.Table, err error) {
	err = c.read(ctx, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error {
		r, err := m.GetTableReq(ctx, &hms.GetTableRequest{DbName: db, TblName: name, Capabilities: capabilities})
		if err == nil {
			t = r.GetTable()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if ctx.Value(icebergOnly{}) != nil && !isHiveIceberg(t) {
		return nil, &classified{ErrRejected, &errNotIceberg{hiveName(db, name), t.GetTableType()}}
	}
	return t, nil
}

// getTables returns the tables of those names that there are.
func (c *hiveClient) getTables(ctx context.Context, db string, names []string) (tables []*hms.Table, err error) {
	err = c.read(ctx, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error {
		r, err := m.GetTableObjectsByNameReq(ctx, &hms.GetTablesRequest{DbName: db, TblNames: names, Capabilities: capabilities})
		if err == nil {
			tables = r.GetTables()
		}
		return err
	})
	return tables, err
}

func (c *hiveClient) CreateDatabase(ctx context.Context, db *hms.Database) error {
	err := c.ask(ctx, false, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error { return m.CreateDatabase(ctx, db) })
	var exists *hms.AlreadyExistsException
	if answered(err) && !errors.As(err, &exists) {
		return &classified{ErrRejected, err}
	}
	return err
}

func (c *hiveClient) AlterDatabase(ctx context.Context, name string, db *hms.Database) error {
	return c.ask(ctx, false, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error {
		return m.AlterDatabase(ctx, name, db)
	})
}

func (c *hiveClient) DropDatabase(ctx context.Context, name string, deleteData, cascade bool) error {
	return c.ask(ctx, false, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error {
		return m.DropDatabase(ctx, name, deleteData, cascade)
	})
}

// CreateTable makes a table. A metastore that refuses may have made it all the same, where what it runs
// afterwards failed: it is asked.
func (c *hiveClient) CreateTable(ctx context.Context, t *hms.Table) error {
	t.Owner, t.OwnerType = c.owner, hms.PrincipalType_USER
	hiveColumns(t)
	err := c.ask(ctx, false, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error { return m.CreateTable(ctx, t) })
	var exists *hms.AlreadyExistsException
	var missing *hms.NoSuchObjectException
	if !answered(err) || errors.As(err, &exists) {
		return err
	}
	there, readErr := c.GetTable(ctx, t.DbName, t.TableName)
	switch {
	case errors.As(readErr, &missing):
		return &classified{ErrRejected, err}
	case readErr == nil && there.Parameters[hiveMetadata] == t.Parameters[hiveMetadata]:
		return nil
	}
	return err
}

// AlterTable is the step that commits. Beside the lock it depends on the metadata that it was made for being
// the table's still: a lock that ended unnoticed, and an alteration that arrives late, then change nothing.
// Metastores heed that from 2.3.10 and 4.0 on (HIVE-26882), and older ones only the lock. After an answer
// that is no success the table is asked what became of it.
func (c *hiveClient) AlterTable(ctx context.Context, db, name string, t *hms.Table) error {
	if err := c.checkHeld(ctx, db, name); err != nil {
		return err
	}
	hiveColumns(t)
	base, next := t.Parameters["previous_metadata_location"], t.Parameters[hiveMetadata]
	env := &hms.EnvironmentContext{Properties: map[string]string{
		"expected_parameter_key": hiveMetadata, "expected_parameter_value": base,
		"DO_NOT_UPDATE_STATS": "true", // it would list the table's folder
	}}
	err := c.ask(ctx, false, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error {
		return m.AlterTableWithEnvironmentContext(ctx, db, name, t, env)
	})
	if !answered(err) {
		return err
	}
	now, readErr := c.GetTable(ctx, db, name)
	if readErr != nil {
		return err
	}
	var refused *hms.InvalidOperationException
	switch is := now.Parameters[hiveMetadata]; {
	case is == next:
		return nil
	case is != base:
		return &classified{ErrConflict, err} // it was asked for one base, and that is gone
	case errors.As(err, &refused):
		return &classified{ErrRejected, err}
	}
	return &classified{ErrTransient, err}
}

// DropTable takes the table out and leaves its files.
func (c *hiveClient) DropTable(ctx context.Context, db, name string, deleteData bool) error {
	err := c.ask(ctx, false, func(ctx context.Context, m *hms.ThriftHiveMetastoreClient) error {
		return m.DropTable(ctx, db, name, deleteData)
	})
	var missing *hms.NoSuchObjectException
	if errors.As(err, &missing) {
		return &classified{ErrNotFound, err}
	}
	return err
}
