package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/google/uuid"
)

// Probe is what came of trying one thing out.
type Probe struct {
	// What was tried: list, write, read, remove, …
	What string
	// Found is what was seen, where there is more to say than that it works; may be empty.
	Found string
	// Err is why it does not work, nil where it does. It is classified.
	Err error
	// Optional is set where a load does without.
	Optional bool
	// Hurts is set where a load does without, and will be sorry one day.
	Hurts bool
	// Do is what helps where it does not work.
	Do string
}

// ProbeStorage tries out what a load does with the files below location: listing, and with write
// writing a small file under a new name, reading it back and removing it. On S3 it also looks for
// the quirks of S3-compatible stores. Nothing that was there is touched and nothing is left. The
// probes after one that fails are left out where they cannot work either. skew is how far the clock of
// the store is ahead of this machine's, nil where it does not tell.
func (c *Catalog) ProbeStorage(ctx context.Context, location string, write bool) (probes []Probe, skew *time.Duration) {
	location = strings.TrimRight(location, "/")
	fsys, err := OpenIO(ctx, c.Props, location)
	if err != nil {
		return []Probe{{What: "open", Err: err, Do: "check warehouse and the s3.* properties"}}, nil
	}
	p := prober{ctx: ctx, fsys: fsys, location: location, hadoop: c.Type == typeHadoop, name: location + "/icewright-doctor-" + uuid.NewString() + ".tmp"}
	if s, ok := fsys.(*s3IO); ok {
		p.s3(s, write)
		return p.probes, p.skew
	}
	p.common(write)
	return p.probes, nil
}

type prober struct {
	ctx      context.Context
	fsys     iceio.WriteFileIO
	location string
	name     string // of the file that is written
	hadoop   bool   // a commit is a file under a name that is free
	probes   []Probe
	skew     *time.Duration
}

func (p *prober) try(what, do string, f func() (found string, err error)) bool {
	found, err := f()
	if err != nil {
		err = readError(err)
	}
	p.probes = append(p.probes, Probe{What: what, Found: found, Err: err, Do: do})
	return err == nil
}

// probeText is what is written and wanted back.
var probeText = bytes.Repeat([]byte("icewright doctor\n"), 64)

// common tries what every store must do.
func (p *prober) common(write bool) {
	lists := p.try("list", "let the credentials list what is below it", p.list)
	if !write || !lists {
		return
	}
	if !p.try("write", "let the credentials write below it, or see that the disk is not full", func() (string, error) {
		return "", p.fsys.WriteFile(p.name, probeText)
	}) {
		return
	}
	p.try("read", "let the credentials read what is below it", func() (string, error) {
		f, err := p.fsys.Open(p.name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		got, err := io.ReadAll(f)
		if err == nil && !bytes.Equal(got, probeText) {
			err = fmt.Errorf("read %s: %d bytes came back, not the %d that were written", p.name, len(got), len(probeText))
		}
		return "", err
	})
	p.try("remove", "let the credentials remove what is below it: a run that fails takes back what it staged. "+p.name+" is left over", func() (string, error) {
		if err := p.fsys.Remove(p.name); err != nil {
			return "", err
		}
		switch _, err := p.fsys.Open(p.name); {
		case err == nil:
			return "", fmt.Errorf("remove %s: it is still there", p.name)
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
		return "", nil
	})
}

// errEnough ends a walk early.
var errEnough = errors.New("enough")

// list looks at the first entry only. A folder that is not there yet is made by the first load.
func (p *prober) list() (string, error) {
	walker, ok := p.fsys.(iceio.ListableIO)
	if !ok {
		return "", fmt.Errorf("files at %s cannot be listed", p.location)
	}
	err := walker.WalkDir(p.location, func(name string, _ fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return errEnough
		case err != nil:
			return err
		case strings.TrimRight(name, "/") == p.location || path.Base(name) == path.Base(p.location):
			return nil
		}
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return "", err
}

// ServerTime asks a catalog's server for its time, as the Date of an answer; false where it has none
// to ask or does not tell. sent and got are this machine's times before and after.
func (c *Catalog) ServerTime(ctx context.Context) (at, sent, got time.Time, ok bool) {
	if c.rest == nil {
		return at, sent, got, false
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, strings.TrimRight(c.Props["uri"], "/")+"/v1/config", nil)
	if err != nil {
		return at, sent, got, false
	}
	sent = time.Now()
	rsp, err := c.rest.RoundTrip(r)
	if err != nil {
		return at, sent, got, false
	}
	defer rsp.Body.Close()
	got = time.Now()
	at, err = http.ParseTime(rsp.Header.Get("Date"))
	return at, sent, got, err == nil
}

// Skew is how far a clock that showed at between sent and got is ahead of this machine's; 0 where
// the whole second that a Date has leaves it open.
func Skew(at, sent, got time.Time) time.Duration {
	switch {
	case at.Add(time.Second).Before(sent):
		return at.Sub(sent)
	case at.After(got):
		return at.Sub(got)
	}
	return 0
}
