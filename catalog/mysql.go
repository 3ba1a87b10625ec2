package catalog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	icesql "github.com/apache/iceberg-go/catalog/sql"
	"github.com/go-sql-driver/mysql"

	"github.com/icewright/icewright/nearest"
)

// mysqlAnswerTimeout is how long the server may think where the URI does not say: longer
// than it lets a statement wait for a lock. (Postgres has its own limits, and TCP finds
// out about a server that is gone.)
const mysqlAnswerTimeout = 2 * time.Minute

// openMySQL opens or makes a catalog in a MySQL or MariaDB database. uri is
// mysql://user:password@host:port/database?ssl_mode=…; see mysqlParams for the
// parameters. A password that it does not have is taken from MYSQL_PWD.
func openMySQL(ctx context.Context, name string, props iceberg.Properties, cfg Config) (*Catalog, error) {
	u, err := serverURL(props["uri"], "mysql://user@host/database")
	if err != nil {
		return nil, err
	}
	conn := mysql.NewConfig()
	conn.Logger = &mysql.NopLogger{} // what it has to say comes back as an error, too
	conn.Net, conn.Addr = "tcp", net.JoinHostPort(orElse(u.Hostname(), "localhost"), orElse(u.Port(), "3306"))
	conn.DBName = strings.Trim(u.Path, "/")
	conn.Timeout, conn.ReadTimeout = sqlConnectTimeout, mysqlAnswerTimeout
	if u.User != nil {
		conn.User = u.User.Username()
		conn.Passwd, _ = u.User.Password()
	}
	if conn.Passwd == "" {
		conn.Passwd = cfg.getenv("MYSQL_PWD")
	}
	// An update that finds its row must say so, whether or not it changes it; and a
	// location that does not fit must be refused, not cut.
	conn.ClientFoundRows = true
	conn.Params = map[string]string{"sql_mode": "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"}
	var secure mysqlTLS
	for key, values := range u.Query() {
		if err := mysqlParam(conn, &secure, key, values[len(values)-1]); err != nil {
			return nil, err
		}
	}
	if err := secure.apply(conn, u.Hostname()); err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(conn)
	if err != nil {
		return nil, &ConfigError{What: u.Redacted() + " cannot be used", Err: err}
	}
	return openServer(ctx, name, props, cfg, sql.OpenDB(connector), sqlServer{
		dialect: icesql.MySQL,
		where:   fmt.Sprintf("mysql://%s/%s", conn.Addr, conn.DBName),
		here:    "DATABASE()",
		// Names are compared as they stand, as Postgres and SQLite do.
		tableOptions: " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
		placeholder:  questionMark,
		trust:        "ssl_ca is the file of the authority that the server's certificate is from; its name must be the uri's host with ssl_mode=verify_identity, and need not with verify_ca",
	})
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// mysqlParams are the parameters of a MySQL URI: those of PyMySQL that mean something
// here, and ssl_mode as the mysql client has it.
var mysqlParams = []string{
	"charset", "connect_timeout", "read_timeout", "write_timeout", "unix_socket",
	"ssl_mode", "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert", "ssl_verify_identity", "ssl_disabled",
}

// mysqlTLS is how a connection is encrypted. Without a word about it, it is where the
// server can, and the server's certificate is not looked at: what psql and the mysql
// client do.
type mysqlTLS struct{ mode, ca, cert, key string }

// Modes of mysqlTLS, each stricter than the one before.
var mysqlModes = []string{"disabled", "preferred", "required", "verify_ca", "verify_identity"}

func (t *mysqlTLS) atLeast(mode string) {
	if t.mode == "" || slices.Index(mysqlModes, t.mode) < slices.Index(mysqlModes, mode) {
		t.mode = mode
	}
}

func mysqlParam(conn *mysql.Config, secure *mysqlTLS, key, value string) error {
	bad := func(do string) error {
		return &ConfigError{What: fmt.Sprintf("parameter %s of the catalog's uri is %q", key, value), Do: do}
	}
	seconds := func(into *time.Duration) error {
		n, err := strconv.Atoi(value)
		if err != nil || n <= 0 {
			return bad("write seconds")
		}
		*into = time.Duration(n) * time.Second
		return nil
	}
	flag := func(mode string) error {
		on, err := strconv.ParseBool(strings.ToLower(value))
		if err != nil {
			return bad("write true or false")
		}
		if on {
			secure.atLeast(mode)
		}
		return nil
	}
	switch strings.ReplaceAll(strings.ToLower(key), "-", "_") {
	case "charset":
		if !strings.HasPrefix(strings.ToLower(value), "utf8") {
			return bad("names are utf8mb4: leave it out")
		}
	case "connect_timeout":
		return seconds(&conn.Timeout)
	case "read_timeout":
		return seconds(&conn.ReadTimeout)
	case "write_timeout":
		return seconds(&conn.WriteTimeout)
	case "unix_socket":
		conn.Net, conn.Addr = "unix", value
	case "ssl_mode", "sslmode":
		mode := strings.ReplaceAll(strings.ToLower(value), "-", "_")
		if !slices.Contains(mysqlModes, mode) {
			return bad("there are " + strings.Join(mysqlModes, ", "))
		}
		secure.mode = mode
	case "ssl_ca":
		secure.ca = value
	case "ssl_cert":
		secure.cert = value
	case "ssl_key":
		secure.key = value
	case "ssl_verify_cert":
		return flag("verify_ca")
	case "ssl_verify_identity":
		return flag("verify_identity")
	case "ssl_disabled":
		return flag("disabled")
	default:
		e := &ConfigError{What: fmt.Sprintf("the catalog's uri has a parameter %q, which is not known for MySQL", key), Do: "there are " + strings.Join(mysqlParams, ", ")}
		if near := nearest.Name(key, mysqlParams); near != "" {
			e.Do = "did you mean " + near + "?"
		}
		return e
	}
	return nil
}

func (t mysqlTLS) apply(conn *mysql.Config, host string) error {
	if t.mode != "disabled" {
		if t.ca != "" {
			t.atLeast("verify_ca")
		} else if t.cert != "" {
			t.atLeast("required")
		}
		t.atLeast("preferred")
	}
	// Certificates are checked below where the mode says so, the chain without the name
	// for verify_ca, which crypto/tls has no word for.
	c := &tls.Config{ServerName: host, InsecureSkipVerify: true} //nolint:gosec // see above
	roots, err := t.roots()
	if err != nil {
		return err
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, orElse(t.key, t.cert))
		if err != nil {
			return &ConfigError{What: "the client's certificate for the catalog cannot be read", Err: err, Do: "check ssl_cert and ssl_key"}
		}
		c.Certificates = []tls.Certificate{pair}
	}
	switch t.mode {
	case "disabled":
		return nil
	case "preferred":
		conn.AllowFallbackToPlaintext = true
	case "verify_ca":
		c.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s, roots) }
	case "verify_identity":
		c.InsecureSkipVerify, c.RootCAs = false, roots
	}
	conn.TLS = c
	return nil
}

// roots are the certificates of ssl_ca; nil, the system's, without one.
func (t mysqlTLS) roots() (*x509.CertPool, error) {
	if t.ca == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(t.ca)
	if err != nil {
		return nil, &ConfigError{What: "the root certificates for the catalog cannot be read", Err: err, Do: "check ssl_ca"}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &ConfigError{What: t.ca + " has no certificate in PEM", Do: "check ssl_ca"}
	}
	return pool, nil
}

func verifyChain(s tls.ConnectionState, roots *x509.CertPool) error {
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	return err
}

// mysqlClass reads an error of MySQL's or MariaDB's; nil for others. A connection that
// breaks leaves COMMIT undecided, except where the driver says that nothing was sent.
// Source: dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html,
// mariadb.com/kb/en/mariadb-error-code-reference.
func mysqlClass(err error) error {
	if errors.Is(err, driver.ErrBadConn) {
		return ErrTransient
	}
	if errors.Is(err, mysql.ErrInvalidConn) {
		return ErrUnknownState
	}
	if errors.Is(err, mysql.ErrNoTLS) || errors.Is(err, mysql.ErrOldProtocol) || errors.Is(err, mysql.ErrUnknownPlugin) ||
		errors.Is(err, mysql.ErrCleartextPassword) || errors.Is(err, mysql.ErrNativePassword) || errors.Is(err, mysql.ErrOldPassword) {
		return ErrConfig
	}
	var said *mysql.MySQLError
	if !errors.As(err, &said) {
		return nil
	}
	switch said.Number {
	case 1044, 1045, 1049, 1130, 1251, 1698, 1862, 3118:
		return ErrConfig // who we are, from where, and which database
	case 1040, 1203, 1226, 1021, 1041, 1114, 1205, 1317, 1969, 3024, 3572:
		return ErrTransient // no room, no lock in time, cancelled
	case 1213, 1062, 1586, 1020:
		return ErrConflict // a transaction that lost, and a row that is there already
	case 1053, 1077, 1079, 1180, 1184, 1152, 1927, 1105, 1047:
		return ErrUnknownState // COMMIT failed, or the server is going
	}
	// The rest is about the statement: no such table, no right to, too long, read-only.
	return ErrRejected
}
