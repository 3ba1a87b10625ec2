package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	icesql "github.com/apache/iceberg-go/catalog/sql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// sqlConnectTimeout is how long a database server may take to accept a connection
// where neither the URI nor the environment says.
const sqlConnectTimeout = 10 * time.Second

// openPostgres opens or makes a catalog in a Postgres database. uri is
// postgresql://user:password@host:port/database?sslmode=…, with libpq's parameters;
// what it does not say is taken from libpq's environment (PGPASSWORD, PGSSLMODE,
// PGPASSFILE), as psycopg does for PyIceberg.
func openPostgres(ctx context.Context, name string, props iceberg.Properties, cfg Config) (*Catalog, error) {
	u, err := serverURL(props["uri"], "postgresql://user@host/database")
	if err != nil {
		return nil, err
	}
	where := u.Redacted()
	u.Scheme = "postgresql"
	conn, err := pgx.ParseConfig(u.String())
	if err != nil {
		e := &ConfigError{What: where + " cannot be used", Do: "its parameters are libpq's: sslmode, sslrootcert, connect_timeout and so on"}
		// The library's own message quotes the URI.
		if cause := errors.Unwrap(err); cause != nil {
			e.Err = cause
		}
		return nil, e
	}
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = sqlConnectTimeout
	}
	// A pooler between us and the server gives each transaction another connection,
	// which knows nothing of statements that were prepared before.
	conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	if conn.RuntimeParams["application_name"] == "" {
		conn.RuntimeParams["application_name"] = "icewright"
	}
	return openServer(ctx, name, props, cfg, sql.OpenDB(boundedConnector{stdlib.GetConnector(*conn)}), sqlServer{
		dialect:     icesql.Postgres,
		where:       fmt.Sprintf("postgresql://%s:%d/%s", conn.Host, conn.Port, conn.Database),
		here:        "current_schema()",
		placeholder: func(n int) string { return "$" + strconv.Itoa(n) },
		trust:       "sslrootcert is the file of the authority that the server's certificate is from; its name must be the uri's host with sslmode=verify-full, and need not with verify-ca",
	})
}

// postgresBounds has a transaction wait ten seconds for the lock of another, as on SQLite, and the server take back
// one that does nothing for as long, with its locks: a process that stands still in its commit would lock
// everybody out for as long as it stands. What the server or the URI says already stays. It holds for the transaction
// alone, as a pooler may give the connection to somebody else after it.
const postgresBounds = `SELECT set_config(b.name, b.value, true) FROM (VALUES
	('lock_timeout', '10s'), ('idle_in_transaction_session_timeout', '10s')) AS b(name, value)
	WHERE current_setting(b.name) = '0'`

// boundedConnector connects to Postgres; its connections bound their transactions.
type boundedConnector struct{ driver.Connector }

func (c boundedConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return boundedConn{conn.(*stdlib.Conn)}, nil
}

type boundedConn struct{ *stdlib.Conn }

func (c boundedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.BeginTx(ctx, o)
	if err != nil {
		return nil, err
	}
	if _, err := c.ExecContext(ctx, postgresBounds, nil); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}

// postgresClass reads an error of pgx; nil for others. A connection that breaks while
// a statement is on its way leaves COMMIT undecided, and any statement may be it. What
// pgx calls safe to retry is not: it says "conn closed" of a COMMIT that the server got,
// too, when the connection broke before the answer.
// Source: postgresql.org/docs/current/errcodes-appendix.html.
func postgresClass(err error) error {
	var said *pgconn.PgError
	var connect *pgconn.ConnectError
	connecting := errors.As(err, &connect)
	if !errors.As(err, &said) {
		if connecting {
			return ErrTransient
		}
		return nil
	}
	switch {
	case strings.HasPrefix(said.Code, "28"), said.Code == "3D000", said.Code == "3F000":
		return ErrConfig // who we are, and which database and schema
	case connecting, strings.HasPrefix(said.Code, "53"), said.Code == "55P03", said.Code == "57014", said.Code == "25P03":
		return ErrTransient // no room, no lock, cancelled, taken back since it stood still
	case said.Code == "40001", said.Code == "40P01", said.Code == "23505":
		return ErrConflict // a transaction that lost, and a row that is there already
	case said.Code == "40003", strings.HasPrefix(said.Code, "08"), strings.HasPrefix(said.Code, "57"),
		strings.HasPrefix(said.Code, "58"), strings.HasPrefix(said.Code, "XX"):
		return ErrUnknownState
	}
	// The rest is about the statement: no such table, no right to, too long, read-only.
	return ErrRejected
}
