package source

import (
	"context"
	"errors"
	"io/fs"
	"net/http"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/icewright/icewright/arrowconv"
	"github.com/icewright/icewright/catalog"
)

// InputError says which object could not be read, and why. It wraps arrowconv.ErrInput: the
// same command on the same objects fails again.
type InputError struct {
	// Object is the object, or the argument that names none, as the user wrote it.
	Object string
	// Problem is what is wrong, in lower case and without the object's name.
	Problem string
	// Err is the cause; may be nil.
	Err error

	hint string
}

func (e *InputError) Error() string {
	if e.Err == nil {
		return e.Object + ": " + e.Problem
	}
	return e.Object + ": " + e.Problem + ": " + e.Err.Error()
}

// Unwrap gives arrowconv.ErrInput and the cause.
func (e *InputError) Unwrap() []error {
	if e.Err == nil {
		return []error{arrowconv.ErrInput}
	}
	return []error{arrowconv.ErrInput, e.Err}
}

// Hint is what to do about it, or "".
func (e *InputError) Hint() string { return e.hint }

func inputError(object, problem, hint string, cause error) error {
	return &InputError{Object: object, Problem: problem, Err: cause, hint: hint}
}

// changed is the error of an object that is no longer the one that was resolved.
func changed(object, problem string) error {
	return inputError(object, problem, "start the load when whatever writes it is done; the table was not touched", nil)
}

// fileError gives an error of the file system its class. A path that is not there or may not be
// read is bad input; a disk that fails is left as it is.
func fileError(object string, err error) error {
	var path *fs.PathError
	cause := err
	if errors.As(err, &path) { // the path is the object's name, or below it, and is said already
		cause = path.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return inputError(object, "no such file", "", nil)
	case errors.Is(err, fs.ErrPermission):
		return inputError(object, "may not be read", "", cause)
	}
	return &readError{object, nil, cause}
}

// readError is a failure to read that says nothing about the data.
type readError struct {
	object string
	class  error // one of package catalog's, or nil; its text is not repeated
	err    error
}

func (e *readError) Error() string { return e.object + ": " + e.err.Error() }

func (e *readError) Unwrap() []error {
	if e.class == nil {
		return []error{e.err}
	}
	return []error{e.class, e.err}
}

// s3Error gives an error of S3 its class: what is not there is bad input, what may not be read
// is configuration, and what no answer forbids may be well on the next attempt.
func s3Error(object string, err error) error {
	if catalog.ClassOf(err) != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &readError{object, nil, err}
	}
	class := catalog.ErrTransient
	switch status := s3Status(err); {
	case catalog.Passes(err):
	case status == http.StatusNotFound:
		return inputError(object, "no such object", "", nil)
	case status == http.StatusPreconditionFailed, status == http.StatusRequestedRangeNotSatisfiable:
		return changed(object, "changed while it was being read")
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		class = catalog.ErrConfig
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests && status != http.StatusConflict,
		status >= 300 && status < 400:
		class = catalog.ErrRejected
	}
	return &readError{object, class, err}
}

// s3Status is the HTTP status of the answer behind err, 0 without one.
func s3Status(err error) int {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "NoSuchKey", "NotFound", "NoSuchBucket":
			return http.StatusNotFound
		case "PreconditionFailed":
			return http.StatusPreconditionFailed
		}
	}
	return 0
}
