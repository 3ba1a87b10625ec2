package catalog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"strings"

	"github.com/apache/iceberg-go"
	icecatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/catalog/rest"
	"github.com/apache/iceberg-go/table"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// The classes of a catalog's errors: each stands for one decision that a caller
// can take. Every error of this package's catalogs wraps exactly one of them, or
// is a context's own error.
var (
	// ErrConflict: somebody else changed the table first; nothing of ours went in.
	// Load, plan again, commit again.
	ErrConflict = errors.New("the table changed in the meantime")
	// ErrUnknownState: the change may or may not be in. Ask the table before
	// anything else, and clean nothing up.
	ErrUnknownState = errors.New("the catalog gave no clear answer")
	// ErrTransient: nothing went in, and the same call may succeed a little later.
	ErrTransient = errors.New("the catalog is not available at the moment")
	// ErrRejected: nothing went in, and the same call will never succeed.
	ErrRejected = errors.New("the catalog refused")
	// ErrNotFound: the catalog has no such table or namespace. A missing file is
	// not this: a table whose metadata file is gone must not look like no table.
	ErrNotFound = errors.New("not in the catalog")
	// ErrConfig: how the catalog is reached is described wrongly.
	ErrConfig = errors.New("configuration")
)

var classes = []error{ErrConflict, ErrUnknownState, ErrTransient, ErrRejected, ErrNotFound, ErrConfig}

// classified adds a class to an error and leaves its text alone.
type classified struct {
	class error
	err   error
}

func (c *classified) Error() string   { return c.err.Error() }
func (c *classified) Unwrap() []error { return []error{c.class, c.err} }

// ClassOf returns the class that err wraps, or nil.
func ClassOf(err error) error {
	for _, c := range classes {
		if errors.Is(err, c) {
			return c
		}
	}
	return nil
}

// Classify wraps err with exactly one of the classes above. It looks at types and
// codes, never at texts: everything that is not known to be something better is
// ErrUnknownState. Errors that are classified already,
// nil, and the errors of a context that ended are returned as they are.
//
// It reads errors as those of a commit. A call that changes nothing cannot leave
// anything unknown; [Catalog]'s reading methods say ErrTransient there.
func Classify(err error) error {
	if err == nil || ClassOf(err) != nil || isContext(err) {
		return err
	}
	return classifiedAs(class(err), err)
}

// readError classifies the error of a call that changes nothing.
func readError(err error) error {
	if err == nil || ClassOf(err) != nil || isContext(err) {
		return err
	}
	c := class(err)
	if errors.Is(c, ErrUnknownState) {
		c = ErrTransient
		if plainDefect(err) {
			c = ErrRejected
		}
	}
	return classifiedAs(c, err)
}

// commitError classifies the error of a commit. A context that ends while the
// catalog is working leaves the outcome open, unlike one that ends before.
func commitError(err error) error {
	if isContext(err) && ClassOf(err) == nil {
		return &classified{class: ErrUnknownState, err: err}
	}
	return Classify(err)
}

// conflicting are requirements whose failure is an ErrConflict. Catalogs on the client's
// side look at them before they write anything, and report them in words only. A server
// gets them as they are, and has a status for it.
func conflicting(reqs []table.Requirement) []table.Requirement {
	out := make([]table.Requirement, len(reqs))
	for i, r := range reqs {
		out[i] = conflictingRequirement{r}
	}
	return out
}

type conflictingRequirement struct{ table.Requirement }

func (r conflictingRequirement) Validate(meta table.Metadata) error {
	if err := r.Requirement.Validate(meta); err != nil {
		return &classified{ErrConflict, err}
	}
	return nil
}

// certainlyNotCommitted tells whether a classified error of a commit says that
// nothing was changed.
func certainlyNotCommitted(err error) bool {
	c := ClassOf(err)
	return c != nil && !errors.Is(c, ErrUnknownState)
}

func class(err error) error {
	// Catalogs' own words first: they know most.
	switch {
	case errors.Is(err, table.ErrCommitFailed):
		return ErrConflict
	case errors.Is(err, rest.ErrCommitStateUnknown):
		return ErrUnknownState
	case errors.Is(err, icecatalog.ErrNoSuchTable), errors.Is(err, icecatalog.ErrNoSuchNamespace), errors.Is(err, icecatalog.ErrNoSuchView):
		return ErrNotFound
	case errors.Is(err, icecatalog.ErrTableAlreadyExists), errors.Is(err, icecatalog.ErrNamespaceAlreadyExists),
		errors.Is(err, icecatalog.ErrViewAlreadyExists), errors.Is(err, icecatalog.ErrNamespaceNotEmpty),
		errors.Is(err, icecatalog.ErrInvalidIdentifier), errors.Is(err, iceberg.ErrInvalidArgument),
		errors.Is(err, iceberg.ErrInvalidSchema), errors.Is(err, iceberg.ErrInvalidPartitionSpec),
		errors.Is(err, iceberg.ErrNotImplemented):
		return ErrRejected
	case errors.Is(err, rest.ErrBadRequest), errors.Is(err, rest.ErrUnauthorized), errors.Is(err, rest.ErrForbidden):
		return ErrRejected
	case errors.Is(err, rest.ErrAuthorizationExpired), errors.Is(err, rest.ErrVendedCredentialsExpired):
		return ErrTransient // a new token is fetched on the next try
	}

	var answer *httpError
	errors.As(err, &answer)
	// The token is fetched before the request is sent.
	if errors.Is(err, rest.ErrOAuthError) {
		if answer != nil && answer.token/100 == 4 && answer.token != http.StatusTooManyRequests {
			return ErrConfig
		}
		return ErrTransient
	}
	// iceberg-go has no word for these.
	if answer != nil && answer.status/100 == 4 && answer.status != http.StatusRequestTimeout {
		if answer.status == http.StatusTooManyRequests {
			return ErrTransient
		}
		return ErrRejected
	}

	if c := sqlClass(err); c != nil {
		return c
	}

	if c := glueClass(err); c != nil {
		return c
	}

	// Files are written before the catalog is asked, so whatever storage says, the
	// commit did not happen.
	if c := storageClass(err); c != nil {
		return c
	}

	// What fails before a request is sent has changed nothing.
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return ErrTransient
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return ErrTransient
	}
	if distrusts(err) {
		return ErrConfig
	}
	return ErrUnknownState
}

// Passes tells whether an AWS service says in so many words, whatever its status, that the same
// request may do later: it is throttling, or waited too long for the body.
func Passes(err error) bool {
	code := s3Code(err)
	_, slow := retry.DefaultThrottleErrorCodes[code]
	_, late := retry.DefaultRetryableErrorCodes[code]
	return slow || late
}

// distrusts tells whether a server's certificate was not accepted.
func distrusts(err error) bool {
	var cert *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	return errors.As(err, &cert) || errors.As(err, &authority) || errors.As(err, &host)
}

// sqlClass reads the errors of databases; nil for others.
func sqlClass(err error) error {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return sqliteClass(lite.Code())
	}
	if c := postgresClass(err); c != nil {
		return c
	}
	return mysqlClass(err)
}

// sqliteClass reads SQLite's primary result code. Its transactions are all or
// nothing, and a statement that reports an error has changed nothing, with one
// exception: a failed read or write of the disk during COMMIT.
// Source: sqlite.org/rescode.html.
func sqliteClass(code int) error {
	switch code & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL:
		return ErrTransient
	case sqlite3.SQLITE_CONSTRAINT:
		return ErrConflict // somebody else inserted the row first
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return ErrRejected
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return ErrConfig
	}
	return ErrUnknownState
}

// glueClass reads the errors of AWS Glue; nil for others. What it answers with a status of 4xx it has not
// done, but for timeouts; of anything else nobody knows.
func glueClass(err error) error {
	var op *smithy.OperationError
	if !errors.As(err, &op) || op.Service() != "Glue" {
		return nil
	}
	var api smithy.APIError
	var rsp *awshttp.ResponseError
	switch {
	case errors.As(err, &api) && api.ErrorCode() == "ConcurrentModificationException":
		return ErrConflict
	case errors.As(err, &api) && api.ErrorCode() == "EntityNotFoundException":
		return ErrNotFound
	case errors.As(err, &rsp) && rsp.HTTPStatusCode() == http.StatusTooManyRequests,
		errors.As(err, &api) && strings.Contains(api.ErrorCode(), "Throttl"):
		return ErrTransient
	case errors.As(err, &rsp) && rsp.HTTPStatusCode()/100 == 4 && rsp.HTTPStatusCode() != http.StatusRequestTimeout:
		return ErrRejected
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return ErrTransient
	}
	return ErrUnknownState
}

// storageClass reads the errors of S3 and of local files; nil for others.
func storageClass(err error) error {
	var op *smithy.OperationError
	if errors.As(err, &op) {
		if distrusts(err) {
			return ErrConfig
		}
		var rsp *awshttp.ResponseError
		if errors.As(err, &rsp) {
			switch code := rsp.HTTPStatusCode(); {
			case code == 408 || code == 409 || code == 429 || code >= 500 || outdated(err) || Passes(err):
				return ErrTransient
			case code >= 400:
				return ErrRejected
			}
		}
		return ErrTransient
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrInvalid) {
			return ErrRejected
		}
		return ErrTransient
	}
	return nil
}

// outdated tells whether S3 refused credentials that were good: new ones may be had the next time.
func outdated(err error) bool {
	switch s3Code(err) {
	case "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired":
		return true
	}
	return false
}

// plainDefect tells whether nothing in err speaks of a server or a wire, so that
// trying again is of no use: a metadata file that cannot be parsed, for one.
func plainDefect(err error) bool {
	var netErr net.Error
	var wire interface{ SafeToRetry() bool } // pgx's
	return !errors.As(err, &netErr) && !errors.As(err, &wire) && sqlClass(err) == nil && !errors.Is(err, rest.ErrRESTError) && !errors.Is(err, fs.ErrClosed)
}

// isContext tells whether a context's own error is in the tree of err. An HTTP
// client's timeout claims to be context.DeadlineExceeded by its Is method and is
// not: no context of the caller has ended. Nor has one where Postgres takes too long
// to connect, for which pgx has a context of its own.
func isContext(err error) bool {
	if connect, ok := err.(*pgconn.ConnectError); ok { //nolint:errorlint // walks the tree itself
		return errors.Is(connect, context.Canceled)
	}
	if err == context.Canceled || err == context.DeadlineExceeded { //nolint:errorlint // identity is the point
		return true
	}
	switch u := err.(type) { //nolint:errorlint // walks the tree itself
	case interface{ Unwrap() error }:
		if e := u.Unwrap(); e != nil {
			return isContext(e)
		}
	case interface{ Unwrap() []error }:
		for _, e := range u.Unwrap() {
			if isContext(e) {
				return true
			}
		}
	}
	return false
}
