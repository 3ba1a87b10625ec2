package stack

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Database is a running SQL server with one empty database.
type Database struct {
	*Process `json:"process"`
	// URI is what icewright calls the catalog's uri; PyIceberg wants the name of its
	// driver in the scheme.
	URI string `json:"uri"`
	// Port is the loopback port.
	Port int `json:"port"`
}

const (
	databaseUser     = "icewright"
	databasePassword = "p@ss/w%rd" // what has to be escaped in a URI
	databaseName     = "lake"
)

func (t *Tools) postgres(ctx context.Context) (debian, error) {
	return t.debianPackages(ctx, "postgresql", "postgresql")
}

func (t *Tools) mariadb(ctx context.Context) (debian, error) {
	return t.debianPackages(ctx, "mariadb", "mariadb-server-core")
}

// StartPostgres starts Postgres on a new database cluster in o.Dir.
func StartPostgres(ctx context.Context, t *Tools, o Options) (*Database, error) {
	packages, err := t.postgres(ctx)
	if err != nil {
		return nil, err
	}
	bin, err := packages.newest("usr/lib/postgresql/*/bin")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(o.Dir, "postgres")
	password := filepath.Join(o.Dir, "postgres.password")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(password, []byte(databasePassword), 0o600); err != nil {
		return nil, err
	}
	var as []string
	if os.Geteuid() == 0 {
		// Postgres refuses root. Another user who may read everything, the tools among
		// it, is as good for a test; the securebit lets access(2) see that right.
		as = []string{
			"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_override",
			"--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup", "--",
		}
		if err := os.Chown(data, 65534, 65534); err != nil {
			return nil, err
		}
	}
	argv := append(as, filepath.Join(bin, "initdb"), "--pgdata", data, "--username", databaseUser, "--auth", "scram-sha-256",
		"--pwfile", password, "--encoding", "UTF8", "--locale", "C", "--no-sync")
	init := exec.CommandContext(ctx, argv[0], argv[1:]...)
	init.Dir = o.Dir
	init.Env = append(cleanEnv(), packages.environment()...)
	if err := t.run(init); err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	var secure []string
	if o.Cert != "" {
		secure = []string{"-c", "ssl=on", "-c", "ssl_cert_file=" + o.Cert, "-c", "ssl_key_file=" + o.Key}
	}
	p, err := start(ctx, o, "postgres", "tcp://127.0.0.1:"+strconv.Itoa(ports[0]), time.Minute, packages.environment(),
		append(append(as, filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(ports[0]), "-c", "listen_addresses=127.0.0.1",
			"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "jit=off", "-c", "max_connections=200"), secure...)...)
	if err != nil {
		return nil, err
	}
	d := &Database{Process: p, URI: databaseURI("postgresql", ports[0]), Port: ports[0]}
	first := strings.TrimSuffix(d.URI, databaseName) + "postgres"
	return d.create(ctx, "pgx", first, `CREATE DATABASE `+databaseName)
}

// StartMariaDB starts MariaDB on a new data folder in o.Dir.
func StartMariaDB(ctx context.Context, t *Tools, o Options) (*Database, error) {
	packages, err := t.mariadb(ctx)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(o.Dir, "mariadb")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	share := filepath.Join(packages.dir, "usr", "share", "mysql")
	argv := []string{
		filepath.Join(packages.dir, "usr", "sbin", "mariadbd"), "--no-defaults", "--datadir=" + data,
		"--lc-messages-dir=" + share, "--character-sets-dir=" + filepath.Join(share, "charsets"),
		"--plugin-dir=" + filepath.Join(packages.dir, "usr", "lib", "mysql", "plugin"), "--innodb-flush-log-at-trx-commit=0",
	}
	if os.Geteuid() == 0 {
		argv = append(argv, "--user=root")
	}
	// What mariadb-install-db does: the server without a network runs the scripts that
	// make its own tables, one statement a line.
	script := []string{"CREATE DATABASE mysql;", "USE mysql;", "SET @auth_root_socket = NULL;"}
	for _, name := range []string{"mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql"} {
		text, err := os.ReadFile(filepath.Join(share, name))
		if err != nil {
			return nil, err
		}
		script = append(script, string(text))
	}
	script = append(script, "FLUSH PRIVILEGES;", "CREATE DATABASE "+databaseName+" CHARACTER SET utf8mb4;",
		"CREATE USER "+databaseUser+"@'%' IDENTIFIED BY '"+databasePassword+"';", "GRANT ALL ON *.* TO "+databaseUser+"@'%';", "")
	boot := exec.CommandContext(ctx, argv[0], append(argv[1:len(argv):len(argv)], "--bootstrap")...)
	boot.Dir = o.Dir
	boot.Env = append(cleanEnv(), packages.environment()...)
	boot.Stdin = strings.NewReader(strings.Join(script, "\n"))
	if err := t.run(boot); err != nil {
		return nil, fmt.Errorf("start mariadb: %w", err)
	}
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	if o.Cert != "" {
		argv = append(argv, "--ssl-cert="+o.Cert, "--ssl-key="+o.Key)
	}
	p, err := start(ctx, o, "mariadb", "tcp://127.0.0.1:"+strconv.Itoa(ports[0]), time.Minute, packages.environment(),
		append(argv, "--bind-address=127.0.0.1", "--port="+strconv.Itoa(ports[0]), "--socket="+filepath.Join(data, "s"), "--skip-name-resolve")...)
	if err != nil {
		return nil, err
	}
	d := &Database{Process: p, URI: databaseURI("mysql", ports[0]), Port: ports[0]}
	return d.create(ctx, "mysql", fmt.Sprintf("%s:%s@tcp(127.0.0.1:%d)/%s", databaseUser, databasePassword, ports[0], databaseName), "DO 1")
}

func databaseURI(scheme string, port int) string {
	u := url.URL{Scheme: scheme, User: url.UserPassword(databaseUser, databasePassword), Host: "127.0.0.1:" + strconv.Itoa(port), Path: "/" + databaseName}
	return u.String()
}

// create runs the first statement, once the server that listens also answers.
func (d *Database) create(ctx context.Context, driver, dsn, statement string) (*Database, error) {
	db, err := sql.Open(driver, dsn)
	if err == nil {
		defer db.Close()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			if _, err = db.ExecContext(ctx, statement); err == nil {
				return d, nil
			}
			if time.Now().After(deadline) {
				break
			}
		}
	}
	_ = d.Stop() // why it does not answer is the news
	return nil, fmt.Errorf("start %s: %w\n%s", d.Name, err, d.tail())
}
