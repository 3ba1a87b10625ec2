package catalog

import (
	"errors"
	"io/fs"
	"net/http"
	"syscall"
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
		return &diskFull{classified{ErrTransient, err}}
	}
	if class == nil {
		return err
	}
	return &classified{class, err}
}

// full tells whether there was no room: on the disk, in the quota, or in a file of the size that
// the process may write.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

type diskFull struct{ classified }

// Hint says what a rerun needs.
func (*diskFull) Hint() string {
	return "make room, and run it again: what this run had written is removed"
}
