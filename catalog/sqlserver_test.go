package catalog_test

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/icewright/icewright/catalog"
)

// connClosed is an error as pgx makes it of a connection that broke, before or after it got a statement.
type connClosed struct{}

func (connClosed) Error() string     { return "conn closed" }
func (connClosed) SafeToRetry() bool { return true }

// What databases on servers say, and what it means for a commit. The servers themselves
// are in interop.
func TestSQLServerErrorClasses(t *testing.T) {
	pg := func(code string) error { return fmt.Errorf("x: %w", &pgconn.PgError{Code: code, Message: "m"}) }
	my := func(number uint16) error {
		return fmt.Errorf("x: %w", &mysql.MySQLError{Number: number, Message: "m"})
	}
	for name, c := range map[string]struct{ err, want error }{
		"postgres: serialization failure":        {pg("40001"), catalog.ErrConflict},
		"postgres: deadlock":                     {pg("40P01"), catalog.ErrConflict},
		"postgres: the row is there":             {pg("23505"), catalog.ErrConflict},
		"postgres: statement completion unknown": {pg("40003"), catalog.ErrUnknownState},
		"postgres: connection failure":           {pg("08006"), catalog.ErrUnknownState},
		"postgres: shut down by the operator":    {pg("57P01"), catalog.ErrUnknownState},
		"postgres: disk error":                   {pg("58030"), catalog.ErrUnknownState},
		"postgres: too many connections":         {pg("53300"), catalog.ErrTransient},
		"postgres: no lock":                      {pg("55P03"), catalog.ErrTransient},
		"postgres: statement timeout":            {pg("57014"), catalog.ErrTransient},
		"postgres: wrong password":               {pg("28P01"), catalog.ErrConfig},
		"postgres: no such database":             {pg("3D000"), catalog.ErrConfig},
		"postgres: no right to":                  {pg("42501"), catalog.ErrRejected},
		"postgres: too long":                     {pg("22001"), catalog.ErrRejected},
		"postgres: read-only":                    {pg("25006"), catalog.ErrRejected},
		"postgres: the connection broke":         {fmt.Errorf("x: %w", io.ErrUnexpectedEOF), catalog.ErrUnknownState},
		"postgres: conn closed, of a COMMIT too": {fmt.Errorf("x: %w", connClosed{}), catalog.ErrUnknownState},
		"mysql: deadlock":                        {my(1213), catalog.ErrConflict},
		"mysql: the row is there":                {my(1062), catalog.ErrConflict},
		"mysql: lock wait timeout":               {my(1205), catalog.ErrTransient},
		"mysql: too many connections":            {my(1040), catalog.ErrTransient},
		"mysql: wrong password":                  {my(1045), catalog.ErrConfig},
		"mysql: no such database":                {my(1049), catalog.ErrConfig},
		"mysql: no right to":                     {my(1142), catalog.ErrRejected},
		"mysql: too long":                        {my(1406), catalog.ErrRejected},
		"mysql: read-only":                       {my(1290), catalog.ErrRejected},
		"mysql: shutting down":                   {my(1053), catalog.ErrUnknownState},
		"mysql: error during COMMIT":             {my(1180), catalog.ErrUnknownState},
		"mysql: the connection broke":            {mysql.ErrInvalidConn, catalog.ErrUnknownState},
		"mysql: nothing was sent":                {driver.ErrBadConn, catalog.ErrTransient},
	} {
		if got := catalog.ClassOf(catalog.Classify(c.err)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestSQLServerURIs(t *testing.T) {
	for uri, want := range map[string]string{
		"postgresql://u:s3cr3t@h":                                 "names no database",
		"postgresql+psycopg2://u:s3cr3t@h/":                       "names no database",
		"postgresql://u:s3cr%3@h/db":                              "cannot be read",
		"postgresql://u:s3cr3t@h/db?sslmode=sometimes":            "sslmode",
		"mysql://u:s3cr3t@h":                                      "names no database",
		"mysql+pymysql://u:s3cr3t@h/db?ssl_caa=x":                 "ssl_caa",
		"mysql://u:s3cr3t@h/db?ssl_mode=always":                   "ssl_mode",
		"mysql://u:s3cr3t@h/db?ssl_ca=/none.pem":                  "/none.pem",
		"mysql://u:s3cr3t@h/db?connect_timeout=soon":              "connect_timeout",
		"mysql://u:s3cr3t@h/db?charset=latin1":                    "charset",
		"mariadb+mariadbconnector://u:s3cr3t@h/db?read_timeout=0": "read_timeout",
	} {
		c, err := catalog.Open(t.Context(), catalog.Config{URI: uri, Dir: t.TempDir()})
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, catalog.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", uri, err, want)
			continue
		}
		if strings.Contains(err.Error(), "s3cr") {
			t.Errorf("%s: the error has the password: %v", uri, err)
		}
	}
	// Type and URI must agree.
	for _, props := range []map[string]string{
		{"type": "sql", "uri": "oracle://h/db"},
		{"type": "sql", "uri": "postgresql://h/db", "sql.dialect": "sqlite"},
		{"type": "sql", "uri": "sqlite:///a.db", "sql.dialect": "mysql"},
		{"type": "sql", "uri": "mysql://h/db", "sql.driver": "odbc"},
	} {
		if c, err := catalog.Open(t.Context(), catalog.Config{Props: props, Dir: t.TempDir()}); !errors.Is(err, catalog.ErrConfig) {
			t.Errorf("%v: %v, %v", props, c, err)
		}
	}
}

// A server that accepts and then says nothing must not hold a load forever.
func TestSQLServersThatSayNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, scheme := range []string{"postgresql", "mysql"} {
		uri := fmt.Sprintf("%s://u:p@%s/db?connect_timeout=1", scheme, l.Addr())
		if scheme == "mysql" {
			uri += "&read_timeout=1"
		}
		started := time.Now()
		_, err := catalog.Open(t.Context(), catalog.Config{URI: uri, Dir: t.TempDir()})
		if catalog.ClassOf(err) != catalog.ErrTransient {
			t.Errorf("%s: %v is %v", scheme, err, catalog.ClassOf(err))
		}
		if took := time.Since(started); took > 20*time.Second {
			t.Errorf("%s: gave up after %v", scheme, took)
		}
	}
}
