package source

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// versioned is an origin that tells versions of an object apart without reading it.
type versioned interface {
	// version names the version that was resolved, as seen at now; "" where another could have the same name.
	version(now time.Time) string
}

// Version names the version of the object that was resolved: by path, size and time of the last change for a file, by
// ETag and size in S3, by a strong ETag on a web server. It is "" where the next version could have the same name:
// for a pipe, for a server without such an ETag, and for a file that was written a moment before now.
func (o Object) Version(now time.Time) string {
	v, ok := o.origin.(versioned)
	if !ok {
		return ""
	}
	version := v.version(now)
	if version == "" {
		return ""
	}
	return o.Name + "\x00" + version
}

// Clocks of file systems tick: what is written within a tick of the last change has the same time. Those that keep
// fractions of a second tick every few milliseconds, others every second or two.
const (
	fineTick   = 100 * time.Millisecond
	coarseTick = 3 * time.Second
)

func (f *file) version(now time.Time) string {
	path, err := filepath.Abs(f.path)
	written := f.info.ModTime()
	tick := fineTick
	if written.Nanosecond() == 0 {
		tick = coarseTick
	}
	if err != nil || now.Sub(written) < tick {
		return ""
	}
	return fmt.Sprintf("%s\x00%d\x00%d", path, f.info.Size(), written.UnixNano())
}

func (o *s3Object) version(time.Time) string {
	if o.etag == "" {
		return ""
	}
	return fmt.Sprintf("%s\x00%d", o.etag, o.size)
}

func (o *httpObject) version(time.Time) string {
	if o.etag == "" || strings.HasPrefix(o.etag, "W/") {
		return ""
	}
	return fmt.Sprintf("%s\x00%s\x00%d", o.url, o.etag, o.size)
}
