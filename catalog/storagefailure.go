package catalog

import (
	"errors"
	"io/fs"
	"net/http"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// StorageFailure classifies the error of writing, reading or removing a file, where that is what err is
// about: ErrTransient for what may pass, ErrConfig for what is not allowed, ErrRejected for the rest.
// Others are returned as they are. A full disk comes with a hint.
func StorageFailure(err error) error {
	if err == nil || ClassOf(err) != nil || isContext(err) {
		return err
	}
	class := storageClass(err)
	if status := s3Status(err); errors.Is(err, fs.ErrPermission) || errors.Is(class, ErrRejected) && (status == http.StatusForbidden || status == http.StatusUnauthorized) {
		class = ErrConfig
	}
	if full(err) {
		return classifiedAs(ErrTransient, err)
	}
	if class == nil {
		return err
	}
	return &classified{class, err}
}

// classifiedAs wraps err with its class, and with a hint where it tells of a full disk.
func classifiedAs(class, err error) error {
	c := classified{class, err}
	if full(err) {
		return &diskFull{c}
	}
	return &c
}

// full tells whether there was no room: on the disk, in the quota, or in a file of the size that
// the process may write.
func full(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code()&0xff == sqlite3.SQLITE_FULL || lite.Code() == sqlite3.SQLITE_IOERR_SHMSIZE
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// DiskFull tells whether a classified error says that a disk is full. That it has room again soon is nothing
// to wait for.
func DiskFull(err error) bool {
	var full *diskFull
	return errors.As(err, &full)
}

type diskFull struct{ classified }

// Error has SQLite say what it means by an I/O error: the file with the index of its log cannot grow.
func (e *diskFull) Error() string {
	var lite *sqlite.Error
	if errors.As(e.err, &lite) && lite.Code() == sqlite3.SQLITE_IOERR_SHMSIZE {
		return e.classified.Error() + ": there is no room for the file beside it that ends in -shm"
	}
	return e.classified.Error()
}

// Hint says what a rerun needs.
func (*diskFull) Hint() string {
	return "make room, and run it again: what this run had written is removed"
}
